package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"
)

// runProduce loads the topic; what was acknowledged is checked by a later consume with the verify file.
func runProduce(ctx context.Context, c *Config) (*report, error) {
	t, err := openTarget(ctx, c, true)
	if err != nil {
		return nil, err
	}
	defer t.close()
	run, clk := rand.Uint64(), newClock()
	kept, err := c.keep(t, run)
	if err != nil {
		return nil, err
	}
	l, err := newLoad(c, t, run, clk, kept)
	if err != nil {
		return nil, err
	}
	defer l.close()
	stop := progress(os.Stderr, l, nil)
	l.produce(ctx)
	stop()
	r := &report{Run: runName(run), Topic: c.Topic, Produce: l.report()}
	return r, errors.Join(l.failure(), kept.closeIfOpen())
}

// runConsume reads what the topic holds, or with a duration and no verify file what comes in that time.
func runConsume(ctx context.Context, c *Config) (*report, error) {
	var runs []keptRun
	if c.VerifyFile != "" {
		var err error
		if runs, err = readVerifyFile(c.VerifyFile); err != nil {
			return nil, err
		}
		c.Topic = runs[0].Topic
	}
	t, err := openTarget(ctx, c, false)
	if err != nil {
		return nil, err
	}
	defer t.close()
	clk := newClock()
	from := clk.now() + int64(c.Warmup)
	rs, err := newReaders(c, clk, false, from, t.starts)
	if err != nil {
		return nil, err
	}
	defer rs.close()
	if c.Duration == 0 || runs != nil {
		rs.stopAt(t.ends)
	} else {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Duration)
		defer cancel()
	}
	stop := progress(os.Stderr, nil, rs)
	err = rs.run(ctx)
	stop()
	f, idempotent := rs.findings(), c.Idempotent
	for _, kept := range runs {
		if kept.Topic != c.Topic {
			return nil, fmt.Errorf("%s names the topics %s and %s: one at a time", c.VerifyFile, c.Topic, kept.Topic)
		}
		idempotent = idempotent && kept.Idempotent
		f.look(kept.Run, kept.acked, rs.checkers())
	}
	return &report{Topic: c.Topic, Consume: rs.report(from), Verified: f}, errors.Join(err, f.failure(idempotent))
}

// runBoth reads while it produces, then to the end, and compares.
func runBoth(ctx context.Context, c *Config) (*report, error) {
	t, err := openTarget(ctx, c, true)
	if err != nil {
		return nil, err
	}
	defer t.close()
	run, clk := rand.Uint64(), newClock()
	kept, err := c.keep(t, run)
	if err != nil {
		return nil, err
	}
	l, err := newLoad(c, t, run, clk, kept)
	if err != nil {
		return nil, err
	}
	defer l.close()
	reading := *c
	reading.Records = 0
	rs, err := newReaders(&reading, clk, true, l.from, t.ends)
	if err != nil {
		return nil, err
	}
	defer rs.close()

	stop := progress(os.Stderr, l, rs)
	read := make(chan error, 1)
	go func() { read <- rs.run(context.WithoutCancel(ctx)) }()
	l.produce(ctx)
	ends, err := t.offsets(context.WithoutCancel(ctx), c.Grace, t.admin.ListEndOffsets)
	if err != nil {
		return nil, err
	}
	rs.stopAt(ends)
	err = <-read
	stop()
	f := rs.findings()
	f.look(run, l.ledger(), rs.checkers())
	r := &report{Run: runName(run), Topic: c.Topic, Produce: l.report(), Consume: rs.report(l.from), Verified: f}
	return r, errors.Join(err, f.failure(c.Idempotent), l.failure(), kept.closeIfOpen())
}

func (c *Config) keep(t *target, run uint64) (*verifyFile, error) {
	if c.VerifyFile == "" {
		return nil, nil
	}
	return appendVerifyFile(c.VerifyFile, runLine{Run: run, Topic: c.Topic, Idempotent: c.Idempotent, Starts: t.ends})
}

func (v *verifyFile) closeIfOpen() error {
	if v == nil {
		return nil
	}
	return v.Close()
}

func runName(run uint64) string { return fmt.Sprintf("%016x", run) }

// failure is nil if every record that was sent was acknowledged.
func (l *load) failure() error {
	if missing := l.sent.Load() - l.acked.Load(); missing > 0 {
		return fmt.Errorf("%d of %d %w", missing, l.sent.Load(), errUnacknowledged)
	}
	return nil
}

const progressInterval = 10 * time.Second

// progress says how far a long run is; the function that it returns ends that.
func progress(w io.Writer, l *load, rs *readers) func() {
	tick, stop, done := time.NewTicker(progressInterval), make(chan struct{}), make(chan struct{})
	start := time.Now()
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			line := time.Since(start).Round(time.Second).String()
			if l != nil {
				line += fmt.Sprintf(": sent %d, acknowledged %d, longest gap %.3f s", l.sent.Load(), l.acked.Load(), time.Duration(l.gaps.longest.Load()).Seconds())
			}
			if rs != nil {
				line += fmt.Sprintf(", read %d", rs.read.Load())
			}
			fmt.Fprintln(w, line)
		}
	}()
	return func() {
		tick.Stop()
		close(stop)
		<-done
	}
}
