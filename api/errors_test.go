package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/yunshu/yunshu/models"
)

// TestErrorsAreDocumented keeps docs/errors.md what the code says; -update writes it.
func TestErrorsAreDocumented(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	fmt.Fprint(&out, "# Errors\n\nGenerated from `models/fault.go`; do not edit. One vocabulary: the `code` of a problem, the error type in Temporal,\n"+
		"and `error_code` of an operation.\n\nA later attempt may succeed, without any change to the request, where *again* says yes.\n")
	section := func(title string, pick func(models.CodeInfo) bool) {
		fmt.Fprintf(&out, "\n## %s\n\n| code | status | title | again | what happened | what to do |\n|---|---|---|---|---|---|\n", title)
		for _, c := range models.Codes {
			if !pick(c) {
				continue
			}
			status, again := "–", "no"
			if c.Status != 0 {
				status = fmt.Sprint(c.Status)
			}
			if c.Retryable {
				again = "yes"
			}
			fmt.Fprintf(&out, "| `%s` | %s | %s | %s | %s | %s |\n", c.Code, status, c.Title, again, c.Meaning, c.Remedy)
		}
	}
	section("Of requests that were refused", func(c models.CodeInfo) bool { return c.Status != 0 })
	section("Of operations that failed or are blocked", func(c models.CodeInfo) bool { return c.Status == 0 })
	golden(t, "../docs/errors.md", []byte(out.String()))
}
