package integration

import (
	"encoding/json"
	"testing"

	"chronik/integration/broker"
)

// The bench must say so when what was acknowledged is not there: here it looks for it at another broker.
func TestBenchFindsLoss(t *testing.T) {
	full, other := broker.New(t), broker.New(t)
	full.Start()
	other.Start()
	flags := []string{"--records", "1000", "--size", "100", "--partitions", "3", "--idempotent"}
	produce := full.Bench("produce", flags...)
	if code := produce.Wait(); code != 0 {
		t.Fatalf("produce ended with %d", code)
	}
	if code := other.Bench("produce", flags...).Wait(); code != 0 {
		t.Fatalf("produce ended with %d", code)
	}
	other.Dir = full.Dir // its log of acknowledged records is that of the first
	consume := other.Bench("consume")
	code := consume.Wait()
	var r benchResult
	if err := json.Unmarshal(consume.Out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if code != 2 || r.Failure == "" || r.Verified.Lost != 1000 || r.Verified.Read != 1000 || r.Verified.Acked != 1000 {
		t.Errorf("it ended with %d: %+v", code, r)
	}
}
