-- The tables, their policies, and a partition for the month that the ticks are of.
\set QUIET on
SET client_min_messages = warning;
CREATE EXTENSION tradeassist_dbperf;
SELECT dbperf.create_market_schema('public') \g /dev/null
-- not at once, to see it as it is first
SELECT dbperf.alter_policy('market_data', compress_after => 'never') \g /dev/null
INSERT INTO instruments (id, symbol, name) VALUES
    (1, 'EURUSD', 'Euro'),
    (2, 'NZDUSD', 'New Zealand dollar'),
    (3, 'XAUUSD', 'Gold');
ALTER TABLE instruments ALTER id RESTART WITH 4;
\echo
\echo 'backfill: SELECT dbperf.create_partitions(''market_data'', ''2014-05-01'', ''2014-06-01'')'
SELECT dbperf.create_partitions('market_data', '2014-05-01', '2014-06-01');
