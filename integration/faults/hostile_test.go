package faults

import (
	"context"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"

	"chronik/integration/broker"
	"chronik/wal/campaign"
)

const (
	hostileMemoryLimit = 128 << 20 // --memory-limit
	// hostileMemory is what the process may take: the limit, half of it each for large requests and for answers that are
	// on their way, both twice since the garbage collector lets the heap double, two batches that are decompressed into 64
	// MiB each, and the program with its connections.
	hostileMemory  = 3*hostileMemoryLimit + 2*64<<20 + 64<<20
	hostileLogRate = 8 << 10 // bytes of log in a second
)

var hostileTopics = []string{"hostile", "hostile-keys", "hostile-times"}

// Malformed frames by the thousand, connections that never send or never read, and good clients beside them: the broker
// must not fall, not grow, not fill the disk with log lines, and serve the good ones as if nobody else was there.
func TestFaultsHostileFrames(t *testing.T) {
	b := broker.New(t, append([]string{"--memory-limit", strconv.Itoa(hostileMemoryLimit), "--max-request-size", "32MiB", "--http-pprof", "true",
		"--set", "auto.create.topics.enable=false", "--set", "group.initial.rebalance.delay.ms=0"}, broker.SmallLog...)...)
	b.Start()
	shared := prepareHostile(t, b.Address())
	base := measureProcess(t, b)
	good := startGoodClient(t, b.Address())
	quiet := awaitWindow(t, good)
	crowd := startCrowd(b.Address(), "large", crowdSize())

	began, frames := time.Now(), new(atomic.Int64)
	campaign.Run(t, campaign.Plan{Name: "hostile frames", Unit: "frames", Glance: 2000, Share: 100_000, Soak: 2_000_000},
		func(t *testing.T, seed uint64) campaign.Counts {
			counts := hostileCycle(t, b, seed, shared)
			frames.Add(counts["frames"])
			return counts
		})
	select {
	case <-b.Done:
		t.Fatal("the broker has ended")
	default:
	}
	loud := good.window()
	peak := measureProcess(t, b)
	dropped := crowd.disperse()
	awaitBaseline(t, b, base)
	t.Logf("%d good records; acknowledged in p50 %v, p99 %v, at most %v; before the crowd p50 %v, p99 %v", good.finish(),
		percentile(loud, 50), percentile(loud, 99), percentile(loud, 100), percentile(quiet, 50), percentile(quiet, 99))
	t.Logf("memory at most %d MiB (%d MiB before), %d sockets and %d goroutines at the end of the crowd (%d and %d before); "+
		"closed by the broker: %s", peak.highest>>20, base.highest>>20, peak.sockets, peak.goroutines, base.sockets, base.goroutines, dropped)
	checkHostileEnd(t, b, time.Since(began), frames.Load())
}

func atAGlance() bool { return os.Getenv("CHRONIK_CAMPAIGN") == "" }

func crowdSize() int {
	if atAGlance() {
		return 30
	}
	return 200
}

// hostileChunks is how many of them are in a cycle.
func hostileChunks() int {
	if atAGlance() {
		return 2000 / hostileChunk
	}
	return 20_000 / hostileChunk
}

const (
	hostilePeers = 24  // connections at a time: many requests wait for something
	hostileChunk = 200 // frames that one of them makes and sends before it takes other ones
)

// hostileCycle sends some thousand frames. Which go by which connection is chance, so each chunk has a seed of its own.
func hostileCycle(t *testing.T, b *broker.Broker, seed uint64, shared *hostileRequests) campaign.Counts {
	total, chunks := campaign.Counts{}, hostileChunks()
	var next atomic.Int64
	var peers sync.WaitGroup
	var mu sync.Mutex
	for range hostilePeers {
		peers.Go(func() {
			p := &hostilePeer{t: t, address: b.Address(), counts: campaign.Counts{}}
			for chunk := next.Add(1); chunk <= int64(chunks) && !t.Failed(); chunk = next.Add(1) {
				h := newHostileRequests(seed, uint64(chunk), shared)
				p.serves = h.serves
				p.run(h.frames(hostileChunk))
			}
			mu.Lock()
			defer mu.Unlock()
			for name, n := range p.counts {
				total[name] += n
			}
		})
	}
	peers.Wait()
	select {
	case <-b.Done:
		t.Fatalf("the broker has ended:\n%s", b.Said())
	default:
	}
	return total
}

// prepareHostile makes the topics, and asks the broker what it serves.
func prepareHostile(t *testing.T, address string) *hostileRequests {
	t.Helper()
	h := &hostileRequests{
		r: rand.New(rand.NewPCG(1, 1)), served: map[int16][2]int16{}, topics: hostileTopics, ids: map[string][16]byte{},
	}
	h.batches, h.bombs = hostileBatches(t)
	createHostileTopics(t, address)
	rq := kmsg.NewPtrMetadataRequest()
	rq.Version = 12
	resp, err := ask(address, rq)
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range resp.(*kmsg.MetadataResponse).Topics {
		h.ids[*topic.Topic] = topic.TopicID
	}
	if resp, err = ask(address, kmsg.NewPtrApiVersionsRequest()); err != nil {
		t.Fatal(err)
	}
	for _, k := range resp.(*kmsg.ApiVersionsResponse).ApiKeys {
		h.served[k.ApiKey] = [2]int16{k.MinVersion, k.MaxVersion}
		for v := k.MinVersion; v <= k.MaxVersion; v++ {
			h.kinds = append(h.kinds, h.measure(k.ApiKey, v))
		}
	}
	fillLarge(t, address)
	return h
}

func createHostileTopics(t *testing.T, address string) {
	t.Helper()
	rq := kmsg.NewPtrCreateTopicsRequest()
	rq.Version, rq.TimeoutMillis = 5, 30_000
	for name, config := range map[string][2]string{
		"hostile": {"retention.bytes", "33554432"}, "hostile-keys": {"cleanup.policy", "compact"},
		"hostile-times": {"message.timestamp.before.max.ms", "3600000"}, "large": {}, goodTopic: {},
	} {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 4, 1
		if config[0] != "" {
			c := kmsg.NewCreateTopicsRequestTopicConfig()
			c.Name, c.Value = config[0], &config[1]
			topic.Configs = append(topic.Configs, c)
		}
		rq.Topics = append(rq.Topics, topic)
	}
	resp, err := ask(address, rq)
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range resp.(*kmsg.CreateTopicsResponse).Topics {
		if topic.ErrorCode != 0 {
			t.Fatalf("%s: %d %s", topic.Topic, topic.ErrorCode, *topic.ErrorMessage)
		}
	}
}

// fillLarge gives those who fetch and never read something to fetch.
func fillLarge(t *testing.T, address string) {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 640 {
		c.Produce(context.Background(), &kgo.Record{Topic: "large", Value: make([]byte, 100<<10)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Errorf("fill: %v", err)
			}
		})
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// process is what /proc and the profile say of the broker.
type process struct {
	memory     int64 // bytes
	highest    int64 // bytes, so far
	sockets    int
	goroutines int
	profile    string
}

var (
	highestMemory   = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)
	memoryNow       = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)
	goroutinesTotal = regexp.MustCompile(`goroutine profile: total (\d+)`)
)

func measureProcess(t *testing.T, b *broker.Broker) (p process) {
	t.Helper()
	proc := filepath.Join("/proc", strconv.Itoa(b.Cmd.Process.Pid))
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		// Files of the log come and go with what good clients write.
		if to, err := os.Readlink(filepath.Join(proc, "fd", f.Name())); err == nil && strings.HasPrefix(to, "socket:") {
			p.sockets++
		}
	}
	p.memory = int64(number(t, memoryNow, string(status))) << 10
	p.highest = int64(number(t, highestMemory, string(status))) << 10
	_, p.profile = b.Get("/debug/pprof/goroutine?debug=1")
	p.goroutines = number(t, goroutinesTotal, p.profile)
	return p
}

func number(t *testing.T, re *regexp.Regexp, text string) int {
	t.Helper()
	found := re.FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("no %s in %q", re, text[:min(len(text), 300)])
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// awaitWindow lets the good clients run alone for a moment.
func awaitWindow(t *testing.T, g *goodClient) []time.Duration {
	t.Helper()
	for deadline := time.After(broker.Patience); g.acknowledged() < 200; {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			t.Fatal("nothing is acknowledged although nobody does harm yet")
		}
	}
	return g.window()
}

// awaitBaseline waits until what the hostile connections took is given back; the good clients are still there.
func awaitBaseline(t *testing.T, b *broker.Broker, base process) {
	t.Helper()
	const good, slack = 16, 8 // connections of the good clients, with two goroutines each, and of this test
	var p process
	for deadline := time.After(broker.Patience); ; {
		p = measureProcess(t, b)
		if p.sockets <= base.sockets+good+slack && p.goroutines <= base.goroutines+2*good+slack {
			return
		}
		select {
		case <-time.After(250 * time.Millisecond):
		case <-deadline:
			t.Errorf("%d sockets and %d goroutines are left, %d and %d were there before:\n%s", p.sockets, p.goroutines, base.sockets, base.goroutines, p.profile)
			return
		}
	}
}

func checkHostileEnd(t *testing.T, b *broker.Broker, took time.Duration, frames int64) {
	t.Helper()
	said, end := b.Said(), measureProcess(t, b)
	if strings.Contains(said, "panic") {
		t.Errorf("the log has a panic:\n%s", firstLines(said, "panic"))
	}
	if end.highest > hostileMemory {
		t.Errorf("the process took %d MiB", end.highest>>20)
	}
	if most := 64<<10 + int(took.Seconds())*hostileLogRate; len(said) > most {
		t.Errorf("%d bytes of log, at most %d", len(said), most)
	}
	t.Logf("%d MiB of memory in the end", end.memory>>20)
	t.Logf("%d frames and %d bytes of log in %v: %d bytes for a million frames", frames, len(said), took.Round(time.Second),
		int64(len(said))*1_000_000/max(frames, 1))
}

func firstLines(text, with string) string {
	var found []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, with) && len(found) < 5 {
			found = append(found, line)
		}
	}
	return strings.Join(found, "")
}

// isOpen says whether the peer has closed the connection, without reading from it.
func isOpen(conn net.Conn) bool {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return false
	}
	open := false
	_ = raw.Control(func(fd uintptr) { // an error is a connection that is closed on this side
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		_, err := unix.Poll(p, 0)
		open = err == nil && p[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) == 0
	})
	return open
}
