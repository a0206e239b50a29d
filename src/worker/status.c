/*-------------------------------------------------------------------------
 *
 * status.c
 *		What the view dbperf.worker_status shows of shared memory.
 *
 * Works in every session: without the launcher, on a standby, and where the
 * library was not preloaded, it says just that.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "guc.h"
#include "shmem.h"

#define DBP_STARTING_MS 30000 /* a launcher that left comes back in 5 s */
#define DBP_STALE_MS 180000	  /* it is seen each 60 s, or it is stuck */

PG_FUNCTION_INFO_V1(dbperf_worker_state);

enum
{
	COL_PRELOADED,
	COL_STATE,
	COL_REASON,
	COL_LAUNCHER_PID,
	COL_LAUNCHER_STARTED_AT,
	COL_LAST_ALIVE,
	COL_NAPTIME,
	COL_ACTIVE_WORKER_PID,
	COL_ACTIVE_SINCE,
	COL_NEXT_RUN_AT,
	COL_PENDING_REQUESTS,
	COL_FAILURES,
	COL_LAST_ERROR,
	NUM_COLS
};

/* What shared memory says of the server and of this database */
typedef struct DbpSnapshot
{
	pid_t launcher_pid;
	TimestampTz launcher_started_at;
	TimestampTz launcher_left_at;
	TimestampTz last_alive;
	TimestampTz no_slots_since;
	bool active;
	pid_t active_pid;
	TimestampTz active_since;
	int pending;
	DbpPlan plan; /* dboid InvalidOid: none */
	char launcher_error[DBP_ERROR_LEN];
} DbpSnapshot;

static void
read_shmem(DbpSnapshot *snap)
{
	memset(snap, 0, sizeof(DbpSnapshot));
	if (dbp_shmem == NULL)
		return;

	LWLockAcquire(dbp_shmem->lock, LW_SHARED);
	snap->launcher_pid = dbp_shmem->launcher_pid;
	snap->launcher_started_at = dbp_shmem->launcher_started_at;
	snap->launcher_left_at = dbp_shmem->launcher_left_at;
	snap->last_alive = dbp_shmem->last_alive;
	snap->no_slots_since = dbp_shmem->no_slots_since;
	strlcpy(snap->launcher_error, dbp_shmem->launcher_error, DBP_ERROR_LEN);
	for (int i = 0; i < dbp_shmem->nslots; i++)
	{
		DbpSlot *slot = &dbp_shmem->slots[i];

		if (slot->dboid == MyDatabaseId && slot->state == DBP_SLOT_RUNNING)
		{
			snap->active = true;
			snap->active_pid = slot->pid;
			snap->active_since = slot->since;
		}
	}
	for (int i = 0; i < dbp_shmem->nwakes; i++)
		snap->pending += (dbp_shmem->wakes[i] == MyDatabaseId);
	for (int i = 0; i < dbp_shmem->nmissing; i++)
		snap->pending += (dbp_shmem->missing[i].dboid == MyDatabaseId);
	for (int i = 0; i < dbp_shmem->nplans; i++)
	{
		if (dbp_shmem->plans[i].dboid == MyDatabaseId)
			snap->plan = dbp_shmem->plans[i];
	}
	LWLockRelease(dbp_shmem->lock);
}

static bool
is_template(void)
{
	HeapTuple tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(MyDatabaseId));
	bool result = false;

	if (HeapTupleIsValid(tuple))
	{
		result = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
		ReleaseSysCache(tuple);
	}
	return result;
}

static bool
is_older_than(TimestampTz then, int64 ms)
{
	return GetCurrentTimestamp() > then + ms * INT64CONST(1000);
}

/*
 * The state of the worker as this database sees it, and what to do about it.
 */
static const char *
judge(const DbpSnapshot *snap, const char **reason)
{
	char *datname;

	*reason = NULL;
	if (dbp_shmem == NULL)
	{
		*reason = "add tradeassist_dbperf to shared_preload_libraries and restart the server";
		return "not preloaded";
	}
	if (RecoveryInProgress())
	{
		*reason = "the worker of the primary is at work; this one begins after a promotion";
		return "standby";
	}
	if (!dbp_enabled)
	{
		*reason = "set dbperf.enabled to on and reload the configuration";
		return "disabled";
	}

	datname = get_database_name(MyDatabaseId);
	if (datname != NULL && !dbp_database_listed(datname))
	{
		*reason = "add the database to dbperf.databases and reload the configuration";
		return "database not listed";
	}
	if (dbp_databases[0] == '\0' && is_template())
	{
		*reason = "template databases are left out unless dbperf.databases names them";
		return "database not listed";
	}

	if (snap->launcher_pid == 0)
	{
		TimestampTz since = snap->launcher_left_at != 0 ? snap->launcher_left_at : PgStartTime;

		if (!is_older_than(since, DBP_STARTING_MS))
			return "starting";
		*reason = "the launcher does not run: see the server log, and max_worker_processes";
		return "down";
	}
	if (is_older_than(snap->last_alive, DBP_STALE_MS))
	{
		*reason = "the launcher has shown no sign of life for minutes: see the server log";
		return "down";
	}
	if (snap->no_slots_since != 0)
	{
		*reason = "increase max_worker_processes and restart the server";
		return "no worker slots";
	}

	if (snap->launcher_error[0] != '\0' || snap->plan.failures > 0)
		*reason = "the last attempt failed and will be repeated: see last_error";
	else if (log_min_messages > ERROR || log_min_messages == LOG)
		*reason = "log_min_messages leaves out errors, so that inserts which find no partition "
				  "are not noticed";
	return "running";
}

static void
set_timestamp(Datum *value, bool *isnull, TimestampTz at)
{
	*value = TimestampTzGetDatum(at);
	*isnull = (at == 0);
}

/*
 * The launcher belongs to no database, and its messages to no encoding.
 */
static char *
clean_text(const char *text)
{
	char *result = pstrdup(text);

	if (!pg_verifymbstr(result, strlen(result), true))
	{
		for (char *p = result; *p != '\0'; p++)
		{
			if (IS_HIGHBIT_SET(*p))
				*p = '?';
		}
	}
	return result;
}

/*
 * worker_state() returns one row; see src/sql/50_worker.sql for the columns.
 */
Datum
dbperf_worker_state(PG_FUNCTION_ARGS)
{
	TupleDesc tupdesc;
	Datum values[NUM_COLS] = {0};
	bool nulls[NUM_COLS] = {0};
	DbpSnapshot snap;
	const char *reason;
	const char *error;
	Interval *naptime;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	tupdesc = BlessTupleDesc(tupdesc);

	read_shmem(&snap);
	values[COL_PRELOADED] = BoolGetDatum(dbp_shmem != NULL);
	values[COL_STATE] = CStringGetTextDatum(judge(&snap, &reason));
	if (reason != NULL)
		values[COL_REASON] = CStringGetTextDatum(reason);
	nulls[COL_REASON] = (reason == NULL);

	values[COL_LAUNCHER_PID] = Int32GetDatum(snap.launcher_pid);
	nulls[COL_LAUNCHER_PID] = (snap.launcher_pid == 0);
	set_timestamp(&values[COL_LAUNCHER_STARTED_AT], &nulls[COL_LAUNCHER_STARTED_AT],
				  snap.launcher_started_at);
	set_timestamp(&values[COL_LAST_ALIVE], &nulls[COL_LAST_ALIVE], snap.last_alive);

	naptime = (Interval *) palloc0(sizeof(Interval));
	naptime->time = dbp_naptime * USECS_PER_SEC;
	values[COL_NAPTIME] = IntervalPGetDatum(naptime);

	values[COL_ACTIVE_WORKER_PID] = Int32GetDatum(snap.active_pid);
	nulls[COL_ACTIVE_WORKER_PID] = !snap.active;
	set_timestamp(&values[COL_ACTIVE_SINCE], &nulls[COL_ACTIVE_SINCE], snap.active_since);
	set_timestamp(&values[COL_NEXT_RUN_AT], &nulls[COL_NEXT_RUN_AT], snap.plan.next_run);
	values[COL_PENDING_REQUESTS] = Int32GetDatum(snap.pending);
	values[COL_FAILURES] = Int32GetDatum(snap.plan.failures);

	error = snap.launcher_error[0] != '\0' ? snap.launcher_error : snap.plan.last_error;
	values[COL_LAST_ERROR] = CStringGetTextDatum(clean_text(error));
	nulls[COL_LAST_ERROR] = (error[0] == '\0');

	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(tupdesc, values, nulls)));
}
