package integration

import (
	"encoding/json"
	"testing"
)

// The bench must say so when what was acknowledged is not there: here it looks for it at another broker.
func TestBenchFindsLoss(t *testing.T) {
	full, other := newBroker(t), newBroker(t)
	full.start()
	other.start()
	flags := []string{"--records", "1000", "--size", "100", "--partitions", "3", "--idempotent"}
	produce := full.bench("produce", flags...)
	if code := produce.wait(); code != 0 {
		t.Fatalf("produce ended with %d", code)
	}
	if code := other.bench("produce", flags...).wait(); code != 0 {
		t.Fatalf("produce ended with %d", code)
	}
	other.dir = full.dir // its log of acknowledged records is that of the first
	consume := other.bench("consume")
	code := consume.wait()
	var r benchResult
	if err := json.Unmarshal(consume.out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if code != 2 || r.Failure == "" || r.Verified.Lost != 1000 || r.Verified.Read != 1000 || r.Verified.Acked != 1000 {
		t.Errorf("it ended with %d: %+v", code, r)
	}
}
