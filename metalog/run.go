package metalog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/google/uuid"

	"chronik/metalog/image"
)

// Run is a node's note of how it registered last: it stands beside the directory of the log, so that what the cluster
// knows of the node's runs tells an older copy of all that it has on disk, and so that a node whose metadata is damaged
// still knows where it belongs. It is written before a run registers and again when that is known to have been agreed on;
// then nobody needs the run before it any more.
type Run struct {
	Node        image.BrokerID
	Cluster     uuid.UUID
	Incarnation uuid.UUID // of the partitions' data
	ID          uuid.UUID // of the run that registers, or has registered
	Before      uuid.UUID // the one that is known to have registered before it; zero: none
	Epoch       int64     // of the newest registration of the node that was known then; 0: none
	Peers       []string  // host:port of the other nodes' internal ports, when it registered
}

const runHead = "chronik run 1\n"

func (r *Run) text() []byte {
	b := fmt.Appendf(nil, runHead+"node.id=%d\ncluster=%s\nincarnation=%s\nrun=%s\nbefore=%s\nepoch=%d\npeers=%s\n",
		r.Node, r.Cluster, r.Incarnation, r.ID, r.Before, r.Epoch, strings.Join(r.Peers, ","))
	return appendSum(b)
}

func parseRun(b []byte) (*Run, error) {
	r := new(Run)
	lines := strings.Split(string(b), "\n")
	i := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "peers=") })
	if i >= 0 && len(lines[i]) > len("peers=") {
		r.Peers = strings.Split(strings.TrimPrefix(lines[i], "peers="), ",")
	}
	_, err := fmt.Sscanf(string(b), runHead+"node.id=%d\ncluster=%s\nincarnation=%s\nrun=%s\nbefore=%s\nepoch=%d\n",
		&r.Node, &text{&r.Cluster}, &text{&r.Incarnation}, &text{&r.ID}, &text{&r.Before}, &r.Epoch)
	if err != nil || !bytes.Equal(r.text(), b) {
		return nil, checkText(b)
	}
	return r, nil
}

// ReadRun is nil when there is no note. The error wraps image.ErrCorrupt where the note is damaged.
func ReadRun(path string) (*Run, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r, err := parseRun(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// Write puts the note there, for good before it returns.
func (r *Run) Write(path string) error { return writeWhole(path, r.text()) }

// Knows says whether the cluster's last run of the node is one that the note knows: then nothing has been written since
// that this directory does not have.
func (r *Run) Knows(last uuid.UUID) bool { return last == uuid.Nil || last == r.ID || last == r.Before }

// Older says whether another node, which knows of the run last and the epoch of its registration, knows of a newer one than
// the note. One that was away itself knows of an older one: that says nothing.
func (r *Run) Older(last uuid.UUID, epoch int64) bool { return epoch > r.Epoch && !r.Knows(last) }
