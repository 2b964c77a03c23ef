package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/yunshu/yunshu/api/store"
)

// longestText bounds what a client can make the audit log keep of a header or a path.
const longestText = 200

// originOf says from where a request comes.
func originOf(c *gin.Context) store.Origin {
	return store.Origin{RemoteAddress: c.ClientIP(), UserAgent: harmless(c.GetHeader("User-Agent"))}
}

// harmless makes text of any bytes, and not too much of it.
func harmless(s string) string {
	if len(s) > longestText {
		s = s[:longestText]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\x00", "")
}

// auditRefusals writes down every write that was refused to somebody who is known, whatever refused it; of those who
// ask too often one in a while.
func (a *API) auditRefusals(c *gin.Context) {
	c.Next()
	status := c.Writer.Status()
	if c.Request.Method == http.MethodGet || c.Request.Method == http.MethodHead || status < 400 || status >= 500 {
		return
	}
	r := scope(c.Request.Context())
	if status == http.StatusTooManyRequests && !a.limits.note(r.actor.TokenID, time.Now()) {
		return
	}
	action := a.actions()[c.Request.Method+" "+c.FullPath()]
	kind, _, _ := strings.Cut(action, ".")
	on := store.Subject{Kind: kind, ID: harmless(c.Param("id") + c.Param("name")), TenantID: r.tenant}
	a.refusals.Add(change(c.Request.Context(), action), on, r.code)
}

// noteTenant remembers whose tenant a refused create was for, so that the tenant's people find it in the audit log.
func (a *API) noteTenant(ctx context.Context, ref string) {
	if t, err := a.store.Tenant(ctx, ref); err == nil {
		scope(ctx).tenant = &t.ID
	}
}

// routeActions is the action of each route, by its method and path.
func (a *API) routeActions() map[string]string {
	out := map[string]string{}
	for path, item := range a.huma.OpenAPI().Paths {
		route := strings.NewReplacer("{", ":", "}", "").Replace(path)
		for _, op := range []*huma.Operation{item.Post, item.Put, item.Patch, item.Delete} {
			if op != nil {
				out[op.Method+" "+route], _ = op.Metadata[actionKey].(string)
			}
		}
	}
	return out
}

// Flush writes down the refusals that still wait. Call it when the last request was answered.
func (a *API) Flush(ctx context.Context) error { return a.refusals.Flush(ctx) }

// auditRead writes down that somebody is shown what not everybody may see. Call it before the answer.
func (a *API) auditRead(ctx context.Context, action string, on store.Subject, detail any) error {
	return a.store.AuditRead(ctx, change(ctx, action), on, detail)
}
