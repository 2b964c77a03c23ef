package api

import (
	"context"
	"slices"
	"time"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// narrow narrows a new token to what the request says. What somebody makes for themselves with a narrowed token is
// narrowed like that one, and does not last longer: no token is the way to a wider one.
func (a *API) narrow(ctx context.Context, tx store.Tx, row *models.Token, in *tokenCreate) error {
	var path []models.ID
	if in.Body.Tenant != "" {
		t, err := a.tenantToBind(ctx, tx, in.Body.Tenant)
		if err != nil {
			return err
		}
		row.TenantID, path = &t.ID, t.Path
	}
	if len(in.Body.Roles) > 0 {
		row.Roles = in.Body.Roles
	}
	if !tx.Actor.Narrowed || row.ActorID != tx.Actor.ID {
		return nil
	}
	mine, err := store.Token(tx.DB, tx.Actor.TokenID)
	if err != nil {
		return err
	}
	if in.Body.ExpiresAt == nil && row.ExpiresAt.After(mine.ExpiresAt) {
		row.ExpiresAt = mine.ExpiresAt
	}
	return inherit(mine, row, path)
}

// inherit keeps a token within the one that it is made with. Path is that of the tenant that was asked for.
func inherit(mine models.Token, row *models.Token, path []models.ID) error {
	switch {
	case row.ExpiresAt.After(mine.ExpiresAt):
		return invalid("body.expires_at", "must not be later than the end of your own token, which is narrowed: "+mine.ExpiresAt.UTC().Format(time.RFC3339))
	case row.TenantID == nil:
		row.TenantID = mine.TenantID
	case mine.TenantID != nil && !slices.Contains(path, *mine.TenantID):
		return invalid("body.tenant", "must be the tenant that your own token is narrowed to, or one below it")
	}
	if row.Roles == nil {
		row.Roles = mine.Roles
	}
	for _, role := range row.Roles {
		if mine.Roles != nil && !slices.ContainsFunc(mine.Roles, func(held models.Role) bool { return held.Covers(role) }) {
			return invalid("body.roles", "must be roles that your own token is narrowed to, or lesser ones")
		}
	}
	return nil
}

// useful refuses a narrowed token that may do nothing.
func useful(tx store.Tx, row models.Token) error {
	if row.TenantID == nil && row.Roles == nil {
		return nil
	}
	left, err := store.TokenBindings(tx.DB, row.ID)
	if err != nil {
		return err
	}
	if len(left) == 0 {
		return invalid("body.roles", "leaves nothing that the token may do: none of its owner's roles covers these on that tenant")
	}
	return nil
}

// tokenOwner finds whose tokens a request is about: one's own, those of a service account whose tenant one governs, or
// for an admin of the platform those of anybody.
func (a *API) tokenOwner(ctx context.Context, tx store.Tx, ref, action string) (models.User, error) {
	who := tx.Actor
	if ref == "" || ref == who.Name || ref == who.ID.String() {
		return models.User{ID: who.ID, Name: who.Name}, nil
	}
	if a.authz.Can(who, action, authz.Resource{Kind: "user"}) {
		return store.FindUser(tx.DB, ref)
	}
	others := models.Faultf(models.CodeForbidden, "You may only work with your own tokens, and with those of the service accounts of tenants that you are an admin of; those of others are the business of an admin of the platform.")
	s, err := a.account(ctx, tx, ref, "service-account.update")
	if f := models.AsFault(err); f != nil && (f.Code == models.CodeNotFound || f.Code == models.CodeForbidden) {
		return s.User, others
	}
	if err != nil {
		return s.User, err
	}
	return s.User, a.coversAccount(ctx, tx, s.User)
}

// coversAccount refuses to hand out tokens of a service account that may do what one may not give oneself.
func (a *API) coversAccount(ctx context.Context, tx store.Tx, u models.User) error {
	bindings, err := store.BindingsOf(tx.DB, u.ID)
	if err != nil {
		return err
	}
	for _, b := range bindings {
		if a.check(ctx, tx.Actor, "role-"+string(b.Role)+".give", bindingResource(b)) != nil {
			return models.Faultf(models.CodeForbidden, "%s has the role %s on %s, which you may not give. Its tokens are the business of those who may.", u.Name, b.Role, b.TenantName)
		}
	}
	return nil
}
