package activities

import (
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
)

// Of too many mappings those go that were unused for longest, never those in hand.
func TestMappingBooksAreBounded(t *testing.T) {
	b := newMappingBooks(10)
	use := func(m relay.MerchantID, size int) { b.of(m); b.grown(m, size) }
	kept := func() (out []relay.MerchantID) {
		for _, m := range []relay.MerchantID{"a", "b", "c", "huge"} {
			if _, ok := b.books[m]; ok {
				out = append(out, m)
			}
		}
		return out
	}
	use("a", 4)
	use("b", 4)
	b.of("a")
	use("c", 4)
	require.Equal(t, []relay.MerchantID{"a", "c"}, kept())
	use("a", 1)
	use("b", 4)
	require.Equal(t, []relay.MerchantID{"a", "b", "c"}, kept(), "a became small")
	use("huge", 99)
	require.Equal(t, []relay.MerchantID{"huge"}, kept())
}
