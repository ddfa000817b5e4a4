package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// nap sleeps by the system's timer: time.Sleep wakes up to a millisecond late on some machines, which would count as
// the broker's latency.
func nap(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil) // woken early by a signal: the caller looks at the clock
}
