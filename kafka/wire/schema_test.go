package wire

import (
	"flag"
	"fmt"
	"go/ast"
	goparser "go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var rewrite = flag.Bool("rewrite", false, "write schema.txt from kmsg's source")

// schema.txt must say what kmsg's structures and the versions in their comments say.
func TestSchemaIsKmsgs(t *testing.T) {
	k := loadKmsg(t)
	var want strings.Builder
	for key := range int16(kmsg.MaxKey + 1) {
		if rq := kmsg.RequestForKey(key); rq != nil {
			name := reflect.TypeOf(rq).Elem().Name()
			fmt.Fprintf(&want, "%d %s %s\n", key, strings.TrimSuffix(name, "Request"), k.fields(t, name, true))
		}
	}
	if *rewrite {
		if err := os.WriteFile("schema.txt", []byte(want.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want.String() != schemaText {
		t.Error("schema.txt is not of this kmsg: go test ./kafka/wire -run TestSchemaIsKmsgs -rewrite")
	}
}

type kmsgSource map[string]ast.Expr // types by name

func loadKmsg(t *testing.T) kmsgSource {
	dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/twmb/franz-go/pkg/kmsg").Output()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(strings.TrimSpace(string(dir)), "generated.go")
	f, err := goparser.ParseFile(token.NewFileSet(), name, nil, goparser.ParseComments|goparser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	k := kmsgSource{}
	for _, d := range f.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.TYPE {
			spec := g.Specs[0].(*ast.TypeSpec)
			k[spec.Name.Name] = spec.Type
		}
	}
	return k
}

var (
	versionsComment = regexp.MustCompile(`^// v(\d+)(?:\+|-v(\d+))$`)
	tagComment      = regexp.MustCompile(`^// tag (\d+)$`)
)

// onlyVersion0 is the fields whose versions kmsg's comments leave out; TestEveryRequestIsReadToItsEnd misses none.
var onlyVersion0 = map[string]bool{
	"ListOffsetsRequestTopicPartition.MaxNumOffsets":          true,
	"StopReplicaRequestTopic.Partition":                       true,
	"UpdateMetadataRequestLiveBroker.Host":                    true,
	"UpdateMetadataRequestLiveBroker.Port":                    true,
	"EndQuorumEpochRequestTopicPartition.PreferredSuccessors": true,
	"UpdateFeaturesRequestFeatureUpdate.AllowDowngrade":       true,
	"ShareFetchRequestTopicPartition.PartitionMaxBytes":       true,
}

// fields is the text of a structure. A request begins with its own version, which is not on the wire.
func (k kmsgSource) fields(t *testing.T, name string, request bool) string {
	var all []string
	for _, f := range k[name].(*ast.StructType).Fields.List {
		if n := f.Names[0].Name; n == "UnknownTags" || request && n == "Version" {
			continue
		}
		suffix := ""
		if f.Comment != nil {
			comment := f.Comment.List[0].Text
			if m := versionsComment.FindStringSubmatch(comment); m != nil {
				suffix = ":" + m[1] + "-" + m[2]
			} else if m := tagComment.FindStringSubmatch(comment); m != nil {
				suffix = "#" + m[1]
			} else {
				t.Fatalf("%s.%s: comment %q", name, f.Names[0].Name, comment)
			}
		}
		if suffix == "" && onlyVersion0[name+"."+f.Names[0].Name] {
			suffix = ":0-0"
		}
		all = append(all, k.value(t, f.Type)+suffix)
	}
	return strings.Join(all, " ")
}

var scalars = map[string]string{
	"bool": "1", "int8": "1", "int16": "2", "uint16": "2", "int32": "4", "int64": "8", "float64": "8", "string": "s",
}

func (k kmsgSource) value(t *testing.T, e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		if s := scalars[e.Name]; s != "" {
			return s
		}
		if named, ok := k[e.Name].(*ast.Ident); ok {
			return scalars[named.Name]
		}
		return "{ " + k.fields(t, e.Name, false) + " }"
	case *ast.StarExpr:
		if s := k.value(t, e.X); s == "s" {
			return s
		} else {
			return "?" + s
		}
	case *ast.ArrayType:
		switch elem, _ := e.Elt.(*ast.Ident); {
		case e.Len != nil:
			return "16"
		case elem != nil && elem.Name == "byte":
			return "b"
		}
		return "[ " + k.value(t, e.Elt) + " ]"
	}
	t.Fatalf("type %T", e)
	return ""
}
