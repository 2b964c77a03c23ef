-- The few rules that several statements share, next to the data.
-- +goose Up

-- A statement of the accept transaction that touched fewer rows than it had to lost a race: the whole transaction fails
-- with SQLSTATE YS001 and the accept tries again.
-- +goose StatementBegin
CREATE FUNCTION must_touch(touched bigint, wanted bigint, what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF touched <> wanted THEN
        RAISE EXCEPTION '% of % % could be taken', touched, wanted, what USING ERRCODE = 'YS001';
    END IF;
END $$;
-- +goose StatementEnd

-- Quota rows that an allocation of a tenant in a group counts against: of the tenant and all its ancestors, everywhere
-- and in the group.
-- +goose StatementBegin
CREATE FUNCTION quotas_of(tenant uuid, grp uuid) RETURNS SETOF quotas LANGUAGE sql STABLE AS $$
    SELECT q.* FROM tenants t JOIN quotas q ON q.tenant_id = ANY (t.path)
    WHERE t.id = tenant AND (q.group_id IS NULL OR q.group_id = grp)
$$;
-- +goose StatementEnd

-- Recomputes the hot side of hypervisors from their baremetal, their group's ratios and the ledger. The caller holds
-- the structure lock exclusively, so that no accept is under way.
-- +goose StatementBegin
CREATE FUNCTION refresh_hypervisors(ids uuid[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO hypervisors AS h
    SELECT b.id, b.group_id, b.rack_id,
        b.role = 'hypervisor' AND b.group_id IS NOT NULL AND b.connected AND NOT b.maintenance AND NOT b.provider_maintenance
            AND b.state IN ('available', 'in_use'),
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
        FROM allocations a WHERE a.baremetal_id = b.id) a
    WHERE b.id = ANY (ids) AND b.role = 'hypervisor'
    ON CONFLICT (baremetal_id) DO UPDATE SET
        group_id = excluded.group_id, rack_id = excluded.rack_id, placeable = excluded.placeable,
        vcpu_total = excluded.vcpu_total, memory_mib_total = excluded.memory_mib_total,
        storage_gib_total = excluded.storage_gib_total, gpu_total = excluded.gpu_total,
        vcpu_free = excluded.vcpu_free, memory_mib_free = excluded.memory_mib_free,
        storage_gib_free = excluded.storage_gib_free, gpu_free = excluded.gpu_free
$$;
-- +goose StatementEnd

-- Gives back what a resource takes: its host's room, its addresses and its quota, in the order in which accepts take
-- them. Of what is already released it does nothing.
-- +goose StatementBegin
CREATE FUNCTION release(resource uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    a allocations;
BEGIN
    SELECT * INTO a FROM allocations WHERE resource_id = resource FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE hypervisors SET vcpu_free = vcpu_free + a.vcpu, memory_mib_free = memory_mib_free + a.memory_mib,
        storage_gib_free = storage_gib_free + a.storage_gib, gpu_free = gpu_free + a.gpu
    WHERE baremetal_id = a.baremetal_id;
    DELETE FROM ip_addresses WHERE vm_id = resource;
    DELETE FROM vms WHERE id = resource;
    DELETE FROM allocations WHERE resource_id = resource;
    PERFORM give_back(a);
END $$;
-- +goose StatementEnd

-- Takes an amount off every quota row that it counts against.
-- +goose StatementBegin
CREATE FUNCTION give_back(a allocations) RETURNS void LANGUAGE sql AS $$
    UPDATE quotas q SET
        vcpu_used = q.vcpu_used - a.vcpu, memory_mib_used = q.memory_mib_used - a.memory_mib,
        storage_gib_used = q.storage_gib_used - a.storage_gib, gpu_used = q.gpu_used - a.gpu,
        vms_used = q.vms_used - a.vms, baremetals_used = q.baremetals_used - a.baremetals,
        clusters_used = q.clusters_used - a.clusters, ip_addresses_used = q.ip_addresses_used - a.ip_addresses
    FROM (SELECT id FROM quotas WHERE id IN (SELECT id FROM quotas_of(a.tenant_id, a.group_id)) ORDER BY id FOR UPDATE) o
    WHERE q.id = o.id
$$;
-- +goose StatementEnd

-- Brings an allocation to the size that its machine really has, in host room, ledger and quota.
-- +goose StatementBegin
CREATE FUNCTION settle_size(resource uuid, vcpu_now bigint, memory_now bigint, storage_now bigint, gpu_now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    a allocations;
BEGIN
    SELECT * INTO a FROM allocations WHERE resource_id = resource FOR UPDATE;
    IF NOT FOUND OR (a.vcpu, a.memory_mib, a.storage_gib, a.gpu) = (vcpu_now, memory_now, storage_now, gpu_now) THEN
        RETURN;
    END IF;
    a.vcpu := a.vcpu - vcpu_now; a.memory_mib := a.memory_mib - memory_now;
    a.storage_gib := a.storage_gib - storage_now; a.gpu := a.gpu - gpu_now;
    a.vms := 0; a.baremetals := 0; a.clusters := 0; a.ip_addresses := 0;
    UPDATE hypervisors SET vcpu_free = vcpu_free + a.vcpu, memory_mib_free = memory_mib_free + a.memory_mib,
        storage_gib_free = storage_gib_free + a.storage_gib, gpu_free = gpu_free + a.gpu
    WHERE baremetal_id = a.baremetal_id;
    UPDATE allocations SET vcpu = vcpu_now, memory_mib = memory_now, storage_gib = storage_now, gpu = gpu_now
    WHERE resource_id = resource;
    PERFORM give_back(a);
END $$;
-- +goose StatementEnd
