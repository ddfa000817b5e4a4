// Package batch is Kafka's record batch, version 2, as a view of bytes: checked, walked and patched in place, never
// copied on the hot path. Beside it stand the older message formats (v0, v1), converted up on produce and down on
// fetch, and the compression codecs. It knows nothing of topics, files or connections.
//
// Layout, big-endian (KIP-98, org.apache.kafka.common.record.DefaultRecordBatch):
//
//	 0 baseOffset int64            21 attributes int16        43 producerID int64
//	 8 batchLength int32           23 lastOffsetDelta int32   51 producerEpoch int16
//	12 partitionLeaderEpoch int32  27 baseTimestamp int64     53 baseSequence int32
//	16 magic int8 = 2              35 maxTimestamp int64      57 recordCount int32
//	17 crc uint32 (CRC-32C of everything from byte 21 on)     61 records
package batch

// HeaderSize is the length of a batch's header; a batch is at least that long.
const HeaderSize = 61

// Batch is one whole batch, header included.
type Batch []byte
