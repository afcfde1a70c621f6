package cli

import (
	"context"
	"fmt"
	"strings"
	"unicode"

	"orderferry/relay"
	"orderferry/starter/merchantfile"
	"orderferry/starter/rehearsal"
)

// rehearse says what onboarding would do, and does nothing. It would be refused for
// what is given, and for what the ledger adds.
func (a *app) rehearse(ctx context.Context, l ledger, f merchantfile.File, r onboardRequest, refused []string) error {
	if err := l.RehearseMerchant(ctx, f.Merchant, secretsOf(f)); err != nil {
		refused = append(refused, strings.Split(err.Error(), "\n")...)
	}
	report, err := rehearsal.Run(ctx, l, rehearsal.Input{
		Merchant: f.Merchant, Credentials: f.Credentials, Connectors: a.parts.connectors, Orders: r.orders, Now: a.parts.now(), Say: a.say,
	})
	if err != nil {
		return err
	}
	v := rehearsalView{Merchant: f.Merchant.ID, Clean: report.Clean() && len(refused) == 0, Refused: refused, Report: report, next: r.command()}
	return a.conclude(v, v.Clean)
}

// command is what onboards the file as it was rehearsed.
func (r onboardRequest) command() string {
	words := []string{"ferry merchant onboard --file", quoted(r.file)}
	if r.earliest != "" {
		words = append(words, "--earliest", r.earliest)
	}
	if r.paused {
		words = append(words, "--paused")
	}
	if r.yes {
		words = append(words, "--yes")
	}
	return strings.Join(words, " ")
}

// quoted is a word as a shell takes it.
func quoted(word string) string {
	if strings.ContainsFunc(word, func(c rune) bool {
		return !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("-_./+,:@", c)
	}) {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return word
}

type rehearsalView struct {
	Merchant relay.MerchantID `json:"merchant"`
	Clean    bool             `json:"clean"`
	Refused  []string         `json:"refused,omitempty"` // what onboarding would be refused for
	rehearsal.Report

	next string
}

func (v rehearsalView) text(p *page) {
	for _, c := range v.Connections {
		result := "works"
		switch {
		case c.Error != "":
			result = "does not work: " + c.Error
		case c.OtherMode():
			result = "works, but in another mode"
		case len(c.Missing) > 0:
			result = "works, but something is missing"
		}
		p.line("%s %s (%s, %s) %s", c.Role, c.Name, c.Connector, c.Mode, result)
		switch {
		case c.Error != "":
		case c.OtherMode():
			p.line("  answered as %s, and the file says %s: want credentials of mode %s, or another mode in the file", c.Answered, c.Mode, c.Mode)
		case c.Answered == "":
			p.line("  does not tell test from live: see to it that the account is the one meant")
		default:
			p.line("  answered as %s", c.Answered)
		}
		if c.Account != "" {
			p.line("  account %s", c.Account)
		}
		for _, d := range c.Details {
			p.line("  %s", d)
		}
		for _, m := range c.Missing {
			p.line("  missing: %s", m)
		}
	}
	for _, c := range v.Carts {
		p.gap()
		more := ""
		if c.More {
			more = ", and there are more: say --orders for how many to read"
		}
		p.line("cart %s: %s read%s", c.Name, relay.Many(c.Read, "order"), more)
		if c.Error != "" {
			p.line("  %s", c.Error)
		}
		if c.Read == 0 {
			continue
		}
		again := ""
		if c.Resend > 0 {
			again = fmt.Sprintf(", %d of them on hold or skipped until now", c.Resend)
		}
		p.line("  would be sent: %d%s", c.Send, again)
		if c.Unchecked > 0 {
			p.line("  could not be looked for at the warehouse: %d", c.Unchecked)
		}
		groups(p, "at the warehouse already, not by us: another integration is at work, and they would be sent twice:", c.There)
		groups(p, fmt.Sprintf("would be held: %d", c.Hold), c.Held)
		groups(p, fmt.Sprintf("would be skipped: %d", c.Skip), c.Skipped)
		groups(p, "in the ledger already, and not sent again:", c.Known)
	}
	p.gap()
	if len(v.Refused) > 0 {
		p.line("onboarding it would be refused:")
	}
	for _, why := range v.Refused {
		p.line("  %s", why)
	}
	if v.Clean {
		p.line("nothing was changed; onboard it with: %s", v.next)
	} else {
		p.line("nothing was changed; see to what is wrong first")
	}
}

// groups prints what orders have in common, how many they are and some of them.
func groups(p *page, title string, list []rehearsal.Group) {
	var rows [][]string
	for _, g := range list {
		some := strings.Join(g.Some, ", ")
		if g.Orders > len(g.Some) {
			some += ", ..."
		}
		rows = append(rows, []string{fmt.Sprintf("    %d", g.Orders), g.What, some})
	}
	if len(rows) > 0 {
		p.line("  %s", title)
		p.columns(rows)
	}
}
