--
-- Default partitions: what they hold, and taking it to partitions of its own
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
-- not managed, or without a default partition
SELECT make('ticks');
SELECT fails($$SELECT * FROM dbperf.partition_default_status('ticks')$$);
SELECT fails($$SELECT * FROM dbperf.drain_default('ticks')$$);
SELECT dbperf.manage('ticks', '1 month', 0, enabled => false);
SELECT * FROM dbperf.partition_default_status('ticks');
SELECT * FROM dbperf.drain_default('ticks');
SELECT fails($$SELECT * FROM dbperf.drain_default('ticks', 0)$$);
SELECT fails($$SELECT * FROM dbperf.drain_default('ticks', NULL)$$);
DROP TABLE ticks;

-- columns in another order, dropped and generated ones; values out of line; a check, foreign keys both
-- ways, triggers, row security
CREATE TABLE venues (id int PRIMARY KEY, name text);
INSERT INTO venues SELECT i, 'venue ' || i FROM generate_series(1, 5) i;
CREATE TABLE ticks (k timestamptz, id bigint NOT NULL, old int, v text, venue int REFERENCES venues,
    size int GENERATED ALWAYS AS (length(v)) STORED, CONSTRAINT positive CHECK (id > 0)) PARTITION BY RANGE (k);
CREATE TABLE ticks_default (older int, v text, venue int, size int GENERATED ALWAYS AS (length(v)) STORED,
    k timestamptz, id bigint NOT NULL, old int, CONSTRAINT positive CHECK (id > 0));
ALTER TABLE ticks_default DROP COLUMN older;
ALTER TABLE ticks ATTACH PARTITION ticks_default DEFAULT;
ALTER TABLE ticks DROP COLUMN old;
CREATE UNIQUE INDEX ON ticks (k, id);
CREATE INDEX ON ticks (lower(left(v, 10)));
SELECT dbperf.manage('ticks', '1 month', 0);
INSERT INTO ticks (k, id, v, venue)
SELECT timestamptz '2026-08-31 20:00+00' + i * interval '1 hour', i, repeat('x', i % 5), 1 + i % 5 FROM generate_series(1, 1000) i;
ALTER TABLE ticks_default ALTER v SET STORAGE external;
INSERT INTO ticks (k, id, v, venue) VALUES ('2025-01-31 23:59:59.999999+00', 7, repeat('long', 100000), 2);
INSERT INTO ticks (k, id) VALUES (NULL, 1), (NULL, 2), ('infinity', 3), ('-infinity', 4), ('2199-01-01', 5);
CREATE TABLE fills (k timestamptz, id bigint, FOREIGN KEY (k, id) REFERENCES ticks (k, id) ON DELETE CASCADE ON UPDATE CASCADE);
INSERT INTO fills SELECT k, id FROM ticks WHERE id % 10 = 7 AND k IS NOT NULL;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'trigger fired'; END$$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON ticks FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER refuse_all AFTER INSERT OR UPDATE OR DELETE ON ticks_default FOR EACH STATEMENT EXECUTE FUNCTION refuse();
ALTER TABLE ticks_default ENABLE ROW LEVEL SECURITY;
ALTER TABLE ticks_default FORCE ROW LEVEL SECURITY;
CREATE TABLE before AS SELECT * FROM ticks;
SELECT * FROM dbperf.partition_default_status('ticks');
SELECT * FROM dbperf.drain_default('ticks', 7);
SELECT * FROM dbperf.partition_default_status('ticks');
SELECT * FROM dbperf.drain_default('ticks');
SELECT * FROM partitions('ticks');
-- each row is there once, and where it belongs
SELECT count(*) FROM (SELECT * FROM ticks EXCEPT ALL SELECT * FROM before) x;
SELECT count(*) FROM (SELECT * FROM before EXCEPT ALL SELECT * FROM ticks) x;
SELECT tableoid::regclass, count(*), min(k), max(k) FROM ticks GROUP BY 1 ORDER BY 1;
SELECT count(*), sum(size) FROM ticks WHERE k >= '2026-09-10' AND k < '2026-09-11';
SET enable_seqscan = off;
SELECT tableoid::regclass, id, size FROM ticks WHERE k = '2025-01-31 23:59:59.999999+00' AND id = 7;
SELECT count(*) FROM ticks WHERE lower(left(v, 10)) = 'xxx' AND k < '2026-09-02';
RESET enable_seqscan;
-- nothing was deleted by the foreign key, and all of them still hold, and are valid
SELECT count(*) FROM fills;
SELECT fails($$INSERT INTO fills VALUES ('2026-09-10', 1)$$);
SELECT conrelid::regclass, conname, convalidated, conparentid <> 0 AS inherited FROM pg_constraint
WHERE conrelid::regclass::text LIKE 'ticks_20%' AND contype IN ('c', 'f') ORDER BY conrelid::regclass::text, 2;
ALTER TABLE ticks DISABLE TRIGGER refuse;
SELECT fails($$INSERT INTO ticks (k, id, venue) VALUES ('2026-09-10', 1, 99)$$);
SELECT fails($$DELETE FROM venues WHERE id = 3$$);
DELETE FROM ticks WHERE k < '2025-02-01' AND id = 7;
SELECT count(*) FROM fills;
-- no constraint is left behind
SELECT conname FROM pg_constraint WHERE conrelid = 'ticks_default'::regclass AND contype = 'c';
SELECT action, partition, lower_bound, upper_bound, tries > 0 AS has_tries, ms_held > 0 AS has_held, message
FROM dbperf.partition_events WHERE action LIKE 'drain%' ORDER BY event_id;
SELECT ok, reason FROM dbperf.verify_audit();

-- the policy's sanity window decides what lies too far ahead
SELECT dbperf.alter_policy('ticks', sanity_window => '500 years');
ALTER TABLE ticks_default DISABLE TRIGGER refuse_all;
SELECT partition, status, detail FROM dbperf.drain_default('ticks');
-- a part of a month, where partitions made by hand leave no more
CREATE TABLE by_hand PARTITION OF ticks FOR VALUES FROM ('2027-03-01') TO ('2027-03-10');
INSERT INTO ticks (k, id) VALUES ('2027-03-09', 1), ('2027-03-20', 1), ('2027-02-01', 1);
SELECT * FROM dbperf.partition_default_status('ticks');
SELECT partition, status, detail FROM dbperf.drain_default('ticks');
SELECT tableoid::regclass, k FROM ticks WHERE k BETWEEN '2027-02-01' AND '2027-04-01' ORDER BY k;

-- what the transaction of the call has in use
BEGIN;
SELECT count(*) > 0 AS used FROM ticks;
SELECT fails($$SELECT * FROM dbperf.drain_default('ticks')$$);
ROLLBACK;
-- one range with a row that breaks a constraint which was never validated: the others are moved
ALTER TABLE ticks ADD CONSTRAINT short CHECK (length(v) < 3) NOT VALID;
ALTER TABLE ticks DROP CONSTRAINT short;
INSERT INTO ticks (k, id, v) VALUES ('2028-01-01', 1, 'long'), ('2028-02-01', 1, 's'), ('2028-03-01', 1, 's');
ALTER TABLE ticks ADD CONSTRAINT short CHECK (length(v) < 3) NOT VALID;
SELECT partition, status, detail FROM dbperf.drain_default('ticks');
SELECT tableoid::regclass, k FROM ticks WHERE k >= '2028-01-01' AND k <> 'infinity' ORDER BY k;
SELECT action, partition, lower_bound, message FROM dbperf.partition_events WHERE action = 'drain_failed';
SELECT to_regclass('ticks_2028_01');

-- numbers without an index, and with one; dates
SELECT make('orders', 'int');
CREATE TABLE orders_default PARTITION OF orders DEFAULT;
INSERT INTO orders SELECT i, 'o' FROM generate_series(-150, 250, 10) i;
INSERT INTO orders VALUES (2147483647, 'max'), (-2147483648, 'min');
SELECT dbperf.manage('orders', 100, 0, anchor => '0', enabled => false);
SELECT lower_bound, upper_bound, row_count, obstacle FROM dbperf.partition_default_status('orders');
SELECT partition, status, detail FROM dbperf.drain_default('orders');
SELECT tableoid::regclass, count(*), min(k), max(k) FROM orders GROUP BY 1 ORDER BY 3;
CREATE INDEX ON orders_default (k);
INSERT INTO orders VALUES (333, 'more');
SELECT partition, status, detail FROM dbperf.drain_default('orders');
SELECT make('days', 'date');
CREATE TABLE days_default PARTITION OF days DEFAULT;
CREATE INDEX ON days (k DESC);
INSERT INTO days SELECT date '2026-02-27' + i FROM generate_series(0, 2) i;
INSERT INTO days VALUES ('infinity'), ('-infinity');
SELECT dbperf.manage('days', '1 week', 0, anchor => '2026-03-02', enabled => false);
SELECT partition, status, detail FROM dbperf.drain_default('days');
SELECT tableoid::regclass, k FROM days ORDER BY k;

-- large and without an index on the key; partitioned itself
SELECT make('big');
CREATE TABLE big_default PARTITION OF big DEFAULT;
INSERT INTO big SELECT timestamptz '2026-10-01' + i * interval '1 minute', repeat('x', 120) FROM generate_series(1, 20000) i;
SELECT dbperf.manage('big', '1 week', 0, anchor => '2026-09-28', enabled => false);
SELECT lower_bound, row_count, obstacle FROM dbperf.partition_default_status('big');
SELECT fails($$SELECT * FROM dbperf.drain_default('big')$$);
CREATE INDEX ON big_default (v, k);
CREATE INDEX ON big_default (k) WHERE v IS NOT NULL;
SELECT fails($$SELECT * FROM dbperf.drain_default('big')$$);
CREATE INDEX ON big_default (k, v);
SELECT partition, status, detail FROM dbperf.drain_default('big');
SELECT tableoid::regclass, count(*) FROM big GROUP BY 1 ORDER BY 1;
SELECT make('sub');
CREATE TABLE sub_default PARTITION OF sub DEFAULT PARTITION BY LIST (v);
CREATE TABLE sub_default_x PARTITION OF sub_default FOR VALUES IN ('x');
CREATE TABLE sub_default_d PARTITION OF sub_default DEFAULT;
INSERT INTO sub VALUES ('2026-01-01', 'x'), ('2026-01-02', 'y'), ('2026-02-02', 'y');
SELECT dbperf.manage('sub', '1 month', 0, enabled => false);
SELECT lower_bound, row_count, obstacle FROM dbperf.partition_default_status('sub');
SELECT fails($$SELECT * FROM dbperf.drain_default('sub')$$);

-- who does not own the table
SET client_min_messages = error;
DROP ROLE IF EXISTS drain_nobody;
CREATE ROLE drain_nobody;
RESET client_min_messages;
GRANT USAGE ON SCHEMA dbperf, t TO drain_nobody;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA dbperf TO drain_nobody;
SET ROLE drain_nobody;
SELECT fails($$SELECT * FROM dbperf.drain_default('ticks')$$);
SELECT fails($$SELECT * FROM dbperf.partition_default_status('ticks')$$);
RESET ROLE;
DROP OWNED BY drain_nobody;
DROP ROLE drain_nobody;
