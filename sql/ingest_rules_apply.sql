--
-- Ingest rules at work: what passes, what does not, and that a session keeps up with what becomes
-- of a rule, its table, and the functions in it
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
-- the rules for ticks, row by row
SELECT dbperf.create_market_schema('t');
INSERT INTO instruments (symbol) VALUES ('ACME');
CREATE TABLE given (n serial, price float8, bid float8, ask float8, at timestamptz DEFAULT '2026-11-21');
INSERT INTO given (price, bid, ask) VALUES
    (1, 1, 2), (1, 2, 2), (NULL, NULL, NULL), (1, NULL, 2), (1, 2, NULL), (5e-324, -1, 0), (1.7e308, 1, 1),
    (0, 1, 2), (-1, 1, 2), ('NaN', 1, 2), ('Infinity', 1, 2), ('-Infinity', 1, 2), (1, 2, 1), (1, 'NaN', 2), (1, 1, 'NaN'), (1, 'NaN', 'NaN'),
    (1, '-Infinity', 2), (1, 1, 'Infinity'), (1, 'Infinity', NULL), (1, NULL, 'NaN'), (0, 2, 1);
INSERT INTO given (price, at) VALUES (1, 'infinity'), (1, '-infinity');
SELECT g.n, g.price, g.bid, g.ask, g.at, coalesce(substring(f FROM '^23514: .*(ingest rule ".*")'), f) AS result
FROM given g, LATERAL fails(format('SELECT dbperf.bulk_insert_market_data(%L, ARRAY[1], %L, NULL, %L, %L)', ARRAY[g.at], ARRAY[g.price], ARRAY[g.bid], ARRAY[g.ask])) f
WHERE f ~ '^(no error|[0-9A-Z]{5}:)' ORDER BY g.n;
TRUNCATE market_data;
SELECT inserted, rejected FROM dbperf.bulk_insert('market_data',
    (SELECT jsonb_agg(jsonb_build_object('timestamp', at, 'instrument_id', 1, 'price', price::text, 'bid', bid::text, 'ask', ask::text) ORDER BY n) FROM given), on_error => 'reject', batch_size => 5);
SELECT row_number, sqlstate, reason, column_name FROM dbperf.ingest_rejects ORDER BY row_number;
SELECT DISTINCT detail FROM dbperf.ingest_rejects WHERE reason ~ 'price_positive';
SELECT fails($$SELECT dbperf.bulk_insert('market_data', '[{"timestamp": "2026-11-21", "instrument_id": 1, "price": -1}]')$$);
-- which are for bulk_insert() alone
INSERT INTO market_data ("timestamp", instrument_id, price) VALUES ('2026-11-21', 1, -1);

-- defaults and generated columns are there when rules are checked; FALSE fails, NULL passes
CREATE TABLE r (a integer DEFAULT 5, b integer GENERATED ALWAYS AS (a * 2) STORED, c text);
CREATE FUNCTION put(a integer, c text DEFAULT 'x') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    detail  text;
    hint    text;
    context text;
BEGIN
    RETURN (SELECT inserted FROM dbperf.bulk_insert('t.r', ARRAY['a', 'c'], ARRAY[$1], ARRAY[$2]));
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
    RETURN concat_ws(E'\n', SQLSTATE || ': ' || message, nullif(detail, ''), nullif(hint, ''), substring(context FROM '(?n)^ingest rule.*$'));
END
$$;
SELECT dbperf.add_ingest_rule('r', 'b', 'b < 20 AND a IS NOT NULL');
SELECT put(9), put(10), put(NULL);
SELECT inserted FROM dbperf.bulk_insert('r', '[{"c": "default"}]');
SELECT dbperf.add_ingest_rule('r', 'null', 'NULL'), dbperf.add_ingest_rule('r', 'division', '10 / a > 0');
SELECT put(9), put(0);
-- a rule counts at once, and as long as it is there
SELECT dbperf.drop_ingest_rule('r', 'null'), dbperf.drop_ingest_rule('r', 'b'), dbperf.drop_ingest_rule('r', 'division');
SELECT put(10), put(NULL);
BEGIN;
SELECT dbperf.add_ingest_rule('r', 'a', 'a > 0');
SELECT put(-1);
ROLLBACK;
SELECT put(-1);
SELECT dbperf.add_ingest_rule('r', 'a', 'a > 0');
SELECT put(-1);
UPDATE dbperf.ingest_rules SET expression = 'a > -5' WHERE parent = 'r'::regclass;
SELECT put(-1), put(-5);

-- the table is altered: columns of other numbers, other types, other names, gone
ALTER TABLE r DROP COLUMN c CASCADE;
ALTER TABLE r ADD COLUMN c text;
SELECT put(-1), put(-5);
ALTER TABLE r DROP COLUMN b;
ALTER TABLE r ALTER COLUMN a TYPE bigint;
SELECT put(-1), put(-5);
ALTER TABLE r RENAME COLUMN a TO z;
ALTER TABLE r ADD COLUMN a integer;
SELECT put(-1), put(-5);
ALTER TABLE r RENAME COLUMN a TO y;
SELECT fails($$SELECT dbperf.bulk_insert('r', ARRAY['z'], ARRAY[1])$$);
-- no row is to blame
SELECT fails($$SELECT dbperf.bulk_insert('r', ARRAY['z'], ARRAY[1], '{"on_error": "reject"}')$$);
ALTER TABLE r RENAME COLUMN z TO a;
SELECT put(-1), put(-5);
ALTER TABLE r ALTER COLUMN a TYPE text;
SELECT fails($$SELECT dbperf.bulk_insert('r', ARRAY['a'], ARRAY['1'])$$);
ALTER TABLE r ALTER COLUMN a TYPE integer USING a::integer;
SELECT dbperf.drop_ingest_rule('r', 'a');

-- functions, types and schemas in rules change and go
CREATE SCHEMA own;
CREATE FUNCTION own.ok(integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 0';
CREATE DOMAIN own.small AS integer CHECK (VALUE < 100);
SELECT dbperf.add_ingest_rule('r', 'ok', 'own.ok(a)'), dbperf.add_ingest_rule('r', 'small', 'a::own.small > -1000');
SELECT put(1), put(-1), put(100);
CREATE OR REPLACE FUNCTION own.ok(integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 < 0';
ALTER DOMAIN own.small DROP CONSTRAINT small_check;
ALTER DOMAIN own.small ADD CHECK (VALUE > -100);
SELECT put(1), put(-1), put(-100);
ALTER FUNCTION own.ok(integer) RENAME TO fine;
SELECT put(-1);
ALTER FUNCTION own.fine(integer) RENAME TO ok;
ALTER SCHEMA own RENAME TO owned;
SELECT put(-1);
ALTER SCHEMA owned RENAME TO own;
SELECT put(-1);
-- the same names elsewhere are others, whatever the search_path
CREATE FUNCTION t.ok(integer) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION pg_temp.ok(integer) RETURNS boolean LANGUAGE sql AS 'SELECT true';
SELECT put(1);
SET client_min_messages = warning;
DROP SCHEMA own CASCADE;
RESET client_min_messages;
SELECT put(-1);
DELETE FROM dbperf.ingest_rules WHERE parent = 'r'::regclass;

-- a function in a rule that inserts into the table itself, while the rule is being compiled
CREATE FUNCTION again(integer) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF current_setting('t.again', true) = 'yes' THEN
        PERFORM set_config('t.again', 'no', false);
        PERFORM dbperf.bulk_insert('t.r', ARRAY['a'], ARRAY[$1]);
    END IF;
    RETURN true;
END
$$;
SET t.again = 'yes';
SELECT dbperf.add_ingest_rule('r', 'again', 'again(77) AND a > 0'), dbperf.add_ingest_rule('r', 'zz', 'a < 1000');
SELECT put(1), put(0), put(1000);
SELECT count(*) FROM r WHERE a = 77;
CREATE OR REPLACE FUNCTION again(integer) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    PERFORM dbperf.bulk_insert('t.r', ARRAY['a'], ARRAY[$1]);
    RETURN true;
END
$$;
-- for ever
SELECT dbperf.drop_ingest_rule('r', 'again'), dbperf.add_ingest_rule('r', 'for ever', 'again(78)');
SELECT split_part(put(1), E'\n', 1);
SELECT dbperf.drop_ingest_rule('r', 'for ever');
SELECT put(1), put(1000);
DROP TABLE r;

-- rules of a partitioned table hold for its partitions, however the columns lie there
CREATE TABLE p (k integer, gone text, v integer) PARTITION BY RANGE (k);
ALTER TABLE p DROP COLUMN gone;
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100) PARTITION BY RANGE (k);
CREATE TABLE p11 (v integer, k integer);
ALTER TABLE p1 ATTACH PARTITION p11 FOR VALUES FROM (0) TO (50);
SELECT dbperf.add_ingest_rule('p', 'v', 'v > 0'), dbperf.add_ingest_rule('p1', 'k', 'k <> 13'), dbperf.add_ingest_rule('p11', 'v', 'v < 1000');
SELECT t, k, v, split_part(f, E'\n', 1) AS result FROM unnest(ARRAY['p', 'p1', 'p11']) WITH ORDINALITY AS t (t, n), (VALUES (1, 1), (13, 1), (1, 0), (1, 1000)) AS x (k, v),
    fails(format('SELECT dbperf.bulk_insert(%L, ARRAY[''k'', ''v''], ARRAY[%s], ARRAY[%s])', t, k, v)) f
    WHERE f ~ '^(no error|[0-9A-Z]{5}:)' ORDER BY n, k, v;
ALTER TABLE p1 DETACH PARTITION p11;
SELECT inserted FROM dbperf.bulk_insert('p11', ARRAY['k', 'v'], ARRAY[13], ARRAY[0]);
SELECT fails($$SELECT dbperf.bulk_insert('p11', ARRAY['k', 'v'], ARRAY[13], ARRAY[1000])$$);

-- rules go the other way of inserting as well: views, ON CONFLICT, row level security
CREATE TABLE u (id integer PRIMARY KEY, v integer DEFAULT 3);
CREATE VIEW uv AS SELECT id, v FROM u;
SELECT dbperf.add_ingest_rule('u', 'v', 'v > 0'), dbperf.add_ingest_rule('uv', 'of view', 'v < 100');
SELECT inserted, rejected FROM dbperf.bulk_insert('u', '[{"id": 1, "v": 1}, {"id": 2, "v": -1}, {"id": 3}, {"id": 1, "v": 5}, {"id": 1, "v": -5}]', on_error => 'reject', on_conflict => 'update');
SELECT inserted, rejected FROM dbperf.bulk_insert('u', '[{"id": 1, "v": -1}, {"id": 4, "v": 1}]', on_error => 'reject', on_conflict => 'nothing');
SELECT inserted, rejected FROM dbperf.bulk_insert('uv', '[{"id": 5, "v": 99}, {"id": 6, "v": 100}]', on_error => 'reject');
SELECT * FROM u ORDER BY id;
SELECT fails($$SELECT dbperf.bulk_insert('u', '[{"id": 7, "v": 0}]', on_conflict => 'update')$$);
SELECT fails($$SELECT dbperf.bulk_insert('uv', '[{"id": 7, "v": 100}]')$$);

-- functions in rules are called with the rights of whoever inserts, who needs none on the rules
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_dbperf_owner, regress_dbperf_app;
RESET client_min_messages;
CREATE ROLE regress_dbperf_owner;
CREATE ROLE regress_dbperf_app;
GRANT USAGE ON SCHEMA t, dbperf TO PUBLIC;
GRANT CREATE ON SCHEMA t TO regress_dbperf_owner;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dbperf TO regress_dbperf_owner, regress_dbperf_app;
SET ROLE regress_dbperf_owner;
CREATE TABLE theirs (a integer);
GRANT INSERT ON theirs TO regress_dbperf_app;
CREATE FUNCTION who(integer) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE NOTICE 'called as %', current_user; RETURN $1 > 0; END$$;
SELECT dbperf.add_ingest_rule('theirs', 'who', 'who(a)');
SET ROLE regress_dbperf_app;
SELECT inserted, rejected FROM dbperf.bulk_insert('theirs', ARRAY['a'], ARRAY[1, -1], '{"on_error": "reject"}');
SELECT row_number, "row", rejected_by FROM dbperf.ingest_rejects;
RESET ROLE;
REVOKE EXECUTE ON FUNCTION who(integer) FROM PUBLIC;
SET ROLE regress_dbperf_app;
SELECT fails($$SELECT dbperf.bulk_insert('theirs', ARRAY['a'], ARRAY[1])$$);
SET ROLE regress_dbperf_owner;
SELECT row_number, "row", rejected_by FROM dbperf.ingest_rejects;
RESET ROLE;
DROP OWNED BY regress_dbperf_owner, regress_dbperf_app CASCADE;
DROP ROLE regress_dbperf_owner, regress_dbperf_app;
