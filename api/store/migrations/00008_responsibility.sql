-- Owners and auditors; the people who are responsible for resources.
-- +goose Up

ALTER TABLE role_bindings
    DROP CONSTRAINT role_bindings_role,
    ADD CONSTRAINT role_bindings_role CHECK (CASE WHEN tenant_id IS NULL
        THEN role IN ('admin', 'operator', 'auditor') ELSE role IN ('owner', 'admin', 'member', 'viewer') END);

-- Someone to turn to. Who also has an account has rights on what they maintain.
CREATE TABLE maintainers (
    id           uuid PRIMARY KEY,
    name         text NOT NULL CHECK (name ~ '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$'),
    display_name text NOT NULL DEFAULT '',
    email        text NOT NULL,
    phone        text NOT NULL DEFAULT '',
    chat         text NOT NULL DEFAULT '',
    user_id      uuid REFERENCES users (id) ON DELETE SET NULL,
    version      bigint NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT maintainers_name UNIQUE (name),
    CONSTRAINT maintainers_user UNIQUE (user_id)
);

CREATE TABLE maintainer_groups (
    id          uuid PRIMARY KEY,
    name        text NOT NULL CHECK (name ~ '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$'),
    description text NOT NULL DEFAULT '',
    version     bigint NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT maintainer_groups_name UNIQUE (name)
);

CREATE TABLE maintainer_group_members (
    maintainer_group_id uuid NOT NULL REFERENCES maintainer_groups (id) ON DELETE CASCADE,
    maintainer_id       uuid NOT NULL REFERENCES maintainers (id),
    PRIMARY KEY (maintainer_group_id, maintainer_id)
);
CREATE INDEX maintainer_group_members_maintainer ON maintainer_group_members (maintainer_id);

-- A resource of any kind is a person's or a group's to look after. Regions go by their name, all others by their id.
CREATE TABLE assignments (
    id                  uuid PRIMARY KEY,
    resource_kind       text NOT NULL CHECK (resource_kind <> ''),
    resource_id         text NOT NULL CHECK (resource_id <> ''),
    resource            text NOT NULL GENERATED ALWAYS AS (resource_kind || '/' || resource_id) STORED,
    tenant_id           uuid REFERENCES tenants (id) ON DELETE CASCADE, -- the resource's; null: the platform's
    maintainer_id       uuid REFERENCES maintainers (id),
    maintainer_group_id uuid REFERENCES maintainer_groups (id),
    is_primary          boolean NOT NULL,
    version             bigint NOT NULL DEFAULT 1,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT assignments_to_one CHECK (num_nonnulls(maintainer_id, maintainer_group_id) = 1),
    CONSTRAINT assignments_once UNIQUE NULLS NOT DISTINCT (resource, maintainer_id, maintainer_group_id)
);
CREATE UNIQUE INDEX assignments_primary ON assignments (resource) WHERE is_primary;
CREATE INDEX assignments_maintainer ON assignments (maintainer_id);
CREATE INDEX assignments_maintainer_group ON assignments (maintainer_group_id);
CREATE INDEX assignments_tenant ON assignments (tenant_id, id);

-- Every resource that can be assigned, with what it stands in: itself first, the nearest next. Whoever maintains one
-- link of the chain is responsible for the resource.
CREATE VIEW resources AS
SELECT 'region' AS kind, NULL::uuid AS uid, r.name AS id, r.name AS name, r.name AS region, NULL::uuid AS tenant_id,
    ARRAY['region/' || r.name] AS chain, ARRAY[r.name] AS chain_names
FROM regions r
UNION ALL
SELECT 'rack', k.id, k.id::text, k.name, k.region, NULL,
    ARRAY['rack/' || k.id, 'region/' || k.region], ARRAY[k.name, k.region]
FROM racks k
UNION ALL
SELECT 'group', g.id, g.id::text, g.name, g.region, NULL,
    ARRAY['group/' || g.id, 'region/' || g.region], ARRAY[g.name, g.region]
FROM groups g
UNION ALL
SELECT 'baremetal', b.id, b.id::text, b.name, b.region, NULL,
    array_remove(ARRAY['baremetal/' || b.id, 'group/' || b.group_id, 'rack/' || b.rack_id, 'region/' || b.region], NULL),
    array_remove(ARRAY[b.name, g.name, k.name, b.region], NULL)
FROM baremetals b LEFT JOIN groups g ON g.id = b.group_id LEFT JOIN racks k ON k.id = b.rack_id
UNION ALL
SELECT 'tenant', t.id, t.id::text, t.full_name, '', t.id,
    ARRAY(SELECT 'tenant/' || p.id FROM unnest(t.path) WITH ORDINALITY p (id, n) ORDER BY n DESC),
    ARRAY(SELECT a.full_name FROM unnest(t.path) WITH ORDINALITY p (id, n) JOIN tenants a ON a.id = p.id ORDER BY n DESC)
FROM tenants t
UNION ALL
SELECT 'vm', v.id, v.id::text, v.name, v.region, v.tenant_id,
    'vm/' || v.id || ARRAY(SELECT 'tenant/' || p.id FROM unnest(t.path) WITH ORDINALITY p (id, n) ORDER BY n DESC),
    v.name || ARRAY(SELECT a.full_name FROM unnest(t.path) WITH ORDINALITY p (id, n) JOIN tenants a ON a.id = p.id ORDER BY n DESC)
FROM vms v JOIN tenants t ON t.id = v.tenant_id;

-- What a person is assigned to themselves, and through their maintainer groups.
-- +goose StatementBegin
CREATE FUNCTION assigned_to(person uuid) RETURNS SETOF assignments LANGUAGE sql STABLE AS $$
    SELECT a.* FROM maintainers m JOIN assignments a ON a.maintainer_id = m.id WHERE m.user_id = person
    UNION
    SELECT a.* FROM maintainers m JOIN maintainer_group_members g ON g.maintainer_id = m.id
        JOIN assignments a ON a.maintainer_group_id = g.maintainer_group_id
    WHERE m.user_id = person
$$;
-- +goose StatementEnd

-- What is gone needs nobody.
-- +goose StatementBegin
CREATE FUNCTION unassign() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM assignments WHERE resource = TG_ARGV[0] || '/' || CASE WHEN TG_ARGV[0] = 'region' THEN to_jsonb(OLD) ->> 'name' ELSE to_jsonb(OLD) ->> 'id' END;
    RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER unassign AFTER DELETE ON regions FOR EACH ROW EXECUTE FUNCTION unassign('region');
CREATE TRIGGER unassign AFTER DELETE ON racks FOR EACH ROW EXECUTE FUNCTION unassign('rack');
CREATE TRIGGER unassign AFTER DELETE ON groups FOR EACH ROW EXECUTE FUNCTION unassign('group');
CREATE TRIGGER unassign AFTER DELETE ON baremetals FOR EACH ROW EXECUTE FUNCTION unassign('baremetal');
CREATE TRIGGER unassign AFTER DELETE ON tenants FOR EACH ROW EXECUTE FUNCTION unassign('tenant');
CREATE TRIGGER unassign AFTER DELETE ON vms FOR EACH ROW EXECUTE FUNCTION unassign('vm');
