--
-- Configuration: of the clients' pools, of the server, and what PgBouncer says of its own
--

CREATE FUNCTION dbperf.pgbouncer_pools(
    OUT database text,
    OUT "user" text,
    OUT cl_active bigint,
    OUT cl_waiting bigint,
    OUT sv_active bigint,
    OUT sv_idle bigint,
    OUT sv_used bigint,
    OUT sv_tested bigint,
    OUT sv_login bigint,
    OUT maxwait double precision,
    OUT pool_mode text)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dbperf_pgbouncer_pools';
COMMENT ON FUNCTION dbperf.pgbouncer_pools() IS 'SHOW POOLS of the PgBouncer that dbperf.pgbouncer_conninfo names: clients (cl_) and connections to servers (sv_) of each pool, and how many seconds the client that waits longest has waited; NULL: its release does not say. Two seconds to connect and two to answer, or an error';
GRANT EXECUTE ON FUNCTION dbperf.pgbouncer_pools() TO pg_monitor;

CREATE FUNCTION dbperf.pgbouncer_stats(
    OUT database text,
    OUT total_xact_count bigint,
    OUT total_query_count bigint,
    OUT total_received bigint,
    OUT total_sent bigint,
    OUT total_xact_time bigint,
    OUT total_query_time bigint,
    OUT total_wait_time bigint,
    OUT avg_xact_count bigint,
    OUT avg_query_count bigint,
    OUT avg_recv bigint,
    OUT avg_sent bigint,
    OUT avg_xact_time bigint,
    OUT avg_query_time bigint,
    OUT avg_wait_time bigint)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dbperf_pgbouncer_stats';
COMMENT ON FUNCTION dbperf.pgbouncer_stats() IS 'SHOW STATS of the PgBouncer that dbperf.pgbouncer_conninfo names: totals since it started, averages (a second, or each) over its last stats_period; bytes and microseconds; NULL: its release does not say';
GRANT EXECUTE ON FUNCTION dbperf.pgbouncer_stats() TO pg_monitor;

--
-- Pools of clients
--

-- A value as a piece of a configuration. Styles: python (a string), libpq (of a connection string),
-- ini (of PgBouncer's connection strings), url, property (of Java, in ISO 8859-1).
CREATE FUNCTION dbperf.configuration_value(value text, style text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE style
        WHEN 'python' THEN to_json(value)::text
        WHEN 'libpq' THEN '''' || replace(replace(value, '\', '\\'), '''', '\''') || ''''
        WHEN 'ini' THEN '''' || replace(value, '''', '''''') || ''''
        ELSE (
            SELECT coalesce(string_agg(CASE
                    WHEN style = 'url' AND c ~ '^[A-Za-z0-9._~-]$' COLLATE "C" THEN c
                    WHEN style = 'url' THEN regexp_replace(upper(encode(convert_to(c, 'UTF8'), 'hex')), '..', '%\&', 'g')
                    WHEN c = '\' OR c = ' ' AND n = 1 THEN '\' || c
                    WHEN ascii(c) BETWEEN 32 AND 126 THEN c
                    WHEN ascii(c) < 65536 THEN '\u' || lpad(to_hex(ascii(c)), 4, '0')
                    ELSE '\u' || to_hex(55296 + ((ascii(c) - 65536) >> 10)) || '\u' || to_hex(56320 + (ascii(c) & 1023))
                END, '' ORDER BY n), '')
            FROM string_to_table(value, NULL) WITH ORDINALITY s (c, n))
        END
$$;
COMMENT ON FUNCTION dbperf.configuration_value(text, text) IS 'Quotes a value for pool_config()';
GRANT EXECUTE ON FUNCTION dbperf.configuration_value(text, text) TO pg_monitor;

-- Where clients find this database, as far as it is known here: as this session found it, or as the
-- settings say. Java knows no Unix sockets. A pattern without % is taken for a name. pgbouncer_database:
-- what PgBouncer calls it; NULL: clients do not go through it.
CREATE FUNCTION dbperf.pool_settings(pool text,
    OUT pool_name text, OUT host text, OUT tcp_host text, OUT port integer, OUT database text, OUT username text, OUT application_name text,
    OUT size integer, OUT overflow integer, OUT timeout_s numeric, OUT recycle_s bigint, OUT pgbouncer_database text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p        dbperf.pools;
    listens  text := btrim(split_part(current_setting('listen_addresses'), ',', 1));
    sockets  text := (SELECT btrim(split_part(s.setting, ',', 1), ' "') FROM pg_settings s WHERE s.name = 'unix_socket_directories');
BEGIN
    SELECT * INTO p FROM dbperf.pools WHERE name = pool;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no pool is called %', coalesce(quote_ident(pool), 'NULL')
            USING ERRCODE = 'undefined_object',
                  HINT = format('Pools are the rows of dbperf.pools: %s.', (SELECT string_agg(quote_ident(name), ', ' ORDER BY name) FROM dbperf.pools));
    END IF;
    pool_name := p.name;
    tcp_host := coalesce(host(inet_server_addr()), CASE WHEN listens IN ('', '*', '0.0.0.0', '::') THEN 'localhost' ELSE listens END);
    host := CASE WHEN inet_server_addr() IS NULL AND listens = '' AND sockets <> '' THEN sockets ELSE tcp_host END;
    port := current_setting('port');
    database := current_database();
    username := coalesce(CASE WHEN p.username !~ '%' THEN replace(p.username, '\', '') END, session_user);
    application_name := coalesce(CASE WHEN p.application_name !~ '%' THEN replace(p.application_name, '\', '') END, p.name);
    -- everywhere a size of 0 would mean something else
    size := greatest(p.base_size, 1);
    overflow := greatest(p.base_size + p.max_overflow - size, 0);
    timeout_s := trim_scale(round(extract(epoch FROM p.acquire_timeout), 3));
    recycle_s := nullif(ceil(extract(epoch FROM p.recycle_after)), 0);
    pgbouncer_database := split_part(p.pgbouncer_pool, '/', 1);
END
$$;
COMMENT ON FUNCTION dbperf.pool_settings(text) IS 'What pool_config() writes down, of a row of dbperf.pools and this server';
GRANT EXECUTE ON FUNCTION dbperf.pool_settings(text) TO pg_monitor;

CREATE FUNCTION dbperf.pool_config_python(format text, s record)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    py_name text := dbperf.configuration_value(s.pool_name, 'python');
    target  text[] := ARRAY[dbperf.configuration_value(s.username, 'python'), dbperf.configuration_value(s.host, 'python'),
                            s.port::text, dbperf.configuration_value(s.database, 'python'), dbperf.configuration_value(s.application_name, 'python')];
BEGIN
    IF format = 'sqlalchemy' THEN
        RETURN format($py$# Pool %1$s: size %2$s, overflow %3$s.
# SQLAlchemy 1.4 or 2 with psycopg2. The password comes from PGPASSWORD or ~/.pgpass.
from sqlalchemy import create_engine
from sqlalchemy.engine import URL

engine = create_engine(
    URL.create(
        "postgresql+psycopg2",
        username=%4$s,
        host=%5$s,
        port=%6$s,
        database=%7$s,
    ),
    pool_size=%2$s,
    max_overflow=%3$s,
    pool_timeout=%8$s,
    pool_recycle=%9$s,
    pool_pre_ping=True,
    pool_use_lifo=True,
    connect_args={"application_name": %10$s, "connect_timeout": 10},
)
$py$, py_name, s.size, s.overflow, target[1], target[2], target[3], target[4], s.timeout_s, coalesce(s.recycle_s, -1), target[5]);
    END IF;
    RETURN format($py$# Pool %1$s: size %2$s, overflow %3$s.
# asyncpg 0.27 or later. The password comes from PGPASSWORD or ~/.pgpass.
import asyncio
import contextlib

import asyncpg


async def ping(connection):
    """Before each use: a connection that does not answer is thrown away."""
    try:
        await connection.execute("SELECT 1", timeout=5)
    except Exception as error:
        connection.terminate()
        raise ConnectionError("the connection does not answer") from error


async def make_pool():
    return await asyncpg.create_pool(
        user=%4$s,
        host=%5$s,
        port=%6$s,
        database=%7$s,
        server_settings={"application_name": %8$s},
        min_size=%2$s,
        max_size=%9$s,
        timeout=10,
        max_inactive_connection_lifetime=600,%10$s
        setup=ping,
    )


@contextlib.asynccontextmanager
async def connection(pool):
    """A connection of the pool that works, for as long as the block lasts."""
    for last_try in (False, True):
        try:
            acquired = await pool.acquire(timeout=%11$s)
            break
        except ConnectionError:
            if last_try:
                raise
    try:
        yield acquired
    finally:
        await pool.release(acquired)
%12$s$py$, py_name, s.size, s.overflow, target[1], target[2], target[3], target[4], target[5], s.size + s.overflow,
        CASE WHEN s.pgbouncer_database IS NOT NULL THEN E'\n        statement_cache_size=0,  # PgBouncer may change the server under it' END,
        s.timeout_s, CASE WHEN s.recycle_s IS NOT NULL THEN format($py$

async def recycle(pool):
    """A task to run beside the pool: no connection gets older than this."""
    while True:
        await asyncio.sleep(%s)
        await pool.expire_connections()
$py$, s.recycle_s) END);
END
$$;
COMMENT ON FUNCTION dbperf.pool_config_python(text, record) IS 'pool_config() for sqlalchemy and asyncpg';
GRANT EXECUTE ON FUNCTION dbperf.pool_config_python(text, record) TO pg_monitor;

-- Errors: invalid_parameter_value for another format, undefined_object for another pool.
CREATE FUNCTION dbperf.pool_config(format text, pool text DEFAULT 'default')
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s          record;
    -- HikariCP: none, or at least 30 s; what is younger than that has no idle time of its own
    lifetime   bigint;
BEGIN
    IF format IS NULL OR format NOT IN ('sqlalchemy', 'asyncpg', 'hikari', 'pgbouncer', 'libpq') THEN
        RAISE EXCEPTION 'format % is not known', coalesce(quote_literal(format), 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'It is sqlalchemy, asyncpg, hikari, pgbouncer or libpq.';
    END IF;
    SELECT * INTO s FROM dbperf.pool_settings(pool);
    IF format <> 'pgbouncer' AND s.pgbouncer_database IS NOT NULL THEN
        -- beside the server, at the port that is written below
        s.host := s.tcp_host;
        s.port := 6432;
        s.database := s.pgbouncer_database;
    END IF;
    IF format IN ('sqlalchemy', 'asyncpg') THEN
        RETURN dbperf.pool_config_python(format, s);
    ELSIF format = 'libpq' THEN
        RETURN (
            SELECT string_agg(keyword || '=' || CASE WHEN value ~ '^[A-Za-z0-9_./:-]+$' COLLATE "C" THEN value ELSE dbperf.configuration_value(value, 'libpq') END, ' ')
            FROM (VALUES ('host', s.host), ('port', s.port::text), ('dbname', s.database), ('user', s.username),
                         ('application_name', s.application_name), ('connect_timeout', greatest(ceil(s.timeout_s), 2)::text),
                         ('keepalives_idle', '60'), ('tcp_user_timeout', '30000'), ('target_session_attrs', CASE WHEN pg_is_in_recovery() THEN 'any' ELSE 'read-write' END)) v (keyword, value));
    ELSIF format = 'hikari' THEN
        lifetime := CASE WHEN s.recycle_s IS NULL THEN 0 ELSE greatest(s.recycle_s * 1000, 30000) END;
        RETURN format($properties$# Size %1$s, overflow %2$s. HikariCP 4 or later with PostgreSQL's JDBC driver; it makes sure that a
# connection works before it hands it out. The password is set by the application.
poolName=%3$s
jdbcUrl=jdbc:postgresql://%4$s:%5$s/%6$s?ApplicationName=%7$s&tcpKeepAlive=true&reWriteBatchedInserts=true%8$s
username=%9$s
minimumIdle=%1$s
maximumPoolSize=%10$s
connectionTimeout=%11$s
validationTimeout=%12$s
maxLifetime=%13$s
idleTimeout=%14$s
keepaliveTime=%15$s
$properties$, s.size, s.overflow, dbperf.configuration_value(replace(s.pool_name, ':', '_'), 'property'),
            CASE WHEN s.tcp_host ~ ':' THEN '[' || s.tcp_host || ']' ELSE s.tcp_host END, s.port,
            dbperf.configuration_value(s.database, 'url'), dbperf.configuration_value(s.application_name, 'url'),
            CASE WHEN s.pgbouncer_database IS NOT NULL THEN '&prepareThreshold=0' END, dbperf.configuration_value(s.username, 'property'),
            s.size + s.overflow, greatest(ceil(s.timeout_s * 1000), 250), least(greatest(ceil(s.timeout_s * 1000), 250), 5000),
            lifetime, CASE lifetime WHEN 0 THEN 600000 ELSE least(600000, lifetime / 2) END,
            CASE WHEN lifetime = 0 OR lifetime > 120000 THEN 60000 ELSE 0 END);
    END IF;
    IF concat(s.database, s.pool_name, s.host) ~ '[\r\n]' THEN
        RAISE EXCEPTION 'a configuration of PgBouncer cannot have names with line breaks in them'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Rename the database or the pool, or use another format.';
    END IF;
    RETURN format($ini$; Pool %1$s: size %2$s, overflow %3$s.
; Passwords are in auth_file, see userlist.txt in PgBouncer's manual; users of stats_users may be
; named in dbperf.pgbouncer_conninfo. With pool_mode transaction, a client cannot keep anything in its
; session: SET, LISTEN, temporary tables, advisory locks and, before PgBouncer 1.21, prepared statements.
[databases]
%4$s

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = 6432
auth_type = scram-sha-256
auth_file = /etc/pgbouncer/userlist.txt
stats_users = stats
pool_mode = transaction
default_pool_size = %2$s
reserve_pool_size = %3$s
reserve_pool_timeout = 1
max_db_connections = %5$s
max_client_conn = %6$s
query_wait_timeout = %7$s
server_lifetime = %8$s
server_idle_timeout = 600
server_check_query = select 1
server_check_delay = 10
server_connect_timeout = 10
ignore_startup_parameters = extra_float_digits
$ini$, to_json(s.pool_name), s.size, s.overflow,
        -- other names have no place before the =
        format('%s = host=%s port=%s dbname=%s', coalesce(substring(coalesce(s.pgbouncer_database, s.database) COLLATE "C" FROM '^[A-Za-z0-9_.-]+$'), '*'),
               dbperf.configuration_value(s.host, 'ini'), s.port, dbperf.configuration_value(s.database, 'ini')), s.size + s.overflow, greatest(100, 10 * (s.size + s.overflow)), greatest(ceil(s.timeout_s), 1),
        -- 0 would mean to use each once
        coalesce(s.recycle_s, 365 * 24 * 3600));
END
$$;
COMMENT ON FUNCTION dbperf.pool_config(text, text) IS 'A ready configuration of a pool of dbperf.pools for this database: sqlalchemy and asyncpg (Python), hikari (properties), pgbouncer (ini), libpq (a connection string); there is no password in it';
GRANT EXECUTE ON FUNCTION dbperf.pool_config(text, text) TO pg_monitor;

--
-- Settings of the server
--

CREATE FUNCTION dbperf.checkpoint_counts(OUT timed bigint, OUT requested bigint)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- 17 moved them
    IF current_setting('server_version_num')::integer >= 170000 THEN
        EXECUTE 'SELECT num_timed, num_requested FROM pg_stat_checkpointer' INTO timed, requested;
    ELSE
        EXECUTE 'SELECT checkpoints_timed, checkpoints_req FROM pg_stat_bgwriter' INTO timed, requested;
    END IF;
END
$$;
COMMENT ON FUNCTION dbperf.checkpoint_counts() IS 'Checkpoints since the statistics were reset: by checkpoint_timeout, and before that';
GRANT EXECUTE ON FUNCTION dbperf.checkpoint_counts() TO pg_monitor;

CREATE FUNCTION dbperf.setting_size(bytes numeric)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE WHEN bytes >= 2147483648 THEN trunc(bytes / 1073741824)::text || 'GB' ELSE greatest(trunc(bytes / 1048576), 1)::text || 'MB' END $$;
COMMENT ON FUNCTION dbperf.setting_size(numeric) IS 'A size as the settings have it';
GRANT EXECUTE ON FUNCTION dbperf.setting_size(numeric) TO pg_monitor;

-- What recommendations depend on. NULL: not known here.
CREATE FUNCTION dbperf.configuration_facts(
    OUT memory numeric, OUT cpus integer, OUT wal_disk numeric, OUT connections_needed bigint, OUT connections_max integer,
    OUT locks_needed bigint, OUT locks_max bigint, OUT locks_table text, OUT timed bigint, OUT requested bigint, OUT slots bigint,
    OUT managed bigint, OUT workers bigint, OUT preloaded boolean)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT max(s.value) FILTER (WHERE s.metric = 'memory_total_bytes'), max(s.value) FILTER (WHERE s.metric = 'cpu_count'),
           coalesce(max(s.value) FILTER (WHERE s.metric = 'disk_total_bytes' AND s.label = 'pg_wal'), max(s.value) FILTER (WHERE s.metric = 'disk_total_bytes' AND s.label = 'pg_default'))
    INTO memory, cpus, wal_disk FROM dbperf.system_stats() s WHERE s.value > 0;
    connections_max := current_setting('max_connections');
    connections_needed := (SELECT coalesce(sum(p.base_size::bigint + p.max_overflow), 0) FROM dbperf.pools p)
        + current_setting('superuser_reserved_connections')::integer + coalesce(current_setting('reserved_connections', true)::integer, 0);
    locks_max := current_setting('max_locks_per_transaction')::bigint * (connections_max + current_setting('max_prepared_transactions')::integer);
    SELECT sum(i.partitions * (1 + i.indexes)), i.parent::text INTO locks_needed, locks_table
    FROM (SELECT p.parent, (SELECT count(*) FROM pg_inherits h WHERE h.inhparent = p.parent) AS partitions,
                 (SELECT count(*) FROM pg_index x WHERE x.indrelid = p.parent) AS indexes FROM dbperf.policy p) i
    GROUP BY i.parent ORDER BY 1 DESC LIMIT 1;
    SELECT c.timed, c.requested INTO timed, requested FROM dbperf.checkpoint_counts() c;
    slots := (SELECT count(*) FROM pg_replication_slots);
    managed := (SELECT count(*) FROM dbperf.policy);
    -- the launcher, its workers, one for a session that asks, archivers and samplers
    workers := 2 + coalesce(current_setting('dbperf.max_workers', true)::integer, 0) + coalesce(current_setting('dbperf.archive_workers', true)::integer, 0)
        + least((SELECT count(*) FROM pg_database d WHERE d.datallowconn AND NOT d.datistemplate), current_setting('dbperf.max_databases', true)::bigint);
    preloaded := (SELECT c.preloaded FROM dbperf.counters_state() c);
END
$$;
COMMENT ON FUNCTION dbperf.configuration_facts() IS 'What validate_configuration() knows of the machine, the tables and the pools';
GRANT EXECUTE ON FUNCTION dbperf.configuration_facts() TO pg_monitor;

-- A row for each setting: what is recommended, whether it is so, how bad it is if not, and why. ok
-- NULL: that cannot be told here. Figures are what practice has shown to be a good start, no more.
CREATE FUNCTION dbperf.configuration_rules()
RETURNS TABLE (setting text, recommended text, ok boolean, severity text, why text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH f AS (
        SELECT k.*, pg_size_bytes(current_setting('shared_buffers'))::numeric AS buffers,
               coalesce(k.memory, 4::numeric * 1073741824) AS mem, coalesce(k.cpus, 4) AS cores,
               -- as it is then written down
               pg_size_bytes(dbperf.setting_size(least(16::numeric * 1073741824, greatest(268435456, coalesce(k.wal_disk, 64::numeric * 1073741824) / 4))))::numeric AS wal_goal,
               pg_size_bytes(current_setting('max_wal_size'))::numeric AS wal_size
        FROM dbperf.configuration_facts() k
    )
    SELECT r.* FROM f, LATERAL (VALUES
    -- memory
    ('shared_buffers', dbperf.setting_size(least(mem / 4, 32::numeric * 1073741824)),
        CASE WHEN memory IS NOT NULL THEN buffers BETWEEN least(memory * 0.15, 16::numeric * 1073741824) AND memory * 0.45 WHEN buffers < 134217728 THEN false END,
        CASE WHEN buffers BETWEEN mem * 0.05 AND mem * 0.6 THEN 'info' ELSE 'warning' END,
        'a quarter of the memory holds the indexes of the current partitions, so that inserts need not read them'),
    ('effective_cache_size', dbperf.setting_size(mem * 0.7),
        CASE WHEN memory IS NOT NULL THEN pg_size_bytes(current_setting('effective_cache_size')) BETWEEN memory * 0.4 AND memory * 0.95 END,
        'info', 'what PostgreSQL and the system can keep in memory together: the planner weighs index scans by it'),
    ('work_mem', dbperf.setting_size(least(greatest(mem / 4 / connections_max, 1048576), 67108864)),
        CASE WHEN memory IS NOT NULL THEN pg_size_bytes(current_setting('work_mem'))::numeric * connections_max <= greatest(memory / 2, 1048576 * connections_max) END,
        'warning', 'every connection may use it, several times in one query: together they must fit into memory'),
    ('maintenance_work_mem', dbperf.setting_size(least(greatest(mem / 20, 67108864), 2147483648)),
        pg_size_bytes(current_setting('maintenance_work_mem')) >= least(greatest(mem / 20, 67108864), 2147483648) / 2,
        'info', 'indexes are built and vacuumed with it, on partitions that are large'),
    ('huge_pages', 'try', current_setting('huge_pages') <> 'off' OR buffers < 8::numeric * 1073741824,
        'info', 'each connection has page tables of its own for shared_buffers'),
    -- write-ahead log and checkpoints
    ('fsync', 'on', current_setting('fsync')::boolean, 'critical', 'without it, a crash of the machine can destroy the whole cluster'),
    ('full_page_writes', 'on', current_setting('full_page_writes')::boolean, 'critical',
        'without it, a crash of the machine can leave pages half written'),
    ('synchronous_commit', 'on', current_setting('synchronous_commit') <> 'off', 'warning',
        'off loses the last commits in a crash, though the client was told they are safe; larger batches are as fast'),
    ('max_wal_size', dbperf.setting_size(wal_goal), wal_size BETWEEN least(wal_goal, 4::numeric * 1073741824) AND CASE WHEN wal_disk IS NULL THEN wal_size ELSE greatest(wal_disk / 2, wal_goal) END
            AND (wal_size >= wal_goal OR NOT coalesce(requested > timed AND requested >= 10, false)),
        CASE WHEN requested > timed AND requested >= 10 OR wal_size > wal_disk / 2 THEN 'warning' ELSE 'info' END,
        format('a checkpoint comes early when this much was written, and every page is then logged in full again (so far %s by time, %s before); it has to fit on the disk', timed, requested)),
    ('min_wal_size', dbperf.setting_size(least(wal_goal, 2147483648)), pg_size_bytes(current_setting('min_wal_size')) >= least(wal_goal, 1073741824),
        'info', 'files of the log that are kept are used again, which is cheaper than making them while rows come in'),
    ('checkpoint_timeout', '15min', current_setting('checkpoint_timeout')::interval >= interval '10 minutes', 'info',
        'after each checkpoint, every page is logged in full when it is first written'),
    ('checkpoint_completion_target', '0.9', current_setting('checkpoint_completion_target')::float8 >= 0.7, 'info',
        'spreads what a checkpoint writes, so that inserts do not stall'),
    ('wal_compression', CASE WHEN (SELECT 'lz4' = ANY (s.enumvals) FROM pg_settings s WHERE s.name = 'wal_compression') THEN 'lz4' ELSE 'on' END,
        current_setting('wal_compression') <> 'off', 'info', 'pages that are logged in full shrink to a fraction'),
    ('wal_buffers', '16MB', pg_size_bytes(current_setting('wal_buffers')) >= least(16777216, buffers / 33), 'info',
        'with less, sessions that insert in bulk write the log out themselves'),
    ('max_slot_wal_keep_size', dbperf.setting_size(wal_goal * 2), slots = 0 OR current_setting('max_slot_wal_keep_size') <> '-1', 'warning',
        format('a replication slot that nobody reads keeps the log until the disk is full; there are %s slots', slots)),
    -- autovacuum
    ('autovacuum', 'on', current_setting('autovacuum')::boolean, 'critical', 'without it, statistics go stale, and transaction ids run out in the end'),
    ('track_counts', 'on', current_setting('track_counts')::boolean, 'critical', 'without it, autovacuum knows of nothing to do'),
    ('autovacuum_max_workers', least(greatest(3, cores / 4), 10)::text, current_setting('autovacuum_max_workers')::integer >= 3, 'info',
        'one worker is busy with the current partition for long'),
    ('autovacuum_vacuum_cost_limit', '2000', CASE current_setting('autovacuum_vacuum_cost_limit') WHEN '-1' THEN current_setting('vacuum_cost_limit') ELSE current_setting('autovacuum_vacuum_cost_limit') END::integer >= 1000
            OR CASE current_setting('autovacuum_vacuum_cost_delay') WHEN '-1' THEN current_setting('vacuum_cost_delay') ELSE current_setting('autovacuum_vacuum_cost_delay') END::interval = interval '0',
        'info', 'vacuum is held back to some MB a second, which is less than comes in'),
    -- connections, locks, processes
    ('max_connections', least(greatest(connections_needed, 100), 262143)::text, connections_needed <= connections_max, 'critical',
        format('the pools of dbperf.pools may open %s connections, with those that are reserved: when they are full, the next is refused', connections_needed)),
    ('max_locks_per_transaction', greatest(64, ceil(4.0 * coalesce(locks_needed, 0) * current_setting('max_locks_per_transaction')::integer / locks_max))::text,
        coalesce(locks_needed, 0) * 4 <= locks_max, CASE WHEN locks_needed > locks_max THEN 'critical' ELSE 'warning' END,
        CASE WHEN locks_needed > 0 THEN format('a query on all partitions of %s takes %s locks, with their indexes; there is room for %s', locks_table, locks_needed, locks_max)
             ELSE 'a query on all partitions of a table takes a lock for each, and for each index' END),
    ('max_worker_processes', (workers + greatest(current_setting('max_parallel_workers')::integer, 2))::text, current_setting('max_worker_processes')::integer >= workers + 2,
        'warning', format('up to %s of them are for dbperf; parallel queries and replication share the rest', workers)),
    ('idle_in_transaction_session_timeout', '10min', current_setting('idle_in_transaction_session_timeout')::interval > interval '0', 'info',
        'a transaction that is left open holds up vacuum, and that partitions are detached and dropped'),
    -- planner, and what is to be seen
    ('enable_partition_pruning', 'on', current_setting('enable_partition_pruning')::boolean, 'warning', 'without it, every query reads every partition'),
    ('random_page_cost', '1.1', current_setting('random_page_cost')::float8 <= 2, 'info', 'on SSDs; the default is that of a spinning disk'),
    ('jit', 'off', NOT current_setting('jit')::boolean, 'info', 'the cost of many partitions adds up, and short queries are compiled for longer than they run'),
    ('track_io_timing', 'on', current_setting('track_io_timing')::boolean, 'info', 'shows what queries wait for the disk'),
    ('shared_preload_libraries', concat_ws(', ', (SELECT nullif(s.setting, '') FROM pg_settings s WHERE s.name = 'shared_preload_libraries'), CASE WHEN preloaded THEN NULL ELSE 'tradeassist_dbperf' END), coalesce(preloaded, false), 'warning', 'without it there is no worker, no sampling, and nothing is counted'),
    ('dbperf.max_tables', greatest(200, 2 * managed)::text, managed <= current_setting('dbperf.max_tables', true)::bigint, 'warning',
        format('%s tables are managed in this database: the counts of those beyond it are forgotten', managed))
    ) r (setting, recommended, ok, severity, why)
$$;
COMMENT ON FUNCTION dbperf.configuration_rules() IS 'What validate_configuration() goes by';
GRANT EXECUTE ON FUNCTION dbperf.configuration_rules() TO pg_monitor;

CREATE FUNCTION dbperf.validate_configuration()
RETURNS TABLE (setting text, current_value text, recommended text, why text, severity text, ok boolean, requires_restart boolean, pending_restart boolean)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.setting, s.shown, r.recommended, r.why, j.severity, r.ok, p.context = 'postmaster', p.pending_restart
    FROM dbperf.configuration_rules() WITH ORDINALITY r (setting, recommended, ok, severity, why, n)
    CROSS JOIN LATERAL (SELECT CASE WHEN r.ok THEN 'ok' WHEN r.ok IS NULL THEN 'info' ELSE r.severity END) j (severity)
    LEFT JOIN pg_settings p ON p.name = r.setting
    CROSS JOIN LATERAL (SELECT CASE WHEN p.name IS NOT NULL THEN current_setting(p.name) END) s (shown)
    ORDER BY array_position('{critical,warning,info,ok}', j.severity), r.n
$$;
COMMENT ON FUNCTION dbperf.validate_configuration() IS 'Settings that matter where many rows are written: as they are in this session, as they are recommended for this machine, and why; severity ok, info, warning or critical; ok NULL: it cannot be told, since the memory of the machine is not known';
GRANT EXECUTE ON FUNCTION dbperf.validate_configuration() TO pg_monitor;
