--
-- Connection pools: their table, what clients report, and the view of how they are
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
SELECT dbperf.reset_performance_stats();

-- one is there
SELECT * FROM dbperf.pools;
-- what is changed is dumped
CREATE VIEW changed AS SELECT name, base_size, comment, modified_at = now() AS now, modified_at FROM dbperf.pools ORDER BY name COLLATE "C";
BEGIN;
UPDATE dbperf.pools SET base_size = 5;
SELECT name, base_size, now FROM changed;
ROLLBACK;
BEGIN;
INSERT INTO dbperf.pools (name, application_name, comment) VALUES ('feed', 'feed%', 'mine');
SELECT name, base_size, now FROM changed;
COMMIT;
SELECT fails($$INSERT INTO dbperf.pools (name) VALUES ('feed')$$);
INSERT INTO dbperf.pools (name, base_size) VALUES ('feed', 7) ON CONFLICT (name) DO UPDATE SET base_size = excluded.base_size;
SELECT name, base_size, comment FROM changed;
-- as a dump brings it: a row replaces the one of its name
INSERT INTO dbperf.pools (name, base_size, modified_at) VALUES ('default', 3, '2026-01-01 00:00:00+00'), ('feed', 4, '2026-01-02 00:00:00+00'), ('new', 5, '2026-01-03 00:00:00+00');
SELECT name, base_size, comment, modified_at FROM changed;
COPY dbperf.pools (name, base_size, modified_at) FROM stdin;
new	6	2026-01-04 00:00:00+00
newer	7	2026-01-05 00:00:00+00
\.
SELECT name, base_size, modified_at FROM changed;
-- which needs no triggers of the session's own
SET session_replication_role = replica;
INSERT INTO dbperf.pools (name, base_size, modified_at) VALUES ('newer', 8, '2026-01-06 00:00:00+00');
RESET session_replication_role;
SELECT name, base_size, modified_at FROM changed WHERE name = 'newer';
UPDATE dbperf.pools SET modified_at = NULL WHERE name = 'newer';
SELECT name FROM changed WHERE modified_at > '2026-01-06 00:00:00+00';

-- what is wrong is refused
SELECT fails($$DELETE FROM dbperf.pools$$);
SELECT fails($$UPDATE dbperf.pools SET name = 'other' WHERE name = 'default'$$);
UPDATE dbperf.pools SET name = 'renamed' WHERE name = 'newer';
DELETE FROM dbperf.pools WHERE name IN ('new', 'renamed');
SELECT fails(format('INSERT INTO dbperf.pools (name, %I) VALUES (''x'', %s)', c, v)) FROM (VALUES
    ('application_name', $$''$$), ('username', $$'a\'$$), ('datname', $$'\'$$), ('pgbouncer_pool', $$''$$), ('application_name', $$'a\\\'$$),
    ('base_size', '-1'), ('base_size', 'NULL'), ('max_overflow', '-1'), ('base_size', '262144'), ('max_overflow', '2147483647'),
    ('acquire_timeout', $$'0'$$), ('acquire_timeout', $$'-1 s'$$), ('acquire_timeout', $$'-1 year 361 days'$$), ('acquire_timeout', $$'2 days'$$), ('acquire_timeout', 'NULL'),
    ('recycle_after', $$'-1 s'$$), ('recycle_after', $$'-1 year 361 days'$$), ('recycle_after', $$'10 years'$$), ('priority', 'NULL')) v (c, v);
SELECT fails($$INSERT INTO dbperf.pools (name, base_size, max_overflow) VALUES ('x', 0, 0)$$);
SELECT fails(format('INSERT INTO dbperf.pools (name) VALUES (%L)', n)) FROM unnest(ARRAY['', NULL, repeat('x', 64), repeat('ü', 32), E'a\nb', E'\t']) n;
INSERT INTO dbperf.pools (name, application_name, username, base_size, max_overflow, acquire_timeout, recycle_after) VALUES
    (repeat('x', 63), '\\', '%\%', 0, 1, '1 ms', '0'), ('o''Brien "x"', 'a\\\\', '_', 262143, 0, '1 day', '1 year');
-- however the session reads backslashes
SET standard_conforming_strings = off;
INSERT INTO dbperf.pools (name, application_name) VALUES ('old strings', E'a\\_b');
SELECT fails($$INSERT INTO dbperf.pools (name, application_name) VALUES ('x', E'a\\')$$);
RESET standard_conforming_strings;
DELETE FROM dbperf.pools WHERE length(name) > 10;

-- acquire times
UPDATE dbperf.pools SET acquire_timeout = '30 s';
CREATE VIEW acquired AS
    SELECT pool, acquire_count AS n, acquire_timeouts AS timeouts, round(acquire_p50_ms::numeric, 1) AS p50, round(acquire_p95_ms::numeric, 1) AS p95,
           round(acquire_p99_ms::numeric, 1) AS p99, status, reasons FROM dbperf.pool_status;
SELECT * FROM acquired;
SELECT dbperf.track_connection_acquire(2);
SELECT dbperf.track_connection_acquire(0.25, 'feed'), dbperf.track_connection_acquire(0, pool => 'feed');
SELECT * FROM acquired;
-- percentiles are within 1.6 %
SELECT count(dbperf.track_connection_acquire(g / 10.0)) FROM generate_series(1, 100) g;
SELECT count(dbperf.track_connection_acquire(g, 'feed')) FROM generate_series(1, 100) g;
SELECT * FROM acquired;
-- whatever becomes of the transaction, and in one that only reads
BEGIN READ ONLY;
SELECT dbperf.track_connection_acquire(1);
ROLLBACK;
SELECT n FROM acquired WHERE pool = 'default';
-- those that lasted as long as the pool lets them were in vain
UPDATE dbperf.pools SET acquire_timeout = '500 ms' WHERE name = 'feed';
SELECT count(dbperf.track_connection_acquire(ms, 'feed')) FROM unnest(ARRAY[499.9, 500, 501, 86400000]) ms;
SELECT n, timeouts, status, reasons FROM acquired WHERE pool = 'feed';
SELECT pool, acquires, timeouts, max_ms FROM dbperf.pool_acquire_times() ORDER BY pool;
-- five minutes
SET dbperf.now_override = '2026-11-21 12:04:59+00';
SELECT dbperf.track_connection_acquire(3);
SELECT pool, n, timeouts FROM acquired;
SET dbperf.now_override = '2026-11-21 12:06:00+00';
SELECT pool, n, timeouts FROM acquired;
SET dbperf.now_override = '2026-11-21 12:10:00+00';
SELECT * FROM acquired;
SELECT * FROM dbperf.pool_acquire_times() ORDER BY pool;
-- what is no time, and no pool
SELECT fails(format('SELECT dbperf.track_connection_acquire(%s)', a)) FROM unnest(ARRAY['NULL', '-0.001', $$'NaN'$$, $$'inf'$$, '86400001', '1, NULL', '1, ''''',
    $$1, 'no such "pool"'$$, $$1, repeat('x', 64)$$]) a;
SELECT n FROM acquired WHERE pool = 'default';
-- a pool that was dropped is none any more
INSERT INTO dbperf.pools (name, priority) VALUES ('gone', 2000);
SELECT dbperf.track_connection_acquire(1, 'gone');
SELECT pool, n FROM acquired;
DELETE FROM dbperf.pools WHERE name = 'gone';
SELECT fails($$SELECT dbperf.track_connection_acquire(1, 'gone')$$);
SELECT pool, n FROM acquired;

-- samples
SET dbperf.now_override = '2026-11-21 13:00:00+00';
CREATE VIEW reported AS SELECT pool, client_reported, acquire_count AS n, acquire_timeouts AS timeouts, round(acquire_p50_ms::numeric, 1) AS p50, status, reasons FROM dbperf.pool_status;
SELECT dbperf.report_pool_sample('{"instance": "a:1", "size": 5, "checked_out": 3, "overflow": -2, "waiting": 0, "timeouts": 7, "acquire_ms": [0, 0.5, 1, 2e0]}');
SELECT dbperf.report_pool_sample('{"instance": "a:2", "size": 5, "checked_out": 9, "overflow": 4, "waiting": 2, "timeouts": 0}');
SELECT dbperf.report_pool_sample('{"instance": "b", "pool": "feed"}');
SELECT * FROM reported;
SELECT * FROM dbperf.pool_samples() ORDER BY pool, instance;
-- the last of each instance; timeouts are those since the one before
SET dbperf.now_override = '2026-11-21 13:01:00+00';
SELECT dbperf.report_pool_sample('{"instance": "a:2", "size": 5, "checked_out": 1, "overflow": 0, "waiting": 0, "timeouts": 3}');
SELECT dbperf.report_pool_sample('{"instance": "a:1", "timeouts": 9, "acquire_ms": []}');
SELECT * FROM reported WHERE pool = 'default';
-- an instance that began anew
SELECT dbperf.report_pool_sample('{"instance": "a:1", "timeouts": 1}');
SELECT timeouts FROM reported WHERE pool = 'default';
-- one that says nothing of them
SELECT dbperf.report_pool_sample('{"instance": "a:1"}');
SELECT dbperf.report_pool_sample('{"instance": "a:1", "timeouts": 100}');
SELECT timeouts FROM reported WHERE pool = 'default';
-- many that wait
SELECT dbperf.report_pool_sample('{"instance": "a:1", "waiting": 21}');
SELECT status, reasons FROM reported WHERE pool = 'default';
-- five minutes
SET dbperf.now_override = '2026-11-21 13:05:01+00';
SELECT instance, age_seconds FROM dbperf.pool_samples() ORDER BY instance;
SET dbperf.now_override = '2026-11-21 13:06:59+00';
SELECT * FROM reported;
SET dbperf.now_override = '2026-11-21 13:07:00+00';
SELECT * FROM reported;
-- the clock steps back
SET dbperf.now_override = '2026-11-21 12:30:00+00';
SELECT * FROM reported;
-- what is no sample
SELECT fails(format('SELECT dbperf.report_pool_sample(%s)', coalesce(quote_literal(s), 'NULL'))) FROM unnest(ARRAY[NULL, '1', '[]', '"x"', 'null', '{}',
    '{"pool": "default"}', '{"instance": ""}', '{"instance": 1}', '{"instance": null}', '{"instance": "i", "pool": "none"}', '{"instance": "i", "pool": ""}',
    '{"instance": "i", "Size": 1}', '{"instance": "i", "size": -1}', '{"instance": "i", "size": 1.5}', '{"instance": "i", "size": "1"}',
    '{"instance": "i", "size": null}', '{"instance": "i", "size": 1e10}', '{"instance": "i", "waiting": [1]}', '{"instance": "i", "overflow": -0.5}',
    '{"instance": "i", "overflow": 1e400}', '{"instance": "i", "timeouts": 2147483648}', '{"instance": "i", "timeouts": {}}',
    '{"instance": "i", "acquire_ms": 1}', '{"instance": "i", "acquire_ms": {"a": 1}}', '{"instance": "i", "acquire_ms": [1, -1]}',
    '{"instance": "i", "acquire_ms": [[1]]}', '{"instance": "i", "acquire_ms": ["1"]}', '{"instance": "i", "acquire_ms": [1, null]}',
    '{"instance": "i", "acquire_ms": [86400001]}']) s;
SELECT fails($$SELECT dbperf.report_pool_sample(jsonb_build_object('instance', 'i', 'acquire_ms', (SELECT array_agg(1) FROM generate_series(1, 10001))))$$);
SELECT fails($$SELECT dbperf.report_pool_sample(jsonb_build_object('instance', repeat('ü', 32)))$$);
SELECT instance FROM dbperf.pool_samples();
SELECT dbperf.report_pool_sample(jsonb_build_object('instance', repeat('ü', 31), 'acquire_ms', (SELECT array_agg(1) FROM generate_series(1, 10000)), 'size', 2147483647, 'timeouts', 2147483647));
SELECT length(instance), size, timeouts FROM dbperf.pool_samples();
SELECT n FROM reported WHERE pool = 'default';
-- no more than 256: the oldest is forgotten
SELECT count(dbperf.report_pool_sample(jsonb_build_object('instance', 'i' || g, 'waiting', 1))) FROM generate_series(1, 260) g;
SELECT count(*), min(substr(instance, 2)::int), max(substr(instance, 2)::int) FROM dbperf.pool_samples();
SELECT client_reported FROM reported WHERE pool = 'default';
-- a reset forgets both
SELECT dbperf.reset_performance_stats();
SELECT * FROM reported;
SELECT count(*) FROM dbperf.pool_samples();
SELECT count(*) FROM dbperf.pool_acquire_times();

-- a connection belongs to the first pool that matches it
SET dbperf.now_override = '';
DELETE FROM dbperf.pools WHERE name <> 'default';
INSERT INTO dbperf.pools (name, application_name, username, datname, priority) VALUES
    ('b', 'app\_%', NULL, NULL, 10), ('a', 'app\_one', NULL, '%', 10), ('role', NULL, 'nobody', NULL, 1), ('elsewhere', 'other', NULL, 'template_', 1),
    ('backslash', 'back\\slash', NULL, NULL, 1);
CREATE VIEW mine AS SELECT pool FROM dbperf.pool_status WHERE active > 0;
SET application_name = 'app_one';
TABLE mine;
SET application_name = 'app_two';
TABLE mine;
SET application_name = 'appetite';
TABLE mine;
SET application_name = 'other';
TABLE mine;
SET application_name = 'back\slash';
TABLE mine;
SET application_name = '';
TABLE mine;
UPDATE dbperf.pools SET username = session_user WHERE name = 'role';
TABLE mine;
UPDATE dbperf.pools SET datname = 'template1' WHERE name = 'role';
TABLE mine;
UPDATE dbperf.pools SET datname = current_database() WHERE name = 'default';
TABLE mine;
DELETE FROM dbperf.pools WHERE name <> 'default';
-- one that no pool matches is in none
UPDATE dbperf.pools SET application_name = 'none', datname = NULL;
SELECT pool, total FROM dbperf.pool_status;

-- how full it is; the other end of it is in test/t/051_pools.pl
INSERT INTO dbperf.pools (name, application_name) VALUES ('this', 'pools test');
SET application_name = 'pools test';
CREATE VIEW fullness AS SELECT active, idle, total, base_size AS base, max_overflow AS more, overflow_in_use AS overflow, utilization_percent AS percent, status, reasons FROM dbperf.pool_status WHERE pool = 'this';
TABLE fullness;
UPDATE dbperf.pools SET base_size = 1, max_overflow = 0;
TABLE fullness;
UPDATE dbperf.pools SET base_size = 0, max_overflow = 1;
TABLE fullness;
UPDATE dbperf.pools SET base_size = 262143, max_overflow = 0;
TABLE fullness;
SELECT oldest_connection > '0' AS oldest, recycle_after, past_recycle_age AS past, longest_idle_in_transaction AS idle FROM dbperf.pool_status WHERE pool = 'this';
UPDATE dbperf.pools SET recycle_after = '1 microsecond';
SELECT past_recycle_age AS past FROM dbperf.pool_status WHERE pool = 'this';
UPDATE dbperf.pools SET recycle_after = '0';
SELECT past_recycle_age AS past FROM dbperf.pool_status WHERE pool = 'this';
-- this session itself has been noted
SELECT count(*) > 0 AS noted, bool_and(establish_ms > 0) AS took_time, bool_or(failed) AS failed FROM dbperf.recent_connections()
    WHERE database = current_database() AND username = session_user AND age_seconds BETWEEN 0 AND 900;
SELECT preloaded, max_pools, pools BETWEEN 0 AND max_pools AS pools, source FROM dbperf.pool_counters_state(), dbperf.pool_status LIMIT 1;
-- new connections, made up: 2048 in ten seconds are all that are known, so the rate is that of these
BEGIN;
CREATE TABLE made_up AS
    SELECT g * 10 / 2048.0::double precision AS age_seconds, current_database()::text AS database, 'x' AS username, 'pools test' AS application_name,
           false AS failed, g::double precision AS establish_ms
    FROM generate_series(1, 2048) g
    UNION ALL SELECT 890, current_database(), 'x', 'pools test', true, 1e6 FROM generate_series(1, 3)
    UNION ALL SELECT 1, current_database(), 'x', 'another', true, 1;
CREATE OR REPLACE FUNCTION dbperf.recent_connections(OUT age_seconds double precision, OUT database text, OUT username text,
    OUT application_name text, OUT failed boolean, OUT establish_ms double precision)
RETURNS SETOF record LANGUAGE sql VOLATILE PARALLEL RESTRICTED ROWS 500 AS 'SELECT * FROM t.made_up';
CREATE VIEW established AS
    SELECT pool, round(connections_per_second::numeric, 3) AS rate, establish_p50_ms AS p50, establish_p95_ms AS p95, establish_p99_ms AS p99,
           failed_authentications AS failed FROM dbperf.pool_status;
TABLE established;
-- one fewer, and it is the last minute's; of which one is no more
DELETE FROM made_up WHERE establish_ms = 1;
TABLE established;
UPDATE made_up SET age_seconds = 60.1 WHERE establish_ms = 2048;
TABLE established;
ROLLBACK;

-- who may do what
CREATE ROLE regress_app;
CREATE ROLE regress_monitor IN ROLE pg_monitor;
CREATE ROLE regress_admin;
GRANT USAGE ON SCHEMA t TO regress_app, regress_monitor, regress_admin;
GRANT EXECUTE ON FUNCTION fails(text) TO regress_app, regress_monitor, regress_admin;
GRANT USAGE ON SCHEMA dbperf TO regress_app, regress_admin;
SET ROLE regress_app;
SELECT fails('SELECT dbperf.track_connection_acquire(1)');
SELECT fails('SELECT dbperf.track_connection_acquire(NULL)');
SELECT fails($$SELECT dbperf.report_pool_sample(NULL)$$);
RESET ROLE;
GRANT EXECUTE ON FUNCTION dbperf.track_connection_acquire, dbperf.report_pool_sample TO regress_app;
SET ROLE regress_app;
SELECT dbperf.track_connection_acquire(1);
SELECT dbperf.report_pool_sample('{"instance": "app"}');
SELECT fails($$SELECT dbperf.track_connection_acquire(1, 'x')$$);
SELECT fails('SELECT * FROM dbperf.pools');
SELECT fails('SELECT * FROM dbperf.pool_status');
SELECT fails('SELECT * FROM dbperf.recent_connections()');
SELECT fails('SELECT * FROM dbperf.pool_samples()');
SET ROLE regress_monitor;
SELECT pool, total, status, reasons, acquire_count FROM dbperf.pool_status;
SELECT count(*) > 0 AS connections FROM dbperf.recent_connections();
SELECT fails('SELECT dbperf.track_connection_acquire(1)');
SELECT fails($$UPDATE dbperf.pools SET comment = 'x'$$);
RESET ROLE;
-- somebody who sees the view, but not the connections of others
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA dbperf TO regress_admin;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dbperf TO regress_admin;
SET ROLE regress_admin;
SELECT pool, total, status, reasons FROM dbperf.pool_status;
-- and says in vain that a dump brings a row
SELECT fails($$INSERT INTO dbperf.pools (name, modified_at) VALUES ('this', '2001-01-01')$$);
INSERT INTO dbperf.pools (name, modified_at) VALUES ('that', '2001-01-01') RETURNING modified_at = now() AS now;
UPDATE dbperf.pools SET modified_at = '2001-01-01' WHERE name = 'that' RETURNING modified_at = now() AS now;
RESET ROLE;
DROP OWNED BY regress_app, regress_monitor, regress_admin;
DROP ROLE regress_app, regress_monitor, regress_admin;
