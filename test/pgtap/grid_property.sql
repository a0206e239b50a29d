-- For random policies and clocks: the partitions that maintenance makes are the cells of the grid,
-- computed here a second time with SQL's own arithmetic; they are contiguous, and a second run has
-- nothing to do. One test for each policy; its description repeats all there is to reproduce it.
BEGIN;
SELECT plan(161);
SET LOCAL TimeZone = 'UTC';
SET LOCAL DateStyle = 'ISO, YMD';
SET LOCAL IntervalStyle = 'postgres';
SELECT is(setseed(0.20261121)::text, '', 'the seed is fixed');

CREATE FUNCTION pg_temp.pick(VARIADIC choices text[]) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT choices[1 + floor(random() * cardinality(choices))::int]
$$;
CREATE FUNCTION pg_temp.between(low bigint, high bigint) RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT low + floor(random() * (high - low + 1))::bigint
$$;

-- Intervals of every mixture of months, days and time, most of them pure
CREATE FUNCTION pg_temp.random_interval(whole_days boolean) RETURNS interval LANGUAGE sql VOLATILE AS $$
    SELECT CASE pg_temp.between(1, CASE WHEN whole_days THEN 5 ELSE 8 END)
        WHEN 1 THEN make_interval(months => pg_temp.between(1, 18)::int)
        WHEN 2 THEN make_interval(days => pg_temp.between(1, 40)::int)
        WHEN 3 THEN make_interval(months => pg_temp.between(1, 5)::int, days => pg_temp.between(1, 20)::int)
        WHEN 4 THEN make_interval(months => (ARRAY[1, 3, 12])[pg_temp.between(1, 3)])
        WHEN 5 THEN make_interval(days => (ARRAY[1, 7])[pg_temp.between(1, 2)])
        WHEN 6 THEN make_interval(hours => pg_temp.between(1, 30)::int)
        WHEN 7 THEN make_interval(secs => pg_temp.between(1, 100000))
        ELSE make_interval(months => pg_temp.between(0, 2)::int, days => pg_temp.between(0, 3)::int, hours => pg_temp.between(1, 30)::int)
    END
$$;

-- Bound number n, as an instant for absolute keys, else as the wall clock shows it
CREATE FUNCTION pg_temp.bound(anchor timestamp, len interval, zone text, absolute boolean, n int) RETURNS timestamp LANGUAGE sql AS $$
    SELECT CASE WHEN absolute THEN (calendar AT TIME ZONE zone) AT TIME ZONE 'UTC' ELSE calendar END + exact
    FROM (SELECT anchor + make_interval(
                     months => (n * (extract(year FROM len) * 12 + extract(month FROM len)))::int,
                     days => (n * extract(day FROM len))::int),
                 make_interval(secs => n * (extract(hour FROM len) * 3600 + extract(minute FROM len) * 60 + extract(second FROM len))::double precision)
         ) AS t (calendar, exact)
$$;

-- What must be there: the cell of now and "ahead" more, without cells that a change of the clock has emptied
CREATE FUNCTION pg_temp.expected(anchor timestamp, len interval, zone text, absolute boolean, now_point timestamp, ahead int)
RETURNS text LANGUAGE sql AS $$
    WITH guess AS (
        SELECT floor(extract(epoch FROM now_point - anchor) / extract(epoch FROM
            make_interval(days => (extract(year FROM len) * 12 + extract(month FROM len))::int) * 30.436875
            + make_interval(days => extract(day FROM len)::int, secs => (extract(hour FROM len) * 3600 + extract(minute FROM len) * 60 + extract(second FROM len))::double precision)))::int AS n
    ), bounds AS (
        SELECT i, pg_temp.bound(anchor, len, zone, absolute, i) AS lower, pg_temp.bound(anchor, len, zone, absolute, i + 1) AS upper
        FROM guess, (SELECT 8 + (14400 / extract(epoch FROM len))::int) a (around), generate_series(n - around, n + ahead + around) i
    ), current AS (
        SELECT max(i) AS i FROM bounds WHERE lower <= now_point AND upper > now_point
    )
    SELECT string_agg(b.lower || '/' || b.upper, ' ' ORDER BY b.i)
    FROM bounds b, current c WHERE b.i BETWEEN c.i AND c.i + ahead AND b.lower < b.upper
$$;

-- The partitions that are there from now on, in the same form
CREATE FUNCTION pg_temp.actual(parent regclass, unit text, from_point timestamp) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(l || '/' || u, ' ' ORDER BY l)
    FROM (SELECT CASE WHEN unit IS NULL THEN lower_bound::timestamp ELSE timestamp '1970-01-01' + lower_bound::numeric::double precision / div * interval '1 second' END,
                 CASE WHEN unit IS NULL THEN upper_bound::timestamp ELSE timestamp '1970-01-01' + upper_bound::numeric::double precision / div * interval '1 second' END
          FROM dbperf.partition_bounds(parent), (SELECT CASE unit WHEN 'milliseconds' THEN 1e3 WHEN 'microseconds' THEN 1e6 ELSE 1 END) d (div)) AS p (l, u)
    WHERE u > from_point
$$;

CREATE FUNCTION pg_temp.try_policy() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    type     text := pg_temp.pick('timestamptz', 'timestamptz', 'timestamptz', 'timestamp', 'date', 'bigint');
    unit     text := CASE WHEN type = 'bigint' THEN pg_temp.pick('seconds', 'milliseconds', 'microseconds') END;
    absolute boolean := type IN ('timestamptz', 'bigint');
    len      interval := pg_temp.random_interval(type = 'date');
    zone     text := pg_temp.pick('UTC', 'America/New_York', 'Europe/Berlin', 'America/Havana', 'Australia/Lord_Howe', 'Asia/Kathmandu',
                                  'Pacific/Apia', 'Africa/Casablanca', 'America/St_Johns', 'Asia/Tehran');
    anchor   timestamp := timestamp '1999-12-31' + make_interval(days => pg_temp.between(-20000, 20000)::int)
                          + CASE WHEN type = 'date' OR random() < 0.5 THEN '0' ELSE make_interval(secs => pg_temp.between(0, 86399)) END;
    clock    timestamptz := timestamptz '2003-01-01' + make_interval(secs => pg_temp.between(0, 1800000000));
    ahead    int := pg_temp.between(0, 4)::int;
    said     text := format('%s %s %s, anchor %s in %s, %s ahead of %s', type, coalesce(unit, ''), len, anchor, zone, ahead, clock);
    want     text;
    have     text;
BEGIN
    DROP TABLE IF EXISTS p;
    EXECUTE format('CREATE TABLE p (k %s) PARTITION BY RANGE (k)', type);
    PERFORM set_config('dbperf.now_override', clock::text, true);
    PERFORM dbperf.manage('p', len, ahead, anchor => anchor::text, time_zone => zone, epoch_unit => unit);
    FOR step IN 1..2 LOOP
        want := pg_temp.expected(anchor, len, zone, absolute, clock AT TIME ZONE CASE WHEN absolute THEN 'UTC' ELSE zone END, ahead);
        have := pg_temp.actual('p', unit, clock AT TIME ZONE CASE WHEN absolute THEN 'UTC' ELSE zone END);
        IF want IS DISTINCT FROM have THEN
            RETURN fail(said) || E'\n' || diag(format('expected %s', want)) || E'\n' || diag(format('but made %s', have));
        END IF;
        IF EXISTS (SELECT FROM dbperf.run_maintenance('p')) OR EXISTS (SELECT FROM dbperf.partition_gaps('p')) THEN
            RETURN fail(said || ': a second run, or a gap');
        END IF;
        IF (SELECT status FROM dbperf.partition_health) <> 'ok' THEN
            RETURN fail(said || ': ' || (SELECT reasons::text FROM dbperf.partition_health));
        END IF;
        -- the clock goes on, by less than what is made ahead, so that no gap comes about
        clock := clock + len * random() * ahead;
        PERFORM set_config('dbperf.now_override', clock::text, true);
        PERFORM dbperf.run_maintenance('p');
    END LOOP;
    RETURN pass(said);
END $$;
SELECT pg_temp.try_policy() FROM generate_series(1, 120);

-- Plain numbers: partitions around the highest row
CREATE FUNCTION pg_temp.try_numbers() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    type   text := pg_temp.pick('integer', 'bigint');
    step   bigint := pg_temp.between(1, CASE WHEN type = 'integer' THEN 1000000 ELSE 1000000000000 END);
    anchor bigint := pg_temp.between(-1000000, 1000000);
    ahead  int := pg_temp.between(0, 4)::int;
    first  bigint := pg_temp.between(-100, 100);
    said   text := format('%s by %s from %s, %s ahead, rows in %s', type, step, anchor, ahead, first);
    want   text;
BEGIN
    DROP TABLE IF EXISTS p;
    EXECUTE format('CREATE TABLE p (k %s) PARTITION BY RANGE (k)', type);
    PERFORM dbperf.manage('p', step, ahead, anchor => anchor::text, enabled => false);
    PERFORM dbperf.create_partition('p', anchor + first * step + pg_temp.between(0, step - 1));
    EXECUTE 'INSERT INTO p VALUES ($1)' USING anchor + first * step;
    PERFORM dbperf.run_maintenance('p');
    want := (SELECT string_agg(anchor + i * step || '/' || anchor + (i + 1) * step, ' ' ORDER BY i) FROM generate_series(first, first + ahead) i);
    RETURN is((SELECT string_agg(lower_bound || '/' || upper_bound, ' ' ORDER BY ord) FROM dbperf.partition_bounds('p')), want, said)
        || CASE WHEN EXISTS (SELECT FROM dbperf.run_maintenance('p')) THEN E'\n' || fail(said || ': a second run') ELSE '' END;
END $$;
SELECT pg_temp.try_numbers() FROM generate_series(1, 40);

SELECT * FROM finish();
ROLLBACK;
