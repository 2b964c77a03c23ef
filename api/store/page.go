package store

import "gorm.io/gorm"

// Page chooses a stretch of a list by the key that it begins behind. The list is walked along an index; it is never
// counted and never skipped through.
type Page struct {
	After      string // the last key already seen; empty: from the start
	Limit      int    // one more row is read, which tells whether there is another page
	Descending bool
}

// Of adds the condition, the order and the limit to a query. column is the key: unique, and not null.
func (p Page) Of(q *gorm.DB, column string) *gorm.DB {
	beyond, order := " > ?", column
	if p.Descending {
		beyond, order = " < ?", column+" DESC"
	}
	if p.After != "" {
		q = q.Where(column+beyond, p.After)
	}
	return q.Order(order).Limit(p.Limit + 1)
}
