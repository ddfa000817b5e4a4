package integration

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

// unread is what of the compiled configs nobody reads: the config is accepted, and its value is kept and shown. Who begins to
// read it takes it out of the table.
var unread = map[string]string{
	"DeleteRetentionMs": "compaction is not there yet", "LogCleanerBackoffMs": "compaction is not there yet",
	"LogCleanerDedupeBufferSize": "compaction is not there yet", "LogCleanerEnable": "compaction is not there yet",
	"LogCleanerIOMaxBytes": "compaction is not there yet", "LogCleanerThreads": "compaction is not there yet",
	"MaxCompactionLagMs": "compaction is not there yet", "MinCleanableDirtyRatio": "compaction is not there yet",
	"MinCompactionLagMs": "compaction is not there yet",

	"LocalRetentionBytes": "-2 is all that makes sense without tiered storage", "LocalRetentionMs": "-2 is all that makes sense without tiered storage",
	"TransactionMaxTimeoutMs": "transactions are not there yet", "TransactionalIDExpiration": "transactions are not there yet",

	"FileDeleteDelayMs": "readers hold the files that they read", "IndexIntervalBytes": "segments choose it",
	"Preallocate": "segments are written at once and whole", "SegmentIndexBytes": "an index is as large as its segment wants",
	"QueuedMaxRequestBytes": "the memory limit bounds what waits", "QueuedMaxRequests": "the memory limit bounds what waits",
	"ReplicaFetchMinBytes": "a follower takes what there is: producers wait for it",
	"RequestTimeoutMs":     "each request between brokers has its own",
}

// A config that is accepted is honoured: its compiled value is read by somebody, or the table above says why not.
func TestConfigsAreRead(t *testing.T) {
	tree := os.DirFS("..")
	var fields []string
	for _, file := range []string{"kafka/config/broker.go", "kafka/config/topic.go", "kafka/config/group.go"} {
		fields = append(fields, exportedFields(t, tree, file)...)
	}
	read := map[string]bool{}
	for _, file := range goFiles(t, tree) {
		if strings.HasPrefix(file, "kafka/config/") || strings.HasPrefix(file, "integration/") || strings.HasSuffix(file, "_test.go") {
			continue
		}
		ast.Inspect(parsed(t, tree, file), func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				read[s.Sel.Name] = true
			}
			return true
		})
	}
	for _, f := range fields {
		if _, excused := unread[f]; read[f] == excused {
			t.Errorf("%s is read: %v, and has a reason not to be: %v", f, read[f], excused)
		}
	}
	for f := range unread {
		if !slices.Contains(fields, f) {
			t.Errorf("%s is no field of a compiled config", f)
		}
	}
}

// exportedFields are those of a file's structs.
func exportedFields(t *testing.T, tree fs.FS, file string) (names []string) {
	ast.Inspect(parsed(t, tree, file), func(n ast.Node) bool {
		if s, ok := n.(*ast.StructType); ok {
			for _, f := range s.Fields.List {
				for _, name := range f.Names {
					if name.IsExported() {
						names = append(names, name.Name)
					}
				}
			}
		}
		return true
	})
	return names
}

func parsed(t *testing.T, tree fs.FS, file string) *ast.File {
	t.Helper()
	src, err := fs.ReadFile(tree, file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parser.ParseFile(token.NewFileSet(), file, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func goFiles(t *testing.T, tree fs.FS) (files []string) {
	t.Helper()
	for _, dir := range []string{"cluster", "kafka", "cmd/chronik-server"} {
		err := fs.WalkDir(tree, dir, func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && path.Ext(name) == ".go" {
				files = append(files, name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}
