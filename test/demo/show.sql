-- What there is to see.
\pset border 1
\pset linestyle ascii
\echo
\echo 'SELECT … FROM dbperf.partitions'
SELECT parent, partition, lower_bound, upper_bound, state, estimated_rows AS rows,
       pg_size_pretty(total_bytes) AS size, access_method AS am
FROM dbperf.partitions;
\echo 'SELECT … FROM dbperf.partition_health'
SELECT parent, status, array_to_string(reasons, E'\n') AS reasons, partitions, future_ready, runway, covered_until
FROM dbperf.partition_health;
\echo 'SELECT … FROM dbperf.job_runs WHERE source = ''worker'''
SELECT run_id, reason, status, parents_checked AS parents, partitions_created AS created,
       failures, ms_waited, ms_held, finished_at - started_at AS took
FROM dbperf.job_runs WHERE source = 'worker' ORDER BY run_id;
\x on
\echo 'SELECT * FROM dbperf.worker_status'
SELECT * FROM dbperf.worker_status;
