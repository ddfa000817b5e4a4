package batch

// Assign sets the base offset and the leader epoch in place. Both lie outside the CRC, so the batch stays as the
// producer made it.
func (b Batch) Assign(baseOffset int64, leaderEpoch int32) {
	b.putInt64(0, baseOffset)
	b.putInt32(posEpoch, leaderEpoch)
}

// SetAppendTime makes ms, in milliseconds since 1970, the timestamp of every record (message.timestamp.type =
// LogAppendTime), in place, and recomputes the CRC. BaseTimestamp stays: readers ignore it then.
func (b Batch) SetAppendTime(ms int64) {
	b.putInt16(posAttributes, b.Attributes()|attrLogAppendTime)
	b.putInt64(posMaxTime, ms)
	b.putCRC()
}

// setCreateTime says that the records' own timestamps count, of which max is the greatest.
func (b Batch) setCreateTime(max int64) {
	b.putInt16(posAttributes, b.Attributes()&^attrLogAppendTime)
	b.putInt64(posMaxTime, max)
	b.putCRC()
}
