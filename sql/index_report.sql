--
-- index_report(): redundant, unused, bloated and missing indexes, before and after a migration
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
CREATE FUNCTION t.report(name text) RETURNS TABLE (kind text, index text, detail text, suggestion text) LANGUAGE sql AS $$
    SELECT kind, coalesce(index::text, '-> ' || table_name), regexp_replace(detail, '(the statistics were reset at .{22}|statistics have been kept)', 'SINCE'), suggestion
    FROM dbperf.index_report(name::regclass)
$$;
-- Counts of this session become visible.
CREATE FUNCTION t.flush() RETURNS void LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_stat_force_next_flush(), pg_stat_clear_snapshot(); END
$$;
\set ECHO all
SET search_path = t, public;
-- which of them another one can stand in for
CREATE TABLE many (a int NOT NULL, b int NOT NULL, c text, d int, e tstzrange, CONSTRAINT many_pkey PRIMARY KEY (a, b));
CREATE INDEX i_a ON many (a);                        -- many_pkey
CREATE INDEX i_b ON many (b);                        -- i_bc
CREATE INDEX i_bc ON many (b, c);
CREATE INDEX i_bc_desc ON many (b DESC, c DESC);     -- i_bc the other way round
CREATE INDEX i_b_c_desc ON many (b, c DESC);
CREATE INDEX i_bc_pattern ON many (b, c text_pattern_ops);
CREATE INDEX i_bc_collate ON many (b, c COLLATE "POSIX");
CREATE INDEX i_b_d ON many (b) INCLUDE (d);          -- i_b_dc
CREATE INDEX i_b_dc ON many (b) INCLUDE (d, c);
CREATE INDEX i_b_some ON many (b) WHERE d > 0;       -- i_bd_some
CREATE INDEX i_bd_some ON many (b, d) WHERE d > 0;
CREATE UNIQUE INDEX i_c_unique ON many (c);
CREATE UNIQUE INDEX i_c_unique2 ON many (c);         -- i_c_unique
CREATE INDEX i_c ON many (c);                        -- i_c_unique
CREATE UNIQUE INDEX i_c_nulls ON many (c) NULLS NOT DISTINCT;
CREATE INDEX i_lower ON many (lower(c));             -- i_lower_d
CREATE INDEX i_lower_d ON many (lower(c), d);
CREATE INDEX i_hash ON many USING hash (d);
CREATE INDEX i_hash2 ON many USING hash (d);         -- i_hash
CREATE INDEX i_d ON many (d);
CREATE INDEX i_gist ON many USING gist (e);
CREATE INDEX i_brin ON many USING brin (a);
SELECT index, suggestion, detail FROM report('many') WHERE kind = 'redundant' ORDER BY 1;
SELECT DISTINCT kind, detail FROM report('many') WHERE kind <> 'redundant' ORDER BY 1;
-- what is enforced is needed, though nobody looks there
SELECT index FROM report('many') WHERE kind = 'ok' ORDER BY 1;

-- a query makes an index used
INSERT INTO many SELECT n, n, n::text, n FROM generate_series(1, 100) n;
SET enable_seqscan = off;
SELECT count(*) FROM many WHERE lower(c) = '7';
RESET enable_seqscan;
SELECT flush();
SELECT index::text, kind, scans, rows_written, bytes > 0 AS has_bytes, write_share BETWEEN 0.01 AND 0.5 AS has_share FROM dbperf.index_report('many')
WHERE scans > 0 OR index = 'i_d'::regclass ORDER BY 1, 2;
DROP TABLE many;

-- of two alike, the planner took the one that is to go: the other one is needed then
CREATE TABLE pair (a int, b text, c text);
CREATE INDEX i_first ON pair (a);
CREATE INDEX i_second ON pair (a) INCLUDE (b);
INSERT INTO pair SELECT n, repeat(n::text, 50), n FROM generate_series(1, 300) n;
VACUUM ANALYZE pair;
SET enable_seqscan = off;
SELECT count(*) FROM pair WHERE a = 7;
RESET enable_seqscan;
SELECT flush();
SELECT index, kind, detail FROM report('pair') ORDER BY 1, 2;
DROP TABLE pair;
-- what can only be known by more than columns: options, and when uniqueness is checked
CREATE TABLE options (a int NOT NULL, t tsvector, UNIQUE (a) DEFERRABLE);
CREATE UNIQUE INDEX i_at_once ON options (a);
CREATE INDEX i_fine ON options USING brin (a) WITH (pages_per_range = 1);
CREATE INDEX i_coarse ON options USING brin (a);
CREATE INDEX i_coarse2 ON options USING brin (a);    -- i_coarse
CREATE INDEX i_short ON options USING gist (t tsvector_ops (siglen = 8));
CREATE INDEX i_long ON options USING gist (t tsvector_ops (siglen = 800));
CREATE INDEX i_full ON options (a) WITH (fillfactor = 100);  -- options_a_key
SELECT index, detail FROM report('options') WHERE kind = 'redundant' ORDER BY 1;
DROP TABLE options;
-- one that could not be built, unique or not
CREATE TABLE twice AS SELECT 1 AS a FROM generate_series(1, 2);
\set VERBOSITY sqlstate
CREATE UNIQUE INDEX CONCURRENTLY i_twice ON twice (a);
\set VERBOSITY default
SELECT * FROM report('twice');
DROP TABLE twice;
-- a replica identity of a partition needs an index that to the parent is as good as another
CREATE TABLE told (a int NOT NULL, b int NOT NULL) PARTITION BY RANGE (a);
CREATE TABLE told_1 PARTITION OF told FOR VALUES FROM (0) TO (10);
CREATE TABLE told_2 PARTITION OF told FOR VALUES FROM (10) TO (20);
CREATE UNIQUE INDEX i_told ON told (a, b);
CREATE UNIQUE INDEX i_told2 ON told (a, b);
CREATE UNIQUE INDEX i_told3 ON told (a, b);
ALTER TABLE told_1 REPLICA IDENTITY USING INDEX told_1_a_b_idx1;
CREATE UNIQUE INDEX i_told_1 ON told_1 (a, b);
CREATE UNIQUE INDEX i_told_2 ON told_2 (a, b);
CREATE INDEX i_told_b ON told_2 (b);
ALTER TABLE told_2 REPLICA IDENTITY USING INDEX i_told_2;
SELECT kind, index, detail, suggestion FROM report('told') ORDER BY 1, 2;
DROP TABLE told;

-- partitions: summed; those of partitions alone, alike ones together
CREATE TABLE ref (id int PRIMARY KEY);
INSERT INTO ref SELECT generate_series(1, 10);
CREATE TABLE ticks (at timestamptz NOT NULL, id int NOT NULL, ref int REFERENCES ref, price float8, note text) PARTITION BY RANGE (at);
SELECT dbperf.manage('ticks', '1 month', premake => 2);
CREATE INDEX ticks_at ON ticks (at);
CREATE INDEX ticks_id_at ON ticks (id, at);
CREATE INDEX ON ticks_2026_11 (price);
CREATE INDEX ON ticks_2026_12 (price);
CREATE INDEX ON ticks_2026_11 (id);
CREATE INDEX ticks_note ON ONLY ticks (note);
INSERT INTO ticks SELECT timestamptz '2026-11-15' + n * interval '1 day', n, 1, n, repeat('x', 10) FROM generate_series(1, 30) n;
SELECT count(*) FROM ticks WHERE ref = 3;
SELECT flush();
SELECT * FROM report('ticks') ORDER BY 1, 2;
SELECT index::text, bytes, rows_written, round(write_share::numeric, 3) AS share FROM dbperf.index_report('ticks') WHERE index IS NOT NULL AND kind <> 'redundant' ORDER BY 1;
-- one partition by itself
SELECT kind, index, suggestion FROM report('ticks_2026_11') ORDER BY 1, 2;
-- of the other end of the foreign key
SELECT * FROM report('ref');
-- an index on a partition alone serves it there, one without the rows that refer to nothing wholly
CREATE INDEX i_part_ref ON ticks_2026_11 (ref);
SELECT detail, suggestion FROM report('ticks') WHERE index = 'i_part_ref';
CREATE INDEX i_some_ref ON ticks (ref) WHERE ref > 0;
SELECT count(*) FROM report('ref') WHERE kind = 'missing';
CREATE INDEX i_ref ON ticks (ref) WHERE ref IS NOT NULL;
SELECT count(*) FROM report('ref') WHERE kind = 'missing';

-- sequential scans of what is large
CREATE TABLE large (a int, filler text) WITH (fillfactor = 10);
INSERT INTO large SELECT n, repeat('x', 1500) FROM generate_series(1, 1100) n;
DO $$ BEGIN FOR i IN 1..10 LOOP PERFORM count(*) FROM large WHERE a = i; END LOOP; END $$;
SELECT flush();
SELECT * FROM report('large');
-- a few rows of it are no harm
SELECT pg_stat_reset_single_table_counters('large'::regclass);
ANALYZE large;
DO $$ BEGIN FOR i IN 1..20 LOOP PERFORM FROM large LIMIT 1; END LOOP; END $$;
SELECT flush();
SELECT * FROM report('large');
DROP TABLE large;

-- bloat
CREATE TABLE bloat (a bigint, b text);
INSERT INTO bloat SELECT n, md5(n::text) FROM generate_series(1, 60000) n;
CREATE INDEX bloat_a ON bloat (a);
CREATE INDEX bloat_b ON bloat (b);
CREATE INDEX bloat_lower ON bloat (lower(b));
ANALYZE bloat;
SELECT kind, index FROM report('bloat') WHERE kind = 'bloated';
SELECT index::regclass::text, abs(expected_bytes::float8 / bytes - 1) < 0.1 AS near FROM dbperf.table_indexes('bloat'::regclass) ORDER BY 1;
DELETE FROM bloat WHERE a % 3 <> 0;
VACUUM bloat;
SELECT kind, index, regexp_replace(detail, '\d+', 'N', 'g'), suggestion FROM report('bloat') WHERE kind = 'bloated' ORDER BY index;
REINDEX TABLE bloat;
SELECT count(*) FROM report('bloat') WHERE kind = 'bloated';
DROP TABLE bloat;

-- before and after
CREATE SCHEMA "Odd""s";
CREATE TABLE "Odd""s"."T x" (a int PRIMARY KEY, b int, c int);
CREATE INDEX "I 1" ON "Odd""s"."T x" (b);
CREATE INDEX i2 ON "Odd""s"."T x" (b, c);
CREATE INDEX i3 ON "Odd""s"."T x" (c);
SELECT dbperf.index_report_save('"Odd""s"."T x"', 'before');
SELECT fails($$SELECT dbperf.index_report_save('"Odd""s"."T x"', 'before')$$);
SELECT index, change, bytes_before, bytes_now, scans_before + scans_now >= 0 AS scanned, kinds_before, kinds_now FROM dbperf.index_report_compare('"Odd""s"."T x"', 'before');
-- partitions in schemas of their own may have indexes of one name
CREATE TABLE spread (a int, b int) PARTITION BY RANGE (a);
CREATE TABLE "Odd""s".part PARTITION OF spread FOR VALUES FROM (0) TO (10);
CREATE TABLE part PARTITION OF spread FOR VALUES FROM (10) TO (20);
CREATE INDEX alike ON "Odd""s".part (a);
CREATE INDEX alike ON part (b);
SELECT dbperf.index_report_save('spread', 'x');
SELECT index, change FROM dbperf.index_report_compare('spread', 'x');
SELECT dbperf.index_report_drop('spread', 'x');
DROP TABLE spread;
-- another table of that name
DROP TABLE "Odd""s"."T x";
CREATE TABLE "Odd""s"."T x" (a int PRIMARY KEY, b int, c int);
CREATE INDEX i2 ON "Odd""s"."T x" (b, c);
CREATE INDEX i3 ON "Odd""s"."T x" (c, a);
CREATE INDEX i4 ON "Odd""s"."T x" (c, b);
SELECT index, change, bytes_before, bytes_now, change_percent, kinds_before, kinds_now, definition_now FROM dbperf.index_report_compare('"Odd""s"."T x"', 'before');
SELECT dbperf.index_report_save('"Odd""s"."T x"', 'af"ter');
SELECT fails($$SELECT dbperf.index_report_compare('"Odd""s"."T x"', 'never')$$);
SELECT fails($$SELECT dbperf.index_report_compare('"Odd""s"."T x"', NULL)$$);
SELECT fails($$SELECT dbperf.index_report_compare('ref', 'before')$$);
SELECT dbperf.index_report_drop('"Odd""s"."T x"', label) FROM unnest('{before,before,never,NULL}'::text[]) label;
SELECT relation, label, index, kinds, taken_at > now() - interval '1 hour' AS recent FROM dbperf.index_snapshots ORDER BY index;

-- what it is not for
SELECT fails('SELECT dbperf.index_report(NULL)');
SELECT fails('SELECT dbperf.index_report(''ref_pkey'')');
SELECT fails('SELECT dbperf.index_report(''dbperf.partitions'')');
SELECT fails('SELECT dbperf.index_report(''nowhere'')');
SELECT fails('SELECT dbperf.index_report(0)');
SELECT fails(format('SELECT dbperf.index_report_save(%s)', a)) FROM unnest('{"NULL, ''a''","''ref'', NULL","''ref'', ''''","''ref_pkey'', ''a''"}'::text[]) a;
CREATE VIEW v AS SELECT 1;
SELECT fails('SELECT dbperf.index_report(''v'')');
CREATE MATERIALIZED VIEW mv AS SELECT 1 AS a;
CREATE INDEX mv_a ON mv (a);
SELECT kind, index FROM report('mv');

-- members of pg_monitor may look, at tables that are not theirs as well
SELECT 't.ticks'::regclass::oid AS ticks, '"Odd""s"."T x"'::regclass::oid AS odd
\gset
CREATE ROLE regress_dbperf_monitor IN ROLE pg_monitor;
SET ROLE regress_dbperf_monitor;
SELECT count(*) FROM dbperf.index_report(:ticks);
SELECT count(*) FROM dbperf.index_report_compare(:odd, 'af"ter');
SELECT dbperf.index_report_save(:ticks, 'a');
SELECT dbperf.index_report_drop(:odd, 'af"ter');
RESET ROLE;
-- with EXECUTE alone, nothing can be kept
GRANT EXECUTE ON FUNCTION dbperf.index_report_save(regclass, text) TO regress_dbperf_monitor;
GRANT USAGE ON SCHEMA t TO regress_dbperf_monitor;
SET ROLE regress_dbperf_monitor;
SELECT t.fails('SELECT dbperf.index_report_save(''t.ticks'', ''a'')');
RESET ROLE;
DROP OWNED BY regress_dbperf_monitor;
DROP ROLE regress_dbperf_monitor;
SET client_min_messages = warning;
DROP SCHEMA "Odd""s" CASCADE;
