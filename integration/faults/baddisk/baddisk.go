// Package baddisk is a disk that fails as it is told: a folder behind FUSE, served by a process of its own (a server in
// the process of its user can end in a deadlock on a page fault). What was written and not synced is lost when the sync
// fails, as kernels lose it. The test that mounts it says what fails, is told when it has, and reads the counts of what
// was done. It does not know whose files they are: classes of them are named by whoever mounts it.
package baddisk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Op is what is done to a file or a directory.
type Op string

const (
	Read     Op = "read"
	Write    Op = "write"
	Sync     Op = "sync"
	Truncate Op = "truncate"
	Allocate Op = "allocate"
	Create   Op = "create"
	Rename   Op = "rename" // the class is that of the new name
	Remove   Op = "remove"
	Mkdir    Op = "mkdir"
	Look     Op = "look" // at a name, its attributes, or to open it; only rules for any operation count it
)

// Fault is what becomes of an operation.
type Fault string

const (
	EIO    Fault = "EIO"
	ENOSPC Fault = "ENOSPC"
	Torn   Fault = "torn"  // half of a write is done, then EIO
	Short  Fault = "short" // half of a write is done, and that much is reported: no error
	Hang   Fault = "hang"  // no answer until Release
	Slow   Fault = "slow"  // done after Rule.Delay
)

// Class is files that rules and counts speak of together: those whose path, from the mount point on, matches Pattern. A
// file is of the first class that it fits, or of the class "other".
type Class struct{ Name, Pattern string }

// Rule lets After operations pass and then fails one, or with Every all that follow. An empty Op or Class is any.
type Rule struct {
	Op    Op
	Class string
	After int64
	Every bool
	Fault Fault
	Delay time.Duration
}

// Event is a fault that an operation met, at the moment before its user learned of it.
type Event struct {
	Op    Op
	Class string
	Path  string
	Fault Fault
	At    time.Time
}

// Kind is what operations are counted by.
type Kind struct {
	Op    Op
	Class string
}

func (k Kind) String() string { return string(k.Op) + " of " + k.Class }

// Seen is what was done since the disk was mounted.
type Seen struct {
	Counts map[Kind]int64
	// SyncedAgain is the files and directories that were synced after a fault of theirs. Set, Clear and Forget begin anew.
	SyncedAgain []string
}

// Disk is a mounted bad disk.
type Disk struct {
	Dir    string // where it is mounted
	Behind string // the folder that holds what the disk holds
	// Events has the first faults since the last Clear, as they come.
	Events chan Event

	mu      sync.Mutex // held for a question and its answer
	child   *exec.Cmd
	to      io.WriteCloser
	answers chan answer
}

// order is what the mounting process asks of the serving one.
type order struct {
	What  string // rules, seen, forget, release
	Rules []Rule `json:",omitempty"`
	Fail  bool   `json:",omitempty"`
}

// answer is what comes back, for each order in turn, or an Event at any time.
type answer struct {
	Event *Event  `json:",omitempty"`
	Error string  `json:",omitempty"`
	Kinds []Kind  `json:",omitempty"`
	Times []int64 `json:",omitempty"`
	Again []string
}

// task is the serving process's work, in an environment variable.
type task struct {
	Dir, Behind string
	Classes     []Class
	Async       bool
}

const taskVariable = "CHRONIK_BADDISK"

// Serve is to be called first in the TestMain of whoever mounts one: it makes this process the disk's when it was
// started for that, and does not return then.
func Serve() {
	text := os.Getenv(taskVariable)
	if text == "" {
		return
	}
	var t task
	err := json.Unmarshal([]byte(text), &t)
	if err == nil {
		err = serve(t)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "baddisk:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Mount mounts the folder behind at dir; both must exist. The disk is unmounted when the test ends. With async the kernel
// takes asynchronous writes for it, and makes EIO of a short write that would have made the file longer.
func Mount(t testing.TB, dir, behind string, classes []Class, async bool) *Disk {
	t.Helper()
	what, err := json.Marshal(task{dir, behind, classes, async})
	if err != nil {
		t.Fatal(err)
	}
	d := &Disk{Dir: dir, Behind: behind, Events: make(chan Event, 64), answers: make(chan answer, 1), child: exec.Command(os.Args[0])}
	d.child.Env = append(os.Environ(), taskVariable+"="+string(what))
	d.child.Stderr = os.Stderr
	from, err := d.child.StdoutPipe()
	if err == nil {
		d.to, err = d.child.StdinPipe()
	}
	if err == nil {
		err = d.child.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go d.follow(from)
	t.Cleanup(func() { d.unmount(t) })
	if _, err := d.ask(order{What: "seen"}); err != nil { // answered once it is mounted
		t.Fatal(err)
	}
	return d
}

// follow sorts what the serving process says.
func (d *Disk) follow(from io.Reader) {
	defer close(d.answers)
	for say := json.NewDecoder(from); ; {
		var a answer
		if err := say.Decode(&a); err != nil {
			return
		}
		if a.Event == nil {
			d.answers <- a
			continue
		}
		select {
		case d.Events <- *a.Event:
		default: // a rule for every operation: the first ones tell
		}
	}
}

func (d *Disk) ask(o order) (answer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := json.NewEncoder(d.to).Encode(o); err != nil {
		return answer{}, err
	}
	a, open := <-d.answers
	if !open {
		return a, errors.New("the bad disk's process has ended")
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

// Set replaces the rules.
func (d *Disk) Set(rules ...Rule) error {
	_, err := d.ask(order{What: "rules", Rules: rules})
	return err
}

// Clear heals the disk.
func (d *Disk) Clear() error {
	err := d.Set()
	for {
		select {
		case <-d.Events:
		default:
			return err
		}
	}
}

// Seen counts.
func (d *Disk) Seen() (Seen, error) {
	a, err := d.ask(order{What: "seen"})
	s := Seen{Counts: map[Kind]int64{}, SyncedAgain: a.Again}
	for i, k := range a.Kinds {
		s.Counts[k] = a.Times[i]
	}
	return s, err
}

// Forget has the files that had a fault be like the others: for a new process that opens them.
func (d *Disk) Forget() error {
	_, err := d.ask(order{What: "forget"})
	return err
}

// Release answers what hangs, with EIO and nothing done when fail is set, and hangs nothing more.
func (d *Disk) Release(fail bool) error {
	_, err := d.ask(order{What: "release", Fail: fail})
	return err
}

// unmount ends the serving process, which unmounts, also when a user of the disk is stuck in it.
func (d *Disk) unmount(t testing.TB) {
	_ = d.to.Close() // tells it to end
	if err := d.child.Wait(); err != nil {
		t.Errorf("the bad disk's process: %v", err)
		_ = syscall.Unmount(d.Dir, unmountLazily) // what it could not do
	}
}
