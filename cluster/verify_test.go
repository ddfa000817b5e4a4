package cluster

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sizesIn is every file below dir with its size and the time of its last change.
func sizesIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	sizes := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sizes[path] = info.ModTime().String() + " " + info.Mode().String()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sizes
}

// chronik dump must not find a directory good that its node refuses.
func TestVerifySaysWhatAStartWould(t *testing.T) {
	for _, file := range []string{
		"", "metalog/raft.db", "metalog/node.id", "wal/checkpoint", "wal/00000000000000000001.wal",
	} {
		o := options(t.TempDir())
		n := mustStart(t, o)
		produce(t, n, createTopic(t, n, "t"))
		mustClose(t, n)
		if file != "" {
			if err := os.Remove(filepath.Join(o.Dir, file)); err != nil {
				t.Fatal(err)
			}
		}
		before := sizesIn(t, o.Dir)
		err := Verify(o.Dir)
		after := sizesIn(t, o.Dir)
		for name := range after {
			if before[name] != after[name] {
				t.Errorf("without %q: Verify changed %s", file, name)
			}
		}
		if file == "" {
			if err != nil {
				t.Errorf("a whole directory: %v", err)
			}
			continue
		}
		refused := mustNotStart(t, o)
		if err == nil || !strings.Contains(err.Error(), filepath.Base(file)) || !strings.Contains(refused.Error(), filepath.Base(file)) {
			t.Errorf("without %s: Verify says %v, a start %v", file, err, refused)
		}
	}
}
