// Command discovery builds the discovery image and says where it is.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/yunshu/yunshu/test/bmc/image"
)

func main() {
	dir := flag.String("dir", ".dev/discovery", "where the image and the packages that it is made of are kept")
	kernel := flag.String("kernel", image.Virtual, "Debian's package of the kernel; "+image.Hardware+" has the drivers of servers")
	url := flag.String("iso-url", "", "also make an ISO of the image, for machines whose gateway has this URL")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *dir, *kernel, *url); err != nil {
		fmt.Fprintln(os.Stderr, "discovery:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, dir, kernel, url string) error {
	made, err := image.Builder{Dir: dir, Kernel: kernel}.Build(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("kernel %s\ninitrd %s\n", made.Kernel, made.Initrd)
	if url == "" {
		return nil
	}
	file := filepath.Join(filepath.Dir(made.Kernel), "discovery.iso")
	if err := made.ISO(ctx, file, "quiet console=tty0 console=ttyS0 yunshu.url="+url, os.Stderr); err != nil {
		return err
	}
	fmt.Printf("iso    %s\n", file)
	return nil
}
