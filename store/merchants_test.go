package store_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/store/storetest"
)

type secrets = map[relay.ConnectionName]map[string]string

func TestSaveMerchant(t *testing.T) {
	s := storetest.Open(t)
	m := storetest.Merchant("acme", "shop", "outlet")
	m.Resend = relay.ResendClock{Hour: 3, Zone: "Europe/Paris"}
	m.Carts[0].Settings = map[string]string{"overlap": "5m"}
	created, err := s.SaveMerchant(t.Context(), m, secrets{"shop": {"token": "a"}})
	require.NoError(t, err)
	require.True(t, created)
	got, err := s.Merchant(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, int64(1), got.SettingsVersion)
	m.Carts[0], m.Carts[1] = m.Carts[1], m.Carts[0] // by name
	require.Equal(t, m, got.Merchant)
	require.Equal(t, relay.ConnectionName("depot"), got.StoredWarehouse().Name)

	created, err = s.SaveMerchant(t.Context(), m, nil)
	require.NoError(t, err)
	require.False(t, created)
	all, err := s.Merchants(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Equal(t, int64(2), all[0].SettingsVersion)
	_, err = s.Merchant(t.Context(), "nobody")
	require.ErrorIs(t, err, store.ErrNotFound)
}

func TestAConnectionIsTakenAwayWhenNothingIsUnderWayOnIt(t *testing.T) {
	b := newBench(t, "shop", "outlet")
	sub := b.atWarehouse(1)
	without := storetest.Merchant("acme", "outlet")
	_, err := b.SaveMerchant(t.Context(), without, nil)
	require.ErrorContains(t, err, "connection shop can't be taken away: 1 order is under way on it; ferry order list --merchant acme shows what is: wait for their end, or cancel them")
	elsewhere := storetest.Merchant("acme", "shop", "outlet")
	elsewhere.Warehouse.Name = "annex"
	_, err = b.SaveMerchant(t.Context(), elsewhere, nil)
	require.ErrorContains(t, err, "connection depot can't be taken away")
	test := storetest.Merchant("acme", "shop", "outlet")
	test.Warehouse.Mode = relay.ModeTest
	_, err = b.SaveMerchant(t.Context(), test, nil)
	require.ErrorContains(t, err, "connection depot can't change from mode live to test")

	b.progress(store.Progress{Order: sub.Order.ID, Complete: true, Packages: []relay.Package{parcel("1Z")}})
	require.Equal(t, 1, b.tell())
	saved := storetest.Save(t, b.Store, without)
	_, ok := saved.Connection("shop")
	require.False(t, ok)
	b.want(sub.Order.ID, relay.OrderConfirmed)
	back := storetest.Save(t, b.Store, elsewhere)
	_, ok = back.Connection("shop")
	require.True(t, ok)
	require.Equal(t, relay.ConnectionName("annex"), back.StoredWarehouse().Name)

	other := storetest.Merchant("acme", "shop")
	other.Carts[0].Connector = "shopify"
	_, err = b.SaveMerchant(t.Context(), other, nil)
	require.ErrorContains(t, err, "give the new one another name")
}

// A file of before live carts were refused beside a test warehouse says so of its cart
// once it is onboarded again, whatever is under way.
func TestACartBesideATestWarehouseBecomesATest(t *testing.T) {
	b := newBench(t, "shop", "outlet")
	before := storetest.Merchant("acme", "shop", "outlet")
	before.Warehouse.Mode = relay.ModeTest
	b.m = storetest.Save(t, b.Store, before)
	b.atWarehouse(1)
	b.takeIn(anOrder(2))
	tested := storetest.Merchant("acme", "shop", "outlet")
	tested.Warehouse.Mode, tested.Carts[0].Mode, tested.Carts[1].Mode = relay.ModeTest, relay.ModeTest, relay.ModeTest
	storetest.Save(t, b.Store, tested)

	_, err := b.SaveMerchant(t.Context(), before, nil)
	require.ErrorContains(t, err, "connection shop can't change from mode test to live: 2 orders are under way on it")
}

// What a live shop has sold must not be sent into a test.
func TestACartGoesNoFurtherWithItsWarehouse(t *testing.T) {
	b := newBench(t)
	b.takeIn(anOrder(1))
	tested := storetest.Merchant("acme")
	tested.Warehouse.Mode, tested.Carts[0].Mode = relay.ModeTest, relay.ModeTest
	_, err := b.SaveMerchant(t.Context(), tested, nil)
	require.ErrorContains(t, err, "connection shop can't change from mode live to test: 1 order is under way on it")
}

func TestPauseAndStop(t *testing.T) {
	b := newBench(t)
	read := func() store.Merchant {
		m, err := b.Merchant(t.Context(), "acme")
		require.NoError(t, err)
		return m
	}
	require.NoError(t, b.SetPaused(t.Context(), "acme", true))
	at := read().PausedAt
	require.False(t, at.IsZero())
	require.NoError(t, b.SetPaused(t.Context(), "acme", true))
	require.Equal(t, at, read().PausedAt)
	require.NoError(t, b.SetPaused(t.Context(), "acme", false))
	require.Zero(t, read().PausedAt)

	// Of those that a workflow was asked for, the latest counts, whenever it comes.
	first := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		paused        bool
		asked         time.Time
		stands, after bool // after: it is paused then
	}{
		{true, first, true, true},
		{true, first, true, true}, // tried again
		{false, first.Add(time.Second), true, false},
		{true, first, false, false},
		{true, time.Time{}, true, true}, // from elsewhere
		{false, first.Add(time.Minute), true, false},
	} {
		stands, err := b.SetPausedAsked(t.Context(), "acme", c.paused, c.asked)
		require.NoError(t, err)
		require.Equal(t, c.stands, stands)
		require.Equal(t, c.after, !read().PausedAt.IsZero())
	}

	require.NoError(t, b.StopConnection(t.Context(), b.depot(), b.m.SettingsVersion, "first"))
	require.NoError(t, b.StopConnection(t.Context(), b.depot(), b.m.SettingsVersion, "second"))
	require.Equal(t, "first", read().StoredWarehouse().StoppedReason)
	require.NoError(t, b.ResumeConnections(t.Context(), "acme", "shop"))
	require.NotZero(t, read().StoredWarehouse().StoppedAt, "another connection's stop stays")
	require.NoError(t, b.ResumeConnections(t.Context(), "acme", ""))
	require.Zero(t, read().StoredWarehouse().StoppedAt)
	require.NoError(t, b.StopConnection(t.Context(), b.depot(), b.m.SettingsVersion, "third"))
	at = read().StoredWarehouse().StoppedAt
	same := storetest.Merchant("acme")
	same.Name, same.Warehouse.Schedule[relay.PullShipments] = "Acme & Sons", relay.Every(time.Hour)
	storetest.Save(t, b.Store, same)
	require.Equal(t, at, read().StoredWarehouse().StoppedAt, "the same credentials are refused still")
	require.Equal(t, "third", read().StoredWarehouse().StoppedReason)
	_, err := b.SaveMerchant(t.Context(), same, secrets{"depot": {"key": "another made-up key"}})
	require.NoError(t, err)
	require.Zero(t, read().StoredWarehouse().StoppedAt, "other credentials lift it")
	require.NoError(t, b.StopConnection(t.Context(), b.depot(), read().SettingsVersion, "fourth"))
	same.Warehouse.Settings["poll"] = "no"
	_, err = b.SaveMerchant(t.Context(), same, secrets{"depot": {"key": "another made-up key"}})
	require.NoError(t, err)
	require.Zero(t, read().StoredWarehouse().StoppedAt, "and so does another way to ask")
}

func TestOnboardingAgainKeepsRotatedTokens(t *testing.T) {
	b := newBench(t)
	save := func(c map[string]string) map[string]string {
		t.Helper()
		_, err := b.SaveMerchant(t.Context(), storetest.Merchant("acme"), secrets{"shop": c})
		require.NoError(t, err)
		got, err := b.Vault(b.cart("shop")).Read(t.Context())
		require.NoError(t, err)
		return got
	}
	file := map[string]string{"access_token": "a1", "refresh_token": "r1"}
	require.Equal(t, file, save(file))
	rotated, err := b.Vault(b.cart("shop")).Rotate(t.Context(), func(_ context.Context, old map[string]string) (map[string]string, error) {
		require.Equal(t, file, old)
		return map[string]string{"access_token": "a2", "refresh_token": "r2", "expires_at": "soon"}, nil
	})
	require.NoError(t, err)
	require.Equal(t, "r2", rotated["refresh_token"])
	require.Equal(t, rotated, save(file), "the same file again")
	fresh := map[string]string{"access_token": "a1", "refresh_token": "r9"}
	require.Equal(t, fresh, save(fresh), "a new grant")
}

func TestRotateIsSerialised(t *testing.T) {
	b := newBench(t)
	other := b.db.Open(t)
	cart := b.cart("shop")
	var mu sync.Mutex
	var wg sync.WaitGroup
	const rounds = 24 // more than a pool has connections
	for i := range rounds {
		s := b.Store
		if i%2 == 1 {
			s = other
		}
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := s.Vault(cart).Rotate(ctx, func(_ context.Context, old map[string]string) (map[string]string, error) {
				if !assert.True(t, mu.TryLock(), "one at a time") {
					return old, nil
				}
				defer mu.Unlock()
				n, _ := strconv.Atoi(old["n"])
				return map[string]string{"n": strconv.Itoa(n + 1)}, nil
			})
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	got, err := b.Vault(cart).Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]string{"n": strconv.Itoa(rounds)}, got)
}

func TestRotateAtTheEdges(t *testing.T) {
	b := newBench(t)
	v := b.Vault(b.cart("shop"))
	sealed := func() []byte { return list[[]byte](b, `select credentials from connections where name = 'shop'`)[0] }
	before := sealed()
	no := errors.New("refused")
	_, err := v.Rotate(t.Context(), func(context.Context, map[string]string) (map[string]string, error) { return nil, no })
	require.ErrorIs(t, err, no)
	_, err = v.Rotate(t.Context(), func(_ context.Context, old map[string]string) (map[string]string, error) { return old, nil })
	require.NoError(t, err)
	require.Equal(t, before, sealed(), "nothing new, nothing stored")

	// The old token is spent already: what came is kept though nobody waits any more.
	ctx, cancel := context.WithCancel(t.Context())
	given := map[string]string{"token": "fresh"}
	_, err = v.Rotate(ctx, func(context.Context, map[string]string) (map[string]string, error) {
		cancel()
		return given, nil
	})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"token": "fresh"}, given, "what the vendor's client gave is left alone")
	got, err := v.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, given, got)
	_, err = v.Rotate(t.Context(), func(context.Context, map[string]string) (map[string]string, error) { return nil, nil })
	require.NoError(t, err)
}

// A token that is refreshed while new credentials are saved does not undo them.
func TestRotateAndSaveTakeTurns(t *testing.T) {
	b := newBench(t)
	entered, leave, saved := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := b.Vault(b.cart("shop")).Rotate(t.Context(), func(_ context.Context, old map[string]string) (map[string]string, error) {
			close(entered)
			<-leave
			fresh := maps.Clone(old)
			fresh["token"] = "refreshed"
			return fresh, nil
		})
		assert.NoError(t, err)
	})
	<-entered
	go func() {
		_, err := b.SaveMerchant(t.Context(), storetest.Merchant("acme"), secrets{"shop": {"token": "brand new"}})
		saved <- err
	}()
	// It waits for the lock before the vendor may answer.
	require.Eventually(t, func() bool {
		return list[bool](b, `select exists (select from pg_locks where locktype = 'advisory' and not granted
			and database = (select oid from pg_database where datname = current_database()))`)[0]
	}, time.Minute, 5*time.Millisecond)
	close(leave)
	wg.Wait()
	require.NoError(t, <-saved)
	got, err := b.Vault(b.cart("shop")).Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]string{"token": "brand new"}, got)
}

func TestSealing(t *testing.T) {
	b := newBench(t, "shop", "outlet")
	raw := list[string](b, `select encode(credentials, 'escape') from connections`)
	for _, r := range raw {
		require.NotContains(t, r, "made-up")
	}
	// Sealed text moved to another row does not open.
	b.exec(`update connections set credentials = (select credentials from connections where name = 'shop') where name = 'outlet'`)
	_, err := b.Vault(b.cart("outlet")).Read(t.Context())
	require.ErrorContains(t, err, "the key file does not fit")

	wrong := storetest.Database{URL: b.db.URL, KeyFile: filepath.Join(t.TempDir(), "key.json")}.Open(t)
	_, err = wrong.Vault(b.cart("shop")).Read(t.Context())
	require.ErrorContains(t, err, "the key file does not fit")
	require.NotContains(t, err.Error(), "made-up")
	// But a lost key file is no reason to refuse new credentials.
	storetest.Save(t, wrong, storetest.Merchant("acme", "shop", "outlet"))
	_, err = wrong.Vault(b.cart("shop")).Read(t.Context())
	require.NoError(t, err)

	without, err := store.Open(t.Context(), b.db.URL, nil)
	require.NoError(t, err)
	defer without.Close()
	_, err = without.Vault(b.cart("shop")).Read(t.Context())
	require.ErrorContains(t, err, "without the key file")
	_, err = without.SaveMerchant(t.Context(), storetest.Merchant("beta"), nil)
	require.ErrorContains(t, err, "without the key file")
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "key.json")
	_, err := store.OpenKeyring(path)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = store.EnsureKeyring(path)
	require.NoError(t, err)
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	_, err = store.EnsureKeyring(path)
	require.NoError(t, err)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.NoError(t, os.Chmod(path, 0o644))
	_, err = store.OpenKeyring(path)
	require.ErrorContains(t, err, "chmod 600")
	require.NoError(t, os.Chmod(path, 0o600))
	require.NoError(t, os.WriteFile(path, []byte("{}"), 0o600))
	_, err = store.OpenKeyring(path)
	require.ErrorContains(t, err, "not a Tink keyset")
}

func TestSchemaVersion(t *testing.T) {
	db := storetest.Empty(t)
	_, err := store.Open(t.Context(), db.URL, nil)
	require.ErrorContains(t, err, "run ferry migrate")
	before, after, err := store.Migrate(t.Context(), db.URL)
	require.NoError(t, err)
	require.Zero(t, before)
	require.Positive(t, after)
	again, same, err := store.Migrate(t.Context(), db.URL)
	require.NoError(t, err)
	require.Equal(t, []int32{after, after}, []int32{again, same})
	s, err := store.Open(t.Context(), db.URL, nil)
	require.NoError(t, err)
	require.NoError(t, s.Ping(t.Context()))
	s.Close()
	_, err = store.Open(t.Context(), "postgres://user:hunter2@[bad", nil)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hunter2")
}

func TestEventsAreAppendOnly(t *testing.T) {
	b := newBench(t)
	b.takeIn(anOrder(1))
	for _, sql := range []string{`update order_events set actor = 'me'`, `delete from order_events`, `truncate order_events cascade`} {
		_, err := b.sql.Exec(t.Context(), sql)
		require.ErrorContains(t, err, "append-only", sql)
	}
	require.Len(t, b.kinds(b.id(1)), 1)
}

func TestImportAliases(t *testing.T) {
	b := newBench(t)
	imported := func(replace bool, aliases ...relay.Alias) store.MappingCounts {
		t.Helper()
		got, err := b.ImportAliases(t.Context(), "acme", aliases, replace, "clerk")
		require.NoError(t, err)
		return got
	}
	a, c := relay.Alias{SKU: "a", Code: "1"}, relay.Alias{SKU: "a", Code: "2", Cart: "shop"}
	require.Equal(t, store.MappingCounts{Added: 2, Version: 1}, imported(false, a, c))
	require.Equal(t, store.MappingCounts{Unchanged: 2, Version: 1}, imported(false, a, c))
	a.Code = "9"
	require.Equal(t, store.MappingCounts{Changed: 1, Version: 2}, imported(false, a))
	require.Equal(t, store.MappingCounts{Unchanged: 1, Removed: 1, Version: 3}, imported(true, a))
	require.Equal(t, store.MappingCounts{Removed: 1, Version: 4}, imported(true))
	require.Equal(t, store.MappingCounts{Version: 4}, imported(true))
	_, err := b.ImportAliases(t.Context(), "nobody", nil, false, "clerk")
	require.ErrorIs(t, err, store.ErrNotFound)
	m, err := b.Merchant(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, int64(4), m.MappingsVersion)
	require.Equal(t, int64(1), m.SettingsVersion)
}

// What an order in doubt is looked for by stays as it is, lest it be looked for in
// the wrong place and sent twice.
func TestWhatFindsAnOrderInDoubtStays(t *testing.T) {
	b := newBench(t)
	m := storetest.Merchant("acme")
	m.Warehouse.Settings, m.Warehouse.Finders = map[string]string{"sent_folder": "sent", "timeout": "30s"}, []string{"sent_folder"}
	b.m = storetest.Save(t, b.Store, m)
	sub := b.inDoubt(1)
	m.Warehouse.Settings = map[string]string{"sent_folder": "copies", "timeout": "30s"}
	_, err := b.SaveMerchant(t.Context(), m, nil)
	require.ErrorContains(t, err, "connection depot can't change its settings.sent_folder: 1 order is being sent or looked for by it")
	m.Warehouse.Settings = map[string]string{"sent_folder": "sent", "timeout": "60s"}
	storetest.Save(t, b.Store, m)
	b.record(accepted(sub))
	m.Warehouse.Settings = map[string]string{"sent_folder": "copies", "timeout": "60s"}
	storetest.Save(t, b.Store, m)
}

// A refusal of credentials that were given anew since says nothing of the new ones.
func TestARefusalOfEarlierCredentials(t *testing.T) {
	b := newBench(t)
	asked := b.m.SettingsVersion
	b.m = storetest.Save(t, b.Store, storetest.Merchant("acme"))
	require.NoError(t, b.StopConnection(t.Context(), b.depot(), asked, "HTTP 401"))
	b.reload()
	require.Zero(t, b.m.StoredWarehouse().StoppedAt)
	require.NoError(t, b.StopConnection(t.Context(), b.depot(), b.m.SettingsVersion, "HTTP 401"))
	b.reload()
	require.NotZero(t, b.m.StoredWarehouse().StoppedAt)
}
