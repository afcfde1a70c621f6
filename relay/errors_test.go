package relay_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
)

var kinds = []relay.ErrorKind{
	relay.Invalid, relay.NotFound, relay.Rejected, relay.Conflict, relay.Throttled, relay.Unavailable, relay.Unknown, relay.Unauthorised,
}

func TestKindsThroughWrapping(t *testing.T) {
	for _, k := range kinds {
		e := &relay.Error{Kind: k, Op: "submit order", Err: io.ErrUnexpectedEOF}
		for _, err := range []error{
			e,
			fmt.Errorf("order 7: %w", e),
			fmt.Errorf("merchant acme: %w", fmt.Errorf("order 7: %w", e)),
			errors.Join(errors.New("first"), e),
		} {
			for _, other := range kinds {
				require.Equal(t, k == other, errors.Is(err, other), "%s is %s", k, other)
			}
			require.Equal(t, k, relay.KindOf(err))
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			var as *relay.Error
			require.ErrorAs(t, err, &as)
			require.Same(t, e, as)
		}
	}
}

func TestKindOf(t *testing.T) {
	// What nobody classified may have happened.
	for _, err := range []error{errors.New("odd"), context.DeadlineExceeded, io.EOF, fmt.Errorf("x: %w", io.EOF)} {
		require.Equal(t, relay.Unknown, relay.KindOf(err))
	}
	// A bare kind is an error too.
	require.Equal(t, relay.Throttled, relay.KindOf(fmt.Errorf("x: %w", relay.Throttled)))
	// The outermost word counts: a read that failed within a write leaves the write unknown.
	inner := &relay.Error{Kind: relay.Unavailable}
	require.Equal(t, relay.Unknown, relay.KindOf(&relay.Error{Kind: relay.Unknown, Err: inner}))
}

func TestErrorText(t *testing.T) {
	e := &relay.Error{
		Kind: relay.Rejected, Op: "submit order", Status: 422, Code: "E-17", Reason: relay.HoldUnknownItem,
		Fields: []relay.Problem{{Field: "lines[0].sku", Value: "MUG"}, {Field: "ship_to.zip"}},
		After:  90 * time.Second, Err: io.EOF,
	}
	require.EqualError(t, e, `submit order: rejected (unknown_item), HTTP 422, code E-17, field lines[0].sku "MUG", field ship_to.zip, again after 1m30s: EOF`)
	require.EqualError(t, &relay.Error{Kind: relay.Unknown}, "unknown outcome")
	many := &relay.Error{Kind: relay.Invalid, Fields: make([]relay.Problem, 8)}
	require.Contains(t, many.Error(), "and 3 more fields")
}

// Promise 6: a vendor quotes addresses back; its words and the messages of
// fields stay in the ledger.
func FuzzErrorTextHasNoWords(f *testing.F) {
	f.Add("pull orders", 500, "E1", "Some One, 1 Main St", "bad zip for Some One", uint8(3))
	f.Add("", 0, "", "x", "", uint8(0))
	f.Fuzz(func(t *testing.T, op string, status int, code, words, message string, n uint8) {
		e := &relay.Error{Kind: kinds[int(n)%len(kinds)], Op: op, Status: status, Code: code}
		without := e.Error()
		for i := range n % 9 {
			e.Fields = append(e.Fields, relay.Problem{Field: fmt.Sprintf("lines[%d].sku", i), Value: "MUG"})
		}
		bare := e.Error()
		e.Words = words
		for i := range e.Fields {
			e.Fields[i].Message = message
		}
		require.Equal(t, bare, e.Error())
		require.Equal(t, bare, fmt.Sprintf("%v", e))
		require.Equal(t, bare, fmt.Sprintf("%+v", e))
		require.Contains(t, bare, without)
	})
}
