package simulator

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// done reports whether a file of that name was read and put aside, so that one
// that is there now came again.
func (d *desk) done(name string) bool {
	_, err := os.Stat(filepath.Join(d.dir, d.from, "done", name))
	return err == nil
}

// Befell counts the files that the shop spoilt since it was opened.
func (s *Shop) Befell() map[Fault]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.desk.befell)
}

// ClearFaults disarms what Inject armed.
func (s *Shop) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.desk.armed)
}

// Again lists the files that the shop was handed a second time, after it had read
// and put them aside. It reads a name once.
func (s *Shop) Again() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.read.again)
}

// Dropping reports whether the shop has still files to drop.
func (s *Shop) Dropping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.state.Letters) > 0
}

// Befell counts the files that the warehouse spoilt since it was opened.
func (w *Warehouse) Befell() map[Fault]int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.desk.befell)
}

// ClearFaults disarms what Inject armed.
func (w *Warehouse) ClearFaults() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.desk.armed)
}

// Again lists the files that the warehouse was handed a second time, after it had
// read and put them aside (never, where its manner is to delete them). It reads a
// name once, so its books do not show them.
func (w *Warehouse) Again() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.read.again)
}
