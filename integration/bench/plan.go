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
	aroundRun = 400 * time.Millisecond
	aroundJVM = 3500 * time.Millisecond
)

// takes is about how long all that is picked takes.
func (b *bench) takes(plans []plan) (sum time.Duration) {
	for _, p := range plans {
		for i, c := range p.loads {
			run, sides := b.Duration+c.warmup+aroundRun, 2*b.Rounds
			if c.needsJars {
				run += aroundJVM
			}
			if c.onNull() {
				sides += b.roundsOf(remote{name: nullName})
			}
			sum += time.Duration(sides)*run + max(2*run, b.warmth(i, c)*3/2)
			if b.Profiles != "" && c.hasTarget() {
				sum += time.Duration(b.profileSeconds()) * time.Second
			}
		}
		for _, m := range p.measures {
			sum += time.Duration(b.Rounds) * m.round
			if m.name == restartMeasure {
				sum += 2 * time.Duration(b.RestartFill) * time.Second / 400 // MiB a second, on a disk that is not slow
			}
		}
	}
	return sum
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
	loads := 0
	for _, p := range plans {
		loads += len(p.loads) + len(p.measures)
	}
	fmt.Fprintf(b.progress, "%d loads and measures: about %s; at most %d GiB at a time in %s\n", loads, max(time.Minute, b.takes(plans).Round(time.Minute)), need/gib+1, dir)
	return nil
}
