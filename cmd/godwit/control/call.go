package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"syscall"
)

// A Call is what a command asks of the daemon.
type Call struct {
	// Version is the caller's; a daemon of another version may refuse it.
	Version string `json:"version"`
	// Config is the configuration file that the caller uses, absolute.
	Config  string   `json:"config"`
	Command string   `json:"command"`
	Args    []string `json:"args,omitempty"`
	// JSON, Verbose, Quiet are the flags of the same names; Width is that of
	// the caller's terminal, 0 if it has none.
	JSON    bool `json:"json,omitempty"`
	Verbose bool `json:"verbose,omitempty"`
	Quiet   bool `json:"quiet,omitempty"`
	Width   int  `json:"width,omitempty"`
}

// A Frame is a part of the answer: something to print, or the exit code.
type Frame struct {
	Out  string `json:"out,omitempty"` // to standard output
	Err  string `json:"err,omitempty"` // to standard error
	Exit *int   `json:"exit,omitempty"`
	// Refused says why the call was not even begun.
	Refused string `json:"refused,omitempty"`
}

// ErrNoDaemon is returned by Do when no daemon listens.
var ErrNoDaemon = errors.New("no daemon is running")

// ErrRefused is wrapped by the error of a call that the daemon would not begin.
var ErrRefused = errors.New("the daemon refused")

// maxLine is the longest line of a conversation, in bytes.
const maxLine = 1 << 20

// Do makes a call at the socket and copies what is printed to out and err. The
// end of ctx asks the daemon to break off; Do waits for the exit code all the
// same. It returns an error that is ErrNoDaemon if nobody listens, and one
// that wraps ErrRefused if nothing was begun; any other means that the
// connection broke, and that it is not known how the work ended.
func Do(ctx context.Context, path string, call Call, out, err io.Writer) (exit int, _ error) {
	conn, e := net.Dial("unix", path)
	if nobody(e) {
		return 0, ErrNoDaemon
	}
	if e != nil {
		return 0, fmt.Errorf("calling the daemon: %w", e)
	}
	defer conn.Close()
	if e := json.NewEncoder(conn).Encode(call); e != nil {
		return 0, fmt.Errorf("calling the daemon: %w", e)
	}
	defer context.AfterFunc(ctx, func() { _ = conn.(*net.UnixConn).CloseWrite() })()
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var f Frame
		if e := json.Unmarshal(lines.Bytes(), &f); e != nil {
			return 0, fmt.Errorf("the daemon's answer: %w", e)
		}
		if f.Refused != "" {
			return 0, fmt.Errorf("%w: %s", ErrRefused, f.Refused)
		}
		// A reader that went away is no reason to stop.
		_, _ = io.WriteString(out, f.Out)
		_, _ = io.WriteString(err, f.Err)
		if f.Exit != nil {
			return *f.Exit, nil
		}
	}
	if e := lines.Err(); e != nil {
		return 0, fmt.Errorf("the daemon's answer: %w", e)
	}
	return 0, errors.New("the daemon went away in the middle: see its log, then godwit status")
}

// nobody tells whether an error says that nobody listens at a socket.
func nobody(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}
