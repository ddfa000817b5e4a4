package arena

import "golang.org/x/sys/unix"

// mapLazily has the system set nothing aside for pages that are never touched.
const mapLazily = unix.MAP_NORESERVE

// wantHugePages is a wish: not every kernel has them.
func wantHugePages(mem []byte) { _ = unix.Madvise(mem, unix.MADV_HUGEPAGE) }
