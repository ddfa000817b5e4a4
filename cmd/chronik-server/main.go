// Command chronik-server is the broker. It takes its settings from flags, the environment and a file (config.go), puts
// the node together (assemble.go), and runs until it is told to stop or storage fails.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "dev"

// Exit codes: 1 a start that failed or a wrong setting, 3 a failure of storage while running. Nothing is acknowledged
// after the latter.
const (
	exitFailed  = 1
	exitStorage = 3
)

var errStorage = errors.New("storage failed")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	cmd := command(os.Stdout)
	cmd.SetArgs(joinSwitches(os.Args[1:]))
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "chronik-server:", err)
		if errors.Is(err, errStorage) {
			os.Exit(exitStorage)
		}
		os.Exit(exitFailed)
	}
}

func command(out io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "chronik-server",
		Short: "A Kafka-compatible broker that loses nothing",
		Long: "chronik-server is a Kafka-compatible broker. Without a command it runs standalone.\n\n" +
			"Every setting is a flag, an environment variable and a key of the file that --config names, in that order of precedence.",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          serveOrVersion,
	}
	root.Flags().BoolP(versionFlag, "v", false, "print what the command version prints")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetOut(out)
	AddFlags(root.PersistentFlags())
	root.AddCommand(
		&cobra.Command{Use: "standalone", Short: "Run one node as a cluster of its own (the default)", Args: cobra.NoArgs, RunE: serve},
		&cobra.Command{Use: "all", Short: "Run one node with everything it has; today that is the same as standalone", Args: cobra.NoArgs, RunE: serve},
		&cobra.Command{Use: "version", Short: "Print the version, and what clients will be told to connect to", Args: cobra.NoArgs, RunE: printVersion},
	)
	return root
}

const versionFlag = "version"

// serveOrVersion is not cobra's own version flag because that one knows no settings, and prints another text than the command.
func serveOrVersion(cmd *cobra.Command, args []string) error {
	if asked, err := cmd.Flags().GetBool(versionFlag); asked || err != nil {
		return errors.Join(err, printVersion(cmd, args))
	}
	return serve(cmd, args)
}

func serve(cmd *cobra.Command, _ []string) error {
	c, err := Load(cmd.Flags(), os.Environ())
	if err != nil {
		return err
	}
	logger := newLogger(c, os.Stderr)
	slog.SetDefault(logger)
	addProcessor()
	return run(cmd.Context(), c, logger)
}

// addProcessor lets one goroutine more run than there are processors: whoever writes to disk sits in a system call most of
// the time (the log's own goroutine does not on ext4 and xfs, see vfs.Park), and the runtime takes its place away from it
// too late for those who have requests to read.
func addProcessor() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
}

func printVersion(cmd *cobra.Command, _ []string) error {
	c, err := Load(cmd.Flags(), os.Environ())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "chronik-server %s\nclients are told: %s\n", version, c.advertised(c.KafkaPort))
	return err
}

func newLogger(c Config, w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
