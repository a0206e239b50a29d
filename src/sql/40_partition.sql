--
-- Making partitions, and looking at them
--

CREATE FUNCTION dbperf.partition_bounds(parent regclass, OUT partition regclass, OUT ord integer,
    OUT lower_bound text, OUT upper_bound text, OUT is_default boolean, OUT detach_pending boolean, OUT state text)
RETURNS SETOF record
LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'dbperf_partition_bounds';
COMMENT ON FUNCTION dbperf.partition_bounds(regclass) IS 'The partitions of any table partitioned by RANGE on one column, in order; state is known for managed tables';

CREATE FUNCTION dbperf.partition_gaps(parent regclass, OUT lower_bound text, OUT upper_bound text)
RETURNS SETOF record
LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'dbperf_partition_gaps';
COMMENT ON FUNCTION dbperf.partition_gaps(regclass) IS 'Ranges without a partition between the first and the last partition';

CREATE FUNCTION dbperf.policy_health(OUT parent regclass, OUT partitions integer, OUT future_ready integer,
    OUT missing integer, OUT covered boolean, OUT runway interval, OUT covered_until text, OUT gaps integer,
    OUT spanning integer, OUT off_grid integer, OUT dst_drift integer, OUT default_partition regclass,
    OUT default_has_rows boolean, OUT detaching integer)
RETURNS SETOF record
LANGUAGE c STABLE
AS 'MODULE_PATHNAME', 'dbperf_policy_health';
COMMENT ON FUNCTION dbperf.policy_health() IS 'Measurements behind the view partition_health';

CREATE FUNCTION dbperf.relation_files(relation oid, OUT bytes bigint, OUT last_write timestamptz)
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'dbperf_relation_files';
COMMENT ON FUNCTION dbperf.relation_files(oid) IS 'Size of a relation''s main fork and time of the last write to it that reached the file system; takes no lock';

-- What LIKE and ATTACH leave out and has a statement of its own. Read by the server while it makes a
-- partition; the statements are run as the owner of the table.
CREATE FUNCTION dbperf.inherit_statements(parent oid, child oid)
RETURNS SETOF text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH c AS (
        SELECT format('%I.%I', n.nspname, r.relname) AS name
        FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace WHERE r.oid = $2
    )
    SELECT format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', p.polname, c.name,
            CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
            CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
            (SELECT string_agg(CASE WHEN r = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END, ', ') FROM unnest(p.polroles) r),
            ' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')',
            ' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
        FROM pg_policy p, c WHERE p.polrelid = $1
    UNION ALL
    SELECT format('ALTER TABLE %s REPLICA IDENTITY %s', c.name,
            CASE r.relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING'
            ELSE format('USING INDEX %I', (
                SELECT ic.relname FROM pg_index pi
                JOIN pg_inherits h ON h.inhparent = pi.indexrelid
                JOIN pg_index ci ON ci.indexrelid = h.inhrelid AND ci.indrelid = $2
                JOIN pg_class ic ON ic.oid = ci.indexrelid
                WHERE pi.indrelid = $1 AND pi.indisreplident)) END)
        FROM pg_class r, c WHERE r.oid = $1 AND r.relreplident <> 'd'
    UNION ALL
    SELECT format('ALTER TABLE %s ALTER %I SET (%s)', c.name, a.attname,
            (SELECT string_agg(format('%I = %L', o.option_name, o.option_value), ', ')
             FROM pg_options_to_table(a.attoptions) o WHERE o.option_name LIKE 'n\_distinct%'))
        FROM pg_attribute a, c
        WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
        AND EXISTS (SELECT FROM pg_options_to_table(a.attoptions) o WHERE o.option_name LIKE 'n\_distinct%')
    UNION ALL
    SELECT format('ALTER STATISTICS %I.%I SET STATISTICS %s', n.nspname, cs.stxname, ps.stxstattarget)
        FROM pg_statistic_ext ps
        JOIN pg_statistic_ext cs ON cs.stxrelid = $2 AND cs.stxkind = ps.stxkind
            AND pg_get_statisticsobjdef_columns(cs.oid) = pg_get_statisticsobjdef_columns(ps.oid)
        JOIN pg_namespace n ON n.oid = cs.stxnamespace
        WHERE ps.stxrelid = $1 AND ps.stxstattarget >= 0
$$;
COMMENT ON FUNCTION dbperf.inherit_statements(oid, oid) IS 'Statements that give a new partition its parent''s policies, replica identity, statistics targets and column options';

CREATE FUNCTION dbperf.create_partition(parent regclass, at text)
RETURNS regclass
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_create_partition';
COMMENT ON FUNCTION dbperf.create_partition(regclass, text) IS 'The partition of a managed table that holds a key; it is made if it is not there';

CREATE FUNCTION dbperf.create_partition(parent regclass, at timestamptz)
RETURNS regclass
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET DateStyle = 'ISO, YMD'
AS $$
DECLARE
    p dbperf.policy;
    k record := dbperf.partition_key(parent);
BEGIN
    SELECT * INTO p FROM dbperf.policy q WHERE q.parent = create_partition.parent;
    RETURN dbperf.create_partition(parent, CASE
        WHEN k.key_type IN ('timestamp'::regtype, 'date'::regtype) THEN (at AT TIME ZONE coalesce(p.time_zone, 'UTC'))::text
        ELSE at::text END);
END
$$;
COMMENT ON FUNCTION dbperf.create_partition(regclass, timestamptz) IS 'The same, for a point in time';

-- A date or a time without zone names a key as it stands: by way of timestamptz, it could become the
-- day before.
CREATE FUNCTION dbperf.create_partition(parent regclass, at timestamp)
RETURNS regclass
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
SET DateStyle = 'ISO, YMD'
AS 'SELECT dbperf.create_partition($1, $2::text)';
COMMENT ON FUNCTION dbperf.create_partition(regclass, timestamp) IS 'The same, for a time without time zone';

CREATE FUNCTION dbperf.create_partition(parent regclass, at date)
RETURNS regclass
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
SET DateStyle = 'ISO, YMD'
AS 'SELECT dbperf.create_partition($1, $2::text)';
COMMENT ON FUNCTION dbperf.create_partition(regclass, date) IS 'The same, for a date';

CREATE FUNCTION dbperf.create_partition(parent regclass, at bigint)
RETURNS regclass
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS 'SELECT dbperf.create_partition($1, $2::text)';
COMMENT ON FUNCTION dbperf.create_partition(regclass, bigint) IS 'The same, for a number';

CREATE FUNCTION dbperf.create_partitions(parent regclass, from_at text, to_at text)
RETURNS SETOF regclass
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_create_partitions';
COMMENT ON FUNCTION dbperf.create_partitions(regclass, text, text) IS 'Makes all partitions that are missing from the one that holds from_at up to to_at (exclusive), in one transaction';

CREATE FUNCTION dbperf.fill_gaps(parent regclass)
RETURNS SETOF regclass
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_fill_gaps';
COMMENT ON FUNCTION dbperf.fill_gaps(regclass) IS 'Makes the partitions that are missing between the first and the last one';

CREATE PROCEDURE dbperf.backfill(parent regclass, from_at text, to_at text)
LANGUAGE c
AS 'MODULE_PATHNAME', 'dbperf_backfill';
COMMENT ON PROCEDURE dbperf.backfill(regclass, text, text) IS 'As create_partitions(), with a transaction for each partition: for long ranges';

CREATE FUNCTION dbperf.run_maintenance(INOUT parent regclass DEFAULT NULL, OUT partition text, OUT action text, OUT status text, OUT detail text)
RETURNS SETOF record
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_run_maintenance';
COMMENT ON FUNCTION dbperf.run_maintenance(regclass) IS 'Does what plan_maintenance() shows for one managed table, or for all that the user owns: makes partitions in this transaction, and has a background worker detach and drop what is due; a row for each step';

-- manage() uses it: a worker would not see a policy that has not been committed.
CREATE FUNCTION dbperf.make_missing(INOUT parent regclass, OUT partition text, OUT action text, OUT status text, OUT detail text)
RETURNS SETOF record
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_make_missing';
COMMENT ON FUNCTION dbperf.make_missing(regclass) IS 'Makes the partitions that are missing, and retires none';

CREATE PROCEDURE dbperf.maintain(parent regclass DEFAULT NULL, source text DEFAULT 'manual')
LANGUAGE c
AS 'MODULE_PATHNAME', 'dbperf_maintain';
COMMENT ON PROCEDURE dbperf.maintain(regclass, text) IS 'As run_maintenance(), with a transaction for each partition and without another process; what pg_cron runs';
