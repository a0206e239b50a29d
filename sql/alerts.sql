--
-- Alerts: when they are opened, become worse or better, are closed, come back, and who is told
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set alerts :abs_srcdir '/sql/lib/alerts.sql'
\set ECHO none
\i :setup
\i :alerts
\set ECHO all
CREATE VIEW shown AS
    SELECT alert_id, rule, label, severity, state, value, threshold, last_value, to_char(opened_at, 'HH24:MI:SS') AS opened,
           to_char(closed_at, 'HH24:MI:SS') AS closed, close_reason, notified_severity AS told, reopened
    FROM dbperf.alerts ORDER BY alert_id;

-- nothing to go by
SELECT dbperf.evaluate_alerts();
INSERT INTO dbperf.alert_rules (name, metric, warn, critical, clear_at, cooldown) VALUES ('cpu', 'cpu_percent', 80, 90, 70, '5 minutes');
SELECT dbperf.evaluate_alerts();

-- opened, worse, better only at a distance, closed
SELECT t.cpu('12:00:00', 79.9);
SELECT t.cpu('12:00:10', 80);
SELECT message FROM dbperf.alerts;
SELECT t.cpu('12:00:20', 90);
SELECT t.cpu('12:00:30', 80.5);
SELECT t.cpu('12:00:40', 80);
SELECT t.cpu('12:00:50', 79.9);
SELECT t.cpu('12:01:00', 70);
SELECT * FROM shown;
SELECT t.cpu('12:01:10', 69.9);
SELECT * FROM shown;
SELECT t.tell();

-- what flaps is one alert, told of at most twice in its cooldown
SELECT t.cpu(format('12:02:%s', s), CASE WHEN s % 20 = 0 THEN 85 ELSE 60 END) FROM generate_series(10, 50, 10) s;
SELECT t.told();
SELECT max(t.cpu(format('12:%s:00', m), CASE WHEN m % 2 = 0 THEN 85 ELSE 60 END)) FROM generate_series(10, 30) m;
SELECT count(*), max(reopened) FROM dbperf.alerts;
SELECT t.tell();
SELECT count(*) FROM generate_series(0, 39) s, t.cpu(to_char(time '12:31' + s * interval '10 s', 'HH24:MI:SS'), CASE WHEN s % 2 = 0 THEN 91 ELSE 81 END);
SELECT t.tell();
SELECT t.cpu('13:00:00', 0);
SELECT t.tell();
UPDATE dbperf.alert_rules SET clear_at = NULL WHERE name = 'cpu';
SELECT count(*) FROM generate_series(0, 39) s, t.cpu(to_char(time '13:10' + s * interval '10 s', 'HH24:MI:SS'), CASE WHEN s % 2 = 0 THEN 91 ELSE 81 END);
SELECT t.cpu('13:25:00', 81), t.cpu('13:25:10', 0);
SELECT message, threshold FROM dbperf.alerts ORDER BY alert_id DESC LIMIT 1;
SELECT t.tell();
UPDATE dbperf.alert_rules SET clear_at = 70 WHERE name = 'cpu';
-- what comes back worse than anybody was told does not wait for the cooldown, at once or later; but once only
SELECT t.cpu('13:30:00', 85), t.cpu('13:30:10', 0), t.cpu('13:30:20', 95), t.cpu('13:30:30', 0), t.cpu('13:30:40', 95), t.cpu('13:30:50', 0);
SELECT t.tell();
SELECT t.cpu('13:36:00', 85), t.cpu('13:36:10', 0), t.cpu('13:36:20', 85), t.cpu('13:36:30', 95), t.cpu('13:36:40', 0);
SELECT t.tell();
-- after the cooldown it is another one
SELECT t.cpu('13:45:00', 80);
SELECT t.cpu('13:45:10', 0);
SELECT t.tell();
-- without one, each is
UPDATE dbperf.alert_rules SET cooldown = '0' WHERE name = 'cpu';
SELECT t.cpu('13:45:20', 80);
SELECT t.cpu('13:45:30', 0);
SELECT t.cpu('13:45:40', 95);
SELECT t.tell();
SELECT t.cpu('13:45:50', 0);
TRUNCATE dbperf.alerts, dbperf.alert_events;

-- nothing is written where nothing has changed
SELECT t.cpu('13:50:00', 85);
CREATE TABLE before AS SELECT ctid::text AS place, xmin::text AS written, alert_id FROM dbperf.alerts;
SELECT dbperf.evaluate_alerts(), dbperf.evaluate_alerts();
SELECT t.cpu('13:50:10', 85), t.cpu('13:50:20', 86), t.cpu('13:50:50', 87);
SELECT a.ctid::text = b.place AND a.xmin::text = b.written AS untouched, a.last_value FROM dbperf.alerts a JOIN before b USING (alert_id);
-- its value is noted once a minute
SELECT t.cpu('13:51:00', 88);
SELECT last_value, last_seen_at, value FROM dbperf.alerts;

-- values that vanish for less than three intervals change nothing
SELECT t.cpu('13:51:10', NULL);
SELECT missing_since FROM dbperf.alerts;
SELECT t.cpu('13:51:20', NULL);
SELECT t.cpu('13:51:30', 85);
SELECT t.cpu('13:51:40', NULL);
SELECT t.cpu('13:52:00', NULL);
SELECT t.cpu('13:52:10', NULL);
SELECT t.cpu('13:52:20', NULL);
-- a clock that is set back neither closes it at once nor keeps it open
SELECT t.cpu('14:00:00', 85);
SELECT t.cpu('14:00:10', NULL);
SELECT t.cpu('11:00:00', NULL);
SELECT t.cpu('11:00:20', NULL);
SELECT t.cpu('11:00:30', NULL);
TRUNCATE dbperf.alerts, dbperf.alert_events;
-- what is no number is no value
SELECT t.sample('14:10:00', '{"cpu_percent": "NaN"}');
SELECT t.sample('14:10:10', '{"cpu_percent": "Infinity"}');
SELECT message, value FROM dbperf.alerts;
SELECT t.sample('14:10:20', '{"cpu_percent": "-Infinity"}');
SELECT t.tell();
TRUNCATE dbperf.alerts, dbperf.alert_events;

-- only what lasts
UPDATE dbperf.alert_rules SET for_duration = '30 s', clear_at = NULL WHERE name = 'cpu';
SELECT t.cpu('14:00:00', 80);
SELECT rule, label, since, critical_since, seen_at FROM dbperf.alert_pending;
-- the same sample once more makes it no longer
SELECT dbperf.evaluate_alerts();
SELECT t.cpu('14:00:20', 80);
SELECT t.cpu('14:00:29', 70);
SELECT count(*) FROM dbperf.alert_pending;
SELECT t.cpu('14:00:30', 80);
SELECT t.cpu('14:00:59', 99);
SELECT t.cpu('14:01:00', 99);
SELECT t.cpu('14:01:28', 99);
SELECT t.cpu('14:01:29', 99);
SELECT count(*) FROM dbperf.alert_pending;
SELECT t.cpu('14:01:40', 70);
-- a time without samples does not count, nor does a clock that jumps
SELECT t.cpu('15:00:00', 80), t.cpu('15:10:00', 80), t.cpu('15:10:20', 80), t.cpu('14:50:00', 80), t.cpu('14:50:20', 80), t.cpu('14:50:30', 80);
SELECT t.cpu('14:50:40', 0);
-- critical at once, a warning only if it lasts
UPDATE dbperf.alert_rules SET critical_for = '0' WHERE name = 'cpu';
SELECT t.cpu('16:00:00', 80), t.cpu('16:00:10', 90), t.cpu('16:00:20', 80), t.cpu('16:00:30', 79);
SELECT t.cpu('16:10:00', 80), t.cpu('16:10:10', 0), t.cpu('16:10:20', 80);
-- partitions are looked at less often where that takes long
UPDATE dbperf.sampler_state SET slow_ms = 2000;
SELECT t.cpu('15:20:00', 80), t.cpu('15:26:40', 80), t.cpu('15:46:41', 0);
UPDATE dbperf.sampler_state SET slow_ms = NULL;
-- pending is forgotten with its series, and with its rule
SELECT t.cpu('16:10:30', NULL);
SELECT count(*) FROM dbperf.alert_pending;
SELECT t.cpu('16:10:40', 80);
UPDATE dbperf.alert_rules SET enabled = false WHERE name = 'cpu';
SELECT t.cpu('16:10:50', 80);
SELECT count(*) FROM dbperf.alert_pending;
TRUNCATE dbperf.alerts, dbperf.alert_events;

-- downwards; only critical; labels
INSERT INTO dbperf.alert_rules (name, metric, comparison, warn, critical, clear_at, label) VALUES
    ('space', 'disk_free_percent', '<', 15, 5, 17, NULL),
    ('full', 'disk_free_percent', '<=', NULL, 0, 2, 'pg\_%'),
    ('many', 'pool_waiting', '>', 3, NULL, NULL, 'a%');
SELECT t.sample('17:00:00', '{"disk_free_percent": {"pg_default": 15, "cold": 14.9, "pgXdefault": 0, "pg_wal": 0}, "pool_waiting": {"a": 3, "abc": 4, "b": 9}}');
SELECT * FROM shown;
SELECT t.sample('17:00:10', '{"disk_free_percent": {"pg_default": 15, "cold": 16.9, "pgXdefault": 5, "pg_wal": 2}, "pool_waiting": {"a": 4, "abc": 3, "b": 9}}');
SELECT rule, label, severity, state, close_reason, message FROM dbperf.alerts ORDER BY alert_id;
SELECT t.sample('17:00:20', '{"disk_free_percent": {"pg_default": 15, "cold": 17, "pgXdefault": 7, "pg_wal": 2.1}, "pool_waiting": {"a": 3}}');
SELECT rule, label, severity, state, close_reason FROM dbperf.alerts ORDER BY alert_id;
DELETE FROM dbperf.alert_rules WHERE NOT built_in;
TRUNCATE dbperf.alerts, dbperf.alert_events;

-- whatever changes
INSERT INTO dbperf.alert_rules (name, metric, comparison) VALUES ('status', 'partition_status', 'changed');
SELECT t.sample('18:00:00', '{"partition_status": {"t.a": 0, "t.b": 1}}');
SELECT t.sample('18:00:10', '{"partition_status": {"t.a": 0, "t.b": 1, "t.c": 2}}');
SELECT t.sample('18:00:20', '{"partition_status": {"t.a": 2, "t.b": 1, "t.c": 2}}');
SELECT label, severity, state, message, value, threshold FROM dbperf.alerts;
SELECT t.sample('18:01:20', '{"partition_status": {"t.a": 1, "t.b": 1, "t.c": 2}}');
SELECT t.sample('18:06:20', '{"partition_status": {"t.a": 1, "t.b": 1}}');
SELECT t.sample('18:06:30', '{"partition_status": {"t.a": 1, "t.b": 1, "t.c": 0}}');
SELECT label, state, message, close_reason FROM dbperf.alerts;
SELECT t.tell();
SELECT label, value FROM dbperf.alert_pending ORDER BY label;
DELETE FROM dbperf.alert_rules WHERE NOT built_in;
SELECT t.sample('18:06:40', '{"partition_status": {"t.a": 2}}');
SELECT count(*) FROM dbperf.alert_pending;
-- that the rule is for another metric now is no change, and does not make anything last longer
INSERT INTO dbperf.alert_rules (name, metric, comparison, warn, for_duration) VALUES ('status', 'load1', 'changed', NULL, '0'), ('long', 'load1', '>', 1, '20 s');
SELECT t.sample('18:10:00', '{"load1": 5, "load5": 7}');
UPDATE dbperf.alert_rules SET metric = 'load5' WHERE name IN ('status', 'long');
SELECT t.sample('18:10:10', '{"load1": 5, "load5": 7}'), t.sample('18:10:20', '{"load1": 5, "load5": 7}');
SELECT rule, metric, since, value FROM dbperf.alert_pending ORDER BY rule;
SELECT t.sample('18:10:30', '{"load1": 5, "load5": 8}');
SELECT rule, message FROM dbperf.alerts WHERE state = 'open' ORDER BY rule;
DELETE FROM dbperf.alert_rules WHERE NOT built_in;
TRUNCATE dbperf.alerts, dbperf.alert_events;

-- rules that are disabled, removed or changed while alerts are open
INSERT INTO dbperf.alert_rules (name, metric, warn) VALUES ('one', 'cpu_percent', 1), ('two', 'cpu_percent', 1), ('three', 'cpu_percent', 1), ('four', 'pool_waiting', 1);
SELECT t.sample('19:00:00', '{"cpu_percent": 5, "load1": 5, "pool_waiting": {"a": 5}}');
UPDATE dbperf.alert_rules SET enabled = false WHERE name = 'one';
DELETE FROM dbperf.alert_rules WHERE name = 'two';
UPDATE dbperf.alert_rules SET metric = 'load1' WHERE name = 'three';
UPDATE dbperf.alert_rules SET label = 'b%' WHERE name = 'four';
SELECT t.sample('19:00:10', '{"cpu_percent": 5, "load1": 5, "pool_waiting": {"a": 5}}');
SELECT rule, metric, label, state, close_reason FROM dbperf.alerts ORDER BY alert_id;
-- the next one is for the new metric
SELECT t.sample('19:00:20', '{"cpu_percent": 5, "load1": 5, "pool_waiting": {"a": 5}}');
SELECT t.sample('19:00:40', '{"cpu_percent": 5, "load1": 5, "pool_waiting": {"a": 5}}');
SELECT rule, metric, label, state, close_reason FROM dbperf.alerts ORDER BY alert_id;
UPDATE dbperf.alert_rules SET enabled = true WHERE name = 'one';
SELECT t.sample('19:00:50', '{"cpu_percent": 5, "load1": 0, "pool_waiting": {"a": 5}}');
SELECT rule, state, reopened FROM dbperf.alerts ORDER BY alert_id;
DELETE FROM dbperf.alert_rules WHERE NOT built_in;
TRUNCATE dbperf.alerts, dbperf.alert_events;

-- acknowledged: nobody is told again, but of what is worse
INSERT INTO dbperf.alert_rules (name, metric, warn, critical) VALUES ('cpu', 'cpu_percent', 80, 90);
SELECT t.cpu('20:00:00', 80);
SELECT max(alert_id) AS id FROM dbperf.alerts \gset
SELECT dbperf.acknowledge_alert(:id, 'looking') AS now, dbperf.acknowledge_alert(:id, 'me too') AS again;
SELECT state, acknowledged_at, acknowledged_by = session_user AS by_me, note FROM dbperf.alerts;
SELECT t.cpu('20:00:10', 85);
SELECT t.cpu('20:00:20', 95);
SELECT dbperf.acknowledge_alert(:id);
SELECT state, acknowledged_at, note FROM dbperf.alerts;
SELECT t.cpu('20:00:30', 0), t.cpu('20:00:40', 80), t.cpu('20:00:50', 0);
SELECT t.tell();
-- that somebody looks after a warning is no word on what is critical, also if it goes and comes back
SELECT t.cpu('20:10:00', 80);
SELECT dbperf.acknowledge_alert(max(alert_id)) FROM dbperf.alerts;
SELECT t.cpu('20:10:10', 95), t.cpu('20:10:20', 0), t.cpu('20:10:30', 95);
SELECT dbperf.acknowledge_alert(max(alert_id)) FROM dbperf.alerts;
SELECT t.cpu('20:10:40', 0), t.cpu('20:10:50', 80), t.cpu('20:11:00', 95), t.cpu('20:11:10', 0);
SELECT t.tell();
SELECT fails(format('SELECT dbperf.acknowledge_alert(%s)', a)) FROM unnest(ARRAY[:'id', '-1', 'NULL']) a;
TRUNCATE dbperf.alerts, dbperf.alert_events;

-- silenced: opened and closed without a word; told of when it is over
SELECT dbperf.silence_alert('cpu', '2026-11-21 21:10+00');
SELECT t.cpu('21:00:00', 80), t.cpu('21:00:10', 95);
SELECT dbperf.acknowledge_alert(max(alert_id)) FROM dbperf.alerts;
SELECT t.cpu('21:00:20', 0);
SELECT t.cpu('21:06:00', 80), t.cpu('21:09:50', 80), t.cpu('21:10:00', 80);
SELECT t.tell();
SELECT dbperf.silence_alert('cpu', 'infinity');
SELECT t.cpu('21:11:00', 95);
SELECT dbperf.silence_alert('cpu', NULL);
SELECT silenced_until FROM dbperf.alert_rules WHERE name = 'cpu';
SELECT t.cpu('21:11:10', 95);
-- an end is told of even so: listeners have heard of its beginning
SELECT dbperf.silence_alert('cpu', '2026-11-21 22:00+00'), dbperf.silence_alert('cpu', '2026-11-21 22:00+00') AS again;
SELECT t.cpu('21:11:20', 0);
SELECT t.tell();
SELECT dbperf.silence_alert('cpu', '2026-11-20');
SELECT silenced_until FROM dbperf.alert_rules WHERE name = 'cpu';
SELECT fails($$SELECT dbperf.silence_alert('none', 'infinity')$$);
SELECT fails($$SELECT dbperf.silence_alert(NULL, 'infinity')$$);
TRUNCATE dbperf.alerts, dbperf.alert_events;

-- history
SELECT t.cpu('2026-08-01 00:00+00', 95), t.cpu('2026-08-01 00:01+00', 0), t.cpu('2026-11-01 00:00+00', 95), t.cpu('2026-11-01 00:01+00', 0),
       t.cpu('22:00:00', 95);
INSERT INTO dbperf.alert_events (alert_id, at, event, data) VALUES (-1, '2026-01-01', 'opened', '{}'), (-1, '2026-11-11', 'opened', '{}');
SELECT dbperf.prune_alerts(), dbperf.prune_alerts();
SELECT opened_at, state FROM dbperf.alerts ORDER BY opened_at;
SELECT at, event, alert_id > 0 AS of_alert FROM dbperf.alert_events ORDER BY at;
-- a clock that has jumped removes nothing
SELECT dbperf.settle_monitoring() IS NOT NULL AS settled;
UPDATE dbperf.policy_state SET clock_at = '2026-11-21 22:00+00';
SELECT set_config('dbperf.now_override', '2028-01-01 00:00+00', false), dbperf.prune_alerts();
UPDATE dbperf.policy_state SET clock_at = '2028-01-01 00:00+00';
SELECT dbperf.prune_alerts();
SELECT count(*) FROM dbperf.alert_events;
SELECT dbperf.unmanage('dbperf.metric_sample');
DELETE FROM dbperf.alert_rules WHERE NOT built_in;
TRUNCATE dbperf.alerts, dbperf.alert_events;

-- a dump that is restored beside alerts: what is there stays, and the sequences are set back
INSERT INTO dbperf.alert_rules (name, metric, warn, cooldown) VALUES ('cpu', 'cpu_percent', 80, '0');
ALTER SEQUENCE dbperf.alerts_alert_id_seq RESTART;
ALTER SEQUENCE dbperf.alert_events_event_id_seq RESTART;
ALTER SEQUENCE dbperf.performance_alert_seq RESTART;
SELECT t.cpu('22:30:00', 85), t.cpu('22:30:10', 0), t.cpu('22:30:20', 85);
SELECT count(*) FROM t.tell();
COPY dbperf.alerts (alert_id, rule, metric, label, severity, state, value, message, opened_at, last_value, last_seen_at, closed_at) FROM stdin;
2	other	load1		warning	closed	1	of the dump	2026-11-01	1	2026-11-01	2026-11-01
7	other	load1		warning	closed	1	of the dump	2026-11-01	1	2026-11-01	2026-11-01
8	cpu	cpu_percent		warning	open	1	of the dump	2026-11-01	1	2026-11-01	\N
9	cpu	cpu_percent	x	warning	open	1	of the dump	2026-11-01	1	2026-11-01	\N
\.
COPY dbperf.alert_events (event_id, alert_id, at, event, data, seq) FROM stdin;
3	7	2026-11-01	opened	{}	20
8	7	2026-11-01	opened	{}	3
9	7	2026-11-01	opened	{}	9
\.
SELECT setval('dbperf.alerts_alert_id_seq', 1), setval('dbperf.alert_events_event_id_seq', 1), setval('dbperf.performance_alert_seq', 1);
SELECT alert_id, message FROM dbperf.alerts ORDER BY alert_id;
SELECT t.cpu('22:31:00', 0), t.cpu('22:31:10', 85);
SELECT count(*) AS told FROM dbperf.pending_notifications() WHERE channel = 'performance_alert';
SELECT event_id, alert_id, event, seq FROM dbperf.alert_events ORDER BY event_id;
DELETE FROM dbperf.alert_rules WHERE NOT built_in;
TRUNCATE dbperf.alerts, dbperf.alert_events;

-- more than anybody has: each once, and nothing again
INSERT INTO dbperf.alert_rules (name, metric, warn) SELECT 'many ' || g, 'pool_waiting', g FROM generate_series(1, 20) g;
SELECT t.sample('23:00:00', jsonb_build_object('pool_waiting', jsonb_object_agg('p' || g, 10))) FROM generate_series(1, 100) g;
SELECT t.sample('23:00:10', jsonb_build_object('pool_waiting', jsonb_object_agg('p' || g, 10))) FROM generate_series(1, 100) g;
-- a label that no index has room for is left out
SELECT t.sample('23:00:20', jsonb_build_object('pool_waiting', jsonb_build_object(repeat('ä', 5000), 10) || jsonb_object_agg('p' || g, 10))) FROM generate_series(1, 100) g;
SELECT count(*) FROM dbperf.alerts WHERE state = 'open';
SELECT count(*) FROM dbperf.alert_judgements WHERE action IS NOT NULL OR pending IS NOT NULL;
