package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"orderferry/activities"
	"orderferry/relay"
	"orderferry/store"
	"orderferry/worker/process"
	"orderferry/workflows"
)

// ordersVariable holds a worker's orders, as JSON.
const ordersVariable = "ORDERFERRY_FAULTS_WORKER"

// reportFile is where a worker reports: the first of its extra files.
const reportFile = 3

// orders are what a worker process is told.
type orders struct {
	DatabaseURL string             `json:"database_url"`
	KeyFile     string             `json:"key_file"`
	Temporal    string             `json:"temporal"`
	Activities  activities.Options `json:"activities"`
	Vendors     map[string]string  `json:"vendors"` // by host and port
	Aim         aim                `json:"aim"`
	// Cold has it keep no workflow in memory: what a server reserved for a worker
	// that is dead waits for it for 5 seconds.
	Cold bool `json:"cold,omitempty"`
	// Hold makes it ferry, and not a worker.
	Hold *holding `json:"hold,omitempty"`
}

// holding is what ferry order hold is told.
type holding struct {
	Merchant relay.MerchantID `json:"merchant"`
	Order    relay.OrderID    `json:"order"`
	Actor    string           `json:"actor"`
	Hold     relay.Hold       `json:"hold"`
}

// What ferry reports of a hold.
const (
	itIsHeld = "held"
	tooLate  = "too late"
)

// run does what ferry order hold does: it writes the hold, and then tells the
// merchant's workflow.
func (r *holding) run(ctx context.Context, o orders, p *points) error {
	ledger, err := store.Open(ctx, o.DatabaseURL, nil, store.WithTracer(tracer{p}))
	if err != nil {
		return err
	}
	defer ledger.Close()
	answer, err := ledger.HoldOrder(ctx, r.Order, r.Hold, r.Actor)
	if err != nil {
		return err
	}
	said := tooLate
	if answer.Held {
		said = itIsHeld
	}
	_, _ = fmt.Fprintln(p.report, "="+said)
	if !answer.Held {
		return nil
	}
	temporal, err := client.DialContext(ctx, client.Options{HostPort: o.Temporal, Logger: quiet{}})
	if err != nil {
		return err
	}
	defer temporal.Close()
	return ask(ctx, temporal, workflows.MerchantID(r.Merchant), workflows.SyncNow, workflows.JobRequest{Job: relay.SubmitOrders}, nil)
}

// What a worker reports: that it is up, and what made it end.
const (
	ready          = "=ready"
	withoutServers = "without Postgres or Temporal"
)

// grace is how long a worker that is asked to stop waits for its steps: little, so that some are broken off.
const grace = 3 * time.Second

// workerCommand is the worker process: the real worker, with points; or ferry, with them.
func workerCommand() *cobra.Command {
	return &cobra.Command{
		Use: "worker", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return work(cmd.Context(), os.Getenv(ordersVariable), os.NewFile(reportFile, "report"))
		},
	}
}

// work is the real worker; only what carries its requests and statements passes points.
func work(ctx context.Context, told string, report io.Writer) error {
	var o orders
	if err := json.Unmarshal([]byte(told), &o); err != nil {
		return fmt.Errorf("%s: want a worker's orders: %w", ordersVariable, err)
	}
	if report == (*os.File)(nil) {
		return errors.New("no file to report to: this command is for the harness alone")
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	p := newPoints(report, o.Aim, kill)
	if o.Hold != nil {
		return o.Hold.run(ctx, o, p)
	}
	worker.SetBinaryChecksum("faults") // else each start reads the whole program
	if o.Cold {
		worker.SetStickyWorkflowCacheSize(0)
	}
	o.Activities.Watcher = p
	err := process.Run(ctx, process.Config{
		DatabaseURL: o.DatabaseURL, KeyFile: o.KeyFile, Temporal: client.Options{HostPort: o.Temporal, Namespace: client.DefaultNamespace},
		Activities: o.Activities, Log: log, Grace: grace,
		Transport: &transport{process.NewTransport(), p, o.Vendors}, Tracer: tracer{p},
	}, func(string) { _, _ = fmt.Fprintln(report, ready) })
	switch {
	case ctx.Err() != nil: // it was asked to stop before it was up
		return nil
	case noServers(err):
		_, _ = fmt.Fprintln(report, "="+withoutServers)
	case err != nil:
		_, _ = fmt.Fprintln(report, "="+strings.ReplaceAll(err.Error(), "\n", " "))
	}
	return err
}

// noServers reports whether an error says that Postgres or Temporal is away.
func noServers(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) { // 57P is shutting down and starting up, 08 a broken connection
		return strings.HasPrefix(pg.Code, "57P") || strings.HasPrefix(pg.Code, "08")
	}
	var network net.Error
	var connecting *pgconn.ConnectError
	var unavailable *serviceerror.Unavailable
	var late *serviceerror.DeadlineExceeded
	return errors.As(err, &network) || errors.As(err, &connecting) || errors.As(err, &unavailable) || errors.As(err, &late) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// kill ends this process as a power cut would: nothing of it runs on.
func kill() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
