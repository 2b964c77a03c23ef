package api

import (
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
)

// describeAccepted completes the contract of every endpoint that answers 202: with Prefer: wait it answers 200 with the
// same operation at its end, and the dry run of a create answers 200 with what it would make.
func describeAccepted(h huma.API) {
	schemas := h.OpenAPI().Components.Schemas
	operation := schemas.Schema(reflect.TypeFor[Operation](), true, "Operation")
	lease := schemas.Schema(reflect.TypeFor[LeasePlan](), true, "LeasePlan")
	plans := map[string]*huma.Schema{
		"create-vm":        schemas.Schema(reflect.TypeFor[VMPlan](), true, "VMPlan"),
		"create-baremetal": schemas.Schema(reflect.TypeFor[Baremetal](), true, "Baremetal"),
		"create-lease":     lease,
		"lease-baremetal":  lease,
	}
	for _, item := range h.OpenAPI().Paths {
		for _, op := range []*huma.Operation{item.Post, item.Delete} {
			if op == nil || op.Responses[strconv.Itoa(http.StatusAccepted)] == nil || op.OperationID == "import-baremetals" {
				continue
			}
			accepted := op.Responses[strconv.Itoa(http.StatusAccepted)]
			accepted.Description, accepted.Content = "Accepted: the operation, on its way.", content(operation)
			done := *accepted
			done.Description = "The operation has ended while the request waited for it."
			if plan := plans[op.OperationID]; plan != nil {
				done.Description += " Of a dry run: what would be made."
				done.Content = content(&huma.Schema{OneOf: []*huma.Schema{operation, plan}})
			}
			op.Responses[strconv.Itoa(http.StatusOK)] = &done
		}
	}
}

func content(s *huma.Schema) map[string]*huma.MediaType {
	return map[string]*huma.MediaType{"application/json": {Schema: s}}
}
