package easypost

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"orderferry/relay"
)

// The vendor's JSON, read with tolerance (wire/easypost-fulfillment.md section
// 2): a missing key, null and an empty value are alike, numbers may be strings,
// and a field of the wrong type is passed over, not an error.

type orderJSON struct {
	ID          text               `json:"id"`
	Mode        text               `json:"mode"`
	CreatedAt   stamp              `json:"created_at"`
	UpdatedAt   stamp              `json:"updated_at"`
	Status      text               `json:"status"`
	Description text               `json:"description"`
	Destination *destinationJSON   `json:"destination"`
	Lines       many[lineJSON]     `json:"line_items"`
	Picks       *many[pickJSON]    `json:"picks"`    // nil: the answer did not say
	Trackers    *many[trackerJSON] `json:"trackers"` // nil: the answer did not say
}

// orderRow is an order in a list of which only the id has been read: most rows
// of a list are of no interest.
type orderRow struct {
	id   text
	body json.RawMessage
}

func (r *orderRow) UnmarshalJSON(b []byte) error {
	var head struct {
		ID text `json:"id"`
	}
	err := decode(b, &head)
	r.id, r.body = head.ID, bytes.Clone(b)
	return err
}

type destinationJSON struct {
	Name    text `json:"name"`
	Company text `json:"company"`
	Street1 text `json:"street1"`
	Street2 text `json:"street2"`
	City    text `json:"city"`
	Zip     text `json:"zip"`
	Country text `json:"country"`
}

type lineJSON struct {
	Product   *productJSON `json:"product"`
	ProductID text         `json:"product_id"`
	Units     number       `json:"units"`
}

type pickJSON struct {
	Mode        text            `json:"mode"`
	UpdatedAt   stamp           `json:"updated_at"`
	Tracker     *trackerJSON    `json:"tracker"`
	TrackerID   text            `json:"tracker_id"`
	Inventories many[entryJSON] `json:"inventories"`
}

// entryJSON is one physical unit in a pick, unless it carries a number of units.
type entryJSON struct {
	Product   *productJSON `json:"product"`
	ProductID text         `json:"product_id"`
	Quantity  number       `json:"quantity"`
	Units     number       `json:"units"`
}

type trackerJSON struct {
	ID            text  `json:"id"`
	Mode          text  `json:"mode"`
	CreatedAt     stamp `json:"created_at"`
	Status        text  `json:"status"`
	TrackingCode  text  `json:"tracking_code"`
	Carrier       text  `json:"carrier"`
	PublicURL     text  `json:"public_url"`
	CarrierDetail *struct {
		Service text `json:"service"`
	} `json:"carrier_detail"`
}

type productJSON struct {
	ID      text `json:"id"`
	Mode    text `json:"mode"`
	Barcode text `json:"barcode"`
}

type warehouseJSON struct {
	ID         text  `json:"id"`
	Mode       text  `json:"mode"`
	Name       text  `json:"name"`
	ShortName  text  `json:"short_name"`
	DisabledAt stamp `json:"disabled_at"`
}

type inventoryJSON struct {
	Product     *productJSON   `json:"product"`
	ProductID   text           `json:"product_id"`
	Warehouse   *warehouseJSON `json:"warehouse"`
	WarehouseID text           `json:"warehouse_id"`
	Quantity    number         `json:"quantity"`
}

// text is a string; a number or a boolean is taken by its digits or word.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	*t = ""
	switch {
	case len(b) == 0 || b[0] == '{' || b[0] == '[' || string(b) == "null":
	case b[0] == '"':
		var s string
		if json.Unmarshal(b, &s) == nil {
			*t = text(strings.TrimSpace(s))
		}
	default:
		*t = text(b)
	}
	return nil
}

// stamp is a point in time: whole seconds or, above 10^11, milliseconds; as a
// number or in a string; or RFC 3339. At is zero when it can't be read.
type stamp struct {
	At  time.Time
	Set bool // something other than null, "", 0 or false was there
}

func (s *stamp) UnmarshalJSON(b []byte) error {
	*s = stamp{}
	var t text
	_ = t.UnmarshalJSON(b)
	switch t {
	case "", "0", "false":
		return nil
	}
	s.Set = true
	if f, err := strconv.ParseFloat(string(t), 64); err == nil {
		s.At = fromEpoch(f)
		return nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05 MST", "2006-01-02"} {
		if at, err := time.Parse(layout, string(t)); err == nil {
			s.At = at.UTC()
			break
		}
	}
	return nil
}

// fromEpoch reads seconds or milliseconds since 1970, to the millisecond; zero
// beyond the year 5138.
func fromEpoch(f float64) time.Time {
	if f <= 1e11 {
		f *= 1000
	}
	if math.IsNaN(f) || f <= 0 || f > 1e14 {
		return time.Time{}
	}
	// Rounded: a fraction that binary can't hold must not lose a millisecond, since age decides which of two is kept.
	return time.UnixMilli(int64(math.Round(f))).UTC()
}

// number is a quantity given as a number or a numeric string.
type number struct {
	Value relay.Quantity
	Set   bool // something other than null or "" was there
	Bad   bool // it was there and can't be read
}

func (n *number) UnmarshalJSON(b []byte) error {
	*n = number{}
	if len(b) > 0 && (b[0] == '{' || b[0] == '[' || b[0] == 't' || b[0] == 'f') {
		*n = number{Set: true, Bad: true}
		return nil
	}
	var t text
	_ = t.UnmarshalJSON(b)
	if t == "" {
		return nil
	}
	n.Set = true
	v, err := relay.ParseQuantity(string(t))
	if err != nil {
		// Exponents and long fractions are rounded to the four places we keep.
		f, ferr := strconv.ParseFloat(string(t), 64)
		if ferr != nil || math.IsNaN(f) || math.Abs(f) > 1e9 {
			n.Bad = true
			return nil
		}
		if v, err = relay.ParseQuantity(strconv.FormatFloat(f, 'f', 4, 64)); err != nil {
			n.Bad = true
			return nil
		}
	}
	n.Value = v
	return nil
}

// many is an array; null is an empty one and a lone object an array of one.
// Elements that are no objects are passed over.
type many[T any] []T

func (m *many[T]) UnmarshalJSON(b []byte) error {
	*m = nil
	// Nearly always all is well, and one pass is enough; element by element costs
	// several passes at every level of nesting.
	var plain []*T
	if len(b) > 0 && b[0] == '[' && json.Unmarshal(b, &plain) == nil {
		*m = make(many[T], 0, len(plain))
		for _, v := range plain {
			if v != nil {
				*m = append(*m, *v)
			}
		}
		return nil
	}
	var raw []json.RawMessage
	if len(b) > 0 && b[0] == '{' {
		raw = []json.RawMessage{b}
	} else if json.Unmarshal(b, &raw) != nil {
		return nil
	}
	for _, r := range raw {
		if len(r) == 0 || r[0] != '{' {
			continue
		}
		var v T
		if decode(r, &v) == nil {
			*m = append(*m, v)
		}
	}
	return nil
}

var errUnreadable = errors.New("the answer is not the JSON that was expected")

// decode reads JSON and forgives fields of the wrong type.
func decode(b []byte, into any) error {
	err := json.Unmarshal(b, into)
	var wrongType *json.UnmarshalTypeError
	if err != nil && !errors.As(err, &wrongType) {
		return errUnreadable // the decoder's own words may quote the body
	}
	return nil
}

// decodeOne reads a single resource, bare or in a wrapper of one level such as {"order":{...}}.
func decodeOne(b []byte, wrapper string, into any) error {
	b = bytes.TrimSpace(b)
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil || fields == nil {
		return errUnreadable
	}
	if _, bare := fields["id"]; !bare {
		if inner := bytes.TrimSpace(fields[wrapper]); len(inner) > 0 && inner[0] == '{' {
			b = inner
		}
	}
	return decode(b, into)
}

// decodeList reads {"<key>":[...]} or a bare array. listed is false when the
// answer holds no such list at all, as opposed to an empty or null one.
func decodeList[T any](b []byte, key string) (rows []T, listed bool, err error) {
	b = bytes.TrimSpace(b)
	var out many[T]
	if len(b) > 0 && b[0] == '[' {
		if !json.Valid(b) {
			return nil, false, errUnreadable
		}
		_ = out.UnmarshalJSON(b)
		return out, true, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return nil, false, errUnreadable
	}
	list, listed := fields[key]
	if !listed {
		if fields["error"] != nil || fields["errors"] != nil {
			return nil, false, errUnreadable
		}
		return nil, false, nil
	}
	_ = out.UnmarshalJSON(bytes.TrimSpace(list))
	return out, true, nil
}
