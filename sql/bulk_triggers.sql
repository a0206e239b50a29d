--
-- bulk_insert() and triggers: what they change, what they see, when they fire, and what they refuse
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set bulk :abs_srcdir '/sql/lib/bulk.sql'
\set ECHO none
\i :setup
\i :bulk
\set ECHO all
CREATE FUNCTION ids(n integer) RETURNS integer[] LANGUAGE sql AS 'SELECT array_agg(i ORDER BY i) FROM generate_series(1, n) i';
-- BEFORE ROW: changes values, leaves rows out, is followed by generated columns and constraints, in order of names
CREATE TABLE b (id integer, v integer, twice integer GENERATED ALWAYS AS (v * 2) STORED CHECK (twice < 100), log text DEFAULT '');
CREATE FUNCTION b1() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
    NEW.v := NEW.id * 10;
    NEW.log := NEW.log || TG_NAME || ' ' || TG_RELID::regclass;
    RETURN CASE WHEN NEW.id % 4 = 3 THEN NULL ELSE NEW END;
END$$;
CREATE TRIGGER b1 BEFORE INSERT ON b FOR EACH ROW WHEN (NEW.id <> 2) EXECUTE FUNCTION b1();
CREATE TRIGGER b2 BEFORE INSERT ON b FOR EACH ROW WHEN (NEW.v > 10) EXECUTE FUNCTION b1();
SELECT inserted, rejected, skipped FROM dbperf.bulk_insert('b', '{id,v}', ids(4), ARRAY[7, 7, 7, 7]);
TABLE b;
SELECT fails_at($$SELECT dbperf.bulk_insert('b', '{id}', ids(6))$$);
SELECT inserted, rejected, skipped FROM dbperf.bulk_insert('b', '{id}', ids(8), '{"on_error": "reject"}');
SELECT row_number, "row" FROM rejects('b');
SELECT count(*) FROM b;
-- values that are long, and arrays and rows that are taken apart
CREATE TABLE wide (id integer, t text, arr integer[], r b);
CREATE FUNCTION widen() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.t := repeat(NEW.t, 5000); NEW.arr[2] := NEW.id; NEW.r.v := 5; RETURN NEW; END$$;
CREATE TRIGGER widen BEFORE INSERT ON wide FOR EACH ROW EXECUTE FUNCTION widen();
SELECT inserted FROM dbperf.bulk_insert('wide', '{id,t,arr}', ids(100), (SELECT array_agg('x' || i ORDER BY i) FROM generate_series(1, 100) i), (SELECT array_agg(ARRAY[i] ORDER BY i) FROM generate_series(1, 100) i));
SELECT count(*) FROM wide WHERE t = repeat('x' || id, 5000) AND arr = ARRAY[id, id] AND (r).v = 5;
-- it sees the rows before it, and may change them
CREATE TABLE seen (id integer, before bigint);
CREATE FUNCTION count_before() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
    NEW.before := (SELECT count(*) FROM t.seen);
    UPDATE t.seen SET id = -id WHERE id = NEW.id - 2;
    RETURN NEW;
END$$;
CREATE TRIGGER count_before BEFORE INSERT ON seen FOR EACH ROW EXECUTE FUNCTION count_before();
SELECT inserted FROM dbperf.bulk_insert('seen', '{id}', ids(5), '{"batch_size": 3}');
SELECT * FROM seen ORDER BY before;

-- AFTER ROW: sees all rows of its batch, and none of the next; changes rows, and its own
CREATE TABLE a (id integer, note text);
CREATE TABLE audit (n serial, id integer, seen bigint, name text, own text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
    INSERT INTO t.audit (id, seen, name, own) SELECT NEW.id, (SELECT count(*) FROM t.a), TG_NAME || ' ' || TG_WHEN || ' ' || TG_OP || ' ' || TG_ARGV[0], NEW.ctid = (SELECT ctid FROM t.a WHERE id = NEW.id);
    RETURN NULL;
END$$;
CREATE TRIGGER note AFTER INSERT ON a FOR EACH ROW EXECUTE FUNCTION note('x');
CREATE TRIGGER sometimes AFTER INSERT OR UPDATE OF note ON a FOR EACH ROW WHEN (NEW.id = 4) EXECUTE FUNCTION note('y');
SELECT inserted FROM dbperf.bulk_insert('a', '{id}', ids(5), '{"batch_size": 3}');
TABLE audit;
CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN DELETE FROM t.a WHERE id = NEW.id + 1; UPDATE t.a SET note = 'changed' WHERE id = NEW.id; RETURN NULL; END$$;
CREATE TRIGGER forget AFTER INSERT ON a FOR EACH ROW EXECUTE FUNCTION forget();
TRUNCATE a, audit;
SELECT inserted, skipped FROM dbperf.bulk_insert('a', '{id}', ids(4));
SELECT * FROM a ORDER BY id;
-- with a foreign key as well: a row that a trigger deletes is checked no more
CREATE TABLE ref (id integer PRIMARY KEY);
INSERT INTO ref VALUES (1);
CREATE TABLE fa (id integer, ref integer REFERENCES ref);
CREATE FUNCTION forget_fa() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN DELETE FROM t.fa WHERE ref = 2; RETURN NULL; END$$;
CREATE TRIGGER "0" AFTER INSERT ON fa FOR EACH ROW WHEN (NEW.id = 1) EXECUTE FUNCTION forget_fa();
SELECT inserted FROM dbperf.bulk_insert('fa', '{id,ref}', ARRAY[1, 2, 3], ARRAY[1, 2, 2]);
SELECT * FROM fa;
SELECT fails_at($$SELECT dbperf.bulk_insert('fa', '{id,ref}', ARRAY[0, 1, 2], ARRAY[2, 1, 1])$$);

-- a trigger that raises on row 777: before, after, as a constraint trigger; the context names it
CREATE TABLE r (id integer);
CREATE FUNCTION not_777() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
    IF NEW.id = 777 THEN
        RAISE EXCEPTION 'not 777' USING DETAIL = 'It is ' || NEW.id || '.', ERRCODE = 'TR777', COLUMN = 'id';
    END IF;
    RETURN NEW;
END$$;
CREATE FUNCTION raises(timing text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    batch integer;
    counts text;
    numbers bigint[];
BEGIN
    EXECUTE format('CREATE %s t.r %s', split_part(timing, '|', 1), split_part(timing, '|', 2));
    FOREACH batch IN ARRAY ARRAY[1, 3, 500, 1000, 10000] LOOP
        TRUNCATE t.r;
        RETURN QUERY SELECT format('%s: %s', batch, string_agg(f, '; ')) FROM t.fails_at(format('SELECT dbperf.bulk_insert(''t.r'', ''{id}'', t.ids(2000), ''{"batch_size": %s}'')', batch)) f;
        IF (SELECT count(*) FROM t.r) <> 0 THEN
            RETURN NEXT 'something was left';
        END IF;
        SELECT format('%s: %s inserted, %s rejected, %s skipped', batch, inserted, rejected, skipped) INTO counts
            FROM dbperf.bulk_insert('t.r', '{id}', ROW(t.ids(2000)), batch, 'reject');
        SELECT array_agg(row_number) INTO numbers FROM t.rejects('t.r');
        RETURN NEXT format('%s: %s, %s there', counts, numbers, (SELECT count(*) FROM t.r));
    END LOOP;
    EXECUTE 'DROP TRIGGER x ON t.r';
END$$;
SELECT raises('TRIGGER x BEFORE INSERT ON|FOR EACH ROW EXECUTE FUNCTION not_777()');
SELECT raises('TRIGGER x AFTER INSERT ON|FOR EACH ROW EXECUTE FUNCTION not_777()');
SELECT raises('CONSTRAINT TRIGGER x AFTER INSERT ON|DEFERRABLE FOR EACH ROW EXECUTE FUNCTION not_777()');
-- the reject has all that the error had
CREATE TRIGGER x BEFORE INSERT ON r FOR EACH ROW EXECUTE FUNCTION not_777();
SELECT inserted, rejected FROM dbperf.bulk_insert('r', '{id}', ids(1000), '{"on_error": "reject"}');
SELECT row_number, sqlstate, reason, detail, column_name, "row" FROM dbperf.ingest_rejects;
SELECT count(*) FROM rejects('r');
DROP TRIGGER x ON r;
-- a constraint trigger that waits for the end is an error of the transaction
CREATE CONSTRAINT TRIGGER x AFTER INSERT ON r DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION not_777();
BEGIN;
SELECT inserted, rejected FROM dbperf.bulk_insert('r', '{id}', ids(1000), '{"on_error": "reject"}');
COMMIT;
DROP TRIGGER x ON r;

-- statement triggers: once for each batch, also when all rows of it are left out
CREATE TABLE s (id integer);
CREATE TABLE fired (n serial, what text);
CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO t.fired (what) SELECT format('%s, %s rows', TG_WHEN, (SELECT count(*) FROM t.s)); RETURN NULL; END$$;
CREATE TRIGGER sb BEFORE INSERT ON s EXECUTE FUNCTION fire();
CREATE TRIGGER sa AFTER INSERT ON s EXECUTE FUNCTION fire();
SELECT inserted, batches FROM dbperf.bulk_insert('s', '{id}', ids(5), '{"batch_size": 2}');
SELECT what FROM fired ORDER BY n;
TRUNCATE fired;
SELECT inserted FROM dbperf.bulk_insert('s', '{id}', '{}'::int[]);
SELECT inserted FROM dbperf.bulk_insert('s', '{id}', ids(4), '{"on_error": "reject"}');
SELECT what FROM fired ORDER BY n;
-- one that fails: the rows are tried one by one to see whether a row is to blame
CREATE FUNCTION few() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF (SELECT count(*) FROM t.s) > 12 THEN RAISE EXCEPTION 'too many rows'; END IF; RETURN NULL; END$$;
CREATE TRIGGER few AFTER INSERT ON s EXECUTE FUNCTION few();
SELECT fails_at($$SELECT dbperf.bulk_insert('s', '{id}', ids(10))$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('s', '{id}', ids(10), '{"batch_size": 3}')$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('s', '{id}', ids(10), '{"batch_size": 1}')$$);
SELECT count(*) FROM s;
SELECT inserted, rejected FROM dbperf.bulk_insert('s', '{id}', ids(10), '{"on_error": "reject"}');
SELECT min(row_number), max(row_number), count(*), min(reason) FROM rejects('s');
SELECT count(*) FROM s;
CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'never'; END$$;
CREATE TRIGGER never BEFORE INSERT ON s EXECUTE FUNCTION never();
SELECT fails_at($$SELECT dbperf.bulk_insert('s', '{id}', ids(10))$$);
SELECT inserted, rejected FROM dbperf.bulk_insert('s', '{id}', ids(10), '{"on_error": "reject", "batch_size": 3}');
SELECT count(*), min(reason) FROM rejects('s');

-- transition tables: the rows of a batch
CREATE TABLE tt (id integer, v integer DEFAULT 3, g integer GENERATED ALWAYS AS (v + 1) STORED);
CREATE FUNCTION sum_up() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
    RAISE NOTICE '%: % rows, sum %', TG_NAME, (SELECT count(*) FROM added), (SELECT sum(id + v + g) FROM added);
    IF EXISTS (SELECT FROM added WHERE id = 13) THEN
        RAISE EXCEPTION 'not 13';
    END IF;
    RETURN NULL;
END$$;
CREATE TRIGGER by_statement AFTER INSERT ON tt REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION sum_up();
SELECT inserted, batches FROM dbperf.bulk_insert('tt', '{id}', ids(5), '{"batch_size": 3}');
CREATE TRIGGER by_row AFTER INSERT ON tt REFERENCING NEW TABLE AS added FOR EACH ROW WHEN (NEW.id = 2) EXECUTE FUNCTION sum_up();
SELECT inserted, batches FROM dbperf.bulk_insert('tt', '[{"id": 1}, {"id": 2, "v": 4}]');
SET client_min_messages = warning;
SELECT fails_at($$SELECT dbperf.bulk_insert('tt', '{id}', ids(20))$$);
SELECT inserted, rejected FROM dbperf.bulk_insert('tt', '{id}', ids(20), '{"on_error": "reject"}');
RESET client_min_messages;
SELECT row_number, reason FROM rejects('tt');
SELECT count(*) FROM tt;
-- of a partitioned table, whose partitions have another shape
CREATE TABLE pt (id integer, v integer) PARTITION BY RANGE (id);
CREATE TABLE pt1 PARTITION OF pt FOR VALUES FROM (0) TO (10);
CREATE TABLE pt2 (v integer, gone integer, id integer);
ALTER TABLE pt2 DROP COLUMN gone;
ALTER TABLE pt ATTACH PARTITION pt2 FOR VALUES FROM (10) TO (20);
CREATE FUNCTION show_added() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE NOTICE '%', (SELECT array_agg(a ORDER BY id) FROM added a); RETURN NULL; END$$;
CREATE TRIGGER show_added AFTER INSERT ON pt REFERENCING NEW TABLE AS added EXECUTE FUNCTION show_added();
SELECT inserted FROM dbperf.bulk_insert('pt', '{id,v}', ARRAY[1, 11, 2, 12], ARRAY[100, 101, 102, 103], '{"batch_size": 3}');
SELECT tableoid::regclass, id, v FROM pt ORDER BY id;

-- triggers that are off or for a replica only; ENABLE ALWAYS
ALTER TABLE b DISABLE TRIGGER ALL;
TRUNCATE b;
SELECT inserted FROM dbperf.bulk_insert('b', '{id,v}', ids(2), ids(2));
ALTER TABLE b ENABLE REPLICA TRIGGER b1;
SELECT inserted FROM dbperf.bulk_insert('b', '{id,v}', ids(2), ids(2));
ALTER TABLE b ENABLE ALWAYS TRIGGER b1;
SELECT inserted FROM dbperf.bulk_insert('b', '{id,v}', ids(2), ids(2));
TABLE b;
-- a trigger that changes the table under way
CREATE TABLE ddl (id integer);
CREATE FUNCTION alter_it() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN ALTER TABLE t.ddl ADD COLUMN x integer; RETURN NULL; END$$;
CREATE TRIGGER alter_it BEFORE INSERT ON ddl EXECUTE FUNCTION alter_it();
SELECT fails_at($$SELECT dbperf.bulk_insert('ddl', '{id}', ids(2))$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('ddl', '{id}', ids(2), '{"on_error": "reject"}')$$);
TABLE ddl;
