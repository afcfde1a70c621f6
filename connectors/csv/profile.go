package csv

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"orderferry/relay"
)

// profile says what the files of one partner look like.
type profile struct {
	orders, acknowledgements, shipments, inventory, cancels *layout
}

// kind is what the files of a layout tell.
type kind string

const (
	kindOrders           kind = "orders"
	kindAcknowledgements kind = "acknowledgements"
	kindShipments        kind = "shipments"
	kindInventory        kind = "inventory"
	kindCancels          kind = "cancels"
)

// layout is what the files of one kind look like.
type layout struct {
	kind    kind
	read    []string // patterns of the names of files to read
	write   string   // name of a file to write, with {order} and the like; "" when none is written
	dialect dialect
	heading bool
	comma   bool // decimals have a comma
	zone    *time.Location
	guard   string // put before a cell that a spreadsheet would run; guardNone for nothing
	records []record
	typed   bool // the first cell of a row names its record
	// Of shipments: a file tells whole orders, so an order that it names has shipped in full.
	whole bool
	// Of acknowledgements and shipments: they tell of other senders' orders too.
	others bool
	// Of inventory.
	changes     bool // a file tells only what changed
	missingZero bool // what a snapshot does not name, and the one before did, is 0
}

// record is one kind of row.
type record struct {
	name    string // what the row's first cell says; "" where all rows are alike
	line    bool   // it holds a line of what the row before began
	ignore  bool   // it is neither read nor written
	columns []column
}

// column is one cell of a row.
type column struct {
	field    string // "" for a cell that is of no interest
	heading  string
	constant string // written; not looked at when read
	format   string // of a time: "iso8601", "unix" or a pattern such as YYYY-MM-DD hh:mm:ss
	required bool
	// unguarded has it written as it is, though a spreadsheet would run it.
	unguarded bool
	most      int               // characters; 0: any number
	words     map[string]string // the partner's word in lower case -> ours
	other     string            // our word for any other
	read      bool
	write     bool
}

// guardNone has cells written as they are.
const guardNone = "none"

// fields are what the columns of each kind may hold: of the record, and of its lines.
var fields = map[kind]struct{ head, line, need []string }{
	kindOrders: {
		head: []string{
			"order", "number", "placed_at", "updated_at", "ship_method", "status", "payment", "location", "tags", "token",
			"ship_to.name", "ship_to.company", "ship_to.street1", "ship_to.street2", "ship_to.city", "ship_to.state", "ship_to.zip",
			"ship_to.country", "ship_to.phone", "ship_to.email",
		},
		line: []string{"line", "sku", "name", "quantity"},
		need: []string{"order", "sku", "quantity"},
	},
	kindAcknowledgements: {head: []string{"order", "status", "message"}, need: []string{"order"}},
	kindShipments: {
		head: []string{"order", "tracking", "carrier", "service", "tracking_url", "shipped_at", "complete", "key"},
		line: []string{"line", "sku", "quantity"},
		need: []string{"order", "tracking"},
	},
	kindInventory: {head: []string{"sku", "quantity", "site", "owed", "location", "key"}, need: []string{"sku", "quantity"}},
	kindCancels:   {head: []string{"order", "key"}, need: []string{"order"}},
}

// Our words, that words of a column stand for.
const (
	wordAccepted  = "accepted"
	wordRefused   = "refused"
	wordCancelled = "cancelled"
	wordTrouble   = "trouble"
	wordComplete  = "complete"
	wordPartial   = "partial"
)

// ourWords are those that a field's words may stand for.
func ourWords(k kind, field string) []string {
	switch {
	case k == kindAcknowledgements && field == "status":
		words := []string{wordAccepted, wordRefused, wordCancelled, wordTrouble}
		for _, r := range relay.HoldReasons() { // refused, and why
			words = append(words, string(r))
		}
		return words
	case k == kindShipments && field == "complete":
		return []string{wordComplete, wordPartial}
	}
	return nil
}

// What a profile is written as. A field of the form that a layout leaves out is
// that of the profile.
type (
	profileText struct {
		Extends          string      `yaml:"extends"`
		Form             formText    `yaml:",inline"`
		Orders           *layoutText `yaml:"orders"`
		Acknowledgements *layoutText `yaml:"acknowledgements"`
		Shipments        *layoutText `yaml:"shipments"`
		Inventory        *layoutText `yaml:"inventory"`
		Cancels          *layoutText `yaml:"cancels"`
	}
	formText struct {
		Separator string  `yaml:"separator"`
		Quotes    string  `yaml:"quotes"`
		Encoding  string  `yaml:"encoding"`
		LineEnds  string  `yaml:"line_ends"`
		Comment   *string `yaml:"comment"`
		Heading   *bool   `yaml:"heading"`
		Decimal   string  `yaml:"decimal"`
		Zone      string  `yaml:"zone"`
		Guard     string  `yaml:"guard"`
		// Of acknowledgements and shipments.
		OtherOrders *bool `yaml:"other_orders"`
	}
	layoutText struct {
		Form        formText     `yaml:",inline"`
		Read        []string     `yaml:"read"`
		Write       string       `yaml:"write"`
		Columns     []columnText `yaml:"columns"`
		Records     []recordText `yaml:"records"`
		WholeOrders bool         `yaml:"whole_orders"`
		Tells       string       `yaml:"tells"`
		Missing     string       `yaml:"missing"`
	}
	recordText struct {
		Type    string       `yaml:"type"`
		Of      string       `yaml:"of"`
		Ignore  bool         `yaml:"ignore"`
		Columns []columnText `yaml:"columns"`
	}
	columnText struct {
		Field    string              `yaml:"field"`
		Heading  string              `yaml:"heading"`
		Value    string              `yaml:"value"`
		Format   string              `yaml:"format"`
		Required bool                `yaml:"required"`
		Max      int                 `yaml:"max"`
		Words    map[string][]string `yaml:"words"`
		Other    string              `yaml:"other"`
		Only     string              `yaml:"only"`
		Guard    string              `yaml:"guard"`
	}
)

// UnmarshalYAML reads a column that is written as its field's name alone as well.
func (c *columnText) UnmarshalYAML(decode func(any) error) error {
	var name string
	if err := decode(&name); err == nil {
		c.Field = name
		return nil
	}
	type plain columnText
	return decode((*plain)(c))
}

//go:embed profiles/*.yaml
var builtIn embed.FS

// profileNames lists the profiles that are built in.
func profileNames() []string {
	files, err := builtIn.ReadDir("profiles")
	if err != nil { // it is part of the program
		panic(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f.Name(), ".yaml"))
	}
	return names
}

// parseProfile reads the value of the setting profile: the name of a profile that
// is built in, or a profile's text.
func parseProfile(s string) (*profile, error) {
	text, err := readProfile(s)
	if err != nil {
		return nil, err
	}
	p := &profile{}
	for _, part := range []struct {
		kind  kind
		given *layoutText
		to    **layout
	}{
		{kindOrders, text.Orders, &p.orders},
		{kindAcknowledgements, text.Acknowledgements, &p.acknowledgements},
		{kindShipments, text.Shipments, &p.shipments},
		{kindInventory, text.Inventory, &p.inventory},
		{kindCancels, text.Cancels, &p.cancels},
	} {
		if part.given == nil {
			continue
		}
		l, err := part.given.layout(part.kind, text.Form)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part.kind, err)
		}
		*part.to = l
	}
	return p, nil
}

func readProfile(s string) (profileText, error) {
	var text profileText
	s = strings.TrimSpace(s)
	if !strings.ContainsAny(s, ":\n") {
		b, err := builtIn.ReadFile(path.Join("profiles", s+".yaml"))
		if err != nil {
			return text, fmt.Errorf("%q: want %s, or a profile's own text", clip(s, 40), strings.Join(profileNames(), ", "))
		}
		s = string(b)
	}
	if err := yaml.NewDecoder(bytes.NewReader([]byte(s)), yaml.DisallowUnknownField()).Decode(&text); err != nil {
		return text, fmt.Errorf("this is no profile: %s", yaml.FormatError(err, false, false))
	}
	if text.Extends == "" {
		return text, nil
	}
	if !slices.Contains(profileNames(), text.Extends) {
		return text, fmt.Errorf("extends: %q: want %s", clip(text.Extends, 40), strings.Join(profileNames(), ", "))
	}
	base, err := readProfile(text.Extends)
	if err != nil {
		return text, err
	}
	base.Form = text.Form.over(base.Form)
	base.Orders = cmp.Or(text.Orders, base.Orders)
	base.Acknowledgements = cmp.Or(text.Acknowledgements, base.Acknowledgements)
	base.Shipments = cmp.Or(text.Shipments, base.Shipments)
	base.Inventory = cmp.Or(text.Inventory, base.Inventory)
	base.Cancels = cmp.Or(text.Cancels, base.Cancels)
	return base, nil
}

// over fills what f leaves out from below.
func (f formText) over(below formText) formText {
	return formText{
		Separator: cmp.Or(f.Separator, below.Separator), Quotes: cmp.Or(f.Quotes, below.Quotes), Encoding: cmp.Or(f.Encoding, below.Encoding),
		LineEnds: cmp.Or(f.LineEnds, below.LineEnds), Comment: cmp.Or(f.Comment, below.Comment), Heading: cmp.Or(f.Heading, below.Heading),
		Decimal: cmp.Or(f.Decimal, below.Decimal), Zone: cmp.Or(f.Zone, below.Zone), Guard: cmp.Or(f.Guard, below.Guard), OtherOrders: cmp.Or(f.OtherOrders, below.OtherOrders),
	}
}

// choice reads a word of a few; "" is the first.
func choice(key, s string, words ...string) (string, error) {
	if s == "" {
		return words[0], nil
	}
	if !slices.Contains(words, s) {
		return "", fmt.Errorf("%s: %q: want %s", key, clip(s, 40), strings.Join(words, " or "))
	}
	return s, nil
}

var separators = map[string]byte{"comma": ',', "semicolon": ';', "tab": '\t', "pipe": '|'}

func (t *layoutText) layout(k kind, common formText) (*layout, error) {
	l := &layout{kind: k, read: t.Read, write: t.Write, whole: t.WholeOrders}
	f := t.Form.over(common)
	separator, err1 := choice("separator", f.Separator, "comma", "semicolon", "tab", "pipe")
	quotes, err2 := choice("quotes", f.Quotes, string(quoteNeeded), string(quoteAll), string(quoteNone))
	coding, err3 := choice("encoding", f.Encoding, string(utf8Plain), string(utf8BOM), string(windows1252))
	ends, err4 := choice("line_ends", f.LineEnds, "lf", "crlf")
	decimal, err5 := choice("decimal", f.Decimal, "point", "comma")
	tells, err6 := choice("tells", t.Tells, "snapshot", "changes")
	missing, err7 := choice("missing", t.Missing, "unknown", "zero")
	zone, err8 := time.LoadLocation(f.Zone)
	if err8 != nil {
		err8 = fmt.Errorf("zone: %q: want a name such as America/New_York", clip(f.Zone, 40))
	}
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7, err8); err != nil {
		return nil, err
	}
	l.dialect = dialect{separator: separators[separator], quotes: quoting(quotes), encoding: encoding(coding), crlf: ends == "crlf"}
	if f.Comment != nil {
		l.dialect.comment = *f.Comment
	}
	l.heading, l.comma, l.zone, l.guard = f.Heading == nil || *f.Heading, decimal == "comma", zone, cmp.Or(f.Guard, "'")
	l.others = f.OtherOrders != nil && *f.OtherOrders
	l.changes, l.missingZero = tells == "changes", missing == "zero"
	if err := l.addRecords(t); err != nil {
		return nil, err
	}
	return l, l.check()
}

func (l *layout) addRecords(t *layoutText) error {
	if (len(t.Columns) == 0) == (len(t.Records) == 0) {
		return errors.New("want either columns or records")
	}
	texts := t.Records
	if len(texts) == 0 {
		texts = []recordText{{Columns: t.Columns}}
	} else {
		l.typed = true
	}
	for _, rt := range texts {
		of, err := choice("of", rt.Of, "record", "line")
		if err != nil {
			return err
		}
		r := record{name: rt.Type, line: of == "line", ignore: rt.Ignore}
		if l.typed && r.name == "" {
			return errors.New("records: each has a type, which is its rows' first cell")
		}
		for i, ct := range rt.Columns {
			c, err := ct.column(l, r)
			if err != nil {
				return fmt.Errorf("column %d: %w", i+1, err)
			}
			r.columns = append(r.columns, c)
		}
		l.records = append(l.records, r)
	}
	return nil
}

func (t columnText) column(l *layout, r record) (column, error) {
	c := column{field: t.Field, heading: t.Heading, constant: t.Value, format: t.Format, required: t.Required, most: t.Max, other: t.Other, read: true, write: true}
	known := append(slices.Clone(fields[l.kind].head), fields[l.kind].line...)
	if c.field != "" && !slices.Contains(known, c.field) {
		return c, fmt.Errorf("field: %q: want %s", clip(c.field, 40), strings.Join(known, ", "))
	}
	if r.line && slices.Contains(fields[l.kind].head, c.field) && c.field != "order" {
		return c, fmt.Errorf("field: %s belongs to a record, not to a line of it", c.field)
	}
	if l.heading && c.heading == "" {
		c.heading = c.field
	}
	if l.heading && c.heading == "" {
		return c, errors.New("heading: missing; without headings, the profile says heading: false")
	}
	if only, err := choice("only", t.Only, "both", "read", "write"); err != nil {
		return c, err
	} else if only != "both" {
		c.read, c.write = only == "read", only == "write"
	}
	guard, err := choice("guard", t.Guard, "needed", guardNone)
	if err != nil {
		return c, err
	}
	c.unguarded = guard == guardNone || l.guard == guardNone
	if !timeFormat(c.format) {
		return c, fmt.Errorf("format: %q: want iso8601, unix, or a pattern of YYYY, YY, MM, M, DD, D, hh, mm and ss", clip(c.format, 40))
	}
	ours := ourWords(l.kind, c.field)
	for word, theirs := range t.Words {
		if !slices.Contains(ours, word) {
			return c, fmt.Errorf("words: %q: want %s", clip(word, 40), cmp.Or(strings.Join(ours, ", "), "none for this field"))
		}
		for _, s := range theirs {
			if c.words == nil {
				c.words = make(map[string]string)
			}
			c.words[strings.ToLower(strings.TrimSpace(s))] = word
		}
	}
	if c.other != "" && !slices.Contains(ours, c.other) {
		return c, fmt.Errorf("other: %q: want %s", clip(c.other, 40), cmp.Or(strings.Join(ours, ", "), "none for this field"))
	}
	return c, nil
}

// placeholders are what the name of a file to write may hold. Those that make it
// this very record's name come first for each kind.
var placeholders = map[kind]struct{ need, may []string }{
	kindOrders:    {[]string{"order", "token"}, []string{"number", "time"}},
	kindShipments: {[]string{"key"}, []string{"order", "time"}},
	kindInventory: {[]string{"key"}, nil},
	kindCancels:   {[]string{"key"}, []string{"order"}},
}

var placeholder = regexp.MustCompile(`\{([^{}]*)\}`)

// check finds what is wrong with the layout as a whole.
func (l *layout) check() error {
	has := make(map[string]bool)
	for _, r := range l.records {
		for _, c := range r.columns {
			has[c.field] = has[c.field] || c.field != ""
		}
	}
	for _, f := range fields[l.kind].need {
		if !has[f] {
			return fmt.Errorf("no column holds %s", f)
		}
	}
	for _, p := range l.read {
		if _, err := path.Match(p, ""); err != nil || strings.Contains(p, "/") {
			return fmt.Errorf("read: %q: want a file name in which * stands for anything, such as ord_*.csv", clip(p, 40))
		}
	}
	if l.write == "" {
		return nil
	}
	allowed, ok := placeholders[l.kind]
	if !ok {
		return errors.New("write: files of this kind are only read")
	}
	if !plainName(placeholder.ReplaceAllString(l.write, "")) || strings.HasPrefix(l.write, ".") || strings.HasSuffix(l.write, ".") {
		return fmt.Errorf("write: %q: want a file name of letters, digits and any of _-. in it, without a point at either end", clip(l.write, 40))
	}
	for _, m := range placeholder.FindAllStringSubmatch(l.write, -1) {
		if !slices.Contains(allowed.need, m[1]) && !slices.Contains(allowed.may, m[1]) {
			return fmt.Errorf("write: {%s}: want %s in braces", m[1], strings.Join(append(slices.Clone(allowed.need), allowed.may...), " or "))
		}
	}
	if longest := len(l.name(func(field string) string { return strings.Repeat("x", valueLength(field)) })); longest > maxName {
		return fmt.Errorf("write: %q: names of up to %d characters would come of it: want at most %d, so fewer fields in braces or less around them", clip(l.write, 40), longest, maxName)
	}
	for _, need := range allowed.need {
		if !strings.Contains(l.write, "{"+need+"}") {
			return fmt.Errorf("write: %q: want {%s} in it: the name is the key under which the file is handed over once", clip(l.write, 40), need)
		}
	}
	return nil
}

// matches reports whether a file of that name is to be read by the layout.
func (l *layout) matches(name string) bool {
	return l != nil && slices.ContainsFunc(l.read, func(p string) bool {
		ok, err := path.Match(strings.ToLower(p), strings.ToLower(name))
		return ok && err == nil
	})
}

// maxName is how long the name of a file that we write may be. Servers take 255
// bytes, of which partName and numbered need some.
const maxName = 240

// valueLength is how long the value of a field may be in a file's name: enough for
// all of a key (connectors.ShipmentPush) and of a reference.
func valueLength(field string) int {
	if field == "key" {
		return 64
	}
	return 40
}

// name fills in the name of a file to write.
func (l *layout) name(value func(field string) string) string {
	return placeholder.ReplaceAllStringFunc(l.write, func(p string) string { return value(strings.Trim(p, "{}")) })
}

// fileName is the name of the file to write.
func (l *layout) fileName(values map[string]string) string {
	return l.name(func(field string) string { return namePart(values[field], valueLength(field)) })
}

// namePart is a value as it stands in a file's name, in characters that all
// systems take. What is longer than most is cut, with a digest of the whole at its
// end: it is told apart and, mostly, recognised.
func namePart(s string, most int) string {
	plain := safe(s)
	if len(plain) <= most {
		return plain
	}
	sum := sha256.Sum256([]byte(s))
	tail := "-" + hex.EncodeToString(sum[:8])
	return plain[:most-len(tail)] + tail
}

// safe maps what is no plain character of a file name to "_".
func safe(s string) string {
	return strings.Map(func(c rune) rune {
		if plainName(string(c)) && c != '.' {
			return c
		}
		return '_'
	}, s)
}

func plainName(s string) bool {
	return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.") == ""
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}
