package simulator

import "sort"

// timeline keeps orders sorted by the stamp and id they were filed under. It is
// cut into chunks, so that filing, taking out and counting stay cheap with a
// hundred thousand orders.
type timeline struct {
	chunks [][]*order
	size   int
}

const chunkSize = 512

// locate finds the first place that is not before (at, id): a chunk and an
// index in it. Past the end it is (len(chunks), 0).
func (t *timeline) locate(at stamp, id int64) (chunk, index int) {
	chunk = sort.Search(len(t.chunks), func(i int) bool {
		c := t.chunks[i]
		return !c[len(c)-1].filedBefore(at, id)
	})
	if chunk == len(t.chunks) {
		return chunk, 0
	}
	c := t.chunks[chunk]
	return chunk, sort.Search(len(c), func(i int) bool { return !c[i].filedBefore(at, id) })
}

// rank counts the orders before (at, id).
func (t *timeline) rank(at stamp, id int64) int {
	chunk, index := t.locate(at, id)
	n := index
	for _, c := range t.chunks[:chunk] {
		n += len(c)
	}
	return n
}

func (t *timeline) insert(o *order) {
	t.size++
	chunk, index := t.locate(o.filedAt, o.ID)
	if chunk == len(t.chunks) {
		if chunk == 0 {
			t.chunks = append(t.chunks, []*order{o})
			return
		}
		chunk--
		index = len(t.chunks[chunk])
	}
	c := append(t.chunks[chunk], nil)
	copy(c[index+1:], c[index:])
	c[index] = o
	t.chunks[chunk] = c
	if len(c) > chunkSize {
		half := append([]*order(nil), c[chunkSize/2:]...)
		t.chunks[chunk] = c[: chunkSize/2 : chunkSize/2]
		t.chunks = append(t.chunks, nil)
		copy(t.chunks[chunk+2:], t.chunks[chunk+1:])
		t.chunks[chunk+1] = half
	}
}

func (t *timeline) remove(o *order) {
	chunk, index := t.locate(o.filedAt, o.ID)
	if chunk == len(t.chunks) || t.chunks[chunk][index] != o {
		return
	}
	t.size--
	c := t.chunks[chunk]
	copy(c[index:], c[index+1:])
	c[len(c)-1] = nil
	if c = c[:len(c)-1]; len(c) > 0 {
		t.chunks[chunk] = c
		return
	}
	t.chunks = append(t.chunks[:chunk], t.chunks[chunk+1:]...)
}

// from returns a walk that starts n places after the first order not before (at, id).
func (t *timeline) from(at stamp, id int64, skip int) *walk {
	chunk, index := t.locate(at, id)
	w := &walk{t: t, chunk: chunk, index: index}
	w.skip(skip)
	return w
}

// walk reads a timeline in ascending order.
type walk struct {
	t            *timeline
	chunk, index int
}

// order is the order at hand; nil at the end.
func (w *walk) order() *order {
	if w.chunk >= len(w.t.chunks) {
		return nil
	}
	return w.t.chunks[w.chunk][w.index]
}

func (w *walk) next() { w.skip(1) }

func (w *walk) skip(n int) {
	for n > 0 && w.chunk < len(w.t.chunks) {
		if left := len(w.t.chunks[w.chunk]) - w.index; n >= left {
			n -= left
			w.chunk, w.index = w.chunk+1, 0
			continue
		}
		w.index += n
		return
	}
}

func (o *order) filedBefore(at stamp, id int64) bool {
	if o.filedAt != at {
		return o.filedAt < at
	}
	return o.ID < id
}
