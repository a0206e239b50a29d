-- Where a bulk insert could go wrong unseen: each was tried by hand once and has to stay right.
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\i :setup
\set VERBOSITY terse
CREATE FUNCTION t.put(target regclass, columns name[], arrays record, VARIADIC options text[] DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT format('%s in, %s out, %s skipped', inserted, rejected, skipped)
            FROM dbperf.bulk_insert(target, columns, arrays,
                on_error => coalesce(options[1], 'abort'), batch_size => coalesce(options[2]::int, 1000)));
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;

-- a foreign key's value is checked once a batch, but never on the word of a row that is gone:
-- the trigger of one partition deletes the row of another before its foreign key is looked at
CREATE TABLE pk (id int PRIMARY KEY);
INSERT INTO pk VALUES (1);
CREATE TABLE gk (k int NOT NULL, id int REFERENCES pk) PARTITION BY RANGE (k);
CREATE TABLE gk1 PARTITION OF gk FOR VALUES FROM (0) TO (100);
CREATE TABLE gk2 PARTITION OF gk FOR VALUES FROM (100) TO (200);
CREATE FUNCTION delete_100() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM gk2 WHERE k = 100; RETURN NULL; END $$;
CREATE TRIGGER a AFTER INSERT ON gk1 FOR EACH ROW EXECUTE FUNCTION delete_100();
SELECT t.put('gk', '{k,id}', ROW(ARRAY[1, 100, 101], ARRAY[1, 9, 9]));
SELECT t.put('gk', '{k,id}', ROW(ARRAY[1, 100, 101], ARRAY[1, 1, 1]));
SELECT * FROM gk ORDER BY k;
-- nor on the word of a partition that does not check
CREATE TABLE fk (k int NOT NULL, id int REFERENCES pk) PARTITION BY RANGE (k);
CREATE TABLE fk1 PARTITION OF fk FOR VALUES FROM (0) TO (100);
CREATE TABLE fk2 PARTITION OF fk FOR VALUES FROM (100) TO (200);
ALTER TABLE fk1 DISABLE TRIGGER ALL;
SELECT t.put('fk', '{k,id}', ROW(ARRAY[1, 150], ARRAY[7, 7]));
SELECT t.put('fk', '{k,id}', ROW(ARRAY[1, 150], ARRAY[7, 1]));
SELECT * FROM fk ORDER BY k;

-- the greatest key of a type lies below MAXVALUE
CREATE TABLE m8 (k bigint) PARTITION BY RANGE (k);
CREATE TABLE m8_1 PARTITION OF m8 FOR VALUES FROM (0) TO (MAXVALUE);
CREATE TABLE mt (k timestamptz) PARTITION BY RANGE (k);
CREATE TABLE mt_0 PARTITION OF mt FOR VALUES FROM (MINVALUE) TO ('2020-01-01');
CREATE TABLE mt_1 PARTITION OF mt FOR VALUES FROM ('2020-01-01') TO (MAXVALUE);
SELECT t.put('m8', '{k}', ROW(ARRAY[9223372036854775807, 0]));
SELECT t.put('mt', '{k}', ROW(ARRAY['infinity', '-infinity', '2020-01-01']::timestamptz[]));
SELECT tableoid::regclass, k FROM mt ORDER BY k;
-- and above it, there is only the default partition
CREATE TABLE md (k date) PARTITION BY RANGE (k);
CREATE TABLE md_1 PARTITION OF md FOR VALUES FROM ('2020-01-01') TO ('infinity');
CREATE TABLE md_d PARTITION OF md DEFAULT;
SELECT t.put('md', '{k}', ROW(ARRAY['2019-12-31', '2020-01-01', '5874897-12-31', 'infinity', '-infinity', NULL]::date[]));
SELECT tableoid::regclass, k FROM md ORDER BY k;

-- a default partition is looked up for each row: what is attached meanwhile takes its rows
CREATE TABLE dp (k int) PARTITION BY RANGE (k);
CREATE TABLE dp_d PARTITION OF dp DEFAULT;
SELECT t.put('dp', '{k}', ROW(ARRAY[50, 51, 250]));
CREATE TABLE dp_1 PARTITION OF dp FOR VALUES FROM (100) TO (200);
SELECT t.put('dp', '{k}', ROW(ARRAY[52, 150, 53]), 'reject', '2');
SELECT tableoid::regclass, k FROM dp ORDER BY k;

-- columns that a row of JSON does not give: the default of the table below a view, and no change by an update
CREATE TABLE base (id int PRIMARY KEY, v int DEFAULT 7, w int);
CREATE VIEW above AS SELECT * FROM base;
SELECT inserted FROM dbperf.bulk_insert('above', '[{"id": 1, "v": 5}, {"id": 2}, {"id": 3, "v": null}, {"id": 4, "w": 1}]');
SELECT * FROM base ORDER BY id;
SELECT inserted FROM dbperf.bulk_insert('base', '[{"id": 1, "w": 6}, {"id": 2, "v": 3, "w": 1}, {"id": 5}, {"id": 2, "v": 4}]', on_conflict => 'update');
SELECT * FROM base ORDER BY id;
SELECT inserted FROM dbperf.bulk_insert('base', '[{"id": 1}]', conflict_columns => '{nonsense}');
SELECT inserted FROM dbperf.bulk_insert('base', '[{"id": 1}]', on_conflict => 'update', conflict_columns => '{nonsense}');

-- a trigger of one partition sees the rows before it in others
CREATE TABLE br (k int) PARTITION BY RANGE (k);
CREATE TABLE br1 PARTITION OF br FOR VALUES FROM (0) TO (100);
CREATE TABLE br2 PARTITION OF br FOR VALUES FROM (100) TO (200);
CREATE TABLE seen (k int, rows bigint);
CREATE FUNCTION note_rows() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES (new.k, (SELECT count(*) FROM br)); RETURN new; END $$;
CREATE TRIGGER b BEFORE INSERT ON br2 FOR EACH ROW EXECUTE FUNCTION note_rows();
SELECT t.put('br', '{k}', ROW(ARRAY[1, 2, 100, 3, 101, 4]));
SELECT * FROM seen ORDER BY k;
SELECT count(*) FROM br;

-- a table is no more open by its number than by its name
CREATE ROLE bulk_safety_writer;
CREATE SCHEMA hidden;
CREATE TABLE hidden.t (a int, b int);
GRANT INSERT ON hidden.t TO bulk_safety_writer;
GRANT USAGE ON SCHEMA dbperf, t TO bulk_safety_writer;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dbperf TO bulk_safety_writer;
SELECT 'hidden.t'::regclass::oid AS hidden \gset
SET ROLE bulk_safety_writer;
SELECT t.put(:hidden, '{a}', ROW(ARRAY[1]));
RESET ROLE;
GRANT USAGE ON SCHEMA hidden TO bulk_safety_writer;
REVOKE INSERT ON hidden.t FROM bulk_safety_writer;
GRANT INSERT (a) ON hidden.t TO bulk_safety_writer;
SET ROLE bulk_safety_writer;
SELECT t.put('hidden.t', '{a}', ROW(ARRAY[1]));
SELECT t.put('hidden.t', '{a,b}', ROW(ARRAY[1], ARRAY[1]));
RESET ROLE;

-- read-only transactions may write to temporary tables
CREATE TEMPORARY TABLE scratch (a int);
BEGIN READ ONLY;
SELECT inserted FROM dbperf.bulk_insert('scratch', '{a}', ARRAY[1]);
SELECT inserted FROM dbperf.bulk_insert('base', '{id}', ARRAY[100]);
ROLLBACK;

-- rows that fail one another in descending order, and nothing but bad rows: no more work than twice the rows
CREATE TABLE u (a int PRIMARY KEY, b int CHECK (b > 0), c text);
SELECT t.put('u', '{a,b,c}', (SELECT ROW(array_agg(i / 2), array_agg(1), array_agg(repeat('x', i % 50))) FROM generate_series(4000, 1, -1) i), 'reject', '4000');
SELECT count(*), min(a), max(a) FROM u;
SELECT t.put('u', '{a,b,c}', (SELECT ROW(array_agg(i + 10000), array_agg(-1), array_agg(NULL::text)) FROM generate_series(1, 3000) i), 'reject', '3000');
SELECT count(*), min(row_number), max(row_number), min(sqlstate), max(sqlstate) FROM dbperf.ingest_rejects WHERE parent = 'u'::regclass;
-- of two rows with the same key the later fails, also when -0 and 0 are the same
CREATE TABLE z (a float8 PRIMARY KEY, b int);
SELECT t.put('z', '{a,b}', ROW(ARRAY['0', '-0', 'NaN', '-NaN', '1']::float8[], ARRAY[1, 2, 3, 4, 5]), 'reject');
SELECT * FROM z ORDER BY a;
DROP OWNED BY bulk_safety_writer;
DROP ROLE bulk_safety_writer;
