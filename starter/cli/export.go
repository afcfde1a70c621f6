package cli

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"orderferry/relay"
	"orderferry/store"
)

// exportLedger is a ledger that can be written out.
type exportLedger interface {
	Export(ctx context.Context, q store.ExportQuery, w io.Writer) (store.ExportCounts, error)
}

func (a *app) exportCommand() *cobra.Command {
	var q store.ExportQuery
	var out string
	cmd := a.longVerb(cobra.Command{
		Use:   "export",
		Short: "Write out all that the ledger holds of a merchant",
		Long: `Write out all that the ledger holds of a merchant, as it is at one moment: settings
without credentials, connections, aliases, orders with lines, submissions with
items, packages, trails, stock levels, alerts, and what reconciliation found.

It is JSON Lines: each line is a record of the kind that its field "record" names.
The first line names the format and its version; the last, of kind "end", counts
the records, so that a part can be told from the whole. The same ledger gives the
same bytes.

Personal data (addresses, and words that may quote one) is left out, unless
--addresses asks for it. With --since, orders to which nothing happened since then
are left out with all that belongs to them.

Without --out it goes to standard output. A file is for its owner only, appears
when it is whole, replaces one that is there, and is compressed when its name ends
in .gz. It takes as long as it takes: there is no time limit unless --timeout sets one.`,
		Example: `  ferry export --merchant acme
  ferry export --merchant acme --out acme.jsonl.gz
  ferry export --merchant acme --addresses --since 2026-11-01 --out acme-november.jsonl`,
	}, noLimit, func(ctx context.Context, _ []string) error { return a.export(ctx, q, out) })
	merchantFlag(cmd, &q.Merchant)
	cmd.Flags().StringVar(&out, "out", "", "write to this `file` instead of standard output")
	cmd.Flags().BoolVar(&q.Addresses, "addresses", false, "with addresses and what may quote them: personal data")
	cmd.Flags().Var(timeFlag{&q.Since}, "since", "only orders to which something happened since this time (UTC), such as 2026-11-01 or 2026-11-01T08:00:00Z")
	needs(cmd, "merchant")
	return cmd
}

func (a *app) export(ctx context.Context, q store.ExportQuery, path string) error {
	l, _, err := a.merchant(ctx, q.Merchant)
	if err != nil {
		return err
	}
	v := exportView{Merchant: q.Merchant, File: path, Addresses: q.Addresses, Since: utc(q.Since)}
	sum := sha256.New() // of what is written: sha256sum says the same of the file
	write := func(w io.Writer) error {
		w = io.MultiWriter(w, sum)
		var z *gzip.Writer
		if strings.HasSuffix(path, ".gz") {
			z = gzip.NewWriter(w)
			w = z
		}
		records, err := l.Export(ctx, q, &progress{w: w, app: a, said: a.parts.now()})
		if v.Records = records; err != nil || z == nil {
			return err
		}
		return z.Close()
	}
	if path == "" {
		err = write(a.stdout)
	} else {
		err = writeFile(path, write)
	}
	if err != nil {
		return err
	}
	v.SHA256 = hex.EncodeToString(sum.Sum(nil))
	if path == "" {
		a.say("%s", v.line())
		return nil
	}
	return a.print(v)
}

// exportView says what was written to a file.
type exportView struct {
	Merchant  relay.MerchantID   `json:"merchant"`
	File      string             `json:"file"`
	Addresses bool               `json:"addresses"`
	Since     *time.Time         `json:"since,omitempty"`
	Records   store.ExportCounts `json:"records"` // by kind
	SHA256    string             `json:"sha256"`  // of the file, as it is
}

func (v exportView) line() string {
	total := int64(1) // the last, which counts the others
	for _, n := range v.Records {
		total += n
	}
	s := fmt.Sprintf("%s of merchant %s, %s among them; sha256 %s", relay.Many(total, "record"), v.Merchant, relay.Many(v.Records["order"], "order"), v.SHA256)
	if v.File != "" {
		s = v.File + ": " + s
	}
	return s
}

func (v exportView) text(p *page) { p.line("%s", v.line()) }

// writeFile makes a file, for its owner only, that is there whole or not at all.
func writeFile(path string, write func(io.Writer) error) error {
	if is, err := os.Stat(path); err == nil && !is.Mode().IsRegular() {
		return usagef("--out %s: want a file, or leave it out for standard output", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return &usageError{fmt.Errorf("--out %s: %w", path, err)}
	}
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// progress says on stderr, now and then, how far an export has come.
type progress struct {
	w       io.Writer
	app     *app
	records int
	said    time.Time
}

func (p *progress) Write(b []byte) (int, error) {
	p.records += bytes.Count(b, []byte("\n"))
	if now := p.app.parts.now(); now.Sub(p.said) >= 10*time.Second {
		p.said = now
		p.app.say("%s so far", relay.Many(int64(p.records), "record"))
	}
	return p.w.Write(b)
}
