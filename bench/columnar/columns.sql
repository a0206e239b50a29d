-- For each column of a compressed table: its name, the bytes of its chunks, and how most of them are encoded, without
-- the numbers, which differ from chunk to chunk
SELECT i.column_name, i.bytes,
    (SELECT left(k.kind, 100) FROM
        (SELECT regexp_replace(e.key, '[0-9]+', '#', 'g') AS kind, sum(e.value::integer) AS chunks
         FROM jsonb_each_text(i.encodings) e GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1) k)
FROM dbperf.columnar_info(:'relation') i
JOIN pg_attribute a ON a.attrelid = :'relation'::regclass AND a.attname = i.column_name
ORDER BY a.attnum;
