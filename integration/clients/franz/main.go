// Command franz is the Go part of the real-clients suite: franz-go's own scenario, the verifier that reads every
// topic's raw batches, and the maker and checker of record lines for clients that are command-line tools. It knows the
// contract of README.md beside run.sh and nothing of the broker: it imports none of its packages.
package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// limit bounds a whole phase: a broker that hangs fails the run, it does not stop it.
const limit = 2 * time.Minute

func main() {
	ctx := context.Background()
	if len(os.Args) > 1 && os.Args[1] != "churn" && os.Args[1] != "member" { // these say themselves how long they take
		bounded, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		ctx = bounded
	}
	commands := map[string]func(context.Context, Contract, []string) error{
		"scenario": scenario, "verify": verify, "records": records, "check": check, "churn": churn, "member": beMember,
	}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: franz scenario | verify TOTAL | records FIRST CODEC | check FIRST END | churn SECONDS FILE | member")
		os.Exit(2)
	}
	c, err := contractFromEnv()
	if err == nil {
		err = commands[os.Args[1]](ctx, c, os.Args[2:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
