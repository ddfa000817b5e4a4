package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

const testRun = 7

// reading is a topic of one partition and one producer as a reader finds it: offset and sequence of each record.
type reading []struct{ offset, sequence int64 }

func inOrder(n int64) (r reading) {
	for i := range n {
		r = append(r, struct{ offset, sequence int64 }{i, i})
	}
	return r
}

func (r reading) check(change func(i int, record *kgo.Record)) *checker {
	c := newChecker()
	c.start(0, 0)
	for i, at := range r {
		value := make([]byte, 100)
		header{run: testRun, sequence: at.sequence}.encode(value)
		record := &kgo.Record{Offset: at.offset, Value: value}
		if change != nil {
			change(i, record)
		}
		c.check(record)
	}
	return c
}

func acknowledged(n int64) *ledger {
	acked := newLedger(nil)
	for i := range n {
		acked.add(0, 0, i, i)
	}
	return acked
}

// A verifier that does not find what is wrong is worth nothing: each of these must be found.
func TestVerificationCanFail(t *testing.T) {
	for _, c := range []struct {
		name    string
		reading func(reading) reading
		change  func(i int, record *kgo.Record)
		want    findings
	}{
		{name: "nothing", want: findings{Read: 10}},
		{name: "a record from the middle",
			reading: func(r reading) reading { return append(r[:4:4], r[5:]...) },
			want:    findings{Read: 9, Skipped: 1, Missing: 1, Lost: 1}},
		{name: "a record, and the others moved up",
			reading: func(r reading) reading {
				r = append(r[:4:4], r[5:]...)
				for i := range r {
					r[i].offset = int64(i)
				}
				return r
			},
			want: findings{Read: 9, Missing: 1, Lost: 1, Moved: 5}},
		{name: "the end",
			reading: func(r reading) reading { return r[:7] },
			want:    findings{Read: 7, Lost: 3}},
		{name: "a duplicate",
			reading: func(r reading) reading {
				return append(r, struct{ offset, sequence int64 }{10, 9})
			},
			want: findings{Read: 11, Duplicates: 1}},
		{name: "two in the wrong order",
			reading: func(r reading) reading {
				r[3].sequence, r[4].sequence = 4, 3
				return r
			},
			want: findings{Read: 10, Missing: 1, Reordered: 1, Moved: 2}},
		{name: "an offset twice",
			reading: func(r reading) reading { return append(r, r[9]) },
			want:    findings{Read: 11, Repeated: 1}},
		{name: "a changed byte",
			change: func(i int, r *kgo.Record) { r.Value[99] ^= byte(i / 9) },
			want:   findings{Read: 10, Corrupt: 1, Lost: 1}},
		{name: "another partition's record",
			change: func(i int, r *kgo.Record) {
				if i == 9 {
					header{run: testRun, partition: 1, sequence: 9}.encode(r.Value)
				}
			},
			want: findings{Read: 10, Misplaced: 1, Lost: 1}},
		{name: "somebody else's record",
			change: func(i int, r *kgo.Record) {
				if i == 9 {
					r.Value = []byte("x")
				}
			},
			want: findings{Read: 10, Foreign: 1, Lost: 1}},
	} {
		r := inOrder(10)
		if c.reading != nil {
			r = c.reading(r)
		}
		checked := r.check(c.change)
		f := new(findings)
		f.add(checked.found)
		f.look(testRun, acknowledged(10), []*checker{checked})
		c.want.Acked = 10
		bad := c.name != "nothing"
		if (f.failure(true) != nil) != bad || (len(f.Examples) > 0) != bad {
			t.Errorf("%s: %v, %q", c.name, f.failure(true), f.Examples)
		}
		if f.Examples = nil; !reflect.DeepEqual(*f, c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, *f, c.want)
		}
	}
}

// Without idempotence a retry may leave a record twice; that is no failure then.
func TestDuplicatesMayBeAllowed(t *testing.T) {
	f := findings{Duplicates: 1}
	if err := f.failure(false); err != nil {
		t.Error(err)
	}
	if err := f.failure(true); !errors.Is(err, errVerification) {
		t.Error(err)
	}
}

// Producers that take turns leave many spans; each is found in those that were read, however these are cut.
func TestCompareTakesSpansApart(t *testing.T) {
	acked, read := newLedger(nil), newLedger(nil)
	next := [2]int64{}
	for offset := range int64(1000) {
		producer := offset / 7 % 2
		if offset%5 != 0 { // some were never acknowledged
			acked.add(3, uint32(producer), next[producer], offset)
		}
		read.add(3, uint32(producer), next[producer], offset)
		next[producer]++
	}
	if d := compare(acked, read); d.lost+d.moved != 0 {
		t.Errorf("%+v", d)
	}
	read.spans[3][1].producer = 5
	if d := compare(acked, read); d.lost != 6 || d.moved != 0 { // 7 records, of which offset 10 was not acknowledged
		t.Errorf("%+v", d)
	}
}

func TestCompareWithoutOffsets(t *testing.T) {
	acked, read := newLedger(nil), newLedger(nil)
	for n := range int64(10) {
		acked.add(0, 0, n, -1)
		if n != 4 {
			read.add(0, 0, n, 50+n)
		}
	}
	if d := compare(acked, read); d.lost != 1 || d.moved != 0 {
		t.Errorf("%+v", d)
	}
}

func TestVerifyFileKeepsRuns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "acknowledged")
	for run := range uint64(2) {
		v, err := appendVerifyFile(path, runLine{Run: run, Topic: "t", Idempotent: true, Starts: map[int32]int64{0: 5}})
		if err != nil {
			t.Fatal(err)
		}
		acked := newLedger(v.span)
		for n := range int64(2*longestKept + 10) {
			acked.add(2, 1, n, n+100*int64(run))
		}
		acked.settle()
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = fmt.Fprint(f, `[2,1,`) // the writer died
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	runs, err := readVerifyFile(path)
	if err != nil || len(runs) != 2 {
		t.Fatalf("%v, %v", runs, err)
	}
	want := []span{{1, 0, 100, longestKept}, {1, longestKept, 100 + longestKept, longestKept}, {1, 2 * longestKept, 100 + 2*longestKept, 10}}
	if got := runs[1].acked.spans[2]; !reflect.DeepEqual(got, want) || runs[1].Topic != "t" || runs[0].Starts[0] != 5 {
		t.Errorf("%+v", runs[1])
	}
	if _, err := readVerifyFile(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, err := addLine(nil, []byte("[1,2,3,4,5]")); err == nil || !strings.Contains(err.Error(), "before any run") {
		t.Error(err)
	}
}
