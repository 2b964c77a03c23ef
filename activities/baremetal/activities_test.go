package baremetal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/yunshu/yunshu/activities/baremetal"
	"github.com/yunshu/yunshu/activities/baremetal/memory"
	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/vault"
)

const (
	address  = "https://10.0.0.7"
	password = "correct-horse-7"
)

// bench is a region with one machine, whose activities run as Temporal runs them.
type bench struct {
	*testing.T
	p    *memory.Provider
	keys vault.Keys
	all  *baremetal.Activities
	log  *bytes.Buffer
	bmc  contract.BMC
}

func newBench(t *testing.T, change ...func(*baremetal.Options)) *bench {
	t.Helper()
	keys, err := vault.Parse("test=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	require.NoError(t, err)
	b := &bench{T: t, p: memory.New(memory.Options{}), keys: keys, log: &bytes.Buffer{}}
	o := baremetal.Options{Provider: b.p, Keys: keys, Poll: time.Millisecond, OpenTimeout: 50 * time.Millisecond, RoundTimeout: 50 * time.Millisecond,
		PowerTimeout: time.Second, ShutdownTimeout: 50 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(b.log, nil))}
	for _, c := range change {
		c(&o)
	}
	b.all = baremetal.New(o)
	b.bmc = b.add(address)
	return b
}

// add puts a machine into the rack and returns how it is reached.
func (b *bench) add(address string) contract.BMC {
	b.Helper()
	b.p.Add(memory.Machine{Address: address, Username: "admin", Password: password})
	id := models.NewID()
	return contract.BMC{ID: id, Name: "tw-r01-07", Address: address, Username: "admin", Password: b.seal(password, id)}
}

func (b *bench) seal(secret string, id models.ID) vault.Sealed {
	b.Helper()
	sealed, err := b.keys.Seal(secret, contract.SealedFor(id))
	require.NoError(b, err)
	return sealed
}

func (b *bench) env() *testsuite.TestActivityEnvironment {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(nopLogger{})
	env := suite.NewTestActivityEnvironment()
	baremetal.Register(env, b.all)
	return env
}

// run runs an activity and reads its result.
func run[I, O any](b *bench, env *testsuite.TestActivityEnvironment, ref contract.Activity[I, O], in I) (out O, err error) {
	b.Helper()
	got, err := env.ExecuteActivity(ref.Name, in)
	if err == nil {
		require.NoError(b, got.Get(&out))
	}
	return out, err
}

// do runs an activity that must succeed.
func do[I, O any](b *bench, ref contract.Activity[I, O], in I) O {
	b.Helper()
	out, err := run(b, b.env(), ref, in)
	require.NoError(b, err)
	return out
}

// fails runs an activity that must not, and returns its fault and whether Temporal tries it again.
func fails[I, O any](b *bench, ref contract.Activity[I, O], in I) (models.Fault, bool) {
	b.Helper()
	_, err := run(b, b.env(), ref, in)
	require.Error(b, err)
	require.NotContains(b, fmt.Sprintf("%v %+v %#v", err, err, err), password)
	var crossed *temporal.ApplicationError
	require.True(b, errors.As(err, &crossed), "%v", err)
	return models.Fault{Code: contract.FaultOf(err).Code, Message: contract.FaultOf(err).Message}, !crossed.NonRetryable()
}

func (b *bench) machine() memory.Machine {
	b.Helper()
	m, found := b.p.Machine(address)
	require.True(b, found)
	return m
}

type nopLogger struct{}

func (nopLogger) Debug(string, ...any) {}
func (nopLogger) Info(string, ...any)  {}
func (nopLogger) Warn(string, ...any)  {}
func (nopLogger) Error(string, ...any) {}

func TestWhatABMCTells(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	m := b.machine()
	require.Equal(t, contract.Probed{Protocol: models.Redfish, Fingerprint: m.Fingerprint, Identity: m.Inventory.HardwareIdentity, Console: m.Console}, do(b, contract.BMProbe, b.bmc))
	require.Equal(t, contract.Inspected{Inventory: m.Inventory, Power: models.PowerOff, Health: m.Health}, do(b, contract.BMInspect, b.bmc))
}

func TestWhatABMCIsTold(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	want := b.machine()
	do(b, contract.BMSetBoot, contract.BMBootInput{BMC: b.bmc, Device: models.BootPXE, Persistent: true})
	do(b, contract.BMMedia, contract.BMMediaInput{BMC: b.bmc, URL: "http://10.0.0.1/discovery.iso"})
	do(b, contract.BMLocate, contract.BMLocateInput{BMC: b.bmc, On: true})
	require.Equal(t, contract.BMPowered{Power: models.PowerOn}, do(b, contract.BMSetPower, contract.BMPowerInput{BMC: b.bmc, On: true}))
	want.Boot, want.Persistent, want.Media, want.Lit, want.Power = models.BootPXE, true, "http://10.0.0.1/discovery.iso", true, models.PowerOn
	want.Events, want.Logins = []string{"on"}, 4
	require.Equal(t, want, b.machine(), "and every session was closed")

	f, _ := fails(b, contract.BMSetBoot, contract.BMBootInput{BMC: b.bmc, Device: "tape"})
	require.Equal(t, models.Fault{Code: models.CodeInvalidSpec, Message: `The BMC of baremetal tw-r01-07 at https://10.0.0.7 was not told to boot from "tape": it must be disk, pxe or cd.`}, f)
}

// TestFaultsCross says what people read, and which faults Temporal tries again by itself.
func TestFaultsCross(t *testing.T) {
	t.Parallel()
	const who = "The BMC of baremetal tw-r01-07 at https://10.0.0.7 "
	for name, c := range map[string]struct {
		break_ func(*bench)
		code   models.Code
		says   string
		again  bool
	}{
		"dead":  {func(b *bench) { b.p.SetFault(address, memory.Dead) }, models.CodeUnreachable, who + "did not answer within 50ms. Bring it back, or correct its address; the step is tried again.", true},
		"gone":  {func(b *bench) { b.p.SetFault(address, memory.Gone) }, models.CodeUnreachable, who + "cannot be reached. Bring it back, or correct its address; the step is tried again.", true},
		"busy":  {func(b *bench) { b.p.SetFault(address, memory.Busy) }, models.CodeBusy, who + "asks to come back later. The step is tried again.", true},
		"empty": {func(b *bench) { b.p.SetFault(address, memory.Bare) }, models.CodeInventoryEmpty, who + "names no processors and no memory. Wait until the machine has started, then resume.", false},
		"a wrong password": {func(b *bench) { b.bmc.Password = b.seal("wrong", b.bmc.ID) }, models.CodeLoginRefused,
			who + "refused the name admin or its password. Give the right ones, then resume.", false},
		"another machine's password": {func(b *bench) { b.bmc.Password = b.seal(password, models.NewID()) }, models.CodeInternal,
			"The password of the BMC of baremetal tw-r01-07 at https://10.0.0.7 cannot be opened: a secret encrypted with the key \"test\" was altered, belongs to something else, or the key is not the one it was encrypted with. Give worker and gateway the same YUNSHU_PAYLOAD_KEYS.", true},
		"another certificate": {func(b *bench) { b.bmc.Fingerprint = "00" }, models.CodeCertificateMismatch,
			who + "shows a certificate with the SHA-256 fingerprint 433f2f577fc46901ea1fa327b78a80043618fd9817caf680d5a150e4c52e77a9 instead of the pinned 00. If it was replaced on purpose, give the new fingerprint.", false},
		"a liar": {func(b *bench) { b.p.SetFault(address, memory.Liar) }, models.CodeIdentityChanged, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			c.break_(b)
			f, again := fails(b, contract.BMInspect, b.bmc)
			if c.says == "" {
				require.Contains(t, f.Message, "said first that it is")
				c.says = f.Message
			}
			require.Equal(t, models.Fault{Code: c.code, Message: c.says}, f)
			require.Equal(t, c.again, again)
			require.Zero(t, b.machine().Sessions)
			require.NotContains(t, b.log.String(), password)
		})
	}
}

func TestPowerIsBroughtToWhereItIsWanted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.p.SetSpin(20 * time.Millisecond)
	on, off := contract.BMPowerInput{BMC: b.bmc, On: true}, contract.BMPowerInput{BMC: b.bmc}
	soft := contract.BMPowerInput{BMC: b.bmc, Soft: true}
	for range 2 {
		require.Equal(t, models.PowerOn, do(b, contract.BMSetPower, on).Power)
	}
	b.p.SetFault(address, memory.Deaf)
	f, again := fails(b, contract.BMSetPower, soft)
	require.False(t, again)
	require.Equal(t, models.Fault{Code: models.CodePowerStuck, Message: "The operating system of baremetal tw-r01-07 did not shut down within 50ms after the BMC of baremetal tw-r01-07 at https://10.0.0.7 asked it to; the machine was left as it is. Shut it down from inside, or power it off at once."}, f)
	require.Equal(t, models.PowerOn, b.machine().Power)
	require.Equal(t, models.PowerOff, do(b, contract.BMSetPower, off).Power)
	b.p.SetFault(address, memory.None)
	require.Equal(t, models.PowerOn, do(b, contract.BMSetPower, on).Power)
	for range 2 {
		require.Equal(t, models.PowerOff, do(b, contract.BMSetPower, soft).Power)
	}
	require.Equal(t, []string{"on", "off", "on", "off"}, b.machine().Events)
}

func TestPowerThatDoesNotChangeIsSaidSo(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *baremetal.Options) { o.PowerTimeout = 30 * time.Millisecond })
	b.p.SetFault(address, memory.Jammed)
	f, again := fails(b, contract.BMSetPower, contract.BMPowerInput{BMC: b.bmc, On: true})
	require.False(t, again)
	require.Equal(t, models.Fault{Code: models.CodePowerStuck, Message: "The BMC of baremetal tw-r01-07 at https://10.0.0.7 took the order to power on, but after 30ms the machine's power is still off. Look at the machine, then resume."}, f)
}

// TestNothingIsSwitchedTwice kills the activity at each of its calls, runs it again, and counts what the power did.
func TestNothingIsSwitchedTwice(t *testing.T) {
	t.Parallel()
	for after := range 6 {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.p.SetSpin(20 * time.Millisecond)
			ctx, kill := context.WithCancel(t.Context())
			defer kill()
			var calls, orders atomic.Int64
			b.p.SetHook(func(_ context.Context, step, _ string) error {
				if step == memory.SetPower {
					orders.Add(1)
				}
				if calls.Add(1) == int64(after)+1 {
					kill()
				}
				return nil
			})
			env := b.env()
			env.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
			in := contract.BMPowerInput{BMC: b.bmc, On: true}
			_, err := run(b, env, contract.BMSetPower, in)
			require.Error(t, err)
			require.Equal(t, models.PowerOn, do(b, contract.BMSetPower, in).Power)
			require.Equal(t, []string{"on"}, b.machine().Events)
			require.LessOrEqual(t, orders.Load(), int64(2), "once by each attempt, at most")
			require.Zero(t, b.machine().Sessions)
		})
	}
}

// TestAnOrderIsRemembered shows that an attempt goes on waiting for what the one before it ordered.
func TestAnOrderIsRemembered(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *baremetal.Options) { o.ShutdownTimeout = 200 * time.Millisecond })
	do(b, contract.BMSetPower, contract.BMPowerInput{BMC: b.bmc, On: true})
	b.p.SetFault(address, memory.Deaf)
	var orders atomic.Int64
	b.p.SetHook(func(_ context.Context, step, _ string) error {
		if step == memory.SetPower {
			orders.Add(1)
		}
		return nil
	})
	env := b.env()
	env.SetHeartbeatDetails(time.Now())
	_, err := run(b, env, contract.BMSetPower, contract.BMPowerInput{BMC: b.bmc, Soft: true})
	require.Equal(t, models.CodePowerStuck, contract.FaultOf(err).Code)
	require.Zero(t, orders.Load(), "it was asked already")
	env = b.env()
	env.SetHeartbeatDetails(time.Now().Add(-time.Hour))
	_, err = run(b, env, contract.BMSetPower, contract.BMPowerInput{BMC: b.bmc, Soft: true})
	require.Equal(t, models.CodePowerStuck, contract.FaultOf(err).Code)
	require.Equal(t, int64(1), orders.Load(), "long ago is not now")
}

func TestAPasswordIsChangedOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const next = "battery-staple-8"
	in := contract.BMPasswordInput{BMC: b.bmc, New: b.seal(next, b.bmc.ID)}
	raw, err := json.Marshal(in)
	require.NoError(t, err)
	require.NotContains(t, string(raw), next)
	require.NotContains(t, string(raw), password)
	for range 2 {
		do(b, contract.BMSetPassword, in)
		require.Equal(t, next, b.machine().Password)
	}
	in.New = b.seal("neither", b.bmc.ID)
	f, again := fails(b, contract.BMSetPassword, in)
	require.False(t, again, "a BMC locks an account that is tried too often")
	require.Equal(t, models.CodeLoginRefused, f.Code)
	require.Equal(t, next, b.machine().Password)
	require.NotContains(t, b.log.String(), next)
}

// TestABMCIsSpokenToByOneAtATime runs many steps on two machines at once.
// TestABMCMayTakeAPasswordOverAMomentLater has one that refuses the new password at first. To give up then would forget a
// password that is the BMC's a second later.
func TestABMCMayTakeAPasswordOverAMomentLater(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	changed, early := false, 2
	b.p.SetHook(func(_ context.Context, step, _ string) error {
		switch {
		case step == memory.SetPassword:
			changed = true
		case step == memory.Open && changed && early > 0:
			early--
			return models.Faultf(models.CodeLoginRefused, "Not yet.")
		}
		return nil
	})
	do(b, contract.BMSetPassword, contract.BMPasswordInput{BMC: b.bmc, New: b.seal("battery-staple-8", b.bmc.ID)})
	require.Equal(t, "battery-staple-8", b.machine().Password)
}

func TestABMCIsSpokenToByOneAtATime(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	other := b.add("https://10.0.0.8")
	var mu sync.Mutex
	now, most, together := map[string]int{}, map[string]int{}, 0
	b.p.SetHook(func(_ context.Context, step, address string) error {
		if step != memory.Locate {
			return nil
		}
		mu.Lock()
		now[address]++
		most[address] = max(most[address], now[address])
		together = max(together, len(now))
		mu.Unlock()
		<-time.After(time.Millisecond) // the call takes a while
		mu.Lock()
		defer mu.Unlock()
		if now[address]--; now[address] == 0 {
			delete(now, address)
		}
		return nil
	})
	var all sync.WaitGroup
	errs := make([]error, 32)
	for i := range errs {
		bmc := []contract.BMC{b.bmc, other}[i%2]
		all.Go(func() { _, errs[i] = b.all.Locate(t.Context(), contract.BMLocateInput{BMC: bmc, On: true}) })
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Equal(t, map[string]int{address: 1, "https://10.0.0.8": 1}, most)
	require.Equal(t, 2, together, "different ones do not wait for each other")
}

// TestAQuickStepDoesNotWaitBehindLongOnes has as many machines inspected as may be, which takes some minutes each, while a
// quick step has less than one.
func TestAQuickStepDoesNotWaitBehindLongOnes(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *baremetal.Options) { o.MaxConcurrent = 1 })
	other := b.add("https://10.0.0.8")
	inspecting, located := make(chan struct{}), make(chan struct{})
	b.p.SetHook(func(_ context.Context, step, _ string) error {
		if step == memory.Inspect {
			close(inspecting)
			<-located
		}
		return nil
	})
	var inspection error
	var all sync.WaitGroup
	all.Go(func() { _, inspection = run(b, b.env(), contract.BMInspect, b.bmc) })
	<-inspecting
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := b.all.Locate(ctx, contract.BMLocateInput{BMC: other, On: true})
	close(located)
	all.Wait()
	require.NoError(t, err)
	require.NoError(t, inspection)
}

// slowly is a provider whose BMCs take a while to log out.
type slowly struct {
	baremetal.Provider
	took  time.Duration
	ended *atomic.Bool
}

type slow struct {
	baremetal.BMC
	slowly
}

func (s slowly) Open(ctx context.Context, t baremetal.Target) (baremetal.BMC, error) {
	bmc, err := s.Provider.Open(ctx, t)
	return slow{bmc, s}, err
}

func (s slow) Close(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(s.took):
		s.ended.Store(true)
	}
}

func TestASlowLogoutIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ended atomic.Bool
		b := newBench(t, func(o *baremetal.Options) {
			o.Provider = slowly{o.Provider, 5 * time.Second, &ended}
		})
		_, err := b.all.Locate(t.Context(), contract.BMLocateInput{BMC: b.bmc, On: true})
		require.NoError(t, err)
		require.True(t, ended.Load(), "what stays open takes the place of others")
	})
}
