package temporal_test

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/standalone/temporal"
)

func TestServerStaysOnTheLoopbackInterface(t *testing.T) {
	server := startServer(t, temporal.Config{File: filepath.Join(t.TempDir(), "temporal.db")})
	get(t, server.UIAddress()+"/api/v1/releases")

	sockets := ownSockets(t)
	require.GreaterOrEqual(t, len(sockets), 5, "four services and the Web UI")
	for _, socket := range sockets {
		require.True(t, loopbackHex(socket.local), "listens on, or calls from, %s", socket.local)
		require.True(t, loopbackHex(socket.remote) || strings.Trim(socket.remote, "0") == "", "calls %s", socket.remote)
	}
}

type socket struct{ local, remote string }

// ownSockets lists this process's TCP sockets, with their addresses as the kernel writes them.
func ownSockets(t *testing.T) []socket {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	require.NoError(t, err)
	own := map[string]bool{}
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil {
			own[strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")] = true
		}
	}
	var sockets []socket
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		file, err := os.Open(table)
		require.NoError(t, err)
		defer file.Close()
		for lines := bufio.NewScanner(file); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			if len(fields) > 9 && own[fields[9]] {
				local, _, _ := strings.Cut(fields[1], ":")
				remote, _, _ := strings.Cut(fields[2], ":")
				sockets = append(sockets, socket{local: local, remote: remote})
			}
		}
	}
	return sockets
}

// loopbackHex tells of an address such as 0100007F whether it is 127.0.0.0/8, be it within IPv6.
func loopbackHex(address string) bool {
	last, err := strconv.ParseUint(address[len(address)-8:], 16, 32)
	return err == nil && byte(last) == 127
}
