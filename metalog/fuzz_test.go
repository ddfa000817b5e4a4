package metalog

import (
	"bytes"
	"hash/crc32"
	"testing"

	"github.com/google/uuid"
)

// FuzzIdentity reads any node.id, with the checksum made right: it is one, as it is written, or damage.
func FuzzIdentity(f *testing.F) {
	f.Add(identity{1, uuid.UUID{1}, uuid.UUID{2}}.text())
	f.Add(identity{-5, uuid.Nil, uuid.Max}.text())
	f.Add([]byte(identityHead))
	f.Fuzz(func(t *testing.T, b []byte) {
		if at := bytes.LastIndex(b, []byte("crc32c=")); at >= 0 {
			b = bytes.Clone(b[:at])
			b = append(b, []byte("crc32c="+hex8(crc32.Checksum(b, castagnoli))+"\n")...)
		}
		i, err := parseIdentity(b)
		if err == nil && !bytes.Equal(i.text(), b) {
			t.Errorf("%+v is not %q", i, b)
		}
		if err == nil && brokerOf(i.serverID()) != i.node {
			t.Errorf("%q names another node than %d", i.serverID(), i.node)
		}
	})
}

func hex8(n uint32) string {
	const digits = "0123456789abcdef"
	b := make([]byte, 8)
	for i := range b {
		b[i] = digits[n>>(28-4*i)&15]
	}
	return string(b)
}
