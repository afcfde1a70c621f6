package postgres_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"

	"go.uber.org/goleak"

	"orderferry/store/postgres"
)

// serveDir, when set, makes the test binary run a server on that directory until it is killed: see startProcess.
const serveDir = "ORDERFERRY_TEST_SERVE_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(serveDir); dir != "" {
		serve(dir)
	}
	goleak.VerifyTestMain(m)
}

// serve tells its parent where the server is, and ends when the parent lets go of its standard input.
func serve(dir string) {
	server, err := postgres.Start(context.Background(), postgres.Config{Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(server.URL("postgres"))
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(1)
}
