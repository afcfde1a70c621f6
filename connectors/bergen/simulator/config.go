package simulator

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Account is one customer of the warehouse: a data set of its own, reached with
// its three credentials (wire/bergen-rex11.md section 6).
type Account struct {
	WebAddress string
	UserName   string
	Password   string
	// Prefix is the six characters that the service puts before a ticket's number
	// (section 7.4). It names the account here too, so no two are alike. "" gives
	// ACME1A to the first account, ACME2A to the second.
	Prefix string
	// Warehouses are the buildings that keep the account's stock, spelt as in the
	// enumeration (section 7.3); nil means BERGEN LOGISTICS NJ2 and ... NJ3.
	Warehouses []string
}

// Config is what a simulator is made of. The zero value of everything but
// Accounts gives the choices of wire/bergen-rex11.md section 12.
type Config struct {
	Seed     int64 // decides every tracking number, token and random fault
	Accounts []Account
	// Journal is the file that every change is appended to before its answer is
	// written, and that New reads back. "" keeps everything in memory.
	Journal string
	// Clock is the only source of time for the data; nil means time.Now. Without
	// one, timed progress also happens between requests.
	Clock func() time.Time
	// ShipServices are the services of each ShipVia, compared without regard to
	// case; nil means DefaultShipServices.
	ShipServices map[string][]string
	// Lax leaves out the check of every request and answer against the WSDL, which
	// Violations reports: for load.
	Lax       bool
	Behaviour Behaviour
	Progress  Progress
}

// DefaultShipServices is the table of a simulator that was given none. The
// service's own is not public; the two services with a capital and a small
// "Commercial", and GADQ, were seen (section 7.3).
func DefaultShipServices() map[string][]string {
	return map[string][]string{
		"UPS":          {"UPS GROUND - Commercial", "UPS GROUND - Residential", "UPS 2ND DAY AIR", "UPS NEXT DAY AIR"},
		"FEDEX":        {"FEDEX GROUND", "FEDEX HOME DELIVERY", "FEDEX 2 DAY", "FEDEX STANDARD OVERNIGHT"},
		"USPS":         {"USPS PRIORITY MAIL", "USPS FIRST CLASS"},
		"DHL":          {"DHL EXPRESS WORLDWIDE"},
		"GALETRIANGLE": {"GADQ"},
	}
}

// Progress says how tickets and products move by themselves.
type Progress struct {
	ImportAfter  time.Duration // staged -> imported, after acceptance; 0: at once
	ProductAfter time.Duration // queued product -> in the style master; 0: at once
	PrintAfter   time.Duration // New - Pending Printing -> Printed - Pending Picking; 0: only by the control surface
	ShipAfter    time.Duration // printed -> shipped, and from one separate carton to the next; 0: likewise
	// CartonsEvery n packs every n-th ticket in two or three cartons; for every
	// second pair of those the cartons leave one after the other. 0: one carton.
	CartonsEvery int
}

func (p Progress) check() error {
	if min(p.ImportAfter, p.ProductAfter, p.PrintAfter, p.ShipAfter) < 0 || p.CartonsEvery < 0 {
		return errors.New("progress: negative values mean nothing")
	}
	return nil
}

// BadTokenForm is what a bad or expired token is answered with (section 12.1).
type BadTokenForm string

// The forms; "" is BadTokenNotification.
const (
	BadTokenNotification BadTokenForm = "notification" // code 2, AuthenticationError
	BadTokenFault        BadTokenForm = "fault"        // soap:Server, HTTP 500
	BadTokenEmpty        BadTokenForm = "empty"        // a result without notifications or payload
)

// AddStatusForm is where GetPickTicketAddStatus says how far a ticket is (section 7.6).
type AddStatusForm string

// The forms; "" is AddStatusPayload.
const (
	AddStatusPayload       AddStatusForm = "payload"
	AddStatusNotifications AddStatusForm = "notifications"
	AddStatusBoth          AddStatusForm = "both"
)

// Behaviour holds a switch for what wire/bergen-rex11.md marks unknown. The zero
// value is the choice of its section 12. It is not kept in the journal.
type Behaviour struct {
	BadToken BadTokenForm `json:"bad_token"`
	// TokenLifetime is how long a token works; 0 means 30 minutes, less for ever.
	TokenLifetime time.Duration `json:"-"`

	AcceptDuplicates  bool `json:"accept_duplicates"`   // a number that is there makes a second ticket
	ReuseCancelled    bool `json:"reuse_cancelled"`     // a cancelled ticket's number is free again
	UnknownUPCLater   bool `json:"unknown_upc_later"`   // accepted, and the import fails
	MaxNumberLength   int  `json:"max_number_length"`   // of PickTicketNumber; 0: no limit
	NoPrefix          bool `json:"no_prefix"`           // numbers come back as sent
	KeepNames         bool `json:"keep_names"`          // first and last name come back beside a company
	NoRecheck         bool `json:"no_recheck"`          // a ticket without stock stays so until a person releases it
	ManualImports     bool `json:"manual_imports"`      // only through the control surface
	StagedUnknown     bool `json:"staged_unknown"`      // GetPickTicketAddStatus knows only imported tickets
	StagedCancel45    bool `json:"staged_cancel_45"`    // a staged ticket "does not exist" for CancelPickTicket
	CancelIgnored     bool `json:"cancel_ignored"`      // CancelPickTicket says yes and does nothing
	CancelTwice       bool `json:"cancel_twice"`        // cancelling a cancelled ticket succeeds
	UnknownUPCRefused bool `json:"unknown_upc_refused"` // GetInventoryByUPCs answers 33 for a UPC that is not there
	NullNotifications bool `json:"null_notifications"`  // reads leave the empty Notifications out (section 5)
	UnknownFields     bool `json:"unknown_fields"`      // answers carry an element that the WSDL lacks

	NoListTracking   bool `json:"no_list_tracking"`   // none in the status lists
	NoCartonTracking bool `json:"no_carton_tracking"` // none in the cartons
	NoCartonContents bool `json:"no_carton_contents"` // cartons don't tell what is in them
	NoMasterTracking bool `json:"no_master_tracking"` // no MasterTrackingNumber

	EndDateExclusive bool `json:"end_date_exclusive"` // lists end before the EndDate
	ByDateCreated    bool `json:"by_date_created"`    // GetPickTicketStatusesByDate looks at the import, not at the last change
	ByPlannedDate    bool `json:"by_planned_date"`    // GetPickTicketStatusesByShipDate looks at ShipDate, shipped or not
	MaxRangeDays     int  `json:"max_range_days"`     // a longer range is answered 12; 0: any

	FirstBatch0 bool `json:"first_batch_0"` // batches count from 0
	BatchSize   int  `json:"batch_size"`    // 0 means 500
	// MovingRows lets each batch after the first begin so many rows earlier than it
	// should: rows move back while they are read, so some come twice. Less than 0:
	// later, so some are never seen.
	MovingRows int `json:"moving_rows"`

	// FailImport, unless "", is why every import fails from now on.
	FailImport string        `json:"fail_import"`
	AddStatus  AddStatusForm `json:"add_status"`
	// CancelUntil is the last status of the usual path in which CancelPickTicket
	// still works; "" means New - Pending Printing. CSR states always can be.
	CancelUntil string            `json:"cancel_until"`
	Statuses    map[string]string `json:"statuses"` // renames statuses on the wire: {"Shipped Complete": "Gone"}
	Codes       map[string]int    `json:"codes"`    // status codes by status: {"Shipped Complete": 901}
}

const (
	defaultTokenLifetime = 30 * time.Minute
	defaultBatchSize     = 500
)

func (b *Behaviour) tokenLifetime() time.Duration {
	if b.TokenLifetime == 0 {
		return defaultTokenLifetime
	}
	return b.TokenLifetime
}

func (b *Behaviour) batchSize() int {
	if b.BatchSize == 0 {
		return defaultBatchSize
	}
	return b.BatchSize
}

// firstBatch is the number of the first batch.
func (b *Behaviour) firstBatch() int {
	if b.FirstBatch0 {
		return 0
	}
	return 1
}

func (b *Behaviour) check() error {
	if !slices.Contains([]BadTokenForm{"", BadTokenNotification, BadTokenFault, BadTokenEmpty}, b.BadToken) {
		return fmt.Errorf("behaviour: bad_token %q is none of notification, fault, empty", b.BadToken)
	}
	if !slices.Contains([]AddStatusForm{"", AddStatusPayload, AddStatusNotifications, AddStatusBoth}, b.AddStatus) {
		return fmt.Errorf("behaviour: add_status %q is none of payload, notifications, both", b.AddStatus)
	}
	if b.CancelUntil != "" && !slices.Contains(path, b.CancelUntil) {
		return fmt.Errorf("behaviour: cancel_until %q is not on the usual path: %q", b.CancelUntil, path)
	}
	if b.BatchSize < 0 || b.MaxNumberLength < 0 || b.MaxRangeDays < 0 {
		return errors.New("behaviour: batch_size, max_number_length and max_range_days are at least 0")
	}
	return nil
}
