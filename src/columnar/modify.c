/*-------------------------------------------------------------------------
 *
 * modify.c
 *		Inserting, deleting, updating and locking rows.
 *
 * What concerns row tuples only is heapam's.  A row of a batch is deleted by a
 * tombstone, and updated by a tombstone and a new row tuple.
 *
 * Logical decoding knows neither batches nor tombstones.  Where WAL is to be
 * decoded, a deleted row is first made a row tuple, unseen by anybody (its cmin is
 * that of the running command) and by decoding, and then deleted or updated
 * by heapam, which logs that as it always does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/heaptoast.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/predicate.h"
#include "utils/snapmgr.h"

#include "columnar.h"
#include "modify.h"
#include "rowlock.h"

#define heapam GetHeapamTableAmRoutine()

void
dbp_tuple_insert(Relation rel, TupleTableSlot *slot, CommandId cid, int options,
				 struct BulkInsertStateData *bistate)
{
	if (dbp_pending_insert(rel, slot, cid, options, bistate))
		return;
	heapam->tuple_insert(rel, slot, cid, options, bistate);
	dbp_unique_prepare(rel, &slot, 1);
}

void
dbp_tuple_insert_speculative(Relation rel, TupleTableSlot *slot, CommandId cid, int options,
							 struct BulkInsertStateData *bistate, uint32 token)
{
	heapam->tuple_insert_speculative(rel, slot, cid, options, bistate, token);
	dbp_unique_prepare(rel, &slot, 1);
}

void
dbp_multi_insert(Relation rel, TupleTableSlot **slots, int nslots, CommandId cid, int options,
				 struct BulkInsertStateData *bistate)
{
	heapam->multi_insert(rel, slots, nslots, cid, options, bistate);
	dbp_unique_prepare(rel, slots, nslots);
}

/* A row of a batch, and the lock on it that is held */
typedef struct Target
{
	Relation rel;
	ItemPointer tid;
	DbpBatch *batch;
	int row;
	DbpRowLock lock;
} Target;

static void
find_target(Target *target, Relation rel, ItemPointer tid)
{
	ItemPointerData batch;

	target->rel = rel;
	target->tid = tid;
	target->row = dbp_tid_split(tid, &batch);
	target->batch = dbp_batch_fetch(rel, &batch);
	if (target->batch == NULL || target->row >= dbp_batch_nrows(target->batch))
		ereport(ERROR, errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("table \"%s\" has no row (%u,%u) in a batch", RelationGetRelationName(rel),
					   ItemPointerGetBlockNumberNoCheck(tid),
					   ItemPointerGetOffsetNumberNoCheck(tid)));
}

/* What a tombstone means to the caller of a table access method */
static TM_Result
report_tombstone(const Target *target, const DbpTombstone *tombstone, CommandId cid,
				 TM_FailureData *tmfd)
{
	bool own = TransactionIdIsCurrentTransactionId(tombstone->xmin);

	tmfd->ctid = *target->tid;
	if (tombstone->kind == DBP_TOMBSTONE_UPDATED)
		tmfd->ctid = tombstone->successor;
	else if (tombstone->kind == DBP_TOMBSTONE_MOVED)
		ItemPointerSetMovedPartitions(&tmfd->ctid);
	tmfd->xmax = tombstone->xmin;
	tmfd->cmax = own ? tombstone->cmin : InvalidCommandId;
	tmfd->traversed = false;
	if (own)
		return tombstone->cmin >= cid ? TM_SelfModified : TM_Invisible;
	return tombstone->kind == DBP_TOMBSTONE_DELETED ? TM_Deleted : TM_Updated;
}

/*
 * Locks the row unless it has gone.  TM_Ok: it is there, and locked; else it is
 * not.  Waits for a transaction that is about to delete it, as policy says.
 */
static TM_Result
lock_target(Target *target, CommandId cid, LockTupleMode mode, LockWaitPolicy policy, bool brief,
			XLTW_Oper oper, TM_FailureData *tmfd)
{
	for (;;)
	{
		DbpTombstone tombstone;

		if (!dbp_row_lock(target->rel, target->tid, mode, policy, brief, &target->lock))
			return TM_WouldBlock;
		if (!dbp_tombstone_find(target->rel, dbp_batch_id(target->batch), target->row, &tombstone))
			return TM_Ok;
		/* Who waits for a transaction must not hold what that may want to lock */
		dbp_row_unlock(target->rel, target->tid, &target->lock);
		if (!tombstone.in_progress)
			return report_tombstone(target, &tombstone, cid, tmfd);
		if (policy == LockWaitBlock)
			XactLockTableWait(tombstone.xmin, target->rel, target->tid, oper);
		else if (!dbp_xact_lock_table_try(tombstone.xmin))
		{
			if (policy == LockWaitError)
				ereport(ERROR, errcode(ERRCODE_LOCK_NOT_AVAILABLE),
						errmsg("could not obtain lock on row in relation \"%s\"",
							   RelationGetRelationName(target->rel)));
			return TM_WouldBlock;
		}
	}
}

static void
bury(const Target *target, DbpTombstoneKind kind, const ItemPointerData *successor, CommandId cid)
{
	DbpTombstone tombstone = {.kind = kind};

	if (successor != NULL)
		tombstone.successor = *successor;
	else
		ItemPointerSetInvalid(&tombstone.successor);
	dbp_tombstone_add(target->rel, dbp_batch_id(target->batch), target->row, &tombstone, cid, 0);
}

/*
 * Makes a row tuple of the row, which nobody sees: not this command's snapshot, for which it is
 * too new, and not others, since it goes before they could.  Returns the command id to delete or
 * update it with, later than that which made it.
 */
static CommandId
unpack(const Target *target, CommandId cid, ItemPointer copy)
{
	TupleTableSlot *slot = table_slot_create(target->rel, NULL);
	HeapTuple tuple;

	if (GetCurrentCommandId(false) <= cid)
	{
		(void) GetCurrentCommandId(true);
		CommandCounterIncrement();
	}
	dbp_slot_store_row(slot, target->batch, target->row, RelationGetRelid(target->rel));
	tuple = ExecCopySlotHeapTuple(slot);
	heap_insert(target->rel, tuple, cid, HEAP_INSERT_NO_LOGICAL, NULL);
	/* What was toasted has the current command's id, and must be older to be deleted */
	if (tuple->t_len > TOAST_TUPLE_THRESHOLD)
		CommandCounterIncrement();
	*copy = tuple->t_self;
	heap_freetuple(tuple);
	ExecDropSingleTupleTableSlot(slot);
	return GetCurrentCommandId(true);
}

static TM_Result
delete_row(Target *target, CommandId cid, LockWaitPolicy policy, TM_FailureData *tmfd,
		   bool changing_part)
{
	TM_Result result;

	result = lock_target(target, cid, LockTupleExclusive, policy, true, XLTW_Delete, tmfd);
	if (result != TM_Ok)
		return result;
	CheckForSerializableConflictIn(target->rel, NULL, InvalidBlockNumber);
	bury(target, changing_part ? DBP_TOMBSTONE_MOVED : DBP_TOMBSTONE_DELETED, NULL, cid);
	dbp_row_unlock(target->rel, target->tid, &target->lock);
	if (RelationIsLogicallyLogged(target->rel))
	{
		ItemPointerData copy;
		CommandId later = unpack(target, cid, &copy);
		TM_FailureData ignored;

		result =
			heap_delete(target->rel, &copy, later, InvalidSnapshot, true, &ignored, changing_part);
		Assert(result == TM_Ok);
	}
	else
		pgstat_count_heap_delete(target->rel);
	return TM_Ok;
}

TM_Result
dbp_tuple_delete(Relation rel, ItemPointer tid, CommandId cid, Snapshot snapshot,
				 Snapshot crosscheck, bool wait, TM_FailureData *tmfd, bool changing_part)
{
	Target target;
	TM_Result result;

	if (!dbp_tid_is_batch_row(tid))
		return heapam->tuple_delete(rel, tid, cid, snapshot, crosscheck, wait, tmfd, changing_part);
	find_target(&target, rel, tid);
	result = delete_row(&target, cid, wait ? LockWaitBlock : LockWaitSkip, tmfd, changing_part);
	dbp_batch_release(target.batch);
	return result == TM_WouldBlock ? TM_BeingModified : result;
}

/* The new version is a row tuple that every index gets an entry for */
static void
insert_version(const Target *target, TupleTableSlot *slot, CommandId cid)
{
	heapam->tuple_insert(target->rel, slot, cid, 0, NULL);
	bury(target, DBP_TOMBSTONE_UPDATED, &slot->tts_tid, cid);
}

/*
 * The same where it is to be decoded as an UPDATE.  heapam may make the new
 * version a heap-only tuple, for which the indexes are to have entries of the
 * copy; they have none yet.
 */
static bool
update_copy(const Target *target, TupleTableSlot *slot, CommandId cid)
{
	ItemPointerData copy;
	CommandId later;
	TM_FailureData tmfd;
	LockTupleMode mode;
	DbpUpdateIndexes update_indexes;
	TM_Result result;

	later = unpack(target, cid, &copy);
	bury(target, DBP_TOMBSTONE_UPDATED, &copy, cid);
	result = heapam->tuple_update(target->rel, &copy, slot, later, InvalidSnapshot, InvalidSnapshot,
								  true, &tmfd, &mode, &update_indexes);
	if (result != TM_Ok)
		elog(ERROR, "could not update a row that was just inserted: %d", result);
	if (dbp_updates_all_indexes(update_indexes))
		return true;
	dbp_index_insert_row(target->rel, slot, &copy);
	return false;
}

TM_Result
dbp_tuple_update(Relation rel, ItemPointer tid, TupleTableSlot *slot, CommandId cid,
				 Snapshot snapshot, Snapshot crosscheck, bool wait, TM_FailureData *tmfd,
				 LockTupleMode *lockmode, DbpUpdateIndexes *update_indexes)
{
	Target target;
	TM_Result result;
	bool all_indexes = true;

	if (!dbp_tid_is_batch_row(tid))
	{
		result = heapam->tuple_update(rel, tid, slot, cid, snapshot, crosscheck, wait, tmfd,
									  lockmode, update_indexes);
		if (result == TM_Ok && dbp_updates_all_indexes(*update_indexes))
			dbp_unique_prepare(rel, &slot, 1);
		return result;
	}

	/* A weaker lock would have to be seen on the new version as well: see README.md */
	*lockmode = LockTupleExclusive;
	find_target(&target, rel, tid);
	result = lock_target(&target, cid, LockTupleExclusive, wait ? LockWaitBlock : LockWaitSkip,
						 true, XLTW_Update, tmfd);
	if (result == TM_Ok)
	{
		CheckForSerializableConflictIn(rel, NULL, InvalidBlockNumber);
		if (RelationIsLogicallyLogged(rel))
			all_indexes = update_copy(&target, slot, cid);
		else
			insert_version(&target, slot, cid);
		dbp_row_unlock(rel, tid, &target.lock);
		dbp_set_update_indexes(update_indexes, all_indexes);
		if (all_indexes)
			dbp_unique_prepare(rel, &slot, 1);
	}
	dbp_batch_release(target.batch);
	return result == TM_WouldBlock ? TM_BeingModified : result;
}

/* Is that the version which the transaction made of an updated row, still? */
static bool
is_version_of(Relation rel, ItemPointer tid, TransactionId xmin)
{
	HeapTupleData tuple;
	Buffer buffer;
	bool same;

	tuple.t_self = *tid;
	if (!heap_fetch(rel, SnapshotAny, &tuple, &buffer, false))
		return false;
	same = TransactionIdEquals(HeapTupleHeaderGetXmin(tuple.t_data), xmin) ||
		HeapTupleHeaderXminFrozen(tuple.t_data);
	ReleaseBuffer(buffer);
	return same;
}

TM_Result
dbp_tuple_lock(Relation rel, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot,
			   CommandId cid, LockTupleMode mode, LockWaitPolicy wait_policy, uint8 flags,
			   TM_FailureData *tmfd)
{
	Target target;
	TM_Result result;
	ItemPointerData version;
	TupleTableSlot *inner;

	if (dbp_tid_is_batch_row(tid))
	{
		tmfd->traversed = false;
		find_target(&target, rel, tid);
		result = lock_target(&target, cid, mode, wait_policy, false, XLTW_Lock, tmfd);
		if (result == TM_Ok)
			dbp_slot_store_row(slot, target.batch, target.row, RelationGetRelid(rel));
		dbp_batch_release(target.batch);
		if (result != TM_Updated || (flags & TUPLE_LOCK_FLAG_FIND_LAST_VERSION) == 0)
			return result;
		if (ItemPointerIndicatesMovedPartitions(&tmfd->ctid))
			ereport(ERROR, errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					errmsg("tuple to be locked was already moved to another partition due to "
						   "concurrent update"));
		version = tmfd->ctid;
		if (!is_version_of(rel, &version, tmfd->xmax))
			return TM_Deleted;
	}
	else
		version = *tid;
	inner = dbp_slot_inner(slot);
	result =
		heapam->tuple_lock(rel, &version, snapshot, inner, cid, mode, wait_policy, flags, tmfd);
	if (!TTS_EMPTY(inner))
		dbp_slot_take_inner(slot);
	if (dbp_tid_is_batch_row(tid))
		tmfd->traversed = true;
	*tid = version;
	return result;
}
