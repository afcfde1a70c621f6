package simulator

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// filled adds n products, so 2n inventory rows.
func (w *world) filled(n int) *world {
	w.t.Helper()
	for i := range n {
		require.NoError(w.t, w.sim.AddProduct(Product{UPC: fmt.Sprintf("8400112%05d", i), Style: fmt.Sprint("S", i), Color: "navy", Size: "M"}))
	}
	w.token = w.login(w.cfg.Accounts[0])
	return w
}

func (w *world) batch(n int) (upcs []string, total string) {
	w.t.Helper()
	r := w.call("GetInventoryByBatch", kv{"batchNumber", fmt.Sprint(n)})
	return r.texts("Upc"), r.text("TotalNumberOfBatches")
}

func TestInventoryBatches(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Behaviour.BatchSize = 4 }).filled(5)
	all := w.call("GetInventory").texts("Upc")
	require.Len(t, all, 10, "each product once a warehouse, also with nothing")
	walk := func(first, n int) (got []string) {
		for i := range n {
			upcs, total := w.batch(first + i)
			require.Equal(t, "3", total)
			got = append(got, upcs...)
		}
		return got
	}
	require.Equal(t, all, walk(1, 3))
	for _, beyond := range []int{-1, 0, 4} {
		upcs, total := w.batch(beyond)
		require.Empty(t, upcs)
		require.Equal(t, "3", total)
	}
	w.behave(func(b *Behaviour) { b.FirstBatch0 = true })
	require.Equal(t, all, walk(0, 3))
	w.behave(func(b *Behaviour) { b.FirstBatch0, b.MovingRows = false, 1 })
	require.Equal(t, append(append(append([]string{}, all[:4]...), all[3:7]...), all[6:]...), walk(1, 3), "rows move back: some come twice")
	w.behave(func(b *Behaviour) { b.MovingRows = -1 })
	require.Equal(t, append(append([]string{}, all[:4]...), all[5:9]...), walk(1, 3), "rows move forward: some are missed")

	w.behave(func(b *Behaviour) { b.MovingRows = 0 })
	require.NoError(t, w.sim.Inject(Fault{Operation: "GetInventoryByBatch", Kind: RepeatedBatch}))
	require.NoError(t, w.sim.Inject(Fault{Operation: "GetInventoryByBatch", Kind: ShiftedBatch}))
	require.Equal(t, append(append(append([]string{}, all[:4]...), all[:4]...), all[7:]...), walk(1, 3))
	require.Equal(t, map[string]int64{"repeated_batch": 1, "shifted_batch": 1}, w.sim.Stats().Faults)
}

func TestInventoryChanges(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Behaviour.BatchSize = 1 }).stocked()
	since := func(text string) []string {
		rows := w.call("GetInventoryFromDateTime", kv{"FromDateTime", text}).texts("Upc")
		var batched []string
		for i := 1; ; i++ {
			r := w.call("GetInventoryFromDateTimeByBatch", kv{"fromDateTime", text}, kv{"batchNumber", fmt.Sprint(i)})
			if i > len(rows) {
				require.Equal(t, fmt.Sprint(len(rows)), r.text("TotalNumberOfBatches"))
				require.Empty(t, r.texts("Upc"))
				require.Equal(t, rows, batched)
				return rows
			}
			batched = append(batched, r.texts("Upc")...)
		}
	}
	require.Equal(t, []string{tee, long}, since("03/14/2025 11:00:00"), "eleven in New York: the second itself counts")
	require.Empty(t, since("03/14/2025 11:00:01"))
	w.clock.Pass(time.Minute)
	require.NoError(t, w.sim.SetStock(tee, "NJ2", 10))
	require.Empty(t, since("03/14/2025 11:00:01"), "the same level is no change")
	w.placed("SO1", lines(long, "1"))
	require.Equal(t, []string{long}, since("03/14/2025 11:01:00"), "a promise is a change")
	w.clock.Pass(time.Minute)
	require.NoError(t, w.sim.Ship("SO1"))
	require.Equal(t, []string{long}, since("03/14/2025 11:02"))
	r := w.call("GetProductQuantitiesByUpc", kv{"UPC", long})
	require.Equal(t, []string{"4", "0"}, r.texts("ActualQuantity"))
	w.placed("SO2", lines(long, "3"))
	require.NoError(t, w.sim.Step("SO2"))
	r = w.call("GetProductQuantitiesByUpc", kv{"UPC", long})
	require.Equal(t, []string{"3", "0"}, r.texts("PendingQuantity"))
	require.Equal(t, []string{"3", "0"}, r.texts("AllocatedQuantity"))
	require.Empty(t, w.call("GetProductQuantitiesByUpc", kv{"UPC", "unknown"}).texts("Upc"))

	w.behave(func(b *Behaviour) { b.UnknownUPCRefused = true })
	ask := func(upcs ...string) received {
		return w.send("GetInventoryByUPCs", `<GetInventoryByUPCs `+tns+`>`+kv{upperToken, w.token}.xml()+`<UPCs><string>`+strings.Join(upcs, `</string><string>`)+`</string></UPCs></GetInventoryByUPCs>`)
	}
	require.Equal(t, []string{"33"}, ask(tee, "unknown").codes())
	require.Equal(t, []string{tee, long, tee, long}, ask(tee, long, tee).texts("Upc"), "grouped by warehouse, each once")
}

func productXML(pairs ...string) string {
	var list []kv
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, kv{pairs[i], pairs[i+1]})
	}
	return `<StyleMasterProduct>` + inSpace("StyleMasterProduct.xsd", list) + `</StyleMasterProduct>`
}

func TestProducts(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Progress.ProductAfter = 10 * time.Minute }).stocked()
	add := func(products ...string) received {
		return w.send("StyleMasterProductAdd", `<StyleMasterProductAdd `+tns+`>`+kv{upperToken, w.token}.xml()+`<products>`+strings.Join(products, "")+`</products></StyleMasterProductAdd>`)
	}
	status := func(upc string) string {
		r := w.call("GetStyleMasterProductAddStatus", kv{"UPC", upc})
		return r.text("ErrorCode") + " " + r.text("Severity") + " " + r.text("Message")
	}
	r := add(productXML("Style", "CAP", "Size", "M", "UPC", "1"), productXML("Style", "CAP", "Color", "red", "Size", "", "UPC", "", "Price", "-1"))
	require.Equal(t, []string{"COLOR[item 1] is not valid", "SIZE[item 2] is not valid", "UPC[item 2] is not valid", "PRICE[item 2] is not valid"}, r.texts("Message"))
	require.Equal(t, []string{"31", "32", "33", "43"}, r.codes())
	require.Equal(t, "33 UpcCodeError UPC is not valid", status("1"))

	cap1 := productXML("Style", "CAP", "Color", "red", "Size", "M", "UPC", "1", "Price", "12.5")
	require.Equal(t, []string{"Data saved successfully"}, add(cap1, productXML("Style", "TEE-09", "Color", "navy", "Size", "M", "UPC", tee)).texts("Message"))
	require.Equal(t, "87 PendingImport Pending import", status("1"))
	require.Equal(t, []string{"33"}, w.add(order("SO1", lines("1", "1"))).codes(), "not in the style master yet")
	require.Empty(t, w.call("GetInventoryByStyle", kv{"style", "CAP"}).texts("Upc"))
	w.clock.Pass(10 * time.Minute)
	require.Equal(t, "0 Success Data imported successfully", status("1"))
	require.Equal(t, "1 Error Failed: product has stock or open tickets", status(tee))
	require.Equal(t, []string{"12.5", "12.5"}, w.call("GetInventoryByStyle", kv{"style", "cap"}).texts("Price"))
	add(cap1)
	w.clock.Pass(10 * time.Minute)
	require.Equal(t, "0 Success Data imported successfully", status("1"), "the same again changes nothing")

	w.token = w.login(w.cfg.Accounts[0])
	update := func(upc string) received {
		return w.send("StyleMasterProductUpdateByUpc", `<StyleMasterProductUpdateByUpc `+tns+`>`+kv{lowerToken, w.token}.xml()+
			`<product><Upc>`+upc+`</Upc><Style>CAP-2</Style><UnitPrice>9</UnitPrice></product></StyleMasterProductUpdateByUpc>`)
	}
	require.Equal(t, []string{"33"}, update("unknown").codes())
	require.Equal(t, []string{"0"}, update("1").codes())
	require.Equal(t, []string{"9", "9"}, w.call("GetInventoryByStyle", kv{"style", "CAP-2"}).texts("Price"))
}
