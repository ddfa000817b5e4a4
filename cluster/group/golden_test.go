package group

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"chronik/metalog/image"
)

// testGolden holds entries against those of a file: a change of it is one of the format, and what was written once is read for ever.
func testGolden(t *testing.T, file string, entries []image.GroupEntry) {
	t.Helper()
	var text strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&text, "%s %x\n", e.Key, e.Value)
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(file); err != nil || string(want) != text.String() {
		t.Errorf("%v; it is\n%s", err, text.String())
	}
}
