SELECT attname, 0, pg_column_size(attname) FROM pg_attribute WHERE attrelid = :'relation'::regclass AND attnum > 0 ORDER BY attnum;
