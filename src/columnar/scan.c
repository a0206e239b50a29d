/*-------------------------------------------------------------------------
 *
 * scan.c
 *		Scans of a columnar relation, and fetching rows by TID.
 *
 * A scan is one of heapam's over the main fork, in every form that has:
 * parallel, synchronized, backwards.  Where it comes upon a batch tuple, the
 * rows of the batch are given out in its place, those left out that have a
 * tombstone which the snapshot sees.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/relscan.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "storage/predicate.h"
#include "utils/snapmgr.h"

#include "columnar.h"
#include "sample.h"
#include "scan.h"

#define heapam GetHeapamTableAmRoutine()

TableScanDesc
dbp_scan_begin(Relation rel, Snapshot snapshot, int nkeys, struct ScanKeyData *key,
			   ParallelTableScanDesc parallel, uint32 flags)
{
	DbpScan *self;
	uint32 heap_flags = flags & ~SO_TEMP_SNAPSHOT;

	dbp_pending_flush(rel);
	RelationIncrementReferenceCount(rel);
	self = palloc0(sizeof(DbpScan));
	self->context = CurrentMemoryContext;
	self->base.rs_rd = rel;
	self->base.rs_snapshot = snapshot;
	self->base.rs_nkeys = nkeys;
	self->base.rs_flags = flags;
	self->base.rs_parallel = parallel;
	if (nkeys > 0)
	{
		self->base.rs_key = palloc(nkeys * sizeof(ScanKeyData));
		memcpy(self->base.rs_key, key, nkeys * sizeof(ScanKeyData));
	}

	/* A range of TIDs may be one of rows in batches, wherever those are */
	if (heap_flags & SO_TYPE_TIDRANGESCAN)
		heap_flags = (heap_flags & ~SO_TYPE_TIDRANGESCAN) | SO_TYPE_SEQSCAN;
	self->heap = heap_beginscan(rel, snapshot, 0, NULL, parallel, heap_flags);
	return &self->base;
}

static void
leave_batch(DbpScan *self)
{
	if (self->batch != NULL)
		dbp_batch_release(self->batch);
	self->batch = NULL;
	if (self->gone != NULL)
		pfree(self->gone);
	self->gone = NULL;
}

void
dbp_scan_end(TableScanDesc scan)
{
	DbpScan *self = (DbpScan *) scan;

	leave_batch(self);
	dbp_sample_end(self);
	heap_endscan(self->heap);
	if (scan->rs_flags & SO_TEMP_SNAPSHOT)
		UnregisterSnapshot(scan->rs_snapshot);
	RelationDecrementReferenceCount(scan->rs_rd);
	if (scan->rs_key != NULL)
		pfree(scan->rs_key);
	pfree(self);
}

void
dbp_scan_rescan(TableScanDesc scan, struct ScanKeyData *key, bool set_params, bool allow_strat,
				bool allow_sync, bool allow_pagemode)
{
	DbpScan *self = (DbpScan *) scan;

	leave_batch(self);
	dbp_sample_end(self);
	if (key != NULL && scan->rs_nkeys > 0)
		memcpy(scan->rs_key, key, scan->rs_nkeys * sizeof(ScanKeyData));
	heap_rescan(self->heap, NULL, set_params, allow_strat, allow_sync, allow_pagemode);
}

/* A dirty snapshot sees what others are about to delete, and is told who */
static bool
dirty_sees(Relation rel, DbpBatch *batch, int row, Snapshot snapshot)
{
	DbpTombstone tombstone;

	snapshot->xmin = snapshot->xmax = InvalidTransactionId;
	snapshot->speculativeToken = 0;
	if (!dbp_tombstone_find(rel, dbp_batch_id(batch), row, &tombstone))
		return true;
	if (tombstone.in_progress)
		snapshot->xmax = tombstone.xmin;
	return tombstone.in_progress;
}

static bool
is_visible(Relation rel, DbpBatch *batch, int row, Snapshot snapshot)
{
	if (snapshot->snapshot_type == SNAPSHOT_ANY)
		return true;
	if (snapshot->snapshot_type == SNAPSHOT_DIRTY)
		return dirty_sees(rel, batch, row, snapshot);
	return !dbp_tombstone_visible(rel, dbp_batch_id(batch), row, snapshot);
}

static void
enter_batch(DbpScan *self, HeapTuple tuple, ScanDirection direction)
{
	Snapshot snapshot = self->base.rs_snapshot;
	MemoryContext old;

	self->batch = dbp_batch_open(self->base.rs_rd, tuple);
	self->row = ScanDirectionIsBackward(direction) ? dbp_batch_nrows(self->batch) : -1;

	old = MemoryContextSwitchTo(self->context);
	/* Of a dirty snapshot these are only the rows to look at more closely */
	if (snapshot->snapshot_type != SNAPSHOT_ANY)
		self->gone =
			dbp_tombstone_bitmap(self->base.rs_rd, dbp_batch_id(self->batch),
								 dbp_batch_nrows(self->batch),
								 snapshot->snapshot_type == SNAPSHOT_DIRTY ? SnapshotAny : snapshot,
								 NULL);
	MemoryContextSwitchTo(old);
}

/* The next row of the batch that the snapshot sees, in that direction */
static bool
next_of_batch(DbpScan *self, ScanDirection direction)
{
	int step = ScanDirectionIsBackward(direction) ? -1 : 1;
	Snapshot snapshot = self->base.rs_snapshot;

	for (;;)
	{
		self->row += step;
		if (self->row < 0 || self->row >= dbp_batch_nrows(self->batch))
			return false;
		if (self->gone == NULL || (self->gone[self->row / 8] & 1 << self->row % 8) == 0)
			return true;
		if (snapshot->snapshot_type == SNAPSHOT_DIRTY &&
			dirty_sees(self->base.rs_rd, self->batch, self->row, snapshot))
			return true;
	}
}

static bool
satisfies_keys(TableScanDesc scan, TupleTableSlot *slot)
{
	for (int i = 0; i < scan->rs_nkeys; i++)
	{
		ScanKey key = &scan->rs_key[i];
		bool isnull;
		Datum value;

		if (key->sk_flags & SK_ISNULL)
			return false;
		value = slot_getattr(slot, key->sk_attno, &isnull);
		if (isnull ||
			!DatumGetBool(
				FunctionCall2Coll(&key->sk_func, key->sk_collation, value, key->sk_argument)))
			return false;
	}
	return true;
}

static bool
next_row(DbpScan *self, ScanDirection direction, TupleTableSlot *slot)
{
	Relation rel = self->base.rs_rd;

	for (;;)
	{
		TupleTableSlot *inner;
		HeapTuple tuple;

		if (self->batch != NULL)
		{
			if (next_of_batch(self, direction))
			{
				dbp_slot_store_row(slot, self->batch, self->row, RelationGetRelid(rel));
				pgstat_count_heap_getnext(rel);
				return true;
			}
			leave_batch(self);
			CHECK_FOR_INTERRUPTS();
		}
		inner = dbp_slot_inner(slot);
		if (!heap_getnextslot(self->heap, direction, inner))
			return false;
		tuple = ((BufferHeapTupleTableSlot *) inner)->base.tuple;
		if (!dbp_tuple_is_batch(tuple))
		{
			inner->tts_tableOid = RelationGetRelid(rel);
			dbp_slot_take_inner(slot);
			return true;
		}
		enter_batch(self, tuple, direction);
		ExecClearTuple(inner);
	}
}

bool
dbp_scan_next(TableScanDesc scan, ScanDirection direction, TupleTableSlot *slot)
{
	while (next_row((DbpScan *) scan, direction, slot))
	{
		if (satisfies_keys(scan, slot))
			return true;
	}
	ExecClearTuple(slot);
	return false;
}

void
dbp_scan_set_range(TableScanDesc scan, ItemPointer mintid, ItemPointer maxtid)
{
	DbpScan *self = (DbpScan *) scan;

	self->by_range = true;
	self->mintid = *mintid;
	self->maxtid = *maxtid;
}

bool
dbp_scan_next_in_range(TableScanDesc scan, ScanDirection direction, TupleTableSlot *slot)
{
	DbpScan *self = (DbpScan *) scan;

	while (dbp_scan_next(scan, direction, slot))
	{
		if (!self->by_range ||
			(ItemPointerCompare(&slot->tts_tid, &self->mintid) >= 0 &&
			 ItemPointerCompare(&slot->tts_tid, &self->maxtid) <= 0))
			return true;
	}
	return false;
}

/* Stores the row of a batch, if there is such a row and the snapshot sees it */
static bool
fetch_batch_row(Relation rel, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot)
{
	ItemPointerData place;
	int row = dbp_tid_split(tid, &place);
	DbpBatch *batch = dbp_batch_fetch(rel, &place);
	bool found;

	ExecClearTuple(slot);
	if (batch == NULL)
		return false;
	found = row < dbp_batch_nrows(batch) && is_visible(rel, batch, row, snapshot);
	if (found)
	{
		/* There is nothing finer to lock */
		if (IsMVCCSnapshot(snapshot))
			PredicateLockRelation(rel, snapshot);
		dbp_slot_store_row(slot, batch, row, RelationGetRelid(rel));
	}
	dbp_batch_release(batch);
	return found;
}

bool
dbp_fetch_row(Relation rel, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot)
{
	TupleTableSlot *inner;

	if (dbp_tid_is_batch_row(tid))
		return fetch_batch_row(rel, tid, snapshot, slot);
	inner = dbp_slot_inner(slot);
	if (!heapam->tuple_fetch_row_version(rel, tid, snapshot, inner))
		return false;
	if (dbp_tuple_is_batch(((BufferHeapTupleTableSlot *) inner)->base.tuple))
	{
		ExecClearTuple(inner);
		return false;
	}
	dbp_slot_take_inner(slot);
	return true;
}

/* all_dead stays false for rows of batches: their entries are never removed one by one */
bool
dbp_index_fetch(struct IndexFetchTableData *scan, ItemPointer tid, Snapshot snapshot,
				TupleTableSlot *slot, bool *call_again, bool *all_dead)
{
	TupleTableSlot *inner;

	if (dbp_tid_is_batch_row(tid))
	{
		*call_again = false;
		if (all_dead != NULL)
			*all_dead = false;
		return fetch_batch_row(scan->rel, tid, snapshot, slot);
	}
	inner = dbp_slot_inner(slot);
	if (!heapam->index_fetch_tuple(scan, tid, snapshot, inner, call_again, all_dead))
		return false;
	dbp_slot_take_inner(slot);
	return true;
}

bool
dbp_tid_valid(TableScanDesc scan, ItemPointer tid)
{
	DbpScan *self = (DbpScan *) scan;
	ItemPointerData batch;

	if (!ItemPointerIsValid(tid) || !dbp_tid_is_batch_row(tid))
		return heapam->tuple_tid_valid(self->heap, tid);
	dbp_tid_split(tid, &batch);
	return ItemPointerIsValid(&batch) && heapam->tuple_tid_valid(self->heap, &batch);
}

/* The last version of the row that the snapshot sees, if it sees any */
void
dbp_latest_tid(TableScanDesc scan, ItemPointer tid)
{
	DbpScan *self = (DbpScan *) scan;
	Relation rel = scan->rs_rd;

	if (dbp_tid_is_batch_row(tid))
	{
		ItemPointerData place;
		int row = dbp_tid_split(tid, &place);
		DbpBatch *batch = dbp_batch_fetch(rel, &place);
		DbpTombstone tombstone;
		bool updated;

		if (batch == NULL)
			return;
		updated = row < dbp_batch_nrows(batch) && !is_visible(rel, batch, row, scan->rs_snapshot) &&
			dbp_tombstone_find(rel, dbp_batch_id(batch), row, &tombstone) &&
			tombstone.kind == DBP_TOMBSTONE_UPDATED;
		dbp_batch_release(batch);
		if (!updated)
			return;
		*tid = tombstone.successor;
	}
	heapam->tuple_get_latest_tid(self->heap, tid);
}

/* heapam's own wants a buffer in the slot, which one that was materialized has no more */
static bool
row_tuple_satisfies(Relation rel, ItemPointer tid, Snapshot snapshot)
{
	HeapTupleData tuple;
	Buffer buffer;

	tuple.t_self = *tid;
	if (!heap_fetch(rel, snapshot, &tuple, &buffer, false))
		return false;
	ReleaseBuffer(buffer);
	return true;
}

bool
dbp_row_satisfies(Relation rel, TupleTableSlot *slot, Snapshot snapshot)
{
	DbpBatch *batch;
	ItemPointerData place;
	int row;
	bool visible;

	if (!dbp_tid_is_batch_row(&slot->tts_tid))
		return row_tuple_satisfies(rel, &slot->tts_tid, snapshot);
	row = dbp_tid_split(&slot->tts_tid, &place);
	batch = dbp_batch_fetch(rel, &place);
	if (batch == NULL)
		return false;
	visible = is_visible(rel, batch, row, snapshot);
	dbp_batch_release(batch);
	return visible;
}
