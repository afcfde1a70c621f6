package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"orderferry/relay"
	"orderferry/store"
)

// inventoryLedger is what the ledger knows of the stock that carts show.
type inventoryLedger interface {
	StockStory(ctx context.Context, m store.Merchant, mappings relay.Mappings, carts []store.Connection, name string, orders int) (store.StockStory, error)
	CartLevels(ctx context.Context, q store.CartLevelsQuery) (store.CartLevelsPage, error)
}

func (a *app) inventoryCommand() *cobra.Command {
	group := a.group("inventory", "Explain and list the stock that carts show", `Explain and list the stock that carts show: what the warehouse says, less what is
booked and kept back.`, `  ferry inventory show --merchant acme CUP
  ferry inventory list --merchant acme --errors`)
	group.AddCommand(a.inventoryShowCommand(), a.inventoryListCommand())
	return group
}

func onlyCartFlag(cmd *cobra.Command, to *relay.ConnectionName) {
	cmd.Flags().Var(word(to, relay.ParseConnectionName, "name"), "cart", "only this cart (default: all carts)")
}

// cartsOf are the merchant's carts, or the one that is named.
func cartsOf(m store.Merchant, name relay.ConnectionName) ([]store.Connection, error) {
	var carts []store.Connection
	for _, c := range m.Connections {
		if c.Role == "cart" && (name == "" || c.Name == name) {
			carts = append(carts, c)
		}
	}
	if len(carts) == 0 && name != "" {
		return nil, fmt.Errorf("cart %s of merchant %s: %w; it has %s", name, m.ID, store.ErrNotFound, join(cartNames(m)))
	}
	return carts, nil
}

func (a *app) inventoryShowCommand() *cobra.Command {
	var id relay.MerchantID
	var cart relay.ConnectionName
	orders := 20
	cmd := a.verb(cobra.Command{
		Use:   "show SKU|CODE",
		Short: "Explain what carts show of a SKU",
		Long: `Explain what carts show of a SKU or, for an item code of the warehouse, of all SKUs
that are made of it: what the warehouse said of each site and when, which orders
are subtracted because its figure does not leave them out, what is kept back by
buffers and floor, the parts of kits, what each cart was told last and when, and
what comes next.`,
		Example: `  ferry inventory show --merchant acme CUP
  ferry inventory show --merchant acme --cart main --output json GIFT`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || strings.TrimSpace(args[0]) == "" {
				return fmt.Errorf("want one SKU or item code; got %d", len(args))
			}
			return nil
		},
	}, func(ctx context.Context, args []string) error {
		return a.showInventory(ctx, id, cart, strings.TrimSpace(args[0]), orders)
	})
	merchantFlag(cmd, &id)
	onlyCartFlag(cmd, &cart)
	cmd.Flags().Var(&numberFlag[int]{&orders, mostRows, fmt.Sprintf("1 to %d", mostRows), "int"}, "orders", "most orders to name of each item code")
	needs(cmd, "merchant")
	return cmd
}

func (a *app) showInventory(ctx context.Context, id relay.MerchantID, cart relay.ConnectionName, name string, orders int) error {
	l, m, err := a.merchant(ctx, id)
	if err != nil {
		return err
	}
	carts, err := cartsOf(m, cart)
	if err != nil {
		return err
	}
	t, err := translation(ctx, l, m)
	if err != nil {
		return err
	}
	s, err := l.StockStory(ctx, m, t, carts, name, orders)
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("%q is no SKU of merchant %s that is mapped, and no item code that its warehouse names: %w", clip(name), id, store.ErrNotFound)
	}
	if err != nil {
		return err
	}
	return a.print(newInventoryView(m, name, s))
}

type inventoryView struct {
	Merchant relay.MerchantID `json:"merchant"`
	Name     string           `json:"name"`
	Codes    []codeView       `json:"item_codes"`
	SKUs     []skuView        `json:"skus"`
}

// codeView is what the warehouse says of an item code.
type codeView struct {
	Code       relay.ItemCode `json:"item_code"`
	Named      bool           `json:"named"` // by the warehouse: what it does not name is not sent
	StandsAsOf *time.Time     `json:"stands_as_of,omitempty"`
	Sites      []siteView     `json:"sites"`
	// Booked units are subtracted; of those left out of the figure it was told that they are.
	Booked  unitsView    `json:"booked"`
	LeftOut unitsView    `json:"left_out"`
	Orders  []bookedView `json:"orders"` // of the booked ones, the first
}

type unitsView struct {
	Orders int64 `json:"orders"`
	Units  int64 `json:"units"`
}

type siteView struct {
	Site      string         `json:"site"` // "" for a warehouse that names none
	Quantity  relay.Quantity `json:"quantity"`
	Meaning   string         `json:"meaning"` // "available": accepted orders are left out of it; "on_hand": physical stock
	ChangedAt *time.Time     `json:"changed_at"`
}

type bookedView struct {
	Reference relay.Reference      `json:"reference"`
	Cart      relay.ConnectionName `json:"cart"`
	Location  string               `json:"location,omitempty"`
	State     relay.OrderState     `json:"state"`
	Units     int64                `json:"units"`
	LeftOut   int64                `json:"left_out"` // of them, by the figure
}

// skuView is what a cart shows of a SKU.
type skuView struct {
	Cart   relay.ConnectionName `json:"cart"`
	SKU    relay.SKU            `json:"sku"`
	Is     string               `json:"is"` // "alias", "kit", "as_is" or "unknown"
	Rules  relay.StockRules     `json:"rules"`
	Levels []explainedView      `json:"locations"` // the cart's own first
}

type explainedView struct {
	levelView
	Parts []partView `json:"parts"`
	Whole int64      `json:"whole"` // before the floor
}

type partView struct {
	Code     relay.ItemCode `json:"item_code"`
	Units    int64          `json:"units"` // of it in one of the SKU
	Sites    []string       `json:"sites"` // whose figures are summed; none: not known
	Reported relay.Quantity `json:"reported"`
	Booked   int64          `json:"booked"`
	Moved    relay.Quantity `json:"moved"` // more that is booked, or short, at other locations
	Kept     int64          `json:"kept"`
	Free     int64          `json:"free"`
}

// levelView is a level of a cart, and what it was told.
type levelView struct {
	Location  string    `json:"location"` // "" is the cart's own
	Known     bool      `json:"known"`
	Available int64     `json:"available"` // with known
	Owed      int64     `json:"owed"`
	Sent      *sentView `json:"sent,omitempty"`
	Differs   bool      `json:"differs"` // from what was sent
	Next      string    `json:"next"`    // in words
}

type sentView struct {
	Available relay.Quantity  `json:"available"`
	Owed      *relay.Quantity `json:"owed"` // null: a shipment was told since, so the cart shows something else now
	At        *time.Time      `json:"at"`
	Error     string          `json:"error,omitempty"`
	RetryAt   *time.Time      `json:"retry_at,omitempty"`
}

func newLevelView(l store.CartLevel) levelView {
	v := levelView{Location: l.Location, Known: l.Known, Owed: l.Owed, Differs: l.Differs(), Next: nextOf(l)}
	if l.Known {
		v.Available = l.Available
	}
	if s := l.Sent; s != nil {
		v.Sent = &sentView{Available: s.Available, At: utc(s.At), Error: s.Error, RetryAt: utc(s.RetryAt)}
		if s.Owed >= 0 {
			owed := s.Owed
			v.Sent.Owed = &owed
		}
	}
	return v
}

// nextOf says what becomes of a level.
func nextOf(l store.CartLevel) string {
	switch {
	case len(l.Missing) > 0:
		return "not sent: no item code for " + join(l.Missing)
	case len(l.Parts) == 0:
		return "not sent: nothing says what it is made of"
	case !l.Known:
		var codes []string
		for _, p := range l.Parts {
			if len(p.Sites) == 0 {
				codes = append(codes, string(p.Code))
			}
		}
		where := "the cart's own location"
		if l.Location != "" {
			where = "location " + l.Location
		}
		return fmt.Sprintf("not sent: the warehouse tells nothing of %s at the sites of %s", strings.Join(codes, ", "), where)
	case l.Due():
		return "sent with the next push of stock"
	case l.Sent.Error != "":
		return "not taken by the cart; sent again after " + stamp(l.Sent.RetryAt)
	}
	return "as it was sent"
}

func newInventoryView(m store.Merchant, name string, s store.StockStory) inventoryView {
	v := inventoryView{Merchant: m.ID, Name: name, Codes: []codeView{}, SKUs: []skuView{}}
	for _, c := range s.Codes {
		code := codeView{Code: c.Code, Named: len(c.Sites) > 0, StandsAsOf: utc(c.StandsAsOf), Sites: []siteView{}, Orders: []bookedView{},
			Booked: unitsView(c.Booked), LeftOut: unitsView(c.LeftOut)}
		for _, site := range c.Sites {
			code.Sites = append(code.Sites, siteView{site.Site, site.Quantity, site.Meaning, utc(site.ChangedAt)})
		}
		for _, o := range c.Orders {
			code.Orders = append(code.Orders, bookedView{o.Reference, o.Cart, o.Location, o.State, o.Units, o.LeftOut})
		}
		v.Codes = append(v.Codes, code)
	}
	for _, c := range s.Carts {
		sku := skuView{Cart: c.Cart.Name, SKU: c.SKU, Is: isAlias, Rules: c.Cart.Rules.Stock, Levels: []explainedView{}}
		switch {
		case c.Mapping.Kit != nil:
			sku.Is = isKit
		case c.Mapping.AsIs && m.Unaliased != relay.SendUnaliased:
			sku.Is = isUnknown
		case c.Mapping.AsIs:
			sku.Is = isAsIs
		}
		for _, l := range c.Levels {
			e := explainedView{levelView: newLevelView(l), Parts: []partView{}, Whole: l.Whole}
			for _, p := range l.Parts {
				e.Parts = append(e.Parts, partView{p.Code, p.Units, orNone(p.Sites), p.Reported, p.Booked, p.Moved, p.Kept, p.Free})
			}
			sku.Levels = append(sku.Levels, e)
		}
		v.SKUs = append(v.SKUs, sku)
	}
	return v
}

func (v inventoryView) text(p *page) {
	for i, c := range v.Codes {
		if i > 0 {
			p.gap()
		}
		c.text(p)
	}
	for _, s := range v.SKUs {
		p.gap()
		s.text(p)
	}
}

func (c codeView) text(p *page) {
	if !c.Named {
		p.line("item code %s: the warehouse does not name it", c.Code)
		return
	}
	p.line("item code %s, by the warehouse as of %s", c.Code, stampOf(c.StandsAsOf))
	var rows [][]string
	for _, s := range c.Sites {
		meaning := "without what accepted orders hold"
		if s.Meaning == "on_hand" {
			meaning = "all that is there"
		}
		rows = append(rows, []string{orDash(s.Site), s.Quantity.String(), meaning, stampOf(s.ChangedAt)})
	}
	p.table([]string{"SITE", "QUANTITY", "MEANING", "SINCE"}, rows)
	p.line("subtracted: %d of %s; left out of the figures already: %d of %s",
		c.Booked.Units, relay.Many(c.Booked.Orders, "order"), c.LeftOut.Units, relay.Many(c.LeftOut.Orders, "order"))
	rows = nil
	for _, o := range c.Orders {
		rows = append(rows, []string{string(o.Reference), string(o.Cart), o.Location, string(o.State), strconv.FormatInt(o.Units, 10), strconv.FormatInt(o.LeftOut, 10)})
	}
	p.table([]string{"ORDER", "CART", "LOCATION", "STATE", "UNITS", "LEFT OUT"}, rows)
	if more := c.Booked.Orders - int64(len(c.Orders)); more > 0 {
		p.line("and %s more: --orders names more of them", relay.Many(more, "order"))
	}
}

func (s skuView) text(p *page) {
	is := map[string]string{isAlias: "an alias", isKit: "a kit", isAsIs: "its own item code", isUnknown: "not mapped"}[s.Is]
	p.line("cart %s, SKU %s: %s", s.Cart, s.SKU, is)
	for _, l := range s.Levels {
		at := "own location"
		if l.Location != "" {
			at = "location " + l.Location
		}
		var parts []string
		for _, t := range l.Parts {
			parts = append(parts, t.words())
		}
		shown := "nothing is known"
		if l.Known {
			shown = strconv.FormatInt(l.Available, 10) + " available"
			if l.Available != l.Whole {
				shown += fmt.Sprintf(" (%d is below the floor of %d)", l.Whole, s.Rules.Floor)
			}
			shown += fmt.Sprintf(", %d owed", l.Owed)
		}
		rows := [][2]string{{at, shown}}
		for _, words := range parts {
			rows = append(rows, [2]string{"from", words})
		}
		rows = append(rows, [2]string{"sent", l.sent()}, [2]string{"next", l.Next})
		p.pairs(rows...)
	}
}

// words tells how what is free of a part comes about.
func (t partView) words() string {
	var b strings.Builder
	if t.Units > 1 {
		fmt.Fprintf(&b, "%d x ", t.Units)
	}
	fmt.Fprintf(&b, "%s: ", t.Code)
	if len(t.Sites) == 0 {
		b.WriteString("not told")
		return b.String()
	}
	sites := make([]string, len(t.Sites))
	for i, s := range t.Sites {
		sites[i] = orDash(s)
	}
	fmt.Fprintf(&b, "%s at %s", t.Reported, strings.Join(sites, ", "))
	if t.Booked > 0 {
		fmt.Fprintf(&b, ", less %d booked", t.Booked)
	}
	if t.Moved > 0 {
		fmt.Fprintf(&b, ", less %s that other locations are short of", t.Moved)
	}
	if t.Kept > 0 {
		fmt.Fprintf(&b, ", less %d kept back", t.Kept)
	}
	fmt.Fprintf(&b, ": %d free", t.Free)
	return b.String()
}

func (l levelView) sent() string {
	s := l.Sent
	if s == nil {
		return "never"
	}
	words := fmt.Sprintf("%s available at %s", s.Available, stampOf(s.At))
	if s.Owed == nil {
		words = fmt.Sprintf("%s available at %s, and a shipment since", s.Available, stampOf(s.At))
	} else if *s.Owed > 0 {
		words = fmt.Sprintf("%s available, %s owed at %s", s.Available, s.Owed, stampOf(s.At))
	}
	if s.Error != "" {
		return words + "; not taken: " + s.Error
	}
	return words
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// inventoryRequest says which levels to list.
type inventoryRequest struct {
	merchant        relay.MerchantID
	cart            relay.ConnectionName
	differs, errors bool
	limit           int // 0: all
}

func (r inventoryRequest) keep(l store.CartLevel) bool {
	return (!r.differs || l.Differs()) && (!r.errors || l.Sent != nil && l.Sent.Error != "")
}

func (a *app) inventoryListCommand() *cobra.Command {
	var r inventoryRequest
	cmd := a.longVerb(cobra.Command{
		Use:   "list",
		Short: "List what carts show, and what they were told",
		Long: `List what a merchant's carts should show of each SKU at each location, and what they
were told last. With --differs only those that the cart is to be told anew, with
--errors only those that the cart did not take. All are listed, as they are read,
unless --limit ends the list sooner.`,
		Example: `  ferry inventory list --merchant acme
  ferry inventory list --merchant acme --cart main --errors
  ferry inventory list --merchant acme --differs --limit 50 --output json`,
	}, noLimit, func(ctx context.Context, _ []string) error { return a.listInventory(ctx, r) })
	merchantFlag(cmd, &r.merchant)
	onlyCartFlag(cmd, &r.cart)
	cmd.Flags().BoolVar(&r.differs, "differs", false, "only levels that differ from what was sent")
	cmd.Flags().BoolVar(&r.errors, "errors", false, "only levels that the cart did not take")
	cmd.Flags().Var(&numberFlag[int]{&r.limit, math.MaxInt32, "a number from 1 on", "int"}, "limit", "most levels to list; without it, all")
	cmd.Flags().Lookup("limit").DefValue = ""
	needs(cmd, "merchant")
	return cmd
}

// levelsAtOnce is how many SKUs are read and printed at once.
const levelsAtOnce = 1000

func (a *app) listInventory(ctx context.Context, r inventoryRequest) error {
	l, m, err := a.merchant(ctx, r.merchant)
	if err != nil {
		return err
	}
	carts, err := cartsOf(m, r.cart)
	if err != nil {
		return err
	}
	t, err := translation(ctx, l, m)
	if err != nil {
		return err
	}
	out := levelList{app: a, limit: r.limit}
	for _, cart := range carts {
		if out.more {
			break
		}
		q := store.CartLevelsQuery{Merchant: m, Mappings: t, Cart: cart, Limit: levelsAtOnce, Keep: r.keep}
		for more := true; more && !out.more; {
			page, err := l.CartLevels(ctx, q)
			if err != nil {
				return err
			}
			if err := out.add(cart.Name, page.Levels); err != nil {
				return err
			}
			q.After, more = page.After, page.More
		}
	}
	return out.end()
}

// listedLevel is a level in a list.
type listedLevel struct {
	Cart relay.ConnectionName `json:"cart"`
	SKU  relay.SKU            `json:"sku"`
	levelView
}

// levelList prints a list of any length as it comes: {"levels": [...], "more": false}.
type levelList struct {
	app   *app
	limit int // 0: none
	count int
	more  bool // there are more than asked for
}

func (o *levelList) add(cart relay.ConnectionName, levels []store.CartLevel) error {
	if o.limit > 0 && len(levels) > o.limit-o.count {
		levels, o.more = levels[:o.limit-o.count], true
	}
	var b bytes.Buffer
	var rows [][]string
	for _, l := range levels {
		v := listedLevel{cart, l.SKU, newLevelView(l)}
		if o.app.output == jsonOut {
			lead := ",\n    "
			if o.count == 0 {
				lead = "{\n  \"levels\": [\n    "
			}
			b.WriteString(lead)
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(false)
			e.SetIndent("    ", "  ")
			if err := e.Encode(v); err != nil {
				return fmt.Errorf("print the result: %w", err)
			}
			b.Truncate(b.Len() - 1) // the encoder ends with a line break
		} else {
			if o.count == 0 {
				rows = append(rows, []string{"CART", "SKU", "LOCATION", "AVAILABLE", "OWED", "SENT", "NEXT"})
			}
			rows = append(rows, v.row())
		}
		o.count++
	}
	(&page{&b}).columns(rows)
	return o.write(b.Bytes())
}

func (v listedLevel) row() []string {
	available := "unknown"
	if v.Known {
		available = strconv.FormatInt(v.Available, 10)
	}
	return []string{string(v.Cart), string(v.SKU), v.Location, available, strconv.FormatInt(v.Owed, 10), v.sent(), v.Next}
}

func (o *levelList) write(b []byte) error {
	if _, err := o.app.stdout.Write(b); err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	return nil
}

func (o *levelList) end() error {
	if o.more {
		o.app.say("the first %d are listed, and there are more", o.count)
	}
	switch {
	case o.app.output != jsonOut && o.count == 0:
		return o.write([]byte("no such levels\n"))
	case o.app.output != jsonOut:
		return nil
	case o.count == 0:
		return o.write([]byte("{\n  \"levels\": [],\n  \"more\": false\n}\n"))
	}
	return o.write(fmt.Appendf(nil, "\n  ],\n  \"more\": %t\n}\n", o.more))
}
