package redfish

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// authority signs the BMCs' certificates. Its signatures do not change from one time to the next, so a BMC has the same
// certificate, and so the same fingerprint, after a restart, and none of them needs to be kept.
type authority struct {
	file        string
	certificate *x509.Certificate
	key         ed25519.PrivateKey
	leaf        *ecdsa.PrivateKey // of every BMC
}

// newAuthority reads the CA of a directory, and makes it the first time.
func newAuthority(dir string) (*authority, error) {
	if dir == "" {
		return nil, errors.New("a directory for certificates is needed")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	a := &authority{file: filepath.Join(dir, "ca.pem")}
	err := a.read(dir)
	if err == nil && time.Until(a.certificate.NotAfter) > 24*time.Hour {
		return a, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := makeAuthority(dir); err != nil {
		return nil, err
	}
	return a, a.read(dir)
}

func (a *authority) read(dir string) error {
	der, err := readPEM(a.file)
	if err != nil {
		return err
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	if der, err = readPEM(filepath.Join(dir, "ca.key")); err != nil {
		return err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return err
	}
	signer, ok := key.(ed25519.PrivateKey)
	if !ok {
		return fmt.Errorf("the key of %s is not the CA's", dir)
	}
	if der, err = readPEM(filepath.Join(dir, "bmc.key")); err != nil {
		return err
	}
	a.key = signer
	a.leaf, err = x509.ParseECPrivateKey(der)
	return err
}

func makeAuthority(dir string) error {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	leaf, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "Yunshu simulated BMCs"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, public, key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	leafDER, err := x509.MarshalECPrivateKey(leaf)
	if err != nil {
		return err
	}
	return errors.Join(
		writePEM(filepath.Join(dir, "ca.key"), "PRIVATE KEY", keyDER, 0o600), writePEM(filepath.Join(dir, "bmc.key"), "EC PRIVATE KEY", leafDER, 0o600),
		writePEM(filepath.Join(dir, "ca.pem"), "CERTIFICATE", der, 0o644),
	)
}

func readPEM(path string) ([]byte, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("%s is no PEM file", path)
	}
	return block.Bytes, nil
}

func writePEM(path, kind string, der []byte, mode os.FileMode) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}

// sign makes the certificate of a machine's BMC: the how manieth says the serial number.
func (a *authority) sign(name string, index, generation int, ip net.IP) (*tls.Certificate, error) {
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(int64(index+1)<<16 + int64(generation) + 1), Subject: pkix.Name{CommonName: name},
		NotBefore: a.certificate.NotBefore, NotAfter: a.certificate.NotAfter, IPAddresses: []net.IP{ip}, DNSNames: []string{name, "localhost"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, a.certificate, &a.leaf.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.leaf}, nil
}

// Fingerprint returns the SHA-256 of the BMC's certificate, in lower-case hexadecimal digits.
func (m *Machine) Fingerprint() string {
	c, err := m.certificate(nil)
	if err != nil {
		panic(err) // the CA signed others like it
	}
	sum := sha256.Sum256(c.Certificate[0])
	return hex.EncodeToString(sum[:])
}

// RotateCertificate gives the BMC a new certificate, signed by the same CA, from the next connection on.
func (m *Machine) RotateCertificate() {
	m.mu.Lock()
	m.generation++
	m.signed = nil
	m.mu.Unlock()
	m.changed()
}

// certificate signs when it is first asked: most BMCs of a large fleet are not.
func (m *Machine) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.signed == nil {
		host, _, err := net.SplitHostPort(m.address)
		if err != nil {
			return nil, err
		}
		if m.signed, err = m.fleet.ca.sign(m.Name, m.Index, m.generation, net.ParseIP(host)); err != nil {
			return nil, err
		}
	}
	return m.signed, nil
}
