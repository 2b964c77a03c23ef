package api

import (
	"context"

	"github.com/yunshu/yunshu/api/accept"
	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// request is what the middlewares found out about a request, for the handlers.
type request struct {
	id     string // X-Request-Id
	origin store.Origin
	actor  authz.Actor // after authentication
	key    string      // Idempotency-Key of a POST
	hash   []byte      // of method, path and body, for requests that write
	tenant *models.ID  // that a refusal was about, for the audit log
	code   models.Code // of the problem that it is answered with
}

type requestKey struct{}

// scope returns the request's facts. Outside of a request there are none.
func scope(ctx context.Context) *request {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r
	}
	return &request{}
}

// actor returns who asks.
func actor(ctx context.Context) authz.Actor { return scope(ctx).actor }

// change starts the description of a write in the name of the request's actor.
func change(ctx context.Context, action string) store.Change {
	r := scope(ctx)
	return store.Change{Actor: r.actor, RequestID: r.id, Origin: r.origin, Key: r.key, Hash: r.hash, Action: action}
}

// intent is the request as package accept wants it.
func intent(ctx context.Context) accept.Request {
	r := scope(ctx)
	return accept.Request{Actor: r.actor, RequestID: r.id, Origin: r.origin, Key: r.key, Hash: r.hash}
}

// check asks the policies and remembers the tenant, for the audit log: the request may still be refused.
func (a *API) check(ctx context.Context, who authz.Actor, action string, r authz.Resource) error {
	err := a.authz.Check(who, action, r)
	if len(r.Path) > 0 {
		scope(ctx).tenant = &r.Path[len(r.Path)-1]
	}
	return err
}
