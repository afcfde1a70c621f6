package relay_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
)

// However a program writes a long number in short, its digits are lost.
func TestScientific(t *testing.T) {
	for _, bad := range []string{"9.4001E+21", "9.4001E21", "94.001E+20", "9,4001e+21", "9E+21", "9.E21", ".94E22", "+9.4e21", "1.5E-07"} {
		require.True(t, relay.Scientific(bad), bad)
	}
	for _, good := range []string{"12E5", "12E-5", "E+5", "9.4001", "1Z9E+21", "9E+21X", "E21", "1.2.3E4"} {
		require.False(t, relay.Scientific(good), good)
	}
}
