--
-- The audit trail: partition_events is append-only and hash-chained
--

-- What is hashed must not depend on settings, nor on OIDs, which a restore changes.
CREATE FUNCTION dbperf.event_hash(prev bytea, e dbperf.partition_events)
RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT sha256(coalesce(prev, ''::bytea) || convert_to(jsonb_build_array(
        e.seq, e.event_id, (extract(epoch FROM e.at) * 1000000)::bigint, e.source, e.actor, e.action,
        e.parent, e.partition, e.lower_bound, e.upper_bound,
        e.ms_waited, e.ms_held, e.tries, e.message, e.detail)::text,
        -- bytes of no known encoding cannot be made UTF-8
        CASE WHEN getdatabaseencoding() = 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END))
$$;
COMMENT ON FUNCTION dbperf.event_hash(bytea, dbperf.partition_events) IS 'The hash that an event must have after one with hash prev';

-- Runs at the end of each transaction that wrote events, so that the chain follows the order of
-- commit, and so that a long transaction keeps nobody else from writing events until then.
CREATE FUNCTION dbperf.chain_event()
RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    head dbperf.audit_head;
    e    dbperf.partition_events;
BEGIN
    -- whoever may execute this could put it on a table of their own
    IF TG_RELID <> 'dbperf.partition_events'::regclass THEN
        RAISE EXCEPTION 'trigger function of dbperf.partition_events' USING ERRCODE = 'triggered_action_exception';
    END IF;
    -- the first of a transaction's events takes the others along; none from before, which somebody
    -- must have put there with this trigger disabled
    IF (SELECT p.seq FROM dbperf.partition_events p WHERE p.event_id = NEW.event_id) IS NOT NULL THEN
        RETURN NULL;
    END IF;
    SELECT * INTO head FROM dbperf.audit_head FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO dbperf.audit_head (seq) VALUES (0) ON CONFLICT DO NOTHING;
        SELECT * INTO STRICT head FROM dbperf.audit_head FOR UPDATE;
    END IF;
    FOR e IN
        SELECT * FROM dbperf.partition_events p
        WHERE p.seq IS NULL AND (p.event_id = NEW.event_id OR p.at >= now())
        ORDER BY p.event_id
    LOOP
        e.seq := head.seq + 1;
        e.prev_hash := head.hash;
        e.hash := dbperf.event_hash(e.prev_hash, e);
        UPDATE dbperf.partition_events
            SET seq = e.seq, prev_hash = e.prev_hash, hash = e.hash
            WHERE event_id = e.event_id;
        head.seq := e.seq;
        head.hash := e.hash;
    END LOOP;
    UPDATE dbperf.audit_head SET seq = head.seq, hash = head.hash;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION dbperf.chain_event() IS 'Trigger: puts the new events of a transaction at the end of the chain';

CREATE CONSTRAINT TRIGGER chain_event AFTER INSERT ON dbperf.partition_events
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.seq IS NULL) EXECUTE FUNCTION dbperf.chain_event();

-- While a dump is restored, its rows bring their numbers along, and the sequence is set only later:
-- a new row takes the next number that is free.
CREATE FUNCTION dbperf.number_row()
RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_TABLE_NAME = 'job_runs' THEN
        WHILE EXISTS (SELECT FROM dbperf.job_runs r WHERE r.run_id = NEW.run_id) LOOP
            NEW.run_id := nextval('dbperf.job_runs_run_id_seq');
        END LOOP;
    ELSE
        WHILE EXISTS (SELECT FROM dbperf.partition_events e WHERE e.event_id = NEW.event_id) LOOP
            NEW.event_id := nextval('dbperf.partition_events_event_id_seq');
        END LOOP;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION dbperf.number_row() IS 'Trigger: gives a run or an event a number that is free';

-- Runs that begin now look for a free number themselves; this is for those that a restore brings.
CREATE TRIGGER number_row BEFORE INSERT ON dbperf.job_runs
    FOR EACH ROW WHEN (NEW.started_at < now() OR NEW.pid IS DISTINCT FROM pg_backend_pid())
    EXECUTE FUNCTION dbperf.number_row();
CREATE TRIGGER number_row BEFORE INSERT ON dbperf.partition_events
    FOR EACH ROW WHEN (NEW.seq IS NULL) EXECUTE FUNCTION dbperf.number_row();

-- While the session that restored a policy is at work, the worker stays away: partitions of its own
-- would miss the indexes that are still to come, and its events would take the place of restored
-- ones. A session that has long been idle is somebody's psql.
CREATE FUNCTION dbperf.restore_in_progress()
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM dbperf.policy_state s
        CROSS JOIN LATERAL pg_stat_get_activity(s.restored_by) a
        WHERE s.restored_by IS NOT NULL AND a.backend_start = s.restorer_start
        AND NOT (a.state = 'idle' AND a.state_change < clock_timestamp() - interval '10 minutes'))
$$;
COMMENT ON FUNCTION dbperf.restore_in_progress() IS 'Whether a dump with policies is still being restored';

-- A session that loads data with session_replication_role = replica may well make partitions.
ALTER TABLE dbperf.job_runs ENABLE ALWAYS TRIGGER number_row;
ALTER TABLE dbperf.partition_events ENABLE ALWAYS TRIGGER number_row;
ALTER TABLE dbperf.partition_events ENABLE ALWAYS TRIGGER chain_event;

CREATE FUNCTION dbperf.refuse_change()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'dbperf.% is append-only', TG_TABLE_NAME
        USING ERRCODE = 'object_not_in_prerequisite_state',
              HINT = 'Events are the audit trail of partitions; they are never changed.';
END
$$;
COMMENT ON FUNCTION dbperf.refuse_change() IS 'Trigger: nothing in the audit trail is changed or removed';

CREATE TRIGGER refuse_update BEFORE UPDATE ON dbperf.partition_events
    FOR EACH ROW WHEN (OLD.seq IS NOT NULL) EXECUTE FUNCTION dbperf.refuse_change();
CREATE TRIGGER refuse_delete BEFORE DELETE ON dbperf.partition_events
    FOR EACH ROW EXECUTE FUNCTION dbperf.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON dbperf.partition_events
    FOR EACH STATEMENT EXECUTE FUNCTION dbperf.refuse_change();

CREATE FUNCTION dbperf.verify_audit(OUT ok boolean, OUT events bigint, OUT broken_event bigint, OUT reason text)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    e         dbperf.partition_events;
    last_seq  bigint := 0;
    last_hash bytea;
    head      dbperf.audit_head;
    link      record;
BEGIN
    -- events of this very transaction belong to the chain as well
    SET CONSTRAINTS dbperf.chain_event IMMEDIATE;
    SET CONSTRAINTS dbperf.chain_event DEFERRED;
    ok := true;
    events := 0;
    SELECT * INTO head FROM dbperf.audit_head;
    -- with the end of the chain as it was when these events were read: others may be adding to it
    FOR link IN
        SELECT v AS event, h AS head FROM dbperf.partition_events v LEFT JOIN dbperf.audit_head h ON true
        ORDER BY v.seq NULLS LAST, v.event_id
    LOOP
        e := link.event;
        head := link.head;
        events := events + 1;
        reason := CASE
            WHEN e.seq IS NULL THEN 'event was never chained'
            WHEN e.seq <> last_seq + 1 THEN format('%s event(s) before it are missing', e.seq - last_seq - 1)
            WHEN e.prev_hash IS DISTINCT FROM last_hash THEN 'event does not follow from the one before'
            WHEN e.hash IS DISTINCT FROM dbperf.event_hash(e.prev_hash, e) THEN 'event was changed'
        END;
        IF reason IS NOT NULL THEN
            ok := false;
            broken_event := e.event_id;
            RETURN;
        END IF;
        last_seq := e.seq;
        last_hash := e.hash;
    END LOOP;
    IF coalesce(head.seq, 0) <> last_seq OR head.hash IS DISTINCT FROM last_hash THEN
        ok := false;
        broken_event := (SELECT max(p.event_id) FROM dbperf.partition_events p WHERE p.seq = last_seq);
        reason := CASE
            WHEN head.seq > last_seq THEN format('%s event(s) after it are missing', head.seq - last_seq)
            ELSE 'the end of the chain (dbperf.audit_head) was changed'
        END;
    END IF;
END
$$;
COMMENT ON FUNCTION dbperf.verify_audit() IS 'Checks the hash chain of partition_events; names the first event where it breaks, and why';
