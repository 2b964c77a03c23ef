package bmclib

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/stmcginnis/gofish/common"

	"github.com/yunshu/yunshu/activities/baremetal"
	"github.com/yunshu/yunshu/models"
)

// fault turns what went wrong over Redfish into a fault that says what could not be done. Faults and cancellations pass. It
// keeps no cause: a BMC may repeat in an error what it was sent, a password even.
func fault(ctx context.Context, t baremetal.Target, doing string, err error) error {
	if err == nil || models.AsFault(err) != nil {
		return err
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	err = inner(err)
	var wrong *mismatch
	if errors.As(err, &wrong) {
		return t.Faultf(models.CodeCertificateMismatch, "shows a certificate with the SHA-256 fingerprint %s instead of the pinned %s. If it was replaced on purpose, give the new fingerprint; otherwise find out who stands in between.", wrong.shown, wrong.pinned)
	}
	var answer *common.Error
	if errors.As(err, &answer) && answer.HTTPReturnedStatusCode != 0 {
		return answered(t, doing, answer)
	}
	return t.Faultf(models.CodeUnreachable, "cannot be reached to %s: %s. Bring it back, or correct its address; the step is tried again.", doing, broken(ctx, t, err))
}

// inner finds what gofish hides when it reads many documents at once: the first of their errors, by their address.
func inner(err error) error {
	var many *common.CollectionError
	for errors.As(err, &many) && len(many.Failures) > 0 {
		err = many.Failures[slices.Min(slices.Collect(maps.Keys(many.Failures)))]
	}
	return err
}

// status is the HTTP status in an error, or 0.
func status(err error) int {
	var answer *common.Error
	if errors.As(inner(err), &answer) {
		return answer.HTTPReturnedStatusCode
	}
	return 0
}

// answered classifies an HTTP status that is not success.
func answered(t baremetal.Target, doing string, answer *common.Error) error {
	says := detail(t, answer)
	switch status := answer.HTTPReturnedStatusCode; status {
	case http.StatusUnauthorized:
		return t.Faultf(models.CodeLoginRefused, "refused the name %s or its password. Give the right ones, then resume.", t.Username)
	case http.StatusForbidden:
		return t.Faultf(models.CodeLoginRefused, "does not allow the user %s to %s%s. Give the user the right to, or give another one, then resume.", t.Username, doing, says)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout, http.StatusConflict, http.StatusPreconditionFailed, http.StatusInternalServerError:
		return t.Faultf(models.CodeBusy, "could not %s: it answered with status %d%s. The step is tried again.", doing, status, says)
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return t.Faultf(models.CodeNotSupported, "cannot %s: it answered with status %d%s. Update its firmware, or do it there by hand.", doing, status, says)
	default:
		if strings.Contains(answer.Error(), "SessionLimitExceeded") {
			return t.Faultf(models.CodeBusy, "has no session left to %s. The step is tried again; others that are logged in there may have to log out.", doing)
		}
		return t.Faultf(models.CodeTaskFailed, "refused to %s: it answered with status %d%s. Look at the BMC.", doing, status, says)
	}
}

// detail is what the BMC itself says, if it is short enough to help. The passwords are not in it.
func detail(t baremetal.Target, answer *common.Error) string {
	text := answer.Message
	if len(answer.ExtendedInfos) > 0 && answer.ExtendedInfos[0].Message != "" {
		text = answer.ExtendedInfos[0].Message
	}
	text = strings.TrimRight(strings.Join(strings.Fields(text), " "), ".")
	if text == "" || len(text) > 300 || strings.HasPrefix(text, "<") {
		return ""
	}
	return " (" + redact(text, t.Password) + ")"
}

// redact takes passwords out of a text.
func redact(text string, passwords ...string) string {
	for _, p := range passwords {
		if p != "" {
			text = strings.ReplaceAll(text, p, "[redacted]")
		}
	}
	return text
}

// broken says what is wrong between us and a BMC, in words of our own where there are some.
func broken(ctx context.Context, t baremetal.Target, err error) string {
	var syntax *json.SyntaxError
	var dns *net.DNSError
	var timeout net.Error
	text := err.Error()
	switch {
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "it did not answer in time"
	case errors.Is(err, io.ErrUnexpectedEOF), strings.HasSuffix(text, "unexpected end of JSON input"):
		return "its answer ended half-way"
	case errors.As(err, &syntax):
		return "its answer is not JSON, so it does not speak Redfish there"
	case errors.Is(err, io.EOF):
		return "it hung up without an answer"
	case errors.As(err, &dns):
		return "its name cannot be resolved"
	}
	if i := strings.LastIndex(text, `": `); i >= 0 {
		text = text[i+3:]
	}
	return redact(strings.TrimRight(shorten(text), "."), t.Password)
}
