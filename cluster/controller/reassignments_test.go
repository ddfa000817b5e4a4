package controller

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/metalog/image"
)

// reassign asks for replicas of partition 0 of topic t; none cancels.
func (r *reign) reassign(replicas ...int32) string {
	rq := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	rq.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{{Topic: "t", Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Replicas: replicas}}}}
	p := r.AlterPartitionReassignments(r.Context(), rq)[0].Partitions[0]
	synctest.Wait()
	return outcome(p.ErrorCode, p.ErrorMessage)
}

func (r *reign) moving() (all []kmsg.ListPartitionReassignmentsResponseTopicPartition) {
	for _, t := range r.ListPartitionReassignments(kmsg.NewPtrListPartitionReassignmentsRequest()) {
		all = append(all, t.Partitions...)
	}
	return all
}

// inSync has the leader of the only partition ask for an ISR.
func (r *reign) inSync(ids ...image.BrokerID) {
	r.Helper()
	t, _ := r.log.Image().TopicNamed("t")
	p := t.Partitions[0]
	rec := image.ISRRecord{Topic: t.ID, From: p.Epoch, Leader: p.Leader, LeaderEpoch: p.LeaderEpoch, MinISR: 1}
	for _, id := range ids {
		b, _ := r.log.Image().Broker(id)
		rec.ISR = append(rec.ISR, image.ISRMember{ID: id, Epoch: b.Epoch})
	}
	if _, err := r.log.Propose(r.Context(), rec); err != nil {
		r.Error(err)
	}
}

// The replicas move, across a change of the controller, and every step is a line of its log.
func TestAReassignmentOutlivesTheController(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := lead(t, 5, nil, []int32{1, 2, 3})
		if got := r.reassign(4, 5); got != "ok" {
			t.Error(got)
		}
		if m := r.moving(); len(m) != 1 || list(m[0].Replicas) != "4 5 1 2 3" || list(m[0].AddingReplicas) != "4 5" || list(m[0].RemovingReplicas) != "1 2 3" {
			t.Errorf("%+v", m)
		}
		r.inSync(1, 2, 3, 4)
		r.pass(2*stirDelay, 1, 2, 3, 4, 5)
		r.expect("one is there", "[1 2 3 4] leader 1 epoch 0")
		r.end()
		r.inSync(1, 2, 3, 4, 5)
		r.reign()
		r.pass(2*stirDelay, 1, 2, 3, 4, 5)
		r.expect("all are there", "[4 5] leader 4 epoch 1")
		if m := r.moving(); len(m) > 0 {
			t.Errorf("%+v", m)
		}
		if got := r.reassign(); !strings.HasPrefix(got, "NO_REASSIGNMENT_IN_PROGRESS") {
			t.Error(got)
		}
		r.reassign(1)
		r.reassign()
		r.pass(2*stirDelay, 1, 2, 3, 4, 5)
		r.expect("cancelled", "[4 5] leader 4 epoch 2")
		r.end()
		for _, want := range []string{
			`msg="partition reassignment started" topic=t partition=0 replicas="[4 5 1 2 3]" addingReplicas="[4 5]" removingReplicas="[1 2 3]"`,
			`msg="partition reassignment completed" topic=t partition=0 replicas="[4 5]" addingReplicas=[] removingReplicas=[]`,
			`msg="partition reassignment cancelled" topic=t partition=0 replicas="[4 5]"`,
		} {
			if !strings.Contains(r.text.String(), want) {
				t.Errorf("no line %s in\n%s", want, r.text.String())
			}
		}
	})
}

func list(ids []int32) string { return strings.Trim(fmt.Sprint(ids), "[]") }
