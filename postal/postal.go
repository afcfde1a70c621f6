// Package postal brings addresses into the form that warehouses take: country
// and subdivision by their ISO 3166 codes, each part that the country's post
// needs, and no part longer than a warehouse stores. What it can't mend it names;
// nothing is guessed and nothing is cut off.
package postal

import (
	"fmt"
	"regexp"
	"strings"

	"orderferry/relay"
)

// Normalise returns the address with outer and double blanks removed, the
// country as an ISO 3166-1 alpha-2 code and the state as an ISO 3166-2 code
// without the country, from codes or names. The problems name parts that are
// missing or not understood, as "ship_to.state"; these parts are left as they were.
func Normalise(a relay.Address) (relay.Address, []relay.Problem) {
	for _, part := range []*string{&a.Name, &a.Company, &a.Street1, &a.Street2, &a.City, &a.State, &a.Zip, &a.Country, &a.Phone, &a.Email} {
		*part = strings.Join(strings.Fields(strings.ToValidUTF8(*part, "\uFFFD")), " ")
	}
	if a.Street1 == "" { // some carts fill the second line first
		a.Street1, a.Street2 = a.Street2, ""
	}
	var problems []relay.Problem
	fault := func(field, format string, args ...any) {
		problems = append(problems, relay.Problem{Field: "ship_to." + field, Message: fmt.Sprintf(format, args...)})
	}
	if a.Name == "" && a.Company == "" {
		fault("name", "missing: want a name or a company")
	}
	need := func(c country, part byte, value, field, want string) {
		if value == "" && strings.IndexByte(c.parts, part) >= 0 {
			fault(field, "missing: want %s; the post of %s needs it", want, c.name)
		}
	}
	c, ok := countryOf(a.Country)
	if !ok {
		if a.Country == "" {
			fault("country", "missing: want a code of ISO 3166-1 or the name of a country, such as US or Canada")
		} else {
			fault("country", "not known: want a code of ISO 3166-1 or the name of a country, such as US or Canada")
		}
		c = country{parts: "AC", name: "every country"}
	} else {
		a.Country = c.alpha2
	}
	need(c, 'A', a.Street1, "street1", "a street or a post-office box")
	need(c, 'C', a.City, "city", "a city")
	need(c, 'Z', a.Zip, "zip", "a postal code")
	if some := c.anySubdivision(); some != "" { // where no list is at hand, as for Hong Kong, nothing can be asked for
		need(c, 'S', a.State, "state", "a state, province or the like, by its code or name")
		switch code, known := c.subdivision(a.State); {
		case known:
			a.State = code
		case a.State != "" && strings.IndexByte(c.parts, 'S') >= 0:
			fault("state", "not known: want a code or name of ISO 3166-2 in %s, such as %s", c.name, some)
		}
	}
	if a.Zip != "" && c.postcode != nil && strings.IndexByte(c.parts, 'Z') >= 0 {
		if zip := strings.ToUpper(a.Zip); c.postcode.MatchString(zip) {
			a.Zip = zip
		} else {
			fault("zip", "no postal code of %s: want one such as %s", c.name, c.example)
		}
	}
	return a, problems
}

// Country returns the ISO 3166-1 alpha-2 code of a country, from a code or a name.
func Country(s string) (alpha2 string, ok bool) {
	c, ok := countryOf(strings.Join(strings.Fields(s), " "))
	return c.alpha2, ok
}

// CountryName returns the English name of a country, for systems that take no
// codes. ok is false for what is no ISO 3166-1 alpha-2 code.
func CountryName(alpha2 string) (name string, ok bool) {
	c, ok := book().countries[alpha2]
	return c.name, ok
}

// Limits are the most characters that a system stores of each part of an
// address; 0: no limit is known.
type Limits struct {
	Name, Company, Street1, Street2, City, State, Zip, Phone, Email int
}

var limitForm = regexp.MustCompile(`^([a-z0-9]+)\s+([1-9][0-9]{0,3})$`)

func (l *Limits) part(name string) *int {
	switch name {
	case "name":
		return &l.Name
	case "company":
		return &l.Company
	case "street1":
		return &l.Street1
	case "street2":
		return &l.Street2
	case "city":
		return &l.City
	case "state":
		return &l.State
	case "zip":
		return &l.Zip
	case "phone":
		return &l.Phone
	case "email":
		return &l.Email
	}
	return nil
}

// ParseLimits reads limits as a setting has them: "name 35, street1 30". "" is no limit.
func ParseLimits(s string) (Limits, error) {
	var l Limits
	for entry := range strings.SplitSeq(s, ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		m := limitForm.FindStringSubmatch(entry)
		var at *int
		if m != nil {
			at = l.part(m[1])
		}
		if at == nil {
			return Limits{}, fmt.Errorf("%q: want a part and its most characters, such as street1 30; parts are name, company, street1, street2, city, state, zip, phone and email", entry)
		}
		if _, err := fmt.Sscan(m[2], at); err != nil {
			return Limits{}, fmt.Errorf("%q: %w", entry, err)
		}
	}
	return l, nil
}

// CheckLimits is the check of a setting that ParseLimits reads.
func CheckLimits(s string) error {
	_, err := ParseLimits(s)
	return err
}

// Fit brings an address within the limits without losing any of it: a street
// that is too long goes on in the second line, at a blank, where there is room. A
// part that does not fit is named in the problems, and stays as it was.
func (l Limits) Fit(a relay.Address) (relay.Address, []relay.Problem) {
	if over(a.Street1, l.Street1) {
		if head, tail, ok := split(a.Street1, a.Street2, l.Street1, l.Street2); ok {
			a.Street1, a.Street2 = head, tail
		}
	}
	var problems []relay.Problem
	for _, p := range []struct {
		field, value string
		most         int
	}{
		{"name", a.Name, l.Name}, {"company", a.Company, l.Company}, {"street1", a.Street1, l.Street1}, {"street2", a.Street2, l.Street2},
		{"city", a.City, l.City}, {"state", a.State, l.State}, {"zip", a.Zip, l.Zip}, {"phone", a.Phone, l.Phone}, {"email", a.Email, l.Email},
	} {
		if over(p.value, p.most) {
			problems = append(problems, relay.Problem{Field: "ship_to." + p.field,
				Message: fmt.Sprintf("has %d characters: the warehouse takes %d, and nothing is cut off", len([]rune(p.value)), p.most)})
		}
	}
	return a, problems
}

func over(s string, most int) bool { return most > 0 && len([]rune(s)) > most }

// split moves the end of a street to the second line, before what is there.
func split(first, second string, mostFirst, mostSecond int) (head, tail string, ok bool) {
	words := strings.Fields(first)
	for n := len(words) - 1; n > 0; n-- {
		head, tail = strings.Join(words[:n], " "), strings.Join(words[n:], " ")
		if second != "" {
			tail += ", " + second
		}
		if !over(head, mostFirst) {
			return head, tail, !over(tail, mostSecond)
		}
	}
	return "", "", false
}
