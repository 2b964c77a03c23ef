package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.temporal.io/sdk/client"
)

// plainRoutes are those that are not part of the contract.
func (a *API) plainRoutes(registry *prometheus.Registry) {
	a.engine.GET("/healthz", func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"status": "ok", "version": a.version}) })
	a.engine.GET("/readyz", a.ready)
	a.engine.GET("/metrics", gin.WrapH(promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
	a.engine.GET("/openapi.json", a.openapiJSON)
	a.engine.GET("/openapi.yaml", a.openapiYAML)
	a.engine.GET("/docs", a.docs)
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

func (a *API) openapiJSON(c *gin.Context) {
	body, err := a.OpenAPI().MarshalJSON()
	if err != nil {
		refuse(c, err)
		return
	}
	c.Data(http.StatusOK, "application/openapi+json", body)
}

func (a *API) openapiYAML(c *gin.Context) {
	body, err := a.OpenAPI().YAML()
	if err != nil {
		refuse(c, err)
		return
	}
	c.Data(http.StatusOK, "application/openapi+yaml", body)
}
