--
-- Rows of columnar tables are read and written with the statements that everybody knows, directly and
-- through the parent of partitions
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set columnar :abs_srcdir '/sql/lib/columnar.sql'
\set ECHO none
\i :setup
\i :columnar
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_dbperf_desk;
CREATE ROLE regress_dbperf_desk;
RESET client_min_messages;
\set ECHO all
CREATE TABLE tick (id integer PRIMARY KEY, at timestamptz NOT NULL, instrument integer, price numeric(12, 4), note text) USING dbperf_columnar;
INSERT INTO tick SELECT i, '2026-01-01'::timestamptz + i * interval '1 min', 1 + i % 3, 100 + (i % 40) / 4.0, CASE WHEN i % 5 = 0 THEN 'note ' || i END
    FROM generate_series(1, 1000) i;
SELECT pack('tick');
SELECT count(*), sum(price), min(at), max(note) FROM tick;
--
-- SELECT
--
SELECT * FROM tick WHERE id IN (1, 5, 1000) ORDER BY id;
SELECT instrument, count(*), avg(price)::numeric(12, 4), count(note) FROM tick WHERE at >= '2026-01-01 10:00' GROUP BY instrument ORDER BY 1;
SELECT count(*), count(DISTINCT a.price) FROM tick a JOIN tick b ON b.id = a.id + 1 AND b.price > a.price;
SELECT id, lag(price) OVER (ORDER BY id), price FROM tick WHERE id < 4 ORDER BY id;
SELECT count(*) FROM tick WHERE note IS NULL;
SELECT t, t IS NULL AS no_row FROM tick t WHERE id = 5;
SELECT tableoid::regclass, xmin IS NOT NULL AS has_xmin, cmin, xmax = 0 AS no_xmax FROM tick WHERE id = 5;
SELECT count(*), count(DISTINCT ctid) FROM tick;
SELECT a.id FROM tick a WHERE ctid = (SELECT ctid FROM tick b WHERE b.id = 77);
SELECT id FROM tick WHERE ctid = ANY (ARRAY(SELECT ctid FROM tick WHERE id BETWEEN 40 AND 43)) ORDER BY id;
SELECT count(*) FROM tick WHERE ctid >= '(0,0)';
SELECT count(*) FROM tick TABLESAMPLE BERNOULLI (100);
SELECT count(*) BETWEEN 300 AND 700 AS about_half FROM tick TABLESAMPLE BERNOULLI (50) REPEATABLE (7);
SELECT count(*) FROM tick TABLESAMPLE SYSTEM (100);
SELECT EXISTS (SELECT FROM tick WHERE id = 12) AND NOT EXISTS (SELECT FROM tick WHERE id = 1012) AS found;
SELECT id FROM tick WHERE instrument = 2 EXCEPT SELECT id FROM tick WHERE id > 5 ORDER BY 1;
-- cursors go both ways
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id FROM tick;
MOVE LAST IN c;
FETCH PRIOR FROM c;
MOVE ABSOLUTE 500 IN c;
FETCH BACKWARD 2 FROM c;
FETCH FORWARD 2 FROM c;
MOVE BACKWARD ALL IN c;
FETCH 1 FROM c;
COMMIT;
-- prepared, before and after the table changes
PREPARE one AS SELECT count(*), sum(price) FROM tick WHERE instrument = $1;
EXECUTE one (1);
PREPARE all_of_it AS SELECT id FROM tick WHERE id = 3;
EXECUTE all_of_it;
-- in parallel
BEGIN;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL max_parallel_workers_per_gather = 2;
SELECT plan_of('SELECT count(*), sum(id) FROM tick') ~ 'Gather.*Parallel Seq Scan on tick' AS in_parallel;
SELECT count(*), sum(id) FROM tick;
COMMIT;
-- indexes are not read, whatever one wishes
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT * FROM tick WHERE id = 5;
SELECT id FROM tick WHERE id = 5;
RESET enable_seqscan;
--
-- INSERT
--
INSERT INTO tick VALUES (1001, '2026-02-01', 1, 1.5, 'late') RETURNING *;
INSERT INTO tick (id, at) VALUES (1002, '2026-02-02'), (1003, '2026-02-03');
INSERT INTO tick SELECT id + 10000, at, instrument, price, note FROM tick WHERE id <= 3;
SELECT * FROM tick WHERE id > 1000 ORDER BY id;
SELECT fails($$INSERT INTO tick VALUES (500, now())$$);
SELECT fails($$INSERT INTO tick VALUES (1002, now())$$);
SELECT fails($$INSERT INTO tick VALUES (3000, NULL)$$);
SELECT fails($$INSERT INTO tick SELECT 5000 + i / 2, now() FROM generate_series(1, 4) i$$);
COPY tick FROM STDIN (FORMAT csv);
2001,2026-03-01 00:00+00,2,7.25,"by, copy"
2002,2026-03-02 00:00+00,,,
\.
COPY (SELECT * FROM tick WHERE id > 1999 AND id < 3000 ORDER BY id) TO STDOUT;
\set VERBOSITY terse
COPY tick FROM STDIN (FORMAT csv);
2003,2026-03-01 00:00+00,2,7.25,fine
7,2026-03-01 00:00+00,2,7.25,is there
\.
\set VERBOSITY default
-- conflicts with rows in batches, and with late ones
INSERT INTO tick VALUES (5, '2026-05-05', 5, 5, 'again'), (1001, '2026-05-05', 5, 5, 'again'), (1004, '2026-05-05', 5, 5, 'new') ON CONFLICT DO NOTHING RETURNING id;
INSERT INTO tick VALUES (5, '2026-05-05', 5, 5, 'again'), (1001, '2026-05-05', 5, 5, 'again'), (1005, '2026-05-05', 5, 5, 'new')
    ON CONFLICT (id) DO UPDATE SET note = EXCLUDED.note || ' was ' || tick.note, price = tick.price + 1 RETURNING id, price, note;
INSERT INTO tick VALUES (6, '2026-05-05') ON CONFLICT (id) DO UPDATE SET note = 'six' WHERE tick.instrument = 99 RETURNING id;
SELECT fails($$INSERT INTO tick VALUES (8, '2026-05-05'), (8, '2026-05-05') ON CONFLICT (id) DO UPDATE SET note = 'twice'$$);
SELECT count(*) FROM tick WHERE id IN (5, 6, 8, 1001);
--
-- UPDATE
--
UPDATE tick SET note = 'changed' WHERE id = 10 RETURNING id, note;
UPDATE tick SET price = price + 1000 WHERE id BETWEEN 20 AND 29;
UPDATE tick SET (price, note) = (SELECT max(price), 'most' FROM tick) WHERE id = 11 RETURNING price, note;
UPDATE tick a SET note = b.note FROM tick b WHERE b.id = 15 AND a.id IN (16, 17) RETURNING a.id, a.note;
UPDATE tick SET id = 3000 WHERE id = 30;
SELECT fails('UPDATE tick SET id = 31 WHERE id = 32');
SELECT id, price, note FROM tick WHERE id IN (10, 11, 16, 17, 20, 29, 30, 31, 32, 3000) ORDER BY id;
-- twice in one command it is not possible, and in two it is
WITH first AS (UPDATE tick SET note = 'first' WHERE id = 33 RETURNING id) UPDATE tick SET note = 'second' WHERE id IN (SELECT id FROM first);
BEGIN;
UPDATE tick SET note = 'one' WHERE id = 33;
UPDATE tick SET note = note || ', two' WHERE id = 33;
DELETE FROM tick WHERE id = 33 RETURNING note;
ROLLBACK;
SELECT note FROM tick WHERE id = 33;
--
-- DELETE
--
DELETE FROM tick WHERE id = 40 RETURNING id, price;
DELETE FROM tick WHERE id BETWEEN 41 AND 49;
DELETE FROM tick WHERE id = 40;
DELETE FROM tick a USING tick b WHERE b.id = a.id + 1 AND b.id = 51 RETURNING a.id, b.id;
INSERT INTO tick (id, at, note) VALUES (40, '2026-06-01', 'a key that is free again');
SELECT id, note FROM tick WHERE id BETWEEN 39 AND 52 ORDER BY id;
SELECT count(*), sum(price) FROM tick;
--
-- MERGE
--
MERGE INTO tick USING (VALUES (60, 1), (61, 2), (62, 3), (4000, 4)) s (id, what) ON tick.id = s.id
    WHEN MATCHED AND what = 1 THEN UPDATE SET note = 'merged'
    WHEN MATCHED AND what = 2 THEN DELETE
    WHEN MATCHED THEN DO NOTHING
    WHEN NOT MATCHED THEN INSERT (id, at, note) VALUES (s.id, '2026-07-01', 'by merge');
SELECT id, note FROM tick WHERE id IN (60, 61, 62, 4000) ORDER BY id;
--
-- Locks and cursors with a place
--
BEGIN;
SELECT id, price FROM tick WHERE id IN (70, 1001) ORDER BY id FOR UPDATE;
SELECT id FROM tick WHERE id = 70 FOR KEY SHARE;
SELECT id FROM tick WHERE id = 71 FOR NO KEY UPDATE SKIP LOCKED;
SELECT id FROM tick WHERE id < 200 AND id > 190 ORDER BY id DESC LIMIT 2 FOR SHARE NOWAIT;
UPDATE tick SET note = 'locked' WHERE id = 70;
COMMIT;
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM tick WHERE id IN (80, 81, 82) ORDER BY id FOR UPDATE;
FETCH 1 FROM c;
UPDATE tick SET note = 'current' WHERE CURRENT OF c;
FETCH 1 FROM c;
DELETE FROM tick WHERE CURRENT OF c;
COMMIT;
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM tick WHERE id = 83;
FETCH c;
UPDATE tick SET note = 'plain cursor' WHERE CURRENT OF c;
SELECT fails('DELETE FROM tick WHERE CURRENT OF nothing');
COMMIT;
SELECT id, note FROM tick WHERE id IN (70, 80, 81, 82, 83) ORDER BY id;
--
-- Savepoints, snapshots, prepared transactions
--
BEGIN;
DELETE FROM tick WHERE id = 100;
SAVEPOINT a;
DELETE FROM tick WHERE id = 101;
UPDATE tick SET note = 'inside' WHERE id = 102;
INSERT INTO tick (id, at) VALUES (5001, '2026-08-01');
SELECT count(*) FROM tick WHERE id IN (100, 101, 102, 5001);
ROLLBACK TO a;
SELECT count(*) FROM tick WHERE id IN (100, 101, 102, 5001);
SAVEPOINT b;
DELETE FROM tick WHERE id = 101;
RELEASE b;
COMMIT;
SELECT id, note FROM tick WHERE id IN (100, 101, 102, 5001);
-- a cursor sees what was there when it was declared
BEGIN;
DECLARE c CURSOR FOR SELECT count(*) FROM tick WHERE id BETWEEN 110 AND 119;
DECLARE d CURSOR FOR SELECT id FROM tick WHERE id BETWEEN 110 AND 112 ORDER BY id;
FETCH 1 FROM d;
DELETE FROM tick WHERE id BETWEEN 110 AND 115;
INSERT INTO tick (id, at) VALUES (111, '2026-09-01');
FETCH c;
FETCH ALL FROM d;
SELECT count(*) FROM tick WHERE id BETWEEN 110 AND 119;
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
UPDATE tick SET note = 'two phases' WHERE id = 120;
DELETE FROM tick WHERE id = 121;
INSERT INTO tick (id, at) VALUES (5002, '2026-08-01');
PREPARE TRANSACTION 'columnar';
SELECT id, note FROM tick WHERE id IN (120, 121, 5002) ORDER BY id;
SET lock_timeout = '10ms';
SELECT fails('DELETE FROM tick WHERE id = 121');
RESET lock_timeout;
COMMIT PREPARED 'columnar';
SELECT id, note FROM tick WHERE id IN (120, 121, 5002) ORDER BY id;
BEGIN;
DELETE FROM tick WHERE id < 500;
PREPARE TRANSACTION 'columnar';
ROLLBACK PREPARED 'columnar';
-- all that folded into batches again
SELECT count(*), sum(price), count(note) FROM tick;
SELECT pack('tick');
SELECT count(*), sum(price), count(note) FROM tick;
EXECUTE one (1);
EXECUTE all_of_it;
--
-- Triggers
--
CREATE TABLE seen (n serial, what text);
CREATE FUNCTION note_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO t.seen (what) VALUES (concat_ws(' ', TG_WHEN, TG_OP, CASE WHEN TG_OP <> 'INSERT' THEN OLD.id || ':' || coalesce(OLD.note, '-') END,
        CASE WHEN TG_OP <> 'DELETE' THEN NEW.id || ':' || coalesce(NEW.note, '-') END));
    IF TG_OP = 'DELETE' THEN
        RETURN CASE WHEN OLD.id = 204 THEN NULL ELSE OLD END;
    END IF;
    IF TG_WHEN = 'BEFORE' THEN
        NEW.note := coalesce(NEW.note, '') || '!';
    END IF;
    RETURN NEW;
END
$$;
CREATE FUNCTION note_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO t.seen (what) SELECT format('%s all: %s rows', TG_OP, count(*)) FROM changed;
    RETURN NULL;
END
$$;
CREATE TRIGGER before_row BEFORE INSERT OR UPDATE OR DELETE ON tick FOR EACH ROW EXECUTE FUNCTION note_row();
CREATE TRIGGER after_row AFTER INSERT OR UPDATE OR DELETE ON tick FOR EACH ROW EXECUTE FUNCTION note_row();
CREATE TRIGGER updated AFTER UPDATE ON tick REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_all();
CREATE TRIGGER deleted AFTER DELETE ON tick REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_all();
UPDATE tick SET note = 'triggered' WHERE id IN (201, 202);
DELETE FROM tick WHERE id = 203;
DELETE FROM tick WHERE id = 204;
INSERT INTO tick (id, at) VALUES (201, '2026-08-01') ON CONFLICT (id) DO UPDATE SET note = 'conflict';
SELECT what FROM seen ORDER BY n;
SELECT id, note FROM tick WHERE id BETWEEN 200 AND 205 ORDER BY id;
DROP TRIGGER before_row ON tick;
DROP TRIGGER after_row ON tick;
DROP TRIGGER updated ON tick;
DROP TRIGGER deleted ON tick;
CREATE CONSTRAINT TRIGGER at_the_end AFTER DELETE ON tick DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note_row();
TRUNCATE seen;
BEGIN;
DELETE FROM tick WHERE id = 210;
SELECT count(*) FROM seen;
COMMIT;
SELECT what FROM seen;
DROP TRIGGER at_the_end ON tick;
--
-- Foreign keys, both ways
--
CREATE TABLE instrument (id integer PRIMARY KEY, name text) USING dbperf_columnar;
INSERT INTO instrument SELECT i, 'instrument ' || i FROM generate_series(1, 10) i;
SELECT pack('instrument');
ALTER TABLE tick ADD FOREIGN KEY (instrument) REFERENCES instrument ON UPDATE CASCADE ON DELETE SET NULL NOT VALID;
SELECT fails($$ALTER TABLE tick VALIDATE CONSTRAINT tick_instrument_fkey$$) ~ 'no error' AS valid;
SELECT fails($$INSERT INTO tick VALUES (6000, '2026-01-01', 77)$$);
INSERT INTO tick VALUES (6000, '2026-01-01', 7);
SELECT fails($$UPDATE tick SET instrument = 78 WHERE id = 300$$);
SELECT count(*) FROM tick WHERE instrument = 3;
UPDATE instrument SET id = 13 WHERE id = 3;
SELECT count(*) FILTER (WHERE instrument = 13) AS new, count(*) FILTER (WHERE instrument = 3) AS old FROM tick;
DELETE FROM instrument WHERE id = 13;
SELECT count(*) FILTER (WHERE instrument = 13) AS old, count(*) FILTER (WHERE instrument IS NULL) > 300 AS none FROM tick;
CREATE TABLE fill (n integer, tick integer REFERENCES tick ON DELETE CASCADE);
INSERT INTO fill VALUES (1, 400), (2, 400), (3, 401), (4, 6000);
SELECT fails('INSERT INTO fill VALUES (9, 9999)');
DELETE FROM tick WHERE id IN (400, 6000);
SELECT * FROM fill ORDER BY n;
SELECT fails('UPDATE tick SET id = 9000 WHERE id = 401');
UPDATE tick SET note = 'not the key' WHERE id = 401 RETURNING note;
SELECT fails('TRUNCATE tick');
DROP TABLE fill;
--
-- Generated columns, defaults, checks
--
CREATE TABLE made (id bigint GENERATED BY DEFAULT AS IDENTITY, v integer DEFAULT 7 CHECK (v > 0), double integer GENERATED ALWAYS AS (v * 2) STORED, UNIQUE (v) DEFERRABLE) USING dbperf_columnar;
INSERT INTO made (v) SELECT i FROM generate_series(1, 20) i;
SELECT pack('made');
INSERT INTO made DEFAULT VALUES RETURNING *;
INSERT INTO made (v) VALUES (100) RETURNING *;
UPDATE made SET v = 200 WHERE v = 3 RETURNING *;
SELECT fails('UPDATE made SET v = -1 WHERE v = 4');
SELECT fails('UPDATE made SET double = 1 WHERE v = 4');
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
UPDATE made SET v = v + 1 WHERE v BETWEEN 10 AND 20;
UPDATE made SET v = 9 WHERE v = 10;
SELECT fails('SET CONSTRAINTS ALL IMMEDIATE');
ROLLBACK;
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
UPDATE made SET v = v + 1000;
COMMIT;
SELECT count(*), min(v), max(double) FROM made;
--
-- Row level security
--
GRANT USAGE ON SCHEMA t TO regress_dbperf_desk;
GRANT ALL ON tick TO regress_dbperf_desk;
ALTER TABLE tick ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON tick USING (id BETWEEN 500 AND 509) WITH CHECK (id < 10000);
SET ROLE regress_dbperf_desk;
SELECT count(*), min(id) FROM tick;
UPDATE tick SET note = 'desk' WHERE id BETWEEN 505 AND 520;
DELETE FROM tick WHERE id = 501 RETURNING id;
DELETE FROM tick WHERE id = 600;
INSERT INTO tick (id, at) VALUES (9999, '2026-01-01');
INSERT INTO tick (id, at) VALUES (10009, '2026-01-01');
SELECT id FROM tick WHERE id = 502 FOR UPDATE;
RESET ROLE;
SELECT count(*) FILTER (WHERE note = 'desk') AS changed, count(*) FILTER (WHERE id IN (501, 600)) AS left FROM tick;
ALTER TABLE tick DISABLE ROW LEVEL SECURITY;
--
-- Through the parent of partitions
--
CREATE TABLE quote (id integer, at date NOT NULL, bid float8, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE quote_1 PARTITION OF quote FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE quote_2 PARTITION OF quote FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
CREATE TABLE quote_3 PARTITION OF quote FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
INSERT INTO quote SELECT i, '2026-01-01'::date + i % 90, i / 8.0 FROM generate_series(1, 900) i;
SELECT pack('quote_1'), pack('quote_2'), am('quote_1'), am('quote_3');
SELECT tableoid::regclass, count(*), sum(bid) FROM quote GROUP BY 1 ORDER BY 1;
EXPLAIN (COSTS OFF) SELECT * FROM quote WHERE at = '2026-01-05';
UPDATE quote SET bid = 0 WHERE id IN (1, 2, 40, 70) RETURNING tableoid::regclass, *;
UPDATE quote SET at = '2026-03-30' WHERE id = 3 RETURNING tableoid::regclass, *;
UPDATE quote SET at = '2026-01-30' WHERE id IN (4, 88) RETURNING tableoid::regclass, *;
DELETE FROM quote WHERE id BETWEEN 5 AND 100 AND at < '2026-02-10';
INSERT INTO quote VALUES (1, '2026-01-02', 5) ON CONFLICT (id, at) DO UPDATE SET bid = quote.bid - 1 RETURNING tableoid::regclass, *;
MERGE INTO quote USING (VALUES (101, '2026-01-12'::date), (102, '2026-01-13')) s (id, at) ON quote.id = s.id AND quote.at = s.at
    WHEN MATCHED AND s.id = 101 THEN DELETE WHEN MATCHED THEN UPDATE SET at = '2026-03-31';
SELECT tableoid::regclass, count(*), sum(bid) FROM quote GROUP BY 1 ORDER BY 1;
SELECT tableoid::regclass, * FROM quote WHERE id IN (1, 3, 4, 88, 101, 102) ORDER BY id;
SELECT fails($$INSERT INTO quote VALUES (2, '2026-01-03', 0)$$);
SELECT fails($$UPDATE quote SET at = '2027-01-01' WHERE id = 2$$);
COPY quote FROM STDIN;
1001	2026-01-15	1.5
1002	2026-03-15	2.5
\.
SELECT tableoid::regclass, * FROM quote WHERE id > 1000 ORDER BY id;
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM quote WHERE id = 200;
FETCH c;
DELETE FROM quote WHERE CURRENT OF c;
SELECT count(*) FROM quote WHERE id = 200;
ROLLBACK;
TRUNCATE quote_1;
SELECT tableoid::regclass, count(*) FROM quote GROUP BY 1 ORDER BY 1;
INSERT INTO quote VALUES (1, '2026-01-02', 5);
TRUNCATE quote;
SELECT count(*) FROM quote;
--
-- Temporary and unlogged tables
--
CREATE TEMPORARY TABLE mine (id integer PRIMARY KEY, v text) USING dbperf_columnar ON COMMIT PRESERVE ROWS;
INSERT INTO mine SELECT i, 'v' || i FROM generate_series(1, 50) i;
SELECT pack('mine');
UPDATE mine SET v = 'new' WHERE id = 4;
DELETE FROM mine WHERE id > 40;
SELECT count(*), min(v) FROM mine;
SELECT rows_of('INSERT INTO mine SELECT i, 1 FROM generate_series(41, 60) i ON CONFLICT DO NOTHING');
CREATE TEMPORARY TABLE gone (id integer) USING dbperf_columnar ON COMMIT DELETE ROWS;
BEGIN;
INSERT INTO gone SELECT generate_series(1, 20);
SELECT count(*) FROM gone;
COMMIT;
SELECT count(*) FROM gone;
CREATE UNLOGGED TABLE fast (id integer PRIMARY KEY, v text) USING dbperf_columnar;
INSERT INTO fast SELECT i, 'v' || i FROM generate_series(1, 50) i;
SELECT pack('fast');
DELETE FROM fast WHERE id = 7;
SELECT count(*) FROM fast;
SELECT fails($$INSERT INTO fast VALUES (8)$$);
-- what is left of it all
DROP TABLE tick, instrument, made, quote, mine, gone, fast, seen;
DROP OWNED BY regress_dbperf_desk;
DROP ROLE regress_dbperf_desk;
