--
-- health_database(), health_performance(), health_partitions(): by a sample, and without one. Their
-- shape is checked by test/t/054_health.pl.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
\pset null '-'
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_dbperf_oncall, regress_dbperf_nobody;
RESET client_min_messages;
CREATE ROLE regress_dbperf_oncall IN ROLE pg_monitor;
CREATE ROLE regress_dbperf_nobody;
GRANT USAGE ON SCHEMA t TO PUBLIC;
-- A sample as the sampler would have taken it, some seconds ago
CREATE FUNCTION sample(metrics jsonb, age interval DEFAULT '5 s') RETURNS void LANGUAGE sql AS $$
    UPDATE dbperf.sampler_state SET at = dbperf.clock() - age, source = 'sampler', interval_s = 10, "values" = metrics,
        slow_at = dbperf.clock() - age, slow_values = '[]', partitions = '[]'
$$;
CREATE FUNCTION checks(report jsonb, OUT name text, OUT label text, OUT value numeric, OUT warn numeric, OUT critical numeric, OUT severity text, OUT message text)
RETURNS SETOF record LANGUAGE sql AS $$
    SELECT c.* FROM jsonb_to_recordset(report -> 'checks') c (name text, label text, value numeric, warn numeric, critical numeric, severity text, message text)
$$;
-- Nothing was sampled
SELECT h -> 'sample' AS sample, h -> 'errors' AS errors, h ->> 'database' = current_database() AS database, h -> 'at' AS at
FROM dbperf.health_database() h;
SELECT name, severity FROM checks(dbperf.health_database()) WHERE name IN ('sampling', 'report');
SELECT array_agg(k ORDER BY k COLLATE "C") FROM jsonb_object_keys(dbperf.health_database()) k;
SELECT array_agg(k ORDER BY k COLLATE "C") FROM jsonb_object_keys(dbperf.health_performance()) k;
SELECT array_agg(k ORDER BY k COLLATE "C") FROM jsonb_object_keys(dbperf.health_partitions()) k;
-- what can be had without a sample is measured
SELECT h #> '{connections,max}' = to_jsonb(current_setting('max_connections')::int) AS max, (h #>> '{connections,used}')::int > 0 AS used,
       h #> '{connections,per_second}' AS per_second, (h #>> '{server,uptime_seconds}')::float8 > 0 AS uptime, h #> '{server,in_recovery}' AS in_recovery,
       (h #>> '{transaction_ids,oldest_age}')::int > 0 AS oldest_age, (h #>> '{checkpoints,total}')::int >= 0 AS checkpoints,
       h #> '{replication,standbys}' AS standbys
FROM dbperf.health_database() h;

-- By a sample: the status is that of the worst check
SELECT sample('[["connections_used", "", 42], ["connections_max", "", 100], ["connections_used_percent", "", 43.3], ["connections_active", "", 2],
                ["connections_idle", "", 30], ["connections_idle_in_transaction", "", 4], ["idle_in_transaction_seconds", "", 0.25],
                ["slow_queries", "", 0], ["worker_silent_seconds", "", 3], ["xid_age_percent", "", 10], ["notify_queue_percent", "", 0],
                ["connections_waiting", "", 0], ["wal_bytes_per_second", "", 1048576], ["cache_hit_percent", "", 99.5],
                ["queries_per_second", "", 1234.5678901], ["query_p50_ms", "all", 0.1], ["query_p99_ms", "all", 9.75], ["query_p50_ms", "select", 0.05],
                ["rows_inserted_per_second", "", 100], ["ingest_rows_per_second", "", 90]]');
SELECT h ->> 'status' AS status, h -> 'sample' AS sample, h -> 'errors' AS errors, h -> 'connections' AS connections FROM dbperf.health_database() h;
SELECT h -> 'wal' AS wal, h #> '{cache,hit_percent}' AS hit_percent, h -> 'inserts' AS inserts, h #> '{queries,per_second}' AS per_second,
       h #> '{queries,kinds}' AS kinds
FROM dbperf.health_database() h;
SELECT * FROM checks(dbperf.health_database());
SELECT name FROM checks(dbperf.health_performance());
SELECT name FROM checks(dbperf.health_partitions());
-- each threshold, and of several labels the worst
CREATE FUNCTION judge(metric text, VARIADIC vals float8[]) RETURNS TABLE (val float8, status text, severity text, message text) LANGUAGE plpgsql AS $$
BEGIN
    FOREACH val IN ARRAY vals LOOP
        PERFORM sample(jsonb_build_array(jsonb_build_array(judge.metric, '', val)));
        RETURN QUERY SELECT val, h ->> 'status', c ->> 'severity', c ->> 'message'
            FROM dbperf.health_database() h, jsonb_array_elements(h -> 'checks') c
            WHERE c ->> 'metric' = judge.metric;
    END LOOP;
END
$$;
SELECT * FROM judge('connections_used_percent', 79.999, 80, 89.999, 90, 100);
SELECT * FROM judge('slow_queries', 0, 1, 60);
SELECT sample('[["disk_free_percent", "fast", 4.5], ["disk_free_percent", "pg_default", 15], ["pool_utilization_percent", "a", 81], ["pool_utilization_percent", "b", 20],
                ["replication_lag_seconds", "s1", 29], ["replication_lag_seconds", "s2", 31]]');
SELECT * FROM checks(dbperf.health_database()) WHERE severity IN ('warning', 'critical');
SELECT h ->> 'status' FROM dbperf.health_partitions() h;
-- rules of one's own; disabled ones do not count
INSERT INTO dbperf.alert_rules (name, metric, comparison, warn, label) VALUES ('archive', 'disk_free_percent', '<', 20, 'pg\_%');
UPDATE dbperf.alert_rules SET enabled = false WHERE name = 'archive_space';
SELECT * FROM checks(dbperf.health_database()) WHERE name LIKE 'archive%';
DELETE FROM dbperf.alert_rules WHERE name = 'archive';
UPDATE dbperf.alert_rules SET enabled = true WHERE name = 'archive_space';
-- a rule that asks for a time is not judged by a moment, but by its alert
SELECT * FROM judge('connections_waiting', 0, 1, 20, 21);
SELECT sample('[["connections_waiting", "", 3]]');
INSERT INTO dbperf.alerts (rule, metric, severity, state, value, threshold, message, opened_at, last_value, last_seen_at)
    VALUES ('connections_waiting', 'connections_waiting', 'warning', 'open', 2, 1, 'sessions wait', dbperf.clock() - interval '1 minute', 4, dbperf.clock());
SELECT h ->> 'status' AS status, h -> 'alerts' AS alerts FROM dbperf.health_database() h;
SELECT * FROM checks(dbperf.health_database()) WHERE name = 'connections_waiting';
-- also below the threshold, as long as the alert is not closed; and acknowledged
UPDATE dbperf.alerts SET state = 'acknowledged';
SELECT * FROM judge('connections_waiting', 0);
-- critical at once goes before
SELECT * FROM judge('connections_waiting', 30);
UPDATE dbperf.alerts SET state = 'closed', closed_at = dbperf.clock();
SELECT * FROM judge('connections_waiting', 0);
-- alerts of what is worse than usual
INSERT INTO dbperf.alerts (rule, metric, severity, state, value, threshold, message, opened_at, last_value, last_seen_at)
    VALUES ('insert_degradation', 'ingest_rows_per_second', 'critical', 'open', 3.5, 3, 'slow', dbperf.clock(), 3.25, dbperf.clock());
SELECT * FROM checks(dbperf.health_performance()) WHERE name = 'insert_degradation';
DELETE FROM dbperf.alerts;
-- lists are bounded
INSERT INTO dbperf.alerts (rule, metric, label, severity, state, value, message, opened_at, last_value, last_seen_at)
    SELECT 'pool_usage', 'pool_utilization_percent', 'p' || n, CASE WHEN n > 70 THEN 'critical' ELSE 'warning' END, 'open', 1, 'm', dbperf.clock(), 1, dbperf.clock()
    FROM generate_series(1, 80) n;
SELECT jsonb_array_length(h #> '{alerts,list}') AS listed, h #> '{alerts,open}' AS open, h #> '{alerts,critical}' AS critical,
       h #> '{alerts,list,9,severity}' AS tenth, h #> '{alerts,list,10,severity}' AS eleventh
FROM dbperf.health_database() h;
DELETE FROM dbperf.alerts;

-- Fresh for three intervals, half a minute at least
CREATE FUNCTION is_stale(age interval) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM sample('[["connections_used", "", -1]]', age);
    -- then connections are counted, and not -1
    RETURN (SELECT ((h #>> '{connections,used}')::int > 0) AND (h #>> '{sample,stale}')::boolean FROM dbperf.health_database() h);
END
$$;
SELECT age, is_stale(age) FROM unnest('{0,30 s,31 s,-30 s,-31 s,1 year}'::interval[]) age;
INSERT INTO dbperf.monitoring (enabled, sample_interval) VALUES (true, '1 minute');
SELECT age, is_stale(age) FROM unnest('{180 s,181 s}'::interval[]) age;
UPDATE dbperf.monitoring SET enabled = false;
SELECT h -> 'monitoring' ->> 'enabled' AS enabled, h #> '{monitoring,interval_seconds}' AS interval, h #>> '{monitoring,reason}' AS reason FROM dbperf.health_database() h;
DELETE FROM dbperf.monitoring;

-- What is worse than usual: as the sampler has noted it in the last three minutes; otherwise as it is, if there are few series
SELECT dbperf.note_regressions();
SELECT at, regressions FROM dbperf.noted_regressions;
UPDATE dbperf.noted_regressions SET regressions = '[{"metric": "noted"}]', at = dbperf.clock() - interval '59 s';
SELECT dbperf.note_regressions();
SELECT h -> 'regressions' AS regressions FROM dbperf.health_database() h;
UPDATE dbperf.noted_regressions SET at = dbperf.clock() - interval '181 s';
SELECT h -> 'regressions' AS regressions FROM dbperf.health_performance() h;
INSERT INTO dbperf.metric_series SELECT n, 'query_p95_ms', 'kind ' || n FROM generate_series(1, 501) n;
SELECT h -> 'regressions' AS regressions, h -> 'errors' AS errors FROM dbperf.health_performance() h;
SELECT dbperf.note_regressions();
SELECT h -> 'regressions' AS regressions, h -> 'errors' AS errors FROM dbperf.health_performance() h;
DELETE FROM dbperf.metric_series;

-- Partitions: as sampled, unless something was done since
SELECT sample('[["partition_status", "t.gone", 2]]');
UPDATE dbperf.sampler_state SET partitions = '[{"parent": "t.gone", "status": "critical", "reasons": ["none"], "partitions": 3, "runway": "1 day 06:00:00", "runway_periods": 1.25}]';
SELECT h ->> 'status' AS status, h -> 'partitions' AS partitions, jsonb_array_length(h -> 'tables') AS tables, h #> '{tables,0}' AS "table" FROM dbperf.health_partitions() h;
UPDATE dbperf.sampler_state SET partitions = '"none"';
SELECT h ->> 'status' AS status, h -> 'errors' AS errors, h -> 'tables' AS tables FROM dbperf.health_partitions() h;
SELECT make('ticks');
SELECT dbperf.manage('ticks', '1 month', 2);
SELECT h -> 'partitions' AS partitions, h #> '{tables,0,parent}' AS parent, h #> '{tables,0,runway}' AS runway, h #> '{tables,0,runway_seconds}' AS seconds,
       h #> '{tables,0,total_bytes}' AS total_bytes
FROM dbperf.health_partitions() h;
-- everything that partition_health has
SELECT array_agg(a.attname ORDER BY a.attnum) AS missing
FROM pg_attribute a WHERE a.attrelid = 'dbperf.partition_health'::regclass AND a.attnum > 0
AND NOT (SELECT h #> '{tables,0}' ? a.attname FROM dbperf.health_partitions() h);
-- without a sample, the checks go by what is there now
DELETE FROM dbperf.sampler_state;
SELECT h ->> 'status' AS status, h -> 'errors' AS errors FROM dbperf.health_partitions() h;
SET dbperf.now_override = '2027-02-15 00:00+00';
SELECT h ->> 'status' AS status, h -> 'errors' AS errors FROM dbperf.health_partitions() h;
SELECT * FROM checks(dbperf.health_partitions()) WHERE severity = 'critical';
SET dbperf.now_override = '2026-11-21 12:00:00+00';
SELECT name, message FROM checks(dbperf.health_database()) WHERE severity NOT IN ('ok', 'unknown') AND name LIKE 'partition%';

-- What fails costs its section only
INSERT INTO dbperf.sampler_state DEFAULT VALUES;
SELECT sample('[["connections_used_percent", "", 10]]');
ALTER TABLE dbperf.alerts RENAME TO alerts_hidden;
SELECT h ->> 'status' AS status, h -> 'errors' AS errors, h -> 'alerts' AS alerts, h ? 'server' AS server FROM dbperf.health_database() h;
SELECT * FROM checks(dbperf.health_database()) WHERE name = 'report';
ALTER TABLE dbperf.alerts_hidden RENAME TO alerts;
UPDATE dbperf.sampler_state SET "values" = '[["connections_used_percent", "", "many"]]';
SELECT h ->> 'status' AS status, h -> 'errors' AS errors, h -> 'sample' -> 'source' AS source FROM dbperf.health_database() h;
UPDATE dbperf.sampler_state SET "values" = '{}';
SELECT h ->> 'status' AS status, h -> 'errors' AS errors, h -> 'sample' -> 'source' AS source FROM dbperf.health_database() h;
DELETE FROM dbperf.sampler_state;

-- Whoever may look
SET ROLE regress_dbperf_oncall;
SELECT h -> 'errors' AS errors FROM dbperf.health_database() h;
SELECT h -> 'errors' AS errors FROM dbperf.health_performance() h;
SELECT h -> 'errors' AS errors FROM dbperf.health_partitions() h;
SET ROLE regress_dbperf_nobody;
SELECT fails('SELECT dbperf.health_database()');
RESET ROLE;
-- whatever the session has set
SET TimeZone = 'Asia/Tokyo';
SET IntervalStyle = 'iso_8601';
SET DateStyle = 'German';
SET extra_float_digits = -10;
SELECT h -> 'at' AS at, h #> '{tables,0,runway}' AS runway, h #> '{tables,0,covered_until}' AS covered_until FROM dbperf.health_partitions() h;
DROP ROLE regress_dbperf_oncall, regress_dbperf_nobody;
