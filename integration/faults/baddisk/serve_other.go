//go:build !linux

package baddisk

import "errors"

const unmountLazily = 0

func serve(task) error { return errors.New("it needs Linux") }
