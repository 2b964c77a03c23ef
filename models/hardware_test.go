package models_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
)

func TestWhatMakersWriteInsteadOfAnIdentityIsNone(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"  CN7016 ": "CN7016", "To be filled by O.E.M.": "", "0123456789": "", "Default string": "", "None": "", "0000000": "", "xxxx": "", "": "", " . ": "", "A-1": "A-1",
		"........": "",
	} {
		require.Equal(t, want, models.UsableSerial(given), "%q", given)
	}
	for given, want := range map[string]string{
		"4C4C4544-0042-3510-8053-B7C04F4D3532": "4c4c4544-0042-3510-8053-b7c04f4d3532",
		"00000000-0000-0000-0000-000000000000": "", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF": "", "03000200-0400-0500-0006-000700080009": "", "Not Settable": "", "": "",
	} {
		require.Equal(t, want, models.UsableUUID(given), "%q", given)
	}
	require.Equal(t, "44454c4c-4200-1035-8053-b7c04f4d3532", models.SwappedUUID("4c4c4544-0042-3510-8053-b7c04f4d3532"))
	require.Equal(t, "host-21", models.SwappedUUID("host-21"))
}
