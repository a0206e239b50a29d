--
-- Health: what somebody asks who watches this database, as jsonb
--
-- gateway/schema/*.schema.json describe the shapes. Figures are those of the last sample, as long as it
-- is fresh; otherwise, and on a standby, they are measured now, without the rates for which it takes two
-- samples. Each section is made on its own: one that fails is null, and errors says why.
--

CREATE TYPE dbperf.health_basis AS (
    taken_at      timestamptz,
    now           timestamptz,
    fresh         boolean,
    stale_after_s double precision,
    metrics       dbperf.measurement[],
    partitions    jsonb,
    partitions_at timestamptz,
    monitoring    jsonb,
    sample        jsonb,
    errors        text[]
);
COMMENT ON TYPE dbperf.health_basis IS 'What the sections of a health report are made of';
COMMENT ON COLUMN dbperf.health_basis.fresh IS 'whether metrics are those of the last sample; or measured now';

-- What measures now, for those who may look but are not the sampler
GRANT EXECUTE ON FUNCTION dbperf.measure_group(text, text) TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.measure_connections() TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.measure_checkpoints() TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.measure_server() TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.measure_ingest() TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.measure_queries() TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.measure_pools() TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.measure_system(text) TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.measure_partitions(boolean) TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.partition_values(jsonb) TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.json_number(double precision) TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.figure(double precision, text) TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.alert_message(text, text, double precision, text, text, double precision) TO pg_monitor;

CREATE FUNCTION dbperf.health_seconds(value interval)
RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
RETURN dbperf.json_number(extract(epoch FROM value)::double precision);
COMMENT ON FUNCTION dbperf.health_seconds(interval) IS 'An interval in seconds, as it goes into a health report';
GRANT EXECUTE ON FUNCTION dbperf.health_seconds(interval) TO pg_monitor;

--
-- What there is to go by
--

CREATE FUNCTION dbperf.health_metrics_now(partitions jsonb, OUT metrics dbperf.measurement[], OUT errors text[])
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name text;
    got  record;
BEGIN
    metrics := ARRAY(SELECT v FROM dbperf.partition_values(partitions) v);
    FOREACH name IN ARRAY '{connections,server,ingest,queries,pools,system}'::text[] LOOP
        -- without shared memory, rows would be counted partition by partition
        CONTINUE WHEN name = 'ingest' AND NOT (SELECT s.preloaded FROM dbperf.counters_state() s);
        got := dbperf.measure_group(name, NULL);
        metrics := metrics || got.measured;
        errors := array_append(errors, got.error);
    END LOOP;
    -- a counter is no value
    metrics := ARRAY(SELECT m FROM unnest(metrics) m WHERE m.life IS NULL AND abs(m.value) < 'Infinity');
    errors := array_remove(errors, NULL);
END
$$;
COMMENT ON FUNCTION dbperf.health_metrics_now(jsonb) IS 'Metrics measured now, but for those that a sample before is needed for, and PgBouncer''s';
GRANT EXECUTE ON FUNCTION dbperf.health_metrics_now(jsonb) TO pg_monitor;

-- A sample is fresh for three intervals, but half a minute at least; what is measured once a minute,
-- three minutes. Nothing is as old as it seems when the clock has been set back.
CREATE FUNCTION dbperf.read_health_basis()
RETURNS dbperf.health_basis
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    b       dbperf.health_basis;
    s       record;
    m       record;
    got     record;
    seconds integer;
    slow    double precision;
    source  text;
BEGIN
    b.now := dbperf.clock();
    b.errors := '{}';
    BEGIN
        seconds := dbperf.sampling_seconds();
        SELECT t.* INTO m FROM dbperf.monitoring_status t;
        b.monitoring := jsonb_build_object('enabled', m.enabled, 'interval_seconds', nullif(seconds, 0), 'state', m.state,
            'running', m.running, 'samples', m.samples, 'errors', m.errors, 'last_error', m.last_error, 'reason', m.reason);
    EXCEPTION WHEN OTHERS THEN
        b.errors := b.errors || format('monitoring: %s', SQLERRM);
    END;
    b.stale_after_s := greatest(3 * coalesce(seconds, 0), 30);
    slow := greatest(b.stale_after_s, 180);
    BEGIN
        SELECT t.at, t.source, t.slow_at, t.partitions INTO s FROM dbperf.sampler_state t;
        b.taken_at := s.at;
        source := CASE s.source WHEN 'manual' THEN 'manual' ELSE 'sampler' END;
        b.fresh := NOT pg_is_in_recovery() AND abs(extract(epoch FROM b.now - s.at)) <= b.stale_after_s;
        IF b.fresh THEN
            b.metrics := ARRAY(SELECT ROW(l.metric, l.label, l.value, NULL)::dbperf.measurement FROM dbperf.latest_metrics() l);
        END IF;
        -- somebody who has just changed something wants to see what came of it
        IF abs(extract(epoch FROM b.now - s.slow_at)) <= slow AND jsonb_typeof(s.partitions) = 'array'
            AND NOT EXISTS (SELECT FROM (SELECT e.at FROM dbperf.partition_events e ORDER BY e.event_id DESC LIMIT 1) e
                            WHERE e.at > s.slow_at) THEN
            b.partitions := s.partitions;
            b.partitions_at := s.slow_at;
        END IF;
    EXCEPTION WHEN OTHERS THEN
        b.errors := b.errors || format('sample: %s', SQLERRM);
        b.fresh := false;
    END;
    b.fresh := coalesce(b.fresh, false);
    IF b.partitions IS NULL THEN
        BEGIN
            b.partitions := dbperf.measure_partitions(with_bytes => false);
            b.partitions_at := b.now;
        EXCEPTION WHEN OTHERS THEN
            b.errors := b.errors || format('partitions: %s', SQLERRM);
        END;
    END IF;
    IF NOT b.fresh THEN
        got := dbperf.health_metrics_now(coalesce(b.partitions, '[]'));
        b.metrics := got.metrics;
        b.errors := b.errors || got.errors;
    END IF;
    b.sample := jsonb_build_object('at', b.taken_at, 'age_seconds', dbperf.health_seconds(b.now - b.taken_at), 'stale', NOT b.fresh,
        'source', CASE WHEN b.fresh THEN source ELSE 'live' END);
    RETURN b;
END
$$;
COMMENT ON FUNCTION dbperf.read_health_basis() IS 'Metrics and partitions as the last sample has them, or else as they are now';
GRANT EXECUTE ON FUNCTION dbperf.read_health_basis() TO pg_monitor;

--
-- Checks
--

-- The checks of a report are the alert rules. Where alerts are judged, one that is open decides, so that
-- a report says what the alert says; and a rule that asks for a time is not judged by a moment.
CREATE FUNCTION dbperf.health_checks(b dbperf.health_basis, area text)
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    metrics constant dbperf.measurement[] := b.metrics;
BEGIN
    RETURN (
        WITH rule AS MATERIALIZED (
            SELECT r.*, d.unit, d.label IS NULL AS is_single,
                   CASE WHEN r.comparison LIKE '<%' THEN -1 ELSE 1 END AS direction, r.comparison LIKE '%=' AS or_equal
            FROM dbperf.alert_rules r
            JOIN dbperf.metric d ON d.name = r.metric
            WHERE r.enabled AND r.comparison <> 'changed'
                AND CASE area WHEN 'database' THEN true
                              WHEN 'partitions' THEN r.metric ~ '^(partition|worker)_'
                              ELSE r.metric !~ '^(partition|worker|sampler|callback|replication|slot|xid|notify|database|disk_free)_' END
            ORDER BY r.name COLLATE "C" LIMIT 1000
        ), worst AS (
            SELECT DISTINCT ON (r.name) r.name, m.label, m.value
            FROM rule r JOIN unnest(metrics) m ON m.metric = r.metric
            WHERE (r.label IS NULL OR m.label LIKE r.label) AND r.comparison <> 'baseline'
            ORDER BY r.name, r.direction * m.value DESC, m.label COLLATE "C"
        ), alert AS (
            SELECT DISTINCT ON (a.rule) a.rule, a.label, a.severity, a.last_value
            FROM dbperf.alerts a
            WHERE a.state <> 'closed' AND b.fresh
            ORDER BY a.rule, a.severity = 'critical' DESC, a.alert_id
        ), judged AS (
            SELECT r.*, w.value AS worst_value, w.label AS worst_label, a.label AS alert_label, a.severity AS alert_severity, a.last_value,
                   CASE WHEN r.comparison = 'baseline' THEN 'ok'
                        WHEN w.value IS NULL THEN CASE WHEN r.is_single THEN 'unknown' ELSE 'ok' END
                        WHEN (r.direction * w.value > r.direction * r.critical OR r.or_equal AND w.value = r.critical)
                             AND NOT (b.fresh AND coalesce(r.critical_for, r.for_duration) > interval '0') THEN 'critical'
                        WHEN (r.direction * w.value > r.direction * r.warn OR r.or_equal AND w.value = r.warn)
                             AND NOT (b.fresh AND r.for_duration > interval '0') THEN 'warning'
                        ELSE 'ok' END AS value_severity
            FROM rule r
            LEFT JOIN worst w ON w.name = r.name
            LEFT JOIN alert a ON a.rule = r.name
        ), told AS (
            SELECT j.*,
                   CASE WHEN a.decides THEN j.alert_severity ELSE j.value_severity END AS severity,
                   CASE WHEN a.decides THEN j.alert_label ELSE j.worst_label END AS shown_label,
                   CASE WHEN a.decides THEN j.last_value ELSE j.worst_value END AS shown_value
            FROM judged j,
                LATERAL (SELECT coalesce(j.value_severity <> 'critical' AND j.alert_severity <> j.value_severity, false) AS decides) a
        )
        SELECT coalesce(jsonb_agg(jsonb_build_object(
                'name', t.name,
                'metric', t.metric,
                'label', nullif(t.shown_label, ''),
                'value', dbperf.json_number(t.shown_value),
                'unit', CASE WHEN t.comparison = 'baseline' THEN 'times' ELSE t.unit END,
                'comparison', t.comparison,
                'warn', dbperf.json_number(t.warn),
                'critical', dbperf.json_number(t.critical),
                'severity', t.severity,
                'message', CASE t.severity
                    WHEN 'unknown' THEN format('%s is not measured', t.metric)
                    WHEN 'warning' THEN dbperf.alert_message(t.metric, t.shown_label, t.shown_value, t.comparison, t.severity, t.warn)
                    WHEN 'critical' THEN dbperf.alert_message(t.metric, t.shown_label, t.shown_value, t.comparison, t.severity, t.critical) END)
            ORDER BY array_position('{critical,warning,unknown,ok}', t.severity), t.name COLLATE "C"), '[]')
        FROM told t);
END
$$;
COMMENT ON FUNCTION dbperf.health_checks(dbperf.health_basis, text) IS 'Every alert rule that is enabled, with the worst value there is; area: database (all), performance or partitions';
GRANT EXECUTE ON FUNCTION dbperf.health_checks(dbperf.health_basis, text) TO pg_monitor;

-- What no rule is about: whether there are samples, and whether the report is whole.
CREATE FUNCTION dbperf.health_own_checks(b dbperf.health_basis)
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    worker   text := (SELECT w.state FROM dbperf.worker_state() w);
    -- where no process is to take samples, none is late
    late     boolean := NOT b.fresh AND coalesce((b.monitoring ->> 'enabled')::boolean, true)
        AND worker IN ('running', 'starting', 'down', 'no worker slots');
    broken   integer := cardinality(b.errors);
BEGIN
    RETURN jsonb_build_array(
        jsonb_build_object('name', 'sampling', 'metric', NULL, 'label', NULL, 'value', b.sample -> 'age_seconds', 'unit', 's', 'comparison', '>',
            'warn', b.stale_after_s, 'critical', NULL,
            'severity', CASE WHEN late THEN 'warning' WHEN b.fresh THEN 'ok' ELSE 'unknown' END,
            'message', CASE WHEN late THEN concat_ws(': ', 'no sample has been taken of late', b.monitoring ->> 'reason')
                            ELSE b.monitoring ->> 'reason' END),
        jsonb_build_object('name', 'report', 'metric', NULL, 'label', NULL, 'value', broken, 'unit', 'errors', 'comparison', '>=',
            'warn', 1, 'critical', NULL,
            'severity', CASE WHEN broken > 0 THEN 'warning' ELSE 'ok' END,
            'message', CASE WHEN broken > 0 THEN 'parts of this report could not be made, see errors' END));
END
$$;
COMMENT ON FUNCTION dbperf.health_own_checks(dbperf.health_basis) IS 'Checks of the sampling and of the report itself';
GRANT EXECUTE ON FUNCTION dbperf.health_own_checks(dbperf.health_basis) TO pg_monitor;

--
-- Sections
--

CREATE FUNCTION dbperf.health_server(v jsonb)
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    standby boolean := pg_is_in_recovery();
    lsn     pg_lsn := CASE WHEN standby THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END;
BEGIN
    RETURN jsonb_build_object(
        'version', current_setting('server_version'),
        'version_num', current_setting('server_version_num')::integer,
        'extension_version', (SELECT x.extversion FROM pg_extension x WHERE x.extname = 'tradeassist_dbperf'),
        'started_at', pg_postmaster_start_time(),
        'uptime_seconds', dbperf.health_seconds(clock_timestamp() - pg_postmaster_start_time()),
        'in_recovery', standby,
        'recovery', CASE WHEN standby THEN jsonb_build_object(
            'pause_state', pg_get_wal_replay_pause_state(),
            'received_lsn', pg_last_wal_receive_lsn(),
            'replayed_lsn', lsn,
            'last_replayed_at', pg_last_xact_replay_timestamp(),
            'lag_seconds', v -> 'replication_lag_seconds',
            'lag_bytes', v -> 'replication_lag_bytes') END,
        'wal_lsn', lsn);
END
$$;
COMMENT ON FUNCTION dbperf.health_server(jsonb) IS 'Section server of health_database(); of the metrics of this server';
GRANT EXECUTE ON FUNCTION dbperf.health_server(jsonb) TO pg_monitor;

CREATE FUNCTION dbperf.health_replication()
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    lsn pg_lsn := CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) ELSE pg_current_wal_lsn() END;
BEGIN
    RETURN jsonb_build_object(
        'standby_count', (SELECT count(*) FROM pg_stat_get_wal_senders() s),
        'standbys', (
            SELECT coalesce(jsonb_agg(jsonb_build_object('name', r.application_name, 'state', r.state, 'sync_state', r.sync_state,
                    'lag_seconds', dbperf.health_seconds(coalesce(r.replay_lag, '0')),
                    'lag_bytes', greatest(pg_wal_lsn_diff(lsn, r.replay_lsn), 0))), '[]')
            FROM (SELECT * FROM pg_stat_replication s ORDER BY s.application_name, s.pid LIMIT 100) r),
        'slot_count', (SELECT count(*) FROM pg_get_replication_slots() s),
        'slots', (
            SELECT coalesce(jsonb_agg(jsonb_build_object('name', r.slot_name, 'type', r.slot_type, 'active', r.active, 'wal_status', r.wal_status,
                    'retained_bytes', greatest(pg_wal_lsn_diff(lsn, r.restart_lsn), 0))), '[]')
            FROM (SELECT * FROM pg_get_replication_slots() s ORDER BY pg_wal_lsn_diff(lsn, s.restart_lsn) DESC NULLS LAST, s.slot_name LIMIT 100) r));
END
$$;
COMMENT ON FUNCTION dbperf.health_replication() IS 'Section replication of health_database(): 100 standbys and 100 slots at most, those first that keep the most WAL';
GRANT EXECUTE ON FUNCTION dbperf.health_replication() TO pg_monitor;

CREATE FUNCTION dbperf.health_transaction_ids(v jsonb)
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object(
            'used_percent', coalesce(v -> 'xid_age_percent', dbperf.json_number(100.0 * d.age / 2144483647)),
            'oldest_age', d.xids, 'oldest_multixact_age', d.multixacts, 'oldest_database', d.datname)
        FROM (SELECT d.datname, greatest(age(d.datfrozenxid), mxid_age(d.datminmxid)) AS age,
                     max(age(d.datfrozenxid)) OVER () AS xids, max(mxid_age(d.datminmxid)) OVER () AS multixacts
              FROM pg_database d ORDER BY 2 DESC, 1 LIMIT 1) d);
END
$$;
COMMENT ON FUNCTION dbperf.health_transaction_ids(jsonb) IS 'Section transaction_ids of health_database()';
GRANT EXECUTE ON FUNCTION dbperf.health_transaction_ids(jsonb) TO pg_monitor;

CREATE FUNCTION dbperf.health_checkpoints(v jsonb)
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object(
            'per_second', v -> 'checkpoints_per_second',
            'requested_per_second', v -> 'checkpoints_requested_per_second',
            'total', max(c.value) FILTER (WHERE c.metric = 'checkpoints_per_second'),
            'requested_total', max(c.value) FILTER (WHERE c.metric = 'checkpoints_requested_per_second'),
            'since', to_timestamp(max(c.life)::double precision))
        FROM dbperf.measure_checkpoints() c);
END
$$;
COMMENT ON FUNCTION dbperf.health_checkpoints(jsonb) IS 'Section checkpoints of health_database() and health_performance()';
GRANT EXECUTE ON FUNCTION dbperf.health_checkpoints(jsonb) TO pg_monitor;

CREATE FUNCTION dbperf.health_cache(v jsonb)
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    db oid := (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
BEGIN
    RETURN jsonb_build_object(
        'hit_percent', v -> 'cache_hit_percent',
        'total_hit_percent', dbperf.json_number(100.0 * pg_stat_get_db_blocks_hit(db) / nullif(pg_stat_get_db_blocks_fetched(db), 0)));
END
$$;
COMMENT ON FUNCTION dbperf.health_cache(jsonb) IS 'Section cache of health_database() and health_performance()';
GRANT EXECUTE ON FUNCTION dbperf.health_cache(jsonb) TO pg_monitor;

CREATE FUNCTION dbperf.health_queries(v jsonb, metrics dbperf.measurement[])
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    threshold double precision := extract(epoch FROM current_setting('dbperf.slow_query_threshold', true)::interval) * 1000;
BEGIN
    RETURN jsonb_build_object(
        'per_second', v -> 'queries_per_second',
        'errors_per_second', v -> 'query_errors_per_second',
        'slow_last_minute', v -> 'slow_queries',
        'slow_threshold_ms', CASE WHEN threshold >= 0 THEN threshold END,
        'kinds', (
            SELECT coalesce(jsonb_agg(jsonb_build_object('kind', k.label, 'p50_ms', k.p50, 'p95_ms', k.p95, 'p99_ms', k.p99) ORDER BY k.label), '[]')
            FROM (SELECT m.label,
                         dbperf.json_number(max(m.value) FILTER (WHERE m.metric = 'query_p50_ms')) AS p50,
                         dbperf.json_number(max(m.value) FILTER (WHERE m.metric = 'query_p95_ms')) AS p95,
                         dbperf.json_number(max(m.value) FILTER (WHERE m.metric = 'query_p99_ms')) AS p99
                  FROM unnest(metrics) m WHERE m.metric IN ('query_p50_ms', 'query_p95_ms', 'query_p99_ms') GROUP BY m.label) k));
END
$$;
COMMENT ON FUNCTION dbperf.health_queries(jsonb, dbperf.measurement[]) IS 'Section queries of health_database() and health_performance(): statements of the last minute';
GRANT EXECUTE ON FUNCTION dbperf.health_queries(jsonb, dbperf.measurement[]) TO pg_monitor;

CREATE FUNCTION dbperf.health_alerts()
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        WITH a AS MATERIALIZED (SELECT * FROM dbperf.alerts a WHERE a.state <> 'closed')
        SELECT jsonb_build_object(
            'open', count(*) FILTER (WHERE a.state = 'open'),
            'acknowledged', count(*) FILTER (WHERE a.state = 'acknowledged'),
            'silenced', count(*) FILTER (WHERE a.state = 'silenced'),
            'warning', count(*) FILTER (WHERE a.severity = 'warning'),
            'critical', count(*) FILTER (WHERE a.severity = 'critical'),
            'list', (
                SELECT coalesce(jsonb_agg(jsonb_build_object('alert_id', l.alert_id, 'rule', l.rule, 'metric', l.metric, 'label', nullif(l.label, ''),
                        'severity', l.severity, 'state', l.state, 'value', dbperf.json_number(l.last_value),
                        'threshold', dbperf.json_number(l.threshold), 'opened_at', l.opened_at, 'last_seen_at', l.last_seen_at,
                        'message', l.message)), '[]')
                FROM (SELECT * FROM a ORDER BY a.severity = 'critical' DESC, a.opened_at DESC, a.alert_id DESC LIMIT 50) l))
        FROM a);
END
$$;
COMMENT ON FUNCTION dbperf.health_alerts() IS 'Section alerts of health_database(): counts of those that are not closed, and 50 of them';
GRANT EXECUTE ON FUNCTION dbperf.health_alerts() TO pg_monitor;

-- What is worse than usual takes the longer to tell, the more series there are: too long for a report.
CREATE TABLE dbperf.noted_regressions (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    at          timestamptz NOT NULL,
    regressions jsonb NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE dbperf.noted_regressions IS 'The view regressions as the sampler last saw it, once a minute; the worst 50';

CREATE FUNCTION dbperf.list_regressions()
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(jsonb_build_object('metric', r.metric, 'label', nullif(r.label, ''), 'since', r.since,
                'value', dbperf.json_number(r.value), 'baseline', dbperf.json_number(r.baseline), 'ratio', dbperf.json_number(r.ratio),
                'z', dbperf.json_number(r.z), 'windows', r.windows)), '[]')
        FROM (SELECT * FROM dbperf.regressions g ORDER BY g.ratio DESC NULLS LAST, g.metric COLLATE "C", g.label COLLATE "C" LIMIT 50) r);
END
$$;
COMMENT ON FUNCTION dbperf.list_regressions() IS 'The worst 50 of the view regressions';
GRANT EXECUTE ON FUNCTION dbperf.list_regressions() TO pg_monitor;

CREATE FUNCTION dbperf.note_regressions()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    now timestamptz := dbperf.clock();
BEGIN
    IF NOT EXISTS (SELECT FROM dbperf.noted_regressions r WHERE now BETWEEN r.at AND r.at + interval '59 seconds') THEN
        INSERT INTO dbperf.noted_regressions (at, regressions) VALUES (now, dbperf.list_regressions())
            ON CONFLICT (only_row) DO UPDATE SET at = excluded.at, regressions = excluded.regressions;
    END IF;
END
$$;
COMMENT ON FUNCTION dbperf.note_regressions() IS 'Keeps for health reports what is worse than usual, unless that was done less than a minute ago';

CREATE FUNCTION dbperf.health_regressions(now timestamptz, fresh_s double precision)
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    noted jsonb := (SELECT r.regressions FROM dbperf.noted_regressions r WHERE abs(extract(epoch FROM now - r.at)) <= fresh_s);
BEGIN
    IF noted IS NULL THEN
        IF (SELECT count(*) FROM (SELECT FROM dbperf.metric_series s LIMIT 501) s) > 500 THEN
            RAISE EXCEPTION 'the sampler has not told of late what is worse than usual' USING ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
        noted := dbperf.list_regressions();
    END IF;
    RETURN noted;
END
$$;
COMMENT ON FUNCTION dbperf.health_regressions(timestamptz, double precision) IS 'Section regressions of health_database() and health_performance(): as the sampler has noted them in the last seconds; or told now, if that is quick';
GRANT EXECUTE ON FUNCTION dbperf.health_regressions(timestamptz, double precision) TO pg_monitor;

CREATE FUNCTION dbperf.health_worker()
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object('preloaded', w.preloaded, 'state', w.state, 'reason', w.reason, 'last_alive', w.last_alive,
            'active_since', w.active_since, 'next_run_at', w.next_run_at, 'pending_requests', w.pending_requests, 'failures', w.failures,
            'last_error', w.last_error)
        FROM dbperf.worker_state() w);
END
$$;
COMMENT ON FUNCTION dbperf.health_worker() IS 'Section worker of health_database() and health_partitions()';
GRANT EXECUTE ON FUNCTION dbperf.health_worker() TO pg_monitor;

CREATE FUNCTION dbperf.health_query_stats()
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(jsonb_build_object('kind', q.kind, 'window_minutes', nullif(q.window_minutes, 0), 'calls', q.calls, 'rows', q.rows,
                'errors', q.errors, 'calls_per_second', dbperf.json_number(q.calls_per_second), 'mean_ms', dbperf.json_number(q.mean_ms),
                'p50_ms', dbperf.json_number(q.p50_ms), 'p90_ms', dbperf.json_number(q.p90_ms), 'p95_ms', dbperf.json_number(q.p95_ms),
                'p99_ms', dbperf.json_number(q.p99_ms), 'p999_ms', dbperf.json_number(q.p999_ms), 'max_ms', dbperf.json_number(q.max_ms))
            ORDER BY q.kind COLLATE "C", q.window_minutes), '[]')
        FROM dbperf.query_stats q
        WHERE q.database = current_database() AND q.relation IS NULL AND q.calls > 0);
END
$$;
COMMENT ON FUNCTION dbperf.health_query_stats() IS 'Section query_stats of health_performance(): statements of this database by kind, over the last minutes and since the start of the server';
GRANT EXECUTE ON FUNCTION dbperf.health_query_stats() TO pg_monitor;

CREATE FUNCTION dbperf.health_ingest(v jsonb)
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object(
        'rows_per_second', v -> 'ingest_rows_per_second',
        'tables', (
            SELECT coalesce(jsonb_agg(jsonb_build_object('table', t.name, 'rows_per_second_1m', dbperf.json_number(t.rows_per_second_1m),
                    'rows_per_second_5m', dbperf.json_number(t.rows_per_second_5m), 'rows_per_second_15m', dbperf.json_number(t.rows_per_second_15m),
                    'rows_total', t.rows_total, 'batches_total', t.batches_total, 'batch_p50_ms', dbperf.json_number(t.batch_p50_ms),
                    'batch_p95_ms', dbperf.json_number(t.batch_p95_ms), 'batch_p99_ms', dbperf.json_number(t.batch_p99_ms),
                    'late_rows', t.late_rows, 'rejected_rows', t.rejected_rows)), '[]')
            FROM (SELECT c.*, n.name
                  FROM dbperf.table_counters() c
                  CROSS JOIN LATERAL dbperf.qualified_name(c.relid) n (name)
                  WHERE n.name IS NOT NULL
                  ORDER BY c.rows_per_second_1m DESC, c.rows_total DESC, n.name COLLATE "C" LIMIT 100) t));
END
$$;
COMMENT ON FUNCTION dbperf.health_ingest(jsonb) IS 'Section ingest of health_performance(): the 100 tables that receive the most';
GRANT EXECUTE ON FUNCTION dbperf.health_ingest(jsonb) TO pg_monitor;

CREATE FUNCTION dbperf.health_pools()
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(jsonb_build_object('pool', p.pool, 'status', p.status, 'reasons', p.reasons, 'total', p.total, 'active', p.active,
                'idle', p.idle, 'idle_in_transaction', p.idle_in_transaction, 'waiting', p.waiting, 'base_size', p.base_size,
                'max_overflow', p.max_overflow, 'overflow_in_use', p.overflow_in_use,
                'utilization_percent', dbperf.json_number(p.utilization_percent),
                'oldest_connection_seconds', dbperf.health_seconds(p.oldest_connection), 'recycle_after_seconds', dbperf.health_seconds(p.recycle_after),
                'past_recycle_age', p.past_recycle_age,
                'longest_idle_in_transaction_seconds', dbperf.health_seconds(p.longest_idle_in_transaction),
                'connections_per_second', dbperf.json_number(p.connections_per_second),
                'establish_p50_ms', dbperf.json_number(p.establish_p50_ms), 'establish_p95_ms', dbperf.json_number(p.establish_p95_ms),
                'establish_p99_ms', dbperf.json_number(p.establish_p99_ms), 'failed_authentications', p.failed_authentications,
                'acquire_count', p.acquire_count, 'acquire_p50_ms', dbperf.json_number(p.acquire_p50_ms),
                'acquire_p95_ms', dbperf.json_number(p.acquire_p95_ms), 'acquire_p99_ms', dbperf.json_number(p.acquire_p99_ms),
                'acquire_timeouts', p.acquire_timeouts, 'client_reported', p.client_reported, 'source', p.source)
            ORDER BY p.pool COLLATE "C"), '[]')
        FROM (SELECT * FROM dbperf.pool_status LIMIT 1000) p);
END
$$;
COMMENT ON FUNCTION dbperf.health_pools() IS 'Section pools of health_performance()';
GRANT EXECUTE ON FUNCTION dbperf.health_pools() TO pg_monitor;

CREATE FUNCTION dbperf.health_system(v jsonb, metrics dbperf.measurement[])
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object(
        'cpu_percent', v -> 'cpu_percent', 'cpu_iowait_percent', v -> 'cpu_iowait_percent',
        'load1', v -> 'load1', 'load5', v -> 'load5', 'load15', v -> 'load15',
        'memory_used_percent', v -> 'memory_used_percent', 'memory_available_bytes', v -> 'memory_available_bytes',
        'disk_read_bytes_per_second', v -> 'disk_read_bytes_per_second', 'disk_write_bytes_per_second', v -> 'disk_write_bytes_per_second',
        'file_systems', (
            SELECT coalesce(jsonb_agg(jsonb_build_object('tablespace', f.label, 'free_percent', f.percent, 'free_bytes', f.bytes) ORDER BY f.label COLLATE "C"), '[]')
            FROM (SELECT m.label,
                         dbperf.json_number(max(m.value) FILTER (WHERE m.metric = 'disk_free_percent')) AS percent,
                         dbperf.json_number(max(m.value) FILTER (WHERE m.metric = 'disk_free_bytes')) AS bytes
                  FROM unnest(metrics) m WHERE m.metric IN ('disk_free_percent', 'disk_free_bytes') GROUP BY m.label) f));
END
$$;
COMMENT ON FUNCTION dbperf.health_system(jsonb, dbperf.measurement[]) IS 'Section system of health_performance(): the machine';
GRANT EXECUTE ON FUNCTION dbperf.health_system(jsonb, dbperf.measurement[]) TO pg_monitor;

CREATE FUNCTION dbperf.health_pgbouncer(metrics dbperf.measurement[])
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(jsonb_build_object('pool', p.label, 'clients_active', p.active, 'clients_waiting', p.waiting, 'wait_seconds', p.seconds)
                        ORDER BY p.label COLLATE "C"), '[]')
        FROM (SELECT m.label,
                     dbperf.json_number(max(m.value) FILTER (WHERE m.metric = 'pgbouncer_clients_active')) AS active,
                     dbperf.json_number(max(m.value) FILTER (WHERE m.metric = 'pgbouncer_clients_waiting')) AS waiting,
                     dbperf.json_number(max(m.value) FILTER (WHERE m.metric = 'pgbouncer_wait_seconds')) AS seconds
              FROM unnest(metrics) m WHERE starts_with(m.metric, 'pgbouncer_') GROUP BY m.label) p);
END
$$;
COMMENT ON FUNCTION dbperf.health_pgbouncer(dbperf.measurement[]) IS 'Section pgbouncer of health_performance(): pools of PgBouncer, by the last sample';
GRANT EXECUTE ON FUNCTION dbperf.health_pgbouncer(dbperf.measurement[]) TO pg_monitor;

-- v: the metrics that have one series
CREATE FUNCTION dbperf.health_section(name text, b dbperf.health_basis, v jsonb, OUT section jsonb, OUT error text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    CASE name
        WHEN 'server' THEN section := dbperf.health_server((
            SELECT jsonb_object_agg(m.metric, dbperf.json_number(m.value)) FROM unnest(b.metrics) m WHERE m.label = 'this server'));
        WHEN 'connections' THEN section := jsonb_build_object(
            'used', v -> 'connections_used', 'max', v -> 'connections_max', 'reserved', v -> 'connections_reserved',
            'used_percent', v -> 'connections_used_percent',
            'active', v -> 'connections_active', 'idle', v -> 'connections_idle', 'idle_in_transaction', v -> 'connections_idle_in_transaction',
            'other', (v ->> 'connections_used')::numeric - (v ->> 'connections_active')::numeric - (v ->> 'connections_idle')::numeric
                     - (v ->> 'connections_idle_in_transaction')::numeric,
            'waiting', v -> 'connections_waiting', 'per_second', v -> 'connections_per_second', 'connect_p95_ms', v -> 'connect_p95_ms',
            'idle_in_transaction_seconds', v -> 'idle_in_transaction_seconds',
            'longest_query_seconds', v -> 'longest_query_seconds', 'longest_transaction_seconds', v -> 'longest_transaction_seconds');
        WHEN 'transaction_ids' THEN section := dbperf.health_transaction_ids(v);
        WHEN 'notify_queue' THEN section := jsonb_build_object('used_percent', v -> 'notify_queue_percent');
        WHEN 'checkpoints' THEN section := dbperf.health_checkpoints(v);
        WHEN 'wal' THEN section := jsonb_build_object('bytes_per_second', v -> 'wal_bytes_per_second');
        WHEN 'cache' THEN section := dbperf.health_cache(v);
        WHEN 'replication' THEN section := dbperf.health_replication();
        WHEN 'inserts' THEN section := jsonb_build_object(
            'managed_rows_per_second', v -> 'ingest_rows_per_second', 'rows_per_second', v -> 'rows_inserted_per_second');
        WHEN 'queries' THEN section := dbperf.health_queries(v, b.metrics);
        WHEN 'alerts' THEN section := dbperf.health_alerts();
        WHEN 'regressions' THEN section := dbperf.health_regressions(b.now, greatest(b.stale_after_s, 180));
        WHEN 'partitions' THEN section := (
            SELECT jsonb_build_object('at', b.partitions_at, 'age_seconds', dbperf.health_seconds(b.now - b.partitions_at), 'tables', count(*),
                'ok', count(*) FILTER (WHERE p ->> 'status' = 'ok'), 'warning', count(*) FILTER (WHERE p ->> 'status' = 'warning'),
                'critical', count(*) FILTER (WHERE p ->> 'status' = 'critical'))
            FROM jsonb_array_elements(b.partitions) p);
        WHEN 'worker' THEN section := dbperf.health_worker();
        WHEN 'tables' THEN section := b.partitions;
        WHEN 'throughput' THEN section := jsonb_build_object(
            'transactions_per_second', v -> 'transactions_per_second', 'rollbacks_per_second', v -> 'rollbacks_per_second',
            'deadlocks_per_second', v -> 'deadlocks_per_second', 'temp_bytes_per_second', v -> 'temp_bytes_per_second');
        WHEN 'query_stats' THEN section := dbperf.health_query_stats();
        WHEN 'ingest' THEN section := dbperf.health_ingest(v);
        WHEN 'pools' THEN section := dbperf.health_pools();
        WHEN 'pgbouncer' THEN section := dbperf.health_pgbouncer(b.metrics);
        WHEN 'system' THEN section := dbperf.health_system(v, b.metrics);
    END CASE;
    -- partitions have failed: errors says so already
    IF b.partitions IS NULL AND name IN ('partitions', 'tables') THEN
        section := NULL;
    END IF;
EXCEPTION WHEN OTHERS THEN
    section := NULL;
    error := format('%s: %s', name, SQLERRM);
END
$$;
COMMENT ON FUNCTION dbperf.health_section(text, dbperf.health_basis, jsonb) IS 'One section of a health report, or why it could not be made';
GRANT EXECUTE ON FUNCTION dbperf.health_section(text, dbperf.health_basis, jsonb) TO pg_monitor;

--
-- Reports
--

CREATE FUNCTION dbperf.health_report(area text, sections text[])
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
SET DateStyle = 'ISO, YMD'
SET IntervalStyle = 'postgres'
SET jit = off
-- whoever holds a lock is not waited for: the section is null
SET lock_timeout = '50ms'
AS $$
DECLARE
    b        dbperf.health_basis := dbperf.read_health_basis();
    v        jsonb := (SELECT jsonb_object_agg(m.metric, dbperf.json_number(m.value)) FROM unnest(b.metrics) m WHERE m.label = '');
    report   jsonb := '{}';
    checks   jsonb := '[]';
    severity text[];
    name     text;
    got      record;
BEGIN
    FOREACH name IN ARRAY sections LOOP
        got := dbperf.health_section(name, b, v);
        report := report || jsonb_build_object(name, got.section);
        IF got.error IS NOT NULL THEN
            b.errors := b.errors || got.error;
        END IF;
    END LOOP;
    BEGIN
        checks := dbperf.health_checks(b, area);
    EXCEPTION WHEN OTHERS THEN
        b.errors := b.errors || format('checks: %s', SQLERRM);
    END;
    checks := dbperf.health_own_checks(b) || checks;
    severity := ARRAY(SELECT c ->> 'severity' FROM jsonb_array_elements(checks) c);
    RETURN report || jsonb_build_object(
        'version', 1,
        'status', CASE WHEN 'critical' = ANY (severity) THEN 'critical' WHEN 'warning' = ANY (severity) THEN 'degraded' ELSE 'ok' END,
        'at', b.now,
        'database', current_database(),
        'sample', b.sample,
        'monitoring', b.monitoring,
        'checks', checks,
        'errors', to_jsonb(b.errors));
END
$$;
COMMENT ON FUNCTION dbperf.health_report(text, text[]) IS 'A report of some sections, with the checks of an area';
GRANT EXECUTE ON FUNCTION dbperf.health_report(text, text[]) TO pg_monitor;

CREATE FUNCTION dbperf.health_database()
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN dbperf.health_report('database', '{server,connections,transaction_ids,notify_queue,checkpoints,wal,cache,replication,inserts,queries,alerts,regressions,partitions,worker}');
END
$$;
COMMENT ON FUNCTION dbperf.health_database() IS 'Health of the server and this database: status ok, degraded or critical, every check, and what they go by; gateway/schema/health_database.schema.json describes it';
GRANT EXECUTE ON FUNCTION dbperf.health_database() TO pg_monitor;

CREATE FUNCTION dbperf.health_performance()
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN dbperf.health_report('performance', '{throughput,queries,query_stats,ingest,pools,pgbouncer,cache,wal,checkpoints,system,regressions}');
END
$$;
COMMENT ON FUNCTION dbperf.health_performance() IS 'How fast this database is, and what it is short of: statements, inserts, pools, cache, WAL, machine; gateway/schema/health_performance.schema.json describes it';
GRANT EXECUTE ON FUNCTION dbperf.health_performance() TO pg_monitor;

CREATE FUNCTION dbperf.health_partitions()
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN dbperf.health_report('partitions', '{partitions,tables,worker}');
END
$$;
COMMENT ON FUNCTION dbperf.health_partitions() IS 'Health of every managed table (1000 at most, those first that need somebody), as in partition_health, and of the worker; gateway/schema/health_partitions.schema.json describes it';
GRANT EXECUTE ON FUNCTION dbperf.health_partitions() TO pg_monitor;
