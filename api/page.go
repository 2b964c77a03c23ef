package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/google/uuid"

	"github.com/yunshu/yunshu/models"
)

// Paging is how a list is asked for its next page. Embed it in a list's input.
type Paging struct {
	Limit     int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"How many items to return at most." example:"50"`
	PageToken string `query:"page_token" maxLength:"512" doc:"The next_page_token of the page before, with the same filters."`
}

// List is one page of a list.
type List[T any] struct {
	Items         []T    `json:"items" doc:"The items of this page."`
	NextPageToken string `json:"next_page_token,omitempty" doc:"Ask for the next page with this; absent on the last."`
}

// ListOutput is the answer of a list.
type ListOutput[T any] struct {
	Body List[T]
}

// after returns the key that the page begins behind, empty for the first page. Filters are everything else that
// decides what is on the list: a token goes with the filters that it was made with.
func (p Paging) after(filters ...string) (string, error) {
	if p.PageToken == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(p.PageToken)
	if err != nil || len(raw) <= markSize || !bytes.Equal(raw[:markSize], mark(filters)) || !storable(string(raw[markSize:])) {
		return "", badToken()
	}
	return string(raw[markSize:]), nil
}

// afterID is after for lists in the order of an id.
func (p Paging) afterID(filters ...string) (string, error) {
	key, err := p.after(filters...)
	if err != nil || key == "" {
		return "", err
	}
	if _, err := uuid.Parse(key); err != nil {
		return "", badToken()
	}
	return key, nil
}

// pageOf makes a page of rows, of which there is one more than was asked for if there is another page.
func pageOf[R, T any](p Paging, rows []R, key func(R) string, wire func(R) T, filters ...string) *ListOutput[T] {
	out := &ListOutput[T]{}
	if len(rows) > p.Limit {
		rows = rows[:p.Limit]
		last := append(mark(filters), key(rows[len(rows)-1])...)
		out.Body.NextPageToken = base64.RawURLEncoding.EncodeToString(last)
	}
	out.Body.Items = make([]T, len(rows))
	for i, r := range rows {
		out.Body.Items[i] = wire(r)
	}
	return out
}

const markSize = 8

// mark recognises the filters of a list.
func mark(filters []string) []byte {
	sum := sha256.Sum256([]byte(strings.Join(filters, "\x00")))
	return sum[:markSize:markSize]
}

func badToken() error {
	return invalid("query.page_token", "is not a token of this list with these filters; begin again without it")
}

// invalid is a fault about one field.
func invalid(field, message string) *models.Fault {
	f := models.Faultf(models.CodeInvalid, "The request is not valid. Correct what is listed under errors; nothing was changed.")
	f.Fields = []models.FieldError{{Field: field, Message: message}}
	return f
}
