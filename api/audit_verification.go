package api

import (
	"context"
	"time"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/seal"
)

// AuditVerification says whether a stretch of the audit log is as it was sealed.
type AuditVerification struct {
	OK            bool           `json:"ok" doc:"Nothing was found." example:"true"`
	Seals         int64          `json:"seals" doc:"Seals that were looked at." example:"1200"`
	Events        int64          `json:"events" doc:"Events that are as they were sealed." example:"90210"`
	RemovedEvents int64          `json:"removed_events" doc:"Sealed events that retention has removed." example:"0"`
	RemovedBefore *time.Time     `json:"removed_before,omitempty" doc:"Retention removed what was before." example:"2026-01-01T00:00:00Z"`
	Unsealed      int64          `json:"unsealed" doc:"Events that are too young to be sealed." example:"3"`
	Head          AuditHead      `json:"head" doc:"The last seal that was looked at. Keep it elsewhere."`
	NextAfter     *int64         `json:"next_after,omitempty" doc:"Go on with this as after; absent at the end of the chain." example:"1200"`
	Findings      []seal.Finding `json:"findings" doc:"What is not as it was sealed."`
}

// AuditHead is where a chain ends.
type AuditHead struct {
	Number int64  `json:"number" doc:"Number of the seal." example:"1200"`
	Hash   string `json:"hash" doc:"Its hash, which stands for everything before it." example:"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`
}

type auditVerify struct {
	After  int64  `query:"after" minimum:"0" maximum:"9007199254740991" doc:"Begin after this seal." example:"0"`
	Anchor string `query:"anchor" pattern:"^[0-9a-f]{64}$" patternDescription:"a hash in hexadecimal" doc:"A hash of the chain that was kept elsewhere: it must still be in it." example:"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`
}

func (a *API) verifyAuditEvents(ctx context.Context, in *auditVerify) (*Resource[AuditVerification], error) {
	if err := a.check(ctx, actor(ctx), "audit-event.verify", authz.Resource{Kind: "audit-event"}); err != nil {
		return nil, err
	}
	var anchor *seal.Hash
	if in.Anchor != "" {
		anchor = &seal.Hash{}
		if err := anchor.UnmarshalText([]byte(in.Anchor)); err != nil {
			return nil, models.Faultf(models.CodeInvalid, "The anchor cannot be read: %w.", err)
		}
	}
	v, err := a.store.Verify(ctx, in.After, anchor)
	if err != nil {
		return nil, err
	}
	out := AuditVerification{OK: len(v.Findings) == 0, Seals: v.Seals, Events: v.Events, RemovedEvents: v.Removed, Unsealed: v.Unsealed,
		Head: AuditHead{Number: v.Number, Hash: v.Head.String()}, Findings: append([]seal.Finding{}, v.Findings...)}
	if !v.RemovedBefore.IsZero() {
		out.RemovedBefore = &v.RemovedBefore
	}
	if !v.Complete {
		out.NextAfter = &v.Number
	}
	return &Resource[AuditVerification]{Body: out}, nil
}
