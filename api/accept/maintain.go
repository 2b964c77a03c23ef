package accept

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// judgeChange judges an intent by the actor's roles and, only where these say no, by whether they maintain the machine. That
// costs those a round trip who would be refused without it, and nobody else.
func (a *Accepter) judgeChange(ctx context.Context, conn *pgxpool.Conn, c *change) error {
	err := c.check(a.authz)
	if !models.IsCode(err, models.CodeForbidden, models.CodeNotFound) {
		return err
	}
	if asked := conn.QueryRow(ctx, store.MaintainsVM, c.Actor.Answerable(), c.id).Scan(&c.maintained); asked != nil {
		return fmt.Errorf("ask who maintains vm %s: %w", c.id, asked)
	}
	if !c.maintained {
		return err
	}
	return c.check(a.authz)
}
