package api

import (
	"context"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/api/accept"
	"github.com/yunshu/yunshu/models"
)

// BaremetalAction is the input of an action on a server. Embed it.
type BaremetalAction struct {
	ByID
	Precondition
	Idempotent
	Preference
}

type stopBaremetalInput struct {
	BaremetalAction
	Body *Stop `required:"false"`
}

// Stop says how a server is stopped.
type Stop struct {
	Force bool `json:"force,omitempty" doc:"Even if it carries running machines, which stop with it." example:"true"`
}

type bootDeviceInput struct {
	BaremetalAction
	Body struct {
		Device     models.BootDevice `json:"device" enum:"disk,pxe,cd" doc:"What it boots from; cd is its virtual drive." example:"pxe"`
		Persistent bool              `json:"persistent,omitempty" doc:"For good; otherwise at the next boot alone." example:"false"`
	}
}

type insertMediaInput struct {
	BaremetalAction
	Body struct {
		URL string `json:"url" minLength:"1" maxLength:"2000" doc:"Where the BMC fetches the image: http or https." example:"https://images.example.com/rescue.iso"`
	}
}

// Resolve finds what a schema cannot. What the address says is kept with the operation, so it holds no credentials.
func (in *insertMediaInput) Resolve(huma.Context) []error {
	u, err := url.Parse(in.Body.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return []error{&huma.ErrorDetail{Location: "body.url", Message: "must look like https://images.example.com/rescue.iso"}}
	}
	if u.User != nil {
		return []error{&huma.ErrorDetail{Location: "body.url", Message: "must not hold credentials"}}
	}
	return nil
}

type locateInput struct {
	BaremetalAction
	Body struct {
		On bool `json:"on" doc:"Whether its identify LED shall be lit." example:"true"`
	}
}

func (a *API) registerBaremetalActions(h huma.API) {
	act := func(id, verb, action, summary, description string) endpoint {
		return endpoint{ID: id, Method: http.MethodPost, Path: "/v1/baremetals/{id}/" + verb, Action: action, Status: http.StatusAccepted, Summary: summary, Description: description}
	}
	register(h, act("power-on-baremetal", "power-on", "baremetal.power", "Power a server on", ""), a.powerBaremetalOn)
	register(h, act("power-off-baremetal", "power-off", "baremetal.power", "Power a server off",
		"At once, without asking its operating system. A hypervisor that carries running machines is refused, unless by force."), a.stopBaremetal(contract.BMPowerOff))
	register(h, act("shut-down-baremetal", "shutdown", "baremetal.power", "Shut a server down",
		"Asks its operating system, and leaves it on where that does not listen."), a.stopBaremetal(contract.BMShutdown))
	register(h, act("reset-baremetal", "reset", "baremetal.power", "Reset a server", "Off at once, then on."), a.stopBaremetal(contract.BMReset))
	register(h, act("set-boot-device", "boot-device", "baremetal.boot", "Set what a server boots from", ""), a.setBootDevice)
	register(h, act("insert-media", "insert-media", "baremetal.media", "Put an image into a server's virtual drive", ""), a.insertMedia)
	register(h, act("eject-media", "eject-media", "baremetal.media", "Empty a server's virtual drive", ""),
		a.actOnBaremetal(func(ctx context.Context, req accept.Request, id models.ID, version *int64) (accept.Accepted, error) {
			return a.accept.MediaBaremetal(ctx, req, id, "", version)
		}))
	register(h, act("locate-baremetal", "locate", "baremetal.locate", "Light a server's identify LED", "Or turn it off."), a.locateBaremetal)
	register(h, act("check-baremetal", "health-check", "baremetal.inspect", "Look at a server", "Reads its identity, hardware and health anew."), a.actOnBaremetal(a.accept.InspectBaremetal))
	register(h, act("rotate-bmc-password", "rotate-password", "baremetal.rotate", "Replace the password of a server's BMC", "By a generated one, which nobody sees."), a.actOnBaremetal(a.accept.RotateBaremetal))
	register(h, act("join-baremetal", "join", "baremetal.join", "Make a server a hypervisor", "Waits until the region's vCenter has the host with its hardware UUID, and links the two."), a.actOnBaremetal(a.accept.JoinBaremetal))
	register(h, act("retire-baremetal", "retire", "baremetal.retire", "Take a server out for good", "Nobody may have it. Its power goes off, and its rack units, its name and its BMC's address are free again; its history stays."), a.actOnBaremetal(a.accept.RetireBaremetal))
	register(h, act("return-baremetal", "return-to-service", "baremetal.maintain", "Let a server be used again", "Looks at it first; what is in a critical state stays out."), a.actOnBaremetal(a.accept.ReturnBaremetal))
	register(h, act("end-baremetal-maintenance", "end-maintenance", "baremetal.maintain", "End a server's maintenance", "Looks at it first; what is in a critical state stays out."), a.actOnBaremetal(a.accept.ReturnBaremetal))
}

// actOnBaremetal answers an action that takes nothing but the server.
func (a *API) actOnBaremetal(do func(context.Context, accept.Request, models.ID, *int64) (accept.Accepted, error)) func(context.Context, *BaremetalAction) (*AcceptedOutput, error) {
	return func(ctx context.Context, in *BaremetalAction) (*AcceptedOutput, error) {
		done, err := do(ctx, intent(ctx), in.ID, in.version())
		return a.accepted(ctx, done, err, in.Preference)
	}
}

func (a *API) powerBaremetalOn(ctx context.Context, in *BaremetalAction) (*AcceptedOutput, error) {
	done, err := a.accept.PowerBaremetal(ctx, intent(ctx), in.ID, contract.BMPowerOn, false, in.version())
	return a.accepted(ctx, done, err, in.Preference)
}

func (a *API) stopBaremetal(how contract.BMPower) func(context.Context, *stopBaremetalInput) (*AcceptedOutput, error) {
	return func(ctx context.Context, in *stopBaremetalInput) (*AcceptedOutput, error) {
		done, err := a.accept.PowerBaremetal(ctx, intent(ctx), in.ID, how, in.Body != nil && in.Body.Force, in.version())
		return a.accepted(ctx, done, err, in.Preference)
	}
}

func (a *API) setBootDevice(ctx context.Context, in *bootDeviceInput) (*AcceptedOutput, error) {
	done, err := a.accept.BootBaremetal(ctx, intent(ctx), in.ID, in.Body.Device, in.Body.Persistent, in.version())
	return a.accepted(ctx, done, err, in.Preference)
}

func (a *API) insertMedia(ctx context.Context, in *insertMediaInput) (*AcceptedOutput, error) {
	done, err := a.accept.MediaBaremetal(ctx, intent(ctx), in.ID, in.Body.URL, in.version())
	return a.accepted(ctx, done, err, in.Preference)
}

func (a *API) locateBaremetal(ctx context.Context, in *locateInput) (*AcceptedOutput, error) {
	done, err := a.accept.LocateBaremetal(ctx, intent(ctx), in.ID, in.Body.On, in.version())
	return a.accepted(ctx, done, err, in.Preference)
}
