//go:build !nextlevel

package cluster

// level is the newest level of chronik.version that this program understands. 1 is what the first release writes.
const level = 1
