--
-- Bounds by type of the key: each grid against the first bounds that it must have
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
CREATE TABLE cases (name text, type text, args text);
INSERT INTO cases VALUES
    ('tz_month', 'timestamptz', $$'1 month', 1$$),
    ('ts_month', 'timestamp', $$'1 month', 1$$),
    ('date_month', 'date', $$'1 month', 1$$),
    ('ts_local', 'timestamp', $$'1 day', 1, time_zone => 'Asia/Tokyo'$$),
    ('date_local', 'date', $$'1 day', 1, time_zone => 'Pacific/Kiritimati'$$),
    ('date_week', 'date', $$'1 week', 1$$),
    ('tz_second', 'timestamptz', $$'1 second', 1$$),
    ('tz_century', 'timestamptz', $$'100 years', 1$$),
    ('int_step', 'integer', $$1000, 1$$),
    ('int_from', 'integer', $$1000, 1, anchor => '-2147483648'$$),
    ('big_step', 'bigint', $$10000000000, 1, anchor => '7'$$),
    ('int_s', 'integer', $$'1 day', 1, epoch_unit => 'seconds'$$),
    ('big_s', 'bigint', $$'1 month', 1, epoch_unit => 's'$$),
    ('big_ms', 'bigint', $$'1 month', 1, epoch_unit => 'ms'$$),
    ('big_us', 'bigint', $$'1 hour', 1, epoch_unit => 'us'$$),
    ('big_ms_zone', 'bigint', $$'1 day', 1, epoch_unit => 'milliseconds', time_zone => 'Asia/Kolkata'$$);
DO $$
DECLARE c record;
BEGIN
    FOR c IN SELECT * FROM cases LOOP
        PERFORM make(c.name, c.type);
        EXECUTE format('SELECT dbperf.manage(%L, %s)', c.name, c.args);
    END LOOP;
END $$;
SELECT name, p.* FROM cases, partitions(name::regclass) p ORDER BY name, bound COLLATE "C";
-- epochs, read as times
SELECT name, to_timestamp(lower_bound::numeric / CASE WHEN name LIKE '%us' THEN 1e6 WHEN name LIKE '%ms%' THEN 1e3 ELSE 1 END) AS lower
FROM cases, dbperf.partition_bounds(name::regclass)
WHERE args LIKE '%epoch%' ORDER BY 1, 2;

-- keys that count: the current partition is the highest with rows, or the lowest
SELECT partition, state FROM dbperf.partition_bounds('int_step');
INSERT INTO int_step VALUES (1500);
SELECT partition, detail FROM dbperf.run_maintenance('int_step');
SELECT partition, state FROM dbperf.partition_bounds('int_step');
SELECT count(*) FROM dbperf.run_maintenance('int_step');
-- up to the end of the type, and not beyond
SELECT make('int_end', 'integer'), make('big_end', 'bigint');
SELECT dbperf.manage('int_end', 1000000000, 5, anchor => '147483647');
SELECT dbperf.manage('big_end', 1000000000000000000, 5, anchor => '7000000000000000000');
INSERT INTO int_end VALUES (147483647);
INSERT INTO big_end VALUES (7000000000000000000);
SELECT count(*) FROM dbperf.run_maintenance('int_end');
SELECT count(*) FROM dbperf.run_maintenance('big_end');
SELECT bound FROM partitions('int_end');
SELECT bound FROM partitions('big_end');
SELECT fails($$SELECT dbperf.create_partition('int_end', 2147483647)$$);
SELECT fails($$SELECT dbperf.create_partition('int_end', 2147483648)$$);
SELECT fails($$SELECT dbperf.create_partition('big_end', 9223372036854775807)$$);
SELECT dbperf.create_partition('big_end', -9000000000000000000);
SELECT fails($$SELECT dbperf.create_partition('big_end', '-9223372036854775808')$$);
-- an int of seconds ends in January 2038
SELECT dbperf.create_partition('int_s', '2038-01-18 00:00 UTC'::timestamptz);
SELECT fails($$SELECT dbperf.create_partition('int_s', '2038-01-19 03:14:07 UTC'::timestamptz)$$);
SELECT fails($$SELECT dbperf.create_partition('int_s', '2040-01-01 UTC'::timestamptz)$$);
-- an epoch key may be given as a number, or as a time, of either kind
SELECT dbperf.create_partition('big_ms', 1893456000000);
SELECT dbperf.create_partition('big_ms', '1893456000000');
SELECT dbperf.create_partition('big_ms', '2030-01-31 23:59:59+00');
SELECT dbperf.create_partition('big_ms', timestamptz '2030-01-31 23:59:59+00');
SELECT fails($$SELECT dbperf.create_partition('big_ms', 'soon')$$);
-- before 1970, and before 2000
SELECT dbperf.create_partition('big_s', -1);
SELECT dbperf.create_partition('big_us', '1969-12-31 23:59:59.999999+00');
SELECT dbperf.create_partition('tz_month', '0001-02-03 BC');
SELECT dbperf.create_partition('date_month', '1582-10-15');
SELECT dbperf.create_partition('int_step', -1);
SELECT p.* FROM unnest('{big_s,big_us,tz_month,date_month,int_step}'::regclass[]) r, LATERAL (SELECT * FROM partitions(r) LIMIT 1) p;
-- the ends of the calendar
SELECT dbperf.create_partition('tz_month', '290000-01-01');
SELECT fails($$SELECT dbperf.create_partition('tz_month', '294276-12-31 23:59:59.999999')$$);
SELECT fails($$SELECT dbperf.create_partition('tz_month', '4713-01-01 BC')$$);
SELECT fails($$SELECT dbperf.create_partition('date_month', '5874897-12-31')$$);
SELECT fails($$SELECT dbperf.create_partition('tz_month', 'infinity')$$);
SELECT fails($$SELECT dbperf.create_partition('date_month', '-infinity')$$);
SELECT fails($$SELECT dbperf.create_partition('tz_month', NULL::text)$$);
SELECT fails($$SELECT dbperf.create_partition(NULL, '2026-01-01')$$);
SELECT fails($$SELECT dbperf.create_partition('tz_month', 5)$$);
-- a date or a time without zone is a key as it stands, wherever the session is
SET TimeZone = 'Asia/Tokyo';
SELECT dbperf.create_partition('date_month', date '2031-03-01'), dbperf.create_partition('ts_month', timestamp '2031-03-01'),
       dbperf.create_partition('date_month', timestamptz '2031-05-01 00:00+00');
RESET TimeZone;
