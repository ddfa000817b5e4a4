package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// How a finding is.
const (
	ok   = "ok"
	warn = "warn"
	bad  = "bad"
)

// finding is one thing that doctor has looked at.
type finding struct {
	Status  string `json:"status" help:"ok, warn or bad"`
	Check   string `json:"check" help:"listener, address, controller, broker, partitions, replicas, disk, clock, versions, feature; with --data-dir also data-dir, file-system, files"`
	Subject string `json:"subject" help:"what it is about"`
	Found   string `json:"found"`
	Do      string `json:"do" help:"what to do about it; empty when it is ok"`
}

// doctor looks at a cluster, as its clients see it from here, and at a node's files.
type doctor struct {
	f        *adminFlags
	cmd      *cobra.Command
	dataDir  string
	httpPort int
	findings []finding
}

func (d *doctor) find(status, check, subject, found, do string) {
	d.findings = append(d.findings, finding{status, check, subject, found, do})
}

func doctorCommand() *cobra.Command {
	f := &adminFlags{}
	d := &doctor{f: f, findings: []finding{}}
	cmd := &cobra.Command{
		Use: "doctor", Short: "Look for what is wrong, and say what to do about it", Args: noArgs,
		Long: `Look for what is wrong with a cluster, and say what to do about it: what clients are told to connect to and whether that can be
reached from here, the controller, partitions without leaders or replicas, disks, clocks, versions and features. It changes nothing.

On a node itself --data-dir has it look at the data directory, its file system, and how many files the server may open.
Clocks it sees by the nodes' HTTP port, with an error below one second. The exit code is 1 when something is bad.`,
		Example: `  chronik doctor --brokers node1:9092
  chronik doctor --data-dir /var/lib/chronik`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d.cmd = cmd
			d.listeners(cmd.Context())
			if d.dataDir != "" {
				d.node()
			}
			return d.report()
		},
	}
	f.add(cmd, formatTable, formatJSON)
	cmd.Flags().StringVar(&d.dataDir, "data-dir", "", "look at the node in this `folder` on this machine too")
	cmd.Flags().IntVar(&d.httpPort, "http-port", 0, "`port` of the nodes' HTTP; 0 is Kafka's less 3000, which is the default's (9092 and 6092)")
	return documented(cmd, []finding{})
}

// listeners asks each of --brokers, and then, by one that answers, about the cluster.
func (d *doctor) listeners(ctx context.Context) {
	told := addresses{}
	clusters := map[string]bool{}
	asked := ""
	for _, address := range d.f.brokers {
		m, err := d.metadata(ctx, address)
		if err != nil {
			d.find(bad, "listener", address, "no answer: "+err.Error(), "start the broker there, or correct --brokers; a firewall may be between")
			continue
		}
		asked = address
		clusters[text(m.ClusterID)] = true
		d.find(ok, "listener", address, "answers, and tells clients of "+namesOf(m), "")
		told.add(address, m)
	}
	if len(clusters) > 1 {
		d.find(bad, "listener", "--brokers", "they belong to different clusters", "name brokers of one cluster")
	}
	d.advertised(ctx, told)
	if asked == "" {
		return
	}
	err := d.f.askWithin(d.cmd, d.f.timeout, func(ctx context.Context, admin *kadm.Client, client *kgo.Client) error {
		return d.cluster(ctx, admin, client)
	})
	if err != nil {
		d.find(bad, "cluster", asked, err.Error(), "see whether the brokers above can be reached")
	}
}

func (d *doctor) report() error {
	counts := map[string]int{}
	for _, f := range d.findings {
		counts[f.Status]++
	}
	err := d.f.print(d.cmd, d.findings, func(t table) {
		t.row("", "CHECK", "SUBJECT", "FOUND")
		for _, f := range d.findings {
			t.row(f.Status, f.Check, f.Subject, f.Found)
			if f.Do != "" {
				t.row("", "", "", "-> "+f.Do)
			}
		}
		t.say("\n%d ok, %s, %d bad", counts[ok], counted(counts[warn], "warning"), counts[bad])
	})
	if counts[bad] > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %s %s bad", counts[bad], counted(len(d.findings), "finding"), oneOrMany(counts[bad], "is", "are")))
	}
	return err
}
