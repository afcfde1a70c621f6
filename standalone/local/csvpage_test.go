package local_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/standalone/local"
	"orderferry/standalone/proctest"
	"orderferry/starter/cli"
)

// block is a fenced block of a page: "```csv write=/srv/acme/x.csv".
type block struct {
	lang, verb, path, text string
}

var fence = regexp.MustCompile("(?ms)^```(\\w+)(?: (write|appears)=(\\S+))?\n(.*?)^```$")

// The first section of docs/csv.md is done as it is written, but for /srv, which
// is another folder here: files are written, commands typed, and what is to
// appear appears.
func TestCSVPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "csv.md"))
	require.NoError(t, err)
	_, example, found := strings.Cut(string(page), "\n## An order from file to file\n")
	require.True(t, found)
	example, _, _ = strings.Cut(example, "\n## ")
	dir := proctest.DataDir(t)
	srv := filepath.Join(dir, "srv")
	work := filepath.Join(dir, "work")
	require.NoError(t, os.MkdirAll(work, 0o755))
	p := &csvPage{t: t, data: filepath.Join(dir, "data"), work: work}
	var blocks []block
	for _, m := range fence.FindAllStringSubmatch(strings.ReplaceAll(example, "/srv/", srv+"/"), -1) {
		blocks = append(blocks, block{m[1], m[2], m[3], m[4]})
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	err = local.Run(t.Context(), local.Config{Dir: p.data, Log: log}, func(ctx context.Context, _ local.Instance) error {
		appeared := 0
		for _, b := range blocks {
			switch {
			case b.verb == "write":
				p.write(b)
			case b.verb == "appears":
				p.await(b)
				appeared++
			case b.lang == "sh":
				p.run(ctx, b.text)
			default:
				t.Errorf("a %s block that is neither written nor expected", b.lang)
			}
		}
		require.Equal(t, 3, appeared)
		p.until(ctx, `"confirmed"`, "order", "show", "--merchant", "acme", "--order", "SO-1001", "--output", "json")
		return nil
	})
	require.NoError(t, err)
}

type csvPage struct {
	t          *testing.T
	data, work string
}

func (p *csvPage) write(b block) {
	at := b.path
	if !filepath.IsAbs(at) {
		at = filepath.Join(p.work, at)
	}
	require.NoError(p.t, os.WriteFile(at, []byte(b.text), 0o644))
}

// await waits for a file and compares it, whatever its lines end with.
func (p *csvPage) await(b block) {
	p.t.Helper()
	var text string
	require.Eventually(p.t, func() bool {
		names, err := filepath.Glob(b.path)
		require.NoError(p.t, err)
		if len(names) != 1 {
			return false
		}
		content, err := os.ReadFile(names[0])
		text = strings.ReplaceAll(string(content), "\r\n", "\n")
		return err == nil
	}, time.Minute, 100*time.Millisecond, "%s does not appear", b.path)
	require.Equal(p.t, b.text, text, b.path)
}

// run types the commands of a block.
func (p *csvPage) run(ctx context.Context, text string) {
	p.t.Helper()
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if words[0] != "ferry" {
			cmd := exec.CommandContext(ctx, words[0], words[1:]...)
			cmd.Dir = p.work
			out, err := cmd.CombinedOutput()
			require.NoError(p.t, err, string(out))
			continue
		}
		for i, w := range words {
			if w == "--file" {
				words[i+1] = filepath.Join(p.work, words[i+1])
			}
		}
		code, said := p.ferry(ctx, words[1:]...)
		require.Zero(p.t, code, said)
	}
}

func (p *csvPage) ferry(ctx context.Context, args ...string) (int, string) {
	var out bytes.Buffer
	env := map[string]string{"ORDERFERRY_DATA": p.data}
	code := cli.Run(ctx, args, func(k string) string { return env[k] }, strings.NewReader(""), &out, &out)
	p.t.Logf("ferry %s: exit %d\n%s", strings.Join(args, " "), code, out.String())
	return code, out.String()
}

func (p *csvPage) until(ctx context.Context, word string, args ...string) {
	p.t.Helper()
	require.Eventually(p.t, func() bool {
		_, said := p.ferry(ctx, args...)
		return strings.Contains(said, word)
	}, time.Minute, 500*time.Millisecond)
}
