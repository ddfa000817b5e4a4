//go:build unix

package server

import "golang.org/x/sys/unix"

// openFiles is how many files this process may have open, 0 when that is not known.
func openFiles() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil || limit.Cur > 1<<30 {
		return 0
	}
	return int(limit.Cur)
}
