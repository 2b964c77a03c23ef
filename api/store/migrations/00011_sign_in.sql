-- People who sign in with an OpenID provider, programs that belong to a tenant, and tokens that may do less than their
-- owner.
-- +goose Up

-- A service account: a program that belongs to a tenant. Its name ends with the tenant's, and follows it.
ALTER TABLE users
    ADD COLUMN tenant_id uuid REFERENCES tenants (id) ON DELETE CASCADE, -- null: a person
    DROP CONSTRAINT users_name_check,
    ADD CONSTRAINT users_name_check CHECK (split_part(name, '@', 1) ~ '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$'
        AND (tenant_id IS NULL) = (strpos(name, '@') = 0));
CREATE INDEX users_tenant ON users (tenant_id) WHERE tenant_id IS NOT NULL;

-- +goose StatementBegin
CREATE FUNCTION rename_service_accounts() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE users SET name = split_part(name, '@', 1) || '@' || NEW.full_name, version = version + 1, updated_at = now() WHERE tenant_id = NEW.id;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER rename_service_accounts AFTER UPDATE OF full_name ON tenants FOR EACH ROW
    WHEN (OLD.full_name IS DISTINCT FROM NEW.full_name) EXECUTE FUNCTION rename_service_accounts();

-- Who a provider's subject is here. Names and addresses change hands; an issuer's subject does not.
CREATE TABLE identities (
    id         uuid PRIMARY KEY,
    issuer     text NOT NULL,
    subject    text NOT NULL,
    user_id    uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    issued_at  timestamptz NOT NULL DEFAULT 'epoch', -- of the newest ID token seen: an older one no longer changes roles
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT identities_once UNIQUE (issuer, subject)
);
CREATE INDEX identities_user ON identities (user_id, id);

-- Each ID token is good for one sign-in.
CREATE TABLE used_id_tokens (
    hash       bytea PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
CREATE INDEX used_id_tokens_expiry ON used_id_tokens (expires_at);

-- Which role the members of a provider's group have.
CREATE TABLE group_bindings (
    id         uuid PRIMARY KEY,
    group_name text NOT NULL CHECK (group_name <> ''), -- as the provider's claim has it
    role       text NOT NULL,
    tenant_id  uuid REFERENCES tenants (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT group_bindings_once UNIQUE NULLS NOT DISTINCT (group_name, role, tenant_id)
);
CREATE INDEX group_bindings_tenant ON group_bindings (tenant_id);
SELECT keep_versions('group_bindings', 'group-binding');

-- A role that comes from a group goes with it.
ALTER TABLE role_bindings ADD COLUMN group_binding_id uuid REFERENCES group_bindings (id) ON DELETE CASCADE;
CREATE INDEX role_bindings_group_binding ON role_bindings (group_binding_id) WHERE group_binding_id IS NOT NULL;

-- What a token is narrowed to; null is not narrowed. A token ends with its tenant, or it would grow.
ALTER TABLE tokens
    ADD COLUMN tenant_id uuid REFERENCES tenants (id) ON DELETE CASCADE,
    ADD COLUMN roles text[];
CREATE INDEX tokens_tenant ON tokens (tenant_id) WHERE tenant_id IS NOT NULL;

-- Whether who has one role may do all that comes with a lesser one, in the same place.
-- +goose StatementBegin
CREATE FUNCTION role_covers(held text, lesser text, on_platform boolean) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN held = lesser THEN true
        WHEN on_platform THEN held = 'admin' AND lesser IN ('operator', 'auditor')
        ELSE coalesce(array_position('{viewer,member,admin,owner}', held) > array_position('{viewer,member,admin,owner}', lesser), false)
    END
$$;
-- +goose StatementEnd

-- What a token may do at this moment: the roles that its owner has, narrowed to the token's tenant and roles. A role on a
-- tenant above counts on the token's tenant alone, and so does that of an admin of the platform. A service account's
-- roles count in its own tenant and below it only, wherever these may have moved.
CREATE VIEW token_bindings AS
SELECT t.id AS token_id, b.id, b.actor_id, b.role, b.tenant_id
FROM tokens t JOIN users u ON u.id = t.actor_id JOIN role_bindings b ON b.actor_id = t.actor_id
WHERE t.tenant_id IS NULL AND t.roles IS NULL AND u.tenant_id IS NULL
UNION ALL
SELECT t.id, b.id, b.actor_id, r.role, place.id
FROM tokens t
JOIN users u ON u.id = t.actor_id
JOIN role_bindings b ON b.actor_id = t.actor_id
LEFT JOIN tenants narrow ON narrow.id = t.tenant_id
LEFT JOIN tenants held ON held.id = b.tenant_id
LEFT JOIN tenants place ON place.id = CASE
    WHEN t.tenant_id IS NULL THEN b.tenant_id
    WHEN b.tenant_id IS NULL AND b.role = 'admin' THEN narrow.id
    WHEN b.tenant_id = ANY (narrow.path) THEN narrow.id
    WHEN narrow.id = ANY (held.path) THEN held.id
END
CROSS JOIN LATERAL unnest(coalesce(t.roles, ARRAY[b.role])) r (role)
WHERE (t.tenant_id IS NOT NULL OR t.roles IS NOT NULL OR u.tenant_id IS NOT NULL)
    AND (t.tenant_id IS NULL OR place.id IS NOT NULL)
    AND (u.tenant_id IS NULL OR u.tenant_id = ANY (place.path))
    AND role_covers(b.role, r.role, place.id IS NULL);
