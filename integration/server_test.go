package integration

import (
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"chronik/integration/broker"
)

func TestServerPrintsVersion(t *testing.T) {
	out, _, code := broker.Run(t, broker.Command(t, "chronik-server"), "version", "--advertised-addr", "broker.example.org")
	want := regexp.MustCompile(`^chronik-server \S+\nclients are told: broker\.example\.org:9092\n$`)
	if code != 0 || !want.MatchString(out) {
		t.Errorf("exit code %d: %q", code, out)
	}
}

func TestServerPrintsHelp(t *testing.T) {
	out, _, code := broker.Run(t, broker.Command(t, "chronik-server"), "--help")
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"standalone", "version", "--data-dir", "CHRONIK_DATA_DIR", "--wal-sync", "CHRONIK_WAL_SYNC"} {
		if !strings.Contains(out, want) {
			t.Errorf("nothing of %s in:\n%s", want, out)
		}
	}
}

// A mistake must end the start, name the setting and say what to write.
func TestServerRefusesWrongSettings(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--frob"}, "unknown flag: --frob"},
		{[]string{"frob"}, `unknown command "frob"`},
		{[]string{"--kafka-port", "99999"}, "write a number from 0 to 65535"},
		{[]string{"--wal-sync", "sometimes"}, "write always, interval or never"},
		{[]string{"--config", "missing.toml"}, "missing.toml"},
		{[]string{"--advertised-addr", "0.0.0.0"}, "nobody can connect to 0.0.0.0"},
	} {
		out, said, code := broker.Run(t, broker.Command(t, "chronik-server"), append(c.args, "--data-dir", t.TempDir())...)
		if code != 1 || out != "" || !strings.Contains(said, c.want) {
			t.Errorf("%v: exit code %d, %q, want %q", c.args, code, said, c.want)
		}
	}
}

func TestServerTellsItsHealth(t *testing.T) {
	b := broker.New(t)
	b.Start()
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, body := b.Get(path); status != http.StatusOK || body != "ok" {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
	if status, _ := b.Get("/nothing"); status != http.StatusNotFound {
		t.Errorf("/nothing: %d", status)
	}
	b.Signal(syscall.SIGTERM)
	if code := b.Wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestServerRefusesATakenPort(t *testing.T) {
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	taken := socket.Addr().(*net.TCPAddr).Port
	for _, setting := range []string{"kafka-port", "http-port"} {
		b := broker.New(t, "--"+setting, strconv.Itoa(taken))
		_, said, code := broker.Run(t, broker.Command(t, "chronik-server"), b.Args()...)
		for _, want := range []string{setting + ": ", socket.Addr().String(), "address already in use"} {
			if code != 1 || !strings.Contains(said, want) {
				t.Errorf("%s: exit code %d, %q, want %q", setting, code, said, want)
			}
		}
	}
}

// Two processes on one folder would write over each other.
func TestServerRefusesAFolderInUse(t *testing.T) {
	first := broker.New(t)
	first.Start()
	second := broker.At(t, first.Dir)
	_, said, code := broker.Run(t, broker.Command(t, "chronik-server"), second.Args()...)
	if code != 1 || !strings.Contains(said, first.Dir) || !strings.Contains(said, "in use by another process") {
		t.Errorf("exit code %d: %s", code, said)
	}
	if status, body := first.Get("/readyz"); status != http.StatusOK {
		t.Errorf("the first: %d %q", status, body)
	}
	first.Kill()
	second.Start() // the lock goes with its holder
}
