package vm

import (
	"cmp"
	"slices"

	"github.com/yunshu/yunshu/activities/contract"
)

// pageLimit is how many items a page has at most, and has if nobody says.
const pageLimit = 1000

// Cut sorts all by key and returns the page, and the key after which the next one begins, or nothing if it was the last.
func Cut[T any](all []T, key func(T) string, page contract.Page) (items []T, next string) {
	slices.SortFunc(all, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
	limit := page.Limit
	if limit <= 0 || limit > pageLimit {
		limit = pageLimit
	}
	start := 0
	if page.After != "" {
		start, _ = slices.BinarySearchFunc(all, page.After, func(item T, after string) int { return cmp.Compare(key(item), after) })
		if start < len(all) && key(all[start]) == page.After {
			start++
		}
	}
	rest := all[start:]
	if len(rest) <= limit {
		return rest, ""
	}
	return rest[:limit], key(rest[limit-1])
}
