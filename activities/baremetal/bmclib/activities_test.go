package bmclib_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/yunshu/yunshu/activities/baremetal"
	"github.com/yunshu/yunshu/activities/baremetal/bmclib"
	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/test/bmc/redfish"
	"github.com/yunshu/yunshu/vault"
)

// work is a worker's activities over the real provider, and a machine.
type work struct {
	*testing.T
	m   *redfish.Machine
	all *baremetal.Activities
	bmc contract.BMC
	log *bytes.Buffer
}

func newWork(t *testing.T) *work {
	t.Helper()
	keys := keysOf(t)
	m := fleet(t, 1).Machines[0]
	id := models.NewID()
	sealed, err := keys.Seal(password, contract.SealedFor(id))
	require.NoError(t, err)
	w := &work{T: t, m: m, log: &bytes.Buffer{}, bmc: contract.BMC{ID: id, Name: m.Name, Address: m.URL(), Protocol: models.Redfish, Fingerprint: m.Fingerprint(), Username: "root", Password: sealed}}
	w.all = baremetal.New(baremetal.Options{Provider: bmclib.New(bmclib.Options{}), Keys: keys, Poll: 5 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(w.log, nil))})
	return w
}

// run runs an activity as Temporal does.
func run[I, O any](ctx context.Context, w *work, ref contract.Activity[I, O], in I) (out O, err error) {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	env := suite.NewTestActivityEnvironment()
	env.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
	baremetal.Register(env, w.all)
	got, err := env.ExecuteActivity(ref.Name, in)
	if err == nil {
		err = got.Get(&out)
	}
	return out, err
}

// TestAWorkerThatDiesSwitchesNothingTwice kills it at each of its calls, before and after the BMC heard it, and has another
// worker go on.
func TestAWorkerThatDiesSwitchesNothingTwice(t *testing.T) {
	t.Parallel()
	for _, heard := range []bool{false, true} {
		for skip := range 16 {
			t.Run(fmt.Sprintf("heard %t, call %d", heard, skip), func(t *testing.T) {
				t.Parallel()
				w := newWork(t)
				in := contract.BMPowerInput{BMC: w.bmc, On: true}
				ctx, kill := context.WithCancel(t.Context())
				defer kill()
				require.NoError(t, w.m.Fail(redfish.Fault{Kind: redfish.Hang, Skip: skip, Times: 1, After: heard}))
				ended := make(chan error, 1)
				go func() { _, err := run(ctx, w, contract.BMSetPower, in); ended <- err }()
				// Which call it is at, only the BMC knows.
				require.Eventually(t, func() bool { return len(w.m.Faults()) == 0 || len(ended) > 0 }, 10*time.Second, time.Millisecond)
				kill()
				first := <-ended
				require.NoError(t, w.m.Mend())
				got, err := run(t.Context(), w, contract.BMSetPower, in)
				require.NoError(t, err)
				require.Equal(t, models.PowerOn, got.Power)
				require.Equal(t, []int{1, 0, 0}, []int{w.m.Happened("power-on"), w.m.Happened("power-off"), w.m.Happened("reset")}, "the first attempt ended with %v", first)
			})
		}
	}
}

func TestABMCThatLiesIsRefused(t *testing.T) {
	t.Parallel()
	w := newWork(t)
	w.m.Before(http.MethodGet, "*/Processors", func() { w.m.SetSerial("ANOTHER") })
	got, err := run(t.Context(), w, contract.BMInspect, w.bmc)
	require.Equal(t, models.CodeIdentityChanged, contract.FaultOf(err).Code)
	require.Equal(t, contract.Inspected{}, got)
	require.Zero(t, w.m.Sessions())
}

// TestNoPasswordGetsAnywhere runs everything, well and badly, and looks at what was said.
func TestNoPasswordGetsAnywhere(t *testing.T) {
	t.Parallel()
	w := newWork(t)
	w.all = baremetal.New(baremetal.Options{Provider: bmclib.New(bmclib.Options{CallTimeout: 200 * time.Millisecond}), Keys: keysOf(t), Poll: 5 * time.Millisecond,
		OpenTimeout: 300 * time.Millisecond, RoundTimeout: 300 * time.Millisecond, PowerTimeout: 200 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(w.log, nil))})
	const next = "Battery-Staple-8"
	fresh, err := keysOf(t).Seal(next, contract.SealedFor(w.bmc.ID))
	require.NoError(t, err)
	var said bytes.Buffer
	note := func(out any, err error) { fmt.Fprintf(&said, "%v %+v %#v %v %+v\n", out, out, out, err, err) }
	for _, kind := range []string{"", redfish.WrongPassword, redfish.Unavailable, redfish.Hang, redfish.HalfReply, redfish.ResetMidway, redfish.Refuse, redfish.Dead} {
		if kind != "" {
			require.NoError(t, w.m.Fail(redfish.Fault{Kind: kind}))
		}
		note(run(t.Context(), w, contract.BMProbe, w.bmc))
		note(run(t.Context(), w, contract.BMInspect, w.bmc))
		note(run(t.Context(), w, contract.BMObserve, contract.ObserveInput{BMCs: []contract.BMC{w.bmc}}))
		note(run(t.Context(), w, contract.BMSetPower, contract.BMPowerInput{BMC: w.bmc, On: kind == ""}))
		note(run(t.Context(), w, contract.BMSetBoot, contract.BMBootInput{BMC: w.bmc, Device: models.BootPXE}))
		note(run(t.Context(), w, contract.BMMedia, contract.BMMediaInput{BMC: w.bmc, URL: "http://127.0.0.1:9/a.iso"}))
		note(run(t.Context(), w, contract.BMLocate, contract.BMLocateInput{BMC: w.bmc, On: true}))
		note(run(t.Context(), w, contract.BMSetPassword, contract.BMPasswordInput{BMC: w.bmc, New: fresh}))
		require.NoError(t, w.m.Mend())
		w.m.SetPassword("root", password)
	}
	for _, text := range []string{said.String(), w.log.String()} {
		require.NotContains(t, text, password)
		require.NotContains(t, text, next)
	}
	require.Contains(t, said.String(), "refused the name root")
}

func keysOf(t *testing.T) vault.Keys {
	t.Helper()
	keys, err := vault.Parse("test=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	require.NoError(t, err)
	return keys
}
