package metalog

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"chronik/wal/campaign"
)

// tree is a directory's files, by their paths in it; a name with a slash behind it is an empty directory.
type tree map[string]pages

func readTree(t testing.TB, dir string) tree {
	t.Helper()
	all := tree{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all[name] = readPages(t, filepath.Join(dir, name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (a tree) write(t testing.TB, dir string) {
	t.Helper()
	for name, content := range a {
		path := filepath.Join(dir, name)
		sub := filepath.Dir(path)
		if strings.HasSuffix(name, "/") {
			sub = path
		}
		if err := os.MkdirAll(sub, 0o700); err != nil {
			t.Fatal(err)
		}
		if sub != path {
			content.write(t, path)
		}
	}
}

// with is the tree with other files, of which a nil is no file.
func (a tree) with(files map[string]*pages) tree {
	b := maps.Clone(a)
	for name, p := range files {
		if p == nil {
			delete(b, name)
		} else {
			b[name] = *p
		}
	}
	return b
}

// under is the files below a directory.
func (a tree) under(dir string) []string {
	var names []string
	for name := range a {
		if strings.HasPrefix(name, dir+"/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// unsynced is what a disk may have of a file that was never synced: any of its sectors, and any size.
func unsynced(r *rand.Rand, p pages) *pages {
	left := pages{p.size, map[int64][]byte{}}
	switch r.IntN(4) {
	case 0:
		left.size = r.Int64N(p.size + 1)
	case 1:
		left.size = 0
	}
	chance := r.IntN(3)
	for i, b := range p.at {
		page := make([]byte, pageSize)
		for at := 0; at < pageSize; at += sectorSize {
			if r.IntN(2) < chance {
				copy(page[at:at+sectorSize], b[at:])
			}
		}
		left.at[i] = page
	}
	return &left
}

func text2pages(b []byte) *pages {
	page := make([]byte, pageSize)
	copy(page, b)
	return &pages{int64(len(b)), map[int64][]byte{0: page}}
}

// starts opens what is left of a directory, in full.
type starts struct {
	t     *testing.T
	r     *rand.Rand
	dir   string
	count int
}

// goesOn opens the directory, asks check, proposes a topic, and opens it again.
func (s *starts) goesOn(what string, left tree, check func(l *Log) error) {
	s.t.Helper()
	s.count++
	dir := filepath.Join(s.dir, fmt.Sprint("left-", s.count))
	left.write(s.t, dir)
	defer os.RemoveAll(dir)
	var who identity
	var topics int
	for again := range 2 {
		l, err := Open(Options{Dir: dir, NodeID: 1})
		if err != nil {
			s.t.Fatalf("%s, start %d: %v", what, again+1, err)
		}
		err = check(l)
		if _, found := l.Image().TopicNamed("one more"); again == 1 && (!found || l.identity != who || l.Image().TopicCount() != topics) {
			err = errors.Join(err, errors.New("what came after the power cut is lost"))
		}
		if again == 0 {
			mustPropose(s.t, l, topic("one more"))
			who, topics = l.identity, l.Image().TopicCount()
		}
		if err = errors.Join(err, l.Close()); err != nil {
			s.t.Fatalf("%s, start %d: %v", what, again+1, err)
		}
	}
}

// The steps of a first start (open.go: beginStored, agree): raft.db.tmp is written and closed, synced, renamed, the
// directory synced; node.id.tmp written, synced, renamed, the directory synced; the directory of the snapshots made.
func (s *starts) first() {
	begun := quietStart(filepath.Join(s.dir, "begun"))
	if err := os.MkdirAll(begun.Dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	who, err := begun.beginStored()
	if err != nil {
		s.t.Fatal(err)
	}
	db := readPages(s.t, filepath.Join(begun.Dir, storeFile))
	id := text2pages(who.text())
	const dbTmp, idTmp = storeFile + ".tmp", identityFile + ".tmp"
	fresh, known := func(*Log) error { return nil }, func(l *Log) error {
		if l.identity != who {
			return errors.New("another identity than the store's")
		}
		return nil
	}
	named := tree{lockFile: {}, storeFile: db}
	for _, state := range []struct {
		what  string
		left  tree
		check func(*Log) error
	}{
		{"nothing", tree{"./": {}}, fresh},
		{"part of the store", tree{lockFile: {}, dbTmp: *unsynced(s.r, db)}, fresh},
		{"the store, not renamed", tree{lockFile: {}, dbTmp: db}, fresh},
		{"the store", named, known},
		{"the store, and what was left of an earlier try", named.with(map[string]*pages{dbTmp: unsynced(s.r, db)}), known},
		{"part of the identity", named.with(map[string]*pages{idTmp: unsynced(s.r, *id)}), known},
		{"the identity, not renamed", named.with(map[string]*pages{idTmp: id}), known},
		{"the identity", named.with(map[string]*pages{identityFile: id}), known},
		{"the directory of the snapshots", named.with(map[string]*pages{identityFile: id, snapshotsDir + "/": {}}), known},
	} {
		s.goesOn("a first start of which the disk has "+state.what, state.left, state.check)
	}
}

// snapshotted is a log with snapshots, as its directory was before the last of them, before raft deleted the entries
// that it stands for, and after.
type snapshotted struct {
	before, made, after tree
	image               string
}

// compacting calls deleting before entries are deleted.
type compacting struct {
	backend
	deleting func()
}

func (c *compacting) DeleteRange(min, max uint64) error {
	c.deleting()
	return c.backend.DeleteRange(min, max)
}

func (s *starts) snapshots() (x snapshotted) {
	dir := filepath.Join(s.dir, "snapshots")
	c := &compacting{deleting: func() {}}
	l, err := open(Options{Dir: dir, NodeID: 1}, func(b backend) backend { c.backend = b; return c })
	if err != nil {
		s.t.Fatal(err)
	}
	config := l.raft.ReloadableConfig()
	config.TrailingLogs = uint64(1 + s.r.IntN(12)) // few: then the snapshots count; not none, as a log always reaches its snapshot
	if err := l.raft.ReloadConfig(config); err != nil {
		s.t.Fatal(err)
	}
	rounds := 1 + s.r.IntN(4)
	for round := range rounds {
		for i := range 13 + s.r.IntN(10) {
			mustPropose(s.t, l, topic(fmt.Sprint(round, "-", i)))
		}
		if round == rounds-1 {
			x.before = readTree(s.t, dir)
			c.deleting = func() { x.made = readTree(s.t, dir) }
		}
		if err := l.raft.Snapshot().Error(); err != nil {
			s.t.Fatal(err)
		}
	}
	x.after, x.image = readTree(s.t, dir), hash(s.t, l.Image())
	if x.made == nil {
		s.t.Fatal("raft deleted nothing")
	}
	mustClose(s.t, l)
	return x
}

// names are the directories of the snapshot that was made, and of the one that went for it, if any.
func (x snapshotted) names() (made, gone string) {
	dirs := func(a tree) map[string]bool {
		all := map[string]bool{}
		for _, name := range a.under(snapshotsDir) {
			all[filepath.Dir(name)] = true
		}
		return all
	}
	before, now := dirs(x.before), dirs(x.made)
	for dir := range now {
		if !before[dir] {
			made = dir
		}
	}
	for dir := range before {
		if !now[dir] {
			gone = dir
		}
	}
	return made, gone
}

// The steps of a snapshot (raft's file_snapshot.go, our start.go): NAME.tmp is made, meta.json written in it, state.bin,
// then meta.json again; each is synced; the directory is renamed, the one above synced; older snapshots are removed, file
// by file; the new one's directory is synced; then raft deletes entries.
func (s *starts) snapshot() {
	x := s.snapshots()
	made, gone := x.names()
	same := func(l *Log) error {
		m := l.Image()
		if _, more := m.TopicNamed("one more"); !more && hash(s.t, m) != x.image {
			return errors.New("another image")
		}
		return nil
	}
	half := map[string]*pages{}
	for _, name := range x.made.under(made) {
		content := x.made[name]
		if s.r.IntN(3) > 0 {
			half[strings.Replace(name, made, made+".tmp", 1)] = unsynced(s.r, content)
		}
	}
	old := map[string]*pages{} // what is left of the one that goes: its removal is not synced
	for _, name := range x.before.under(gone) {
		if content := x.before[name]; gone != "" && s.r.IntN(2) == 0 {
			old[name] = &content
		}
	}
	nameless := maps.Clone(old) // before its directory is synced, its files may have no names
	for _, name := range x.made.under(made) {
		if s.r.IntN(2) == 0 {
			nameless[name] = nil
		}
	}
	for _, name := range x.before.under(gone) {
		if content := x.before[name]; gone != "" {
			nameless[name] = &content // nothing has synced its removal
		}
	}
	s.goesOn("before the snapshot", x.before, same)
	s.goesOn("part of the snapshot", x.before.with(half), same)
	s.goesOn("a snapshot without its files, and all entries", x.made.with(nameless), same)
	s.goesOn("the snapshot, and all entries", x.made.with(old), same)
	s.goesOn("the snapshot, and a part of the one before", x.after.with(old), same)
	db := x.made[storeFile]
	tx, err := difference(db, x.after[storeFile])
	if err != nil {
		s.t.Fatal(err)
	}
	all := tx.cuts(s.r)
	cut := all[s.r.IntN(len(all))]
	s.goesOn("the snapshot, and of the entries' deletion "+cut.what, x.after.with(map[string]*pages{storeFile: &cut.left}), same)
}

func TestFaultsNoPowerCutStopsAFirstStart(t *testing.T) {
	plan := campaign.Plan{Name: "metadata log: first starts cut short", Unit: "states", Glance: 9, Share: 90, Soak: 900, Workers: 2}
	campaign.Run(t, plan, func(t *testing.T, seed uint64) campaign.Counts {
		s := &starts{t: t, r: rand.New(rand.NewPCG(seed, 3)), dir: memoryDir(t)}
		s.first()
		return campaign.Counts{"states": int64(s.count)}
	})
}

func TestFaultsNoPowerCutInASnapshotLosesAnything(t *testing.T) {
	plan := campaign.Plan{Name: "metadata log: snapshots cut short", Unit: "states", Glance: 6, Share: 120, Soak: 1200, Workers: 2}
	campaign.Run(t, plan, func(t *testing.T, seed uint64) campaign.Counts {
		s := &starts{t: t, r: rand.New(rand.NewPCG(seed, 4)), dir: memoryDir(t)}
		s.snapshot()
		return campaign.Counts{"states": int64(s.count)}
	})
}
