package main

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestHeaderSurvives(t *testing.T) {
	want := header{run: 1 << 63, producer: 1<<32 - 1, partition: 17, sequence: 1 << 40, time: 1234567890123456789}
	value := make([]byte, 300_000) // longer than the filling
	want.encode(value)
	if got, err := decodeHeader(value); got != want || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	for _, at := range []int{4, 8, 40, len(value) - 1} {
		value[at] ^= 1
		if _, err := decodeHeader(value); err != errCorrupt {
			t.Errorf("a change at %d: %v", at, err)
		}
		value[at] ^= 1
	}
	for _, short := range []string{"", "CHB1", strings.Repeat("x", 100)} {
		if _, err := decodeHeader([]byte(short)); err != errForeign {
			t.Errorf("%q: %v", short, err)
		}
	}
}

func TestSizes(t *testing.T) {
	var s sizes
	if err := s.Set("40-50"); err != nil || s.String() != "40-50" {
		t.Fatalf("%v, %v", s, err)
	}
	seen := make(map[int]bool)
	for n := range int64(1000) {
		seen[s.of(n)] = true
	}
	if len(seen) != 11 || !seen[40] || !seen[50] {
		t.Errorf("%v", seen)
	}
	for _, wrong := range []string{"", "39", "x", "50-40", "100-"} {
		if err := s.Set(wrong); err == nil {
			t.Errorf("%q was taken", wrong)
		}
	}
}

func TestConfigRefusesWhatCannotBe(t *testing.T) {
	for _, c := range []struct{ flags, want string }{
		{"", ""},
		{"--acks 1", ""},
		{"--acks 1 --idempotent", "--idempotent needs --acks all"},
		{"--acks 2", "--acks"},
		{"--compression best", "--compression"},
		{"--size 2000000", "--batch 1000000 is too small"},
		{"--duration 1s --warmup 1s", "--warmup"},
		{"--clients 0", "--clients"},
		{"--rate -1", "--rate -1 is out of range: write 0 or more"},
		{"--rate NaN", "--rate NaN is out of range"},
		{"--grace 0s", "--grace 0s is out of range: write more than 0"},
		{"--buffer 1000", "--buffer"},
		{"--format xml", "--format"},
	} {
		_, err := configOf("produce", strings.Fields(c.flags)...)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.flags, err, c.want)
		}
	}
}

func TestConsumeOffersOnlyWhatItUses(t *testing.T) {
	for _, cmd := range command().Commands() {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			names = append(names, f.Name)
			if cmd.Name() != "produce" && cmd.Name() != "both" && strings.Contains(f.Usage, "idempotently") {
				t.Errorf("%s --%s: %s", cmd.Name(), f.Name, f.Usage)
			}
			if cmd.Name() == "consume" && f.Name == "duration" && strings.Contains(f.Usage, "produce") {
				t.Errorf("consume --%s: %s", f.Name, f.Usage)
			}
		})
		produces := cmd.Name() == "produce" || cmd.Name() == "both"
		if slices.Contains(names, "idempotent") != produces {
			t.Errorf("%s offers %v", cmd.Name(), names)
		}
		if uses := produces || cmd.Name() == "consume"; slices.Contains(names, "verify-file") != uses {
			t.Errorf("%s offers %v", cmd.Name(), names)
		}
	}
}

func TestVersionHasBothForms(t *testing.T) {
	for _, form := range []string{"version", "--version"} {
		var out bytes.Buffer
		cmd := command()
		cmd.SetOut(&out)
		cmd.SetArgs([]string{form})
		if err := cmd.Execute(); err != nil || out.String() != "chronik-bench dev\n" {
			t.Errorf("%s: %q, %v", form, out.String(), err)
		}
	}
}

// configOf parses the flags as the subcommand does.
func configOf(subcommand string, args ...string) (*Config, error) {
	c := new(Config)
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	c.commonFlags(flags)
	if subcommand == "consume" {
		c.consumeFlags(flags)
	} else {
		c.produceFlags(flags)
	}
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	return c, c.check(flags, subcommand)
}

// A late record counts from when it was to be sent: the pace does not slow down with the broker.
func TestPaceIsOpenLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk := newClock()
		p := newPace(clk, 1000, 0, 1)
		first := p.wait(t.Context(), 0)
		<-time.After(time.Second) // the broker does not take anything
		if at := p.wait(t.Context(), 10); at-first != int64(10*time.Millisecond) {
			t.Errorf("record 10 is meant for %v after the first", time.Duration(at-first))
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		p.wait(ended, 1<<40) // returns at once
	})
}

func TestGapMeter(t *testing.T) {
	g := newGapMeter(0)
	for _, ms := range []int64{10, 20, 1020, 1030, 1040} {
		g.acked(ms * int64(time.Millisecond))
	}
	if g.longest.Load() != int64(time.Second) || len(g.notable) != 1 || g.notable[0] != (gap{At: 0.02, Seconds: 1}) {
		t.Errorf("%v %v", g.longest.Load(), g.notable)
	}
}

func BenchmarkEncode(b *testing.B) {
	value := make([]byte, 1024)
	b.SetBytes(int64(len(value)))
	for n := int64(0); b.Loop(); n++ {
		header{run: testRun, sequence: n}.encode(value)
	}
}

func BenchmarkCheck(b *testing.B) {
	records := make([]*kgo.Record, 1000)
	for n := range records {
		records[n] = &kgo.Record{Offset: int64(n), Value: make([]byte, 1024)}
		header{run: testRun, sequence: int64(n)}.encode(records[n].Value)
	}
	b.SetBytes(1024)
	c := newChecker()
	for n := 0; b.Loop(); n++ {
		if n%len(records) == 0 {
			c = newChecker()
		}
		c.check(records[n%len(records)])
	}
}
