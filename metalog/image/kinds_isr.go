package image

func writeISR(dst []byte, r ISRRecord) []byte {
	dst = appendInt(appendInt(appendUUID(dst, r.Topic), r.Partition), r.From)
	dst = appendInt(appendInt(appendInt(dst, r.Leader), r.LeaderEpoch), r.MinISR)
	return appendList(dst, r.ISR, appendISRMember)
}

func readISR(f *fields) ISRRecord {
	return ISRRecord{
		Topic: f.uuid(), Partition: number[int32](f), From: number[int32](f),
		Leader: number[BrokerID](f), LeaderEpoch: number[int32](f), MinISR: number[int16](f), ISR: list(f, readISRMember),
	}
}

func appendISRMember(dst []byte, m ISRMember) []byte { return appendInt(appendInt(dst, m.ID), m.Epoch) }
func readISRMember(f *fields) ISRMember              { return ISRMember{number[BrokerID](f), number[int64](f)} }

func writeControlledShutdown(dst []byte, r ControlledShutdownRecord) []byte {
	return appendInt(appendInt(dst, r.ID), r.Epoch)
}

func readControlledShutdown(f *fields) ControlledShutdownRecord {
	return ControlledShutdownRecord{ID: number[BrokerID](f), Epoch: number[int64](f)}
}

func writeUnregisterBroker(dst []byte, r UnregisterBrokerRecord) []byte {
	return appendInt(appendInt(dst, r.ID), r.Epoch)
}

func readUnregisterBroker(f *fields) UnregisterBrokerRecord {
	return UnregisterBrokerRecord{ID: number[BrokerID](f), Epoch: number[int64](f)}
}
