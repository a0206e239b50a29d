--
-- Soft delete: rows that are marked as deleted, and stay until they are purged
--

CREATE TABLE dbperf.soft_delete_tables (
    parent     regclass PRIMARY KEY,
    active     regclass,
    on_delete  text NOT NULL CHECK (on_delete IN ('allow', 'soft', 'forbid')),
    enabled_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE dbperf.soft_delete_tables IS 'Tables that soft delete is enabled for';
COMMENT ON COLUMN dbperf.soft_delete_tables.parent IS 'the table';
COMMENT ON COLUMN dbperf.soft_delete_tables.active IS 'the view of its rows that are not deleted; NULL: somebody dropped it';
COMMENT ON COLUMN dbperf.soft_delete_tables.on_delete IS 'what becomes of DELETE: allow (rows are deleted for good), soft (they are marked) or forbid (an error)';
COMMENT ON COLUMN dbperf.soft_delete_tables.enabled_at IS 'since when';

CREATE SEQUENCE dbperf.soft_delete_log_log_id_seq;
CREATE TABLE dbperf.soft_delete_log (
    log_id         bigint PRIMARY KEY DEFAULT nextval('dbperf.soft_delete_log_log_id_seq'),
    at             timestamptz NOT NULL DEFAULT clock_timestamp(),
    relation       regclass,
    parent         text NOT NULL,
    action         text NOT NULL CHECK (action IN ('soft_delete', 'restore', 'purge')),
    deleted_by     text,
    actor          text NOT NULL DEFAULT session_user,
    reason         text,
    row_count      bigint NOT NULL,
    keys           text[],
    from_at        text,
    to_at          text,
    predicate      text,
    deleted_before timestamptz
);
ALTER SEQUENCE dbperf.soft_delete_log_log_id_seq OWNED BY dbperf.soft_delete_log.log_id;
CREATE INDEX soft_delete_log_relation_idx ON dbperf.soft_delete_log (relation);
COMMENT ON TABLE dbperf.soft_delete_log IS 'Who deleted, restored and purged which rows: one row for each batch, written by the functions of soft delete only';
COMMENT ON COLUMN dbperf.soft_delete_log.relation IS 'the table; NULL: it was dropped since';
COMMENT ON COLUMN dbperf.soft_delete_log.parent IS 'its name at that time';
COMMENT ON COLUMN dbperf.soft_delete_log.action IS 'soft_delete, restore or purge';
COMMENT ON COLUMN dbperf.soft_delete_log.deleted_by IS 'who did it, as the caller said: deleted_by, or restored_by';
COMMENT ON COLUMN dbperf.soft_delete_log.actor IS 'the session user';
COMMENT ON COLUMN dbperf.soft_delete_log.reason IS 'why, as the caller said';
COMMENT ON COLUMN dbperf.soft_delete_log.row_count IS 'rows of this batch that were changed';
COMMENT ON COLUMN dbperf.soft_delete_log.keys IS 'their keys; times in UTC; NULL: the table has no primary key';
COMMENT ON COLUMN dbperf.soft_delete_log.from_at IS 'start of the range, as the caller gave it';
COMMENT ON COLUMN dbperf.soft_delete_log.to_at IS 'its end';
COMMENT ON COLUMN dbperf.soft_delete_log.predicate IS 'condition that was given with the range';
COMMENT ON COLUMN dbperf.soft_delete_log.deleted_before IS 'for purge: rows that had been deleted before then';

ALTER TABLE dbperf.soft_delete_log ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON dbperf.soft_delete_log FOR SELECT
    USING (pg_has_role((SELECT c.relowner FROM pg_class c WHERE c.oid = relation), 'USAGE'));
COMMENT ON POLICY own ON dbperf.soft_delete_log IS 'Owners of tables see what was done with theirs';
CREATE POLICY monitor ON dbperf.soft_delete_log FOR SELECT
    USING (pg_has_role('pg_monitor', 'USAGE'));
COMMENT ON POLICY monitor ON dbperf.soft_delete_log IS 'Members of pg_monitor see all';

-- Whoever may write here at all could otherwise change what is written. That a table was dropped has
-- to be noted; old rows may be removed by the owner of the extension.
CREATE FUNCTION dbperf.refuse_log_change()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.relation IS NULL AND to_jsonb(NEW) - 'relation' = to_jsonb(OLD) - 'relation' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'dbperf.% is append-only', TG_TABLE_NAME
        USING ERRCODE = 'object_not_in_prerequisite_state',
              HINT = 'It says who deleted which rows; what is written is never changed.';
END
$$;
COMMENT ON FUNCTION dbperf.refuse_log_change() IS 'Trigger: nothing in the log of soft deletes is changed';
CREATE TRIGGER refuse_update BEFORE UPDATE ON dbperf.soft_delete_log
    FOR EACH ROW EXECUTE FUNCTION dbperf.refuse_log_change();
ALTER TABLE dbperf.soft_delete_log ENABLE ALWAYS TRIGGER refuse_update;

SELECT pg_catalog.pg_extension_config_dump('dbperf.soft_delete_tables', '');
SELECT pg_catalog.pg_extension_config_dump('dbperf.soft_delete_log', '');
SELECT pg_catalog.pg_extension_config_dump('dbperf.soft_delete_log_log_id_seq', '');

CREATE FUNCTION dbperf.on_delete()
RETURNS trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'dbperf_on_delete';
COMMENT ON FUNCTION dbperf.on_delete() IS 'Trigger of enable_soft_delete(): marks rows instead of deleting them, or refuses to delete them';

CREATE FUNCTION dbperf.enable_soft_delete("table" regclass, on_delete text DEFAULT 'allow', with_index boolean DEFAULT true)
RETURNS regclass
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_enable_soft_delete';
COMMENT ON FUNCTION dbperf.enable_soft_delete(regclass, text, boolean) IS 'Gives a table the columns, the index and the view of soft delete, as far as it lacks them; returns the view of its rows that are not deleted';

CREATE FUNCTION dbperf.disable_soft_delete("table" regclass)
RETURNS boolean
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_disable_soft_delete';
COMMENT ON FUNCTION dbperf.disable_soft_delete(regclass) IS 'Drops the view and the triggers of soft delete; columns, index and rows stay';

CREATE FUNCTION dbperf.soft_delete("table" regclass, ids anyarray, deleted_by text DEFAULT current_user, reason text DEFAULT NULL,
    batch_size integer DEFAULT 500, key name DEFAULT NULL)
RETURNS bigint
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_soft_delete';
COMMENT ON FUNCTION dbperf.soft_delete(regclass, anyarray, text, text, integer, name) IS 'Marks rows as deleted; returns how many were not before';

CREATE FUNCTION dbperf.restore("table" regclass, ids anyarray, restored_by text DEFAULT current_user, reason text DEFAULT NULL,
    batch_size integer DEFAULT 500, key name DEFAULT NULL)
RETURNS bigint
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_restore';
COMMENT ON FUNCTION dbperf.restore(regclass, anyarray, text, text, integer, name) IS 'Takes back that rows are deleted; returns how many were';

CREATE FUNCTION dbperf.soft_delete_range("table" regclass, from_at text, to_at text, predicate text DEFAULT NULL,
    deleted_by text DEFAULT current_user, reason text DEFAULT NULL, batch_size integer DEFAULT 500)
RETURNS bigint
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_soft_delete_range';
COMMENT ON FUNCTION dbperf.soft_delete_range(regclass, text, text, text, text, text, integer) IS 'Marks as deleted the rows of a range of the partition key that meet a condition; NULL: no end on that side';

CREATE FUNCTION dbperf.restore_range("table" regclass, from_at text, to_at text, predicate text DEFAULT NULL,
    restored_by text DEFAULT current_user, reason text DEFAULT NULL, batch_size integer DEFAULT 500)
RETURNS bigint
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_restore_range';
COMMENT ON FUNCTION dbperf.restore_range(regclass, text, text, text, text, text, integer) IS 'Restores the deleted rows of a range of the partition key that meet a condition; NULL: no end on that side';

CREATE FUNCTION dbperf.purge_deleted("table" regclass, older_than interval, batch_size integer DEFAULT 1000)
RETURNS bigint
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_purge_deleted';
COMMENT ON FUNCTION dbperf.purge_deleted(regclass, interval, integer) IS 'Deletes for good the rows that were marked as deleted longer ago than that; returns how many';

CREATE FUNCTION dbperf.soft_delete_market_data(ids bigint[], deleted_by text DEFAULT current_user, reason text DEFAULT NULL,
    batch_size integer DEFAULT 500, target regclass DEFAULT NULL)
RETURNS bigint
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_soft_delete_market_data';
COMMENT ON FUNCTION dbperf.soft_delete_market_data(bigint[], text, text, integer, regclass) IS 'soft_delete() on the managed table market_data';

CREATE FUNCTION dbperf.restore_market_data(ids bigint[], restored_by text DEFAULT current_user, reason text DEFAULT NULL,
    batch_size integer DEFAULT 500, target regclass DEFAULT NULL)
RETURNS bigint
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_restore_market_data';
COMMENT ON FUNCTION dbperf.restore_market_data(bigint[], text, text, integer, regclass) IS 'restore() on the managed table market_data';

-- The views follow what is done to their tables.
CREATE FUNCTION dbperf.soft_delete_before()
RETURNS event_trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'dbperf_soft_delete_before';
COMMENT ON FUNCTION dbperf.soft_delete_before() IS 'Event trigger: takes the views of soft delete out of the way of a command on their tables';

CREATE FUNCTION dbperf.soft_delete_after()
RETURNS event_trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'dbperf_soft_delete_after';
COMMENT ON FUNCTION dbperf.soft_delete_after() IS 'Event trigger: brings the views of soft delete in line with their tables';

CREATE FUNCTION dbperf.soft_delete_dropped()
RETURNS event_trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'dbperf_soft_delete_dropped';
COMMENT ON FUNCTION dbperf.soft_delete_dropped() IS 'Event trigger: forgets tables and views of soft delete that were dropped';

CREATE EVENT TRIGGER dbperf_soft_delete_before ON ddl_command_start
    WHEN TAG IN ('ALTER TABLE', 'DROP TABLE', 'DROP EXTENSION')
    EXECUTE FUNCTION dbperf.soft_delete_before();
CREATE EVENT TRIGGER dbperf_soft_delete_after ON ddl_command_end
    WHEN TAG IN ('ALTER TABLE')
    EXECUTE FUNCTION dbperf.soft_delete_after();
CREATE EVENT TRIGGER dbperf_soft_delete_dropped ON sql_drop
    WHEN TAG IN ('DROP TABLE', 'DROP VIEW', 'DROP SCHEMA', 'DROP OWNED', 'DROP TYPE', 'DROP DOMAIN', 'DROP EXTENSION')
    EXECUTE FUNCTION dbperf.soft_delete_dropped();
