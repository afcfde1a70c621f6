package simulator

import (
	"cmp"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// newParcel makes the tracker of an order's package. The packages of an order go
// with different carriers, so that a client that takes the first one's for all is
// caught.
func (b *book) newParcel(o *order, n int64, pickIndex int, want Package) *tracker {
	id := b.id("trk_", n)
	carrier := want.Carrier
	if carrier == "" {
		carrier = []string{"USPS", "UPS", "FedEx"}[(o.N+int64(pickIndex))%3]
	}
	return &tracker{
		N: n, ID: id, OrderID: o.ID, Created: o.Updated, Updated: o.Updated,
		Code: cmp.Or(want.TrackingCode, trackingCode(carrier, id)), Carrier: carrier,
		Service: serviceOf(carrier), Status: "pre_transit", Scans: []scan{newScan(o.Updated, "pre_transit")},
	}
}

// trackingCode makes a code that looks like the carrier's, from a tracker's id.
func trackingCode(carrier, id string) string {
	hex := strings.TrimPrefix(id, "trk_")
	n, _ := strconv.ParseUint(hex[:16], 16, 64) // the id is hexadecimal
	m, _ := strconv.ParseUint(hex[16:], 16, 64)
	digits := func(x uint64, width int) string {
		s := strconv.FormatUint(x, 10)
		s = strings.Repeat("0", max(0, width-len(s))) + s
		return s[len(s)-width:]
	}
	switch carrier {
	case "UPS":
		return "1Z" + strings.ToUpper(hex[:6]) + digits(m, 10)
	case "FedEx":
		return digits(n, 12)
	default:
		return "9400" + digits(n, 9) + digits(m, 9)
	}
}

func serviceOf(carrier string) string {
	switch carrier {
	case "USPS":
		return "First-Class Package Service"
	case "UPS":
		return "Ground"
	case "FedEx":
		return "FEDEX_GROUND"
	}
	return "Standard"
}

// carrierOf guesses the carrier of a bare tracking code, as EasyPost does.
func carrierOf(code string) string {
	switch {
	case strings.HasPrefix(code, "1Z"):
		return "UPS"
	case len(code) == 12 && strings.Trim(code, "0123456789") == "":
		return "FedEx"
	default:
		return "USPS"
	}
}

// statusOfTestCode knows EasyPost's magic codes; other codes start unknown
// (section 13).
func statusOfTestCode(code string) string {
	switch code {
	case "EZ1000000001":
		return "pre_transit"
	case "EZ2000000002":
		return "in_transit"
	case "EZ3000000003":
		return "out_for_delivery"
	case "EZ4000000004":
		return "delivered"
	case "EZ5000000005":
		return "return_to_sender"
	case "EZ6000000006":
		return "failure"
	}
	return "unknown"
}

// isTrackerStatus knows the ten statuses of section 13.
func isTrackerStatus(s string) bool {
	switch s {
	case "unknown", "pre_transit", "in_transit", "out_for_delivery", "delivered",
		"available_for_pickup", "return_to_sender", "failure", "cancelled", "error":
		return true
	}
	return false
}

func newScan(at time.Time, status string) scan {
	detail := map[string]string{
		"unknown": "unknown", "in_transit": "arrived_at_facility", "out_for_delivery": "out_for_delivery",
		"delivered": "arrived_at_destination",
	}[status]
	message := map[string]string{
		"pre_transit": "Shipping Label Created", "in_transit": "Arrived at Facility",
		"out_for_delivery": "Out for Delivery", "delivered": "Delivered",
	}[status]
	return scan{At: at, Status: status, Detail: cmp.Or(detail, "status_update"), Message: cmp.Or(message, status)}
}

func (t *tracker) detail() string { return t.Scans[len(t.Scans)-1].Detail }

func (t *tracker) publicURL() string {
	return "https://track.example.test/" + base64.RawURLEncoding.EncodeToString([]byte("v1:"+t.ID))
}

func (t *tracker) expected() time.Time { return t.Created.Add(72 * time.Hour) }
