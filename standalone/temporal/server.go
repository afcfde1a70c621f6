package temporal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/server/temporal"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"orderferry/store/lockfile"
)

const loopback = "127.0.0.1"

// Config says how to run a server.
type Config struct {
	// File is the SQLite file that keeps everything; it is made if need be, its folder is not. Files beside it whose
	// names begin with its name belong to it too (-wal, -shm, .lock).
	File string

	// FrontendPort is where clients connect, UIPort where browsers do, both on 127.0.0.1. 0: any free one.
	FrontendPort, UIPort int

	// Namespace is made if need be. Default "default".
	Namespace string

	// Retention is how long the namespace keeps closed workflows, at least a day. It may be changed from one start to the
	// next. Default 7 days.
	Retention time.Duration

	// SearchAttributes of the namespace, by name. Some may be added from one start to the next; none is ever removed or
	// changes its type. There is room for ten keywords and three of each other type.
	SearchAttributes map[string]enumspb.IndexedValueType

	// DynamicConfig adds to, or overrides, the server's dynamic configuration.
	DynamicConfig map[string]any

	// Log gets the server's warnings and errors. Default: slog.Default().
	Log *slog.Logger
}

// A Server is a running Temporal server with its Web UI.
type Server struct {
	lock     *lockfile.Lock
	log      *logger
	frontend temporal.Server
	conn     *grpc.ClientConn
	ui       *webUI
	address  string
	stop     sync.Once
}

// Start runs a server and returns when it answers for the namespace. It fails when another process uses the file
// (lockfile.ErrHeld) or a port is taken. A file that a killed process left behind is as good as any.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	file, err := filepath.Abs(cfg.File)
	if err != nil {
		return nil, fmt.Errorf("start Temporal: %w", err)
	}
	cfg.File = file
	cfg.Namespace = cmp.Or(cfg.Namespace, "default")
	cfg.Retention = cmp.Or(cfg.Retention, 7*24*time.Hour)
	cfg.Log = cmp.Or(cfg.Log, slog.Default())
	s := &Server{log: newLogger(cfg.Log)}
	if err := s.start(ctx, cfg); err != nil {
		s.Stop()
		return nil, fmt.Errorf("start Temporal on %s: %w", file, err)
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, cfg Config) (err error) {
	s.lock, err = lockfile.Take(cfg.File + ".lock")
	if err != nil {
		return err
	}
	db := database(cfg.File)
	if err := prepare(ctx, cfg, db); err != nil {
		return err
	}
	ports, err := choosePorts(cfg.FrontendPort)
	if err != nil {
		return err
	}
	s.address = hostPort(ports.frontend)
	server, err := temporal.NewServer(options(cfg, db, ports, s.log)...)
	if err != nil {
		return err
	}
	s.frontend = server
	if err := server.Start(); err != nil {
		return err
	}
	s.conn, err = grpc.NewClient(s.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	if err := s.ready(ctx, cfg.Namespace); err != nil {
		return err
	}
	s.ui, err = startUI(cfg, s.address, s.conn)
	s.log.serving()
	return err
}

// patience bounds the wait for a server that has started to answer.
const patience = 30 * time.Second

func (s *Server) ready(ctx context.Context, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	service := workflowservice.NewWorkflowServiceClient(s.conn)
	for {
		_, err := service.DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: namespace},
			grpc.WaitForReady(true))
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for namespace %s: %w", namespace, errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}

// Address returns the host and port for clients.
func (s *Server) Address() string { return s.address }

// UIAddress returns the URL of the Web UI, such as http://127.0.0.1:8233.
func (s *Server) UIAddress() string { return s.ui.address }

// Stop takes the Web UI and the server down; open workflows go on at the next Start. It may be called twice.
func (s *Server) Stop() {
	s.stop.Do(func() {
		s.log.quieten()
		if s.ui != nil {
			s.ui.stop()
		}
		if s.conn != nil {
			_ = s.conn.Close()
		}
		if s.frontend != nil {
			if err := s.frontend.Stop(); err != nil {
				s.log.out.Error("stop Temporal", "error", err)
			}
		}
		if s.lock != nil {
			s.lock.Release()
		}
	})
}

// ports are those of the server's four services; only the frontend's is of interest to others.
type ports struct {
	frontend, history, matching, worker int
}

// choosePorts finds ports that are free now. The server ends the whole process if it can't have its port, so a taken
// one must be noticed before.
func choosePorts(frontend int) (ports, error) {
	var chosen [4]int
	for i, wanted := range [4]int{frontend} {
		listener, err := net.Listen("tcp4", hostPort(wanted))
		if err != nil {
			return ports{}, err
		}
		defer listener.Close() // held until all are chosen, so that they differ
		chosen[i] = listener.Addr().(*net.TCPAddr).Port
	}
	return ports{frontend: chosen[0], history: chosen[1], matching: chosen[2], worker: chosen[3]}, nil
}

func hostPort(port int) string {
	return net.JoinHostPort(loopback, strconv.Itoa(port))
}
