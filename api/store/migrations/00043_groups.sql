-- What rules of groups look at, who stays in a group only because it is in use, and whether health keeps work away.
-- +goose Up

-- What a machine is made of, as far as rules ask: narrow, so that a rule is asked about all machines of a region at once.
CREATE TABLE baremetal_traits (
    baremetal_id   uuid PRIMARY KEY REFERENCES baremetals (id) ON DELETE CASCADE,
    cpu_model      text NOT NULL,
    cpu_count      integer NOT NULL,
    cores          bigint NOT NULL,
    threads        bigint NOT NULL,
    memory_mib     bigint NOT NULL,
    disk_count     integer NOT NULL,
    disk_kinds     text[] NOT NULL,
    storage_gib    bigint NOT NULL,
    nic_count      integer NOT NULL,
    nic_speed_mbps bigint NOT NULL,
    gpu_count      integer NOT NULL,
    gpu_model      text NOT NULL,
    gpu_models     text[] NOT NULL,
    gpu_vendor     text NOT NULL
);

-- They follow from the inventory (a models.Inventory), whoever writes that.
-- +goose StatementBegin
CREATE FUNCTION keep_traits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO baremetal_traits AS t
    SELECT NEW.baremetal_id, c.model, c.n, c.cores, c.threads, m.mib, d.n, d.kinds, d.gib, i.n, i.mbps, g.n, g.model, g.models, g.vendor
    FROM (SELECT count(*) AS n, coalesce((NEW.inventory -> 'cpus' -> 0) ->> 'model', '') AS model, coalesce(sum((x ->> 'cores')::bigint), 0) AS cores,
            coalesce(sum(greatest((x ->> 'threads')::bigint, (x ->> 'cores')::bigint)), 0) AS threads FROM jsonb_array_elements(coalesce(NEW.inventory -> 'cpus', '[]')) x) c,
        (SELECT coalesce(sum((x ->> 'size_mib')::bigint), 0) AS mib FROM jsonb_array_elements(coalesce(NEW.inventory -> 'memory', '[]')) x) m,
        (SELECT count(*) AS n, coalesce(sum((x ->> 'size_gib')::bigint), 0) AS gib,
            coalesce(array_agg(DISTINCT x ->> 'kind' ORDER BY x ->> 'kind') FILTER (WHERE x ->> 'kind' <> ''), '{}') AS kinds FROM jsonb_array_elements(coalesce(NEW.inventory -> 'disks', '[]')) x) d,
        (SELECT count(*) AS n, coalesce(max((x ->> 'speed_mbps')::bigint), 0) AS mbps FROM jsonb_array_elements(coalesce(NEW.inventory -> 'nics', '[]')) x) i,
        (SELECT count(*) AS n, coalesce((NEW.inventory -> 'gpus' -> 0) ->> 'model', '') AS model, coalesce((NEW.inventory -> 'gpus' -> 0) ->> 'vendor', '') AS vendor,
            coalesce(array_agg(DISTINCT x ->> 'model' ORDER BY x ->> 'model') FILTER (WHERE x ->> 'model' <> ''), '{}') AS models FROM jsonb_array_elements(coalesce(NEW.inventory -> 'gpus', '[]')) x) g
    ON CONFLICT (baremetal_id) DO UPDATE SET
        cpu_model = excluded.cpu_model, cpu_count = excluded.cpu_count, cores = excluded.cores, threads = excluded.threads, memory_mib = excluded.memory_mib,
        disk_count = excluded.disk_count, disk_kinds = excluded.disk_kinds, storage_gib = excluded.storage_gib, nic_count = excluded.nic_count,
        nic_speed_mbps = excluded.nic_speed_mbps, gpu_count = excluded.gpu_count, gpu_model = excluded.gpu_model, gpu_models = excluded.gpu_models, gpu_vendor = excluded.gpu_vendor
    WHERE t.* IS DISTINCT FROM excluded.*;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER keep_traits AFTER INSERT OR UPDATE OF inventory ON baremetal_facts FOR EACH ROW
    WHEN (NEW.inventory <> '{}') EXECUTE FUNCTION keep_traits();

-- Machines that a rule wants elsewhere, and that stay because they are in use. Without a group: in none.
CREATE TABLE group_waits (
    baremetal_id uuid PRIMARY KEY REFERENCES baremetals (id) ON DELETE CASCADE,
    group_id     uuid REFERENCES groups (id) ON DELETE CASCADE
);
CREATE INDEX group_waits_group ON group_waits (group_id);
CREATE INDEX baremetals_region ON baremetals (region, id);

-- Whether their health keeps new work away from machines: a critical one does, unless its group only reports it. It returns
-- those that changed, of which placement has to be told. The caller holds the structure.
-- +goose StatementBegin
CREATE FUNCTION refresh_fitness(ids uuid[]) RETURNS SETOF uuid LANGUAGE sql AS $$
    UPDATE baremetals b SET unfit = f.unfit, version = b.version + 1, updated_at = now()
    FROM (SELECT m.id, m.health = 'critical' AND coalesce(g.health_policy, 'stop') = 'stop' AS unfit
        FROM baremetals m LEFT JOIN groups g ON g.id = m.group_id WHERE m.id = ANY (ids)) f
    WHERE b.id = f.id AND b.unfit <> f.unfit
    RETURNING b.id
$$;
-- +goose StatementEnd

-- How many looks in a row failed: a BMC that is away for a moment is no news.
ALTER TABLE baremetal_facts ADD COLUMN missed integer NOT NULL DEFAULT 0;

ALTER TABLE drifts ADD COLUMN reason text NOT NULL DEFAULT ''; -- why it is ignored
CREATE INDEX drifts_state ON drifts (region, state, id);
