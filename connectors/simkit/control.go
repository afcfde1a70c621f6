package simkit

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Reasons why what people ask of a simulator makes no sense.
var (
	ErrNotFound  = errors.New("not found")
	ErrWrongStep = errors.New("not possible in this state")
)

// Control is the surface that people steer a simulator by: JSON in, JSON out. It
// asks for no credentials, so it is mounted where only they can reach it.
type Control struct {
	mux     http.ServeMux
	maxBody int64
}

// NewControl takes bodies of at most so many bytes.
func NewControl(maxBody int64) *Control { return &Control{maxBody: maxBody} }

func (c *Control) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.mux.ServeHTTP(w, r) }

// Handle answers what matches an http.ServeMux pattern with 200 and what f returns.
// An error is answered {"error": its text}: with 404 if it is ErrNotFound, 409 if
// it is ErrWrongStep, else 400.
func (c *Control) Handle(pattern string, f func(*http.Request) (any, error)) {
	c.handle(pattern, http.StatusOK, f)
}

// Create is Handle for what makes something: it answers 201.
func (c *Control) Create(pattern string, f func(*http.Request) (any, error)) {
	c.handle(pattern, http.StatusCreated, f)
}

func (c *Control) handle(pattern string, status int, f func(*http.Request) (any, error)) {
	c.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, c.maxBody)
		out, err := f(r)
		if err != nil {
			say(w, statusOf(err), map[string]string{"error": err.Error()})
			return
		}
		say(w, status, out)
	})
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, ErrWrongStep):
		return http.StatusConflict
	}
	return http.StatusBadRequest
}

func say(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // a client that left is its own affair
}

// Read reads a control request's body; an empty one leaves into as it is. It refuses
// fields that mean nothing, so that a slip of the pen is noticed.
func Read(r *http.Request, into any) error {
	if r.ContentLength == 0 {
		return nil
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	return nil
}

// Setting shows a setting at GET path, and changes at PUT path the fields that are
// named: form is what its JSON is read into. get returns a copy that may be changed.
func Setting[T any](c *Control, path string, get func() T, set func(T) error, form func(*T) any) {
	c.Handle("GET "+path, func(*http.Request) (any, error) { return get(), nil })
	c.Handle("PUT "+path, func(r *http.Request) (any, error) {
		next := get()
		if err := Read(r, form(&next)); err != nil {
			return nil, err
		}
		return next, set(next)
	})
}

// Done is what a call answers that has nothing to show.
func Done(err error) (any, error) { return struct{}{}, err }

// Duration is one that is written like "1m30s" in JSON.
type Duration time.Duration

// MarshalText writes "1m30s".
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads "1m30s".
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}
