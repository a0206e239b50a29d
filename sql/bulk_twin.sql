--
-- bulk_insert() of random rows, many of them bad, beside a twin of the table that gets the same rows
-- one by one with plain INSERT: the same rows, rejects and counts, whatever the table and the options
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set bulk :abs_srcdir '/sql/lib/bulk.sql'
\set ECHO none
\i :setup
\i :bulk
\set ECHO all
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_dbperf_app;
CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA public;
RESET client_min_messages;
CREATE ROLE regress_dbperf_app;
CREATE DOMAIN quantity AS numeric(6, 2) CHECK (VALUE > 0);
CREATE TABLE instrument (id integer PRIMARY KEY);
INSERT INTO instrument SELECT generate_series(1, 20);
CREATE TABLE audit (kind text, whose text, id integer, note text);
-- each table is there twice, as ours and as theirs
CREATE FUNCTION twice(statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE replace(statement, 'WHOSE', 'ours');
    EXECUTE replace(statement, 'WHOSE', 'theirs');
END
$$;
CREATE FUNCTION columns_of_all() RETURNS text LANGUAGE sql AS $$
    SELECT 'n bigserial, id integer NOT NULL, at timestamptz DEFAULT ''2026-01-10'', instrument integer DEFAULT 1, price float8 CHECK (price <> 13), qty t.quantity DEFAULT 7, note varchar(10) DEFAULT ''none'', other integer, '
        'twice float8 GENERATED ALWAYS AS (price * 2) STORED CHECK (twice < 1000)'
$$;
SELECT twice('CREATE TABLE plain_WHOSE (' || columns_of_all() || ', PRIMARY KEY (id), UNIQUE (other))');
SELECT twice('CREATE INDEX ON plain_WHOSE (at, instrument)'), twice('CREATE INDEX ON plain_WHOSE (lower(note), price)'), twice('CREATE UNIQUE INDEX ON plain_WHOSE (instrument, qty) WHERE price > 50');
SELECT twice('CREATE TABLE parts_WHOSE (' || columns_of_all() || ', PRIMARY KEY (id, at), FOREIGN KEY (instrument) REFERENCES instrument) PARTITION BY RANGE (at)');
SELECT twice('CREATE TABLE parts_WHOSE_1 PARTITION OF parts_WHOSE FOR VALUES FROM (''2026-01-01'') TO (''2026-01-15'')');
SELECT twice('CREATE TABLE parts_WHOSE_2 (gone integer, twice float8 GENERATED ALWAYS AS (price * 2) STORED CHECK (twice < 1000), other integer, note varchar(10) DEFAULT ''none'', at timestamptz NOT NULL, id integer NOT NULL, qty t.quantity, price float8 CHECK (price <> 13), instrument integer, n bigint NOT NULL)');
SELECT twice('ALTER TABLE parts_WHOSE_2 DROP COLUMN gone'), twice('ALTER TABLE parts_WHOSE_2 RENAME CONSTRAINT parts_WHOSE_2_price_check TO parts_WHOSE_price_check'), twice('ALTER TABLE parts_WHOSE_2 RENAME CONSTRAINT parts_WHOSE_2_twice_check TO parts_WHOSE_twice_check');
SELECT twice('ALTER TABLE parts_WHOSE ATTACH PARTITION parts_WHOSE_2 FOR VALUES FROM (''2026-01-15'') TO (''2026-02-01'')');
SELECT twice('CREATE TABLE parts_WHOSE_3 PARTITION OF parts_WHOSE FOR VALUES FROM (''2026-02-10'') TO (''infinity'') PARTITION BY RANGE (id)');
SELECT twice('CREATE TABLE parts_WHOSE_3a PARTITION OF parts_WHOSE_3 FOR VALUES FROM (MINVALUE) TO (300)'), twice('CREATE TABLE parts_WHOSE_3b PARTITION OF parts_WHOSE_3 DEFAULT');
SELECT twice('CREATE UNIQUE INDEX ON parts_WHOSE_1 (other)'), twice('CREATE INDEX ON parts_WHOSE (instrument, at)'), twice('ALTER TABLE parts_WHOSE_3b ADD CHECK (other > 10)');
SELECT twice('CREATE TABLE triggers_WHOSE (' || columns_of_all() || ', PRIMARY KEY (id), FOREIGN KEY (instrument) REFERENCES instrument)');
CREATE FUNCTION before_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.other % 10 = 0 THEN
        RETURN NULL;
    ELSIF NEW.other % 10 = 1 THEN
        RAISE EXCEPTION 'before %', NEW.id;
    END IF;
    NEW.note := TG_OP || NEW.price;
    NEW.price := NEW.price + 1;
    RETURN NEW;
END
$$;
CREATE FUNCTION after_row() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF NEW.other % 10 = 2 THEN
        RAISE EXCEPTION 'after %', NEW.id;
    END IF;
    INSERT INTO t.audit VALUES (split_part(TG_TABLE_NAME, '_', 1), split_part(TG_TABLE_NAME, '_', 2), NEW.id, TG_OP || NEW.note);
    RETURN NULL;
END
$$;
SELECT twice('CREATE TRIGGER before_row BEFORE INSERT OR UPDATE ON triggers_WHOSE FOR EACH ROW EXECUTE FUNCTION before_row()'),
    twice('CREATE TRIGGER after_row AFTER INSERT OR UPDATE ON triggers_WHOSE FOR EACH ROW EXECUTE FUNCTION after_row()'),
    twice('CREATE TRIGGER after_row AFTER INSERT OR UPDATE ON parts_WHOSE FOR EACH ROW WHEN (NEW.other % 7 = 0) EXECUTE FUNCTION after_row()');
SELECT twice('CREATE TABLE secure_WHOSE (' || columns_of_all() || ', PRIMARY KEY (id), FOREIGN KEY (instrument) REFERENCES instrument) PARTITION BY RANGE (id)'),
    twice('CREATE TABLE secure_WHOSE_1 PARTITION OF secure_WHOSE FOR VALUES FROM (MINVALUE) TO (500)'), twice('CREATE TABLE secure_WHOSE_2 PARTITION OF secure_WHOSE FOR VALUES FROM (500) TO (MAXVALUE)'),
    twice('ALTER TABLE secure_WHOSE ENABLE ROW LEVEL SECURITY'), twice('CREATE POLICY p ON secure_WHOSE USING (true) WITH CHECK (instrument < 10 AND note <> ''secret'')'),
    twice('GRANT ALL ON secure_WHOSE TO regress_dbperf_app'), twice('GRANT USAGE ON secure_WHOSE_n_seq TO regress_dbperf_app');
GRANT USAGE ON SCHEMA t, dbperf TO regress_dbperf_app;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dbperf TO regress_dbperf_app;

-- random rows; "keys" are the columns that a row has
CREATE TABLE given (i integer, keys text[], id integer, at timestamptz, instrument integer, price float8, qty float8, note text, other integer);
CREATE FUNCTION give(n integer, bad float8, some_keys boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    TRUNCATE t.given;
    INSERT INTO t.given
        SELECT i, CASE WHEN some_keys THEN (SELECT coalesce(array_agg(k), '{}') FROM unnest('{id,at,instrument,price,qty,note,other}'::text[]) k WHERE i > 0 AND (k = 'id' OR random() < 0.7)) ELSE '{id,at,instrument,price,qty,note,other}' END,
            CASE WHEN random() < bad THEN NULL WHEN random() < bad THEN -i ELSE (random() * 1000)::integer END,
            CASE WHEN random() < bad THEN NULL WHEN random() < bad THEN '2026-02-05' WHEN random() < bad THEN 'infinity' ELSE '2026-01-01'::timestamptz + random() * interval '30 days' + CASE WHEN random() < 0.2 THEN interval '41 days' ELSE '0' END END,
            CASE WHEN random() < bad THEN 99 WHEN random() < bad THEN NULL ELSE 1 + (random() * 8)::integer END,
            CASE WHEN random() < bad THEN 13 WHEN random() < bad THEN 'NaN'::float8 WHEN random() < bad THEN '-Infinity' ELSE (random() * 400)::integer::float8 END,
            CASE WHEN random() < bad THEN 10000 WHEN random() < bad THEN -1 WHEN random() < bad THEN NULL ELSE (random() * 100000)::integer / 100.0 END,
            CASE WHEN random() < bad THEN 'far too long a note' WHEN random() < bad THEN 'secret' WHEN random() < 0.1 THEN NULL ELSE 'n' || i END,
            CASE WHEN random() < bad THEN i ELSE 3 + 10 * (random() * 100000)::integer + (random() * 6)::integer END
        FROM generate_series(1, n) i;
END
$$;
-- what the twin makes of them, row by row
CREATE TABLE outcome (i integer, result text);
CREATE FUNCTION one_by_one(kind text, conflict text, key name[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    g     record;
    done  bigint;
    names text;
    sets  text;
BEGIN
    TRUNCATE t.outcome;
    FOR g IN SELECT given.i, given.keys FROM t.given ORDER BY i LOOP
        SELECT string_agg(k, ', '), string_agg(format('%I = EXCLUDED.%I', k, k), ', ') FILTER (WHERE k <> ALL (key)) INTO names, sets FROM unnest(g.keys) k;
        BEGIN
            EXECUTE format('INSERT INTO t.%I (%s) SELECT %s FROM t.given WHERE i = $1 %s', kind || '_theirs', names, names,
                CASE conflict WHEN 'nothing' THEN 'ON CONFLICT DO NOTHING' WHEN 'update' THEN format('ON CONFLICT (%s) %s', array_to_string(key, ', '), coalesce('DO UPDATE SET ' || sets, 'DO NOTHING')) END)
                USING g.i;
            GET DIAGNOSTICS done = ROW_COUNT;
            INSERT INTO t.outcome VALUES (g.i, CASE done WHEN 1 THEN 'inserted' ELSE 'skipped' END);
        EXCEPTION WHEN OTHERS THEN
            INSERT INTO t.outcome VALUES (g.i, SQLSTATE);
        END;
    END LOOP;
END
$$;
CREATE FUNCTION by_bulk(kind text, form text, batch integer, error text, conflict text, key name[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    target  regclass := 't.' || kind || '_ours';
    result  record;
    c       record;
    columns name[] := '{id,at,instrument,price,qty,note,other}';
BEGIN
    SELECT array_agg(id ORDER BY i) AS id, array_agg(at ORDER BY i) AS at, array_agg(instrument ORDER BY i) AS instrument, array_agg(price ORDER BY i) AS price, array_agg(qty ORDER BY i) AS qty, array_agg(note ORDER BY i) AS note,
        array_agg(other ORDER BY i) AS other, jsonb_agg((SELECT coalesce(jsonb_object_agg(e.key, e.value), '{}') FROM jsonb_each(to_jsonb(g)) e WHERE e.key = ANY (g.keys)) ORDER BY i) AS rows
        INTO c FROM t.given g;
    IF conflict <> 'update' THEN
        key := NULL;
    END IF;
    IF form = 'arrays' THEN
        SELECT * INTO result FROM dbperf.bulk_insert(target, columns, c.id, c.at, c.instrument, c.price, c.qty, c.note, c.other,
            jsonb_build_object('batch_size', batch, 'on_error', error, 'on_conflict', conflict, 'conflict_columns', to_jsonb(key)));
    ELSIF form = 'record' THEN
        SELECT * INTO result FROM dbperf.bulk_insert(target, columns, ROW(c.id, c.at, c.instrument, c.price, c.qty, c.note, c.other), batch, error, conflict, key);
    ELSE
        SELECT * INTO result FROM dbperf.bulk_insert(target, c.rows, batch, error, conflict, key);
    END IF;
    RETURN format('%s inserted, %s rejected, %s skipped', result.inserted, result.rejected, result.skipped);
EXCEPTION WHEN OTHERS THEN
    IF error = 'abort' AND SQLSTATE ~ '^(22|23|P0|42501)' THEN
        RETURN 'failed';
    END IF;
    RETURN SQLSTATE || ': ' || SQLERRM;
END
$$;
CREATE FUNCTION same_rows(kind text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    columns text := 'id, at, instrument, price, qty, note, other, twice';
    same    boolean;
BEGIN
    EXECUTE format('SELECT NOT EXISTS (SELECT %1$s FROM t.%2$s EXCEPT ALL SELECT %1$s FROM t.%3$s) AND NOT EXISTS (SELECT %1$s FROM t.%3$s EXCEPT ALL SELECT %1$s FROM t.%2$s)', columns, kind || '_ours', kind || '_theirs') INTO same;
    RETURN same AND NOT EXISTS (SELECT id, note FROM t.audit a WHERE a.kind = same_rows.kind AND whose = 'ours' EXCEPT ALL SELECT id, note FROM t.audit a WHERE a.kind = same_rows.kind AND whose = 'theirs')
        AND (SELECT count(*) FILTER (WHERE whose = 'ours') = count(*) FILTER (WHERE whose = 'theirs') FROM t.audit a WHERE a.kind = same_rows.kind);
END
$$;
-- one round; returns what is not the same
CREATE FUNCTION round(kind text, form text, n integer, bad float8, batch integer, error text, conflict text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    key      name[] := CASE kind WHEN 'parts' THEN '{id,at}' ELSE '{id}' END::name[];
    expected text;
    actual   text;
    problems text;
BEGIN
    PERFORM t.give(n, bad, form = 'json');
    IF kind = 'secure' THEN
        SET LOCAL ROLE regress_dbperf_app;
    END IF;
    BEGIN
        PERFORM t.one_by_one(kind, conflict, key);
        SELECT format('%s inserted, %s rejected, %s skipped', count(*) FILTER (WHERE result = 'inserted'), count(*) FILTER (WHERE length(result) = 5), count(*) FILTER (WHERE result = 'skipped')) INTO expected FROM t.outcome;
        IF error = 'abort' AND expected !~ ' 0 rejected' THEN
            expected := 'failed';
            RAISE EXCEPTION SQLSTATE 'TWIN0';
        END IF;
    EXCEPTION WHEN SQLSTATE 'TWIN0' THEN
        NULL;
    END;
    actual := t.by_bulk(kind, form, batch, error, conflict, key);
    RESET ROLE;
    IF actual <> expected THEN
        RETURN format('%s, but one by one %s', actual, expected);
    ELSIF NOT t.same_rows(kind) THEN
        RETURN 'other rows';
    ELSIF error = 'reject' THEN
        -- a null partition key has a clearer error
        SELECT string_agg(format('row %s: %s, but one by one %s', coalesce(o.i, r.row_number), coalesce(r.sqlstate, 'none'), coalesce(o.result, 'none')), ', ') INTO problems
            FROM (SELECT * FROM t.outcome WHERE length(result) = 5) o FULL JOIN t.rejects('t.' || kind || '_ours') r ON r.row_number = o.i JOIN t.given g ON g.i = coalesce(o.i, r.row_number)
            WHERE o.result IS DISTINCT FROM r.sqlstate AND NOT coalesce(kind = 'parts' AND g.at IS NULL AND 'at' = ANY (g.keys) AND left(o.result, 2) = '23' AND r.sqlstate = '23502', false)
            AND NOT coalesce(kind = 'secure' AND g.id IS NULL AND left(o.result, 2) = '23' AND r.sqlstate = '23502', false);
    END IF;
    RETURN problems;
END
$$;
GRANT ALL ON ALL TABLES IN SCHEMA t TO regress_dbperf_app;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA t TO regress_dbperf_app;
-- many rounds upon the same tables, which fill up
CREATE FUNCTION rounds(seed float8, kinds text[], count integer) RETURNS TABLE (n integer, round text, problem text) LANGUAGE plpgsql AS $$
DECLARE
    kind     text;
    form     text;
    batch    integer;
    error    text;
    conflict text;
    rows     integer;
    bad      float8;
BEGIN
    PERFORM setseed(seed);
    FOR n IN 1 .. count LOOP
        FOREACH kind IN ARRAY kinds LOOP
            form := ('{arrays,record,json}'::text[])[1 + floor(random() * 3)];
            batch := ('{1,2,3,7,50,1000}'::integer[])[1 + floor(random() * 6)];
            error := ('{reject,reject,abort}'::text[])[1 + floor(random() * 3)];
            conflict := ('{error,error,nothing,update}'::text[])[1 + floor(random() * 4)];
            rows := 1 + floor(random() * 60)::integer;
            bad := ('{0,0.01,0.05,0.5}'::float8[])[1 + floor(random() * 4)];
            round := concat_ws(', ', kind, form, 'batches of ' || batch, error, conflict, rows || ' rows', bad);
            problem := t.round(kind, form, rows, bad, batch, error, conflict);
            IF problem IS NOT NULL THEN
                RETURN NEXT;
                RETURN;
            END IF;
        END LOOP;
    END LOOP;
END
$$;
SELECT * FROM rounds(0.1, '{plain}', 40);
SELECT * FROM rounds(0.2, '{parts}', 40);
SELECT * FROM rounds(0.3, '{triggers}', 40);
SELECT * FROM rounds(0.4, '{secure}', 40);
SELECT * FROM rounds(0.5, '{plain,parts,triggers,secure}', 15);
-- a good many rows went each way
SELECT kind, (xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM t.%s_ours', kind), false, true, '')))[1]::text::integer > 100 AS filled FROM unnest('{plain,parts,triggers,secure}'::text[]) kind;
-- the indexes have all rows, and the tables are whole
SELECT count(public.bt_index_check(x.indexrelid, true)) AS indexes FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid WHERE x.indrelid::regclass::text ~ '_ours' AND c.relkind = 'i';
SELECT count(*) AS damaged FROM pg_class c, public.verify_heapam(c.oid) WHERE c.relname ~ '_ours' AND c.relkind = 'r';
DROP OWNED BY regress_dbperf_app CASCADE;
DROP ROLE regress_dbperf_app;
