// Package mutant names deliberate faults of the product, to prove that the tests would catch them. In an ordinary build
// none of them exists: On is the constant false and what hangs on it is not compiled. A build with the tag mutants has
// the one that CHRONIK_MUTANT names.
package mutant

// ID names a mutant: what the product does wrong.
type ID string

// The mutants, each in one place of the product.
const (
	AckBeforeSync ID = "ack-before-sync" // the log reports a group durable that it has written but not synced
)

// All is every mutant, for the suite that must catch each.
var All = []ID{AckBeforeSync}
