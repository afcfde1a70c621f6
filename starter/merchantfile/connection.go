package merchantfile

import (
	"maps"
	"slices"
	"strings"
	"time"

	"orderferry/connectors"
	"orderferry/relay"
)

// connection is one cart or warehouse as the file tells it.
type connection struct {
	relay.Connection
	credentials connectors.Credentials
	kind        connectors.Connector
	whole       bool // its configuration has no fault
	at, modeAt  place
	path        string
}

// connection reads one cart or warehouse.
func (r *reader) connection(n *node, at place, path string, role connectors.Role) connection {
	keys := []string{"name", "connector", "base_url", "mode", "settings", "credentials", "schedule"}
	if role == connectors.Cart {
		keys = append(keys, ruleKeys...)
	}
	s := r.section(n, at, path, keys...)
	c := connection{at: at, modeAt: at, path: path}
	if s.broken {
		return c
	}
	c.Name = r.connectionName(s, role)
	c.Mode = r.mode(s)
	if e, written := s.entry("mode"); written {
		c.modeAt = e.place
	}
	c.Connector = s.textOr("connector", "")
	c.BaseURL = s.textOr("base_url", "")
	settings, secrets, schedule := s.section("settings"), s.section("credentials"), s.section("schedule")
	c.Schedule = r.schedule(schedule, role)
	if role == connectors.Cart {
		c.Rules = r.rules(s)
	}
	given := connectors.Values(r.scalars(settings, plain))
	c.credentials = connectors.Credentials(r.scalars(secrets, r.expand))
	kind, ok := r.connector(s, role)
	if !ok {
		return c
	}
	values, baseURL, faults := kind.Configure(c.BaseURL, given, c.credentials)
	for _, f := range faults {
		r.refused(s, settings, secrets, kind, f)
	}
	c.kind, c.Settings, c.Finders, c.BaseURL = kind, values, kind.Finders(), baseURL
	c.whole = len(faults) == 0 && len(secrets.spoiled) == 0
	r.advise(schedule, kind, c.Schedule)
	return c
}

func (r *reader) connectionName(s section, role connectors.Role) relay.ConnectionName {
	t, ok := s.text("name")
	if !ok && role == connectors.Warehouse {
		return defaultWarehouse
	}
	if !ok {
		s.missing("name", "a short name, such as main")
		return ""
	}
	name, err := relay.ParseConnectionName(t.text)
	if err != nil {
		r.fault(t.place, s.field("name"), "%v", err)
	}
	return name
}

func (r *reader) mode(s section) relay.Mode {
	t, ok := s.text("mode")
	if !ok {
		return relay.ModeLive
	}
	mode, err := relay.ParseMode(t.text)
	if err != nil {
		r.fault(t.place, s.field("mode"), "%v", err)
	}
	return mode
}

// connector finds the connector that the section names.
func (r *reader) connector(s section, role connectors.Role) (connectors.Connector, bool) {
	var names []string
	for _, k := range r.registry {
		if k.Role == role {
			names = append(names, k.Name)
		}
	}
	t, ok := s.text("connector")
	if !ok {
		s.missing("connector", wantOneOf(names))
		return connectors.Connector{}, false
	}
	for _, k := range r.registry {
		if k.Name != t.text {
			continue
		}
		if k.Role != role {
			r.fault(t.place, s.field("connector"), "%s is a %s, not a %s: %s", k.Title, k.Role, role, wantOneOf(names))
			return connectors.Connector{}, false
		}
		return k, true
	}
	r.fault(t.place, s.field("connector"), "%q is unknown: %s", short(t.text), wantOneOf(names))
	return connectors.Connector{}, false
}

// refused reports what the connector's own schema refuses, where it is written
// or, when it is missing, where its section is.
func (r *reader) refused(s, settings, secrets section, kind connectors.Connector, f *connectors.FieldError) {
	area, key, nested := strings.Cut(f.Field, ".")
	in := s
	switch {
	case !nested:
		key = f.Field
	case area == "settings":
		in = settings
	case area == "credentials":
		in = secrets
	}
	if in.broken || in.spoiled[key] {
		return // said already
	}
	e, written := in.entry(key)
	if !written {
		r.fault(in.at, s.field(f.Field), "%s", f.Message)
		return
	}
	message := f.Message
	if i := slices.IndexFunc(kind.Credentials, func(c connectors.Setting) bool { return c.Name == key }); area == "credentials" && i >= 0 {
		message = "not accepted: want " + kind.Credentials[i].Doc // the connector's own words may quote the value
	}
	r.fault(e.place, s.field(f.Field), "%s", message)
}

// schedule reads the intervals of a connection's jobs.
func (r *reader) schedule(s section, role connectors.Role) relay.Schedule {
	jobs := relay.CartJobs()
	if role == connectors.Warehouse {
		jobs = relay.WarehouseJobs()
	}
	var out relay.Schedule
	for _, e := range s.all {
		job := relay.Job(e.key)
		if !slices.Contains(jobs, job) {
			r.fault(e.place, s.field(short(e.key)), "not a job of a %s: %s", role, wantOneOf(jobs))
			continue
		}
		t, ok := s.text(e.key)
		if !ok {
			continue
		}
		every, err := relay.ParseEvery(job, t.text)
		if err != nil {
			r.fault(t.place, s.field(e.key), "%v", err)
			continue
		}
		if out == nil {
			out = relay.Schedule{}
		}
		out[job] = every
	}
	return out
}

// advise warns of jobs that run more often than is good for the vendor.
func (r *reader) advise(s section, kind connectors.Connector, schedule relay.Schedule) {
	for _, job := range slices.Sorted(maps.Keys(kind.Advice)) {
		every, least := schedule.Of(job), kind.Advice[job]
		if every == relay.Auto || time.Duration(every) >= least {
			continue
		}
		p := s.at
		if e, ok := s.entry(string(job)); ok {
			p = e.place
		}
		r.warnings = append(r.warnings, r.at(p, s.field(string(job)),
			"every %s is more often than is advised for %s: want %s or more", every, kind.Title, relay.Every(least)))
	}
}

// scalars reads a mapping of names to values.
func (r *reader) scalars(s section, read func(string) (string, error)) map[string]string {
	out := make(map[string]string, len(s.all))
	for _, e := range s.all {
		t, ok := s.text(e.key)
		if !ok {
			continue
		}
		value, err := read(t.text)
		if err != nil {
			s.spoiled[e.key] = true
			r.fault(t.place, s.field(short(e.key)), "%v", err)
			continue
		}
		out[e.key] = value
	}
	return out
}

func plain(s string) (string, error) { return s, nil }
