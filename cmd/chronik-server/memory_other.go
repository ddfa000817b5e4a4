//go:build !linux

package main

func systemMemory() int64 { return 0 }
