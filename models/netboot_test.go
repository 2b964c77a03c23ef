package models_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
)

func TestWhatIsBootedCannotBecomeMoreThanItsLine(t *testing.T) {
	t.Parallel()
	good := models.Netboot{Kernel: "http://10.0.0.2/vmlinuz", Initrd: "https://boot.example.com:8443/initrd?a=b", Args: "console=ttyS0 quiet root=/dev/ram0 x=a;b", ISO: "http://[::1]/a.iso"}
	for name, c := range map[string]struct {
		change func(*models.Netboot)
		where  string
	}{
		"all of it":               {func(*models.Netboot) {}, ""},
		"an iso alone":            {func(n *models.Netboot) { *n = models.Netboot{ISO: "http://h/a.iso"} }, ""},
		"nothing":                 {func(n *models.Netboot) { *n = models.Netboot{} }, "b"},
		"args without a kernel":   {func(n *models.Netboot) { n.Kernel = "" }, "b.kernel"},
		"a line of its own":       {func(n *models.Netboot) { n.Args = "quiet\nshell" }, "b.args"},
		"a carriage return":       {func(n *models.Netboot) { n.Args = "quiet\rshell" }, "b.args"},
		"another command, or":     {func(n *models.Netboot) { n.Args = "quiet || shell" }, "b.args"},
		"another command, and":    {func(n *models.Netboot) { n.Args = "quiet && shell" }, "b.args"},
		"another command, then":   {func(n *models.Netboot) { n.Args = "quiet ; shell" }, "b.args"},
		"a setting":               {func(n *models.Netboot) { n.Args = "x=${net0/next-server}" }, "b.args"},
		"a continued line":        {func(n *models.Netboot) { n.Args = `quiet \` }, "b.args"},
		"our own parameters":      {func(n *models.Netboot) { n.Args = "yunshu.token=x" }, "b.args"},
		"letters beyond ASCII":    {func(n *models.Netboot) { n.Args = "größe" }, "b.args"},
		"too many args":           {func(n *models.Netboot) { n.Args = strings.Repeat("a", 1001) }, "b.args"},
		"a kernel of two words":   {func(n *models.Netboot) { n.Kernel += " shell" }, "b.kernel"},
		"a kernel of two lines":   {func(n *models.Netboot) { n.Kernel += "\nshell" }, "b.kernel"},
		"a kernel with a setting": {func(n *models.Netboot) { n.Kernel += "/${mac}" }, "b.kernel"},
		"a kernel elsewhere":      {func(n *models.Netboot) { n.Kernel = "tftp://h/vmlinuz" }, "b.kernel"},
		"a kernel without a host": {func(n *models.Netboot) { n.Kernel = "http:///vmlinuz" }, "b.kernel"},
		"an initrd with a login":  {func(n *models.Netboot) { n.Initrd = "http://u:p@h/initrd" }, "b.initrd"},
		"an iso of no address":    {func(n *models.Netboot) { n.ISO = "a.iso" }, "b.iso"},
		"a long iso":              {func(n *models.Netboot) { n.ISO = "http://h/" + strings.Repeat("a", 2048) }, "b.iso"},
	} {
		n := good
		c.change(&n)
		var where []string
		for _, m := range n.Mistakes("b") {
			where = append(where, m.Field)
		}
		if c.where == "" {
			require.Empty(t, where, name)
			continue
		}
		require.Equal(t, []string{c.where}, where, name)
	}
}
