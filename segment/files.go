package segment

import (
	"container/list"
	"sync"

	"chronik/wal/vfs"
)

// Files keeps a bounded number of segments open, the ones used last, with a bounded amount of index in memory. Those in
// use stay open beyond the bounds.
type Files struct {
	maxOpen  int
	maxBytes int64

	mu    sync.Mutex
	lru   list.List // of *opened, most recently used first; all that are not evicted
	bytes int64     // of indexes
}

// NewFiles returns bounds of maxOpen open files and maxBytes bytes of index.
func NewFiles(maxOpen int, maxBytes int64) *Files {
	return &Files{maxOpen: maxOpen, maxBytes: maxBytes}
}

var shared = NewFiles(512, 64<<20)

// chunkMemory is about what a chunk takes in memory.
const chunkMemory = 48

// opened is a segment's open data file and its index. Each extent that was read holds a reference.
type opened struct {
	files *Files
	seg   *Segment
	data  vfs.File
	ix    index // guarded by seg.mu

	refs    int // guarded by files.mu, as is what follows
	place   *list.Element
	bytes   int64
	evicted bool // closed with the last reference
}

// use returns the segment's open files with one more reference, or nil when they are not open.
func (f *Files) use(s *Segment) *opened {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := s.open
	if o != nil {
		o.refs++
		f.lru.MoveToFront(o.place)
	}
	return o
}

// keep takes o, with one reference, for the segment's open files and closes others that became too many.
func (f *Files) keep(o *opened) {
	f.mu.Lock()
	o.refs, o.seg.open = 1, o
	o.place = f.lru.PushFront(o)
	o.bytes = int64(len(o.ix.chunks)) * chunkMemory
	f.bytes += o.bytes
	victims := f.overflow()
	f.mu.Unlock()
	closeAll(victims)
}

// grown accounts for as many chunks more.
func (f *Files) grown(o *opened, chunks int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !o.evicted {
		o.bytes += int64(chunks) * chunkMemory
		f.bytes += int64(chunks) * chunkMemory
	}
}

// overflow evicts what nobody uses until the bounds hold; the caller closes it.
func (f *Files) overflow() (victims []*opened) {
	for e := f.lru.Back(); e != nil && (f.lru.Len() > f.maxOpen || f.bytes > f.maxBytes); {
		o := e.Value.(*opened)
		e = e.Prev()
		if o.refs == 0 {
			f.evict(o)
			victims = append(victims, o)
		}
	}
	return victims
}

func (f *Files) evict(o *opened) {
	f.lru.Remove(o.place)
	f.bytes -= o.bytes
	o.evicted = true
	o.seg.open = nil
}

// drop closes the segment's files as soon as nobody uses them.
func (f *Files) drop(s *Segment) {
	f.mu.Lock()
	o := s.open
	if o != nil {
		f.evict(o)
	}
	idle := o != nil && o.refs == 0
	f.mu.Unlock()
	if idle {
		o.data.Close()
	}
}

// Release makes opened the Ref of an extent.
func (o *opened) Release() {
	f := o.files
	f.mu.Lock()
	if o.refs--; o.refs < 0 {
		panic("segment: released more often than read")
	}
	victims := f.overflow()
	if o.evicted && o.refs == 0 && !contains(victims, o) {
		victims = append(victims, o)
	}
	f.mu.Unlock()
	closeAll(victims)
}

func (o *opened) retain() {
	o.files.mu.Lock()
	o.refs++
	o.files.mu.Unlock()
}

func contains(list []*opened, o *opened) bool {
	for _, p := range list {
		if p == o {
			return true
		}
	}
	return false
}

// closeAll closes data files. They were only read, or synced since the last write: closing cannot lose anything.
func closeAll(victims []*opened) {
	for _, o := range victims {
		o.data.Close()
	}
}

// acquire returns the open files with a reference for the caller, opening them when nobody has them open.
func (s *Segment) acquire() (*opened, error) {
	if o := s.o.Files.use(s); o != nil {
		return o, nil
	}
	s.loading.Lock()
	defer s.loading.Unlock()
	if o := s.o.Files.use(s); o != nil {
		return o, nil
	}
	o, err := s.load()
	if err != nil {
		return nil, err
	}
	s.o.Files.keep(o)
	return o, nil
}
