package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"chronik/integration/ports"
)

// A subject is what a load is run on.
type subject interface {
	label() string
	brokers() string           // addresses, with commas
	cpu() (float64, error)     // seconds that it has used
	written() (float64, error) // bytes that it has had written to disk
	memory(name string) (float64, error)
}

// A server is one process with a data directory, started as often as is wanted.
type server struct {
	name    string // null or real
	command string
	dir     string
	flags   []string
	exit    int // its code when it was stopped in order

	addr string // of Kafka, while it runs
	cmd  *exec.Cmd
	log  bytes.Buffer
	done chan struct{} // closed when it has ended
}

func (s *server) label() string   { return s.name }
func (s *server) brokers() string { return s.addr }

// start is launch on a free port.
func (s *server) start(ctx context.Context) (time.Time, error) {
	port, err := freePort()
	if err != nil {
		return time.Time{}, err
	}
	s.addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	flags := []string{"--data-dir", s.dir, "--bind-addr", "127.0.0.1", "--kafka-port", strconv.Itoa(port), "--http-port", "0",
		"--raft-port", "0", "--gossip-port", "0"}
	return s.launch(ctx, append(flags, s.flags...)...)
}

// launch returns when addr takes connections, with the time of the process's start.
func (s *server) launch(ctx context.Context, args ...string) (time.Time, error) {
	s.cmd = exec.CommandContext(ctx, s.command, args...)
	s.log.Reset()
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	begin := time.Now()
	if err := s.cmd.Start(); err != nil {
		return begin, err
	}
	s.done = make(chan struct{})
	go func() {
		_ = s.cmd.Wait() // how it ended is in its log
		close(s.done)
	}()
	return begin, s.await(ctx)
}

// await waits until the server takes connections.
func (s *server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	for {
		nc, err := net.Dial("tcp", s.addr)
		if err == nil {
			return nc.Close()
		}
		select {
		case <-s.done:
			return fmt.Errorf("%s ended: %s", s.name, s.log.String())
		case <-ctx.Done():
			return fmt.Errorf("%s does not take connections: %w", s.name, err)
		case <-time.After(time.Millisecond):
		}
	}
}

// freePort is taken until the benchmark ends: a node is started again on it.
func freePort() (port int, err error) {
	port, _, err = ports.Take()
	return port, err
}

// stop has the server end in order.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	<-s.done
	if code := s.cmd.ProcessState.ExitCode(); code != s.exit {
		return fmt.Errorf("%s ended with %d: %s", s.name, code, s.log.String())
	}
	return nil
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill() // it has ended already, or ends
	<-s.done
}

// userHz is what /proc counts CPU time in, on every architecture that Go has.
const userHz = 100

// cpu is the CPU time that the process has used, in seconds.
func (s *server) cpu() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(text), ") ") // the name before it may hold anything
	fields := strings.Fields(rest)
	const user, system = 11, 12
	if !ok || len(fields) <= system {
		return 0, errors.New("/proc/PID/stat is not what it was")
	}
	u, err1 := strconv.ParseFloat(fields[user], 64)
	k, err2 := strconv.ParseFloat(fields[system], 64)
	return (u + k) / userHz, errors.Join(err1, err2)
}

// memory is a line of /proc/PID/status in MiB, as VmRSS or VmHWM.
func (s *server) memory(name string) (float64, error) {
	kib, err := s.proc("status", name)
	return kib / 1024, err
}

// forgetPeak has VmHWM begin anew.
func (s *server) forgetPeak() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.cmd.Process.Pid), []byte("5"), 0)
}

func (s *server) written() (float64, error) { return s.proc("io", "write_bytes") }

// proc is a line of one of the files in /proc/PID.
func (s *server) proc(file, name string) (float64, error) {
	path := fmt.Sprintf("/proc/%d/%s", s.cmd.Process.Pid, file)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", path, name)
}
