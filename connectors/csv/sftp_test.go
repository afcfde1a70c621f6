package csv

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"orderferry/connectors"
	"orderferry/relay"
)

func (s *sshd) settings(more connectors.Values) connectors.Values {
	out := connectors.Values{"user": s.user, "host_key": ssh.FingerprintSHA256(s.hostKey)}
	for k, v := range more {
		out[k] = v
	}
	return out
}

func (s *sshd) open(kind string, settings connectors.Values, secrets connectors.Credentials) connectors.Connection {
	s.t.Helper()
	k := kindNamed(s.t, kind)
	c, err := k.Open(config(s.t, k, "sftp://"+s.address+s.folder.dir, settings, secrets))
	require.NoError(s.t, err)
	s.t.Cleanup(func() { require.NoError(s.t, c.(interface{ Close() error }).Close()) })
	return c
}

func (s *sshd) warehouse(more connectors.Values) *stockedWarehouse {
	s.t.Helper()
	return s.open("csv", s.settings(more), connectors.Credentials{"private_key": s.key}).(*stockedWarehouse)
}

func TestSFTP(t *testing.T) {
	s := newSSHD(t)
	w, f := s.warehouse(nil), s.folder
	report, err := w.Check(t.Context())
	require.NoError(t, err)
	require.Equal(t, "sftp://"+s.address+f.dir, report.Account)
	require.Empty(t, report.Missing)

	// Out, as in a folder of this machine.
	for range 2 {
		got, err := submit(t, w, anOrder("SO-1"))
		require.NoError(t, err)
		require.Equal(t, relay.WarehouseOrderID("SO-1"), got.ID)
	}
	require.Equal(t, []string{orderFile}, f.names("in"))
	f.remove("in/" + orderFile)
	_, err = submit(t, w, anOrder("SO-1"))
	require.NoError(t, err)
	require.Empty(t, f.names("in"))
	require.Equal(t, "token", find(t, w, anOrder("SO-1")).Matches[0].By)
	changed := anOrder("SO-1")
	changed.Items[0].Units++
	_, err = submit(t, w, changed)
	require.ErrorIs(t, err, relay.Conflict)

	// And in.
	f.write("out/ack_1.csv", lines("order,status,message", "SO-1,accepted,"))
	f.write("out/shp_1.csv", lines(shipHeading, shipment("SO-1", "1Z1"), "bad"))
	d := &depot{t: t, source: w}
	updates, unread := d.pull()
	require.Equal(t, []string{"SO-1", "SO-1"}, numbers(updates))
	require.Len(t, unread, 1)
	_, unread = d.pull()
	require.Len(t, unread, 1)
	require.Equal(t, []string{"ack_1.csv"}, f.names("out/archive"))
	require.Equal(t, []string{"shp_1.csv", "shp_1.csv.why"}, f.names("out/problems"))
	require.Equal(t, int64(1), s.conns.Load(), "one session serves one visit after the other")

	// The server restarts: the next visit connects anew.
	s.hangUp()
	f.write("out/shp_2.csv", lines(shipHeading, shipment("SO-2", "1Z2")))
	updates, _ = d.pull()
	require.Equal(t, []string{"SO-2"}, numbers(updates))
}

// The plain rename refuses a name that is taken; it is what keeps a file from being
// written over.
func TestSFTPRenameRefusesATakenName(t *testing.T) {
	s := newSSHD(t)
	w, f := s.warehouse(nil), s.folder
	err := w.place.use(t.Context(), func(fs files) error {
		require.NoError(t, fs.create("in/a", []byte("a")))
		require.NoError(t, fs.create("in/b", []byte("b")))
		return fs.rename("in/a", "in/b")
	})
	require.ErrorContains(t, err, "file already exists")
	require.Equal(t, "a", f.read("in/a"))
	require.Equal(t, "b", f.read("in/b"))
}

func TestHostKeyIsPinned(t *testing.T) {
	s := newSSHD(t)
	seen := ssh.FingerprintSHA256(s.hostKey)
	secrets := connectors.Credentials{"private_key": s.key}
	other := "SHA256:" + base64.RawStdEncoding.EncodeToString(make([]byte, 32))
	for pin, want := range map[string]string{
		"":    "settings.host_key is missing",
		other: "settings.host_key names another key",
	} {
		w := s.open("csv", s.settings(connectors.Values{"host_key": pin}), secrets)
		_, err := w.Check(t.Context())
		require.ErrorIs(t, err, relay.Unauthorised)
		require.ErrorContains(t, err, want+"; the server shows the ssh-ed25519 key "+seen)
		require.ErrorContains(t, err, `write host_key: "`+seen+`"`)
		_, err = w.Check(t.Context()) // and is not trusted for having been seen
		require.ErrorIs(t, err, relay.Unauthorised)
	}
	for _, pin := range []string{seen, other + ", " + seen, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.hostKey)))} {
		_, err := s.open("csv", s.settings(connectors.Values{"host_key": pin}), secrets).Check(t.Context())
		require.NoError(t, err)
	}
	_, _, faults := kindNamed(t, "csv").Configure("sftp://h", connectors.Values{"host_key": "SHA256:short"}, nil)
	require.Len(t, faults, 1)
	require.Contains(t, faults[0].Message, "want a fingerprint such as SHA256:")
}

func TestRefusedCredentials(t *testing.T) {
	s := newSSHD(t)
	stranger, _ := newKey(t)
	for name, c := range map[string]struct {
		settings connectors.Values
		secrets  connectors.Credentials
		want     string
	}{
		"none":         {nil, nil, "credentials are missing: want password or private_key"},
		"no user":      {connectors.Values{"user": ""}, connectors.Credentials{"private_key": s.key}, "settings.user is missing"},
		"no key":       {nil, connectors.Credentials{"private_key": "hunter2"}, "credentials.private_key can't be read"},
		"unknown key":  {nil, connectors.Credentials{"private_key": stranger}, "does not accept the credentials of " + s.user},
		"bad password": {nil, connectors.Credentials{"password": "hunter2"}, "does not accept the credentials of " + s.user},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.open("csv", s.settings(c.settings), c.secrets).Check(t.Context())
			require.ErrorIs(t, err, relay.Unauthorised)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

// Servers ask for a password in one of two ways.
func TestPassword(t *testing.T) {
	for _, way := range []string{"password", "keyboard-interactive"} {
		t.Run(way, func(t *testing.T) {
			f := newFolder(t)
			text, public := newKey(t)
			host, err := ssh.ParsePrivateKey([]byte(text))
			require.NoError(t, err)
			server := &ssh.ServerConfig{}
			server.AddHostKey(host)
			check := func(password string) (*ssh.Permissions, error) {
				if password != "open sesame" {
					return nil, errors.New("no")
				}
				return nil, nil
			}
			if way == "password" {
				server.PasswordCallback = func(_ ssh.ConnMetadata, p []byte) (*ssh.Permissions, error) { return check(string(p)) }
			} else {
				server.KeyboardInteractiveCallback = func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
					answers, err := ask("", "", []string{"Password: "}, []bool{false})
					if err != nil {
						return nil, err
					}
					return check(answers[0])
				}
			}
			address := serveSFTP(t, server)
			k := kindNamed(t, "csv")
			for password, want := range map[string]error{"open sesame": nil, "hunter2": relay.Unauthorised} {
				c, err := k.Open(config(t, k, "sftp://"+address+f.dir, connectors.Values{"user": "u", "host_key": ssh.FingerprintSHA256(public)}, connectors.Credentials{"password": password}))
				require.NoError(t, err)
				_, err = c.Check(t.Context())
				require.ErrorIs(t, err, want)
				require.NoError(t, c.(io.Closer).Close())
			}
		})
	}
}

// serveSFTP is a server of the library's.
func serveSFTP(t *testing.T, cfg *ssh.ServerConfig) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	serve := func(c net.Conn) {
		defer c.Close()
		_, channels, requests, err := ssh.NewServerConn(c, cfg)
		if err != nil {
			return
		}
		wg.Go(func() { ssh.DiscardRequests(requests) })
		for offered := range channels {
			channel, requests, err := offered.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				for r := range requests {
					_ = r.Reply(r.Type == "subsystem", nil)
				}
			})
			files, err := sftp.NewServer(channel)
			if err != nil {
				return
			}
			wg.Go(func() { _ = files.Serve() })
		}
	}
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

func TestServerThatDoesNotAnswer(t *testing.T) {
	k := kindNamed(t, "csv")
	c, err := k.Open(config(t, k, "sftp://127.0.0.1:1/x", connectors.Values{"user": "u"}, connectors.Credentials{"password": "p"}))
	require.NoError(t, err)
	_, err = c.Check(t.Context())
	require.ErrorIs(t, err, relay.Unavailable)
	require.ErrorContains(t, err, "127.0.0.1:1")
}

// A server that falls silent costs the timeout, and a caller who gives up earlier
// waits no longer than he wants.
func TestServerThatFallsSilent(t *testing.T) {
	s := newSSHD(t)
	const patience = 3 * time.Second
	w := s.warehouse(connectors.Values{"timeout": patience.String()})
	_, err := w.Check(t.Context())
	require.NoError(t, err)
	s.signal(syscall.SIGSTOP)
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = w.Check(ctx)
	require.ErrorIs(t, err, relay.Unavailable)
	require.Less(t, time.Since(began), patience)

	// The kept session does not answer: a new one does.
	_, err = w.Check(t.Context())
	require.NoError(t, err)

	// And in the middle of a visit.
	began = time.Now()
	err = w.place.use(t.Context(), func(fs files) error {
		_, err := fs.list("in")
		require.NoError(t, err)
		s.signal(syscall.SIGSTOP)
		_, err = fs.list("in")
		return err
	})
	require.Error(t, err)
	require.Less(t, time.Since(began), 5*patience)
	s.signal(syscall.SIGCONT)
}

// An unused session ends by itself: nothing is left behind by a connection that
// nobody closes.
func TestUnusedSessionEnds(t *testing.T) {
	s := newSSHD(t)
	w := s.warehouse(connectors.Values{"timeout": "3s"})
	_, err := w.Check(t.Context())
	require.NoError(t, err)
	r := w.place.(*remote)
	r.mu.Lock()
	kept := r.idle[0]
	r.mu.Unlock()
	select {
	case <-kept.done:
	case <-time.After(time.Minute):
		t.Fatal("it lives on")
	}
	_, err = w.Check(t.Context())
	require.NoError(t, err)
}

func TestSessionsAreBounded(t *testing.T) {
	s := newSSHD(t)
	w := s.warehouse(connectors.Values{"sessions": "2", "timeout": "20s"})
	var wg sync.WaitGroup
	errs := make([]error, 12)
	for i := range errs {
		wg.Go(func() {
			p, err := w.PrepareOrder(anOrder(fmt.Sprintf("SO-%d", i)))
			if err == nil {
				_, err = w.SubmitOrder(t.Context(), p)
			}
			errs[i] = err
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.LessOrEqual(t, s.conns.Load(), int64(2))
	require.Len(t, s.folder.names("in"), 12)
}

// When the answer to the rename is lost, nobody knows whether it happened.
func TestLostAnswerToTheRename(t *testing.T) {
	s := newSSHD(t)
	w := s.warehouse(nil)
	err := w.place.use(t.Context(), func(fs files) error {
		require.NoError(t, fs.create("in/a", []byte("a")))
		s.lose.Store(1)
		return fs.rename("in/a", "in/b")
	})
	require.ErrorIs(t, failure("test", w.place, err), relay.Unknown)
	require.Equal(t, []string{"b"}, s.folder.names("in"))
}

// The connection is lost behind each thing that is sent in turn, with the answer to
// it: what we then say is never that nothing happened when it did, and the order is
// there once in the end.
func TestLostAnswers(t *testing.T) {
	s := newSSHD(t)
	lost := map[relay.ErrorKind]int{}
	for n := int64(1); ; n++ {
		require.Less(t, n, int64(200), "it never succeeds")
		w, o := s.warehouse(connectors.Values{"timeout": "5s"}), anOrder(fmt.Sprintf("SO-%d", n))
		_, err := w.Check(t.Context()) // connected
		require.NoError(t, err)
		p, err := w.PrepareOrder(o)
		require.NoError(t, err)
		s.lose.Store(n)
		_, err = w.SubmitOrder(t.Context(), p)
		reached := s.lose.Swap(0) <= 0
		there := len(find(t, w, o).Matches) == 1
		if err != nil {
			lost[relay.KindOf(err)]++
			require.Contains(t, []relay.ErrorKind{relay.Unavailable, relay.Unknown}, relay.KindOf(err))
			require.False(t, there && relay.KindOf(err) == relay.Unavailable, "answer %d: it said that nothing happened, and it had", n)
		} else {
			require.True(t, there)
		}
		_, err = w.SubmitOrder(t.Context(), p)
		require.NoError(t, err)
		require.Len(t, find(t, w, o).Matches, 1)
		if !reached {
			break
		}
	}
	require.Positive(t, lost[relay.Unavailable])
	seen := map[string]int{}
	for _, name := range s.folder.names("in") {
		if !strings.HasPrefix(name, ".") {
			seen[strings.Split(name, "_")[1]]++
		}
	}
	for order, n := range seen {
		require.Equal(t, 1, n, order)
	}
}
