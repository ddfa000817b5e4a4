package metalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/uuid"

	"chronik/metalog/image"
	"chronik/wal/vfs"
)

// heard is a reader that remembers.
type heard struct {
	who   identity
	first uint64
	image *image.Image
	said  []string
}

func (h *heard) base(b base, index, term uint64) error {
	h.who, h.first, h.image = b.who, index, b.image
	h.said = append(h.said, fmt.Sprintf("base %d of term %d", index, term))
	return nil
}

func (h *heard) entry(index, term uint64, data []byte) error {
	h.said = append(h.said, fmt.Sprintf("%d of term %d: %s", index, term, data))
	return nil
}

var tester = identity{node: 1, server: uuid.UUID{1}, incarnation: uuid.UUID{2}}

func beginRecords(t *testing.T, disk vfs.FS) *recordFile {
	t.Helper()
	r := &recordFile{disk: disk}
	if err := r.begin(base{tester, image.Empty()}, 0, 0); err != nil {
		t.Fatal(err)
	}
	return r
}

func readAgain(disk vfs.FS) (*recordFile, *heard, error) {
	h := &heard{}
	r, err := openRecords(disk, 0, h)
	return r, h, err
}

// recordScript is some groups, terms and snapshots; told is given the last entry that was acknowledged, and the last one that
// may be there.
func recordScript(r *recordFile, rnd *rand.Rand, told func(acknowledged, begun uint64)) error {
	if err := r.nextTerm(); err != nil {
		return err
	}
	for step := range 12 {
		n := 1 + rnd.IntN(3)
		var group [][]byte
		for i := range n {
			group = append(group, bytes.Repeat(fmt.Append(nil, r.index+1+uint64(i), ";"), 1+rnd.IntN(400)))
		}
		told(r.index, r.index+uint64(n))
		if err := r.append(group); err != nil {
			return err
		}
		told(r.index, r.index)
		var err error
		switch step % 4 {
		case 1:
			err = r.nextTerm()
		case 3:
			err = r.begin(base{tester, image.Empty()}, r.index, r.term)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Whatever a power cut leaves, at any moment, holds all that was acknowledged, and nothing but what was written; and a log that
// goes on from there does too.
func TestRecordFileLosesNothingInAPowerCut(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		mem := vfs.NewMem()
		r := beginRecords(t, mem)
		acknowledged, begun := uint64(0), uint64(0)
		look := func() {
			for _, pick := range []vfs.Pick{vfs.Oldest, vfs.Newest, vfs.Random(rnd.Uint64()), vfs.Random(rnd.Uint64())} {
				left := mem.Crash(pick)
				again, h, err := readAgain(left)
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if again.index < acknowledged || again.index > begun || h.who != tester {
					t.Fatalf("seed %d: entry %d is the last, %d was acknowledged and %d begun", seed, again.index, acknowledged, begun)
				}
				goesOn(t, left, again, rnd)
			}
		}
		fault := vfs.NewFault(mem)
		fault.Script(func(vfs.Op) vfs.Outcome { look(); return vfs.Outcome{} })
		r.disk = fault
		if err := r.begin(base{tester, image.Empty()}, 0, 0); err != nil { // its file is the fault's from here on
			t.Fatal(err)
		}
		if err := recordScript(r, rnd, func(a, b uint64) { acknowledged, begun = a, b; look() }); err != nil {
			t.Fatal(err)
		}
	}
}

// goesOn appends to what a crash has left, shorter than what was torn, and reads that after another crash.
func goesOn(t *testing.T, disk *vfs.Mem, r *recordFile, rnd *rand.Rand) {
	t.Helper()
	if err := errors.Join(r.nextTerm(), r.append([][]byte{[]byte("on")})); err != nil {
		t.Fatal(err)
	}
	again, _, err := readAgain(disk.Crash(vfs.Random(rnd.Uint64())))
	if err != nil || again.index != r.index || again.term != r.term {
		t.Fatalf("entry %d of term %d after %d of %d: %v", again.index, again.term, r.index, r.term, err)
	}
}

// Damage is not taken for what a power cut tears, but in the last group, for which nobody can tell.
func TestRecordFileFindsDamage(t *testing.T) {
	mem := vfs.NewMem()
	r := beginRecords(t, mem)
	if err := recordScript(r, rand.New(rand.NewPCG(7, 7)), func(uint64, uint64) {}); err != nil {
		t.Fatal(err)
	}
	if err := r.nextTerm(); err != nil {
		t.Fatal(err)
	}
	if err := r.append([][]byte{[]byte("the last")}); err != nil {
		t.Fatal(err)
	}
	last := r.end - int64(len((&block{body: append([]byte{1, 8}, "the last"...)}).append(nil, 0)))
	whole := make([]byte, r.end)
	if _, err := r.file.ReadAt(whole, 0); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	for at := range whole {
		spoilt := slices.Clone(whole)
		spoilt[at] ^= 0x20
		again, h, err := readAgain(holding(t, spoilt))
		switch {
		case int64(at) < last && !errors.Is(err, image.ErrCorrupt):
			t.Fatalf("flipped at %d of %d: %v", at, last, err)
		case int64(at) >= last && (err != nil || again.index != r.index-1 || slices.ContainsFunc(h.said, func(s string) bool { return s == "the last" })):
			t.Fatalf("flipped at %d, in the last group: %v", at, err)
		}
	}
}

func holding(t *testing.T, content []byte) vfs.FS {
	t.Helper()
	mem := vfs.NewMem()
	f, err := mem.Open(recordsFile, vfs.Create)
	if err == nil {
		err = f.WriteSync([][]byte{content}, 0, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	return mem
}

// Whoever can have an entry written cannot have a block found where the file was torn.
func TestABlockInAnEntryIsNoBlock(t *testing.T) {
	mem := vfs.NewMem()
	r := beginRecords(t, mem)
	inner := block{blockOfSome, 1, 0, []byte{0}}
	forged := inner.append(nil, 0)
	if err := r.append([][]byte{forged}); err != nil {
		t.Fatal(err)
	}
	if err := r.file.Truncate(r.end - 2); err != nil {
		t.Fatal(err)
	}
	if again, _, err := readAgain(mem); err != nil || again.index != 0 {
		t.Fatal(err)
	}
}

func FuzzRecordFile(f *testing.F) {
	mem := vfs.NewMem()
	r := &recordFile{disk: mem}
	if err := errors.Join(r.begin(base{tester, image.Empty()}, 3, 2), r.nextTerm(), r.append([][]byte{[]byte("a"), []byte("b")})); err != nil {
		f.Fatal(err)
	}
	whole := make([]byte, r.end)
	if _, err := r.file.ReadAt(whole, 0); err != nil && !errors.Is(err, io.EOF) {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Fuzz(func(t *testing.T, b []byte) {
		again, h, err := readAgain(holding(t, b))
		if err != nil {
			return
		}
		if uint64(len(h.said)-1) != again.index-h.first {
			t.Fatalf("%q up to entry %d", h.said, again.index)
		}
	})
}

func openInFile(t *testing.T, dir string) *Log {
	t.Helper()
	l, err := OpenFile(Options{Dir: dir, NodeID: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// A log in a file is as one that Raft has, for whoever uses it: nothing of it is lost in a restart or a snapshot.
func TestALogInAFileKeepsEverything(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "metalog")
	l := openInFile(t, dir)
	server, incarnation := l.identity.server, l.Incarnation()
	var term uint64
	for round := range 4 {
		led := make(chan uint64, 1)
		l.Lead(func(_ context.Context, now uint64) error { led <- now; return nil })
		if now := <-led; now <= term {
			t.Fatalf("term %d after %d", now, term)
		} else {
			term = now
		}
		for i := range 50 {
			mustPropose(t, l, topic(fmt.Sprint("t", round, "-", i)))
		}
		if _, err := l.Propose(t.Context(), topic("t0-0")); err == nil {
			t.Fatal("a topic was made twice")
		}
		if round%2 == 1 {
			if err := l.Snapshot(); err != nil {
				t.Fatal(err)
			}
		}
		if round == 2 {
			if err := l.Renew(); err != nil {
				t.Fatal(err)
			}
			incarnation = l.Incarnation()
		}
		if err := l.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := hash(t, l.Image())
		mustClose(t, l)
		c, err := Load(dir)
		if err != nil || hash(t, c.Image) != want || c.Incarnation != incarnation {
			t.Fatal("read while stopped: ", err)
		}
		l = openInFile(t, dir)
		if hash(t, l.Image()) != want || l.identity.server != server || l.Incarnation() != incarnation || l.Leader() != 1 {
			t.Fatal("another one after a restart")
		}
	}
	mustClose(t, l)
	if l, err := Open(Options{Dir: dir, NodeID: 1}); err == nil {
		mustClose(t, l)
		t.Fatal("Raft began beside the file")
	}
	if _, err := OpenFile(Options{Dir: dir, NodeID: 2}); err == nil {
		t.Fatal("another node's")
	}
}

// What is moved to a file and back is the same.
func TestALogIsMovedToAFileAndBack(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	l := mustOpen(t, in("raft"))
	mustPropose(t, l, image.ClusterRecord{ID: uuid.UUID{9}}, topic("a"))
	incarnation := l.Incarnation()
	mustClose(t, l)
	move := func(from, to string, file bool) {
		t.Helper()
		v, err := Examine(in(from))
		if err != nil {
			t.Fatal(err)
		}
		if v.InFile() == file || !v.Alone() || v.Cluster != (uuid.UUID{9}) {
			t.Fatalf("%s: %+v", from, v)
		}
		if err := v.Move(in(to), file); err != nil {
			t.Fatal(err)
		}
	}
	move("raft", "file", true)
	l = openInFile(t, in("file"))
	mustPropose(t, l, topic("b"))
	mustClose(t, l)
	move("file", "again", false)
	l = mustOpen(t, in("again"))
	mustPropose(t, l, topic("c"))
	if l.Image().TopicCount() != 3 || l.Incarnation() != incarnation {
		t.Fatalf("%d topics, incarnation %s", l.Image().TopicCount(), l.Incarnation())
	}
}

// After a write that failed nothing is acknowledged any more, and the next start finds what was.
func TestALogInAFileFailsForGood(t *testing.T) {
	mem := vfs.NewMem()
	records := beginRecords(t, mem)
	fault := vfs.NewFault(mem)
	again := &recordReplay{failure: newFailure()}
	if err := records.file.Close(); err != nil {
		t.Fatal(err)
	}
	records, err := openRecords(fault, 0, again)
	if err != nil {
		t.Fatal(err)
	}
	e := &fileEngine{self: tester.serverID(), who: tester, fsm: again.fsm, failure: again.failure, records: records}
	if err := e.start(); err != nil {
		t.Fatal(err)
	}
	entry := func(name string) []byte {
		body, err := image.Append(nil, topic(name))
		if err != nil {
			t.Fatal(err)
		}
		return sealEntry(e.term, [][]byte{body})
	}
	if err := e.Apply(entry("a"), 0).Error(); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the disk is gone")
	fault.Script(func(vfs.Op) vfs.Outcome { return vfs.Outcome{Err: broken} })
	if err := e.Apply(entry("b"), 0).Error(); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	fault.Script(func(vfs.Op) vfs.Outcome { return vfs.Outcome{} })
	if err := e.Apply(entry("c"), 0).Error(); !errors.Is(err, broken) || !errors.Is(again.failure.err(), broken) {
		t.Fatal("acknowledged after a failure: ", err)
	}
	if err := e.stop(); err != nil {
		t.Fatal(err)
	}
	left := &recordReplay{failure: newFailure()}
	if _, err := openRecords(mem, 0, left); err != nil || left.fsm.views.image.Load().TopicCount() != 1 {
		t.Fatal(err)
	}
}
