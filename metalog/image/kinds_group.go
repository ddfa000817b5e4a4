package image

// The records about groups. Version 1 is of the time when there was one coordinator: its records have no owner.

func writeGroup(dst []byte, r GroupRecord) []byte {
	return appendOwner(appendGroup(dst, r.Group), r.Owner, r.OwnerEpoch)
}

func readGroupRecord(f *fields) GroupRecord {
	r := readGroupRecord1(f)
	r.Owner, r.OwnerEpoch = readOwner(f)
	return r
}

func readGroupRecord1(f *fields) GroupRecord {
	return GroupRecord{Group: readGroup(f), Owner: NoBroker, OwnerEpoch: -1}
}

func writeRemoveGroup(dst []byte, r RemoveGroupRecord) []byte {
	return appendOwner(appendString(dst, r.ID), r.Owner, r.OwnerEpoch)
}

func readRemoveGroup(f *fields) RemoveGroupRecord {
	r := readRemoveGroup1(f)
	r.Owner, r.OwnerEpoch = readOwner(f)
	return r
}

func readRemoveGroup1(f *fields) RemoveGroupRecord {
	return RemoveGroupRecord{ID: f.string(), Owner: NoBroker, OwnerEpoch: -1}
}

func writeOffsets(dst []byte, r OffsetsRecord) []byte {
	return appendOwner(writeOffsets1(dst, r), r.Owner, r.OwnerEpoch)
}

// writeOffsets1 is how a snapshot has a group's offsets.
func writeOffsets1(dst []byte, r OffsetsRecord) []byte {
	return appendList(appendString(dst, r.Group), r.Offsets, appendPartitionOffset)
}

func readOffsets(f *fields) OffsetsRecord {
	r := readOffsets1(f)
	r.Owner, r.OwnerEpoch = readOwner(f)
	return r
}

func readOffsets1(f *fields) OffsetsRecord {
	return OffsetsRecord{Group: f.string(), Offsets: list(f, readPartitionOffset), Owner: NoBroker, OwnerEpoch: -1}
}

func writeRemoveOffsets(dst []byte, r RemoveOffsetsRecord) []byte {
	return appendOwner(appendList(appendString(dst, r.Group), r.Partitions, appendTopicPartition), r.Owner, r.OwnerEpoch)
}

func readRemoveOffsets(f *fields) RemoveOffsetsRecord {
	r := readRemoveOffsets1(f)
	r.Owner, r.OwnerEpoch = readOwner(f)
	return r
}

func readRemoveOffsets1(f *fields) RemoveOffsetsRecord {
	return RemoveOffsetsRecord{Group: f.string(), Partitions: list(f, readTopicPartition), Owner: NoBroker, OwnerEpoch: -1}
}

func appendOwner(dst []byte, id BrokerID, epoch int64) []byte {
	return appendInt(appendInt(dst, id), epoch)
}

func readOwner(f *fields) (BrokerID, int64) {
	id := number[BrokerID](f)
	return id, number[int64](f)
}
