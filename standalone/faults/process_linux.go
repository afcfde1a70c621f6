package faults

import "syscall"

// withParent makes a worker die when the thread that started it does: see life.run.
func withParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
