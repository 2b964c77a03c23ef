package models

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
)

// Inet is an IP address in Postgres, JSON and memory. The zero value is none.
type Inet struct{ netip.Addr }

// Scan reads what Postgres returns for inet.
func (i *Inet) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*i = Inet{}
		return nil
	case string:
		host, _, _ := strings.Cut(v, "/")
		a, err := netip.ParseAddr(host)
		i.Addr = a
		return err
	}
	return fmt.Errorf("scan inet from %T", v)
}

// Value writes the address, none as null.
func (i Inet) Value() (driver.Value, error) {
	if !i.IsValid() {
		return nil, nil
	}
	return i.String(), nil
}

// GormDataType names the column's type.
func (Inet) GormDataType() string { return "inet" }

// MarshalJSON writes the address as a string, none as an empty one.
func (i Inet) MarshalJSON() ([]byte, error) {
	if !i.IsValid() {
		return []byte(`""`), nil
	}
	return json.Marshal(i.String())
}

// CIDR is a network in Postgres, JSON and memory.
type CIDR struct{ netip.Prefix }

// Scan reads what Postgres returns for cidr.
func (c *CIDR) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("scan cidr from %T", v)
	}
	p, err := netip.ParsePrefix(s)
	c.Prefix = p
	return err
}

// Value writes the network.
func (c CIDR) Value() (driver.Value, error) { return c.String(), nil }

// GormDataType names the column's type.
func (CIDR) GormDataType() string { return "cidr" }

// Texts is a text[] column.
type Texts []string

// Scan reads Postgres' text form of an array of texts.
func (t *Texts) Scan(v any) error {
	var s string
	switch v := v.(type) {
	case string:
		s = v
	case []byte:
		s = string(v)
	default:
		return fmt.Errorf("scan text[] from %T", v)
	}
	*t = Texts{}
	s = strings.TrimSuffix(strings.TrimPrefix(s, "{"), "}")
	for s != "" {
		var item string
		item, s = nextText(s)
		*t = append(*t, item)
	}
	return nil
}

// nextText takes one element off the text form of an array.
func nextText(s string) (item, rest string) {
	if !strings.HasPrefix(s, `"`) {
		item, rest, _ = strings.Cut(s, ",")
		return item, rest
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
			b.WriteByte(s[i])
		case '"':
			return b.String(), strings.TrimPrefix(s[i+1:], ",")
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), ""
}

// Value writes Postgres' text form of an array of texts.
func (t Texts) Value() (driver.Value, error) {
	quoted := make([]string, len(t))
	for i, s := range t {
		quoted[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
	}
	return "{" + strings.Join(quoted, ",") + "}", nil
}

// GormDataType names the column's type.
func (Texts) GormDataType() string { return "text[]" }
