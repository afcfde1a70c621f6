package notify

import (
	"fmt"
	"strings"
	"time"

	"orderferry/relay"
)

// subject is one line: the one alert's headline, or how many there are.
func subject(m relay.AlertMessage) string {
	s := fmt.Sprintf("[orderferry %s] ", m.Merchant)
	switch {
	case m.Test:
		return s + "test: alerts arrive here"
	case m.Count == 1 && m.Notices[0].News == relay.AlertClosed:
		return s + "over: " + m.Notices[0].Headline
	case m.Count == 1:
		return s + m.Notices[0].Headline
	}
	return s + tally(m)
}

// tally counts the news: "500 alerts: 498 opened, 2 closed".
func tally(m relay.AlertMessage) string {
	by := make(map[relay.AlertNews]int)
	for _, n := range m.Notices {
		by[n.News]++
	}
	var parts []string
	for _, news := range []relay.AlertNews{relay.AlertOpened, relay.AlertRaised, relay.AlertClosed} {
		if by[news] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", by[news], news))
		}
	}
	if rest := m.Count - len(m.Notices); rest > 0 {
		parts = append(parts, fmt.Sprintf("%d more", rest))
	}
	return fmt.Sprintf("%d alerts: %s", m.Count, strings.Join(parts, ", "))
}

// inFull is how many alerts a text explains one by one; of more, each is a line.
const inFull = 5

// text is the body of an e-mail.
func text(m relay.AlertMessage) string {
	var b strings.Builder
	if m.Test {
		fmt.Fprintf(&b, "This is a test of the alerts of merchant %s, asked for at %s.\nNothing is wrong, and nothing is to be done.\n", m.Merchant, stamp(m.At))
		return b.String()
	}
	if m.Count > 1 {
		fmt.Fprintf(&b, "Merchant %s: %s.\n\n", m.Merchant, tally(m))
	}
	for _, n := range m.Notices {
		if m.Count <= inFull {
			explain(&b, n)
			continue
		}
		fmt.Fprintf(&b, "%-6s  alert %d, level %d, since %s: %s\n", n.News, n.ID, n.Level, stamp(n.Since), n.Headline)
	}
	if rest := m.Count - len(m.Notices); rest > 0 {
		fmt.Fprintf(&b, "... and %d more\n", rest)
	}
	if m.Count > inFull {
		fmt.Fprintf(&b, "\nTo see them all, and what to do about one:\n  ferry alert list --merchant %s\n  ferry alert show --id %d\n", m.Merchant, m.Notices[0].ID)
	}
	return b.String()
}

func explain(b *strings.Builder, n relay.AlertNotice) {
	advice := n.Advice()
	fmt.Fprintf(b, "%s.\n\n", n.Headline)
	switch {
	case n.News == relay.AlertClosed && n.ClosedBy == relay.Recovered:
		fmt.Fprintf(b, "This is over since %s: the cause is gone. Nothing is to be done.\n", stamp(n.ClosedAt))
	case n.News == relay.AlertClosed:
		fmt.Fprintf(b, "Closed by %s at %s.\n", n.ClosedBy, stamp(n.ClosedAt))
	default:
		fmt.Fprintf(b, "Alert      %d, level %d (%s)\nSince      %s\nWhat next  %s\n\nTo look, and to act:\n", n.ID, n.Level, n.News, stamp(n.Since), advice.Next)
		for _, c := range advice.Commands {
			fmt.Fprintf(b, "  %s\n", c)
		}
	}
	b.WriteString("\n")
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
