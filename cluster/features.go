package cluster

import (
	"github.com/google/uuid"

	"chronik/metalog/image"
)

// features is what this program understands (KIP-584). The level of chronik.version says what may stand in the metadata log:
// it is raised by an operator (UpdateFeatures) when no node runs a program that does not know it, and no such node registers
// afterwards. A cluster in which nobody has raised it is at the level 1.
//
// The others are Kafka's, and clients and tools go by them. What is served has a line here, up to the level that is served:
// who serves more adds it, and clients find out in ApiVersions. A new cluster has all of them at their highest level. Kafka's
// tools of 4.3 print "UNKNOWN 33" for metadata.version, as they do for Kafka 4.4.0: they know the names of their own levels only.
var features = []image.FeatureRange{
	{Name: versionFeature, Min: 1, Max: level},
	{Name: "eligible.leader.replicas.version", Max: 1}, // KIP-966
	{Name: "group.version", Max: 1},                    // KIP-848
	{Name: "metadata.version", Min: 33, Max: 33},       // 4.4-IV2, as Kafka 4.4.0 has it: which of its releases this is like
	{Name: "share.version", Max: 1},                    // KIP-932
	{Name: "streams.version", Max: 1},                  // KIP-1071
}

const versionFeature = "chronik.version"

// foundation is the first records of a new cluster.
func foundation(id uuid.UUID) []image.Record {
	recs := []image.Record{image.ClusterRecord{ID: id}}
	for _, f := range features {
		if f.Name != versionFeature {
			recs = append(recs, image.FeatureRecord{Name: f.Name, Level: f.Max})
		}
	}
	return recs
}
