package authz

import (
	"fmt"
	"slices"
	"strings"

	"github.com/yunshu/yunshu/models"
)

// Explanation says whether an actor may do something, and why or why not.
type Explanation struct {
	Action  string
	Allowed bool
	Why     string
}

// Explain answers "may I?" and "why not?". The caller has made sure that the actor may know of the resource.
func (a *Authorizer) Explain(actor Actor, action string, r Resource) Explanation {
	for _, role := range effective(actor, r) {
		if a.allows([]string{role}, action, r.Kind) {
			if frozen(action, r) {
				return Explanation{Action: action, Why: suspended}
			}
			return Explanation{Action: action, Allowed: true, Why: allowedBy(role)}
		}
	}
	return Explanation{Action: action, Why: a.whyNot(action, r)}
}

// allowedBy is the reason of a yes.
func allowedBy(role string) string {
	where, name, _ := strings.Cut(role, ":")
	switch where {
	case "everyone":
		return "Everyone may."
	case "maintainer":
		return "You are a maintainer of it, or of what it stands in."
	case "platform":
		return fmt.Sprintf("You have the role %s on the platform.", name)
	}
	return fmt.Sprintf("You have the role %s on the tenant, or on one above it.", name)
}

// forbidden names the missing right, and who has it.
func (a *Authorizer) forbidden(action string, r Resource) *models.Fault {
	f := models.Faultf(models.CodeForbidden, "%s", a.whyNot(action, r))
	f.Missing = action
	return f
}

func (a *Authorizer) whyNot(action string, r Resource) string {
	var by []string
	if len(r.Path) > 0 {
		if names := a.granting("tenant:", models.TenantRoles, action, r.Kind); names != "" {
			by = append(by, names+" on the tenant or above it")
		}
	}
	if names := a.granting("platform:", models.PlatformRoles, action, r.Kind); names != "" {
		by = append(by, names+" on the platform")
	}
	if a.allows([]string{"maintainer"}, action, r.Kind) {
		by = append(by, "maintainer of it")
	}
	if by == nil {
		return fmt.Sprintf("You lack the right %s here. No role gives it.", action)
	}
	return fmt.Sprintf("You lack the right %s here. It comes with these roles: %s. Ask someone who may give you one.", action, strings.Join(by, "; "))
}

// granting lists the roles of one place that allow the action, the weakest first: one asks for the least.
func (a *Authorizer) granting(place string, roles []models.Role, action, kind string) string {
	var names []string
	for _, role := range slices.Backward(roles) {
		if a.allows([]string{place + string(role)}, action, kind) {
			names = append(names, string(role))
		}
	}
	return strings.Join(names, ", ")
}
