/*-------------------------------------------------------------------------
 *
 * slow_queries.c
 *		The last slow statements that clients sent.
 *
 * A ring in shared memory, of dbperf.max_slow_queries places.  Text goes in
 * without its constants only, so that none is ever kept.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "dbperf.h"
#include "guc.h"
#include "metrics/normalize.h"
#include "metrics/statements.h"

#define TRANCHE_NAME DBP_LIBRARY_NAME "_slow_queries"

typedef struct SlowQueries
{
	LWLock *lock;
	int size;
	uint64 last; /* number of the last one; 0: there was none */
	DbpSlowQuery queries[FLEXIBLE_ARRAY_MEMBER];
} SlowQueries;

static SlowQueries *shared = NULL;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

/* The part of the source that is the statement */
static void
normalize_text(const DbpStatementText *text, char *result)
{
	size_t length;
	size_t location;

	result[0] = '\0';
	if (text->source == NULL || text->location < 0)
		return;
	length = strlen(text->source);
	location = Min((size_t) text->location, length);
	length -= location;
	if (text->length > 0 && (size_t) text->length < length)
		length = text->length;
	(void) dbp_normalize(text->source + location, length, result, DBP_SLOW_TEXT_SIZE);
}

/*
 * Remembers a statement that has just ended.  Does not throw: the transaction
 * may be on its way to be rolled back.
 */
void
dbp_slow_query_add(DbpStatementKind kind, const DbpStatementText *text, uint64 rows,
				   uint64 microseconds, bool failed)
{
	char normalized[DBP_SLOW_TEXT_SIZE];
	DbpSlowQuery *query;

	if (shared == NULL)
		return;
	if (dbp_my_database != NULL)
		pg_atomic_fetch_add_u64(&dbp_my_database->slow, 1);
	normalize_text(text, normalized);

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	query = &shared->queries[shared->last++ % shared->size];
	query->number = shared->last;
	query->ended = dbp_windows_clock();
	query->database = MyDatabaseId;
	query->kind = kind;
	query->microseconds = microseconds;
	query->rows = rows;
	query->failed = failed;
	query->queryid = text->queryid;
	query->userid = text->userid;
	query->started = text->started;
	query->encoding = GetDatabaseEncoding();
	strcpy(query->text, normalized);
	LWLockRelease(shared->lock);
}

/*
 * Copies the next statement that is remembered, of all databases; begins with
 * *position at 0.  False: there are no more.
 */
bool
dbp_slow_queries_next(int *position, DbpSlowQuery *copy)
{
	bool found = false;

	if (shared == NULL)
		return false;
	LWLockAcquire(shared->lock, LW_SHARED);
	while (!found && *position < shared->size)
	{
		const DbpSlowQuery *query = &shared->queries[(*position)++];

		found = query->number != 0;
		if (found)
			*copy = *query;
	}
	LWLockRelease(shared->lock);
	return found;
}

/*
 * Forgets those of this database.
 */
void
dbp_slow_queries_reset(void)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->size; i++)
		if (shared->queries[i].database == MyDatabaseId)
			shared->queries[i].number = 0;
	LWLockRelease(shared->lock);
}

static Size
slow_queries_size(void)
{
	return add_size(offsetof(SlowQueries, queries),
					mul_size(dbp_max_slow_queries, sizeof(DbpSlowQuery)));
}

static void
request_shmem(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(slow_queries_size());
	RequestNamedLWLockTranche(TRANCHE_NAME, 1);
}

static void
startup_shmem(void)
{
	bool found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct(DBP_LIBRARY_NAME " slow queries", slow_queries_size(), &found);
	if (!found)
	{
		memset(shared, 0, slow_queries_size());
		shared->lock = &GetNamedLWLockTranche(TRANCHE_NAME)->lock;
		shared->size = dbp_max_slow_queries;
	}
	LWLockRelease(AddinShmemInitLock);
}

/*
 * While shared_preload_libraries is processed.
 */
void
dbp_slow_queries_init(void)
{
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
}
