package activities_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/activities"
	"orderferry/connectors/csv"
	"orderferry/relay"
	"orderferry/store/storetest"
)

// Comparing books takes in what a cart on files has ready, and leaves the files to
// the ordinary pull, which alone puts them away and reports what is wrong in them.
func TestReconcileLeavesFilesWhereTheyAre(t *testing.T) {
	kind := csv.Connectors()[1]
	w := newStockWorld(t, activities.Options{}, kind)
	dir := t.TempDir()
	m := storetest.Merchant("acme", "files")
	m.Warehouse.Connector = "feed"
	settings, address, faults := kind.Configure("file://"+dir, map[string]string{"settle": "1h"}, nil) // longer than the test takes anywhere
	require.Empty(t, faults)
	m.Carts[0].Connector, m.Carts[0].BaseURL, m.Carts[0].Settings = kind.Name, address, settings
	storetest.Save(t, w.ledger, m)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "in"), 0o755))
	drop := func(name string, orders int, at time.Time) {
		text := "order,name,street1,city,state,zip,country,sku,quantity\n"
		for n := range orders {
			text += fmt.Sprintf("%s-%d,Clerk,1 Test Street,Los Angeles,CA,90001,US,MUG,1\n", name, n)
		}
		p := filepath.Join(dir, "in", "ord_"+name+".csv")
		require.NoError(t, os.WriteFile(p, []byte(text), 0o600))
		require.NoError(t, os.Chtimes(p, at, at))
	}
	now := time.Now()
	drop("A", 300, now.Add(-2*time.Hour))
	drop("B", 1, now.Add(-2*time.Hour))
	drop("C", 1, now) // it may be half written
	in := activities.JobInput{Merchant: "acme", Connection: "files"}
	var r activities.ReconcileResult
	for range 100 {
		v, err := w.env.ExecuteActivity(w.acts.Reconcile, in)
		require.NoError(t, err)
		r = activities.ReconcileResult{}
		require.NoError(t, v.Get(&r))
		if !r.More {
			break
		}
	}
	require.False(t, r.More)
	var taken int
	require.NoError(t, w.sql.QueryRow(t.Context(), `select count(*) from orders where state = $1`, relay.OrderNew).Scan(&taken))
	require.Equal(t, 301, taken)
	left, err := filepath.Glob(filepath.Join(dir, "in", "*"))
	require.NoError(t, err)
	require.Len(t, left, 3, "%v", left)
}
