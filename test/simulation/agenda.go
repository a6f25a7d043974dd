package simulation

import "time"

// event is something that is going to happen.
type event struct {
	at    time.Time
	order int
	do    func()
}

// agenda is a heap of events, the next one first; those of the same moment in the order of their making.
type agenda []event

func (a agenda) Len() int { return len(a) }

func (a agenda) Less(i, j int) bool {
	if a[i].at.Equal(a[j].at) {
		return a[i].order < a[j].order
	}
	return a[i].at.Before(a[j].at)
}

func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }

// Push adds an event, for container/heap.
func (a *agenda) Push(x any) { *a = append(*a, x.(event)) }

// Pop takes the last event, for container/heap.
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}
