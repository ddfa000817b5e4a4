package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chronik/cluster"
	"chronik/cluster/controller"
	"chronik/metalog"
	"chronik/metalog/image"
)

func recoverCluster() *cobra.Command {
	accept := false
	cmd := &cobra.Command{
		Use: "recover DATA-DIR", Short: "Have one stopped node go on when more than half of the voters are lost for good",
		Long: strings.TrimSpace(`
Have one stopped node go on alone when more than half of the voters are lost for good, and nothing else helps: while they can
come back, start them instead. It works on the node's data directory, here, and asks no running cluster.

Without --accept-loss it changes nothing: it says what the directory holds and what may be lost. With several survivors, look at
each, stop them all, and choose the one with the highest term, among those with the highest entry; then empty the others.

With --accept-loss the node becomes the only voter of the same cluster, in one step that a crash does not leave half done; what
was there is kept under damaged/ in the data directory. Start the node, then the others anew with empty data directories, as
when they join: they get votes and replicas by themselves. Disks of the lost that turn up later come back as new replicas,
which count for nothing until they have caught up: start them only while this node runs, and never more than half of the
old voters without it: they would go on as if nothing had happened.`),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("of which node? write one data directory: chronik cluster recover DATA-DIR")
			}
			return recoverAt(cmd, args[0], accept)
		},
	}
	cmd.Flags().BoolVar(&accept, "accept-loss", false, "do it, and lose what is said to be lost")
	return cmd
}

func recoverAt(cmd *cobra.Command, dir string, accept bool) error {
	out := cmd.OutOrStdout()
	s, err := cluster.Survive(dir)
	if err != nil {
		return err
	}
	defer s.Close()
	if s.Resumed {
		fmt.Fprintf(out, "a recovery that was cut short is finished: start node %d\n", s.Self.Node)
		return nil
	}
	if alone(s) {
		return fmt.Errorf("nothing was changed: node %d of %s is the only voter and misses nobody: start it", s.Self.Node, dir)
	}
	r := lookAt(s)
	r.show(out, dir)
	if err := nobodyAnswers(cmd.Context(), s.Addresses()); err != nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	if !accept {
		return errors.New("nothing was changed: when the voters that are missing cannot come back, run it again with --accept-loss")
	}
	if err := s.Recover(tellsWhatIsSetAside(cmd)); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nnode %d is the only voter now: start it, then the others with empty data directories, as when they join\n", s.Self.Node)
	if len(r.older)+len(r.nowhere) > 0 {
		fmt.Fprintln(out, "chronik cluster status says what to do about the partitions that are not in sync here")
	}
	return nil
}

// alone says that a node needs nobody to go on.
func alone(s *cluster.Survivor) bool {
	return s.Self.Voter && !slices.ContainsFunc(s.Servers, func(o metalog.Server) bool { return o.Voter && o.ID != s.Self.ID })
}

// remains is what a survivor has of each partition.
type remains struct {
	*cluster.Survivor
	whole, older, nowhere []string
}

func lookAt(s *cluster.Survivor) remains {
	r := remains{Survivor: s}
	for t := range s.Image.Topics {
		for _, p := range t.Partitions {
			list := &r.whole
			switch controller.RemainsOf(p, s.Self.Node) {
			case controller.Older:
				list = &r.older
			case controller.Nowhere:
				list = &r.nowhere
			}
			*list = append(*list, fmt.Sprintf("%s-%d", t.Name, p.Number))
		}
	}
	return r
}

func (r remains) show(out io.Writer, dir string) {
	age := "of an unknown time"
	if !r.At.IsZero() {
		age = fmt.Sprintf("of %s, %s ago", r.At.UTC().Format(time.RFC3339), time.Since(r.At).Round(time.Second))
	}
	fmt.Fprintf(out, "%s: node %d of cluster %s\n", dir, r.Self.Node, cluster.FormatClusterID(r.Cluster))
	fmt.Fprintf(out, "  metadata up to entry %d of term %d, %s\n", r.Index, r.Term, age)
	fmt.Fprintf(out, "  voters: %s; this node %s\n", votersText(r.Servers), map[bool]string{true: "is one", false: "is none"}[r.Self.Voter])
	fmt.Fprintf(out, "  brokers: %s\n", brokersText(r.Image))
	fmt.Fprintf(out, "  %s of %s\n", counted(r.Image.PartitionCount(), "partition"), counted(r.Image.TopicCount(), "topic"))
	for _, l := range []struct {
		names []string
		what  string
	}{
		{r.whole, "in sync here: they are served when this node goes on alone"},
		{r.older, "here, but not in sync: they stay offline until somebody has the older copy lead"},
		{r.nowhere, "only at other nodes: they stay offline"},
	} {
		if len(l.names) > 0 {
			fmt.Fprintf(out, "  %d %s: %s\n", len(l.names), l.what, some(l.names))
		}
	}
	fmt.Fprintf(out, "\nif this node goes on alone, this is lost:\n")
	fmt.Fprintf(out, "- what the others agreed on behind entry %d without it: topics made and deleted, configs, committed offsets\n", r.Index)
	if len(r.whole) > 0 {
		fmt.Fprintf(out, "- records of the %s in sync here, if they were acknowledged after such an entry had taken this node out of the ISR\n", counted(len(r.whole), "partition"))
	}
	if len(r.older) > 0 {
		fmt.Fprintf(out, "- records of the %s not in sync here that were acknowledged since they were\n", counted(len(r.older), "partition"))
	}
	if len(r.nowhere) > 0 {
		fmt.Fprintf(out, "- all records of the %s at other nodes, unless a disk with them comes back\n", counted(len(r.nowhere), "partition"))
	}
}

func votersText(all []metalog.Server) string {
	var ids []int32
	for _, s := range all {
		if s.Voter {
			ids = append(ids, int32(s.Node))
		}
	}
	slices.Sort(ids)
	return cmp.Or(list(ids), "none")
}

func brokersText(img *image.Image) string {
	var all []string
	for _, b := range img.Brokers() {
		where := ""
		for _, e := range b.Endpoints {
			if e.Name != image.InternalListener && e.Host != "" {
				where = fmt.Sprintf(" (%s)", net.JoinHostPort(e.Host, fmt.Sprint(e.Port)))
			}
		}
		all = append(all, fmt.Sprintf("%d%s", b.ID, where))
	}
	return cmp.Or(strings.Join(all, ", "), "none")
}

// answerPatience is how long to wait for a machine that may not be there.
const answerPatience = time.Second

// nobodyAnswers fails when another node still listens: with it there may be a quorum, or it goes on behind this one's back.
func nobodyAnswers(ctx context.Context, addrs []string) error {
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	answers := make(chan string, len(addrs))
	for _, addr := range addrs {
		go func() {
			c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
			if err != nil {
				answers <- ""
				return
			}
			_ = c.Close()
			answers <- addr
		}()
	}
	var there []string
	for range addrs {
		if addr := <-answers; addr != "" {
			there = append(there, addr)
		}
	}
	if len(there) == 0 {
		return nil
	}
	slices.Sort(there)
	return fmt.Errorf("another node runs at %s: start this one too, and if they find a quorum nothing is lost; if not, stop it first", strings.Join(there, ", "))
}
