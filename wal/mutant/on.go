//go:build mutants

package mutant

import (
	"fmt"
	"os"
	"slices"
)

var chosen = choose()

// choose ends a process that was asked for a mutant that there is not: it would prove nothing.
func choose() ID {
	id := ID(os.Getenv("CHRONIK_MUTANT"))
	if id != "" && !slices.Contains(All, id) {
		fmt.Fprintf(os.Stderr, "CHRONIK_MUTANT: there is no mutant %q\n", id)
		os.Exit(2)
	}
	return id
}

// On says whether the product has the fault.
func On(id ID) bool { return id == chosen }
