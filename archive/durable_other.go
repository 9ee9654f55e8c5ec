//go:build !linux

package archive

import "errors"

const canSyncFS = false

func syncFS(string) error { return errors.ErrUnsupported }
