// Command table prints the results of fault campaigns, which wal/campaign writes as lines of JSON, as a Markdown table.
// It ends with 1 when one failed or did less than it was to do.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"chronik/wal/campaign"
)

func main() {
	ok, err := render(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

func render(in io.Reader, out io.Writer) (ok bool, err error) {
	var all []campaign.Result
	for lines := json.NewDecoder(in); ; {
		var r campaign.Result
		if err := lines.Decode(&r); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return false, err
		}
		all = append(all, r)
	}
	slices.SortStableFunc(all, func(a, b campaign.Result) int { return strings.Compare(a.Name, b.Name) })
	fmt.Fprint(out, "| campaign | wanted | done | found | first seed | seconds | |\n|---|---|---|---|---|---|---|\n")
	ok = len(all) > 0
	for _, r := range all {
		end := "passed"
		if r.Failed || r.Done < r.Wanted {
			end, ok = "FAILED", false
		}
		fmt.Fprintf(out, "| %s | %d %s | %d | %s | %d | %.0f | %s |\n", r.Name, r.Wanted, r.Unit, r.Done, found(r.Counts), r.FirstSeed, r.Seconds, end)
	}
	return ok, nil
}

func found(c campaign.Counts) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(c)) {
		parts = append(parts, fmt.Sprintf("%d %s", c[name], name))
	}
	return strings.Join(parts, ", ")
}
