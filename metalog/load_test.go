package metalog

import (
	"testing"

	"chronik/metalog/image"
)

// Each index gives the image that the node had then.
func TestLoadAtAnEarlierEntry(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir)
	var had []*image.Image
	for _, name := range []string{"a", "b", "c", "d"} {
		mustPropose(t, l, topic(name))
		had = append(had, l.Image())
	}
	mustClose(t, l)
	for _, img := range had {
		c, err := LoadAt(dir, img.Index())
		if err != nil {
			t.Fatal(err)
		}
		if c.Image.Index() != img.Index() || hash(t, c.Image) != hash(t, img) {
			t.Errorf("at %d: index %d, %d topics", img.Index(), c.Image.Index(), c.Image.TopicCount())
		}
	}
}
