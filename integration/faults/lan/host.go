package lan

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// mtu is Ethernet's.
const mtu = 1500

// The hosts' addresses are 10.77.0.1 and up.
var network = [4]byte{10, 77, 0, 0}

func hostOf(address [4]byte) (n int, ok bool) {
	n = int(address[3]) - 1
	return n, [3]byte(address[:3]) == [3]byte(network[:3]) && n >= 0
}

// A Host is a network namespace with one device, whose packets the LAN carries.
type Host struct {
	Address   netip.Addr
	namespace *os.File
	device    *os.File
}

func newHost(n int) (*Host, error) {
	address := network
	address[3] += byte(n + 1)
	h := &Host{Address: netip.AddrFrom4(address)}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("a network namespace: %w", err)
		}
		var err error
		if h.namespace, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return err
		}
		h.device, err = openDevice(address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("host %d (it needs root, Linux and /dev/net/tun): %w", n, err)
	}
	return h, nil
}

// onThread runs fn on a thread that ends with it: what fn changes of the thread's namespaces stays there.
func onThread(fn func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- fn()
	}()
	return <-done
}

// openDevice makes the device in the thread's namespace, with its address, and the loopback one beside it.
func openDevice(address [4]byte) (*os.File, error) {
	const name = "lan0"
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/dev/net/tun", Err: err}
	}
	err = control(fd, name, unix.TUNSETIFF, func(q *unix.Ifreq) error { q.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI); return nil })
	if err == nil {
		err = configure(name, address)
	}
	if err != nil {
		_ = unix.Close(fd) // err says more
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil // only now: the runtime's poller refuses one without a device
}

func configure(name string, address [4]byte) error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	up := func(q *unix.Ifreq) error { q.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }
	for _, step := range []struct {
		name string
		what uint
		set  func(*unix.Ifreq) error
	}{
		{"lo", unix.SIOCSIFFLAGS, up},
		{name, unix.SIOCSIFADDR, func(q *unix.Ifreq) error { return q.SetInet4Addr(address[:]) }},
		{name, unix.SIOCSIFNETMASK, func(q *unix.Ifreq) error { return q.SetInet4Addr([]byte{255, 255, 255, 0}) }},
		{name, unix.SIOCSIFMTU, func(q *unix.Ifreq) error { q.SetUint32(mtu); return nil }},
		{name, unix.SIOCSIFFLAGS, up},
	} {
		if err := control(socket, step.name, step.what, step.set); err != nil {
			return err
		}
	}
	return nil
}

func control(fd int, name string, what uint, set func(*unix.Ifreq) error) error {
	q, err := unix.NewIfreq(name)
	if err == nil {
		err = set(q)
	}
	if err == nil {
		err = unix.IoctlIfreq(fd, what, q)
	}
	if err != nil {
		return fmt.Errorf("device %s, ioctl %#x: %w", name, what, err)
	}
	return nil
}

// Do runs fn in the host's namespace: sockets that it opens and processes that it starts are the host's.
func (h *Host) Do(fn func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(h.namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter a network namespace: %w", err)
		}
		return fn()
	})
}

// Start starts a process on the host.
func (h *Host) Start(cmd *exec.Cmd) error { return h.Do(cmd.Start) }

// Dial connects from the host to an address without names in it.
func (h *Host) Dial(ctx context.Context, kind, address string) (c net.Conn, err error) {
	err = h.Do(func() (err error) { c, err = new(net.Dialer).DialContext(ctx, kind, address); return err })
	return c, err
}

func (h *Host) close() error {
	err := h.device.Close()
	if err2 := h.namespace.Close(); err == nil {
		err = err2
	}
	return err
}
