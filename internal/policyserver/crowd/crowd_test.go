package crowd

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// guest notes when it is to end.
type guest struct {
	Member

	name  string
	stays bool // refuses to end
	ended *[]string
}

func (g *guest) End() bool {
	if g.stays {
		return false
	}
	*g.ended = append(*g.ended, g.name)
	return true
}

// full returns a crowd of three members of 10 bytes each that has room for no more; they are idle since 1, 2 and 3 s.
func full(t *testing.T) (c *Crowd, guests []*guest, ended *[]string) {
	t.Helper()
	c, ended = New(30), new([]string)
	for i, name := range []string{"a", "b", "c"} {
		g := &guest{name: name, ended: ended}
		g.Idle(time.Duration(i+1) * time.Second)
		if !c.Join(&g.Member, g, 10) {
			t.Fatalf("no room for %s", name)
		}
		guests = append(guests, g)
	}
	return c, guests, ended
}

func (g *guest) join(c *Crowd, size int64) bool { return c.Join(&g.Member, g, size) }

func TestThoseIdleLongestEnd(t *testing.T) {
	tests := map[string]struct {
		before func(c *Crowd, guests []*guest)
		size   int64
		joins  bool
		want   []string
	}{
		"one for one":                    {nil, 10, true, []string{"a"}},
		"two for one that takes more":    {nil, 11, true, []string{"a", "b"}},
		"all for one that takes all":     {nil, 30, true, []string{"a", "b", "c"}},
		"in vain for one too large":      {nil, 31, false, []string{"a", "b", "c"}},
		"not one that was at work":       {func(_ *Crowd, g []*guest) { g[0].Idle(4 * time.Second) }, 10, true, []string{"b"}},
		"not one that is at work":        {func(_ *Crowd, g []*guest) { g[0].Busy() }, 20, true, []string{"b", "c"}},
		"not one with something to do":   {func(_ *Crowd, g []*guest) { g[0].stays = true }, 10, true, []string{"b"}},
		"nobody where all are at work":   {func(_ *Crowd, g []*guest) { g[0].Busy(); g[1].Busy(); g[2].Busy() }, 1, false, nil},
		"nobody where one has left":      {func(c *Crowd, g []*guest) { c.Leave(&g[1].Member) }, 10, true, nil},
		"nobody where one has shrunk":    {func(c *Crowd, g []*guest) { c.Resize(&g[1].Member, 5) }, 5, true, nil},
		"the longest of those that grew": {func(c *Crowd, g []*guest) { c.Resize(&g[0].Member, 20) }, 10, true, []string{"b", "a"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, guests, ended := full(t)
			if tt.before != nil {
				tt.before(c, guests)
			}
			g := &guest{name: "new", ended: ended}
			g.Idle(5 * time.Second)
			if joins := g.join(c, tt.size); joins != tt.joins {
				t.Errorf("joins: %t", joins)
			}
			if diff := cmp.Diff(tt.want, *ended); diff != "" {
				t.Errorf("ended (-want +got):\n%s", diff)
			}
		})
	}
}

// TestTheOrderHoldsWhileMembersComeAndGo compares each choice with what a look at all members finds.
func TestTheOrderHoldsWhileMembersComeAndGo(t *testing.T) {
	const room, steps = 50, 5000
	c, ended := New(room), new([]string)
	present := map[string]*guest{}
	now := time.Duration(0)
	for step := range steps {
		now += time.Millisecond
		name := string(rune('A' + step*7%60))
		if g := present[name]; g != nil {
			switch step % 3 {
			case 0:
				g.Busy()
			case 1:
				g.Idle(now)
			case 2:
				c.Leave(&g.Member)
				delete(present, name)
			}
			continue
		}
		var oldest *guest
		for _, g := range present {
			if g.Since() >= 0 && (oldest == nil || g.Since() < oldest.Since()) {
				oldest = g
			}
		}
		g := &guest{name: name, ended: ended}
		g.Idle(now)
		*ended = nil
		joined := g.join(c, 1)
		switch {
		case len(present) < room:
			if !joined || len(*ended) > 0 {
				t.Fatalf("step %d: joined %t, ended %v with %d members", step, joined, *ended, len(present))
			}
		case oldest == nil:
			if joined {
				t.Fatalf("step %d: joined although all are at work", step)
			}
		case !joined || len(*ended) != 1 || (*ended)[0] != oldest.name:
			t.Fatalf("step %d: joined %t, ended %v, want %s", step, joined, *ended, oldest.name)
		default:
			delete(present, oldest.name)
		}
		if joined {
			present[name] = g
		}
	}
}

func TestThoseThatAreToEndAreWaitedFor(t *testing.T) {
	c, guests, ended := full(t)
	c.Settle() // nobody is to end
	if g := (&guest{name: "new", ended: ended}); !g.join(c, 30) {
		t.Fatal("no room")
	}
	settled := make(chan struct{})
	go func() { c.Settle(); close(settled) }()
	for _, g := range guests {
		select {
		case <-settled:
			t.Errorf("%s was not waited for", g.name)
		default:
		}
		c.Leave(&g.Member)
		c.Leave(&g.Member)
	}
	<-settled
}

func TestAMemberThatHasLeftMayJoinAgain(t *testing.T) {
	c, guests, ended := full(t)
	c.Leave(&guests[0].Member)
	if c.Resize(&guests[0].Member, 1) {
		t.Error("one that has left was resized")
	}
	guests[0].Idle(time.Second)
	if !guests[0].join(c, 10) {
		t.Fatal("no room")
	}
	g := &guest{name: "new", ended: ended}
	if !g.join(c, 10) {
		t.Fatal("no room")
	}
	if diff := cmp.Diff([]string{"a"}, *ended); diff != "" {
		t.Errorf("ended (-want +got):\n%s", diff)
	}
}
