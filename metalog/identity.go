package metalog

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"

	"chronik/metalog/image"
)

// identity is who this directory is. It stands in the file node.id and in the store, which must agree: a directory put
// together from two is refused.
type identity struct {
	node        image.BrokerID
	server      uuid.UUID // in Raft; a vote belongs to it
	incarnation uuid.UUID // of the data, for the other brokers
}

// mint is a new server; data that is there already keeps its incarnation.
func mint(node image.BrokerID, incarnation uuid.UUID) (identity, error) {
	server, err := uuid.NewRandom()
	if err == nil && incarnation == uuid.Nil {
		incarnation, err = uuid.NewRandom()
	}
	return identity{node, server, incarnation}, err
}

// serverID begins with the node's number, so that everyone knows which broker leads.
func (i identity) serverID() raft.ServerID {
	return raft.ServerID(fmt.Sprintf("%d@%s", i.node, i.server))
}

func brokerOf(id raft.ServerID) image.BrokerID {
	node, _, ok := strings.Cut(string(id), "@")
	n, err := strconv.ParseInt(node, 10, 32)
	if !ok || err != nil {
		return image.NoBroker
	}
	return image.BrokerID(n)
}

// damage is the text of an error that wraps image.ErrCorrupt, which would only repeat it.
type damage string

func (d damage) Error() string { return string(d) }

func (damage) Unwrap() error { return image.ErrCorrupt }

const wrongSum damage = "its checksum is wrong"

// checkText looks at the checksum in the last line of a file that a person can read. Where that is right and the file
// still says nothing, another version of this program wrote it.
func checkText(b []byte) error {
	at := bytes.LastIndex(b, []byte("crc32c="))
	if at < 0 {
		return damage("its checksum is missing")
	}
	if !bytes.Equal(b, appendSum(b[:at:at])) {
		return wrongSum
	}
	return damage("it is of no version that is known here")
}

// appendSum appends the last line of such a file.
func appendSum(b []byte) []byte {
	return fmt.Appendf(b, "crc32c=%08x\n", crc32.Checksum(b, castagnoli))
}

const identityHead = "chronik node 1\n"

// text is the identity as it stands in node.id: lines that a person can read, the last one a checksum of the others.
func (i identity) text() []byte {
	b := fmt.Appendf(nil, identityHead+"node.id=%d\nraft.server=%s\nincarnation=%s\n", i.node, i.server, i.incarnation)
	return appendSum(b)
}

func parseIdentity(b []byte) (identity, error) {
	var i identity
	var sum uint32
	n, err := fmt.Sscanf(string(b), strings.ReplaceAll(identityHead, "\n", "")+
		"\nnode.id=%d\nraft.server=%s\nincarnation=%s\ncrc32c=%x\n", &i.node, &text{&i.server}, &text{&i.incarnation}, &sum)
	if err != nil || n != 4 || !bytes.Equal(i.text(), b) {
		return identity{}, checkText(b)
	}
	return i, nil
}

// text scans a uuid.
type text struct{ to *uuid.UUID }

func (t *text) Scan(state fmt.ScanState, _ rune) error {
	token, err := state.Token(false, nil)
	if err != nil {
		return err
	}
	*t.to, err = uuid.ParseBytes(token)
	return err
}

// renew is the same server with other data.
func (i identity) renew() (identity, error) {
	var err error
	i.incarnation, err = uuid.NewRandom()
	return i, err
}

// isOf says whether two identities are of one server, whatever its data.
func (i identity) isOf(other identity) bool { return i.node == other.node && i.server == other.server }

// readIdentity is false when the file is not there.
func readIdentity(path string) (identity, bool, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return identity{}, false, nil
	}
	if err != nil {
		return identity{}, false, err
	}
	i, err := parseIdentity(b)
	if err != nil {
		return identity{}, false, fmt.Errorf("%s: %w", path, err)
	}
	return i, true, nil
}

// IncarnationIn is the incarnation of the data beside the log in dir; zero when that does not say it any more.
func IncarnationIn(dir string) uuid.UUID {
	i, _, _ := readIdentity(filepath.Join(dir, identityFile)) // a damaged one says nothing, and Open will say so
	return i.incarnation
}

// writeWhole puts a file there whole or not at all, for good before it returns.
func writeWhole(path string, content []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(content); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return install(tmp, path)
}

// install renames a synced file and syncs its directory.
func install(tmp, path string) error {
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncNames(filepath.Dir(path))
}

// syncNames syncs a directory.
func syncNames(dir string) error {
	if err := syncFile(dir); err != nil {
		return &unsyncedNames{err}
	}
	return nil
}

// unsyncedNames says that a directory could not be synced. Nothing lives through that, not when the disk is full either:
// which names are in it is not known.
type unsyncedNames struct{ error }

func (u *unsyncedNames) Unwrap() error { return u.error }

// syncFile syncs a file or a directory.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
