package network

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Watch calls changed when the network changes, until ctx ends, which is not an
// error, or the kernel tells no more. changed must not block.
func Watch(ctx context.Context, changed func()) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("asking the kernel after the network: %w", err)
	}
	socket := os.NewFile(uintptr(fd), "rtnetlink")
	defer socket.Close()
	groups := uint32(unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		return fmt.Errorf("asking the kernel after the network: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { socket.Close() })
	defer stop()
	events := make(chan struct{}, 1)
	var all sync.WaitGroup
	defer all.Wait()
	own, end := context.WithCancel(ctx)
	defer end()
	all.Go(func() { calm(own, events, changed) })
	n := newNoise()
	buf := make([]byte, 64<<10)
	for {
		got, err := socket.Read(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !errors.Is(err, unix.ENOBUFS): // which says that some were lost
			return fmt.Errorf("the kernel tells of the network no more: %w", err)
		}
		if err != nil || n.matters(buf[:got]) {
			select {
			case events <- struct{}{}:
			default: // there is one that nobody has seen
			}
		}
	}
}

// A noise knows what is there already: routers have addresses of IPv6 told
// again and again.
type noise struct{ addresses map[string]bool }

func newNoise() *noise { return &noise{addresses: map[string]bool{}} }

// matters tells whether messages of the kernel are about what connections
// depend on. What cannot be understood is.
func (n *noise) matters(data []byte) (yes bool) {
	all, err := syscall.ParseNetlinkMessage(data)
	if err != nil {
		return true
	}
	for i := range all {
		switch m := &all[i]; m.Header.Type {
		case unix.RTM_NEWADDR, unix.RTM_DELADDR:
			yes = n.address(m) || yes
		case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
			yes = isDefault(m) || yes
		}
	}
	return yes
}

// address tells whether an address that can be reached from elsewhere came or
// went.
func (n *noise) address(m *syscall.NetlinkMessage) bool {
	var about unix.IfAddrmsg
	if _, err := binary.Decode(m.Data, binary.NativeEndian, &about); err != nil {
		return true
	}
	if about.Scope == unix.RT_SCOPE_LINK || about.Scope == unix.RT_SCOPE_HOST {
		return false
	}
	attributes, err := syscall.ParseNetlinkRouteAttr(m)
	if err != nil {
		return true
	}
	key := ""
	for _, a := range attributes {
		if a.Attr.Type == unix.IFA_ADDRESS || a.Attr.Type == unix.IFA_LOCAL {
			key += fmt.Sprintf("%d %d %x\n", about.Index, a.Attr.Type, a.Value)
		}
	}
	if m.Header.Type == unix.RTM_DELADDR {
		delete(n.addresses, key)
		return true
	}
	known := n.addresses[key]
	n.addresses[key] = true
	return !known
}

// isDefault tells whether a route leads everywhere.
func isDefault(m *syscall.NetlinkMessage) bool {
	var about unix.RtMsg
	_, err := binary.Decode(m.Data, binary.NativeEndian, &about)
	return err != nil || about.Dst_len == 0 && about.Type == unix.RTN_UNICAST && about.Table == unix.RT_TABLE_MAIN
}
