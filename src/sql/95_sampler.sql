--
-- The sampler: a background process that measures, judges and notifies at each interval
--

CREATE FUNCTION dbperf.wake_sampler()
RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dbperf_wake_sampler';
COMMENT ON FUNCTION dbperf.wake_sampler() IS 'When this transaction commits, has the sampler of this database look at its settings and take a sample';

CREATE FUNCTION dbperf.sampler_process(
    OUT pid integer,
    OUT started_at timestamptz,
    OUT state text,
    OUT last_error text)
LANGUAGE c VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'dbperf_sampler_process';
COMMENT ON FUNCTION dbperf.sampler_process() IS 'The sampler of this database: running, starting, off, none or not preloaded; see the view monitoring_status';
GRANT EXECUTE ON FUNCTION dbperf.sampler_process() TO pg_monitor;

-- What the sampler calls, in this order, each in a transaction of its own.

CREATE FUNCTION dbperf.sampling_seconds()
RETURNS integer
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN m.enabled IS FALSE THEN 0
                WHEN m.sample_interval IS NOT NULL THEN greatest(extract(epoch FROM m.sample_interval)::integer, 1)
                ELSE coalesce(extract(epoch FROM current_setting('dbperf.sample_interval', true)::interval)::integer, 0) END
    FROM (SELECT) AS one LEFT JOIN dbperf.monitoring m ON true
$$;
COMMENT ON FUNCTION dbperf.sampling_seconds() IS 'Seconds between two samples of this database; 0: none are taken';

-- Until a restore is known not to be going on, nothing may be written that it could collide with.
CREATE FUNCTION dbperf.judge_sample()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM dbperf.sampler_state s WHERE s.settled_at IS NOT NULL) THEN
        PERFORM dbperf.note_regressions();
        PERFORM dbperf.evaluate_alerts();
    END IF;
END
$$;
COMMENT ON FUNCTION dbperf.judge_sample() IS 'Opens, changes and closes alerts by the last sample';

-- Who listens and never reads must not be the end of everybody's notifications: while the queue
-- fills, only what is told once goes out.
CREATE FUNCTION dbperf.notifications_to_send()
RETURNS TABLE (channel text, payload text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM dbperf.sampler_state s WHERE s.settled_at IS NOT NULL) THEN
        RETURN QUERY SELECT n.channel, n.payload FROM dbperf.pending_notifications() n
            WHERE n.channel <> 'database_performance' OR pg_notification_queue_usage() < 0.5;
    END IF;
END
$$;
COMMENT ON FUNCTION dbperf.notifications_to_send() IS 'What the sampler is to notify now';

CREATE FUNCTION dbperf.callbacks_to_call()
RETURNS TABLE (callback oid, owner oid, event_id bigint, payload jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM dbperf.sampler_state s WHERE s.settled_at IS NOT NULL) THEN
        RETURN QUERY SELECT * FROM dbperf.next_callbacks();
    END IF;
END
$$;
COMMENT ON FUNCTION dbperf.callbacks_to_call() IS 'Functions of users that alerts are to be told to';

-- Once in each hour.
CREATE FUNCTION dbperf.tidy_samples()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hour timestamptz := date_trunc('hour', dbperf.clock());
BEGIN
    IF NOT EXISTS (SELECT FROM dbperf.sampler_state s
                   WHERE s.settled_at IS NOT NULL AND s.tidied_at IS DISTINCT FROM hour) THEN
        RETURN;
    END IF;
    PERFORM dbperf.update_hourly_baselines();
    PERFORM dbperf.prune_alerts();
    UPDATE dbperf.sampler_state SET tidied_at = hour;
END
$$;
COMMENT ON FUNCTION dbperf.tidy_samples() IS 'Updates the baselines by hour of week, and removes what has been kept long enough';
