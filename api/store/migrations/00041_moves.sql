-- Machines on their way to another host, and why and until when a host is in maintenance.
-- +goose Up

ALTER TABLE baremetals
    ADD COLUMN maintenance_reason text NOT NULL DEFAULT '',
    ADD COLUMN maintenance_until  timestamptz,               -- when it should be over
    ADD COLUMN maintenance_by     text NOT NULL DEFAULT '';  -- who marked it

-- A machine that an operation moves takes room on both hosts: where it is, by the ledger, and where it goes, by this
-- row. So free = total - sum(allocations) - sum(moves), always. The row ends with its operation.
CREATE TABLE moves (
    vm_id        uuid PRIMARY KEY REFERENCES vms (id),
    operation_id uuid NOT NULL REFERENCES operations (id),
    baremetal_id uuid NOT NULL REFERENCES baremetals (id), -- where it goes
    vcpu         bigint NOT NULL,
    memory_mib   bigint NOT NULL,
    storage_gib  bigint NOT NULL,
    gpu          bigint NOT NULL,
    CONSTRAINT moves_operation UNIQUE (operation_id)
);
CREATE INDEX moves_baremetal ON moves (baremetal_id);

-- Recomputes the hot side of hypervisors from their baremetal, their group's ratios, the ledger and what is on its way
-- to them. The caller holds the structure lock exclusively, so that no accept is under way.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refresh_hypervisors(ids uuid[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO hypervisors AS h
    SELECT b.id, b.group_id, b.rack_id,
        b.role = 'hypervisor' AND b.group_id IS NOT NULL AND b.connected AND NOT b.maintenance AND NOT b.provider_maintenance
            AND NOT b.unfit AND b.state IN ('available', 'in_use'),
        t.vcpu, t.memory_mib, t.storage_gib, t.gpu,
        t.vcpu - a.vcpu, t.memory_mib - a.memory_mib, t.storage_gib - a.storage_gib, t.gpu - a.gpu
    FROM baremetals b
    LEFT JOIN groups g ON g.id = b.group_id
    CROSS JOIN LATERAL (SELECT
        floor(b.vcpu * coalesce(g.vcpu_ratio, 1))::bigint AS vcpu,
        floor(b.memory_mib * coalesce(g.memory_ratio, 1))::bigint AS memory_mib,
        floor(b.storage_gib * coalesce(g.storage_ratio, 1))::bigint AS storage_gib,
        b.gpu AS gpu) t
    CROSS JOIN LATERAL (SELECT
        coalesce(sum(a.vcpu), 0)::bigint AS vcpu, coalesce(sum(a.memory_mib), 0)::bigint AS memory_mib,
        coalesce(sum(a.storage_gib), 0)::bigint AS storage_gib, coalesce(sum(a.gpu), 0)::bigint AS gpu
        FROM (SELECT vcpu, memory_mib, storage_gib, gpu FROM allocations WHERE baremetal_id = b.id
            UNION ALL SELECT vcpu, memory_mib, storage_gib, gpu FROM moves WHERE baremetal_id = b.id) a) a
    WHERE b.id = ANY (ids) AND b.role = 'hypervisor'
    ON CONFLICT (baremetal_id) DO UPDATE SET
        group_id = excluded.group_id, rack_id = excluded.rack_id, placeable = excluded.placeable,
        vcpu_total = excluded.vcpu_total, memory_mib_total = excluded.memory_mib_total,
        storage_gib_total = excluded.storage_gib_total, gpu_total = excluded.gpu_total,
        vcpu_free = excluded.vcpu_free, memory_mib_free = excluded.memory_mib_free,
        storage_gib_free = excluded.storage_gib_free, gpu_free = excluded.gpu_free
$$;
-- +goose StatementEnd

-- Ends the move of an operation by where its machine is now, as the provider calls that host. On the host where it
-- should go, the ledger and the machine follow and the host that it left gets its room back; anywhere else, and where
-- nobody knows, the host where it should go does. Of an operation that moves nothing it does nothing.
-- +goose StatementBegin
CREATE FUNCTION settle_move(operation uuid, host text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    m moves;
    a allocations;
    arrived boolean;
BEGIN
    DELETE FROM moves WHERE operation_id = operation RETURNING * INTO m;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT * INTO a FROM allocations WHERE resource_id = m.vm_id FOR UPDATE;
    PERFORM FROM hypervisors WHERE baremetal_id IN (a.baremetal_id, m.baremetal_id) ORDER BY baremetal_id FOR UPDATE;
    arrived := host <> '' AND EXISTS (SELECT FROM baremetals WHERE id = m.baremetal_id AND provider_ref = host);
    UPDATE hypervisors SET vcpu_free = vcpu_free + m.vcpu, memory_mib_free = memory_mib_free + m.memory_mib,
        storage_gib_free = storage_gib_free + m.storage_gib, gpu_free = gpu_free + m.gpu
    WHERE baremetal_id = m.baremetal_id;
    IF NOT arrived THEN
        RETURN;
    END IF;
    UPDATE hypervisors h SET vcpu_free = h.vcpu_free + s.sign * a.vcpu, memory_mib_free = h.memory_mib_free + s.sign * a.memory_mib,
        storage_gib_free = h.storage_gib_free + s.sign * a.storage_gib, gpu_free = h.gpu_free + s.sign * a.gpu
    FROM (VALUES (a.baremetal_id, 1), (m.baremetal_id, -1)) AS s (id, sign)
    WHERE h.baremetal_id = s.id;
    UPDATE allocations SET baremetal_id = m.baremetal_id WHERE resource_id = m.vm_id;
    UPDATE vms SET baremetal_id = m.baremetal_id WHERE id = m.vm_id;
END $$;
-- +goose StatementEnd
