package wal

import (
	"io"
	"net"
	"os"
	"testing"

	"chronik/wal/vfs"
)

// pair is a connection and its other end, which reads nothing by itself.
func pair(t *testing.T) (to, from net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if to, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { to.Close() })
	if from, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { from.Close() })
	return to, from
}

// Sendfile gives a socket the page cache's own pages, and a slow consumer takes them long after the reader has let go of the file. A
// file system may take O_DIRECT and write through the page cache all the same, as tmpfs does.
func TestWhatASocketHasYetToSendMustNotChange(t *testing.T) {
	shm, err := os.MkdirTemp("/dev/shm", "wal")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(shm) })
	for name, dir := range map[string]string{"disk": t.TempDir(), "memory": shm} {
		t.Run(name, func(t *testing.T) {
			f, err := vfs.OS(dir)
			if err != nil {
				t.Fatal(err)
			}
			b := newBench(t, f)
			b.open()
			b.put(1, 9000, false)
			b.l.tail.evict(b.pool, 1<<40)
			x, err := b.l.Read(b.locs[0])
			if err != nil || x.File == nil {
				t.Fatal(err, "not from a file")
			}
			to, from := pair(t)
			if _, err := x.File.Seek(x.Off, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			if _, err := io.CopyN(to, x.File, x.Len); err != nil { // by sendfile
				t.Fatal(err)
			}
			x.Release()
			for range 4 * minSpares { // more than once through all files
				for range 8 {
					b.put(1, 9000, false)
				}
				b.l.Trim(1, int64(b.durable))
				if err := b.l.Checkpoint(nil); err != nil {
					t.Fatal(err)
				}
			}
			got := make([]byte, x.Len)
			if _, err := io.ReadFull(from, got); err != nil {
				t.Fatal(err)
			}
			if string(got) != b.appended[0].data {
				t.Error("it was overwritten on its way")
			}
			b.close()
		})
	}
}
