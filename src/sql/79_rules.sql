--
-- Rules that bulk_insert() holds rows to, and the rows that it left out
--

CREATE TABLE dbperf.ingest_rules (
    parent     regclass NOT NULL,
    name       name NOT NULL,
    expression text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (parent, name)
);
COMMENT ON TABLE dbperf.ingest_rules IS 'Conditions that bulk_insert() holds the rows of a table to; every row is validated when it is written';
COMMENT ON COLUMN dbperf.ingest_rules.parent IS 'the table; a rule of a partitioned table holds for calls that name a partition of it too';
COMMENT ON COLUMN dbperf.ingest_rules.name IS 'name of the rule, as rejects give it';
COMMENT ON COLUMN dbperf.ingest_rules.expression IS 'what must not be false, with every name that is not in pg_catalog qualified';
COMMENT ON COLUMN dbperf.ingest_rules.created_at IS 'when the rule was added; a row that arrives with another time than now comes from a dump';

CREATE SEQUENCE dbperf.ingest_rejects_reject_id_seq;
CREATE TABLE dbperf.ingest_rejects (
    reject_id   bigint PRIMARY KEY DEFAULT nextval('dbperf.ingest_rejects_reject_id_seq'),
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    parent      regclass NOT NULL,
    rejected_by name NOT NULL,
    row_number  bigint NOT NULL,
    sqlstate    text NOT NULL,
    reason      text NOT NULL,
    detail      text,
    column_name name,
    "row"       jsonb
);
ALTER SEQUENCE dbperf.ingest_rejects_reject_id_seq OWNED BY dbperf.ingest_rejects.reject_id;
CREATE INDEX ingest_rejects_at_idx ON dbperf.ingest_rejects (at);
CREATE INDEX ingest_rejects_parent_at_idx ON dbperf.ingest_rejects (parent, at);
COMMENT ON TABLE dbperf.ingest_rejects IS 'Rows that bulk_insert() left out, kept for dbperf.ingest_rejects_retention; seen by the owner of the table and by who gave the row';
COMMENT ON COLUMN dbperf.ingest_rejects.parent IS 'the table that the row was for';
COMMENT ON COLUMN dbperf.ingest_rejects.rejected_by IS 'who called: the current user then';
COMMENT ON COLUMN dbperf.ingest_rejects.row_number IS 'which row of the call it was, from 1';
COMMENT ON COLUMN dbperf.ingest_rejects.sqlstate IS 'code of the error that the row would have been';
COMMENT ON COLUMN dbperf.ingest_rejects.reason IS 'its message';
COMMENT ON COLUMN dbperf.ingest_rejects.detail IS 'its detail; NULL: none';
COMMENT ON COLUMN dbperf.ingest_rejects.column_name IS 'the column that was wrong; NULL: not one alone';
COMMENT ON COLUMN dbperf.ingest_rejects."row" IS 'the row as it was given';

-- Rows are data of the table, so that pg_monitor is no reason to see them. Only who may do all with
-- the table, or had the row in hand, sees and removes it; the latter by clear_ingest_rejects(), since
-- the privilege to delete is one to lock the table, too.
ALTER TABLE dbperf.ingest_rejects ENABLE ROW LEVEL SECURITY;
CREATE POLICY owner_of_table ON dbperf.ingest_rejects
    USING (EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = parent AND pg_catalog.pg_has_role(c.relowner, 'USAGE')));
CREATE POLICY rejected_by ON dbperf.ingest_rejects USING (rejected_by = current_user);
GRANT SELECT ON dbperf.ingest_rejects TO PUBLIC;

-- A number in the place of a table that is no more would be that of another one after a restore, and
-- temporary tables are not there to be restored.
SELECT pg_catalog.pg_extension_config_dump('dbperf.ingest_rules',
    'WHERE EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = parent)');
SELECT pg_catalog.pg_extension_config_dump('dbperf.ingest_rejects',
    $$WHERE EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = parent AND c.relpersistence <> 't')$$);
SELECT pg_catalog.pg_extension_config_dump('dbperf.ingest_rejects_reject_id_seq', '');

CREATE FUNCTION dbperf.condition("table" regclass, expression text)
RETURNS text
AS 'MODULE_PATHNAME', 'dbperf_condition'
LANGUAGE C STABLE;
COMMENT ON FUNCTION dbperf.condition(regclass, text) IS 'A condition on the rows of a table, as text that does not depend on search_path; an error says what is wrong with it';

-- Every row of dbperf.ingest_rules passes here, whoever writes it: add_ingest_rule(), a restore, or
-- an UPDATE.
CREATE FUNCTION dbperf.check_ingest_rule()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owned  regclass := CASE WHEN TG_OP = 'DELETE' THEN OLD.parent ELSE NEW.parent END;
    c      pg_class;
    reason text;
BEGIN
    SELECT * INTO c FROM pg_class WHERE oid = owned;
    IF FOUND AND NOT pg_has_role(c.relowner, 'USAGE') THEN
        RAISE EXCEPTION 'must be owner of table %', owned USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.parent <> NEW.parent THEN
        RAISE EXCEPTION 'an ingest rule cannot be moved to another table'
            USING ERRCODE = 'feature_not_supported', HINT = 'Use dbperf.drop_ingest_rule() and dbperf.add_ingest_rule().';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        NEW.created_at := OLD.created_at;
    -- only who restores a dump may say that a rule is older
    ELSIF NOT pg_has_role((SELECT t.relowner FROM pg_class t WHERE t.oid = TG_RELID), 'USAGE') THEN
        NEW.created_at := now();
    END IF;
    IF NEW.name IS NULL OR NEW.name = '' THEN
        RAISE EXCEPTION 'name of an ingest rule must not be null or empty' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF c.relpersistence = 't' THEN
        RAISE EXCEPTION 'temporary table "%" cannot have ingest rules', c.relname
            USING ERRCODE = 'feature_not_supported', HINT = 'Give it a CHECK constraint.';
    END IF;
    IF TG_OP = 'UPDATE' OR NEW.created_at = now() THEN
        NEW.expression := dbperf.condition(NEW.parent, NEW.expression);
        RETURN NEW;
    END IF;
    -- a restore: one error would cost it all rules
    BEGIN
        NEW.expression := dbperf.condition(NEW.parent, NEW.expression);
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS reason = MESSAGE_TEXT;
        RAISE WARNING 'ingest rule "%" of table % cannot be checked', NEW.name, owned
            USING ERRCODE = 'invalid_parameter_value', DETAIL = format('%s: %s', NEW.expression, reason),
                  HINT = 'Until it is dropped with dbperf.drop_ingest_rule(), dbperf.bulk_insert() refuses to insert.';
    END;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION dbperf.check_ingest_rule() IS 'Trigger: validates an ingest rule';

CREATE TRIGGER check_ingest_rule BEFORE INSERT OR UPDATE OR DELETE ON dbperf.ingest_rules
    FOR EACH ROW EXECUTE FUNCTION dbperf.check_ingest_rule();
ALTER TABLE dbperf.ingest_rules ENABLE ALWAYS TRIGGER check_ingest_rule;

CREATE FUNCTION dbperf.add_ingest_rule("table" regclass, name name, check_expression text)
RETURNS void
AS 'MODULE_PATHNAME', 'dbperf_add_ingest_rule'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION dbperf.add_ingest_rule(regclass, name, text) IS 'Has bulk_insert() hold the rows of a table to an expression, written as for a CHECK constraint; NULL passes';

CREATE FUNCTION dbperf.drop_ingest_rule("table" regclass, name name)
RETURNS boolean
AS 'MODULE_PATHNAME', 'dbperf_drop_ingest_rule'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION dbperf.drop_ingest_rule(regclass, name) IS 'Takes a rule back; false if there was none of that name';

CREATE FUNCTION dbperf.clear_ingest_rejects("table" regclass DEFAULT NULL, reject_ids bigint[] DEFAULT NULL, older_than interval DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'dbperf_clear_ingest_rejects'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION dbperf.clear_ingest_rejects(regclass, bigint[], interval) IS 'Removes those rows of ingest_rejects that the caller may see: all, or those of a table, with these numbers, or older than a time; returns how many';

-- What ticks must be, as far as the table has the columns for it. A rule that is there already stays.
CREATE FUNCTION dbperf.add_market_data_rules("table" regclass)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    numbers name[];
    times   name[];
    rule    record;
BEGIN
    IF "table" IS NULL THEN
        RAISE EXCEPTION 'table must not be null' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    SELECT array_agg(a.attname) FILTER (WHERE a.atttypid IN ('real'::regtype, 'double precision'::regtype, 'numeric'::regtype)),
           array_agg(a.attname) FILTER (WHERE a.atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype))
        INTO numbers, times
        FROM pg_attribute a WHERE a.attrelid = "table" AND a.attnum > 0 AND NOT a.attisdropped;
    FOR rule IN
        -- NaN is greater than infinity
        SELECT * FROM (VALUES
            ('price_positive', '{price}'::name[] <@ numbers, $e$price > 0 AND price < 'Infinity'$e$),
            ('bid_not_above_ask', '{bid,ask}' <@ numbers,
             $e$bid <= ask AND bid > '-Infinity' AND bid < 'Infinity' AND ask > '-Infinity' AND ask < 'Infinity'$e$),
            ('timestamp_finite', '{timestamp}' <@ times, 'isfinite("timestamp")')) v (name, fits, expression)
        WHERE v.fits
    LOOP
        BEGIN
            PERFORM dbperf.add_ingest_rule("table", rule.name, rule.expression);
        EXCEPTION WHEN duplicate_object THEN
            NULL;
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION dbperf.add_market_data_rules(regclass) IS 'Adds the rules that ticks should keep to: price positive and finite, bid not above ask, timestamp finite';
