-- For tests of alerts: samples written by hand, at times of a fixed clock. Rules of the extension
-- are off, so that a test says itself what is to happen.
UPDATE dbperf.alert_rules SET enabled = false;

-- A sample at a time of the day, and what the rules make of it: how many alerts changed. The values
-- are by metric; or by label, for a metric with labels.
CREATE FUNCTION t.sample(clock text, metrics jsonb) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('dbperf.now_override', CASE WHEN clock LIKE '2%-%' THEN clock ELSE '2026-11-21 ' || clock || '+00' END, false);
    UPDATE dbperf.sampler_state
        SET at = dbperf.clock(), interval_s = 10, duration_ms = 1.5,
            "values" = (SELECT coalesce(jsonb_agg(jsonb_build_array(m.key, coalesce(l.key, ''), CASE WHEN l.key IS NULL THEN m.value ELSE l.value END)), '[]')
                        FROM jsonb_each(metrics) m
                        LEFT JOIN LATERAL jsonb_each(CASE jsonb_typeof(m.value) WHEN 'object' THEN m.value ELSE '{}' END) l ON true);
    RETURN dbperf.evaluate_alerts();
END
$$;

-- One metric without labels, and what became of its rule's only alert.
CREATE FUNCTION t.cpu(clock text, value float8) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    changes integer := t.sample(clock, CASE WHEN value IS NULL THEN '{}' ELSE jsonb_build_object('cpu_percent', value) END);
BEGIN
    RETURN concat_ws(' ', 'changes ' || changes, (SELECT concat_ws(' ', 'alert ' || a.alert_id, a.severity, a.state, a.close_reason, 'x' || nullif(a.reopened, 0))
        FROM dbperf.alerts a ORDER BY a.alert_id DESC LIMIT 1));
END
$$;

-- What is waiting to be told.
CREATE FUNCTION t.told() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', to_char(e.at, 'HH24:MI:SS'), 'alert', e.alert_id, e.event, e.data ->> 'severity', e.data ->> 'state')
    FROM dbperf.alert_events e WHERE e.seq IS NULL ORDER BY e.event_id
$$;
CREATE FUNCTION t.tell() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT t.told();
    UPDATE dbperf.alert_events SET seq = nextval('dbperf.performance_alert_seq') WHERE seq IS NULL;
END
$$;
