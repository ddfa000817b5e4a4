package metalog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"

	"chronik/metalog/image"
)

// Item is a piece of a stopped metalog as Walk shows it. A damaged one has Err, and what could be read of it.
type Item struct {
	File string // where it stands
	Name string // "node", "vote", "entry" or "snapshot"
	Err  error

	Index, Term uint64            // of an entry or a snapshot
	Type        string            // of an entry: "LogCommand" carries proposals, the others are Raft's own
	At          time.Time         // when the leader appended an entry
	Proposals   [][]image.Record  // of a LogCommand
	Image       *image.Image      // of a snapshot
	Values      map[string]string // of the node, the votes, and Raft's own entries
}

// Walk shows what the directory of a stopped metalog holds, every checksum verified: the node, its votes, the entries in
// order, the snapshots from the newest to the oldest. It changes nothing. It goes on past what is damaged, and returns
// the errors of those items and the first of visit's, which ends it.
func Walk(dir string, visit func(Item) error) error {
	w := &walk{dir: dir, visit: visit}
	err := w.node()
	if inFile, e := exists(filepath.Join(dir, recordsFile)); inFile || e != nil {
		err = errors.Join(err, e, w.records())
	} else {
		err = errors.Join(err, w.store(), w.snapshots())
	}
	if w.stopped != nil {
		return w.stopped
	}
	return err
}

type walk struct {
	dir     string
	visit   func(Item) error
	stopped error // what visit said
}

// show is nil for a good item that visit took.
func (w *walk) show(i Item) error {
	if w.stopped != nil {
		return w.stopped
	}
	if w.stopped = w.visit(i); w.stopped != nil {
		return w.stopped
	}
	if i.Err != nil {
		return fmt.Errorf("%s: %s %d: %w", i.File, i.Name, i.Index, i.Err)
	}
	return nil
}

func (w *walk) node() error {
	path := filepath.Join(w.dir, identityFile)
	who, found, err := readIdentity(path)
	if err == nil && !found {
		err = os.ErrNotExist
	}
	return w.show(Item{File: path, Name: "node", Err: err, Values: values(who)})
}

func values(who identity) map[string]string {
	return map[string]string{
		"node.id": fmt.Sprint(who.node), "raft.server": string(who.serverID()), "incarnation": who.incarnation.String(),
	}
}

func (w *walk) store() error {
	path := filepath.Join(w.dir, storeFile)
	if err := checkBolt(path); err != nil {
		return w.show(Item{File: path, Name: "store", Err: err})
	}
	var under backend
	err := guard(func() (err error) { under, err = openBolt(path, true); return err })
	if err != nil {
		return w.show(Item{File: path, Name: "store", Err: err})
	}
	st := &store{path: path, under: under, failure: newFailure()}
	return errors.Join(w.votes(st), w.entries(st), st.Close())
}

// records shows a log that is a file.
func (w *walk) records() error {
	r := &shownRecords{walk: w, path: filepath.Join(w.dir, recordsFile)}
	if _, _, err := readRecords(w.dir, r); err != nil && !r.told {
		return w.show(Item{File: r.path, Name: "entry", Index: r.last + 1, Err: err})
	}
	return r.all
}

// shownRecords is a reader that goes on past what it cannot read in an entry.
type shownRecords struct {
	*walk
	path string
	last uint64
	all  error
	told bool // visit has ended it
}

func (r *shownRecords) base(b base, index, term uint64) error {
	r.last = index
	r.note(r.show(Item{File: r.path, Name: "node", Values: values(b.who)}))
	return r.note(r.show(Item{File: r.path, Name: "snapshot", Index: index, Term: term, Image: b.image}))
}

func (r *shownRecords) entry(index, term uint64, data []byte) error {
	r.last = index
	i := Item{File: r.path, Name: "entry", Index: index, Term: term, Type: raft.LogCommand.String()}
	i.Proposals, _, i.Err = openEntry(&raft.Log{Index: index, Term: term, Data: data})
	return r.note(r.show(i))
}

// note is an error when visit wants no more.
func (r *shownRecords) note(err error) error {
	r.all = errors.Join(r.all, err)
	if r.stopped != nil {
		r.told = true
	}
	return r.stopped
}

// votes shows what raft keeps beside the log; raft's own names of it are not exported.
func (w *walk) votes(st *store) error {
	set := make(map[string]string)
	var all error
	for _, key := range []string{keyTerm, "LastVoteTerm"} {
		v, err := st.GetUint64([]byte(key))
		all = errors.Join(all, known(err))
		set[key] = fmt.Sprint(v)
	}
	candidate, err := st.Get([]byte("LastVoteCand"))
	set["LastVoteCand"] = string(candidate)
	all = errors.Join(all, known(err))
	return w.show(Item{File: st.path, Name: "vote", Err: all, Values: set})
}

// keyTerm is raft's name for the term in the store.
const keyTerm = "CurrentTerm"

// known passes over that a key was never set.
func known(err error) error {
	if err != nil && err.Error() == "not found" {
		return nil
	}
	return err
}

func (w *walk) entries(st *store) error {
	first, err := st.FirstIndex()
	if err != nil {
		return err
	}
	last, err := st.LastIndex()
	if err != nil {
		return err
	}
	var all error
	for index := first; index <= last && index > 0 && w.stopped == nil; index++ {
		all = errors.Join(all, w.entry(st, index))
	}
	return all
}

func (w *walk) entry(st *store, index uint64) error {
	var entry raft.Log
	i := Item{File: st.path, Name: "entry", Index: index}
	if i.Err = st.GetLog(index, &entry); i.Err != nil {
		return w.show(i)
	}
	i.Term, i.Type, i.At = entry.Term, entry.Type.String(), entry.AppendedAt
	switch entry.Type {
	case raft.LogCommand:
		i.Proposals, _, i.Err = openEntry(&entry)
	case raft.LogConfiguration:
		i.Err = guard(func() error { // raft panics when it cannot decode it
			i.Values = map[string]string{"servers": fmt.Sprintf("%v", raft.DecodeConfiguration(entry.Data).Servers)}
			return nil
		})
	}
	return w.show(i)
}

// snapshots reads them without raft's store of snapshots, which passes over what it cannot read, and writes to see
// whether it may.
func (w *walk) snapshots() error {
	dir := filepath.Join(w.dir, snapshotsDir)
	names, err := savedNames(dir)
	for _, name := range names {
		i := Item{File: filepath.Join(dir, name), Name: "snapshot"}
		var m savedMeta
		m, i.Image, i.Err = readSaved(i.File)
		i.Index, i.Term = m.Index, m.Term
		err = errors.Join(err, w.show(i))
	}
	return err
}
