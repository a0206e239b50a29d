--
-- Compressing by policy: settings, what is due when, what stands in the way, what is noted of it
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set retire :abs_srcdir '/sql/lib/retire.sql'
\set ECHO none
\i :setup
\i :retire
-- A table with a partition for each of some days, and rows in all of them.
CREATE FUNCTION t.new(name text, key_type text DEFAULT 'timestamptz') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE %I (k %s NOT NULL, id int, v text, PRIMARY KEY (id, k)) PARTITION BY RANGE (k)', name, key_type);
END
$$;
CREATE FUNCTION t.fill(name text, days int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM dbperf.create_partitions(name::regclass, (date '2026-11-21' - days)::text, '2026-11-22');
    EXECUTE format('INSERT INTO %I SELECT timestamptz ''2026-11-21 12:00+00'' - d * interval ''1 day'' - i * interval ''1 s'', i, ''v'' || i %% 7
                    FROM generate_series(0, %s) d, generate_series(1, 2000) i', name, days);
    PERFORM pg_stat_force_next_flush();
END
$$;
CREATE FUNCTION t.is_ripe(parent regclass, at text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    found boolean;
BEGIN
    PERFORM set_config('dbperf.now_override', at, true);
    found := EXISTS (SELECT FROM t.plan(parent) p WHERE p.action = 'compress');
    PERFORM set_config('dbperf.now_override', '2026-11-21 12:00:00+00', true);
    RETURN found;
END
$$;
-- What was done by policy, and by whom: bytes differ from machine to machine.
CREATE VIEW t.events AS
    SELECT source, action, parent, partition, lower_bound, detail -> 'rows' AS rows, detail -> 'late_rows' AS late,
           (detail ->> 'bytes_before')::bigint > 0 AS before, (detail ->> 'bytes_after')::bigint > 0 AS after, ms_held >= 0 AS held
    FROM dbperf.partition_events WHERE action ~ 'compress' ORDER BY event_id;
CREATE VIEW t.parts AS
    SELECT parent, partition, access_method, raw_bytes > 0 AS raw, compressed_bytes = total_bytes AS compressed,
           compressed_at, recompress_at
    FROM dbperf.partitions ORDER BY parent::text COLLATE "C", lower_bound COLLATE "C";
\set ECHO all
-- settings
SELECT new('a'), new('n', 'bigint');
SELECT dbperf.manage('a', '1 day', 0, compress_after => '3 days', sort_by => '{id,k}', recompress_after => '2 days', recompress_rows => 5000);
SELECT dbperf.manage('n', 100, 0, compress_after => '150');
SELECT parent, compress_after, compress_step, sort_by, recompress_after, recompress_rows FROM dbperf.policy ORDER BY 1::text;
SELECT dbperf.alter_policy('a', sort_by => '{}', recompress_after => 'never');
SELECT dbperf.alter_policy('n', compress_after => 'never');
SELECT parent, compress_after, compress_step, sort_by, recompress_after, recompress_rows FROM dbperf.policy ORDER BY 1::text;
SELECT dbperf.alter_policy('a', compress_after => 'NEVER', recompress_after => '1 day');
SELECT compress_after, recompress_after FROM dbperf.policy WHERE parent = 'a'::regclass;
SELECT fails($$SELECT dbperf.alter_policy('a', compress_after => '-1 day')$$);
SELECT fails($$SELECT dbperf.alter_policy('a', compress_after => '30')$$);
SELECT fails($$SELECT dbperf.alter_policy('a', recompress_after => '7')$$);
SELECT fails($$SELECT dbperf.alter_policy('a', recompress_after => '1 day -25 hours')$$);
SELECT fails($$SELECT dbperf.alter_policy('a', recompress_rows => 0)$$);
SELECT fails($$SELECT dbperf.alter_policy('n', compress_after => '-5')$$);
SELECT fails($$UPDATE dbperf.policy SET compress_after = '1 day' WHERE parent = 'n'::regclass$$);
SELECT fails($$UPDATE dbperf.policy SET compress_step = 5 WHERE parent = 'a'::regclass$$);
SELECT fails($$SELECT dbperf.alter_policy('a', sort_by => '{nobody}')$$);
SELECT fails($$SELECT dbperf.alter_policy('a', sort_by => '{k,k}')$$);
SELECT fails($$SELECT dbperf.alter_policy('a', sort_by => ARRAY['k', NULL])$$);
SELECT fails($$UPDATE dbperf.policy SET sort_by = '{}' WHERE parent = 'a'::regclass$$);
CREATE DOMAIN odd AS text NOT NULL CHECK (value <> '');
CREATE TABLE x (k date, j json, "a,b" odd, p point) PARTITION BY RANGE (k);
SELECT fails($$SELECT dbperf.manage('x', '1 day', sort_by => '{j}')$$);
SELECT fails($$SELECT dbperf.manage('x', '1 day', sort_by => '{k,p}')$$);
SELECT dbperf.manage('x', '1 day', 0, sort_by => ARRAY['a,b', 'k']);
SELECT sort_by FROM dbperf.policy WHERE parent = 'x'::regclass;
DROP TABLE x;

-- defaults
CREATE SCHEMA market;
SELECT dbperf.create_market_schema('market');
SELECT parent, compress_after, sort_by, recompress_after, recompress_rows FROM dbperf.policy WHERE parent::text LIKE 'market.%' ORDER BY 1::text;
SET client_min_messages = warning;
DROP SCHEMA market CASCADE;
RESET client_min_messages;
SELECT dbperf.settle_monitoring();
SELECT compress_after, sort_by FROM dbperf.policy WHERE parent = 'dbperf.metric_sample'::regclass;
SELECT dbperf.unmanage('dbperf.metric_sample');

-- in the calendar of the policy's time zone, to the microsecond
SELECT new('ny');
SELECT dbperf.manage('ny', '1 month', 0, time_zone => 'America/New_York', compress_after => '1 month', enabled => false);
SELECT dbperf.create_partition('ny', '2026-01-15');
SELECT is_ripe('ny', '2026-03-01 04:59:59.999999+00'), is_ripe('ny', '2026-03-01 05:00:00+00');
-- numbers: behind the highest partition that has rows
SELECT dbperf.alter_policy('n', compress_after => '150');
SELECT count(*) FROM dbperf.create_partitions('n', '0', '500');
INSERT INTO n SELECT i, i, 'x' FROM generate_series(1, 90) i;
SELECT action, partition, decision FROM plan('n');
INSERT INTO n VALUES (300, 300, 'x');
SELECT action, partition, decision FROM plan('n');
CALL dbperf.maintain('n');
SELECT partition, access_method FROM dbperf.partitions WHERE parent = 'n'::regclass ORDER BY lower_bound::bigint;
SELECT count(*), sum(id) FROM n;
DROP TABLE n, ny;

-- the plan
SELECT dbperf.alter_policy('a', compress_after => '3 days', sort_by => '{id,k}');
SELECT fill('a', 5);
SELECT step, action, partition, sql, locks, expected_ms, bytes > 0 AS bytes, blockers, decision, reason FROM dbperf.plan_maintenance('a') WHERE action = 'compress';
-- not in quiet hours, not what leaves soon, not what belongs to others, nor without the columns to sort by
SELECT dbperf.alter_policy('a', quiet_hours => '11:00-13:00');
SELECT * FROM plan('a') WHERE action = 'compress';
SELECT dbperf.alter_policy('a', quiet_hours => 'none', detach_after => '4 days');
SELECT * FROM plan('a');
SELECT dbperf.alter_policy('a', detach_after => 'never');
CREATE ROLE regress_dbperf_other;
ALTER TABLE a_2026_11_16 OWNER TO regress_dbperf_other;
SELECT * FROM plan('a') WHERE action = 'compress';
ALTER TABLE a_2026_11_16 OWNER TO CURRENT_USER;
ALTER TABLE a RENAME id TO number;
SELECT * FROM plan('a') WHERE action = 'compress';
CALL dbperf.maintain('a');
SELECT status, reasons, compress_error, compress_failures, compress_next_try_at IS NOT NULL AS again FROM dbperf.partition_health WHERE parent = 'a'::regclass;
ALTER TABLE a RENAME number TO id;

-- done, oldest first
SELECT * FROM run('a') WHERE action = 'create';
CALL dbperf.maintain('a');
SELECT * FROM plan('a');
SELECT status, reasons, compressed, raw_bytes > compressed_bytes AS smaller, late_rows, recompress_at, compress_error FROM dbperf.partition_health WHERE parent = 'a'::regclass;
SELECT * FROM parts WHERE parent = 'a'::regclass;
SELECT * FROM events WHERE parent = 't.a';
SELECT partitions_compressed, status FROM dbperf.job_runs WHERE partitions_compressed > 0 ORDER BY run_id;
SELECT count(*), count(DISTINCT (k, id)), min(k), max(k), md5(string_agg(concat_ws(' ', k, id, v), ',' ORDER BY k, id)) =
    (SELECT md5(string_agg(concat_ws(' ', k, i, 'v' || i % 7), ',' ORDER BY k, i)) FROM (
        SELECT timestamptz '2026-11-21 12:00+00' - d * interval '1 day' - i * interval '1 s' AS k, i FROM generate_series(0, 5) d, generate_series(1, 2000) i) s) AS same
FROM a;

-- late rows: merged when they are many, or old
INSERT INTO a SELECT '2026-11-16 18:00+00', i, 'late' FROM generate_series(1, 300) i;
DELETE FROM a WHERE k < '2026-11-17' AND v = 'v3';
UPDATE a SET v = 'changed' WHERE k < '2026-11-17' AND v = 'v4';
SELECT pg_stat_force_next_flush();
SELECT dbperf.late_rows('a_2026_11_16'), dbperf.late_rows('a_2026_11_17'), dbperf.late_rows('a_2026_11_20');
SELECT late_rows >= dbperf.late_rows(partition) AS late FROM dbperf.partitions WHERE partition = 'a_2026_11_16'::regclass;
SELECT * FROM plan('a');
CALL dbperf.maintain('a');
SELECT late_rows, late_since, recompressed_at FROM dbperf.compression WHERE partition = 'a_2026_11_16'::regclass;
SELECT recompress_at, late_rows > 0 AS late FROM dbperf.partition_health WHERE parent = 'a'::regclass;
SET dbperf.now_override = '2026-11-22 11:59:59+00';
SELECT * FROM plan('a') WHERE action = 'recompress';
SET dbperf.now_override = '2026-11-22 12:00:00+00';
SELECT action, partition, sql, decision FROM dbperf.plan_maintenance('a') WHERE action = 'recompress';
SET dbperf.now_override = '2026-11-21 12:00:00+00';
SELECT dbperf.alter_policy('a', recompress_rows => 1000);
CALL dbperf.maintain('a');
SELECT * FROM events WHERE action = 'recompress';
SELECT late_rows, late_since, recompressed_at, rows FROM dbperf.compression WHERE partition = 'a_2026_11_16'::regclass;
SELECT v, count(*) FROM a WHERE k < '2026-11-17' GROUP BY 1 ORDER BY 1;
SELECT * FROM plan('a');

-- by hand: what is decompressed stays so for a while
SELECT rows, late_rows FROM dbperf.decompress_partition('a_2026_11_17');
SELECT * FROM plan('a');
SELECT access_method FROM dbperf.partitions WHERE partition = 'a_2026_11_17'::regclass;
SET dbperf.now_override = '2026-11-24 12:00:00+00';
SELECT action, partition, decision FROM plan('a') WHERE partition LIKE '%17';
SET dbperf.now_override = '2026-11-21 12:00:00+00';
SELECT rows, late_rows FROM dbperf.compress_partition('a_2026_11_17');
SELECT source, action, partition, rows FROM events OFFSET 5;
-- a table that is no partition
CREATE TABLE plain AS SELECT i AS id, 'x' AS v FROM generate_series(1, 100) i;
SELECT rows, late_rows FROM dbperf.compress_partition('plain');
SELECT source, action, parent, partition, rows FROM events WHERE parent IS NULL;
SELECT partition, rows, compressed_at FROM dbperf.compression WHERE partition = 'plain'::regclass;
DROP TABLE plain;
SELECT count(*) FROM dbperf.compression WHERE partition::text = 'plain' OR partition::text ~ '^[0-9]+$';

-- nobody has it in use
SELECT dbperf.rewrite_obstacle('a_2026_11_19'::regclass) IS NULL AS free;
SELECT ok FROM dbperf.verify_audit();
DROP TABLE a;
SELECT count(*) FROM dbperf.compression;
DROP ROLE regress_dbperf_other;
