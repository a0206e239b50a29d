--
-- Grids over changes to and from daylight saving time: days and months begin at local midnight,
-- hours are exact, and no instant is left out or covered twice. In the past only: the rules of years
-- to come change with every release of tzdata.
--
-- Local and UTC form of the bounds around a moment, and how long each partition is.
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
CREATE FUNCTION grid(len text, zone text, at text, ahead int, anchored text DEFAULT NULL)
RETURNS TABLE (partition text, local_lower timestamp, utc_lower timestamp, length interval) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('dbperf.now_override', at, true);
    DROP TABLE IF EXISTS g;
    PERFORM make('g');
    PERFORM dbperf.manage('g', len, ahead, time_zone => zone, anchor => anchored);
    IF EXISTS (SELECT FROM dbperf.partition_gaps('g')) OR EXISTS (SELECT FROM dbperf.run_maintenance('g')) THEN
        RAISE EXCEPTION 'not contiguous';
    END IF;
    RETURN QUERY SELECT b.partition::text, b.lower_bound::timestamptz AT TIME ZONE zone,
        b.lower_bound::timestamptz AT TIME ZONE 'UTC', b.upper_bound::timestamptz - b.lower_bound::timestamptz
        FROM dbperf.partition_bounds('g') b ORDER BY b.ord;
END
$$;
SET client_min_messages = warning;

-- New York: 2024-03-10 has 23 hours, 2023-11-05 has 25
SELECT * FROM grid('1 day', 'America/New_York', '2024-03-09 12:00+00', 2);
SELECT * FROM grid('1 day', 'America/New_York', '2023-11-04 12:00+00', 2);
SELECT * FROM grid('1 month', 'America/New_York', '2023-10-15 12:00+00', 1);
-- Berlin: 2024-03-31 and 2023-10-29
SELECT * FROM grid('1 day', 'Europe/Berlin', '2024-03-30 12:00+00', 2);
SELECT * FROM grid('1 day', 'Europe/Berlin', '2023-10-28 12:00+00', 2);
SELECT * FROM grid('1 month', 'Europe/Berlin', '2024-03-15 12:00+00', 1);
-- Havana: midnight of 2024-03-10 does not exist, and that of 2023-11-05 comes twice
SELECT * FROM grid('1 day', 'America/Havana', '2024-03-09 12:00+00', 2);
SELECT * FROM grid('1 day', 'America/Havana', '2023-11-04 12:00+00', 2);
-- Lord Howe moves its clocks by half an hour; Kolkata and Kathmandu are off by odd amounts
SELECT * FROM grid('1 day', 'Australia/Lord_Howe', '2024-04-06 01:00+00', 2);
SELECT * FROM grid('1 day', 'Asia/Kathmandu', '2023-11-21 12:00+00', 1);
-- Samoa left out the whole of 2011-12-30
SELECT * FROM grid('1 day', 'Pacific/Apia', '2011-12-29 20:00+00', 2);
-- hours are exact, across the change
SELECT * FROM grid('6 hours', 'America/New_York', '2024-03-10 06:00+00', 3, '2024-03-10');
SELECT * FROM grid('1 hour', 'Europe/Berlin', '2023-10-28 23:30+00', 4, '2023-10-28');
-- an anchor in the hour that does not exist, or comes twice
SELECT * FROM grid('1 day', 'America/New_York', '2024-03-09 12:00+00', 2, '2000-01-01 02:30');
SELECT * FROM grid('1 day', 'America/New_York', '2023-11-04 12:00+00', 2, '2000-01-01 01:30');

-- rows at and beside a bound that lies in summer time, whatever the session's zone
SELECT count(*) FROM grid('1 day', 'America/New_York', '2024-03-09 12:00+00', 2);
SET TimeZone = 'Asia/Tokyo';
INSERT INTO g SELECT t FROM unnest('{2024-03-10 04:59:59.999999+00,2024-03-10 05:00+00,2024-03-11 03:59:59.999999+00,2024-03-11 04:00+00}'::timestamptz[]) t
    RETURNING tableoid::regclass, k AT TIME ZONE 'UTC' AS utc, k AT TIME ZONE 'America/New_York' AS local;
-- nor does a session's zone make another grid, nor its DateStyle another bound
SET DateStyle = 'SQL, DMY';
SET dbperf.now_override = '2024-03-12 12:00+00';
SELECT partition, status FROM dbperf.run_maintenance('g');
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SELECT bound FROM partitions('g');
-- partitions that were made in UTC, and a policy with another zone: drift is reported, and no bound is wrong
DROP TABLE g;
SELECT make('g');
SELECT dbperf.manage('g', '1 day', 1);
SELECT dbperf.alter_policy('g', time_zone => 'Europe/London', premake => 3);
SET dbperf.now_override = '2024-03-30 12:00+00';
SELECT count(*) FROM dbperf.run_maintenance('g');
SELECT status, off_grid, dst_drift, reasons FROM dbperf.partition_health WHERE parent = 'g'::regclass;
SELECT * FROM partitions('g');
-- a zone that moves its bounds by an hour for half of the year
SELECT dbperf.unmanage('g');
DROP TABLE g;
SELECT make('g');
CREATE TABLE g_utc PARTITION OF g FOR VALUES FROM ('2024-06-01 00:00+00') TO ('2024-07-01 00:00+00');
SET dbperf.now_override = '2024-06-15 12:00+00';
SELECT dbperf.manage('g', '1 month', 1, time_zone => 'Europe/London');
SELECT * FROM partitions('g');
SELECT status, off_grid, dst_drift, overlapping, reasons FROM dbperf.partition_health WHERE parent = 'g'::regclass;
