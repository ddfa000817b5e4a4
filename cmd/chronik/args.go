package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// noArgs refuses any argument.
func noArgs(cmd *cobra.Command, args []string) error { return atMost(cmd, args, 0) }

// atMost refuses what follows so many arguments, and names it: that one is there was seen.
func atMost(cmd *cobra.Command, args []string, n int) error {
	if len(args) <= n {
		return nil
	}
	return fmt.Errorf("%q is one argument too many: %s", args[n], cmd.UseLine())
}

// one asks which thing is meant when it is not named.
func one(cmd *cobra.Command, args []string, thing string) error {
	if len(args) == 0 {
		return fmt.Errorf("which %s? name one: %s", thing, cmd.UseLine())
	}
	return atMost(cmd, args, 1)
}

// someOf asks which things are meant when none is named.
func someOf(cmd *cobra.Command, args []string, things string) error {
	if len(args) == 0 {
		return fmt.Errorf("which %s? name them: %s", things, cmd.UseLine())
	}
	return nil
}

func oneTopic(cmd *cobra.Command, args []string) error   { return one(cmd, args, "topic") }
func someTopics(cmd *cobra.Command, args []string) error { return someOf(cmd, args, "topics") }
func oneGroup(cmd *cobra.Command, args []string) error   { return one(cmd, args, "group") }
func someGroups(cmd *cobra.Command, args []string) error { return someOf(cmd, args, "groups") }
func oneNode(cmd *cobra.Command, args []string) error    { return one(cmd, args, "node") }
