package relay

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"regexp"
	"strings"
)

// Reference is an order's short number for systems that limit length and
// characters: 1 to 20 of A-Z, 0-9 and "-", unique per merchant and never
// changed once given.
type Reference string

// MaxReference is the length limit of a Reference.
const MaxReference = 20

var referenceForm = regexp.MustCompile(`^[A-Z0-9](?:[A-Z0-9-]{0,18}[A-Z0-9])?$`)

// ParseReference accepts a reference in either case.
func ParseReference(s string) (Reference, error) {
	r := strings.Map(upper, strings.TrimSpace(s))
	if !referenceForm.MatchString(r) {
		return "", fmt.Errorf("order reference %q: want 1 to 20 characters of A-Z, 0-9 and inner -", clip(s, 40))
	}
	return Reference(r), nil
}

var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// NewReference derives an order's reference from the cart's number. Attempt 0
// is the number itself where it fits; a number that is too long or has other
// characters, and every further attempt after a collision, ends in a hash of
// the cart, the cart's id and the number. The same arguments always give the
// same reference, so a page that is read twice can't name an order anew.
func NewReference(cart ConnectionName, id ExternalID, number string, attempt int) Reference {
	clean, exact := cleanNumber(number)
	if exact && attempt == 0 {
		return Reference(clean)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%d", cart, id, number, attempt))
	tail := crockford.EncodeToString(sum[:])[:6]
	head := strings.Trim(clip2(clean, MaxReference-len(tail)-1), "-")
	if head == "" {
		return Reference(tail)
	}
	return Reference(head + "-" + tail)
}

// cleanNumber maps the number onto A-Z, 0-9 and inner "-", and says whether
// nothing but case, a leading "#" and outer blanks was lost.
func cleanNumber(number string) (clean string, exact bool) {
	n := strings.TrimPrefix(strings.TrimSpace(number), "#")
	exact = true
	var b strings.Builder
	for _, c := range n {
		switch c = upper(c); {
		case c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-':
			b.WriteRune(c)
		default:
			exact = false
			if s := b.String(); s != "" && !strings.HasSuffix(s, "-") {
				b.WriteByte('-')
			}
		}
		if b.Len() > MaxReference {
			exact = false
			break
		}
	}
	clean = b.String()
	if !referenceForm.MatchString(clean) {
		exact = false
	}
	return clean, exact
}

// upper raises a to z only: unicode.ToUpper would turn a dotless i into an I.
func upper(c rune) rune {
	if c >= 'a' && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

func clip2(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n]
}
