package faults

import (
	"errors"
	"net"
	"sync"
)

// cut is how a connection is cut off.
type cut string

const (
	refused cut = "refused" // what is open breaks, what is new is reset
	stalled cut = "stalled" // nothing moves, and then all goes on
	severed cut = "severed" // nothing moves, and then all breaks
)

// proxy stands before Postgres, to cut it off.
type proxy struct {
	listener net.Listener
	upstream string
	wait     sync.WaitGroup

	mu   sync.Mutex
	how  cut           // "" while it is whole
	flow chan struct{} // closed while bytes may move
	open map[net.Conn]bool
}

// newProxy listens on a free port of the loopback interface.
func newProxy(upstream string) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, upstream: upstream, flow: make(chan struct{}), open: make(map[net.Conn]bool)}
	close(p.flow)
	p.wait.Go(p.accept)
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		if !p.keep(conn) {
			reset(conn)
			continue
		}
		p.wait.Go(func() { p.serve(conn) })
	}
}

// keep remembers an open connection; it reports false while none is let in.
func (p *proxy) keep(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.how == refused || p.open == nil {
		return false
	}
	p.open[conn] = true
	return true
}

func (p *proxy) forget(conn net.Conn) {
	_ = conn.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, conn)
}

func (p *proxy) serve(client net.Conn) {
	defer p.forget(client)
	server, err := net.Dial("tcp", p.upstream)
	if err != nil {
		reset(client)
		return
	}
	if !p.keep(server) {
		reset(server)
		return
	}
	defer p.forget(server)
	var both sync.WaitGroup
	both.Go(func() { p.carry(server, client) })
	both.Go(func() { p.carry(client, server) })
	both.Wait()
}

// carry moves bytes one way until either side ends.
func (p *proxy) carry(to, from net.Conn) {
	defer func() { _ = to.Close(); _ = from.Close() }()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		flow := p.flow
		p.mu.Unlock()
		<-flow
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cut cuts Postgres off.
func (p *proxy) cut(how cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.how = how
	if how == refused {
		p.breakAll()
		return
	}
	p.flow = make(chan struct{})
}

// mend ends the cut.
func (p *proxy) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.how == severed {
		p.breakAll()
	}
	if p.how == stalled || p.how == severed {
		close(p.flow)
	}
	p.how = ""
}

func (p *proxy) breakAll() {
	for conn := range p.open {
		reset(conn)
	}
}

// reset closes a connection so that the other side sees a reset.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// close ends the proxy and all that goes through it.
func (p *proxy) close() error {
	p.mend()
	err := p.listener.Close()
	p.mu.Lock()
	p.breakAll()
	p.open = nil
	p.mu.Unlock()
	p.wait.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
