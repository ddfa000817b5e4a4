package main

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
)

// line is one field of an answer. Two brokers agree when path and value are equal; text is what they may say in their
// own words.
type line struct{ path, value, text string }

func (l line) String() string {
	if l.text == "" {
		return l.value
	}
	return l.value + " " + strconv.Quote(l.text)
}

// ignored are fields that say something about the broker or the moment and not about the request.
var ignored = strings.Fields("Version UnknownTags ThrottleMillis Host Port Rack BrokerEpoch FinalizedFeaturesEpoch")

// unordered are the arrays whose order is that of a hash table.
var unordered = map[string]func(a, b reflect.Value) int{
	"Configs":         byField("Name"),
	"ConfigSynonyms":  nil,
	"Groups":          byField("Group"),
	"ApiKeys":         byField("ApiKey"),
	"Members":         byField("MemberID"),
	"ConfigResources": byField("Name"),
}

// hashed are the keys whose answers have their topics in the order of a hash table.
var hashed = []int16{metadataKey, offsetCommitKey, deleteTopicsKey, createPartitionsKey, offsetDeleteKey, describeShareOffsetsKey}

// byTopic orders topics by name, or by that they have none.
func byTopic(a, b reflect.Value) int {
	return strings.Compare(topicText(a), topicText(b))
}

func topicText(v reflect.Value) string {
	name := v.FieldByName("Topic")
	if name.Kind() == reflect.Pointer {
		name = name.Elem()
	}
	text := ""
	if name.IsValid() {
		text = name.String()
	}
	if id := v.FieldByName("TopicID"); id.IsValid() && text == "" {
		text = fmt.Sprint(!madeUp(id.Interface().([16]byte)))
	}
	if code := v.FieldByName("ErrorCode"); code.IsValid() {
		text += fmt.Sprint(code.Int())
	}
	return text
}

var uuidText = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

func byField(name string) func(a, b reflect.Value) int {
	return func(a, b reflect.Value) int {
		x, y := a.FieldByName(name), b.FieldByName(name)
		if !x.IsValid() {
			return 0
		}
		return strings.Compare(fmt.Sprint(x.Interface()), fmt.Sprint(y.Interface()))
	}
}

// render turns an answer into lines, with all that may differ between two brokers replaced by what it is.
func (s *script) render(resp kmsg.Response) []line {
	s.key = resp.Key()
	var out []line
	s.value(reflect.ValueOf(resp).Elem(), "", "", &out)
	return out
}

func (s *script) value(v reflect.Value, path, field string, out *[]line) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !slices.Contains(ignored, f.Name) {
				s.value(v.Field(i), strings.TrimPrefix(path+"."+f.Name, "."), f.Name, out)
			}
		}
	case reflect.Slice:
		s.slice(v, path, field, out)
	case reflect.Array:
		*out = append(*out, line{path: path, value: s.idText(v.Interface().([16]byte))})
	case reflect.Pointer:
		if v.IsNil() {
			*out = append(*out, null(path, field))
			return
		}
		s.value(v.Elem(), path, field, out)
	case reflect.String:
		*out = append(*out, s.text(path, field, v.String()))
	default:
		*out = append(*out, line{path: path, value: number(field, v)})
	}
}

func (s *script) slice(v reflect.Value, path, field string, out *[]line) {
	if b, ok := v.Interface().([]byte); ok {
		*out = append(*out, records(path, field, b)...)
		return
	}
	if v.IsNil() {
		*out = append(*out, line{path: path, value: "null or empty"})
		return
	}
	items := s.ours(v, field)
	*out = append(*out, line{path: path, value: fmt.Sprintf("%d items", len(items))})
	for i, item := range items {
		s.value(item, fmt.Sprintf("%s[%s]", path, s.place(field, i, item)), field, out)
	}
}

// ours are the elements of an array, sorted if their order means nothing, without the topics and the groups of others.
func (s *script) ours(v reflect.Value, field string) []reflect.Value {
	var items []reflect.Value
	for i := range v.Len() {
		if e := v.Index(i); field != "Groups" && field != "Topics" && field != "ConfigResources" || s.isOurs(e) {
			items = append(items, e)
		}
	}
	less := unordered[field]
	if less == nil && slices.Contains(hashed, s.key) && field == "Topics" {
		less = byTopic
	} else if less == nil && field == "Partitions" && (s.key == offsetDeleteKey || s.key == metadataKey) {
		less = byField("Partition")
	}
	if less != nil {
		slices.SortStableFunc(items, less)
	}
	return items
}

func (s *script) isOurs(e reflect.Value) bool {
	for _, name := range []string{"Topic", "Group", "Name"} {
		f := e.FieldByName(name)
		if f.IsValid() && f.Kind() == reflect.Pointer {
			f = f.Elem()
		}
		if f.IsValid() && strings.HasPrefix(f.String(), "__") {
			return false
		}
		if f.IsValid() && len(f.String()) > 8 && f.String()[0] == 'd' && f.String()[7] == '.' && !strings.HasPrefix(f.String(), s.prefix) {
			return false
		}
	}
	return true
}

// place names an element by what it is about where that is shorter to read than its place.
func (s *script) place(field string, i int, item reflect.Value) string {
	if (field == "Configs" || field == "ApiKeys") && item.Kind() == reflect.Struct {
		return strings.Trim(fmt.Sprint(item.Field(0).Interface()), "{}")
	}
	return strconv.Itoa(i)
}

// madeUp says whether an id is one of those that scenarios ask for though there is no such topic.
func madeUp(id [16]byte) bool { return id == [16]byte{0xee, id[1]} }

func (s *script) idText(id [16]byte) string {
	if id == ([16]byte{}) {
		return "zero"
	}
	if name, ok := s.ids[id]; ok {
		return "id of " + strings.TrimPrefix(name, s.prefix)
	}
	if madeUp(id) {
		return fmt.Sprintf("%x", id)
	}
	return "an id"
}

// silent stands for an error message that says nothing, by null, by the empty string or by the name of no error.
const silent = "no text"

func null(path, field string) line {
	if field == "ErrorMessage" {
		return line{path: path, value: silent}
	}
	return line{path: path, value: "null"}
}

// text replaces what a broker makes up; a broker's own words are compared only by whether there are any.
func (s *script) text(path, field, v string) line {
	if field == "ErrorMessage" || field == "Documentation" {
		if v == "" || v == "NONE" {
			return line{path: path, value: silent}
		}
		return line{path: path, value: "text", text: v}
	}
	if field == "ClusterID" && v != "" || field == "Dir" {
		return line{path: path, value: "set", text: v}
	}
	v = uuidText.ReplaceAllString(strings.ReplaceAll(v, s.prefix, ""), "<uuid>")
	return line{path: path, value: strconv.Quote(v)}
}

func number(field string, v reflect.Value) string {
	if !v.CanInt() {
		return fmt.Sprint(v.Interface())
	}
	n := v.Int()
	switch {
	case field == "ErrorCode":
		return fmt.Sprintf("%d %s", n, kerr.Code(n))
	case (field == "ProducerID" || field == "SessionID") && n > 0:
		return "set"
	case v.Kind() == reflect.Int64 && abs(time.Now().UnixMilli()-n) < 600_000:
		return "now"
	case (field == "TotalBytes" || field == "UsableBytes" || field == "Size") && n > 0:
		return "some"
	}
	return strconv.FormatInt(n, 10)
}

func abs(n int64) int64 { return max(n, -n) }
