package api

import (
	"context"
	"path/filepath"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/controller"
	"chronik/kafka/wire"
	"chronik/metalog/image"
	"chronik/wal/vfs"
)

// describeLogDirs serves key 35, versions 0-5: how much of the data directory each of this node's partitions takes, and
// how much the file system has. There is one directory. Null topics ask for all.
func describeLogDirs(b *Broker, _ context.Context, _ *wire.Request, req *kmsg.DescribeLogDirsRequest) (kmsg.Response, error) {
	resp := req.ResponseKind().(*kmsg.DescribeLogDirsResponse)
	dir := kmsg.NewDescribeLogDirsResponseDir()
	dir.Dir = b.logDir()
	dir.TotalBytes, dir.UsableBytes = fileSystem(b.DataDir)
	dir.IsCordoned = controller.Cordoned(b.Meta.Image(), b.Self)
	asked := askedPartitions(req)
	for t := range b.Meta.Image().Topics {
		out := kmsg.NewDescribeLogDirsResponseDirTopic()
		out.Topic = t.Name
		for _, p := range t.Partitions {
			if req.Topics != nil && !asked[itemKey{name: t.Name, partition: p.Number}] {
				continue
			}
			if size, ok := b.sizeOf(t.ID, p.Number); ok {
				out.Partitions = append(out.Partitions, kmsg.DescribeLogDirsResponseDirTopicPartition{Partition: p.Number, Size: size})
			}
		}
		if len(out.Partitions) > 0 {
			dir.Topics = append(dir.Topics, out)
		}
	}
	resp.Dirs = append(resp.Dirs, dir)
	return resp, nil
}

func askedPartitions(req *kmsg.DescribeLogDirsRequest) map[itemKey]bool {
	asked := make(map[itemKey]bool)
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			asked[itemKey{name: t.Topic, partition: p}] = true
		}
	}
	return asked
}

// logDir is the data directory as clients see it.
func (b *Broker) logDir() string {
	if full, err := filepath.Abs(b.DataDir); err == nil {
		return full
	}
	return b.DataDir
}

// sizeOf is the bytes of a partition on this node's disk, whether it leads or follows there. ok is false when it has none.
func (b *Broker) sizeOf(topic image.TopicID, partition int32) (size int64, ok bool) {
	p, ok := b.Parts.Held(topic, partition)
	if !ok {
		return 0, false
	}
	return p.Log().Size(), true
}

// fileSystem is vfs.SpaceOf dir; -1 when it is unknown.
func fileSystem(dir string) (total, usable int64) {
	total, usable, err := vfs.SpaceOf(dir)
	if err != nil {
		return -1, -1
	}
	return total, usable
}
