package api

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// ByID is the input of what is about one resource. Embed it.
type ByID struct {
	ID models.ID `path:"id" format:"uuid" doc:"Id of the resource." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
}

// Stamps is what the answer about every changeable resource ends with.
type Stamps struct {
	Version   int64     `json:"version" doc:"Counts up with every change; the ETag." example:"1"`
	CreatedAt time.Time `json:"created_at" doc:"When it was made." example:"2026-11-23T08:00:00Z"`
	UpdatedAt time.Time `json:"updated_at" doc:"When it was last changed." example:"2026-11-23T08:00:00Z"`
}

func stamps(s models.Stamps) Stamps {
	return Stamps{Version: s.Version, CreatedAt: s.CreatedAt.UTC(), UpdatedAt: s.UpdatedAt.UTC()}
}

// Size is what a machine takes, or a host has.
type Size struct {
	VCPU       int64 `json:"vcpu" doc:"Virtual processors." example:"4"`
	MemoryMiB  int64 `json:"memory_mib" doc:"Memory in MiB." example:"8192"`
	StorageGiB int64 `json:"storage_gib" doc:"Storage in GiB." example:"40"`
	GPU        int64 `json:"gpu" doc:"Graphics processors." example:"0"`
}

// platformWrite runs a write on something that belongs to the platform, if the actor may.
func platformWrite[T any](ctx context.Context, a *API, c store.Change, fn func(tx *gorm.DB) (store.Answer[T], error)) (store.Answer[T], error) {
	kind, _, _ := strings.Cut(c.Action, ".")
	return store.Write(ctx, a.store, c, func(tx store.Tx) (store.Answer[T], error) {
		if err := a.check(ctx, tx.Actor, c.Action, authz.Resource{Kind: kind}); err != nil {
			return store.Answer[T]{}, err
		}
		return fn(tx.DB)
	})
}

// mayRead refuses a read of the platform's own to those who may not.
func (a *API) mayRead(ctx context.Context, kind string) error {
	return a.check(ctx, actor(ctx), kind+".read", authz.Resource{Kind: kind})
}

// mayReadOne refuses a read of one of the platform's own to those who may not, and who do not maintain it either.
func (a *API) mayReadOne(ctx context.Context, kind string, id models.ID) error {
	_, err := a.checkOn(ctx, kind+".read", authz.Resource{Kind: kind}, id.String())
	return err
}

// restructure is a change of the shape of things.
func restructure(c store.Change) store.Change {
	c.Restructure = true
	return c
}

// trial is a change that may be a dry run.
func trial(c store.Change, d DryRun) store.Change {
	c.DryRun = d.DryRun
	return c
}

// one answers with one resource.
func one[T any](body T, version int64) *Resource[T] {
	return &Resource[T]{ETag: etag(version), Body: body}
}

// seen answers with one resource of which more is shown than its row has: counts, names, room. Its ETag begins with the
// version, for changes, and ends with a mark of all that is shown, so that nobody keeps an answer that is no longer so.
func seen[T any](body T, version int64) (*Resource[T], error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("make the ETag: %w", err)
	}
	h := fnv.New32a()
	h.Write(raw)
	return &Resource[T]{ETag: fmt.Sprintf(`"%d-%08x"`, version, h.Sum32()), Body: body}, nil
}

// removed is the answer of a delete.
func removed(kind string, id any, name string) store.Answer[struct{}] {
	s := subject(kind, id, name)
	return store.Answer[struct{}]{Status: http.StatusNoContent, Subject: s}
}

// subject names what a change of the platform's own is about.
func subject(kind string, id any, name string) store.Subject {
	text, ok := id.(string)
	if i, isID := id.(models.ID); isID && !ok {
		text = i.String()
	}
	return store.Subject{Kind: kind, ID: text, Name: name}
}

// afterOrNone is the id that a page begins behind.
func afterOrNone(p Paging, filters ...string) (store.IDPage, error) {
	page := store.IDPage{Limit: p.Limit + 1}
	after, err := p.afterID(filters...)
	if after != "" {
		page.After = uuid.MustParse(after) // afterID has looked at it
	}
	return page, err
}

// set gives a field of a change its new value, if the request has one.
func set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

// faulty is an invalid request with several things wrong, or nil.
func faulty(wrong []models.FieldError) error {
	if len(wrong) == 0 {
		return nil
	}
	f := invalid("", "")
	f.Fields = wrong
	return f
}
