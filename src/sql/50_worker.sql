--
-- The background worker: waking it, and what it is doing
--

CREATE FUNCTION dbperf.wake()
RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dbperf_wake';
COMMENT ON FUNCTION dbperf.wake() IS 'When this transaction commits, has the background worker look after this database at once; false: no worker is there';
REVOKE EXECUTE ON FUNCTION dbperf.wake() FROM PUBLIC;

CREATE FUNCTION dbperf.worker_state(
    OUT preloaded boolean,
    OUT state text,
    OUT reason text,
    OUT launcher_pid integer,
    OUT launcher_started_at timestamptz,
    OUT last_alive timestamptz,
    OUT naptime interval,
    OUT active_worker_pid integer,
    OUT active_since timestamptz,
    OUT next_run_at timestamptz,
    OUT pending_requests integer,
    OUT failures integer,
    OUT last_error text)
LANGUAGE c VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'dbperf_worker_state';
COMMENT ON FUNCTION dbperf.worker_state() IS 'What shared memory says of the background worker and its plans for this database; see the view worker_status';
REVOKE EXECUTE ON FUNCTION dbperf.worker_state() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dbperf.worker_state() TO pg_monitor;

-- Without this, the launcher would find out only at its next look at a database that it has found
-- to be without the extension.
SELECT dbperf.wake();
