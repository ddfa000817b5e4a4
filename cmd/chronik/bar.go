package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// bar shows on the terminal how far something is that takes long. It is nil when there is no terminal, and then shows
// nothing. One goroutine uses it.
type bar struct {
	out   io.Writer
	what  string // records
	total int64  // 0: unknown
	done  int64
	begun time.Time
	shown time.Time
}

const (
	barWidth = 30
	barEvery = 200 * time.Millisecond
)

// newBar is a bar on standard error. Where results go to the same terminal, quiet, it would be in their way.
func newBar(cmd *cobra.Command, what string, total int64, quiet bool) *bar {
	if file, ok := cmd.ErrOrStderr().(*os.File); ok && isTerminal(file) && !quiet {
		return &bar{out: file, what: what, total: total, begun: time.Now()}
	}
	return nil
}

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	return err == nil
}

// set says how much is done, and of how much.
func (b *bar) set(done, total int64) {
	if b == nil {
		return
	}
	b.done, b.total = done, total
	if now := time.Now(); now.Sub(b.shown) >= barEvery {
		b.shown = now
		fmt.Fprint(b.out, "\r\x1b[K"+b.line(now))
	}
}

// end takes the bar away.
func (b *bar) end() {
	if b != nil && !b.shown.IsZero() {
		fmt.Fprint(b.out, "\r\x1b[K")
	}
}

func (b *bar) line(now time.Time) string {
	took := now.Sub(b.begun)
	if b.total <= 0 {
		return fmt.Sprintf("%d %s, %s", b.done, b.what, took.Round(time.Second))
	}
	part := min(1, float64(b.done)/float64(b.total))
	full := int(part * barWidth)
	line := fmt.Sprintf("[%s%s] %3.0f%% %d of %d %s", strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), part*100, b.done, b.total, b.what)
	if part > 0.01 && part < 1 {
		line += fmt.Sprintf(", %s left", (time.Duration(float64(took)/part) - took).Round(time.Second))
	}
	return line
}
