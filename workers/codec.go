// Package workers connects this project's processes to Temporal.
package workers

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"
)

// Metadata of an encrypted payload. The encoding tells a reader that the data is ciphertext, the key id which key opens it.
const (
	encodingEncrypted = "binary/encrypted"
	metadataKeyID     = "encryption-key-id"
)

// codec encrypts payloads with AES-256-GCM. A Temporal server and its backups see only ciphertext.
type codec struct {
	current string // the key that encrypts
	keys    map[string]cipher.AEAD
}

// NewCodec returns a codec for keys written as "id=base64 of 32 bytes", separated by commas. The first key encrypts,
// every key decrypts: to rotate, put a new key in front and drop the old one when no history needs it any more.
func NewCodec(keys string) (converter.PayloadCodec, error) {
	c := codec{keys: map[string]cipher.AEAD{}}
	for item := range strings.SplitSeq(keys, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		id, aead, err := parseKey(item)
		if err != nil {
			return nil, err
		}
		if _, taken := c.keys[id]; taken {
			return nil, fmt.Errorf("the payload key id %q appears twice", id)
		}
		if c.current == "" {
			c.current = id
		}
		c.keys[id] = aead
	}
	if c.current == "" {
		return nil, errors.New("there is no payload key: set YUNSHU_PAYLOAD_KEYS to id=KEY, where KEY is what `openssl rand -base64 32` prints")
	}
	return c, nil
}

// parseKey reads one "id=base64" item. Its errors never show the key.
func parseKey(item string) (string, cipher.AEAD, error) {
	id, text, found := strings.Cut(item, "=")
	if !found || id == "" {
		return "", nil, errors.New("a payload key must look like id=KEY, with KEY the base64 of 32 bytes")
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", nil, fmt.Errorf("the payload key %q is not base64", id)
	}
	if len(key) != 32 {
		return "", nil, fmt.Errorf("the payload key %q has %d bytes instead of 32", id, len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return "", nil, fmt.Errorf("use the payload key %q: %w", id, err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return "", nil, fmt.Errorf("use the payload key %q: %w", id, err)
	}
	return id, aead, nil
}

// Encode encrypts whole payloads, their metadata included.
func (c codec) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		plain, err := proto.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("encrypt a payload: %w", err)
		}
		aead := c.keys[c.current]
		nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
		if _, err := rand.Read(nonce); err != nil {
			return nil, fmt.Errorf("encrypt a payload: %w", err)
		}
		out[i] = &commonpb.Payload{
			Metadata: map[string][]byte{
				converter.MetadataEncoding: []byte(encodingEncrypted),
				metadataKeyID:              []byte(c.current),
			},
			Data: aead.Seal(nonce, nonce, plain, additional(c.current)),
		}
	}
	return out, nil
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
	aead, known := c.keys[id]
	if !known {
		return nil, fmt.Errorf("a payload is encrypted with the key %q, which is not in YUNSHU_PAYLOAD_KEYS", id)
	}
	data := p.GetData()
	if len(data) < aead.NonceSize() {
		return nil, errors.New("an encrypted payload is cut off")
	}
	nonce, sealed := data[:aead.NonceSize()], data[aead.NonceSize():]
	plain, err := aead.Open(nil, nonce, sealed, additional(id))
	if err != nil {
		return nil, fmt.Errorf("a payload encrypted with the key %q was altered, or the key is not the one it was encrypted with", id)
	}
	out := &commonpb.Payload{}
	if err := proto.Unmarshal(plain, out); err != nil {
		return nil, fmt.Errorf("read a decrypted payload: %w", err)
	}
	return out, nil
}

// additional is the data that is authenticated with the ciphertext, so that nobody can swap the metadata.
func additional(id string) []byte { return []byte(encodingEncrypted + "\x00" + id) }
