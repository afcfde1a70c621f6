// Package bench measures end-to-end orders per second, beside two yardsticks in
// the same run: a bare loop over the same connectors without Postgres or
// Temporal, and one workflow per order with an activity per step.
package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"orderferry/standalone/demo"
	"orderferry/standalone/local"
	"orderferry/standalone/shop"
)

// config is what to measure.
type config struct {
	dir       string
	orders    int
	merchants int
	perOrder  int
	profile   string
	stdout    io.Writer
	stderr    io.Writer
}

// Command is "standalone bench".
func Command(dir *string, stdout, stderr io.Writer) *cobra.Command {
	cfg := config{stdout: stdout, stderr: stderr}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure orders per second, beside two yardsticks",
		Long: `Measure end-to-end orders per second with the simulators in a process of their
own, beside two yardsticks in the same run: a bare loop that calls the same
connectors with the same concurrency and neither Postgres nor Temporal, and one
workflow per order with an activity per step on the same server. Uses a fresh
directory below the data directory and removes it afterwards.`,
		Example: "  standalone bench --orders 10000 --merchants 4",
		Args:    cobra.NoArgs,
		PreRunE: func(*cobra.Command, []string) error {
			if cfg.orders < 1 || cfg.merchants < 1 || cfg.merchants > 50 || cfg.perOrder < 1 {
				return fmt.Errorf("--orders, --merchants (at most 50) and --per-order-workflows: want 1 or more")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.dir = *dir
			return cfg.run(cmd.Context())
		},
	}
	cmd.Flags().IntVar(&cfg.orders, "orders", 10000, "orders to relay in all")
	cmd.Flags().IntVar(&cfg.merchants, "merchants", 4, "merchants to spread them over")
	cmd.Flags().IntVar(&cfg.perOrder, "per-order-workflows", 400, "orders for the yardstick with one workflow per order")
	cmd.Flags().StringVar(&cfg.profile, "cpuprofile", "", "write a CPU profile of the part with Orderferry to this file")
	return cmd
}

func (c config) run(ctx context.Context) error {
	if err := os.MkdirAll(c.dir, 0o711); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(c.dir, "bench-")
	if err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	log := slog.New(slog.NewTextHandler(c.stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	slog.SetDefault(log)

	fmt.Fprintf(c.stdout, "bare loop: %d orders, %d merchants ...\n", c.orders, c.merchants)
	bare, err := c.measure(ctx, c.orders, func(ctx context.Context, s shops) (time.Duration, error) { return bareLoop(ctx, s, log) })
	if err != nil {
		return fmt.Errorf("bare loop: %w", err)
	}
	var full figures
	var perOrder time.Duration
	err = local.Run(ctx, local.Config{
		Dir: filepath.Join(dir, "data"), Log: log, Progress: func(string, ...any) {},
	}, func(ctx context.Context, in local.Instance) error {
		fmt.Fprintf(c.stdout, "orderferry: %d orders, %d merchants ...\n", c.orders, c.merchants)
		_, err := c.measure(ctx, c.orders, func(ctx context.Context, s shops) (time.Duration, error) {
			stop, err := c.startProfile()
			if err != nil {
				return 0, err
			}
			defer stop()
			full, err = relayAll(ctx, in, s, c.orders, c.stdout)
			return full.took, err
		})
		if err != nil {
			return fmt.Errorf("orderferry: %w", err)
		}
		fmt.Fprintf(c.stdout, "one workflow per order: %d orders ...\n", c.perOrder)
		perOrder, err = c.measure(ctx, c.perOrder, func(ctx context.Context, s shops) (time.Duration, error) {
			return workflowPerOrder(ctx, in, s, log)
		})
		return err
	})
	if err != nil {
		return err
	}
	return c.report(bare, full, perOrder)
}

func (c config) startProfile() (stop func(), err error) {
	if c.profile == "" {
		return func() {}, nil
	}
	f, err := os.Create(c.profile)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() { pprof.StopCPUProfile(); f.Close() }, nil
}

func rate(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }

func (c config) report(bare time.Duration, full figures, perOrder time.Duration) error {
	ours := rate(c.orders, full.took)
	t := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	fmt.Fprintln(t)
	row("orderferry", "%.0f orders/s (%d orders, %d merchants, %.1f s)", ours, c.orders, c.merchants, full.took.Seconds())
	row("bare loop", "%.0f orders/s; orderferry is %.2f of it", rate(c.orders, bare), ours/rate(c.orders, bare))
	row("one workflow per order", "%.0f orders/s (%d orders); orderferry is %.1f times it", rate(c.perOrder, perOrder), c.perOrder, ours/rate(c.perOrder, perOrder))
	per := func(n int) float64 { return float64(n) * 1000 / float64(c.orders) }
	row("Temporal actions per 1,000 orders", "%.1f (starts %.1f, timers %.1f, activities %.1f, signals %.1f, updates %.1f, children %.1f, continue-as-new %.1f, search attributes %.1f)",
		per(full.actions.total()), per(full.actions.starts), per(full.actions.timers), per(full.actions.activities), per(full.actions.signals),
		per(full.actions.updates), per(full.actions.children), per(full.actions.continued), per(full.actions.attributes))
	row("history per order", "%.0f bytes", float64(full.historyBytes)/float64(c.orders))
	row("Postgres per order", "%.0f bytes", float64(full.databaseBytes)/float64(c.orders))
	row("peak memory of this process", "%.0f MiB (worker, Temporal and its UI together)", float64(peakMemory())/(1<<20))
	return t.Flush()
}

// shops are simulators in a process of their own.
type shops struct {
	Merchants []string `json:"merchants"`
	CartURL   string   `json:"cart_url"`
	Warehouse []string `json:"warehouse_urls"`
	Orders    int      `json:"orders"` // in all
}

// account configures the i-th merchant.
func (s shops) account(i int) demo.Account {
	m := shop.Plain(s.Merchants[i])[0]
	m.Name = "bench " + m.ID
	return demo.Configure(m, []shop.Connection{shop.TradeGeckoConnection("tradegecko", m.ID, s.CartURL)}, shop.EasyPostConnection(m.ID, s.Warehouse[i]),
		demo.Pace{Orders: 10 * time.Second, Shipments: time.Second, Inventory: time.Hour})
}

// measure runs f against fresh simulators that hold n orders.
func (c config) measure(ctx context.Context, n int, f func(context.Context, shops) (time.Duration, error)) (time.Duration, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	merchants := make([]string, c.merchants)
	for i := range merchants {
		// Names of their own in each part, since the ledger keeps what was relayed before.
		merchants[i] = fmt.Sprintf("m%d-%d", n, i+1)
	}
	share := (n + c.merchants - 1) / c.merchants
	cmd := exec.CommandContext(ctx, self, "simulate", "--json", "--all-ship", "--merchants", strings.Join(merchants, ","),
		"--orders", fmt.Sprint(share), "--first-port", "0", "--every", "100ms")
	cmd.Stderr = c.stderr
	in, err := cmd.StdinPipe() // its end stops the simulators, whatever becomes of us
	if err != nil {
		return 0, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer func() { in.Close(); _ = cmd.Wait() }()
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		return 0, fmt.Errorf("start the simulators: %w", err)
	}
	s := shops{Merchants: merchants, Orders: share * c.merchants}
	if err := json.Unmarshal(line, &s); err != nil {
		return 0, fmt.Errorf("start the simulators: %w", err)
	}
	took, err := f(ctx, s)
	if err != nil || s.Orders == n {
		return took, err
	}
	// The share was rounded up.
	return time.Duration(float64(took) * float64(n) / float64(s.Orders)), nil
}
