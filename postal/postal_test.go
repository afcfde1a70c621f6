package postal_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"orderferry/postal"
	"orderferry/relay"
)

func to(change func(*relay.Address)) relay.Address {
	a := relay.Address{Company: "Kiln Supply", Street1: "48 Juniper Way", City: "Troy", State: "NY", Zip: "12180", Country: "US"}
	change(&a)
	return a
}

func fields(problems []relay.Problem) (out []string) {
	for _, p := range problems {
		out = append(out, strings.TrimPrefix(p.Field, "ship_to."))
	}
	return out
}

func TestNormaliseCountries(t *testing.T) {
	for given, want := range map[string]string{
		"US": "US", "us": "US", " usa ": "US", "U.S.A.": "US", "United States": "US", "united states of america": "US", "Vereinigte Staaten": "US",
		"UK": "GB", "United Kingdom of Great Britain and Northern Ireland": "GB", "England": "GB", "Deutschland": "DE", "Germany": "DE", "DEU": "DE",
		"Türkiye": "TR", "Turkey": "TR", "Cote d'Ivoire": "CI", "CÔTE D’IVOIRE": "CI", "Holland": "NL", "Netherlands (Kingdom of the)": "NL", "日本": "JP",
		"Czechia": "CZ", "Czech Republic": "CZ", "South Korea": "KR", "Viet Nam": "VN", "Vietnam": "VN", "Österreich": "AT",
	} {
		a, problems := postal.Normalise(relay.Address{Name: "x", Street1: "x", City: "x", Country: given})
		require.Equal(t, want, a.Country, given)
		require.NotContains(t, fields(problems), "country", given)
		code, ok := postal.Country(given)
		require.True(t, ok)
		require.Equal(t, want, code)
	}
	for _, given := range []string{"", "  ", "XX", "ZZZ", "Atlantis", "U", "USAA"} {
		a, problems := postal.Normalise(to(func(a *relay.Address) { a.Country = given }))
		require.Equal(t, []string{"country"}, fields(problems), given)
		require.Equal(t, strings.TrimSpace(given), a.Country, "it is left as it was")
	}
}

func TestNormaliseSubdivisions(t *testing.T) {
	for _, c := range []struct{ country, given, want, zip string }{
		{"US", "New York", "NY", "12180"}, {"US", "ny", "NY", "12180"}, {"US", "US-NY", "NY", "12180"}, {"US", "N.Y.", "NY", "12180"}, {"US", "AE", "AE", "09012"},
		{"US", "Puerto Rico", "PR", "00901"}, {"CA", "Québec", "QC", "H2X 1Y4"}, {"CA", "quebec", "QC", "H2X 1Y4"}, {"AU", "Victoria", "VIC", "3000"},
		{"JP", "Tokyo", "13", "100-0001"}, {"JP", "東京都", "13", "100-0001"}, {"BR", "São Paulo", "SP", "01310-100"},
	} {
		a, problems := postal.Normalise(to(func(a *relay.Address) { a.Country, a.State, a.Zip = c.country, c.given, c.zip }))
		require.Equal(t, c.want, a.State, c)
		require.Empty(t, problems, c)
	}
	a, problems := postal.Normalise(to(func(a *relay.Address) { a.State = "Bavaria" }))
	require.Equal(t, "Bavaria", a.State)
	require.Equal(t, []relay.Problem{{Field: "ship_to.state", Message: "not known: want a code or name of ISO 3166-2 in United States, such as AA"}}, problems)

	a, problems = postal.Normalise(to(func(a *relay.Address) { a.Country, a.State, a.Zip = "DE", "somewhere", "80331" }))
	require.Empty(t, problems, "Germany's post needs no state")
	require.Equal(t, "somewhere", a.State)

	_, problems = postal.Normalise(to(func(a *relay.Address) { a.Country, a.State, a.Zip, a.City = "HK", "", "", "" }))
	require.Empty(t, problems, "Hong Kong has neither states nor postal codes")
}

func TestNormaliseParts(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*relay.Address)
		want   []string
	}{
		"whole":                {func(*relay.Address) {}, nil},
		"a name, no company":   {func(a *relay.Address) { a.Name, a.Company = "x", "" }, nil},
		"neither":              {func(a *relay.Address) { a.Company = " " }, []string{"name"}},
		"no street":            {func(a *relay.Address) { a.Street1 = "" }, []string{"street1"}},
		"no city":              {func(a *relay.Address) { a.City = "" }, []string{"city"}},
		"no state":             {func(a *relay.Address) { a.State = "" }, []string{"state"}},
		"no postal code":       {func(a *relay.Address) { a.Zip = "" }, []string{"zip"}},
		"a lost zero":          {func(a *relay.Address) { a.Zip = "7030" }, []string{"zip"}},
		"nine digits":          {func(a *relay.Address) { a.Zip = "12180-1234" }, nil},
		"everything":           {func(a *relay.Address) { *a = relay.Address{Country: "US"} }, []string{"name", "street1", "city", "zip", "state"}},
		"a country without":    {func(a *relay.Address) { a.Country, a.State, a.Zip = "IE", "", "" }, nil},
		"codes in lower case":  {func(a *relay.Address) { a.Country, a.State, a.Zip = "GB", "", "sw1a 1aa" }, nil},
		"no such code":         {func(a *relay.Address) { a.Country, a.State, a.Zip = "GB", "", "12180" }, []string{"zip"}},
		"only the second line": {func(a *relay.Address) { a.Street1, a.Street2 = "", "48 Juniper Way" }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			given := to(c.change)
			a, problems := postal.Normalise(given)
			require.Equal(t, c.want, fields(problems))
			for _, p := range problems {
				require.NotContains(t, p.Message, "Juniper")
				require.Empty(t, p.Value, "a value would be personal data")
			}
			again, _ := postal.Normalise(a)
			require.Equal(t, a, again)
		})
	}
	a, _ := postal.Normalise(to(func(a *relay.Address) {
		a.Street1, a.Street2, a.Zip, a.Country = "", " 48  Juniper\tWay ", "sw1a 1aa", "uk"
	}))
	require.Equal(t, "48 Juniper Way", a.Street1)
	require.Empty(t, a.Street2)
	require.Equal(t, "SW1A 1AA", a.Zip)
}

func TestFit(t *testing.T) {
	limits, err := postal.ParseLimits("street1 16, street2 12,name 8,")
	require.NoError(t, err)
	for name, c := range map[string]struct {
		street1, street2 string
		want1, want2     string
		problems         []string
	}{
		"fits":               {"48 Juniper Way", "Apt 3", "48 Juniper Way", "Apt 3", nil},
		"goes on":            {"48 Juniper Way North", "", "48 Juniper Way", "North", nil},
		"goes on before":     {"48 Juniper Way North", "Apt 3", "48 Juniper Way", "North, Apt 3", nil},
		"no room":            {"48 Juniper Way North", "Apartment 3", "48 Juniper Way North", "Apartment 3", []string{"street1"}},
		"no blank":           {"Donaudampfschiffstrasse", "", "Donaudampfschiffstrasse", "", []string{"street1"}},
		"second too long":    {"48 Juniper Way", "Apartment 3 of 4", "48 Juniper Way", "Apartment 3 of 4", []string{"street2"}},
		"counts characters":  {"48 Wächterstraße", "", "48 Wächterstraße", "", nil},
		"much too long":      {strings.Repeat("way ", 40) + "end", "", strings.Repeat("way ", 40) + "end", "", []string{"street1"}},
		"first word is long": {"Donaudampfschiffstrasse 5", "", "Donaudampfschiffstrasse 5", "", []string{"street1"}},
	} {
		t.Run(name, func(t *testing.T) {
			a, problems := limits.Fit(relay.Address{Name: "ops", Street1: c.street1, Street2: c.street2})
			require.Equal(t, c.want1, a.Street1)
			require.Equal(t, c.want2, a.Street2)
			require.Equal(t, c.problems, fields(problems))
		})
	}
	_, problems := limits.Fit(relay.Address{Name: "nine char"})
	require.Equal(t, []relay.Problem{{Field: "ship_to.name", Message: "has 9 characters: the warehouse takes 8, and nothing is cut off"}}, problems)

	none, err := postal.ParseLimits("")
	require.NoError(t, err)
	long := relay.Address{Name: strings.Repeat("x", 9999)}
	a, problems := none.Fit(long)
	require.Equal(t, long.Name, a.Name)
	require.Empty(t, problems)

	for _, bad := range []string{"street3 10", "street1", "street1 0", "street1 10 20", "street1 99999", "30", "country 2"} {
		require.ErrorContains(t, postal.CheckLimits(bad), "want a part and its most characters, such as street1 30", bad)
	}
	require.NoError(t, postal.CheckLimits("name 35, company 35, street1 35, street2 35, city 30, state 20, zip 10, phone 20, email 60"))
}

func TestCountryName(t *testing.T) {
	for code, want := range map[string]string{"US": "United States", "GB": "United Kingdom", "DE": "Germany"} {
		name, ok := postal.CountryName(code)
		require.True(t, ok)
		require.Equal(t, want, name)
	}
	_, ok := postal.CountryName("XX")
	require.False(t, ok)
}

// Every example of a postal code in the table has the form that the table asks
// for, so an address that follows our own words passes.
func TestExamplesPass(t *testing.T) {
	for _, code := range []string{"US", "CA", "GB", "DE", "FR", "JP", "AU", "BR", "IN", "CN", "NL", "SE", "PL", "IT", "ES", "MX", "KR"} {
		_, problems := postal.Normalise(relay.Address{Name: "x", Street1: "x", City: "x", State: "??", Zip: "??", Country: code})
		var zip, state string
		for _, p := range problems {
			example := p.Message[strings.LastIndex(p.Message, " ")+1:]
			if _, words, found := strings.Cut(p.Message, "such as "); found {
				example = words
			}
			switch p.Field {
			case "ship_to.zip":
				zip = example
			case "ship_to.state":
				state = example
			}
		}
		require.NotEmpty(t, zip, code)
		_, problems = postal.Normalise(relay.Address{Name: "x", Street1: "x", City: "x", State: state, Zip: zip, Country: code})
		require.Empty(t, problems, "%s: state %q, postal code %q", code, state, zip)
	}
}

func FuzzNormalise(f *testing.F) {
	f.Add("United States", "New York", "12180", "48 Juniper Way", "Apt 3", 20)
	f.Add("DE", "", "80331", "", "x", 3)
	f.Add("\xff", "\x00", "(", "\u0301", "\u202e", 1)
	f.Fuzz(func(t *testing.T, country, state, zip, street1, street2 string, most int) {
		a, _ := postal.Normalise(relay.Address{Country: country, State: state, Zip: zip, Street1: street1, Street2: street2})
		again, _ := postal.Normalise(a)
		require.Equal(t, a, again, "once is enough")
		require.True(t, utf8.ValidString(a.Country+a.State+a.Zip+a.Street1+a.Street2))
		if most < 1 || most > 1000 {
			return
		}
		fit, problems := postal.Limits{Street1: most, Street2: most}.Fit(a)
		if len(problems) == 0 {
			require.LessOrEqual(t, utf8.RuneCountInString(fit.Street1), most)
			require.LessOrEqual(t, utf8.RuneCountInString(fit.Street2), most)
		}
		words := func(a relay.Address) string {
			return strings.ReplaceAll(strings.Join(strings.Fields(a.Street1+" "+a.Street2), ""), ",", "")
		}
		require.Equal(t, words(a), words(fit), "nothing is lost")
	})
}

func BenchmarkNormalise(b *testing.B) {
	a := to(func(a *relay.Address) { a.Country, a.State = "United States", "New York" })
	for b.Loop() {
		postal.Normalise(a)
	}
}
