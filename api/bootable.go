package api

import (
	"maps"
	"slices"

	"github.com/yunshu/yunshu/models"
)

// Bootable is what of an image is for physical machines.
type Bootable struct {
	Purpose models.BootPurpose `json:"purpose" enum:"provision,wipe,discovery" doc:"What a physical machine boots it for: to become a tenant's, to have its disks emptied, or to say what it is made of." example:"provision"`
	Boot    map[string]Netboot `json:"boot" doc:"How physical machines boot it, by region."`
}

// Netboot is how an image is booted by a physical machine, from the network or from a virtual drive.
type Netboot struct {
	Kernel string `json:"kernel,omitempty" maxLength:"2048" doc:"Address of the kernel, for machines that boot from the network." example:"http://boot.example.com/ubuntu/vmlinuz"`
	Initrd string `json:"initrd,omitempty" maxLength:"2048" doc:"Address of the initial RAM disk." example:"http://boot.example.com/ubuntu/initrd"`
	Args   string `json:"args,omitempty" maxLength:"1000" doc:"Parameters of the kernel, on one line." example:"console=ttyS0 quiet"`
	ISO    string `json:"iso,omitempty" maxLength:"2048" doc:"Address of an ISO, for machines that boot from a virtual drive." example:"http://boot.example.com/ubuntu.iso"`
}

// NewBootable is what of a new image is for physical machines. Embed it.
type NewBootable struct {
	Purpose models.BootPurpose `json:"purpose,omitempty" enum:"provision,wipe,discovery" default:"provision" doc:"What a physical machine boots it for: to become a tenant's, to have its disks emptied, or to say what it is made of." example:"provision"`
	Boot    map[string]Netboot `json:"boot,omitempty" maxProperties:"1000" doc:"How physical machines boot it, by region."`
}

// OtherBootable is a change of it. Embed it.
type OtherBootable struct {
	Purpose *models.BootPurpose `json:"purpose,omitempty" enum:"provision,wipe,discovery" doc:"What a physical machine boots it for." example:"provision"`
	Boot    *map[string]Netboot `json:"boot,omitempty" maxProperties:"1000" doc:"How physical machines boot it, by region; replaces what there was."`
}

func (b NewBootable) of(i *models.Image) {
	i.Purpose, i.Boot = b.Purpose, netboots(b.Boot)
	if i.Purpose == "" {
		i.Purpose = models.BootProvision
	}
}

func (b OtherBootable) of(i *models.Image) {
	set(&i.Purpose, b.Purpose)
	if b.Boot != nil {
		i.Boot = netboots(*b.Boot)
	}
}

func netboots(boot map[string]Netboot) map[string]models.Netboot {
	out := map[string]models.Netboot{}
	for region, b := range boot {
		out[region] = models.Netboot(b)
	}
	return out
}

func bootable(i models.Image) Bootable {
	out := Bootable{Purpose: i.Purpose, Boot: map[string]Netboot{}}
	for region, b := range i.Boot {
		out.Boot[region] = Netboot(b)
	}
	return out
}

// bootMistakes lists everything that is wrong with how an image is booted.
func bootMistakes(boot map[string]models.Netboot, unknown []string) []models.FieldError {
	var wrong []models.FieldError
	for _, region := range slices.Sorted(maps.Keys(boot)) {
		if slices.Contains(unknown, region) {
			wrong = append(wrong, models.FieldError{Field: "body.boot", Message: noSuchRegion})
			continue
		}
		wrong = append(wrong, boot[region].Mistakes("body.boot."+region)...)
	}
	return wrong
}
