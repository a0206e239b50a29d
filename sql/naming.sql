--
-- Names of partitions: patterns, hostile names of schemas, tables and columns, 63 bytes, unicode,
-- names that are taken; and that names decide nothing
--
-- The names that a pattern gives to the partition of one moment.
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
CREATE FUNCTION named(pattern text, len text DEFAULT '1 month', type text DEFAULT 'timestamptz') RETURNS SETOF text
LANGUAGE plpgsql AS $$
BEGIN
    DROP TABLE IF EXISTS p;
    PERFORM make('p', type);
    PERFORM dbperf.manage('p', len, 1, naming_pattern => pattern);
    RETURN QUERY SELECT string_agg(partition::text, ' | ' ORDER BY ord) FROM dbperf.partition_bounds('p');
END
$$;
SET client_min_messages = warning;
SELECT n.len, named('{table}_{from}', n.len) FROM unnest('{1 second,1 minute,1 hour,5 hours,1 day,1 week,1 month,2 months,3 months,6 months,1 year,10 years}'::text[]) AS n (len);
SELECT n.pattern, named(n.pattern) FROM unnest(ARRAY['{table}_p{from:YYYYMMDD}', '{from:IYYY"w"IW}_{table}', '{table}-{from:YYYY-MM-DD}-{to:YYYY-MM-DD}',
    '{to}', 'Ticks of {from:FMMonth YYYY}', '{table}{table}_{from}{from:SSSSS}', 'q{from:Q}.{from:YYYY}', '"{from}"', 'тик_{from}', '_{from:YY}']) AS n (pattern);
SELECT named('{table}_{from}_{to}', '1000', 'bigint'), named('b{from:YYYY}', '1000', 'bigint');
-- the same text for several partitions: a number tells them apart
SELECT named('always_{from:YYYY}');
SELECT dbperf.create_partitions('p', '2026-01-01', '2026-04-01');
-- what would be empty, or too long whatever the table is called, is refused at once
SELECT fails($$SELECT named('{from:""}')$$);
SELECT fails($$SELECT named('{from:""}{to:FM}')$$);
SELECT fails($$SELECT named('{from:YYYY}' || repeat('x', 60))$$);
SELECT fails($$SELECT named('{table}{from:YYYY}' || repeat('x', 60))$$);
SELECT fails($$SELECT named('{from}' || repeat('ä', 29))$$);
SELECT fails($$SELECT named('{from:' || repeat('FMMonth', 8) || '}')$$);
SELECT fails($$SELECT named('{table}_{from}_{to}' || repeat('x', 20), '1 second')$$);
SELECT named(repeat('x', 59) || '{from:YYYY}');
RESET client_min_messages;

-- hostile names
CREATE SCHEMA "sch""ema.with'all\ kinds";
SET search_path = "sch""ema.with'all\ kinds", t;
CREATE TABLE "ta""ble; DROP TABLE t.x; --" ("co""l) = (1" timestamptz NOT NULL, "c'2" text) PARTITION BY RANGE ("co""l) = (1");
CREATE TABLE "{table}_{from}" (k date) PARTITION BY RANGE (k);
CREATE TABLE "%s%n%I$1" (k date) PARTITION BY RANGE (k);
CREATE TABLE "UPPER lower" (k date) PARTITION BY RANGE (k);
CREATE TABLE "select" ("from" date) PARTITION BY RANGE ("from");
CREATE TABLE "таблица" (k date) PARTITION BY RANGE (k);
CREATE TABLE " " (k date) PARTITION BY RANGE (k);
SELECT format('SELECT dbperf.manage(%L, ''1 month'', 1)', c.oid::regclass) FROM pg_class c
WHERE relkind = 'p' AND relnamespace = quote_ident((current_schemas(false))[1])::regnamespace ORDER BY relname COLLATE "C" \gexec
SELECT c.relname AS parent, p.partition FROM pg_class c, t.partitions(c.oid) p
WHERE relkind = 'p' AND relnamespace = quote_ident((current_schemas(false))[1])::regnamespace ORDER BY relname COLLATE "C", p.bound;
INSERT INTO "ta""ble; DROP TABLE t.x; --" VALUES ('2026-11-21', 'x') RETURNING tableoid::regclass;
SELECT parent, partition, state FROM dbperf.partitions WHERE lower_bound = '2026-11-01' ORDER BY partition::text COLLATE "C";
SELECT parent, partition FROM dbperf.partition_events WHERE action = 'create' AND lower_bound = '2026-12-01' ORDER BY parent COLLATE "C";
SELECT dbperf.create_partition('"{table}_{from}"', '2027-05-05'), dbperf.create_partition('"%s%n%I$1"', '2027-05-05');

-- 63 bytes: shortened names keep their date, and never collide, whatever they begin with
SET search_path = t;
SELECT make(repeat('a', 63)), make(repeat('a', 62) || 'b'), make(repeat('ä', 31)), make(repeat('ä', 30) || 'öx');
SELECT dbperf.manage(repeat('a', 63)::regclass, '1 month', 1), dbperf.manage((repeat('a', 62) || 'b')::regclass, '1 month', 1),
       dbperf.manage(repeat('ä', 31)::regclass, '1 day', 1), dbperf.manage((repeat('ä', 30) || 'öx')::regclass, '1 day', 1);
SELECT c.relname COLLATE "C" AS partition, octet_length(c.relname), p.relname AS parent
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
WHERE p.relname ~ '^(a|ä){30}' AND c.relkind = 'r' ORDER BY 1;
-- the longest that needs no shortening, and the first that does
SELECT make(repeat('b', 55)), make(repeat('c', 56));
SELECT dbperf.manage(repeat('b', 55)::regclass, '1 month', 0), dbperf.manage(repeat('c', 56)::regclass, '1 month', 0);
SELECT partition, octet_length(partition) FROM partitions(repeat('b', 55)::regclass) UNION ALL
SELECT partition, octet_length(partition) FROM partitions(repeat('c', 56)::regclass);

-- names that are taken: by a table, an index, a view, a type, a sequence
SELECT make('busy');
CREATE TABLE busy_2026_11 (i int);
CREATE INDEX busy_2026_12 ON busy_2026_11 (i);
CREATE TYPE busy_2027_01 AS ENUM ('x');
CREATE VIEW busy_2027_02 AS SELECT 1;
CREATE SEQUENCE busy_2027_03;
CREATE TABLE busy_2027_04 (i int);
CREATE TABLE busy_2027_04_1 (i int);
SELECT dbperf.manage('busy', '1 month', 5);
SELECT * FROM partitions('busy');
-- in the parent's schema, whatever the search_path
CREATE SCHEMA regress_other;
SET search_path = regress_other, t;
SELECT dbperf.create_partition('busy', '2028-01-01');
SELECT relnamespace::regnamespace FROM pg_class WHERE relname = 'busy_2028_01';
DROP SCHEMA regress_other;
SET search_path = t;
-- renamed partitions are what their bounds say
ALTER TABLE busy_2028_01 RENAME TO busy_2011_01;
SELECT dbperf.create_partition('busy', '2028-01-31');
SELECT dbperf.create_partition('busy', '2011-01-31');
-- a temporary table of the same name is in nobody's way
CREATE TEMP TABLE busy_2029_01 (i int);
SELECT dbperf.create_partition('busy', '2029-01-31');
SELECT oid::regclass FROM pg_class WHERE relname = 'busy_2029_01' AND relispartition;
SET client_min_messages = warning;
DROP SCHEMA "sch""ema.with'all\ kinds" CASCADE;
