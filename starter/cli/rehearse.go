package cli

import (
	"context"
	"fmt"
	"strings"

	"orderferry/relay"
	"orderferry/starter/merchantfile"
	"orderferry/starter/rehearsal"
)

// rehearse says what onboarding would do, and does nothing.
func (a *app) rehearse(ctx context.Context, l ledger, f merchantfile.File, r onboardRequest) error {
	report, err := rehearsal.Run(ctx, l, rehearsal.Input{
		Merchant: f.Merchant, Credentials: f.Credentials, Connectors: a.parts.connectors, Orders: r.orders, Now: a.parts.now(), Say: a.say,
	})
	if err != nil {
		return err
	}
	return a.conclude(rehearsalView{f.Merchant.ID, report.Clean(), report}, report.Clean())
}

type rehearsalView struct {
	Merchant relay.MerchantID `json:"merchant"`
	Clean    bool             `json:"clean"`
	rehearsal.Report
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
	if v.Clean {
		p.line("nothing was changed; onboard it with: ferry merchant onboard --file FILE --yes")
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
