package main

import (
	"errors"
	"fmt"
	"time"

	"chronik/wal/vfs"
)

// A plan is what is going to be measured here, with as many nodes.
type plan struct {
	nodes    int
	loads    []contest
	measures []measure
}

func (b *bench) plans() (all []plan) {
	for _, nodes := range []int{1, fleetSize} {
		all = append(all, plan{nodes, b.picked(nodes), b.pickedMeasures(nodes)})
	}
	return all
}

// aroundRun is about what a run takes beside its time: a client starts, and a topic is made, begun in each partition, and deleted.
// A client that is a JVM takes longer.
const (
	aroundRun = 350 * time.Millisecond
	aroundJVM = 3500 * time.Millisecond
	manyMade  = 12 * time.Second // Kafka makes a topic of a thousand partitions, and begins each
)

// takes is about how long all that is picked takes.
func (b *bench) takes(plans []plan) (sum time.Duration) {
	for _, p := range plans {
		for i, c := range p.loads {
			sum += b.loadTakes(i, c)
		}
		for _, m := range p.measures {
			sum += b.measureTakes(m)
		}
	}
	return sum
}

func (b *bench) loadTakes(place int, c contest) time.Duration {
	run, once := b.Duration, b.warming().Duration
	if c.readsAll() {
		run = time.Duration(b.Fill) * 3 * time.Millisecond / 2 // at two MiB in three ms
		once = run
	}
	around, runs := c.warmup+aroundRun, 2*b.Rounds
	if c.needsJars {
		around += aroundJVM
	}
	others := 1 // beside Kafka
	if c.onNull() {
		others++
		runs += b.roundsOf(remote{name: nullName})
	}
	run, once = run+around, once+around
	sum := time.Duration(runs) * run
	// To be warm takes one run and about the time that bounds it: latencies seldom stand still within a tenth.
	bound := b.warmth(place, c)
	sum += once + bound + time.Duration(others)*(once+min(bound, mostNative))
	switch {
	case c.reads:
		sum += time.Duration(1+others) * time.Duration(b.Fill) * time.Millisecond // a MiB in each
	case !c.fresh:
		sum += manyMade
	}
	if b.Profiles != "" && c.hasTarget() {
		sum += time.Duration(b.profileSeconds()) * time.Second
	}
	if c.timesWrites() {
		sum += run
	}
	return sum
}

func (b *bench) measureTakes(m measure) time.Duration {
	sum := time.Duration(b.Rounds) * m.round
	if m.name == restartMeasure {
		sum += 2 * time.Duration(b.RestartFill) * time.Second / 400 // MiB a second, on a disk that is not slow
	}
	return sum
}

// A course is how far a run of hours has come.
type course struct {
	began       time.Time
	all, begun  int           // loads and measures
	takes, past time.Duration // estimated, of all and of those that are over
	now         time.Duration // estimated, of the one that runs
}

func (b *bench) newCourse(plans []plan) *course {
	c := &course{began: time.Now(), takes: b.takes(plans)}
	for _, p := range plans {
		c.all += len(p.loads) + len(p.measures)
	}
	return c
}

// next says which load or measure begins, and how long the rest takes if it is as much off the estimate as what is over was.
func (c *course) next(takes time.Duration) string {
	c.begun++
	c.past += c.now
	c.now = takes
	left := c.takes - c.past
	if c.past > 0 {
		left = time.Duration(float64(left) * float64(time.Since(c.began)) / float64(c.past))
	}
	return fmt.Sprintf("load %d of %d, about %d min left", c.begun, c.all, max(1, int(left.Round(time.Minute).Minutes())))
}

const (
	fastest = 2 << 30  // bytes that a side writes in a second, at most
	spare   = 16 << 30 // for write-ahead logs, and for what is deleted but still there
)

// room is how many bytes of disk are needed at most: by the topics of two sides while loads are run, by those that are read, or by
// the one node that is restarted. The replicas of three nodes share the disk and its speed.
func (b *bench) room(plans []plan) (most int64) {
	run := int64(fastest * (b.Duration + time.Second).Seconds())
	for _, p := range plans {
		for _, c := range p.loads {
			topic := run
			switch {
			case c.reads:
				topic = int64(b.Fill) << 20
			case !c.fresh:
				topic += mostKept
			}
			if len(c.beside) > 0 {
				topic += int64(b.Fill) << 20 // it may read a cold one
			}
			most = max(most, 2*topic)
		}
		for _, m := range p.measures {
			if m.name == restartMeasure {
				most = max(most, int64(b.RestartFill)<<20)
			}
		}
	}
	return most + spare
}

// prepareDisk says what the run will take, and refuses one for which the disk is too small or none.
func (b *bench) prepareDisk(dir string, plans []plan) error {
	need := b.room(plans)
	_, free, err := vfs.SpaceOf(dir)
	if err != nil {
		return err
	}
	const gib = 1 << 30
	if fileSystem(dir) == memoryFileSystem {
		return errors.New("the brokers' data would be in memory, not on a disk: set TMPDIR to a folder on one")
	}
	if free < need {
		return fmt.Errorf("the brokers' data may take %d GiB at a time, and %.1f GiB are free in %s: free some, set TMPDIR to a folder on a larger disk, "+
			"or measure less with -loads, -duration, -fill and -restart-fill", need/gib+1, float64(free)/gib, dir)
	}
	b.course = b.newCourse(plans)
	fmt.Fprintf(b.progress, "%d loads and measures: about %s; at most %d GiB at a time in %s\n",
		b.course.all, max(time.Minute, b.course.takes.Round(time.Minute)), need/gib+1, dir)
	return nil
}
