package wal

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"chronik/wal/mutant"
	"chronik/wal/vfs"
)

const whyIncarnation = "it belongs to another data directory"

// recovery reads a log that is not open. It changes nothing.
type recovery struct {
	o      Options
	replay func(Replayed) error
	names  []string // of all files in the directory
	flag   vfs.Flag // of the files
	ck     checkpoint
	bare   bool        // there is no checkpoint
	closed uint64      // the last group when the log was last closed
	cut    *checkpoint // what a recovery before has cut, or nil

	files    []*file // from the first that is needed on
	headers  []fileHeader
	needless []*file // before it

	next uint64 // the number of the next group
	last int    // index of the file with the last group, -1 when there is none
	end  int64  // of the last group, in that file
	tidy bool   // the last group is a closing mark

	broken *file // where the next group begins, which is not whole; nil when that is not known

	w window
}

// recoverLog finds the log's end and replays it up to there.
func recoverLog(o Options, restore func([]byte) error, replay func(Replayed) error) (*recovery, error) {
	r := &recovery{o: o, replay: replay, flag: vfs.Direct, next: 1, last: -1}
	if err := r.recover(restore); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *recovery) recover(restore func([]byte) error) error {
	defer r.w.close()
	err := r.begin(restore)
	if err == nil {
		err = r.read()
	}
	if err == nil {
		err = r.judge()
	}
	return err
}

func (r *recovery) close() {
	for _, f := range slices.Concat(r.needless, r.files) {
		f.Release()
	}
}

// begin reads the checkpoint and the headers of the files.
func (r *recovery) begin(restore func([]byte) error) error {
	ck, err := readCheckpoint(r.o.FS, checkpointName, r.o.Incarnation)
	if err != nil {
		return err
	}
	closed, err := readCheckpoint(r.o.FS, closedName, r.o.Incarnation)
	if err != nil {
		return err
	}
	if closed != nil {
		r.closed = closed.durable
	}
	if r.cut, err = readCheckpoint(r.o.FS, cutName, r.o.Incarnation); err != nil {
		return err
	}
	r.ck, r.bare = checkpoint{seq: 1, number: 1}, ck == nil
	if ck != nil {
		r.ck = *ck
	}
	r.next = r.ck.number
	r.w.pool = r.o.Pool
	if restore != nil {
		if err := restore(slices.Clip(r.ck.payload)); err != nil {
			return err
		}
	}
	if r.names, err = r.o.FS.List("."); err != nil {
		return err
	}
	for _, name := range r.names {
		if seq, ok := seqOf(name); ok {
			if err := r.header(name, seq); err != nil {
				return err
			}
		}
	}
	if ck != nil && len(r.files) == 0 {
		return &CorruptError{fileName(ck.seq), 0, "the checkpoint needs it, and it is missing"}
	}
	return nil
}

func seqOf(name string) (uint64, bool) {
	stem, ok := strings.CutSuffix(name, ".wal")
	if !ok || len(stem) != 20 {
		return 0, false
	}
	seq, err := strconv.ParseUint(stem, 10, 64)
	return seq, err == nil
}

// header takes the file name into the list, when it fits behind the ones before.
func (r *recovery) header(name string, seq uint64) error {
	v, err := r.o.FS.Open(name, r.flag)
	if err != nil {
		return err
	}
	if !v.Direct() {
		vfs.Forget(v) // else it is read past the page cache
	}
	f := &file{f: v, name: name, seq: seq, used: page}
	f.refs.Store(1)
	if seq < r.ck.seq {
		f.size, err = v.Size()
		r.needless = append(r.needless, f)
		return err
	}
	var h fileHeader
	b := r.w.room(0)[:page]
	n, err := v.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		f.Release()
		return err
	}
	why := h.decode(b[:n])
	if why == "" {
		why = r.fits(&h, seq)
	}
	if why != "" {
		f.Release()
		return &CorruptError{name, 0, why}
	}
	f.base, f.size = h.base, h.size
	r.files, r.headers = append(r.files, f), append(r.headers, h)
	return nil
}

// fits says why a file with header h cannot be the next one of the log, or "".
func (r *recovery) fits(h *fileHeader, seq uint64) string {
	want, base := r.ck.seq, r.ck.base
	if k := len(r.headers); k > 0 {
		want, base = r.headers[k-1].seq+1, r.headers[k-1].base+r.headers[k-1].size
	}
	switch {
	case h.incarnation != r.o.Incarnation:
		return whyIncarnation
	case h.seq != seq:
		return fmt.Sprintf("its header is that of file %d", h.seq)
	case seq != want:
		return fmt.Sprintf("%s, which comes before it, is missing", fileName(want))
	case h.base != base || h.size < page:
		return "its place in the log does not fit the file before it"
	}
	return ""
}

// read replays groups one after the other until there is none with the next number.
func (r *recovery) read() error {
	var before []StreamID
	for i := 0; i >= 0 && i < len(r.files); {
		if err := r.readFile(i); err != nil {
			return err
		}
		live := &r.files[i].live
		live.pack(slices.Sorted(maps.Keys(live.open)), before)
		before = live.streams
		var err error
		if i, err = r.continued(i + 1); err != nil {
			return err
		}
	}
	return nil
}

// readFile replays the groups at the beginning of a file.
func (r *recovery) readFile(i int) error {
	f := r.files[i]
	for {
		var g groupHeader
		b, err := r.w.group(f, &r.headers[i], f.used, &g)
		if err != nil {
			return err
		}
		if b == nil || g.number != r.next {
			return nil
		}
		if !intact(b, &g) {
			r.broken = f
			return nil
		}
		r.broken = nil
		if f.first == 0 {
			f.first = g.number
		}
		if err := r.entries(f, b, &g); err != nil {
			return err
		}
		f.used += int64(g.total)
		r.next, r.last, r.end, r.tidy = r.next+1, i, f.used, g.flags&flagClosing != 0
	}
}

// continued returns the first file from i on that begins with the next group, or -1.
func (r *recovery) continued(i int) (int, error) {
	for ; i < len(r.files); i++ {
		var g groupHeader
		ok, err := r.w.header(r.files[i], &r.headers[i], page, &g)
		if err != nil {
			return 0, err
		}
		if ok && g.number == r.next {
			return i, nil
		}
	}
	return -1, nil
}

// entries replays a group whose frames are intact.
func (r *recovery) entries(f *file, b []byte, g *groupHeader) error {
	return eachFrame(b, g, func(h *frameHeader, at int) error {
		if h.kind&Truncates != 0 {
			lower(r.files, h.stream, h.end)
		}
		f.live.set(h.stream, h.end)
		if r.replay == nil {
			return nil
		}
		return r.replay(Replayed{h.stream, h.kind, h.end, Loc{f.base + f.used + int64(at), int32(h.len)}, b[at : at+int(h.len)]})
	})
}

// judge decides whether the log may end where it seems to: not when anything says that the group which would follow
// was durable.
func (r *recovery) judge() error {
	if mutant.On(mutant.CutDamage) {
		return nil
	}
	i, pos := max(r.last, 0), r.end
	name := fileName(r.ck.seq)
	if len(r.files) > 0 {
		name = r.files[i].name
	}
	if r.broken != nil {
		name, pos = r.broken.name, r.broken.used
	}
	damaged := func(why string, args ...any) error {
		return &CorruptError{name, max(pos, page), fmt.Sprintf(why, args...)}
	}
	if r.bare && r.last >= 0 {
		// The first start writes one before the first entry.
		return &CorruptError{checkpointName, 0, "it is missing, and there are entries"}
	}
	for k := i; k < len(r.files); k++ {
		if k == r.last && r.tidy {
			continue // nothing was written behind a closing mark
		}
		witness, err := r.w.witness(r.files[k], &r.headers[k], r.files[k].used, r.next)
		if err != nil {
			return err
		}
		if witness != 0 {
			return damaged("group %d is missing or torn, but group %d in %s was written after it was durable", r.next, witness, r.files[k].name)
		}
	}
	if r.ck.durable >= r.next {
		return damaged("the checkpoint says that group %d was durable", r.ck.durable)
	}
	if r.closed >= r.next {
		return damaged("the log went up to group %d when it was closed", r.closed)
	}
	for _, h := range r.headers[r.last+1:] {
		if h.durable >= r.next {
			return damaged("file %d says that group %d was durable", h.seq, h.durable)
		}
	}
	return r.checkSizes()
}

// kept is the files with entries.
func (r *recovery) kept() []*file { return r.files[: r.last+1 : r.last+1] }

// surplus is the files behind them.
func (r *recovery) surplus() []*file { return r.files[r.last+1:] }

// place is the number and the base of the file to be made.
func (r *recovery) place() (seq uint64, base int64) {
	if r.last < 0 {
		return r.ck.seq, r.ck.base
	}
	h := &r.headers[r.last]
	return h.seq + 1, h.base + h.size
}

// cutTail ends the last file behind its last group, durably.
func (r *recovery) cutTail() error {
	if r.last < 0 {
		return nil
	}
	f := r.files[r.last]
	size, err := f.f.Size()
	if err != nil || size <= r.end {
		return err
	}
	if err := f.f.Truncate(r.end); err != nil {
		return fmt.Errorf("cut %s at %d: %w", f.name, r.end, err)
	}
	return f.f.Sync()
}
