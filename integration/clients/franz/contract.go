package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Contract is what the runner asks of a client; README.md beside run.sh says what each variable means.
type Contract struct {
	Bootstrap   string
	Topic       string
	Group       string
	Phase       string
	Records     int // a produce step
	Partitions  int
	Replication int16
	BaseTime    int64 // milliseconds; record i carries BaseTime+i
	StartTime   int64 // milliseconds; no clock of the run shows less
	Codecs      []string
	Features    map[string]bool
	State       string // file name prefix that outlives the phase
	Peers       []Peer
}

// Peer is another client's topic, to be read whole.
type Peer struct {
	Topic string
	Total int
}

// contractFromEnv reads the variables that the runner sets.
func contractFromEnv() (Contract, error) {
	c := Contract{
		Bootstrap: os.Getenv("BOOTSTRAP"), Topic: os.Getenv("TOPIC"), Group: os.Getenv("GROUP"),
		Phase: os.Getenv("PHASE"), Codecs: strings.Fields(os.Getenv("CODECS")),
		Features: map[string]bool{}, State: os.Getenv("STATE"),
	}
	for _, f := range strings.Fields(os.Getenv("FEATURES")) {
		c.Features[f] = true
	}
	numbers := map[string]func(int64){
		"RECORDS":     func(n int64) { c.Records = int(n) },
		"PARTITIONS":  func(n int64) { c.Partitions = int(n) },
		"REPLICATION": func(n int64) { c.Replication = int16(n) },
		"BASE_TIME":   func(n int64) { c.BaseTime = n },
		"START_TIME":  func(n int64) { c.StartTime = n },
	}
	for name, set := range numbers {
		n, err := strconv.ParseInt(os.Getenv(name), 10, 64)
		if err != nil {
			return c, fmt.Errorf("%s: %w", name, err)
		}
		set(n)
	}
	for _, p := range strings.Fields(os.Getenv("PEERS")) {
		topic, total, _ := strings.Cut(p, ":")
		n, err := strconv.Atoi(total)
		if err != nil {
			return c, fmt.Errorf("PEERS: %w", err)
		}
		c.Peers = append(c.Peers, Peer{topic, n})
	}
	return c, nil
}

// Step is one produce step: Records records with one codec.
type Step struct {
	Name       string
	Codec      string
	Idempotent bool
	First      int // sequence number of its first record
}

// Steps lists the produce steps of phase 1 in order: every codec plain, then every codec idempotent.
func (c Contract) Steps() []Step {
	var steps []Step
	add := func(prefix string, idempotent bool) {
		for _, codec := range c.Codecs {
			steps = append(steps, Step{prefix + codec, codec, idempotent, len(steps) * c.Records})
		}
	}
	add("produce-", false)
	if c.Features["idempotent"] {
		add("idempotent-", true)
	}
	return steps
}

// Total is the number of records after phase 1.
func (c Contract) Total() int { return len(c.Steps()) * c.Records }

// After is the produce step of phase 2.
func (c Contract) After() Step {
	return Step{"after", c.Codecs[len(c.Codecs)-1], c.Features["idempotent"], c.Total()}
}

// Value makes the value of record i: topic, codec, i, padding and the SHA-256 of all that stands before its space.
func Value(topic, codec string, i int) string {
	head := fmt.Sprintf("%s %s %d %s", topic, codec, i, strings.Repeat(string(rune('a'+i%26)), i%200))
	sum := sha256.Sum256([]byte(head))
	return head + " " + hex.EncodeToString(sum[:])
}

// Key makes the key of record i; every tenth record has none.
func Key(i int) []byte {
	if i%10 == 0 {
		return nil
	}
	return fmt.Appendf(nil, "key-%d", i%50)
}

// Parse checks a value against its hash and its topic and returns its codec and sequence number.
func Parse(topic, value string) (codec string, i int, err error) {
	fields := strings.Split(value, " ")
	if len(fields) != 5 || fields[0] != topic {
		return "", 0, fmt.Errorf("value %.80q is not of topic %s", value, topic)
	}
	if i, err = strconv.Atoi(fields[2]); err != nil {
		return "", 0, fmt.Errorf("value %.80q: %w", value, err)
	}
	if want := Value(topic, fields[1], i); value != want {
		return "", 0, fmt.Errorf("record %d: bytes differ: %.80q", i, value)
	}
	return fields[1], i, nil
}

// Tally checks that each record of a range arrives exactly once, with its own bytes, in order per partition.
type Tally struct {
	topic      string
	first, end int
	seen       map[int]bool
	lastSeq    map[int32]int
	next       map[int32]int64 // offset that must come next
	err        error
}

// NewTally expects the records first to end (exclusive) of topic.
func NewTally(topic string, first, end int) *Tally {
	return &Tally{topic: topic, first: first, end: end, seen: map[int]bool{}, lastSeq: map[int32]int{}, next: map[int32]int64{}}
}

// StartAt says that the first record of a partition must have this offset.
func (t *Tally) StartAt(partition int32, offset int64) { t.next[partition] = offset }

// Add takes one record; the first thing that is wrong stays as the tally's error.
func (t *Tally) Add(partition int32, offset int64, key []byte, value string) {
	if err := t.add(partition, offset, key, value); err != nil && t.err == nil {
		t.err = fmt.Errorf("partition %d offset %d: %w", partition, offset, err)
	}
}

func (t *Tally) add(partition int32, offset int64, key []byte, value string) error {
	_, i, err := Parse(t.topic, value)
	if err != nil {
		return err
	}
	if string(key) != string(Key(i)) {
		return fmt.Errorf("record %d: key %q", i, key)
	}
	if i < t.first || i >= t.end {
		return fmt.Errorf("record %d is not one of %d to %d", i, t.first, t.end-1)
	}
	if t.seen[i] {
		return fmt.Errorf("record %d came twice", i)
	}
	if last, ok := t.lastSeq[partition]; ok && i <= last {
		return fmt.Errorf("record %d came after %d", i, last)
	}
	if next, ok := t.next[partition]; ok && offset != next {
		return fmt.Errorf("expected offset %d", next)
	}
	t.seen[i], t.lastSeq[partition], t.next[partition] = true, i, offset+1
	return nil
}

// Done says that nothing more is expected, because all came or something is wrong.
func (t *Tally) Done() bool { return t.err != nil || len(t.seen) == t.end-t.first }

// Err is nil if every record came exactly once and right.
func (t *Tally) Err() error {
	if t.err == nil && !t.Done() {
		return fmt.Errorf("%d of %d records came", len(t.seen), t.end-t.first)
	}
	return t.err
}

// report prints the outcome of a step in the runner's form and passes the error on.
func report(step string, err error, detail string, args ...any) error {
	if err != nil {
		fmt.Printf("FAIL %s %s\n", step, strings.ReplaceAll(err.Error(), "\n", " "))
		return err
	}
	fmt.Printf("ok %s %s\n", step, fmt.Sprintf(detail, args...))
	return nil
}
