package notify

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"orderferry/relay"
)

// Mailer sends e-mail through one mail server. Safe for concurrent use.
type Mailer struct {
	host           string
	port           int
	tls            bool // from the first byte, as on port 465
	plain          bool // no TLS: the server is on this machine
	user, password string
	from           netmail.Address

	dial  func(ctx context.Context, network, address string) (net.Conn, error)
	roots *x509.CertPool // nil: the machine's
}

// mailTimeout bounds every step of an exchange with the mail server.
const mailTimeout = 20 * time.Second

// NewMailer reads a mail server's address, smtp://user:password@host:587 or
// smtps://user:password@host:465, and the sender. By smtp the server must offer
// STARTTLS, unless it is on this machine. Errors never quote the password.
func NewMailer(server, from string) (*Mailer, error) {
	want := "want smtp://user:password@host:587 or smtps://user:password@host:465"
	u, err := url.Parse(server)
	if err != nil {
		return nil, errors.New(want + "; write % in a password as %25, @ as %40, / as %2F")
	}
	m := &Mailer{host: u.Hostname(), dial: (&net.Dialer{Timeout: mailTimeout}).DialContext}
	m.user = u.User.Username()
	m.password, _ = u.User.Password()
	switch u.Scheme {
	case "smtp":
		m.port, m.plain = 587, relay.IsLoopback(m.host)
	case "smtps":
		m.port, m.tls = 465, true
	default:
		return nil, errors.New(want)
	}
	if p := u.Port(); p != "" {
		m.port, err = strconv.Atoi(p)
	}
	if err != nil || m.port < 1 || m.port > 65535 || m.host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || (m.user == "") != (m.password == "") {
		return nil, errors.New(want)
	}
	a, err := netmail.ParseAddress(from)
	if err != nil {
		return nil, fmt.Errorf("sender %q: want an e-mail address, such as orderferry@example.com", from)
	}
	m.from = *a
	if m.from.Name == "" {
		m.from.Name = "Orderferry"
	}
	return m, nil
}

// Send sends a message to each recipient who does not have it yet, one copy
// each, and returns who got it now. One that is refused keeps none of the others
// from it. The error is a *relay.Error: Rejected when every failure is for good.
func (m *Mailer) Send(ctx context.Context, to []string, msg relay.AlertMessage) (delivered []string, err error) {
	var copies []*mail.Msg
	var recipients []string
	for _, r := range to {
		if slices.Contains(msg.Delivered, r) {
			continue
		}
		c, err := m.compose(r, msg)
		if err != nil {
			return nil, &relay.Error{Kind: relay.Rejected, Op: "write e-mail", Words: err.Error()}
		}
		copies, recipients = append(copies, c), append(recipients, r)
	}
	if len(copies) == 0 {
		return nil, nil
	}
	conn, failed := m.exchange(ctx, copies)
	if conn != nil {
		conn.Close() // the library leaves it open where the greeting or the login failed
	}
	var failures []error
	for i, c := range copies {
		if c.IsDelivered() { // also when the server hung up right afterwards
			delivered = append(delivered, recipients[i])
		} else {
			failures = append(failures, cmp.Or(c.SendError(), failed))
		}
	}
	return delivered, mailError(failures)
}

// exchange talks to the server, and returns the connection that was made for it.
func (m *Mailer) exchange(ctx context.Context, copies []*mail.Msg) (conn net.Conn, err error) {
	ended, stop := ctx, func() bool { return true }
	defer func() { stop() }()
	config := &tls.Config{ServerName: m.host, RootCAs: m.roots, MinVersion: tls.VersionTLS12}
	options := []mail.Option{
		mail.WithPort(m.port), mail.WithTimeout(mailTimeout), mail.WithTLSConfig(config), mail.WithTLSPolicy(mail.TLSMandatory),
		mail.WithDialContextFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := m.dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			// The library does not look at ctx once it is connected: neither while it waits
			// for the greeting nor later.
			stop = context.AfterFunc(ended, func() { c.Close() })
			if conn = c; m.tls {
				conn = tls.Client(c, config)
			}
			return conn, nil
		}),
	}
	switch {
	case m.plain:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	case m.tls:
		options = append(options, mail.WithSSL())
	}
	if m.user != "" {
		options = append(options, mail.WithUsername(m.user), mail.WithPassword(m.password))
		if m.plain {
			options = append(options, mail.WithSMTPAuth(mail.SMTPAuthPlainNoEnc))
		} else {
			options = append(options, mail.WithOpportunisticSMTPAuth(mail.SMTPAuthPlain, mail.SMTPAuthLogin, mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthCramMD5))
		}
	}
	client, err := mail.NewClient(m.host, options...)
	if err != nil {
		return conn, err
	}
	session, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return conn, err
	}
	err = client.SendWithSMTPClient(session, copies...)
	_ = client.CloseWithSMTPClient(session) // what was delivered stays delivered
	return conn, err
}

// compose writes one copy. All of a message have one Message-ID, derived from its
// key, so that a copy that comes twice is known for what it is.
func (m *Mailer) compose(to string, msg relay.AlertMessage) (*mail.Msg, error) {
	c := mail.NewMsg(mail.WithNoDefaultUserAgent())
	c.FromMailAddress(&m.from)
	if err := c.To(to); err != nil {
		return nil, err
	}
	_, domain, _ := strings.Cut(m.from.Address, "@")
	c.Subject(subject(msg))
	c.SetDateWithValue(msg.At)
	c.SetMessageIDWithValue(msg.Key + "@" + domain)
	if msg.Answers != "" { // so that readers show it beneath the one that opened the alert
		id := "<" + msg.Answers + "@" + domain + ">"
		c.SetGenHeader(mail.HeaderInReplyTo, id)
		c.SetGenHeader(mail.HeaderReferences, id)
	}
	c.SetGenHeader("List-Id", fmt.Sprintf("<%s.alerts.%s>", msg.Merchant, domain))
	c.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no out-of-office answers
	c.SetBodyString(mail.TypeTextPlain, text(msg))
	return c, nil
}

// mailError makes one error of those that copies met; nil of none.
func mailError(failures []error) error {
	if len(failures) == 0 {
		return nil
	}
	e := &relay.Error{Kind: relay.Rejected, Op: "send e-mail"}
	var words []string
	for _, f := range failures {
		kind, code := kindOf(f)
		if kind != relay.Rejected {
			e.Kind = kind // one of them may still be delivered
		}
		e.Code = cmp.Or(e.Code, code)
		words = append(words, f.Error())
	}
	e.Words = clip(strings.Join(slices.Compact(words), "; "))
	return e
}

// kindOf tells what a failure means. Only a server's refusal of a recipient, a
// sender or a message is for good: a login that is refused may be put right.
func kindOf(err error) (relay.ErrorKind, string) {
	var refused *mail.SendError
	if errors.As(err, &refused) && refused.ErrorCode() != 0 {
		code := strconv.Itoa(refused.ErrorCode())
		if refused.ErrorCode() >= 500 {
			return relay.Rejected, code
		}
		return relay.Unavailable, code
	}
	var reply *textproto.Error
	if errors.As(err, &reply) {
		code := strconv.Itoa(reply.Code)
		if reply.Code == 530 || reply.Code == 534 || reply.Code == 535 { // RFC 4954
			return relay.Unauthorised, code
		}
		return relay.Unavailable, code
	}
	return relay.Unavailable, ""
}

// clip bounds what servers write.
func clip(s string) string {
	const most = 2000
	return strings.ToValidUTF8(s[:min(len(s), most)], "")
}
