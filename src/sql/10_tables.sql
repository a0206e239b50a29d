--
-- Tables of the extension
--

CREATE TABLE dbperf.policy (
    parent             regclass  PRIMARY KEY,
    partition_interval interval,
    partition_step     bigint,
    epoch_unit         text,
    premake            integer   NOT NULL DEFAULT 2,
    anchor             timestamp without time zone,
    anchor_key         bigint,
    time_zone          text      NOT NULL DEFAULT 'UTC',
    naming_pattern     text      NOT NULL DEFAULT '{table}_{from}',
    tablespace         name,
    enabled            boolean   NOT NULL DEFAULT true,
    run_order          integer   NOT NULL DEFAULT 100,
    lock_budget        interval  NOT NULL DEFAULT '200 ms',
    sanity_window      interval,
    sanity_step        bigint,
    detach_after       interval,
    detach_step        bigint,
    drop_after         interval,
    drop_step          bigint,
    recycle_for        interval  NOT NULL DEFAULT '7 days',
    archive_schema     name,
    require_archive    boolean   NOT NULL DEFAULT false,
    quiet_hours        text,
    lock_tries         integer   NOT NULL DEFAULT 4,
    compress_after     interval,
    compress_step      bigint,
    sort_by            text[],
    recompress_after   interval           DEFAULT '1 day',
    recompress_rows    bigint    NOT NULL DEFAULT 100000,
    created_at         timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE dbperf.policy IS 'How the partitions of each managed table are to be; every row is validated when it is written';
COMMENT ON COLUMN dbperf.policy.parent IS 'the partitioned table';
COMMENT ON COLUMN dbperf.policy.partition_interval IS 'length of a partition, for keys that are times; months and days are calendar units of time_zone, hours and less are exact';
COMMENT ON COLUMN dbperf.policy.partition_step IS 'length of a partition, for integer keys that are plain numbers';
COMMENT ON COLUMN dbperf.policy.epoch_unit IS 'what an integer key counts since 1970-01-01 UTC: seconds, milliseconds or microseconds; NULL: plain numbers';
COMMENT ON COLUMN dbperf.policy.premake IS 'number of partitions kept ready beyond the current one';
COMMENT ON COLUMN dbperf.policy.anchor IS 'one bound of the grid, as wall clock time in time_zone; all others lie whole intervals away';
COMMENT ON COLUMN dbperf.policy.anchor_key IS 'one bound of the grid, for plain numbers';
COMMENT ON COLUMN dbperf.policy.time_zone IS 'IANA time zone in which days and months begin';
COMMENT ON COLUMN dbperf.policy.naming_pattern IS 'names of new partitions: {table}, {from}, {to}, {from:FORMAT} and {to:FORMAT} with a FORMAT of to_char()';
COMMENT ON COLUMN dbperf.policy.tablespace IS 'tablespace of new partitions; NULL: as the parent says';
COMMENT ON COLUMN dbperf.policy.enabled IS 'whether maintenance looks at this table';
COMMENT ON COLUMN dbperf.policy.run_order IS 'lower numbers are maintained first';
COMMENT ON COLUMN dbperf.policy.lock_budget IS 'how long one try may poll for its locks, and the longest wait that maintenance may cause';
COMMENT ON COLUMN dbperf.policy.sanity_window IS 'an insert that found no partition has one made if its key lies this close to now';
COMMENT ON COLUMN dbperf.policy.sanity_step IS 'the same for plain numbers, around the highest partition with rows';
COMMENT ON COLUMN dbperf.policy.detach_after IS 'a partition is detached once its upper bound is this old, for keys that are times; NULL: when it is due to be dropped, or never';
COMMENT ON COLUMN dbperf.policy.detach_step IS 'the same for plain numbers: once its upper bound lies this far behind the current key';
COMMENT ON COLUMN dbperf.policy.drop_after IS 'a detached partition is dropped once its upper bound is this old, and not before it was in the recycle bin for recycle_for; NULL: never';
COMMENT ON COLUMN dbperf.policy.drop_step IS 'the same for plain numbers';
COMMENT ON COLUMN dbperf.policy.recycle_for IS 'the shortest time between detaching a partition and dropping it';
COMMENT ON COLUMN dbperf.policy.archive_schema IS 'schema of detached partitions; NULL: that of the parent with "_archive" added';
COMMENT ON COLUMN dbperf.policy.require_archive IS 'whether a partition is dropped only after confirm_archive()';
COMMENT ON COLUMN dbperf.policy.quiet_hours IS 'HH:MM-HH:MM in time_zone, may go past midnight: nothing is detached or dropped in these hours';
COMMENT ON COLUMN dbperf.policy.lock_tries IS 'how many rounds of polling for locks a partition is given before it has to wait for the next run';
COMMENT ON COLUMN dbperf.policy.compress_after IS 'a partition becomes columnar storage once its upper bound is this old, for keys that are times; NULL: never';
COMMENT ON COLUMN dbperf.policy.compress_step IS 'the same for plain numbers: once its upper bound lies this far behind the current key';
COMMENT ON COLUMN dbperf.policy.sort_by IS 'columns that rows are sorted by when a partition is compressed; NULL: the first other index column, then the partition key';
COMMENT ON COLUMN dbperf.policy.recompress_after IS 'rows of a compressed partition that were written or deleted since are merged into it when the first of them is this old; NULL: only by their number';
COMMENT ON COLUMN dbperf.policy.recompress_rows IS 'and before that when there are this many';
COMMENT ON COLUMN dbperf.policy.created_at IS 'when the table came under management; a row that arrives with another time than now comes from a dump';

-- What the last run knew of each policy; made anew when it is lost.
CREATE TABLE dbperf.policy_state (
    parent         regclass PRIMARY KEY,
    last_run_at    timestamptz,
    last_error     text,
    last_error_at  timestamptz,
    failures       integer NOT NULL DEFAULT 0,
    next_try_at    timestamptz,
    retire_error   text,
    retire_error_at timestamptz,
    retire_failures integer NOT NULL DEFAULT 0,
    retire_next_try_at timestamptz,
    compress_error text,
    compress_error_at timestamptz,
    compress_failures integer NOT NULL DEFAULT 0,
    compress_next_try_at timestamptz,
    clock_at       timestamptz,
    clock_suspect_until timestamptz,
    boot_id        text,
    boot_at        timestamptz,
    attempt_run    bigint,
    attempts       integer NOT NULL DEFAULT 0,
    restored_by    integer,
    restorer_start timestamptz
);
COMMENT ON TABLE dbperf.policy_state IS 'When each managed table was last looked at, and what went wrong';
COMMENT ON COLUMN dbperf.policy_state.retire_error IS 'what keeps partitions from being detached or dropped; NULL: nothing';
COMMENT ON COLUMN dbperf.policy_state.retire_failures IS 'how often in a row that failed, or had to wait for others to end';
COMMENT ON COLUMN dbperf.policy_state.retire_next_try_at IS 'when it is tried again; a call by hand does not wait for it';
COMMENT ON COLUMN dbperf.policy_state.compress_error IS 'what keeps partitions from being compressed; NULL: nothing';
COMMENT ON COLUMN dbperf.policy_state.compress_failures IS 'how often in a row that failed, or found the partition in use';
COMMENT ON COLUMN dbperf.policy_state.compress_next_try_at IS 'when it is tried again; a call by hand does not wait for it';
COMMENT ON COLUMN dbperf.policy_state.clock_at IS 'time at the last look for partitions to retire';
COMMENT ON COLUMN dbperf.policy_state.clock_suspect_until IS 'the clock has jumped: until then nothing is detached or dropped by policy';
COMMENT ON COLUMN dbperf.policy_state.boot_id IS 'start of the machine that this was in';
COMMENT ON COLUMN dbperf.policy_state.boot_at IS 'when the clock said that start was';
COMMENT ON COLUMN dbperf.policy_state.attempt_run IS 'run of the worker that makes partitions of this table, or crashed at it; NULL: none';
COMMENT ON COLUMN dbperf.policy_state.attempts IS 'how many such runs there were in a row';
COMMENT ON COLUMN dbperf.policy_state.restored_by IS 'process that brought the policy from a dump; NULL: it was made here';
COMMENT ON COLUMN dbperf.policy_state.restorer_start IS 'start of that process';

CREATE TABLE dbperf.compression (
    partition        regclass PRIMARY KEY,
    compressed_at    timestamptz,
    recompressed_at  timestamptz,
    rows             bigint,
    raw_bytes        bigint,
    compressed_bytes bigint,
    late_rows        bigint NOT NULL DEFAULT 0,
    kept_rows        bigint NOT NULL DEFAULT 0,
    late_since       timestamptz,
    counted_at       timestamptz,
    changes          bigint,
    hold_until       timestamptz,
    attempt_run      bigint,
    attempts         integer NOT NULL DEFAULT 0
);
COMMENT ON TABLE dbperf.compression IS 'What is known of compressed tables beside what is in them; made anew when it is lost';
COMMENT ON COLUMN dbperf.compression.partition IS 'the table, be it a partition or not';
COMMENT ON COLUMN dbperf.compression.compressed_at IS 'when it was compressed; NULL: it is not, or not by compress_partition() or a policy';
COMMENT ON COLUMN dbperf.compression.recompressed_at IS 'when late rows were last merged';
COMMENT ON COLUMN dbperf.compression.rows IS 'rows that it had then';
COMMENT ON COLUMN dbperf.compression.raw_bytes IS 'bytes with indexes and TOAST before it was compressed; when rows were merged since, in proportion to their number';
COMMENT ON COLUMN dbperf.compression.compressed_bytes IS 'bytes after that';
COMMENT ON COLUMN dbperf.compression.late_rows IS 'rows outside batches, and rows of batches that are deleted or changed, as last counted';
COMMENT ON COLUMN dbperf.compression.kept_rows IS 'those of them that merging left as they are';
COMMENT ON COLUMN dbperf.compression.late_since IS 'when the first of the others was found; NULL: there are none';
COMMENT ON COLUMN dbperf.compression.counted_at IS 'when they were last counted';
COMMENT ON COLUMN dbperf.compression.changes IS 'changed rows by the statistics of the server, at that time';
COMMENT ON COLUMN dbperf.compression.hold_until IS 'a table that was decompressed by hand is not compressed by its policy before';
COMMENT ON COLUMN dbperf.compression.attempt_run IS 'run that works on it, or crashed at it; NULL: none';
COMMENT ON COLUMN dbperf.compression.attempts IS 'how many such runs there were in a row';

CREATE SEQUENCE dbperf.job_runs_run_id_seq;
CREATE TABLE dbperf.job_runs (
    run_id             bigint PRIMARY KEY DEFAULT nextval('dbperf.job_runs_run_id_seq'),
    job                text NOT NULL DEFAULT 'maintenance',
    source             text NOT NULL,
    reason             text NOT NULL,
    parent             text,
    started_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at        timestamptz,
    status             text NOT NULL DEFAULT 'running'
        CHECK (status IN ('running', 'ok', 'partial', 'failed', 'canceled', 'crashed')),
    parents_checked    integer NOT NULL DEFAULT 0,
    partitions_created integer NOT NULL DEFAULT 0,
    partitions_detached integer NOT NULL DEFAULT 0,
    partitions_dropped integer NOT NULL DEFAULT 0,
    partitions_compressed integer NOT NULL DEFAULT 0,
    failures           integer NOT NULL DEFAULT 0,
    ms_waited          numeric(14,3) NOT NULL DEFAULT 0,
    ms_held            numeric(14,3) NOT NULL DEFAULT 0,
    tries              integer NOT NULL DEFAULT 0,
    error              text,
    pid                integer,
    backend_start      timestamptz
);
ALTER SEQUENCE dbperf.job_runs_run_id_seq OWNED BY dbperf.job_runs.run_id;
CREATE INDEX job_runs_finished_at_idx ON dbperf.job_runs (finished_at);
CREATE INDEX job_runs_running_idx ON dbperf.job_runs (run_id) WHERE status = 'running';
COMMENT ON TABLE dbperf.job_runs IS 'One row for each run of maintenance, kept for dbperf.job_runs_retention';
COMMENT ON COLUMN dbperf.job_runs.job IS 'maintenance, or compression where a process of its own does that';
COMMENT ON COLUMN dbperf.job_runs.source IS 'worker, cron or manual';
COMMENT ON COLUMN dbperf.job_runs.reason IS 'schedule, wake, missing_partition or request';
COMMENT ON COLUMN dbperf.job_runs.parent IS 'the one table that the run was for; NULL: all';
COMMENT ON COLUMN dbperf.job_runs.status IS 'running, ok, partial (some tables failed), failed, canceled, or crashed (its process ended before the run did)';
COMMENT ON COLUMN dbperf.job_runs.partitions_compressed IS 'compressed, or had late rows merged';
COMMENT ON COLUMN dbperf.job_runs.ms_waited IS 'milliseconds of polling for locks, while none was held';
COMMENT ON COLUMN dbperf.job_runs.ms_held IS 'milliseconds that locks on the tables were held';

CREATE SEQUENCE dbperf.partition_events_event_id_seq;
CREATE TABLE dbperf.partition_events (
    event_id    bigint PRIMARY KEY DEFAULT nextval('dbperf.partition_events_event_id_seq'),
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    source      text NOT NULL,
    actor       text NOT NULL DEFAULT session_user,
    action      text NOT NULL,
    parent      text,
    partition   text,
    lower_bound text,
    upper_bound text,
    ms_waited   numeric(14,3),
    ms_held     numeric(14,3),
    tries       integer,
    message     text,
    detail      jsonb,
    seq         bigint UNIQUE,
    prev_hash   bytea,
    hash        bytea
);
ALTER SEQUENCE dbperf.partition_events_event_id_seq OWNED BY dbperf.partition_events.event_id;
CREATE INDEX partition_events_parent_at_idx ON dbperf.partition_events (parent, at);
COMMENT ON TABLE dbperf.partition_events IS 'Append-only audit of everything done to partitions and policies, hash-chained in the order of commit; see verify_audit()';
COMMENT ON COLUMN dbperf.partition_events.source IS 'worker, cron or manual';
COMMENT ON COLUMN dbperf.partition_events.actor IS 'the session user';
COMMENT ON COLUMN dbperf.partition_events.lower_bound IS 'inclusive; times in UTC';
COMMENT ON COLUMN dbperf.partition_events.upper_bound IS 'exclusive; times in UTC';
COMMENT ON COLUMN dbperf.partition_events.ms_waited IS 'milliseconds of polling for locks, while none was held';
COMMENT ON COLUMN dbperf.partition_events.ms_held IS 'milliseconds that locks were held, until just before commit';
COMMENT ON COLUMN dbperf.partition_events.tries IS 'rounds of polling that the locks took';
COMMENT ON COLUMN dbperf.partition_events.seq IS 'position in the chain';
COMMENT ON COLUMN dbperf.partition_events.prev_hash IS 'hash of the event before';
COMMENT ON COLUMN dbperf.partition_events.hash IS 'SHA-256 of prev_hash and of every other column';

-- Where the chain ends: without it, the newest events could be cut off unseen.
CREATE TABLE dbperf.audit_head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    seq      bigint NOT NULL,
    hash     bytea
);
COMMENT ON TABLE dbperf.audit_head IS 'The end of the chain of partition_events';

SELECT pg_catalog.pg_extension_config_dump('dbperf.policy', '');
SELECT pg_catalog.pg_extension_config_dump('dbperf.compression', '');
SELECT pg_catalog.pg_extension_config_dump('dbperf.job_runs', '');
SELECT pg_catalog.pg_extension_config_dump('dbperf.job_runs_run_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('dbperf.partition_events', '');
SELECT pg_catalog.pg_extension_config_dump('dbperf.partition_events_event_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('dbperf.audit_head', '');
