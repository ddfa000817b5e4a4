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
func runProduce(ctx context.Context, c *Config) (r *report, err error) {
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
	defer func() { err = errors.Join(err, kept.closeIfOpen()) }()
	l, err := newLoad(c, t, run, clk, kept)
	if err != nil {
		return nil, err
	}
	defer l.close()
	stop := progress(os.Stderr, l, nil)
	l.produce(ctx)
	stop()
	return &report{Run: runName(run), Topic: c.Topic, Produce: l.report()}, l.failure()
}

// runConsume reads what the topic holds, or with a duration and no verify file what comes in that time.
func runConsume(signalled context.Context, c *Config) (*report, error) {
	ctx := signalled
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
	f, idempotent := rs.findings(), !c.AllowDuplicates
	r := &report{Topic: c.Topic, Consume: rs.report(from), Verified: f}
	if runs != nil && signalled.Err() != nil {
		return r, errors.Join(err, errStopped, f.failure(idempotent)) // what is not read yet is not lost
	}
	for _, kept := range runs {
		if kept.Topic != c.Topic {
			return nil, fmt.Errorf("%s names the topics %s and %s: one at a time", c.VerifyFile, c.Topic, kept.Topic)
		}
		idempotent = idempotent && kept.Idempotent
		f.look(kept.Run, kept.acked, rs.checkers())
	}
	err = errors.Join(err, f.failure(idempotent))
	if runs == nil {
		r.settle("no --verify-file says what was acknowledged")
	} else if f.Acked == 0 {
		err = errors.Join(err, nothingAcked(c.VerifyFile))
	}
	return r, err
}

var errStopped = errors.New("stopped before everything was read: nothing is verified")

// nothingAcked is an error because whoever gives a file wants to hear that its records are there.
func nothingAcked(file string) error {
	return fmt.Errorf("nothing to verify: no record was acknowledged in %s", file)
}

// runBoth reads while it produces, then to the end, and compares.
func runBoth(ctx context.Context, c *Config) (r *report, err error) {
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
	defer func() { err = errors.Join(err, kept.closeIfOpen()) }()
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
	rs.grace = func() time.Duration { return c.graceAfter(ctx) }

	stop := progress(os.Stderr, l, rs)
	err = l.produceAndRead(ctx, t, rs)
	stop()
	r = &report{Run: runName(run), Topic: c.Topic, Produce: l.report(), Consume: rs.report(l.from)}
	if errors.Is(err, errNoEnds) {
		return r, errors.Join(l.failure(), err)
	}
	r.Verified = rs.findings()
	r.Verified.look(run, l.ledger(), rs.checkers())
	r.settle("nothing was acknowledged by the broker")
	return r, errors.Join(err, r.Verified.failure(c.Idempotent), l.failure())
}

var errNoEnds = errors.New("nothing was verified")

// produceAndRead returns when the readers have read all that was produced. A signal ends the producing alone.
func (l *load) produceAndRead(signalled context.Context, t *target, rs *readers) error {
	ctx, end := context.WithCancel(context.WithoutCancel(signalled))
	defer end()
	read := make(chan error, 1)
	go func() { read <- rs.run(ctx) }()
	l.produce(signalled)
	grace := l.config.graceAfter(signalled)
	if l.gaveUp.Load() { // the broker had its time
		grace = min(grace, l.config.SignalGrace)
	}
	ends, err := t.offsets(ctx, grace, t.admin.ListEndOffsets)
	if err != nil {
		end()
		<-read
		return fmt.Errorf("%w: %w", errNoEnds, err)
	}
	rs.stopAt(ends)
	return <-read
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
	missing := l.sent.Load() - l.acked.Load()
	if missing > 0 && l.gaveUp.Load() {
		return fmt.Errorf("the broker acknowledges nothing any more: %d of %d %w", missing, l.sent.Load(), errUnacknowledged)
	}
	if missing > 0 {
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
				line += fmt.Sprintf(": sent %d, acknowledged %d, longest gap %.3f s", l.sent.Load(), l.acked.Load(), l.gaps.longestBy(l.clock.now()).Seconds())
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
