package member

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/memberlist"

	"chronik/metalog/image"
)

var (
	ours   = uuid.MustParse("11111111-1111-4111-8111-111111111111")
	theirs = uuid.MustParse("22222222-2222-4222-8222-222222222222")
	key    = bytes.Repeat([]byte{7}, 32)
)

func info(node image.BrokerID, cluster uuid.UUID) Info {
	return Info{Node: node, Cluster: cluster, Expect: 3, Incarnation: uuid.New(), Server: fmt.Sprintf("%d@x", node), Addr: fmt.Sprintf("node%d:9192", node)}
}

func start(t *testing.T, self Info, change func(*Options)) *Members {
	t.Helper()
	o := Options{Bind: "127.0.0.1", Key: key, Self: self}
	if change != nil {
		change(&o)
	}
	m, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func joining(all ...*Members) func(*Options) {
	return func(o *Options) {
		for _, m := range all {
			o.Join = append(o.Join, fmt.Sprintf("localhost:%d", m.Port()))
		}
	}
}

// await waits until the list is what is wanted: "1 2=cluster".
func (m *Members) await(t *testing.T, want string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		var words []string
		for _, i := range m.List() {
			word := fmt.Sprint(i.Node)
			if i.Cluster != uuid.Nil {
				word += "=" + i.Cluster.String()[:1]
			}
			words = append(words, word)
		}
		got := strings.Join(words, " ")
		if got == want {
			return
		}
		select {
		case <-m.Changed():
		case <-deadline:
			t.Fatalf("node %d sees %q, want %q", m.o.Self.Node, got, want)
		}
	}
}

func TestNodesFindEachOther(t *testing.T) {
	a := start(t, info(1, uuid.Nil), nil)
	b := start(t, info(2, uuid.Nil), joining(a))
	c := start(t, info(3, uuid.Nil), joining(a))
	a.await(t, "2 3")
	b.await(t, "1 3")
	c.await(t, "1 2")
	if got := c.List()[1]; got != b.o.Self {
		t.Errorf("node 3 sees %+v, want %+v", got, b.o.Self)
	}
	self := b.o.Self
	self.Cluster = ours
	if err := b.Update(self); err != nil {
		t.Fatal(err)
	}
	a.await(t, "2=1 3")
	c.await(t, "1 2=1")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	a.await(t, "3")
	c.await(t, "1")
}

// A node that goes and comes back, as another process on the same port, is found again by who was told to join it.
func TestALostNodeIsLookedForAgain(t *testing.T) {
	a := start(t, info(1, uuid.Nil), nil)
	port := a.Port()
	b := start(t, info(2, uuid.Nil), joining(a))
	b.await(t, "1")
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	b.await(t, "")
	again := start(t, a.o.Self, func(o *Options) { o.Port = port })
	b.await(t, "1")
	again.await(t, "2")
}

// A node to join that is not there yet.
func TestANodeThatComesLater(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	b := start(t, info(2, uuid.Nil), func(o *Options) { o.Join = []string{fmt.Sprintf("127.0.0.1:%d", port), "no-such-node.invalid"} })
	free.Close()
	start(t, info(1, uuid.Nil), func(o *Options) { o.Port = port })
	b.await(t, "1")
}

func TestAnotherKeyIsKeptOut(t *testing.T) {
	a := start(t, info(1, uuid.Nil), nil)
	b := start(t, info(2, uuid.Nil), func(o *Options) { o.Key = bytes.Repeat([]byte{8}, 32) })
	if _, err := b.list.Join([]string{fmt.Sprintf("127.0.0.1:%d", a.Port())}); err == nil {
		t.Error("a node with another key has joined")
	}
	if got := a.List(); len(got) != 0 {
		t.Errorf("it is listed: %v", got)
	}
}

func TestItIsSaidWhyANodeIsNotReached(t *testing.T) {
	a := start(t, info(1, uuid.Nil), nil)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	of := func(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
	b := start(t, info(2, uuid.Nil), func(o *Options) {
		o.Key = bytes.Repeat([]byte{8}, 32)
		o.Join = []string{of(a.Port()), free.Addr().String(), ":1"}
	})
	want := []string{
		":1 is not found (no host)",
		of(a.Port()) + " has another cluster-key",
		free.Addr().String() + " refuses the connection: nothing listens there",
	}
	deadline := time.After(20 * time.Second)
	for !slices.Equal(b.Unreached(), want) {
		select {
		case <-b.Changed():
		case <-deadline:
			t.Fatalf("it says %q, want %q", b.Unreached(), want)
		}
	}
	c := start(t, info(3, uuid.Nil), joining(a))
	c.await(t, "1")
	if got := c.Unreached(); len(got) != 0 {
		t.Errorf("a node that is reached is said not to be: %q", got)
	}
}

func TestNodesOfAnotherClusterAreKeptOut(t *testing.T) {
	a := start(t, info(1, ours), nil)
	other := start(t, info(3, theirs), nil)
	if _, err := other.list.Join([]string{fmt.Sprintf("127.0.0.1:%d", a.Port())}); err != nil {
		t.Fatal(err)
	}
	said := &memory{}
	new := start(t, info(2, uuid.Nil), func(o *Options) {
		joining(a)(o)
		o.Logger = slog.New(slog.NewTextHandler(said, nil))
	})
	a.await(t, "2")
	new.await(t, "1=1")
	other.await(t, "")
	self := new.o.Self
	self.Cluster = theirs
	if err := new.Update(self); err != nil { // what it knew before counts no more
		t.Fatal(err)
	}
	said.mu.Lock()
	if text := said.String(); !strings.Contains(text, "a node of another cluster is there") || !strings.Contains(text, clusterName(ours)) {
		t.Errorf("an operator who joins the wrong cluster reads %s", text)
	}
	said.mu.Unlock()
	new.await(t, "")
	a.await(t, "")
}

type memory struct {
	mu sync.Mutex
	bytes.Buffer
}

func (m *memory) Write(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.Buffer.Write(b)
}

func TestTwoNodesWithOneNameAreNamed(t *testing.T) {
	var text memory
	m := &Members{log: slog.New(slog.NewTextHandler(&text, nil))}
	one := &memberlist.Node{Name: "1@x", Addr: net.IPv4(10, 0, 0, 1), Port: 7946}
	two := &memberlist.Node{Name: "1@x", Addr: net.IPv4(10, 0, 0, 2), Port: 7946}
	for range 3 {
		m.NotifyConflict(one, two)
	}
	got := text.String()
	for _, want := range []string{"10.0.0.1:7946", "10.0.0.2:7946", "1@x"} {
		if strings.Count(got, want) != 1 {
			t.Errorf("%q is not once in %s", want, got)
		}
	}
}

func TestLinesHaveLevels(t *testing.T) {
	var text memory
	l := &lines{to: slog.New(slog.NewTextHandler(&text, nil)), over: t.Context()}
	for _, line := range []string{"[INFO] memberlist: quiet\n", "[ERR] memberlist: loud\n", "[WARN] memberlist: too much\n", "no level\n"} {
		if _, err := l.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if got := text.String(); !strings.Contains(got, `level=WARN msg="gossip: loud"`) || strings.Count(got, "\n") != 1 {
		t.Errorf("%s", got)
	}
}

// An operator who restarts a node in order must find no warnings.
func TestANodeThatComesBackIsNoWarning(t *testing.T) {
	var text memory
	ctx, end := context.WithCancel(t.Context())
	l := &lines{to: slog.New(slog.NewTextHandler(&text, nil)), over: ctx}
	write := func(line string) {
		if _, err := l.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	write("[WARN] memberlist: Refuting a dead message (from: 1@x)\n")
	write("[WARN] memberlist: Refuting an alive message for '1@x' (127.0.0.1:7946) meta:([1 0 0] VS [1 0 1]), vsn:([1] VS [1])\n")
	write("[WARN] memberlist: Refuting a suspect message (from: 2@x)\n") // the first that counts
	if got := text.String(); strings.Count(got, "level=INFO") != 2 || strings.Count(got, "level=WARN") != 1 || strings.Contains(got, "meta") {
		t.Errorf("%s", got)
	}
	end()
	text.Reset()
	l.last = time.Time{}
	write("[ERR] memberlist: Failed to send UDP ping: use of closed network connection\n")
	if got := text.String(); got != "" {
		t.Errorf("a node that goes complains: %s", got)
	}
}

func TestStartRefuses(t *testing.T) {
	for _, change := range []func(*Options){
		func(o *Options) { o.Key = nil },
		func(o *Options) { o.Self.Addr = strings.Repeat("x", 256) },
		func(o *Options) { o.Self.Node = -1 },
		func(o *Options) { o.Bind = "no-such-host.invalid" },
	} {
		o := Options{Bind: "127.0.0.1", Key: key, Self: info(1, uuid.Nil)}
		change(&o)
		if m, err := Start(o); err == nil {
			m.Close()
			t.Errorf("%+v was taken", o)
		}
	}
}

func TestTheLongestInfoFits(t *testing.T) {
	i := info(1<<31-1, ours)
	i.Server, i.Addr, i.Expect = strings.Repeat("s", maxServer), strings.Repeat("a", maxAddr), maxExpect
	if n := len(i.encode()); n > memberlist.MetaMaxSize {
		t.Errorf("%d bytes, memberlist takes %d", n, memberlist.MetaMaxSize)
	}
	if got, err := parseInfo(append(i.encode(), 1, 2, 3)); err != nil || got != i {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzInfo(f *testing.F) {
	f.Add(info(7, ours).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if i, err := parseInfo(b); err == nil && !bytes.HasPrefix(b, i.encode()) {
			t.Errorf("%x was read as %+v", b, i)
		}
	})
}
