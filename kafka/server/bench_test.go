package server

import (
	"fmt"
	"io"
	"net"
	"testing"

	"chronik/wal/arena"
)

// BenchmarkNull is the most that the sockets allow: requests over loopback, a handler that does nothing.
func BenchmarkNull(b *testing.B) {
	for _, size := range []int{1 << 10, 1 << 20} {
		for _, inFlight := range []int{1, 5} {
			b.Run(fmt.Sprintf("bytes=%d/in-flight=%d", size, inFlight), func(b *testing.B) {
				benchmarkNull(b, request(produceOf(size), 1), inFlight)
			})
		}
	}
}

func benchmarkNull(b *testing.B, frame []byte, inFlight int) {
	s, err := New(Options{
		Listeners: []Listener{{Name: "TCP", Addr: "127.0.0.1:0"}}, Handler: handlerFunc(echo), Pool: arena.New(64 << 20),
	})
	if err != nil {
		b.Fatal(err)
	}
	go s.Serve()
	defer s.Shutdown(b.Context())
	c, err := net.Dial("tcp", s.Addr("TCP").String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()

	sent := make(chan struct{}, inFlight)
	go func() {
		defer close(sent)
		for range b.N {
			sent <- struct{}{}
			if _, err := c.Write(frame); err != nil {
				return
			}
		}
	}()
	response := make([]byte, 15) // of no topics: the size, 5 of the header, 6 of the body
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := io.ReadFull(c, response); err != nil {
			b.Fatal(err)
		}
		<-sent
	}
}
