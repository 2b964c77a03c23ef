package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// Me is who a token belongs to, and what they may do.
type Me struct {
	ID       models.ID  `json:"id" format:"uuid" doc:"Id of the user." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Name     string     `json:"name" doc:"Name of the user." example:"ada"`
	TokenID  models.ID  `json:"token_id" format:"uuid" doc:"Id of the token that this request came with." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6b"`
	Narrowed *Narrowing `json:"narrowed,omitempty" doc:"How the token may do less than its owner; absent: it may do all that they may."`
	Bindings []Binding  `json:"bindings" doc:"The roles that count with this token."`
}

// Binding is a role on a tenant and everything below it, or on the platform.
type Binding struct {
	Role     models.Role `json:"role" enum:"owner,admin,operator,auditor,member,viewer" doc:"The role." example:"member"`
	TenantID *models.ID  `json:"tenant_id,omitempty" format:"uuid" doc:"The tenant; absent for a role on the platform." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6c"`
	Tenant   string      `json:"tenant,omitempty" doc:"Full name of the tenant." example:"acme/dev"`
}

func (a *API) registerMe(h huma.API) {
	register(h, endpoint{ID: "get-me", Method: http.MethodGet, Path: "/v1/me", Action: "me.read", Summary: "Who am I?",
		Description: "Tells whom the token belongs to, and their roles."}, a.getMe)
}

func (a *API) getMe(ctx context.Context, _ *struct{}) (*Resource[Me], error) {
	who := actor(ctx)
	names, err := a.store.TenantNames(ctx, who.Tenants())
	if err != nil {
		return nil, err
	}
	me := Me{ID: who.ID, Name: who.Name, TokenID: who.TokenID, Bindings: []Binding{}}
	for _, b := range who.Bindings {
		wire := Binding{Role: b.Role, TenantID: b.TenantID}
		if b.TenantID != nil {
			wire.Tenant = names[*b.TenantID]
		}
		me.Bindings = append(me.Bindings, wire)
	}
	if who.Narrowed {
		if me.Narrowed, err = a.narrowed(ctx, who.TokenID); err != nil {
			return nil, err
		}
	}
	return &Resource[Me]{Body: me}, nil
}

func (a *API) narrowed(ctx context.Context, token models.ID) (*Narrowing, error) {
	t, err := store.Token(a.store.DB.WithContext(ctx), token)
	if err != nil {
		return nil, err
	}
	names, err := a.store.TenantNames(ctx, narrowedTo(t))
	if err != nil {
		return nil, err
	}
	out := narrowing(t, names)
	return &out, nil
}
