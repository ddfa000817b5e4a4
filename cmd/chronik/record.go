package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// recordJSON is a record as JSON, which consume prints and produce reads. Of bytes that are no UTF-8 the text is null, and
// they stand in base64 beside it.
type recordJSON struct {
	Topic       string       `json:"topic"`
	Partition   int32        `json:"partition"`
	Offset      int64        `json:"offset"`
	Timestamp   int64        `json:"timestamp" help:"milliseconds since 1970"`
	Key         *string      `json:"key" help:"null when there is none, or when key_base64 is there"`
	KeyBase64   []byte       `json:"key_base64,omitempty" help:"there when the key is no UTF-8"`
	Value       *string      `json:"value" help:"null when there is none, or when value_base64 is there"`
	ValueBase64 []byte       `json:"value_base64,omitempty" help:"there when the value is no UTF-8"`
	Headers     []headerJSON `json:"headers"`
}

type headerJSON struct {
	Key         string  `json:"key"`
	Value       *string `json:"value"`
	ValueBase64 []byte  `json:"value_base64,omitempty" help:"there when the value is no UTF-8"`
}

func newRecordJSON(r *kgo.Record) recordJSON {
	l := recordJSON{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli(), Headers: []headerJSON{}}
	l.Key, l.KeyBase64 = asText(r.Key)
	l.Value, l.ValueBase64 = asText(r.Value)
	for _, h := range r.Headers {
		one := headerJSON{Key: h.Key}
		one.Value, one.ValueBase64 = asText(h.Value)
		l.Headers = append(l.Headers, one)
	}
	return l
}

func asText(b []byte) (*string, []byte) {
	if b == nil {
		return nil, nil
	}
	if !utf8.Valid(b) {
		return nil, b
	}
	s := string(b)
	return &s, nil
}

func asBytes(s *string, b []byte) []byte {
	if s == nil {
		return b
	}
	return []byte(*s)
}

// recordInput is a recordJSON that somebody may have written: what is missing is up to produce.
type recordInput struct {
	recordJSON
	Partition *int32 `json:"partition"`
	Timestamp *int64 `json:"timestamp"`
}

// readRecord reads one line. The record's partition is -1 when it names none.
func readRecord(line []byte) (*kgo.Record, error) {
	var in recordInput
	from := json.NewDecoder(bytes.NewReader(line))
	from.DisallowUnknownFields()
	if err := from.Decode(&in); err != nil {
		return nil, notRecord(err)
	}
	if _, err := from.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more follows the record: write one on each line")
	}
	r := &kgo.Record{Partition: -1, Key: asBytes(in.Key, in.KeyBase64), Value: asBytes(in.Value, in.ValueBase64)}
	if in.Partition != nil {
		r.Partition = *in.Partition
	}
	if in.Timestamp != nil {
		r.Timestamp = time.UnixMilli(*in.Timestamp)
	}
	for _, h := range in.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: asBytes(h.Value, h.ValueBase64)})
	}
	return r, nil
}

// notRecord says why a line is no record, without the names of Go's types.
func notRecord(err error) error {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return fmt.Errorf("it is no record: %w", err)
	}
	field := strings.TrimPrefix(wrong.Field, "recordJSON.")
	return fmt.Errorf("it is no record: %s is a JSON %s, and is to be %s", cmp.Or(field, "it"), wrong.Value, typeText(wrong.Type))
}

// Formats of records beside table and json.
const (
	formatValue = "value"
	formatRaw   = "raw"
)

// recordWriter returns what writes a record in a format, or by a template when there is one.
func recordWriter(format, template string) (func(out io.Writer, r *kgo.Record) error, error) {
	if template != "" {
		layout, err := kgo.NewRecordFormatter(template)
		if err != nil {
			return nil, fmt.Errorf("--template '%s': %w: chronik consume --help lists the verbs", template, err)
		}
		return func(out io.Writer, r *kgo.Record) error { return written(out.Write(layout.AppendRecord(nil, r))) }, nil
	}
	switch format {
	case formatRaw:
		return func(out io.Writer, r *kgo.Record) error { return written(out.Write(r.Value)) }, nil
	case formatJSON:
		return writeRecordJSON, nil
	case formatTable:
		return writeRecordRow, nil
	}
	return func(out io.Writer, r *kgo.Record) error {
		_, err := out.Write(r.Value)
		if err == nil {
			_, err = out.Write([]byte{'\n'})
		}
		return err
	}, nil
}

func written(_ int, err error) error { return err }

func writeRecordJSON(out io.Writer, r *kgo.Record) error {
	to := json.NewEncoder(out)
	to.SetEscapeHTML(false)
	return to.Encode(newRecordJSON(r))
}

// recordRow is a row's layout. Records come one by one, so the columns have widths that suit most.
const recordRow = "%-20s  %9v  %10v  %-24s  %-16s  %s%s\n"

func writeRecordHead(out io.Writer) error {
	return written(fmt.Fprintf(out, recordRow, "TOPIC", "PARTITION", "OFFSET", "TIME", "KEY", "VALUE", " (HEADERS)"))
}

func writeRecordRow(out io.Writer, r *kgo.Record) error {
	headers := ""
	for _, h := range r.Headers {
		headers += fmt.Sprintf(" %s=%s", h.Key, cell(h.Value))
	}
	if headers != "" {
		headers = " (" + headers[1:] + ")"
	}
	return written(fmt.Fprintf(out, recordRow, r.Topic, r.Partition, r.Offset, timeText(r.Timestamp.UnixMilli()), cell(r.Key), cell(r.Value), headers))
}

// cell is bytes in a row: as they are when they are plain text, and quoted otherwise. What begins with a quote is quoted, always.
func cell(b []byte) string {
	if b == nil {
		return "null"
	}
	plain := string(b)
	odd := strings.ContainsFunc(plain, func(r rune) bool { return r == utf8.RuneError || !strconv.IsPrint(r) })
	if odd || plain == "" || plain == "null" || plain[0] == '"' || strings.TrimSpace(plain) != plain {
		return strconv.Quote(plain)
	}
	return plain
}
