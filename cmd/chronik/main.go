// Command chronik works with Chronik: it writes and reads records, asks and changes a running cluster by Kafka's protocol
// (topic, group, config, cluster, doctor), and shows and verifies what a stopped node keeps on disk (dump), whose files it
// reads by their formats (FORMAT.md beside each package that has one) and never changes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "dev"

// Exit codes: 1 what was asked for could not be done, 2 damage was found.
const (
	exitFailed  = 1 // doctor found something bad, or cluster status something wrong, too
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

// Parts of the help of chronik itself.
const (
	dataPart    = "data"
	groupsPart  = "groups"
	clusterPart = "cluster"
	filesPart   = "files"
)

func command(out io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "chronik",
		Short: "Write, read and look after Chronik",
		Long: `chronik writes and reads records, and looks after a cluster: its topics, consumer groups, configs and nodes. It speaks
Kafka's protocol.

It asks localhost:9092, unless --brokers or CHRONIK_BROKERS names brokers of a cluster: host:port,host:port`,
		Example: `  chronik topic create greetings
  chronik produce greetings hello
  chronik consume greetings
  chronik doctor                          # is all well? what to do?`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetOut(out)
	root.SetFlagErrorFunc(wrongFlag)
	root.SetVersionTemplate(versionText())
	root.AddGroup(&cobra.Group{ID: dataPart, Title: "Topics and records:"}, &cobra.Group{ID: groupsPart, Title: "Consumers:"},
		&cobra.Group{ID: clusterPart, Title: "The cluster:"}, &cobra.Group{ID: filesPart, Title: "Files of a stopped node:"})
	addTo(root, dataPart, topicCommand(), produceCommand(), consumeCommand())
	addTo(root, groupsPart, groupCommand())
	addTo(root, clusterPart, clusterCommand(), configCommand(), doctorCommand())
	addTo(root, filesPart, dumpCommand())
	root.AddCommand(versionCommand())
	return root
}

// wrongFlag says of a flag that cannot be read what was wrong, without the names of Go's functions, and who lists the flags.
func wrongFlag(cmd *cobra.Command, err error) error {
	said := err
	var number *strconv.NumError
	if errors.As(err, &number) {
		if before, _, found := strings.Cut(err.Error(), ": strconv."); found {
			said = fmt.Errorf("%s: %w", before, number.Err)
		}
	}
	return fmt.Errorf("%w: %s --help lists the flags", said, cmd.CommandPath())
}

func addTo(root *cobra.Command, part string, commands ...*cobra.Command) {
	for _, cmd := range commands {
		cmd.GroupID = part
		root.AddCommand(cmd)
	}
}

// noun is a command that needs one of its own commands: a wrong name is an error, not only a help text.
func noun(name, short string) *cobra.Command {
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
		Use: "version", Short: "Print the version", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), versionText())
			return err
		},
	}
}

func versionText() string { return "chronik " + version + "\n" }
