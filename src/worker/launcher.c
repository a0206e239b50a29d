/*-------------------------------------------------------------------------
 *
 * launcher.c
 *		The launcher: finds the databases, plans their runs, starts workers.
 *
 * It is connected to no database, so that it is never in the way of DROP or
 * CREATE DATABASE, and reads nothing but pg_database. Whether a database has
 * the extension is found out by a worker. See README.md for the states.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "dbperf.h"
#include "guc.h"
#include "shmem.h"

#define DBP_SECOND_MS 1000
#define DBP_MINUTE_MS (60 * DBP_SECOND_MS)

#define DBP_SCAN_MS DBP_MINUTE_MS	/* pg_database is read at least that often */
#define DBP_PROBE_MS (60 * DBP_MINUTE_MS)	/* a database without the extension */
#define DBP_CANCELED_MS DBP_MINUTE_MS	/* someone wanted it to stop */
#define DBP_BACKOFF_MAX_MS (5 * DBP_MINUTE_MS)
#define DBP_FRUITLESS_MAX_MS (10 * DBP_SECOND_MS)
#define DBP_SLOT_RETRY_MS (5 * DBP_SECOND_MS)
#define DBP_ATTACH_MS DBP_MINUTE_MS /* a worker of an earlier launcher must have come */
#define DBP_QUIET_LOCK_FAILURES 3	/* DROP EXTENSION may hold our tables for a moment */

/* A database, as the launcher knows it */
typedef struct DbEntry
{
	Oid			dboid;			/* hash key */
	NameData	name;
	bool		present;		/* the last scan of pg_database saw it */
	bool		found;			/* has the extension, as far as known */
	bool		woken;			/* wake(): run now, whatever the plan says */
	bool		missing;		/* an insert found no partition */
	bool		error_logged;	/* last_error is in the server log */
	int			failures;		/* failed runs in a row */
	int			fruitless;		/* requests in a row that made no partition */
	TimestampTz due_at;
	TimestampTz missing_at;		/* not before, for missing */
	TimestampTz last_end;		/* of a worker; 0: none was there yet */
	char		last_error[DBP_ERROR_LEN];
} DbEntry;

static HTAB *databases = NULL;
static bool rescan = true;
static TimestampTz last_scan = 0;
static TimestampTz slot_retry_at = 0;
static bool no_slots_logged = false;

/* One for each slot; NULL: free, or started by an earlier launcher */
static BackgroundWorkerHandle **handles = NULL;

static TimestampTz
after_ms(TimestampTz start, int64 ms)
{
	return start + ms * INT64CONST(1000);
}

/* The pause after the n-th failure in a row: first, doubled each time, at most last */
static int64
backoff_ms(int n, int64 first, int64 last)
{
	int64		ms = first;

	for (int i = 1; i < n && ms < last; i++)
		ms *= 2;
	return Min(ms, last);
}

/*
 * Brings the hash up to date with pg_database. New databases are due at once.
 */
static void
scan_databases(TimestampTz now)
{
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;
	HASH_SEQ_STATUS status;
	DbEntry    *entry;

	hash_seq_init(&status, databases);
	while ((entry = (DbEntry *) hash_seq_search(&status)) != NULL)
		entry->present = false;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();

	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
		bool		known;

		if (!form->datallowconn || form->datconnlimit == DATCONNLIMIT_INVALID_DB)
			continue;
		if (!dbp_database_listed(NameStr(form->datname)))
			continue;
		/* data lives in databases, not in templates, unless they are named */
		if (form->datistemplate && dbp_databases[0] == '\0')
			continue;

		entry = (DbEntry *) hash_search(databases, &form->oid, HASH_ENTER, &known);
		if (!known)
		{
			memset(entry, 0, sizeof(DbEntry));
			entry->dboid = form->oid;
			entry->due_at = now;
		}
		entry->name = form->datname;
		entry->present = true;
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);

	CommitTransactionCommand();
	pgstat_report_stat(false);

	hash_seq_init(&status, databases);
	while ((entry = (DbEntry *) hash_seq_search(&status)) != NULL)
	{
		if (!entry->present)
		{
			dbp_shmem_take_missing(entry->dboid, NULL);
			hash_search(databases, &entry->dboid, HASH_REMOVE, NULL);
		}
	}

	last_scan = now;
	rescan = false;
}

static bool
scan_is_due(TimestampTz now)
{
	int64		interval = Min((int64) dbp_naptime * DBP_SECOND_MS, DBP_SCAN_MS);

	/* now < last_scan: the clock was set back */
	return rescan || now < last_scan || now >= after_ms(last_scan, interval);
}

static DbEntry *
find_database(Oid dboid, TimestampTz now)
{
	DbEntry    *entry = (DbEntry *) hash_search(databases, &dboid, HASH_FIND, NULL);

	/* created since the last scan? last_scan == now: that was looked at already */
	if (entry == NULL && last_scan != now)
	{
		scan_databases(now);
		entry = (DbEntry *) hash_search(databases, &dboid, HASH_FIND, NULL);
	}
	return entry;
}

/*
 * Takes the wake-up calls out of shared memory and notes which databases wait
 * for a missing partition; those requests themselves are left to the worker.
 */
static void
collect_requests(TimestampTz now)
{
	bool		wake_all;
	int			nwakes;
	int			nmissing;
	Oid			wakes[DBP_MAX_WAKES];
	Oid			missing[DBP_MAX_MISSING];
	HASH_SEQ_STATUS status;
	DbEntry    *entry;

	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	wake_all = dbp_shmem->wake_all;
	nwakes = dbp_shmem->nwakes;
	memcpy(wakes, dbp_shmem->wakes, sizeof(wakes));
	nmissing = dbp_shmem->nmissing;
	for (int i = 0; i < nmissing; i++)
		missing[i] = dbp_shmem->missing[i].dboid;
	dbp_shmem->wake_all = false;
	dbp_shmem->nwakes = 0;
	LWLockRelease(dbp_shmem->lock);

	/* what a worker has taken since needs no other one */
	hash_seq_init(&status, databases);
	while ((entry = (DbEntry *) hash_seq_search(&status)) != NULL)
	{
		entry->missing = false;
		entry->woken = entry->woken || wake_all;
	}

	for (int i = 0; i < nwakes; i++)
	{
		entry = find_database(wakes[i], now);
		if (entry != NULL)
			entry->woken = true;
	}
	for (int i = 0; i < nmissing; i++)
	{
		entry = find_database(missing[i], now);
		/* where a worker has not found the extension, nothing is managed */
		if (entry == NULL || (entry->last_end != 0 && !entry->found && !entry->woken))
			dbp_shmem_take_missing(missing[i], NULL);
		else
			entry->missing = true;
	}
}

/*
 * When is a worker to look at every policy of this database?
 */
static TimestampTz
full_run_at(const DbEntry *entry, TimestampTz now)
{
	int64		longest = (int64) dbp_naptime * DBP_SECOND_MS;

	/* now < last_end: the clock was set back, so the plan is void */
	if (entry->woken || (entry->last_end != 0 && now < entry->last_end))
		return now;
	if (entry->last_end == 0)
		return entry->due_at;
	if (entry->failures > 0)
		longest = DBP_BACKOFF_MAX_MS;
	else if (!entry->found)
		longest = Min(longest, DBP_PROBE_MS);

	/* the plan is cut anew each time, as dbperf.naptime may have changed */
	return Min(entry->due_at, after_ms(entry->last_end, longest));
}

/*
 * When is a worker to be started, for whatever reason?
 */
static TimestampTz
start_at(const DbEntry *entry, TimestampTz now)
{
	TimestampTz at = full_run_at(entry, now);

	if (entry->missing)
		at = Min(at, Max(entry->missing_at, now));
	/* leave DROP DATABASE and CREATE DATABASE ... TEMPLATE a gap */
	if (entry->last_end != 0 && now >= entry->last_end)
		at = Max(at, after_ms(entry->last_end, DBP_GAP_MS));
	return at;
}

static void
note_failure(DbEntry *entry, const DbpReport *info)
{
	bool		quiet = false;

	entry->failures++;

	/* the process has logged itself why it died */
	if (info->outcome == DBP_OUTCOME_DIED)
	{
		quiet = true;
		rescan = true;
	}
	else if (info->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE &&
			 entry->failures < DBP_QUIET_LOCK_FAILURES)
		quiet = true;

	if (strcmp(entry->last_error, info->error) != 0)
		entry->error_logged = false;
	strlcpy(entry->last_error, info->error, sizeof(entry->last_error));
	if (!quiet && !entry->error_logged)
	{
		ereport(LOG,
				(errcode(info->sqlerrcode),
				 errmsg("maintenance of database \"%s\" failed: %s",
						NameStr(entry->name), info->error),
				 errhint("It is tried again after a pause that grows to 5 minutes.")));
		entry->error_logged = true;
	}
}

static void
note_success(DbEntry *entry)
{
	if (entry->error_logged)
		ereport(LOG,
				(errmsg("maintenance of database \"%s\" works again", NameStr(entry->name))));
	entry->failures = 0;
	entry->error_logged = false;
	entry->last_error[0] = '\0';
}

/*
 * Draws the conclusions from what a worker left behind.
 */
static void
plan_next_run(DbEntry *entry, const DbpSlot *slot, TimestampTz now)
{
	const DbpReport *info = &slot->result;
	int64		delay_ms;

	switch (info->outcome)
	{
		case DBP_OUTCOME_DONE:
			note_success(entry);
			entry->found = true;
			delay_ms = info->more ? 0 : info->delay_ms;
			/* the rest is still the answer to the call */
			entry->woken = entry->woken || (info->more && slot->woken);
			break;
		case DBP_OUTCOME_NO_EXTENSION:
			note_success(entry);
			entry->found = false;
			delay_ms = DBP_PROBE_MS;
			break;
		case DBP_OUTCOME_CANCELED:
			delay_ms = DBP_CANCELED_MS;
			strlcpy(entry->last_error, info->error, sizeof(entry->last_error));
			break;
		case DBP_OUTCOME_DIED:
		case DBP_OUTCOME_FAILED:
		default:
			note_failure(entry, info);
			delay_ms = backoff_ms(entry->failures, DBP_SECOND_MS, DBP_BACKOFF_MAX_MS);
			break;
	}

	/*
	 * A worker that was called for a missing partition only may bring the
	 * plan forward, but does not stand for the run that is due.
	 */
	if (info->outcome == DBP_OUTCOME_DONE && !slot->full_run)
		entry->due_at = Min(entry->due_at, after_ms(now, delay_ms));
	else
		entry->due_at = after_ms(now, delay_ms);

	/* a client that keeps on sending rows nobody wants gets fewer answers */
	if (info->outcome != DBP_OUTCOME_DONE || (!slot->full_run && info->created == 0))
		entry->fruitless++;
	else
		entry->fruitless = 0;
	entry->missing_at = entry->fruitless == 0 ? now :
		after_ms(now, backoff_ms(entry->fruitless, DBP_SECOND_MS, DBP_FRUITLESS_MAX_MS));
	entry->last_end = now;
}

/*
 * Frees the slots of the workers that are gone, and plans their next run.
 */
static void
reap_workers(TimestampTz now)
{
	for (int i = 0; i < dbp_shmem->nslots; i++)
	{
		DbpSlot    *shared = &dbp_shmem->slots[i];
		DbpSlot		slot;
		DbEntry    *entry;
		bool		known = handles[i] != NULL;
		bool		stopped = false;
		bool		gone;

		/* first the process, then what it said: not the other way round */
		if (known)
		{
			pid_t		pid;

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
				(slot.state == DBP_SLOT_STARTING && now > after_ms(slot.since, DBP_ATTACH_MS));
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
		}
		entry = (DbEntry *) hash_search(databases, &slot.dboid, HASH_FIND, NULL);
		if (entry != NULL)
			plan_next_run(entry, &slot, now);
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

	slot_retry_at = available ? 0 : after_ms(now, DBP_SLOT_RETRY_MS);
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
	int			found = -1;

	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	for (int i = 0; i < dbp_shmem->nslots; i++)
	{
		DbpSlot    *slot = &dbp_shmem->slots[i];

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
		DbpSlot    *slot = &dbp_shmem->slots[found];

		*generation = ++slot->generation;
		slot->state = DBP_SLOT_STARTING;
		slot->dboid = entry->dboid;
		slot->full_run = full_run;
		slot->woken = entry->woken;
		slot->pid = 0;
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
	bool		full_run = full_run_at(entry, now) <= now;
	bool		registered;
	uint32		generation;
	int			index = reserve_slot(entry, full_run, now, &generation);

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

/* Lists the databases that have a worker. False when no slot is left for another. */
static bool
list_busy_databases(Oid *busy, int *nbusy)
{
	*nbusy = 0;
	LWLockAcquire(dbp_shmem->lock, LW_SHARED);
	for (int i = 0; i < dbp_shmem->nslots; i++)
	{
		if (dbp_shmem->slots[i].state != DBP_SLOT_FREE)
			busy[(*nbusy)++] = dbp_shmem->slots[i].dboid;
	}
	LWLockRelease(dbp_shmem->lock);
	return *nbusy < dbp_shmem->nslots;
}

/*
 * Of the databases without a worker, the one whose time comes first. NULL when
 * there is none, or no slot is left: the end of a worker sets the latch.
 */
static DbEntry *
first_due(TimestampTz now, TimestampTz *at)
{
	HASH_SEQ_STATUS status;
	DbEntry    *entry;
	DbEntry    *first = NULL;
	Oid			busy[DBP_MAX_WORKERS];
	int			nbusy;

	*at = DT_NOEND;
	if (!list_busy_databases(busy, &nbusy))
		return NULL;

	hash_seq_init(&status, databases);
	while ((entry = (DbEntry *) hash_seq_search(&status)) != NULL)
	{
		TimestampTz entry_at = start_at(entry, now);
		bool		is_busy = false;

		for (int i = 0; i < nbusy; i++)
			is_busy = is_busy || busy[i] == entry->dboid;
		if (is_busy || entry_at >= *at)
			continue;
		first = entry;
		*at = entry_at;
	}
	return first;
}

/*
 * Starts what is due. Returns the ms until something else will be.
 */
static long
start_due_workers(TimestampTz now)
{
	DbEntry    *entry;
	TimestampTz at;

	while ((entry = first_due(now, &at)) != NULL)
	{
		if (at > now)
			return TimestampDifferenceMilliseconds(now, at);
		/* now < slot_retry_at - interval: the clock was set back */
		if (now < slot_retry_at && now >= after_ms(slot_retry_at, -DBP_SLOT_RETRY_MS))
			return TimestampDifferenceMilliseconds(now, slot_retry_at);
		if (!start_worker(entry, now))
		{
			note_worker_slots(false, now);
			return DBP_SLOT_RETRY_MS;
		}
		note_worker_slots(true, now);
	}
	return DBP_SCAN_MS;
}

/* Shows the plans to worker_status, of databases that can ask for it. */
static void
publish_plans(TimestampTz now)
{
	HASH_SEQ_STATUS status;
	DbEntry    *entry;
	int			nplans = 0;

	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	hash_seq_init(&status, databases);
	while ((entry = (DbEntry *) hash_seq_search(&status)) != NULL)
	{
		DbpPlan    *plan;

		if (!entry->found && entry->failures == 0)
			continue;
		if (nplans >= DBP_MAX_DATABASES)
		{
			hash_seq_term(&status);
			break;
		}
		plan = &dbp_shmem->plans[nplans++];
		plan->dboid = entry->dboid;
		plan->next_run = start_at(entry, now);
		plan->failures = entry->failures;
		strlcpy(plan->last_error, entry->last_error, sizeof(plan->last_error));
	}
	dbp_shmem->nplans = nplans;
	LWLockRelease(dbp_shmem->lock);
}

/*
 * One round of the launcher. Returns the ms to wait for the next.
 */
static long
run_cycle(void)
{
	TimestampTz now = GetCurrentTimestamp();
	long		wait_ms = Min((int64) dbp_naptime * DBP_SECOND_MS, DBP_SCAN_MS);

	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	dbp_shmem->last_alive = now;
	LWLockRelease(dbp_shmem->lock);

	reap_workers(now);
	if (dbp_enabled)
	{
		if (scan_is_due(now))
			scan_databases(now);
		collect_requests(now);
		wait_ms = Min(wait_ms, start_due_workers(now));
		publish_plans(now);
	}
	return Max(wait_ms, 1);
}

/* What is said about the launcher itself; NULL: all is well */
static void
note_launcher_error(const char *message)
{
	bool		changed;

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
	static int	failures = 0;
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
		ErrorData  *edata;

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
		rescan = true;
		wait_ms = backoff_ms(failures, DBP_SECOND_MS, DBP_MINUTE_MS);
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
	HASHCTL		ctl;

	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	dbp_shmem->launcher_pid = MyProcPid;
	dbp_shmem->launcher_latch = MyLatch;
	dbp_shmem->launcher_started_at = GetCurrentTimestamp();
	dbp_shmem->last_alive = dbp_shmem->launcher_started_at;
	dbp_shmem->no_slots_since = 0;
	LWLockRelease(dbp_shmem->lock);
	before_shmem_exit(launcher_leaves, (Datum) 0);

	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(DbEntry);
	databases = hash_create("dbperf databases", 64, &ctl, HASH_ELEM | HASH_BLOBS);
	handles = (BackgroundWorkerHandle **)
		MemoryContextAllocZero(TopMemoryContext,
							   dbp_shmem->nslots * sizeof(BackgroundWorkerHandle *));
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

	cycle_context = AllocSetContextCreate(TopMemoryContext, "dbperf launcher",
										  ALLOCSET_DEFAULT_SIZES);

	while (!ShutdownRequestPending)
	{
		long		wait_ms;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			rescan = true;
		}

		wait_ms = run_cycle_guarded(cycle_context);

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, wait_ms,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}

	/* 0 would tell the postmaster never to start it again */
	proc_exit(1);
}
