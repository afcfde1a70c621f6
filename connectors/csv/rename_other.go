//go:build !linux

package csv

import "os"

// renameFree renames and never over another file.
func renameFree(root *os.Root, from, to string) error { return linkFree(root, from, to) }
