package metalog

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

const childDir = "CHRONIK_TEST_METALOG_DIR"

// TestMain is the child of TestKilledProcess when the variable says so: it proposes until it is killed, and prints what
// has been acknowledged.
func TestMain(m *testing.M) {
	dir := os.Getenv(childDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	l, err := Open(Options{Dir: dir, NodeID: 1})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	for i := l.Image().TopicCount(); ; i++ {
		if _, err := l.Propose(context.Background(), topic(fmt.Sprint("t", i))); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println(i + 1)
		if i%50 == 49 {
			go l.raft.Snapshot().Error()
		}
	}
}

// Killed at any moment, a process has lost nothing that it acknowledged.
func TestKilledProcess(t *testing.T) {
	dir := t.TempDir()
	acknowledged := 0
	for range 6 {
		acknowledged = runAndKill(t, dir, acknowledged+20+rand.IntN(60))
		l := mustOpen(t, dir)
		n := l.Image().TopicCount()
		if n < acknowledged || n > acknowledged+1 {
			t.Fatalf("%d topics where %d were acknowledged", n, acknowledged)
		}
		for i := range n {
			if _, ok := l.Image().TopicNamed(fmt.Sprint("t", i)); !ok {
				t.Fatalf("topic %d is lost", i)
			}
		}
		mustClose(t, l)
	}
}

// runAndKill kills a child when it has acknowledged that many, and says how many it did in the end.
func runAndKill(t *testing.T, dir string, enough int) int {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir)
	out, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	last := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "error") {
			t.Error(lines.Text())
		}
		if n, err := strconv.Atoi(lines.Text()); err == nil {
			last = n
		}
		if last == enough {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = child.Wait() // killed, as it should be
	return last
}
