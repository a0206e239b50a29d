--
-- Indexes of columnar tables: builds, and uniqueness across batches and rows
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS amcheck;
CREATE EXTENSION amcheck SCHEMA t;
CREATE EXTENSION btree_gist SCHEMA t;
RESET client_min_messages;

-- B-trees of a table are whole, and have all row tuples that there are
CREATE FUNCTION check_indexes(rel regclass) RETURNS SETOF name
LANGUAGE sql AS $$
    SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = relam,
        bt_index_check(indexrelid, true), bt_index_parent_check(indexrelid, true, true)
    WHERE indrelid = rel AND amname = 'btree' AND indisvalid ORDER BY 1
$$;
-- Rows of batches, and others
CREATE FUNCTION in_batch(tid) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$ SELECT split_part(ltrim($1::text, '('), ',', 1)::bigint >= 2147483648 $$;

CREATE TABLE u USING dbperf_columnar AS
SELECT g AS id, g % 100 AS series, timestamp '2026-01-01' + g * interval '1 minute' AS at, 'code ' || g AS code,
    CASE WHEN g % 10 = 0 THEN NULL ELSE g END AS maybe, g % 2 = 0 AS even, (g * 0.5)::float8 AS f
FROM generate_series(1, 20000) g;
SELECT count(*), count(*) FILTER (WHERE in_batch(ctid)) AS in_batches FROM u;

-- Keys are proven over the rows of batches
ALTER TABLE u ADD PRIMARY KEY (id);
ALTER TABLE u ADD CONSTRAINT u_series_at UNIQUE (series, at);
CREATE UNIQUE INDEX u_code ON u (code) INCLUDE (f);
CREATE UNIQUE INDEX u_maybe ON u (maybe);
CREATE UNIQUE INDEX u_f ON u (f DESC);
CREATE INDEX u_at ON u (at);
SELECT fails('CREATE UNIQUE INDEX u_series ON u (series)');
SELECT fails('ALTER TABLE u ADD UNIQUE (even)');
SELECT fails('CREATE UNIQUE INDEX u_nulls ON u (maybe) NULLS NOT DISTINCT');
CREATE UNIQUE INDEX CONCURRENTLY u_series ON u (series);
DROP INDEX u_series;
-- (18 leaves the table's number alone where autovacuum is off)
SELECT reltuples IN (20000, -1) AS counted FROM pg_class WHERE oid = 'u'::regclass;
SELECT relname, reltuples FROM pg_class WHERE oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = 'u'::regclass) ORDER BY 1;

-- and hold
SELECT fails('INSERT INTO u VALUES (17, 1, ''2025-01-01'', ''new'', 0, false, 0.1)');
SELECT fails('INSERT INTO u VALUES (20001, 17, ''2026-01-01 00:17'', ''new'', 0, false, 0.1)');
SELECT fails('INSERT INTO u VALUES (20001, 17, ''2025-01-01'', ''code 15000'', 0, false, 0.1)');
SELECT fails('INSERT INTO u VALUES (20001, 17, ''2025-01-01'', ''new'', 9999, false, 0.1)');
SELECT fails('INSERT INTO u VALUES (20001, 17, ''2025-01-01'', ''new'', 0, false, 10)');
INSERT INTO u VALUES (20001, 17, '2025-01-01', 'new', NULL, false, 0.1), (20002, 18, '2025-01-01', 'newer', NULL, false, 0.2);
SELECT fails('INSERT INTO u VALUES (20002, 17, ''2025-01-02'', ''newest'', NULL, false, 0.3)');
SELECT fails('INSERT INTO u SELECT g, 0, timestamp ''2024-01-01'' + g * interval ''1 day'', ''many '' || g, NULL, false, -g FROM generate_series(22000, 19995, -1) g');
SELECT fails('UPDATE u SET id = 5 WHERE id = 6');
SELECT fails('UPDATE u SET id = 5 WHERE id = 20001');
SELECT fails('UPDATE u SET id = 20001 WHERE id = 5');
SELECT fails('UPDATE u SET series = 1 WHERE id = 5 OR at = ''2026-01-01 00:01''');
SELECT fails('UPDATE u SET code = ''code 5'', f = 0.3 WHERE id = 20002');
UPDATE u SET f = f WHERE id IN (3, 4);
UPDATE u SET code = 'once ' || code WHERE id IN (5, 6);
UPDATE u SET code = 'code ' || (11 - id) WHERE id IN (5, 6);
SELECT id, code, in_batch(ctid) FROM u WHERE id < 10 ORDER BY id;
SELECT fails('INSERT INTO u VALUES (3, 17, ''2025-01-02'', ''newest'', NULL, false, 0.3)');
SELECT check_indexes('u');

-- A row that was deleted is not in the way
DELETE FROM u WHERE id IN (100, 20001);
INSERT INTO u VALUES (100, 0, '2026-01-01 01:40', 'code 100', NULL, true, 50);
BEGIN;
DELETE FROM u WHERE id = 101;
SAVEPOINT one;
INSERT INTO u VALUES (101, 0, '2026-01-01 01:40', 'code 101', NULL, true, 101 * 0.5);
ROLLBACK TO one;
INSERT INTO u VALUES (101, 1, '2026-01-01 01:41', 'code 101', NULL, true, 101 * 0.5);
SAVEPOINT two;
SELECT fails('INSERT INTO u VALUES (101, 1, ''2026-01-01 01:41'', ''code 101'', NULL, true, 101 * 0.5)');
ROLLBACK;
BEGIN;
SAVEPOINT one;
DELETE FROM u WHERE id = 102;
ROLLBACK TO one;
SELECT fails('INSERT INTO u VALUES (102, 1, ''2025-02-01'', ''more'', NULL, true, 0.7)');
COMMIT;
SELECT id, in_batch(ctid) FROM u WHERE id BETWEEN 99 AND 103 ORDER BY id;

-- ON CONFLICT
INSERT INTO u VALUES (200, 1, '2025-02-02', 'more', NULL, true, 0.7) ON CONFLICT DO NOTHING;
INSERT INTO u VALUES (200, 1, '2025-02-02', 'more', NULL, true, 0.7) ON CONFLICT (id) DO NOTHING;
INSERT INTO u VALUES (30000, 1, '2025-02-02', 'more', NULL, true, 0.7), (201, 1, '2026-01-01 03:21', 'x', NULL, true, 0.8)
ON CONFLICT (id) DO UPDATE SET code = 'was ' || u.code RETURNING id, code, at, in_batch(ctid);
INSERT INTO u VALUES (30001, 2, '2026-01-01 03:22', 'y', NULL, true, 0.9)
ON CONFLICT (series, at) DO UPDATE SET id = excluded.id RETURNING id, code;
SELECT fails('INSERT INTO u VALUES (30002, 3, ''2026-01-01 03:23'', ''z'', NULL, true, 1.5) ON CONFLICT (series, at) DO NOTHING');
INSERT INTO u VALUES (30002, 3, '2025-01-01 03:23', 'code 300', NULL, true, 1.6) ON CONFLICT ON CONSTRAINT u_series_at DO NOTHING;
INSERT INTO u SELECT g, 0, timestamp '2024-01-01' + g * interval '1 day', 'many ' || g, NULL, false, -g FROM generate_series(19995, 20010) g ON CONFLICT (id) DO NOTHING;
SELECT check_indexes('u');

-- COPY
\copy u FROM stdin
30010	0	2025-03-01	copied	\N	t	-0.1
30011	0	2025-03-02	code 444	\N	t	-0.2
\.
\copy u FROM stdin
30010	0	2025-03-01	copied	\N	t	-0.1
30011	0	2025-03-02	copied, too	\N	t	-0.2
\.

-- Indexes are built again, with and without entries of rows in batches
REINDEX TABLE u;
SELECT check_indexes('u');
REINDEX TABLE CONCURRENTLY u;
SELECT check_indexes('u');
SELECT fails('INSERT INTO u VALUES (300, 1, ''2025-02-01'', ''more 1'', NULL, true, 0.07)');
INSERT INTO u VALUES (300, 1, '2025-02-01', 'more 1', NULL, true, 0.07) ON CONFLICT DO NOTHING;
DELETE FROM u WHERE id BETWEEN 300 AND 310;
VACUUM u;
REINDEX INDEX u_pkey;
CREATE UNIQUE INDEX CONCURRENTLY u_both ON u (series, id);
SELECT fails('INSERT INTO u VALUES (311, 11, ''2025-02-01'', ''more 2'', NULL, true, 0.07)');
INSERT INTO u VALUES (300, 0, '2025-02-01', 'more 1', NULL, true, 0.07);
SELECT check_indexes('u');
SELECT count(*), count(DISTINCT id), count(DISTINCT (series, at)), count(DISTINCT code), count(maybe), count(DISTINCT maybe) FROM u;
DROP TABLE u;

-- NULLS NOT DISTINCT, and keys of several types
CREATE TABLE k USING dbperf_columnar AS
SELECT CASE WHEN g <> 7000 THEN g END AS a, CASE WHEN g % 3 <> 0 THEN md5(g::text)::uuid END AS b,
    (g || '.5')::numeric AS c, ARRAY[g, g + 1] AS d, ('[' || g || ',' || g + 1 || ')')::int4range AS e,
    CASE WHEN g = 10 THEN 'NaN' WHEN g = 11 THEN '-0' WHEN g = 12 THEN '-inf' ELSE g::float4 END AS f,
    ('name ' || g)::name AS g, B'1' || g::bit(20) AS h, g::bigint::money AS i, make_time(g % 24, g / 24 % 60, g / 1440) AS j,
    ('k' || g)::bpchar(9) AS k, decode(md5(g::text), 'hex') AS l, g::oid AS m, jsonb_build_object('g', g) AS n
FROM generate_series(1, 9000) g;
CREATE UNIQUE INDEX k_a ON k (a) NULLS NOT DISTINCT;
CREATE UNIQUE INDEX k_b ON k (b, a) NULLS NOT DISTINCT;
CREATE UNIQUE INDEX k_c ON k (c);
CREATE UNIQUE INDEX k_d ON k (d);
CREATE UNIQUE INDEX k_e ON k (e);
CREATE UNIQUE INDEX k_f ON k (f);
CREATE UNIQUE INDEX k_g ON k (g);
CREATE UNIQUE INDEX k_h ON k (h);
CREATE UNIQUE INDEX k_i ON k (i);
CREATE UNIQUE INDEX k_j ON k (j);
CREATE UNIQUE INDEX k_k ON k (k);
CREATE UNIQUE INDEX k_l ON k (l);
CREATE UNIQUE INDEX k_m ON k (m);
CREATE UNIQUE INDEX k_n ON k (n);
SELECT fails('INSERT INTO k (a) VALUES (NULL)');
SELECT fails('INSERT INTO k (a, b) VALUES (8997, NULL)');
SELECT fails('INSERT INTO k (a, c) VALUES (0, 8000.50)');
SELECT fails('INSERT INTO k (a, d) VALUES (0, ''{100,101}'')');
SELECT fails('INSERT INTO k (a, e) VALUES (0, ''[100,100]'')');
SELECT fails('INSERT INTO k (a, f) VALUES (0, ''NaN'')');
SELECT fails('INSERT INTO k (a, f) VALUES (0, 0)');
SELECT fails('INSERT INTO k (a, f) VALUES (0, ''-inf'')');
SELECT fails('INSERT INTO k (a, g) VALUES (0, ''name 8999'')');
SELECT fails('INSERT INTO k (a, h) VALUES (0, B''1'' || 8999::bit(20))');
SELECT fails('INSERT INTO k (a, i) VALUES (0, 8999::money)');
SELECT fails('INSERT INTO k (a, j) VALUES (0, ''13:00'')');
SELECT fails('INSERT INTO k (a, k) VALUES (0, ''k77   '')');
SELECT fails('INSERT INTO k (a, l) VALUES (0, decode(md5(''1''), ''hex''))');
SELECT fails('INSERT INTO k (a, m) VALUES (0, 8998)');
SELECT fails('INSERT INTO k (a, n) VALUES (0, ''{"g": 3}'')');
INSERT INTO k VALUES (0, NULL, 8000.51, '{100}', '[100,101]', '-1', 'name', '1', '$9,001', '13:00:00.1', 'k77 k', 'k', 9001, '{"g": "3"}');
SELECT fails('INSERT INTO k SELECT * FROM k WHERE a = 0');
SELECT check_indexes('k');

-- Collations
SET client_min_messages = warning;
CREATE COLLATION ignore_case (provider = icu, locale = '@colStrength=secondary', deterministic = false);
RESET client_min_messages;
CREATE TABLE c USING dbperf_columnar AS SELECT ('Wörter ' || g) COLLATE ignore_case AS w, 'a' || g AS v FROM generate_series(1, 100) g;
CREATE UNIQUE INDEX c_w ON c (w);
CREATE UNIQUE INDEX c_v ON c (v COLLATE ignore_case);
SELECT fails('INSERT INTO c VALUES (''WÖRTER 9'', ''x'')');
SELECT fails('INSERT INTO c VALUES (''x'', ''A11'')');
INSERT INTO c VALUES ('WÖRTER 101', 'A101');

-- An operator class by which other values are equal than usual
CREATE FUNCTION mod10_cmp(int, int) RETURNS int LANGUAGE sql IMMUTABLE STRICT AS 'SELECT btint4cmp($1 % 10, $2 % 10)';
CREATE FUNCTION mod10_lt(int, int) RETURNS bool LANGUAGE sql IMMUTABLE STRICT AS 'SELECT $1 % 10 < $2 % 10';
CREATE FUNCTION mod10_le(int, int) RETURNS bool LANGUAGE sql IMMUTABLE STRICT AS 'SELECT $1 % 10 <= $2 % 10';
CREATE FUNCTION mod10_eq(int, int) RETURNS bool LANGUAGE sql IMMUTABLE STRICT AS 'SELECT $1 % 10 = $2 % 10';
CREATE FUNCTION mod10_ge(int, int) RETURNS bool LANGUAGE sql IMMUTABLE STRICT AS 'SELECT $1 % 10 >= $2 % 10';
CREATE FUNCTION mod10_gt(int, int) RETURNS bool LANGUAGE sql IMMUTABLE STRICT AS 'SELECT $1 % 10 > $2 % 10';
CREATE OPERATOR <% (function = mod10_lt, leftarg = int, rightarg = int);
CREATE OPERATOR <=% (function = mod10_le, leftarg = int, rightarg = int);
CREATE OPERATOR =% (function = mod10_eq, leftarg = int, rightarg = int);
CREATE OPERATOR >=% (function = mod10_ge, leftarg = int, rightarg = int);
CREATE OPERATOR >% (function = mod10_gt, leftarg = int, rightarg = int);
CREATE OPERATOR CLASS mod10_ops FOR TYPE int USING btree AS
OPERATOR 1 <%, OPERATOR 2 <=%, OPERATOR 3 =%, OPERATOR 4 >=%, OPERATOR 5 >%, FUNCTION 1 mod10_cmp(int, int);
CREATE TABLE m USING dbperf_columnar AS SELECT g FROM generate_series(1, 7) g;
CREATE UNIQUE INDEX m_g ON m (g mod10_ops);
SELECT fails('INSERT INTO m VALUES (26)');
INSERT INTO m VALUES (28);

-- Partial indexes, and indexes on expressions
CREATE TABLE p USING dbperf_columnar AS SELECT g AS id, g / 2 AS half, g % 2 = 0 AS even, 'N' || g AS name FROM generate_series(1, 9000) g;
CREATE UNIQUE INDEX p_half ON p (half) WHERE even;
SELECT fails('CREATE UNIQUE INDEX p_odd ON p (half) WHERE half BETWEEN 10 AND 20');
CREATE UNIQUE INDEX p_lower ON p (lower(name));
CREATE UNIQUE INDEX p_both ON p ((id % 9001), name) WHERE id > 10;
SELECT fails('CREATE UNIQUE INDEX p_div ON p ((id / 10))');
SELECT relname, reltuples FROM pg_class WHERE relname ~ '^p_' AND relnamespace = 't'::regnamespace ORDER BY 1;
INSERT INTO p VALUES (9001, 17, false, 'N9001');
SELECT fails('INSERT INTO p VALUES (9002, 17, true, ''N9002'')');
SELECT fails('UPDATE p SET even = true WHERE id = 9001');
SELECT fails('INSERT INTO p VALUES (9002, 9000, true, ''n17'')');
INSERT INTO p VALUES (9002, 17, true, 'N9002') ON CONFLICT (half) WHERE even DO UPDATE SET half = 9002 RETURNING *;
INSERT INTO p VALUES (9003, 9003, true, 'n18') ON CONFLICT (lower(name)) DO UPDATE SET name = 'renamed' RETURNING *;
DELETE FROM p WHERE id = 19;
INSERT INTO p VALUES (19, 9, false, 'n19');
SELECT fails('INSERT INTO p VALUES (18002, 0, false, ''N9001'')');
SELECT fails('INSERT INTO p VALUES (18022, 0, false, ''N20'')');
SELECT check_indexes('p');
REINDEX TABLE CONCURRENTLY p;
SELECT check_indexes('p');

-- Deferred constraints
CREATE TABLE d USING dbperf_columnar AS SELECT g AS id, g AS rank FROM generate_series(1, 9000) g;
ALTER TABLE d ADD PRIMARY KEY (id), ADD CONSTRAINT d_rank UNIQUE (rank) DEFERRABLE INITIALLY DEFERRED;
UPDATE d SET rank = rank + 1;
BEGIN;
INSERT INTO d VALUES (9001, 9001);
DELETE FROM d WHERE rank = 9001 AND id = 9000;
COMMIT;
BEGIN;
INSERT INTO d VALUES (9002, 77);
COMMIT;
BEGIN;
INSERT INTO d VALUES (9002, 77);
UPDATE d SET rank = 10000 WHERE rank = 77 AND id < 9000;
SET CONSTRAINTS ALL IMMEDIATE;
COMMIT;
SELECT fails('ALTER TABLE d ALTER rank SET DEFAULT 1; INSERT INTO d VALUES (9003, 500); SET CONSTRAINTS ALL IMMEDIATE');
SELECT count(*), count(DISTINCT id), count(DISTINCT rank) FROM d;
SELECT check_indexes('d');

-- Exclusion constraints
CREATE TABLE x USING dbperf_columnar AS SELECT g AS id, g % 7 AS room, int4range(g * 10, g * 10 + 5) AS during FROM generate_series(1, 9000) g;
ALTER TABLE x ADD CONSTRAINT x_during EXCLUDE USING gist (room WITH =, during WITH &&);
SELECT fails('ALTER TABLE x ADD EXCLUDE USING gist (room WITH =)');
SELECT fails('INSERT INTO x VALUES (9001, 3, ''[30, 31)'')');
INSERT INTO x VALUES (9001, 3, '[35, 36)'), (9002, 2, '[30, 31)');
INSERT INTO x VALUES (9003, 3, '[30, 31)') ON CONFLICT DO NOTHING;
INSERT INTO x VALUES (9003, 3, '[30, 31)') ON CONFLICT ON CONSTRAINT x_during DO NOTHING;
SELECT fails('UPDATE x SET room = 3 WHERE id = 9002');
DELETE FROM x WHERE id = 3;
UPDATE x SET room = 3 WHERE id = 9002;
ALTER TABLE x ADD CONSTRAINT x_hash EXCLUDE USING hash (id WITH =);
SELECT fails('INSERT INTO x VALUES (7, 0, ''[0, 1)'')');
ALTER TABLE x ADD CONSTRAINT x_spgist EXCLUDE USING spgist (int4range(id, id + 1) WITH &&);
SELECT fails('INSERT INTO x VALUES (-7, 0, ''[0, 1)''), (-7, 0, ''[1, 2)'')');
SELECT fails('UPDATE x SET id = 8000 WHERE id = 9001');
ALTER TABLE x DROP CONSTRAINT x_hash;
SELECT fails('UPDATE x SET id = 8000 WHERE id = 9001');
SELECT relname, reltuples FROM pg_class WHERE relname ~ '^x_' AND relnamespace = 't'::regnamespace ORDER BY 1;

-- Every kind of index can be built, of row tuples only, and is not used by plans
CREATE INDEX x_brin ON x USING brin (id) WITH (pages_per_range = 1, autosummarize = off);
CREATE INDEX x_gin ON x USING gin ((ARRAY[id, room]));
CREATE INDEX x_gist ON x USING gist (during);
CREATE INDEX x_spgist_during ON x USING spgist (during);
CREATE INDEX x_plain_hash ON x USING hash (id);
CREATE INDEX CONCURRENTLY x_conc ON x USING gin ((ARRAY[id, room])) WHERE room < 3;
CREATE INDEX x_partial ON x (id) WHERE room = 3;
INSERT INTO x SELECT g, 8, int4range(g, g + 1) FROM generate_series(10000, 12000) g;
SELECT brin_summarize_new_values('x_brin') > 0 AS summarized;
SELECT brin_desummarize_range('x_brin', 0), brin_summarize_range('x_brin', 0);
REINDEX INDEX x_brin;
REINDEX INDEX CONCURRENTLY x_plain_hash;
VACUUM x;
SET seq_page_cost = 1000000;
SET random_page_cost = 0;
EXPLAIN (COSTS OFF) SELECT * FROM x WHERE id = 5;
EXPLAIN (COSTS OFF) SELECT id FROM x ORDER BY id LIMIT 1;
EXPLAIN (COSTS OFF) SELECT max(id) FROM x WHERE room = 3;
EXPLAIN (COSTS OFF) SELECT * FROM d a JOIN x b ON a.id = b.room;
EXPLAIN (COSTS OFF) SELECT * FROM x WHERE ARRAY[id, room] @> ARRAY[5] OR id = 6;
SELECT * FROM x WHERE id IN (5, 9002, 12000) ORDER BY id;
RESET seq_page_cost;
RESET random_page_cost;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET min_parallel_index_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT count(*) FROM x WHERE id < 100;
SELECT count(*) FROM x WHERE id < 100;
-- workers for an index build are not asked for
SET max_parallel_maintenance_workers = 4;
ALTER TABLE x SET (parallel_workers = 4);
SET client_min_messages = debug1;
CREATE UNIQUE INDEX x_id ON x (id, room);
RESET client_min_messages;
SELECT fails('CREATE UNIQUE INDEX x_room ON x (room)');
ALTER TABLE x RESET (parallel_workers);
RESET max_parallel_maintenance_workers;
RESET min_parallel_index_scan_size;
RESET min_parallel_table_scan_size;
RESET parallel_tuple_cost;
RESET parallel_setup_cost;
-- a unique index proves what it always does
EXPLAIN (COSTS OFF) SELECT u.id FROM x u LEFT JOIN d ON d.id = u.id;
SELECT check_indexes('x');

-- A key added to a column that batches do not have
ALTER TABLE x ADD COLUMN later int, ADD COLUMN default_7 int DEFAULT 7;
ALTER TABLE x ADD UNIQUE (later);
SELECT fails('ALTER TABLE x ADD UNIQUE (default_7)');
ALTER TABLE x ADD UNIQUE (default_7, id);
SELECT fails('INSERT INTO x (id, room, during, later) VALUES (7, 20, ''[0, 1)'', 1)');
INSERT INTO x (id, room, during, later) VALUES (12003, 20, '[0, 1)', 1);
SELECT fails('INSERT INTO x (id, room, during, later) VALUES (12004, 20, ''[2, 3)'', 1)');

-- All in one transaction, with batches that come and go
BEGIN;
CREATE TABLE one USING dbperf_columnar AS SELECT g AS id FROM generate_series(1, 100) g;
ALTER TABLE one ADD PRIMARY KEY (id);
SELECT fails('INSERT INTO one VALUES (50)');
INSERT INTO one VALUES (101);
SAVEPOINT a;
ALTER TABLE one SET ACCESS METHOD heap;
SELECT fails('INSERT INTO one VALUES (50)');
ROLLBACK TO a;
SELECT fails('INSERT INTO one VALUES (50)');
SAVEPOINT b;
TRUNCATE one;
INSERT INTO one VALUES (50), (51);
ROLLBACK TO b;
SELECT fails('INSERT INTO one VALUES (51)');
TRUNCATE one;
INSERT INTO one VALUES (51);
COMMIT;
INSERT INTO one VALUES (50);
SELECT fails('INSERT INTO one VALUES (51)');
SELECT * FROM one;

-- Temporary tables
CREATE TEMP TABLE tmp USING dbperf_columnar AS SELECT g AS id FROM generate_series(1, 100) g;
ALTER TABLE tmp ADD PRIMARY KEY (id);
SELECT fails('INSERT INTO tmp VALUES (50)');
CREATE UNLOGGED TABLE unlogged USING dbperf_columnar AS SELECT g AS id FROM generate_series(1, 100) g;
ALTER TABLE unlogged ADD PRIMARY KEY (id);
SELECT fails('INSERT INTO unlogged VALUES (50)');
