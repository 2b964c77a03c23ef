-- The audit log for good: who, for whom, from where, before and after; in partitions of a month; append-only; and sealed
-- by a chain of hashes. The gateway before this one goes on writing with the columns that it knows.
-- +goose Up

ALTER TABLE audit_events RENAME TO audit_events_before;
ALTER INDEX audit_events_pkey RENAME TO audit_events_before_pkey;
ALTER INDEX audit_events_tenant RENAME TO audit_events_before_tenant;
ALTER INDEX audit_events_resource RENAME TO audit_events_before_resource;

CREATE TABLE audit_events (
    id             uuid NOT NULL,
    at             timestamptz NOT NULL DEFAULT now(),
    actor_id       uuid,
    actor          text NOT NULL,
    on_behalf_of   text NOT NULL DEFAULT '',   -- for whom, where the actor is a region or a service
    remote_address text NOT NULL DEFAULT '',   -- from where
    user_agent     text NOT NULL DEFAULT '',
    request_id     text NOT NULL DEFAULT '',
    action         text NOT NULL,              -- such as vm.create
    resource_kind  text NOT NULL,
    resource_id    text NOT NULL DEFAULT '',
    resource_name  text NOT NULL DEFAULT '',
    tenant_id      uuid,
    operation_id   uuid,
    outcome        text NOT NULL CHECK (outcome IN ('accepted', 'done', 'refused')),
    code           text NOT NULL DEFAULT '',   -- why it was refused
    before         jsonb,                      -- the resource as it was, without secrets
    detail         jsonb,                      -- the resource as it became, or what else there is to say
    -- The transaction that wrote the row. The sealer takes rows of transactions that have surely ended, so that a late
    -- commit is never missed and no writer ever waits for the chain.
    txid           bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE INDEX audit_events_tenant ON audit_events (tenant_id, id);
CREATE INDEX audit_events_resource ON audit_events (resource_id, id);
CREATE INDEX audit_events_txid ON audit_events (txid);

-- What no month has room for waits here, rather than be lost.
CREATE TABLE audit_events_rest PARTITION OF audit_events DEFAULT;

-- Changing what is written is refused, whoever asks.
-- +goose StatementBegin
CREATE FUNCTION refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
-- +goose StatementEnd

CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE ON audit_events FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER audit_events_no_truncate BEFORE TRUNCATE ON audit_events FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER audit_events_rest_no_truncate BEFORE TRUNCATE ON audit_events_rest FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();

-- A seal covers every event whose transaction is in [from_txid, to_txid). Its entries are 56 bytes for each event, in
-- the order of (txid, id): the id, the time in microseconds, and the SHA-256 of the row.
CREATE TABLE audit_seals (
    number     bigint PRIMARY KEY,              -- 1, 2, 3, without a gap
    at         timestamptz NOT NULL,
    from_txid  bigint NOT NULL,
    to_txid    bigint NOT NULL,
    events     bigint NOT NULL CHECK (events > 0),
    first_at   timestamptz NOT NULL,
    last_at    timestamptz NOT NULL,
    entries    bytea NOT NULL,
    previous   bytea NOT NULL,                  -- the hash of the seal before
    hash       bytea NOT NULL,
    CHECK (from_txid < to_txid)
);
ALTER TABLE audit_seals ALTER COLUMN entries SET STORAGE EXTERNAL; -- hashes cannot be compressed
CREATE TRIGGER audit_seals_append_only BEFORE UPDATE OR DELETE ON audit_seals FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER audit_seals_no_truncate BEFORE TRUNCATE ON audit_seals FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();

-- The end of the chain. Whoever seals holds this row.
CREATE TABLE audit_chain (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    number bigint NOT NULL DEFAULT 0,
    hash   bytea NOT NULL DEFAULT '',
    txid   bigint NOT NULL DEFAULT 0            -- everything before it is sealed
);
INSERT INTO audit_chain DEFAULT VALUES;

-- How long events are kept. Only the owner of the tables sets it; nothing is removed without it.
CREATE TABLE audit_settings (
    single        boolean PRIMARY KEY DEFAULT true CHECK (single),
    retain_months integer CHECK (retain_months >= 1) -- null: for ever
);
INSERT INTO audit_settings DEFAULT VALUES;

-- What retention has removed. Verification tells it from what was removed by somebody.
CREATE TABLE audit_removals (
    before timestamptz PRIMARY KEY,
    at     timestamptz NOT NULL DEFAULT now(),
    events bigint NOT NULL
);
CREATE TRIGGER audit_removals_append_only BEFORE UPDATE OR DELETE ON audit_removals FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER audit_removals_no_truncate BEFORE TRUNCATE ON audit_removals FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();

-- Makes the partition of a month, unless there is one. Events of that month that wait in the rest move into it: that is
-- the only way in which a written event ever moves, and its hash does not change by it.
-- +goose StatementBegin
CREATE FUNCTION audit_partition(month date) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    since timestamptz := date_trunc('month', month::timestamp) AT TIME ZONE 'UTC';
    until timestamptz := (date_trunc('month', month::timestamp) + interval '1 month') AT TIME ZONE 'UTC';
    name  text := 'audit_events_' || to_char(month, 'YYYY_MM');
BEGIN
    IF to_regclass('public.' || name) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE audit_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
    LOCK TABLE audit_events_rest IN ACCESS EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM audit_events_rest r WHERE r.at >= since AND r.at < until) THEN
        EXECUTE format('INSERT INTO %I SELECT * FROM audit_events_rest r WHERE r.at >= $1 AND r.at < $2', name) USING since, until;
        ALTER TABLE audit_events_rest DISABLE TRIGGER audit_events_append_only;
        DELETE FROM audit_events_rest r WHERE r.at >= since AND r.at < until;
        ALTER TABLE audit_events_rest ENABLE TRIGGER audit_events_append_only;
    END IF;
    EXECUTE format('ALTER TABLE audit_events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, since, until);
    EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting()', name);
END $$;
-- +goose StatementEnd

-- Makes the partitions of this month and the next ones. It takes a lock, so that several gateways may ask at once.
-- +goose StatementBegin
CREATE FUNCTION audit_partitions_ahead(months integer) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7083310009);
    FOR i IN 0..least(months, 24) LOOP
        PERFORM audit_partition(((now() AT TIME ZONE 'UTC') + make_interval(months => i))::date);
    END LOOP;
END $$;
-- +goose StatementEnd

-- Removes whole months that are older than the owner's setting, and returns how many events went. It takes no
-- argument, so that whoever may call it can remove nothing but what the owner decided. A month with events that are not
-- sealed yet stays, and with it all that are newer.
-- +goose StatementBegin
CREATE FUNCTION audit_expire() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    keep    integer := (SELECT retain_months FROM audit_settings);
    cut     date := date_trunc('month', now() AT TIME ZONE 'UTC' - make_interval(months => keep));
    month   date;
    part    text;
    here    bigint;
    open    bigint;
    removed bigint := 0;
BEGIN
    IF keep IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM pg_advisory_xact_lock(7083310009);
    FOR part IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'audit_events'::regclass AND c.relname ~ '^audit_events_\d{4}_\d{2}$' ORDER BY c.relname
    LOOP
        month := to_date(right(part, 7), 'YYYY_MM');
        EXIT WHEN month >= cut;
        EXECUTE format('SELECT count(*), count(*) FILTER (WHERE txid >= (SELECT txid FROM audit_chain)) FROM %I', part) INTO here, open;
        EXIT WHEN open > 0;
        EXECUTE format('DROP TABLE %I', part);
        INSERT INTO audit_removals (before, events) VALUES ((month + interval '1 month') AT TIME ZONE 'UTC', here);
        removed := removed + here;
    END LOOP;
    RETURN removed;
END $$;
-- +goose StatementEnd

REVOKE ALL ON FUNCTION audit_partition(date) FROM PUBLIC;
REVOKE ALL ON FUNCTION audit_partitions_ahead(integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION audit_expire() FROM PUBLIC;

-- What there is already, in its months.
SELECT audit_partition(month::date) FROM (SELECT DISTINCT date_trunc('month', at AT TIME ZONE 'UTC') AS month FROM audit_events_before) m;
SELECT audit_partitions_ahead(3);
INSERT INTO audit_events (id, at, actor_id, actor, action, resource_kind, resource_id, resource_name, tenant_id, operation_id, request_id, outcome, detail)
SELECT id, at, actor_id, actor, action, resource_kind, resource_id, resource_name, tenant_id, operation_id, request_id, outcome, detail FROM audit_events_before;
DROP TABLE audit_events_before;
