package metalog

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/crc64"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/raft"

	"chronik/metalog/image"
)

// A snapshot is a directory of raft's: state.bin, which has checksums, and meta.json, which has none and is believed: a
// wrong index skips entries, a wrong configuration has no voter, and without its own name raft removes every snapshot
// there is when it looks for those that it needs no more. So there is a seal beside them, a checksum of what meta.json
// says; size and checksum of state.bin, which raft adds at the end, are compared with that file itself.
const (
	metaName   = "meta.json"
	stateName  = "state.bin"
	sealName   = "seal"
	sealHead   = "chronik snapshot 1\n"
	damagedDir = "damaged" // where snapshots go that cannot be read, for whoever wants to look into them
)

// savedMeta is meta.json.
type savedMeta struct {
	raft.SnapshotMeta
	CRC []byte // CRC-64 (ECMA) of state.bin
}

// seal is the text of a snapshot's seal. The servers are written out here, so that no library's next version changes it.
func (m *savedMeta) seal() []byte {
	b := binary.AppendUvarint(nil, uint64(m.Version))
	for _, n := range []uint64{m.Index, m.Term, m.ConfigurationIndex, uint64(len(m.Configuration.Servers))} {
		b = binary.AppendUvarint(b, n)
	}
	texts := []string{m.ID}
	for _, s := range m.Configuration.Servers {
		b = binary.AppendUvarint(b, uint64(s.Suffrage))
		texts = append(texts, string(s.ID), string(s.Address))
	}
	for _, text := range texts {
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	return fmt.Appendf(nil, sealHead+"crc32c=%08x\n", crc32.Checksum(b, castagnoli))
}

// writeSeal puts it into the directory of a snapshot that is being made.
func writeSeal(dir string, m savedMeta) error {
	f, err := os.OpenFile(filepath.Join(dir, sealName), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(m.seal()); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// savedNames are the snapshots in the directory of the snapshots, from the newest on; those not finished are not.
func savedNames(dir string) ([]string, error) {
	found, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, d := range found {
		if d.IsDir() && !strings.HasSuffix(d.Name(), unfinished) {
			names = append(names, d.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int { return slices.Compare(savedOrder(b), savedOrder(a)) })
	return names, err
}

// savedOrder is the term, the index and the time in a snapshot's name.
func savedOrder(name string) []uint64 {
	order := make([]uint64, 3)
	_, _ = fmt.Sscanf(name, "%d-%d-%d", &order[0], &order[1], &order[2]) // another name is older than all
	return order
}

// readMeta reads what meta.json says of the snapshot in dir, and holds it against the name and the seal. Snapshots of
// older versions of this program have no seal.
func readMeta(dir string) (m savedMeta, err error) {
	b, err := os.ReadFile(filepath.Join(dir, metaName))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, damage(fmt.Sprintf("%s: %v", metaName, err))
	}
	seal, err := os.ReadFile(filepath.Join(dir, sealName))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return m, err
	}
	sealed := err == nil
	switch order := savedOrder(m.ID); {
	case m.ID != filepath.Base(dir) || order[0] != m.Term || order[1] != m.Index:
		return m, damage(fmt.Sprintf("%s: it is that of %q, of entry %d", metaName, m.ID, m.Index))
	case sealed && !bytes.Equal(seal, m.seal()):
		return m, damage(fmt.Sprintf("%s does not say what the %s says", metaName, sealName))
	}
	return m, nil
}

// readSaved reads a snapshot, every checksum verified.
func readSaved(dir string) (m savedMeta, img *image.Image, err error) {
	if m, err = readMeta(dir); err != nil {
		return m, nil, err
	}
	f, err := os.Open(filepath.Join(dir, stateName))
	if err != nil {
		return m, nil, err
	}
	sum := crc64.New(crc64.MakeTable(crc64.ECMA))
	size, err := io.Copy(sum, f)
	if err == nil && (size != m.Size || !bytes.Equal(sum.Sum(nil), m.CRC)) {
		err = damage(fmt.Sprintf("%s: it has not the size or the checksum in %s", stateName, metaName))
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err == nil {
		img, err = image.Read(f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return m, nil, err
	}
	if uint64(img.Index()) > m.Index {
		return m, nil, damage(fmt.Sprintf("image of entry %d in the snapshot of entry %d", img.Index(), m.Index))
	}
	return m, img, nil
}

// newest is what a start begins with: the newest snapshot that is whole, and the log behind it.
type newest struct {
	image   *image.Image
	index   uint64   // of the snapshot, 0 when there is none
	term    uint64   // of that entry
	servers uint64   // the entry with the configuration of Raft that the snapshot has
	was     reached  // what is noted of the log
	sent    bool     // a leader sent the snapshot
	stale   bool     // a leader sent the snapshot, and the log is one that it took the place of
	damaged []string // names of snapshots that cannot be read
	why     error    // what is wrong with them
}

// readNewest fails when the log does not go on where the snapshot ends. Of the snapshots before it only that is read
// which raft believes.
func readNewest(dir string, st *store) (newest, error) {
	n := newest{image: image.Empty()}
	saved := filepath.Join(dir, snapshotsDir)
	names, err := savedNames(saved)
	if err != nil {
		return n, err
	}
	for _, name := range names {
		path := filepath.Join(saved, name)
		if n.index > 0 {
			_, err = readMeta(path)
		} else if m, img, bad := readSaved(path); bad == nil {
			n.image, n.index, n.term, n.servers, err = img, m.Index, m.Term, m.ConfigurationIndex, nil
		} else {
			err = bad
		}
		if err != nil {
			n.damaged = append(n.damaged, name)
			n.why = errors.Join(n.why, fmt.Errorf("%s: %w", path, err))
		}
	}
	if err := n.checkLog(dir, st); err != nil {
		return n, errors.Join(err, n.why)
	}
	return n, nil
}

// checkLog holds the log against the snapshot and against the note.
func (n *newest) checkLog(dir string, st *store) (err error) {
	sent, err := st.wasSent(n.index, n.term)
	if err != nil {
		return err
	}
	if n.sent = sent && len(n.damaged) == 0; n.sent {
		n.stale, err = stale(st, n.index, n.term)
		if err == nil {
			n.was, err = checkStored(dir, st, n.index)
		}
		if err != nil || n.stale {
			return err
		}
	} else {
		n.was, err = checkStored(dir, st, 0)
	}
	return cmp.Or(continues(st, n.index, n.sent), err)
}

// stale says whether the log ends before the snapshot that a leader sent, or goes on beside it. All of it was deleted when
// the snapshot was installed, or would have been: it is deleted in one transaction, so part of it is never left.
func stale(st *store, snapshot, term uint64) (bool, error) {
	first, err := st.FirstIndex()
	if err != nil {
		return false, err
	}
	last, err := st.LastIndex()
	if err != nil || last == 0 || first > snapshot {
		return false, err
	}
	if last < snapshot {
		return true, nil
	}
	var entry raft.Log
	err = st.GetLog(snapshot, &entry)
	return entry.Term != term, err
}

// continues checks that the log reaches back to the snapshot and goes on from it: raft would start without the entries in
// between, and put new ones behind a gap. The only voter has an entry in its log before it applies it, and keeps some
// behind each snapshot, so a log that ends before the snapshot is an older one, unless a leader sent the snapshot: then
// there may be no log at all. So it is in a directory that was begun to wait for a cluster.
func continues(st *store, snapshot uint64, sent bool) error {
	first, err := st.FirstIndex()
	if err != nil {
		return err
	}
	last, err := st.LastIndex()
	if err != nil {
		return err
	}
	if last == 0 && snapshot == 0 {
		if _, sent, err = st.cluster(); err != nil {
			return err
		}
	}
	if last == 0 && sent {
		return nil
	}
	if last < snapshot {
		return damage(fmt.Sprintf("%s ends with entry %d and the newest good snapshot with entry %d: it is older than the snapshot, "+
			"and what came behind that is not in it: put the newest %s back in its place, or a copy of the whole directory",
			st.path, last, snapshot, storeFile))
	}
	if first > snapshot+1 || first == 0 {
		return damage(fmt.Sprintf("%s begins with entry %d and the newest good snapshot ends with entry %d: entries are lost",
			st.path, first, snapshot))
	}
	return nil
}

// setAside moves snapshots that cannot be read to where raft does not see them.
func setAside(dir string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	to := filepath.Join(dir, damagedDir)
	if err := makeDir(to); err != nil {
		return err
	}
	for _, name := range names {
		if err := os.RemoveAll(filepath.Join(to, name)); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(dir, snapshotsDir, name), filepath.Join(to, name)); err != nil {
			return err
		}
	}
	return errors.Join(syncFile(to), syncFile(filepath.Join(dir, snapshotsDir)))
}
