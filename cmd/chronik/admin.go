package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// brokersVariable is the environment variable that stands for --brokers.
const brokersVariable = "CHRONIK_BROKERS"

// adminFlags are those of every command that asks a running cluster.
type adminFlags struct {
	brokers []string
	timeout time.Duration
	format  string
	formats []string // that there are
}

// add adds the flags; formats are those of the command, the first is the default.
func (f *adminFlags) add(cmd *cobra.Command, formats ...string) {
	f.brokers, f.formats = []string{"localhost:9092"}, formats
	if addresses := os.Getenv(brokersVariable); addresses != "" {
		f.brokers = strings.Split(addresses, ",")
	}
	cmd.PersistentFlags().StringSliceVar(&f.brokers, "brokers", f.brokers, "`addresses` of some brokers of the cluster, host:port; "+brokersVariable+" is the default")
	cmd.PersistentFlags().DurationVar(&f.timeout, "timeout", 30*time.Second, "how long to wait for an answer")
	cmd.PersistentFlags().StringVar(&f.format, "format", formats[0], "`format` of what is printed: "+strings.Join(formats, ", "))
	cmd.PersistentPreRunE = func(*cobra.Command, []string) error { return f.check() }
	complete(cmd, "format", formats...)
}

func (f *adminFlags) check() error {
	if !slices.Contains(f.formats, f.format) {
		return fmt.Errorf("--format %q is unknown: write %s", f.format, strings.Join(f.formats, " or "))
	}
	if f.timeout <= 0 {
		return fmt.Errorf("--timeout %s: write a time above zero, as 30s", f.timeout)
	}
	if len(f.brokers) == 0 {
		return errors.New("--brokers: write host:port, with commas between several")
	}
	for _, address := range f.brokers {
		if !isAddress(address) {
			return fmt.Errorf("--brokers %q: write host:port, with commas between several", strings.Join(f.brokers, ","))
		}
	}
	return nil
}

// isAddress says whether it may be host, host:port, or an IPv6 address.
func isAddress(text string) bool {
	if strings.TrimSpace(text) == "" || strings.Contains(text, "://") {
		return false
	}
	_, port, err := net.SplitHostPort(text)
	if err != nil {
		return true // there is no port: 9092
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// ask runs fn with a client of the cluster.
func (f *adminFlags) ask(cmd *cobra.Command, fn func(ctx context.Context, admin *kadm.Client) error) error {
	return f.askWithin(cmd, f.timeout, func(ctx context.Context, admin *kadm.Client, _ *kgo.Client) error { return fn(ctx, admin) })
}

// askWithin is ask for what takes longer than a command should, or asks what kadm does not know.
func (f *adminFlags) askWithin(cmd *cobra.Command, d time.Duration, fn func(context.Context, *kadm.Client, *kgo.Client) error) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), d)
	defer cancel()
	client, err := f.client()
	if err != nil {
		return err
	}
	defer client.Close()
	if err := f.reach(ctx, cmd, client); err != nil {
		return err
	}
	err = fn(ctx, f.admin(client), client)
	var network *net.OpError
	var late unfinished
	if !errors.As(err, &late) && (ctx.Err() != nil || errors.As(err, &network)) {
		return fmt.Errorf("the cluster answers, but not to this: chronik cluster status shows whether a broker or the controller is missing (%w)", err)
	}
	return err
}

// client is a client of the cluster, with more options for one that writes or reads records.
func (f *adminFlags) client(more ...kgo.Opt) (*kgo.Client, error) {
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(f.brokers...), kgo.ClientID("chronik-cli"), kgo.DialTimeout(2 * time.Second),
		kgo.RetryTimeout(f.timeout), kgo.MetadataMinAge(100 * time.Millisecond)}, more...)...)
	if err != nil {
		return nil, fmt.Errorf("--brokers %s: %w", strings.Join(f.brokers, ","), err)
	}
	return client, nil
}

func (f *adminFlags) admin(client *kgo.Client) *kadm.Client {
	admin := kadm.NewClient(client)
	admin.SetTimeoutMillis(int32(f.timeout.Milliseconds()))
	return admin
}

// reach fails at once when none of the brokers answers: what follows is tried until the timeout.
func (f *adminFlags) reach(ctx context.Context, cmd *cobra.Command, client *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	if err := client.Ping(ctx); err != nil {
		return f.noAnswer(cmd, err)
	}
	return nil
}

func (f *adminFlags) noAnswer(cmd *cobra.Command, err error) error {
	hint := "; is a broker started there?"
	if !cmd.Flags().Changed("brokers") && os.Getenv(brokersVariable) == "" {
		hint = "; is a broker started there? --brokers host:port,... asks others"
	}
	return fmt.Errorf("no answer from %s%s (%w)", strings.Join(f.brokers, ", "), hint, err)
}

// shards is the answers of brokers that were each asked for their part. The error names those that did not answer; it is
// said beside what the others answered.
func shards[R any](answers []kgo.ResponseShard, each func(broker int32, resp R)) error {
	var failed []error
	for _, shard := range answers {
		switch resp, ok := shard.Resp.(R); {
		case shard.Err != nil && shard.Meta.NodeID < 0:
			failed = append(failed, shard.Err)
		case shard.Err != nil:
			failed = append(failed, fmt.Errorf("broker %d does not answer, and what it has is not here: %w", shard.Meta.NodeID, shard.Err))
		case ok:
			each(shard.Meta.NodeID, resp)
		}
	}
	return errors.Join(failed...)
}

// explained is err with what the broker says of it.
func explained(message string, err error) error {
	if message == "" {
		return err
	}
	return refusal{message, err}
}

// refusal is a broker's error code with the broker's own words. They stand instead of the code's general ones, which may say
// something else: a count of partitions that is no increase is INVALID_PARTITIONS, "below 1".
type refusal struct {
	message string
	err     error
}

func (r refusal) Unwrap() error { return r.err }

func (r refusal) Error() string {
	var code *kerr.Error
	if errors.As(r.err, &code) {
		return fmt.Sprintf("%s (%s)", r.message, code.Message)
	}
	return fmt.Sprintf("%s (%v)", r.message, r.err)
}

// answered is the error of a broker's answer: code, with what the broker says of it.
func answered(code int16, message *string) error {
	err := kerr.ErrorForCode(code)
	if err == nil {
		return nil
	}
	return explained(text(message), err)
}
