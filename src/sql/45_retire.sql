--
-- Retiring partitions: what is due, what stands in the way, the recycle bin
--

CREATE TABLE dbperf.recycle_bin (
    partition             regclass PRIMARY KEY,
    parent                regclass NOT NULL,
    state                 text NOT NULL CHECK (state IN ('detaching', 'detached', 'attached')),
    lower_bound           text NOT NULL,
    upper_bound           text NOT NULL,
    upper_at              timestamptz,
    upper_key             bigint,
    original_schema       name NOT NULL,
    original_name         name NOT NULL,
    place                 text,
    grants                text[] NOT NULL,
    parent_columns        name[] NOT NULL,
    parent_attnums        smallint[] NOT NULL,
    inherited_constraints name[] NOT NULL,
    foreign_keys          text[] NOT NULL DEFAULT '{}',
    started_at            timestamptz NOT NULL,
    waits_for             text[],
    waits_since_start     timestamptz,
    detached_at           timestamptz,
    detached_lsn          pg_lsn,
    hold_until            timestamptz,
    archive               text,
    archive_rows          bigint,
    archive_verified_at   timestamptz
);
COMMENT ON TABLE dbperf.recycle_bin IS 'Detached partitions, until they are dropped or attached again, and those that were attached again, as long as they are held';
COMMENT ON COLUMN dbperf.recycle_bin.partition IS 'the table, where it is now';
COMMENT ON COLUMN dbperf.recycle_bin.parent IS 'the table that it was, or is, a partition of';
COMMENT ON COLUMN dbperf.recycle_bin.state IS 'detaching (takes no part in queries any more), detached, or attached (put back, and left alone until hold_until)';
COMMENT ON COLUMN dbperf.recycle_bin.lower_bound IS 'inclusive, or MINVALUE';
COMMENT ON COLUMN dbperf.recycle_bin.upper_bound IS 'exclusive, or MAXVALUE';
COMMENT ON COLUMN dbperf.recycle_bin.upper_at IS 'upper bound as a point in time; NULL: the key is a plain number';
COMMENT ON COLUMN dbperf.recycle_bin.upper_key IS 'upper bound of a key that is a plain number';
COMMENT ON COLUMN dbperf.recycle_bin.original_schema IS 'where it was as a partition, and will be again';
COMMENT ON COLUMN dbperf.recycle_bin.original_name IS 'its name as a partition';
COMMENT ON COLUMN dbperf.recycle_bin.place IS 'where it was put; a table that is found elsewhere is not dropped';
COMMENT ON COLUMN dbperf.recycle_bin.grants IS 'privileges that it had as a partition; %s stands for its name';
COMMENT ON COLUMN dbperf.recycle_bin.parent_columns IS 'columns that the parent had when it was detached';
COMMENT ON COLUMN dbperf.recycle_bin.parent_attnums IS 'their numbers, by which renamed ones are known again';
COMMENT ON COLUMN dbperf.recycle_bin.inherited_constraints IS 'CHECK constraints that it had from the parent';
COMMENT ON COLUMN dbperf.recycle_bin.foreign_keys IS 'foreign keys that had to go since, for the sake of tables that they pointed to';
COMMENT ON COLUMN dbperf.recycle_bin.started_at IS 'when its detaching began';
COMMENT ON COLUMN dbperf.recycle_bin.waits_for IS 'transactions that its detaching waits for, as pg_locks.virtualtransaction has them; NULL: not looked yet';
COMMENT ON COLUMN dbperf.recycle_bin.waits_since_start IS 'start of the server in which they are';
COMMENT ON COLUMN dbperf.recycle_bin.detached_at IS 'when its detaching ended; recycle_for counts from here';
COMMENT ON COLUMN dbperf.recycle_bin.detached_lsn IS 'the end of WAL at that time; not dropped before every replication slot has got there';
COMMENT ON COLUMN dbperf.recycle_bin.hold_until IS 'a table that was attached again is not detached by its policy before';
COMMENT ON COLUMN dbperf.recycle_bin.archive IS 'where its archive is, as confirm_archive() was told';
COMMENT ON COLUMN dbperf.recycle_bin.archive_rows IS 'rows in that archive';
COMMENT ON COLUMN dbperf.recycle_bin.archive_verified_at IS 'when that was found to be the number of rows of the table';
SELECT pg_catalog.pg_extension_config_dump('dbperf.recycle_bin', '');

CREATE FUNCTION dbperf.clock()
RETURNS timestamptz
LANGUAGE c STABLE
AS 'MODULE_PATHNAME', 'dbperf_clock';
COMMENT ON FUNCTION dbperf.clock() IS 'Now, or what dbperf.now_override says is now';

CREATE FUNCTION dbperf.current_key(parent oid)
RETURNS bigint
LANGUAGE c STABLE
AS 'MODULE_PATHNAME', 'dbperf_current_key';
COMMENT ON FUNCTION dbperf.current_key(oid) IS 'Lower bound of the highest partition that has rows; NULL: the key is a time';

CREATE FUNCTION dbperf.partition_ages(parent oid, OUT partition oid, OUT lower_bound text, OUT upper_bound text,
    OUT upper_at timestamptz, OUT upper_key bigint, OUT state text)
RETURNS SETOF record
LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'dbperf_partition_ages';
COMMENT ON FUNCTION dbperf.partition_ages(oid) IS 'The partitions of a managed table with their upper bounds as points in time, or as plain numbers';

-- The moment at which something falls due, in the calendar of the policy's time zone.
CREATE FUNCTION dbperf.due_at(bound timestamptz, after interval, time_zone text)
RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN bound < '200000-01-01' AND after < interval '90000 years'
        THEN (bound AT TIME ZONE time_zone + after) AT TIME ZONE time_zone
        WHEN bound IS NOT NULL AND after IS NOT NULL THEN 'infinity' END
$$;
COMMENT ON FUNCTION dbperf.due_at(timestamptz, interval, text) IS 'A bound and the calendar time after it; infinity where times end';

CREATE FUNCTION dbperf.in_quiet_hours(quiet_hours text, time_zone text)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(CASE WHEN q.lo < q.hi THEN q.t >= q.lo AND q.t < q.hi ELSE q.t >= q.lo OR q.t < q.hi END, false)
    FROM (SELECT (dbperf.clock() AT TIME ZONE time_zone)::time AS t,
                 split_part(quiet_hours, '-', 1)::time AS lo, split_part(quiet_hours, '-', 2)::time AS hi) q
$$;
COMMENT ON FUNCTION dbperf.in_quiet_hours(text, text) IS 'Whether it is within a policy''s quiet hours now';

CREATE FUNCTION dbperf.boot(OUT id text, OUT at timestamptz)
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_boot';
COMMENT ON FUNCTION dbperf.boot() IS 'Which start of the machine this is, and when the clock says that it was; NULL where the system does not tell, or dbperf.now_override is set';

-- While a machine runs, the time of its start does not change, but by a jump of the clock. From one
-- start to the next, there is only the time of the last look to go by.
CREATE FUNCTION dbperf.clock_jump(s dbperf.policy_state)
RETURNS text
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
SET DateStyle = 'ISO, YMD'
AS $$
    SELECT CASE
        WHEN b.id = s.boot_id AND abs(extract(epoch FROM b.at - s.boot_at)) > 3600
        THEN format('the clock has been moved by %s since the last look', date_trunc('second', justify_hours(b.at - s.boot_at)))
        WHEN dbperf.clock() > s.clock_at + current_setting('dbperf.clock_jump_limit')::interval
            OR dbperf.clock() < s.clock_at - interval '1 minute'
        THEN format('the clock has moved from %s to %s since the last look',
                    date_trunc('second', s.clock_at), date_trunc('second', dbperf.clock()))
        END
    FROM dbperf.boot() b
$$;
COMMENT ON FUNCTION dbperf.clock_jump(dbperf.policy_state) IS 'How the clock has jumped since the last look; NULL: it has not';

-- A clock that jumped is trusted again after a day in which it went on as clocks do.
CREATE FUNCTION dbperf.clock_reason(parent oid)
RETURNS text
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
SET DateStyle = 'ISO, YMD'
AS $$
    SELECT coalesce(dbperf.clock_jump(s) || '; if it is right, call dbperf.confirm_clock()',
        CASE WHEN s.clock_suspect_until > dbperf.clock()
        THEN format('the clock has jumped; it is trusted again from %s on, or after dbperf.confirm_clock()',
                    date_trunc('second', s.clock_suspect_until))
        END)
    FROM dbperf.policy_state s WHERE s.parent = $1
$$;
COMMENT ON FUNCTION dbperf.clock_reason(oid) IS 'Why the clock is not trusted to detach or drop partitions of a table; NULL: it is';

-- A restored dump attaches again what was being detached, and a user may have done so with what had
-- been detached. What has gone without a trigger to tell is forgotten as well.
CREATE FUNCTION dbperf.begin_retiring(parents oid[])
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE dbperf.policy_state s SET
        clock_suspect_until = CASE
            WHEN dbperf.clock_jump(s) IS NOT NULL THEN dbperf.clock() + interval '1 day'
            WHEN s.clock_suspect_until > dbperf.clock() THEN s.clock_suspect_until END,
        clock_at = dbperf.clock(), (boot_id, boot_at) = (SELECT b.id, b.at FROM dbperf.boot() b)
    WHERE s.parent IN (SELECT t.parent FROM dbperf.policy_state t WHERE t.parent = ANY ($1) FOR UPDATE SKIP LOCKED);
    DELETE FROM dbperf.recycle_bin b WHERE b.parent = ANY ($1)
        AND (NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = b.partition)
             OR b.state = 'attached' AND b.hold_until <= dbperf.clock()
             OR b.state <> 'attached' AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = b.partition AND NOT i.inhdetachpending));
$$;
COMMENT ON FUNCTION dbperf.begin_retiring(oid[]) IS 'Notes the time, and whether it has jumped since the last look; forgets what is over in the recycle bin';

CREATE FUNCTION dbperf.confirm_clock()
RETURNS void
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_confirm_clock';
COMMENT ON FUNCTION dbperf.confirm_clock() IS 'Says that the server''s clock is right, after it has jumped: partitions of the tables that the user owns may be detached and dropped again';

-- What must not be dropped along with a table, and would be by CASCADE.
CREATE FUNCTION dbperf.dependents(relation oid)
RETURNS SETOF text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT DISTINCT CASE WHEN d.classid = 'pg_rewrite'::regclass
            THEN (SELECT pg_describe_object('pg_class'::regclass, r.ev_class, 0) FROM pg_rewrite r WHERE r.oid = d.objid)
            ELSE pg_describe_object(d.classid, d.objid, d.objsubid) END
    FROM (
        SELECT 'pg_class'::regclass, $1
        UNION ALL
        SELECT 'pg_type'::regclass, x FROM pg_class c JOIN pg_type t ON t.oid = c.reltype, unnest(ARRAY[t.oid, t.typarray]) x
            WHERE c.oid = $1) o (classid, objid)
    JOIN pg_depend d ON d.refclassid = o.classid AND d.refobjid = o.objid
    WHERE d.deptype = 'n'
    AND NOT (d.classid = 'pg_rewrite'::regclass AND EXISTS (
        SELECT FROM pg_rewrite r WHERE r.oid = d.objid AND r.ev_class = $1))
    -- foreign keys of its own, and what else lives and dies with the table
    AND NOT (d.classid = 'pg_constraint'::regclass AND EXISTS (
        SELECT FROM pg_constraint c WHERE c.oid = d.objid AND c.conrelid = $1))
    AND NOT (d.classid = 'pg_attrdef'::regclass AND EXISTS (
        SELECT FROM pg_attrdef f WHERE f.oid = d.objid AND f.adrelid = $1))
    AND NOT (d.classid = 'pg_policy'::regclass AND EXISTS (
        SELECT FROM pg_policy p WHERE p.oid = d.objid AND p.polrelid = $1))
    AND NOT (d.classid = 'pg_trigger'::regclass AND EXISTS (
        SELECT FROM pg_trigger t WHERE t.oid = d.objid AND t.tgrelid = $1))
$$;
COMMENT ON FUNCTION dbperf.dependents(oid) IS 'Views and other objects that depend on a table and keep it from being dropped';

CREATE FUNCTION dbperf.lagging_slots(lsn pg_lsn)
RETURNS SETOF name
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.slot_name FROM pg_replication_slots s
    WHERE coalesce(s.confirmed_flush_lsn, s.restart_lsn) < lsn
    -- a restored dump brings points of another server's WAL
    AND lsn <= pg_current_wal_insert_lsn() AND s.wal_status IS DISTINCT FROM 'lost'
    AND (s.database IS NULL OR s.database = current_database())
$$;
COMMENT ON FUNCTION dbperf.lagging_slots(pg_lsn) IS 'Replication slots whose standby or subscriber has not got to a point of WAL';

-- Why a table of the recycle bin is not dropped now: what is not due comes later, what is due and
-- resolves itself is waited for, and what needs somebody blocks. That a policy never drops is no
-- reason: then it is asked for by hand.
CREATE FUNCTION dbperf.drop_reason(bin dbperf.recycle_bin, p dbperf.policy, OUT decision text, OUT reason text)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
SET DateStyle = 'ISO, YMD'
AS $$
DECLARE
    due   timestamptz;
    names text;
BEGIN
    decision := 'later';
    IF (p.drop_after IS NOT NULL AND bin.upper_at IS NULL) OR (p.drop_step IS NOT NULL AND bin.upper_key IS NULL) THEN
        reason := format('its upper bound (%s) is never old enough', bin.upper_bound);
        RETURN;
    END IF;
    due := greatest(dbperf.due_at(bin.detached_at, p.recycle_for, p.time_zone), dbperf.due_at(bin.upper_at, p.drop_after, p.time_zone));
    IF due > dbperf.clock() THEN
        reason := format('it stays in the recycle bin until %s', due);
        RETURN;
    END IF;
    IF p.drop_step IS NOT NULL AND bin.upper_key::numeric + p.drop_step > coalesce(dbperf.current_key(p.parent), bin.upper_key) THEN
        reason := format('it is not %s keys behind yet', p.drop_step);
        RETURN;
    END IF;
    decision := 'wait';
    IF dbperf.in_quiet_hours(p.quiet_hours, p.time_zone) THEN
        reason := format('quiet hours (%s)', p.quiet_hours);
        RETURN;
    END IF;
    names := (SELECT string_agg(quote_ident(s), ', ') FROM dbperf.lagging_slots(bin.detached_lsn) s);
    IF names IS NOT NULL THEN
        reason := format('replication slot(s) %s have not got to where it was detached', names);
        RETURN;
    END IF;
    decision := 'blocked';
    reason := dbperf.clock_reason(p.parent);
    IF reason IS NOT NULL THEN
        RETURN;
    END IF;
    IF p.require_archive AND bin.archive_verified_at IS NULL THEN
        reason := 'its archive has not been confirmed (see confirm_archive())';
        RETURN;
    END IF;
    reason := (SELECT CASE
            WHEN EXISTS (SELECT FROM pg_inherits i WHERE bin.partition IN (i.inhrelid, i.inhparent)) THEN 'it is a parent or child of another table'
            WHEN c.relowner <> o.relowner THEN 'it belongs to another role than the table that it was a partition of'
            WHEN dbperf.qualified_name(c.oid) IS DISTINCT FROM bin.place THEN format('it is not where it was put (%s)', bin.place) END
        FROM pg_class c JOIN pg_class o ON o.oid = bin.parent WHERE c.oid = bin.partition);
    IF reason IS NOT NULL THEN
        RETURN;
    END IF;
    names := (SELECT string_agg(d, ', ' ORDER BY d COLLATE "C") FROM dbperf.dependents(bin.partition) d);
    IF names IS NOT NULL THEN
        reason := format('%s depend(s) on it', names);
        RETURN;
    END IF;
    decision := 'go';
END
$$;
COMMENT ON FUNCTION dbperf.drop_reason(dbperf.recycle_bin, dbperf.policy) IS 'Whether a detached table may be dropped now, and why not';

-- Whether somebody's own DETACH ... CONCURRENTLY may still be at work.
CREATE FUNCTION dbperf.detach_by_hand()
RETURNS boolean
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pg_stat_get_activity(NULL) a
        WHERE a.datid = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND a.pid <> pg_backend_pid() AND a.state = 'active' AND a.query ~* '\mdetach\M.*\mconcurrently\M')
$$;
COMMENT ON FUNCTION dbperf.detach_by_hand() IS 'Whether another session runs DETACH PARTITION ... CONCURRENTLY now';

-- Tables that others point to by foreign keys come after those others.
CREATE FUNCTION dbperf.retire_levels(parents oid[], OUT parent oid, OUT level integer)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE key AS (
        SELECT DISTINCT c.conrelid, c.confrelid FROM pg_constraint c
        WHERE c.contype = 'f' AND c.conparentid = 0 AND c.conrelid <> c.confrelid
    ), reached (parent, level) AS (
        SELECT p, 0 FROM unnest(parents) p
        UNION
        SELECT key.confrelid, r.level + 1 FROM reached r JOIN key ON key.conrelid = r.parent WHERE r.level < 32
    )
    SELECT r.parent, max(r.level) FROM reached r WHERE r.parent = ANY (parents) GROUP BY r.parent
$$;
COMMENT ON FUNCTION dbperf.retire_levels(oid[]) IS 'An order of tables in which those that point to others by foreign keys come before them';

-- Can DETACH do without stopping everybody? PostgreSQL refuses it beside a default partition; and
-- where foreign keys point to the parent, the rows that do must be looked at under locks. Where the
-- parent is published, rows that are written while the mark is set would be lost for subscribers:
-- logical decoding takes a partition that is being detached for none of its parent's any more.
CREATE FUNCTION dbperf.can_detach_concurrently(parent oid)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (SELECT t.partdefid = 0 FROM pg_partitioned_table t WHERE t.partrelid = $1)
    AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.confrelid = $1 AND c.contype = 'f')
    AND NOT EXISTS (SELECT FROM pg_publication b WHERE b.puballtables AND b.pubviaroot)
    AND NOT EXISTS (
        SELECT FROM pg_class a WHERE (a.oid = $1 OR a.oid IN (SELECT relid FROM pg_partition_ancestors($1)))
        AND (EXISTS (SELECT FROM pg_publication_rel r WHERE r.prrelid = a.oid)
             OR EXISTS (SELECT FROM pg_publication_namespace n WHERE n.pnnspid = a.relnamespace)))
$$;
COMMENT ON FUNCTION dbperf.can_detach_concurrently(oid) IS 'Whether partitions of a table can be detached without a lock that stops reads and writes';

CREATE FUNCTION dbperf.qualified_name(relation oid)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1
$$;
COMMENT ON FUNCTION dbperf.qualified_name(oid) IS 'Name of a relation with its schema, quoted where need be';

CREATE FUNCTION dbperf.archive_schema(parent oid)
RETURNS name
LANGUAGE c STABLE
AS 'MODULE_PATHNAME', 'dbperf_archive_schema';
COMMENT ON FUNCTION dbperf.archive_schema(oid) IS 'The schema that detached partitions of a managed table go to';

-- What it takes to have an archive schema that the owner of the table can use, and in which nobody
-- else can drop what is put there. A schema that the policy names is made with the owner's own rights;
-- the one that is meant when it names none may be made by the extension, to which it belongs then.
-- It is not to be the one that a role's search_path finds as "$user".
CREATE FUNCTION dbperf.archive_schema_plan(parent oid, OUT reason text, OUT as_owner boolean, OUT statements text[])
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    mark      constant text := 'Detached partitions, put here by tradeassist_dbperf';
    schema    name := dbperf.archive_schema(parent);
    extension oid := (SELECT e.extowner FROM pg_extension e WHERE e.extname = 'tradeassist_dbperf');
    owner     oid := (SELECT c.relowner FROM pg_class c WHERE c.oid = $1);
    grants    text := format('GRANT USAGE, CREATE ON SCHEMA %I TO %I', schema, pg_get_userbyid(owner));
    n         pg_namespace;
BEGIN
    statements := '{}';
    as_owner := false;
    SELECT * INTO n FROM pg_namespace m WHERE m.nspname = schema;
    IF FOUND THEN
        IF has_schema_privilege(owner, n.oid, 'CREATE') AND has_schema_privilege(owner, n.oid, 'USAGE') THEN
            IF NOT (SELECT r.rolsuper FROM pg_roles r WHERE r.oid = n.nspowner) AND NOT pg_has_role(n.nspowner, owner, 'USAGE') THEN
                reason := format('schema "%s" belongs to role "%s", which could drop what is put there', schema, pg_get_userbyid(n.nspowner));
            END IF;
        ELSIF n.nspowner = extension AND obj_description(n.oid, 'pg_namespace') = mark THEN
            statements := ARRAY[grants];
        ELSE
            reason := format('its owner may not make tables in schema "%s"', schema);
        END IF;
    ELSIF has_database_privilege(owner, current_database(), 'CREATE') THEN
        as_owner := true;
        statements := ARRAY[format('CREATE SCHEMA %I', schema)];
    ELSIF EXISTS (SELECT FROM dbperf.policy p WHERE p.parent = $1 AND p.archive_schema IS NULL)
        AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = schema) THEN
        statements := ARRAY[format('CREATE SCHEMA %I AUTHORIZATION %I', schema, pg_get_userbyid(extension)),
            format('COMMENT ON SCHEMA %I IS %L', schema, mark), grants];
    ELSE
        reason := format('schema "%s" is not there, and its owner may not create it', schema);
    END IF;
END
$$;
COMMENT ON FUNCTION dbperf.archive_schema_plan(oid) IS 'Statements that give the owner of a table its archive schema, and who has to run them; or why there is none';

-- What is to be retired now, in order. Catalogs only: nothing of the users' runs here.
CREATE FUNCTION dbperf.parent_steps(parent oid, OUT partition oid, OUT action text, OUT concurrent boolean, OUT decision text, OUT reason text)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
SET DateStyle = 'ISO, YMD'
AS $$
#variable_conflict use_column
DECLARE
    p        dbperf.policy;
    due      record;
    bin      dbperf.recycle_bin;
    why      record;
    clock_is text;
    now_key  bigint;
    pending  boolean;
    nowhere  text;
BEGIN
    SELECT q.* INTO p FROM dbperf.policy q WHERE q.parent = $1;
    IF FOUND THEN
        nowhere := (SELECT a.reason FROM dbperf.archive_schema_plan(p.parent) a);
        concurrent := dbperf.can_detach_concurrently(p.parent);
        pending := false;

        FOR due IN
            SELECT i.inhrelid AS relid, b.partition IS NOT NULL AS ours
                FROM pg_inherits i LEFT JOIN dbperf.recycle_bin b ON b.partition = i.inhrelid AND b.state = 'detaching'
                WHERE i.inhparent = p.parent AND i.inhdetachpending
            UNION ALL
            SELECT b.partition, true FROM dbperf.recycle_bin b
                WHERE b.parent = p.parent AND b.state = 'detaching'
                AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = b.partition)
        LOOP
            pending := true;
            partition := due.relid;
            action := 'finalize';
            decision := 'go';
            reason := NULL;
            IF NOT due.ours AND dbperf.detach_by_hand() THEN
                decision := 'wait';
                reason := 'somebody seems to be detaching it at this moment';
            END IF;
            RETURN NEXT;
        END LOOP;

        clock_is := dbperf.clock_reason(p.parent);
        action := 'detach';
        IF num_nonnulls(p.detach_after, p.drop_after, p.detach_step, p.drop_step) > 0 THEN
            now_key := dbperf.current_key(p.parent);
            FOR due IN
                SELECT a.partition AS relid, c.relkind, c.relowner, b.hold_until
                FROM dbperf.partition_ages(p.parent) a
                JOIN pg_class c ON c.oid = a.partition
                LEFT JOIN dbperf.recycle_bin b ON b.partition = a.partition AND b.state = 'attached'
                WHERE a.state = 'past'
                AND CASE WHEN a.upper_at IS NOT NULL
                    THEN dbperf.due_at(a.upper_at, coalesce(p.detach_after, p.drop_after), p.time_zone) <= dbperf.clock()
                    ELSE a.upper_key::numeric + coalesce(p.detach_step, p.drop_step) <= now_key END
            LOOP
                partition := due.relid;
                decision := 'blocked';
                reason := CASE
                    WHEN due.relkind = 'p' THEN 'it has partitions of its own'
                    WHEN due.relkind <> 'r' THEN 'it is not an ordinary table'
                    WHEN due.relowner <> (SELECT c.relowner FROM pg_class c WHERE c.oid = p.parent) THEN 'it belongs to another role than the table that it is a partition of'
                    -- it would take no part in queries any more, and have nowhere to go
                    WHEN nowhere IS NOT NULL THEN nowhere
                    ELSE clock_is END;
                IF reason IS NULL THEN
                    decision := 'wait';
                    reason := CASE
                        WHEN due.hold_until > dbperf.clock() THEN format('it was attached again, and is left alone until %s', due.hold_until)
                        WHEN dbperf.in_quiet_hours(p.quiet_hours, p.time_zone) THEN format('quiet hours (%s)', p.quiet_hours)
                        WHEN pending AND concurrent THEN 'another partition is being detached'
                        END;
                END IF;
                IF reason IS NULL THEN
                    decision := 'go';
                END IF;
                RETURN NEXT;
            END LOOP;
        END IF;

        action := 'drop';
        concurrent := false;
        IF num_nonnulls(p.drop_after, p.drop_step) > 0 THEN
            FOR bin IN
                SELECT b.* FROM dbperf.recycle_bin b WHERE b.parent = p.parent AND b.state = 'detached'
                ORDER BY b.upper_at, b.upper_key, b.partition::oid
            LOOP
                partition := bin.partition;
                why := dbperf.drop_reason(bin, p);
                decision := why.decision;
                reason := why.reason;
                -- what is not due is no step
                IF decision <> 'later' THEN
                    RETURN NEXT;
                END IF;
            END LOOP;
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION dbperf.parent_steps(oid) IS 'What is to be finalized, detached and dropped now of one table, in order, with what stands in the way';

-- One table with a problem is none for the others.
CREATE FUNCTION dbperf.retire_steps(parents oid[], OUT parent oid, OUT partition oid, OUT action text,
    OUT concurrent boolean, OUT decision text, OUT reason text)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    FOR parent IN
        SELECT q.parent FROM dbperf.policy q JOIN dbperf.retire_levels(parents) l ON l.parent = q.parent
        ORDER BY l.level, q.run_order, q.parent::oid
    LOOP
        BEGIN
            RETURN QUERY SELECT retire_steps.parent, t.* FROM dbperf.parent_steps(retire_steps.parent) t;
        EXCEPTION WHEN OTHERS THEN
            partition := NULL;
            action := 'plan';
            concurrent := false;
            decision := 'blocked';
            reason := SQLERRM;
            RETURN NEXT;
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION dbperf.retire_steps(oid[]) IS 'The steps of some tables, those first that point to others by foreign keys; a step "plan" says why there is none to be told';

-- A partition that would be retired as soon as it is made takes nobody's rows: they would be gone from
-- queries a moment later.
CREATE FUNCTION dbperf.is_past_retiring(parent oid, upper_at timestamptz, upper_key bigint)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(CASE WHEN upper_at IS NOT NULL
        THEN dbperf.due_at(upper_at, coalesce(p.detach_after, p.drop_after), p.time_zone) <= dbperf.clock()
        ELSE upper_key::numeric + coalesce(p.detach_step, p.drop_step) <= dbperf.current_key(p.parent) END, false)
    FROM dbperf.policy p WHERE p.parent = $1
$$;
COMMENT ON FUNCTION dbperf.is_past_retiring(oid, timestamptz, bigint) IS 'Whether a partition with this upper bound would be detached at once';

CREATE FUNCTION dbperf.retire_next_due(parents oid[])
RETURNS timestamptz
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT min(at) FROM (
        SELECT dbperf.due_at(a.upper_at, coalesce(p.detach_after, p.drop_after), p.time_zone) AS at
            FROM dbperf.policy p CROSS JOIN LATERAL dbperf.partition_ages(p.parent) a
            WHERE p.parent = ANY (parents) AND coalesce(p.detach_after, p.drop_after) IS NOT NULL AND a.upper_at < '10000-01-01'
            AND a.state IN ('past', 'current')
        UNION ALL
        SELECT greatest(dbperf.due_at(b.detached_at, p.recycle_for, p.time_zone), dbperf.due_at(b.upper_at, p.drop_after, p.time_zone))
            FROM dbperf.policy p JOIN dbperf.recycle_bin b ON b.parent = p.parent
            WHERE p.parent = ANY (parents) AND b.state = 'detached' AND num_nonnulls(p.drop_after, p.drop_step) > 0
        ) d
    WHERE at > dbperf.clock()
$$;
COMMENT ON FUNCTION dbperf.retire_next_due(oid[]) IS 'When the next partition is to be retired';

-- What comes of privileges on the way into the recycle bin: each as a GRANT, for the way back.
CREATE FUNCTION dbperf.grants_of(relation oid)
RETURNS text[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(g.stmt ORDER BY g.stmt), '{}') FROM (
        SELECT format('GRANT %s ON TABLE %%s TO %s%s', a.privilege_type,
                CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
                CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) AS stmt
            FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
            WHERE c.oid = $1 AND a.grantee <> c.relowner
        UNION
        SELECT format('GRANT %s (%s) ON TABLE %%s TO %s%s', a.privilege_type, replace(quote_ident(t.attname), '%', '%%'),
                CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
                CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
            FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid CROSS JOIN LATERAL aclexplode(t.attacl) a
            WHERE t.attrelid = $1 AND NOT t.attisdropped AND a.grantee <> c.relowner) g
$$;
COMMENT ON FUNCTION dbperf.grants_of(oid) IS 'The privileges of others on a table, as GRANT statements with %s in the place of its name';

-- For FINALIZE of PostgreSQL 18: what a partition lacks of its parent, since that got it, or gave it
-- another name, while the partition was being detached.
CREATE FUNCTION dbperf.lent(parent oid, partition oid, OUT give text, OUT name text, OUT take text)
RETURNS SETOF record
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT give, name, take FROM (
        SELECT 1 AS ord, format('ALTER TABLE %s ADD COLUMN %I %s', dbperf.qualified_name($2), a.attname, format_type(a.atttypid, a.atttypmod)) AS give,
            NULL AS name, format('ALTER TABLE %s DROP COLUMN %I', dbperf.qualified_name($2), a.attname) AS take
        FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
        AND NOT EXISTS (SELECT FROM pg_attribute c WHERE c.attrelid = $2 AND c.attname = a.attname AND NOT c.attisdropped)
        UNION ALL
        SELECT 2, format('ALTER TABLE %s ADD CONSTRAINT %I CHECK (true) NOT VALID', dbperf.qualified_name($2), p.conname), p.conname,
            format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I', dbperf.qualified_name($2), p.conname)
        FROM pg_constraint p WHERE p.conrelid = $1 AND p.contype = 'c' AND NOT p.connoinherit
        AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = $2 AND c.conname = p.conname)
        UNION ALL
        SELECT 3, format('ALTER TABLE %s ADD CONSTRAINT %I NOT NULL %I NOT VALID', dbperf.qualified_name($2), n.conname, n.attname), n.conname,
            format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I', dbperf.qualified_name($2), n.conname)
        FROM (SELECT a.attname, format('dbperf_lent_%s', a.attnum) AS conname
              FROM pg_constraint p JOIN pg_attribute a ON a.attrelid = p.conrelid AND a.attnum = p.conkey[1]
              WHERE p.conrelid = $1 AND p.contype = 'n' AND NOT p.connoinherit) n
        WHERE NOT EXISTS (SELECT FROM pg_constraint c JOIN pg_attribute b ON b.attrelid = c.conrelid AND b.attnum = c.conkey[1]
                          WHERE c.conrelid = $2 AND c.contype = 'n' AND b.attname = n.attname)) l
    ORDER BY ord
$$;
COMMENT ON FUNCTION dbperf.lent(oid, oid) IS 'Columns and constraints that a partition being detached lacks of its parent, with statements that add them and take them back';

CREATE FUNCTION dbperf.bin_put(parent oid, partition oid)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO dbperf.recycle_bin (partition, parent, state, lower_bound, upper_bound, upper_at, upper_key, original_schema,
        original_name, grants, parent_columns, parent_attnums, inherited_constraints, started_at)
    SELECT $2, $1, 'detaching', a.lower_bound, a.upper_bound, a.upper_at, a.upper_key, n.nspname, c.relname, dbperf.grants_of($2),
        (SELECT array_agg(t.attname ORDER BY t.attnum) FROM pg_attribute t WHERE t.attrelid = $1 AND t.attnum > 0 AND NOT t.attisdropped),
        (SELECT array_agg(t.attnum ORDER BY t.attnum) FROM pg_attribute t WHERE t.attrelid = $1 AND t.attnum > 0 AND NOT t.attisdropped),
        (SELECT coalesce(array_agg(k.conname ORDER BY k.conname), '{}') FROM pg_constraint k
            WHERE k.conrelid = $2 AND k.contype = 'c' AND k.coninhcount > 0),
        dbperf.clock()
    FROM dbperf.partition_ages($1) a JOIN pg_class c ON c.oid = a.partition JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE a.partition = $2
    ON CONFLICT (partition) DO UPDATE SET (parent, state, lower_bound, upper_bound, upper_at, upper_key, original_schema, original_name,
        grants, parent_columns, parent_attnums, inherited_constraints, foreign_keys, started_at, waits_for, waits_since_start, detached_at, detached_lsn, hold_until,
        archive, archive_rows, archive_verified_at)
    = (excluded.parent, excluded.state, excluded.lower_bound, excluded.upper_bound, excluded.upper_at, excluded.upper_key,
        excluded.original_schema, excluded.original_name, excluded.grants, excluded.parent_columns, excluded.parent_attnums,
        excluded.inherited_constraints, '{}', excluded.started_at, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
$$;
COMMENT ON FUNCTION dbperf.bin_put(oid, oid) IS 'Enters a partition that is about to be detached into the recycle bin';

CREATE FUNCTION dbperf.bin_detached(partition oid)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE dbperf.recycle_bin SET state = 'detached', waits_for = NULL, waits_since_start = NULL, detached_at = dbperf.clock(), detached_lsn = pg_current_wal_insert_lsn(),
        place = dbperf.qualified_name($1)
    WHERE partition = $1
$$;
COMMENT ON FUNCTION dbperf.bin_detached(oid) IS 'Notes that a table of the recycle bin has been detached';

-- Statements that put a table where nobody but its owner gets at it. Names of indexes are unique in a
-- schema: one that is taken there gets its OID appended.
CREATE FUNCTION dbperf.archive_statements(partition oid, archive_schema name)
RETURNS SETOF text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH t AS (
        SELECT c.oid, c.relname, c.relnamespace, n.nspname, c.relowner,
            EXISTS (SELECT FROM pg_class x JOIN pg_namespace m ON m.oid = x.relnamespace
                    WHERE m.nspname = $2 AND x.relname = c.relname AND x.oid <> c.oid)
            OR EXISTS (SELECT FROM pg_type x JOIN pg_namespace m ON m.oid = x.typnamespace
                    WHERE m.nspname = $2 AND x.typname = c.relname AND x.oid <> c.reltype) AS taken
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1
    ), named AS (
        SELECT t.*, CASE WHEN taken THEN dbperf.name_with_oid(t.relname, t.oid) ELSE t.relname END AS new_name FROM t
    )
    SELECT format('ALTER INDEX %I.%I RENAME TO %I', n.nspname, ic.relname, dbperf.name_with_oid(ic.relname, ic.oid))
        FROM t JOIN pg_index i ON i.indrelid = t.oid JOIN pg_class ic ON ic.oid = i.indexrelid JOIN pg_namespace n ON n.oid = ic.relnamespace
        WHERE t.nspname <> $2 AND EXISTS (
            SELECT FROM pg_class x JOIN pg_namespace m ON m.oid = x.relnamespace WHERE m.nspname = $2 AND x.relname = ic.relname)
    UNION ALL
    SELECT format('ALTER TABLE %I.%I RENAME TO %I', nspname, relname, new_name) FROM named WHERE new_name <> relname
    UNION ALL
    SELECT format('ALTER TABLE %I.%I SET SCHEMA %I', nspname, new_name, $2) FROM named WHERE nspname <> $2
    UNION ALL
    SELECT format('REVOKE ALL ON TABLE %I.%I FROM %s CASCADE', $2, new_name, string_agg(DISTINCT g.grantee, ', '))
        FROM named CROSS JOIN LATERAL (
            SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
            FROM (SELECT x.grantee FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) x WHERE c.oid = $1
                  UNION SELECT x.grantee FROM pg_attribute f CROSS JOIN LATERAL aclexplode(f.attacl) x WHERE f.attrelid = $1) a
            WHERE a.grantee <> named.relowner) g
        GROUP BY new_name
$$;
COMMENT ON FUNCTION dbperf.archive_statements(oid, name) IS 'Statements that move a detached table into the archive schema and leave it to its owner alone';

CREATE FUNCTION dbperf.name_with_oid(name name, relation oid)
RETURNS name
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    suffix text := '_' || relation;
    short  text := name::text;
BEGIN
    WHILE octet_length(short) + octet_length(suffix) > 63 LOOP
        short := left(short, -1);
    END LOOP;
    RETURN short || suffix;
END
$$;
COMMENT ON FUNCTION dbperf.name_with_oid(name, oid) IS 'A name with the OID of a relation appended, no longer than names may be';

-- Counts the rows that point to a partition, by foreign keys to its parent: one statement for each
-- foreign key, run as the owner of the table. What is in the recycle bin gives its foreign keys up.
CREATE FUNCTION dbperf.referencing_queries(partition oid, OUT referencing regclass, OUT query text)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.relid, format('SELECT pg_catalog.count(*) FROM %I.%I f WHERE f.tableoid <> ALL ($1) AND EXISTS (SELECT FROM ONLY %I.%I k WHERE %s)',
            fn.nspname, fc.relname, kn.nspname, kc.relname,
            (SELECT string_agg(format('k.%I OPERATOR(%I.%s) f.%I', ka.attname, opn.nspname, op.oprname, fa.attname), ' AND ' ORDER BY u.ord)
             FROM unnest(c.conkey, c.confkey, c.conpfeqop) WITH ORDINALITY u (fkey, kkey, opr, ord)
             JOIN pg_attribute ka ON ka.attrelid = c.confrelid AND ka.attnum = u.kkey
             JOIN pg_attribute fa ON fa.attrelid = c.conrelid AND fa.attnum = u.fkey
             JOIN pg_operator op ON op.oid = u.opr JOIN pg_namespace opn ON opn.oid = op.oprnamespace))
    FROM pg_constraint c
    -- what is on its way out is not read along with its parent any more, but its foreign keys still hold
    CROSS JOIN LATERAL (
        SELECT c.conrelid UNION ALL
        SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = c.conrelid AND i.inhdetachpending) r (relid)
    JOIN pg_class fc ON fc.oid = r.relid JOIN pg_namespace fn ON fn.oid = fc.relnamespace
    JOIN pg_class kc ON kc.oid = c.confrelid JOIN pg_namespace kn ON kn.oid = kc.relnamespace
    WHERE c.confrelid = $1 AND c.contype = 'f'
    AND NOT EXISTS (SELECT FROM dbperf.recycle_bin b WHERE b.partition = c.conrelid AND b.state = 'detached')
    -- once for a partitioned table, not again for each of its partitions
    AND NOT EXISTS (SELECT FROM pg_inherits i JOIN pg_constraint u ON u.conrelid = i.inhparent AND u.confrelid = $1
                    WHERE i.inhrelid = c.conrelid)
$$;
COMMENT ON FUNCTION dbperf.referencing_queries(oid) IS 'Statements that count the rows which point to a partition, leaving out those of the tables in $1';

CREATE FUNCTION dbperf.referencing_rows(partition regclass, except_tables oid[] DEFAULT '{}')
RETURNS bigint
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_referencing_rows';
COMMENT ON FUNCTION dbperf.referencing_rows(regclass, oid[]) IS 'How many rows of other tables point to a partition by foreign keys, and would be orphans without it';

-- Foreign keys by which tables of the recycle bin point to a partition of this parent: they have to go
-- before it can, and are made anew when such a table is attached again.
CREATE FUNCTION dbperf.bin_foreign_keys(partition oid, OUT referencing oid, OUT owner oid, OUT statement text, OUT definition text)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT DISTINCT c.conrelid, fc.relowner, format('ALTER TABLE %I.%I DROP CONSTRAINT %I', n.nspname, fc.relname, u.conname),
        format('CONSTRAINT %I %s', u.conname, pg_get_constraintdef(u.oid))
    FROM pg_constraint c
    JOIN dbperf.recycle_bin b ON b.partition = c.conrelid AND b.state = 'detached'
    JOIN pg_class fc ON fc.oid = c.conrelid JOIN pg_namespace n ON n.oid = fc.relnamespace
    -- the one to the partitioned table, of which this is but a part
    JOIN pg_constraint u ON u.oid = CASE WHEN c.conparentid = 0 THEN c.oid ELSE c.conparentid END
    WHERE c.confrelid = $1 AND c.contype = 'f' AND u.conrelid = c.conrelid
$$;
COMMENT ON FUNCTION dbperf.bin_foreign_keys(oid) IS 'Foreign keys of tables in the recycle bin that point to a partition, and statements that drop them';

CREATE FUNCTION dbperf.cleanup_old_partitions(INOUT parent regclass DEFAULT NULL, OUT partition text, OUT action text, OUT status text, OUT detail text)
RETURNS SETOF record
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_cleanup_old_partitions';
COMMENT ON FUNCTION dbperf.cleanup_old_partitions(regclass) IS 'Detaches and drops what is due, by a background worker, for one managed table or for all that the user owns; a row for each step';

CREATE FUNCTION dbperf.detach_partition(partition regclass)
RETURNS regclass
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_detach_partition';
COMMENT ON FUNCTION dbperf.detach_partition(regclass) IS 'Detaches a partition by a background worker, and puts it into the recycle bin; waits until nobody sees it any more';

CREATE FUNCTION dbperf.drop_partition(partition regclass)
RETURNS boolean
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_drop_partition';
COMMENT ON FUNCTION dbperf.drop_partition(regclass) IS 'Drops a detached partition, if the rules of its policy let it be dropped now';

-- For those who archive by their own means: without it, a policy with require_archive drops nothing.
CREATE FUNCTION dbperf.confirm_archive(partition regclass, archive text, row_count bigint)
RETURNS void
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_confirm_archive';
COMMENT ON FUNCTION dbperf.confirm_archive(regclass, text, bigint) IS 'Says that a detached partition has been archived, and where; the number of rows read back from there must be the table''s';

CREATE FUNCTION dbperf.missing_partitions(parent oid, OUT partition text, OUT sql text)
RETURNS SETOF record
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'dbperf_missing_partitions';
COMMENT ON FUNCTION dbperf.missing_partitions(oid) IS 'Partitions that maintenance would make now, with the statements that do';

CREATE FUNCTION dbperf.step_locks(parent oid, partition oid, action text, concurrent boolean, OUT relation oid, OUT mode text)
RETURNS SETOF record
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_step_locks';
COMMENT ON FUNCTION dbperf.step_locks(oid, oid, text, boolean) IS 'The locks that one step of maintenance takes, in order';

CREATE FUNCTION dbperf.older_processes(parent oid, partition oid)
RETURNS SETOF integer
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'dbperf_older_processes';
COMMENT ON FUNCTION dbperf.older_processes(oid, oid) IS 'Processes whose transactions may still see a partition that is being detached';

CREATE FUNCTION dbperf.table_size(relation oid, OUT estimated_rows bigint, OUT bytes bigint)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN c.relpages > 0 AND c.reltuples >= 0
                THEN round((c.reltuples::float8 / c.relpages) * (f.bytes / current_setting('block_size')::bigint))::bigint
                ELSE pg_stat_get_live_tuples(c.oid) END,
           (SELECT sum((dbperf.relation_files(x.oid)).bytes)::bigint FROM (
                SELECT c.oid UNION ALL SELECT c.reltoastrelid WHERE c.reltoastrelid <> 0
                UNION ALL SELECT i.indexrelid FROM pg_index i WHERE i.indrelid IN (c.oid, nullif(c.reltoastrelid, 0))) x)
    FROM pg_class c CROSS JOIN LATERAL dbperf.relation_files(c.oid) f WHERE c.oid = $1
$$;
COMMENT ON FUNCTION dbperf.table_size(oid) IS 'Estimated rows of a table, and bytes with its indexes and TOAST; takes no lock';

-- The statements of a step as they would be typed. A concurrent detach is done in two transactions that
-- come to the same; see the README.
CREATE FUNCTION dbperf.step_sql(parent oid, partition oid, action text, concurrent boolean)
RETURNS text
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN action = 'drop' THEN format('DROP TABLE %s', dbperf.qualified_name(partition))
    WHEN action IN ('compress', 'recompress') THEN (
        SELECT format('SELECT * FROM dbperf.%s_partition(%L%s)', action, dbperf.qualified_name(partition),
            CASE WHEN p.sort_by IS NULL THEN '' ELSE format(', %L', p.sort_by) END)
        FROM dbperf.policy p WHERE p.parent = step_sql.parent)
    ELSE (SELECT string_agg(s.stmt, '; ') FROM (
        SELECT b.statement FROM dbperf.bin_foreign_keys(partition) b WHERE action = 'detach' AND NOT concurrent
        UNION ALL
        SELECT format('ALTER TABLE %s ADD CONSTRAINT dbperf_bound CHECK (%s)', dbperf.qualified_name(partition),
                pg_get_partition_constraintdef(partition)) WHERE action = 'detach' AND NOT concurrent
        UNION ALL
        SELECT format('ALTER TABLE %s DETACH PARTITION %s%s', dbperf.qualified_name(parent), dbperf.qualified_name(partition),
                CASE WHEN action = 'finalize' THEN ' FINALIZE' WHEN concurrent THEN ' CONCURRENTLY' ELSE '' END)
            WHERE EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = partition AND i.inhparent = parent)
        UNION ALL
        SELECT unnest(a.statements) FROM dbperf.archive_schema_plan(parent) a
            WHERE (action = 'detach' OR EXISTS (SELECT FROM dbperf.recycle_bin r WHERE r.partition = step_sql.partition AND r.state = 'detaching'))
        UNION ALL
        SELECT a FROM dbperf.archive_statements(partition, dbperf.archive_schema(parent)) a
            WHERE action = 'detach' OR EXISTS (SELECT FROM dbperf.recycle_bin r WHERE r.partition = step_sql.partition AND r.state = 'detaching')
        ) AS s (stmt)) END
$$;
COMMENT ON FUNCTION dbperf.step_sql(oid, oid, text, boolean) IS 'The statements that one step of retiring or compressing comes to';

-- Who holds a lock that a step needs, and for how long the transaction has been open. Of processes that
-- the user may not look into, the number is shown.
CREATE FUNCTION dbperf.step_blockers(parent oid, partition oid, action text, concurrent boolean)
RETURNS jsonb
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH conflict (mode, held) AS (VALUES
        ('SHARE UPDATE EXCLUSIVE', ARRAY['ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock']),
        ('SHARE ROW EXCLUSIVE', ARRAY['RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock']),
        ('ACCESS EXCLUSIVE', ARRAY['AccessShareLock', 'RowShareLock', 'RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'])
    ), wanted AS (
        SELECT l.relation, c.mode, c.held FROM dbperf.step_locks(parent, partition, action, concurrent) l JOIN conflict c ON c.mode = l.mode
        UNION ALL
        -- whoever has the parent in use may still see the partition
        SELECT parent, 'ACCESS EXCLUSIVE', c.held FROM conflict c
            WHERE c.mode = 'ACCESS EXCLUSIVE' AND (action = 'finalize' OR (action = 'detach' AND concurrent))
    ), holders AS (
        SELECT DISTINCT ON (l.pid) l.pid, w.relation, l.mode
            FROM pg_locks l JOIN wanted w ON w.relation = l.relation AND l.mode = ANY (w.held)
            WHERE l.locktype = 'relation' AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND l.pid IS DISTINCT FROM pg_backend_pid()
        UNION ALL
        SELECT DISTINCT o, NULL::oid, NULL FROM dbperf.older_processes(parent, partition) o WHERE action = 'finalize'
    )
    SELECT coalesce(jsonb_agg(jsonb_build_object('pid', h.pid, 'application', a.application_name,
            'user', a.usename, 'state', a.state, 'transaction_age_s', round(extract(epoch FROM clock_timestamp() - a.xact_start)::numeric, 3),
            'relation', dbperf.qualified_name(h.relation), 'mode', h.mode) ORDER BY a.xact_start, h.pid), '[]')
    FROM (SELECT DISTINCT ON (pid) * FROM holders ORDER BY pid, relation NULLS LAST) h
    LEFT JOIN pg_stat_activity a ON a.pid = h.pid
$$;
COMMENT ON FUNCTION dbperf.step_blockers(oid, oid, text, boolean) IS 'Sessions that hold what a step of maintenance needs';

CREATE FUNCTION dbperf.create_steps(parents oid[], OUT parent oid, OUT action text, OUT partition text, OUT sql text, OUT reason text)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    FOREACH parent IN ARRAY parents LOOP
        BEGIN
            RETURN QUERY SELECT create_steps.parent, 'create', m.partition, m.sql, NULL::text FROM dbperf.missing_partitions(create_steps.parent) m;
        EXCEPTION WHEN OTHERS THEN
            action := 'plan';
            reason := SQLERRM;
            RETURN NEXT;
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION dbperf.create_steps(oid[]) IS 'Partitions of some tables that maintenance would make now; a step "plan" says why it cannot be told';

CREATE FUNCTION dbperf.plan_maintenance(INOUT parent regclass DEFAULT NULL, OUT step integer, OUT action text, OUT partition text,
    OUT sql text, OUT locks text[], OUT expected_ms numeric, OUT estimated_rows bigint, OUT bytes bigint, OUT blockers jsonb,
    OUT decision text, OUT reason text)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    parents  oid[] := dbperf.parents_to_maintain(parent);
    leaving  oid[] := '{}';
    held     oid[] := '{}'; -- parents of which one partition will be on its way out for longer
    s        record;
    p        dbperf.policy;
    orphans  bigint;
    patience double precision;
    waits    text;
BEGIN
    step := 0;
    FOR s IN
        SELECT 1 AS phase, q.ord, q.parent, q.partition, q.action, q.concurrent, q.decision, q.reason, dbperf.qualified_name(q.partition) AS name, NULL::text AS statement
            FROM dbperf.retire_steps(parents) WITH ORDINALITY q (parent, partition, action, concurrent, decision, reason, ord) WHERE q.action = 'finalize'
        UNION ALL
        SELECT 2, c.ord, c.parent, NULL, c.action, false, CASE WHEN c.reason IS NULL THEN 'go' ELSE 'blocked' END, c.reason, c.partition, c.sql
            FROM dbperf.create_steps(parents) WITH ORDINALITY c (parent, action, partition, sql, reason, ord)
        UNION ALL
        SELECT 3, q.ord, q.parent, q.partition, q.action, q.concurrent, q.decision, q.reason, dbperf.qualified_name(q.partition), NULL
            FROM dbperf.retire_steps(parents) WITH ORDINALITY q (parent, partition, action, concurrent, decision, reason, ord) WHERE q.action <> 'finalize'
        UNION ALL
        SELECT 4, q.ord, q.parent, q.partition, q.action, false, q.decision, q.reason, dbperf.qualified_name(q.partition), NULL
            FROM dbperf.compress_steps(parents, false) WITH ORDINALITY q (parent, partition, action, decision, reason, late_rows, ord)
        ORDER BY 1, 2
    LOOP
        SELECT * INTO p FROM dbperf.policy q WHERE q.parent = s.parent;
        step := step + 1;
        parent := s.parent;
        action := s.action;
        partition := s.name;
        decision := s.decision;
        reason := s.reason;
        IF action = 'plan' THEN
            sql := NULL;
            locks := NULL;
            expected_ms := NULL;
            estimated_rows := NULL;
            bytes := NULL;
            blockers := '[]';
            RETURN NEXT;
            CONTINUE;
        END IF;
        sql := coalesce(s.statement, dbperf.step_sql(s.parent, s.partition, s.action, s.concurrent));
        locks := ARRAY(SELECT l.mode || ' on ' || dbperf.qualified_name(l.relation) FROM dbperf.step_locks(s.parent, s.partition, s.action, s.concurrent) l);
        expected_ms := (SELECT round(avg(e.ms_held), 3) FROM (
            SELECT v.ms_held FROM dbperf.partition_events v
            WHERE v.parent = dbperf.qualified_name(s.parent) AND v.action = CASE s.action WHEN 'finalize' THEN 'detach' ELSE s.action END
            ORDER BY v.at DESC LIMIT 20) e);
        SELECT t.estimated_rows, t.bytes INTO estimated_rows, bytes FROM dbperf.table_size(s.partition) t;
        IF action = 'create' THEN
            estimated_rows := 0;
            bytes := 0;
        END IF;
        blockers := dbperf.step_blockers(s.parent, s.partition, s.action, s.concurrent);

        -- one at a time: the next one follows at once where nobody holds the one before
        IF action = 'detach' AND s.concurrent AND s.parent = ANY (held) AND decision = 'go' THEN
            decision := 'wait';
            reason := 'another partition is being detached';
        ELSIF action = 'detach' AND s.concurrent AND s.parent <> ALL (held) AND reason = 'another partition is being detached' THEN
            decision := 'go';
            reason := NULL;
        END IF;
        IF decision = 'go' AND action = 'detach' AND NOT s.concurrent THEN
            BEGIN
                orphans := dbperf.referencing_rows(s.partition, leaving);
                IF orphans > 0 THEN
                    decision := 'blocked';
                    reason := format('%s rows of other tables point to partition %s', orphans, s.name);
                END IF;
            EXCEPTION WHEN OTHERS THEN
                decision := 'blocked';
                reason := SQLERRM;
            END;
        END IF;
        IF decision = 'go' AND s.phase < 4 THEN
            patience := extract(epoch FROM p.lock_budget) * p.lock_tries;
            waits := (SELECT string_agg(coalesce('process ' || (b ->> 'pid') || coalesce(' (' || (b ->> 'transaction_age_s') || ' s)', ''), 'a prepared transaction'), ', ')
                FROM jsonb_array_elements(blockers) b WHERE coalesce((b ->> 'transaction_age_s')::float8, patience) >= patience);
            IF waits IS NOT NULL AND action = 'detach' AND s.concurrent THEN
                reason := 'its end waits for ' || waits;
            ELSIF waits IS NOT NULL THEN
                decision := 'wait';
                reason := 'in use by ' || waits;
            END IF;
        END IF;
        IF (action = 'finalize' AND decision <> 'go') OR (action = 'detach' AND s.concurrent AND decision = 'go' AND reason IS NOT NULL) THEN
            held := held || s.parent;
        ELSIF action = 'detach' AND decision = 'go' THEN
            leaving := leaving || s.partition;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION dbperf.plan_maintenance(regclass) IS 'Every step that maintenance would take now, in order: statements, locks, expected time under them (milliseconds, from the last such steps; NULL: none yet), who stands in the way, and go, wait or blocked';

CREATE FUNCTION dbperf.parents_to_maintain(parent regclass)
RETURNS oid[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF parent IS NOT NULL AND NOT EXISTS (SELECT FROM dbperf.policy q WHERE q.parent = $1) THEN
        RAISE EXCEPTION 'table "%" has no partition policy', coalesce((SELECT c.relname FROM pg_class c WHERE c.oid = $1), '?')
            USING ERRCODE = 'undefined_object', HINT = 'Use dbperf.manage() to give it one.';
    END IF;
    IF parent IS NOT NULL AND NOT pg_has_role((SELECT c.relowner FROM pg_class c WHERE c.oid = $1), 'USAGE') THEN
        RAISE EXCEPTION 'must be owner of table %', (SELECT c.relname FROM pg_class c WHERE c.oid = $1) USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN ARRAY(
        SELECT q.parent::oid FROM dbperf.policy q JOIN pg_class c ON c.oid = q.parent
        WHERE (q.parent = $1 OR ($1 IS NULL AND q.enabled)) AND pg_has_role(c.relowner, 'USAGE')
        ORDER BY q.run_order, q.parent::oid);
END
$$;
COMMENT ON FUNCTION dbperf.parents_to_maintain(regclass) IS 'The table, or all enabled ones that the user owns, in the order in which they are served';
