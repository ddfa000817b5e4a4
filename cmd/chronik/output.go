package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// Formats of what commands print.
const (
	formatTable = "table"
	formatJSON  = "json"
)

// print writes value as JSON, or has text write it for people.
func (f *adminFlags) print(cmd *cobra.Command, value any, text func(t table)) error {
	if f.format == formatJSON {
		return printJSON(cmd.OutOrStdout(), value)
	}
	t := newTable(cmd)
	text(t)
	return t.Flush()
}

func printJSON(out io.Writer, value any) error {
	to := json.NewEncoder(out)
	to.SetEscapeHTML(false)
	to.SetIndent("", "  ")
	return to.Encode(value)
}

// table writes rows of cells below each other.
type table struct{ *tabwriter.Writer }

func newTable(cmd *cobra.Command) table {
	return table{tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)}
}

func (t table) row(cells ...any) {
	for i, c := range cells {
		if i > 0 {
			fmt.Fprint(t, "\t")
		}
		fmt.Fprint(t, c)
	}
	fmt.Fprintln(t)
}

// say writes a line that is no row.
func (t table) say(format string, args ...any) { fmt.Fprintf(t, format+"\n", args...) }

// list is numbers as people write them: 1,2,3.
func list(ids []int32) string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = fmt.Sprint(id)
	}
	return strings.Join(texts, ",")
}

// array is s, which is [] in JSON when there is nothing.
func array[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// known is a number, or a dash when it is nil: what is not known.
func known[T any](n *T) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}

// documented adds to the help what the command prints as JSON, after a value of that type: its names, types and the
// words of its help tags.
func documented(cmd *cobra.Command, value any) *cobra.Command {
	cmd.Long = strings.TrimSpace(cmp.Or(cmd.Long, cmd.Short+".")) + "\n\nWith --format json it prints " + shape(reflect.TypeOf(value), "  ")
	return cmd
}

func shape(t reflect.Type, indent string) string {
	if t.Kind() == reflect.Slice {
		return "an array of objects:" + fields(t.Elem(), indent)
	}
	return "an object:" + fields(t, indent)
}

func fields(t reflect.Type, indent string) string {
	var b strings.Builder
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			b.WriteString(fields(f.Type, indent))
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		line := fmt.Sprintf("\n%s%-*s  %s", indent, 18-len(indent), name, typeText(f.Type))
		if help := f.Tag.Get("help"); help != "" {
			line += ": " + help
		}
		b.WriteString(line)
		if inner := element(f.Type); inner.Kind() == reflect.Struct {
			b.WriteString(fields(inner, indent+"  "))
		}
	}
	return b.String()
}

func element(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

func typeText(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return typeText(t.Elem()) + " or null"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "text in base64"
		}
		return "array of " + strings.TrimSuffix(typeText(t.Elem()), "s") + "s"
	case reflect.Struct:
		return "object"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "text"
	case reflect.Map:
		return "object of " + typeText(t.Elem()) + " by name"
	default:
		return "number"
	}
}
