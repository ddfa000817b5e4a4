package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// records prints the lines that a command-line producer reads for one step: key, tab, value. NULL_KEY stands for a
// missing key; with HEADER_LINES set, a first field carries the headers as the console producer parses them.
func records(_ context.Context, c Contract, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: franz records FIRST CODEC")
	}
	first, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	for i := first; i < first+c.Records; i++ {
		if os.Getenv("HEADER_LINES") != "" {
			fmt.Fprintf(out, "codec:%s,seq:%d\t", args[1], i)
		}
		key := string(Key(i))
		if key == "" {
			key = os.Getenv("NULL_KEY")
		}
		fmt.Fprintf(out, "%s\t%s\n", key, Value(c.Topic, args[1], i))
	}
	return out.Flush()
}

// check reads lines of partition, offset, key and value, separated by tabs, from standard input and fails unless they
// hold each record from FIRST to END (exclusive) of TOPIC exactly once and in order per partition.
func check(_ context.Context, c Contract, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: franz check FIRST END")
	}
	first, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	end, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	t := NewTally(c.Topic, first, end)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if err := addLine(t, in.Text()); err != nil {
			return err
		}
	}
	return t.Err()
}

func addLine(t *Tally, line string) error {
	f := strings.Split(line, "\t")
	if len(f) != 4 {
		return fmt.Errorf("not a record line: %.80q", line)
	}
	partition, err := strconv.Atoi(f[0])
	if err != nil {
		return err
	}
	offset, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil {
		return err
	}
	t.Add(int32(partition), offset, []byte(f[2]), f[3])
	return nil
}
