/*-------------------------------------------------------------------------
 *
 * databases.c
 *		Counts of the statements that clients sent, for each database.
 *
 * A fixed number of places in shared memory (dbperf.max_databases), which are
 * given to databases as they come, and taken back from those that have been
 * dropped when there is none left.  No database can be dropped while somebody
 * is connected to it: a process looks its place up once, and writes there
 * without any lock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/inval.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "dbperf.h"
#include "guc.h"
#include "metrics/statements.h"

#define TRANCHE_NAME DBP_LIBRARY_NAME "_databases"

/* Who found no place looks again after so long */
#define RETRY_SECONDS 10

typedef struct SharedDatabases
{
	LWLock *lock;
	int size;
	TimestampTz since;
	pg_atomic_uint64 not_counted;
	DbpDatabaseCounts databases[FLEXIBLE_ARRAY_MEMBER];
} SharedDatabases;

DbpDatabaseCounts *dbp_my_database = NULL;

static SharedDatabases *shared = NULL;
static TimestampTz next_try = 0;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

/* Under the exclusive lock */
static void
start_counts(DbpDatabaseCounts *counts)
{
	counts->since = GetCurrentTimestamp();
	counts->since_clock = dbp_windows_clock();
	pg_atomic_init_u64(&counts->slow, 0);
	for (int i = 0; i < DBP_KIND_COUNT; i++)
		dbp_windows_init(&counts->kinds[i]);
}

/* The place of a database; of InvalidOid, a free one.  Under the lock. */
static DbpDatabaseCounts *
find_place(Oid database)
{
	for (int i = 0; i < shared->size; i++)
		if (shared->databases[i].database == database)
			return &shared->databases[i];
	return NULL;
}

static DbpDatabaseCounts *
take_place(void)
{
	DbpDatabaseCounts *place;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	place = find_place(MyDatabaseId);
	if (place == NULL)
	{
		place = find_place(InvalidOid);
		if (place != NULL)
		{
			start_counts(place);
			place->database = MyDatabaseId;
		}
	}
	LWLockRelease(shared->lock);
	return place;
}

/* Catalogs are not read under the lock */
static void
free_dropped(void)
{
	/* one that is new must not look like one that is gone */
	AcceptInvalidationMessages();
	for (int i = 0; i < shared->size; i++)
	{
		DbpDatabaseCounts *place = &shared->databases[i];
		Oid database = place->database;

		if (!OidIsValid(database) || SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(database)))
			continue;
		LWLockAcquire(shared->lock, LW_EXCLUSIVE);
		if (place->database == database)
			place->database = InvalidOid;
		LWLockRelease(shared->lock);
	}
}

/*
 * Sees to the place of this database, if there is one for it.  Reads catalogs:
 * not for who is in the middle of an error.
 */
void
dbp_database_find(void)
{
	if (likely(dbp_my_database != NULL))
		return;
	if (shared == NULL || !OidIsValid(MyDatabaseId) || !IsTransactionState() ||
		GetCurrentStatementStartTimestamp() < next_try)
		return;

	dbp_my_database = take_place();
	if (dbp_my_database == NULL)
	{
		free_dropped();
		dbp_my_database = take_place();
	}
	if (dbp_my_database == NULL)
		next_try =
			TimestampTzPlusMilliseconds(GetCurrentStatementStartTimestamp(), RETRY_SECONDS * 1000);
}

void
dbp_database_not_counted(void)
{
	if (shared != NULL)
		pg_atomic_fetch_add_u64(&shared->not_counted, 1);
}

/*
 * Copies what was counted of the next database in the last minutes (0: since
 * the start); begins with *position at 0.  False: there are no more.
 */
bool
dbp_databases_next(int *position, int minutes, DbpDatabaseCopy *copy)
{
	bool found = false;

	if (shared == NULL)
		return false;
	LWLockAcquire(shared->lock, LW_SHARED);
	while (!found && *position < shared->size)
	{
		DbpDatabaseCounts *counts = &shared->databases[(*position)++];

		found = OidIsValid(counts->database);
		if (!found)
			continue;
		memset(copy, 0, sizeof(*copy));
		copy->database = counts->database;
		copy->since = counts->since;
		copy->since_clock = counts->since_clock;
		for (int i = 0; i < DBP_KIND_COUNT; i++)
			dbp_windows_read(&counts->kinds[i], minutes, &copy->kinds[i]);
	}
	LWLockRelease(shared->lock);
	return found;
}

void
dbp_databases_state(int *used, uint64 *not_counted, TimestampTz *since)
{
	*used = 0;
	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < shared->size; i++)
		if (OidIsValid(shared->databases[i].database))
			(*used)++;
	*since = shared->since;
	LWLockRelease(shared->lock);
	*not_counted = pg_atomic_read_u64(&shared->not_counted);
}

/*
 * Forgets what was counted in this database; others may be adding.
 */
void
dbp_database_reset(void)
{
	DbpDatabaseCounts *counts;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	counts = find_place(MyDatabaseId);
	if (counts != NULL)
	{
		counts->since = GetCurrentTimestamp();
		counts->since_clock = dbp_windows_clock();
		pg_atomic_write_u64(&counts->slow, 0);
		for (int i = 0; i < DBP_KIND_COUNT; i++)
			dbp_windows_reset(&counts->kinds[i]);
	}
	LWLockRelease(shared->lock);
}

static Size
databases_size(void)
{
	return add_size(offsetof(SharedDatabases, databases),
					mul_size(dbp_max_databases, sizeof(DbpDatabaseCounts)));
}

static void
request_shmem(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(databases_size());
	RequestNamedLWLockTranche(TRANCHE_NAME, 1);
}

static void
startup_shmem(void)
{
	bool found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct(DBP_LIBRARY_NAME " databases", databases_size(), &found);
	if (!found)
	{
		shared->lock = &GetNamedLWLockTranche(TRANCHE_NAME)->lock;
		shared->size = dbp_max_databases;
		shared->since = GetCurrentTimestamp();
		pg_atomic_init_u64(&shared->not_counted, 0);
		/* the rest when a place is taken: memory that nobody needs is not touched */
		for (int i = 0; i < shared->size; i++)
			shared->databases[i].database = InvalidOid;
	}
	LWLockRelease(AddinShmemInitLock);
}

/*
 * While shared_preload_libraries is processed.
 */
void
dbp_databases_init(void)
{
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
}
