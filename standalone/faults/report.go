package faults

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
	"orderferry/standalone/audit"
)

func (h *harness) since() string { return fmt.Sprintf("%5.0fs", time.Since(h.began).Seconds()) }

// tell prints how far the run is, every few seconds.
func (h *harness) tell(ctx context.Context) error {
	for rest(ctx, 5*time.Second) {
		counts, err := h.ledger.CountsByMerchant(ctx)
		if err != nil {
			continue // an outage
		}
		states := make(map[relay.OrderState]int64)
		for _, c := range counts {
			for s, n := range c.States {
				states[s] += n
			}
		}
		hit, known := h.crew.points()
		h.mu.Lock()
		sold := h.sold
		h.mu.Unlock()
		h.sayf("%s  kills %d/%d  points %d/%d  sold %d  taken in %d  confirmed %d  on hold %d  in doubt %d  cancelled %d  vendor faults %d",
			h.since(), h.crew.kills(), h.Kills, hit, known, sold, sum(states), states[relay.OrderConfirmed], states[relay.OrderHeld], states[relay.OrderInDoubt],
			states[relay.OrderSendingCancelled]+states[relay.OrderCancelled], sum(h.shops.Befell()))
	}
	return nil
}

// points counts the points at which workers died, and those that are known.
func (c *crew) points() (hit, known int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.hits), len(c.passed)
}

// Tally is what was done in a run, and what is wrong after it.
type Tally struct {
	Orders int
	Ends   []Count // how orders ended
	// Kills that count: at named points, and at random in mid work. Those at rest do not count.
	AtPoints, AtRandom, AtRest int
	Stopped                    int // workers that ended when they were asked to
	Ended                      int // workers that could not start or go on in an outage
	Crashes                    []string
	Outages                    []Count
	Deeds                      []Count // of people, and what came of them
	VendorFaults               []Count // by vendor and kind, and those of messages to people
	Known                      int     // points
	Hit                        int     // of them, where a worker was killed
	Never                      []string
	Unseen                     []string      // risky steps that no worker came to
	Startup                    time.Duration // until a worker was up, on average
	Findings                   []audit.Finding
}

// What is counted of people's deeds, as it is printed.
const (
	ordersHeld      = "orders put on hold by people"
	ordersReopened  = "orders reopened by people"
	cancelsAnswered = "cancels by people: " // and the answer

	ordersVoided      = "orders voided at carts"
	ordersRestored    = "void orders brought back at carts"
	ordersReaddressed = "addresses changed at carts"
	ordersRecounted   = "quantities changed at carts"
	tooLateAtCart     = ", refused" // behind one of these

	booksCompared  = "comparings of books asked for"
	ordersDoubled  = "orders doubled at a warehouse"
	strangersThere = "strangers at a warehouse"
	ordersTaken    = "orders taken by a warehouse after a refusal"
	messagesSent   = "messages to people"
)

// Count is how many there are of something.
type Count struct {
	Name string
	N    int64
}

// tally counts.
func (h *harness) tally(ctx context.Context, findings []audit.Finding) (Tally, error) {
	c := h.crew
	t := Tally{
		Orders: h.sold, AtPoints: c.atPoint, AtRandom: c.atRandom, AtRest: c.idle, Stopped: c.stopped, Ended: c.away,
		Known: len(c.passed), Hit: len(c.hits), Startup: c.startup / time.Duration(max(1, c.started)), Findings: findings,
	}
	for _, what := range []trouble{postgresRestart, postgresCut, temporalRestart} {
		t.Outages = append(t.Outages, Count{string(what), int64(h.outages[what])})
	}
	messages, faults := h.people.counts()
	maps.Copy(faults, h.shops.Befell())
	for _, kind := range sortedKeys(faults) {
		t.VendorFaults = append(t.VendorFaults, Count{kind, faults[kind]})
	}
	known := sortedKeys(c.passed)
	for _, p := range known {
		if c.hits[p] == 0 {
			t.Never = append(t.Never, p)
		}
	}
	for _, step := range risky {
		if !slices.ContainsFunc(known, func(point string) bool { return liesAt(point, step) }) {
			t.Unseen = append(t.Unseen, step)
		}
	}
	var err error
	if t.Crashes, err = crashes(h.workersLog()); err != nil {
		return t, err
	}
	t.Crashes = append(t.Crashes, c.crashed...)
	differences, err := h.differences(ctx)
	if err != nil {
		return t, err
	}
	h.done[messagesSent] = int64(messages)
	for _, what := range sortedKeys(h.done) {
		t.Deeds = append(t.Deeds, Count{what, h.done[what]})
	}
	t.Deeds = append(t.Deeds, differences...)
	rows, err := h.database.Query(ctx, `
		select case when state = 'held' then 'on hold: ' || hold_reason else state end, count(*) from orders group by 1 order by 2 desc, 1`)
	if err != nil {
		return t, err
	}
	t.Ends, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Count])
	return t, err
}

// broken are the lines of a log that tell of a bug: how programs end that nobody killed,
// and panics that Temporal's library caught. Not that a workflow was slow to yield: that
// is the machine's doing, on which all this runs.
var broken = regexp.MustCompile(`^(panic:|fatal error:|WARNING: DATA RACE|time=.* level=ERROR msg="[^"]*[Pp]anic)`)

const slowToYield = "[TMPRL1101]"

// crashes finds in the workers' log what is broken.
func crashes(path string) ([]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		if broken.MatchString(line) && !strings.Contains(line, slowToYield) {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out, nil
}

// report prints the tally, and each order that something is wrong with, with its trail.
func (h *harness) report(ctx context.Context, t Tally) error {
	w := tabwriter.NewWriter(h.Out, 0, 0, 2, ' ', 0)
	row := func(name string, n any) { fmt.Fprintf(w, "%s\t%v\n", name, n) }
	rows := func(list []Count) {
		for _, c := range list {
			row("  "+c.Name, c.N)
		}
	}
	fmt.Fprintln(h.Out)
	row("orders", t.Orders)
	rows(t.Ends)
	for _, c := range t.Deeds {
		row(c.Name, c.N)
	}
	row("kills", t.AtPoints+t.AtRandom)
	row("  at named points", t.AtPoints)
	row("  at random, in mid work", t.AtRandom)
	row("  at rest (not counted)", t.AtRest)
	row("workers asked to stop, in mid work", t.Stopped)
	row("workers without Postgres or Temporal", t.Ended)
	row("points known", t.Known)
	row("points where a worker was killed", t.Hit)
	for _, c := range t.Outages {
		row(c.Name, c.N)
	}
	var befell int64
	for _, c := range t.VendorFaults {
		befell += c.N
	}
	row("vendor faults", befell)
	rows(t.VendorFaults)
	row("seconds until a worker is up", fmt.Sprintf("%.2f", t.Startup.Seconds()))
	row("seconds", fmt.Sprintf("%.0f", time.Since(h.began).Seconds()))
	row("seed", h.Seed)
	fmt.Fprintln(w)
	counts := make(map[audit.Wrong]int)
	for _, f := range t.Findings {
		counts[f.Wrong]++
	}
	for _, wrong := range audit.Ways() {
		row(string(wrong), counts[wrong])
	}
	row("workers that crashed", len(t.Crashes))
	if err := w.Flush(); err != nil {
		return err
	}
	if len(t.Never) > 0 {
		fmt.Fprintf(h.Out, "\nno worker was killed:\n  %s\n", strings.Join(t.Never, "\n  "))
	}
	if len(t.Unseen) > 0 {
		fmt.Fprintf(h.Out, "\nno worker came to these risky steps:\n  %s\n", strings.Join(t.Unseen, "\n  "))
	}
	for _, c := range t.Crashes {
		fmt.Fprintln(h.Out, "WRONG (a worker crashed):", c)
	}
	for _, f := range t.Findings {
		fmt.Fprintf(h.Out, "WRONG (%s): %s\n", f.Wrong, f)
		h.trail(ctx, f)
	}
	if len(t.Findings)+len(t.Crashes) > 0 {
		return errors.New("something is wrong: see above; --keep keeps the ledger and the workers' log")
	}
	return nil
}

// trail prints the story of the order that a finding is about.
func (h *harness) trail(ctx context.Context, f audit.Finding) {
	found, err := h.ledger.FindOrders(ctx, f.Merchant, f.Subject)
	if err != nil || len(found) != 1 {
		h.levels(ctx, f)
		return
	}
	events, err := h.ledger.History(ctx, found[0].ID)
	if err != nil {
		return
	}
	for _, e := range events {
		fmt.Fprintf(h.Out, "    %s  %-20s %-24s %s\n", e.At.Format("15:04:05.000"), e.Kind, e.Actor, e.Detail)
	}
}

// levels prints what the ledger knows of a SKU's stock.
func (h *harness) levels(ctx context.Context, f audit.Finding) {
	rows, err := h.database.Query(ctx, `
		select format('the cart was sent %s free and %s for orders under way at %s %s', l.available, l.owed, l.sent_at, l.error)
		from sent_levels l join connections c on c.id = l.cart_id where c.merchant_id = $1 and l.sku = $2`, f.Merchant, f.Subject)
	if err != nil {
		return
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return
	}
	for _, l := range lines {
		fmt.Fprintln(h.Out, "    "+l)
	}
}
