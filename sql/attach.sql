--
-- The way back from the recycle bin: a table becomes the partition again that it was, however its
-- parent has changed meanwhile
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
-- What detaching leaves behind, without its waiting: a table in the archive schema, and its row.
CREATE FUNCTION t.detach(partition regclass) RETURNS regclass LANGUAGE plpgsql AS $$
DECLARE
    p regclass := (SELECT inhparent FROM pg_inherits WHERE inhrelid = partition);
    b record;
    s text;
BEGIN
    SELECT * INTO STRICT b FROM dbperf.partition_bounds(p) x WHERE x.partition = detach.partition;
    INSERT INTO dbperf.recycle_bin AS r (partition, parent, state, lower_bound, upper_bound, original_schema, original_name, grants,
            parent_columns, parent_attnums, inherited_constraints, started_at)
        SELECT partition, p, 'detaching', b.lower_bound, b.upper_bound, c.relnamespace::regnamespace::text, c.relname, dbperf.grants_of(partition),
            (SELECT array_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = p AND a.attnum > 0 AND NOT a.attisdropped),
            (SELECT array_agg(a.attnum ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = p AND a.attnum > 0 AND NOT a.attisdropped),
            (SELECT coalesce(array_agg(k.conname ORDER BY k.conname), '{}') FROM pg_constraint k
             WHERE k.conrelid = partition AND k.contype = 'c' AND k.coninhcount > 0), now()
        FROM pg_class c WHERE c.oid = partition
        ON CONFLICT ON CONSTRAINT recycle_bin_pkey DO UPDATE SET
            (state, original_schema, original_name, grants, parent_columns, parent_attnums, inherited_constraints, foreign_keys)
            = ('detaching', excluded.original_schema, excluded.original_name, excluded.grants, excluded.parent_columns, excluded.parent_attnums,
               excluded.inherited_constraints, '{}');
    EXECUTE format('ALTER TABLE %s ADD CONSTRAINT dbperf_bound CHECK (%s)', partition, (
        SELECT regexp_replace(pg_get_partition_constraintdef(partition), '^\s*$', 'true')));
    EXECUTE format('ALTER TABLE %s DETACH PARTITION %s', p, partition);
    FOR s IN SELECT * FROM dbperf.archive_statements(partition, 't_archive') LOOP
        EXECUTE s;
    END LOOP;
    UPDATE dbperf.recycle_bin r SET state = 'detached', detached_at = now() WHERE r.partition = detach.partition;
    RETURN partition;
END
$$;
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS t_archive CASCADE;
RESET client_min_messages;
CREATE SCHEMA t_archive;
-- Everything in a table's definition, with its names as if it were called "it".
CREATE FUNCTION t.definition(relation regclass) RETURNS SETOF text LANGUAGE sql SET search_path = pg_catalog AS $$
    SELECT concat_ws(' ', 'column', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attstorage, a.attcompression, a.attidentity,
            a.attgenerated, (SELECT collname FROM pg_collation k WHERE k.oid = a.attcollation), pg_get_expr(d.adbin, d.adrelid))
        FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT concat_ws(' ', 'constraint', CASE WHEN contype = 'c' THEN conname END, pg_get_constraintdef(oid), convalidated, conislocal, coninhcount)
        FROM pg_constraint WHERE conrelid = relation AND contype IN ('c', 'p', 'u', 'x', 'f')
    UNION ALL
    SELECT concat_ws(' ', 'index of', p.relname, regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING', ''), i.indisunique)
        FROM pg_index i LEFT JOIN pg_inherits h ON h.inhrelid = i.indexrelid LEFT JOIN pg_class p ON p.oid = h.inhparent WHERE i.indrelid = relation
    UNION ALL
    SELECT concat_ws(' ', 'trigger', CASE WHEN NOT tgisinternal THEN tgname END, tgfoid::regproc, tgenabled, tgtype)
        FROM pg_trigger WHERE tgrelid = relation
    UNION ALL
    SELECT concat_ws(' ', 'table', relowner::regrole, relacl, relnamespace::regnamespace) FROM pg_class WHERE oid = relation
$$;
CREATE FUNCTION t.differences(a regclass, b regclass) RETURNS SETOF text LANGUAGE sql AS $$
    (SELECT '- ' || d FROM t.definition(a) d EXCEPT ALL SELECT '- ' || d FROM t.definition(b) d)
    UNION ALL
    (SELECT '+ ' || d FROM t.definition(b) d EXCEPT ALL SELECT '+ ' || d FROM t.definition(a) d)
    ORDER BY 1
$$;
\set ECHO all
--
-- There and back: rows, names, privileges, and no look at the rows
--
CREATE ROLE regress_dbperf_reader;
CREATE ROLE regress_dbperf_gone;
CREATE TABLE referenced (id int PRIMARY KEY);
INSERT INTO referenced VALUES (1), (2);
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.v := coalesce(NEW.v, '') || '!'; RETURN NEW; END$$;
CREATE TABLE parent (
    id int NOT NULL,
    k timestamptz NOT NULL,
    v text DEFAULT 'none',
    n int CONSTRAINT positive CHECK (n > 0),
    ref int REFERENCES referenced,
    PRIMARY KEY (id, k)
) PARTITION BY RANGE (k);
CREATE INDEX parent_v ON parent (v);
CREATE TRIGGER note BEFORE INSERT ON parent FOR EACH ROW EXECUTE FUNCTION noted();
GRANT SELECT ON parent TO regress_dbperf_reader WITH GRANT OPTION;
GRANT UPDATE (v, n) ON parent TO regress_dbperf_gone;
SELECT dbperf.manage('parent', '1 month', 1);
SELECT dbperf.create_partitions('parent', '2026-08-01', '2026-11-01');
INSERT INTO parent SELECT g, '2026-09-01'::timestamptz + g * interval '10 hours', 'row ' || g, g, 1 + g % 2 FROM generate_series(1, 150) g;
CREATE TABLE rows_before AS SELECT tableoid::regclass AS partition, p::text AS r FROM parent p;
SELECT detach('parent_2026_09');
SELECT count(*) FROM parent;
SELECT relacl::text ~ 'reader' AS readable FROM pg_class WHERE oid = 't_archive.parent_2026_09'::regclass;
DROP OWNED BY regress_dbperf_gone;
DROP ROLE regress_dbperf_gone;
SELECT pg_stat_force_next_flush();
BEGIN;
SELECT dbperf.attach_partition('t_archive.parent_2026_09');
SELECT seq_scan, idx_scan, n_tup_upd FROM pg_stat_xact_user_tables WHERE relid = 'parent_2026_09'::regclass;
COMMIT;
SELECT count(*) FROM parent;
SELECT r, partition FROM rows_before EXCEPT SELECT p::text, tableoid::regclass FROM parent p;
SELECT * FROM differences('parent_2026_08', 'parent_2026_09');
SELECT attname, attacl FROM pg_attribute WHERE attrelid = 'parent_2026_09'::regclass AND attacl IS NOT NULL;
SELECT state, hold_until, archive_verified_at FROM dbperf.recycle_bin;
SELECT action, partition, lower_bound, upper_bound, tries, message FROM dbperf.partition_events ORDER BY event_id DESC LIMIT 1;
SELECT (dbperf.verify_audit()).*;
--
-- What is not in the bin, in the way, or another's
--
SELECT fails($$SELECT dbperf.attach_partition('t.parent_2026_09')$$);
SELECT fails($$SELECT dbperf.attach_partition('t.parent_2026_08')$$);
SELECT fails($$SELECT dbperf.attach_partition('t.rows_before')$$);
SELECT fails($$SELECT dbperf.attach_partition(NULL)$$);
SELECT fails($$SELECT dbperf.attach_partition('t.parent_2026_09', '-1 day')$$);
SELECT fails($$SELECT dbperf.attach_partition(4294967295)$$);
SELECT detach('parent_2026_09');
CREATE TABLE in_between PARTITION OF parent FOR VALUES FROM ('2026-09-29') TO ('2026-10-01');
SELECT fails($$SELECT dbperf.attach_partition('t_archive.parent_2026_09')$$);
DROP TABLE in_between;
SELECT dbperf.unmanage('parent');
SELECT fails($$SELECT dbperf.attach_partition('t_archive.parent_2026_09')$$);
SELECT dbperf.manage('parent', '1 month', 1);
CREATE ROLE regress_dbperf_owner;
CREATE ROLE regress_dbperf_other;
GRANT USAGE ON SCHEMA dbperf, t, t_archive TO regress_dbperf_owner, regress_dbperf_other;
GRANT EXECUTE ON FUNCTION dbperf.attach_partition(regclass, interval) TO regress_dbperf_owner, regress_dbperf_other;
ALTER TABLE parent OWNER TO regress_dbperf_owner;
SELECT fails($$SELECT dbperf.attach_partition('t_archive.parent_2026_09')$$);
SET ROLE regress_dbperf_owner;
SELECT fails($$SELECT dbperf.attach_partition('t_archive.parent_2026_09')$$);
RESET ROLE;
ALTER TABLE t_archive.parent_2026_09 OWNER TO regress_dbperf_owner;
SET ROLE regress_dbperf_other;
SELECT fails($$SELECT dbperf.attach_partition('t_archive.parent_2026_09')$$);
-- its owner can, if allowed to make tables where it was
SET ROLE regress_dbperf_owner;
SELECT fails($$SELECT dbperf.attach_partition('t_archive.parent_2026_09')$$);
RESET ROLE;
GRANT CREATE ON SCHEMA t TO regress_dbperf_owner;
ALTER TABLE referenced OWNER TO regress_dbperf_owner;
SET ROLE regress_dbperf_owner;
SELECT dbperf.attach_partition('t_archive.parent_2026_09', '1 hour');
RESET ROLE;
SELECT state, hold_until FROM dbperf.recycle_bin;
SELECT relowner::regrole FROM pg_class WHERE oid = 'parent_2026_09'::regclass;
ALTER TABLE parent OWNER TO CURRENT_USER;
ALTER TABLE parent_2026_09 OWNER TO CURRENT_USER;
ALTER TABLE referenced OWNER TO CURRENT_USER;
--
-- Names that are taken by now, here or there
--
CREATE TABLE t_archive.parent_2026_09 (v text);
CREATE INDEX parent_2026_09_v_idx ON t_archive.parent_2026_09 (v);
SELECT regexp_replace(detach('parent_2026_09')::text, '\d{5,}$', 'OID');
SELECT partition::oid AS oid, partition::text AS place FROM dbperf.recycle_bin \gset
SELECT dbperf.attach_partition(:'place');
SELECT relname FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid WHERE indrelid = 'parent_2026_09'::regclass ORDER BY 1;
DROP TABLE t_archive.parent_2026_09;
SELECT detach('parent_2026_09');
CREATE TABLE parent_2026_09 (v text);
CREATE INDEX parent_2026_09_v_idx ON parent_2026_09 (v);
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT regexp_replace(dbperf.attach_partition('t_archive.parent_2026_09')::text, '\d{5,}$', 'OID');
RESET client_min_messages;
\set VERBOSITY default
SELECT :oid::regclass AS back \gset
SELECT regexp_replace(relname, '\d{5,}$', 'OID') FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid WHERE indrelid = :oid ORDER BY 1;
DROP TABLE parent_2026_09;
ALTER TABLE :back RENAME TO parent_2026_09;
-- the schema has gone
CREATE SCHEMA t_other;
ALTER TABLE parent_2026_09 SET SCHEMA t_other;
SELECT detach('t_other.parent_2026_09');
DROP SCHEMA t_other;
SELECT dbperf.attach_partition('t_archive.parent_2026_09');
SELECT count(*) FROM parent;
--
-- Columns
--
SELECT detach('parent_2026_09');
ALTER TABLE parent ADD a int NOT NULL DEFAULT 5, ADD b text COLLATE "C" DEFAULT 'it''s "b", {x}', ADD c int[] DEFAULT '{1,2}',
    ADD d numeric(8, 2), ADD f timestamptz DEFAULT '2026-01-01 00:00+00', ADD h box DEFAULT '(1,1),(0,0)';
ALTER TABLE parent ALTER a SET DEFAULT 6, ALTER d SET DEFAULT 1.5, ALTER b SET STORAGE EXTERNAL, ALTER f DROP DEFAULT;
ALTER TABLE parent RENAME v TO words;
ALTER TABLE parent RENAME n TO ref2;
ALTER TABLE parent RENAME ref TO n;
ALTER TABLE parent RENAME ref2 TO ref;
ALTER TABLE parent ALTER ref SET NOT NULL, ALTER words SET DEFAULT 'other';
SELECT dbperf.attach_partition('t_archive.parent_2026_09');
SELECT * FROM differences('parent_2026_08', 'parent_2026_09');
SELECT DISTINCT a, b, c, d, f, h::text FROM parent WHERE tableoid = 'parent_2026_09'::regclass;
SELECT id, words, ref, n FROM parent WHERE id IN (3, 4) ORDER BY 1;
SELECT detach('parent_2026_09');
ALTER TABLE parent ADD e int GENERATED ALWAYS AS (a * 2) STORED, ADD e2 int GENERATED ALWAYS AS (n * 2) STORED;
ALTER TABLE parent ALTER e2 DROP EXPRESSION;
SELECT dbperf.attach_partition('t_archive.parent_2026_09');
SELECT * FROM differences('parent_2026_08', 'parent_2026_09');
SELECT DISTINCT e, e2 FROM parent WHERE tableoid = 'parent_2026_09'::regclass;
SELECT detach('parent_2026_09');
ALTER TABLE parent DROP e2, DROP e, DROP d, DROP ref, DROP c;
ALTER TABLE parent ADD c int[] DEFAULT '{3}';
ALTER TABLE parent ALTER h TYPE box, ALTER a DROP NOT NULL, ALTER a DROP DEFAULT;
SELECT dbperf.attach_partition('t_archive.parent_2026_09');
SELECT * FROM differences('parent_2026_08', 'parent_2026_09');
SELECT DISTINCT a, b, c, f FROM parent WHERE tableoid = 'parent_2026_09'::regclass;
-- types: what needs no rewriting, and what does
ALTER TABLE parent ADD s varchar(10), ADD m numeric(6, 2), ADD i int;
SELECT detach('parent_2026_09');
ALTER TABLE parent ALTER s TYPE text, ALTER m TYPE numeric(9, 2);
SELECT dbperf.attach_partition('t_archive.parent_2026_09');
SELECT * FROM differences('parent_2026_08', 'parent_2026_09');
SELECT detach('parent_2026_09');
ALTER TABLE parent ALTER i TYPE bigint;
SELECT fails($$SELECT dbperf.attach_partition('t_archive.parent_2026_09')$$);
ALTER TABLE t_archive.parent_2026_09 ALTER i TYPE bigint;
-- columns of its own
ALTER TABLE t_archive.parent_2026_09 ADD mine int;
SELECT fails($$SELECT dbperf.attach_partition('t_archive.parent_2026_09')$$);
ALTER TABLE t_archive.parent_2026_09 DROP mine, DROP i;
SELECT fails($$SELECT dbperf.attach_partition('t_archive.parent_2026_09')$$);
ALTER TABLE t_archive.parent_2026_09 ADD i bigint;
SELECT dbperf.attach_partition('t_archive.parent_2026_09');
SELECT * FROM differences('parent_2026_08', 'parent_2026_09');
--
-- Constraints, indexes, foreign keys, triggers
--
SELECT detach('parent_2026_09');
CREATE TABLE referenced2 (id int PRIMARY KEY);
INSERT INTO referenced2 SELECT generate_series(1, 200);
ALTER TABLE parent DROP CONSTRAINT parent_ref_fkey, ADD FOREIGN KEY (id) REFERENCES referenced2, ADD CONSTRAINT long CHECK (words <> ''),
    ADD UNIQUE (id, words, k);
DROP INDEX parent_v;
CREATE INDEX parent_low ON parent (lower(words) text_pattern_ops, n DESC) INCLUDE (id) WHERE n > 0;
CREATE TRIGGER note2 BEFORE UPDATE ON parent FOR EACH ROW EXECUTE FUNCTION noted();
DROP TRIGGER note ON parent;
CREATE INDEX own ON t_archive.parent_2026_09 (n);
SELECT dbperf.attach_partition('t_archive.parent_2026_09');
SELECT * FROM differences('parent_2026_08', 'parent_2026_09');
DROP INDEX own;
SELECT detach('parent_2026_09');
ALTER TABLE parent RENAME CONSTRAINT long TO not_empty;
DELETE FROM parent WHERE id > 60;
ALTER TABLE parent ADD CONSTRAINT few CHECK (id < 50 OR k > '2026-10-01');
SELECT fails($$SELECT dbperf.attach_partition('t_archive.parent_2026_09')$$);
-- nothing of it has happened
SELECT state FROM dbperf.recycle_bin;
SELECT count(*) FROM t_archive.parent_2026_09;
ALTER TABLE parent DROP CONSTRAINT few, DROP CONSTRAINT parent_pkey;
SELECT dbperf.attach_partition('t_archive.parent_2026_09');
SELECT * FROM differences('parent_2026_08', 'parent_2026_09');
-- a table whose CHECK was taken away is read instead
SELECT detach('parent_2026_09');
ALTER TABLE t_archive.parent_2026_09 DROP CONSTRAINT dbperf_bound;
INSERT INTO t_archive.parent_2026_09 (id, k) VALUES (1, '2026-12-24');
SELECT fails($$SELECT dbperf.attach_partition('t_archive.parent_2026_09')$$);
DELETE FROM t_archive.parent_2026_09 WHERE k > '2026-10-01';
SELECT pg_stat_force_next_flush();
BEGIN;
SELECT dbperf.attach_partition('t_archive.parent_2026_09');
SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relid = 'parent_2026_09'::regclass;
COMMIT;
-- a restored dump has numbered the columns anew
SELECT detach('parent_2026_09');
UPDATE dbperf.recycle_bin SET inherited = jsonb_set(inherited, '{parent}', '1');
ALTER TABLE parent DROP m, ADD z int DEFAULT 1;
SELECT fails($$SELECT dbperf.attach_partition('t_archive.parent_2026_09')$$);
ALTER TABLE t_archive.parent_2026_09 DROP m;
SELECT dbperf.attach_partition('t_archive.parent_2026_09');
SELECT * FROM differences('parent_2026_08', 'parent_2026_09');
--
-- A table that others point to
--
CREATE TABLE target (k date PRIMARY KEY, v int) PARTITION BY RANGE (k);
SELECT dbperf.manage('target', '1 month', 0);
SELECT dbperf.create_partition('target', '2026-09-01');
INSERT INTO target VALUES ('2026-09-05', 1), ('2026-11-05', 2);
CREATE TABLE source (k date REFERENCES target, n int);
SELECT detach('target_2026_09');
SELECT fails($$INSERT INTO source VALUES ('2026-09-05')$$);
SELECT dbperf.attach_partition('t_archive.target_2026_09');
SELECT * FROM differences('target_2026_11', 'target_2026_09');
INSERT INTO source VALUES ('2026-09-05');
SELECT is_restricted('DELETE FROM target WHERE v = 1');
--
-- Beside a default partition
--
SELECT make('beside');
SELECT dbperf.manage('beside', '1 month', 0);
SELECT dbperf.create_partition('beside', '2026-09-01');
CREATE TABLE beside_rest PARTITION OF beside DEFAULT;
INSERT INTO beside VALUES ('2026-09-05', 'a'), ('2026-11-05', 'b'), ('2020-01-01', 'c');
SELECT detach('beside_2026_09');
SELECT dbperf.attach_partition('t_archive.beside_2026_09');
SELECT tableoid::regclass, * FROM beside ORDER BY k;
-- a large one is not read under a lock
INSERT INTO beside SELECT '2020-01-01', repeat('x', 1000) FROM generate_series(1, 3000);
SELECT detach('beside_2026_09');
SELECT fails($$SELECT dbperf.attach_partition('t_archive.beside_2026_09')$$);
ALTER TABLE t.beside_rest ADD CONSTRAINT not_attached CHECK (k IS NULL OR k < '2026-09-01 00:00:00+00' OR k >= '2026-10-01 00:00:00+00') NOT VALID;
SELECT (fails($$SELECT dbperf.attach_partition('t_archive.beside_2026_09')$$)) LIMIT 1;
ALTER TABLE t.beside_rest VALIDATE CONSTRAINT not_attached;
SELECT dbperf.attach_partition('t_archive.beside_2026_09');
-- rows have gone there meanwhile
ALTER TABLE t.beside_rest DROP CONSTRAINT not_attached;
TRUNCATE beside_rest;
SELECT detach('beside_2026_09');
INSERT INTO beside VALUES ('2026-09-06', 'late');
SELECT fails($$SELECT dbperf.attach_partition('t_archive.beside_2026_09')$$);
--
-- Keys of other types, ends without a limit
--
SELECT make('number', 'bigint');
CREATE TABLE number_low PARTITION OF number FOR VALUES FROM (MINVALUE) TO (100);
SELECT dbperf.manage('number', '100', 0, '0', enabled => false);
SELECT dbperf.create_partition('number', 500::bigint);
INSERT INTO number VALUES (-5, 'a'), (550, 'b');
SELECT detach('number_low'), detach('number_500');
SELECT dbperf.attach_partition('t_archive.number_low'), dbperf.attach_partition('t_archive.number_500');
SELECT * FROM partitions('number');
SELECT make('day', 'date');
SELECT dbperf.manage('day', '1 day', 0);
SELECT detach('day_2026_11_21');
SET DateStyle = 'German';
SET TimeZone = 'America/New_York';
SELECT dbperf.attach_partition('t_archive.day_2026_11_21');
SET DateStyle = 'ISO, YMD';
SET TimeZone = 'UTC';
SELECT * FROM partitions('day');
--
-- At random: beside a sibling that stays, with the same rows, and a partition made afterwards
--
CREATE TABLE twin (id int NOT NULL, k timestamptz NOT NULL, base text) PARTITION BY RANGE (k);
SELECT dbperf.manage('twin', '1 month', 0);
SELECT dbperf.create_partitions('twin', '2026-09-01', '2026-11-01');
INSERT INTO twin SELECT g, m, 'row ' || g FROM generate_series(1, 20) g, unnest('{2026-09-05,2026-10-05}'::timestamptz[]) m;
CREATE FUNCTION pick(state bigint, n int) RETURNS int LANGUAGE sql AS 'SELECT (state / 65536 % n)::int';
CREATE FUNCTION random_rounds(rounds int, seed int) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    x bigint := seed;
    place text;
    one text;
    other text;
    stmt text;
    done text[];
    types text[] := ARRAY['int', 'text', 'numeric(9,2)', 'timestamptz', 'text COLLATE "C"', 'int[]', 'date', 'bigint', 'varchar(20)'];
    defaults text[] := ARRAY['7', $d$'a "b" {c}, \d'$d$, '1.25', $d$'2026-01-02 03:04+00'$d$, $d$'x y'$d$, $d$'{1,2}'$d$, $d$'2026-03-04'$d$, '-1', $d$'NULL'$d$];
    n int;
    changes int := 0;
BEGIN
    FOR round IN 1 .. rounds LOOP
        done := '{}';
        place := t.detach('t.twin_2026_09');
        FOR i IN 1 .. 6 LOOP
            x := (x * 1103515245 + 12345 + i) % 2147483648;
            n := t.pick(x, 9) + 1;
            SELECT min(a.attname) FILTER (WHERE a.nth = 1), min(a.attname) FILTER (WHERE a.nth = 2) INTO one, other FROM (
                SELECT attname, row_number() OVER (ORDER BY attnum * x % 1009) AS nth
                FROM pg_attribute WHERE attrelid = 't.twin'::regclass AND attnum > 3 AND NOT attisdropped) a;
            BEGIN
                stmt := CASE t.pick(x / 7, 17)
                    WHEN 0 THEN format('ALTER TABLE t.twin ADD c%s_%s %s', round, i, types[n])
                    WHEN 1 THEN format('ALTER TABLE t.twin ADD c%s_%s %s DEFAULT %s', round, i, types[n], defaults[n])
                    WHEN 2 THEN format('ALTER TABLE t.twin ADD c%s_%s %s NOT NULL DEFAULT %s', round, i, types[n], defaults[n])
                    WHEN 3 THEN format('ALTER TABLE t.twin DROP %I', one)
                    WHEN 4 THEN format('ALTER TABLE t.twin RENAME %I TO %I', one, 'r' || round || '_' || i)
                    WHEN 5 THEN format('ALTER TABLE t.twin RENAME %I TO z; ALTER TABLE t.twin RENAME %I TO %I; ALTER TABLE t.twin RENAME z TO %I', one, other, one, other)
                    WHEN 6 THEN format('ALTER TABLE t.twin ALTER %I SET DEFAULT NULL', one)
                    WHEN 7 THEN format('ALTER TABLE t.twin ALTER %I DROP DEFAULT', one)
                    WHEN 8 THEN format('ALTER TABLE t.twin ALTER %I SET NOT NULL', one)
                    WHEN 9 THEN format('ALTER TABLE t.twin ALTER %I DROP NOT NULL', one)
                    WHEN 10 THEN format('ALTER TABLE t.twin ADD CONSTRAINT check%s CHECK (%I IS DISTINCT FROM NULL OR id > 0)', n, one)
                    WHEN 11 THEN format('ALTER TABLE t.twin DROP CONSTRAINT check%s', n)
                    WHEN 12 THEN format('CREATE INDEX i%s ON t.twin (%I, id%s)', n, one, CASE WHEN i > 3 THEN ' DESC' END)
                    WHEN 13 THEN format('DROP INDEX t.i%s', n)
                    WHEN 14 THEN format('ALTER TABLE t.twin ADD UNIQUE (id, k, %I)', one)
                    WHEN 15 THEN CASE WHEN n > 4 THEN 'ALTER TABLE t.twin ADD CONSTRAINT fk FOREIGN KEY (id) REFERENCES t.referenced2' ELSE 'ALTER TABLE t.twin DROP CONSTRAINT fk' END
                    -- rewrites the sibling, and with it goes what it knows of defaults: so alone
                    WHEN 16 THEN CASE WHEN done = '{}' THEN format('ALTER TABLE t.twin ADD c%s_%s text GENERATED ALWAYS AS (base || id) STORED', round, i) END
                    END;
                EXECUTE stmt;
                done := done || stmt;
                changes := changes + 1;
                EXIT WHEN stmt LIKE '% STORED';
            EXCEPTION WHEN OTHERS THEN
                NULL; -- there is no such thing, or rows are against it
            END;
        END LOOP;
        BEGIN
            PERFORM dbperf.attach_partition(place);
        EXCEPTION WHEN OTHERS THEN
            RETURN NEXT format('round %s: %s after %s', round, SQLERRM, done);
            RETURN;
        END;
        PERFORM dbperf.create_partition('t.twin', '2026-12-05'::text);
        RETURN QUERY SELECT format('round %s: %s after %s', round, d, done) FROM t.differences('t.twin_2026_12', 't.twin_2026_09') d;
        IF FOUND THEN
            RETURN;
        END IF;
        DROP TABLE t.twin_2026_12;
        RETURN QUERY SELECT format('round %s: %s is not %s after %s', round, a, b, done)
            FROM (SELECT to_jsonb(w) - 'k' AS a FROM t.twin w WHERE k < '2026-10-01') l
            FULL JOIN (SELECT to_jsonb(w) - 'k' AS b FROM t.twin w WHERE k BETWEEN '2026-10-01' AND '2026-11-01') r ON a ->> 'id' = b ->> 'id'
            WHERE a IS DISTINCT FROM b LIMIT 1;
        IF FOUND THEN
            RETURN;
        END IF;
    END LOOP;
    RETURN NEXT format('%s rounds, %s changes, %s rows', rounds, changes, (SELECT count(*) FROM t.twin));
END
$$;
SET client_min_messages = warning;
SELECT random_rounds(30, 1);
RESET client_min_messages;
DROP TABLE parent, target, source, beside, number, day, twin, referenced, referenced2;
DROP SCHEMA t_archive CASCADE;
DROP OWNED BY regress_dbperf_reader, regress_dbperf_owner, regress_dbperf_other;
DROP ROLE regress_dbperf_reader, regress_dbperf_owner, regress_dbperf_other;
