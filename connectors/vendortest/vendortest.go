// Package vendortest has what connectors' own tests share: an open connection to
// a scripted vendor, a log that can be read while it is written, and the check
// that nothing private was said. The suite that every connector passes is
// connectortest.
package vendortest

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
)

// Open opens a connection as a merchant's file would. What cfg lacks is filled
// in: a vault of the credentials, a transport that is closed with the test, and
// the names of merchant and connection.
func Open(t testing.TB, c connectors.Connector, cfg connectors.Config, credentials connectors.Credentials) connectors.Connection {
	t.Helper()
	var faults []*connectors.FieldError
	cfg.Settings, cfg.BaseURL, faults = c.Configure(cfg.BaseURL, cfg.Settings, credentials)
	require.Empty(t, faults)
	cfg.Merchant, cfg.Name = "acme", "main"
	if cfg.Vault == nil {
		cfg.Vault = &connectors.StaticVault{Credentials: credentials}
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	cfg.Transport = transport
	conn, err := c.Open(cfg)
	require.NoError(t, err)
	return conn
}

// HangUp closes the connection without an answer.
func HangUp(w http.ResponseWriter, _ *http.Request) {
	if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
		_ = conn.Close()
	}
}

// Log keeps what was logged. It is safe for concurrent use.
type Log struct {
	mu   sync.Mutex
	said bytes.Buffer
}

// Logger writes to the log.
func (l *Log) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said.Write(p)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said.String()
}

// RequireSafe fails if the log or an error holds one of the words: secrets, or
// parts of an address.
func (l *Log) RequireSafe(t testing.TB, err error, words ...string) {
	t.Helper()
	said := l.String()
	if err != nil {
		said += fmt.Sprintf("%v%+v", err, err)
	}
	for _, word := range words {
		require.NotContains(t, said, word)
	}
}
