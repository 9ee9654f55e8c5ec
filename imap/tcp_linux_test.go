package imap

import (
	"context"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/godwit-mail/godwit/imap/imaptest"
)

// TestConnectionsAreLookedAfter asks the kernel how.
func TestConnectionsAreLookedAfter(t *testing.T) {
	ep := Endpoint{TLS: TLSNone}
	ep.Host, ep.Port = (&imaptest.Script{}).Listen(t)
	conn, _, err := ep.connect(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]struct{ level, option, want int }{
		"SO_KEEPALIVE":     {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		"TCP_KEEPIDLE":     {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 30},
		"TCP_KEEPINTVL":    {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 10},
		"TCP_KEEPCNT":      {unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
		"TCP_USER_TIMEOUT": {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 60_000},
		"TCP_NODELAY":      {unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
	} {
		var got int
		if e := raw.Control(func(fd uintptr) { got, err = unix.GetsockoptInt(int(fd), o.level, o.option) }); e != nil || err != nil || got != o.want {
			t.Errorf("%s is %d, want %d: %v %v", name, got, o.want, e, err)
		}
	}
}
