--
-- What the extension does with partitions, it does with compressed ones, too: each time, the table
-- is compared with a twin to which the same was done, but whose partitions are heaps
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set bulk :abs_srcdir '/sql/lib/bulk.sql'
\set ECHO none
\i :setup
\i :bulk
SET client_min_messages = warning;
-- Two market schemas, the same in both; old partitions of one of them are compressed.
CREATE FUNCTION t.twice(statement text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    s text;
BEGIN
    FOREACH s IN ARRAY '{m,twin}'::text[] LOOP
        EXECUTE replace(statement, '@', s);
    END LOOP;
END
$$;
-- Rows of one that the other does not have, times of the test's own run aside.
CREATE FUNCTION t.differences(tab text DEFAULT 'market_data') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
    c text := (SELECT string_agg(CASE WHEN attname IN ('deleted_at', 'updated_at') THEN format('%I IS NULL', attname) ELSE quote_ident(attname) END, ', ' ORDER BY attnum)
               FROM pg_attribute WHERE attrelid = format('m.%I', tab)::regclass AND attnum > 0 AND attname <> 'created_at');
BEGIN
    EXECUTE format('SELECT count(*) FROM ((SELECT %2$s FROM m.%1$I EXCEPT ALL SELECT %2$s FROM twin.%1$I)
        UNION ALL (SELECT %2$s FROM twin.%1$I EXCEPT ALL SELECT %2$s FROM m.%1$I)) d', tab, c) INTO n;
    RETURN n;
END
$$;
-- The same of what a function returns: %s stands for the schema.
CREATE FUNCTION t.same(query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    a text[];
    b text[];
BEGIN
    EXECUTE format('SELECT array_agg(q::text ORDER BY q::text) FROM (%s) q', replace(query, '@', 'm')) INTO a;
    EXECUTE format('SELECT array_agg(q::text ORDER BY q::text) FROM (%s) q', replace(query, '@', 'twin')) INTO b;
    RETURN a IS NOT DISTINCT FROM b AND a IS NOT NULL;
END
$$;
SELECT t.twice('SELECT dbperf.create_market_schema(''@'')') \g /dev/null
SELECT t.twice('INSERT INTO @.instruments (id, symbol) SELECT i, ''S'' || i FROM generate_series(1, 20) i') \g /dev/null
SELECT t.twice('SELECT dbperf.create_partitions(''@.market_data'', ''2026-08-01'', ''2026-11-01'')') \g /dev/null
SELECT t.twice($$INSERT INTO @.market_data (id, "timestamp", instrument_id, price, volume, bid, ask, created_at, updated_at)
    SELECT i, timestamptz '2026-08-01' + i * interval '11 min', 1 + i % 12, 100 + (i % 777) / 100.0, i % 1000,
           CASE WHEN i % 5 > 0 THEN 99 + (i % 777) / 100.0 END, 101, '2026-01-01', '2026-01-01'
    FROM generate_series(1, 14000) i$$) \g /dev/null
RESET client_min_messages;
\set ECHO all
CALL dbperf.maintain('m.market_data');
SELECT partition, access_method FROM dbperf.partitions WHERE parent = 'm.market_data'::regclass ORDER BY lower_bound;
SELECT differences();

-- bulk_insert() into compressed partitions: plainly, with triggers and foreign keys, with rows that are there already
SELECT twice($$SELECT dbperf.bulk_insert('@.market_data', '{id,timestamp,instrument_id,price,created_at,updated_at}',
    ARRAY[900001, 900002, 900003, 900004]::bigint[], '{2026-08-03 10:00+00,2026-09-03 10:00+00,2026-10-03 10:00+00,2026-11-03 10:00+00}'::timestamptz[],
    '{1,2,3,4}'::int[], '{1,2,3,4}'::float8[], array_fill(timestamptz '2026-01-01', '{4}'), array_fill(timestamptz '2026-01-01', '{4}'))$$);
SELECT differences();
-- a row of a batch has this key
SELECT id, "timestamp" FROM m.market_data WHERE id IN (100, 5000, 13000) ORDER BY id;
SELECT fails_at($$SELECT dbperf.bulk_insert('m.market_data', '{id,timestamp,instrument_id,price}', '{7,100}'::bigint[], '{2026-08-01 00:00:07+00,2026-08-01 18:20:00+00}'::timestamptz[], '{1,1}'::int[], '{1,1}'::float8[])$$);
SELECT inserted, rejected FROM dbperf.bulk_insert('m.market_data', '{id,timestamp,instrument_id,price}', ROW('{7,100,900100}'::bigint[], '{2026-08-01 00:00:07+00,2026-08-01 18:20:00+00,2026-08-01 18:20:00+00}'::timestamptz[], '{1,1,1}'::int[], '{1,1,1}'::float8[]),
    on_error => 'reject');
SELECT inserted, rejected FROM dbperf.bulk_insert('twin.market_data', '{id,timestamp,instrument_id,price}', ROW('{7,100,900100}'::bigint[], '{2026-08-01 00:00:07+00,2026-08-01 18:20:00+00,2026-08-01 18:20:00+00}'::timestamptz[], '{1,1,1}'::int[], '{1,1,1}'::float8[]),
    on_error => 'reject');
SELECT row_number, sqlstate, reason FROM rejects('m.market_data');
SELECT count(*) FROM rejects('twin.market_data');
SELECT fails_at($$SELECT dbperf.bulk_insert('m.market_data', '{id,timestamp,instrument_id,price}', '{900200}'::bigint[], '{2026-09-03 10:00+00}'::timestamptz[], '{4711}'::int[], '{1}'::float8[])$$);
SELECT differences();
SELECT inserted, skipped FROM dbperf.bulk_insert('m.market_data', '{id,timestamp,instrument_id,price}', ROW('{100,900300}'::bigint[], '{2026-08-01 18:20:00+00,2026-09-01 18:20:00+00}'::timestamptz[], '{1,1}'::int[], '{55,55}'::float8[]),
    on_conflict => 'nothing');
SELECT inserted, skipped FROM dbperf.bulk_insert('m.market_data', '{id,timestamp,instrument_id,price}', ROW('{100,900301}'::bigint[], '{2026-08-01 18:20:00+00,2026-09-01 18:20:00+00}'::timestamptz[], '{1,1}'::int[], '{66,66}'::float8[]),
    on_conflict => 'update');
SELECT twice($$SELECT dbperf.bulk_insert('@.market_data', '{id,timestamp,instrument_id,price}', ROW('{100,900300}'::bigint[], '{2026-08-01 18:20:00+00,2026-09-01 18:20:00+00}'::timestamptz[], '{1,1}'::int[], '{55,55}'::float8[]),
    on_conflict => 'nothing')$$);
SELECT twice($$SELECT dbperf.bulk_insert('@.market_data', '{id,timestamp,instrument_id,price}', ROW('{100,900301}'::bigint[], '{2026-08-01 18:20:00+00,2026-09-01 18:20:00+00}'::timestamptz[], '{1,1}'::int[], '{66,66}'::float8[]),
    on_conflict => 'update')$$);
SELECT differences();
SELECT id, price FROM m.market_data WHERE id IN (100, 900300, 900301) ORDER BY id;

-- the last rows: of keys in batches and outside, of keys that are nowhere, and after rows were deleted
SELECT same($$SELECT id, "timestamp", instrument_id, price, bid FROM dbperf.get_latest_market_data(ARRAY(SELECT generate_series(1, 20)), '@.market_data')$$);
SELECT twice($$INSERT INTO @.market_data (id, "timestamp", instrument_id, price) VALUES (910001, '2026-08-20 00:00+00', 15, 1), (910002, '2026-08-20 00:00+00', 15, 2), (910003, '2026-08-19 00:00+00', 15, 3)$$);
SELECT twice($$DELETE FROM @.market_data WHERE "timestamp" >= '2026-10-15' AND instrument_id IN (3, 4)$$);
SELECT same($$SELECT id, "timestamp", instrument_id, price, bid FROM dbperf.get_latest_market_data(ARRAY(SELECT generate_series(1, 20)), '@.market_data')$$);
SELECT id, "timestamp" FROM dbperf.get_latest_market_data('{3,4,15}', 'm.market_data') ORDER BY id;
SELECT same($$SELECT l.id, l."timestamp" FROM generate_series(1, 20) g, dbperf.get_latest_market_data(ARRAY[g], '@.market_data') l$$);
SELECT same($$SELECT id, "timestamp", price FROM dbperf.get_active_market_data(5, NULL, NULL, 3000, '@.market_data')$$);
SELECT same($$SELECT id, "timestamp", price FROM dbperf.get_active_market_data(5, '2026-09-10', '2026-09-20', 100, '@.market_data')$$);
-- within a transaction that has changed them itself
BEGIN;
SELECT twice($$DELETE FROM @.market_data WHERE instrument_id = 7 AND "timestamp" > '2026-09-15'$$);
SELECT twice($$INSERT INTO @.market_data (id, "timestamp", instrument_id, price) VALUES (910010, '2026-09-30 23:00+00', 7, 1)$$);
SELECT same($$SELECT id, "timestamp" FROM dbperf.get_latest_market_data('{7,8}', '@.market_data')$$);
ROLLBACK;
SELECT same($$SELECT id, "timestamp" FROM dbperf.get_latest_market_data('{7,8}', '@.market_data')$$);
SELECT differences();

-- soft delete and restore, by ids and by ranges, and what deleting for good does
SELECT dbperf.soft_delete_market_data('{200,201,202,6000,900001}', reason => 'x', target => 'm.market_data'), dbperf.soft_delete_market_data('{200,201,202,6000,900001}', reason => 'x', target => 'twin.market_data');
SELECT differences();
SELECT same($$SELECT count(*), sum(id) FROM @.market_data_active$$);
SELECT dbperf.restore('m.market_data', '{201,6000}'::bigint[]), dbperf.restore('twin.market_data', '{201,6000}'::bigint[]);
SELECT differences();
SELECT twice($$SELECT dbperf.soft_delete_range('@.market_data', '2026-08-05', '2026-08-09')$$);
SELECT differences();
SELECT same($$SELECT count(*), sum(id) FROM @.market_data WHERE deleted_at IS NOT NULL$$);
SELECT twice($$DELETE FROM @.market_data WHERE id BETWEEN 7000 AND 7010$$);
SELECT differences();
SELECT same($$SELECT id, "timestamp", instrument_id FROM dbperf.get_latest_market_data(ARRAY(SELECT generate_series(1, 20)), '@.market_data')$$);
SELECT partition, access_method FROM dbperf.partitions WHERE parent = 'm.market_data'::regclass AND access_method <> 'heap' ORDER BY lower_bound;

-- into the recycle bin, and back; counted, and dropped
SELECT dbperf.detach_partition('m.market_data_2026_08'), dbperf.detach_partition('twin.market_data_2026_08');
SELECT differences();
SELECT count(*) > 0 AS rows, count(*) = (SELECT count(*) FROM twin_archive.market_data_2026_08) AS same FROM m_archive.market_data_2026_08;
SELECT c.relname, a.amname FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE c.oid = 'm_archive.market_data_2026_08'::regclass;
ALTER TABLE m.market_data ADD COLUMN source text DEFAULT 'feed';
ALTER TABLE twin.market_data ADD COLUMN source text DEFAULT 'feed';
CREATE INDEX ON m.market_data (volume);
SELECT dbperf.attach_partition('m_archive.market_data_2026_08'), dbperf.attach_partition('twin_archive.market_data_2026_08');
SELECT differences();
SELECT same($$SELECT source, count(*) FROM @.market_data GROUP BY 1$$);
SELECT count(*) FROM pg_index WHERE indrelid = 'm.market_data_2026_08'::regclass;
SELECT action, partition, decision, reason FROM dbperf.plan_maintenance('m.market_data');
SELECT twice($$SELECT dbperf.alter_policy('@.market_data', detach_after => '2 months', drop_after => '2 months', recycle_for => '0', require_archive => true)$$);
SELECT twice($$UPDATE dbperf.recycle_bin SET hold_until = NULL WHERE parent = '@.market_data'::regclass$$);
SELECT action, partition, status FROM dbperf.cleanup_old_partitions('m.market_data');
SELECT f ~ 'has \d+ rows, not' AS counted FROM (SELECT count(*) AS n FROM m_archive.market_data_2026_08) c,
    fails(format('SELECT dbperf.confirm_archive(''m_archive.market_data_2026_08'', ''tape'', %s)', c.n + 1)) f LIMIT 1;
SELECT dbperf.confirm_archive('m_archive.market_data_2026_08', 'tape', count(*)) FROM m_archive.market_data_2026_08;
SELECT action, partition, status FROM dbperf.cleanup_old_partitions('m.market_data');
SELECT count(*) FROM dbperf.compression WHERE partition::text !~ '^m\.';

-- rows that point to a compressed partition, and from it
CREATE TABLE m.notes (id bigint, "timestamp" timestamptz, FOREIGN KEY (id, "timestamp") REFERENCES m.market_data);
INSERT INTO m.notes SELECT id, "timestamp" FROM m.market_data WHERE id = 6100;
SELECT dbperf.referencing_rows('m.market_data_2026_09');
SELECT replace(f, 'fkey1', 'fkey') FROM fails($$DELETE FROM m.market_data WHERE id = 6100$$) f;
SELECT fails($$INSERT INTO m.notes VALUES (6101, '2020-01-01')$$);
DROP TABLE m.notes;
SELECT fails($$DELETE FROM m.instruments WHERE id = 5$$);

-- out of a default partition that is compressed itself
CREATE TABLE d (k date NOT NULL, v int, PRIMARY KEY (k, v)) PARTITION BY RANGE (k);
CREATE TABLE d_default PARTITION OF d DEFAULT;
INSERT INTO d SELECT date '2026-09-10' + i % 60, i FROM generate_series(1, 3000) i;
SELECT rows, late_rows FROM dbperf.compress_partition('d_default');
DELETE FROM d WHERE v % 10 = 0;
INSERT INTO d SELECT date '2026-09-10', i FROM generate_series(5001, 5010) i;
SELECT dbperf.manage('d', '1 month', 1);
SELECT lower_bound, row_count, obstacle FROM dbperf.partition_default_status('d') ORDER BY 1;
SELECT action, partition, status FROM dbperf.drain_default('d') ORDER BY partition;
SELECT tableoid::regclass, count(*), min(k), max(k), sum(v) FROM d GROUP BY 1 ORDER BY min(k);
SELECT count(*) FROM ONLY d_default;
DROP TABLE d;

-- numbers: the highest partition that has rows is found, compressed or not
CREATE TABLE n (k bigint NOT NULL, v int) PARTITION BY RANGE (k);
SELECT dbperf.manage('n', 100, 1);
SELECT count(*) FROM dbperf.create_partitions('n', '0', '400');
INSERT INTO n SELECT i, i FROM generate_series(1, 250) i;
SELECT rows FROM dbperf.compress_partition('n_200');
SELECT dbperf.current_key('n'::regclass);
DELETE FROM n WHERE k >= 200;
SELECT dbperf.current_key('n'::regclass);
DROP TABLE n;
SELECT ok FROM dbperf.verify_audit();
SET client_min_messages = warning;
DROP SCHEMA m, twin, m_archive, twin_archive CASCADE;
