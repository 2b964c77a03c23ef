package redfish

import "github.com/yunshu/yunshu/test/bmc"

// ids are the names that a vendor gives to the parts of its tree.
type ids struct {
	system, manager, chassis, sel, cd, usb, oem, product string
}

func idsOf(vendor string) ids {
	switch vendor {
	case bmc.Dell:
		return ids{"System.Embedded.1", "iDRAC.Embedded.1", "System.Embedded.1", "Sel", "CD", "RemovableDisk", "Dell", "Integrated Dell Remote Access Controller"}
	case bmc.HPE:
		return ids{"1", "1", "1", "IEL", "2", "1", "Hpe", "ProLiant DL365 Gen11"}
	default:
		return ids{"1", "1", "1", "SEL", "CD1", "Floppy1", "Supermicro", ""}
	}
}

const root = "/redfish/v1"

func (i ids) systemPath() string  { return root + "/Systems/" + i.system }
func (i ids) managerPath() string { return root + "/Managers/" + i.manager }
func (i ids) chassisPath() string { return root + "/Chassis/" + i.chassis }
