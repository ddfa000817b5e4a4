// Command chronik-bench loads a Kafka-compatible broker and measures it, and verifies what it reads: every record says
// who sent it and which one it is (record.go), what was acknowledged is kept (ledger.go), and readers look for anything
// that is lost, doubled, changed or out of order (check.go). It knows nothing of the broker but the Kafka protocol.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// version is set by the linker.
var version = "dev"

// Exit codes: 1 a run that could not begin, was not acknowledged whole or had nothing to verify, 2 a verification that
// failed. exitCodes says it to users.
const (
	exitFailed       = 1
	exitVerification = 2

	exitCodes = "Exit codes: 0 all is well, 1 the run could not begin, not every record was acknowledged, or --verify-file holds no\n" +
		"acknowledged record that could be looked for, 2 records are lost, doubled, changed or out of order."
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "chronik-bench:", err)
		if errors.Is(err, errVerification) {
			os.Exit(exitVerification)
		}
		os.Exit(exitFailed)
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "chronik-bench",
		Short:         "Load a Kafka-compatible broker, measure it, and verify what it gives back",
		Long:          "chronik-bench loads a Kafka-compatible broker, measures it, and verifies what it gives back.\n\n" + exitCodes,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetVersionTemplate(versionText())
	root.AddCommand(
		subcommand("produce", "Produce, and measure the time from when a record was to be sent until it is acknowledged", runProduce,
			(*Config).produceFlags),
		subcommand("consume", "Consume what the topic holds (with --duration: what comes), and verify it", runConsume,
			(*Config).consumeFlags),
		subcommand("both", "Produce and consume at once, then verify that every acknowledged record was read, in order, once", runBoth,
			(*Config).produceFlags, (*Config).readFlags),
		subcommand("raw", "Produce requests that were encoded before, so that the broker is measured and not the client", runRaw,
			(*Config).connFlags, (*Config).topicFlags, (*Config).rawFlags),
		subcommand("raw-fetch", "Fetch the newest records of the topic again and again, and count their bytes", runRawFetch,
			(*Config).connFlags, (*Config).rawFetchFlags),
		versionCommand(),
	)
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), versionText())
			return err
		},
	}
}

func versionText() string { return "chronik-bench " + version + "\n" }

// subcommand prints the report, if there is one, even when the run failed.
func subcommand(name, short string, run func(context.Context, *Config) (*report, error), flags ...func(*Config, *pflag.FlagSet)) *cobra.Command {
	c := new(Config)
	cmd := &cobra.Command{Use: name, Short: short, Long: short + ".\n\n" + exitCodes, Args: cobra.NoArgs}
	c.commonFlags(cmd.Flags())
	for _, define := range flags {
		define(c, cmd.Flags())
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := c.check(cmd.Flags(), name); err != nil {
			return err
		}
		r, err := run(cmd.Context(), c)
		if r == nil {
			return err
		}
		if err != nil {
			r.Failure = err.Error()
		}
		if writeErr := r.write(cmd.OutOrStdout(), c.Format); writeErr != nil {
			return writeErr
		}
		return err
	}
	return cmd
}
