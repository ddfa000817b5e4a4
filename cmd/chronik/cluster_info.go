package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// clusterInfo is who a cluster is, and what it understands.
type clusterInfo struct {
	Cluster    string        `json:"cluster" help:"its id"`
	Controller int32         `json:"controller" help:"a broker, or -1: none is known"`
	Brokers    []brokerInfo  `json:"brokers"`
	Features   []featureInfo `json:"features"`
	Quorum     quorumInfo    `json:"quorum" help:"of those that vote on metadata"`
}

type brokerInfo struct {
	Broker  int32   `json:"broker"`
	Address string  `json:"address" help:"as this client is told"`
	Rack    *string `json:"rack"`
	Serves  *int    `json:"serves" help:"kinds of requests; null: it does not answer"`
}

type featureInfo struct {
	Feature string `json:"feature"`
	Level   int16  `json:"level" help:"that holds; 0: it is off"`
	Min     int16  `json:"min" help:"levels that every broker understands"`
	Max     int16  `json:"max"`
}

type quorumInfo struct {
	Leader    int32       `json:"leader"`
	Epoch     int32       `json:"epoch"`
	Committed int64       `json:"committed" help:"entries of the metadata log that are settled"`
	Voters    []voterInfo `json:"voters"`
	Observers []voterInfo `json:"observers" help:"that have the log, and no vote"`
}

type voterInfo struct {
	Broker int32 `json:"broker"`
	End    int64 `json:"end" help:"of the log that it has; -1: unknown"`
	Lag    int64 `json:"lag" help:"entries that it lacks; -1: unknown"`
}

func (f *adminFlags) clusterInfo() *cobra.Command {
	cmd := &cobra.Command{
		Use: "info", Short: "Show the cluster's id, brokers, versions and features, and who votes on metadata", Args: noArgs,
		Example: "  chronik cluster info --format json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.askWithin(cmd, f.timeout, func(ctx context.Context, admin *kadm.Client, client *kgo.Client) error {
				m, err := admin.BrokerMetadata(ctx)
				if err != nil {
					return err
				}
				versions, err := admin.ApiVersions(ctx)
				if err != nil {
					return err
				}
				info := clusterInfo{Cluster: m.Cluster, Controller: m.Controller, Features: featuresOf(versions), Quorum: quorumInfoOf(ctx, client)}
				for _, b := range m.Brokers {
					one := brokerInfo{Broker: b.NodeID, Address: addressOf(b), Rack: b.Rack}
					if v := versions[b.NodeID]; v.Err == nil {
						n := len(v.Raw().ApiKeys)
						one.Serves = &n
					}
					info.Brokers = append(info.Brokers, one)
				}
				return f.print(cmd, info, info.show)
			})
		},
	}
	return documented(cmd, clusterInfo{})
}

func addressOf(b kadm.BrokerDetail) string { return fmt.Sprintf("%s:%d", b.Host, b.Port) }

// featuresOf is the features of all brokers, sorted, with the levels that every one understands.
func featuresOf(versions kadm.BrokersApiVersions) []featureInfo {
	found := map[string]featureInfo{}
	for _, v := range versions {
		if v.Err != nil {
			continue
		}
		for _, s := range v.Raw().SupportedFeatures {
			f, ok := found[s.Name]
			if !ok {
				f = featureInfo{s.Name, 0, s.MinVersion, s.MaxVersion}
			}
			f.Min, f.Max = max(f.Min, s.MinVersion), min(f.Max, s.MaxVersion)
			found[s.Name] = f
		}
		for _, l := range v.Raw().FinalizedFeatures {
			if f, ok := found[l.Name]; ok {
				f.Level = l.MaxVersionLevel
				found[l.Name] = f
			}
		}
	}
	features := []featureInfo{}
	for _, name := range sortedKeys(found) {
		features = append(features, found[name])
	}
	return features
}

// quorumInfoOf is empty when the controller does not answer.
func quorumInfoOf(ctx context.Context, client *kgo.Client) quorumInfo {
	q := quorumInfo{Leader: -1, Epoch: -1, Committed: -1, Voters: []voterInfo{}, Observers: []voterInfo{}}
	ctx, cancel := context.WithTimeout(ctx, controllerPatience)
	defer cancel()
	resp, err := describeQuorum(ctx, client)
	if err != nil {
		return q
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			q.Leader, q.Epoch, q.Committed = p.LeaderID, p.LeaderEpoch, p.HighWatermark
			q.Voters, q.Observers = votersOf(p.CurrentVoters, p.HighWatermark), votersOf(p.Observers, p.HighWatermark)
		}
	}
	return q
}

func votersOf(states []kmsg.DescribeQuorumResponseTopicPartitionReplicaState, committed int64) []voterInfo {
	all := []voterInfo{}
	for _, s := range states {
		v := voterInfo{s.ReplicaID, s.LogEndOffset, -1}
		if s.LogEndOffset >= 0 {
			v.Lag = max(0, committed-s.LogEndOffset)
		}
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b voterInfo) int { return cmp.Compare(a.Broker, b.Broker) })
	return all
}

func (info clusterInfo) show(t table) {
	t.say("cluster %s, controller %s\n", info.Cluster, leaderText(info.Controller))
	t.row("BROKER", "ADDRESS", "RACK", "KINDS OF REQUESTS")
	for _, b := range info.Brokers {
		t.row(b.Broker, b.Address, known(b.Rack), known(b.Serves))
	}
	t.say("")
	t.row("FEATURE", "LEVEL", "UNDERSTOOD BY ALL")
	for _, f := range info.Features {
		t.row(f.Feature, f.Level, fmt.Sprintf("%d to %d", f.Min, f.Max))
	}
	q := info.Quorum
	t.say("\nmetadata: leader %s, epoch %d, up to entry %d", leaderText(q.Leader), q.Epoch, q.Committed)
	t.row("BROKER", "VOTES", "HAS", "LACKS")
	for _, v := range q.Voters {
		t.row(v.Broker, "yes", toldText(v.End), toldText(v.Lag))
	}
	for _, v := range q.Observers {
		t.row(v.Broker, "no", toldText(v.End), toldText(v.Lag))
	}
}

// toldText is a dash for -1: nobody tells it.
func toldText(n int64) string {
	if n < 0 {
		return "-"
	}
	return fmt.Sprint(n)
}
