package vsphere

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/vmware/govmomi/task"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/yunshu/yunshu/models"
)

// class says what a vCenter fault means to us: its code, why it happened and what to do, in words.
type class struct {
	is     func(error) bool
	code   models.Code
	why    string
	remedy string
}

// classes is the one place where vCenter's faults become ours. The first that matches counts.
var classes = []class{
	{isFault[*types.InvalidLogin], models.CodeLoginRefused, "it refused the name or the password", "Correct the worker's credentials, then resume."},
	{isFault[*types.InvalidLocale], models.CodeLoginRefused, "it refused the login", "Correct the worker's credentials, then resume."},
	{isFault[*types.NotAuthenticated], models.CodeLoginRefused, "it forgot our session twice", "Look whether something ends the sessions of the worker's account."},
	{isFault[*types.NoPermission], models.CodeLoginRefused, "the worker's account lacks a privilege", "Give it the privilege, then resume."},

	{isFault[*types.TaskInProgress], models.CodeBusy, "another task holds the machine", "The step is tried again."},
	{isFault[*types.FileLocked], models.CodeBusy, "another task holds the machine's files", "The step is tried again."},
	{isFault[*types.ResourceInUse], models.CodeBusy, "something it needs is in use", "The step is tried again."},
	{isFault[*types.ConcurrentAccess], models.CodeBusy, "someone else changed the same thing at the same moment", "The step is tried again."},
	{isFault[*types.LimitExceeded], models.CodeBusy, "it has too much to do", "The step is tried again."},
	{isFault[*types.TooManyConcurrentNativeClones], models.CodeBusy, "it makes too many machines at the moment", "The step is tried again."},
	{isFault[*types.RequestCanceled], models.CodeBusy, "someone cancelled the task in vCenter", "The step is tried again."},

	{isFault[*types.DuplicateName], models.CodeBusy, "an earlier attempt is making the same machine", "The step is tried again."},
	{isOurUUIDTaken, models.CodeBusy, "an earlier attempt is making the same machine", "The step is tried again."},

	{isFault[*types.InvalidHostState], models.CodeHostUnusable, "the host is in maintenance or not connected", "Bring the host back, or put it in maintenance here as well."},
	{isFault[*types.HostCommunication], models.CodeHostUnusable, "it cannot talk to the host", "Bring the host back, or put it in maintenance here as well."},
	{isFault[*types.HostNotConnected], models.CodeHostUnusable, "the host is not connected", "Bring the host back, or put it in maintenance here as well."},
	{isFault[*types.HostNotReachable], models.CodeHostUnusable, "the host cannot be reached", "Bring the host back, or put it in maintenance here as well."},
	{isFault[*types.DisallowedOperationOnFailoverHost], models.CodeHostUnusable, "the host is kept for failover", "Put the host in maintenance here."},

	{isFault[*types.NoDiskSpace], models.CodeStorageFull, "a datastore is full", "Free or add storage."},
	{isFault[*types.InsufficientStorageSpace], models.CodeStorageFull, "a datastore is full", "Free or add storage."},
	{isFault[*types.DatacenterMismatch], models.CodeInvalidSpec, "host, template and network are in different datacenters", "Correct the image or the subnet."},
	{isFault[*types.InvalidDatastore], models.CodeTaskFailed, "the datastore cannot be used", "Look at the datastore in vCenter."},

	{isFault[*types.CpuHotPlugNotSupported], models.CodeNeedsPowerOff, "the processors cannot be changed while the machine runs", "Power it off first, or allow a restart."},
	{isFault[*types.MemoryHotPlugNotSupported], models.CodeNeedsPowerOff, "the memory cannot be changed while the machine runs", "Power it off first, or allow a restart."},

	{isFault[*types.InvalidArgument], models.CodeInvalidSpec, "it refused a part of the specification", "Change the request."},
	{isFault[*types.InvalidDeviceSpec], models.CodeInvalidSpec, "it refused a device", "Change the request."},
	{isFault[*types.InvalidDeviceOperation], models.CodeInvalidSpec, "it refused the change of a device", "Change the request."},
	{isFault[*types.InvalidVmConfig], models.CodeInvalidSpec, "it refused the configuration", "Change the request."},
	{isFault[*types.VmConfigFault], models.CodeInvalidSpec, "it refused the configuration", "Change the request."},
	{isFault[*types.CustomizationFault], models.CodeInvalidSpec, "it refused to customise the guest", "Check the image: it needs guest tools and a supported system."},
	{isFault[*types.NicSettingMismatch], models.CodeInvalidSpec, "the template has not exactly one network card", "Correct the template."},
	{isFault[*types.UncustomizableGuest], models.CodeInvalidSpec, "the guest system cannot be customised", "Use another image."},
	{isFault[*types.NotSupported], models.CodeNotSupported, "it does not support this", "Use another host or image."},
	{isFault[*types.InsufficientResourcesFault], models.CodeHostUnusable, "the host has too little left", "Resume later, or use another host."},
	{isFault[*types.InsufficientHostCapacityFault], models.CodeHostUnusable, "the host has too little left", "Resume later, or use another host."},
	{isFault[*types.InsufficientMemoryResourcesFault], models.CodeHostUnusable, "the host has too little memory left", "Resume later, or use another host."},
	{isFault[*types.InsufficientCpuResourcesFault], models.CodeHostUnusable, "the host has too few processors left", "Resume later, or use another host."},

	// What was there a moment ago is gone, or our session's helpers are: looking again finds out which.
	{isFault[*types.ManagedObjectNotFound], models.CodeBusy, "something it was working with is gone", "The step is tried again."},
}

// fault turns an error of vCenter into a fault that says what could not be done. Faults and cancellations pass.
func (p *Provider) fault(doing string, err error) error {
	if err == nil || models.AsFault(err) != nil || errors.Is(err, context.Canceled) {
		return err
	}
	where := fmt.Sprintf("vCenter %s of region %s could not %s", p.host, p.options.Region, doing)
	for _, c := range classes {
		if c.is(err) {
			return models.Faultf(c.code, "%s: %s%s. %s", where, c.why, detail(err), c.remedy).Because(err)
		}
	}
	if f := vimFault(err); f != nil {
		return models.Faultf(models.CodeTaskFailed, "%s: %s%s. Look at the task in vCenter.", where, kind(f), detail(err)).Because(err)
	}
	return models.Faultf(models.CodeUnreachable, "vCenter %s of region %s cannot be reached to %s: %s. Bring it back, or correct its address and CA file; the step is tried again.",
		p.host, p.options.Region, doing, plain(err)).Because(err)
}

// faultf makes a fault of our own that says what could not be done.
func (p *Provider) faultf(code models.Code, doing, format string, args ...any) error {
	return models.Faultf(code, "vCenter %s of region %s could not %s: %s", p.host, p.options.Region, doing, fmt.Sprintf(format, args...))
}

// isFault reports whether vCenter answered, or ended a task, with a fault of type T.
func isFault[T types.BaseMethodFault](err error) bool {
	_, is := vimFault(err).(T)
	return is
}

// isOurUUIDTaken recognises a clone that another worker began: the machine has its id already, but is not found by it
// before it is whole.
func isOurUUIDTaken(err error) bool {
	wrong, ok := vimFault(err).(*types.InvalidArgument)
	return ok && strings.HasSuffix(wrong.InvalidProperty, "instanceUuid")
}

// vimFault finds vCenter's fault in an error, or nil.
func vimFault(err error) types.BaseMethodFault {
	var failed task.Error
	if errors.As(err, &failed) {
		return failed.Fault()
	}
	for ; err != nil; err = errors.Unwrap(err) {
		if soap.IsVimFault(err) {
			return soap.ToVimFault(err)
		}
		if soap.IsSoapFault(err) {
			if f := pointer(soap.ToSoapFault(err).VimFault()); f != nil {
				return f
			}
			return &types.SystemError{Reason: soap.ToSoapFault(err).String}
		}
	}
	return nil
}

// pointer returns a decoded fault, which the decoder leaves as a value, in the form that the interface has.
func pointer(v types.AnyType) types.BaseMethodFault {
	if f, ok := v.(types.BaseMethodFault); ok || v == nil {
		return f
	}
	p := reflect.New(reflect.TypeOf(v))
	p.Elem().Set(reflect.ValueOf(v))
	f, _ := p.Interface().(types.BaseMethodFault)
	return f
}

// detail adds what vCenter itself says, if it says more than the fault's type.
func detail(err error) string {
	var failed task.Error
	text := ""
	switch f := vimFault(err).(type) {
	case *types.InvalidArgument:
		text = f.InvalidProperty
	case *types.InvalidVmConfig:
		text = f.Property
	case *types.InvalidDeviceSpec:
		text = f.Property
	case *types.NoPermission:
		text = f.PrivilegeId
	case *types.SystemError:
		text = f.Reason
	}
	if text == "" && errors.As(err, &failed) {
		text = failed.LocalizedMessage
	}
	text = strings.TrimRight(strings.TrimSpace(text), ".")
	if text == "" || strings.HasPrefix(text, "*") { // vcsim's messages are Go type names
		return ""
	}
	return " (" + text + ")"
}

// kind is the name of a fault's type, such as InvalidState.
func kind(f types.BaseMethodFault) string { return reflect.TypeOf(f).Elem().Name() }

// plain is what went wrong between us and vCenter, without the address that the sentence has already.
func plain(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "it did not answer in time"
	}
	text := err.Error()
	if _, rest, found := strings.Cut(text, `": `); found {
		text = rest
	}
	return strings.TrimRight(text, ".")
}
