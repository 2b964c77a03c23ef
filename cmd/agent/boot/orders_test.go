package boot

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheKernelsCommandLineSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		line   string
		orders Orders
		err    string
	}{
		"everything": {
			"BOOT_IMAGE=kernel quiet console=ttyS0 BOOTIF=01-52-54-00-AB-cd-ef yunshu.url=http://10.0.2.2:8080/ yunshu.token=a=b yunshu.purpose=wipe yunshu.uuid=4C4C4544-0043-4D10-8048-B4C04F4C3331\n",
			Orders{URL: "http://10.0.2.2:8080", Token: "a=b", Purpose: Wipe, UUID: "4c4c4544-0043-4d10-8048-b4c04f4c3331", MAC: "52:54:00:ab:cd:ef"}, "",
		},
		"only the gateway":  {"yunshu.url=https://yunshu.example", Orders{URL: "https://yunshu.example"}, ""},
		"the last one wins": {"yunshu.url=http://a yunshu.url=http://b", Orders{URL: "http://b"}, ""},
		"nobody":            {"quiet console=ttyS0", Orders{}, "no yunshu.url"},
		"a bare host":       {"yunshu.url=10.0.2.2:8080", Orders{}, "not an http or https URL"},
		"another protocol":  {"yunshu.url=tftp://10.0.2.2/x", Orders{}, "not an http or https URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			orders, err := Parse(c.line)
			require.Equal(t, c.orders, orders)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
		})
	}
}

func TestOnlyWhoHasATokenAndSaysExactlyWipeMayWipe(t *testing.T) {
	t.Parallel()
	require.True(t, Orders{Purpose: "wipe", Token: "t"}.MayWipe())
	for _, o := range []Orders{{Purpose: "wipe"}, {Token: "t"}, {Purpose: "Wipe", Token: "t"}, {Purpose: "wipe ", Token: "t"}, {Purpose: "discovery", Token: "t"}, {}} {
		require.False(t, o.MayWipe(), o)
	}
}

func TestOrdersAreForOneMachine(t *testing.T) {
	t.Parallel()
	o := Orders{Purpose: Wipe, Token: "t", UUID: "4c4c4544-0043-4d10-8048-b4c04f4c3331"}
	require.NoError(t, o.Check("4C4C4544-0043-4D10-8048-B4C04F4C3331"))
	require.NoError(t, o.Check("44454c4c-4300-104d-8048-b4c04f4c3331"), "the other order")
	require.NoError(t, Orders{Purpose: Wipe, Token: "t"}.Check("4c4c4544-0043-4d10-8048-b4c04f4c3331"), "nobody said which")
	for _, other := range []string{"4c4c4544-0043-4d10-8048-b4c04f4c3332", "", "4c4c4544"} {
		require.ErrorContains(t, o.Check(other), "nothing was done", other)
	}
}
