-- A tenant that is suspended, what a tenant promises to those below it, and what was used over time.
-- +goose Up

ALTER TABLE tenants
    ADD COLUMN suspended_at timestamptz,                   -- since when it itself is suspended
    ADD COLUMN frozen       boolean NOT NULL DEFAULT false, -- it, or a tenant above it, is suspended: reads only
    ADD COLUMN overcommit   boolean NOT NULL DEFAULT false; -- those below it may be promised more than it has

-- Counts anew, from the ledger, what the tenants and everything below them use. The caller holds the structure lock
-- alone, so that nobody takes or gives back meanwhile.
-- +goose StatementBegin
CREATE FUNCTION recount_quotas(tenants uuid[]) RETURNS void LANGUAGE sql AS $$
    UPDATE quotas q SET
        vcpu_used = s.vcpu, memory_mib_used = s.memory_mib, storage_gib_used = s.storage_gib, gpu_used = s.gpu,
        vms_used = s.vms, baremetals_used = s.baremetals, clusters_used = s.clusters, ip_addresses_used = s.ip_addresses
    FROM quotas o CROSS JOIN LATERAL (
        SELECT coalesce(sum(a.vcpu), 0) AS vcpu, coalesce(sum(a.memory_mib), 0) AS memory_mib, coalesce(sum(a.storage_gib), 0) AS storage_gib,
            coalesce(sum(a.gpu), 0) AS gpu, coalesce(sum(a.vms), 0) AS vms, coalesce(sum(a.baremetals), 0) AS baremetals,
            coalesce(sum(a.clusters), 0) AS clusters, coalesce(sum(a.ip_addresses), 0) AS ip_addresses
        FROM allocations a JOIN tenants t ON t.id = a.tenant_id
        WHERE t.path @> ARRAY[o.tenant_id] AND (o.group_id IS NULL OR a.group_id = o.group_id)) s
    WHERE o.tenant_id = ANY ($1) AND q.id = o.id
$$;
-- +goose StatementEnd

-- What each tenant and everything below it used at the end of each day; of today, until now.
CREATE TABLE usage_days (
    day          date   NOT NULL,
    tenant_id    uuid   NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    vcpu         bigint NOT NULL,
    memory_mib   bigint NOT NULL,
    storage_gib  bigint NOT NULL,
    gpu          bigint NOT NULL,
    vms          bigint NOT NULL,
    baremetals   bigint NOT NULL,
    clusters     bigint NOT NULL,
    ip_addresses bigint NOT NULL,
    counted_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, day)
);

-- A quota that was filled beyond a threshold. It is open until use is below it again, and there is one for each
-- crossing.
CREATE TABLE quota_events (
    id         uuid PRIMARY KEY,
    quota_id   uuid   NOT NULL REFERENCES quotas (id) ON DELETE CASCADE,
    tenant_id  uuid   NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    resource   text   NOT NULL,
    threshold  bigint NOT NULL, -- in percent
    used       bigint NOT NULL, -- when it was raised
    max        bigint NOT NULL,
    raised_at  timestamptz NOT NULL DEFAULT now(),
    cleared_at timestamptz
);
CREATE UNIQUE INDEX quota_events_open ON quota_events (quota_id, resource, threshold) WHERE cleared_at IS NULL;
CREATE INDEX quota_events_tenant ON quota_events (tenant_id, id);

-- +goose Down
DROP TABLE quota_events;
DROP TABLE usage_days;
DROP FUNCTION recount_quotas;
ALTER TABLE tenants DROP COLUMN suspended_at, DROP COLUMN frozen, DROP COLUMN overcommit;
