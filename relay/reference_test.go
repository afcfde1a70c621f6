package relay_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"orderferry/relay"
)

// legal is the form that warehouses accept, written down a second time.
var legal = regexp.MustCompile(`\A([A-Z0-9]|[A-Z0-9][A-Z0-9-]{0,18}[A-Z0-9])\z`)

func TestParseReference(t *testing.T) {
	for in, want := range map[string]relay.Reference{
		"A": "A", "so-1042": "SO-1042", "  SO-1042\n": "SO-1042", "12345678901234567890": "12345678901234567890", "a--b": "A--B",
	} {
		got, err := relay.ParseReference(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got)
	}
	for _, in := range []string{
		"", " ", "-", "-A", "A-", "A B", "A_B", "#1", "A.1", "A/1", "123456789012345678901", "Ü1", "SO\n1", "SO-1\x00",
		"\u0131SO-1", "\u017fo-1", "\u212a1", // letters that Unicode raises to, or takes for, I, S and K
		strings.Repeat("A", 1000),
	} {
		_, err := relay.ParseReference(in)
		require.Error(t, err, in)
		require.Less(t, len(err.Error()), 300)
	}
}

func TestNewReference(t *testing.T) {
	for number, want := range map[string]relay.Reference{
		"1042": "1042", "#1042": "1042", "so-1042": "SO-1042", " SO-1042 ": "SO-1042", "12345678901234567890": "12345678901234567890",
		" #1042": "1042",
	} {
		require.Equal(t, want, relay.NewReference("main", "9", number, 0), number)
	}
	// What does not fit keeps what people recognise and ends in six characters of a hash.
	for number, head := range map[string]string{
		"SO/1042": "SO-1042-", "Ü-77": "77-", "123456789012345678901": "1234567890123-", "SO 10 42!": "SO-10-42-", "-1042": "1042-", "1042-": "1042-",
		"##1042": "1042-", "": "", "---": "", "日本": "", "\xff\xfe": "", "\u017fo-1": "O-1-",
	} {
		got := string(relay.NewReference("main", "9", number, 0))
		require.Regexp(t, "^"+head+"[0-9A-HJKMNP-TV-Z]{6}$", got, number)
	}
}

// A reference is never changed once given, so neither is the way it is made.
func TestNewReferenceIsAlwaysTheSame(t *testing.T) {
	for _, c := range []struct {
		cart    relay.ConnectionName
		id      relay.ExternalID
		number  string
		attempt int
		want    relay.Reference
	}{
		{"main", "9", "SO-1042", 0, "SO-1042"},
		{"main", "9", "SO-1042", 1, "SO-1042-7R50HH"},
		{"main", "9", "SO-1042", 2, "SO-1042-34PHDW"},
		{"outlet", "9", "SO-1042", 1, "SO-1042-HBZJ19"},
		{"main", "10", "SO-1042", 1, "SO-1042-RAXQ5P"},
		{"main", "9", "", 0, "P8HC32"},
		{"main", "9", "web order 2026/11/04-000017", 0, "WEB-ORDER-202-YSYC0G"},
	} {
		require.Equal(t, c.want, relay.NewReference(c.cart, c.id, c.number, c.attempt))
	}
}

func TestNewReferenceProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cart := relay.ConnectionName(rapid.StringMatching(`[a-z0-9]{1,8}`).Draw(t, "cart"))
		id := relay.ExternalID(rapid.String().Draw(t, "id"))
		number := rapid.OneOf(
			rapid.String(),
			rapid.StringMatching(`#?[A-Za-z]{0,4}[-/ ]?[0-9]{0,24}`),
		).Draw(t, "number")
		seen := map[relay.Reference]bool{}
		for attempt := range 6 {
			r := relay.NewReference(cart, id, number, attempt)
			if !legal.MatchString(string(r)) {
				t.Fatalf("%q is no legal reference", r)
			}
			if r != relay.NewReference(cart, id, number, attempt) {
				t.Fatalf("the same arguments gave another reference than %q", r)
			}
			if parsed, err := relay.ParseReference(string(r)); err != nil || parsed != r {
				t.Fatalf("%q does not parse: %v", r, err)
			}
			seen[r] = true
		}
		if len(seen) != 6 {
			t.Fatalf("six attempts gave only %d references", len(seen))
		}
	})
}

func TestNewReferenceLeavesFittingNumbersAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.StringMatching(`[A-Z0-9]([A-Z0-9-]{0,18}[A-Z0-9])?`).Draw(t, "number")
		if got := relay.NewReference("main", "9", number, 0); string(got) != number {
			t.Fatalf("%q became %q", number, got)
		}
	})
}

// Long numbers that differ only past the cut, in any of the three arguments,
// have different references.
func TestNewReferenceTellsOrdersApart(t *testing.T) {
	seen := map[relay.Reference]string{}
	for _, cart := range []relay.ConnectionName{"a", "b"} {
		for _, id := range []relay.ExternalID{"1", "2", "3"} {
			for n := range 100 {
				number := "a very long order number " + strings.Repeat("x", n)
				r := relay.NewReference(cart, id, number, 0)
				require.Empty(t, seen[r], "%s", r)
				seen[r] = string(cart) + string(id) + number
			}
		}
	}
}

func FuzzParseReference(f *testing.F) {
	for _, s := range []string{"SO-1042", "so-1", "-", "\u017f1", " 1 ", "12345678901234567890"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := relay.ParseReference(s)
		if err != nil {
			require.Empty(t, r)
			return
		}
		require.Regexp(t, legal, string(r))
		require.True(t, strings.EqualFold(strings.TrimSpace(s), string(r)))
		again, err := relay.ParseReference(string(r))
		require.NoError(t, err)
		require.Equal(t, r, again)
	})
}

func FuzzNewReference(f *testing.F) {
	f.Add("main", "9", "#1042", 0)
	f.Add("main", "9", "a/b", 1)
	f.Add("", "", "", -1)
	f.Add("\x00", "\xff", "--------------------------", 7)
	f.Fuzz(func(t *testing.T, cart, id, number string, attempt int) {
		r := relay.NewReference(relay.ConnectionName(cart), relay.ExternalID(id), number, attempt)
		require.Regexp(t, legal, string(r))
		require.Equal(t, r, relay.NewReference(relay.ConnectionName(cart), relay.ExternalID(id), number, attempt))
		if attempt == 0 && legal.MatchString(number) {
			require.Equal(t, number, string(r))
		}
	})
}
