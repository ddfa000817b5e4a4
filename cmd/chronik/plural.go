package main

import "fmt"

// counted is a number with its noun: "1 record", "2 records".
func counted[N int | int16 | int32 | int64 | uint64](n N, noun string) string {
	return fmt.Sprintf("%d %s", n, oneOrMany(n, noun, noun+"s"))
}

// countedWith is counted with a verb: "1 partition has", "2 partitions have".
func countedWith[N int | int32 | int64](n N, noun, verbOfOne, verbOfMany string) string {
	return counted(n, noun) + " " + oneOrMany(n, verbOfOne, verbOfMany)
}

func oneOrMany[N int | int16 | int32 | int64 | uint64](n N, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
