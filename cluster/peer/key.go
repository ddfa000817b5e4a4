package peer

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
)

// KeySize is the length of a key.
const KeySize = sha256.Size

// The purposes of DeriveKey.
const (
	PurposePeer   = "chronik peer 1"
	PurposeGossip = "chronik gossip 1"
)

// DeriveKey makes a key for one purpose of the secret that the operator gave to all nodes, so that what one part of the
// program shows of its key says nothing of another's. A secret that could be guessed is no better for it.
func DeriveKey(secret, purpose string) []byte {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, purpose, KeySize)
	if err != nil {
		panic(fmt.Sprintf("peer: HKDF of %d bytes: %v", KeySize, err)) // only for a length that SHA-256 cannot give
	}
	return key
}
