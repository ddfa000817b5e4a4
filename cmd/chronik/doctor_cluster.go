package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// cluster looks at what all brokers say together.
func (d *doctor) cluster(ctx context.Context, admin *kadm.Client, client *kgo.Client) error {
	m, err := admin.Metadata(ctx)
	if err != nil {
		return err
	}
	h := health{led: map[int32]int{}, held: map[int32]int{}, behind: map[int32]int{}}
	if h.moving, err = h.askController(ctx, client); err != nil {
		return err
	}
	for _, t := range m.Topics.Sorted() {
		h.add(t)
	}
	d.controller(ctx, client, m, &h)
	d.partitions(ctx, client, m, &h)
	d.disks(ctx, admin)
	return d.versions(ctx, admin)
}

func (d *doctor) controller(ctx context.Context, client *kgo.Client, m kadm.Metadata, h *health) {
	subject := "cluster " + m.Cluster
	if h.headless {
		d.find(bad, "controller", subject, "there is none: more than half of the voters on metadata do not answer",
			"start them again; if so many cannot come back, chronik cluster recover has one that is left go on")
		return
	}
	q := quorumOf(ctx, client)
	d.find(ok, "controller", subject, fmt.Sprintf("broker %d; voters %s", m.Controller, list(q.voters)), "")
	for _, id := range q.late {
		d.find(warn, "controller", fmt.Sprintf("broker %d", id), "has no vote on metadata yet", "wait until it has before you stop another one")
	}
	for id := range h.held {
		if !slices.Contains(m.Brokers.NodeIDs(), id) {
			d.find(bad, "broker", fmt.Sprintf("broker %d", id), "is down, and has replicas", "start it again; what it missed it fetches by itself")
		}
	}
}

func (d *doctor) partitions(ctx context.Context, client *kgo.Client, m kadm.Metadata, h *health) {
	if len(h.leaderless) > 0 {
		d.find(bad, "partitions", some(h.leaderless), fmt.Sprintf("%d without a leader: nothing is served", len(h.leaderless)),
			"start the brokers that have them; if none can come back, chronik cluster elect --unclean TOPIC loses what others lack")
	}
	short := belowMinimum(ctx, client, m.Topics)
	if len(short) > 0 {
		d.find(bad, "partitions", some(short), fmt.Sprintf("%d with fewer replicas in sync than min.insync.replicas: acks=all is refused", len(short)),
			"start the brokers that have the other replicas")
	}
	if len(h.under) > 0 {
		d.find(warn, "partitions", some(h.under), fmt.Sprintf("%d with replicas that are not in sync", len(h.under)),
			"they catch up when their brokers are there: chronik cluster status shows which are not")
	}
	if len(h.leaderless)+len(h.under) == 0 && !h.headless { // else it is what was known before
		d.find(ok, "partitions", fmt.Sprintf("all %d", h.partitions), "have a leader and all their replicas in sync", "")
	}
	var single []string
	for _, t := range m.Topics.Sorted() {
		if t.Partitions.NumReplicas() == 1 && len(m.Brokers) > 1 {
			single = append(single, t.Topic)
		}
	}
	if len(single) > 0 {
		d.find(warn, "replicas", some(single), countedWith(len(single), "topic", "has", "have")+" one replica only: what a lost disk had is lost",
			"create such topics with --replicas 3, or add replicas with kafka-reassign-partitions.sh")
	}
}

// belowMinimum is the partitions with a leader and too few replicas in sync for acks=all.
func belowMinimum(ctx context.Context, client *kgo.Client, topics kadm.TopicDetails) (short []string) {
	for _, t := range topics.Sorted() {
		minimum := -1
		for _, p := range t.Partitions.Sorted() {
			if p.Leader < 0 || len(p.ISR) == len(p.Replicas) {
				continue
			}
			if minimum < 0 {
				minimum = minInSync(ctx, client, t.Topic)
			}
			if len(p.ISR) < min(minimum, len(p.Replicas)) {
				short = append(short, fmt.Sprintf("%s-%d", t.Topic, p.Partition))
			}
		}
	}
	return short
}

// minInSync is 1, which every partition with a leader has, when nobody tells it.
func minInSync(ctx context.Context, client *kgo.Client, topic string) int {
	configs, err := describeConfigs(ctx, client, kmsg.ConfigResourceTypeTopic, topic, []string{"min.insync.replicas"})
	if err != nil || len(configs) != 1 {
		return 1
	}
	n, err := strconv.Atoi(known(configs[0].Value))
	if err != nil {
		return 1
	}
	return n
}

// Shares of a disk that are free.
const (
	freeWarn = 0.15
	freeBad  = 0.05
)

// disks are those of the brokers, as they tell it (KIP-827).
func (d *doctor) disks(ctx context.Context, admin *kadm.Client) {
	all, err := admin.DescribeAllLogDirs(ctx, kadm.TopicsSet{"": {}})
	if err != nil && len(all) == 0 {
		d.find(warn, "disk", "brokers", "not told: "+err.Error(), "run chronik doctor --data-dir on each node")
	}
	for _, dir := range all.Sorted() {
		subject := fmt.Sprintf("broker %d, %s", dir.Broker, dir.Dir)
		if dir.Err != nil {
			d.find(bad, "disk", subject, dir.Err.Error(), "see the broker's log")
			continue
		}
		d.space("disk", subject, dir.UsableBytes, dir.TotalBytes)
	}
}

func (d *doctor) space(check, subject string, free, total int64) {
	if total <= 0 || free < 0 {
		d.find(warn, check, subject, "how much is free is not told", "run chronik doctor --data-dir on the node")
		return
	}
	part := float64(free) / float64(total)
	found := fmt.Sprintf("%.1f GiB of %.1f GiB are free, %.0f%%", gib(free), gib(total), part*100)
	const do = "free some space, shorten retention.ms or retention.bytes of topics, or add nodes (chronik cluster add); a full disk stops the broker"
	switch {
	case part < freeBad:
		d.find(bad, check, subject, found, do)
	case part < freeWarn:
		d.find(warn, check, subject, found, do)
	default:
		d.find(ok, check, subject, found, "")
	}
}

func gib(n int64) float64 { return float64(n) / (1 << 30) }

// versions compares what brokers serve and understand.
func (d *doctor) versions(ctx context.Context, admin *kadm.Client) error {
	all, err := admin.ApiVersions(ctx)
	if err != nil {
		return err
	}
	same, first, answer := true, "", 0
	for _, v := range all.Sorted() {
		if v.Err != nil {
			d.find(bad, "versions", fmt.Sprintf("broker %d", v.NodeID), "does not answer: "+v.Err.Error(), "see what is said of its address above")
			continue
		}
		serves := fmt.Sprint(v.Raw().ApiKeys, v.Raw().SupportedFeatures)
		same, first = same && (first == "" || first == serves), serves
		answer++
	}
	switch {
	case answer == 0:
	case same:
		d.find(ok, "versions", counted(answer, "broker"), oneOrMany(answer, "serves", "serve")+" the same requests in the same versions", "")
	default:
		d.find(warn, "versions", counted(answer, "broker"), "are of different releases", "go on with the upgrade, or go back: a mix is for a while only")
	}
	for _, f := range featuresOf(all) {
		subject, found := f.Feature, fmt.Sprintf("level %d; all brokers understand %d to %d", f.Level, f.Min, f.Max)
		if f.Level == 0 {
			found = fmt.Sprintf("not raised; all brokers understand %d to %d", f.Min, f.Max)
		}
		switch {
		case f.Min > f.Max:
			d.find(bad, "feature", subject, "no level is understood by all brokers", "have them all run one release")
		case f.Level < f.Max && same && f.Level > 0:
			d.find(warn, "feature", subject, found, "when no broker is to go back to an older release, raise it with kafka-features.sh upgrade")
		default:
			d.find(ok, "feature", subject, found, "")
		}
	}
	return nil
}
