--
-- Statements: how many, how fast, which were slow
--

CREATE FUNCTION dbperf.query_state(
    OUT preloaded boolean,
    OUT max_databases integer,
    OUT databases integer,
    OUT uncounted_statements bigint,
    OUT max_tables integer,
    OUT tables integer,
    OUT evictions bigint,
    OUT since timestamptz)
LANGUAGE c VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'dbperf_query_state';
COMMENT ON FUNCTION dbperf.query_state() IS 'Shared memory for statements: databases and tables that have counts and that may, statements of databases for which there was no room, how often a table was forgotten to make room for another, and the start of the server';

CREATE FUNCTION dbperf.query_counters(
    window_minutes integer,
    OUT database oid,
    OUT kind text,
    OUT calls bigint,
    OUT rows bigint,
    OUT errors bigint,
    OUT calls_per_second double precision,
    OUT mean_ms double precision,
    OUT p50_ms double precision,
    OUT p90_ms double precision,
    OUT p95_ms double precision,
    OUT p99_ms double precision,
    OUT p999_ms double precision,
    OUT max_ms double precision,
    OUT since timestamptz)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'dbperf_query_counters';
COMMENT ON FUNCTION dbperf.query_counters(integer) IS 'What shared memory says of the statements that clients sent to each database in the last 1, 5 or 15 minutes, or (0) since the start; see the view query_stats';

CREATE FUNCTION dbperf.table_query_counters(
    window_minutes integer,
    OUT relid oid,
    OUT kind text,
    OUT calls bigint,
    OUT rows bigint,
    OUT errors bigint,
    OUT calls_per_second double precision,
    OUT mean_ms double precision,
    OUT p50_ms double precision,
    OUT p90_ms double precision,
    OUT p95_ms double precision,
    OUT p99_ms double precision,
    OUT p999_ms double precision,
    OUT max_ms double precision,
    OUT since timestamptz)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'dbperf_table_query_counters';
COMMENT ON FUNCTION dbperf.table_query_counters(integer) IS 'The same for statements that name a partitioned table of this database; by kind since the start only';

CREATE VIEW dbperf.query_stats AS
SELECT d.datname AS database, NULL::regclass AS relation, c.kind, w.window_minutes, c.calls, c.rows, c.errors, c.calls_per_second,
       c.mean_ms, c.p50_ms, c.p90_ms, c.p95_ms, c.p99_ms, c.p999_ms, c.max_ms, c.since
FROM (VALUES (0), (1), (5), (15)) w (window_minutes)
CROSS JOIN dbperf.query_counters(w.window_minutes) c
JOIN pg_database d ON d.oid = c.database
UNION ALL
SELECT current_database(), r.oid::regclass, c.kind, w.window_minutes, c.calls, c.rows, c.errors, c.calls_per_second,
       c.mean_ms, c.p50_ms, c.p90_ms, c.p95_ms, c.p99_ms, c.p999_ms, c.max_ms, c.since
FROM (VALUES (0), (1), (5), (15)) w (window_minutes)
CROSS JOIN dbperf.table_query_counters(w.window_minutes) c
JOIN pg_class r ON r.oid = c.relid;
COMMENT ON VIEW dbperf.query_stats IS 'Statements that clients sent to each database, and statements that name a partitioned table of this one, over the last minutes and since the start of the server; nothing where the library is not preloaded';
COMMENT ON COLUMN dbperf.query_stats.relation IS 'a partitioned table: all statements that name it or a partition of it, also those inside functions; NULL: statements that clients sent to the database';
COMMENT ON COLUMN dbperf.query_stats.kind IS 'select, insert, update, delete, merge, copy, utility (all others but transaction control), or all';
COMMENT ON COLUMN dbperf.query_stats.window_minutes IS 'over the last 1, 5 or 15 minutes; 0: since the time in column since';
COMMENT ON COLUMN dbperf.query_stats.calls IS 'statements that were executed, whatever became of their transactions; those that failed are among them';
COMMENT ON COLUMN dbperf.query_stats.rows IS 'rows that were returned or changed; of a table, by statements whose kind this is';
COMMENT ON COLUMN dbperf.query_stats.errors IS 'those that ended in an error, or were cancelled';
COMMENT ON COLUMN dbperf.query_stats.calls_per_second IS 'by the time that the window looks back: up to one slot (10 seconds, in longer windows a minute) more than its name says';
COMMENT ON COLUMN dbperf.query_stats.mean_ms IS 'time of execution, without parsing and planning';
COMMENT ON COLUMN dbperf.query_stats.p50_ms IS 'half of the statements took this long or less; percentiles are within 1.6 %';

CREATE FUNCTION dbperf.slow_query_entries(
    OUT slow_id bigint,
    OUT database oid,
    OUT userid oid,
    OUT queryid bigint,
    OUT kind text,
    OUT started timestamptz,
    OUT duration_ms double precision,
    OUT rows bigint,
    OUT error boolean,
    OUT query text)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'dbperf_slow_query_entries';
COMMENT ON FUNCTION dbperf.slow_query_entries() IS 'The slow statements that shared memory has, of all databases; see the view slow_queries';

CREATE FUNCTION dbperf.slow_query_count("window" interval, OUT recent bigint, OUT total bigint)
LANGUAGE c VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'dbperf_slow_query_count';
COMMENT ON FUNCTION dbperf.slow_query_count(interval) IS 'Slow statements of this database: those that ended in the window, as far as they are still remembered, and all since they were last forgotten; NULL where the library is not preloaded';

-- Dynamic, as pg_stat_statements need not be there; it may also be there but not preloaded
CREATE FUNCTION dbperf.statement_totals(
    OUT userid oid,
    OUT database oid,
    OUT queryid bigint,
    OUT calls bigint,
    OUT mean_ms double precision)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    statements_schema name;
BEGIN
    SELECT n.nspname INTO statements_schema
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
    WHERE e.extname = 'pg_stat_statements';
    IF NOT FOUND THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT s.userid, s.dbid, s.queryid, sum(s.calls)::bigint, sum(s.total_exec_time) / nullif(sum(s.calls), 0)
         FROM %I.pg_stat_statements(false) s WHERE s.queryid IS NOT NULL GROUP BY s.userid, s.dbid, s.queryid', statements_schema);
EXCEPTION WHEN object_not_in_prerequisite_state OR insufficient_privilege OR undefined_function OR undefined_column THEN
    RETURN;
END
$$;
COMMENT ON FUNCTION dbperf.statement_totals() IS 'Calls and mean time of each statement by pg_stat_statements, where that extension is in this database; no rows otherwise';

CREATE VIEW dbperf.slow_queries AS
SELECT s.slow_id, d.datname AS database, pg_get_userbyid(s.userid) AS username, s.queryid, s.kind, s.started, s.duration_ms, s.rows,
       s.error, s.query, t.calls AS calls_total, t.mean_ms AS mean_ms_total
FROM dbperf.slow_query_entries() s
LEFT JOIN pg_database d ON d.oid = s.database
LEFT JOIN dbperf.statement_totals() t USING (userid, database, queryid);
COMMENT ON VIEW dbperf.slow_queries IS 'The last statements that took dbperf.slow_query_threshold or longer, of all databases; dbperf.max_slow_queries of them';
COMMENT ON COLUMN dbperf.slow_queries.slow_id IS 'counts up from the start of the server: what is missing has been overwritten';
COMMENT ON COLUMN dbperf.slow_queries.queryid IS 'as in pg_stat_statements; NULL where nothing computes it (compute_query_id)';
COMMENT ON COLUMN dbperf.slow_queries.started IS 'when the client sent it';
COMMENT ON COLUMN dbperf.slow_queries.duration_ms IS 'time of execution, without planning, and without the time that a cursor waits for the next FETCH';
COMMENT ON COLUMN dbperf.slow_queries.error IS 'it ended in an error, or was cancelled';
COMMENT ON COLUMN dbperf.slow_queries.query IS 'the text without its constants and comments, up to 1 kB, for members of pg_read_all_stats; NULL for others, and where it may hold what was not to be kept';
COMMENT ON COLUMN dbperf.slow_queries.calls_total IS 'executions of the same statement that pg_stat_statements knows of; NULL where that extension is not in this database';
COMMENT ON COLUMN dbperf.slow_queries.mean_ms_total IS 'their mean time';

GRANT EXECUTE ON FUNCTION dbperf.query_state() TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.query_counters(integer) TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.table_query_counters(integer) TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.slow_query_entries() TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.slow_query_count(interval) TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.statement_totals() TO pg_monitor;
