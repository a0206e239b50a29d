-- create_market_schema(): the tables that an application relies on.
BEGIN;
SELECT no_plan();
SET LOCAL dbperf.now_override = '2026-11-21 12:00:00+00';
SELECT lives_ok($$SELECT dbperf.create_market_schema('shop')$$);

SELECT tables_are('shop', ARRAY['instruments', 'alert_rules', 'market_data', 'alert_logs',
    'market_data_2026_11', 'market_data_2026_12', 'market_data_2027_01', 'alert_logs_2026_q4', 'alert_logs_2027_q1']);
SELECT is_partitioned('shop', t, t) FROM unnest('{market_data,alert_logs}'::name[]) t;
SELECT is_partition_of('shop', 'market_data_2026_12', 'shop', 'market_data');
SELECT is_partition_of('shop', 'alert_logs_2027_q1', 'shop', 'alert_logs');

SELECT columns_are('shop', 'market_data', ARRAY['id', 'timestamp', 'instrument_id', 'price', 'volume', 'bid', 'ask', 'bid_size',
    'ask_size', 'open_price', 'high_price', 'low_price', 'deleted_at', 'deleted_by', 'created_at', 'updated_at']);
SELECT col_type_is('shop', 'market_data', c, 'double precision', c)
FROM unnest('{price,bid,ask,open_price,high_price,low_price}'::name[]) c;
SELECT col_type_is('shop', 'market_data', c, 'bigint', c) FROM unnest('{id,volume}'::name[]) c;
SELECT col_type_is('shop', 'market_data', c, 'timestamp with time zone', c)
FROM unnest('{timestamp,deleted_at,created_at,updated_at}'::name[]) c;

SELECT columns_are('shop', 'alert_logs', ARRAY['id', 'timestamp', 'rule_id', 'instrument_id', 'trigger_value', 'threshold_value',
    'alert_message', 'fired_status', 'delivery_status', 'delivery_attempted_at', 'error_message', 'evaluation_time_ms',
    'deleted_at', 'deleted_by', 'created_at', 'updated_at']);
SELECT col_type_is('shop', 'alert_logs', c, 'double precision', c) FROM unnest('{trigger_value,threshold_value}'::name[]) c;

SELECT col_is_pk('shop', t, '{id,timestamp}'::name[], t) FROM unnest('{market_data,alert_logs}'::name[]) t;
SELECT indexes_are('shop', 'market_data', ARRAY['market_data_pkey', 'market_data_timestamp_instrument_id_idx',
    'market_data_instrument_id_price_idx', 'market_data_deleted_at_idx']);
SELECT indexes_are('shop', 'alert_logs', ARRAY['alert_logs_pkey', 'alert_logs_timestamp_idx', 'alert_logs_rule_id_timestamp_idx',
    'alert_logs_timestamp_instrument_id_idx', 'alert_logs_fired_status_delivery_status_idx',
    'alert_logs_deleted_at_idx']);
SELECT fk_ok('shop', 'market_data', 'instrument_id', 'shop', 'instruments', 'id');
SELECT fk_ok('shop', 'alert_logs', 'instrument_id', 'shop', 'instruments', 'id');
SELECT fk_ok('shop', 'alert_logs', 'rule_id', 'shop', 'alert_rules', 'id');
SELECT results_eq($$SELECT DISTINCT confdeltype::text FROM pg_constraint WHERE contype = 'f' AND connamespace = 'shop'::regnamespace$$,
                  $$VALUES ('r')$$, 'every foreign key restricts');
SELECT table_owner_is('shop', t, current_user, t) FROM unnest('{instruments,alert_rules,market_data,alert_logs}'::name[]) t;
SELECT is_empty($$SELECT d.objid::regclass FROM pg_depend d JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
                  WHERE d.deptype = 'e' AND c.relnamespace = 'shop'::regnamespace$$, 'no table belongs to the extension');
SELECT results_eq($$SELECT parent, partition_interval, premake FROM dbperf.policy ORDER BY premake$$,
    $$VALUES ('shop.alert_logs'::regclass, interval '3 months', 1), ('shop.market_data', '1 month', 2)$$, 'policies');
SELECT is_empty('SELECT parent FROM dbperf.policy WHERE num_nonnulls(detach_after, detach_step, drop_after, drop_step) > 0',
                'no data is ever given up unless somebody asks for it');
SELECT results_eq('SELECT DISTINCT status FROM dbperf.partition_health', $$VALUES ('ok')$$, 'both are healthy');

SELECT * FROM finish();
ROLLBACK;
