package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// doctorPatience is how long one address is waited for.
const doctorPatience = 3 * time.Second

// addresses is what clients are told: brokers by their address, with who told it first.
type addresses map[string]advertised

type advertised struct {
	broker  int32
	cluster string
	by      string // whom it was asked of
}

func (a addresses) add(by string, m *kmsg.MetadataResponse) {
	for _, b := range m.Brokers {
		address := net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
		if _, ok := a[address]; !ok {
			a[address] = advertised{b.NodeID, text(m.ClusterID), by}
		}
	}
}

func namesOf(m *kmsg.MetadataResponse) string {
	var all []string
	for _, b := range m.Brokers {
		all = append(all, fmt.Sprintf("broker %d at %s:%d", b.NodeID, b.Host, b.Port))
	}
	slices.Sort(all)
	return some(all)
}

// at asks who listens at an address, and nobody else.
func (d *doctor) at(ctx context.Context, address string, fn func(context.Context, *kgo.Broker) error) error {
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ClientID("chronik-cli"), kgo.DialTimeout(doctorPatience))
	if err != nil {
		return err
	}
	defer client.Close()
	return fn(ctx, client.SeedBrokers()[0])
}

func (d *doctor) metadata(ctx context.Context, address string) (m *kmsg.MetadataResponse, err error) {
	err = d.at(ctx, address, func(ctx context.Context, b *kgo.Broker) error {
		rq := kmsg.NewPtrMetadataRequest()
		rq.Topics = []kmsg.MetadataRequestTopic{}
		m, err = rq.RequestWith(ctx, b)
		return err
	})
	return m, err
}

// identity fails when somebody else listens at an address than the broker that clients are told of (KIP-1242).
func (d *doctor) identity(ctx context.Context, address string, a advertised) error {
	return d.at(ctx, address, func(ctx context.Context, b *kgo.Broker) error {
		rq := kmsg.NewPtrApiVersionsRequest()
		rq.ClientSoftwareName, rq.ClientSoftwareVersion = "chronik-cli", "1"
		rq.ClusterID, rq.NodeID = &a.cluster, a.broker
		resp, err := rq.RequestWith(ctx, b)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(resp.ErrorCode)
	})
}

// advertised looks at each address that clients are told.
func (d *doctor) advertised(ctx context.Context, told addresses) {
	for _, address := range slices.Sorted(maps.Keys(told)) {
		a := told[address]
		d.findings = append(d.findings, d.address(ctx, address, a))
	}
	d.clocks(ctx, told)
}

const setAddress = "set --advertised-addr of that broker to a name or address that all clients reach it by"

func (d *doctor) address(ctx context.Context, address string, a advertised) finding {
	f := finding{bad, "address", fmt.Sprintf("broker %d at %s", a.broker, address), "", setAddress}
	host, _, _ := net.SplitHostPort(address) // it was joined
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	isLoopback := len(ips) > 0 && ips[0].IP.IsLoopback()
	switch {
	case err != nil:
		f.Found = "the name cannot be resolved here: " + err.Error()
		return f
	case ips[0].IP.IsUnspecified():
		f.Found = "that is no address to connect to"
		return f
	case isLoopback && !isLoopbackAddress(ctx, a.by):
		f.Found = fmt.Sprintf("%s tells clients of an address that means their own machine", a.by)
		return f
	}
	if err := d.identity(ctx, address, a); err != nil {
		f.Found, f.Do = "cannot be reached from here: "+err.Error(), "see whether that broker runs and a firewall lets port "+address[len(host)+1:]+" through; if the address is wrong, "+setAddress
		if err == kerr.RebootstrapRequired {
			f.Found = "somebody else answers there than this broker of this cluster"
		}
		return f
	}
	f.Status, f.Found, f.Do = ok, "can be reached from here", ""
	if isLoopback {
		f.Found += "; loopback: clients on other machines are to use another address"
	}
	return f
}

func isLoopbackAddress(ctx context.Context, address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	return err == nil && len(ips) > 0 && ips[0].IP.IsLoopback()
}

// Clocks that differ by more have records expire early or late, and sessions and leases with them.
const (
	skewWarn = time.Second
	skewBad  = time.Minute
)

// clocks compares the brokers' clocks with this machine's.
func (d *doctor) clocks(ctx context.Context, told addresses) {
	for _, address := range slices.Sorted(maps.Keys(told)) {
		host, port, _ := net.SplitHostPort(address)
		at, _ := strconv.Atoi(port)
		if at -= 3000; d.httpPort > 0 {
			at = d.httpPort
		}
		subject := fmt.Sprintf("broker %d", told[address].broker)
		where := net.JoinHostPort(host, strconv.Itoa(at))
		skew, err := clockAt(ctx, where)
		switch {
		case err != nil:
			d.find(warn, "clock", subject, "not seen: no answer at "+where, "name the nodes' HTTP port with --http-port, if it can be reached from here")
		case skew.Abs() >= skewBad:
			d.find(bad, "clock", subject, skewText(skew), "have both machines set their clocks by NTP")
		case skew.Abs() >= skewWarn:
			d.find(warn, "clock", subject, skewText(skew), "have both machines set their clocks by NTP")
		default:
			d.find(ok, "clock", subject, "as this machine's, but for a second at most", "")
		}
	}
}

func skewText(skew time.Duration) string {
	if skew > 0 {
		return skew.Round(time.Second).String() + " ahead of this machine's"
	}
	return (-skew).Round(time.Second).String() + " behind this machine's"
}

// clockAt is how far the clock there is ahead, at least: HTTP tells whole seconds.
func clockAt(ctx context.Context, address string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	rq, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/healthz", nil)
	if err != nil {
		return 0, err
	}
	before := time.Now()
	resp, err := http.DefaultClient.Do(rq)
	if err != nil {
		return 0, err
	}
	after := time.Now()
	_ = resp.Body.Close() // nothing of it is wanted
	there, err := http.ParseTime(strings.TrimSpace(resp.Header.Get("Date")))
	if err != nil {
		return 0, err
	}
	return skewOf(before, after, there), nil
}

// skewOf is the least that a clock is ahead, or behind, that showed the second there at some time between.
func skewOf(before, after, there time.Time) time.Duration {
	if ahead := there.Sub(after); ahead > 0 {
		return ahead
	}
	if behind := there.Add(time.Second).Sub(before); behind < 0 {
		return behind
	}
	return 0
}
