package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// signIn is what yunshu login keeps for one gateway.
type signIn struct {
	Token     string    `json:"token"`
	Prefix    string    `json:"prefix"`
	ExpiresAt time.Time `json:"expires_at"`
	User      string    `json:"user"`
	UserID    string    `json:"user_id"`
}

// credentials is the file with a person's sign-ins, by the address of the gateway.
type credentials struct {
	path string // empty: where the system keeps a person's configuration
}

type credentialsFile struct {
	Gateways map[string]signIn `json:"gateways"`
}

func (c credentials) file() (string, error) {
	if c.path != "" {
		return c.path, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("Where your sign-ins are kept is not known, name a file with --credentials: %w", err)
	}
	return filepath.Join(dir, "yunshu", "credentials.json"), nil
}

// read returns all sign-ins; none where there is no file.
func (c credentials) read() (credentialsFile, error) {
	all := credentialsFile{Gateways: map[string]signIn{}}
	path, err := c.file()
	if err != nil {
		return all, err
	}
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return all, fmt.Errorf("Your sign-ins cannot be read: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 { // Windows has no such modes
		return all, fmt.Errorf("Others can read the tokens in %s. If they should not have: yunshu logout, and sign in again. Then: chmod 600 %s", path, path)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return all, fmt.Errorf("Your sign-ins cannot be read: %w", err)
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		return all, fmt.Errorf("%s is damaged; remove it, and sign in again with yunshu login: %w", path, err)
	}
	return all, nil
}

// of returns the sign-in at a gateway.
func (c credentials) of(gateway string) (signIn, bool, error) {
	all, err := c.read()
	if err != nil {
		return signIn{}, false, err
	}
	one, found := all.Gateways[address(gateway)]
	return one, found, nil
}

// put keeps a sign-in in place of the one before it.
func (c credentials) put(gateway string, one signIn) error {
	return c.change(func(all map[string]signIn) { all[address(gateway)] = one })
}

// forget drops the sign-in at a gateway.
func (c credentials) forget(gateway string) error {
	return c.change(func(all map[string]signIn) { delete(all, address(gateway)) })
}

func (c credentials) change(f func(map[string]signIn)) error {
	all, err := c.read()
	if err != nil {
		return err
	}
	if all.Gateways == nil {
		all.Gateways = map[string]signIn{}
	}
	f(all.Gateways)
	raw, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	path, err := c.file()
	if err != nil {
		return err
	}
	if err := replace(path, append(raw, '\n')); err != nil {
		return fmt.Errorf("Your sign-in cannot be kept: %w", err)
	}
	return nil
}

// replace writes a file that only its owner can read, in one step: who reads meanwhile, or an end in between, finds the
// old one whole.
func replace(path string, raw []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	fresh, err := os.CreateTemp(dir, ".credentials-*") // with mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(fresh.Name()) }() // gone already when all went well
	_, err = fresh.Write(raw)
	err = errors.Join(err, fresh.Sync(), fresh.Close())
	if err != nil {
		return err
	}
	return os.Rename(fresh.Name(), path)
}

// address writes a gateway's URL the same way however it was given.
func address(gateway string) string {
	u, err := url.Parse(gateway)
	if err != nil {
		return gateway
	}
	u.Scheme, u.Host, u.Path = strings.ToLower(u.Scheme), strings.ToLower(u.Host), strings.TrimRight(u.Path, "/")
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}
