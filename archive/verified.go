package archive

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"

	"github.com/godwit-mail/godwit/mail"
)

// maxWindow is how far back a compressed message may reach, in bytes: what is
// written here reaches less far, and what asks for more is damaged.
const maxWindow = 8 << 20

// A verified reader gives the bytes of a message file, and ends well only if
// they were as many as they should be, with the right digest. err is why it
// did not.
type verified struct {
	file   *os.File
	dec    *zstd.Decoder
	sum    hash.Hash
	digest mail.Digest
	left   int64
	err    error
}

// open opens the file of a message of that many bytes. Errors: ErrDamaged.
func (f *files) open(digest mail.Digest, size int64) (*verified, error) {
	file, err := os.Open(f.message(digest))
	if err != nil {
		return nil, messageFault(fmt.Errorf("%w: %w", ErrDamaged, err))
	}
	dec, err := zstd.NewReader(file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, errors.Join(messageFault(fmt.Errorf("%w: %w", ErrDamaged, err)), file.Close())
	}
	return &verified{file: file, dec: dec, sum: sha256.New(), digest: digest, left: size}, nil
}

// Read gives the last bytes only when all of them are proved: who reads as many
// bytes as there should be needs no more proof.
func (v *verified) Read(p []byte) (int, error) {
	if v.err != nil || len(p) == 0 {
		return 0, v.err
	}
	n, err := v.dec.Read(p)
	v.sum.Write(p[:n])
	v.left -= int64(n)
	if v.left == 0 && err == nil {
		var more int
		if more, err = v.dec.Read(make([]byte, 1)); more > 0 {
			v.left--
		}
	}
	if v.err = v.verdict(err); v.err != nil && v.err != io.EOF {
		n = 0
	}
	return n, v.err
}

// verdict says what a read means that ended so: nil to go on, io.EOF if all
// is well.
func (v *verified) verdict(err error) error {
	switch {
	case v.left < 0:
		err = errors.New("it holds more bytes than it should")
	case err == nil:
		return nil
	case err == io.EOF && v.left > 0, errors.Is(err, io.ErrUnexpectedEOF):
		err = mail.ErrShort
	case err == io.EOF && mail.Digest(v.sum.Sum(nil)) != v.digest:
		err = errors.New("it holds other bytes than its name says")
	case err == io.EOF:
		return io.EOF
	}
	return messageFault(fmt.Errorf("%w: %s: %w", ErrDamaged, v.file.Name(), err))
}

// Close ends the reading, at any point.
func (v *verified) Close() error {
	v.dec.Close()
	return v.file.Close()
}

func messageFault(err error) error {
	return mail.NewFault(mail.GradeMessage, mail.ClassLocal, err, "run verify --repair")
}
