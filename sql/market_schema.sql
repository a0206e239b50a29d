--
-- create_market_schema(): the tables of a trading application, column for column
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
SELECT dbperf.create_market_schema('t');
-- columns
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
       a.attidentity AS ident, pg_get_expr(d.adbin, d.adrelid) AS default_value
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.oid IN ('instruments'::regclass, 'alert_rules'::regclass, 'market_data'::regclass, 'alert_logs'::regclass)
ORDER BY c.oid, a.attnum;
-- indexes, exactly these
SELECT tablename, indexdef FROM pg_indexes
WHERE schemaname = 't' AND tablename IN ('instruments', 'alert_rules', 'market_data', 'alert_logs')
ORDER BY tablename COLLATE "C", indexname COLLATE "C";
-- foreign keys
SELECT conrelid::regclass AS "table", pg_get_constraintdef(oid) COLLATE "C" AS foreign_key
FROM pg_constraint
WHERE contype = 'f' AND conrelid IN ('alert_rules'::regclass, 'market_data'::regclass, 'alert_logs'::regclass)
AND conparentid = 0
ORDER BY conrelid, 2;
-- partitions and their policies
SELECT parent, partition_interval, premake, time_zone FROM dbperf.policy ORDER BY parent::text COLLATE "C";
SELECT p.* FROM pg_partitioned_table, partitions(partrelid) p ORDER BY partrelid, bound;
-- no table is a member of the extension
SELECT count(*) AS members FROM pg_depend d JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
WHERE d.deptype = 'e' AND c.relnamespace = 't'::regnamespace;

-- keys are restricted
INSERT INTO instruments (symbol) VALUES ('ACME') RETURNING id, is_active;
INSERT INTO alert_rules (instrument_id, name) VALUES (1, 'up') RETURNING id;
INSERT INTO market_data ("timestamp", instrument_id, price, volume) VALUES ('2026-11-21 09:30:00+00', 1, 10.01, 300)
    RETURNING tableoid::regclass, id, price, deleted_at;
INSERT INTO alert_logs ("timestamp", rule_id, instrument_id, trigger_value) VALUES ('2026-12-31 23:59:59+00', 1, 1, 10.02)
    RETURNING tableoid::regclass, id, fired_status, delivery_status;
SELECT is_restricted('DELETE FROM instruments');
SELECT is_restricted('DELETE FROM alert_rules');
SELECT fails($$INSERT INTO market_data ("timestamp", instrument_id) VALUES ('2026-11-21', 2)$$);
SELECT fails($$INSERT INTO market_data ("timestamp", instrument_id) VALUES ('2026-11-21', NULL)$$);

-- once only, and nothing is left behind by a refusal
SELECT fails($$SELECT dbperf.create_market_schema('t')$$);
SELECT fails('SELECT dbperf.create_market_schema(NULL)');
SELECT fails($$SELECT dbperf.create_market_schema('')$$);
SELECT fails($$SELECT dbperf.create_market_schema('pg_mine')$$);
-- a schema that is not there is made, whatever its name; the caller owns what is in it
CREATE ROLE regress_dbperf_trader;
GRANT USAGE ON SCHEMA dbperf TO regress_dbperf_trader;
GRANT SELECT, INSERT ON dbperf.policy TO regress_dbperf_trader;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dbperf TO regress_dbperf_trader;
GRANT CREATE ON DATABASE :"DBNAME" TO regress_dbperf_trader;
SET ROLE regress_dbperf_trader;
SELECT dbperf.create_market_schema('My "Own" schéma');
RESET ROLE;
SELECT relname, relkind, relowner::regrole FROM pg_class
WHERE relnamespace = '"My ""Own"" schéma"'::regnamespace AND relkind IN ('r', 'p') ORDER BY relname COLLATE "C";
-- the two short cuts need to be told which table when there are several
SELECT fails($$SELECT dbperf.create_market_data_partition('2027-06-15')$$);
SELECT dbperf.create_market_data_partition('2027-06-15', 'market_data');
SELECT dbperf.create_market_data_partition(parent => 'market_data', at => '2027-06-01');
SELECT dbperf.create_alert_log_partition('2025-12-31 23:00:00-05', 'alert_logs');
DROP OWNED BY regress_dbperf_trader;
DROP ROLE regress_dbperf_trader;
SELECT dbperf.create_market_data_partition('2028-02-29');
SELECT dbperf.create_alert_log_partition('2028-02-29');
SELECT dbperf.unmanage('alert_logs');
SELECT fails($$SELECT dbperf.create_alert_log_partition('2028-02-29')$$);
SELECT ok, reason FROM dbperf.verify_audit();
