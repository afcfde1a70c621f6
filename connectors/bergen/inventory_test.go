package bergen

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
)

// item is a row of stock (section 10.1).
func item(warehouse, upc string, actual, pending any) string {
	return fmt.Sprintf(`<item><Warehouse>%s</Warehouse><WarehouseId>4</WarehouseId><Sku /><Style>S-%s</Style><Color>navy</Color><Size>M</Size><Upc>%s</Upc><Description /><Price>39.5</Price><ActualQuantity>%v</ActualQuantity><PendingQuantity>%v</PendingQuantity></item>`,
		warehouse, upc, upc, actual, pending)
}

func stockOf(o operation, total any, rows ...string) reply {
	return o.says(fmt.Sprintf("<Notifications /><Inventory>%s</Inventory><TotalNumberOfBatches>%v</TotalNumberOfBatches>", strings.Join(rows, ""), total))
}

// shelf answers stock by name from its rows.
func shelf(rows ...string) reply {
	return func(w http.ResponseWriter, r *http.Request) {
		body := bodyOf(r)
		var out []string
		for _, row := range rows {
			_, after, _ := strings.Cut(row, "<Upc>")
			upc, _, _ := strings.Cut(after, "<")
			if strings.Contains(body, "<string>"+upc+"</string>") {
				out = append(out, row)
			}
		}
		stockOf(getByUPCs, 0, out...)(w, r)
	}
}

// drain reads all pages of one reading and fails when a code is in two of them.
func drain(t *testing.T, c *connection, cursor string, limit int) (levels map[string]string, last connectors.InventoryPage) {
	t.Helper()
	levels = make(map[string]string)
	pages := make(map[relay.ItemCode]string)
	for range 1000 {
		page, err := c.PullInventory(t.Context(), connectors.InventoryQuery{Cursor: cursor, Limit: limit})
		require.NoError(t, err)
		require.Equal(t, connectors.NetOfOrders, page.Meaning)
		codes := make(map[relay.ItemCode]bool)
		for _, l := range page.Levels {
			in, seen := pages[l.Code]
			require.True(t, !seen || in == cursor, "%s is in two pages", l.Code)
			pages[l.Code] = cursor
			codes[l.Code] = true
			key := string(l.Code) + " " + l.Site
			require.NotContains(t, levels, key)
			levels[key] = l.Quantity.String()
		}
		require.LessOrEqual(t, len(codes), limit)
		cursor, last = page.Cursor, page
		if !page.More {
			return levels, last
		}
	}
	t.Fatal("it does not end")
	return nil, last
}

// Stock is listed warehouse by warehouse, so that a code straddles batches.
func TestCodesThatStraddleBatches(t *testing.T) {
	v := newVendor(t)
	v.on(getBatch,
		stockOf(getBatch, 3, item("Bergen Logistics NJ2", "A", 120, 14), item("Bergen Logistics NJ2", "B", 0, 0)),
		stockOf(getBatch, 3, item("Bergen Logistics NJ2", "C", 3, 5), item("BERGEN  LOGISTICS NJ3", "A", 7, 0)),
		stockOf(getBatch, 3, item("Bergen Logistics NJ3", "B", "", ""), item("Bergen Logistics NJ3", "C", 1, 1)))
	c := v.open(connectors.Values{"sites": "all"})
	for _, limit := range []int{1, 2, 50} {
		v.on(getBatch, v.script[getBatch.name]...)
		got, last := drain(t, c, "", limit)
		require.False(t, last.Partial || last.Changes)
		require.Empty(t, last.Unread)
		if limit == 1 {
			require.Equal(t, map[string]string{"A " + nj2: "106", "A " + nj3: "7", "B " + nj2: "0", "B " + nj3: "0", "C " + nj2: "-2", "C " + nj3: "0"}, got)
			require.Len(t, v.requests(getBatch), 3, "later pages come from what was read")
			require.Contains(t, v.requests(getBatch)[0].body, "<batchNumber>1<")
			require.Contains(t, v.requests(getBatch)[2].body, "<batchNumber>3<")
		}
		v.on(getBatch, stockOf(getBatch, 1, item("Bergen Logistics NJ2", "A", 1, 0), item("Bergen Logistics NJ3", "A", 1, 0)))
		v.on(getByUPCs, shelf())
	}
}

func TestOnlySitesThatCount(t *testing.T) {
	rows := []string{item("Bergen Logistics NJ2", "A", 5, 1), item("Bergen Logistics NJ3", "A", 50, 0)}
	v := newVendor(t)
	v.on(getBatch, stockOf(getBatch, 1, rows...))
	got, _ := drain(t, v.open(nil), "", 10)
	require.Equal(t, map[string]string{"A " + nj2: "4"}, got, "an order that goes to NJ2 can't be filled from NJ3")
	got, _ = drain(t, v.open(connectors.Values{"sites": "bergen logistics nj3, BERGEN LOGISTICS NJ2"}), "", 10)
	require.Len(t, got, 2)
	_, err := v.open(connectors.Values{"sites": "BERGEN LOGISTICS HK"}).PullInventory(t.Context(), connectors.InventoryQuery{})
	require.ErrorIs(t, err, relay.Invalid, "rather no figures than nothing for everything")
}

func TestStockThatCannotBeRead(t *testing.T) {
	v := newVendor(t)
	v.on(getBatch, stockOf(getBatch, 1, item(nj2, "A", 5, 0), item(nj2, "B", "many", 0), item(nj2, "", 5, 0), item(nj2, "C", 1, "1e3"), item(nj2, "D", 2, 0)))
	got, last := drain(t, v.open(nil), "", 10)
	require.Equal(t, map[string]string{"A " + nj2: "5", "D " + nj2: "2"}, got)
	require.True(t, last.Partial)
	var subjects []string
	for _, u := range last.Unread {
		subjects = append(subjects, u.Subject)
	}
	require.Equal(t, []string{"B", "C", "items without a UPC"}, subjects)

	for name, answer := range map[string]reply{
		"failure":          getBatch.notes(1, "Error", "Failed: no"),
		"fault":            faults("soap:Server", "no"),
		"batches unclear":  stockOf(getBatch, "some", item(nj2, "A", 5, 0)),
		"no batches":       stockOf(getBatch, 0, item(nj2, "A", 5, 0)),
		"batches not told": getBatch.says("<Notifications /><Inventory>" + item(nj2, "A", 5, 0) + "</Inventory>"),
	} {
		v.on(getBatch, answer)
		_, err := v.open(nil).PullInventory(t.Context(), connectors.InventoryQuery{})
		require.ErrorIs(t, err, relay.Unavailable, name)
	}
	v.on(getBatch, getBatch.says("<Notifications /><Inventory />"))
	got, last = drain(t, v.open(nil), "", 10)
	require.Empty(t, got)
	require.False(t, last.Partial)
}

// Rows that move between two batches.
func TestRowsThatMove(t *testing.T) {
	one := stockOf(getBatch, 2, item(nj2, "A", 1, 0), item(nj2, "B", 2, 0))
	repeated := stockOf(getBatch, 2, item(nj2, "B", 2, 0), item(nj2, "C", 3, 0))
	two := stockOf(getBatch, 2, item(nj2, "C", 3, 0), item(nj2, "D", 4, 0))
	all := map[string]string{"A " + nj2: "1", "B " + nj2: "2", "C " + nj2: "3", "D " + nj2: "4"}
	v := newVendor(t)
	v.on(getBatch, one, repeated, one, two)
	got, last := drain(t, v.open(nil), "", 10)
	require.Equal(t, all, got)
	require.False(t, last.Partial)
	require.Len(t, v.requests(getBatch), 4, "read again")

	v = newVendor(t)
	v.on(getBatch, one, repeated, one, repeated, one, repeated)
	got, last = drain(t, v.open(nil), "", 10)
	require.Len(t, got, 3)
	require.True(t, last.Partial, "nothing follows from an absence")

	// One that slipped through is asked for by name: it lacks a site, or was there before.
	v = newVendor(t)
	v.on(getBatch, stockOf(getBatch, 2, item(nj2, "A", 1, 0), item(nj2, "B", 2, 0), item(nj2, "C", 9, 0)),
		stockOf(getBatch, 2, item(nj3, "A", 3, 0), item(nj3, "C", 9, 0)),
		stockOf(getBatch, 1, item(nj2, "A", 1, 0), item(nj3, "A", 3, 0)))
	v.on(getByUPCs, shelf(item(nj2, "A", 1, 0), item(nj3, "A", 3, 0), item(nj2, "B", 2, 0), item(nj3, "B", 4, 0)))
	c := v.open(connectors.Values{"sites": "all"})
	want := map[string]string{"A " + nj2: "1", "A " + nj3: "3", "B " + nj2: "2", "B " + nj3: "4"}
	got, _ = drain(t, c, "", 10)
	delete(got, "C "+nj2)
	delete(got, "C "+nj3)
	require.Equal(t, want, got)
	got, _ = drain(t, c, "", 10)
	require.Equal(t, want, got, "B was there before, and is; C is gone")
	require.NotContains(t, v.requests(getByUPCs)[0].body, "<string>A<")
}

// Whether batches are counted from 0 or from 1 is not known: the wrong setting
// would leave one of them out.
func TestBatchesCountedFromTheOtherNumber(t *testing.T) {
	all := []string{item(nj2, "A", 5, 0), item(nj2, "B", 6, 0)}
	for from, setting := range map[int]string{0: "1", 1: "0"} {
		for total := 1; total <= len(all); total++ {
			v := newVendor(t)
			v.on(getBatch, func(w http.ResponseWriter, r *http.Request) {
				body := bodyOf(r)
				for i := range total {
					if strings.Contains(body, fmt.Sprintf("<batchNumber>%d<", from+i)) {
						stockOf(getBatch, total, all[i])(w, r)
						return
					}
				}
				stockOf(getBatch, total)(w, r)
			})
			v.on(getByUPCs, shelf(all...))
			c := v.open(connectors.Values{"first_batch": setting})
			_, err := c.PullInventory(t.Context(), connectors.InventoryQuery{})
			require.ErrorIs(t, err, relay.Invalid)
			require.Contains(t, err.Error(), fmt.Sprintf("want %d", from))
			report, err := c.Check(t.Context())
			require.NoError(t, err)
			require.Contains(t, report.Missing[0], fmt.Sprintf("settings.first_batch is %s, and this service counts batches of stock from %d", setting, from))

			c = v.open(connectors.Values{"first_batch": fmt.Sprint(from)})
			levels, last := drain(t, c, "", 10)
			require.Len(t, levels, total)
			require.False(t, last.Partial)
			report, err = c.Check(t.Context())
			require.NoError(t, err)
			require.Empty(t, report.Missing)
		}
	}
}

// A batch that has nothing though it was to be there: the rows moved away.
func TestAnEmptyBatch(t *testing.T) {
	v := newVendor(t)
	v.on(getBatch, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(bodyOf(r), "<batchNumber>1<") {
			stockOf(getBatch, 2, item(nj2, "A", 5, 0))(w, r)
			return
		}
		stockOf(getBatch, 2)(w, r)
	})
	levels, last := drain(t, v.open(nil), "", 10)
	require.Len(t, levels, 1)
	require.True(t, last.Partial)
}

// All stock was read, and then the service tells of a few items only.
func TestStockThatVanishes(t *testing.T) {
	var rows []string
	for i := range 1200 {
		rows = append(rows, item(nj2, fmt.Sprintf("C%04d", i), 5, 0))
	}
	few, some := stockOf(getBatch, 1, rows[:10]...), stockOf(getBatch, 1, rows[:1100]...)
	always := connectors.Values{"full_inventory_every": "0s"}
	v := newVendor(t)
	v.on(getBatch, stockOf(getBatch, 1, rows...), few, some)
	v.on(getByUPCs, shelf(rows...))
	c := v.open(always)
	levels, all := drain(t, c, "", 1000)
	require.Len(t, levels, 1200)
	_, last := drain(t, c, all.Cursor, 1000)
	require.True(t, last.Partial, "more are missing than can be asked for by name")
	levels, last = drain(t, c, all.Cursor, 1000)
	require.Len(t, levels, 1200, "the service knows them by name")
	require.False(t, last.Partial)

	// They are gone indeed: some are asked for in one reading, the rest in the next.
	v.on(getBatch, few)
	v.on(getByUPCs, shelf(rows[:10]...))
	_, last = drain(t, c, all.Cursor, 1000)
	require.True(t, last.Partial)
	levels, last = drain(t, c, all.Cursor, 1000)
	require.Len(t, levels, 10)
	require.False(t, last.Partial)

	// A process that has just begun knows no names, but how many there were.
	c = v.open(always)
	_, last = drain(t, c, all.Cursor, 1000)
	require.True(t, last.Partial)
	levels, last = drain(t, c, all.Cursor, 1000)
	require.Len(t, levels, 10, "as another reading says")
	require.False(t, last.Partial)
}

func TestUnknownCodesThatSpoilAQuestion(t *testing.T) {
	v := newVendor(t)
	var codes []string
	for i := range 9 {
		codes = append(codes, fmt.Sprint("U", i))
	}
	v.on(getByUPCs, func(w http.ResponseWriter, r *http.Request) {
		body := bodyOf(r)
		if strings.Contains(body, "<string>U3<") || strings.Contains(body, "<string>U8<") {
			getByUPCs.notes(33, "UpcCodeError", "UPC is not valid")(w, r)
			return
		}
		var rows []string
		for _, code := range codes {
			if strings.Contains(body, "<string>"+code+"<") {
				rows = append(rows, item(nj2, code, 1, 0))
			}
		}
		stockOf(getByUPCs, 0, rows...)(w, r)
	})
	c := v.open(nil)
	s := newStock(c.counts)
	told, err := c.readByName(t.Context(), "x", codes, &s)
	require.NoError(t, err)
	require.Equal(t, 7, told)
	require.Len(t, s.levels, 7)
	v.on(getByUPCs, getByUPCs.notes(1, "Error", "Failed: database"))
	_, err = c.readByName(t.Context(), "x", codes, &s)
	require.ErrorIs(t, err, relay.Unavailable)
}

func TestChangesBetweenFullReadings(t *testing.T) {
	v := newVendor(t)
	v.on(getBatch, stockOf(getBatch, 1, item(nj2, "A", 1, 0), item(nj2, "B", 2, 0), item(nj2, "C", 3, 0)))
	v.on(getChangesBatch, stockOf(getChangesBatch, 2, item("Bergen Logistics NJ2", "B", 9, 0)), stockOf(getChangesBatch, 2, item(nj3, "C", 8, 0)),
		stockOf(getChangesBatch, 0))
	v.on(getByUPCs, shelf(item(nj2, "B", 7, 1), item(nj2, "C", 4, 0), item(nj3, "C", 8, 0)))
	c := v.open(nil)
	began := time.Now()
	_, full := drain(t, c, "", 10)
	ended := time.Now()
	require.False(t, full.Changes)
	require.NotEmpty(t, full.Cursor)

	got, changes := drain(t, c, full.Cursor, 1)
	require.True(t, changes.Changes)
	require.Equal(t, map[string]string{"B " + nj2: "6", "C " + nj2: "4"}, got, "read anew by name, at every site that counts")
	require.Len(t, v.requests(getBatch), 1)
	require.Len(t, v.requests(getChangesBatch), 2)
	_, after, _ := strings.Cut(v.requests(getChangesBatch)[0].body, "<fromDateTime>")
	stamp, _, _ := strings.Cut(after, "<")
	told := func(stamp string) time.Time { // in whole seconds, and some hour of autumn twice
		at, err := time.ParseInLocation(sinceForm, stamp, c.eastern)
		require.NoError(t, err)
		return at
	}
	overlapping := func(at time.Time) time.Time { return told(at.Add(-overlap).In(c.eastern).Format(sinceForm)) }
	require.WithinRange(t, told(stamp), overlapping(began), overlapping(ended))

	got, none := drain(t, c, changes.Cursor, 10)
	require.Empty(t, got)
	require.True(t, none.Changes)

	// A day later all is read again; so it is with other sites or another address.
	p, err := parsePosition("x", none.Cursor)
	require.NoError(t, err)
	require.Equal(t, p.Full.Truncate(time.Second), mustParse(t, full.Cursor).Full.Truncate(time.Second))
	p.Full = p.Full.Add(-25 * time.Hour)
	_, again := drain(t, c, p.String(), 10)
	require.False(t, again.Changes)
	_, other := drain(t, v.open(connectors.Values{"sites": "all"}), again.Cursor, 10)
	require.False(t, other.Changes)
	_, always := drain(t, v.open(connectors.Values{"full_inventory_every": "0s"}), again.Cursor, 10)
	require.False(t, always.Changes)
	_, err = c.PullInventory(t.Context(), connectors.InventoryQuery{Cursor: "after:x"})
	require.ErrorIs(t, err, relay.Invalid)
}

func mustParse(t *testing.T, cursor string) position {
	p, err := parsePosition("x", cursor)
	require.NoError(t, err)
	return p
}

// Nothing changed: one batch, which is empty, and no other to ask for.
func TestNoChangesInOneBatch(t *testing.T) {
	v := newVendor(t)
	v.on(getBatch, stockOf(getBatch, 1, item(nj2, "A", 1, 0)))
	nothing := raw(200, envelopeHead+`<GetInventoryFromDateTimeByBatchResponse xmlns="http://rex11.com/webmethods/" />`+envelopeTail)
	outside := getChangesBatch.notes(1, "Error", "Failed: batch number 0 is out of range")
	refused := getChangesBatch.notes(2, "AuthenticationError", "Authentication failed")
	allowed, busy := true, false
	v.on(getChangesBatch, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !strings.Contains(bodyOf(r), "<batchNumber>0<"):
			stockOf(getChangesBatch, 1)(w, r)
		case busy:
			http.Error(w, "busy", http.StatusServiceUnavailable)
		case allowed:
			outside(w, r)
		default:
			refused(w, r)
		}
	})
	c := v.open(nil)
	_, full := drain(t, c, "", 10)
	got, changes := drain(t, c, full.Cursor, 10)
	require.Empty(t, got)
	require.True(t, changes.Changes)
	require.False(t, changes.Partial)

	outside = nothing // a null result
	_, changes = drain(t, c, changes.Cursor, 10)
	require.False(t, changes.Partial)

	// Whether the other batch has anything is not known.
	busy = true
	_, changes = drain(t, c, changes.Cursor, 10)
	require.True(t, changes.Partial)

	busy, allowed = false, false
	_, err := c.PullInventory(t.Context(), connectors.InventoryQuery{Cursor: changes.Cursor})
	require.ErrorIs(t, err, relay.Unauthorised, "that says nothing of the batch")
}

// Another process goes on with the pages: codes that came or went meanwhile put
// none into two pages.
func TestAnotherProcessGoesOn(t *testing.T) {
	v := newVendor(t)
	var rows []string
	for i := range 10 {
		rows = append(rows, item(nj2, fmt.Sprintf("U%02d", i), i, 0))
	}
	v.on(getBatch, stockOf(getBatch, 1, rows...), stockOf(getBatch, 1, slices.Concat(rows[:2], rows[4:], []string{item(nj2, "U005", 1, 0), item(nj2, "U99", 1, 0)})...))
	first, err := v.open(nil).PullInventory(t.Context(), connectors.InventoryQuery{Limit: 4})
	require.NoError(t, err)
	require.True(t, first.More)
	got, last := drain(t, v.open(nil), first.Cursor, 4)
	require.Len(t, got, 7)
	require.NotContains(t, got, "U005 "+nj2, "it sorts before what was handed out")
	require.Contains(t, got, "U99 "+nj2)
	require.False(t, last.More)
}

func TestSitesAndCheck(t *testing.T) {
	v := newVendor(t)
	v.on(getBatch, stockOf(getBatch, 9, item("Bergen Logistics NJ2", teeUPC, 1, 0)))
	v.on(getByUPCs, shelf(item("Bergen Logistics NJ2", teeUPC, 1, 0), item("Bergen Logistics NJ3", teeUPC, 0, 0)))
	c := v.open(nil)
	sites, err := c.Sites(t.Context())
	require.NoError(t, err)
	require.Equal(t, []connectors.Site{{ID: nj2, Name: nj2}}, sites, "no stock rule can name one that does not count")
	sites, err = v.open(connectors.Values{"sites": "all"}).Sites(t.Context())
	require.NoError(t, err)
	require.Equal(t, []connectors.Site{{ID: nj2, Name: nj2}, {ID: nj3, Name: nj3}}, sites)
	report, err := c.Check(t.Context())
	require.NoError(t, err)
	require.Equal(t, connectors.Report{
		Account: "northwind-demo", Mode: relay.ModeTest, Details: []string{"warehouse " + nj2, "warehouse " + nj3, "1 items in the first batch of stock"},
	}, report)
	require.Len(t, v.requests(getBatch), 5)

	report, err = v.open(connectors.Values{"warehouse": "BERGEN LOGISTICS HK", "sites": "all"}).Check(t.Context())
	require.NoError(t, err)
	require.Len(t, report.Missing, 1)
	require.Contains(t, report.Missing[0], "BERGEN LOGISTICS HK")

	v.on(getBatch, getBatch.says("<Notifications /><Inventory />"))
	report, err = c.Check(t.Context())
	require.NoError(t, err)
	require.Contains(t, report.Missing[0], "no items")
	sites, err = c.Sites(t.Context())
	require.NoError(t, err)
	require.Equal(t, []connectors.Site{{ID: nj2, Name: nj2}}, sites)
	v.on(getBatch, getBatch.notes(1, "Error", "Failed: no"))
	_, err = c.Check(t.Context())
	require.Error(t, err)
}
