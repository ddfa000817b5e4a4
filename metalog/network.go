package metalog

import (
	"context"
	"net"
)

// Network is how the metalogs of several nodes reach each other. Who is on the other side of a connection has shown that
// it belongs to the cluster, and what is sent cannot be changed on the way. Streams used: "raft" and "propose".
type Network interface {
	Addr() string                                                    // host:port by which others reach this node
	Listen(stream string) net.Listener                               // connections that others opened for the stream
	Dial(ctx context.Context, addr, stream string) (net.Conn, error) // one to the node at addr
}

const (
	raftStream    = "raft"
	proposeStream = "propose"
)
