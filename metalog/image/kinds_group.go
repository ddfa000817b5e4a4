package image

// The records about groups. Version 1 is of the time when there was one coordinator: its records have no owner. Those of
// version 2 do not say since when the owner has the group.

func writeGroup(dst []byte, r GroupRecord) []byte {
	return appendOwner(appendGroup(dst, r.Group), r.Owner, r.OwnerEpoch, r.OwnerSince)
}

func readGroupRecord(f *fields) GroupRecord {
	r := readGroupRecord2(f)
	r.OwnerSince = number[int64](f)
	return r
}

func readGroupRecord2(f *fields) GroupRecord {
	r := readGroupRecord1(f)
	r.Owner, r.OwnerEpoch = readOwner(f)
	return r
}

func readGroupRecord1(f *fields) GroupRecord {
	return GroupRecord{Group: readGroup(f), Owner: NoBroker, OwnerEpoch: -1, OwnerSince: -1}
}

func writeRemoveGroup(dst []byte, r RemoveGroupRecord) []byte {
	return appendOwner(appendString(dst, r.ID), r.Owner, r.OwnerEpoch, r.OwnerSince)
}

func readRemoveGroup(f *fields) RemoveGroupRecord {
	r := readRemoveGroup2(f)
	r.OwnerSince = number[int64](f)
	return r
}

func readRemoveGroup2(f *fields) RemoveGroupRecord {
	r := readRemoveGroup1(f)
	r.Owner, r.OwnerEpoch = readOwner(f)
	return r
}

func readRemoveGroup1(f *fields) RemoveGroupRecord {
	return RemoveGroupRecord{ID: f.string(), Owner: NoBroker, OwnerEpoch: -1, OwnerSince: -1}
}

func writeOffsets(dst []byte, r OffsetsRecord) []byte {
	return appendOwner(writeOffsets1(dst, r), r.Owner, r.OwnerEpoch, r.OwnerSince)
}

// writeOffsets1 is how a snapshot has a group's offsets.
func writeOffsets1(dst []byte, r OffsetsRecord) []byte {
	return appendList(appendString(dst, r.Group), r.Offsets, appendPartitionOffset)
}

func readOffsets(f *fields) OffsetsRecord {
	r := readOffsets2(f)
	r.OwnerSince = number[int64](f)
	return r
}

func readOffsets2(f *fields) OffsetsRecord {
	r := readOffsets1(f)
	r.Owner, r.OwnerEpoch = readOwner(f)
	return r
}

func readOffsets1(f *fields) OffsetsRecord {
	return OffsetsRecord{Group: f.string(), Offsets: list(f, readPartitionOffset), Owner: NoBroker, OwnerEpoch: -1, OwnerSince: -1}
}

func writeRemoveOffsets(dst []byte, r RemoveOffsetsRecord) []byte {
	return appendOwner(appendList(appendString(dst, r.Group), r.Partitions, appendTopicPartition), r.Owner, r.OwnerEpoch, r.OwnerSince)
}

func readRemoveOffsets(f *fields) RemoveOffsetsRecord {
	r := readRemoveOffsets2(f)
	r.OwnerSince = number[int64](f)
	return r
}

func readRemoveOffsets2(f *fields) RemoveOffsetsRecord {
	r := readRemoveOffsets1(f)
	r.Owner, r.OwnerEpoch = readOwner(f)
	return r
}

func readRemoveOffsets1(f *fields) RemoveOffsetsRecord {
	return RemoveOffsetsRecord{Group: f.string(), Partitions: list(f, readTopicPartition), Owner: NoBroker, OwnerEpoch: -1, OwnerSince: -1}
}

func appendOwner(dst []byte, id BrokerID, epoch, since int64) []byte {
	return appendInt(appendInt(appendInt(dst, id), epoch), since)
}

func readOwner(f *fields) (BrokerID, int64) {
	id := number[BrokerID](f)
	return id, number[int64](f)
}
