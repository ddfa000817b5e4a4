package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for something that takes a second at most on an idle machine.
const patience = time.Minute

// commands is the folder with the project's commands, built once for all tests.
var commands = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "chronik-commands-")
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-buildvcs=false", "-o", dir+"/", "./cmd/...")
	build.Dir = ".."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("%w: %s", err, out)
	}
	return dir, nil
})

var commandsWanted bool

func TestMain(m *testing.M) {
	code := m.Run()
	if commandsWanted {
		dir, _ := commands()
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// command returns the path of one of the project's commands.
func command(t *testing.T, name string) string {
	t.Helper()
	commandsWanted = true
	dir, err := commands()
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	return filepath.Join(dir, name)
}

// dataDir is a folder that stays if the test fails.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "chronik-data-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the data is kept in %s", dir)
		} else if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// freePort is outside of the range that the system takes ports of outgoing connections from: a client that looks for a
// stopped broker on a port of that range can end up connected to itself.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 10000 + rand.IntN(20000)
		socket, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			_ = socket.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// A broker is a data folder with ports, and the process that serves it between start and its end.
type broker struct {
	t         *testing.T
	dir       string
	kafkaPort int
	httpPort  int
	flags     []string
	*process
}

// newBroker starts nothing yet.
func newBroker(t *testing.T, flags ...string) *broker {
	t.Helper()
	return &broker{t: t, dir: filepath.Join(dataDir(t), "data"), kafkaPort: freePort(t), httpPort: freePort(t), flags: flags}
}

func (b *broker) address() string { return "127.0.0.1:" + strconv.Itoa(b.kafkaPort) }

func (b *broker) args() []string {
	return append([]string{
		"--data-dir", b.dir, "--bind-addr", "127.0.0.1", "--log-format", "json",
		"--kafka-port", strconv.Itoa(b.kafkaPort), "--http-port", strconv.Itoa(b.httpPort),
	}, b.flags...)
}

// start returns when the broker says that it is ready.
func (b *broker) start() {
	b.t.Helper()
	b.process = start(b.t, command(b.t, "chronik-server"), b.args()...)
	b.awaitMessage("ready")
}

// kill ends the process as kill -9 does.
func (b *broker) kill() {
	b.t.Helper()
	b.signal(syscall.SIGKILL)
	b.wait()
}

// get returns the status and the body of an HTTP endpoint.
func (b *broker) get(path string) (int, string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	rq, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+strconv.Itoa(b.httpPort)+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(rq)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return response.StatusCode, strings.TrimSpace(string(body))
}

// A process is a started command. It is killed when the test ends.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    bytes.Buffer // to be read after done
	lines  chan string  // of its standard error, as they come
	done   chan struct{}
	err    error // of its end, after done
	mu     sync.Mutex
	stderr []string
}

func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(name, args...), lines: make(chan string, 1000), done: make(chan struct{})}
	p.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "CHRONIK_") }) // the tests' own
	p.cmd.Stdout = &p.out
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.follow(stderr)
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it has ended already in most tests
		<-p.done
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(name), p.said())
		}
	})
	return p
}

// follow drops lines that nobody awaits when there are too many.
func (p *process) follow(stderr io.Reader) {
	defer close(p.done)
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
	p.err = p.cmd.Wait()
}

// said is what the process has written to its standard error so far.
func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.stderr, "\n")
}

// awaitMessage returns the first line of the log from here on that has this message.
func (p *process) awaitMessage(message string) map[string]any {
	p.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line, open := <-p.lines:
			if !open {
				p.t.Fatalf("the process ended before it said %q:\n%s", message, p.said())
			}
			var fields map[string]any
			if json.Unmarshal([]byte(line), &fields) == nil && fields["msg"] == message {
				return fields
			}
		case <-timeout:
			p.t.Fatalf("the process did not say %q:\n%s", message, p.said())
		}
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// wait returns the exit code; -1 is a death by a signal.
func (p *process) wait() int {
	p.t.Helper()
	return p.waitFor(patience)
}

func (p *process) waitFor(d time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(d):
		p.t.Fatalf("the process did not end:\n%s", p.said())
		return 0
	}
}

// run returns what a command that ends by itself printed and its exit code.
func run(t *testing.T, name string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	p := start(t, name, args...)
	code = p.wait()
	return p.out.String(), p.said(), code
}
