package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func clusterCommand() *cobra.Command {
	f := &adminFlags{}
	cmd := noun("cluster", "See how the cluster is; add, empty and remove nodes; go on when a quorum is lost")
	f.add(cmd, formatTable, formatJSON)
	cmd.AddCommand(f.clusterStatus(), f.clusterInfo(), f.addNode(), f.drainNode(), f.undrainNode(), f.decommissionNode(), f.rebalanceCluster(), f.electLeaders(), recoverCluster(), migrateMetadata())
	return cmd
}

func (f *adminFlags) clusterStatus() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Show in one screen who leads, who is behind, and what to do about it", Args: noArgs,
		Long: `Show in one screen who leads, who is behind, and what to do about it.

The exit code is 1 when something is wrong: there is no controller, or it does not say who votes on metadata, a broker is down or
has no vote yet, or a partition has no leader or a replica that is not in sync. It is 1, too, when nobody answers. Partitions that are being moved and brokers that are drained are not wrong.`,
		Example: `  chronik cluster status --brokers node1:9092,node2:9092
  until chronik cluster status; do sleep 5; done          # before the next node is stopped`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.askWithin(cmd, f.timeout, func(ctx context.Context, admin *kadm.Client, client *kgo.Client) error {
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
				if h.headless {
					return f.showHealth(cmd, &h, m)
				}
				last := lastLeaders(ctx, client, m.Topics)
				for i, name := range h.leaderless {
					if id, known := last[name]; known {
						h.leaderless[i] = fmt.Sprintf("%s (%d led last)", name, id)
					}
				}
				h.drained = cordoned(ctx, client, m.Brokers.NodeIDs())
				h.quorum = quorumOf(ctx, client)
				return f.showHealth(cmd, &h, m)
			})
		},
	}
	return documented(cmd, statusView{})
}

// health is what a cluster's partitions have and lack.
type health struct {
	partitions int
	led        map[int32]int // partitions by their leader
	held       map[int32]int // replicas by broker
	behind     map[int32]int // replicas that are not in sync, by broker
	under      []string      // partitions with fewer replicas in sync than they have
	leaderless []string
	moving     map[string]moving // by name
	drained    map[int32]bool    // brokers that get no new partitions
	quorum     quorum
	headless   bool // there is no controller: what else is here may be old
}

// askController finds what is on its way, and whether there is a controller to say so.
func (h *health) askController(ctx context.Context, client *kgo.Client) (map[string]moving, error) {
	patient, cancel := context.WithTimeout(ctx, controllerPatience)
	defer cancel()
	moving, err := reassignments(patient, client)
	if err != nil && ctx.Err() == nil && (patient.Err() != nil || errors.Is(err, kerr.NotController)) {
		h.headless, err = true, nil
	}
	return moving, err
}

func (h *health) add(t kadm.TopicDetail) {
	for _, p := range t.Partitions.Sorted() {
		h.partitions++
		name := fmt.Sprintf("%s-%d", t.Topic, p.Partition)
		if p.Leader < 0 {
			h.leaderless = append(h.leaderless, name)
		} else if len(p.ISR) < len(p.Replicas) && !h.moving[name].explains(p) {
			h.under = append(h.under, name)
		}
		if h.led == nil {
			continue
		}
		h.led[p.Leader]++
		inSync := map[int32]bool{}
		for _, id := range p.ISR {
			inSync[id] = true
		}
		for _, id := range p.Replicas {
			h.held[id]++
			if !inSync[id] {
				h.behind[id]++
			}
		}
	}
}

// lateVoters are to vote on metadata and do not yet, without those that are to go.
func (h *health) lateVoters() []int32 {
	return slices.DeleteFunc(slices.Clone(h.quorum.late), func(id int32) bool { return h.drained[id] })
}

// votersUnknown says that the controller did not answer when it was asked for them: one that is down, or late, is not known then.
func (h *health) votersUnknown() bool { return len(h.quorum.voters) == 0 }

// wrong is what keeps the cluster from bearing that the next node is stopped, in short; nil when it is well.
func (h *health) wrong(down []int32) error {
	var what []string
	add := func(n int, text string) {
		if n > 0 {
			what = append(what, text)
		}
	}
	late := h.lateVoters()
	switch {
	case h.headless:
		what = append(what, "there is no controller")
	case h.votersUnknown():
		what = append(what, "nobody says who votes on metadata")
	}
	add(len(down), countedWith(len(down), "broker", "is", "are")+" down")
	add(len(late), countedWith(len(late), "broker", "has", "have")+" no vote yet")
	add(len(h.leaderless), countedWith(len(h.leaderless), "partition", "has", "have")+" no leader")
	add(len(h.under), countedWith(len(h.under), "partition", "has", "have")+" replicas that are not in sync")
	if len(what) == 0 {
		return nil
	}
	return errors.New("the cluster is not well: " + strings.Join(what, ", "))
}

// advice is what is wrong and what to do about it, a line each.
func (h *health) advice(down []int32) (lines []string) {
	if h.headless {
		return []string{
			"there is no controller: more than half of the voters on metadata do not answer, and this is what was known before; start them again",
			"  if so many cannot come back: chronik cluster recover has one that is left go on",
		}
	}
	if h.votersUnknown() {
		lines = append(lines, "the controller does not say who votes on metadata, as while another one is elected: ask again before you stop a broker")
	}
	for _, id := range h.lateVoters() {
		lines = append(lines, fmt.Sprintf("broker %d has no vote on metadata yet: stop no other until it has", id))
	}
	if len(down) > 0 {
		lines = append(lines, oneOrMany(len(down), "broker "+list(down)+" is down: start it again; what it missed it fetches by itself",
			"brokers "+list(down)+" are down: start them again; what they missed they fetch by themselves"))
	}
	if len(h.leaderless) > 0 {
		lines = append(lines, fmt.Sprintf("%s no leader and %s nothing, until a replica that has all acknowledged records "+
			"is back: %s", countedWith(len(h.leaderless), "partition", "has", "have"), oneOrMany(len(h.leaderless), "serves", "serve"), some(h.leaderless)),
			"  if none can come back: chronik cluster elect --unclean TOPIC has another replica lead, and what it lacks is lost")
	}
	if len(h.under) > 0 {
		lines = append(lines, fmt.Sprintf("%s replicas that are not in sync; they are catching up if their brokers are there: %s",
			countedWith(len(h.under), "partition", "has", "have"), some(h.under)))
	}
	if len(h.moving) > 0 {
		lines = append(lines, fmt.Sprintf("%s being moved to other nodes: %s", countedWith(len(h.moving), "partition", "is", "are"), some(slices.Sorted(maps.Keys(h.moving)))))
	}
	if len(lines) == 0 {
		lines = append(lines, "every partition has a leader and all its replicas in sync")
	}
	for _, id := range slices.Sorted(maps.Keys(h.drained)) {
		if h.drained[id] {
			lines = append(lines, fmt.Sprintf("broker %d is drained: new partitions are placed on it only when there are not enough others; "+
				"chronik cluster add %d or undrain %d ends that", id, id, id))
		}
	}
	return lines
}

// some is a few of the names.
func some(names []string) string {
	const few = 8
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}
