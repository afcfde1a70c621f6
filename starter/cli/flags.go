package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

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
