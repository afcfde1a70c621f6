// Command worker runs Orderferry's workflows and steps. Any number may run at
// once; nothing depends on a worker's memory or disk.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"orderferry/worker/process"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) int {
	usage := true
	var verbose bool
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Run the workflows and steps of Orderferry",
		Long: `Run the workflows and steps of Orderferry until stopped.

DATABASE_URL is the ledger, ORDERFERRY_KEY_FILE opens the sealed credentials,
TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE (and Temporal's other variables and
profiles) say where Temporal is. ORDERFERRY_LISTEN (default 127.0.0.1:9090)
serves /healthz, /readyz and /metrics. ORDERFERRY_LOOK_AGAIN (default
5s,30s,2m,10m) are the pauses between looks for an order whose outcome is unknown.

ORDERFERRY_SMTP_URL, such as smtp://user:password@mail.example.com:587, and
ORDERFERRY_SMTP_FROM are the mail server and the sender of e-mail about alerts.

TEMPORAL_DEPLOYMENT_NAME and TEMPORAL_WORKER_BUILD_ID, together, turn on Temporal's
worker versioning. ORDERFERRY_HOLD_BACK=true lets workers of the release before
take over what this one begins: set it while a new release is rolled out.`,
		Example:       "  DATABASE_URL=postgres://ferry@db/orderferry ORDERFERRY_KEY_FILE=/etc/orderferry/key.json worker",
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			level := slog.LevelInfo
			if verbose {
				level = slog.LevelDebug
			}
			cfg, err := process.FromEnv(env, process.NewLog(level))
			if err != nil {
				return err
			}
			usage = false
			return process.Run(cmd.Context(), cfg, nil)
		},
	}
	cmd.Flags().BoolVar(&verbose, "verbose", false, "log details")
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(stderr, "worker:", err)
		if usage {
			return 2
		}
		return 1
	}
	return 0
}
