// Package vault keeps secrets such as BMC passwords: encrypted with AES-256-GCM under a key that has an id, and bound to
// what they belong to, so that nobody can put one in another's place. It is a leaf: it knows neither database nor Temporal.
package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Keys is a set of keys. The first encrypts, every one decrypts: to rotate, put a new key in front, encrypt everything
// anew, and drop the old one.
type Keys struct {
	current string
	aeads   map[string]cipher.AEAD
	raw     map[string][]byte
}

// Sealed is an encrypted secret. It may be stored, logged and sent.
type Sealed struct {
	KeyID string `json:"key_id"`
	Data  []byte `json:"data"` // nonce and ciphertext
}

// String says nothing of the secret.
func (s Sealed) String() string { return "[sealed with " + s.KeyID + "]" }

// Parse reads keys written as "id=base64 of 32 bytes", separated by commas. Its errors never show a key.
func Parse(keys string) (Keys, error) {
	k := Keys{aeads: map[string]cipher.AEAD{}, raw: map[string][]byte{}}
	for item := range strings.SplitSeq(keys, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		id, text, found := strings.Cut(item, "=")
		if !found || id == "" {
			return Keys{}, errors.New("a key must look like id=KEY, with KEY the base64 of 32 bytes")
		}
		if _, taken := k.aeads[id]; taken {
			return Keys{}, fmt.Errorf("the key id %q appears twice", id)
		}
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return Keys{}, fmt.Errorf("the key %q is not base64", id)
		}
		if len(raw) != 32 {
			return Keys{}, fmt.Errorf("the key %q has %d bytes instead of 32", id, len(raw))
		}
		block, err := aes.NewCipher(raw)
		if err != nil {
			return Keys{}, fmt.Errorf("use the key %q: %w", id, err)
		}
		if k.aeads[id], err = cipher.NewGCM(block); err != nil {
			return Keys{}, fmt.Errorf("use the key %q: %w", id, err)
		}
		k.raw[id] = raw
		if k.current == "" {
			k.current = id
		}
	}
	if k.current == "" {
		return Keys{}, errors.New("there is no key: set it to id=KEY, where KEY is what `openssl rand -base64 32` prints")
	}
	return k, nil
}

// Current is the id of the key that encrypts.
func (k Keys) Current() string { return k.current }

// Seal encrypts a secret for what it belongs to, such as "baremetal/ID". The same words are needed to open it.
func (k Keys) Seal(secret, belongs string) (Sealed, error) {
	data, err := k.Encrypt([]byte(secret), additional(k.current, belongs))
	return Sealed{k.current, data}, err
}

// Open decrypts a secret of what it belongs to.
func (k Keys) Open(s Sealed, belongs string) (string, error) {
	plain, err := k.Decrypt(s.KeyID, s.Data, additional(s.KeyID, belongs))
	if err != nil {
		return "", fmt.Errorf("a secret %w", err)
	}
	return string(plain), nil
}

// Encrypt encrypts data with the current key. The nonce comes first. What is additional is needed to decrypt it.
func (k Keys) Encrypt(plain, additional []byte) ([]byte, error) {
	aead, known := k.aeads[k.current]
	if !known {
		return nil, errors.New("there is no key to encrypt with")
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	return aead.Seal(nonce, nonce, plain, additional), nil
}

// Decrypt decrypts what Encrypt made with a key. Its errors are the end of a sentence about what was encrypted.
func (k Keys) Decrypt(id string, data, additional []byte) ([]byte, error) {
	aead, known := k.aeads[id]
	if !known {
		return nil, fmt.Errorf("is encrypted with the key %q, which is not among the keys", id)
	}
	if len(data) < aead.NonceSize() {
		return nil, errors.New("is cut off")
	}
	plain, err := aead.Open(nil, data[:aead.NonceSize()], data[aead.NonceSize():], additional)
	if err != nil {
		return nil, fmt.Errorf("encrypted with the key %q was altered, belongs to something else, or the key is not the one it was encrypted with", id)
	}
	return plain, nil
}

// MAC is a keyed hash of data, for comparing what must not be guessed from its hash alone.
func (k Keys) MAC(data []byte) []byte {
	m := hmac.New(sha256.New, k.raw[k.current])
	m.Write(data)
	return m.Sum(nil)
}

// Generate makes a password that BMCs of every make accept: 16 characters of letters and digits, with some of each.
func Generate() (string, error) {
	const letters, digits = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ", "23456789"
	pick := func(from string, n int) (string, error) {
		out := make([]byte, n)
		for i := range out {
			for {
				var b [1]byte
				if _, err := rand.Read(b[:]); err != nil {
					return "", fmt.Errorf("generate a password: %w", err)
				}
				if int(b[0]) < len(from)*(256/len(from)) { // every character is as likely as any other
					out[i] = from[int(b[0])%len(from)]
					break
				}
			}
		}
		return string(out), nil
	}
	head, err := pick(letters, 13)
	if err != nil {
		return "", err
	}
	tail, err := pick(digits, 3)
	return head + tail, err
}

func additional(id, belongs string) []byte { return []byte("yunshu/vault\x00" + id + "\x00" + belongs) }
