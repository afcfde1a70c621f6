package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"orderferry/relay"
	"orderferry/store"
)

// story tells an order's events in words.
type story struct {
	order       store.OrderDetail
	submissions map[store.SubmissionID]store.SubmissionDetail
	shipments   map[int64]store.ShipmentDetail
	skus        map[relay.LineID]relay.SKU
}

func newStory(d store.OrderDetail) story {
	s := story{
		order: d, submissions: make(map[store.SubmissionID]store.SubmissionDetail), shipments: make(map[int64]store.ShipmentDetail),
		skus: make(map[relay.LineID]relay.SKU),
	}
	for _, sub := range d.Submissions {
		s.submissions[sub.ID] = sub
	}
	for _, sh := range d.Shipments {
		s.shipments[sh.ID] = sh
	}
	for _, l := range d.Lines {
		s.skus[l.ID] = l.SKU
	}
	return s
}

// tell is an event in one sentence. One whose kind or detail is not known here,
// as in a ledger that a later release has written to, is shown as it is.
func (s story) tell(e store.Event) string {
	if say, known := sentences[e.Kind]; known {
		if words, err := say(s, e.Detail); err == nil {
			return words
		}
	}
	return strings.TrimSpace(string(e.Kind) + " " + string(e.Detail))
}

// sentence puts one kind of event into words.
type sentence func(s story, detail json.RawMessage) (string, error)

// of makes a sentence of a function that names the part of the detail that it tells.
func of[D any](say func(s story, d D) string) sentence {
	return func(s story, detail json.RawMessage) (string, error) {
		var d D
		if len(detail) > 0 {
			if err := json.Unmarshal(detail, &d); err != nil {
				return "", err
			}
		}
		return say(s, d), nil
	}
}

// sentences has every kind of event.
var sentences = map[store.EventKind]sentence{
	store.EventSeen: of(func(s story, d struct {
		cartVersion
		Lines int64
	}) string {
		return fmt.Sprintf("taken in from cart %s%s, %s", s.order.Cart, d.at(), relay.Many(d.Lines, "line"))
	}),
	store.EventChangedAtCart: of(func(_ story, d cartVersion) string {
		return "changed at the cart" + d.at() + ", and taken over" + d.changes()
	}),
	store.EventBackAtCart: of(func(_ story, d cartVersion) string {
		return "cancelled, and ready again at the cart" + d.at() + " for a person to decide" + d.changes()
	}),
	store.EventChangedTooLate: of(func(_ story, d cartVersion) string {
		return "changed at the cart" + d.at() + " after it was handed over, and not taken over" + d.changes()
	}),
	store.EventChangedBack: of(func(_ story, d cartVersion) string {
		return "changed back at the cart" + d.at() + " to what was handed over"
	}),

	store.EventSkipped: of(func(_ story, d struct{ Why string }) string {
		return "skipped, for the cart's filter leaves it out" + because(d.Why)
	}),
	store.EventUnskipped: of(func(_ story, d struct{ Why string }) string {
		return "skipped no more" + because(d.Why)
	}),

	store.EventHeld: of(func(_ story, d struct {
		Reason, Headline string
		There            relay.WarehouseOrderID `json:"warehouse_order"`
	}) string {
		words := "on hold: " + cmp.Or(d.Headline, d.Reason)
		if d.There != "" {
			words += fmt.Sprintf(" (the warehouse has it as %s and is stuck with it: nothing is sent again)", d.There)
		}
		return words
	}),
	store.EventReleased: of(func(_ story, d struct{ Why string }) string {
		if d.Why == "released" { // by a person: who that was stands beside it
			return d.Why
		}
		return "released" + because(d.Why)
	}),

	store.EventSubmitting: of(func(s story, d struct {
		Submission store.SubmissionID
		Token      relay.Token
		Digest     string
		Mappings   int64 `json:"aliases_version"`
		Settings   int64 `json:"settings_version"`
	}) string {
		sub := s.submissions[d.Submission]
		words := []string{
			fmt.Sprintf("translated with mappings version %d and settings version %d: %s opened", d.Mappings, d.Settings, s.attempt(d.Submission)),
			"token " + string(d.Token), "body sha256 " + short(d.Digest),
		}
		for _, it := range relay.MergeItems(sub.Items) {
			words = append(words, units(it.Units, string(it.Code)))
		}
		if sub.Service != "" {
			words = append(words, "service "+string(sub.Service))
		}
		return strings.Join(words, ", ")
	}),
	store.EventResubmitting: of(func(s story, d answer) string {
		return fmt.Sprintf("%s is sent again with the same token (send %d)", s.attempt(d.Submission), d.Send)
	}),
	store.EventAccepted: of(func(s story, d answer) string {
		if d.Within > 0 {
			return fmt.Sprintf("%s was sent, and the warehouse received it: order %s%s; its yes or no is due in %s",
				s.attempt(d.Submission), d.WarehouseOrder, d.how(), age(time.Duration(d.Within)*time.Second))
		}
		return fmt.Sprintf("%s was sent, and the warehouse took it: order %s%s", s.attempt(d.Submission), d.WarehouseOrder, d.how())
	}),
	store.EventAdopted: of(func(s story, d struct {
		answer
		By string
	}) string {
		by := ""
		if d.By != "" {
			by = " by its " + d.By
		}
		return fmt.Sprintf("%s was found at the warehouse%s: adopted order %s", s.attempt(d.Submission), by, d.WarehouseOrder)
	}),
	store.EventDuplicate: of(func(_ story, d struct{ Cancelled map[string]string }) string {
		var list []string
		for _, id := range slices.Sorted(maps.Keys(d.Cancelled)) {
			list = append(list, fmt.Sprintf("order %s: %s", id, d.Cancelled[id]))
		}
		return "the warehouse has it more than once; asked to cancel " + strings.Join(list, "; ")
	}),
	store.EventAcknowledged: of(func(_ story, d struct{ Status string }) string {
		return "the warehouse took what it had received" + because(d.Status)
	}),
	store.EventTakenAfterAll: of(func(_ story, d struct {
		Was            relay.OrderState
		WarehouseOrder relay.WarehouseOrderID `json:"warehouse_order"`
	}) string {
		return fmt.Sprintf("the warehouse goes on with order %s, which it had refused; it was %s here", d.WarehouseOrder, d.Was)
	}),
	store.EventRefused: of(func(s story, d struct {
		answer
		Received bool
	}) string {
		if d.Received {
			return fmt.Sprintf("the warehouse does not take %s, which it had received as order %s: %s", s.attempt(d.Submission), d.WarehouseOrder, d.Headline)
		}
		if d.Status == 0 && d.Why != "" {
			return fmt.Sprintf("%s was refused by %s: %s", s.attempt(d.Submission), d.Why, d.Headline)
		}
		return fmt.Sprintf("%s was sent, and refused%s: %s", s.attempt(d.Submission), d.how(), d.Headline)
	}),
	store.EventUnknown: of(func(s story, d answer) string {
		return fmt.Sprintf("%s has no answer that tells%s: it will be looked for", s.attempt(d.Submission), d.how())
	}),
	store.EventNotFound: of(func(s story, d struct {
		answer
		Absent, Unsettled bool
	}) string {
		looked := s.attempt(d.Submission) + " was looked for at the warehouse: "
		switch {
		case d.Absent:
			return looked + "surely not there"
		case d.Unsettled:
			return looked + "that did not settle whether it is there"
		}
		return looked + "not there" + d.again("looked for")
	}),
	store.EventLookFailed: of(func(s story, d answer) string {
		return fmt.Sprintf("%s could not be looked for at the warehouse%s: that is tried again until it can", s.attempt(d.Submission), d.how())
	}),
	store.EventUnsent: of(func(s story, d answer) string {
		return fmt.Sprintf("%s never left%s%s", s.attempt(d.Submission), d.how(), d.again("sent"))
	}),

	store.EventPackage:      of(func(s story, d shipped) string { return s.shipped("package: ", d) }),
	store.EventContentsTold: of(func(s story, d shipped) string { return s.shipped("contents told later of package: ", d) }),
	store.EventPackageGrew:  of(func(s story, d shipped) string { return s.shipped("more in package: ", d) }),
	store.EventRelabelled: of(func(_ story, d struct {
		shipped
		Now  []string
		Told bool
	}) string {
		words := fmt.Sprintf("the warehouse names package %s no more, and now %s", parcel(d.Carrier, d.TrackingNumber), strings.Join(d.Now, ", "))
		if d.Told {
			words += ": the cart was told of the former"
		}
		return words
	}),
	store.EventShippedShort: of(func(s story, d struct {
		Left  []relay.ShippedLine
		Asked bool
	}) string {
		words := "shipped short: no more follows, and left are " + strings.Join(s.contents(d.Left), ", ")
		if d.Asked {
			words += ", as its cancel asked"
		}
		return words
	}),
	store.EventAssumed: of(func(s story, d struct {
		Contents []relay.ShippedLine
		Kits     bool
	}) string {
		switch {
		case len(d.Contents) == 0:
			return "nothing was left to ship that packages of untold contents could hold"
		case d.Kits:
			return "packages with a part of them stand for kits of which no more is expected: " + strings.Join(s.contents(d.Contents), ", ")
		}
		return "packages of untold contents stand for all that was left: " + strings.Join(s.contents(d.Contents), ", ")
	}),
	store.EventWarehouseStatus: of(func(_ story, d struct{ Status string }) string {
		return fmt.Sprintf("the warehouse calls it %q", d.Status)
	}),
	store.EventShippedAfterAll: of(func(_ story, d struct{ Was relay.OrderState }) string {
		return fmt.Sprintf("shipped after all, though it was %s", d.Was)
	}),

	store.EventTold: of(func(s story, d struct {
		told
		ID    string `json:"cart_shipment"`
		Found bool
	}) string {
		words := "told the cart of " + s.parcel(d.Shipment)
		if d.Found {
			words = "the cart already had " + s.parcel(d.Shipment)
		}
		if d.ID != "" {
			words += " (fulfillment " + d.ID + ")"
		}
		return words
	}),
	store.EventTellFailed: of(func(s story, d struct {
		told
		retry
		Error string
	}) string {
		return "the cart did not take " + s.parcel(d.Shipment) + because(d.Error) + d.again("told")
	}),
	store.EventConfirmed: of(func(story, struct{}) string { return "confirmed: the cart has all tracking" }),

	store.EventCancelAsked: of(func(_ story, d struct{ Reason string }) string {
		return "a cancel was asked for" + because(d.Reason)
	}),
	store.EventCancelledSending: of(func(_ story, d struct{ Reason string }) string {
		return "cancelled before it was sent" + because(d.Reason)
	}),
	store.EventCancelled: of(func(_ story, d struct {
		Evidence, Status string
		Asked            *bool
	}) string {
		if d.Asked != nil && !*d.Asked {
			return "the warehouse cancelled it by itself" + because(d.Status)
		}
		return "cancelled at the warehouse" + because(cmp.Or(d.Evidence, d.Status))
	}),
	store.EventCancelToldCart: of(func(_ story, d struct {
		Status string
		Found  bool
	}) string {
		if d.Found {
			return "the cart had cancelled it already" + because(d.Status)
		}
		return "told the cart that it is cancelled" + because(d.Status)
	}),
	store.EventCancelTellFailed: of(func(_ story, d struct{ Error string }) string {
		return "the cart did not take the cancel" + because(d.Error)
	}),
	store.EventReopened: of(func(_ story, d struct {
		Reason    string
		Cancelled relay.WarehouseOrderID `json:"cancelled_warehouse_order"`
	}) string {
		words := "reopened, to be sent anew" + because(d.Reason)
		if d.Cancelled != "" {
			words += fmt.Sprintf(" (order %s at the warehouse stays cancelled)", d.Cancelled)
		}
		return words
	}),
	store.EventCancelTooLate: of(func(_ story, d struct{ Evidence string }) string {
		return "too late to cancel" + because(d.Evidence)
	}),
	store.EventCancelPending: of(func(_ story, d struct{ Evidence string }) string {
		return "asked to cancel, the warehouse has not decided" + because(d.Evidence)
	}),
}

// cartVersion is the cart's version of an order, and what changed with it.
type cartVersion struct {
	Version time.Time
	Changes []relay.Difference
	InAll   int `json:"changes_in_all"` // where there are more of them
}

func (v cartVersion) changes() string {
	var words []string
	for _, c := range v.Changes {
		words = append(words, c.String())
	}
	if more := v.InAll - len(v.Changes); more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return because(strings.Join(words, "; "))
}

func (v cartVersion) at() string {
	if v.Version.IsZero() {
		return ""
	}
	return " at version " + stamp(v.Version)
}

// answer is what came of a request to the warehouse.
type answer struct {
	Submission     store.SubmissionID
	Send           int
	Status         int                    // HTTP; 0 for none
	Took           int64                  `json:"took_ms"`
	WarehouseOrder relay.WarehouseOrderID `json:"warehouse_order"`
	Within         int64                  `json:"answer_s"` // it was only received: when its yes or no is due
	Headline       string
	Why            string // what went wrong
	retry
}

// how is in brackets what the answer was like, or why there was none, and when it came.
func (a answer) how() string {
	var words []string
	switch {
	case a.Why != "" && a.Headline == "":
		words = append(words, a.Why) // it tells the status
	case a.Status != 0:
		words = append(words, fmt.Sprintf("HTTP %d", a.Status))
	}
	if took := time.Duration(a.Took) * time.Millisecond; took > 0 {
		words = append(words, "after "+took.String())
	}
	if len(words) == 0 {
		return ""
	}
	return " (" + strings.Join(words, ", ") + ")"
}

// shipped is what a package holds.
type shipped struct {
	Carrier        string
	TrackingNumber string `json:"tracking_number"`
	Contents       []relay.ShippedLine
	Parts          []relay.Item // of kits that are not whole with it
	Surplus        []relay.Item
}

func (s story) shipped(what string, d shipped) string {
	words := []string{what + parcel(d.Carrier, d.TrackingNumber)}
	words = append(words, s.contents(d.Contents)...)
	for _, it := range d.Parts {
		words = append(words, units(it.Units, string(it.Code))+" of a kit, told with the rest of it")
	}
	for _, it := range d.Surplus {
		words = append(words, units(it.Units, string(it.Code))+" beyond what was ordered")
	}
	if len(words) == 1 {
		words = append(words, "contents not told")
	}
	return strings.Join(words, ", ")
}

// retry is when something is tried again.
type retry struct {
	Again int64 `json:"again_s"`
}

func (r retry) again(done string) string {
	if r.Again <= 0 {
		return ""
	}
	return fmt.Sprintf("; %s again in %s", done, age(time.Duration(r.Again)*time.Second))
}

// told names a package that a cart was told of.
type told struct{ Shipment int64 }

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

// attempt names a submission as people count them.
func (s story) attempt(id store.SubmissionID) string {
	if sub, ok := s.submissions[id]; ok {
		return fmt.Sprintf("attempt %d", sub.Attempt)
	}
	return fmt.Sprintf("submission %d", id)
}

func (s story) parcel(shipment int64) string {
	sh, ok := s.shipments[shipment]
	if !ok {
		return fmt.Sprintf("package %d", shipment)
	}
	return parcel(sh.Carrier, sh.TrackingNumber)
}

func parcel(carrier, number string) string { return strings.TrimSpace(carrier + " " + number) }

func (s story) contents(lines []relay.ShippedLine) []string {
	var out []string
	for _, l := range lines {
		out = append(out, units(l.Units, string(cmp.Or(s.skus[l.Line], relay.SKU("line "+string(l.Line))))))
	}
	return out
}

func units(n int64, of string) string { return fmt.Sprintf("%d x %s", n, of) }

// short is the beginning of a digest: enough to compare by eye. JSON has all of it.
func short(digest string) string {
	if len(digest) <= 16 {
		return digest
	}
	return digest[:16] + "..."
}
