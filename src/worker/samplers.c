/*-------------------------------------------------------------------------
 *
 * samplers.c
 *		The list of samplers in shared memory, and who starts and stops them.
 *
 * A sampler stays connected, as its plans are worth more than its process.
 * So that it is never in anybody's way, it leaves when a session is about to
 * do what no other connection may be there for (alone.c),
 * and when maintenance finds no process left.
 *
 * dbp_shmem->lock protects the list.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "dbperf.h"
#include "guc.h"
#include "plan.h"
#include "sampler.h"
#include "shmem.h"

PG_FUNCTION_INFO_V1(dbperf_wake_sampler);
PG_FUNCTION_INFO_V1(dbperf_sampler_process);

#define ATTACH_MS DBP_MINUTE_MS			   /* a process that was asked for must have come */
#define BACKOFF_MAX_MS (5 * DBP_MINUTE_MS) /* after failures in a row */
#define PEACE_MS (10 * DBP_SECOND_MS)	   /* for DROP DATABASE and the like, which wait 5 s */
#define NO_PROCESS_MS DBP_MINUTE_MS		   /* for who found no process left */
#define RETRY_MS (2 * DBP_SECOND_MS)	   /* before a process is asked for again */
#define STEADY_MS (10 * DBP_MINUTE_MS)	   /* who ran for so long has not failed at the start */
#define INSIST_MS (3 * DBP_SECOND_MS)	   /* before who was told to leave is told again */

static DbpSampler *samplers = NULL;
static int nsamplers = 0;

/* The launcher's; NULL: none, or started by an earlier launcher */
static BackgroundWorkerHandle **handles = NULL;

/* The sampler's own place */
static DbpSampler *mine = NULL;
static DbpSamplerState outcome = DBP_SAMPLER_STARTING;

static bool wake_pending = false;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

static void
request_shmem(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(mul_size(dbp_max_databases, sizeof(DbpSampler)));
}

static void
startup_shmem(void)
{
	bool found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	nsamplers = dbp_max_databases;
	samplers = ShmemInitStruct(DBP_LIBRARY_NAME " samplers",
							   mul_size(nsamplers, sizeof(DbpSampler)), &found);
	if (!found)
		memset(samplers, 0, mul_size(nsamplers, sizeof(DbpSampler)));
	LWLockRelease(AddinShmemInitLock);
}

/* Under the lock */
static DbpSampler *
find_sampler(Oid dboid)
{
	for (int i = 0; i < nsamplers; i++)
	{
		if (samplers[i].state != DBP_SAMPLER_FREE && samplers[i].dboid == dboid)
			return &samplers[i];
	}
	return NULL;
}

/* Under the lock */
static void
set_state(DbpSampler *sampler, DbpSamplerState state, TimestampTz now)
{
	sampler->state = state;
	sampler->since = now;
	if (state != DBP_SAMPLER_RUNNING)
	{
		sampler->pid = 0;
		sampler->latch = NULL;
	}
	sampler->told_at = 0;
	if (state != DBP_SAMPLER_STARTING && state != DBP_SAMPLER_RUNNING)
		sampler->generation++;
}

/* Under the lock: the process is gone, or is not going to come */
static void
note_death(DbpSampler *sampler, TimestampTz now)
{
	if (now > dbp_after_ms(sampler->since, STEADY_MS))
		sampler->failures = 0;
	sampler->failures++;
	sampler->not_before =
		Max(sampler->not_before,
			dbp_after_ms(now, dbp_backoff_ms(sampler->failures, DBP_SECOND_MS, BACKOFF_MAX_MS)));
	set_state(sampler, DBP_SAMPLER_WAITING, now);
}

/* ------------------------------------------------------------------------
 * The launcher's part
 * ------------------------------------------------------------------------ */

/* Frees the places of processes that are gone and have not said so themselves */
static void
reap(TimestampTz now)
{
	for (int i = 0; i < nsamplers; i++)
	{
		DbpSampler *sampler = &samplers[i];
		bool stopped = false;
		pid_t pid;
		Oid lost = InvalidOid;
		TimestampTz since = 0;

		if (handles[i] != NULL)
			stopped = GetBackgroundWorkerPid(handles[i], &pid) == BGWH_STOPPED;

		LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
		if ((stopped &&
			 (sampler->state == DBP_SAMPLER_STARTING || sampler->state == DBP_SAMPLER_RUNNING)) ||
			(sampler->state == DBP_SAMPLER_STARTING &&
			 (now > dbp_after_ms(sampler->since, ATTACH_MS) || now < sampler->since)))
			note_death(sampler, now);
		if (sampler->state == DBP_SAMPLER_NO_EXTENSION)
		{
			lost = sampler->dboid;
			since = sampler->since;
			set_state(sampler, DBP_SAMPLER_FREE, now);
		}
		LWLockRelease(dbp_shmem->lock);

		if (OidIsValid(lost))
			dbp_plan_lose(lost, since);
		if (stopped)
		{
			pfree(handles[i]);
			handles[i] = NULL;
		}
	}
}

/*
 * Under the lock. The second signal insists, which means a line in the log: it
 * is not for those who only had no time yet to heed the first.
 */
static void
stop_process(DbpSampler *sampler, TimestampTz now)
{
	bool told = sampler->told_at != 0 && now >= sampler->told_at &&
		now < dbp_after_ms(sampler->told_at, INSIST_MS);

	if (sampler->pid == 0 || told)
		return;
	sampler->told_at = now;
	kill(sampler->pid, SIGTERM);
}

/* Gives each database that has the extension a place, and takes those of others away */
static void
match_databases(TimestampTz now)
{
	Oid dboids[DBP_MAX_STATS_DATABASES];
	int n = dbp_plan_list_found(dboids, lengthof(dboids));

	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	for (int i = 0; i < nsamplers; i++)
	{
		DbpSampler *sampler = &samplers[i];
		bool wanted = false;

		for (int j = 0; j < n && !wanted; j++)
			wanted = dboids[j] == sampler->dboid;
		if (wanted || sampler->state == DBP_SAMPLER_FREE)
			continue;
		if (sampler->state == DBP_SAMPLER_RUNNING)
			stop_process(sampler, now);
		else if (sampler->state != DBP_SAMPLER_STARTING)
			set_state(sampler, DBP_SAMPLER_FREE, now);
	}
	for (int j = 0; j < n; j++)
	{
		DbpSampler *sampler = find_sampler(dboids[j]);

		for (int i = 0; i < nsamplers && sampler == NULL; i++)
		{
			if (samplers[i].state != DBP_SAMPLER_FREE)
				continue;
			sampler = &samplers[i];
			sampler->dboid = dboids[j];
			sampler->failures = 0;
			sampler->not_before = 0;
			sampler->woken = false;
			sampler->error[0] = '\0';
			set_state(sampler, DBP_SAMPLER_WAITING, now);
		}
	}
	LWLockRelease(dbp_shmem->lock);
}

static bool
register_process(int index, Oid dboid, uint32 generation)
{
	BackgroundWorker worker;
	MemoryContext oldcontext;
	bool registered;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	snprintf(worker.bgw_library_name, sizeof(worker.bgw_library_name), DBP_LIBRARY_NAME);
	snprintf(worker.bgw_function_name, sizeof(worker.bgw_function_name), "dbp_sampler_main");
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "dbperf sampler for database %u", dboid);
	snprintf(worker.bgw_type, sizeof(worker.bgw_type), "dbperf sampler");
	worker.bgw_main_arg = Int32GetDatum(index);
	memcpy(worker.bgw_extra, &generation, sizeof(generation));
	worker.bgw_notify_pid = MyProcPid;

	if (handles[index] != NULL)
		pfree(handles[index]);
	oldcontext = MemoryContextSwitchTo(TopMemoryContext);
	registered = RegisterDynamicBackgroundWorker(&worker, &handles[index]);
	MemoryContextSwitchTo(oldcontext);
	if (!registered)
		handles[index] = NULL;
	return registered;
}

static void
start(int index, TimestampTz now)
{
	DbpSampler *sampler = &samplers[index];
	uint32 generation;
	Oid dboid;

	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	set_state(sampler, DBP_SAMPLER_STARTING, now);
	generation = ++sampler->generation;
	dboid = sampler->dboid;
	sampler->woken = false;
	LWLockRelease(dbp_shmem->lock);

	if (register_process(index, dboid, generation))
		return;

	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	sampler->not_before = dbp_after_ms(now, RETRY_MS);
	set_state(sampler, DBP_SAMPLER_WAITING, now);
	strlcpy(sampler->error, "no free background worker process: increase max_worker_processes",
			sizeof(sampler->error));
	LWLockRelease(dbp_shmem->lock);
}

/* Its database was dropped, or has lost the extension */
static void
give_up(DbpSampler *sampler, TimestampTz now)
{
	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	if (sampler->state == DBP_SAMPLER_WAITING)
		set_state(sampler, DBP_SAMPLER_FREE, now);
	LWLockRelease(dbp_shmem->lock);
}

/*
 * Starts the samplers that there should be. Returns the ms until the next one
 * is due.
 */
int64
dbp_samplers_refresh(TimestampTz now)
{
	int64 wait_ms = dbp_scan_interval_ms();

	if (handles == NULL)
		handles =
			MemoryContextAllocZero(TopMemoryContext, nsamplers * sizeof(BackgroundWorkerHandle *));
	reap(now);
	match_databases(now);
	for (int i = 0; i < nsamplers; i++)
	{
		bool due = false;
		Oid dboid;

		LWLockAcquire(dbp_shmem->lock, LW_SHARED);
		if (samplers[i].state == DBP_SAMPLER_WAITING)
		{
			/* farther away than any pause: the clock was set back */
			due = samplers[i].not_before <= now ||
				samplers[i].not_before > dbp_after_ms(now, 2 * BACKOFF_MAX_MS);
			if (!due)
				wait_ms =
					Min(wait_ms, TimestampDifferenceMilliseconds(now, samplers[i].not_before) + 1);
		}
		dboid = samplers[i].dboid;
		LWLockRelease(dbp_shmem->lock);
		if (!due)
			continue;
		/* for a database that is gone, the attempt would be an error in the log */
		if (dbp_plan_is_found(dboid, now))
			start(i, now);
		else
			give_up(&samplers[i], now);
	}
	return wait_ms;
}

/* The settings have changed */
void
dbp_samplers_reconsider(void)
{
	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	for (int i = 0; i < nsamplers; i++)
	{
		if (samplers[i].state == DBP_SAMPLER_OFF)
		{
			samplers[i].not_before = 0;
			set_state(&samplers[i], DBP_SAMPLER_WAITING, GetCurrentTimestamp());
		}
		/* one may be about to leave, by what the settings were */
		samplers[i].woken = true;
	}
	LWLockRelease(dbp_shmem->lock);
}

/* dbperf.enabled is off: until it changes, which dbp_samplers_reconsider() is told of */
void
dbp_samplers_stop(TimestampTz now)
{
	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	for (int i = 0; i < nsamplers; i++)
	{
		DbpSampler *sampler = &samplers[i];

		/* a process that has not come yet finds that nobody wants it */
		if (sampler->state == DBP_SAMPLER_WAITING || sampler->state == DBP_SAMPLER_STARTING)
			set_state(sampler, DBP_SAMPLER_OFF, now);
		stop_process(sampler, now);
	}
	LWLockRelease(dbp_shmem->lock);
}

/* Under the lock */
static void
send_away(DbpSampler *sampler, int64 ms)
{
	TimestampTz now = GetCurrentTimestamp();

	sampler->not_before = dbp_after_ms(now, ms);
	stop_process(sampler, now);
}

/*
 * Maintenance, or a session, has no process left: it matters more than samples
 * do. True when there was a sampler to send away.
 */
bool
dbp_samplers_give_way(void)
{
	DbpSampler *chosen = NULL;

	if (samplers == NULL)
		return false;
	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	for (int i = 0; i < nsamplers; i++)
	{
		/* best one that is on its way already */
		if (samplers[i].pid != 0 && (chosen == NULL || samplers[i].told_at != 0))
			chosen = &samplers[i];
	}
	if (chosen != NULL)
		send_away(chosen, NO_PROCESS_MS);
	LWLockRelease(dbp_shmem->lock);
	return chosen != NULL;
}

/* ------------------------------------------------------------------------
 * The sampler's part
 * ------------------------------------------------------------------------ */

static void
leave(int code, Datum arg)
{
	TimestampTz now = GetCurrentTimestamp();

	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	if (outcome == DBP_SAMPLER_STARTING)
		note_death(mine, now);
	else
	{
		if (outcome == DBP_SAMPLER_OFF)
			mine->error[0] = '\0';
		/* switched on again while it was leaving */
		set_state(mine, outcome == DBP_SAMPLER_OFF && mine->woken ? DBP_SAMPLER_WAITING : outcome,
				  now);
	}
	if (dbp_shmem->launcher_latch != NULL)
		SetLatch(dbp_shmem->launcher_latch);
	LWLockRelease(dbp_shmem->lock);
}

/* The database to sample; InvalidOid: nobody wants this process any more */
Oid
dbp_sampler_arrive(int index, uint32 generation)
{
	TimestampTz now = GetCurrentTimestamp();
	DbpSampler *sampler;
	bool expected;

	if (dbp_shmem == NULL || samplers == NULL || index < 0 || index >= nsamplers)
		return InvalidOid;
	sampler = &samplers[index];
	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	expected = sampler->state == DBP_SAMPLER_STARTING && sampler->generation == generation;
	if (expected && sampler->not_before > now)
	{
		/* sent away before it came */
		set_state(sampler, DBP_SAMPLER_WAITING, now);
		expected = false;
	}
	else if (expected)
	{
		set_state(sampler, DBP_SAMPLER_RUNNING, now);
		sampler->pid = MyProcPid;
		sampler->latch = MyLatch;
	}
	LWLockRelease(dbp_shmem->lock);
	if (!expected)
		return InvalidOid;
	mine = sampler;
	before_shmem_exit(leave, (Datum) 0);
	return sampler->dboid;
}

void
dbp_sampler_set_outcome(DbpSamplerState state)
{
	outcome = state;
}

void
dbp_sampler_set_error(const char *message)
{
	const char *text = message != NULL ? message : "";
	/* cut between two characters: clients are shown it */
	int len = pg_mbcliplen(text, strlen(text), sizeof(mine->error) - 1);

	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	memcpy(mine->error, text, len);
	mine->error[len] = '\0';
	LWLockRelease(dbp_shmem->lock);
}

bool
dbp_sampler_take_wake(void)
{
	bool woken;

	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	woken = mine->woken;
	mine->woken = false;
	LWLockRelease(dbp_shmem->lock);
	return woken;
}

/* ------------------------------------------------------------------------
 * The sessions' part
 * ------------------------------------------------------------------------ */

/* A session wants to be alone with a database; false: no sampler has to go */
bool
dbp_samplers_make_way(Oid dboid)
{
	DbpSampler *sampler;

	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	sampler = find_sampler(dboid);
	if (sampler != NULL)
		send_away(sampler, PEACE_MS);
	LWLockRelease(dbp_shmem->lock);
	return sampler != NULL;
}

/* It does not need that any more */
void
dbp_samplers_come_back(Oid dboid)
{
	DbpSampler *sampler;

	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	sampler = find_sampler(dboid);
	if (sampler != NULL)
		sampler->not_before = 0;
	if (dbp_shmem->launcher_latch != NULL)
		SetLatch(dbp_shmem->launcher_latch);
	LWLockRelease(dbp_shmem->lock);
}

/* At the end of the transaction that switched sampling on, off or to another interval */
static void
wake(XactEvent event, void *arg)
{
	DbpSampler *sampler;

	if (!wake_pending ||
		(event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE))
		return;
	wake_pending = false;
	if (event != XACT_EVENT_COMMIT)
		return;

	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	sampler = find_sampler(MyDatabaseId);
	if (sampler != NULL)
	{
		sampler->woken = true;
		if (sampler->state == DBP_SAMPLER_OFF)
		{
			sampler->not_before = 0;
			set_state(sampler, DBP_SAMPLER_WAITING, GetCurrentTimestamp());
		}
		if (sampler->latch != NULL)
			SetLatch(sampler->latch);
	}
	if (dbp_shmem->launcher_latch != NULL)
		SetLatch(dbp_shmem->launcher_latch);
	LWLockRelease(dbp_shmem->lock);
}

/*
 * wake_sampler() returns void: when this transaction commits, has the sampler
 * look at its settings and take a sample. Nothing where the library is not
 * preloaded.
 */
Datum
dbperf_wake_sampler(PG_FUNCTION_ARGS)
{
	static bool registered = false;

	if (samplers == NULL)
		PG_RETURN_VOID();
	if (!registered)
		RegisterXactCallback(wake, NULL);
	registered = true;
	wake_pending = true;
	PG_RETURN_VOID();
}

static const char *
state_name(const DbpSampler *sampler)
{
	switch (sampler->state)
	{
		case DBP_SAMPLER_RUNNING:
			return "running";
		case DBP_SAMPLER_OFF:
			return "off";
		case DBP_SAMPLER_STARTING:
		case DBP_SAMPLER_WAITING:
			return "starting";
		default:
			return "none";
	}
}

/*
 * sampler_process() returns one row: the sampler of this database.
 */
Datum
dbperf_sampler_process(PG_FUNCTION_ARGS)
{
	enum
	{
		COL_PID,
		COL_STARTED_AT,
		COL_STATE,
		COL_LAST_ERROR,
		NUM_COLS
	};
	Datum values[NUM_COLS] = {0};
	bool nulls[NUM_COLS] = {true, true, false, true};
	DbpSampler copy = {0};
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (samplers != NULL)
	{
		DbpSampler *sampler;

		LWLockAcquire(dbp_shmem->lock, LW_SHARED);
		sampler = find_sampler(MyDatabaseId);
		if (sampler != NULL)
			copy = *sampler;
		LWLockRelease(dbp_shmem->lock);
	}
	values[COL_STATE] = CStringGetTextDatum(samplers == NULL ? "not preloaded" : state_name(&copy));
	if (copy.pid != 0)
	{
		values[COL_PID] = Int32GetDatum(copy.pid);
		values[COL_STARTED_AT] = TimestampTzGetDatum(copy.since);
		nulls[COL_PID] = nulls[COL_STARTED_AT] = false;
	}
	if (copy.error[0] != '\0')
	{
		values[COL_LAST_ERROR] = CStringGetTextDatum(copy.error);
		nulls[COL_LAST_ERROR] = false;
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/*
 * While shared_preload_libraries is processed.
 */
void
dbp_samplers_init(void)
{
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
	dbp_alone_init();
}
