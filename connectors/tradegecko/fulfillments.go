package tradegecko

import (
	"context"
	"net/url"
	"strings"

	"orderferry/relay"
)

// markPrefix begins the word that we leave in the notes of what we write.
const markPrefix = "relay:"

// mark is the word that says which push wrote a fulfillment or an adjustment.
func mark(key string) string { return markPrefix + key }

// marks lists the marks in a note, which may hold a person's words as well.
func marks(notes string) []string {
	var out []string
	for _, word := range strings.FieldsFunc(notes, func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != ':'
	}) {
		if strings.HasPrefix(word, markPrefix) {
			out = append(out, word)
		}
	}
	return out
}

func hasMark(notes, key string) bool {
	for _, m := range marks(notes) {
		if m == mark(key) {
			return true
		}
	}
	return false
}

func hasAnyMark(notes string) bool { return len(marks(notes)) > 0 }

// withMark adds the mark to a note and keeps what was there.
func withMark(notes, key string) string {
	if notes = strings.TrimSpace(notes); notes == "" {
		return mark(key)
	}
	return notes + "\n" + mark(key)
}

// fulfillments reads the live fulfillments of the orders with their lines, by
// order. Lines come along by themselves (wire/tradegecko.md section 4.3); where
// they did not, they are asked for.
func (c *connection) fulfillments(ctx context.Context, op string, orders []id) (map[id][]*fulfillment, error) {
	live := url.Values{"status[]": {"packed", "fulfilled"}}
	rows, err := within(ctx, c.api, request{op: op, path: "/fulfillments", query: live}, "order_id", unique(orders), joinLines)
	if err != nil {
		return nil, err
	}
	if err := c.fillLines(ctx, op, rows); err != nil {
		return nil, err
	}
	byOrder := make(map[id][]*fulfillment)
	for i := range rows {
		f := &rows[i]
		if f.Status == "packed" || f.Status == "fulfilled" {
			byOrder[f.OrderID] = append(byOrder[f.OrderID], f)
		}
	}
	return byOrder, nil
}

// joinLines gives each fulfillment of an answer its sideloaded lines.
func joinLines(d *document) []fulfillment {
	byFulfillment := make(map[id][]fulfillmentLine)
	for _, l := range d.FulfillmentLines {
		byFulfillment[l.FulfillmentID] = append(byFulfillment[l.FulfillmentID], l)
	}
	for i := range d.Fulfillments {
		d.Fulfillments[i].take(byFulfillment[d.Fulfillments[i].ID])
	}
	return d.Fulfillments
}

// take sets the lines, each once, and notes whether all are there.
func (f *fulfillment) take(lines []fulfillmentLine) {
	have := make(map[id]bool, len(lines))
	f.lines = nil
	for _, l := range lines {
		if !have[l.ID] {
			have[l.ID] = true
			f.lines = append(f.lines, l)
		}
	}
	f.partial = f.LineIDs == nil && len(f.lines) == 0
	for _, want := range f.LineIDs {
		f.partial = f.partial || !have[want]
	}
}

func (c *connection) fillLines(ctx context.Context, op string, rows []fulfillment) error {
	var short []id
	for _, f := range rows {
		if f.partial {
			short = append(short, f.ID)
		}
	}
	lines, err := within(ctx, c.api, request{op: op, path: "/fulfillment_line_items"}, "fulfillment_id", unique(short),
		func(d *document) []fulfillmentLine { return d.FulfillmentLines })
	if err != nil {
		return err
	}
	byFulfillment := make(map[id][]fulfillmentLine)
	for _, l := range lines {
		byFulfillment[l.FulfillmentID] = append(byFulfillment[l.FulfillmentID], l)
	}
	for i := range rows {
		if f := &rows[i]; f.partial {
			f.take(append(f.lines, byFulfillment[f.ID]...))
		}
	}
	return nil
}

// contents sums the fulfillment per order line, and says whether all of it
// could be read.
func (f *fulfillment) contents() (map[id]relay.Quantity, bool) {
	units := make(map[id]relay.Quantity, len(f.lines))
	ok := !f.partial
	for _, l := range f.lines {
		n, err := l.Quantity.quantity()
		if err != nil || n < 0 {
			ok = false
			continue
		}
		units[l.OrderLineID] += n
	}
	return units, ok
}
