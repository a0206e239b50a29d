--
-- The order of rows in batches: every type, nulls last, in memory and through temporary files
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
SET max_parallel_workers_per_gather = 0;
SET synchronize_seqscans = off;
-- Compresses a copy of a table by some columns, and compares rows and their order with what ORDER BY says:
-- of equal rows, with the order in which they came.
CREATE PROCEDURE t.sorted(rel regclass, sort_by text[], memory text DEFAULT '64MB', INOUT result text DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
    columns text := (SELECT string_agg(quote_ident(c), ', ') FROM unnest(sort_by) c);
    off bigint;
    lost bigint;
    r record;
BEGIN
    EXECUTE format('CREATE TEMP TABLE copy AS TABLE %s', rel);
    -- rows of the same transaction would stay as they are
    COMMIT;
    PERFORM set_config('maintenance_work_mem', memory, true);
    SELECT * INTO r FROM dbperf.compress_partition('copy', sort_by);
    EXECUTE format('SELECT count(*) FROM
        (SELECT x::text AS found, row_number() OVER () AS n FROM copy x) i FULL JOIN
        (SELECT x::text AS ought, row_number() OVER (ORDER BY %s, ord) AS n FROM (SELECT x, row_number() OVER () AS ord, x.* FROM %s x) x) o USING (n)
        WHERE found IS DISTINCT FROM ought', columns, rel) INTO off;
    EXECUTE format('SELECT count(*) FROM ((TABLE copy EXCEPT ALL TABLE %1$s) UNION ALL (TABLE %1$s EXCEPT ALL TABLE copy)) x', rel) INTO lost;
    DROP TABLE copy;
    result := format('%s rows, %s late, %s out of order, %s different', r.rows, r.late_rows, off, lost);
END
$$;
CREATE PROCEDURE t.sorted_by_each(rel regclass, columns text[]) LANGUAGE plpgsql AS $$
DECLARE
    c text;
    r text;
BEGIN
    FOREACH c IN ARRAY columns LOOP
        CALL sorted(rel, ARRAY[c], result => r);
        RAISE NOTICE '%: %', c, r;
    END LOOP;
END
$$;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN t.small AS int CHECK (VALUE < 1000);
CREATE COLLATION t.by_number (provider = icu, locale = 'en-u-kn-true');
\set ECHO all

CREATE TABLE s AS SELECT g AS id,
    CASE WHEN g % 7 = 0 THEN NULL ELSE (g * 7919 % 7001 - 15000)::int END AS i4,
    (g % 13 - 6)::int2 AS i2,
    CASE g % 5 WHEN 0 THEN NULL WHEN 1 THEN -9223372036854775808 WHEN 2 THEN 9223372036854775807 ELSE g - 100 END AS i8,
    CASE g % 9 WHEN 0 THEN 'NaN' WHEN 1 THEN '-Infinity' WHEN 2 THEN 'Infinity' WHEN 3 THEN '-0' WHEN 4 THEN '0' WHEN 5 THEN NULL ELSE ((g * 31 % 101) - 50)::text END::float8 AS f8,
    CASE g % 4 WHEN 0 THEN 'NaN' ELSE ((g * 31 % 101) - 50)::text END::float4 AS f4,
    CASE WHEN g % 11 = 0 THEN NULL ELSE g % 3 = 0 END AS b,
    CASE WHEN g % 10 = 0 THEN NULL WHEN g % 10 = 1 THEN 'NaN'::numeric ELSE (g * 7919 % 1009)::numeric / 8 END AS n,
    CASE g % 3 WHEN 0 THEN 1.0 WHEN 1 THEN 1.00 ELSE 1.000 END AS equal,
    CASE WHEN g % 8 = 0 THEN NULL ELSE 'name ' || g * 31 % 997 END AS t,
    CASE g % 4 WHEN 0 THEN 'a' WHEN 1 THEN 'B' WHEN 2 THEN 'a ' ELSE 'ä' END || g % 50 AS c,
    ('x' || g % 50) COLLATE t.by_number AS k,
    md5((g % 2000)::text)::uuid AS u, timestamptz '2026-01-01 00:00+00' + (g * 7919 % 7001) * interval '1 second' AS at,
    CASE WHEN g % 6 = 0 THEN 'infinity'::date ELSE date '2026-01-01' - g % 100 END AS d,
    (ARRAY['happy', 'ok', 'sad', NULL])[1 + g % 4]::mood AS m, (g % 999)::t.small AS dom,
    make_interval(days => g % 31, hours => g % 50) AS iv, ARRAY[g % 5, g % 3] AS arr, (g % 250)::text::"char" AS ch, (g * 40009 % 4294967291)::oid AS o,
    repeat(chr(97 + g % 26), g % 200) AS pad
FROM generate_series(1, 5000) g;
CALL sorted_by_each('s', '{i4,i2,i8,f8,f4,b,n,equal,t,c,k,u,at,d,m,dom,iv,arr,ch,o,pad}');
CALL sorted('s', '{i2,at}');
CALL sorted('s', '{t,i4}');
CALL sorted('s', '{b,m,n}');
CALL sorted('s', '{f8,i8,pad,id}');
-- through files: of few runs, and of so many that they are merged more than once
CALL sorted('s', '{i2,at}', '1MB');
CALL sorted('s', '{t,i4}', '1MB');
CALL sorted('s', '{b,m,n}', '1MB');
CALL sorted('s', '{f8,i8,pad,id}', '2MB');
CREATE TABLE w AS SELECT s.*, repeat(md5(id::text), 40) AS wide, g AS copy FROM s, generate_series(1, 2) g;
SELECT pg_relation_size('w') > 16 * 1024 * 1024 AS large;
CALL sorted('w', '{i2,at}', '1MB');
CALL sorted('w', '{t,i4,copy}', '1MB');
-- nothing to sort by: in the order of arrival
CALL sorted('w', '{copy}', '1MB');
DROP TABLE w;

-- rows so large that batches end early, or that are too large for any
CREATE TABLE l (id int, t text);
ALTER TABLE l ALTER t SET STORAGE EXTERNAL;
INSERT INTO l SELECT g, repeat('x', CASE WHEN g % 10 = 0 THEN 9000000 WHEN g = 25 THEN 17000000 ELSE g END) FROM generate_series(1, 60) g;
CREATE TABLE l2 AS SELECT id, length(t), md5(t) FROM l;
SELECT r.rows, r.late_rows, r.batches FROM dbperf.compress_partition('l', '{id}') r;
SELECT id, length(t), md5(t) FROM l EXCEPT ALL TABLE l2;
SELECT count(*), sum(length(t)) FROM l;
SELECT r.rows, r.late_rows, r.batches FROM dbperf.recompress_partition('l') r;
SELECT id, length(t), md5(t) FROM l EXCEPT ALL TABLE l2;
VACUUM FULL l;
SELECT id, length(t), md5(t) FROM l EXCEPT ALL TABLE l2;
SELECT r.rows, r.late_rows, r.batches FROM dbperf.decompress_partition('l') r;
SELECT id, length(t), md5(t) FROM l EXCEPT ALL TABLE l2;
CREATE TABLE l3 USING dbperf_columnar AS TABLE l;
SELECT count(*), sum(length(t)) FROM l3;
SELECT id, length(t), md5(t) FROM l3 EXCEPT ALL TABLE l2;
DROP TABLE l, l2, l3;
DROP TABLE s;

-- COPY one row at a time, into a table of the same transaction: as it never says when it is done, its rows stay rows
CREATE FUNCTION t.seen(rel regclass) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM %s', rel) INTO n;
    RETURN n;
END
$$;
CREATE FUNCTION t.in_batch(tid) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$ SELECT split_part(ltrim($1::text, '('), ',', 1)::bigint >= 2147483648 $$;
BEGIN;
CREATE TABLE v (id int, r float8 DEFAULT random()) USING dbperf_columnar;
COPY v (id) FROM PROGRAM 'seq 1 10000';
SELECT count(*), count(r), count(*) FILTER (WHERE in_batch(ctid)) AS in_batches FROM v;
COPY v (id) FROM PROGRAM 'seq 10001 10010';
SAVEPOINT a;
COPY v (id) FROM PROGRAM 'seq 10011 10020';
ROLLBACK TO a;
SAVEPOINT b;
COPY v (id) FROM PROGRAM 'seq 10021 10030';
RELEASE b;
COMMIT;
SELECT count(*), count(DISTINCT id), sum(id) FROM v;
BEGIN;
TRUNCATE v;
COPY v (id) FROM PROGRAM 'seq 1 100';
TRUNCATE v;
COPY v (id) FROM PROGRAM 'seq 1 50';
INSERT INTO v VALUES (51);
DELETE FROM v WHERE id = 7;
COPY v (id) FROM PROGRAM 'seq 52 60';
COMMIT;
SELECT count(*), count(DISTINCT id), sum(id) FROM v;
BEGIN;
CREATE TABLE x (id int, n bigint) USING dbperf_columnar;
ALTER TABLE x ALTER n SET DEFAULT seen('x');
COPY x (id) FROM PROGRAM 'seq 1 5';
COMMIT;
TABLE x;
-- who looks at a table while it is being filled
CREATE FUNCTION t.seen_by_half(rel text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        PERFORM seen(rel::regclass);
        INSERT INTO f VALUES (-1, -1);
        RAISE division_by_zero;
    EXCEPTION WHEN division_by_zero THEN
        RETURN -1;
    END;
END
$$;
CREATE TABLE f USING dbperf_columnar AS SELECT g AS id, CASE WHEN g % 100 = 0 THEN seen('f'::text::regclass) ELSE 0 END AS n FROM generate_series(1, 1000) g;
SELECT count(*), count(DISTINCT id), count(DISTINCT n), count(*) FILTER (WHERE in_batch(ctid)) AS in_batches FROM f;
DROP TABLE f;
CREATE TABLE f USING dbperf_columnar AS SELECT g AS id, CASE WHEN g % 100 = 0 THEN seen_by_half('f') ELSE 0 END AS n FROM generate_series(1, 1000) g;
SELECT count(*), count(DISTINCT id), sum(n), count(*) FILTER (WHERE in_batch(ctid)) AS in_batches FROM f;
DROP TABLE f;
BEGIN;
CREATE TABLE gone (id int, r float8 DEFAULT random()) USING dbperf_columnar;
COPY gone (id) FROM PROGRAM 'seq 1 10';
DROP TABLE gone;
COMMIT;
BEGIN;
CREATE TABLE gone (id int, r float8 DEFAULT random()) USING dbperf_columnar;
COPY gone (id) FROM PROGRAM 'seq 1 10';
ROLLBACK;
BEGIN;
CREATE TABLE prepared (id int, r float8 DEFAULT random()) USING dbperf_columnar;
COPY prepared (id) FROM PROGRAM 'seq 1 10';
PREPARE TRANSACTION 'columnar_sort';
COMMIT PREPARED 'columnar_sort';
SELECT count(*), count(r) FROM prepared;
DROP TABLE v, x, prepared;

-- CREATE TABLE AS in a subtransaction, and what is prepared
BEGIN;
SAVEPOINT a;
CREATE TABLE sub USING dbperf_columnar AS SELECT g AS id FROM generate_series(1, 10000) g;
RELEASE a;
SAVEPOINT b;
CREATE TABLE sub2 USING dbperf_columnar AS SELECT g AS id FROM generate_series(1, 10000) g;
ROLLBACK TO b;
CREATE TABLE sub2 USING dbperf_columnar AS SELECT g AS id FROM generate_series(1, 10000) g;
PREPARE TRANSACTION 'columnar_sort';
COMMIT PREPARED 'columnar_sort';
SELECT count(*), count(*) FILTER (WHERE in_batch(ctid)) AS in_batches FROM sub;
SELECT count(*), count(*) FILTER (WHERE in_batch(ctid)) AS in_batches FROM sub2;
DROP TABLE sub, sub2;
