package faults

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// echo answers every line with itself.
func echo(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer conn.Close(); _, _ = io.Copy(conn, conn) }()
		}
	}()
	return l.Addr().String()
}

type line struct {
	net.Conn
	*bufio.Reader
}

func dial(t *testing.T, p *proxy) line {
	conn, err := net.Dial("tcp", p.addr())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return line{conn, bufio.NewReader(conn)}
}

// says sends a line and returns what comes back within a while.
func (l line) says(t *testing.T, within time.Duration) (string, error) {
	if _, err := l.Write([]byte("hello\n")); err != nil {
		return "", err
	}
	require.NoError(t, l.SetReadDeadline(time.Now().Add(within)))
	return l.ReadString('\n')
}

func TestTheProxyCutsAndMends(t *testing.T) {
	for _, how := range []cut{refused, stalled, severed} {
		t.Run(string(how), func(t *testing.T) {
			p, err := newProxy(echo(t))
			require.NoError(t, err)
			defer func() { require.NoError(t, p.close()) }()
			before := dial(t, p)
			said, err := before.says(t, time.Minute)
			require.NoError(t, err)
			require.Equal(t, "hello\n", said)

			p.cut(how)
			_, err = before.says(t, 100*time.Millisecond)
			require.Error(t, err)
			if conn, err := net.Dial("tcp", p.addr()); err == nil { // or it was reset at once
				_, err = line{conn, bufio.NewReader(conn)}.says(t, 100*time.Millisecond)
				require.Error(t, err)
				conn.Close()
			}
			p.mend()
			require.NoError(t, before.SetReadDeadline(time.Now().Add(time.Minute)))
			said, err = before.ReadString('\n')
			if how == stalled {
				require.NoError(t, err, "it went on where it stood")
				require.Equal(t, "hello\n", said)
			} else {
				require.Error(t, err)
			}
			after := dial(t, p)
			said, err = after.says(t, time.Minute)
			require.NoError(t, err)
			require.Equal(t, "hello\n", said)
		})
	}
}
