-- Whole machines for tenants.
-- +goose Up

-- What the machine shall be called, for the image that it boots.
ALTER TABLE boots ADD COLUMN hostname text NOT NULL DEFAULT '';

-- Who leases a machine is asked about it too, after those who look after the hardware. It gives no rights on the hardware:
-- store.Maintains leaves the tenants out, else a tenant could give what it does not have.
CREATE OR REPLACE VIEW resources AS
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
    array_remove(ARRAY['baremetal/' || b.id, 'group/' || b.group_id, 'rack/' || b.rack_id, 'region/' || b.region], NULL)
        || ARRAY(SELECT 'tenant/' || p.id FROM unnest(t.path) WITH ORDINALITY p (id, n) ORDER BY n DESC),
    array_remove(ARRAY[b.name, g.name, k.name, b.region], NULL)
        || ARRAY(SELECT a.full_name FROM unnest(t.path) WITH ORDINALITY p (id, n) JOIN tenants a ON a.id = p.id ORDER BY n DESC)
FROM baremetals b LEFT JOIN groups g ON g.id = b.group_id LEFT JOIN racks k ON k.id = b.rack_id LEFT JOIN tenants t ON t.id = b.tenant_id
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
