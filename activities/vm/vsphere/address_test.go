package vsphere

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAddressesAreComparedAsSuch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"10.1.0.9", "10.1.0.9", true}, {"10.1.0.9", "10.1.0.90", false}, {"::ffff:10.1.0.9", "10.1.0.9", true},
		{"2001:DB8:0:0::1", "2001:db8::1", true}, {"fe80::1%eth0", "fe80::1", true}, {"", "10.1.0.9", false}, {"", "", false},
	} {
		require.Equal(t, c.same, sameAddress(c.a, c.b), "%+v", c)
	}
}
