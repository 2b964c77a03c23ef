package api

import (
	"cmp"
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// ServiceAccount is a program that belongs to a tenant and acts by tokens.
type ServiceAccount struct {
	ID       models.ID `json:"id" format:"uuid" doc:"Id of the service account." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Name     string    `json:"name" doc:"Its name in the tenant." example:"ci"`
	FullName string    `json:"full_name" doc:"How it is called as a user, such as in role bindings and in the audit log." example:"ci@acme/dev"`
	TenantID models.ID `json:"tenant_id" format:"uuid" doc:"The tenant that it belongs to. Its roles count there and below." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6c"`
	Tenant   string    `json:"tenant" doc:"Full name of the tenant." example:"acme/dev"`
	Stamps
}

type serviceAccountCreate struct {
	Idempotent
	DryRun
	Body struct {
		_      struct{} `additionalProperties:"false"`
		Name   string   `json:"name" minLength:"1" maxLength:"63" pattern:"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" patternDescription:"a DNS label: small letters, digits and inner hyphens" doc:"Its name in the tenant." example:"ci"`
		Tenant string   `json:"tenant" minLength:"1" maxLength:"1100" doc:"Full name or id of the tenant that it belongs to." example:"acme/dev"`
	}
}

type serviceAccountList struct {
	Paging
	Tenant string `query:"tenant" maxLength:"1100" doc:"Only those of this tenant itself, by full name or id." example:"acme/dev"`
}

type serviceAccountDelete struct {
	ByID
	Precondition
}

func (a *API) registerServiceAccounts(h huma.API) {
	register(h, endpoint{ID: "list-service-accounts", Method: http.MethodGet, Path: "/v1/service-accounts", Action: "service-account.read", Summary: "List service accounts",
		Description: "Those of the tenants that you see."}, a.listServiceAccounts)
	register(h, endpoint{ID: "create-service-account", Method: http.MethodPost, Path: "/v1/service-accounts", Action: "service-account.create", Status: http.StatusCreated, Summary: "Create a service account",
		Description: "A program that belongs to a tenant. It may do nothing before it has a role, and has no roles outside of its tenant. Make its tokens with POST /v1/tokens."}, a.createServiceAccount)
	register(h, endpoint{ID: "get-service-account", Method: http.MethodGet, Path: "/v1/service-accounts/{id}", Action: "service-account.read", Summary: "Read a service account"}, a.getServiceAccount)
	register(h, endpoint{ID: "delete-service-account", Method: http.MethodDelete, Path: "/v1/service-accounts/{id}", Action: "service-account.delete", Summary: "Delete a service account",
		Description: "Its tokens end at once, and its roles with them. What it did stays in the audit log."}, a.deleteServiceAccount)
}

func (a *API) listServiceAccounts(ctx context.Context, in *serviceAccountList) (*ListOutput[ServiceAccount], error) {
	var tenant *models.ID
	if in.Tenant != "" {
		t, err := a.visibleTenant(ctx, in.Tenant)
		if err != nil {
			return nil, err
		}
		tenant = &t.ID
	}
	filters := []string{"service accounts", in.Tenant}
	after, err := in.afterID(filters...)
	if err != nil {
		return nil, err
	}
	rows, err := a.store.ServiceAccounts(ctx, store.ScopeOf(actor(ctx)), tenant, store.Page{After: after, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	return pageOf(in.Paging, rows, store.ServiceAccount.Key, wireServiceAccount, filters...), nil
}

func (a *API) createServiceAccount(ctx context.Context, in *serviceAccountCreate) (*Resource[ServiceAccount], error) {
	c := trial(change(ctx, "service-account.create"), in.DryRun)
	c.Share = true
	answer, err := store.Write(ctx, a.store, c, func(tx store.Tx) (store.Answer[ServiceAccount], error) {
		t, err := a.tenantToBind(ctx, tx, in.Body.Tenant)
		if err != nil {
			return store.Answer[ServiceAccount]{}, err
		}
		if err := a.check(ctx, tx.Actor, "service-account.create", t.Resource("service-account")); err != nil {
			return store.Answer[ServiceAccount]{}, err
		}
		row := store.ServiceAccount{User: models.User{ID: models.NewID(), Name: in.Body.Name + "@" + t.FullName, TenantID: &t.ID}, TenantName: t.FullName, Path: t.Path}
		if err := store.CreateUser(tx.DB, &row.User); err != nil {
			return store.Answer[ServiceAccount]{}, err
		}
		return store.Created(path("service-accounts/%s", row.ID), wireServiceAccount(row), serviceAccountSubject(row)), nil
	})
	if err != nil {
		return nil, err
	}
	return created(answer, c.DryRun, answer.Body.Version), nil
}

func (a *API) getServiceAccount(ctx context.Context, in *ByID) (*Resource[ServiceAccount], error) {
	s, err := a.account(ctx, a.now(ctx), in.ID.String(), "service-account.read")
	if err != nil {
		return nil, err
	}
	return one(wireServiceAccount(s), s.Version), nil
}

func (a *API) deleteServiceAccount(ctx context.Context, in *serviceAccountDelete) (*struct{}, error) {
	_, err := store.Write(ctx, a.store, restructure(change(ctx, "service-account.delete")), func(tx store.Tx) (store.Answer[struct{}], error) {
		s, err := a.account(ctx, tx, in.ID.String(), "service-account.delete")
		if err != nil {
			return store.Answer[struct{}]{}, err
		}
		if err := in.holds(s.Version); err != nil {
			return store.Answer[struct{}]{}, err
		}
		return store.Answer[struct{}]{Subject: serviceAccountSubject(s)}, store.DeleteUser(tx.DB, s.ID)
	})
	a.tokens.after(err)
	return nil, err
}

// account finds a service account by its id or full name, for somebody who may do this to it.
func (a *API) account(ctx context.Context, tx store.Tx, ref, action string) (store.ServiceAccount, error) {
	s, err := store.FindServiceAccount(tx.DB, ref)
	if models.IsCode(err, models.CodeNotFound) {
		s.Path = authz.Nowhere
	} else if err != nil {
		return s, err
	}
	return s, cmp.Or(a.check(ctx, tx.Actor, action, serviceAccountResource(s)), err)
}

func serviceAccountResource(s store.ServiceAccount) authz.Resource {
	return authz.Resource{Kind: "service-account", Path: s.Path}
}

func serviceAccountSubject(s store.ServiceAccount) store.Subject {
	return store.Subject{Kind: "service-account", ID: s.ID.String(), Name: s.Name, TenantID: s.TenantID}
}

func wireServiceAccount(s store.ServiceAccount) ServiceAccount {
	name, _, _ := strings.Cut(s.Name, "@")
	return ServiceAccount{ID: s.ID, Name: name, FullName: s.Name, TenantID: *s.TenantID, Tenant: s.TenantName, Stamps: stamps(s.User.Stamps)}
}
