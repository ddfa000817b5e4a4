package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// bar shows on the terminal how far something is that takes long. It is nil when there is no terminal, and then shows
// nothing.
type bar struct{ shown *progressbar.ProgressBar }

// newBar is a bar on standard error; a total of 0 is not known yet. Where results go to the same terminal, quiet, it would be
// in their way.
func newBar(cmd *cobra.Command, what string, total int64, quiet bool) *bar {
	if quiet || !isTerminal(cmd.ErrOrStderr()) {
		return nil
	}
	if total <= 0 {
		total = -1
	}
	return &bar{progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(cmd.ErrOrStderr()), progressbar.OptionUseANSICodes(true), progressbar.OptionSetWidth(30),
		progressbar.OptionSetDescription(what), progressbar.OptionShowCount(), progressbar.OptionThrottle(200*time.Millisecond),
		progressbar.OptionShowBytes(what == "bytes"))}
}

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// set says how much is done, and of how much. What the terminal does not take is not worth an error.
func (b *bar) set(done, total int64) {
	if b == nil {
		return
	}
	if total > 0 && total != b.shown.GetMax64() {
		b.shown.ChangeMax64(total)
	}
	_ = b.shown.Set64(done)
}

// end takes the bar away.
func (b *bar) end() {
	if b != nil {
		_ = b.shown.Exit()
		_ = b.shown.Clear()
	}
}
