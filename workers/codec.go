// Package workers connects this project's processes to Temporal.
package workers

import (
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"

	"github.com/yunshu/yunshu/vault"
)

// Metadata of an encrypted payload. The encoding tells a reader that the data is ciphertext, the key id which key opens it.
const (
	encodingEncrypted = "binary/encrypted"
	metadataKeyID     = "encryption-key-id"
)

// compressFrom is the size from which a payload is compressed before it is encrypted. Temporal takes 2 MB, which the hardware,
// sensors and event logs of a page of physical servers exceed; small payloads are not worth the time.
const compressFrom = 64 << 10

var compression = converter.NewZlibCodec(converter.ZlibCodecOptions{})

// codec encrypts payloads with AES-256-GCM. A Temporal server and its backups see only ciphertext.
type codec struct{ keys vault.Keys }

// NewCodec returns a codec for keys as package vault reads them. The first key encrypts, every key decrypts: to rotate, put
// a new key in front and drop the old one when no history needs it any more.
func NewCodec(keys string) (converter.PayloadCodec, error) {
	k, err := vault.Parse(keys)
	if err != nil {
		return nil, fmt.Errorf("YUNSHU_PAYLOAD_KEYS: %w", err)
	}
	return codec{k}, nil
}

// Encode encrypts whole payloads, their metadata included. Large ones are compressed first.
func (c codec) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		p, err := compressed(p)
		if err != nil {
			return nil, fmt.Errorf("compress a payload: %w", err)
		}
		plain, err := proto.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("encrypt a payload: %w", err)
		}
		id := c.keys.Current()
		data, err := c.keys.Encrypt(plain, additional(id))
		if err != nil {
			return nil, fmt.Errorf("encrypt a payload: %w", err)
		}
		out[i] = &commonpb.Payload{
			Metadata: map[string][]byte{
				converter.MetadataEncoding: []byte(encodingEncrypted),
				metadataKeyID:              []byte(id),
			},
			Data: data,
		}
	}
	return out, nil
}

// compressed is a payload as it is, or smaller.
func compressed(p *commonpb.Payload) (*commonpb.Payload, error) {
	if len(p.GetData()) < compressFrom {
		return p, nil
	}
	out, err := compression.Encode([]*commonpb.Payload{p})
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// Decode decrypts what Encode made. A payload in the clear, such as one that a person typed into the Temporal CLI, passes as it is.
func (c codec) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		if string(p.GetMetadata()[converter.MetadataEncoding]) != encodingEncrypted {
			out[i] = p
			continue
		}
		plain, err := c.open(p)
		if err != nil {
			return nil, err
		}
		out[i] = plain
	}
	return out, nil
}

// open decrypts one payload.
func (c codec) open(p *commonpb.Payload) (*commonpb.Payload, error) {
	id := string(p.GetMetadata()[metadataKeyID])
	plain, err := c.keys.Decrypt(id, p.GetData(), additional(id))
	if err != nil {
		return nil, fmt.Errorf("a payload %w (YUNSHU_PAYLOAD_KEYS)", err)
	}
	out := &commonpb.Payload{}
	if err := proto.Unmarshal(plain, out); err != nil {
		return nil, fmt.Errorf("read a decrypted payload: %w", err)
	}
	whole, err := compression.Decode([]*commonpb.Payload{out})
	if err != nil {
		return nil, fmt.Errorf("expand a decrypted payload: %w", err)
	}
	return whole[0], nil
}

// additional is the data that is authenticated with the ciphertext, so that nobody can swap the metadata.
func additional(id string) []byte { return []byte(encodingEncrypted + "\x00" + id) }
