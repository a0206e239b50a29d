--
-- Alerts: rules, what they find in the samples, and who is told
--
-- evaluate_alerts() compares the last sample with the rules, by one query, and writes only when
-- something changes. What is worth telling becomes a row of alert_events; the sampler sends those as
-- notifications, and has the functions called that users registered.
--

INSERT INTO dbperf.metric (name, unit, better, label, description) VALUES
    ('callback_failures', 'calls', 'lower', 'function', 'calls of a function for alerts that failed, in a row');

CREATE TABLE dbperf.alert_rules (
    name           text PRIMARY KEY,
    metric         text NOT NULL,
    comparison     text NOT NULL DEFAULT '>=',
    warn           double precision,
    critical       double precision,
    for_duration   interval NOT NULL DEFAULT '0',
    critical_for   interval,
    clear_at       double precision,
    cooldown       interval NOT NULL DEFAULT '5 minutes',
    enabled        boolean NOT NULL DEFAULT true,
    label          text,
    silenced_until timestamptz,
    description    text,
    built_in       boolean NOT NULL DEFAULT false,
    modified_at    timestamptz
);
COMMENT ON TABLE dbperf.alert_rules IS 'When to alert; every row is validated when it is written, and counts from the next sample on';
COMMENT ON COLUMN dbperf.alert_rules.metric IS 'one of dbperf.metric';
COMMENT ON COLUMN dbperf.alert_rules.comparison IS '>, >=, < or <=: of the value with warn and critical; changed: the value is not that of the sample before; baseline: warn and critical say how many times worse than usual at this hour of the week (see the view regressions)';
COMMENT ON COLUMN dbperf.alert_rules.warn IS 'where a warning begins; NULL: there is none';
COMMENT ON COLUMN dbperf.alert_rules.critical IS 'where it becomes critical; NULL: never';
COMMENT ON COLUMN dbperf.alert_rules.for_duration IS 'for how long that must last';
COMMENT ON COLUMN dbperf.alert_rules.critical_for IS 'for how long beyond critical; NULL: for_duration';
COMMENT ON COLUMN dbperf.alert_rules.clear_at IS 'an alert stays open until the value does not compare with this any more; critical becomes a warning at the same distance; NULL: warn, or else critical';
COMMENT ON COLUMN dbperf.alert_rules.cooldown IS 'an alert that comes back sooner is the same one again, and nobody is told twice within this time';
COMMENT ON COLUMN dbperf.alert_rules.label IS 'LIKE pattern of the labels (tables, pools ...) that the rule is for; NULL: all';
COMMENT ON COLUMN dbperf.alert_rules.silenced_until IS 'see silence_alert()';
COMMENT ON COLUMN dbperf.alert_rules.built_in IS 'came with the extension: it can be changed and disabled, but not removed';
COMMENT ON COLUMN dbperf.alert_rules.modified_at IS 'NULL: as the extension has it';

INSERT INTO dbperf.alert_rules (name, metric, comparison, warn, critical, for_duration, critical_for, clear_at, description, built_in)
SELECT r.*, true FROM (VALUES
    ('connections',          'connections_used_percent', '>=', 80::double precision, 90::double precision, interval '0', NULL::interval, 75::double precision, 'connections are running out'),
    ('pool_usage',           'pool_utilization_percent', '>=', 80, 90, '0', NULL, 75, 'a pool is running out of connections'),
    ('connections_waiting',  'connections_waiting', '>=', 1, 21, '1 minute', '0', NULL, 'sessions wait for locks'),
    ('acquire_time',         'pool_acquire_p95_ms', '>=', 5, 100, '0', NULL, 4, 'clients wait for connections of their pool'),
    ('slow_query',           'slow_queries', '>=', 1, 60, '0', NULL, NULL, 'statements took longer than dbperf.slow_query_threshold'),
    ('idle_in_transaction',  'idle_in_transaction_seconds', '>=', 300, 1800, '0', NULL, NULL, 'a transaction waits for its client, and keeps VACUUM from cleaning up'),
    ('insert_degradation',   'ingest_rows_per_second', 'baseline', 1.5, 3, '0', NULL, NULL, 'fewer rows come in than is usual at this hour of the week'),
    ('partition_runway',     'partition_runway_periods', '<', 1, 0.25, '0', NULL, NULL, 'inserts will soon find no partition'),
    ('partition_missing',    'partition_missing', '>=', 1, NULL, '10 minutes', NULL, NULL, 'partitions that should be ready are missing'),
    ('default_partition',    'partition_default_rows', '>=', 1, NULL, '0', NULL, NULL, 'rows are in the default partition'),
    ('partition_health',     'partition_status', '>=', 1, 2, '0', NULL, NULL, 'partition_health has reasons'),
    ('partition_status_change', 'partition_status', 'changed', NULL, NULL, '0', NULL, NULL, 'the status of a managed table has changed'),
    ('overdue_work',         'partition_overdue', '>=', 1, NULL, '0', NULL, NULL, 'work on partitions is overdue'),
    ('archive_space',        'disk_free_percent', '<', 15, 5, '0', NULL, 17, 'a disk is filling up'),
    ('worker_dead',          'worker_silent_seconds', '>=', 180, 600, '0', NULL, NULL, 'the background worker gives no sign of life'),
    ('xid_age',              'xid_age_percent', '>=', 80, 90, '0', NULL, 78, 'transaction ids are running out: VACUUM is needed'),
    ('notify_queue',         'notify_queue_percent', '>=', 50, 80, '0', NULL, 40, 'a session listens and does not read its notifications'),
    ('replication_lag',      'replication_lag_seconds', '>=', 30, 300, '0', NULL, 20, 'a standby is behind'),
    ('slot_retained',        'slot_retained_bytes', '>=', 10 * 1024.0 ^ 3, 50 * 1024.0 ^ 3, '0', NULL, 9 * 1024.0 ^ 3, 'a replication slot keeps much WAL'),
    ('callback_failing',     'callback_failures', '>=', 10, NULL, '0', NULL, 1, 'a function for alerts fails again and again, and is not called any more')
) r;

CREATE SEQUENCE dbperf.alerts_alert_id_seq;
CREATE TABLE dbperf.alerts (
    alert_id          bigint PRIMARY KEY DEFAULT nextval('dbperf.alerts_alert_id_seq'),
    rule              text NOT NULL,
    metric            text NOT NULL,
    label             text NOT NULL DEFAULT '',
    severity          text NOT NULL CHECK (severity IN ('warning', 'critical')),
    state             text NOT NULL CHECK (state IN ('open', 'acknowledged', 'silenced', 'closed')),
    value             double precision NOT NULL,
    threshold         double precision,
    message           text NOT NULL,
    opened_at         timestamptz NOT NULL,
    last_value        double precision NOT NULL,
    last_seen_at      timestamptz NOT NULL,
    missing_since     timestamptz,
    reopened          integer NOT NULL DEFAULT 0,
    acknowledged_at   timestamptz,
    acknowledged_by   text,
    note              text,
    closed_at         timestamptz,
    close_reason      text,
    notified_severity text,
    notified_at       timestamptz,
    critical_told_at  timestamptz,
    CHECK ((state = 'closed') = (closed_at IS NOT NULL))
) WITH (fillfactor = 70);
ALTER SEQUENCE dbperf.alerts_alert_id_seq OWNED BY dbperf.alerts.alert_id;
CREATE UNIQUE INDEX alerts_open_key ON dbperf.alerts (rule, label) WHERE state <> 'closed';
CREATE INDEX alerts_rule_label_idx ON dbperf.alerts (rule, label, closed_at);
CREATE INDEX alerts_closed_at_idx ON dbperf.alerts (closed_at);
COMMENT ON TABLE dbperf.alerts IS 'Alerts, at most one of each rule and label that is not closed; closed ones are kept for dbperf.alerts_retention';
COMMENT ON COLUMN dbperf.alerts.label IS 'table, pool, tablespace ... (see dbperf.metric); empty: the metric has one series';
COMMENT ON COLUMN dbperf.alerts.state IS 'open, acknowledged, silenced (with its rule), closed';
COMMENT ON COLUMN dbperf.alerts.value IS 'when it was opened, or took its present severity';
COMMENT ON COLUMN dbperf.alerts.threshold IS 'what that was compared with; of a rule of kind changed: the value before';
COMMENT ON COLUMN dbperf.alerts.last_value IS 'what it was at last_seen_at; while nothing but the value changes, noted once a minute';
COMMENT ON COLUMN dbperf.alerts.missing_since IS 'since when samples have no value for it; after three intervals the alert is closed';
COMMENT ON COLUMN dbperf.alerts.reopened IS 'how many times it was closed and came back within the cooldown';
COMMENT ON COLUMN dbperf.alerts.acknowledged_at IS 'NULL: not, or it has become critical since';
COMMENT ON COLUMN dbperf.alerts.notified_severity IS 'what listeners were last told; NULL: that it is closed, or nothing';
COMMENT ON COLUMN dbperf.alerts.critical_told_at IS 'when they were last told that it is critical: that need not wait for the cooldown of a mere warning';

-- Not dumped: it starts anew with the first sample.
CREATE TABLE dbperf.alert_pending (
    rule           text,
    label          text,
    metric         text NOT NULL,
    since          timestamptz NOT NULL,
    critical_since timestamptz,
    seen_at        timestamptz NOT NULL,
    value          double precision NOT NULL,
    PRIMARY KEY (rule, label)
) WITH (fillfactor = 50);
COMMENT ON TABLE dbperf.alert_pending IS 'What has lasted for some time, but not yet for as long as its rule says; and the last values of rules of kind changed';
COMMENT ON COLUMN dbperf.alert_pending.metric IS 'of the rule at that time: what another metric did does not count';
COMMENT ON COLUMN dbperf.alert_pending.seen_at IS 'last sample that it was seen in: after a gap, time counts from the beginning';

CREATE SEQUENCE dbperf.alert_events_event_id_seq;
CREATE TABLE dbperf.alert_events (
    event_id bigint PRIMARY KEY DEFAULT nextval('dbperf.alert_events_event_id_seq'),
    alert_id bigint NOT NULL,
    at       timestamptz NOT NULL,
    event    text NOT NULL,
    data     jsonb NOT NULL,
    seq      bigint UNIQUE
);
ALTER SEQUENCE dbperf.alert_events_event_id_seq OWNED BY dbperf.alert_events.event_id;
CREATE INDEX alert_events_alert_id_idx ON dbperf.alert_events (alert_id);
CREATE INDEX alert_events_unsent_idx ON dbperf.alert_events (event_id) WHERE seq IS NULL;
COMMENT ON TABLE dbperf.alert_events IS 'What listeners and callbacks are told of alerts; kept for dbperf.alerts_retention';
COMMENT ON COLUMN dbperf.alert_events.event IS 'opened, escalated, eased, changed, acknowledged, closed or reopened';
COMMENT ON COLUMN dbperf.alert_events.data IS 'the alert as it was then';
COMMENT ON COLUMN dbperf.alert_events.seq IS 'number of the notification; NULL: it has not been sent yet';

-- Each channel has numbers of its own, so that whoever listens to one can tell that something was missed.
CREATE SEQUENCE dbperf.performance_alert_seq;
CREATE SEQUENCE dbperf.database_performance_seq;
CREATE SEQUENCE dbperf.partition_status_seq;

CREATE TABLE dbperf.notified_partitions (
    parent     text PRIMARY KEY,
    status     double precision,
    partitions double precision
);
COMMENT ON TABLE dbperf.notified_partitions IS 'What listeners to partition_status were last told of each managed table';

-- By name: the number of a function survives neither a dump nor pg_upgrade, which refuses columns of
-- type regprocedure. With its owner, so that nobody else's function can take its place.
CREATE TABLE dbperf.alert_functions (
    schema_name   name,
    function_name name,
    owner         name NOT NULL,
    enabled       boolean NOT NULL DEFAULT true,
    calls         bigint NOT NULL DEFAULT 0,
    failures      integer NOT NULL DEFAULT 0,
    last_run_at   timestamptz,
    last_ms       double precision,
    last_error    text,
    last_error_at timestamptz,
    position      bigint NOT NULL,
    given         bigint,
    given_to      integer,
    PRIMARY KEY (schema_name, function_name)
);
COMMENT ON TABLE dbperf.alert_functions IS 'Functions that are called for alerts; see the view alert_callbacks';
COMMENT ON COLUMN dbperf.alert_functions.owner IS 'who owned the function when it was added';
COMMENT ON COLUMN dbperf.alert_functions.position IS 'seq of the last event that it was called for';
COMMENT ON COLUMN dbperf.alert_functions.given IS 'seq of the last event that it is being called for; NULL: it is not being called';
COMMENT ON COLUMN dbperf.alert_functions.given_to IS 'process of the sampler that is seeing to it';

CREATE VIEW dbperf.alert_callbacks AS
SELECT p.oid::regprocedure AS callback, f.owner, f.enabled, f.calls, f.failures, f.last_run_at, f.last_ms, f.last_error, f.last_error_at
FROM dbperf.alert_functions f
LEFT JOIN pg_namespace n ON n.nspname = f.schema_name
LEFT JOIN pg_proc p ON p.pronamespace = n.oid AND p.proname = f.function_name AND p.pronargs = 1 AND p.proargtypes[0] = 'jsonb'::regtype
    AND p.prokind = 'f';
COMMENT ON VIEW dbperf.alert_callbacks IS 'Functions that are called for alerts; see add_alert_callback()';
COMMENT ON COLUMN dbperf.alert_callbacks.callback IS 'NULL: the function is gone, and the row will be, too';
COMMENT ON COLUMN dbperf.alert_callbacks.owner IS 'the role that it is called as';
COMMENT ON COLUMN dbperf.alert_callbacks.enabled IS 'false: it failed ten times in a row, or has another owner now; add_alert_callback() enables it again';
COMMENT ON COLUMN dbperf.alert_callbacks.failures IS 'failures in a row';
COMMENT ON COLUMN dbperf.alert_callbacks.last_ms IS 'duration of the last call in milliseconds';

SELECT pg_catalog.pg_extension_config_dump('dbperf.alert_rules', 'WHERE modified_at IS NOT NULL');
SELECT pg_catalog.pg_extension_config_dump('dbperf.alerts', '');
SELECT pg_catalog.pg_extension_config_dump('dbperf.alerts_alert_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('dbperf.alert_events', '');
SELECT pg_catalog.pg_extension_config_dump('dbperf.alert_events_event_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('dbperf.performance_alert_seq', '');
SELECT pg_catalog.pg_extension_config_dump('dbperf.alert_functions', '');

-- A dump may be restored where there are alerts already: what is there stays. It may also set the
-- sequences back, so that new numbers are made with a look at those that there are.
CREATE FUNCTION dbperf.skip_known_alert()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known boolean;
BEGIN
    IF TG_TABLE_NAME = 'alerts' THEN
        known := EXISTS (SELECT FROM dbperf.alerts a WHERE a.alert_id = NEW.alert_id)
            OR NEW.state <> 'closed' AND EXISTS (
                SELECT FROM dbperf.alerts a WHERE a.rule = NEW.rule AND a.label = NEW.label AND a.state <> 'closed');
    ELSIF TG_TABLE_NAME = 'alert_events' THEN
        known := EXISTS (SELECT FROM dbperf.alert_events e WHERE e.event_id = NEW.event_id)
            OR EXISTS (SELECT FROM dbperf.alert_events e WHERE e.seq = NEW.seq);
    ELSE
        known := EXISTS (SELECT FROM dbperf.alert_functions f
                         WHERE f.schema_name = NEW.schema_name AND f.function_name = NEW.function_name);
    END IF;
    RETURN CASE WHEN NOT known THEN NEW END;
END
$$;
COMMENT ON FUNCTION dbperf.skip_known_alert() IS 'Trigger: leaves out rows of a dump that are there already';

CREATE TRIGGER skip_known_alert BEFORE INSERT ON dbperf.alerts FOR EACH ROW EXECUTE FUNCTION dbperf.skip_known_alert();
CREATE TRIGGER skip_known_alert BEFORE INSERT ON dbperf.alert_events FOR EACH ROW EXECUTE FUNCTION dbperf.skip_known_alert();
CREATE TRIGGER skip_known_alert BEFORE INSERT ON dbperf.alert_functions FOR EACH ROW EXECUTE FUNCTION dbperf.skip_known_alert();
ALTER TABLE dbperf.alerts ENABLE ALWAYS TRIGGER skip_known_alert;
ALTER TABLE dbperf.alert_events ENABLE ALWAYS TRIGGER skip_known_alert;
ALTER TABLE dbperf.alert_functions ENABLE ALWAYS TRIGGER skip_known_alert;

--
-- Rules
--

CREATE FUNCTION dbperf.check_alert_duration(what text, duration interval)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT isfinite(duration) OR duration < interval '0' OR duration > interval '366 days' THEN
        RAISE EXCEPTION '% of an alert rule must be from 0 to 366 days, not %', what, duration USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;
COMMENT ON FUNCTION dbperf.check_alert_duration(text, interval) IS 'Refuses a duration that an alert rule cannot have';

CREATE FUNCTION dbperf.check_alert_thresholds(r dbperf.alert_rules)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    sign   integer := CASE WHEN r.comparison IN ('<', '<=') THEN -1 ELSE 1 END;
    better text := CASE sign WHEN -1 THEN 'above' ELSE 'below' END;
    worse  text := CASE sign WHEN -1 THEN 'below' ELSE 'above' END;
    first  text := CASE WHEN r.warn IS NULL THEN 'critical' ELSE 'warn' END;
    t      record;
BEGIN
    FOR t IN SELECT * FROM (VALUES ('warn', r.warn), ('critical', r.critical), ('clear_at', r.clear_at)) v (name, value) WHERE v.value IS NOT NULL LOOP
        IF r.comparison = 'changed' THEN
            RAISE EXCEPTION 'an alert rule of kind "changed" cannot have %', t.name USING ERRCODE = 'invalid_parameter_value',
                HINT = 'It warns whenever the value is not that of the sample before.';
        ELSIF NOT t.value BETWEEN -1e100 AND 1e100 THEN
            RAISE EXCEPTION '% of an alert rule must be a number from -1e100 to 1e100, not %', t.name, t.value USING ERRCODE = 'invalid_parameter_value';
        ELSIF r.comparison = 'baseline' AND t.value < 1 THEN
            RAISE EXCEPTION '% of an alert rule of kind "baseline" must be at least 1, not %', t.name, t.value USING ERRCODE = 'invalid_parameter_value',
                HINT = 'It says how many times worse than usual, and less than 1.5 times is not told from chance.';
        END IF;
    END LOOP;
    IF r.comparison <> 'changed' AND r.warn IS NULL AND r.critical IS NULL THEN
        RAISE EXCEPTION 'an alert rule must have warn or critical' USING ERRCODE = 'invalid_parameter_value';
    ELSIF sign * r.critical < sign * r.warn THEN
        RAISE EXCEPTION 'with "%", critical must not be % warn: critical %, warn %', r.comparison, better, r.critical, r.warn USING ERRCODE = 'invalid_parameter_value';
    ELSIF sign * r.clear_at > sign * coalesce(r.warn, r.critical) THEN
        RAISE EXCEPTION 'with "%", clear_at must not be % %: clear_at %, % %', r.comparison, worse, first, r.clear_at, first,
            coalesce(r.warn, r.critical) USING ERRCODE = 'invalid_parameter_value',
            HINT = 'An alert is closed at clear_at: change both, or set clear_at to NULL.';
    END IF;
END
$$;
COMMENT ON FUNCTION dbperf.check_alert_thresholds(dbperf.alert_rules) IS 'Refuses thresholds that make no sense';

-- Errors: invalid_parameter_value, null_value_not_allowed, name_too_long.
CREATE FUNCTION dbperf.check_alert_rule(r dbperf.alert_rules)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m dbperf.metric;
BEGIN
    IF r.name IS NULL OR r.metric IS NULL OR r.comparison IS NULL OR r.for_duration IS NULL OR r.cooldown IS NULL OR r.enabled IS NULL THEN
        RAISE EXCEPTION 'name, metric, comparison, for_duration, cooldown and enabled of an alert rule must not be null' USING ERRCODE = 'null_value_not_allowed';
    ELSIF r.name = '' THEN
        RAISE EXCEPTION 'name of an alert rule must not be empty' USING ERRCODE = 'invalid_parameter_value';
    ELSIF octet_length(r.name) > 63 THEN
        RAISE EXCEPTION 'name of alert rule "%" is longer than 63 bytes', r.name USING ERRCODE = 'name_too_long';
    ELSIF r.comparison NOT IN ('>', '>=', '<', '<=', 'changed', 'baseline') THEN
        RAISE EXCEPTION 'comparison "%" of alert rule "%" does not exist', r.comparison, r.name USING ERRCODE = 'invalid_parameter_value',
            HINT = 'There are >, >=, <, <=, changed and baseline.';
    END IF;
    SELECT * INTO m FROM dbperf.metric c WHERE c.name = r.metric;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'metric "%" of alert rule "%" does not exist', r.metric, r.name USING ERRCODE = 'invalid_parameter_value',
            HINT = 'The table dbperf.metric has those that do.';
    ELSIF r.label IS NOT NULL AND m.label IS NULL THEN
        RAISE EXCEPTION 'metric "%" of alert rule "%" has no labels', r.metric, r.name USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Leave label of the rule NULL.';
    ELSIF r.label ~ '(^|[^\\])(\\\\)*\\$' THEN
        RAISE EXCEPTION 'label "%" of alert rule "%" ends in a backslash', r.label, r.name USING ERRCODE = 'invalid_parameter_value',
            HINT = 'It is a pattern of LIKE: write \\ for a backslash.';
    ELSIF r.comparison = 'baseline' AND m.better IS NULL THEN
        RAISE EXCEPTION 'neither high nor low values of metric "%" are worse', r.metric USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Rules of kind "baseline" are for metrics that have "better" in dbperf.metric.';
    ELSIF r.comparison = 'changed' AND (r.for_duration <> interval '0' OR r.critical_for IS NOT NULL) THEN
        RAISE EXCEPTION 'an alert rule of kind "changed" cannot have for_duration or critical_for' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM dbperf.check_alert_thresholds(r);
    PERFORM dbperf.check_alert_duration('for_duration', r.for_duration);
    PERFORM dbperf.check_alert_duration('critical_for', r.critical_for) WHERE r.critical_for IS NOT NULL;
    PERFORM dbperf.check_alert_duration('cooldown', r.cooldown);
END
$$;
COMMENT ON FUNCTION dbperf.check_alert_rule(dbperf.alert_rules) IS 'Refuses an alert rule that makes no sense';

-- A dump brings the rules that were changed, with the time of the change: such a row takes the place
-- of the one that is there.
CREATE FUNCTION dbperf.write_alert_rule()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    reason text;
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.built_in THEN
            RAISE EXCEPTION 'alert rule "%" came with the extension and cannot be removed', OLD.name
                USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Set enabled = false.';
        END IF;
        RETURN OLD;
    END IF;
    NEW.built_in := TG_OP = 'UPDATE' AND OLD.built_in;
    IF TG_OP = 'UPDATE' THEN
        IF OLD.built_in AND NEW.name IS DISTINCT FROM OLD.name THEN
            RAISE EXCEPTION 'alert rule "%" came with the extension and cannot be renamed', OLD.name
                USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Disable it, and insert a rule of your own.';
        END IF;
        PERFORM dbperf.check_alert_rule(NEW);
        IF NEW.modified_at IS NOT DISTINCT FROM OLD.modified_at THEN
            NEW.modified_at := now();
        END IF;
        RETURN NEW;
    ELSIF NEW.modified_at IS NULL THEN
        PERFORM dbperf.check_alert_rule(NEW);
        NEW.modified_at := now();
        RETURN NEW;
    END IF;
    BEGIN
        PERFORM dbperf.check_alert_rule(NEW);
    EXCEPTION WHEN data_exception OR name_too_long THEN
        -- one error would cost a restore all rules
        GET STACKED DIAGNOSTICS reason = MESSAGE_TEXT;
        RAISE WARNING 'alert rule "%" is left out: %', NEW.name, reason USING ERRCODE = 'invalid_parameter_value';
        RETURN NULL;
    END;
    UPDATE dbperf.alert_rules r
        SET (metric, comparison, warn, critical, for_duration, critical_for, clear_at, cooldown, enabled, label, silenced_until, description, modified_at)
            = (NEW.metric, NEW.comparison, NEW.warn, NEW.critical, NEW.for_duration, NEW.critical_for, NEW.clear_at, NEW.cooldown, NEW.enabled, NEW.label,
               NEW.silenced_until, NEW.description, NEW.modified_at)
        WHERE r.name = NEW.name;
    RETURN CASE WHEN NOT FOUND THEN NEW END;
END
$$;
COMMENT ON FUNCTION dbperf.write_alert_rule() IS 'Trigger: validates an alert rule';

CREATE TRIGGER write_alert_rule BEFORE INSERT OR UPDATE OR DELETE ON dbperf.alert_rules
    FOR EACH ROW EXECUTE FUNCTION dbperf.write_alert_rule();
ALTER TABLE dbperf.alert_rules ENABLE ALWAYS TRIGGER write_alert_rule;

--
-- Notifications and their shape
--

CREATE FUNCTION dbperf.notification(type text, seq bigint, at timestamptz, data jsonb)
RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
AS $$
    SELECT jsonb_build_object('version', 1, 'type', type, 'seq', seq, 'at', at, 'database', current_database(), 'data', data)
$$;
COMMENT ON FUNCTION dbperf.notification(text, bigint, timestamptz, jsonb) IS 'What all notifications have in common';

-- JSON has no infinity, and a number with hundreds of digits is worth no room.
CREATE FUNCTION dbperf.json_number(value double precision)
RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN value BETWEEN -1e18 AND 1e18 THEN to_jsonb(trim_scale(round(value::numeric, 6))) ELSE 'null' END;
COMMENT ON FUNCTION dbperf.json_number(double precision) IS 'A number as a notification has it; null: there is none, or it is out of reach';

-- Characters, not bytes, are counted: even where each becomes \u0001, a notification stays under 8000 bytes.
CREATE FUNCTION dbperf.alert_data(a dbperf.alerts, event text)
RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
AS $$
    SELECT jsonb_build_object('event', event, 'alert_id', a.alert_id, 'rule', a.rule, 'metric', a.metric, 'label', left(a.label, 250),
        'severity', a.severity, 'state', a.state, 'value', dbperf.json_number(a.value), 'threshold', dbperf.json_number(a.threshold),
        'last_value', dbperf.json_number(a.last_value), 'message', left(a.message, 600), 'opened_at', a.opened_at, 'reopened', a.reopened,
        'acknowledged_at', a.acknowledged_at, 'acknowledged_by', a.acknowledged_by, 'closed_at', a.closed_at, 'close_reason', a.close_reason,
        'truncated', length(a.label) > 250 OR length(a.message) > 600)
$$;
COMMENT ON FUNCTION dbperf.alert_data(dbperf.alerts, text) IS 'What a notification says of an alert';

CREATE FUNCTION dbperf.add_alert_event(a dbperf.alerts, event text, at timestamptz)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO dbperf.alert_events (event_id, alert_id, at, event, data)
        VALUES (greatest(nextval('dbperf.alert_events_event_id_seq'), 1 + (SELECT max(e.event_id) FROM dbperf.alert_events e)),
                a.alert_id, at, event, dbperf.alert_data(a, event))
$$;
COMMENT ON FUNCTION dbperf.add_alert_event(dbperf.alerts, text, timestamptz) IS 'Puts something about an alert among what is to be told';

CREATE FUNCTION dbperf.figure(value double precision, unit text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN value IS NULL OR NOT value BETWEEN -1e18 AND 1e18 THEN coalesce(value::text, 'none')
        WHEN unit = 'bytes' THEN pg_size_pretty(value::bigint)
        WHEN unit = 'bytes/s' THEN pg_size_pretty(value::bigint) || '/s'
        ELSE trim_scale(round(value::numeric, CASE WHEN abs(value) < 10 THEN 2 WHEN abs(value) < 1000 THEN 1 ELSE 0 END))
             || CASE WHEN unit IN ('%', 's', 'ms') THEN ' ' || unit WHEN unit = '1/s' THEN ' per second' ELSE '' END END
$$;
COMMENT ON FUNCTION dbperf.figure(double precision, text) IS 'A value with its unit, as people read it';

CREATE FUNCTION dbperf.alert_message(metric text, label text, value double precision, comparison text, severity text, threshold double precision)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT metric || CASE WHEN label <> '' THEN ' of ' || label ELSE '' END || CASE comparison
        WHEN 'changed' THEN format(' changed from %s to %s', dbperf.figure(threshold, m.unit), dbperf.figure(value, m.unit))
        WHEN 'baseline' THEN format(' is %s times worse than usual at this hour of the week (%s: %s)',
                                    dbperf.figure(value, ''), severity, dbperf.figure(threshold, ''))
        ELSE format(' is %s (%s: %s %s)', dbperf.figure(value, m.unit), severity, comparison, dbperf.figure(threshold, m.unit)) END
    FROM (SELECT coalesce((SELECT c.unit FROM dbperf.metric c WHERE c.name = metric), '')) m (unit)
$$;
COMMENT ON FUNCTION dbperf.alert_message(text, text, double precision, text, text, double precision) IS 'What an alert says of itself';

--
-- Evaluation
--

CREATE FUNCTION dbperf.sample_period()
RETURNS interval
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN coalesce(nullif(dbperf.sampling_seconds(), 0), 10) * interval '1 second';
END
$$;
COMMENT ON FUNCTION dbperf.sample_period() IS 'Time between two samples; where none are taken by themselves, what it is by default';
GRANT EXECUTE ON FUNCTION dbperf.sample_period() TO pg_monitor;

-- Each rule against each series that it is for, with what there is already: the alert that is open,
-- and what is pending. Levels are 0 none, 1 warning, 2 critical. A clock that was set back makes no
-- cooldown longer, and counts as a gap. OFFSET 0 keeps the planner from writing out an expression
-- anew wherever it is mentioned, thousands of times in all.
CREATE VIEW dbperf.alert_judgements AS
WITH t AS MATERIALIZED (
    -- partitions are looked at once a minute, and less often where that takes long
    SELECT c.now, p.period, greatest(3 * p.period, interval '3 minutes', 3 * s.slow_ms / 5 * interval '1 second') AS gap
    FROM (SELECT dbperf.clock()) c (now), dbperf.sample_period() p (period), (SELECT max(x.slow_ms) FROM dbperf.sampler_state x) s (slow_ms)
), m AS MATERIALIZED (
    -- an index has no room for a longer label
    SELECT l.metric, l.label, l.value, l.at FROM dbperf.latest_metrics() l
    WHERE l.value <> 'NaN' AND octet_length(l.label) <= 1000
    UNION ALL
    SELECT 'callback_failures', format('%I.%I', f.schema_name, f.function_name), f.failures, t.now FROM dbperf.alert_functions f, t
), w AS (
    SELECT r.name, r.metric, r.comparison, m.label, m.value, m.at, true AS worse, true AS steady
    FROM dbperf.alert_rules r
    JOIN m ON m.metric = r.metric AND (r.label IS NULL OR m.label LIKE r.label)
    WHERE r.enabled AND r.comparison <> 'baseline'
    UNION ALL
    SELECT r.name, r.metric, r.comparison, d.label, d.ratio, t.now, d.windows > 0, d.windows >= 3
    FROM t, dbperf.alert_rules r
    CROSS JOIN LATERAL dbperf.baseline_deviations(r.metric) d
    WHERE r.enabled AND r.comparison = 'baseline' AND (r.label IS NULL OR d.label LIKE r.label)
        AND d.ratio <> 'NaN' AND octet_length(d.label) <= 1000
)
SELECT i.rule, i.label, r.metric, r.comparison, w.value, w.at, l.level, n.level AS new_level, c.level AS old_level,
       CASE WHEN r.comparison = 'changed' THEN p.value WHEN n.level = 2 THEN r.critical
            WHEN c.level = 2 THEN coalesce(r.clear_at, r.warn) ELSE r.warn END AS threshold,
       a.alert_id, o.action, o.close_reason, o.state, o.notice, r.cooldown, q.quiet, t.now,
       CASE WHEN NOT k.keep AND p.rule IS NOT NULL THEN 'remove'
            WHEN k.keep AND (p.rule IS NULL OR CASE WHEN r.comparison = 'changed' THEN p.value <> w.value ELSE p.seen_at <> w.at END) THEN 'write'
            END AS pending,
       CASE WHEN r.comparison = 'changed' THEN w.at ELSE s.since END AS since,
       CASE WHEN l.level = 2 THEN s.critical_since END AS critical_since
FROM w
FULL JOIN (SELECT * FROM dbperf.alerts x WHERE x.state <> 'closed') a ON a.rule = w.name AND a.label = w.label
FULL JOIN (SELECT * FROM dbperf.alert_pending x
           WHERE NOT EXISTS (SELECT FROM dbperf.alert_rules y WHERE y.name = x.rule AND y.metric <> x.metric)) p ON p.rule = coalesce(w.name, a.rule) AND p.label = coalesce(w.label, a.label)
CROSS JOIN LATERAL (SELECT coalesce(w.name, a.rule, p.rule) AS rule, coalesce(w.label, a.label, p.label) AS label) i
LEFT JOIN dbperf.alert_rules r ON r.name = i.rule
CROSS JOIN t
CROSS JOIN LATERAL (
    SELECT CASE a.severity WHEN 'critical' THEN 2 WHEN 'warning' THEN 1 ELSE 0 END AS level,
           CASE a.notified_severity WHEN 'critical' THEN 2 WHEN 'warning' THEN 1 ELSE 0 END AS told) c
-- easing: where critical becomes a warning
CROSS JOIN LATERAL (
    SELECT CASE WHEN r.comparison IN ('<', '<=') THEN -1 ELSE 1 END AS sign,
           r.comparison NOT IN ('<', '>') AS equal) f
CROSS JOIN LATERAL (
    SELECT w.worse AND coalesce(f.sign * w.value > f.sign * x.critical OR f.equal AND w.value = x.critical, false) AS critical,
           w.worse AND coalesce(f.sign * w.value > f.sign * x.easing OR f.equal AND w.value = x.easing, false) AS easing,
           w.worse AND coalesce(f.sign * w.value > f.sign * x.warn OR f.equal AND w.value = x.warn, false) AS warn,
           w.worse AND coalesce(f.sign * w.value > f.sign * x.clear OR f.equal AND w.value = x.clear, false) AS clear
    FROM (SELECT r.critical, r.warn, coalesce(r.clear_at, r.warn, r.critical) AS clear,
                 CASE WHEN r.warn IS NULL THEN coalesce(r.clear_at, r.critical)
                      ELSE r.critical - (r.warn - coalesce(r.clear_at, r.warn)) END AS easing) x
    OFFSET 0) b
CROSS JOIN LATERAL (
    SELECT CASE WHEN w.name IS NULL THEN 0
                WHEN r.comparison = 'changed' THEN CASE WHEN p.value <> w.value THEN 1 ELSE 0 END
                WHEN NOT w.steady THEN 0 WHEN b.critical THEN 2 WHEN b.warn THEN 1 ELSE 0 END AS level) l
-- since when, if the samples were without a gap
CROSS JOIN LATERAL (
    SELECT CASE WHEN x.unbroken THEN least(p.since, w.at) ELSE w.at END AS since,
           CASE WHEN x.unbroken THEN least(p.critical_since, w.at) ELSE w.at END AS critical_since
    FROM (SELECT p.seen_at BETWEEN w.at - t.gap AND w.at AS unbroken) x) s
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN w.name IS NULL THEN NULL
        WHEN r.comparison = 'changed' THEN
            CASE WHEN l.level = 1 OR c.level = 1 AND t.now BETWEEN p.since AND p.since + r.cooldown THEN 1 ELSE 0 END
        WHEN l.level = 2 AND s.critical_since + coalesce(r.critical_for, r.for_duration) <= w.at OR c.level = 2 AND b.easing THEN 2
        WHEN c.level > 0 THEN CASE WHEN b.clear AND (r.warn IS NOT NULL OR c.level = 1) THEN 1 ELSE 0 END
        WHEN l.level > 0 AND r.warn IS NOT NULL AND s.since + r.for_duration <= w.at THEN 1
        ELSE 0 END AS level
    OFFSET 0) n
CROSS JOIN LATERAL (
    SELECT w.name IS NOT NULL AND (r.comparison = 'changed' OR l.level > n.level) AS keep) k
CROSS JOIN LATERAL (
    SELECT coalesce(r.silenced_until > t.now, false) AS quiet,
           NOT coalesce(t.now >= a.notified_at AND t.now < a.notified_at + r.cooldown, false)
           OR n.level = 2 AND NOT coalesce(t.now >= a.critical_told_at AND t.now < a.critical_told_at + r.cooldown, false) AS cool) q
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN a.alert_id IS NULL THEN NULL
        WHEN r.name IS NULL THEN 'the rule was removed'
        WHEN NOT r.enabled THEN 'the rule was disabled'
        WHEN r.metric <> a.metric THEN 'the rule is for another metric now'
        WHEN w.name IS NULL THEN CASE WHEN a.missing_since + 3 * t.period <= t.now THEN 'there are no more values' END
        WHEN n.level = 0 THEN CASE WHEN r.comparison = 'changed' THEN 'no further change' ELSE 'back to normal' END END AS close_reason,
        CASE WHEN a.state = 'acknowledged' AND n.level <= c.level THEN 'acknowledged' WHEN q.quiet THEN 'silenced' ELSE 'open' END AS state,
        CASE WHEN a.alert_id IS NULL OR q.quiet OR n.level = 0 THEN NULL
             WHEN c.told = 0 THEN CASE WHEN a.notified_at IS NULL THEN 'opened' WHEN q.cool THEN 'reopened' END
             WHEN n.level > c.told THEN 'escalated'
             WHEN n.level < c.told AND q.cool THEN 'eased'
             WHEN r.comparison = 'changed' AND l.level = 1 AND q.cool THEN 'changed' END AS notice) x
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN a.alert_id IS NULL THEN CASE WHEN n.level > 0 THEN 'open' END
        WHEN x.close_reason IS NOT NULL THEN 'close'
        WHEN w.name IS NULL THEN CASE WHEN coalesce(a.missing_since > t.now, true) THEN 'miss' END
        WHEN n.level <> c.level OR r.comparison = 'changed' AND l.level = 1 THEN 'change'
        WHEN x.state <> a.state OR x.notice IS NOT NULL OR a.missing_since IS NOT NULL
            OR a.last_value <> w.value AND NOT t.now BETWEEN a.last_seen_at AND a.last_seen_at + interval '59 seconds' THEN 'note'
        END AS action, x.close_reason, x.state, x.notice) o;
COMMENT ON VIEW dbperf.alert_judgements IS 'Every enabled rule against every series that it is for, as the next evaluate_alerts() will see it; levels: 0 none, 1 warning, 2 critical';
COMMENT ON COLUMN dbperf.alert_judgements.level IS 'by this value alone';
COMMENT ON COLUMN dbperf.alert_judgements.new_level IS 'with what came before: durations, and where alerts are cleared; NULL: there is no value';
COMMENT ON COLUMN dbperf.alert_judgements.old_level IS 'of the alert that is open';
COMMENT ON COLUMN dbperf.alert_judgements.action IS 'what becomes of the alert: open, change, note, miss, close; NULL: nothing';
COMMENT ON COLUMN dbperf.alert_judgements.notice IS 'what is told of an alert that is open; NULL: nothing';

CREATE FUNCTION dbperf.open_alert(j dbperf.alert_judgements)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    a    dbperf.alerts;
    old  dbperf.alerts;
    told boolean;
BEGIN
    SELECT * INTO old FROM dbperf.alerts x
        WHERE x.rule = j.rule AND x.label = j.label AND x.metric = j.metric AND x.state = 'closed'
            AND x.closed_at <= j.now AND x.closed_at + j.cooldown > j.now
        ORDER BY x.closed_at DESC, x.alert_id DESC LIMIT 1 FOR UPDATE SKIP LOCKED;
    a := old;
    a.severity := CASE j.new_level WHEN 2 THEN 'critical' ELSE 'warning' END;
    a.state := CASE WHEN old.acknowledged_at IS NOT NULL AND old.severity IN (a.severity, 'critical') THEN 'acknowledged'
                    WHEN j.quiet THEN 'silenced' ELSE 'open' END;
    a.acknowledged_at := CASE a.state WHEN 'acknowledged' THEN old.acknowledged_at END;
    a.value := j.value;
    a.threshold := j.threshold;
    a.message := dbperf.alert_message(j.metric, j.label, j.value, j.comparison, a.severity, j.threshold);
    a.last_value := j.value;
    a.last_seen_at := j.at;
    told := NOT j.quiet AND (
        coalesce(old.notified_at + j.cooldown <= j.now OR old.notified_at > j.now, true)
        OR j.new_level = 2 AND coalesce(old.critical_told_at + j.cooldown <= j.now OR old.critical_told_at > j.now, true));
    IF told THEN
        a.notified_severity := a.severity;
        a.notified_at := j.now;
        a.critical_told_at := CASE j.new_level WHEN 2 THEN j.now ELSE old.critical_told_at END;
    END IF;
    IF old.alert_id IS NULL THEN
        a.rule := j.rule;
        a.metric := j.metric;
        a.label := j.label;
        a.opened_at := j.now;
        a.reopened := 0;
        a.alert_id := greatest(nextval('dbperf.alerts_alert_id_seq'), 1 + (SELECT max(x.alert_id) FROM dbperf.alerts x));
        INSERT INTO dbperf.alerts SELECT a.*;
    ELSE
        UPDATE dbperf.alerts x
            SET (severity, state, value, threshold, message, last_value, last_seen_at, acknowledged_at, notified_severity, notified_at,
                 critical_told_at, reopened, closed_at, close_reason)
                = (a.severity, a.state, a.value, a.threshold, a.message, a.last_value, a.last_seen_at, a.acknowledged_at, a.notified_severity, a.notified_at,
                   a.critical_told_at, x.reopened + 1, NULL, NULL)
            WHERE x.alert_id = old.alert_id RETURNING * INTO a;
    END IF;
    IF told THEN
        PERFORM dbperf.add_alert_event(a, CASE WHEN old.notified_at IS NULL THEN 'opened' ELSE 'reopened' END, j.now);
    END IF;
END
$$;
COMMENT ON FUNCTION dbperf.open_alert(dbperf.alert_judgements) IS 'Opens an alert, or again the one that was closed less than the cooldown ago';

-- A row that somebody is just acknowledging is left for the next time: the sampler waits for nobody.
CREATE FUNCTION dbperf.change_alert(j dbperf.alert_judgements)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    a    dbperf.alerts;
    told text;
BEGIN
    SELECT * INTO a FROM dbperf.alerts x WHERE x.alert_id = j.alert_id AND x.state <> 'closed' FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF j.action = 'close' THEN
        told := CASE WHEN a.notified_severity IS NOT NULL THEN 'closed' END;
        UPDATE dbperf.alerts x
            SET state = 'closed', closed_at = j.now, close_reason = j.close_reason, missing_since = NULL,
                last_value = coalesce(j.value, x.last_value), last_seen_at = coalesce(j.at, x.last_seen_at),
                notified_severity = NULL, notified_at = CASE WHEN told IS NULL THEN x.notified_at ELSE j.now END
            WHERE x.alert_id = a.alert_id RETURNING * INTO a;
    ELSIF j.action = 'miss' THEN
        UPDATE dbperf.alerts x SET missing_since = j.now WHERE x.alert_id = a.alert_id;
    ELSE
        told := j.notice;
        a.severity := CASE j.new_level WHEN 2 THEN 'critical' ELSE 'warning' END;
        IF j.action = 'change' THEN
            a.value := j.value;
            a.threshold := j.threshold;
            a.message := dbperf.alert_message(j.metric, j.label, j.value, j.comparison, a.severity, j.threshold);
        END IF;
        -- it may have been acknowledged since it was judged
        IF a.state <> 'acknowledged' OR j.new_level > j.old_level THEN
            a.state := j.state;
            a.acknowledged_at := NULL;
        END IF;
        IF told IS NOT NULL THEN
            a.notified_severity := a.severity;
            a.notified_at := j.now;
            a.critical_told_at := CASE j.new_level WHEN 2 THEN j.now ELSE a.critical_told_at END;
        END IF;
        UPDATE dbperf.alerts x
            SET (severity, state, value, threshold, message, last_value, last_seen_at, missing_since, acknowledged_at,
                 notified_severity, notified_at, critical_told_at)
                = (a.severity, a.state, a.value, a.threshold, a.message, j.value, j.at, NULL, a.acknowledged_at,
                   a.notified_severity, a.notified_at, a.critical_told_at)
            WHERE x.alert_id = a.alert_id RETURNING * INTO a;
    END IF;
    IF told IS NOT NULL THEN
        PERFORM dbperf.add_alert_event(a, told, j.now);
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION dbperf.change_alert(dbperf.alert_judgements) IS 'Does to an open alert what alert_judgements says; false: somebody else has it';

CREATE FUNCTION dbperf.keep_alert_pending(j dbperf.alert_judgements)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF j.pending = 'remove' THEN
        DELETE FROM dbperf.alert_pending p WHERE p.rule = j.rule AND p.label = j.label;
    ELSE
        INSERT INTO dbperf.alert_pending AS p VALUES (j.rule, j.label, j.metric, j.since, j.critical_since, j.at, j.value)
        ON CONFLICT (rule, label) DO UPDATE
            SET (metric, since, critical_since, seen_at, value) = (excluded.metric, excluded.since, excluded.critical_since, excluded.seen_at, excluded.value);
    END IF;
END
$$;
COMMENT ON FUNCTION dbperf.keep_alert_pending(dbperf.alert_judgements) IS 'Notes, or forgets, what may become an alert';

CREATE FUNCTION dbperf.evaluate_alerts()
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    j       dbperf.alert_judgements;
    changes integer := 0;
BEGIN
    -- one at a time, who samples included; what is left undone is done after the next sample
    PERFORM FROM dbperf.sampler_state FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    FOR j IN
        SELECT * FROM dbperf.alert_judgements v WHERE v.action IS NOT NULL OR v.pending IS NOT NULL
        ORDER BY v.rule COLLATE "C", v.label COLLATE "C"
    LOOP
        IF j.pending IS NOT NULL THEN
            PERFORM dbperf.keep_alert_pending(j);
        END IF;
        IF j.action = 'open' THEN
            PERFORM dbperf.open_alert(j);
            changes := changes + 1;
        ELSIF j.action IS NOT NULL THEN
            changes := changes + dbperf.change_alert(j)::integer;
        END IF;
    END LOOP;
    RETURN changes;
END
$$;
COMMENT ON FUNCTION dbperf.evaluate_alerts() IS 'Opens, changes and closes alerts by the last sample; returns how many it changed';

--
-- What people do with alerts
--

-- Errors: null_value_not_allowed, undefined_object, object_not_in_prerequisite_state.
CREATE FUNCTION dbperf.acknowledge_alert(alert_id bigint, note text DEFAULT NULL)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    a dbperf.alerts;
BEGIN
    IF acknowledge_alert.alert_id IS NULL THEN
        RAISE EXCEPTION 'alert_id must not be null' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    SELECT * INTO a FROM dbperf.alerts x WHERE x.alert_id = acknowledge_alert.alert_id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'alert % does not exist', acknowledge_alert.alert_id
            USING ERRCODE = 'undefined_object', HINT = 'The table dbperf.alerts has those that do.';
    ELSIF a.state = 'closed' THEN
        RAISE EXCEPTION 'alert % is closed: %', a.alert_id, a.close_reason USING ERRCODE = 'object_not_in_prerequisite_state';
    ELSIF a.state = 'acknowledged' THEN
        RETURN false;
    END IF;
    UPDATE dbperf.alerts x
        SET state = 'acknowledged', acknowledged_at = dbperf.clock(), acknowledged_by = session_user, note = acknowledge_alert.note
        WHERE x.alert_id = a.alert_id RETURNING * INTO a;
    -- nobody is told of what nobody was told of
    IF a.notified_severity IS NOT NULL THEN
        PERFORM dbperf.add_alert_event(a, 'acknowledged', a.acknowledged_at);
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION dbperf.acknowledge_alert(bigint, text) IS 'Says that somebody looks after an alert; it is open again if it becomes critical after that; false: it was acknowledged before, and nothing changes';

-- Errors: null_value_not_allowed, undefined_object.
CREATE FUNCTION dbperf.silence_alert(rule text, until timestamptz)
RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    now    timestamptz := dbperf.clock();
    quiet  boolean := coalesce(until > now, false);
    silent integer;
BEGIN
    IF silence_alert.rule IS NULL THEN
        RAISE EXCEPTION 'rule must not be null' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    UPDATE dbperf.alert_rules r SET silenced_until = CASE WHEN quiet THEN until END WHERE r.name = silence_alert.rule;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'alert rule "%" does not exist', silence_alert.rule
            USING ERRCODE = 'undefined_object', HINT = 'The table dbperf.alert_rules has those that do.';
    END IF;
    UPDATE dbperf.alerts a SET state = CASE WHEN quiet THEN 'silenced' ELSE 'open' END
        WHERE a.rule = silence_alert.rule AND a.state = CASE WHEN quiet THEN 'open' ELSE 'silenced' END;
    GET DIAGNOSTICS silent = ROW_COUNT;
    RETURN silent;
END
$$;
COMMENT ON FUNCTION dbperf.silence_alert(text, timestamptz) IS 'Has nobody told of the alerts of a rule until then (infinity: until further notice; NULL or a time that is past: from now on they are again); returns how many open alerts changed their state';

CREATE FUNCTION dbperf.prune_alerts()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- has the library loaded, and its settings with it
    now       timestamptz := dbperf.clock();
    retention interval := current_setting('dbperf.alerts_retention')::interval;
    oldest    timestamptz := now - retention;
    removed   bigint;
BEGIN
    -- a clock that has jumped removes nothing
    IF retention = interval '0' OR dbperf.clock_reason('dbperf.metric_sample'::regclass) IS NOT NULL THEN
        RETURN 0;
    END IF;
    DELETE FROM dbperf.alerts a WHERE a.closed_at < oldest AND a.state = 'closed';
    GET DIAGNOSTICS removed = ROW_COUNT;
    DELETE FROM dbperf.alert_events e WHERE e.at < oldest;
    RETURN removed;
END
$$;
COMMENT ON FUNCTION dbperf.prune_alerts() IS 'Removes alerts that were closed longer than dbperf.alerts_retention ago; returns how many';

--
-- Notifications
--

-- As many entries as there is room for, from the front.
CREATE FUNCTION dbperf.fitting(entries jsonb, room integer)
RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(jsonb_agg(x.e ORDER BY x.n) FILTER (WHERE x.used <= room), '[]')
    FROM (SELECT v.e, v.n, sum(octet_length(v.e::text) + 2) OVER (ORDER BY v.n) AS used
          FROM jsonb_array_elements(entries) WITH ORDINALITY v (e, n)) x
$$;
COMMENT ON FUNCTION dbperf.fitting(jsonb, integer) IS 'The first entries of a list, as many as fit into so many bytes';

-- Series with labels: the most telling metrics, the largest values of each first (of free space: the least).
CREATE FUNCTION dbperf.performance_data()
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
AS $$
DECLARE
    figures jsonb;
    series  jsonb;
    list    jsonb;
    fits    jsonb;
    data    jsonb;
BEGIN
    WITH l AS MATERIALIZED (
        SELECT m.metric, m.label, m.value FROM dbperf.latest_metrics() m WHERE m.value BETWEEN -1e18 AND 1e18)
    SELECT (SELECT jsonb_object_agg(l.metric, dbperf.json_number(l.value)) FROM l WHERE l.label = ''),
           (SELECT jsonb_agg(jsonb_build_object('metric', x.metric, 'label', left(x.label, 100), 'value', dbperf.json_number(x.value))
                             ORDER BY x.place, x.metric, x.label COLLATE "C")
            FROM (SELECT l.metric, l.label, l.value,
                         row_number() OVER (PARTITION BY l.metric ORDER BY CASE l.metric WHEN 'disk_free_percent' THEN -l.value ELSE l.value END DESC,
                                                                           l.label COLLATE "C") AS place
                  FROM l
                  WHERE l.metric IN ('disk_free_percent', 'insert_rows_per_second', 'pool_acquire_p95_ms', 'pool_utilization_percent', 'pool_waiting',
                                     'query_p50_ms', 'query_p95_ms', 'query_p99_ms', 'replication_lag_seconds')) x
            WHERE x.place <= 20)
        INTO figures, list;
    SELECT jsonb_build_object('sample_at', s.at, 'interval_s', dbperf.json_number(s.interval_s), 'duration_ms', dbperf.json_number(s.duration_ms),
                              'metrics', coalesce(figures, '{}'), 'series', '[]'::jsonb, 'truncated', false)
        || (SELECT jsonb_build_object('alerts', jsonb_build_object('warning', count(*) FILTER (WHERE a.severity = 'warning'),
                                                                   'critical', count(*) FILTER (WHERE a.severity = 'critical')))
            FROM dbperf.alerts a WHERE a.state <> 'closed')
        INTO data FROM dbperf.sampler_state s WHERE s.at IS NOT NULL;
    fits := dbperf.fitting(coalesce(list, '[]'), 7400 - octet_length(data::text));
    RETURN data || jsonb_build_object('series', fits, 'truncated', jsonb_array_length(fits) < jsonb_array_length(coalesce(list, '[]')));
END
$$;
COMMENT ON FUNCTION dbperf.performance_data() IS 'What the channel database_performance says of the last sample; NULL: there is none';

-- Only what fits is noted as told: the rest comes with the next sample.
CREATE FUNCTION dbperf.partition_changes()
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    changes jsonb;
    fits    jsonb;
BEGIN
    WITH l AS (
        SELECT left(m.label, 300) AS label,
               min(m.value) FILTER (WHERE m.metric = 'partition_status') AS status,
               min(m.value) FILTER (WHERE m.metric = 'partition_count') AS partitions,
               min(m.value) FILTER (WHERE m.metric = 'partition_missing') AS missing,
               min(m.value) FILTER (WHERE m.metric = 'partition_runway_periods') AS runway,
               min(m.value) FILTER (WHERE m.metric = 'partition_overdue') AS overdue
        FROM dbperf.latest_metrics() m
        WHERE m.metric IN ('partition_status', 'partition_count', 'partition_missing', 'partition_runway_periods', 'partition_overdue')
        GROUP BY 1)
    SELECT jsonb_agg(jsonb_build_object('table', x.label, 'change', x.change, 'status', x.status, 'partitions', x.partitions, 'missing', x.missing,
                                        'runway_periods', x.runway, 'overdue', x.overdue, 'was_status', x.was_status, 'was_partitions', x.was_partitions)
                     ORDER BY x.place DESC, x.label COLLATE "C")
        INTO changes
        FROM (
            SELECT coalesce(l.label, n.parent) AS label, l.status AS place,
                   CASE WHEN n.parent IS NULL THEN 'added' WHEN l.label IS NULL THEN 'removed' ELSE 'changed' END AS change,
                   (ARRAY['ok', 'warning', 'critical'])[l.status::integer + 1] AS status, (ARRAY['ok', 'warning', 'critical'])[n.status::integer + 1] AS was_status,
                   dbperf.json_number(l.partitions) AS partitions, dbperf.json_number(n.partitions) AS was_partitions,
                   dbperf.json_number(l.missing) AS missing, dbperf.json_number(l.runway) AS runway, dbperf.json_number(l.overdue) AS overdue
            FROM l FULL JOIN dbperf.notified_partitions n ON n.parent = l.label
            WHERE (n.status, n.partitions) IS DISTINCT FROM (l.status, l.partitions)) x
        -- before the first look at partitions, no table is known to be gone
        WHERE EXISTS (SELECT FROM dbperf.sampler_state s WHERE s.slow_at IS NOT NULL);
    IF changes IS NULL THEN
        RETURN NULL;
    END IF;
    fits := dbperf.fitting(changes, 7000);
    DELETE FROM dbperf.notified_partitions n USING jsonb_array_elements(fits) e WHERE n.parent = e ->> 'table' AND e ->> 'change' = 'removed';
    INSERT INTO dbperf.notified_partitions AS n
        SELECT e ->> 'table', array_position(ARRAY['ok', 'warning', 'critical'], e ->> 'status') - 1, (e ->> 'partitions')::double precision
        FROM jsonb_array_elements(fits) e WHERE e ->> 'change' <> 'removed'
        ON CONFLICT (parent) DO UPDATE SET status = excluded.status, partitions = excluded.partitions;
    RETURN jsonb_build_object('tables', fits, 'changed', jsonb_array_length(changes), 'truncated', jsonb_array_length(fits) < jsonb_array_length(changes));
END
$$;
COMMENT ON FUNCTION dbperf.partition_changes() IS 'Managed tables whose status or number of partitions is not what the channel partition_status was last told, and notes that it was; NULL: there are none';

CREATE FUNCTION dbperf.pending_notifications()
RETURNS TABLE (channel text, payload text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    now  timestamptz := dbperf.clock();
    data jsonb;
    e    dbperf.alert_events;
BEGIN
    PERFORM FROM dbperf.sampler_state FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- numbered in the order in which they are sent, which callbacks go by: an event with a lower
    -- event_id may well commit later
    FOR e IN SELECT * FROM dbperf.alert_events x WHERE x.seq IS NULL ORDER BY x.event_id LIMIT 100 LOOP
        UPDATE dbperf.alert_events x SET seq = greatest(nextval('dbperf.performance_alert_seq'), 1 + (SELECT max(y.seq) FROM dbperf.alert_events y))
            WHERE x.event_id = e.event_id RETURNING x.seq INTO e.seq;
        channel := 'performance_alert';
        payload := dbperf.notification(channel, e.seq, e.at, e.data);
        RETURN NEXT;
    END LOOP;
    data := dbperf.partition_changes();
    IF data IS NOT NULL THEN
        channel := 'partition_status';
        payload := dbperf.notification(channel, nextval('dbperf.partition_status_seq'), now, data);
        RETURN NEXT;
    END IF;
    data := dbperf.performance_data();
    IF data IS NOT NULL THEN
        channel := 'database_performance';
        payload := dbperf.notification(channel, nextval('dbperf.database_performance_seq'), now, data);
        RETURN NEXT;
    END IF;
END
$$;
COMMENT ON FUNCTION dbperf.pending_notifications() IS 'What has not been told yet, as notifications, each once; the caller sends them';

--
-- Functions of users that are called for alerts
--

CREATE FUNCTION dbperf.add_alert_callback(callback regprocedure)
RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dbperf_add_alert_callback';
COMMENT ON FUNCTION dbperf.add_alert_callback(regprocedure) IS 'Has a function with one jsonb argument called for each alert from now on, with what the channel performance_alert is told, as its owner and in a transaction of its own; the caller must own it; enables it again if it was disabled';

CREATE FUNCTION dbperf.remove_alert_callback(callback regprocedure)
RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dbperf_remove_alert_callback';
COMMENT ON FUNCTION dbperf.remove_alert_callback(regprocedure) IS 'Has a function no longer called for alerts; false: it was not';

CREATE FUNCTION dbperf.alert_function_owner(f dbperf.alert_functions, OUT callback oid, OUT owner oid)
RETURNS SETOF record
LANGUAGE sql STABLE ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.oid, p.proowner
    FROM pg_namespace n
    JOIN pg_proc p ON p.pronamespace = n.oid AND p.proname = f.function_name AND p.pronargs = 1 AND p.proargtypes[0] = 'jsonb'::regtype
    WHERE n.nspname = f.schema_name AND p.prokind = 'f'
$$;
COMMENT ON FUNCTION dbperf.alert_function_owner(dbperf.alert_functions) IS 'The function by that name, and its owner; no row: it is gone';

-- A call that is lost, with the server or with the sampler, is not made again: it may well have been
-- the cause.
CREATE FUNCTION dbperf.next_callbacks()
RETURNS TABLE (callback oid, owner oid, event_id bigint, payload jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM dbperf.alert_functions) THEN
        RETURN;
    END IF;
    DELETE FROM dbperf.alert_functions f
        WHERE NOT EXISTS (SELECT FROM dbperf.alert_function_owner(f));
    UPDATE dbperf.alert_functions f
        SET enabled = false, last_error_at = dbperf.clock(),
            last_error = format('the function is owned by %I now, and was added by %I', pg_get_userbyid(o.owner), f.owner)
        FROM dbperf.alert_functions g CROSS JOIN LATERAL dbperf.alert_function_owner(g) o
        WHERE (f.schema_name, f.function_name) = (g.schema_name, g.function_name)
            AND f.enabled AND pg_get_userbyid(o.owner) <> f.owner;
    UPDATE dbperf.alert_functions f
        SET position = greatest(f.position, f.given), given = NULL, given_to = NULL, failures = f.failures + 1, enabled = f.enabled AND f.failures < 9,
            last_error = 'the server or its sampler ended while the function was being called', last_error_at = dbperf.clock()
        WHERE f.given_to <> pg_backend_pid();
    FOR callback, owner, event_id, payload IN
        WITH due AS (
            SELECT o.callback, o.owner, x.event_id, x.at, x.data, x.seq
            FROM dbperf.alert_functions f
            CROSS JOIN LATERAL dbperf.alert_function_owner(f) o
            CROSS JOIN LATERAL (
                SELECT * FROM dbperf.alert_events e WHERE e.seq > f.position ORDER BY e.seq LIMIT 16) x
            WHERE f.enabled
        )
        SELECT d.callback, d.owner, d.event_id, dbperf.notification('performance_alert', d.seq, d.at, d.data)
        FROM due d
        -- those of one owner share a process
        WHERE d.owner = (SELECT b.owner FROM due b ORDER BY b.seq, b.callback LIMIT 1)
        ORDER BY d.seq, d.callback LIMIT 16
    LOOP
        UPDATE dbperf.alert_functions f
            SET given = (SELECT e.seq FROM dbperf.alert_events e WHERE e.event_id = next_callbacks.event_id), given_to = pg_backend_pid()
            FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
            WHERE p.oid = next_callbacks.callback AND (f.schema_name, f.function_name) = (n.nspname, p.proname);
        -- a function that brings the server down must not be called again after that
        PERFORM set_config('synchronous_commit', 'local', true);
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION dbperf.next_callbacks() IS 'Calls that are to be made, of functions of one owner; the caller makes them and says so with callback_done()';

CREATE FUNCTION dbperf.callback_done(callback oid, event_id bigint, error text, ms double precision)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    done bigint := (SELECT e.seq FROM dbperf.alert_events e WHERE e.event_id = callback_done.event_id);
BEGIN
    UPDATE dbperf.alert_functions f
        SET position = greatest(f.position, done),
            given = CASE WHEN f.given > done THEN f.given END,
            given_to = CASE WHEN f.given > done THEN f.given_to END,
            calls = f.calls + 1,
            failures = CASE WHEN error IS NULL THEN 0 ELSE f.failures + 1 END,
            enabled = f.enabled AND (error IS NULL OR f.failures < 9),
            last_run_at = dbperf.clock(),
            last_ms = ms,
            last_error = coalesce(left(error, 1000), f.last_error),
            last_error_at = CASE WHEN error IS NULL THEN f.last_error_at ELSE dbperf.clock() END
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE p.oid = callback_done.callback AND (f.schema_name, f.function_name) = (n.nspname, p.proname);
END
$$;
COMMENT ON FUNCTION dbperf.callback_done(oid, bigint, text, double precision) IS 'What became of a call; after ten failures in a row the function is not called any more, and rule callback_failing alerts';
