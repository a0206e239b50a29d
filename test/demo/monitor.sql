-- What the server knows of itself, with a sample taken now.
\pset border 1
\pset linestyle ascii
\pset expanded off
\echo 'SELECT … FROM dbperf.collect_health_metrics()'
SELECT metric, label, round(value::numeric, 2) AS value, unit
FROM dbperf.collect_health_metrics()
WHERE metric IN ('connections_used_percent', 'cache_hit_percent', 'query_p95_ms', 'partition_runway_periods',
                 'disk_free_percent', 'memory_used_percent')
ORDER BY metric, label;
\echo 'SELECT … FROM dbperf.health_database()'
SELECT h ->> 'status' AS status, jsonb_pretty(h -> 'connections') AS connections FROM dbperf.health_database() h;
SELECT c ->> 'name' AS check, c ->> 'value' AS value, c ->> 'warn' AS warn, c ->> 'critical' AS critical, c ->> 'severity' AS severity
FROM dbperf.health_database() h CROSS JOIN jsonb_array_elements(h -> 'checks') c;
\echo 'SELECT … FROM dbperf.query_stats'
SELECT kind, calls, rows, errors, round(p50_ms::numeric, 3) AS p50_ms, round(p95_ms::numeric, 3) AS p95_ms, round(p99_ms::numeric, 3) AS p99_ms
FROM dbperf.query_stats
WHERE database = current_database() AND relation IS NULL AND window_minutes = 15 AND calls > 0
ORDER BY kind;
\echo 'SELECT … FROM dbperf.pool_status'
SELECT pool, total, active, idle, base_size, max_overflow, utilization_percent, status FROM dbperf.pool_status;
\echo 'SELECT … FROM dbperf.validate_configuration() WHERE NOT ok'
SELECT setting, current_value, recommended, severity FROM dbperf.validate_configuration() WHERE NOT ok;
\echo 'SELECT … FROM dbperf.alerts'
SELECT rule, label, severity, state, message FROM dbperf.alerts;
