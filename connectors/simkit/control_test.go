package simkit_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors/simkit"
)

func TestControl(t *testing.T) {
	c := simkit.NewControl(64)
	type asked struct {
		Name string          `json:"name"`
		Wait simkit.Duration `json:"wait"`
	}
	read := func(r *http.Request) (any, error) {
		in := asked{Name: "unnamed"}
		err := simkit.Read(r, &in)
		return in, err
	}
	c.Handle("PUT /thing", read)
	c.Create("POST /thing", read)
	c.Handle("DELETE /{why}", func(r *http.Request) (any, error) {
		return simkit.Done(map[string]error{"wrong": simkit.ErrWrongStep, "gone": fmt.Errorf("thing: %w", simkit.ErrNotFound), "odd": errors.New("odd")}[r.PathValue("why")])
	})
	kept := asked{Name: "kept"}
	set := func(next asked) error {
		if next.Name == "" {
			return errors.New("name: required")
		}
		kept = next
		return nil
	}
	simkit.Setting(c, "/setting", func() asked { return kept }, set, func(a *asked) any { return a })
	for _, q := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"PUT", "/thing", `{"name":"<a>","wait":"90s"}`, 200, `{"name":"<a>","wait":"1m30s"}`},
		{"POST", "/thing", "", 201, `{"name":"unnamed","wait":"0s"}`},
		{"PUT", "/thing", `{"nome":"a"}`, 400, `nome`},
		{"PUT", "/thing", `{"wait":"soon"}`, 400, `soon`},
		{"PUT", "/thing", `{`, 400, `"error":"body: `},
		{"PUT", "/thing", `{"name":"` + strings.Repeat("a", 64) + `"}`, 400, `too large`},
		{"DELETE", "/nothing", "", 200, `{}`},
		{"DELETE", "/wrong", "", 409, `{"error":"not possible in this state"}`},
		{"DELETE", "/gone", "", 404, `{"error":"thing: not found"}`},
		{"DELETE", "/odd", "", 400, `{"error":"odd"}`},
		{"GET", "/thing", "", 405, ``},
		{"GET", "/setting", "", 200, `{"name":"kept","wait":"0s"}`},
		{"PUT", "/setting", `{"wait":"2s"}`, 200, `{"name":"kept","wait":"2s"}`},
		{"PUT", "/setting", `{"name":"","wait":"3s"}`, 400, `name: required`},
		{"GET", "/setting", "", 200, `{"name":"kept","wait":"2s"}`},
	} {
		w := httptest.NewRecorder()
		c.ServeHTTP(w, httptest.NewRequest(q.method, q.path, strings.NewReader(q.body)))
		require.Equal(t, q.status, w.Code, "%+v: %s", q, w.Body)
		require.Contains(t, w.Body.String(), q.want)
	}
}

func TestAlarmsGoOffInTurn(t *testing.T) {
	var a simkit.Alarms[int]
	noon := time.Date(2025, 3, 14, 12, 0, 0, 0, time.UTC)
	for _, n := range []int{3, 1, 4, 2} {
		a.Set(noon.Add(time.Duration(n)*time.Minute), n)
	}
	var moved []int
	move := func(n int) { moved = append(moved, n) }
	require.False(t, a.Settle(noon, move))
	require.False(t, a.Settle(noon.Add(3*time.Minute), move))
	require.Equal(t, []int{1, 2, 3}, moved)
	a.Clear()
	require.False(t, a.Settle(noon.Add(time.Hour), move))
	require.Len(t, moved, 3)

	moved = nil
	for n := range 600 {
		a.Set(noon, n)
	}
	require.True(t, a.Settle(noon, move), "one request does not pay for all")
	require.False(t, a.Settle(noon, move))
	require.Len(t, moved, 600)
}

func TestTickingEndsWithTheLife(t *testing.T) {
	l := simkit.NewLife()
	ticks := make(chan struct{})
	l.Tick(func() {
		select {
		case ticks <- struct{}{}:
		case <-l.Ended():
		}
	})
	<-ticks
	<-ticks
	l.End()
	l.End() // once more does nothing
}

func TestIdentify(t *testing.T) {
	require.Regexp(t, "^[0-9a-f]{32}$", simkit.Identify(1, "a", "b"))
	require.Equal(t, simkit.Identify(1, "a", "b"), simkit.Identify(1, "a", "b"))
	require.NotEqual(t, simkit.Identify(1, "a", "b"), simkit.Identify(2, "a", "b"))
	require.NotEqual(t, simkit.Identify(1, "a", "b"), simkit.Identify(1, "ab"))
}
