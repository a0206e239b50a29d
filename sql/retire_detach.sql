--
-- Detaching: by policy and by hand, what is due when, and what comes of privileges and names
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set retire :abs_srcdir '/sql/lib/retire.sql'
\set ECHO none
\i :setup
\i :retire
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS attic, "At tic" CASCADE;
DROP ROLE IF EXISTS regress_dbperf_reader, regress_dbperf_second, "regress_dbperf odd";
RESET client_min_messages;
\set ECHO all
--
-- By policy: each one whose upper bound is old enough, oldest first
--
CREATE TABLE p (id int, k timestamptz NOT NULL, v text DEFAULT 'none' CHECK (v <> ''), PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
CREATE INDEX p_v ON p (v);
SELECT dbperf.manage('p', '1 month', 1, detach_after => '3 months');
SELECT count(*) FROM dbperf.create_partitions('p', '2026-05-01', '2026-11-01');
INSERT INTO p SELECT extract(doy FROM g), g FROM generate_series(timestamptz '2026-05-01', '2026-11-20', '1 day') g;
SELECT * FROM plan('p');
SELECT * FROM cleanup('p');
SELECT * FROM plan('p');
SELECT * FROM cleanup('p');
SELECT * FROM partitions('p');
SELECT * FROM bin;
SELECT count(*) AS kept, min(k) FROM p;
SELECT (SELECT count(*) FROM t_archive.p_2026_05) AS may, (SELECT count(*) FROM t_archive.p_2026_06) AS june, (SELECT count(*) FROM t_archive.p_2026_07) AS july;
SELECT upper_at, upper_key, started_at, detached_at, detached_lsn IS NOT NULL AS has_lsn, hold_until, parent_columns, parent_attnums,
       inherited_constraints, foreign_keys, archive, archive_rows, archive_verified_at
FROM dbperf.recycle_bin WHERE partition = 't_archive.p_2026_05'::regclass;
-- the bound stays behind as a valid CHECK: that is what spares the way back the reading
SELECT conname, convalidated, conislocal, coninhcount, pg_get_constraintdef(oid) FROM pg_constraint
WHERE conrelid = 't_archive.p_2026_05'::regclass AND contype IN ('c', 'p') ORDER BY conname;
SELECT fails($$INSERT INTO t_archive.p_2026_05 VALUES (1, '2026-06-01')$$);
SELECT relispartition, relpartbound FROM pg_class WHERE oid = 't_archive.p_2026_05'::regclass;
SELECT indexrelid::regclass, indisvalid FROM pg_index WHERE indrelid = 't_archive.p_2026_05'::regclass ORDER BY 1::text;
SELECT fails($$INSERT INTO p VALUES (1, '2026-07-31')$$);
SELECT nspname, nspowner = (SELECT relowner FROM pg_class WHERE oid = 'p'::regclass) AS same_owner, nspacl
FROM pg_namespace WHERE nspname = 't_archive';
SELECT source, action, partition, lower_bound, upper_bound, ms_waited >= 0 AS waited, ms_held > 0 AS held, tries > 0 AS tried, message
FROM dbperf.partition_events WHERE action LIKE 'detach%' ORDER BY event_id;
SELECT ok FROM dbperf.verify_audit();
SELECT job, source, reason, parent, status, parents_checked, partitions_created, partitions_detached, partitions_dropped, failures, error
FROM dbperf.job_runs WHERE partitions_detached > 0 ORDER BY run_id;
--
-- By hand: also what is not due, and of a policy that detaches nothing by itself
--
SELECT dbperf.detach_partition('p_2026_10');
SELECT dbperf.alter_policy('p', detach_after => 'never');
SELECT dbperf.detach_partition('t.p_2026_09') AS is_now;
SELECT * FROM partitions('p');
SELECT partition, state FROM bin WHERE parent = 'p'::regclass;
SELECT source, action, partition, message FROM dbperf.partition_events WHERE action LIKE 'detach%' ORDER BY event_id DESC LIMIT 2;
-- the last partition of all
SELECT make('lone');
CREATE TABLE lone_all PARTITION OF lone FOR VALUES FROM (MINVALUE) TO (MAXVALUE);
INSERT INTO lone VALUES ('2026-01-01');
SELECT dbperf.manage('lone', '1 month', 0, anchor => '2026-01-01', enabled => false);
SELECT dbperf.detach_partition('lone_all');
SELECT lower_bound, upper_bound, upper_at FROM dbperf.recycle_bin WHERE parent = 'lone'::regclass;
SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 't_archive.lone_all'::regclass AND conname = 'dbperf_bound';
SELECT count(*) FROM t_archive.lone_all;
--
-- Privileges: nobody but the owner gets at a detached table; they are noted for the way back
--
CREATE ROLE regress_dbperf_reader;
CREATE ROLE regress_dbperf_second;
CREATE ROLE "regress_dbperf odd";
CREATE TABLE g (k timestamptz NOT NULL, v text, "odd %col" int) PARTITION BY RANGE (k);
GRANT SELECT ON g TO regress_dbperf_reader, PUBLIC;
GRANT USAGE ON SCHEMA t TO regress_dbperf_reader, "regress_dbperf odd";
SELECT dbperf.manage('g', '1 month', 0, detach_after => '1 month');
CREATE TABLE g_old PARTITION OF g FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
ALTER TABLE g ENABLE ROW LEVEL SECURITY;
ALTER TABLE g_old ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY mine ON g_old FOR SELECT TO regress_dbperf_reader USING (v = current_user);
GRANT SELECT, INSERT ON g_old TO "regress_dbperf odd" WITH GRANT OPTION;
GRANT SELECT ON g_old TO regress_dbperf_reader, PUBLIC;
GRANT UPDATE ("odd %col"), SELECT (v) ON g_old TO regress_dbperf_reader;
SET ROLE "regress_dbperf odd";
GRANT INSERT ON g_old TO regress_dbperf_second;
RESET ROLE;
SELECT action, status FROM cleanup('g');
SELECT unnest(grants) FROM dbperf.recycle_bin WHERE original_name = 'g_old';
SELECT count(*) AS of_others FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = 't_archive.g_old'::regclass AND a.grantee <> c.relowner;
SELECT count(*) AS of_columns FROM pg_attribute a WHERE a.attrelid = 't_archive.g_old'::regclass AND array_length(a.attacl, 1) > 0;
SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = 't_archive.g_old'::regclass;
SELECT polname, pg_get_expr(polqual, polrelid) FROM pg_policy WHERE polrelid = 't_archive.g_old'::regclass;
GRANT USAGE ON SCHEMA t_archive TO regress_dbperf_reader;
SET ROLE regress_dbperf_reader;
SELECT fails('SELECT * FROM t_archive.g_old');
RESET ROLE;
REVOKE USAGE ON SCHEMA t_archive FROM regress_dbperf_reader;
SET ROLE regress_dbperf_reader;
SELECT fails('SELECT * FROM t_archive.g_old');
RESET ROLE;
--
-- Names that are taken in the archive schema: of a table, a type, an index; and of 63 bytes
--
SELECT make('n');
CREATE INDEX n_v ON n (v);
SELECT dbperf.manage('n', '1 month', 0, detach_after => '1 month');
CREATE TABLE n_table PARTITION OF n FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE n_type PARTITION OF n FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
CREATE TABLE n_index PARTITION OF n FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
CREATE TABLE "N ""quoted""" PARTITION OF n FOR VALUES FROM ('2026-04-01') TO ('2026-05-01');
CREATE TABLE n123456789012345678901234567890123456789012345678901234567890ab PARTITION OF n FOR VALUES FROM ('2026-05-01') TO ('2026-06-01');
CREATE TABLE "nääääääääääääääääääääääääääääää" PARTITION OF n FOR VALUES FROM ('2026-06-01') TO ('2026-07-01');
CREATE TABLE n_free PARTITION OF n FOR VALUES FROM ('2026-07-01') TO ('2026-08-01');
CREATE TABLE t_archive.n_table ();
CREATE TYPE t_archive.n_type AS ENUM ();
CREATE SEQUENCE t_archive.n_index_v_idx;
CREATE VIEW t_archive."N ""quoted""" AS SELECT 1 AS one;
CREATE TABLE t_archive.n123456789012345678901234567890123456789012345678901234567890ab ();
CREATE TABLE t_archive."nääääääääääääääääääääääääääääää" ();
SELECT action, masked(partition) AS partition, decision FROM plan('n');
SELECT action, masked(partition) AS partition, status, masked(detail) AS detail FROM cleanup('n');
-- how many letters are left depends on the length of the OID
SELECT original_name, regexp_replace(masked(partition::text), 'ä+(\.\.\.)?_OID', 'ä…_OID') AS partition, octet_length(relname) <= 63 AS fits, relname = original_name AS kept FROM dbperf.recycle_bin JOIN pg_class ON oid = partition
WHERE parent = 'n'::regclass ORDER BY upper_at;
SELECT t.masked(i.indexrelid::regclass::text) AS index FROM pg_index i JOIN dbperf.recycle_bin b ON b.partition = i.indrelid
WHERE b.original_name IN ('n_index', 'n_free') ORDER BY 1;
-- a partition that is in the archive schema already stays there, under its name
CREATE TABLE t_archive.n_there PARTITION OF n FOR VALUES FROM ('2026-08-01') TO ('2026-09-01');
SELECT * FROM cleanup('n');
-- another schema, which who names it makes for the owner of the table
ALTER TABLE n OWNER TO regress_dbperf_reader;
CREATE TABLE n_attic PARTITION OF n FOR VALUES FROM ('2026-09-01') TO ('2026-10-01');
ALTER TABLE n_attic OWNER TO regress_dbperf_reader;
GRANT ALL ON SCHEMA t TO regress_dbperf_reader;
SELECT dbperf.alter_policy('n', archive_schema => 'At tic');
SELECT * FROM cleanup('n');
SELECT nspname, pg_get_userbyid(nspowner) AS owner FROM pg_namespace WHERE nspname = 'At tic';
SELECT pg_get_userbyid(relowner) AS owner FROM pg_class WHERE oid = '"At tic".n_attic'::regclass;
-- a schema where the owner of the table may not make anything is none to move it to
CREATE SCHEMA attic;
CREATE TABLE n_stays PARTITION OF n FOR VALUES FROM ('2026-08-01') TO ('2026-09-01');
ALTER TABLE n_stays OWNER TO regress_dbperf_reader;
SELECT dbperf.alter_policy('n', archive_schema => 'attic', recycle_for => '0');
SELECT * FROM cleanup('n');
SELECT fails($$SELECT dbperf.detach_partition('n_stays')$$);
SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = 'n_stays'::regclass;
GRANT ALL ON SCHEMA attic TO regress_dbperf_reader;
SELECT * FROM cleanup('n');
SELECT status, reasons FROM dbperf.partition_health WHERE parent = 'n'::regclass;
SET client_min_messages = warning;
DROP SCHEMA attic, "At tic" CASCADE;
DROP OWNED BY regress_dbperf_reader, regress_dbperf_second, "regress_dbperf odd" CASCADE;
DROP ROLE regress_dbperf_reader, regress_dbperf_second, "regress_dbperf odd";
SELECT ok, reason FROM dbperf.verify_audit();
