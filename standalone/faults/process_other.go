//go:build !linux

package faults

import "syscall"

// withParent does nothing here: only Linux can tie a child's life to its
// parent's. The harness ends its workers itself unless it is killed.
func withParent(*syscall.SysProcAttr) {}
