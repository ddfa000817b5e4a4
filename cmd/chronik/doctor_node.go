package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// node looks at the data directory of a node on this machine.
func (d *doctor) node() {
	info, err := os.Stat(d.dataDir)
	switch {
	case err != nil:
		d.find(bad, "data-dir", d.dataDir, err.Error(), "name the folder that the server has as --data-dir, on its own machine")
		return
	case !info.IsDir():
		d.find(bad, "data-dir", d.dataDir, "it is no folder", "name the folder that the server has as --data-dir")
		return
	}
	if _, err := os.Stat(filepath.Join(d.dataDir, "wal")); err != nil {
		d.find(warn, "data-dir", d.dataDir, "no node has been started with it yet: "+err.Error(), "name the folder that the server has as --data-dir")
	} else {
		d.find(ok, "data-dir", d.dataDir, "a node's", "")
	}
	d.fileSystem()
	d.files()
}

// fileSystems are those by Linux's numbers (statfs(2)) that are no place for a log that survives a power cut, or no sure one.
var fileSystems = map[int64]struct{ name, status, why string }{
	0x01021994: {"tmpfs", bad, "it is memory, and gone with the power"},
	0x858458f6: {"ramfs", bad, "it is memory, and gone with the power"},
	0x6969:     {"nfs", warn, "syncs and locks depend on its server"},
	0xff534d42: {"cifs", warn, "syncs and locks depend on its server"},
	0xfe534d42: {"smb2", warn, "syncs and locks depend on its server"},
	0x01021997: {"9p", warn, "syncs and locks depend on the host"},
	0x65735546: {"fuse", warn, "syncs depend on the program behind it"},
	0x794c7630: {"overlay", warn, "a container's own layer goes with the container"},
	0xef53:     {"ext4", ok, ""},
	0x58465342: {"xfs", ok, ""},
	0x9123683e: {"btrfs", ok, ""},
	0x2fc12fc1: {"zfs", ok, ""},
}

func (d *doctor) fileSystem() {
	var s unix.Statfs_t
	if err := unix.Statfs(d.dataDir, &s); err != nil {
		d.find(bad, "file-system", d.dataDir, err.Error(), "see whether the disk is mounted")
		return
	}
	kind, known := fileSystems[int64(uint32(s.Type))]
	if !known {
		kind.name, kind.status = fmt.Sprintf("of number %#x", uint32(s.Type)), ok
	}
	if kind.status == ok {
		d.find(ok, "file-system", d.dataDir, kind.name, "")
	} else {
		d.find(kind.status, "file-system", d.dataDir, kind.name+": "+kind.why, "put the data directory on a local disk with ext4 or xfs, of a container on a volume")
	}
	d.space("disk", d.dataDir, int64(s.Bavail)*int64(s.Bsize), int64(s.Blocks)*int64(s.Bsize))
	if s.Files > 0 && float64(s.Ffree)/float64(s.Files) < freeBad {
		d.find(bad, "file-system", d.dataDir, fmt.Sprintf("%d inodes are free", s.Ffree), "delete files there, or make a file system with more inodes")
	}
}

// A server has a file for each connection and some for each partition.
const (
	filesWarn = 16384
	filesBad  = 1024
)

// files is how many the server may open, or one that is started from here.
func (d *doctor) files() {
	subject := "a server that is started from here"
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own); err != nil {
		d.find(warn, "files", subject, err.Error(), "see ulimit -n")
		return
	}
	limit := uint64(own.Max) // Go has a process use all that it may
	if pid := lockedBy(filepath.Join(d.dataDir, "wal", "lock")); pid > 0 {
		if n, err := filesOf(pid); err == nil {
			subject, limit = fmt.Sprintf("the server, process %d", pid), n
		}
	}
	found := fmt.Sprintf("may have %d open files", limit)
	const do = "raise it: LimitNOFILE=1048576 in a systemd unit, --ulimit nofile=1048576 of docker, or ulimit -n"
	switch {
	case limit <= filesBad:
		d.find(bad, "files", subject, found, do)
	case limit < filesWarn:
		d.find(warn, "files", subject, found, do)
	default:
		d.find(ok, "files", subject, found, "")
	}
}

// lockedBy is the process that holds the lock of a file, by Linux's list of locks; 0 when there is none.
func lockedBy(path string) int {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	file, is := info.Sys().(*syscall.Stat_t)
	locks, err := os.ReadFile("/proc/locks")
	if err != nil || !is {
		return 0
	}
	for line := range strings.Lines(string(locks)) {
		fields := strings.Fields(line) // 1: FLOCK ADVISORY WRITE 4711 fd:00:131 0 EOF
		if len(fields) > 5 && strings.HasSuffix(fields[5], fmt.Sprintf(":%d", file.Ino)) {
			if pid, err := strconv.Atoi(fields[4]); err == nil && pid > 0 {
				return pid
			}
		}
	}
	return 0
}

// filesOf is how many files a process may open.
func filesOf(pid int) (uint64, error) {
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(limits)) {
		if rest, is := strings.CutPrefix(line, "Max open files"); is {
			if fields := strings.Fields(rest); len(fields) > 0 && fields[0] != "unlimited" {
				return strconv.ParseUint(fields[0], 10, 64)
			}
		}
	}
	return 0, fmt.Errorf("process %d does not tell its limits", pid)
}
