-- Who there is, what they may do, and the tree of tenants.
-- +goose Up

CREATE TABLE tenants (
    id          uuid PRIMARY KEY,
    parent_id   uuid REFERENCES tenants (id),
    name        text NOT NULL CHECK (name ~ '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$'),
    full_name   text NOT NULL,                -- such as acme/dev
    path        uuid[] NOT NULL,              -- from the root down, itself last
    description text NOT NULL DEFAULT '',
    version     bigint NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenants_name UNIQUE (full_name),
    CONSTRAINT tenants_path_ends_here CHECK (path[cardinality(path)] = id)
);
CREATE INDEX tenants_parent ON tenants (parent_id);
CREATE INDEX tenants_path ON tenants USING gin (path);

CREATE TABLE users (
    id         uuid PRIMARY KEY,
    name       text NOT NULL CHECK (name ~ '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$'),
    email      text NOT NULL DEFAULT '',
    version    bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT users_name UNIQUE (name)
);

-- A token itself is shown once and never stored: only its SHA-256, and enough of it to recognise it by.
CREATE TABLE tokens (
    id           uuid PRIMARY KEY,
    actor_id     uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name         text NOT NULL,
    prefix       text NOT NULL,
    hash         bytea NOT NULL,
    expires_at   timestamptz NOT NULL,
    last_used_at timestamptz,
    revoked_at   timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tokens_hash UNIQUE (hash)
);
CREATE INDEX tokens_actor ON tokens (actor_id, id);

-- A role on a tenant reaches down its subtree; without a tenant it is a role on the platform.
CREATE TABLE role_bindings (
    id         uuid PRIMARY KEY,
    actor_id   uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role       text NOT NULL,
    tenant_id  uuid REFERENCES tenants (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT role_bindings_once UNIQUE NULLS NOT DISTINCT (actor_id, role, tenant_id),
    CONSTRAINT role_bindings_role CHECK (CASE WHEN tenant_id IS NULL THEN role IN ('admin', 'operator') ELSE role IN ('admin', 'member', 'viewer') END)
);
CREATE INDEX role_bindings_tenant ON role_bindings (tenant_id);
