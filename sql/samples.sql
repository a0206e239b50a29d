-- Samples of the metrics: what is measured, rates and when there are none, what is kept.
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\i :setup
SET client_min_messages = warning;

-- Metrics of the last sample; those that not every machine has are left out.
CREATE FUNCTION t.metrics() RETURNS TABLE (metric text, series bigint, fine boolean) LANGUAGE sql AS $$
    SELECT l.metric, count(*), bool_and(l.value >= 0) FROM dbperf.latest_metrics() l
    WHERE l.metric !~ '^(cpu|disk|load|memory|pool|query|slow|connect_|queries|pgbouncer|slot|replication)' GROUP BY l.metric ORDER BY l.metric COLLATE "C"
$$;
CREATE FUNCTION t.clock(at text) RETURNS void LANGUAGE sql AS $$
    SELECT set_config('dbperf.now_override', $1, false)
$$;

-- the catalogue
SELECT count(*), count(DISTINCT description) = count(*) AS each_described, bool_and(name ~ '^[a-z0-9_]+$') AS names,
       bool_and(unit <> '') AS units, count(label) FROM dbperf.metric;
SELECT t.fails($$INSERT INTO dbperf.metric VALUES ('x', 'y', 'worse', NULL, 'z')$$);

-- the machine
SELECT s.metric, s.label, bool_and(s.value >= 0) AS fine, bool_or(s.is_counter) AS counter
FROM dbperf.system_stats() s WHERE s.metric !~ '^disk_(read|write)' AND s.label IN ('', 'pg_default')
GROUP BY s.metric, s.label ORDER BY s.metric COLLATE "C";
SELECT bool_and(value BETWEEN 0 AND 100) FROM dbperf.system_stats() WHERE metric LIKE '%percent';
SELECT count(*) FILTER (WHERE metric = 'cpu_busy') <= 1 AND bool_and(busy <= total) AS busy FROM (
    SELECT s.metric, max(value) FILTER (WHERE metric = 'cpu_busy') OVER () AS busy, max(value) FILTER (WHERE metric = 'cpu_total') OVER () AS total
    FROM dbperf.system_stats() s) c;

-- The session that made the extension may be restoring a dump: what the sampler finds is not kept yet.
SELECT dbperf.dump_is_arriving();
SELECT dbperf.take_sample('sampler'), dbperf.take_sample('sampler'), dbperf.take_sample('sampler');
SELECT samples, quiet_ticks, settled_at IS NULL AS not_settled, source FROM dbperf.sampler_state;
SELECT (SELECT count(*) FROM dbperf.metric_series), (SELECT count(*) FROM dbperf.metric_sample), (SELECT count(*) FROM dbperf.policy);
SELECT metric, label, value = current_setting('max_connections')::integer AS fine FROM dbperf.latest_metrics() WHERE metric = 'connections_max';

-- as if it had gone: at the second quiet look, they are kept
UPDATE dbperf.sampler_state SET installed_pid = NULL;
SELECT dbperf.dump_is_arriving();
SELECT dbperf.take_sample('sampler');
SELECT quiet_ticks, settled_at IS NULL AS not_settled FROM dbperf.sampler_state;
SELECT dbperf.take_sample('sampler');
SELECT quiet_ticks, settled_at, error FROM dbperf.sampler_state;
SELECT p.parent, p.partition_interval, p.premake, p.drop_after, p.recycle_for FROM dbperf.policy p;
SELECT partition, lower_bound, upper_bound FROM dbperf.partition_bounds('dbperf.metric_sample');
SELECT at, count(*) FROM dbperf.metric_sample GROUP BY at;
-- no index: where one of a partition is dumped, so that restoring it would fail
SELECT count(*) FROM pg_index i JOIN dbperf.partition_bounds('dbperf.metric_sample') b ON b.partition = i.indrelid;

-- Managed tables.
SELECT t.make('ticks');
SELECT dbperf.manage('t.ticks', '1 month', premake => 2);
CREATE TABLE t."Odd ""name"".x" (k bigint NOT NULL) PARTITION BY RANGE (k);
SELECT dbperf.manage('t."Odd ""name"".x"', 100, premake => 0);
SELECT t.make('loose');
CREATE TABLE t.loose_default PARTITION OF t.loose DEFAULT;
SELECT dbperf.manage('t.loose', '1 day', premake => 1);
INSERT INTO t.loose VALUES ('2020-01-01');
SELECT pg_stat_force_next_flush();
UPDATE dbperf.policy_state SET retire_error = 'x', last_error = 'y', last_error_at = now() WHERE parent = 't.loose'::regclass;
SELECT t.clock('2026-11-21 12:01:00+00');
SELECT dbperf.take_sample('sampler');
SELECT * FROM t.metrics();
SELECT interval_s, error FROM dbperf.sampler_state;
SELECT label, metric, round(value::numeric, 4) AS value, at FROM dbperf.latest_metrics()
WHERE metric LIKE 'partition%' AND metric <> 'partition_bytes' ORDER BY label COLLATE "C", metric COLLATE "C";
SELECT label, value > 0 AS fine FROM dbperf.latest_metrics() WHERE metric = 'partition_bytes' AND label LIKE 't.%' ORDER BY label COLLATE "C";
SELECT e ->> 'parent' AS parent, e ->> 'status' AS status, e ->> 'default_partition' AS default_partition, e -> 'reasons' AS reasons,
       (e ->> 'total_bytes')::bigint = dbperf.partition_bytes((e ->> 'parent')::regclass) AS bytes
FROM dbperf.sampler_state s, jsonb_array_elements(s.partitions) e;

-- rates: what happened between two samples, by their times
INSERT INTO t.ticks SELECT '2026-11-21', i FROM generate_series(1, 1000) i;
SELECT pg_stat_force_next_flush();
SELECT t.clock('2026-11-21 12:01:10+00');
SELECT dbperf.take_sample('sampler');
SELECT interval_s FROM dbperf.sampler_state;
SELECT metric, value BETWEEN 100 AND 120 AS fine FROM dbperf.latest_metrics() WHERE metric = 'rows_inserted_per_second';
SELECT metric, label, value > 0 AS fine FROM dbperf.latest_metrics()
WHERE metric IN ('insert_rows_per_second', 'ingest_batch_p95_ms') ORDER BY metric COLLATE "C", label COLLATE "C";
-- statements, of which there were some
SELECT metric, count(*) > 0 AS some, min(label) AS first_label, bool_and(value >= 0) AS fine FROM dbperf.latest_metrics()
WHERE metric LIKE 'quer%' OR metric = 'slow_queries' GROUP BY metric ORDER BY metric COLLATE "C";
-- pools: there is a default one
SELECT metric, label, value >= 0 AS fine FROM dbperf.latest_metrics() WHERE metric ~ '^pool' ORDER BY metric COLLATE "C";
-- what is slow was not measured again
SELECT DISTINCT metric ~ '^(partition_|database_bytes)' AS slow, at FROM dbperf.latest_metrics() ORDER BY 1;
SELECT at, metric ~ '^(partition_|database_bytes)' AS slow, count(*) > 5 AS some FROM dbperf.metric_values GROUP BY 1, 2 ORDER BY 1, 2;

-- statistics are reset: no rate, and none below zero, until the next sample
SELECT pg_stat_reset();
SELECT t.clock('2026-11-21 12:01:20+00');
SELECT dbperf.take_sample('sampler');
SELECT count(*) FROM dbperf.latest_metrics() WHERE metric IN ('rows_inserted_per_second', 'transactions_per_second', 'cache_hit_percent');
SELECT t.clock('2026-11-21 12:01:30+00');
SELECT dbperf.take_sample('sampler');
SELECT metric, value >= 0 AS fine FROM dbperf.latest_metrics() WHERE metric IN ('rows_inserted_per_second', 'transactions_per_second') ORDER BY 1;

-- too soon after that to tell rates: they stand, and the next sample goes by the counters of that one
CREATE TEMP TABLE earlier AS SELECT * FROM dbperf.latest_metrics();
SELECT t.clock('2026-11-21 12:01:30.5+00');
INSERT INTO t.ticks SELECT '2026-11-21', i FROM generate_series(2001, 3000) i;
SELECT pg_stat_force_next_flush();
SELECT dbperf.take_sample('sampler');
SELECT at, interval_s, raw_at FROM dbperf.sampler_state;
SELECT count(*) > 0 AS some, bool_and(l.value = e.value) AS stand FROM dbperf.latest_metrics() l JOIN earlier e USING (metric, label)
WHERE metric ~ '^(rows|transactions|deadlocks|wal|disk_.*)_.*per_second$|^(cpu|cache_hit)_percent$';
SELECT count(*) = count(DISTINCT (metric, label)) AS each_once FROM dbperf.latest_metrics();
SELECT t.clock('2026-11-21 12:01:32+00');
SELECT dbperf.take_sample('sampler');
SELECT interval_s FROM dbperf.sampler_state;
SELECT value BETWEEN 500 AND 600 AS fine FROM dbperf.latest_metrics() WHERE metric = 'rows_inserted_per_second';

-- The clock is set back: no rates, then rates again. A time without a partition costs the history only.
SELECT t.clock('2026-11-21 11:00:00+00');
SELECT dbperf.take_sample('sampler');
SELECT at, interval_s, error FROM dbperf.sampler_state;
SELECT count(*) FROM dbperf.latest_metrics() WHERE metric = 'transactions_per_second';
SELECT t.clock('2026-11-21 11:00:10+00');
SELECT dbperf.take_sample('sampler');
SELECT count(*) FROM dbperf.latest_metrics() WHERE metric = 'transactions_per_second' AND value >= 0;
SELECT t.clock('2031-01-01 00:00:00+00');
SELECT dbperf.take_sample('sampler');
SELECT at, errors, error, error_at IS NOT NULL AS when_known FROM dbperf.sampler_state;
SELECT count(*) > 30 AS measured FROM dbperf.latest_metrics() WHERE at = '2031-01-01 00:00:00+00';
SELECT max(at) FROM dbperf.metric_sample;
SELECT t.clock('2026-11-21 12:02:00+00');
SELECT dbperf.take_sample('sampler');
SELECT errors, error FROM dbperf.sampler_state;

-- Rates, one by one: (counter of 100 before, 10 s ago).
CREATE FUNCTION t.tell(metric text, label text, value float8, life text, elapsed float8 DEFAULT 10) RETURNS jsonb LANGUAGE sql AS $$
    SELECT dbperf.tell_values(ARRAY[ROW($1, $2, $3, $4)::dbperf.measurement],
        '[["deadlocks_per_second", "", 100, "a"], ["slot_retained_bytes", "s", 100, "a"], ["disk_read_bytes", "sda", 100, "a"]]', $5)
$$;
SELECT t.tell('deadlocks_per_second', '', 150, 'a') AS rate, t.tell('deadlocks_per_second', '', 100, 'a') AS nothing,
       t.tell('deadlocks_per_second', '', 99, 'a') AS less, t.tell('deadlocks_per_second', '', 150, 'b') AS anew,
       t.tell('deadlocks_per_second', '', 150, 'a', 0) AS at_once, t.tell('deadlocks_per_second', '', 150, 'a', -5) AS back,
       t.tell('deadlocks_per_second', '', 150, 'a', NULL) AS unknown, t.tell('transactions_per_second', '', 150, 'a') AS first;
SELECT t.tell('slot_retained_bytes', 's', 5, NULL) AS gauge, t.tell('slot_retained_bytes', 's', 105, 'a') AS labelled,
       t.tell('load1', '', 'NaN', NULL) AS nan, t.tell('load1', '', 'Infinity', NULL) AS infinite, t.tell('load1', '', NULL, NULL) AS none,
       t.tell('uptime_seconds', '', 5, NULL) AS internal, t.tell('disk_read_bytes', 'sda', 1100, 'a') AS disks,
       t.tell('disk_read_bytes', 'sdb', 1100, 'a') AS new_disk;
SELECT dbperf.tell_values(ARRAY[ROW('cpu_total', '', 300, 'x'), ROW('cpu_busy', '', 150, 'x'), ROW('cpu_iowait', '', 12, 'x')]::dbperf.measurement[],
    '[["cpu_total", "", 100, "x"], ["cpu_busy", "", 100, "x"], ["cpu_iowait", "", 10, "x"]]', 10);
-- neither more than all, nor a part of nothing
SELECT dbperf.tell_values(ARRAY[ROW('cpu_total', '', 200, 'x'), ROW('cpu_busy', '', 500, 'x'), ROW('blocks_hit', '', 5, 'x'), ROW('blocks_fetched', '', 5, 'x')]::dbperf.measurement[],
    '[["cpu_total", "", 100, "x"], ["cpu_busy", "", 100, "x"], ["blocks_hit", "", 5, "x"], ["blocks_fetched", "", 5, "x"]]', 10);
-- a group that fails costs no other
BEGIN;
ALTER FUNCTION dbperf.counters_state() RENAME TO counters_gone;
SELECT dbperf.take_sample('sampler');
SELECT error FROM dbperf.sampler_state;
SELECT count(*) > 30 AS measured, count(*) FILTER (WHERE metric = 'ingest_rows_per_second') AS lost FROM dbperf.latest_metrics();
ROLLBACK;

-- By hand; and where nothing can be written.
SELECT t.clock('2026-11-21 12:02:10+00');
SELECT metric, label, value, unit, at FROM dbperf.collect_health_metrics() WHERE metric IN ('connections_waiting', 'partition_missing');
SELECT source FROM dbperf.sampler_state;
BEGIN READ ONLY;
SELECT count(*) > 30 AS some, bool_and(unit <> '') AS units, min(at) AS at,
       count(*) FILTER (WHERE metric = 'transactions_per_second') AS rates FROM dbperf.collect_health_metrics();
ROLLBACK;
-- where no worker makes partitions, samples taken by hand do; but not in a table that is managed no more
BEGIN;
SELECT t.clock('2026-11-30 12:00:00+00');
SELECT count(*) > 30 AS some FROM dbperf.collect_health_metrics();
SELECT error, (SELECT max(at) FROM dbperf.metric_sample) AS kept FROM dbperf.sampler_state;
SELECT dbperf.unmanage('dbperf.metric_sample');
SELECT t.clock('2026-12-30 12:00:00+00');
SELECT count(*) > 30 AS some FROM dbperf.collect_health_metrics();
SELECT error, (SELECT count(*) FROM dbperf.policy WHERE parent = 'dbperf.metric_sample'::regclass) AS managed FROM dbperf.sampler_state;
ROLLBACK;
SELECT t.clock('2026-11-21 12:02:10+00');
-- the only row of the state is made anew
DELETE FROM dbperf.sampler_state;
SELECT count(*) > 30 AS some FROM dbperf.collect_health_metrics();

-- A dump brings what is there already.
SELECT series FROM dbperf.metric_series WHERE metric = 'load1';
INSERT INTO dbperf.metric_series SELECT * FROM dbperf.metric_series;
SELECT t.fails($$INSERT INTO dbperf.metric_series SELECT series, 'other', '' FROM dbperf.metric_series LIMIT 1$$) ~ '^23505';
-- two series whose numbers would be the same
BEGIN;
DELETE FROM dbperf.metric_series WHERE metric = 'load1';
INSERT INTO dbperf.metric_series VALUES (400787925, 'x', ''), (400787926, 'y', '');
SELECT dbperf.add_series('load1', '') - 400787925 AS next;
ROLLBACK;
-- names without end
BEGIN;
SELECT count(*) AS before FROM dbperf.metric_series \gset
SELECT dbperf.store_sample('2026-11-21 12:03:00+00', array_agg('replication_lag_bytes'::text), array_agg('s' || i), array_agg(i)) FROM generate_series(1, 10100) i;
SELECT count(*) FROM dbperf.metric_series;
SELECT cardinality(series) + :before = 10000 AS kept FROM dbperf.metric_sample WHERE at = '2026-11-21 12:03:00+00';
SELECT dbperf.take_sample('sampler');
SELECT s.error, (SELECT count(*) FROM dbperf.metric_series WHERE metric = 'replication_lag_bytes') AS unused,
       (SELECT count(*) FROM dbperf.latest_metrics() JOIN dbperf.metric_series USING (metric, label)) = (SELECT count(*) FROM dbperf.latest_metrics()) AS used
FROM dbperf.sampler_state s;
ROLLBACK;

BEGIN;
INSERT INTO dbperf.policy SELECT (jsonb_populate_record(p, '{"created_at": "2020-01-01 00:00:00+00", "drop_after": "50 days"}')).* FROM dbperf.policy p
WHERE parent = 'dbperf.metric_sample'::regclass;
SELECT parent, drop_after FROM dbperf.policy WHERE parent = 'dbperf.metric_sample'::regclass;
SELECT t.fails('INSERT INTO dbperf.policy SELECT (jsonb_populate_record(p, jsonb_build_object(''created_at'', now()))).* FROM dbperf.policy p') ~ '^23505';
ROLLBACK;

-- Starting and stopping.
SELECT enabled, sample_interval, running, state, last_sample_at, last_sample_age, last_sample_source, reason FROM dbperf.monitoring_status;
SELECT dbperf.stop_monitoring();
SELECT enabled, sample_interval, reason FROM dbperf.monitoring_status;
SELECT dbperf.start_monitoring('90 s');
SELECT enabled, sample_interval FROM dbperf.monitoring_status;
SELECT t.fails($$SELECT dbperf.start_monitoring('0.5 s')$$);
SELECT t.fails($$SELECT dbperf.start_monitoring('-1 h')$$);
SELECT t.fails($$SELECT dbperf.start_monitoring('25 hours')$$);
SELECT dbperf.start_monitoring();
SELECT enabled, sample_interval FROM dbperf.monitoring_status;
-- a dump does not undo what was set here
INSERT INTO dbperf.monitoring (enabled, changed_at) VALUES (false, '2020-01-01');
SELECT enabled, sample_interval FROM dbperf.monitoring;

-- Who may look, and who may not.
CREATE ROLE samples_monitor;
CREATE ROLE samples_nobody;
GRANT pg_monitor TO samples_monitor;
GRANT USAGE ON SCHEMA t TO samples_monitor, samples_nobody;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA t TO samples_monitor, samples_nobody;
SET ROLE samples_monitor;
SELECT (SELECT count(*) > 30 FROM dbperf.latest_metrics()) AS latest, (SELECT count(*) > 30 FROM dbperf.metric_values) AS history,
       (SELECT count(*) > 0 FROM dbperf.metric_history('load1', '2026-11-21', '2026-11-22')) AS buckets,
       (SELECT count(*) > 10 FROM dbperf.system_stats()) AS machine, (SELECT enabled FROM dbperf.monitoring_status) AS status;
SELECT t.fails('SELECT dbperf.collect_health_metrics()');
SELECT t.fails('SELECT dbperf.start_monitoring()');
SELECT t.fails('SELECT dbperf.stop_monitoring()');
SELECT t.fails($$SELECT dbperf.take_sample('manual')$$);
SELECT t.fails($$UPDATE dbperf.sampler_state SET at = NULL$$);
SET ROLE samples_nobody;
SELECT t.fails('SELECT * FROM dbperf.system_stats()');
SELECT t.fails('SELECT * FROM dbperf.latest_metrics()');
RESET ROLE;
-- whom README's GRANTs make an administrator
GRANT USAGE ON SCHEMA dbperf TO samples_nobody;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA dbperf TO samples_nobody;
SET ROLE samples_nobody;
SELECT count(*) > 30 AS some FROM dbperf.collect_health_metrics();
SELECT dbperf.stop_monitoring();
RESET ROLE;
DROP OWNED BY samples_monitor, samples_nobody;
DROP ROLE samples_monitor, samples_nobody;

-- Without the extension, its history goes, too.
DROP EXTENSION tradeassist_dbperf;
SELECT count(*) FROM pg_class WHERE relname LIKE 'metric\_%';
DROP SCHEMA t CASCADE;
