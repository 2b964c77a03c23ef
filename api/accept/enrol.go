package accept

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/vault"
)

// Newcomer is a physical server that someone brings in.
type Newcomer struct {
	At     string // where it is in the request's body, such as body.machines[17]
	Name   string // empty: one is made from its id
	Rack   string // by name or id; empty: nobody says
	Unit   int    // the lowest that it takes; 0: nobody says
	Height int    // in units
	Group  string // by name or id; empty: none
	Labels map[string]string
	Serial string // what its BMC is expected to say; empty: whatever it says
	MAC    string // of the interface that it boots from, in lower case; empty: what its BMC lists

	Address     string // of its BMC, in its one spelling
	Protocol    models.BMCProtocol
	Username    string
	Password    string
	Fingerprint string
	Rotate      bool // the BMC gets a generated password
}

// Enrolment is the intent to bring servers into a region: all of them, or none.
type Enrolment struct {
	Request
	Region   string
	Machines []Newcomer
	Keys     store.Keys          // that the passwords are sealed with
	Wrong    []models.FieldError // what is wrong with them whatever is there
}

// Enrolled is what became of one server.
type Enrolled struct {
	ID          models.ID `json:"id"` // of the operation
	Name        string    `json:"name"`
	BaremetalID models.ID `json:"baremetal_id"`
}

// enrolPatience bounds the accept of a list of servers.
const enrolPatience = 2 * time.Minute

// EnrollBaremetal accepts one server.
func (a *Accepter) EnrollBaremetal(ctx context.Context, e Enrolment) (Accepted, error) {
	defer a.wake()
	return retry(ctx, func(ctx context.Context) (out Accepted, err error) {
		err = a.transaction(ctx, func(conn *pgxpool.Conn) error {
			n := newcomers{Enrolment: e}
			var again *Accepted
			if n.Request, again, err = look(ctx, conn, e.Request, n.queueLook); err != nil || again != nil {
				out = deref(again)
				return err
			}
			if err := n.judge(ctx, conn, a.authz); err != nil {
				return err
			}
			records, err := n.records(n.Request)
			if err != nil {
				return err
			}
			out = Accepted{Operation: records[0].op}
			return n.write(ctx, conn, records)
		})
		return out, err
	})
}

// ImportBaremetals accepts a list of servers, whole or not at all.
func (a *Accepter) ImportBaremetals(ctx context.Context, e Enrolment) ([]Enrolled, error) {
	defer a.wake()
	return retryWithin(ctx, enrolPatience, func(ctx context.Context) (out []Enrolled, err error) {
		err = a.transaction(ctx, func(conn *pgxpool.Conn) error {
			out, err = a.tryImport(ctx, conn, e)
			return err
		})
		return out, err
	})
}

func (a *Accepter) tryImport(ctx context.Context, conn *pgxpool.Conn, e Enrolment) ([]Enrolled, error) {
	n := newcomers{Enrolment: e}
	var again earlierImport
	keyless := e.Request
	keyless.Key = "" // its answer is a list, which is kept as such
	var err error
	n.Request, _, err = look(ctx, conn, keyless, func(b *pgx.Batch) {
		n.queueLook(b)
		again.queue(b, e.Request)
	})
	if err != nil {
		return nil, err
	}
	if out, err := again.answer(e.Request); err != nil || out != nil {
		return out, err
	}
	if err := n.judge(ctx, conn, a.authz); err != nil {
		return nil, err
	}
	records, err := n.records(n.Request)
	if err != nil {
		return nil, err
	}
	out := each(records, func(r record) Enrolled { return Enrolled{r.op.ID, r.op.ResourceName, r.op.ResourceID} })
	if err := keepImport(ctx, conn, e.Request, out); err != nil {
		return nil, err
	}
	return out, n.write(ctx, conn, records)
}

// CheckBaremetals judges servers as accepting them would, and changes nothing. It returns them as they would be recorded.
func (a *Accepter) CheckBaremetals(ctx context.Context, e Enrolment) ([]store.Baremetal, error) {
	return retryWithin(ctx, enrolPatience, func(ctx context.Context) (out []store.Baremetal, err error) {
		err = a.transaction(ctx, func(conn *pgxpool.Conn) error {
			n := newcomers{Enrolment: e}
			e.Key = ""
			if n.Request, _, err = look(ctx, conn, e.Request, n.queueLook); err != nil {
				return err
			}
			if err := n.judge(ctx, conn, a.authz); err != nil {
				return err
			}
			out = each(n.rows, newcomer.view)
			return nil // and the transaction is rolled back
		})
		return out, err
	})
}

// earlierImport is what an import's idempotency key was used for before.
type earlierImport struct {
	found    bool
	hash     []byte
	response []byte
}

func (k *earlierImport) queue(b *pgx.Batch, req Request) {
	if req.Key == "" {
		return
	}
	b.Queue(`SELECT request_hash, response FROM idempotency_keys WHERE actor_id = $1 AND key = $2`, req.Actor.ID, req.Key).QueryRow(func(row pgx.Row) error {
		return ifAny(row.Scan(&k.hash, &k.response), func() { k.found = true })
	})
}

// answer is the one that the key got before, or nil if it is new.
func (k *earlierImport) answer(req Request) ([]Enrolled, error) {
	if !k.found {
		return nil, nil
	}
	var out []Enrolled
	if !bytes.Equal(k.hash, req.Hash) || k.response == nil {
		return nil, models.Faultf(models.CodeKeyReused, "The Idempotency-Key %q was used for another request before. Use a new key for a new request.", req.Key)
	}
	if err := json.Unmarshal(k.response, &out); err != nil {
		return nil, fmt.Errorf("read the answer kept for an idempotency key: %w", err)
	}
	return out, nil
}

func keepImport(ctx context.Context, conn *pgxpool.Conn, req Request, out []Enrolled) error {
	if req.Key == "" {
		return nil
	}
	raw, err := json.Marshal(out)
	if err != nil {
		return fmt.Errorf("encode the answer to an import: %w", err)
	}
	_, err = conn.Exec(ctx, `INSERT INTO idempotency_keys (actor_id, key, request_hash, status, response) VALUES ($1, $2, $3, 202, $4::jsonb)`, req.Actor.ID, req.Key, req.Hash, string(raw))
	return err
}

// newcomer is a server on its way through a transaction.
type newcomer struct {
	Newcomer
	row    models.Baremetal
	sealed vault.Sealed
	rack   *spot
	group  *spot
}

// view is the server as the API would show it.
func (n newcomer) view() store.Baremetal {
	out := store.Baremetal{Baremetal: n.row, BMCAddress: &n.Address, BMCProtocol: &n.Protocol, BMCFingerprint: &n.Fingerprint, BMCUsername: &n.Username}
	if n.rack != nil {
		out.Rack = &n.rack.name
	}
	if n.group != nil {
		out.Group = &n.group.name
	}
	return out
}

// records makes the operation of every newcomer.
func (n *newcomers) records(req Request) ([]record, error) {
	out := make([]record, len(n.rows))
	for i, one := range n.rows {
		o := contract.Operation{
			ID: models.NewID(), Kind: contract.BaremetalEnroll.Name, Region: n.Region, ResourceKind: "baremetal", ResourceID: one.row.ID, ResourceName: one.row.Name,
			Actor: req.Actor.Name, Trace: req.Origin.Trace,
		}
		op, err := operation(req, o, contract.BaremetalEnrollInput{Operation: o, Rotate: one.Rotate})
		if err != nil {
			return nil, err
		}
		out[i] = record{Request: req, op: op, action: contract.BaremetalEnroll.Name}
	}
	return out, nil
}

const (
	insertBaremetals = `
INSERT INTO baremetals (id, region, name, role, state, hardware_uuid, serial, rack_id, rack_unit, rack_height, group_id, labels)
SELECT n.id, $1, n.name, 'spare', 'enrolling', '', n.serial, n.rack, n.unit, n.height, n.grp, n.labels
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::int[], $7::int[], $8::uuid[], $9::jsonb[]) AS n (id, name, serial, rack, unit, height, grp, labels)`

	insertBMCs = `
INSERT INTO bmcs (baremetal_id, region, address, protocol, fingerprint, username, key_id, password)
SELECT n.id, $1, n.address, n.protocol, n.fingerprint, n.username, n.key_id, n.password
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[]) AS n (id, address, protocol, fingerprint, username, key_id, password)`

	insertMACs = `INSERT INTO baremetal_macs (mac, baremetal_id, given) SELECT n.mac, n.id, true FROM unnest($1::text[], $2::uuid[]) AS n (mac, id) WHERE n.mac <> ''`
)

func (n *newcomers) write(ctx context.Context, conn *pgxpool.Conn, records []record) error {
	rows := n.rows
	for i := range rows {
		var err error
		if rows[i].sealed, err = n.Keys.SealPassword(rows[i].row.ID, rows[i].Password); err != nil {
			return err
		}
	}
	labels := make([]string, len(rows))
	for i, one := range rows {
		raw, err := json.Marshal(one.row.Labels)
		if err != nil {
			return fmt.Errorf("encode labels: %w", err)
		}
		labels[i] = string(raw)
	}
	ids := each(rows, func(one newcomer) models.ID { return one.row.ID })
	b := &pgx.Batch{}
	b.Queue(insertBaremetals, n.Region, ids, each(rows, func(one newcomer) string { return one.row.Name }), each(rows, func(one newcomer) string { return one.row.Serial }),
		each(rows, func(one newcomer) *models.ID { return one.row.RackID }), each(rows, func(one newcomer) int32 { return int32(one.row.RackUnit) }),
		each(rows, func(one newcomer) int32 { return int32(one.row.RackHeight) }), each(rows, func(one newcomer) *models.ID { return one.row.GroupID }), labels)
	b.Queue(insertBMCs, n.Region, ids, each(rows, func(one newcomer) string { return one.Address }), each(rows, func(one newcomer) string { return string(one.Protocol) }),
		each(rows, func(one newcomer) string { return one.Fingerprint }), each(rows, func(one newcomer) string { return one.Username }),
		each(rows, func(one newcomer) string { return one.sealed.KeyID }), each(rows, func(one newcomer) []byte { return one.sealed.Data }))
	b.Queue(insertMACs, each(rows, func(one newcomer) string { return one.MAC }), ids)
	queueRecords(b, records)
	b.Queue("COMMIT")
	return send(ctx, conn, b)
}

// judge says whether the actor may bring these servers in, and everything that is against it.
func (n *newcomers) judge(ctx context.Context, conn *pgxpool.Conn, auth *authz.Authorizer) error {
	if err := auth.Check(n.Actor, contract.BaremetalEnroll.Name, authz.Resource{Kind: "baremetal"}); err != nil {
		return err
	}
	if n.region == nil {
		return invalid("body.region", "there is no such region")
	}
	n.place()
	if err := n.lookAround(ctx, conn); err != nil {
		return err
	}
	n.compare()
	return n.verdict()
}
