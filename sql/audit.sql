--
-- partition_events: what is written, that nobody changes it, and that verify_audit() finds out when
-- somebody did
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
SELECT * FROM dbperf.verify_audit();
SELECT make('a');
SELECT dbperf.manage('a', '1 month', 1);
SELECT dbperf.alter_policy('a', premake => 2);
SELECT status FROM dbperf.run_maintenance('a');
SELECT dbperf.create_partition('a', '2026-01-15');
SELECT dbperf.unmanage('a');
SELECT row_number() OVER (ORDER BY event_id) AS nr, source, actor = session_user AS by_me, action, parent, partition, lower_bound, upper_bound,
       ms_waited IS NOT NULL AS waited, ms_held IS NOT NULL AS held, tries, message, jsonb_strip_nulls(detail - 'created_at') AS detail, at <= clock_timestamp() AS past
FROM dbperf.partition_events ORDER BY event_id;
-- chained in the order of commit, from the first
SELECT seq, seq = lag(seq, 1, 0::bigint) OVER w + 1 AS follows, prev_hash IS NOT DISTINCT FROM lag(hash) OVER w AS chained,
       hash = dbperf.event_hash(prev_hash, e) AS right, octet_length(hash) AS bytes
FROM dbperf.partition_events e WINDOW w AS (ORDER BY seq) ORDER BY seq;
SELECT ok, events, broken_event, reason FROM dbperf.verify_audit();
-- the hash does not depend on settings
SET TimeZone = 'Asia/Tokyo';
SET DateStyle = 'German';
SET extra_float_digits = -10;
SET bytea_output = 'escape';
SELECT ok FROM dbperf.verify_audit();
RESET extra_float_digits;
RESET bytea_output;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
-- what fails leaves no event, and no gap in the chain
BEGIN;
SELECT dbperf.manage('a', '1 month', 5);
ROLLBACK;
SELECT ok, events FROM dbperf.verify_audit();
SELECT dbperf.manage('a', '1 month', 0);
SELECT ok, events, (SELECT max(seq) FROM dbperf.partition_events) AS last FROM dbperf.verify_audit();

-- append-only, for a superuser as well
SELECT fails($$UPDATE dbperf.partition_events SET actor = 'nobody'$$);
SELECT fails($$DELETE FROM dbperf.partition_events$$);
SELECT fails($$TRUNCATE dbperf.partition_events$$);
SELECT fails($$TRUNCATE dbperf.partition_events CASCADE$$);
SELECT fails($$INSERT INTO dbperf.partition_events SELECT (e).* FROM (SELECT e FROM dbperf.partition_events e LIMIT 1) x$$);
SELECT ok, events FROM dbperf.verify_audit();

-- those who go around the triggers are found out, and the place is named
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    r record;
    result text;
BEGIN
    BEGIN
        SET LOCAL session_replication_role = replica;
        EXECUTE statement;
        SELECT * INTO r FROM dbperf.verify_audit();
        result := format('%s: event %s: %s', CASE WHEN r.ok THEN 'ok' ELSE 'broken' END,
                         r.broken_event - (SELECT min(event_id) FROM dbperf.partition_events) + 1, r.reason);
        RAISE EXCEPTION USING ERRCODE = 'ZZZZZ';
    EXCEPTION WHEN SQLSTATE 'ZZZZZ' THEN
        RETURN result;
    END;
END $$;
SELECT column_name, try(format('UPDATE dbperf.partition_events SET %I = %s WHERE seq = 3', column_name, CASE
    WHEN column_name = 'at' THEN $$at + interval '1 microsecond'$$
    WHEN column_name = 'event_id' THEN $$event_id + 1000000$$
    WHEN column_name = 'seq' THEN $$1000000$$
    WHEN column_name = 'detail' THEN $$'{"premake": 3}'$$
    WHEN column_name IN ('prev_hash', 'hash') THEN $$'\x00'$$
    WHEN data_type IN ('numeric', 'integer') THEN format('coalesce(%I, 0) + 1', column_name)
    ELSE format('coalesce(%I, %L) || %L', column_name, '', 'x') END)) AS changed
FROM information_schema.columns WHERE table_schema = 'dbperf' AND table_name = 'partition_events' ORDER BY ordinal_position;
SELECT try('UPDATE dbperf.partition_events SET message = NULL WHERE seq = 3') AS same_value;
SELECT try('DELETE FROM dbperf.partition_events WHERE seq = 1') AS first;
SELECT try('DELETE FROM dbperf.partition_events WHERE seq IN (3, 4)') AS middle;
SELECT try('DELETE FROM dbperf.partition_events WHERE seq > (SELECT max(seq) - 2 FROM dbperf.partition_events)') AS tail;
SELECT try('DELETE FROM dbperf.partition_events') AS all_of_them;
SELECT try('DELETE FROM dbperf.audit_head') AS head;
SELECT try($$UPDATE dbperf.audit_head SET hash = '\x00'$$) AS head;
SELECT try('UPDATE dbperf.audit_head SET seq = seq - 1') AS head;
SELECT try($$DO 'BEGIN ALTER TABLE dbperf.partition_events DISABLE TRIGGER chain_event;
    INSERT INTO dbperf.partition_events (source, action) VALUES (''manual'', ''forged''); END'$$) AS unchained;
SELECT try($$UPDATE dbperf.partition_events a SET parent = b.partition, partition = b.parent FROM dbperf.partition_events b WHERE a.event_id = b.event_id AND a.seq = 4$$) AS swapped;
-- two events that change places, numbers and all
SELECT try($$UPDATE dbperf.partition_events a SET action = b.action, partition = b.partition, detail = b.detail
    FROM dbperf.partition_events b WHERE (a.seq, b.seq) IN ((2, 3), (3, 2))$$) AS exchanged;
SELECT ok, events FROM dbperf.verify_audit();
-- an event that has not been committed is not yet chained; it is at the end of its transaction, or when asked for
BEGIN;
SELECT dbperf.alter_policy('a', premake => 1);
SELECT ok, reason FROM dbperf.verify_audit();
SET CONSTRAINTS ALL IMMEDIATE;
SELECT ok, reason FROM dbperf.verify_audit();
COMMIT;
SELECT ok, reason FROM dbperf.verify_audit();
-- also through savepoints, with several events at once
BEGIN;
SELECT dbperf.alter_policy('a', premake => 2);
SAVEPOINT s;
SELECT dbperf.alter_policy('a', premake => 3);
ROLLBACK TO s;
SELECT dbperf.alter_policy('a', premake => 4);
COMMIT;
SELECT ok, reason, events = (SELECT max(seq) FROM dbperf.partition_events) AS complete FROM dbperf.verify_audit();
SELECT detail -> 'premake' AS premake FROM dbperf.partition_events WHERE action = 'alter_policy' ORDER BY seq;
-- a session that loads data with its triggers off makes partitions that are on record all the same
CREATE TABLE loaded (k date NOT NULL) PARTITION BY RANGE (k);
SET session_replication_role = replica;
SELECT dbperf.manage('loaded', '1 month', 0);
SELECT dbperf.create_partition('loaded', '2020-02-29');
RESET session_replication_role;
SELECT ok, reason, events = (SELECT max(seq) FROM dbperf.partition_events) AS complete FROM dbperf.verify_audit();
SELECT anchor, sanity_window FROM dbperf.policy WHERE parent = 'loaded'::regclass;
