package faults

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// rottenClasses are the files of a node among others: those of one alone, and its note of the last run.
var rottenClasses = append([]fileClass{newFileClass("node.run", 2, `node\.run`, 0)}, corruptClasses...)

var setAsidePattern = regexp.MustCompile("^(damaged|quarantine)/")

// spoil damages a file of a node that has ended, whichever and however, and says what it did.
func (r *rot) spoil(dir string) string {
	r.t.Helper()
	files := map[string][]string{} // by class
	ok(r.t, fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || setAsidePattern.MatchString(name) {
			return err
		}
		for _, c := range rottenClasses {
			if info, err := e.Info(); err == nil && info.Size() > 0 && c.pattern.MatchString(name) {
				files[c.name] = append(files[c.name], name)
			}
		}
		return nil
	}))
	class := rottenClasses[weighted(r.dice, len(rottenClasses), func(i int) int {
		return min(rottenClasses[i].weight, rottenClasses[i].weight*len(files[rottenClasses[i].name]))
	})]
	name := files[class.name][r.dice.IntN(len(files[class.name]))]
	way := r.damage(filepath.Join(dir, name))
	r.count("rotten "+class.name, 1)
	if filepath.Ext(name) == ".idx" {
		r.rotten[dir] = append(r.rotten[dir], name)
	}
	return name + ": " + way
}

// damage flips bits in a file, zeroes a page of it, or cuts it off.
func (r *rot) damage(path string) string {
	r.t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	ok(r.t, err)
	defer f.Close()
	info, err := f.Stat()
	ok(r.t, err)
	size := info.Size()
	at := r.dice.Int64N(size)
	switch r.dice.IntN(5) {
	case 0:
		at &^= 4095
		_, err = f.WriteAt(make([]byte, min(4096, size-at)), at)
		ok(r.t, err)
		return fmt.Sprintf("a page of zeros at %d of %d", at, size)
	case 1:
		ok(r.t, f.Truncate(at))
		return fmt.Sprintf("cut off at %d of %d", at, size)
	}
	var b [1]byte
	for range 1 + r.dice.IntN(3) {
		_, err = f.ReadAt(b[:], at)
		ok(r.t, err)
		b[0] ^= 1 << r.dice.IntN(8)
		_, err = f.WriteAt(b[:], at)
		ok(r.t, err)
		at = max(0, min(size-1, at+r.dice.Int64N(33)-16))
	}
	return fmt.Sprintf("bits flipped near %d of %d", at, size)
}
