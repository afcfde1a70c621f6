package connectortest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A file of the page is a line with its path, and a block of Go after it.
var pageFile = regexp.MustCompile("(?ms)^`(connectors/cornershop/[a-z_/]+\\.go)`:\n\n```go\n(.*?)^```$")

// The page's connector is written as the page says, file by file, and its table
// is the one that the page shows. The files are laid over the tree, not into it.
func TestThePageCanBeFollowed(t *testing.T) {
	page, err := os.ReadFile("../../docs/connector.md")
	require.NoError(t, err)
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	dir := t.TempDir()
	overlay := map[string]string{}
	for _, m := range pageFile.FindAllStringSubmatch(string(page), -1) {
		file := filepath.Join(dir, filepath.FromSlash(m[1]))
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(m[2]), 0o600))
		overlay[filepath.Join(root, filepath.FromSlash(m[1]))] = file
	}
	require.Len(t, overlay, 6, "the page's files")
	list, err := json.Marshal(map[string]any{"Replace": overlay})
	require.NoError(t, err)
	overlayFile := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(overlayFile, list, 0o600))

	gofmt, err := exec.Command("gofmt", "-l", filepath.Join(dir, "connectors")).CombinedOutput()
	require.NoError(t, err)
	require.Empty(t, string(gofmt), "the page's code is not formatted")
	binary := filepath.Join(dir, "cornershop.test")
	build := exec.Command("go", "test", "-c", "-vet=off", "-overlay", overlayFile, "-o", binary, "./connectors/cornershop")
	build.Dir = root
	said, err := build.CombinedOutput()
	require.NoError(t, err, string(said))
	for _, args := range [][]string{{"-update"}, {}} { // as the page says: once to write the table, and then to keep it
		run := exec.Command(binary, args...)
		run.Dir = dir
		said, err = run.CombinedOutput()
		require.NoError(t, err, string(said))
	}
	table, err := os.ReadFile(filepath.Join(dir, "testdata", "conformance-cornershop.md"))
	require.NoError(t, err)
	_, shown, found := strings.Cut(string(page), "```markdown\n")
	require.True(t, found, "the page shows its table")
	shown, _, _ = strings.Cut(shown, "```\n")
	require.Equal(t, string(table), shown, "the page's table")
}
