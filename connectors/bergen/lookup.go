package bergen

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"orderferry/connectors"
	"orderferry/connectors/exchange"
	"orderferry/relay"
)

// stage is how far the staging area has got with a ticket. The values that
// GetPickTicketAddStatus has are not known (section 7.6), so words are read.
type stage int

const (
	unclear      stage = iota // it says something, and we don't know what
	silent                    // it says nothing at all
	notStaged                 // it does not know the number
	waiting                   // to be imported
	imported                  // it is a ticket by now
	importFailed              // it will never be one
	withdrawn                 // cancelled before it was one
)

// staged reads what the staging area says of a number.
func (c *connection) staged(ctx context.Context, op, number string) (stage, []notice, error) {
	got, status, err := call[statusAnswer](ctx, c.client, op, getAddStatus, number)
	if err != nil {
		return unclear, nil, err
	}
	s, said := readStage(got)
	if s == unclear && len(got.failures()) > 0 && got.Ticket == nil {
		return unclear, nil, readError(op, status, got.failures())
	}
	return s, said, nil
}

// readStage returns the stage and, for a failed import, what was said of it.
func readStage(a statusAnswer) (stage, []notice) {
	said := a.failures()
	var words []string
	pending, success := false, false
	for _, n := range a.Notices {
		words = append(words, n.words())
		code, _ := n.number()
		pending = pending || code == codePending
		success = success || !n.bad()
	}
	if t := a.Ticket; t != nil {
		status := collapse(t.Status)
		switch classOf(status) { // the status of the ticket itself
		case cancelled:
			return withdrawn, nil
		case unknownStatus:
		default:
			return imported, nil
		}
		n := notice{Code: t.Code, Severity: status, Message: collapse(t.Details)}
		if words = append(words, n.words()); n.bad() || failureWords.MatchString(n.words()) {
			said = append([]notice{n}, said...)
		}
		code, _ := n.number()
		pending = pending || code == codePending
	}
	text := strings.TrimSpace(strings.Join(words, " "))
	switch {
	case pending, strings.Contains(strings.ToLower(text), "pending"):
		return waiting, nil
	case saysAbsent(said):
		return notStaged, nil
	case cancelledWords.MatchString(text) && !failureWords.MatchString(text):
		return withdrawn, nil
	case failureWords.MatchString(text) || anyValidation(said):
		return importFailed, said
	case doneWords.MatchString(text):
		return imported, nil
	case text == "" && !success && len(said) == 0:
		return silent, nil
	}
	return unclear, nil
}

// anyValidation reports whether one of the notices is a known complaint about an order.
func anyValidation(list []notice) bool {
	for _, n := range list {
		if code, _ := n.number(); n.expected() && code != codeTicket && code != codeBarCode {
			return true
		}
	}
	return false
}

// saysAbsent reports whether one of the notices says that there is no such ticket.
func saysAbsent(list []notice) bool {
	return slices.ContainsFunc(list, notice.absent)
}

// errOther is a ticket that was answered in place of the one that was asked for.
var errOther = errors.New("the answer is about another ticket, or about one whose account prefix is not settings.account_prefix")

// read reads an imported ticket with one of the three operations for it.
// NotFound means that the service said so (code 83).
func (c *connection) read(ctx context.Context, op string, o operation, number string) (*ticketXML, error) {
	got, status, err := call[ticketAnswer](ctx, c.client, op, o, number)
	if err != nil {
		return nil, err
	}
	failures := got.failures()
	switch {
	case saysAbsent(failures):
		return nil, noticeError(op, relay.NotFound, status, failures)
	case len(failures) > 0:
		return nil, readError(op, status, failures)
	case got.Ticket == nil:
		return nil, &relay.Error{Kind: relay.Unavailable, Op: op, Status: status, Err: errors.New("the answer has neither a ticket nor a reason")}
	case !c.ours(got.Ticket.Number, got.Ticket.OrderNumber, number):
		return nil, &relay.Error{Kind: relay.Unavailable, Op: op, Status: status, Err: errOther}
	}
	return got.Ticket, nil
}

// ours reports whether a ticket that was answered to our number is the one with
// it: the number itself, or the number behind the account's prefix, which the
// first such answer teaches us (section 7.4). The tail alone proves nothing: 123
// is also the tail of 9123.
func (c *connection) ours(answered, orderNumber, number string) bool {
	answered = strings.TrimSpace(answered)
	if strings.EqualFold(answered, number) {
		return true
	}
	head, ok := cutTail(answered, number)
	if !ok || !prefixForm.MatchString(head) {
		return false
	}
	if other := strings.TrimSpace(orderNumber); other != "" && !strings.EqualFold(other, number) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.prefix == "" {
		c.prefix = head
	}
	return strings.EqualFold(c.prefix, head)
}

// listed returns the number of a ticket in a list, in upper case; "" when it is
// not known to be of this account's form.
func (c *connection) listed(ticket string) string {
	ticket = strings.TrimSpace(ticket)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.prefix); n > 0 && len(ticket) > n && strings.EqualFold(ticket[:n], c.prefix) {
		return strings.ToUpper(ticket[n:])
	}
	return ""
}

// cutTail cuts a tail off, without regard to the case of letters.
func cutTail(s, tail string) (head string, ok bool) {
	at := len(s) - len(tail)
	if at < 0 || !strings.EqualFold(s[at:], tail) {
		return "", false
	}
	return s[:at], true
}

// standing is where a ticket is to be found.
type standing struct {
	stage  stage
	said   []notice   // why its import failed
	ticket *ticketXML // nil: there is none under its number
}

// look asks the staging area first and then for the ticket, so that one that is
// imported in between is seen. A ticket counts for more than what staging says.
func (c *connection) look(ctx context.Context, op, number string) (standing, error) {
	s, said, err := c.staged(ctx, op, number)
	if err != nil {
		return standing{}, err
	}
	t, err := c.read(ctx, op, getTicket, number)
	if err != nil && !errors.Is(err, relay.NotFound) {
		return standing{}, err
	}
	if s == silent && c.silentAbsent {
		s = notStaged
	}
	return standing{stage: s, said: said, ticket: t}, nil
}

// lookAfresh looks with a new token: what a spent one is answered with is not
// known (section 6), and must not pass for absence.
func (c *connection) lookAfresh(ctx context.Context, op, number string) (standing, error) {
	if _, err := c.client.newToken(ctx, op); err != nil {
		return standing{}, err
	}
	return c.look(ctx, op, number)
}

// FindOrders looks for each number: in the staging area, then among the tickets.
// A ticket with our number and another purchase order is somebody else's: it is
// no match, and nothing is certain then.
func (c *connection) FindOrders(ctx context.Context, q connectors.LookupQuery) ([]connectors.Lookup, error) {
	const op = "look up order"
	out := make([]connectors.Lookup, len(q.Orders))
	failures := 0
	for i, r := range q.Orders {
		s, err := c.lookAfresh(ctx, op, c.number(r.Order))
		switch {
		case err == nil:
			failures = 0
			out[i] = c.found(r.Order, s)
			continue
		case ctx.Err() != nil, exchange.KindIs(err, relay.Unauthorised, relay.Throttled):
			return nil, err
		}
		// One that can't be read keeps nobody else waiting, an outage does.
		if failures++; failures == maxFailures || failures == len(q.Orders) {
			return nil, err
		}
		c.log.Warn("order could not be looked for", "warehouse_order", c.number(r.Order), "error", err)
	}
	return out, nil
}

func (c *connection) found(o connectors.WarehouseOrder, s standing) connectors.Lookup {
	m := connectors.Match{ID: relay.WarehouseOrderID(c.number(o)), By: "reference"}
	switch {
	case s.ticket != nil:
		if !samePO(s.ticket, o.Number) || !sameItems(s.ticket, o.Items) {
			return connectors.Lookup{}
		}
		m.Cancelled = classOf(s.ticket.Status) == cancelled
	case s.stage == notStaged:
		return connectors.Lookup{Certain: true}
	case s.stage == waiting, s.stage == imported:
		m.AnswerWithin = c.answerWithin
	case s.stage == importFailed, s.stage == withdrawn:
		m.Cancelled, m.AnswerWithin = true, c.answerWithin
	default:
		return connectors.Lookup{}
	}
	return connectors.Lookup{Matches: []connectors.Match{m}}
}

// sameItems reports whether a ticket asks for the order's items, as far as it
// tells: two merchants who share an account may number their orders alike, and
// neither may adopt the other's. Requested quantities stand from the start
// (section 7.4).
func sameItems(t *ticketXML, items []relay.Item) bool {
	theirs := make(map[string]float64)
	for _, l := range t.Lines {
		n, err := strconv.ParseFloat(strings.TrimSpace(l.Quantity), 64)
		if err != nil || canonical(l.UPC) == "" {
			return true // it does not tell
		}
		theirs[canonical(l.UPC)] += n
	}
	if len(theirs) == 0 {
		return true
	}
	ours := make(map[string]float64)
	for _, it := range items {
		ours[canonical(string(it.Code))] += float64(it.Units)
	}
	return maps.Equal(theirs, ours)
}

// samePO reports whether a ticket's purchase order is the cart's number: a
// vendor may leave it out, cut it short or change its case.
func samePO(t *ticketXML, number string) bool {
	theirs, ours := canonical(t.PONumber+t.PONumberV2), canonical(tidy(number))
	return theirs == "" || ours == "" || strings.HasPrefix(ours, theirs)
}
