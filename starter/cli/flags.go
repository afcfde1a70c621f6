package cli

import (
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

func actorFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "actor", "", "`name` to put into the order's trail (default: your login)")
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
	cmd.Flags().IntVar(to, "limit", 100, "most rows to list, up to 10000")
}

func checkLimit(n int) error {
	if n < 1 || n > mostRows {
		return usagef("--limit %d: want 1 to %d", n, mostRows)
	}
	return nil
}
