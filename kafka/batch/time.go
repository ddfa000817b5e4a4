package batch

// FindTime returns the first record of b with an offset of at least from and a timestamp of at least ts. It decompresses
// within limit bytes (0 for MaxDecompressed). When the records cannot be read (a producer may have sent anything: produce
// does not look at them), the batch as a whole is the answer if its greatest timestamp fits.
func (b Batch) FindTime(ts, from int64, limit int) (TimeOffset, bool) {
	if b.MaxTimestamp() < ts || b.LastOffset() < from {
		return TimeOffset{}, false
	}
	return b.find(from, limit, func(r *Record) bool { return r.Timestamp >= ts })
}

// MaxTime returns the first record of b with the batch's greatest timestamp; where the header lies about that, the
// first one with the greatest timestamp that there is. Unreadable records are answered as in FindTime.
func (b Batch) MaxTime(from int64, limit int) (TimeOffset, bool) {
	if b.LastOffset() < from {
		return TimeOffset{}, false
	}
	if t, ok := b.find(from, limit, func(r *Record) bool { return r.Timestamp == b.MaxTimestamp() }); ok {
		return t, true
	}
	greatest := NoTimestamp
	b.find(from, limit, func(r *Record) bool { greatest = max(greatest, r.Timestamp); return false })
	return b.find(from, limit, func(r *Record) bool { return r.Timestamp == greatest })
}

func (b Batch) find(from int64, limit int, is func(*Record) bool) (TimeOffset, bool) {
	whole := TimeOffset{max(b.BaseOffset(), from), b.MaxTimestamp(), b.LeaderEpoch()}
	if b.IsLogAppendTime() {
		return whole, true
	}
	it, err := b.Records(limit)
	if err != nil {
		return whole, true
	}
	defer it.Close()
	it.DropHeaders = true
	for it.Next() {
		if r := &it.Record; r.Offset >= from && is(r) {
			return TimeOffset{r.Offset, r.Timestamp, b.LeaderEpoch()}, true
		}
	}
	return whole, it.Err() != nil
}
