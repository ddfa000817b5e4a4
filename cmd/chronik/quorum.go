package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// controllerPatience is how long a look at the cluster waits for a controller: some elections.
const controllerPatience = 5 * time.Second

// controllerAnswers fails when there is no controller, which what waits for long must not wait for.
func (f *adminFlags) controllerAnswers(ctx context.Context, client *kgo.Client) error {
	asked, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	_, err := reassignments(asked, client)
	if err != nil && ctx.Err() == nil && asked.Err() != nil {
		return fmt.Errorf("no controller answers, so nothing can be changed: chronik cluster status says more (%w)", err)
	}
	return err
}

// quorum is which brokers vote on metadata.
type quorum struct {
	voters []int32
	late   []int32 // that are to vote and do not yet, as on a new disk
}

func describeQuorum(ctx context.Context, client *kgo.Client) (*kmsg.DescribeQuorumResponse, error) {
	rq := kmsg.NewPtrDescribeQuorumRequest()
	rq.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: "__cluster_metadata", Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{}}}}
	resp, err := rq.RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	return resp, err
}

// quorumOf finds nobody, no voters either, when the controller does not answer: it is asked for more than that.
func quorumOf(ctx context.Context, client *kgo.Client) (q quorum) {
	resp, err := describeQuorum(ctx, client)
	if err != nil {
		return q
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			for _, s := range p.CurrentVoters {
				q.voters = append(q.voters, s.ReplicaID)
			}
			for _, s := range p.Observers { // an even number of voters is on the way to an odd one
				if slices.Contains(q.voters, s.ReplicaID) || len(q.voters)%2 == 0 {
					q.late = append(q.late, s.ReplicaID)
				}
			}
		}
	}
	slices.Sort(q.voters)
	slices.Sort(q.late)
	return q
}
