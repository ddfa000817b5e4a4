package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"
)

// difference is one field on which two brokers disagree, in some versions of a request.
type difference struct {
	scenario, label, path, ours, theirs string
	versions                            []string
	meant                               string // why, when it is meant
}

// report collects differences. What is the same in several versions is one.
type report struct {
	showMeant bool
	all       []*difference
	index     map[string]*difference
	compared  int
}

const absent = "-"

// named elements of arrays are worth a line when only one broker has them.
var named = regexp.MustCompile(`\[[a-z][^\]]*\]\.Name$`)

var labelVersion = regexp.MustCompile(` v(\d+) `)

func newReport(showMeant bool) *report {
	return &report{showMeant: showMeant, index: make(map[string]*difference)}
}

// compare pairs the answers of two scripts by their place: both asked the same.
func (r *report) compare(scenario string, ours, theirs *script) {
	n := max(len(ours.answers), len(theirs.answers))
	for i := range n {
		r.compared++
		a, b := place(ours.answers, i), place(theirs.answers, i)
		if a.label != b.label {
			r.add(scenario, a.label, "(step)", a.label, b.label)
			return // the two went separate ways, nothing after this compares
		}
		r.lines(scenario, a, b)
	}
}

func place(all []answer, i int) answer {
	if i < len(all) {
		return all[i]
	}
	return answer{label: "nothing more"}
}

func (r *report) lines(scenario string, a, b answer) {
	theirs := make(map[string]line, len(b.lines))
	for _, l := range b.lines {
		theirs[l.path] = l
	}
	failed := failures(a, theirs)
	for _, l := range a.lines {
		t, ok := theirs[l.path]
		delete(theirs, l.path)
		if !ok {
			r.add(scenario, a.label, l.path, l.String(), absent)
		} else if t.value != l.value && !follows(l.path, failed) {
			r.add(scenario, a.label, l.path, l.String(), t.String())
		}
	}
	for _, l := range b.lines {
		if _, left := theirs[l.path]; left {
			r.add(scenario, a.label, l.path, absent, l.String())
		}
	}
}

// failures are the parts of an answer whose error codes differ: what else differs in them follows from that.
func failures(a answer, theirs map[string]line) []string {
	var parts []string
	for _, l := range a.lines {
		if part, ok := strings.CutSuffix(l.path, "ErrorCode"); ok && theirs[l.path].value != l.value {
			parts = append(parts, part)
		}
	}
	return parts
}

func follows(path string, failed []string) bool {
	for _, part := range failed {
		if strings.HasPrefix(path, part) && path != part+"ErrorCode" {
			return true
		}
	}
	return false
}

func (r *report) add(scenario, label, path, ours, theirs string) {
	version := ""
	if m := labelVersion.FindStringSubmatch(label); m != nil {
		version = m[1]
		label = strings.Replace(label, m[0], " ", 1)
	}
	if (ours == absent || theirs == absent) && !named.MatchString(path) {
		return // the array that it belongs to differs in length, and says so
	}
	d := &difference{scenario: scenario, label: label, path: path, ours: ours, theirs: theirs}
	d.meant = why(d, version)
	key := strings.Join([]string{scenario, label, path, ours, theirs, d.meant}, "\x00")
	if r.index[key] == nil {
		r.index[key] = d
		r.all = append(r.all, d)
	}
	d = r.index[key]
	d.versions = append(d.versions, version)
}

// print returns how many differences are not meant.
func (r *report) print(w io.Writer) int {
	unmeant, under := 0, ""
	for _, d := range r.all {
		if d.meant != "" && !r.showMeant {
			continue
		}
		head := fmt.Sprintf("%s: %s, versions %s", d.scenario, d.label, strings.Join(d.versions, " "))
		if head != under {
			fmt.Fprintln(w, head)
			under = head
		}
		fmt.Fprintf(w, "    %s: chronik %s, kafka %s\n", d.path, d.ours, d.theirs)
		if d.meant != "" {
			fmt.Fprintf(w, "        meant: %s\n", d.meant)
		} else {
			unmeant++
		}
	}
	if r.showMeant {
		for _, i := range idle() {
			fmt.Fprintln(w, "meant, and not met:", i)
		}
	}
	fmt.Fprintf(w, "%d answers compared; %d differences, %d of them meant\n", r.compared, len(r.all), len(r.all)-unmeantOf(r.all))
	return unmeant
}

func unmeantOf(all []*difference) (n int) {
	for _, d := range all {
		if d.meant == "" {
			n++
		}
	}
	return n
}
