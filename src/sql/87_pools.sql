--
-- Connection pools: what they should be, and how they are
--

CREATE TABLE dbperf.pools (
    name             text PRIMARY KEY,
    application_name text,
    username         text,
    datname          text,
    base_size        integer  NOT NULL DEFAULT 20,
    max_overflow     integer  NOT NULL DEFAULT 50,
    acquire_timeout  interval NOT NULL DEFAULT '30 seconds',
    recycle_after    interval NOT NULL DEFAULT '1 hour',
    priority         integer  NOT NULL DEFAULT 100,
    pgbouncer_pool   text,
    comment          text,
    modified_at      timestamptz
);
COMMENT ON TABLE dbperf.pools IS 'Connection pools of clients; a connection belongs to the first one that matches it; every row is validated when it is written';
COMMENT ON COLUMN dbperf.pools.application_name IS 'LIKE pattern of the connections'' application_name; NULL: any';
COMMENT ON COLUMN dbperf.pools.username IS 'LIKE pattern of the role that they log in as; NULL: any';
COMMENT ON COLUMN dbperf.pools.datname IS 'LIKE pattern of their database; NULL: this one';
COMMENT ON COLUMN dbperf.pools.base_size IS 'connections that the pool keeps open, of all its clients together';
COMMENT ON COLUMN dbperf.pools.max_overflow IS 'connections that it may open beyond that';
COMMENT ON COLUMN dbperf.pools.acquire_timeout IS 'how long clients wait for a connection of the pool; one that waited as long counts as a timeout';
COMMENT ON COLUMN dbperf.pools.recycle_after IS 'age at which the pool replaces a connection; 0: never';
COMMENT ON COLUMN dbperf.pools.priority IS 'lower numbers are tried first, then names';
COMMENT ON COLUMN dbperf.pools.pgbouncer_pool IS 'the pool of PgBouncer that its clients go through, "database" or "database/user" as in pgbouncer_pools(); NULL: none';
COMMENT ON COLUMN dbperf.pools.modified_at IS 'NULL: as installed, and not dumped; a row that arrives with a time comes from a dump, and replaces the one of its name';

INSERT INTO dbperf.pools (name, priority, comment) VALUES ('default', 1000, 'every connection to this database that no other pool matches');

SELECT pg_catalog.pg_extension_config_dump('dbperf.pools', 'WHERE modified_at IS NOT NULL');

CREATE FUNCTION dbperf.check_pool()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    restores boolean := pg_has_role((SELECT c.relowner FROM pg_class c WHERE c.oid = TG_RELID), 'USAGE');
    given    record;
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.name = 'default' AND (TG_OP = 'DELETE' OR NEW.name IS DISTINCT FROM 'default') THEN
        RAISE EXCEPTION 'pool "default" cannot be dropped or renamed'
            USING ERRCODE = 'feature_not_supported', HINT = 'Change its patterns, and it is that of other connections.';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;

    IF NEW.name = '' OR octet_length(NEW.name) > 63 OR NEW.name ~ '[[:cntrl:]]' THEN
        RAISE EXCEPTION 'name of a pool must be 1 to 63 bytes long and without control characters, not "%"', NEW.name
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR given IN
        SELECT * FROM (VALUES ('application_name', NEW.application_name), ('username', NEW.username),
                              ('datname', NEW.datname), ('pgbouncer_pool', NEW.pgbouncer_pool)) v (name, value)
        WHERE v.value IS NOT NULL
    LOOP
        IF given.value = '' THEN
            RAISE EXCEPTION '% of pool "%" must not be empty', given.name, NEW.name
                USING ERRCODE = 'invalid_parameter_value', HINT = 'NULL stands for any.';
        END IF;
        -- LIKE would raise an error for it later, for those rows that get so far
        IF mod(length(given.value) - length(rtrim(given.value, E'\\')), 2) = 1 THEN
            RAISE EXCEPTION '% of pool "%" must not end with an escape character: "%"', given.name, NEW.name, given.value
                USING ERRCODE = 'invalid_escape_sequence', HINT = 'A backslash itself is written as two.';
        END IF;
    END LOOP;
    -- as many as a server can have at all
    IF NEW.base_size < 0 OR NEW.max_overflow < 0 OR NEW.base_size::bigint + NEW.max_overflow NOT BETWEEN 1 AND 262143 THEN
        RAISE EXCEPTION 'base_size (%) and max_overflow (%) of pool "%" must be 1 to 262143 connections together, and neither negative',
            NEW.base_size, NEW.max_overflow, NEW.name USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- in seconds, as they are used: there, months and years are of other lengths than where intervals are compared
    IF extract(epoch FROM NEW.acquire_timeout) NOT BETWEEN 0.001 AND 86400 THEN
        RAISE EXCEPTION 'acquire_timeout of pool "%" must be from 1 ms to 1 day, not %', NEW.name, NEW.acquire_timeout
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF extract(epoch FROM NEW.recycle_after) NOT BETWEEN 0 AND extract(epoch FROM interval '1 year') THEN
        RAISE EXCEPTION 'recycle_after of pool "%" must be from 0 (never) to 1 year, not %', NEW.name, NEW.recycle_after
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    IF TG_OP = 'UPDATE' THEN
        IF NOT restores OR NEW.modified_at IS NULL OR NEW.modified_at IS NOT DISTINCT FROM OLD.modified_at THEN
            NEW.modified_at := now();
        END IF;
        RETURN NEW;
    END IF;
    IF NOT restores OR NEW.modified_at IS NULL THEN
        NEW.modified_at := now();
        RETURN NEW;
    END IF;
    UPDATE dbperf.pools p
    SET (application_name, username, datname, base_size, max_overflow, acquire_timeout, recycle_after, priority, pgbouncer_pool, comment, modified_at)
        = (NEW.application_name, NEW.username, NEW.datname, NEW.base_size, NEW.max_overflow, NEW.acquire_timeout, NEW.recycle_after, NEW.priority, NEW.pgbouncer_pool, NEW.comment, NEW.modified_at)
    WHERE p.name = NEW.name;
    RETURN CASE WHEN NOT FOUND THEN NEW END;
END
$$;
COMMENT ON FUNCTION dbperf.check_pool() IS 'Trigger: validates a pool';

CREATE TRIGGER check_pool BEFORE INSERT OR UPDATE OR DELETE ON dbperf.pools
    FOR EACH ROW EXECUTE FUNCTION dbperf.check_pool();
ALTER TABLE dbperf.pools ENABLE ALWAYS TRIGGER check_pool;

CREATE FUNCTION dbperf.track_connection_acquire(ms double precision, pool text DEFAULT 'default')
RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dbperf_track_connection_acquire';
COMMENT ON FUNCTION dbperf.track_connection_acquire(double precision, text) IS 'For clients: how many milliseconds it took to get a connection from a pool of dbperf.pools; counts at once, whatever becomes of the transaction';

CREATE FUNCTION dbperf.report_pool_sample(sample jsonb)
RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dbperf_report_pool_sample';
COMMENT ON FUNCTION dbperf.report_pool_sample(jsonb) IS 'For clients: how they find their pool: instance (whose it is), pool (default: default), size, checked_out, overflow, waiting, timeouts (since the client began), acquire_ms (array of the times since the last report); the last one of each instance is shown for five minutes';

CREATE FUNCTION dbperf.pool_counters_state(
    OUT preloaded boolean,
    OUT max_pools integer,
    OUT pools integer,
    OUT evictions bigint)
LANGUAGE c VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'dbperf_pool_counters_state';
COMMENT ON FUNCTION dbperf.pool_counters_state() IS 'What is kept of pools in shared memory: those that clients reported on and that they may (of all databases), how often one was forgotten to make room';
GRANT EXECUTE ON FUNCTION dbperf.pool_counters_state() TO pg_monitor;

CREATE FUNCTION dbperf.pool_acquire_times(
    OUT pool text,
    OUT acquires bigint,
    OUT timeouts bigint,
    OUT p50_ms double precision,
    OUT p95_ms double precision,
    OUT p99_ms double precision,
    OUT max_ms double precision)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'dbperf_pool_acquire_times';
COMMENT ON FUNCTION dbperf.pool_acquire_times() IS 'What clients of this database reported in the last five minutes; see the view pool_status';
GRANT EXECUTE ON FUNCTION dbperf.pool_acquire_times() TO pg_monitor;

CREATE FUNCTION dbperf.pool_samples(
    OUT pool text,
    OUT instance text,
    OUT size bigint,
    OUT checked_out bigint,
    OUT overflow bigint,
    OUT waiting bigint,
    OUT timeouts bigint,
    OUT age_seconds double precision)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'dbperf_pool_samples';
COMMENT ON FUNCTION dbperf.pool_samples() IS 'The last report_pool_sample() of each instance in this database, if it is not older than five minutes; NULL: it did not say; of all databases, the last 256 instances are kept';
GRANT EXECUTE ON FUNCTION dbperf.pool_samples() TO pg_monitor;

CREATE FUNCTION dbperf.recent_connections(
    OUT age_seconds double precision,
    OUT database text,
    OUT username text,
    OUT application_name text,
    OUT failed boolean,
    OUT establish_ms double precision)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 500
AS 'MODULE_PATHNAME', 'dbperf_recent_connections';
COMMENT ON FUNCTION dbperf.recent_connections() IS 'Connections of clients to the server in the last 15 minutes (the last 2048, and the last 256 whose authentication failed): names as the client gave them, and the time from the start of the server process to the end of authentication';
GRANT EXECUTE ON FUNCTION dbperf.recent_connections() TO pg_monitor;

CREATE VIEW dbperf.pool_status AS
WITH backend AS MATERIALIZED (
    SELECT coalesce(a.datname::text, '') AS database, coalesce(a.usename::text, '') AS username, coalesce(a.application_name, '') AS application_name,
           a.state, a.wait_event_type,
           greatest(clock_timestamp() - a.backend_start, '0') AS age,
           greatest(clock_timestamp() - a.state_change, '0') AS in_state_for
    FROM pg_stat_activity a WHERE a.backend_type = 'client backend'
), recent AS MATERIALIZED (
    SELECT * FROM dbperf.recent_connections()
), client AS MATERIALIZED (
    SELECT c.*, (
        SELECT p.name FROM dbperf.pools p
        WHERE (p.application_name IS NULL OR c.application_name LIKE p.application_name)
          AND (p.username IS NULL OR c.username LIKE p.username)
          AND CASE WHEN p.datname IS NULL THEN c.database = current_database() ELSE c.database LIKE p.datname END
        ORDER BY p.priority, p.name LIMIT 1) AS pool
    FROM (SELECT database, username, application_name FROM backend
          UNION
          SELECT database, username, application_name FROM recent) c
), open AS (
    SELECT c.pool,
           count(*) FILTER (WHERE b.state IN ('active', 'fastpath function call')) AS active,
           count(*) FILTER (WHERE b.state = 'idle') AS idle,
           count(*) FILTER (WHERE b.state LIKE 'idle in transaction%') AS idle_in_transaction,
           count(*) FILTER (WHERE b.wait_event_type = 'Lock') AS waiting,
           count(*) FILTER (WHERE b.wait_event_type = 'Lock' AND b.in_state_for > interval '1 minute') AS waiting_long,
           count(*) AS total,
           max(b.age) AS oldest_connection,
           count(*) FILTER (WHERE p.recycle_after > '0' AND b.age > p.recycle_after) AS past_recycle_age,
           max(b.in_state_for) FILTER (WHERE b.state LIKE 'idle in transaction%') AS longest_idle_in_transaction
    FROM backend b JOIN client c USING (database, username, application_name) JOIN dbperf.pools p ON p.name = c.pool
    GROUP BY c.pool
), known AS (
    -- recent_connections() has room for so many; if the oldest of them is not a minute old, there were others
    SELECT CASE WHEN count(*) = 2048 THEN max(r.age_seconds) END AS seconds FROM recent r WHERE NOT r.failed
), established AS (
    SELECT c.pool,
           count(*) FILTER (WHERE NOT r.failed AND r.age_seconds <= 60) AS last_minute,
           count(*) FILTER (WHERE r.failed) AS failed,
           percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY r.establish_ms) FILTER (WHERE NOT r.failed) AS ms
    FROM recent r JOIN client c USING (database, username, application_name)
    GROUP BY c.pool
), reported AS (
    SELECT s.pool, sum(s.waiting) AS waiting,
           jsonb_build_object('instances', count(*), 'size', sum(s.size), 'checked_out', sum(s.checked_out), 'overflow', sum(s.overflow),
                              'waiting', sum(s.waiting), 'timeouts', sum(s.timeouts), 'age_seconds', round(max(s.age_seconds)::numeric, 1)) AS samples
    FROM dbperf.pool_samples() s GROUP BY s.pool
), measured AS (
    SELECT p.name, p.base_size, p.max_overflow, p.recycle_after, p.priority, s.preloaded,
           coalesce(o.active, 0) AS active, coalesce(o.idle, 0) AS idle, coalesce(o.idle_in_transaction, 0) AS idle_in_transaction,
           coalesce(o.waiting, 0) AS waiting, coalesce(o.waiting_long, 0) AS waiting_long, coalesce(o.total, 0) AS total,
           round(100.0 * coalesce(o.total, 0) / (p.base_size::bigint + p.max_overflow), 1)::double precision AS utilization_percent,
           o.oldest_connection, coalesce(o.past_recycle_age, 0) AS past_recycle_age, o.longest_idle_in_transaction,
           -- all of the minute, or as far back as is known
           CASE WHEN s.preloaded THEN coalesce(e.last_minute, 0) / greatest(least(k.seconds, 60), 0.001) END AS connections_per_second,
           e.ms[1] AS establish_p50_ms, e.ms[2] AS establish_p95_ms, e.ms[3] AS establish_p99_ms,
           CASE WHEN s.preloaded THEN coalesce(e.failed, 0) END AS failed_authentications,
           a.p50_ms AS acquire_p50_ms, a.p95_ms AS acquire_p95_ms, a.p99_ms AS acquire_p99_ms,
           CASE WHEN s.preloaded THEN coalesce(a.acquires, 0) END AS acquire_count,
           CASE WHEN s.preloaded THEN coalesce(a.timeouts, 0) END AS acquire_timeouts,
           r.waiting AS clients_waiting, r.samples AS client_reported,
           pg_has_role('pg_read_all_stats', 'USAGE') AS sees_all
    FROM dbperf.pools p
    CROSS JOIN dbperf.pool_counters_state() s
    CROSS JOIN known k
    LEFT JOIN open o ON o.pool = p.name
    LEFT JOIN established e ON e.pool = p.name
    LEFT JOIN dbperf.pool_acquire_times() a ON a.pool = p.name
    LEFT JOIN reported r ON r.pool = p.name
), judged AS (
    SELECT m.*,
        array_remove(ARRAY[
            CASE WHEN m.utilization_percent >= 90 THEN format('%s of %s connections are open (%s %%)', m.total, m.base_size::bigint + m.max_overflow, m.utilization_percent) END,
            CASE WHEN m.waiting > 20 THEN format('%s connections wait for locks', m.waiting) END,
            CASE WHEN m.clients_waiting > 20 THEN format('%s clients wait for a connection', m.clients_waiting) END,
            CASE WHEN m.acquire_p95_ms >= 100 THEN format('it takes clients %s ms to get a connection (p95)', round(m.acquire_p95_ms::numeric, 1)) END,
            CASE WHEN m.longest_idle_in_transaction >= interval '30 minutes' THEN 'a transaction has been idle for more than 30 minutes' END
        ], NULL) AS critical,
        array_remove(ARRAY[
            CASE WHEN m.utilization_percent >= 80 AND m.utilization_percent < 90
                 THEN format('%s of %s connections are open (%s %%)', m.total, m.base_size::bigint + m.max_overflow, m.utilization_percent) END,
            CASE WHEN m.waiting_long > 0 AND m.waiting <= 20 THEN format('%s connections wait for locks, with statements of more than a minute', m.waiting_long) END,
            CASE WHEN m.clients_waiting BETWEEN 1 AND 20 THEN format('%s clients wait for a connection', m.clients_waiting) END,
            CASE WHEN m.acquire_p95_ms >= 5 AND m.acquire_p95_ms < 100 THEN format('it takes clients %s ms to get a connection (p95)', round(m.acquire_p95_ms::numeric, 1)) END,
            CASE WHEN m.acquire_timeouts > 0 THEN format('%s times in five minutes, a client got no connection', m.acquire_timeouts) END,
            CASE WHEN m.longest_idle_in_transaction >= interval '5 minutes' AND m.longest_idle_in_transaction < interval '30 minutes'
                 THEN 'a transaction has been idle for more than 5 minutes' END
        ], NULL) AS warning
    FROM measured m
)
SELECT name AS pool,
       CASE WHEN critical <> '{}' THEN 'critical' WHEN warning <> '{}' THEN 'warning' ELSE 'ok' END AS status,
       critical || warning || CASE WHEN NOT sees_all THEN ARRAY['connections of other roles are not counted: that takes membership of pg_read_all_stats'] END AS reasons,
       active, idle, idle_in_transaction, waiting, total, base_size, max_overflow,
       greatest(total - base_size, 0) AS overflow_in_use,
       utilization_percent,
       oldest_connection, recycle_after, past_recycle_age, longest_idle_in_transaction,
       connections_per_second, establish_p50_ms, establish_p95_ms, establish_p99_ms, failed_authentications,
       acquire_p50_ms, acquire_p95_ms, acquire_p99_ms, acquire_count, acquire_timeouts, client_reported,
       CASE WHEN preloaded THEN 'shared memory' ELSE 'statistics views' END AS source
FROM judged
ORDER BY priority, name;
COMMENT ON VIEW dbperf.pool_status IS 'How each pool of dbperf.pools is now: its connections to this server, how they were established, and what its clients report; status ok, warning or critical with its reasons';
COMMENT ON COLUMN dbperf.pool_status.waiting IS 'connections that wait for a lock';
COMMENT ON COLUMN dbperf.pool_status.overflow_in_use IS 'connections beyond base_size';
COMMENT ON COLUMN dbperf.pool_status.utilization_percent IS 'connections that are open, of base_size and max_overflow together';
COMMENT ON COLUMN dbperf.pool_status.past_recycle_age IS 'connections older than recycle_after: the pool has not replaced them yet';
COMMENT ON COLUMN dbperf.pool_status.connections_per_second IS 'new ones over the last minute; no use of a pool, if there are many';
COMMENT ON COLUMN dbperf.pool_status.establish_p50_ms IS 'of the connections of the last 15 minutes: from the start of the server process to the end of authentication';
COMMENT ON COLUMN dbperf.pool_status.failed_authentications IS 'in the last 15 minutes; those that pg_hba.conf refuses or authentication_timeout ends are not among them';
COMMENT ON COLUMN dbperf.pool_status.acquire_p50_ms IS 'of what clients reported by track_connection_acquire() and report_pool_sample() in the last five minutes';
COMMENT ON COLUMN dbperf.pool_status.acquire_timeouts IS 'in the last five minutes: acquire times of acquire_timeout or more, and timeouts of samples';
COMMENT ON COLUMN dbperf.pool_status.client_reported IS 'sum of the last samples of all instances, see pool_samples(); null: none of them says';
COMMENT ON COLUMN dbperf.pool_status.source IS 'shared memory; or statistics views where the library is not preloaded: nothing is known of new connections and of what clients report';
