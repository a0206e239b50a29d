--
-- pg_cron instead of the background worker
--

-- pg_cron is often not there, and lives in one database of the server only: nothing here may name
-- its objects other than in a string.

CREATE FUNCTION dbperf.cron_job_name()
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'dbperf maintenance ' || current_database()
$$;
COMMENT ON FUNCTION dbperf.cron_job_name() IS 'The name of the pg_cron job that maintains this database';

-- As the extension's owner: pg_cron shows everybody their own jobs only.
CREATE FUNCTION dbperf.cron_job_id()
RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    job_id bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') THEN
        RETURN NULL;
    END IF;
    EXECUTE 'SELECT min(jobid) FROM cron.job WHERE jobname = $1 AND database = current_database()'
        INTO job_id USING dbperf.cron_job_name();
    RETURN job_id;
END
$$;
COMMENT ON FUNCTION dbperf.cron_job_id() IS 'The id of the pg_cron job that schedule_with_cron() made in this database; NULL: none';
REVOKE EXECUTE ON FUNCTION dbperf.cron_job_id() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dbperf.cron_job_id() TO pg_monitor;

-- Complains with the way out when jobs cannot be scheduled from this database. As the extension's
-- owner: settings of pg_cron are hidden from ordinary users.
CREATE FUNCTION dbperf.require_cron(schedule text)
RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    cron_database text := current_setting('cron.database_name', true);
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') THEN
        RETURN;
    END IF;
    IF cron_database IS NULL THEN
        RAISE EXCEPTION 'pg_cron is not loaded'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = format('Add pg_cron to shared_preload_libraries, set cron.database_name = %L, restart the server, '
                                'and use CREATE EXTENSION pg_cron.', current_database());
    END IF;
    IF cron_database = current_database() THEN
        RAISE EXCEPTION 'extension "pg_cron" is not installed in this database'
            USING ERRCODE = 'undefined_object',
                  HINT = 'Use CREATE EXTENSION pg_cron.';
    END IF;
    RAISE EXCEPTION 'pg_cron keeps its jobs in database "%"', cron_database
        USING ERRCODE = 'object_not_in_prerequisite_state',
              HINT = format('Connect to that database and use: SELECT cron.%s;',
                            CASE WHEN schedule IS NULL
                                 THEN format('unschedule(%L)', dbperf.cron_job_name())
                                 ELSE format('schedule_in_database(%L, %L, %L, %L)', dbperf.cron_job_name(), schedule,
                                             'CALL dbperf.maintain(source => ''cron'')', current_database())
                            END);
END
$$;
COMMENT ON FUNCTION dbperf.require_cron(text) IS 'Raises an error that says what to do unless pg_cron is installed in this database';
REVOKE EXECUTE ON FUNCTION dbperf.require_cron(text) FROM PUBLIC;

CREATE FUNCTION dbperf.schedule_with_cron(schedule text DEFAULT '0 3 * * *')
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    job_id bigint;
    owner  text;
BEGIN
    IF schedule IS NULL THEN
        RAISE EXCEPTION 'schedule must not be null'
            USING ERRCODE = 'null_value_not_allowed',
                  HINT = 'Use the notation of cron, for example ''0 3 * * *'' for three o''clock each night.';
    END IF;
    PERFORM dbperf.require_cron(schedule);

    -- two jobs for one database would only be in each other's way
    job_id := dbperf.cron_job_id();
    IF job_id IS NOT NULL THEN
        EXECUTE 'SELECT username FROM cron.job WHERE jobid = $1' INTO owner USING job_id;
        IF owner IS DISTINCT FROM current_user::text THEN
            RAISE EXCEPTION 'another user has scheduled maintenance of this database already'
                USING ERRCODE = 'duplicate_object',
                      DETAIL = format('It is pg_cron''s job %s.', job_id),
                      HINT = format('As a superuser, use: SELECT cron.unschedule(%s);', job_id);
        END IF;
    END IF;

    -- of a name that is known, pg_cron changes the job
    EXECUTE 'SELECT cron.schedule($1, $2, $3)'
        INTO job_id
        USING dbperf.cron_job_name(), schedule, 'CALL dbperf.maintain(source => ''cron'')';
    RETURN job_id;
END
$$;
COMMENT ON FUNCTION dbperf.schedule_with_cron(text) IS 'Has pg_cron run maintenance of this database by this schedule (cron notation, by the clock of pg_cron), or changes the schedule; returns the job''s id';
REVOKE EXECUTE ON FUNCTION dbperf.schedule_with_cron(text) FROM PUBLIC;

CREATE FUNCTION dbperf.unschedule_cron()
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    job_id  bigint;
    removed boolean;
BEGIN
    PERFORM dbperf.require_cron(NULL);
    job_id := dbperf.cron_job_id();
    IF job_id IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE 'SELECT cron.unschedule($1)' INTO removed USING job_id;
    RETURN removed;
END
$$;
COMMENT ON FUNCTION dbperf.unschedule_cron() IS 'Takes this database''s maintenance out of pg_cron again; false: it was not there';
REVOKE EXECUTE ON FUNCTION dbperf.unschedule_cron() FROM PUBLIC;

-- Here, after 50_worker.sql, because it shows both the worker and pg_cron.
CREATE VIEW dbperf.worker_status AS
    SELECT w.preloaded, w.state, w.reason, w.launcher_pid, w.launcher_started_at, w.last_alive, w.naptime,
           w.active_worker_pid, w.active_since,
           r.started_at AS last_run_started, r.finished_at AS last_run_finished, r.status AS last_run_status,
           coalesce(w.last_error, r.error) AS last_error,
           w.next_run_at, w.pending_requests, dbperf.cron_job_id() AS cron_job_id
    FROM dbperf.worker_state() w
    LEFT JOIN LATERAL (
        SELECT j.started_at, j.finished_at, j.status, j.error
        FROM dbperf.job_runs j
        WHERE j.job = 'maintenance'
        ORDER BY j.run_id DESC
        LIMIT 1) r ON true;
COMMENT ON VIEW dbperf.worker_status IS 'One row: whether this database is looked after, by whom, and what to do if not';
COMMENT ON COLUMN dbperf.worker_status.preloaded IS 'the library is in shared_preload_libraries';
COMMENT ON COLUMN dbperf.worker_status.state IS 'running, starting, standby, disabled, database not listed, no worker slots, not preloaded or down';
COMMENT ON COLUMN dbperf.worker_status.reason IS 'why the state is not running, or what else is amiss, and what to do; NULL: all is well';
COMMENT ON COLUMN dbperf.worker_status.launcher_pid IS 'process that plans the runs; NULL: there is none';
COMMENT ON COLUMN dbperf.worker_status.last_alive IS 'when the launcher last showed a sign of life, which it does each minute';
COMMENT ON COLUMN dbperf.worker_status.naptime IS 'dbperf.naptime: longest time between two runs';
COMMENT ON COLUMN dbperf.worker_status.active_worker_pid IS 'process that maintains this database now; NULL: none';
COMMENT ON COLUMN dbperf.worker_status.last_run_started IS 'start of the last run, whoever began it';
COMMENT ON COLUMN dbperf.worker_status.last_error IS 'what went wrong in the last run, or kept it from being made; NULL: nothing';
COMMENT ON COLUMN dbperf.worker_status.next_run_at IS 'when the worker will run next, if nothing calls it before; NULL: not planned';
COMMENT ON COLUMN dbperf.worker_status.pending_requests IS 'calls of wake() and failed inserts that wait for a worker';
COMMENT ON COLUMN dbperf.worker_status.cron_job_id IS 'pg_cron''s job for this database; NULL: none';
GRANT SELECT ON dbperf.worker_status TO pg_monitor;
