//go:build nextlevel

package cluster

// level is that of a release to come, for the tests of a rolling upgrade. Nothing of it is different but the number.
const level = 2
