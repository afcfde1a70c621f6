package connectortest

import (
	"context"
	"fmt"
	"net"
	"sync"
)

// host is where the system is; whoever dials another goes past the given transport's network.
const host = "vendor.test"

// network is a listener and its dialer, in memory. Unlike sockets it can be
// waited for in a synctest bubble.
type network struct {
	accepted chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func newNetwork() *network {
	return &network{accepted: make(chan net.Conn), closed: make(chan struct{})}
}

// Dial connects to the one host there is.
func (n *network) Dial(ctx context.Context, _, addr string) (net.Conn, error) {
	refuse := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
	if name, _, _ := net.SplitHostPort(addr); name != host {
		return refuse(fmt.Errorf("no such host"))
	}
	ours, theirs := net.Pipe()
	select {
	case n.accepted <- theirs:
		return ours, nil
	case <-n.closed:
		return refuse(fmt.Errorf("connection refused"))
	case <-ctx.Done():
		return refuse(ctx.Err())
	}
}

// Accept waits for the next connection.
func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.accepted:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

// Close refuses further connections.
func (n *network) Close() error {
	n.once.Do(func() { close(n.closed) })
	return nil
}

// Addr names the network.
func (n *network) Addr() net.Addr { return address{} }

type address struct{}

func (address) Network() string { return "memory" }
func (address) String() string  { return host + ":80" }
