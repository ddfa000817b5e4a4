package sim

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
)

// move has the replicas of a partition that is written to go to other nodes, some of them back to where they were a moment
// ago; or it calls back what is on its way. There are never fewer than min.insync.replicas.
func (a *admin) move() {
	s := a.w.lasting[a.r.IntN(len(a.w.lasting))]
	rq := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	rq.Version, rq.TimeoutMillis = 1, 2000
	p := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
	p.Partition = s.partition
	if a.r.IntN(4) > 0 {
		for _, i := range a.r.Perm(len(a.w.machines))[:2+a.r.IntN(2)] {
			p.Replicas = append(p.Replicas, int32(a.w.machines[i].id))
		}
	}
	t := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	t.Topic, t.Partitions = s.topic, append(t.Partitions, p)
	rq.Topics = append(rq.Topics, t)
	got, err := a.ask(a.w.ctx, a.anyone(), rq)
	if err != nil {
		return
	}
	resp := got.(*kmsg.AlterPartitionAssignmentsResponse)
	code := resp.ErrorCode
	if code == 0 {
		code = resp.Topics[0].Partitions[0].ErrorCode
	}
	switch kerr.Code(code) {
	case kerr.None:
		a.w.count("moves")
	case kerr.NoReassignmentInProgress, kerr.InvalidReplicaAssignment: // it has arrived, or would need an unclean election
	default:
		if !passing(code) {
			a.w.complain("move %v to %v: %v", s, p.Replicas, kerr.Code(code))
		}
	}
}
