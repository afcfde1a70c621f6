package faults

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/standalone/proctest"
	"orderferry/store"
	"orderferry/store/postgres"
)

// marks collects a worker's report, and whether it died.
type marks struct {
	bytes.Buffer
	died bool
}

func (m *marks) points(a aim) *points { return newPoints(m, a, func() { m.died = true }) }

func TestAWorkerDiesWhereItIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		aim    aim
		passes string
		last   string // "" when it lives
	}{
		"nowhere":                {aim{}, "a b c", ""},
		"at a point":             {aim{Point: "b", N: 1}, "a b c", "b"},
		"at its second time":     {aim{Point: "b", N: 2}, "b a b c", "b"},
		"at none that comes":     {aim{Point: "d", N: 1}, "a b c", ""},
		"at the first fresh one": {aim{Fresh: true, Known: []string{"a"}}, "a b c", "b"},
		"at the second":          {aim{Fresh: true, Known: []string{"a"}, Skip: 1}, "a b c", "c"},
		"at a dangerous one":     {aim{Fresh: true, Dangerous: true}, "a b before-Store.Claim", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var m marks
			p := m.points(c.aim)
			for point := range strings.FieldsSeq(c.passes) {
				if p.pass('.', point); m.died {
					require.Equal(t, c.last, point)
					require.True(t, strings.HasSuffix(m.String(), "."+point+"\n!"+point+"\n"), "it says so first: %q", m.String())
					return
				}
			}
			require.Empty(t, c.last)
		})
	}
}

func TestDangerousPoints(t *testing.T) {
	for point, want := range map[string]bool{
		"after POST easypost /orders": true, "before DELETE easypost /orders/{id}": true, "after PUT tradegecko /fulfillments/{id}": true,
		"after POST bergen PickTicketAdd": true, "before csv rename in": true, "before POST bergen GetInventoryByBatch": false, "before csv open sent": false,
		"before commit Store.Claim": true, "before commit Store.RequestCancels": true, "within Store.RecordOutcomes": true, "before commit Store.DoubtShown": true, "after POST people /alerts": true, "after Store.RecordSent": true,
		"before GET easypost /orders": false, "before Store.Cursor": false, "before Store.ClaimSomethingElse": false,
	} {
		require.Equal(t, want, dangerous(point), point)
	}
}

func TestRequestsPassPoints(t *testing.T) {
	vendor := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer vendor.Close()
	var m marks
	carrier := &http.Transport{}
	defer carrier.CloseIdleConnections()
	client := http.Client{Transport: &transport{carrier, m.points(aim{}), map[string]string{vendor.Listener.Addr().String(): "easypost"}}}
	for _, path := range []string{"/fulfillment/vendor/v2/orders/order_9f8e7d", "/fulfillments/1042", "/order_line_items", "/v2/trackers/trk_1a/x"} {
		r, err := client.Get(vendor.URL + path)
		require.NoError(t, err)
		r.Body.Close()
	}
	r, err := http.NewRequest(http.MethodPost, vendor.URL+"/ws/v3prod/publicapiws.asmx", nil)
	require.NoError(t, err)
	r.Header.Set("SOAPAction", `"http://rex11.com/webmethods/PickTicketAdd"`)
	answer, err := client.Do(r)
	require.NoError(t, err)
	answer.Body.Close()
	require.Equal(t, []string{
		"+before GET easypost /orders/{id}", "-after GET easypost /orders/{id}",
		"+before GET easypost /fulfillments/{id}", "-after GET easypost /fulfillments/{id}",
		"+before GET easypost /order_line_items", "-after GET easypost /order_line_items",
		"+before GET easypost /v2/trackers/{id}/x", "-after GET easypost /v2/trackers/{id}/x",
		"+before POST easypost PickTicketAdd", "-after POST easypost PickTicketAdd",
	}, strings.Split(strings.TrimSpace(m.String()), "\n"))
}

// A step of the ledger's is known by the method that issues its statements: not by
// one that only calls it, and whose name no point ever bears.
func TestRiskyStepsAreThoseOfMethodsWithStatements(t *testing.T) {
	files, err := filepath.Glob("../../store/*.go")
	require.NoError(t, err)
	issues := make(map[string]bool)
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv != nil && f.Name.IsExported() {
				ast.Inspect(f.Body, func(n ast.Node) bool {
					if sel, ok := n.(*ast.SelectorExpr); ok && (sel.Sel.Name == "begin" || sel.Sel.Name == "pool") {
						issues["Store."+f.Name.Name] = true
					}
					return true
				})
			}
		}
	}
	for _, step := range risky {
		if strings.HasPrefix(step, "Store.") {
			require.True(t, issues[step], step)
		}
	}
}

// However a transaction is isolated, it begins and ends once in the report.
func TestTransactionsPassPoints(t *testing.T) {
	pg, err := postgres.Start(t.Context(), postgres.Config{Dir: filepath.Join(proctest.DataDir(t), "postgres"), Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer func() { require.NoError(t, pg.Stop(t.Context())) }()
	require.NoError(t, pg.CreateDatabase(t.Context(), "orderferry"))
	_, _, err = store.Migrate(t.Context(), pg.URL("orderferry"))
	require.NoError(t, err)
	var m marks
	ledger, err := store.Open(t.Context(), pg.URL("orderferry"), nil, store.WithTracer(tracer{m.points(aim{})}))
	require.NoError(t, err)
	defer ledger.Close()
	for method, call := range map[string]func() error{
		"CartLevels": func() error { _, err := ledger.CartLevels(t.Context(), store.CartLevelsQuery{}); return err },
		"RequestCancels": func() error {
			_, err := ledger.RequestCancel(t.Context(), 1, store.CancelAsk{Actor: "operator:ops", Reason: "changed their mind"})
			require.ErrorIs(t, err, store.ErrNotFound)
			return nil
		},
	} {
		m.Reset()
		require.NoError(t, call(), method)
		lines := strings.Split(strings.TrimSpace(m.String()), "\n")
		require.Equal(t, "+before begin Store."+method, lines[0])
		require.Regexp(t, "^-after (commit|rollback) Store."+method+"$", lines[len(lines)-1])
		l := &life{crew: newCrew(plan{}), busy: make(chan struct{}, 1)}
		l.hear(&m)
		require.Zero(t, l.underWay, "nothing is under way after %s", method)
	}
}
