package broker

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Process is a started command. It is killed when the test ends.
type Process struct {
	t      testing.TB
	Cmd    *exec.Cmd
	Out    bytes.Buffer // to be read after done
	lines  chan string  // of its standard error, as they come
	Done   chan struct{}
	err    error // of its end, after done
	mu     sync.Mutex
	stderr []string
}

// Start starts a command on this machine.
func Start(t testing.TB, name string, args ...string) *Process {
	t.Helper()
	return Site{}.Start(t, name, args...)
}

// StartWith is Start with variables of the environment, name=value.
func StartWith(t testing.TB, variables []string, name string, args ...string) *Process {
	t.Helper()
	return Site{}.start(t, variables, name, args)
}

// Start starts a command at s.
func (s Site) Start(t testing.TB, name string, args ...string) *Process {
	t.Helper()
	return s.start(t, nil, name, args)
}

func (s Site) start(t testing.TB, variables []string, name string, args []string) *Process {
	t.Helper()
	p := &Process{t: t, Cmd: exec.Command(name, args...), lines: make(chan string, 1000), Done: make(chan struct{})}
	p.Cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "CHRONIK_") }) // the tests' own
	p.Cmd.Env = append(p.Cmd.Env, variables...)
	p.Cmd.Stdout = &p.Out
	stderr, err := p.Cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	launch := s.Launch
	if launch == nil {
		launch = (*exec.Cmd).Start
	}
	if err := launch(p.Cmd); err != nil {
		t.Fatal(err)
	}
	go p.follow(stderr)
	t.Cleanup(func() {
		_ = p.Cmd.Process.Kill() // it has ended already in most tests
		<-p.Done
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(name), p.Said())
		}
	})
	return p
}

// follow drops lines that nobody awaits when there are too many.
func (p *Process) follow(stderr io.Reader) {
	defer close(p.Done)
	defer close(p.lines)
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.mu.Lock()
		p.stderr = append(p.stderr, lines.Text())
		p.mu.Unlock()
		select {
		case p.lines <- lines.Text():
		default:
		}
	}
	p.err = p.Cmd.Wait()
}

// Said is what the process has written to its standard error so far.
func (p *Process) Said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.stderr, "\n")
}

// AwaitMessage returns the first line of the log from here on that has this message.
func (p *Process) AwaitMessage(message string) map[string]any {
	p.t.Helper()
	timeout := time.After(Patience)
	for {
		select {
		case line, open := <-p.lines:
			if !open {
				p.t.Fatalf("the process ended before it said %q:\n%s", message, p.Said())
			}
			var fields map[string]any
			if json.Unmarshal([]byte(line), &fields) == nil && fields["msg"] == message {
				return fields
			}
		case <-timeout:
			p.t.Fatalf("the process did not say %q:\n%s", message, p.Said())
		}
	}
}

// Signal sends s.
func (p *Process) Signal(s os.Signal) {
	p.t.Helper()
	if err := p.Cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// Wait is WaitFor with patience.
func (p *Process) Wait() int {
	p.t.Helper()
	return p.WaitFor(Patience)
}

// WaitFor returns the exit code; -1 is a death by a signal.
func (p *Process) WaitFor(d time.Duration) int {
	p.t.Helper()
	select {
	case <-p.Done:
		return p.Cmd.ProcessState.ExitCode()
	case <-time.After(d):
		p.t.Fatalf("the process did not end:\n%s", p.Said())
		return 0
	}
}

// Run returns what a command that ends by itself printed and its exit code.
func Run(t testing.TB, name string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	p := Start(t, name, args...)
	code = p.Wait()
	return p.Out.String(), p.Said(), code
}
