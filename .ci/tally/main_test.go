package main

import (
	"strings"
	"testing"
)

func TestTally(t *testing.T) {
	for _, c := range []struct {
		name, in, last string
		ok             bool
	}{
		{"a pass", `{"Action":"pass","Package":"p","Test":"T"}`, "1 passed, 0 failed", true},
		{"nothing ran", ``, "0 passed, 0 failed", false},
		{"a failure shows its output", `{"Action":"output","Package":"p","Test":"T","Output":"why\n"}
{"Action":"fail","Package":"p","Test":"T"}
{"Action":"fail","Package":"p"}`, "why\nFAIL  p 0.0s\n0 passed, 1 failed", false},
		{"a package that does not build", `{"ImportPath":"p","Action":"build-output","Output":"syntax\n"}
{"ImportPath":"p","Action":"build-fail"}
{"Action":"pass","Package":"q","Test":"T"}
{"Action":"fail","Package":"p"}`, "syntax\nFAIL  p 0.0s\n1 passed, 1 failed", false},
		{"a test that never ends", `{"Action":"output","Package":"p","Test":"T","Output":"=== RUN T\n"}`,
			"=== RUN T\nFAIL  p T: never ended\n0 passed, 1 failed", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			y := newTally(&out)
			if err := y.readAll(strings.NewReader(c.in)); err != nil {
				t.Fatal(err)
			}
			if ok := y.close(); ok != c.ok {
				t.Errorf("close() = %v, want %v", ok, c.ok)
			}
			if got := strings.TrimSpace(out.String()); got != c.last {
				t.Errorf("got %q, want %q", got, c.last)
			}
		})
	}
}
