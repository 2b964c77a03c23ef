package workers

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// key returns a fresh key in the form of YUNSHU_PAYLOAD_KEYS.
func key(t *testing.T, id string) string {
	t.Helper()
	b := make([]byte, 32)
	_, err := rand.Read(b)
	require.NoError(t, err)
	return id + "=" + base64.StdEncoding.EncodeToString(b)
}

// codecOf returns a codec or fails.
func codecOf(t *testing.T, keys string) converter.PayloadCodec {
	t.Helper()
	c, err := NewCodec(keys)
	require.NoError(t, err)
	return c
}

// plain returns a payload as the default converter makes it.
func plain(t *testing.T, v any) *commonpb.Payload {
	t.Helper()
	p, err := converter.GetDefaultDataConverter().ToPayload(v)
	require.NoError(t, err)
	return p
}

func TestCodecRoundTrip(t *testing.T) {
	t.Parallel()
	c := codecOf(t, key(t, "k1"))
	in := plain(t, "the BMC of rack 7")

	first, err := c.Encode([]*commonpb.Payload{in})
	require.NoError(t, err)
	second, err := c.Encode([]*commonpb.Payload{in})
	require.NoError(t, err)
	require.NotContains(t, string(first[0].GetData()), "rack 7")
	require.NotEqual(t, first[0].GetData(), second[0].GetData(), "each payload needs a nonce of its own")

	out, err := c.Decode(first)
	require.NoError(t, err)
	require.True(t, proto.Equal(in, out[0]), "got %v", out[0])
}

func TestCodecRotation(t *testing.T) {
	t.Parallel()
	old, fresh := key(t, "2026-10"), key(t, "2026-11")
	written, err := codecOf(t, old).Encode([]*commonpb.Payload{plain(t, "old")})
	require.NoError(t, err)

	rotated := codecOf(t, fresh+", "+old)
	out, err := rotated.Decode(written)
	require.NoError(t, err)
	require.True(t, proto.Equal(plain(t, "old"), out[0]))

	again, err := rotated.Encode(out)
	require.NoError(t, err)
	require.Equal(t, "2026-11", string(again[0].GetMetadata()[metadataKeyID]))

	_, err = codecOf(t, fresh).Decode(written)
	require.EqualError(t, err, `a payload is encrypted with the key "2026-10", which is not among the keys (YUNSHU_PAYLOAD_KEYS)`)
}

func TestCodecRefusesTampering(t *testing.T) {
	t.Parallel()
	a, b := key(t, "a"), key(t, "b")
	c := codecOf(t, a+","+b)
	tamper := map[string]func(*commonpb.Payload){
		"data":   func(p *commonpb.Payload) { p.Data[len(p.Data)-1] ^= 1 },
		"nonce":  func(p *commonpb.Payload) { p.Data[0] ^= 1 },
		"key id": func(p *commonpb.Payload) { p.Metadata[metadataKeyID] = []byte("b") },
		"cut":    func(p *commonpb.Payload) { p.Data = p.Data[:5] },
	}
	for name, change := range tamper {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := c.Encode([]*commonpb.Payload{plain(t, "x")})
			require.NoError(t, err)
			change(out[0])
			_, err = c.Decode(out)
			require.Error(t, err)
		})
	}
}

func TestCodecLetsPlainPayloadsPass(t *testing.T) {
	t.Parallel()
	in := plain(t, "typed by a person")
	out, err := codecOf(t, key(t, "a")).Decode([]*commonpb.Payload{in})
	require.NoError(t, err)
	require.True(t, proto.Equal(in, out[0]))
}

func TestCodecRefusesBadKeys(t *testing.T) {
	t.Parallel()
	good := key(t, "a")
	for keys, want := range map[string]string{
		"":                "YUNSHU_PAYLOAD_KEYS: there is no key: set it to id=KEY, where KEY is what `openssl rand -base64 32` prints",
		" , ":             "YUNSHU_PAYLOAD_KEYS: there is no key: set it to id=KEY, where KEY is what `openssl rand -base64 32` prints",
		"hunter2":         "YUNSHU_PAYLOAD_KEYS: a key must look like id=KEY, with KEY the base64 of 32 bytes",
		"a=hunter2!":      `YUNSHU_PAYLOAD_KEYS: the key "a" is not base64`,
		"a=c2hvcnQ=":      `YUNSHU_PAYLOAD_KEYS: the key "a" has 5 bytes instead of 32`,
		good + "," + good: `YUNSHU_PAYLOAD_KEYS: the key id "a" appears twice`,
	} {
		_, err := NewCodec(keys)
		require.EqualError(t, err, want)
	}
}

func TestFailuresAreEncrypted(t *testing.T) {
	t.Parallel()
	_, failures := Converters(codecOf(t, key(t, "a")))
	err := temporal.NewApplicationErrorWithCause("vCenter refused vm secret-name", "busy", errors.New("inner secret-name"), "detail secret-name")

	failure := failures.ErrorToFailure(err)
	text, marshalErr := protojson.Marshal(failure)
	require.NoError(t, marshalErr)
	require.NotContains(t, string(text), "secret-name")

	var back *temporal.ApplicationError
	require.ErrorAs(t, failures.FailureToError(failure), &back)
	require.Equal(t, "vCenter refused vm secret-name", back.Message())
	require.Equal(t, "busy", back.Type())
}

func TestDialStartsWhileTemporalIsDown(t *testing.T) {
	t.Parallel()
	c, err := Dial(t.Context(), Options{Address: "127.0.0.1:1", Namespace: "default", Keys: key(t, "a"), Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	c.Close()

	_, err = Dial(t.Context(), Options{Address: "127.0.0.1:1", Namespace: "default"})
	require.ErrorContains(t, err, "there is no key")
}
