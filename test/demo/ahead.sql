-- More partitions ahead than there are: the worker is woken by this and makes them.
\echo
\echo 'more ahead: SELECT dbperf.alter_policy(''market_data'', premake => 6)'
SELECT dbperf.alter_policy('market_data', premake => 6) \g /dev/null
