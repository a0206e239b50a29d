--
-- Compressing, decompressing and recompressing tables in place
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
-- What a table is, apart from its rows: bytes differ from machine to machine.
CREATE FUNCTION t.what(rel regclass) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(', ', a.amname, c.relpersistence, nullif(c.relispartition, false), c.reltoastrelid <> 0 AND t.relname = 'pg_toast_' || c.oid,
        -- what becomes of DROP EXTENSION depends on it
        (SELECT string_agg(pg_describe_object(refclassid, refobjid, refobjsubid) || ' ' || deptype::text, '; ') FROM pg_depend d
         WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_am'::regclass),
        c.reltuples::bigint, c.relpages > 0)
    FROM pg_class c JOIN pg_am a ON a.oid = c.relam LEFT JOIN pg_class t ON t.oid = c.reltoastrelid WHERE c.oid = rel
$$;
CREATE FUNCTION t.compress(rel regclass, sort_by text[] DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s rows, %s late, %s batches, smaller: %s', r.rows, r.late_rows, r.batches, r.ratio > 1) FROM dbperf.compress_partition(rel, sort_by) r
$$;
CREATE FUNCTION t.recompress(rel regclass, sort_by text[] DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s rows, %s late, %s batches', r.rows, r.late_rows, r.batches) FROM dbperf.recompress_partition(rel, sort_by) r
$$;
CREATE FUNCTION t.decompress(rel regclass) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s rows, %s late, %s batches, larger: %s', r.rows, r.late_rows, r.batches, r.ratio < 1) FROM dbperf.decompress_partition(rel) r
$$;
-- Rows that are in one of two tables only
CREATE FUNCTION t.difference(a regclass, b regclass) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM ((TABLE %1$s EXCEPT ALL TABLE %2$s) UNION ALL (TABLE %2$s EXCEPT ALL TABLE %1$s)) x', a, b) INTO n;
    RETURN n;
END
$$;
CREATE FUNCTION t.in_batch(tid) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$ SELECT split_part(ltrim($1::text, '('), ',', 1)::bigint >= 2147483648 $$;
\set ECHO all

-- A table with all that it can have: nulls, dropped columns, missing values, large values, generated columns
CREATE TABLE a (id int PRIMARY KEY, series int, gone text, at timestamptz NOT NULL, price numeric(12,4), size float8,
    note text, doc jsonb, tags text[], twice int GENERATED ALWAYS AS (series * 2) STORED, CHECK (id > 0));
INSERT INTO a (id, series, gone, at, price, size, note, doc, tags)
    SELECT g, g % 17, 'x', timestamptz '2026-01-01 00:00+00' + (g * 7919 % 20011) * interval '1 second', (g % 1000) * 0.25,
        CASE WHEN g % 5 = 0 THEN NULL ELSE g / 8.0 END, CASE WHEN g % 4000 = 0 THEN repeat(md5(g::text), 3000) END,
        jsonb_build_object('n', g % 10), ARRAY['t' || g % 3, NULL]
    FROM generate_series(1, 20000) g;
ALTER TABLE a DROP COLUMN gone;
ALTER TABLE a ADD COLUMN kind char(3) DEFAULT 'abc';
CREATE INDEX a_at ON a (at, series);
CREATE INDEX a_expression ON a ((price * 2)) WHERE series = 3;
COMMENT ON TABLE a IS 'stays';
GRANT SELECT ON a TO PUBLIC;
CREATE TABLE twin AS TABLE a;
SELECT 'a'::regclass::oid AS oid \gset

SELECT compress('a');
SELECT what('a'), difference('a', 'twin'), obj_description('a'::regclass), relacl IS NOT NULL AS acl, oid = :oid AS same FROM pg_class WHERE oid = 'a'::regclass;
-- in the order of the first other column of an index, and the time
SELECT bool_and(series >= s) FROM (SELECT series, lag(series, 1, -1) OVER () AS s FROM a) x;
SELECT count(*) FROM (SELECT at, lag(at) OVER () AS l, series, lag(series) OVER () AS s FROM a) x WHERE series = s AND at < l;
SELECT count(*) FILTER (WHERE in_batch(ctid)) AS in_batches, count(*) FROM a;
-- analyzed
SELECT attname, n_distinct FROM pg_stats WHERE tablename = 'a' AND attname IN ('series', 'twice', 'kind') ORDER BY 1;
SELECT fails($$INSERT INTO a (id, series, at) VALUES (5, 1, now())$$);
SELECT fails($$INSERT INTO a (id, series, at) VALUES (0, 1, now())$$);
INSERT INTO a (id, series, at) VALUES (5, 1, now()) ON CONFLICT DO NOTHING;

-- late rows, changed rows, deleted rows
INSERT INTO a (id, series, at, note) SELECT g, 3, timestamptz '2026-02-01 00:00+00', 'late' FROM generate_series(20001, 20050) g;
UPDATE a SET price = price + 1 WHERE id % 1000 = 1;
DELETE FROM a WHERE id % 1000 = 2;
DROP TABLE twin;
CREATE TABLE twin AS TABLE a;
SELECT recompress('a');
SELECT what('a'), difference('a', 'twin'), count(*) FILTER (WHERE NOT in_batch(ctid)) AS rows FROM a;
-- an order that was asked for stays
SELECT recompress('a', '{price,id}');
SELECT price, id, twice FROM a LIMIT 3;
SELECT recompress('a');
SELECT price, id, twice FROM a LIMIT 3;
VACUUM FULL a;
SELECT price, id, twice FROM a LIMIT 3;
SELECT difference('a', 'twin');
ALTER TABLE a ALTER size TYPE numeric(20,3);
SELECT price, id, twice FROM a LIMIT 3;
CLUSTER a USING a_pkey;
SELECT price, id, twice FROM a LIMIT 3;
SELECT difference('a', 'twin');

UPDATE a SET price = price + 1 WHERE id % 1000 = 3;
DELETE FROM a WHERE id % 1000 = 4;
DROP TABLE twin;
CREATE TABLE twin AS TABLE a;
SELECT decompress('a');
SELECT what('a'), difference('a', 'twin'), obj_description('a'::regclass), oid = :oid AS same FROM pg_class WHERE oid = 'a'::regclass;
SET enable_seqscan = off;
SELECT id, series, at, price, kind FROM a WHERE id = 12345;
RESET enable_seqscan;
SELECT fails($$INSERT INTO a (id, series, at) VALUES (5, 1, now())$$);

-- SET ACCESS METHOD, both ways
ALTER TABLE a SET ACCESS METHOD dbperf_columnar;
SELECT what('a'), difference('a', 'twin'), count(*) FILTER (WHERE NOT in_batch(ctid)) AS rows FROM a;
SELECT bool_and(series >= s) FROM (SELECT series, lag(series, 1, -1) OVER () AS s FROM a) x;
ALTER TABLE a SET ACCESS METHOD heap;
SELECT what('a'), difference('a', 'twin') FROM (SELECT) x;
DROP TABLE a, twin;

-- empty tables, tables without columns, with one row
CREATE TABLE e (i int, t text);
SELECT compress('e');
SELECT what('e');
INSERT INTO e VALUES (1, 'one');
SELECT recompress('e');
SELECT decompress('e');
TABLE e;
DROP TABLE e;
CREATE TABLE n ();
INSERT INTO n DEFAULT VALUES;
INSERT INTO n DEFAULT VALUES;
SELECT compress('n');
SELECT count(*) FROM n;
INSERT INTO n DEFAULT VALUES;
SELECT recompress('n');
SELECT decompress('n');
SELECT count(*) FROM n;
DROP TABLE n;

-- no column that could be toasted: batches need a TOAST table all the same
CREATE UNLOGGED TABLE w (i int, f float8);
INSERT INTO w SELECT g, g / 2.0 FROM generate_series(1, 10000) g;
SELECT what('w');
SELECT compress('w', '{i}');
SELECT what('w'), sum(i), sum(f) FROM w;
DELETE FROM w WHERE i > 9000;
VACUUM w;
SELECT what('w');
SELECT decompress('w');
SELECT what('w'), sum(i), sum(f) FROM w;
DROP TABLE w;

-- temporary tables, and those that this transaction has made or locked: in this transaction
CREATE TEMP TABLE tmp AS SELECT g AS i, 'v' || g % 9 AS v FROM generate_series(1, 10000) g;
SELECT compress('tmp');
UPDATE tmp SET v = 'changed' WHERE i % 1000 = 0;
SELECT recompress('tmp');
SELECT what('tmp'), sum(i), count(*) FILTER (WHERE v = 'changed') FROM tmp;
SELECT decompress('tmp');
SELECT what('tmp'), sum(i), count(*) FILTER (WHERE v = 'changed') FROM tmp;
DROP TABLE tmp;
CREATE TABLE l AS SELECT g AS i, 'v' || g % 9 AS v FROM generate_series(1, 10000) g;
BEGIN;
LOCK TABLE l IN SHARE MODE;
SELECT compress('l');
SELECT what('l'), sum(i) FROM l;
ROLLBACK;
SELECT what('l'), sum(i) FROM l;
BEGIN;
CREATE TABLE new AS SELECT g AS i, 'v' || g % 9 AS v FROM generate_series(1, 10000) g;
DELETE FROM new WHERE i = 17;
UPDATE new SET v = 'own' WHERE i < 10;
-- rows of this very transaction stay as they are
SELECT compress('new');
SELECT what('new'), sum(i), count(*) FILTER (WHERE v = 'own') FROM new;
SAVEPOINT s;
UPDATE new SET v = 'lost' WHERE i = 20;
ROLLBACK TO s;
DECLARE c CURSOR FOR SELECT * FROM new WHERE v = 'own' ORDER BY i;
FETCH 2 FROM c;
SELECT fails($$SELECT dbperf.recompress_partition('new')$$);
FETCH 1 FROM c;
CLOSE c;
SELECT decompress('new');
SELECT what('new'), sum(i), count(*) FILTER (WHERE v = 'own') FROM new;
COMMIT;
SELECT compress('new');
-- batches of this transaction, with deletions of its own
BEGIN;
CREATE TABLE own USING dbperf_columnar AS SELECT g AS i, 'v' || g % 9 AS v FROM generate_series(1, 10000) g;
DELETE FROM own WHERE i <= 20;
UPDATE own SET v = 'own' WHERE i <= 30;
SELECT recompress('own');
SELECT what('own'), sum(i), count(*), count(*) FILTER (WHERE v = 'own') AS own FROM own;
SELECT decompress('own');
SELECT what('own'), sum(i), count(*), count(*) FILTER (WHERE v = 'own') AS own FROM own;
SELECT compress('own');
COMMIT;
SELECT what('own'), sum(i), count(*), count(*) FILTER (WHERE v = 'own') AS own FROM own;
SELECT recompress('own');
SELECT what('own'), sum(i), count(*), count(*) FILTER (WHERE v = 'own') AS own FROM own;
DROP TABLE l, new, own;

-- pending triggers
CREATE TABLE p (i int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED);
BEGIN;
INSERT INTO p VALUES (1), (1);
SELECT fails($$SELECT dbperf.compress_partition('p')$$);
ROLLBACK;
DROP TABLE p;

-- materialized views
CREATE MATERIALIZED VIEW m AS SELECT g AS i, g % 10 AS k FROM generate_series(1, 10000) g;
SELECT compress('m', '{k,i}');
SELECT what('m'), sum(i) FROM m;
REFRESH MATERIALIZED VIEW m;
SELECT what('m'), count(*) FILTER (WHERE in_batch(ctid)) AS in_batches FROM m;
SELECT * FROM m LIMIT 2;
SELECT decompress('m');
DROP MATERIALIZED VIEW m;

-- partitions: of a managed table it is noted
CREATE TABLE market (at timestamptz NOT NULL, sensor int, v float8, PRIMARY KEY (sensor, at)) PARTITION BY RANGE (at);
SELECT dbperf.manage('market', '1 month', 0);
SELECT dbperf.create_partitions('market', '2026-01-01', '2026-03-01');
INSERT INTO market SELECT timestamptz '2026-01-02 00:00+00' + (g * 7 % 10007) * interval '1 minute', g % 13, sqrt(g) FROM generate_series(1, 10000) g;
SELECT partition AS p FROM dbperf.partitions WHERE parent = 'market'::regclass ORDER BY lower_bound LIMIT 1 \gset
SELECT compress(:'p');
SELECT what(:'p'), count(*), bool_and(in_batch(ctid)) FROM market;
SELECT source, action, lower_bound, detail -> 'rows' AS rows, detail -> 'late_rows' AS late, ms_held IS NOT NULL AS held FROM dbperf.partition_events WHERE parent = 't.market' AND action = 'compress';
SELECT fails($$INSERT INTO market SELECT * FROM market LIMIT 1$$);
SELECT fails($$SELECT dbperf.compress_partition('market')$$);
-- a policy's order
SELECT dbperf.alter_policy('market', sort_by => '{v}');
SELECT recompress(:'p');
SELECT sensor, v FROM market LIMIT 2;
DELETE FROM market WHERE sensor = 5;
SELECT decompress(:'p');
SELECT what(:'p'), count(*) FROM market;
SELECT source, action, partition FROM dbperf.partition_events WHERE parent = 't.market' AND action ~ 'compress' ORDER BY event_id;
DROP TABLE market;

-- foreign keys, in and out
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent);
INSERT INTO parent SELECT generate_series(1, 1000);
INSERT INTO child SELECT g, g % 1000 + 1 FROM generate_series(1, 10000) g;
SELECT compress('parent'), compress('child');
SELECT fails('DELETE FROM parent WHERE id = 7');
SELECT fails('INSERT INTO child VALUES (10001, 1001)');
INSERT INTO child VALUES (10001, 1000);
DROP TABLE parent, child;

-- replica identity, publications
CREATE TABLE r (i int NOT NULL, v text);
CREATE UNIQUE INDEX r_i ON r (i);
ALTER TABLE r REPLICA IDENTITY USING INDEX r_i;
INSERT INTO r SELECT g, 'v' FROM generate_series(1, 10000) g;
SET client_min_messages = error;
CREATE PUBLICATION pub FOR TABLE r;
RESET client_min_messages;
SELECT compress('r');
SELECT relreplident, (SELECT indisreplident FROM pg_index WHERE indrelid = 'r'::regclass) AS by_index FROM pg_class WHERE oid = 'r'::regclass;
UPDATE r SET v = 'w' WHERE i = 77;
DROP PUBLICATION pub;
DROP TABLE r;

-- errors
CREATE TABLE h (i int, j json, s text);
SELECT fails($$SELECT dbperf.compress_partition(NULL)$$);
SELECT fails($$SELECT dbperf.compress_partition(1)$$);
SELECT fails($$SELECT dbperf.decompress_partition('h')$$);
SELECT fails($$SELECT dbperf.recompress_partition('h')$$);
SELECT fails($$SELECT dbperf.compress_partition('h', '{nope}')$$);
SELECT fails($$SELECT dbperf.compress_partition('h', '{i,i}')$$);
SELECT fails($$SELECT dbperf.compress_partition('h', '{j}')$$);
SELECT fails($$SELECT dbperf.compress_partition('h', '{}')$$);
SELECT fails($$SELECT dbperf.compress_partition('h', ARRAY['i', NULL])$$);
SELECT fails($$SELECT dbperf.compress_partition('h', '{ctid}')$$);
SELECT fails($$SELECT dbperf.compress_partition('pg_class')$$);
SELECT fails($$SELECT dbperf.compress_partition('pg_stats')$$);
CREATE SEQUENCE q;
SELECT fails($$SELECT dbperf.compress_partition('q')$$);
CREATE INDEX h_i ON h (i);
SELECT fails($$SELECT dbperf.compress_partition('h_i')$$);
SELECT compress('h');
SELECT fails($$SELECT dbperf.compress_partition('h')$$);
BEGIN READ ONLY;
SELECT fails($$SELECT dbperf.decompress_partition('h')$$);
COMMIT;
DROP TABLE h;
DROP SEQUENCE q;

-- privileges: only the owner may, and everything of the owner's runs as the owner
CREATE ROLE regress_owner;
CREATE ROLE regress_other;
CREATE TABLE o (i int, s text);
INSERT INTO o SELECT g, 's' FROM generate_series(1, 10000) g;
CREATE FUNCTION spy(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE NOTICE 'runs as %', current_user; RETURN i; END $$;
CREATE INDEX ON o (spy(i)) WHERE i = 1;
ALTER TABLE o OWNER TO regress_owner;
GRANT ALL ON o TO regress_other;
GRANT USAGE ON SCHEMA dbperf, t TO regress_owner, regress_other;
SELECT has_function_privilege('regress_other', 'dbperf.compress_partition(regclass, text[])', 'EXECUTE') AS may;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dbperf TO regress_owner, regress_other;
SET ROLE regress_other;
SELECT fails($$SELECT dbperf.compress_partition('o')$$);
SET ROLE regress_owner;
SELECT r.rows, r.late_rows FROM dbperf.compress_partition('o') r;
UPDATE o SET s = 'late' WHERE i = 1;
SELECT r.rows, r.late_rows FROM dbperf.recompress_partition('o') r;
SELECT r.rows, r.late_rows FROM dbperf.decompress_partition('o') r;
RESET ROLE;
DROP TABLE o;
DROP OWNED BY regress_owner, regress_other;
DROP ROLE regress_owner, regress_other;
DROP FUNCTION spy;

-- what is known while it goes on
\d dbperf.compression_progress
SELECT * FROM dbperf.compression_progress;
