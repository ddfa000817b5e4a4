package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
)

// A replication quota (KIP-73) is a rate of the brokers, and a list of replicas of each topic. The lists name all: whoever is
// in sync is not held back.
var (
	quotaRates = []string{"leader.replication.throttled.rate", "follower.replication.throttled.rate"}
	quotaLists = []string{"leader.replication.throttled.replicas", "follower.replication.throttled.replicas"}
)

// throttled runs fn with a quota for what it copies, in MiB a second of each node. When fn ends before all is there, the
// quota stays for what goes on.
func (m *mover) throttled(ctx context.Context, plan []place, fn func() error) error {
	if m.f.throttle == 0 {
		return fn()
	}
	rate, everything := strconv.FormatInt(m.f.throttle<<20, 10), "*"
	if err := m.quota(ctx, plan, kadm.SetConfig, &rate, &everything); err != nil {
		return fmt.Errorf("set the quota: %w", err)
	}
	err := fn()
	var late unfinished
	if errors.As(err, &late) || ctx.Err() != nil {
		return errors.Join(err, unfinished(fmt.Sprintf("the quota of %d MiB a second stays until the command is run again with --throttle and ends", m.f.throttle)))
	}
	if undo := m.quota(ctx, plan, kadm.DeleteConfig, nil, nil); undo != nil {
		err = errors.Join(err, fmt.Errorf("remove the quota: %w", undo))
	}
	return err
}

func (m *mover) quota(ctx context.Context, plan []place, op kadm.IncrementalOp, rate, replicas *string) error {
	var rates, lists []kadm.AlterConfig
	for _, name := range quotaRates {
		rates = append(rates, kadm.AlterConfig{Op: op, Name: name, Value: rate})
	}
	for _, name := range quotaLists {
		lists = append(lists, kadm.AlterConfig{Op: op, Name: name, Value: replicas})
	}
	topics := map[string]bool{}
	var names []string
	for _, p := range plan {
		if !topics[p.topic] {
			topics[p.topic], names = true, append(names, p.topic)
		}
	}
	responses, err := m.admin.AlterBrokerConfigs(ctx, rates) // of all brokers
	if err == nil {
		err = failed(responses)
	}
	if err != nil {
		return err
	}
	if responses, err = m.admin.AlterTopicConfigs(ctx, lists, names...); err == nil {
		err = failed(responses)
	}
	return err
}

func failed(responses kadm.AlterConfigsResponses) error {
	for _, r := range responses {
		if r.Err != nil {
			return fmt.Errorf("%s: %w", r.Name, explained(r.ErrMessage, r.Err))
		}
	}
	return nil
}
