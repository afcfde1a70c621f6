// Package cli is ferry, the command with which operators set up merchants, look
// at orders and holds, and act on them. It reads the ledger itself; what changes
// an order's way it asks of the workflows, and it prints their true answer.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2 // bad usage: nothing was changed
)

// Run runs one command and returns its exit code: 0 done, 1 failed, 2 bad usage.
// Results go to stdout, all else to stderr.
func Run(ctx context.Context, args []string, env func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	return run(ctx, args, env, stdin, stdout, stderr, realParts())
}

func run(ctx context.Context, args []string, env func(string) string, stdin io.Reader, stdout, stderr io.Writer, p parts) int {
	a := &app{env: env, stdin: stdin, stdout: stdout, stderr: stderr, parts: p}
	defer a.close()
	root := a.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	return a.exit(cmd, err)
}

// exit says on stderr what went wrong, and chooses the exit code.
func (a *app) exit(cmd *cobra.Command, err error) int {
	var usage *usageError
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errNotAsAsked):
		return exitFailed
	case errors.Is(err, errHelpShown):
		return exitUsage
	}
	a.say("ferry: %v", err)
	if !a.began {
		a.say("See %s --help.", cmd.CommandPath())
		return exitUsage
	}
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

var (
	// errNotAsAsked ends a command whose answer on stdout says that what was asked for did not come about.
	errNotAsAsked = errors.New("not done as asked")
	errHelpShown  = errors.New("help was shown")
)

// usageError is a fault of what was typed, configured or given as a file.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// app is one run of the command.
type app struct {
	env            func(string) string
	stdin          io.Reader
	stdout, stderr io.Writer
	parts          parts

	given   given // settings given as flags
	output  format
	timeout time.Duration
	began   bool // the flags were good, and the command's own work has begun
	dialled engine
	closers []func()
}

func (a *app) close() {
	for _, c := range a.closers {
		c()
	}
}

// say writes a line for people to stderr.
func (a *app) say(format string, args ...any) {
	for line := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
		fmt.Fprintln(a.stderr, clean(line))
	}
}

func (a *app) root() *cobra.Command {
	root := a.group("ferry", "Run orders from carts to warehouses",
		`Set up merchants, look at orders and holds, and act on them.

Without flags ferry talks to the standalone that runs on this machine. Elsewhere
DATABASE_URL, ORDERFERRY_KEY_FILE, TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE (or
Temporal's profiles) say where things are; a flag goes before the environment,
the environment before a file, and "ferry config show" says which won.

Results are on standard output, all else on standard error. The exit code is 0
when done, 1 when failed, 2 for bad usage.`,
		`  ferry merchant onboard --file merchant.yaml
  ferry order list --merchant acme --state held
  ferry order cancel --merchant acme --order SO-1042 --reason "buyer cancelled"`)
	flags := root.PersistentFlags()
	a.output = table
	flags.Var(word(&a.output, parseFormat, "format"), "output", "table or json")
	a.timeout = 30 * time.Second
	flags.Var(durationFlag{&a.timeout}, "timeout", "how long to wait for an answer")
	flags.StringVar(&a.given.database, "database-url", "", "Postgres `address` of the ledger ("+envDatabase+")")
	flags.StringVar(&a.given.keyFile, "key-file", "", "`file` that opens sealed credentials ("+envKeyFile+")")
	flags.StringVar(&a.given.address, "temporal-address", "", "`host:port` of Temporal ("+envAddress+")")
	flags.StringVar(&a.given.namespace, "namespace", "", "Temporal namespace `name` ("+envNamespace+")")
	root.AddCommand(a.migrateCommand(), a.configCommand(), a.merchantCommand(), a.connectionCommand(), a.aliasCommand(), a.kitCommand(), a.orderCommand(), a.holdCommand(), a.exportCommand(), a.alertCommand(), a.inventoryCommand())
	root.CompletionOptions.DisableDefaultCmd = true
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetHelpTemplate(helpTemplate)
	root.SetUsageTemplate(helpTemplate)
	root.Version = version()
	root.SetVersionTemplate("ferry {{.Version}}\n")
	return root
}

// version is the release that this was built from, or the revision of its source.
func version() string {
	b, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v, revision := b.Main.Version, ""
	for _, s := range b.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			revision += ", changed"
		}
	}
	if v == "" {
		v = "(devel)"
	}
	if revision != "" {
		v += " (" + revision + ")"
	}
	return v + " " + b.GoVersion
}

// Help ends with examples, for those are what people copy.
const helpTemplate = `{{with (or .Long .Short)}}{{. | trimTrailingWhitespaces}}{{end}}

Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} [command]{{else}}{{.UseLine}}{{end}}{{if .HasAvailableSubCommands}}

Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

Global flags:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}
`

// group is a noun: it shows its verbs.
func (a *app) group(noun, short, long, example string) *cobra.Command {
	return &cobra.Command{
		Use: noun, Short: short, Long: long, Example: example, SuggestionsMinimumDistance: 2,
		// The flags are those of the verb that was meant: its name is what is wrong.
		FParseErrWhitelist: cobra.FParseErrWhitelist{UnknownFlags: true},
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			err := fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())
			if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
				err = fmt.Errorf("%w: did you mean %s?", err, strings.Join(like, " or "))
			}
			return err
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(a.stderr)
			if err := cmd.Help(); err != nil {
				return err
			}
			return errHelpShown
		},
	}
}

// verb is a command that does something, within the timeout.
func (a *app) verb(c cobra.Command, do func(ctx context.Context, args []string) error) *cobra.Command {
	if c.Args == nil {
		c.Args = noArgument
	}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		a.began = true
		ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
		defer cancel()
		err := do(ctx, args)
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
			err = fmt.Errorf("%w; gave up after %s, --timeout allows more", err, a.timeout)
		}
		return err
	}
	return &c
}

// noArgument refuses an argument, and says which flag it was most likely meant for.
func noArgument(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	for _, name := range []string{"order", "merchant", "connection", "id", "sku"} {
		if f := cmd.Flags().Lookup(name); f != nil && !f.Changed {
			return fmt.Errorf("%s takes no argument: want --%s %s", cmd.CommandPath(), name, args[0])
		}
	}
	return fmt.Errorf("%s takes no argument: %q", cmd.CommandPath(), args[0])
}

// How long long verbs wait.
const (
	noLimit = 100 * 365 * 24 * time.Hour // longer than anything takes
	aWhile  = 15 * time.Minute           // for what a worker does at its next turn
)

// longVerb is a verb that waits for longer than others, unless another timeout
// was asked for.
func (a *app) longVerb(c cobra.Command, timeout time.Duration, do func(ctx context.Context, args []string) error) *cobra.Command {
	c.PreRun = func(cmd *cobra.Command, _ []string) {
		if !cmd.Flags().Changed("timeout") {
			a.timeout = timeout
		}
	}
	return a.verb(c, do)
}
