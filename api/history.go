package api

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// Version is what a resource was for a while.
type Version struct {
	From       time.Time       `json:"from" doc:"It was so from this time on." example:"2027-01-01T12:00:00Z"`
	Until      *time.Time      `json:"until,omitempty" doc:"It was so until this time; absent: it still is." example:"2027-01-01T13:00:00Z"`
	Removed    bool            `json:"removed,omitempty" doc:"At the end of this time it was removed." example:"false"`
	ChangedBy  *ChangedBy      `json:"changed_by,omitempty" doc:"Who made it so, as far as the audit log still says."`
	RemovedBy  *ChangedBy      `json:"removed_by,omitempty" doc:"Who removed it at the end."`
	Attributes json.RawMessage `json:"attributes" doc:"What it was like: its fields by the names of their columns, without secrets."`
}

// ChangedBy names the audit event of a change.
type ChangedBy struct {
	EventID     models.ID  `json:"event_id" format:"uuid" doc:"The event in the audit log." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Actor       string     `json:"actor" doc:"Who did it." example:"ada"`
	OnBehalfOf  string     `json:"on_behalf_of,omitempty" doc:"For whom." example:"ada"`
	Action      string     `json:"action" doc:"What they did." example:"vm.resize"`
	OperationID *models.ID `json:"operation_id,omitempty" format:"uuid" doc:"In which operation." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6d"`
}

type historyOfID struct {
	ByID
	Paging
}

type historyOfRegion struct {
	ByRegion
	Paging
}

// registerHistories gives every kind of resource a list of what it was.
func (a *API) registerHistories(h huma.API) {
	kinds := store.Histories()
	for _, plural := range slices.Sorted(maps.Keys(kinds)) {
		k := kinds[plural]
		e := endpoint{ID: "list-" + k.Kind + "-history", Method: http.MethodGet, Path: "/v1/" + plural + "/{id}/history", Action: k.Kind + ".read", Summary: "List what it was",
			Description: "Everything that it has been, the newest first; also of one that is gone."}
		if plural == "regions" {
			e.Path = "/v1/regions/{name}/history"
			register(h, e, func(ctx context.Context, in *historyOfRegion) (*ListOutput[Version], error) {
				return a.history(ctx, k, in.Name, in.Paging)
			})
			continue
		}
		register(h, e, func(ctx context.Context, in *historyOfID) (*ListOutput[Version], error) {
			return a.history(ctx, k, in.ID.String(), in.Paging)
		})
	}
}

func (a *API) history(ctx context.Context, k store.Versioned, id string, p Paging) (*ListOutput[Version], error) {
	filters := []string{"history", k.Kind, id}
	key, err := p.after(filters...)
	if err != nil {
		return nil, err
	}
	var after int64
	if key != "" {
		if after, err = strconv.ParseInt(key, 10, 64); err != nil || after < 1 {
			return nil, badToken()
		}
	}
	maintains := a.maintains(ctx, k.Kind, id)
	if !k.Owned() { // what is the platform's own is not said to be there, or not, to those who may not look
		if err := a.mayReadVersion(ctx, k, store.Version{}, maintains); err != nil {
			return nil, err
		}
	}
	// The row behind the page tells since when its last version was so.
	rows, err := a.store.History(ctx, k, id, after, p.Limit+1)
	if err != nil {
		return nil, err
	}
	visible, err := a.visibleVersions(ctx, k, rows, maintains)
	if err != nil {
		return nil, err
	}
	by, err := a.changes(ctx, k, id, rows)
	if err != nil {
		return nil, err
	}
	began := map[int64]store.Version{}
	for i := range rows[:len(rows)-1] {
		began[rows[i].Position] = rows[i+1]
	}
	wire := func(v store.Version) Version { return wireVersion(v, began, by) }
	return pageOf(p, visible, func(v store.Version) string { return strconv.FormatInt(v.Position, 10) }, wire, filters...), nil
}

// visibleVersions keeps what the actor may see: a resource may have had other owners before.
func (a *API) visibleVersions(ctx context.Context, k store.Versioned, rows []store.Version, maintains maintaining) ([]store.Version, error) {
	var out []store.Version
	refusal := error(models.Faultf(models.CodeNotFound, "There is no such %s that you can see.", k.Kind))
	for _, v := range rows {
		if err := a.mayReadVersion(ctx, k, v, maintains); err != nil {
			if len(rows) == 1 || models.IsCode(err, models.CodeForbidden) {
				refusal = err
			}
			continue
		}
		out = append(out, v)
	}
	if len(out) == 0 {
		return nil, refusal
	}
	return out, nil
}

// mayReadVersion is the right to read the resource, at the tenant that it belonged to then, or as its maintainer. What
// belonged to a tenant that is gone is there for those who see everything.
func (a *API) mayReadVersion(ctx context.Context, k store.Versioned, v store.Version, maintains maintaining) error {
	path, gone := v.Owner()
	if gone && !store.ScopeOf(actor(ctx)).All {
		return models.Faultf(models.CodeNotFound, "There is no such %s that you can see.", k.Kind)
	}
	_, err := a.checkMaintained(ctx, k.Kind+".read", authz.Resource{Kind: k.Kind, Path: path}, maintains)
	return err
}

// changes finds the audit events of the changes between versions.
func (a *API) changes(ctx context.Context, k store.Versioned, id string, rows []store.Version) (map[int64]models.AuditEvent, error) {
	transactions := []int64{}
	for _, v := range rows {
		if v.TxID != nil {
			transactions = append(transactions, *v.TxID)
		}
	}
	return a.store.ChangedBy(ctx, k.Kind, id, transactions)
}

// wireVersion joins a version to the one before it, whose end is its beginning.
func wireVersion(v store.Version, began map[int64]store.Version, by map[int64]models.AuditEvent) Version {
	out := Version{Until: utcOrNil(v.Until), Removed: v.Removed, Attributes: v.Image}
	if before, ok := began[v.Position]; ok {
		out.From, out.ChangedBy = before.Until.UTC(), changedBy(by, *before.TxID)
	} else {
		out.From, out.ChangedBy = madeAt(v.Image), changedBy(by, 0)
	}
	if v.Removed {
		out.RemovedBy = changedBy(by, *v.TxID)
	}
	return out
}

func utcOrNil(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	utc := t.UTC()
	return &utc
}

// madeAt is when the resource of an image was made.
func madeAt(image json.RawMessage) time.Time {
	var stamp struct {
		CreatedAt time.Time `json:"created_at"`
	}
	if err := json.Unmarshal(image, &stamp); err != nil {
		return time.Time{} // every versioned table has the column
	}
	return stamp.CreatedAt.UTC()
}

func changedBy(by map[int64]models.AuditEvent, transaction int64) *ChangedBy {
	e, ok := by[transaction]
	if !ok {
		return nil
	}
	return &ChangedBy{EventID: e.ID, Actor: e.Actor, OnBehalfOf: e.OnBehalfOf, Action: e.Action, OperationID: e.OperationID}
}

// pastVM is a VM as it was at a time.
func (a *API) pastVM(ctx context.Context, id models.ID, at time.Time) (*Resource[VM], error) {
	k := store.Histories()["vms"]
	v, err := a.store.VersionAt(ctx, k, id.String(), at)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, models.Faultf(models.CodeNotFound, "There was no such vm that you can see at that time.")
	}
	if err := a.mayReadVersion(ctx, k, *v, a.maintains(ctx, k.Kind, id.String())); err != nil {
		return nil, err
	}
	was, err := a.store.PastVM(ctx, *v, at)
	if err != nil {
		return nil, err
	}
	return &Resource[VM]{Body: vm(was)}, nil
}
