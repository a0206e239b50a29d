-- The tables to insert into, a schema for each: over May 2014 alone and over the twelve months.
SET client_min_messages = warning;
CREATE EXTENSION tradeassist_dbperf;

-- The columns that are given, and the two indexes.
CREATE PROCEDURE make_plain(schema name, first date, months integer) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE SCHEMA %I', schema);
    EXECUTE format($ddl$
        CREATE TABLE %I.market_data (
            "timestamp" timestamptz NOT NULL, instrument_id integer NOT NULL, price double precision, volume bigint,
            bid double precision, ask double precision, bid_size bigint, ask_size bigint,
            open_price double precision, high_price double precision, low_price double precision
        ) PARTITION BY RANGE ("timestamp")$ddl$, schema);
    EXECUTE format('CREATE INDEX ON %I.market_data ("timestamp", instrument_id)', schema);
    EXECUTE format('CREATE INDEX ON %I.market_data (instrument_id, price)', schema);
    FOR i IN 0..months - 1 LOOP
        EXECUTE format('CREATE TABLE %1$I.%2$I PARTITION OF %1$I.market_data FOR VALUES FROM (%3$L) TO (%4$L)',
                       schema, 'market_data_' || i, first + i * interval '1 month', first + (i + 1) * interval '1 month');
    END LOOP;
END
$$;

-- As the extension makes it, with the same partitions and no others.
CREATE PROCEDURE make_full(schema name, first date, months integer) LANGUAGE plpgsql AS $$
DECLARE
    parent regclass;
    present regclass;
BEGIN
    PERFORM dbperf.create_market_schema(schema);
    parent := format('%I.market_data', schema);
    FOR present IN SELECT inhrelid FROM pg_inherits WHERE inhparent = parent LOOP
        EXECUTE format('DROP TABLE %s', present);
    END LOOP;
    PERFORM dbperf.create_partitions(parent, first::text, (first + months * interval '1 month')::date::text);
    EXECUTE format('INSERT INTO %I.instruments (symbol) SELECT ''S'' || i FROM generate_series(1, 100) i', schema);
END
$$;

CALL make_plain('plain_1', '2014-05-01', 1);
CALL make_plain('plain_12', '2014-01-01', 12);
CALL make_full('full_1', '2014-05-01', 1);
CALL make_full('full_12', '2014-01-01', 12);
VACUUM ANALYZE;
