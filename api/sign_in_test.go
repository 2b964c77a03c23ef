package api

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/api/oidc"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/test/openid"
)

// door is an edge whose people sign in with a provider of the test's.
type door struct {
	*edge
	provider *openid.Provider
}

func newDoor(t *testing.T) *door {
	t.Helper()
	e, p := newEdge(t), openid.New(t)
	e.api.signIn = SignInOptions{Lifetime: time.Hour, Provider: oidc.New(oidc.Config{Issuer: p.Issuer(), ClientID: openid.ClientID, GroupsClaim: "groups", Client: p.Client()})}
	return &door{e, p}
}

// claims are those of somebody in these groups.
func (d *door) claims(subject string, groups ...string) openid.Claims {
	return d.provider.Claims(subject).With(openid.Claims{"groups": groups})
}

// come signs somebody in.
func (d *door) come(c openid.Claims) SignedIn {
	d.t.Helper()
	return decode[SignedIn](d.present(d.provider.Token(c)).is(201))
}

// present shows an ID token.
func (d *door) present(raw string) answer {
	d.t.Helper()
	return d.call("", "POST", "/v1/sign-in", M{"id_token": raw})
}

// roles are what somebody has, such as admin@acme.
func (d *door) roles(token string) []string {
	d.t.Helper()
	out := []string{}
	for _, b := range decode[Me](d.call(token, "GET", "/v1/me", nil).is(200)).Bindings {
		out = append(out, strings.TrimSuffix(string(b.Role)+"@"+b.Tenant, "@"))
	}
	return out
}

func TestSigningIn(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	require.Equal(t, SignInProvider{Issuer: d.provider.Issuer(), ClientID: openid.ClientID, Scopes: []string{"openid", "profile", "email", "groups"}},
		decode[SignInProvider](d.call("", "GET", "/v1/sign-in", nil).is(200)))
	raw := d.provider.Token(d.claims("ada"))
	first := decode[SignedIn](d.present(raw).is(201))
	require.Equal(t, SignedIn{Token: first.Token, TokenID: first.TokenID, Prefix: first.Token[:9], ExpiresAt: first.ExpiresAt, User: "ada", UserID: first.UserID}, first)
	require.WithinDuration(t, time.Now().Add(time.Hour), first.ExpiresAt, time.Minute)
	require.Empty(t, d.roles(first.Token), "whoever comes for the first time may do nothing yet")

	again := d.come(d.claims("ada"))
	require.Equal(t, first.UserID, again.UserID)
	require.NotEqual(t, first.Token, again.Token)

	d.present(raw).problem(models.CodeUnauthenticated) // it was used
	ids := []models.ID{first.TokenID, again.TokenID}
	story := []string{}
	for _, e := range d.audited("action=user.sign-in") {
		story = append(story, strings.TrimSpace(e.Actor+" "+e.Outcome+" "+e.Code))
		require.Equal(t, "192.0.2.1", e.RemoteAddress)
		require.NotContains(t, string(e.After), raw)
	}
	require.ElementsMatch(t, []string{"ada done", "ada done", "refused unauthenticated"}, story)
	for _, table := range []string{"tokens", "audit_events", "resource_versions", "identities", "used_id_tokens"} {
		var dump string
		require.NoError(t, d.store.Pool.QueryRow(t.Context(), "SELECT coalesce(json_agg(t)::text, '') FROM "+table+" t").Scan(&dump))
		for _, secret := range []string{first.Token[9:], again.Token[9:], raw, strings.Split(raw, ".")[2]} {
			require.NotContains(t, dump, secret, table)
		}
	}
	require.NotEqual(t, ids[0], ids[1])
}

func TestSigningOutEndsTheTokenAtOnce(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	here, there := d.come(d.claims("ada")), d.come(d.claims("ada"))
	d.call(here.Token, "GET", "/v1/me", nil).is(200)
	d.call(here.Token, "POST", "/v1/sign-out", nil).is(204)
	d.call(here.Token, "GET", "/v1/me", nil).problem(models.CodeUnauthenticated)
	d.call(here.Token, "POST", "/v1/sign-out", nil).problem(models.CodeUnauthenticated)
	d.call(there.Token, "GET", "/v1/me", nil).is(200)
	events := d.audited("action=user.sign-out")
	require.Len(t, events, 1)
	require.Equal(t, "ada", events[0].Actor)
}

func TestBadSignIns(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	ada := d.come(d.claims("ada"))
	before := d.written()
	d.call("", "POST", "/v1/sign-in", M{}).problem(models.CodeInvalid)
	d.call("", "POST", "/v1/sign-in", M{"id_token": ""}).problem(models.CodeInvalid)
	d.call("", "POST", "/v1/sign-in", M{"id_token": strings.Repeat("a", 16385)}).problem(models.CodeInvalid)
	d.present("garbage").problem(models.CodeUnauthenticated)
	d.present(d.provider.Token(d.claims("ada").With(openid.Claims{"aud": "portal"}))).problem(models.CodeUnauthenticated)
	d.provider.SetDown(true)
	d.provider.Rotate()
	p := d.present(d.provider.Token(d.claims("ada"))).problem(models.CodeUnavailable)
	require.NotContains(t, p.Detail, d.provider.Issuer())
	d.call(ada.Token, "GET", "/v1/me", nil).is(200) // tokens that there are go on working
	require.Equal(t, before, d.written())
	require.Len(t, d.audited("action=user.sign-in&outcome=refused"), 2, "the ID tokens that were not good")

	e := newEdge(t)
	e.call("", "GET", "/v1/sign-in", nil).problem(models.CodeSignInDisabled)
	e.call("", "POST", "/v1/sign-in", M{"id_token": "x"}).problem(models.CodeSignInDisabled)
}

// TestNobodyBecomesAnotherBySigningIn: names and addresses are no proof.
func TestNobodyBecomesAnotherBySigningIn(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	d.user("ada", "admin")
	d.call(d.admin, "PATCH", path("users/%s", d.idOf("ada")), M{"email": "ada@example.com"}).is(200)
	stranger := d.come(d.claims("ada"))
	require.Equal(t, "ada-2", stranger.User)
	require.Empty(t, d.roles(stranger.Token))

	// The same subject of another provider is another person.
	other := openid.New(t)
	d.api.signIn.Provider = oidc.New(oidc.Config{Issuer: other.Issuer(), ClientID: openid.ClientID, GroupsClaim: "groups", Client: other.Client()})
	require.Equal(t, "ada-3", decode[SignedIn](d.present(other.Token(other.Claims("ada"))).is(201)).User)

	// An admin says who somebody is.
	identities := path("users/%s/identities", d.idOf("ada"))
	link := M{"issuer": other.Issuer(), "subject": "the-real-ada"}
	made := decode[Identity](d.call(d.admin, "POST", identities, link).is(201))
	d.call(d.admin, "POST", path("users/%s/identities", d.idOf("ada-2")), link).is(409)
	require.Equal(t, "ada", decode[SignedIn](d.present(other.Token(other.Claims("the-real-ada"))).is(201)).User)
	d.call(d.admin, "DELETE", identities+"/"+made.ID.String(), nil).is(204)
	require.Equal(t, "the-real-ada", decode[SignedIn](d.present(other.Token(other.Claims("the-real-ada"))).is(201)).User)
}

// idOf is the id of a user.
func (e *edge) idOf(user string) models.ID {
	e.t.Helper()
	var id models.ID
	require.NoError(e.t, e.store.Pool.QueryRow(e.t.Context(), "SELECT id FROM users WHERE name = $1", user).Scan(&id))
	return id
}

func TestOddNamesBecomeUsers(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	for want, c := range map[string]openid.Claims{
		"ada-lovelace":          {"sub": "1", "preferred_username": "Ada.Lovelace@example.com"},
		"user":                  {"sub": "2", "preferred_username": "雲樞", "email": nil},
		"bob":                   {"sub": "3", "preferred_username": nil, "email": "bob@example.com"},
		"drop-table":            {"sub": "'; DROP TABLE users; --", "preferred_username": "'; DROP TABLE "},
		strings.Repeat("a", 50): {"sub": "5", "preferred_username": strings.Repeat("a", 1000)},
	} {
		require.Equal(t, want, d.come(d.provider.Claims("x").With(c)).User)
	}
	require.Equal(t, "user-2", d.come(d.provider.Claims("4").With(openid.Claims{"preferred_username": nil, "email": nil})).User)
}

func TestPeopleOfOneNameComeTogether(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	const people = 8
	var all sync.Mutex
	names := map[string]models.ID{}
	var coming sync.WaitGroup
	for i := range 2 * people { // each of them twice
		raw := d.provider.Token(d.provider.Claims("ada").With(openid.Claims{"sub": fmt.Sprint(i / 2)}))
		coming.Go(func() {
			in := decode[SignedIn](d.present(raw).is(201))
			all.Lock()
			defer all.Unlock()
			if id, ok := names[in.User]; ok && id != in.UserID {
				t.Errorf("two people are called %s", in.User)
			}
			names[in.User] = in.UserID
		})
	}
	coming.Wait()
	require.Len(t, names, people)
}

func TestAnIDTokenIsGoodForOneOfManyAtOnce(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	raw := d.provider.Token(d.claims("ada"))
	var all sync.Mutex
	statuses := map[int]int{}
	var coming sync.WaitGroup
	for range 8 {
		coming.Go(func() {
			a := d.present(raw)
			all.Lock()
			defer all.Unlock()
			statuses[a.Status]++
		})
	}
	coming.Wait()
	require.Equal(t, map[int]int{201: 1, 401: 7}, statuses)
}

func TestGroupsBringRolesAndTakeThemAway(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	d.tenant("acme", "")
	d.tenant("dev", "acme")
	bind := func(group, role, tenant string) GroupBinding {
		return decode[GroupBinding](d.call(d.admin, "POST", "/v1/group-bindings", M{"group": group, "role": role, "tenant": tenant}).is(201))
	}
	members, operators := bind("acme-members", "member", "acme"), bind("operators", "operator", "")
	bind("acme-members", "admin", "acme/dev")
	begin := time.Now()
	at := func(minutes int, groups ...string) openid.Claims {
		return d.claims("ada", groups...).With(openid.Claims{"iat": begin.Add(time.Duration(minutes-30) * time.Minute).Unix()})
	}
	ada := d.come(at(0, "acme-members", "operators", "unknown", ""))
	require.ElementsMatch(t, []string{"member@acme", "admin@acme/dev", "operator"}, d.roles(ada.Token))
	d.call(d.admin, "POST", "/v1/role-bindings", M{"user": "ada", "role": "viewer", "tenant": "acme"}).is(201)

	// Who leaves a group loses its roles with the next sign-in, on every token at once.
	d.come(at(2, "acme-members"))
	require.ElementsMatch(t, []string{"member@acme", "admin@acme/dev", "viewer@acme"}, d.roles(ada.Token))
	// An older ID token that was kept does not bring them back.
	d.come(at(1, "acme-members", "operators"))
	require.NotContains(t, d.roles(ada.Token), "operator")
	d.come(at(3, "operators"))
	require.ElementsMatch(t, []string{"operator", "viewer@acme"}, d.roles(ada.Token), "what was given by hand stays")

	// A role that comes with a group is not taken by hand, and ends with the group's binding.
	d.come(at(4, "acme-members", "operators"))
	for _, b := range decode[List[RoleBinding]](d.call(d.admin, "GET", "/v1/role-bindings?user=ada", nil).is(200)).Items {
		if b.Group != "" {
			d.call(d.admin, "DELETE", path("role-bindings/%s", b.ID), nil).problem(models.CodeInUse)
		}
	}
	d.call(d.admin, "DELETE", path("group-bindings/%s", members.ID), nil).is(204)
	d.call(d.admin, "DELETE", path("group-bindings/%s", operators.ID), nil).is(204)
	require.ElementsMatch(t, []string{"admin@acme/dev", "viewer@acme"}, d.roles(ada.Token))
}

// TestNobodyRisesByGroups: a role for a group takes the very right that the role for a user takes.
func TestNobodyRisesByGroups(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	d.tenant("acme", "")
	d.tenant("dev", "acme")
	d.tenant("rival", "")
	owner, admin := d.user("owner", "owner@acme"), d.user("admin", "admin@acme")
	devOwner, member, operator, rival := d.user("dev-owner", "owner@acme/dev"), d.user("member", "member@acme"), d.user("operator", "operator"), d.user("rival", "owner@rival")
	ada := d.come(d.claims("ada")).Token
	owners := decode[GroupBinding](d.call(d.admin, "POST", "/v1/group-bindings", M{"group": "acme-owners", "role": "owner", "tenant": "acme"}).is(201))
	root := path("users/%s/identities", d.idOf("root"))
	bind := func(token, role, tenant string, code models.Code) attempt {
		return attempt{token, "POST", "/v1/group-bindings", M{"group": "mine", "role": role, "tenant": tenant}, code}
	}
	attempts := map[string]attempt{
		"an admin an owner's":                        bind(admin, "owner", "acme", models.CodeForbidden),
		"an owner of a child its parent's":           bind(devOwner, "viewer", "acme", models.CodeNotFound),
		"a member anything":                          bind(member, "viewer", "acme", models.CodeForbidden),
		"a rival anything":                           bind(rival, "viewer", "acme", models.CodeNotFound),
		"an operator a tenant's":                     bind(operator, "viewer", "acme", models.CodeForbidden),
		"whoever just came anything":                 bind(ada, "viewer", "acme", models.CodeNotFound),
		"an admin takes the owners'":                 {admin, "DELETE", path("group-bindings/%s", owners.ID), nil, models.CodeForbidden},
		"a member takes the owners'":                 {member, "DELETE", path("group-bindings/%s", owners.ID), nil, models.CodeForbidden},
		"an owner of a child takes its parent's":     {devOwner, "DELETE", path("group-bindings/%s", owners.ID), nil, models.CodeNotFound},
		"a rival takes the owners'":                  {rival, "DELETE", path("group-bindings/%s", owners.ID), nil, models.CodeNotFound},
		"an owner becomes the platform's admin":      {owner, "POST", root, M{"issuer": d.provider.Issuer(), "subject": "owner"}, models.CodeForbidden},
		"an operator becomes the platform's admin":   {operator, "POST", root, M{"issuer": d.provider.Issuer(), "subject": "operator"}, models.CodeForbidden},
		"whoever just came becomes another":          {ada, "POST", root, M{"issuer": d.provider.Issuer(), "subject": "ada"}, models.CodeForbidden},
		"whoever just came links themselves further": {ada, "POST", path("users/%s/identities", d.idOf("ada")), M{"issuer": "https://evil.example", "subject": "x"}, models.CodeForbidden},
	}
	for name, token := range map[string]string{"owner": owner, "admin": admin, "member": member, "operator": operator, "rival": rival, "ada": ada} {
		for _, role := range models.PlatformRoles {
			attempts[fmt.Sprintf("%s the platform's %s", name, role)] = bind(token, string(role), "", models.CodeForbidden)
		}
	}
	d.refusesAll(attempts)
	d.call(owner, "POST", "/v1/group-bindings", M{"group": "acme-owners-2", "role": "owner", "tenant": "acme"}).is(201)
}
