package bmclib_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/baremetal"
	"github.com/yunshu/yunshu/activities/baremetal/bmclib"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/test/bmc/redfish"
)

// methods are everything that a session can be asked.
var methods = map[string]func(context.Context, baremetal.BMC) error{
	"probe":        func(ctx context.Context, b baremetal.BMC) error { _, err := b.Probe(ctx); return err },
	"identity":     func(ctx context.Context, b baremetal.BMC) error { _, err := b.Identity(ctx); return err },
	"inspect":      func(ctx context.Context, b baremetal.BMC) error { _, err := b.Inspect(ctx); return err },
	"power":        func(ctx context.Context, b baremetal.BMC) error { _, err := b.Power(ctx); return err },
	"turn on":      func(ctx context.Context, b baremetal.BMC) error { return b.Order(ctx, baremetal.TurnOn) },
	"set boot":     func(ctx context.Context, b baremetal.BMC) error { return b.SetBoot(ctx, models.BootPXE, false) },
	"set media":    func(ctx context.Context, b baremetal.BMC) error { return b.SetMedia(ctx, "http://127.0.0.1:9/a.iso") },
	"locate":       func(ctx context.Context, b baremetal.BMC) error { return b.Locate(ctx, true) },
	"set password": func(ctx context.Context, b baremetal.BMC) error { return b.SetPassword(ctx, "Battery-Staple-8") },
}

// requireFault accepts one of the codes, in a sentence that names the machine and shows no password.
func requireFault(t *testing.T, m *redfish.Machine, err error, codes ...models.Code) {
	t.Helper()
	f := models.AsFault(err)
	require.NotNil(t, f, "%v", err)
	require.Contains(t, codes, f.Code, f.Message)
	require.Contains(t, f.Message, "he BMC of baremetal "+m.Name+" at "+m.URL()+" ")
	require.Nil(t, f.Unwrap(), "a BMC may repeat what it was sent")
	require.NotContains(t, f.Message, password)
	require.NotContains(t, f.Message, "Battery-Staple-8")
}

// TestEveryMethodSaysWhatIsWrong meets each fault at each call of each method.
func TestEveryMethodSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	kinds := map[string][]models.Code{
		redfish.Unavailable: {models.CodeBusy},
		redfish.Hang:        {models.CodeUnreachable},
		redfish.HalfReply:   {models.CodeUnreachable},
		redfish.ResetMidway: {models.CodeUnreachable},
	}
	for kind, codes := range kinds {
		for name, method := range methods {
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				m := fleet(t, 1).Machines[0]
				provider := bmclib.New(bmclib.Options{CallTimeout: 150 * time.Millisecond})
				failed := 0
				for skip := range 60 {
					bmc, err := provider.Open(t.Context(), target(m))
					require.NoError(t, err)
					require.NoError(t, m.Fail(redfish.Fault{Kind: kind, Skip: skip, Times: 1}))
					err = method(t.Context(), bmc)
					met := len(m.Faults()) == 0
					require.NoError(t, m.Mend())
					bmc.Close(t.Context())
					m.SetPassword("root", password) // it may have changed although the answer was lost
					if !met {
						break // the method makes no more calls than that
					}
					if err == nil {
						continue // it was a call that the library repeats, or one that it can do without
					}
					failed++
					requireFault(t, m, err, codes...)
					if name == "inspect" && skip > 20 { // the rest is more of the same
						break
					}
				}
				require.Positive(t, failed)
				require.LessOrEqual(t, m.Happened("power-on"), 1)
			})
		}
	}
}

func TestOpeningSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for kind, code := range map[string]models.Code{
		redfish.WrongPassword: models.CodeLoginRefused,
		redfish.Unavailable:   models.CodeBusy,
		redfish.Hang:          models.CodeUnreachable,
		redfish.HalfReply:     models.CodeUnreachable,
		redfish.ResetMidway:   models.CodeUnreachable,
		redfish.Dead:          models.CodeUnreachable,
	} {
		for skip := range 2 {
			t.Run(fmt.Sprint(kind, skip), func(t *testing.T) {
				t.Parallel()
				m := fleet(t, 1).Machines[0]
				f := redfish.Fault{Kind: kind}
				if kind != redfish.WrongPassword && kind != redfish.Dead {
					f.Skip = skip
				}
				if kind == redfish.HalfReply && skip == 1 {
					return // of the answer to a login only the head is needed
				}
				require.NoError(t, m.Fail(f))
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				defer cancel()
				known := target(m)
				known.Protocol = models.Redfish
				_, err := bmclib.New(bmclib.Options{}).Open(ctx, known)
				requireFault(t, m, err, code)
			})
		}
	}
}

// TestACertificateThatChangesInTheMiddleIsRefused replaces it while a session is open.
func TestACertificateThatChangesInTheMiddleIsRefused(t *testing.T) {
	t.Parallel()
	m := fleet(t, 1).Machines[0]
	bmc, err := bmclib.New(bmclib.Options{}).Open(t.Context(), target(m))
	require.NoError(t, err)
	defer bmc.Close(t.Context())
	first := m.Fingerprint()
	m.RotateCertificate()
	err = bmc.Order(t.Context(), baremetal.TurnOn) // it makes a connection of its own
	requireFault(t, m, err, models.CodeCertificateMismatch)
	require.Equal(t, "The BMC of baremetal "+m.Name+" at "+m.URL()+" shows a certificate with the SHA-256 fingerprint "+m.Fingerprint()+" instead of the pinned "+first+". If it was replaced on purpose, give the new fingerprint; otherwise find out who stands in between.", err.Error())
	require.Zero(t, m.Happened("power-on"))
}

func TestAFingerprintMayBeSpeltAsPeopleDo(t *testing.T) {
	t.Parallel()
	m := fleet(t, 1).Machines[0]
	var pairs []string
	for f := strings.ToUpper(m.Fingerprint()); f != ""; f = f[2:] {
		pairs = append(pairs, f[:2])
	}
	spelt := target(m)
	spelt.Fingerprint = strings.Join(pairs, ":")
	bmc, err := bmclib.New(bmclib.Options{}).Open(t.Context(), spelt)
	require.NoError(t, err)
	bmc.Close(t.Context())
}

// TestSomethingElseAnswers is a web server that is no BMC.
func TestSomethingElseAnswers(t *testing.T) {
	t.Parallel()
	for says, handler := range map[string]http.HandlerFunc{
		"does not speak Redfish: its /redfish/v1/ answered with status 404": http.NotFound,
		"its answer is not JSON": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>Welcome</html>") },
		"names no machines":      func(w http.ResponseWriter, r *http.Request) { rootOnly(w, r) },
	} {
		server := httptest.NewTLSServer(handler)
		t.Cleanup(server.Close)
		_, err := bmclib.New(bmclib.Options{}).Open(t.Context(), baremetal.Target{Name: "m", Address: server.URL, Protocol: models.Redfish, Username: "root", Password: password})
		require.Equal(t, models.CodeUnreachable, models.AsFault(err).Code, "%v", err)
		require.ErrorContains(t, err, says)
	}
}

// rootOnly is a service that has nothing but its root, and no sessions.
func rootOnly(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/redfish/v1/" {
		http.NotFound(w, r)
		return
	}
	fmt.Fprint(w, `{"@odata.id": "/redfish/v1/", "Links": {"Sessions": {"@odata.id": "/redfish/v1/SessionService/Sessions"}}}`)
}

// TestABMCWithoutSessions takes the name and the password with each call.
func TestABMCWithoutSessions(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, given, _ := r.BasicAuth()
		switch {
		case r.URL.Path == "/redfish/v1/":
			fmt.Fprint(w, `{"@odata.id": "/redfish/v1/", "Systems": {"@odata.id": "/redfish/v1/Systems"}, "Links": {"Sessions": {"@odata.id": "/redfish/v1/SessionService/Sessions"}}}`)
		case strings.HasSuffix(r.URL.Path, "/Sessions"):
			w.WriteHeader(http.StatusMethodNotAllowed)
		case user != "root" || given != password:
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/redfish/v1/Systems":
			fmt.Fprint(w, `{"Members": [{"@odata.id": "/redfish/v1/Systems/a"}]}`)
		case r.URL.Path == "/redfish/v1/Systems/a":
			fmt.Fprint(w, `{"UUID": "38947555-7742-3448-3784-823347823834", "SerialNumber": "ABC", "Manufacturer": "Acme", "Model": "One", "PowerState": "On"}`)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	right := baremetal.Target{Name: "m", Address: server.URL, Username: "root", Password: password, Protocol: models.Redfish}
	bmc, err := bmclib.New(bmclib.Options{}).Open(t.Context(), right)
	require.NoError(t, err)
	identity, err := bmc.Identity(t.Context())
	require.NoError(t, err)
	require.Equal(t, models.HardwareIdentity{UUID: "38947555-7742-3448-3784-823347823834", Serial: "ABC", Vendor: "Acme", Model: "One"}, identity)
	bmc.Close(t.Context())
	wrong := right
	wrong.Password = "wrong-one"
	_, err = bmclib.New(bmclib.Options{}).Open(t.Context(), wrong)
	require.Equal(t, models.CodeLoginRefused, models.AsFault(err).Code, "%v", err)
}

// TestABMCSendsNobodyElsewhere has one that answers with a redirect out of TLS, to whoever listens there.
func TestABMCSendsNobodyElsewhere(t *testing.T) {
	t.Parallel()
	var heard atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { heard.Add(1) }))
	t.Cleanup(elsewhere.Close)
	bmc := httptest.NewTLSServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	t.Cleanup(bmc.Close)
	_, err := bmclib.New(bmclib.Options{}).Open(t.Context(), baremetal.Target{Name: "m", Address: bmc.URL, Protocol: models.Redfish, Username: "root", Password: password})
	require.ErrorContains(t, err, "it sent us on to "+elsewhere.URL)
	require.Zero(t, heard.Load())
}
