package state

import (
	"encoding/hex"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// Bytes that were written once must be read for ever.
func TestGolden(t *testing.T) {
	for want, s := range map[string]State{
		"":       {Start: NotBegun, LeaderEpoch: NoEpoch},
		"010000": {Start: 0, LeaderEpoch: NoEpoch},
		"01ac02" + "03" + "00000201" + "05030000" + "01630405": {Start: 300, LeaderEpoch: NoEpoch, Ranges: []Range{
			{300, 300, Acknowledged, 1}, {306, 309, Available, 0}, {311, 410, Archived, 5},
		}},
		"02000000":                            {Start: 0, LeaderEpoch: 0},
		"029003" + "ac02" + "01" + "00000201": {Start: 300, LeaderEpoch: 400, Ranges: []Range{{300, 300, Acknowledged, 1}}},
	} {
		if got := hex.EncodeToString(s.Encode()); got != want {
			t.Errorf("%v is %s, want %s", s, got, want)
		}
		b, _ := hex.DecodeString(want)
		if got, err := Decode(b); err != nil || !reflect.DeepEqual(got, s) {
			t.Errorf("%s is %v, %v, want %v", want, got, err, s)
		}
	}
}

func TestRefused(t *testing.T) {
	for name, s := range map[string]string{
		"a later version":            "030000",
		"an epoch that is none":      "0280808080100000",
		"no start":                   "01",
		"fewer ranges than it says":  "010001",
		"something behind":           "01000000",
		"a record that is acquired":  "01000100000101",
		"a number longer than it is": "01800000",
		"a negative start":           "01ffffffffffffffffff0100",
		"a range without an end":     "01000100feffffffffffffffff010200",
	} {
		b, _ := hex.DecodeString(s)
		if got, err := Decode(b); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestDone(t *testing.T) {
	s := State{Start: 5, Ranges: []Range{{5, 6, Acknowledged, 1}, {7, 9, Available, 2}, {10, 10, Archived, 5}}}
	if got := s.Done(); got != 3 {
		t.Error(got)
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := State{Start: rapid.Int64Range(0, 1<<40).Draw(t, "start"), LeaderEpoch: rapid.Int32Range(NoEpoch, 1<<20).Draw(t, "epoch")}
		next := s.Start
		for range rapid.IntRange(0, 5).Draw(t, "n") {
			r := Range{First: next + rapid.Int64Range(0, 300).Draw(t, "gap")}
			r.Last = r.First + rapid.Int64Range(0, 300).Draw(t, "length")
			r.Delivery = rapid.SampledFrom([]Delivery{Available, Acknowledged, Archived}).Draw(t, "delivery")
			r.Count = rapid.Int16Range(0, 32767).Draw(t, "count")
			s.Ranges, next = append(s.Ranges, r), r.Last+1
		}
		if got, err := Decode(s.Encode()); err != nil || !reflect.DeepEqual(got, s) {
			t.Fatal(got, err, s)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(State{Start: 7, LeaderEpoch: 3, Ranges: []Range{{8, 9, Archived, 3}, {12, 12, Available, 1}}}.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Decode(b)
		if err != nil {
			return
		}
		if again := s.Encode(); string(again) != string(b) {
			t.Errorf("%x is read as %v, which is %x", b, s, again)
		}
	})
}
