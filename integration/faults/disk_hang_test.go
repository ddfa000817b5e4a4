package faults

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"chronik/integration/faults/baddisk"
	"chronik/kafka/batch"
	"chronik/wal/campaign"
)

const (
	hungProducers = 20
	hungRecords   = 12 // of 32 KiB on the average, in each request
	hungFor       = 5 * time.Second
	// hungMemory is what the process may take at most while its disk hangs: tinyLog's memory-limit is 16 MiB.
	hungMemory = 96 << 20
)

// A disk that does not answer any more: producers are told that their time is over, memory stays bounded while they push,
// and who needs no disk is answered. Then the disk comes back, or the process is killed; nothing that was acknowledged is
// lost, and nothing was while the disk hung.
func TestFaultsDiskHangs(t *testing.T) {
	campaign.Run(t, campaign.Plan{Name: "hung disk", Unit: "hangs", Share: 1, Soak: 6}, func(t *testing.T, seed uint64) campaign.Counts {
		l := newLife(t, seed)
		if !l.began() || !l.work(64) {
			t.Fatalf("on a good disk:\n%s", l.Said())
		}
		hang := baddisk.Rule{Fault: baddisk.Hang, Every: true}
		if seed%2 == 0 {
			hang.Op = baddisk.Sync
		}
		ok(t, l.disk.Set(hang))
		counts := l.pushed()
		if seed/2%2 == 0 {
			l.comesBack()
		} else {
			l.Signal(syscall.SIGKILL)
			ok(t, l.disk.Release(true)) // a thread that waits for the disk cannot be killed
			l.WaitFor(5 * time.Second)
		}
		l.recover(seed%2 == 0)
		return counts
	})
}

// comesBack has the disk answer again, and the broker go on.
func (l *life) comesBack() {
	l.t.Helper()
	ok(l.t, l.disk.Release(false))
	l.load.refused = nil
	if !l.work(64) || l.load.refused != nil {
		l.t.Errorf("when the disk was back: %v\n%s", l.load.refused, l.Said())
	}
	if !l.end() {
		l.t.Errorf("when the disk was back it ended with:\n%s", l.Said())
	}
}

// pushed is producers who push while the disk hangs.
func (l *life) pushed() campaign.Counts {
	t := l.t
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hungFor)
	defer cancel()
	acked := len(l.load.acked)
	answers := &tally{counts: map[string]int64{}}
	var producers sync.WaitGroup
	for p := range hungProducers {
		producers.Go(func() { l.push(ctx, int32(p%diskPartitions), answers) })
	}
	<-l.disk.Events
	early, done := context.WithTimeout(ctx, hungFor/2)
	defer done()
	most := l.mostMemory(early)
	l.needsNoDisk(ctx) // when the memory for requests is used up
	most = max(most, l.mostMemory(ctx))
	producers.Wait()
	t.Logf("producers were told %v; memory %d MiB", answers, most>>20)
	if most > hungMemory {
		t.Errorf("%d MiB of memory", most>>20)
	}
	if n := len(l.load.acked) - acked; n > 0 {
		t.Errorf("%d records were acknowledged by a disk that does not answer", n)
	}
	if answers.counts[kerr.RequestTimedOut.Message] == 0 {
		t.Errorf("nobody was told REQUEST_TIMED_OUT, but %v", answers)
	}
	return campaign.Counts{"refusals": answers.sum()}
}

// push sends one request after the other, with patience for a fifth of a second each: in all far more than the broker may
// have in memory. It speaks to the broker itself: a client
// would try again by itself, and not say what it was told.
func (l *life) push(ctx context.Context, partition int32, answers *tally) {
	c := l.load.client(l.Address(), kgo.MaxVersions(kversion.V3_0_0()))
	defer c.Close()
	for ctx.Err() == nil {
		answers.add(l.pushOne(ctx, c, partition))
	}
}

func (l *life) pushOne(ctx context.Context, c *kgo.Client, partition int32) error {
	last := l.load.serial.Add(hungRecords)
	var w batch.Builder
	for serial := last - hungRecords + 1; serial <= last; serial++ {
		w.Add(&batch.Record{Timestamp: time.Now().UnixMilli(), Value: l.load.value(serial)})
	}
	records, err := w.Build(nil)
	if err != nil {
		return err
	}
	rq := kmsg.NewPtrProduceRequest()
	rq.Acks, rq.TimeoutMillis = -1, 200
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, records
	rq.Topics = []kmsg.ProduceRequestTopic{{Topic: diskTopic, Partitions: []kmsg.ProduceRequestTopicPartition{p}}}
	answer, err := c.Broker(1).Request(ctx, rq)
	if err != nil {
		return err
	}
	told := answer.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	err = kerr.ErrorForCode(told.ErrorCode)
	l.load.answered(err, func() {
		for i := range int64(hungRecords) {
			l.load.acked[place{partition, told.BaseOffset + i}] = last - hungRecords + 1 + i
		}
	})
	return err
}

// needsNoDisk asks what the broker knows by heart.
func (l *life) needsNoDisk(ctx context.Context) {
	l.t.Helper()
	c := l.load.client(l.Address())
	defer c.Close()
	if _, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, c); err != nil {
		l.t.Errorf("ApiVersions of a new connection: %v", err)
	}
	topics, err := kadm.NewClient(c).ListTopics(ctx, diskTopic)
	if err != nil || len(topics[diskTopic].Partitions) != diskPartitions {
		l.t.Errorf("Metadata of a new connection: %v %v", topics, err)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		status, body := l.Get(path)
		l.t.Logf("%s: %d %s", path, status, body)
	}
}

// mostMemory watches the process until ctx ends.
func (l *life) mostMemory(ctx context.Context) (most int64) {
	l.t.Helper()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return most
		case <-l.Done:
			l.t.Fatalf("it ended:\n%s", l.Said())
		case <-look.C:
			most = max(most, residentMemory(l.t, l.Cmd.Process.Pid))
		}
	}
}

func residentMemory(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	ok(t, err)
	var size, resident int64
	_, err = fmt.Sscan(string(text), &size, &resident)
	ok(t, err)
	return resident * int64(os.Getpagesize())
}

// tally counts answers by what they say.
type tally struct {
	mu     sync.Mutex
	counts map[string]int64
}

func (a *tally) add(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts[wording(err)]++
}

func (a *tally) sum() (n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range a.counts {
		n += k
	}
	return n
}

func (a *tally) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var words []string
	for _, w := range slices.Sorted(maps.Keys(a.counts)) {
		words = append(words, fmt.Sprintf("%s: %d", w, a.counts[w]))
	}
	return strings.Join(words, ", ")
}

// wording is what errors of one kind have in common.
func wording(err error) string {
	var k *kerr.Error
	var n net.Error
	switch {
	case err == nil:
		return "acknowledged"
	case errors.As(err, &k):
		return k.Message
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.As(err, &n) && n.Timeout():
		return "the client's time is over"
	}
	return err.Error()
}
