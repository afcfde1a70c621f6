package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"orderferry/relay"
)

// wordFlag is a flag that holds a checked word.
type wordFlag[T ~string] struct {
	to    *T
	parse func(string) (T, error)
	kind  string
}

func word[T ~string](to *T, parse func(string) (T, error), kind string) pflag.Value {
	return &wordFlag[T]{to, parse, kind}
}

func (f *wordFlag[T]) String() string { return string(*f.to) }
func (f *wordFlag[T]) Type() string   { return f.kind }
func (f *wordFlag[T]) Set(s string) error {
	v, err := f.parse(s)
	if err == nil {
		*f.to = v
	}
	return err
}

// wordsFlag is a flag that may be given several times.
type wordsFlag[T ~string] struct {
	to    *[]T
	parse func(string) (T, error)
	kind  string
}

func wordList[T ~string](to *[]T, parse func(string) (T, error), kind string) pflag.Value {
	return &wordsFlag[T]{to, parse, kind}
}

func (f *wordsFlag[T]) String() string {
	var list []string
	for _, v := range *f.to {
		list = append(list, string(v))
	}
	return strings.Join(list, ",")
}
func (f *wordsFlag[T]) Type() string { return f.kind }
func (f *wordsFlag[T]) Set(s string) error {
	for part := range strings.SplitSeq(s, ",") {
		v, err := f.parse(part)
		if err != nil {
			return err
		}
		*f.to = append(*f.to, v)
	}
	return nil
}

// numberFlag is a flag that holds a whole number from 1 to most.
type numberFlag[N int | int64] struct {
	to   *N
	most N
	want string // what is accepted
	kind string
}

func (f *numberFlag[N]) String() string { return strconv.FormatInt(int64(*f.to), 10) }
func (f *numberFlag[N]) Type() string   { return f.kind }
func (f *numberFlag[N]) Set(s string) error {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 || n > int64(f.most) {
		return errors.New("want " + f.want)
	}
	*f.to = N(n)
	return nil
}

func merchantFlag(cmd *cobra.Command, to *relay.MerchantID) {
	cmd.Flags().Var(word(to, relay.ParseMerchantID, "id"), "merchant", "the merchant")
}

func needs(cmd *cobra.Command, flags ...string) {
	for _, f := range flags {
		// It fails only for a flag that does not exist: a slip that every test of the command would meet.
		if err := cmd.MarkFlagRequired(f); err != nil {
			panic(err)
		}
	}
}

// needsOne has a command refused that is given none of some flags.
func needsOne(cmd *cobra.Command, flags ...string) {
	args := cmd.Args
	cmd.Args = func(cmd *cobra.Command, list []string) error {
		if err := args(cmd, list); err != nil || slices.ContainsFunc(flags, cmd.Flags().Changed) {
			return err
		}
		return errors.New("want one of --" + strings.Join(flags, ", --"))
	}
}

// oneOf lists words of which one is wanted.
func oneOf[T ~string](of []T) string {
	s := ""
	for i, w := range of {
		switch {
		case i > 0 && i == len(of)-1:
			s += " or "
		case i > 0:
			s += ", "
		}
		s += string(w)
	}
	return s
}

// durationFlag is a flag that holds a duration.
type durationFlag struct{ to *time.Duration }

func (f durationFlag) String() string { return f.to.String() }
func (f durationFlag) Type() string   { return "duration" }
func (f durationFlag) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return errors.New("want more than 0, with its unit, such as 30s or 5m")
	}
	*f.to = d
	return nil
}

// timeFlag is a flag that holds a time.
type timeFlag struct{ to *time.Time }

func (f timeFlag) String() string { return stamp(*f.to) }
func (f timeFlag) Type() string   { return "time" }
func (f timeFlag) Set(s string) error {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			*f.to = t
			return nil
		}
	}
	return errors.New("want a time, such as 2026-11-01T08:00:00Z, or the day on which it begins, such as 2026-11-01")
}

// whyFlag says why something is done: words that go to the trail and to Temporal.
func whyFlag(cmd *cobra.Command, to *string, name string) {
	cmd.Flags().Var(word(to, parseWhy, "words"), name, "why, in words; no personal data")
	needs(cmd, name)
}

// parseWhy refuses what says nothing, as an empty variable of a script does.
func parseWhy(s string) (string, error) {
	if s = strings.TrimSpace(s); s == "" {
		return "", errors.New("want a reason, in words")
	}
	return s, nil
}

func actorFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "actor", "", "`name` of who does this, for trails (default: your login)")
}

// actor is who acts: the flag, else the login.
func (a *app) actor(flag string) string {
	if flag != "" {
		return flag
	}
	return a.parts.login()
}

// mostRows is how many rows a list may be asked for.
const mostRows = 10_000

func limitFlag(cmd *cobra.Command, to *int) {
	*to = 100
	want := fmt.Sprintf("1 to %d", mostRows)
	cmd.Flags().Var(&numberFlag[int]{to, mostRows, want, "int"}, "limit", fmt.Sprintf("most rows to list, up to %d", mostRows))
}

// limited reads a list of at most limit rows, and says on stderr when there are more.
func limited[T any](a *app, limit int, read func(limit int) ([]T, error)) (list []T, more bool, err error) {
	list, err = read(limit + 1) // one more tells whether there are more
	if err != nil || len(list) <= limit {
		return list, false, err
	}
	a.sayMore(limit)
	return list[:limit], true, nil
}

func (a *app) sayMore(limit int) {
	a.say("the first %d are listed, and there are more: --limit lists up to %d", limit, mostRows)
}
