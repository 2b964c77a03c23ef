package models

import (
	"net/url"
	"slices"
	"strings"
)

// Longest texts of a Netboot.
const (
	longestAddress = 2048
	longestArgs    = 1000
)

// Mistakes says what is wrong with how an image is booted; at is where it stands in the request. Its texts become lines of
// an iPXE script, so nothing that iPXE reads as more than a word may be in them.
func (n Netboot) Mistakes(at string) []FieldError {
	var out []FieldError
	say := func(field, message string) { out = append(out, FieldError{Field: at + field, Message: message}) }
	for _, a := range []struct{ field, text string }{{".kernel", n.Kernel}, {".initrd", n.Initrd}, {".iso", n.ISO}} {
		if a.text != "" && !bootAddress(a.text) {
			say(a.field, "must be an http or https address without a user, of at most 2048 visible ASCII characters")
		}
	}
	if !bootArgs(n.Args) {
		say(".args", "must be at most 1000 printable ASCII characters on one line, without ${, a backslash, the words ||, && and ;, and without yunshu.…, which the gateway adds")
	}
	if n.Kernel == "" && n.ISO == "" {
		say("", "needs a kernel, an iso, or both")
	}
	if n.Kernel == "" && (n.Initrd != "" || n.Args != "") {
		say(".kernel", "is needed where an initrd or args are given")
	}
	return out
}

// Network reports whether the image can be booted from the network.
func (n Netboot) Network() bool { return n.Kernel != "" }

func bootAddress(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil &&
		len(text) <= longestAddress && !strings.Contains(text, " ") && oneWord(text)
}

func bootArgs(text string) bool {
	return len(text) <= longestArgs && oneWord(text) && !slices.ContainsFunc(strings.Fields(text), func(word string) bool {
		return word == "||" || word == "&&" || word == ";" || strings.HasPrefix(word, "yunshu.")
	})
}

// oneWord reports whether iPXE takes a text as it is: it has no control characters, no settings and no continued lines.
func oneWord(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) && !strings.Contains(text, "${") && !strings.Contains(text, `\`)
}
