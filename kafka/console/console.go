// Package console is the node's own HTTP: today whether it lives and whether it serves. It knows no Kafka.
package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Status is what the node says of itself; nil is yes. What an error says is shown to whoever asks.
type Status interface {
	Healthy() error // storage works; else the process had better be restarted
	Ready() error   // clients are served
}

// Options of New.
type Options struct {
	Addr   string       // host:port; port 0 lets the system choose
	Socket net.Listener // instead of Addr: already open
	Status Status
	Pprof  bool // serve /debug/pprof/: profiles show what the process works on, so it is off unless asked for
	Logger *slog.Logger
}

// Server is open from New on and serves from Serve on.
type Server struct {
	socket net.Listener
	http   http.Server
}

// New opens the listener.
func New(o Options) (*Server, error) {
	socket := o.Socket
	if socket == nil {
		var err error
		if socket, err = net.Listen("tcp", o.Addr); err != nil {
			return nil, fmt.Errorf("console: %w", err)
		}
	}
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Server{
		socket: socket,
		http: http.Server{
			Handler:           routes(o),
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       30 * time.Second,
			IdleTimeout:       time.Minute,
			MaxHeaderBytes:    16 << 10,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		},
	}, nil
}

// Addr is the address that the server is bound to.
func (s *Server) Addr() net.Addr { return s.socket.Addr() }

// Serve answers until Shutdown.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.socket); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("console: %w", err)
	}
	return nil
}

// Shutdown lets requests finish until ctx ends, then breaks them off.
func (s *Server) Shutdown(ctx context.Context) error {
	defer s.socket.Close() // http.Server closes it only if Serve has begun
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}

func routes(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", answer(o.Status.Healthy))
	mux.HandleFunc("GET /readyz", answer(o.Status.Ready))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not found: /healthz and /readyz are served here", http.StatusNotFound)
	})
	if o.Pprof {
		servePprof(mux)
	}
	return mux
}

func answer(check func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if err := check(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "ok")
	}
}
