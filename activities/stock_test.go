package activities_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"orderferry/activities"
	"orderferry/connectors"
	"orderferry/connectors/tradegecko"
	shopsim "orderferry/connectors/tradegecko/simulator"
	"orderferry/relay"
	"orderferry/store"
	"orderferry/store/storetest"
)

// feed is a warehouse that tells its stock whole the first time, and afterwards
// what changed since its cursor, which counts changes.
type feed struct {
	mu      sync.Mutex
	changes []relay.InventoryLevel // in order; a later one replaces an earlier one
	page    int                    // codes in a page
	asked   []string               // cursors
	// before, when set, is called before each page is told, and may refuse it.
	before  func(cursor string) error
	partial bool
	unread  []connectors.Unread
}

func (f *feed) Check(context.Context) (connectors.Report, error) { return connectors.Report{}, nil }

func (f *feed) set(code relay.ItemCode, site string, units int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes = append(f.changes, relay.InventoryLevel{Code: code, Site: site, Quantity: relay.Units(units)})
}

func (f *feed) PullInventory(_ context.Context, q connectors.InventoryQuery) (connectors.InventoryPage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, q.Cursor)
	if f.before != nil {
		if err := f.before(q.Cursor); err != nil {
			return connectors.InventoryPage{}, err
		}
	}
	changed := strings.HasPrefix(q.Cursor, "since ")
	var from int
	_, _ = fmt.Sscanf(q.Cursor[strings.LastIndex(q.Cursor, " ")+1:], "%d", &from)
	to := min(from+f.page, len(f.changes))
	page := connectors.InventoryPage{
		Levels: f.changes[from:to], Meaning: connectors.NetOfOrders, More: to < len(f.changes), Changes: changed, Partial: f.partial, Unread: f.unread,
	}
	page.Cursor = fmt.Sprintf("since %d", to)
	if page.More && !changed {
		page.Cursor = fmt.Sprintf("whole %d", to)
	}
	return page, nil
}

// plainCart is a cart that shows what it is told.
type plainCart struct {
	mu     sync.Mutex
	shows  map[string]relay.Quantity // by SKU and, behind "@", location
	pushes []connectors.InventoryPush
	refuse map[relay.SKU]error
	// late, when set, is called once with a push that is about to be written.
	late func()
}

func (s *plainCart) Check(context.Context) (connectors.Report, error) {
	return connectors.Report{}, nil
}

func (s *plainCart) PushInventory(_ context.Context, push connectors.InventoryPush) ([]connectors.LevelOutcome, error) {
	s.mu.Lock()
	late := s.late
	s.late = nil
	s.mu.Unlock()
	if late != nil {
		late()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pushes = append(s.pushes, push)
	out := make([]connectors.LevelOutcome, len(push.Targets))
	for i, t := range push.Targets {
		at := string(t.SKU) + "@" + t.Location
		out[i] = connectors.LevelOutcome{Before: s.shows[at], After: t.Available + t.Owed, Err: s.refuse[t.SKU]}
		if out[i].Err == nil {
			s.shows[at] = out[i].After
		}
	}
	return out, nil
}

// stockWorld is a merchant whose warehouse is a feed and whose cart is a plain one,
// or another cart that is given.
type stockWorld struct {
	t      testing.TB
	ledger *store.Store
	sql    *pgxpool.Pool
	feed   *feed
	plain  *plainCart
	acts   *activities.Activities
	env    *testsuite.TestActivityEnvironment
	cart   relay.ConnectionName
	log    *lockedBuffer
}

// newStockWorld makes a world of the test's own, so the test runs beside others from here on.
func newStockWorld(t testing.TB, opt activities.Options, carts ...connectors.Connector) *stockWorld {
	t.Helper()
	if t, ok := t.(*testing.T); ok {
		t.Parallel()
	}
	db := storetest.New(t)
	w := &stockWorld{t: t, ledger: db.Open(t), sql: db.Pool(t), feed: &feed{page: 1000}, plain: &plainCart{shows: make(map[string]relay.Quantity)}, log: &lockedBuffer{}, cart: "shop"}
	open := func(c connectors.Connection) func(connectors.Config) (connectors.Connection, error) {
		return func(connectors.Config) (connectors.Connection, error) { return c, nil }
	}
	registry := append([]connectors.Connector{
		{Name: "feed", Role: connectors.Warehouse, Open: open(w.feed)}, {Name: "plain", Role: connectors.Cart, Open: open(w.plain)},
	}, carts...)
	m := storetest.Merchant("acme")
	m.Warehouse.Connector, m.Carts[0].Connector = "feed", "plain"
	storetest.Save(t, w.ledger, m)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	w.acts = activities.New(w.ledger, registry, transport, slog.New(slog.NewTextHandler(w.log, nil)), opt)
	var s testsuite.WorkflowTestSuite
	s.SetLogger(quiet{})
	w.env = s.NewTestActivityEnvironment()
	w.env.SetTestTimeout(10 * time.Minute)
	w.env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{activities.ErrorInterceptor()}})
	w.env.RegisterActivity(w.acts)
	return w
}

func (w *stockWorld) pull() (activities.PullInventoryResult, error) {
	var r activities.PullInventoryResult
	v, err := w.env.ExecuteActivity(w.acts.PullInventory, depotJob())
	if err == nil {
		err = v.Get(&r)
	}
	return r, err
}

func (w *stockWorld) pulled() activities.PullInventoryResult {
	w.t.Helper()
	r, err := w.pull()
	require.NoError(w.t, err)
	return r
}

// push pushes until there is nothing more to push now.
func (w *stockWorld) push() activities.PushResult {
	w.t.Helper()
	return butNextLook(w.t, w.look())
}

// lookSeldom has the cart's levels looked at only when there is a reason, for the tests
// that are about the reason.
func (w *stockWorld) lookSeldom() {
	w.t.Helper()
	_, err := w.sql.Exec(w.t.Context(), `update connections set schedule = '{"push_inventory": "24h"}' where name = $1`, w.cart)
	require.NoError(w.t, err)
}

func (w *stockWorld) look() (sum activities.PushResult) {
	w.t.Helper()
	for more := true; more; {
		var r activities.PushResult
		v, err := w.env.ExecuteActivity(w.acts.PushInventory, activities.JobInput{Merchant: "acme", Connection: w.cart})
		require.NoError(w.t, err)
		require.NoError(w.t, v.Get(&r))
		sum.Done, sum.Failed, sum.Next, more = sum.Done+r.Done, sum.Failed+r.Failed, r.Next, r.More
	}
	return sum
}

// asked are the cursors that the feed was asked with since the last time.
func (w *stockWorld) asked() []string {
	list := w.feed.asked
	w.feed.asked = nil
	return list
}

func value[T any](w *stockWorld, sql string, args ...any) (v T) {
	w.t.Helper()
	require.NoError(w.t, w.sql.QueryRow(w.t.Context(), sql, args...).Scan(&v))
	return v
}

// readAt is as of when the ledger takes all figures to stand.
func (w *stockWorld) readAt() time.Time {
	return value[time.Time](w, `select coalesce((select value::timestamptz from cursors where name = 'levels_read'), '-infinity'::timestamptz + interval '1 second')`)
}

var errHangUp = &relay.Error{Kind: relay.Unavailable, Op: "pull inventory", Err: errors.New("hung up")}

func TestStockIsReadByChange(t *testing.T) {
	w := newStockWorld(t, activities.Options{})
	w.feed.page = 2
	for _, code := range []relay.ItemCode{"A", "B", "C", "D", "E"} {
		w.feed.set(code, "", 10)
	}
	// A whole reading that is cut short starts anew: it must know all that it named.
	w.feed.before = func(cursor string) error {
		if cursor == "whole 2" {
			return errHangUp
		}
		return nil
	}
	_, err := w.pull()
	require.Error(t, err)
	w.feed.before = nil
	require.Equal(t, activities.PullInventoryResult{Levels: 5, Changed: 3}, w.pulled())
	require.Equal(t, []string{"", "whole 2", "", "whole 2", "whole 4"}, w.asked())

	// From then on only changes are asked for, and what they do not name stays.
	first := w.readAt()
	w.feed.set("B", "", 7)
	require.Equal(t, activities.PullInventoryResult{Levels: 1, Changed: 1}, w.pulled())
	require.Equal(t, []string{"since 5"}, w.asked())
	require.EqualValues(t, 5, value[int](w, `select count(*) from inventory_levels`))
	require.True(t, w.readAt().After(first), "what was not named stands as of the beginning of this reading")
	require.Equal(t, activities.PullInventoryResult{}, w.pulled(), "nothing changed")
	require.Equal(t, []string{"since 6"}, w.asked())

	// One that is cut short goes on where it was, and its beginning is the first attempt's.
	w.feed.set("A", "", 1)
	w.feed.set("B", "", 2)
	w.feed.set("C", "", 3)
	before := w.readAt()
	w.feed.before = func(cursor string) error {
		if cursor == "since 8" {
			return errHangUp
		}
		return nil
	}
	_, err = w.pull()
	require.Error(t, err)
	require.Equal(t, before, w.readAt())
	failed := time.Now()
	w.feed.before = nil
	require.Equal(t, activities.PullInventoryResult{Levels: 1, Changed: 1}, w.pulled())
	require.Equal(t, []string{"since 6", "since 8", "since 8"}, w.asked())
	require.True(t, w.readAt().After(before))
	require.True(t, w.readAt().Before(failed), "A and B may have changed again since they were read")
	w.pulled()
	require.True(t, w.readAt().After(failed))
}

// What could not be read is asked for again, and told to people.
func TestStockThatCanNotBeRead(t *testing.T) {
	w := newStockWorld(t, activities.Options{})
	w.feed.page = 2
	w.feed.set("A", "", 10)
	w.pulled()
	w.asked()
	for range 5 {
		w.feed.set("A", "", 11)
	}
	before := w.readAt()
	w.feed.partial, w.feed.unread = true, []connectors.Unread{{Subject: "Z", Message: "no number"}}
	for range 2 {
		require.Equal(t, 5, w.pulled().Levels)
		require.Equal(t, []string{"since 1", "since 3", "since 5"}, w.asked(), "the cursor stays before what was not read")
	}
	require.Equal(t, before, w.readAt())
	rows, err := w.ledger.Unread(t.Context(), "acme", "depot", 10)
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.Equal(t, "Z", rows[0].Subject)
	w.feed.partial, w.feed.unread = false, nil
	w.pulled()
	w.pulled()
	require.Equal(t, []string{"since 1", "since 3", "since 5", "since 6"}, w.asked())
	rows, err = w.ledger.Unread(t.Context(), "acme", "depot", 10)
	require.NoError(t, err)
	require.Empty(t, rows)
}

func TestStockOfSeveralLocationsIsPushed(t *testing.T) {
	w := newStockWorld(t, activities.Options{})
	_, err := w.sql.Exec(t.Context(), `update connections set rules = '{"stock": {"buffer": 1, "locations": {"32": ["W"]}}}' where name = 'shop'`)
	require.NoError(t, err)
	w.feed.set("MUG", "E", 10)
	w.feed.set("MUG", "W", 4)
	w.feed.page = 1000
	w.pulled()
	require.Equal(t, activities.PushResult{Done: 2}, w.push())
	require.Equal(t, map[string]relay.Quantity{"MUG@": relay.Units(9), "MUG@32": relay.Units(3)}, w.plain.shows)
	require.Equal(t, activities.PushResult{}, w.push())
	require.Len(t, w.plain.pushes, 1)
}

// A push that is repeated before it was recorded has the key it had; one that
// comes later with the same figures is another one.
func TestKeysOfStockPushes(t *testing.T) {
	w := newStockWorld(t, activities.Options{})
	w.feed.set("MUG", "", 10)
	w.pulled()
	w.push()
	_, err := w.sql.Exec(t.Context(), `delete from sent_levels`)
	require.NoError(t, err)
	w.push()
	key := func(i int) string { return w.plain.pushes[i].Key }
	require.Equal(t, key(0), key(1))
	for _, units := range []int64{9, 10} {
		w.feed.set("MUG", "", units)
		w.pulled()
		w.push()
	}
	require.Equal(t, w.plain.pushes[0].Targets, w.plain.pushes[3].Targets)
	require.NotEqual(t, key(0), key(3))
}

// A worker that was taken for dead writes behind the one that took its place, and
// dies then or lives: what the cart shows comes right.
func TestAPushThatWasTakenForDead(t *testing.T) {
	for name, dies := range map[string]bool{"dies": true, "lives": false} {
		t.Run(name, func(t *testing.T) {
			w := newStockWorld(t, activities.Options{})
			w.lookSeldom()
			w.feed.set("MUG", "", 10)
			w.pulled()
			w.look()
			w.feed.set("MUG", "", 12)
			w.pulled()
			w.plain.late = func() {
				w.feed.set("MUG", "", 9)
				w.pulled()
				r := w.look()
				require.Equal(t, 1, r.Done)
				require.WithinDuration(t, time.Now().Add(5*time.Minute), r.Next, time.Minute)
				require.Equal(t, relay.Units(9), w.plain.shows["MUG@"])
				if dies {
					_, err := w.sql.Exec(t.Context(), `alter table sent_levels rename to sent_levels_away`)
					require.NoError(t, err)
				}
			}
			_, err := w.env.ExecuteActivity(w.acts.PushInventory, activities.JobInput{Merchant: "acme", Connection: w.cart})
			if dies {
				require.Error(t, err)
				_, err := w.sql.Exec(t.Context(), `alter table sent_levels_away rename to sent_levels`)
				require.NoError(t, err)
				require.Equal(t, relay.Units(12), w.plain.shows["MUG@"])
				require.Zero(t, w.look().Done, "nothing tells yet that it is wrong")
				_, err = w.sql.Exec(t.Context(), `update stock_pushes set ends_at = now()`)
				require.NoError(t, err)
			} else {
				require.NoError(t, err)
			}
			w.look()
			require.Equal(t, relay.Units(9), w.plain.shows["MUG@"])
			require.Zero(t, value[int](w, `select count(*) from stock_pushes`))
			keys := make(map[string]bool)
			for _, p := range w.plain.pushes {
				keys[p.Key] = true
			}
			require.Len(t, keys, len(w.plain.pushes), "each has a key of its own")
		})
	}
}

// A level that the cart does not take keeps none of the others waiting, and its
// next try has a time.
func TestALevelThatIsRefusedIsTriedAgain(t *testing.T) {
	w := newStockWorld(t, activities.Options{})
	w.lookSeldom()
	w.feed.set("CAP", "", 3)
	w.feed.set("MUG", "", 10)
	w.pulled()
	w.plain.refuse = map[relay.SKU]error{"CAP": &relay.Error{Kind: relay.Unavailable, Op: "push inventory", Code: "level_moves"}}
	r := w.look()
	require.Equal(t, 1, r.Done)
	require.Equal(t, 1, r.Failed)
	require.WithinDuration(t, time.Now().Add(15*time.Minute), r.Next, time.Minute)
	require.Contains(t, value[string](w, `select error from sent_levels where sku = 'CAP'`), "level_moves")
	require.Zero(t, w.look().Done, "not before its time")
	w.plain.refuse = nil
	_, err := w.sql.Exec(t.Context(), `update sent_levels set retry_at = now() where sku = 'CAP'`)
	require.NoError(t, err)
	require.Equal(t, activities.PushResult{Done: 1}, w.look())
	require.Equal(t, relay.Units(3), w.plain.shows["CAP@"])
}

// An order that is cancelled may change what a cart is owed though the warehouse's
// figures stand still, so levels are looked at as often as these are read, or oftener.
func TestHowOftenLevelsAreLookedAt(t *testing.T) {
	for name, c := range map[string]struct {
		warehouse, cart string
		next            time.Duration // 0: left to the workflow
	}{
		"by default":                      {`{}`, `{}`, 5 * time.Minute},
		"stock is read often":             {`{"pull_inventory": "90s"}`, `{}`, 90 * time.Second},
		"stock is read once a day":        {`{"pull_inventory": "24h"}`, `{}`, 5 * time.Minute},
		"told at times of the cart's own": {`{"pull_inventory": "90s"}`, `{"push_inventory": "30m"}`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newStockWorld(t, activities.Options{})
			_, err := w.sql.Exec(t.Context(), `update connections set schedule = case role when 'warehouse' then $1::jsonb else $2::jsonb end`, c.warehouse, c.cart)
			require.NoError(t, err)
			if r := w.look(); c.next == 0 {
				require.Zero(t, r)
			} else {
				require.WithinDuration(t, time.Now().Add(c.next), r.Next, 30*time.Second)
			}
		})
	}
}

// Stock that somebody moves at the cart between our reading and our adjustment
// does not stay wrong.
func TestAMovementDuringAnAdjustmentIsMended(t *testing.T) {
	w := newWorld(t, setup{})
	require.NoError(t, w.depot.SetStock(mugCode, "EAST", 40))
	w.pullInventory()
	moved := 0
	wrap := func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/stock_adjustments") {
			if moved++; moved == 1 {
				require.NoError(t, w.shop.SetStock("acme", "MUG", shopsim.Stock{OnHand: "995"}))
			}
		}
		return false
	}
	w.wrapShop.Store(&wrap)
	require.Equal(t, activities.PushResult{Done: 2}, w.pushLevels(shopJob()))
	require.Equal(t, 2, moved)
	stock, err := w.shop.Stock("acme")
	require.NoError(t, err)
	for _, s := range stock {
		if s.SKU == "MUG" {
			require.Equal(t, "40", strings.TrimSuffix(s.OnHand, ".0"))
		}
	}
	require.Equal(t, activities.PushResult{}, w.pushLevels(shopJob()))
}

// TradeGecko keeps no stock of a bundle: its orders are committed on the parts.
func TestKitsThatAreBundlesAtTheCart(t *testing.T) {
	w := newWorld(t, setup{})
	_, err := w.shop.AddVariant("acme", shopsim.NewVariant{SKU: "SET", Components: []shopsim.NewComponent{{SKU: "MUG", Quantity: "2"}}})
	require.NoError(t, err)
	_, err = w.ledger.EditKits(t.Context(), "acme", store.KitEdit{Set: []relay.Kit{{SKU: "SET", Components: []relay.Component{{SKU: "MUG", Units: 2}}}}, Actor: "clerk"})
	require.NoError(t, err)
	mugs := func() string {
		list, err := w.shop.Stock("acme")
		require.NoError(t, err)
		for _, s := range list {
			if s.SKU == "MUG" {
				return s.OnHand + " on hand, " + s.Available + " available"
			}
		}
		return "none"
	}
	stock := func() {
		w.pullInventory()
		w.pushLevels(shopJob())
	}
	stock()
	require.Equal(t, "1000 on hand, 1000 available", mugs())
	number := w.sell(shopsim.NewLine{SKU: "SET", Quantity: "3"}, shopsim.NewLine{SKU: "MUG", Quantity: "1"})
	w.pull()
	require.Equal(t, 1, w.submit().Accepted)
	stock()
	require.Equal(t, "1000 on hand, 993 available", mugs())
	require.NoError(t, w.depot.Ship(string(w.order(number).WarehouseOrderID)))
	w.pullShipments()
	stock()
	require.Equal(t, "1000 on hand, 993 available", mugs(), "the cart does not know that it has left")
	require.Equal(t, 1, w.pushShipments().Confirmed)
	require.Equal(t, "993 on hand, 993 available", mugs())
	stock()
	require.Equal(t, "993 on hand, 993 available", mugs())
}

// Two carts that divide an account by their filters are at one location: one of them
// leaves its stock alone, or each would write over what the other set.
func TestACartOfADividedAccountLeavesItsStockAlone(t *testing.T) {
	w := newWorld(t, setup{})
	m, err := w.ledger.Merchant(t.Context(), "acme")
	require.NoError(t, err)
	vip := m.Merchant.Carts[0]
	vip.Name, vip.Rules.Filter.Tags, vip.Rules.Stock.Sites = "vip", []string{"vip"}, []string{}
	m.Merchant.Carts[0].Rules.Filter.NotTags = []string{"vip"}
	m.Merchant.Carts = append(m.Merchant.Carts, vip)
	_, err = w.ledger.SaveMerchant(t.Context(), m.Merchant, map[relay.ConnectionName]map[string]string{
		"shop": {"access_token": shopToken}, "vip": {"access_token": shopToken}, "depot": {"production_key": depotKey},
	})
	require.NoError(t, err)
	totes := func() string {
		list, err := w.shop.Stock("acme")
		require.NoError(t, err)
		i := slices.IndexFunc(list, func(s shopsim.StockView) bool { return s.SKU == "TOTE" })
		return list[i].OnHand
	}
	vipJob := activities.JobInput{Merchant: "acme", Connection: "vip"}

	w.sellTo("United States", "US")
	w.sellTo("United States", "US")
	number := w.sellTo("United States", "US", "vip")
	w.pull()
	do[activities.PullOrdersResult](w, w.acts.PullOrders, vipJob)
	require.Equal(t, 3, w.submit().Accepted)
	w.pullInventory()
	require.Equal(t, activities.PushResult{Done: 2}, w.pushLevels(shopJob()))
	require.Equal(t, "999", totes(), "997 are available, and 2 owed to orders of this cart")
	require.Equal(t, activities.PushResult{}, w.pushLevels(vipJob))
	require.Equal(t, "999", totes())

	found, err := w.ledger.FindOrders(t.Context(), "acme", number) // the other cart skips it
	require.NoError(t, err)
	i := slices.IndexFunc(found, func(o store.OrderSummary) bool { return o.Cart == "vip" })
	require.NoError(t, w.depot.Ship(string(found[i].WarehouseOrderID)))
	w.pullShipments()
	require.Equal(t, 1, do[activities.PushResult](w, w.acts.PushShipments, vipJob).Confirmed)
	require.Equal(t, activities.PushResult{}, w.pushLevels(shopJob()), "its figure did not change")
	require.Equal(t, "998", totes(), "what the other had open is missing until then")
}

// sampleHeap notes the most that the heap held until it is stopped, in MB.
func sampleHeap() (stop func() float64) {
	done, out := make(chan struct{}), make(chan float64)
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		var most uint64
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse)
			select {
			case <-tick.C:
			case <-done:
				out <- float64(most) / 1e6
				return
			}
		}
	}()
	return func() float64 { close(done); return <-out }
}

// benchmarkSync measures reading 50,000 levels and telling them all, and then
// reading 100 changes and telling those.
func benchmarkSync(b *testing.B, w *stockWorld) {
	const levels, few = 50_000, 100
	for n := range levels {
		w.feed.set(relay.ItemCode(fmt.Sprintf("SKU-%06d", n)), "", int64(n%90)+1)
	}
	for b.Loop() {
		_, err := w.sql.Exec(b.Context(), `truncate inventory_levels, sent_levels; delete from cursors`)
		require.NoError(b, err)
		w.feed.changes = w.feed.changes[:levels]
		runtime.GC()
		stop := sampleHeap()
		began := time.Now()
		require.Equal(b, levels, w.pulled().Levels)
		b.ReportMetric(time.Since(began).Seconds(), "s/pull-all")
		began = time.Now()
		require.Equal(b, activities.PushResult{Done: levels}, w.push())
		b.ReportMetric(time.Since(began).Seconds(), "s/push-all")
		for n := range few {
			w.feed.set(relay.ItemCode(fmt.Sprintf("SKU-%06d", n*500)), "", 1000)
		}
		began = time.Now()
		require.Equal(b, few, w.pulled().Changed)
		require.Equal(b, activities.PushResult{Done: few}, w.push())
		b.ReportMetric(time.Since(began).Seconds(), "s/100-changes")
		b.ReportMetric(stop(), "MB-heap")
	}
}

func BenchmarkSync50000LevelsToAFastCart(b *testing.B) {
	benchmarkSync(b, newStockWorld(b, activities.Options{}))
}

func BenchmarkSync50000LevelsToTradeGecko(b *testing.B) {
	shop, err := shopsim.New(shopsim.Config{Seed: 1, RateLimit: 1_000_000, Accounts: []shopsim.Account{{Name: "acme", Tokens: []string{shopToken}}}})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, shop.Close()) })
	server := httptest.NewServer(shop.Handler())
	b.Cleanup(server.Close)
	for n := range 50_000 {
		_, err := shop.AddVariant("acme", shopsim.NewVariant{SKU: fmt.Sprintf("SKU-%06d", n), Stock: []shopsim.Stock{{OnHand: "0"}}})
		require.NoError(b, err)
	}
	kind := tradegecko.Connectors()[0]
	w := newStockWorld(b, activities.Options{}, kind)
	settings, base, faults := kind.Configure(server.URL, nil, nil)
	require.Empty(b, faults)
	m := storetest.Merchant("acme")
	m.Warehouse.Connector = "feed"
	m.Carts[0].Name, m.Carts[0].Connector, m.Carts[0].BaseURL, m.Carts[0].Settings = "gecko", kind.Name, base, settings
	_, err = w.ledger.SaveMerchant(b.Context(), m, map[relay.ConnectionName]map[string]string{"gecko": {"access_token": shopToken}})
	require.NoError(b, err)
	w.cart = "gecko"
	benchmarkSync(b, w)
}
