/*-------------------------------------------------------------------------
 *
 * job.c
 *		Bookkeeping of maintenance: dbperf.job_runs, dbperf.policy_state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "guc.h"
#include "partition/job.h"

static void
run_sql(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls, int expected)
{
	DbpIdentity saved;
	int			result;

	dbp_become_extension(&saved);
	result = SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0);
	if (result != expected)
		elog(ERROR, "SPI_execute_with_args returned %s for \"%s\"", SPI_result_code_string(result),
			 sql);
	dbp_restore_identity(&saved);
}

/*
 * Runs that say "running" but whose process is gone, or has come here to begin
 * another one, have crashed.
 */
void
dbp_job_mark_crashed(void)
{
	run_sql("UPDATE dbperf.job_runs j SET status = 'crashed', finished_at = clock_timestamp(),"
			" error = 'the process ended before the run did'"
			" WHERE status = 'running' AND (j.pid = pg_backend_pid() OR NOT EXISTS (SELECT FROM"
			" pg_stat_get_activity(j.pid) a WHERE a.backend_start = j.backend_start))",
			0, NULL, NULL, NULL, SPI_OK_UPDATE);
}

/*
 * Is a dump with policies being restored?
 */
bool
dbp_job_restore_in_progress(void)
{
	DbpIdentity saved;
	bool		isnull;
	bool		restoring;

	dbp_become_extension(&saved);
	if (SPI_execute("SELECT dbperf.restore_in_progress()", false, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not ask dbperf.restore_in_progress()");
	restoring = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	dbp_restore_identity(&saved);
	return restoring;
}

/*
 * Begin a run; returns its run_id.
 */
int64
dbp_job_begin(const char *source, const char *reason, const char *parent)
{
	Oid			types[3] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		values[3];
	char		nulls[3] = {' ', ' ', parent == NULL ? 'n' : ' '};
	bool		isnull;
	int64		run_id;

	values[0] = CStringGetTextDatum(source);
	values[1] = CStringGetTextDatum(reason);
	values[2] = parent == NULL ? (Datum) 0 : CStringGetTextDatum(parent);
	run_sql("INSERT INTO dbperf.job_runs (source, reason, parent, pid, backend_start)"
			" SELECT $1, $2, $3, a.pid, a.backend_start"
			" FROM pg_stat_get_activity(pg_backend_pid()) a RETURNING run_id",
			3, types, values, nulls, SPI_OK_INSERT_RETURNING);
	if (SPI_processed != 1)
		elog(ERROR, "could not write dbperf.job_runs");
	run_id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return run_id;
}

/*
 * End a run, and forget runs that are older than dbperf.job_runs_retention.
 */
void
dbp_job_end(int64 run_id, const char *status, const DbpMaintainResult *result, const DbpCost *cost,
			const char *error)
{
	Oid			types[10] = {INT8OID, TEXTOID, INT4OID, INT4OID, INT4OID, FLOAT8OID, FLOAT8OID,
							 INT4OID, TEXTOID, INT4OID};
	Datum		values[10];
	char		nulls[10];

	memset(nulls, ' ', sizeof(nulls));
	values[0] = Int64GetDatum(run_id);
	values[1] = CStringGetTextDatum(status);
	values[2] = Int32GetDatum(result->parents);
	values[3] = Int32GetDatum(result->created);
	values[4] = Int32GetDatum(result->failed);
	values[5] = Float8GetDatum(cost->ms_waited);
	values[6] = Float8GetDatum(cost->ms_held);
	values[7] = Int32GetDatum(cost->tries);
	values[8] = error == NULL ? (Datum) 0 : CStringGetTextDatum(error);
	nulls[8] = error == NULL ? 'n' : ' ';
	values[9] = Int32GetDatum(dbp_job_runs_retention);
	run_sql("WITH old AS (DELETE FROM dbperf.job_runs"
			"  WHERE $10 > 0 AND finished_at < clock_timestamp() - make_interval(mins => $10))"
			" UPDATE dbperf.job_runs SET status = $2, finished_at = clock_timestamp(),"
			" parents_checked = $3, partitions_created = $4, failures = $5, ms_waited = $6,"
			" ms_held = $7, tries = $8, error = $9 WHERE run_id = $1",
			10, types, values, nulls, SPI_OK_UPDATE);
}

/*
 * Note that these parents (an array of oid) were looked at.
 */
void
dbp_job_parents_checked(Datum *parents, int count)
{
	Oid			types[1] = {OIDARRAYOID};
	Datum		values[1];

	if (count == 0)
		return;
	values[0] = PointerGetDatum(construct_array(parents, count, OIDOID, sizeof(Oid), true,
												TYPALIGN_INT));
	run_sql("INSERT INTO dbperf.policy_state (parent, last_run_at)"
			" SELECT p.parent, clock_timestamp() FROM dbperf.policy p WHERE p.parent = ANY ($1)"
			" ON CONFLICT (parent) DO UPDATE SET last_run_at = excluded.last_run_at",
			1, types, values, NULL, SPI_OK_INSERT);
}

/*
 * Note how a parent's last step ended: error is NULL when all is well.
 */
void
dbp_job_parent_state(Oid parent, const char *error, TimestampTz next_try_at)
{
	Oid			types[3] = {OIDOID, TEXTOID, TIMESTAMPTZOID};
	Datum		values[3];
	char		nulls[3] = {' ', error == NULL ? 'n' : ' ', error == NULL ? 'n' : ' '};

	values[0] = ObjectIdGetDatum(parent);
	values[1] = error == NULL ? (Datum) 0 : CStringGetTextDatum(error);
	values[2] = TimestampTzGetDatum(next_try_at);
	run_sql("INSERT INTO dbperf.policy_state AS s (parent, last_run_at, last_error, last_error_at,"
			" failures, next_try_at) SELECT p.parent, clock_timestamp(), $2,"
			" CASE WHEN $2 IS NOT NULL THEN clock_timestamp() END,"
			" CASE WHEN $2 IS NULL THEN 0 ELSE 1 END, $3 FROM dbperf.policy p WHERE p.parent = $1"
			" ON CONFLICT (parent) DO UPDATE SET last_run_at = excluded.last_run_at,"
			" last_error = excluded.last_error, last_error_at = excluded.last_error_at,"
			" next_try_at = excluded.next_try_at,"
			" failures = CASE WHEN $2 IS NULL THEN 0 ELSE s.failures + 1 END",
			3, types, values, nulls, SPI_OK_INSERT);
}
