package cli

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
	"orderferry/starter/rehearsal"
	"orderferry/store"
	"orderferry/workflows"
)

func (l *fakeLedger) CartOrderStates(_ context.Context, _ store.ConnectionID, ids []relay.ExternalID) (map[relay.ExternalID]relay.OrderState, error) {
	return l.states, nil
}

func (l *fakeLedger) Owned(_ context.Context, _ store.ConnectionID, ids []relay.WarehouseOrderID) ([]bool, error) {
	return make([]bool, len(ids)), nil
}

func (l *fakeLedger) RehearseMerchant(context.Context, relay.Merchant, map[relay.ConnectionName]map[string]string) error {
	return l.refuses
}

func (l *fakeLedger) SetPaused(_ context.Context, m relay.MerchantID, paused bool) error {
	l.paused = append(l.paused, string(m))
	return nil
}

func (l *fakeLedger) StoredVault(c store.Connection) rehearsal.StoredVault {
	if c.Connector == "shop" {
		return storedVault{"token": "tok-rotated"}
	}
	return storedVault{}
}

type storedVault map[string]string

func (v storedVault) Read(context.Context) (map[string]string, error) { return v, nil }

func (v storedVault) Rotate(ctx context.Context, next func(context.Context, map[string]string) (map[string]string, error)) (map[string]string, error) {
	return next(ctx, v)
}

func (v storedVault) Onboarded(_ context.Context, given map[string]string) (bool, error) {
	return given["token"] == "tok-1", nil
}

// shopFront is a cart with orders in pages of two, and a token that may have to be renewed.
type shopFront struct {
	cfg    connectors.Config
	orders []relay.CartOrder
	old    bool // its token must be renewed
	down   error
	mode   relay.Mode // that its token is of
}

func (s *shopFront) Check(ctx context.Context) (connectors.Report, error) {
	if s.down != nil {
		return connectors.Report{}, s.down
	}
	c, err := s.cfg.Vault.Read(ctx)
	if err == nil && s.old {
		c, err = s.cfg.Vault.Rotate(ctx, func(_ context.Context, c connectors.Credentials) (connectors.Credentials, error) { return c, nil })
	}
	return connectors.Report{Account: "shop of " + c["token"], Mode: s.mode}, err
}

func (s *shopFront) PullOrders(_ context.Context, q connectors.OrdersQuery) (connectors.OrdersPage, error) {
	from := strings.Count(q.Cursor, "+") * 2
	to := min(from+2, len(s.orders))
	return connectors.OrdersPage{Orders: s.orders[from:to], Cursor: q.Cursor + "+", More: to < len(s.orders)}, nil
}

// depotFront takes orders, and has some of another integration's.
type depotFront struct {
	there map[string]bool // by number
	blind bool            // it can't be searched
	takes bool            // orders may be sent
	live  bool
}

func (d *depotFront) Check(context.Context) (connectors.Report, error) {
	mode := relay.ModeTest
	if d.live {
		mode = relay.ModeLive
	}
	return connectors.Report{Account: "depot 7", Mode: mode, Details: []string{"site east"}}, nil
}

func (d *depotFront) Sites(context.Context) ([]connectors.Site, error) {
	return []connectors.Site{{ID: "east"}, {ID: "west"}}, nil
}

func (d *depotFront) PrepareOrder(o connectors.WarehouseOrder) (connectors.Prepared, error) {
	if len(o.ShipTo.Street1) > 30 {
		return connectors.Prepared{}, &relay.Error{Kind: relay.Invalid, Reason: relay.HoldBadAddress, Fields: []relay.Problem{{Field: "ship_to.street1"}}}
	}
	return connectors.Prepared{Token: o.Token, Body: []byte(o.Number)}, nil
}

func (d *depotFront) SubmitOrder(_ context.Context, p connectors.Prepared) (connectors.Accepted, error) {
	if !d.takes {
		panic("a dry run sends nothing")
	}
	return connectors.Accepted{ID: relay.WarehouseOrderID(p.Body)}, nil
}

func (d *depotFront) FindOrders(_ context.Context, q connectors.LookupQuery) ([]connectors.Lookup, error) {
	out := make([]connectors.Lookup, len(q.Orders))
	for i, r := range q.Orders {
		out[i].Certain = !d.blind
		if d.there[r.Order.Number] {
			out[i].Matches = []connectors.Match{{ID: "W1", By: "content"}}
		}
	}
	return out, nil
}

func inStock(number string, change func(*relay.CartOrder)) relay.CartOrder {
	o := relay.CartOrder{
		ExternalID: relay.ExternalID("x" + number), Number: number, PlacedAt: noon.Add(-time.Hour), UpdatedAt: noon.Add(-time.Hour),
		ShipTo: relay.Address{Company: "Kiln Supply", Street1: "48 Juniper Way", City: "Troy", State: "New York", Zip: "12180", Country: "United States"},
		Lines:  []relay.Line{{ID: "1", SKU: "CUP", Quantity: relay.Units(1)}},
	}
	if change != nil {
		change(&o)
	}
	return o
}

// rehearsing is a world whose connectors answer.
func rehearsing(t *testing.T, shop *shopFront, depot *depotFront) *world {
	w := answering(t)
	w.connectors = testConnectors()
	w.connectors[0].Open = func(cfg connectors.Config) (connectors.Connection, error) { shop.cfg = cfg; return shop, nil }
	w.connectors[1].Open = func(connectors.Config) (connectors.Connection, error) { return depot, nil }
	return w
}

func someOrders() []relay.CartOrder {
	return []relay.CartOrder{
		inStock("1001", nil), inStock("1002", nil),
		inStock("1003", func(o *relay.CartOrder) { o.Lines[0].SKU = "LAMP" }),
		inStock("1004", func(o *relay.CartOrder) { o.Lines[0].SKU = "LAMP" }),
		inStock("1005", func(o *relay.CartOrder) { o.ShipTo.Zip = "1218" }),
		inStock("1006", func(o *relay.CartOrder) { o.ShipTo.Street1 = strings.Repeat("way ", 10) }),
		inStock("1007", func(o *relay.CartOrder) { o.PlacedAt = noon.AddDate(0, -2, 0) }),
		inStock("1008", nil), inStock("1009", nil),
		inStock("1010", func(o *relay.CartOrder) { o.Lines[0].SKU = "SOON" }),
		inStock("1011", func(o *relay.CartOrder) { o.ShipMethod, o.Lines[0].SKU = "Drone", "LAMP" }),
	}
}

const withRules = `    filter: {earliest: 2026-11-01}
    ship_methods: {map: {Ground: ground}}
`

func TestDryRunSaysWhatWouldBecomeOfEachOrder(t *testing.T) {
	shop, depot := &shopFront{orders: someOrders()}, &depotFront{there: map[string]bool{"1002": true}}
	w := rehearsing(t, shop, depot)
	w.stdin = strings.Replace(merchantYAML, "    schedule:", withRules+"    schedule:", 1)
	w.ledger.states = map[relay.ExternalID]relay.OrderState{"x1008": relay.OrderShipped, "x1009": relay.OrderHeld}
	for _, output := range []string{"table", "json"} {
		w.ledger.closed, w.ledger.calls = 0, 0
		code, stdout, stderr := w.ferry(t, "merchant", "onboard", "--file", "-", "--dry-run", "--output", output)
		require.Equal(t, exitFailed, code, stderr)
		matchGolden(t, "testdata/merchant-onboard-dry-run."+output, stdout)
	}
	require.Empty(t, w.ledger.saved.ID, "nothing is written")
	require.Empty(t, w.engine.woken)
	require.Zero(t, w.options, "Temporal is not asked for")
}

// Credentials of the wrong mode ship test orders, or no real ones.
func TestDryRunTellsTheModeThatAnswered(t *testing.T) {
	for mode, c := range map[relay.Mode]struct {
		says string
		code int
	}{
		relay.ModeTest: {"cart main (shop, test) works\n  answered as test\n", 0},
		"":             {"cart main (shop, test) works\n  does not tell test from live: see to it that the account is the one meant\n", 0},
		relay.ModeLive: {"cart main (shop, test) works, but in another mode\n  answered as live, and the file says test: want credentials of mode test, or another mode in the file\n", exitFailed},
	} {
		w := rehearsing(t, &shopFront{mode: mode}, &depotFront{})
		code, stdout, _ := w.ferry(t, "merchant", "onboard", "--file", "-", "--dry-run")
		require.Equal(t, c.code, code)
		require.Contains(t, stdout, c.says)
		require.Contains(t, stdout, "warehouse east (depot, test) works\n  answered as test\n")
	}
}

// Of a site that is not there nothing would be shown.
func TestDryRunTellsOfUnknownSites(t *testing.T) {
	w := rehearsing(t, &shopFront{}, &depotFront{})
	w.stdin = strings.Replace(merchantYAML, "    schedule:", "    stock: {sites: [east], locations: {32: [west, wset]}}\n    schedule:", 1)
	code, stdout, stderr := w.ferry(t, "merchant", "onboard", "--file", "-", "--dry-run")
	require.Equal(t, exitFailed, code, stderr)
	require.Contains(t, stdout, "cart main (shop, test) works, but something is missing\n")
	require.Contains(t, stdout, "\n  missing: stock names site wset, whose levels the warehouse does not tell: want one of east, west\n")
	require.Equal(t, 1, strings.Count(stdout, "missing: "))
}

func TestDryRunStopsAtAsManyOrdersAsAsked(t *testing.T) {
	w := rehearsing(t, &shopFront{orders: someOrders()[:2]}, &depotFront{blind: true})
	code, stdout, stderr := w.ferry(t, "merchant", "onboard", "--file", "-", "--dry-run")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "cart main: 2 orders read\n  would be sent: 2\n  could not be looked for at the warehouse: 2\n")
	require.Contains(t, stdout, "onboard it with: ferry merchant onboard --file -\n")

	w = rehearsing(t, &shopFront{orders: someOrders()}, &depotFront{})
	_, stdout, _ = w.ferry(t, "merchant", "onboard", "--file", "-", "--dry-run", "--orders", "4")
	require.Contains(t, stdout, "cart main: 4 orders read, and there are more")

	w.ledger.closed, w.ledger.calls = 0, 0
	code, _, stderr = w.ferry(t, "merchant", "onboard", "--file", "-", "--dry-run", "--orders", "0")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "--orders 0: want 1 or more")
}

// A refresh token that a dry run spent would be lost: it is renewed only where the ledger keeps the new one.
func TestDryRunSpendsNoToken(t *testing.T) {
	shop := &shopFront{old: true}
	w := rehearsing(t, shop, &depotFront{})
	w.env["SHOP_TOKEN"] = "tok-2"
	code, stdout, _ := w.ferry(t, "merchant", "onboard", "--file", "-", "--dry-run")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stdout, "onboard it with --paused, then repeat the dry run")
	require.Contains(t, stdout, "not read: a connection does not answer")

	w.env["SHOP_TOKEN"] = "tok-1" // as it was onboarded
	w.ledger.closed = 0
	code, stdout, _ = w.ferry(t, "merchant", "onboard", "--file", "-", "--dry-run")
	require.Zero(t, code)
	require.Contains(t, stdout, "account shop of tok-rotated")

	shop.down = errors.New("unauthorised, HTTP 401")
	w.ledger.closed = 0
	code, stdout, _ = w.ferry(t, "merchant", "onboard", "--file", "-", "--dry-run")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stdout, "does not work: unauthorised, HTTP 401")
}

func TestGoingLiveTakesAYesAndADate(t *testing.T) {
	onboard := func(t *testing.T, file string, args ...string) (*world, int, string) {
		w := answering(t)
		w.env["SHOP_TOKEN"] = "tok-2" // an account that no merchant has
		w.stdin = strings.Replace(file, "id: acme", "id: fresh", 1)
		code, _, stderr := w.ferry(t, append([]string{"merchant", "onboard", "--file", "-"}, args...)...)
		return w, code, stderr
	}
	for name, c := range map[string]struct {
		file string
		args []string
		want string // "" when it is taken in
	}{
		"test mode":       {merchantYAML, nil, ""},
		"neither":         {liveYAML, nil, "live with cart main, which has no earliest date of orders: want filter.earliest in the file or --earliest"},
		"only yes":        {liveYAML, []string{"--yes"}, "cart main, which has no earliest date of orders"},
		"only a date":     {liveYAML, []string{"--earliest", "2026-11-01"}, "look with --dry-run, then say --yes"},
		"both":            {liveYAML, []string{"--yes", "--earliest", "2026-11-01"}, ""},
		"date in file":    {strings.Replace(liveYAML, "    schedule:", withRules+"    schedule:", 1), []string{"--yes"}, ""},
		"not a date":      {liveYAML, []string{"--yes", "--earliest", "soon"}, `--earliest "soon": want`},
		"to be looked at": {liveYAML, []string{"--yes", "--earliest", "2026-11-01", "--paused"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, code, stderr := onboard(t, c.file, c.args...)
			if c.want != "" {
				require.Equal(t, exitUsage, code)
				require.Contains(t, stderr, c.want)
				require.Empty(t, w.ledger.saved.ID)
				return
			}
			require.Zero(t, code, stderr)
			require.Equal(t, relay.MerchantID("fresh"), w.ledger.saved.ID)
			require.Equal(t, name == "to be looked at", len(w.ledger.paused) == 1)
			if strings.Contains(strings.Join(c.args, " "), "--earliest") {
				require.Equal(t, time.Date(2026, 11, 1, 0, 0, 0, 0, time.FixedZone("PDT", -7*3600)).UTC(), w.ledger.saved.Carts[0].Rules.Filter.Earliest.UTC())
			}
		})
	}
	// Who is live already stays so: new credentials need no ceremony.
	w := answering(t)
	w.stdin = liveYAML
	w.ledger.merchants[0].Warehouse.Mode = relay.ModeLive
	code, _, stderr := w.ferry(t, "merchant", "onboard", "--file", "-")
	require.Zero(t, code, stderr)
}

// A cart that joins a merchant who is live has a past, too.
func TestCartJoinsALiveMerchantWithADate(t *testing.T) {
	joining := strings.Replace(liveYAML, "  - name: main\n", "  - name: outlet\n", 1)
	for date, want := range map[string]string{"": "cart outlet, which has no earliest date of orders", "2026-11-01": ""} {
		w := answering(t)
		w.stdin = joining
		args := []string{"merchant", "onboard", "--file", "-"}
		if date != "" {
			args = append(args, "--earliest", date)
		}
		code, _, stderr := w.ferry(t, args...)
		if want == "" {
			require.Zero(t, code, stderr)
			continue
		}
		require.Equal(t, exitUsage, code)
		require.Contains(t, stderr, want)
		require.Empty(t, w.ledger.saved.ID, "nothing was changed")
	}
}

// The date of the flag is in no file: the next onboarding must not ship what it left out.
func TestEarliestDateStaysUntilAnotherIsNamed(t *testing.T) {
	day := func(month time.Month) time.Time { return time.Date(2026, month, 1, 8, 0, 0, 0, time.UTC) }
	named := strings.Replace(merchantYAML, "    schedule:", "    filter: {earliest: 2026-03-01}\n    schedule:", 1)
	for name, c := range map[string]struct {
		file string
		args []string
		want time.Time
		says bool
	}{
		"neither names one": {merchantYAML, nil, day(time.January), true},
		"the flag does":     {merchantYAML, []string{"--earliest", "2026-02-01T08:00:00Z"}, day(time.February), false},
		"the file does":     {named, []string{"--earliest", "2026-02-01"}, day(time.March), false},
	} {
		t.Run(name, func(t *testing.T) {
			w := answering(t)
			w.stdin = c.file
			w.ledger.merchants[0].Connections[0].Rules.Filter.Earliest = day(time.January)
			code, _, stderr := w.ferry(t, append([]string{"merchant", "onboard", "--file", "-"}, c.args...)...)
			require.Zero(t, code, stderr)
			require.Equal(t, c.want, w.ledger.saved.Carts[0].Rules.Filter.Earliest.UTC())
			require.Equal(t, c.says, strings.Contains(stderr, "cart main keeps its earliest date of orders, 2026-01-01T08:00:00Z"), stderr)
		})
	}
	// A dry run leaves out the same orders.
	w := rehearsing(t, &shopFront{orders: []relay.CartOrder{inStock("1001", func(o *relay.CartOrder) { o.PlacedAt = day(time.January).Add(-time.Hour) })}}, &depotFront{})
	w.ledger.merchants[0].Connections[0].Rules.Filter.Earliest = day(time.January)
	code, stdout, stderr := w.ferry(t, "merchant", "onboard", "--file", "-", "--dry-run")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "would be sent: 0")
	require.Contains(t, stdout, "placed before 2026-01-01T08:00:00Z")
}

// What onboarding would be refused for is said while nothing is lost by it.
func TestDryRunSaysWhatOnboardingWouldBeRefusedFor(t *testing.T) {
	fresh := strings.Replace(liveYAML, "id: acme", "id: fresh", 1)
	for name, c := range map[string]struct {
		file    string
		args    []string
		refuses error
		want    []string
		next    string // "" where it is not clean
	}{
		"no date":      {fresh, nil, nil, []string{"merchant fresh would go live with cart main, which has no earliest date of orders: want filter.earliest"}, ""},
		"no yes":       {fresh, []string{"--earliest", "2026-11-01"}, nil, nil, "ferry merchant onboard --file - --earliest 2026-11-01 --yes\n"},
		"paused":       {fresh, []string{"--earliest", "2026-11-01", "--paused"}, nil, nil, "ferry merchant onboard --file - --earliest 2026-11-01 --paused --yes\n"},
		"test":         {merchantYAML, nil, nil, nil, "ferry merchant onboard --file -\n"},
		"live already": {liveYAML, nil, nil, nil, "ferry merchant onboard --file -\n"},
		"by the ledger": {merchantYAML, nil, errors.Join(errors.New("connection shop can't be taken away: 3 orders are under way on it"), errors.New("so it is with outlet")),
			[]string{"onboarding it would be refused:\n  connection shop can't be taken away: 3 orders are under way on it\n  so it is with outlet\n"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := rehearsing(t, &shopFront{}, &depotFront{live: strings.Contains(c.file, "mode: live")})
			w.stdin, w.ledger.refuses = c.file, c.refuses
			if c.file == fresh {
				w.env["SHOP_TOKEN"] = "tok-2"
			}
			code, stdout, stderr := w.ferry(t, append([]string{"merchant", "onboard", "--file", "-", "--dry-run"}, c.args...)...)
			for _, want := range c.want {
				require.Contains(t, stdout, want, stderr)
			}
			if c.next == "" {
				require.Equal(t, exitFailed, code, stderr)
				require.NotContains(t, stdout, "onboard it with")
				return
			}
			require.Zero(t, code, stdout+stderr)
			require.Contains(t, stdout, "nothing was changed; onboard it with: "+c.next)
			// And that very command does it.
			w.ledger.closed, w.ledger.calls = 0, 0
			code, _, stderr = w.ferry(t, shellWords(t, strings.TrimSuffix(strings.TrimPrefix(c.next, "ferry "), "\n"))...)
			require.Zero(t, code, stderr)
		})
	}
}

// Promise 1: two merchants with one shop would each have its orders shipped.
func TestAccountOfAnotherMerchantIsRefused(t *testing.T) {
	const want = "cart main is the same account as cart main of merchant acme, and every order would be shipped twice: want one cart an account"
	for token, taken := range map[string]bool{"tok-1": true, "tok-rotated": true, "tok-2": false} {
		for _, more := range [][]string{{"--yes"}, {"--dry-run"}} {
			w := rehearsing(t, &shopFront{}, &depotFront{})
			w.env["SHOP_TOKEN"] = token
			w.stdin = strings.Replace(merchantYAML, "id: acme", "id: fresh", 1)
			code, stdout, stderr := w.ferry(t, append([]string{"merchant", "onboard", "--file", "-"}, more...)...)
			require.Equal(t, taken, code != 0, stdout+stderr)
			require.Equal(t, taken, strings.Contains(stdout+stderr, want), stdout+stderr)
			require.Equal(t, taken || more[0] == "--dry-run", w.ledger.saved.ID == "")
		}
	}
}

// Merchants may divide a shop by their filters, where no order passes both and one of them
// leaves its stock alone.
func TestAccountDividedWithAnotherMerchant(t *testing.T) {
	const orders, stock = "and every order would be shipped twice: ", "and each would set the stock of the account's primary location over the other's figures: "
	for rules, clash := range map[string]string{
		"filter: {locations: [32]}\n    stock: {sites: []}":     "",
		"filter: {locations: [32]}":                             stock,
		"filter: {locations: [31, 32]}\n    stock: {sites: []}": orders,
		"filter: {}": orders,
	} {
		w := rehearsing(t, &shopFront{}, &depotFront{})
		w.ledger.merchants[0].Connections[0].Rules.Filter.Locations = []string{"31"}
		w.stdin = strings.Replace(merchantYAML, "id: acme", "id: fresh", 1)
		w.stdin = strings.Replace(w.stdin, "connector: shop\n", "connector: shop\n    "+rules+"\n", 1)
		code, stdout, stderr := w.ferry(t, "merchant", "onboard", "--file", "-")
		require.Equal(t, clash != "", code != 0, stdout+stderr)
		if clash != "" {
			require.Contains(t, stderr, "the same account as cart main of merchant acme, "+clash)
		}
	}
}

func TestOnboardingSaysWhatIsStoppedStill(t *testing.T) {
	for name, stopped := range map[string]time.Time{"stopped": evening, "not": {}} {
		t.Run(name, func(t *testing.T) {
			w := answering(t)
			w.ledger.saved = w.ledger.merchants[0].Merchant
			w.ledger.merchants[0].Connections[0].StoppedAt = stopped
			w.stdin = merchantYAML
			code, stdout, stderr := w.ferry(t, "merchant", "onboard", "--file", "-")
			require.Zero(t, code, stderr)
			require.Equal(t, !stopped.IsZero(), strings.Contains(stdout, "ferry merchant resume --merchant acme --connection main"), stdout)
		})
	}
}

func TestOnboardingKeepsAPauseAndBeginsOneFirst(t *testing.T) {
	w := answering(t)
	w.ledger.merchants[0].PausedAt = evening
	w.stdin = merchantYAML
	code, stdout, stderr := w.ferry(t, "merchant", "onboard", "--file", "-")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "it is paused: ferry merchant resume --merchant acme")

	w = answering(t)
	w.stdin = merchantYAML
	w.engine.errs[workflows.Pause] = errors.New("no answer")
	code, _, stderr = w.ferry(t, "merchant", "onboard", "--file", "-", "--paused")
	require.NotZero(t, code)
	require.Contains(t, stderr, "no answer")
	require.Empty(t, w.ledger.saved.ID, "it is paused before its settings change")

	w = answering(t)
	w.stdin = merchantYAML
	code, stdout, stderr = w.ferry(t, "merchant", "onboard", "--file", "-", "--paused")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "it is paused")
	require.NotEmpty(t, w.ledger.saved.ID)
	require.Equal(t, "merchant/acme pause", strings.Join(strings.Fields(w.engine.asked[0])[:2], " "))
	require.Empty(t, w.ledger.paused, "its workflow writes it down")

	w = answering(t)
	w.stdin = merchantYAML
	w.engine.errs[workflows.Pause] = errNoWorkflow
	code, _, stderr = w.ferry(t, "merchant", "onboard", "--file", "-", "--paused")
	require.Zero(t, code, stderr)
	require.Equal(t, []string{"acme"}, w.ledger.paused, "none runs: the one that begins reads the ledger")
	require.NotEmpty(t, w.ledger.saved.ID)
}
