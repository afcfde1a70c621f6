package faults

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"orderferry/standalone/demo"
)

// Command is "standalone faults". dir is the data directory.
func Command(dir *string, stdout, stderr io.Writer) *cobra.Command {
	cfg := Config{Command: again, Pace: pace, Life: 3 * time.Second, Patience: 6 * time.Minute, Out: stdout}
	cmd := &cobra.Command{
		Use:   "faults",
		Short: "Break everything while orders flow, and audit the books",
		Long: `Break everything while orders flow, and then hold the books of the simulated shops
and warehouses against the ledger. The workers are processes of their own. They
kill themselves with SIGKILL at named points (before and after each request to a
vendor, each step with files and each statement of the ledger), are killed at random in
mid work, or are asked to stop. Postgres is restarted and cut off, Temporal is restarted, and the
vendors fail in every way that the simulators know. Orders are short of stock,
unknown, cancelled by the cart and by operators, put on hold, reopened, edited, and
shipped in parts.

A third of the merchants have their books compared, with orders at the warehouse
that nobody here sent, that are there twice or had been refused; another third have
their people called by a webhook, which fails in its own ways. Both make up for what
is lost elsewhere, and so the last third has neither; of what is lost there, only
the looks at alerts every five minutes make up for holds without a workflow.

It prints what it did and what is wrong: lost, duplicated, wrongly shipped, not
told, told twice, stuck without a reason, people not called, each with its trail; it
exits with 1 unless all are 0. With the defaults it takes about 45 minutes on two cores.

The seed decides what is sold, what is done to it, which faults and outages come
after how many kills, and how each worker's life ends. The same seed draws the
same again. What meets what, and which of the points that are known by then a draw
means, depends on timing: so a seed repeats a run as far as timing allows.`,
		Example: `  standalone faults
  standalone faults --orders 1000 --kills 60 --seed 7 --keep`,
		Args: cobra.NoArgs,
		PreRunE: func(*cobra.Command, []string) error {
			for _, f := range []struct {
				name         string
				n, from, top int
			}{
				{"orders", cfg.Orders, 1, 1_000_000}, {"kills", cfg.Kills, 1, 100_000}, {"merchants", cfg.Merchants, 1, 50}, {"workers", cfg.Workers, 1, 50},
			} {
				if f.n < f.from || f.n > f.top {
					return fmt.Errorf("--%s %d: want %d to %d", f.name, f.n, f.from, f.top)
				}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cfg.Seed == 0 {
				cfg.Seed = rand.Uint64N(1e9) + 1
			}
			cfg.Dir = *dir
			cfg.Log = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelError}))
			slog.SetDefault(cfg.Log)
			cfg.Restarts, cfg.Cuts, cfg.Temporals = max(1, cfg.Kills/100), max(1, cfg.Kills/60), max(1, cfg.Kills/150)
			cfg.VendorEach = max(1, cfg.Kills/25)
			_, err := Run(cmd.Context(), cfg)
			return err
		},
	}
	cmd.Flags().IntVar(&cfg.Orders, "orders", 10_000, "orders to sell")
	cmd.Flags().IntVar(&cfg.Kills, "kills", 1000, "workers to kill")
	cmd.Flags().IntVar(&cfg.Merchants, "merchants", 30, "merchants: what a killed worker did rests for 15 seconds, so there should be others")
	cmd.Flags().IntVar(&cfg.Workers, "workers", 4, "worker processes at a time")
	cmd.Flags().Uint64Var(&cfg.Seed, "seed", 0, "what to draw from; 0: a new one, which is printed")
	cmd.Flags().BoolVar(&cfg.Keep, "keep", false, "keep the directory with the ledger, Temporal's file and the workers' log")
	cmd.AddCommand(workerCommand())
	return cmd
}

// pace is how often the merchants' jobs run: often enough that there is always
// work, seldom enough for two cores.
var pace = demo.Pace{Orders: 3 * time.Second, Shipments: 3 * time.Second, Inventory: 10 * time.Second}

// again runs this program as a worker.
func again() *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	cmd := exec.Command(self, "faults", "worker")
	cmd.Env = os.Environ()
	return cmd
}
