--
-- Compressing by policy: what is due, what stands in the way, what has been done
--

CREATE FUNCTION dbperf.late_rows(relation regclass)
RETURNS bigint
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_late_rows';
COMMENT ON FUNCTION dbperf.late_rows(regclass) IS 'Rows of a compressed table that are not in batches, and rows of batches that are deleted or changed; NULL: it is not compressed, or locked';

CREATE FUNCTION dbperf.is_mostly_unsettled(relation oid)
RETURNS boolean
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_is_mostly_unsettled';
COMMENT ON FUNCTION dbperf.is_mostly_unsettled(oid) IS 'Whether many rows of a table, by a sample of its pages, are such that an open transaction may not see them yet: they would not be compressed';

CREATE FUNCTION dbperf.columnar_am()
RETURNS oid
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT a.oid FROM pg_am a WHERE a.amname = 'dbperf_columnar' AND a.amtype = 't' $$;
COMMENT ON FUNCTION dbperf.columnar_am() IS 'The access method of compressed tables';
GRANT EXECUTE ON FUNCTION dbperf.columnar_am() TO pg_monitor;

CREATE FUNCTION dbperf.changes_of(relation oid)
RETURNS bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pg_stat_get_tuples_inserted($1) + pg_stat_get_tuples_updated($1) + pg_stat_get_tuples_deleted($1)
$$;
COMMENT ON FUNCTION dbperf.changes_of(oid) IS 'Rows that were ever inserted, updated and deleted in a table, by the statistics of the server';
GRANT EXECUTE ON FUNCTION dbperf.changes_of(oid) TO pg_monitor;

-- Statistics come at once, but not through a crash; files are written later, but surely: those of the
-- TOAST table, too, where it is noted what was deleted of a batch. Their times are whole seconds.
CREATE FUNCTION dbperf.has_changed(c dbperf.compression)
RETURNS boolean
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.counted_at IS NULL OR c.changes IS DISTINCT FROM dbperf.changes_of(c.partition)
        OR EXISTS (SELECT FROM pg_class r, unnest(ARRAY[r.oid, nullif(r.reltoastrelid, 0)]) x
                   WHERE r.oid = c.partition AND (dbperf.relation_files(x)).last_write + interval '1 second' > c.counted_at)
$$;
COMMENT ON FUNCTION dbperf.has_changed(dbperf.compression) IS 'Whether a compressed table may have been written to since its late rows were counted; takes no lock';

CREATE FUNCTION dbperf.count_late_rows(parents oid[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c   dbperf.compression;
    p   record;
    n   bigint;
    now timestamptz;
BEGIN
    FOR p IN
        SELECT i.inhrelid FROM pg_inherits i JOIN pg_class r ON r.oid = i.inhrelid
        WHERE i.inhparent = ANY (parents) AND r.relam = (SELECT dbperf.columnar_am())
    LOOP
        SELECT * INTO c FROM dbperf.compression q WHERE q.partition = p.inhrelid;
        IF NOT FOUND THEN
            INSERT INTO dbperf.compression (partition) VALUES (p.inhrelid) ON CONFLICT DO NOTHING;
            SELECT * INTO c FROM dbperf.compression q WHERE q.partition = p.inhrelid;
        END IF;
        CONTINUE WHEN NOT FOUND OR NOT dbperf.has_changed(c);
        now := clock_timestamp();
        c.changes := dbperf.changes_of(c.partition);
        n := dbperf.late_rows(c.partition);
        CONTINUE WHEN n IS NULL;
        UPDATE dbperf.compression q SET late_rows = n, counted_at = now, changes = c.changes,
            late_since = CASE WHEN n > q.kept_rows THEN coalesce(q.late_since, dbperf.clock()) END
        WHERE q.partition = c.partition AND q.ctid IN (
            SELECT s.ctid FROM dbperf.compression s WHERE s.partition = c.partition FOR UPDATE SKIP LOCKED);
    END LOOP;
END
$$;
COMMENT ON FUNCTION dbperf.count_late_rows(oid[]) IS 'Counts the late rows of the compressed partitions of some tables, where something has changed';

-- Whose snapshots are the oldest, for who waits for them
CREATE FUNCTION dbperf.oldest_snapshots()
RETURNS text
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(s.who, ', ') FROM (
        SELECT v.who FROM (
            SELECT format('process %s (%s s)', a.pid, round(extract(epoch FROM clock_timestamp() - a.xact_start))) AS who,
                   greatest(age(a.backend_xmin), age(a.backend_xid)) AS age
            FROM pg_stat_get_activity(NULL) a
            WHERE a.pid <> pg_backend_pid() AND num_nonnulls(a.backend_xmin, a.backend_xid) > 0
            AND coalesce(a.xact_start < clock_timestamp() - interval '5 seconds', true)
            AND (a.datid IS NULL OR a.datid = 0 OR a.datid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
            UNION ALL
            SELECT format('prepared transaction %L', x.gid), age(x.transaction) FROM pg_prepared_xacts x WHERE x.database = current_database()
            UNION ALL
            SELECT format('replication slot %s', quote_ident(s.slot_name)), age(s.xmin) FROM pg_get_replication_slots() s WHERE s.xmin IS NOT NULL
        ) v ORDER BY v.age DESC LIMIT 3) s
$$;
COMMENT ON FUNCTION dbperf.oldest_snapshots() IS 'The three transactions and replication slots that look furthest back, but for those that have just begun; NULL: there are none';

-- Whether a partition can be rewritten now. A transaction that has had it in use for a minute will
-- not let go of it in the moment in which the new table takes the place of the old one; and rows that
-- some snapshot may not see would stay as they are.
CREATE FUNCTION dbperf.rewrite_obstacle(partition oid)
RETURNS text
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN u.holders IS NOT NULL THEN 'in use by ' || u.holders
        -- those of a moment are waited for
        WHEN dbperf.is_mostly_unsettled($1) AND dbperf.oldest_snapshots() IS NOT NULL THEN 'older transactions may not see its rows yet: ' || dbperf.oldest_snapshots()
        END
    FROM (
        SELECT string_agg(DISTINCT CASE WHEN l.pid IS NULL THEN 'a prepared transaction'
                ELSE format('process %s (%s s)', l.pid, round(extract(epoch FROM clock_timestamp() - a.xact_start))) END, ', ') AS holders
        FROM pg_locks l LEFT JOIN pg_stat_get_activity(l.pid) a ON l.pid IS NOT NULL
        WHERE l.locktype = 'relation' AND l.granted AND l.relation = $1 AND l.pid IS DISTINCT FROM pg_backend_pid()
        AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
        AND (l.pid IS NULL OR a.xact_start < clock_timestamp() - interval '1 minute')) u
$$;
COMMENT ON FUNCTION dbperf.rewrite_obstacle(oid) IS 'Whom compressing a table would have to wait for; NULL: nobody';

CREATE FUNCTION dbperf.is_recompress_due(c dbperf.compression, p dbperf.policy, late_rows bigint)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT late_rows > coalesce(c.kept_rows, 0)
        AND (late_rows - coalesce(c.kept_rows, 0) >= p.recompress_rows
             OR coalesce(dbperf.due_at(coalesce(c.late_since, dbperf.clock()), p.recompress_after, p.time_zone) <= dbperf.clock(), false))
$$;
COMMENT ON FUNCTION dbperf.is_recompress_due(dbperf.compression, dbperf.policy, bigint) IS 'Whether so many late rows of a partition are due to be merged';

-- What is to be compressed now, in order, and where late rows are to be merged. Quick: by the catalogs
-- and what has been counted; a step "count" is one of which more cannot be told that way.
CREATE FUNCTION dbperf.parent_compress_steps(parent oid, quick boolean, OUT partition oid, OUT action text, OUT decision text, OUT reason text, OUT late_rows bigint)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
SET DateStyle = 'ISO, YMD'
AS $$
#variable_conflict use_column
DECLARE
    p       dbperf.policy;
    c       dbperf.compression;
    due     record;
    now_key bigint;
    missing text;
    quiet   text;
BEGIN
    SELECT q.* INTO p FROM dbperf.policy q WHERE q.parent = $1;
    IF NOT FOUND OR num_nonnulls(p.compress_after, p.compress_step) = 0 AND NOT EXISTS (
        SELECT FROM pg_inherits i JOIN pg_class r ON r.oid = i.inhrelid WHERE i.inhparent = $1 AND r.relam = (SELECT dbperf.columnar_am()))
    THEN
        RETURN;
    END IF;
    IF p.compress_step IS NOT NULL THEN
        now_key := dbperf.current_key(p.parent);
    END IF;
    quiet := CASE WHEN coalesce(current_setting('dbperf.archive_workers', true)::integer, 1) = 0 THEN 'dbperf.archive_workers is 0' END;
    -- a time zone that is not known any more is told of elsewhere
    IF p.quiet_hours IS NOT NULL AND quiet IS NULL THEN
        quiet := CASE WHEN dbperf.in_quiet_hours(p.quiet_hours, p.time_zone) THEN format('quiet hours (%s)', p.quiet_hours) END;
    END IF;
    missing := (SELECT format('column "%s" of sort_by is not there any more', s) FROM unnest(p.sort_by) s
                WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = p.parent AND a.attname = s AND a.attnum > 0 AND NOT a.attisdropped) LIMIT 1);

    FOR due IN
        SELECT a.partition AS relid, r.relkind, r.relowner, m.amname, r.relam = (SELECT dbperf.columnar_am()) AS is_columnar, b.hold_until,
            a.upper_at, a.upper_key
        FROM dbperf.partition_ages(p.parent) WITH ORDINALITY a
        JOIN pg_class r ON r.oid = a.partition
        LEFT JOIN pg_am m ON m.oid = r.relam
        LEFT JOIN dbperf.recycle_bin b ON b.partition = a.partition AND b.state = 'attached'
        -- a foreign table is stored elsewhere
        WHERE r.relkind <> 'f' AND a.state <> 'detach pending'
        AND CASE WHEN r.relam = (SELECT dbperf.columnar_am()) THEN true
            WHEN a.state <> 'past' THEN false
            WHEN a.upper_at IS NOT NULL THEN dbperf.due_at(a.upper_at, p.compress_after, p.time_zone) <= dbperf.clock()
            ELSE a.upper_key::numeric + p.compress_step <= now_key END
        ORDER BY 5, a.ordinality
    LOOP
        -- what is about to leave may as well leave as it is
        CONTINUE WHEN dbperf.is_past_retiring(p.parent, due.upper_at, due.upper_key);
        SELECT q.* INTO c FROM dbperf.compression q WHERE q.partition = due.relid;
        partition := due.relid;
        action := CASE WHEN due.is_columnar THEN 'recompress' ELSE 'compress' END;
        late_rows := coalesce(c.late_rows, 0);
        IF due.is_columnar AND NOT dbperf.is_recompress_due(c, p, late_rows) THEN
            CONTINUE WHEN c.partition IS NOT NULL AND NOT dbperf.has_changed(c);
            IF quick THEN
                action := 'count';
            ELSE
                late_rows := coalesce(dbperf.late_rows(due.relid), late_rows);
                CONTINUE WHEN NOT dbperf.is_recompress_due(c, p, late_rows);
            END IF;
        END IF;
        decision := 'blocked';
        reason := CASE
            WHEN due.relkind = 'p' THEN 'it has partitions of its own'
            WHEN due.relowner <> (SELECT r.relowner FROM pg_class r WHERE r.oid = p.parent) THEN 'it belongs to another role than the table that it is a partition of'
            WHEN NOT due.is_columnar AND due.amname <> 'heap' THEN format('its access method is "%s"', due.amname)
            ELSE missing END;
        IF reason IS NULL AND action <> 'count' THEN
            decision := 'wait';
            reason := CASE
                WHEN due.hold_until > dbperf.clock() THEN format('it was attached again, and is left alone until %s', due.hold_until)
                WHEN c.hold_until > dbperf.clock() THEN format('it was decompressed by hand, and is left alone until %s', c.hold_until)
                WHEN quiet IS NOT NULL THEN quiet
                WHEN NOT quick THEN dbperf.rewrite_obstacle(due.relid) END;
        END IF;
        IF reason IS NULL THEN
            decision := 'go';
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION dbperf.parent_compress_steps(oid, boolean) IS 'What is to be compressed and recompressed now of one table, in order, with what stands in the way';

-- One table with a problem is none for the others.
CREATE FUNCTION dbperf.compress_steps(parents oid[], quick boolean, OUT parent oid, OUT partition oid, OUT action text,
    OUT decision text, OUT reason text, OUT late_rows bigint)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    FOR parent IN
        SELECT q.parent FROM dbperf.policy q WHERE q.parent = ANY (parents) ORDER BY q.run_order, q.parent::oid
    LOOP
        BEGIN
            RETURN QUERY SELECT compress_steps.parent, t.* FROM dbperf.parent_compress_steps(compress_steps.parent, quick) t;
        EXCEPTION WHEN OTHERS THEN
            partition := NULL;
            action := 'plan';
            decision := 'blocked';
            reason := SQLERRM;
            late_rows := NULL;
            RETURN NEXT;
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION dbperf.compress_steps(oid[], boolean) IS 'The steps of some tables, in the order in which they are served; a step "plan" says why there is none to be told';

-- When there is something to compress next. Nobody says when late rows come: where there are compressed
-- partitions, they are looked for every hour.
CREATE FUNCTION dbperf.compress_next_due(parents oid[])
RETURNS timestamptz
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT min(at) FROM (
        SELECT CASE WHEN r.relam <> (SELECT dbperf.columnar_am()) THEN greatest(dbperf.due_at(a.upper_at, p.compress_after, p.time_zone), c.hold_until)
               ELSE least(dbperf.due_at(c.late_since, p.recompress_after, p.time_zone), dbperf.clock() + interval '1 hour') END AS at
            FROM dbperf.policy p CROSS JOIN LATERAL dbperf.partition_ages(p.parent) a
            JOIN pg_class r ON r.oid = a.partition
            LEFT JOIN dbperf.compression c ON c.partition = a.partition
            WHERE p.parent = ANY (parents) AND a.state <> 'detach pending' AND r.relkind = 'r'
            AND (r.relam = (SELECT dbperf.columnar_am()) OR a.upper_at < '10000-01-01' AND p.compress_after IS NOT NULL)
        ) d
    WHERE at > dbperf.clock()
$$;
COMMENT ON FUNCTION dbperf.compress_next_due(oid[]) IS 'When the next partition is to be compressed or recompressed';

-- What has been done to a table, in the same transaction. Raw bytes stay in proportion to the rows.
CREATE FUNCTION dbperf.note_rewrite(partition oid, action text, rows bigint, late_rows bigint, bytes_before bigint, bytes_after bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    held interval := (SELECT coalesce(p.compress_after, CASE WHEN p.compress_step IS NOT NULL THEN interval '7 days' END)
                      FROM pg_inherits i JOIN dbperf.policy p ON p.parent = i.inhparent WHERE i.inhrelid = $1);
    c    dbperf.compression;
BEGIN
    IF action = 'decompress' THEN
        DELETE FROM dbperf.compression q WHERE q.partition = $1;
        IF held IS NOT NULL THEN
            INSERT INTO dbperf.compression (partition, hold_until) VALUES ($1, dbperf.clock() + held);
        END IF;
        RETURN;
    END IF;
    INSERT INTO dbperf.compression AS q (partition) VALUES ($1) ON CONFLICT (partition) DO UPDATE SET partition = excluded.partition
        RETURNING q.* INTO c;
    UPDATE dbperf.compression q SET
        compressed_at = CASE WHEN action = 'compress' THEN dbperf.clock() ELSE q.compressed_at END,
        recompressed_at = CASE WHEN action = 'recompress' THEN dbperf.clock() END,
        rows = $3 + $4,
        raw_bytes = CASE WHEN action = 'compress' THEN $5
                         WHEN c.rows > 0 THEN round(c.raw_bytes::numeric * ($3 + $4) / c.rows) ELSE c.raw_bytes END,
        compressed_bytes = $6,
        late_rows = $4,
        -- rows that stayed once because of somebody's snapshot are merged the next time; others will stay again
        kept_rows = CASE WHEN action = 'recompress' AND $4 >= c.late_rows THEN $4 ELSE 0 END,
        late_since = CASE WHEN $4 > 0 AND NOT (action = 'recompress' AND $4 >= c.late_rows) THEN dbperf.clock() END,
        counted_at = clock_timestamp(),
        changes = dbperf.changes_of($1),
        hold_until = NULL
    WHERE q.partition = $1;
END
$$;
COMMENT ON FUNCTION dbperf.note_rewrite(oid, text, bigint, bigint, bigint, bigint) IS 'Notes that a table was compressed, recompressed or decompressed';

-- For the views: late rows as counted, and what the statistics say has come since.
CREATE FUNCTION dbperf.late_rows_now(c dbperf.compression)
RETURNS bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT c.late_rows + greatest(dbperf.changes_of(c.partition) - c.changes, 0) $$;
COMMENT ON FUNCTION dbperf.late_rows_now(dbperf.compression) IS 'About how many late rows a compressed table has; takes no lock';
GRANT EXECUTE ON FUNCTION dbperf.late_rows_now(dbperf.compression) TO pg_monitor;

CREATE FUNCTION dbperf.recompress_at(c dbperf.compression, p dbperf.policy)
RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN c.late_rows - c.kept_rows >= p.recompress_rows THEN c.counted_at
        ELSE dbperf.due_at(c.late_since, p.recompress_after, p.time_zone) END
$$;
COMMENT ON FUNCTION dbperf.recompress_at(dbperf.compression, dbperf.policy) IS 'When the late rows of a partition are due to be merged; NULL: there are none, or it waits for more';
GRANT EXECUTE ON FUNCTION dbperf.recompress_at(dbperf.compression, dbperf.policy) TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbperf.due_at(timestamptz, interval, text) TO pg_monitor;
