package hook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	// mercy is how long a process has between SIGTERM and SIGKILL, and its
	// children to close what it has left them.
	mercy = 500 * time.Millisecond
	// mostOutput is how much of a command's output is kept, in bytes.
	mostOutput = 4 << 10
)

// run runs a command to its end, or to that of its time.
func (r *Runner) run(c Command, input []byte) (output string, _ error) {
	if r.ending.Err() != nil {
		return "", errors.New("it was not run: godwit was told to end")
	}
	ctx, cancel := context.WithTimeout(r.ending, c.Timeout)
	defer cancel()
	out := &head{}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", c.Line)
	cmd.Env = append(r.env[:len(r.env):len(r.env)], "GODWIT_ACCOUNT="+c.Account, "GODWIT_HOOK="+c.Kind)
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), out, out
	// What the shell begins ends with it: they are a group of their own.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = mercy
	err := cmd.Run()
	if cmd.Process != nil && ctx.Err() != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // whoever is left of it
	}
	switch {
	case r.ending.Err() != nil && err != nil:
		err = errors.New("it was ended with godwit")
	case ctx.Err() != nil && err != nil:
		err = fmt.Errorf("it took longer than %v (hook_timeout), and was ended", c.Timeout)
	case errors.Is(err, exec.ErrWaitDelay):
		err = nil // it left something running that has its output, and may
	}
	return out.String(), err
}

// A head keeps the beginning of what is written to it. It has one writer at a
// time (os/exec).
type head struct {
	text []byte
	cut  bool
}

func (h *head) Write(p []byte) (int, error) {
	take := min(len(p), mostOutput-len(h.text))
	h.text = append(h.text, p[:take]...)
	h.cut = h.cut || take < len(p)
	return len(p), nil
}

func (h *head) String() string {
	text := strings.TrimSpace(strings.ToValidUTF8(string(h.text), "\ufffd"))
	if h.cut {
		text += " …"
	}
	return text
}

// passed are the variables that a command gets, where they are set. Passwords
// are often handed to a service in its environment, and systemd's own
// variables would let a command speak for the daemon.
var passed = [...]string{
	"HOME", "USER", "LOGNAME", "SHELL", "PATH", "TMPDIR", "TZ",
	"LANG", "LANGUAGE", "LC_ALL", "LC_COLLATE", "LC_CTYPE", "LC_MESSAGES", "LC_MONETARY", "LC_NUMERIC", "LC_TIME",
	"XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_SESSION_TYPE",
	"DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS",
	"MAILDIR", "NOTMUCH_CONFIG", "NOTMUCH_PROFILE", "NOTMUCH_DATABASE",
}

// Environment is what commands get of an environment.
func Environment(env func(string) string) []string {
	var out []string
	for _, name := range passed {
		if v := env(name); v != "" {
			out = append(out, name+"="+v)
		}
	}
	return out
}
