-- The same tables under pg_partman.
SET client_min_messages = warning;
SELECT dbperf.create_market_schema();
SELECT dbperf.unmanage('market_data'), dbperf.unmanage('alert_logs');
SELECT format('DROP TABLE %s', inhrelid::regclass) FROM pg_inherits WHERE inhparent = 'market_data'::regclass \gexec
SELECT partman.create_parent('public.market_data', 'timestamp', 'native', '1 month', p_premake := 4,
                             p_start_partition := date_trunc('month', now())::text);
DROP TABLE market_data_default;
UPDATE partman.part_config SET ignore_default_data = true;
INSERT INTO instruments (symbol) SELECT 'S' || i FROM generate_series(1, 100) i;
INSERT INTO market_data ("timestamp", instrument_id) VALUES (now(), 1);
