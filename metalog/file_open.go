package metalog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"chronik/metalog/image"
	"chronik/wal/vfs"
)

// OpenFile is Open for a node that is alone for good: its metadata log is one plain file of records, and no Raft runs. It
// refuses a directory that Raft has, and Open one of these; Survey's Recover and WriteFile make the one of the other.
func OpenFile(o Options) (*Log, error) {
	s := newStarting(o)
	return s.finish(s.openFile())
}

func (s *starting) openFile() (*Log, error) {
	if s.Net != nil {
		return nil, errors.New("a metadata log in a file is for a node alone: others could not follow it")
	}
	if err := s.lockDir(); err != nil {
		return nil, err
	}
	disk, err := vfs.OS(s.Dir)
	if err != nil {
		return nil, err
	}
	s.opened(disk.(io.Closer).Close)
	if err := s.beginFile(disk); err != nil {
		return nil, err
	}
	r := &recordReplay{failure: s.failure}
	records, err := openRecords(disk, 0, r)
	if err != nil {
		return nil, err
	}
	l, err := s.startFile(records, r)
	if l == nil {
		err = errors.Join(err, records.file.Close())
	}
	return l, err
}

// startFile takes over the records when it returns a log.
func (s *starting) startFile(records *recordFile, r *recordReplay) (*Log, error) {
	who, err := s.agree(r.who, filepath.Join(s.Dir, recordsFile), records.index > 0)
	if err != nil {
		return nil, err
	}
	was, err := checkReached(s.Dir, filepath.Join(s.Dir, recordsFile), reached{records.term, records.index})
	if err != nil {
		return nil, err
	}
	e := &fileEngine{self: who.serverID(), who: who, fsm: r.fsm, failure: s.failure, watch: s.Watch, logger: s.Logger, records: records}
	if err := e.start(); err != nil {
		return nil, err
	}
	l := &Log{log{
		identity: who, failure: s.failure, logger: s.Logger, was: was, dir: s.Dir, file: e, engine: e,
		changing: make(chan struct{}, 1), fsm: r.fsm,
	}}
	l.incarnation.Store(&who.incarnation)
	s.opened(func() error {
		err := e.stop()
		if err == nil && l.whole.Load() && s.failure.err() == nil {
			err = l.note()
		}
		return err
	})
	leads := make(chan bool, 1)
	leads <- true
	return l, s.serve(l, nil, leads)
}

// beginFile makes the file of a directory that nothing is in. node.id follows it, as it follows Raft's store.
func (s *starting) beginFile(disk vfs.FS) error {
	if err := s.refuse(storeFile, "holds the metadata for Raft: start without --file-metadata, "+
		"or run chronik cluster migrate-metadata --to file"); err != nil {
		return err
	}
	if found, err := exists(filepath.Join(s.Dir, recordsFile)); found || err != nil {
		return err
	}
	who, err := s.identityOfNew(recordsFile)
	if err != nil {
		return err
	}
	r := recordFile{disk: disk}
	if err := r.begin(base{who, image.Empty()}, 0, 0); err != nil {
		return err
	}
	return r.file.Close()
}

// refuse says why the log cannot be opened when there is a file of the other way to keep it.
func (s *starting) refuse(file, why string) error {
	found, err := exists(filepath.Join(s.Dir, file))
	if found {
		err = fmt.Errorf("%s %s", file, why)
	}
	return err
}

func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// recordReplay is a reader that applies what it is told.
type recordReplay struct {
	who     identity
	fsm     *fsm
	failure *failure
}

func (r *recordReplay) base(b base, index, _ uint64) error {
	r.who, r.fsm = b.who, &fsm{views: newViews(b.image, index), failure: r.failure}
	return nil
}

func (r *recordReplay) entry(index, term uint64, data []byte) error {
	err, _ := r.fsm.Apply(&raft.Log{Index: index, Term: term, Type: raft.LogCommand, Data: data}).(error)
	return err
}

// readRecords is what the file in the directory of a stopped log holds; false when there is none.
func readRecords(dir string, to reader) (records *recordFile, found bool, err error) {
	if found, err = exists(filepath.Join(dir, recordsFile)); !found || err != nil {
		return nil, found, err
	}
	disk, err := vfs.OSReader(dir)
	if err != nil {
		return nil, true, err
	}
	records, err = openRecords(disk, vfs.ReadOnly, to)
	if err == nil {
		err = records.file.Close()
	}
	if err = errors.Join(err, disk.(io.Closer).Close()); err != nil {
		err = fmt.Errorf("%s: %w", dir, err)
	}
	return records, true, err
}
