--
-- Who may do what with a new partition: owner, privileges with their grantors, default privileges,
-- row security, replica identity
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_dbperf_owner, regress_dbperf_reader, regress_dbperf_writer, regress_dbperf_lender;
RESET client_min_messages;
CREATE ROLE regress_dbperf_owner NOLOGIN;
CREATE ROLE regress_dbperf_reader;
CREATE ROLE regress_dbperf_writer;
CREATE ROLE regress_dbperf_lender;
GRANT ALL ON SCHEMA t TO regress_dbperf_owner;
GRANT USAGE ON SCHEMA t TO regress_dbperf_reader, regress_dbperf_writer, regress_dbperf_lender;
SET ROLE regress_dbperf_owner;
-- default privileges must not show on a partition: they were not given to the parent
ALTER DEFAULT PRIVILEGES IN SCHEMA t GRANT ALL ON TABLES TO PUBLIC;
CREATE TABLE shared (k date NOT NULL, who name DEFAULT current_user, secret text, v int, PRIMARY KEY (k, v)) PARTITION BY RANGE (k);
REVOKE ALL ON shared FROM PUBLIC;
GRANT SELECT ON shared TO regress_dbperf_lender WITH GRANT OPTION;
GRANT INSERT, UPDATE (v) ON shared TO regress_dbperf_writer;
GRANT SELECT (k, who, v) ON shared TO regress_dbperf_writer;
GRANT SELECT (secret) ON shared TO regress_dbperf_lender WITH GRANT OPTION;
REVOKE TRUNCATE ON shared FROM regress_dbperf_owner;
SET ROLE regress_dbperf_lender;
GRANT SELECT ON shared TO regress_dbperf_reader;
GRANT SELECT (secret) ON shared TO regress_dbperf_writer;
SET ROLE regress_dbperf_owner;
ALTER TABLE shared ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON shared FOR SELECT USING (who = current_user);
CREATE POLICY "no ""future'" ON shared AS RESTRICTIVE FOR UPDATE TO regress_dbperf_writer, PUBLIC USING (true) WITH CHECK (k < '2027-01-01');
CREATE POLICY reads ON shared FOR SELECT TO regress_dbperf_reader USING (v IN (SELECT 1));
CREATE POLICY writes ON shared FOR INSERT TO regress_dbperf_writer WITH CHECK (v > 0);
ALTER TABLE shared REPLICA IDENTITY FULL;
RESET ROLE;
SELECT dbperf.manage('shared', '1 month', 0);
-- the same owner, and letter by letter the same privileges, on table and columns
SELECT relname, relowner::regrole, replace(relacl::text, 'arwdxtm', 'arwdxt') AS relacl, relrowsecurity, relforcerowsecurity, relreplident
FROM pg_class WHERE oid IN ('shared'::regclass, 'shared_2026_11'::regclass) ORDER BY relname;
SELECT attrelid::regclass, attname, attacl FROM pg_attribute
WHERE attrelid IN ('shared'::regclass, 'shared_2026_11'::regclass) AND attacl IS NOT NULL ORDER BY attname, attrelid;
SELECT polname, polcmd, polpermissive, polroles::regrole[], pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)
FROM pg_policy WHERE polrelid = 'shared_2026_11'::regclass ORDER BY polname COLLATE "C";
SELECT count(*) AS differing FROM
    (SELECT polname, polcmd, polpermissive, polroles, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid) FROM pg_policy WHERE polrelid = 'shared'::regclass) a
    FULL JOIN (SELECT polname, polcmd, polpermissive, polroles, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid) FROM pg_policy WHERE polrelid = 'shared_2026_11'::regclass) b
    USING (polname) WHERE a IS DISTINCT FROM b;
-- privileges depend on their roles: nobody can be dropped from under them
SELECT fails('DROP ROLE regress_dbperf_reader') LIMIT 1;
SELECT refobjid::regrole::text COLLATE "C" AS role, deptype, count(*) FROM pg_shdepend
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND objid = 'shared_2026_11'::regclass
GROUP BY 1, 2 ORDER BY 1, 2;
-- and they hold
SET ROLE regress_dbperf_writer;
INSERT INTO shared_2026_11 (k, v) VALUES ('2026-11-01', 1);
SELECT fails($$INSERT INTO shared_2026_11 (k, v) VALUES ('2026-11-01', -1)$$);
SELECT fails($$DELETE FROM shared_2026_11$$);
SELECT k, v FROM shared_2026_11;
SET ROLE regress_dbperf_reader;
SELECT k, who, v FROM shared_2026_11;
RESET ROLE;

-- no privileges on record; and an owner that gave up its own, and so cannot make partitions
SET ROLE regress_dbperf_owner;
CREATE TABLE bare (k date) PARTITION BY RANGE (k);
CREATE TABLE plain (k date) PARTITION BY RANGE (k);
REVOKE ALL ON plain FROM PUBLIC, regress_dbperf_owner;
RESET ROLE;
UPDATE pg_class SET relacl = NULL WHERE oid = 'bare'::regclass;
SELECT dbperf.manage('bare', '1 month', 0), dbperf.manage('plain', '1 month', 0);
SELECT relname, relacl FROM pg_class WHERE relname IN ('bare', 'bare_2026_11', 'plain', 'plain_2026_11') ORDER BY relname COLLATE "C";

-- the other replica identities; an index of its own for each partition
SET ROLE regress_dbperf_owner;
CREATE TABLE ri_nothing (k date) PARTITION BY RANGE (k);
ALTER TABLE ri_nothing REPLICA IDENTITY NOTHING;
CREATE TABLE ri_index (k date NOT NULL, "i I" int NOT NULL) PARTITION BY RANGE (k);
CREATE UNIQUE INDEX "ri index" ON ri_index ("i I", k);
CREATE UNIQUE INDEX another ON ri_index (k, "i I");
ALTER TABLE ri_index REPLICA IDENTITY USING INDEX "ri index";
RESET ROLE;
SELECT dbperf.manage('ri_nothing', '1 month', 0), dbperf.manage('ri_index', '1 month', 1);
SELECT relname, relreplident FROM pg_class WHERE relname LIKE 'ri%2026%' AND relkind = 'r' ORDER BY relname COLLATE "C";
SELECT indrelid::regclass, p.relname AS identity_is_of FROM pg_index JOIN pg_inherits ON inhrelid = indexrelid JOIN pg_class p ON p.oid = inhparent
WHERE indisreplident AND indrelid::regclass::text LIKE 'ri_index_%' ORDER BY 1;
-- the owner changes: new partitions follow
ALTER TABLE bare OWNER TO regress_dbperf_writer;
GRANT CREATE ON SCHEMA t TO regress_dbperf_writer;
SELECT dbperf.create_partition('bare', '2027-05-05');
SELECT relname, relowner::regrole, relacl FROM pg_class WHERE relname LIKE 'bare_20%' ORDER BY relname COLLATE "C";
-- an owner without the right to create tables here: an error that says so
REVOKE CREATE ON SCHEMA t FROM regress_dbperf_writer;
SELECT fails($$SELECT dbperf.create_partition('bare', '2027-06-06')$$);
DROP OWNED BY regress_dbperf_owner, regress_dbperf_reader, regress_dbperf_writer, regress_dbperf_lender CASCADE;
DROP ROLE regress_dbperf_owner, regress_dbperf_reader, regress_dbperf_writer, regress_dbperf_lender;
