// Package lan is a network of hosts that stand in network namespaces of their own, on one Linux machine, as root. Every
// packet between them goes through the process that made it, which drops and delays what it is told to; nothing of the
// system's is configured, and all is gone with the process.
package lan

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"time"
)

// A Link is what becomes of packets from one host to another one; the zero value carries them at once.
type Link struct {
	Cut   bool          // all are dropped: nobody is told, as when a cable is pulled
	Loss  float64       // share of the packets that are dropped
	Delay time.Duration // of each packet
	Vary  time.Duration // up to so much more, without changing their order
}

// A LAN is hosts, numbered from 0, that reach each other. Methods may be called concurrently.
type LAN struct {
	Hosts []*Host
	wires [][]*wire // by sender and receiver
	ended sync.WaitGroup
	stop  context.CancelFunc
}

// New makes a network of so many hosts. The seed says which packets are lost.
func New(hosts int, seed uint64) (*LAN, error) {
	l := &LAN{}
	for n := range hosts {
		h, err := newHost(n)
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
		l.Hosts = append(l.Hosts, h)
	}
	var ctx context.Context
	ctx, l.stop = context.WithCancel(context.Background())
	for from := range hosts {
		var row []*wire
		for to := range hosts {
			w := &wire{to: l.Hosts[to], dice: rand.New(rand.NewPCG(seed, uint64(from*hosts+to))), sent: make(chan packet, queue)}
			row = append(row, w)
			l.ended.Go(func() { w.carry(ctx) })
		}
		l.wires = append(l.wires, row)
	}
	for n := range hosts {
		l.ended.Go(func() { l.listen(n) })
	}
	return l, nil
}

// Close ends the network. Processes that still run on its hosts reach nobody.
func (l *LAN) Close() error {
	if l.stop != nil {
		l.stop()
	}
	var err error
	for _, h := range l.Hosts {
		err = errors.Join(err, h.close())
	}
	l.ended.Wait()
	return err
}

// Set says what becomes from now on of packets that from sends to to.
func (l *LAN) Set(from, to int, k Link) { l.wires[from][to].set(k) }

// Both is Set in both directions.
func (l *LAN) Both(a, b int, k Link) {
	l.Set(a, b, k)
	l.Set(b, a, k)
}

// Heal makes all links whole.
func (l *LAN) Heal() {
	for from := range l.Hosts {
		for to := range l.Hosts {
			l.Set(from, to, Link{})
		}
	}
}

// listen takes what host n sends until its device is closed.
func (l *LAN) listen(n int) {
	buf := make([]byte, mtu)
	for {
		size, err := l.Hosts[n].device.Read(buf)
		if err != nil {
			return // closed: a device knows no other
		}
		if to, ok := destination(buf[:size]); ok && to < len(l.Hosts) {
			l.wires[n][to].send(buf[:size])
		}
	}
}

// destination is the host that an IPv4 packet is for.
func destination(p []byte) (host int, ok bool) {
	const header, version4 = 20, 4
	if len(p) < header || p[0]>>4 != version4 {
		return 0, false
	}
	return hostOf([4]byte(p[16:20]))
}

// queue is how many packets a wire holds; more are dropped, as by a switch.
const queue = 4096

// A wire carries packets one way.
type wire struct {
	to   *Host
	sent chan packet

	mu   sync.Mutex // guards what follows
	link Link
	dice *rand.Rand
}

type packet struct {
	data []byte
	due  time.Time
}

func (w *wire) set(k Link) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.link = k
}

// send does not block, and copies.
func (w *wire) send(data []byte) {
	w.mu.Lock()
	k := w.link
	lost := k.Cut || k.Loss > 0 && w.dice.Float64() < k.Loss
	delay := k.Delay
	if k.Vary > 0 {
		delay += time.Duration(w.dice.Int64N(int64(k.Vary)))
	}
	w.mu.Unlock()
	if lost {
		return
	}
	select {
	case w.sent <- packet{append([]byte(nil), data...), time.Now().Add(delay)}:
	default:
	}
}

// carry delivers what was sent when it is due.
func (w *wire) carry(ctx context.Context) {
	for {
		select {
		case p := <-w.sent:
			if wait := time.Until(p.due); wait > 0 {
				select {
				case <-time.After(wait):
				case <-ctx.Done():
					return
				}
			}
			if err := w.deliver(p.data); err != nil {
				return // closed
			}
		case <-ctx.Done():
			return
		}
	}
}

// deliver drops what was on its way when the wire was cut.
func (w *wire) deliver(data []byte) error {
	w.mu.Lock()
	cut := w.link.Cut
	w.mu.Unlock()
	if cut {
		return nil
	}
	_, err := w.to.device.Write(data)
	if errors.Is(err, os.ErrClosed) {
		return io.ErrClosedPipe
	}
	return nil // its host took it or dropped it
}
