--
-- Code of a table's owner that runs while a superuser makes partitions: it runs as the owner, and
-- cannot get out of that identity
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_dbperf_mallory;
RESET client_min_messages;
CREATE ROLE regress_dbperf_mallory NOLOGIN;
GRANT ALL ON SCHEMA t TO regress_dbperf_mallory;
CREATE TABLE seen (place text COLLATE "C", as_user name, attempt text COLLATE "C");
GRANT ALL ON seen TO PUBLIC;
-- nothing is tried before there is a row in it: this session could always return to its superuser
CREATE TABLE armed ();
GRANT ALL ON armed TO PUBLIC;
SET ROLE regress_dbperf_mallory;
-- tries whatever would help its owner, and notes what came of it
CREATE FUNCTION t.attempt(what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE what;
    RETURN 'DONE: ' || what;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ': ' || what;
END $$;
CREATE FUNCTION t.note(place text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO t.seen
    SELECT place, current_user, t.attempt(w) FROM t.armed, unnest(ARRAY[
        'ALTER ROLE regress_dbperf_mallory SUPERUSER', 'SET ROLE NONE', 'SET SESSION AUTHORIZATION DEFAULT', 'RESET ROLE',
        'DELETE FROM dbperf.policy', 'UPDATE dbperf.policy_state SET failures = 0', 'CREATE TEMP TABLE trap ()']) w;
END $$;
-- "immutable": the planner calls it by itself where its arguments are constants
CREATE FUNCTION t.spy(place text, result int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    PERFORM t.note(place);
    RETURN result;
END $$;
CREATE FUNCTION t.spying_trigger() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM t.note('trigger ' || TG_OP); RETURN NEW; END $$;
CREATE TABLE evil (
    k date NOT NULL CHECK (t.spy('check on k', 1) > 0),
    n int DEFAULT t.spy('default', 5),
    g int GENERATED ALWAYS AS (n + t.spy('generated', 1)) STORED,
    CHECK (t.spy('check', 2) > n)
) PARTITION BY RANGE (k);
CREATE INDEX evil_e ON evil ((n + t.spy('index', 3)));
CREATE INDEX evil_p ON evil (n) WHERE t.spy('predicate', 4) > n;
CREATE STATISTICS evil_s ON n, (n + t.spy('statistics', 5)) FROM evil;
ALTER TABLE evil ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON evil USING (t.spy('policy', 1) > 0) WITH CHECK (t.spy('policy check', 1) > 0);
CREATE TRIGGER r BEFORE INSERT OR UPDATE ON evil FOR EACH ROW EXECUTE FUNCTION t.spying_trigger();
CREATE TRIGGER s BEFORE INSERT OR UPDATE ON evil FOR EACH STATEMENT EXECUTE FUNCTION t.spying_trigger();
RESET ROLE;
INSERT INTO armed DEFAULT VALUES;
-- by hand, by the procedure, and for a default partition that has to be read
SELECT dbperf.manage('evil', '1 month', 1);
SELECT dbperf.create_partition('evil', '2027-06-06');
CALL dbperf.backfill('evil', '2027-07-01', '2027-09-01');
SET dbperf.now_override = '2027-01-21';
CALL dbperf.maintain('evil');
TRUNCATE armed;
SET ROLE regress_dbperf_mallory;
CREATE TABLE evil_default PARTITION OF evil DEFAULT PARTITION BY RANGE ((t.spy('key', 1) + n));
CREATE TABLE evil_default_1 PARTITION OF evil_default DEFAULT;
RESET ROLE;
INSERT INTO armed DEFAULT VALUES;
SET dbperf.now_override = '2027-02-21';
CALL dbperf.maintain('evil');
SELECT count(*) FROM partitions('evil');
-- looking does not run any of it either
SELECT count(*) FROM dbperf.partitions;
SELECT status, reasons FROM dbperf.partition_health;
-- where it did run, it ran as mallory, and nothing succeeded
SELECT as_user, bool_or(place = 'check') AS check_ran, bool_or(place = 'index') AS index_ran FROM seen GROUP BY 1;
SELECT DISTINCT attempt FROM seen ORDER BY 1;
SELECT rolsuper FROM pg_roles WHERE rolname = 'regress_dbperf_mallory';
SELECT count(*) FROM dbperf.policy;
SELECT current_user = session_user AS still_me, current_setting('role') AS role;

-- (from here on without the default partition)
DROP TABLE evil_default;
-- a deferred trigger would run at the end of the transaction, as whoever ends it
SET ROLE regress_dbperf_mallory;
CREATE TABLE later (i int);
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON later DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION t.spying_trigger();
CREATE OR REPLACE FUNCTION t.attempt(what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO t.later VALUES (1);
    RETURN 'DONE';
END $$;
RESET ROLE;
TRUNCATE seen;
SET dbperf.now_override = '2027-03-21';
SELECT status, detail FROM dbperf.run_maintenance('evil');
SELECT place, as_user, attempt FROM seen;
SELECT status, last_error FROM dbperf.partition_health;
-- nor can it keep a cursor, listen, or leave a prepared statement or a setting behind
SET ROLE regress_dbperf_mallory;
CREATE OR REPLACE FUNCTION t.attempt(what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('search_path', 't, pg_catalog', false);
    PERFORM set_config('t.trap', 'set', false);
    PERFORM set_config('row_security', 'off', false);
    RETURN 'DONE';
END $$;
RESET ROLE;
SHOW search_path;
SELECT status, partition FROM dbperf.run_maintenance('evil');
SHOW search_path;
SHOW row_security;
SELECT current_setting('t.trap', true) AS trap;
-- an error of the owner's is an error of that table only, also one that looks like a cancel of the run
SET ROLE regress_dbperf_mallory;
CREATE OR REPLACE FUNCTION t.attempt(what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RAISE query_canceled USING MESSAGE = 'mallory says stop';
END $$;
RESET ROLE;
SELECT make('good');
SELECT dbperf.manage('good', '1 month', 0, run_order => 200);
SET dbperf.now_override = '2027-05-21';
SET client_min_messages = error;
SELECT parent, status, partition, detail FROM dbperf.run_maintenance();
RESET client_min_messages;
-- what a table's owner may not do, maintenance does not do for it
REVOKE ALL ON SCHEMA t FROM regress_dbperf_mallory;
SELECT fails($$SELECT dbperf.create_partition('evil', '2030-01-01')$$);
SELECT ok, reason FROM dbperf.verify_audit();
SET client_min_messages = warning;
DROP OWNED BY regress_dbperf_mallory CASCADE;
DROP ROLE regress_dbperf_mallory;
