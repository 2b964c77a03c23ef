package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
)

// openBrowser opens an address with BROWSER, or with what the system opens addresses with. Where that fails, the address
// is on the screen already.
func openBrowser(ctx context.Context, address string, tell io.Writer) {
	if !secure(address) {
		return // openers take more than web addresses
	}
	name, args := opener()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), name, append(args, address)...) // it stays open when we end
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(tell, "No browser opened by itself. On a machine without one, use yunshu login --device.")
		return
	}
	go func() { _ = cmd.Wait() }() // how the browser ends is its own affair
}

func opener() (string, []string) {
	if browser := os.Getenv("BROWSER"); browser != "" {
		return browser, nil
	}
	switch runtime.GOOS {
	case "darwin":
		return "open", nil
	case "windows":
		return "rundll32", []string{"url.dll,FileProtocolHandler"}
	}
	return "xdg-open", nil
}
