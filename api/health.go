package api

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.temporal.io/sdk/client"

	"github.com/yunshu/yunshu/models"
)

// plainRoutes are those that are not part of the contract.
func (a *API) plainRoutes(registry *prometheus.Registry) {
	a.engine.GET("/healthz", func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"status": "ok", "version": a.version}) })
	a.engine.GET("/readyz", a.ready)
	a.engine.GET("/metrics", gin.WrapH(promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
	a.engine.GET("/openapi.json", constant("application/openapi+json", func() ([]byte, error) { return a.OpenAPI().MarshalJSON() }))
	a.engine.GET("/openapi.yaml", constant("application/openapi+yaml", func() ([]byte, error) { return a.OpenAPI().YAML() }))
	a.engine.GET("/docs", constant("text/html; charset=utf-8", a.docs))
	a.engine.GET("/errors/:code", explain)
}

// ready says whether requests can be served. Temporal being down does not hinder that: work is accepted all the same.
func (a *API) ready(c *gin.Context) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), 2*time.Second)
	defer cancel()
	body := gin.H{"status": "ready", "postgres": "up", "temporal": a.temporalHealth(ctx)}
	status := http.StatusOK
	if _, err := a.store.Pool.Exec(ctx, "SELECT FROM operations LIMIT 1"); err != nil {
		status, body["status"], body["postgres"] = http.StatusServiceUnavailable, "not ready", "down"
	}
	if a.stopping.Err() != nil {
		status, body["status"] = http.StatusServiceUnavailable, "stopping"
	}
	c.JSON(status, body)
}

func (a *API) temporalHealth(ctx context.Context) string {
	if a.temporal == nil {
		return "not used"
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, err := a.temporal.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
		return "down"
	}
	return "up"
}

// constant answers with what render makes, once: the contract does not change while the gateway runs.
func constant(contentType string, render func() ([]byte, error)) gin.HandlerFunc {
	once := sync.OnceValues(render)
	return func(c *gin.Context) {
		body, err := once()
		if err != nil {
			refuse(c, err)
			return
		}
		c.Header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		c.Data(http.StatusOK, contentType, body)
	}
}

// explain says in plain text what a problem's type means, and what to do.
func explain(c *gin.Context) {
	code := models.Code(c.Param("code"))
	info := code.Info()
	if info.Code != code {
		noRoute(c)
		return
	}
	c.String(http.StatusOK, "%s: %s\n\n%s\n\nWhat to do: %s\n", info.Code, info.Title, info.Meaning, info.Remedy)
}
