package simkit

import (
	"container/heap"
	"time"
)

// Alarms say what may move by itself, and when. An alarm whose thing has moved
// otherwise in the meantime is for its owner to ignore. The owner's lock guards them.
type Alarms[T any] struct{ heap alarmHeap[T] }

type alarm[T any] struct {
	at   time.Time
	what T
}

// Set adds an alarm.
func (a *Alarms[T]) Set(at time.Time, what T) { heap.Push(&a.heap, alarm[T]{at, what}) }

// Clear takes all alarms away.
func (a *Alarms[T]) Clear() { a.heap = nil }

// settleBatch bounds how many timed moves one request pays for.
const settleBatch = 500

// Settle hands what is due to move, the earliest first and a few hundred at most.
// It reports whether more may be due.
func (a *Alarms[T]) Settle(now time.Time, move func(T)) (more bool) {
	for range settleBatch {
		if len(a.heap) == 0 || a.heap[0].at.After(now) {
			return false
		}
		move(heap.Pop(&a.heap).(alarm[T]).what)
	}
	return true
}

type alarmHeap[T any] []alarm[T]

func (h alarmHeap[T]) Len() int           { return len(h) }
func (h alarmHeap[T]) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h alarmHeap[T]) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *alarmHeap[T]) Push(x any)        { *h = append(*h, x.(alarm[T])) }
func (h *alarmHeap[T]) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}
