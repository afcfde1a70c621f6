// Package connectortest is the one suite that every connector has to pass. A
// connector's test calls Run with the connector and with the simulated system
// that it speaks to; the suite finds the connector's abilities, and holds every
// one of them against what real servers were seen to do.
//
// Checks run in a testing/synctest bubble, over a network in memory: waits,
// back-offs and timeouts cost no time, and the clock stands still unless
// everybody waits, so that equal time stamps are the rule. The faults of HTTP
// are the suite's own: it stands between the connector and the simulator.
package connectortest

import (
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
)

// update writes the tables anew: go test ./connectors/acme -update.
var update = flag.Bool("update", false, "write the table in testdata anew")

// Subject is a connector and how to start the system that it speaks to.
type Subject struct {
	Connector connectors.Connector
	// Start starts a new, empty system; it ends with t.Cleanup. The system is what
	// the interfaces of system.go ask for, each as far as it has it. It lives in
	// the bubble: time.Now is the bubble's.
	Start func(t testing.TB) any
	// Path is what follows the host in the base URL: "/fulfillment/vendor/v2".
	Path string
	Mode relay.Mode
	// Settings are those that the system needs, and none that hide a weakness.
	Settings connectors.Values
	// Credentials are accepted by the system, and its only ones: every request
	// with others is refused. Each secret is one that no other text holds.
	Credentials connectors.Credentials
	// Names are credentials that are no secrets but names, such as an account's
	// web address: they may be shown.
	Names []string
	// Writes tells requests that change something. nil: all but GET and HEAD. It
	// may read the body.
	Writes func(*http.Request) bool
	// Webhooks is how deliveries are verified; nil where the system sends none.
	Webhooks *Webhooks
	// Except names the checks that can't be made of this system, and why: the
	// name as the table prints it, or an ability's with "/*" for all of it.
	Except map[string]string
}

// Webhooks is how the deliveries of a system are verified.
type Webhooks struct {
	// Verify reads a delivery and returns the event's id, the same for repeats.
	Verify func(secret string, header http.Header, body []byte) (id string, err error)
	// Sign returns the headers that the system sends with the body.
	Sign func(secret string, body []byte) http.Header
	Body string // of a delivery, as the system writes it
}

// Result is what became of one check.
type Result struct {
	Ability string
	Check   string // "" when the ability is absent
	Fault   bool   // it belongs into the table of faults
	Outcome Outcome
	Words   []string // why it failed or does not apply
}

// Outcome is one of four.
type Outcome string

// The outcomes.
const (
	Passed       Outcome = "pass"
	Failed       Outcome = "FAIL"
	Absent       Outcome = "absent" // the connector has no such ability
	Inapplicable Outcome = "n/a"    // the system can't show it; Words say why
)

// Run examines the connector, a subtest a check, and prints the table. What the
// table says is kept in testdata/conformance-<name>.md: a check that no longer
// applies, or an ability that went away, fails the test as well.
func Run(t *testing.T, s Subject) {
	t.Helper()
	var results []Result
	x := newExaminer(t, s)
	for _, c := range x.checks() {
		t.Run(c.ability+"/"+c.name, func(t *testing.T) {
			r := x.run(t, c)
			results = append(results, r)
			if r.Outcome == Failed {
				for _, w := range r.Words {
					t.Error(w)
				}
			}
		})
	}
	if whole := len(results) == len(x.checks()); !whole || t.Failed() {
		return // only some checks were asked for, or there is nothing to keep
	}
	table := Table(s.Connector, append(results, x.absent()...))
	t.Log("\n" + table)
	file := filepath.Join("testdata", "conformance-"+s.Connector.Name+".md")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, []byte(table), 0o644))
		return
	}
	kept, err := os.ReadFile(file)
	require.NoError(t, err, "run the test once with -update, and read what it wrote")
	require.Equal(t, string(kept), table, "the table changed: if rightly so, run the test with -update")
}

// check is one thing that every connector with an ability has to hold.
type check struct {
	ability string
	name    string
	fault   bool
	run     func(t *trial)
}

func (c check) String() string { return c.ability + "/" + c.name }

// ability is something that a connector may be able to do.
type ability struct {
	name   string
	has    func(connectors.Connection) bool
	checks []check
}

// can makes an ability of one of the contract's interfaces.
func can[A any](name string, checks ...check) ability {
	for i := range checks {
		checks[i].ability = name
	}
	return ability{name: name, checks: checks, has: func(c connectors.Connection) bool { _, ok := c.(A); return ok }}
}

const required = "every connector"

// abilities lists the whole suite.
func abilities(s Subject) []ability {
	list := []ability{
		can[connectors.Connection](required, requiredChecks()...),
		can[connectors.OrderSource]("order source", orderSourceChecks()...),
		can[connectors.CancellationSource]("cancellation source", cancellationSourceChecks()...),
		can[connectors.ShipmentSink]("shipment sink", shipmentSinkChecks()...),
		can[connectors.OrderReader]("order reader", orderReaderChecks()...),
		can[connectors.CancelSink]("cancel sink", cancelSinkChecks()...),
		can[connectors.InventorySink]("inventory sink", inventorySinkChecks()...),
		can[connectors.OrderSink]("order sink", orderSinkChecks()...),
		can[connectors.OrderLookup]("order look-up", orderLookupChecks()...),
		can[connectors.OrderLister]("order list", orderListerChecks()...),
		can[connectors.Canceller]("cancel", cancellerChecks()...),
		can[connectors.ShipmentSource]("shipment source", shipmentSourceChecks()...),
		can[connectors.InventorySource]("inventory source", inventorySourceChecks()...),
		can[connectors.SiteLister]("sites", siteListerChecks()...),
		can[connectors.AddressChecker]("address check", addressCheckerChecks()...),
		can[connectors.PackageTracker]("package tracking", packageTrackerChecks()...),
		{name: "webhooks", has: func(connectors.Connection) bool { return s.Webhooks != nil }, checks: webhookChecks()},
	}
	for i := range list {
		for _, c := range calls() {
			if c.ability == list[i].name {
				list[i].checks = append(list[i].checks, faultChecks(c)...)
			}
		}
		for j := range list[i].checks {
			list[i].checks[j].ability = list[i].name
		}
	}
	// Last, for they are about everything that the others did.
	last := can[connectors.Connection](required, wholeRunChecks()...)
	return append(list, last)
}

// checks lists those of the abilities that the connector has.
func (x *examiner) checks() []check {
	var out []check
	for _, a := range x.abilities {
		if a.has(x.sample) {
			out = append(out, a.checks...)
		}
	}
	return out
}

func (x *examiner) absent() []Result {
	var out []Result
	for _, a := range x.abilities {
		if !a.has(x.sample) {
			out = append(out, Result{Ability: a.name, Outcome: Absent})
		}
	}
	return out
}

// exception is why a check can't be made of this system.
func (s Subject) exception(c check) string {
	for _, name := range []string{c.String(), c.ability + "/*"} {
		if why, ok := s.Except[name]; ok {
			return why
		}
	}
	return ""
}

// secrets are the credentials that must never be shown.
func (s Subject) secrets() []string {
	var out []string
	for name, v := range s.Credentials {
		if !slices.Contains(s.Names, name) {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return out
}
