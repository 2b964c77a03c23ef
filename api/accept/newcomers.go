package accept

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/yunshu/yunshu/models"
)

// newcomers are servers that are compared with each other and with what is there.
type newcomers struct {
	Enrolment
	region        *readiness
	racks, groups []spot
	addresses     map[string]string // who has them
	names         map[string]bool
	serials       map[string]string // who has them, and where
	units         map[unit]string   // who stands there

	rows      []newcomer
	wrong     []models.FieldError // what no state of the world makes right
	conflicts []conflict          // what is against it now
}

// readiness is whether a region takes work, and which.
type readiness struct {
	state        string
	capabilities []string
}

// spot is a rack or a group.
type spot struct {
	id     models.ID
	name   string
	height int // of a rack
}

// unit is one place of a rack.
type unit struct {
	rack models.ID
	unit int
}

// conflict is something that another server, here or in the list, has already.
type conflict struct {
	code models.Code
	models.FieldError
	sentence string
}

const (
	regionReady = `SELECT state, capabilities FROM regions WHERE name = $1`
	placesNamed = `SELECT id, name, %s FROM %s WHERE region = $1 AND (name = ANY ($2) OR id::text = ANY ($2))`
	bmcsAt      = `
SELECT regexp_replace(m.address, '^[a-z]+://', ''), b.name FROM bmcs m JOIN baremetals b ON b.id = m.baremetal_id
WHERE m.region = $1 AND regexp_replace(m.address, '^[a-z]+://', '') = ANY ($2)`
	baremetalNames = `SELECT name, '' FROM baremetals WHERE region = $1 AND name = ANY ($2)`
	serialsKnown   = `SELECT lower(b.serial), b.name || ' in region ' || b.region FROM baremetals b WHERE b.serial <> '' AND lower(b.serial) = ANY ($1)`
	unitsTaken     = `SELECT u.rack_id, u.unit, b.name FROM rack_units u JOIN baremetals b ON b.id = u.baremetal_id WHERE u.rack_id = ANY ($1)`
)

var (
	rackPlaces  = fmt.Sprintf(placesNamed, "height", "racks")
	groupPlaces = fmt.Sprintf(placesNamed, "0", "groups")
	scheme      = regexp.MustCompile(`^[a-z]+://`)
)

// at is where a BMC is, however it is spoken to.
func at(address string) string { return scheme.ReplaceAllString(address, "") }

func (n *newcomers) queueLook(b *pgx.Batch) {
	b.Queue(regionReady, n.Region).QueryRow(func(row pgx.Row) error {
		var r readiness
		return ifAny(row.Scan(&r.state, &r.capabilities), func() { n.region = &r })
	})
	scan := func(row pgx.CollectableRow) (p spot, err error) { return p, row.Scan(&p.id, &p.name, &p.height) }
	b.Queue(rackPlaces, n.Region, n.given(func(m Newcomer) string { return m.Rack })).Query(collect(&n.racks, scan))
	b.Queue(groupPlaces, n.Region, n.given(func(m Newcomer) string { return m.Group })).Query(collect(&n.groups, scan))
	n.addresses, n.names, n.serials = map[string]string{}, map[string]bool{}, map[string]string{}
	b.Queue(bmcsAt, n.Region, n.given(func(m Newcomer) string { return at(m.Address) })).Query(into(n.addresses))
	named := map[string]string{}
	b.Queue(baremetalNames, n.Region, n.given(func(m Newcomer) string { return m.Name })).Query(func(rows pgx.Rows) error {
		err := into(named)(rows)
		for name := range named {
			n.names[name] = true
		}
		return err
	})
	b.Queue(serialsKnown, n.given(func(m Newcomer) string { return strings.ToLower(m.Serial) })).Query(into(n.serials))
}

// given lists what the servers say of something, each once.
func (n *newcomers) given(of func(Newcomer) string) []string {
	seen := map[string]bool{}
	for _, m := range n.Machines {
		if s := of(m); s != "" {
			seen[s] = true
		}
	}
	return keys(seen)
}

// into collects pairs.
func into(out map[string]string) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		var key, value string
		_, err := pgx.ForEachRow(rows, []any{&key, &value}, func() error { out[key] = value; return nil })
		return err
	}
}

// place finds the rack and the group of every server, and makes its row.
func (n *newcomers) place() {
	racks, groups := byRef(n.racks), byRef(n.groups)
	n.rows = each(n.Machines, func(m Newcomer) newcomer {
		one := newcomer{Newcomer: m, row: models.Baremetal{
			ID: models.NewID(), Region: n.Region, Name: m.Name, Role: models.RoleSpare, State: models.BaremetalEnrolling, Serial: m.Serial,
			RackUnit: m.Unit, RackHeight: m.Height, Labels: m.Labels, Connected: true,
		}}
		if one.row.Labels == nil {
			one.row.Labels = map[string]string{}
		}
		if m.Name == "" {
			id := one.row.ID.String()
			one.row.Name = "bm-" + id[len(id)-12:]
		}
		if one.rack = racks[m.Rack]; one.rack != nil {
			one.row.RackID = &one.rack.id
		}
		if one.group = groups[m.Group]; one.group != nil {
			one.row.GroupID = &one.group.id
		}
		n.judgePlace(one)
		return one
	})
}

func byRef(places []spot) map[string]*spot {
	out := map[string]*spot{}
	for i := range places {
		out[places[i].name], out[places[i].id.String()] = &places[i], &places[i]
	}
	return out
}

func (n *newcomers) judgePlace(one newcomer) {
	say := func(field, format string, args ...any) {
		n.wrong = append(n.wrong, models.FieldError{Field: one.At + "." + field, Message: fmt.Sprintf(format, args...)})
	}
	if one.Rack != "" && one.rack == nil {
		say("rack", "there is no such rack in region %s", n.Region)
	}
	if one.Group != "" && one.group == nil {
		say("group", "there is no such group in region %s", n.Region)
	}
	if one.rack != nil && one.Unit > 0 && one.Unit+one.Height-1 > one.rack.height {
		say("rack_unit", "the rack %s has %d units; the server would reach up to unit %d", one.rack.name, one.rack.height, one.Unit+one.Height-1)
	}
}

// lookAround reads who stands in the racks.
func (n *newcomers) lookAround(ctx context.Context, conn *pgxpool.Conn) error {
	n.units = map[unit]string{}
	rows, err := conn.Query(ctx, unitsTaken, each(n.racks, func(p spot) models.ID { return p.id }))
	if err != nil {
		return fmt.Errorf("look who stands in the racks: %w", err)
	}
	var at unit
	var who string
	_, err = pgx.ForEachRow(rows, []any{&at.rack, &at.unit, &who}, func() error { n.units[at] = who; return nil })
	return err
}

// compare finds what is there already, and what is twice in the list.
func (n *newcomers) compare() {
	before := map[string]string{} // what of those before in the list was claimed, and by which
	for _, one := range n.rows {
		once := func(what, value string) (who string) {
			if who = before[what+value]; who == "" {
				before[what+value] = strings.TrimPrefix(one.At, "body.")
			}
			return who
		}
		if one.Address != "" { // a wrong one is nobody's
			n.compareAddress(one, once("address", at(one.Address)))
		}
		if one.Name != "" {
			n.compareName(one, once("name", one.Name))
		}
		if one.Serial != "" {
			n.compareSerial(one, once("serial", strings.ToLower(one.Serial)))
		}
		n.comparePosition(one, once)
	}
}

func (n *newcomers) against(code models.Code, one newcomer, field, message, sentence string, args ...any) {
	n.conflicts = append(n.conflicts, conflict{code, models.FieldError{Field: one.At + "." + field, Message: message}, fmt.Sprintf(sentence, args...)})
}

func (n *newcomers) compareAddress(one newcomer, twin string) {
	if twin != "" {
		n.against(models.CodeAddressTaken, one, "bmc.address", "is also that of "+twin, "The BMC address %s is in the list twice. Correct one.", one.Address)
	} else if who := n.addresses[at(one.Address)]; who != "" {
		n.against(models.CodeAddressTaken, one, "bmc.address", "is that of the baremetal "+who, "The BMC at %s is that of the baremetal %s in region %s. Correct the address, or that one's.", one.Address, who, n.Region)
	}
}

func (n *newcomers) compareName(one newcomer, twin string) {
	if twin != "" {
		n.against(models.CodeNameTaken, one, "name", "is also that of "+twin, "The name %s is in the list twice. Choose another for one.", one.Name)
	} else if n.names[one.Name] {
		n.against(models.CodeNameTaken, one, "name", "is taken in region "+n.Region, "There already is a baremetal named %s in region %s. Choose another name.", one.Name, n.Region)
	}
}

func (n *newcomers) compareSerial(one newcomer, twin string) {
	if twin != "" {
		n.against(models.CodeDuplicateMachine, one, "serial", "is also that of "+twin, "The serial %s is in the list twice. Correct one.", one.Serial)
	} else if who := n.serials[strings.ToLower(one.Serial)]; who != "" {
		n.against(models.CodeDuplicateMachine, one, "serial", "is that of the baremetal "+who, "The server with the serial %s is here already: %s. Operate that one, or retire it first.", one.Serial, who)
	}
}

func (n *newcomers) comparePosition(one newcomer, once func(what, value string) string) {
	if one.rack == nil || one.Unit == 0 {
		return
	}
	told := false // one sentence for each server, however many units it shares
	for u := one.Unit; u < one.Unit+one.Height; u++ {
		twin := once("unit", fmt.Sprintf("%s/%d", one.rack.id, u))
		who := n.units[unit{one.rack.id, u}]
		switch {
		case told || twin == "" && who == "":
		case twin != "":
			n.against(models.CodePositionTaken, one, "rack_unit", fmt.Sprintf("unit %d is also that of %s", u, twin), "Unit %d of rack %s is in the list twice. Correct one.", u, one.rack.name)
			told = true
		default:
			n.against(models.CodePositionTaken, one, "rack_unit", fmt.Sprintf("unit %d is that of the baremetal %s", u, who), "Unit %d of rack %s is taken by the baremetal %s. Correct the position, or move that one first.", u, one.rack.name, who)
			told = true
		}
	}
}

// verdict is everything that was found, in one refusal: what is wrong in itself first, then the region, then what others
// have already. A list that is short of nothing but what others have is refused with the code of the first.
func (n *newcomers) verdict() error {
	wrong := slices.Concat(n.Wrong, n.wrong)
	fields := n.inOrder(slices.Concat(wrong, each(n.conflicts, func(c conflict) models.FieldError { return c.FieldError })))
	switch {
	case len(wrong) > 0:
		f := models.Faultf(models.CodeInvalid, "The request is not valid. Correct what is listed under errors; nothing was changed.")
		f.Fields = fields
		return f
	case n.region.state != "ready" || !slices.Contains(n.region.capabilities, "bm"):
		return models.Faultf(models.CodeRegionNotReady, "The region %s takes no physical servers: it is %s, and can do %s. Give it the capability bm, or wait.", n.Region, n.region.state, strings.Join(n.region.capabilities, ", "))
	case len(n.conflicts) > 0:
		f := models.Faultf(n.conflicts[0].code, "%s Nothing was changed.", n.conflicts[0].sentence)
		f.Fields = fields
		return f
	}
	return nil
}

// inOrder sorts what is wrong as the servers are.
func (n *newcomers) inOrder(fields []models.FieldError) []models.FieldError {
	nth := map[string]int{}
	for i, m := range n.Machines {
		nth[m.At] = i
	}
	of := func(f models.FieldError) int {
		server, _, _ := strings.Cut(strings.TrimPrefix(f.Field, "body."), ".")
		return nth["body."+server]
	}
	slices.SortStableFunc(fields, func(x, y models.FieldError) int { return of(x) - of(y) })
	return fields
}
