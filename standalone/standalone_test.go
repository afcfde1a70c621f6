package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/activities"
	easypost "orderferry/connectors/easypost/simulator"
	"orderferry/standalone/local"
	"orderferry/standalone/proctest"
	"orderferry/standalone/shop"
	"orderferry/starter/cli"
)

// asStandalone makes the test binary run the command itself, so that it can be killed.
const asStandalone = "ORDERFERRY_TEST_RUNS_STANDALONE"

func TestMain(m *testing.M) {
	if os.Getenv(asStandalone) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		code := run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr)
		stop()
		os.Exit(code)
	}
	os.Exit(m.Run())
}

func start(t *testing.T, args ...string) (*exec.Cmd, *proctest.Output) {
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), asStandalone+"=1")
	out := proctest.NewOutput()
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return cmd, out
}

// Promise 1: kill -9 at several points of the demo; the same command again comes
// to the same end, and the books of shops and warehouses agree with the ledger.
func TestDemoSurvivesKills(t *testing.T) {
	dir := proctest.DataDir(t)
	args := []string{"--data", dir, "--demo", "--orders", "150", "--until-idle"}
	for _, at := range []string{"taken in 150", "sold 150", "shipped"} {
		cmd, out := start(t, args...)
		out.Await(t, at)
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait() // killed, as it should be
	}
	cmd, out := start(t, args...)
	require.NoError(t, cmd.Wait(), out.String())
	said := out.String()
	t.Log(said)
	row := func(name string, n int) {
		require.Regexp(t, fmt.Sprintf(`(?m)^%s +%d$`, name, n), said)
	}
	fates := map[shop.Fate]int{} // of one merchant: all three have the same mix
	for n := range 50 {
		fates[shop.FateOf(n)]++
	}
	// Bergen keeps an order without stock, and ships it when there is some.
	row("held: insufficient_inventory", 2*fates[shop.Short])
	row("held: unknown_item", 3*fates[shop.Unknown])
	row("cancelled", 3*fates[shop.Void])
	row(`confirmed \(the cart has all tracking\)`, 3*fates[shop.Ships]+fates[shop.Short])
	row("duplicates", 0)
	for _, system := range []string{"acorn's tradegecko", "acorn's csv-cart", "acorn's easypost", "birch's quickbooks-commerce", "birch's bergen", "cedar's csv-cart", "cedar's csv"} {
		require.Regexp(t, `(?m)^in the books of `+system+` +[1-9][0-9]*$`, said)
	}
}

// world is a standalone in this process, with simulators at hand.
type world struct {
	t     *testing.T
	dir   string
	at    local.Instance
	shops *shop.Shops
}

// inWorld runs f beside a standalone and the demo's merchants.
func inWorld(t *testing.T, f func(*world)) {
	inWorldOf(t, activities.Options{Looks: []time.Duration{200 * time.Millisecond, 400 * time.Millisecond}}, f)
}

func inWorldOf(t *testing.T, opt activities.Options, f func(*world)) {
	dir := proctest.DataDir(t)
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	err := local.Run(t.Context(), local.Config{Dir: dir, Log: log, Activities: opt}, func(_ context.Context, in local.Instance) error {
		shops, err := shop.Open(shop.Config{
			Merchants: shop.Plain("acorn", "birch"), Seed: 7,
			Progress: shop.Progress{ProcessAfter: 300 * time.Millisecond, ShipAfter: 300 * time.Millisecond, PackagesEvery: 3},
		})
		if err != nil {
			return err
		}
		defer shops.Close()
		if err := shops.Stock(1000); err != nil {
			return err
		}
		f(&world{t: t, dir: dir, at: in, shops: shops})
		return nil
	})
	require.NoError(t, err)
}

// ferry types a command and returns its exit code and what it printed.
func (w *world) ferry(stdin string, args ...string) (int, string) {
	var stdout, stderr bytes.Buffer
	env := map[string]string{"ORDERFERRY_DATA": w.dir, "ACME_TOKEN": shop.CartToken("acorn"), "ACME_KEY": shop.WarehouseKey("acorn")}
	code := cli.Run(w.t.Context(), args, func(k string) string { return env[k] }, strings.NewReader(stdin), &stdout, &stderr)
	w.t.Logf("ferry %s: exit %d\n%s%s", strings.Join(args, " "), code, stdout.String(), stderr.String())
	return code, stdout.String() + stderr.String()
}

// must types a command that has to succeed.
func (w *world) must(args ...string) string {
	code, said := w.ferry("", args...)
	require.Zero(w.t, code, said)
	return said
}

// until types a command until it prints a word.
func (w *world) until(word string, args ...string) string {
	var said string
	require.Eventually(w.t, func() bool {
		_, said = w.ferry("", args...)
		return strings.Contains(said, word)
	}, 2*time.Minute, 500*time.Millisecond, "%q in what ferry %v prints", word, args)
	return said
}

const merchantFile = `id: acme
name: Acme Outdoor
carts:
  - name: shop
    connector: quickbooks-commerce
    base_url: %s
    credentials:
      access_token: ${ACME_TOKEN}
    settings:
      overlap: 2s
    schedule:
      pull_orders: 1s
warehouse:
  connector: easypost
  mode: live
  base_url: %s
  credentials:
    production_key: ${ACME_KEY}
  settings:
    requests_per_second: 500
  schedule:
    pull_shipments: 1s
    pull_inventory: 2s
`

// noResendSoon puts the nightly resend half a day away: it would let go, for a
// moment, what a test has put on hold.
func noResendSoon() string {
	return fmt.Sprintf("zone: UTC\nresend_hour: %d\n", (time.Now().UTC().Hour()+12)%24)
}

// An operator's day, with ferry alone: onboard, test, import aliases, watch
// orders go, release what was held, cancel, pause and resume.
func TestOperatorsDay(t *testing.T) {
	inWorld(t, func(w *world) {
		const merchant = "acorn" // the simulators' name of the account
		yaml := filepath.Join(w.dir, "merchant.yaml")
		text := fmt.Sprintf(merchantFile, w.shops.CartURL, w.shops.EasyPost(merchant).URL) + noResendSoon()

		// Bad files are refused with their lines, and nothing is stored.
		require.NoError(t, os.WriteFile(yaml, []byte(strings.Replace(text, "pull_orders: 1s", "pull_order: 1s", 1)), 0o600))
		code, said := w.ferry("", "merchant", "onboard", "--file", yaml, "--yes", "--earliest", "2020-01-01")
		require.Equal(t, 2, code)
		require.Contains(t, said, "merchant.yaml:12:")
		require.NotContains(t, w.must("merchant", "list"), "acme")

		require.NoError(t, os.WriteFile(yaml, []byte(text), 0o600))
		w.must("merchant", "onboard", "--file", yaml, "--yes", "--earliest", "2020-01-01")
		require.Contains(t, w.must("merchant", "onboard", "--file", yaml, "--yes", "--earliest", "2020-01-01"), "acme", "onboarding again updates")
		w.must("connection", "test", "--merchant", "acme", "--connection", "shop")
		require.Contains(t, w.must("connection", "test", "--merchant", "acme", "--connection", "warehouse"), "live")

		// Without aliases every SKU is unknown, and named.
		require.NoError(t, w.shops.Sell(merchant, 0, 20))
		w.until("TOTE-00", "hold", "list", "--merchant", "acme")

		// Aliases let those go, by themselves, whose SKUs they name.
		aliases := filepath.Join(w.dir, "aliases.csv")
		csv := "sku,item_code\n"
		for _, a := range shop.Aliases() {
			csv += fmt.Sprintf("%s,%s\n", a.SKU, a.Code)
		}
		require.NoError(t, os.WriteFile(aliases, []byte(csv), 0o600))
		w.must("alias", "import", "--merchant", "acme", aliases)
		said = w.until("confirmed", "order", "show", "--merchant", "acme", "--order", shop.Number(0))
		require.Contains(t, said, "order_", "the warehouse's own id is shown")

		// D-000017 is short of stock; D-000019 has an unknown SKU.
		w.until("insufficient_inventory", "hold", "list", "--merchant", "acme")
		require.Contains(t, w.must("hold", "list", "--merchant", "acme", "--reason", "unknown_item"), shop.UnknownSKU)
		// Where the hold is so new that no workflow keeps it yet, the order goes with
		// the next batch instead and is on hold again after it.
		w.until("still on hold", "order", "release", "--merchant", "acme", "--order", shop.Number(16))
		// A pull of stock may let it go before this release does.
		require.NoError(t, w.shops.EasyPost(merchant).SetStock(shop.ShortCode, "", 5))
		w.ferry("", "order", "release", "--merchant", "acme", "--order", shop.Number(16))
		w.until("confirmed", "order", "show", "--merchant", "acme", "--order", shop.Number(16))
		require.Contains(t, w.must("order", "history", "--merchant", "acme", "--order", shop.Number(16)), "released")
		// Done is done: the truth, not a second send.
		code, said = w.ferry("", "order", "cancel", "--merchant", "acme", "--order", shop.Number(16), "--reason", "changed their mind")
		require.Equal(t, 1, code)
		require.Contains(t, said, "too late")

		require.Contains(t, w.must("order", "cancel", "--merchant", "acme", "--order", shop.Number(18), "--reason", "nobody knows it"), "before sending")
		w.until("sending_cancelled", "order", "show", "--merchant", "acme", "--order", shop.Number(18))

		// The cart hears of stock: what the warehouse has, and what it has set aside.
		require.Eventually(t, func() bool {
			stock, err := w.shops.Cart.Stock(merchant)
			require.NoError(t, err)
			for _, s := range stock {
				if s.SKU == "TOTE-03" && s.OnHand != "0" && s.OnHand != "" {
					return true
				}
			}
			return false
		}, time.Minute, 200*time.Millisecond)

		// While it is paused nothing is taken in.
		w.must("merchant", "pause", "--merchant", "acme")
		require.NoError(t, w.shops.Sell(merchant, 20, 21))
		require.Contains(t, w.must("merchant", "show", "--merchant", "acme"), "paused")
		w.must("merchant", "resume", "--merchant", "acme")
		w.until("confirmed", "order", "show", "--merchant", "acme", "--order", shop.Number(20))
		w.must("merchant", "sync", "--merchant", "acme")
		require.Contains(t, w.must("config", "show"), ":xxxxx@", "no password is shown")
	})
}

// Promise 2, end to end: replies are lost after the warehouse took the order, and
// its search finds nothing; every order is there once all the same.
func TestLostRepliesEndToEnd(t *testing.T) {
	inWorld(t, func(w *world) {
		warehouse := w.shops.EasyPost("acorn")
		require.NoError(t, warehouse.SetBehaviour(easypost.Behaviour{QueryUnsupported: true}))
		for _, kind := range []easypost.FaultKind{easypost.CommitThen500, easypost.CommitThenDrop, easypost.BrokenJSON, easypost.Error503, easypost.ResetBefore} {
			require.NoError(t, warehouse.Simulator.Inject(easypost.Fault{Route: "create_order", Kind: kind, Count: 3}))
		}
		require.NoError(t, w.shops.Sell("acorn", 0, 16)) // all of them can be shipped
		yaml := fmt.Sprintf(merchantFile, w.shops.CartURL, warehouse.URL) + noResendSoon() + "unaliased_skus: hold\n"
		file := filepath.Join(w.dir, "merchant.yaml")
		require.NoError(t, os.WriteFile(file, []byte(yaml), 0o600))
		w.must("merchant", "onboard", "--file", file, "--yes", "--earliest", "2020-01-01")
		csv := "sku,item_code\n"
		for _, a := range shop.Aliases() {
			csv += fmt.Sprintf("%s,%s\n", a.SKU, a.Code)
		}
		code, said := w.ferry(csv, "alias", "import", "--merchant", "acme", "-")
		require.Zero(t, code, said)
		require.Eventually(t, func() bool {
			_, said := w.ferry("", "order", "list", "--merchant", "acme", "--state", "confirmed", "--output", "json")
			return strings.Count(said, `"reference"`) == 16
		}, 4*time.Minute, time.Second)
		byNumber := make(map[string]int)
		for _, o := range warehouse.Orders(shop.Mode) {
			byNumber[o.Description[strings.LastIndexByte(o.Description, ' ')+1:]]++
		}
		require.Len(t, byNumber, 16)
		for number, n := range byNumber {
			require.Equal(t, 1, n, number)
		}
	})
}

// Bad usage is refused before anything starts.
func TestBadUsage(t *testing.T) {
	for _, c := range []struct {
		args string
		says string
	}{
		{"--orders 5", "go with --demo"},
		{"--demo --until-idle", "want 1 or more"},
		{"--demo --orders -1", "want 1 or more"},
		{"--look-again soon", "want pauses such as"},
		{"--quick", "unknown flag"},
		{"bench --merchants 0", "want 1 or more"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), strings.Fields(c.args), func(string) string { return "" }, strings.NewReader(""), &stdout, &stderr)
		require.Equal(t, 2, code, c.args)
		require.Contains(t, stderr.String(), c.says, c.args)
	}
}
