package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A crew keeps worker processes running, kills them, and counts.
type crew struct {
	command func() *exec.Cmd // runs a worker: this program again
	orders  func() orders
	plan    plan
	stderr  io.Writer
	killed  chan struct{} // hears of every kill that counts

	mu       sync.Mutex
	begun    int
	peace    bool           // no kills: as long as everything starts, and at the end
	passed   map[string]int // points
	hits     map[string]int // points at which workers died
	atPoint  int
	atRandom int
	idle     int // killed while nothing was under way: does not count
	stopped  int // asked to end, and did
	away     int // ended by themselves: what they stand on was away
	crashed  []string
	startup  time.Duration
	started  int
	alive    map[*life]bool
}

func newCrew(p plan) *crew {
	return &crew{plan: p, peace: true, killed: make(chan struct{}, 1024), passed: make(map[string]int), hits: make(map[string]int), alive: make(map[*life]bool)}
}

// patience is how long a worker may take to reach its point.
const patience = 8 * time.Second

// run keeps one worker running until ctx ends.
func (c *crew) run(ctx context.Context) error {
	for ctx.Err() == nil {
		l := c.next()
		err := l.run(ctx)
		c.bury(l)
		if err != nil {
			return err
		}
		if !l.killed() && ctx.Err() == nil {
			// What it stands on is away; it will be back.
			select {
			case <-time.After(300 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
	return nil
}

// next decides how the next life ends.
func (c *crew) next() *life {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &life{crew: c, busy: make(chan struct{}, 1), doom: make(chan struct{})}
	if c.peace {
		l.end.after = forever
		c.alive[l] = true
		return l
	}
	l.end = c.plan.end(c.begun)
	c.begun++
	if !l.end.random && !l.end.asked {
		known := slices.Sorted(maps.Keys(c.passed))
		hit := slices.Sorted(maps.Keys(c.hits))
		l.aim = aim{After: l.end.after, Fresh: true, Known: hit, Skip: l.end.skip, Dangerous: c.freshDanger(known)}
		if len(hit) > 0 && !l.aim.Dangerous {
			l.aim.Point, l.aim.N = known[int(l.end.point*float64(len(known)))], l.end.n
		}
	}
	c.alive[l] = true
	return l
}

const forever = 1<<63 - 1

// freshDanger reports whether a dangerous point is still to be hit.
func (c *crew) freshDanger(known []string) bool {
	return len(known) == 0 || slices.ContainsFunc(known, func(p string) bool { return dangerous(p) && c.hits[p] == 0 })
}

// war lets the kills begin. The workers that are alive are the first.
func (c *crew) war() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peace = false
	for l := range c.alive {
		close(l.doom)
	}
}

// makePeace lets the workers live from now on.
func (c *crew) makePeace() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peace = true
	for l := range c.alive {
		l.stop() // it was told where to die
	}
}

// bury counts how a life ended.
func (c *crew) bury(l *life) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.alive, l)
	switch how := l.how(); {
	case how == byItself:
		c.crashed = append(c.crashed, fmt.Sprintf("it ended with %v: %s", l.cmd.ProcessState, l.said))
		return
	case c.peace || how == panicked:
		return
	case how == stopped:
		c.stopped++
		return
	case how == away:
		c.away++
		return
	case l.died != "":
		c.hits[l.died]++
		c.atPoint++
	case l.underWay == 0:
		c.idle++
		return
	default:
		c.atRandom++
	}
	select {
	case c.killed <- struct{}{}:
	default: // the director counts kills itself
	}
}

func (c *crew) kills() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.atPoint + c.atRandom
}

// errand runs ferry once, in a process of its own that may die on the way, and
// returns what it said last. It counts as a point where somebody was killed, and not
// as a worker that was.
func (c *crew) errand(ctx context.Context, hold *holding, a aim) (said string, err error) {
	c.mu.Lock()
	a.Known = slices.Sorted(maps.Keys(c.hits))
	c.mu.Unlock()
	l := &life{crew: c, end: end{after: time.Minute}, aim: a, hold: hold, busy: make(chan struct{}, 1), doom: make(chan struct{})}
	err = l.run(ctx)
	if l.died != "" {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.hits[l.died]++
	}
	return l.said, err
}

// life is one process: a worker, or ferry.
type life struct {
	*crew
	end  end
	aim  aim
	hold *holding // nil: it is a worker
	cmd  *exec.Cmd
	busy chan struct{} // something is under way
	doom chan struct{} // closed when it is to die though it was told to live

	began time.Time

	mu       sync.Mutex
	process  *os.Process // nil until it runs
	down     bool        // it is to be killed
	underWay int
	asked    bool   // it is to stop by itself
	died     string // the point of death
	said     string // the last that it said of itself
}

// run starts the process and sees it through to its end.
func (l *life) run(ctx context.Context) error {
	report, worker, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start a worker: %w", err)
	}
	defer report.Close()
	o := l.crew.orders()
	o.Aim, o.Cold, o.Hold = l.aim, l.end.cold, l.hold
	told, err := json.Marshal(o)
	if err != nil {
		return err
	}
	l.cmd = l.command()
	l.cmd.Env = append(l.cmd.Env, ordersVariable+"="+string(told))
	l.cmd.Stderr = l.stderr
	l.cmd.ExtraFiles = []*os.File{worker}
	// A Ctrl-C in the terminal is for the harness: it ends its workers itself.
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	withParent(l.cmd.SysProcAttr)
	l.began = time.Now()
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(ended)
		// Linux kills the child when the *thread* that forked ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := l.cmd.Start()
		started <- err
		if err == nil {
			_ = l.cmd.Wait() // how it ended stays in ProcessState
		}
	}()
	err = <-started
	worker.Close()
	if err != nil {
		return fmt.Errorf("start a worker: %w", err)
	}
	l.mu.Lock()
	if l.process = l.cmd.Process; l.down {
		_ = l.process.Kill()
	}
	l.mu.Unlock()
	heard := make(chan struct{})
	go func() { defer close(heard); l.hear(report) }()
	l.murder(ctx, ended)
	<-ended
	<-heard // to the last line: what was under way when it died
	return nil
}

// hear reads the worker's report to its end.
func (l *life) hear(report io.Reader) {
	lines := bufio.NewScanner(report)
	for lines.Scan() {
		line := lines.Text()
		if line == "" {
			continue
		}
		mark, name := line[0], line[1:]
		l.mu.Lock()
		switch mark {
		case '+':
			l.underWay++
		case '-':
			l.underWay--
		case '!':
			l.died = name
		case '=':
			l.said = name
		}
		l.mu.Unlock()
		l.crew.mu.Lock()
		switch {
		case line == ready:
			l.crew.startup += time.Since(l.began)
			l.crew.started++
		case mark != '!' && mark != '=':
			l.crew.passed[name]++
		}
		l.crew.mu.Unlock()
		if mark == '+' {
			select {
			case l.busy <- struct{}{}:
			default:
			}
		}
	}
}

// murder kills the process when its time has come, unless it dies by itself.
func (l *life) murder(ctx context.Context, ended <-chan struct{}) {
	wait := l.end.after
	if l.aim.Fresh {
		wait += patience // unless it reaches its point
	}
	select {
	case <-time.After(wait):
	case <-l.doom:
	case <-ended:
		return
	case <-ctx.Done():
		l.stop()
		return
	}
	// Not while it rests.
	late := time.After(patience)
	for {
		l.mu.Lock()
		working := l.underWay > 0
		l.mu.Unlock()
		if working {
			break
		}
		select {
		case <-l.busy:
			continue
		case <-late:
		case <-ended:
			return
		case <-ctx.Done():
		}
		break
	}
	if l.end.asked {
		l.ask(ctx, ended)
		return
	}
	l.stop()
}

// ask has the process stop as a deploy does, and kills it if it does not.
func (l *life) ask(ctx context.Context, ended <-chan struct{}) {
	l.mu.Lock()
	l.asked = true
	_ = l.process.Signal(syscall.SIGTERM)
	l.mu.Unlock()
	select {
	case <-ended:
	case <-time.After(grace + patience):
		l.stop()
	case <-ctx.Done():
		l.stop()
	}
}

// stop kills the process.
func (l *life) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down = true; l.process != nil {
		_ = l.process.Kill()
	}
}

// ending is how a process ended.
type ending int

const (
	killed   ending = iota // by SIGKILL, its own or ours
	stopped                // as it was asked to
	away                   // what it stands on was away
	panicked               // its log says why
	byItself
)

func (l *life) how() ending {
	switch {
	case l.killed() || l.cmd == nil || l.cmd.ProcessState == nil:
		return killed
	case l.asked && (l.cmd.ProcessState.Success() || l.endedBy(syscall.SIGTERM)): // by the signal itself, before it could hear of it
		return stopped
	case l.said == withoutServers:
		return away
	case l.cmd.ProcessState.ExitCode() == 2:
		return panicked
	}
	return byItself
}

// killed reports whether the process ended by SIGKILL, its own or ours.
func (l *life) killed() bool {
	return l.cmd != nil && l.cmd.ProcessState != nil && l.endedBy(syscall.SIGKILL)
}

func (l *life) endedBy(s syscall.Signal) bool {
	status, ok := l.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == s
}
