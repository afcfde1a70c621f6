// Command standalone runs all of Orderferry on one machine: a private Postgres,
// an embedded Temporal with its Web UI, and a worker; with --demo also simulated
// shops and warehouses.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"orderferry/activities"
	"orderferry/notify"
	"orderferry/standalone/bench"
	"orderferry/standalone/demo"
	"orderferry/standalone/faults"
	"orderferry/standalone/local"
	"orderferry/standalone/shop"
	"orderferry/starter/localfile"
	"orderferry/worker/process"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// options are the flags.
type options struct {
	dir, databaseURL, look string
	demo, untilIdle        bool
	orders                 int
	verbose                bool
	mail                   *notify.Mailer
}

func run(ctx context.Context, args []string, env func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	var o options
	running := false
	cmd := &cobra.Command{
		Use:   "standalone",
		Short: "Run all of Orderferry on one machine",
		Long: `Run all of Orderferry on one machine until stopped: a private Postgres, an
embedded Temporal with its Web UI, and a worker, all below one data directory and
all on loopback. It survives kill -9: start it again on the same data.

With --demo, simulated shops sell and simulated warehouses ship: some orders are
short of stock, some have an unknown SKU, some are cancelled, some leave in
several packages. One merchant has two carts, TradeGecko and files, and EasyPost
for a warehouse; one has QuickBooks Commerce and Bergen Logistics; one has files
on both sides.

ORDERFERRY_SMTP_URL and ORDERFERRY_SMTP_FROM name the mail server and the sender
of e-mail about alerts.`,
		Example: `  standalone --demo
  standalone --demo --orders 500 --until-idle
  standalone --data /srv/orderferry`,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (o.untilIdle || o.orders != 0) && !o.demo {
				return fmt.Errorf("--orders and --until-idle go with --demo")
			}
			if o.orders < 0 || (o.untilIdle && o.orders == 0) {
				return fmt.Errorf("--orders %d: want 1 or more with --until-idle", o.orders)
			}
			if env(local.EnvDatabase) != "" && o.databaseURL == "" {
				o.databaseURL = env(local.EnvDatabase)
			}
			looks, err := activities.ParseLooks(o.look)
			if err != nil {
				return fmt.Errorf("--look-again %w", err)
			}
			if o.mail, err = process.MailFromEnv(env); err != nil {
				return err
			}
			running = true
			return serve(cmd.Context(), o, looks, stdout, stderr)
		},
	}
	flags := cmd.Flags()
	cmd.PersistentFlags().StringVar(&o.dir, "data", localfile.Dir(env), "data directory (ORDERFERRY_DATA)")
	flags.StringVar(&o.databaseURL, "database-url", "", "use this Postgres instead of a private one (ORDERFERRY_DATABASE_URL)")
	flags.BoolVar(&o.demo, "demo", false, "add simulated shops and warehouses and three merchants")
	flags.IntVar(&o.orders, "orders", 0, "with --demo: sell so many orders in all; 0 sells on and on")
	flags.BoolVar(&o.untilIdle, "until-idle", false, "with --demo and --orders: exit with a summary when all have come to their end")
	flags.StringVar(&o.look, "look-again", "", "pauses between looks for an order whose outcome is unknown (default 5s,30s,2m,10m; with --demo 1s,2s,4s)")
	cmd.PersistentFlags().BoolVar(&o.verbose, "verbose", false, "log what the worker does")
	cmd.AddCommand(bench.Command(&o.dir, stdout, stderr), faults.Command(&o.dir, stdout, stderr), simulateCommand(stdin, stdout))
	for _, sub := range cmd.Commands() {
		work := sub.RunE
		sub.RunE = func(cmd *cobra.Command, args []string) error {
			running = true
			return work(cmd, args)
		}
	}
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(stderr, "standalone:", err)
		if running {
			return 1
		}
		return 2 // bad usage: nothing was started
	}
	return 0
}

func serve(ctx context.Context, o options, looks []time.Duration, stdout, stderr io.Writer) error {
	level := slog.LevelError
	if o.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	slog.SetDefault(log)
	announce := o.dir
	if o.demo {
		o.dir = filepath.Join(o.dir, "demo")
		if len(looks) == 0 {
			looks = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}
		}
	}
	cfg := local.Config{
		Dir: o.dir, Announce: announce, DatabaseURL: o.databaseURL, Log: log, Activities: activities.Options{Looks: looks, Mail: o.mail},
		Progress: func(format string, args ...any) { fmt.Fprintf(stdout, format+"\n", args...) },
	}
	if !o.demo {
		return local.Run(ctx, cfg, func(ctx context.Context, in local.Instance) error {
			fmt.Fprintf(stdout, "Orderferry is up. Temporal Web UI %s; health and metrics http://%s; data in %s\n"+
				"Next, in another shell: ferry merchant onboard -f merchant.yaml\n", in.UI, in.Health, in.Dir)
			<-ctx.Done()
			return nil
		})
	}
	return local.Run(ctx, cfg, func(ctx context.Context, in local.Instance) error {
		shops, err := shop.Open(shop.Config{
			Dir: in.Dir, Merchants: demo.Merchants(), FirstPort: 8240, Seed: 1,
			Progress: shop.Progress{ProcessAfter: time.Second, ShipAfter: time.Second, TransitAfter: time.Minute, DeliverAfter: 5 * time.Minute, PackagesEvery: 5},
		})
		if err != nil {
			return err
		}
		defer shops.Close()
		return demo.Run(ctx, demo.Config{Instance: in, Shops: shops, Orders: o.orders, UntilIdle: o.untilIdle, Out: stdout, Log: log})
	})
}
