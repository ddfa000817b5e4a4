package vfs

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A descriptor that only the garbage collector closes keeps the file system from being unmounted until then.
func TestASubdirectoryMustNotStayOpen(t *testing.T) {
	dir := t.TempDir()
	f, err := OS(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.MkdirAll("a/b"); err != nil {
		t.Fatal(err)
	}
	sub, err := Sub(f, "a/b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sub.List("."); err != nil {
		t.Error(err)
	}
	if err := f.(io.Closer).Close(); err != nil {
		t.Error(err)
	}
	all, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range all {
		if name, err := os.Readlink(fd); err == nil && strings.HasPrefix(name, dir) {
			t.Errorf("%s is open", name)
		}
	}
}
