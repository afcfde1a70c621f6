package bergen

import (
	"strings"

	"orderferry/postal"
	"orderferry/relay"
)

// How countries are written.
const (
	countryName = "name"
	countryCode = "code"
)

// address is an address as section 7 wants it. Limits of length are not known
// (section 7.2), and nothing is ever cut off.
//
// First and last name come back empty beside a company (section 7.4), so a
// private person stands in CompanyName too.
func (c *connection) address(a relay.Address) (addressBody, []relay.Problem) {
	if tidy(a.Company) == "" {
		a.Company = a.Name
	}
	a, problems := c.limits.Fit(a)
	name, company := tidy(a.Name), tidy(a.Company)
	country := strings.ToUpper(tidy(a.Country))
	to := addressBody{
		Company: company, Address1: tidy(a.Street1), Address2: tidy(a.Street2), City: tidy(a.City), Zip: tidy(a.Zip),
		Country: c.country(country), Phone: tidy(a.Phone), Email: tidy(a.Email),
	}
	to.FirstName, to.LastName = splitName(name)
	if country == "US" {
		to.State = tidy(a.State)
	} else {
		to.Region = tidy(a.State)
	}
	need := func(ok bool, field, message string) {
		if !ok {
			problems = append(problems, relay.Problem{Field: "ship_to." + field, Message: message})
		}
	}
	need(company != "", "name", "want a name or a company")
	need(to.Address1 != "", "street1", "want a street")
	need(to.City != "", "city", "want a city")
	need(to.Country != "", "country", "want a country code of two letters, such as US")
	if country == "US" {
		need(to.State != "", "state", "want the two-letter code of the state") // error 10 of section 5.1
		need(to.Zip != "", "zip", "want a ZIP code")
	}
	return to, problems
}

// country is the English name or the code of an ISO 3166-1 country; "" for no country.
func (c *connection) country(code string) string {
	name, ok := postal.CountryName(code)
	if ok && c.ticket.countryForm == countryCode {
		return code
	}
	return name
}

// splitName puts the last word into the last name.
func splitName(name string) (first, last string) {
	first, last, found := cutLast(name, " ")
	if !found {
		return last, ""
	}
	return first, last
}
