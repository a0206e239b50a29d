/*-------------------------------------------------------------------------
 *
 * fence.c
 *		Keeps older snapshots from reading a table whose rows were moved.
 *
 * When rows move from the default partition to a new one, a transaction that
 * took its snapshot before and comes to the table afterwards would be led to the new
 * partition by its plan, and by its snapshot not see the rows there yet.  drain.c waits for
 * older snapshots, but cannot keep new ones from being taken until it commits.
 * They are few, and at REPEATABLE READ or above but for rare cases; they get
 * the serialization failure that such transactions have to expect.
 *
 * Needs shared memory, and so the library to be preloaded.  Each query looks at
 * one number there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "dbperf.h"
#include "partition/drain.h"

/* Tables; of more than that, the one that was drained longest ago is forgotten */
#define MAX_FENCES 64

/* Nobody has a snapshot that is older by that many transactions */
#define MAX_AGE (UINT64CONST(1) << 30)

typedef struct Fence
{
	Oid database;
	Oid parent;
	uint64 xid; /* FullTransactionId that moved rows last; 0: free */
} Fence;

typedef struct Fences
{
	pg_atomic_uint64 newest; /* of all */
	slock_t lock;
	Fence fence[MAX_FENCES];
} Fences;

static Fences *fences = NULL;
static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;
static ExecutorStart_hook_type prev_executor_start_hook = NULL;

/*
 * Have older snapshots kept from a table, once this transaction has committed.
 * The caller holds ACCESS EXCLUSIVE on the table.
 */
void
dbp_fence_raise(Oid parent)
{
	uint64 xid = U64FromFullTransactionId(GetTopFullTransactionId());
	Fence *place;

	if (fences == NULL)
		return;
	place = &fences->fence[0];
	SpinLockAcquire(&fences->lock);
	for (int i = 0; i < MAX_FENCES; i++)
	{
		Fence *fence = &fences->fence[i];

		if (fence->database == MyDatabaseId && fence->parent == parent)
		{
			place = fence;
			break;
		}
		if (fence->xid < place->xid)
			place = fence;
	}
	place->database = MyDatabaseId;
	place->parent = parent;
	place->xid = xid;
	SpinLockRelease(&fences->lock);
	if (pg_atomic_read_u64(&fences->newest) < xid)
		pg_atomic_write_u64(&fences->newest, xid);
}

/* The last transaction that moved rows of a table; InvalidTransactionId: none of late */
static TransactionId
last_move(Oid parent)
{
	uint64 next = U64FromFullTransactionId(ReadNextFullTransactionId());
	uint64 xid = 0;

	SpinLockAcquire(&fences->lock);
	for (int i = 0; i < MAX_FENCES; i++)
		if (fences->fence[i].database == MyDatabaseId && fences->fence[i].parent == parent)
			xid = fences->fence[i].xid;
	SpinLockRelease(&fences->lock);
	return xid == 0 || next - xid > MAX_AGE ? InvalidTransactionId : (TransactionId) xid;
}

static bool
is_behind_fence(Oid parent, Snapshot snapshot)
{
	TransactionId xid = last_move(parent);

	return TransactionIdIsValid(xid) && XidInMVCCSnapshot(xid, snapshot) &&
		TransactionIdDidCommit(xid);
}

void
dbp_fence_check(Oid parent, Snapshot snapshot)
{
	if (fences != NULL && pg_atomic_read_u64(&fences->newest) != 0 &&
		is_behind_fence(parent, snapshot))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access to table \"%s\" because rows of its "
						"default partition were moved to a new one",
						get_rel_name(parent)),
				 errhint("The transaction might succeed if retried.")));
}

static void
check_tables(const PlannedStmt *plan, Snapshot snapshot)
{
	int number = 0;
	ListCell *cell;

	foreach(cell, plan->rtable)
	{
		RangeTblEntry *entry = lfirst_node(RangeTblEntry, cell);

		number++;
		if (entry->rtekind != RTE_RELATION || entry->relkind != RELKIND_PARTITIONED_TABLE)
			continue;
		/* what is inserted goes the right way */
		if (plan->commandType == CMD_INSERT && list_member_int(plan->resultRelations, number))
			continue;
		dbp_fence_check(entry->relid, snapshot);
	}
}

static void
executor_start(QueryDesc *query, int flags)
{
	Snapshot snapshot = query->snapshot;
	uint64 newest = pg_atomic_read_u64(&fences->newest);

	if (newest != 0 && snapshot != NULL && IsMVCCSnapshot(snapshot) &&
		(flags & EXEC_FLAG_EXPLAIN_ONLY) == 0 &&
		!TransactionIdPrecedes((TransactionId) newest, snapshot->xmin))
		check_tables(query->plannedstmt, snapshot);
	if (prev_executor_start_hook)
		prev_executor_start_hook(query, flags);
	else
		standard_ExecutorStart(query, flags);
}

static void
request_shmem(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(sizeof(Fences));
}

static void
startup_shmem(void)
{
	bool found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	fences = ShmemInitStruct(DBP_LIBRARY_NAME " fences", sizeof(Fences), &found);
	if (!found)
	{
		memset(fences, 0, sizeof(Fences));
		pg_atomic_init_u64(&fences->newest, 0);
		SpinLockInit(&fences->lock);
	}
	LWLockRelease(AddinShmemInitLock);
}

/*
 * To be called when the library is loaded.
 */
void
dbp_fence_init(void)
{
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
	prev_executor_start_hook = ExecutorStart_hook;
	ExecutorStart_hook = executor_start;
}
