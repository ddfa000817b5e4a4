package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

// A fileClass is files that do the same, and how often one of them is damaged.
type fileClass struct {
	name    string
	weight  int
	pattern *regexp.Regexp
	// heads is where a structure begins every so many bytes: there a bit does the most harm.
	heads int64
}

func newFileClass(name string, weight int, pattern string, heads int64) fileClass {
	return fileClass{name, weight, regexp.MustCompile("^" + pattern + "$"), heads}
}

// corruptClasses are all files that a stopped node leaves; one that is none of them fails the test.
var corruptClasses = []fileClass{
	newFileClass("WAL files", 7, `wal/\d{20}\.wal`, 4096),
	newFileClass("WAL spares", 1, `wal/\d+\.(spare|tmp)`, 0),
	newFileClass("WAL checkpoint", 3, `wal/checkpoint`, 0),
	newFileClass("WAL closed mark", 2, `wal/closed`, 0),
	newFileClass("WAL cut mark", 1, `wal/cut`, 0),
	newFileClass("segment data", 5, `partitions/[^/]+/\d{20}\.seg`, 0),
	newFileClass("segment indexes", 4, `partitions/[^/]+/\d{20}\.idx`, 48),
	newFileClass("raft.db", 8, `metalog/raft\.db`, 4096),
	newFileClass("raft snapshots' state", 8, `metalog/snapshots/[^/]+/state\.bin`, 0),
	newFileClass("raft snapshots' meta", 10, `metalog/snapshots/[^/]+/meta\.json`, 0),
	newFileClass("raft snapshots' seal", 3, `metalog/snapshots/[^/]+/seal`, 0),
	newFileClass("node.id", 2, `metalog/node\.id`, 0),
	newFileClass("log.end", 2, `metalog/log\.end`, 0),
	newFileClass("locks", 1, `(metalog|wal)/lock`, 0),
}

func classOf(file string) (fileClass, bool) {
	i := slices.IndexFunc(corruptClasses, func(c fileClass) bool { return c.pattern.MatchString(file) })
	if i < 0 {
		return fileClass{}, false
	}
	return corruptClasses[i], true
}

// The ways to damage a file.
const (
	bitFlips     = "bits flipped"
	zeroedSector = "512 bytes zeroed"
	zeroedPage   = "4 KiB zeroed"
	swapped      = "sectors swapped"
	foreign      = "another file's sectors"
	truncated    = "truncated"
	extended     = "extended"
	missingFile  = "missing"
	olderVersion = "an older version"
)

var corruptWays = []struct {
	name   string
	weight int
	damage func(*injuring) *stored
}{
	{bitFlips, 9, (*injuring).flips},
	{zeroedSector, 3, (*injuring).zeroSector},
	{zeroedPage, 3, (*injuring).zeroPage},
	{swapped, 3, (*injuring).swap},
	{foreign, 3, (*injuring).foreign},
	{truncated, 3, (*injuring).truncate},
	{extended, 2, (*injuring).extend},
	{missingFile, 1, func(*injuring) *stored { return nil }},
	{olderVersion, 3, (*injuring).older},
}

// An injury is one file that is not any more what it was.
type injury struct {
	file  string
	class string
	way   string
	left  *stored // nil: the file is missing
	spans []span  // where it is another
	older *corruptVersion
}

func (i injury) String() string {
	return fmt.Sprintf("%s: %s (%s) %v", i.file, i.way, i.class, i.spans[:min(len(i.spans), 4)])
}

// injuring chooses an injury of a base.
type injuring struct {
	*corruptBase
	*rand.Rand
	file    string
	class   fileClass
	content *stored
	version *corruptVersion
}

// injure tries until something has changed.
func injure(b *corruptBase, r *rand.Rand) injury {
	for {
		j := &injuring{corruptBase: b, Rand: r}
		j.class = j.pickClass()
		files := b.filesOf(j.class)
		j.file = files[r.IntN(len(files))]
		j.content = b.files[j.file]
		way := corruptWays[weighted(r, len(corruptWays), func(i int) int { return corruptWays[i].weight })]
		left := way.damage(j)
		if way.name == missingFile {
			return injury{file: j.file, class: j.class.name, way: way.name, spans: []span{{0, max(j.content.size, 1)}}}
		}
		if left != nil && !left.equal(j.content) {
			return injury{j.file, j.class.name, way.name, left, differences(j.content, left), j.version}
		}
	}
}

func (j *injuring) pickClass() fileClass {
	i := weighted(j.Rand, len(corruptClasses), func(i int) int {
		if len(j.filesOf(corruptClasses[i])) == 0 {
			return 0
		}
		return corruptClasses[i].weight
	})
	return corruptClasses[i]
}

func weighted(r *rand.Rand, n int, weight func(int) int) int {
	total := 0
	for i := range n {
		total += weight(i)
	}
	at := r.IntN(total)
	for i := range n {
		if at -= weight(i); at < 0 {
			return i
		}
	}
	return n - 1
}

// sector chooses one that is to be damaged; most are not zeros.
func (j *injuring) sector(of *stored) int64 {
	sectors := j.filledOf(of)
	if len(sectors) == 0 || j.IntN(10) == 0 {
		return j.Int64N(max(of.size, 1)) &^ (corruptSector - 1)
	}
	if last := j.last[j.file]; len(last) > 0 && of == j.content && j.IntN(4) == 0 {
		return last[j.IntN(len(last))].from &^ (corruptSector - 1) // the only one that may go without a word
	}
	if j.class.heads > 0 && of == j.content && j.IntN(3) == 0 {
		return sectors[j.IntN(len(sectors))] / j.class.heads * j.class.heads
	}
	return sectors[j.IntN(len(sectors))]
}

// flips turns one bit, or a few close together.
func (j *injuring) flips() *stored {
	if j.content.size == 0 {
		return nil
	}
	at := j.sector(j.content)
	room := min(corruptSector, j.content.size-at)
	if j.class.heads > 0 && j.IntN(2) == 0 {
		room = min(room, 128) // heads of pages, and the first elements
	}
	at += j.Int64N(room)
	b := j.content.bytes(at, 1)
	b[0] ^= 1 << j.IntN(8)
	left := j.content.with(at, b)
	for range j.IntN(3) * j.IntN(3) {
		near := at + j.Int64N(min(16, j.content.size-at))
		b := left.bytes(near, 1)
		b[0] ^= 1 << j.IntN(8)
		left = left.with(near, b)
	}
	return left
}

func (j *injuring) zero(n int64) *stored {
	at := j.sector(j.content) &^ (n - 1)
	if n = min(n, j.content.size-at); n <= 0 {
		return nil
	}
	return j.content.with(at, make([]byte, n))
}

func (j *injuring) zeroSector() *stored { return j.zero(corruptSector) }
func (j *injuring) zeroPage() *stored   { return j.zero(4096) }

func (j *injuring) swap() *stored {
	a, b := j.sector(j.content), j.sector(j.content)
	if max(a, b)+corruptSector > j.content.size {
		return nil
	}
	return j.content.with(a, j.content.bytes(b, corruptSector)).with(b, j.content.bytes(a, corruptSector))
}

// foreign takes the place of some sectors by another file's, mostly one of the same kind and sometimes the same place.
func (j *injuring) foreign() *stored {
	from := j.filesOf(j.class)
	if j.IntN(3) == 0 {
		from = j.filesOf(j.pickClass())
	}
	other := j.files[from[j.IntN(len(from))]]
	n := int64(corruptSector) << (3 * j.IntN(2)) // or a page
	to, at := j.sector(j.content)&^(n-1), j.sector(other)&^(n-1)
	if j.IntN(2) == 0 {
		at = to
	}
	if n = min(n, j.content.size-to, other.size-at); n <= 0 {
		return nil
	}
	return j.content.with(to, other.bytes(at, n))
}

func (j *injuring) truncate() *stored {
	size := j.Int64N(max(j.content.size, 1))
	switch j.IntN(4) {
	case 0:
		size = j.sector(j.content)
	case 1:
		size = j.sector(j.content) &^ 4095
	case 2:
		size = max(j.content.size-1-j.Int64N(100), 0)
	}
	return j.content.cut(min(size, j.content.size))
}

func (j *injuring) extend() *stored {
	b := make([]byte, 1+j.IntN(2*4096))
	if j.IntN(2) == 0 {
		for i := range b {
			b[i] = byte(j.Uint32())
		}
	}
	return j.content.with(j.content.size, b)
}

func (j *injuring) older() *stored {
	v := j.versions[j.IntN(len(j.versions))]
	j.version = v
	return v.files[j.file]
}

// place writes the base with its injury to dir.
func (i injury) place(b *corruptBase, dir string) error {
	for name, s := range b.files {
		if name == i.file {
			s = i.left
		} else if filepath.Ext(name) == ".spare" {
			continue // of no use to a node that is about to stop, and the largest part
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if s == nil {
			continue // missing
		}
		if err := s.write(path); err != nil {
			return err
		}
	}
	return nil
}
