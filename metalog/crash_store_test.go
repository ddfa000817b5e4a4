package metalog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"chronik/metalog/image"
	"chronik/wal/campaign"
)

// memoryDir is a directory in memory where there is one: what is tried here does not need a disk.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "chronik-metalog-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// raftState is what the store holds; nothing in it is ever changed.
type raftState struct {
	entries []*raft.Log // without gaps
	values  map[string]string
}

func (s raftState) with(key, value string) raftState {
	s.values = maps.Clone(s.values)
	s.values[key] = value
	return s
}

func (s raftState) last() uint64 {
	if len(s.entries) == 0 {
		return 0
	}
	return s.entries[len(s.entries)-1].Index
}

// storeCrashes is a store at work, and the states that power cuts in its transactions leave.
type storeCrashes struct {
	t       *testing.T
	r       *rand.Rand
	path    string    // of the store at work
	scratch [2]string // directories for what is left of it, and for what is left of a recovery of that
	st      *store
	now     raftState
	term    uint64
	quiet   bool // no power cuts
	counts  campaign.Counts
}

func newStoreCrashes(t *testing.T, seed uint64) *storeCrashes {
	dir := memoryDir(t)
	c := &storeCrashes{t: t, r: rand.New(rand.NewPCG(seed, 1)), counts: campaign.Counts{}}
	s := quietStart(filepath.Join(dir, "at-work"))
	c.path = filepath.Join(s.Dir, storeFile)
	c.scratch = [2]string{filepath.Join(dir, "left"), filepath.Join(dir, "left-again")}
	for _, dir := range []string{s.Dir, c.scratch[0], c.scratch[1]} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	who, err := s.beginStored()
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range c.scratch {
		if err := writeWhole(filepath.Join(dir, identityFile), who.text()); err != nil {
			t.Fatal(err)
		}
	}
	c.open()
	var first raft.Log // the configuration that beginStored has put there
	if err := c.st.GetLog(1, &first); err != nil {
		t.Fatal(err)
	}
	c.term = first.Term
	c.now = raftState{[]*raft.Log{&first}, map[string]string{
		string(keyIdentity): string(who.text()), "CurrentTerm": string(uint64Bytes(c.term)),
	}}
	return c
}

func quietStart(dir string) *starting {
	s := &starting{Options: Options{Dir: dir, NodeID: 1}, logger: &raftLogger{to: slog.New(slog.DiscardHandler)}, failure: newFailure()}
	s.hclog = s.logger.hclog()
	return s
}

func (c *storeCrashes) open() {
	c.t.Helper()
	bolt, err := openBolt(c.path, false)
	if err != nil {
		c.t.Fatal(err)
	}
	c.st = &store{path: c.path, under: bolt, failure: newFailure()}
}

// step does one transaction, after which the store holds next, and tries the states that it goes through.
func (c *storeCrashes) step(what string, next raftState, op func() error) {
	c.t.Helper()
	before := readPages(c.t, c.path)
	if err := op(); err != nil {
		c.t.Fatalf("%s: %v", what, err)
	}
	tx, err := difference(before, readPages(c.t, c.path))
	if err != nil {
		c.t.Fatalf("%s: %v", what, err)
	}
	was := c.now
	c.now = next
	if c.quiet {
		return
	}
	for _, cut := range tx.cuts(c.r) {
		if err := c.survives(cut, was, next); err != nil {
			c.t.Fatalf("%s, and the disk has of it %s: %v", what, cut.what, err)
		}
	}
}

// survives opens what is left as Open does before raft starts, and goes on with it. Now and then another power cut comes
// in the transaction that opening it is.
func (c *storeCrashes) survives(left cut, old, next raftState) error {
	st, holds, err := c.opened(c.scratch[0], left, old, next)
	if err != nil {
		return err
	}
	if c.r.IntN(8) == 0 {
		err = c.again(left.left, readPages(c.t, st.path), holds)
	}
	return errors.Join(err, c.goesOn(st, holds))
}

func (c *storeCrashes) again(before, after pages, holds raftState) error {
	tx, err := difference(before, after)
	if err != nil {
		return fmt.Errorf("the recovery: %w", err)
	}
	for _, cut := range tx.cuts(c.r) {
		c.counts["in recoveries"]++
		st, _, err := c.opened(c.scratch[1], cut, holds, holds)
		if err == nil {
			err = st.Close()
		}
		if err != nil {
			return fmt.Errorf("and of the recovery %s: %w", cut.what, err)
		}
	}
	return nil
}

// opened is the store in the file that left becomes, and which of the two states it has.
func (c *storeCrashes) opened(dir string, left cut, old, next raftState) (*store, raftState, error) {
	c.counts["states"]++
	left.left.write(c.t, filepath.Join(dir, storeFile))
	s := quietStart(dir)
	st, err := s.openStore(nil)
	if err != nil {
		return nil, old, err
	}
	if _, err = s.agreeStored(st); err == nil {
		err = c.whole(st, left, &old, next)
	}
	if err = errors.Join(err, s.failure.err()); err != nil {
		return nil, old, errors.Join(err, s.undo())
	}
	return st, old, nil
}

// whole sees that the store is in the state that it must be in, and makes it old.
func (c *storeCrashes) whole(st *store, left cut, old *raftState, next raftState) error {
	if !left.unknown {
		if left.done {
			*old = next
		}
		return old.in(st)
	}
	c.counts["outcome unknown"]++
	before := old.in(st)
	if before == nil {
		return nil
	}
	if after := next.in(st); after != nil {
		return fmt.Errorf("neither as before (%w) nor as after (%w)", before, after)
	}
	*old = next
	return nil
}

// in sees that the store holds just this.
func (s raftState) in(st *store) error {
	first, err := st.FirstIndex()
	if err != nil {
		return err
	}
	last, err := st.LastIndex()
	if err != nil {
		return err
	}
	if last != s.last() || len(s.entries) > 0 && first != s.entries[0].Index {
		return fmt.Errorf("entries %d to %d, want %d up to %d", first, last, len(s.entries), s.last())
	}
	for _, want := range s.entries {
		var got raft.Log
		if err := st.GetLog(want.Index, &got); err != nil {
			return fmt.Errorf("entry %d: %w", want.Index, err)
		}
		if got.Term != want.Term || got.Type != want.Type || !bytes.Equal(got.Data, want.Data) || !bytes.Equal(got.Extensions, want.Extensions) {
			return fmt.Errorf("entry %d is another", want.Index)
		}
	}
	for key := range valueKeys {
		got, err := st.Get([]byte(key))
		want, known := s.values[key]
		if known && (err != nil || string(got) != want) || !known && !errors.Is(err, raftboltdb.ErrKeyNotFound) {
			return fmt.Errorf("%s is %q, want %q (%v)", key, got, want, err)
		}
	}
	return nil
}

// valueKeys is all keys that are ever set.
var valueKeys = map[string]bool{string(keyIdentity): true, "CurrentTerm": true, "LastVoteTerm": true, "LastVoteCand": true}

// goesOn appends an entry, closes the store and opens it again.
func (c *storeCrashes) goesOn(st *store, holds raftState) error {
	next := holds
	next.entries = append(slices.Clip(holds.entries), c.entry(holds.last()+1, 100))
	if err := errors.Join(st.StoreLog(next.entries[len(next.entries)-1]), st.Close()); err != nil {
		return err
	}
	bolt, err := openBolt(st.path, false)
	if err != nil {
		return fmt.Errorf("opened again: %w", err)
	}
	again := &store{path: st.path, under: bolt, failure: newFailure()}
	if err := next.in(again); err != nil {
		return fmt.Errorf("opened again: %w", errors.Join(err, again.Close()))
	}
	return again.Close()
}

func (c *storeCrashes) entry(index uint64, n int) *raft.Log {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(c.r.Uint32())
	}
	e := &raft.Log{Index: index, Term: c.term, Type: raft.LogCommand, Data: data}
	if c.r.IntN(4) == 0 {
		e.Extensions = []byte("an extension")
	}
	return e
}

// random does what raft does to its store.
func (c *storeCrashes) random() {
	first, last := c.now.entries[0].Index, c.now.last()
	switch n := c.r.IntN(12); {
	case n < 6:
		c.append()
	case n < 7:
		c.term++
		c.set("CurrentTerm", uint64Bytes(c.term))
	case n < 8:
		c.set("LastVoteTerm", uint64Bytes(c.term))
	case n < 9:
		c.set("LastVoteCand", fmt.Appendf(nil, "somebody in term %d", c.term))
	case n < 10: // a compaction, behind a snapshot
		c.delete(first, first+uint64(c.r.IntN(int(last-first)+1)))
	case n < 11: // entries that another leader has overruled
		c.delete(last-uint64(c.r.IntN(min(8, int(last-first)+1))), last)
	default:
		c.step("a restart", c.now, func() error { err := c.st.Close(); c.open(); return err })
	}
}

func uint64Bytes(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

func (c *storeCrashes) set(key string, value []byte) {
	c.step("set "+key, c.now.with(key, string(value)), func() error { return c.st.Set([]byte(key), value) })
}

func (c *storeCrashes) append() {
	next, n := c.now, 1
	if c.r.IntN(2) == 0 {
		n += c.r.IntN(40)
	}
	var batch []*raft.Log
	for i := range n {
		size := c.r.IntN(600)
		switch c.r.IntN(40) {
		case 0:
			size = 5000 + c.r.IntN(100_000)
		case 1:
			size = 0
		}
		batch = append(batch, c.entry(next.last()+1+uint64(i), size))
	}
	next.entries = append(slices.Clip(next.entries), batch...)
	c.step(fmt.Sprintf("append %d entries", n), next, func() error { return c.st.StoreLogs(batch) })
}

func (c *storeCrashes) delete(from, to uint64) {
	first := c.now.entries[0].Index
	next := c.now
	next.entries = slices.Concat(next.entries[:from-first], next.entries[to-first+1:])
	if len(next.entries) == 0 {
		return
	}
	c.step(fmt.Sprintf("delete %d to %d of %d to %d", from, to, first, c.now.last()), next, func() error { return c.st.DeleteRange(from, to) })
}

func TestFaultsNoPowerCutLosesWhatRaftStored(t *testing.T) {
	plan := campaign.Plan{Name: "metadata log's store: power cuts", Unit: "states", Glance: 200, Share: 2000, Soak: 15_000, Workers: 2}
	campaign.Run(t, plan, func(t *testing.T, seed uint64) campaign.Counts {
		c := newStoreCrashes(t, seed)
		for range 15 {
			c.random()
		}
		if err := c.st.Close(); err != nil {
			t.Fatal(err)
		}
		return c.counts
	})
}

// A store that wrote its meta page before its data would be caught: states in which the new meta page is there and a
// sector of the data is not.
func TestStatesThatRaftsStoreMustNotBeInAreCaught(t *testing.T) {
	c := newStoreCrashes(t, 1)
	c.quiet = true
	caught, tried := 0, 0
	for range 20 {
		before, old := readPages(t, c.path), c.now
		c.random()
		tx, err := difference(before, readPages(t, c.path))
		if err != nil {
			continue // nothing was to be done
		}
		for _, i := range tx.data {
			left := tx.after.clone()
			left.at[i] = tx.before.page(i)
			tried++
			st, _, err := c.opened(c.scratch[0], cut{what: "all but a page", left: left, unknown: true}, old, c.now)
			if err != nil {
				caught++
			} else if err := st.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if tried < 20 || caught < tried*9/10 {
		t.Fatalf("%d states, %d caught", tried, caught)
	}
	if err := c.st.Close(); err != nil {
		t.Fatal(err)
	}
}

// A page that is not the one that was written there, or lacks a sector, is an error that names the file, not a panic in a
// goroutine of bbolt's.
func TestADamagedPageOfTheStoreMustNotEndTheProcess(t *testing.T) {
	c := newStoreCrashes(t, 2)
	c.quiet = true
	for range 5 {
		c.append()
	}
	good := readPages(t, c.path)
	found := 0
	for i := range good.at {
		for range 3 {
			bad := good.clone()
			page := slices.Clone(good.page(i))
			switch at := c.r.IntN(pageSize); c.r.IntN(3) {
			case 0:
				page[at%10] ^= 1 << c.r.IntN(8) // its number, or its kind
			case 1:
				clear(page[at/sectorSize*sectorSize:][:sectorSize])
			default:
				page = good.page(i + 1)
			}
			bad.at[i] = page
			st, _, err := c.opened(c.scratch[0], cut{left: bad}, c.now, c.now)
			if err == nil {
				if err := st.Close(); err != nil {
					t.Fatal(err)
				}
			} else if found++; errors.Is(err, image.ErrCorrupt) && !strings.Contains(err.Error(), storeFile) {
				t.Fatal(err)
			}
		}
	}
	if found < len(good.at)/2 {
		t.Fatalf("%d of %d damaged pages found", found, 3*len(good.at))
	}
	if err := c.st.Close(); err != nil {
		t.Fatal(err)
	}
}
