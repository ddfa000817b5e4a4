// Package integration tests the broker as a whole, and the shape of its source
// tree: which package may import which (floors_test.go), and what every file
// keeps to (tidy_test.go). Nothing imports it.
package integration

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const module = "chronik"

// A floor's chains stand side by side and do not see each other. In a chain a
// package imports what stands before it; packages between bars are peers.
type floor struct {
	name   string
	chains []string
}

// floors, lowest first. "*" stands for one path element, "..." for any number.
var floors = []floor{
	{"vocabulary", []string{"wal/campaign|wal/mutant|wal/crc wal/arena wal/vfs kafka/kerr kafka/config kafka/batch objstore"}},
	{"storage", []string{"wal", "segment segment/tier", "objstore/storetest objstore/*"}},
	{"metadata", []string{"metalog/image metalog"}},
	{"node", []string{"cluster/member|cluster/peer|cluster/partlog cluster/replica cluster/coordinator|cluster/share/state " +
		"cluster/group|cluster/txn|cluster/share|cluster/controller|cluster/search|cluster/backup cluster"}},
	{"edge", []string{"kafka/wire kafka/auth kafka/quota kafka/api " +
		"kafka/server|kafka/registry|kafka/rest|kafka/console"}},
	{"command", []string{"cmd/*"}},
	{"ground of the tests", []string{"integration/ports"}},
	{"integration", []string{"integration/broker|integration/faults/baddisk|integration/faults/lan integration|integration/faults", "integration/..."}},
}

// A fence keeps imports, with all below them, to a few packages.
type fence struct{ imports, only string }

var fences = []fence{
	{"github.com/hashicorp/raft github.com/hashicorp/raft-boltdb go.etcd.io/bbolt github.com/boltdb/bolt", "metalog"},
	{"github.com/hashicorp/memberlist", "cluster/member"},
	{"net/http", "kafka/registry kafka/rest kafka/console objstore/* cmd/* integration/..."},
	{"unsafe", "wal/vfs wal/arena kafka/wire"},
}

// pureFiles decide by what they are given: the same log gives the same state on
// every node, at every time.
const pureFiles = "metalog/image/*.go cluster/group/*.go cluster/txn/*.go cluster/share/*.go cluster/controller/plan*.go"

// impure lists what asks the clock or the dice; "*" is the whole package.
var impure = map[string]string{
	"math/rand":              "*",
	"math/rand/v2":           "*",
	"crypto/rand":            "*",
	"time":                   "Now Since Until Sleep After AfterFunc Tick NewTicker NewTimer",
	"github.com/google/uuid": "New NewString NewRandom NewUUID NewV6 NewV7",
}

func TestFloors(t *testing.T) {
	report(t, checkFloors(load(t, os.DirFS(".."))))
}

// Each file breaks one rule; a checker that lets one through is of no use.
func TestFloorsCanFail(t *testing.T) {
	for _, c := range []struct{ file, code, want string }{
		{"wal/a.go", `import _ "chronik/segment"`, "wal/a.go: wal imports segment, which does not stand below it"},
		{"wal/a_test.go", `import _ "chronik/metalog"`, "wal/a_test.go: wal imports metalog, which does not stand below it"},
		{"kafka/wire/a.go", `import _ "chronik/kafka/api"`, "kafka/wire/a.go: kafka/wire imports kafka/api, which does not stand below it"},
		{"cluster/group/a.go", `import _ "chronik/cluster/txn"`, "cluster/group/a.go: cluster/group imports cluster/txn, which does not stand below it"},
		{"cluster/peer/a.go", `import _ "chronik/kafka/wire"`, "cluster/peer/a.go: cluster/peer imports kafka/wire, which does not stand below it"},
		{"wal/index/a.go", ``, "wal/index stands on no floor: list it in integration/floors_test.go"},
		{"wal/a.go", `import _ "chronik/lost"`, "wal/a.go: wal imports lost, which does not stand below it"},
		{"a.go", ``, ". stands on no floor: list it in integration/floors_test.go"},
		{"cluster/a.go", `import _ "github.com/hashicorp/raft"`, "cluster/a.go: imports github.com/hashicorp/raft, fenced to metalog"},
		{"cluster/a.go", `import _ "github.com/hashicorp/raft-boltdb/v2"`, "cluster/a.go: imports github.com/hashicorp/raft-boltdb/v2, fenced to metalog"},
		{"wal/a.go", `import _ "net/http/pprof"`, "wal/a.go: imports net/http/pprof, fenced to kafka/registry kafka/rest kafka/console objstore/* cmd/* integration/..."},
		{"wal/a.go", `import _ "unsafe"`, "wal/a.go: imports unsafe, fenced to wal/vfs wal/arena kafka/wire"},
		{"metalog/image/a.go", "import clock \"time\"\nvar now = clock.Now", "metalog/image/a.go: uses time.Now; it must be given what it decides by"},
		{"cluster/controller/plan_elect.go", `import _ "math/rand/v2"`, "cluster/controller/plan_elect.go: imports math/rand/v2; it must be given what it decides by"},
	} {
		tree := fstest.MapFS{c.file: {Data: []byte("package p\n" + c.code)}}
		if got := checkFloors(load(t, tree)); !slices.Equal(got, []string{c.want}) {
			t.Errorf("%s with %s:\n got %q\nwant %q", c.file, c.code, got, c.want)
		}
	}
}

func TestFloorsAllow(t *testing.T) {
	tree := fstest.MapFS{}
	for file, code := range map[string]string{
		"wal/a.go":                  `import (_ "chronik/wal/arena"; _ "chronik/kafka/batch"; _ "github.com/hashicorp/raftish")`,
		"wal/a_test.go":             `import (_ "unsafe"; _ "chronik/wal")`,
		"objstore/s3/a.go":          `import (_ "net/http"; _ "chronik/objstore")`,
		"objstore/s3/a_test.go":     `import _ "chronik/objstore/storetest"`,
		"cluster/replica/a.go":      `import _ "chronik/cluster/partlog"`,
		"cluster/group/a.go":        "import \"time\"\nvar second = time.Second",
		"cluster/controller/run.go": "import \"time\"\nvar now = time.Now",
		"cmd/x/a.go":                `import _ "chronik/kafka/server"`,
	} {
		tree[file] = &fstest.MapFile{Data: []byte("package p\n" + code)}
	}
	report(t, checkFloors(load(t, tree)))
}

// checkFloors returns what breaks the rules above, a line each.
func checkFloors(tree sources) (problems []string) {
	unlisted := map[string]bool{}
	for _, s := range tree.files {
		pkg := path.Dir(s.path)
		if _, ok := stand(pkg); !ok && !unlisted[pkg] {
			unlisted[pkg] = true
			problems = append(problems, pkg+" stands on no floor: list it in integration/floors_test.go")
		}
		for _, spec := range s.syntax.Imports {
			problems = append(problems, checkImport(s, pkg, importPath(spec))...)
		}
		problems = append(problems, checkPure(s)...)
	}
	return problems
}

func checkImport(s source, pkg, imported string) (problems []string) {
	if target, ours := strings.CutPrefix(imported, module+"/"); ours && target != pkg && !mayImport(pkg, target) {
		problems = append(problems, fmt.Sprintf("%s: %s imports %s, which does not stand below it", s.path, pkg, target))
	}
	for _, f := range fences {
		if !s.test && !matchAny(f.only, pkg) && fenced(f, imported) {
			problems = append(problems, fmt.Sprintf("%s: imports %s, fenced to %s", s.path, imported, f.only))
		}
	}
	return problems
}

func checkPure(s source) (problems []string) {
	if s.test || !matchAny(pureFiles, s.path) {
		return nil
	}
	names := map[string]string{} // what the file calls an impure package -> its path
	for _, spec := range s.syntax.Imports {
		imported := importPath(spec)
		name := path.Base(imported)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		switch impure[imported] {
		case "":
		case "*":
			problems = append(problems, fmt.Sprintf("%s: imports %s; it must be given what it decides by", s.path, imported))
		default:
			names[name] = imported
		}
	}
	for node := range ast.Preorder(s.syntax) {
		sel, _ := node.(*ast.SelectorExpr)
		if sel == nil {
			continue
		}
		pkg, _ := sel.X.(*ast.Ident)
		if pkg != nil && names[pkg.Name] != "" && slices.Contains(strings.Fields(impure[names[pkg.Name]]), sel.Sel.Name) {
			problems = append(problems, fmt.Sprintf("%s: uses %s.%s; it must be given what it decides by", s.path, names[pkg.Name], sel.Sel.Name))
		}
	}
	return problems
}

// A standing is where a package stands: its floor, its chain there, and how far
// along the chain.
type standing struct{ floor, chain, step int }

// stand finds a package's place; a package named in full comes before a pattern.
func stand(pkg string) (found standing, ok bool) {
	for f, fl := range floors {
		for c, chain := range fl.chains {
			for s, step := range strings.Fields(chain) {
				for name := range strings.SplitSeq(step, "|") {
					if name == pkg {
						return standing{f, c, s}, true
					}
					if matchAny(name, pkg) {
						found, ok = standing{f, c, s}, true
					}
				}
			}
		}
	}
	return found, ok
}

func mayImport(pkg, target string) bool {
	from, ok1 := stand(pkg)
	to, ok2 := stand(target)
	if !ok1 {
		return true // reported as unlisted, once
	}
	return ok2 && (to.floor < from.floor || to.floor == from.floor && to.chain == from.chain && to.step < from.step)
}

func fenced(f fence, imported string) bool {
	for name := range strings.FieldsSeq(f.imports) {
		if imported == name || strings.HasPrefix(imported, name+"/") {
			return true
		}
	}
	return false
}

// matchAny tells whether one of the patterns, set apart by spaces, matches.
func matchAny(patterns, name string) bool {
	for p := range strings.FieldsSeq(patterns) {
		if prefix, deep := strings.CutSuffix(p, "..."); deep && strings.HasPrefix(name, prefix) {
			return true
		}
		if ok, _ := path.Match(p, name); ok {
			return true
		}
	}
	return false
}

// A source is one Go file, whatever system it is for.
type source struct {
	path   string
	text   []byte
	syntax *ast.File
	test   bool
}

type sources struct {
	set   *token.FileSet
	files []source
}

// load parses every Go file that the go command would see.
func load(t *testing.T, tree fs.FS) sources {
	t.Helper()
	loaded := sources{set: token.NewFileSet()}
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != "." && (strings.ContainsAny(d.Name()[:1], "._") || d.Name() == "testdata" || d.Name() == "node_modules") {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		syntax, err := parser.ParseFile(loaded.set, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		loaded.files = append(loaded.files, source{name, text, syntax, strings.HasSuffix(name, "_test.go")})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func importPath(spec *ast.ImportSpec) string {
	p, _ := strconv.Unquote(spec.Path.Value) // the parser has accepted it
	return p
}

func report(t *testing.T, problems []string) {
	t.Helper()
	for _, p := range problems {
		t.Error(p)
	}
}
