package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/store/storetest"
)

func kit(sku relay.SKU, parts ...any) relay.Kit {
	k := relay.Kit{SKU: sku}
	for i := 0; i < len(parts); i += 2 {
		k.Components = append(k.Components, relay.Component{SKU: relay.SKU(parts[i+1].(string)), Units: int64(parts[i].(int))})
	}
	return k
}

func (b *bench) editKits(e store.KitEdit) store.MappingCounts {
	b.t.Helper()
	got, err := b.EditKits(b.t.Context(), "acme", e)
	require.NoError(b.t, err)
	return got
}

// changes are a merchant's changes of mappings, in words.
func (b *bench) changes(q store.MappingQuery) []string {
	b.t.Helper()
	q.Merchant = "acme"
	list, err := b.MappingHistory(b.t.Context(), q, 100)
	require.NoError(b.t, err)
	var out []string
	for _, c := range list {
		require.False(b.t, c.At.IsZero())
		out = append(out, fmt.Sprintf("%d %s: %s %s %s/%s: %q -> %q", c.Version, c.Actor, c.Change(), c.Kind, c.Cart, c.SKU, c.Before, c.After))
	}
	return out
}

func TestEveryEditIsOneVersionWithWhatWasBefore(t *testing.T) {
	b := newBench(t)
	edit := func(e store.AliasEdit) store.MappingCounts {
		got, err := b.EditAliases(t.Context(), "acme", e)
		require.NoError(t, err)
		return got
	}
	mug, cup, outlet := relay.Alias{SKU: "MUG", Code: "1"}, relay.Alias{SKU: "CUP", Code: "2"}, relay.Alias{SKU: "MUG", Code: "3", Cart: "outlet"}
	require.Equal(t, store.MappingCounts{Added: 3, Version: 1}, edit(store.AliasEdit{Set: []relay.Alias{mug, cup, outlet}, Actor: "operator clerk"}))
	mug.Code = "2" // many SKUs may be one code
	require.Equal(t, store.MappingCounts{Changed: 1, Removed: 1, Unchanged: 2, Version: 2}, edit(store.AliasEdit{
		Set: []relay.Alias{mug, cup}, Remove: []relay.Alias{{SKU: "MUG", Cart: "outlet"}, {SKU: "HAT"}}, Actor: "operator ops",
	}))
	require.Equal(t, store.MappingCounts{Unchanged: 1, Version: 2}, edit(store.AliasEdit{Remove: []relay.Alias{{SKU: "HAT"}}}))
	require.Equal(t, store.MappingCounts{Added: 1, Version: 3}, b.editKits(store.KitEdit{Set: []relay.Kit{kit("GIFT", 2, "MUG", 1, "CUP")}, Actor: "operator clerk"}))
	require.Equal(t, store.MappingCounts{Unchanged: 1, Version: 3}, b.editKits(store.KitEdit{Set: []relay.Kit{kit("GIFT", 1, "CUP", 2, "MUG")}}), "in another order it is the same kit")
	require.Equal(t, store.MappingCounts{Changed: 1, Added: 1, Version: 4}, b.editKits(store.KitEdit{Set: []relay.Kit{kit("GIFT", 3, "MUG"), kit("SOON")}, Actor: "operator clerk"}))
	require.Equal(t, store.MappingCounts{Removed: 1, Unchanged: 2, Version: 5}, b.editKits(store.KitEdit{
		Set: []relay.Kit{kit("SOON")}, Remove: []relay.Kit{kit("NEVER")}, Replace: true, Actor: "operator ops",
	}))
	require.Equal(t, []string{
		`5 operator ops: removed kit /GIFT: "3 x MUG" -> ""`,
		`4 operator clerk: changed kit /GIFT: "1 x CUP, 2 x MUG" -> "3 x MUG"`,
		`4 operator clerk: added kit /SOON: "" -> "(no components)"`,
		`3 operator clerk: added kit /GIFT: "" -> "1 x CUP, 2 x MUG"`,
		`2 operator ops: changed alias /MUG: "1" -> "2"`,
		`2 operator ops: removed alias outlet/MUG: "3" -> ""`,
		`1 operator clerk: added alias /CUP: "" -> "2"`,
		`1 operator clerk: added alias /MUG: "" -> "1"`,
		`1 operator clerk: added alias outlet/MUG: "" -> "3"`,
	}, b.changes(store.MappingQuery{}))
	require.Len(t, b.changes(store.MappingQuery{SKU: " MUG "}), 4)
	require.Len(t, b.changes(store.MappingQuery{Kind: store.KitMapping, Version: 4}), 2)
	versions, err := b.MappingVersions(t.Context(), "acme", []int64{4, 0, 1, 4, 9})
	require.NoError(t, err)
	require.Len(t, versions, 2, "nothing brought 0, and 9 is to come")
	for i, want := range []store.MappingVersion{{Version: 1, Kind: store.AliasMapping, Changes: 3, Actor: "operator clerk"}, {Version: 4, Kind: store.KitMapping, Changes: 2, Actor: "operator clerk"}} {
		require.WithinDuration(t, time.Now(), versions[i].At, time.Minute)
		want.At = versions[i].At
		require.Equal(t, want, versions[i])
	}
	kits, err := b.Kits(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, []relay.Kit{{SKU: "SOON"}}, kits)
	for _, sql := range []string{`delete from mapping_changes`, `update mapping_changes set actor = 'x'`, `truncate mapping_changes`} {
		_, err := b.sql.Exec(t.Context(), sql)
		require.ErrorContains(t, err, "append-only", sql)
	}
	_, err = b.EditKits(t.Context(), "nobody", store.KitEdit{})
	require.ErrorIs(t, err, store.ErrNotFound)
	_, err = b.Store.Mappings(t.Context(), "nobody")
	require.ErrorIs(t, err, store.ErrNotFound)
}

// A preview tells exactly what the edit then does, and writes nothing.
func TestPreviews(t *testing.T) {
	b := newBench(t)
	before := store.AliasEdit{Set: []relay.Alias{{SKU: "A", Code: "1"}, {SKU: "B", Code: "2"}, {SKU: "C", Code: "3"}}, Actor: "x"}
	_, err := b.EditAliases(t.Context(), "acme", before)
	require.NoError(t, err)
	b.editKits(store.KitEdit{Set: []relay.Kit{kit("GIFT", 1, "A"), kit("SET", 1, "B")}, Actor: "x"})

	aliases := store.AliasEdit{Set: []relay.Alias{{SKU: "A", Code: "1"}, {SKU: "B", Code: "9"}, {SKU: "D", Code: "4"}}, Replace: true, Actor: "x"}
	seen, err := b.PreviewAliases(t.Context(), "acme", aliases, 2)
	require.NoError(t, err)
	require.Equal(t, store.MappingPreview{
		MappingCounts: store.MappingCounts{Added: 1, Changed: 1, Removed: 1, Unchanged: 1, Version: 3},
		Changes:       []store.MappingChange{{Kind: store.AliasMapping, SKU: "B", Before: "2", After: "9"}, {Kind: store.AliasMapping, SKU: "C", Before: "3"}},
	}, seen)
	kits := store.KitEdit{Set: []relay.Kit{kit("GIFT", 2, "A"), kit("NEW", 1, "B")}, Replace: true, Actor: "x"}
	seenKits, err := b.PreviewKits(t.Context(), "acme", kits, 2)
	require.NoError(t, err)
	require.Equal(t, store.MappingPreview{
		MappingCounts: store.MappingCounts{Added: 1, Changed: 1, Removed: 1, Version: 3},
		Changes:       []store.MappingChange{{Kind: store.KitMapping, SKU: "GIFT", Before: "1 x A", After: "2 x A"}, {Kind: store.KitMapping, SKU: "NEW", After: "1 x B"}},
	}, seenKits)
	require.Len(t, b.changes(store.MappingQuery{}), 5, "nothing was written")

	got, err := b.EditAliases(t.Context(), "acme", aliases)
	require.NoError(t, err)
	require.Equal(t, seen.MappingCounts, got)
	seenKits.Version++
	require.Equal(t, seenKits.MappingCounts, b.editKits(kits))
	_, err = b.PreviewAliases(t.Context(), "nobody", aliases, 1)
	require.ErrorIs(t, err, store.ErrNotFound)
}

func TestKitsOfKitsAreRefused(t *testing.T) {
	b := newBench(t)
	b.editKits(store.KitEdit{Set: []relay.Kit{kit("GIFT", 1, "MUG", 1, "SET"), kit("OTHER", 1, "MUG")}, Actor: "x"})
	atShop := kit("SET", 1, "CAP")
	atShop.Cart = "shop"
	for name, c := range map[string]struct {
		edit store.KitEdit
		want string
	}{
		"an existing kit's component becomes a kit": {store.KitEdit{Set: []relay.Kit{kit("SET", 1, "CAP")}}, "GIFT holds SET, which is a kit itself: GIFT -> SET"},
		"at one cart":                      {store.KitEdit{Set: []relay.Kit{atShop}}, "GIFT holds SET, which is a kit itself: GIFT -> SET"},
		"each other, through one there is": {store.KitEdit{Set: []relay.Kit{kit("SET", 1, "GIFT")}}, "kits hold each other: GIFT -> SET -> GIFT; kits hold each other: SET -> GIFT -> SET"},
		"in itself":                        {store.KitEdit{Set: []relay.Kit{kit("SELF", 1, "SELF")}}, "kits hold each other: SELF -> SELF"},
		"a kit that there is":              {store.KitEdit{Set: []relay.Kit{kit("BIG", 2, "OTHER")}}, "BIG holds OTHER, which is a kit itself: BIG -> OTHER"},
		"no units":                         {store.KitEdit{Set: []relay.Kit{kit("ZERO", 0, "MUG")}}, "kit ZERO: 0 units of MUG: want 1 to 1000000"},
		"twice":                            {store.KitEdit{Set: []relay.Kit{kit("TWICE", 1, "MUG", 2, "MUG")}}, "kit TWICE: component MUG is named twice"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.PreviewKits(t.Context(), "acme", c.edit, 10)
			require.ErrorContains(t, err, c.want)
			_, err = b.EditKits(t.Context(), "acme", c.edit)
			require.ErrorContains(t, err, c.want)
			var nested *store.NestedKitsError
			require.Equal(t, name != "no units" && name != "twice", errors.As(err, &nested))
			kits, err := b.Kits(t.Context(), "acme")
			require.NoError(t, err)
			require.Len(t, kits, 2, "nothing half done")
			require.Len(t, b.changes(store.MappingQuery{}), 2)
		})
	}
	// The kit that was in the way goes in the same edit.
	b.editKits(store.KitEdit{Set: []relay.Kit{kit("SET", 1, "CAP")}, Remove: []relay.Kit{kit("GIFT")}, Actor: "x"})
}

// What is read is of one moment, and says which.
func TestMappingsAreReadWithTheirVersion(t *testing.T) {
	b := newBench(t)
	got, err := b.Store.Mappings(t.Context(), "acme")
	require.NoError(t, err)
	require.Zero(t, got.Version)
	_, err = b.ImportAliases(t.Context(), "acme", []relay.Alias{{SKU: "MUG", Code: "1"}, {SKU: "MUG", Code: "2", Cart: "shop"}}, false, "x")
	require.NoError(t, err)
	b.editKits(store.KitEdit{Set: []relay.Kit{kit("GIFT", 2, "MUG"), kit("SOON")}, Actor: "x"})
	got, err = b.Store.Mappings(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, int64(2), got.Version)
	items, missing := got.Items("shop", "GIFT")
	require.Empty(t, missing)
	require.Equal(t, []relay.Item{{Code: "2", Units: 2}}, items)
	soon, ok := got.Lookup("other", "SOON")
	require.True(t, ok)
	require.Empty(t, soon.Kit.Components)
}

// An order that is held for want of a mapping is on hold before the edit that
// brings it is done, or is translated with it: it never misses the look at holds
// that follows.
func TestNothingIsClaimedWithMappingsOfYesterday(t *testing.T) {
	b := newBench(t)
	b.takeIn(anOrder(1))
	_, err := b.ImportAliases(t.Context(), "acme", []relay.Alias{{SKU: "MUG", Code: "1"}}, false, "x")
	require.NoError(t, err)
	_, err = b.Claim(t.Context(), b.query("me"), translate)
	require.ErrorIs(t, err, store.ErrMappingsChanged)
	b.m, err = b.Merchant(t.Context(), "acme")
	require.NoError(t, err)

	edited := make(chan error, 1)
	claimed, err := b.Claim(t.Context(), b.query("me"), func(o relay.Order, token relay.Token) (store.Claim, error) {
		go func() {
			_, err := b.ImportAliases(b.t.Context(), "acme", []relay.Alias{{SKU: "CAP", Code: "2"}}, false, "x")
			edited <- err
		}()
		require.Eventually(t, func() bool {
			return len(list[int](b, `select 1 from pg_locks where not granted and pid in (select pid from pg_stat_activity where datname = current_database())`)) > 0
		}, 10*time.Second, time.Millisecond, "the edit waits for the claim")
		return store.Claim{Hold: &relay.Hold{Reason: relay.HoldUnknownItem}}, nil
	})
	require.NoError(t, err)
	require.Equal(t, 1, claimed.Held)
	require.NoError(t, <-edited)
}

// manyAliases are n aliases of which every hundredth is of one cart.
func manyAliases(n int, code string) []relay.Alias {
	out := make([]relay.Alias, n)
	for i := range out {
		out[i] = relay.Alias{SKU: relay.SKU(fmt.Sprintf("SKU-%06d", i)), Code: relay.ItemCode(fmt.Sprintf("%s%012d", code, i/2))}
		if i%100 == 0 {
			out[i].Cart = "shop"
		}
	}
	return out
}

// Right after a big import the database's statistics still say that the merchant has
// nothing: the next import must not compare each row with all others, for minutes.
func TestReplaceRightAfterABigImport(t *testing.T) {
	b := newBench(t)
	const many = 20_000
	storetest.Save(t, b.Store, storetest.Merchant("zeta"))
	_, err := b.ImportAliases(t.Context(), "zeta", manyAliases(many, "0"), false, "ops")
	require.NoError(t, err)
	b.exec(`analyze aliases`)
	b.exec(`alter table aliases set (autovacuum_enabled = off)`)
	began := time.Now()
	_, err = b.ImportAliases(t.Context(), "acme", manyAliases(many, "0"), false, "ops")
	require.NoError(t, err)
	// Each row with all others takes thirty times as long as the import, on any machine.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Since(began)+2*time.Second)
	defer cancel()
	got, err := b.ImportAliases(ctx, "acme", manyAliases(many/2, "1"), true, "ops")
	require.NoError(t, err)
	require.Equal(t, store.MappingCounts{Changed: many / 2, Removed: many / 2, Version: 2}, got)
	p, err := b.PreviewAliases(ctx, "acme", store.AliasEdit{Set: manyAliases(many, "2"), Replace: true}, 1)
	require.NoError(t, err)
	require.Equal(t, many/2, p.Added)
}

// BenchmarkAliases100k measures what an operator with 100,000 aliases waits for.
func BenchmarkAliases100k(b *testing.B) {
	const many = 100_000
	for _, c := range []struct {
		name string
		run  func(x *bench, i int) (store.MappingCounts, error)
		want func(store.MappingCounts) int
	}{
		{"import", func(x *bench, _ int) (store.MappingCounts, error) {
			return x.ImportAliases(b.Context(), "acme", manyAliases(many, "0"), true, "ops")
		}, func(c store.MappingCounts) int { return c.Added }},
		{"import again", func(x *bench, _ int) (store.MappingCounts, error) {
			return x.ImportAliases(b.Context(), "acme", manyAliases(many, "0"), true, "ops")
		}, func(c store.MappingCounts) int { return c.Unchanged }},
		{"change all", func(x *bench, i int) (store.MappingCounts, error) {
			return x.ImportAliases(b.Context(), "acme", manyAliases(many, fmt.Sprint(1+i%9)), true, "ops")
		}, func(c store.MappingCounts) int { return c.Changed }},
		{"preview", func(x *bench, _ int) (store.MappingCounts, error) {
			p, err := x.PreviewAliases(b.Context(), "acme", store.AliasEdit{Set: manyAliases(many, "x"), Replace: true}, 100)
			return p.MappingCounts, err
		}, func(c store.MappingCounts) int { return c.Changed }},
		{"set one", func(x *bench, i int) (store.MappingCounts, error) {
			return x.ImportAliases(b.Context(), "acme", []relay.Alias{{SKU: "SKU-000001", Code: relay.ItemCode(fmt.Sprint("one", i))}}, false, "ops")
		}, func(c store.MappingCounts) int { return many * c.Changed }},
		{"read", func(x *bench, _ int) (c store.MappingCounts, err error) {
			m, err := x.Store.Mappings(b.Context(), "acme")
			c.Unchanged = m.Size()
			return c, err
		}, func(c store.MappingCounts) int { return c.Unchanged }},
	} {
		b.Run(c.name, func(b *testing.B) {
			x := newBench(b)
			if c.name != "import" {
				_, err := x.ImportAliases(b.Context(), "acme", manyAliases(many, "0"), true, "ops")
				require.NoError(b, err)
			}
			var most uint64
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if c.name == "import" && i > 0 {
					b.StopTimer()
					x.exec(`delete from aliases`)
					b.StartTimer()
				}
				got, err := c.run(x, i)
				require.NoError(b, err)
				require.Equal(b, many, c.want(got))
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapAlloc)
			}
			b.ReportMetric(float64(most)/(1<<20), "MiB-heap")
		})
	}
}
