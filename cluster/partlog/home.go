package partlog

import (
	"encoding/binary"
	"errors"
	"fmt"

	"chronik/kafka/kerr"
	"chronik/wal"
)

// A log's directory is made when it is first cut, and before that a fact says whose it is. Else, should the topic be
// deleted and the machine fail before the next checkpoint, nobody would know that the directory's owner is gone: the
// metadata remembers no streams of deleted topics.

const kindDirectory wal.Kind = 4 // stream, topic, partition: the stream's segments are in that partition's directory

const directorySize = 8 + 16 + 4

// house states the owners of the directories that these streams will need, durably.
func (s *Store) house(streams []wal.StreamID) error {
	var logs []*Log
	var last *fact
	for _, stream := range streams {
		l := s.log(stream)
		if l == nil || l.housed {
			continue
		}
		f, err := s.state(kindDirectory, encodeDirectory(l.id))
		if err != nil {
			return err
		}
		logs, last = append(logs, l), f
	}
	if last == nil {
		return nil
	}
	s.wal.Commit()
	if err := last.wait(s); err != nil { // and with it those before
		return err
	}
	for _, l := range logs {
		l.housed = true
	}
	return nil
}

func encodeDirectory(id ID) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, directorySize), uint64(id.Stream))
	return binary.BigEndian.AppendUint32(append(b, id.Topic[:]...), uint32(id.Partition))
}

func decodeDirectory(b []byte) (id ID, err error) {
	if len(b) != directorySize {
		return ID{}, errors.New("a directory entry of the wrong size")
	}
	id.Stream = wal.StreamID(binary.BigEndian.Uint64(b))
	copy(id.Topic[:], b[8:])
	id.Partition = int32(binary.BigEndian.Uint32(b[24:]))
	return id, nil
}

// replayDirectory has the directory of a deleted partition removed, or sees that the owner is who the metadata says.
func (r *recovery) replayDirectory(data []byte) error {
	id, err := decodeDirectory(data)
	if err != nil {
		return err
	}
	l, err := r.find(id.Stream)
	switch {
	case err != nil:
		return err
	case l == nil:
		r.bury(id)
	case l.id != id:
		return fmt.Errorf("the write-ahead log says that stream %d is %s, the metadata says %s: %w", id.Stream, id.name(), l.id.name(), kerr.KafkaStorageError)
	default:
		l.housed = true
	}
	return nil
}
