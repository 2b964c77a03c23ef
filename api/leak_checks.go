package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

type createLeakCheckInput struct {
	Idempotent
	Preference
	Body *struct {
		Regions []string `json:"regions,omitempty" maxItems:"1000" doc:"Regions to compare; all if none is given." example:"[\"tw\"]"`
	} `required:"false"`
}

// Resolve finds what a schema should not.
func (in *createLeakCheckInput) Resolve(huma.Context) []error {
	if in.Body == nil {
		return nil
	}
	return each("body.regions", in.Body.Regions)
}

func (a *API) registerLeakChecks(h huma.API) {
	register(h, endpoint{ID: "create-leak-check", Method: http.MethodPost, Path: "/v1/leak-checks", Action: "leak-check.create", Status: http.StatusAccepted,
		Summary: "Look for leaks", Description: "Compares the database with every region, and with itself. The result of the operation lists the findings; none is what one hopes for."}, a.createLeakCheck)
}

func (a *API) createLeakCheck(ctx context.Context, in *createLeakCheckInput) (*AcceptedOutput, error) {
	var regions []string
	if in.Body != nil {
		regions = in.Body.Regions
	}
	done, err := a.accept.LeakCheck(ctx, intent(ctx), regions)
	return a.accepted(ctx, done, err, in.Preference)
}
