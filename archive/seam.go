package archive

import (
	"errors"
	"os"
	"syscall"

	"github.com/godwit-mail/godwit/store/sqlite"
)

// A seam stands between the files of an archive and the kernel, for tests: it
// is given every call that changes something, or makes it last, by its name
// and path, and lets it happen or not. Nil, as it always is outside of tests,
// costs nothing.
type seam func(call, path string, do func() error) error

// run makes a call. Its error names the path.
func (s seam) run(call, path string, do func() error) error {
	if s == nil {
		return do()
	}
	err := s(call, path, do)
	if errno := syscall.Errno(0); errors.As(err, &errno) && !errors.As(err, new(*os.PathError)) && !errors.As(err, new(*os.LinkError)) {
		return &os.PathError{Op: call, Path: path, Err: err}
	}
	return err
}

// diskHint says what to do about an error of the disk; "" for any other.
func diskHint(err error) string { return sqlite.DiskHint(err, "the archive") }

// A seamWriter writes into a file by way of a seam.
type seamWriter struct {
	file *os.File
	seam seam
}

func (w seamWriter) Write(p []byte) (n int, err error) {
	err = w.seam.run("write", w.file.Name(), func() (err error) {
		n, err = w.file.Write(p)
		return err
	})
	return n, err
}
