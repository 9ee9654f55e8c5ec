package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// serve listens with a handler until the test ends, and gives the socket.
func serve(t *testing.T, handle Handler) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "sock")
	s, err := Listen(path, handle)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is left: %v", err)
		}
	})
	return path
}

type said struct{ Text string }

func TestCallIsAnswered(t *testing.T) {
	big := strings.Repeat("long \x00\n", 100_000)
	path := serve(t, func(_ context.Context, c Call, send func(any)) (int, error) {
		send(said{c.Command + string(c.Args)})
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { send(said{big}) })
		}
		all.Wait()
		return 3, nil
	})
	var got []string
	exit, err := Do(t.Context(), path, Call{Command: "sync", Args: json.RawMessage(`["a b"]`)}, func(data json.RawMessage) error {
		var s said
		err := json.Unmarshal(data, &s)
		got = append(got, s.Text)
		return err
	})
	if err != nil || exit != 3 || len(got) != 11 || got[0] != `sync["a b"]` || got[10] != big {
		t.Errorf("exit %d, %v, %d frames, %.40q", exit, err, len(got), got)
	}
}

func TestOnlyTheOwnerMayCall(t *testing.T) {
	path := serve(t, nil)
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("socket %v, %v", st.Mode(), err)
	}
	if st, err := os.Stat(filepath.Dir(path)); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("directory %v, %v", st.Mode(), err)
	}
}

// Who asked breaks off, and is told the exit code all the same.
func TestBreakingOff(t *testing.T) {
	begun := make(chan struct{})
	path := serve(t, func(ctx context.Context, _ Call, send func(any)) (int, error) {
		close(begun)
		<-ctx.Done()
		send(said{"put away"})
		return 130, nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	var out string
	exit, err := Do(ctx, path, Call{}, func(data json.RawMessage) error { out += string(data); return nil })
	if err != nil || exit != 130 || out != `{"Text":"put away"}` {
		t.Errorf("exit %d, %v, %q", exit, err, out)
	}
}

// A caller that dies does not leave its work going on.
func TestCallerDies(t *testing.T) {
	ended := make(chan struct{})
	path := serve(t, func(ctx context.Context, _ Call, send func(any)) (int, error) {
		<-ctx.Done()
		for range 100 {
			send("nobody reads this")
		}
		close(ended)
		return 0, nil
	})
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(conn, "{}")
	conn.Close()
	<-ended
}

// The end of the daemon waits neither for callers that say nothing nor for
// those that do not read.
func TestEndWaitsForNobody(t *testing.T) {
	stuck := make(chan struct{}, 1) // may be told before somebody waits
	s, err := Listen(filepath.Join(t.TempDir(), "sock"), func(ctx context.Context, _ Call, send func(any)) (int, error) {
		for full := strings.Repeat("x", 1<<20); ctx.Err() == nil; {
			select {
			case stuck <- struct{}{}:
			default:
			}
			send(full)
		}
		send("the last word")
		return 0, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.patience = 24 * time.Hour
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx) }()
	path := s.listener.Addr().String()
	for _, text := range []string{"", "{", "{}\n"} {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, text)
	}
	<-stuck
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Who calls while the daemon ends hears so, and does not wait for ever for one
// that took the call and went.
func TestCallAtTheEnd(t *testing.T) {
	for range 300 {
		s, err := Listen(filepath.Join(t.TempDir(), "sock"), func(context.Context, Call, func(any)) (int, error) { return 0, nil })
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("unix", s.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Serve(ctx); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("a call was taken and never answered")
		}
		conn.Close()
	}
}

// Of daemons that begin at the same time one is heard, and the others are not.
func TestDaemonsAtTheSameTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	var all sync.WaitGroup
	began := make(chan *Server, 20)
	for range cap(began) {
		all.Go(func() {
			if s, err := Listen(path, func(context.Context, Call, func(any)) (int, error) { return 7, nil }); err == nil {
				began <- s
			} else if !strings.Contains(err.Error(), "another daemon") {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := len(began); n != 1 {
		t.Fatalf("%d daemons began", n)
	}
	s := <-began
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx) }()
	if exit, err := Do(t.Context(), path, Call{}, nil); exit != 7 || err != nil {
		t.Errorf("exit %d, %v", exit, err)
	}
	cancel()
	<-done
	again, err := Listen(path, nil)
	if err != nil {
		t.Fatalf("after the end of the first: %v", err)
	}
	again.listener.Close()
}

func TestRefusals(t *testing.T) {
	path := serve(t, func(context.Context, Call, func(any)) (int, error) {
		return 0, errors.New("there is no account \"x\"")
	})
	if _, err := Do(t.Context(), path, Call{}, nil); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), `no account "x"`) {
		t.Errorf("%v", err)
	}
	for _, text := range []string{"garbage\n", "{\"config\": 7}\n", strings.Repeat("a", 2*maxLine)} {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, text) // the rest of what is too long is not read
		answer, _ := io.ReadAll(conn)
		if !strings.Contains(string(answer), "refused") {
			t.Errorf("%.20q was answered by %q", text, answer)
		}
		conn.Close()
	}
}

func TestNoDaemon(t *testing.T) {
	dir := t.TempDir()
	none := filepath.Join(dir, "none")
	if _, err := Do(t.Context(), none, Call{}, nil); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("no socket: %v", err)
	}
	// One that died left its socket.
	dead := filepath.Join(dir, "dead")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := Do(t.Context(), dead, Call{}, nil); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("left socket: %v", err)
	}
	s, err := Listen(dead, nil)
	if err != nil {
		t.Fatalf("taking over a socket that was left: %v", err)
	}
	if _, err := Listen(dead, nil); err == nil || !strings.Contains(err.Error(), "another daemon") {
		t.Errorf("a second daemon: %v", err)
	}
	s.listener.Close()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(file, nil); err == nil {
		t.Error("a file was replaced by a socket")
	}
	if text, _ := os.ReadFile(file); string(text) != "mine" {
		t.Error("a file was removed")
	}
	if _, err := Listen(filepath.Join(dir, strings.Repeat("long", 40)), nil); err == nil || !strings.Contains(err.Error(), "XDG_RUNTIME_DIR") {
		t.Errorf("long path: %v", err)
	}
}
