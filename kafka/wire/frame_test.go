package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"chronik/wal/arena"
)

func framed(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

func TestFramesOfEverySize(t *testing.T) {
	pool := arena.New(32 << 20)
	rapid.Check(t, func(t *rapid.T) {
		var sent [][]byte
		var stream bytes.Buffer
		edges := []int{1, 2, 1024, 1025, firstPart, firstPart + 1, smallFrame - 1, smallFrame, smallFrame + 1, midFrame, midFrame + 1, bigFrame, bigFrame + 1}
		for i := range rapid.IntRange(1, 4).Draw(t, "frames") {
			b := bytes.Repeat([]byte{byte(i + 1)}, rapid.SampledFrom(edges).Draw(t, "size"))
			b[len(b)-1] = 0xee
			sent = append(sent, b)
			stream.Write(framed(b))
		}
		frames := NewFrames(iotest.HalfReader(&stream), pool, 8<<20)
		for _, want := range sent {
			f, err := frames.Next(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(f.Bytes, want) {
				t.Fatalf("a frame of %d bytes instead of %d, or other bytes", len(f.Bytes), len(want))
			}
			if large := len(want) >= smallFrame; (f.Buf != nil) != large {
				t.Fatalf("%d bytes in the arena: %v", len(want), f.Buf != nil)
			}
			f.Release()
		}
		if _, err := frames.Next(context.Background()); err != io.EOF {
			t.Fatalf("the end is %v", err)
		}
	})
	if n := pool.InUse(); n != 0 {
		t.Errorf("%d bytes are still held", n)
	}
}

// However a frame breaks off, the error says so and nothing stays behind.
func TestCutFrames(t *testing.T) {
	pool := arena.New(32 << 20)
	for _, n := range []int{1, 3, 4, 5, 1000, firstPart + 3, smallFrame, smallFrame + 5, midPart + 5, bigPart, bigPart + 5, bigFrame} {
		b := framed(make([]byte, bigFrame+1))[:n]
		_, err := NewFrames(bytes.NewReader(b), pool, 8<<20).Next(t.Context())
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
	if n := pool.InUse(); n != 0 {
		t.Errorf("%d bytes are still held", n)
	}
}

// A size alone is worth no memory: the pool is asked only after a good part of the frame has come.
func TestAClaimTakesNothingFromThePool(t *testing.T) {
	pool := arena.New(32 << 20)
	r, w := io.Pipe()
	frames := NewFrames(r, pool, 8<<20)
	asked := make(chan int)
	frames.Await = func(n int) { asked <- n }
	done := make(chan error)
	go func() {
		_, err := frames.Next(t.Context())
		done <- err
	}()
	whole := framed(make([]byte, 8<<20))
	for _, step := range []struct{ bytes, want int }{
		{0, 4}, {4, 8 << 20}, {firstPart, 8<<20 - firstPart}, {midPart - firstPart, 0}, {0, 8<<20 - midPart},
	} {
		if step.bytes > 0 {
			w.Write(whole[:step.bytes])
		}
		if got := <-asked; got != step.want {
			t.Fatalf("waits for %d bytes, want %d", got, step.want)
		}
		if n := pool.InUse(); n != 0 {
			t.Fatalf("%d bytes of the pool are held", n)
		}
	}
	w.Close()
	if err := <-done; err != io.ErrUnexpectedEOF {
		t.Error(err)
	}
}

func TestALargeFrameIsAskedFor(t *testing.T) {
	pool := arena.New(32 << 20)
	asked := 0
	frames := NewFrames(bytes.NewReader(framed(make([]byte, 8<<20))), pool, 8<<20)
	frames.Large = func(n int) error { asked = n; return nil }
	f, err := frames.Next(t.Context())
	if err != nil || asked != 8<<20 {
		t.Errorf("%v, asked for %d", err, asked)
	}
	f.Release()
	full := errors.New("full")
	frames = NewFrames(bytes.NewReader(framed(make([]byte, 8<<20))), pool, 8<<20)
	frames.Large = func(int) error { return full }
	if _, err := frames.Next(t.Context()); err != full || pool.InUse() != 0 {
		t.Errorf("%v, %d bytes are held", err, pool.InUse())
	}
}

// Thousands of peers may wait to be allowed a large frame: what each has sent by then is memory that nobody counts.
func TestAFrameMustNotHoldMuchBeforeItIsAllowed(t *testing.T) {
	stream := bytes.NewReader(framed(make([]byte, bigFrame+1)))
	frames := NewFrames(stream, arena.New(32<<20), 8<<20)
	waits := 0
	frames.Await = func(n int) {
		if n == 0 {
			waits++
		}
	}
	frames.Large = func(int) error {
		if took := stream.Size() - int64(stream.Len()); waits != 1 || took > 4+midPart+readBuffer {
			t.Errorf("%d bytes are held, after %d words that the peer is not to blame", took, waits)
		}
		return nil
	}
	f, err := frames.Next(t.Context())
	if err != nil || waits != 2 {
		t.Fatal(err, waits)
	}
	f.Release()
}

// The end of the context ends the wait for memory.
func TestWaitingForMemoryEnds(t *testing.T) {
	pool := arena.New(1 << 20)
	hog, err := pool.Get(t.Context(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer hog.Release()
	ctx, cancel := context.WithCancel(t.Context())
	frames := NewFrames(bytes.NewReader(framed(make([]byte, smallFrame))), pool, 1<<20)
	frames.Await = func(n int) {
		if n == 0 {
			cancel()
		}
	}
	if _, err := frames.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// bursts gives one burst after the other, each by as few reads as it fits in, and counts them.
type bursts struct {
	left  [][]byte
	reads int
}

func (b *bursts) Read(into []byte) (int, error) {
	if len(b.left) == 0 {
		return 0, io.EOF
	}
	b.reads++
	n := copy(into, b.left[0])
	if b.left[0] = b.left[0][n:]; len(b.left[0]) == 0 {
		b.left = b.left[1:]
	}
	return n, nil
}

// What a client has in flight costs one read, not one for each few requests; and who sends less has no memory for more.
func TestTheBufferSuitsWhatComesAtOnce(t *testing.T) {
	pool := arena.New(1 << 20)
	large := bytes.Repeat(framed(make([]byte, 1100)), 5)
	src := &bursts{left: [][]byte{large, large, large}}
	for range 2 * wideMemory {
		src.left = append(src.left, framed(make([]byte, 100)))
	}
	src.left = append(src.left, large, framed(make([]byte, smallFrame)))
	frames := NewFrames(src, pool, 1<<20)
	burst := func(n, wantReads int) {
		t.Helper()
		before := src.reads
		for range n {
			var err error
			if !frames.Buffered() {
				err = frames.Wait()
			}
			var f Frame
			if err == nil {
				f, err = frames.Next(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			f.Release()
		}
		if got := src.reads - before; got != wantReads {
			t.Errorf("%d reads, want %d", got, wantReads)
		}
	}
	burst(5, 2)
	burst(5, 1)
	burst(5, 1)
	for range 2 * wideMemory {
		burst(1, 1)
	}
	if n := frames.src.Size(); n != readBuffer {
		t.Errorf("the buffer has %d bytes still", n)
	}
	burst(5, 2)
	burst(1, 2)
}

// However many connections have sent much at once, and are idle now: they must not hold more memory than was given for it.
func TestNotAnyNumberOfConnectionsHasAWideBuffer(t *testing.T) {
	pool := arena.New(1 << 20)
	var places atomic.Int64
	places.Store(1)
	burst := bytes.Repeat(framed(make([]byte, 1100)), 5)
	wide := func() (*Frames, bool) {
		t.Helper()
		frames := NewFrames(&bursts{left: [][]byte{burst, burst}}, pool, 1<<20)
		frames.Wide = &places
		for range 10 {
			if !frames.Buffered() {
				if err := frames.Wait(); err != nil {
					t.Fatal(err)
				}
			}
			f, err := frames.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			f.Release()
		}
		return frames, frames.src.Size() == WideBuffer
	}
	first, is := wide()
	if !is {
		t.Error("the first has none")
	}
	second, is := wide()
	if is {
		t.Error("the second one has one too")
	}
	second.Close()
	first.Close()
	first.Close()
	if n := places.Load(); n != 1 {
		t.Errorf("%d places", n)
	}
	if _, is := wide(); !is {
		t.Error("the third has none")
	}
}

// FuzzFrame reads any stream: it ends with an error, and what came before it are the frames that stand there.
func FuzzFrame(f *testing.F) {
	f.Add(append(framed([]byte("one")), framed(make([]byte, smallFrame+1))...))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	pool := arena.New(8 << 20)
	f.Fuzz(func(t *testing.T, stream []byte) {
		frames, at := NewFrames(bytes.NewReader(stream), pool, 1<<20), 0
		for {
			whole := frames.Buffered()
			got, err := frames.Next(context.Background())
			if err != nil {
				if whole && !errors.Is(err, ErrFrame) {
					t.Fatalf("a frame that is there was not read: %v", err)
				}
				break
			}
			at += 4
			if !bytes.Equal(got.Bytes, stream[at:at+len(got.Bytes)]) {
				t.Fatal("other bytes")
			}
			at += len(got.Bytes)
			got.Release()
		}
		if n := pool.InUse(); n != 0 {
			t.Fatalf("%d bytes are still held", n)
		}
	})
}
