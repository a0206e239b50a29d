--
-- get_latest(), get_latest_market_data(), get_active_market_data(): always what a plain query says
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
SELECT setseed(0.25);
SELECT dbperf.create_market_schema('t');
INSERT INTO instruments (id, symbol) SELECT i, 's' || i FROM generate_series(1, 60) i;
-- without a row, and without a question
SELECT * FROM dbperf.get_latest_market_data('{1,2}');
SELECT * FROM dbperf.get_latest_market_data('{}');
SELECT * FROM dbperf.get_latest_market_data(NULL);
SELECT * FROM dbperf.get_active_market_data(1);
SELECT * FROM dbperf.get_active_market_data(NULL);

INSERT INTO market_data (id, "timestamp", instrument_id, price, deleted_at) VALUES
    (1, '2026-11-01 00:00', 1, 10, NULL), (2, '2026-12-01 00:00', 1, 11, NULL), (3, '2026-12-01 00:00', 1, 12, NULL),
    (4, '2027-01-15 00:00', 1, 13, now()), (5, '2026-11-30 23:59:59.999999', 2, 20, NULL), (6, '2026-11-02 00:00', 3, 30, now());
-- of two rows of the same time that with the greater id; NULL, unknown and double ones are nothing
SELECT id, "timestamp", instrument_id, price FROM dbperf.get_latest_market_data('{2,1,3,NULL,1,77}');
SELECT id FROM dbperf.get_latest_market_data('{{1,2},{3,4}}');
SELECT instrument_id, id FROM dbperf.get_latest_market_data('{1,2}', target => 'market_data');
SELECT (dbperf.get_latest_market_data('{1}')).id;
SELECT id FROM dbperf.get_active_market_data(1);
SELECT id FROM dbperf.get_active_market_data(1, "limit" => 1);
SELECT id FROM dbperf.get_active_market_data(1, "limit" => 0);
SELECT id FROM dbperf.get_active_market_data(1, "limit" => NULL);
-- the start belongs to it, the end does not
SELECT id FROM dbperf.get_active_market_data(1, '2026-11-01 00:00', '2026-12-01 00:00');
SELECT id FROM dbperf.get_active_market_data(1, '2026-12-01 00:00', 'infinity');
SELECT id FROM dbperf.get_active_market_data(1, '2026-12-01 00:00', '2026-11-01 00:00');
SELECT id FROM dbperf.get_active_market_data(1, end_time => '2026-12-01 00:00');
SELECT fails($$SELECT * FROM dbperf.get_active_market_data(1, "limit" => -1)$$);

-- what the caller may not see stays unseen
CREATE ROLE dbperf_latest_user;
GRANT USAGE ON SCHEMA dbperf TO dbperf_latest_user;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dbperf TO dbperf_latest_user;
GRANT EXECUTE ON FUNCTION fails TO dbperf_latest_user;
GRANT SELECT ON market_data TO dbperf_latest_user;
SET ROLE dbperf_latest_user;
-- a table cannot be reached past its schema
\set VERBOSITY terse
SELECT dbperf.get_latest_market_data('{1}');
\set VERBOSITY default
RESET ROLE;
GRANT USAGE ON SCHEMA t TO dbperf_latest_user;
SET ROLE dbperf_latest_user;
SELECT id FROM dbperf.get_latest_market_data('{1}');
SELECT id FROM dbperf.get_latest_market_data('{1}');
RESET ROLE;
REVOKE SELECT ON market_data FROM dbperf_latest_user;
SET ROLE dbperf_latest_user;
SELECT fails($$SELECT id FROM dbperf.get_latest_market_data('{1}')$$);
SELECT fails($$SELECT id FROM dbperf.get_active_market_data(1)$$);
SELECT fails($$SELECT dbperf.get_latest(NULL::t.market_data, 'instrument_id', '{1}'::int[])$$);
RESET ROLE;
-- all that is returned, and deleted_at
GRANT SELECT (id, "timestamp", instrument_id, price, volume, bid, ask, bid_size, ask_size, open_price, high_price, low_price, deleted_at, created_at, updated_at)
    ON market_data TO dbperf_latest_user;
SET ROLE dbperf_latest_user;
SELECT id FROM dbperf.get_latest_market_data('{1}');
SELECT id FROM dbperf.get_active_market_data(1, "limit" => 1);
SELECT fails($$SELECT dbperf.get_latest(NULL::t.market_data, 'instrument_id', '{1}'::int[])$$);
RESET ROLE;
GRANT SELECT ON market_data TO dbperf_latest_user;
ALTER TABLE market_data ENABLE ROW LEVEL SECURITY;
CREATE POLICY but_three ON market_data TO dbperf_latest_user USING (id <> 3);
SELECT id FROM dbperf.get_latest_market_data('{1}');
SET ROLE dbperf_latest_user;
SELECT id FROM dbperf.get_latest_market_data('{1}');
SELECT id FROM dbperf.get_active_market_data(1);
SET row_security = off;
SELECT fails($$SELECT id FROM dbperf.get_latest_market_data('{1}')$$);
RESET row_security;
RESET ROLE;
DROP POLICY but_three ON market_data;
ALTER TABLE market_data DISABLE ROW LEVEL SECURITY;

-- own changes, and what becomes of them
SELECT id FROM dbperf.get_latest_market_data('{1}');
BEGIN;
SELECT id FROM dbperf.get_latest_market_data('{1}');
SAVEPOINT s;
INSERT INTO market_data (id, "timestamp", instrument_id) VALUES (7, '2026-12-02 00:00', 1);
SELECT id FROM dbperf.get_latest_market_data('{1}');
ROLLBACK TO s;
SELECT id FROM dbperf.get_latest_market_data('{1}');
UPDATE market_data SET deleted_at = NULL WHERE id = 4;
SELECT id FROM dbperf.get_latest_market_data('{1}');
TRUNCATE market_data;
SELECT id FROM dbperf.get_latest_market_data('{1}');
ROLLBACK;
SELECT id FROM dbperf.get_latest_market_data('{1}');
-- in one statement: what it inserts itself it does not see
WITH i AS (INSERT INTO market_data (id, "timestamp", instrument_id) VALUES (8, '2026-12-03 00:00', 1) RETURNING id)
SELECT i.id, l.id FROM i, dbperf.get_latest_market_data('{1}') l;
SELECT id FROM dbperf.get_latest_market_data('{1}');
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT id FROM dbperf.get_latest_market_data('{1,2}');
COMMIT;

-- a cursor goes on seeing what it saw
BEGIN;
DECLARE c CURSOR FOR SELECT i, (SELECT l.id FROM dbperf.get_latest_market_data(ARRAY[i]) l) FROM generate_series(1, 2) i;
FETCH 1 FROM c;
UPDATE market_data SET deleted_at = now() WHERE instrument_id = 2;
FETCH 1 FROM c;
ROLLBACK;

-- other tables: what they must have
CREATE TABLE few (id bigint, "timestamp" timestamptz, instrument_id int, price numeric);
SELECT fails($$SELECT dbperf.get_latest_market_data('{1}', 'few')$$);
SELECT fails($$SELECT dbperf.get_active_market_data(1, target => 'few')$$);
ALTER TABLE few DROP price;
SELECT fails($$SELECT dbperf.get_latest_market_data('{1}', 'few')$$);
SELECT fails($$SELECT dbperf.get_latest(NULL::few, 'instrument_id', '{1}'::int[])$$);
SELECT fails($$SELECT dbperf.get_latest(1, 'instrument_id', '{1}'::int[])$$);
SELECT fails($$SELECT dbperf.get_latest(NULL::market_data, 'nothing', '{1}'::int[])$$);
SELECT fails($$SELECT dbperf.get_latest(NULL::market_data, NULL, '{1}'::int[])$$);
SELECT fails($$SELECT dbperf.get_latest(NULL::market_data, 'id', NULL::int[])$$);
SELECT fails($$SELECT dbperf.get_latest(NULL::market_data, 'instrument_id', '{1}'::bigint[])$$);
SELECT fails($$SELECT dbperf.get_latest(NULL::few, 'instrument_id', '{1}'::int[], 'market_data')$$);
SELECT fails($$SELECT dbperf.get_latest_market_data('{1}', 1)$$);
SELECT fails($$SELECT dbperf.get_latest_market_data('{1}', 'market_data_timestamp_instrument_id_idx')$$);
ALTER TABLE market_data RENAME TO ticks;
SELECT fails($$SELECT dbperf.get_latest_market_data('{1}')$$);
ALTER TABLE ticks RENAME TO market_data;
SELECT id FROM dbperf.get_latest_market_data('{1}');
-- a view, and a table that is not partitioned, by a statement
CREATE VIEW active AS SELECT * FROM market_data WHERE deleted_at IS NULL AND id < 3;
SELECT id FROM dbperf.get_latest_market_data('{1,2}', 'active');
SELECT id FROM dbperf.get_active_market_data(1, target => 'active');
CREATE TABLE copy AS SELECT * FROM market_data;
SELECT id FROM dbperf.get_latest_market_data('{1,2}', 'copy');
SELECT instrument_id, id FROM dbperf.get_latest(NULL::copy, 'instrument_id', '{1,2}'::int[], 'market_data');

-- At random: tables of different indexes, with and without a default partition, a partition of another
-- shape, empty partitions, many rows of equal times, deleted rows.
CREATE FUNCTION t.make_events(name text, extra text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE %I (gone int, id int NOT NULL, k bigint NOT NULL, sensor bigint, note text DEFAULT ''x'', deleted_at timestamptz, PRIMARY KEY (k, id)) PARTITION BY RANGE (k)', name);
    EXECUTE format('ALTER TABLE %I DROP gone', name);
    FOR i IN 0..5 LOOP
        CONTINUE WHEN i = 3;
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%s) TO (%s)', name || i, name, i * 100, i * 100 + 100);
    END LOOP;
    EXECUTE format('CREATE TABLE %I (deleted_at timestamptz, sensor bigint, other text, id int NOT NULL, k bigint NOT NULL)', name || 3);
    EXECUTE format('INSERT INTO %I SELECT NULL, s, ''old'', 1000 + s, 300 + s FROM generate_series(1, 5) s', name || 3);
    EXECUTE format('ALTER TABLE %1$I DROP other, ADD note text DEFAULT ''its own'', ADD PRIMARY KEY (k, id)', name || 3);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (300) TO (400)', name, name || 3);
    EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (2000) TO (MAXVALUE)', name || '_far', name);
    EXECUTE format(extra, name);
    IF to_regclass(name || '_default') IS NOT NULL THEN
        -- so that the default partition has rows of the middle
        EXECUTE format('DROP TABLE %I', name || 2);
    END IF;
END $$;
SELECT make_events('plain', 'SELECT $x$%I$x$');
SELECT make_events('by_time', 'CREATE INDEX ON %I (k)');
SELECT make_events('by_time_key', 'CREATE INDEX ON %1$I (k DESC, sensor); CREATE TABLE %1$s_default PARTITION OF %1$I DEFAULT');
SELECT make_events('by_key', 'ALTER TABLE %1$I DROP CONSTRAINT %1$s_pkey; CREATE INDEX ON %1$I (sensor); CREATE UNIQUE INDEX ON %1$I (id, k); CREATE TABLE %1$s_default PARTITION OF %1$I DEFAULT');
SELECT make_events('by_both', 'CREATE INDEX ON %1$I (sensor, k DESC) INCLUDE (id); CREATE TABLE %1$s_default PARTITION OF %1$I DEFAULT');
SELECT make_events('by_key_and_time', 'CREATE INDEX ON %1$I (sensor, note); CREATE INDEX ON %1$I (k) WHERE id > 5; CREATE INDEX ON %1$I (abs(k)); CREATE INDEX ON %1$I USING hash (sensor)');
SELECT make_events('all_kinds', 'CREATE INDEX ON %1$I (k, sensor); CREATE INDEX ON %1$I (sensor); CREATE INDEX ON %1$I (sensor, k); CREATE TABLE %1$s_default PARTITION OF %1$I DEFAULT');

CREATE FUNCTION t.change(name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    has_default boolean := to_regclass(name || '_default') IS NOT NULL;
BEGIN
    -- equal times are frequent, some sensors are rare
    EXECUTE format('INSERT INTO %I (id, k, sensor, deleted_at)
        SELECT i, CASE WHEN random() < 0.5 THEN floor(random() * 600) ELSE floor(random() * 6) * 100 + floor(random() * 3) END,
            floor(40 * random() ^ 3), CASE WHEN random() < 0.3 THEN now() END
        FROM generate_series(1 + (random() * 1000)::int, 1 + (random() * 1000)::int + 40) i ON CONFLICT DO NOTHING', name);
    IF has_default THEN
        EXECUTE format('INSERT INTO %I (id, k, sensor, deleted_at)
            SELECT i, -100 + floor(random() * 1300), floor(60 * random() ^ 3), CASE WHEN random() < 0.3 THEN now() END
            FROM generate_series(1 + (random() * 1000)::int, 1 + (random() * 1000)::int + 10) i ON CONFLICT DO NOTHING', name);
    END IF;
    EXECUTE format('UPDATE %I SET deleted_at = CASE WHEN deleted_at IS NULL THEN now() END WHERE random() < 0.1', name);
    EXECUTE format('DELETE FROM %I WHERE random() < 0.1', name);
    IF random() < 0.2 THEN
        EXECUTE format('TRUNCATE %I', name || (ARRAY[0, 1, 3, 4, 5])[1 + floor(random() * 5)::int]);
    END IF;
END $$;

-- Both under one snapshot
CREATE FUNCTION t.twin_sql(name text) RETURNS text LANGUAGE sql AS $$
    SELECT format($q$
        SELECT (SELECT array_agg(f::text) FROM dbperf.get_latest(NULL::t.%1$I, 'sensor', $1) f)
            IS NOT DISTINCT FROM
            (SELECT array_agg(q::text) FROM (SELECT DISTINCT ON (sensor) * FROM t.%1$I WHERE sensor = ANY ($1) AND deleted_at IS NULL
                ORDER BY sensor, k DESC, id DESC) q)
        $q$, name)
$$;
-- counts comparisons that failed; none may
DO $$
DECLARE
    same boolean;
    name text;
    keys bigint[];
    compared int := 0;
    failed int := 0;
BEGIN
    FOR round IN 1..40 LOOP
        FOREACH name IN ARRAY '{plain,by_time,by_time_key,by_both,by_key_and_time,all_kinds}'::text[] LOOP
            PERFORM t.change(name);
            -- own changes
            keys := ARRAY(SELECT floor(random() * 45)::bigint FROM generate_series(1, 1 + floor(random() ^ 3 * 50)::int));
            EXECUTE t.twin_sql(name) INTO same USING keys;
            compared := compared + 1;
            failed := failed + (NOT same)::int;
            IF round % 3 = 0 THEN
                ROLLBACK;
            ELSE
                COMMIT;
            END IF;
            IF round % 5 = 0 THEN
                EXECUTE format('ALTER TABLE t.%I DETACH PARTITION t.%I', name, name || 4);
                COMMIT;
            END IF;
            -- cold, warm, and partly one and partly the other
            FOR again IN 1..6 LOOP
                IF again = 3 THEN
                    keys := keys || ARRAY(SELECT floor(random() * 45)::bigint FROM generate_series(1, 10));
                ELSIF again = 5 AND round % 5 = 0 THEN
                    EXECUTE format('ALTER TABLE t.%I ATTACH PARTITION t.%I FOR VALUES FROM (400) TO (500)', name, name || 4);
                    COMMIT;
                END IF;
                EXECUTE t.twin_sql(name) INTO same USING keys;
                compared := compared + 1;
                failed := failed + (NOT same)::int;
            END LOOP;
        END LOOP;
    END LOOP;
    RAISE NOTICE 'compared %, failed %', compared, failed;
END $$;
SELECT sum(cache_hits) > 1000 AS hits, sum(cache_misses) > 1000 AS misses FROM dbperf.operation_counters() WHERE operation = 'get_latest';
-- without a primary key, rows of equal times are equally good: only the times are compared
DO $$
DECLARE
    same boolean;
    failed int := 0;
BEGIN
    FOR round IN 1..20 LOOP
        PERFORM t.change('by_key');
        COMMIT;
        FOR again IN 1..2 LOOP
            SELECT (SELECT array_agg((f.sensor, f.k)) FROM dbperf.get_latest(NULL::t.by_key, 'sensor', ARRAY(SELECT generate_series(0, 60))) f)
                IS NOT DISTINCT FROM
                (SELECT array_agg((sensor, k)) FROM (SELECT DISTINCT ON (sensor) sensor, k FROM t.by_key WHERE deleted_at IS NULL AND sensor BETWEEN 0 AND 60 ORDER BY sensor, k DESC) q)
                INTO same;
            failed := failed + (NOT same)::int;
        END LOOP;
    END LOOP;
    RAISE NOTICE 'failed %', failed;
END $$;

-- a key with many rows, long ago: both indexes have a long way
CREATE TABLE long (id bigint GENERATED ALWAYS AS IDENTITY, k int, sensor int, deleted_at timestamptz, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
CREATE TABLE long0 PARTITION OF long FOR VALUES FROM (0) TO (100000);
CREATE INDEX ON long (k, sensor);
CREATE INDEX ON long (sensor);
INSERT INTO long (k, sensor) SELECT i, CASE WHEN i < 10000 THEN 1 + i % 2 WHEN i = 10000 THEN 3 ELSE 4 END FROM generate_series(1, 20000) i;
UPDATE long SET deleted_at = now() WHERE sensor = 2 AND k > 5000;
SELECT sensor, id, k FROM dbperf.get_latest(NULL::long, 'sensor', '{1,2,3,4,5}'::int[]);
SELECT sensor, id, k FROM dbperf.get_latest(NULL::long, 'sensor', '{5,4,3,2,1}'::smallint[]);
DROP INDEX long_sensor_idx;
SELECT sensor, id, k FROM dbperf.get_latest(NULL::long, 'sensor', '{1,2,3,4,5}'::int[]);

-- keys of other types, domains, long rows, infinities, a key that is equal but not the same
CREATE DOMAIN code AS text COLLATE "C";
CREATE TABLE words (at date, word code, n numeric, body text, PRIMARY KEY (at, n)) PARTITION BY RANGE (at);
CREATE TABLE words1 PARTITION OF words FOR VALUES FROM (MINVALUE) TO ('2026-01-01');
CREATE TABLE words2 PARTITION OF words FOR VALUES FROM ('2026-01-01') TO (MAXVALUE);
CREATE INDEX ON words (word);
ALTER TABLE words ALTER body SET STORAGE EXTERNAL;
INSERT INTO words VALUES ('-infinity', 'a', 1.0, 'x'), ('infinity', 'b', 2.50, repeat('long', 5000)), ('2025-12-31', 'B', 3, 'y'), ('2026-01-01', '', 4, repeat('z', 600));
SELECT at, word, n, length(body), left(body, 5) FROM dbperf.get_latest(NULL::words, 'word', '{a,B,b,"",c}'::text[]);
SELECT at, word, n, length(body), left(body, 5) FROM dbperf.get_latest(NULL::words, 'word', '{a,B,b,"",c}'::varchar[]);
SELECT at, word, n FROM dbperf.get_latest(NULL::words, 'n', '{1,2.5,3.0000}'::numeric[]);
SELECT at, word, n FROM dbperf.get_latest(NULL::words, 'n', '{1,2.5,3.0}'::numeric[]);
SELECT at, word, n FROM dbperf.get_latest(NULL::words, 'n', '{1,2}'::int[]);
SELECT at, n FROM dbperf.get_latest(NULL::words, 'at', '{2026-01-01,-infinity}'::date[]);
-- columns that come and go
ALTER TABLE words ADD extra int DEFAULT 7;
SELECT word, extra FROM dbperf.get_latest(NULL::words, 'word', '{a,b}'::text[]);
ALTER TABLE words DROP body;
SELECT * FROM dbperf.get_latest(NULL::words, 'word', '{a,b}'::text[]);
-- rows from before a column that has another default in the partition
CREATE TABLE shallow (at date, k int, note text) PARTITION BY RANGE (at);
CREATE TABLE shallow1 (at date, k int);
INSERT INTO shallow1 VALUES ('2026-01-01', 1);
ALTER TABLE shallow1 ADD note text DEFAULT 'its own';
ALTER TABLE shallow ATTACH PARTITION shallow1 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
SELECT * FROM dbperf.get_latest(NULL::shallow, 'k', '{1}'::int[]);
-- a time that may be null is later than nothing
CREATE TABLE loose (at date, k int) PARTITION BY RANGE (at);
CREATE TABLE loose_default PARTITION OF loose DEFAULT;
CREATE INDEX ON loose (at);
INSERT INTO loose VALUES (NULL, 1), ('2026-01-01', 1), (NULL, 2), ('2026-01-01', NULL);
SELECT * FROM dbperf.get_latest(NULL::loose, 'k', '{1,2}'::int[]);
-- partitions of partitions, temporary tables, tables of others, not to be kept or not to be read directly
CREATE TABLE deep (at date, k int) PARTITION BY RANGE (at);
CREATE TABLE deep1 PARTITION OF deep FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') PARTITION BY LIST (k);
CREATE TABLE deep11 PARTITION OF deep1 FOR VALUES IN (1, 2);
CREATE TABLE deep2 PARTITION OF deep FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
INSERT INTO deep VALUES ('2026-01-01', 1), ('2026-01-02', 1), ('2026-01-02', 2), ('2027-01-02', 3);
SELECT * FROM dbperf.get_latest(NULL::deep, 'k', '{1,2,3}'::int[]);
CREATE TEMP TABLE brief (at date, k int) PARTITION BY RANGE (at);
CREATE TEMP TABLE brief1 PARTITION OF brief FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO brief VALUES ('2026-01-01', 1);
SELECT * FROM dbperf.get_latest(NULL::brief, 'k', '{1,2,3}'::int[]);
SELECT * FROM dbperf.get_latest(NULL::brief, 'k', '{1,2,3}'::int[]);
CREATE FOREIGN DATA WRAPPER dbperf_latest_nowhere;
CREATE SERVER dbperf_latest_nowhere FOREIGN DATA WRAPPER dbperf_latest_nowhere;
CREATE FOREIGN TABLE deep0 PARTITION OF deep FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') SERVER dbperf_latest_nowhere;
SELECT * FROM dbperf.get_latest(NULL::deep, 'k', '{3}'::int[]);
SELECT fails($$SELECT * FROM dbperf.get_latest(NULL::deep, 'k', '{1}'::int[])$$);
-- types without an order
CREATE TABLE shapes (at date, p point) PARTITION BY RANGE (at);
SELECT fails($$SELECT * FROM dbperf.get_latest(NULL::shapes, 'p', ARRAY[point(1, 1)])$$);
-- what is in the caller's search_path does not matter
CREATE FUNCTION t.never(int, int) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR t.= (FUNCTION = t.never, LEFTARG = int, RIGHTARG = int);
SET search_path = t, pg_catalog;
SELECT id FROM dbperf.get_latest_market_data('{1,2}', 'copy');
SELECT id FROM dbperf.get_active_market_data(1, "limit" => 1);
RESET search_path;

SET client_min_messages = warning;
DROP FOREIGN DATA WRAPPER dbperf_latest_nowhere CASCADE;
REVOKE ALL ON SCHEMA dbperf FROM dbperf_latest_user;
DROP SCHEMA t CASCADE;
DROP EXTENSION tradeassist_dbperf;
DROP ROLE dbperf_latest_user;
