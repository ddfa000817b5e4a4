package server

import "golang.org/x/sys/unix"

// closedByPeer is what poll says of a connection whose peer has closed it; errors it says unasked.
const closedByPeer = unix.POLLRDHUP
