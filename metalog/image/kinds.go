package image

// maxKind is the highest number in the table.
const maxKind = 20

// kinds is every record that may stand in the log, by its number. A number is never used again, also when its record
// has gone; a changed encoding gets the next version, and Decode keeps reading the versions before it, which stand behind
// it, oldest first.
var kinds = [maxKind + 1]kind{
	1:  of("Cluster", writeCluster, readCluster),
	2:  of("Broker", writeBroker, readBroker, readBroker1, readBroker2),
	3:  of("Fence", writeFence, readFence),
	4:  of("Topic", writeTopic, readTopic),
	5:  of("Partition", writePartitionRecord, readPartitionRecord),
	6:  of("PartitionChange", writePartitionChange, readPartitionChange),
	7:  of("RemoveTopic", writeRemoveTopic, readRemoveTopic),
	8:  of("Config", writeConfig, readConfig),
	9:  of("ProducerIDs", writeProducerIDs, readProducerIDs),
	10: of("Feature", writeFeature, readFeature),
	11: of("Group", writeGroup, readGroupRecord, readGroupRecord1, readGroupRecord2),
	12: of("RemoveGroup", writeRemoveGroup, readRemoveGroup, readRemoveGroup1, readRemoveGroup2),
	13: of("Offsets", writeOffsets, readOffsets, readOffsets1, readOffsets2),
	14: of("RemoveOffsets", writeRemoveOffsets, readRemoveOffsets, readRemoveOffsets1, readRemoveOffsets2),
	15: of("ISR", writeISR, readISR),
	16: of("ControlledShutdown", writeControlledShutdown, readControlledShutdown),
	17: of("UnregisterBroker", writeUnregisterBroker, readUnregisterBroker),
	18: of("GroupState", writeGroupState, readGroupState),
	19: of("SetShare", writeSetShare, readSetShare),
	20: of("Share", writeShare, readShare),
}

func (ClusterRecord) Kind() Kind            { return 1 }
func (BrokerRecord) Kind() Kind             { return 2 }
func (FenceRecord) Kind() Kind              { return 3 }
func (TopicRecord) Kind() Kind              { return 4 }
func (PartitionRecord) Kind() Kind          { return 5 }
func (PartitionChange) Kind() Kind          { return 6 }
func (RemoveTopicRecord) Kind() Kind        { return 7 }
func (ConfigRecord) Kind() Kind             { return 8 }
func (ProducerIDsRecord) Kind() Kind        { return 9 }
func (FeatureRecord) Kind() Kind            { return 10 }
func (GroupRecord) Kind() Kind              { return 11 }
func (RemoveGroupRecord) Kind() Kind        { return 12 }
func (OffsetsRecord) Kind() Kind            { return 13 }
func (RemoveOffsetsRecord) Kind() Kind      { return 14 }
func (ISRRecord) Kind() Kind                { return 15 }
func (ControlledShutdownRecord) Kind() Kind { return 16 }
func (UnregisterBrokerRecord) Kind() Kind   { return 17 }
func (GroupStateRecord) Kind() Kind         { return 18 }
func (SetShareRecord) Kind() Kind           { return 19 }
func (ShareRecord) Kind() Kind              { return 20 }

// String is the record's name, "?" for a kind that is not in the table.
func (k Kind) String() string {
	if kind, ok := kindOf(k); ok {
		return kind.name
	}
	return "?"
}

type kind struct {
	name  string
	is    func(Record) bool
	write func([]byte, Record) []byte
	read  []func(*fields) Record // by version, from 1
}

// version is the newest one, which is written.
func (k kind) version() uint64 { return uint64(len(k.read)) }

func kindOf(k Kind) (kind, bool) {
	if int(k) >= len(kinds) || len(kinds[k].read) == 0 {
		return kind{}, false
	}
	return kinds[k], true
}

func of[R Record](name string, write func([]byte, R) []byte, read func(*fields) R, before ...func(*fields) R) kind {
	k := kind{
		name:  name,
		is:    func(r Record) bool { _, ok := r.(R); return ok },
		write: func(dst []byte, r Record) []byte { return write(dst, r.(R)) },
	}
	for _, version := range append(before, read) {
		k.read = append(k.read, func(f *fields) Record { return version(f) })
	}
	return k
}

func writeCluster(dst []byte, r ClusterRecord) []byte { return appendUUID(dst, r.ID) }
func readCluster(f *fields) ClusterRecord             { return ClusterRecord{f.uuid()} }

func writeBroker(dst []byte, r BrokerRecord) []byte {
	dst = appendString(appendUUID(appendInt(dst, r.ID), r.Incarnation), r.Rack)
	dst = appendBool(appendList(dst, r.Endpoints, appendEndpoint), r.Fenced)
	return appendUUID(appendUUID(appendList(dst, r.Features, appendFeatureRange), r.Run), r.Before)
}

func readBroker(f *fields) BrokerRecord {
	r := readBroker2(f)
	r.Run, r.Before = f.uuid(), f.uuid()
	return r
}

// readBroker2 is of the time before brokers said which run of theirs was the last.
func readBroker2(f *fields) BrokerRecord {
	r := readBroker1(f)
	r.Features = list(f, readFeatureRange)
	return r
}

// readBroker1 is of the time before brokers said what features they know.
func readBroker1(f *fields) BrokerRecord {
	return BrokerRecord{
		ID: number[BrokerID](f), Incarnation: f.uuid(), Rack: f.string(),
		Endpoints: list(f, readEndpoint), Fenced: f.bool(),
	}
}

func writeFence(dst []byte, r FenceRecord) []byte {
	return appendBool(appendInt(appendInt(dst, r.ID), r.Epoch), r.Fenced)
}

func readFence(f *fields) FenceRecord {
	return FenceRecord{ID: number[BrokerID](f), Epoch: number[int64](f), Fenced: f.bool()}
}

func writeTopic(dst []byte, r TopicRecord) []byte {
	return appendBool(appendString(appendUUID(dst, r.ID), r.Name), r.Internal)
}

func readTopic(f *fields) TopicRecord {
	return TopicRecord{ID: f.uuid(), Name: f.string(), Internal: f.bool()}
}

func writePartitionRecord(dst []byte, r PartitionRecord) []byte {
	return appendPartition(appendUUID(dst, r.Topic), r.Partition)
}

func readPartitionRecord(f *fields) PartitionRecord {
	return PartitionRecord{Topic: f.uuid(), Partition: readPartition(f)}
}

func writePartitionChange(dst []byte, r PartitionChange) []byte {
	return appendPartition(appendInt(appendUUID(dst, r.Topic), r.From), r.Partition)
}

func readPartitionChange(f *fields) PartitionChange {
	return PartitionChange{Topic: f.uuid(), From: number[int32](f), Partition: readPartition(f)}
}

func writeRemoveTopic(dst []byte, r RemoveTopicRecord) []byte { return appendUUID(dst, r.ID) }
func readRemoveTopic(f *fields) RemoveTopicRecord             { return RemoveTopicRecord{f.uuid()} }

func writeConfig(dst []byte, r ConfigRecord) []byte {
	dst = appendBool(appendString(appendResource(dst, r.Resource), r.Name), r.Value != nil)
	if r.Value != nil {
		dst = appendString(dst, *r.Value)
	}
	return dst
}

func readConfig(f *fields) ConfigRecord {
	r := ConfigRecord{Resource: readResource(f), Name: f.string()}
	if f.bool() {
		value := f.string()
		r.Value = &value
	}
	return r
}

func writeProducerIDs(dst []byte, r ProducerIDsRecord) []byte {
	return appendInt(appendInt(appendInt(dst, r.Broker), r.Start), r.Count)
}

func readProducerIDs(f *fields) ProducerIDsRecord {
	return ProducerIDsRecord{Broker: number[BrokerID](f), Start: number[int64](f), Count: number[int32](f)}
}

func writeFeature(dst []byte, r FeatureRecord) []byte {
	return appendInt(appendString(dst, r.Name), r.Level)
}

func readFeature(f *fields) FeatureRecord {
	return FeatureRecord{Name: f.string(), Level: number[int16](f)}
}
