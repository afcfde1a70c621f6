// Package simtest has what the tests of the simulated vendors share: a clock that
// stands still and a simulator behind real HTTP.
package simtest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Clock is one that tests move by hand. It is safe for concurrent use.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// NewClock stands at a time.
func NewClock(at time.Time) *Clock { return &Clock{at: at} }

// Now is the time that the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Pass moves the clock on.
func (c *Clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// Simulator is a simulated vendor.
type Simulator interface {
	Handler() http.Handler // the vendor's own surface
	Control() http.Handler
	Close() error
}

// Stand is a simulator behind real HTTP.
type Stand struct {
	t               testing.TB
	sim             Simulator
	vendor, control *httptest.Server
	Client          *http.Client // does not follow redirects
}

// Start serves a simulator. The caller stops it.
func Start(t testing.TB, sim Simulator) *Stand {
	return &Stand{t: t, sim: sim, vendor: httptest.NewServer(sim.Handler()), control: httptest.NewServer(sim.Control()),
		Client: &http.Client{
			Transport:     &http.Transport{MaxIdleConnsPerHost: 16},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}}
}

// URL is where the vendor's surface begins.
func (s *Stand) URL() string { return s.vendor.URL }

// Stop closes the simulator, which ends its open answers, and then the servers.
func (s *Stand) Stop() {
	s.Client.CloseIdleConnections()
	require.NoError(s.t, s.sim.Close())
	s.vendor.Close()
	s.control.Close()
}

// Answer is what came back, read to its end.
type Answer struct {
	Status int
	Header http.Header
	Raw    []byte
}

// Do sends a request.
func (s *Stand) Do(r *http.Request) (Answer, error) {
	resp, err := s.Client.Do(r)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return Answer{resp.StatusCode, resp.Header, raw}, err
}

// Control sends a body to the control surface and wants a status: a string as it
// is, anything else as JSON, nil as nothing.
func (s *Stand) Control(status int, method, path string, body any) []byte {
	s.t.Helper()
	var raw []byte
	switch b := body.(type) {
	case nil:
	case string:
		raw = []byte(b)
	default:
		var err error
		raw, err = json.Marshal(b)
		require.NoError(s.t, err)
	}
	r, err := http.NewRequest(method, s.control.URL+path, bytes.NewReader(raw))
	require.NoError(s.t, err)
	a, err := s.Do(r)
	require.NoError(s.t, err)
	require.Equal(s.t, status, a.Status, "%s %s: %s", method, path, a.Raw)
	return a.Raw
}

// Killed stops a simulator and leaves its journal as kill -9 would have: nothing
// that Close writes counts.
func Killed(t testing.TB, journal string, stop func()) {
	t.Helper()
	raw, err := os.ReadFile(journal)
	require.NoError(t, err)
	stop()
	require.NoError(t, os.WriteFile(journal, raw, 0o600))
}
