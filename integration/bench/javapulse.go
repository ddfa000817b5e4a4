package main

import (
	"bufio"
	"bytes"
	"context"
	_ "embed" // Pulse.java
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

//go:embed Pulse.java
var javaPulseProgram []byte

// javaTimeout is the producer's request.timeout.ms. When the answer of a node that is held still has not come by then it asks
// another one who leads.
const javaTimeout = 500 * time.Millisecond

// javaPulse is a pulse of Kafka's own producer. It notes only what takes longer than a quarter of a second.
type javaPulse struct {
	cmd   *exec.Cmd
	said  bytes.Buffer  // by the JVM, on its standard error
	ended chan struct{} // closed when it has
	fail  error         // why; set before that

	silence
	last time.Time // when one was noted
}

func (b *bench) javaPulse(f *fleet) (heart, error) {
	jars, err := filepath.Abs(b.Kafka)
	if err != nil {
		return nil, err
	}
	source := filepath.Join(filepath.Dir(f.nodes[0].dir), "Pulse.java")
	if err := os.WriteFile(source, javaPulseProgram, 0o600); err != nil {
		return nil, err
	}
	p := &javaPulse{ended: make(chan struct{})}
	p.cmd = exec.CommandContext(b.ctx, "java", "-Xmx256m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=off", "-cp", jars+"/*", source,
		f.brokers(), gapsTopic, strconv.Itoa(gapsPartitions), strconv.Itoa(gapsRate), strconv.Itoa(int(javaTimeout.Milliseconds())))
	p.cmd.Stderr = &p.said
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.listen(bufio.NewScanner(out))
	return p, p.awaitStart(b.ctx)
}

// listen notes what it says, and waits for its end.
func (p *javaPulse) listen(lines *bufio.Scanner) {
	defer close(p.ended)
	why := ""
	for lines.Scan() {
		var n int32
		var ms int64
		if _, err := fmt.Sscan(lines.Text(), &n, &ms); err != nil || n < 0 || n >= gapsPartitions {
			why = lines.Text()
			continue
		}
		p.mu.Lock()
		p.most[n], p.last = max(p.most[n], time.Duration(ms)*time.Millisecond), time.Now()
		p.mu.Unlock()
	}
	err := errors.Join(lines.Err(), p.cmd.Wait())
	p.fail = fmt.Errorf("the Java producer ended: %w: %s %s", err, why, p.said.String())
}

// awaitStart waits for every partition's first acknowledgement, which a JVM takes longer than a quarter of a second for.
func (p *javaPulse) awaitStart(ctx context.Context) error {
	var all []int32
	for n := range int32(gapsPartitions) {
		all = append(all, n)
	}
	return p.beats(ctx, all)
}

func (p *javaPulse) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.most = [gapsPartitions]time.Duration{}
}

// beats waits until each of the partitions has been without an acknowledgement, and none has for a second.
func (p *javaPulse) beats(ctx context.Context, led []int32) error {
	return until(ctx, "acknowledgements of every partition", func(context.Context) (bool, error) {
		select {
		case <-p.ended:
			return false, p.fail
		default:
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, n := range led {
			if p.most[n] == 0 {
				return false, nil
			}
		}
		return time.Since(p.last) > time.Second, nil
	})
}

// end kills it, for it has no end of its own: that it has ended is why there is nothing more to measure.
func (p *javaPulse) end() error {
	select {
	case <-p.ended:
		return p.fail
	default:
	}
	err := p.cmd.Process.Kill()
	<-p.ended
	return err
}
