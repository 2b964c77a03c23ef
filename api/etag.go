package api

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/yunshu/yunshu/models"
)

// Resource is the answer with one resource.
type Resource[T any] struct {
	Status   int
	Location string `header:"Location" doc:"Path of what was created."`
	ETag     string `header:"ETag" doc:"Version of the resource, for If-Match and If-None-Match."`
	Body     T
}

// Precondition is the input of a change of something that exists. Embed it.
type Precondition struct {
	IfMatch string `header:"If-Match" pattern:"^(\\*|\"[0-9]{1,18}(-[0-9a-f]{8})?\")$" patternDescription:"a version as in ETag" doc:"Change the resource only if this is still its version." example:"\"3\""`
}

// version is the version that the client wants to change; nil is whichever there is.
func (p Precondition) version() *int64 {
	number, _, _ := strings.Cut(strings.Trim(p.IfMatch, `"`), "-") // what follows is about what was seen, not about the row
	v, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return nil // absent, or *: the pattern allows nothing else
	}
	return &v
}

// holds returns a fault unless the current version is the one that the client knows.
func (p Precondition) holds(current int64) error {
	if v := p.version(); v != nil && *v != current {
		return models.Faultf(models.CodePreconditionFailed, "The resource is at version %d now, not at %d. Read it again, and repeat the change if you still want it.", current, *v)
	}
	return nil
}

// etag writes a version as an entity tag.
func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// conditional answers a GET whose If-None-Match names the version that there is with 304 and nothing else.
func conditional(c *gin.Context) {
	if known := c.GetHeader("If-None-Match"); known != "" && c.Request.Method == http.MethodGet {
		c.Writer = &conditionalWriter{ResponseWriter: c.Writer, known: known}
	}
	c.Next()
}

// conditionalWriter drops the body of an answer that the client knows already.
type conditionalWriter struct {
	gin.ResponseWriter
	known   string
	decided bool
	drop    bool
}

// Write decides at the first byte, when status and ETag are known.
func (w *conditionalWriter) Write(b []byte) (int, error) {
	if !w.decided {
		w.decided = true
		tag := w.Header().Get("ETag")
		if w.drop = w.Status() == http.StatusOK && tag != "" && knows(w.known, tag); w.drop {
			w.Header().Del("Content-Type")
			w.WriteHeader(http.StatusNotModified)
			w.WriteHeaderNow()
		}
	}
	if w.drop {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

// knows reports whether a list of entity tags has tag, compared weakly.
func knows(list, tag string) bool {
	for known := range strings.SplitSeq(list, ",") {
		known = strings.TrimPrefix(strings.TrimSpace(known), "W/")
		if known == "*" || known == tag {
			return true
		}
	}
	return false
}
