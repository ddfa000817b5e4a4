package group

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// assignment is what a table says of a group before: members as "id@process had[ +offsets][ tag=value]".
type assignment struct {
	name     string
	members  []string
	sizes    map[string]int32 // tasks of subtopologies; those of capitals have state
	standbys int32
	tags     []string
	want     []string // of each member, in their order
}

func TestStreamsAssignor(t *testing.T) {
	for _, c := range []assignment{
		{"nothing to do", []string{"a@p"}, nil, 0, nil, []string{""}},
		{"evenly", []string{"a@p", "b@q", "c@r"}, map[string]int32{"s": 4}, 0, nil, []string{"s:0,3", "s:1", "s:2"}},
		{"by process", []string{"a@p", "b@p", "c@q"}, map[string]int32{"S": 6}, 0, nil, []string{"S:0,3", "S:2,5", "S:1,4"}},
		{"sticky", []string{"a@p S:2,3", "b@q S:0,1"}, map[string]int32{"S": 4}, 0, nil, []string{"S:2,3", "S:0,1"}},
		{"a new member", []string{"a@p S:0,1,2,3", "b@q"}, map[string]int32{"S": 4}, 0, nil, []string{"S:0,1", "S:2,3"}},
		{"a member less", []string{"a@p S:0,1", "b@q S:2,3"}, map[string]int32{"S": 6}, 0, nil, []string{"S:0,1,4", "S:2,3,5"}},
		{"with state evenly by itself", []string{"a@p", "b@q"}, map[string]int32{"S": 2, "t": 2}, 0, nil, []string{"S:0;t:0", "S:1;t:1"}},
		{"without state where there is less", []string{"a@p S:0", "b@q"}, map[string]int32{"S": 1, "t": 1}, 0, nil, []string{"S:0", "t:0"}},
		{"who had a copy", []string{"a@p S:0", "b@q /S:1"}, map[string]int32{"S": 2}, 0, nil, []string{"S:0", "S:1"}},
		{"the copy that is farther", []string{"a@p /S:0 +S:0=5", "b@q /S:0 +S:0=9"}, map[string]int32{"S": 1}, 0, nil, []string{"", "S:0"}},
		{"state on disk", []string{"a@p", "b@q +S:0=1"}, map[string]int32{"S": 1}, 0, nil, []string{"", "S:0"}},
		{"a copy before what is on disk", []string{"a@p +S:0=9", "b@q /S:0"}, map[string]int32{"S": 1}, 0, nil, []string{"", "S:0"}},
		{"copies elsewhere", []string{"a@p", "b@q"}, map[string]int32{"S": 2}, 1, nil, []string{"S:0/S:1", "S:1/S:0"}},
		{"no copies without state", []string{"a@p", "b@q"}, map[string]int32{"s": 2}, 1, nil, []string{"s:0", "s:1"}},
		{"no copy in the same process", []string{"a@p", "b@p"}, map[string]int32{"S": 2}, 1, nil, []string{"S:0", "S:1"}},
		{"as many copies as processes", []string{"a@p", "b@q"}, map[string]int32{"S": 1}, 2, nil, []string{"S:0", "/S:0"}},
		{"who was active has the copy", []string{"a@p S:0,1", "b@q", "c@r"}, map[string]int32{"S": 2}, 1, nil, []string{"S:0/S:1", "S:1", "/S:0"}},
		{"copies stay", []string{"a@p S:0", "b@q", "c@r /S:0"}, map[string]int32{"S": 1}, 1, nil, []string{"S:0", "", "/S:0"}},
		{"copies where tags differ", []string{"a@p zone=1", "b@q /S:0 zone=1", "c@r zone=2"}, map[string]int32{"S": 1}, 1, []string{"zone"}, []string{"", "S:0", "/S:0"}},
		{"more tags that differ go first", []string{"a@p S:0 zone=1 rack=1", "b@q zone=2 rack=1", "c@r zone=2 rack=2"}, map[string]int32{"S": 1}, 1, []string{"zone", "rack"}, []string{"S:0", "", "/S:0"}},
		{"where no tag differs, anywhere", []string{"a@p S:0 zone=1", "b@q zone=1"}, map[string]int32{"S": 1}, 1, []string{"zone"}, []string{"S:0", "/S:0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			targets := c.group(t).distribute()
			for _, m := range c.members {
				got = append(got, showRoles(targets[m[:1]]))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%q, not %q", got, c.want)
			}
		})
	}
}

// group is a streams group as the table has it.
func (c assignment) group(t rapid.TB) *streamsGroup {
	w := newWorld(t)
	w.groupConfig = streamsConfig()
	w.groupConfig.Streams.NumStandbyReplicas, w.groupConfig.Streams.RackAwareTags = c.standbys, c.tags
	g := newStreamsGroup(w.m, nil, w.now).(*streamsGroup)
	g.topology = &topology{}
	for id := range c.sizes {
		s := subtopology{id: id}
		if strings.ToUpper(id) == id {
			s.changelogs = []internalTopic{{name: "log-" + id}}
		}
		g.topology.subtopologies = append(g.topology.subtopologies, s)
	}
	slices.SortFunc(g.topology.subtopologies, func(a, b subtopology) int { return strings.Compare(a.id, b.id) })
	g.plan = &configured{of: g.topology, tasks: c.sizes}
	for _, m := range c.members {
		g.enlist(parseMember(t, m))
	}
	return g
}

func parseMember(t rapid.TB, text string) *streamsMember {
	words := strings.Fields(text)
	id, process, _ := strings.Cut(words[0], "@")
	mem := newStreamsMember(id)
	mem.process = process
	for _, w := range words[1:] {
		name, v, isPair := strings.Cut(w, "=")
		switch {
		case strings.HasPrefix(w, "+"):
			var n int64
			if _, err := fmt.Sscan(v, &n); err != nil {
				t.Fatal(err)
			}
			parseTasks(name[1:]).each(func(s string, p int32) { mem.offsets = map[task]int64{{s, p}: n} })
		case isPair:
			mem.tags = append(mem.tags, pair{name, v})
		default:
			actives, copies, _ := strings.Cut(w, "/")
			mem.target = roles{parseTasks(actives), parseTasks(copies)}
		}
	}
	return mem
}

// TestStreamsAssignorRandom has any members with any former tasks. Every task is active once, copies are in other processes and
// as many as can be, and what is assigned twice is assigned the same.
func TestStreamsAssignorRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := assignment{sizes: map[string]int32{}, standbys: int32(rapid.IntRange(0, 2).Draw(t, "standbys"))}
		for _, s := range []string{"A", "B", "c"} {
			c.sizes[s] = int32(rapid.IntRange(0, 6).Draw(t, "size"))
		}
		for i := range rapid.IntRange(1, 6).Draw(t, "members") {
			c.members = append(c.members, fmt.Sprintf("%c@%d", 'a'+i, rapid.IntRange(0, 3).Draw(t, "process")))
		}
		g := c.group(t)
		for _, id := range []string{"A", "B", "c"} {
			for n := range c.sizes[id] { // as a valid assignment had them
				mem := g.sorted()[rapid.IntRange(0, len(g.members)-1).Draw(t, "was active")]
				mem.target[active] = mem.target[active].plus(tasks{id: {n}})
			}
		}
		first := g.distribute()
		g.checkTargets(t, c, first)
		for id, again := range g.distribute() {
			if !again.equal(first[id]) {
				t.Fatalf("%s is to have %s, and then %s", id, showRoles(first[id]), showRoles(again))
			}
		}
	})
}

func (g *streamsGroup) checkTargets(t *rapid.T, c assignment, targets map[string]roles) {
	has := map[string]map[task]bool{}
	actives, copies := map[task]int{}, map[task]int{}
	for id, r := range targets {
		p := g.members[id].process
		if has[p] == nil {
			has[p] = map[task]bool{}
		}
		for role, list := range r {
			list.each(func(s string, n int32) {
				at := task{s, n}
				if has[p][at] {
					t.Fatalf("process %s has %v twice", p, at)
				}
				has[p][at] = true
				if role == active {
					actives[at]++
				} else {
					copies[at]++
				}
			})
		}
	}
	for id, size := range c.sizes {
		for n := range size {
			want := 0
			if strings.ToUpper(id) == id {
				want = min(int(c.standbys), len(has)-1)
			}
			if at := (task{id, n}); actives[at] != 1 || copies[at] != want {
				t.Fatalf("%v is active %d times and copied %d times, of %d", at, actives[at], copies[at], want)
			}
		}
	}
}
