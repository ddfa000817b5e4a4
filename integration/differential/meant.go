package main

import (
	"fmt"
	"regexp"
	"sync"
)

// meant lists the differences that Chronik wants, with the reason: a difference whose scenario and label match what, and
// whose version, path and values match where, is one. Whoever mends Chronik deletes a line here.
var meant = []struct{ what, where, why string }{
	{`^frames: (metadata|produce) by version|^frames: key`, ``, "UNSUPPORTED_VERSION with the right correlation id is more help than a closed connection"},
	{`^frames: a body with more after it`, ``, "a body with bytes after its end is not what its client meant to say"},
	{`^frames: null topics`, ``, "null is no topics in version 0, too"},
	{`bad key$`, `ErrorMessage`, "for people; clients look at the code alone"},
	{` (no partitions|no topics)$`, `Topics`, "a topic that was asked about is in the answer, with the partitions asked about: none"},
	{`(a|the) (partition|topic|same) twice|twice in a request|by id twice|^delete offsets`, `items|Partition|ErrorCode: chronik 42`, "what is asked twice is answered twice, or refused as such"},
	{`a group without offsets`, ``, "a group that has neither members nor offsets is gone at once"},
	{`join group: JoinGroup a protocol twice`, ``, "Kafka never answers"},
	{`static without a name`, ``, "an empty instance id is none: members without one must not fence each other"},

	{``, `\[min.insync.replicas\]`, "Kafka sets it for the cluster by itself (KIP-966)"},
	{``, `\]\.Name: chronik -`, "only configs that do something, or that clients look for, are listed"},
	{`^(broker configs|describe configs: DescribeConfigs (a|the default) broker)`, `Configs`, "a broker says of itself what it is"},
	{`a group without configs`, `Configs`, "configs that groups have since Kafka 4.4"},
	{`client metrics without`, `Configs`, "there is nothing that client metrics could be sent to"},
	{`unknown config|^broker configs.*(unknown|a topic's name)`, ``, "a broker config that nothing reads is a mistake in writing"},
	{`^broker configs: configs after`, `no.such|segment.bytes=null`, "a broker config that nothing reads is a mistake in writing"},
	{`bad value`, `chronik 40 INVALID_CONFIG`, "the code that topics get for the same"},
	{`unknown operation`, ``, "Kafka's code is for its own failures"},
	{`loggers`, ``, "the levels of loggers are not served"},
	{`alter configs: AlterConfigs topic twice`, ``, "Kafka never answers"},
	{`^describe configs: .*`, `IsDefault: chronik true, kafka false`, "Kafka 3.9 calls nothing a default in version 0"},
	{``, `message.timestamp.after.max.ms`, "the default since Kafka 4.0 (KIP-1030)"},
	{`create topics: CreateTopics configs`, `retention.ms|preallocate`, "values are kept as they are understood"},
	{`create topics: CreateTopics configs`, `Topics\[21\]`, "message.format.version went with Kafka 4.0"},
	{`names that collide`, ``, "names that collide do so within a request, too"},

	{`^fetch`, `AbortedTransactions: chronik null or empty, kafka 0 items`, "an error has no list, be it null or empty"},
	{`isolation level`, ``, "Kafka's code is for its own failures; what is not read_committed is read_uncommitted"},
	{`max bytes -1|partition bytes -1`, ``, "a negative limit is none left, and the first batch comes in any case"},
	{`a batch and a half`, `RecordBatches`, "only whole batches are sent"},
	{`^fetch: .*partition bytes [01]$`, `RecordBatches`, "the first batch comes in any case, in versions before KIP-74 too"},
	{`^fetch:`, `^v[0-3] .*RecordBatches`, "Kafka 3.9 fills up what it converted with a cut message, and its codecs write other bytes"},
	{`as a stranger replica`, ``, "nobody but this cluster's brokers may fetch as one"},
	{`session without partitions`, ``, "a session of nothing takes a place and does nothing"},
	{`OffsetForLeaderEpoch .*epoch -2`, ``, "there is no epoch -2"},
	{`^list offsets`, `OldStyleOffsets`, "Kafka's version 0 goes by the times of files, here it is by those of records"},
	{`^list offsets.*twice`, ``, "what is asked twice is refused as such, in version 0 too"},

	{`a transactional id that was never begun`, ``, "transactions are not served"},
	{`^produce bad batches: Produce null records`, ``, "Kafka never answers"},
	{`^produce`, `ErrorMessage|LogStartOffset: chronik -1`, "for people; clients look at the code alone"},
	{`^(produce|idempotence)`, `LogStartOffset: chronik -1`, "an error has no log start; clients look at the code alone"},
	{`^idempotence`, `ErrorMessage`, "for people; clients look at the code alone"},
	{`^idempotence|producer without epoch`, `LogAppendTime`, "a retry gets the append time of what it repeats, and without one -1"},
	{`a batch and garbage`, ``, "nothing is kept that is not a batch"},
	{`count too low|said to be gzip|record with more after it|base offset 7`, ``, "the header and the CRC are checked, not each record, and a client's base offset means nothing"},
	{`producer without epoch`, ``, "a producer has an epoch"},
	{`codec [57]`, ``, "Kafka's code is for its own failures"},
	{`transactional without a producer`, ``, "the batch itself is refused"},
	{`timestamp (far|in an hour)|too (new|old)`, `ErrorRecords`, "the records to blame are not named one by one (KIP-467)"},
	{`compacted .*without a key`, `ErrorRecords`, "the records to blame are not named one by one (KIP-467)"},
	{`timestamp -2`, `RecordBatches`, "a greatest timestamp is left as it was sent when it contradicts nothing"},
	{`timestamp (far|in an hour)`, `chronik 32|chronik 0`, "the default since Kafka 4.0 (KIP-1030)"},
	{`larger than a segment`, ``, "a batch larger than a segment gets a segment of its own"},
	{`min isr 2|min-isr-2`, ``, "min.insync.replicas holds even if there are fewer replicas"},
	{`to-zstd|to zstd`, `RecordBatches`, "codecs write other bytes"},
	{`^produce old formats: .*versions|^produce old formats: Produce`, `kafka connection closed`, "Kafka 4 has dropped them"},
	{`^produce old formats: Produce zstd`, ``, "zstd begins with version 7"},
	{`^produce old formats: Fetch`, ``, "follows from the above"},

	{`^commit offsets`, `chronik 69 GROUP_ID_NOT_FOUND, kafka 22`, "Kafka 4 says so, 3.9 did not"},
	{`DeleteTopics by id and by name`, `TopicID`, "the id that was not asked for adds nothing"},
	{`OffsetCommit|OffsetFetch`, `kafka 35`, "Kafka 3.9 serves version 0 only with ZooKeeper"},
	{`DescribeGroups`, `AuthorizedOperations: chronik 3400, kafka 328`, "configs of groups came with Kafka 4.0"},
	{`^(commit|fetch) offsets.*after all`, ``, "follows from the above"},
	{`Metadata created`, ``, "a topic that is made by asking for it is there with the answer"},
	{`^share|^groups of another kind`, `ErrorMessage`, "for people; clients look at the code alone"},
	{`^share`, `CurrentLeader`, "without an error that says so, there is no other leader to tell"},
	{`^share sessions: .*unknown topic`, `kafka -1|Topics`, "Kafka's code is for its own failures; a topic that is not there is an error of its partition"},
	{`^share sessions: .*a group that is not there|ShareFetch a classic group`, `kafka -1`, "Kafka's code is for its own failures; a group without states gives nothing"},
	{`partition that was not fetched`, ``, "a record of a partition that the group has begun with is not acquired, whoever has fetched there"},
	{`^share acknowledgements: .*overlapping`, ``, "what contradicts itself is refused before anybody looks at the records"},
	{`^share acknowledgements: .*negative`, ``, "there is no record before 0"},
	{`^share offsets: Alter.*negative offset`, ``, "there is no record before 0"},
	{`^share offsets: Describe.*(unknown|negative) partition`, ``, "Kafka never answers, or with its code for its own failures"},
	{`^share offsets: Describe.* all`, `Lag: chronik 0`, "a group that is beyond the end has nothing left to read"},
	{`^share offsets: Alter.*topic twice`, `Topics`, "what is asked twice is answered twice"},
	{`^share offsets: Delete.*topic (twice|again)`, `Topics`, "what is asked twice is answered twice, with the topic's id"},
	{`ShareGroupDescribe a share group`, `Epoch: chronik`, "how many steps a group takes to begin with its topics is its own affair"},

	{`Metadata by`, ``, "ids are looked up in versions 10 and 11, too, and by every one of them"},
	{`zero id without a name|unknown and odd names`, `kafka -1|UNKNOWN_SERVER_ERROR|AuthorizedOperations|Topic`, "Kafka's code is for its own failures"},
}

type intent struct {
	what, where *regexp.Regexp
	why         string
	met         int // how many differences it is the reason of
}

var intents = sync.OnceValue(func() (all []*intent) {
	for _, m := range meant {
		all = append(all, &intent{what: regexp.MustCompile(m.what), where: regexp.MustCompile(m.where), why: m.why})
	}
	return all
})

// idle are the intents that no difference of a run had: Chronik was mended, or this Kafka is another one.
func idle() (all []string) {
	for i, m := range meant {
		if intents()[i].met == 0 {
			all = append(all, fmt.Sprintf("%s | %s: %s", m.what, m.where, m.why))
		}
	}
	return all
}

// why is the reason for a difference, empty if there is none.
func why(d *difference, version string) string {
	what := d.scenario + ": " + d.label
	where := "v" + version + " " + d.path + ": chronik " + d.ours + ", kafka " + d.theirs
	for _, m := range intents() {
		if m.what.MatchString(what) && m.where.MatchString(where) {
			m.met++
			return m.why
		}
	}
	return ""
}
