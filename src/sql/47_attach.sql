--
-- The way back from the recycle bin: what makes a detached table fit its parent again
--

ALTER TABLE dbperf.recycle_bin ADD COLUMN inherited jsonb;
COMMENT ON COLUMN dbperf.recycle_bin.inherited IS 'what else it had from the parent: indexes, foreign_keys, not_null columns, and the parent''s OID at that time';

-- After the detach nothing tells any more what came from the parent and what is the table's own.
CREATE FUNCTION dbperf.note_inherited()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- a restored dump brings it along
    IF NEW.state <> 'detaching' OR (TG_OP = 'INSERT' AND NEW.inherited IS NOT NULL)
        OR NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = NEW.partition AND i.inhparent = NEW.parent) THEN
        RETURN NEW;
    END IF;
    NEW.inherited := jsonb_build_object(
        'parent', NEW.parent::oid::bigint,
        'indexes', (SELECT coalesce(jsonb_agg(c.relname ORDER BY c.relname), '[]')
            FROM pg_index i JOIN pg_inherits h ON h.inhrelid = i.indexrelid JOIN pg_class c ON c.oid = i.indexrelid
            WHERE i.indrelid = NEW.partition),
        'foreign_keys', (SELECT coalesce(jsonb_agg(k.conname ORDER BY k.conname), '[]')
            FROM pg_constraint k WHERE k.conrelid = NEW.partition AND k.contype = 'f' AND k.conparentid <> 0),
        'not_null', (SELECT coalesce(jsonb_agg(a.attname ORDER BY a.attnum), '[]')
            FROM pg_attribute a WHERE a.attrelid = NEW.parent AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull));
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION dbperf.note_inherited() IS 'Trigger: notes what a partition that is about to be detached has from its parent';

CREATE TRIGGER note_inherited BEFORE INSERT OR UPDATE OF state ON dbperf.recycle_bin
    FOR EACH ROW EXECUTE FUNCTION dbperf.note_inherited();

-- Each function here only reads, and returns statements: the server runs them as the owner of the
-- table, one list after the other, since every list is made from what the one before has left.

CREATE FUNCTION dbperf.is_restored(bin dbperf.recycle_bin)
RETURNS boolean
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS 'SELECT coalesce((bin.inherited ->> ''parent'')::oid <> bin.parent, false)';
COMMENT ON FUNCTION dbperf.is_restored(dbperf.recycle_bin) IS 'Whether a table of the recycle bin was detached in another database, of which this is a restored dump';

-- The columns of a table of the bin beside those of its parent. What a column was called when it was
-- detached says which it is in the table; its number says which it is in the parent now, however it
-- was renamed.
CREATE FUNCTION dbperf.attach_columns(partition oid, OUT column_name name, OUT in_table boolean, OUT parent_column name)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT l.column_name, c.attnum IS NOT NULL, p.attname
    FROM dbperf.recycle_bin b
    CROSS JOIN LATERAL unnest(b.parent_columns, b.parent_attnums) l (column_name, attnum)
    LEFT JOIN pg_attribute c ON c.attrelid = b.partition AND c.attname = l.column_name AND c.attnum > 0 AND NOT c.attisdropped
    LEFT JOIN pg_attribute p ON p.attrelid = b.parent AND p.attnum > 0 AND NOT p.attisdropped
        -- a restored dump has numbered the columns anew
        AND CASE WHEN dbperf.is_restored(b) THEN p.attname = l.column_name ELSE p.attnum = l.attnum END
    WHERE b.partition = $1
    ORDER BY l.attnum
$$;
COMMENT ON FUNCTION dbperf.attach_columns(oid) IS 'The columns that a table of the recycle bin had from its parent, whether it still has them, and what they are called in the parent now';

-- Columns that went from the parent go; those that were renamed there get the new name.
CREATE FUNCTION dbperf.attach_rename(partition oid)
RETURNS SETOF text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bin     dbperf.recycle_bin;
    named   text;
    fresh   name[];
    column_ record;
    crossed boolean;
BEGIN
    SELECT * INTO STRICT bin FROM dbperf.recycle_bin b WHERE b.partition = attach_rename.partition;
    SELECT format('%I.%I', n.nspname, c.relname) INTO STRICT named
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = bin.partition;
    SELECT coalesce(array_agg(p.attname ORDER BY p.attnum), '{}') INTO fresh FROM pg_attribute p
        WHERE p.attrelid = bin.parent AND p.attnum > 0 AND NOT p.attisdropped
        AND p.attname NOT IN (SELECT c.parent_column FROM dbperf.attach_columns(bin.partition) c WHERE c.parent_column IS NOT NULL);

    FOR column_ IN
        SELECT a.attname FROM pg_attribute a
        WHERE a.attrelid = bin.partition AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> ALL (bin.parent_columns)
        -- unless somebody did by hand what was to be done
        AND a.attname <> ALL (fresh)
        AND a.attname NOT IN (SELECT c.parent_column FROM dbperf.attach_columns(bin.partition) c WHERE NOT c.in_table AND c.parent_column IS NOT NULL)
    LOOP
        RAISE EXCEPTION 'column "%" of table % is not one of its parent %', column_.attname, named, bin.parent
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'It was added, or got this name, after the table was detached.',
                  HINT = format('Drop or rename it, or add such a column to %s.', bin.parent);
    END LOOP;
    FOR column_ IN
        SELECT c.column_name, c.parent_column FROM dbperf.attach_columns(bin.partition) c
        WHERE NOT c.in_table AND c.parent_column IS NOT NULL
        AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = bin.partition AND a.attname = c.parent_column)
    LOOP
        RAISE EXCEPTION 'table % has lost its column "%"', named, column_.column_name
            USING ERRCODE = 'undefined_column',
                  DETAIL = 'It was dropped or renamed after the table was detached.',
                  HINT = format('Name it "%s" again, or add one of that name.', column_.parent_column);
    END LOOP;
    -- what is taken for dropped and added may as well have been renamed
    IF dbperf.is_restored(bin) AND fresh <> '{}'
        AND EXISTS (SELECT FROM dbperf.attach_columns(bin.partition) c WHERE c.in_table AND c.parent_column IS NULL)
    THEN
        RAISE EXCEPTION 'columns of table % cannot be told from those of its parent %', named, bin.parent
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('The database was restored from a dump. Table %s has no column %s any more, but now %s.', bin.parent,
                      (SELECT string_agg(quote_ident(c.column_name), ', ') FROM dbperf.attach_columns(bin.partition) c WHERE c.in_table AND c.parent_column IS NULL),
                      (SELECT string_agg(quote_ident(f), ', ') FROM unnest(fresh) f)),
                  HINT = format('Rename or drop columns of %s so that they are those of %s.', named, bin.parent);
    END IF;

    -- generated columns before those that they are made of
    RETURN QUERY
        SELECT format('ALTER TABLE %s DROP COLUMN %I', named, c.column_name)
        FROM dbperf.attach_columns(bin.partition) c
        JOIN pg_attribute a ON a.attrelid = bin.partition AND a.attname = c.column_name
        WHERE c.parent_column IS NULL ORDER BY a.attgenerated = '';
    crossed := EXISTS (
        SELECT FROM dbperf.attach_columns(bin.partition) c
        JOIN dbperf.attach_columns(bin.partition) o ON o.column_name = c.parent_column AND o.in_table AND o.parent_column IS NOT NULL
        WHERE c.in_table AND c.parent_column <> c.column_name);
    IF crossed THEN
        RETURN QUERY
            SELECT format('ALTER TABLE %s RENAME COLUMN %I TO %I', named, c.column_name, format('dbperf_%s', row_number() OVER ()))
            FROM dbperf.attach_columns(bin.partition) c
            WHERE c.in_table AND c.parent_column <> c.column_name ORDER BY c.column_name;
    END IF;
    RETURN QUERY
        SELECT format('ALTER TABLE %s RENAME COLUMN %I TO %I', named,
            CASE WHEN crossed THEN format('dbperf_%s', row_number() OVER ()) ELSE c.column_name END, c.parent_column)
        FROM dbperf.attach_columns(bin.partition) c
        WHERE c.in_table AND c.parent_column <> c.column_name ORDER BY c.column_name;
END
$$;
COMMENT ON FUNCTION dbperf.attach_rename(oid) IS 'Statements that drop and rename the columns of a table of the recycle bin as was done to its parent''s';

CREATE FUNCTION dbperf.type_of(col pg_attribute)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format_type(col.atttypid, col.atttypmod) || coalesce((
        SELECT format(' COLLATE %I.%I', n.nspname, k.collname)
        FROM pg_type t JOIN pg_collation k ON k.oid = col.attcollation JOIN pg_namespace n ON n.oid = k.collnamespace
        WHERE t.oid = col.atttypid AND t.typcollation <> col.attcollation), '')
$$;
COMMENT ON FUNCTION dbperf.type_of(pg_attribute) IS 'A column''s type and collation, as in its definition';

-- Can a column take on the parent's type as it stands, without being rewritten?
CREATE FUNCTION dbperf.is_coercible(child pg_attribute, parent pg_attribute)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT child.attcollation = parent.attcollation AND CASE
        WHEN child.atttypid <> parent.atttypid THEN parent.atttypmod = -1 AND EXISTS (
            SELECT FROM pg_cast c WHERE c.castsource = child.atttypid AND c.casttarget = parent.atttypid
            AND c.castmethod = 'b' AND c.castcontext IN ('i', 'a'))
        WHEN parent.atttypmod = -1 THEN true
        WHEN parent.atttypid IN ('varchar'::regtype, 'varbit'::regtype) THEN child.atttypmod BETWEEN 0 AND parent.atttypmod
        WHEN parent.atttypid = 'numeric'::regtype THEN child.atttypmod BETWEEN 0 AND parent.atttypmod
            AND (child.atttypmod - 4) & 65535 = (parent.atttypmod - 4) & 65535
        ELSE false END
$$;
COMMENT ON FUNCTION dbperf.is_coercible(pg_attribute, pg_attribute) IS 'Whether a column can be given the type of another one without a look at its values';

-- What the rows that were there got when a column was added to a parent: the other partitions still
-- know it, unless they were rewritten since. An expression, or NULL for NULL.
CREATE FUNCTION dbperf.added_value(bin dbperf.recycle_bin, col pg_attribute)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET extra_float_digits = 1
AS $$
DECLARE
    missing text;
    bound   oid;
BEGIN
    IF col.attidentity <> '' THEN
        RETURN format('nextval(%L::regclass)', pg_get_serial_sequence(bin.parent::text, col.attname));
    END IF;
    SELECT a.attmissingval::text INTO missing
        FROM pg_inherits i JOIN pg_attribute a ON a.attrelid = i.inhrelid
        WHERE i.inhparent = bin.parent AND a.attname = col.attname AND a.atthasmissing ORDER BY a.attrelid LIMIT 1;
    IF FOUND THEN
        -- an array of this one value
        missing := substr(missing, 2, length(missing) - 2);
        IF missing LIKE '"%"' THEN
            missing := regexp_replace(substr(missing, 2, length(missing) - 2), '\\(.)', '\1', 'g');
        END IF;
        RETURN format('%L::%s', missing, format_type(col.atttypid, col.atttypmod));
    END IF;
    -- a partition that is older than the detach, and that was not rewritten since: it has NULLs, and
    -- the default came later
    SELECT k.oid INTO bound FROM pg_constraint k WHERE k.conrelid = bin.partition AND k.conname = 'dbperf_bound';
    IF NOT col.attnotnull AND NOT dbperf.is_restored(bin) AND EXISTS (
        SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = bin.parent AND c.relkind = 'r' AND c.oid < bound AND c.relfilenode = c.oid)
    THEN
        RETURN NULL;
    END IF;
    RETURN (SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d WHERE d.adrelid = col.attrelid AND d.adnum = col.attnum);
END
$$;
COMMENT ON FUNCTION dbperf.added_value(dbperf.recycle_bin, pg_attribute) IS 'The value for rows of a detached table in a column that its parent got meanwhile';

CREATE FUNCTION dbperf.set_storage(named text, col pg_attribute)
RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('ALTER TABLE %s ALTER COLUMN %I SET STORAGE %s', named, col.attname,
        CASE col.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END)
$$;
COMMENT ON FUNCTION dbperf.set_storage(text, pg_attribute) IS 'A statement that gives a column the storage of another one';

-- Statements that add one column as the parent has it.
CREATE FUNCTION dbperf.attach_new_column(bin dbperf.recycle_bin, named text, col pg_attribute)
RETURNS SETOF text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    expr  text := (SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d WHERE d.adrelid = col.attrelid AND d.adnum = col.attnum);
    value text;
BEGIN
    IF col.attgenerated = '' THEN
        value := dbperf.added_value(bin, col);
    END IF;
    RETURN NEXT format('ALTER TABLE %s ADD COLUMN %I %s%s%s', named, col.attname, dbperf.type_of(col),
        CASE col.attgenerated WHEN '' THEN ' DEFAULT ' || value
            ELSE format(' GENERATED ALWAYS AS (%s) %s', expr, CASE col.attgenerated WHEN 'v' THEN 'VIRTUAL' ELSE 'STORED' END) END,
        CASE WHEN col.attnotnull THEN ' NOT NULL' END);
    IF col.attgenerated = '' AND value IS DISTINCT FROM expr THEN
        RETURN NEXT format('ALTER TABLE %s ALTER COLUMN %I %s', named, col.attname, coalesce('SET DEFAULT ' || expr, 'DROP DEFAULT'));
    END IF;
    IF col.attcompression <> '' THEN
        RETURN NEXT format('ALTER TABLE %s ALTER COLUMN %I SET COMPRESSION %s', named, col.attname,
            CASE col.attcompression WHEN 'p' THEN 'pglz' ELSE 'lz4' END);
    END IF;
    IF col.attstorage <> (SELECT t.typstorage FROM pg_type t WHERE t.oid = col.atttypid) THEN
        RETURN NEXT dbperf.set_storage(named, col);
    END IF;
END
$$;
COMMENT ON FUNCTION dbperf.attach_new_column(dbperf.recycle_bin, text, pg_attribute) IS 'Statements that add a column of the parent to a detached table';

-- Columns get what ALTER TABLE of the parent would have passed on to them.
CREATE FUNCTION dbperf.attach_alter(partition oid)
RETURNS SETOF text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bin       dbperf.recycle_bin;
    named     text;
    p         pg_attribute;
    c         pg_attribute;
    parents   text;
    childs    text;
BEGIN
    SELECT * INTO STRICT bin FROM dbperf.recycle_bin b WHERE b.partition = attach_alter.partition;
    SELECT format('%I.%I', n.nspname, r.relname) INTO STRICT named
        FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace WHERE r.oid = bin.partition;
    FOR p IN
        SELECT * FROM pg_attribute a WHERE a.attrelid = bin.parent AND a.attnum > 0 AND NOT a.attisdropped
        -- generated columns after those that they are made of
        ORDER BY a.attgenerated <> '', a.attnum
    LOOP
        SELECT * INTO c FROM pg_attribute a WHERE a.attrelid = bin.partition AND a.attname = p.attname AND NOT a.attisdropped;
        IF NOT FOUND THEN
            RETURN QUERY SELECT dbperf.attach_new_column(bin, named, p);
            CONTINUE;
        END IF;
        parents := (SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d WHERE d.adrelid = bin.parent AND d.adnum = p.attnum);
        childs := (SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d WHERE d.adrelid = bin.partition AND d.adnum = c.attnum);
        IF (c.atttypid, c.atttypmod, c.attcollation) <> (p.atttypid, p.atttypmod, p.attcollation) THEN
            IF NOT dbperf.is_coercible(c, p) THEN
                RAISE EXCEPTION 'column "%" of table % is of type %, but of type % in its parent %', p.attname, named,
                        dbperf.type_of(c), dbperf.type_of(p), bin.parent
                    USING ERRCODE = 'feature_not_supported',
                          HINT = format('Use ALTER TABLE %s ALTER COLUMN %I TYPE ..., which rewrites it, and attach it then.', named, p.attname);
            END IF;
            RETURN NEXT format('ALTER TABLE %s ALTER COLUMN %I TYPE %s', named, p.attname, format_type(p.atttypid, p.atttypmod));
        END IF;
        IF c.attgenerated = '' AND p.attgenerated <> '' THEN
            RAISE EXCEPTION 'column "%" of table % is not generated, but is in its parent %', p.attname, named, bin.parent
                USING ERRCODE = 'feature_not_supported',
                      HINT = 'Drop it, add it as a generated column, and attach the table then.';
        ELSIF c.attgenerated <> '' AND p.attgenerated = '' THEN
            RETURN NEXT format('ALTER TABLE %s ALTER COLUMN %I DROP EXPRESSION', named, p.attname);
            childs := NULL;
        END IF;
        IF p.attgenerated <> '' AND childs IS DISTINCT FROM parents THEN
            RETURN NEXT format('ALTER TABLE %s ALTER COLUMN %I SET EXPRESSION AS (%s)', named, p.attname, parents);
        ELSIF p.attgenerated = '' AND childs IS DISTINCT FROM parents THEN
            RETURN NEXT format('ALTER TABLE %s ALTER COLUMN %I %s', named, p.attname, coalesce('SET DEFAULT ' || parents, 'DROP DEFAULT'));
        END IF;
        IF c.attstorage <> p.attstorage THEN
            RETURN NEXT dbperf.set_storage(named, p);
        END IF;
        IF p.attnotnull AND NOT c.attnotnull THEN
            RETURN NEXT format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL', named, p.attname);
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION dbperf.attach_alter(oid) IS 'Statements that add the columns which the parent of a table of the recycle bin got meanwhile, and alter the others as its were';

-- What makes two indexes of different tables equal, with all that ATTACH PARTITION compares.
CREATE FUNCTION dbperf.index_signature(index oid)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat_ws('|', r.relam, i.indisunique, i.indnullsnotdistinct, i.indisprimary, i.indoption, i.indclass, i.indcollation, i.indnkeyatts,
        (SELECT string_agg(pg_get_indexdef(i.indexrelid, n, false), ',' ORDER BY n) FROM generate_series(1, i.indnatts) n),
        coalesce(pg_get_expr(i.indpred, i.indrelid), ''),
        (SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x')))
    FROM pg_index i JOIN pg_class r ON r.oid = i.indexrelid WHERE i.indexrelid = $1
$$;
COMMENT ON FUNCTION dbperf.index_signature(oid) IS 'What an index and one of its parent''s table have in common';

-- The indexes of a table of the bin beside those of its parent, equal ones in one row.
CREATE FUNCTION dbperf.attach_indexes(partition oid, OUT child_index oid, OUT parent_index oid)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH i AS (
        SELECT x.indrelid, x.indexrelid, s.signature,
            row_number() OVER (PARTITION BY x.indrelid, s.signature ORDER BY x.indexrelid) AS nth
        FROM dbperf.recycle_bin b JOIN pg_index x ON x.indrelid IN (b.parent, b.partition)
        CROSS JOIN LATERAL dbperf.index_signature(x.indexrelid) s (signature)
        WHERE b.partition = $1 AND (x.indrelid = b.parent OR x.indisvalid)
    )
    SELECT c.indexrelid, p.indexrelid
    FROM (SELECT * FROM i WHERE i.indrelid = $1) c
    FULL JOIN (SELECT * FROM i WHERE i.indrelid <> $1) p ON p.signature = c.signature AND p.nth = c.nth
$$;
COMMENT ON FUNCTION dbperf.attach_indexes(oid) IS 'The indexes of a table of the recycle bin and those of its parent, pair by pair';

-- The name of an index when it was detached with its table; NULL: it is the table's own. In the
-- archive schema it may have got another.
CREATE FUNCTION dbperf.inherited_index(bin dbperf.recycle_bin, index oid, now_called name)
RETURNS name
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT n::name FROM jsonb_array_elements_text(bin.inherited -> 'indexes') n
    WHERE now_called = n OR now_called = dbperf.name_with_oid(n::name, index) LIMIT 1
$$;
COMMENT ON FUNCTION dbperf.inherited_index(dbperf.recycle_bin, oid, name) IS 'What an index that came from the parent was called when its table was detached';

-- CHECK constraints, indexes and NOT NULLs that are the parent's no more go.
CREATE FUNCTION dbperf.attach_drop(partition oid)
RETURNS SETOF text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bin   dbperf.recycle_bin;
    named text;
    k     record;
BEGIN
    SELECT * INTO STRICT bin FROM dbperf.recycle_bin b WHERE b.partition = attach_drop.partition;
    SELECT format('%I.%I', n.nspname, r.relname) INTO STRICT named
        FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace WHERE r.oid = bin.partition;

    FOR k IN
        SELECT c.conname, c.convalidated, p.oid AS parents, p.convalidated AS valid_in_parent,
            pg_get_expr(p.conbin, p.conrelid) = pg_get_expr(c.conbin, c.conrelid) AS same,
            c.conname = ANY (bin.inherited_constraints) AS is_inherited,
            (SELECT n.conname FROM pg_constraint n
             WHERE n.conrelid = bin.parent AND n.contype = 'c' AND NOT n.connoinherit
             AND pg_get_expr(n.conbin, n.conrelid) = pg_get_expr(c.conbin, c.conrelid)
             AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conrelid = bin.partition AND o.conname = n.conname)
             ORDER BY n.conname LIMIT 1) AS new_name,
            pg_get_constraintdef(p.oid) AS definition
        FROM pg_constraint c
        LEFT JOIN pg_constraint p ON p.conrelid = bin.parent AND p.contype = 'c' AND p.conname = c.conname AND NOT p.connoinherit
        WHERE c.conrelid = bin.partition AND c.contype = 'c' AND c.conname <> 'dbperf_bound' ORDER BY c.conname
    LOOP
        IF k.parents IS NOT NULL AND k.same THEN
            IF k.valid_in_parent AND NOT k.convalidated THEN
                RETURN NEXT format('ALTER TABLE %s VALIDATE CONSTRAINT %I', named, k.conname);
            END IF;
        ELSIF k.parents IS NOT NULL THEN
            IF NOT k.is_inherited THEN
                RAISE EXCEPTION 'constraint "%" of table % is not that of its parent %', k.conname, named, bin.parent
                    USING ERRCODE = 'object_not_in_prerequisite_state',
                          HINT = format('Rename or drop it: %s has another one of this name.', bin.parent);
            END IF;
            RETURN NEXT format('ALTER TABLE %s DROP CONSTRAINT %I', named, k.conname);
            RETURN NEXT format('ALTER TABLE %s ADD CONSTRAINT %I %s', named, k.conname, k.definition);
        ELSIF k.is_inherited AND k.new_name IS NOT NULL THEN
            RETURN NEXT format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I', named, k.conname, k.new_name);
        ELSIF k.is_inherited THEN
            RETURN NEXT format('ALTER TABLE %s DROP CONSTRAINT %I', named, k.conname);
        END IF;
    END LOOP;

    RETURN QUERY
        SELECT CASE WHEN u.conname IS NULL THEN format('DROP INDEX %I.%I', n.nspname, c.relname)
            ELSE format('ALTER TABLE %s DROP CONSTRAINT %I', named, u.conname) END
        FROM dbperf.attach_indexes(bin.partition) x
        JOIN pg_class c ON c.oid = x.child_index JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_constraint u ON u.conindid = x.child_index AND u.conrelid = bin.partition AND u.contype IN ('p', 'u', 'x')
        WHERE x.parent_index IS NULL AND dbperf.inherited_index(bin, c.oid, c.relname) IS NOT NULL;
    RETURN QUERY
        SELECT format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL', named, m.parent_column)
        FROM dbperf.attach_columns(bin.partition) m
        JOIN pg_attribute a ON a.attrelid = bin.partition AND a.attname = m.parent_column AND a.attnotnull
        JOIN pg_attribute p ON p.attrelid = bin.parent AND p.attname = m.parent_column AND NOT p.attnotnull
        WHERE bin.inherited -> 'not_null' ? m.column_name;
END
$$;
COMMENT ON FUNCTION dbperf.attach_drop(oid) IS 'Statements that drop or rename what a table of the recycle bin had from its parent and the parent has no more';

-- CHECK constraints and indexes that the parent got are added. ATTACH PARTITION would add the indexes
-- as well, but while more tables are locked than this one; it still makes those of a tablespace.
CREATE FUNCTION dbperf.attach_add(partition oid)
RETURNS SETOF text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH t AS (
        SELECT b.partition, b.parent, format('%I.%I', cn.nspname, c.relname) AS named, format('%I.%I', pn.nspname, p.relname) AS parent_named
        FROM dbperf.recycle_bin b
        JOIN pg_class c ON c.oid = b.partition JOIN pg_namespace cn ON cn.oid = c.relnamespace
        JOIN pg_class p ON p.oid = b.parent JOIN pg_namespace pn ON pn.oid = p.relnamespace
        WHERE b.partition = $1
    )
    (SELECT format('ALTER TABLE %s ADD CONSTRAINT %I %s', t.named, p.conname, pg_get_constraintdef(p.oid))
    FROM t JOIN pg_constraint p ON p.conrelid = t.parent AND p.contype = 'c' AND NOT p.connoinherit
    WHERE NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = t.partition AND c.contype = 'c' AND c.conname = p.conname)
    ORDER BY p.conname)
    UNION ALL
    (SELECT CASE WHEN u.oid IS NOT NULL THEN format('ALTER TABLE %s ADD %s', t.named, pg_get_constraintdef(u.oid))
        ELSE format('CREATE %sINDEX ON %s %s', d.kind, t.named,
            substr(pg_get_indexdef(r.oid), length(format('CREATE %sINDEX %I ON ONLY %s ', d.kind, r.relname, t.parent_named)) + 1)) END
    FROM t CROSS JOIN LATERAL dbperf.attach_indexes(t.partition) x
    JOIN pg_class r ON r.oid = x.parent_index AND r.reltablespace = 0
    JOIN pg_index i ON i.indexrelid = r.oid
    CROSS JOIN LATERAL (SELECT CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END AS kind) d
    LEFT JOIN pg_constraint u ON u.conindid = r.oid AND u.conrelid = t.parent AND u.contype IN ('p', 'u', 'x')
    WHERE x.child_index IS NULL
    ORDER BY i.indisprimary DESC, r.oid)
$$;
COMMENT ON FUNCTION dbperf.attach_add(oid) IS 'Statements that give a table of the recycle bin the constraints and indexes which its parent got meanwhile';

-- Foreign keys that the parent has no more. Dropping one locks the table that it points to.
CREATE FUNCTION dbperf.attach_foreign_keys(partition oid)
RETURNS SETOF text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('ALTER TABLE %I.%I DROP CONSTRAINT %I', n.nspname, r.relname, c.conname)
    FROM dbperf.recycle_bin b
    JOIN pg_class r ON r.oid = b.partition JOIN pg_namespace n ON n.oid = r.relnamespace
    JOIN pg_constraint c ON c.conrelid = b.partition AND c.contype = 'f' AND c.conparentid = 0
    WHERE b.partition = $1 AND b.inherited -> 'foreign_keys' ? c.conname
    AND NOT EXISTS (SELECT FROM pg_constraint p WHERE p.conrelid = b.parent AND p.contype = 'f'
                    AND pg_get_constraintdef(p.oid) = pg_get_constraintdef(c.oid))
    ORDER BY c.conname
$$;
COMMENT ON FUNCTION dbperf.attach_foreign_keys(oid) IS 'Statements that drop foreign keys of a table of the recycle bin which its parent has no more';

CREATE FUNCTION dbperf.is_name_taken(name name, schema oid, relation oid)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM pg_class c WHERE c.relname = $1 AND c.relnamespace = $2 AND c.oid <> $3)
        OR EXISTS (SELECT FROM pg_type t WHERE t.typname = $1 AND t.typnamespace = $2 AND t.typrelid <> $3
                   AND EXISTS (SELECT FROM pg_class c WHERE c.oid = $3 AND c.reltype <> 0))
$$;
COMMENT ON FUNCTION dbperf.is_name_taken(name, oid, oid) IS 'Whether a relation cannot have a name in a schema';

-- Back to the schema and the names of before, as far as they are free.
CREATE FUNCTION dbperf.attach_place(partition oid)
RETURNS SETOF text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bin    dbperf.recycle_bin;
    source name;
    target pg_namespace;
    r      record;
    spare  name;
    final  name;
    after  text[] := '{}';
BEGIN
    SELECT * INTO STRICT bin FROM dbperf.recycle_bin b WHERE b.partition = attach_place.partition;
    SELECT n.nspname INTO STRICT source FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = bin.partition;
    SELECT * INTO target FROM pg_namespace n WHERE n.nspname = bin.original_schema;
    IF NOT FOUND THEN
        SELECT n.* INTO STRICT target FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = bin.parent;
        RAISE NOTICE 'schema "%" does not exist any more: the partition goes to schema "%"', bin.original_schema, target.nspname;
    END IF;
    FOR r IN
        SELECT 0 AS place, c.oid, c.relname, 'TABLE' AS kind, bin.original_name AS wanted FROM pg_class c WHERE c.oid = bin.partition
        UNION ALL
        SELECT 1, c.oid, c.relname, 'INDEX', coalesce(dbperf.inherited_index(bin, c.oid, c.relname), c.relname)
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = bin.partition
        ORDER BY place, relname
    LOOP
        spare := dbperf.name_with_oid(r.wanted, r.oid);
        final := CASE WHEN NOT dbperf.is_name_taken(r.wanted, target.oid, r.oid) THEN r.wanted
            WHEN NOT dbperf.is_name_taken(r.relname, target.oid, r.oid) THEN r.relname ELSE spare END;
        IF final <> r.wanted THEN
            RAISE NOTICE 'name "%" is taken in schema "%": the % of the partition is called "%"', r.wanted, target.nspname, lower(r.kind), final;
        END IF;
        -- a name that is taken there is given up before the move, one that is taken here is got after it
        IF source <> target.nspname AND dbperf.is_name_taken(r.relname, target.oid, r.oid) THEN
            RETURN NEXT format('ALTER %s %I.%I RENAME TO %I', r.kind, source, r.relname, spare);
            r.relname := spare;
        END IF;
        IF r.place = 0 AND source <> target.nspname THEN
            after := format('ALTER TABLE %I.%I SET SCHEMA %I', source, r.relname, target.nspname) || after;
        END IF;
        IF r.relname <> final THEN
            after := after || format('ALTER %s %I.%I RENAME TO %I', r.kind, target.nspname, r.relname, final);
        END IF;
    END LOOP;
    RETURN QUERY SELECT unnest(after);
END
$$;
COMMENT ON FUNCTION dbperf.attach_place(oid) IS 'Statements that move a table of the recycle bin back to where it was';

-- The privileges of before, for roles and columns that are still there.
CREATE FUNCTION dbperf.attach_grants(partition oid)
RETURNS SETOF text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bin   dbperf.recycle_bin;
    named text;
    stmt  text;
    parts text[];
    cols  text;
BEGIN
    SELECT * INTO STRICT bin FROM dbperf.recycle_bin b WHERE b.partition = attach_grants.partition;
    SELECT format('%I.%I', n.nspname, c.relname) INTO STRICT named
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = bin.partition;
    FOREACH stmt IN ARRAY bin.grants LOOP
        parts := regexp_match(stmt, '^GRANT ([A-Z]+)(?: \((.*?)\))? ON TABLE %s TO (.*?)( WITH GRANT OPTION)?$');
        IF parts[3] <> 'PUBLIC' AND NOT EXISTS (SELECT FROM pg_roles r WHERE quote_ident(r.rolname) = parts[3]) THEN
            RAISE WARNING 'role % does not exist any more, and gets no privilege % on partition % back', parts[3], parts[1], named
                USING ERRCODE = 'undefined_object';
            CONTINUE;
        END IF;
        IF parts[2] IS NOT NULL THEN
            cols := (SELECT format(' (%I)', m.parent_column) FROM dbperf.attach_columns(bin.partition) m
                WHERE replace(quote_ident(m.column_name), '%', '%%') = parts[2] AND m.parent_column IS NOT NULL);
            CONTINUE WHEN cols IS NULL;
        END IF;
        RETURN NEXT format('GRANT %s%s ON TABLE %s TO %s%s', parts[1], cols, named, parts[3], parts[4]);
        cols := NULL;
    END LOOP;
END
$$;
COMMENT ON FUNCTION dbperf.attach_grants(oid) IS 'Statements that give a partition which was attached again its privileges back';

CREATE FUNCTION dbperf.attach_partition(partition regclass, hold_for interval DEFAULT NULL)
RETURNS regclass
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_attach_partition';
COMMENT ON FUNCTION dbperf.attach_partition(regclass, interval) IS 'Puts a table of the recycle bin back as the partition that it was, with the columns, indexes and constraints that its parent has now; its policy leaves it alone for hold_for, or for recycle_for';
