package contract

import "github.com/yunshu/yunshu/models"

// Workflows of a virtual machine.
var (
	VMProvision = Workflow[VMProvisionInput]{"vm.provision"}
	VMDelete    = Workflow[VMDeleteInput]{"vm.delete"}
	VMPower     = Workflow[VMPowerInput]{"vm.power"}
	VMResize    = Workflow[VMResizeInput]{"vm.resize"}
	VMMigrate   = Workflow[VMMigrateInput]{"vm.migrate"}
)

// VMProvisionInput is frozen when the create is accepted.
type VMProvisionInput struct {
	Operation
	VM VM `json:"vm"`
}

// VMDeleteInput removes a VM, in whatever state it is.
type VMDeleteInput struct {
	Operation
}

// PowerAction is what to do to a VM's power.
type PowerAction string

// Power actions.
const (
	PowerOn  PowerAction = "on"
	PowerOff PowerAction = "off"    // asks the guest first, then pulls the plug
	Reboot   PowerAction = "reboot" // off, then on
)

// VMPowerInput changes a VM's power. From is where it was and where an unwind brings it back.
type VMPowerInput struct {
	Operation
	Action PowerAction    `json:"action"`
	From   models.VMState `json:"from"`
	Drain  models.ID      `json:"drain_id,omitzero"` // the operation that empties its host, if that wants it
}

// VMResizeInput changes a VM's size.
type VMResizeInput struct {
	Operation
	From         models.Size    `json:"from"`
	To           models.Size    `json:"to"`
	State        models.VMState `json:"state"`         // running or stopped, to which it returns
	AllowRestart bool           `json:"allow_restart"` // power it off and on where hot add does not work
}

// VMMigrateInput moves a VM to another host. From is where it was and where an unwind brings it back.
type VMMigrateInput struct {
	Operation
	From  Host           `json:"from"`
	To    Host           `json:"to"`
	State models.VMState `json:"state"`             // running or stopped, in which it stays
	Drain models.ID      `json:"drain_id,omitzero"` // the operation that empties its host, if that wants it
}

// VM is what a region needs to know to make a virtual machine.
type VM struct {
	ID       models.ID   `json:"id"` // becomes the instance UUID
	Name     string      `json:"name"`
	Tenant   string      `json:"tenant"`
	Size     models.Size `json:"size"`
	Template string      `json:"template"` // the provider's name of the image
	Host     Host        `json:"host"`
	Network  Network     `json:"network"`
}

// Host is a hypervisor as the provider knows it.
type Host struct {
	ID   models.ID `json:"id"`
	Name string    `json:"name"`
	Ref  string    `json:"ref"` // such as host-21
}

// Network is a VM's place in a subnet.
type Network struct {
	Name     string   `json:"name"`    // the provider's name, such as a port group
	Address  string   `json:"address"` // with prefix length, such as 10.1.0.7/16
	Gateway  string   `json:"gateway,omitempty"`
	DNS      []string `json:"dns,omitempty"`
	Hostname string   `json:"hostname"`
}

// VMRef names a VM to a region.
type VMRef struct {
	OperationID models.ID `json:"operation_id"`
	ID          models.ID `json:"id"`
	Name        string    `json:"name"`
}

// CloneInput makes a VM, off.
type CloneInput struct {
	OperationID models.ID `json:"operation_id"`
	VM          VM        `json:"vm"`
}

// VMStatus is what a region sees of a VM. Found is false where there is none with our id.
type VMStatus struct {
	Found     bool        `json:"found"`
	Ref       string      `json:"ref,omitempty"`
	On        bool        `json:"on,omitempty"`
	Size      models.Size `json:"size,omitzero"`
	Hostname  string      `json:"hostname,omitempty"`
	Addresses []string    `json:"addresses,omitempty"`
	Host      string      `json:"host,omitempty"` // that it is on, as the provider calls it, such as host-21
}

// PowerInput sets a VM's power, on or off; setting what is already so does nothing.
type PowerInput struct {
	VMRef
	On bool `json:"on"`
}

// BootInput turns a VM on and waits until its guest reports this address.
type BootInput struct {
	VMRef
	Address string `json:"address"` // without prefix length
}

// ReconfigureInput sets a VM's size. Storage never shrinks.
type ReconfigureInput struct {
	VMRef
	Size models.Size `json:"size"`
}

// MigrateInput moves a VM to a host; one that is there already stays.
type MigrateInput struct {
	VMRef
	To Host `json:"to"`
}

// Activities of a region's vm queue. Every one is idempotent by the VM's id, looks before it acts, and returns what it sees after.
var (
	VMClone       = Activity[CloneInput, VMStatus]{"vm.clone", task}
	VMSetPower    = Activity[PowerInput, VMStatus]{"vm.set-power", task}
	VMBoot        = Activity[BootInput, VMStatus]{"vm.boot", task}
	VMReconfigure = Activity[ReconfigureInput, VMStatus]{"vm.reconfigure", task}
	VMRelocate    = Activity[MigrateInput, VMStatus]{"vm.migrate", task}
	VMDestroy     = Activity[VMRef, None]{"vm.destroy", task} // of what is absent succeeds
	VMRead        = Activity[VMRef, VMStatus]{"vm.read", quick}
)
