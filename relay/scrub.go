package relay

import (
	"html"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
)

const (
	maxScrubbed = 300  // characters of a vendor's words that are shown
	mostWords   = 4096 // bytes of them that are looked at; Error.Words are shorter
)

// Scrub makes a vendor's words fit for places where no personal data may be
// (promise 6). It puts "…" for every part of the order's own address, in
// whatever case and punctuation and also inside longer words, for every e-mail
// address, for every number as long as a phone's and for whatever looks like a
// key. The rest is one line of at most 300 characters.
//
// It errs on the side of hiding: an item code as long as a phone number is hidden too.
func Scrub(words string, a Address) string {
	if len(words) > mostWords { // not in the middle of a word: half a name would not be known for one
		words = words[:strings.LastIndexByte(words[:mostWords], ' ')+1]
	}
	text := []rune(strings.Join(strings.Fields(strings.Map(legible, decode(words))), " "))
	parts := addressParts(a)
	// What is left is looked at again: with something taken out of their middle,
	// the two ends of a number may stand together.
	for {
		hide := make([]bool, len(text))
		hidePatterns(text, hide)
		s := newSkeleton(text)
		for _, p := range parts {
			s.hide(p, hide)
		}
		if !slices.Contains(hide, true) {
			break
		}
		text = ellipse(text, hide)
	}
	if len(text) > maxScrubbed {
		text = append(text[:maxScrubbed-1], '…')
	}
	return string(text)
}

// legible drops invisible characters: they would hide a name from us and not from a reader.
func legible(r rune) rune {
	switch {
	case unicode.IsSpace(r), unicode.IsControl(r):
		return ' '
	case !unicode.IsPrint(r):
		return -1
	}
	return r
}

// decode undoes the escapes of JSON, HTML and URLs, in each other too: words are often a raw body.
func decode(s string) string {
	for {
		plain := decodeOnce(s)
		if plain == s {
			return s
		}
		s = plain
	}
}

func decodeOnce(s string) string {
	s = jsonEscapes.ReplaceAllStringFunc(s, func(run string) string {
		var units []uint16
		for code := range strings.SplitSeq(run[2:], `\u`) {
			n, _ := strconv.ParseUint(code, 16, 16) // the pattern lets only hexadecimal through
			units = append(units, uint16(n))
		}
		return string(utf16.Decode(units))
	})
	s = html.UnescapeString(jsonShort.Replace(s))
	s = urlEscapes.ReplaceAllStringFunc(s, func(run string) string {
		plain, _ := url.PathUnescape(run)
		return plain
	})
	return strings.ToValidUTF8(s, "\uFFFD")
}

var (
	jsonEscapes = regexp.MustCompile(`(?:\\u[0-9A-Fa-f]{4})+`)
	jsonShort   = strings.NewReplacer(`\n`, " ", `\r`, " ", `\t`, " ", `\"`, `"`, `\/`, "/")
	urlEscapes  = regexp.MustCompile(`(?:%[0-9A-Fa-f]{2})+`)
	email       = regexp.MustCompile(`[^\s@<>"',;:()\[\]{}]+@[^\s@<>"',;:()\[\]{}]+`)
	key         = regexp.MustCompile(`[A-Za-z0-9_-]{20,}`)
	number      = regexp.MustCompile(`\p{Nd}(?:[^\p{L}\p{N}]{0,4}\p{Nd}){6,}`)
)

// hidePatterns hides what gives itself away by its form.
func hidePatterns(text []rune, hide []bool) {
	s := string(text)
	at := make([]int, len(s)+1) // byte -> rune
	n := 0
	for i := range s {
		at[i] = n
		n++
	}
	at[len(s)] = n
	for _, form := range []*regexp.Regexp{email, key, number} {
		for _, m := range form.FindAllStringIndex(s, -1) {
			if form == key && !looksRandom(s[m[0]:m[1]]) {
				continue
			}
			for i := at[m[0]]; i < at[m[1]]; i++ {
				hide[i] = true
			}
		}
	}
}

// looksRandom tells a key from a long word such as INSUFFICIENT_INVENTORY.
func looksRandom(s string) bool {
	kinds := 0
	for _, in := range []func(rune) bool{unicode.IsUpper, unicode.IsLower, unicode.IsDigit} {
		if strings.ContainsFunc(s, in) {
			kinds++
		}
	}
	return kinds > 1
}

// part is something of an address that must not be read.
type part struct {
	runes []rune // folded letters and digits
	// loose parts, where they stand alone, are also found with punctuation between
	// their characters: a phone number, a postal code, a whole name.
	loose bool
	// whole parts are so short that they are found only where they stand alone.
	whole bool
}

// addressParts takes an address apart: each field as a whole, and its names and numbers.
func addressParts(a Address) []part {
	local, domain, _ := strings.Cut(a.Email, "@")
	if i := strings.LastIndexByte(domain, '.'); i >= 0 {
		domain = domain[:i] // "com" says nothing of anyone
	}
	var parts []part
	for _, field := range []string{a.Name, a.Company, a.Street1, a.Street2, a.City, a.State, a.Zip, a.Country, a.Phone, a.Email} {
		if whole := skeletonOf(field); len(whole) >= 3 {
			parts = append(parts, part{runes: whole, loose: true})
		}
	}
	for _, field := range []string{a.Name, a.Company, a.Street1, a.Street2, a.City, a.State, a.Zip, a.Country, a.Phone, local, domain} {
		for _, run := range runs(field) {
			short := len(run) < 3 && isASCII(run)
			switch {
			case !short:
				parts = append(parts, part{runes: run})
			case unicode.IsDigit(run[0]), len(run) == 2 && field == a.Name:
				parts = append(parts, part{runes: run, whole: true})
			}
			// "José" is often written "Jose".
			for _, plain := range strings.FieldsFunc(string(run), func(r rune) bool { return r >= 0x80 }) {
				if len(plain) >= 3 && len(plain) < len(run) {
					parts = append(parts, part{runes: []rune(plain)})
				}
			}
		}
	}
	return parts
}

func isASCII(run []rune) bool {
	return !slices.ContainsFunc(run, func(r rune) bool { return r >= 0x80 })
}

// runs splits a text into folded words and numbers.
func runs(s string) [][]rune {
	var out [][]rune
	var last rune // 'a' in a word, '0' in a number
	for _, r := range s {
		kind := kindOf(r)
		switch {
		case kind == 0:
		case kind == last:
			out[len(out)-1] = append(out[len(out)-1], fold(r))
		default:
			out = append(out, []rune{fold(r)})
		}
		last = kind
	}
	return out
}

// kindOf is 'a' for what words are made of, '0' for digits, and 0 for what stands between.
func kindOf(r rune) rune {
	switch {
	case unicode.IsLetter(r), unicode.IsMark(r):
		return 'a'
	case unicode.IsNumber(r):
		return '0'
	}
	return 0
}

// fold is the same for all cases of a letter.
func fold(r rune) rune {
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	return least
}

func skeletonOf(s string) []rune { return newSkeleton([]rune(s)).runes }

// skeleton is a text's letters and digits, folded, and where each stands in it.
type skeleton struct {
	runes []rune
	at    []int
}

func newSkeleton(text []rune) skeleton {
	var s skeleton
	for i, r := range text {
		if kindOf(r) != 0 {
			s.runes, s.at = append(s.runes, fold(r)), append(s.at, i)
		}
	}
	return s
}

// hide marks every place where the part stands.
func (s skeleton) hide(p part, hide []bool) {
	for i := 0; i+len(p.runes) <= len(s.runes); i++ {
		end := i + len(p.runes)
		if !slices.Equal(s.runes[i:end], p.runes) {
			continue
		}
		from, to := s.at[i], s.at[end-1]+1
		together := to-from == len(p.runes)
		if together && !p.whole || (together || p.loose) && s.alone(i, end) {
			for j := from; j < to; j++ {
				hide[j] = true
			}
		}
	}
}

// alone reports whether no character of the same kind touches s.runes[i:end].
func (s skeleton) alone(i, end int) bool {
	touches := func(a, b int) bool { return s.at[b]-s.at[a] == 1 && kindOf(s.runes[a]) == kindOf(s.runes[b]) }
	return (i == 0 || !touches(i-1, i)) && (end == len(s.runes) || !touches(end-1, end))
}

// ellipse puts one "…" for each stretch that is hidden, together with the
// punctuation between two of them.
func ellipse(text []rune, hide []bool) []rune {
	var out []rune
	gap := -1 // where in out the punctuation behind the last "…" begins
	for i, r := range text {
		switch {
		case hide[i] || r == '…':
			if gap >= 0 {
				out = out[:gap]
				continue
			}
			out = append(out, '…')
			gap = len(out)
		default:
			out = append(out, r)
			if kindOf(r) != 0 {
				gap = -1
			}
		}
	}
	return out
}
