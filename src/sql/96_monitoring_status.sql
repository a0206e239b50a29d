--
-- Whether samples are taken, and what to do if not
--

GRANT EXECUTE ON FUNCTION dbperf.sampling_seconds() TO pg_monitor;

-- Here, after 95_sampler.sql, because it shows both the samples and the process that takes them.
CREATE VIEW dbperf.monitoring_status AS
    SELECT c.seconds > 0 AS enabled,
           make_interval(secs => nullif(c.seconds, 0)) AS sample_interval,
           p.state = 'running' AS running,
           p.state,
           p.pid,
           p.started_at,
           s.at AS last_sample_at,
           dbperf.clock() - s.at AS last_sample_age,
           s.source AS last_sample_source,
           s.duration_ms AS last_sample_ms,
           s.samples,
           s.errors,
           coalesce(p.last_error, s.error) AS last_error,
           s.settled_at,
           CASE
               WHEN c.seconds = 0 THEN 'no samples are taken: use start_monitoring(), or set dbperf.sample_interval'
               WHEN p.state = 'not preloaded' THEN 'add tradeassist_dbperf to shared_preload_libraries and restart the server; collect_health_metrics() takes a sample'
               WHEN pg_is_in_recovery() THEN 'this is a standby: the samples are those of the primary'
               WHEN p.state <> 'running' AND w.reason IS NOT NULL THEN w.reason
               WHEN p.state <> 'running' THEN 'the sampler does not run: see last_error, the server log, and max_worker_processes'
               WHEN s.settled_at IS NULL THEN 'samples are not kept yet: a dump may still be being restored; start_monitoring() says that none is'
               WHEN coalesce(p.last_error, s.error) IS NOT NULL THEN 'something went wrong: see last_error'
           END AS reason
    FROM (SELECT dbperf.sampling_seconds() AS seconds) c
    CROSS JOIN dbperf.sampler_process() p
    CROSS JOIN dbperf.worker_state() w
    LEFT JOIN dbperf.sampler_state s ON true;
COMMENT ON VIEW dbperf.monitoring_status IS 'One row: whether samples of this database are taken, the last one, and what to do if something is amiss';
COMMENT ON COLUMN dbperf.monitoring_status.enabled IS 'whether samples are to be taken; see start_monitoring()';
COMMENT ON COLUMN dbperf.monitoring_status.running IS 'whether a process takes them';
COMMENT ON COLUMN dbperf.monitoring_status.last_sample_source IS 'sampler, or manual: collect_health_metrics()';
COMMENT ON COLUMN dbperf.monitoring_status.last_sample_ms IS 'how long it took to take the sample and to keep it';
COMMENT ON COLUMN dbperf.monitoring_status.errors IS 'samples of which a part was missing, or that could not be kept';
COMMENT ON COLUMN dbperf.monitoring_status.settled_at IS 'since when samples are kept; NULL: they are not';
COMMENT ON COLUMN dbperf.monitoring_status.reason IS 'what is amiss, and what to do; NULL: all is well';
GRANT SELECT ON dbperf.monitoring_status TO pg_monitor;
