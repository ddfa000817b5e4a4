package faults

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"chronik/cluster"
	"chronik/integration/broker"
	"chronik/kafka/batch"
	"chronik/metalog/image"
)

// corruptBase is the directory of a stopped node, in memory, and what the node shows.
type corruptBase struct {
	name     string
	files    map[string]*stored
	versions []*corruptVersion // of the same directory, from before
	want     *shown
	asked    *shown // the same, asked over the network
	killed   bool

	means     map[string][]span // bytes that cannot change unnoticed
	last      map[string][]span // and those of the write-ahead log's last group, where it was not closed
	lastGroup map[string]int64  // the first offset in it, by partition
	sectors   map[*stored][]int64
}

type corruptVersion struct {
	files map[string]*stored
	want  *shown
	asked *shown
	same  bool // a part of the run that wrote the base: nothing has noted since how far it got
}

func (b *corruptBase) filesOf(c fileClass) (names []string) {
	for name := range b.files {
		if c.pattern.MatchString(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (b *corruptBase) filledOf(s *stored) []int64 { return b.sectors[s] }

// corruptFlags make a log that turns and is cut all the time, in small files.
var corruptFlags = []string{"--wal-size", "2MiB", "--wal-file-size", "1MiB", "--memory-limit", "16MiB", "--max-request-size", "4MiB",
	"--set", "log.segment.bytes=1048576"}

// baseMaker has a node write something, and remembers what was acknowledged.
type baseMaker struct {
	t       *testing.T
	dice    *rand.Rand
	broker  *broker.Broker
	client  *kgo.Client
	clients []*kgo.Client // one for each codec
	acked   map[string]map[int64]uint64
}

// corruptBases makes the directories that are damaged: of a node that was stopped, of one that was killed, and of one with
// a metadata log so long that it lives on its snapshots.
func corruptBases(t *testing.T) []*corruptBase {
	t.Helper()
	work, err := os.MkdirTemp(inMemory(), "chronik-bases-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(work) }) // in memory, and nobody looks for it
	m := &baseMaker{t: t, dice: rand.New(rand.NewPCG(1, 2)), acked: map[string]map[int64]uint64{},
		broker: broker.At(t, filepath.Join(work, "data"), corruptFlags...)}
	m.start()
	m.createTopics()
	m.write(1, 20)
	m.stop(syscall.SIGTERM)
	versions := []*corruptVersion{m.version(false)}

	m.start()
	m.write(2, 8)
	versions = append(versions, m.version(true))
	m.write(3, 6)
	m.stop(syscall.SIGTERM)
	closed := m.base("stopped", false, versions)

	m.start()
	m.write(4, 8)
	same := m.version(true)
	m.write(5, 5)
	m.stop(syscall.SIGKILL)
	versions[1].same = false
	killed := m.base("killed", true, append(versions[1:], same))

	m.lengthen()
	long := m.base("long metalog", false, []*corruptVersion{same})
	m.start()
	m.write(6, 3)
	m.stop(syscall.SIGKILL)
	return []*corruptBase{closed, killed, long, m.base("long metalog, killed", true, []*corruptVersion{versions[0]})}
}

func (m *baseMaker) start() {
	m.t.Helper()
	m.broker.Start()
	m.clients = nil
	for _, codec := range codecs {
		client, err := kgo.NewClient(append(clientOptions(m.broker.Address()), kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.ProducerBatchCompression(codec()), kgo.ProducerBatchMaxBytes(1<<20))...)
		if err != nil {
			m.t.Fatal(err)
		}
		m.clients = append(m.clients, client)
	}
	m.client = m.clients[0]
}

func (m *baseMaker) stop(how syscall.Signal) {
	m.t.Helper()
	for _, c := range m.clients {
		c.Close()
	}
	m.broker.Signal(how)
	if code := m.broker.Wait(); how == syscall.SIGTERM && code != 0 {
		m.t.Fatalf("it ended with %d:\n%s", code, m.broker.Said())
	}
}

// corruptTopics are the topics with their partitions.
var corruptTopics = map[string]int32{"plain": 1, "mixed": 3, "keyed": 2, "empty": 2}

func (m *baseMaker) createTopics() {
	m.t.Helper()
	admin := kadm.NewClient(m.client)
	text := func(s string) *string { return &s }
	for name, partitions := range corruptTopics {
		answer, err := admin.CreateTopic(m.t.Context(), partitions, 1, map[string]*string{"retention.ms": text("-1")}, name)
		m.must(err)
		m.must(answer.Err)
	}
	answer, err := admin.CreateTopic(m.t.Context(), 2, 1, nil, "deleted")
	m.must(err)
	m.must(answer.Err)
	m.produce(m.client, "deleted", 1, 3, 100)
	_, err = admin.DeleteTopic(m.t.Context(), "deleted")
	m.must(err)
	delete(m.acked, "deleted/1")
}

func (m *baseMaker) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// write is a phase of the base's life: records with every codec, commits, a config and deleted records.
func (m *baseMaker) write(phase, n int) {
	m.t.Helper()
	for i := range n {
		m.produce(m.clients[0], "plain", 0, 1+m.dice.IntN(3), 40<<10)
		for c, client := range m.clients {
			m.produce(client, "mixed", int32(c+i)%3, 1+m.dice.IntN(20), 20+m.dice.IntN(600))
		}
		m.produce(m.clients[i%5], "keyed", int32(i%2), 1+m.dice.IntN(5), 300)
	}
	admin := kadm.NewClient(m.client)
	for g := range 3 {
		offsets := kadm.Offsets{}
		for topic, partitions := range corruptTopics {
			for p := range partitions {
				offsets.AddOffset(topic, p, int64(100*phase+g), -1)
			}
		}
		m.must(admin.CommitAllOffsets(m.t.Context(), fmt.Sprint("group-", g), offsets))
	}
	_, err := admin.AlterTopicConfigs(m.t.Context(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: kadm.StringPtr(fmt.Sprint(3000000 + phase))}}, "keyed")
	m.must(err)
	before := kadm.Offsets{}
	before.AddOffset("keyed", 1, int64(phase), -1)
	_, err = admin.DeleteRecords(m.t.Context(), before)
	m.must(err)
	m.produce(m.client, "mixed", 2, 3, 50)
}

// produce sends a batch and remembers where it stands.
func (m *baseMaker) produce(client *kgo.Client, topic string, partition int32, n, size int) {
	m.t.Helper()
	var records []*kgo.Record
	for i := range n {
		r := &kgo.Record{Topic: topic, Partition: partition, Key: fmt.Append(nil, "key ", i), Value: make([]byte, size)}
		for at := range r.Value { // a compressor finds something, but not much
			r.Value[at] = "abcdefgh"[m.dice.IntN(8)]
		}
		if topic == "plain" {
			for at := range r.Value {
				r.Value[at] = byte(m.dice.Uint32())
			}
		}
		records = append(records, r)
	}
	m.must(client.ProduceSync(m.t.Context(), records...).FirstErr())
	name := fmt.Sprintf("%s/%d", topic, partition)
	if m.acked[name] == nil {
		m.acked[name] = map[int64]uint64{}
	}
	for _, r := range records {
		m.acked[name][r.Offset] = keyAndValue(r.Key, r.Value)
	}
}

func keyAndValue(key, value []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(key) // never fails
	_, _ = h.Write(value)
	return h.Sum64()
}

// version is the directory as it is now, also of a node that runs and has nothing to do.
func (m *baseMaker) version(same bool) *corruptVersion {
	m.t.Helper()
	files := readTree(m.t, m.broker.Dir)
	for again := readTree(m.t, m.broker.Dir); !maps.EqualFunc(files, again, (*stored).equal); {
		files, again = again, readTree(m.t, m.broker.Dir)
	}
	v := &corruptVersion{files: files, same: same}
	v.want, v.asked = m.shownBy(files)
	return v
}

// shownBy is what a node on these files shows, in this process and over the network.
func (m *baseMaker) shownBy(files map[string]*stored) (inProcess, asked *shown) {
	m.t.Helper()
	dir, err := os.MkdirTemp(inMemory(), "chronik-base-")
	m.must(err)
	defer os.RemoveAll(dir)
	writeTree(m.t, dir, files)
	for _, run := range []corruptRun{runNode(m.t.Context(), dir, nil), runServer(m.t, dir, nil)} {
		m.must(run.refused)
		m.must(run.closing)
		inProcess, asked = asked, run.shown
	}
	return inProcess, asked
}

// lengthen gives the metadata log more entries than are kept behind a snapshot, and two snapshots.
func (m *baseMaker) lengthen() {
	m.t.Helper()
	n, err := cluster.Start(m.t.Context(), corruptOptions(m.broker.Dir, slog.New(slog.DiscardHandler)))
	m.must(err)
	topic, _ := n.Meta.Image().TopicNamed("plain")
	for i := range 10800 {
		at := image.PartitionOffset{TopicPartition: image.TopicPartition{Topic: topic.ID}, Offset: image.Offset{Offset: int64(i)}}
		_, err := n.Meta.Propose(m.t.Context(), image.OffsetsRecord{Group: fmt.Sprint("busy-", i%10), Offsets: []image.PartitionOffset{at}})
		m.must(err)
		if i == 10500 || i == 10700 {
			m.must(n.Meta.Snapshot())
		}
	}
	m.must(n.Close())
}

// base takes the directory of the stopped node, once it is sure of what is in it.
func (m *baseMaker) base(name string, killed bool, versions []*corruptVersion) *corruptBase {
	m.t.Helper()
	m.broker.VerifyDump()
	b := &corruptBase{name: name, files: readTree(m.t, m.broker.Dir), versions: versions, killed: killed,
		means: map[string][]span{}, last: map[string][]span{}, lastGroup: map[string]int64{}, sectors: map[*stored][]int64{}}
	b.want, b.asked = m.shownBy(b.files)
	m.compare(b.want)
	m.compare(b.asked)
	for name, s := range b.files {
		if _, known := classOf(name); !known {
			m.t.Fatalf("%s is of no class", name)
		}
		b.sectors[s] = s.filled()
	}
	m.findMeaning(b)
	return b
}

// compare holds what a node shows against what was acknowledged.
func (m *baseMaker) compare(s *shown) {
	m.t.Helper()
	for name, acked := range m.acked {
		p := s.partitions[name]
		if p == nil || len(p.failures) > 0 {
			m.t.Fatalf("%s is not there, or fails: %+v", name, p)
		}
		seen := map[int64]bool{}
		for _, b := range p.batches {
			records, err := b.Records(batch.MaxDecompressed)
			m.must(err)
			for records.Next() {
				at := records.Record.Offset
				if sum, known := acked[at]; !known || sum != keyAndValue(records.Record.Key, records.Record.Value) {
					m.t.Fatalf("%s: offset %d holds what was not acknowledged there", name, at)
				}
				seen[at] = true
			}
			m.must(records.Err())
			records.Close()
		}
		for at := range acked {
			if at >= p.start && !seen[at] {
				m.t.Fatalf("%s: offset %d was acknowledged and is not there", name, at)
			}
		}
	}
}

// findMeaning notes which bytes mean something, from what chronik dump shows of the whole directory.
func (m *baseMaker) findMeaning(b *corruptBase) {
	m.t.Helper()
	for file, s := range b.files {
		switch c, _ := classOf(file); c.name {
		case "segment data":
			b.means[file] = []span{{0, b.promised(file)}}
		case "WAL checkpoint", "WAL closed mark", "node.id", "log.end", "raft snapshots' state", "raft snapshots' seal":
			b.means[file] = []span{{0, s.size}}
		case "segment indexes": // the last one's end may be torn, and all of it is made again from the data
			if b.followed(file) {
				b.means[file] = []span{{0, s.size}}
			}
		}
	}
	var groups []dumpedLine
	for _, l := range m.dump("wal") {
		if l.What == "group" {
			groups = append(groups, l)
		}
	}
	last := groups[len(groups)-1].Group
	first := map[uint64]int64{} // of the streams in the last group, the end
	oldest := ""
	for _, l := range m.dump("wal") {
		if l.What == "checkpoint" && l.File == "checkpoint" {
			oldest = fmt.Sprintf("%020d.wal", l.FileNumber)
		}
		if l.File < oldest && filepath.Ext(l.File) == ".wal" {
			continue // the kill came before its removal
		}
		file := filepath.Join("wal", l.File)
		to := b.means
		if b.killed && l.Group == last {
			to = b.last
		}
		switch l.What {
		case "file":
			to[file] = append(to[file], span{0, 80})
		case "group":
			to[file] = append(to[file], span{l.Position, l.Position + 64})
			if b.killed && l.Group == last { // its frames' heads too
				to[file] = append(to[file], span{l.Position, l.Position + l.Bytes})
			}
		case "entry":
			to[file] = append(to[file], span{l.Position, l.Position + l.Bytes})
			if b.killed && l.Group == last {
				first[l.Stream] = l.End
			}
		}
	}
	for stream, end := range first {
		if name, ok := b.want.streams[stream]; ok {
			batches := b.want.partitions[name].batches
			b.lastGroup[name] = batches[len(batches)-1].BaseOffset()
			if batches[len(batches)-1].NextOffset() != end {
				m.t.Fatalf("%s: the last group ends at %d", name, end)
			}
		}
	}
}

// promised is how much of a segment's data is promised: what its index's newest mark or seal says (segment/FORMAT.md). What a kill left
// behind that still stands in the write-ahead log, and is cut from there again.
func (b *corruptBase) promised(file string) (size int64) {
	index := b.files[strings.TrimSuffix(file, ".seg")+".idx"]
	if !b.killed || index == nil {
		return b.files[file].size
	}
	const record, kindAt, mark, seal = 48, 40, 5, 6
	all := index.bytes(0, index.size)
	for ; len(all) >= record; all = all[record:] {
		if kind := all[kindAt]; kind == mark || kind == seal {
			size = int64(binary.BigEndian.Uint64(all[8:]))
		}
	}
	return size
}

// followed says whether a later segment is beside this one.
func (b *corruptBase) followed(file string) bool {
	for name := range b.files {
		if filepath.Dir(name) == filepath.Dir(file) && name > file && filepath.Ext(name) == filepath.Ext(file) {
			return true
		}
	}
	return false
}

type dumpedLine struct {
	What       string
	File       string
	Position   int64
	Bytes      int64
	FileNumber uint64 `json:"file_number"`
	Group      uint64
	Stream     uint64
	End        int64
}

// dump is what chronik dump shows of a part of the directory.
func (m *baseMaker) dump(what string) (lines []dumpedLine) {
	m.t.Helper()
	out, said, code := broker.Run(m.t, broker.Command(m.t, "chronik"), "dump", what, filepath.Join(m.broker.Dir, what), "--format", "json")
	if code != 0 {
		m.t.Fatalf("dump ended with %d: %s", code, said)
	}
	for text := range strings.Lines(out) {
		var l dumpedLine
		m.must(json.Unmarshal([]byte(text), &l))
		lines = append(lines, l)
	}
	return lines
}
