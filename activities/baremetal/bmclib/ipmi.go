package bmclib

import (
	"context"
	"strings"
	"time"

	library "github.com/bmc-toolbox/bmclib/v2"
	"github.com/go-logr/logr"

	"github.com/yunshu/yunshu/activities/baremetal"
	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// listing is how many times as long as another call one may take that lists sensors or log lines: ipmitool asks for each of
// some hundreds by itself, and a BMC needs a tenth of a second for one.
const listing = 6

// cipher is the suite that every IPMI 2.0 BMC has. Left to choose, ipmitool tries others first for ten seconds a call.
const cipher = "3"

// ipmi speaks to a BMC over IPMI, by way of the program ipmitool: through bmclib where that knows how, otherwise by itself.
// There is no session between calls.
type ipmi struct {
	t       baremetal.Target
	tool    tool
	limit   time.Duration
	library *library.Client
}

var _ baremetal.BMC = (*ipmi)(nil)

// openIPMI finds out whether the BMC answers and takes our login.
func (p *Provider) openIPMI(ctx context.Context, t baremetal.Target) (baremetal.BMC, error) {
	host, port := split(t.Address, "623")
	i := &ipmi{t: t, limit: p.options.CallTimeout, tool: tool{program: p.options.Ipmitool, host: strings.Trim(host, "[]"), port: port, username: t.Username, password: t.Password}}
	if !i.tool.answers(ctx) {
		return nil, i.fault(ctx, "log in", errSilent)
	}
	path, err := i.tool.path()
	if err != nil {
		return nil, t.Faultf(models.CodeNotSupported, "speaks IPMI, and this worker has no program %s to speak it with. Install ipmitool beside the worker, or give the BMC's Redfish address.", p.options.Ipmitool)
	}
	i.library = library.NewClient(host, t.Username, t.Password, library.WithLogger(logr.Discard()), library.WithIpmitoolPath(path),
		library.WithIpmitoolPort(port), library.WithIpmitoolCipherSuite(cipher), library.WithPerProviderTimeout(listing*p.options.CallTimeout))
	i.library.Registry.Drivers = i.library.Registry.For("ipmitool")
	if err := i.library.Open(ctx); err != nil {
		return nil, i.fault(ctx, "log in", err)
	}
	return i, nil
}

// Close has nothing to close.
func (i *ipmi) Close(context.Context) {}

// Probe tells who is there. The console is the serial one, over the same protocol.
func (i *ipmi) Probe(ctx context.Context) (contract.Probed, error) {
	identity, err := i.Identity(ctx)
	if err != nil {
		return contract.Probed{}, err
	}
	host, port := split(i.t.Address, "623")
	if port != "623" {
		host += ":" + port
	}
	return contract.Probed{Protocol: models.IPMI, Identity: identity, Console: "ipmi://" + host}, nil
}

// Identity reads who is there: the UUID from the BMC, and the rest from the board's memory. A BMC that does not know its UUID
// is known by its serial alone.
func (i *ipmi) Identity(ctx context.Context) (models.HardwareIdentity, error) {
	fru, err := i.run(ctx, "identify the machine", "fru", "print", "0")
	if err != nil {
		return models.HardwareIdentity{}, err
	}
	out := parseFRU(fru)
	guid, err := i.run(ctx, "read the UUID", "mc", "guid")
	if err != nil && !models.IsCode(err, models.CodeNotSupported, models.CodeTaskFailed) {
		return models.HardwareIdentity{}, err
	}
	out.UUID = parseGUID(guid)
	return out, nil
}

// Inspect reads everything that IPMI tells: it knows nothing of processors, memory, disks and NICs.
func (i *ipmi) Inspect(ctx context.Context) (contract.Inspected, error) {
	identity, err := i.Identity(ctx)
	if err != nil {
		return contract.Inspected{}, err
	}
	power, err := i.Power(ctx)
	if err != nil {
		return contract.Inspected{}, err
	}
	var sensors string
	if err := i.within(ctx, listing*i.limit, "read the sensors", func(ctx context.Context) (err error) {
		sensors, err = i.tool.run(ctx, "", "-c", "sdr", "list", "full")
		return err
	}); err != nil {
		return contract.Inspected{}, err
	}
	log, err := i.log(ctx)
	if err != nil {
		return contract.Inspected{}, err
	}
	out := contract.Inspected{Inventory: models.Inventory{HardwareIdentity: identity}, Power: power.Power()}
	out.Health.Sensors = parseSensors(sensors)
	out.Health.Status = worst(out.Health.Sensors)
	out.Health.Log = log
	return out, nil
}

// log reads the newest lines of the system event log, the newest first.
func (i *ipmi) log(ctx context.Context) ([]models.LogEntry, error) {
	var lines [][]string
	err := i.within(ctx, listing*i.limit, "read the event log", func(ctx context.Context) (err error) {
		lines, err = i.library.GetSystemEventLog(ctx)
		return err
	})
	return parseLog(lines), err
}

// Power reads whether the machine is on. IPMI knows no transitions.
func (i *ipmi) Power(ctx context.Context) (baremetal.PowerState, error) {
	var said string
	err := i.using(ctx, "read the power", func(ctx context.Context) (err error) {
		said, err = i.library.GetPowerState(ctx)
		return err
	})
	switch {
	case err != nil:
		return baremetal.StateUnknown, err
	case strings.Contains(said, "is on"):
		return baremetal.StateOn, nil
	case strings.Contains(said, "is off"):
		return baremetal.StateOff, nil
	}
	return baremetal.StateUnknown, nil
}

// Order orders a change of power.
func (i *ipmi) Order(ctx context.Context, o baremetal.Order) error {
	word := map[baremetal.Order]string{baremetal.TurnOn: "on", baremetal.TurnOff: "off", baremetal.ShutDown: "soft"}[o]
	return i.using(ctx, "power the machine "+string(o), func(ctx context.Context) error { return done(i.library.SetPowerState(ctx, word)) })
}

// SetBoot sets what the machine boots from, by UEFI: IPMI does not tell which way the machine is set to.
func (i *ipmi) SetBoot(ctx context.Context, device models.BootDevice, persistent bool) error {
	return i.using(ctx, "set the boot device", func(ctx context.Context) error {
		return done(i.library.SetBootDevice(ctx, targets[device].library, persistent, true))
	})
}

// SetMedia is not possible. There is nothing to take out of a drive that is not there.
func (i *ipmi) SetMedia(_ context.Context, image string) error {
	if image == "" {
		return nil
	}
	return i.t.Faultf(models.CodeNotSupported, "has no virtual drive: IPMI knows none. Boot from the network instead.")
}

// Locate turns the LED on, until it is turned off, or off.
func (i *ipmi) Locate(ctx context.Context, on bool) error {
	how := "0"
	if on {
		how = "force"
	}
	_, err := i.run(ctx, "switch the identify LED", "chassis", "identify", how)
	return err
}

// SetPassword changes the password of the account that is logged in. It reaches ipmitool on its standard input, for what is
// on a command line can be read by everybody on the machine.
func (i *ipmi) SetPassword(ctx context.Context, password string) error {
	const doing = "set the password"
	if strings.ContainsAny(password, " \t\r\n\"'\\") || len(password) > 20 {
		return i.t.Faultf(models.CodeInvalidSpec, "cannot be given this password over IPMI: it must have at most 20 characters, and no spaces, quotes or backslashes. Choose another one.")
	}
	list, err := i.run(ctx, doing, "user", "list")
	if err != nil {
		return err
	}
	id := parseUser(list, i.t.Username)
	if id == "" {
		return i.t.Faultf(models.CodeTaskFailed, "does not list the user %s, so the user's password cannot be set. Set it at the BMC itself.", i.t.Username)
	}
	return i.using(ctx, doing, func(ctx context.Context) error {
		if _, err := i.tool.run(ctx, "user set password "+id+" "+password+"\n", "exec", "/dev/stdin"); err != nil {
			return &toolError{redact(err.Error(), password)}
		}
		return nil
	})
}

// run runs ipmitool and returns what it printed.
func (i *ipmi) run(ctx context.Context, doing string, args ...string) (out string, err error) {
	err = i.using(ctx, doing, func(ctx context.Context) (err error) {
		out, err = i.tool.run(ctx, "", args...)
		return err
	})
	return out, err
}

// using makes one call, within its time.
func (i *ipmi) using(ctx context.Context, doing string, call func(context.Context) error) error {
	return i.within(ctx, i.limit, doing, call)
}

// within makes one call that has a time of its own.
func (i *ipmi) within(ctx context.Context, limit time.Duration, doing string, call func(context.Context) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ctx, end := span(ctx, i.t, doing, "")
	defer func() { end(err) }()
	return i.fault(ctx, doing, call(ctx))
}
