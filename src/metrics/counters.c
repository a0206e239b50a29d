/*-------------------------------------------------------------------------
 *
 * counters.c
 *		The counters of each table in shared memory.
 *
 * A fixed number of entries (dbperf.max_tables), found by a hash of database
 * and OID.  Entries come and go under the exclusive lock; everything else,
 * also adding to an entry, takes the lock shared, once for each transaction
 * that has something to add, and nothing but atomic operations.  When all are
 * taken, the one that nothing was added to for the longest time makes room.
 *
 * Times here are those of a clock that is never set (CLOCK_MONOTONIC), so that
 * rates are right when the wall clock steps; those that are shown are of the
 * wall clock.  dbperf.now_override stands in for it in rates, for tests.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "portability/instr_time.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "dbperf.h"
#include "guc.h"
#include "metrics/counters.h"

#define TRANCHE_NAME DBP_LIBRARY_NAME "_counters"

/*
 * A bucket of the ring is one number, so that no reader finds the rows of one
 * time with the name of another: rows above, number of the bucket below (its
 * time by the length of a bucket), whose 24 bits last for five years.
 */
#define BUCKET_TIME_BITS 24
#define BUCKET_TIME_MASK ((UINT64CONST(1) << BUCKET_TIME_BITS) - 1)
#define BUCKET_MAX_ROWS (PG_UINT64_MAX >> BUCKET_TIME_BITS)

typedef struct SharedOperation
{
	pg_atomic_uint64 calls;
	pg_atomic_uint64 rows;
	pg_atomic_uint64 microseconds;
	pg_atomic_uint32 histogram[DBP_HISTOGRAM_SIZE];
} SharedOperation;

typedef struct SharedTable
{
	Oid database; /* InvalidOid: free */
	Oid relid;
	int next; /* of the same hash, or free; -1: none */
	TimestampTz since;
	pg_atomic_uint64 used_at;
	pg_atomic_uint64 rejected;
	pg_atomic_uint64 late;
	pg_atomic_uint64 cache_hits;
	pg_atomic_uint64 cache_misses;
	pg_atomic_uint64 ring[DBP_RATE_BUCKETS];
	SharedOperation operations[DBP_OP_COUNT];
	/* statements, and since when dbp_windows_clock() */
	uint64 since_clock;
	DbpSharedCounts kinds[DBP_TABLE_KINDS];
	DbpWindows windows;
} SharedTable;

typedef struct SharedCounters
{
	LWLock *lock;
	int size;
	int used;
	int first_free;
	uint64 evictions;
	TimestampTz since; /* when counts were last forgotten */
	uint64 since_clock;
	SharedTable tables[FLEXIBLE_ARRAY_MEMBER];
} SharedCounters;

static SharedCounters *counters = NULL;
static int *heads = NULL; /* in shared memory: first table of each hash, -1: none */

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

bool
dbp_counters_present(void)
{
	return counters != NULL;
}

static uint64
monotonic_microseconds(void)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	return INSTR_TIME_GET_MICROSEC(now);
}

/* The time that rates go by */
static uint64
rate_clock(uint64 monotonic)
{
	return dbp_now_is_fixed() ? (uint64) dbp_now() : monotonic;
}

static int *
head_of(Oid database, Oid relid)
{
	return &heads[hash_combine(murmurhash32(database), murmurhash32(relid)) % counters->size];
}

/* Under the lock */
static SharedTable *
find_table(Oid database, Oid relid)
{
	for (int i = *head_of(database, relid); i >= 0; i = counters->tables[i].next)
	{
		SharedTable *table = &counters->tables[i];

		if (table->database == database && table->relid == relid)
			return table;
	}
	return NULL;
}

/* Under the exclusive lock */
static void
free_table(SharedTable *table)
{
	int number = table - counters->tables;
	int *link = head_of(table->database, table->relid);

	while (*link != number)
		link = &counters->tables[*link].next;
	*link = table->next;
	table->database = InvalidOid;
	table->next = counters->first_free;
	counters->first_free = number;
	counters->used--;
}

/* Under the exclusive lock: from now on, a table without counters has had nothing to count */
static void
note_forgotten(void)
{
	counters->since = GetCurrentTimestamp();
	counters->since_clock = dbp_windows_clock();
}

static void
evict_oldest(void)
{
	SharedTable *oldest = &counters->tables[0];

	for (int i = 1; i < counters->size; i++)
	{
		SharedTable *table = &counters->tables[i];

		if (pg_atomic_read_u64(&table->used_at) < pg_atomic_read_u64(&oldest->used_at))
			oldest = table;
	}
	free_table(oldest);
	counters->evictions++;
	note_forgotten();
}

/* When a place is taken: memory that nobody needs is not touched */
static void
init_table(SharedTable *table)
{
	pg_atomic_init_u64(&table->used_at, 0);
	pg_atomic_init_u64(&table->rejected, 0);
	pg_atomic_init_u64(&table->late, 0);
	pg_atomic_init_u64(&table->cache_hits, 0);
	pg_atomic_init_u64(&table->cache_misses, 0);
	for (int i = 0; i < DBP_RATE_BUCKETS; i++)
		pg_atomic_init_u64(&table->ring[i], 0);
	for (int i = 0; i < DBP_OP_COUNT; i++)
	{
		SharedOperation *operation = &table->operations[i];

		pg_atomic_init_u64(&operation->calls, 0);
		pg_atomic_init_u64(&operation->rows, 0);
		pg_atomic_init_u64(&operation->microseconds, 0);
		for (int j = 0; j < DBP_HISTOGRAM_SIZE; j++)
			pg_atomic_init_u32(&operation->histogram[j], 0);
	}
	for (int i = 0; i < DBP_TABLE_KINDS; i++)
		dbp_counts_init(&table->kinds[i]);
	dbp_windows_init(&table->windows);
}

/* Under the exclusive lock */
static SharedTable *
make_table(Oid database, Oid relid)
{
	SharedTable *table;
	int *head = head_of(database, relid);

	if (counters->first_free < 0)
		evict_oldest();
	table = &counters->tables[counters->first_free];
	counters->first_free = table->next;
	counters->used++;

	/* nobody else can see it, so that it may as well be initialised */
	init_table(table);
	table->database = database;
	table->relid = relid;
	table->since = counters->since;
	table->since_clock = counters->since_clock;
	table->next = *head;
	*head = table - counters->tables;
	return table;
}

static void
add_operation(SharedOperation *operation, const DbpPendingOperation *pending)
{
	if (pending->calls == 0)
		return;
	pg_atomic_fetch_add_u64(&operation->calls, pending->calls);
	pg_atomic_fetch_add_u64(&operation->rows, pending->rows);
	pg_atomic_fetch_add_u64(&operation->microseconds, pending->microseconds);
	if (pending->histogram == NULL)
	{
		dbp_histogram_add(operation->histogram, pending->only_bucket, 1);
		return;
	}
	for (int i = 0; i < DBP_HISTOGRAM_SIZE; i++)
		if (pending->histogram[i] > 0)
			dbp_histogram_add(operation->histogram, i, pending->histogram[i]);
}

static void
add_to_ring(SharedTable *table, uint64 now, uint64 rows)
{
	uint64 number = now / (DBP_RATE_BUCKET_SECONDS * USECS_PER_SEC);
	pg_atomic_uint64 *bucket = &table->ring[number % DBP_RATE_BUCKETS];
	uint64 time = number & BUCKET_TIME_MASK;
	uint64 value = pg_atomic_read_u64(bucket);

	rows = Min(rows, BUCKET_MAX_ROWS);
	for (;;)
	{
		uint64 before = (value & BUCKET_TIME_MASK) == time ? value >> BUCKET_TIME_BITS : 0;
		uint64 after = Min(before + rows, BUCKET_MAX_ROWS);

		if (pg_atomic_compare_exchange_u64(bucket, &value, after << BUCKET_TIME_BITS | time))
			break;
	}
}

static void
add_table(SharedTable *table, DbpPending *pending, uint64 used_at, uint64 now)
{
	uint64 ingested = pending->operations[DBP_OP_INSERT].rows +
		pending->operations[DBP_OP_COPY].rows + pending->operations[DBP_OP_BULK_INSERT].rows;

	pg_atomic_write_u64(&table->used_at, used_at);
	if (pending->rejected > 0)
		pg_atomic_fetch_add_u64(&table->rejected, pending->rejected);
	if (pending->late > 0)
		pg_atomic_fetch_add_u64(&table->late, pending->late);
	if (pending->cache_hits > 0)
		pg_atomic_fetch_add_u64(&table->cache_hits, pending->cache_hits);
	if (pending->cache_misses > 0)
		pg_atomic_fetch_add_u64(&table->cache_misses, pending->cache_misses);
	for (int i = 0; i < DBP_OP_COUNT; i++)
		add_operation(&table->operations[i], &pending->operations[i]);
	if (ingested > 0)
		add_to_ring(table, now, ingested);
	pending->flushed = true;
}

/*
 * Adds what a transaction did.  It has committed: nothing here may throw.
 */
void
dbp_counters_add(DbpPending *list)
{
	uint64 used_at = monotonic_microseconds();
	uint64 now = rate_clock(used_at);

	LWLockAcquire(counters->lock, LW_SHARED);
	for (DbpPending *pending = list; pending != NULL; pending = pending->next)
	{
		SharedTable *table = find_table(MyDatabaseId, pending->relid);

		if (table != NULL)
			add_table(table, pending, used_at, now);
	}
	LWLockRelease(counters->lock);

	for (DbpPending *pending = list; pending != NULL; pending = pending->next)
	{
		SharedTable *table;

		if (pending->flushed)
			continue;
		LWLockAcquire(counters->lock, LW_EXCLUSIVE);
		table = find_table(MyDatabaseId, pending->relid);
		if (table == NULL)
			table = make_table(MyDatabaseId, pending->relid);
		add_table(table, pending, used_at, now);
		LWLockRelease(counters->lock);
	}
}

static void
add_statement(SharedTable *table, DbpStatementKind kind, uint64 clock, uint64 rows,
			  uint64 microseconds, bool failed)
{
	pg_atomic_write_u64(&table->used_at, monotonic_microseconds());
	dbp_counts_add(&table->kinds[kind], rows, microseconds, failed);
	dbp_windows_add_at(&table->windows, clock, rows, microseconds, failed);
}

/*
 * Adds a statement, at dbp_windows_clock(), to a table that is no partition.
 * Does not throw.
 */
void
dbp_counters_add_statement(Oid relid, DbpStatementKind kind, uint64 clock, uint64 rows,
						   uint64 microseconds, bool failed)
{
	SharedTable *table;

	LWLockAcquire(counters->lock, LW_SHARED);
	table = find_table(MyDatabaseId, relid);
	if (table != NULL)
		add_statement(table, kind, clock, rows, microseconds, failed);
	LWLockRelease(counters->lock);
	if (table != NULL)
		return;

	LWLockAcquire(counters->lock, LW_EXCLUSIVE);
	table = find_table(MyDatabaseId, relid);
	if (table == NULL)
		table = make_table(MyDatabaseId, relid);
	add_statement(table, kind, clock, rows, microseconds, failed);
	LWLockRelease(counters->lock);
}

/*
 * Rows per second over some minutes.  The bucket in which that time began
 * counts by the part of it that lies within.
 */
static double
ring_rate(SharedTable *table, uint64 now, int minutes)
{
	uint64 length = DBP_RATE_BUCKET_SECONDS * USECS_PER_SEC;
	uint64 number = now / length;
	uint64 last = minutes * 60 / DBP_RATE_BUCKET_SECONDS;
	double rows = 0;

	for (uint64 age = 0; age <= Min(last, number); age++)
	{
		uint64 value = pg_atomic_read_u64(&table->ring[(number - age) % DBP_RATE_BUCKETS]);
		double part = age < last ? 1 : (double) (length - now % length) / length;

		if ((value & BUCKET_TIME_MASK) == ((number - age) & BUCKET_TIME_MASK))
			rows += part * (value >> BUCKET_TIME_BITS);
	}
	return rows / (minutes * 60);
}

static void
copy_table(SharedTable *table, DbpTableCounts *counts)
{
	uint64 now = rate_clock(monotonic_microseconds());

	counts->relid = table->relid;
	counts->since = table->since;
	counts->rejected = pg_atomic_read_u64(&table->rejected);
	counts->late = pg_atomic_read_u64(&table->late);
	counts->cache_hits = pg_atomic_read_u64(&table->cache_hits);
	counts->cache_misses = pg_atomic_read_u64(&table->cache_misses);
	counts->rates[0] = ring_rate(table, now, 1);
	counts->rates[1] = ring_rate(table, now, 5);
	counts->rates[2] = ring_rate(table, now, 15);
	for (int i = 0; i < DBP_OP_COUNT; i++)
	{
		SharedOperation *operation = &table->operations[i];
		DbpOperationCounts *copy = &counts->operations[i];

		copy->calls = pg_atomic_read_u64(&operation->calls);
		copy->rows = pg_atomic_read_u64(&operation->rows);
		copy->microseconds = pg_atomic_read_u64(&operation->microseconds);
		for (int j = 0; j < DBP_HISTOGRAM_SIZE; j++)
			copy->histogram[j] = pg_atomic_read_u32(&operation->histogram[j]);
	}
}

/* Each in turn, one at a time: nobody is kept from adding for long */
static SharedTable *
next_table(int *position)
{
	while (*position < counters->size)
	{
		SharedTable *table = &counters->tables[(*position)++];

		if (table->database == MyDatabaseId)
			return table;
	}
	return NULL;
}

/*
 * Copies the counts of the next table of this database; begins with *position
 * at 0.  False: there are no more.
 */
bool
dbp_counters_next(int *position, DbpTableCounts *counts)
{
	SharedTable *table;

	if (counters == NULL)
		return false;
	LWLockAcquire(counters->lock, LW_SHARED);
	table = next_table(position);
	if (table != NULL)
		copy_table(table, counts);
	LWLockRelease(counters->lock);
	return table != NULL;
}

/*
 * The same for statements of the last minutes (0: since the start).
 */
bool
dbp_counters_next_statements(int *position, int minutes, DbpTableCopy *copy)
{
	SharedTable *table;

	if (counters == NULL)
		return false;
	memset(copy, 0, sizeof(*copy));
	LWLockAcquire(counters->lock, LW_SHARED);
	table = next_table(position);
	if (table != NULL)
	{
		copy->relid = table->relid;
		copy->since = table->since;
		copy->since_clock = table->since_clock;
		dbp_windows_read(&table->windows, minutes, &copy->all);
		for (int i = 0; minutes == 0 && i < DBP_TABLE_KINDS; i++)
			dbp_counts_read(&table->kinds[i], &copy->kinds[i]);
	}
	LWLockRelease(counters->lock);
	return table != NULL;
}

void
dbp_counters_state(DbpCountersState *state)
{
	LWLockAcquire(counters->lock, LW_SHARED);
	state->tables = counters->used;
	state->evictions = counters->evictions;
	state->since = counters->since;
	LWLockRelease(counters->lock);
}

/*
 * Forgets what was counted in this database.
 */
void
dbp_counters_reset(void)
{
	LWLockAcquire(counters->lock, LW_EXCLUSIVE);
	for (int i = 0; i < counters->size; i++)
		if (counters->tables[i].database == MyDatabaseId)
			free_table(&counters->tables[i]);
	note_forgotten();
	LWLockRelease(counters->lock);
}

static Size
tables_size(void)
{
	return add_size(offsetof(SharedCounters, tables),
					mul_size(dbp_max_tables, sizeof(SharedTable)));
}

static void
request_shmem(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(add_size(tables_size(), mul_size(dbp_max_tables, sizeof(int))));
	RequestNamedLWLockTranche(TRANCHE_NAME, 1);
}

static void
startup_shmem(void)
{
	bool found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	heads = ShmemInitStruct(DBP_LIBRARY_NAME " counter index",
							mul_size(dbp_max_tables, sizeof(int)), &found);
	counters = ShmemInitStruct(DBP_LIBRARY_NAME " counters", tables_size(), &found);
	if (!found)
	{
		counters->lock = &GetNamedLWLockTranche(TRANCHE_NAME)->lock;
		counters->size = dbp_max_tables;
		counters->used = 0;
		counters->evictions = 0;
		note_forgotten();
		counters->first_free = 0;
		for (int i = 0; i < counters->size; i++)
		{
			heads[i] = -1;
			counters->tables[i].database = InvalidOid;
			counters->tables[i].next = i + 1 < counters->size ? i + 1 : -1;
		}
	}
	LWLockRelease(AddinShmemInitLock);
}

/*
 * While shared_preload_libraries is processed.
 */
void
dbp_counters_init(void)
{
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
}
