--
-- Indexes of a table: what they cost, which of them nobody needs, and which are missing; and what
-- single prices cost in numeric(12,4) and in double precision
--

CREATE TABLE dbperf.index_snapshots (
    relation      text        NOT NULL,
    label         text        NOT NULL,
    index         text        NOT NULL,
    definition    text,
    kinds         text[]      NOT NULL,
    bytes         bigint,
    scans         bigint,
    rows_written  bigint,
    taken_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (relation, label, index)
);
COMMENT ON TABLE dbperf.index_snapshots IS 'What index_report_save() kept of the indexes of a table, to compare with them later';
COMMENT ON COLUMN dbperf.index_snapshots.relation IS 'the table by its name: a migration may put another one in its place';
COMMENT ON COLUMN dbperf.index_snapshots.index IS 'empty: the table itself, without its indexes';
COMMENT ON COLUMN dbperf.index_snapshots.kinds IS 'what index_report() said of it';

SELECT pg_catalog.pg_extension_config_dump('dbperf.index_snapshots', '');

GRANT EXECUTE ON FUNCTION dbperf.qualified_name(oid) TO pg_monitor;

-- The relations with rows of a table: its partitions, down to the last, or itself. No lock is taken.
CREATE FUNCTION dbperf.leaf_tables("table" oid)
RETURNS TABLE (leaf oid, bytes bigint, pages bigint, rows_written bigint, seq_scans bigint, seq_rows bigint, idx_scans bigint, live_rows bigint)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE tree AS (
        SELECT "table" AS oid
        UNION ALL
        SELECT i.inhrelid FROM pg_inherits i JOIN tree t ON t.oid = i.inhparent JOIN pg_class p ON p.oid = i.inhparent AND p.relkind = 'p'
    )
    SELECT c.oid, f.bytes, f.bytes / current_setting('block_size')::bigint,
           pg_stat_get_tuples_inserted(c.oid) + pg_stat_get_tuples_updated(c.oid) - pg_stat_get_tuples_hot_updated(c.oid),
           pg_stat_get_numscans(c.oid), pg_stat_get_tuples_returned(c.oid),
           (SELECT coalesce(sum(pg_stat_get_numscans(x.indexrelid)), 0)::bigint FROM pg_index x WHERE x.indrelid = c.oid),
           greatest(pg_stat_get_live_tuples(c.oid), c.reltuples::bigint)
    FROM tree t JOIN pg_class c ON c.oid = t.oid CROSS JOIN LATERAL dbperf.relation_files(c.oid) f
    WHERE c.relkind IN ('r', 'm', 't')
$$;
COMMENT ON FUNCTION dbperf.leaf_tables(oid) IS 'The partitions of a table that have rows, or the table itself, with what the statistics views say of them';
GRANT EXECUTE ON FUNCTION dbperf.leaf_tables(oid) TO pg_monitor;

-- How many bytes the entries of a btree would take if its leaves were filled as its fillfactor says:
-- tuple header 8, line pointer 4, page header and special space 40, widths from the statistics, keys
-- aligned to 8. One level of 1 in 200 on top for the inner pages. Equal keys share an entry since
-- PostgreSQL 13, so that a real index may well be smaller. NULL: no btree, or a width is not known.
CREATE FUNCTION dbperf.btree_bytes_expected(index oid)
RETURNS bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN count(*) = count(w.width) AND min(c.reltuples) >= 0 THEN
        (b.block_size * (2 + ceil(min(c.reltuples) * (12 + 8 * ceil(sum(w.width) / 8.0)) / ((b.block_size - 40) * coalesce(max(o.fillfactor), 90) / 100.0) * 1.005)))::bigint END
    FROM pg_index x
    JOIN pg_class c ON c.oid = x.indexrelid
    JOIN pg_am a ON a.oid = c.relam AND a.amname = 'btree'
    JOIN pg_class r ON r.oid = x.indrelid
    JOIN pg_namespace n ON n.oid = r.relnamespace
    CROSS JOIN (SELECT current_setting('block_size')::bigint) b (block_size)
    CROSS JOIN LATERAL (SELECT max(option_value)::integer FROM pg_options_to_table(c.reloptions) WHERE option_name = 'fillfactor') o (fillfactor)
    JOIN pg_attribute ia ON ia.attrelid = x.indexrelid AND ia.attnum > 0
    LEFT JOIN pg_attribute ta ON ta.attrelid = x.indrelid AND ta.attnum = x.indkey[ia.attnum - 1] AND ta.attnum > 0
    CROSS JOIN LATERAL (SELECT CASE WHEN ia.attlen > 0 THEN ia.attlen ELSE (
        SELECT s.avg_width FROM pg_stats s WHERE s.schemaname = n.nspname AND NOT s.inherited
        AND s.tablename = CASE WHEN ta.attname IS NULL THEN c.relname ELSE r.relname END AND s.attname = coalesce(ta.attname, ia.attname)) END) w (width)
    WHERE x.indexrelid = index
    GROUP BY b.block_size
$$;
COMMENT ON FUNCTION dbperf.btree_bytes_expected(oid) IS 'Bytes that a btree would have if it had just been built, as far as the statistics tell; an estimate';
GRANT EXECUTE ON FUNCTION dbperf.btree_bytes_expected(oid) TO pg_monitor;

-- The indexes of a table: those of its own, with all that they have on partitions, and those that
-- partitions have besides, alike ones together. "tail" is the definition without names; "needed" is
-- what backs a constraint, a foreign key to the table, or a replica identity, be it on one partition.
CREATE FUNCTION dbperf.table_indexes("table" oid)
RETURNS TABLE (index oid, own boolean, members bigint, tail text, bytes bigint, scans bigint, expected_bytes bigint, judged_bytes bigint, valid boolean, needed boolean)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE tree AS (
        SELECT "table" AS relation
        UNION ALL
        SELECT i.inhrelid FROM pg_inherits i JOIN tree t ON t.relation = i.inhparent JOIN pg_class p ON p.oid = i.inhparent AND p.relkind = 'p'
    ), heads AS (
        -- an index that belongs to none of a table higher up
        SELECT x.indexrelid AS head, x.indexrelid AS member
        FROM tree t JOIN pg_index x ON x.indrelid = t.relation
        WHERE t.relation = "table" OR NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = x.indexrelid)
    ), members AS (
        SELECT * FROM heads
        UNION ALL
        SELECT m.head, i.inhrelid FROM members m JOIN pg_inherits i ON i.inhparent = m.member
    ), sized AS (
        SELECT m.head, coalesce(sum(f.bytes), 0)::bigint AS bytes, sum(pg_stat_get_numscans(m.member))::bigint AS scans, bool_and(x.indisvalid) AS valid,
               sum(e.expected)::bigint AS expected, sum(f.bytes) FILTER (WHERE e.expected IS NOT NULL)::bigint AS judged,
               bool_or(x.indisreplident OR x.indisexclusion OR m.member IN (SELECT o.conindid FROM pg_constraint o)) AS needed
        FROM members m JOIN pg_index x ON x.indexrelid = m.member CROSS JOIN LATERAL dbperf.relation_files(m.member) f
        CROSS JOIN LATERAL (SELECT CASE WHEN f.bytes >= 1048576 THEN dbperf.btree_bytes_expected(m.member) END) e (expected)
        GROUP BY m.head
    ), named AS (
        SELECT s.*, x.indrelid = "table" AS own,
               substr(pg_get_indexdef(s.head), 1 + length(format('CREATE %sINDEX %I ON %s%s USING ', CASE WHEN x.indisunique THEN 'UNIQUE ' END, c.relname,
                   CASE WHEN c.relkind = 'I' THEN 'ONLY ' END, dbperf.qualified_name(x.indrelid)))) AS tail
        FROM sized s JOIN pg_index x ON x.indexrelid = s.head JOIN pg_class c ON c.oid = s.head
    )
    SELECT (array_agg(n.head ORDER BY n.bytes DESC, n.head))[1], n.own, count(*), n.tail, sum(n.bytes)::bigint, sum(n.scans)::bigint,
           sum(n.expected)::bigint, sum(n.judged)::bigint, bool_and(n.valid), n.needed
    FROM named n JOIN pg_index x ON x.indexrelid = n.head
    GROUP BY n.own, n.tail, n.needed, x.indisunique, CASE WHEN n.own THEN n.head END
$$;
COMMENT ON FUNCTION dbperf.table_indexes(oid) IS 'What index_report() judges: one row for each index of a table, and for each kind of index that only partitions have';
GRANT EXECUTE ON FUNCTION dbperf.table_indexes(oid) TO pg_monitor;

-- Indexes that another one makes superfluous: a btree whose keys another btree begins with, in the same
-- or in the opposite direction, over the same rows, having its INCLUDE columns as well. An index that
-- enforces something only gives way to one that enforces the same, at once. Of two alike, the younger one.
CREATE FUNCTION dbperf.redundant_indexes("table" oid)
RETURNS TABLE (index oid, instead oid)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH described AS (
        SELECT t.index, t.own, c.relam, a.amname = 'btree' AS ordered, x.indisunique, x.indimmediate, x.indnullsnotdistinct, x.indnkeyatts AS n, t.needed,
               ARRAY(SELECT format('%s %s %s %s', pg_get_indexdef(t.index, k, false), x.indclass[k - 1], x.indcollation[k - 1], i.attoptions)
                     FROM generate_series(1, x.indnkeyatts) k JOIN pg_attribute i ON i.attrelid = t.index AND i.attnum = k ORDER BY k) AS keys,
               -- those of a btree only say how it is kept, those of BRIN also what it can do
               CASE WHEN a.amname <> 'btree' THEN c.reloptions END AS options,
               ARRAY(SELECT x.indoption[k - 1]::integer FROM generate_series(1, x.indnkeyatts) k ORDER BY k) AS directions,
               ARRAY(SELECT pg_get_indexdef(t.index, k, false) FROM generate_series(1, x.indnkeyatts) k) AS columns,
               ARRAY(SELECT pg_get_indexdef(t.index, k, false) FROM generate_series(x.indnkeyatts + 1, x.indnatts) k) AS included,
               coalesce(pg_get_expr(x.indpred, x.indrelid), '') AS predicate
        FROM dbperf.table_indexes("table") t JOIN pg_index x ON x.indexrelid = t.index JOIN pg_class c ON c.oid = t.index JOIN pg_am a ON a.oid = c.relam
        WHERE t.valid
    ), pairs AS (
        SELECT a.index, b.index AS instead, b.n
        FROM described a JOIN described b ON b.index <> a.index AND b.own AND b.relam = a.relam AND b.predicate = a.predicate
        WHERE NOT a.needed
        AND CASE WHEN a.indisunique THEN b.indisunique AND b.indimmediate AND b.n = a.n AND b.indnullsnotdistinct = a.indnullsnotdistinct ELSE b.n = a.n OR a.ordered AND b.n > a.n END
        AND b.keys[1:a.n] = a.keys AND b.options IS NOT DISTINCT FROM a.options
        AND (b.directions[1:a.n] = a.directions OR a.ordered AND b.directions[1:a.n] = ARRAY(SELECT d # 3 FROM unnest(a.directions) WITH ORDINALITY u (d, o) ORDER BY o))
        AND a.included <@ (b.columns || b.included)
    ), superfluous AS (
        SELECT * FROM pairs p
        WHERE p.index > p.instead OR NOT EXISTS (SELECT FROM pairs r WHERE r.index = p.instead AND r.instead = p.index)
    )
    SELECT DISTINCT ON (s.index) s.index, s.instead
    FROM superfluous s
    WHERE s.instead NOT IN (SELECT o.index FROM superfluous o)
    ORDER BY s.index, s.n, s.instead
$$;
COMMENT ON FUNCTION dbperf.redundant_indexes(oid) IS 'Indexes of a table that another one makes superfluous, each with one that is to stay';
GRANT EXECUTE ON FUNCTION dbperf.redundant_indexes(oid) TO pg_monitor;

-- Foreign keys of a table, and to it, whose columns no index leads with.
CREATE FUNCTION dbperf.foreign_keys_without_index("table" oid)
RETURNS TABLE (constraint_name name, relation oid, referenced oid, columns text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT o.conname, o.conrelid, o.confrelid,
           (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.n) FROM unnest(o.conkey) WITH ORDINALITY k (attnum, n)
            JOIN pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = k.attnum)
    FROM pg_constraint o
    WHERE o.contype = 'f' AND o.conparentid = 0 AND "table" IN (o.conrelid, o.confrelid)
    AND NOT EXISTS (
        SELECT FROM pg_index x
        WHERE x.indrelid = o.conrelid AND x.indisvalid AND x.indnkeyatts >= cardinality(o.conkey)
        AND (x.indkey::int2[])[0:cardinality(o.conkey) - 1] @> o.conkey
        -- rows without a reference are never looked for
        AND (x.indpred IS NULL OR pg_get_expr(x.indpred, x.indrelid) = (
            SELECT format('(%I IS NOT NULL)', a.attname) FROM pg_attribute a WHERE a.attrelid = o.conrelid AND a.attnum = ALL (o.conkey))))
    ORDER BY o.conname, o.conrelid
$$;
COMMENT ON FUNCTION dbperf.foreign_keys_without_index(oid) IS 'Foreign keys from and to a table that make the removal of a referenced row read the whole referencing table';
GRANT EXECUTE ON FUNCTION dbperf.foreign_keys_without_index(oid) TO pg_monitor;

CREATE FUNCTION dbperf.check_report_table("table" regclass)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF "table" IS NULL THEN
        RAISE EXCEPTION 'table must not be null' USING ERRCODE = 'null_value_not_allowed';
    ELSIF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = "table" AND c.relkind IN ('r', 'p', 'm')) THEN
        RAISE EXCEPTION '% is not a table', coalesce(dbperf.qualified_name("table"), "table"::text)
            USING ERRCODE = 'wrong_object_type', HINT = 'Name a table, a partitioned table or a materialized view.';
    END IF;
END
$$;
COMMENT ON FUNCTION dbperf.check_report_table(regclass) IS 'An error unless it is something that has indexes';
GRANT EXECUTE ON FUNCTION dbperf.check_report_table(regclass) TO pg_monitor;

-- Everything is what the catalogs and the statistics views say: no table is read or locked. The planner
-- cannot know how few indexes there are, and compiling would take longest. Errors:
-- null_value_not_allowed, wrong_object_type.
CREATE FUNCTION dbperf.index_report("table" regclass)
RETURNS TABLE (index regclass, table_name regclass, kind text, definition text, bytes bigint, scans bigint, rows_written bigint,
    write_share double precision, detail text, suggestion text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    since      text := coalesce((SELECT 'the statistics were reset at ' || date_trunc('second', d.stats_reset) FROM pg_stat_database d
                                 WHERE d.datname = current_database() AND d.stats_reset IS NOT NULL), 'statistics have been kept');
    written    bigint;
    heap_bytes numeric;
    many_pages constant integer := 1000;
    many_scans constant integer := 10;
    name       text;
BEGIN
    PERFORM dbperf.check_report_table("table");
    name := dbperf.qualified_name("table");
    SELECT sum(l.rows_written), sum(l.bytes) INTO written, heap_bytes FROM dbperf.leaf_tables("table") l;

    RETURN QUERY
    WITH listed AS MATERIALIZED (
        SELECT t.*, r.instead FROM dbperf.table_indexes("table") t LEFT JOIN dbperf.redundant_indexes("table") r ON r.index = t.index
    ), judged AS (
        SELECT t.*, x.indrelid, x.indisvalid, c.relkind, dbperf.qualified_name(t.index) AS iname,
               -- what belongs to an index of a table higher up cannot go alone
               coalesce((SELECT format('see index %s, of which it is a part', dbperf.qualified_name(i.inhparent)) FROM pg_inherits i WHERE i.inhrelid = t.index),
                        format('DROP INDEX %s%s', CASE c.relkind WHEN 'i' THEN 'CONCURRENTLY ' END, dbperf.qualified_name(t.index))) AS removal,
               x.indisunique OR t.needed AS enforces,
               -- of two, the planner may only ever take the one that is to go
               EXISTS (SELECT FROM listed o WHERE o.instead = t.index AND o.scans > 0) AS stands_in,
               NOT x.indisvalid AND EXISTS (SELECT FROM pg_stat_progress_create_index b WHERE b.index_relid = t.index) AS in_making,
               t.judged_bytes >= 2 * t.expected_bytes AS is_bloated,
               (SELECT string_agg(quote_ident(o.conname), ', ' ORDER BY o.conname) FROM pg_constraint o
                WHERE o.contype = 'f' AND o.conrelid = x.indrelid AND x.indnkeyatts >= cardinality(o.conkey)
                AND (x.indkey::int2[])[0:cardinality(o.conkey) - 1] @> o.conkey
                -- that of a table higher up counts, but not what a key to a partitioned table has for its partitions
                AND NOT EXISTS (SELECT FROM pg_constraint u WHERE u.oid = o.conparentid AND u.conrelid = o.conrelid)) AS serves,
               CASE WHEN t.own THEN '' ELSE format(' (one of %s alike, on partitions only)', t.members) END AS which
        FROM listed t JOIN pg_index x ON x.indexrelid = t.index JOIN pg_class c ON c.oid = t.index
    ), found AS (
        SELECT j.*, f.* FROM judged j CROSS JOIN LATERAL (
            SELECT 1 AS n, 'redundant' AS kind, format('index %s can do all that it does', dbperf.qualified_name(j.instead)) AS detail, j.removal AS suggestion
            WHERE j.instead IS NOT NULL
            UNION ALL
            SELECT 2, 'unused', CASE WHEN NOT j.indisvalid THEN 'it is not valid: queries do not use it, but every row is written into it'
                   ELSE format('no query has used it since %s', since) || coalesce(', but it serves foreign key ' || j.serves, '') END,
                   CASE WHEN NOT j.indisvalid THEN format('REINDEX INDEX CONCURRENTLY %s, or ', j.iname)
                        WHEN j.serves IS NOT NULL THEN 'keep it if rows that it refers to are ever deleted, or else ' ELSE '' END || j.removal
            WHERE CASE WHEN j.indisvalid THEN NOT j.enforces AND j.scans = 0 AND NOT j.stands_in ELSE j.relkind = 'i' AND NOT j.needed AND NOT j.in_making END
            UNION ALL
            SELECT 3, 'bloated', format('about %s of %s are empty, by an estimate', pg_size_pretty(j.judged_bytes - j.expected_bytes), pg_size_pretty(j.bytes)),
                   format('REINDEX INDEX CONCURRENTLY %s', j.iname)
            WHERE j.is_bloated
            UNION ALL
            SELECT 4, 'missing', 'there are partitions that lack it, or on which it is not valid',
                   format('make it on them with CREATE INDEX CONCURRENTLY, then ALTER INDEX %s ATTACH PARTITION …', j.iname)
            WHERE NOT j.valid AND j.relkind = 'I') f
        UNION ALL
        SELECT j.*, 5, 'ok', CASE WHEN j.in_making THEN 'it is being built' WHEN NOT j.enforces AND j.scans = 0 THEN 'no query has used it, but one that is redundant beside it' END, NULL
        FROM judged j
        WHERE j.in_making OR j.instead IS NULL AND j.valid AND (j.enforces OR j.scans > 0 OR j.stands_in) AND NOT coalesce(j.is_bloated, false)
    )
    SELECT f.index::regclass, f.indrelid::regclass, f.kind, pg_get_indexdef(f.index), f.bytes, f.scans, written,
           f.bytes / nullif(heap_bytes + (SELECT sum(t.bytes) FROM listed t), 0)::double precision, nullif(ltrim(concat(f.detail, f.which)), ''), f.suggestion
    FROM found f ORDER BY f.n, f.bytes DESC, f.iname COLLATE "C";

    RETURN QUERY
    SELECT NULL::regclass, k.relation::regclass, 'missing', NULL, NULL::bigint, NULL::bigint, NULL::bigint, NULL::double precision,
           format('foreign key %I: a DELETE or an UPDATE of keys in %s reads all of %s', k.constraint_name, dbperf.qualified_name(k.referenced), dbperf.qualified_name(k.relation)),
           format('CREATE INDEX ON %s (%s)', dbperf.qualified_name(k.relation), k.columns)
    FROM dbperf.foreign_keys_without_index("table") k;

    RETURN QUERY
    SELECT NULL::regclass, "table", 'missing', NULL, NULL::bigint, sum(l.seq_scans)::bigint, NULL::bigint, NULL::double precision,
           format('%s large table(s) were read from end to end %s times, %s rows in all; most of it was %s', count(*), sum(l.seq_scans), sum(l.seq_rows),
                  dbperf.qualified_name((array_agg(l.leaf ORDER BY l.seq_rows DESC, l.leaf))[1])),
           'find the queries in dbperf.slow_queries or pg_stat_statements, and index what they ask for'
    FROM dbperf.leaf_tables("table") l
    WHERE l.pages >= many_pages AND l.seq_scans >= many_scans AND l.seq_scans > l.idx_scans AND l.live_rows > 0 AND l.seq_rows >= l.seq_scans * l.live_rows / 2
    HAVING count(*) > 0;
END
$$;
COMMENT ON FUNCTION dbperf.index_report(regclass) IS 'The indexes of a table, summed over its partitions: size, scans, their part in what is written, and whether they are redundant, unused, bloated (an estimate) or missing; one row for each finding';
GRANT EXECUTE ON FUNCTION dbperf.index_report(regclass) TO pg_monitor;

--
-- Before and after a migration
--

-- The state of now in the form of index_snapshots, with the table itself.
CREATE FUNCTION dbperf.index_state("table" regclass)
RETURNS TABLE (index text, definition text, kinds text[], bytes bigint, scans bigint, rows_written bigint)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN c.relnamespace = t.relnamespace THEN c.relname ELSE dbperf.qualified_name(c.oid) END, min(r.definition), array_agg(r.kind ORDER BY r.kind), min(r.bytes), min(r.scans), min(r.rows_written)
    FROM dbperf.index_report("table") r JOIN pg_class c ON c.oid = r.index JOIN pg_class t ON t.oid = "table"
    GROUP BY c.oid, c.relname, c.relnamespace, t.relnamespace
    UNION ALL
    SELECT '', NULL, ARRAY(SELECT 'missing' FROM dbperf.index_report("table") r WHERE r.index IS NULL), sum(l.bytes)::bigint, sum(l.seq_scans)::bigint, sum(l.rows_written)::bigint
    FROM dbperf.leaf_tables("table") l
$$;
COMMENT ON FUNCTION dbperf.index_state(regclass) IS 'The indexes of a table as index_report_save() keeps them';
GRANT EXECUTE ON FUNCTION dbperf.index_state(regclass) TO pg_monitor;

-- Errors: null_value_not_allowed, wrong_object_type, duplicate_object, insufficient_privilege.
CREATE FUNCTION dbperf.index_report_save("table" regclass, label text)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name  text := dbperf.qualified_name("table");
    saved bigint;
BEGIN
    PERFORM dbperf.check_report_table("table");
    IF label IS NULL OR label = '' THEN
        RAISE EXCEPTION 'label must not be null or empty' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    BEGIN
        INSERT INTO dbperf.index_snapshots (relation, label, index, definition, kinds, bytes, scans, rows_written)
        SELECT name, label, s.* FROM dbperf.index_state("table") s;
        GET DIAGNOSTICS saved = ROW_COUNT;
    EXCEPTION WHEN unique_violation THEN
        RAISE EXCEPTION 'there is a snapshot "%" of the indexes of % already', label, name
            USING ERRCODE = 'duplicate_object', HINT = 'Take another label, or remove it with dbperf.index_report_drop().';
    END;
    RETURN saved - 1;
END
$$;
COMMENT ON FUNCTION dbperf.index_report_save(regclass, text) IS 'Keeps what index_report() says of a table now under a label; returns the number of indexes';

CREATE FUNCTION dbperf.index_report_drop("table" regclass, label text)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM dbperf.index_snapshots s WHERE s.relation = dbperf.qualified_name("table") AND s.label = index_report_drop.label;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION dbperf.index_report_drop(regclass, text) IS 'Forgets what index_report_save() kept; false: there was nothing';

-- Errors: null_value_not_allowed, wrong_object_type, undefined_object.
CREATE FUNCTION dbperf.index_report_compare("table" regclass, label text)
RETURNS TABLE (index text, change text, bytes_before bigint, bytes_now bigint, change_percent double precision,
    scans_before bigint, scans_now bigint, kinds_before text[], kinds_now text[], definition_before text, definition_now text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    name text := dbperf.qualified_name("table");
BEGIN
    PERFORM dbperf.check_report_table("table");
    IF NOT EXISTS (SELECT FROM dbperf.index_snapshots s WHERE s.relation = name AND s.label = index_report_compare.label) THEN
        RAISE EXCEPTION 'there is no snapshot % of the indexes of %', coalesce(quote_ident(index_report_compare.label), 'NULL'), name
            USING ERRCODE = 'undefined_object',
                  HINT = coalesce('There are: ' || (SELECT string_agg(DISTINCT quote_ident(s.label), ', ') FROM dbperf.index_snapshots s WHERE s.relation = name) || '.',
                                  'Keep one with dbperf.index_report_save().');
    END IF;
    RETURN QUERY
    WITH both_states AS (
        SELECT index, b, n FROM (SELECT * FROM dbperf.index_snapshots s WHERE s.relation = name AND s.label = index_report_compare.label) b
        FULL JOIN dbperf.index_state("table") n USING (index)
    ), listed AS (
        SELECT CASE WHEN index = '' THEN 'table' ELSE index END AS shown, CASE WHEN index = '' THEN 2 ELSE 1 END AS place,
               CASE WHEN index = '' THEN 'table' WHEN b IS NULL THEN 'added' WHEN n IS NULL THEN 'dropped'
                    WHEN (b).definition IS DISTINCT FROM (n).definition THEN 'changed' ELSE 'same' END AS change,
               (b).bytes AS b_bytes, (n).bytes AS n_bytes, (b).scans AS b_scans, (n).scans AS n_scans, (b).kinds AS b_kinds, (n).kinds AS n_kinds,
               (b).definition AS b_definition, (n).definition AS n_definition
        FROM both_states
        UNION ALL
        SELECT 'all indexes', 3, 'total', coalesce(sum((b).bytes), 0)::bigint, coalesce(sum((n).bytes), 0)::bigint, coalesce(sum((b).scans), 0)::bigint,
               coalesce(sum((n).scans), 0)::bigint, NULL, NULL, NULL, NULL
        FROM both_states WHERE index <> ''
    )
    SELECT l.shown, l.change, l.b_bytes, l.n_bytes, 100 * (l.n_bytes::double precision / nullif(l.b_bytes, 0) - 1), l.b_scans, l.n_scans, l.b_kinds, l.n_kinds,
           l.b_definition, l.n_definition
    FROM listed l ORDER BY l.place, l.shown COLLATE "C";
END
$$;
COMMENT ON FUNCTION dbperf.index_report_compare(regclass, text) IS 'The indexes of a table as index_report_save() found them and as they are now: change is same, changed, added or dropped; then the table itself (with its sequential scans) and all indexes together';
GRANT EXECUTE ON FUNCTION dbperf.index_report_compare(regclass, text) TO pg_monitor;

--
-- numeric(12,4) against double precision
--

-- The same prices twice. Temporary tables: no WAL, and no parallel workers to share the work.
CREATE FUNCTION dbperf.benchmark_float_table(price_type text, "rows" integer)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    "table" text := format('pg_temp.benchmark_float_%s_%s', split_part(split_part(price_type, '(', 1), ' ', 1), pg_backend_pid());
BEGIN
    EXECUTE format($ddl$
        CREATE TEMPORARY TABLE %1$s USING heap AS
        SELECT timestamptz '2026-01-01 00:00:00+00' + n * interval '10 ms' AS "timestamp", n %% 100 AS instrument_id,
               drawn::%2$s AS price, (drawn - 0.01)::%2$s AS bid, (drawn + 0.01)::%2$s AS ask,
               (drawn + 0.5)::%2$s AS open_price, (drawn + 1)::%2$s AS high_price, (drawn - 1)::%2$s AS low_price
        FROM (SELECT n, 100 + (hashint4(n)::bigint & 2147483647) %% 1000000 / 10000.0 AS drawn FROM generate_series(1, %3$s) n) d$ddl$,
        "table", price_type, "rows");
    -- its time does not count: it sets the hint bits
    EXECUTE format('SELECT count(*) FROM %s', "table");
    RETURN "table";
END
$$;
COMMENT ON FUNCTION dbperf.benchmark_float_table(text, integer) IS 'Makes a table of benchmark_float()';

-- Each query takes the aggregate of all six prices of a tick, so that reading the rows does not hide what
-- is compared. Errors: null_value_not_allowed, numeric_value_out_of_range, insufficient_privilege,
-- read_only_sql_transaction.
CREATE FUNCTION dbperf.benchmark_float("rows" integer DEFAULT 1000000, rounds integer DEFAULT 5)
RETURNS TABLE (aggregate text, numeric_ms double precision, float_ms double precision, ratio double precision)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    aggregates constant text[] := '{sum,avg,stddev}';
    tables     text[];
    times      double precision[][][];
    medians    double precision[] := '{0,0}';
    query      text;
    started    timestamptz;
    k          integer;
BEGIN
    IF "rows" IS NULL OR rounds IS NULL THEN
        RAISE EXCEPTION 'rows and rounds must not be null' USING ERRCODE = 'null_value_not_allowed';
    ELSIF "rows" NOT BETWEEN 1000 AND 10000000 THEN
        RAISE EXCEPTION 'rows must be between 1000 and 10000000, not %', "rows" USING ERRCODE = 'numeric_value_out_of_range';
    ELSIF rounds NOT BETWEEN 1 AND 100 THEN
        RAISE EXCEPTION 'rounds must be between 1 and 100, not %', rounds USING ERRCODE = 'numeric_value_out_of_range';
    END IF;
    tables := ARRAY[dbperf.benchmark_float_table('numeric(12,4)', "rows"), dbperf.benchmark_float_table('double precision', "rows")];
    times := array_fill(0::double precision, ARRAY[2, 3, rounds]);
    FOR round IN 1..rounds LOOP
        FOR turn IN 0..1 LOOP
            k := 1 + (round + turn + 1) % 2;
            FOR a IN 1..3 LOOP
                query := format('SELECT %1$s(price), %1$s(bid), %1$s(ask), %1$s(open_price), %1$s(high_price), %1$s(low_price) FROM %2$s', aggregates[a], tables[k]);
                started := clock_timestamp();
                EXECUTE query;
                times[k][a][round] := extract(epoch FROM clock_timestamp() - started) * 1000;
            END LOOP;
        END LOOP;
        RAISE NOTICE 'round % of %: numeric % ms, double precision % ms', round, rounds,
            round((SELECT sum(t) FROM unnest(times[1:1][:][round:round]) t)::numeric, 1), round((SELECT sum(t) FROM unnest(times[2:2][:][round:round]) t)::numeric, 1);
    END LOOP;
    FOR a IN 1..3 LOOP
        FOR i IN 1..2 LOOP
            medians[i] := (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY t) FROM unnest(times[i:i][a:a][:]) t);
        END LOOP;
        aggregate := aggregates[a];
        numeric_ms := medians[1];
        float_ms := medians[2];
        ratio := medians[1] / nullif(medians[2], 0);
        RETURN NEXT;
    END LOOP;
    EXECUTE format('DROP TABLE %s, %s', tables[1], tables[2]);
END
$$;
COMMENT ON FUNCTION dbperf.benchmark_float(integer, integer) IS 'How long sum, avg and stddev of the six prices of the same ticks take in numeric(12,4) and in double precision on this server: medians of the rounds, and how many times faster the latter is; leaves nothing behind';
