--
-- bulk_insert() into what is no plain table, or is not the caller's: views, rules, foreign tables,
-- inheritance, temporary tables; privileges and row level security
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set bulk :abs_srcdir '/sql/lib/bulk.sql'
\set ECHO none
\i :setup
\i :bulk
\set ECHO all
CREATE TABLE base (id integer PRIMARY KEY, v integer DEFAULT 5, w text DEFAULT 'table');
-- views that PostgreSQL can insert into by itself
CREATE VIEW simple AS SELECT id, v AS value, w FROM base WHERE v > 0;
ALTER VIEW simple ALTER COLUMN w SET DEFAULT 'view';
SELECT inserted FROM dbperf.bulk_insert('simple', '{id,value}', ARRAY[1, 2], ARRAY[1, -1]);
SELECT inserted FROM dbperf.bulk_insert('simple', '[{"id": 3}, {"id": 4, "w": "given"}]');
-- what a row lacks is the view's default, or else the table's
SELECT inserted FROM dbperf.bulk_insert('simple', '[{"id": -1, "value": 8, "w": "given"}, {"id": -2}]');
CREATE VIEW outer_view (number, key) AS SELECT value, id FROM simple;
SELECT inserted FROM dbperf.bulk_insert('outer_view', '[{"key": -3, "number": 7}, {"key": -4}]');
TABLE base;
SELECT fails_at($$SELECT dbperf.bulk_insert('simple', '{id}', ARRAY[5, 6, 1, 7])$$);
SELECT inserted, rejected, skipped FROM dbperf.bulk_insert('simple', '{id}', ARRAY[5, 6, 1, 7, 2], '{"on_error": "reject", "batch_size": 3}');
SELECT row_number, sqlstate, reason, "row" FROM rejects('simple');
CREATE VIEW checked AS SELECT id, v FROM base WHERE v BETWEEN 0 AND 9 WITH LOCAL CHECK OPTION;
CREATE VIEW checked_more AS SELECT id, v FROM checked WHERE id < 100 WITH CASCADED CHECK OPTION;
SELECT fails_at($$SELECT dbperf.bulk_insert('checked', '{id,v}', ARRAY[10, 11, 12], ARRAY[1, 10, 11])$$);
SELECT inserted, rejected FROM dbperf.bulk_insert('checked_more', '{id,v}', ARRAY[10, 11, 12, 100, 13], ARRAY[1, 10, NULL, 1, 9], '{"on_error": "reject"}');
SELECT row_number, sqlstate, reason, detail FROM dbperf.ingest_rejects ORDER BY row_number;
SELECT count(*) FROM rejects('checked_more');
SELECT inserted FROM dbperf.bulk_insert('checked_more', '{id,v}', ARRAY[13, 14], ARRAY[8, 8], '{"on_conflict": "update", "conflict_columns": ["id"]}');
-- with a trigger or a rule instead
CREATE VIEW instead AS SELECT id, v, 1 AS constant FROM base;
CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
    IF NEW.v < 0 THEN
        RETURN NULL;
    ELSIF NEW.v = 0 THEN
        RAISE EXCEPTION 'v is 0';
    END IF;
    INSERT INTO t.base (id, v, w) VALUES (NEW.id, NEW.v, 'instead');
    RETURN NEW;
END$$;
CREATE TRIGGER instead INSTEAD OF INSERT ON instead FOR EACH ROW EXECUTE FUNCTION instead();
SELECT inserted, rejected, skipped FROM dbperf.bulk_insert('instead', '{id,v}', ARRAY[20, 21, 22], ARRAY[1, -1, 2]);
SELECT fails_at($$SELECT dbperf.bulk_insert('instead', '{id,v}', ARRAY[23, 24, 25], ARRAY[1, 0, 0])$$);
SELECT inserted, rejected, skipped FROM dbperf.bulk_insert('instead', '{id,v}', ARRAY[26, 27, 28, 20, 29], ARRAY[1, 0, -1, 1, 1], '{"on_error": "reject"}');
SELECT row_number, sqlstate, reason FROM rejects('instead');
CREATE TABLE ruled (id integer, v integer);
CREATE RULE also AS ON INSERT TO ruled DO ALSO INSERT INTO base VALUES (NEW.id, NEW.v, 'also');
SELECT inserted, rejected, skipped FROM dbperf.bulk_insert('ruled', '{id,v}', ARRAY[30, 31], ARRAY[1, 2]);
SELECT inserted, rejected, skipped FROM dbperf.bulk_insert('ruled', '{id,v}', ARRAY[32, 31, 33], ARRAY[1, 2, 3], '{"on_error": "reject"}');
SELECT row_number, reason FROM rejects('ruled');
TABLE ruled;
CREATE RULE partly AS ON INSERT TO ruled WHERE NEW.v > 10 DO INSTEAD INSERT INTO base VALUES (NEW.id, NEW.v, 'instead of ruled');
DROP RULE also ON ruled;
SELECT inserted, rejected, skipped FROM dbperf.bulk_insert('ruled', '{id,v}', ARRAY[40, 41, 42], ARRAY[1, 20, 30]);
DROP RULE partly ON ruled;
CREATE RULE "all" AS ON INSERT TO ruled DO INSTEAD INSERT INTO base VALUES (NEW.id, NEW.v, 'instead of ruled');
SELECT inserted, rejected, skipped FROM dbperf.bulk_insert('ruled', '{id,v}', ARRAY[43, 44], ARRAY[1, 20]);
CREATE OR REPLACE RULE "all" AS ON INSERT TO ruled DO INSTEAD NOTHING;
SELECT inserted, rejected, skipped FROM dbperf.bulk_insert('ruled', '{id,v}', ARRAY[45, 46], ARRAY[1, 20]);
SELECT * FROM base WHERE id >= 10 ORDER BY id;

-- inheritance: the table that is named; temporary and unlogged tables
CREATE TABLE parent (id integer CHECK (id > 0));
CREATE TABLE child (extra text) INHERITS (parent);
SELECT inserted FROM dbperf.bulk_insert('parent', '{id}', ARRAY[1, 2]);
SELECT inserted FROM dbperf.bulk_insert('child', '{extra,id}', ARRAY['x', 'y'], ARRAY[3, 4]);
SELECT tableoid::regclass, id FROM parent;
SELECT fails_at($$SELECT dbperf.bulk_insert('child', '{id}', ARRAY[0])$$);
CREATE TEMP TABLE tmp (id serial PRIMARY KEY, v integer);
SELECT inserted, rejected FROM dbperf.bulk_insert('tmp', '{id,v}', ARRAY[1, 1, 2], ARRAY[1, 2, 3], '{"on_error": "reject"}');
SELECT count(*) FROM rejects('tmp');
BEGIN;
CREATE TEMP TABLE going (id integer) ON COMMIT DROP;
SELECT inserted FROM dbperf.bulk_insert('going', '{id}', ARRAY[1, 2]);
COMMIT;
CREATE UNLOGGED TABLE unlogged (id integer PRIMARY KEY, at timestamptz DEFAULT now());
SELECT inserted FROM dbperf.bulk_insert('unlogged', '{id}', ARRAY[1, 2]);
-- in the transaction that makes or empties the table
BEGIN;
CREATE TABLE fresh (id integer PRIMARY KEY);
SELECT inserted FROM dbperf.bulk_insert('fresh', '{id}', ARRAY[1, 2]);
TRUNCATE fresh;
SELECT inserted, rejected FROM dbperf.bulk_insert('fresh', '{id}', ARRAY[3, 3], '{"on_error": "reject"}');
COMMIT;
TABLE fresh;
-- names that need quotes; a type of a table
CREATE SCHEMA "T t";
CREATE TABLE "T t"."a ""b" (OF integer, "Order" text, "dbperf_batch" integer UNIQUE);
SELECT inserted FROM dbperf.bulk_insert('"T t"."a ""b"', '{of,Order,dbperf_batch}', ARRAY[1], ARRAY['x'], ARRAY[1]);
SELECT inserted FROM dbperf.bulk_insert('"T t"."a ""b"', '{Order,dbperf_batch}', ARRAY['y', 'z'], ARRAY[1, 2], '{"on_conflict": "update", "conflict_columns": ["dbperf_batch"]}');
TABLE "T t"."a ""b";
SELECT fails_at($$SELECT dbperf.bulk_insert('"T t"."a ""b"', '{dbperf_batch}', ARRAY[1])$$);
CREATE TABLE dbperf_batch (id integer UNIQUE);
SELECT inserted FROM dbperf.bulk_insert('dbperf_batch', '{id}', ARRAY[1, 2, 1], '{"on_conflict": "nothing"}');
TABLE dbperf_batch;
SET client_min_messages = warning;
DROP SCHEMA "T t" CASCADE;
RESET client_min_messages;
CREATE TYPE two AS (a integer, b text);
CREATE TABLE typed OF two (b WITH OPTIONS DEFAULT 'x');
SELECT inserted FROM dbperf.bulk_insert('typed', '{a}', ARRAY[1]);
TABLE typed;

-- foreign tables: this server itself, and a wrapper that cannot insert
CREATE EXTENSION postgres_fdw SCHEMA t;
CREATE EXTENSION file_fdw SCHEMA t;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
DO $$BEGIN
    EXECUTE format('CREATE SERVER here FOREIGN DATA WRAPPER postgres_fdw OPTIONS (dbname %L, host %L, port %L, batch_size ''10'')',
        current_database(), split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'));
    EXECUTE format('CREATE USER MAPPING FOR CURRENT_USER SERVER here OPTIONS (user %L)', current_user);
END$$;
CREATE TABLE far_table (id integer PRIMARY KEY, v text DEFAULT 'far', k integer);
CREATE FOREIGN TABLE far (id integer, v text DEFAULT 'near', k integer CHECK (k > 0)) SERVER here OPTIONS (schema_name 't', table_name 'far_table');
CREATE FOREIGN TABLE file (id integer) SERVER files OPTIONS (filename '/dev/null');
SELECT inserted, batches FROM dbperf.bulk_insert('far', '{id,k}', ARRAY[1, 2, 3], ARRAY[1, 2, 3], '{"batch_size": 2}');
SELECT fails_at($$SELECT dbperf.bulk_insert('far', '{id,k}', ARRAY[4, 1], ARRAY[1, 1])$$);
SELECT inserted, rejected FROM dbperf.bulk_insert('far', '{id,k}', ARRAY[4, 1, 5], ARRAY[1, 1, 1], '{"on_error": "reject"}');
SELECT row_number, sqlstate FROM rejects('far');
SELECT * FROM far ORDER BY id;
SELECT fails_at($$SELECT dbperf.bulk_insert('file', '{id}', ARRAY[1])$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('file', '{id}', ARRAY[1, 2], '{"on_error": "reject"}')$$);
CREATE TABLE near (id integer, v text, k integer DEFAULT 7) PARTITION BY RANGE (id);
CREATE TABLE near1 PARTITION OF near FOR VALUES FROM (0) TO (100);
CREATE FOREIGN TABLE near2 PARTITION OF near FOR VALUES FROM (100) TO (200) SERVER here OPTIONS (schema_name 't', table_name 'far_table');
CREATE FOREIGN TABLE near3 PARTITION OF near FOR VALUES FROM (200) TO (300) SERVER files OPTIONS (filename '/dev/null');
SELECT inserted FROM dbperf.bulk_insert('near', '{id,v}', ARRAY[1, 100, 2, 101], ARRAY['a', 'b', NULL, 'd']);
SELECT tableoid::regclass, * FROM near WHERE id < 200 ORDER BY id;
SELECT fails_at($$SELECT dbperf.bulk_insert('near', '{id}', ARRAY[3, 102, 200])$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('near', '{id}', ARRAY[3, 102, 300, 301])$$);
SELECT inserted, rejected FROM dbperf.bulk_insert('near', '{id}', ARRAY[3, 102, 300, 100, NULL], '{"on_error": "reject"}');
SELECT row_number, sqlstate, reason FROM rejects('near');
SET client_min_messages = warning;
DROP EXTENSION postgres_fdw, file_fdw CASCADE;
RESET client_min_messages;

-- privileges: on the table or on the columns given, as for INSERT; no others
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_dbperf_owner, regress_dbperf_app;
RESET client_min_messages;
CREATE ROLE regress_dbperf_owner;
CREATE ROLE regress_dbperf_app;
GRANT USAGE ON SCHEMA t, dbperf TO PUBLIC;
GRANT CREATE ON SCHEMA t TO regress_dbperf_owner;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA t TO PUBLIC;
GRANT EXECUTE ON FUNCTION dbperf.bulk_insert(regclass, name[], "any"), dbperf.bulk_insert(regclass, jsonb, integer, text, text, name[]) TO regress_dbperf_app, regress_dbperf_owner;
SET ROLE regress_dbperf_owner;
CREATE TABLE theirs (id integer PRIMARY KEY, v integer, secret text DEFAULT 'secret', n serial) PARTITION BY RANGE (id);
CREATE TABLE theirs1 PARTITION OF theirs FOR VALUES FROM (0) TO (100);
CREATE TABLE theirs2 PARTITION OF theirs FOR VALUES FROM (100) TO (200);
CREATE VIEW of_owner AS SELECT id, v FROM theirs;
CREATE VIEW of_invoker WITH (security_invoker) AS SELECT id, v FROM theirs;
GRANT USAGE ON SEQUENCE theirs_n_seq TO regress_dbperf_app;
SET ROLE regress_dbperf_app;
SELECT fails_at($$SELECT dbperf.bulk_insert('theirs', '{id}', ARRAY[1])$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('theirs', '[{}]')$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('theirs', '[]')$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('of_owner', '{id}', ARRAY[1])$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('theirs', '{id}', ARRAY[1], '{"on_error": "reject"}')$$);
SET ROLE regress_dbperf_owner;
GRANT INSERT (id, v) ON theirs TO regress_dbperf_app;
GRANT INSERT ON of_owner, of_invoker TO regress_dbperf_app;
SET ROLE regress_dbperf_app;
SELECT inserted FROM dbperf.bulk_insert('theirs', '{id}', ARRAY[1, 100]);
SELECT inserted FROM dbperf.bulk_insert('theirs', '[{"v": 2, "id": 2}]');
SELECT fails_at($$SELECT dbperf.bulk_insert('theirs', '{id,secret}', ARRAY[3], ARRAY['x'])$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('theirs', '[{"id": 3}, {"secret": null}]')$$);
-- INSERT of no column wants the privilege for any of them
SELECT fails_at($$INSERT INTO theirs DEFAULT VALUES$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('theirs', '[{}]')$$);
SELECT inserted FROM dbperf.bulk_insert('of_owner', '{id}', ARRAY[4]);
SELECT inserted FROM dbperf.bulk_insert('of_invoker', '{id}', ARRAY[5]);
SELECT fails_at($$SELECT dbperf.bulk_insert('theirs1', '{id}', ARRAY[6])$$);
-- messages tell no more of the row than may be seen
SELECT fails_at($$SELECT dbperf.bulk_insert('theirs', '{id,v}', ARRAY[7, NULL], ARRAY[1, 1])$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('theirs', '{id,v}', ARRAY[7, 1], ARRAY[1, 1])$$);
-- ON CONFLICT needs what it needs in INSERT, too
SELECT fails_at($$SELECT dbperf.bulk_insert('theirs', '{id,v}', ARRAY[8], ARRAY[1], '{"on_conflict": "nothing"}')$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('theirs', '{id,v}', ARRAY[8], ARRAY[1], '{"on_conflict": "update"}')$$);
-- that is no property of a row
SELECT fails_at($$SELECT dbperf.bulk_insert('theirs', '{id,v}', ARRAY[8], ARRAY[1], '{"on_conflict": "update", "on_error": "reject"}')$$);
RESET ROLE;
GRANT SELECT (id, v), UPDATE (v) ON theirs TO regress_dbperf_app;
SET ROLE regress_dbperf_app;
SELECT inserted FROM dbperf.bulk_insert('theirs', '{id,v}', ARRAY[1, 8], ARRAY[10, 80], '{"on_conflict": "update"}');
SELECT fails_at($$SELECT dbperf.bulk_insert('theirs', '{id,v}', ARRAY[7, NULL], ARRAY[1, 1])$$);
-- defaults and triggers run as who inserts; the sequence is not for everybody
RESET ROLE;
REVOKE USAGE ON SEQUENCE theirs_n_seq FROM regress_dbperf_app;
SET ROLE regress_dbperf_app;
SELECT fails_at($$SELECT dbperf.bulk_insert('theirs', '{id}', ARRAY[9])$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('theirs', '{id}', ARRAY[9, 10], '{"on_error": "reject"}')$$);
RESET ROLE;
SELECT tableoid::regclass, id, v, secret FROM theirs ORDER BY id;

-- row level security: policies of the role, the owner unless forced, row_security off
CREATE TABLE tenants (id serial, tenant text DEFAULT current_user, v integer, k integer UNIQUE);
ALTER TABLE tenants OWNER TO regress_dbperf_owner;
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON tenants USING (tenant = current_user) WITH CHECK (tenant = current_user);
CREATE POLICY small ON tenants AS RESTRICTIVE FOR INSERT WITH CHECK (v < 100);
GRANT INSERT, SELECT, UPDATE ON tenants TO regress_dbperf_app;
GRANT USAGE ON SEQUENCE tenants_id_seq TO regress_dbperf_app;
SET ROLE regress_dbperf_app;
SELECT inserted FROM dbperf.bulk_insert('tenants', '{v,k}', ARRAY[1, 2], ARRAY[1, 2]);
SELECT fails_at($$SELECT dbperf.bulk_insert('tenants', '{v}', ARRAY[1, 2, 100, 101])$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('tenants', '{v,tenant}', ARRAY[1, 2], ARRAY['regress_dbperf_app', 'regress_dbperf_owner'])$$);
SELECT inserted, rejected FROM dbperf.bulk_insert('tenants', '{v,tenant}', ARRAY[10, 11, 100, 12], ARRAY['regress_dbperf_app', 'regress_dbperf_owner', 'regress_dbperf_app', 'regress_dbperf_app'], '{"on_error": "reject"}');
SELECT row_number, sqlstate, reason, "row" FROM dbperf.ingest_rejects ORDER BY row_number;
SELECT inserted, rejected FROM dbperf.bulk_insert('tenants', '[{"v": 20}, {"v": 100}, {}]', on_error => 'reject', batch_size => 1);
SELECT count(*) FROM dbperf.ingest_rejects;
SELECT inserted, skipped FROM dbperf.bulk_insert('tenants', '{v,k}', ARRAY[30, 31], ARRAY[1, 3], '{"on_conflict": "update", "conflict_columns": ["k"]}');
SET row_security = off;
SELECT fails_at($$SELECT dbperf.bulk_insert('tenants', '{v}', ARRAY[1])$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('tenants', '{v}', ARRAY[1], '{"on_error": "reject"}')$$);
RESET row_security;
SET ROLE regress_dbperf_owner;
SELECT inserted FROM dbperf.bulk_insert('tenants', '{v,tenant}', ARRAY[200, 201], ARRAY['regress_dbperf_app', 'nobody']);
SET row_security = off;
SELECT inserted FROM dbperf.bulk_insert('tenants', '{v}', ARRAY[202]);
RESET row_security;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
SELECT fails_at($$SELECT dbperf.bulk_insert('tenants', '{v}', ARRAY[203])$$);
-- the owner sees the rejects of others for the table
SELECT row_number, rejected_by, "row" FROM dbperf.ingest_rejects ORDER BY reject_id;
RESET ROLE;
SELECT inserted FROM dbperf.bulk_insert('tenants', '{v}', ARRAY[300]);
SELECT CASE WHEN tenant = session_user THEN 'superuser' ELSE tenant END AS tenant, v, k FROM tenants ORDER BY id;
-- of a partition, policies are those of the table that is named
CREATE TABLE pt (id integer, tenant name DEFAULT current_user) PARTITION BY RANGE (id);
CREATE TABLE pt1 PARTITION OF pt FOR VALUES FROM (0) TO (10);
ALTER TABLE pt1 ENABLE ROW LEVEL SECURITY;
GRANT INSERT ON pt, pt1 TO regress_dbperf_app;
SET ROLE regress_dbperf_app;
SELECT inserted FROM dbperf.bulk_insert('pt', '{id}', ARRAY[1]);
SELECT fails_at($$SELECT dbperf.bulk_insert('pt1', '{id}', ARRAY[1])$$);
RESET ROLE;
-- a function with the rights of its owner
CREATE FUNCTION put(integer[]) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = t AS $$SELECT inserted FROM dbperf.bulk_insert('t.theirs', '{id}', $1)$$;
ALTER FUNCTION put(integer[]) OWNER TO regress_dbperf_owner;
SET ROLE regress_dbperf_app;
SELECT put(ARRAY[50, 51]);
RESET ROLE;
DROP OWNED BY regress_dbperf_owner, regress_dbperf_app CASCADE;
DROP ROLE regress_dbperf_owner, regress_dbperf_app;
