// Package group is groups of consumers with their committed offsets, of every protocol by which members can share the
// work. Each group is a deterministic state machine: given a request and the time it says what to record and what to answer,
// now or later. Coordinator runs the machines over cluster/coordinator and translates between names of topics and their
// ids. The package knows no socket, no clock and no disk; what lasts is records in the metadata log.
//
// A group id has one kind at a time. machine is what all kinds have in common: offsets, deletion, whose the group is. What
// depends on the protocol is a kind: classicGroup (the members assign; classic*.go and the files about one request each),
// consumerGroup (KIP-848; consumer*.go), shareGroup (KIP-932; share*.go) and streamsGroup (KIP-1071; streams*.go).
//
// Groups do what Kafka 4.4's do but where that would cost a client something. An offset that is set for an empty group lives for its
// retention, and so do those of a consumer group when its last member leaves. A static member of KIP-848 that was fenced may join again
// under the id that it has. A group that becomes a classic one always rebalances: its members may be on their way to other partitions.
// A retention time in an OffsetCommit (versions 2 to 4) does not end before the configured retention has passed since the last member
// left, and moves with that configuration. An empty group that nobody has joined is not recorded.
//
// To add a kind X: write x*.go with a type that embeds *machine and implements kind, and newXGroup, which makes it from the
// image; enter that in kinds. A request is a method of machine that looks whether m.kind is of the kind (m.missing says why
// not), makes it one with m.become when the group is there to be made, and goes on; its half in Coordinator is a
// method that calls Coordinator.call. The members of groups whose coordinator assigns have a seat and the group its epochs
// (seat.go); their changes last by a ledger (ledger.go), which has the answers wait for them; values are written with
// encoding.go, partitions with partitions.go, and FORMAT.md says how. A member's session is a deadline that expire looks
// at; topicsChanged comes whenever a topic was created, deleted or has grown.
package group
