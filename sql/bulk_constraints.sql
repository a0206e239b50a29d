--
-- bulk_insert() and what a table holds its rows to: constraints and indexes of every kind, and which
-- row was wrong
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set bulk :abs_srcdir '/sql/lib/bulk.sql'
\set ECHO none
\i :setup
\i :bulk
\set ECHO all
-- rows 1 to n, with what one of them has instead
CREATE FUNCTION ids(n integer, at integer DEFAULT NULL, instead integer DEFAULT NULL) RETURNS integer[] LANGUAGE sql AS $$
    SELECT array_agg(CASE WHEN i = at THEN instead ELSE i END ORDER BY i) FROM generate_series(1, n) i
$$;
CREATE TABLE c (id integer NOT NULL, v integer CHECK (v < 1000), w integer, twice integer GENERATED ALWAYS AS (v * 2) STORED CONSTRAINT even CHECK (twice <> 14), CHECK (v IS NULL OR id > 0));
SELECT fails_at($$SELECT dbperf.bulk_insert('c', '{id}', ids(10, 7, NULL))$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('c', '{id,v}', ids(10), ids(10, 8, 1000), '{"batch_size": 3}')$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('c', '{id,v}', ids(10), ids(10))$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('c', '{id,v}', ids(10, 4, 0), ids(10))$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('c', '[{"v": 1, "id": 1}, {"v": 2}]')$$);
SELECT inserted, rejected, batches FROM dbperf.bulk_insert('c', '{id,v}', ids(10, 9, NULL), ids(10, 2, 1000), '{"on_error": "reject", "batch_size": 4}');
SELECT * FROM rejects('c');
SELECT id, twice FROM c;
-- a constraint that calls a function which looks at the table sees the rows of the batches before
CREATE FUNCTION rows_of_s() RETURNS bigint LANGUAGE plpgsql AS $$BEGIN RETURN (SELECT count(*) FROM t.s); END$$;
CREATE TABLE s (v integer CHECK (rows_of_s() < 4));
SELECT fails_at($$SELECT dbperf.bulk_insert('s', '{v}', ids(6), '{"batch_size": 2}')$$);
SELECT inserted, rejected FROM dbperf.bulk_insert('s', '{v}', ids(6), '{"batch_size": 2, "on_error": "reject"}');
SELECT row_number FROM rejects('s');

-- unique: against the table, and within the batch, where the first of equal rows stays
CREATE TABLE u (id integer PRIMARY KEY, v integer UNIQUE, t text);
SELECT inserted FROM dbperf.bulk_insert('u', '{id,v}', ARRAY[5, 6], ARRAY[50, 60]);
SELECT fails_at($$SELECT dbperf.bulk_insert('u', '{id}', ids(4, 4, 5))$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('u', '{id}', ARRAY[9, 8, 7, 8, 9])$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('u', '{id,v}', ARRAY[9, 8, 7], ARRAY[1, 60, 1])$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('u', '{id,v}', ARRAY[9, 8, 7, 8], ARRAY[1, 2, 3, 4], '{"batch_size": 3}')$$);
SELECT inserted, rejected, batches FROM dbperf.bulk_insert('u', '{id,v,t}', ARRAY[9, 8, 7, 8, 9, 5, 10, 11], ARRAY[1, 2, 3, 4, 5, 6, 60, 1], ARRAY['1', '2', '3', '4', '5', '6', '7', '8'], '{"on_error": "reject"}');
SELECT * FROM rejects('u');
SELECT * FROM u ORDER BY id;
-- of two equal rows, the second stays when the first is not to
CREATE TABLE u2 (id integer PRIMARY KEY, ref integer REFERENCES u);
SELECT inserted, rejected FROM dbperf.bulk_insert('u2', '{id,ref}', ARRAY[1, 2, 2, 3, 1, 3, 1], ARRAY[99, 5, 6, 99, 5, 6, 7], '{"on_error": "reject"}');
SELECT row_number, sqlstate, "row" FROM rejects('u2');
TABLE u2;
-- all of them, none of them, every other one; with batches of each size; keys up, down, and in disorder
CREATE TABLE taken (id integer PRIMARY KEY, v integer);
CREATE FUNCTION try(keys integer[], OUT batch integer, OUT inserted bigint, OUT rejected bigint, OUT exact boolean) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
    expected integer[];
BEGIN
    FOREACH batch IN ARRAY ARRAY[1, 3, 1000] LOOP
        DELETE FROM t.taken WHERE v IS NOT NULL;
        SELECT array_agg(i ORDER BY i) INTO expected
            FROM (SELECT i, key, row_number() OVER (PARTITION BY key ORDER BY i) AS n FROM unnest(keys) WITH ORDINALITY AS x (key, i)) y
            WHERE key IS NULL OR n > 1 OR EXISTS (SELECT FROM t.taken WHERE taken.id = y.key);
        SELECT b.inserted, b.rejected INTO inserted, rejected
            FROM dbperf.bulk_insert('t.taken', '{id,v}', ROW(keys, t.ids(cardinality(keys))), batch, 'reject') b;
        exact := (SELECT expected IS NOT DISTINCT FROM array_agg(r.row_number::integer ORDER BY r.row_number) FROM t.rejects('t.taken') r WHERE r.sqlstate IN ('23505', '23502'))
            AND inserted = (SELECT count(*) FROM t.taken WHERE v IS NOT NULL)
            AND NOT EXISTS (SELECT FROM t.taken WHERE v IS NOT NULL AND keys[v] IS DISTINCT FROM id);
        RETURN NEXT;
    END LOOP;
END
$$;
INSERT INTO taken SELECT i FROM generate_series(1, 3000) i;
SELECT 'all, up', * FROM try(ids(1300));
SELECT 'all, down', * FROM try((SELECT array_agg(i ORDER BY i DESC) FROM generate_series(1, 1300) i));
SELECT 'all, mixed', * FROM try((SELECT array_agg(i * 7919 % 2503 + 1 ORDER BY i) FROM generate_series(1, 1300) i));
SELECT 'none, down', * FROM try((SELECT array_agg(i ORDER BY i DESC) FROM generate_series(3001, 4300) i));
SELECT 'every other', * FROM try((SELECT array_agg(i % 2 * 10000 + i ORDER BY i DESC) FROM generate_series(1, 1300) i));
SELECT 'nulls and doubles', * FROM try((SELECT array_agg(nullif(i * 7919 % 2503 % 1000, 0) + 10000 ORDER BY i) FROM generate_series(1, 1300) i));
-- one batch of many bad rows is no more work than its rows
SELECT inserted, rejected FROM dbperf.bulk_insert('taken', '{id}', (SELECT array_agg(i % 3000 + 1 ORDER BY i DESC) FROM generate_series(1, 20000) i), '{"on_error": "reject", "batch_size": 100000}');
SELECT count(*), count(DISTINCT row_number) FROM rejects('taken');

-- deferrable, exclusion, and unique constraints of other kinds
CREATE TABLE df (id integer UNIQUE DEFERRABLE INITIALLY IMMEDIATE, v integer UNIQUE DEFERRABLE INITIALLY DEFERRED);
SELECT inserted FROM dbperf.bulk_insert('df', '{id,v}', ids(5), ids(5));
SELECT fails_at($$SELECT dbperf.bulk_insert('df', '{id}', ARRAY[10, 11, 12, 3, 13])$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('df', '{id}', ARRAY[10, 11, 12, 11, 13])$$);
SELECT inserted, rejected FROM dbperf.bulk_insert('df', '{id}', ARRAY[10, 11, 3, 11, 13], '{"on_error": "reject"}');
SELECT row_number, sqlstate, reason FROM rejects('df');
BEGIN;
SELECT inserted FROM dbperf.bulk_insert('df', '{id,v}', ARRAY[20, 21], ARRAY[3, 30], '{"on_error": "reject"}');
UPDATE df SET v = 300 WHERE id = 3;
COMMIT;
BEGIN;
SELECT inserted FROM dbperf.bulk_insert('df', '{id,v}', ARRAY[22, 23], ARRAY[3, 31]);
COMMIT;
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
SELECT inserted FROM dbperf.bulk_insert('df', '{id}', ARRAY[3, 24]);
SET CONSTRAINTS ALL IMMEDIATE;
ROLLBACK;
SELECT id, v FROM df ORDER BY id;
CREATE TABLE ex (r int4range, EXCLUDE USING gist (r WITH &&));
SELECT fails_at($$SELECT dbperf.bulk_insert('ex', '{r}', ARRAY['[1,5)', '[5,7)', '[4,6)', '[8,9)']::int4range[])$$);
SELECT inserted, rejected FROM dbperf.bulk_insert('ex', '{r}', ARRAY['[1,5)', '[5,7)', '[4,6)', NULL, '[8,9)', '[8,9)', 'empty', 'empty']::int4range[], '{"on_error": "reject", "batch_size": 3}');
SELECT row_number, sqlstate, reason FROM rejects('ex');
CREATE TABLE un (v integer UNIQUE NULLS NOT DISTINCT);
SELECT inserted, rejected FROM dbperf.bulk_insert('un', '{v}', ARRAY[NULL, 1, NULL, 2, NULL, 1], '{"on_error": "reject"}');
SELECT row_number FROM rejects('un');

-- indexes of every kind find the rows
CREATE TABLE ix (id integer, small smallint, big bigint, at timestamptz, ts timestamp, d date, tm time, f float8, f4 real, o oid, b boolean, c "char", t text, tt text COLLATE "C", u uuid, n numeric, m money,
    arr integer[], js jsonb, r int4range, e integer, name name);
CREATE INDEX ON ix (id);
CREATE INDEX ON ix (small DESC NULLS LAST, big);
CREATE INDEX ON ix (at, id, d) INCLUDE (t);
CREATE INDEX ON ix (ts DESC, tm);
CREATE INDEX ON ix (f, f4);
CREATE INDEX ON ix (f4 DESC);
CREATE INDEX ON ix (o, b);
CREATE INDEX ON ix (c);
CREATE INDEX ON ix (m);
CREATE INDEX ON ix (id, t);
CREATE INDEX ON ix (t DESC, tt);
CREATE INDEX ON ix (n);
CREATE INDEX ON ix (name);
CREATE INDEX ON ix (id) WHERE id % 3 = 0;
CREATE UNIQUE INDEX ON ix (e) WHERE e > 0;
CREATE INDEX ON ix ((id % 10));
CREATE INDEX ON ix (lower(t), id);
CREATE INDEX ON ix (id, (id % 7));
CREATE INDEX ON ix USING hash (u);
CREATE INDEX ON ix USING hash (id);
CREATE INDEX ON ix USING gin (arr);
CREATE INDEX ON ix USING gin (js jsonb_path_ops);
CREATE INDEX ON ix USING gist (r);
CREATE INDEX ON ix USING brin (at) WITH (pages_per_range = 1, autosummarize = on);
CREATE INDEX ON ix USING spgist (t);
CREATE FUNCTION fill_ix(nrows integer, seed float8, batch integer, on_error text) RETURNS bigint LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM setseed(seed);
    CREATE TEMP TABLE given AS
        SELECT nullif((random() * 500)::integer, 0) AS id, (random() * 60000 - 30000)::smallint AS small, ((random() - 0.5) * 1e18)::bigint AS big,
            CASE WHEN random() < 0.1 THEN 'infinity' WHEN random() < 0.1 THEN NULL WHEN random() < 0.1 THEN '-infinity' ELSE '2000-01-01'::timestamptz + (random() - 0.5) * interval '10 years' END AS at,
            '2000-01-01'::timestamp + (random() - 0.5) * interval '10 years' AS ts, '2000-01-01'::date + (random() * 1000 - 500)::integer AS d, '00:00'::time + random() * interval '1 day' AS tm,
            CASE (random() * 10)::integer WHEN 0 THEN 'NaN' WHEN 1 THEN '-0' WHEN 2 THEN 0 WHEN 3 THEN NULL WHEN 4 THEN '-Infinity' WHEN 5 THEN -random() ELSE (random() - 0.5) * 1e10 END::float8 AS f,
            CASE (random() * 10)::integer WHEN 0 THEN 'NaN' WHEN 1 THEN '-0' WHEN 2 THEN 0 WHEN 3 THEN NULL ELSE random() - 0.5 END::real AS f4,
            (random() * 4294967295)::bigint::oid AS o, random() < 0.5 AS b, chr((random() * 90)::integer + 33)::"char" AS c, CASE WHEN random() < 0.1 THEN NULL ELSE md5(random()::text) || repeat('x', (random() * 100)::integer) END AS t,
            md5(random()::text) AS tt, md5(random()::text)::uuid AS u, (random() * 1000)::numeric(8, 3) AS n, (random() * 1000 - 500)::numeric::money AS m, ARRAY[(random() * 100)::integer, (random() * 100)::integer] AS arr,
            jsonb_build_object('k', (random() * 100)::integer) AS js, int4range((random() * 100)::integer, 100 + (random() * 100)::integer) AS r, i * (CASE WHEN random() < 0.5 THEN 1 ELSE -1 END) AS e, ('n' || (random() * 100)::integer)::name AS name
        FROM generate_series(1, nrows) i;
    -- arrays as columns go as slices of one length
    RETURN (SELECT b.inserted FROM (SELECT array_agg(id) AS id, array_agg(small) AS small, array_agg(big) AS big, array_agg(at) AS at, array_agg(ts) AS ts, array_agg(d) AS d, array_agg(tm) AS tm, array_agg(f) AS f, array_agg(f4) AS f4, array_agg(o) AS o,
            array_agg(b) AS b, array_agg(c) AS c, array_agg(t) AS t, array_agg(tt) AS tt, array_agg(u) AS u, array_agg(n) AS n, array_agg(m) AS m, array_agg(arr) AS arr, array_agg(js) AS js, array_agg(r) AS r, array_agg(e) AS e, array_agg(name) AS name FROM given g) x,
        dbperf.bulk_insert('t.ix', '{id,small,big,at,ts,d,tm,f,f4,o,b,c,t,tt,u,n,m,arr,js,r,e,name}',
            ROW(x.id, x.small, x.big, x.at, x.ts, x.d, x.tm, x.f, x.f4, x.o, x.b, x.c, x.t, x.tt, x.u, x.n, x.m, x.arr, x.js, x.r, x.e, x.name), batch, fill_ix.on_error) b);
END
$$;
SELECT fill_ix(3000, 0.1, 1000, 'abort');
TABLE given EXCEPT ALL TABLE ix;
UPDATE ix SET e = -e WHERE e > 0;
DROP TABLE given;
SELECT fill_ix(2999, 0.2, 1, 'abort');
DROP TABLE given;
-- half of them are in the partial unique index already
SELECT 3000 - fill_ix(3000, 0.3, 1000, 'reject') AS bad \gset
SELECT :bad > 0 AS some, count(*) = :bad AS exact, min(reason) FROM rejects('ix');
CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA public;
SELECT count(public.bt_index_parent_check(x.indexrelid, true, true)) AS checked FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_am a ON a.oid = c.relam
    WHERE x.indrelid = 'ix'::regclass AND a.amname = 'btree';
-- with and without each index, the same rows
CREATE FUNCTION differ(condition text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    by_index bigint;
    by_scan  bigint;
    plan     text;
    used     boolean := false;
BEGIN
    SET LOCAL enable_seqscan = off;
    SET LOCAL enable_indexscan = on;
    SET LOCAL enable_bitmapscan = on;
    SET LOCAL enable_indexonlyscan = on;
    FOR plan IN EXECUTE 'EXPLAIN SELECT count(*) FROM t.ix WHERE ' || condition LOOP
        used := used OR plan ~ 'Index|Bitmap';
    END LOOP;
    EXECUTE 'SELECT count(*) FROM t.ix WHERE ' || condition INTO by_index;
    SET LOCAL enable_seqscan = on;
    SET LOCAL enable_indexscan = off;
    SET LOCAL enable_bitmapscan = off;
    SET LOCAL enable_indexonlyscan = off;
    EXECUTE 'SELECT count(*) FROM t.ix WHERE ' || condition INTO by_scan;
    RETURN CASE WHEN NOT used THEN 'not used' WHEN by_scan = 0 THEN 'nothing' WHEN by_index <> by_scan THEN format('%s by index, %s', by_index, by_scan) END;
END
$$;
SELECT condition, differ FROM unnest(ARRAY['id = 77', 'id % 10 = 3', 'u = (SELECT u FROM given LIMIT 1)', 'arr @> ARRAY[5]', 'js @> ''{"k": 5}''', 'r && ''[5,120)''', 'at > ''2001-01-01''', 't ^@ ''a''', 'f = 0', 'f = ''NaN''', 'e = 77', 'f4 < 0']) condition,
    differ(condition) WHERE differ IS NOT NULL;
DROP TABLE ix, given;

-- foreign keys
CREATE TABLE pk (a integer, b integer, PRIMARY KEY (a, b));
CREATE TABLE one (id integer PRIMARY KEY);
INSERT INTO pk SELECT i / 10, i % 10 FROM generate_series(10, 99) i;
INSERT INTO one SELECT i FROM generate_series(1, 100) i;
CREATE TABLE fk (n integer, one integer REFERENCES one, late integer REFERENCES one DEFERRABLE INITIALLY DEFERRED, a integer, b integer, c integer, d integer,
    FOREIGN KEY (a, b) REFERENCES pk MATCH FULL, FOREIGN KEY (c, d) REFERENCES pk MATCH SIMPLE);
SELECT inserted FROM dbperf.bulk_insert('fk', '{n,one}', ids(50), ids(50, 3, NULL));
SELECT fails_at($$SELECT dbperf.bulk_insert('fk', '{n,one}', ids(50), ids(50, 20, 101))$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('fk', '{n,one}', ids(50), ids(50, 20, 101), '{"batch_size": 7}')$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('fk', '{n,a,b}', ids(3), ARRAY[1, NULL, 2], ARRAY[0, NULL, NULL])$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('fk', '{n,c,d}', ids(3), ARRAY[1, NULL, 20], ARRAY[0, NULL, 0])$$);
SELECT inserted, rejected FROM dbperf.bulk_insert('fk', '{n,one,a,b,c,d}', ids(6), ARRAY[1, 2, 101, 1, 2, NULL], ARRAY[1, NULL, 1, 9, 9, 10], ARRAY[1, NULL, 1, 9, NULL, 0], ARRAY[9, 9, 9, 9, 9, 9], ARRAY[9, NULL, 9, 10, 9, 9], '{"on_error": "reject"}');
SELECT row_number, sqlstate, reason FROM rejects('fk');
BEGIN;
SELECT inserted, rejected FROM dbperf.bulk_insert('fk', '{n,late}', ids(3), ARRAY[1, 1000, 1001], '{"on_error": "reject"}');
INSERT INTO one VALUES (1000);
COMMIT;
BEGIN;
SELECT inserted FROM dbperf.bulk_insert('fk', '{n,late}', ids(3), ARRAY[1, 1000, 1001]);
INSERT INTO one VALUES (1000), (1001);
COMMIT;
SELECT count(*), count(late) FROM fk;
-- who is referred to stays until the transaction ends; a check of 4,000 rows at a time
ALTER TABLE fk DROP CONSTRAINT fk_late_fkey;
TRUNCATE fk;
SELECT inserted FROM dbperf.bulk_insert('fk', '{n,one}', ids(10000), (SELECT array_agg(i % 100 + 1) FROM generate_series(1, 10000) i), '{"batch_size": 100000}');
SELECT fails_at($$SELECT dbperf.bulk_insert('fk', '{n,one}', ids(10000), (SELECT array_agg(CASE i WHEN 9000 THEN 0 WHEN 9500 THEN 0 ELSE i % 100 + 1 END ORDER BY i) FROM generate_series(1, 10000) i), '{"batch_size": 100000}')$$);
SELECT inserted, rejected FROM dbperf.bulk_insert('fk', '{n,one}', ids(10000), (SELECT array_agg(CASE i WHEN 9000 THEN 0 WHEN 9500 THEN 0 ELSE i % 100 + 1 END ORDER BY i) FROM generate_series(1, 10000) i), '{"batch_size": 100000, "on_error": "reject"}');
SELECT row_number FROM rejects('fk');
SELECT count(*), count(DISTINCT one) FROM fk;
-- to the table itself: to rows of the same batch, of later batches, of themselves
CREATE TABLE tree (id integer PRIMARY KEY, parent integer REFERENCES tree);
SELECT inserted FROM dbperf.bulk_insert('tree', '{id,parent}', ids(10000), (SELECT array_agg(10001 - i ORDER BY i) FROM generate_series(1, 10000) i), '{"batch_size": 100000}');
SELECT fails_at($$SELECT dbperf.bulk_insert('tree', '{id,parent}', ARRAY[20001, 20002, 20003, 20004], ARRAY[1, 20003, 20003, 30000])$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('tree', '{id,parent}', ARRAY[20001, 20002, 20003, 20004], ARRAY[1, 20003, 20003, 1], '{"batch_size": 2}')$$);
SELECT inserted, rejected FROM dbperf.bulk_insert('tree', '{id,parent}', ARRAY[20001, 20002, 20003, 20004], ARRAY[1, 20003, 20003, 30000], '{"on_error": "reject"}');
SELECT row_number, reason FROM rejects('tree');
-- a row that only refers to a row that is left out is left out, too
SELECT inserted, rejected FROM dbperf.bulk_insert('tree', '{id,parent}', ARRAY[30001, 30002, 30003, 30004, 30005], ARRAY[NULL, 30003, 30004, 40000, 30001], '{"on_error": "reject"}');
SELECT row_number FROM rejects('tree');
SELECT id FROM tree WHERE id > 30000 ORDER BY id;
-- triggers that are off, and a session that has them off
ALTER TABLE fk DISABLE TRIGGER ALL;
SELECT inserted FROM dbperf.bulk_insert('fk', '{n,one}', ids(2), ARRAY[0, 0]);
ALTER TABLE fk ENABLE TRIGGER ALL;
SET session_replication_role = replica;
SELECT inserted FROM dbperf.bulk_insert('fk', '{n,one}', ids(2), ARRAY[0, 0], '{"on_error": "reject"}');
RESET session_replication_role;
SELECT count(*) FROM fk WHERE one = 0;
-- of other types on both sides, with values that are equal but not the same
CREATE TABLE num (id numeric PRIMARY KEY, t text COLLATE "C" UNIQUE);
INSERT INTO num VALUES (1.0, 'a'), (2, 'b');
CREATE TABLE to_num (i integer REFERENCES num, n numeric REFERENCES num, t varchar REFERENCES num (t));
SELECT inserted, rejected FROM dbperf.bulk_insert('to_num', '{i,n,t}', ARRAY[1, 2, 3, 1, 1], ARRAY[1.00, 2.0, 1, 1.000, 1.1], ARRAY['a', 'b', 'a', 'c', 'a'], '{"on_error": "reject"}');
SELECT row_number, reason FROM rejects('to_num');
