package merchantfile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"orderferry/relay"
)

// ruleKeys are what a cart has besides what every connection has.
var ruleKeys = []string{"filter", "ship_methods", "carriers", "stock"}

// maxRule bounds a list or a mapping of rules.
const maxRule = 1000

// rules reads how a cart's orders and stock are to be treated.
func (r *reader) rules(s section) relay.Rules {
	return relay.Rules{
		Filter:   r.filter(s.section("filter", "statuses", "payments", "tags", "not_tags", "locations", "countries", "not_countries", "skus", "not_skus", "earliest")),
		Methods:  r.shipMethods(s.section("ship_methods", "map", "unmapped")),
		Carriers: names[string, string](s.section("carriers")),
		Stock:    r.stock(s.section("stock", "sites", "locations", "floor", "buffer", "buffer_percent")),
	}
}

func (r *reader) filter(s section) relay.Filter {
	f := relay.Filter{
		Statuses: words[string](s, "statuses"), Payments: words[string](s, "payments"),
		Tags: words[string](s, "tags"), NotTags: words[string](s, "not_tags", "tags"),
		Locations: words[string](s, "locations"),
		Countries: s.countries("countries"), NotCountries: s.countries("not_countries", "countries"),
		SKUs: words[relay.SKU](s, "skus"), NotSKUs: words[relay.SKU](s, "not_skus", "skus"),
	}
	if t, ok := s.text("earliest"); ok {
		clock := r.clock
		if clock.Check() != nil { // a fault of its own: nothing comes of the date then
			clock.Zone = relay.DefaultResendZone
		}
		at, err := clock.ParseEarliest(t.text)
		if err != nil {
			r.fault(t.place, s.field("earliest"), "%v", err)
		}
		f.Earliest = at
	}
	return f
}

// words reads a list of words, none of them twice and none of them in the lists not.
func words[T ~string](s section, key string, not ...string) []T {
	var out []T
	for i, t := range s.texts(key, maxRule) {
		word := strings.TrimSpace(t.text)
		if fault := s.unlike(word, texts(out), not); fault != "" {
			s.r.fault(t.place, fmt.Sprintf("%s[%d]", s.field(key), i), "%s", fault)
			continue
		}
		out = append(out, T(word))
	}
	return out
}

func texts[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}

// unlike says what is wrong with a further word of a list; "" for nothing.
func (s section) unlike(word string, before, not []string) string {
	same := func(w string) bool { return strings.EqualFold(strings.TrimSpace(w), word) }
	if word == "" {
		return "empty: give it a value or leave it out"
	}
	if slices.ContainsFunc(before, same) {
		return fmt.Sprintf("%q is listed twice; case and outer blanks do not count", short(word))
	}
	for _, key := range not {
		if e, ok := s.entry(key); ok && slices.ContainsFunc(e.value.items, func(n *node) bool { return n.kind == scalar && same(n.text) }) {
			return fmt.Sprintf("%q is listed in %s, too", short(word), s.field(key))
		}
	}
	return ""
}

// countries reads a list of countries, each once and none of them in the lists not.
func (s section) countries(key string, not ...string) []string {
	var out []string
	for i, t := range s.texts(key, maxRule) {
		c, err := relay.ParseCountry(t.text)
		fault := ""
		if err != nil {
			fault = err.Error()
		} else {
			fault = s.unlike(c, out, not)
		}
		if fault != "" {
			s.r.fault(t.place, fmt.Sprintf("%s[%d]", s.field(key), i), "%s", fault)
			continue
		}
		out = append(out, c)
	}
	return out
}

func (r *reader) shipMethods(s section) relay.ShipMethods {
	m := relay.ShipMethods{Map: names[relay.ShipMethod, relay.Service](s.section("map"))}
	if t, ok := s.text("unmapped"); ok {
		policy, err := relay.ParseUnmappedMethod(t.text)
		if err != nil {
			r.fault(t.place, s.field("unmapped"), "%v", err)
		}
		m.Unmapped = policy
	}
	return m
}

// names reads a mapping of names, of which no two compare as the same; nil for none.
func names[K, V ~string](s section) map[K]V {
	if len(s.all) > maxRule {
		s.r.fault(s.at, s.path, "has %d names: want %d at most", len(s.all), maxRule)
		return nil
	}
	var out map[K]V
	first := make(map[string]entry, len(s.all))
	for _, e := range s.all {
		folded := relay.FoldName(e.key)
		before, twice := first[folded]
		switch {
		case folded == "":
			s.r.fault(e.place, s.path, "a name is empty")
			continue
		case twice:
			s.r.fault(e.place, s.field(short(e.key)), "the same name as %q on line %d; case and blanks do not count", short(before.key), before.line)
			continue
		}
		first[folded] = e
		t, ok := s.text(e.key)
		if !ok {
			continue
		}
		if out == nil {
			out = make(map[K]V, len(s.all))
		}
		out[K(strings.Join(strings.Fields(e.key), " "))] = V(strings.TrimSpace(t.text))
	}
	return out
}

func (r *reader) stock(s section) relay.StockRules {
	used := make(map[string]string) // site -> the field that has it
	out := relay.StockRules{
		Sites: s.sites("sites", used), Floor: s.units("floor", relay.MaxStockRule), Buffer: s.units("buffer", relay.MaxStockRule), BufferPercent: s.units("buffer_percent", 100),
	}
	locations := s.section("locations")
	if len(locations.all) == 0 {
		return out
	}
	out.Locations = make(map[string][]string, len(locations.all))
	for _, e := range locations.all {
		if e.key == "" || e.key != strings.TrimSpace(e.key) {
			r.fault(e.place, locations.path, "%q: want the cart's id of a location, without outer blanks", short(e.key))
			continue
		}
		out.Locations[e.key] = locations.sites(e.key, used)
	}
	return out
}

// sites reads the sites of a location, as the warehouse writes them, none of
// which counts for another. An empty list is none; nil is no list.
func (s section) sites(key string, used map[string]string) []string {
	if e, ok := s.entry(key); ok && e.value.kind == sequence && len(e.value.items) == 0 {
		return []string{}
	}
	var out []string
	for i, t := range s.texts(key, maxRule) {
		field := fmt.Sprintf("%s[%d]", s.field(short(key)), i)
		site := strings.TrimSpace(t.text)
		if other, taken := used[site]; taken {
			s.r.fault(t.place, field, "site %q is %s already: it counts once", short(site), other)
			continue
		}
		if site == "" {
			s.r.fault(t.place, field, "empty: give it a value or leave it out")
			continue
		}
		used[site] = field
		out = append(out, site)
	}
	return out
}

// units reads a whole number from 0 to most; 0 where the file has none.
func (s section) units(key string, most int64) int64 {
	t, ok := s.text(key)
	if !ok {
		return 0
	}
	n, err := strconv.ParseInt(t.text, 10, 64)
	if err != nil || n < 0 || n > most {
		s.r.fault(t.place, s.field(key), "%q: want a whole number from 0 to %d", short(t.text), most)
		return 0
	}
	return n
}
