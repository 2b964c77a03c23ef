-- Physical servers that come in through their BMC: how that is reached, what they are made of, where they stand, who has
-- them, what they boot into, and what was found to differ.
-- +goose Up

-- Until a machine is enrolled nobody knows what it is; after that it is recognised by its hardware.
ALTER TABLE baremetals
    ADD COLUMN serial        text NOT NULL DEFAULT '',
    ADD COLUMN vendor        text NOT NULL DEFAULT '',
    ADD COLUMN rack_unit     integer NOT NULL DEFAULT 0 CHECK (rack_unit BETWEEN 0 AND 60),  -- the lowest that it takes; 0: unknown
    ADD COLUMN rack_height   integer NOT NULL DEFAULT 1 CHECK (rack_height BETWEEN 1 AND 20),
    ADD COLUMN group_by_rule boolean NOT NULL DEFAULT false,
    ADD COLUMN tenant_id     uuid REFERENCES tenants (id),                                   -- who leases it
    ADD COLUMN labels        jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN power         text NOT NULL DEFAULT '' CHECK (power IN ('', 'on', 'off')),
    ADD COLUMN health        text NOT NULL DEFAULT '' CHECK (health IN ('', 'ok', 'warning', 'critical')),
    ADD COLUMN unfit         boolean NOT NULL DEFAULT false,                                 -- its health keeps new work away
    ADD CONSTRAINT baremetals_lease CHECK ((role = 'leased') = (tenant_id IS NOT NULL)) NOT VALID;
ALTER TABLE baremetals DROP CONSTRAINT baremetals_hardware;
CREATE UNIQUE INDEX baremetals_hardware ON baremetals (region, hardware_uuid) WHERE hardware_uuid <> '';
CREATE UNIQUE INDEX baremetals_serial ON baremetals (vendor, serial) WHERE serial <> '' AND vendor <> '';
-- What a machine that comes in is expected to be, before its BMC has said so.
CREATE UNIQUE INDEX baremetals_expected ON baremetals (lower(serial)) WHERE serial <> '' AND vendor = '';
CREATE INDEX baremetals_any_serial ON baremetals (lower(serial)) WHERE serial <> '';
CREATE INDEX baremetals_tenant ON baremetals (tenant_id, id) WHERE tenant_id IS NOT NULL;

-- The units of a rack that machines take: no two stand in one place.
ALTER TABLE racks ADD COLUMN height integer NOT NULL DEFAULT 42 CHECK (height BETWEEN 1 AND 60);
CREATE TABLE rack_units (
    rack_id      uuid NOT NULL REFERENCES racks (id),
    unit         integer NOT NULL CHECK (unit BETWEEN 1 AND 60),
    baremetal_id uuid NOT NULL REFERENCES baremetals (id) ON DELETE CASCADE,
    CONSTRAINT rack_units_once PRIMARY KEY (rack_id, unit)
);
CREATE INDEX rack_units_baremetal ON rack_units (baremetal_id);

-- +goose StatementBegin
CREATE FUNCTION keep_rack_units() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM rack_units WHERE baremetal_id = NEW.id;
    IF NEW.rack_id IS NOT NULL AND NEW.rack_unit > 0 THEN
        INSERT INTO rack_units (rack_id, unit, baremetal_id)
        SELECT NEW.rack_id, u, NEW.id FROM generate_series(NEW.rack_unit, NEW.rack_unit + NEW.rack_height - 1) u;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER keep_rack_units AFTER INSERT OR UPDATE OF rack_id, rack_unit, rack_height ON baremetals FOR EACH ROW EXECUTE FUNCTION keep_rack_units();

-- How a BMC is reached. The password is sealed with a key that the database does not have.
CREATE TABLE bmcs (
    baremetal_id   uuid PRIMARY KEY REFERENCES baremetals (id) ON DELETE CASCADE,
    region         text NOT NULL,                  -- addresses of different regions may be alike
    address        text NOT NULL,                  -- as models.ParseBMCAddress writes it, so that each has one spelling
    protocol       text NOT NULL DEFAULT '' CHECK (protocol IN ('', 'redfish', 'ipmi')),
    fingerprint    text NOT NULL DEFAULT '',       -- SHA-256 of its certificate, pinned at the first contact
    username       text NOT NULL,
    key_id         text NOT NULL,
    password       bytea NOT NULL,
    staged_key_id  text NOT NULL DEFAULT '',       -- of a password that is about to be set
    staged         bytea,
    staged_for     uuid,                           -- the operation that does
    console        text NOT NULL DEFAULT '',
    rotated_at     timestamptz,
    updated_at     timestamptz NOT NULL DEFAULT now()
);
-- However it is spoken to, there is one BMC at an address.
CREATE UNIQUE INDEX bmcs_address ON bmcs (region, regexp_replace(address, '^[a-z]+://', ''));

-- What a machine is made of and how it is, as it was seen last. Rows are wide and change often, so they are not beside
-- what placement reads.
CREATE TABLE baremetal_facts (
    baremetal_id uuid PRIMARY KEY REFERENCES baremetals (id) ON DELETE CASCADE,
    inventory    jsonb NOT NULL DEFAULT '{}',      -- a models.Inventory
    health       jsonb NOT NULL DEFAULT '{}',      -- a models.Health
    inventory_at timestamptz,
    health_at    timestamptz,
    reachable    boolean NOT NULL DEFAULT true,    -- at the last look
    unreachable_since timestamptz,
    fault        text NOT NULL DEFAULT ''          -- why not
);

-- A machine that is about to boot into an image that reports. The token is made when the machine asks for its script, is
-- good for one report, and is kept as its hash.
CREATE TABLE boots (
    baremetal_id uuid PRIMARY KEY REFERENCES baremetals (id) ON DELETE CASCADE,
    operation_id uuid NOT NULL,
    purpose      text NOT NULL CHECK (purpose IN ('discovery', 'wipe', 'provision')),
    image_id     uuid REFERENCES images (id),
    token_hash   bytea,
    expires_at   timestamptz NOT NULL,
    reported_at  timestamptz,
    report       jsonb
);
CREATE UNIQUE INDEX boots_token ON boots (token_hash) WHERE token_hash IS NOT NULL;
-- Who boots from the network is known by its interfaces.
CREATE TABLE baremetal_macs (
    mac          text NOT NULL,
    baremetal_id uuid NOT NULL REFERENCES baremetals (id) ON DELETE CASCADE,
    PRIMARY KEY (mac, baremetal_id)
);
CREATE INDEX baremetal_macs_baremetal ON baremetal_macs (baremetal_id);

-- Images of physical machines: what to boot, by region: {"tw": {"kernel": …, "initrd": …, "args": …, "iso": …}}.
ALTER TABLE images
    ADD COLUMN purpose text NOT NULL DEFAULT 'provision' CHECK (purpose IN ('provision', 'wipe', 'discovery')),
    ADD COLUMN boot    jsonb NOT NULL DEFAULT '{}';

-- A difference between the database and the world.
CREATE TABLE drifts (
    id            uuid PRIMARY KEY,
    region        text NOT NULL,
    kind          text NOT NULL,                   -- power, health, sensor, firmware, hardware, identity, unreachable …
    resource_kind text NOT NULL,
    resource_id   uuid NOT NULL,
    resource_name text NOT NULL,
    field         text NOT NULL DEFAULT '',        -- which part, such as disks[sn-4]
    expected      jsonb,                           -- the fact that was known
    found         jsonb,                           -- the fact that was seen
    message       text NOT NULL,
    policy        text NOT NULL CHECK (policy IN ('report', 'adopt', 'repair', 'ignore')),
    state         text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closed', 'ignored')),
    seen          bigint NOT NULL DEFAULT 1,       -- how often
    version       bigint NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(), -- when it was seen last
    closed_at     timestamptz
);
CREATE UNIQUE INDEX drifts_open ON drifts (resource_id, kind, field) WHERE state <> 'closed';
CREATE INDEX drifts_region ON drifts (region, id);
CREATE INDEX drifts_resource ON drifts (resource_id, id);

-- Groups whose members are found by a rule, and what a machine's health means there.
ALTER TABLE groups
    ADD COLUMN rule          text NOT NULL DEFAULT '',
    ADD COLUMN health_policy text NOT NULL DEFAULT 'stop' CHECK (health_policy IN ('stop', 'report'));

-- Placement keeps away from machines that their health makes unfit.
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

SELECT keep_versions('drifts', 'drift');
