/*-------------------------------------------------------------------------
 *
 * job.c
 *		Bookkeeping of maintenance: dbperf.job_runs, dbperf.policy_state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "guc.h"
#include "partition/job.h"
#include "partition/statement.h"

static DbpStatement mark_crashed = {
	.sql = "UPDATE dbperf.job_runs SET status = 'crashed', finished_at = clock_timestamp(),"
		   " error = 'the process ended before the run did'"
		   " WHERE run_id IN (SELECT run_id FROM dbperf.job_runs r WHERE status = 'running'"
		   "  AND (r.pid = pg_backend_pid() OR NOT EXISTS (SELECT FROM"
		   "   pg_stat_get_activity(r.pid) a WHERE a.backend_start = r.backend_start))"
		   "  FOR UPDATE SKIP LOCKED)",
	.expected = SPI_OK_UPDATE,
};

static DbpStatement ask_restore = {
	.sql = "SELECT dbperf.restore_in_progress()",
	.expected = SPI_OK_SELECT,
};

static DbpStatement insert_run = {
	.sql = "INSERT INTO dbperf.job_runs (status, finished_at, parents_checked, partitions_created,"
		   " partitions_detached, partitions_dropped, failures, ms_waited, ms_held, tries, error,"
		   " partitions_compressed, source, reason, parent, started_at, pid, backend_start, job)"
		   " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,"
		   " $18, $19)"
		   " ON CONFLICT (run_id) DO NOTHING RETURNING run_id",
	.expected = SPI_OK_INSERT_RETURNING,
	.nargs = 19,
	.types = {TEXTOID, TIMESTAMPTZOID, INT4OID, INT4OID, INT4OID, INT4OID, INT4OID, FLOAT8OID,
			  FLOAT8OID, INT4OID, TEXTOID, INT4OID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID,
			  INT4OID, TIMESTAMPTZOID, TEXTOID},
};

static DbpStatement end_run = {
	.sql = "UPDATE dbperf.job_runs SET status = $1, finished_at = $2, parents_checked = $3,"
		   " partitions_created = $4, partitions_detached = $5, partitions_dropped = $6,"
		   " failures = $7, ms_waited = $8, ms_held = $9, tries = $10, error = $11,"
		   " partitions_compressed = $12 WHERE run_id = $13",
	.expected = SPI_OK_UPDATE,
	.nargs = 13,
	.types = {TEXTOID, TIMESTAMPTZOID, INT4OID, INT4OID, INT4OID, INT4OID, INT4OID, FLOAT8OID,
			  FLOAT8OID, INT4OID, TEXTOID, INT4OID, INT8OID},
};

/*
 * Here and below, a row that an open transaction has changed is left alone: a
 * session that sits on one must not hold up the maintenance of everything else.
 * The time stands in a subquery so that the index can be used.
 */
static DbpStatement forget_runs = {
	.sql = "DELETE FROM dbperf.job_runs WHERE run_id IN (SELECT run_id FROM dbperf.job_runs"
		   " WHERE finished_at < (SELECT clock_timestamp() - make_interval(mins => $1))"
		   " FOR UPDATE SKIP LOCKED)",
	.expected = SPI_OK_DELETE,
	.nargs = 1,
	.types = {INT4OID},
};

static DbpStatement forget_rejects = {
	.sql = "DELETE FROM dbperf.ingest_rejects WHERE reject_id IN"
		   " (SELECT reject_id FROM dbperf.ingest_rejects"
		   " WHERE at < (SELECT clock_timestamp() - make_interval(mins => $1))"
		   " FOR UPDATE SKIP LOCKED)",
	.expected = SPI_OK_DELETE,
	.nargs = 1,
	.types = {INT4OID},
};

static DbpStatement note_checked = {
	.sql = "UPDATE dbperf.policy_state SET last_run_at = clock_timestamp()"
		   " WHERE parent IN (SELECT parent FROM dbperf.policy_state WHERE parent = ANY ($1)"
		   " FOR UPDATE SKIP LOCKED)",
	.expected = SPI_OK_UPDATE,
	.nargs = 1,
	.types = {OIDARRAYOID},
};

static DbpStatement note_first_checked = {
	.sql = "INSERT INTO dbperf.policy_state (parent, last_run_at)"
		   " SELECT p.parent, clock_timestamp() FROM dbperf.policy p WHERE p.parent = ANY ($1)"
		   " AND NOT EXISTS (SELECT FROM dbperf.policy_state s WHERE s.parent = p.parent)"
		   " ON CONFLICT DO NOTHING",
	.expected = SPI_OK_INSERT,
	.nargs = 1,
	.types = {OIDARRAYOID},
};

static DbpStatement note_state = {
	.sql = "WITH free AS (SELECT parent FROM dbperf.policy_state WHERE parent = $1"
		   "  FOR UPDATE SKIP LOCKED),"
		   " lost AS (INSERT INTO dbperf.policy_state (parent, last_run_at, last_error,"
		   "  last_error_at, failures, next_try_at) SELECT p.parent, clock_timestamp(), $2,"
		   "  CASE WHEN $2 IS NOT NULL THEN clock_timestamp() END,"
		   "  CASE WHEN $2 IS NULL THEN 0 ELSE 1 END, $3 FROM dbperf.policy p WHERE p.parent = $1"
		   "  AND NOT EXISTS (SELECT FROM dbperf.policy_state s WHERE s.parent = p.parent)"
		   "  ON CONFLICT DO NOTHING)"
		   " UPDATE dbperf.policy_state s SET last_run_at = clock_timestamp(), last_error = $2,"
		   " last_error_at = CASE WHEN $2 IS NOT NULL THEN clock_timestamp() END,"
		   " next_try_at = $3, failures = CASE WHEN $2 IS NULL THEN 0 ELSE s.failures + 1 END"
		   " FROM free WHERE s.parent = free.parent",
	.expected = SPI_OK_UPDATE,
	.nargs = 3,
	.types = {OIDOID, TEXTOID, TIMESTAMPTZOID},
};

static DbpStatement note_retire_state = {
	.sql = "UPDATE dbperf.policy_state s SET retire_error = $2,"
		   " retire_error_at = CASE WHEN $2 IS NOT NULL THEN clock_timestamp() END,"
		   " retire_next_try_at = $3,"
		   " retire_failures = CASE WHEN $4 THEN s.retire_failures + 1 ELSE 0 END"
		   " WHERE s.parent IN (SELECT parent FROM dbperf.policy_state WHERE parent = $1"
		   "  FOR UPDATE SKIP LOCKED)",
	.expected = SPI_OK_UPDATE,
	.nargs = 4,
	.types = {OIDOID, TEXTOID, TIMESTAMPTZOID, BOOLOID},
};

static DbpStatement note_compress_state = {
	.sql = "UPDATE dbperf.policy_state s SET compress_error = $2,"
		   " compress_error_at = CASE WHEN $2 IS NOT NULL THEN clock_timestamp() END,"
		   " compress_next_try_at = $3,"
		   " compress_failures = CASE WHEN $4 THEN s.compress_failures + 1 ELSE 0 END"
		   " WHERE s.parent IN (SELECT parent FROM dbperf.policy_state WHERE parent = $1"
		   "  FOR UPDATE SKIP LOCKED)",
	.expected = SPI_OK_UPDATE,
	.nargs = 4,
	.types = {OIDOID, TEXTOID, TIMESTAMPTZOID, BOOLOID},
};

static DbpStatement begin_compress_attempt = {
	.sql = "INSERT INTO dbperf.compression AS c (partition, attempt_run, attempts)"
		   " VALUES ($1, $2, 1) ON CONFLICT (partition) DO UPDATE SET attempt_run = $2,"
		   " attempts = 1 + CASE WHEN EXISTS (SELECT FROM dbperf.job_runs r"
		   "  WHERE r.run_id = c.attempt_run AND r.status = 'crashed') THEN c.attempts ELSE 0 END"
		   " RETURNING c.attempts",
	.expected = SPI_OK_INSERT_RETURNING,
	.nargs = 2,
	.types = {OIDOID, INT8OID},
};

static DbpStatement end_compress_attempt = {
	.sql = "UPDATE dbperf.compression SET attempt_run = NULL, attempts = 0 WHERE partition = $1",
	.expected = SPI_OK_UPDATE,
	.nargs = 1,
	.types = {OIDOID},
};

static DbpStatement begin_attempt = {
	.sql = "UPDATE dbperf.policy_state s SET attempt_run = $2, attempts = 1 +"
		   " CASE WHEN EXISTS (SELECT FROM dbperf.job_runs r"
		   "  WHERE r.run_id = s.attempt_run AND r.status = 'crashed') THEN s.attempts ELSE 0 END"
		   " WHERE s.parent IN (SELECT parent FROM dbperf.policy_state WHERE parent = $1"
		   "  FOR UPDATE SKIP LOCKED) RETURNING s.attempts",
	.expected = SPI_OK_UPDATE_RETURNING,
	.nargs = 2,
	.types = {OIDOID, INT8OID},
};

static DbpStatement end_attempt = {
	.sql = "UPDATE dbperf.policy_state SET attempt_run = NULL, attempts = 0"
		   " WHERE parent IN (SELECT parent FROM dbperf.policy_state WHERE parent = $1"
		   "  FOR UPDATE SKIP LOCKED)",
	.expected = SPI_OK_UPDATE,
	.nargs = 1,
	.types = {OIDOID},
};

/*
 * Runs that say "running" but whose process is gone, or has come here to begin
 * another one, have crashed.
 */
void
dbp_job_mark_crashed(void)
{
	dbp_statement_run(&mark_crashed, NULL, NULL);
}

/*
 * Is a dump with policies being restored?
 */
bool
dbp_job_restore_in_progress(void)
{
	bool isnull;
	bool restoring;

	dbp_statement_run(&ask_restore, NULL, NULL);
	if (SPI_processed != 1)
		elog(ERROR, "could not ask dbperf.restore_in_progress()");
	restoring =
		DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return restoring;
}

/*
 * The first twelve arguments of both statements: how far a run has come.
 */
static void
set_outcome(const char *status, TimestampTz finished_at, const DbpMaintainResult *result,
			const DbpCost *cost, const char *error, Datum *values, char *nulls)
{
	memset(nulls, ' ', DBP_STATEMENT_ARGS);
	values[0] = CStringGetTextDatum(status);
	values[1] = TimestampTzGetDatum(finished_at);
	nulls[1] = finished_at == 0 ? 'n' : ' ';
	values[2] = Int32GetDatum(result->parents);
	values[3] = Int32GetDatum(result->created);
	values[4] = Int32GetDatum(result->detached);
	values[5] = Int32GetDatum(result->dropped);
	values[6] = Int32GetDatum(result->failed);
	values[7] = Float8GetDatum(cost->ms_waited);
	values[8] = Float8GetDatum(cost->ms_held);
	values[9] = Int32GetDatum(cost->tries);
	values[10] = dbp_text_or_null(error, &nulls[10]);
	values[11] = Int32GetDatum(result->compressed);
}

static void
insert_row(DbpJob *job, Datum *values, char *nulls)
{
	bool isnull;

	values[12] = CStringGetTextDatum(job->source);
	values[13] = CStringGetTextDatum(job->reason);
	values[14] = dbp_text_or_null(job->parent, &nulls[14]);
	values[15] = TimestampTzGetDatum(job->started_at);
	values[16] = Int32GetDatum(MyProcPid);
	values[17] = TimestampTzGetDatum(MyStartTimestamp);
	values[18] = CStringGetTextDatum(job->job);
	/* during a restore, the sequence may be behind the rows: on to the next number */
	do
	{
		CHECK_FOR_INTERRUPTS();
		dbp_statement_run(&insert_run, values, nulls);
	} while (SPI_processed == 0);
	job->run_id =
		DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Show a run as running.  Of use only when that is committed before the run
 * ends; otherwise dbp_job_end() alone will do.
 */
void
dbp_job_begin(DbpJob *job)
{
	DbpMaintainResult result = {0};
	DbpCost cost = {0};
	Datum values[DBP_STATEMENT_ARGS];
	char nulls[DBP_STATEMENT_ARGS];

	set_outcome("running", 0, &result, &cost, NULL, values, nulls);
	insert_row(job, values, nulls);
}

/*
 * End a run, and forget runs that are older than dbperf.job_runs_retention, and
 * rejects that are older than dbperf.ingest_rejects_retention.
 */
void
dbp_job_end(DbpJob *job, const char *status, const DbpMaintainResult *result, const DbpCost *cost,
			const char *error)
{
	Datum values[DBP_STATEMENT_ARGS];
	char nulls[DBP_STATEMENT_ARGS];
	Datum minutes = Int32GetDatum(dbp_job_runs_retention);

	set_outcome(status, GetCurrentTimestamp(), result, cost, error, values, nulls);
	values[12] = Int64GetDatum(job->run_id);
	if (job->run_id != 0)
		dbp_statement_run(&end_run, values, nulls);
	else
		insert_row(job, values, nulls);
	if (dbp_job_runs_retention > 0)
		dbp_statement_run(&forget_runs, &minutes, NULL);
	minutes = Int32GetDatum(dbp_ingest_rejects_retention);
	if (dbp_ingest_rejects_retention > 0)
		dbp_statement_run(&forget_rejects, &minutes, NULL);
}

/*
 * Note that these parents (an array of oid) were looked at.
 */
void
dbp_job_parents_checked(Datum *parents, int count)
{
	Datum values[1];

	if (count == 0)
		return;
	values[0] =
		PointerGetDatum(construct_array(parents, count, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
	dbp_statement_run(&note_checked, values, NULL);
	if (SPI_processed < (uint64) count)
		dbp_statement_run(&note_first_checked, values, NULL);
}

/*
 * Note that a run begins to make partitions of a parent.  Returns how many
 * runs in a row have, all but this one having crashed.
 */
int
dbp_job_attempt_begin(const DbpJob *job, Oid parent)
{
	Datum values[2];
	bool isnull;
	int attempts = 1;

	values[0] = ObjectIdGetDatum(parent);
	values[1] = Int64GetDatum(job->run_id);
	dbp_statement_run(&begin_attempt, values, NULL);
	if (SPI_processed > 0)
		attempts =
			DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return attempts;
}

/*
 * Note that it has come to an end, one way or the other.
 */
void
dbp_job_attempt_end(Oid parent)
{
	Datum value = ObjectIdGetDatum(parent);

	dbp_statement_run(&end_attempt, &value, NULL);
}

/*
 * Note how a parent's last step ended: error is NULL when all is well.
 */
void
dbp_job_parent_state(Oid parent, const char *error, TimestampTz next_try_at)
{
	Datum values[3];
	char nulls[3] = {' ', error == NULL ? 'n' : ' ', error == NULL ? 'n' : ' '};

	values[0] = ObjectIdGetDatum(parent);
	values[1] = error == NULL ? (Datum) 0 : CStringGetTextDatum(error);
	values[2] = TimestampTzGetDatum(next_try_at);
	dbp_statement_run(&note_state, values, nulls);
}

/*
 * The same for its last step of retiring: a message is what it failed with, or
 * only waits for.
 */
void
dbp_job_retire_state(Oid parent, const char *message, TimestampTz next_try_at, bool failed)
{
	Datum values[4];
	char nulls[4] = {' ', message == NULL ? 'n' : ' ', message == NULL ? 'n' : ' ', ' '};

	values[0] = ObjectIdGetDatum(parent);
	values[1] = message == NULL ? (Datum) 0 : CStringGetTextDatum(message);
	values[2] = TimestampTzGetDatum(next_try_at);
	values[3] = BoolGetDatum(failed);
	dbp_statement_run(&note_retire_state, values, nulls);
}

/*
 * The same for compressing.
 */
void
dbp_job_compress_state(Oid parent, const char *message, TimestampTz next_try_at, bool failed)
{
	Datum values[4];
	char nulls[4] = {' ', message == NULL ? 'n' : ' ', message == NULL ? 'n' : ' ', ' '};

	values[0] = ObjectIdGetDatum(parent);
	values[1] = message == NULL ? (Datum) 0 : CStringGetTextDatum(message);
	values[2] = TimestampTzGetDatum(next_try_at);
	values[3] = BoolGetDatum(failed);
	dbp_statement_run(&note_compress_state, values, nulls);
}

/*
 * Note that a run begins to compress a partition.  Returns how many runs in a
 * row have, all but this one having crashed.
 */
int
dbp_job_compress_attempt_begin(const DbpJob *job, Oid partition)
{
	Datum values[2];
	bool isnull;
	int attempts;

	values[0] = ObjectIdGetDatum(partition);
	values[1] = Int64GetDatum(job->run_id);
	dbp_statement_run(&begin_compress_attempt, values, NULL);
	attempts =
		DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return attempts;
}

void
dbp_job_compress_attempt_end(Oid partition)
{
	Datum value = ObjectIdGetDatum(partition);

	dbp_statement_run(&end_compress_attempt, &value, NULL);
}
