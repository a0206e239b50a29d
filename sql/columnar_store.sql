--
-- Batches: values of all types come back as they were, what is stored where, zone maps, reports
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;
DROP ROLE IF EXISTS regress_dbperf_reader, regress_dbperf_watcher, regress_dbperf_stranger;
CREATE ROLE regress_dbperf_reader;
CREATE ROLE regress_dbperf_watcher IN ROLE pg_monitor;
CREATE ROLE regress_dbperf_stranger;
GRANT USAGE ON SCHEMA t TO regress_dbperf_reader, regress_dbperf_watcher, regress_dbperf_stranger;
GRANT USAGE ON SCHEMA dbperf TO regress_dbperf_reader, regress_dbperf_stranger;
GRANT EXECUTE ON FUNCTION dbperf.columnar_table_chunks(regclass), dbperf.columnar_totals(regclass), dbperf.columnar_candidates(regclass),
    dbperf.columnar_info(regclass), dbperf.verify_columnar(regclass) TO regress_dbperf_reader, regress_dbperf_stranger;
GRANT SELECT ON dbperf.columnar_chunks TO regress_dbperf_reader, regress_dbperf_stranger;

-- Makes a columnar twin of a table, and tells what differs: rows in their order, as text and as
-- bytes that the types would send, and what verify_columnar() finds.
CREATE FUNCTION t.differences(original regclass, twin regclass) RETURNS TABLE (row_number bigint, original_row text, twin_row text)
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format($q$
        SELECT row_number, left(a.r::text, 200), left(b.r::text, 200)
        FROM (SELECT o.n, o AS r, row_number() OVER () FROM %1$s o) a
        FULL JOIN (SELECT o AS r, row_number() OVER () FROM %2$s o) b USING (row_number)
        WHERE a.r::text IS DISTINCT FROM b.r::text OR pg_column_size(a.r) IS NULL
        LIMIT 5$q$, original, twin);
END
$$;
CREATE FUNCTION t.twin(original regclass) RETURNS TABLE (what text, row_number bigint, original_row text, twin_row text)
LANGUAGE plpgsql AS $$
DECLARE
    twin text := 't.' || split_part(original::text, '.', greatest(1, array_length(string_to_array(original::text, '.'), 1))) || '_twin';
BEGIN
    EXECUTE format('DROP TABLE IF EXISTS %s', twin);
    EXECUTE format('CREATE TABLE %s USING dbperf_columnar AS TABLE %s', twin, original);
    RETURN QUERY SELECT 'twin', d.* FROM t.differences(original, twin::regclass) d;
    RETURN QUERY SELECT 'damage', v.row_number::bigint, v.column_name::text, v.problem FROM dbperf.verify_columnar(twin::regclass) v;
    RETURN QUERY SELECT 'rows beside batches', c.late_rows, NULL::text, NULL::text FROM dbperf.columnar_totals(twin::regclass) c WHERE c.late_rows > 0;
END
$$;
\set ECHO all

-- types of all lengths and alignments, passed both ways
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN percent AS float8 CHECK (value BETWEEN 0 AND 100);
CREATE DOMAIN name_of AS text;
CREATE TYPE pair AS (a integer, b text);
CREATE TABLE kinds AS
SELECT n, n::smallint AS i2, n::bigint * n * (CASE n % 2 WHEN 0 THEN -1 ELSE 1 END) AS i8, n % 3 = 0 AS b, (n % 256 - 128)::"char" AS c,
    sqrt(n) AS f8, ln(n)::float4 AS f4, (n % 100)::percent AS pct, n * 1.01 AS num, (n % 1000)::money AS cash,
    date '2024-01-01' + n AS d, time '00:00' + n * interval '1 s' AS ti, timetz '00:00+02' + n * interval '1 s' AS tiz,
    timestamp '2024-01-01' + n * interval '1.5 s' AS ts, timestamptz '2024-01-01' + n * interval '1 ms' AS tsz, n * interval '1 min' AS iv,
    (4294960000 + n % 5000)::oid AS o, 'pg_class'::regclass AS rc, ('0/' || to_hex(n))::pg_lsn AS lsn, n::text::xid AS x,
    'text ' || n % 70 AS t, ('v' || n)::varchar(10) AS vc, rpad('c', n % 5 + 1, 'c')::char(8) AS bp, ('name' || n % 9)::name AS nm, ('domain' || n)::name_of AS dom,
    decode(md5(n::text), 'hex') AS by, md5(n::text)::uuid AS u, jsonb_build_object('n', n, 's', 'x' || n % 4) AS jb, json_build_object('n', n) AS js,
    (n % 16)::bit(4) AS bi, (n % 1000)::bit(10)::varbit AS vb,
    ARRAY[n, NULL, -n] AS ai, ARRAY['a' || n, NULL] AS at, ARRAY[[n, 1], [2, n]] AS aa, ARRAY[ROW(n, 'p')::pair] AS ap, ROW(n, 'r' || n)::pair AS co,
    int4range(n, n + 3) AS ir, tstzrange('2024-01-01', timestamptz '2024-01-01' + n * interval '1 s') AS tr, int4multirange(int4range(n, n + 1), int4range(n + 5, n + 6)) AS mr,
    (enum_range(NULL::mood))[1 + n % 3] AS en, ('10.0.' || n % 256 || '.0/24')::inet AS ip, ('10.' || n % 256 || '.0.0/16')::cidr AS ci,
    ('08:00:2b:01:02:' || lpad(to_hex(n % 256), 2, '0'))::macaddr AS mac, ('08:00:2b:01:02:03:04:' || lpad(to_hex(n % 256), 2, '0'))::macaddr8 AS mac8,
    point(n, -n) AS pt, lseg(point(0, 0), point(n, n)) AS ls, box(point(n, n), point(0, 0)) AS bx, path '[(0,0),(1,1)]' AS pa, polygon(box(point(n, n), point(0, 0))) AS po,
    circle(point(n, 0), n) AS cr, line(point(0, 0), point(1, n)) AS li, to_tsvector('simple', 'word' || n || ' and more') AS tv, to_tsquery('simple', 'word' || n) AS tq,
    ('(0,' || 1 + n % 100 || ')')::tid AS td, NULL::integer AS nothing
FROM generate_series(1, 9000) n;
SELECT * FROM t.twin('kinds');
SELECT column_name, encoding IS NOT NULL AS encoded, nulls, min, max FROM dbperf.columnar_chunks WHERE relation = 't.kinds_twin'::regclass AND rows < 8000 AND min IS NOT NULL ORDER BY column_name;

-- nulls: none, all, some, at the ends of bytes; empty values; values that compare equal but are not the same
CREATE TABLE nulls AS
SELECT n, CASE WHEN n % 2 = 0 THEN n END AS half, CASE WHEN n <> 4000 THEN 'x' || n END AS one, CASE WHEN n = 4000 THEN n::numeric END AS but_one,
    CASE WHEN n % 8 = 0 THEN ''::text END AS bits, ''::bytea AS empty, CASE WHEN n < 4000 THEN n * 0.5::float8 END AS late, '{}'::jsonb AS obj, ARRAY[]::text[] AS arr,
    (ARRAY['-0', '0', 'NaN', 'Infinity', '-Infinity', '4.9e-324', '1.7976931348623157e308'])[1 + n % 7]::float8 AS odd,
    (ARRAY['-0', '0', 'NaN', 'Infinity', '-Infinity', '1.4e-45', '3.4028235e38'])[1 + n % 7]::float4 AS odd4,
    (ARRAY['1.0', '1', '1.000', 'NaN', 'Infinity', '-Infinity', '0', '0.00', '-1e-100', '1e1000'])[1 + n % 10]::numeric AS num,
    (ARRAY['-infinity', 'infinity', '4713-01-01 BC', '294276-12-31'])[1 + n % 4]::timestamp AS ts
FROM generate_series(1, 8000) n;
SELECT * FROM t.twin('nulls');
SELECT column_name, nulls, min, max FROM dbperf.columnar_chunks WHERE relation = 't.nulls_twin'::regclass AND (nulls > 0 OR column_name LIKE 'odd%' OR column_name = 'ts') ORDER BY column_name;

-- values that the heap has toasted, in every way; most of them in one batch
CREATE TABLE toasted (n integer, plain text, external text, compressed text, lz bytea);
ALTER TABLE toasted ALTER plain SET STORAGE MAIN, ALTER external SET STORAGE EXTERNAL;
INSERT INTO toasted
SELECT n, (SELECT string_agg(md5((n * 100 + i)::text), '') FROM generate_series(1, 40) i), (SELECT string_agg(md5((n + i)::text), '') FROM generate_series(1, 200) i),
    repeat('abc' || n, 5000), decode(repeat(md5(n::text), 500), 'hex')
FROM generate_series(1, 300) n;
SELECT * FROM t.twin('toasted');
-- a value of megabytes, and one that is larger than a row of a batch may be
CREATE TABLE huge AS SELECT n, (SELECT string_agg(md5((n * i)::text), '') FROM generate_series(1, 100000) i) AS v FROM generate_series(1, 3) n;
SELECT * FROM t.twin('huge');
INSERT INTO huge SELECT 4, repeat('0123456789abcdef', 1100000);
SELECT what, row_number, original_row, twin_row FROM t.twin('huge');
DROP TABLE huge, huge_twin;

-- as many columns as there may be: their directory is in the stream, and still all is found
SELECT format('CREATE TABLE wide AS SELECT %s FROM generate_series(1, 200) n',
    string_agg(format('CASE WHEN n %% %s = 0 THEN NULL ELSE %s END AS c%s', i % 7 + 2, (ARRAY['n', 'n % 2 = 0', '''x'' || n', 'n::smallint'])[1 + i % 4], i), ', ' ORDER BY i)
    || ', n') AS statement FROM generate_series(1, 1599) i \gset
\set ECHO none
:statement;
\set ECHO all
SELECT * FROM t.twin('wide');
SELECT sum(length(w::text)) = (SELECT sum(length(x::text)) FROM wide x) AS same FROM wide_twin w;
SELECT count(*), bool_or(c1), min(c1599), sum(c1000) FROM wide_twin;
SELECT batches, rows FROM dbperf.columnar_totals('wide_twin');
DROP TABLE wide, wide_twin;

-- columns that batches do not have
CREATE TABLE changing USING dbperf_columnar AS SELECT n, 'a' || n AS a, n * 2 AS b FROM generate_series(1, 10) n;
ALTER TABLE changing ADD later integer DEFAULT 5, ADD word text DEFAULT 'new', ADD empty date;
SELECT * FROM changing WHERE n IN (1, 10);
BEGIN;
ALTER TABLE changing ADD other text DEFAULT 'first';
SELECT other, count(*) FROM changing GROUP BY 1;
ROLLBACK;
BEGIN;
SAVEPOINT a;
ALTER TABLE changing ADD other text DEFAULT 'second';
SELECT other, count(*) FROM changing GROUP BY 1;
ROLLBACK TO a;
ALTER TABLE changing ADD other integer DEFAULT 3;
SELECT other, count(*) FROM changing GROUP BY 1;
SAVEPOINT b;
ALTER TABLE changing DROP b;
SELECT * FROM changing WHERE n = 7;
ROLLBACK TO b;
SELECT * FROM changing WHERE n = 7;
COMMIT;
ALTER TABLE changing DROP a;
SELECT * FROM changing WHERE n = 7;
SELECT column_name, min, max FROM dbperf.columnar_chunks WHERE relation = 't.changing'::regclass;
SELECT * FROM dbperf.verify_columnar('changing');

-- zone maps know the order of a type, not of another that came later
CREATE TABLE retyped USING dbperf_columnar AS SELECT n - 3 AS i, ('v' || n)::varchar AS v FROM generate_series(1, 6) n;
SELECT column_name, min, max FROM dbperf.columnar_chunks WHERE relation = 't.retyped'::regclass;
ALTER TABLE retyped ALTER i TYPE oid, ALTER v TYPE text;
SELECT i FROM retyped;
SELECT column_name, min, max FROM dbperf.columnar_chunks WHERE relation = 't.retyped'::regclass;

-- pieces fill pages; batch tuples are small
CREATE TABLE dense USING dbperf_columnar AS SELECT n AS a, md5(n::text) AS b, n / 7.0 AS c, n % 3 AS d FROM generate_series(1, 100000) n;
SELECT c.batches, pg_relation_size('dense') <= 16384 AS few_pages, pg_relation_size(r.reltoastrelid) < c.bytes * 1.02 AS full_pages
FROM dbperf.columnar_totals('dense') c, pg_class r WHERE r.oid = 't.dense'::regclass;
-- what is remembered of batches stays within bounds
SELECT count(DISTINCT b) FROM dense;
BEGIN;
SELECT count(*) FROM dense;
SELECT sum(length(b)) FROM dense;
SELECT sum(total_bytes) < 20000000 AS bounded FROM pg_backend_memory_contexts WHERE name LIKE 'dbperf columnar%';
COMMIT;
SELECT sum(total_bytes) < 1000000 AS little FROM pg_backend_memory_contexts WHERE name LIKE 'dbperf columnar%';
-- also when errors leave batches held
DO $$
BEGIN
    FOR i IN 1 .. 50 LOOP
        BEGIN
            PERFORM 1 / (a - i * 2000) FROM dense;
        EXCEPTION WHEN division_by_zero THEN
            NULL;
        END;
    END LOOP;
END
$$;
SELECT sum(total_bytes) < 1000000 AS little FROM pg_backend_memory_contexts WHERE name LIKE 'dbperf columnar%';

-- batches that are rolled back leave nothing behind that could be taken for another's
BEGIN;
CREATE TABLE tried (n integer, t text) USING dbperf_columnar;
SAVEPOINT a;
ALTER TABLE tried SET ACCESS METHOD heap;
INSERT INTO tried SELECT n, 'first' FROM generate_series(1, 10) n;
ALTER TABLE tried SET ACCESS METHOD dbperf_columnar;
SELECT t, count(*) FROM tried GROUP BY 1;
ROLLBACK TO a;
SELECT count(*) FROM tried;
INSERT INTO tried SELECT n, 'second' FROM generate_series(1, 20) n;
SELECT t, count(*) FROM tried GROUP BY 1;
TRUNCATE tried;
INSERT INTO tried SELECT n, 'third' FROM generate_series(1, 30) n;
SELECT t, count(*) FROM tried GROUP BY 1;
COMMIT;
SELECT t, count(*) FROM tried GROUP BY 1;
VACUUM FULL tried;
SELECT t, count(*) FROM tried GROUP BY 1;
SELECT * FROM dbperf.verify_columnar('tried');

-- reports
CREATE TABLE told USING dbperf_columnar AS SELECT n AS id, n % 5 AS kind, 'secret ' || n AS note, CASE WHEN n % 10 = 0 THEN 1.5 END AS gap FROM generate_series(1, 8100) n;
DELETE FROM told WHERE id <= 100;
UPDATE told SET note = 'late' WHERE id = 200;
SELECT column_name, batches, rows, late_rows, tombstones, nulls, raw_bytes, bytes > 0 AS bytes, ratio > 1 AS ratio, bits_per_value > 0 AS bits,
    (SELECT sum(value::integer) FROM jsonb_each_text(encodings)) AS encoded, jsonb_array_length(candidates) > 0 AS candidates
FROM dbperf.columnar_info('told');
SELECT place, rows, tombstones, column_name, raw_bytes, nulls, min, max FROM dbperf.columnar_chunks WHERE relation = 't.told'::regclass;
CREATE TABLE plain (n integer);
SELECT * FROM t.fails($$SELECT * FROM dbperf.columnar_info('plain')$$);
SELECT * FROM t.fails($$SELECT * FROM dbperf.verify_columnar('plain')$$);
-- an empty table
CREATE TABLE empty (n integer) USING dbperf_columnar;
SELECT column_name, batches, rows, late_rows, tombstones, raw_bytes, bytes, ratio FROM dbperf.columnar_info('empty');
SELECT * FROM dbperf.verify_columnar('empty');

-- keys that are not unique after all: in batches, and between batches and rows
CREATE TABLE doubled USING dbperf_columnar AS
SELECT CASE n WHEN 8500 THEN 17 WHEN 1 THEN NULL WHEN 2 THEN NULL ELSE n END AS k, 'T' || CASE n WHEN 8400 THEN 30 ELSE n END AS t FROM generate_series(1, 8600) n;
CREATE INDEX doubled_k ON doubled (k);
CREATE INDEX doubled_t ON doubled (lower(t)) WHERE k > 20;
DELETE FROM doubled WHERE k IN (6, 7);
INSERT INTO doubled VALUES (5, 't-5'), (6, 't-6'), (NULL, NULL), (100000, 't40'), (10, 't50');
SELECT * FROM dbperf.verify_columnar('doubled');
UPDATE pg_index SET indisunique = true WHERE indrelid = 't.doubled'::regclass;
SELECT place, column_name, row_number, problem FROM dbperf.verify_columnar('doubled');

-- who may read a column is shown its smallest and largest value, who watches is not
GRANT SELECT (id) ON told TO regress_dbperf_watcher;
GRANT SELECT ON told TO regress_dbperf_reader;
SET ROLE regress_dbperf_watcher;
SELECT column_name, min, max FROM dbperf.columnar_chunks WHERE relation = 't.told'::regclass AND rows < 8000;
SELECT count(*) FROM dbperf.verify_columnar('t.told');
SET ROLE regress_dbperf_reader;
SELECT column_name, min, max FROM dbperf.columnar_chunks WHERE rows < 8000;
SET ROLE regress_dbperf_stranger;
SELECT count(*) FROM dbperf.columnar_chunks;
SELECT * FROM t.fails($$SELECT * FROM dbperf.columnar_info('t.told')$$);
SELECT * FROM t.fails($$SELECT * FROM dbperf.verify_columnar('t.told')$$);
RESET ROLE;
ALTER TABLE told ENABLE ROW LEVEL SECURITY;
SET ROLE regress_dbperf_reader;
SELECT column_name, min, max FROM dbperf.columnar_chunks WHERE rows < 8000;
RESET ROLE;

\set ECHO none
SET client_min_messages = warning;
DROP SCHEMA t CASCADE;
DROP EXTENSION tradeassist_dbperf;
DROP OWNED BY regress_dbperf_reader, regress_dbperf_watcher, regress_dbperf_stranger;
DROP ROLE regress_dbperf_reader, regress_dbperf_watcher, regress_dbperf_stranger;
