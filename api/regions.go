package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"gorm.io/gorm"

	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// Region is a place where regional workers run.
type Region struct {
	Name         string   `json:"name" doc:"Name of the region, its id." example:"tw"`
	Title        string   `json:"title" doc:"Name for people." example:"Taiwan"`
	State        string   `json:"state" enum:"ready,cordoned" doc:"A cordoned region takes no new work." example:"ready"`
	Capabilities []string `json:"capabilities" doc:"What workers of the region can do." example:"[\"vm\"]"`
	Workers      string   `json:"workers" enum:"polling,none,unknown" doc:"Whether a worker asks for the region's vm work now; unknown while Temporal cannot be asked." example:"polling"`
	Hypervisors  int64    `json:"hypervisors" doc:"Hypervisors that were imported." example:"24"`
	Connected    int64    `json:"connected" doc:"Those that the provider reaches." example:"24"`
	Placeable    int64    `json:"placeable" doc:"Those that take new machines: in a group, connected, and not in maintenance." example:"22"`
	Stamps
}

type createRegionInput struct {
	Idempotent
	DryRun
	Body struct {
		Name         string   `json:"name" pattern:"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" patternDescription:"a DNS label" doc:"Name of the region." example:"tw"`
		Title        string   `json:"title,omitempty" maxLength:"200" doc:"Name for people." example:"Taiwan"`
		Capabilities []string `json:"capabilities,omitempty" enum:"vm,bm,k8s,storage,network" doc:"What workers of the region can do, each once; vm if none is given." example:"[\"vm\"]"`
	}
}

// ByRegion is the input of what is about one region. Embed it.
type ByRegion struct {
	Name string `path:"name" maxLength:"63" doc:"Name of the region." example:"tw"`
}

type updateRegionInput struct {
	ByRegion
	Precondition
	Body struct {
		Title        *string   `json:"title,omitempty" maxLength:"200" doc:"Name for people." example:"Taiwan"`
		State        *string   `json:"state,omitempty" enum:"ready,cordoned" doc:"A cordoned region takes no new work." example:"cordoned"`
		Capabilities *[]string `json:"capabilities,omitempty" enum:"vm,bm,k8s,storage,network" doc:"What workers of the region can do, each once." example:"[\"vm\"]"`
	}
}

// Resolve finds what a schema should not: huma panics where it looks for items that are there twice and finds an object.
func (in *createRegionInput) Resolve(huma.Context) []error {
	return each("body.capabilities", in.Body.Capabilities)
}

// Resolve finds what a schema should not.
func (in *updateRegionInput) Resolve(huma.Context) []error {
	return each("body.capabilities", given(in.Body.Capabilities, nil))
}

// each refuses a list that has something twice.
func each(field string, list []string) []error {
	var out []error
	for i, item := range list {
		if slices.Contains(list[:i], item) {
			out = append(out, &huma.ErrorDetail{Location: fmt.Sprintf("%s[%d]", field, i), Message: "is there twice"})
		}
	}
	return out
}

func (a *API) registerRegions(h huma.API) {
	register(h, endpoint{ID: "create-region", Method: http.MethodPost, Path: "/v1/regions", Action: "region.create", Status: http.StatusCreated,
		Summary: "Add a region", Description: "Adds a place where regional workers run. Its hosts come with an import."}, a.createRegion)
	register(h, endpoint{ID: "list-regions", Method: http.MethodGet, Path: "/v1/regions", Action: "region.read",
		Summary: "List regions", Description: "Lists regions by name."}, a.listRegions)
	register(h, endpoint{ID: "get-region", Method: http.MethodGet, Path: "/v1/regions/{name}", Action: "region.read",
		Summary: "Show a region"}, a.getRegion)
	register(h, endpoint{ID: "update-region", Method: http.MethodPatch, Path: "/v1/regions/{name}", Action: "region.update",
		Summary: "Change a region", Description: "Changes the given fields. A cordoned region takes no new machines; what runs there goes on."}, a.updateRegion)
	register(h, endpoint{ID: "import-region", Method: http.MethodPost, Path: "/v1/regions/{name}/import", Action: "region.import", Status: http.StatusAccepted,
		Summary: "Import a region's hypervisors", Description: "Reads the hypervisors of the region's provider into the inventory."}, a.importRegion)
}

func (a *API) createRegion(ctx context.Context, in *createRegionInput) (*Resource[Region], error) {
	r := models.Region{Name: in.Body.Name, Title: in.Body.Title, State: "ready", Capabilities: in.Body.Capabilities}
	if len(r.Capabilities) == 0 {
		r.Capabilities = models.Texts{"vm"}
	}
	answer, err := platformWrite(ctx, a, trial(change(ctx, "region.create"), in.DryRun), func(tx *gorm.DB) (store.Answer[Region], error) {
		if err := store.CreateRegion(tx, &r); err != nil {
			return store.Answer[Region]{}, err
		}
		view, err := store.RegionNamed(tx, r.Name)
		return store.Created(path("regions/%s", r.Name), region(view, workersUnknown), subject("region", r.Name, r.Name)), err
	})
	if err != nil {
		return nil, err
	}
	return created(answer, in.DryRun.DryRun, answer.Body.Version), nil
}

func (a *API) listRegions(ctx context.Context, in *struct{ Paging }) (*ListOutput[Region], error) {
	after, err := in.after()
	if err != nil {
		return nil, err
	}
	if err := a.mayRead(ctx, "region"); err != nil {
		return nil, err
	}
	regions, err := a.store.Regions(ctx, store.NamePage{After: after, Limit: in.Limit + 1})
	if err != nil {
		return nil, err
	}
	names := make([]string, len(regions))
	for i, r := range regions {
		names[i] = r.Name
	}
	workers := a.workers.ask(ctx, names)
	return pageOf(in.Paging, regions, func(r store.Region) string { return r.Name },
		func(r store.Region) Region { return region(r, workers[r.Name]) }), nil
}

func (a *API) getRegion(ctx context.Context, in *ByRegion) (*Resource[Region], error) {
	if err := a.mayRead(ctx, "region"); err != nil {
		return nil, err
	}
	r, err := a.store.Region(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	workers := a.workers.ask(ctx, []string{in.Name})[in.Name]
	return seen(region(r, workers), r.Version)
}

func (a *API) updateRegion(ctx context.Context, in *updateRegionInput) (*Resource[Region], error) {
	answer, err := platformWrite(ctx, a, change(ctx, "region.update"), func(tx *gorm.DB) (store.Answer[Region], error) {
		var none store.Answer[Region]
		r, err := store.LockRegion(tx, in.Name)
		if err != nil {
			return none, err
		}
		if err := in.holds(r.Version); err != nil {
			return none, err
		}
		set(&r.Title, in.Body.Title)
		set(&r.State, in.Body.State)
		if in.Body.Capabilities != nil {
			r.Capabilities = *in.Body.Capabilities
		}
		if err := store.UpdateRegion(tx, r.Region); err != nil {
			return none, err
		}
		view, err := store.RegionNamed(tx, in.Name)
		return store.Changed(region(view, workersUnknown), subject("region", in.Name, in.Name)), err
	})
	if err != nil {
		return nil, err
	}
	answer.Body.Workers = a.workers.ask(ctx, []string{in.Name})[in.Name]
	return seen(answer.Body, answer.Body.Version)
}

func region(r store.Region, workers string) Region {
	return Region{
		Name: r.Name, Title: r.Title, State: r.State, Capabilities: append([]string{}, r.Capabilities...), Workers: workers,
		Hypervisors: r.Hypervisors, Connected: r.Connected, Placeable: r.Placeable, Stamps: stamps(r.Stamps),
	}
}

type importRegionInput struct {
	ByRegion
	Idempotent
	Preference
}

func (a *API) importRegion(ctx context.Context, in *importRegionInput) (*AcceptedOutput, error) {
	done, err := a.accept.ImportRegion(ctx, intent(ctx), in.Name)
	return a.accepted(ctx, done, err, in.Preference)
}
