package api

import (
	"context"
	"fmt"
	"strings"

	"github.com/yunshu/yunshu/api/store"
)

// discreet keeps from an operation what is the platform's business, for those who do not see the hardware: the sentences of
// regions about a BMC say where it is, and who signs in there. What else happened they read like everybody.
func (a *API) discreet(ctx context.Context, out *Operation) error {
	if out.ResourceKind != "baremetal" || a.seesHardware(ctx) {
		return nil
	}
	var texts []*string
	if out.Error != nil {
		texts = append(texts, &out.Error.Message)
	}
	for i := range out.Steps {
		texts = append(texts, &out.Steps[i].Message)
	}
	whole := a.maintains(ctx, "baremetal", out.ResourceID.String())
	for _, text := range append(texts, &out.Waiting) {
		if !strings.Contains(strings.ToLower(*text), "the bmc ") {
			continue
		}
		if told, err := whole(); err != nil || told {
			return err
		}
		*text = fmt.Sprintf("The platform cannot drive the hardware of %s as it should. Its operators see why; ask them.", out.ResourceName)
	}
	return nil
}

// recount is an operation as its reader may see it, with its steps where they are at hand.
func (a *API) recount(ctx context.Context, o store.Operation, steps []Step) (Operation, error) {
	out := a.operation(o)
	out.Steps = steps
	return out, a.discreet(ctx, &out)
}

// wireAuditEvent is an event as its reader may see it. What is kept of a physical server says where it stands and how it is
// driven; who does not see that reads what was done, and what was said with it.
func (a *API) wireAuditEvent(ctx context.Context) func(store.AuditEvent) AuditEvent {
	whole := a.seesHardware(ctx)
	return func(e store.AuditEvent) AuditEvent {
		out := wireAuditEvent(e)
		if whole || e.ResourceKind != "baremetal" {
			return out
		}
		if out.Before = nil; e.Action == "operation.report" {
			out.After = nil
		}
		return out
	}
}
