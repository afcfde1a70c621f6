package faults

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

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
	tricks  []played
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
	streamTricks
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
	after    time.Duration // between the sale and the deed; of a hold, also between its beginning and its end
	hasty    bool          // of a hold: ferry dies once it is written, and its end is asked of the merchant's workflow
}

// deed is what somebody does to an order.
type deed string

const (
	leave         deed = ""
	voidIt        deed = "void"        // at the cart
	cancelIt      deed = "cancel"      // by an operator
	changeAddress deed = "address"     // at the cart
	changeLine    deed = "change line" // at the cart: taken back, edited, finalized

	holdAndRelease  deed = "hold, release" // by an operator, as the following
	holdAndCancel   deed = "hold, cancel"
	cancelAndRegret deed = "cancel, reopen"
	voidAndRestore  deed = "void, reopen" // void and brought back at the cart, and reopened by an operator
)

// vendorFault is a fault of a simulated vendor.
type vendorFault struct {
	at       int
	merchant int
	vendor   string
	shop.Fault
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
	units    int64  // of a delivery
	stray    stray  // before books are compared, where the warehouse lists orders
	token    uint64 // of a stray order that is foreign: what it is drawn from
}

type chore string

const (
	deliver  chore = "deliver"  // of what was short
	release  chore = "release"  // of what waits for stock, by an operator
	addAlias chore = "alias"    // of the SKU that nobody knew
	onboard  chore = "onboard"  // again, with the same settings
	pause    chore = "pause"    // and resume soon after
	syncNow  chore = "sync now" // all jobs
	compare  chore = "compare"  // books
)

// stray is an order that a warehouse has and that nothing in the ledger sent.
type stray string

const (
	doubled stray = "doubled" // under the token of one that was sent
	foreign stray = "foreign" // under a token that the ledger never gave, and the number of one that was not sent yet
	denied  stray = "denied"  // under the token of one that was refused
)

// played is a trick on a message to people.
type played struct {
	at   int
	what trick
}

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
	p.drawTricks(draw(seed, streamTricks), s)
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
	deeds := []deed{leave, voidIt, cancelIt, changeAddress, changeLine, holdAndRelease, holdAndCancel, cancelAndRegret, voidAndRestore}
	for i := range s.orders {
		o := sale{at: i * s.kills / s.orders, merchant: i % s.merchants, n: i / s.merchants}
		o.fate = pick(r, fates, []float64{.82, .08, .02, .06, .02})
		o.then = pick(r, deeds, []float64{.54, .1, .08, .06, .06, .03, .03, .05, .05})
		switch {
		case o.n == 0 && callsPeople(o.merchant): // there is something to call them for
			o.fate, o.then = shop.Unknown, leave
		case o.n%20 == 1 && listsOrders(o.merchant) && comparesBooks(o.merchant): // refused, and then perhaps taken after all
			o.fate, o.then = shop.Short, leave
		case o.then == voidAndRestore && o.waitsForEver():
			o.then = voidIt // it would never leave
		}
		// Half of all deeds come while the order is being taken in and sent.
		o.after = time.Duration(r.Float64() * float64(6*time.Second))
		if r.IntN(2) == 0 {
			o.after *= 4
		}
		o.hasty = r.IntN(3) == 0
		p.sales = append(p.sales, o)
	}
}

// waitsForEver reports whether the order has an item that never comes.
func (s sale) waitsForEver() bool { return s.fate == shop.Short || s.fate == shop.Unknown }

// pairings are the systems that merchants use, in turns.
func pairings() []shop.Merchant {
	return []shop.Merchant{
		{Carts: []string{"tradegecko", "csv-cart"}, Warehouse: "easypost"},
		{Carts: []string{"quickbooks-commerce"}, Warehouse: "bergen"},
		{Carts: []string{"csv-cart"}, Warehouse: "csv"},
		{Carts: []string{"quickbooks-commerce"}, Warehouse: "easypost"},
		{Carts: []string{"tradegecko"}, Warehouse: "csv"},
		{Carts: []string{"tradegecko", "csv-cart"}, Warehouse: "bergen"},
	}
}

// merchantOf is the i-th.
func merchantOf(i int) shop.Merchant {
	all := pairings()
	m := all[i%len(all)]
	m.ID, m.Kits = string(merchantID(i)), true
	return m
}

// listsOrders reports whether the i-th merchant's warehouse lists what came from us.
func listsOrders(i int) bool { return merchantOf(i).Warehouse == "easypost" }

// usersOf lists which of n merchants use a vendor.
func usersOf(vendor string, n int) (users []int) {
	for i := range n {
		m := merchantOf(i)
		for _, name := range append(slices.Clone(m.Carts), m.Warehouse) {
			if name == vendor || (name == "quickbooks-commerce" && vendor == "tradegecko") {
				users = append(users, i)
			}
		}
	}
	return users
}

// drawVendors draws faults of all vendors all along: every kind as often as the
// shape says, in an order of its own.
func (p *plan) drawVendors(r *rand.Rand, s shape) {
	for _, vendor := range shop.Vendors() {
		users := usersOf(vendor.Name, s.merchants)
		if len(users) == 0 {
			continue
		}
		var all []shop.FaultKind
		for range s.vendorEach {
			all = append(all, vendor.Faults...)
		}
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for i, kind := range all {
			f := vendorFault{at: i * s.kills / len(all), merchant: users[r.IntN(len(users))], vendor: vendor.Name, Fault: shop.Fault{
				Kind: kind.Name, Route: vendor.Routes[r.IntN(len(vendor.Routes))], Skip: r.IntN(4), Count: 1 + r.IntN(3),
				Delay: time.Duration(200+r.IntN(2800)) * time.Millisecond,
			}}
			if kind.Routes != nil {
				f.Route = kind.Routes[r.IntN(len(kind.Routes))]
			}
			if kind.Rare {
				f.Skip = 0
			}
			if kind.Stops {
				f.Count = 1
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
	var compared []int
	for m := range s.merchants {
		if comparesBooks(m) {
			compared = append(compared, m)
		}
	}
	strays := []stray{denied, doubled, foreign}
	for i := range max(len(strays)*len(compared), s.kills/8) {
		turn, of := i/len(compared), i%len(compared)
		p.changes = append(p.changes, change{
			at: r.IntN(s.kills), merchant: compared[of], what: compare, stray: strays[(turn+of)%len(strays)], token: r.Uint64(),
		})
	}
	slices.SortStableFunc(p.changes, func(a, b change) int { return cmp.Compare(a.at, b.at) })
}

// drawTricks spreads each trick over the run as often as a kind of vendor fault.
func (p *plan) drawTricks(r *rand.Rand, s shape) {
	for range s.vendorEach {
		for _, what := range tricks() {
			p.tricks = append(p.tricks, played{r.IntN(s.kills), what})
		}
	}
	slices.SortStableFunc(p.tricks, func(a, b played) int { return cmp.Compare(a.at, b.at) })
}

// end is how a worker's life ends: at a point, or at random.
type end struct {
	after  time.Duration // how long the worker is at work before
	point  float64       // which of the known points, from 0 to 1
	n      int           // at its n-th time
	skip   int           // fresh points that are passed first
	cold   bool          // it keeps no workflow in memory
	random bool          // killed in mid work instead of at a point
	asked  bool          // asked to stop in mid work, as by a deploy, instead of being killed
}

// end draws how the i-th life ends.
func (p plan) end(i int) end {
	r := draw(p.seed, streamLives+stream(i))
	e := end{after: time.Duration(min(r.ExpFloat64(), 4) * float64(p.life)), point: r.Float64(), n: 1 + int(r.ExpFloat64()*2), skip: r.IntN(3)}
	e.cold, e.random, e.asked = r.IntN(5) > 0, r.IntN(4) == 0, r.IntN(12) == 0
	return e
}

func (f vendorFault) String() string { return fmt.Sprintf("%s %s on %s", f.vendor, f.Kind, f.Route) }
