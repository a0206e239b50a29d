/*-------------------------------------------------------------------------
 *
 * launcher.c
 *		The launcher: a process that starts workers, and collects their answers.
 *
 * It is connected to no database, so that it is never in the way of DROP or
 * CREATE DATABASE, and reads nothing but pg_database. Whether a database has
 * the extension is found out by a worker. See README.md for the states.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "archiver.h"
#include "compat.h"
#include "dbperf.h"
#include "guc.h"
#include "plan.h"
#include "sampler.h"
#include "shmem.h"

#define DBP_SLOT_RETRY_MS (5 * DBP_SECOND_MS)
#define DBP_ATTACH_MS DBP_MINUTE_MS /* a worker of an earlier launcher must have come */

static TimestampTz slot_retry_at = 0;
static TimestampTz gave_way_at = 0; /* a sampler, to a worker */
static bool no_slots_logged = false;

/* One for each slot; NULL: free, or started by an earlier launcher */
static BackgroundWorkerHandle **handles = NULL;

/*
 * Frees the slots of the workers that are gone, and plans their next run.
 */
static void
reap_workers(TimestampTz now)
{
	for (int i = 0; i < dbp_shmem->nslots; i++)
	{
		DbpSlot *shared = &dbp_shmem->slots[i];
		DbpSlot slot;
		bool known = handles[i] != NULL;
		bool stopped = false;
		bool gone;

		/* first the process, then what it said: not the other way round */
		if (known)
		{
			pid_t pid;

			stopped = GetBackgroundWorkerPid(handles[i], &pid) == BGWH_STOPPED;
		}

		LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
		slot = *shared;
		if (slot.state == DBP_SLOT_FREE)
			gone = false;
		else if (known)
			gone = stopped;
		else
			gone = slot.state == DBP_SLOT_DONE ||
				(slot.state == DBP_SLOT_STARTING && now > dbp_after_ms(slot.since, DBP_ATTACH_MS));
		if (gone)
		{
			shared->state = DBP_SLOT_FREE;
			shared->generation++;
			shared->dboid = InvalidOid;
			shared->pid = 0;
		}
		LWLockRelease(dbp_shmem->lock);

		if (!gone)
			continue;
		if (known)
		{
			pfree(handles[i]);
			handles[i] = NULL;
			/* its process is free, if none was */
			slot_retry_at = 0;
		}
		dbp_plan_conclude(&slot, now);
	}
}

/*
 * Notes, and says once, that the server has no process left for a worker.
 */
static void
note_worker_slots(bool available, TimestampTz now)
{
	TimestampTz since;

	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	since = dbp_shmem->no_slots_since;
	if (available)
		dbp_shmem->no_slots_since = 0;
	else if (since == 0)
		dbp_shmem->no_slots_since = now;
	LWLockRelease(dbp_shmem->lock);

	slot_retry_at = available ? 0 : dbp_after_ms(now, DBP_SLOT_RETRY_MS);
	if (!available && !no_slots_logged)
	{
		ereport(LOG,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("partition maintenance waits for a free background worker slot"),
				 errhint("Consider increasing max_worker_processes.")));
		no_slots_logged = true;
	}
	else if (available && no_slots_logged)
	{
		ereport(LOG,
				(errmsg("partition maintenance has a background worker slot again, after %ld s",
						since == 0 ? 0L : TimestampDifferenceMilliseconds(since, now) / 1000)));
		no_slots_logged = false;
	}
}

/* Returns the index of a slot that now waits for a worker, or -1. */
static int
reserve_slot(const DbEntry *entry, bool full_run, TimestampTz now, uint32 *generation)
{
	int found = -1;

	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	for (int i = 0; i < dbp_shmem->nslots; i++)
	{
		DbpSlot *slot = &dbp_shmem->slots[i];

		/* one worker for a database */
		if (slot->state != DBP_SLOT_FREE && slot->dboid == entry->dboid)
		{
			found = -1;
			break;
		}
		if (slot->state == DBP_SLOT_FREE && found < 0)
			found = i;
	}
	if (found >= 0)
	{
		DbpSlot *slot = &dbp_shmem->slots[found];

		*generation = ++slot->generation;
		slot->state = DBP_SLOT_STARTING;
		slot->dboid = entry->dboid;
		slot->full_run = full_run;
		slot->woken = entry->woken;
		slot->pid = 0;
		slot->ordered = now;
		slot->since = now;
		memset(&slot->result, 0, sizeof(slot->result));
	}
	LWLockRelease(dbp_shmem->lock);
	return found;
}

static void
release_slot(int index)
{
	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	dbp_shmem->slots[index].state = DBP_SLOT_FREE;
	dbp_shmem->slots[index].dboid = InvalidOid;
	LWLockRelease(dbp_shmem->lock);
}

/*
 * Starts a worker for a database. False when the server has no process for it.
 */
static bool
start_worker(DbEntry *entry, TimestampTz now)
{
	BackgroundWorker worker;
	MemoryContext oldcontext;
	bool full_run = dbp_plan_is_full_run(entry, now);
	bool registered;
	uint32 generation;
	int index = reserve_slot(entry, full_run, now, &generation);

	if (index < 0)
		return true;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	snprintf(worker.bgw_library_name, sizeof(worker.bgw_library_name), DBP_LIBRARY_NAME);
	snprintf(worker.bgw_function_name, sizeof(worker.bgw_function_name), "dbp_worker_main");
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "dbperf worker for database %u",
			 entry->dboid);
	snprintf(worker.bgw_type, sizeof(worker.bgw_type), "dbperf worker");
	worker.bgw_main_arg = Int32GetDatum(index);
	memcpy(worker.bgw_extra, &generation, sizeof(generation));
	worker.bgw_notify_pid = MyProcPid;

	oldcontext = MemoryContextSwitchTo(TopMemoryContext);
	registered = RegisterDynamicBackgroundWorker(&worker, &handles[index]);
	MemoryContextSwitchTo(oldcontext);

	if (!registered)
	{
		handles[index] = NULL;
		release_slot(index);
		return false;
	}
	if (full_run)
		entry->woken = false;
	return true;
}

/*
 * Starts what is due. Returns the ms until something else will be.
 */
static long
start_due_workers(TimestampTz now)
{
	DbEntry *entry;
	TimestampTz at;

	while ((entry = dbp_plan_first(now, &at)) != NULL)
	{
		if (at > now)
			return TimestampDifferenceMilliseconds(now, at);
		/* now < slot_retry_at - interval: the clock was set back */
		if (now < slot_retry_at && now >= dbp_after_ms(slot_retry_at, -DBP_SLOT_RETRY_MS))
			return TimestampDifferenceMilliseconds(now, slot_retry_at);
		if (!start_worker(entry, now))
		{
			/* its process is free in a moment, but not as soon as it says that it leaves */
			if (dbp_samplers_give_way())
				gave_way_at = now;
			if (now >= gave_way_at && now < dbp_after_ms(gave_way_at, DBP_SECOND_MS))
				return DBP_SHORT_MS;
			note_worker_slots(false, now);
			return DBP_SLOT_RETRY_MS;
		}
		note_worker_slots(true, now);
	}
	return dbp_scan_interval_ms();
}

/*
 * One round of the launcher. Returns the ms to wait for the next.
 */
static long
run_cycle(void)
{
	TimestampTz now = GetCurrentTimestamp();
	long wait_ms = dbp_scan_interval_ms();

	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	dbp_shmem->last_alive = now;
	LWLockRelease(dbp_shmem->lock);

	reap_workers(now);
	if (dbp_enabled)
	{
		dbp_plan_refresh(now);
		wait_ms = Min(wait_ms, start_due_workers(now));
		dbp_plan_publish(now);
		wait_ms = Min(wait_ms, dbp_samplers_refresh(now));
		wait_ms = Min(wait_ms, dbp_archivers_refresh(now));
	}
	else
	{
		dbp_samplers_stop(now);
		dbp_archivers_stop();
	}
	return Max(wait_ms, 1);
}

/* What is said about the launcher itself; NULL: all is well */
static void
note_launcher_error(const char *message)
{
	bool changed;

	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	changed = strncmp(dbp_shmem->launcher_error, message ? message : "", DBP_ERROR_LEN - 1) != 0;
	strlcpy(dbp_shmem->launcher_error, message ? message : "", DBP_ERROR_LEN);
	LWLockRelease(dbp_shmem->lock);

	if (!changed)
		return;
	if (message != NULL)
		ereport(LOG, (errmsg("dbperf launcher: %s", message)));
	else
		ereport(LOG, (errmsg("dbperf launcher works again")));
}

/*
 * The launcher's error boundary: a round that fails is logged once and tried
 * again after a growing pause.
 */
static long
run_cycle_guarded(MemoryContext cycle_context)
{
	static int failures = 0;
	volatile long wait_ms = DBP_SECOND_MS;

	MemoryContextReset(cycle_context);
	MemoryContextSwitchTo(cycle_context);
	PG_TRY();
	{
		wait_ms = run_cycle();
		failures = 0;
		note_launcher_error(NULL);
	}
	PG_CATCH();
	{
		ErrorData *edata;

		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(cycle_context);
		edata = CopyErrorData();
		FlushErrorState();
		AbortOutOfAnyTransaction();
		/* some were taken outside a transaction */
		LWLockReleaseAll();
		pgstat_report_wait_end();
		MemoryContextSwitchTo(cycle_context);
		failures++;
		/* calls that were taken, and then lost with this round */
		dbp_plan_rescan();
		dbp_shmem_wake_all();
		wait_ms = dbp_backoff_ms(failures, DBP_SECOND_MS, DBP_MINUTE_MS);
		note_launcher_error(edata->message);
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(TopMemoryContext);
	return wait_ms;
}

static void
launcher_leaves(int code, Datum arg)
{
	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	dbp_shmem->launcher_pid = 0;
	dbp_shmem->launcher_latch = NULL;
	dbp_shmem->launcher_left_at = GetCurrentTimestamp();
	LWLockRelease(dbp_shmem->lock);
}

static void
launcher_arrives(void)
{
	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	dbp_shmem->launcher_pid = MyProcPid;
	dbp_shmem->launcher_latch = MyLatch;
	dbp_shmem->launcher_started_at = GetCurrentTimestamp();
	dbp_shmem->last_alive = dbp_shmem->launcher_started_at;
	dbp_shmem->no_slots_since = 0;
	LWLockRelease(dbp_shmem->lock);
	before_shmem_exit(launcher_leaves, (Datum) 0);

	dbp_plan_init();
	handles = (BackgroundWorkerHandle **) MemoryContextAllocZero(
		TopMemoryContext, dbp_shmem->nslots * sizeof(BackgroundWorkerHandle *));
}

/*
 * Entry point of the launcher process.
 */
void
dbp_launcher_main(Datum arg)
{
	MemoryContext cycle_context;

	/* it never runs a statement that someone could want to cancel */
	pqsignal(SIGINT, SIG_IGN);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	dbp_is_worker_process = true;

	launcher_arrives();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	SetConfigOption("application_name", "dbperf launcher", PGC_USERSET, PGC_S_OVERRIDE);
	/* SIGTERM is looked at between two waits, so each has an end */
	SetConfigOption("lock_timeout", "1000", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("statement_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);

	cycle_context =
		AllocSetContextCreate(TopMemoryContext, "dbperf launcher", ALLOCSET_DEFAULT_SIZES);

	while (!ShutdownRequestPending)
	{
		long wait_ms;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			dbp_plan_rescan();
			dbp_samplers_reconsider();
		}

		wait_ms = run_cycle_guarded(cycle_context);

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, wait_ms,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}

	/* 0 would tell the postmaster never to start it again */
	proc_exit(1);
}
