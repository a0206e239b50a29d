--
-- What is told of samples, alerts and partitions, in how many bytes; and the functions of users that
-- are called for alerts
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set alerts :abs_srcdir '/sql/lib/alerts.sql'
\set ECHO none
\i :setup
\i :alerts
\set ECHO all
-- before the first sample there is nothing to tell
SELECT * FROM dbperf.pending_notifications();
INSERT INTO dbperf.alert_rules (name, metric, warn, critical) VALUES ('cpu', 'cpu_percent', 80, 90);
SELECT t.cpu('12:00:00', 50);
SELECT channel, payload::jsonb - 'database' AS payload, payload::jsonb ->> 'database' = current_database() AS here FROM dbperf.pending_notifications();
-- an alert, from beginning to end, each event once
SELECT t.cpu('12:00:10', 85);
SELECT dbperf.acknowledge_alert(alert_id, 'a note is for people') FROM dbperf.alerts;
SELECT t.cpu('12:00:20', 95), t.cpu('12:00:30', 0);
SELECT channel, p ->> 'seq' AS seq, p ->> 'at' AS at, jsonb_pretty(p #- '{data,acknowledged_by}' -> 'data') AS data, p -> 'data' ->> 'acknowledged_by' = session_user AS by_me
FROM dbperf.pending_notifications() n, LATERAL (SELECT n.payload::jsonb) j (p) WHERE channel = 'performance_alert';
SELECT channel, (payload::jsonb ->> 'seq')::int AS seq FROM dbperf.pending_notifications();
-- an infinite value is none in JSON
SELECT t.sample('12:10:00', '{"cpu_percent": "Infinity", "load1": "NaN", "load5": 1e300, "load15": 1234567.123456789}');
SELECT channel, p -> 'data' -> 'value' AS value, p -> 'data' -> 'metrics' AS metrics
FROM dbperf.pending_notifications() n, LATERAL (SELECT n.payload::jsonb) j (p);

-- partitions: what is not as it was told
CREATE FUNCTION parts(clock text, tables jsonb) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('dbperf.now_override', '2026-11-21 ' || clock || '+00', false);
    UPDATE dbperf.sampler_state SET slow_at = dbperf.clock(),
        slow_values = (SELECT coalesce(jsonb_agg(jsonb_build_array(m, e.key, e.value -> i)), '[]')
                       FROM jsonb_each(tables) e, unnest('{partition_status,partition_count,partition_missing,partition_runway_periods,partition_overdue}'::text[]) WITH ORDINALITY u (m, n),
                           LATERAL (SELECT n::int - 1) x (i) WHERE e.value -> i IS NOT NULL);
    RETURN QUERY SELECT payload::jsonb ->> 'seq' || ' ' || (payload::jsonb -> 'data')::text FROM dbperf.pending_notifications() WHERE channel = 'partition_status';
END
$$;
SELECT parts('13:00:00', '{"t.a": [0, 3, 0, 2, 0], "t.b": [1, 5, 1, 0.5, 0]}');
SELECT parts('13:01:00', '{"t.a": [0, 3, 0, 1.9, 0], "t.b": [1, 5, 1, 0.4, 0]}');
SELECT parts('13:02:00', '{"t.a": [0, 4, 0, 2.9, 0], "t.b": [2, 5, 1, -0.4, 1], "t.c": [0, 0]}');
SELECT parts('13:03:00', '{"t.b": [2, 5, 1, -0.4, 1], "t.c": [0, 0]}');
SELECT parts('13:04:00', '{}');
SELECT parts('13:05:00', '{}');

-- never 8000 bytes, whatever the names
CREATE FUNCTION longest(OUT channel text, OUT bytes int, OUT notifications bigint, OUT truncated bigint, OUT valid boolean) RETURNS SETOF record LANGUAGE sql AS $$
    SELECT n.channel, max(octet_length(n.payload)), count(*), count(*) FILTER (WHERE (n.payload::jsonb -> 'data' ->> 'truncated')::boolean),
           bool_and(octet_length(n.payload) < 8000 AND n.payload::jsonb ->> 'type' = n.channel)
    FROM dbperf.pending_notifications() n GROUP BY 1 ORDER BY 1
$$;
CREATE FUNCTION name_of(kind int, n int) RETURNS text LANGUAGE sql AS $$
    SELECT CASE kind WHEN 0 THEN 't.p' || n WHEN 1 THEN format('"%s"."%s"', repeat('ä"', 21), repeat(U&'\+01F600', 14) || n)
        WHEN 2 THEN rpad(n::text, 500, U&'\0001') ELSE rpad(n::text, 250, E'\\"') END
$$;
-- one notification after the other, until all has been told
CREATE FUNCTION tell_partitions(kind int, OUT bytes int, OUT notifications int, OUT truncated bigint, OUT valid boolean, OUT told bigint) LANGUAGE plpgsql AS $$
DECLARE
    n record;
BEGIN
    PERFORM parts('13:10:00', (SELECT jsonb_object_agg(name_of(kind, g), '[1, 2, 3, 4.5, 6]'::jsonb) FROM generate_series(1, 100) g));
    notifications := 1;
    bytes := 0;
    truncated := 1;
    valid := true;
    LOOP
        SELECT * INTO n FROM longest() l WHERE l.channel = 'partition_status';
        EXIT WHEN NOT FOUND;
        notifications := notifications + 1;
        bytes := greatest(bytes, n.bytes);
        truncated := truncated + n.truncated;
        valid := valid AND n.valid;
    END LOOP;
    SELECT count(*) INTO told FROM dbperf.notified_partitions;
END
$$;
SELECT kind, bytes > 5000 AS much, notifications > 2 AS several, notifications - truncated AS whole, valid, told FROM generate_series(0, 3) kind, tell_partitions(kind);
-- many series, and alerts of them
INSERT INTO dbperf.alert_rules (name, metric, comparison, warn) VALUES (rpad(U&'\0001', 60, U&'\0001'), 'pool_waiting', '>', 0);
SELECT t.sample('14:00:00', (SELECT jsonb_object_agg(m, (SELECT jsonb_object_agg(left(name_of(kind, g), 500), 1e17) FROM generate_series(1, 30) g, generate_series(1, 3) kind))
                             FROM unnest('{pool_waiting,pool_utilization_percent,insert_rows_per_second,query_p99_ms,disk_free_percent}'::text[]) m)
    || (SELECT jsonb_object_agg(name, 999999999999999.123456) FROM dbperf.metric WHERE label IS NULL));
SELECT channel, bytes > 5000 AS much, notifications, truncated, valid FROM longest();
SELECT dbperf.silence_alert('cpu', 'infinity');

-- functions of users
CREATE FUNCTION send() RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM dbperf.pending_notifications() WHERE channel = 'performance_alert'
$$;
SELECT t.cpu('15:00:00', 0);
SELECT send() > 0 AS told;
DELETE FROM dbperf.alert_rules WHERE NOT built_in;
TRUNCATE dbperf.alerts, dbperf.alert_events;
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_dbperf_caller, regress_dbperf_other;
RESET client_min_messages;
CREATE ROLE regress_dbperf_caller;
CREATE ROLE regress_dbperf_other;
GRANT ALL ON SCHEMA t TO regress_dbperf_caller, regress_dbperf_other;
GRANT USAGE ON SCHEMA dbperf TO regress_dbperf_caller, regress_dbperf_other;
GRANT EXECUTE ON FUNCTION dbperf.add_alert_callback, dbperf.remove_alert_callback TO regress_dbperf_caller, regress_dbperf_other;
CREATE VIEW callbacks AS SELECT callback, owner, enabled, calls, failures, last_run_at, last_ms, last_error FROM dbperf.alert_callbacks ORDER BY callback::text COLLATE "C";
CREATE VIEW next AS SELECT callback::regprocedure, owner::regrole, payload -> 'data' ->> 'alert_id' AS alert, payload -> 'data' ->> 'event' AS event FROM dbperf.next_callbacks();
SET ROLE regress_dbperf_caller;
CREATE FUNCTION hear(jsonb) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION "Hear ""it"""(alert jsonb) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION hear(text) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION hear(jsonb, int DEFAULT 1) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION hears(jsonb) RETURNS SETOF int LANGUAGE sql AS 'SELECT 1';
CREATE PROCEDURE does(jsonb) LANGUAGE sql AS '';
CREATE FUNCTION pg_temp.heard(jsonb) RETURNS void LANGUAGE sql AS '';
SELECT dbperf.add_alert_callback('hear(jsonb)'), dbperf.add_alert_callback('"Hear ""it"""(jsonb)');
SELECT f, regexp_replace(e, 'pg_temp_\d+', 'pg_temp') AS e
FROM unnest('{hear(text),"hear(jsonb,int)",hears(jsonb),does(jsonb),pg_temp.heard(jsonb),0}'::text[]) f, fails(format('SELECT dbperf.add_alert_callback(%L)', f)) e;
SELECT fails('SELECT dbperf.add_alert_callback(NULL)');
SELECT fails('SELECT dbperf.remove_alert_callback(NULL)');
SET ROLE regress_dbperf_other;
CREATE FUNCTION other(jsonb) RETURNS void LANGUAGE sql AS '';
SELECT fails($$SELECT dbperf.add_alert_callback('hear(jsonb)')$$);
SELECT fails($$SELECT dbperf.remove_alert_callback('hear(jsonb)')$$);
SELECT fails('SELECT * FROM dbperf.alert_functions');
SELECT fails($$INSERT INTO dbperf.alert_functions (schema_name, function_name, owner, position) VALUES ('t', 'hear', 'postgres', 0)$$);
SELECT dbperf.add_alert_callback('other(jsonb)');
RESET ROLE;
SELECT * FROM callbacks;
SELECT * FROM next;
-- those of one owner share a process; each is called once for each event, in the order in which they were told
INSERT INTO dbperf.alert_rules (name, metric, warn, cooldown) VALUES ('cpu', 'cpu_percent', 80, '0');
SELECT t.cpu('16:00:00', 90), t.cpu('16:00:10', 0);
SELECT * FROM next;
SELECT send();
CREATE TABLE calls AS SELECT * FROM dbperf.next_callbacks();
SELECT callback::regprocedure, owner::regrole, payload ->> 'seq' > '0' AS seq, payload ->> 'type' AS type, payload -> 'data' ->> 'event' AS event FROM calls;
-- the sampler asks again if it found no process
SELECT count(*) FROM next;
CREATE FUNCTION done(name text DEFAULT NULL, error text DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM (SELECT dbperf.callback_done(callback, event_id, error, 1.5) FROM calls
                          WHERE name IS NULL OR callback = name::regprocedure ORDER BY event_id) c
$$;
SELECT done('hear(jsonb)'), done('"Hear ""it"""(jsonb)', 'no');
SELECT * FROM callbacks;
SELECT * FROM next;
DELETE FROM calls;
INSERT INTO calls SELECT * FROM dbperf.next_callbacks();
SELECT done();
SELECT count(*) FROM next;
SELECT schema_name, function_name, position > 0 AS position, given, given_to FROM dbperf.alert_functions ORDER BY function_name;
-- added anew: no replay
SELECT dbperf.add_alert_callback('hear(jsonb)');
SELECT * FROM next;
-- a dump that brings one that is there changes nothing
INSERT INTO dbperf.alert_functions (schema_name, function_name, owner, calls, position) VALUES ('t', 'hear', 'nobody', 7, 0), ('t', 'gone', 'nobody', 7, 0);
SELECT function_name, owner, calls FROM dbperf.alert_functions ORDER BY 1;
SELECT * FROM next;
-- a sampler that ended with a call in its hands: that call is not made again
SELECT t.cpu('16:00:20', 90);
SELECT send();
SELECT count(*) FROM next;
UPDATE dbperf.alert_functions SET given_to = 0 WHERE given IS NOT NULL;
SELECT * FROM next;
SELECT * FROM callbacks;
DELETE FROM calls;
INSERT INTO calls SELECT * FROM dbperf.next_callbacks();
SELECT done();

-- ten failures in a row: not called any more, and an alert
UPDATE dbperf.alert_rules SET enabled = true WHERE name = 'callback_failing';
SELECT dbperf.remove_alert_callback('other(jsonb)'), dbperf.remove_alert_callback('"Hear ""it"""(jsonb)'), dbperf.remove_alert_callback('other(jsonb)') AS again;
SELECT dbperf.callback_done('hear(jsonb)'::regprocedure, 1, NULL, 1);
SELECT count(dbperf.callback_done('hear(jsonb)'::regprocedure, 1, repeat('ä', 2000), 1)) FROM generate_series(1, 9);
SELECT enabled, failures, length(last_error) FROM callbacks;
SELECT count(dbperf.callback_done('hear(jsonb)'::regprocedure, 1, 'the last straw', 1));
SELECT enabled, failures, last_error FROM callbacks;
SELECT t.cpu('16:00:30', 0);
SELECT rule, label, state, message FROM dbperf.alerts WHERE rule = 'callback_failing';
SELECT send();
SELECT * FROM next;
SELECT dbperf.add_alert_callback('hear(jsonb)');
SELECT t.cpu('16:00:40', 0);
SELECT rule, label, state, close_reason FROM dbperf.alerts WHERE rule = 'callback_failing';
SELECT * FROM callbacks;
-- another owner: not called, until that one adds it
ALTER FUNCTION hear(jsonb) OWNER TO regress_dbperf_other;
SELECT t.cpu('16:00:50', 90);
SELECT send();
SELECT * FROM next;
SELECT callback, owner, enabled, last_error FROM callbacks;
SET ROLE regress_dbperf_other;
SELECT dbperf.add_alert_callback('hear(jsonb)');
RESET ROLE;
SELECT t.cpu('16:01:00', 0);
SELECT send();
SELECT * FROM next;
-- a function that is gone is forgotten, whatever takes its place
DROP FUNCTION hear(jsonb);
SELECT callback, owner FROM callbacks;
SELECT * FROM next;
SELECT count(*) FROM callbacks;
SELECT dbperf.callback_done(1::oid, 1, NULL, 1);
SET ROLE regress_dbperf_caller;
CREATE FUNCTION hear(jsonb) RETURNS void LANGUAGE sql AS '';
SELECT dbperf.add_alert_callback('hear(jsonb)');
DROP FUNCTION hear(jsonb);
RESET ROLE;
CREATE FUNCTION hear(jsonb) RETURNS void LANGUAGE sql AS '';
SELECT t.cpu('16:01:10', 90);
SELECT send();
SELECT * FROM next;
SELECT callback, enabled FROM callbacks;
-- with its role
SET ROLE regress_dbperf_other;
SELECT dbperf.add_alert_callback('other(jsonb)');
RESET ROLE;
DROP OWNED BY regress_dbperf_caller, regress_dbperf_other;
DROP ROLE regress_dbperf_caller, regress_dbperf_other;
SELECT t.cpu('16:01:20', 0);
SELECT send();
SELECT * FROM next;
SELECT callback, enabled FROM callbacks;
