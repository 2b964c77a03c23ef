package api

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

// docs shows the contract to people.
func (a *API) docs(c *gin.Context) {
	c.Data(http.StatusOK, "text/plain; charset=utf-8", nil)
}
