package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"chronik/cluster"
)

func migrateMetadata() *cobra.Command {
	to := ""
	cmd := &cobra.Command{
		Use: "migrate-metadata DATA-DIR --to file|raft", Short: "Move a stopped standalone node's metadata between Raft's store and a plain file",
		Long: strings.TrimSpace(`
Move the metadata of a stopped standalone node from Raft's store to one plain file (--to file), or back (--to raft). It works on
the node's data directory, here, and asks no running cluster. Start the node with --file-metadata after the one, without after
the other. A node that is one of several is refused: they agree by Raft.

It is done in one step that a crash does not leave half done; what was there is kept under damaged/ in the data directory.`),
		Example: "  chronik cluster migrate-metadata /var/lib/chronik --to file",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("of which node? write one data directory: chronik cluster migrate-metadata DATA-DIR --to file|raft")
			}
			if to != "file" && to != "raft" {
				return fmt.Errorf("where to? write --to file or --to raft, not %q", to)
			}
			return migrate(cmd, args[0], to == "file")
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "`where`: file or raft")
	complete(cmd, "to", "file", "raft")
	return cmd
}

func migrate(cmd *cobra.Command, dir string, file bool) error {
	s, err := cluster.Survive(dir)
	if err != nil {
		return err
	}
	defer s.Close()
	was := s.InFile()
	if was == file && !s.Resumed {
		return fmt.Errorf("nothing was changed: the metadata in %s is %s already", dir, keptIn(file))
	}
	if was != file {
		if err := s.Migrate(file, tellsWhatIsSetAside(cmd)); err != nil {
			return err
		}
	}
	how := "with"
	if !file {
		how = "without"
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "the metadata of node %d is %s now, up to entry %d: start it %s --file-metadata\n", s.Self.Node, keptIn(file), s.Index, how)
	return err
}

func keptIn(file bool) string {
	if file {
		return "in a file"
	}
	return "in Raft's store"
}
