package network

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// inside tells a test that it runs in a network of its own.
const inside = "GODWIT_TEST_NETWORK"

// alone runs a test in a network of its own, where it may change things: in
// another process. It tells whether this is that one.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inside) != "" {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// up switches the loopback device on.
func up(t *testing.T) {
	t.Helper()
	control(t, "lo", unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP); return nil })
}

// address gives the loopback device an alias with an address, 0.0.0.0 for none.
func address(t *testing.T, alias, ip string) {
	t.Helper()
	control(t, "lo:"+alias, unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(net.ParseIP(ip).To4()) })
}

func control(t *testing.T, device string, request uint, set func(*unix.Ifreq) error) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq(device)
	if err == nil {
		err = set(r)
	}
	if err == nil {
		err = unix.IoctlIfreq(fd, request, r)
	}
	if err != nil {
		t.Fatalf("%s: %v", device, err)
	}
}

// What comes and goes that can be reached from elsewhere is told; the loopback
// device is not.
func TestWatch(t *testing.T) {
	if !alone(t) {
		return
	}
	ctx, cancel := context.WithCancel(t.Context())
	told, ended := make(chan struct{}, 16), make(chan error, 1)
	go func() { ended <- Watch(ctx, func() { told <- struct{}{} }) }()
	hears := func(what string) {
		t.Helper()
		select {
		case <-told:
		case err := <-ended:
			t.Fatalf("%s: ended with %v", what, err)
		case <-time.After(time.Minute):
			t.Fatalf("%s is not told", what)
		}
	}
	// It is not known when it listens: addresses come until one is heard of.
	up(t)
	for i, heard := 0, false; !heard; i++ {
		address(t, "a", fmt.Sprintf("10.0.%d.%d", i/250, i%250+1))
		select {
		case <-told:
			heard = true
		case <-time.After(50 * time.Millisecond):
		}
	}
	address(t, "a", "0.0.0.0")
	hears("an address that goes")
	address(t, "b", "10.1.0.1")
	hears("an address that comes")
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

// message builds one of the kernel's messages: its type and its bytes, with an
// attribute that is an address.
func message(kind uint16, head []byte, ip net.IP) []byte {
	body := append([]byte{}, head...)
	if ip = ip.To4(); ip != nil {
		body = append(body, 8, 0, unix.IFA_ADDRESS, 0)
		body = append(body, ip...)
	}
	n := unix.SizeofNlMsghdr + len(body)
	return append([]byte{byte(n), 0, 0, 0, byte(kind), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, body...)
}

func TestWhatMatters(t *testing.T) {
	address := func(scope byte) []byte { return []byte{unix.AF_INET, 24, 0, scope, 2, 0, 0, 0} }
	route := func(length, table, kind byte) []byte {
		return []byte{unix.AF_INET, length, 0, 0, table, 0, 0, kind, 0, 0, 0, 0}
	}
	a, b := net.IPv4(192, 0, 2, 1), net.IPv4(192, 0, 2, 2)
	n := newNoise()
	for i, row := range []struct {
		data []byte
		want bool
	}{
		{message(unix.RTM_NEWADDR, address(unix.RT_SCOPE_UNIVERSE), a), true},
		{message(unix.RTM_NEWADDR, address(unix.RT_SCOPE_UNIVERSE), a), false}, // told again
		{message(unix.RTM_NEWADDR, address(unix.RT_SCOPE_UNIVERSE), b), true},
		{message(unix.RTM_DELADDR, address(unix.RT_SCOPE_UNIVERSE), a), true},
		{message(unix.RTM_NEWADDR, address(unix.RT_SCOPE_UNIVERSE), a), true}, // another network may give the same
		{message(unix.RTM_NEWADDR, address(unix.RT_SCOPE_LINK), a), false},
		{message(unix.RTM_DELADDR, address(unix.RT_SCOPE_HOST), a), false},
		{message(unix.RTM_NEWROUTE, route(0, unix.RT_TABLE_MAIN, unix.RTN_UNICAST), nil), true},
		{message(unix.RTM_DELROUTE, route(0, unix.RT_TABLE_MAIN, unix.RTN_UNICAST), nil), true},
		{message(unix.RTM_NEWROUTE, route(24, unix.RT_TABLE_MAIN, unix.RTN_UNICAST), nil), false},
		{message(unix.RTM_NEWROUTE, route(0, unix.RT_TABLE_LOCAL, unix.RTN_LOCAL), nil), false},
		{append(message(unix.RTM_NEWROUTE, route(24, unix.RT_TABLE_MAIN, unix.RTN_UNICAST), nil), message(unix.RTM_DELADDR, address(0), b)...), true},
		{message(unix.RTM_NEWLINK, make([]byte, 16), nil), false},
		{message(unix.RTM_NEWADDR, nil, nil), true},
		{message(unix.RTM_DELROUTE, []byte{unix.AF_INET}, nil), true},
		{[]byte{200, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, true},
		{nil, false},
	} {
		if got := n.matters(row.data); got != row.want {
			t.Errorf("message %d matters: %v", i, got)
		}
	}
}

// Events that come together are told once, and one that never stops coming is
// told now and then.
func TestCalm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		events := make(chan struct{}, 1)
		var told atomic.Int32
		done := make(chan struct{})
		go func() { defer close(done); calm(ctx, events, func() { told.Add(1) }) }()
		expect := func(want int32) {
			t.Helper()
			if got := told.Swap(0); got != want {
				t.Errorf("told %d times, want %d", got, want)
			}
		}
		for range 4 {
			events <- struct{}{}
			<-time.After(100 * time.Millisecond)
		}
		expect(0)
		<-time.After(time.Minute)
		expect(1)
		for range 300 {
			events <- struct{}{}
			<-time.After(100 * time.Millisecond)
		}
		<-time.After(time.Minute)
		expect(10)
		cancel()
		<-done
	})
}
