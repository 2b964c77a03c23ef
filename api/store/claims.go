package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// claimant is the machine that a BMC was asked about, as it is recorded.
type claimant struct {
	ID                                        models.ID
	Region, Name, UUID, Serial, Vendor, Model string
	Address                                   string // of its BMC
}

const (
	lockClaimant = `
SELECT b.id, b.region, b.name, b.hardware_uuid, b.serial, b.vendor, b.model, m.address
FROM baremetals b JOIN bmcs m ON m.baremetal_id = b.id WHERE b.id = $1 FOR UPDATE`

	claimIdentity = `
UPDATE baremetals SET hardware_uuid = $2, serial = $3, vendor = $4, model = $5, version = version + 1, updated_at = now()
WHERE id = $1 AND (hardware_uuid, serial, vendor, model) IS DISTINCT FROM ($2, $3, $4, $5)`

	// claimBMC pins the certificate that the BMC showed at its first contact. One that was given stays: the region has
	// refused to speak to any other.
	claimBMC = `
UPDATE bmcs SET protocol = $2, fingerprint = CASE WHEN fingerprint = '' THEN $3 ELSE fingerprint END,
	console = coalesce(nullif($4, ''), console), updated_at = now() WHERE baremetal_id = $1`

	// twin is another machine with this identity. Serials of nobody knows whose make are taken to be of the same one.
	twin = `
SELECT b.name, b.region, b.role, coalesce(r.name, ''), b.rack_unit, b.hardware_uuid = ANY ($3) AND b.region = $2, m.baremetal_id IS NOT NULL
FROM baremetals b LEFT JOIN racks r ON r.id = b.rack_id LEFT JOIN bmcs m ON m.baremetal_id = b.id
WHERE b.id <> $1 AND ((b.region = $2 AND b.hardware_uuid = ANY ($3)) OR ($4 <> '' AND b.vendor = $5 AND (b.serial = $4 OR $5 = '' AND lower(b.serial) = lower($4))))
ORDER BY b.id LIMIT 1`
)

// ClaimBaremetal records what a machine says it is, unless another machine says the same, or it is not what it was.
func (s *Store) ClaimBaremetal(ctx context.Context, in contract.ClaimInput) (contract.None, error) {
	err := s.tryClaim(ctx, in)
	if v := Violated(err); v == "baremetals_hardware" || v == "baremetals_serial" || v == "baremetals_expected" { // another claim was faster, and is to be seen now
		err = s.tryClaim(ctx, in)
	}
	if err != nil {
		return contract.None{}, fmt.Errorf("record what baremetal %s is: %w", in.BaremetalID, err)
	}
	return contract.None{}, nil
}

func (s *Store) tryClaim(ctx context.Context, in contract.ClaimInput) error {
	return pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		var c claimant
		err := tx.QueryRow(ctx, lockClaimant, in.BaremetalID).Scan(&c.ID, &c.Region, &c.Name, &c.UUID, &c.Serial, &c.Vendor, &c.Model, &c.Address)
		if errors.Is(err, pgx.ErrNoRows) {
			return noBMC(in.BaremetalID)
		}
		if err != nil {
			return err
		}
		is, err := c.become(in.Probed.Identity)
		if err != nil {
			return err
		}
		if err := refuseTwin(ctx, tx, c, is); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, claimIdentity, c.ID, is.UUID, is.Serial, is.Vendor, is.Model); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, claimBMC, c.ID, in.Probed.Protocol, strings.ToLower(in.Probed.Fingerprint), in.Probed.Console); err != nil {
			return err
		}
		return writeBaremetalAudit(ctx, tx, contract.BaremetalClaim.Name, contract.AccessInput{OperationID: in.OperationID, BaremetalID: c.ID}, in.Probed)
	})
}

// become is what the row says when it knows what the BMC said. What the BMC does not say stays as it is.
func (c claimant) become(said models.HardwareIdentity) (models.HardwareIdentity, error) {
	is := models.HardwareIdentity{UUID: models.UsableUUID(said.UUID), Serial: models.UsableSerial(said.Serial), Vendor: strings.TrimSpace(said.Vendor), Model: strings.TrimSpace(said.Model)}
	if is.UUID == "" && is.Serial == "" && c.UUID == "" {
		return is, models.Faultf(models.CodeInvalidSpec, "The BMC at %s names nothing that tells the server %s from others: its serial is %q, its UUID is %q. Write the serial into the server's firmware, then resume or enrol it again.",
			c.Address, c.Name, said.Serial, said.UUID)
	}
	if c.Serial != "" && is.Serial != "" && !strings.EqualFold(c.Serial, is.Serial) {
		return is, models.Faultf(models.CodeIdentityChanged, "The server %s should have the serial %s, but the BMC at %s answers for one with the serial %s. Nothing was recorded. Find out which server answers there.", c.Name, c.Serial, c.Address, is.Serial)
	}
	if c.UUID != "" && is.UUID != "" && !slices.Contains([]string{is.UUID, models.SwappedUUID(is.UUID)}, strings.ToLower(c.UUID)) {
		return is, models.Faultf(models.CodeIdentityChanged, "The server %s has the hardware UUID %s, but the BMC at %s answers for one with %s. Nothing was recorded. Find out which server answers there.", c.Name, c.UUID, c.Address, is.UUID)
	}
	if c.UUID != "" {
		is.UUID = c.UUID // in the spelling by which it is known
	}
	for _, f := range []struct {
		now   *string
		known string
	}{{&is.Serial, c.Serial}, {&is.Vendor, c.Vendor}, {&is.Model, c.Model}} {
		if *f.now == "" {
			*f.now = f.known
		}
	}
	return is, nil
}

func refuseTwin(ctx context.Context, tx pgx.Tx, c claimant, is models.HardwareIdentity) error {
	uuids := []string{}
	if is.UUID != "" {
		uuids = append(uuids, is.UUID, models.SwappedUUID(is.UUID))
	}
	var other struct {
		name, region, role, rack string
		unit                     int
		byUUID, hasBMC           bool
	}
	err := tx.QueryRow(ctx, twin, c.ID, c.Region, uuids, is.Serial, is.Vendor).
		Scan(&other.name, &other.region, &other.role, &other.rack, &other.unit, &other.byUUID, &other.hasBMC)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	alike := "serial " + is.Serial
	if other.byUUID {
		alike = "hardware UUID " + is.UUID
	}
	where := "in region " + other.region
	if other.rack != "" {
		where += fmt.Sprintf(", rack %s", other.rack)
		if other.unit > 0 {
			where += fmt.Sprintf(", unit %d", other.unit)
		}
	}
	remedy := "Operate that one, or retire it first."
	if other.role == models.RoleHypervisor && !other.hasBMC {
		remedy = fmt.Sprintf("That one was imported from its vCenter and has no BMC yet: cancel this, and give it this BMC with PUT /v1/baremetals/{id}/bmc, or yunshu baremetal set-bmc %s.", other.name)
	}
	return models.Faultf(models.CodeDuplicateMachine, "The server at the BMC %s is here already: %s, %s, has the same %s. %s", c.Address, other.name, where, alike, remedy)
}
