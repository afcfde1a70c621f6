package csv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
)

const ackHeading = "order,status,message"

// What waits was read: whatever the partner does to its file, it is told once the ledger
// knows the order, and nothing else of the file again.
func TestWhatWaitsDoesNotHangOnItsFile(t *testing.T) {
	for kind, c := range map[string]struct{ file, text, other, first, then string }{
		"acknowledgements": {"ack_1.csv", lines(ackHeading, "OTHER-1,rejected,", "SO-1,accepted,", "SO-1,rejected,no"),
			lines(ackHeading, "OTHER-9,accepted,", "OTHER-8,accepted,", "OTHER-7,accepted,"), "OTHER-1 rejected", "SO-1 rejected"},
		"shipments": {"shp_1.csv", lines(shipHeading, shipment("OTHER-1", "1Z1"), shipment("SO-1", "1Z2")),
			lines(shipHeading, shipment("OTHER-9", "1Z3"), shipment("OTHER-8", "1Z4")), "OTHER-1 1Z1", "SO-1 1Z2"},
	} {
		for name, change := range map[string]func(f *folder){
			"put away":     func(*folder) {},
			"taken away":   func(f *folder) { f.remove("out/" + c.file) },
			"replaced":     func(f *folder) { f.write("out/"+c.file, c.other) },
			"cut off":      func(f *folder) { f.write("out/"+c.file, c.text[:strings.Index(c.text, "\n")+1]) },
			"touched":      func(f *folder) { f.write("out/"+c.file, c.text) },
			"sent again":   func(f *folder) { f.write("out/again_"+c.file, c.text) },
			"written anew": func(f *folder) { f.write("out/"+c.file, c.other+strings.SplitN(c.text, "\n", 2)[1]) },
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				d := newDoubts(t)
				d.handedOver("SO-1")
				d.f.handOver(d.f.warehouse(nil), "OTHER-1", "aaaaaaaaaaaaaaaa")
				d.f.write("out/"+c.file, c.text)
				told, unread := d.pull()
				require.Equal(t, []string{c.first}, told)
				require.Empty(t, unread)
				change(d.f)
				for range 2 {
					_, unread = d.pull()
					require.Empty(t, unread)
				}
				d.knows["SO-1"] = true
				told, unread = d.pull()
				require.Equal(t, []string{c.then}, told)
				require.Empty(t, unread)
				told, _ = d.pull()
				require.Empty(t, told)
				require.Empty(t, d.f.names("out/problems"))
			})
		}
	}
}

// The other hand writes another letter.
func TestWhatWaitsInOtherLetters(t *testing.T) {
	d := newDoubts(t)
	rows := []string{ackHeading}
	for n := range maxWaiting {
		d.handedOver(fmt.Sprintf("SO-%03d", n))
		rows = append(rows, fmt.Sprintf("SO-%03d,accepted,", n))
	}
	d.f.write("out/ack_1.csv", lines(append(rows, "so-000,rejected,", "OTHER-1,accepted,")...))
	d.f.write("out/shp_1.csv", lines(shipHeading, shipment("OTHER-2", "1Z2")))
	told, _ := d.pull()
	require.Equal(t, []string{"OTHER-1 accepted", "OTHER-2 1Z2"}, told)
	for n := range maxWaiting {
		d.knows[relay.WarehouseOrderID(fmt.Sprintf("SO-%03d", n))] = true
	}
	told, _ = d.pull()
	require.Len(t, told, maxWaiting)
	require.Contains(t, told, "SO-000 rejected")
}

// Also bytes are bounded, those of orders that are overdue by themselves.
func TestLongRowsThatWait(t *testing.T) {
	d := newDoubts(t)
	long := strings.Repeat("x", maxWaitingSize/8)
	rows := []string{ackHeading}
	n := maxWaitingSize/len(long) + 5
	require.Less(t, n, maxWaiting)
	for i := range n {
		d.handedOver(fmt.Sprintf("SO-%03d", i))
		rows = append(rows, fmt.Sprintf("SO-%03d,accepted,%s", i, long))
	}
	d.f.write("out/ack_1.csv", lines(rows...))
	_, unread := d.pull()
	require.Len(t, unread, 1)
	require.Equal(t, wantRoom, unread[0].Message)
	require.Less(t, len(d.q.Cursor), maxWaitingSize+64<<10)
	for i := range n {
		d.age(fmt.Sprintf("SO-%03d", i))
	}
	_, unread = d.pull()
	require.Len(t, unread, n)
	require.Less(t, len(d.q.Cursor), maxWaitingSize+64<<10)
}

// A group that has no room even by itself does not stop what is behind it.
func TestGroupThatIsLargerThanAllThatMayWait(t *testing.T) {
	d := newDoubts(t, "SO-1")
	d.f.tick = time.Now() // the answer comes after the hand-over
	text := lines(ackHeading, "SO-1,accepted,"+strings.Repeat("x", maxWaitingSize))
	d.f.write("out/ack_1.csv", text)
	d.f.write("out/shp_1.csv", lines(shipHeading, shipment("OTHER-1", "1Z1")))
	told, unread := d.pull()
	require.Equal(t, []string{"OTHER-1 1Z1"}, told)
	require.Equal(t, []connectors.Unread{{Subject: "ack_1.csv", Line: 2, Message: "order: " + wantKnown}}, unread)
	d.pull()
	d.knows["SO-1"] = true
	d.f.write("out/ack_1.csv", text) // dropped in again
	told, _ = d.pull()
	require.Equal(t, []string{"SO-1 accepted"}, told)
}

// Promise 4: that the warehouse cancelled an order is told, also where a later file says
// otherwise, be it one of the same name.
func TestAnswerBehindACancelThatWaits(t *testing.T) {
	for name, file := range map[string]string{"of another name": "ack_2.csv", "of the same name": "ack_1.csv"} {
		t.Run(name, func(t *testing.T) {
			d := newDoubts(t, "SO-1")
			d.f.write("out/ack_1.csv", lines(ackHeading, "SO-1,cancelled,"))
			d.pull()
			d.pull()
			d.f.write("out/"+file, lines(ackHeading, "SO-1,accepted,"))
			told, _ := d.pull()
			require.Empty(t, told)
			d.knows["SO-1"] = true
			told, _ = d.pull()
			require.Equal(t, []string{"SO-1 cancelled", "SO-1 accepted"}, told)
		})
	}
}

// Promise 3: what can't be told any more is reported until somebody has seen to it.
func TestWhatWaitedInVain(t *testing.T) {
	d := newDoubts(t)
	d.handedOver("SO-1")
	d.f.write("out/ack_1.csv", lines(ackHeading, "SO-1,accepted,", "SO-1,rejected,"))
	told, unread := d.pull()
	require.Empty(t, told)
	require.Empty(t, unread)
	require.NoError(t, os.RemoveAll(filepath.Join(d.f.dir, "sent/SO-1"))) // as who gives the order up does
	for range 3 {
		_, unread = d.pull()
		require.Equal(t, []connectors.Unread{{Subject: "ack_1.csv", Line: 2, Message: "order: " + wantHanded}, {Subject: "ack_1.csv", Line: 3, Message: "order: " + wantHanded}}, unread)
	}
	d.f.remove("out/problems/ack_1.csv")
	_, unread = d.pull()
	require.Empty(t, unread)
	require.Equal(t, []string{"ack_1.csv"}, d.f.names("out/archive"))
}

// So is what waited in vain of two files to which the partner gave one name.
func TestWhatWaitedInVainUnderOneName(t *testing.T) {
	d := newDoubts(t)
	for _, number := range []string{"SO-1", "SO-2"} {
		d.handedOver(number)
		d.f.write("out/ack_1.csv", lines(ackHeading, number+",accepted,"))
		d.pull()
		d.pull()
		require.NoError(t, os.RemoveAll(filepath.Join(d.f.dir, "sent", number)))
		d.pull()
	}
	_, unread := d.pull()
	require.Len(t, unread, 2)
	require.Len(t, d.f.names("out/problems"), 4)
}

// Promise 1: what was read before an order was handed over anew is no answer to that. A
// parcel has left all the same.
func TestWhatWaitedIsNoAnswerToALaterHandOver(t *testing.T) {
	const no = "SO-1,rejected,"
	for name, ago := range map[string]time.Duration{"in doubt": doubtful / 2, "overdue": 2 * doubtful} {
		for _, second := range []string{"before it is known", "after it is known"} {
			t.Run(name+", answered "+second, func(t *testing.T) {
				d := newDoubts(t)
				d.f.tick = time.Now().Add(-ago)
				d.f.handOver(d.f.warehouse(nil), "SO-1", anOrder("SO-1").Token)
				d.f.remove("in/" + orderFile) // the partner took it
				d.f.write("out/shp_1.csv", lines(shipHeading, shipment("SO-1", "1Z1")))
				d.f.write("out/ack_1.csv", lines(ackHeading, no))
				for range 2 {
					told, _ := d.pull()
					require.Empty(t, told)
				}
				require.NoError(t, os.RemoveAll(filepath.Join(d.f.dir, "sent/SO-1")))
				d.f.handOver(d.f.warehouse(nil), "SO-1", anOrder("SO-1").Token)
				want := []string{"SO-1 1Z1"}
				if second == "before it is known" {
					d.f.write("out/ack_2.csv", lines(ackHeading, no))
					told, _ := d.pull()
					require.Empty(t, told)
					want = append(want, "SO-1 rejected")
				}
				d.knows["SO-1"] = true
				told, unread := d.pull()
				require.Equal(t, want, told)
				vain := []connectors.Unread{{Subject: "ack_1.csv", Line: 2, Message: "order: " + wantAnswer}}
				require.Equal(t, vain, unread)
				if second == "before it is known" {
					return
				}
				require.Equal(t, []string{orderFile}, d.f.names("sent/SO-1"), "it is still handed over")
				d.f.write("out/ack_2.csv", lines(ackHeading, no))
				told, unread = d.pull()
				require.Equal(t, []string{"SO-1 rejected"}, told)
				require.Equal(t, vain, unread)
			})
		}
	}
}

// And what the profile takes no more: read by that, it might say something else.
func TestWhatWaitsWhileTheProfileChanges(t *testing.T) {
	semicolons := strings.NewReplacer(",", ";", ".", ",")
	for name, c := range map[string]struct{ profile, file, text, field string }{
		"a word":         {declining, "ack_1.csv", lines(ackHeading, "SO-1,declined,"), "status"},
		"a decimal mark": {"extends: standard\nseparator: semicolon\ndecimal: comma\n", "shp_1.csv", semicolons.Replace(lines(shipHeading, shipment("SO-1", "1Z1")+".0")), "quantity"},
		"a time": {"extends: standard\nshipments: {read: [\"shp_*.csv\"], columns: [order, tracking, {field: shipped_at, format: DD/MM/YYYY}]}\n", "shp_1.csv",
			lines("order,tracking,shipped_at", "SO-1,1Z1,07/03/2026"), "shipped_at"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoubts(t, "SO-1")
			d.profile = c.profile
			d.f.write("out/"+c.file, c.text)
			for range 2 {
				told, unread := d.pull()
				require.Empty(t, told)
				require.Empty(t, unread)
			}
			d.profile = "standard"
			d.knows["SO-1"] = true
			for range 2 {
				told, unread := d.pull()
				require.Empty(t, told)
				require.Equal(t, []string{c.file + ":2"}, subjects(unread))
				require.Contains(t, unread[0].Message, c.field+": ")
			}
		})
	}
}

// And what was read by a pattern that the profile lost, with what is said of its orders
// behind it.
func TestWhatWaitsWithoutAPattern(t *testing.T) {
	d := newDoubts(t)
	d.handedOver("SO-1")
	d.f.write("out/ack_1.csv", lines(ackHeading, "SO-1,accepted,"))
	d.pull()
	d.profile = elsewhere
	d.f.write("out/shp_1.csv", lines(shipHeading, shipment("SO-1", "1Z1")))
	d.knows["SO-1"] = true
	for range 2 {
		told, unread := d.pull()
		require.Empty(t, told)
		require.Equal(t, []connectors.Unread{{Subject: "ack_1.csv", Line: 2, Message: wantPattern}, {Subject: "shp_1.csv", Line: 2, Message: wantPattern}}, unread)
	}
	d.profile = "standard"
	told, unread := d.pull()
	require.Equal(t, []string{"SO-1 accepted", "SO-1 1Z1"}, told)
	require.Empty(t, unread)
}

// As many are overdue as may wait, and more become so.
func TestMoreBecomeOverdueThanMayWait(t *testing.T) {
	d := newDoubts(t)
	write := func(file string, from, n int) (numbers []string) {
		rows := []string{ackHeading}
		for i := from; i < from+n; i++ {
			numbers = append(numbers, fmt.Sprintf("SO-%03d", i))
			d.handedOver(numbers[i-from])
			rows = append(rows, numbers[i-from]+",accepted,")
		}
		d.f.write("out/"+file, lines(rows...))
		return numbers
	}
	d.age(write("ack_1.csv", 0, maxWaiting)...)
	young := write("ack_2.csv", maxWaiting, 10)
	_, unread := d.pull()
	require.Len(t, unread, maxWaiting)
	d.age(young...)
	for range 2 {
		_, unread = d.pull()
		require.Len(t, unread, maxWaiting+10)
	}
	require.Equal(t, []string{"ack_2.csv", "ack_2.csv.why"}, d.f.names("out/problems"))
	require.Contains(t, d.f.read("out/problems/ack_2.csv.why"), "line 2: order: "+wantKnown)
	require.NotContains(t, d.q.Cursor, young[0])
}

// A step of putting away that is taken twice leaves one note.
func TestWhatWaitedInVainIsNotedOnce(t *testing.T) {
	d := newDoubts(t)
	d.handedOver("SO-1")
	d.f.write("out/ack_1.csv", lines(ackHeading, "SO-1,accepted,"))
	d.pull()
	require.NoError(t, os.RemoveAll(filepath.Join(d.f.dir, "sent/SO-1")))
	_, unread := d.pull()
	require.Len(t, unread, 1)
	q := d.q
	q.Known = func(context.Context, []relay.WarehouseOrderID) ([]bool, error) {
		return nil, errors.New("the ledger is down")
	}
	d.handedOver("SO-2")
	d.f.write("out/ack_2.csv", lines(ackHeading, "SO-2,accepted,"))
	for range 3 {
		_, err := d.f.warehouse(nil).PullShipments(t.Context(), q)
		require.Error(t, err)
	}
	require.Equal(t, []string{"ack_1.csv", "ack_1.csv.why"}, d.f.names("out/problems"))
}

// What is bad in a row that waits is said when it is read, and its parcel is left out.
func TestBadRowBesideOneThatWaits(t *testing.T) {
	d := newDoubts(t)
	d.handedOver("SO-1")
	d.f.write("out/shp_1.csv", lines(shipHeading, shipment("SO-1", "1Z1"), shipment("SO-1", "1Z2"), "SO-1,UPS,,1Z2,,,,MUG,many"))
	told, unread := d.pull()
	require.Empty(t, told)
	require.Equal(t, []string{"shp_1.csv:4"}, subjects(unread))
	d.pull()
	require.Equal(t, []string{"shp_1.csv", "shp_1.csv.why"}, d.f.names("out/problems"))
	d.knows["SO-1"] = true
	told, unread = d.pull()
	require.Equal(t, []string{"SO-1 1Z1"}, told)
	require.Equal(t, []string{"shp_1.csv:4"}, subjects(unread))
	d.pull()
	require.Equal(t, []string{"shp_1.csv", "shp_1.csv.why"}, d.f.names("out/problems"), "it is said once")
}

// And one beside that where reading stops is noted once, however often it is tried.
func TestRowsOfNobodysWhereNoMoreMayWait(t *testing.T) {
	d := newDoubts(t)
	rows := []string{ackHeading, ",accepted,"}
	for n := range maxWaiting + 1 {
		number := fmt.Sprintf("SO-%03d", n)
		d.handedOver(number)
		if n == maxWaiting {
			rows = append(rows, ",accepted,")
		}
		rows = append(rows, number+",accepted,")
	}
	d.f.write("out/ack_1.csv", lines(append(rows, ",accepted,", "OTHER-1,perhaps,")...))
	for range 3 {
		_, unread := d.pull()
		require.Equal(t, []string{"ack_1.csv:2", "ack_1.csv:203", "ack_1.csv:204"}, subjects(unread))
	}
	for n := range maxWaiting + 1 {
		d.knows[relay.WarehouseOrderID(fmt.Sprintf("SO-%03d", n))] = true
	}
	told, unread := d.pull()
	require.Len(t, told, maxWaiting+1)
	require.Equal(t, []string{"ack_1.csv:2", "ack_1.csv:203", "ack_1.csv:205", "ack_1.csv:206"}, subjects(unread))
}
