package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"gorm.io/gorm"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

const (
	// bootLife is how long a machine may take from being told to boot until its image reports.
	bootLife = 30 * time.Minute
	// wipeLife is how long the wipe image may take for large disks, once it has its token.
	wipeLife = 25 * time.Hour
)

// expectBoot writes a boot only for an operation that is under way on this very machine: a workflow that was overtaken
// changes nothing.
const expectBoot = `
WITH image AS (SELECT id FROM images WHERE name = $4),
	written AS (
	INSERT INTO boots (baremetal_id, operation_id, purpose, image_id, hostname, expires_at)
	SELECT o.resource_id, o.id, $3, i.id, $5, now() + $6::interval
	FROM operations o, image i WHERE o.id = $1 AND o.resource_id = $2 AND o.state IN ` + active + `
	ON CONFLICT (baremetal_id) DO UPDATE SET operation_id = excluded.operation_id, purpose = excluded.purpose, image_id = excluded.image_id,
		hostname = excluded.hostname, expires_at = excluded.expires_at, token_hash = NULL, reported_at = NULL, report = NULL
	RETURNING 1)
SELECT EXISTS (SELECT FROM image), EXISTS (SELECT FROM written)`

// ExpectBoot makes the gateway ready for a report of a machine that is about to boot, and forgets what was reported before.
func (s *Store) ExpectBoot(ctx context.Context, in contract.BootExpectInput) error {
	var image, written bool
	err := s.Pool.QueryRow(ctx, expectBoot, in.OperationID, in.BaremetalID, in.Boot.Purpose, in.Boot.Image, in.Boot.Hostname, bootLife).Scan(&image, &written)
	switch {
	case err != nil:
		return fmt.Errorf("expect a boot of baremetal %s: %w", in.BaremetalID, err)
	case !image:
		return models.Faultf(models.CodeTemplateMissing, "The image %s, which the machine was to boot, is no longer there. Add it again, then resume.", in.Boot.Image)
	case !written:
		return models.Faultf(models.CodeWrongState, "Operation %s is not under way on this machine, so no boot of it is expected.", in.OperationID)
	}
	return nil
}

// BootReported tells what the image of an operation's boot reported, if it did.
func (s *Store) BootReported(ctx context.Context, ref contract.BootRef) (contract.BootReport, error) {
	var raw []byte
	var begun, reported bool
	err := s.Pool.QueryRow(ctx, "SELECT report, token_hash IS NOT NULL, reported_at IS NOT NULL FROM boots WHERE baremetal_id = $1 AND operation_id = $2", ref.BaremetalID, ref.OperationID).Scan(&raw, &begun, &reported)
	if NotFound(err) {
		return contract.BootReport{}, nil
	}
	if err != nil {
		return contract.BootReport{}, fmt.Errorf("look for the report of baremetal %s: %w", ref.BaremetalID, err)
	}
	out := contract.BootReport{Begun: begun}
	if !reported {
		return out, nil
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		return contract.BootReport{}, fmt.Errorf("read the report of baremetal %s: %w", ref.BaremetalID, err)
	}
	return out, nil
}

// CloseBoot ends the wait for a report: its token is good for nothing any more.
func (s *Store) CloseBoot(ctx context.Context, ref contract.BootRef) error {
	if _, err := s.Pool.Exec(ctx, "DELETE FROM boots WHERE baremetal_id = $1 AND operation_id = $2", ref.BaremetalID, ref.OperationID); err != nil {
		return fmt.Errorf("close the boot of baremetal %s: %w", ref.BaremetalID, err)
	}
	return nil
}

// Boot is what a machine is to boot now.
type Boot struct {
	Purpose  models.BootPurpose
	Hostname string
	Netboot  models.Netboot
	Token    string // for its report; it is not kept
	Hardware string // id of the machine that is meant; empty: it is not known
}

// expectedBoots are the machines with one of the interfaces ($1) that are to boot an image now. The first step asks the
// index of interfaces alone: who is unknown costs no more. What an operation left that could not clean up, such as one
// whose workflow was lost, is none: nobody wants that wipe any more.
const expectedBoots = `
SELECT b.id, b.hardware_uuid, x.purpose, x.hostname, coalesce(i.boot -> b.region, '{}')
FROM (SELECT DISTINCT baremetal_id FROM baremetal_macs WHERE mac = ANY ($1)) m
JOIN boots x ON x.baremetal_id = m.baremetal_id AND x.reported_at IS NULL AND x.expires_at > now()
JOIN operations o ON o.id = x.operation_id AND o.state IN ` + active + `
JOIN baremetals b ON b.id = m.baremetal_id
LEFT JOIN images i ON i.id = x.image_id`

// BootClaim is what a machine that is about to boot says that it is.
type BootClaim struct {
	MACs     []string // lower case, with colons
	Hardware string   // id, which must be that of the machine where that is known
	Network  bool     // it boots from the network: iPXE tells no id, and needs a kernel
}

// ClaimBoot gives a machine that is known by its interfaces what it is to boot, with a token that replaces the one before.
// It returns nil for everybody else, and for
// interfaces that several machines claim to have: nobody can tell which of them asks.
func (s *Store) ClaimBoot(ctx context.Context, c BootClaim) (*Boot, error) {
	var id models.ID
	var known string
	var found []Boot
	rows, err := s.Pool.Query(ctx, expectedBoots, c.MACs)
	if err != nil {
		return nil, fmt.Errorf("look for a boot: %w", err)
	}
	var boot Boot
	_, err = pgx.ForEachRow(rows, []any{&id, &known, &boot.Purpose, &boot.Hostname, &boot.Netboot}, func() error {
		found = append(found, boot)
		boot = Boot{}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for a boot: %w", err)
	}
	switch {
	case len(found) != 1, c.Network && !found[0].Netboot.Network():
		return nil, nil
	case !c.Network && known != "" && (models.UsableUUID(c.Hardware) == "" || !sameHardware(known, c.Hardware)):
		return nil, nil
	}
	found[0].Hardware = known
	return s.issue(ctx, id, found[0])
}

// issue makes the token of a boot.
func (s *Store) issue(ctx context.Context, machine models.ID, b Boot) (*Boot, error) {
	var secret [32]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return nil, fmt.Errorf("make a token: %w", err)
	}
	b.Token = base64.RawURLEncoding.EncodeToString(secret[:])
	hash := sha256.Sum256([]byte(b.Token))
	done, err := s.Pool.Exec(ctx, `UPDATE boots SET token_hash = $2, expires_at = CASE WHEN purpose = 'wipe' THEN greatest(expires_at, now() + $3::interval) ELSE expires_at END
		WHERE baremetal_id = $1 AND reported_at IS NULL AND expires_at > now()`, machine, hash[:], wipeLife)
	if err != nil {
		return nil, fmt.Errorf("keep the token of a boot: %w", err)
	}
	if done.RowsAffected() == 0 {
		return nil, nil // it ended meanwhile
	}
	return &b, nil
}

// sameHardware compares two hardware ids, however firmware writes them. One that is no id says nothing.
func sameHardware(known, told string) bool {
	told = models.UsableUUID(told)
	return told == "" || told == models.UsableUUID(known) || models.SwappedUUID(told) == models.UsableUUID(known)
}

// BootedReport is what an image tells of the machine that it was booted on.
type BootedReport struct {
	Purpose   models.BootPurpose
	Inventory *models.Inventory
	Wiped     []models.Wiped
	Error     string
}

// ErrNoBoot says that a token is unknown, used or expired.
var ErrNoBoot = errors.New("no boot is expected with this token")

type bootRow struct {
	BaremetalID  models.ID
	OperationID  models.ID
	Purpose      models.BootPurpose
	Name         string
	Serial       string
	HardwareUUID string
	TenantID     *models.ID
}

const bootByToken = `
SELECT x.baremetal_id, x.operation_id, x.purpose, b.name, b.serial, b.hardware_uuid, b.tenant_id
FROM boots x JOIN baremetals b ON b.id = x.baremetal_id JOIN operations o ON o.id = x.operation_id AND o.state IN ` + active + `
WHERE x.token_hash = ? AND x.reported_at IS NULL AND x.expires_at > now() FOR UPDATE OF x`

// ReportBoot takes the one report that a token is good for, with its audit event, in one transaction. The token is looked
// up by its hash, so that how long it takes tells nothing of it.
func (s *Store) ReportBoot(ctx context.Context, c Change, token string, r BootedReport) (machine string, err error) {
	hash := sha256.Sum256([]byte(token))
	err = s.DB.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		x, err := row[bootRow](tx, bootByToken, hash[:])
		if NotFound(err) {
			return ErrNoBoot
		}
		if err != nil {
			return fmt.Errorf("look up the token of a boot: %w", err)
		}
		machine = x.Name
		if err := x.accepts(r); err != nil {
			return err
		}
		raw, err := json.Marshal(contract.BootReport{Reported: true, Inventory: r.Inventory, Wiped: r.Wiped, Error: r.Error})
		if err != nil {
			return fmt.Errorf("encode the report of a boot: %w", err)
		}
		err = tx.Exec("UPDATE boots SET reported_at = now(), report = ?::jsonb, token_hash = NULL WHERE baremetal_id = ?", string(raw), x.BaremetalID).Error
		if err != nil {
			return fmt.Errorf("keep the report of a boot: %w", err)
		}
		c.Actor.Name, c.Action = "machine/"+x.Name, "boot.report"
		e := c.event(Subject{Kind: "baremetal", ID: x.BaremetalID.String(), Name: x.Name, TenantID: x.TenantID}, models.AuditDone)
		e.OperationID = &x.OperationID
		return writeAudit(tx, e, map[string]any{"purpose": r.Purpose, "disks_wiped": len(r.Wiped), "inventory": r.Inventory != nil, "error": r.Error})
	})
	return machine, err
}

// accepts refuses a report that is for something else, or of another machine than the one that was to boot.
func (x bootRow) accepts(r BootedReport) error {
	if r.Purpose != x.Purpose {
		return invalidReport("body.purpose", "the machine was booted for another purpose")
	}
	if r.Inventory == nil {
		return nil
	}
	if told := r.Inventory.UUID; told != "" && x.HardwareUUID != "" && !sameHardware(x.HardwareUUID, told) {
		return invalidReport("body.inventory.uuid", "is not that of the machine which was to boot")
	}
	if told := models.UsableSerial(r.Inventory.Serial); told != "" && x.Serial != "" && !strings.EqualFold(told, x.Serial) {
		return invalidReport("body.inventory.serial", "is not that of the machine which was to boot")
	}
	return nil
}

func invalidReport(field, message string) *models.Fault {
	f := models.Faultf(models.CodeInvalid, "The report is not taken: %s %s.", field, message)
	f.Fields = []models.FieldError{{Field: field, Message: message}}
	return f
}
