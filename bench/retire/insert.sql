\set instrument random(1, 100)
\set price random(10000, 20000)
INSERT INTO ticks ("timestamp", instrument_id, price, volume, bid, ask)
VALUES (now(), :instrument, :price / 100.0, 100, :price / 100.0, :price / 100.0);
