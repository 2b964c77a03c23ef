// Package authz decides who may do what. The policies are a few static sentences in policies.cedar; which actor has
// which role on which tenant is data.
package authz

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"github.com/yunshu/yunshu/models"
)

//go:embed policies.cedar
var policies []byte

// Actor is who asks: a user, the token they came with, and the roles they have.
type Actor struct {
	ID       models.ID
	Name     string
	TokenID  models.ID
	Narrowed bool // the token may do less than its owner
	Bindings []models.RoleBinding
}

// Answerable is whose responsibilities for resources count: with a narrowed token nobody's.
func (a Actor) Answerable() models.ID {
	if a.Narrowed {
		return models.NoID
	}
	return a.ID
}

// Platform reports whether the actor has a role on the whole platform.
func (a Actor) Platform() bool {
	return slices.ContainsFunc(a.Bindings, func(b models.RoleBinding) bool { return b.TenantID == nil })
}

// Tenants lists the tenants on which the actor has a role.
func (a Actor) Tenants() []models.ID {
	out := []models.ID{}
	for _, b := range a.Bindings {
		if b.TenantID != nil {
			out = append(out, *b.TenantID)
		}
	}
	return out
}

// Resource is what someone wants to act on: its kind, and the path of tenants from the root down to its owner. What
// belongs to the platform has no path. Frozen is what belongs to a suspended tenant. Maintained says that the actor is
// responsible for it.
type Resource struct {
	Kind       string
	Path       []models.ID
	Frozen     bool
	Maintained bool
}

// Nowhere is the path of what there is not. Nobody has a role there, so that it is judged like what is somebody else's, in
// the same words and with the same work: neither tells whether there is something.
var Nowhere = []models.ID{models.NoID}

// Authorizer answers by the policies. A decision depends only on the effective roles and the action, so each is asked
// of Cedar once.
type Authorizer struct {
	policies *cedar.PolicySet
	entities types.EntityMap
	asked    sync.Map // of question to bool
}

type question struct{ roles, action string }

// New reads the policies.
func New() (*Authorizer, error) {
	set, err := cedar.NewPolicySetFromBytes("policies.cedar", policies)
	if err != nil {
		return nil, fmt.Errorf("read policies.cedar: %w", err)
	}
	entities := types.EntityMap{}
	for _, action := range Actions() {
		var parents []types.EntityUID
		for _, word := range groupsOf(action) {
			group := types.NewEntityUID("Action", types.String(word))
			entities[group] = types.Entity{UID: group}
			parents = append(parents, group)
		}
		uid := types.NewEntityUID("Action", types.String(action))
		entities[uid] = types.Entity{UID: uid, Parents: types.NewEntityUIDSet(parents...)}
	}
	return &Authorizer{policies: set, entities: entities}, nil
}

// Can reports whether the actor may do this to the resource.
func (a *Authorizer) Can(actor Actor, action string, r Resource) bool {
	return a.allows(effective(actor, r), action, r.Kind)
}

// allows reports whether the roles together allow the action.
func (a *Authorizer) allows(roles []string, action, kind string) bool {
	q := question{strings.Join(roles, " "), action}
	if known, ok := a.asked.Load(q); ok {
		return known.(bool)
	}
	answer := a.ask(roles, action, kind)
	a.asked.Store(q, answer)
	return answer
}

// Check returns nil if the actor may, a not-found fault if they may not even know of the resource, and a forbidden
// fault if they see it but may not do this.
// A right to change what is frozen is there, but of no use until the tenant is resumed.
func (a *Authorizer) Check(actor Actor, action string, r Resource) error {
	if a.Can(actor, action, r) {
		if frozen(action, r) {
			return models.Faultf(models.CodeSuspended, suspended)
		}
		return nil
	}
	if len(r.Path) > 0 && !a.Can(actor, "tenant.read", r) {
		return models.Faultf(models.CodeNotFound, "There is no such %s that you can see.", r.Kind)
	}
	return a.forbidden(action, r)
}

const suspended = "The tenant, or one above it, is suspended: what it has can be read, and nothing can be changed. Ask an admin of what is above it to resume it."

// frozen reports whether an action has to wait until the tenant is resumed.
func frozen(action string, r Resource) bool {
	return r.Frozen && slices.Contains(groupsOf(action), "freeze")
}

// effective returns the actor's roles on the resource, sorted, each once.
func effective(actor Actor, r Resource) []string {
	var roles []string
	if len(r.Path) == 0 {
		roles = append(roles, "everyone") // what is the platform's own is there for all
	}
	for _, b := range actor.Bindings {
		switch {
		case b.TenantID == nil:
			roles = append(roles, "platform:"+string(b.Role))
		case slices.Contains(r.Path, *b.TenantID):
			roles = append(roles, "tenant:"+string(b.Role))
		}
	}
	if r.Maintained {
		roles = append(roles, "maintainer")
	}
	slices.Sort(roles)
	return slices.Compact(roles)
}

func (a *Authorizer) ask(roles []string, action, kind string) bool {
	if groupsOf(action) == nil {
		return false // an action without a place in the policies is nobody's
	}
	set := make([]types.Value, len(roles))
	for i, r := range roles {
		set[i] = types.String(r)
	}
	principal := types.NewEntityUID("Actor", "actor")
	entities := types.EntityMap{principal: {UID: principal, Attributes: types.NewRecord(types.RecordMap{"roles": types.NewSet(set...)})}}
	for uid, e := range a.entities {
		entities[uid] = e
	}
	decision, _ := cedar.Authorize(a.policies, entities, cedar.Request{
		Principal: principal, Action: types.NewEntityUID("Action", types.String(action)), Resource: types.NewEntityUID("Resource", types.String(kind)),
	})
	return decision == cedar.Allow
}
