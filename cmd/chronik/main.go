// Command chronik looks after Chronik: it asks and changes a running cluster by Kafka's protocol (topic, cluster), and shows
// and verifies what a stopped node keeps on disk (dump), whose files it reads by their formats (FORMAT.md beside each
// package that has one) and never changes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "dev"

// Exit codes: 1 what was asked for could not be done, 2 damage was found.
const (
	exitFailed  = 1
	exitDamaged = 2
)

func main() {
	err := command(os.Stdout).ExecuteContext(context.Background())
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "chronik:", err)
	if errors.Is(err, errDamaged) {
		os.Exit(exitDamaged)
	}
	os.Exit(exitFailed)
}

func command(out io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:           "chronik",
		Short:         "Look after Chronik",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetOut(out)
	root.SetVersionTemplate(versionText())
	root.AddCommand(topicCommand(), clusterCommand(), dumpCommand(), versionCommand())
	return root
}

// group is a command that needs one of its own commands: a wrong name is an error, not only a help text.
func group(name, short string) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return fmt.Errorf("there is no %q: %s --help lists what there is", cmd.CommandPath()+" "+args[0], cmd.CommandPath())
		},
	}
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

func versionText() string { return "chronik " + version + "\n" }
