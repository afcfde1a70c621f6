package simulator

import (
	"cmp"
	"slices"
	"time"
)

// row is a record that lists are made of. Its place never changes.
type row interface {
	place() (created time.Time, id string)
}

// timeline keeps records oldest first, by second of creation and then by id, as
// lists show them backwards (section 4). Adding the newest is cheap.
type timeline[T row] struct{ rows []T }

func comparePlaces[T row](a, b T) int {
	aAt, aID := a.place()
	bAt, bID := b.place()
	return cmp.Or(cmp.Compare(aAt.Unix(), bAt.Unix()), cmp.Compare(aID, bID))
}

// put adds x, or replaces the record at its place.
func (t *timeline[T]) put(x T) {
	if n := len(t.rows); n == 0 || comparePlaces(t.rows[n-1], x) < 0 {
		t.rows = append(t.rows, x)
		return
	}
	i, found := slices.BinarySearchFunc(t.rows, x, comparePlaces[T])
	if found {
		t.rows[i] = x
		return
	}
	t.rows = slices.Insert(t.rows, i, x)
}

func (t *timeline[T]) drop(x T) {
	if i, found := slices.BinarySearchFunc(t.rows, x, comparePlaces[T]); found {
		t.rows = slices.Delete(t.rows, i, i+1)
	}
}

// newest returns at most n records after skip of them, newest first. keep, unless
// nil, passes over records as if they were not there.
func (t *timeline[T]) newest(skip, n int, keep func(T) bool) []T {
	return t.page(skip, n, keep, false)
}

func (t *timeline[T]) page(skip, n int, keep func(T) bool, oldestFirst bool) []T {
	var out []T
	i := 0
	if keep == nil {
		i, skip = skip, 0
	}
	for ; i < len(t.rows) && len(out) < n; i++ {
		x := t.rows[len(t.rows)-1-i]
		if oldestFirst {
			x = t.rows[i]
		}
		switch {
		case keep != nil && !keep(x):
		case skip > 0:
			skip--
		default:
			out = append(out, x)
		}
	}
	return out
}
