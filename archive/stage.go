package archive

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/godwit-mail/godwit/mail"
)

// inMemory is up to which size, in bytes, a message is held in memory until
// it is known whether it has to be stored. Larger ones wait in a file.
const inMemory = 1 << 20

// A staged file is that of one message, written and not yet in its place.
type staged struct {
	digest mail.Digest
	stored int64  // bytes of the file
	tmp    string // where it lies
	err    error
}

// A spool takes in a message, in memory while it is small.
type spool struct {
	f    *files
	buf  []byte
	file *os.File // nil while buf has it all
	size int64
}

func (s *spool) Write(p []byte) (int, error) {
	s.size += int64(len(p))
	if s.file == nil && len(s.buf)+len(p) <= inMemory {
		s.buf = append(s.buf, p...)
		return len(p), nil
	}
	if s.file == nil {
		if err := s.spill(); err != nil {
			return 0, err
		}
	}
	return seamWriter{s.file, s.f.seam}.Write(p)
}

// spill goes on in a file that has no name any more.
func (s *spool) spill() error {
	path := s.f.tmp(".eml")
	file, err := s.f.create(path)
	if err != nil {
		return err
	}
	s.file = file
	if err := s.f.remove(path); err != nil {
		return err
	}
	_, err = seamWriter{file, s.f.seam}.Write(s.buf)
	s.buf = s.buf[:0]
	return err
}

// reset makes it ready for another message.
func (s *spool) reset() {
	if s.file != nil {
		_ = s.file.Close() // nothing of it is wanted any more
	}
	s.buf, s.file, s.size = s.buf[:0], nil, 0
}

// stage compresses what the spool holds into a file of its own.
func (s *spool) stage(ctx context.Context, digest mail.Digest) (*staged, error) {
	out := &staged{digest: digest, tmp: s.f.tmp(".zst")}
	file, err := s.f.create(out.tmp)
	if err != nil {
		return nil, err
	}
	err = s.compress(ctx, file)
	if st, serr := file.Stat(); serr != nil {
		err = errors.Join(err, serr)
	} else {
		out.stored = st.Size()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, errors.Join(err, s.f.remove(out.tmp))
	}
	return out, nil
}

// compress writes one frame with the size of its content and a checksum.
func (s *spool) compress(ctx context.Context, to *os.File) error {
	s.f.compressing.Lock()
	defer s.f.compressing.Unlock()
	enc, err := s.f.compressor()
	if err != nil {
		return err
	}
	w := seamWriter{to, s.f.seam}
	if s.file == nil {
		_, err := w.Write(enc.EncodeAll(s.buf, nil))
		return err
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	enc.ResetContentSize(w, s.size)
	_, err = io.Copy(enc, &cancelled{ctx, s.file})
	return errors.Join(err, enc.Close())
}

// compressor gives the one encoder, which is made when it is first needed.
func (f *files) compressor() (enc *zstd.Encoder, err error) {
	if f.encoder == nil {
		f.encoder, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(inMemory),
			zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(true), zstd.WithZeroFrames(true), zstd.WithSingleSegment(true))
	}
	return f.encoder, err
}

// has tells whether the file of a message is there with that many bytes.
func (f *files) has(digest mail.Digest, stored int64) bool {
	st, err := os.Lstat(f.message(digest))
	return err == nil && st.Mode().IsRegular() && st.Size() == stored
}

// publish puts staged files into their places: their bytes are durable before
// they have their names, and the names when it returns. What fails for one
// alone is in its err.
func (f *files) publish(list []*staged) error {
	if len(list) == 0 {
		return nil
	}
	var tmps, dirs []string
	for _, s := range list {
		tmps = append(tmps, s.tmp)
		dirs = append(dirs, filepath.Dir(f.message(s.digest)))
	}
	slices.Sort(dirs)
	dirs = slices.Compact(dirs)
	if err := f.makeDirs(dirs); err != nil {
		return err
	}
	if err := f.syncAll("sync", tmps); err != nil {
		return err
	}
	for _, s := range list {
		// A file that has this name already lacks in the catalogue or in
		// itself: this one holds the same message, and is known to be whole.
		if s.err = f.rename(s.tmp, f.message(s.digest)); s.err == nil {
			s.tmp = ""
		}
	}
	return f.syncAll("sync directory", dirs)
}

// makeDirs makes the directories that lack.
func (f *files) makeDirs(dirs []string) error {
	made := false
	for _, dir := range dirs {
		if _, err := os.Lstat(dir); err == nil {
			continue
		}
		if err := f.seam.run("mkdir", dir, func() error { return os.Mkdir(dir, 0o700) }); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		made = true
	}
	if !made {
		return nil
	}
	return f.syncDir(filepath.Join(f.dir, messagesDir))
}

// discard throws away what was not put into its place.
func (f *files) discard(s *staged) {
	if s.tmp != "" {
		_ = f.remove(s.tmp) // else the next Open does
		s.tmp = ""
	}
}
