package identity

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/op"
)

// device is one sign-in of a device without a browser: it waits while a person enters its code elsewhere.
type device struct {
	client, userCode string
	scopes           []string
	ends             time.Time
	asked            time.Time // when the device last asked

	subject string // empty until a person has signed in
	denied  bool
	at      time.Time
}

// StoreDeviceAuthorization begins a sign-in of a device.
func (s *storage) StoreDeviceAuthorization(_ context.Context, client, deviceCode, userCode string, ends time.Time, scopes []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetEnded()
	if s.deviceOf(userCode) != nil {
		return op.ErrDuplicateUserCode
	}
	s.devices[deviceCode] = &device{client: client, userCode: userCode, scopes: scopes, ends: ends}
	return nil
}

// GetDeviceAuthorizatonState answers a device that asks whether its person has signed in. The answer yes is given once.
// A device that asks too often is told to slow down, which op does when it sees this deadline exceeded.
func (s *storage) GetDeviceAuthorizatonState(_ context.Context, client, deviceCode string) (*op.DeviceAuthorizationState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.devices[deviceCode]
	if d == nil || d.client != client {
		return nil, errors.New("there is no such device code, or it was used, or it has ended")
	}
	now := s.now()
	if now.Sub(d.asked) < s.pace*9/10 { // networks are not exact
		return nil, fmt.Errorf("asked too soon: %w", context.DeadlineExceeded)
	}
	d.asked = now
	if d.subject != "" {
		delete(s.devices, deviceCode)
	}
	return &op.DeviceAuthorizationState{
		ClientID: d.client, Audience: []string{d.client}, Scopes: d.scopes, Expires: d.ends,
		Done: d.subject != "", Denied: d.denied, Subject: d.subject, AMR: byPassword(d.subject), AuthTime: d.at,
	}, nil
}

// deviceOf finds the device that shows a code and still waits. People may write it in small letters and without the dash.
func (s *storage) deviceOf(userCode string) *device {
	plain := func(code string) string {
		return strings.Map(func(r rune) rune {
			if r == '-' || r == ' ' {
				return -1
			}
			return r
		}, strings.ToUpper(code))
	}
	for _, d := range s.devices {
		if plain(d.userCode) == plain(userCode) && !d.denied && d.subject == "" && !s.now().After(d.ends) {
			return d
		}
	}
	return nil
}

// decide ends the wait of a device, and reports whether it still waited.
func (s *storage) decide(userCode string, p Person, allow bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.deviceOf(userCode)
	if d == nil {
		return false
	}
	if d.at = s.now(); allow {
		d.subject = p.Subject
	} else {
		d.denied = true
	}
	return true
}
