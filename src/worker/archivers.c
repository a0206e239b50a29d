/*-------------------------------------------------------------------------
 *
 * archivers.c
 *		The list of archivers in shared memory, and who starts and stops them.
 *
 * A worker of maintenance finds that there is something to compress; the
 * launcher starts an archiver for that database, as soon as fewer than
 * dbperf.archive_workers are there.  Databases take turns.  An archiver leaves
 * when a session is about to do what no other connection may be there for
 * (alone.c); what it was at is as it was before.
 *
 * dbp_shmem->lock protects the list.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "archiver.h"
#include "compat.h"
#include "dbperf.h"
#include "guc.h"
#include "plan.h"
#include "shmem.h"

#define ATTACH_MS DBP_MINUTE_MS		  /* a process that was asked for must have come */
#define NO_PROCESS_MS DBP_MINUTE_MS	  /* before a process is asked for again */
#define PEACE_MS (10 * DBP_SECOND_MS) /* for DROP DATABASE and the like, which wait 5 s */

typedef struct DbpArchiver
{
	DbpSlotState state;
	uint32 generation; /* a process that comes too late finds another one */
	Oid dboid;
	bool woken; /* by wake(), not by the clock */
	pid_t pid;	/* 0 until the process has come */
	TimestampTz since;
	DbpReport result;
} DbpArchiver;

typedef struct DbpArchivers
{
	Oid peace_dboid; /* the last database that somebody wanted to be alone with */
	TimestampTz peace_until;
	DbpArchiver archiver[DBP_MAX_ARCHIVERS];
} DbpArchivers;

static DbpArchivers *shared = NULL;

/* The launcher's; NULL: none, or started by an earlier launcher */
static BackgroundWorkerHandle *handles[DBP_MAX_ARCHIVERS];

static TimestampTz retry_at = 0;

/* The archiver's own place, and what it leaves there */
static DbpArchiver *mine = NULL;
static DbpReport answer;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

static void
request_shmem(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(sizeof(DbpArchivers));
}

static void
startup_shmem(void)
{
	bool found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct(DBP_LIBRARY_NAME " archivers", sizeof(DbpArchivers), &found);
	if (!found)
		memset(shared, 0, sizeof(DbpArchivers));
	LWLockRelease(AddinShmemInitLock);
}

/*
 * While shared_preload_libraries is processed.
 */
void
dbp_archivers_init(void)
{
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
}

/* ------------------------------------------------------------------------
 * The launcher's part
 * ------------------------------------------------------------------------ */

/* Frees the places of the processes that are gone, and plans what comes next */
static void
reap(TimestampTz now)
{
	for (int i = 0; i < DBP_MAX_ARCHIVERS; i++)
	{
		DbpArchiver *archiver = &shared->archiver[i];
		DbpArchiver copy;
		bool stopped = false;
		bool gone;
		pid_t pid;

		if (handles[i] != NULL)
			stopped = GetBackgroundWorkerPid(handles[i], &pid) == BGWH_STOPPED;

		LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
		copy = *archiver;
		if (copy.state == DBP_SLOT_FREE)
			gone = false;
		else if (handles[i] != NULL)
			gone = stopped;
		else
			gone = copy.state == DBP_SLOT_DONE ||
				(copy.state == DBP_SLOT_STARTING &&
				 (now < copy.since || now > dbp_after_ms(copy.since, ATTACH_MS)));
		if (gone)
		{
			archiver->state = DBP_SLOT_FREE;
			archiver->generation++;
			archiver->dboid = InvalidOid;
			archiver->pid = 0;
		}
		LWLockRelease(dbp_shmem->lock);

		if (!gone)
			continue;
		if (handles[i] != NULL)
			pfree(handles[i]);
		handles[i] = NULL;
		retry_at = 0;
		dbp_plan_conclude_archive(copy.dboid, &copy.result, now);
	}
}

/* Under the lock: the databases that have one */
static int
list_busy(Oid *busy)
{
	int n = 0;

	for (int i = 0; i < DBP_MAX_ARCHIVERS; i++)
		if (shared->archiver[i].state != DBP_SLOT_FREE)
			busy[n++] = shared->archiver[i].dboid;
	return n;
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
	snprintf(worker.bgw_function_name, sizeof(worker.bgw_function_name), "dbp_archiver_main");
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "dbperf archiver for database %u", dboid);
	snprintf(worker.bgw_type, sizeof(worker.bgw_type), "dbperf archiver");
	worker.bgw_main_arg = Int32GetDatum(index);
	memcpy(worker.bgw_extra, &generation, sizeof(generation));
	worker.bgw_notify_pid = MyProcPid;

	oldcontext = MemoryContextSwitchTo(TopMemoryContext);
	registered = RegisterDynamicBackgroundWorker(&worker, &handles[index]);
	MemoryContextSwitchTo(oldcontext);
	if (!registered)
		handles[index] = NULL;
	return registered;
}

/* False when the server has no process for it */
static bool
start(Oid dboid, bool woken, TimestampTz now)
{
	uint32 generation = 0;
	int index = -1;

	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	for (int i = 0; i < DBP_MAX_ARCHIVERS && index < 0; i++)
	{
		DbpArchiver *archiver = &shared->archiver[i];

		if (archiver->state != DBP_SLOT_FREE)
			continue;
		index = i;
		generation = ++archiver->generation;
		archiver->state = DBP_SLOT_STARTING;
		archiver->dboid = dboid;
		archiver->woken = woken;
		archiver->pid = 0;
		archiver->since = now;
		memset(&archiver->result, 0, sizeof(DbpReport));
	}
	LWLockRelease(dbp_shmem->lock);
	if (index < 0 || register_process(index, dboid, generation))
		return true;

	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	shared->archiver[index].state = DBP_SLOT_FREE;
	shared->archiver[index].dboid = InvalidOid;
	LWLockRelease(dbp_shmem->lock);
	return false;
}

/*
 * Starts the archivers that there should be. Returns the ms until the next one
 * is due.
 */
int64
dbp_archivers_refresh(TimestampTz now)
{
	Oid busy[DBP_MAX_ARCHIVERS + 1];

	reap(now);
	/* retry_at farther away than any pause: the clock was set back */
	if (now < retry_at && retry_at <= dbp_after_ms(now, NO_PROCESS_MS))
		return TimestampDifferenceMilliseconds(now, retry_at) + 1;
	for (;;)
	{
		TimestampTz at;
		TimestampTz peace;
		bool woken;
		Oid dboid;
		int nbusy;

		LWLockAcquire(dbp_shmem->lock, LW_SHARED);
		nbusy = list_busy(busy);
		peace = shared->peace_until;
		if (now < peace && peace <= dbp_after_ms(now, PEACE_MS))
			busy[nbusy] = shared->peace_dboid;
		else
			busy[nbusy] = InvalidOid;
		LWLockRelease(dbp_shmem->lock);
		/* the end of a process sets the latch */
		if (nbusy >= dbp_archive_workers)
			return dbp_scan_interval_ms();
		dboid = dbp_plan_first_archive(now, busy, nbusy + 1, &at, &woken);
		if (!OidIsValid(dboid))
			return now < peace ? PEACE_MS : dbp_scan_interval_ms();
		if (at > now)
			return TimestampDifferenceMilliseconds(now, at) + 1;
		if (!start(dboid, woken, now))
		{
			retry_at = dbp_after_ms(now, NO_PROCESS_MS);
			return NO_PROCESS_MS;
		}
	}
}

/* dbperf.enabled is off */
void
dbp_archivers_stop(void)
{
	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	for (int i = 0; i < DBP_MAX_ARCHIVERS; i++)
	{
		/* once: a second signal would end it in a ruder way */
		if (shared->archiver[i].pid != 0)
			kill(shared->archiver[i].pid, SIGTERM);
		shared->archiver[i].pid = 0;
	}
	LWLockRelease(dbp_shmem->lock);
	reap(GetCurrentTimestamp());
}

/* ------------------------------------------------------------------------
 * The archiver's part
 * ------------------------------------------------------------------------ */

static void
leave(int code, Datum arg)
{
	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	mine->state = DBP_SLOT_DONE;
	mine->pid = 0;
	mine->since = GetCurrentTimestamp();
	mine->result = answer;
	if (dbp_shmem->launcher_latch != NULL)
		SetLatch(dbp_shmem->launcher_latch);
	LWLockRelease(dbp_shmem->lock);
}

bool
dbp_archiver_arrive(int index, uint32 generation, Oid *dboid, bool *woken)
{
	DbpArchiver *archiver;
	bool expected;

	if (dbp_shmem == NULL || shared == NULL || index < 0 || index >= DBP_MAX_ARCHIVERS)
		return false;
	archiver = &shared->archiver[index];
	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	expected = archiver->state == DBP_SLOT_STARTING && archiver->generation == generation;
	if (expected)
	{
		archiver->state = DBP_SLOT_RUNNING;
		archiver->pid = MyProcPid;
		archiver->since = GetCurrentTimestamp();
		*dboid = archiver->dboid;
		*woken = archiver->woken;
	}
	LWLockRelease(dbp_shmem->lock);
	if (!expected)
		return false;
	mine = archiver;
	answer.outcome = DBP_OUTCOME_DIED;
	strlcpy(answer.error, "the archiver ended early, see the server log", sizeof(answer.error));
	before_shmem_exit(leave, (Datum) 0);
	return true;
}

void
dbp_archiver_report(const DbpReport *report)
{
	answer = *report;
}

/* ------------------------------------------------------------------------
 * The part of others
 * ------------------------------------------------------------------------ */

bool
dbp_archivers_make_way(Oid dboid)
{
	bool found = false;

	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	shared->peace_dboid = dboid;
	shared->peace_until = dbp_after_ms(GetCurrentTimestamp(), PEACE_MS);
	for (int i = 0; i < DBP_MAX_ARCHIVERS; i++)
	{
		DbpArchiver *archiver = &shared->archiver[i];

		if (archiver->state == DBP_SLOT_FREE || archiver->dboid != dboid)
			continue;
		found = true;
		/* one that has not come yet finds that nobody wants it */
		archiver->generation++;
		if (archiver->pid != 0)
			kill(archiver->pid, SIGTERM);
		archiver->pid = 0;
	}
	LWLockRelease(dbp_shmem->lock);
	return found;
}

void
dbp_archivers_come_back(Oid dboid)
{
	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	if (shared->peace_dboid == dboid)
		shared->peace_until = 0;
	if (dbp_shmem->launcher_latch != NULL)
		SetLatch(dbp_shmem->launcher_latch);
	LWLockRelease(dbp_shmem->lock);
}

/*
 * Is that process an archiver? Then what it is at is canceled, to be done
 * another time.
 */
bool
dbp_archivers_interrupt(pid_t pid)
{
	bool found = false;

	if (dbp_shmem == NULL || shared == NULL || pid == 0)
		return false;
	LWLockAcquire(dbp_shmem->lock, LW_SHARED);
	for (int i = 0; i < DBP_MAX_ARCHIVERS; i++)
		found |= shared->archiver[i].pid == pid;
	LWLockRelease(dbp_shmem->lock);
	if (found)
		(void) kill(pid, SIGUSR2);
	return found;
}
