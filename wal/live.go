package wal

import (
	"maps"
	"math"
	"slices"
)

// live is the streams whose entries in a file are still needed, with the greatest end of each. A large log has hundreds of files
// with entries of every stream: those that are full have two sorted slices, with less than half of a map's memory, or a quarter
// where the file before has entries of the same streams.
type live struct {
	open    map[StreamID]int64 // nil when it is packed
	streams []StreamID         // never changed, but replaced; other files may have it too
	ends    []int64            // of streams; unneeded when trimmed
	n       int                // of ends that are needed
}

const unneeded = math.MinInt64

func (v *live) len() int { return len(v.open) + v.n }

// set notes an entry, and says whether it is the first of its stream. It must not be packed.
func (v *live) set(stream StreamID, end int64) (first bool) {
	if v.open == nil {
		v.open = map[StreamID]int64{}
	}
	n := len(v.open)
	v.open[stream] = end
	return len(v.open) > n
}

// lower has no more of the stream needed than up to end.
func (v *live) lower(stream StreamID, end int64) {
	if last, ok := v.open[stream]; ok && last > end {
		v.open[stream] = end
	}
	if i, ok := slices.BinarySearch(v.streams, stream); ok && v.ends[i] > end {
		v.ends[i] = end
	}
}

// trim has nothing of the stream needed when all of it ends at or before end, and says whether that made a difference.
func (v *live) trim(stream StreamID, end int64) (gone bool) {
	if last, ok := v.open[stream]; ok && last <= end {
		delete(v.open, stream)
		return true
	}
	i, ok := slices.BinarySearch(v.streams, stream)
	if !ok || v.ends[i] > end || v.ends[i] == unneeded {
		return false
	}
	v.ends[i] = unneeded
	if v.n--; v.n == 0 {
		v.streams, v.ends = nil, nil
	}
	return true
}

// appendTo appends the streams, in no order.
func (v *live) appendTo(all []StreamID) []StreamID {
	all = slices.AppendSeq(all, maps.Keys(v.open))
	for i, end := range v.ends {
		if end != unneeded {
			all = append(all, v.streams[i])
		}
	}
	return all
}

// pack is for a file that is full; sorted are at least its streams, like those of another one.
func (v *live) pack(sorted, like []StreamID) {
	if v.open == nil {
		return
	}
	v.streams, v.ends, v.n = make([]StreamID, 0, len(v.open)), make([]int64, 0, len(v.open)), len(v.open)
	for _, stream := range sorted {
		if end, ok := v.open[stream]; ok {
			v.streams, v.ends = append(v.streams, stream), append(v.ends, end)
		}
	}
	v.open = nil
	if slices.Equal(v.streams, like) {
		v.streams = like
	}
}

// pack packs what the files have that are full. The streams are sorted while others go on.
func (s *files) pack() {
	all, before := s.unpacked()
	for _, f := range all {
		s.mu.RLock()
		streams := f.live.appendTo(nil)
		s.mu.RUnlock()
		slices.Sort(streams)
		s.mu.Lock()
		f.live.pack(streams, before)
		before = f.live.streams
		s.mu.Unlock()
	}
}

// unpacked are the full files that are to be packed; before is the streams of the last packed one before them.
func (s *files) unpacked() (all []*file, before []StreamID) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, f := range s.list[:max(len(s.list)-1, 0)] {
		switch {
		case f.live.open != nil:
			all = append(all, f)
		case len(all) == 0:
			before = f.live.streams
		}
	}
	return all, before
}
