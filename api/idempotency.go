package api

import (
	"net/http"

	"github.com/yunshu/yunshu/api/store"
)

// Idempotent is the input of every POST. Embed it. The key itself goes through the request's facts to whoever begins
// the transaction.
type Idempotent struct {
	IdempotencyKey string `header:"Idempotency-Key" minLength:"1" maxLength:"255" pattern:"^[\\x21-\\x7e]+$" patternDescription:"visible ASCII" doc:"Recognises a repetition of the same request, which then gets the answer of the first." example:"5f0c7b1e-create-web-1"`
}

// DryRun is the input of every create. Embed it.
type DryRun struct {
	DryRun bool `query:"dry_run" doc:"Check everything, answer what would be created, and change nothing."`
}

// created answers with what a create made, or would make, or had made before.
func created[T any](answer store.Answer[T], dryRun bool, version int64) *Resource[T] {
	out := &Resource[T]{Status: answer.Status, Location: answer.Location, Body: answer.Body}
	if dryRun {
		out.Status, out.Location = http.StatusOK, ""
		return out
	}
	if version > 0 {
		out.ETag = etag(version)
	}
	return out
}
