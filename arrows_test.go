// Package orderferry_test keeps what no single package can: the import arrows
// between our folders, and a package comment on every package.
package orderferry_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "orderferry"

// layers says which of our layers each layer may import, besides itself.
// Simulators import nothing of ours but simkit: they prove a connector, so they
// share no code with it. A folder that is in no layer is refused.
var layers = map[string][]string{
	"relay":      {},
	"postal":     {"relay"},
	"connectors": {"exchange", "postal", "relay"},
	"exchange":   {"relay"},  // connectors/exchange: it knows no vendor
	"simulator":  {"simkit"}, // connectors/<system>/simulator
	"simkit":     {},         // connectors/simkit: what simulators share
	"store":      {"relay"},
	"notify":     {"relay"},
	"activities": {"connectors", "postal", "store", "notify", "relay"},
	"workflows":  {"activities", "relay"},
	"worker":     {"workflows", "activities", "connectors", "store", "notify", "relay"},
	// connectors: a bad merchant file is refused by the connector's own schema before anything is written.
	"starter": {"workflows", "connectors", "postal", "store", "relay"},
}

// banned says which of other people's packages a layer may not import, in tests either.
var banned = map[string][]string{
	"connectors": {"go.temporal.io/", "github.com/jackc/pgx/"},
	"exchange":   {"go.temporal.io/", "github.com/jackc/pgx/"},
	"simulator":  {"go.temporal.io/", "github.com/jackc/pgx/"},
	"simkit":     {"go.temporal.io/", "github.com/jackc/pgx/"},
	"store":      {"go.temporal.io/"},
	"postal":     {"go.temporal.io/", "github.com/jackc/pgx/"},
	"notify":     {"go.temporal.io/", "github.com/jackc/pgx/"},
	"activities": {"go.temporal.io/server"},
	"workflows":  {"go.temporal.io/server"},
	"worker":     {"go.temporal.io/server"},
	"starter":    {"go.temporal.io/server"},
}

// goFile is what the rules look at.
type goFile struct {
	path    string   // below the module's root, with slashes
	imports []string // import paths
	doc     bool     // has a package comment
}

func (f goFile) folder() string { return path.Dir(f.path) }
func (f goFile) isTest() bool   { return strings.HasSuffix(f.path, "_test.go") }

// layerOf names the layer of a folder below the module's root.
func layerOf(folder string) string {
	parts := strings.Split(folder, "/")
	if parts[0] == "connectors" && len(parts) > 2 && parts[2] == "simulator" {
		return "simulator"
	}
	if parts[0] == "connectors" && len(parts) > 1 && (parts[1] == "exchange" || parts[1] == "simkit") {
		return parts[1]
	}
	return parts[0]
}

// wrongArrows lists the imports that the tables refuse.
func wrongArrows(files []goFile) []string {
	var wrong []string
	for _, f := range files {
		if f.folder() == "." {
			continue // this test
		}
		layer := layerOf(f.folder())
		if _, known := layers[layer]; !known {
			wrong = append(wrong, fmt.Sprintf("%s: folder %s has no arrows: say in arrows_test.go what it may import", f.path, layer))
			continue
		}
		for _, to := range f.imports {
			if reason := refused(f, layer, to); reason != "" {
				wrong = append(wrong, fmt.Sprintf("%s imports %s: %s", f.path, to, reason))
			}
		}
	}
	return wrong
}

// refused says why a file of the layer may not import a package; "" when it may.
func refused(f goFile, layer, to string) string {
	for _, b := range banned[layer] {
		if strings.HasPrefix(to+"/", strings.TrimSuffix(b, "/")+"/") {
			return layer + " must not know " + b
		}
	}
	folder, ours := strings.CutPrefix(to, module+"/")
	if !ours {
		standard := !strings.Contains(strings.Split(to, "/")[0], ".")
		if layer == "relay" && !standard && !f.isTest() {
			return "relay imports only the standard library"
		}
		return ""
	}
	target := layerOf(folder)
	if target == layer && (layer != "simulator" || within(f.folder(), folder)) {
		return ""
	}
	if f.isTest() && target == "simulator" {
		return ""
	}
	if slices.Contains(layers[layer], target) {
		return ""
	}
	if len(layers[layer]) == 0 {
		return layer + " may import nothing of ours"
	}
	return fmt.Sprintf("%s may import only %s", layer, strings.Join(layers[layer], ", "))
}

// within reports whether two folders belong to one simulator.
func within(a, b string) bool {
	system := func(folder string) string { return strings.Join(strings.Split(folder, "/")[:3], "/") }
	return system(a) == system(b)
}

// undocumented lists the folders whose package has no comment.
func undocumented(files []goFile) []string {
	said := map[string]bool{}
	for _, f := range files {
		if !f.isTest() {
			said[f.folder()] = said[f.folder()] || f.doc
		}
	}
	var out []string
	for folder, ok := range said {
		if !ok {
			out = append(out, folder)
		}
	}
	slices.Sort(out)
	return out
}

// ourFiles reads the imports of every Go file of the module, whatever its build
// tags. It reads the files itself rather than asking the go command, so that
// the test cache knows what this test depends on.
func ourFiles(root string) ([]goFile, error) {
	var files []goFile
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skipped(root, name)
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, err := readFile(root, name)
		files = append(files, f)
		return err
	})
	return files, err
}

// skipped is filepath.SkipDir for what the go command leaves out too: hidden
// folders, testdata and other modules.
func skipped(root, dir string) error {
	if dir == root {
		return nil
	}
	base := filepath.Base(dir)
	if base == "testdata" || base == "vendor" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return filepath.SkipDir
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
		return filepath.SkipDir
	}
	return nil
}

func readFile(root, name string) (goFile, error) {
	syntax, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		return goFile{}, err
	}
	below, err := filepath.Rel(root, name)
	if err != nil {
		return goFile{}, err
	}
	f := goFile{path: filepath.ToSlash(below), doc: strings.TrimSpace(syntax.Doc.Text()) != ""}
	for _, i := range syntax.Imports {
		to, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return goFile{}, err
		}
		f.imports = append(f.imports, to)
	}
	return f, nil
}

func TestImportArrows(t *testing.T) {
	files, err := ourFiles(".")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	require.Empty(t, strings.Join(wrongArrows(files), "\n"))
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	files, err := ourFiles(".")
	require.NoError(t, err)
	require.Empty(t, undocumented(files), "these folders have no package comment")
}

// Only the module standalone carries the Temporal server.
func TestRootModuleDoesNotNeedTheTemporalServer(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	require.NotContains(t, string(mod), "go.temporal.io/server")
}

func TestWrongArrowsAreSeen(t *testing.T) {
	for _, c := range []struct {
		path, to string
		wrong    bool
	}{
		{"relay/order.go", "time", false},
		{"relay/order.go", "crypto/sha256", false},
		{"relay/order.go", "github.com/jackc/pgx/v5", true},
		{"relay/order.go", "orderferry/store", true},
		{"relay/order_test.go", "pgregory.net/rapid", false},
		{"relay/order_test.go", "orderferry/store", true},
		{"connectors/connector.go", "orderferry/relay", false},
		{"connectors/bergen/client.go", "orderferry/connectors", false},
		{"connectors/bergen/client.go", "golang.org/x/time/rate", false},
		{"connectors/bergen/client.go", "orderferry/connectors/exchange", false},
		{"connectors/exchange/exchange.go", "orderferry/relay", false},
		{"connectors/exchange/exchange.go", "orderferry/connectors/bergen", true},
		{"connectors/exchange/exchange.go", "orderferry/connectors", true},
		{"connectors/bergen/client.go", "orderferry/store", true},
		{"connectors/bergen/client.go", "orderferry/connectors/bergen/simulator", true},
		{"connectors/bergen/client_test.go", "orderferry/connectors/bergen/simulator", false},
		{"connectors/bergen/client.go", "go.temporal.io/sdk/activity", true},
		{"connectors/bergen/client_test.go", "github.com/jackc/pgx/v5", true},
		{"connectors/bergen/client.go", "github.com/jackc/pgx/v5/pgxpool", true},
		{"connectors/bergen/simulator/http.go", "net/http", false},
		{"connectors/bergen/simulator/http.go", "orderferry/relay", true},
		{"connectors/bergen/simulator/http.go", "orderferry/connectors/bergen", true},
		{"connectors/bergen/simulator/http.go", "orderferry/connectors/easypost/simulator", true},
		{"connectors/bergen/simulator/http.go", "orderferry/connectors/bergen/simulator/soap", false},
		{"connectors/bergen/simulator/http_test.go", "orderferry/connectors/bergen/simulator", false},
		{"connectors/bergen/simulator/http.go", "orderferry/connectors/simkit", false},
		{"connectors/bergen/client.go", "orderferry/connectors/simkit", true},
		{"connectors/bergen/client_test.go", "orderferry/connectors/simkit/simtest", true},
		{"connectors/simkit/journal.go", "orderferry/connectors/bergen/simulator", true},
		{"connectors/simkit/journal.go", "orderferry/relay", true},
		{"store/orders.go", "orderferry/relay", false},
		{"store/orders.go", "github.com/jackc/pgx/v5", false},
		{"store/orders.go", "orderferry/connectors", true},
		{"store/orders_test.go", "go.temporal.io/sdk/client", true},
		{"activities/submit.go", "orderferry/store", false},
		{"activities/submit.go", "orderferry/connectors", false},
		{"activities/submit.go", "go.temporal.io/sdk/temporal", false},
		{"activities/submit.go", "orderferry/workflows", true},
		{"activities/submit_test.go", "orderferry/connectors/bergen/simulator", false},
		{"workflows/merchant.go", "orderferry/activities", false},
		{"workflows/merchant.go", "orderferry/store", true},
		{"workflows/merchant.go", "orderferry/connectors/bergen", true},
		{"workflows/merchant.go", "go.temporal.io/server/common", true},
		{"worker/main.go", "orderferry/activities", false},
		{"worker/main.go", "orderferry/starter", true},
		{"starter/main.go", "orderferry/connectors", false},
		{"starter/main.go", "orderferry/workflows", false},
		{"starter/main.go", "orderferry/starter/merchantfile", false},
		{"starter/main.go", "orderferry/activities", true},
		{"starter/merchantfile/parse.go", "orderferry/worker", true},
		{"starter/main.go", "orderferry/standalone", true},
		{"starter/main.go", "go.temporal.io/server", true},
		{"helpers/strings.go", "strings", true},
	} {
		wrong := wrongArrows([]goFile{{path: c.path, imports: []string{c.to}}})
		if c.wrong {
			require.Len(t, wrong, 1, "%s -> %s", c.path, c.to)
			require.Contains(t, wrong[0], c.path)
		} else {
			require.Empty(t, wrong, "%s -> %s", c.path, c.to)
		}
	}
}

func TestUndocumentedPackagesAreSeen(t *testing.T) {
	require.Equal(t, []string{"b"}, undocumented([]goFile{
		{path: "a/doc.go", doc: true}, {path: "a/other.go"}, {path: "b/other.go"}, {path: "b/other_test.go", doc: true},
	}))
}

func TestOtherModulesAndTestdataAreLeftOut(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"relay/doc.go":             "// Package relay is here.\npackage relay\n\nimport \"orderferry/store\"\n",
		"relay/testdata/broken.go": "no Go at all",
		"standalone/go.mod":        "module orderferry/standalone\n",
		"standalone/main.go":       "package main\n",
		".ci/tool.go":              "package main\n",
	} {
		file := filepath.Join(root, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	}
	files, err := ourFiles(root)
	require.NoError(t, err)
	require.Equal(t, []goFile{{path: "relay/doc.go", imports: []string{"orderferry/store"}, doc: true}}, files)
	require.Len(t, wrongArrows(files), 1)
}
