package postal

import (
	_ "embed"
	"encoding/csv"
	"regexp"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
	"golang.org/x/text/unicode/norm"
)

//go:embed data/countries.csv
var countriesCSV string

//go:embed data/subdivisions.csv
var subdivisionsCSV string

// country is what the data says of one.
type country struct {
	alpha2   string
	name     string         // in English
	parts    string         // of A street, C city, S subdivision, Z postal code: those that its post needs
	postcode *regexp.Regexp // of the whole postal code; nil where the form is not known
	example  string         // of a postal code
}

type tables struct {
	countries    map[string]country           // by alpha-2 code
	byName       map[string]string            // folded name or alpha-3 code -> alpha-2 code
	subdivisions map[string]map[string]string // alpha-2 code -> folded code or name -> code
	some         map[string]string            // alpha-2 code -> a subdivision's code, to be shown
}

// otherNames are what people call countries besides the names of ISO and CLDR.
var otherNames = map[string]string{
	"America": "US", "United States of America": "US", "UK": "GB", "Great Britain": "GB", "Britain": "GB",
	"England": "GB", "Scotland": "GB", "Wales": "GB", "Northern Ireland": "GB", "Holland": "NL", "The Netherlands": "NL", "Czech Republic": "CZ",
	"Korea": "KR", "Republic of Korea": "KR", "Russia": "RU", "Vietnam": "VN", "Ivory Coast": "CI", "Macedonia": "MK", "Swaziland": "SZ", "Burma": "MM",
	"Republic of Ireland": "IE", "UAE": "AE", "Turkey": "TR",
}

// languages are those whose names of countries are understood: a cart shows what its shop was set to.
var languages = []language.Tag{language.English, language.German, language.French, language.Spanish, language.Italian, language.Dutch,
	language.Portuguese, language.Danish, language.Swedish, language.Norwegian, language.Finnish, language.Polish, language.Japanese, language.Chinese}

var book = sync.OnceValue(func() tables {
	t := tables{countries: make(map[string]country), byName: make(map[string]string), subdivisions: make(map[string]map[string]string), some: make(map[string]string)}
	// The first to give a name keeps it: names in English go before those in other languages.
	name := func(n, alpha2 string) {
		if n = fold(n); n != "" && t.byName[n] == "" {
			t.byName[n] = alpha2
		}
	}
	rows := read(countriesCSV)
	for _, r := range rows {
		c := country{alpha2: r[0], name: r[2], parts: r[3], example: r[5]}
		if r[4] != "" {
			c.postcode = regexp.MustCompile(`^(?:` + r[4] + `)$`)
		}
		t.countries[c.alpha2] = c
		name(r[1], c.alpha2)
		name(c.name, c.alpha2)
	}
	for n, alpha2 := range otherNames {
		name(n, alpha2)
	}
	for _, tag := range languages {
		namer := display.Regions(tag)
		for _, r := range rows {
			region, err := language.ParseRegion(r[0])
			if err != nil {
				continue
			}
			n := namer.Name(region)
			name(n, r[0])
			if tag == language.English && n != "" { // "United States", not "United States of America (the)"
				c := t.countries[r[0]]
				c.name = n
				t.countries[r[0]] = c
			}
		}
	}
	for _, r := range read(subdivisionsCSV) {
		m := t.subdivisions[r[0]]
		if m == nil {
			m = make(map[string]string)
			t.subdivisions[r[0]], t.some[r[0]] = m, r[1]
		}
		// A code goes before a name that reads the same.
		m[fold(r[1])] = r[1]
	}
	for _, r := range read(subdivisionsCSV) {
		if m, n := t.subdivisions[r[0]], fold(r[2]); m[n] == "" {
			m[n] = r[1]
		}
	}
	return t
})

// read returns the rows of an embedded table, without its heading.
func read(table string) [][]string {
	rows, err := csv.NewReader(strings.NewReader(table)).ReadAll()
	if err != nil {
		panic("postal: " + err.Error()) // the tables are part of the program, and tested
	}
	return rows[1:]
}

// fold makes names comparable: no case, accents, punctuation or double blanks,
// and no "(the)" behind.
func fold(s string) string {
	s = strings.TrimSuffix(strings.TrimSpace(s), "(the)")
	var b strings.Builder
	blank := false
	for _, r := range norm.NFKD.String(s) {
		switch {
		case unicode.Is(unicode.Mn, r), r == '.', r == '\'', r == '’': // "N.Y." is NY
		case unicode.IsLetter(r), unicode.IsDigit(r):
			if blank && b.Len() > 0 {
				b.WriteByte(' ')
			}
			blank = false
			b.WriteRune(unicode.ToLower(r))
		default:
			blank = true
		}
	}
	return b.String()
}

func countryOf(s string) (country, bool) {
	t := book()
	if c, ok := t.countries[strings.ToUpper(s)]; ok {
		return c, true
	}
	c, ok := t.countries[t.byName[fold(s)]]
	return c, ok
}

// subdivision returns the code of a subdivision, from its code with or without
// the country's, or its name.
func (c country) subdivision(s string) (code string, ok bool) {
	m := book().subdivisions[c.alpha2]
	key := fold(s)
	if code, ok = m[key]; !ok {
		code, ok = m[strings.TrimPrefix(key, strings.ToLower(c.alpha2)+" ")]
	}
	return code, ok
}

// anySubdivision is a subdivision's code, to show what is meant.
func (c country) anySubdivision() string { return book().some[c.alpha2] }
