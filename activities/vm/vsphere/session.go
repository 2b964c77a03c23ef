package vsphere

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	govmomi "github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/yunshu/yunshu/tracing"
)

// callTimeout bounds every single call. Waiting for changes asks again and again, each time for less than this.
const callTimeout = 2 * time.Minute

// session is one login that all callers share. vCenter forgets a session after half an hour without a call, or when it
// restarts: the call that finds out logs in again and is repeated.
type session struct {
	url     *url.URL
	options Options

	mu     sync.Mutex
	vim    *vim25.Client
	logins int // counts, so that of many callers who find the session gone only one logs in
}

// client returns the shared client, logged in.
func (s *session) client(ctx context.Context) (*vim25.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.vim != nil {
		return s.vim, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	sc := soap.NewClient(s.url, false)
	if s.options.CAFile != "" {
		if err := sc.SetRootCAs(s.options.CAFile); err != nil {
			return nil, fmt.Errorf("read the CA file %s: %w", s.options.CAFile, err)
		}
	}
	sc.UserAgent = "yunshu-worker"
	c, err := vim25.NewClient(ctx, sc)
	if err != nil {
		return nil, err
	}
	if err := s.login(ctx, c); err != nil {
		return nil, err
	}
	c.RoundTripper = relogin{session: s, next: sc}
	s.vim = c
	return c, nil
}

// login reads the password and logs in. The lock is held.
func (s *session) login(ctx context.Context, c *vim25.Client) error {
	password, err := os.ReadFile(s.options.PasswordFile)
	if err != nil {
		return fmt.Errorf("read the password file: %w", err)
	}
	user := url.UserPassword(s.options.Username, strings.TrimRight(string(password), "\r\n"))
	if err := govmomi.NewManager(c).Login(ctx, user); err != nil {
		return err
	}
	s.logins++
	s.options.Logger.InfoContext(ctx, "logged in to vCenter", "logins", s.logins)
	return nil
}

// renew logs in again unless somebody has done so since the login that seen counts.
func (s *session) renew(ctx context.Context, next soap.RoundTripper, seen int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.logins != seen {
		return nil
	}
	plain := *s.vim
	plain.RoundTripper = next // a login must not wait for itself
	return s.login(ctx, &plain)
}

// count returns the number of logins.
func (s *session) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logins
}

// relogin repeats a call whose session was gone.
type relogin struct {
	session *session
	next    soap.RoundTripper
}

// method is what a call is called in vCenter's API, such as CloneVM_Task.
func method(req soap.HasFault) string {
	return strings.TrimSuffix(reflect.TypeOf(req).Elem().Name(), "Body")
}

// RoundTrip makes one call.
func (r relogin) RoundTrip(ctx context.Context, req, res soap.HasFault) (err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ctx, span := tracing.Start(ctx, "vcenter "+method(req), trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("server.address", r.session.url.Host), attribute.String("yunshu.region", r.session.options.Region)))
	defer func() { tracing.End(span, err) }()
	seen := r.session.count()
	err = r.next.RoundTrip(ctx, req, res)
	if !isFault[*types.NotAuthenticated](err) {
		return err
	}
	if err := r.session.renew(ctx, r.next, seen); err != nil {
		return err
	}
	// The body still holds the fault of the first attempt, and a decoded answer would not overwrite it.
	reflect.ValueOf(res).Elem().SetZero()
	return r.next.RoundTrip(ctx, req, res)
}
