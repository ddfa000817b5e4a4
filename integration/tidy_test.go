package integration

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const (
	maxFileLines     = 600
	maxFunctionLines = 70

	// scenarios are lists of what is asked of two brokers; cutting a list in two makes it no clearer.
	scenarios = "integration/differential/"
)

// rootEntries may stand at the root, beside names that begin with a dot; bin and
// data are what git ignores.
var rootEntries = strings.Fields(`cmd cluster kafka wal metalog segment objstore integration go.mod go.sum Makefile
	README.md LICENSE CHANGELOG.md Dockerfile compose.yaml bin data`)

// notOurs are folders of things that tools fetched or made.
var notOurs = strings.Fields("node_modules target __pycache__ .git .cache")

// vagueNames say nothing of what a folder holds.
var vagueNames = strings.Fields("util utils common internal pkg types helpers misc")

// longTables are long by nature: a row for each thing that Kafka has.
const longTables = "kafka/config/catalogue.go"

var (
	unfinished  = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME)\b`)
	machinePath = regexp.MustCompile(`(^|[^\w.$})-])/(wo` + `rk|ro` + `ot|ho` + `me)/`)
)

func TestTidy(t *testing.T) {
	root := os.DirFS("..")
	report(t, checkGo(load(t, root)))
	report(t, checkTree(t, root))
}

// Each tree breaks one rule.
func TestTidyCanFail(t *testing.T) {
	const comment = "// Package p is p.\npackage p\n"
	long := comment + "\nfunc f() {\n" + strings.Repeat("\tg()\n", maxFunctionLines) + "}\n"
	for _, c := range []struct{ file, text, want string }{
		{"wal/a.go", "package p\n", "wal: no package comment"},
		{"wal/a.go", comment + "var  a int\n", "wal/a.go: not formatted, run make fmt"},
		{"wal/a.go", comment + strings.Repeat("\nvar _ int\n", maxFileLines/2), "wal/a.go: 602 lines, at most 600"},
		{"wal/a.go", long, "wal/a.go: f has 72 lines, at most 70"},
		{"wal/a.go", comment + "\nvar _ int // TO" + "DO: more\n", "wal/a.go:4: unfinished: // TO" + "DO: more"},
		{"wal/a_test.go", comment + "\nimport \"time\"\n\nvar _ = time.Sleep\n", "wal/a_test.go:6: time.Sleep: wait for the event, or use testing/synctest"},
		{"pkg/a.go", comment, "pkg: may not stand at the root"},
		{"wal/util/a.txt", "", "wal/util: a name that says nothing of what it holds"},
		{"notes.txt", "", "notes.txt: may not stand at the root"},
		{".ci/a", "\ncd /ro" + "ot/x\n", ".ci/a:2: names a folder of one machine: cd /ro" + "ot/x"},
	} {
		tree := fstest.MapFS{c.file: {Data: []byte(c.text)}}
		if got := append(checkGo(load(t, tree)), checkTree(t, tree)...); len(got) == 0 || got[0] != c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.file, got, c.want)
		}
	}
}

func TestTidyAllows(t *testing.T) {
	tree := fstest.MapFS{}
	for file, text := range map[string]string{
		"wal/a.go":            "// Package p is p.\npackage p\n",
		"wal/b.go":            "package p\n\nimport \"time\"\n\nvar _ = time.Sleep\n",
		"wal/a_test.go":       "package p\n\nfunc f() {\n" + strings.Repeat("\tg()\n", maxFunctionLines) + "}\n",
		scenarios + "a.go":    "// Package p is p.\npackage p\n\nfunc f() {\n" + strings.Repeat("\tg()\n", maxFunctionLines) + "}\n",
		"README.md":           "see https://example.org/ro" + "ot/ and ./ho" + "me/",
		"bin/chronik":         "\x00 /ro" + "ot/",
		".git/config":         "/ho" + "me/me",
		"wal/testdata/a.go":   "package  unformatted",
		"cmd/x/.cache/a/util": "",
	} {
		tree[file] = &fstest.MapFile{Data: []byte(text)}
	}
	report(t, append(checkGo(load(t, tree)), checkTree(t, tree)...))
}

// checkGo returns what Go files break, a line each.
func checkGo(tree sources) (problems []string) {
	commented := map[string]bool{}
	for _, s := range tree.files {
		pkg := path.Dir(s.path)
		commented[pkg] = commented[pkg] || s.syntax.Doc != nil
		problems = append(problems, checkFile(s)...)
		problems = append(problems, checkSyntax(tree, s)...)
	}
	for pkg, ok := range commented {
		if !ok {
			problems = append(problems, pkg+": no package comment")
		}
	}
	slices.Sort(problems)
	return problems
}

func checkFile(s source) (problems []string) {
	if formatted, err := format.Source(s.text); err != nil || !bytes.Equal(formatted, s.text) {
		problems = append(problems, s.path+": not formatted, run make fmt")
	}
	if n := bytes.Count(s.text, []byte("\n")); n > maxFileLines && !matchAny(longTables, s.path) && !ast.IsGenerated(s.syntax) {
		problems = append(problems, fmt.Sprintf("%s: %d lines, at most %d", s.path, n, maxFileLines))
	}
	return problems
}

func checkSyntax(tree sources, s source) (problems []string) {
	line := func(n ast.Node) int { return tree.set.Position(n.Pos()).Line }
	for _, group := range s.syntax.Comments {
		for _, c := range group.List {
			if unfinished.MatchString(c.Text) {
				problems = append(problems, fmt.Sprintf("%s:%d: unfinished: %s", s.path, line(c), c.Text))
			}
		}
	}
	for node := range ast.Preorder(s.syntax) {
		switch n := node.(type) {
		case *ast.FuncDecl:
			if lines := tree.set.Position(n.End()).Line - line(n) + 1; lines > maxFunctionLines && !s.test && !strings.HasPrefix(s.path, scenarios) {
				problems = append(problems, fmt.Sprintf("%s: %s has %d lines, at most %d", s.path, n.Name.Name, lines, maxFunctionLines))
			}
		case *ast.SelectorExpr:
			if pkg, ok := n.X.(*ast.Ident); ok && s.test && pkg.Name == "time" && n.Sel.Name == "Sleep" {
				problems = append(problems, fmt.Sprintf("%s:%d: time.Sleep: wait for the event, or use testing/synctest", s.path, line(n)))
			}
		}
	}
	return problems
}

// checkTree returns what names and texts of any kind of file break.
func checkTree(t *testing.T, tree fs.FS) (problems []string) {
	t.Helper()
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		if slices.Contains(notOurs, d.Name()) || name == "bin" || name == "data" {
			return skip(d)
		}
		if !strings.Contains(name, "/") && name[0] != '.' && !slices.Contains(rootEntries, name) {
			problems = append(problems, name+": may not stand at the root")
		} else if d.IsDir() && slices.Contains(vagueNames, d.Name()) {
			problems = append(problems, name+": a name that says nothing of what it holds")
		}
		if !d.Type().IsRegular() {
			return nil
		}
		found, err := checkText(tree, name)
		problems = append(problems, found...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return problems
}

func checkText(tree fs.FS, name string) (problems []string, err error) {
	text, err := fs.ReadFile(tree, name)
	if err != nil || bytes.IndexByte(text, 0) >= 0 {
		return nil, err
	}
	number := 0
	for line := range strings.SplitSeq(string(text), "\n") {
		number++
		if machinePath.MatchString(line) {
			problems = append(problems, fmt.Sprintf("%s:%d: names a folder of one machine: %s", name, number, line))
		}
	}
	return problems, nil
}

func skip(d fs.DirEntry) error {
	if d.IsDir() {
		return fs.SkipDir
	}
	return nil
}
