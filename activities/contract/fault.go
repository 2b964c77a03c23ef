package contract

import (
	"cmp"
	"context"
	"errors"

	"go.temporal.io/sdk/temporal"

	"github.com/yunshu/yunshu/models"
)

// Error turns an activity's error into the form in which it crosses Temporal: the type is the fault's code, the
// detail is the fault, and a fault that no later attempt can mend ends the retries. Every activity returns through it.
func Error(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || temporal.IsCanceledError(err) {
		return err
	}
	f := models.AsFault(err)
	if f == nil {
		f = models.Faultf(models.CodeInternal, "%v", err)
	}
	return temporal.NewApplicationErrorWithOptions(f.Message, string(f.Code), temporal.ApplicationErrorOptions{
		NonRetryable: !f.Code.Info().Retryable,
		Details:      []any{*f},
		Cause:        errors.Unwrap(f),
	})
}

// FaultOf reads the fault back out of the error that an activity or workflow returned.
func FaultOf(err error) *models.Fault {
	if err == nil {
		return nil
	}
	if f := models.AsFault(err); f != nil {
		return f
	}
	if temporal.IsCanceledError(err) || errors.Is(err, context.Canceled) {
		return models.Faultf(models.CodeCancelled, "The operation was cancelled.")
	}
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		f := &models.Fault{}
		if app.HasDetails() && app.Details(f) == nil && f.Code != "" {
			return f
		}
		// An error that did not come through Error has no type of ours.
		return models.Faultf(cmp.Or(models.Code(app.Type()), models.CodeInternal), "%s", app.Message())
	}
	var timeout *temporal.TimeoutError
	if errors.As(err, &timeout) {
		if last := errors.Unwrap(timeout); last != nil {
			return FaultOf(last)
		}
		return models.Faultf(models.CodeUnreachable, "The worker stopped answering in the middle of the step.")
	}
	return models.Faultf(models.CodeInternal, "%v", err)
}
