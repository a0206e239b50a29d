-- Soft delete where it could do harm: each was found by trying to.
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\i :setup
SET client_min_messages = warning;
-- the view of a table that is given away: what its old owner made of it gets no rights of the new one
CREATE ROLE soft_delete_owner;
 GRANT CREATE, USAGE ON SCHEMA t TO soft_delete_owner; GRANT USAGE ON SCHEMA dbperf TO soft_delete_owner; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dbperf TO soft_delete_owner;
SET ROLE soft_delete_owner;
CREATE TABLE ev3 (id int PRIMARY KEY, v text);
SELECT dbperf.enable_soft_delete('ev3');
CREATE OR REPLACE VIEW ev3_active WITH (security_invoker=false) AS SELECT oid::int AS id, rolname::text COLLATE "default" AS v, NULL::timestamptz AS deleted_at, NULL::text AS deleted_by FROM pg_authid;
GRANT SELECT ON ev3_active TO public;
RESET ROLE;
ALTER TABLE ev3 OWNER TO CURRENT_USER;
SELECT relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user) AS given, reloptions, pg_get_viewdef('ev3_active') FROM pg_class WHERE relname='ev3_active';
SET ROLE soft_delete_owner; SELECT * FROM ev3_active; RESET ROLE;
-- a view that its owner has changed is left alone
CREATE TABLE td (id int PRIMARY KEY, v text);
SELECT dbperf.enable_soft_delete('td');
CREATE OR REPLACE VIEW td_active AS SELECT id, v, deleted_at, deleted_by, 1 AS extra FROM td WHERE deleted_at IS NULL;
ALTER TABLE td ADD COLUMN c int;
SELECT pg_get_viewdef('td_active');
-- a row that moves is not taken for a deleted one: partitions with keys of their own, keys changed by a trigger
CREATE TABLE ta (id int, at date NOT NULL, region text NOT NULL DEFAULT 'a', x int, PRIMARY KEY (id, at, region)) PARTITION BY RANGE (at);
CREATE TABLE ta1 PARTITION OF ta FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
SELECT dbperf.enable_soft_delete('ta', 'soft');
CREATE TABLE ta2 PARTITION OF ta FOR VALUES FROM ('2026-02-01') TO ('2026-03-01') PARTITION BY LIST (region);
CREATE TABLE ta2a PARTITION OF ta2 FOR VALUES IN ('a'); CREATE TABLE ta2b PARTITION OF ta2 FOR VALUES IN ('b');
INSERT INTO ta VALUES (1, '2026-02-05', 'a'), (2, '2026-01-05', 'a');
UPDATE ta SET region='b' WHERE id=1;
CREATE FUNCTION bump() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF new.x = 2 THEN new.at := '2026-02-07'; END IF; RETURN new; END $$;
CREATE TRIGGER bump BEFORE UPDATE ON ta FOR EACH ROW EXECUTE FUNCTION bump();
UPDATE ta SET x = 2 WHERE id = 2;
DELETE FROM ta WHERE id = 2;
SELECT tableoid::regclass, id, region, x, deleted_at IS NOT NULL AS d FROM ta ORDER BY id;
-- foreign keys that would delete rows, now or later
CREATE TABLE par (id int PRIMARY KEY);
CREATE TABLE tc (id int PRIMARY KEY, pid int);
SELECT dbperf.enable_soft_delete('tc', 'soft');
ALTER TABLE tc ADD FOREIGN KEY (pid) REFERENCES par ON DELETE CASCADE;
ALTER TABLE tc ADD COLUMN p2 int REFERENCES par ON DELETE CASCADE;
ALTER TABLE tc ADD FOREIGN KEY (pid) REFERENCES par;
-- tables that inherit would delete theirs
CREATE TABLE ih (id int PRIMARY KEY); CREATE TABLE ihc () INHERITS (ih);
SELECT dbperf.enable_soft_delete('ih', 'forbid');
SELECT dbperf.enable_soft_delete('ih');
-- a call inside of a purge does not end it
CREATE TABLE nolog (id int, deleted_at timestamptz, deleted_by text);
CREATE TABLE np (id int PRIMARY KEY);
SELECT dbperf.enable_soft_delete('np', 'soft');
INSERT INTO np SELECT generate_series(1,5); SELECT dbperf.soft_delete('np', ARRAY[1,2,3,4,5]); UPDATE np SET deleted_at = now() - interval '9 days';
CREATE FUNCTION nest() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM dbperf.soft_delete_range('nolog', NULL, NULL, 'true'); RETURN old; END $$;
CREATE TRIGGER a BEFORE DELETE ON np FOR EACH ROW EXECUTE FUNCTION nest();
SELECT dbperf.purge_deleted('np', '1 day');
SELECT count(*) FROM np;
DROP OWNED BY soft_delete_owner; DROP ROLE soft_delete_owner;
