--
-- A new partition has what its parent has: columns with all their settings, constraints, indexes,
-- triggers, comments, storage, statistics, identity, generated columns, publications
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
CREATE TABLE referenced (id int PRIMARY KEY);
INSERT INTO referenced VALUES (1);
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.noted := 'by ' || TG_NAME; RETURN NEW; END$$;
CREATE TABLE parent (
    gone int,
    id bigint GENERATED ALWAYS AS IDENTITY,
    "k K" timestamptz NOT NULL,
    n int NOT NULL DEFAULT 7 CONSTRAINT positive CHECK (n > 0),
    doubled int GENERATED ALWAYS AS (n * 2) STORED,
    words text COLLATE "C" DEFAULT 'none',
    packed text,
    noted text,
    ref int REFERENCES referenced ON DELETE RESTRICT DEFERRABLE INITIALLY DEFERRED,
    also_gone int,
    CONSTRAINT pair CHECK (n < 1000 AND words <> ''),
    PRIMARY KEY (id, "k K")
) PARTITION BY RANGE ("k K");
ALTER TABLE parent DROP COLUMN gone, DROP COLUMN also_gone;
ALTER TABLE parent ALTER words SET STATISTICS 321, ALTER n SET (n_distinct = -0.25, n_distinct_inherited = 50),
    ALTER packed SET STORAGE EXTERNAL, ALTER words SET COMPRESSION pglz;
CREATE UNIQUE INDEX parent_u ON parent (n, "k K" DESC NULLS LAST) INCLUDE (words) WITH (fillfactor = 70);
CREATE INDEX parent_e ON parent (lower(words) text_pattern_ops, n) WHERE n > 3;
CREATE INDEX parent_h ON parent USING hash (words);
CREATE STATISTICS parent_stat (dependencies, ndistinct) ON n, words FROM parent;
ALTER STATISTICS parent_stat SET STATISTICS 17;
CREATE STATISTICS parent_expr ON (n + 1), (lower(words)) FROM parent;
CREATE TRIGGER note BEFORE INSERT ON parent FOR EACH ROW EXECUTE FUNCTION noted();
COMMENT ON TABLE parent IS 'it''s the parent';
COMMENT ON COLUMN parent.n IS 'a number';
COMMENT ON CONSTRAINT pair ON parent IS 'both of them';
COMMENT ON INDEX parent_e IS 'an expression';
CREATE TABLE older PARTITION OF parent FOR VALUES FROM ('2026-09-01') TO ('2026-10-01') WITH (fillfactor = 10);
CREATE TABLE newest PARTITION OF parent FOR VALUES FROM ('2026-10-01') TO ('2026-11-01')
    WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.01, toast_tuple_target = 4000, autovacuum_enabled = false);
ALTER TABLE newest SET (toast.autovacuum_enabled = false);
-- (a warning where wal_level is not logical)
SET client_min_messages = error;
CREATE PUBLICATION regress_dbperf_root FOR TABLE parent (id, "k K", n) WITH (publish_via_partition_root = true);
CREATE PUBLICATION regress_dbperf_leaf FOR TABLE parent;
CREATE PUBLICATION regress_dbperf_schema FOR TABLES IN SCHEMA t;
RESET client_min_messages;
SELECT dbperf.manage('parent', premake => 0);
SELECT partition FROM partitions('parent');
\set child parent_2026_11

-- minor releases of 2026 keep the version of a column among its options: it is the child's own
CREATE FUNCTION options(text[]) RETURNS text[] LANGUAGE sql AS $$
    SELECT array_agg(o ORDER BY o) FROM unnest($1) o WHERE o NOT LIKE 'pg\_attver=%'
$$;
SELECT count(*) AS versions_of_the_parent FROM pg_attribute c JOIN pg_attribute p USING (attname)
WHERE c.attrelid = :'child'::regclass AND p.attrelid = 'parent'::regclass AND c.attnum > 0
  AND EXISTS (SELECT FROM unnest(c.attoptions) o WHERE o LIKE 'pg\_attver=%' AND o = ANY (p.attoptions));
-- columns: everything in pg_attribute but where it comes from
SELECT c.attname, format_type(c.atttypid, c.atttypmod) AS type, c.attnotnull AS nn, coalesce(c.attstattarget, -1) AS target, c.attstorage AS st,
       c.attcompression AS cmp, c.attgenerated AS gen, options(c.attoptions), co.collname, pg_get_expr(d.adbin, d.adrelid) AS expr,
       col_description(c.attrelid, c.attnum) AS comment
FROM pg_attribute c LEFT JOIN pg_attrdef d ON d.adrelid = c.attrelid AND d.adnum = c.attnum
LEFT JOIN pg_collation co ON co.oid = c.attcollation
WHERE c.attrelid = :'child'::regclass AND c.attnum > 0 ORDER BY c.attnum;
SELECT p.attname AS differs FROM pg_attribute p JOIN pg_attribute c ON c.attname = p.attname AND c.attrelid = :'child'::regclass
WHERE p.attrelid = 'parent'::regclass AND p.attnum > 0
  AND (p.atttypid, p.atttypmod, p.attnotnull, p.attstattarget, p.attstorage, p.attcompression, p.attgenerated, options(p.attoptions), p.attcollation)
      IS DISTINCT FROM (c.atttypid, c.atttypmod, c.attnotnull, c.attstattarget, c.attstorage, c.attcompression, c.attgenerated, options(c.attoptions), c.attcollation);
-- constraints
SELECT conname, contype, coninhcount > 0 AS inherited, pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint') AS comment
FROM pg_constraint WHERE conrelid = :'child'::regclass AND contype <> 'n' ORDER BY conname COLLATE "C";
-- indexes: each is attached to one of the parent's, none is there twice
SELECT p.relname AS of_parent, regexp_replace(pg_get_indexdef(c.oid), '^.* USING', 'USING') AS definition, c.reloptions
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid LEFT JOIN pg_inherits h ON h.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = h.inhparent
WHERE i.indrelid = :'child'::regclass ORDER BY 1;
-- triggers
SELECT tgname, tgparentid <> 0 AS of_parent, tgisinternal FROM pg_trigger WHERE tgrelid = :'child'::regclass AND NOT tgisinternal;
-- extended statistics and their targets
SELECT regexp_replace(pg_get_statisticsobjdef(oid), 'STATISTICS \S+ ', 'STATISTICS … '), coalesce(stxstattarget, -1) AS target
FROM pg_statistic_ext WHERE stxrelid = :'child'::regclass ORDER BY 1;
-- storage parameters are those of the newest sibling; a comment is the parent's
SELECT reloptions, obj_description(oid, 'pg_class') AS comment, relpersistence FROM pg_class WHERE oid = :'child'::regclass;
SELECT t.reloptions AS toast FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid WHERE c.oid = :'child'::regclass;
-- publications: as part of the parent and of the schema
SELECT pubname, tablename, CASE WHEN pubname ~ 'root' THEN attnames END AS columns FROM pg_publication_tables
WHERE pubname LIKE 'regress_dbperf%' AND tablename IN ('parent', :'child') ORDER BY 1;
-- from PostgreSQL 17 on, partitions share the parent's identity column; before, only the parent has one
SELECT attidentity = CASE WHEN current_setting('server_version_num')::int >= 170000 THEN 'a' ELSE '' END AS identity_as_expected
FROM pg_attribute WHERE attrelid = :'child'::regclass AND attname = 'id';
-- it works: identity counts on, generated and default values, checks, foreign key, unique
INSERT INTO parent ("k K", n, ref) VALUES ('2026-10-10', 8, 1), ('2026-11-10', 9, 1) RETURNING tableoid::regclass, id, n, doubled, words, noted;
INSERT INTO parent_2026_11 (id, "k K", n) OVERRIDING SYSTEM VALUE VALUES (100, '2026-11-11', 10) RETURNING id, doubled, words, noted;
SELECT fails($$INSERT INTO parent ("k K", n) VALUES ('2026-11-11', -1)$$);
SELECT fails($$INSERT INTO parent ("k K", n) VALUES ('2026-11-10', 9)$$);
SELECT fails($$INSERT INTO parent ("k K", n, words) VALUES ('2026-11-12', 9, '')$$);
BEGIN;
INSERT INTO parent ("k K", n, ref) VALUES ('2026-11-13', 11, 99);
COMMIT;
SELECT is_restricted('DELETE FROM referenced');
DROP PUBLICATION regress_dbperf_root, regress_dbperf_leaf, regress_dbperf_schema;

-- a table that is referenced by others: the new partition takes part
CREATE TABLE target (k date PRIMARY KEY) PARTITION BY RANGE (k);
CREATE TABLE source (k date REFERENCES target ON DELETE RESTRICT);
SELECT dbperf.manage('target', '1 month', 1);
INSERT INTO target VALUES ('2026-12-05');
INSERT INTO source VALUES ('2026-12-05');
SELECT is_restricted('DELETE FROM target');
SELECT fails($$INSERT INTO source VALUES ('2026-12-06')$$);
-- tablespaces: the policy's, else the parent's, else the database's; never the session's
SET allow_in_place_tablespaces = true;
CREATE TABLESPACE regress_dbperf_a LOCATION '';
CREATE TABLESPACE regress_dbperf_b LOCATION '';
CREATE TABLE spaced (k date PRIMARY KEY) PARTITION BY RANGE (k) TABLESPACE regress_dbperf_a;
SELECT make('unspaced', 'date');
SET default_tablespace = regress_dbperf_b;
SELECT dbperf.manage('spaced', '1 month', 0), dbperf.manage('unspaced', '1 month', 0);
SELECT dbperf.alter_policy('spaced', tablespace => 'regress_dbperf_b');
SELECT dbperf.create_partition('spaced', '2027-01-01');
SELECT dbperf.alter_policy('spaced', tablespace => '');
SELECT dbperf.create_partition('spaced', '2027-02-01');
RESET default_tablespace;
SELECT parent, partition, tablespace FROM dbperf.partitions WHERE parent IN ('spaced'::regclass, 'unspaced'::regclass) ORDER BY partition::text COLLATE "C";
-- a tablespace that has gone since: said, and recorded
ALTER TABLE spaced_2026_11 SET TABLESPACE pg_default;
SELECT dbperf.alter_policy('spaced', tablespace => 'regress_dbperf_b');
DROP TABLE spaced_2027_01;
ALTER TABLESPACE regress_dbperf_b RENAME TO regress_dbperf_c;
SET dbperf.now_override = '2027-01-01 00:00+00';
SELECT status, detail FROM dbperf.run_maintenance('spaced');
SELECT status, last_error FROM dbperf.partition_health WHERE parent = 'spaced'::regclass;
SELECT dbperf.alter_policy('spaced', tablespace => 'regress_dbperf_c');
SELECT status, partition FROM dbperf.run_maintenance('spaced');
SELECT last_error FROM dbperf.partition_health WHERE parent = 'spaced'::regclass;
DROP TABLE spaced;
DROP TABLESPACE regress_dbperf_a;
DROP TABLESPACE regress_dbperf_c;
