package simulator

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Mode is one of an account's two separate data sets; the API key decides which.
type Mode string

// The modes, as they appear on every object (wire/easypost-fulfillment.md section 1).
const (
	Production Mode = "production"
	Test       Mode = "test"
)

// modes lists both in the order in which they are shown.
func modes() []Mode { return []Mode{Production, Test} }

// Keys are the API keys. They must differ; a mode with an empty key cannot be reached.
type Keys struct {
	Production string
	Test       string
}

// Config is what a simulator is made of. The zero value of everything but Keys
// gives the defaults of the wire page.
type Config struct {
	Seed int64 // decides every id, tracking code and random fault
	Keys Keys
	// Journal is the file that every change is appended to before its answer is
	// written, and that New reads back. "" keeps everything in memory.
	Journal string
	// Clock is the only source of time for the data; nil means time.Now. Without
	// one, timed progress also happens between requests.
	Clock func() time.Time
	// Warehouses are the buildings; nil means two, "EAST" and "WEST".
	Warehouses []Warehouse
	Behaviour  Behaviour
	Progress   Progress
}

// Warehouse is one building.
type Warehouse struct {
	ShortName string // names it in SetStock; unique
	Name      string
	Disabled  bool // listed with disabled_at set; its stock is never promised
}

// Progress says how orders and parcels move by themselves. A zero duration means
// only through the control surface.
type Progress struct {
	ProcessAfter time.Duration // received -> processing, after acceptance
	ShipAfter    time.Duration // processing -> shipped, and from one separate package to the next
	TransitAfter time.Duration // parcel pre_transit -> in_transit, after shipping
	DeliverAfter time.Duration // parcel in_transit -> delivered
	// PackagesEvery n packs every n-th order in two or three packages; for every
	// second pair of those the packages leave one after the other. 0: one package.
	PackagesEvery int
}

func (p Progress) check() error {
	if min(p.ProcessAfter, p.ShipAfter, p.TransitAfter, p.DeliverAfter) < 0 || p.PackagesEvery < 0 {
		return errors.New("progress: negative values mean nothing")
	}
	return nil
}

// TrackersOn says where an order's trackers can be seen.
type TrackersOn string

// Where trackers show.
const (
	TrackersOnBoth    TrackersOn = "both"
	TrackersOnGet     TrackersOn = "get"     // not in webhook bodies
	TrackersOnWebhook TrackersOn = "webhook" // not in answers, nor on their picks
)

// ErrorForm is the shape of an error body (section 11.1).
type ErrorForm string

// The shapes; "" is ErrorsObject.
const (
	ErrorsObject  ErrorForm = "errors_object"  // {"errors":{code,message,errors:[{field,message}]}}
	ErrorsArray   ErrorForm = "errors_array"   // {"errors":[{code,message,field}]}
	ErrorsStrings ErrorForm = "errors_strings" // {"errors":["CODE: message"]}
	ErrorObject   ErrorForm = "error_object"   // {"error":{code,message,errors:[...]}}
	ErrorString   ErrorForm = "error_string"   // {"error":"CODE: message"}
	CodeMessage   ErrorForm = "code_message"   // {"code":"...","message":"..."}
	MessageOnly   ErrorForm = "message"        // {"message":"CODE: message"}
	EmptyBody     ErrorForm = "empty"
	HTMLBody      ErrorForm = "html"
	TextBody      ErrorForm = "text"
)

// TimestampForm is the shape of created_at and its kin (section 2).
type TimestampForm string

// The shapes; "" is Seconds.
const (
	Seconds      TimestampForm = "seconds"
	Milliseconds TimestampForm = "milliseconds"
	DigitString  TimestampForm = "string"
	RFC3339      TimestampForm = "rfc3339"
)

// Behaviour holds a switch for everything the wire page does not know for
// certain. The zero value is the page's "sim default". It is not kept in the
// journal.
type Behaviour struct {
	OneBasedPages    bool `json:"one_based_pages"`   // page=1 is the first; page=0 too
	IgnorePage       bool `json:"ignore_page"`       // every page is the first
	IgnoreOffset     bool `json:"ignore_offset"`     // every offset is 0
	LimitCapsTotal   bool `json:"limit_caps_total"`  // of all pages, not of each
	QueryUnsupported bool `json:"query_unsupported"` // ?query= is passed over
	DropDescription  bool `json:"drop_description"`  // neither echoed nor searched; the books keep it
	GoneAfterDelete  bool `json:"gone_after_delete"` // a deleted order answers 404 and leaves the lists
	QuantityOnHand   bool `json:"quantity_on_hand"`  // not net of accepted, unshipped orders
	HideZeroRows     bool `json:"hide_zero_rows"`    // no inventory row where there is nothing
	NoTrackerArray   bool `json:"no_tracker_array"`  // trackers only inside picks
	NoPicks          bool `json:"no_picks"`          // trackers only, no packing lists
	PickQuantities   bool `json:"pick_quantities"`   // one entry a product with a quantity, not one a unit
	NullArrays       bool `json:"null_arrays"`       // null for every empty array
	UnknownFields    bool `json:"unknown_fields"`    // an extra field on every object
	WrapSingle       bool `json:"wrap_single"`       // {"order":{...}} for single resources
	EmptyDelete      bool `json:"empty_delete"`      // 204 without a body

	OldestFirst     bool `json:"oldest_first"`      // order and product lists the other way round
	Created200      bool `json:"created_200"`       // 200 where 201 is the default
	CancelWhileOpen bool `json:"cancel_while_open"` // DELETE works until something has left

	TrackersOn TrackersOn        `json:"trackers_on"`
	Statuses   map[string]string `json:"statuses"` // renames order statuses: {"shipped":"blorp"}
	// Codes renames error codes, and RefusalStatus replaces the 422 of refusals
	// (section 11.2: both are unknown but for PRODUCT.BARCODE.DUPLICATE).
	Codes         map[string]string `json:"codes"`
	RefusalStatus int               `json:"refusal_status"`
	ErrorForm     ErrorForm         `json:"error_form"`
	Timestamps    TimestampForm     `json:"timestamps"`
	// ListDelay keeps a new order out of lists and searches for so long.
	ListDelay time.Duration `json:"-"`
	// MaxProductIDs is how many product_ids one inventory request may carry. 0
	// means 28, which is what a client was seen to work with (section 9); negative
	// means no bound.
	MaxProductIDs int `json:"max_product_ids"`

	ManualWebhooks  bool `json:"manual_webhooks"`  // send none but through the control surface
	WebhookCopies   int  `json:"webhook_copies"`   // each delivered so many times; 0 means once
	ReorderWebhooks bool `json:"reorder_webhooks"` // shuffle what is waiting to be sent
}

const defaultMaxProductIDs = 28

func (b Behaviour) maxProductIDs() int {
	if b.MaxProductIDs == 0 {
		return defaultMaxProductIDs
	}
	return b.MaxProductIDs
}

func (b Behaviour) check() error {
	if !slices.Contains([]TrackersOn{"", TrackersOnBoth, TrackersOnGet, TrackersOnWebhook}, b.TrackersOn) {
		return fmt.Errorf("behaviour: trackers_on %q is none of both, get, webhook", b.TrackersOn)
	}
	if !slices.Contains([]ErrorForm{"", ErrorsObject, ErrorsArray, ErrorsStrings, ErrorObject, ErrorString,
		CodeMessage, MessageOnly, EmptyBody, HTMLBody, TextBody}, b.ErrorForm) {
		return fmt.Errorf("behaviour: unknown error_form %q", b.ErrorForm)
	}
	if !slices.Contains([]TimestampForm{"", Seconds, Milliseconds, DigitString, RFC3339}, b.Timestamps) {
		return fmt.Errorf("behaviour: unknown timestamps %q", b.Timestamps)
	}
	if b.RefusalStatus != 0 && (b.RefusalStatus < 400 || b.RefusalStatus > 499) {
		return fmt.Errorf("behaviour: refusal_status %d is not a 4xx", b.RefusalStatus)
	}
	if b.ListDelay < 0 || b.WebhookCopies < 0 || b.WebhookCopies > maxCopies {
		return fmt.Errorf("behaviour: list_delay and webhook_copies are at least 0, copies at most %d", maxCopies)
	}
	return nil
}
