-- What every resource was. A row here is the image of a resource before a change or its removal: with the row that there
-- is now, that is its whole history. Creating writes nothing here, and so costs nothing.
-- +goose Up

CREATE TABLE resource_versions (
    position    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL,                 -- such as vm
    resource_id text NOT NULL,
    until       timestamptz NOT NULL,          -- it was so until then
    txid        bigint NOT NULL,               -- the transaction that changed or removed it
    removed     boolean NOT NULL,
    image       jsonb NOT NULL                 -- the row, without secrets
);
CREATE INDEX resource_versions_resource ON resource_versions (kind, resource_id, position);
CREATE TRIGGER resource_versions_append_only BEFORE UPDATE OR DELETE ON resource_versions FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER resource_versions_no_truncate BEFORE TRUNCATE ON resource_versions FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();

-- Arguments: the kind, the column that identifies the resource, and columns that are nobody's business. The clock is
-- read when the row is locked: images of one resource never overlap.
-- +goose StatementBegin
CREATE FUNCTION keep_version() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    image jsonb := to_jsonb(OLD) - TG_ARGV[2:];
BEGIN
    INSERT INTO resource_versions (kind, resource_id, until, txid, removed, image)
    VALUES (TG_ARGV[0], image ->> TG_ARGV[1], clock_timestamp(), pg_current_xact_id()::text::bigint, TG_OP = 'DELETE', image);
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- Begins to keep the history of a table. Where rows have a version, a change is what counts it up: counters that move
-- beside it, such as the use of a quota, cost nothing.
-- +goose StatementBegin
CREATE FUNCTION keep_versions(of regclass, kind text, key text DEFAULT 'id', VARIADIC hidden text[] DEFAULT '{}') RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    arguments text := (SELECT string_agg(quote_literal(a), ', ') FROM unnest(ARRAY[kind, key] || hidden) a);
    versioned boolean := EXISTS (SELECT FROM pg_attribute WHERE attrelid = of AND attname = 'version' AND NOT attisdropped);
BEGIN
    EXECUTE format('CREATE TRIGGER keep_changed AFTER UPDATE %s ON %s FOR EACH ROW WHEN (%s) EXECUTE FUNCTION keep_version(%s)',
        CASE WHEN versioned THEN 'OF version' ELSE '' END, of,
        CASE WHEN versioned THEN 'OLD.version IS DISTINCT FROM NEW.version' ELSE 'OLD.* IS DISTINCT FROM NEW.*' END, arguments);
    EXECUTE format('CREATE TRIGGER keep_removed AFTER DELETE ON %s FOR EACH ROW EXECUTE FUNCTION keep_version(%s)', of, arguments);
END $$;
-- +goose StatementEnd

SELECT keep_versions('tenants', 'tenant');
SELECT keep_versions('quotas', 'quota');
SELECT keep_versions('users', 'user');
SELECT keep_versions('role_bindings', 'role-binding');
SELECT keep_versions('regions', 'region', 'name');
SELECT keep_versions('racks', 'rack');
SELECT keep_versions('groups', 'group');
SELECT keep_versions('baremetals', 'baremetal');
SELECT keep_versions('images', 'image');
SELECT keep_versions('flavors', 'flavor');
SELECT keep_versions('subnets', 'subnet');
SELECT keep_versions('ip_addresses', 'ip-address');
SELECT keep_versions('vms', 'vm');
SELECT keep_versions('maintainers', 'maintainer');
SELECT keep_versions('maintainer_groups', 'maintainer-group');
SELECT keep_versions('assignments', 'assignment');

-- The image of a resource before this very transaction changed it, for the audit log. Its changes in this transaction
-- are the newest ones, since it holds the row.
-- +goose StatementBegin
CREATE FUNCTION version_before(of_kind text, id text) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT v.image FROM (SELECT txid, position, image FROM resource_versions WHERE kind = of_kind AND resource_id = id ORDER BY position DESC LIMIT 8) v
    WHERE v.txid = pg_current_xact_id()::text::bigint ORDER BY v.position LIMIT 1
$$;
-- +goose StatementEnd
