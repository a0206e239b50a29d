--
-- Soft delete: rows by their ids and by ranges, what becomes of DELETE, the log, and who may do it
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_dbperf_clerk, regress_dbperf_keeper, regress_dbperf_stranger, regress_dbperf_watcher;
CREATE ROLE regress_dbperf_keeper;
CREATE ROLE regress_dbperf_clerk;
CREATE ROLE regress_dbperf_stranger;
CREATE ROLE regress_dbperf_watcher IN ROLE pg_monitor;
RESET client_min_messages;
CREATE VIEW t.log AS SELECT action, parent, deleted_by, reason, row_count, keys, from_at, to_at, predicate, deleted_before IS NOT NULL AS purged
    FROM dbperf.soft_delete_log ORDER BY log_id;
\set ECHO all
--
-- By ids, on the tables of a trading application
--
SELECT dbperf.create_market_schema('t');
SET client_min_messages = warning;
SELECT dbperf.enable_soft_delete('market_data');
RESET client_min_messages;
INSERT INTO instruments (symbol) VALUES ('ACME'), ('BETA');
INSERT INTO market_data ("timestamp", instrument_id, price)
    SELECT '2026-11-01'::timestamptz + i * interval '1 day', 1 + i % 2, i FROM generate_series(0, 79) i;
SELECT dbperf.soft_delete('market_data', ARRAY[3, 1, 2, 3, 2, 1, 1000], 'ann', 'bad ticks', 2);
SELECT id, deleted_at = now() AS at_once, deleted_by FROM market_data WHERE deleted_at IS NOT NULL ORDER BY id;
SELECT dbperf.soft_delete('market_data', ARRAY[3, 1, 2, 4], 'bob') AS only_what_was_not;
SELECT id, deleted_by FROM market_data WHERE deleted_at IS NOT NULL ORDER BY id;
SELECT dbperf.restore('market_data', '{4,4,3}'::smallint[], 'cal', 'were good');
SELECT dbperf.restore('market_data', '{4,4,3}'::int[]);
SELECT dbperf.soft_delete('market_data', '{}'::int[]), dbperf.restore('market_data', '{}'::bigint[]);
SELECT dbperf.soft_delete_market_data(ARRAY[10, 11, 12], deleted_by => 'dee'), dbperf.restore_market_data(ARRAY[10], 'eve');
SELECT dbperf.soft_delete_market_data(ARRAY[13], target => 't.market_data', deleted_by => NULL);
SELECT deleted_by = current_user AS is_user FROM market_data WHERE id = 13;
SELECT * FROM log WHERE deleted_by <> current_user;
SELECT count(*) AS active FROM market_data_active;
-- a time range, a condition, or both
SELECT dbperf.soft_delete_range('market_data', '2026-12-01', '2026-12-11', deleted_by => 'ann', batch_size => 4);
SELECT dbperf.soft_delete_range('market_data', '2026-12-01', NULL, 'id % 2 = 0 -- even ones', 'ann', 'even', 1000);
SELECT min("timestamp"), max("timestamp"), count(*) FROM market_data WHERE deleted_at IS NOT NULL AND id > 13;
SELECT dbperf.restore_range('market_data', NULL, '2026-12-03', restored_by => 'bob');
SELECT dbperf.restore_range('market_data', NULL, NULL, 'id = 40 OR instrument_id = 7', 'bob');
SELECT action, row_count, keys[1], from_at, to_at, predicate FROM log WHERE from_at IS NOT NULL OR to_at IS NOT NULL OR predicate IS NOT NULL;
-- for good: nothing that this transaction has deleted, as it is not older than itself
SELECT dbperf.purge_deleted('market_data', '1 hour');
BEGIN;
SELECT dbperf.soft_delete('market_data', ARRAY[80]);
SELECT count(*) AS deleted FROM market_data WHERE deleted_at IS NOT NULL AND deleted_at <> now() \gset
SELECT dbperf.purge_deleted('market_data', '0', 7) = :deleted AS all_of_before;
SELECT id FROM market_data WHERE deleted_at IS NOT NULL;
SELECT sum(row_count) = :deleted AS all_logged, max(row_count), bool_and(purged) AS purged FROM log WHERE action = 'purge';
ROLLBACK;
SELECT count(*) AS nothing_of_it FROM log WHERE action = 'purge';
--
-- What is refused
--
SELECT fails($$SELECT dbperf.soft_delete(NULL, '{1}'::int[])$$);
SELECT fails($$SELECT dbperf.soft_delete('market_data', NULL::int[])$$);
SELECT fails($$SELECT dbperf.soft_delete('market_data', '{1,NULL}'::int[])$$);
SELECT fails($$SELECT dbperf.soft_delete('market_data', '{{1,2},{3,4}}'::int[])$$);
SELECT fails($$SELECT dbperf.soft_delete('market_data', '{1}'::text[])$$);
SELECT fails($$SELECT dbperf.soft_delete('market_data', '{1}'::int[], batch_size => 0)$$);
SELECT fails($$SELECT dbperf.soft_delete('market_data', '{1}'::int[], batch_size => NULL)$$);
SELECT fails($$SELECT dbperf.soft_delete('market_data', '{1}'::int[], key => 'no such')$$);
SELECT fails($$SELECT dbperf.soft_delete('market_data', '{1}'::oid[], key => 'tableoid')$$);
SELECT fails($$SELECT dbperf.soft_delete('instruments', '{1}'::int[])$$);
SELECT fails($$SELECT dbperf.soft_delete('market_data_active', '{1}'::int[])$$);
SELECT fails($$SELECT dbperf.soft_delete(0::regclass, '{1}'::int[])$$);
SELECT fails($$SELECT dbperf.soft_delete_range('market_data', NULL, NULL)$$);
SELECT fails($$SELECT dbperf.soft_delete_range('market_data', '2026-12-01', '2026-12-01')$$);
SELECT fails($$SELECT dbperf.soft_delete_range('market_data', 'tomorrowish', NULL)$$);
SELECT fails($$SELECT dbperf.soft_delete_range('market_data', '2026-12-01', NULL, 'no_such > 1')$$);
SELECT fails($$SELECT dbperf.soft_delete_range('market_data', '2026-12-01', NULL, 'true) OR (true')$$);
SELECT fails($$SELECT dbperf.soft_delete_range('market_data', '2026-12-01', NULL, 'price')$$);
SELECT fails($$SELECT dbperf.soft_delete_range('market_data', '2026-12-01', NULL, '$1 IS NULL')$$);
SELECT fails($$SELECT dbperf.soft_delete_range('market_data', '2026-12-01', NULL, batch_size => -1)$$);
SELECT fails($$SELECT dbperf.purge_deleted('market_data', NULL)$$);
SELECT fails($$SELECT dbperf.purge_deleted('market_data', '-1 day')$$);
BEGIN READ ONLY;
SELECT fails($$SELECT dbperf.soft_delete('market_data', '{1}'::int[])$$);
SELECT fails($$SELECT dbperf.purge_deleted('market_data', '1 day')$$);
ROLLBACK;
CREATE TABLE wrong (id int PRIMARY KEY, deleted_at timestamp, deleted_by text);
SELECT fails($$SELECT dbperf.enable_soft_delete('wrong')$$);
SELECT fails($$SELECT dbperf.soft_delete('wrong', '{1}'::int[])$$);
SELECT fails($$SELECT dbperf.enable_soft_delete('market_data_2026_11')$$);
SELECT fails($$SELECT dbperf.enable_soft_delete('market_data', 'sometimes')$$);
SELECT fails($$SELECT dbperf.enable_soft_delete('pg_class')$$);
SELECT fails($$SELECT dbperf.enable_soft_delete('dbperf.policy')$$);
SELECT fails($$SELECT dbperf.enable_soft_delete('market_data_active')$$);
SELECT fails($$SELECT dbperf.enable_soft_delete(NULL)$$);
CREATE TEMP TABLE passing (id int PRIMARY KEY, deleted_at timestamptz, deleted_by varchar(3));
INSERT INTO passing VALUES (1), (2);
SELECT regexp_replace(f, 'pg_temp_\d+', 'pg_temp') AS fails FROM fails($$SELECT dbperf.enable_soft_delete('passing')$$) f;
SELECT dbperf.soft_delete('passing', '{1}'::int[], 'ann');
SELECT fails($$SELECT dbperf.soft_delete('passing', '{2}'::int[], 'anna')$$);
DROP TABLE passing, wrong;
--
-- Keys of all kinds
--
CREATE DOMAIN "Code" AS text COLLATE "C" CHECK (VALUE <> '');
CREATE TABLE "Odd ""table""" ("the Key" "Code", deleted_by text, v int, deleted_at timestamptz, u uuid UNIQUE);
INSERT INTO "Odd ""table""" SELECT 'k' || i % 5, NULL, i, NULL, md5(i::text)::uuid FROM generate_series(1, 20) i;
SELECT fails($$SELECT dbperf.soft_delete('"Odd ""table"""', '{k1}'::text[])$$);
SELECT dbperf.soft_delete('"Odd ""table"""', '{k1,k3,k1,K3}'::varchar[], key => 'the Key', batch_size => 1) AS rows_of_two_keys;
SELECT dbperf.restore('"Odd ""table"""', ARRAY[md5('1'), md5('2')]::uuid[], key => 'u');
SELECT dbperf.soft_delete('"Odd ""table"""', '{2,4}'::bigint[], key => 'v');
SELECT fails($$SELECT dbperf.soft_delete('"Odd ""table"""', '{99999999999}'::bigint[], key => 'v')$$);
-- without a primary key there are no batches to be made of a range, and without partitions no range
SELECT dbperf.soft_delete_range('"Odd ""table"""', NULL, NULL, 'v BETWEEN 5 AND 7', batch_size => 1);
SELECT fails($$SELECT dbperf.soft_delete_range('"Odd ""table"""', '1', '2')$$);
SELECT "the Key", v, deleted_at IS NOT NULL AS deleted FROM "Odd ""table""" WHERE v < 9 ORDER BY v;
SELECT row_count, keys, predicate FROM log WHERE parent LIKE '%Odd%';
DROP TABLE "Odd ""table""";
SELECT count(*) AS still_logged FROM dbperf.soft_delete_log WHERE parent LIKE '%Odd%' AND relation IS NULL;
CREATE TABLE ids (id bigint PRIMARY KEY, deleted_at timestamptz, deleted_by text) PARTITION BY RANGE (id);
CREATE TABLE ids_1 PARTITION OF ids FOR VALUES FROM (0) TO (10);
CREATE TABLE ids_2 PARTITION OF ids FOR VALUES FROM (10) TO (100);
INSERT INTO ids SELECT generate_series(0, 99);
SELECT dbperf.soft_delete('ids', '{5,50}'::bigint[]), dbperf.soft_delete_range('ids', '8', '12');
SELECT dbperf.soft_delete('ids_1', '{6}'::bigint[]);
SELECT array_agg(id ORDER BY id) FROM ids WHERE deleted_at IS NOT NULL;
CREATE TABLE pairs (a int, b int, deleted_at timestamptz, deleted_by text, PRIMARY KEY (a, b));
SELECT fails($$SELECT dbperf.soft_delete('pairs', '{5}'::int[])$$);
INSERT INTO pairs SELECT i / 3, i % 3 FROM generate_series(0, 11) i;
SELECT dbperf.soft_delete('pairs', '{1,2}'::int[], key => 'a'), dbperf.restore_range('pairs', NULL, NULL, 'b = 2', batch_size => 1);
SELECT a, array_agg(b ORDER BY b) FROM pairs WHERE deleted_at IS NOT NULL GROUP BY a ORDER BY a;
DROP TABLE ids, pairs;
--
-- Enabling: what is missing is made, once
--
CREATE TABLE plain (id int PRIMARY KEY, v text);
SELECT dbperf.enable_soft_delete('plain');
SELECT dbperf.enable_soft_delete('plain');
\d plain
\d plain_active
SELECT reloptions FROM pg_class WHERE oid = 'plain_active'::regclass;
SELECT obj_description('plain_active'::regclass);
SELECT parent, active, on_delete FROM dbperf.soft_delete_tables ORDER BY parent::text;
SELECT dbperf.disable_soft_delete('plain'), dbperf.disable_soft_delete('plain');
-- an index that will do is not made twice
SELECT dbperf.enable_soft_delete('plain', 'forbid');
SELECT count(*) AS indexes FROM pg_index WHERE indrelid = 'plain'::regclass;
SELECT dbperf.disable_soft_delete('plain');
CREATE TABLE bare (id int);
SELECT dbperf.enable_soft_delete('bare', with_index => false);
SELECT count(*) AS indexes FROM pg_index WHERE indrelid = 'bare'::regclass;
SELECT fails($$SELECT dbperf.enable_soft_delete('bare', 'soft')$$);
-- what has the view's name
CREATE TABLE taken (id int);
CREATE TABLE taken_active (id int);
SELECT fails($$SELECT dbperf.enable_soft_delete('taken')$$);
SELECT attname FROM pg_attribute WHERE attrelid = 'taken'::regclass AND attnum > 0;
DROP TABLE taken, taken_active, bare;
--
-- DELETE
--
SELECT dbperf.enable_soft_delete('plain', 'soft');
INSERT INTO plain SELECT i, 'v' || i FROM generate_series(1, 6) i;
DELETE FROM plain WHERE id IN (1, 2);
DELETE FROM plain_active WHERE id <= 3;
WITH d AS (DELETE FROM plain WHERE id = 4 RETURNING id) SELECT count(*) FROM d;
SELECT id, deleted_at IS NOT NULL AS deleted, deleted_by = current_user AS by_me FROM plain ORDER BY id;
SELECT id FROM plain_active ORDER BY id;
SELECT fails('TRUNCATE plain');
SELECT dbperf.enable_soft_delete('plain', 'forbid');
SELECT fails('DELETE FROM plain WHERE id = 5');
SELECT fails('DELETE FROM plain WHERE id = 1');
SELECT fails('TRUNCATE plain');
DELETE FROM plain WHERE id = 77;
-- the one way past it, which an error does not leave open
UPDATE plain SET deleted_at = deleted_at - interval '1 day' WHERE id IN (1, 2);
SELECT dbperf.purge_deleted('plain', '1 hour');
SELECT array_agg(id ORDER BY id) FROM plain;
SELECT fails('DELETE FROM plain WHERE id = 3');
CREATE FUNCTION t.angry() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no'; END$$;
CREATE TRIGGER a_angry BEFORE DELETE ON plain FOR EACH ROW EXECUTE FUNCTION t.angry();
UPDATE plain SET deleted_at = deleted_at - interval '1 day' WHERE id = 3;
SELECT fails($$SELECT dbperf.purge_deleted('plain', '1 hour')$$);
DROP TRIGGER a_angry ON plain;
SELECT fails('DELETE FROM plain WHERE id = 3');
SELECT dbperf.enable_soft_delete('plain', NULL);
SELECT on_delete FROM dbperf.soft_delete_tables WHERE parent = 'plain'::regclass;
SELECT dbperf.enable_soft_delete('plain');
SELECT count(*) AS triggers FROM pg_trigger WHERE tgrelid = 'plain'::regclass;
DELETE FROM plain WHERE id = 3;
SELECT array_agg(id ORDER BY id) FROM plain;
-- a DELETE that another table's brings along
CREATE TABLE child (id int PRIMARY KEY, plain_id int REFERENCES plain ON DELETE CASCADE);
SELECT fails($$SELECT dbperf.enable_soft_delete('child', 'soft')$$);
SELECT dbperf.enable_soft_delete('child', 'forbid');
INSERT INTO child VALUES (1, 5);
SELECT fails('DELETE FROM plain WHERE id = 5');
DROP TABLE child;
--
-- Partitions: new ones, those that leave and come back, and rows that move from one to another
--
SELECT dbperf.enable_soft_delete('market_data', 'soft');
SELECT count(*) AS partitions FROM dbperf.create_partitions('market_data', '2026-09-01', '2026-11-01');
SELECT DISTINCT tgname FROM pg_trigger WHERE tgrelid = 'market_data_2026_09'::regclass AND NOT tgname ~ '^RI_' ORDER BY 1;
SELECT count(*) AS partial_indexes FROM pg_index WHERE indrelid = 'market_data_2026_09'::regclass AND indpred IS NOT NULL;
INSERT INTO market_data (id, "timestamp", instrument_id, price) VALUES (901, '2026-09-02', 1, 1), (902, '2026-10-02', 1, 1), (903, '2026-09-03', 1, 1);
DELETE FROM market_data WHERE id = 901;
DELETE FROM market_data_2026_09 WHERE id = 903;
SELECT id, tableoid::regclass, deleted_at IS NOT NULL AS deleted FROM market_data WHERE id > 900 ORDER BY id;
SELECT dbperf.restore('market_data', '{903}'::int[]);
UPDATE market_data SET "timestamp" = '2026-10-05' WHERE id = 903;
UPDATE market_data SET "timestamp" = '2026-09-05' WHERE id IN (901, 902);
UPDATE market_data SET "timestamp" = '2026-09-06' WHERE id = 902;
SELECT id, tableoid::regclass, "timestamp", deleted_at IS NOT NULL AS deleted FROM market_data WHERE id > 900 ORDER BY id;
-- an UPDATE that was not, or was rolled back, is no leave to delete
BEGIN;
SAVEPOINT s;
UPDATE market_data SET "timestamp" = '2026-09-07' WHERE id = 902;
ROLLBACK TO s;
DELETE FROM market_data WHERE id = 902;
SELECT id, deleted_at IS NOT NULL AS deleted FROM market_data WHERE id = 902;
ROLLBACK;
CREATE FUNCTION t.keep() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
CREATE TRIGGER keep BEFORE UPDATE ON market_data FOR EACH ROW WHEN (NEW."timestamp" = '2026-10-31') EXECUTE FUNCTION t.keep();
UPDATE market_data SET "timestamp" = '2026-10-31' WHERE id = 902;
DELETE FROM market_data WHERE id = 902;
SELECT id, "timestamp", deleted_at IS NOT NULL AS deleted FROM market_data WHERE id = 902;
DROP TRIGGER keep ON market_data;
-- MERGE does both
MERGE INTO market_data m USING (VALUES (903, 'move'), (902, 'delete')) v (id, what) ON m.id = v.id
    WHEN MATCHED AND v.what = 'move' THEN UPDATE SET "timestamp" = '2026-09-20'
    WHEN MATCHED THEN DELETE;
SELECT id, tableoid::regclass, deleted_at IS NOT NULL AS deleted FROM market_data WHERE id > 900 ORDER BY id;
SELECT fails('TRUNCATE market_data');
SELECT dbperf.detach_partition('market_data_2026_09') AS detached;
SELECT count(*) AS triggers FROM pg_trigger WHERE tgrelid = 't_archive.market_data_2026_09'::regclass AND NOT tgisinternal;
DELETE FROM t_archive.market_data_2026_09 WHERE id = 901;
SELECT dbperf.attach_partition('t_archive.market_data_2026_09');
SELECT count(*) AS triggers FROM pg_trigger WHERE tgrelid = 'market_data_2026_09'::regclass AND tgname ~ 'dbperf';
DELETE FROM market_data WHERE id = 903;
SELECT id, deleted_at IS NOT NULL AS deleted FROM market_data WHERE id > 900 ORDER BY id;
SELECT dbperf.enable_soft_delete('market_data', 'forbid');
SELECT fails('DELETE FROM market_data WHERE id = 902');
SELECT fails('DELETE FROM market_data_2026_09 WHERE id = 902');
UPDATE market_data SET "timestamp" = '2026-10-20' WHERE id = 902;
SELECT dbperf.restore('market_data', '{902}'::int[]), dbperf.soft_delete_range('market_data', '2026-10-01', '2026-10-02');
-- what belongs to DELETE: a partition as a whole is another matter
SELECT dbperf.enable_soft_delete('market_data', 'allow');
DELETE FROM market_data WHERE id > 900;
--
-- Triggers of the user's fire, and may leave rows as they are
--
CREATE TABLE watched (id int PRIMARY KEY, note text);
SELECT dbperf.enable_soft_delete('watched');
INSERT INTO watched SELECT i, '' FROM generate_series(1, 6) i;
CREATE FUNCTION t.spare() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF NEW.id = 2 THEN RETURN NULL; END IF; NEW.note := spared_word(); RETURN NEW; END$$;
CREATE FUNCTION t.spared_word() RETURNS text LANGUAGE sql AS $$ SELECT 'seen'::text $$;
CREATE TRIGGER spare BEFORE UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION t.spare();
SELECT dbperf.soft_delete('watched', '{1,2,3}'::int[], 'ann');
SELECT id, note, deleted_at IS NOT NULL AS deleted FROM watched WHERE id < 4 ORDER BY id;
SELECT row_count, keys FROM log WHERE parent = 't.watched';
--
-- As the caller: privileges, row level security
--
CREATE TABLE guarded (id int PRIMARY KEY, who text, deleted_at timestamptz, deleted_by text);
SELECT dbperf.enable_soft_delete('guarded');
INSERT INTO guarded SELECT i, CASE i % 2 WHEN 0 THEN 'regress_dbperf_clerk' ELSE 'somebody' END FROM generate_series(1, 10) i;
ALTER TABLE guarded OWNER TO regress_dbperf_keeper;
GRANT USAGE ON SCHEMA dbperf, t TO regress_dbperf_clerk, regress_dbperf_keeper, regress_dbperf_stranger;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dbperf TO regress_dbperf_clerk, regress_dbperf_keeper, regress_dbperf_stranger;
GRANT SELECT ON dbperf.soft_delete_log, dbperf.soft_delete_tables TO regress_dbperf_clerk, regress_dbperf_keeper, regress_dbperf_stranger;
GRANT SELECT (id, deleted_at), UPDATE (deleted_at, deleted_by) ON guarded TO regress_dbperf_clerk;
SET ROLE regress_dbperf_stranger;
SELECT fails($$SELECT dbperf.soft_delete('guarded', '{1}'::int[])$$);
SELECT fails($$SELECT dbperf.enable_soft_delete('guarded')$$);
SELECT fails($$SELECT dbperf.disable_soft_delete('guarded')$$);
SELECT fails('SELECT dbperf.on_delete()');
SELECT fails('SELECT dbperf.soft_delete_before()');
SET ROLE regress_dbperf_clerk;
SELECT dbperf.soft_delete('guarded', '{1,2,3}'::int[], 'clerk');
SELECT fails($$SELECT dbperf.purge_deleted('guarded', '0')$$);
SELECT count(*) AS sees_of_the_log FROM dbperf.soft_delete_log;
SELECT fails($$INSERT INTO dbperf.soft_delete_log (parent, action, row_count) VALUES ('x', 'purge', 1)$$);
SELECT fails('UPDATE dbperf.soft_delete_log SET row_count = 0');
SELECT fails('DELETE FROM dbperf.soft_delete_log');
SET ROLE regress_dbperf_keeper;
SELECT action, parent, deleted_by, row_count, keys FROM dbperf.soft_delete_log;
SELECT dbperf.enable_soft_delete('guarded', 'soft');
GRANT DELETE ON guarded TO regress_dbperf_clerk;
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON guarded USING (who = current_user);
SET ROLE regress_dbperf_clerk;
SELECT dbperf.soft_delete('guarded', '{4,5,6,7}'::int[], batch_size => 1), dbperf.restore('guarded', '{1,2,3,4}'::int[]);
DELETE FROM guarded WHERE id IN (8, 9);
SET ROLE regress_dbperf_keeper;
SELECT array_agg(id ORDER BY id) AS deleted FROM guarded WHERE deleted_at IS NOT NULL;
SELECT deleted_by FROM guarded WHERE id = 8;
-- who may delete, but not update
REVOKE UPDATE (deleted_at, deleted_by) ON guarded FROM regress_dbperf_clerk;
UPDATE guarded SET deleted_at = deleted_at - interval '1 day';
SET ROLE regress_dbperf_clerk;
SELECT dbperf.purge_deleted('guarded', '1 hour', 1);
SELECT fails('DELETE FROM guarded WHERE id = 10');
RESET ROLE;
SELECT array_agg(id ORDER BY id) FROM guarded;
SET ROLE regress_dbperf_watcher;
SELECT count(*) > 10 AS sees_all FROM dbperf.soft_delete_log;
RESET ROLE;
-- not even who may write it changes it; but the owner of the extension may clear it out
SELECT fails('UPDATE dbperf.soft_delete_log SET row_count = 0');
SELECT fails($$UPDATE dbperf.soft_delete_log SET relation = 'plain'::regclass$$);
DELETE FROM dbperf.soft_delete_log WHERE at < now() - interval '1 year';
-- a search_path with traps in it
CREATE SCHEMA trap;
CREATE FUNCTION trap.bad(int, int) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE 'trapped'; END$$;
CREATE FUNCTION trap.bad(timestamptz, timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE 'trapped'; END$$;
CREATE OPERATOR trap.= (LEFTARG = int, RIGHTARG = int, FUNCTION = trap.bad);
CREATE OPERATOR trap.< (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = trap.bad);
CREATE OPERATOR trap.>= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = trap.bad);
CREATE FUNCTION trap.now() RETURNS timestamptz LANGUAGE plpgsql AS $$BEGIN RAISE 'trapped'; END$$;
CREATE FUNCTION trap.unnest(anyarray) RETURNS SETOF anyelement LANGUAGE plpgsql AS $$BEGIN RAISE 'trapped'; END$$;
SET search_path = trap, t, pg_catalog;
SELECT dbperf.soft_delete('plain', '{5}'::int[]), dbperf.soft_delete_range('market_data', '2026-11-20', '2026-11-22'), dbperf.purge_deleted('plain', '1 day');
SELECT dbperf.enable_soft_delete('plain', 'soft');
DELETE FROM plain WHERE id OPERATOR(pg_catalog.=) 6;
SET search_path = t;
SELECT id, deleted_at IS NOT NULL AS deleted FROM plain ORDER BY id;
SET client_min_messages = warning;
DROP SCHEMA trap CASCADE;
RESET client_min_messages;
--
-- Beside a model: the same steps by random, on a partitioned table through these functions and on an
-- ordinary one in plain SQL
--
CREATE TABLE twin (id int, k int, v int, deleted_at timestamptz, deleted_by text, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
CREATE TABLE twin_1 PARTITION OF twin FOR VALUES FROM (0) TO (100);
CREATE TABLE twin_2 PARTITION OF twin FOR VALUES FROM (100) TO (150);
CREATE TABLE twin_3 PARTITION OF twin DEFAULT;
CREATE TABLE model (id int, k int, v int, deleted boolean DEFAULT false, deleted_by text);
INSERT INTO twin SELECT i, (i * 37) % 200, i % 10 FROM generate_series(1, 400) i;
INSERT INTO model SELECT id, k, v FROM twin;
SET client_min_messages = warning;
SELECT dbperf.enable_soft_delete('twin', 'soft');
RESET client_min_messages;
DO $$
DECLARE
    step   int;
    ids    int[];
    lo     int;
    hi     int;
    modulo int;
    size   int;
    who    text;
    ours   bigint;
    theirs bigint;
    total  bigint := 0;
    what   text;
BEGIN
    PERFORM setseed(0.4);
    FOR step IN 1..400 LOOP
        ids := ARRAY(SELECT (random() * 450)::int FROM generate_series(1, (random() * 40)::int));
        lo := (random() * 220)::int - 10;
        hi := lo + 1 + (random() * 80)::int;
        modulo := 1 + (random() * 9)::int;
        size := 1 + (random() * 20)::int;
        who := 'w' || step % 7;
        what := (ARRAY['delete', 'delete', 'restore', 'delete range', 'restore range', 'DELETE', 'purge', 'insert', 'move', 'undone'])[1 + floor(random() * 10)::int];
        IF what = 'delete' THEN
            ours := dbperf.soft_delete('twin', ids, who, batch_size => size);
            UPDATE model SET deleted = true, deleted_by = who WHERE id = ANY (ids) AND NOT deleted;
            GET DIAGNOSTICS theirs = ROW_COUNT;
        ELSIF what = 'restore' THEN
            ours := dbperf.restore('twin', ids, who, batch_size => size);
            UPDATE model SET deleted = false, deleted_by = NULL WHERE id = ANY (ids) AND deleted;
            GET DIAGNOSTICS theirs = ROW_COUNT;
        ELSIF what = 'delete range' THEN
            ours := dbperf.soft_delete_range('twin', lo::text, hi::text, format('v %% %s = 0', modulo), who, batch_size => size);
            UPDATE model SET deleted = true, deleted_by = who WHERE k >= lo AND k < hi AND v % modulo = 0 AND NOT deleted;
            GET DIAGNOSTICS theirs = ROW_COUNT;
        ELSIF what = 'restore range' THEN
            ours := dbperf.restore_range('twin', lo::text, CASE WHEN step % 2 = 0 THEN hi::text END, batch_size => size);
            UPDATE model SET deleted = false, deleted_by = NULL WHERE k >= lo AND (k < hi OR step % 2 <> 0) AND deleted;
            GET DIAGNOSTICS theirs = ROW_COUNT;
        ELSIF what = 'DELETE' THEN
            DELETE FROM twin WHERE id = ANY (ids);
            GET DIAGNOSTICS ours = ROW_COUNT;
            theirs := 0;
            UPDATE model SET deleted = true, deleted_by = current_user WHERE id = ANY (ids) AND NOT deleted;
        ELSIF what = 'purge' THEN
            -- a part of them was deleted long ago
            UPDATE twin SET deleted_at = '2001-01-01' WHERE deleted_at IS NOT NULL AND v = modulo;
            ours := dbperf.purge_deleted('twin', '1 year', size);
            DELETE FROM model WHERE deleted AND v = modulo;
            GET DIAGNOSTICS theirs = ROW_COUNT;
        ELSIF what = 'insert' THEN
            INSERT INTO twin SELECT DISTINCT i, (i * 37) % 200, i % 10 FROM unnest(ids) i
                WHERE NOT EXISTS (SELECT FROM twin m WHERE m.id = i);
            GET DIAGNOSTICS ours = ROW_COUNT;
            INSERT INTO model SELECT DISTINCT i, (i * 37) % 200, i % 10 FROM unnest(ids) i
                WHERE NOT EXISTS (SELECT FROM model m WHERE m.id = i);
            GET DIAGNOSTICS theirs = ROW_COUNT;
        ELSIF what = 'move' THEN
            UPDATE twin SET k = (k + 60) % 200 WHERE id = ANY (ids);
            GET DIAGNOSTICS ours = ROW_COUNT;
            UPDATE model SET k = (k + 60) % 200 WHERE id = ANY (ids);
            GET DIAGNOSTICS theirs = ROW_COUNT;
        ELSE
            ours := 0;
            theirs := 0;
            BEGIN
                PERFORM dbperf.soft_delete('twin', ids, who), dbperf.purge_deleted('twin', '0');
                RAISE 'undone' USING ERRCODE = 'triggered_action_exception';
            EXCEPTION WHEN triggered_action_exception THEN NULL;
            END;
        END IF;
        IF ours <> theirs THEN
            RAISE EXCEPTION 'step %: % rows by %, and % of the model', step, ours, what, theirs;
        END IF;
        total := total + ours;
        IF EXISTS (
            (SELECT id, k, v, deleted_at IS NOT NULL, deleted_by FROM twin EXCEPT ALL SELECT id, k, v, deleted, deleted_by FROM model)
            UNION ALL (SELECT id, k, v, deleted, deleted_by FROM model EXCEPT ALL SELECT id, k, v, deleted_at IS NOT NULL, deleted_by FROM twin))
            OR (SELECT count(*) FROM twin_active) <> (SELECT count(*) FROM model WHERE NOT deleted) THEN
            RAISE EXCEPTION 'step %: after %, the table is not as the model', step, what;
        END IF;
    END LOOP;
    RAISE NOTICE 'something happened: %', total > 1000;
END
$$;
-- what the log says is what is so
SELECT count(*) AS differ FROM twin JOIN (
    SELECT DISTINCT ON (key) key, action FROM (
        SELECT log_id, action, split_part(trim(key, '()'), ',', 1)::int AS key FROM dbperf.soft_delete_log, unnest(keys) key WHERE parent = 't.twin') k
    ORDER BY key, log_id DESC) l ON l.key = twin.id
WHERE l.action = 'soft_delete' AND deleted_by IS NULL;
SELECT sum(row_count) = sum(cardinality(keys)) AS all_keys FROM dbperf.soft_delete_log WHERE parent = 't.twin';
SET client_min_messages = warning;
DROP SCHEMA t, t_archive CASCADE;
SELECT count(*) AS forgotten FROM dbperf.soft_delete_tables;
DROP EXTENSION tradeassist_dbperf;
DROP ROLE regress_dbperf_clerk, regress_dbperf_keeper, regress_dbperf_stranger, regress_dbperf_watcher;
