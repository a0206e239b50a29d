--
-- Ingest rules: what a rule may be, that it means the same whoever reads it, who may add and drop
-- it, and what becomes of it when its table changes
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
CREATE TABLE ticks (id bigint, price float8, volume numeric(10, 2), note text, tags text[], at timestamptz,
                    twice numeric GENERATED ALWAYS AS (volume * 2) STORED);
SELECT dbperf.add_ingest_rule('ticks', 'price_positive', 'price > 0');
SELECT dbperf.add_ingest_rule('ticks', 'volume', 'volume >= 0 AND (volume < 1e6 OR note IS NOT NULL)');
SELECT dbperf.add_ingest_rule('ticks', 'Name with "quotes"', $$note IS NULL OR note ~ '^[a-z]' AND length(ticks.note) <= 10$$);
SELECT dbperf.add_ingest_rule("table" => 'ticks', name => 'by name', check_expression => $$tags <@ ARRAY['a', 'b'] AND at < 'infinity'$$);
SELECT dbperf.add_ingest_rule('ticks', 'constant', 'NULL');
SELECT dbperf.add_ingest_rule('ticks', 'row', 't.ticks.price > 0 AND tableoid <> 0 AND twice < 100 -- with a comment');
SELECT parent, name, expression, created_at = now() AS now FROM dbperf.ingest_rules ORDER BY name;
SELECT fails($$SELECT dbperf.add_ingest_rule('ticks', 'volume', 'true')$$);
SELECT dbperf.drop_ingest_rule('ticks', 'constant'), dbperf.drop_ingest_rule('ticks', 'row'), dbperf.drop_ingest_rule('ticks', 'none');

-- what is no expression, or not one that a CHECK constraint could have
CREATE TABLE tries (n serial, expression text);
INSERT INTO tries (expression) VALUES
    (''), (' '), ('-- nothing'), ('price >'), ('price > 0)'), ('(price > 0'), ('price > 0;'), ('price > 0; DROP TABLE t.ticks'),
    ('true) FROM ticks WHERE (true'), ('true FROM ticks'), ('true WHERE true'), ('true, true'), ('true AS yes'), ('true yes'),
    ('DISTINCT price > 0'), ('DISTINCT ON (id) true'), ('true INTO TEMP x'), ('true ORDER BY 1'), ('true LIMIT 1'), ('true FOR UPDATE'),
    ('true GROUP BY id'), ('true HAVING true'), ('true WINDOW w AS ()'), ('true UNION SELECT true'), ('true OFFSET 1'),
    ('WITH w AS (SELECT 1) SELECT true'), ('SELECT true'), ('VALUES (true)'), ('*'), ('ticks.*'), ('price > 0 /* not closed'), ('''not closed'),
    ('EXISTS (SELECT FROM pg_class)'), ('price > (SELECT 0)'), ('count(*) > 0'), ('sum(price) > 0'), ('row_number() OVER () = 1'),
    ('generate_series(1, 2) = 1'), ('unnest(tags) = ''a'''), ('price > $1'), ('DEFAULT'), ('price = DEFAULT'), ('ctid IS NOT NULL'), ('xmin = 1'),
    ('nothing > 0'), ('other.price > 0'), ('ticks IS NOT NULL'), ('length(ticks::text) < 10'), ('price > ''x'''), ('price'), ('1'), ('''x'''), ('no_function(price)'),
    ('price @@@ 1'), ('price::no_type = 1'), ('note COLLATE "nowhere" = ''a'''), ('NEW.price > 0'), ('CURRENT OF c'),
    (repeat('(', 100000));
SELECT n, CASE WHEN length(expression) < 100 THEN expression ELSE left(expression, 10) || '...' END AS expression,
    f FROM tries, fails(format('SELECT dbperf.add_ingest_rule(%L, %L, %L)', 'ticks', 'try', expression)) f
    WHERE n < (SELECT max(n) FROM tries) ORDER BY n;
SELECT f ~ '^(54001|42601|53200):' AS refused FROM tries, fails(format('SELECT dbperf.add_ingest_rule(%L, %L, %L)', 'ticks', 'try', expression)) f
    WHERE n = (SELECT max(n) FROM tries) LIMIT 1;
SELECT count(*) FROM dbperf.ingest_rules WHERE name = 'try';
-- where in the text it is wrong
SELECT dbperf.add_ingest_rule('ticks', 'position', 'price > 0 AND nothing < 5');
SELECT dbperf.add_ingest_rule('ticks', 'position', 'price > > 0');
SELECT fails($$SELECT dbperf.add_ingest_rule(NULL, 'a', 'true')$$), fails($$SELECT dbperf.add_ingest_rule('ticks', NULL, 'true')$$),
    fails($$SELECT dbperf.add_ingest_rule('ticks', 'a', NULL)$$), fails($$SELECT dbperf.drop_ingest_rule('ticks', NULL)$$);
SELECT fails($$SELECT dbperf.add_ingest_rule('ticks', '', 'true')$$);
SELECT fails($$SELECT dbperf.add_ingest_rule(4000000000::oid, 'a', 'true')$$), fails($$SELECT dbperf.drop_ingest_rule(4000000000::oid, 'a')$$);
CREATE TEMP TABLE of_session (a int);
CREATE SEQUENCE numbers;
CREATE VIEW seen AS SELECT id, price FROM ticks;
SELECT fails($$SELECT dbperf.add_ingest_rule('pg_temp.of_session', 'a', 'a > 0')$$), fails($$SELECT dbperf.add_ingest_rule('numbers', 'a', 'true')$$);
SELECT dbperf.add_ingest_rule('seen', 'of a view', 'price < 1e9');

-- a name means what it meant to who added the rule
CREATE SCHEMA one;
CREATE SCHEMA two;
CREATE FUNCTION one.fits(float8) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE FUNCTION two.fits(float8) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
CREATE FUNCTION one.same(float8, float8) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE OPERATOR one.= (leftarg = float8, rightarg = float8, function = one.same);
CREATE FUNCTION one.lower(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT 'planted'$$;
SET search_path = one, two, pg_catalog, t;
SELECT dbperf.add_ingest_rule('ticks', 'first', $$fits(price) AND price = 5 AND lower(note) = 'a'$$);
SET search_path = two, one, pg_catalog, t;
SELECT dbperf.add_ingest_rule('ticks', 'second', $$fits(price) AND price OPERATOR(pg_catalog.=) 5 AND pg_catalog.lower(note) = 'a'$$);
SELECT name, expression FROM dbperf.ingest_rules WHERE name IN ('first', 'second') ORDER BY name;
-- read again, the text is the same
SET search_path = two, t;
SELECT count(*) FROM dbperf.ingest_rules WHERE dbperf.condition(parent, expression) <> expression;
SET search_path = t;
SELECT dbperf.condition('ticks', 'price between 1 and 2'), dbperf.condition('ticks', $$note in ('a', 'b')$$);
SELECT fails($$SELECT dbperf.condition('ticks', NULL)$$), fails($$SELECT dbperf.condition(NULL, 'true')$$);
-- what is called is not called before there are rows
CREATE FUNCTION loud(float8) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RAISE 'called'; END$$;
SELECT dbperf.add_ingest_rule('ticks', 'loud', 'loud(1)');
SELECT dbperf.drop_ingest_rule('ticks', name) FROM dbperf.ingest_rules WHERE name IN ('first', 'second', 'loud') ORDER BY name;

-- rows of the table itself are validated in the same way, and their dates
INSERT INTO dbperf.ingest_rules (parent, name, expression) VALUES ('ticks', 'direct', 'price<>7') RETURNING expression;
UPDATE dbperf.ingest_rules SET expression = 'price != 8', created_at = '2001-01-01' WHERE name = 'direct' RETURNING expression, created_at = now() AS now;
SELECT fails($$UPDATE dbperf.ingest_rules SET expression = 'nothing > 0' WHERE name = 'direct'$$);
SELECT fails($$UPDATE dbperf.ingest_rules SET parent = 'seen' WHERE name = 'direct'$$);
SELECT fails($$INSERT INTO dbperf.ingest_rules (parent, name, expression) VALUES ('ticks', 'bad', 'sum(price) > 0')$$);
SELECT fails($$INSERT INTO dbperf.ingest_rules (parent, name, expression) VALUES ('ticks', NULL, 'true')$$);
-- what a restore brings is kept, right or not
INSERT INTO dbperf.ingest_rules (parent, name, expression, created_at) VALUES ('ticks', 'restored', 'price <> 9', '2020-01-01'),
    ('ticks', 'restored wrong', 'gone > 0', '2020-01-01');
SELECT name, expression, created_at FROM dbperf.ingest_rules WHERE created_at < '2021-01-01' ORDER BY name;
DELETE FROM dbperf.ingest_rules WHERE name ~ 'restored|direct';

-- dropped with the table, whichever way, and not otherwise
SELECT name FROM dbperf.ingest_rules WHERE parent = 'seen'::regclass;
DROP VIEW seen;
CREATE TABLE one.short (a int);
SELECT dbperf.add_ingest_rule('one.short', 'a', 'a > 0');
SET client_min_messages = warning;
DROP SCHEMA one CASCADE;
RESET client_min_messages;
ALTER TABLE ticks RENAME TO quotes;
ALTER TABLE quotes SET SCHEMA two;
BEGIN;
DROP TABLE two.quotes;
SELECT count(*) FROM dbperf.ingest_rules;
ROLLBACK;
SELECT parent, name, expression FROM dbperf.ingest_rules ORDER BY parent::text COLLATE "C", name;

-- rules for ticks: for the columns that are there
SELECT dbperf.create_market_schema('t');
SELECT name, expression FROM dbperf.ingest_rules WHERE parent = 'market_data'::regclass ORDER BY name;
SELECT dbperf.drop_ingest_rule('market_data', 'bid_not_above_ask');
SELECT dbperf.drop_ingest_rule('market_data', 'price_positive'), dbperf.add_ingest_rule('market_data', 'price_positive', 'price > 1');
SELECT dbperf.add_market_data_rules('market_data');
SELECT dbperf.add_market_data_rules('market_data');
SELECT name, expression FROM dbperf.ingest_rules WHERE parent = 'market_data'::regclass ORDER BY name;
CREATE TABLE numeric_ticks (price numeric, bid real, "timestamp" timestamp);
CREATE TABLE no_ticks (price text, bid float8, ask integer, "timestamp" bigint);
SELECT dbperf.add_market_data_rules('numeric_ticks'), dbperf.add_market_data_rules('no_ticks');
SELECT parent, name, expression FROM dbperf.ingest_rules WHERE parent IN ('numeric_ticks'::regclass, 'no_ticks'::regclass) ORDER BY name;
SELECT fails('SELECT dbperf.add_market_data_rules(NULL)');

-- who may: the owner of the table, and who is one of its owner's; nobody needs a right on the tables
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_dbperf_team, regress_dbperf_owner, regress_dbperf_other, regress_dbperf_oncall;
RESET client_min_messages;
CREATE ROLE regress_dbperf_team;
CREATE ROLE regress_dbperf_owner IN ROLE regress_dbperf_team;
CREATE ROLE regress_dbperf_other;
CREATE ROLE regress_dbperf_oncall IN ROLE pg_monitor;
GRANT USAGE ON SCHEMA t, two, dbperf TO PUBLIC;
GRANT EXECUTE ON FUNCTION dbperf.add_ingest_rule(regclass, name, text), dbperf.drop_ingest_rule(regclass, name), dbperf.add_market_data_rules(regclass),
    dbperf.clear_ingest_rejects(regclass, bigint[], interval),
    dbperf.check_ingest_rule(), dbperf.condition(regclass, text) TO regress_dbperf_owner, regress_dbperf_other;
ALTER TABLE market_data OWNER TO regress_dbperf_team;
ALTER TABLE numeric_ticks OWNER TO regress_dbperf_team;
SET ROLE regress_dbperf_owner;
SELECT dbperf.add_ingest_rule('market_data', 'own', 'volume >= 0');
SELECT dbperf.drop_ingest_rule('market_data', 'own');
SELECT dbperf.drop_ingest_rule('market_data', 'price_positive'), dbperf.add_market_data_rules('market_data');
SELECT fails('SELECT * FROM dbperf.ingest_rules');
SET ROLE regress_dbperf_other;
SELECT fails($$SELECT dbperf.add_ingest_rule('market_data', 'own', 'volume >= 0')$$);
SELECT fails($$SELECT dbperf.drop_ingest_rule('market_data', 'price_positive')$$);
SELECT fails($$SELECT dbperf.add_market_data_rules('market_data')$$);
RESET ROLE;
GRANT SELECT, INSERT, UPDATE, DELETE ON dbperf.ingest_rules TO regress_dbperf_owner, regress_dbperf_other;
SET ROLE regress_dbperf_other;
SELECT fails($$INSERT INTO dbperf.ingest_rules (parent, name, expression) VALUES ('market_data', 'not mine', 'true')$$);
SELECT fails($$UPDATE dbperf.ingest_rules SET expression = 'true' WHERE parent = 'market_data'::regclass$$);
SELECT fails($$DELETE FROM dbperf.ingest_rules WHERE parent = 'market_data'::regclass$$);
SET ROLE regress_dbperf_owner;
-- nothing is smuggled in as if a dump had brought it
INSERT INTO dbperf.ingest_rules (parent, name, expression, created_at) VALUES ('market_data', 'direct', 'volume>0', '2001-01-01')
    RETURNING expression, created_at = now() AS now;
SELECT fails($$INSERT INTO dbperf.ingest_rules (parent, name, expression, created_at) VALUES ('market_data', 'wrong', 'gone > 0', '2001-01-01')$$);
DELETE FROM dbperf.ingest_rules WHERE name = 'direct';
RESET ROLE;

-- rejects: seen and removed by the owner of the table and by who gave the row
INSERT INTO dbperf.ingest_rejects (parent, rejected_by, row_number, sqlstate, reason, "row") VALUES
    ('market_data', 'regress_dbperf_other', 1, '23514', 'given by other', '{"price": -1}'),
    ('market_data', 'regress_dbperf_team', 2, '23514', 'given by the team', '{"price": -2}'),
    ('two.quotes', 'regress_dbperf_other', 3, '23514', 'given by other', '{"price": -3}'),
    ('two.quotes', 'postgres', 4, '23514', 'given by postgres', '{"price": -4}');
SET ROLE regress_dbperf_owner;
SELECT row_number, reason FROM dbperf.ingest_rejects ORDER BY reject_id;
SET ROLE regress_dbperf_other;
SELECT row_number, reason FROM dbperf.ingest_rejects ORDER BY reject_id;
SELECT fails('UPDATE dbperf.ingest_rejects SET reason = NULL');
SELECT fails($$INSERT INTO dbperf.ingest_rejects (parent, rejected_by, row_number, sqlstate, reason) VALUES ('market_data', current_user, 1, '00000', 'forged')$$);
SELECT fails('TRUNCATE dbperf.ingest_rejects');
SELECT fails('DELETE FROM dbperf.ingest_rejects'), fails('LOCK TABLE dbperf.ingest_rejects IN ROW EXCLUSIVE MODE');
SELECT dbperf.clear_ingest_rejects('market_data', older_than => '1 hour'), dbperf.clear_ingest_rejects(reject_ids => ARRAY[2, 4, -1, NULL]),
    dbperf.clear_ingest_rejects(older_than => '-1 hour', "table" => 'two.quotes'), dbperf.clear_ingest_rejects('two.quotes');
SET ROLE regress_dbperf_oncall;
SELECT count(*) FROM dbperf.ingest_rejects;
SELECT count(*) > 0 AS rules FROM dbperf.ingest_rules;
RESET ROLE;
SELECT row_number FROM dbperf.ingest_rejects ORDER BY reject_id;
SET ROLE regress_dbperf_owner;
SELECT dbperf.clear_ingest_rejects();
RESET ROLE;
-- the same for those who were given DELETE after all
GRANT DELETE ON dbperf.ingest_rejects TO regress_dbperf_owner;
INSERT INTO dbperf.ingest_rejects (parent, rejected_by, row_number, sqlstate, reason) VALUES ('market_data', 'regress_dbperf_other', 5, '23514', 'given by other');
SET ROLE regress_dbperf_owner;
WITH d AS (DELETE FROM dbperf.ingest_rejects RETURNING row_number) SELECT * FROM d;
RESET ROLE;
SELECT row_number FROM dbperf.ingest_rejects ORDER BY reject_id;
-- gone with the table
DROP TABLE two.quotes;
SELECT count(*) FROM dbperf.ingest_rejects;

-- kept for a time
SELECT name, setting, unit, min_val, context FROM pg_settings WHERE name = 'dbperf.ingest_rejects_retention';
INSERT INTO dbperf.ingest_rejects (at, parent, rejected_by, row_number, sqlstate, reason)
    SELECT clock_timestamp() - make_interval(days => d), 'market_data', 'postgres', d, '23514', 'old' FROM unnest(ARRAY[0, 29, 31, 400]) d;
SELECT count(*) > 0 FROM dbperf.run_maintenance();
SELECT row_number FROM dbperf.ingest_rejects ORDER BY row_number;

DROP TABLE market_data, numeric_ticks;
DROP OWNED BY regress_dbperf_team, regress_dbperf_owner, regress_dbperf_other, regress_dbperf_oncall CASCADE;
DROP ROLE regress_dbperf_owner, regress_dbperf_team, regress_dbperf_other, regress_dbperf_oncall;
SET client_min_messages = warning;
DROP SCHEMA two CASCADE;
