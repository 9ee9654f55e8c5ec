package maildir

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// bootID names the time since the machine was last started (random(4)).
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// maxListing is the most memory that one listing asks of the kernel at once,
// maxScratch what is kept of it for the next.
const (
	maxListing = 64 << 20
	maxScratch = 1 << 20
)

// entries lists the directory. It asks for all of it in one system call where
// that fits: the kernel holds the directory's lock for the length of a call,
// so that a file which is renamed meanwhile cannot slip past the reading
// position. scratch is kept between calls.
func (d *dir) entries(scratch *[]byte) (out []dirent, err error) {
	err = d.blocks(scratch, func(first bool, block []byte) {
		if first {
			out = out[:0]
		}
		count, size := 0, 0
		parseDirents(block, func(at, end int, _ kind) { count, size = count+1, size+end-at })
		out = slices.Grow(out, count)
		var text strings.Builder // one piece of memory for all names
		text.Grow(size)
		parseDirents(block, func(at, end int, k kind) {
			from := text.Len()
			text.Write(block[at:end])
			out = append(out, dirent{name: text.String()[from:], kind: k})
		})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// names gives each name of the directory, one or more times, and keeps none
// of them in memory. each must not keep name.
func (d *dir) names(scratch *[]byte, each func(name []byte, k kind)) error {
	return d.blocks(scratch, func(_ bool, block []byte) {
		parseDirents(block, func(at, end int, k kind) { each(block[at:end], k) })
	})
}

// blocks reads the directory from its beginning, and again into a larger
// scratch, until it came in one block or there is no larger one. first tells
// that the reading begins.
func (d *dir) blocks(scratch *[]byte, each func(first bool, block []byte)) error {
	if d.size == 0 {
		if _, err := d.self(); err != nil {
			return err
		}
	}
	// The kernel tells more of an entry than most file systems keep of one.
	for want := min(2*d.size+64<<10, maxListing); ; want = min(2*want, maxListing) {
		buf, release := listingBuffer(scratch, int(want))
		var calls int
		err := d.seam.run("list", d.path, func() (err error) {
			calls, err = d.readAll(buf, each)
			return err
		})
		release()
		if err != nil {
			return &os.PathError{Op: "list", Path: d.path, Err: err}
		}
		if calls <= 1 || want >= maxListing {
			return nil
		}
	}
}

// listingBuffer is room for n bytes, until it is released. Much is mapped for
// the purpose: pages that are not written to cost nothing, the others go back
// at once, and the garbage collector does not take its pace from them.
func listingBuffer(scratch *[]byte, n int) (buf []byte, release func()) {
	if n > maxScratch {
		if buf, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON); err == nil {
			return buf, func() { _ = unix.Munmap(buf) }
		}
		return make([]byte, n), func() {}
	}
	if len(*scratch) < n {
		*scratch = make([]byte, n)
	}
	return *scratch, func() {}
}

// readAll reads from the beginning to the end and tells how many calls had an answer.
func (d *dir) readAll(buf []byte, each func(first bool, block []byte)) (calls int, err error) {
	if _, err := unix.Seek(d.fd, 0, 0); err != nil {
		return 0, err
	}
	for {
		n, err := unix.Getdents(d.fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n <= 0 {
			return calls, err
		}
		calls++
		each(calls == 1, buf[:n])
	}
}

// parseDirents reads struct linux_dirent64: inode and offset of 8 bytes each,
// the length of the record in 2, the type in 1, then the name up to a NUL. It
// gives where each name begins and ends in the block.
func parseDirents(block []byte, each func(at, end int, k kind)) {
	const header = 19
	for at := 0; len(block)-at >= header; {
		length := int(binary.NativeEndian.Uint16(block[at+16:]))
		if length < header || length > len(block)-at {
			return
		}
		name := block[at+header : at+length]
		if i := bytes.IndexByte(name, 0); i >= 0 {
			name = name[:i]
		}
		if string(name) != "." && string(name) != ".." {
			each(at+header, at+header+len(name), direntKind(block[at+18]))
		}
		at += length
	}
}

func direntKind(t byte) kind {
	switch t {
	case unix.DT_UNKNOWN:
		return kindUnknown
	case unix.DT_REG:
		return kindFile
	case unix.DT_DIR:
		return kindDir
	}
	return kindOther
}

// renameNew renames and fails when the target exists. RENAME_NOREPLACE is not
// known to every file system.
func renameNew(fromFD int, from string, toFD int, to string) error {
	err := unix.Renameat2(fromFD, from, toFD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		return linkNew(fromFD, from, toFD, to)
	}
	return err
}

// syncData makes the bytes of a file durable.
func syncData(fd int) error { return unix.Fdatasync(fd) }

// local tells whether d lies on a file system whose times can be trusted:
// one of this machine's own, which keeps them by this machine's clock.
func (d *dir) local() bool {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(d.fd, &fs); err != nil {
		return false
	}
	switch uint32(fs.Type) {
	case unix.EXT4_SUPER_MAGIC, // ext2, ext3, ext4
		unix.XFS_SUPER_MAGIC,
		unix.BTRFS_SUPER_MAGIC,
		unix.TMPFS_MAGIC,
		unix.OVERLAYFS_SUPER_MAGIC,
		unix.F2FS_SUPER_MAGIC,
		unix.NILFS_SUPER_MAGIC,
		unix.REISERFS_SUPER_MAGIC,
		0x2fc12fc1, // ZFS
		0xca451a4e, // bcachefs
		0x3153464a: // JFS
		return true
	}
	return false
}

func syncFileSystem(fd int) error { return unix.Syncfs(fd) }

// syncfsTells tells whether syncfs returns the errors of the file system's
// writing: Linux does since 5.8.
func syncfsTells() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major > 5 || major == 5 && minor >= 8
}

// openUnnamed opens a new file without a name on the file system of a directory.
func openUnnamed(fd int) (int, error) {
	return unix.Openat(fd, ".", unix.O_RDWR|unix.O_TMPFILE|unix.O_CLOEXEC, 0o600)
}

func linkUnnamed(fd int, how linking, toFD int, to string) error {
	if how == linkByHandle {
		return unix.Linkat(fd, "", toFD, to, unix.AT_EMPTY_PATH)
	}
	return unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), toFD, to, unix.AT_SYMLINK_FOLLOW)
}

// setUnnamedTime needs no name (AT_EMPTY_PATH, since Linux 5.8).
func setUnnamedTime(fd int, ts unix.Timespec) error {
	return unix.UtimesNanoAt(fd, "", []unix.Timespec{ts, ts}, unix.AT_EMPTY_PATH)
}

// keepsUnnamed tells whether a file that was made without a name lasts like
// any other. Not on btrfs, whose fsync passes over what has no link, nor where
// no journal joins a new entry with the number of links (ext2, and ext4 made
// without one): a check after a crash would throw the entry away.
func keepsUnnamed(d *dir) bool {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(d.fd, &fs); err != nil {
		return false
	}
	switch uint32(fs.Type) {
	case unix.XFS_SUPER_MAGIC, unix.TMPFS_MAGIC: // nothing lasts in a tmpfs
		return true
	case unix.EXT4_SUPER_MAGIC: // ext2, ext3, ext4
		return d.journalled()
	}
	return false
}

// journalled tells whether the ext4 that d lies on has a journal: it shows the
// process that writes it (Documentation/ABI/testing/sysfs-fs-ext4).
func (d *dir) journalled() bool {
	st, err := d.self()
	if err != nil {
		return false
	}
	device, err := os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.dev), unix.Minor(st.dev)))
	if err != nil {
		return false
	}
	text, err := os.ReadFile("/sys/fs/ext4/" + path.Base(device) + "/journal_task")
	if err != nil {
		return false
	}
	_, err = strconv.Atoi(strings.TrimSpace(string(text)))
	return err == nil
}
