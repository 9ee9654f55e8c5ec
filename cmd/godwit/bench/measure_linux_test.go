package bench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is what one run of a program cost.
type usage struct {
	wall, cpu time.Duration // cpu: user and system, of the program alone
	rss       int64         // the most memory that it held in RAM, in bytes
}

// launch starts the program from a shell that ends at once. The kernel counts
// the memory of whoever starts a program as the program's own until it
// executes, and a shell is small. The program waits for a line on descriptor 3, and its
// process number comes on 4.
const launch = `{ read -r line <&3; exec "$@" 3<&- 4>&-; } & echo $! >&4`

// limit ends a program that hangs.
const limit = 30 * time.Minute

// prSetChildSubreaper makes orphans this process's children.
const prSetChildSubreaper = 36

// measured runs a program, and fails unless it ends with 0.
func measured(dir string, env, command []string) (usage, error) {
	if _, _, e := syscall.RawSyscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0); e != 0 {
		return usage{}, e
	}
	out, err := os.Create(filepath.Join(dir, "output"))
	if err != nil {
		return usage{}, err
	}
	defer out.Close()
	pid, begin, err := launched(out, env, command)
	if err != nil {
		return usage{}, err
	}
	defer begin.Close()
	timer := time.AfterFunc(limit, func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	defer timer.Stop()
	began := time.Now()
	if _, err := begin.WriteString("\n"); err != nil {
		return usage{}, err
	}
	var status syscall.WaitStatus
	var ru syscall.Rusage
	for {
		if _, err = syscall.Wait4(pid, &status, 0, &ru); err != syscall.EINTR {
			break
		}
	}
	u := usage{wall: time.Since(began), cpu: time.Duration(ru.Utime.Nano() + ru.Stime.Nano()), rss: ru.Maxrss << 10}
	if err == nil && (!status.Exited() || status.ExitStatus() != 0) {
		said, _ := os.ReadFile(out.Name())
		err = fmt.Errorf("%s ended with %d (signal %d): %s", filepath.Base(command[0]), status.ExitStatus(), status.Signal(), bytes.TrimSpace(said[max(0, len(said)-2000):]))
	}
	return u, err
}

// launched starts the program so far that a line to begin lets it run.
func launched(out *os.File, env, command []string) (pid int, begin *os.File, err error) {
	wait, begin, err := os.Pipe()
	if err != nil {
		return 0, nil, err
	}
	defer wait.Close()
	told, tell, err := os.Pipe()
	if err != nil {
		return 0, nil, err
	}
	defer told.Close()
	cmd := exec.Command("/bin/sh", append([]string{"-c", launch, "sh"}, command...)...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = out, out, []*os.File{wait, tell}
	err = cmd.Run()
	tell.Close()
	if err != nil {
		return 0, nil, err
	}
	text := make([]byte, 32)
	n, err := told.Read(text)
	if err != nil {
		return 0, nil, err
	}
	pid, err = strconv.Atoi(strings.TrimSpace(string(text[:n])))
	return pid, begin, err
}

// flush waits until what was written so far is on the disk.
func flush() { syscall.Sync() }

// fdatasync makes the data of a file durable.
func fdatasync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }
