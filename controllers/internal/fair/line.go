package fair

import "container/list"

// place is an item's place in the line of one owner.
type place[K comparable] struct {
	item  *item[K]
	level Level
	ahead bool
	line  *line
	group *group
	at    *list.Element
}

// level is the lines of all owners that want something of one urgency.
type level struct {
	ring   list.List // of *line; the next one is at the front
	lines  map[string]*line
	finish int64 // virtual time at which its last start is paid off
	places int
}

// line is what one owner wants at one level.
type line struct {
	owner  string
	at     *list.Element
	ring   list.List // of *group; the next one is at the front
	groups map[string]*group
}

// group is what of a line goes to one target, in the order in which it came.
type group struct {
	target string
	at     *list.Element
	places list.List     // of *place, those ahead in front
	ahead  *list.Element // the last of those ahead
}

// enter puts an item into an owner's line.
func (q *Queue[K]) enter(it *item[K], who string, at Level, ahead bool) *place[K] {
	l := &q.levels[at]
	ln := l.lines[who]
	if ln == nil {
		ln = &line{owner: who, groups: map[string]*group{}}
		ln.at = l.ring.PushBack(ln)
		l.lines[who] = ln
	}
	g := ln.groups[it.target]
	if g == nil {
		g = &group{target: it.target}
		g.at = ln.ring.PushBack(g)
		ln.groups[it.target] = g
	}
	l.places++
	p := &place[K]{item: it, level: at, ahead: ahead, line: ln, group: g}
	switch {
	case !ahead:
		p.at = g.places.PushBack(p)
		return p
	case g.ahead == nil:
		p.at = g.places.PushFront(p)
	default:
		p.at = g.places.InsertAfter(p, g.ahead)
	}
	g.ahead = p.at
	return p
}

// leave takes an item out of an owner's line.
func (q *Queue[K]) leave(it *item[K], who string) {
	p := it.places[who]
	if p == nil {
		return
	}
	delete(it.places, who)
	l := &q.levels[p.level]
	l.places--
	if p.group.ahead == p.at {
		p.group.ahead = p.at.Prev()
	}
	p.group.places.Remove(p.at)
	if p.group.places.Len() == 0 {
		p.line.ring.Remove(p.group.at)
		delete(p.line.groups, p.group.target)
	}
	if len(p.line.groups) == 0 {
		l.ring.Remove(p.line.at)
		delete(l.lines, who)
	}
	o := q.owners[who]
	o.waiting--
	q.drop(who, o)
}
