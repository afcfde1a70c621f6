package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"orderferry/activities"
	"orderferry/worker/process"
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
}

// ready is what a worker reports once it is up.
const ready = "=ready"

// workerCommand is the worker process: the real worker, with points.
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
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	p := newPoints(report, o.Aim, kill)
	worker.SetBinaryChecksum("faults") // else each start reads the whole program
	if o.Cold {
		worker.SetStickyWorkflowCacheSize(0)
	}
	o.Activities.Watcher = p
	return process.Run(ctx, process.Config{
		DatabaseURL: o.DatabaseURL, KeyFile: o.KeyFile, Temporal: client.Options{HostPort: o.Temporal, Namespace: client.DefaultNamespace},
		Activities: o.Activities, Log: log,
		Transport: &transport{process.NewTransport(), p, o.Vendors}, Tracer: tracer{p},
	}, func(string) { _, _ = fmt.Fprintln(report, ready) })
}

// kill ends this process as a power cut would: nothing of it runs on.
func kill() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
