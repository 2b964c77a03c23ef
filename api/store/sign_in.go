package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/yunshu/yunshu/models"
)

// SignedIn is who signed in, and the token that they got.
type SignedIn struct {
	User   models.User
	Token  models.Token
	Secret string // shown once
}

// SignIn makes a token for whom an ID token is about, and gives them the roles of their groups. Everything is in one
// transaction with the audit event. The ID token is used up by it.
func (s *Store) SignIn(ctx context.Context, c Change, raw string, who models.Claims, lifetime time.Duration) (SignedIn, error) {
	const attempts = 5
	for n := 1; ; n++ {
		out, err := s.signIn(ctx, c, raw, who, lifetime)
		if n == attempts || !Contended(err) && !errors.Is(err, errRaced) {
			return out, Fault(err)
		}
	}
}

// errRaced says that an admin gave the name or the identity away in the same moment.
var errRaced = errors.New("an admin was faster than a sign-in")

func (s *Store) signIn(ctx context.Context, c Change, raw string, who models.Claims, lifetime time.Duration) (out SignedIn, err error) {
	err = s.DB.WithContext(ctx).Transaction(func(db *gorm.DB) error {
		if err := useUp(db, raw, who.ExpiresAt); err != nil {
			return err
		}
		identity, user, err := identified(db, who)
		if err != nil {
			return err
		}
		if !who.IssuedAt.Before(identity.IssuedAt) {
			if err := followGroups(db, identity, who); err != nil {
				return err
			}
		}
		secret, token := NewToken(user.ID, "sign-in", time.Now().Add(lifetime))
		if err := db.Create(&token).Error; err != nil {
			return fmt.Errorf("create the token of a sign-in: %w", err)
		}
		out = SignedIn{User: user, Token: token, Secret: secret}
		c.Action, c.Actor.ID, c.Actor.Name = signInAction, user.ID, user.Name
		return audit(db, c, Subject{Kind: "user", ID: user.ID.String(), Name: user.Name}, models.AuditDone,
			map[string]any{"method": "oidc", "issuer": who.Issuer, "subject": who.Subject, "token_id": token.ID})
	})
	return out, err
}

// useUp lets an ID token be good once.
func useUp(db *gorm.DB, raw string, until time.Time) error {
	if err := db.Exec("DELETE FROM used_id_tokens WHERE expires_at < now() - interval '1 hour'").Error; err != nil {
		return fmt.Errorf("forget ID tokens that have expired: %w", err)
	}
	hash := sha256.Sum256([]byte(raw))
	// GORM would spread bytes that come right behind the parenthesis.
	took := db.Exec("INSERT INTO used_id_tokens (expires_at, hash) VALUES (?, ?) ON CONFLICT DO NOTHING", until, hash[:])
	if took.Error != nil {
		return fmt.Errorf("use up an ID token: %w", took.Error)
	}
	if took.RowsAffected == 0 {
		return models.Faultf(models.CodeUnauthenticated, "The ID token was used before: each is good for one sign-in. Sign in again.")
	}
	return nil
}

// admitNewcomer lets newcomers in one by one, so that people of one name do not race for it when a whole company comes on
// its first morning.
const admitNewcomer = "SELECT pg_advisory_xact_lock(7083310002)"

// identified finds whom an identity belongs to, and holds it until the end. Who was never here becomes a new user: one of
// the same name or address may be somebody else, so that only an admin makes an identity that of a user who is there.
func identified(db *gorm.DB, who models.Claims) (models.Identity, models.User, error) {
	identity, user, err := known(db, who)
	if !models.IsCode(err, models.CodeNotFound) {
		return identity, user, err
	}
	if err := db.Exec(admitNewcomer).Error; err != nil {
		return identity, user, fmt.Errorf("let a newcomer in: %w", err)
	}
	identity, user, err = known(db, who) // their other sign-in may have been faster
	if !models.IsCode(err, models.CodeNotFound) {
		return identity, user, err
	}
	return newcomer(db, who)
}

func known(db *gorm.DB, who models.Claims) (identity models.Identity, user models.User, err error) {
	found, err := rows[models.Identity](db, "SELECT * FROM identities WHERE issuer = ? AND subject = ? FOR UPDATE", who.Issuer, who.Subject)
	if err != nil {
		return identity, user, fmt.Errorf("find an identity: %w", err)
	}
	if len(found) == 0 {
		return identity, user, models.Faultf(models.CodeNotFound, "Nobody here is %s at %s.", who.Subject, who.Issuer)
	}
	user, err = take[models.User](db, "user", found[0].UserID)
	return found[0], user, err
}

func newcomer(db *gorm.DB, who models.Claims) (identity models.Identity, user models.User, err error) {
	user = models.User{ID: models.NewID(), Email: who.Email}
	if user.Name, err = freeName(db, who); err != nil {
		return identity, user, err
	}
	if err := CreateUser(db, &user); err != nil {
		if models.IsCode(err, models.CodeNameTaken) {
			return identity, user, errRaced
		}
		return identity, user, err
	}
	identity = models.Identity{ID: models.NewID(), Issuer: who.Issuer, Subject: who.Subject, UserID: user.ID, IssuedAt: time.Unix(0, 0)}
	err = db.Create(&identity).Error
	if Violated(err) == "identities_once" {
		return identity, user, errRaced
	}
	if err != nil {
		return identity, user, fmt.Errorf("create an identity: %w", err)
	}
	return identity, user, nil
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// freeName makes a user's name of what the provider calls them, with a number behind it if it is taken.
func freeName(db *gorm.DB, who models.Claims) (string, error) {
	base, _, _ := strings.Cut(who.Username, "@")
	if base == "" {
		base, _, _ = strings.Cut(who.Email, "@")
	}
	base = notInNames.ReplaceAllString(strings.ToLower(base), "-")
	base = strings.Trim(base[:min(len(base), 50)], "-")
	if base == "" {
		base = "user"
	}
	var taken []string
	if err := db.Raw("SELECT name FROM users WHERE name = ? OR name LIKE ?", base, base+"-%").Scan(&taken).Error; err != nil {
		return "", fmt.Errorf("look for a free name: %w", err)
	}
	names := map[string]bool{}
	for _, name := range taken {
		names[name] = true
	}
	name := base
	for n := 2; names[name]; n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	return name, nil
}

// followGroups gives and takes the roles that come from groups. Those that somebody gave by hand stay. It takes roles away
// even from the last owner or admin: who is no longer in the group must not keep what it gave.
func followGroups(db *gorm.DB, identity models.Identity, who models.Claims) error {
	args := map[string]any{"user": identity.UserID, "groups": models.Texts(who.Groups), "identity": identity.ID, "at": who.IssuedAt}
	err := db.Exec("UPDATE identities SET issued_at = @at WHERE id = @identity", args).Error
	if err != nil {
		return fmt.Errorf("note when an identity was last seen: %w", err)
	}
	err = db.Exec(`DELETE FROM role_bindings b USING group_bindings g
		WHERE b.actor_id = @user AND g.id = b.group_binding_id AND g.group_name <> ALL (@groups ::text[])`, args).Error
	if err != nil {
		return fmt.Errorf("take the roles of groups that somebody left: %w", err)
	}
	err = db.Exec(`INSERT INTO role_bindings (id, actor_id, role, tenant_id, group_binding_id)
		SELECT DISTINCT ON (g.role, g.tenant_id) gen_random_uuid(), @user, g.role, g.tenant_id, g.id FROM group_bindings g
		WHERE g.group_name = ANY (@groups ::text[]) ORDER BY g.role, g.tenant_id, g.id ON CONFLICT DO NOTHING`, args).Error
	if err != nil {
		return fmt.Errorf("give the roles of groups: %w", err)
	}
	return nil
}
