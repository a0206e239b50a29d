/*-------------------------------------------------------------------------
 *
 * pools.c
 *		What clients report on their connection pools, in shared memory.
 *
 * A fixed number of pools (dbperf.max_pools), found by database and name,
 * have the times that it took to get a connection from them; when all are
 * taken, the one that nothing was added to for the longest time makes room.
 * Besides there is the last sample of each client.
 *
 * Pools and samples come and go under the exclusive lock; times are added
 * under the shared one, with atomic operations.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "dbperf.h"
#include "guc.h"
#include "metrics/pools.h"

#define TRANCHE_NAME DBP_LIBRARY_NAME "_pools"

/* Minutes in which timeouts were reported: as many as are shown, and the one that is not over */
#define TIMEOUT_SLOTS (DBP_POOL_MINUTES + 1)

typedef struct TimeoutSlot
{
	uint64 minute;
	uint64 timeouts;
} TimeoutSlot;

typedef struct SharedPool
{
	Oid database; /* InvalidOid: free */
	char name[NAMEDATALEN];
	pg_atomic_uint64 used; /* number of the last use of any pool that was one of this */
	TimeoutSlot timeouts[TIMEOUT_SLOTS];
	DbpWindows windows;
} SharedPool;

typedef struct SharedSample
{
	Oid database; /* InvalidOid: free */
	uint64 number;
	uint64 at;
	DbpPoolSample sample;
} SharedSample;

typedef struct SharedPools
{
	LWLock *lock;
	int size;
	uint64 evictions;
	pg_atomic_uint64 uses;
	uint64 sample_count;
	SharedSample samples[DBP_POOL_SAMPLES];
	SharedPool pools[FLEXIBLE_ARRAY_MEMBER];
} SharedPools;

static SharedPools *shared = NULL;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

bool
dbp_pools_present(void)
{
	return shared != NULL;
}

/* Under the lock */
static SharedPool *
find_pool(const char *name)
{
	for (int i = 0; i < shared->size; i++)
	{
		SharedPool *pool = &shared->pools[i];

		if (pool->database == MyDatabaseId && strcmp(pool->name, name) == 0)
			return pool;
	}
	return NULL;
}

/* A free place, or that of the pool that was not used for the longest time */
static SharedPool *
place_for_pool(void)
{
	SharedPool *oldest = &shared->pools[0];

	for (int i = 0; i < shared->size; i++)
	{
		SharedPool *pool = &shared->pools[i];

		if (!OidIsValid(pool->database))
			return pool;
		if (pg_atomic_read_u64(&pool->used) < pg_atomic_read_u64(&oldest->used))
			oldest = pool;
	}
	shared->evictions++;
	return oldest;
}

/* Under the exclusive lock */
static SharedPool *
find_or_make_pool(const char *name)
{
	SharedPool *pool = find_pool(name);

	if (pool != NULL)
		return pool;
	pool = place_for_pool();
	pool->database = MyDatabaseId;
	strlcpy(pool->name, name, NAMEDATALEN);
	memset(pool->timeouts, 0, sizeof(pool->timeouts));
	dbp_windows_init(&pool->windows);
	return pool;
}

static void
note_use(SharedPool *pool)
{
	pg_atomic_write_u64(&pool->used, pg_atomic_fetch_add_u64(&shared->uses, 1) + 1);
}

/*
 * Adds times that clients have waited for a connection; those of timeout or
 * more have waited in vain.
 */
void
dbp_pools_add_acquires(const char *name, const uint64 *microseconds, int count, uint64 timeout)
{
	SharedPool *pool;

	LWLockAcquire(shared->lock, LW_SHARED);
	pool = find_pool(name);
	if (pool == NULL)
	{
		LWLockRelease(shared->lock);
		LWLockAcquire(shared->lock, LW_EXCLUSIVE);
		pool = find_or_make_pool(name);
	}
	note_use(pool);
	for (int i = 0; i < count; i++)
		dbp_windows_add(&pool->windows, 0, microseconds[i], microseconds[i] >= timeout);
	LWLockRelease(shared->lock);
}

/* Under the exclusive lock */
static SharedSample *
place_for_sample(const DbpPoolSample *sample)
{
	SharedSample *oldest = &shared->samples[0];
	SharedSample *unused = NULL;

	for (int i = 0; i < DBP_POOL_SAMPLES; i++)
	{
		SharedSample *place = &shared->samples[i];

		if (!OidIsValid(place->database))
			unused = place;
		else if (place->database == MyDatabaseId && strcmp(place->sample.pool, sample->pool) == 0 &&
				 strcmp(place->sample.instance, sample->instance) == 0)
			return place;
		else if (place->number < oldest->number)
			oldest = place;
	}
	if (unused == NULL)
		unused = oldest;
	unused->database = InvalidOid;
	return unused;
}

static void
add_timeouts(const char *name, uint64 minute, int64 timeouts)
{
	SharedPool *pool = find_or_make_pool(name);
	TimeoutSlot *slot = &pool->timeouts[minute % TIMEOUT_SLOTS];

	note_use(pool);
	if (slot->minute != minute)
	{
		slot->minute = minute;
		slot->timeouts = 0;
	}
	slot->timeouts += timeouts;
}

/*
 * Keeps what a client says last, and counts the timeouts that it has had since
 * it said so before.  Those of before its first sample may be of any time; one
 * with fewer than before has begun anew.
 */
void
dbp_pools_put_sample(const DbpPoolSample *sample)
{
	SharedSample *place;
	int64 before = -1;
	int64 timeouts = sample->figures[DBP_POOL_TIMEOUTS];
	uint64 now = dbp_windows_clock();

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	place = place_for_sample(sample);
	if (OidIsValid(place->database))
		before = place->sample.figures[DBP_POOL_TIMEOUTS];
	if (before >= 0 && timeouts >= 0 && timeouts != before)
		add_timeouts(sample->pool, now / (60 * USECS_PER_SEC),
					 timeouts > before ? timeouts - before : timeouts);
	place->database = MyDatabaseId;
	place->number = ++shared->sample_count;
	place->at = now;
	place->sample = *sample;
	LWLockRelease(shared->lock);
}

static uint64
recent_timeouts(const SharedPool *pool)
{
	uint64 minute = dbp_windows_clock() / (60 * USECS_PER_SEC);
	uint64 timeouts = 0;

	for (int i = 0; i < TIMEOUT_SLOTS; i++)
		if (pool->timeouts[i].minute <= minute && minute - pool->timeouts[i].minute < TIMEOUT_SLOTS)
			timeouts += pool->timeouts[i].timeouts;
	return timeouts;
}

/*
 * Copies the counts of the next pool of this database; begins with *position
 * at 0.  False: there are no more.
 */
bool
dbp_pools_next(int *position, DbpPoolCounts *counts)
{
	bool found = false;

	if (shared == NULL)
		return false;
	LWLockAcquire(shared->lock, LW_SHARED);
	while (!found && *position < shared->size)
	{
		SharedPool *pool = &shared->pools[(*position)++];

		found = pool->database == MyDatabaseId;
		if (found)
		{
			memset(counts, 0, sizeof(DbpPoolCounts));
			strlcpy(counts->pool, pool->name, NAMEDATALEN);
			counts->timeouts = recent_timeouts(pool);
			dbp_windows_read(&pool->windows, DBP_POOL_MINUTES, &counts->counts);
		}
	}
	LWLockRelease(shared->lock);
	return found;
}

/*
 * The same with samples that are not too old.
 */
bool
dbp_pools_next_sample(int *position, DbpPoolSample *sample, double *age_seconds)
{
	uint64 now = dbp_windows_clock();
	bool found = false;

	if (shared == NULL)
		return false;
	LWLockAcquire(shared->lock, LW_SHARED);
	while (!found && *position < DBP_POOL_SAMPLES)
	{
		SharedSample *place = &shared->samples[(*position)++];

		/* one of the future: a clock that was fixed for a test */
		found = place->database == MyDatabaseId && place->at <= now &&
			now - place->at <= DBP_POOL_MINUTES * 60 * USECS_PER_SEC;
		if (found)
		{
			*sample = place->sample;
			*age_seconds = (now - place->at) / (double) USECS_PER_SEC;
		}
	}
	LWLockRelease(shared->lock);
	return found;
}

void
dbp_pools_state(int *used, uint64 *evictions)
{
	*used = 0;
	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < shared->size; i++)
		if (OidIsValid(shared->pools[i].database))
			(*used)++;
	*evictions = shared->evictions;
	LWLockRelease(shared->lock);
}

/*
 * Forgets what clients of this database have reported.
 */
void
dbp_pools_reset(void)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->size; i++)
		if (shared->pools[i].database == MyDatabaseId)
			shared->pools[i].database = InvalidOid;
	for (int i = 0; i < DBP_POOL_SAMPLES; i++)
		if (shared->samples[i].database == MyDatabaseId)
			shared->samples[i].database = InvalidOid;
	LWLockRelease(shared->lock);
}

static Size
shared_size(void)
{
	return add_size(offsetof(SharedPools, pools), mul_size(dbp_max_pools, sizeof(SharedPool)));
}

static void
request_shmem(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(shared_size());
	RequestNamedLWLockTranche(TRANCHE_NAME, 1);
}

static void
startup_shmem(void)
{
	bool found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct(DBP_LIBRARY_NAME " pools", shared_size(), &found);
	if (!found)
	{
		memset(shared, 0, offsetof(SharedPools, pools));
		shared->lock = &GetNamedLWLockTranche(TRANCHE_NAME)->lock;
		shared->size = dbp_max_pools;
		pg_atomic_init_u64(&shared->uses, 0);
		for (int i = 0; i < shared->size; i++)
		{
			shared->pools[i].database = InvalidOid;
			pg_atomic_init_u64(&shared->pools[i].used, 0);
		}
	}
	LWLockRelease(AddinShmemInitLock);
}

/*
 * While shared_preload_libraries is processed.
 */
void
dbp_pools_init(void)
{
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
}
