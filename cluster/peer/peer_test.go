package peer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"chronik/metalog/image"
)

var (
	ours   = uuid.MustParse("11111111-1111-4111-8111-111111111111")
	theirs = uuid.MustParse("22222222-2222-4222-8222-222222222222")
	key    = DeriveKey("a secret of this test", PurposePeer)
)

// lines is a logger's output that a test can wait for.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
	came chan struct{}
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(b)
	select {
	case l.came <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (l *lines) await(t *testing.T, want string) {
	t.Helper()
	for {
		l.mu.Lock()
		got := l.text.String()
		l.mu.Unlock()
		if strings.Contains(got, want) {
			return
		}
		select {
		case <-l.came:
		case <-time.After(10 * time.Second):
			t.Fatalf("the log lacks %q:\n%s", want, got)
		}
	}
}

func open(t *testing.T, node image.BrokerID, cluster uuid.UUID, change func(*Options)) (*Net, *lines) {
	t.Helper()
	log := &lines{came: make(chan struct{}, 1)}
	o := Options{Bind: "127.0.0.1:0", Key: key, Node: node, Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	if change != nil {
		change(&o)
	}
	n, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	n.SetCluster(cluster)
	return n, log
}

func accept(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

func TestDialReachesTheListenerOfItsStream(t *testing.T) {
	a, _ := open(t, 1, ours, nil)
	b, _ := open(t, 2, ours, nil)
	raft, kafka := b.Listen("raft"), b.Listen("kafka")
	for stream, l := range map[string]net.Listener{"raft": raft, "kafka": kafka} {
		out, err := a.Dial(t.Context(), b.Addr(), stream)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		in := accept(t, l)
		if _, bare := in.(*net.TCPConn); !bare {
			t.Errorf("the accepted connection is a %T: sendfile needs the TCP connection", in)
		}
		if _, err := out.Write([]byte(stream)); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(stream))
		if _, err := io.ReadFull(in, got); err != nil || string(got) != stream {
			t.Errorf("got %q, %v; want %q", got, err, stream)
		}
	}
}

// Each row is one node that must not get in, with what its operator and the other's read.
func TestWhoIsKeptOut(t *testing.T) {
	another := func(o *Options) { o.Key = DeriveKey("another secret", PurposePeer) }
	for _, c := range []struct {
		name     string
		mine     uuid.UUID
		its      uuid.UUID
		change   func(*Options)
		stream   string
		want     error
		inTheLog string
	}{
		{"another key", ours, ours, another, "raft", ErrKey, "different cluster keys"},
		{"another cluster", ours, theirs, nil, "raft", ErrCluster, "do not belong to the same cluster"},
		{"another cluster that wants to join", ours, theirs, nil, Join, ErrCluster, "do not belong to the same cluster"},
		{"no cluster", ours, uuid.Nil, nil, "raft", ErrCluster, "do not belong to the same cluster"},
		{"two without a cluster", uuid.Nil, uuid.Nil, nil, "raft", ErrCluster, "level=DEBUG msg=\"internal port: connection refused\""},
		{"who has not read yet of which cluster it is", uuid.Nil, ours, nil, "raft", ErrCluster, "does not know yet which cluster"},
		{"a stream that nobody takes", ours, ours, nil, "gossip", ErrNoStream, "level=DEBUG msg=\"internal port: connection refused\""},
	} {
		t.Run(c.name, func(t *testing.T) {
			me, log := open(t, 1, c.mine, nil)
			me.Listen("raft")
			me.Listen(Join)
			it, _ := open(t, 2, c.its, c.change)
			_, err := it.Dial(t.Context(), me.Addr(), c.stream)
			if !errors.Is(err, c.want) {
				t.Errorf("Dial: %v, want %v", err, c.want)
			}
			log.await(t, c.inTheLog)
		})
	}
}

func TestWhoMayJoin(t *testing.T) {
	for _, c := range []struct{ mine, its uuid.UUID }{{ours, uuid.Nil}, {uuid.Nil, ours}, {uuid.Nil, uuid.Nil}, {ours, ours}} {
		me, _ := open(t, 1, c.mine, nil)
		l := me.Listen(Join)
		it, _ := open(t, 2, c.its, nil)
		nc, err := it.Dial(t.Context(), me.Addr(), Join)
		if err != nil {
			t.Fatalf("%s dials %s: %v", c.its, c.mine, err)
		}
		nc.Close()
		accept(t, l)
	}
}

func TestARefusedConnectionIsTold(t *testing.T) {
	a, _ := open(t, 1, ours, nil)
	b, _ := open(t, 2, ours, nil)
	addr := b.Addr()
	b.Close()
	if _, err := a.Dial(t.Context(), addr, "raft"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("Dial: %v, want ECONNREFUSED", err)
	}
}

// Someone who has recorded a hello and its proof must not get in with them.
func TestAnOldProofIsWorthNothing(t *testing.T) {
	me, log := open(t, 1, ours, nil)
	me.Listen("raft")
	h := hello{stream: "raft", who: who{ours, 2}}
	proofs := make([][macSize]byte, 0, 2)
	for range 2 {
		nc, err := net.Dial("tcp", me.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		var nonce [nonceSize]byte
		if _, err = nc.Write(h.encode()); err == nil {
			_, err = io.ReadFull(nc, nonce[:])
		}
		if err != nil {
			t.Fatal(err)
		}
		proofs = append(proofs, mac(key, dials, h.encode(), nonce[:]))
		if _, err := nc.Write(proofs[0][:]); err != nil { // the first one's, both times
			t.Fatal(err)
		}
		var b [proofSize]byte
		if _, err := io.ReadFull(nc, b[:]); err != nil {
			t.Fatal(err)
		}
		if in := b != [proofSize]byte{}; in != (len(proofs) == 1) {
			t.Errorf("attempt %d: let in %v", len(proofs), in)
		}
	}
	log.await(t, "different cluster keys")
}

// A node whose role is turned round must not be shown its own proof.
func TestAProofIsOfOneSide(t *testing.T) {
	if mac(key, dials, []byte("x")) == mac(key, answers, []byte("x")) {
		t.Error("the proofs of both sides are the same")
	}
}

func TestStrangersAreClosedAndNamedOnce(t *testing.T) {
	me, log := open(t, 1, ours, nil)
	for range 3 {
		nc, err := net.Dial("tcp", me.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if _, err := nc.Write(bytes.Repeat([]byte("GET / HTTP/1.1\r\n"), 10)); err != nil {
			t.Fatal(err)
		}
		if n, _ := io.Copy(io.Discard, nc); n != 0 {
			t.Errorf("a stranger was told %d bytes", n)
		}
	}
	log.await(t, "no hello of a node")
	log.mu.Lock()
	defer log.mu.Unlock()
	if n := strings.Count(log.text.String(), "connection refused"); n > 2 {
		t.Errorf("%d lines in the log for 3 strangers", n)
	}
}

// Strangers that open connections and say nothing do not keep a node out.
func TestTheOldestHandshakeGoes(t *testing.T) {
	me, _ := open(t, 1, ours, nil)
	l := me.Listen("raft")
	it, _ := open(t, 2, ours, nil)
	var silent []net.Conn
	for range maxHandshakes + 10 {
		nc, err := net.Dial("tcp", me.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		silent = append(silent, nc)
	}
	nc, err := it.Dial(t.Context(), me.Addr(), "raft")
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	accept(t, l)
	if _, err := silent[0].Read(make([]byte, 1)); err == nil {
		t.Error("the first of them is still there")
	}
}

func TestTheAcceptQueueIsBounded(t *testing.T) {
	me, _ := open(t, 1, ours, nil)
	l := me.Listen("raft")
	it, _ := open(t, 2, ours, nil)
	dial := func() error {
		nc, err := it.Dial(t.Context(), me.Addr(), "raft")
		if err == nil {
			t.Cleanup(func() { nc.Close() })
		}
		return err
	}
	for range acceptQueue {
		if err := dial(); err != nil {
			t.Fatal(err)
		}
	}
	if err := dial(); !errors.Is(err, ErrBusy) {
		t.Errorf("one too many: %v", err)
	}
	accept(t, l)
	if err := dial(); err != nil {
		t.Errorf("after one was accepted: %v", err)
	}
}

func TestAListenerThatIsClosed(t *testing.T) {
	me, _ := open(t, 1, ours, nil)
	l := me.Listen("raft")
	it, _ := open(t, 2, ours, nil)
	waiting, err := it.Dial(t.Context(), me.Addr(), "raft")
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	if _, err := waiting.Read(make([]byte, 1)); err == nil {
		t.Error("a connection that nobody accepted stays open")
	}
	if _, err := it.Dial(t.Context(), me.Addr(), "raft"); !errors.Is(err, ErrNoStream) {
		t.Errorf("Dial: %v", err)
	}
	me.Listen("raft") // again
	if nc, err := it.Dial(t.Context(), me.Addr(), "raft"); err != nil {
		t.Errorf("Dial: %v", err)
	} else {
		nc.Close()
	}
}

// A peer that takes the connection and says nothing holds a dialler as long as its context lasts.
func TestDialEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	me, _ := open(t, 1, ours, nil)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		if nc, err := l.Accept(); err == nil {
			defer nc.Close()
			_, _ = io.ReadFull(nc, make([]byte, helloSize))
			cancel()
			_, _ = nc.Read(make([]byte, 1))
		}
	}()
	if _, err := me.Dial(ctx, l.Addr().String(), "raft"); !errors.Is(err, context.Canceled) {
		t.Errorf("Dial: %v", err)
	}
}

func TestAdvertised(t *testing.T) {
	at := func(ip string) *net.TCPAddr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 9192} }
	for _, c := range []struct{ setting, bound, want string }{
		{"", "10.0.0.7", "10.0.0.7:9192"},
		{"node1", "0.0.0.0", "node1:9192"},
		{"node1:7000", "0.0.0.0", "node1:7000"},
		{"node1:0", "0.0.0.0", "node1:9192"},
		{"::1", "::", "[::1]:9192"},
		{"[::1]:7000", "::", "[::1]:7000"},
	} {
		if got, err := advertised(c.setting, at(c.bound)); got != c.want || err != nil {
			t.Errorf("%q bound to %s: %q, %v; want %q", c.setting, c.bound, got, err, c.want)
		}
	}
}

func FuzzHello(f *testing.F) {
	h := hello{stream: "raft", who: who{ours, 7}}
	f.Add(h.encode())
	f.Add(make([]byte, helloSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != helloSize {
			return
		}
		if h, err := parseHello(b); err == nil && !bytes.Equal(h.encode(), b) {
			t.Errorf("%x was read as %+v", b, h)
		}
	})
}
