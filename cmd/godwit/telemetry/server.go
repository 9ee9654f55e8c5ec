package telemetry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

const (
	// askTime is how long a question may take to arrive, and its answer to be
	// taken.
	askTime = 10 * time.Second
	// mostQuestion is how large a question may be, in bytes.
	mostQuestion = 16 << 10
	// farewell is how long answers under way have at the end.
	farewell = time.Second
)

// A Server answers over HTTP.
type Server struct {
	listener net.Listener
	http     http.Server
}

// Listen opens a loopback address for what tally has counted and how all
// accounts stand. It answers from Serve on.
func Listen(at netip.AddrPort, tally *Tally, all func() []Standing, log *slog.Logger) (*Server, error) {
	if !at.Addr().Unmap().IsLoopback() {
		return nil, fmt.Errorf("metrics are told on this machine only, and %v is no address of its own", at)
	}
	listener, err := net.Listen("tcp", at.String())
	if err != nil {
		return nil, fmt.Errorf("the address for metrics ([daemon] metrics): %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		var text bytes.Buffer
		tally.Write(&text, all())
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = w.Write(text.Bytes())
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { health(w, all()) })
	return &Server{listener: listener, http: http.Server{
		Handler: mux, ReadHeaderTimeout: askTime, ReadTimeout: askTime, WriteTimeout: askTime, IdleTimeout: 6 * askTime,
		MaxHeaderBytes: mostQuestion, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}, nil
}

// health tells whether every account works, and of each that does not.
func health(w http.ResponseWriter, all []Standing) {
	var text strings.Builder
	for _, s := range all {
		if !s.Working {
			fmt.Fprintf(&text, "%s: %s\n", s.Account, strings.Join(strings.Fields(s.Error), " "))
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if text.Len() > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	} else {
		text.WriteString("ok\n")
	}
	_, _ = w.Write([]byte(text.String()))
}

// Addr is where it listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve answers until ctx ends, and a moment longer who has asked already.
func (s *Server) Serve(ctx context.Context) error {
	down := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(down)
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
		defer cancel()
		if s.http.Shutdown(last) != nil {
			s.http.Close()
		}
	})
	err := s.http.Serve(s.listener)
	if !stop() {
		<-down
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close gives the address back, of a server that is not to serve.
func (s *Server) Close() error { return s.listener.Close() }
