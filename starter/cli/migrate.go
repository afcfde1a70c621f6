package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) migrateCommand() *cobra.Command {
	var noTemporal bool
	cmd := a.verb(cobra.Command{
		Use:   "migrate",
		Short: "Bring the ledger and Temporal up to date",
		Long: `Bring the ledger's schema up to date, make the key file where there is none, and
register the search attributes in the Temporal namespace. Run it before the first
worker and with every new release; it is harmless twice.

Losing the key file means entering all credentials again: keep a copy.`,
		Example: `  ferry migrate
  ferry migrate --no-temporal --output json`,
	}, func(ctx context.Context, _ []string) error { return a.migrate(ctx, noTemporal) })
	cmd.Flags().BoolVar(&noTemporal, "no-temporal", false, "leave Temporal's search attributes alone")
	return cmd
}

type migrateView struct {
	Schema           schemaView      `json:"schema"`
	KeyFile          keyFileView     `json:"key_file"`
	SearchAttributes *attributesView `json:"search_attributes,omitempty"` // absent with --no-temporal
}

type schemaView struct {
	Before int32 `json:"before"`
	After  int32 `json:"after"`
}

type keyFileView struct {
	Path string `json:"path"`
	Made bool   `json:"made"`
}

type attributesView struct {
	Namespace string   `json:"namespace"`
	Added     []string `json:"added"`
}

func (a *app) migrate(ctx context.Context, noTemporal bool) error {
	s, err := a.settings()
	if err != nil {
		return err
	}
	url, err := s.need(s.Database)
	if err != nil {
		return err
	}
	var v migrateView
	if v.KeyFile.Path, err = s.need(s.KeyFile); err != nil {
		return err
	}
	if v.KeyFile.Made, err = a.parts.makeKey(v.KeyFile.Path); err != nil {
		return err
	}
	if v.Schema.Before, v.Schema.After, err = a.parts.migrate(ctx, url); err != nil {
		return s.unreachable(s.Database, err)
	}
	if !noTemporal {
		if v.SearchAttributes, err = a.register(ctx, s.Namespace.Value); err != nil {
			return err
		}
	}
	return a.print(v)
}

func (a *app) register(ctx context.Context, namespace string) (*attributesView, error) {
	e, err := a.engine(ctx)
	if err != nil {
		return nil, err
	}
	added, err := e.Register(ctx)
	if err != nil {
		return nil, err
	}
	return &attributesView{Namespace: namespace, Added: orNone(added)}, nil
}

func (v migrateView) text(p *page) {
	if v.Schema.Before == v.Schema.After {
		p.line("the ledger's schema is at version %d already", v.Schema.After)
	} else {
		p.line("the ledger's schema went from version %d to %d", v.Schema.Before, v.Schema.After)
	}
	if v.KeyFile.Made {
		p.line("made the key file %s: keep a copy of it", v.KeyFile.Path)
	} else {
		p.line("the key file %s is there", v.KeyFile.Path)
	}
	switch sa := v.SearchAttributes; {
	case sa == nil:
		p.line("Temporal's search attributes were left alone")
	case len(sa.Added) == 0:
		p.line("namespace %s has all search attributes already", sa.Namespace)
	default:
		p.line("namespace %s got the search attributes %s", sa.Namespace, strings.Join(sa.Added, ", "))
	}
}
