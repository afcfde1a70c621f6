package cli

import (
	"context"

	"github.com/spf13/cobra"
)

func (a *app) configCommand() *cobra.Command {
	group := a.group("config", "Show what ferry talks to", "Show what ferry talks to, and who says so.", "  ferry config show")
	group.AddCommand(a.verb(cobra.Command{
		Use:   "show",
		Short: "Show each setting and where it came from",
		Long: `Show each setting, its value and which source won: a flag, the environment, a
profile of Temporal's, or the file of a standalone that runs on this machine.
Passwords are masked.

A standalone's file counts as a whole: where a flag or the environment names
another database or another Temporal, it is left aside.`,
		Example: `  ferry config show
  ferry config show --database-url postgres://ferry@db/orderferry --output json`,
	}, func(context.Context, []string) error {
		s, err := a.settings()
		if err != nil {
			return err
		}
		return a.print(newConfigView(s))
	}))
	return group
}

type configView struct {
	Settings []settingView `json:"settings"`
	File     fileView      `json:"file"`
}

type settingView struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source origin `json:"source"`
	From   string `json:"from,omitempty"`
}

type fileView struct {
	Path string `json:"path"`
	Used bool   `json:"used"`
	Why  string `json:"why,omitempty"` // why it is not used
	UI   string `json:"ui,omitempty"`  // the Temporal Web UI of the standalone
}

func newConfigView(s settings) configView {
	v := configView{File: fileView{Path: s.File.Path, Used: s.File.Used, Why: s.File.Why}}
	if s.File.Used {
		v.File.UI = s.File.found.UI
	}
	for _, x := range []setting{s.Database, s.KeyFile, s.Address, s.Namespace} {
		value := x.Value
		if x.Name == s.Database.Name {
			value = mask(value)
		}
		v.Settings = append(v.Settings, settingView{x.Name, value, x.Origin, x.From})
	}
	return v
}

func (v configView) text(p *page) {
	var rows [][]string
	for _, s := range v.Settings {
		from := string(s.Source)
		if s.From != "" {
			from += " " + s.From
		}
		rows = append(rows, []string{s.Name, s.Value, from})
	}
	p.table([]string{"SETTING", "VALUE", "FROM"}, rows)
	p.gap()
	if v.File.Used {
		p.pairs([2]string{"file", v.File.Path}, [2]string{"web ui", v.File.UI})
		return
	}
	p.line("file %s is not used: %s", v.File.Path, v.File.Why)
}
