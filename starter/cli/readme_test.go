package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/connectors/registry"
	"orderferry/starter/merchantfile"
)

// blocks are the README's fenced blocks of a language.
func blocks(t *testing.T, language string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
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
	for _, yaml := range blocks(t, "yaml") {
		file, faults := merchantfile.Parse("README.md", []byte(yaml), func(string) (string, bool) { return "secret", true }, registry.All())
		require.Empty(t, faults)
		require.Empty(t, file.Warnings)
	}
}

// What the README tells an operator to type is a command with those flags.
func TestReadmeCommands(t *testing.T) {
	commands := 0
	for _, block := range blocks(t, "sh") {
		for line := range strings.Lines(block) {
			line, _, _ = strings.Cut(line, "#")
			words, ok := strings.CutPrefix(strings.Replace(line, "go run ./starter ", "ferry ", 1), "ferry ")
			if !ok {
				continue
			}
			commands++
			files(t)
			code, _, stderr := answering(t).ferry(t, shellWords(t, words)...)
			require.NotEqual(t, 2, code, "%s%s", line, stderr)
		}
	}
	require.Positive(t, commands)
}
