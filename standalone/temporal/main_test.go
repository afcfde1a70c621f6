package temporal_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"

	"go.uber.org/goleak"

	"orderferry/standalone/temporal"
)

// serveFile, when set, makes the test binary a server on that file until it is killed: see startProcess.
const serveFile = "ORDERFERRY_TEST_SERVE_FILE"

func TestMain(m *testing.M) {
	if file := os.Getenv(serveFile); file != "" {
		serve(file)
	}
	goleak.VerifyTestMain(m,
		// The server's SQLite plugin keeps one connection a file for the life of the process,
		goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"),
		// and the server never stops the workers of its own scanners, nor the connections they poll over.
		goleak.IgnoreAnyFunction("go.temporal.io/sdk/internal.(*baseWorker).runPoller"),
		goleak.IgnoreAnyFunction("go.temporal.io/sdk/internal.(*baseWorker).runTaskDispatcher"),
		goleak.IgnoreAnyFunction("go.temporal.io/sdk/internal.(*baseWorker).runEagerTaskDispatcher"),
		goleak.IgnoreAnyFunction("go.temporal.io/sdk/internal.(*baseWorker).Start.func2"),
		goleak.IgnoreAnyFunction("go.temporal.io/sdk/internal.(*sharedNamespaceWorker).run"),
		goleak.IgnoreAnyFunction("google.golang.org/grpc/internal/grpcsync.(*CallbackSerializer).run"),
		goleak.IgnoreAnyFunction("google.golang.org/grpc.(*addrConn).connect"),
	)
}

// serve tells its parent where it listens, and ends when the parent lets go of its standard input.
func serve(file string) {
	server, err := temporal.Start(context.Background(), temporal.Config{File: file})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(server.Address())
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(1)
}
