package simulator

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors/simkit/simtest"
)

func (w *world) restart() {
	simtest.Killed(w.t, w.cfg.Journal, w.stop)
	w.start()
}

func TestJournalBringsEverythingBack(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Journal = filepath.Join(t.TempDir(), "journal")
		c.Progress = Progress{ImportAfter: time.Minute, ProductAfter: time.Hour}
	}).stocked()
	w.behave(func(b *Behaviour) { b.UnknownUPCLater, b.AcceptDuplicates = true, true })
	for _, n := range []string{"shipped", "part", "cancelled", "open", "held"} {
		w.placed(n, lines(tee, "1", long, "1"))
	}
	w.placed("short", lines(tee, "9"))
	w.placed("failed", lines("unknown", "1"))
	w.clock.Pass(time.Minute)
	w.token = w.login(w.cfg.Accounts[0])
	require.NoError(t, w.sim.Ship("shipped"))
	require.NoError(t, w.sim.Ship("part", Package{Items: map[string]int64{tee: 1}}))
	require.NoError(t, w.sim.Hold("held"))
	require.NoError(t, w.sim.Step("open"))
	w.call("CancelPickTicket", kv{"PickTicketId", "cancelled"})
	w.placed("staged", lines(tee, "1"))
	w.placed("staged", lines(tee, "2"))
	w.send("StyleMasterProductAdd", `<StyleMasterProductAdd `+tns+`>`+kv{upperToken, w.token}.xml()+`<products>`+productXML("Style", "CAP", "Color", "red", "Size", "M", "UPC", "1")+`</products></StyleMasterProductAdd>`)

	see := func() string {
		var all strings.Builder
		for _, v := range w.sim.Orders("") {
			fmt.Fprintln(&all, v, w.call("GetPickTicketObjectByBarCode", kv{"ptbarcode", v.Number}).inside(), w.call("GetPickTicketAddStatus", kv{"pickTicketNumber", v.Number}).inside())
		}
		fmt.Fprintln(&all, w.sim.Stock(""), w.call("GetInventory").inside(), w.call("GetInventoryFromDateTime", kv{"FromDateTime", "03/14/2025 11:01:00"}).inside())
		fmt.Fprintln(&all, w.call("GetStyleMasterProductAddStatus", kv{"UPC", "1"}).inside(), w.call("GetPickTicketsByOrderNumber", kv{"orderNumber", "open"}).inside())
		return all.String()
	}
	before := see()
	for range 2 { // once from the lines, once from the compacted file
		w.restart()
		require.Equal(t, before, see(), "the token still works too")
	}
	w.clock.Pass(29 * time.Minute)
	w.restart()
	require.Len(t, w.sim.Orders(""), 9)
	v, _ := w.sim.Order("staged")
	require.Equal(t, newClock().Now().Add(2*time.Minute), v.ImportedAt, "time went on while the process was down, and imports came when they were due")
	w.token = w.login(w.cfg.Accounts[0])
	require.NoError(t, w.sim.Ship("open"))
	v, _ = w.sim.Order("open")
	shipped, _ := w.sim.Order("shipped")
	require.NotContains(t, before, v.Cartons[0].TrackingNumber)
	require.NotEqual(t, shipped.Cartons[0].TrackingNumber, v.Cartons[0].TrackingNumber, "cartons are counted on")
	require.NoError(t, w.sim.SetStock(tee, "NJ2", 100))
	require.Equal(t, StatusNew, w.state("short"), "it still waits for stock")
}

func TestJournalSurvivesATornLine(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Journal = filepath.Join(t.TempDir(), "journal")
		c.Progress.ImportAfter = time.Minute
	}).stocked()
	kept, torn := w.placed("SO1"), w.placed("SO2")
	raw, err := os.ReadFile(w.cfg.Journal)
	require.NoError(t, err, "answered changes are in the file before Close")
	require.Equal(t, byte('\n'), raw[len(raw)-1])
	for cut := 1; cut < 400; cut += 57 {
		cfg := w.cfg
		cfg.Journal = filepath.Join(t.TempDir(), "torn")
		require.NoError(t, os.WriteFile(cfg.Journal, raw[:len(raw)-cut], 0o600))
		sim, err := New(cfg)
		require.NoError(t, err)
		_, found := sim.Order(kept)
		require.True(t, found)
		_, found = sim.Order(torn)
		require.False(t, found)
		require.NoError(t, sim.Close())
	}
}

func TestJournalRefusesWhatIsNotItsOwn(t *testing.T) {
	cfg := testConfig(newClock())
	cfg.Journal = filepath.Join(t.TempDir(), "journal")
	sim, err := New(cfg)
	require.NoError(t, err)
	require.NoError(t, sim.Close())
	other := cfg
	other.Seed = 8
	_, err = New(other)
	require.ErrorContains(t, err, "other settings")

	raw, err := os.ReadFile(cfg.Journal)
	require.NoError(t, err)
	for _, line := range []string{
		"{\n", `{"account":"NOBODY"}` + "\n", `{"account":"ACME1A","stock":[{"upc":"1","warehouse":"MOON"}]}` + "\n",
		`{"account":"ACME1A","tickets":[{"n":2,"fields":{}}]}` + "\n", `{"account":"ACME1A","tickets":[null]}` + "\n", `{"account":"ACME1A","products":[null]}` + "\n",
	} {
		require.NoError(t, os.WriteFile(cfg.Journal, append(raw[:len(raw):len(raw)], line...), 0o600))
		_, err = New(cfg)
		require.ErrorContains(t, err, "line", "damage in the middle is not passed over: %s", line)
	}
}

func TestUnwritableJournalIsNotHidden(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Journal = filepath.Join(t.TempDir(), "journal") }).stocked()
	require.NoError(t, w.sim.journal.Close(), "nothing can be written any more")
	for i := range 2 {
		r, err := w.post("PickTicketAdd", enveloped(order(fmt.Sprint("SO", i)).xml(w.token)))
		require.NoError(t, err)
		require.Equal(t, 500, r.status)
		require.Contains(t, r.text("faultstring"), "journal")
	}
}

func TestSameSeedSameAnswers(t *testing.T) {
	run := func(seed int64) string {
		w := newWorld(t, func(c *Config) { c.Seed = seed; c.Progress = Progress{CartonsEvery: 2} }).stocked()
		require.NoError(t, w.sim.Inject(Fault{Operation: "PickTicketAdd", Kind: Error503, Rate: 0.5}))
		all := w.token
		for i := range 6 {
			r, err := w.post("PickTicketAdd", enveloped(order(fmt.Sprint("SO", i), lines(tee, "1")).xml(w.token)))
			require.NoError(t, err)
			all += fmt.Sprintln(r.status, r.raw)
		}
		for _, o := range w.sim.Orders("") {
			require.NoError(t, w.sim.Ship(o.Number))
			all += w.call("GetPickTicketObjectItemsInBoxesV2", kv{"ptbarcode", o.Number}).raw
		}
		return all
	}
	require.Equal(t, run(1), run(1))
	require.NotEqual(t, run(1), run(2))
}
