/*-------------------------------------------------------------------------
 *
 * rowlock.c
 *		Locks of single rows of batches.
 *
 * A row tuple carries its locks in its header; a row of a batch has none, so
 * the lock manager keeps them: a lock on the row's TID, until the end of the
 * transaction.  Tuple locks may not be held for so long, so it is one of an
 * "object", with the table in place of a catalog, which no object's can be
 * mistaken for.  The lock manager's memory is limited.  So whoever locks a row first says
 * so on the TID of the batch tuple, in an intention mode, as granular locking
 * does it; from ESCALATE_AFTER rows on it locks the batch instead of the rows.
 *
 * SELECT FOR UPDATE and its kin keep their locks.  DELETE and UPDATE hold
 * theirs only until the tombstone is there, which others then wait for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "columnar.h"
#include "compat.h"
#include "rowlock.h"

/* Rows of a batch that one transaction locks one by one */
#define ESCALATE_AFTER 64

/* The modes that heapam takes on a tuple for these */
static const LOCKMODE row_modes[] = {
	[LockTupleKeyShare] = AccessShareLock,
	[LockTupleShare] = RowShareLock,
	[LockTupleNoKeyExclusive] = ExclusiveLock,
	[LockTupleExclusive] = AccessExclusiveLock,
};

typedef struct BatchKey
{
	Oid relid;
	ItemPointerData batch;
} BatchKey;

typedef struct BatchEntry
{
	BatchKey key;
	int rows; /* locked one by one, some of them perhaps before a rollback to a savepoint */
} BatchEntry;

/* Of the running transaction */
static HTAB *batches = NULL;
static LocalTransactionId batches_lxid = InvalidLocalTransactionId;

static BatchEntry *
find_batch(Relation rel, const ItemPointerData *batch)
{
	BatchKey key;
	BatchEntry *entry;
	bool found;

	if (batches == NULL || batches_lxid != dbp_proc_lxid(MyProc))
	{
		HASHCTL control = {
			.keysize = sizeof(BatchKey),
			.entrysize = sizeof(BatchEntry),
			.hcxt = TopTransactionContext,
		};

		/* That of an earlier transaction went with its memory */
		batches = hash_create("dbperf locked batches", 64, &control,
							  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
		batches_lxid = dbp_proc_lxid(MyProc);
	}
	memset(&key, 0, sizeof(key));
	key.relid = RelationGetRelid(rel);
	key.batch = *batch;
	entry = hash_search(batches, &key, HASH_ENTER, &found);
	if (!found)
		entry->rows = 0;
	return entry;
}

static void
set_tag(LOCKTAG *tag, Relation rel, const ItemPointerData *tid)
{
	SET_LOCKTAG_OBJECT(*tag, rel->rd_lockInfo.lockRelId.dbId, rel->rd_lockInfo.lockRelId.relId,
					   ItemPointerGetBlockNumberNoCheck(tid),
					   ItemPointerGetOffsetNumberNoCheck(tid));
}

static bool
acquire(Relation rel, const ItemPointerData *tid, LOCKMODE mode, bool wait)
{
	LOCKTAG tag;

	set_tag(&tag, rel, tid);
	return LockAcquire(&tag, mode, false, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

static void
release(Relation rel, const ItemPointerData *tid, LOCKMODE mode)
{
	LOCKTAG tag;

	set_tag(&tag, rel, tid);
	LockRelease(&tag, mode, false);
}

static bool
is_shared(LockTupleMode mode)
{
	return mode == LockTupleKeyShare || mode == LockTupleShare;
}

static bool
take(Relation rel, const ItemPointerData *tid, LockTupleMode mode, bool wait, bool brief,
	 DbpRowLock *taken)
{
	bool shared = is_shared(mode);
	ItemPointerData batch;
	BatchEntry *entry = NULL;

	dbp_tid_split(tid, &batch);
	if (!brief)
		entry = find_batch(rel, &batch);
	if (entry != NULL && entry->rows >= ESCALATE_AFTER)
	{
		taken->batch = shared ? ShareLock : ExclusiveLock;
		taken->row = NoLock;
		return acquire(rel, &batch, taken->batch, wait);
	}
	taken->batch = shared ? RowShareLock : RowExclusiveLock;
	taken->row = row_modes[mode];
	if (!acquire(rel, &batch, taken->batch, wait))
		return false;
	if (!acquire(rel, tid, taken->row, wait))
	{
		release(rel, &batch, taken->batch);
		return false;
	}
	if (entry != NULL)
		entry->rows++;
	return true;
}

bool
dbp_row_lock(Relation rel, const ItemPointerData *tid, LockTupleMode mode, LockWaitPolicy policy,
			 bool brief, DbpRowLock *taken)
{
	if (take(rel, tid, mode, policy == LockWaitBlock, brief, taken))
		return true;
	if (policy == LockWaitError)
		ereport(ERROR, errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				errmsg("could not obtain lock on row in relation \"%s\"",
					   RelationGetRelationName(rel)));
	return false;
}

void
dbp_row_unlock(Relation rel, const ItemPointerData *tid, const DbpRowLock *taken)
{
	ItemPointerData batch;

	dbp_tid_split(tid, &batch);
	if (taken->row != NoLock)
		release(rel, tid, taken->row);
	release(rel, &batch, taken->batch);
}
