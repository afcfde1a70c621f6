package relay

import (
	"fmt"
	"strings"
	"time"
)

// Trouble is a cause as it stands now.
type Trouble struct {
	Cause  AlertCause
	Level  int
	Count  int64
	Oldest string // the reference, or another name, of the oldest; no personal data
	Since  time.Time
	// Risen counts those that became a trouble, or passed an age, since their alert was
	// last told of; LastRisen names the last few.
	Risen     int64
	LastRisen []string
	Event     int64        // of an order: the entry of its trail
	Fault     string       // of a job: its last failure, in brief
	Why       []Difference // of OrderChangedTooLate
}

// Headline says the trouble in one line without personal data. first is the age
// at which a hold becomes a trouble.
func (t Trouble) Headline(first Age, now time.Time) string {
	// A cart's SKUs are quoted: they must not forge lines of a mail.
	return strings.Map(legible, t.headline(first, now)+t.risen())
}

// risen names those that are why an alert is told of again: the oldest may be an old story.
func (t Trouble) risen() string {
	if t.Risen == 0 || t.Count == 1 || t.Oldest == "" {
		return ""
	}
	s := "; new or risen since this was last told: " + strings.Join(t.LastRisen, ", ")
	if more := t.Risen - int64(len(t.LastRisen)); more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

func (t Trouble) headline(first Age, now time.Time) string {
	kind, subject, what := t.Cause.Parts()
	lasted := Age(now.Sub(t.Since)).Since()
	oldest := fmt.Sprintf(", the oldest %s for %s", t.Oldest, lasted)
	orders := Many(t.Count, "order")
	switch kind {
	case CauseHold:
		if HoldReason(subject) == HoldUnknownOutcome {
			return orders + " on hold because nobody knows whether the warehouse has them" + oldest
		}
		return fmt.Sprintf("%s on hold for %s for more than %s%s", orders, subject, first.Words(), oldest)
	case CauseConnection:
		return fmt.Sprintf("connection %s is stopped for %s: its credentials are refused", subject, lasted)
	case CauseJob:
		return fmt.Sprintf("%s of connection %s fails for %s: %s", what, subject, lasted, t.Fault)
	case CauseOrder:
		return "order " + subject + " " + orderHeadline(what, t.Why)
	case CauseStuck:
		return stuckHeadline(subject, t.Count) + oldest
	case CauseMessages:
		return fmt.Sprintf("%s about alerts could not be delivered by %s", Many(t.Count, "message"), subject)
	case CauseFinding:
		return fmt.Sprintf("comparing the books found %s of kind %s%s", Many(t.Count, "difference"), subject, oldest)
	case CausePaused:
		if what != "" {
			return fmt.Sprintf("%s of connection %s is paused for %s", what, subject, lasted)
		}
		return "the merchant is paused for " + lasted
	case CauseUnanswered:
		return fmt.Sprintf("%s received by %s without its yes or no in time, the oldest %s overdue for %s", orders, subject, t.Oldest, lasted)
	case CauseUnshipped:
		return fmt.Sprintf("%s at %s for long, and not all has left, the oldest %s for %s", orders, subject, t.Oldest, lasted)
	case CauseUnread:
		return fmt.Sprintf("%s from %s could not be read, the first %s, for %s", Many(t.Count, "thing"), subject, t.Oldest, lasted)
	}
	return string(t.Cause)
}

func orderHeadline(what string, why []Difference) string {
	switch what {
	case OrderBackAtCart:
		return "is cancelled here and ready again at the cart"
	case OrderChangedTooLate:
		s := "changed at the cart after it was submitted"
		for i, d := range why[:min(len(why), 3)] {
			s += []string{": ", ", ", ", "}[i] + d.String()
		}
		if len(why) > 3 {
			s += fmt.Sprintf(" and %d more", len(why)-3)
		}
		return s
	case OrderDuplicateFound:
		return "was taken by the warehouse more than once"
	case OrderCancelTooLate:
		return "is shipped though it was cancelled: too late"
	case OrderShippedAfterAll:
		return "was shipped despite a cancel"
	case OrderCancelledByWarehouse:
		return "was cancelled by the warehouse unasked"
	case OrderGone:
		return "is not known to the warehouse any more"
	case OrderTakenAfterAll:
		return "was refused by the warehouse, which goes on with it after all"
	case OrderShippedShort:
		return "is shipped short: the warehouse says that no more follows, and not all of it left"
	case OrderRelabelled:
		return "has another tracking number than the cart was told: the warehouse names a new parcel, and the old one no more"
	}
	return what
}

func stuckHeadline(subject string, n int64) string {
	switch subject {
	case StuckReady:
		return Many(n, "order") + " ready and not submitted for more than an hour"
	case StuckInDoubt:
		return Many(n, "order") + " in doubt for more than an hour"
	case StuckCancel:
		return Many(n, "cancel") + " not decided by the warehouse for more than an hour"
	case StuckShipment:
		return Many(n, "parcel") + " not taken by the cart for more than an hour"
	case StuckCartCancel:
		return Many(n, "cancel") + " not taken by the cart for more than an hour"
	case StuckThere:
		return Many(n, "order") + " stuck at the warehouse, as it says itself"
	}
	return subject
}

// Advice is what happens next by itself, and what to type.
type Advice struct {
	Next     string
	Commands []string // first to look, then to act
}

// Advice says what happens next and what to type. Each command is one of ferry's.
func (a Alert) Advice() Advice {
	kind, subject, what := a.Cause.Parts()
	m := " --merchant " + string(a.Merchant)
	switch kind {
	case CauseHold:
		return holdAdvice(HoldReason(subject), m)
	case CauseConnection:
		return Advice{"Nothing runs on this connection until it is resumed; orders wait and are not lost.", []string{
			"ferry connection test" + m + " --connection " + subject,
			"ferry merchant onboard --file merchant.yaml",
			"ferry merchant resume" + m,
		}}
	case CauseJob:
		return Advice{"It is tried again, at least every 15 minutes; nothing is lost meanwhile.", []string{
			"ferry merchant show" + m,
			"ferry connection test" + m + " --connection " + subject,
			"ferry merchant sync" + m + " --connection " + subject + " --job " + what,
		}}
	case CauseOrder:
		return orderAdvice(subject, what, m, a.ID)
	case CauseStuck:
		return stuckAdvice(subject, m)
	case CauseMessages:
		return Advice{"Later messages are tried; this closes with the first one that is delivered.", []string{
			"ferry alert list" + m, "ferry alert test" + m,
		}}
	case CauseFinding:
		return Advice{"The books are compared again at the next run; this closes when they agree.", []string{
			"ferry merchant findings" + m, "ferry merchant reconcile" + m,
		}}
	case CausePaused:
		if what != "" {
			return Advice{"The job does not run until it is resumed; what it is there for waits, and nobody sees what comes.", []string{
				"ferry merchant show" + m,
				"ferry merchant resume" + m + " --connection " + subject + " --job " + what,
			}}
		}
		return Advice{"Nothing is pulled, submitted or told until the merchant is resumed.", []string{
			"ferry merchant show" + m, "ferry merchant resume" + m,
		}}
	case CauseUnanswered:
		return Advice{"They are asked for at every look at shipments, and never sent again for that. See at the warehouse whether it has them.", []string{
			"ferry order list" + m + " --state at_warehouse",
			"ferry connection test" + m + " --connection " + subject,
			"ferry merchant sync" + m + " --connection " + subject + " --job pull_shipments",
		}}
	case CauseUnshipped:
		return Advice{"They are asked for at every look at shipments, and never sent again for that. Ask the warehouse what they wait for; what nobody wants any more can be cancelled.", []string{
			"ferry order list" + m + " --unshipped",
			"ferry merchant sync" + m + " --connection " + subject + " --job pull_shipments",
		}}
	case CauseUnread:
		return Advice{"The rest was taken. It is read again at the next run; this closes once nothing is left. Have it mended where it comes from.", []string{
			fmt.Sprintf("ferry alert show --id %d", a.ID),
			"ferry merchant sync" + m + " --connection " + subject,
		}}
	}
	return Advice{}
}

func holdAdvice(reason HoldReason, m string) Advice {
	look := "ferry hold list" + m + " --reason " + string(reason)
	release := "ferry hold release" + m + " --reason " + string(reason)
	next := "They are sent again at the nightly resend, and sooner when what they wait for is there."
	switch reason {
	case HoldUnknownOutcome:
		next = "Nothing: see at the warehouse whether it has them. A release looks for them again, and never sends blindly."
	case HoldOperator:
		next = "Nothing: a person put them on hold, and a person must release or cancel them."
	case HoldWarehouseUnreachable:
		next = "They are sent again some times a day, and at the nightly resend."
	}
	commands := []string{look}
	switch reason {
	case HoldUnknownItem:
		commands = append(commands, "ferry alias import"+m+" aliases.csv")
	case HoldKitWithoutComponents:
		commands = append(commands, "ferry kit import"+m+" kits.csv")
	case HoldInsufficientInventory:
		commands = append(commands, "ferry hold forecast"+m)
	}
	return Advice{next, append(commands, release+" --dry-run", release)}
}

func orderAdvice(reference, what, m string, id int64) Advice {
	order := m + " --reference " + reference
	next := map[string]string{
		OrderBackAtCart:           "Nothing: it stays cancelled until a person decides.",
		OrderChangedTooLate:       "The warehouse ships what it was told first. Change or cancel it there where that is wrong.",
		OrderDuplicateFound:       "The extra ones were asked to be cancelled; the history tells each answer. Stop at the warehouse what was not.",
		OrderCancelTooLate:        "It is shipped and told to the cart. Have it returned, or talk to the buyer.",
		OrderShippedAfterAll:      "Its tracking is told to the cart. Have it returned, or talk to the buyer.",
		OrderCancelledByWarehouse: "Nothing is sent any more, and the cart is not told. Ask the warehouse why; then reopen it, or cancel it here too: that tells a cart that takes cancels. At another cart, cancel it there, and close this.",
		OrderTakenAfterAll:        "It goes on as any other order, and is not sent again. Stop at the warehouse what was sent in another way meanwhile.",
		OrderGone:                 "It is asked for at every look at shipments; this closes when the warehouse names it again. Ask there.",
		OrderShippedShort:         "The cart is told of what left, and nothing more is sent. Ask the warehouse; refund the rest, or send it as a new order. This closes when the rest leaves after all.",
		OrderRelabelled:           "The cart is told of the new parcel too; the old number stays there. Take it off at the cart, or tell the buyer, once the warehouse says which one left.",
	}[what]
	commands := []string{"ferry order history" + order, "ferry order show" + order}
	switch what {
	case OrderBackAtCart, OrderCancelledByWarehouse:
		commands = append(commands, "ferry order reopen"+order+` --reason "to be sent after all"`)
	}
	switch what {
	case OrderChangedTooLate:
		commands = append(commands, "ferry order cancel"+order+` --reason "changed at the cart"`)
	case OrderCancelledByWarehouse:
		commands = append(commands, "ferry order cancel"+order+` --reason "cancelled by the warehouse"`)
	}
	return Advice{next, append(commands, fmt.Sprintf("ferry alert close --id %d", id))}
}

func stuckAdvice(subject, m string) Advice {
	show := "ferry merchant show" + m
	list := "ferry order list" + m + " --state "
	sync := "ferry merchant sync" + m + " --job "
	switch subject {
	case StuckReady:
		return Advice{"They are submitted as soon as the warehouse takes orders.", []string{show, list + "new", sync + "submit_orders"}}
	case StuckInDoubt:
		return Advice{"They are looked for again, and never sent blindly.", []string{show, list + "in_doubt,submitting", sync + "submit_orders"}}
	case StuckCancel:
		return Advice{"The warehouse is asked again. A warehouse that can't cancel by itself must be called.", []string{list + "cancel_requested", sync + "submit_orders"}}
	case StuckThere:
		return Advice{"Nothing is sent again: the warehouse has them, and they go on by themselves once it does. Ask there, or have them cancelled.",
			[]string{"ferry hold list" + m, sync + "pull_shipments"}}
	case StuckCartCancel:
		return Advice{"The cart is told again, with longer and longer pauses.", []string{list + "cancelled,sending_cancelled", show}}
	}
	return Advice{"The cart is told again, with longer and longer pauses.", []string{show, list + "shipped", sync + "push_shipments"}}
}
