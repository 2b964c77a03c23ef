package machine

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOnlyThePowerButtonTurnsOff(t *testing.T) {
	t.Parallel()
	events := func(list ...event) io.Reader {
		var b bytes.Buffer
		require.NoError(t, binary.Write(&b, binary.NativeEndian, list))
		return &b
	}
	power, release, letter, other := event{Type: evKey, Code: keyPower, Value: 1}, event{Type: evKey, Code: keyPower}, event{Type: evKey, Code: 30, Value: 1}, event{Type: 4, Code: keyPower, Value: 1}
	require.NoError(t, untilPressed(events(other, letter, release, power)))
	require.ErrorIs(t, untilPressed(events(other, letter, release)), io.EOF)
}
