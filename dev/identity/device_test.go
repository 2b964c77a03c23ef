package identity

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
)

// ask asks once whether a device may come in.
func (c *client) ask(d *oauth2.DeviceAuthResponse) (*oauth2.Token, string) {
	c.Helper()
	d.Interval = 1
	token, err := c.config.Exchange(c.Context(), "", oauth2.SetAuthURLParam("grant_type", "urn:ietf:params:oauth:grant-type:device_code"), oauth2.SetAuthURLParam("device_code", d.DeviceCode))
	if err == nil {
		return token, ""
	}
	var refused *oauth2.RetrieveError
	require.ErrorAs(c, err, &refused)
	return nil, refused.ErrorCode
}

func TestADeviceIsLetIn(t *testing.T) {
	t.Parallel()
	issuer, clock := serve(t)
	c := newClient(t, issuer)
	d, err := c.config.DeviceAuth(t.Context())
	require.NoError(t, err)
	require.Equal(t, issuer+"/device", d.VerificationURI)
	require.EqualValues(t, 1, d.Interval)
	_, says := c.ask(d)
	require.Equal(t, "authorization_pending", says)
	_, says = c.ask(d)
	require.Equal(t, "slow_down", says, "it asked again at once")

	b := newBrowser(t)
	page := b.open(d.VerificationURIComplete)
	require.Contains(t, page.page, `value="`+d.UserCode+`"`)
	sloppy := strings.ToLower(strings.ReplaceAll(d.UserCode, "-", " "))
	got := b.submit(page, map[string]string{"user_code": sloppy, "username": "mei", "password": password, "answer": "allow"})
	require.Equal(t, http.StatusOK, got.status)
	require.Contains(t, got.page, "The device is signed in as mei.")

	clock.advance(time.Second)
	token, says := c.ask(d)
	require.Empty(t, says)
	id, err := c.verify(t.Context(), token.Extra("id_token").(string))
	require.NoError(t, err)
	require.Equal(t, "2002", id.Subject)
	clock.advance(time.Second)
	_, says = c.ask(d)
	require.Equal(t, "access_denied", says, "the answer is given once")
}

func TestADeviceIsKeptOut(t *testing.T) {
	t.Parallel()
	issuer, clock := serve(t)
	c := newClient(t, issuer)
	d, err := c.config.DeviceAuth(t.Context())
	require.NoError(t, err)
	b := newBrowser(t)
	page := b.open(d.VerificationURI)
	for name, try := range map[string]struct {
		fill   map[string]string
		status int
		says   string
	}{
		"wrong password": {map[string]string{"user_code": d.UserCode, "username": "mei", "password": "guess", "answer": "allow"}, http.StatusUnauthorized, "The name or the password is wrong."},
		"wrong code":     {map[string]string{"user_code": "BBBB-BBBB", "username": "mei", "password": password, "answer": "allow"}, http.StatusNotFound, "No device waits with this code."},
		"no answer":      {map[string]string{"user_code": "", "username": "mei", "password": password}, http.StatusNotFound, "No device waits with this code."},
	} {
		got := b.submit(page, try.fill)
		require.Equal(t, try.status, got.status, name)
		require.Contains(t, got.page, try.says, name)
	}
	_, says := c.ask(d)
	require.Equal(t, "authorization_pending", says)
	got := b.submit(page, map[string]string{"user_code": d.UserCode, "username": "mei", "password": password, "answer": "deny"})
	require.Contains(t, got.page, "The device stays out.")
	clock.advance(time.Second)
	_, says = c.ask(d)
	require.Equal(t, "access_denied", says)
	got = b.submit(page, map[string]string{"user_code": d.UserCode, "username": "mei", "password": password, "answer": "allow"})
	require.Equal(t, http.StatusNotFound, got.status, "a code counts once")
}

// TestGuessingCodesIsSlow: codes are short, so few may be tried.
func TestGuessingCodesIsSlow(t *testing.T) {
	t.Parallel()
	issuer, _ := serve(t)
	b := newBrowser(t)
	page := b.open(issuer + "/device")
	fill := map[string]string{"user_code": "BBBB-BBBB", "username": "viv", "password": password, "answer": "allow"}
	for range 5 {
		require.Equal(t, http.StatusNotFound, b.submit(page, fill).status)
	}
	fill["username"] = "mei"
	for range 5 {
		require.Equal(t, http.StatusNotFound, b.submit(page, fill).status)
	}
	got := b.submit(page, fill)
	require.Equal(t, http.StatusTooManyRequests, got.status)
	require.Contains(t, got.page, "Too many tries.")
}
