package tradegecko

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"orderferry/connectors/exchange"
	"orderferry/relay"
)

// duplicateKey is the Code of an error that says that an Idempotency-Key was
// used before: the write is possibly done (wire/tradegecko.md section 7).
const duplicateKey = "duplicate_idempotency_key"

// refusal is the error for an answer that is no success. Its words come from
// the first shape that fits, in the order of section 6: validation errors, a
// message with a type, an OAuth error, the status itself.
func refusal(op string, write bool, a exchange.Answer) *relay.Error {
	e := &relay.Error{Op: op, Status: a.Status, Kind: kindOf(a.Status, write)}
	var body struct {
		Errors      json.RawMessage `json:"errors"`
		Type        text            `json:"type"`
		Message     text            `json:"message"`
		Error       text            `json:"error"`
		Description text            `json:"error_description"`
	}
	if json.Unmarshal(a.Body, &body) != nil {
		e.Words = http.StatusText(a.Status)
		return e
	}
	fields := problems(body.Errors)
	switch {
	case len(fields) > 0:
		e.Words = exchange.Clip(words(fields), exchange.MaxWords)
		if e.Kind == relay.Invalid {
			e.Fields = fields
		}
	case body.Message != "" || body.Type != "":
		e.Code, e.Words = code(body.Type), exchange.Clip(string(body.Message), exchange.MaxWords)
	case body.Error != "" || body.Description != "":
		e.Code, e.Words = code(body.Error), exchange.Clip(string(body.Description), exchange.MaxWords)
	default:
		e.Words = http.StatusText(a.Status)
	}
	if strings.HasPrefix(strings.ToLower(body.Message.trim()), "duplicate idempotency") {
		e.Kind, e.Code = relay.Conflict, duplicateKey
	}
	return e
}

// kindOf says what a status means. A write that met a server error may have
// happened all the same.
func kindOf(status int, write bool) relay.ErrorKind {
	switch status {
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden:
		return relay.Unauthorised
	case http.StatusNotFound, http.StatusGone:
		return relay.NotFound
	case http.StatusConflict:
		return relay.Conflict
	case http.StatusTooManyRequests:
		return relay.Throttled
	}
	if status >= 400 && status < 500 && status != http.StatusRequestTimeout {
		return relay.Invalid
	}
	return exchange.InDoubt(write)
}

// problems reads {"attribute": ["message", ...]}; a message may be a bare string.
func problems(raw json.RawMessage) []relay.Problem {
	var byName map[string]json.RawMessage
	if json.Unmarshal(raw, &byName) != nil {
		return nil
	}
	var out []relay.Problem
	for name, value := range byName {
		var messages []text
		if json.Unmarshal(value, &messages) != nil {
			messages = []text{text(scalar(value))}
		}
		for _, m := range messages {
			out = append(out, relay.Problem{Field: fieldName(name), Message: exchange.Clip(string(m), 500)})
		}
	}
	slices.SortFunc(out, func(a, b relay.Problem) int {
		return strings.Compare(a.Field+"\x00"+a.Message, b.Field+"\x00"+b.Message)
	})
	return out[:min(len(out), 50)]
}

func words(fields []relay.Problem) string {
	var parts []string
	for _, f := range fields {
		parts = append(parts, f.Field+" "+f.Message)
	}
	return strings.Join(parts, "; ")
}

// code makes a vendor's error type fit to be printed: anything that does not
// look like a type could quote a person.
func code(t text) string {
	c := strings.ReplaceAll(strings.ToLower(t.trim()), " ", "_")
	if len(c) > 40 || strings.Trim(c, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return ""
	}
	return c
}

func fieldName(name string) string {
	if name == "" || len(name) > 60 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_.[]") != "" {
		return "base"
	}
	return name
}

// unreadable is the error for a good status whose body lacks what it should hold.
func unreadable(op, what string) *relay.Error {
	return &relay.Error{Op: op, Kind: relay.Unavailable, Err: fmt.Errorf("the answer holds no readable %s", what)}
}

// throttled says when to come again.
func throttled(op string, status int, after time.Duration) *relay.Error {
	return &relay.Error{Op: op, Kind: relay.Throttled, Status: status, After: max(after, time.Second).Round(time.Millisecond)}
}

// notTried is the outcome of what an earlier failure kept from being tried.
func notTried(op string, cause error) *relay.Error {
	e := &relay.Error{Op: op, Kind: relay.Unavailable, Err: fmt.Errorf("not tried after: %w", cause)}
	var first *relay.Error
	if errors.As(cause, &first) {
		// Only the words: errors.Is must not find the cause's kind in this one.
		e.Err = errors.New("not tried after: " + first.Error())
		e.After = first.After
	}
	return e
}

// stopsAll reports whether after err further requests are pointless.
func stopsAll(err error) bool {
	switch relay.KindOf(err) {
	case relay.Throttled, relay.Unavailable, relay.Unauthorised:
		return true
	}
	return false
}

// inDoubt reports whether the write that met err may have happened.
func inDoubt(err error) bool {
	var e *relay.Error
	if !errors.As(err, &e) {
		return true
	}
	return e.Kind == relay.Unknown || e.Code == duplicateKey
}

// doubt is the outcome of a write that was looked for and not found.
func doubt(op string, cause error) *relay.Error {
	var e *relay.Error
	if errors.As(cause, &e) {
		d := *e
		d.Op, d.Kind = op, relay.Unknown
		return &d
	}
	return &relay.Error{Op: op, Kind: relay.Unknown, Err: cause}
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func parseOrderID(op string, external relay.ExternalID) (id, error) {
	n, err := strconv.ParseInt(string(external), 10, 64)
	if err != nil || n < 1 {
		return 0, &relay.Error{Op: op, Kind: relay.Invalid, Fields: []relay.Problem{{
			Field: "order", Message: "want the number that TradeGecko gave the order",
		}}}
	}
	return id(n), nil
}
