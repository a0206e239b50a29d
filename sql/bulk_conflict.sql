--
-- bulk_insert() with on_conflict
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set bulk :abs_srcdir '/sql/lib/bulk.sql'
\set ECHO none
\i :setup
\i :bulk
\set ECHO all
CREATE FUNCTION ids(n integer) RETURNS integer[] LANGUAGE sql AS 'SELECT array_agg(i ORDER BY i) FROM generate_series(1, n) i';
CREATE TABLE c (id integer PRIMARY KEY, k integer UNIQUE, v integer DEFAULT 5, t text DEFAULT 'default', n serial, twice integer GENERATED ALWAYS AS (v * 2) STORED, touched integer DEFAULT 0);
-- nothing: with the table, within a batch, across batches; any constraint, or one
SELECT inserted, skipped, batches FROM dbperf.bulk_insert('c', '{id,k,v}', ARRAY[1, 2, 1, 3, 2, 4], ARRAY[1, 2, 3, 4, 5, 1], ids(6), '{"on_conflict": "nothing", "batch_size": 4}');
SELECT id, k, v FROM c ORDER BY id;
SELECT inserted, skipped FROM dbperf.bulk_insert('c', '{id,k,v}', ARRAY[1, 5], ARRAY[10, 11], ids(2), '{"on_conflict": "nothing", "conflict_columns": ["id"]}');
SELECT fails_at($$SELECT dbperf.bulk_insert('c', '{id,k}', ARRAY[6, 7], ARRAY[20, 1], '{"on_conflict": "nothing", "conflict_columns": ["id"]}')$$);
SELECT inserted, rejected, skipped FROM dbperf.bulk_insert('c', '{id,k}', ARRAY[6, 7, 1, NULL], ARRAY[20, 1, 30, 31], '{"on_conflict": "nothing", "conflict_columns": ["id"], "on_error": "reject"}');
SELECT row_number, sqlstate FROM rejects('c');
-- update: by the primary key unless columns are named; columns that are not given stay; the last of equal keys wins
TRUNCATE c;
SELECT inserted, skipped FROM dbperf.bulk_insert('c', '{id,k,t}', ids(3), ids(3), ARRAY['a', 'b', 'c'], '{"on_conflict": "update"}');
SELECT inserted, skipped FROM dbperf.bulk_insert('c', '{id,v}', ARRAY[2, 4], ARRAY[20, 40], '{"on_conflict": "update"}');
SELECT inserted, skipped FROM dbperf.bulk_insert('c', '{id,v}', ARRAY[3, 5, 3, 5, 3], ARRAY[30, 50, 31, 51, 32], '{"on_conflict": "update"}');
SELECT inserted, skipped FROM dbperf.bulk_insert('c', '{v,id}', ARRAY[100, 101, 102, 103], ARRAY[6, 7, 6, 7], '{"on_conflict": "update", "batch_size": 3}');
SELECT id, k, v, t, twice FROM c ORDER BY id;
SELECT inserted FROM dbperf.bulk_insert('c', '{k,v,id}', ARRAY[1, 9], ARRAY[-1, -9], ARRAY[1, 9], '{"on_conflict": "update", "conflict_columns": ["k"]}');
SELECT fails_at($$SELECT dbperf.bulk_insert('c', '{k,v,id}', ARRAY[10, 11], ARRAY[-1, -9], ARRAY[10, 1], '{"on_conflict": "update", "conflict_columns": ["k"]}')$$);
SELECT fails_at($$SELECT dbperf.bulk_insert('c', '{k,v,id}', ARRAY[10, 2, 11], ARRAY[-1, -9, 1], ARRAY[10, 3, 11], '{"on_conflict": "update", "conflict_columns": ["k"]}')$$);
-- nothing is given but the key: then there is nothing to update
SELECT inserted, skipped FROM dbperf.bulk_insert('c', '{id}', ARRAY[1, 20, 20], '{"on_conflict": "update"}');
-- without the key, its default tells which row is meant
ALTER TABLE c ALTER COLUMN k SET DEFAULT 2;
SELECT inserted, skipped FROM dbperf.bulk_insert('c', '{id,v}', ARRAY[2], ARRAY[21], '{"on_conflict": "update", "conflict_columns": ["k"]}');
ALTER TABLE c ALTER COLUMN k DROP DEFAULT;
SELECT id, k, v, t FROM c ORDER BY id;
-- JSON: what a row lacks stays as it is
SELECT inserted FROM dbperf.bulk_insert('c', '[{"id": 1, "t": "json"}, {"id": 2, "v": 7}, {"id": 3}]', on_conflict => 'update');
SELECT id, v, t FROM c WHERE id < 4 ORDER BY id;
SELECT inserted, rejected FROM dbperf.bulk_insert('c', '[{"id": 1, "t": 5}, {"id": 2, "v": "x"}, {"id": 1, "t": "last"}, {"t": "no key"}]', on_conflict => 'update', on_error => 'reject');
SELECT row_number, sqlstate, "column" FROM rejects('c');
SELECT id, v, t FROM c WHERE id < 3 ORDER BY id;

-- names that are none, or are not unique
SELECT fails_at(format($$SELECT dbperf.bulk_insert('c', '{id}', ARRAY[1], '{"on_conflict": "update", "conflict_columns": %s}')$$, names)) FROM unnest(ARRAY['["v"]', '["id", "v"]', '["nothing"]', '["ID"]', '["id", "id"]', '["ctid"]', '["id, k"]']) names;
CREATE TABLE expr (a integer, b text, v integer);
CREATE UNIQUE INDEX ON expr (lower(b));
CREATE UNIQUE INDEX ON expr (a) WHERE a > 0;
SELECT fails_at($$SELECT dbperf.bulk_insert('expr', '{a,v}', ARRAY[1], ARRAY[1], '{"on_conflict": "update", "conflict_columns": ["a"]}')$$);
SELECT inserted, skipped FROM dbperf.bulk_insert('expr', '{a,b}', ARRAY[1, 1, 2, -1, -1, 3], ARRAY['x', 'y', 'X', 'z', 'Z', 'w'], '{"on_conflict": "nothing"}');
SELECT * FROM expr;
CREATE TABLE def (id integer PRIMARY KEY DEFERRABLE, v integer);
SELECT fails_at($$SELECT dbperf.bulk_insert('def', '{id}', ARRAY[1], '{"on_conflict": "update"}')$$);
CREATE TABLE excl (r int4range, v integer, EXCLUDE USING gist (r WITH &&));
SELECT inserted, skipped FROM dbperf.bulk_insert('excl', '{r}', ARRAY['[1,3)', '[2,4)', '[4,5)']::int4range[], '{"on_conflict": "nothing"}');
SELECT fails_at($$SELECT dbperf.bulk_insert('excl', '{r}', ARRAY['[1,3)']::int4range[], '{"on_conflict": "update", "conflict_columns": ["r"]}')$$);

-- triggers for INSERT and UPDATE; rows that a trigger leaves out
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
    RAISE NOTICE '% % %: %', TG_WHEN, TG_OP, TG_LEVEL, CASE WHEN TG_LEVEL = 'ROW' THEN NEW.id END;
    IF TG_LEVEL = 'ROW' AND TG_WHEN = 'BEFORE' AND TG_OP = 'INSERT' AND NEW.v < 0 THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END$$;
CREATE TRIGGER row_before BEFORE INSERT OR UPDATE ON c FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER row_after AFTER INSERT OR UPDATE ON c FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER statement_after AFTER INSERT OR UPDATE ON c EXECUTE FUNCTION tell();
SELECT inserted, skipped FROM dbperf.bulk_insert('c', '{id,v}', ARRAY[1, 30, 31], ARRAY[77, 77, -1], '{"on_conflict": "update"}');
SELECT inserted, skipped FROM dbperf.bulk_insert('c', '{id,v}', ARRAY[1, 32], ARRAY[78, 78], '{"on_conflict": "nothing"}');
DROP TRIGGER row_before ON c;
DROP TRIGGER row_after ON c;
DROP TRIGGER statement_after ON c;

-- partitioned tables: the key holds the partition key
CREATE TABLE p (id integer, at date, v integer, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE p2 (v integer, at date NOT NULL, id integer NOT NULL);
ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
SELECT inserted FROM dbperf.bulk_insert('p', '{id,at,v}', ARRAY[1, 1, 2, 1], ARRAY['2026-01-05', '2026-02-05', '2026-02-05', '2026-01-05']::date[], ids(4), '{"on_conflict": "update"}');
SELECT inserted, rejected, skipped FROM dbperf.bulk_insert('p', '{id,at,v}', ARRAY[1, 1, 3, 4, 3], ARRAY['2026-01-05', '2026-02-05', '2026-03-05', '2026-02-05', '2026-02-05']::date[], ARRAY[10, 11, 12, 13, 14], '{"on_conflict": "nothing", "on_error": "reject"}');
SELECT row_number, reason FROM rejects('p');
SELECT tableoid::regclass, id, at, v FROM p ORDER BY id, at;
SELECT fails_at($$SELECT dbperf.bulk_insert('p', '{id,at}', ARRAY[1], ARRAY['2026-01-05'::date], '{"on_conflict": "update", "conflict_columns": ["id"]}')$$);
-- and the twin of a loop, row by row: random keys, nulls, values that do not fit
CREATE TABLE ours (id integer PRIMARY KEY, v integer CHECK (v < 90), k integer UNIQUE);
CREATE TABLE theirs (LIKE ours INCLUDING ALL);
CREATE FUNCTION twin(seed float8, batch integer, conflict text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    r    record;
    good bigint := 0;
    bad  bigint := 0;
    done bigint;
    rows jsonb := '[]';
    b    record;
BEGIN
    PERFORM setseed(seed);
    TRUNCATE t.ours, t.theirs;
    SELECT jsonb_agg(jsonb_build_object('id', nullif((random() * 60)::integer, 0), 'v', (random() * 100)::integer, 'k', nullif((random() * 300)::integer, 7)) ORDER BY i) INTO rows FROM generate_series(1, 300) i;
    FOR r IN SELECT (e ->> 'id')::integer AS id, (e ->> 'v')::integer AS v, (e ->> 'k')::integer AS k FROM jsonb_array_elements(rows) WITH ORDINALITY AS x (e, i) ORDER BY i LOOP
        BEGIN
            IF conflict = 'update' THEN
                INSERT INTO t.theirs VALUES (r.id, r.v, r.k) ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v, k = EXCLUDED.k;
            ELSE
                INSERT INTO t.theirs VALUES (r.id, r.v, r.k) ON CONFLICT DO NOTHING;
            END IF;
            GET DIAGNOSTICS done = ROW_COUNT;
            good := good + done;
        EXCEPTION WHEN integrity_constraint_violation THEN
            bad := bad + 1;
        END;
    END LOOP;
    SELECT * INTO b FROM dbperf.bulk_insert('t.ours', rows, batch_size => batch, on_error => 'reject', on_conflict => conflict);
    DELETE FROM dbperf.ingest_rejects;
    RETURN CASE WHEN b.inserted <> good OR b.rejected <> bad OR b.skipped <> 300 - good - bad THEN format('%s, not %s inserted, %s, not %s rejected', b.inserted, good, b.rejected, bad)
        WHEN EXISTS (TABLE t.ours EXCEPT TABLE t.theirs) OR EXISTS (TABLE t.theirs EXCEPT TABLE t.ours) THEN 'other rows'
        WHEN good = 0 OR bad = 0 THEN 'not much of a test' END;
END$$;
SELECT seed, batch, conflict, twin FROM generate_series(0.1, 0.5, 0.1) seed, unnest(ARRAY[1, 3, 20, 1000]) batch, unnest(ARRAY['nothing', 'update']) conflict, twin(seed, batch, conflict) WHERE twin IS NOT NULL;
