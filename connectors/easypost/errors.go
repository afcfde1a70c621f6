package easypost

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"orderferry/connectors/exchange"
	"orderferry/relay"
)

const (
	maxFaults   = 100             // inner errors that are kept
	maxMessage  = 500             // bytes of one inner error's message
	unsaidPause = 2 * time.Second // what a 429 without Retry-After asks for
)

// refusal is an answer that is not 2xx, whatever envelope it came in
// (wire/easypost-fulfillment.md section 11.1).
type refusal struct {
	answer    exchange.Answer
	code      string
	message   string
	faults    []fault
	requestID string
}

// fault is one inner error.
type fault struct{ code, field, message string }

// parseRefusal accepts {"errors":{...}}, {"errors":[{...}]}, {"errors":["..."]},
// {"error":{...}}, {"error":"..."}, {"code","message"}, {"message"}, an empty
// body, HTML and plain text.
func parseRefusal(a exchange.Answer) refusal {
	r := refusal{answer: a, requestID: wordOr(a.Header.Get("X-Ep-Request-Uuid"), "")}
	body := bytes.TrimSpace(a.Body)
	switch {
	case json.Valid(body):
		var v any
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		if d.Decode(&v) == nil {
			r.read(v)
		}
	case len(body) > 0 && body[0] != '<': // a page of HTML says nothing we could use
		r.message = a.Words()
	}
	r.code = wordOr(r.code, "")
	if r.message == "" {
		var said []string
		for _, f := range r.faults {
			said = append(said, f.message)
		}
		r.message = exchange.Clip(strings.Join(said, "; "), exchange.MaxWords)
	}
	return r
}

func (r *refusal) read(v any) {
	top, ok := v.(map[string]any)
	if !ok {
		r.envelope(v)
		return
	}
	inner, wrapped := top["errors"]
	if inner == nil {
		if e, ok := top["error"]; ok && e != nil {
			inner, wrapped = e, true
		}
	}
	_, named := top["message"]
	_, coded := top["code"]
	switch {
	case named || coded: // {"code","message"}, perhaps with inner errors beside them
		r.envelope(top)
		if e, ok := top["error"]; ok && r.message == "" {
			r.message = words(e, 0)
		}
	case wrapped && inner != nil:
		r.envelope(inner)
	}
}

// envelope reads what stands under "errors" or "error", or the whole body.
func (r *refusal) envelope(v any) {
	switch v := v.(type) {
	case string:
		r.message = exchange.Clip(v, exchange.MaxWords)
	case []any:
		r.addFaults(v)
		if len(r.faults) > 0 {
			r.code = r.faults[0].code
		}
	case map[string]any:
		_, coded := v["code"]
		_, named := v["message"]
		_, nested := v["errors"]
		if !coded && !named && !nested && v["field"] == nil {
			r.addByField(v) // {"zip":["is too short"]}
			return
		}
		r.code = words(v["code"], 0)
		r.message = exchange.Clip(words(v["message"], 0), exchange.MaxWords)
		switch inner := v["errors"].(type) {
		case []any:
			r.addFaults(inner)
		case map[string]any:
			r.addByField(inner)
		case string:
			r.addFaults([]any{inner})
		}
		if field := words(v["field"], 0); field != "" {
			r.faults = append(r.faults, fault{code: r.code, field: field, message: exchange.Clip(r.message, maxMessage)})
		}
	}
}

func (r *refusal) addFaults(list []any) {
	for _, e := range list {
		if len(r.faults) == maxFaults {
			return
		}
		f := fault{message: exchange.Clip(words(e, 0), maxMessage)}
		if m, ok := e.(map[string]any); ok {
			f = fault{code: wordOr(words(m["code"], 0), ""), field: words(m["field"], 0), message: exchange.Clip(words(m["message"], 0), maxMessage)}
		}
		if f != (fault{}) {
			r.faults = append(r.faults, f)
		}
	}
}

func (r *refusal) addByField(m map[string]any) {
	for _, field := range slices.Sorted(maps.Keys(m)) {
		if len(r.faults) == maxFaults {
			return
		}
		r.faults = append(r.faults, fault{field: field, message: exchange.Clip(words(m[field], 0), maxMessage)})
	}
}

// words collects the texts in a value that should have been one text.
func words(v any, depth int) string {
	var inner []any
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case []any:
		inner = v
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			inner = append(inner, v[k])
		}
	}
	if depth == 4 {
		return ""
	}
	var parts []string
	for _, e := range inner[:min(len(inner), maxFaults)] {
		if w := words(e, depth+1); w != "" {
			parts = append(parts, w)
		}
	}
	return strings.Join(parts, ", ")
}

var wordForm = regexp.MustCompile(`^[A-Za-z0-9_.:-]{1,64}$`)

// wordOr returns s if it is a plain machine-readable word, safe to print; else instead.
func wordOr(s, instead string) string {
	if s = strings.TrimSpace(s); wordForm.MatchString(s) {
		return s
	}
	return instead
}

// cause is what a refusal's error wraps: the SDK's typed error of the same
// status under a text that quotes nothing but status and request id.
func (r refusal) cause() error {
	text := fmt.Sprintf("the vendor answered %d", r.answer.Status)
	if r.requestID != "" {
		text += ", request " + r.requestID
	}
	return exchange.Masked(text, sdkError(r))
}

// err makes the error of a refusal that no order is to blame for.
func (r refusal) err(op string, kind relay.ErrorKind) *relay.Error {
	e := r.answer.Failure(op, kind, r.cause())
	e.Code = r.code
	if kind == relay.Throttled {
		e.After = cmp.Or(e.After, unsaidPause)
	}
	return e
}

// passing returns the kind of the answers that mean the same for a read and a
// write: 429, then 401, 402 and 403 (section 11.2).
func passing(status int) (relay.ErrorKind, bool) {
	switch status {
	case http.StatusTooManyRequests:
		return relay.Throttled, true
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden:
		return relay.Unauthorised, true
	}
	return "", false
}

// undecided are the statuses after which a write may have happened: trouble at
// the server, and whatever is neither 2xx nor 4xx.
func undecided(status int) bool {
	return status == http.StatusRequestTimeout || status < 400 || status > 499
}

// readRefusal classifies a refused read.
func readRefusal(op string, a exchange.Answer) error {
	r := parseRefusal(a)
	kind, ok := passing(a.Status)
	switch {
	case ok:
	case undecided(a.Status):
		kind = relay.Unavailable
	case a.Status == http.StatusNotFound, a.Status == http.StatusGone:
		kind = relay.NotFound
	default:
		kind = relay.Invalid
	}
	return r.err(op, kind)
}

// unreadable is a 2xx answer that says nothing we understand.
func unreadable(op string, kind relay.ErrorKind, a exchange.Answer) error {
	cause := errUnreadable
	if a.Cut != nil {
		cause = a.Cut
	}
	return a.Failure(op, kind, cause)
}

// tokens decide why an order was refused; they are upper-case.
type tokens struct{ stock, item, address, service []string }

// reason looks for the tokens in the code, then in the message, then in the inner
// errors one by one, in the order of section 11.2: stock, item, address, service.
func (t tokens) reason(r refusal) relay.HoldReason {
	said := []string{r.code, r.message}
	for _, f := range r.faults {
		said = append(said, f.code+" "+f.subject()+" "+f.message)
	}
	for _, said := range said {
		said = strings.ToUpper(said)
		for _, try := range []struct {
			words  []string
			reason relay.HoldReason
		}{
			{t.stock, relay.HoldInsufficientInventory},
			{t.item, relay.HoldUnknownItem},
			{t.address, relay.HoldBadAddress},
			{t.service, relay.HoldUnmappedShipMethod},
		} {
			if slices.ContainsFunc(try.words, func(w string) bool { return strings.Contains(said, w) }) {
				return try.reason
			}
		}
	}
	return relay.HoldRejected
}

// subject is the field, of a line's that of the line: units that are too many are
// no unknown item.
func (f fault) subject() string {
	if m := linePath.FindStringSubmatch(f.field); m != nil && m[2] != "" {
		return m[2]
	}
	return f.field
}

// orderRefusal classifies a refused order. items are the barcodes that were
// sent, in the order of the lines.
func (t tokens) orderRefusal(op string, a exchange.Answer, items []string) error {
	r := parseRefusal(a)
	if kind, ok := passing(a.Status); ok {
		return r.err(op, kind)
	}
	if undecided(a.Status) {
		return r.err(op, relay.Unknown)
	}
	e := r.err(op, relay.Rejected)
	e.Reason = t.reason(r)
	e.Fields = r.problems(items)
	return e
}

var linePath = regexp.MustCompile(`^(?:order[./])?line_items?[.\[/](\d{1,6})\]?(?:[./](.+))?$`)

// problems names the faults in our own words.
func (r refusal) problems(items []string) []relay.Problem {
	var out []relay.Problem
	for _, f := range r.faults {
		message := f.message
		if message == "" {
			message = r.message
		}
		p := relay.Problem{Field: "order", Message: message}
		if m := linePath.FindStringSubmatch(f.field); m != nil {
			p.Field = "items[" + m[1] + "]"
			switch {
			case strings.HasPrefix(m[2], "product"), m[2] == "barcode":
				p.Field += ".code"
			case m[2] != "":
				p.Field += "." + wordOr(m[2], "code")
			}
			if n, err := strconv.Atoi(m[1]); err == nil && n < len(items) {
				p.Value = items[n]
			}
		} else if f.field != "" {
			field := strings.TrimPrefix(wordOr(f.field, "order"), "order.")
			if rest, ok := strings.CutPrefix(field, "destination"); ok {
				field = "ship_to" + rest
			}
			p.Field = field
		}
		out = append(out, p)
	}
	return append(out, r.named(out, items)...)
}

// named points at items whose code the vendor's message quotes, when no field did.
func (r refusal) named(have []relay.Problem, items []string) []relay.Problem {
	if slices.ContainsFunc(have, func(p relay.Problem) bool { return p.Value != "" }) {
		return nil
	}
	var out []relay.Problem
	for i, code := range items {
		if len(code) >= 4 && strings.Contains(r.message, code) {
			out = append(out, relay.Problem{Field: fmt.Sprintf("items[%d].code", i), Value: code, Message: exchange.Clip(r.message, maxMessage)})
		}
	}
	return out
}
