package notify

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"mime"
	"net"
	netmail "net/mail"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"orderferry/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// postbox is a mail server on loopback that keeps what it is given.
type postbox struct {
	host, port string
	user       string            // who must log in; "" nobody
	refuses    map[string]string // recipients, and the answer that they get: "550 ..."
	drop       bool              // hang up instead of answering to a message

	mu    sync.Mutex
	mails []received
}

type received struct {
	to   string
	tls  bool
	auth string // who logged in
	*netmail.Message
	body string
}

func (p *postbox) got() []received {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.mails)
}

// postboxConfig says how a postbox talks.
type postboxConfig struct {
	starttls, implicit *tls.Config
}

func newPostbox(t *testing.T, p *postbox, c postboxConfig) *postbox {
	t.Helper()
	server := smtp.NewServer(smtp.BackendFunc(func(conn *smtp.Conn) (smtp.Session, error) { return &session{box: p, conn: conn}, nil }))
	server.Domain, server.TLSConfig = "mail.test", c.starttls
	server.AllowInsecureAuth = c.starttls == nil
	server.ErrorLog = quiet{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p.host, p.port, err = net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	if c.implicit != nil {
		listener = tls.NewListener(listener, c.implicit)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // it ends with the test
	}()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		<-done
	})
	return p
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

type session struct {
	box  *postbox
	conn *smtp.Conn
	auth string
	to   []string
}

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != s.box.user || password != "p@ss/w%rd" {
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "who is " + user + "?"}
		}
		s.auth = user
		return nil
	}), nil
}

func (s *session) Mail(string, *smtp.MailOptions) error {
	if s.box.user != s.auth {
		return smtp.ErrAuthRequired
	}
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if answer, ok := s.box.refuses[to]; ok {
		var code int
		var words string
		if _, err := fmt.Sscanf(answer, "%d %s", &code, &words); err != nil {
			return err
		}
		return &smtp.SMTPError{Code: code, EnhancedCode: smtp.NoEnhancedCode, Message: words + " <" + to + ">"}
	}
	s.to = append(s.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m, err := netmail.ReadMessage(bytes.NewReader(b))
	if err != nil {
		return err
	}
	body, err := io.ReadAll(m.Body)
	if err != nil {
		return err
	}
	_, secure := s.conn.TLSConnectionState()
	s.box.mu.Lock()
	s.box.mails = append(s.box.mails, received{strings.Join(s.to, ","), secure, s.auth, m, strings.ReplaceAll(string(body), "=\r\n", "")})
	s.box.mu.Unlock()
	if s.box.drop {
		return errors.Join(s.conn.Conn().Close(), io.EOF)
	}
	return nil
}

func (s *session) Reset()        { s.to = nil }
func (s *session) Logout() error { return nil }

// selfSigned is a certificate for mail.test and for loopback, and the pool that trusts it.
func selfSigned(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"mail.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}

// elsewhere makes a mailer for a server that is not on this machine, as far as it knows.
func elsewhere(t *testing.T, p *postbox, roots *x509.CertPool, password string) *Mailer {
	t.Helper()
	m, err := NewMailer("smtp://ferry:"+password+"@mail.test", "Ops <orderferry@example.com>")
	require.NoError(t, err)
	require.Equal(t, 587, m.port)
	m.roots = roots
	m.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(p.host, p.port))
	}
	return m
}

var began = time.Date(2026, 3, 1, 5, 0, 0, 0, time.UTC)

func onHold(news relay.AlertNews) relay.AlertNotice {
	return relay.AlertNotice{News: news, Alert: relay.Alert{
		ID: 12, Merchant: "acme", Cause: "hold/insufficient_inventory", Level: 2, Since: began, OpenedAt: began.Add(24 * time.Hour),
		Headline: "12 orders on hold for insufficient_inventory for more than 1 day, the oldest SO-1042 for 3d04h",
	}}
}

func message(notices ...relay.AlertNotice) relay.AlertMessage {
	return relay.AlertMessage{Merchant: "acme", Key: "alert_KEY", At: began.Add(76 * time.Hour), Notices: notices, Count: len(notices)}
}

func TestMailOverSTARTTLSWithLogin(t *testing.T) {
	config, roots := selfSigned(t)
	p := newPostbox(t, &postbox{user: "ferry"}, postboxConfig{starttls: config})
	m := elsewhere(t, p, roots, "p%40ss%2Fw%25rd")
	msg := message(onHold(relay.AlertRaised))
	msg.Answers = "alert_FIRST"
	delivered, err := m.Send(t.Context(), []string{"ops@example.com", "night@example.com"}, msg)
	require.NoError(t, err)
	require.Equal(t, []string{"ops@example.com", "night@example.com"}, delivered)

	mails := p.got()
	require.Len(t, mails, 2)
	got := mails[0]
	require.True(t, got.tls)
	require.Equal(t, "ferry", got.auth)
	require.Equal(t, "ops@example.com", got.to)
	require.Equal(t, "[orderferry acme] 12 orders on hold for insufficient_inventory for more than 1 day, the oldest SO-1042 for 3d04h", got.Header.Get("Subject"))
	require.Equal(t, `"Ops" <orderferry@example.com>`, got.Header.Get("From"))
	require.Equal(t, "<ops@example.com>", got.Header.Get("To"))
	require.Equal(t, "<alert_KEY@example.com>", got.Header.Get("Message-Id"))
	require.Equal(t, "<alert_FIRST@example.com>", got.Header.Get("In-Reply-To"))
	require.Equal(t, "<alert_FIRST@example.com>", got.Header.Get("References"))
	require.Equal(t, "<acme.alerts.example.com>", got.Header.Get("List-Id"))
	require.Equal(t, "auto-generated", got.Header.Get("Auto-Submitted"))
	at, err := got.Header.Date()
	require.NoError(t, err)
	require.True(t, msg.At.Equal(at))
	for _, line := range []string{
		"Alert      12, level 2 (raised)",
		"Since      2026-03-01 05:00 UTC",
		"What next  They are sent again at the nightly resend",
		"  ferry hold list --merchant acme --reason insufficient_inventory\r\n",
		"  ferry hold release --merchant acme --reason insufficient_inventory --dry-run\r\n",
	} {
		require.Contains(t, got.body, line)
	}
	// Every copy is the same message: one that comes twice is known for what it is.
	require.Equal(t, got.Header.Get("Message-Id"), mails[1].Header.Get("Message-Id"))
}

func TestMailOverTLSFromTheFirstByte(t *testing.T) {
	config, roots := selfSigned(t)
	p := newPostbox(t, &postbox{user: "ferry"}, postboxConfig{implicit: config})
	m, err := NewMailer("smtps://ferry:p%40ss%2Fw%25rd@127.0.0.1:"+p.port, "orderferry@example.com")
	require.NoError(t, err)
	m.roots = roots
	_, err = m.Send(t.Context(), []string{"ops@example.com"}, message(onHold(relay.AlertOpened)))
	require.NoError(t, err)
	require.True(t, p.got()[0].tls)
	require.Equal(t, "ferry", p.got()[0].auth)
	require.Equal(t, `"Orderferry" <orderferry@example.com>`, p.got()[0].Header.Get("From"))
}

func TestMailOnThisMachineNeedsNoTLS(t *testing.T) {
	for name, user := range map[string]string{"without login": "", "with login": "ferry"} {
		t.Run(name, func(t *testing.T) {
			p := newPostbox(t, &postbox{user: user}, postboxConfig{})
			login := ""
			if user != "" {
				login = user + ":p%40ss%2Fw%25rd@"
			}
			m, err := NewMailer("smtp://"+login+"127.0.0.1:"+p.port, "orderferry@example.com")
			require.NoError(t, err)
			_, err = m.Send(t.Context(), []string{"ops@example.com"}, message(onHold(relay.AlertOpened)))
			require.NoError(t, err)
			require.False(t, p.got()[0].tls)
			require.Equal(t, user, p.got()[0].auth)
		})
	}
}

func TestMailThatIsNotDelivered(t *testing.T) {
	config, roots := selfSigned(t)
	msg := message(onHold(relay.AlertOpened))
	to := []string{"ops@example.com"}

	t.Run("no STARTTLS", func(t *testing.T) {
		p := newPostbox(t, &postbox{}, postboxConfig{})
		_, err := elsewhere(t, p, roots, "secret").Send(t.Context(), to, msg)
		require.ErrorIs(t, err, relay.Unavailable)
		require.Empty(t, p.got(), "nothing is said in the clear")
	})
	t.Run("untrusted certificate", func(t *testing.T) {
		p := newPostbox(t, &postbox{}, postboxConfig{starttls: config})
		_, err := elsewhere(t, p, x509.NewCertPool(), "secret").Send(t.Context(), to, msg)
		require.ErrorIs(t, err, relay.Unavailable)
	})
	t.Run("refused login", func(t *testing.T) {
		p := newPostbox(t, &postbox{user: "ferry"}, postboxConfig{starttls: config})
		_, err := elsewhere(t, p, roots, "secret").Send(t.Context(), to, msg)
		require.ErrorIs(t, err, relay.Unauthorised)
		require.NotContains(t, err.Error()+err.(*relay.Error).Words, "secret")
	})
	t.Run("nobody listens", func(t *testing.T) {
		m, err := NewMailer("smtp://127.0.0.1:1", "orderferry@example.com")
		require.NoError(t, err)
		_, err = m.Send(t.Context(), to, msg)
		require.ErrorIs(t, err, relay.Unavailable)
	})
	t.Run("hung up on the message", func(t *testing.T) {
		p := newPostbox(t, &postbox{user: "ferry", drop: true}, postboxConfig{starttls: config})
		delivered, err := elsewhere(t, p, roots, "p%40ss%2Fw%25rd").Send(t.Context(), to, msg)
		require.ErrorIs(t, err, relay.Unavailable)
		require.Empty(t, delivered)
	})
	t.Run("stopped", func(t *testing.T) {
		silent, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer silent.Close()
		m, err := NewMailer("smtp://"+silent.Addr().String(), "orderferry@example.com")
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			if c, err := silent.Accept(); err == nil {
				cancel() // it is connected, and hears nothing
				<-t.Context().Done()
				c.Close()
			}
		}()
		began := time.Now()
		_, err = m.Send(ctx, to, msg)
		require.ErrorIs(t, err, relay.Unavailable)
		require.Less(t, time.Since(began), mailTimeout/2)
	})
}

// One recipient who is gone keeps nobody else from being called, and those who
// have the message are not called twice.
func TestMailToSomeOfMany(t *testing.T) {
	p := newPostbox(t, &postbox{refuses: map[string]string{"gone@example.com": "550 unknown", "busy@example.com": "451 later"}}, postboxConfig{})
	m, err := NewMailer("smtp://127.0.0.1:"+p.port, "orderferry@example.com")
	require.NoError(t, err)
	msg := message(onHold(relay.AlertOpened))
	delivered, err := m.Send(t.Context(), []string{"gone@example.com", "ops@example.com", "busy@example.com"}, msg)
	require.Equal(t, []string{"ops@example.com"}, delivered)
	require.ErrorIs(t, err, relay.Unavailable, "one of them may still get it")
	require.NotContains(t, err.Error(), "@", "recipients are told in the ledger only")
	require.Contains(t, err.(*relay.Error).Words, "gone@example.com")

	delete(p.refuses, "busy@example.com")
	msg.Delivered = delivered
	delivered, err = m.Send(t.Context(), []string{"gone@example.com", "ops@example.com", "busy@example.com"}, msg)
	require.Equal(t, []string{"busy@example.com"}, delivered)
	require.ErrorIs(t, err, relay.Rejected, "the last one never gets it")
	require.Equal(t, "550", err.(*relay.Error).Code)
	require.Len(t, p.got(), 2)

	msg.Delivered = []string{"gone@example.com", "ops@example.com"}
	delivered, err = m.Send(t.Context(), msg.Delivered, msg)
	require.NoError(t, err)
	require.Empty(t, delivered)
}

// What a headline quotes is a cart's: it adds no header, recipient or part.
func TestHeadlinesAddNoHeaders(t *testing.T) {
	p := newPostbox(t, &postbox{}, postboxConfig{})
	m, err := NewMailer("smtp://127.0.0.1:"+p.port, "orderferry@example.com")
	require.NoError(t, err)
	n := onHold(relay.AlertOpened)
	n.Headline = "lines[MUG\r\nBcc: thief@example.com\r\n\r\n<b>hello\r\n.\r\nRCPT TO:<thief@example.com>] é"
	_, err = m.Send(t.Context(), []string{"ops@example.com"}, message(n))
	require.NoError(t, err)
	require.Len(t, p.got(), 1)
	got := p.got()[0]
	require.Equal(t, "ops@example.com", got.to)
	require.Empty(t, got.Header.Get("Bcc"))
	subject, err := new(mime.WordDecoder).DecodeHeader(got.Header.Get("Subject"))
	require.NoError(t, err)
	require.Equal(t, "[orderferry acme] "+n.Headline, subject)
	require.Contains(t, got.body, "Alert      12, level 2 (opened)", "the text is whole")
}

func TestBadMailSettings(t *testing.T) {
	for _, c := range [][2]string{
		{"", "a@b.test"}, {"mail.test:587", "a@b.test"}, {"http://mail.test", "a@b.test"}, {"smtp://", "a@b.test"}, {"smtp://user@mail.test", "a@b.test"},
		{"smtp://mail.test/inbox", "a@b.test"}, {"smtp://mail.test?tls=no", "a@b.test"}, {"smtp://mail.test:0", "a@b.test"}, {"smtp://mail.test:99999", "a@b.test"},
		{"smtp://u:hush%zz@mail.test", "a@b.test"}, {"smtp://u:hush@mail.test", "nobody"}, {"smtp://u:hush@mail.test", ""},
	} {
		_, err := NewMailer(c[0], c[1])
		require.ErrorContains(t, err, "want", c)
		require.NotContains(t, err.Error(), "hush")
	}
}

func TestTexts(t *testing.T) {
	over := onHold(relay.AlertClosed)
	over.ClosedBy, over.ClosedAt = relay.Recovered, began.Add(80*time.Hour)
	require.Equal(t, "[orderferry acme] over: "+over.Headline, subject(message(over)))
	require.Equal(t, over.Headline+".\n\nThis is over since 2026-03-04 13:00 UTC: the cause is gone. Nothing is to be done.\n\n", text(message(over)))
	over.ClosedBy = "operator clerk"
	require.Contains(t, text(message(over)), "Closed by operator clerk at 2026-03-04 13:00 UTC.")

	test := relay.AlertMessage{Merchant: "acme", Test: true, At: began}
	require.Equal(t, "[orderferry acme] test: alerts arrive here", subject(test))
	require.Contains(t, text(test), "Nothing is wrong")

	many := message(slices.Repeat([]relay.AlertNotice{onHold(relay.AlertOpened), over}, 4)...)
	many.Count = 500
	require.Equal(t, "[orderferry acme] 500 alerts: 4 opened, 4 closed, 492 more", subject(many))
	body := text(many)
	require.Equal(t, 8, strings.Count(body, "alert 12, level 2, since 2026-03-01 05:00 UTC: 12 orders"))
	require.Contains(t, body, "... and 492 more\n")
	require.Contains(t, body, "  ferry alert list --merchant acme\n")
	require.NotContains(t, body, "What next")
}
