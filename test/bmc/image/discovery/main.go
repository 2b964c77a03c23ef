// Command discovery builds the discovery image and says where it is.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/yunshu/yunshu/test/bmc/image"
)

func main() {
	dir := flag.String("dir", ".dev/discovery", "where the image and the packages that it is made of are kept")
	kernel := flag.String("kernel", image.Virtual, "Debian's package of the kernel; "+image.Hardware+" has the drivers of servers")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	made, err := image.Builder{Dir: *dir, Kernel: *kernel}.Build(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "discovery:", err)
		os.Exit(1)
	}
	fmt.Printf("kernel %s\ninitrd %s\n", made.Kernel, made.Initrd)
}
