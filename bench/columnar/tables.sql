-- One table for each source of rows. Ticks have volume and sizes as double precision, as feeds do.
SET client_min_messages = warning;
CREATE EXTENSION tradeassist_dbperf;
CREATE EXTENSION pg_prewarm;
CREATE TABLE generated (
    id bigint, "timestamp" timestamptz, instrument_id integer, price double precision, volume double precision,
    bid double precision, ask double precision, bid_size double precision, ask_size double precision,
    open double precision, high double precision, low double precision);
CREATE TABLE real ("timestamp" timestamptz, instrument_id integer, symbol text, bid double precision, ask double precision);
