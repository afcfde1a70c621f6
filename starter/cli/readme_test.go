package cli

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/connectors/registry"
	"orderferry/starter/merchantfile"
)

// The pages that tell people what to write and to type.
const (
	readme       = "README.md"
	operations   = "docs/operations.md"
	merchantPage = "docs/merchant-file.md"
	stockPage    = "docs/stock.md"
	mappingsPage = "docs/mappings.md"
)

// blocks are a page's fenced blocks of a language.
func blocks(t *testing.T, page, language string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", page))
	require.NoError(t, err)
	var out []string
	for i, part := range strings.Split(string(text), "```") {
		if body, ok := strings.CutPrefix(part, language+"\n"); ok && i%2 == 1 {
			out = append(out, body)
		}
	}
	require.NotEmpty(t, out)
	return out
}

// What the README tells an operator to write is taken by the real connectors.
func TestReadmeMerchantFile(t *testing.T) {
	for _, yaml := range blocks(t, readme, "yaml") {
		file, faults := merchantfile.Parse(readme, []byte(yaml), func(string) (string, bool) { return "secret", true }, registry.All())
		require.Empty(t, faults)
		require.Empty(t, file.Warnings)
		// So is what operations has in the place of its alerts.
		without, _, _ := strings.Cut(yaml, "\nalerts:")
		for _, more := range blocks(t, operations, "yaml") {
			if strings.HasPrefix(more, "- alert:") {
				continue // a rule for Prometheus
			}
			_, faults := merchantfile.Parse(operations, []byte(without+"\n"+more), func(string) (string, bool) { return "whsec_" + strings.Repeat("c2VjcmV0", 4), true }, registry.All())
			require.Empty(t, faults)
		}
	}
}

// So is what the merchant file's own page tells to write, with rules of every kind.
func TestMerchantFilePage(t *testing.T) {
	for _, yaml := range blocks(t, merchantPage, "yaml") {
		file, faults := merchantfile.Parse(merchantPage, []byte(yaml), func(string) (string, bool) { return "secret", true }, registry.All())
		require.Empty(t, faults)
		rules := reflect.ValueOf(file.Merchant.Carts[0].Rules)
		for i := range rules.NumField() {
			part := rules.Field(i)
			require.False(t, part.IsZero(), rules.Type().Field(i).Name)
			for j := 0; part.Kind() == reflect.Struct && j < part.NumField(); j++ {
				require.False(t, part.Field(j).IsZero(), part.Type().Field(j).Name)
			}
		}
	}
}

// What the pages tell an operator to type is a command with those flags. That it
// does what they say is tried in the world of standalone.
func TestPagesCommands(t *testing.T) {
	pages := map[string][]string{readme: blocks(t, readme, "sh"), operations: blocks(t, operations, "sh"), stockPage: blocks(t, stockPage, "sh"),
		mappingsPage: blocks(t, mappingsPage, "sh")}
	for page, list := range pages {
		commands := 0
		for _, block := range list {
			for line := range strings.Lines(block) {
				line, _, _ = strings.Cut(line, "#")
				words, ok := strings.CutPrefix(strings.Replace(line, "go run ./starter ", "ferry ", 1), "ferry ")
				if !ok {
					continue
				}
				commands++
				files(t)
				code, _, stderr := answering(t).ferry(t, shellWords(t, words)...)
				require.NotEqual(t, 2, code, "%s: %s%s", page, line, stderr)
			}
		}
		require.Positive(t, commands, page)
	}
}
