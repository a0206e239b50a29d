/*-------------------------------------------------------------------------
 *
 * index_rows.c
 *		The tuples of the main fork that an index is built over.
 *
 * heapam does this for relations of its own only.  What is said here of
 * visibility and HOT chains follows access/heap/README.HOT: with SnapshotAny,
 * what somebody may still see is indexed, too, and heap-only tuples go by
 * the TID of the chain's root.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/relscan.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"

#include "columnar.h"
#include "index.h"

static HeapScanDesc
heap_scan(const DbpRowScan *self)
{
	return (HeapScanDesc) self->scan;
}

void
dbp_row_scan_begin(DbpRowScan *self, ParallelTableScanDesc parallel, uint32 flags)
{
	flags |= SO_TYPE_SEQSCAN;
	if (self->snapshot->snapshot_type != SNAPSHOT_ANY)
		flags |= SO_ALLOW_PAGEMODE;
	self->broken_hot_chain = false;
	self->root_block = InvalidBlockNumber;
	self->scan = heap_beginscan(self->rel, self->snapshot, 0, NULL, parallel, flags);
	self->slot = MakeSingleTupleTableSlot(RelationGetDescr(self->rel), &TTSOpsBufferHeapTuple);
}

void
dbp_row_scan_end(DbpRowScan *self)
{
	ExecDropSingleTupleTableSlot(self->slot);
	heap_endscan(self->scan);
}

BlockNumber
dbp_row_scan_blocks(const DbpRowScan *self)
{
	if (self->scan->rs_parallel != NULL)
		return ((ParallelBlockTableScanDesc) self->scan->rs_parallel)->phs_nblocks;
	return heap_scan(self)->rs_nblocks;
}

BlockNumber
dbp_row_scan_blocks_done(const DbpRowScan *self)
{
	BlockNumber first = heap_scan(self)->rs_startblock;
	BlockNumber now = heap_scan(self)->rs_cblock;

	if (self->scan->rs_parallel != NULL)
		first = ((ParallelBlockTableScanDesc) self->scan->rs_parallel)->phs_startblock;
	return now >= first ? now - first : dbp_row_scan_blocks(self) - first + now;
}

static void
find_roots(DbpRowScan *self)
{
	Buffer buffer = heap_scan(self)->rs_cbuf;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	heap_get_root_tuples(BufferGetPage(buffer), self->roots);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	self->root_block = heap_scan(self)->rs_cblock;
}

void
dbp_row_scan_root(DbpRowScan *self, ItemPointer tid)
{
	BlockNumber block = ItemPointerGetBlockNumber(&self->tuple->t_self);
	OffsetNumber offset = ItemPointerGetOffsetNumber(&self->tuple->t_self);

	*tid = self->tuple->t_self;
	if (!HeapTupleIsHeapOnly(self->tuple))
		return;

	/* A writer may add to a chain while the page is being read; pruning is kept off by the pin */
	if (self->roots[offset - 1] == InvalidOffsetNumber)
		find_roots(self);
	if (!OffsetNumberIsValid(self->roots[offset - 1]))
		ereport(ERROR, errcode(ERRCODE_DATA_CORRUPTED),
				errmsg_internal("failed to find parent tuple for heap-only tuple at (%u,%u) in "
								"table \"%s\"",
								block, offset, RelationGetRelationName(self->rel)));
	ItemPointerSetOffsetNumber(tid, self->roots[offset - 1]);
}

/*
 * A tuple that its inserter has not committed.  The caller of an index build has a
 * lock that keeps others from writing, so this is normally of our own transaction.
 */
static bool
judge_inserting(DbpRowScan *self, TransactionId *wait_for)
{
	TransactionId xmin = HeapTupleHeaderGetXmin(self->tuple->t_data);

	self->alive = true;
	self->live = true;
	if (self->anyvisible || TransactionIdIsCurrentTransactionId(xmin))
		return true;
	self->live = false;
	if (self->conclusive)
		*wait_for = xmin;
	return true;
}

static bool
judge_deleting(DbpRowScan *self, TransactionId *wait_for)
{
	TransactionId xmax = HeapTupleHeaderGetUpdateXid(self->tuple->t_data);
	bool hot_updated = HeapTupleIsHotUpdated(self->tuple);

	self->alive = false;
	self->live = true;
	if (self->anyvisible)
		return true;
	if (!TransactionIdIsCurrentTransactionId(xmax))
	{
		/* Of a chain, it depends on the outcome which tuple is to be indexed */
		if (self->conclusive || hot_updated)
			*wait_for = xmax;
		return true;
	}
	self->live = false;
	if (hot_updated)
		self->broken_hot_chain = true;
	return !hot_updated;
}

/* Is the tuple to be indexed?  *wait_for: ask again after that transaction */
static bool
judge(DbpRowScan *self, TransactionId *wait_for)
{
	HTSV_Result result;

	*wait_for = InvalidTransactionId;
	self->alive = false;
	self->live = false;
	result = HeapTupleSatisfiesVacuum(self->tuple, self->oldest_xmin, heap_scan(self)->rs_cbuf);
	switch (result)
	{
		case HEAPTUPLE_DEAD:
			return false;
		case HEAPTUPLE_LIVE:
			self->alive = true;
			self->live = true;
			return true;
		case HEAPTUPLE_RECENTLY_DEAD:

			/* Of a chain, only the live tuple at the end is indexed: older snapshots must not
			 * use the index */
			if (!HeapTupleIsHotUpdated(self->tuple))
				return true;
			self->broken_hot_chain = true;
			return false;
		case HEAPTUPLE_INSERT_IN_PROGRESS:
			return judge_inserting(self, wait_for);
		case HEAPTUPLE_DELETE_IN_PROGRESS:
			return judge_deleting(self, wait_for);
	}
	elog(ERROR, "unexpected HeapTupleSatisfiesVacuum result");
}

static bool
is_wanted(DbpRowScan *self)
{
	TransactionId wait_for;
	bool wanted;

	if (self->snapshot->snapshot_type != SNAPSHOT_ANY)
	{
		self->alive = true;
		self->live = true;
		return true;
	}
	for (;;)
	{
		LockBuffer(heap_scan(self)->rs_cbuf, BUFFER_LOCK_SHARE);
		wanted = judge(self, &wait_for);
		LockBuffer(heap_scan(self)->rs_cbuf, BUFFER_LOCK_UNLOCK);
		if (!TransactionIdIsValid(wait_for))
			return wanted;
		XactLockTableWait(wait_for, self->rel, &self->tuple->t_self, XLTW_InsertIndexUnique);
		CHECK_FOR_INTERRUPTS();
	}
}

bool
dbp_row_scan_next(DbpRowScan *self)
{
	while (heap_getnextslot(self->scan, ForwardScanDirection, self->slot))
	{
		CHECK_FOR_INTERRUPTS();
		self->tuple = ((BufferHeapTupleTableSlot *) self->slot)->base.tuple;
		if (self->root_block != heap_scan(self)->rs_cblock)
			find_roots(self);
		self->batch = dbp_tuple_is_batch(self->tuple);
		if (is_wanted(self))
			return true;
	}
	return false;
}
