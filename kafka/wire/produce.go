package wire

// produce appends a Produce response of the given version.
func (e *encoder) produce(p *ProduceResponse, version int16, throttle int32) {
	e.flexible = version >= 9
	e.array(len(p.Topics))
	for i := range p.Topics {
		t := &p.Topics[i]
		if version >= 13 {
			e.b = append(e.b, t.ID[:]...)
		} else {
			e.string(t.Name)
		}
		e.array(len(t.Partitions))
		for j := range t.Partitions {
			e.producePartition(&t.Partitions[j], version)
		}
		e.tags(0)
	}
	if version >= 1 {
		e.int32(throttle)
	}
	if e.flexible && version >= 10 && len(p.Nodes) > 0 {
		e.tags(1)
		e.nodes(p.Nodes)
	} else {
		e.tags(0)
	}
}

func (e *encoder) producePartition(p *ProducePartition, version int16) {
	e.int32(p.Partition)
	e.int16(int16(p.Err))
	e.int64(p.BaseOffset)
	if version >= 2 {
		e.int64(p.AppendTime)
	}
	if version >= 5 {
		e.int64(p.LogStart)
	}
	if version >= 8 {
		e.array(0) // no errors of single records
		e.nullable(p.Message)
	}
	if version >= 10 && leaderElsewhere(p.Err) && (p.LeaderID != -1 || p.LeaderEpoch != -1) {
		e.tags(1)
		e.leader(0, p.LeaderID, p.LeaderEpoch)
	} else {
		e.tags(0)
	}
}
