package baddisk

import (
	"regexp"
	"sync"
	"syscall"
	"time"
)

// table is the rules and the counts.
type table struct {
	classes []pattern
	tell    func(Event)

	mu     sync.Mutex // guards what follows
	counts map[Kind]int64
	rules  []armed
	serial int             // grows when faults are forgotten
	again  map[string]bool // files that were synced after their fault
	gate   *gate           // of what hangs
}

type pattern struct {
	name string
	path *regexp.Regexp
}

type armed struct {
	Rule
	passed int64
	spent  bool
}

// gate holds operations; fail is set before it opens.
type gate struct {
	open chan struct{}
	fail bool
}

func newTable(classes []Class, tell func(Event)) (*table, error) {
	t := &table{tell: tell, counts: map[Kind]int64{}, again: map[string]bool{}, gate: &gate{open: make(chan struct{})}}
	for _, c := range classes {
		path, err := regexp.Compile(c.Pattern)
		if err != nil {
			return nil, err
		}
		t.classes = append(t.classes, pattern{c.Name, path})
	}
	return t, nil
}

func (t *table) set(rules []Rule) {
	t.forget()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rules = nil
	for _, r := range rules {
		t.rules = append(t.rules, armed{Rule: r})
	}
}

func (t *table) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.again = map[string]bool{}
	t.serial++
}

func (t *table) seen() (kinds []Kind, times []int64, again []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, n := range t.counts {
		kinds, times = append(kinds, k), append(times, n)
	}
	for path := range t.again {
		again = append(again, path)
	}
	return kinds, times, again
}

// release opens the gate for what hangs, and what comes finds no rule any more that would have it hang.
func (t *table) release(fail bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.rules {
		t.rules[i].spent = t.rules[i].spent || t.rules[i].Fault == Hang
	}
	t.gate.fail = fail
	close(t.gate.open)
	t.gate = &gate{open: make(chan struct{})}
}

// verdict is what an operation is to do. The zero verdict is to go on.
type verdict struct {
	Event
	table  *table
	serial int
}

// ask counts an operation, holds it if it is to hang, and returns what becomes of it.
func (t *table) ask(op Op, path string) verdict {
	v, rule, gate := t.judge(op, path)
	switch v.Fault {
	case Slow:
		v.delivered()
		<-time.After(rule.Delay)
		return verdict{}
	case Hang:
		v.delivered()
		<-gate.open
		if gate.fail {
			v.Fault = EIO
			return v
		}
		return verdict{}
	}
	return v
}

func (t *table) judge(op Op, path string) (v verdict, r Rule, g *gate) {
	t.mu.Lock()
	defer t.mu.Unlock()
	kind := Kind{op, t.class(path)}
	if op != Look {
		t.counts[kind]++
	}
	for i := range t.rules {
		r := &t.rules[i]
		if r.spent || r.Op != op && r.Op != "" || op == Look && r.Op != Look && r.Fault != Hang || r.Class != "" && r.Class != kind.Class {
			continue
		}
		if r.passed++; r.passed <= r.After {
			continue
		}
		r.spent = !r.Every
		return verdict{Event{Op: op, Class: kind.Class, Path: path, Fault: r.Fault}, t, t.serial}, r.Rule, t.gate
	}
	return verdict{}, Rule{}, t.gate
}

// class is of the first pattern that matches.
func (t *table) class(path string) string {
	for _, c := range t.classes {
		if c.path.MatchString(path) {
			return c.name
		}
	}
	return "other"
}

// synced notes the sync of a file that had a fault which is not forgotten.
func (t *table) synced(path string, serial int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if serial == t.serial {
		t.again[path] = true
	}
}

// delivered tells of the fault; the operation returns its error next.
func (v *verdict) delivered() {
	v.At = time.Now()
	v.table.tell(v.Event)
}

// failed delivers the error, if there is one.
func (v *verdict) failed() syscall.Errno {
	errno := v.errno()
	if errno != 0 {
		v.delivered()
	}
	return errno
}

func (v *verdict) errno() syscall.Errno {
	switch v.Fault {
	case EIO, Torn:
		return syscall.EIO
	case ENOSPC:
		return syscall.ENOSPC
	}
	return 0
}

// remembers says whether faults of that serial are not forgotten.
func (t *table) remembers(serial int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return serial == t.serial
}
