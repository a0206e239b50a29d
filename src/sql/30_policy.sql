--
-- Policies: validation, manage(), alter_policy(), unmanage()
--

-- What a policy needs to know of a table's partition key; says no with a reason.
CREATE FUNCTION dbperf.partition_key(parent regclass, OUT column_name name, OUT key_type regtype)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c pg_class;
    t pg_partitioned_table;
BEGIN
    SELECT * INTO c FROM pg_class WHERE oid = partition_key.parent;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'relation with OID % does not exist', partition_key.parent::oid USING ERRCODE = 'undefined_table';
    END IF;
    IF c.relkind <> 'p' THEN
        RAISE EXCEPTION '"%" is not a partitioned table', c.relname
            USING ERRCODE = 'wrong_object_type',
                  HINT = 'A policy belongs to a table made with PARTITION BY RANGE.';
    END IF;
    IF c.relpersistence = 't' THEN
        RAISE EXCEPTION 'temporary table "%" cannot be managed', c.relname
            USING ERRCODE = 'feature_not_supported',
                  HINT = 'Other sessions, such as the worker''s, cannot see it.';
    END IF;
    SELECT * INTO STRICT t FROM pg_partitioned_table WHERE partrelid = c.oid;
    IF t.partstrat <> 'r' THEN
        RAISE EXCEPTION 'table "%" is not partitioned by RANGE', c.relname
            USING ERRCODE = 'feature_not_supported',
                  HINT = 'Only tables with PARTITION BY RANGE can be managed.';
    END IF;
    IF t.partnatts <> 1 OR t.partexprs IS NOT NULL THEN
        RAISE EXCEPTION 'partition key of table "%" is not one plain column', c.relname
            USING ERRCODE = 'feature_not_supported',
                  DETAIL = format('It is %s.', pg_get_partkeydef(c.oid)),
                  HINT = 'Only tables with PARTITION BY RANGE on one column can be managed.';
    END IF;
    SELECT a.attname, a.atttypid INTO STRICT column_name, key_type
        FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = t.partattrs[0];
    IF key_type NOT IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype, 'integer'::regtype, 'bigint'::regtype) THEN
        RAISE EXCEPTION 'partition key "%" of table "%" is of type %', column_name, c.relname, key_type
            USING ERRCODE = 'feature_not_supported',
                  HINT = 'Keys of type timestamptz, timestamp, date, integer and bigint can be managed.';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_opclass o WHERE o.oid = t.partclass[0] AND o.opcdefault AND o.oid < 16384) THEN
        RAISE EXCEPTION 'partition key "%" of table "%" has an operator class of its own', column_name, c.relname
            USING ERRCODE = 'feature_not_supported',
                  HINT = 'Only keys in the default order of their type can be managed.';
    END IF;
END
$$;
COMMENT ON FUNCTION dbperf.partition_key(regclass) IS 'The partition key of a table that can be managed; an error says why another cannot';

CREATE FUNCTION dbperf.check_naming_pattern(pattern text)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rest text := regexp_replace(pattern, '\{(table|(from|to)(:[^{}]+)?)\}', '', 'g');
    len  integer;
BEGIN
    IF rest ~ '[{}]' THEN
        RAISE EXCEPTION 'naming pattern "%" has braces that are not understood', pattern
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Use {table}, {from}, {to}, {from:FORMAT} and {to:FORMAT}, with a FORMAT of to_char().';
    END IF;
    IF pattern !~ '\{(from|to)(:[^{}]+)?\}' THEN
        RAISE EXCEPTION 'naming pattern "%" would give every partition the same name', pattern
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Use {from} or {to} in it.';
    END IF;
    -- the longest date there is, in English; {table} can be shortened to its hash
    SELECT octet_length(rest) + CASE WHEN pattern ~ '\{table\}' THEN 10 ELSE 0 END + coalesce(sum(
            CASE WHEN f[1] IS NULL THEN 1 ELSE octet_length(to_char(timestamp '2026-09-30 23:59:59', f[1])) END), 0)
        INTO len
        FROM regexp_matches(pattern, '\{(?:from|to)(?::([^{}]+))?\}', 'g') f;
    IF len > 63 THEN
        RAISE EXCEPTION 'naming pattern "%" makes names of more than 63 bytes', pattern
            USING ERRCODE = 'name_too_long';
    END IF;
    IF len = 0 THEN
        RAISE EXCEPTION 'naming pattern "%" makes empty names', pattern
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;
COMMENT ON FUNCTION dbperf.check_naming_pattern(text) IS 'Raises an error unless new partitions can be named by this pattern';

-- An interval that a grid can be made of: forwards in all its parts, whole seconds, and for dates
-- whole days.
CREATE FUNCTION dbperf.check_interval(len interval, key_type regtype)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    months  integer;
    days    integer;
    seconds numeric;
BEGIN
    IF NOT isfinite(len) THEN
        RAISE EXCEPTION 'partition interval must be finite, not "%"', len
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    months := extract(year FROM len) * 12 + extract(month FROM len);
    days := extract(day FROM len);
    seconds := extract(epoch FROM len - make_interval(months => months, days => days));
    IF months < 0 OR days < 0 OR seconds < 0 OR len < interval '1 second' THEN
        RAISE EXCEPTION 'partition interval must be at least one second, not "%"', len
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF seconds <> trunc(seconds) THEN
        RAISE EXCEPTION 'partition interval must be whole seconds, not "%"', len
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF len > interval '1000 years' THEN
        RAISE EXCEPTION 'partition interval must be at most 1000 years, not "%"', len
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF key_type = 'date'::regtype AND seconds <> 0 THEN
        RAISE EXCEPTION 'partition interval of a date must be whole days, not "%"', len
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;
COMMENT ON FUNCTION dbperf.check_interval(interval, regtype) IS 'Raises an error unless this can be the length of partitions';

-- A time to wait for: not backwards in any part, as the parts of an interval have no fixed ratio.
CREATE FUNCTION dbperf.check_waiting_time(setting text, len interval)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT isfinite(len) THEN
        RAISE EXCEPTION '% must be finite, not "%"', setting, len
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave detach_after, drop_after and compress_after NULL for what is never to be done.';
    END IF;
    IF extract(year FROM len) < 0 OR extract(month FROM len) < 0 OR extract(day FROM len) < 0
        OR len - date_trunc('day', len) < interval '0' THEN
        RAISE EXCEPTION 'no part of % may be negative, as in "%"', setting, len
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF len > interval '1000 years' THEN
        RAISE EXCEPTION '% must be at most 1000 years, not "%"', setting, len
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;
COMMENT ON FUNCTION dbperf.check_waiting_time(text, interval) IS 'Raises an error unless something can be done this long after something else';

-- 1000 would be read as so many seconds: data would be gone before anybody saw the mistake.
CREATE FUNCTION dbperf.read_waiting_time(setting text, value text)
RETURNS interval
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF value ~* '^\s*[-+]?[0-9.]+(e[-+]?[0-9]+)?\s*$' AND value::numeric <> 0 THEN
        RAISE EXCEPTION '% "%" has no unit', setting, value
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a time such as ''3 months'' or ''90 days''.';
    END IF;
    RETURN value::interval;
END
$$;
COMMENT ON FUNCTION dbperf.read_waiting_time(text, text) IS 'A time given as text, with its unit';

-- The columns that partitions are to be sorted by have to be there, and to have an order.
CREATE FUNCTION dbperf.check_sort_by(parent regclass, sort_by text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    col text;
    typ text;
BEGIN
    IF sort_by = '{}' OR array_ndims(sort_by) > 1 OR array_position(sort_by, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'sort_by must be a list of columns, not "%"', sort_by
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave it NULL for the default order.';
    END IF;
    IF (SELECT count(DISTINCT c) FROM unnest(sort_by) c) < cardinality(sort_by) THEN
        RAISE EXCEPTION 'a column appears twice in sort_by "%"', sort_by USING ERRCODE = 'duplicate_column';
    END IF;
    FOREACH col IN ARRAY coalesce(sort_by, '{}') LOOP
        typ := (SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
                WHERE a.attrelid = parent AND a.attname = col AND a.attnum > 0 AND NOT a.attisdropped);
        IF typ IS NULL THEN
            RAISE EXCEPTION 'column "%" of sort_by is not one of table %', col, parent USING ERRCODE = 'undefined_column';
        END IF;
        BEGIN
            EXECUTE format('SELECT FROM (SELECT NULL::%s AS v LIMIT 0) s ORDER BY s.v', typ);
        EXCEPTION WHEN undefined_function THEN
            RAISE EXCEPTION 'column "%" of table % cannot be sorted by', col, parent
                USING ERRCODE = 'datatype_mismatch', DETAIL = format('Type %s has no order.', typ);
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION dbperf.check_sort_by(regclass, text[]) IS 'Raises an error unless rows of the table can be sorted by these columns';

-- Every row of dbperf.policy passes here, whoever writes it: manage(), a restore, or an UPDATE.
CREATE FUNCTION dbperf.check_policy()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key     record;
    is_time boolean;
    owner   oid;
    parent  regclass := CASE WHEN TG_OP = 'DELETE' THEN OLD.parent ELSE NEW.parent END;
BEGIN
    SELECT relowner INTO owner FROM pg_class WHERE oid = parent;
    IF FOUND AND NOT pg_has_role(owner, 'USAGE') THEN
        RAISE EXCEPTION 'must be owner of table %', parent USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    -- only a dump brings another time along, and only the extension's owner may restore one: it
    -- writes no event, and keeps the worker away for a while
    IF TG_OP = 'INSERT' AND NOT pg_has_role((SELECT c.relowner FROM pg_class c WHERE c.oid = TG_RELID), 'USAGE') THEN
        NEW.created_at := now();
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.parent <> NEW.parent THEN
        RAISE EXCEPTION 'a policy cannot be moved to another table'
            USING ERRCODE = 'feature_not_supported', HINT = 'Use dbperf.unmanage() and dbperf.manage().';
    END IF;
    -- only who restores a dump may say that a policy is older
    IF TG_OP = 'UPDATE' THEN
        NEW.created_at := OLD.created_at;
    ELSIF NOT pg_has_role((SELECT relowner FROM pg_class WHERE oid = 'dbperf.policy'::regclass), 'USAGE') THEN
        NEW.created_at := now();
    END IF;

    key := dbperf.partition_key(parent);
    IF NEW.epoch_unit IS NOT NULL THEN
        NEW.epoch_unit := CASE lower(NEW.epoch_unit)
            WHEN 's' THEN 'seconds' WHEN 'ms' THEN 'milliseconds' WHEN 'us' THEN 'microseconds'
            ELSE lower(NEW.epoch_unit) END;
        IF NEW.epoch_unit NOT IN ('seconds', 'milliseconds', 'microseconds') THEN
            RAISE EXCEPTION 'epoch unit "%" is not recognized', NEW.epoch_unit
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Use seconds, milliseconds or microseconds.';
        END IF;
        IF key.key_type NOT IN ('integer'::regtype, 'bigint'::regtype)
            OR (key.key_type = 'integer'::regtype AND NEW.epoch_unit <> 'seconds') THEN
            RAISE EXCEPTION 'a key of type % cannot count % since 1970', key.key_type, NEW.epoch_unit
                USING ERRCODE = 'invalid_parameter_value', HINT = 'An epoch unit goes with bigint, or seconds with integer.';
        END IF;
    END IF;
    is_time := key.key_type NOT IN ('integer'::regtype, 'bigint'::regtype) OR NEW.epoch_unit IS NOT NULL;

    IF is_time THEN
        IF NEW.partition_interval IS NULL THEN
            RAISE EXCEPTION 'table % needs a partition interval', parent
                USING ERRCODE = 'null_value_not_allowed', HINT = 'Give one such as ''1 month'' or ''1 day''.';
        END IF;
        IF num_nonnulls(NEW.partition_step, NEW.anchor_key, NEW.sanity_step) > 0 THEN
            RAISE EXCEPTION 'partition_step, anchor_key and sanity_step are for keys that are plain numbers'
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        PERFORM dbperf.check_interval(NEW.partition_interval, key.key_type);
        -- weeks begin on Mondays
        NEW.anchor := coalesce(NEW.anchor, CASE
            WHEN extract(day FROM NEW.partition_interval)::integer % 7 = 0 AND extract(day FROM NEW.partition_interval) > 0
            THEN timestamp '2000-01-03' ELSE '2000-01-01' END);
        NEW.sanity_window := coalesce(NEW.sanity_window, interval '1 year');
        IF NOT isfinite(NEW.anchor) OR NEW.anchor < '1500-01-01' OR NEW.anchor > '3000-01-01' THEN
            RAISE EXCEPTION 'anchor must be a time between the years 1500 and 3000, not "%"', NEW.anchor
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        IF NEW.anchor <> date_trunc('second', NEW.anchor)
            OR (key.key_type = 'date'::regtype AND NEW.anchor <> date_trunc('day', NEW.anchor)) THEN
            RAISE EXCEPTION 'anchor must be a whole second, and for dates a whole day, not "%"', NEW.anchor
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        IF NEW.sanity_window < '0' THEN
            RAISE EXCEPTION 'sanity window must not be negative' USING ERRCODE = 'invalid_parameter_value';
        END IF;
        IF num_nonnulls(NEW.detach_step, NEW.drop_step) > 0 THEN
            RAISE EXCEPTION 'detach_step and drop_step are for keys that are plain numbers'
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Use detach_after and drop_after.';
        END IF;
        PERFORM dbperf.check_waiting_time('detach_after', NEW.detach_after);
        PERFORM dbperf.check_waiting_time('drop_after', NEW.drop_after);
        IF NEW.compress_step IS NOT NULL THEN
            RAISE EXCEPTION 'compress_step is for keys that are plain numbers'
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Use compress_after.';
        END IF;
        PERFORM dbperf.check_waiting_time('compress_after', NEW.compress_after);
        IF NEW.drop_after < NEW.detach_after THEN
            RAISE EXCEPTION 'drop_after (%) must not be less than detach_after (%)', NEW.drop_after, NEW.detach_after
                USING ERRCODE = 'invalid_parameter_value', HINT = 'A partition is detached before it is dropped.';
        END IF;
    ELSE
        IF NEW.partition_step IS NULL THEN
            RAISE EXCEPTION 'table % needs a partition step', parent
                USING ERRCODE = 'null_value_not_allowed',
                      HINT = 'Give a number of keys such as 1000000, or an epoch_unit if the key counts time.';
        END IF;
        IF num_nonnulls(NEW.partition_interval, NEW.anchor, NEW.sanity_window) > 0 THEN
            RAISE EXCEPTION 'partition_interval, anchor and sanity_window are for keys that are times'
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Give an epoch_unit if the key counts time.';
        END IF;
        NEW.anchor_key := coalesce(NEW.anchor_key, 0);
        IF NEW.partition_step < 1 OR (key.key_type = 'integer'::regtype AND NEW.partition_step > 2147483647) THEN
            RAISE EXCEPTION 'partition step must be positive and fit type %, not %', key.key_type, NEW.partition_step
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        NEW.sanity_step := coalesce(NEW.sanity_step,
            least(10 * (NEW.premake + 1) * NEW.partition_step::numeric, 9223372036854775807)::bigint);
        IF NEW.sanity_step < 0 THEN
            RAISE EXCEPTION 'sanity step must not be negative' USING ERRCODE = 'invalid_parameter_value';
        END IF;
        IF num_nonnulls(NEW.detach_after, NEW.drop_after) > 0 THEN
            RAISE EXCEPTION 'detach_after and drop_after are for keys that are times'
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = 'Use detach_step and drop_step, or give an epoch_unit if the key counts time.';
        END IF;
        IF NEW.compress_after IS NOT NULL THEN
            RAISE EXCEPTION 'compress_after is for keys that are times'
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = 'Use compress_step, or give an epoch_unit if the key counts time.';
        END IF;
        IF NEW.compress_step < 0 THEN
            RAISE EXCEPTION 'compress_step must not be negative' USING ERRCODE = 'invalid_parameter_value';
        END IF;
        IF least(NEW.detach_step, NEW.drop_step) < 0 THEN
            RAISE EXCEPTION '% must not be negative', CASE WHEN NEW.detach_step < 0 THEN 'detach_step' ELSE 'drop_step' END
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        IF NEW.drop_step < NEW.detach_step THEN
            RAISE EXCEPTION 'drop_step (%) must not be less than detach_step (%)', NEW.drop_step, NEW.detach_step
                USING ERRCODE = 'invalid_parameter_value', HINT = 'A partition is detached before it is dropped.';
        END IF;
    END IF;

    IF NEW.premake IS NULL OR NEW.premake NOT BETWEEN 0 AND 1000 THEN
        RAISE EXCEPTION 'premake must be between 0 and 1000, not %', NEW.premake USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NEW.lock_budget IS NULL OR NEW.lock_budget NOT BETWEEN '1 ms' AND '1 minute' THEN
        RAISE EXCEPTION 'lock budget must be between 1 ms and 1 minute, not %', NEW.lock_budget USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NEW.lock_tries IS NULL OR NEW.lock_tries NOT BETWEEN 1 AND 20 THEN
        RAISE EXCEPTION 'lock tries must be between 1 and 20, not %', NEW.lock_tries USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM dbperf.check_waiting_time('recycle_for', NEW.recycle_for);
    PERFORM dbperf.check_waiting_time('recompress_after', NEW.recompress_after);
    IF NEW.recompress_rows IS NULL OR NEW.recompress_rows < 1 THEN
        RAISE EXCEPTION 'recompress_rows must be at least 1, not %', NEW.recompress_rows USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF TG_OP = 'INSERT' OR NEW.sort_by IS DISTINCT FROM OLD.sort_by THEN
        BEGIN
            PERFORM dbperf.check_sort_by(parent, NEW.sort_by);
        EXCEPTION WHEN undefined_column THEN
            IF TG_OP = 'UPDATE' OR NEW.created_at = now() THEN
                RAISE;
            END IF;
            -- one error would cost a restore all policies
            RAISE WARNING '%', SQLERRM USING ERRCODE = 'undefined_column', HINT = 'Partitions are compressed in the default order.';
            NEW.sort_by := NULL;
        END;
    END IF;
    IF NEW.quiet_hours !~ '^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$'
        OR split_part(NEW.quiet_hours, '-', 1) = split_part(NEW.quiet_hours, '-', 2) THEN
        RAISE EXCEPTION 'quiet hours "%" are not two different times of day', NEW.quiet_hours
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give them as HH:MM-HH:MM, such as 09:30-16:00 or, past midnight, 22:00-06:00.';
    END IF;
    -- pg_timezone_names is slow: ask it only when there is something to ask
    IF NEW.time_zone IS DISTINCT FROM 'UTC' AND (TG_OP = 'INSERT' OR NEW.time_zone IS DISTINCT FROM OLD.time_zone)
        AND NOT EXISTS (SELECT FROM pg_timezone_names z WHERE z.name = NEW.time_zone) THEN
        RAISE EXCEPTION 'time zone "%" is not recognized', NEW.time_zone
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Use an IANA name such as "America/New_York" (see pg_timezone_names).';
    END IF;
    PERFORM dbperf.check_naming_pattern(NEW.naming_pattern);
    IF NEW.archive_schema IN ('', 'dbperf', 'information_schema') OR starts_with(NEW.archive_schema::text, 'pg_') THEN
        RAISE EXCEPTION 'detached partitions cannot be moved to schema "%"', NEW.archive_schema
            USING ERRCODE = 'reserved_name', HINT = 'Name a schema that is for them alone, or NULL for that of the table with "_archive" added.';
    END IF;
    IF NEW.archive_schema = (SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = parent) THEN
        -- the table was moved there since
        IF TG_OP = 'INSERT' AND NEW.created_at <> now() THEN
            RAISE WARNING 'archive schema "%" of the policy of table % is the one that the table is in', NEW.archive_schema, parent
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Detached partitions go to the default schema.';
            NEW.archive_schema := NULL;
        ELSE
            RAISE EXCEPTION 'archive schema "%" is the one that table % is in', NEW.archive_schema, parent
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = 'Name another, or NULL for that of the table with "_archive" added.';
        END IF;
    END IF;
    IF NEW.tablespace IS NOT NULL AND
        NOT EXISTS (SELECT FROM pg_tablespace t WHERE t.spcname = NEW.tablespace AND t.spcname <> 'pg_global') THEN
        IF TG_OP = 'INSERT' AND NEW.created_at <> now() THEN
            -- one error would cost a restore all policies
            RAISE WARNING 'tablespace "%" of the policy of table % does not exist here', NEW.tablespace, parent
                USING ERRCODE = 'undefined_object', HINT = 'New partitions go where the parent table is.';
            NEW.tablespace := NULL;
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'tablespace "%" does not exist, or cannot hold tables', NEW.tablespace USING ERRCODE = 'undefined_object';
    END IF;
    -- whoever names a schema and may make it, makes it: later, it could be anybody's
    IF NEW.archive_schema IS NOT NULL AND (TG_OP = 'UPDATE' OR NEW.created_at = now())
        AND NOT EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = NEW.archive_schema)
        AND has_database_privilege(current_database(), 'CREATE') AND pg_has_role(owner, 'MEMBER') THEN
        EXECUTE format('CREATE SCHEMA %I AUTHORIZATION %I', NEW.archive_schema, pg_get_userbyid(owner));
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION dbperf.check_policy() IS 'Trigger: validates a policy and fills in its defaults';

CREATE TRIGGER check_policy BEFORE INSERT OR UPDATE OR DELETE ON dbperf.policy
    FOR EACH ROW EXECUTE FUNCTION dbperf.check_policy();

CREATE FUNCTION dbperf.note_policy_change()
RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p dbperf.policy := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    n text := (SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = p.parent);
BEGIN
    -- whoever may execute this could put it on a table of their own
    IF TG_RELID <> 'dbperf.policy'::regclass THEN
        RAISE EXCEPTION 'trigger function of dbperf.policy' USING ERRCODE = 'triggered_action_exception';
    END IF;
    IF TG_OP = 'UPDATE' AND NEW IS NOT DISTINCT FROM OLD THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' THEN
        IF n IS NOT NULL AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = p.parent AND i.inhdetachpending) THEN
            RAISE WARNING 'a partition of table % is still being detached', n
                USING HINT = 'ALTER TABLE ... DETACH PARTITION ... FINALIZE ends that; dbperf.manage() has it ended for you.';
        END IF;
        DELETE FROM dbperf.policy_state WHERE parent = p.parent;
    ELSIF TG_OP = 'UPDATE' THEN
        -- what failed before may be mended now: no more waiting
        UPDATE dbperf.policy_state SET next_try_at = NULL, retire_next_try_at = NULL, compress_next_try_at = NULL WHERE parent = p.parent;
        IF num_nonnulls(p.detach_after, p.detach_step, p.drop_after, p.drop_step) = 0 THEN
            UPDATE dbperf.policy_state SET retire_error = NULL, retire_error_at = NULL, retire_failures = 0 WHERE parent = p.parent;
        END IF;
        IF num_nonnulls(p.compress_after, p.compress_step) = 0 THEN
            UPDATE dbperf.policy_state SET compress_error = NULL, compress_error_at = NULL, compress_failures = 0 WHERE parent = p.parent;
        END IF;
    END IF;
    -- a restore: the events arrive as well, and say when it came under management
    IF TG_OP = 'INSERT' AND p.created_at <> now() THEN
        INSERT INTO dbperf.policy_state (parent, restored_by, restorer_start)
            SELECT p.parent, a.pid, a.backend_start FROM pg_stat_get_activity(pg_backend_pid()) a;
        PERFORM dbperf.wake();
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        INSERT INTO dbperf.policy_state (parent, boot_id, boot_at)
            SELECT p.parent, b.id, b.at FROM dbperf.boot() b ON CONFLICT DO NOTHING;
    END IF;
    INSERT INTO dbperf.partition_events (source, action, parent, detail)
        VALUES ('manual', CASE TG_OP WHEN 'INSERT' THEN 'manage' WHEN 'UPDATE' THEN 'alter_policy' ELSE 'unmanage' END,
                coalesce(n, p.parent::oid::text), to_jsonb(p) - 'parent');
    PERFORM dbperf.wake();
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION dbperf.note_policy_change() IS 'Trigger: writes policy changes to the audit trail and wakes the worker';

CREATE TRIGGER note_policy_change AFTER INSERT OR UPDATE OR DELETE ON dbperf.policy
    FOR EACH ROW EXECUTE FUNCTION dbperf.note_policy_change();

-- A session with session_replication_role = replica writes no other rows than the rest.
ALTER TABLE dbperf.policy ENABLE ALWAYS TRIGGER check_policy;
ALTER TABLE dbperf.policy ENABLE ALWAYS TRIGGER note_policy_change;

-- The policy of a table that is dropped goes with it.
CREATE FUNCTION dbperf.forget_dropped()
RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM dbperf.recycle_bin b
        USING pg_event_trigger_dropped_objects() d
        WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0 AND d.objid IN (b.partition, b.parent);
    DELETE FROM dbperf.compression c
        USING pg_event_trigger_dropped_objects() d
        WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0 AND d.objid = c.partition;
    DELETE FROM dbperf.ingest_rules r
        USING pg_event_trigger_dropped_objects() d
        WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0 AND d.objid = r.parent;
    -- whoever is about to delete some of them must not hold up the locks that we have
    DELETE FROM dbperf.ingest_rejects WHERE reject_id IN (
        SELECT r.reject_id FROM dbperf.ingest_rejects r, pg_event_trigger_dropped_objects() d
        WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0 AND d.objid = r.parent
        FOR UPDATE OF r SKIP LOCKED);
    DELETE FROM dbperf.policy p
        USING pg_event_trigger_dropped_objects() d
        WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0 AND d.objid = p.parent;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- its name has gone from the catalogs already; the event is not chained before the end
    UPDATE dbperf.partition_events e SET parent = d.object_identity
        FROM pg_event_trigger_dropped_objects() d
        WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0
        AND e.seq IS NULL AND e.action = 'unmanage' AND e.parent = d.objid::text;
END
$$;
COMMENT ON FUNCTION dbperf.forget_dropped() IS 'Event trigger: removes dropped tables from policies, recycle bin, compression, ingest rules and rejects';

CREATE EVENT TRIGGER dbperf_forget_dropped ON sql_drop
    WHEN TAG IN ('DROP TABLE', 'DROP VIEW', 'DROP FOREIGN TABLE', 'DROP SCHEMA', 'DROP OWNED', 'DROP TYPE', 'DROP EXTENSION')
    EXECUTE FUNCTION dbperf.forget_dropped();

-- DROP EXTENSION refuses to drop a table with events that its transaction has yet to chain.
CREATE FUNCTION dbperf.settle_events()
RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SET CONSTRAINTS dbperf.chain_event IMMEDIATE;
    SET CONSTRAINTS dbperf.chain_event DEFERRED;
END
$$;
COMMENT ON FUNCTION dbperf.settle_events() IS 'Event trigger: chains the events of a transaction that may be about to drop this extension';

CREATE EVENT TRIGGER dbperf_settle_events ON ddl_command_start
    WHEN TAG IN ('DROP EXTENSION', 'DROP OWNED')
    EXECUTE FUNCTION dbperf.settle_events();

-- Length, grid and time zone of the partitions that are there, to go on in the same way from where
-- the last one ends. NULL where there is none with two bounds.
CREATE FUNCTION dbperf.infer_policy(parent regclass, OUT partition_interval interval, OUT partition_step bigint,
                                    OUT anchor timestamp, OUT anchor_key bigint, OUT time_zone text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET DateStyle = 'ISO, YMD'
AS $$
DECLARE
    key      record := dbperf.partition_key(parent);
    lo       text;
    up       text;
    zone     text;
    lower_at timestamp;
    upper_at timestamp;
BEGIN
    SELECT b.lower_bound, b.upper_bound INTO lo, up FROM dbperf.partition_bounds(parent) b
        WHERE NOT b.is_default AND b.lower_bound <> 'MINVALUE' AND b.upper_bound <> 'MAXVALUE' AND NOT b.detach_pending
        ORDER BY b.ord DESC LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF key.key_type IN ('integer'::regtype, 'bigint'::regtype) THEN
        anchor_key := up::bigint;
        partition_step := up::bigint - lo::bigint;
        RETURN;
    END IF;
    -- the zone in which both bounds are midnights, if there is one
    FOREACH zone IN ARRAY ARRAY['UTC', current_setting('TimeZone')] LOOP
        IF key.key_type = 'timestamptz'::regtype THEN
            lower_at := lo::timestamptz AT TIME ZONE zone;
            upper_at := up::timestamptz AT TIME ZONE zone;
        ELSE
            lower_at := lo::timestamp;
            upper_at := up::timestamp;
        END IF;
        IF anchor IS NULL OR (lower_at = date_trunc('day', lower_at) AND upper_at = date_trunc('day', upper_at)) THEN
            anchor := upper_at;
            time_zone := zone;
            partition_interval := CASE
                WHEN lower_at + make_interval(months => m) = upper_at THEN make_interval(months => m)
                WHEN (upper_at - lower_at) = date_trunc('day', upper_at - lower_at) THEN make_interval(days => extract(day FROM upper_at - lower_at)::integer)
                ELSE upper_at - lower_at END
                FROM (SELECT (extract(year FROM age(upper_at, lower_at)) * 12 + extract(month FROM age(upper_at, lower_at)))::integer) AS a (m);
            EXIT WHEN lower_at = date_trunc('day', lower_at) AND upper_at = date_trunc('day', upper_at);
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION dbperf.infer_policy(regclass) IS 'Interval, anchor and time zone that would carry on the partitions that a table has';

CREATE FUNCTION dbperf.alter_policy(
    parent regclass, partition_interval text DEFAULT NULL, premake integer DEFAULT NULL, anchor text DEFAULT NULL,
    time_zone text DEFAULT NULL, epoch_unit text DEFAULT NULL, naming_pattern text DEFAULT NULL,
    tablespace name DEFAULT NULL, enabled boolean DEFAULT NULL, run_order integer DEFAULT NULL,
    lock_budget interval DEFAULT NULL, sanity_window text DEFAULT NULL, detach_after text DEFAULT NULL,
    drop_after text DEFAULT NULL, recycle_for interval DEFAULT NULL, archive_schema name DEFAULT NULL,
    require_archive boolean DEFAULT NULL, quiet_hours text DEFAULT NULL, lock_tries integer DEFAULT NULL,
    compress_after text DEFAULT NULL, sort_by text[] DEFAULT NULL, recompress_after text DEFAULT NULL,
    recompress_rows bigint DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    p            dbperf.policy;
    is_time      boolean;
    never_detach boolean := coalesce(lower(detach_after) = 'never', false);
    never_drop   boolean := coalesce(lower(drop_after) = 'never', false);
    never_press  boolean := coalesce(lower(compress_after) = 'never', false);
    never_again  boolean := coalesce(lower(recompress_after) = 'never', false);
BEGIN
    SELECT * INTO p FROM dbperf.policy q WHERE q.parent = alter_policy.parent FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'table % has no partition policy', parent
            USING ERRCODE = 'undefined_object', HINT = 'Use dbperf.manage() to give it one.';
    END IF;
    IF epoch_unit IS NOT NULL AND p.epoch_unit IS DISTINCT FROM (
        CASE lower(epoch_unit) WHEN 's' THEN 'seconds' WHEN 'ms' THEN 'milliseconds' WHEN 'us' THEN 'microseconds' ELSE lower(epoch_unit) END)
    THEN
        RAISE EXCEPTION 'the epoch unit of a policy cannot be changed'
            USING ERRCODE = 'feature_not_supported', HINT = 'Use dbperf.unmanage() and dbperf.manage().';
    END IF;
    is_time := p.partition_interval IS NOT NULL;
    UPDATE dbperf.policy q SET
        partition_interval = CASE WHEN is_time THEN coalesce(alter_policy.partition_interval::interval, p.partition_interval) END,
        partition_step = CASE WHEN NOT is_time THEN coalesce(alter_policy.partition_interval::bigint, p.partition_step) END,
        premake = coalesce(alter_policy.premake, p.premake),
        anchor = CASE WHEN is_time THEN coalesce(alter_policy.anchor::timestamp, p.anchor) END,
        anchor_key = CASE WHEN NOT is_time THEN coalesce(alter_policy.anchor::bigint, p.anchor_key) END,
        time_zone = coalesce(alter_policy.time_zone, p.time_zone),
        naming_pattern = coalesce(alter_policy.naming_pattern, p.naming_pattern),
        tablespace = CASE WHEN alter_policy.tablespace = '' THEN NULL ELSE coalesce(alter_policy.tablespace, p.tablespace) END,
        enabled = coalesce(alter_policy.enabled, p.enabled),
        run_order = coalesce(alter_policy.run_order, p.run_order),
        lock_budget = coalesce(alter_policy.lock_budget, p.lock_budget),
        sanity_window = CASE WHEN is_time THEN coalesce(alter_policy.sanity_window::interval, p.sanity_window) END,
        sanity_step = CASE WHEN NOT is_time THEN coalesce(alter_policy.sanity_window::bigint, p.sanity_step) END,
        detach_after = CASE WHEN is_time AND NOT never_detach THEN coalesce(dbperf.read_waiting_time('detach_after', alter_policy.detach_after), p.detach_after) END,
        detach_step = CASE WHEN NOT is_time AND NOT never_detach THEN coalesce(alter_policy.detach_after::bigint, p.detach_step) END,
        drop_after = CASE WHEN is_time AND NOT never_drop THEN coalesce(dbperf.read_waiting_time('drop_after', alter_policy.drop_after), p.drop_after) END,
        drop_step = CASE WHEN NOT is_time AND NOT never_drop THEN coalesce(alter_policy.drop_after::bigint, p.drop_step) END,
        recycle_for = coalesce(alter_policy.recycle_for, p.recycle_for),
        archive_schema = CASE WHEN alter_policy.archive_schema IN ('', 'none') THEN NULL
            ELSE coalesce(alter_policy.archive_schema, p.archive_schema) END,
        require_archive = coalesce(alter_policy.require_archive, p.require_archive),
        quiet_hours = CASE WHEN alter_policy.quiet_hours IN ('', 'none') THEN NULL
            ELSE coalesce(alter_policy.quiet_hours, p.quiet_hours) END,
        lock_tries = coalesce(alter_policy.lock_tries, p.lock_tries),
        compress_after = CASE WHEN is_time AND NOT never_press THEN coalesce(dbperf.read_waiting_time('compress_after', alter_policy.compress_after), p.compress_after) END,
        compress_step = CASE WHEN NOT is_time AND NOT never_press THEN coalesce(alter_policy.compress_after::bigint, p.compress_step) END,
        sort_by = CASE WHEN alter_policy.sort_by = '{}' THEN NULL ELSE coalesce(alter_policy.sort_by, p.sort_by) END,
        recompress_after = CASE WHEN NOT never_again THEN coalesce(dbperf.read_waiting_time('recompress_after', alter_policy.recompress_after), p.recompress_after) END,
        recompress_rows = coalesce(alter_policy.recompress_rows, p.recompress_rows)
    WHERE q.parent = alter_policy.parent;
END
$$;
COMMENT ON FUNCTION dbperf.alter_policy(regclass, text, integer, text, text, text, text, name, boolean, integer, interval, text, text, text, interval, name, boolean, text, integer, text, text[], text, bigint) IS 'Changes the given settings of a policy; NULL leaves one as it is; '''' for tablespace, archive_schema and quiet_hours ''never'' for detach_after, drop_after, compress_after and recompress_after, and ''{}'' for sort_by take one back';

CREATE FUNCTION dbperf.manage(
    parent regclass, partition_interval text DEFAULT NULL, premake integer DEFAULT NULL, anchor text DEFAULT NULL,
    time_zone text DEFAULT NULL, epoch_unit text DEFAULT NULL, naming_pattern text DEFAULT NULL,
    tablespace name DEFAULT NULL, enabled boolean DEFAULT NULL, run_order integer DEFAULT NULL,
    lock_budget interval DEFAULT NULL, sanity_window text DEFAULT NULL, detach_after text DEFAULT NULL,
    drop_after text DEFAULT NULL, recycle_for interval DEFAULT NULL, archive_schema name DEFAULT NULL,
    require_archive boolean DEFAULT NULL, quiet_hours text DEFAULT NULL, lock_tries integer DEFAULT NULL,
    compress_after text DEFAULT NULL, sort_by text[] DEFAULT NULL, recompress_after text DEFAULT NULL,
    recompress_rows bigint DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    key      record;
    found_as record;
    is_time  boolean;
    named    text;
BEGIN
    IF parent IS NULL THEN
        RAISE EXCEPTION 'parent table must not be null' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF EXISTS (SELECT FROM dbperf.policy q WHERE q.parent = manage.parent) THEN
        RAISE NOTICE 'table % is managed already: the given settings are changed', parent;
        PERFORM dbperf.alter_policy(parent, partition_interval, premake, anchor, time_zone, epoch_unit, naming_pattern,
                                    tablespace, enabled, run_order, lock_budget, sanity_window, detach_after, drop_after,
                                    recycle_for, archive_schema, require_archive, quiet_hours, lock_tries,
                                    compress_after, sort_by, recompress_after, recompress_rows);
    ELSE
        key := dbperf.partition_key(parent);
        found_as := dbperf.infer_policy(parent);
        named := (SELECT relname FROM pg_class WHERE oid = parent);
        is_time := key.key_type NOT IN ('integer'::regtype, 'bigint'::regtype) OR epoch_unit IS NOT NULL;
        detach_after := CASE WHEN lower(detach_after) <> 'never' THEN detach_after END;
        drop_after := CASE WHEN lower(drop_after) <> 'never' THEN drop_after END;
        compress_after := CASE WHEN lower(compress_after) <> 'never' THEN compress_after END;
        -- our own two tables have a customary length; any other is as its partitions are
        partition_interval := coalesce(partition_interval,
            CASE WHEN is_time THEN found_as.partition_interval::text ELSE found_as.partition_step::text END,
            CASE WHEN is_time THEN CASE named WHEN 'market_data' THEN '1 month' WHEN 'alert_logs' THEN '3 months' END END);
        INSERT INTO dbperf.policy (parent, partition_interval, partition_step, epoch_unit, premake, anchor, anchor_key,
            time_zone, naming_pattern, tablespace, enabled, run_order, lock_budget, sanity_window, sanity_step,
            detach_after, detach_step, drop_after, drop_step, recycle_for, archive_schema, require_archive, quiet_hours, lock_tries,
            compress_after, compress_step, sort_by, recompress_after, recompress_rows)
        VALUES (parent,
            CASE WHEN is_time THEN partition_interval::interval END,
            CASE WHEN NOT is_time THEN partition_interval::bigint END,
            epoch_unit,
            coalesce(premake, CASE named WHEN 'alert_logs' THEN 1 ELSE 2 END),
            CASE WHEN is_time THEN coalesce(anchor::timestamp,
                CASE WHEN coalesce(time_zone, found_as.time_zone) = found_as.time_zone THEN found_as.anchor END) END,
            CASE WHEN NOT is_time THEN coalesce(anchor::bigint, found_as.anchor_key) END,
            coalesce(time_zone, found_as.time_zone, 'UTC'),
            coalesce(naming_pattern, '{table}_{from}'),
            nullif(tablespace, ''),
            coalesce(enabled, true),
            coalesce(run_order, 100),
            coalesce(lock_budget, '200 ms'),
            CASE WHEN is_time THEN sanity_window::interval END,
            CASE WHEN NOT is_time THEN sanity_window::bigint END,
            CASE WHEN is_time THEN dbperf.read_waiting_time('detach_after', detach_after) END,
            CASE WHEN NOT is_time THEN detach_after::bigint END,
            CASE WHEN is_time THEN dbperf.read_waiting_time('drop_after', drop_after) END,
            CASE WHEN NOT is_time THEN drop_after::bigint END,
            coalesce(recycle_for, '7 days'),
            nullif(nullif(archive_schema, ''), 'none'),
            coalesce(require_archive, false),
            nullif(nullif(quiet_hours, ''), 'none'),
            coalesce(lock_tries, 4),
            CASE WHEN is_time THEN dbperf.read_waiting_time('compress_after', compress_after) END,
            CASE WHEN NOT is_time THEN compress_after::bigint END,
            nullif(sort_by, '{}'),
            CASE WHEN recompress_after IS NULL THEN '1 day'
                 WHEN lower(recompress_after) <> 'never' THEN dbperf.read_waiting_time('recompress_after', recompress_after) END,
            coalesce(recompress_rows, 100000));
    END IF;
    IF (SELECT q.enabled FROM dbperf.policy q WHERE q.parent = manage.parent) THEN
        PERFORM dbperf.make_missing(parent);
    END IF;
END
$$;
COMMENT ON FUNCTION dbperf.manage(regclass, text, integer, text, text, text, text, name, boolean, integer, interval, text, text, text, interval, name, boolean, text, integer, text, text[], text, bigint) IS 'Puts a range-partitioned table under management: its partitions are made ahead of time from now on';

-- The same for those who give an interval or a number as such.
CREATE FUNCTION dbperf.manage(
    parent regclass, partition_interval interval, premake integer DEFAULT NULL, anchor text DEFAULT NULL,
    time_zone text DEFAULT NULL, epoch_unit text DEFAULT NULL, naming_pattern text DEFAULT NULL,
    tablespace name DEFAULT NULL, enabled boolean DEFAULT NULL, run_order integer DEFAULT NULL,
    lock_budget interval DEFAULT NULL, sanity_window text DEFAULT NULL, detach_after text DEFAULT NULL,
    drop_after text DEFAULT NULL, recycle_for interval DEFAULT NULL, archive_schema name DEFAULT NULL,
    require_archive boolean DEFAULT NULL, quiet_hours text DEFAULT NULL, lock_tries integer DEFAULT NULL,
    compress_after text DEFAULT NULL, sort_by text[] DEFAULT NULL, recompress_after text DEFAULT NULL,
    recompress_rows bigint DEFAULT NULL)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS 'SELECT dbperf.manage($1, $2::text, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)';
COMMENT ON FUNCTION dbperf.manage(regclass, interval, integer, text, text, text, text, name, boolean, integer, interval, text, text, text, interval, name, boolean, text, integer, text, text[], text, bigint) IS 'manage() with a partition interval of type interval';

CREATE FUNCTION dbperf.manage(
    parent regclass, partition_interval bigint, premake integer DEFAULT NULL, anchor text DEFAULT NULL,
    time_zone text DEFAULT NULL, epoch_unit text DEFAULT NULL, naming_pattern text DEFAULT NULL,
    tablespace name DEFAULT NULL, enabled boolean DEFAULT NULL, run_order integer DEFAULT NULL,
    lock_budget interval DEFAULT NULL, sanity_window text DEFAULT NULL, detach_after text DEFAULT NULL,
    drop_after text DEFAULT NULL, recycle_for interval DEFAULT NULL, archive_schema name DEFAULT NULL,
    require_archive boolean DEFAULT NULL, quiet_hours text DEFAULT NULL, lock_tries integer DEFAULT NULL,
    compress_after text DEFAULT NULL, sort_by text[] DEFAULT NULL, recompress_after text DEFAULT NULL,
    recompress_rows bigint DEFAULT NULL)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS 'SELECT dbperf.manage($1, $2::text, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)';
COMMENT ON FUNCTION dbperf.manage(regclass, bigint, integer, text, text, text, text, name, boolean, integer, interval, text, text, text, interval, name, boolean, text, integer, text, text[], text, bigint) IS 'manage() with a number of keys as partition interval';

CREATE FUNCTION dbperf.alter_policy(
    parent regclass, partition_interval interval, premake integer DEFAULT NULL, anchor text DEFAULT NULL,
    time_zone text DEFAULT NULL, epoch_unit text DEFAULT NULL, naming_pattern text DEFAULT NULL,
    tablespace name DEFAULT NULL, enabled boolean DEFAULT NULL, run_order integer DEFAULT NULL,
    lock_budget interval DEFAULT NULL, sanity_window text DEFAULT NULL, detach_after text DEFAULT NULL,
    drop_after text DEFAULT NULL, recycle_for interval DEFAULT NULL, archive_schema name DEFAULT NULL,
    require_archive boolean DEFAULT NULL, quiet_hours text DEFAULT NULL, lock_tries integer DEFAULT NULL,
    compress_after text DEFAULT NULL, sort_by text[] DEFAULT NULL, recompress_after text DEFAULT NULL,
    recompress_rows bigint DEFAULT NULL)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS 'SELECT dbperf.alter_policy($1, $2::text, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)';
COMMENT ON FUNCTION dbperf.alter_policy(regclass, interval, integer, text, text, text, text, name, boolean, integer, interval, text, text, text, interval, name, boolean, text, integer, text, text[], text, bigint) IS 'alter_policy() with a partition interval of type interval';

CREATE FUNCTION dbperf.alter_policy(
    parent regclass, partition_interval bigint, premake integer DEFAULT NULL, anchor text DEFAULT NULL,
    time_zone text DEFAULT NULL, epoch_unit text DEFAULT NULL, naming_pattern text DEFAULT NULL,
    tablespace name DEFAULT NULL, enabled boolean DEFAULT NULL, run_order integer DEFAULT NULL,
    lock_budget interval DEFAULT NULL, sanity_window text DEFAULT NULL, detach_after text DEFAULT NULL,
    drop_after text DEFAULT NULL, recycle_for interval DEFAULT NULL, archive_schema name DEFAULT NULL,
    require_archive boolean DEFAULT NULL, quiet_hours text DEFAULT NULL, lock_tries integer DEFAULT NULL,
    compress_after text DEFAULT NULL, sort_by text[] DEFAULT NULL, recompress_after text DEFAULT NULL,
    recompress_rows bigint DEFAULT NULL)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS 'SELECT dbperf.alter_policy($1, $2::text, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)';
COMMENT ON FUNCTION dbperf.alter_policy(regclass, bigint, integer, text, text, text, text, name, boolean, integer, interval, text, text, text, interval, name, boolean, text, integer, text, text[], text, bigint) IS 'alter_policy() with a number of keys as partition interval';

CREATE FUNCTION dbperf.unmanage(parent regclass)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM dbperf.policy q WHERE q.parent = unmanage.parent;
    IF NOT FOUND THEN
        RAISE NOTICE 'table % is not managed', parent;
    END IF;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION dbperf.unmanage(regclass) IS 'Ends the management of a table; all its partitions stay as they are';
