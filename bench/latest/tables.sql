-- market_data, without its foreign keys (they have no part in it), over the last 12 months. The least
-- frequent instruments have a tenth of the rows of the most frequent ones.
SET client_min_messages = warning;
CREATE EXTENSION tradeassist_dbperf;
CREATE EXTENSION pg_prewarm;
SELECT dbperf.create_market_schema();
DROP TABLE alert_logs, alert_rules;
ALTER TABLE market_data DROP CONSTRAINT market_data_instrument_id_fkey;
SELECT count(*) FROM dbperf.create_partitions('market_data', (now() - interval '1 year')::text, now()::text);
ALTER TABLE market_data DROP CONSTRAINT market_data_pkey;
DROP INDEX market_data_timestamp_instrument_id_idx, market_data_instrument_id_price_idx;
SELECT setseed(0.5);
INSERT INTO market_data (id, "timestamp", instrument_id, price, volume, bid, ask, bid_size, ask_size, deleted_at)
SELECT i, now() - interval '1 year' * (1 - i / :rows::float8), 1 + floor(:instruments * ((random() + random() ^ 2) / 2)),
    100 + random(), 100, 100 + random(), 101 + random(), 100, 100, CASE WHEN i % 50 = 0 THEN now() END
FROM generate_series(1, :rows) i;
ALTER TABLE market_data ADD PRIMARY KEY (id, "timestamp");
CREATE INDEX ON market_data ("timestamp", instrument_id);
CREATE INDEX ON market_data (instrument_id, price);
VACUUM ANALYZE;
CREATE TABLE answer AS SELECT * FROM dbperf.get_latest_market_data(ARRAY(SELECT generate_series(1, :instruments)));
VACUUM ANALYZE answer;
