--
-- The view of active rows: updatable, with the reader's rights, and in step with its table
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_dbperf_owner, regress_dbperf_heir, regress_dbperf_reader, regress_dbperf_granted;
CREATE ROLE regress_dbperf_owner;
CREATE ROLE regress_dbperf_heir;
CREATE ROLE regress_dbperf_reader;
CREATE ROLE regress_dbperf_granted;
RESET client_min_messages;
-- Privileges without the name of who runs this, and without MAINTAIN, which PostgreSQL 17 has added
CREATE FUNCTION t.acl(acl aclitem[]) RETURNS text LANGUAGE sql AS $$
    SELECT replace(replace(acl::text, session_user, 'SUPER'), 'arwdDxtm', 'arwdDxt')
$$;
-- What there is to see of a view
CREATE FUNCTION t.look(view regclass) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s of %s, %s: %s', c.oid::regclass, CASE c.relowner::regrole::text WHEN session_user THEN 'SUPER' ELSE c.relowner::regrole::text END, c.reloptions,
        (SELECT string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum)
         FROM pg_attribute a WHERE a.attrelid = c.oid AND attnum > 0))
    FROM pg_class c WHERE c.oid = view
    UNION ALL SELECT 'comment: ' || obj_description(view)
    UNION ALL SELECT format('comment on %s: %s', attname, col_description(view, attnum)) FROM pg_attribute
        WHERE attrelid = view AND col_description(view, attnum) IS NOT NULL
    UNION ALL SELECT 'granted: ' || acl(relacl) FROM pg_class WHERE oid = view AND relacl IS NOT NULL
    UNION ALL SELECT format('granted on %s: %s', attname, acl(attacl)) FROM pg_attribute WHERE attrelid = view AND attacl IS NOT NULL
$$;
-- One for each dependency on a role, which DROP ROLE goes by
CREATE FUNCTION t.roles_of(view regclass) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s (%s) %s', refobjid::regrole, deptype, objsubid) FROM pg_shdepend
    WHERE classid = 'pg_class'::regclass AND objid = view AND refobjid::regrole::text ~ '^regress' ORDER BY 1
$$;
\set ECHO all
CREATE TABLE items (id int PRIMARY KEY, a int, b text DEFAULT 'b', c numeric(8,2));
SELECT dbperf.enable_soft_delete('items');
SELECT look('items_active');
-- updatable
INSERT INTO items_active (id, a) VALUES (1, 10), (2, 20), (3, 30);
UPDATE items_active SET a = a + 1 WHERE id = 2;
SELECT dbperf.soft_delete('items', '{3}'::int[]);
UPDATE items_active SET a = 0 WHERE id = 3;
DELETE FROM items_active WHERE id = 3;
SELECT id, a, b FROM items ORDER BY id;
UPDATE items_active SET deleted_at = now() WHERE id = 2;
SELECT id, a, b FROM items_active ORDER BY id;
--
-- Settings of the view outlive every change of the table
--
COMMENT ON COLUMN items_active.a IS 'the a';
COMMENT ON COLUMN items_active.b IS 'the b';
ALTER VIEW items_active SET (security_barrier = true);
GRANT SELECT ON items_active TO regress_dbperf_reader WITH GRANT OPTION;
GRANT UPDATE (a), SELECT (b) ON items_active TO regress_dbperf_reader;
GRANT USAGE ON SCHEMA t TO regress_dbperf_reader;
SET ROLE regress_dbperf_reader;
GRANT SELECT ON items_active TO regress_dbperf_granted;
SELECT fails('SELECT count(*) FROM items_active');
RESET ROLE;
SELECT look('items_active');
ALTER TABLE items ADD COLUMN d date, ADD COLUMN "E e" int DEFAULT 5;
SELECT look('items_active');
ALTER TABLE items DROP COLUMN b;
SELECT look('items_active');
SELECT roles_of('items_active');
ALTER TABLE items RENAME COLUMN a TO "A";
SELECT look('items_active');
ALTER TABLE items ALTER COLUMN "A" TYPE bigint, ALTER c TYPE numeric, ALTER d TYPE timestamptz USING d + time '12:00', ALTER "E e" SET DEFAULT 7;
SELECT look('items_active');
ALTER TABLE items DROP COLUMN "E e", ADD COLUMN f text, ALTER c TYPE int, ADD "E e" text, DROP COLUMN IF EXISTS nothing;
SELECT look('items_active');
SELECT "A", f, "E e" FROM items_active;
-- what is not there is no reason to make it anew
SELECT 'items_active'::regclass::oid AS before \gset
ALTER TABLE items DROP COLUMN IF EXISTS nothing;
ALTER TABLE items ALTER "A" SET NOT NULL, ADD CONSTRAINT positive CHECK ("A" > 0);
ALTER TABLE items ADD COLUMN g int;
ALTER TABLE items RENAME COLUMN g TO h;
SELECT :before = 'items_active'::regclass::oid AS same;
ALTER TABLE items RENAME TO "Things";
SELECT look('"Things_active"');
SELECT parent, active FROM dbperf.soft_delete_tables;
CREATE SCHEMA "Other s";
ALTER TABLE "Things" SET SCHEMA "Other s";
SELECT look('"Other s"."Things_active"');
ALTER TABLE "Other s"."Things" SET SCHEMA t;
GRANT regress_dbperf_owner TO CURRENT_USER;
ALTER TABLE "Things" OWNER TO regress_dbperf_owner;
SELECT look('"Things_active"');
SELECT roles_of('"Things_active"');
-- all at once
ALTER TABLE "Things" OWNER TO regress_dbperf_heir, DROP COLUMN h, ADD COLUMN i int;
SELECT look('"Things_active"');
REASSIGN OWNED BY regress_dbperf_heir TO regress_dbperf_owner;
SELECT relowner::regrole FROM pg_class WHERE relname LIKE 'Things%' AND relkind IN ('r', 'v');
-- its owner needs no right to make views there
GRANT USAGE ON SCHEMA t TO regress_dbperf_owner;
SET ROLE regress_dbperf_owner;
SELECT fails('CREATE VIEW t.mine AS SELECT 1');
ALTER TABLE "Things" ADD COLUMN j int;
ALTER TABLE "Things" DROP COLUMN i;
ALTER TABLE "Things" RENAME COLUMN j TO k;
SELECT look('"Things_active"');
RESET ROLE;
-- who may not change the table is told so by PostgreSQL
SET ROLE regress_dbperf_reader;
SELECT fails('ALTER TABLE "Things" DROP COLUMN k');
SELECT fails('ALTER TABLE "Things" RENAME TO items');
SELECT fails('DROP TABLE "Things"');
RESET ROLE;
SELECT fails('ALTER TABLE no_such DROP COLUMN k');
ALTER TABLE IF EXISTS no_such DROP COLUMN k;
-- a change that fails, or is taken back, leaves the view as it was
SELECT fails('ALTER TABLE "Things" DROP COLUMN k, ALTER COLUMN f TYPE int USING (1/0)');
BEGIN;
ALTER TABLE "Things" DROP COLUMN k;
SAVEPOINT s;
ALTER TABLE "Things" DROP COLUMN f;
ROLLBACK TO s;
SELECT look('"Things_active"');
ROLLBACK;
DO $$
BEGIN
    FOR i IN 1..3 LOOP
        BEGIN
            EXECUTE format('ALTER TABLE t."Things" DROP COLUMN k, ALTER COLUMN f TYPE text USING (1 / %s)::text', i / 2);
            RAISE NOTICE 'done in round %', i;
            EXIT;
        EXCEPTION WHEN division_by_zero THEN NULL;
        END;
        ALTER TABLE t."Things" RENAME COLUMN f TO f2;
        ALTER TABLE t."Things" RENAME COLUMN f2 TO f;
    END LOOP;
END $$;
SELECT look('"Things_active"');
--
-- What depends on the view
--
CREATE VIEW over AS SELECT "A" FROM "Things_active";
SELECT fails('ALTER TABLE "Things" DROP COLUMN f');
SELECT fails('ALTER TABLE "Things" ALTER COLUMN "E e" TYPE varchar');
SELECT fails('DROP TABLE "Things"');
SELECT fails($$SELECT dbperf.disable_soft_delete('"Things"')$$);
ALTER TABLE "Things" ADD COLUMN l int;
ALTER TABLE "Things" RENAME COLUMN l TO m;
SELECT look('over');
ALTER TABLE "Things" DROP COLUMN m CASCADE;
SELECT to_regclass('over') AS gone_with_it;
SELECT look('"Things_active"');
CREATE FUNCTION t.instead() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
CREATE TRIGGER instead INSTEAD OF INSERT ON "Things_active" FOR EACH ROW EXECUTE FUNCTION t.instead();
SELECT fails('ALTER TABLE "Things" DROP COLUMN f');
DROP TRIGGER instead ON "Things_active";
ALTER VIEW "Things_active" ALTER COLUMN f SET DEFAULT 5;
SELECT fails('ALTER TABLE "Things" DROP COLUMN f');
ALTER VIEW "Things_active" ALTER COLUMN f DROP DEFAULT;
--
-- What soft delete itself needs
--
SELECT fails('ALTER TABLE "Things" DROP COLUMN deleted_at');
SELECT fails('ALTER TABLE "Things" DROP COLUMN deleted_by CASCADE');
SELECT fails('ALTER TABLE "Things" RENAME COLUMN deleted_at TO gone_at');
SELECT fails('ALTER TABLE "Things" ALTER COLUMN deleted_at TYPE timestamp');
ALTER TABLE "Things" ALTER COLUMN deleted_by TYPE varchar(100);
SELECT look('"Things_active"');
--
-- Names
--
CREATE TABLE free (id int);
CREATE TABLE taken_active (id int);
SELECT dbperf.enable_soft_delete('free');
SELECT fails('ALTER TABLE free RENAME TO taken');
ALTER VIEW free_active RENAME TO my_own;
ALTER TABLE free RENAME TO taken;
SELECT look('my_own');
ALTER TABLE taken ADD COLUMN v int;
SELECT look('my_own');
-- a view that was dropped by hand stays dropped, until it is asked for
DROP VIEW my_own;
SELECT parent, active FROM dbperf.soft_delete_tables WHERE parent = 'taken'::regclass;
ALTER TABLE taken ADD COLUMN w int, DROP COLUMN v;
DROP TABLE taken_active;
SELECT dbperf.enable_soft_delete('taken');
SELECT look('taken_active');
-- one that an earlier life has left is taken up
DELETE FROM dbperf.soft_delete_tables WHERE parent = 'taken'::regclass;
ALTER TABLE taken ADD COLUMN x int;
SELECT dbperf.enable_soft_delete('taken');
SELECT look('taken_active');
DELETE FROM dbperf.soft_delete_tables WHERE parent = 'taken'::regclass;
ALTER VIEW taken_active RESET (security_invoker);
SELECT fails($$SELECT dbperf.enable_soft_delete('taken')$$);
DROP TABLE taken CASCADE;
CREATE TABLE "a_name_that_is_so_long_that_nothing_more_fits_behind_it_ééé" (id int);
CREATE TABLE "a_name_that_is_so_long_that_nothing_more_fits_behind_it_ééx" (id int);
SELECT dbperf.enable_soft_delete('"a_name_that_is_so_long_that_nothing_more_fits_behind_it_ééé"');
SELECT dbperf.enable_soft_delete('"a_name_that_is_so_long_that_nothing_more_fits_behind_it_ééx"');
ALTER TABLE "a_name_that_is_so_long_that_nothing_more_fits_behind_it_ééé" RENAME TO short;
SELECT look('short_active');
--
-- Tables that inherit, and partitioned ones
--
CREATE TABLE base (id int, v int);
CREATE TABLE heir (w int) INHERITS (base);
SELECT dbperf.enable_soft_delete('heir');
ALTER TABLE base ADD COLUMN x int;
ALTER TABLE base DROP COLUMN v;
ALTER TABLE base RENAME COLUMN x TO y;
ALTER TABLE base ALTER COLUMN y TYPE text;
SELECT look('heir_active');
ALTER TABLE ONLY base DROP COLUMN y;
SELECT look('heir_active');
DROP TABLE base CASCADE;
CREATE TABLE p (id int, k date, v int, w int, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
SELECT dbperf.enable_soft_delete('p', 'soft');
ALTER TABLE p DROP COLUMN v, ADD COLUMN x int, ALTER COLUMN w TYPE bigint;
SELECT look('p_active');
CREATE TABLE p_2 PARTITION OF p FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
ALTER TABLE p DETACH PARTITION p_1;
ALTER TABLE p_1 ADD COLUMN own int;
SELECT look('p_active');
INSERT INTO p VALUES (1, '2026-02-02');
DELETE FROM p;
SELECT id, deleted_at IS NOT NULL AS deleted FROM p;
--
-- Dropped: as if there were no view, and forgotten
--
DROP TABLE p_1, p, short;
DROP TABLE IF EXISTS "Things", no_such;
SELECT parent FROM dbperf.soft_delete_tables;
CREATE SCHEMA going;
CREATE TABLE going.t1 (id int);
SELECT dbperf.enable_soft_delete('going.t1');
CREATE TABLE t2 (id int);
SELECT dbperf.enable_soft_delete('t2');
ALTER TABLE t2 OWNER TO regress_dbperf_heir;
SET client_min_messages = warning;
DROP SCHEMA going CASCADE;
DROP OWNED BY regress_dbperf_heir;
RESET client_min_messages;
SELECT count(*) AS left_over FROM dbperf.soft_delete_tables WHERE parent::text NOT LIKE '"a_name%';
SELECT relname FROM pg_class WHERE relnamespace = 't'::regnamespace AND relname LIKE '%\_active' ORDER BY relname COLLATE "C";
--
-- Who is not superuser
--
GRANT USAGE ON SCHEMA dbperf TO regress_dbperf_owner;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dbperf TO regress_dbperf_owner;
GRANT CREATE ON SCHEMA t TO regress_dbperf_owner;
ALTER DEFAULT PRIVILEGES FOR ROLE regress_dbperf_owner IN SCHEMA t GRANT SELECT ON TABLES TO regress_dbperf_reader;
SET ROLE regress_dbperf_owner;
CREATE TABLE mine (id int PRIMARY KEY, v int);
SELECT dbperf.enable_soft_delete('mine', 'soft');
INSERT INTO mine_active VALUES (1, 1), (2, 2);
DELETE FROM mine_active WHERE id = 1;
ALTER TABLE mine DROP COLUMN v;
SELECT look('mine_active');
SET ROLE regress_dbperf_reader;
SELECT id FROM mine_active;
SET ROLE regress_dbperf_owner;
SELECT dbperf.disable_soft_delete('mine');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'mine'::regclass;
-- who may not make views there
RESET ROLE;
REVOKE CREATE ON SCHEMA t FROM regress_dbperf_owner;
SET ROLE regress_dbperf_owner;
SELECT fails($$SELECT dbperf.enable_soft_delete('mine')$$);
RESET ROLE;
-- DROP EXTENSION with triggers about, and without
SELECT dbperf.enable_soft_delete('"a_name_that_is_so_long_that_nothing_more_fits_behind_it_ééx"', 'forbid');
SELECT fails('DROP EXTENSION tradeassist_dbperf');
SELECT dbperf.enable_soft_delete('"a_name_that_is_so_long_that_nothing_more_fits_behind_it_ééx"', 'allow');
DROP EXTENSION tradeassist_dbperf;
SELECT relname, relkind FROM pg_class WHERE relname ~ 'a_name' ORDER BY relname COLLATE "C";
SELECT count(*) FROM a_name_that_is_so_long_that_nothing_more_fits_b_5a29014b_active;
SET client_min_messages = warning;
DROP SCHEMA t CASCADE;
DROP OWNED BY regress_dbperf_owner, regress_dbperf_heir, regress_dbperf_reader, regress_dbperf_granted;
DROP SCHEMA "Other s";
DROP ROLE regress_dbperf_owner, regress_dbperf_heir, regress_dbperf_reader, regress_dbperf_granted;
