package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"chronik/kafka/kerr"
	"chronik/wal/vfs"
)

// startBroker runs a whole broker in this process, on free ports.
func startBroker(t *testing.T, args ...string) *broker {
	t.Helper()
	return startBrokerOn(t, nil, args...)
}

func startBrokerOn(t *testing.T, disk vfs.FS, args ...string) *broker {
	t.Helper()
	args = append(args, "--data-dir", t.TempDir(), "--bind-addr", "127.0.0.1", "--kafka-port", "0", "--http-port", "0",
		"--wal-sync", "never", "--wal-file-size", "1MiB", "--wal-size", "4MiB")
	b := newBroker(mustLoad(t, args, nil), slog.New(slog.DiscardHandler))
	b.disk = disk
	if err := b.start(t.Context()); err != nil {
		t.Fatal(err, b.stop())
	}
	return b
}

func (b *broker) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", b.socket.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// What DescribeConfigs says of the server's own settings is what is in force.
func TestSettingsAreDescribed(t *testing.T) {
	b := startBroker(t, "--max-request-size", "65536", "--max-connections", "7", "--node-id", "3", "--set", "connections.max.idle.ms=60000")
	client, err := kgo.NewClient(kgo.SeedBrokers(b.socket.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	rq := kmsg.NewPtrDescribeConfigsRequest()
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, "3"
	rq.Resources = append(rq.Resources, r)
	resp, err := rq.RequestWith(t.Context(), client)
	if err != nil || resp.Resources[0].ErrorCode != 0 {
		t.Fatal(err, resp)
	}
	got := map[string]string{}
	for _, c := range resp.Resources[0].Configs {
		if c.Value != nil {
			got[c.Name] = *c.Value
		}
	}
	for name, want := range map[string]string{
		"node.id": "3", "broker.id": "3", "log.dir": b.config.DataDir, "log.dirs": b.config.DataDir,
		"listeners":                "PLAINTEXT://" + b.socket.Addr().String(),
		"socket.request.max.bytes": "65536", "max.connections": "7", "connections.max.idle.ms": "60000",
		"socket.send.buffer.bytes": "-1", "socket.receive.buffer.bytes": "-1",
	} {
		if got[name] != want {
			t.Errorf("%s is described as %q, not %q", name, got[name], want)
		}
	}
	client.Close()
	if err := b.stop(); err != nil {
		t.Error(err)
	}
}

func TestSettingsAreInForce(t *testing.T) {
	b := startBroker(t, "--max-request-size", "65536", "--max-connections", "1")
	if o := b.serverOptions(); o.MaxRequestBytes != 65536 || o.IdleTimeout.Minutes() != 10 || o.SendBuffer != -1 {
		t.Errorf("%+v", o)
	}
	first := b.dial(t)
	if _, err := first.Write([]byte{0, 0, 0, 14, 0, 18, 0, 0, 0, 0, 0, 9, 0, 4, 't', 'e', 's', 't'}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(first, make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(b.dial(t)); len(rest) > 0 {
		t.Error("a second connection was taken", rest, err)
	}
	if _, err := first.Write([]byte{0, 1, 0, 1}); err != nil { // 65,537 bytes
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, first); err != nil {
		t.Log(err) // reset instead of closed
	}
	if err := b.stop(); err != nil {
		t.Error(err)
	}
}

// Who waits for the other members of its group is answered when the broker stops, and does not hold it up.
func TestStopAnswersWhoWaitsForItsGroup(t *testing.T) {
	b := startBroker(t, "--set", "group.initial.rebalance.delay.ms=600000")
	client, err := kgo.NewClient(kgo.SeedBrokers(b.socket.Addr().String()), kgo.RequestRetries(0),
		kgo.MaxVersions(kversion.V2_0_0())) // whose members need no id to join
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.ProtocolType, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = "g", "consumer", 10_000, 600_000
	join.Protocols = append(join.Protocols, kmsg.JoinGroupRequestProtocol{Name: "range"})
	seed := client.SeedBrokers()[0]
	joined := make(chan *kmsg.JoinGroupResponse, 1)
	go func() {
		resp, err := seed.Request(t.Context(), join)
		if err != nil {
			t.Error(err)
		}
		answer, _ := resp.(*kmsg.JoinGroupResponse)
		joined <- answer
	}()
	for state := ""; state != "PreparingRebalance"; {
		list := b.node.Groups.ListGroups(t.Context(), 5, kmsg.NewPtrListGroupsRequest())
		if len(list.Groups) > 0 {
			state = list.Groups[0].GroupState
		}
		select {
		case resp := <-joined:
			t.Fatalf("answered before the end: %+v", resp)
		default:
			runtime.Gosched()
		}
	}
	begun := time.Now()
	if err := b.stop(); err != nil || time.Since(begun) > drainTimeout/2 {
		t.Errorf("stopped after %s: %v", time.Since(begun), err)
	}
	if resp := <-joined; resp == nil || kerr.Code(resp.ErrorCode) != kerr.CoordinatorNotAvailable {
		t.Errorf("%+v", resp)
	}
}

// A stop waited for ever for a disk that hung.
func TestAStopDoesNotWaitForADiskThatHangs(t *testing.T) {
	t.Run("under producers", func(t *testing.T) { stopOnAHungDisk(t, true) })
	t.Run("idle", func(t *testing.T) { stopOnAHungDisk(t, false) })
}

// hang has the disk hang in what is done to files with that in their names until back is closed; hung is closed when it does.
func hang(disk *vfs.Fault, name string) (hung, back chan struct{}) {
	hung, back = make(chan struct{}), make(chan struct{})
	var once sync.Once
	disk.Script(func(op vfs.Op) vfs.Outcome {
		if !strings.Contains(op.Name, name) {
			return vfs.Outcome{}
		}
		once.Do(func() { close(hung) })
		return vfs.Outcome{Until: back}
	})
	return hung, back
}

func stopOnAHungDisk(t *testing.T, producing bool) {
	disk := vfs.NewFault(vfs.NewMem())
	b := startBrokerOn(t, disk)
	client, err := kgo.NewClient(kgo.SeedBrokers(b.socket.Addr().String()), kgo.DefaultProduceTopic("t"), kgo.AllowAutoTopicCreation())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(t.Context(), kgo.StringRecord("v")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	hung, back := hang(disk, "")
	if producing {
		client.Produce(t.Context(), kgo.StringRecord("w"), nil)
		<-hung
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	ended := make(chan error, 1)
	go func() { ended <- b.until(ctx) }()
	select {
	case err := <-ended:
		if !errors.Is(err, errStorage) {
			t.Error(err)
		}
		close(back)
		<-b.stopped // what still ran
	case <-time.After(drainTimeout):
		t.Error("it waits for the disk")
		close(back)
		<-ended
	}
}

// Nor may it wait for ever for what is not watched, as the checkpoint's own write.
func TestAStopDoesNotWaitForACheckpointThatHangs(t *testing.T) {
	disk := vfs.NewFault(vfs.NewMem())
	b := startBrokerOn(t, disk)
	b.stopTimeout = time.Millisecond
	hung, back := hang(disk, "checkpoint")
	ctx, stop := context.WithCancel(t.Context())
	stop()
	ended := make(chan error, 1)
	go func() { ended <- b.until(ctx) }()
	select {
	case err := <-ended:
		if !errors.Is(err, errStorage) || !strings.Contains(err.Error(), "has not ended") {
			t.Error(err)
		}
		<-hung // what still ran
		close(back)
		<-b.stopped
	case <-time.After(drainTimeout):
		t.Error("it waits for the disk")
		close(back)
		<-ended
	}
}

// A start that fails ends in the same stop, with as little as there is by then.
func TestABrokerThatDidNotStartStops(t *testing.T) {
	b := newBroker(Config{}, slog.New(slog.DiscardHandler))
	if err := b.end(); err != nil {
		t.Error(err)
	}
	if err := b.late(); !errors.Is(err, errStorage) {
		t.Error(err)
	}
}

// Without a limit of its own the broker takes connections, and an address may have several.
func TestConnectionsWithoutALimit(t *testing.T) {
	b := startBroker(t)
	if l := b.serverOptions().Limits(); l.Connections < 1<<30 || l.ConnectionsPerIP < 1<<30 {
		t.Errorf("%+v", l)
	}
	if err := b.stop(); err != nil {
		t.Error(err)
	}
}

// A start that cannot listen names the setting to mend: it named the port for an address that was wrong.
func TestListenErrorsNameTheWrongSetting(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := strconv.Itoa(portOf(taken.Addr()))
	for _, c := range []struct{ args, want string }{
		{"--bind-addr 203.0.113.7 --http-port 0 --kafka-port 0", "--bind-addr 203.0.113.7 is no address of this machine: "},
		{"--bind-addr 127.0.0.1 --kafka-port 0 --http-port " + port, "--http-port " + port + " is in use by another process: "},
		{"--bind-addr 127.0.0.1 --http-port 0 --kafka-port " + port, "--kafka-port " + port + " is in use by another process: "},
	} {
		args := append(strings.Fields(c.args), "--data-dir", t.TempDir())
		err := run(t.Context(), mustLoad(t, args, nil), slog.New(slog.DiscardHandler))
		if !strings.HasPrefix(message(err), c.want) {
			t.Errorf("%s: %v", c.args, err)
		}
	}
	noName := fmt.Errorf("console: %w", &net.OpError{Op: "listen", Err: &net.DNSError{Err: "no such host", Name: "b.invalid"}})
	if err := listenError(noName, "b.invalid", "http-port", 1); !strings.HasPrefix(err.Error(), "--bind-addr b.invalid is a name ") {
		t.Error(err)
	}
}

// Whoever met a full disk read of the file, and not what to do.
func TestAFullDiskIsAdvisedOn(t *testing.T) {
	full := fmt.Errorf("%w: %w", kerr.KafkaStorageError, &fs.PathError{Op: "write", Path: "x.wal", Err: syscall.ENOSPC})
	if got := adviseFull(full).Error(); !strings.HasPrefix(got, full.Error()+"\nthe disk is full: ") {
		t.Error(got)
	}
	other := errors.New("another")
	if got := adviseFull(other); got != other {
		t.Error(got)
	}
}

// A heap of two MiB was collected five times a second, and all goroutines stood still each time.
func TestASmallHeapIsNotCollectedAgainAndAgain(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	kept := paceCollector()
	runtime.GC()
	goal := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
	metrics.Read(goal)
	if got := goal[0].Value.Uint64(); got < heapUnused*(100+heapSlack)/100 {
		t.Errorf("the heap is collected when it has %d bytes", got)
	}
	runtime.KeepAlive(kept)
}

// Who stops a node that still waits for the others has not met an error.
func TestANodeThatWaitsForOthersCanBeStoppedInOrder(t *testing.T) {
	c := mustLoad(t, []string{"--data-dir", t.TempDir(), "--bind-addr", "127.0.0.1", "--kafka-port", "0", "--http-port", "0",
		"--join", "127.0.0.1:1", "--bootstrap-expect", "3", "--cluster-key", "0123456789abcdef"}, nil)
	c.GossipPort, c.RaftPort = 0, 0 // any
	ctx, stop := context.WithCancel(t.Context())
	said := &firstLine{about: "no cluster yet", then: stop}
	if err := run(ctx, c, slog.New(slog.NewTextHandler(said, nil))); err != nil {
		t.Error(err)
	}
}

// firstLine calls then at the first line about something.
type firstLine struct {
	about string
	then  func()
}

func (f *firstLine) Write(line []byte) (int, error) {
	if strings.Contains(string(line), f.about) {
		f.then()
	}
	return len(line), nil
}
