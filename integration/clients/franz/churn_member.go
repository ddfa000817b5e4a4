package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// member is a client's process that takes part in a group.
type member struct {
	name   string
	cmd    *exec.Cmd
	ledger *ledger
	done   chan struct{}
	woken  chan struct{} // closed when it goes on after it was held still; nil when it never was

	mu    sync.Mutex
	parts []int
	last  map[int]int64 // offset read last, by partition, since it was assigned
	upTo  map[int]int64 // the offset behind it, also when the partition was given up since
	times []change
}

// change is when a member got or gave up partitions, or could not know any more whether it has them.
type change struct {
	at    int64 // ms
	what  byte  // '+', '-', or '?' from which on it may have lost all that it has, until it says something
	parts []int
}

func startMember(c Contract, k kind, n int, l *ledger) (*member, error) {
	m := &member{name: fmt.Sprintf("%s#%d", k.name, n), ledger: l, done: make(chan struct{}), last: map[int]int64{}, upTo: map[int]int64{}}
	m.cmd = exec.Command(k.command[0], k.command[1:]...)
	m.cmd.Env = append(os.Environ(), "PHASE=member", "TOPIC="+c.Topic, "GROUP="+c.Group, "PARTITIONS="+strconv.Itoa(churnPartitions),
		"MEMBER_PROTOCOL="+k.way.protocol, "MEMBER_ASSIGNOR="+k.way.assignor,
		"MEMBER_SESSION="+strconv.FormatInt(churnSession.Milliseconds(), 10))
	log, err := os.Create(fmt.Sprintf("%s.%s.%d", c.State, c.Topic, n))
	if err != nil {
		return nil, err
	}
	m.cmd.Stderr = log
	out, err := m.cmd.StdoutPipe()
	if err == nil {
		err = m.cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	l.add(m)
	go m.follow(out, log)
	return m, nil
}

func (m *member) follow(out io.Reader, log *os.File) {
	defer close(m.done)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		fmt.Fprintln(log, lines.Text())
		if err := m.take(strings.Split(lines.Text(), "\t")); err != nil {
			m.ledger.wrong(fmt.Errorf("%s: %q: %w", m.name, lines.Text(), err))
		}
	}
	_ = m.cmd.Wait() // how it ended is its own affair: others have killed it
	_ = log.Close()
	m.note(change{time.Now().UnixMilli(), '-', m.owns()})
}

func (m *member) take(f []string) error {
	switch {
	case len(f) == 3 && (f[0] == "+" || f[0] == "-"):
		at, err := strconv.ParseInt(f[1], 10, 64)
		var parts []int
		for _, p := range strings.Split(f[2], ",") {
			n, perr := strconv.Atoi(p)
			if p != "" {
				err, parts = errors.Join(err, perr), append(parts, n)
			}
		}
		m.note(change{at, f[0][0], parts})
		return err
	case len(f) == 5 && f[0] == "r":
		p, err1 := strconv.Atoi(f[1])
		offset, err2 := strconv.ParseInt(f[2], 10, 64)
		return errors.Join(err1, err2, m.record(p, offset, f[4]))
	}
	return nil // what a client's library says
}

func (m *member) note(c change) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.times = append(m.times, c)
	switch c.what {
	case '+':
		m.parts = append(m.parts, c.parts...)
	case '-':
		m.parts = slices.DeleteFunc(m.parts, func(p int) bool { return slices.Contains(c.parts, p) })
	}
	for _, p := range c.parts {
		delete(m.last, p)
		if c.what == '+' {
			delete(m.upTo, p)
		}
	}
}

func (m *member) record(p int, offset int64, value string) error {
	m.mu.Lock()
	last, had := m.last[p]
	m.last[p], m.upTo[p] = offset, offset+1
	m.mu.Unlock()
	if had && offset <= last {
		return fmt.Errorf("offset %d comes after %d", offset, last)
	}
	return m.ledger.deliver(value)
}

func (m *member) owns() []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.parts)
}

func (m *member) ended() bool {
	select {
	case <-m.done:
		return true
	default:
		return false
	}
}

func (m *member) signal(s syscall.Signal) { _ = m.cmd.Process.Signal(s) } // it may have ended

// stop asks it to leave. Some clients leave the group without a word of what they let go.
func (m *member) stop() {
	m.note(change{time.Now().UnixMilli(), '?', nil})
	m.signal(syscall.SIGTERM)
}

func (m *member) kill() {
	m.note(change{time.Now().UnixMilli(), '-', m.owns()})
	m.signal(syscall.SIGKILL)
}

// hold stops the process for a while. When that comes near its session's end nobody can say any more what it owns.
func (m *member) hold(d time.Duration) {
	if d > churnSession/2 {
		m.note(change{time.Now().UnixMilli(), '?', nil})
	}
	m.woken = make(chan struct{})
	m.signal(syscall.SIGSTOP)
	time.AfterFunc(d, func() { m.signal(syscall.SIGCONT); close(m.woken) })
}

// held says whether it is held still.
func (m *member) held() bool {
	select {
	case <-m.woken:
		return false
	default:
		return m.woken != nil
	}
}

// awake waits until it is not held still any more: one that was to lose its session is to lose it.
func (m *member) awake() {
	if m.woken != nil {
		<-m.woken
	}
}

// ledger is what all members of a group say together.
type ledger struct {
	mu      sync.Mutex
	members []*member
	seen    map[int]bool
	faults  error
}

func (l *ledger) add(m *member) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.members = append(l.members, m)
}

func (l *ledger) wrong(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = errors.Join(l.faults, err)
}

func (l *ledger) deliver(value string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	topic, _, _ := strings.Cut(value, " ")
	_, i, err := Parse(topic, value)
	if err == nil {
		l.seen[i] = true
	}
	return err
}

func (l *ledger) lacking(sent int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range sent {
		if !l.seen[i] {
			return fmt.Sprintf("record %d of %d was not delivered", i, sent)
		}
	}
	return ""
}

// leftAt is where the last owner of a partition stopped to read it, when that had it before too and has read something.
func (l *ledger) leftAt(p int) (offset int64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var newest int64
	for _, m := range l.members {
		m.mu.Lock()
		had := 0
		for _, c := range m.times {
			if c.what != '+' || !slices.Contains(c.parts, p) {
				continue
			}
			if had++; c.at >= newest {
				newest = c.at
				offset, ok = m.upTo[p]
				ok = ok && had > 1
			}
		}
		m.mu.Unlock()
	}
	return offset, ok
}

// err is what went wrong by now: what members said of records, and partitions with two owners at a time.
func (l *ledger) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.faults, l.shared())
}

// shared looks at who owned what, in the order of the members' own clocks, which are one: the old owner of a partition lets it go,
// and says so, before the new one has it. One that was held still beyond its session has lost it without knowing.
func (l *ledger) shared() error {
	type event struct {
		change
		who *member
	}
	var all []event
	for _, m := range l.members {
		m.mu.Lock()
		for i, c := range m.times {
			if i+1 < len(m.times) && c.what == '+' && m.times[i+1].what == '-' && m.times[i+1].at == c.at {
				gone := m.times[i+1].parts // within the clock's step: it never had them
				c.parts = slices.DeleteFunc(slices.Clone(c.parts), func(p int) bool { return slices.Contains(gone, p) })
			}
			all = append(all, event{c, m})
		}
		m.mu.Unlock()
	}
	slices.SortStableFunc(all, func(a, b event) int {
		if a.at != b.at {
			return int(a.at - b.at)
		}
		return int(b.what) - int(a.what) // '?' and '-' before '+'
	})
	owners, doubtful := map[int]*member{}, map[*member]bool{}
	for _, e := range all {
		if e.what == '?' {
			doubtful[e.who] = true
			continue
		}
		if e.what == '-' {
			delete(doubtful, e.who)
		}
		for _, p := range e.parts {
			other := owners[p]
			switch {
			case e.what == '+' && other != nil && other != e.who && !doubtful[other]:
				return fmt.Errorf("%s got partition %d while %s had it", e.who.name, p, other.name)
			case e.what == '+':
				owners[p] = e.who
			case other == e.who:
				delete(owners, p)
			}
		}
	}
	return nil
}

// beMember is a member of a group until SIGTERM. README.md says what it prints.
func beMember(ctx context.Context, c Contract, _ []string) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	owns := func(sign string) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, some map[string][]int32) {
			text := strings.ReplaceAll(strings.Trim(fmt.Sprint(some[c.Topic]), "[]"), " ", ",")
			fmt.Printf("%s\t%d\t%s\n", sign, time.Now().UnixMilli(), text)
		}
	}
	session, err := strconv.Atoi(os.Getenv("MEMBER_SESSION"))
	if err != nil {
		return err
	}
	balancer := kgo.RangeBalancer()
	if os.Getenv("MEMBER_ASSIGNOR") == "cooperative-sticky" {
		balancer = kgo.CooperativeStickyBalancer()
	}
	timeout := time.Duration(session) * time.Millisecond
	client, err := c.client(kgo.ConsumerGroup(c.Group), kgo.ConsumeTopics(c.Topic), kgo.Balancers(balancer), kgo.SessionTimeout(timeout),
		kgo.HeartbeatInterval(timeout/5), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.OnPartitionsAssigned(owns("+")), kgo.OnPartitionsRevoked(owns("-")), kgo.OnPartitionsLost(owns("-")))()
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance()
	for ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			fmt.Printf("r\t%d\t%d\t%s\t%s\n", r.Partition, r.Offset, r.Key, r.Value)
		})
		_ = client.CommitUncommittedOffsets(context.WithoutCancel(ctx)) // what could not be committed comes again
		client.AllowRebalance()
	}
	return nil
}
