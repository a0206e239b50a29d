--
-- Slow statements: which are remembered, what of them, and who sees the text
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
\set VERBOSITY terse
RESET dbperf.now_override;
CREATE VIEW slow AS
    SELECT kind, rows, error, query FROM dbperf.slow_queries
    WHERE database = current_database() AND query IS NOT NULL ORDER BY slow_id;
GRANT ALL ON SCHEMA t TO pg_monitor;
CREATE TABLE plain (k int, v text);
SELECT dbperf.reset_performance_stats();
-- nothing is slow here
SELECT count(*) FROM dbperf.slow_queries WHERE database = current_database();
SELECT * FROM dbperf.slow_query_count('1 hour');
-- everything is
SET dbperf.slow_query_threshold = 0;
SELECT 'secret' AS a, "k" FROM plain WHERE v = $$secret$$ AND k > 17; -- comment with a secret
INSERT INTO plain SELECT g, 'secret ' || g FROM generate_series(1, 3) g /* secret */;
UPDATE plain SET v = E'secret\'s' WHERE k IN (1, 2)\; DELETE FROM plain WHERE k = 3;
SELECT 1 / (k - 1) FROM plain WHERE k = 1;
CREATE ROLE regress_slow PASSWORD 'secret' VALID UNTIL '2030-01-01';
ALTER ROLE regress_slow PASSWORD 'secret';
CREATE ROLE regress_slow PASSWORD 'secret';
DO $$ BEGIN PERFORM 'secret'; END $$;
COPY plain FROM stdin;
5	secret
\.
PREPARE p(text) AS SELECT count(*) FROM plain WHERE v = $1 AND k = 18;
EXECUTE p('secret');
BEGIN;
DECLARE c CURSOR FOR SELECT k FROM plain WHERE v <> 'secret';
FETCH 1 FROM c;
COMMIT;
CREATE TABLE made AS SELECT 'secret' AS a FROM plain;
\o /dev/null
SELECT 1\; EXPLAIN ANALYZE SELECT 'secret' FROM plain;
EXPLAIN (ANALYZE) EXECUTE p('secret');
-- the text of a prepared statement is another one, and may be gone while it is executed
CREATE FUNCTION forgets_all() RETURNS int LANGUAGE plpgsql AS $$ BEGIN DEALLOCATE ALL; RETURN 1; END $$;
PREPARE f AS SELECT 'no more of it than a secret' AS a, -- it's
    forgets_all() AS b;
SELECT 1 AS first\; SELECT 2 AS second\; EXPLAIN ANALYZE CREATE TABLE explained AS EXECUTE f;
\o
-- words that are no constants to the parser
SET application_name TO secret;
SET dbperf.slow_query_threshold = 0;
ALTER ROLE regress_slow SET application_name TO secret;
ALTER DATABASE :"DBNAME" SET application_name TO secret;
ALTER DATABASE :"DBNAME" RESET application_name;
CREATE FUNCTION sets() RETURNS int LANGUAGE sql SET application_name TO secret AS 'SELECT 1';
ALTER FUNCTION sets() SET application_name TO secret;
-- what a rule makes of a statement does not know which part of the text that was
CREATE TABLE ruled (k int);
CREATE RULE instead AS ON UPDATE TO ruled DO INSTEAD INSERT INTO plain VALUES (6);
INSERT INTO ruled VALUES (1);
UPDATE ruled SET k = 2\; SET application_name TO secret;
RESET application_name;
-- a string that ends where a setting says, which may have been another
SET standard_conforming_strings = off;
SET escape_string_warning = off;
SELECT 'it\'s a secret', v FROM plain LIMIT 1;
RESET standard_conforming_strings;
SELECT 'ends here\', v FROM plain LIMIT 1;
SELECT 'no matter: \n', v FROM plain LIMIT 1;
-- a long one
SELECT format('SELECT %s FROM plain LIMIT 1', string_agg('''secret'' AS column_' || g, ', ')) FROM generate_series(1, 200) g \gset long_
\o /dev/null
:long_format;
\o
SET dbperf.slow_query_threshold = -1;
SELECT kind, rows, error, left(query, 100) AS query FROM slow;
SELECT count(*) FROM dbperf.slow_queries WHERE query LIKE '%secret%';
SELECT max(length(query)) BETWEEN 950 AND 1023 AS long FROM dbperf.slow_queries WHERE database = current_database();
-- no text was kept of what sets something, and where a backslash decides
SELECT kind, count(*) FROM dbperf.slow_queries WHERE database = current_database() AND query IS NULL GROUP BY 1 ORDER BY 1;
SELECT recent = total AND total > 20 FROM dbperf.slow_query_count('1 hour');
SELECT recent FROM dbperf.slow_query_count('0');
SELECT bool_and(username = current_user AND started <= now() AND started > now() - interval '1 hour' AND duration_ms >= 0 AND num_nonnulls(calls_total, mean_ms_total) = 0) AS columns,
       count(DISTINCT slow_id) = count(*) AS ids FROM dbperf.slow_queries WHERE database = current_database();

-- identifiers of statements; nothing nested
SELECT dbperf.reset_performance_stats();
SELECT count(*) FROM dbperf.slow_queries WHERE database = current_database();
SELECT * FROM dbperf.slow_query_count('1 hour');
SET compute_query_id = on;
SET dbperf.slow_query_threshold = 0;
DO $$ BEGIN FOR i IN 1..10 LOOP PERFORM 1; END LOOP; END $$;
SELECT 1 AS one;
SET dbperf.slow_query_threshold = -1;
SELECT kind, query, queryid IS NOT NULL AS queryid FROM dbperf.slow_queries WHERE database = current_database() AND query IS NOT NULL ORDER BY slow_id;
SET compute_query_id = off;
SET dbperf.slow_query_threshold = 0;
SELECT 2 AS two;
SET dbperf.slow_query_threshold = -1;
SELECT query, queryid FROM dbperf.slow_queries WHERE query LIKE '%two';
RESET compute_query_id;
-- by the time it took
SET dbperf.slow_query_threshold = '1h';
SELECT pg_sleep(0.001);
SET dbperf.slow_query_threshold = '1ms';
SELECT pg_sleep(0.002);
SET statement_timeout = '100ms';
SELECT pg_sleep(60);
RESET statement_timeout;
RESET dbperf.slow_query_threshold;
SELECT query, duration_ms >= 1 AS slow, error FROM dbperf.slow_queries WHERE query LIKE '%pg_sleep%' ORDER BY slow_id;

-- arguments, and who may look
SELECT fails('SELECT dbperf.slow_query_count(NULL)');
SELECT fails('SELECT dbperf.slow_query_count(''-1 s'')');
CREATE ROLE regress_reader;
CREATE ROLE regress_monitor IN ROLE pg_monitor;
CREATE ROLE regress_half;
GRANT USAGE ON SCHEMA t TO regress_reader, regress_half;
GRANT EXECUTE ON FUNCTION fails(text) TO regress_reader;
-- sees the view, but is no member of pg_read_all_stats
GRANT USAGE ON SCHEMA dbperf TO regress_half;
GRANT SELECT ON dbperf.slow_queries TO regress_half;
GRANT EXECUTE ON FUNCTION dbperf.slow_query_entries(), dbperf.statement_totals() TO regress_half;
SET ROLE regress_monitor;
SELECT query FROM dbperf.slow_queries WHERE query LIKE '%pg_sleep%' ORDER BY slow_id;
SELECT total > 0 AS total FROM dbperf.slow_query_count('1 hour');
SELECT fails('SET dbperf.slow_query_threshold = 0');
SET ROLE regress_half;
SELECT count(*) > 0 AS rows, count(query) AS texts FROM dbperf.slow_queries WHERE database = current_database();
SET ROLE regress_reader;
SELECT fails('SELECT * FROM dbperf.slow_queries');
SELECT fails('SELECT * FROM dbperf.slow_query_entries()');
RESET ROLE;
DROP OWNED BY regress_reader, regress_monitor, regress_half;
DROP ROLE regress_reader, regress_monitor, regress_half, regress_slow;
