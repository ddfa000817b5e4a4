// Package broker starts the project's commands as processes, for the tests: servers on free ports of loopback, and the
// tools against them. It does not know what a test wants of them.
package broker

import (
	"cmp"
	"context"
	"fmt"
	"io"
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

	"chronik/integration/ports"
)

// Patience bounds every wait for something that takes a second at most on an idle machine.
const Patience = time.Minute

// Commands is the folder with the project's commands. It is CHRONIK_BIN, or they are built once, with the tags of
// CHRONIK_TAGS, into a folder that Main removes.
var Commands = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv("CHRONIK_BIN"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.MkdirTemp("", "chronik-commands-")
	if err != nil {
		return "", err
	}
	built = dir
	return dir, build(dir, os.Getenv("CHRONIK_TAGS"), "chronik/cmd/...")
})

// NextServer is the server of a release to come: it understands one level of chronik.version more. It is built once.
var NextServer = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "chronik-next-")
	if err != nil {
		return "", err
	}
	builtNext = dir
	return filepath.Join(dir, "chronik-server"), build(dir, os.Getenv("CHRONIK_TAGS")+",nextlevel", "chronik/cmd/chronik-server", "-ldflags", "-X main.version=next")
})

func build(dir, tags, what string, flags ...string) error {
	args := append([]string{"build", "-buildvcs=false", "-tags", strings.TrimPrefix(tags, ","), "-o", dir + "/"}, flags...)
	cmd := exec.Command("go", append(args, what)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

var built, builtNext string // by Commands and NextServer

// Main is the TestMain of the packages that start commands.
func Main(m *testing.M) {
	code := m.Run()
	_ = os.RemoveAll(built) // of no use any more, whatever the tests said
	_ = os.RemoveAll(builtNext)
	os.Exit(code)
}

// Command returns the path of one of the project's commands.
func Command(t testing.TB, name string) string {
	t.Helper()
	dir, err := Commands()
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	return filepath.Join(dir, name)
}

// DataDir is a folder that stays if the test fails.
func DataDir(t testing.TB) string {
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

// FreePort is a port of ports.Take until the test ends.
func FreePort(t testing.TB) int {
	t.Helper()
	port, giveBack, err := ports.Take()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = giveBack() })
	return port
}

// A Broker is a data folder with ports, and the process that serves it between start and its end.
type Broker struct {
	t         testing.TB
	Dir       string
	Site      Site
	KafkaPort int
	HTTPPort  int
	Flags     []string
	Server    string // the program, when it is not the one that was built
	*Process
}

// A Site is where a process runs. The zero value is this machine, by its loopback address.
type Site struct {
	Host   string                // its address
	Launch func(*exec.Cmd) error // starts a command there
}

func (s Site) host() string { return cmp.Or(s.Host, "127.0.0.1") }

// New starts nothing yet.
func New(t testing.TB, flags ...string) *Broker {
	t.Helper()
	return At(t, filepath.Join(DataDir(t), "data"), flags...)
}

// At is New with a data folder of the caller's.
func At(t testing.TB, dir string, flags ...string) *Broker {
	t.Helper()
	return &Broker{t: t, Dir: dir, KafkaPort: FreePort(t), HTTPPort: FreePort(t), Flags: flags}
}

// SmallLog makes the log roll, be cut into segments and be recycled all the time.
var SmallLog = []string{"--wal-size", "32MiB", "--wal-file-size", "4MiB", "--set", "log.segment.bytes=8388608"}

// Address is where Kafka clients find it.
func (b *Broker) Address() string { return net.JoinHostPort(b.Site.host(), strconv.Itoa(b.KafkaPort)) }

// Args are the server's flags.
func (b *Broker) Args() []string {
	return append([]string{
		"--data-dir", b.Dir, "--bind-addr", b.Site.host(), "--log-format", "json",
		"--kafka-port", strconv.Itoa(b.KafkaPort), "--http-port", strconv.Itoa(b.HTTPPort),
	}, b.Flags...)
}

// Start returns when the broker says that it is ready.
func (b *Broker) Start() {
	b.t.Helper()
	b.Begin()
	b.AwaitMessage("ready")
}

// Begin starts the process and does not wait until it is ready.
func (b *Broker) Begin() {
	b.t.Helper()
	server := b.Server
	if server == "" {
		server = Command(b.t, "chronik-server")
	}
	b.Process = b.Site.Start(b.t, server, b.Args()...)
}

// Kill ends the process as kill -9 does.
func (b *Broker) Kill() {
	b.t.Helper()
	b.Signal(syscall.SIGKILL)
	b.Wait()
}

// Bench starts chronik-bench against b; what is acknowledged is kept beside b's data.
func (b *Broker) Bench(subcommand string, flags ...string) *Process {
	b.t.Helper()
	return bench(b.t, subcommand, b.Address(), filepath.Join(filepath.Dir(b.Dir), "acknowledged"), flags)
}

func bench(t testing.TB, subcommand, brokers, file string, flags []string) *Process {
	t.Helper()
	args := append([]string{subcommand, "--brokers", brokers, "--format", "json", "--verify-file", file}, flags...)
	return Start(t, Command(t, "chronik-bench"), args...)
}

// VerifyDump checks the folder of the stopped broker with chronik dump. Damage of the files that are known to have rotted is
// none.
func (b *Broker) VerifyDump(rotten ...string) {
	b.t.Helper()
	out, said, code := Run(b.t, Command(b.t, "chronik"), "dump", "--verify", b.Dir)
	found, known := 0, 0
	for line := range strings.Lines(out) {
		if path, is := strings.CutPrefix(line, "damage: "); is {
			found++
			if slices.ContainsFunc(rotten, func(name string) bool { return strings.HasPrefix(path, filepath.Join(b.Dir, name)) }) {
				known++
			}
		}
	}
	if code != 0 && (found == 0 || known < found) {
		b.t.Errorf("dump ended with %d: %s%s", code, out, said)
	}
}

// Get returns the status and the body of an HTTP endpoint.
func (b *Broker) Get(path string) (int, string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), Patience)
	defer cancel()
	rq, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+strconv.Itoa(b.HTTPPort)+path, nil)
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
