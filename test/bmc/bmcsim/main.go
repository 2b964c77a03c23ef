// Command bmcsim runs one region's simulated BMCs, lists their machines, and makes them fail.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	run, args := serve, os.Args[1:]
	if len(args) > 0 {
		switch args[0] {
		case "ls":
			run, args = list, args[1:]
		case "fault":
			run, args = fault, args[1:]
		}
	}
	if err := run(ctx, os.Stdout, args); err != nil {
		fmt.Fprintln(os.Stderr, "yunshu-bmcsim:", err)
		os.Exit(1)
	}
}
