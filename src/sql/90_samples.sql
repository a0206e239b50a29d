--
-- Samples: what the sampler measures, and the history of it
--
-- A sample is one row of metric_sample: two arrays, numbers of series and their values. A row for each
-- value would take five times the space and an index, and an index of a partition does not survive
-- pg_dump where the parent belongs to an extension. For one series of a long time, metric_range() is
-- quicker than the view metric_values, which unfolds every sample.
--

CREATE TABLE dbperf.metric (
    name        text PRIMARY KEY,
    unit        text NOT NULL,
    better      text CHECK (better IN ('lower', 'higher')),
    label       text,
    description text NOT NULL
);
COMMENT ON TABLE dbperf.metric IS 'Everything that is measured; fixed';
COMMENT ON COLUMN dbperf.metric.better IS 'whether lower or higher values are better; NULL: neither';
COMMENT ON COLUMN dbperf.metric.label IS 'what each series of the metric is for; NULL: there is one series';

INSERT INTO dbperf.metric (name, unit, better, label, description) VALUES
    ('connections_used',              'connections', NULL, NULL, 'client connections to the server'),
    ('connections_max',               'connections', NULL, NULL, 'max_connections'),
    ('connections_reserved',          'connections', NULL, NULL, 'connections that only superusers, and members of pg_use_reserved_connections, can have'),
    ('connections_used_percent',      '%', 'lower', NULL, 'connections in use, of those that anybody can have'),
    ('connections_active',            'connections', NULL, NULL, 'client connections that execute a statement'),
    ('connections_idle',              'connections', NULL, NULL, 'client connections outside a transaction'),
    ('connections_idle_in_transaction', 'connections', 'lower', NULL, 'client connections in a transaction that wait for their client'),
    ('connections_waiting',           'connections', 'lower', NULL, 'client connections that wait for a lock'),
    ('idle_in_transaction_seconds',   's', 'lower', NULL, 'longest time for which a transaction has waited for its client'),
    ('longest_query_seconds',         's', 'lower', NULL, 'age of the oldest statement that is being executed'),
    ('longest_transaction_seconds',   's', 'lower', NULL, 'age of the oldest transaction of a client'),
    ('connections_per_second',        '1/s', 'lower', NULL, 'new connections to this database'),
    ('connect_p95_ms',                'ms', 'lower', NULL, 'time to establish a connection, in the last 15 minutes; of the slowest pool'),
    ('pool_utilization_percent',      '%', 'lower', 'pool', 'connections of a pool, of base and overflow'),
    ('pool_waiting',                  'connections', 'lower', 'pool', 'connections of a pool that wait for a lock'),
    ('pool_acquire_p95_ms',           'ms', 'lower', 'pool', 'time to get a connection from the pool, as clients report it, in the last 5 minutes'),
    ('transactions_per_second',       '1/s', 'higher', NULL, 'transactions committed and rolled back in this database'),
    ('rollbacks_per_second',          '1/s', 'lower', NULL, 'transactions rolled back in this database'),
    ('deadlocks_per_second',          '1/s', 'lower', NULL, 'deadlocks in this database'),
    ('rows_inserted_per_second',      '1/s', 'higher', NULL, 'rows inserted in this database, by the statistics of the server'),
    ('temp_bytes_per_second',         'bytes/s', 'lower', NULL, 'temporary files written in this database'),
    ('cache_hit_percent',             '%', 'higher', NULL, 'blocks of this database that were found in shared buffers since the last sample'),
    ('wal_bytes_per_second',          'bytes/s', 'lower', NULL, 'WAL written by the server'),
    ('checkpoints_per_second',        '1/s', 'lower', NULL, 'checkpoints of the server'),
    ('checkpoints_requested_per_second', '1/s', 'lower', NULL, 'checkpoints that did not wait for checkpoint_timeout'),
    ('xid_age_percent',               '%', 'lower', NULL, 'oldest transaction or multixact of any database, of the age at which the server takes no more writes'),
    ('notify_queue_percent',          '%', 'lower', NULL, 'use of the queue of NOTIFY'),
    ('replication_lag_seconds',       's', 'lower', 'standby', 'time by which a standby is behind'),
    ('replication_lag_bytes',         'bytes', 'lower', 'standby', 'WAL that a standby has yet to apply'),
    ('slot_retained_bytes',           'bytes', 'lower', 'slot', 'WAL that is kept for a replication slot'),
    ('database_bytes',                'bytes', NULL, NULL, 'size of this database'),
    ('insert_rows_per_second',        '1/s', 'higher', 'table', 'rows that came into a managed table, in the last minute'),
    ('ingest_rows_per_second',        '1/s', 'higher', NULL, 'rows that came into all managed tables, in the last minute'),
    ('ingest_batch_p95_ms',           'ms', 'lower', 'table', 'time of a batch into a managed table, since the start of the server'),
    ('queries_per_second',            '1/s', 'higher', NULL, 'statements of clients in this database, in the last minute'),
    ('query_errors_per_second',       '1/s', 'lower', NULL, 'those that ended in an error'),
    ('query_p50_ms',                  'ms', 'lower', 'kind', 'half of the statements of the last minute took this long or less'),
    ('query_p95_ms',                  'ms', 'lower', 'kind', '95 % of the statements of the last minute took this long or less'),
    ('query_p99_ms',                  'ms', 'lower', 'kind', '99 % of the statements of the last minute took this long or less'),
    ('slow_queries',                  'statements', 'lower', NULL, 'statements of the last minute that took dbperf.slow_query_threshold or longer'),
    ('partition_status',              'status', 'lower', 'table', 'status of partition_health: 0 ok, 1 warning, 2 critical'),
    ('partition_count',               'partitions', NULL, 'table', 'partitions of a managed table'),
    ('partition_runway_periods',      'periods', 'higher', 'table', 'time until inserts find no partition, in partitions; not where premake is 0'),
    ('partition_missing',             'partitions', 'lower', 'table', 'partitions that maintenance would make now'),
    ('partition_default_rows',        'flag', 'lower', 'table', '1: the default partition has rows'),
    ('partition_overdue',             'kinds', 'lower', 'table', 'kinds of work on a managed table that are overdue: maintenance, making partitions, retiring and compressing them'),
    ('partition_bytes',               'bytes', NULL, 'table', 'size of the partitions of a managed table, indexes and TOAST included'),
    ('worker_silent_seconds',         's', 'lower', NULL, 'time since the background worker last showed a sign of life'),
    ('disk_free_percent',             '%', 'higher', 'tablespace', 'free space of the file system of a tablespace, or of WAL where it has its own'),
    ('disk_free_bytes',               'bytes', 'higher', 'tablespace', 'the same in bytes'),
    ('cpu_percent',                   '%', 'lower', NULL, 'time in which the processors of the machine were at work'),
    ('cpu_iowait_percent',            '%', 'lower', NULL, 'time in which they waited for disks'),
    ('load1',                         'processes', 'lower', NULL, 'load of the machine over one minute'),
    ('load5',                         'processes', 'lower', NULL, 'load of the machine over five minutes'),
    ('load15',                        'processes', 'lower', NULL, 'load of the machine over fifteen minutes'),
    ('memory_used_percent',           '%', 'lower', NULL, 'memory of the machine that is not available'),
    ('memory_available_bytes',        'bytes', 'higher', NULL, 'memory that programs can have, caches included'),
    ('disk_read_bytes_per_second',    'bytes/s', NULL, NULL, 'read from the disks of the data directory and the tablespaces'),
    ('disk_write_bytes_per_second',   'bytes/s', NULL, NULL, 'written to them'),
    ('sampler_duration_ms',           'ms', 'lower', NULL, 'time that the sample itself took'),
    ('pgbouncer_clients_waiting',     'connections', 'lower', 'pool', 'clients that wait for a connection of PgBouncer'),
    ('pgbouncer_clients_active',      'connections', NULL, 'pool', 'clients that have a connection of PgBouncer'),
    ('pgbouncer_wait_seconds',        's', 'lower', 'pool', 'time for which the first of the clients of PgBouncer has waited');

-- Numbers follow from the names, so that those of a dump and those of the database it is restored
-- into are the same.
CREATE TABLE dbperf.metric_series (
    series integer PRIMARY KEY,
    metric text NOT NULL,
    label  text NOT NULL DEFAULT '',
    UNIQUE (metric, label)
);
COMMENT ON TABLE dbperf.metric_series IS 'What the numbers in metric_sample stand for';
COMMENT ON COLUMN dbperf.metric_series.label IS 'table, pool, tablespace ... (see dbperf.metric); empty: the metric has one series';

CREATE TABLE dbperf.metric_sample (
    at     timestamptz NOT NULL,
    series integer[] NOT NULL,
    value  double precision[] NOT NULL
) PARTITION BY RANGE (at);
COMMENT ON TABLE dbperf.metric_sample IS 'History of the metrics, a row for each sample; a managed table: alter_policy() sets for how long it is kept; see metric_history() and the view metric_values';
COMMENT ON COLUMN dbperf.metric_sample.series IS 'numbers of metric_series';
COMMENT ON COLUMN dbperf.metric_sample.value IS 'the values, in the same order';

CREATE VIEW dbperf.metric_values AS
    SELECT s.at, r.metric, r.label, v.value
    FROM dbperf.metric_sample s
    CROSS JOIN LATERAL unnest(s.series, s.value) v (series, value)
    JOIN dbperf.metric_series r ON r.series = v.series;
COMMENT ON VIEW dbperf.metric_values IS 'History of the metrics, a row for each value; give a range of at';

CREATE TABLE dbperf.monitoring (
    only_row        boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    enabled         boolean NOT NULL,
    sample_interval interval,
    changed_at      timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE dbperf.monitoring IS 'What start_monitoring() or stop_monitoring() has set; no row: neither was called';
COMMENT ON COLUMN dbperf.monitoring.sample_interval IS 'NULL: dbperf.sample_interval';

SELECT pg_catalog.pg_extension_config_dump('dbperf.metric_series', '');
SELECT pg_catalog.pg_extension_config_dump('dbperf.monitoring', '');

-- A dump may be restored where samples are taken already. What is there stays.
CREATE FUNCTION dbperf.skip_known()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_RELID = 'dbperf.metric_series'::regclass THEN
        IF EXISTS (SELECT FROM dbperf.metric_series s
                   WHERE s.series = NEW.series AND s.metric = NEW.metric AND s.label = NEW.label) THEN
            RETURN NULL;
        END IF;
    ELSIF NEW.changed_at < now() AND EXISTS (SELECT FROM dbperf.monitoring) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION dbperf.skip_known() IS 'Trigger: leaves out rows of a dump that are there already';

CREATE TRIGGER skip_known BEFORE INSERT ON dbperf.metric_series
    FOR EACH ROW EXECUTE FUNCTION dbperf.skip_known();
CREATE TRIGGER skip_known BEFORE INSERT ON dbperf.monitoring
    FOR EACH ROW EXECUTE FUNCTION dbperf.skip_known();
ALTER TABLE dbperf.metric_series ENABLE ALWAYS TRIGGER skip_known;
ALTER TABLE dbperf.monitoring ENABLE ALWAYS TRIGGER skip_known;

-- The policy is the one that the dump has.
CREATE FUNCTION dbperf.replace_sample_policy()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.created_at < now() THEN
        DELETE FROM dbperf.policy p WHERE p.parent = NEW.parent;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION dbperf.replace_sample_policy() IS 'Trigger: lets a dump bring the policy of metric_sample where there is one already';

CREATE TRIGGER before_check_sample_policy BEFORE INSERT ON dbperf.policy
    FOR EACH ROW WHEN (NEW.parent = 'dbperf.metric_sample'::regclass)
    EXECUTE FUNCTION dbperf.replace_sample_policy();
ALTER TABLE dbperf.policy ENABLE ALWAYS TRIGGER before_check_sample_policy;

-- Not dumped: what the last sample found, to tell rates from, and to answer questions at once.
CREATE TABLE dbperf.sampler_state (
    only_row      boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    at            timestamptz,
    source        text,
    interval_s    double precision,
    duration_ms   double precision,
    "values"      jsonb NOT NULL DEFAULT '[]',
    slow_at       timestamptz,
    slow_ms       double precision,
    slow_values   jsonb NOT NULL DEFAULT '[]',
    partitions    jsonb NOT NULL DEFAULT '[]',
    raw           jsonb NOT NULL DEFAULT '[]',
    raw_at        timestamptz,
    raw_clock     double precision,
    raw_boot      text,
    samples       bigint NOT NULL DEFAULT 0,
    errors        bigint NOT NULL DEFAULT 0,
    error         text,
    error_at      timestamptz,
    quiet_ticks   integer NOT NULL DEFAULT 0,
    tidied_at     timestamptz,
    settled_at    timestamptz,
    installed_pid integer,
    installed_backend_start timestamptz
) WITH (fillfactor = 10, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);
COMMENT ON TABLE dbperf.sampler_state IS 'The last sample; see latest_metrics() and the view monitoring_status';
COMMENT ON COLUMN dbperf.sampler_state.at IS 'when it was taken; NULL: there is none';
COMMENT ON COLUMN dbperf.sampler_state.source IS 'sampler or manual';
COMMENT ON COLUMN dbperf.sampler_state.interval_s IS 'time over which its rates are told; NULL: there was no sample before, or the clock was set back';
COMMENT ON COLUMN dbperf.sampler_state."values" IS 'what every sample measures: a list of [metric, label, value]';
COMMENT ON COLUMN dbperf.sampler_state.slow_values IS 'what is measured once a minute, at slow_at';
COMMENT ON COLUMN dbperf.sampler_state.slow_ms IS 'how long that took; with very many tables, it is done less often, so that it takes no more than half a percent of the time';
COMMENT ON COLUMN dbperf.sampler_state.partitions IS 'partition_health at slow_at, as health_partitions() tells it: a list of objects with its columns, and total_bytes, runway_seconds and runway_periods; parent is a name';
COMMENT ON COLUMN dbperf.sampler_state.raw IS 'counters from which the next sample tells rates: a list of [metric, label, value, what tells one life of the counter from the next]';
COMMENT ON COLUMN dbperf.sampler_state.raw_clock IS 'seconds since the machine started, when they were read';
COMMENT ON COLUMN dbperf.sampler_state.raw_boot IS 'which start of which machine that was';
COMMENT ON COLUMN dbperf.sampler_state.error IS 'what was wrong with the last sample; NULL: nothing';
COMMENT ON COLUMN dbperf.sampler_state.quiet_ticks IS 'samples in a row that saw no sign of a restore';
COMMENT ON COLUMN dbperf.sampler_state.tidied_at IS 'hour in which baselines were last updated and old rows removed';
COMMENT ON COLUMN dbperf.sampler_state.settled_at IS 'since when samples are kept; NULL: rows of a dump may still be on their way';

INSERT INTO dbperf.sampler_state (installed_pid, installed_backend_start)
    SELECT a.pid, a.backend_start FROM pg_stat_get_activity(pg_backend_pid()) a;

CREATE FUNCTION dbperf.latest_metrics()
RETURNS TABLE (metric text, label text, value double precision, at timestamptz)
LANGUAGE sql STABLE ROWS 200
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT e ->> 0, e ->> 1, (e ->> 2)::double precision, s.at
    FROM dbperf.sampler_state s, jsonb_array_elements(s."values") e
    UNION ALL
    SELECT e ->> 0, e ->> 1, (e ->> 2)::double precision, s.slow_at
    FROM dbperf.sampler_state s, jsonb_array_elements(s.slow_values) e
$$;
COMMENT ON FUNCTION dbperf.latest_metrics() IS 'Every metric as the last sample found it; some are measured once a minute only, see at';
GRANT EXECUTE ON FUNCTION dbperf.latest_metrics() TO pg_monitor;

CREATE FUNCTION dbperf.metric_range(metric text, "from" timestamptz, "to" timestamptz, for_label text DEFAULT NULL)
RETURNS TABLE (at timestamptz, label text, value double precision)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wanted bigint := (SELECT count(*) FROM dbperf.metric_series r WHERE r.metric = $1 AND ($4 IS NULL OR r.label = $4));
BEGIN
    -- looking for one series in a sample is quicker than unfolding it, but looking for many is not
    IF wanted <= 8 THEN
        RETURN QUERY
            SELECT s.at, r.label, s.value[array_position(s.series, r.series)]
            FROM dbperf.metric_series r, dbperf.metric_sample s
            WHERE r.metric = $1 AND ($4 IS NULL OR r.label = $4) AND s.at >= $2 AND s.at < $3 AND r.series = ANY (s.series);
    ELSE
        RETURN QUERY SELECT v.at, v.label, v.value FROM dbperf.metric_values v WHERE v.metric = $1 AND v.at >= $2 AND v.at < $3;
    END IF;
END
$$;
COMMENT ON FUNCTION dbperf.metric_range(text, timestamptz, timestamptz, text) IS 'Values of one metric from one time (inclusive) to another (exclusive), in no order; for_label NULL: all of its series';
GRANT EXECUTE ON FUNCTION dbperf.metric_range(text, timestamptz, timestamptz, text) TO pg_monitor;

--
-- Measuring
--

CREATE TYPE dbperf.measurement AS (
    metric text,
    label  text,
    value  double precision,
    life   text
);
COMMENT ON TYPE dbperf.measurement IS 'Something measured: a value of now; or, where life is not null, a counter';
COMMENT ON COLUMN dbperf.measurement.life IS 'another text says that the counter has begun anew';

CREATE FUNCTION dbperf.system_stats(OUT metric text, OUT label text, OUT value double precision, OUT is_counter boolean)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 20
AS 'MODULE_PATHNAME', 'dbperf_system_stats';
COMMENT ON FUNCTION dbperf.system_stats() IS 'What the machine says of itself: processors and memory (cpu_count, memory_total_bytes ...), load, disks of the data directory and the tablespaces; what it does not tell is left out';
GRANT EXECUTE ON FUNCTION dbperf.system_stats() TO pg_monitor;

CREATE FUNCTION dbperf.measure_connections()
RETURNS SETOF dbperf.measurement
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    slots    integer := current_setting('max_connections')::integer;
    -- superusers' own; and, from PostgreSQL 16, those of members of pg_use_reserved_connections
    reserved integer := current_setting('superuser_reserved_connections')::integer
        + coalesce(current_setting('reserved_connections', true)::integer, 0);
BEGIN
    RETURN QUERY
    WITH a AS (
        SELECT count(*) AS used,
               count(*) FILTER (WHERE b.state IN ('active', 'fastpath function call')) AS active,
               count(*) FILTER (WHERE b.state = 'idle') AS idle,
               count(*) FILTER (WHERE b.state LIKE 'idle in transaction%') AS in_transaction,
               count(*) FILTER (WHERE b.wait_event_type = 'Lock') AS waiting,
               max(clock_timestamp() - b.state_change) FILTER (WHERE b.state LIKE 'idle in transaction%') AS idle_for,
               max(clock_timestamp() - b.query_start) FILTER (WHERE b.state = 'active' AND b.pid <> pg_backend_pid()) AS query_for,
               max(clock_timestamp() - b.xact_start) FILTER (WHERE b.pid <> pg_backend_pid()) AS transaction_for
        FROM pg_stat_get_activity(NULL) b WHERE b.backend_type = 'client backend')
    SELECT v.metric, '', v.value, NULL
    FROM a, LATERAL (VALUES
        ('connections_used', a.used::double precision),
        ('connections_max', slots),
        ('connections_reserved', reserved),
        ('connections_used_percent', 100.0 * a.used / greatest(slots - reserved, 1)),
        ('connections_active', a.active),
        ('connections_idle', a.idle),
        ('connections_idle_in_transaction', a.in_transaction),
        ('connections_waiting', a.waiting),
        ('idle_in_transaction_seconds', coalesce(extract(epoch FROM greatest(a.idle_for, '0')), 0)),
        ('longest_query_seconds', coalesce(extract(epoch FROM greatest(a.query_for, '0')), 0)),
        ('longest_transaction_seconds', coalesce(extract(epoch FROM greatest(a.transaction_for, '0')), 0))
    ) v (metric, value);
END
$$;
COMMENT ON FUNCTION dbperf.measure_connections() IS 'Metrics of the connections to the server';

CREATE FUNCTION dbperf.measure_database()
RETURNS SETOF dbperf.measurement
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    db   oid := (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
    -- a crash resets the statistics of the database as well, but leaves its time of reset empty
    life text := concat_ws('/', extract(epoch FROM pg_stat_get_db_stat_reset_time(db)),
                           extract(epoch FROM pg_stat_get_bgwriter_stat_reset_time()));
BEGIN
    RETURN QUERY SELECT v.metric, '', v.value, life FROM (VALUES
        ('connections_per_second', pg_stat_get_db_sessions(db)::double precision),
        ('transactions_per_second', pg_stat_get_db_xact_commit(db) + pg_stat_get_db_xact_rollback(db)),
        ('rollbacks_per_second', pg_stat_get_db_xact_rollback(db)),
        ('deadlocks_per_second', pg_stat_get_db_deadlocks(db)),
        ('rows_inserted_per_second', pg_stat_get_db_tuples_inserted(db)),
        ('temp_bytes_per_second', pg_stat_get_db_temp_bytes(db)),
        ('blocks_fetched', pg_stat_get_db_blocks_fetched(db)),
        ('blocks_hit', pg_stat_get_db_blocks_hit(db))
    ) v (metric, value);
END
$$;
COMMENT ON FUNCTION dbperf.measure_database() IS 'Counters of this database';

-- PostgreSQL 17 moved checkpoints to statistics of their own.
CREATE FUNCTION dbperf.measure_checkpoints()
RETURNS SETOF dbperf.measurement
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY EXECUTE format($sql$
        SELECT v.metric, '', v.value, extract(epoch FROM %s)::text FROM (VALUES
            ('checkpoints_per_second', (%s + %s)::double precision),
            ('checkpoints_requested_per_second', %3$s)) v (metric, value)$sql$,
        VARIADIC CASE WHEN current_setting('server_version_num')::integer >= 170000
            THEN ARRAY['pg_stat_get_checkpointer_stat_reset_time()', 'pg_stat_get_checkpointer_num_timed()',
                       'pg_stat_get_checkpointer_num_requested()']
            ELSE ARRAY['pg_stat_get_bgwriter_stat_reset_time()', 'pg_stat_get_bgwriter_timed_checkpoints()',
                       'pg_stat_get_bgwriter_requested_checkpoints()'] END);
END
$$;
COMMENT ON FUNCTION dbperf.measure_checkpoints() IS 'Counters of the checkpointer';

CREATE FUNCTION dbperf.measure_server()
RETURNS SETOF dbperf.measurement
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    standby boolean := pg_is_in_recovery();
    lsn     pg_lsn;
    w       record := dbperf.worker_state();
BEGIN
    IF standby THEN
        lsn := coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn());
        RETURN QUERY
        SELECT v.metric, 'this server', v.value, NULL
        FROM (VALUES
            ('replication_lag_bytes', greatest(pg_wal_lsn_diff(lsn, pg_last_wal_replay_lsn()), 0)::double precision),
            -- who is not connected to the primary cannot know that there is nothing more to apply
            ('replication_lag_seconds', CASE WHEN lsn <= pg_last_wal_replay_lsn()
                    AND EXISTS (SELECT FROM pg_stat_get_wal_receiver() r WHERE r.status = 'streaming') THEN 0
                ELSE extract(epoch FROM greatest(clock_timestamp() - pg_last_xact_replay_timestamp(), '0')) END)) v (metric, value)
        WHERE v.value IS NOT NULL;
    ELSE
        lsn := pg_current_wal_lsn();
        RETURN QUERY SELECT 'wal_bytes_per_second', '', pg_wal_lsn_diff(lsn, '0/0')::double precision, c.timeline_id::text
            FROM pg_control_checkpoint() c;
    END IF;
    RETURN QUERY
    SELECT v.metric, '', v.value, NULL
    FROM (VALUES
        ('xid_age_percent', (SELECT 100.0 * max(greatest(age(d.datfrozenxid), mxid_age(d.datminmxid))) / (2147483647 - 3000000)
                             FROM pg_database d)::double precision),
        ('notify_queue_percent', 100 * pg_notification_queue_usage()),
        -- where it has been told not to work, nothing is amiss
        ('worker_silent_seconds', CASE WHEN w.state IN ('running', 'starting', 'down', 'no worker slots')
            THEN greatest(extract(epoch FROM clock_timestamp() - coalesce(w.last_alive, pg_postmaster_start_time())), 0) END)) v (metric, value)
    WHERE v.value IS NOT NULL;
    -- several standbys may have one name
    RETURN QUERY
    SELECT v.metric, r.name, v.value, NULL
    FROM (SELECT coalesce(nullif(s.application_name, ''), 'pid ' || s.pid) AS name,
                 max(pg_wal_lsn_diff(lsn, s.replay_lsn)) AS bytes, max(coalesce(s.replay_lag, '0')) AS lag
          FROM pg_stat_replication s WHERE s.replay_lsn IS NOT NULL GROUP BY 1 ORDER BY 1 LIMIT 100) r,
        LATERAL (VALUES ('replication_lag_bytes', greatest(r.bytes, 0)::double precision),
                        ('replication_lag_seconds', extract(epoch FROM r.lag))) v (metric, value);
    RETURN QUERY
    SELECT 'slot_retained_bytes', s.slot_name::text, greatest(pg_wal_lsn_diff(lsn, s.restart_lsn), 0)::double precision, NULL::text
    FROM pg_get_replication_slots() s WHERE s.restart_lsn IS NOT NULL;
END
$$;
COMMENT ON FUNCTION dbperf.measure_server() IS 'Metrics of WAL, replication, the background worker and what runs out in the whole server';

CREATE FUNCTION dbperf.measure_ingest()
RETURNS SETOF dbperf.measurement
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s record := dbperf.counters_state();
BEGIN
    IF s.preloaded THEN
        RETURN QUERY
        WITH t AS (
            SELECT p.parent, coalesce(m.rows_per_second_1m, 0) AS rate, m.batch_p95_ms
            FROM dbperf.policy p
            LEFT JOIN dbperf.table_counters() m ON m.relid = p.parent
            WHERE p.parent <> 'dbperf.metric_sample'::regclass)
        SELECT 'ingest_rows_per_second', '', coalesce(sum(t.rate), 0), NULL::text FROM t
        UNION ALL
        SELECT v.metric, n.name, v.value, NULL
        FROM (SELECT * FROM t ORDER BY t.rate DESC, t.parent LIMIT 1000) r
        CROSS JOIN LATERAL dbperf.qualified_name(r.parent) n (name)
        CROSS JOIN LATERAL (VALUES ('insert_rows_per_second', r.rate), ('ingest_batch_p95_ms', r.batch_p95_ms)) v (metric, value)
        WHERE v.value IS NOT NULL;
    ELSE
        -- a partition that is dropped takes its part of the counter along: one sample without a rate
        RETURN QUERY
        WITH t AS MATERIALIZED (
            SELECT n.name, dbperf.inserted_rows(p.parent)::double precision AS inserted
            FROM dbperf.policy p
            CROSS JOIN LATERAL dbperf.qualified_name(p.parent) n (name)
            WHERE p.parent <> 'dbperf.metric_sample'::regclass
            ORDER BY 1 LIMIT 1000)
        SELECT 'insert_rows_per_second', t.name, t.inserted, 'statistics views' FROM t
        UNION ALL
        SELECT 'ingest_rows_per_second', '', coalesce(sum(t.inserted), 0), 'statistics views' FROM t;
    END IF;
END
$$;
COMMENT ON FUNCTION dbperf.measure_ingest() IS 'Metrics of rows that come into managed tables';

CREATE FUNCTION dbperf.measure_queries()
RETURNS SETOF dbperf.measurement
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH q AS MATERIALIZED (
        SELECT c.*
        FROM dbperf.query_counters(1) c JOIN pg_database d ON d.oid = c.database
        WHERE d.datname = current_database()
    ), t AS (
        SELECT coalesce(sum(q.calls_per_second), 0) AS calls,
               coalesce(sum(q.calls_per_second * q.errors / nullif(q.calls, 0)), 0) AS errors
        FROM q WHERE q.kind = 'all'
    )
    SELECT v.metric, '', v.value, NULL::text
    FROM dbperf.query_state() s, dbperf.slow_query_count('1 minute') c, t,
        LATERAL (VALUES ('queries_per_second', t.calls), ('query_errors_per_second', t.errors), ('slow_queries', c.recent)) v (metric, value)
    WHERE s.preloaded AND v.value IS NOT NULL
    UNION ALL
    SELECT v.metric, q.kind, v.value, NULL
    FROM q, LATERAL (VALUES ('query_p50_ms', q.p50_ms), ('query_p95_ms', q.p95_ms), ('query_p99_ms', q.p99_ms)) v (metric, value)
    WHERE v.value IS NOT NULL;
END
$$;
COMMENT ON FUNCTION dbperf.measure_queries() IS 'Metrics of the statements of this database';

CREATE FUNCTION dbperf.measure_pools()
RETURNS SETOF dbperf.measurement
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH p AS MATERIALIZED (SELECT * FROM dbperf.pool_status)
    SELECT v.metric, p.pool::text, v.value, NULL::text
    FROM p, LATERAL (VALUES ('pool_utilization_percent', p.utilization_percent::double precision), ('pool_waiting', p.waiting),
                            ('pool_acquire_p95_ms', p.acquire_p95_ms)) v (metric, value)
    WHERE v.value IS NOT NULL
    UNION ALL
    SELECT 'connect_p95_ms', '', max(p.establish_p95_ms), NULL FROM p HAVING max(p.establish_p95_ms) IS NOT NULL;
END
$$;
COMMENT ON FUNCTION dbperf.measure_pools() IS 'Metrics of the connection pools';

CREATE FUNCTION dbperf.measure_pgbouncer()
RETURNS SETOF dbperf.measurement
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF coalesce(current_setting('dbperf.pgbouncer_conninfo', true), '') = '' THEN
        RETURN;
    END IF;
    -- the pool of its own console is none
    RETURN QUERY
    SELECT v.metric, concat_ws('/', p.database, p."user"), v.value, NULL::text
    FROM (SELECT * FROM dbperf.pgbouncer_pools() b WHERE b.database <> 'pgbouncer' ORDER BY b.database, b."user" LIMIT 1000) p,
        LATERAL (VALUES ('pgbouncer_clients_waiting', p.cl_waiting::double precision), ('pgbouncer_clients_active', p.cl_active),
                        ('pgbouncer_wait_seconds', p.maxwait)) v (metric, value)
    WHERE v.value IS NOT NULL;
END
$$;
COMMENT ON FUNCTION dbperf.measure_pgbouncer() IS 'Metrics of PgBouncer''s pools';

CREATE FUNCTION dbperf.measure_system(boot text)
RETURNS SETOF dbperf.measurement
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT s.metric, s.label, s.value, CASE WHEN s.is_counter THEN coalesce(boot, '') END FROM dbperf.system_stats() s;
END
$$;
COMMENT ON FUNCTION dbperf.measure_system(text) IS 'Metrics of the machine';

-- pg_partition_tree() and pg_total_relation_size() would lock every partition.
CREATE FUNCTION dbperf.partition_bytes(parent regclass)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    level  oid[] := ARRAY[parent];
    tables oid[] := '{}';
BEGIN
    -- arrays, because indexes of the catalogs are used for them, however many other tables there are
    WHILE level <> '{}' LOOP
        level := ARRAY(SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = ANY (level));
        tables := tables || level;
    END LOOP;
    tables := tables || ARRAY(SELECT c.reltoastrelid FROM pg_class c WHERE c.oid = ANY (tables) AND c.reltoastrelid <> 0);
    RETURN (SELECT coalesce(sum((dbperf.relation_files(f.relid)).bytes), 0)
            FROM (SELECT unnest(tables) AS relid
                  UNION ALL
                  SELECT x.indexrelid FROM pg_index x WHERE x.indrelid = ANY (tables)) f);
END
$$;
COMMENT ON FUNCTION dbperf.partition_bytes(regclass) IS 'Bytes of the partitions of a table, with indexes and TOAST; takes no lock';
GRANT EXECUTE ON FUNCTION dbperf.partition_bytes(regclass) TO pg_monitor;

-- What costs more than the rest together, and is asked once a minute. Of very many tables, those that
-- need somebody's attention come first.
CREATE FUNCTION dbperf.measure_partitions(with_bytes boolean)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
SET DateStyle = 'ISO, YMD'
SET IntervalStyle = 'postgres'
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(to_jsonb(h) - 'name' - 'default_name'
                                  || jsonb_build_object('parent', h.name, 'default_partition', h.default_name)), '[]')
        FROM (
            SELECT h.*, n.name, d.name AS default_name,
                   CASE WHEN with_bytes THEN dbperf.partition_bytes(h.parent) END AS total_bytes,
                   dbperf.health_seconds(h.runway) AS runway_seconds,
                   dbperf.json_number(CASE WHEN h.premake = 0 THEN NULL
                        WHEN p.partition_interval IS NULL THEN h.future_ready
                        ELSE extract(epoch FROM h.runway) / extract(epoch FROM p.partition_interval) END::double precision) AS runway_periods
            FROM dbperf.partition_health h
            JOIN dbperf.policy p ON p.parent = h.parent
            CROSS JOIN LATERAL dbperf.qualified_name(h.parent) n (name)
            CROSS JOIN LATERAL dbperf.qualified_name(h.default_partition) d (name)
            ORDER BY array_position('{critical,warning,ok}', h.status), n.name COLLATE "C"
            LIMIT 1000) h);
END
$$;
COMMENT ON FUNCTION dbperf.measure_partitions(boolean) IS 'Health of each managed table (1000 at most), as it goes to sampler_state.partitions; with_bytes: its size too, which takes a look at every file';

CREATE FUNCTION dbperf.partition_values(partitions jsonb)
RETURNS SETOF dbperf.measurement
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT v.metric, h.parent, v.value, NULL::text
    FROM jsonb_to_recordset(partitions) h (
            parent text, status text, partitions integer, missing integer, default_has_rows boolean, enabled boolean,
            last_error text, retire_error text, compress_error text, last_run_at timestamptz, runway_periods double precision, total_bytes bigint),
        LATERAL (VALUES
            ('partition_status', array_position('{ok,warning,critical}', h.status)::double precision - 1),
            ('partition_count', h.partitions),
            ('partition_runway_periods', h.runway_periods),
            ('partition_missing', h.missing),
            ('partition_default_rows', h.default_has_rows::integer),
            ('partition_overdue', num_nonnulls(h.last_error, h.retire_error, h.compress_error)
                + (h.enabled AND h.last_run_at < clock_timestamp()
                   - greatest(2 * current_setting('dbperf.naptime', true)::interval, interval '1 hour') IS TRUE)::integer),
            ('partition_bytes', h.total_bytes)) v (metric, value)
    WHERE v.value IS NOT NULL;
END
$$;
COMMENT ON FUNCTION dbperf.partition_values(jsonb) IS 'Metrics of managed tables from what measure_partitions() returns';

-- Each group on its own: one that fails costs the sample its own metrics only.
CREATE FUNCTION dbperf.measure_group(name text, boot text, OUT measured dbperf.measurement[], OUT error text)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    CASE name
        WHEN 'connections' THEN measured := ARRAY(SELECT m FROM dbperf.measure_connections() m);
        WHEN 'database' THEN measured := ARRAY(SELECT m FROM dbperf.measure_database() m);
        WHEN 'checkpoints' THEN measured := ARRAY(SELECT m FROM dbperf.measure_checkpoints() m);
        WHEN 'server' THEN measured := ARRAY(SELECT m FROM dbperf.measure_server() m);
        WHEN 'ingest' THEN measured := ARRAY(SELECT m FROM dbperf.measure_ingest() m);
        WHEN 'queries' THEN measured := ARRAY(SELECT m FROM dbperf.measure_queries() m);
        WHEN 'pools' THEN measured := ARRAY(SELECT m FROM dbperf.measure_pools() m);
        WHEN 'pgbouncer' THEN measured := ARRAY(SELECT m FROM dbperf.measure_pgbouncer() m);
        WHEN 'system' THEN measured := ARRAY(SELECT m FROM dbperf.measure_system(boot) m);
    END CASE;
EXCEPTION WHEN OTHERS THEN
    measured := '{}';
    error := format('%s: %s', name, SQLERRM);
END
$$;
COMMENT ON FUNCTION dbperf.measure_group(text, text) IS 'One group of metrics, or why it could not be measured';

-- Counters become rates here, by a clock that nobody sets. A counter that has begun anew, or is less
-- than it was, has no rate until the next sample.
CREATE FUNCTION dbperf.tell_values(measured dbperf.measurement[], raw jsonb, elapsed double precision)
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        WITH rate AS MATERIALIZED (
            SELECT m.metric, m.label, (m.value - (o.e ->> 2)::double precision) / elapsed AS value
            FROM unnest(measured) m
            JOIN jsonb_array_elements(raw) o (e) ON o.e ->> 0 = m.metric AND o.e ->> 1 = m.label
            WHERE m.life = o.e ->> 3 AND m.value >= (o.e ->> 2)::double precision AND elapsed > 0
        ), told AS (
            SELECT m.metric, m.label, m.value FROM unnest(measured) m WHERE m.life IS NULL
            UNION ALL
            SELECT r.metric, r.label, r.value FROM rate r
            UNION ALL
            SELECT v.metric, '', least(100 * v.part / v.whole, 100)
            FROM (SELECT max(r.value) FILTER (WHERE r.metric = 'blocks_fetched') AS fetched,
                         max(r.value) FILTER (WHERE r.metric = 'blocks_hit') AS hit,
                         max(r.value) FILTER (WHERE r.metric = 'cpu_total') AS total,
                         max(r.value) FILTER (WHERE r.metric = 'cpu_busy') AS busy,
                         max(r.value) FILTER (WHERE r.metric = 'cpu_iowait') AS iowait
                  FROM rate r) p,
                LATERAL (VALUES ('cache_hit_percent', p.hit, p.fetched), ('cpu_percent', p.busy, p.total),
                                ('cpu_iowait_percent', p.iowait, p.total)) v (metric, part, whole)
            WHERE v.part <= v.whole AND v.whole > 0
            UNION ALL
            SELECT r.metric || '_per_second', '', sum(r.value)
            FROM rate r WHERE r.metric IN ('disk_read_bytes', 'disk_write_bytes') GROUP BY r.metric
        )
        SELECT coalesce(jsonb_agg(jsonb_build_array(t.metric, t.label, t.value) ORDER BY t.metric, t.label), '[]')
        FROM told t JOIN dbperf.metric d ON d.name = t.metric
        -- neither NaN nor infinity: jsonb has no such numbers
        WHERE abs(t.value) < 'Infinity');
END
$$;
COMMENT ON FUNCTION dbperf.tell_values(dbperf.measurement[], jsonb, double precision) IS 'The values of a sample: what was measured, and rates by the counters of the one before';

-- On a standby, the last sample is that of the primary: there are no rates.
CREATE FUNCTION dbperf.read_metrics(INOUT s dbperf.sampler_state)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    started  timestamptz := clock_timestamp();
    slow_started timestamptz;
    boot     text := (SELECT b.id FROM dbperf.boot() b);
    measured dbperf.measurement[] := '{}';
    gauges   jsonb;
    elapsed  double precision;
    name     text;
    got      record;
BEGIN
    PERFORM pg_stat_clear_snapshot();
    s.error := NULL;
    FOREACH name IN ARRAY '{connections,database,checkpoints,server,ingest,queries,pools,pgbouncer,system}'::text[] LOOP
        got := dbperf.measure_group(name, boot);
        measured := measured || got.measured;
        s.error := nullif(concat_ws('; ', s.error, got.error), '');
    END LOOP;
    s.at := dbperf.clock();
    elapsed := extract(epoch FROM s.at - s.raw_at);
    IF boot = s.raw_boot THEN
        elapsed := (SELECT m.value - s.raw_clock FROM unnest(measured) m WHERE m.metric = 'uptime_seconds');
    END IF;
    IF elapsed > 0 AND elapsed < 0.9 THEN
        -- Sessions report what they have done once a second: over less time, it would be told too low or far
        -- too high. The rates of the sample before stand.
        gauges := dbperf.tell_values(measured, '[]', NULL);
        s."values" := gauges || (
            SELECT coalesce(jsonb_agg(e), '[]') FROM jsonb_array_elements(s."values") e
            WHERE e ->> 0 ~ '_per_second$|^(cache_hit|cpu|cpu_iowait)_percent$'
            AND (e ->> 0, e ->> 1) NOT IN (SELECT g ->> 0, g ->> 1 FROM jsonb_array_elements(gauges) g));
    ELSE
        s.interval_s := CASE WHEN elapsed > 0 THEN elapsed END;
        s."values" := dbperf.tell_values(measured, s.raw, elapsed);
        s.raw := (SELECT jsonb_agg(jsonb_build_array(m.metric, m.label, m.value, m.life)) FROM unnest(measured) m WHERE m.life IS NOT NULL);
        s.raw_at := s.at;
        s.raw_boot := boot;
        s.raw_clock := (SELECT m.value FROM unnest(measured) m WHERE m.metric = 'uptime_seconds');
    END IF;
    IF s.slow_at IS NULL OR abs(extract(epoch FROM s.at - s.slow_at)) >= greatest(59, s.slow_ms / 5) THEN
        BEGIN
            slow_started := clock_timestamp();
            s.partitions := dbperf.measure_partitions(with_bytes => true);
            s.slow_values := dbperf.tell_values(
                ARRAY(SELECT v FROM dbperf.partition_values(s.partitions) v)
                    || ROW('database_bytes', '', pg_database_size(current_database()), NULL)::dbperf.measurement, '[]', NULL);
            s.slow_at := s.at;
            s.slow_ms := 1000 * extract(epoch FROM clock_timestamp() - slow_started);
        EXCEPTION WHEN OTHERS THEN
            s.error := concat_ws('; ', s.error, format('partitions: %s', SQLERRM));
        END;
    END IF;
    s.duration_ms := 1000 * extract(epoch FROM clock_timestamp() - started);
    s."values" := s."values" || jsonb_build_array(jsonb_build_array('sampler_duration_ms', '', s.duration_ms));
END
$$;
COMMENT ON FUNCTION dbperf.read_metrics(dbperf.sampler_state) IS 'Measures everything; takes and returns what is kept between two samples, and writes nothing';

--
-- Keeping samples
--

-- The number of a series is made of its names. Two that share one: the later takes the next.
CREATE FUNCTION dbperf.add_series(metric text, label text)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    number bigint := ('x' || left(md5(metric || E'\t' || label), 8))::bit(32)::bigint & 2147483647;
BEGIN
    WHILE EXISTS (SELECT FROM dbperf.metric_series s WHERE s.series = number) LOOP
        number := (number + 1) & 2147483647;
    END LOOP;
    INSERT INTO dbperf.metric_series (series, metric, label) VALUES (number, metric, label);
    RETURN number;
END
$$;
COMMENT ON FUNCTION dbperf.add_series(text, text) IS 'Numbers a new series';

CREATE FUNCTION dbperf.store_sample(at timestamptz, metrics text[], labels text[], vals double precision[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM dbperf.add_series(n.metric, n.label)
    FROM (SELECT DISTINCT m.metric, m.label FROM unnest(metrics, labels) m (metric, label)
          WHERE NOT EXISTS (SELECT FROM dbperf.metric_series s WHERE s.metric = m.metric AND s.label = m.label)
          -- whatever makes up new names all the time must not fill the disk
          LIMIT greatest(10000 - (SELECT count(*) FROM dbperf.metric_series), 0)) n;
    INSERT INTO dbperf.metric_sample (at, series, value)
        SELECT $1, array_agg(s.series ORDER BY s.series), array_agg(m.value ORDER BY s.series)
        FROM unnest(metrics, labels, vals) m (metric, label, value)
        JOIN dbperf.metric_series s ON s.metric = m.metric AND s.label = m.label
        HAVING count(*) > 0;
END
$$;
COMMENT ON FUNCTION dbperf.store_sample(timestamptz, text[], text[], double precision[]) IS 'Adds a sample to the history: names of metrics, their labels and values';

-- Whose rows may still be on their way: pg_restore's, and those of a script that began with CREATE
-- EXTENSION. A session that is idle, or a day old, is somebody's psql or application.
CREATE FUNCTION dbperf.dump_is_arriving()
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT dbperf.restore_in_progress() OR EXISTS (
        SELECT FROM dbperf.sampler_state s
        CROSS JOIN LATERAL pg_stat_get_activity(s.installed_pid) a
        WHERE s.installed_pid IS NOT NULL AND a.backend_start = s.installed_backend_start
        AND a.backend_start > clock_timestamp() - interval '1 day'
        AND NOT (a.state = 'idle' AND a.state_change < clock_timestamp() - interval '30 s'))
    OR EXISTS (
        SELECT FROM pg_stat_get_activity(NULL) a
        JOIN pg_database d ON d.oid = a.datid
        WHERE d.datname = current_database() AND a.application_name = 'pg_restore')
$$;
COMMENT ON FUNCTION dbperf.dump_is_arriving() IS 'Whether a dump of this database may still be being restored';

CREATE FUNCTION dbperf.settle_monitoring()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM dbperf.policy p WHERE p.parent = 'dbperf.metric_sample'::regclass) THEN
        PERFORM dbperf.make_missing('dbperf.metric_sample');
    ELSE
        PERFORM dbperf.manage('dbperf.metric_sample', '1 day', premake => 2, drop_after => '30 days', recycle_for => '1 hour',
            compress_after => '2 days', sort_by => '{at}');
    END IF;
    UPDATE dbperf.sampler_state SET settled_at = dbperf.clock();
END
$$;
COMMENT ON FUNCTION dbperf.settle_monitoring() IS 'From now on samples are kept: metric_sample becomes a managed table';

-- A transaction that takes a sample keeps others from taking one until it ends; nobody waits for it.
CREATE FUNCTION dbperf.take_sample(source text)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    started  timestamptz := clock_timestamp();
    s        dbperf.sampler_state;
    slow_at  timestamptz;
    problem  text;
BEGIN
    IF NOT EXISTS (SELECT FROM dbperf.sampler_state) THEN
        -- somebody has deleted the row
        INSERT INTO dbperf.sampler_state DEFAULT VALUES ON CONFLICT DO NOTHING;
    END IF;
    SELECT * INTO s FROM dbperf.sampler_state FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF s.settled_at IS NULL THEN
        s.quiet_ticks := CASE WHEN dbperf.dump_is_arriving() THEN 0 ELSE s.quiet_ticks + 1 END;
    END IF;
    -- where samples are taken by hand, there may be no worker to make partitions
    IF s.settled_at IS NULL AND (source = 'manual' OR s.quiet_ticks >= 2)
        OR s.settled_at IS NOT NULL AND source = 'manual'
        AND EXISTS (SELECT FROM dbperf.policy p WHERE p.parent = 'dbperf.metric_sample'::regclass)
        AND NOT EXISTS (SELECT FROM dbperf.partition_bounds('dbperf.metric_sample') b WHERE b.state = 'current')
    THEN
        BEGIN
            PERFORM dbperf.settle_monitoring();
            s.settled_at := coalesce(s.settled_at, dbperf.clock());
        EXCEPTION WHEN OTHERS THEN
            problem := format('history: %s', SQLERRM);
        END;
    END IF;
    slow_at := s.slow_at;
    IF source = 'manual' THEN
        -- who asks wants all of it as it is now
        s.slow_at := NULL;
    END IF;
    s := dbperf.read_metrics(s);
    s.slow_at := coalesce(s.slow_at, slow_at);
    IF s.settled_at IS NOT NULL THEN
        BEGIN
            PERFORM dbperf.store_sample(s.at, array_agg(e ->> 0), array_agg(e ->> 1), array_agg((e ->> 2)::double precision))
                FROM jsonb_array_elements(s."values" || CASE WHEN s.slow_at = slow_at THEN '[]' ELSE s.slow_values END) e;
            IF (SELECT count(*) FROM dbperf.metric_series) >= 10000 THEN
                -- room for the next sample; a series that comes back has the number that it had
                DELETE FROM dbperf.metric_series r WHERE (r.metric, r.label) NOT IN (
                    SELECT e ->> 0, e ->> 1 FROM jsonb_array_elements(s."values" || s.slow_values) e);
            END IF;
        EXCEPTION WHEN OTHERS THEN
            problem := format('history: %s', SQLERRM);
            IF SQLSTATE = '23514' AND coalesce(s.error_at < clock_timestamp() - interval '1 minute', true) THEN
                PERFORM dbperf.wake();
            END IF;
        END;
    END IF;
    s.error := nullif(concat_ws('; ', problem, s.error), '');
    UPDATE dbperf.sampler_state SET
        at = s.at, source = $1, interval_s = s.interval_s, duration_ms = 1000 * extract(epoch FROM clock_timestamp() - started),
        "values" = s."values", slow_at = s.slow_at, slow_ms = s.slow_ms, slow_values = s.slow_values, partitions = s.partitions,
        raw = s.raw, raw_at = s.raw_at, raw_clock = s.raw_clock, raw_boot = s.raw_boot,
        samples = s.samples + 1, errors = s.errors + (s.error IS NOT NULL)::integer, error = s.error,
        error_at = CASE WHEN s.error IS NULL THEN s.error_at ELSE clock_timestamp() END,
        quiet_ticks = s.quiet_ticks, settled_at = s.settled_at;
    RETURN true;
END
$$;
COMMENT ON FUNCTION dbperf.take_sample(text) IS 'Takes a sample; false: another transaction is about to';

CREATE FUNCTION dbperf.collect_health_metrics()
RETURNS TABLE (metric text, label text, value double precision, unit text, at timestamptz)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s dbperf.sampler_state;
BEGIN
    IF current_setting('transaction_read_only')::boolean THEN
        -- as on a standby: nothing is kept, and counters have nothing to be compared with
        s.raw := '[]';
        s := dbperf.read_metrics(s);
        RETURN QUERY
            SELECT m.name, e ->> 1, (e ->> 2)::double precision, m.unit, s.at
            FROM jsonb_array_elements(s."values" || coalesce(s.slow_values, '[]')) e JOIN dbperf.metric m ON m.name = e ->> 0
            ORDER BY m.name COLLATE "C", (e ->> 1) COLLATE "C";
        RETURN;
    END IF;
    PERFORM dbperf.take_sample('manual');
    RETURN QUERY
        SELECT l.metric, l.label, l.value, m.unit, l.at
        FROM dbperf.latest_metrics() l JOIN dbperf.metric m ON m.name = l.metric
        ORDER BY l.metric COLLATE "C", l.label COLLATE "C";
END
$$;
COMMENT ON FUNCTION dbperf.collect_health_metrics() IS 'Takes a sample now and returns every metric; where nothing can be written, as on a standby, those that need no sample before';

CREATE FUNCTION dbperf.start_monitoring(sample_interval interval DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- has the library loaded, and its settings with it
    process text := (SELECT p.state FROM dbperf.sampler_process() p);
BEGIN
    IF sample_interval NOT BETWEEN '1 s' AND '1 day' THEN
        RAISE EXCEPTION 'samples cannot be taken every %', sample_interval
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give an interval from 1 second to 1 day.';
    END IF;
    IF sample_interval IS NULL AND current_setting('dbperf.sample_interval')::interval = '0' THEN
        RAISE EXCEPTION 'there is no interval to take samples at'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Give one, for example start_monitoring(''10 s''), or set dbperf.sample_interval to more than 0.';
    END IF;
    INSERT INTO dbperf.monitoring (enabled, sample_interval, changed_at) VALUES (true, $1, clock_timestamp())
        ON CONFLICT (only_row) DO UPDATE SET enabled = true, sample_interval = $1, changed_at = clock_timestamp();
    IF EXISTS (SELECT FROM dbperf.sampler_state s WHERE s.settled_at IS NULL) THEN
        PERFORM dbperf.settle_monitoring();
    END IF;
    IF process = 'not preloaded' THEN
        RAISE WARNING 'no process takes samples: tradeassist_dbperf was not loaded at server start'
            USING HINT = 'Add tradeassist_dbperf to shared_preload_libraries and restart the server; until then, '
                         'collect_health_metrics() takes a sample.';
    END IF;
    PERFORM dbperf.wake_sampler();
END
$$;
COMMENT ON FUNCTION dbperf.start_monitoring(interval) IS 'Has samples of this database taken at an interval; NULL: that of dbperf.sample_interval';

CREATE FUNCTION dbperf.stop_monitoring()
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO dbperf.monitoring (enabled, changed_at) VALUES (false, clock_timestamp())
        ON CONFLICT (only_row) DO UPDATE SET enabled = false, changed_at = clock_timestamp();
    PERFORM dbperf.wake_sampler();
END
$$;
COMMENT ON FUNCTION dbperf.stop_monitoring() IS 'Has no more samples of this database taken, and no more alerts raised, until start_monitoring(); what was sampled stays';

--
-- Looking back
--

CREATE FUNCTION dbperf.metric_history(
    metric text, "from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL, step interval DEFAULT NULL, for_label text DEFAULT NULL)
RETURNS TABLE (bucket timestamptz, label text, min double precision, avg double precision, max double precision,
               last double precision, samples bigint)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    until timestamptz := coalesce("to", dbperf.clock());
    since timestamptz := coalesce("from", until - interval '1 hour');
    width double precision;
BEGIN
    IF metric IS NULL THEN
        RAISE EXCEPTION 'metric must not be null'
            USING ERRCODE = 'null_value_not_allowed', HINT = 'The table dbperf.metric lists them.';
    END IF;
    IF NOT EXISTS (SELECT FROM dbperf.metric m WHERE m.name = $1) THEN
        RAISE EXCEPTION 'metric "%" does not exist', metric
            USING ERRCODE = 'undefined_object', HINT = 'The table dbperf.metric lists them.';
    END IF;
    IF NOT isfinite(since) OR NOT isfinite(until) OR since >= until THEN
        RAISE EXCEPTION 'history goes from an earlier time to a later one, not from % to %', since, until
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    width := extract(epoch FROM until - since);
    IF step IS NULL THEN
        -- about 120 buckets, of lengths that people use
        step := coalesce((SELECT min(u.i) FROM unnest('{1 s,2 s,5 s,10 s,15 s,30 s,1 min,2 min,5 min,10 min,15 min,30 min,1 h,2 h,3 h,6 h,12 h}'::interval[]) u (i)
                          WHERE extract(epoch FROM u.i) >= width / 120), ceil(width / 120 / 86400) * interval '1 day');
    END IF;
    IF step <= '0' OR extract(month FROM step) <> 0 OR extract(year FROM step) <> 0 OR abs(extract(epoch FROM step)) > 1e11 THEN
        RAISE EXCEPTION 'step must be a positive time without months, not %', step
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give an interval such as ''1 minute'' or ''30 days''.';
    END IF;
    IF width / extract(epoch FROM step) > 10000 THEN
        RAISE EXCEPTION 'from % to %, there are more than 10000 steps of %', since, until, step
            USING ERRCODE = 'program_limit_exceeded', HINT = 'Give a longer step, or ask for a shorter time.';
    END IF;
    RETURN QUERY
        SELECT date_bin(step, r.at, timestamptz '2000-01-01 00:00:00+00') AS start, r.label,
               min(r.value), avg(r.value), max(r.value), (array_agg(r.value ORDER BY r.at DESC))[1], count(*)
        FROM dbperf.metric_range($1, since, until, for_label) r
        GROUP BY start, r.label
        ORDER BY start, r.label COLLATE "C";
END
$$;
COMMENT ON FUNCTION dbperf.metric_history(text, timestamptz, timestamptz, interval, text) IS 'A metric from one time (default: an hour ago) to another (now) in buckets of step (default: about 120 of them); for_label NULL: all of its series; no row where there was no sample';
GRANT EXECUTE ON FUNCTION dbperf.metric_history(text, timestamptz, timestamptz, interval, text) TO pg_monitor;
