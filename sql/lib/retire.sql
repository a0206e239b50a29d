-- What tests of retiring share; after setup.sql.
-- The plan, and what comes of it, without what differs from run to run.
CREATE FUNCTION t.plan(parent regclass DEFAULT NULL, OUT action text, OUT partition text, OUT decision text, OUT reason text)
RETURNS SETOF record LANGUAGE sql AS $$
    SELECT p.action, p.partition, p.decision, p.reason FROM dbperf.plan_maintenance(parent) p ORDER BY p.step
$$;
CREATE FUNCTION t.run(parent regclass DEFAULT NULL, OUT action text, OUT partition text, OUT status text, OUT detail text)
RETURNS SETOF record LANGUAGE sql AS $$
    SELECT r.action, r.partition, r.status, r.detail FROM dbperf.run_maintenance(parent) r
$$;
CREATE FUNCTION t.cleanup(parent regclass DEFAULT NULL, OUT action text, OUT partition text, OUT status text, OUT detail text)
RETURNS SETOF record LANGUAGE sql AS $$
    SELECT r.action, r.partition, r.status, r.detail FROM dbperf.cleanup_old_partitions(parent) r
$$;
-- The recycle bin, by the bounds of what is in it.
CREATE VIEW t.bin AS
    SELECT b.parent, b.partition, b.state, b.lower_bound, b.upper_bound, b.original_schema, b.original_name, b.detached_at
    FROM dbperf.recycle_bin b ORDER BY b.parent::text COLLATE "C", b.upper_at, b.upper_key, b.lower_bound COLLATE "C";
-- Names that had to be told apart end in an OID, which takes more or less of a long name.
CREATE FUNCTION t.masked(name text) RETURNS text LANGUAGE sql AS $$
    SELECT regexp_replace(regexp_replace(name, '_[0-9]{5,}("?)$', '_OID\1'), '(.{40}).*(_OID"?)$', '\1...\2')
$$;
-- Whether anything of a table is to be detached at a time.
CREATE FUNCTION t.is_due(parent regclass, at text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    found boolean;
BEGIN
    PERFORM set_config('dbperf.now_override', at, true);
    found := EXISTS (SELECT FROM t.plan(parent) p WHERE p.action = 'detach');
    PERFORM set_config('dbperf.now_override', '2026-11-21 12:00:00+00', true);
    RETURN found;
END
$$;
