//go:build linux

// Command agent is the only program on the platform's discovery image: it starts the machine's devices and network,
// tells the gateway what the machine is made of, wipes its disks when it was told to, and waits to be turned off.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/yunshu/yunshu/cmd/agent/boot"
	"github.com/yunshu/yunshu/cmd/agent/inventory"
	"github.com/yunshu/yunshu/cmd/agent/machine"
	"github.com/yunshu/yunshu/cmd/agent/wipe"
)

func main() {
	if os.Getpid() != 1 {
		if err := elsewhere(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "yunshu-agent:", err)
			os.Exit(1)
		}
		return
	}
	l := log.New(os.Stderr, "yunshu-agent: ", 0)
	l.Print("The discovery image has booted.")
	work(l)
	off := make(chan os.Signal, 1)
	signal.Notify(off, syscall.SIGTERM)
	<-off
	powerOff(l)
	select {} // the kernel panics when its first process ends
}

// elsewhere is what the agent does on a machine that somebody uses: it only shows what it would tell.
func elsewhere(args []string) error {
	if len(args) != 1 || args[0] != "inventory" {
		return errors.New("This program belongs on the discovery image, where it is the first process; on any other machine it only knows `inventory`, which prints what it would report")
	}
	inv, err := inventory.Read(os.DirFS("/"))
	if err != nil {
		return err
	}
	enc := json.NewEncoder(os.Stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(inv)
}

// work does what the machine was booted for. Nothing that goes wrong may end the first process.
func work(l *log.Logger) {
	defer func() {
		if p := recover(); p != nil {
			l.Printf("This is a mistake in the agent: %v. The machine stays on and does nothing more.", p)
		}
	}()
	if err := run(context.Background(), l); err != nil {
		l.Printf("%v.", err)
		return
	}
	l.Print("The gateway knows. Waiting to be turned off.")
}

func run(ctx context.Context, l *log.Logger) error {
	if err := machine.Mount(); err != nil {
		return err
	}
	root := os.DirFS("/")
	if err := machine.LoadModules(root, l); err != nil {
		return err
	}
	if err := machine.WaitForRandom(); err != nil {
		return err
	}
	machine.PowerButton(func() { powerOff(l) }, l)
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	orders, err := boot.Parse(string(cmdline))
	if err != nil {
		return err
	}
	if err := machine.Connect(ctx, inventory.NICs(root, nil), orders.MAC, l); err != nil {
		return err
	}
	inv, problem := inventory.Read(root) // after the network: only now are the speeds of links known
	client := &boot.Client{URL: orders.URL, HTTP: &http.Client{Timeout: 30 * time.Second}, Pause: time.Second, Longest: 30 * time.Second, Log: l}
	if orders.Token == "" {
		if orders, err = client.Claim(ctx, inv.UUID, inv.MACs()); err != nil {
			return err
		}
	}
	if err := orders.Check(inv.UUID); err != nil {
		return err
	}
	l.Printf("This machine is %s; it was booted for %q.", inv.UUID, orders.Purpose)
	report := boot.Report{Purpose: orders.Purpose, Inventory: inv, Wiped: []wipe.Result{}}
	if orders.MayWipe() {
		var failed error
		report.Wiped, failed = wipe.Disks(ctx, inv.Disks, wipe.Open, l)
		problem = errors.Join(problem, failed)
	}
	if problem != nil {
		l.Print(problem)
		report.Error = problem.Error()
	}
	return client.Report(ctx, orders.Token, report)
}

func powerOff(l *log.Logger) {
	l.Print("Turning the machine off.")
	if err := machine.PowerOff(); err != nil {
		l.Printf("The machine cannot be turned off: %v.", err)
	}
}
