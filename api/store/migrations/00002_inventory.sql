-- Regions, physical machines, the catalogue and the networks.
-- +goose Up

CREATE TABLE regions (
    name         text PRIMARY KEY CHECK (name ~ '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$'),
    title        text NOT NULL DEFAULT '',
    state        text NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'cordoned')),
    capabilities text[] NOT NULL DEFAULT '{}',
    version      bigint NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE racks (
    id             uuid PRIMARY KEY,
    region         text NOT NULL REFERENCES regions (name),
    name           text NOT NULL,
    "row"          text NOT NULL DEFAULT '',
    "position"     text NOT NULL DEFAULT '',
    power_kw       numeric(8, 2) NOT NULL DEFAULT 0,
    failure_domain text NOT NULL DEFAULT '',
    version        bigint NOT NULL DEFAULT 1,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT racks_name UNIQUE (region, name)
);

-- An elastic set of baremetals. The ratios say how much of a host's physical capacity may be promised.
CREATE TABLE groups (
    id            uuid PRIMARY KEY,
    region        text NOT NULL REFERENCES regions (name),
    name          text NOT NULL,
    description   text NOT NULL DEFAULT '',
    policy        text NOT NULL DEFAULT 'spread' CHECK (policy IN ('spread', 'pack')),
    vcpu_ratio    double precision NOT NULL DEFAULT 1 CHECK (vcpu_ratio BETWEEN 0.1 AND 64),
    memory_ratio  double precision NOT NULL DEFAULT 1 CHECK (memory_ratio BETWEEN 0.1 AND 64),
    storage_ratio double precision NOT NULL DEFAULT 1 CHECK (storage_ratio BETWEEN 0.1 AND 64),
    version       bigint NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT groups_name UNIQUE (region, name)
);

CREATE TABLE baremetals (
    id            uuid PRIMARY KEY,
    region        text NOT NULL REFERENCES regions (name),
    name          text NOT NULL,
    role          text NOT NULL CHECK (role IN ('hypervisor', 'k8s_node', 'leased', 'spare')),
    state         text NOT NULL,
    hardware_uuid text NOT NULL,
    provider_ref  text NOT NULL DEFAULT '',
    cluster       text NOT NULL DEFAULT '',
    model         text NOT NULL DEFAULT '',
    rack_id       uuid REFERENCES racks (id),
    group_id      uuid REFERENCES groups (id),
    vcpu          bigint NOT NULL DEFAULT 0,  -- physical capacity
    memory_mib    bigint NOT NULL DEFAULT 0,
    storage_gib   bigint NOT NULL DEFAULT 0,
    gpu           bigint NOT NULL DEFAULT 0,
    connected     boolean NOT NULL DEFAULT true,
    maintenance   boolean NOT NULL DEFAULT false, -- someone here wants it empty of new work
    provider_maintenance boolean NOT NULL DEFAULT false, -- the provider says so
    seen_at       timestamptz,
    version       bigint NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT baremetals_name UNIQUE (region, name),
    CONSTRAINT baremetals_hardware UNIQUE (region, hardware_uuid)
);
CREATE INDEX baremetals_group ON baremetals (group_id, id);
CREATE INDEX baremetals_rack ON baremetals (rack_id, id);

-- The narrow, hot side of a hypervisor: what placement reads and accepts take from.
-- free = total - sum(allocations), always; total = capacity x ratio of its group.
CREATE TABLE hypervisors (
    baremetal_id      uuid PRIMARY KEY REFERENCES baremetals (id),
    group_id          uuid REFERENCES groups (id),
    rack_id           uuid,
    placeable         boolean NOT NULL,
    vcpu_total        bigint NOT NULL,
    memory_mib_total  bigint NOT NULL,
    storage_gib_total bigint NOT NULL,
    gpu_total         bigint NOT NULL,
    vcpu_free         bigint NOT NULL,
    memory_mib_free   bigint NOT NULL,
    storage_gib_free  bigint NOT NULL,
    gpu_free          bigint NOT NULL
) WITH (fillfactor = 60);
-- The order of placement: both policies walk this index from one end and stop at the first hosts that fit.
CREATE INDEX hypervisors_room ON hypervisors (group_id, vcpu_free, memory_mib_free, storage_gib_free, gpu_free) WHERE placeable;

CREATE TABLE images (
    id              uuid PRIMARY KEY,
    name            text NOT NULL,
    os              text NOT NULL DEFAULT '',
    description     text NOT NULL DEFAULT '',
    min_storage_gib bigint NOT NULL DEFAULT 1 CHECK (min_storage_gib > 0),
    templates       jsonb NOT NULL DEFAULT '{}', -- region -> the provider's template
    version         bigint NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT images_name UNIQUE (name)
);

CREATE TABLE flavors (
    id          uuid PRIMARY KEY,
    name        text NOT NULL,
    vcpu        bigint NOT NULL CHECK (vcpu > 0),
    memory_mib  bigint NOT NULL CHECK (memory_mib > 0),
    storage_gib bigint NOT NULL CHECK (storage_gib > 0),
    gpu         bigint NOT NULL DEFAULT 0 CHECK (gpu >= 0),
    version     bigint NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT flavors_name UNIQUE (name)
);

-- A subnet without a tenant is for everyone; with one, for that tenant and all below it.
CREATE TABLE subnets (
    id          uuid PRIMARY KEY,
    region      text NOT NULL REFERENCES regions (name),
    tenant_id   uuid REFERENCES tenants (id),
    name        text NOT NULL,
    cidr        cidr NOT NULL,
    vlan        integer NOT NULL DEFAULT 0 CHECK (vlan BETWEEN 0 AND 4094),
    gateway     inet,
    dns         text[] NOT NULL DEFAULT '{}',
    network     text NOT NULL,                 -- the provider's port group
    range_start inet NOT NULL,                 -- addresses are taken from here
    range_end   inet NOT NULL,                 -- to here, both included
    version     bigint NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT subnets_name UNIQUE (region, name),
    CONSTRAINT subnets_range CHECK (range_start <<= cidr AND range_end <<= cidr AND range_start <= range_end)
);
CREATE INDEX subnets_tenant ON subnets (tenant_id);

-- An address that is taken. A free address has no row.
CREATE TABLE ip_addresses (
    id          uuid NOT NULL,
    subnet_id   uuid NOT NULL REFERENCES subnets (id),
    address     inet NOT NULL,
    tenant_id   uuid REFERENCES tenants (id),
    vm_id       uuid,                          -- null: reserved by a person
    description text NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ip_addresses_pkey PRIMARY KEY (id),
    CONSTRAINT ip_addresses_once UNIQUE (subnet_id, address)
);
CREATE INDEX ip_addresses_vm ON ip_addresses (vm_id);
CREATE INDEX ip_addresses_tenant ON ip_addresses (tenant_id, id);
