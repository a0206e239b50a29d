-- The table that every window starts from a copy of: as pg_partman makes it, since it cannot take
-- over partitions that are there, and dbperf can. Read after bench/partitions/tables.sql, with
-- old and kept (partitions of the past) and rows (in each) set.
SET client_min_messages = warning;
-- its worker has no business in windows that are not about it
DROP EXTENSION tradeassist_dbperf;
CALL make_managed('ticks', 'partman', 'day', :old + :kept);
CREATE SCHEMA archive;

-- A row a second from midnight on, so that a reader can name one.
INSERT INTO ticks ("timestamp", instrument_id, price, volume, bid, ask, bid_size, ask_size)
SELECT date_trunc('day', now()) - day * interval '1 day' + n * interval '1 s', n % 100 + 1,
       100 + n % 977 / 100.0, n % 500, 100 + n % 977 / 100.0, 100.01 + n % 977 / 100.0, n % 90, n % 70
FROM generate_series(0, :old + :kept) day, generate_series(0, :rows - 1) n;

-- Those to be retired, the oldest first.
CREATE TABLE old_partitions AS
SELECT row_number() OVER (ORDER BY upper) AS nr, name, bound, upper
FROM (SELECT c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bound,
             substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''(.*)''\)')::timestamptz AS upper
      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'ticks'::regclass) p
ORDER BY upper LIMIT :old;

CREATE VIEW progress AS
SELECT count(*) FILTER (WHERE c.relispartition) AS attached, count(*) AS there
FROM pg_class c JOIN old_partitions o ON c.relname = o.name;

-- A procedure, so that no snapshot of it is older than its last look.
CREATE PROCEDURE wait_until_detached() LANGUAGE plpgsql AS $$
BEGIN
    WHILE (SELECT attached FROM progress) > 0 LOOP
        COMMIT;
        PERFORM pg_sleep(0.1);
    END LOOP;
END
$$;

VACUUM (FREEZE, ANALYZE);
