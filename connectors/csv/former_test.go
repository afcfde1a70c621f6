package csv

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// formerly is a cursor as it was written while files of which something waited stayed
// where they were: ack_1.csv and shp_1.csv do, and ack_2.csv is being read.
const formerly = `{"r":[{"n":"ack_2.csv","s":72,"m":1772877780000000000,"h":"2f08d405f50e83c43c14a1636aede32a"}],"at":{"a":54,"l":4},"rows":1,"later":[{"k":"SO-3","a":21,"l":2}],
"held":[{"n":"ack_1.csv","s":88,"m":1772877660000000000,"h":"30183cefcebcf46b50949e125cbbfddc","bad":[{"l":5,"m":"status: no word of the profile"}],"rows":1,"later":[{"k":"SO-1","a":39,"l":3}]},
{"n":"shp_1.csv","s":96,"m":1772877720000000000,"h":"05fefc7e04a36026e43f6165854dade6","later":[{"k":"SO-2","a":73,"l":2}]}]}`

// answers is ack_1.csv.
const answers = "order,status,message\nOTHER-1,rejected,\nSO-1,accepted,\nSO-1,rejected,no\nOTHER-2,perhaps,\n"

// An update finds files where the former release left them: what waits in them is told,
// once, and they are put away.
func TestFormerCursor(t *testing.T) {
	const reading = "order,status,message\nSO-3,accepted,\nOTHER-3,rejected,\nOTHER-4,accepted,\n"
	parcels := lines(shipHeading, shipment("SO-2", "1Z2"))
	for name, c := range map[string]struct {
		meanwhile func(d *doubts)
		told      []string
		unread    []string
		problems  []string
	}{
		"as they were": {func(*doubts) {}, []string{"SO-1 rejected", "SO-2 1Z2", "SO-3 accepted"},
			[]string{"ack_1.csv:5"}, []string{"ack_1.csv", "ack_1.csv.why"}},
		"touched": {func(d *doubts) {
			d.f.write("out/ack_1.csv", answers)
			d.f.write("out/shp_1.csv", parcels)
		}, []string{"SO-1 rejected", "SO-2 1Z2", "SO-3 accepted"}, []string{"ack_1.csv:5"}, []string{"ack_1.csv", "ack_1.csv.why"}},
		"taken away": {func(d *doubts) {
			d.f.remove("out/ack_1.csv")
			d.f.remove("out/shp_1.csv")
		}, []string{"SO-3 accepted"}, []string{"ack_1.csv:3", "ack_1.csv:5", "shp_1.csv:2"},
			[]string{"ack_1.csv", "ack_1.csv.why", "shp_1.csv", "shp_1.csv.why"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoubts(t, "SO-1", "SO-2", "SO-3")
			w := d.f.warehouse(nil)
			d.f.handOver(w, "OTHER-1", "aaaaaaaaaaaaaaaa")
			d.f.write("out/ack_1.csv", answers)
			d.f.write("out/shp_1.csv", parcels)
			d.f.write("out/ack_2.csv", reading)
			d.q.Cursor = formerly
			require.NoError(t, os.RemoveAll(filepath.Join(d.f.dir, "sent/OTHER-1"))) // it was refused
			d.f.handOver(w, "OTHER-1", "bbbbbbbbbbbbbbbb")
			c.meanwhile(d)

			told, _ := d.pull()
			require.Equal(t, []string{"OTHER-4 accepted"}, told, "and nothing that was told before")
			told, _ = d.pull()
			require.Empty(t, told)
			require.Empty(t, d.f.names("out"))
			d.knows["SO-1"], d.knows["SO-2"], d.knows["SO-3"] = true, true, true
			told, unread := d.pull()
			require.Equal(t, c.told, told)
			require.Equal(t, c.unread, subjects(unread))
			require.Equal(t, c.problems, d.f.names("out/problems"))
			told, _ = d.pull()
			require.Empty(t, told)
		})
	}
}

// What waits by it is no answer to what is handed over from the update on.
func TestFormerCursorBeforeALaterHandOver(t *testing.T) {
	d := newDoubts(t)
	d.f.handOver(d.f.warehouse(nil), "SO-1", anOrder("SO-1").Token)
	d.f.remove("in/" + orderFile) // the partner took it
	d.f.write("out/ack_1.csv", answers)
	d.q.Cursor = `{"held":[{"n":"ack_1.csv","s":88,"m":1772877660000000000,"h":"30183cefcebcf46b50949e125cbbfddc","later":[{"k":"SO-1","a":39,"l":3}]}]}`
	told, _ := d.pull()
	require.Empty(t, told)
	require.NoError(t, os.RemoveAll(filepath.Join(d.f.dir, "sent/SO-1")))
	d.f.handOver(d.f.warehouse(nil), "SO-1", anOrder("SO-1").Token)
	d.knows["SO-1"] = true
	told, unread := d.pull()
	require.Empty(t, told)
	require.Equal(t, []string{"ack_1.csv:3", "ack_1.csv:4"}, subjects(unread))
	require.Equal(t, []string{orderFile}, d.f.names("sent/SO-1"))
}

// The former release knows nothing of rows that wait, and would drop them: it refuses
// a cursor in which a file is held without a group.
func TestTheFormerReleaseDropsNothing(t *testing.T) {
	refused := func(cursor string) bool {
		var c struct {
			Held []struct {
				Groups []any `json:"later"`
			}
		}
		require.NoError(t, json.Unmarshal([]byte(cursor), &c))
		return len(c.Held) == 1 && len(c.Held[0].Groups) == 0
	}
	d := newDoubts(t, "SO-1")
	d.f.write("out/ack_1.csv", "order,status,message\nSO-1,accepted,\n")
	for range 2 {
		told, _ := d.pull()
		require.Empty(t, told)
		require.True(t, refused(d.q.Cursor), d.q.Cursor)
	}
	d.knows["SO-1"] = true
	told, _ := d.pull()
	require.Equal(t, []string{"SO-1 accepted"}, told)
	require.False(t, refused(d.q.Cursor), d.q.Cursor)
}
