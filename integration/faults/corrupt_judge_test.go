package faults

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"chronik/kafka/kerr"
)

// What may come of an injury.
const (
	startRefused  = "the start refused, the file named"
	notServed     = "a part not served, the file named"
	nothingMeant  = "nothing that means anything was hit"
	tornTail      = "only the last group after a kill, as after a power cut"
	unnoticedBack = "back to an older version of the same run, after a kill"
)

// corruptTrial is an injury and what came of it.
type corruptTrial struct {
	base   *corruptBase
	want   *shown // by the undamaged base, asked in the same way
	older  *shown // by the older version, when the injury is one
	injury injury
	dump   corruptDump
	run    corruptRun
}

type corruptDump struct {
	code int
	text string
}

// judge says which of the outcomes it is, and what is wrong.
func (c *corruptTrial) judge() (outcome string, wrong []string) {
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if c.dump.code != 0 && c.dump.code != 2 {
		add("dump: ended with %d", c.dump.code)
	}
	if c.dump.code == 2 && !c.names(c.dump.text) {
		add("dump: found damage and does not name %s", c.injury.file)
	}
	outcome = nothingMeant
	switch {
	case c.run.refused != nil:
		outcome = startRefused
		if !c.names(c.run.refused.Error()) {
			add("start: the error does not name %s", c.injury.file)
		}
	default:
		o, problems := c.judgeShown()
		outcome, wrong = o, append(wrong, problems...)
	}
	mustFind := outcome == startRefused || outcome == notServed || anyOverlap(c.injury.spans, c.base.means[c.injury.file]) && outcome != unnoticedBack
	if c.injury.way == missingFile || c.injury.way == olderVersion { // what another version says may be true as well
		mustFind = outcome == startRefused || outcome == notServed
	}
	if mustFind && c.dump.code != 2 {
		add("dump: found nothing")
	}
	if c.run.closing != nil {
		add("stop: %v", c.run.closing)
	}
	return outcome, wrong
}

// names says whether text names the file. What is missing, or is an older version of itself, is found by what the files
// beside it say: then the folder will do.
func (c *corruptTrial) names(text string) bool {
	base, dir := filepath.Base(c.injury.file), filepath.Dir(c.injury.file)
	if strings.HasPrefix(dir, "metalog/snapshots/") {
		return strings.Contains(text, filepath.Base(dir))
	}
	if strings.HasPrefix(dir, "partitions/") { // a segment is two files, and where they do not fit either may be wrong
		base = strings.TrimSuffix(base, filepath.Ext(base))
	}
	if strings.Contains(text, base) {
		return true
	}
	switch c.injury.way {
	case missingFile, olderVersion, truncated:
		return slices.ContainsFunc(siblings(c.base, dir), func(name string) bool { return strings.Contains(text, name) })
	}
	return false
}

// siblings is the folder itself, where its name says something, and the files in it.
func siblings(b *corruptBase, dir string) (names []string) {
	if strings.HasPrefix(dir, "partitions/") {
		names = append(names, filepath.Base(dir))
	}
	for name := range b.files {
		if filepath.Dir(name) == dir {
			names = append(names, filepath.Base(name))
		}
	}
	return names
}

func (c *corruptTrial) judgeShown() (outcome string, wrong []string) {
	s := c.run.shown
	outcome = nothingMeant
	if wrong = s.differs(c.want); len(wrong) > 0 && c.wentBack() {
		outcome, wrong = unnoticedBack, s.differs(c.older)
	}
	for name, want := range c.want.partitions {
		is := s.partitions[name]
		if is == nil {
			wrong = append(wrong, name+": lost")
			continue
		}
		o, problems := c.judgePartition(name, want, is)
		wrong = append(wrong, problems...)
		if o != nothingMeant {
			outcome = o
		}
	}
	return outcome, wrong
}

// wentBack says whether the file is an older version out of the run that was killed: nothing on the disk knows better.
func (c *corruptTrial) wentBack() bool {
	return c.injury.way == olderVersion && c.base.killed && c.injury.older.same
}

// before is the partition in the older version that the file may be back to: it may not know yet that records were deleted. Else nil.
func (c *corruptTrial) before(name string) *shownPartition {
	if !c.wentBack() {
		return nil
	}
	return c.older.partitions[name]
}

func (c *corruptTrial) judgePartition(name string, want, is *shownPartition) (outcome string, wrong []string) {
	add := func(format string, args ...any) { wrong = append(wrong, name+": "+fmt.Sprintf(format, args...)) }
	outcome = nothingMeant
	before := c.before(name)
	switch {
	case is.start == want.start:
	case before != nil && is.start == before.start:
		outcome = unnoticedBack
	default:
		add("it starts at %d, it started at %d", is.start, want.start)
	}
	for _, b := range is.batches {
		was := want.find(b.BaseOffset())
		if was == nil && before != nil && b.BaseOffset() < want.start {
			was = before.find(b.BaseOffset())
		}
		if !bytes.Equal(was, b) {
			add("wrong bytes: served at offset %d", b.BaseOffset())
		}
	}
	for _, f := range is.failures {
		outcome = notServed
		if code := kerr.Of(f.err); code != kerr.CorruptMessage && code != kerr.KafkaStorageError {
			add("offset %d: fails with %v", f.from, f.err)
		}
	}
	if outcome == notServed && !c.names(c.run.log) {
		add("no line of the log names %s", c.injury.file)
	}
	from := want.end // of what is missing at the end
	for _, b := range want.batches {
		if is.find(b.BaseOffset()) == nil && !is.failed(max(b.BaseOffset(), is.start), b.NextOffset()) {
			from = min(from, b.BaseOffset())
			if b.BaseOffset() < is.end {
				add("lost: offsets %d to %d are not there, and no error", b.BaseOffset(), b.LastOffset())
			}
		}
	}
	if is.end == want.end && is.stable == want.stable {
		return outcome, wrong
	}
	shorter := c.judgeEnd(name, want, is, from)
	if shorter == "" {
		add("lost: it ends at %d (last stable offset %d), it ended at %d (%d)", is.end, is.stable, want.end, want.stable)
		return outcome, wrong
	}
	return shorter, wrong
}

// judgeEnd says why a partition may end early, "" for never: the injury hit the last group of a log that was not closed,
// or is a write-ahead log's file as it was before.
func (c *corruptTrial) judgeEnd(name string, want, is *shownPartition, from int64) string {
	first, inLast := c.base.lastGroup[name]
	switch hit := anyOverlap(c.injury.spans, c.base.last[c.injury.file]); {
	case is.end > want.end || is.end != from || is.stable != is.end:
		return ""
	case hit && inLast && from >= first:
		return tornTail
	case c.wentBack() && strings.HasPrefix(c.injury.file, "wal/") && is.end >= c.older.partitions[name].end:
		return unnoticedBack
	}
	return ""
}

// failed says whether all of these offsets are among what was not served.
func (p *shownPartition) failed(from, to int64) bool {
	return slices.ContainsFunc(p.failures, func(f readFailure) bool { return f.from <= from && to <= f.to })
}
