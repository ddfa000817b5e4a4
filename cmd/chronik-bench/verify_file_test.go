package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The bench may be killed at any time: what was acknowledged a flush ago is in the file, once.
func TestAcknowledgedRecordsAreInTheFileBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "acknowledged")
		v, err := appendVerifyFile(path, runLine{Topic: "t"})
		if err != nil {
			t.Fatal(err)
		}
		if runs, err := readVerifyFile(path); err != nil || len(runs) != 1 {
			t.Errorf("before any record: %v, %v", runs, err)
		}
		p := &producer{acks: newLedger(v.span)}
		v.flushFirst((&load{producers: []*producer{p}}).settle)
		for n := range int64(10) {
			p.mu.Lock()
			p.acks.add(int32(n%2), 0, n/2, n/2)
			p.mu.Unlock()
			if n%4 != 3 {
				continue
			}
			<-time.After(verifyFlushInterval + time.Millisecond)
			synctest.Wait()
			if runs, err := readVerifyFile(path); err != nil || runs[0].acked.records() != n+1 {
				t.Errorf("%d were acknowledged, the file has %+v, %v", n+1, runs, err)
			}
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
		if runs, err := readVerifyFile(path); err != nil || runs[0].acked.records() != 10 {
			t.Errorf("in the end the file has %+v, %v", runs, err)
		}
	})
}

// A bench that is killed between two flushes must not leave half a line, which the next run would be added to.
func TestVerifyFileHasWholeLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "acknowledged")
	v, err := appendVerifyFile(path, runLine{Topic: "t"})
	if err != nil {
		t.Fatal(err)
	}
	for n := range int64(10_000) {
		v.span(0, span{sequence: n, offset: n, count: 1})
	}
	text, err := os.ReadFile(path)
	if err != nil || bytes.Count(text, []byte("\n")) < 2 || text[len(text)-1] != '\n' {
		t.Errorf("%d bytes end in %q, %v", len(text), text[max(0, len(text)-20):], err)
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
}

func TestNothingAcknowledgedIsNotVerified(t *testing.T) {
	m := startMortal(t, "t", 0)
	folder := t.TempDir()
	empty, runs := filepath.Join(folder, "empty"), filepath.Join(folder, "runs")
	if err := errors.Join(os.WriteFile(empty, nil, 0o600), os.WriteFile(runs, []byte(`{"run":1,"topic":"t"}`+"\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ file, said, failure string }{
		{"", "nothing to verify: no --verify-file says what was acknowledged\n", ""},
		{empty, "", "nothing to verify: no record was acknowledged in " + empty},
		{runs, "", "nothing to verify: no record was acknowledged in " + runs},
	} {
		var out bytes.Buffer
		cmd := command()
		cmd.SetOut(&out)
		cmd.SetArgs([]string{"consume", "--brokers", m.listener.Addr().String(), "--topic", "t", "--verify-file", c.file})
		err := cmd.ExecuteContext(t.Context())
		if (err != nil) != (c.failure != "") || err != nil && err.Error() != c.failure || errors.Is(err, errVerification) {
			t.Errorf("%q: %v", c.file, err)
		}
		if !strings.HasSuffix(out.String(), c.said) || strings.Contains(out.String(), "verified\n") {
			t.Errorf("%q: %s", c.file, out.String())
		}
	}
}

// What an interrupted consume has not read yet must not be called lost.
func TestAnInterruptedConsumeDoesNotCallRecordsLost(t *testing.T) {
	m := startMortal(t, "t", 0)
	m.offset.Store(5) // they never come
	file := filepath.Join(t.TempDir(), "acknowledged")
	if err := os.WriteFile(file, []byte(`{"run":1,"topic":"t"}`+"\n[0,0,0,0,5]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := configOf("consume", "--brokers", m.listener.Addr().String(), "--verify-file", file)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer stop()
	if r, err := runConsume(ctx, c); !errors.Is(err, errStopped) || errors.Is(err, errVerification) || r.Verified.Lost > 0 {
		t.Errorf("%+v, %v", r, err)
	}
}
