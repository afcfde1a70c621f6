package postgres

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is one run of the postmaster.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended; cmd.ProcessState tells how
}

// launch starts the server. Its output goes to log.
func launch(bin string, args []string, who account, dir string, log io.Writer) (*process, error) {
	cmd := exec.Command(bin, args...)
	cmd.Dir = dir
	cmd.Env = environment()
	cmd.Stdout = log
	cmd.Stderr = log
	cmd.WaitDelay = 5 * time.Second // a straggling child must not hold up the end by keeping the log open
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: who.credential(),
		// A Ctrl-C in the terminal goes to the whole foreground group; the server must outlive the workers that use it,
		// so it is put into a group of its own and stopped by Stop.
		Setpgid: true,
	}
	withParent(cmd.SysProcAttr)
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// run starts the server and sees it through to its end.
func (p *process) run(started chan<- error) {
	// Linux sends the parent-death signal when the *thread* that forked ends, not the process. This keeps the thread
	// for as long as the server runs, so that only the end of our process can end it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	started <- nil
	_ = p.cmd.Wait() // how it ended stays in ProcessState
	close(p.done)
}

// shutdown is how to stop a server, from gentle to rough, and how long each may take. A fast shutdown (SIGINT) breaks
// off what clients do and writes everything to disk; an immediate one (SIGQUIT) leaves that to recovery at the next start.
var shutdown = [...]struct {
	signal syscall.Signal
	wait   time.Duration
}{
	{syscall.SIGINT, 30 * time.Second},
	{syscall.SIGQUIT, 10 * time.Second},
	{syscall.SIGKILL, 5 * time.Second},
}

// stop ends the server and waits for it; hurry, when it closes, moves on to the next rougher way at once. It reports an
// error if the server could not be stopped in the fast way.
func (p *process) stop(hurry <-chan struct{}) error {
	for i, step := range shutdown {
		if err := p.cmd.Process.Signal(step.signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		timer := time.NewTimer(step.wait)
		select {
		case <-p.done:
			timer.Stop()
			if i > 0 {
				return errors.New("PostgreSQL did not shut down in time and was broken off; it recovers at the next start")
			}
			return nil
		case <-timer.C:
		case <-hurry:
			timer.Stop()
			hurry = nil
		}
	}
	return errors.New("PostgreSQL does not end")
}

// environment is all that PostgreSQL's programs get to see of ours: PGDATA, PGPORT and the like must not reach them.
func environment() []string {
	env := []string{"LC_ALL=C", "TZ=UTC"}
	for _, name := range []string{"PATH", "LD_LIBRARY_PATH", "TMPDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}
