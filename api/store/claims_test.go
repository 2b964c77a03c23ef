package store

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

const (
	uuidOne   = "4c4c4544-0042-3510-8053-b7c04f4d3532"
	uuidTwo   = "4c4c4544-0042-3510-8053-b7c04f4d3533"
	swapped   = "44454c4c-4200-1035-8053-b7c04f4d3532" // uuidOne, read the other way
	noOnesOwn = "To be filled by O.E.M."
)

func probed(uuid, serial string) contract.Probed {
	return contract.Probed{Protocol: models.Redfish, Fingerprint: "AB12", Console: "https://console", Identity: models.HardwareIdentity{UUID: uuid, Serial: serial, Vendor: "Maker", Model: "M1"}}
}

func (f *fleet) claim(in contract.AccessInput, p contract.Probed) error {
	_, err := f.ClaimBaremetal(f.Context(), contract.ClaimInput{OperationID: in.OperationID, BaremetalID: in.BaremetalID, Probed: p})
	return err
}

func TestAClaimRecordsWhatTheBMCSaid(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	in := f.machine("bm-1", models.RoleSpare, "enrolling")
	f.exec("UPDATE baremetals SET serial = 'sn-1' WHERE id = $1", in.BaremetalID)
	for range 2 { // tried again
		require.NoError(t, f.claim(in, probed("4C4C4544-0042-3510-8053-B7C04F4D3532", " SN-1 ")))
	}
	require.Equal(t, uuidOne+" SN-1 Maker M1 2", f.text("SELECT concat_ws(' ', hardware_uuid, serial, vendor, model, version) FROM baremetals"))
	require.Equal(t, "redfish ab12 https://console", f.text("SELECT concat_ws(' ', protocol, fingerprint, console) FROM bmcs"))
	require.NoError(t, f.claim(in, probed(noOnesOwn, "sn-1")), "it may say less later")
	require.NoError(t, f.claim(in, probed(swapped, "sn-1")))
	require.Equal(t, uuidOne, f.text("SELECT hardware_uuid FROM baremetals"))

	for name, p := range map[string]contract.Probed{"serial": probed(uuidOne, "SN-2"), "uuid": probed(uuidTwo, "SN-1")} {
		err := f.claim(in, p)
		require.True(t, models.IsCode(err, models.CodeIdentityChanged), "%s: %v", name, err)
	}
	require.Equal(t, "4", f.text("SELECT count(*) FROM audit_events WHERE action = 'baremetal.claim' AND outcome = 'done'"))
}

func TestWhatIsHereAlreadyIsNotClaimedTwice(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	first := f.machine("bm-1", models.RoleSpare, "enrolling")
	f.exec("UPDATE baremetals SET rack_id = (SELECT id FROM racks), rack_unit = 7")
	require.NoError(t, f.claim(first, probed(uuidOne, "SN-1")))
	second := f.machine("bm-2", models.RoleSpare, "enrolling")
	for _, p := range []contract.Probed{probed(uuidOne, "SN-2"), probed(swapped, ""), probed("", "SN-1"), probed(uuidTwo, "SN-1")} {
		err := f.claim(second, p)
		require.True(t, models.IsCode(err, models.CodeDuplicateMachine), "%v", err)
		require.Contains(t, models.AsFault(err).Message, "bm-1, in region tw, rack r1, unit 7, has the same")
	}
	for _, p := range []contract.Probed{probed(noOnesOwn, "0123456789"), probed("00000000-0000-0000-0000-000000000000", noOnesOwn), probed("", "")} {
		err := f.claim(second, p)
		require.True(t, models.IsCode(err, models.CodeInvalidSpec), "%v", err)
	}
	f.exec("DELETE FROM bmcs WHERE baremetal_id = $1", first.BaremetalID)
	f.exec("UPDATE baremetals SET role = 'hypervisor' WHERE id = $1", first.BaremetalID)
	require.ErrorContains(t, f.claim(second, probed(uuidOne, "")), "yunshu baremetal set-bmc bm-1")
}

func TestOfTwoClaimsAtOnceOneWins(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	for round := range 10 {
		serial := fmt.Sprintf("SN-%d", round)
		var wait sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			in := f.machine(fmt.Sprintf("bm-%d-%d", round, i), models.RoleSpare, "enrolling")
			wait.Go(func() { errs[i] = f.claim(in, probed("", serial)) })
		}
		wait.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
				continue
			}
			require.True(t, models.IsCode(err, models.CodeDuplicateMachine), "%v", err)
		}
		require.Equal(t, 1, won)
	}
}

// Not every BMC knows who made its machine: two that have a serial in common are refused like others, by a sentence.
func TestASerialOfNobodyKnowsWhoseMakeIsClaimedOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	said := contract.Probed{Protocol: models.IPMI, Identity: models.HardwareIdentity{Serial: "SN-1"}}
	require.NoError(t, f.claim(f.machine("bm-1", models.RoleSpare, "enrolling"), said))
	said.Identity.Serial = "sn-1"
	err := f.claim(f.machine("bm-2", models.RoleSpare, "enrolling"), said)
	require.True(t, models.IsCode(err, models.CodeDuplicateMachine), "%v", err)
	require.ErrorContains(t, err, "bm-1")
}
