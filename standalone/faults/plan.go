package faults

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	easypost "orderferry/connectors/easypost/simulator"
	tradegecko "orderferry/connectors/tradegecko/simulator"
	"orderferry/standalone/shop"
)

// A plan is all that is going to happen, drawn from the seed before anything
// runs. Each concern has a stream of its own, so that more or fewer draws of one
// leave the others alone. Time is counted in kills: a step that is due at 40
// happens once 40 workers were killed, however long that took.
type plan struct {
	sales   []sale
	vendors []vendorFault
	outages []outage
	changes []change
	seed    uint64
	life    time.Duration
}

// stream is the concern that a series of draws is for.
type stream uint64

const (
	streamSales stream = iota + 1
	streamVendors
	streamOutages
	streamChanges
	streamLives // and one stream a life beyond it
)

func draw(seed uint64, s stream) *rand.Rand { return rand.New(rand.NewPCG(seed, uint64(s))) }

// sale is an order, and what somebody does to it.
type sale struct {
	at       int // kills
	merchant int
	n        int // the merchant's n-th order
	fate     shop.Fate
	then     deed
	after    time.Duration // between the sale and the deed
}

func (s sale) number() string { return shop.Number(s.n) }

// deed is what somebody does to an order.
type deed string

const (
	leave         deed = ""
	voidIt        deed = "void"        // at the cart
	cancelIt      deed = "cancel"      // by an operator
	changeAddress deed = "address"     // at the cart
	changeLine    deed = "change line" // at the cart: taken back, edited, finalized
)

// vendorFault is a fault of a simulated vendor.
type vendorFault struct {
	at       int
	merchant int
	vendor   string // "easypost" or "tradegecko"
	kind     string
	route    string
	skip     int
	count    int
	delay    time.Duration
}

// outage is trouble with what the workers stand on.
type outage struct {
	at    int
	what  trouble
	how   cut  // of postgresCut
	rough bool // of postgresRestart: broken off instead of shut down
	lasts time.Duration
}

type trouble string

const (
	postgresRestart trouble = "Postgres restarts"
	postgresCut     trouble = "Postgres cut-offs"
	temporalRestart trouble = "Temporal restarts"
)

// change is what happens at a merchant's besides sales.
type change struct {
	at       int
	merchant int
	what     chore
	units    int64 // of a delivery
}

type chore string

const (
	deliver  chore = "deliver"  // of what was short
	release  chore = "release"  // of what waits for stock, by an operator
	addAlias chore = "alias"    // of the SKU that nobody knew
	onboard  chore = "onboard"  // again, with the same settings
	pause    chore = "pause"    // and resume soon after
	syncNow  chore = "sync now" // all jobs
)

// shape is how much of everything a run has.
type shape struct {
	orders, kills, merchants              int
	restarts, cuts, temporals, vendorEach int
	// life is how long workers are at work before they are killed, on average.
	life time.Duration
}

// newPlan draws a plan.
func newPlan(seed uint64, s shape) plan {
	p := plan{seed: seed, life: s.life}
	p.drawSales(draw(seed, streamSales), s)
	p.drawVendors(draw(seed, streamVendors), s)
	p.drawOutages(draw(seed, streamOutages), s)
	p.drawChanges(draw(seed, streamChanges), s)
	return p
}

// pick returns a thing with the chance of its share.
func pick[T any](r *rand.Rand, things []T, shares []float64) T {
	x := r.Float64()
	for i, s := range shares {
		if x -= s; x < 0 {
			return things[i]
		}
	}
	return things[len(things)-1]
}

func (p *plan) drawSales(r *rand.Rand, s shape) {
	fates := []shop.Fate{shop.Ships, shop.Late, shop.Short, shop.Coming, shop.Unknown}
	deeds := []deed{leave, voidIt, cancelIt, changeAddress, changeLine}
	for i := range s.orders {
		o := sale{at: i * s.kills / s.orders, merchant: i % s.merchants, n: i / s.merchants}
		o.fate = pick(r, fates, []float64{.82, .08, .02, .06, .02})
		o.then = pick(r, deeds, []float64{.66, .12, .1, .06, .06})
		// Half of all deeds come while the order is being taken in and sent.
		o.after = time.Duration(r.Float64() * float64(6*time.Second))
		if r.IntN(2) == 0 {
			o.after *= 4
		}
		p.sales = append(p.sales, o)
	}
}

// routes are those that a fault of any kind is worth trying on; the first are
// the most dangerous, and are drawn more often.
var routes = map[string][]string{
	"easypost":   {"create_order", "create_order", "delete_order", "list_orders", "list_orders", "get_order", "inventories", "products", "*"},
	"tradegecko": {"fulfillments_create", "fulfillments_update", "stock_adjustments_create", "orders_index", "orders_index", "line_items", "addresses", "variants", "order_actions", "*"},
}

func vendorKinds() map[string][]string {
	kinds := make(map[string][]string)
	for _, k := range easypost.FaultKinds() {
		kinds["easypost"] = append(kinds["easypost"], string(k))
	}
	for _, k := range tradegecko.FaultKinds() {
		kinds["tradegecko"] = append(kinds["tradegecko"], string(k))
	}
	return kinds
}

// writesOnly reports whether a kind befalls only what bears an idempotency key.
func writesOnly(kind string) bool {
	return kind == string(tradegecko.DuplicateKey) || kind == string(tradegecko.CommitThenDuplicate)
}

// drawVendors draws faults of both vendors all along: every kind as often as the
// shape says, in an order of its own.
func (p *plan) drawVendors(r *rand.Rand, s shape) {
	kinds := vendorKinds()
	for _, vendor := range []string{"easypost", "tradegecko"} {
		var all []string
		for range s.vendorEach {
			all = append(all, kinds[vendor]...)
		}
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for i, kind := range all {
			f := vendorFault{
				at: i * s.kills / len(all), merchant: r.IntN(s.merchants), vendor: vendor, kind: kind,
				route: routes[vendor][r.IntN(len(routes[vendor]))], skip: r.IntN(4), count: 1 + r.IntN(3),
				delay: time.Duration(200+r.IntN(2800)) * time.Millisecond,
			}
			switch {
			case writesOnly(kind):
				f.route = []string{"fulfillments_create", "stock_adjustments_create"}[r.IntN(2)]
			case kind == string(easypost.RepeatedPage), kind == string(easypost.ShiftedPage):
				f.route, f.skip = "*", 0 // only lists have pages, and few have a second
			case kind == string(easypost.Error401), kind == string(easypost.Error402), kind == string(easypost.Error403):
				f.count = 1 // each stops a connection until an operator resumes it
			}
			p.vendors = append(p.vendors, f)
		}
	}
	slices.SortStableFunc(p.vendors, func(a, b vendorFault) int { return cmp.Compare(a.at, b.at) })
}

// drawOutages spreads the outages over the run, with some play.
func (p *plan) drawOutages(r *rand.Rand, s shape) {
	var all []outage
	for range s.restarts {
		all = append(all, outage{what: postgresRestart, rough: r.IntN(2) == 0})
	}
	for range s.cuts {
		all = append(all, outage{what: postgresCut, how: []cut{refused, stalled, severed}[r.IntN(3)]})
	}
	for range s.temporals {
		all = append(all, outage{what: temporalRestart})
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for i := range all {
		all[i].lasts = time.Duration(1000+r.IntN(5000)) * time.Millisecond
		all[i].at = int((float64(i) + .2 + .6*r.Float64()) * float64(s.kills) / float64(len(all)))
	}
	p.outages = all
}

func (p *plan) drawChanges(r *rand.Rand, s shape) {
	chores := []chore{deliver, release, onboard, pause, syncNow}
	for m := range s.merchants {
		p.changes = append(p.changes, change{at: s.kills*2/5 + r.IntN(max(1, s.kills/3)), merchant: m, what: addAlias})
	}
	for range max(3*s.merchants, s.kills/5) {
		p.changes = append(p.changes, change{
			at: r.IntN(s.kills), merchant: r.IntN(s.merchants), what: pick(r, chores, []float64{.4, .25, .1, .1, .15}), units: 1 + r.Int64N(4),
		})
	}
	slices.SortStableFunc(p.changes, func(a, b change) int { return cmp.Compare(a.at, b.at) })
}

// end is how a worker's life ends: at a point, or at random.
type end struct {
	after  time.Duration // how long the worker is at work before
	point  float64       // which of the known points, from 0 to 1
	n      int           // at its n-th time
	skip   int           // fresh points that are passed first
	cold   bool          // it keeps no workflow in memory
	random bool          // killed in mid work instead of at a point
}

// end draws how the i-th life ends.
func (p plan) end(i int) end {
	r := draw(p.seed, streamLives+stream(i))
	e := end{after: time.Duration(min(r.ExpFloat64(), 4) * float64(p.life)), point: r.Float64(), n: 1 + int(r.ExpFloat64()*2), skip: r.IntN(3)}
	e.cold, e.random = r.IntN(5) > 0, r.IntN(4) == 0
	return e
}

func (f vendorFault) String() string { return fmt.Sprintf("%s %s on %s", f.vendor, f.kind, f.route) }
