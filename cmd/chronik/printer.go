package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

var errDamaged = errors.New("damage was found")

// A printer writes what is found, a line each, as text or JSON, and remembers the damage.
type printer struct {
	out    *bufio.Writer
	json   bool
	quiet  bool // only damage is shown
	damage []damage
	counts map[string]int64
	// verdict is set when a whole directory was verified: its damage is all that was shown, and not shown again.
	verdict string
}

// damage is bytes that are not those that were written. Position -1 is unknown.
type damage struct {
	What     string `json:"what"`
	File     string `json:"file"`
	Position int64  `json:"position"`
	Why      string `json:"why"`
}

func newPrinter(out io.Writer, format string) (*printer, error) {
	if format != "text" && format != "json" {
		return nil, fmt.Errorf("--format %q is unknown: write text or json", format)
	}
	return &printer{out: bufio.NewWriterSize(out, 64<<10), json: format == "json", counts: make(map[string]int64)}, nil
}

// line writes text behind depth steps of indentation, or value as JSON. Errors of the writer come with close.
func (p *printer) line(depth int, text string, value any) {
	if p.quiet {
		return
	}
	if p.json {
		b, err := json.Marshal(value)
		if err != nil {
			b = fmt.Appendf(nil, "{%q:%q}", "error", err)
		}
		_, _ = p.out.Write(append(b, '\n'))
		return
	}
	fmt.Fprintf(p.out, "%s%s\n", strings.Repeat("  ", depth), text)
}

// lineOf is line of a value that is its own text, which a quiet printer does not ask for.
func (p *printer) lineOf(depth int, value fmt.Stringer) {
	if !p.quiet {
		p.line(depth, value.String(), value)
	}
}

func (p *printer) count(things string) { p.counts[things]++ }

// damaged shows it even when the printer is quiet.
func (p *printer) damaged(file string, position int64, why string) {
	d := damage{"damage", file, position, why}
	p.damage = append(p.damage, d)
	quiet := p.quiet
	p.quiet = false
	p.line(0, "damage: "+d.String(), d)
	p.quiet = quiet
}

func (d damage) String() string {
	if d.Position < 0 {
		return fmt.Sprintf("%s: %s", d.File, d.Why)
	}
	return fmt.Sprintf("%s at %d: %s", d.File, d.Position, d.Why)
}

func (p *printer) summary() {
	var texts []string
	for _, things := range slices.Sorted(maps.Keys(p.counts)) {
		texts = append(texts, fmt.Sprintf("%d %s", p.counts[things], things))
	}
	p.line(0, fmt.Sprintf("looked at %s; damage: %d", strings.Join(texts, ", "), len(p.damage)), struct {
		What    string           `json:"what"`
		Looked  map[string]int64 `json:"looked_at"`
		Damaged int              `json:"damage"`
	}{"summary", p.counts, len(p.damage)})
}

// damaged is an errDamaged in other words.
type damaged string

func (d damaged) Error() string { return string(d) }

func (damaged) Unwrap() error { return errDamaged }

// close returns errDamaged, with the first place, if anything was.
func (p *printer) close() error {
	if err := p.out.Flush(); err != nil {
		return err
	}
	switch n := len(p.damage); {
	case n == 0:
		return nil
	case p.verdict != "" && n == 1:
		return damaged("1 place is damaged" + p.verdict)
	case p.verdict != "":
		return damaged(fmt.Sprintf("%d places are damaged%s", n, p.verdict))
	case n == 1:
		return fmt.Errorf("%w: %s", errDamaged, p.damage[0])
	default:
		return fmt.Errorf("%w in %d places, the first: %s", errDamaged, n, p.damage[0])
	}
}

// timeText is a timestamp in milliseconds since 1970 as people read it.
func timeText(ms int64) string {
	if ms < 0 {
		return "none"
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}
