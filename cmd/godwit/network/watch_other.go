//go:build !linux

package network

import (
	"context"
	"errors"
)

// Watch cannot be done here: connections that died are noticed when they are
// next spoken on.
func Watch(context.Context, func()) error {
	return errors.New("this system is not asked after the network")
}
