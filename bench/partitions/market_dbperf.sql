-- market_data as the extension makes it, with instruments to refer to.
SET client_min_messages = warning;
SELECT dbperf.create_market_schema();
SELECT dbperf.alter_policy('market_data', premake => 4);
SELECT dbperf.run_maintenance();
INSERT INTO instruments (symbol) SELECT 'S' || i FROM generate_series(1, 100) i;
INSERT INTO market_data ("timestamp", instrument_id) VALUES (now(), 1);
