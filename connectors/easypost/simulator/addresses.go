package simulator

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"orderferry/connectors/simkit"
)

// verdict is the outcome of an address check; "" is unchecked.
type verdict string

const (
	verifiedGood verdict = "good"
	verifiedBad  verdict = "bad"
)

type shippingAddress struct {
	ID              string         `json:"id"`
	Object          string         `json:"object"`
	Mode            Mode           `json:"mode"`
	CreatedAt       time.Time      `json:"created_at"`
	UpdatedAt       time.Time      `json:"updated_at"`
	Name            *string        `json:"name"`
	Company         *string        `json:"company"`
	Street1         *string        `json:"street1"`
	Street2         *string        `json:"street2"`
	City            *string        `json:"city"`
	State           *string        `json:"state"`
	Zip             *string        `json:"zip"`
	Country         *string        `json:"country"`
	Phone           *string        `json:"phone"`
	Email           *string        `json:"email"`
	Residential     *bool          `json:"residential"`
	CarrierFacility *string        `json:"carrier_facility"`
	FederalTaxID    *string        `json:"federal_tax_id"`
	StateTaxID      *string        `json:"state_tax_id"`
	Verifications   map[string]any `json:"verifications"`
}

func (c *call) address(a *address) shippingAddress {
	d := a.Address
	return shippingAddress{
		ID: a.ID, Object: "Address", Mode: c.book.mode, CreatedAt: second(a.Created), UpdatedAt: second(a.Created),
		Name: orNull(d.Name), Company: orNull(d.Company), Street1: orNull(d.Street1), Street2: orNull(d.Street2),
		City: orNull(d.City), State: orNull(d.State), Zip: orNull(d.Zip), Country: orNull(d.Country),
		Phone: orNull(d.Phone), Email: orNull(d.Email), Residential: d.Residential,
		FederalTaxID: orNull(d.FederalTaxID), StateTaxID: orNull(d.StateTaxID),
		Verifications: verifications(a.Verified, strings.EqualFold(d.Country, "US")),
	}
}

func notDeliverable() []fieldProblem {
	return []fieldProblem{{Code: "E.ADDRESS.NOT_FOUND", Field: "address", Message: "Address not found"}}
}

func verifications(v verdict, us bool) map[string]any {
	out := map[string]any{}
	switch v {
	case verifiedBad:
		out["delivery"] = map[string]any{"success": false, "errors": notDeliverable(), "details": struct{}{}}
	case verifiedGood:
		out["delivery"] = map[string]any{"success": true, "errors": []any{}, "details": map[string]any{
			"latitude": 39.80172, "longitude": -89.64371, "time_zone": "America/Chicago",
		}}
		if us {
			out["zip4"] = map[string]any{"success": true, "errors": []any{}, "details": nil}
		}
	}
	return out
}

// verify decides whether an address exists: it must be complete, a US zip must
// have five digits and not begin with "000", and neither street nor city may say
// "unknown" or "nowhere". A good address comes back in capitals, its zip as ZIP+4.
func (d destination) verify(seed int64) (destination, verdict) {
	us := strings.EqualFold(d.Country, "US") || d.Country == ""
	if d.Country == "" {
		d.Country = "US"
	}
	probe := d
	probe.Name = "-" // a bare address has no addressee
	text := strings.ToLower(d.Street1 + " " + d.City)
	if len(probe.problems("")) > 0 || strings.Contains(text, "unknown") || strings.Contains(text, "nowhere") ||
		(us && !isZip(d.Zip)) {
		return d, verifiedBad
	}
	for _, s := range []*string{&d.Name, &d.Company, &d.Street1, &d.Street2, &d.City, &d.State, &d.Zip, &d.Country} {
		*s = strings.ToUpper(strings.TrimSpace(*s))
	}
	d.Street1, d.Street2 = strings.TrimSpace(d.Street1+" "+d.Street2), ""
	if us && len(d.Zip) == 5 {
		code := simkit.Identify(seed, "zip4", d.Street1, d.Zip)
		d.Zip += "-" + strings.Map(func(r rune) rune { return '0' + r%10 }, code[:4])
	}
	if d.Residential == nil {
		d.Residential = new(d.Company == "")
	}
	return d, verifiedGood
}

// isZip knows 62701 and 62701-1234; none begins with "000".
func isZip(s string) bool {
	digits := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return '0'
		}
		return r
	}, s)
	return (digits == "00000" || digits == "00000-0000") && !strings.HasPrefix(s, "000")
}

type addressRequest struct {
	Address      *destination    `json:"address"`
	Verify       json.RawMessage `json:"verify"`
	VerifyStrict json.RawMessage `json:"verify_strict"`
}

// asked reads verify, which clients send as a list of words or as a boolean.
func asked(raw json.RawMessage) bool {
	switch string(raw) {
	case "", "null", "false", "[]", `""`:
		return false
	}
	return true
}

func (c *call) createAddress() (int, any, *problem) {
	var req addressRequest
	if p := c.decode(&req); p != nil {
		return 0, nil, p
	}
	return c.storeAddress(req, asked(req.Verify) || asked(req.VerifyStrict), asked(req.VerifyStrict), false)
}

func (c *call) createVerifiedAddress() (int, any, *problem) {
	var req addressRequest
	if p := c.decode(&req); p != nil {
		return 0, nil, p
	}
	return c.storeAddress(req, true, true, true)
}

func (c *call) storeAddress(req addressRequest, check, strict, wrapped bool) (int, any, *problem) {
	if req.Address == nil {
		return 0, nil, required("address")
	}
	a := &address{Created: c.now, Address: *req.Address}
	if check {
		a.Address, a.Verified = req.Address.verify(c.seed)
	}
	if strict && a.Verified == verifiedBad {
		return 0, nil, verifyFailure()
	}
	b := c.begin()
	a.N, a.ID = b.next("adr_")
	c.commit(b, &change{Addresses: []*address{a}})
	c.mu.Unlock()
	if wrapped {
		return http.StatusOK, map[string]any{"address": c.address(a)}, nil
	}
	return http.StatusCreated, c.address(a), nil
}

func verifyFailure() *problem {
	return &problem{Status: 422, Code: "ADDRESS.VERIFY.FAILURE", Message: "Unable to verify address.", Fields: notDeliverable()}
}

func (c *call) getAddress() (int, any, *problem) {
	a := c.begin().addresses[c.ids[0]]
	c.mu.Unlock()
	if a == nil {
		return 0, nil, notFound()
	}
	return http.StatusOK, c.address(a), nil
}

// verifyAddress makes a new, checked address of a stored one, as was recorded.
func (c *call) verifyAddress() (int, any, *problem) {
	a := c.begin().addresses[c.ids[0]]
	c.mu.Unlock()
	if a == nil {
		return 0, nil, notFound()
	}
	return c.storeAddress(addressRequest{Address: &a.Address}, true, true, true)
}
