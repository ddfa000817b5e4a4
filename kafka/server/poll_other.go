//go:build unix && !linux

package server

// closedByPeer is 0 where poll tells only of both directions being closed, which it does unasked.
const closedByPeer = 0
