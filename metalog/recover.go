package metalog

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"

	"chronik/metalog/image"
	"chronik/wal/vfs"
)

// Survey is what the directory of a stopped log holds.
type Survey struct {
	Self        Server    // which directory it is of, and whether it has a vote
	Incarnation uuid.UUID // of the data beside the log
	Cluster     uuid.UUID // zero: none yet
	Servers     []Server  // Raft's newest configuration; it may not have been committed
	Index, Term uint64    // of the last entry
	At          time.Time // when a leader made it; zero: nothing says so

	// Image is with all entries applied, also those at the end of which nobody knows whether they were committed: for the
	// proposers of these the outcome was unknown.
	Image *image.Image

	votedIn uint64 // the newest term that the server has heard of
	file    bool   // it is in a file of its own, without Raft
}

// InFile says whether the log is a file of a node that is alone for good.
func (v *Survey) InFile() bool { return v.file }

// contents of no survey are none.
func (v *Survey) contents() Contents {
	if v == nil {
		return Contents{}
	}
	return Contents{v.Self.Node, v.Incarnation, v.Image}
}

// examineFile is Examine of a directory whose log is a file; nil of another one. It fails where a start would.
func examineFile(dir string) (*Survey, error) {
	r := &recordReplay{failure: newFailure()}
	records, found, err := readRecords(dir, r)
	if !found || err != nil {
		return nil, err
	}
	path := filepath.Join(dir, recordsFile)
	if err := checkAgreed(filepath.Join(dir, identityFile), r.who, path, records.index > 0); err != nil {
		return nil, err
	}
	if _, err := checkReached(dir, path, reached{records.term, records.index}); err != nil {
		return nil, err
	}
	self := Server{ID: string(r.who.serverID()), Node: r.who.node, Addr: string(r.who.serverID()), Voter: true}
	img := r.fsm.views.image.Load()
	return &Survey{
		Self: self, Incarnation: r.who.incarnation, Cluster: img.ClusterID(), Servers: []Server{self},
		Index: records.index, Term: records.term, Image: img, file: true,
	}, nil
}

// Examine reads a stopped log without changing anything. Errors wrap image.ErrCorrupt where it is damaged, and name the
// file; a log that is in use is refused.
func Examine(dir string) (*Survey, error) {
	if v, err := examineFile(dir); v != nil || err != nil {
		return v, err
	}
	path := filepath.Join(dir, storeFile)
	if err := checkBolt(path); err != nil {
		return nil, err
	}
	var under backend
	if err := guard(func() (err error) { under, err = openBolt(path, true); return err }); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	st := &store{path: path, under: under, failure: newFailure()}
	s, err := st.survey(dir)
	if err = errors.Join(err, st.Close()); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *store) survey(dir string) (*Survey, error) {
	who, err := s.identity()
	if err != nil {
		return nil, err
	}
	v := &Survey{Self: Server{ID: string(who.serverID()), Node: who.node}, Incarnation: who.incarnation}
	if v.votedIn, err = s.GetUint64([]byte(keyTerm)); known(err) != nil {
		return nil, err
	}
	n, err := readNewest(dir, s)
	if err != nil {
		return nil, err
	}
	if err := v.begin(dir, n); err != nil {
		return nil, err
	}
	if err := v.replay(s, n); err != nil {
		return nil, err
	}
	if v.Cluster, _, err = s.cluster(); err != nil {
		return nil, err
	}
	if v.Cluster == uuid.Nil {
		v.Cluster = v.Image.ClusterID()
	}
	i := slices.IndexFunc(v.Servers, func(s Server) bool { return s.ID == v.Self.ID })
	if i >= 0 {
		v.Self = v.Servers[i]
	}
	return v, nil
}

// begin takes what the newest whole snapshot says.
func (v *Survey) begin(dir string, n newest) error {
	v.Index, v.Term, v.Image = n.index, n.term, n.image
	if n.index == 0 {
		return nil
	}
	names, err := savedNames(filepath.Join(dir, snapshotsDir))
	if err != nil {
		return err
	}
	for _, name := range names {
		if order := savedOrder(name); order[0] == n.term && order[1] == n.index && !slices.Contains(n.damaged, name) {
			m, err := readMeta(filepath.Join(dir, snapshotsDir, name))
			v.configured(m.Configuration)
			v.At = time.UnixMilli(int64(order[2]))
			return err
		}
	}
	return nil
}

// replay applies the entries behind the snapshot, as a start does.
func (v *Survey) replay(s *store, n newest) error {
	last, err := s.LastIndex()
	if err != nil || n.stale || last <= n.index {
		return err
	}
	f := &fsm{views: newViews(n.image, n.index), failure: newFailure()}
	for index := n.index + 1; index <= last; index++ {
		var entry raft.Log
		if err := s.GetLog(index, &entry); err != nil {
			return err
		}
		switch entry.Type {
		case raft.LogCommand:
			f.Apply(&entry)
		case raft.LogConfiguration:
			if err := guard(func() error { v.configured(raft.DecodeConfiguration(entry.Data)); return nil }); err != nil {
				return fmt.Errorf("%s: entry %d: %w", s.path, index, err)
			}
		}
		v.Index, v.Term = index, entry.Term
		if !entry.AppendedAt.IsZero() {
			v.At = entry.AppendedAt
		}
	}
	v.Image = f.views.image.Load()
	return f.failure.err()
}

func (v *Survey) configured(c raft.Configuration) {
	v.Servers = nil
	for _, s := range c.Servers {
		v.Servers = append(v.Servers, Server{string(s.ID), brokerOf(s.ID), string(s.Address), s.Suffrage == raft.Voter})
	}
}

// Lock keeps every other process out of the directory of a log until release.
func Lock(dir string) (release func() error, err error) {
	f, err := lock(dir)
	if err != nil {
		return nil, err
	}
	return f.Close, nil
}

func lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%s is in use by another process: %w", f.Name(), err), f.Close())
	}
	return f, nil
}

// Leap is how far behind the survivor's last entry a log goes on that was recovered. Those who are lost may have agreed on
// more than the survivor knows of, and what counts the entries (brokers' epochs above all) must not come to the same number
// for something else, and must be greater than all that they counted.
const Leap = 1 << 32

// Recover begins in the directory to, which must not be there, a log that goes on where the stopped one in from ends, with
// records on top of it, as another server of Raft and as the only voter. It changes nothing in from. The directory is whole
// when Recover returns, and of no use before.
//
// The same server with another configuration (raft's RecoverCluster) would take entries, or a snapshot, from a leader of those
// that are thought to be lost: it looks at the term alone. Nobody knows the other server.
func (v *Survey) Recover(to string, records []image.Record) error {
	index := v.Index + Leap
	img, _, err := v.Image.Apply(image.Index(index), records)
	if err != nil {
		return fmt.Errorf("change the metadata: %w", err)
	}
	return v.writeRaft(to, img, index)
}

// Move begins in the directory to, which must not be there, a log with what the stopped one holds: in a file, or for Raft.
// The node must have been alone (Alone). The directory is whole when Move returns, and of no use before.
func (v *Survey) Move(to string, file bool) error {
	if file {
		return v.writeFile(to)
	}
	return v.writeRaft(to, v.Image, v.Index+1)
}

// Alone says whether the node has never met another one, or none is left.
func (v *Survey) Alone() bool {
	other := func(s Server) bool { return s.Node != v.Self.Node }
	for _, b := range v.Image.Brokers() {
		if b.ID != v.Self.Node {
			return false
		}
	}
	return v.Self.Voter && !slices.ContainsFunc(v.Servers, other)
}

func (v *Survey) writeFile(to string) error {
	who, err := mint(v.Self.Node, v.Incarnation)
	if err == nil {
		err = makeDir(filepath.Clean(to))
	}
	if err != nil {
		return err
	}
	disk, err := vfs.OS(to)
	if err != nil {
		return err
	}
	r := recordFile{disk: disk}
	if err = r.begin(base{who, v.Image}, v.Index, max(v.Term, v.votedIn)); err == nil {
		err = r.file.Close()
	}
	if err = errors.Join(err, disk.(io.Closer).Close()); err != nil {
		return err
	}
	return writeWhole(filepath.Join(to, identityFile), who.text())
}

// writeRaft is of another server of Raft, with a vote and nobody beside it.
func (v *Survey) writeRaft(to string, img *image.Image, index uint64) error {
	term := max(v.Term, v.votedIn) + 1
	who, err := mint(v.Self.Node, v.Incarnation)
	if err != nil {
		return err
	}
	if err := makeDir(filepath.Clean(to)); err != nil {
		return err
	}
	path := filepath.Join(to, storeFile)
	err = beginStore(path, func(st *store) error {
		return errors.Join(st.Set(keyIdentity, who.text()), st.Set(keyCluster, v.Cluster[:]),
			st.SetUint64([]byte(keyTerm), term), st.noteSent(index, term, nil))
	})
	if err != nil {
		return err
	}
	addr := raft.ServerAddress(v.Self.Addr)
	if addr == "" || v.Self.Addr == v.Self.ID { // that of a server of which it says nothing
		addr = raft.ServerAddress(who.serverID())
	}
	only := raft.Configuration{Servers: []raft.Server{{ID: who.serverID(), Address: addr}}}
	if err := saveRecovered(to, img, index, term, only); err != nil {
		return err
	}
	return writeWhole(filepath.Join(to, identityFile), who.text())
}

// saveRecovered makes the snapshot that stands for the whole log. The store knows of it as of one that a leader has sent.
func saveRecovered(dir string, img *image.Image, index, term uint64, c raft.Configuration) error {
	silent := (&raftLogger{to: slog.New(slog.DiscardHandler)}).hclog()
	files, err := raft.NewFileSnapshotStoreWithLogger(dir, snapshotsToKeep, silent)
	if err != nil {
		return err
	}
	_, nobody := raft.NewInmemTransport("")
	to := &snapshots{SnapshotStore: files, dir: filepath.Join(dir, snapshotsDir), failure: newFailure()}
	sink, err := to.Create(raft.SnapshotVersionMax, index, term, c, index, nobody)
	if err == nil {
		err = snapshot{img}.Persist(sink)
	}
	return errors.Join(err, nobody.Close(), syncNames(dir))
}
