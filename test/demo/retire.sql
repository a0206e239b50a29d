-- A partition leaves, and comes back.
\pset border 1
\pset linestyle ascii
\x off
\echo
\echo 'SELECT dbperf.detach_partition(''market_data_2014_05'')'
SELECT dbperf.detach_partition('market_data_2014_05');
SELECT (SELECT count(*) FROM market_data) AS rows_in_market_data, partition, state, lower_bound, upper_bound
FROM dbperf.recycle_bin;
\echo 'SELECT dbperf.attach_partition(''public_archive.market_data_2014_05'')'
SELECT dbperf.attach_partition('public_archive.market_data_2014_05');
SELECT count(*) AS rows_in_market_data FROM market_data;
\echo 'SELECT … FROM dbperf.partition_events'
SELECT event_id, action, partition, ms_waited, ms_held, tries FROM dbperf.partition_events
WHERE partition LIKE '%market_data_2014_05' ORDER BY event_id;
