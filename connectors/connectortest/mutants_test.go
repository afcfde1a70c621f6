package connectortest

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
)

// faultColumns prefix a mistake's entry that fails checks of faults: those of every ability.
const faultColumns = "*/"

// mistakes are what real connectors get wrong, and the one check that each has to fail.
func mistakes() map[connectors.Role]map[string]string {
	anywhere := map[string]string{
		"no title":                            required + "/names itself",
		"bad default":                         required + "/settings are documented and their defaults good",
		"takes any setting":                   required + "/bad settings are refused by name",
		"asks while opening":                  required + "/opening makes no request",
		"says nothing of the account":         required + "/the connection test says what answered",
		"takes a bad key for bad weather":     required + "/wrong credentials are unauthorised",
		"one at a time":                       required + "/used by many at once",
		"quotes the vendor":                   required + "/no secret and no address in errors, logs and reports",
		"leaves a goroutine":                  required + "/no goroutine is left behind",
		"phones home":                         required + "/every request takes the given transport to the given address",
		"takes a hang-up for a refusal":       faultColumns + "reply lost, reset before",
		"takes 5xx for a refusal":             faultColumns + "5xx after, 5xx before, 502 page",
		"takes a page for a refusal":          faultColumns + "200 page",
		"takes half a body for a refusal":     faultColumns + "half a body",
		"takes an empty answer for a refusal": faultColumns + "empty 2xx",
		"throttled without a time":            faultColumns + "429 with delay, 429 bare",
		"knows better when to come again":     faultColumns + "429 with delay",
		"follows redirects":                   faultColumns + "redirect",
		"waits for an hour":                   faultColumns + "no answer",
		"can't be cancelled":                  faultColumns + "cancelled",
		"stumbles over long words":            faultColumns + "words quoted",
	}
	cart := map[string]string{
		"passes on whatever it gets":                 required + "/every error is classified",
		"sends a doubtful write again":               required + "/no write is sent twice by one call",
		"forgets the second line of the street":      "order source/orders are told as they were placed",
		"asks for one too many":                      "order source/the limit is honoured",
		"goes by time":                               "order source/equal time stamps at the watermark",
		"counts rows":                                "order source/rows that move while pages are read",
		"jumps over repeated pages":                  "order source/shifted and repeated pages",
		"chases its own writes":                      "order source/our own writes move the stamp",
		"remembers orders":                           "order source/a change is told again",
		"keeps cursors in memory":                    "order source/any cursor goes on in another connection",
		"starts over at a foreign cursor":            "order source/a foreign cursor is refused",
		"asks and does not listen":                   "order source/known versions are left out",
		"knows no earliest date":                     "order source/orders before the earliest date are left out",
		"believes in types":                          "order source/fields whose type changes between answers",
		"takes numbers for floats":                   "order source/ids above 2^53",
		"has no feed of cancels":                     "cancellation source/cancelled orders are told",
		"watches nothing":                            "cancellation source/watched orders are looked at",
		"takes a change for a cancel":                "cancellation source/live orders are not told",
		"starts over at a foreign cursor of cancels": "cancellation source/a foreign cursor is refused",
		"tells the first line only":                  "shipment sink/each package is told once",
		"mixes up outcomes":                          "shipment sink/outcomes are in the order of the pushes",
		"never says that it was there":               "shipment sink/a repeated push is found, not told twice",
		"knows only its own packages":                "shipment sink/what a person shipped is found",
		"tells more than was ordered":                "shipment sink/more than was ordered is never told",
		"takes a missing order for a bad one":        "shipment sink/an order that the cart does not have",
		"ships what was cancelled":                   "shipment sink/a cancelled order is not shipped",
		"believes in the status of a shipment":       "shipment sink/a refusal inside a success",
		"takes its own packages off the lines":       "order reader/an order that we shipped is told as it is now",
		"reads what it remembers":                    "order reader/an order that we shipped is told as it is now",
		"reads what was cancelled":                   "order reader/cancelled orders, and those that are gone, are left out",
		"reads what others shipped":                  "order reader/what others shipped is left out",
		"has no word for a cancel":                   "cancel sink/an order is cancelled",
		"never says that it was cancelled":           "cancel sink/cancelled already, or gone",
		"takes a shipped order for a bad one":        "cancel sink/an order that ships is a conflict",
		"believes in the status of a cancel":         "cancel sink/a cancel without effect is not reported done",
		"forgets what was there":                     "inventory sink/what was there before is told",
		"takes 0 for nothing to say":                 "inventory sink/levels are set, and no others",
		"believes that a repeat changes nothing":     "inventory sink/a repeated push changes nothing",
		"makes unknown SKUs":                         "inventory sink/an unknown SKU is reported and not made",
		"counts in whole units":                      "inventory sink/negative and fractional levels",
		"does not look after its write":              "inventory sink/a sale between the read and the write",
		"believes in the status of a level":          "inventory sink/a refusal inside a success",
	}
	depot := map[string]string{
		"stamps its requests":                         "order sink/preparing makes no request and gives the same bytes",
		"cuts long streets":                           "order sink/orders arrive whole, hostile ones or are refused",
		"refuses without a reason":                    "order sink/orders arrive whole, hostile ones or are refused",
		"takes a reference for an order":              "order sink/another order for the same reference after a cancel",
		"believes in the status of an order":          "order sink/a refusal inside a success",
		"looks for five at most":                      "order look-up/what is there is found, and what is not is surely absent",
		"stops at the first match":                    "order look-up/an order that was taken twice is found twice",
		"looks at one page":                           "order look-up/absent is certain only when all was read",
		"finds no cancelled orders":                   "order look-up/a cancelled order says so",
		"takes others' orders":                        "order look-up/found by what is in it",
		"lists no progress":                           "order list/every order with our mark is listed",
		"stops when the list grows":                   "order list/orders that come while it is read",
		"jumps over repeated pages of the list":       "order list/shifted and repeated pages",
		"starts over at a foreign cursor of the list": "order list/a foreign cursor is refused",
		"can't cancel what is cancelled":              "cancel/done, and harmless twice",
		"hopes for what has shipped":                  "cancel/too late",
		"gives up at once":                            "cancel/pending until the warehouse decides",
		"believes in the answer to a cancel":          "cancel/a cancel without effect is not reported done",
		"takes a part for all":                        "shipment source/packages and progress are told as they come",
		"counts packages twice":                       "shipment source/a package told twice counts once",
		"misses cancels":                              "shipment source/a cancel by the warehouse",
		"fails for one that is gone":                  "shipment source/an order that it does not know",
		"reads ten orders":                            "shipment source/many open orders, each in its turn",
		"stumbles over a foreign cursor":              "shipment source/a foreign cursor does no harm",
		"leaves out what is sold out":                 "inventory source/each code once, with its level",
		"counts codes":                                "inventory source/codes that come and go between pages",
		"knows no less than nothing":                  "inventory source/negative and fractional levels",
		"calls it on hand":                            "inventory source/accepted orders and the meaning of the figure",
		"keeps stock cursors in memory":               "inventory source/any cursor goes on in another connection",
		"starts over at a foreign cursor of stock":    "inventory source/a foreign cursor is refused",
		"lists half of the sites":                     "sites/every level's site is listed",
		"finds every address good":                    "address check/a good address has no problem, a bad one is named",
		"leaves out unknown packages":                 "package tracking/each package in its place",
		"names no event":                              "webhooks/a signed delivery is read",
		"compares half a signature":                   "webhooks/an unsigned or wrongly signed one is refused",
		"numbers events by itself":                    "webhooks/a repeat has the id of the first",
	}
	maps.Copy(cart, anywhere)
	maps.Copy(depot, anywhere)
	return map[connectors.Role]map[string]string{connectors.Cart: cart, connectors.Warehouse: depot}
}

// expected lists the checks that a mistake has to fail.
func expected(x *examiner, entry string) []string {
	columns, faulty := strings.CutPrefix(entry, faultColumns)
	if !faulty {
		return []string{entry}
	}
	var out []string
	for _, c := range x.checks() {
		if c.fault && slices.Contains(strings.Split(columns, ", "), c.name) {
			out = append(out, c.String())
		}
	}
	slices.Sort(out)
	return out
}

func failures(results []Result) []string {
	var out []string
	for _, r := range results {
		if r.Outcome == Failed {
			out = append(out, r.Ability+"/"+r.Check)
		}
	}
	slices.Sort(out)
	return out
}

func TestAGoodConnectorPasses(t *testing.T) {
	for _, role := range []connectors.Role{connectors.Cart, connectors.Warehouse} {
		t.Run(string(role), func(t *testing.T) {
			for _, r := range newExaminer(t, yardSubject(role, "")).examine(t, func(check) bool { return true }) {
				require.NotEqual(t, Failed, r.Outcome, "%s/%s: %s", r.Ability, r.Check, strings.Join(r.Words, "\n"))
				require.NotEqual(t, Inapplicable, r.Outcome, "%s/%s: the yard can show everything", r.Ability, r.Check)
			}
		})
	}
}

// few leaves out most faults where a mistake is not about faults: all of them
// for all mistakes would take minutes.
func few(entry string) func(check) bool {
	return func(c check) bool {
		return !c.fault || strings.HasPrefix(entry, faultColumns) || slices.Contains([]string{"reply lost", "5xx before", "words quoted"}, c.name)
	}
}

// Every mistake fails the check that is there for it, and no other.
func TestEachMistakeFailsItsCheck(t *testing.T) {
	for role, list := range mistakes() {
		for mistake, entry := range list {
			t.Run(string(role)+"/"+mistake, func(t *testing.T) {
				s := yardSubject(role, mistake)
				x := newExaminer(t, s)
				require.Equal(t, expected(x, entry), failures(x.examine(t, few(entry))))
			})
		}
	}
}

// There is a mistake for every check: one that nothing can fail is worth nothing.
func TestEveryCheckHasItsMistake(t *testing.T) {
	for role, list := range mistakes() {
		x := newExaminer(t, yardSubject(role, ""))
		covered := map[string]bool{}
		for _, entry := range list {
			for _, c := range expected(x, entry) {
				covered[c] = true
			}
		}
		for _, c := range x.checks() {
			classified := strings.HasSuffix(c.name, "classified") || strings.HasSuffix(c.name, "sent twice by one call")
			if role == connectors.Warehouse && c.ability == required && classified {
				continue // the cart's mistakes show that
			}
			require.True(t, covered[c.String()], "no mistake fails %s", c)
		}
	}
}

// examine runs checks and returns their results.
func (x *examiner) examine(t *testing.T, which func(check) bool) []Result {
	var out []Result
	for _, c := range x.checks() {
		if which(c) {
			out = append(out, x.run(t, c))
		}
	}
	return out
}
