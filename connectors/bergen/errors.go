package bergen

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"orderferry/connectors/exchange"
	"orderferry/relay"
)

const (
	maxProblems = 100             // of them in one answer
	maxMessage  = 500             // bytes of one problem's message
	unsaidPause = 5 * time.Second // what a 429 without Retry-After asks for
)

// Codes that decide something (section 5.1).
const (
	codeState       = 10
	codeTicket      = 45
	codeShipVia     = 56
	codeShipService = 61
	codeBarCode     = 83
	codePending     = 87
)

// expected reports whether a notice is one of those that were seen.
func (n notice) expected() bool {
	code, ok := n.number()
	return ok && slices.Contains([]int{0, 1, codeState, 12, 31, 32, 41, 43, codeTicket, codeShipVia, codeShipService, codeBarCode, codePending}, code)
}

var (
	tokenClass = regexp.MustCompile(`(?i)authenticat|unauthori[sz]ed|token`)
	tokenWords = regexp.MustCompile(`(?i)\bauthenticat|unauthori[sz]ed|not authori[sz]ed|(?:invalid|expired|bad) (?:security )?token|token (?:has |is )?(?:expired|invalid|not valid)|session (?:has )?expired`)
	// A complaint names its part of the ticket or of the product: "PickTicket/ShipVia",
	// "COLOR[item 1]", "State for ShipToAddress"; and so does its class: "ShipViaError".
	partWords = regexp.MustCompile(`(?i)[/\[]|pick ?ticket|upc|bar ?code|\bsku|style|colou?r|price|quantit|stock|inventor|ship|bill|carrier|warehouse|country|\bitem|\border`)
	// A failed import says the same of items, services and warehouses: what is said
	// of a ticket itself is meant here.
	absentWords    = regexp.MustCompile(`(?i)(?:ticket|bar ?code|number|staging)\b[^.;]{0,40}(?:n[o']t exist|not found|unknown)|(?:no such|unknown|invalid) (?:pick ?)?(?:ticket|bar ?code)`)
	failedPart     = regexp.MustCompile(`(?i)^\s*fail|pick ?ticket ?/|\[ ?item`)
	itemWords      = regexp.MustCompile(`(?i)\bupc|upc\b|upccode|\bsku\b|\bstyle\b`)
	duplicateWords = regexp.MustCompile(`(?i)already (?:exist|used|in use|been)|duplicate`)
	failureWords   = regexp.MustCompile(`(?i)fail|error|reject|not valid|invalid|denied|refused`)
	cancelledWords = regexp.MustCompile(`(?i)\bcancell?ed\b`)
	doneWords      = regexp.MustCompile(`(?i)success|import(?:ed)?\b|complete|processed|saved`)
	stockWords     = regexp.MustCompile(`(?i)stock|inventor|insufficient|not enough`)
	shipWords      = regexp.MustCompile(`(?i)ship ?via|ship ?service|carrier`)
	placeWords     = regexp.MustCompile(`(?i)(?:Ship|Bill)To(?:Address)?|\baddress`)
	itemNumber     = regexp.MustCompile(`(?i)\[\s*item\s*([0-9]{1,6})\s*\]`)
	unitWords      = regexp.MustCompile(`(?i)quantity|units`)
	numberWords    = regexp.MustCompile(`(?i)pick ?ticket ?number`)
)

// namesToken reports whether words are about a token that is not accepted. What
// is said of a part of a ticket, such as a service that the account is not
// authorized for, is about that.
func namesToken(words string) bool {
	return tokenWords.MatchString(words) && !partWords.MatchString(words)
}

// refusesToken reports whether the notice says that the token is not accepted.
// Neither code nor words of that are known (section 6). The severity is the
// error's class (section 5), which decides where it can; a code that was seen
// means something else, unless the element of the token is named; and else the
// words count.
func (n notice) refusesToken() bool {
	telling := !n.expected() || strings.Contains(strings.ToLower(n.words()), "authenticationstring")
	return n.bad() && (tokenClass.MatchString(n.Severity) || (telling && namesToken(n.words())))
}

// refusesToken reports whether an answer says nothing but that the token is not
// accepted: a service that tells of anything else has looked at the request for
// the account.
func refusesToken(got answerer) bool {
	list := got.notices()
	return len(list) > 0 && !slices.ContainsFunc(list, func(n notice) bool { return !n.refusesToken() })
}

// absent reports whether the notice says that a ticket is not there. Promise 1:
// what is absent is sent once more, so an import that failed for want of something
// else must not be taken for it.
func (n notice) absent() bool {
	if code, _ := n.number(); code == codeBarCode {
		return true
	}
	words := n.words()
	return absentWords.MatchString(words) && !itemWords.MatchString(words) &&
		!failedPart.MatchString(n.Severity) && !failedPart.MatchString(n.Message)
}

// err makes the error of a fault: a soap:Client was not accepted and never will
// be; what a soap:Server did, nobody knows (section 2.4).
func (f *faultXML) err(op string, kind relay.ErrorKind, status int) error {
	e := &relay.Error{Kind: kind, Op: op, Status: status, Code: f.code(), Words: exchange.Clip(f.String, exchange.MaxWords), Err: f}
	if f.client() {
		e.Kind, e.Reason = relay.Invalid, relay.HoldRejected
	}
	return e
}

// refusesToken is the same of a fault. What the framework says of a request that
// it can't read is about its form (section 2.4).
func (f *faultXML) refusesToken() bool {
	said, inside := strings.CutPrefix(f.String, "Server was unable to process request.")
	return (inside || !strings.HasPrefix(said, "Server ")) && namesToken(said)
}

// noticeError makes an error of notices, the first of which gives the code.
func noticeError(op string, kind relay.ErrorKind, status int, list []notice) *relay.Error {
	e := &relay.Error{Kind: kind, Op: op, Status: status, Words: wordsOf(list)}
	if len(list) > 0 {
		if code, ok := list[0].number(); ok {
			e.Code = strconv.Itoa(code)
		}
	}
	return e
}

func wordsOf(list []notice) string {
	var said []string
	for _, n := range list[:min(len(list), maxProblems)] {
		said = append(said, strings.TrimSpace(n.Code+" "+n.words()))
	}
	return exchange.Clip(strings.Join(said, "; "), exchange.MaxWords)
}

// errFailure is within the error of a read that the service answered.
var errFailure = errors.New("the service answered with a failure")

// readError is the error of a read that answered with failures.
func readError(op string, status int, list []notice) error {
	e := noticeError(op, relay.Unavailable, status, list)
	e.Err = errFailure
	return e
}

// refusal is why a ticket was not taken: at once, or when it was imported.
type refusal struct {
	kind   relay.ErrorKind
	reason relay.HoldReason
	fields []relay.Problem
}

// judge reads failures of PickTicketAdd (sections 5 and 7.4). items are the
// codes that were sent, in the order of the lines; nil when not known.
func judge(list []notice, items []string) refusal {
	r := refusal{kind: relay.Rejected, reason: relay.HoldRejected}
	for _, n := range list[:min(len(list), maxProblems)] {
		reason, field, value := n.about(items)
		if reason != relay.HoldRejected {
			r.kind = relay.Invalid
			if r.reason == relay.HoldRejected {
				r.reason = reason // the first that says something
			}
		}
		r.fields = append(r.fields, relay.Problem{Field: field, Value: value, Message: exchange.Clip(collapse(n.Message), maxMessage)})
	}
	return r
}

// about says what a notice is about: first by its code, then by its words.
func (n notice) about(items []string) (reason relay.HoldReason, field, value string) {
	code, _ := n.number()
	words := n.words()
	line := "items"
	if m := itemNumber.FindStringSubmatch(words); m != nil {
		i, _ := strconv.Atoi(m[1]) // counted from 1
		line = fmt.Sprintf("items[%d]", i-1)
		if i >= 1 && i <= len(items) {
			value = items[i-1]
		}
	}
	switch {
	case code == codeState:
		return relay.HoldBadAddress, "ship_to.state", ""
	case code == codeShipVia, code == codeShipService, shipWords.MatchString(words):
		return relay.HoldUnmappedShipMethod, "service", ""
	case stockWords.MatchString(words):
		return relay.HoldInsufficientInventory, line + ".units", value
	case itemWords.MatchString(words):
		return relay.HoldUnknownItem, line + ".code", value
	case line != "items" && unitWords.MatchString(words):
		return relay.HoldBadOrder, line + ".units", value
	case line != "items":
		return relay.HoldUnknownItem, line + ".code", value
	case placeWords.MatchString(words):
		return relay.HoldBadAddress, placeField(words), ""
	case numberWords.MatchString(words):
		return relay.HoldBadOrder, "reference", ""
	}
	return relay.HoldRejected, "order", ""
}

// placeField is the part of the address that words name.
func placeField(words string) string {
	words = strings.ToLower(words)
	for _, f := range []struct{ theirs, ours string }{
		{"non_us_region", "state"}, {"state", "state"}, {"zip", "zip"}, {"postal", "zip"}, {"city", "city"}, {"country", "country"},
		{"address1", "street1"}, {"address2", "street2"}, {"phone", "phone"}, {"email", "email"}, {"companyname", "company"}, {"name", "name"},
	} {
		if strings.Contains(words, f.theirs) {
			return "ship_to." + f.ours
		}
	}
	return "ship_to"
}
