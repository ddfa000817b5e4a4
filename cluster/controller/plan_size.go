package controller

import "chronik/metalog/image"

// weigh is at least the size of the records' encoding, in bytes, by the longest form that each field may have.
func weigh(recs []image.Record) (n int) {
	const header, id = 24, 16
	for _, r := range recs {
		n += header
		switch r := r.(type) {
		case image.BrokerRecord:
			n += 3*id + len(r.Rack) + 20
			for _, e := range r.Endpoints {
				n += len(e.Name) + len(e.Host) + 20
			}
			for _, f := range r.Features {
				n += len(f.Name) + 20
			}
		case image.TopicRecord:
			n += id + len(r.Name) + 10
		case image.PartitionRecord:
			p := r.Partition
			n += id + 60 + 5*(len(p.Replicas)+len(p.ISR)+len(p.ELR)+len(p.Adding)+len(p.Removing))
		case image.PartitionChange:
			p := r.Partition
			n += id + 65 + 5*(len(p.Replicas)+len(p.ISR)+len(p.ELR)+len(p.Adding)+len(p.Removing))
		case image.ConfigRecord:
			n += len(r.Resource.Name) + len(r.Name) + 40
			if r.Value != nil {
				n += len(*r.Value)
			}
		case image.RemoveTopicRecord:
			n += id
		}
	}
	return n
}
