package console

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

type status struct{ healthy, ready error }

func (s *status) Healthy() error { return s.healthy }
func (s *status) Ready() error   { return s.ready }

func TestAnswers(t *testing.T) {
	failed := errors.New("wal: write failed")
	for _, c := range []struct {
		status status
		pprof  bool
		path   string
		code   int
		body   string
	}{
		{path: "/healthz", code: 200, body: "ok"},
		{path: "/readyz", code: 200, body: "ok"},
		{path: "/readyz", status: status{ready: errors.New("recovering")}, code: 503, body: "recovering"},
		{path: "/healthz", status: status{ready: errors.New("recovering")}, code: 200, body: "ok"},
		{path: "/healthz", status: status{healthy: failed}, code: 503, body: "wal: write failed"},
		{path: "/", code: 404, body: "not found"},
		{path: "/debug/pprof/", code: 404, body: "not found"},
		{path: "/debug/pprof/", pprof: true, code: 200, body: "goroutine"},
	} {
		s, err := New(Options{Addr: "127.0.0.1:0", Status: &c.status, Pprof: c.pprof})
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error)
		go func() { served <- s.Serve() }()
		code, body := get(t, "http://"+s.Addr().String()+c.path)
		if code != c.code || !strings.Contains(body, c.body) {
			t.Errorf("%s of %+v: %d %q, want %d %q", c.path, c.status, code, body, c.code, c.body)
		}
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

func TestAnAddressInUseIsAnError(t *testing.T) {
	a, err := New(Options{Addr: "127.0.0.1:0", Status: &status{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Addr: a.Addr().String(), Status: &status{}}); err == nil {
		t.Error("opened twice")
	}
	if err := a.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// A profile of blocking was empty: the runtime records none unless it is told to.
func TestABlockProfileIsRecordedWhileItIsAskedFor(t *testing.T) {
	var rates []int
	r := &recorded{rate: 7, record: func(rate int) { rates = append(rates, rate) }}
	r.profile = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if len(rates) == 1 { // a second one while the first is under way
			r.ServeHTTP(w, nil)
		}
	})
	r.ServeHTTP(nil, nil)
	if want := []int{7, 7, 7, 0}; !slices.Equal(rates, want) {
		t.Errorf("the rate went %v, want %v", rates, want)
	}

	s, err := New(Options{Addr: "127.0.0.1:0", Status: &status{}, Pprof: true})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- s.Serve() }()
	wait, done := make(chan struct{}), make(chan struct{})
	go func() { // waits all the time, in bits of a scheduler's turn
		defer close(done)
		for {
			select {
			case <-wait:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	code, body := get(t, "http://"+s.Addr().String()+"/debug/pprof/block?seconds=1")
	close(wait)
	<-done
	unpacked, err := gzip.NewReader(strings.NewReader(body))
	if code != 200 || err != nil {
		t.Fatalf("a block profile of a second: %d %v", code, err)
	}
	profile, err := io.ReadAll(unpacked)
	if err != nil || !strings.Contains(string(profile), "TestABlockProfileIsRecordedWhileItIsAskedFor") {
		t.Errorf("a block profile of a second does not have who waited: %v", err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
