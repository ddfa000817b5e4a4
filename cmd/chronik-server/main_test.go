package main

import (
	"bytes"
	"testing"
)

func printed(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	cmd := command(&out)
	cmd.SetArgs(args)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Errorf("%v: %v", args, err)
	}
	return out.String()
}

func TestVersionHasBothForms(t *testing.T) {
	const want = "chronik-server dev\nclients are told: b.example.org:9092\n"
	for _, form := range []string{"version", "--version", "-v"} {
		if got := printed(t, form, "--advertised-addr", "b.example.org"); got != want {
			t.Errorf("%s prints %q", form, got)
		}
	}
}
