package arena

import "golang.org/x/sys/unix"

// mapLazily has the system set nothing aside for pages that are never touched.
const mapLazily = unix.MAP_NORESERVE

// wantHugePages is a wish: not every kernel has them.
func wantHugePages(mem []byte) { _ = unix.Madvise(mem, unix.MADV_HUGEPAGE) }

// touch has the system put memory behind mem. It changes no byte, so those in use may be among them; a kernel before
// 5.14 refuses, and the first use pays.
func touch(mem []byte) { _ = unix.Madvise(mem, unix.MADV_POPULATE_WRITE) }
