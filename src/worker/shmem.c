/*-------------------------------------------------------------------------
 *
 * shmem.c
 *		Shared memory of the background worker, its registration, and wake().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

#include "archiver.h"
#include "compat.h"
#include "dbperf.h"
#include "guc.h"
#include "sampler.h"
#include "shmem.h"
#include "worker.h"

#define DBP_LAUNCHER_RESTART_SECONDS 5

PG_FUNCTION_INFO_V1(dbperf_wake);

DbpShmem *dbp_shmem = NULL;
bool dbp_is_worker_process = false;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

/* Does this transaction wake the launcher when it commits? */
static bool wake_pending = false;
static bool wake_callback_registered = false;

static Size
shmem_size(void)
{
	return add_size(offsetof(DbpShmem, slots), mul_size(dbp_max_workers, sizeof(DbpSlot)));
}

static void
request_shmem(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();

	RequestAddinShmemSpace(shmem_size());
	RequestNamedLWLockTranche(DBP_LIBRARY_NAME, 1);
}

static void
startup_shmem(void)
{
	bool found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	dbp_shmem = ShmemInitStruct(DBP_LIBRARY_NAME " worker", shmem_size(), &found);
	if (!found)
	{
		memset(dbp_shmem, 0, shmem_size());
		dbp_shmem->lock = &GetNamedLWLockTranche(DBP_LIBRARY_NAME)->lock;
		dbp_shmem->nslots = dbp_max_workers;
	}
	LWLockRelease(AddinShmemInitLock);
}

static void
register_launcher(void)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	/* on a standby that is: not before the promotion */
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = DBP_LAUNCHER_RESTART_SECONDS;
	snprintf(worker.bgw_library_name, sizeof(worker.bgw_library_name), DBP_LIBRARY_NAME);
	snprintf(worker.bgw_function_name, sizeof(worker.bgw_function_name), "dbp_launcher_main");
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "dbperf launcher");
	snprintf(worker.bgw_type, sizeof(worker.bgw_type), "dbperf launcher");
	RegisterBackgroundWorker(&worker);
}

void
dbp_worker_init(void)
{
	/* pg_upgrade must find the clusters at rest */
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;

	dbp_shmem_init();
	dbp_missing_init();
	dbp_samplers_init();
	dbp_archivers_init();
	register_launcher();
}

void
dbp_shmem_init(void)
{
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
}

/* The caller holds the lock. */
static void
set_launcher_latch(void)
{
	if (dbp_shmem->launcher_latch != NULL)
		SetLatch(dbp_shmem->launcher_latch);
}

/*
 * Leaves a wake-up call for a database. Does not throw.
 */
void
dbp_shmem_wake(Oid dboid)
{
	bool known = false;

	if (dbp_shmem == NULL)
		return;

	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	for (int i = 0; i < dbp_shmem->nwakes && !known; i++)
		known = (dbp_shmem->wakes[i] == dboid);
	if (!known)
	{
		if (dbp_shmem->nwakes < DBP_MAX_WAKES)
			dbp_shmem->wakes[dbp_shmem->nwakes++] = dboid;
		else
			dbp_shmem->wake_all = true;
	}
	set_launcher_latch();
	LWLockRelease(dbp_shmem->lock);
}

void
dbp_shmem_wake_all(void)
{
	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	dbp_shmem->wake_all = true;
	LWLockRelease(dbp_shmem->lock);
}

/*
 * Leaves a request to make the partition that an insert did not find. False
 * when there is no room, or the table has enough of them: the client's next
 * attempt will ask again. Does not throw.
 */
bool
dbp_shmem_add_missing(const DbpMissing *missing)
{
	bool wanted;
	int same_table = 0;
	bool known = false;

	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	for (int i = 0; i < dbp_shmem->nmissing; i++)
	{
		const DbpMissing *other = &dbp_shmem->missing[i];

		if (other->dboid != missing->dboid || strcmp(other->table, missing->table) != 0 ||
			strcmp(other->schema, missing->schema) != 0)
			continue;
		same_table++;
		if (other->has_key == missing->has_key && strcmp(other->key, missing->key) == 0)
			known = true;
	}
	wanted =
		(!known && same_table < DBP_MAX_MISSING_PER_TABLE && dbp_shmem->nmissing < DBP_MAX_MISSING);
	if (wanted)
		dbp_shmem->missing[dbp_shmem->nmissing++] = *missing;
	if (wanted || known)
		set_launcher_latch();
	LWLockRelease(dbp_shmem->lock);

	return wanted || known;
}

/*
 * Takes the oldest request of a database out of the list. With missing NULL,
 * takes all of them away.
 */
bool
dbp_shmem_take_missing(Oid dboid, DbpMissing *missing)
{
	bool found = false;
	int kept = 0;

	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	for (int i = 0; i < dbp_shmem->nmissing; i++)
	{
		const DbpMissing *this = &dbp_shmem->missing[i];

		if (this->dboid == dboid && (missing == NULL || !found))
		{
			if (missing != NULL)
				*missing = *this;
			found = true;
			continue;
		}
		if (kept != i)
			dbp_shmem->missing[kept] = *this;
		kept++;
	}
	dbp_shmem->nmissing = kept;
	LWLockRelease(dbp_shmem->lock);

	return found;
}

static void
wake_xact_callback(XactEvent event, void *arg)
{
	if (!wake_pending)
		return;

	switch (event)
	{
		case XACT_EVENT_COMMIT:
			wake_pending = false;
			dbp_shmem_wake(MyDatabaseId);
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			/* who commits a prepared transaction is not known here: the nap ends */
			wake_pending = false;
			break;
		default:
			break;
	}
}

void
dbp_wake_at_commit(void)
{
	/* a worker at work needs no call to work */
	if (dbp_shmem == NULL || dbp_is_worker_process)
		return;
	if (!wake_callback_registered)
	{
		RegisterXactCallback(wake_xact_callback, NULL);
		wake_callback_registered = true;
	}
	wake_pending = true;
}

/*
 * wake() returns bool: wakes the launcher when the transaction commits; false
 * when there is no launcher to hear it.
 */
Datum
dbperf_wake(PG_FUNCTION_ARGS)
{
	bool heard = false;

	dbp_wake_at_commit();
	if (dbp_shmem != NULL)
	{
		LWLockAcquire(dbp_shmem->lock, LW_SHARED);
		heard = dbp_shmem->launcher_pid != 0;
		LWLockRelease(dbp_shmem->lock);
	}
	PG_RETURN_BOOL(heard);
}
