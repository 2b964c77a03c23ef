package vault_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/yunshu/yunshu/vault"
)

func key(b byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)) }

func TestWhatIsSealedOpensForItsOwnerAlone(t *testing.T) {
	t.Parallel()
	keys, err := vault.Parse("new=" + key(1) + ", old=" + key(2))
	require.NoError(t, err)
	old, err := vault.Parse("old=" + key(2))
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		secret, owner := rapid.String().Draw(t, "secret"), rapid.String().Draw(t, "owner")
		for _, with := range []vault.Keys{keys, old} {
			sealed, err := with.Seal(secret, owner)
			require.NoError(t, err)
			raw, err := json.Marshal(sealed)
			require.NoError(t, err)
			var back vault.Sealed
			require.NoError(t, json.Unmarshal(raw, &back))
			got, err := keys.Open(back, owner)
			require.NoError(t, err)
			require.Equal(t, secret, got)
			_, err = keys.Open(back, owner+"x")
			require.Error(t, err)
			back.Data[len(back.Data)-1] ^= 1
			_, err = keys.Open(back, owner)
			require.Error(t, err)
			if len(secret) > 3 {
				require.NotContains(t, string(raw)+fmt.Sprint(sealed), secret)
			}
		}
	})
	sealed, err := keys.Seal("s", "o")
	require.NoError(t, err)
	require.Equal(t, "new", sealed.KeyID)
	_, err = old.Open(sealed, "o")
	require.ErrorContains(t, err, `"new"`)
	_, err = keys.Open(vault.Sealed{KeyID: "new", Data: []byte("short")}, "o")
	require.ErrorContains(t, err, "cut off")
}

func TestKeysAreRefusedWithoutBeingShown(t *testing.T) {
	t.Parallel()
	for given, why := range map[string]string{
		"":                             "no key",
		"nothing":                      "id=KEY",
		"a=%%%":                        "not base64",
		"a=" + key(1)[:8]:              "bytes instead of 32",
		"a=" + key(1) + ",a=" + key(2): "twice",
	} {
		_, err := vault.Parse(given)
		require.ErrorContains(t, err, why)
		require.NotContains(t, err.Error(), key(1))
	}
	_, err := vault.Keys{}.Seal("s", "o")
	require.Error(t, err)
}

func TestGeneratedPasswordsSuitEveryBMC(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		p, err := vault.Generate()
		require.NoError(t, err)
		require.Len(t, p, 16)
		require.True(t, strings.ContainsAny(p, "23456789"))
		require.False(t, seen[p])
		seen[p] = true
	}
}
