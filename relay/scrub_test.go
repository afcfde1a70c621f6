package relay_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
)

var somewhere = relay.Address{
	Name: "José Li Quackenbush", Company: "Marmalade & Sons", Street1: "77 Elm Terrace", Street2: "Apt 5B", City: "Springfield",
	State: "OR", Zip: "97477", Country: "US", Phone: "+1 (541) 555-0142", Email: "j.quackenbush@private.example",
}

func TestScrub(t *testing.T) {
	for name, c := range map[string]struct{ words, want string }{
		"nothing":             {"", ""},
		"stock":               {"Only 3 of MUG-BLUE are left, 4 or more are needed", "Only 3 of MUG-BLUE are left, 4 or more are needed"},
		"codes stay":          {`{"code":"ORDER.STOCK.INSUFFICIENT_INVENTORY"}`, `{"code":"ORDER.STOCK.INSUFFICIENT_INVENTORY"}`},
		"name":                {"no such person: QUACKENBUSH, josé", "no such person: …"},
		"name without accent": {"Jose q. is unknown", "…e q. is unknown"},
		"short name":          {"Mrs LI of Limerick", "Mrs … of Limerick"},
		"in a longer word":    {"ref_quackenbush2 failed", "ref_…2 failed"},
		"whole address":       {"cannot ship to 77 Elm Terrace, Apt 5B, Springfield OR 97477!", "cannot ship to … OR …!"},
		"house number":        {"77 of 770 units", "… of 770 units"},
		"zip with more":       {"zip 97477-1234", "zip …"},
		"phone":               {"call 541.555.0142 or 15415550142", "call … or …"},
		"phone, piecemeal":    {"0142 at 541", "… at …"},
		"another phone":       {"our desk is +44 20 7946 0018, line 12", "our desk is +…, line 12"},
		"e-mail":              {"sent to J.Quackenbush@Private.example.", "sent to …"},
		"another e-mail":      {"write to <desk@depot.example>", "write to <…>"},
		"key":                 {"key EZAKx8f2-secret-of-the-depot is wrong", "key … is wrong"},
		"json":                {`{"message":"Jos\u00e9 at \"77 Elm\"\nSpring\u0066ield"}`, `{"message":"… at "…"}`},
		"html":                {"<b>Jos&eacute; Quackenbush</b>", "<b>…</b>"},
		"url":                 {"name=Jos%C3%A9+Quackenbush&zip=97477", "name=…&zip=…"},
		"html in json in url": {"%7B%22name%22%3A%22Qu%5Cu0061&#x63;kenbush%22%7D", `{"name":"…"}`},
		"invisible":           {"Quacken\u200bbush", "…"},
		"lines":               {"one\n\n two\tthree\x00four", "one two three four"},
		"not UTF-8":           {"a\xffb", "a�b"},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, relay.Scrub(c.words, somewhere)) })
	}
}

func TestScrubCutsLongWords(t *testing.T) {
	got := relay.Scrub(strings.Repeat("no stock ", 100), somewhere)
	require.Equal(t, 300, utf8.RuneCountInString(got))
	require.True(t, strings.HasSuffix(got, "…"))
	require.Empty(t, relay.Scrub(strings.Repeat("x", 5000), somewhere))
	exact := strings.Repeat("ab ", 99) + "abc"
	require.Equal(t, exact, relay.Scrub(exact, relay.Address{}))
}

// FuzzScrub: whatever the words, no name or number of the address and nothing
// as long as a phone number is left in them.
func FuzzScrub(f *testing.F) {
	for _, words := range []string{
		"to José Quackenbush, 77 Elm Terrace, Springfield OR 97477", "541Quackenbush5550142", "quack\u200benbush", `Jos\u00e9`, "a@b@c",
		"97" + "Elm" + "477", "%51uackenbush", "&#81;uackenbush", "SPRİNGFIELD springﬁeld", "٥٤١٥٥٥٠١٤٢", "9…7477", "@…@",
	} {
		f.Add(words, somewhere.Name, somewhere.Street1, somewhere.City, somewhere.Zip, somewhere.Phone, somewhere.Email)
	}
	f.Fuzz(func(t *testing.T, words, name, street, city, zip, phone, email string) {
		if len(name)+len(street)+len(city)+len(zip)+len(phone)+len(email) > 1000 {
			return // longer than addresses are
		}
		got := relay.Scrub(words, relay.Address{Name: name, Street1: street, City: city, Zip: zip, Phone: phone, Email: email})
		require.True(t, utf8.ValidString(got))
		require.LessOrEqual(t, utf8.RuneCountInString(got), 300)
		require.NotContains(t, got, "\n")
		read := folded(got)
		for _, field := range []string{name, street, city, zip, phone} {
			for _, token := range tokens(field) {
				require.NotContains(t, read, token, "of %q in %q", field, got)
			}
		}
		digits, marks := 0, 0
		for _, r := range got {
			switch {
			case unicode.IsDigit(r) && marks <= 4:
				digits, marks = digits+1, 0
			case unicode.IsDigit(r):
				digits, marks = 1, 0
			case unicode.IsLetter(r), unicode.IsNumber(r):
				digits, marks = 0, 0
			default:
				marks++
			}
			require.Less(t, digits, 7, got)
		}
		require.Equal(t, got, relay.Scrub(got, relay.Address{Name: name, Street1: street, City: city, Zip: zip, Phone: phone, Email: email}), "nothing is left to hide")
	})
}

// tokens are the words and numbers of at least three characters, folded.
func tokens(s string) (list []string) {
	same := func(a, b rune) bool {
		word := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsMark(r) }
		return word(a) && word(b) || unicode.IsNumber(a) && unicode.IsNumber(b)
	}
	var run []rune
	flush := func() {
		if len(run) >= 3 && (unicode.IsLetter(run[0]) || unicode.IsNumber(run[0])) {
			list = append(list, folded(string(run)))
		}
		run = nil
	}
	for _, r := range strings.ToValidUTF8(s, " ") {
		if len(run) > 0 && !same(run[len(run)-1], r) {
			flush()
		}
		run = append(run, r)
	}
	flush()
	return list
}

// folded maps each letter to one of all its cases.
func folded(s string) string {
	return strings.Map(func(r rune) rune {
		for {
			next := unicode.SimpleFold(r)
			if next <= r {
				return next // the least of the orbit comes after the greatest
			}
			r = next
		}
	}, s)
}
