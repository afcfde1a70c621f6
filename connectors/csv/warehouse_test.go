package csv

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
)

const orderFile = "ord_SO-1_abcdefghijklmnop.csv"

func submit(t *testing.T, w *stockedWarehouse, o connectors.WarehouseOrder) (connectors.Accepted, error) {
	t.Helper()
	p, err := w.PrepareOrder(o)
	require.NoError(t, err)
	return w.SubmitOrder(t.Context(), p)
}

func find(t *testing.T, w *stockedWarehouse, o connectors.WarehouseOrder) connectors.Lookup {
	t.Helper()
	found, err := w.FindOrders(t.Context(), connectors.LookupQuery{Orders: []connectors.LookupRequest{{Order: o}}})
	require.NoError(t, err)
	require.Len(t, found, 1)
	return found[0]
}

func TestOrderIsHandedOverOnceAndOnlyReceived(t *testing.T) {
	f := newFolder(t)
	w := f.warehouse(connectors.Values{"answer_within": "6h"})
	require.Equal(t, connectors.Lookup{Certain: true}, find(t, w, anOrder("SO-1")))
	got, err := submit(t, w, anOrder("SO-1"))
	require.NoError(t, err)
	require.Equal(t, connectors.Accepted{ID: "SO-1", AnswerWithin: 6 * time.Hour}, got)
	require.Equal(t, []string{orderFile}, f.names("in"))
	require.Equal(t, lines(
		"order,order_number,placed_at,ship_method,name,company,street1,street2,city,state,zip,country,phone,email,line,sku,item,quantity,status,payment,location,tags\r",
		"SO-1,#SO-1,2026-03-07T00:00:00Z,Ground,JOAN HARRY,,5050 Road N,,Waterloo,ON,N1N 1N1,CA,555-666-7777,,1,13358A,,16,,,,\r",
		"SO-1,#SO-1,2026-03-07T00:00:00Z,Ground,JOAN HARRY,,5050 Road N,,Waterloo,ON,N1N 1N1,CA,555-666-7777,,2,00564,,6,,,,\r"), f.read("in/"+orderFile))

	again, err := submit(t, w, anOrder("SO-1"))
	require.NoError(t, err)
	require.Equal(t, got, again)
	require.Equal(t, "token", find(t, w, anOrder("SO-1")).Matches[0].By)

	// The warehouse took it away, and has said nothing: it is never written again.
	f.remove("in/" + orderFile)
	again, err = submit(t, w, anOrder("SO-1"))
	require.NoError(t, err)
	require.Equal(t, got, again)
	require.Empty(t, f.names("in"))
	l := find(t, w, anOrder("SO-1"))
	require.Equal(t, relay.WarehouseOrderID("SO-1"), l.Matches[0].ID)
	require.False(t, l.Matches[0].CreatedAt.IsZero())
}

func TestOtherContentUnderTheSameKeyIsAConflict(t *testing.T) {
	f := newFolder(t)
	w := f.warehouse(nil)
	_, err := submit(t, w, anOrder("SO-1"))
	require.NoError(t, err)
	changed := anOrder("SO-1")
	changed.Items[0].Units = 17
	_, err = submit(t, w, changed)
	require.ErrorIs(t, err, relay.Conflict)
	f.remove("in/" + orderFile) // also when only the copy is left
	_, err = submit(t, w, changed)
	require.ErrorIs(t, err, relay.Conflict)
	require.Empty(t, f.names("in"))
}

// A ledger that was restored from a backup gives an order another token.
func TestOrderUnderAnotherTokenIsFoundByItsNumber(t *testing.T) {
	f := newFolder(t)
	w := f.warehouse(nil)
	_, err := submit(t, w, anOrder("SO-1"))
	require.NoError(t, err)
	other := anOrder("SO-1")
	other.Token = "zzzzzzzzzzzzzzzz"
	_, err = submit(t, w, other)
	require.ErrorIs(t, err, relay.Conflict)
	require.Equal(t, []string{orderFile}, f.names("in"))
	l := find(t, w, other)
	require.Equal(t, "reference", l.Matches[0].By)
	require.Equal(t, relay.WarehouseOrderID("SO-1"), l.Matches[0].ID)
}

func TestRenewedOrderHasAnotherNumberAndFile(t *testing.T) {
	f := newFolder(t)
	w := f.warehouse(nil)
	_, err := submit(t, w, anOrder("SO-1"))
	require.NoError(t, err)
	renewed := anOrder("SO-1")
	renewed.Renewed, renewed.Token = 1, "zzzzzzzzzzzzzzzz"
	got, err := submit(t, w, renewed)
	require.NoError(t, err)
	require.Equal(t, relay.WarehouseOrderID("SO-1_2"), got.ID)
	require.Equal(t, []string{"ord_SO-1_2_zzzzzzzzzzzzzzzz.csv", orderFile}, f.names("in"))
	require.Contains(t, f.read("in/ord_SO-1_2_zzzzzzzzzzzzzzzz.csv"), "\nSO-1_2,#SO-1,")
}

// A crash may come between any two steps of handing a file over.
func TestCrashWhileHandingOver(t *testing.T) {
	hidden, copied := filepath.Join("in", "."+orderFile+".part"), filepath.Join("sent", "SO-1", orderFile)
	for name, c := range map[string]struct {
		there  map[string]string // file -> what it holds; "=" for the order's text
		handed bool
	}{
		"nothing was done":        {nil, false},
		"half a hidden file":      {map[string]string{hidden: "order,or"}, false},
		"the hidden file":         {map[string]string{hidden: "="}, false},
		"and the copy":            {map[string]string{hidden: "=", copied: "="}, false},
		"and an older copy":       {map[string]string{hidden: "=", copied: "of another try"}, false},
		"renamed":                 {map[string]string{filepath.Join("in", orderFile): "=", copied: "="}, true},
		"renamed in two steps":    {map[string]string{filepath.Join("in", orderFile): "=", hidden: "=", copied: "="}, true},
		"renamed, and taken away": {map[string]string{copied: "="}, true},
		"the copy was cleared":    {map[string]string{filepath.Join("in", orderFile): "="}, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t)
			w := f.warehouse(nil)
			p, err := w.PrepareOrder(anOrder("SO-1"))
			require.NoError(t, err)
			var r request
			require.NoError(t, json.Unmarshal(p.Body, &r))
			require.NoError(t, os.MkdirAll(filepath.Join(f.dir, "sent", "SO-1"), 0o755))
			for at, text := range c.there {
				f.write(at, strings.Replace(text, "=", string(r.Content), 1))
			}
			l := find(t, w, anOrder("SO-1"))
			require.Equal(t, c.handed, len(l.Matches) == 1)
			require.True(t, l.Certain)
			before := f.names("in")
			_, err = w.SubmitOrder(t.Context(), p)
			require.NoError(t, err)
			if c.handed {
				require.Equal(t, before, f.names("in"), "it was written again")
				return
			}
			require.Equal(t, []string{orderFile}, f.names("in"))
			require.Equal(t, string(r.Content), f.read("in/"+orderFile))
			require.Equal(t, string(r.Content), f.read(copied))
			require.Len(t, find(t, w, anOrder("SO-1")).Matches, 1)
		})
	}
}

func TestNothingIsWrittenOverAnotherFile(t *testing.T) {
	f := newFolder(t)
	for _, link := range []bool{false, true} {
		f.write("in/a", "a")
		f.write("in/b", "b")
		err := (&local{f.dir}).use(t.Context(), func(fs files) error {
			if link {
				return linkFree(fs.(*localFiles).root, "in/a", "in/b")
			}
			return fs.rename("in/a", "in/b")
		})
		require.ErrorIs(t, err, os.ErrExist)
		require.Equal(t, "b", f.read("in/b"))
		require.Equal(t, "a", f.read("in/a"))
	}
}

func TestNothingLeadsOutOfTheFolder(t *testing.T) {
	f := newFolder(t)
	outside := t.TempDir()
	require.NoError(t, os.Symlink(outside, filepath.Join(f.dir, "way")))
	require.NoError(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("x"), 0o600))
	err := (&local{f.dir}).use(t.Context(), func(fs files) error {
		_, err := fs.open("way/secret")
		require.Error(t, err)
		require.Error(t, fs.create("../x", nil))
		require.Error(t, fs.create("way/x", nil))
		return nil
	})
	require.NoError(t, err)
	k := kindNamed(t, "csv")
	for _, bad := range []string{"../in", "/in", "in/../../x", "./in"} {
		_, _, faults := k.Configure("file:///srv", connectors.Values{"in_folder": bad}, nil)
		require.Len(t, faults, 1, bad)
	}
}

// A partner may put links into the folders. What we write lands on none of the
// files that they lead to, and a link is never taken for a file.
func TestNoLinkIsFollowed(t *testing.T) {
	s := newSSHD(t)
	here := newFolder(t)
	for name, c := range map[string]struct {
		f *folder
		w *stockedWarehouse
	}{"folder": {here, here.warehouse(nil)}, "sftp": {s.folder, s.warehouse(nil)}} {
		t.Run(name, func(t *testing.T) {
			f, w := c.f, c.w
			link := func(to, at string) {
				t.Helper()
				require.NoError(t, os.Symlink(to, filepath.Join(f.dir, at)))
			}
			f.write("precious", "x")
			link("../precious", "in/."+orderFile+".part")
			link("../missing", "in/.ord_SO-2_abcdefghijklmnop.csv.part")
			for _, number := range []string{"SO-1", "SO-2"} {
				_, err := submit(t, w, anOrder(number))
				require.NoError(t, err)
			}
			require.Equal(t, "x", f.read("precious"))
			require.NoFileExists(t, filepath.Join(f.dir, "missing"))
			is, err := os.Lstat(filepath.Join(f.dir, "in", orderFile))
			require.NoError(t, err)
			require.True(t, is.Mode().IsRegular())

			// The reasons beside a file that could not be read.
			f.write("out/shp_1.csv", "bad\n")
			require.NoError(t, os.MkdirAll(filepath.Join(f.dir, "out/problems"), 0o777))
			require.NoError(t, os.Chmod(filepath.Join(f.dir, "out/problems"), 0o777))
			link("../../precious", "out/problems/shp_1.csv.why")
			d := &depot{t: t, source: w}
			d.pull()
			_, unread := d.pull()
			require.Len(t, unread, 1)
			require.Equal(t, "x", f.read("precious"))
			require.Contains(t, f.read("out/problems/shp_1.csv.why"), "line 1: ")

			// The name of a file is taken by a link that leads nowhere, too.
			f.remove("in/" + orderFile)
			link("../missing", "in/"+orderFile)
			_, err = submit(t, w, anOrder("SO-1"))
			require.ErrorIs(t, err, relay.Conflict)
			require.NoError(t, w.place.use(t.Context(), func(fs files) error {
				require.NoError(t, fs.create("in/a", []byte("a")))
				require.ErrorIs(t, fs.rename("in/a", "in/"+orderFile), os.ErrExist)
				link("../precious", "in/way")
				_, err := fs.open("in/way")
				require.ErrorIs(t, err, errNoFile)
				return nil
			}))
			require.NoFileExists(t, filepath.Join(f.dir, "missing"))
		})
	}
}

// dying is a place whose process dies before its nth step that changes something.
type dying struct {
	files
	left int
}

var errDied = errors.New("died")

func (d *dying) step(do func() error) error {
	if d.left--; d.left < 0 {
		return errDied
	}
	return do()
}

// create removes what has the name, and then writes.
func (d *dying) create(name string, content []byte) error {
	if there, err := exists(d.files, name); there || err != nil {
		if err := errors.Join(err, d.remove(name)); err != nil {
			return err
		}
	}
	return d.step(func() error { return d.files.create(name, content) })
}

func (d *dying) rename(from, to string) error {
	return d.step(func() error { return d.files.rename(from, to) })
}

func (d *dying) remove(name string) error {
	return d.step(func() error { return d.files.remove(name) })
}

// Promise 1: a process may die again and again over one file. As long as it was not
// renamed nothing says that it was handed over.
func TestDyingTwiceWhileHandingOver(t *testing.T) {
	for first := range 6 {
		for second := range 8 {
			f := newFolder(t)
			w := f.warehouse(nil)
			p, err := w.PrepareOrder(anOrder("SO-1"))
			require.NoError(t, err)
			var r request
			require.NoError(t, json.Unmarshal(p.Body, &r))
			for _, steps := range []int{first, second} {
				err := w.place.use(t.Context(), func(fs files) error {
					_, err := w.outbox.handOver(&dying{fs, steps}, w.letter(r))
					return err
				})
				if err != nil {
					require.ErrorIs(t, err, errDied)
				}
				there := len(f.names("in")) == 1 && f.names("in")[0] == orderFile
				require.Equal(t, there, len(find(t, w, anOrder("SO-1")).Matches) == 1, "died before step %d and then %d", first, second)
			}
			_, err = w.SubmitOrder(t.Context(), p)
			require.NoError(t, err)
			require.Equal(t, string(r.Content), f.read("in/"+orderFile))
		}
	}
}

func TestCancelledContextWritesNothing(t *testing.T) {
	f := newFolder(t)
	w := f.warehouse(nil)
	p, err := w.PrepareOrder(anOrder("SO-1"))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = w.SubmitOrder(ctx, p)
	require.ErrorIs(t, err, relay.Unavailable)
	require.Empty(t, f.names("in"))
	require.Equal(t, connectors.Lookup{Certain: true}, find(t, w, anOrder("SO-1")))
}

func TestAcknowledgements(t *testing.T) {
	f := newFolder(t)
	f.write("out/ack_1.csv", lines("order,status,message", "SO-1,accepted,", "SO-2,REJECTED,no such customer", "so-3,out_of_stock,MUG", "SO-4,cancelled,", "SO-5,backordered,MUG", "SO-6,perhaps,"))
	d := &depot{t: t, source: f.warehouse(nil)}
	updates, unread := d.pull()
	require.Equal(t, []connectors.OrderUpdate{
		{ID: "SO-1", Progress: connectors.InProgress, Status: "accepted", Adds: true},
		{ID: "SO-2", Progress: connectors.Refused, Status: "REJECTED", Adds: true, Hold: &relay.Hold{Reason: relay.HoldRejected, Code: "REJECTED", Words: "no such customer"}},
		{ID: "SO-3", Progress: connectors.Refused, Status: "out_of_stock", Adds: true, Hold: &relay.Hold{Reason: relay.HoldInsufficientInventory, Code: "out_of_stock", Words: "MUG"}},
		{ID: "SO-4", Progress: connectors.Cancelled, Status: "cancelled", Adds: true},
		{ID: "SO-5", Progress: connectors.InTrouble, Status: "backordered", Adds: true, Hold: &relay.Hold{Reason: relay.HoldRejected, Code: "backordered", Words: "MUG"}},
	}, updates)
	require.Equal(t, []connectors.Unread{{Subject: "ack_1.csv", Line: 7, Message: "status: no word of the profile: want accepted, backordered, bad_address, canceled, cancelled, error, insufficient_inventory, ok, out_of_stock, refused, rejected, trouble, unknown_item, unknown_sku"}}, unread)
}

// A refused order may be handed over again, as another submission.
func TestRefusedOrderIsHandedOverAnew(t *testing.T) {
	f := newFolder(t)
	w := f.warehouse(nil)
	_, err := submit(t, w, anOrder("SO-1"))
	require.NoError(t, err)
	f.write("out/ack_1.csv", lines("order,status,message", "SO-1,rejected,"))
	d := &depot{t: t, source: w}
	updates, _ := d.pull()
	require.Equal(t, connectors.Refused, updates[0].Progress)
	next := anOrder("SO-1")
	next.Token = "zzzzzzzzzzzzzzzz"
	_, err = submit(t, w, next)
	require.NoError(t, err)
	require.Contains(t, f.names("in"), "ord_SO-1_zzzzzzzzzzzzzzzz.csv")
	require.Equal(t, "token", find(t, w, next).Matches[0].By)
}

// The copy was being put aside by a rename in two steps, and the process or the server
// died between them.
func TestRefusedOrderWhoseCopyIsInBothPlaces(t *testing.T) {
	f := newFolder(t)
	w := f.warehouse(nil)
	_, err := submit(t, w, anOrder("SO-1"))
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(f.dir, "sent/SO-1/refused"), 0o755))
	require.NoError(t, os.Link(filepath.Join(f.dir, "sent/SO-1", orderFile), filepath.Join(f.dir, "sent/SO-1/refused", orderFile)))
	f.remove("in/" + orderFile)
	f.write("out/ack_1.csv", lines(ackHeading, "SO-1,rejected,"))
	u, _ := (&depot{t: t, source: w}).pull()
	require.Equal(t, []string{"SO-1"}, numbers(u))
	require.Empty(t, f.names("sent/SO-1"))
	require.Equal(t, []string{orderFile}, f.names("sent/SO-1/refused"))
	next := anOrder("SO-1")
	next.Token = "zzzzzzzzzzzzzzzz"
	_, err = submit(t, w, next)
	require.NoError(t, err)
}

// handOver hands an order over, an hour after the last file was written.
func (f *folder) handOver(w *stockedWarehouse, number string, token relay.Token) {
	f.t.Helper()
	o := anOrder(number)
	o.Token = token
	_, err := submit(f.t, w, o)
	require.NoError(f.t, err)
	f.tick = f.tick.Add(time.Hour)
	require.NoError(f.t, os.Chtimes(filepath.Join(f.dir, "sent", number, w.profile.orders.orderFile(o)), f.tick, f.tick))
}

// A warehouse that refuses an order twice may write the same file twice. The second
// is news of what was handed over between the two, and of nothing else.
func TestSecondRefusalInTheSameWords(t *testing.T) {
	const no = "order,status,message\nSO-1,rejected,\nSO-2,rejected,\nSO-9,rejected,\n"
	for name, second := range map[string]string{"same name": "out/ack_1.csv", "another name": "out/ack_2.csv"} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t)
			w := f.warehouse(nil)
			d := &depot{t: t, source: w}
			refused := func() []string {
				t.Helper()
				updates, unread := d.pull()
				require.Empty(t, unread)
				for _, u := range updates {
					require.Equal(t, connectors.Refused, u.Progress)
				}
				return numbers(updates)
			}
			f.handOver(w, "SO-1", "aaaaaaaaaaaaaaaa")
			f.handOver(w, "SO-2", "aaaaaaaaaaaaaaaa")
			f.write("out/ack_1.csv", no)
			require.Equal(t, []string{"SO-1", "SO-2", "SO-9"}, refused())
			require.Empty(t, refused())
			require.Equal(t, []string{"ack_1.csv"}, f.names("out/archive"))

			f.handOver(w, "SO-1", "bbbbbbbbbbbbbbbb")
			f.write(second, no)
			require.Equal(t, []string{"SO-1"}, refused(), "SO-2 was not handed over again")
			f.handOver(w, "SO-1", "cccccccccccccccc") // which it may be at once
			require.Empty(t, refused())
			require.Len(t, f.names("out/archive"), 2)

			f.write("out/ack_3.csv", no)
			require.Equal(t, []string{"SO-1"}, refused(), "and a third time")
		})
	}
}

// Its copy was put aside, and the cursor behind it could not be kept: it is told again, and
// not once it was told.
func TestSecondRefusalAfterACrash(t *testing.T) {
	no := lines(ackHeading, "SO-1,rejected,")
	f := newFolder(t)
	w := f.warehouse(nil)
	d := &depot{t: t, source: w}
	for n, token := range []relay.Token{"aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb", "cccccccccccccccc"} {
		f.handOver(w, "SO-1", token)
		f.write(fmt.Sprintf("out/ack_%d.csv", n), no)
		before := d.cursor
		for range 2 {
			d.cursor = before
			updates, _ := d.pull()
			require.Equal(t, []string{"SO-1"}, numbers(updates))
		}
		f.write("out/ack_copy.csv", no)
		updates, _ := d.pull()
		require.Empty(t, updates)
	}
}

// Promise 1: what was said of an earlier file of orders is never taken for the
// answer to a later one, which would be sent again though the warehouse has it.
func TestRefusalThatComesAgainIsNoSecondOne(t *testing.T) {
	const no = "order,status,message\nSO-1,rejected,\n"
	f := newFolder(t)
	w := f.warehouse(nil)
	d := &depot{t: t, source: w}
	f.handOver(w, "SO-1", "aaaaaaaaaaaaaaaa")
	f.write("out/ack_1.csv", no)
	written := f.tick
	updates, _ := d.pull()
	require.Equal(t, []string{"SO-1"}, numbers(updates))
	d.pull()
	f.write("out/ack_1_again.csv", no) // before the order was handed over again, though it is read after that
	f.handOver(w, "SO-1", "bbbbbbbbbbbbbbbb")
	updates, _ = d.pull()
	require.Empty(t, updates)

	// The partner's mirror puts the very file back.
	f.write("out/ack_1.csv", no)
	require.NoError(t, os.Chtimes(filepath.Join(f.dir, "out", "ack_1.csv"), written, written))
	updates, _ = d.pull()
	require.Empty(t, updates)
	d.pull()
	require.Equal(t, []string{"ack_1.csv", "ack_1_again.csv"}, f.names("out/archive"))
	require.Len(t, find(t, w, anOrder("SO-1")).Matches, 1, "it is still handed over")
}

// Promise 1: a mended file is dropped in as a whole. What its good rows refuse was
// refused when they were read first, and may have been handed over again since.
func TestMendedFileRefusesNothingAgain(t *testing.T) {
	f := newFolder(t)
	w := f.warehouse(nil)
	d := &depot{t: t, source: w}
	said := func() (out []string) {
		updates, _ := d.pull()
		for _, u := range updates {
			out = append(out, string(u.ID)+" "+u.Status)
		}
		return out
	}
	f.handOver(w, "SO-1", "aaaaaaaaaaaaaaaa")
	f.handOver(w, "SO-2", "aaaaaaaaaaaaaaaa")
	f.write("out/ack_1.csv", lines("order,status,message", "SO-1,rejected,", "SO-2,perhaps,", "SO-3,accepted,"))
	require.Equal(t, []string{"SO-1 rejected", "SO-3 accepted"}, said())
	require.Empty(t, said())
	f.handOver(w, "SO-1", "bbbbbbbbbbbbbbbb")
	f.write("out/ack_1_mended.csv", lines("order,status,message", "SO-1,rejected,", "SO-2,rejected,", "SO-3,accepted,"))
	require.Equal(t, []string{"SO-2 rejected"}, said())
	require.Empty(t, said())
	require.Equal(t, []string{"ack_1_mended.csv"}, f.names("out/archive"))

	// In other words it is another answer; and in the same, once the problem is settled.
	f.write("out/ack_2.csv", lines("order,status,message", "SO-1,rejected,closed"))
	require.Equal(t, []string{"SO-1 rejected"}, said())
	f.handOver(w, "SO-1", "cccccccccccccccc")
	f.remove("out/problems/ack_1.csv")
	f.write("out/ack_3.csv", lines("order,status,message", "SO-1,rejected,"))
	require.Equal(t, []string{"SO-1 rejected"}, said())
}

// What is not news is gone through page by page like what is.
func TestLongFileThatComesAgain(t *testing.T) {
	f := newFolder(t)
	d := &depot{t: t, source: f.warehouse(nil)}
	text := "order,status,message\n"
	for n := range groupsAPage + 1 {
		text += fmt.Sprintf("SO-%d,rejected,\n", n)
	}
	f.write("out/ack_1.csv", text)
	updates, _ := d.pull()
	require.Len(t, updates, groupsAPage+1)
	f.write("out/ack_2.csv", text)
	p, err := d.source.PullShipments(t.Context(), connectors.ShipmentsQuery{Cursor: d.cursor})
	require.NoError(t, err)
	require.Empty(t, p.Updates)
	require.True(t, p.More)
	updates, _ = d.pull()
	require.Empty(t, updates)
}

// A file that can't be put away is not read again for that.
func TestFileThatCantBePutAway(t *testing.T) {
	f := newFolder(t)
	w := f.warehouse(nil)
	d := &depot{t: t, source: w}
	f.handOver(w, "SO-1", "aaaaaaaaaaaaaaaa")
	f.write("out/ack_1.csv", lines("order,status,message", "SO-1,rejected,"))
	updates, _ := d.pull()
	require.Equal(t, []string{"SO-1"}, numbers(updates))
	f.write("out/archive", "in the way")
	f.handOver(w, "SO-1", "bbbbbbbbbbbbbbbb")
	for range 2 {
		_, err := w.PullShipments(t.Context(), connectors.ShipmentsQuery{Cursor: d.cursor})
		require.ErrorIs(t, err, relay.Unavailable)
	}
	f.remove("out/archive")
	updates, _ = d.pull()
	require.Empty(t, updates)
	require.Equal(t, []string{"ack_1.csv"}, f.names("out/archive"))
}

func TestOrdersThatNoFileCanHold(t *testing.T) {
	w := newFolder(t).warehouse(nil)
	for name, c := range map[string]struct {
		change func(*connectors.WarehouseOrder)
		field  string
		reason relay.HoldReason
	}{
		"no items":   {func(o *connectors.WarehouseOrder) { o.Items = nil }, "order", relay.HoldBadOrder},
		"no code":    {func(o *connectors.WarehouseOrder) { o.Items[1].Code = " " }, "lines[1]", relay.HoldBadOrder},
		"no units":   {func(o *connectors.WarehouseOrder) { o.Items[0].Units = 0 }, "lines[0]", relay.HoldBadOrder},
		"no text":    {func(o *connectors.WarehouseOrder) { o.ShipTo.City = "a\x00b" }, "ship_to.city", relay.HoldBadAddress},
		"a bell":     {func(o *connectors.WarehouseOrder) { o.Number = "\a" }, "number", relay.HoldBadOrder},
		"no UTF-8":   {func(o *connectors.WarehouseOrder) { o.ShipTo.Name = "\xff" }, "ship_to.name", relay.HoldBadAddress},
		"a bad path": {func(o *connectors.WarehouseOrder) { o.Reference = "../SO-1" }, "order", relay.HoldBadOrder},
	} {
		o := anOrder("SO-1")
		c.change(&o)
		_, err := w.PrepareOrder(o)
		var refused *relay.Error
		require.ErrorAs(t, err, &refused, name)
		require.Equal(t, relay.Invalid, refused.Kind)
		require.Equal(t, c.field, refused.Fields[0].Field, name)
		require.Equal(t, c.reason, refused.Reason, name)
	}
}

func TestCancels(t *testing.T) {
	f := newFolder(t)
	answer, err := f.warehouse(nil).CancelOrder(t.Context(), "SO-1")
	require.NoError(t, err)
	require.Equal(t, connectors.CancelPending, answer.Result)
	require.Equal(t, "asked by the file can_SO-1.csv; the warehouse has not answered", answer.Evidence)
	_, err = f.warehouse(nil).CancelOrder(t.Context(), "SO-1") // harmless twice
	require.NoError(t, err)
	require.Equal(t, []string{"can_SO-1.csv"}, f.names("in"))
	require.Equal(t, "order\r\nSO-1\r\n", f.read("in/can_SO-1.csv"))

	// Where the profile has no cancels a person must be asked, and that is what it says.
	answer, err = f.warehouse(connectors.Values{"profile": "dropstream"}).CancelOrder(t.Context(), "SO-2")
	require.NoError(t, err)
	require.Equal(t, connectors.CancelPending, answer.Result)
	require.Contains(t, answer.Evidence, "Ask a person there to stop order SO-2")
	require.Equal(t, []string{"can_SO-1.csv"}, f.names("in"))
}

func TestShipments(t *testing.T) {
	f := newFolder(t)
	// Two parcels of one order whose rows are mixed, a row that stands there twice, and a later part.
	f.write("out/shp_1.csv", lines("order,carrier,service,tracking,tracking_url,shipped_at,line,sku,quantity",
		"SO-1,UPS,Ground,1Z1,,2026-03-08T10:00:00Z,1,13358A,2",
		"SO-1,UPS,Ground,1Z2,,2026-03-08T10:00:00Z,1,13358A,1",
		"SO-2,USPS,,00940,https://t.example/00940,,,MUG,1",
		"SO-1,UPS,Ground,1Z1,,2026-03-08T10:00:00Z,2,00564,6",
		"SO-1,UPS,Ground,1Z1,,2026-03-08T10:00:00Z,2,00564,6"))
	f.write("out/shp_2.csv", lines("order,carrier,service,tracking,tracking_url,shipped_at,line,sku,quantity",
		"SO-1,UPS,Ground,1Z3,,2026-03-09T10:00:00Z,1,13358A,13"))
	d := &depot{t: t, source: f.warehouse(nil)}
	updates, unread := d.pull()
	require.Empty(t, unread)
	at := time.Date(2026, 3, 8, 10, 0, 0, 0, time.UTC)
	require.Equal(t, []connectors.OrderUpdate{
		{ID: "SO-1", Progress: connectors.PartShipped, Adds: true, Packages: []relay.Package{
			{Carrier: "UPS", Service: "Ground", TrackingNumber: "1Z1", ShippedAt: at, Items: []relay.Item{{Code: "13358A", Units: 2}, {Code: "00564", Units: 6}}},
			{Carrier: "UPS", Service: "Ground", TrackingNumber: "1Z2", ShippedAt: at, Items: []relay.Item{{Code: "13358A", Units: 1}}},
		}},
		{ID: "SO-2", Progress: connectors.PartShipped, Adds: true, Packages: []relay.Package{
			{Carrier: "USPS", TrackingNumber: "00940", TrackingURL: "https://t.example/00940", ShippedAt: f.tick.Add(-time.Minute), Items: []relay.Item{{Code: "MUG", Units: 1}}},
		}},
		{ID: "SO-1", Progress: connectors.PartShipped, Adds: true, Packages: []relay.Package{
			{Carrier: "UPS", Service: "Ground", TrackingNumber: "1Z3", ShippedAt: at.AddDate(0, 0, 1), Items: []relay.Item{{Code: "13358A", Units: 13}}},
		}},
	}, updates)
}

// A row of which nobody knows whose it is may be the other half of a parcel, or
// another parcel of an order that is told as a whole.
func TestAnOrderBesideARowOfNobodysIsNotWhole(t *testing.T) {
	for name, c := range map[string]struct{ whole, bad, mended string }{
		"half a parcel":    {"false", "SO-1,UPS,1Z1,T\xe9l\xe9,1", "SO-1,UPS,1Z1,Télé,1"},
		"half of an order": {"true", "SO-1,UPS,\"1Z2,CAP,1", "SO-1,UPS,1Z2,CAP,1"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t)
			d := &depot{t: t, source: f.warehouse(connectors.Values{"profile": `
extends: standard
shipments:
  read: ["shp_*.csv"]
  whole_orders: ` + c.whole + `
  columns: [order, carrier, tracking, sku, quantity]
`})}
			const heading, first, other = "order,carrier,tracking,sku,quantity", "SO-1,UPS,1Z1,MUG,1", "SO-2,UPS,1Z3,MUG,1"
			f.write("out/shp_1.csv", lines(heading, other, first, c.bad))
			updates, unread := d.pull()
			require.Equal(t, []string{"SO-2", "SO-1"}, numbers(updates))
			require.Equal(t, connectors.PartShipped, updates[1].Progress, "there may be more of it")
			require.Equal(t, []string{"shp_1.csv:4"}, subjects(unread))
			f.write("out/shp_1.csv", lines(heading, other, first, c.mended))
			updates, _ = d.pull()
			require.Equal(t, []string{"SO-2", "SO-1"}, numbers(updates))
			var units int64
			for _, p := range updates[1].Packages {
				for _, it := range p.Items {
					units += it.Units
				}
			}
			require.Equal(t, int64(2), units)
		})
	}
}

// A parcel without contents, told alone, would stand for all of its order after an
// hour, and the one that the mended file adds be told to nobody.
func TestAParcelWithoutContentsIsNotToldBesideABadRow(t *testing.T) {
	const heading, first, mended = "order,tracking,shipped_at", "SO-1,1Z1,", "SO-1,1Z2,"
	for name, c := range map[string]struct {
		bad  string
		want []connectors.Unread
	}{
		"of nobody's": {",1Z2,", []connectors.Unread{
			{Subject: "shp_1.csv", Line: 3, Message: "which parcels the order has can't be told: a row beside can't be read, and may be a part of it; mend the file and drop it in again"},
			{Subject: "shp_1.csv", Line: 4, Message: "order: missing"},
		}},
		"of the order": {"SO-1,1Z2,tomorrow", []connectors.Unread{
			{Subject: "shp_1.csv", Line: 3, Message: "which parcels the order has can't be told: a row beside can't be read, and may be a part of it; mend the file and drop it in again"},
			{Subject: "shp_1.csv", Line: 4, Message: "shipped_at: want an ISO 8601 time such as 2026-03-07T09:30:00Z"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t)
			d := &depot{t: t, source: f.warehouse(nil)}
			f.write("out/shp_1.csv", lines(heading, "SO-2,1Z3,", first, c.bad))
			updates, unread := d.pull()
			require.Equal(t, []string{"SO-2"}, numbers(updates))
			require.Equal(t, c.want, unread)
			f.write("out/shp_1.csv", lines(heading, "SO-2,1Z3,", first, mended))
			updates, _ = d.pull()
			require.Equal(t, []string{"SO-2", "SO-1"}, numbers(updates))
			require.Len(t, updates[1].Packages, 2)
		})
	}
}

func TestBadRowsLoseNoGoodOnes(t *testing.T) {
	f := newFolder(t)
	heading := "order,carrier,service,tracking,tracking_url,shipped_at,line,sku,quantity"
	f.write("out/shp_1.csv", lines(heading,
		"SO-1,UPS,,1Z1,,,,MUG,1",
		"SO-2,USPS,,9.4001E+21,,,,MUG,1",
		`SO-3,UPS,"1Z3,,,,MUG,1`, // a quote that is never closed
		"SO-4,UPS,,1Z4,,,,MUG,none",
		"SO-4,UPS,,1Z4,,,,CAP,1", // the same parcel: half of it is not told
		"SO-4,UPS,,1Z5,,,,CAP,1",
		"SO-5,UPS",
		"SO-6,UPS,,1Z6,,tomorrow,,MUG,1",
		"SO-7,UPS,,1Z7,,,,MUG,1"))
	d := &depot{t: t, source: f.warehouse(nil)}
	updates, unread := d.pull()
	told := func(updates []connectors.OrderUpdate) (out []string) {
		for _, u := range updates {
			for _, p := range u.Packages {
				out = append(out, string(u.ID)+" "+p.TrackingNumber)
			}
		}
		return out
	}
	require.Equal(t, []string{"SO-1 1Z1", "SO-4 1Z5", "SO-7 1Z7"}, told(updates))
	want := []connectors.Unread{
		{Subject: "shp_1.csv", Line: 3, Message: "tracking: 9.4001E+21 is in scientific notation, so that digits are lost: have the column saved as text"},
		{Subject: "shp_1.csv", Line: 4, Message: "a quote is not closed"},
		{Subject: "shp_1.csv", Line: 5, Message: "quantity: want a whole number, 1 or more"},
		{Subject: "shp_1.csv", Line: 8, Message: "the row has 2 cells: want 9"},
		{Subject: "shp_1.csv", Line: 9, Message: "shipped_at: want an ISO 8601 time such as 2026-03-07T09:30:00Z"},
	}
	require.ElementsMatch(t, want, unread)

	// It is kept, with the reasons beside it, and reported until somebody removes it.
	require.Equal(t, []string{"shp_1.csv"}, f.names("out"), "nobody has committed the page yet")
	for range 2 {
		updates, unread = d.pull()
		require.Empty(t, updates)
		require.ElementsMatch(t, want, unread)
		require.Empty(t, f.names("out"))
		require.Equal(t, []string{"shp_1.csv", "shp_1.csv.why"}, f.names("out/problems"))
	}

	// Mended and dropped in again: what was taken comes again, and harms nobody.
	f.write("out/shp_1.csv", lines(heading, "SO-1,UPS,,1Z1,,,,MUG,1", "SO-2,USPS,,9400100000000000000000,,,,MUG,1"))
	updates, unread = d.pull()
	require.Equal(t, []string{"SO-1 1Z1", "SO-2 9400100000000000000000"}, told(updates))
	require.ElementsMatch(t, want, unread)
	f.remove("out/problems/shp_1.csv")
	updates, unread = d.pull()
	require.Empty(t, updates)
	require.Empty(t, unread)
	require.Empty(t, f.names("out/problems"))
	require.Equal(t, []string{"shp_1.csv"}, f.names("out/archive"))
}

// Spreadsheets leave rows of separators alone at a file's end. They are no rows, and
// keep nothing from being told.
func TestRowsOfEmptyCells(t *testing.T) {
	f := newFolder(t)
	f.write("out/shp_1.csv", lines(shipHeading, shipment("SO-1", "1Z1"), ",,,,,,,,", `"",,,,,,,, `, shipment("SO-1", "1Z2"), ",,,,,,,,"))
	f.write("out/inv_1.csv", lines("sku,quantity", "MUG,40", ",", ","))
	f.write("in/ord_1.csv", lines("order,sku,quantity", "SO-1,MUG,1", ",,", ",,,"))
	updates, unread := (&depot{t: t, source: f.warehouse(nil)}).pull()
	require.Empty(t, unread)
	require.Len(t, updates, 1)
	require.Len(t, updates[0].Packages, 2)
	cursor := ""
	levels, page := reading(t, f.warehouse(nil), &cursor, 10)
	require.Empty(t, page.Unread)
	require.False(t, page.Partial)
	require.Equal(t, []relay.InventoryLevel{level("MUG", "", 40)}, levels)
	orders, unread := (&shop{t: t, source: f.open("csv-cart", nil).(connectors.OrderSource), limit: 10}).pull()
	require.Empty(t, unread)
	require.Len(t, orders, 1)
	require.Empty(t, orders[0].Problems)

	// Also where the first cell says what a row is.
	f = newFolder(t)
	f.write("in/ord_1.csv", `"PH","A-1"`+"\r\n"+`"PD","A-1","1","MUG","1"`+"\r\n,,,,\r\n")
	orders, unread = (&shop{t: t, source: f.open("csv-cart", connectors.Values{"profile": `
extends: dropstream
orders:
  read: ["ord_*.csv"]
  records:
    - {type: PH, columns: [order]}
    - {type: PD, of: line, columns: [order, line, sku, quantity]}
`}).(connectors.OrderSource), limit: 10}).pull()
	require.Empty(t, unread)
	require.Empty(t, orders[0].Problems)
}

func TestParcelsThatTellTheOrderIsComplete(t *testing.T) {
	f := newFolder(t)
	f.write("out/shp_1.csv", lines("order,tracking,done", "SO-1,1Z1,no", "SO-2,1Z2,yes"))
	d := &depot{t: t, source: f.warehouse(connectors.Values{"profile": `
extends: standard
shipments:
  read: ["shp_*.csv"]
  columns: [order, tracking, {field: complete, heading: done, words: {complete: ["yes"], partial: ["no"]}}]
`})}
	updates, unread := d.pull()
	require.Empty(t, unread)
	require.Equal(t, connectors.PartShipped, updates[0].Progress)
	require.Equal(t, connectors.FullShipped, updates[1].Progress)

	f = newFolder(t)
	f.write("out/shp_1.csv", lines("order,tracking", "SO-1,1Z1"))
	d = &depot{t: t, source: f.warehouse(connectors.Values{"profile": `
extends: standard
shipments: {read: ["shp_*.csv"], whole_orders: true, columns: [order, tracking]}
`})}
	updates, _ = d.pull()
	require.Equal(t, connectors.FullShipped, updates[0].Progress)
}

// doubts is a ledger that does not know yet which of the orders that were handed
// over it has, and the warehouse that it reads.
type doubts struct {
	t     *testing.T
	f     *folder
	q     connectors.ShipmentsQuery
	knows map[relay.WarehouseOrderID]bool
	asked map[relay.WarehouseOrderID]bool
	// profile is that of the warehouse; "" for the standard one.
	profile string
}

// handedOver has an order handed over just now.
func (d *doubts) handedOver(number string) {
	d.t.Helper()
	sent := filepath.Join(d.f.dir, "sent", number)
	require.NoError(d.t, os.MkdirAll(sent, 0o755))
	require.NoError(d.t, os.WriteFile(filepath.Join(sent, orderFile), nil, 0o644))
}

func newDoubts(t *testing.T, handed ...string) *doubts {
	d := &doubts{t: t, f: newFolder(t), knows: map[relay.WarehouseOrderID]bool{}, asked: map[relay.WarehouseOrderID]bool{}}
	for _, number := range handed {
		_, err := submit(t, d.f.warehouse(nil), anOrder(number))
		require.NoError(t, err)
	}
	d.q.Known = func(_ context.Context, ids []relay.WarehouseOrderID) ([]bool, error) {
		require.Len(t, ids, 1)
		d.asked[ids[0]] = true
		return []bool{d.knows[ids[0]] || strings.HasPrefix(string(ids[0]), "OTHER")}, nil
	}
	return d
}

// age has everything handed over two days ago, as after a weekend on which all was down.
func (d *doubts) age(numbers ...string) {
	d.t.Helper()
	old := time.Now().Add(-2 * doubtful)
	for _, number := range numbers {
		for _, name := range d.f.names(filepath.Join("sent", number)) {
			require.NoError(d.t, os.Chtimes(filepath.Join(d.f.dir, "sent", number, name), old, old))
		}
	}
}

// pull reads all there is, each page in another process.
func (d *doubts) pull() (told []string, unread []connectors.Unread) {
	d.t.Helper()
	for range 100 {
		some, unread, more := d.page()
		told = append(told, some...)
		if !more {
			return told, unread
		}
	}
	d.t.Fatal("the pages do not end")
	return nil, nil
}

func (d *doubts) page() (told []string, unread []connectors.Unread, more bool) {
	d.t.Helper()
	p, err := d.f.warehouse(connectors.Values{"profile": cmp.Or(d.profile, "standard")}).PullShipments(d.t.Context(), d.q)
	require.NoError(d.t, err)
	d.q.Cursor = p.Cursor
	for _, u := range p.Updates {
		said := u.Status
		for _, parcel := range u.Packages {
			said = parcel.TrackingNumber
		}
		told = append(told, string(u.ID)+" "+said)
	}
	return told, p.Unread, p.More
}

// A crash between handing an order over and writing that down leaves it in doubt.
// What files tell of it meanwhile waits until the ledger has found it, and nothing
// else does.
func TestNothingIsToldOfAnOrderInDoubt(t *testing.T) {
	d := newDoubts(t, "SO-1")
	d.f.write("out/ack_1.csv", lines("order,status,message", "OTHER-1,accepted,", "SO-1,accepted,", ",accepted,", "OTHER-2,accepted,"))
	d.f.write("out/shp_1.csv", lines(shipHeading, shipment("so-1", "1Z1"), shipment("OTHER-1", "1Z2")))
	told, unread := d.pull()
	require.Equal(t, []string{"OTHER-1 accepted", "OTHER-2 accepted", "OTHER-1 1Z2"}, told)
	require.Equal(t, []string{"ack_1.csv:4"}, subjects(unread))

	// Its files are put away like those that come later.
	d.f.write("out/shp_2.csv", lines(shipHeading, shipment("OTHER-2", "1Z3")))
	told, _ = d.pull()
	require.Equal(t, []string{"OTHER-2 1Z3"}, told)
	told, unread = d.pull()
	require.Empty(t, told)
	require.Equal(t, []string{"ack_1.csv:4"}, subjects(unread))
	require.Empty(t, d.f.names("out"))
	require.Equal(t, []string{"ack_1.csv", "ack_1.csv.why"}, d.f.names("out/problems"))
	require.Equal(t, []string{"shp_1.csv", "shp_2.csv"}, d.f.names("out/archive"))

	// Now it is known: in the order in which it was written, once.
	d.knows["SO-1"] = true
	told, _ = d.pull()
	require.Equal(t, []string{"SO-1 accepted", "SO-1 1Z1"}, told)
	told, unread = d.pull()
	require.Empty(t, told)
	require.Equal(t, []string{"ack_1.csv:4"}, subjects(unread))

	// One that is open is known without asking.
	d.f.write("out/shp_3.csv", lines(shipHeading, shipment("SO-1", "1Z4")))
	d.q.Open, d.knows["SO-1"] = []connectors.OpenOrder{{ID: "SO-1"}}, false
	told, _ = d.pull()
	require.Equal(t, []string{"SO-1 1Z4"}, told)
}

// A spreadsheet took the zeros off a number, or somebody mistyped it: what left is of
// no order that we know, and people hear of it until the file is mended.
func TestOrdersThatNobodyKnows(t *testing.T) {
	d := newDoubts(t, "0001042")
	d.q.Open = []connectors.OpenOrder{{ID: "0001042"}}
	d.f.write("out/ack_1.csv", lines("order,status,message", "no such number,accepted,", "0001042,accepted,"))
	d.f.write("out/shp_1.csv", lines(shipHeading, shipment("1042", "1Z1"), shipment("0001042", "1Z2")))
	want := []connectors.Unread{
		{Subject: "ack_1.csv", Line: 2, Message: "order: want the number of an order that was handed over here"},
		{Subject: "shp_1.csv", Line: 2, Message: "order: want the number of an order that was handed over here"},
	}
	told, unread := d.pull()
	require.Equal(t, []string{"0001042 accepted", "0001042 1Z2"}, told)
	require.ElementsMatch(t, want, unread)
	told, unread = d.pull()
	require.Empty(t, told)
	require.ElementsMatch(t, want, unread)

	d.f.write("out/shp_1.csv", lines(shipHeading, shipment("0001042", "1Z1")))
	told, _ = d.pull()
	require.Equal(t, []string{"0001042 1Z1"}, told)
	d.f.remove("out/problems/shp_1.csv")
	d.f.remove("out/problems/ack_1.csv")
	_, unread = d.pull()
	require.Empty(t, unread)

	// A partner that writes of other senders' orders too.
	f := newFolder(t)
	f.write("out/shp_1.csv", lines("order,tracking", "1042,1Z1"))
	p, err := f.warehouse(connectors.Values{"profile": `
extends: standard
shipments: {read: ["shp_*.csv"], other_orders: true, columns: [order, tracking]}
`}).PullShipments(t.Context(), d.q)
	require.NoError(t, err)
	require.Empty(t, p.Unread)
}

// Promise 3: the answer to an order that was handed over is heard, however late the
// ledger learns of the order; and meanwhile people hear that it waits.
func TestAnswerWaitsForTheLedger(t *testing.T) {
	for name, profile := range map[string]string{
		"standard": "standard",
		"other orders too": `
extends: standard
acknowledgements:
  read: ["ack_*.csv"]
  other_orders: true
  columns: [order, {field: status, words: {accepted: [accepted], refused: [rejected]}}, message]
`,
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoubts(t, "SO-1")
			d.profile = profile
			d.age("SO-1")
			d.f.write("out/ack_1.csv", lines("order,status,message", "OTHER-1,accepted,", "SO-1,rejected,no such street"))
			said, unread := d.pull()
			require.Equal(t, []string{"OTHER-1 accepted"}, said)
			want := []connectors.Unread{{Subject: "ack_1.csv", Line: 3, Message: "order: " + wantKnown}}
			require.Equal(t, want, unread)
			said, unread = d.pull()
			require.Empty(t, said)
			require.Equal(t, want, unread)
			require.Equal(t, []string{"ack_1.csv"}, d.f.names("out/archive"))

			d.knows["SO-1"] = true
			said, unread = d.pull()
			require.Equal(t, []string{"SO-1 rejected"}, said)
			require.Empty(t, unread)
		})
	}
}

// More answers than may wait, of orders that the ledger may never learn of: they stop
// nothing behind them. Whoever drops the file in again has them heard.
func TestMoreAnswersThanMayWaitForTheLedger(t *testing.T) {
	for name, removedFirst := range map[string]bool{"dropped in again": false, "removed first": true} {
		t.Run(name, func(t *testing.T) {
			d := newDoubts(t)
			var numbers, want []string
			text := "order,status,message\n"
			for n := range maxWaiting + 20 {
				number := fmt.Sprintf("SO-%03d", n)
				require.NoError(t, os.MkdirAll(filepath.Join(d.f.dir, "sent", number), 0o755))
				d.f.write("sent/"+number+"/"+orderFile, "handed over long ago")
				numbers, want, text = append(numbers, number), append(want, number+" accepted"), text+number+",accepted,\n"
			}
			d.f.write("out/ack_1.csv", text)
			d.f.write("out/ack_2.csv", lines("order,status,message", "OTHER-1,accepted,"))
			told, unread := d.pull()
			require.Equal(t, []string{"OTHER-1 accepted"}, told)
			require.Len(t, unread, len(numbers))

			for _, n := range numbers {
				d.knows[relay.WarehouseOrderID(n)] = true
			}
			told, _ = d.pull()
			require.Equal(t, want[:maxWaiting], told)
			_, unread = d.pull()
			require.Len(t, unread, 20)
			require.Contains(t, d.f.names("out/problems"), "ack_1.csv")
			if removedFirst {
				d.f.remove("out/problems/ack_1.csv")
			}
			d.f.write("out/ack_1.csv", text)
			told, _ = d.pull()
			require.Equal(t, want[maxWaiting:], told)
			told, _ = d.pull()
			require.Empty(t, told)
		})
	}
}

// Promise 3: as many answers as may wait of orders that the ledger never learns of
// keep nobody's news from being told, be it of one of them or of an order in doubt.
func TestNothingWaitsBehindWhatIsOverdue(t *testing.T) {
	for name, files := range map[string]int{"in one file": 1, "in many files": 50} {
		t.Run(name, func(t *testing.T) {
			d := newDoubts(t, "SO-1")
			const overdue = maxWaiting
			for i := range files {
				rows := []string{"order,status,message"}
				for n := i * overdue / files; n < (i+1)*overdue/files; n++ {
					number := fmt.Sprintf("OLD-%03d", n)
					require.NoError(t, os.MkdirAll(filepath.Join(d.f.dir, "sent", number), 0o755))
					d.f.write("sent/"+number+"/"+orderFile, "handed over long ago")
					rows = append(rows, number+",accepted,")
				}
				d.f.write(fmt.Sprintf("out/ack_%02d.csv", i), lines(rows...))
			}
			told, unread := d.pull()
			require.Empty(t, told)
			require.Len(t, unread, overdue)

			d.f.write("out/ack_x.csv", lines("order,status,message", "SO-1,accepted,", "OTHER-1,accepted,"))
			d.f.write("out/shp_1.csv", lines(shipHeading, shipment("OLD-000", "1Z0"), shipment("OTHER-1", "1Z1")))
			d.f.write("out/shp_2.csv", lines(shipHeading, shipment("OTHER-2", "1Z2")))
			told, unread = d.pull()
			require.Equal(t, []string{"OTHER-1 accepted", "OTHER-1 1Z1", "OTHER-2 1Z2"}, told)
			require.Contains(t, unread, connectors.Unread{Subject: "shp_1.csv", Line: 2, Message: "order: " + wantKnown})
			require.Less(t, len(d.q.Cursor), 64<<10)
			d.knows["SO-1"] = true
			told, _ = d.pull()
			require.Equal(t, []string{"SO-1 accepted"}, told)
		})
	}
}

// Promise 3: where no more may wait, people hear of it, and reading goes on as soon as
// there is room.
func TestNoMoreMayWait(t *testing.T) {
	for name, files := range map[string]int{"in one file": 1, "in many files": 50} {
		for then, age := range map[string]bool{"found": false, "overdue": true} {
			t.Run(name+", "+then, func(t *testing.T) {
				d := newDoubts(t)
				const rows = maxWaiting
				var handed []string
				for n := range rows {
					number := fmt.Sprintf("SO-%03d", n)
					d.handedOver(number)
					handed = append(handed, number)
				}
				i := 0
				for some := range slices.Chunk(handed, rows/files) {
					d.f.write(fmt.Sprintf("out/ack_%02d.csv", i), lines("order,status,message", strings.Join(some, ",accepted,\n")+",accepted,"))
					i++
				}
				d.f.write("out/shp_1.csv", lines(shipHeading, shipment("SO-000", "1Z0")))
				d.f.write("out/shp_2.csv", lines(shipHeading, shipment("OTHER-1", "1Z1")))
				told, unread := d.pull()
				require.Empty(t, told)
				require.Equal(t, []connectors.Unread{{Subject: "shp_1.csv", Line: 2, Message: wantRoom}}, unread)
				if age {
					d.age(handed...)
					told, unread := d.pull()
					require.Equal(t, []string{"OTHER-1 1Z1"}, told)
					require.GreaterOrEqual(t, len(unread), rows)
					return
				}
				for _, number := range handed {
					d.knows[relay.WarehouseOrderID(number)] = true
				}
				told, unread = d.pull()
				require.Len(t, told, rows+2)
				require.Equal(t, "SO-000 1Z0", told[rows], "its answer goes before its parcel")
				require.Empty(t, unread)
				d.pull()
				require.Len(t, d.f.names("out/archive"), files+2)
			})
		}
	}
}

// The ledger finds the order between two files of one page: what the first says of
// it still goes before what the second says.
func TestWhatWaitsIsToldInOrder(t *testing.T) {
	d := newDoubts(t, "SO-1")
	asked := 0
	d.q.Known = func(context.Context, []relay.WarehouseOrderID) ([]bool, error) {
		asked++
		return []bool{asked > 1}, nil
	}
	d.f.write("out/ack_1.csv", lines("order,status,message", "SO-1,accepted,"))
	d.f.write("out/ack_2.csv", lines("order,status,message", "SO-1,rejected,"))
	told, _ := d.pull()
	require.Empty(t, told)
	told, _ = d.pull()
	require.Equal(t, []string{"SO-1 accepted", "SO-1 rejected"}, told)
}

// More than the cursor has room for: what is beyond that waits with all behind it.
func TestManyOrdersInDoubt(t *testing.T) {
	var numbers []string
	for n := range maxWaiting + 20 {
		numbers = append(numbers, fmt.Sprintf("SO-%03d", n))
	}
	d := newDoubts(t, numbers...)
	text, want := "order,status,message\n", []string(nil)
	for _, n := range numbers {
		text += n + ",accepted,\n"
		want = append(want, n+" accepted")
	}
	d.f.write("out/ack_1.csv", text+"OTHER-1,accepted,\n")
	for range 2 {
		told, _ := d.pull()
		require.Empty(t, told)
	}
	require.Less(t, len(d.q.Cursor), 32<<10)
	for _, n := range numbers[10:] {
		d.knows[relay.WarehouseOrderID(n)] = true
	}
	told, _ := d.pull()
	first := told
	require.NotContains(t, told, want[0])
	for _, n := range numbers {
		d.knows[relay.WarehouseOrderID(n)] = true
	}
	for range 2 {
		told, _ = d.pull()
		first = append(first, told...)
	}
	require.ElementsMatch(t, append(want, "OTHER-1 accepted"), first)
	require.Equal(t, []string{"ack_1.csv"}, d.f.names("out/archive"))
}
