// Command differential sends the same requests to Chronik and to Apache Kafka and prints where their answers differ. It
// starts neither of them, and it knows nothing of Chronik but its address; README.md says how to run it.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"sync"
	"time"
)

func main() {
	chronik := flag.String("chronik", "127.0.0.1:9092", "address of a Chronik broker on fresh data")
	kafka := flag.String("kafka", "127.0.0.1:19092", "address of an Apache Kafka broker on fresh data")
	run := flag.String("run", "", "run only the scenarios that match this regular expression")
	all := flag.Bool("all", false, "print the differences that are meant, too")
	trace := flag.Bool("trace", false, "print every answer")
	flag.Parse()
	want, err := regexp.Compile(*run)
	if err != nil {
		fail(err)
	}
	common, err := commonVersions(*chronik, *kafka)
	if err != nil {
		fail(err)
	}
	prefix := "d" + strconv.FormatInt(time.Now().Unix(), 36) + "."
	for _, addr := range []string{*chronik, *kafka} {
		if err := newScript(addr, prefix, common).warmUp(); err != nil {
			fail(err)
		}
	}
	report := newReport(*all)
	for i, sc := range scenarios {
		prefix := fmt.Sprintf("%s%d.", prefix, i)
		if want.MatchString(sc.name) {
			ours := newScript(*chronik, prefix, common)
			theirs := newScript(*kafka, prefix, common)
			begun := time.Now()
			play(sc, ours, theirs)
			fmt.Fprintf(os.Stderr, "%s: %d answers in %.1f s\n", sc.name, len(ours.answers), time.Since(begun).Seconds())
			if *trace {
				printTrace(theirs, "kafka")
				printTrace(ours, "chronik")
			}
			report.compare(sc.name, ours, theirs)
		}
	}
	if report.print(os.Stdout) > 0 {
		os.Exit(1)
	}
}

// play runs a scenario against both brokers at once.
func play(sc scenario, scripts ...*script) {
	var wg sync.WaitGroup
	for _, s := range scripts {
		wg.Go(func() {
			defer s.close()
			defer s.recoverStop()
			sc.run(s)
		})
	}
	wg.Wait()
}

func printTrace(s *script, who string) {
	for _, a := range s.answers {
		fmt.Printf("[%s] %s\n", who, a.label)
		for _, l := range a.lines {
			fmt.Printf("    %s = %s\n", l.path, l)
		}
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "differential:", err)
	os.Exit(2)
}
