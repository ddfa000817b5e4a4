package baddisk

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

const unmountLazily = syscall.MNT_DETACH

// serve mounts the disk and does what it is told until there is nobody any more to tell it.
func serve(t task) error {
	out := &speaker{to: json.NewEncoder(os.Stdout)}
	table, err := newTable(t.Classes, func(e Event) { out.say(answer{Event: &e}) })
	if err != nil {
		return err
	}
	server, err := mount(t, table)
	if err != nil {
		return err
	}
	err = obey(table, out)
	table.release(true)
	if lazy := syscall.Unmount(t.Dir, unmountLazily); lazy != nil {
		return errors.Join(err, lazy)
	}
	ended := make(chan struct{})
	go func() {
		server.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(10 * time.Second): // somebody still has a file open: the process's end ends that too
	}
	return err
}

// mount has the kernel keep no names and attributes: what a failed sync takes back must be seen.
func mount(t task, table *table) (*fuse.Server, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(t.Behind, &st); err != nil {
		return nil, err
	}
	loop := &fs.LoopbackRoot{Path: t.Behind, Dev: uint64(st.Dev)}
	root := &node{LoopbackNode: fs.LoopbackNode{RootData: loop}, table: table}
	loop.RootNode = root
	var never time.Duration
	var more uint64
	if t.Async {
		more = fuse.CAP_ASYNC_DIO
	}
	return fs.Mount(t.Dir, root, &fs.Options{
		EntryTimeout: &never, AttrTimeout: &never, NegativeTimeout: &never,
		MountOptions: fuse.MountOptions{
			DirectMountStrict: true, FsName: "baddisk", Name: "baddisk", DisableXAttrs: true, MaxWrite: 1 << 20, DisableSplice: true,
			DisabledCapabilities: fuse.CAP_PASSTHROUGH, // reads and writes would not come by here
			ExtraCapabilities:    more,
		},
	})
}

// speaker writes answers and events, each whole.
type speaker struct {
	mu sync.Mutex
	to *json.Encoder
}

func (s *speaker) say(a answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.to.Encode(a) // without a listener the orders end too
}

func obey(t *table, out *speaker) error {
	for orders := json.NewDecoder(os.Stdin); ; {
		var o order
		err := orders.Decode(&o)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var a answer
		switch o.What {
		case "rules":
			t.set(o.Rules)
		case "seen":
			a.Kinds, a.Times, a.Again = t.seen()
		case "forget":
			t.forget()
		case "release":
			t.release(o.Fail)
		default:
			a.Error = "no such order: " + o.What
		}
		out.say(a)
	}
}
