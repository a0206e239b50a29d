--
-- bulk_insert() into partitioned tables of every kind
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set bulk :abs_srcdir '/sql/lib/bulk.sql'
\set ECHO none
\i :setup
\i :bulk
\set ECHO all
CREATE FUNCTION ids(n integer) RETURNS integer[] LANGUAGE sql AS 'SELECT array_agg(i ORDER BY i) FROM generate_series(1, n) i';
-- how many rows each partition has, and whether all are where PostgreSQL would have put them
CREATE FUNCTION rows_in(parent regclass) RETURNS TABLE (partition name, count bigint, sum bigint) LANGUAGE plpgsql AS $$
DECLARE
    wrong bigint;
    leaf  regclass;
BEGIN
    FOR leaf IN SELECT p.relid FROM pg_partition_tree(parent) p WHERE p.isleaf LOOP
        EXECUTE format('SELECT count(*) FROM ONLY %s WHERE NOT (%s)', leaf, coalesce(pg_get_partition_constraintdef(leaf), 'true')) INTO wrong;
        IF wrong > 0 THEN
            RAISE EXCEPTION '% rows of % do not belong there', wrong, leaf;
        END IF;
    END LOOP;
    RETURN QUERY EXECUTE format('SELECT c.relname, count(*), sum(v) FROM %s p JOIN pg_class c ON c.oid = p.tableoid GROUP BY 1 ORDER BY 1', parent);
END$$;
-- ranges with gaps, open at both ends, with a default partition
CREATE TABLE r (k integer, v integer) PARTITION BY RANGE (k);
CREATE TABLE r1 PARTITION OF r FOR VALUES FROM (10) TO (20);
CREATE TABLE r2 PARTITION OF r FOR VALUES FROM (20) TO (30);
CREATE TABLE r4 PARTITION OF r FOR VALUES FROM (40) TO (50);
SELECT inserted FROM dbperf.bulk_insert('r', '{k,v}', ARRAY[10, 40, 19, 20, 29, 49, 10], ids(7));
SELECT fails_at(format($$SELECT dbperf.bulk_insert('r', '{v,k}', ARRAY[1, 2, 3], ARRAY[10, %s, 20])$$, k)) FROM unnest(ARRAY['9', '30', '39', '50', '-2147483648', '2147483647', 'NULL']) k;
SELECT fails_at($$SELECT dbperf.bulk_insert('r', '{v}', ids(3))$$);
SELECT inserted, rejected FROM dbperf.bulk_insert('r', '{k,v}', ARRAY[10, 9, 20, 30, NULL, 49, 50, 39], ids(8), '{"on_error": "reject", "batch_size": 5}');
SELECT * FROM rejects('r');
SELECT inserted, rejected FROM dbperf.bulk_insert('r', '[{"v": 1}, {"v": 2, "k": 10}, {"k": "x"}]', on_error => 'reject');
SELECT row_number, sqlstate FROM rejects('r');
SELECT * FROM rows_in('r');
CREATE TABLE r0 PARTITION OF r FOR VALUES FROM (MINVALUE) TO (10);
CREATE TABLE r9 PARTITION OF r FOR VALUES FROM (50) TO (MAXVALUE);
CREATE TABLE rd PARTITION OF r DEFAULT;
SELECT inserted FROM dbperf.bulk_insert('r', '{k,v}', ARRAY[9, 30, 39, 50, -2147483648, 2147483647, NULL, 10, 39, 30], ids(10));
SELECT * FROM rows_in('r');
SELECT inserted, batches FROM dbperf.bulk_insert('r', '{k,v}', (SELECT array_agg((i * 7919) % 100 ORDER BY i) FROM generate_series(1, 10000) i), ids(10000), '{"batch_size": 7}');
SELECT inserted, batches FROM dbperf.bulk_insert('r', '{k,v}', (SELECT array_agg((i * 7919) % 100 ORDER BY i) FROM generate_series(1, 10000) i), ids(10000), '{"batch_size": 100000, "on_error": "reject"}');
SELECT * FROM rows_in('r');
-- a partition that is only a default; no partition at all
CREATE TABLE only_default (k timestamptz, v integer) PARTITION BY RANGE (k);
SELECT fails_at($$SELECT dbperf.bulk_insert('only_default', '{k}', ARRAY[now()])$$) LIMIT 1;
CREATE TABLE only_default1 PARTITION OF only_default DEFAULT;
SELECT inserted FROM dbperf.bulk_insert('only_default', '{k,v}', ARRAY['infinity', '-infinity', NULL, '2026-01-01']::timestamptz[], ids(4));
SELECT * FROM rows_in('only_default');
-- keys of every type that a policy can have
CREATE FUNCTION by_key(type text, bounds text[], keys text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE t.x (k %s, v integer DEFAULT 1) PARTITION BY RANGE (k)', type);
    FOR i IN 1 .. cardinality(bounds) - 1 LOOP
        EXECUTE format('CREATE TABLE t.x%s PARTITION OF t.x FOR VALUES FROM (%s) TO (%s)', i, CASE WHEN bounds[i] ~ 'VALUE' THEN bounds[i] ELSE quote_literal(bounds[i]) END, CASE WHEN bounds[i + 1] ~ 'VALUE' THEN bounds[i + 1] ELSE quote_literal(bounds[i + 1]) END);
    END LOOP;
    EXECUTE format('SELECT dbperf.bulk_insert(''t.x'', ''{k}'', $1::%s[], ''{"on_error": "reject"}'')', type) USING keys;
    RETURN QUERY SELECT format('%s: %s', partition, count) FROM t.rows_in('t.x');
    RETURN QUERY SELECT format('rejected: %s', string_agg("row" ->> 'k', ', ' ORDER BY row_number)) FROM t.rejects('t.x');
    DROP TABLE t.x;
END$$;
SELECT by_key('timestamptz', '{2026-01-01,2026-02-01 00:00:00+02,2026-03-01,infinity}', '{2025-12-31 23:59:59.999999+00,2026-01-01,2026-01-31 22:00:00+00,2026-01-31 21:59:59.999999+00,infinity,-infinity,294276-12-31 00:00,4714-11-24 00:00:00+00 BC}');
SELECT by_key('timestamp', '{-infinity,2026-01-01,2026-02-01,MAXVALUE}', '{2025-12-31 23:59:59.999999,2026-01-01,2026-01-31 23:59:59.999999,2026-02-01,infinity,-infinity}');
SELECT by_key('date', '{-infinity,2026-01-01,2026-02-01,infinity}', '{2025-12-31,2026-01-01,2026-01-31,2026-02-01,infinity,-infinity,5874897-12-31,4714-11-24 BC}');
SELECT by_key('bigint', '{-9223372036854775808,-1,0,9223372036854775807}', '{-9223372036854775808,-2,-1,0,9223372036854775806,9223372036854775807}');
SELECT by_key('integer', '{MINVALUE,-2147483648,0,MAXVALUE}', '{-2147483648,-1,0,2147483647}');
-- and of others, for the executor to route
SELECT by_key('smallint', '{-5,0,5}', '{-5,-1,0,4,5}');
SELECT by_key('numeric', '{MINVALUE,0,1.5,NaN}', '{-Infinity,-1,0,1.49,1.5,Infinity,NaN}');
SELECT by_key('name', '{a,b,c}', '{a,azzz,b,B,c}');
SELECT by_key('float8', '{-Infinity,0,Infinity,NaN}', '{-Infinity,-0,0,Infinity,NaN}');
-- several columns, expressions, lists, hashes
CREATE TABLE m (a integer, b text, v integer) PARTITION BY RANGE (a, b);
CREATE TABLE m1 PARTITION OF m FOR VALUES FROM (1, 'a') TO (1, 'm');
CREATE TABLE m2 PARTITION OF m FOR VALUES FROM (1, 'm') TO (2, MINVALUE);
CREATE TABLE e (a integer, v integer) PARTITION BY RANGE ((a % 10));
CREATE TABLE e1 PARTITION OF e FOR VALUES FROM (0) TO (5);
CREATE TABLE l (a text, v integer) PARTITION BY LIST (a);
CREATE TABLE l1 PARTITION OF l FOR VALUES IN ('a', 'b');
CREATE TABLE l2 PARTITION OF l FOR VALUES IN (NULL, 'c');
CREATE TABLE h (a integer, v integer) PARTITION BY HASH (a);
CREATE TABLE h0 PARTITION OF h FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE h1 PARTITION OF h FOR VALUES WITH (MODULUS 3, REMAINDER 1);
SELECT inserted, rejected FROM dbperf.bulk_insert('m', '{a,b,v}', ARRAY[1, 1, 2, 1, NULL], ARRAY['a', 'z', 'a', 'A', 'a'], ids(5), '{"on_error": "reject"}');
SELECT inserted, rejected FROM dbperf.bulk_insert('e', '{a,v}', ids(20), ids(20), '{"on_error": "reject", "batch_size": 3}');
SELECT inserted, rejected FROM dbperf.bulk_insert('l', '{a,v}', ARRAY['a', 'b', 'c', 'd', NULL, 'a'], ids(6), '{"on_error": "reject"}');
SELECT inserted + rejected AS given, rejected > 0 AS some FROM dbperf.bulk_insert('h', '{a,v}', ids(100), ids(100), '{"on_error": "reject"}');
SELECT fails_at($$SELECT dbperf.bulk_insert('m', '{a,b,v}', ARRAY[1, 2], ARRAY['a', 'a'], ids(2))$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('e', '{a}', ARRAY[1, 2, 15])$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('l', '{a}', ARRAY['a', 'd'])$$);
SELECT * FROM rows_in('m') UNION ALL SELECT * FROM rows_in('e') UNION ALL SELECT * FROM rows_in('l');
SELECT partition, count > 10 AS some FROM rows_in('h');

-- levels, with columns that lie elsewhere, dropped ones, and more than one default
CREATE TABLE p (gone integer, at timestamptz NOT NULL, gone2 text, k integer DEFAULT 1, v integer, d text DEFAULT 'parent', twice integer GENERATED ALWAYS AS (v * 2) STORED) PARTITION BY RANGE (at);
ALTER TABLE p DROP COLUMN gone, DROP COLUMN gone2;
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE p2 (d text DEFAULT 'partition', twice integer GENERATED ALWAYS AS (v * 2) STORED, v integer, k integer DEFAULT 2, gone integer, at timestamptz NOT NULL) PARTITION BY LIST (k);
ALTER TABLE p2 DROP COLUMN gone;
ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
CREATE TABLE p2a (v integer CONSTRAINT small CHECK (v < 100), k integer NOT NULL, twice integer GENERATED ALWAYS AS (v * 2) STORED, gone integer, at timestamptz NOT NULL, d text);
ALTER TABLE p2a DROP COLUMN gone;
ALTER TABLE p2 ATTACH PARTITION p2a FOR VALUES IN (1, 2);
CREATE TABLE p2b PARTITION OF p2 DEFAULT;
CREATE TABLE p3 PARTITION OF p FOR VALUES FROM ('2026-03-01') TO ('2026-04-01') PARTITION BY RANGE (at);
CREATE TABLE p3a PARTITION OF p3 FOR VALUES FROM ('2026-03-01') TO ('2026-03-10');
ALTER TABLE p2b ADD CONSTRAINT positive CHECK (v > 0);
CREATE UNIQUE INDEX ON p2b (v);
SELECT inserted FROM dbperf.bulk_insert('p', '{v,at,k}', ids(6), ARRAY['2026-01-05', '2026-02-05', '2026-02-06', '2026-03-05', '2026-02-07', '2026-01-06']::timestamptz[], ARRAY[5, 1, 3, 7, NULL, NULL]);
SELECT inserted FROM dbperf.bulk_insert('p', '[{"at": "2026-01-01", "v": 11}, {"at": "2026-02-01", "v": 12}, {"v": 13, "at": "2026-03-01", "d": null}]');
SELECT inserted FROM dbperf.bulk_insert('p2', '[{"at": "2026-02-01", "v": 14}, {"at": "2026-02-01", "v": 15, "k": 9}]');
SELECT inserted FROM dbperf.bulk_insert('p2a', '{k,v,at}', ARRAY[2], ARRAY[16], ARRAY['2026-02-01'::timestamptz]);
SELECT tableoid::regclass, to_char(at, 'MM-DD'), k, v, d, twice FROM p ORDER BY v;
SELECT fails_at($$SELECT dbperf.bulk_insert('p', '{v,at,k}', ARRAY[20, 100], ARRAY['2026-02-05', '2026-02-05']::timestamptz[], ARRAY[1, 1])$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('p', '{v,at,k}', ARRAY[20, 20], ARRAY['2026-02-05', '2026-02-05']::timestamptz[], ARRAY[7, 8])$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('p', '{v,at,k}', ARRAY[20, 21], ARRAY['2026-03-05', '2026-03-15']::timestamptz[], ARRAY[7, 8])$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('p', '{v,at}', ARRAY[20, 21], ARRAY['2026-02-05', NULL]::timestamptz[])$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('p2', '{v,at,k}', ARRAY[20, 21], ARRAY['2026-02-05', '2026-03-05']::timestamptz[], ARRAY[1, 1])$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('p2a', '{v,at,k}', ARRAY[20, 21], ARRAY['2026-02-05', '2026-02-05']::timestamptz[], ARRAY[1, 3])$$);
SELECT inserted, rejected FROM dbperf.bulk_insert('p', '{v,at,k}', ARRAY[30, 100, -1, 31, 3, 32, 33], ARRAY['2026-01-05', '2026-02-05', '2026-02-06', '2026-03-15', '2026-02-07', '2026-01-06', '2027-01-01']::timestamptz[], ARRAY[1, 1, 5, 5, 5, 5, 5], '{"on_error": "reject"}');
SELECT row_number, sqlstate, reason FROM rejects('p');
SELECT * FROM rows_in('p');

-- triggers of the parent, of partitions, and of both; a partition's trigger alone makes its rows come one by one
CREATE TABLE tr (k integer, v integer, log text DEFAULT '') PARTITION BY RANGE (k);
CREATE TABLE tr1 PARTITION OF tr FOR VALUES FROM (0) TO (10);
CREATE TABLE tr2 PARTITION OF tr FOR VALUES FROM (10) TO (20);
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
    IF TG_LEVEL = 'STATEMENT' THEN
        RAISE NOTICE '% % on %', TG_WHEN, TG_LEVEL, TG_RELID::regclass;
        RETURN NULL;
    END IF;
    IF TG_WHEN = 'BEFORE' THEN
        NEW.log := NEW.log || TG_NAME || '@' || TG_RELID::regclass || ' ';
    ELSE
        RAISE NOTICE '% % on %: %', TG_WHEN, TG_NAME, TG_RELID::regclass, NEW;
    END IF;
    IF NEW.v = 13 THEN
        NEW.k := NEW.k + 10;
    END IF;
    RETURN NEW;
END$$;
CREATE TRIGGER own BEFORE INSERT ON tr1 FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER own_after AFTER INSERT ON tr2 FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER own_statement AFTER INSERT ON tr2 EXECUTE FUNCTION tell();
CREATE TRIGGER statement_before BEFORE INSERT ON tr EXECUTE FUNCTION tell();
CREATE TRIGGER statement_after AFTER INSERT ON tr EXECUTE FUNCTION tell();
SELECT inserted FROM dbperf.bulk_insert('tr', '{k,v}', ARRAY[11, 1, 12, 2], ids(4));
CREATE TRIGGER every BEFORE INSERT ON tr FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER every_after AFTER INSERT ON tr FOR EACH ROW EXECUTE FUNCTION tell();
SELECT inserted FROM dbperf.bulk_insert('tr', '{k,v}', ARRAY[13, 3], ids(2), '{"batch_size": 1}');
SELECT inserted FROM dbperf.bulk_insert('tr2', '{k,v}', ARRAY[14], ARRAY[9]);
SELECT tableoid::regclass, * FROM tr ORDER BY k;
SET client_min_messages = warning;
SELECT f[1], f[array_upper(f, 1)] FROM (SELECT array_agg(f) AS f FROM fails_at($$SELECT dbperf.bulk_insert('tr', '{k,v}', ARRAY[5, 6, 7], ARRAY[1, 13, 1])$$) f) x;
SELECT inserted, rejected FROM dbperf.bulk_insert('tr', '{k,v}', ARRAY[5, 6, 7, 16], ARRAY[1, 13, 1, 13], '{"on_error": "reject"}');
SELECT row_number, sqlstate FROM rejects('tr');
RESET client_min_messages;
-- within the same partition a trigger may change the key
CREATE TABLE ch (k integer, v integer) PARTITION BY RANGE (k);
CREATE TABLE ch1 PARTITION OF ch FOR VALUES FROM (0) TO (100);
CREATE TABLE ch2 PARTITION OF ch FOR VALUES FROM (100) TO (200);
CREATE FUNCTION round_key() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.k := round(NEW.k, -1); RETURN NEW; END$$;
CREATE TRIGGER round_key BEFORE INSERT ON ch FOR EACH ROW EXECUTE FUNCTION round_key();
SELECT inserted, rejected FROM dbperf.bulk_insert('ch', '{k,v}', ARRAY[11, 19, 94, 95, 104], ids(5), '{"on_error": "reject"}');
SELECT row_number, sqlstate FROM rejects('ch');
SELECT tableoid::regclass, k, v FROM ch ORDER BY v;
-- many partitions, unlogged and logged
CREATE TABLE many (k integer PRIMARY KEY, v integer) PARTITION BY RANGE (k);
DO $$BEGIN
    FOR i IN 0 .. 149 LOOP
        EXECUTE format('CREATE %s TABLE t.many%s PARTITION OF t.many FOR VALUES FROM (%s) TO (%s)', CASE WHEN i % 2 = 1 THEN 'UNLOGGED' END, i, i * 100, i * 100 + 100);
    END LOOP;
END$$;
SELECT inserted, batches FROM dbperf.bulk_insert('many', '{k,v}', (SELECT array_agg((i * 7919) % 15000 ORDER BY i) FROM generate_series(1, 15000) i), ids(15000));
SELECT count(*), count(DISTINCT partition), min(count), max(count) FROM rows_in('many');
SELECT fails_at($$SELECT dbperf.bulk_insert('many', '{k}', (SELECT array_agg(i) FROM generate_series(14999, 15001) i))$$);
DROP TABLE many;

-- partitions come and go between two calls of a session
CREATE TABLE ev (k integer, v integer) PARTITION BY RANGE (k);
CREATE TABLE ev1 PARTITION OF ev FOR VALUES FROM (0) TO (10);
CREATE TABLE evd PARTITION OF ev DEFAULT;
SELECT inserted FROM dbperf.bulk_insert('ev', '{k,v}', ARRAY[1, 15, 25], ids(3));
DELETE FROM evd;
CREATE TABLE ev2 PARTITION OF ev FOR VALUES FROM (10) TO (20);
SELECT inserted FROM dbperf.bulk_insert('ev', '{k,v}', ARRAY[1, 15, 25], ids(3));
ALTER TABLE ev DETACH PARTITION ev2;
SELECT inserted FROM dbperf.bulk_insert('ev', '{k,v}', ARRAY[1, 15, 25], ids(3));
SELECT * FROM rows_in('ev');
