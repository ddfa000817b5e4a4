// Package mutant names deliberate faults of the product, to prove that the tests would catch them. In an ordinary build
// none of them exists: On is the constant false and what hangs on it is not compiled. A build with the tag mutants has
// the one that CHRONIK_MUTANT names. integration/faults has the suite that must catch each.
package mutant

// ID names a mutant: what the product does wrong.
type ID string

// The mutants, each in one place of the product.
const (
	AckBeforeSync      ID = "ack-before-sync"       // wal: a group is reported durable when it is written
	AckAfterError      ID = "ack-after-error"       // wal: a group that could not be written is reported durable
	SkipDirSync        ID = "skip-dir-sync"         // wal: a new file's name is not synced
	SkipCheckpointSync ID = "skip-checkpoint-sync"  // wal: the checkpoint is renamed before it is on disk
	AcceptOldFrame     ID = "accept-old-frame"      // wal: frames do not know which run and group they belong to
	AcceptTornGroup    ID = "accept-torn-group"     // wal: the checksums of frames are not looked at
	CutDamage          ID = "cut-damage"            // wal: damage is taken for a torn tail
	ForgetDuplicates   ID = "forget-duplicates"     // partlog: a retry is written again
	ForgetProducers    ID = "forget-producers"      // partlog: a restart forgets what producers have sent
	LogStartBeforeSync ID = "log-start-before-sync" // partlog: DeleteRecords is answered before it is durable
	TrimBeforeSync     ID = "trim-before-sync"      // partlog: the log gives entries up that segments hold, not durably
	TrustSegments      ID = "trust-segments"        // segment: bytes are served unchecked
	IndexBeforeData    ID = "index-before-data"     // segment: the index is written before the data is synced
	TrustRaftEntries   ID = "trust-raft-entries"    // metalog: entries of raft's log are not checked
	AckLostLeadership  ID = "ack-lost-leadership"   // replica: who waits is told of success when the leadership ends
	AckWithoutISR      ID = "ack-without-isr"       // replica: followers do not count
	SkipTruncation     ID = "skip-truncation"       // replica: a follower keeps what its leader does not have
	FollowBeforeSync   ID = "follow-before-sync"    // replica: a follower fetches on before its records are durable
	AckRefusedRecords  ID = "ack-refused-records"   // coordinator: records that were not agreed on are taken for agreed
	KeepDamagedInISR   ID = "keep-damaged-in-isr"   // cluster: a replica forgets its records while others count on it
	TrustOlderDisk     ID = "trust-older-disk"      // image: an older copy of a directory stays in the ISR
)

// All is every mutant.
var All = []ID{
	AckBeforeSync, AckAfterError, SkipDirSync, SkipCheckpointSync,
	AcceptOldFrame, AcceptTornGroup, CutDamage, ForgetDuplicates,
	ForgetProducers, LogStartBeforeSync, TrimBeforeSync, TrustSegments,
	IndexBeforeData, TrustRaftEntries, AckLostLeadership, AckRefusedRecords,
	AckWithoutISR, SkipTruncation, FollowBeforeSync, KeepDamagedInISR, TrustOlderDisk,
}
