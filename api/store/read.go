package store

import (
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"

	"github.com/yunshu/yunshu/models"
)

// rows reads a query's rows into T by the names of their columns.
func rows[T any](tx *gorm.DB, sql string, args ...any) ([]T, error) {
	out := []T{}
	return out, tx.Raw(sql, args...).Scan(&out).Error
}

// row reads the only row of a query; without one it returns gorm.ErrRecordNotFound.
func row[T any](tx *gorm.DB, sql string, args ...any) (T, error) {
	var out T
	found := tx.Raw(sql, args...).Scan(&out)
	if found.Error == nil && found.RowsAffected == 0 {
		return out, gorm.ErrRecordNotFound
	}
	return out, found.Error
}

// where collects the conditions of a query. A question mark stands for an argument.
type where struct {
	terms []string
	args  []any
}

// and adds a condition.
func (w *where) and(term string, args ...any) *where {
	w.terms = append(w.terms, term)
	w.args = append(w.args, args...)
	return w
}

// given adds a condition on a text that the caller left empty if it does not matter.
func (w *where) given(term, value string) *where {
	if value != "" {
		w.and(term, value)
	}
	return w
}

// String is the whole condition.
func (w *where) String() string {
	if len(w.terms) == 0 {
		return "true"
	}
	return "(" + strings.Join(w.terms, ") AND (") + ")"
}

// dollars numbers the question marks of a query, as pgx wants them.
func dollars(sql string) string {
	var b strings.Builder
	n := 0
	for _, r := range sql {
		if r != '?' {
			b.WriteRune(r)
			continue
		}
		n++
		fmt.Fprintf(&b, "$%d", n)
	}
	return b.String()
}

// NamePage is a page of a list that is sorted by name.
type NamePage struct {
	After string // the last name already seen
	Limit int
}

// IDPage is a page of a list that is sorted by id, and so by time.
type IDPage struct {
	After models.ID // the last id already seen
	Limit int
}

// owned is a page of a table whose rows belong to tenants. Within a few tenants it walks the index of each and merges,
// so that the cost does not grow with what other tenants have.
type owned struct {
	table   string
	args    []any       // of the table, if it is a query
	tenant  *models.ID  // of this very tenant
	within  []models.ID // of these tenants and everything below them; nil: everything
	byOwner bool        // look tenant by tenant even for everything: the index for the condition begins with the tenant
	page    IDPage
	newest  bool // the newest first
}

// sql returns the query of the page and its arguments.
func (o owned) sql(w where) (string, []any) {
	order, after := "ASC", "t.id > ?"
	if o.newest {
		order, after = "DESC", "t.id < ?"
	}
	if o.page.After != models.NoID {
		w.and(after, o.page.After)
	}
	if o.tenant != nil {
		w.and("t.tenant_id = ?", *o.tenant)
	}
	if o.tenant != nil || o.within == nil && !o.byOwner {
		sql := fmt.Sprintf("SELECT t.* FROM %s t WHERE %s ORDER BY t.id %s LIMIT ?", o.table, &w, order)
		return sql, slices.Concat(o.args, w.args, []any{o.page.Limit})
	}
	owners, args := "true", []any{}
	if o.within != nil {
		owners, args = "path && ?", []any{o.within}
	}
	w.and("t.tenant_id = o.id")
	sql := fmt.Sprintf(`SELECT p.* FROM (SELECT id FROM tenants WHERE %s) o
	CROSS JOIN LATERAL (SELECT t.* FROM %s t WHERE %s ORDER BY t.id %s LIMIT ?) p ORDER BY p.id %s LIMIT ?`, owners, o.table, &w, order, order)
	return sql, slices.Concat(args, o.args, w.args, []any{o.page.Limit, o.page.Limit})
}

// refused turns a violated constraint into the fault that it means; other errors pass.
func refused(err error, byConstraint map[string]*models.Fault) error {
	if f := byConstraint[Violated(err)]; f != nil {
		return f.Because(err)
	}
	return err
}

// taken is the refusal of a name that is not free.
func taken(kind, name, where string) *models.Fault {
	return models.Faultf(models.CodeNameTaken, "There already is a %s named %s%s. Choose another name.", kind, name, where)
}

// unused returns a fault that names what still uses a resource, or nil. Each query counts one kind of use.
func unused(tx *gorm.DB, kind, name string, id models.ID, by ...[2]string) error {
	var uses []string
	for _, q := range by {
		var n int64
		if err := tx.Raw(q[1], id).Scan(&n).Error; err != nil {
			return fmt.Errorf("count what uses the %s: %w", kind, err)
		}
		if n > 0 {
			uses = append(uses, fmt.Sprintf("%d %s", n, q[0]))
		}
	}
	if uses == nil {
		return nil
	}
	return models.Faultf(models.CodeInUse, "The %s %s is still used by %s. Remove them first.", kind, name, strings.Join(uses, " and "))
}

// referenced is the last word on a deletion that a foreign key refused: something began to use the row meanwhile.
func referenced(err error, kind, name string) error {
	if Violated(err) != "" {
		return models.Faultf(models.CodeInUse, "The %s %s is in use. Remove what uses it first.", kind, name).Because(err)
	}
	return err
}

// byName finds a row by its id or its name.
func byName(ref string) (column string, value any) {
	if id, ok := parseID(ref); ok {
		return "id", id
	}
	return "name", ref
}

func parseID(s string) (models.ID, bool) {
	var id models.ID
	if len(s) != 36 || id.UnmarshalText([]byte(s)) != nil {
		return models.NoID, false
	}
	return id, true
}

// noSuch is the answer to a reference that names nothing.
func noSuch(kind, ref string) *models.Fault {
	return models.Faultf(models.CodeNotFound, "There is no %s %q that you can see.", kind, ref)
}

// found turns a missing row into the answer for people.
func found[T any](out T, err error, kind, ref string) (T, error) {
	if NotFound(err) {
		return out, noSuch(kind, ref)
	}
	return out, err
}
