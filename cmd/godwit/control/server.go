package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// A Handler does what a call asks, sends what is to be told, and returns the
// exit code. It ends soon when ctx does. An error is told to the caller as a
// refusal; nothing may have been begun then. send may be called by several
// goroutines, and never fails: a caller that went away is no reason to stop.
type Handler func(ctx context.Context, call Call, send func(any)) (exit int, _ error)

// callTime is how long a caller may take to say what it wants, and to read.
const callTime = 10 * time.Second

// endTime is how long a caller may take to read what is left once the daemon
// ends, or the call was broken off.
const endTime = time.Second

// maxPath is the longest path that a Unix socket can have everywhere, in bytes.
const maxPath = 103

// A Server hears calls.
type Server struct {
	listener *net.UnixListener
	lock     *os.File
	handle   Handler
	patience time.Duration // see callTime
}

// Listen makes the socket, and its directory if need be (0700). It fails if
// another daemon listens there.
func Listen(path string, handle Handler) (*Server, error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("the path of the daemon's socket is longer than %d bytes: %s: set XDG_RUNTIME_DIR, or choose a shorter state_dir", maxPath, path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	lock, err := lockSocket(path)
	if err != nil {
		return nil, err
	}
	listener, err := takeSocket(path)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &Server{listener: listener, lock: lock, handle: handle, patience: callTime}, nil
}

// lockSocket makes sure that of daemons that begin at the same time only one
// takes the socket. The kernel gives the lock up with the process.
func lockSocket(path string) (*os.File, error) {
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("another daemon listens at %s", path)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// takeSocket makes the socket, in the place of one that was left behind.
func takeSocket(path string) (*net.UnixListener, error) {
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("another daemon listens at %s", path)
	} else if !nobody(err) {
		return nil, fmt.Errorf("the daemon's socket: %w", err)
	}
	if st, err := os.Lstat(path); err == nil && st.Mode().Type() != os.ModeSocket {
		return nil, fmt.Errorf("%s is in the way of the daemon's socket: move it away", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	listener, err := listenPrivately(path)
	if err != nil {
		return nil, fmt.Errorf("the daemon's socket: %w", err)
	}
	return listener, nil
}

// Close gives the socket back, of a server that is not to serve.
func (s *Server) Close() error { return errors.Join(s.listener.Close(), s.lock.Close()) }

// Serve hears calls until ctx ends, and then waits for those under way, which
// are told to end. The socket is gone when it returns.
func (s *Server) Serve(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { s.listener.Close() })()
	defer s.lock.Close()
	var calls sync.WaitGroup
	defer calls.Wait()
	for {
		conn, err := s.listener.AcceptUnix()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				conn.Close() // or who called just now would wait for ever
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			// Out of descriptors, perhaps: others will be let go.
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
			continue
		}
		calls.Go(func() {
			defer conn.Close()
			s.converse(ctx, conn)
		})
	}
}

// converse hears one call and answers it.
func (s *Server) converse(ctx context.Context, conn *net.UnixConn) {
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	answer := &answer{ctx: own, conn: conn, patience: s.patience}
	defer context.AfterFunc(own, answer.hurry)()
	if err := ours(conn); err != nil {
		answer.frame(frame{Refused: err.Error()})
		return
	}
	call, err := s.hear(ctx, conn)
	if err != nil {
		answer.frame(frame{Refused: fmt.Sprintf("the call cannot be read: %v", err)})
		return
	}
	var reader sync.WaitGroup
	reader.Go(func() {
		_, _ = io.Copy(io.Discard, conn) // ends when the caller closes its side, or we ours
		cancel()
	})
	exit, err := s.handle(own, call, answer.send)
	if err != nil {
		answer.frame(frame{Refused: err.Error()})
	} else {
		answer.frame(frame{Exit: &exit})
	}
	conn.Close()
	reader.Wait()
}

// hear reads the call, which must come soon, and before ctx ends.
func (s *Server) hear(ctx context.Context, conn *net.UnixConn) (call Call, err error) {
	_ = conn.SetReadDeadline(time.Now().Add(s.patience))
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })
	text, err := bufio.NewReaderSize(io.LimitReader(conn, maxLine), 4096).ReadBytes('\n')
	if !stop() {
		return call, context.Cause(ctx)
	}
	_ = conn.SetReadDeadline(time.Time{})
	if err == nil {
		err = json.Unmarshal(text, &call)
	}
	return call, err
}

// An answer is written by several goroutines, a frame at a time.
type answer struct {
	ctx  context.Context // ends when nothing more is wanted than what is there
	mu   sync.Mutex
	conn *net.UnixConn
	gone bool

	patience time.Duration
}

// frame sends one, and does not wait again for a caller that does not read.
func (a *answer) frame(f frame) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone {
		return
	}
	_ = a.conn.SetWriteDeadline(time.Now().Add(a.patience))
	if a.ctx.Err() != nil {
		a.hurry()
	}
	a.gone = json.NewEncoder(a.conn).Encode(f) != nil
}

// hurry gives the caller little time to read.
func (a *answer) hurry() { _ = a.conn.SetWriteDeadline(time.Now().Add(endTime)) }

func (a *answer) send(v any) {
	data, err := json.Marshal(v)
	if err == nil {
		a.frame(frame{Data: data})
	}
}

// listenPrivately makes a socket that only its owner may use: the directory
// around it decides until its mode is set, and callers of other users are
// turned away besides.
func listenPrivately(path string) (*net.UnixListener, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}
