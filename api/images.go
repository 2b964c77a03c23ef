package api

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"gorm.io/gorm"

	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// Image is an operating system to start from.
type Image struct {
	ID            models.ID         `json:"id" format:"uuid" doc:"Id of the image." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Name          string            `json:"name" doc:"Name of the image." example:"ubuntu-24-04"`
	OS            string            `json:"os" doc:"Operating system." example:"ubuntu"`
	Description   string            `json:"description" doc:"What it is." example:"Ubuntu 24.04 LTS with guest tools"`
	MinStorageGiB int64             `json:"min_storage_gib" doc:"The least storage that a machine made from it needs." example:"10"`
	Templates     map[string]string `json:"templates" doc:"The provider's template of each region in which the image is available." example:"{\"tw\":\"ubuntu-24.04-template\"}"`
	Bootable
	Stamps
}

type createImageInput struct {
	Idempotent
	DryRun
	Body struct {
		Name          string            `json:"name" pattern:"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" patternDescription:"a DNS label" doc:"Name of the image." example:"ubuntu-24-04"`
		OS            string            `json:"os,omitempty" maxLength:"63" doc:"Operating system." example:"ubuntu"`
		Description   string            `json:"description,omitempty" maxLength:"1000" doc:"What it is." example:"Ubuntu 24.04 LTS with guest tools"`
		MinStorageGiB int64             `json:"min_storage_gib,omitempty" minimum:"1" maximum:"1048576" default:"1" doc:"The least storage that a machine made from it needs." example:"10"`
		Templates     map[string]string `json:"templates,omitempty" maxProperties:"1000" doc:"The provider's template of each region in which the image is available." example:"{\"tw\":\"ubuntu-24.04-template\"}"`
		NewBootable
	}
}

type listImagesInput struct {
	Paging
	Region  string `query:"region" maxLength:"63" doc:"Only those available in this region." example:"tw"`
	Name    string `query:"name" maxLength:"63" doc:"Only with this name." example:"ubuntu-24-04"`
	Purpose string `query:"purpose" enum:"provision,wipe,discovery" doc:"Only for this purpose." example:"provision"`
}

type updateImageInput struct {
	ByID
	Precondition
	Body struct {
		OS            *string            `json:"os,omitempty" maxLength:"63" doc:"Operating system." example:"ubuntu"`
		Description   *string            `json:"description,omitempty" maxLength:"1000" doc:"What it is." example:"Ubuntu 24.04 LTS with guest tools"`
		MinStorageGiB *int64             `json:"min_storage_gib,omitempty" minimum:"1" maximum:"1048576" doc:"The least storage that a machine made from it needs." example:"10"`
		Templates     *map[string]string `json:"templates,omitempty" maxProperties:"1000" doc:"All templates, by region; replaces those there were." example:"{\"tw\":\"ubuntu-24.04-template\"}"`
		OtherBootable
	}
}

func (a *API) registerImages(h huma.API) {
	register(h, endpoint{ID: "create-image", Method: http.MethodPost, Path: "/v1/images", Action: "image.create", Status: http.StatusCreated, Summary: "Add an image"}, a.createImage)
	register(h, endpoint{ID: "list-images", Method: http.MethodGet, Path: "/v1/images", Action: "image.read", Summary: "List images"}, a.listImages)
	register(h, endpoint{ID: "get-image", Method: http.MethodGet, Path: "/v1/images/{id}", Action: "image.read", Summary: "Show an image"}, a.getImage)
	register(h, endpoint{ID: "update-image", Method: http.MethodPatch, Path: "/v1/images/{id}", Action: "image.update", Summary: "Change an image",
		Description: "Changes the given fields. Machines that were made from it stay as they are."}, a.updateImage)
	register(h, endpoint{ID: "delete-image", Method: http.MethodDelete, Path: "/v1/images/{id}", Action: "image.delete", Status: http.StatusNoContent,
		Summary: "Remove an image", Description: "Removes an image that no machine was made from."}, a.deleteImage)
}

// availableWhere refuses templates and boots in regions that there are not, and those that cannot be.
func availableWhere(tx *gorm.DB, i models.Image) error {
	regions := slices.Sorted(maps.Keys(i.Templates))
	unknown, err := store.UnknownRegions(tx, slices.Concat(regions, slices.Collect(maps.Keys(i.Boot))))
	if err != nil {
		return err
	}
	var wrong []models.FieldError
	for _, name := range regions {
		at := fmt.Sprintf("body.templates.%s", name)
		switch template := i.Templates[name]; {
		case slices.Contains(unknown, name):
			wrong = append(wrong, models.FieldError{Field: "body.templates", Message: noSuchRegion})
		case template == "" || len(template) > 255:
			wrong = append(wrong, models.FieldError{Field: at, Message: "must have 1 to 255 characters"})
		}
	}
	return faulty(slices.Compact(append(wrong, bootMistakes(i.Boot, unknown)...)))
}

const noSuchRegion = "there is no region of one of these names"

func (a *API) createImage(ctx context.Context, in *createImageInput) (*Resource[Image], error) {
	b := in.Body
	i := models.Image{ID: models.NewID(), Name: b.Name, OS: b.OS, Description: b.Description, MinStorageGiB: b.MinStorageGiB, Templates: b.Templates}
	if i.Templates == nil {
		i.Templates = map[string]string{}
	}
	b.NewBootable.of(&i)
	answer, err := platformWrite(ctx, a, trial(change(ctx, "image.create"), in.DryRun), func(tx *gorm.DB) (store.Answer[Image], error) {
		if err := availableWhere(tx, i); err != nil {
			return store.Answer[Image]{}, err
		}
		if err := store.CreateImage(tx, &i); err != nil {
			return store.Answer[Image]{}, err
		}
		view, err := store.ImageByID(tx, i.ID)
		return store.Created(path("images/%s", i.ID), image(view), subject("image", i.ID, i.Name)), err
	})
	if err != nil {
		return nil, err
	}
	return created(answer, in.DryRun.DryRun, answer.Body.Version), nil
}

func (a *API) listImages(ctx context.Context, in *listImagesInput) (*ListOutput[Image], error) {
	filters := []string{in.Region, in.Name, in.Purpose}
	page, err := afterOrNone(in.Paging, filters...)
	if err != nil {
		return nil, err
	}
	if err := a.mayRead(ctx, "image"); err != nil {
		return nil, err
	}
	images, err := a.store.Images(ctx, store.ImageFilter{Region: in.Region, Name: in.Name, Purpose: in.Purpose, IDPage: page})
	if err != nil {
		return nil, err
	}
	return pageOf(in.Paging, images, func(i models.Image) string { return i.ID.String() }, image, filters...), nil
}

func (a *API) getImage(ctx context.Context, in *ByID) (*Resource[Image], error) {
	if err := a.mayRead(ctx, "image"); err != nil {
		return nil, err
	}
	i, err := a.store.Image(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return one(image(i), i.Version), nil
}

func (a *API) updateImage(ctx context.Context, in *updateImageInput) (*Resource[Image], error) {
	answer, err := platformWrite(ctx, a, change(ctx, "image.update"), func(tx *gorm.DB) (store.Answer[Image], error) {
		var none store.Answer[Image]
		i, err := store.LockImage(tx, in.ID)
		if err != nil {
			return none, err
		}
		if err := in.holds(i.Version); err != nil {
			return none, err
		}
		set(&i.OS, in.Body.OS)
		set(&i.Description, in.Body.Description)
		set(&i.MinStorageGiB, in.Body.MinStorageGiB)
		set(&i.Templates, in.Body.Templates)
		in.Body.OtherBootable.of(&i)
		if err := availableWhere(tx, i); err != nil {
			return none, err
		}
		if err := store.UpdateImage(tx, i); err != nil {
			return none, err
		}
		view, err := store.ImageByID(tx, in.ID)
		return store.Changed(image(view), subject("image", i.ID, i.Name)), err
	})
	if err != nil {
		return nil, err
	}
	return one(answer.Body, answer.Body.Version), nil
}

func (a *API) deleteImage(ctx context.Context, in *deleteInput) (*struct{}, error) {
	_, err := platformWrite(ctx, a, change(ctx, "image.delete"), func(tx *gorm.DB) (store.Answer[struct{}], error) {
		i, err := store.LockImage(tx, in.ID)
		if err == nil {
			err = in.holds(i.Version)
		}
		if err == nil {
			err = store.DeleteImage(tx, i)
		}
		return removed("image", i.ID, i.Name), err
	})
	return nil, err
}

func image(i models.Image) Image {
	return Image{ID: i.ID, Name: i.Name, OS: i.OS, Description: i.Description, MinStorageGiB: i.MinStorageGiB, Templates: i.Templates, Bootable: bootable(i), Stamps: stamps(i.Stamps)}
}
