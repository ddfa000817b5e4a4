package quota

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"chronik/kafka/config"
	"chronik/metalog/image"
)

// desk is a manager whose clock stands still until it is moved.
type desk struct {
	*Manager
	t   *testing.T
	img *image.Image
	at  time.Time
}

func newDesk(t *testing.T, static config.Static) *desk {
	b, err := config.CompileBroker(static, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, img: image.Empty(), at: time.Unix(1_000_000, 0)}
	d.Manager = New(func() *config.Broker { return b }, func() time.Time { return d.at })
	return d
}

// set gives an entity, "user=alice client-id=", a quota; "-" removes it.
func (d *desk) set(entity, quota, value string) {
	d.t.Helper()
	var e image.QuotaEntity
	for _, part := range strings.Fields(entity) {
		kind, name, _ := strings.Cut(part, "=")
		*map[string]*image.QuotaName{"user": &e.User, "client-id": &e.ClientID, "ip": &e.IP}[kind] = image.QuotaName{Is: true, Name: name}
	}
	rec := image.ConfigRecord{Resource: e.Resource(), Name: quota}
	if value != "-" {
		rec.Value = &value
	}
	next, delta, err := d.img.Apply(d.img.Index()+1, []image.Record{rec})
	if err != nil {
		d.t.Fatal(err)
	}
	d.img = next
	d.Apply(delta)
}

func (d *desk) want(what string, got, want time.Duration) {
	d.t.Helper()
	if got.Round(time.Millisecond) != want {
		d.t.Errorf("%s: silent for %v, want %v", what, got, want)
	}
}

var alice = Client{"alice", "app"}

func TestAWindowMayBeUsedAtOnceAndWhatIsBeyondIsWaitedFor(t *testing.T) {
	d := newDesk(t, nil)
	if d.Active() {
		t.Error("active without a quota")
	}
	d.set("user=alice", config.ProducerByteRate, "1000")
	d.want("the window's bytes", d.Produced(alice, 10_000), 0)
	d.want("beyond", d.Produced(alice, 500), 500*time.Millisecond)
	d.want("more", d.Produced(alice, 1000), 1500*time.Millisecond)
	d.at = d.at.Add(1500 * time.Millisecond)
	d.want("at the rate", d.Produced(alice, 0), 0)
	d.at = d.at.Add(time.Hour)
	d.want("a full window again, not an hour's worth", d.Produced(alice, 11_000), time.Second)
	d.want("who has no quota", d.Produced(Client{"bob", "app"}, 1<<40), 0)
	d.want("what has no quota", d.Fetched(alice, 1<<40), 0)
	d.set("user=alice", config.ProducerByteRate, "-")
	d.want("no quota any more", d.Produced(alice, 1<<40), 0)
	if d.Active() {
		t.Error("active without a quota")
	}
}

func TestTheWindowIsConfigured(t *testing.T) {
	d := newDesk(t, config.Static{"quota.window.num": "3", "quota.window.size.seconds": "2"})
	d.set("user=", config.ConsumerByteRate, "1000")
	d.want("the window's bytes", d.Fetched(alice, 4000), 0)
	d.want("beyond", d.Fetched(alice, 1000), time.Second)
}

// The order of KIP-257, from the quota that counts least.
func TestTheMostExactQuotaCounts(t *testing.T) {
	d := newDesk(t, nil)
	for i, entity := range []string{
		"client-id=", "client-id=app", "user=", "user= client-id=", "user= client-id=app", "user=alice", "user=alice client-id=", "user=alice client-id=app",
	} {
		d.set(entity, config.ProducerByteRate, fmt.Sprint(100*(i+1)))
		_, rate, ok := d.rules.Load().find(config.ProducerByteRate, alice)
		if want := float64(100 * (i + 1)); !ok || rate != want {
			t.Errorf("with %s: %v, want %v", entity, rate, want)
		}
	}
}

func TestWhoSharesAQuota(t *testing.T) {
	for _, c := range []struct {
		entity string
		other  Client
		shares bool
	}{
		{"user=alice", Client{"alice", "other"}, true},
		{"user=", Client{"alice", "other"}, true},
		{"user=", Client{"bob", "app"}, false},
		{"client-id=app", Client{"bob", "app"}, true},
		{"client-id=", Client{"bob", "app"}, true},
		{"client-id=", Client{"alice", "other"}, false},
		{"user=alice client-id=", Client{"alice", "other"}, false},
		{"user= client-id=", Client{"bob", "app"}, false},
	} {
		d := newDesk(t, nil)
		d.set(c.entity, config.ProducerByteRate, "1000")
		d.Produced(alice, 10_000)
		if got := d.Produced(c.other, 1000) > 0; got != c.shares {
			t.Errorf("%s of %v and %v is shared: %v", c.entity, alice, c.other, got)
		}
	}
}

func TestRoomIsWhatIsLeftOfTheWindow(t *testing.T) {
	d := newDesk(t, nil)
	d.set("client-id=app", config.ConsumerByteRate, "1000")
	for _, c := range []struct{ use, room int64 }{{0, 10_000}, {4000, 6000}, {5500, 1000}, {1 << 20, 1000}} {
		d.Fetched(alice, c.use)
		if got := d.Room(alice); got != c.room+1 {
			t.Errorf("after %d more: %d, want %d", c.use, got, c.room+1)
		}
	}
}

func TestRequestTime(t *testing.T) {
	d := newDesk(t, nil)
	d.set("user=", config.RequestPercentage, "50")
	d.want("half of a processor for ten seconds", d.Spent(alice, 5*time.Second), 0)
	d.want("beyond", d.Spent(alice, 100*time.Millisecond), 200*time.Millisecond)
	d.want("never longer than a sample", d.Spent(alice, time.Hour), time.Second)
}

func TestPartitionsMayBeChangedUntilTheQuotaIsGone(t *testing.T) {
	d := newDesk(t, nil)
	d.set("user=", config.ControllerMutationRate, "1")
	d.want("one of 100", d.MayChange(alice, 100, false), 0) // the bucket was not empty
	d.want("refused", d.MayChange(alice, 1, false), 89*time.Second)
	d.want("anyhow", d.MayChange(alice, 1, true), 90*time.Second)
	d.at = d.at.Add(90 * time.Second)
	d.want("again", d.MayChange(alice, 1, false), 0)
}

func TestConnectionsFromAnAddress(t *testing.T) {
	d := newDesk(t, nil)
	d.set("ip=", config.ConnectionCreationRate, "1")
	d.set("ip=192.0.2.7", config.ConnectionCreationRate, "100")
	from := netip.MustParseAddr("192.0.2.1")
	for range 10 {
		d.want("the window's connections", d.Connected(from), 0)
	}
	d.want("beyond", d.Connected(from), time.Second)
	d.want("beyond, and those before did not count", d.Connected(from), time.Second)
	d.at = d.at.Add(time.Second)
	d.want("in time", d.Connected(from), 0)
	for range 1000 {
		d.want("a quota of its own", d.Connected(netip.MustParseAddr("::ffff:192.0.2.7")), 0)
	}
	d.want("beyond it", d.Connected(netip.MustParseAddr("192.0.2.7")), 10*time.Millisecond)
}

// With a single sample nothing may be used beyond the rate at once. A first connection is not beyond it.
func TestAShortWindowMustNotKeepAnAddressOutForEver(t *testing.T) {
	d := newDesk(t, config.Static{"quota.window.num": "1"})
	d.set("ip=", config.ConnectionCreationRate, "2")
	from := netip.MustParseAddr("192.0.2.1")
	for range 3 {
		d.want("in time", d.Connected(from), 0)
		d.want("beyond", d.Connected(from), 500*time.Millisecond)
		d.at = d.at.Add(500 * time.Millisecond)
	}
}

func TestConnectionsFromAnywhere(t *testing.T) {
	d := newDesk(t, nil)
	for range 10_000 {
		d.want("no limit", d.Accepted(), 0)
	}
	d = newDesk(t, config.Static{"max.connection.creation.rate": "5"})
	for range 50 {
		d.want("the window's connections", d.Accepted(), 0)
	}
	d.want("beyond", d.Accepted(), 200*time.Millisecond)
}

// Clients choose their ids: what is remembered of them must not grow with the number of ids.
func TestClientsThatWereNotSeenForLongAreForgotten(t *testing.T) {
	d := newDesk(t, nil)
	d.set("client-id=", config.ProducerByteRate, "1000")
	for i := range 100 * fewBuckets {
		d.Produced(Client{"", fmt.Sprint(i)}, 1)
		d.at = d.at.Add(time.Millisecond)
	}
	if n := len(d.buckets); n > fewBuckets {
		t.Errorf("%d clients are remembered", n)
	}
}
