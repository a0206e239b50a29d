\set n random(0, :rows - 1)
\set at :today - 86400 * random(1, :kept) + :n
\set instrument :n % 100 + 1
SELECT price, volume, bid, ask FROM ticks WHERE instrument_id = :instrument AND "timestamp" = to_timestamp(:at);
