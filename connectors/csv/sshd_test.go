package csv

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

// sshd is a real OpenSSH server on loopback, without any rights: we listen, and
// hand each connection to a process of it.
type sshd struct {
	t       *testing.T
	folder  *folder
	user    string
	key     string // private, in PEM
	hostKey ssh.PublicKey
	address string
	config  string
	as      *syscall.Credential

	conns atomic.Int64 // accepted
	// lose, when above 0, counts what clients send; at 0 the answer is lost with its connection.
	lose atomic.Int64

	mu   sync.Mutex
	cmds []*exec.Cmd
}

const sshdPath = "/usr/sbin/sshd"

func newSSHD(t *testing.T) *sshd {
	t.Helper()
	_, err := os.Stat(sshdPath)
	require.NoError(t, err, "these tests need OpenSSH's server: apt-get install openssh-server")
	s := &sshd{t: t, folder: newFolder(t)}
	me, err := user.Current()
	require.NoError(t, err)
	// The server refuses to be root without its own machinery, and tests need none of that.
	if me.Uid == "0" {
		me, err = user.Lookup("nobody")
		require.NoError(t, err)
	}
	s.user = me.Username
	dir := t.TempDir()
	hostKey, public := newKey(t)
	s.hostKey = public
	var own ssh.PublicKey
	s.key, own = newKey(t)
	s.config = filepath.Join(dir, "sshd_config")
	for name, text := range map[string]string{
		"host_key": hostKey, "authorized_keys": string(ssh.MarshalAuthorizedKey(own)),
		"sshd_config": fmt.Sprintf("HostKey %s\nAuthorizedKeysFile %s\nStrictModes no\nLogLevel QUIET\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM yes\nPidFile none\nSubsystem sftp internal-sftp\nForceCommand internal-sftp\n",
			filepath.Join(dir, "host_key"), filepath.Join(dir, "authorized_keys")),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	if os.Getuid() == 0 {
		uid, err := strconv.Atoi(me.Uid)
		require.NoError(t, err)
		gid, err := strconv.Atoi(me.Gid)
		require.NoError(t, err)
		s.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		for _, root := range []string{dir, s.folder.dir} {
			require.NoError(t, filepath.WalkDir(root, func(p string, _ os.DirEntry, err error) error {
				if err != nil {
					return err
				}
				return os.Chown(p, uid, gid)
			}))
			for p := filepath.Dir(root); p != os.TempDir() && len(p) > 1; p = filepath.Dir(p) {
				require.NoError(t, os.Chmod(p, 0o755))
			}
		}
	}
	s.listen()
	return s
}

func newKey(t *testing.T) (private string, public ssh.PublicKey) {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	block, err := ssh.MarshalPrivateKey(priv, "")
	require.NoError(t, err)
	public, err = ssh.NewPublicKey(pub)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(block)), public
}

func (s *sshd) listen() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(s.t, err)
	s.address = l.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.conns.Add(1)
			wg.Go(func() { s.serve(c) })
		}
	})
	s.t.Cleanup(func() {
		_ = l.Close()
		s.hangUp()
		wg.Wait()
	})
}

// serve gives one end of a connection to a process, and carries bytes between the
// other end and the client.
func (s *sshd) serve(client net.Conn) {
	defer client.Close()
	server, theirs, err := tcpPair()
	if err != nil {
		return
	}
	defer server.Close()
	cmd := exec.Command(sshdPath, "-i", "-f", s.config)
	cmd.Stdin, cmd.Stdout = theirs, theirs
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Setpgid: true}
	s.mu.Lock()
	err = cmd.Start()
	if err == nil {
		s.cmds = append(s.cmds, cmd)
	}
	s.mu.Unlock()
	_ = theirs.Close()
	if err != nil {
		return
	}
	var wg sync.WaitGroup
	var losing atomic.Bool
	wg.Go(func() {
		defer server.Close()
		carry(server, client, func() bool {
			if s.lose.Load() > 0 && s.lose.Add(-1) == 0 {
				losing.Store(true)
			}
			return true
		})
	})
	wg.Go(func() {
		defer client.Close()
		carry(client, server, func() bool { return !losing.Load() })
	})
	wg.Wait()
	_ = cmd.Wait()
}

// tcpPair connects two ends. They are TCP since the server looks up whoever comes
// from elsewhere.
func tcpPair() (ours net.Conn, theirs *os.File, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	if ours, err = net.Dial("tcp", l.Addr().String()); err != nil {
		return nil, nil, err
	}
	c, err := l.Accept()
	if err != nil {
		return nil, nil, errors.Join(err, ours.Close())
	}
	theirs, err = c.(*net.TCPConn).File()
	return ours, theirs, errors.Join(err, c.Close())
}

// carry copies until either side ends or look is false of what was read.
func carry(to io.Writer, from io.Reader, look func() bool) {
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if err != nil || !look() {
			return
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

// hangUp ends every session, as a server that restarts does.
func (s *sshd) hangUp() {
	s.signal(syscall.SIGKILL)
	s.mu.Lock()
	s.cmds = nil
	s.mu.Unlock()
}

// signal reaches every process of the server. Processes of one session are a group.
func (s *sshd) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.cmds {
		_ = syscall.Kill(-c.Process.Pid, sig)
	}
}
