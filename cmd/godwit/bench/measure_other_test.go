//go:build !linux

package bench

import (
	"fmt"
	"os"
	"os/exec"
	"time"
)

// usage is what one run of a program cost.
type usage struct {
	wall, cpu time.Duration // cpu: user and system, of the program alone
	rss       int64         // the most memory that it held in RAM, in bytes; 0: not known
}

// measured runs a program, and fails unless it ends with 0.
func measured(_ string, env, command []string) (usage, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), env...)
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return usage{}, fmt.Errorf("%v: %w: %s", command, err, out)
	}
	return usage{wall: time.Since(began), cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}, nil
}

// flush waits until what was written so far is on the disk, where that can be asked for.
func flush() {}

// fdatasync makes the data of a file durable.
func fdatasync(f *os.File) error { return f.Sync() }
