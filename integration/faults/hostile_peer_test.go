package faults

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/wal/campaign"
)

const (
	hostileBurst      = 16          // frames that are sent before their answers are read
	hostileBurstBytes = 256 << 10   // more might not fit into the sockets while nobody reads
	hostilePatience   = time.Second // without an answer: a request waits for something, or the broker for memory
	hostileSentinel   = 1 << 30
)

// hostilePeer sends frames and judges the answers. After the broker has hung up it goes on with the next frame on
// another connection.
type hostilePeer struct {
	t       *testing.T
	address string
	serves  func(key, version int16) bool
	counts  campaign.Counts

	conn   *net.TCPConn
	answer *bufio.Reader
}

// run sends all frames and returns when the broker is done with each.
func (p *hostilePeer) run(frames []hostileFrame) {
	defer p.hangUp()
	for len(frames) > 0 && !p.t.Failed() {
		n, bytes := 0, 0
		for n < len(frames) && n < hostileBurst && bytes < hostileBurstBytes {
			if frames[n].refused && n > 0 {
				break // it might take along the answers to those before it
			}
			bytes += len(frames[n].bytes)
			if n++; frames[n-1].refused {
				break
			}
		}
		done := p.burst(frames[:n])
		p.counts["frames"] += int64(done)
		frames = frames[done:]
	}
}

func (p *hostilePeer) hangUp() {
	if p.conn != nil {
		_ = p.conn.SetLinger(0) // what is in flight is of no interest, and ports are not to run out
		_ = p.conn.Close()
		p.conn = nil
	}
}

func (p *hostilePeer) dial() bool {
	if p.conn != nil {
		return true
	}
	conn, err := net.DialTimeout("tcp", p.address, 10*time.Second)
	if err != nil {
		p.t.Errorf("the broker takes no connection: %v", err)
		return false
	}
	p.conn = conn.(*net.TCPConn)
	if p.answer == nil {
		p.answer = bufio.NewReaderSize(conn, 64<<10)
	}
	p.answer.Reset(conn)
	p.counts["connections"]++
	return true
}

// burst sends frames at once and says how many of them the broker is done with: all, or those up to the one that made it
// hang up, or that it lets wait.
func (p *hostilePeer) burst(frames []hostileFrame) (done int) {
	if !p.dial() {
		return len(frames)
	}
	if err := p.send(frames); err != nil && !isGone(err) && !errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Errorf("send: %v", err)
	}
	for at := 0; ; {
		_ = p.conn.SetReadDeadline(time.Now().Add(hostilePatience))
		id, body, err := p.read()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			p.counts["held"]++
			p.hangUp()
			return min(at+1, len(frames))
		case err != nil:
			return p.closed(frames, at, err)
		case id == hostileSentinel:
			p.skipped(frames, at, len(frames))
			return len(frames)
		}
		n := int(id) - 1
		if n < at || n >= len(frames) {
			p.fail(frames, at, "an answer with the correlation id %d, after %d", id, at)
			return len(frames)
		}
		p.skipped(frames, at, n)
		p.judge(frames, n, body)
		p.counts["answered"]++
		at = n + 1
	}
}

// send numbers the frames. A sentinel behind them tells that all are done with; after what is no frame the end of the
// stream does.
func (p *hostilePeer) send(frames []hostileFrame) error {
	var all []byte
	for i := range frames {
		b := frames[i].bytes
		if !frames[i].end && len(b) >= 4+hostileHeader {
			binary.BigEndian.PutUint32(b[8:], uint32(i+1))
		}
		all = append(all, b...)
	}
	end := frames[len(frames)-1].end
	if !end {
		all = append(all, kmsg.NewRequestFormatter().AppendRequest(nil, kmsg.NewPtrApiVersionsRequest(), hostileSentinel)...)
	}
	_ = p.conn.SetWriteDeadline(time.Now().Add(hostilePatience))
	_, err := p.conn.Write(all)
	if err == nil && end {
		err = p.conn.CloseWrite()
	}
	return err
}

func (p *hostilePeer) read() (id int32, body []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(p.answer, head[:]); err != nil {
		return 0, nil, err
	}
	size := int32(binary.BigEndian.Uint32(head[:]))
	if size < 4 || size > 256<<20 {
		return 0, nil, fmt.Errorf("an answer of %d bytes", size)
	}
	body = make([]byte, size-4)
	_, err = io.ReadFull(p.answer, body)
	return int32(binary.BigEndian.Uint32(head[4:])), body, err
}

// closed is the broker's right, but never in answer to a right request.
func (p *hostilePeer) closed(frames []hostileFrame, at int, err error) (done int) {
	p.hangUp()
	p.counts["hung up"]++
	if !isGone(err) {
		p.fail(frames, at, "%v", err)
	}
	if at == len(frames) { // the sentinel's answer was lost with the connection
		return at
	}
	if frames[at].right && len(frames) > 1 {
		p.burst(frames[at : at+1]) // a frame behind it may be to blame, and have taken the answer along
	} else if frames[at].right {
		p.fail(frames, at, "the broker hung up on a right request: %v", err)
	}
	return at + 1
}

func isGone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(err.Error(), "connection reset") ||
		strings.Contains(err.Error(), "broken pipe") || strings.Contains(err.Error(), "not connected")
}

// skipped frames have no answer: that is right for produce with acks=0 only.
func (p *hostilePeer) skipped(frames []hostileFrame, from, to int) {
	for i := from; i < to; i++ {
		if b := frames[i].bytes; binary.BigEndian.Uint16(b[4:]) != keyProduce {
			p.fail(frames, i, "no answer, although a later request has one")
		}
	}
}

// judge reads the answer by the version that was asked in: every byte must mean something, and written again be the same.
func (p *hostilePeer) judge(frames []hostileFrame, at int, body []byte) {
	b := frames[at].bytes
	key, version := int16(binary.BigEndian.Uint16(b[4:])), int16(binary.BigEndian.Uint16(b[6:]))
	if !p.serves(key, version) {
		if key == keyApiVersions {
			version = 0
		} else if !bytes.Equal(body, []byte{0, 35}) {
			p.fail(frames, at, "the answer to a version that is not served is %x", body)
			return
		} else {
			p.counts["unsupported"]++
			return
		}
	}
	resp := kmsg.ResponseForKey(key)
	resp.SetVersion(version)
	if resp.IsFlexible() && key != keyApiVersions {
		if len(body) == 0 || body[0] != 0 {
			p.fail(frames, at, "the answer's header has tags: %x", body[:min(len(body), 40)])
			return
		}
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		p.fail(frames, at, "the answer cannot be read: %v: %x", err, body[:min(len(body), 2000)])
	} else if again := resp.AppendTo(nil); !bytes.Equal(again, body) {
		p.fail(frames, at, "the answer is %d bytes, and what they say %d: %x", len(body), len(again), body[:min(len(body), 2000)])
	}
}

// fail prints the frames of the connection up to the one at.
func (p *hostilePeer) fail(frames []hostileFrame, at int, format string, args ...any) {
	p.t.Errorf(format+" (CHRONIK_CAMPAIGN=%s makes these frames again)", append(args, os.Getenv("CHRONIK_CAMPAIGN"))...)
	for i, f := range frames[:min(at+1, len(frames))] {
		p.t.Logf("frame %d of this connection, %d bytes: %x", i, len(f.bytes), f.bytes[:min(len(f.bytes), 2000)])
	}
}
