package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/tracing"
)

// Problem is every error answer, after RFC 9457. It never repeats what was sent.
type Problem struct {
	Type        string              `json:"type" doc:"Where the kind of problem is explained." example:"/errors/quota_exceeded"`
	Title       string              `json:"title" doc:"What kind of problem it is, always the same for one code." example:"Quota exceeded"`
	Status      int                 `json:"status" doc:"The HTTP status." example:"409"`
	Detail      string              `json:"detail,omitempty" doc:"What happened, to what, why, and what to do." example:"The quota of tenant acme does not allow it: 8 vcpu asked, 4 of 16 free."`
	Code        models.Code         `json:"code" doc:"The stable name of the problem; see docs/errors.md." example:"quota_exceeded"`
	RequestID   string              `json:"request_id,omitempty" doc:"Leads to the request in the gateway's log." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	TraceID     string              `json:"trace_id,omitempty" doc:"Leads to everything that every process did for the request." example:"4bf92f3577b34da6a3ce929d0e0e4736"`
	Errors      []models.FieldError `json:"errors,omitempty" doc:"Everything that is wrong with the request, field by field."`
	Shortages   []models.Shortage   `json:"shortages,omitempty" doc:"What was asked, what is free, and where."`
	Reasons     []models.Reason     `json:"reasons,omitempty" doc:"How many hosts could not take the machine, by cause."`
	Missing     string              `json:"missing,omitempty" doc:"The right that you lack." example:"vm.power"`
	OperationID *models.ID          `json:"operation_id,omitempty" format:"uuid" doc:"The operation in the way."`
}

// Error returns the sentence.
func (p *Problem) Error() string { return p.Detail }

// GetStatus returns the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType turns the negotiated type into that of problems.
func (p *Problem) ContentType(string) string { return problemType }

const problemType = "application/problem+json"

// useProblems makes huma speak in problems. Its hooks are package variables, so this happens once.
var useProblems = sync.OnceFunc(func() {
	huma.DefaultArrayNullable = false
	huma.ValidateStrictCasing = true // else NAME passes beside a good name, and is what Go's reader takes
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		if status == 0 {
			return &Problem{} // huma asks for an example, to learn the schema
		}
		return humaProblem(context.Background(), status, msg, errs)
	}
	huma.NewErrorWithContext = func(ctx huma.Context, status int, msg string, errs ...error) huma.StatusError {
		p := humaProblem(ctx.Context(), status, msg, errs)
		for name, value := range p.headers() {
			ctx.SetHeader(name, value)
		}
		return p
	}
})

// humaProblem turns what huma found, or what a handler returned, into a problem.
func humaProblem(ctx context.Context, status int, msg string, errs []error) *Problem {
	if status == http.StatusInternalServerError && len(errs) > 0 {
		return problemOf(ctx, errors.Join(errs...))
	}
	f := models.Faultf(codeOf(status), "%s", sentence(status, msg))
	for _, err := range errs {
		f.Fields = append(f.Fields, fieldOf(err))
	}
	return problemOf(ctx, f)
}

// fieldOf keeps where and what of huma's finding, and drops the offending value.
func fieldOf(err error) models.FieldError {
	var d huma.ErrorDetailer
	if errors.As(err, &d) {
		return models.FieldError{Field: d.ErrorDetail().Location, Message: d.ErrorDetail().Message}
	}
	return models.FieldError{Field: "body", Message: err.Error()}
}

// codeOf is the code of the statuses that huma answers with by itself.
func codeOf(status int) models.Code {
	switch status {
	case http.StatusBadRequest, http.StatusRequestTimeout:
		return models.CodeMalformed
	case http.StatusRequestEntityTooLarge:
		return models.CodeBodyTooLarge
	case http.StatusUnsupportedMediaType:
		return models.CodeUnsupportedMedia
	case http.StatusUnprocessableEntity:
		return models.CodeInvalid
	}
	return models.CodeInternal
}

// sentence says what is wrong in more words than huma does.
func sentence(status int, msg string) string {
	switch status {
	case http.StatusBadRequest:
		if msg == "request body is required" {
			return "The request needs a body of JSON, but has none."
		}
		return "The body is not well-formed JSON."
	case http.StatusUnsupportedMediaType:
		return "The body must be application/json."
	case http.StatusUnprocessableEntity:
		return "The request is not valid. Correct what is listed under errors; nothing was changed."
	}
	return msg
}

// problemOf turns any error into a problem. What is not made for people is logged, and hidden behind the request id.
func problemOf(ctx context.Context, err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	id := scope(ctx).id
	err = store.Fault(err)
	f := models.AsFault(err)
	switch {
	case f == nil && errors.Is(err, context.Canceled):
		f = models.Faultf(models.CodeUnavailable, "The request was given up before it was answered.")
	case f == nil || f.Code.Info().Status == http.StatusInternalServerError || f.Code.Info().Status == 0:
		slog.ErrorContext(ctx, "request failed", "request_id", id, "error", err)
		f = models.Faultf(models.CodeInternal, "We made a mistake. Report the request id; it leads to the mistake in the log.")
	}
	info := f.Code.Info()
	scope(ctx).code = info.Code
	return &Problem{
		Type: "/errors/" + string(info.Code), Title: strings.TrimSuffix(info.Title, "."), Status: info.Status, Detail: f.Message,
		Code: info.Code, RequestID: id, TraceID: tracing.ID(ctx), Errors: f.Fields, Shortages: f.Shortages, Reasons: f.Reasons, OperationID: f.Operation, Missing: f.Missing,
	}
}

// headers are those that go with some problems.
func (p *Problem) headers() map[string]string {
	switch p.Code {
	case models.CodeUnauthenticated:
		return map[string]string{"WWW-Authenticate": `Bearer realm="yunshu"`}
	case models.CodeUnavailable, models.CodeTooManyRequests:
		return map[string]string{"Retry-After": "2"}
	}
	return nil
}

// refuse answers a request with a problem outside of huma, and ends it.
func refuse(c *gin.Context, err error) {
	p := problemOf(c.Request.Context(), err)
	for name, value := range p.headers() {
		if c.Writer.Header().Get(name) == "" {
			c.Header(name, value)
		}
	}
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers can always be encoded
	}
	c.Data(p.Status, problemType, append(body, '\n'))
	c.Abort()
}
