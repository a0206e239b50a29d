--
-- Privileges: nobody may do anything here but the owner of the extension and whom README's GRANTs
-- name; members of pg_monitor may look
--

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA dbperf FROM PUBLIC;
REVOKE ALL ON ALL PROCEDURES IN SCHEMA dbperf FROM PUBLIC;

GRANT USAGE ON SCHEMA dbperf TO pg_monitor;
GRANT SELECT ON ALL TABLES IN SCHEMA dbperf TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.partition_bounds(regclass) TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.partition_gaps(regclass) TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.policy_health() TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.relation_files(oid) TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.clock() TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.clock_reason(oid) TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.clock_jump(dbperf.policy_state) TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.boot() TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.event_hash(bytea, dbperf.partition_events) TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.verify_audit() TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.counters_state() TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.operation_counters() TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.table_counters() TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.inserted_rows(oid) TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.get_performance_stats() TO pg_monitor;
