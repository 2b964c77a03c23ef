package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"gorm.io/gorm"

	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// Flavor is a named size. It never changes, so that a machine's flavor says what the machine has.
type Flavor struct {
	ID   models.ID `json:"id" format:"uuid" doc:"Id of the flavor." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Name string    `json:"name" doc:"Name of the flavor." example:"medium"`
	Size
	Stamps
}

type createFlavorInput struct {
	Idempotent
	DryRun
	Body struct {
		Name       string `json:"name" pattern:"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" patternDescription:"a DNS label" doc:"Name of the flavor." example:"medium"`
		VCPU       int64  `json:"vcpu" minimum:"1" maximum:"1024" doc:"Virtual processors." example:"4"`
		MemoryMiB  int64  `json:"memory_mib" minimum:"4" multipleOf:"4" maximum:"25165824" doc:"Memory in MiB, a multiple of 4." example:"8192"`
		StorageGiB int64  `json:"storage_gib" minimum:"1" maximum:"1048576" doc:"Storage in GiB." example:"40"`
		GPU        int64  `json:"gpu,omitempty" minimum:"0" maximum:"64" doc:"Graphics processors." example:"0"`
	}
}

type listFlavorsInput struct {
	Paging
	Name string `query:"name" maxLength:"63" doc:"Only with this name." example:"medium"`
}

func (a *API) registerFlavors(h huma.API) {
	register(h, endpoint{ID: "create-flavor", Method: http.MethodPost, Path: "/v1/flavors", Action: "flavor.create", Status: http.StatusCreated, Summary: "Add a flavor",
		Description: "Adds a named size. A flavor does not change; make another one instead."}, a.createFlavor)
	register(h, endpoint{ID: "list-flavors", Method: http.MethodGet, Path: "/v1/flavors", Action: "flavor.read", Summary: "List flavors"}, a.listFlavors)
	register(h, endpoint{ID: "get-flavor", Method: http.MethodGet, Path: "/v1/flavors/{id}", Action: "flavor.read", Summary: "Show a flavor"}, a.getFlavor)
	register(h, endpoint{ID: "delete-flavor", Method: http.MethodDelete, Path: "/v1/flavors/{id}", Action: "flavor.delete", Status: http.StatusNoContent,
		Summary: "Remove a flavor", Description: "Removes a flavor that no machine has."}, a.deleteFlavor)
}

func (a *API) createFlavor(ctx context.Context, in *createFlavorInput) (*Resource[Flavor], error) {
	b := in.Body
	f := models.Flavor{ID: models.NewID(), Name: b.Name, Size: models.Size{VCPU: b.VCPU, MemoryMiB: b.MemoryMiB, StorageGiB: b.StorageGiB, GPU: b.GPU}}
	answer, err := platformWrite(ctx, a, trial(change(ctx, "flavor.create"), in.DryRun), func(tx *gorm.DB) (store.Answer[Flavor], error) {
		if err := store.CreateFlavor(tx, &f); err != nil {
			return store.Answer[Flavor]{}, err
		}
		view, err := store.FlavorByID(tx, f.ID)
		return store.Created(path("flavors/%s", f.ID), flavor(view), subject("flavor", f.ID, f.Name)), err
	})
	if err != nil {
		return nil, err
	}
	return created(answer, in.DryRun.DryRun, answer.Body.Version), nil
}

func (a *API) listFlavors(ctx context.Context, in *listFlavorsInput) (*ListOutput[Flavor], error) {
	page, err := afterOrNone(in.Paging, in.Name)
	if err != nil {
		return nil, err
	}
	if err := a.mayRead(ctx, "flavor"); err != nil {
		return nil, err
	}
	flavors, err := a.store.Flavors(ctx, store.FlavorFilter{Name: in.Name, IDPage: page})
	if err != nil {
		return nil, err
	}
	return pageOf(in.Paging, flavors, func(f models.Flavor) string { return f.ID.String() }, flavor, in.Name), nil
}

func (a *API) getFlavor(ctx context.Context, in *ByID) (*Resource[Flavor], error) {
	if err := a.mayRead(ctx, "flavor"); err != nil {
		return nil, err
	}
	f, err := a.store.Flavor(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return one(flavor(f), f.Version), nil
}

func (a *API) deleteFlavor(ctx context.Context, in *deleteInput) (*struct{}, error) {
	_, err := platformWrite(ctx, a, change(ctx, "flavor.delete"), func(tx *gorm.DB) (store.Answer[struct{}], error) {
		f, err := store.FlavorByID(tx, in.ID)
		if err == nil {
			err = in.holds(f.Version)
		}
		if err == nil {
			err = store.DeleteFlavor(tx, f)
		}
		return removed("flavor", f.ID, f.Name), err
	})
	return nil, err
}

func flavor(f models.Flavor) Flavor {
	return Flavor{ID: f.ID, Name: f.Name, Size: Size(f.Size), Stamps: stamps(f.Stamps)}
}
