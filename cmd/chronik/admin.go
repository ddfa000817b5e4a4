package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// adminFlags are those of every command that asks a running cluster.
type adminFlags struct {
	brokers []string
	timeout time.Duration
}

func (f *adminFlags) add(cmd *cobra.Command) {
	cmd.PersistentFlags().StringSliceVar(&f.brokers, "brokers", []string{"localhost:9092"}, "`addresses` of some brokers of the cluster, host:port")
	cmd.PersistentFlags().DurationVar(&f.timeout, "timeout", 30*time.Second, "how long to wait for an answer; with --wait, that says how long for what is to be done")
}

// ask runs fn with a client of the cluster.
func (f *adminFlags) ask(cmd *cobra.Command, fn func(ctx context.Context, admin *kadm.Client) error) error {
	return f.askWithin(cmd, f.timeout, func(ctx context.Context, admin *kadm.Client, _ *kgo.Client) error { return fn(ctx, admin) })
}

// askWithin is ask for what takes longer than a command should, or asks what kadm does not know.
func (f *adminFlags) askWithin(cmd *cobra.Command, d time.Duration, fn func(context.Context, *kadm.Client, *kgo.Client) error) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), d)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(f.brokers...), kgo.ClientID("chronik-cli"), kgo.DialTimeout(2*time.Second),
		kgo.RetryTimeout(f.timeout), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		return fmt.Errorf("--brokers %s: %w", strings.Join(f.brokers, ","), err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	admin.SetTimeoutMillis(int32(f.timeout.Milliseconds()))
	err = fn(ctx, admin, client)
	var network *net.OpError
	var late unfinished
	if !errors.As(err, &late) && (ctx.Err() != nil || errors.As(err, &network)) {
		hint := ""
		if !cmd.Flags().Changed("brokers") {
			hint = "; with --brokers host:port,... it asks others"
		}
		return fmt.Errorf("no answer from %s%s: %w", strings.Join(f.brokers, ", "), hint, err)
	}
	return err
}

// table writes rows of cells below each other.
type table struct{ *tabwriter.Writer }

func newTable(cmd *cobra.Command) table {
	return table{tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)}
}

func (t table) row(cells ...any) {
	for i, c := range cells {
		if i > 0 {
			fmt.Fprint(t, "\t")
		}
		fmt.Fprint(t, c)
	}
	fmt.Fprintln(t)
}

// list is numbers as people write them: 1,2,3.
func list(ids []int32) string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = fmt.Sprint(id)
	}
	return strings.Join(texts, ",")
}
