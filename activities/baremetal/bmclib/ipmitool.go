package bmclib

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os/exec"
	"strings"
	"time"

	"github.com/yunshu/yunshu/models"
)

// tool is the program ipmitool and the BMC to speak to with it.
type tool struct {
	program, host, port, username, password string
}

// toolError is what ipmitool printed when it failed.
type toolError struct{ printed string }

func (e *toolError) Error() string { return e.printed }

// errSilent is a BMC that does not answer at all.
var errSilent = errors.New("it does not answer")

// path finds the program.
func (t tool) path() (string, error) { return exec.LookPath(t.program) }

// run runs the program with something on its standard input, and returns what it printed. The password is in its
// environment, where nobody else sees it.
func (t tool) run(ctx context.Context, input string, args ...string) (string, error) {
	path, err := t.path()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, path, append([]string{"-I", "lanplus", "-H", t.host, "-p", t.port, "-U", t.username, "-E", "-C", cipher, "-N", "3", "-R", "3"}, args...)...)
	cmd.Env = []string{"IPMITOOL_PASSWORD=" + t.password}
	cmd.Stdin = strings.NewReader(input)
	cmd.WaitDelay = time.Second
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return "", &toolError{strings.TrimSpace(complaint.String() + "\n" + out.String())}
	}
	return out.String(), nil
}

// hello asks for the channel's authentication capabilities, which a BMC tells to everybody.
var hello = []byte{0x06, 0x00, 0xff, 0x07, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x09, 0x20, 0x18, 0xc8, 0x81, 0x00, 0x38, 0x8e, 0x04, 0xb5}

// answers reports whether something speaks IPMI there. ipmitool says the same of a BMC that is not there and of one that does
// not take the password, and says it late.
func (t tool) answers(ctx context.Context) bool {
	conn, err := dialer.DialContext(ctx, "udp", net.JoinHostPort(t.host, t.port))
	if err != nil {
		return false
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // it may be closed already
	for range 3 {
		if _, err := conn.Write(hello); err != nil {
			return false
		}
		if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return false
		}
		var reply [512]byte
		if n, err := conn.Read(reply[:]); err == nil && n >= 4 && reply[0] == hello[0] && reply[3]&0x1f == hello[3] {
			return true
		}
	}
	return false
}

// words are what ipmitool prints, and what that means. It has no codes: its exit status is 1 whatever happened.
var words = []struct {
	printed string
	code    models.Code
	why     string
}{
	{"insufficient resources", models.CodeBusy, "has no session left to %s. The step is tried again; others that are logged in there may have to log out."},
	{"node busy", models.CodeBusy, "is busy and could not %s. The step is tried again."},
	{"insufficient privilege", models.CodeLoginRefused, "does not allow our user to %s. Give the user the right to, or give another one, then resume."},
	{"invalid command", models.CodeNotSupported, "cannot %s: it does not know the command. Do it at the machine."},
	{"not supported", models.CodeNotSupported, "cannot %s: it does not support that. Do it at the machine."},
	{"invalid data field", models.CodeNotSupported, "cannot %s: it does not support that. Do it at the machine."},
}

// fault turns what went wrong over IPMI into a fault that says what could not be done.
func (i *ipmi) fault(ctx context.Context, doing string, err error) error {
	if err == nil || models.AsFault(err) != nil {
		return err
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	text := strings.ToLower(err.Error())
	for _, w := range words {
		if strings.Contains(text, w.printed) {
			return i.t.Faultf(w.code, w.why, doing)
		}
	}
	session := strings.Contains(text, "unable to establish") || strings.Contains(text, "rakp") || strings.Contains(text, "unauthorized name")
	switch {
	case errors.Is(err, errSilent), ctx.Err() != nil, session && !i.tool.answers(ctx):
		return i.t.Faultf(models.CodeUnreachable, "cannot be reached over IPMI to %s: it did not answer in time. Bring it back, or correct its address; the step is tried again.", doing)
	case session:
		return i.t.Faultf(models.CodeLoginRefused, "refused the name %s or its password. Give the right ones, then resume.", i.t.Username)
	}
	return i.t.Faultf(models.CodeTaskFailed, "could not %s: %s. Look at the BMC.", doing, redact(strings.TrimRight(shorten(err.Error()), "."), i.t.Password))
}
