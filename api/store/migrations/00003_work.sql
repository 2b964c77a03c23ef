-- Virtual machines, what they take, and the operations that change them.
-- +goose Up

CREATE TABLE vms (
    id            uuid PRIMARY KEY,
    tenant_id     uuid NOT NULL REFERENCES tenants (id),
    name          text NOT NULL CHECK (name ~ '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$'),
    region        text NOT NULL,
    group_id      uuid NOT NULL REFERENCES groups (id),
    baremetal_id  uuid NOT NULL REFERENCES baremetals (id),
    image_id      uuid NOT NULL REFERENCES images (id),
    flavor_id     uuid REFERENCES flavors (id),
    subnet_id     uuid NOT NULL REFERENCES subnets (id),
    address       inet NOT NULL,
    state         text NOT NULL CHECK (state IN ('provisioning', 'running', 'stopped', 'updating', 'deleting', 'failed')),
    vcpu          bigint NOT NULL CHECK (vcpu > 0),
    memory_mib    bigint NOT NULL CHECK (memory_mib > 0),
    storage_gib   bigint NOT NULL CHECK (storage_gib > 0),
    gpu           bigint NOT NULL DEFAULT 0 CHECK (gpu >= 0),
    provider_ref  text NOT NULL DEFAULT '',
    hostname      text NOT NULL DEFAULT '',
    guest_addresses text[] NOT NULL DEFAULT '{}', -- as the guest reported them
    created_by    text NOT NULL,
    version       bigint NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT vms_name UNIQUE (tenant_id, name)
) WITH (fillfactor = 80);
CREATE INDEX vms_tenant ON vms (tenant_id, id);
CREATE INDEX vms_region ON vms (region, id);
CREATE INDEX vms_baremetal ON vms (baremetal_id);
CREATE INDEX vms_group ON vms (group_id);
CREATE INDEX vms_subnet ON vms (subnet_id);

-- The ledger: what each live resource takes. Quota use and host room are sums of it.
CREATE TABLE allocations (
    resource_id   uuid PRIMARY KEY,
    resource_kind text NOT NULL,
    tenant_id     uuid NOT NULL REFERENCES tenants (id),
    group_id      uuid,
    baremetal_id  uuid,
    vcpu          bigint NOT NULL DEFAULT 0,
    memory_mib    bigint NOT NULL DEFAULT 0,
    storage_gib   bigint NOT NULL DEFAULT 0,
    gpu           bigint NOT NULL DEFAULT 0,
    vms           bigint NOT NULL DEFAULT 0,
    baremetals    bigint NOT NULL DEFAULT 0,
    clusters      bigint NOT NULL DEFAULT 0,
    ip_addresses  bigint NOT NULL DEFAULT 0
);
CREATE INDEX allocations_tenant ON allocations (tenant_id, group_id);
CREATE INDEX allocations_baremetal ON allocations (baremetal_id) WHERE baremetal_id IS NOT NULL;

-- A limit of null is no limit. A tenant without a row takes no lock and costs nothing; its use is a sum of the ledger.
CREATE TABLE quotas (
    id                 uuid PRIMARY KEY,
    tenant_id          uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    group_id           uuid REFERENCES groups (id), -- null: everywhere
    vcpu_limit         bigint CHECK (vcpu_limit >= 0),
    memory_mib_limit   bigint CHECK (memory_mib_limit >= 0),
    storage_gib_limit  bigint CHECK (storage_gib_limit >= 0),
    gpu_limit          bigint CHECK (gpu_limit >= 0),
    vms_limit          bigint CHECK (vms_limit >= 0),
    baremetals_limit   bigint CHECK (baremetals_limit >= 0),
    clusters_limit     bigint CHECK (clusters_limit >= 0),
    ip_addresses_limit bigint CHECK (ip_addresses_limit >= 0),
    vcpu_used          bigint NOT NULL DEFAULT 0 CHECK (vcpu_used >= 0),
    memory_mib_used    bigint NOT NULL DEFAULT 0 CHECK (memory_mib_used >= 0),
    storage_gib_used   bigint NOT NULL DEFAULT 0 CHECK (storage_gib_used >= 0),
    gpu_used           bigint NOT NULL DEFAULT 0 CHECK (gpu_used >= 0),
    vms_used           bigint NOT NULL DEFAULT 0 CHECK (vms_used >= 0),
    baremetals_used    bigint NOT NULL DEFAULT 0 CHECK (baremetals_used >= 0),
    clusters_used      bigint NOT NULL DEFAULT 0 CHECK (clusters_used >= 0),
    ip_addresses_used  bigint NOT NULL DEFAULT 0 CHECK (ip_addresses_used >= 0),
    version            bigint NOT NULL DEFAULT 1,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT quotas_once UNIQUE NULLS NOT DISTINCT (tenant_id, group_id)
) WITH (fillfactor = 30);

-- One accepted intent. The row is the outbox: a workflow starts for every row that is not dispatched yet.
CREATE TABLE operations (
    id            uuid PRIMARY KEY,
    kind          text NOT NULL,             -- the workflow's type
    tenant_id     uuid REFERENCES tenants (id),
    region        text NOT NULL DEFAULT '',
    resource_kind text NOT NULL,
    resource_id   uuid NOT NULL,
    resource_name text NOT NULL,
    actor_id      uuid NOT NULL,
    actor         text NOT NULL,
    state         text NOT NULL DEFAULT 'accepted' CHECK (state IN ('accepted', 'running', 'blocked', 'cancelling', 'succeeded', 'failed', 'cancelled')),
    input         jsonb NOT NULL,            -- the workflow's input, frozen
    seq           bigint NOT NULL DEFAULT 0, -- of the last report applied
    error_code    text NOT NULL DEFAULT '',
    error         jsonb,                     -- a fault
    result        jsonb,
    dispatched_at timestamptz,               -- when Temporal took it
    dispatch_after timestamptz NOT NULL DEFAULT now(), -- a dispatcher that took the row has it until then
    version       bigint NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL DEFAULT now(),
    started_at    timestamptz,
    ended_at      timestamptz
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX operations_one_active ON operations (resource_id) WHERE state IN ('accepted', 'running', 'blocked', 'cancelling');
CREATE INDEX operations_outbox ON operations (id) WHERE dispatched_at IS NULL;
CREATE INDEX operations_tenant ON operations (tenant_id, id);
CREATE INDEX operations_resource ON operations (resource_id, id);

CREATE TABLE operation_steps (
    operation_id uuid NOT NULL REFERENCES operations (id) ON DELETE CASCADE,
    number       integer NOT NULL,
    name         text NOT NULL,
    state        text NOT NULL CHECK (state IN ('pending', 'running', 'succeeded', 'failed', 'undoing', 'undone')),
    started_at   timestamptz,
    ended_at     timestamptz,
    message      text NOT NULL DEFAULT '',
    PRIMARY KEY (operation_id, number)
);

-- What a person wants of a running operation. Delivered by the outbox, exactly like a start.
CREATE TABLE operation_intents (
    id             uuid PRIMARY KEY,
    operation_id   uuid NOT NULL REFERENCES operations (id) ON DELETE CASCADE,
    kind           text NOT NULL CHECK (kind IN ('cancel', 'resume', 'abort')),
    actor_id       uuid NOT NULL,
    actor          text NOT NULL,
    message        text NOT NULL DEFAULT '',  -- why Temporal refused it
    created_at     timestamptz NOT NULL DEFAULT now(),
    dispatched_at  timestamptz,
    dispatch_after timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX operation_intents_outbox ON operation_intents (id) WHERE dispatched_at IS NULL;
CREATE INDEX operation_intents_operation ON operation_intents (operation_id, id);

-- What a key was used for, and the answer it got.
CREATE TABLE idempotency_keys (
    actor_id     uuid NOT NULL,
    key          text NOT NULL,
    request_hash bytea NOT NULL,              -- of method, path and body
    operation_id uuid,                        -- the answer of an accepted intent
    status       integer NOT NULL DEFAULT 0,  -- the answer of anything else
    response     jsonb,
    location     text NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (actor_id, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

CREATE TABLE audit_events (
    id            uuid PRIMARY KEY,
    at            timestamptz NOT NULL DEFAULT now(),
    actor_id      uuid,
    actor         text NOT NULL,
    action        text NOT NULL,              -- such as vm.create
    resource_kind text NOT NULL,
    resource_id   text NOT NULL DEFAULT '',
    resource_name text NOT NULL DEFAULT '',
    tenant_id     uuid,
    operation_id  uuid,
    request_id    text NOT NULL DEFAULT '',
    outcome       text NOT NULL,              -- accepted, done or refused
    detail        jsonb
);
CREATE INDEX audit_events_tenant ON audit_events (tenant_id, id);
CREATE INDEX audit_events_resource ON audit_events (resource_id, id);
