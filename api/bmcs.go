package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// BMC is how the BMC of a server is reached, without its password.
type BMC struct {
	Address     string             `json:"address" doc:"Where it is." example:"https://10.0.0.7"`
	Protocol    models.BMCProtocol `json:"protocol,omitempty" enum:"redfish,ipmi" doc:"How it is spoken to; absent until it is known." example:"redfish"`
	Fingerprint string             `json:"fingerprint,omitempty" doc:"SHA-256 of the certificate that is believed." example:"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`
	Username    string             `json:"username" doc:"Account by which it is reached." example:"root"`
	Console     string             `json:"console,omitempty" doc:"Where its console is to be had." example:"https://10.0.0.7/console"`
	RotatedAt   *time.Time         `json:"rotated_at,omitempty" doc:"When its password was last replaced by a generated one." example:"2026-11-23T08:00:00Z"`
}

type setBMCInput struct {
	ByID
	Precondition
	Body BMCAccess
}

// Resolve finds what a schema cannot.
func (in *setBMCInput) Resolve(huma.Context) []error { return details(in.Body.wrong("body")) }

func (a *API) setBMC(ctx context.Context, in *setBMCInput) (*Resource[Baremetal], error) {
	return a.changeBaremetal(ctx, change(ctx, "baremetal.update"), in.ByID, in.Precondition, func(tx store.Tx, b store.Baremetal) (any, error) {
		address, protocol, _ := models.ParseBMCAddress(in.Body.Address) // Resolve has looked at it
		sealed, err := a.store.Keys.SealPassword(b.ID, in.Body.Password)
		if err != nil {
			return nil, err
		}
		return nil, store.SetBMC(tx.DB, b, models.BMC{
			BaremetalID: b.ID, Region: b.Region, Address: address, Protocol: protocol, Fingerprint: in.Body.plain(), Username: in.Body.Username,
			KeyID: sealed.KeyID, Password: sealed.Data,
		})
	})
}

// changeBaremetal runs a change of one server, and answers with what it then is. The audit log keeps that too, or the note
// that fn returns.
func (a *API) changeBaremetal(ctx context.Context, c store.Change, of ByID, p Precondition, fn func(store.Tx, store.Baremetal) (note any, err error)) (*Resource[Baremetal], error) {
	answer, err := store.Write(ctx, a.store, c, func(tx store.Tx) (store.Answer[Baremetal], error) {
		var none store.Answer[Baremetal]
		if err := a.mayChange(ctx, tx, c.Action, authz.Resource{Kind: "baremetal"}, of.ID.String()); err != nil {
			return none, err
		}
		b, err := store.LockBaremetal(tx.DB, of.ID)
		if err != nil {
			return none, err
		}
		if err := p.holds(b.Version); err != nil {
			return none, err
		}
		note, err := fn(tx, b)
		if err != nil {
			return none, err
		}
		view, err := store.BaremetalByID(tx.DB, of.ID)
		out := store.Changed(baremetal(view), subject("baremetal", b.ID, view.Name))
		if note != nil {
			out.Detail = note
		}
		return out, err
	})
	if err != nil {
		return nil, err
	}
	return seen(answer.Body, answer.Body.Version)
}

func bmc(b store.Baremetal) *BMC {
	if b.BMCAddress == nil {
		return nil
	}
	out := &BMC{Address: *b.BMCAddress, Fingerprint: text(b.BMCFingerprint), Username: text(b.BMCUsername), Console: text(b.BMCConsole), RotatedAt: utc(b.BMCRotatedAt)}
	if b.BMCProtocol != nil {
		out.Protocol = *b.BMCProtocol
	}
	return out
}

type markFailedInput struct {
	ByID
	Precondition
	Idempotent
	Body struct {
		Reason string `json:"reason" minLength:"1" maxLength:"500" doc:"Why nobody may use it." example:"The mainboard smells burnt."`
	}
}

func (a *API) registerMarkFailed(h huma.API) {
	register(h, endpoint{ID: "mark-baremetal-failed", Method: http.MethodPost, Path: "/v1/baremetals/{id}/mark-failed", Action: "baremetal.maintain", Summary: "Take a server out of service",
		Description: "Nobody may use it from now on, whatever its BMC says; what it carries stays. It comes back by return-to-service."}, a.markFailed)
}

func (a *API) markFailed(ctx context.Context, in *markFailedInput) (*Resource[Baremetal], error) {
	return a.changeBaremetal(ctx, restructure(change(ctx, "baremetal.maintain")), in.ByID, in.Precondition, func(tx store.Tx, b store.Baremetal) (any, error) {
		return map[string]any{"state": models.BaremetalFailed, "reason": in.Body.Reason}, store.MarkFailed(tx.DB, b, in.Body.Reason, tx.Actor.Name)
	})
}
