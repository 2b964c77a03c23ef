// Package bmctest says in tests what every method of a BMC must do. It runs on each provider.
package bmctest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/baremetal"
	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// Fixture is a provider to exercise, and a machine that is off. What a protocol cannot do has no function here.
type Fixture struct {
	Provider baremetal.Provider
	Target   baremetal.Target // reaches the machine, with neither protocol nor fingerprint
	Want     contract.Probed
	// Inventory is what the machine is made of. Over IPMI it is the identity alone.
	Inventory models.Inventory

	// What is to be seen of the machine from outside its BMC.
	PowerOns   func() int // how often its power came
	PowerOffs  func() int
	Boot       func() (device models.BootDevice, persistent bool)
	Media      func() string
	Lit        func() bool
	PasswordIs func(password string) bool
	Sessions   func() int

	// What can be done to it.
	Deaf func()       // its operating system does not listen any more
	Log  func(string) // its BMC writes to the event log
	Hang func()       // its BMC takes calls and never answers
	Busy func()       // its BMC asks to come back later
	Gone func()       // nothing answers there any more
	Bare func()       // it shows no hardware any more
}

// Exercise runs the whole suite, each part on a machine of its own.
func Exercise(t *testing.T, fresh func(t *testing.T) Fixture) {
	for name, part := range map[string]func(*exercise){
		"the first contact":         (*exercise).contact,
		"certificates are pinned":   (*exercise).pinned,
		"a wrong login is refused":  (*exercise).refused,
		"everything is read":        (*exercise).inspect,
		"power":                     (*exercise).power,
		"a shutdown is only asked":  (*exercise).shutdown,
		"boot devices":              (*exercise).boot,
		"the virtual drive":         (*exercise).media,
		"the identify LED":          (*exercise).locate,
		"passwords":                 (*exercise).password,
		"a BMC that hangs":          (*exercise).hangs,
		"a BMC that is busy":        (*exercise).busy,
		"a BMC that is gone":        (*exercise).gone,
		"a BMC without hardware":    (*exercise).bare,
		"sessions are closed":       (*exercise).sessions,
		"targets show no password":  (*exercise).secret,
		"many sessions, one by one": (*exercise).many,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			part(&exercise{T: t, Fixture: fresh(t), ctx: t.Context()})
		})
	}
}

type exercise struct {
	*testing.T
	Fixture
	ctx context.Context
}

// open logs in, and out at the end.
func (e *exercise) open(t baremetal.Target) baremetal.BMC {
	e.Helper()
	bmc, err := e.Provider.Open(e.ctx, t)
	require.NoError(e, err)
	e.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), time.Second) // it may hang by now
		defer cancel()
		bmc.Close(ctx)
	})
	return bmc
}

// fails asks for a fault that names the machine and its address, and no password.
func (e *exercise) fails(err error, code models.Code) {
	e.Helper()
	f := models.AsFault(err)
	require.NotNil(e, f, "%v", err)
	require.Equal(e, code, f.Code, "%v", err)
	require.Contains(e, f.Message, "he BMC of baremetal "+e.Target.Name+" at "+e.Target.Address)
	require.Regexp(e, `\.$`, f.Message)
	for cause := error(f); cause != nil; {
		require.NotContains(e, fmt.Sprintf("%+v", cause), e.Target.Password)
		unwrapped, ok := cause.(interface{ Unwrap() error })
		if !ok {
			break
		}
		cause = unwrapped.Unwrap()
	}
}

func (e *exercise) contact() {
	got, err := e.open(e.Target).Probe(e.ctx)
	require.NoError(e, err)
	require.Equal(e, e.Want, got)
	known := e.Target
	known.Protocol, known.Fingerprint = got.Protocol, got.Fingerprint
	again, err := e.open(known).Probe(e.ctx)
	require.NoError(e, err)
	require.Equal(e, got, again)
	identity, err := e.open(known).Identity(e.ctx)
	require.NoError(e, err)
	require.Equal(e, got.Identity, identity)
}

func (e *exercise) pinned() {
	if e.Want.Fingerprint == "" {
		return // it has no certificate
	}
	t := e.Target
	t.Fingerprint = "00" + e.Want.Fingerprint[2:]
	_, err := e.Provider.Open(e.ctx, t)
	e.fails(err, models.CodeCertificateMismatch)
	require.Contains(e, err.Error(), e.Want.Fingerprint)
	require.Contains(e, err.Error(), t.Fingerprint)
}

func (e *exercise) refused() {
	for _, change := range []func(*baremetal.Target){
		func(t *baremetal.Target) { t.Password = "wrong-one" },
		func(t *baremetal.Target) { t.Username = "nobody" },
	} {
		t := e.Target
		change(&t)
		_, err := e.Provider.Open(e.ctx, t)
		e.fails(err, models.CodeLoginRefused)
		require.NotContains(e, err.Error(), "wrong-one")
	}
}

func (e *exercise) inspect() {
	if e.Log != nil {
		e.Log("The lid was opened")
	}
	got, err := e.open(e.Target).Inspect(e.ctx)
	require.NoError(e, err)
	require.Equal(e, e.Inventory, got.Inventory)
	require.Equal(e, models.PowerOff, got.Power)
	require.Equal(e, models.HealthOK, got.Health.Status)
	require.NotEmpty(e, got.Health.Sensors)
	for _, s := range got.Health.Sensors {
		require.NotEmpty(e, s.Name)
		require.Contains(e, []string{"Cel", "RPM", "W", "V", ""}, s.Unit)
	}
	require.LessOrEqual(e, len(got.Health.Log), 50)
	for i, line := range got.Health.Log {
		require.NotEmpty(e, line.ID+line.Message)
		if i > 0 {
			require.False(e, line.At.After(got.Health.Log[i-1].At), "the newest first")
		}
	}
	if e.Log != nil {
		require.Equal(e, "The lid was opened", got.Health.Log[0].Message)
	}
}

// becomes orders until the machine is as ordered, as the activity does.
func (e *exercise) becomes(bmc baremetal.BMC, o baremetal.Order, want baremetal.PowerState) {
	e.Helper()
	require.NoError(e, bmc.Order(e.ctx, o))
	// Power changes in its own time, and a BMC tells nobody.
	require.Eventually(e, func() bool {
		got, err := bmc.Power(e.ctx)
		require.NoError(e, err)
		return got == want
	}, 20*time.Second, 20*time.Millisecond)
}

func (e *exercise) power() {
	bmc := e.open(e.Target)
	for range 2 {
		e.becomes(bmc, baremetal.TurnOn, baremetal.StateOn)
	}
	require.Equal(e, 1, e.PowerOns())
	for range 2 {
		e.becomes(bmc, baremetal.TurnOff, baremetal.StateOff)
	}
	require.Equal(e, []int{1, 1}, []int{e.PowerOns(), e.PowerOffs()}, "what is so already is let alone")
	e.becomes(bmc, baremetal.TurnOn, baremetal.StateOn)
	for range 2 {
		e.becomes(bmc, baremetal.ShutDown, baremetal.StateOff)
	}
	require.Equal(e, []int{2, 2}, []int{e.PowerOns(), e.PowerOffs()})
}

func (e *exercise) shutdown() {
	if e.Deaf == nil {
		return // there is no operating system to be deaf
	}
	bmc := e.open(e.Target)
	e.becomes(bmc, baremetal.TurnOn, baremetal.StateOn)
	e.Deaf()
	require.NoError(e, bmc.Order(e.ctx, baremetal.ShutDown))
	require.Never(e, func() bool { return e.PowerOffs() > 0 }, 300*time.Millisecond, 20*time.Millisecond)
	e.becomes(bmc, baremetal.TurnOff, baremetal.StateOff)
}

func (e *exercise) boot() {
	bmc := e.open(e.Target)
	for _, device := range []models.BootDevice{models.BootPXE, models.BootDisk, models.BootCD} {
		for _, persistent := range []bool{false, true} {
			for range 2 {
				require.NoError(e, bmc.SetBoot(e.ctx, device, persistent))
				if e.Boot == nil {
					continue
				}
				got, forGood := e.Boot()
				require.Equal(e, device, got)
				require.Equal(e, persistent, forGood)
			}
		}
	}
}

func (e *exercise) media() {
	bmc := e.open(e.Target)
	if e.Media == nil {
		e.fails(bmc.SetMedia(e.ctx, "http://127.0.0.1:9/a.iso"), models.CodeNotSupported)
		return
	}
	for _, image := range []string{"", "http://127.0.0.1:9/a.iso", "http://127.0.0.1:9/a.iso", "http://127.0.0.1:9/b.iso", "", ""} {
		require.NoError(e, bmc.SetMedia(e.ctx, image))
		require.Equal(e, image, e.Media())
	}
}

func (e *exercise) locate() {
	bmc := e.open(e.Target)
	for _, on := range []bool{true, true, false, false} {
		require.NoError(e, bmc.Locate(e.ctx, on))
		if e.Lit != nil {
			require.Equal(e, on, e.Lit())
		}
	}
}

func (e *exercise) password() {
	const next = "Battery-Staple-8"
	require.NoError(e, e.open(e.Target).SetPassword(e.ctx, next))
	_, err := e.Provider.Open(e.ctx, e.Target)
	e.fails(err, models.CodeLoginRefused)
	t := e.Target
	t.Password = next
	bmc := e.open(t)
	require.NoError(e, bmc.SetPassword(e.ctx, next), "once more")
	_, err = e.open(t).Identity(e.ctx)
	require.NoError(e, err)
	if e.PasswordIs != nil {
		require.True(e, e.PasswordIs(next))
	}
}

// soon is well above what a call takes, and well below what a provider would wait by itself.
const soon = 5 * time.Second

func (e *exercise) hangs() {
	bmc := e.open(e.Target)
	e.Hang()
	for name, call := range map[string]func(context.Context) error{
		"open":         func(ctx context.Context) error { _, err := e.Provider.Open(ctx, e.Target); return err },
		"probe":        func(ctx context.Context) error { _, err := bmc.Probe(ctx); return err },
		"inspect":      func(ctx context.Context) error { _, err := bmc.Inspect(ctx); return err },
		"power":        func(ctx context.Context) error { _, err := bmc.Power(ctx); return err },
		"order":        func(ctx context.Context) error { return bmc.Order(ctx, baremetal.TurnOn) },
		"set boot":     func(ctx context.Context) error { return bmc.SetBoot(ctx, models.BootPXE, false) },
		"locate":       func(ctx context.Context) error { return bmc.Locate(ctx, true) },
		"set password": func(ctx context.Context) error { return bmc.SetPassword(ctx, "Battery-Staple-8") },
	} {
		begun := time.Now()
		ctx, cancel := context.WithCancel(e.ctx)
		stop := time.AfterFunc(50*time.Millisecond, cancel)
		require.ErrorIs(e, call(ctx), context.Canceled, name)
		stop.Stop()
		ctx, cancel = context.WithTimeout(e.ctx, 50*time.Millisecond)
		err := call(ctx)
		cancel()
		if f := models.AsFault(err); f != nil {
			e.fails(err, models.CodeUnreachable)
		} else {
			require.ErrorIs(e, err, context.DeadlineExceeded, name)
		}
		require.Less(e, time.Since(begun), soon, name)
	}
	require.Zero(e, e.PowerOns())
}

func (e *exercise) busy() {
	if e.Busy == nil {
		return // its protocol has no way to say so
	}
	bmc := e.open(e.Target)
	e.Busy()
	_, err := bmc.Inspect(e.ctx)
	e.fails(err, models.CodeBusy)
	e.fails(bmc.Order(e.ctx, baremetal.TurnOn), models.CodeBusy)
	_, err = e.Provider.Open(e.ctx, e.Target)
	e.fails(err, models.CodeBusy)
}

func (e *exercise) gone() {
	bmc := e.open(e.Target)
	e.Gone()
	ctx, cancel := context.WithTimeout(e.ctx, soon)
	defer cancel()
	_, err := bmc.Power(ctx)
	e.fails(err, models.CodeUnreachable)
	ctx, cancel = context.WithTimeout(e.ctx, soon)
	defer cancel()
	_, err = e.Provider.Open(ctx, e.Target)
	e.fails(err, models.CodeUnreachable)
}

func (e *exercise) bare() {
	if e.Bare == nil {
		return // its protocol shows none to begin with
	}
	e.Bare()
	_, err := e.open(e.Target).Inspect(e.ctx)
	e.fails(err, models.CodeInventoryEmpty)
}

func (e *exercise) sessions() {
	bmc, err := e.Provider.Open(e.ctx, e.Target)
	require.NoError(e, err)
	e.becomes(bmc, baremetal.TurnOn, baremetal.StateOn)
	bmc.Close(e.ctx)
	require.Zero(e, e.Sessions())
}

func (e *exercise) many() {
	for range 20 { // more than a BMC has room for at once
		bmc, err := e.Provider.Open(e.ctx, e.Target)
		require.NoError(e, err)
		_, err = bmc.Power(e.ctx)
		require.NoError(e, err)
		bmc.Close(e.ctx)
	}
	require.Zero(e, e.Sessions())
}

func (e *exercise) secret() {
	require.NotContains(e, fmt.Sprintf("%v %+v %#v %s", e.Target, e.Target, e.Target, e.Target), e.Target.Password)
}
