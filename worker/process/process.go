// Package process is the worker process: it runs the workflows and the steps of
// every connector, each connector on a task queue of its own, and serves health
// and metrics.
package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/uber-go/tally/v4"
	tallyprom "github.com/uber-go/tally/v4/prometheus"
	"go.temporal.io/sdk/client"
	sdktally "go.temporal.io/sdk/contrib/tally"
	"go.temporal.io/sdk/interceptor"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"

	"orderferry/activities"
	"orderferry/connectors/registry"
	"orderferry/store"
	"orderferry/workflows"
)

// Config is what a worker process needs.
type Config struct {
	DatabaseURL string
	KeyFile     string         // opens the sealed credentials
	Temporal    client.Options // address, namespace, TLS; the process adds logger and metrics
	// Listen is where /healthz, /readyz and /metrics are served: host:port. Empty: nowhere.
	Listen     string
	Activities activities.Options
	Log        *slog.Logger
	Deploy     Deploy
	// Grace is how long steps in progress may take to end on a stop. Default 20 s.
	Grace time.Duration
	// Transport carries the requests to all vendors. Default NewTransport.
	Transport http.RoundTripper
	// Tracer hears of every statement to the ledger. nil: none.
	Tracer pgx.QueryTracer
}

// Run works until ctx ends, then lets steps in progress come to an end. It
// calls ready, if not nil, once everything is up, with the address it listens on.
func Run(ctx context.Context, cfg Config, ready func(listen string)) error {
	if cfg.Grace <= 0 {
		cfg.Grace = 20 * time.Second
	}
	if cfg.Transport == nil {
		cfg.Transport = NewTransport()
	}
	keyring, err := store.OpenKeyring(cfg.KeyFile)
	if err != nil {
		return err
	}
	ledger, err := store.Open(ctx, cfg.DatabaseURL, keyring, store.WithTracer(cfg.Tracer))
	if err != nil {
		return err
	}
	defer ledger.Close()

	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), ledgerCollector{ledger, cfg.Log})
	scope, closeScope := tally.NewRootScope(tally.ScopeOptions{
		CachedReporter: tallyprom.NewReporter(tallyprom.Options{
			Registerer: metrics, DefaultTimerType: tallyprom.HistogramTimerType,
			OnRegisterError: func(err error) { cfg.Log.Warn("a metric could not be registered", "error", err) },
		}),
		Separator: tallyprom.DefaultSeparator, SanitizeOptions: &sdktally.PrometheusSanitizeOptions,
	}, time.Second)
	defer closeScope.Close()
	cfg.Temporal.Logger = sdklog.NewStructuredLogger(cfg.Log)
	cfg.Temporal.MetricsHandler = sdktally.NewMetricsHandler(sdktally.NewPrometheusNamingScope(scope))
	temporal, err := client.DialContext(ctx, cfg.Temporal)
	if err != nil {
		return fmt.Errorf("connect to Temporal at %s: %w", cfg.Temporal.HostPort, err)
	}
	defer temporal.Close()

	server, listen, err := serve(cfg, metrics, ledger, temporal)
	if err != nil {
		return err
	}
	defer server.Close()

	var started []worker.Worker
	defer func() {
		// All stop at once: each waits for its own steps, up to the grace.
		done := make(chan struct{})
		for _, w := range started {
			go func() { w.Stop(); done <- struct{}{} }()
		}
		for range started {
			<-done
		}
	}()
	failed := make(chan error, 1)
	for _, w := range newWorkers(temporal, ledger, cfg, func(err error) {
		select {
		case failed <- err:
		default:
		}
	}) {
		if err := w.Start(); err != nil {
			return fmt.Errorf("start a worker: %w", err)
		}
		started = append(started, w)
	}
	cfg.Log.Info("the worker is up", "temporal", cfg.Temporal.HostPort, "namespace", cfg.Temporal.Namespace, "listen", listen)
	if ready != nil {
		ready(listen)
	}
	select {
	case <-ctx.Done():
		cfg.Log.Info("the worker stops; steps in progress may end first", "grace", cfg.Grace)
		return nil
	case err := <-failed:
		return fmt.Errorf("a worker gave up: %w", err)
	}
}

// newWorkers makes a worker for the workflows, one for alerts and one for each connector.
func newWorkers(temporal client.Client, ledger *store.Store, cfg Config, fatal func(error)) []worker.Worker {
	host, _ := os.Hostname()
	options := worker.Options{
		Identity:          fmt.Sprintf("orderferry@%s/%d", host, os.Getpid()),
		WorkerStopTimeout: cfg.Grace,
		OnFatalError:      fatal,
		Interceptors:      []interceptor.WorkerInterceptor{activities.ErrorInterceptor()},
	}
	cfg.Deploy.apply(&options)
	all := registry.All()
	cfg.Activities.Bell = bell{temporal}
	steps := activities.New(ledger, all, cfg.Transport, cfg.Log, cfg.Activities)
	main := worker.New(temporal, workflows.TaskQueue, options)
	workflows.Register(main)
	main.RegisterActivity(steps)
	list := []worker.Worker{main}
	queues := []string{workflows.AlertsQueue}
	for _, c := range all {
		queues = append(queues, workflows.ConnectorQueue(c.Name))
	}
	for _, q := range queues {
		// A few at once, so that one merchant's long step does not keep the others waiting.
		o := options
		o.MaxConcurrentActivityExecutionSize = 32
		o.DisableWorkflowWorker = true
		w := worker.New(temporal, q, o)
		w.RegisterActivity(steps)
		list = append(list, w)
	}
	return list
}

// NewTransport makes what carries the requests to all vendors.
func NewTransport() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 64
	t.ResponseHeaderTimeout = 2 * time.Minute
	return t
}

// serve answers health checks and metrics on a loopback address unless told otherwise.
func serve(cfg Config, metrics *prometheus.Registry, ledger *store.Store, temporal client.Client) (*http.Server, string, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		_, terr := temporal.CheckHealth(ctx, &client.CheckHealthRequest{})
		if ledger.Ping(ctx) != nil || terr != nil {
			http.Error(w, "Postgres or Temporal does not answer", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	if cfg.Listen == "" {
		return server, "", nil
	}
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, "", fmt.Errorf("listen for health checks and metrics: %w", err)
	}
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			cfg.Log.Error("health checks and metrics ended", "error", err)
		}
	}()
	return server, l.Addr().String(), nil
}
