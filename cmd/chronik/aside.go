package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"
)

// sentences is a log whose lines are sentences for whoever runs a command: "set aside: from a, to b".
type sentences struct{ cmd *cobra.Command }

// tellsWhatIsSetAside is the log of what replaces a node's metadata log: it says where the old one is kept.
func tellsWhatIsSetAside(cmd *cobra.Command) *slog.Logger { return slog.New(sentences{cmd}) }

func (sentences) Enabled(context.Context, slog.Level) bool { return true }

func (s sentences) Handle(_ context.Context, r slog.Record) error {
	var details []string
	r.Attrs(func(a slog.Attr) bool {
		details = append(details, a.Key+" "+a.Value.String())
		return true
	})
	_, err := fmt.Fprintf(s.cmd.ErrOrStderr(), "%s: %s\n", r.Message, strings.Join(details, ", "))
	return err
}

func (s sentences) WithAttrs([]slog.Attr) slog.Handler { return s }
func (s sentences) WithGroup(string) slog.Handler      { return s }
