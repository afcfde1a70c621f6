package csv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"orderferry/connectors"
	"orderferry/relay"
)

// remote is a folder of an SFTP server. A visit has a session of its own, of
// which there are a few; they are kept for the next one. A session on which
// nothing is heard for as long as the timeout ends by itself, so nothing is left
// behind by a connection that is not used any more.
type remote struct {
	address string // host:port
	dir     string
	user    string
	pins    []pin
	vault   connectors.Vault
	timeout time.Duration
	slots   chan struct{}

	mu   sync.Mutex
	idle []*session
}

// pin is a host key that is trusted.
type pin struct {
	fingerprint string // SHA256:...
	algorithm   string // "" where only the fingerprint is known
}

// parsePins reads host keys: fingerprints, or keys as known_hosts has them,
// separated by commas.
func parsePins(s string) ([]pin, error) {
	var pins []pin
	for _, part := range (connectors.Values{"": s}).List("") {
		if strings.HasPrefix(part, "SHA256:") && len(part) == len("SHA256:")+43 {
			pins = append(pins, pin{fingerprint: part})
			continue
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(part))
		if err != nil {
			return nil, fmt.Errorf("%q: want a fingerprint such as SHA256:... (43 characters) or a key such as ssh-ed25519 AAAA..., several separated by commas", clip(part, 60))
		}
		pins = append(pins, pin{ssh.FingerprintSHA256(key), key.Type()})
	}
	return pins, nil
}

func checkPins(s string) error {
	_, err := parsePins(s)
	return err
}

func (r *remote) String() string { return "sftp://" + r.address + "/" + strings.TrimPrefix(r.dir, "/") }

// Close ends the sessions that are not in use.
func (r *remote) Close() error {
	r.mu.Lock()
	idle := r.idle
	r.idle = nil
	r.mu.Unlock()
	for _, s := range idle {
		s.close()
	}
	return nil
}

func (r *remote) use(ctx context.Context, f func(files) error) error {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	s, err := r.session(ctx)
	if err != nil {
		return err
	}
	// The library's calls take no context: ending the session ends them.
	stop := context.AfterFunc(ctx, s.close)
	err = f(&remoteFiles{ctx, s.client, r.dir})
	if !stop() || s.ended() {
		s.close()
		if ctx.Err() != nil && err != nil {
			err = errors.Join(ctx.Err(), err)
		}
		return err
	}
	r.mu.Lock()
	r.idle = append(r.idle, s)
	r.mu.Unlock()
	return err
}

// session returns one that answers: a kept one, or a new one.
func (r *remote) session(ctx context.Context) (*session, error) {
	for {
		r.mu.Lock()
		if len(r.idle) == 0 {
			r.mu.Unlock()
			return r.dial(ctx)
		}
		s := r.idle[len(r.idle)-1]
		r.idle = r.idle[:len(r.idle)-1]
		r.mu.Unlock()
		if s.answers(ctx) {
			return s, nil
		}
		s.close()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// session is an SSH connection with its SFTP client.
type session struct {
	conn   net.Conn
	ssh    *ssh.Client
	client *sftp.Client
	done   chan struct{} // closed when the connection has ended
}

func (s *session) close() {
	_ = s.conn.Close() // first: a polite goodbye could wait for a server that is gone
	_ = s.client.Close()
	_ = s.ssh.Close()
}

func (s *session) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// answers asks the server for something small: a kept session may have ended unheard.
func (s *session) answers(ctx context.Context) bool {
	if s.ended() {
		return false
	}
	stop := context.AfterFunc(ctx, s.close)
	_, err := s.client.RealPath(".")
	return stop() && err == nil
}

// patient is a connection that fails once nothing was heard or sent for a while.
type patient struct {
	net.Conn
	timeout time.Duration
}

func (p *patient) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(time.Now().Add(p.timeout)); err != nil {
		return 0, err
	}
	return p.Conn.Read(b)
}

func (p *patient) Write(b []byte) (int, error) {
	// An answer is due from now on, so the reader's patience begins anew too.
	if err := p.SetDeadline(time.Now().Add(p.timeout)); err != nil {
		return 0, err
	}
	return p.Conn.Write(b)
}

const opConnect = "connect to the SFTP server"

func (r *remote) dial(ctx context.Context) (*session, error) {
	refuse := func(kind relay.ErrorKind, format string, args ...any) error {
		return &relay.Error{Kind: kind, Op: opConnect, Err: fmt.Errorf("%s: %w", r.address, fmt.Errorf(format, args...))}
	}
	if r.user == "" {
		return nil, refuse(relay.Unauthorised, "settings.user is missing: the name of the account on the server")
	}
	methods, err := r.methods(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{Timeout: r.timeout}).DialContext(ctx, "tcp", r.address)
	if err != nil {
		return nil, refuse(relay.Unavailable, "%w", err)
	}
	conn = &patient{conn, r.timeout}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	fail := func(kind relay.ErrorKind, err error) (*session, error) {
		_ = conn.Close()
		return nil, refuse(kind, "%w", err)
	}
	var stranger error
	c, channels, requests, err := ssh.NewClientConn(conn, r.address, &ssh.ClientConfig{
		User: r.user, Auth: methods, HostKeyAlgorithms: r.algorithms(),
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			stranger = r.trust(key)
			return stranger
		},
	})
	switch {
	case stranger != nil:
		return fail(relay.Unauthorised, stranger)
	case err != nil && strings.Contains(err.Error(), "unable to authenticate"): // the library has no type for it
		return fail(relay.Unauthorised, errors.New("the server does not accept the credentials of "+r.user))
	case err != nil:
		return fail(relay.Unavailable, err)
	}
	s := &session{conn: conn, ssh: ssh.NewClient(c, channels, requests), done: make(chan struct{})}
	go func() {
		_ = s.ssh.Wait() // why it ended is of no interest: every call on it says so
		close(s.done)
	}()
	if s.client, err = sftp.NewClient(s.ssh); err != nil {
		return fail(relay.Unavailable, fmt.Errorf("the server offers no SFTP: %w", err))
	}
	return s, nil
}

// trust refuses a host key that is not pinned, and says what to write.
func (r *remote) trust(key ssh.PublicKey) error {
	seen := ssh.FingerprintSHA256(key)
	if slices.ContainsFunc(r.pins, func(p pin) bool { return p.fingerprint == seen }) {
		return nil
	}
	what := "settings.host_key is missing"
	if len(r.pins) > 0 {
		what = "settings.host_key names another key"
	}
	return fmt.Errorf("%s; the server shows the %s key %s: ask whoever runs the server for its fingerprint and, only if it is this one, write host_key: %q", what, key.Type(), seen, seen)
}

// algorithms puts first what is pinned, and else what OpenSSH's client prefers, so
// that people see the fingerprint that they know.
func (r *remote) algorithms() []string {
	all := []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	slices.SortStableFunc(all, func(a, b string) int {
		rank := func(s string) int {
			if slices.ContainsFunc(r.pins, func(p pin) bool {
				return p.algorithm == s || p.algorithm == ssh.KeyAlgoRSA && strings.HasPrefix(s, "rsa-")
			}) {
				return 0
			}
			return 1
		}
		return rank(a) - rank(b)
	})
	return all
}

// methods reads the credentials anew for each session.
func (r *remote) methods(ctx context.Context) ([]ssh.AuthMethod, error) {
	refuse := func(format string, args ...any) error {
		return &relay.Error{Kind: relay.Unauthorised, Op: opConnect, Err: fmt.Errorf(format, args...)}
	}
	secrets, err := r.vault.Read(ctx)
	if err != nil {
		return nil, err
	}
	var methods []ssh.AuthMethod
	if text := secrets["private_key"]; text != "" {
		signer, err := parseKey(text, secrets["passphrase"])
		if err != nil {
			return nil, refuse("credentials.private_key can't be read: want a key in PEM form, as ssh-keygen writes it, and credentials.passphrase where it has one")
		}
		methods = append(methods, ssh.PublicKeys(signer))
	}
	if password := secrets["password"]; password != "" {
		methods = append(methods, ssh.Password(password), ssh.KeyboardInteractive(func(_, _ string, questions []string, echo []bool) ([]string, error) {
			answers := make([]string, len(questions))
			for i := range questions {
				if echo[i] {
					return nil, errors.New("the server asks for more than a password")
				}
				answers[i] = password
			}
			return answers, nil
		}))
	}
	if methods == nil {
		return nil, refuse("credentials are missing: want password or private_key")
	}
	return methods, nil
}

func parseKey(text, passphrase string) (ssh.Signer, error) {
	if passphrase != "" {
		return ssh.ParsePrivateKeyWithPassphrase([]byte(text), []byte(passphrase))
	}
	return ssh.ParsePrivateKey([]byte(text))
}

// remoteFiles are the files of a visit.
type remoteFiles struct {
	ctx    context.Context
	client *sftp.Client
	dir    string
}

func (r *remoteFiles) at(name string) string { return path.Join(r.dir, name) }

func (r *remoteFiles) list(dir string) ([]file, error) {
	all, err := r.client.ReadDirContext(r.ctx, r.at(dir))
	return listed(all), pathError("list", dir, err)
}

func (r *remoteFiles) folders(dir string) ([]file, error) {
	all, err := r.client.ReadDirContext(r.ctx, r.at(dir))
	return chosen(all, fs.FileMode.IsDir), pathError("list", dir, err)
}

func (r *remoteFiles) stat(name string) (file, error) {
	i, err := r.client.Lstat(r.at(name))
	if err != nil {
		return file{}, pathError("stat", name, err)
	}
	return file{path.Base(name), i.Size(), i.ModTime()}, nil
}

// open asks first: the server follows links, and the protocol can't ask it not to.
func (r *remoteFiles) open(name string) (io.ReadSeekCloser, error) {
	named, err := r.client.Lstat(r.at(name))
	if err == nil && !named.Mode().IsRegular() {
		err = errNoFile
	}
	if err != nil {
		return nil, pathError("open", name, err)
	}
	f, err := r.client.Open(r.at(name))
	if err != nil {
		return nil, pathError("open", name, err)
	}
	return f, nil
}

func (r *remoteFiles) create(name string, content []byte) error {
	create := func() (*sftp.File, error) {
		return r.client.OpenFile(r.at(name), os.O_CREATE|os.O_EXCL|os.O_WRONLY)
	}
	f, err := create()
	if err != nil {
		// A taken name has no status of its own.
		if _, serr := r.client.Lstat(r.at(name)); serr != nil {
			return pathError("create", name, err)
		}
		if err := r.remove(name); err != nil {
			return err
		}
		f, err = create()
	}
	if err != nil {
		return pathError("create", name, err)
	}
	_, err = f.Write(content)
	if _, can := r.client.HasExtension("fsync@openssh.com"); can && err == nil {
		err = f.Sync()
	}
	return pathError("write", name, errors.Join(err, f.Close()))
}

// rename is the plain one, which OpenSSH refuses when the name is taken; the
// extension posix-rename@openssh.com would overwrite (wire/csv-files.md section 1).
func (r *remoteFiles) rename(from, to string) error {
	err := r.client.Rename(r.at(from), r.at(to))
	var said *sftp.StatusError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return pathError("rename", from, err)
	case !errors.As(err, &said): // no answer
		return &unsure{pathError("rename", from, err)}
	}
	// A taken name has no status of its own.
	if _, serr := r.client.Lstat(r.at(to)); serr == nil {
		return pathError("rename", to, fs.ErrExist)
	}
	return pathError("rename", from, err)
}

func (r *remoteFiles) mkdir(dir string) error {
	return pathError("mkdir", dir, r.client.MkdirAll(r.at(dir)))
}

func (r *remoteFiles) remove(name string) error {
	return pathError("remove", name, r.client.Remove(r.at(name)))
}

func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	var said *sftp.StatusError
	if errors.As(err, &said) {
		err = &statusError{said, err}
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// statusError keeps the server's own words, which nobody vouches for, out of
// logs and of Temporal.
type statusError struct {
	said  *sftp.StatusError
	cause error
}

func (e *statusError) Error() string {
	return fmt.Sprintf("the server answers with status %d (%s)", e.said.Code, e.said.FxCode())
}

func (e *statusError) Unwrap() error { return e.cause }
