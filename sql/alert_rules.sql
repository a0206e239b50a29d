--
-- Rules of alerts: what is refused when it is written, what came with the extension, how a dump brings
-- them, and the kind "baseline"; who may do what
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set alerts :abs_srcdir '/sql/lib/alerts.sql'
\set ECHO none
\i :setup
\set ECHO all
SELECT name, metric, comparison, warn, critical, for_duration, critical_for, clear_at, cooldown, enabled, label
FROM dbperf.alert_rules ORDER BY name COLLATE "C";
SELECT count(*) FILTER (WHERE built_in) AS built_in, count(description) AS described, count(modified_at) AS modified, count(*) FROM dbperf.alert_rules;
-- they pass their own test
UPDATE dbperf.alert_rules SET cooldown = cooldown;
SELECT count(*) FILTER (WHERE built_in), count(modified_at) AS modified FROM dbperf.alert_rules;
\set ECHO none
DROP EXTENSION tradeassist_dbperf;
CREATE EXTENSION tradeassist_dbperf;
\i :alerts
\set ECHO all

-- bad rules
CREATE TABLE bad (n serial, columns text, vals text);
INSERT INTO bad (columns, vals) VALUES
    ('name', 'NULL'), ('name', ''''''), ('name', 'repeat(''ä'', 32)'), ('metric', 'NULL'), ('metric', '''none'''), ('metric', '''CPU_PERCENT'''),
    ('comparison', 'NULL'), ('comparison', '''='''), ('comparison', '''!='''),
    ('warn', 'NULL'), ('warn', '''NaN'''), ('warn', '''Infinity'''), ('critical', '''-Infinity'''), ('clear_at', '''NaN'''), ('warn', '1e101'),
    ('critical', '79'), ('comparison, critical', '''<'', 81'), ('comparison, critical', '''>'', 79.999'), ('comparison, critical', '''<='', 80.001'),
    ('clear_at', '81'), ('comparison, clear_at', '''<'', 79'), ('warn, critical, clear_at', 'NULL, 5, 6'),
    ('for_duration', 'NULL'), ('for_duration', '''-1 s'''), ('for_duration', '''367 days'''), ('for_duration', '''1 month -31 days'''),
    ('critical_for', '''-1 s'''), ('cooldown', 'NULL'), ('cooldown', '''-1 s'''), ('cooldown', '''400 days'''), ('enabled', 'NULL'),
    ('label', '''%'''), ('metric, label', $$'pool_waiting', 'a\'$$), ('metric, label', $$'pool_waiting', 'a\\\'$$), ('metric, label', $$'pool_waiting', '\'$$),
    ('comparison', '''changed'''), ('comparison, warn, for_duration', '''changed'', NULL, ''1 s'''), ('comparison, warn, critical_for', '''changed'', NULL, ''1 s'''),
    ('comparison, warn, clear_at', '''changed'', NULL, 1'),
    ('comparison, warn', '''baseline'', 0.9'), ('comparison, warn', '''baseline'', NULL'), ('metric, comparison, warn', '''connections_max'', ''baseline'', 2'),
    ('modified_at, metric', '''2026-01-01'', ''none''');
CREATE FUNCTION write_rule(columns text, vals text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    given text[] := string_to_array(columns, ', ');
    rest  jsonb := '{"name": "''bad''", "metric": "''cpu_percent''", "warn": "80"}'::jsonb - given;
BEGIN
    RETURN QUERY SELECT f FROM t.fails(format('INSERT INTO dbperf.alert_rules (%s%s) VALUES (%s%s)', columns,
        (SELECT string_agg(', ' || key, '' ORDER BY key) FROM jsonb_each(rest)), vals, (SELECT string_agg(', ' || value, '' ORDER BY key) FROM jsonb_each_text(rest)))) f;
END
$$;
SELECT n, columns, f FROM bad, write_rule(columns, vals) f ORDER BY n;
SELECT count(*) FROM dbperf.alert_rules WHERE NOT built_in;
-- good ones
SELECT write_rule(v.columns, v.vals) FROM (VALUES
    ('name', 'repeat(''ä'', 31)'), ('name, critical', '''equal'', 80'), ('name, clear_at', '''clear'', 80'), ('name, comparison, critical, clear_at', '''down'', ''<'', 80, 80'),
    ('name, warn, critical, clear_at', '''critical'', NULL, 5, 5'), ('name, for_duration, cooldown, critical_for', '''long'', ''366 days'', ''366 days'', ''0'''),
    ('name, metric, label', $$'label', 'pool_waiting', 'a\\\\_\\%\'$$), ('name, metric, label', $$'label', 'pool_waiting', 'a\\'$$),
    ('name, comparison, warn', '''changes'', ''changed'', NULL'), ('name, comparison, warn', '''worse'', ''baseline'', 1')) v (columns, vals);
SELECT count(*), count(modified_at), bool_or(built_in) FROM dbperf.alert_rules WHERE name !~ '^[a-z_]+$' OR NOT built_in;
-- and what may be changed
SELECT fails($$UPDATE dbperf.alert_rules SET warn = 'NaN' WHERE name = 'connections'$$);
SELECT fails($$UPDATE dbperf.alert_rules SET name = 'mine' WHERE name = 'connections'$$);
SELECT fails($$DELETE FROM dbperf.alert_rules WHERE name = 'connections'$$);
UPDATE dbperf.alert_rules SET warn = 85, built_in = false WHERE name = 'connections';
UPDATE dbperf.alert_rules SET name = 'other', built_in = true WHERE name = 'equal';
SELECT name, warn, built_in, modified_at = now() AS modified FROM dbperf.alert_rules WHERE modified_at > now() - interval '1 hour' AND name IN ('connections', 'other') ORDER BY name;
DELETE FROM dbperf.alert_rules WHERE NOT built_in;

-- a dump brings those that were changed, with the time of the change
COPY dbperf.alert_rules (name, metric, comparison, warn, critical, cooldown, enabled, built_in, modified_at) FROM stdin;
connections	connections_used_percent	>=	70	71	01:00:00	t	t	2026-01-01 00:00:00+00
mine	cpu_percent	>	7	\N	00:00:00	t	t	2026-01-02 00:00:00+00
gone	no_such_metric	>	7	\N	00:00:00	t	f	2026-01-02 00:00:00+00
wrong	cpu_percent	>	7	6	00:00:00	t	f	2026-01-02 00:00:00+00
\.
SELECT name, metric, comparison, warn, critical, clear_at, cooldown, enabled, built_in, modified_at, description IS NULL AS bare
FROM dbperf.alert_rules WHERE modified_at < '2026-02-01' ORDER BY name;
-- what pg_dump takes
SELECT c.oid::regclass AS relation, e.condition
FROM pg_extension x, unnest(x.extconfig, x.extcondition) e (oid, condition) JOIN pg_class c ON c.oid = e.oid
WHERE x.extname = 'tradeassist_dbperf' AND c.relname ~ 'alert' ORDER BY c.relname COLLATE "C";
-- pg_upgrade takes no columns of these types
SELECT attrelid::regclass, attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = 'dbperf'::regnamespace AND c.relkind IN ('r', 'p', 'm') AND a.atttypid IN ('regprocedure'::regtype, 'regproc'::regtype);

-- by what is usual: three windows of five minutes, and at least so many times
SELECT dbperf.settle_monitoring() IS NOT NULL AS settled;
SELECT count(dbperf.store_sample(timestamptz '2026-11-21 11:30+00' + g * interval '10 s', '{ingest_rows_per_second,insert_rows_per_second,insert_rows_per_second}', '{"",t.a,t.b}',
    ARRAY[500 + g % 3, 100, CASE WHEN g <= 60 THEN 100 ELSE 20 END])) FROM generate_series(1, 151) g;
INSERT INTO dbperf.hourly_baselines
SELECT m, l, dbperf.hour_of_week('2026-11-21 11:30+00') + h, b, b / 50, 300, '2026-11-20'
FROM generate_series(0, 1) h, (VALUES ('ingest_rows_per_second', '', 1000), ('insert_rows_per_second', 't.a', 100), ('insert_rows_per_second', 't.b', 100)) v (m, l, b);
INSERT INTO dbperf.alert_rules (name, metric, comparison, warn, critical) VALUES ('slower', 'ingest_rows_per_second', 'baseline', 1.5, 3), ('tables', 'insert_rows_per_second', 'baseline', 1.5, 3);
UPDATE dbperf.alert_rules SET enabled = false WHERE name = 'mine';
SELECT t.sample('11:45:00', '{}');
SELECT rule, label, severity, round(value::numeric, 2) AS value, message FROM dbperf.alerts ORDER BY alert_id;
SELECT t.sample('11:54:00', '{}'), t.sample('11:55:10', '{}');
SELECT rule, label, severity, state, round(value::numeric, 2) AS value, message FROM dbperf.alerts ORDER BY alert_id;
-- well again
SELECT count(dbperf.store_sample(timestamptz '2026-11-21 11:55:10+00' + g * interval '10 s', '{ingest_rows_per_second,insert_rows_per_second,insert_rows_per_second}', '{"",t.a,t.b}',
    ARRAY[1000, 100, 100])) FROM generate_series(1, 30) g;
SELECT t.sample('12:00:10', '{}');
SELECT rule, label, severity, state, close_reason FROM dbperf.alerts ORDER BY alert_id;
-- without a baseline there is nothing to compare with
DELETE FROM dbperf.hourly_baselines;
SELECT t.sample('12:00:20', '{}');

-- who may do what
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_dbperf_oncall, regress_dbperf_nobody, regress_dbperf_admin;
RESET client_min_messages;
CREATE ROLE regress_dbperf_oncall IN ROLE pg_monitor;
CREATE ROLE regress_dbperf_nobody;
CREATE ROLE regress_dbperf_admin;
GRANT USAGE ON SCHEMA dbperf, t TO regress_dbperf_admin;
GRANT USAGE ON SCHEMA t TO regress_dbperf_oncall, regress_dbperf_nobody;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA dbperf TO regress_dbperf_admin;
GRANT SELECT ON ALL TABLES IN SCHEMA dbperf TO regress_dbperf_admin;
INSERT INTO dbperf.alert_rules (name, metric, warn) VALUES ('load', 'load1', 1);
SELECT t.sample('12:10:00', '{"load1": 2}');
SET ROLE regress_dbperf_oncall;
SELECT count(*) > 20 AS rules FROM dbperf.alert_rules;
SELECT rule FROM dbperf.alerts WHERE state = 'open';
SELECT rule, level, new_level, old_level, action FROM dbperf.alert_judgements;
SELECT count(*) FROM dbperf.alert_events, dbperf.alert_pending, dbperf.alert_callbacks;
SELECT fails('SELECT dbperf.acknowledge_alert(1)');
SELECT fails($$SELECT dbperf.silence_alert('load', 'infinity')$$);
SELECT fails('SELECT dbperf.evaluate_alerts()');
SELECT fails($$UPDATE dbperf.alert_rules SET enabled = false$$);
SET ROLE regress_dbperf_nobody;
SELECT fails('SELECT count(*) FROM dbperf.alerts');
-- an administrator, who has EXECUTE only
SET ROLE regress_dbperf_admin;
SELECT dbperf.acknowledge_alert(max(alert_id), 'mine') FROM dbperf.alerts;
SELECT dbperf.silence_alert('load', 'infinity');
SELECT fails('DELETE FROM dbperf.alert_rules');
SELECT fails('UPDATE dbperf.alerts SET note = NULL');
SELECT fails('DELETE FROM dbperf.alert_events');
SELECT fails('SELECT dbperf.pending_notifications()');
SELECT fails('SELECT dbperf.prune_alerts()');
SELECT fails($$SELECT dbperf.callback_done(0, 0, NULL, 0)$$);
RESET ROLE;
SELECT state, acknowledged_by = session_user AS by_session_user, note FROM dbperf.alerts WHERE rule = 'load';
DROP OWNED BY regress_dbperf_oncall, regress_dbperf_nobody, regress_dbperf_admin;
DROP ROLE regress_dbperf_oncall, regress_dbperf_nobody, regress_dbperf_admin;
