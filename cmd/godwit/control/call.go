package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"
)

// A Call is what a command asks of the daemon.
type Call struct {
	// Version is the caller's program; the daemon may refuse another one.
	Version string `json:"version"`
	// Config is the configuration file that the caller uses, absolute.
	Config  string          `json:"config"`
	Command string          `json:"command"`
	Args    json.RawMessage `json:"args,omitempty"`
}

// A frame is a part of the answer.
type frame struct {
	Data json.RawMessage `json:"data,omitempty"`
	Exit *int            `json:"exit,omitempty"` // the end
	// Refused says why the call was not even begun.
	Refused string `json:"refused,omitempty"`
}

// ErrNoDaemon is returned by Do when no daemon listens.
var ErrNoDaemon = errors.New("no daemon is running")

// ErrRefused is wrapped by the error of a call that the daemon would not begin.
var ErrRefused = errors.New("the daemon refused")

// maxLine is the longest line of a conversation, in bytes.
const maxLine = 4 << 20

// Do makes a call at the socket and hands what is sent back to each. The end
// of ctx asks the daemon to break off; Do waits for the exit code all the
// same. It returns an error that is ErrNoDaemon if nobody listens, and one
// that wraps ErrRefused if nothing was begun; any other means that the
// conversation broke, and that it is not known how the work ended. An error of
// each ends the call and is returned as it is.
func Do(ctx context.Context, path string, call Call, each func(json.RawMessage) error) (exit int, _ error) {
	conn, err := net.Dial("unix", path)
	if nobody(err) {
		return 0, ErrNoDaemon
	}
	if err != nil {
		return 0, fmt.Errorf("calling the daemon: %w", err)
	}
	defer conn.Close()
	if err := json.NewEncoder(conn).Encode(call); err != nil {
		return 0, fmt.Errorf("calling the daemon: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = conn.(*net.UnixConn).CloseWrite() })()
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var f frame
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			return 0, fmt.Errorf("the daemon's answer: %w", err)
		}
		switch {
		case f.Refused != "":
			return 0, fmt.Errorf("%w: %s", ErrRefused, f.Refused)
		case f.Exit != nil:
			return *f.Exit, nil
		}
		if err := each(f.Data); err != nil {
			return 0, err
		}
	}
	if err := lines.Err(); err != nil {
		return 0, fmt.Errorf("the daemon's answer: %w", err)
	}
	return 0, errors.New("the daemon went away in the middle: see its log, then godwit status")
}

// nobody tells whether an error says that nobody listens at a socket.
func nobody(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}
