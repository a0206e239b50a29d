/*-------------------------------------------------------------------------
 *
 * late_rows.c
 *		What policies ask of tables before they are compressed, or again.
 *
 * Both functions look into the table's pages, and neither waits for its lock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/visibilitymap.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "columnar/columnar.h"
#include "compat.h"
#include "partition/compress.h"

PG_FUNCTION_INFO_V1(dbperf_late_rows);
PG_FUNCTION_INFO_V1(dbperf_is_mostly_unsettled);

/* Pages that tell whether a table is settled */
#define SAMPLE_PAGES 16

/* More than one row in so many stands for many */
#define MANY 10

/* NULL: it has gone, or its lock cannot be had at once */
static Relation
open_without_waiting(Oid relid)
{
	Relation rel;

	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return NULL;
	rel = try_table_open(relid, NoLock);
	if (rel == NULL)
		UnlockRelationOid(relid, AccessShareLock);
	return rel;
}

static int64
count_row_tuples(Relation rel, Snapshot snapshot)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsBufferHeapTuple);
	TableScanDesc scan =
		heap_beginscan(rel, snapshot, 0, NULL, NULL,
					   SO_TYPE_SEQSCAN | SO_ALLOW_STRAT | SO_ALLOW_SYNC | SO_ALLOW_PAGEMODE);
	int64 count = 0;

	while (heap_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (!dbp_tuple_is_batch(((HeapTupleTableSlot *) slot)->tuple))
			count++;
	}
	heap_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	return count;
}

static int64
count_tombstones(Relation rel, Snapshot snapshot)
{
	DbpBatch **batches;
	int64 total = 0;
	int nbatches;

	if (!dbp_tombstone_any(rel))
		return 0;
	nbatches = dbp_batch_list(rel, &batches);
	for (int i = 0; i < nbatches; i++)
	{
		int count = 0;
		uint8 *bitmap = dbp_tombstone_bitmap(rel, dbp_batch_id(batches[i]),
											 dbp_batch_nrows(batches[i]), snapshot, &count);

		CHECK_FOR_INTERRUPTS();
		total += count;
		if (bitmap != NULL)
			pfree(bitmap);
	}
	return total;
}

/*
 * late_rows(relation oid) returns bigint
 */
Datum
dbperf_late_rows(PG_FUNCTION_ARGS)
{
	Relation rel = PG_ARGISNULL(0) ? NULL : open_without_waiting(PG_GETARG_OID(0));
	bool known;
	int64 count = 0;

	if (rel == NULL)
		PG_RETURN_NULL();
	known = dbp_is_columnar(rel) && !RELATION_IS_OTHER_TEMP(rel);
	if (known)
	{
		Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

		count = count_row_tuples(rel, snapshot) + count_tombstones(rel, snapshot);
		UnregisterSnapshot(snapshot);
	}
	table_close(rel, AccessShareLock);
	if (!known)
		PG_RETURN_NULL();
	PG_RETURN_INT64(count);
}

/* Rows of one page, and those that not everybody can see */
static void
look_at_page(Relation rel, BlockNumber block, TransactionId horizon, int64 *rows, int64 *unsettled)
{
	Buffer buffer = ReadBuffer(rel, block);
	Page page;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	for (OffsetNumber i = FirstOffsetNumber; i <= PageGetMaxOffsetNumber(page); i++)
	{
		ItemId item = PageGetItemId(page, i);
		HeapTupleHeader tuple;

		if (!ItemIdIsNormal(item))
			continue;
		tuple = (HeapTupleHeader) PageGetItem(page, item);
		if (HeapTupleHeaderXminInvalid(tuple))
			continue;
		(*rows)++;
		if (!HeapTupleHeaderXminFrozen(tuple) &&
			!TransactionIdPrecedes(HeapTupleHeaderGetRawXmin(tuple), horizon))
			(*unsettled)++;
	}
	UnlockReleaseBuffer(buffer);
}

static bool
sample_is_unsettled(Relation rel)
{
	TransactionId horizon = GetOldestNonRemovableTransactionId(rel);
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
	BlockNumber step = Max(1, nblocks / SAMPLE_PAGES);
	Buffer map = InvalidBuffer;
	int64 rows = 0;
	int64 unsettled = 0;

	/* from the end, where the youngest rows are */
	for (BlockNumber left = nblocks; left > 0; left -= Min(left, step))
	{
		CHECK_FOR_INTERRUPTS();
		if (VM_ALL_VISIBLE(rel, left - 1, &map))
			rows += MaxHeapTuplesPerPage / 4;
		else
			look_at_page(rel, left - 1, horizon, &rows, &unsettled);
	}
	if (BufferIsValid(map))
		ReleaseBuffer(map);
	return unsettled * MANY > rows;
}

bool
dbp_is_mostly_unsettled(Oid relid)
{
	Relation rel = open_without_waiting(relid);
	bool result = false;

	if (rel == NULL)
		return false;
	/* batches are frozen, so what can be unsettled there are the late rows */
	if ((rel->rd_rel->relam == HEAP_TABLE_AM_OID || dbp_is_columnar(rel)) &&
		!RELATION_IS_OTHER_TEMP(rel))
		result = sample_is_unsettled(rel);
	table_close(rel, AccessShareLock);
	return result;
}

/*
 * is_mostly_unsettled(relation oid) returns boolean
 */
Datum
dbperf_is_mostly_unsettled(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(!PG_ARGISNULL(0) && dbp_is_mostly_unsettled(PG_GETARG_OID(0)));
}
