package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"golang.org/x/sys/unix"
)

// besideKafka is the table of versus. Both sides run at once and only one of them is loaded: two started in turn would be
// two cold ones each time, and a JVM takes minutes to be warm; and runs that follow each other within seconds meet the same
// machine, which ones minutes apart do not. What an idle side takes of the machine is said.
var besideKafka = table{"Beside Apache Kafka",
	"Written by `make bench-vs-kafka`, or by `make bench-vs-kafka-quick`, which does a part of it: Chronik beside Apache Kafka\n" +
		"4.3.0, both on this machine, with clients that are not Chronik's. Both run all the time, warm; one is loaded, then the\n" +
		"other, in turn. Medians with the least and the greatest of the rounds; a ratio is the median of the ratios of each\n" +
		"pair of runs. CPU and memory are the brokers'. **Chronik always syncs to disk before it acknowledges**; the column\n" +
		"*promised by Kafka* says whether Kafka did. Each run has a new topic that keeps everything, and no run leaves another one\n" +
		"anything to write; runs over 1,000 partitions share a topic of some GiB. What is in no memory the system was made to\n" +
		"forget before the run: ten times the memory's size would fit on few disks and come to the same. Transactions are not in\n" +
		"the table, because Chronik does not serve them yet.\n\n" +
		"The *null sink* is Chronik built to write nothing to disk: what it reaches in turn with the others, with the same client, no\n" +
		"disk would let Chronik pass on this machine (of three runs, of two in the quick form). It runs the loads that have a target, but for those by which more is read than\n" +
		"the newest records, which are all that it keeps: cold reads, and followers that fall behind. A row that misses its target\n" +
		"says what bounds it: whether the null sink would meet it, who took the machine's CPU time, how much went to disk, and of a\n" +
		"latency what a synced write by itself takes while the null sink runs the load, one under way, in a file whose blocks are there.\n" +
		"`PROFILES.md` shows what Chronik did then.\n",
	"promised by Kafka | Kafka | Chronik, synced | Chronik / Kafka | null sink | what bounds a miss"}

const (
	notSynced = "not synced"
	synced    = "synced"
)

// errNoLoad keeps an expression that matches nothing from writing an empty table over the last one.
var errNoLoad = errors.New("-loads: no load here is called so; integration/bench/KAFKA.md and contests.go have their names")

// versus measures one node beside one of Apache Kafka's, then three beside three.
func (b *bench) versus(dir string) (err error) {
	b.result.promised = notSynced
	if b.Bootstrap != "" {
		return b.elsewhere()
	}
	b.result.note("Kafka's settings: %s; JVM: %s, heap %s, as in its start script", strings.Join(kafkaSettings(1), ", "), kafkaJVM, b.KafkaHeap)
	plans := b.plans()
	if !slices.ContainsFunc(plans, func(p plan) bool { return len(p.loads)+len(p.measures) > 0 }) {
		return errNoLoad
	}
	if err := b.prepareDisk(dir, plans); err != nil {
		return err
	}
	if b.result.disk, err = diskSpeed(dir); err != nil {
		return err
	}
	b.result.note("the disk takes %.0f MB/s of synced writes of 1 MiB, of which two are under way", b.result.disk)
	for _, plan := range plans {
		err = errors.Join(err, b.versusNodes(filepath.Join(dir, fmt.Sprint("nodes", plan.nodes)), plan))
	}
	return err
}

func (b *bench) versusNodes(dir string, plan plan) (err error) {
	loads, measures := plan.loads, plan.measures
	if len(loads)+len(measures) == 0 || b.ctx.Err() != nil {
		return b.ctx.Err()
	}
	p, err := b.sides(dir, plan)
	defer p.kill()
	if err != nil {
		return err
	}
	if err := b.idlePair(p); err != nil {
		return err
	}
	err = b.allLoads(p, loads)
	for _, m := range measures {
		if b.ctx.Err() != nil {
			break
		}
		b.next(m.name, b.measureTakes(m))
		if b.late(m.name) {
			continue
		}
		err = errors.Join(err, b.failed(m.name, m.run(b, p)))
	}
	return errors.Join(err, b.ctx.Err())
}

// next says what begins, and where the run is.
func (b *bench) next(what string, takes time.Duration) {
	fmt.Fprintf(b.progress, "%s: %s\n", b.course.next(takes), what)
}

// late says whether the time is up, in which case what it is asked for is left out.
func (b *bench) late(what string) bool {
	is := b.Within > 0 && time.Since(b.result.began) > b.Within
	if is {
		b.result.note("left out, because %s were over: %s", b.Within, what)
	}
	return is
}

// failed keeps a run of hours from ending at one load that failed.
func (b *bench) failed(what string, err error) error {
	if err == nil || b.ctx.Err() != nil {
		return err
	}
	b.result.note("**failed**: %s: %v", what, err)
	fmt.Fprintf(b.progress, "%s failed: %v\n", what, err)
	return fmt.Errorf("%s: %w", what, err)
}

// elsewhere measures brokers that others have started, with the loads for as many nodes as there are.
func (b *bench) elsewhere() error {
	p := &pair{kafka: remote{kafkaName, b.BootstrapKafka}, ours: remote{ourName, b.Bootstrap}, nodes: 1}
	least := fleetSize
	for _, s := range []subject{p.kafka, p.ours} {
		err := admin(s, func(a *kadm.Client) error {
			brokers, err := a.ListBrokers(b.ctx)
			least = min(least, len(brokers))
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", s.label(), err)
		}
	}
	if least == fleetSize {
		p.nodes = fleetSize
	}
	b.result.note("the brokers are elsewhere: their CPU and memory are unknown, and what has to start or to kill them is left out")
	loads := b.picked(p.nodes)
	if len(loads) == 0 {
		return errNoLoad
	}
	b.course = b.newCourse([]plan{{nodes: p.nodes, loads: loads}})
	return b.contests(p, loads)
}

// allLoads also says what memory they have taken, and ends the null sink, which nothing else needs.
func (b *bench) allLoads(p *pair, loads []contest) error {
	err := errors.Join(b.contests(p, loads), b.peakMemory(p))
	for _, f := range p.fleets {
		if f.name == nullName {
			f.kill()
		}
	}
	return err
}

// contests runs the loads one after the other.
func (b *bench) contests(p *pair, loads []contest) (err error) {
	for i, c := range loads {
		if b.ctx.Err() != nil {
			return b.ctx.Err()
		}
		b.next(c.name, b.loadTakes(i, c))
		if b.late(c.name) {
			continue
		}
		err = errors.Join(err, b.failed(c.name, b.contest(p, c, b.warmth(i, c))))
	}
	return err
}

func (b *bench) contest(p *pair, c contest, warm time.Duration) (err error) {
	l := c.load
	if c.share > 0 {
		if l, err = b.atShare(p, c); err != nil {
			return err
		}
	}
	subjects := []subject{p.kafka, p.ours}
	if p.null != nil && c.onNull() {
		subjects = append(subjects, p.null)
	}
	defer func() {
		for _, s := range subjects {
			err = errors.Join(err, b.deleteTopic(s, coldTopic), b.leave(s))
		}
	}()
	var warmed []string
	for _, s := range subjects {
		if c.reads {
			if err := b.fill(s, l.topicOf(s), topic); err != nil {
				return err
			}
		}
		how, err := b.warm(l, s, warm)
		if err != nil {
			return err
		}
		warmed = append(warmed, how...)
	}
	b.result.warmed(l, warmed)
	got, err := b.turns(l, subjects...)
	if err != nil {
		return err
	}
	sync, err := b.syncs(p, c, l)
	if err != nil {
		return err
	}
	b.result.add(l, got[p.kafka], got[p.ours], got[p.null], sync)
	if err := p.peaked(l); err != nil {
		return err
	}
	if l.name == maximumLoad {
		p.kafkaRecords = median(each(got[p.kafka], func(m measured) float64 { return m.mbps })) * 1e6 / 1024
	}
	return b.profile(p, l)
}

// roundsOf is in how many rounds a side takes part. The null sink is no side: it writes nothing, so that its runs differ less.
func (b *bench) roundsOf(s subject) int {
	switch {
	case s.label() != nullName:
		return b.Rounds
	case b.Quick:
		return min(2, b.Rounds)
	}
	return min(3, b.Rounds)
}

// atShare is a load at a share of the rate that Kafka takes at most, which is measured when it is not known yet.
func (b *bench) atShare(p *pair, c contest) (load, error) {
	l := c.load
	if p.kafkaRecords == 0 {
		m, err := b.saying("Kafka's maximum: ").turn(closedLoop(12, 1024, "none", "all", p.nodes), p.kafka)
		if err != nil {
			return l, err
		}
		p.kafkaRecords = m.mbps * 1e6 / 1024
	}
	rate := int(c.share * p.kafkaRecords)
	l.name += fmt.Sprintf(" (%d,000 records/s)", rate/1000)
	l.args += fmt.Sprintf(" --rate %d", rate)
	return l, nil
}

// settle has the system write what it holds for the last run, so that the next one of the other side does not wait for it.
func (b *bench) settle() error {
	if b.dataDir == "" {
		return nil
	}
	return withFile(b.dataDir, unix.Syncfs)
}

// pickedMeasures are those that need fleets of their own, or change them.
func (b *bench) pickedMeasures(nodes int) (all []measure) {
	for _, m := range measures {
		if m.nodes == nodes && b.picks(m.name, m.quick, false) {
			all = append(all, m)
		}
	}
	return all
}

func (b *bench) picked(nodes int) (all []contest) {
	for _, c := range contests {
		if c.nodes == nodes && b.picks(c.name, c.quick, c.whole) && !(c.needsPython && b.Python == "") && !(c.needsJars && b.Kafka == "") {
			all = append(all, c)
		}
	}
	return all
}

// picks says whether what is so called is to be measured: with -loads what matches, without it what quick, or the default,
// has. The word all means the whole product too.
func (b *bench) picks(name string, quick, whole bool) bool {
	switch {
	case b.Loads.String() == everyLoad:
		return true
	case b.LoadsGiven:
		return b.Loads.MatchString(name)
	case b.Quick:
		return quick
	}
	return !whole
}
