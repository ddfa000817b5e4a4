// Command tally reads the events of `go test -json` and prints what a person
// wants to see: a line per package, the whole output of what failed, and last
// "N passed, N failed". It does not run tests, and it knows nothing of them.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// An event is one line of `go test -json`; see `go doc test2json` and, for
// ImportPath, `go help buildjson`.
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Elapsed    float64
	Output     string
}

type tally struct {
	passed, failed int
	out            io.Writer
	held           map[string]*strings.Builder // output of what has not ended yet, by package and test
	failedIn       map[string]int              // failed tests by package
}

func main() {
	t := newTally(os.Stdout)
	if err := t.readAll(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		os.Exit(1)
	}
	if !t.close() {
		os.Exit(1)
	}
}

func newTally(out io.Writer) *tally {
	return &tally{out: out, held: map[string]*strings.Builder{}, failedIn: map[string]int{}}
}

func (t *tally) readAll(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			t.line(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// line takes one line; the go command writes plain text too when it cannot start.
func (t *tally) line(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil || e.Action == "" {
		t.out.Write(line)
		return
	}
	t.take(e)
}

func (t *tally) take(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		t.hold(key, e.Output)
	case "build-output":
		fmt.Fprint(t.out, e.Output)
	case "pass", "skip":
		t.ended(e, key)
	case "fail":
		if b := t.held[key]; b != nil {
			fmt.Fprint(t.out, b)
		}
		t.count(e)
		t.ended(e, key)
	}
}

// count adds a failure: the test itself, or the package when no test of it can
// be named (it did not build, or it died between tests).
func (t *tally) count(e event) {
	switch {
	case e.Test != "":
		t.failed++
		t.failedIn[e.Package]++
	case t.failedIn[e.Package] == 0:
		t.failed++
	}
}

func (t *tally) ended(e event, key string) {
	delete(t.held, key)
	switch {
	case e.Test != "" && e.Action == "pass":
		t.passed++
	case e.Test == "" && e.Action == "pass":
		fmt.Fprintf(t.out, "ok    %s %.1fs\n", e.Package, e.Elapsed)
	case e.Test == "" && e.Action == "fail":
		fmt.Fprintf(t.out, "FAIL  %s %.1fs\n", e.Package, e.Elapsed)
	}
}

func (t *tally) hold(key, output string) {
	b := t.held[key]
	if b == nil {
		b = &strings.Builder{}
		t.held[key] = b
	}
	b.WriteString(output)
}

// close prints the closing line and tells whether all is well. Tests that
// started and never ended are failures; a run without any test is one too.
func (t *tally) close() bool {
	for key, output := range t.held {
		if strings.HasSuffix(key, " ") {
			continue // a package's own output, of one without tests
		}
		t.failed++
		fmt.Fprintf(t.out, "%sFAIL  %s: never ended\n", output, key)
	}
	fmt.Fprintf(t.out, "%d passed, %d failed\n", t.passed, t.failed)
	return t.failed == 0 && t.passed > 0
}
