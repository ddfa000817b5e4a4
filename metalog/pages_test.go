package metalog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"chronik/metalog/image"
)

// grownStore is a store's file with branches, leaves and a bucket of its own for the log.
func grownStore(t *testing.T) (path string, content []byte) {
	t.Helper()
	dir := t.TempDir()
	l := mustOpen(t, dir)
	for i := range 200 {
		mustPropose(t, l, topic(fmt.Sprint("a topic with a name that fills a page sooner ", i)))
	}
	mustClose(t, l)
	path = filepath.Join(dir, storeFile)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, content
}

// entriesOf is what the store holds, as text.
func entriesOf(dir string) (text string, err error) {
	err = Walk(dir, func(i Item) error {
		if i.Name != "snapshot" {
			text += fmt.Sprintf("%s %d %d %v %v %v\n", i.Name, i.Index, i.Term, i.Type, i.Proposals, i.Values)
		}
		return i.Err
	})
	return text, err
}

// bbolt alone panics, loops, or shows fewer entries. Every bit of a head of a page and of its elements is tried; what is
// taken for whole must show the same as before.
func TestNoBitOfAPageIsTrustedThatBboltReliesOn(t *testing.T) {
	path, content := grownStore(t)
	dir := filepath.Dir(path)
	want, err := entriesOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	page := int64(os.Getpagesize())
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	put := func(b byte, at int64) {
		if _, err := f.WriteAt([]byte{b}, at); err != nil {
			t.Fatal(err)
		}
	}
	refused, harmless := 0, 0
	for at := int64(0); at < 8*page; at += page {
		for i := at; i < at+pageHead+metaSize+2*elementSize; i++ {
			put(content[i]^1<<rand.IntN(8), i)
			err, shown := checkPages(path), ""
			if err == nil {
				shown, err = entriesOf(dir) // entries and values have checksums of their own
			}
			switch {
			case errors.Is(err, image.ErrCorrupt):
				refused++
			case err != nil:
				t.Fatal(err)
			case shown != want:
				t.Fatalf("byte %d of page %d is taken for whole and shows something else", i%page, at/page)
			default:
				harmless++
			}
			put(content[i], i)
		}
	}
	if refused < 200 {
		t.Errorf("%d refused, %d harmless", refused, harmless)
	}
}

// One meta page less is a transaction less: the newest entry, or a vote.
func TestAMetaPageIsNotGivenUpForTheOneBefore(t *testing.T) {
	path, content := grownStore(t)
	page := os.Getpagesize()
	for _, c := range []struct {
		what   string
		change func(b []byte)
	}{
		{"zeros in the first", func(b []byte) { clear(b[:page]) }},
		{"zeros in the second", func(b []byte) { clear(b[page : 2*page]) }},
		{"the first twice", func(b []byte) { copy(b[page:2*page], b[:page]) }},
	} {
		changed := append([]byte(nil), content...)
		c.change(changed)
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Options{Dir: filepath.Dir(path), NodeID: 1}); !errors.Is(err, image.ErrCorrupt) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}
