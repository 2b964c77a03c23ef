package stack

import (
	"bytes"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// apart are networks that no stack has.
var apart = []network{200, 202, 204}

// take holds a network as another stack does, until the returned function is called.
func take(t *testing.T, n network) (leave func()) {
	t.Helper()
	l, err := net.Listen("tcp", n.redfish(len(regions)-1, 1))
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() }) // it may be closed already
	return func() { _ = l.Close() }
}

func TestBMCsOfTwoStacksAreApartAndStayWhereTheyAre(t *testing.T) {
	t.Parallel()
	out := &bytes.Buffer{}
	s := &stack{dir: t.TempDir(), out: out}
	take(t, apart[0])
	first, err := s.chooseNetwork(apart, 0)
	require.NoError(t, err)
	require.Equal(t, apart[1], first)
	require.Contains(t, out.String(), "Another stack has its BMCs in 127.200")

	again, err := s.chooseNetwork(apart, 0)
	require.NoError(t, err)
	require.Equal(t, first, again, "enrolled machines know their BMC by its address")

	leave := take(t, first)
	moved, err := s.chooseNetwork(apart, 0)
	require.NoError(t, err)
	require.Equal(t, apart[2], moved)
	require.Contains(t, out.String(), "set-bmc")
	leave()
	again, err = s.chooseNetwork(apart, 0)
	require.NoError(t, err)
	require.Equal(t, moved, again)

	take(t, first)
	take(t, moved)
	_, err = s.chooseNetwork(apart, 0)
	require.ErrorContains(t, err, "no room for more")
}

func TestANetworkHasAnAddressForEachBMC(t *testing.T) {
	t.Parallel()
	require.Equal(t, "127.22.1.49:8443", network(22).redfish(0, 49))
	require.Equal(t, "127.23.2.1:9623", network(22).ipmi(1))
}
