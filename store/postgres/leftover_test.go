package postgres

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStartStopsAServerThatOutlivedItsProcess(t *testing.T) {
	dir := place(t)
	server := startQuietly(t, dir)
	require.NoError(t, server.Stop(t.Context()))
	orphan := launchOrphan(t, dir)
	require.True(t, serves(orphan.cmd.Process.Pid, filepath.Join(dir, "data")))

	server = startQuietly(t, dir)
	<-orphan.done
	require.True(t, orphan.cmd.ProcessState.Success(), "%v: it was shut down, not killed", orphan.cmd.ProcessState)
	require.NoError(t, server.knock(t.Context()))
}

// launchOrphan runs a server that nobody holds the lock for.
func launchOrphan(t *testing.T, dir string) *process {
	t.Helper()
	data := filepath.Join(dir, "data")
	who, err := accountFor(data)
	require.NoError(t, err)
	bin, err := Find()
	require.NoError(t, err)
	port, err := freePort()
	require.NoError(t, err)
	args := []string{"-D", data}
	for _, setting := range settings(port) {
		args = append(args, "-c", setting)
	}
	orphan, err := launch(filepath.Join(bin, "postgres"), args, who, data, io.Discard)
	require.NoError(t, err)
	t.Cleanup(func() { _ = orphan.stop(nil) })
	password, err := os.ReadFile(filepath.Join(dir, "password"))
	require.NoError(t, err)
	s := &Server{process: orphan, port: port, password: strings.TrimSpace(string(password)), log: new(logFile)}
	require.NoError(t, s.ready(t.Context()))
	return orphan
}

// After a crash of the machine, or in a new container, the number in postmaster.pid may be anyone's.
func TestStartLeavesAloneWhoeverHasTheOldServersNumber(t *testing.T) {
	dir := place(t)
	server := startQuietly(t, dir)
	require.NoError(t, server.Stop(t.Context()))
	data := filepath.Join(dir, "data")
	who, err := accountFor(data)
	require.NoError(t, err)
	// Of the same user, since PostgreSQL minds only those.
	bystander := exec.CommandContext(t.Context(), "sleep", "600")
	bystander.SysProcAttr = &syscall.SysProcAttr{Credential: who.credential()}
	require.NoError(t, bystander.Start())
	pid := strconv.Itoa(bystander.Process.Pid)
	stale := pid + "\n" + data + "\n1700000000\n5432\n\n127.0.0.1\n  4711 0\nready   \n"
	file := filepath.Join(data, "postmaster.pid")
	require.NoError(t, os.WriteFile(file, []byte(stale), 0o600))
	require.NoError(t, who.own(file))

	server = startQuietly(t, dir)
	require.NoError(t, server.knock(t.Context()))
	require.NoError(t, bystander.Process.Signal(syscall.Signal(0)), "still there")
	require.NoError(t, bystander.Process.Kill())
	_ = bystander.Wait()
}

func place(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "orderferry-postgres-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o711))
	return dir
}

func startQuietly(t *testing.T, dir string) *Server {
	t.Helper()
	server, err := Start(t.Context(), Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	return server
}
