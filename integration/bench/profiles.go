package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sync/errgroup"
)

// A profiled is a load that misses a target, and what Chronik did under it.
type profiled struct {
	load   string
	misses []string
	tops   []top // one of each kind
}

// A profileKind is what the server is asked for, and how the answer is read.
type profileKind struct {
	name, path string
	title      string
	read       []string // arguments of pprof
}

// Of what was waited for, those count who did it, on the way of the records: the runtime's functions by which one waits are the
// same for all, and other loops wait because there is nothing to do.
var profileKinds = []profileKind{
	{"cpu", "profile", "CPU time", nil},
	{"block", "block", "waiting", []string{"-focus", `^chronik/(kafka|wal|cluster/(partlog|replica))`, "-hide", `^(runtime|sync|context|time|internal/.*|golang\.org/x/sync/.*)\.`}},
}

// profilesFile says what the profiles show; it stands beside the table.
const profilesFile = "PROFILES.md"

const (
	topFunctions = 8
	leastProfile = 2 // seconds
)

// profile runs a load that misses a target once more, and keeps what Chronik did meanwhile. It comes behind the runs that count.
func (b *bench) profile(p *pair, l load) error {
	found := profiled{load: l.name}
	for _, e := range b.result.entries {
		if e.load == l.name && e.missed() {
			c := e.cells()
			found.misses = append(found.misses, fmt.Sprintf("%s: target %s; Chronik %s %s", e.measure, e.target, c.real, c.ratio))
		}
	}
	if b.Profiles == "" || p.oursFleet == nil || len(found.misses) == 0 {
		return nil
	}
	files, err := b.profiles(p.oursFleet, l)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	for i, kind := range profileKinds {
		t, err := b.top(kind, files[i])
		if err != nil {
			return err
		}
		found.tops = append(found.tops, t)
	}
	b.result.profiles = append(b.result.profiles, found)
	return nil
}

// profiles has every node profiled during a run of the load, all kinds at once, and returns the files of each kind.
func (b *bench) profiles(f *fleet, l load) (files [][]string, err error) {
	if err := os.MkdirAll(b.Profiles, 0o755); err != nil {
		return nil, err
	}
	all, ctx := errgroup.WithContext(b.ctx)
	for _, kind := range profileKinds {
		var of []string
		for id, p := range f.ports {
			file := filepath.Join(b.Profiles, fmt.Sprintf("%s.%s%d.pb.gz", slug(l.name), kind.name, id+1))
			of = append(of, file)
			all.Go(func() error {
				return download(ctx, fmt.Sprintf("http://%s/debug/pprof/%s?seconds=%d", loopback(p.http), kind.path, b.profileSeconds()), file)
			})
		}
		files = append(files, of)
	}
	_, err = b.saying("profiled: ").turn(l, f)
	err = errors.Join(err, all.Wait())
	for _, n := range f.nodes {
		_ = n.forgetPeak() // which a profile is not part of; a system that cannot forget it has the next load's with it
	}
	return files, err
}

// profileSeconds is how long a profile takes: as long as a run, in whole seconds.
func (b *bench) profileSeconds() int { return max(leastProfile, int(math.Ceil(b.Duration.Seconds()))) }

func download(ctx context.Context, url, file string) (err error) {
	rq, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(rq)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, resp.Body)
	return errors.Join(err, out.Close())
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// slug is a load's name as a file may have it.
func slug(name string) string {
	return strings.Trim(notInNames.ReplaceAllString(strings.ToLower(name), "-"), "-")
}

// A top is the functions of a profile that have the most of it by themselves.
type top struct {
	title     string
	total     string // as pprof says it
	functions []function
}

type function struct{ flat, cum, name string }

// top asks pprof; of several files it takes the sum.
func (b *bench) top(kind profileKind, files []string) (top, error) {
	args := append([]string{"tool", "pprof", "-top", "-nodecount", fmt.Sprint(topFunctions)}, kind.read...)
	cmd := exec.CommandContext(b.ctx, b.Go, append(args, files...)...)
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.Output()
	if err != nil {
		return top{}, fmt.Errorf("go tool pprof: %w: %s", err, log.String())
	}
	t := readTop(string(out))
	t.title = kind.title
	return t, nil
}

// readTop takes a table of pprof: flat, its share, the shares' sum, cum, its share, and the function.
func readTop(text string) (t top) {
	for line := range strings.Lines(text) {
		if _, of, ok := strings.Cut(line, "% of "); ok {
			t.total, _, _ = strings.Cut(of, " total")
		}
		f := strings.Fields(line)
		if len(f) < 6 || !strings.HasSuffix(f[1], "%") || !strings.HasSuffix(f[4], "%") {
			continue
		}
		name := strings.TrimSuffix(strings.Join(f[5:], " "), " (inline)")
		t.functions = append(t.functions, function{f[1], f[4], name})
	}
	return t
}

const profilesIntro = `Written by %s: what Chronik did under each load that misses a target in the table
of %s, in a run of its own behind those that were measured. Of CPU time and of waiting the functions that have
the most of it by themselves, as ` + "`go tool pprof -top`" + ` shows it; *cum* is with all that they call. Of waiting it is only that on the
way of the records, and a goroutine that has none to work on waits too.
`

// profilesText is all that was profiled.
func (r *result) profilesText(table string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Profiles of the loads that miss a target\n\n"+profilesIntro+"\n- %s\n- %s\n", "`make bench-vs-kafka`", table,
		r.began.UTC().Format("2006-01-02 15:04 MST"), r.machine)
	if len(r.profiles) == 0 {
		b.WriteString("\nNone does.\n")
	}
	for _, p := range r.profiles {
		fmt.Fprintf(&b, "\n## %s\n\n", p.load)
		for _, miss := range p.misses {
			fmt.Fprintf(&b, "- %s\n", miss)
		}
		for _, t := range p.tops {
			fmt.Fprintf(&b, "\n| %s: share of %s | cum | function |\n|---|---|---|\n", t.title, t.total)
			for _, f := range t.functions {
				fmt.Fprintf(&b, "| %s | %s | `%s` |\n", f.flat, f.cum, f.name)
			}
		}
	}
	return b.String()
}
