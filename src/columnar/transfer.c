/*-------------------------------------------------------------------------
 *
 * transfer.c
 *		Moves all rows of a table into a new file: the rows that everybody sees.
 *
 * What is needed later is little: which pages were all-visible, so that they
 * cannot have changed while they still are; which pages have rows that were left
 * for later; and which rows were left although their making is old, for that
 * they were copied is told by the age of their xmin alone.  Rows that come after
 * the beginning are never that old.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/visibilitymap.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/backend_progress.h"
#include "utils/memutils.h"

#include "columnar/progress.h"
#include "columnar/transfer_parts.h"

DbpTransfer *
dbp_transfer_begin(Relation old, Relation new, const DbpTransferOptions *options)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "dbperf transfer", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	DbpTransfer *transfer = palloc0(sizeof(DbpTransfer));
	int natts = Max(RelationGetDescr(old)->natts, 1);

	transfer->old = old;
	transfer->new = new;
	transfer->options = *options;
	transfer->context = context;
	transfer->row_context =
		AllocSetContextCreate(context, "dbperf transfer row", ALLOCSET_DEFAULT_SIZES);
	transfer->from_batches = dbp_is_columnar(old);
	transfer->cid = GetCurrentCommandId(true);
	transfer->values = palloc(sizeof(Datum) * natts);
	transfer->nulls = palloc(sizeof(bool) * natts);
	/* later changes of a page have a later place in the WAL than this */
	transfer->started = GetXLogInsertRecPtr();
	transfer->sink = dbp_sink_begin(transfer);
	MemoryContextSwitchTo(caller);
	return transfer;
}

void
dbp_transfer_end(DbpTransfer *transfer)
{
	dbp_sink_end(transfer->sink);
	MemoryContextDelete(transfer->context);
}

void
dbp_tags_add(DbpTransfer *transfer, DbpTags *tags, uint64 tag)
{
	Assert(tags->n == 0 || tags->tags[tags->n - 1] < tag);
	if (tags->n == tags->room)
	{
		tags->room = Max(256, tags->room * 2);
		tags->tags = tags->tags == NULL
			? MemoryContextAlloc(transfer->context, sizeof(uint64) * tags->room)
			: repalloc_huge(tags->tags, sizeof(uint64) * tags->room);
	}
	tags->tags[tags->n++] = tag;
}

bool
dbp_tags_have(const DbpTags *tags, uint64 tag)
{
	uint64 low = 0;
	uint64 high = tags->n;

	while (low < high)
	{
		uint64 middle = low + (high - low) / 2;

		if (tags->tags[middle] == tag)
			return true;
		if (tags->tags[middle] < tag)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

bool
dbp_transfer_bit(const uint8 *bitmap, BlockNumber block)
{
	return (bitmap[block / 8] >> (block % 8)) & 1;
}

static void
set_bit(uint8 *bitmap, BlockNumber block)
{
	bitmap[block / 8] |= 1 << (block % 8);
}

/*
 * What a row version is to us.  The buffer is locked.
 */
DbpVerdict
dbp_transfer_judge(const DbpTransfer *transfer, HeapTuple tuple, Buffer buffer)
{
	TransactionId horizon = transfer->options.horizon;
	bool dead = false;

	switch (HeapTupleSatisfiesVacuum(tuple, horizon, buffer))
	{
		case HEAPTUPLE_DEAD:
			return DBP_VERDICT_DEAD;
		case HEAPTUPLE_INSERT_IN_PROGRESS:
			return DBP_VERDICT_YOUNG;
		case HEAPTUPLE_RECENTLY_DEAD:
		case HEAPTUPLE_DELETE_IN_PROGRESS:
			dead = true;
			break;
		case HEAPTUPLE_LIVE:
			break;
	}
	if (!HeapTupleHeaderXminFrozen(tuple->t_data) &&
		!TransactionIdPrecedes(HeapTupleHeaderGetRawXmin(tuple->t_data), horizon))
		return dead ? DBP_VERDICT_BOTH : DBP_VERDICT_YOUNG;
	return dead ? DBP_VERDICT_OLD : DBP_VERDICT_ALL;
}

/* The row versions of a page, judged */
typedef struct JudgedPage
{
	int n;
	bool settled; /* there is nothing but what everybody sees */
	TransactionId newest_xmin;
	HeapTupleData tuples[MaxHeapTuplesPerPage]; /* in the buffer */
	DbpVerdict verdicts[MaxHeapTuplesPerPage];
} JudgedPage;

/*
 * The buffer is locked.
 */
static void
judge_page(const DbpTransfer *transfer, Buffer buffer, JudgedPage *judged)
{
	Page page = BufferGetPage(buffer);
	BlockNumber block = BufferGetBlockNumber(buffer);
	OffsetNumber max;

	judged->n = 0;
	judged->settled = !PageIsNew(page) && !PageIsEmpty(page);
	judged->newest_xmin = InvalidTransactionId;
	max = Min(PageGetMaxOffsetNumber(page), MaxHeapTuplesPerPage);
	for (OffsetNumber offset = FirstOffsetNumber; offset <= max; offset++)
	{
		ItemId item = PageGetItemId(page, offset);
		HeapTuple tuple = &judged->tuples[judged->n];
		DbpVerdict verdict;
		TransactionId xmin;

		judged->settled &= !ItemIdIsDead(item);
		if (!ItemIdIsNormal(item))
			continue;
		tuple->t_data = (HeapTupleHeader) PageGetItem(page, item);
		tuple->t_len = ItemIdGetLength(item);
		tuple->t_tableOid = RelationGetRelid(transfer->old);
		ItemPointerSet(&tuple->t_self, block, offset);
		verdict = dbp_transfer_judge(transfer, tuple, buffer);
		judged->verdicts[judged->n++] = verdict;
		judged->settled &=
			verdict == DBP_VERDICT_ALL && HeapTupleHeaderXminCommitted(tuple->t_data);
		xmin = HeapTupleHeaderGetXmin(tuple->t_data);
		if (verdict == DBP_VERDICT_ALL && TransactionIdIsNormal(xmin) &&
			(!TransactionIdIsValid(judged->newest_xmin) ||
			 TransactionIdFollows(xmin, judged->newest_xmin)))
			judged->newest_xmin = xmin;
	}
}

/*
 * Judge a page of which the visibility map says nothing yet.  If everybody
 * sees all of it, say so there: then it need not be read again to tell that it
 * has not changed.
 */
static void
judge_and_settle(const DbpTransfer *transfer, Buffer buffer, Buffer vmbuffer, JudgedPage *judged)
{
	BlockNumber block = BufferGetBlockNumber(buffer);

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	judge_page(transfer, buffer, judged);
	if (judged->settled)
	{
		PageSetAllVisible(BufferGetPage(buffer));
		MarkBufferDirty(buffer);
		visibilitymap_set(transfer->old, block, buffer, InvalidXLogRecPtr, vmbuffer,
						  judged->newest_xmin, VISIBILITYMAP_ALL_VISIBLE);
		set_bit(transfer->settled, block);
	}
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
}

static bool
copy_row(DbpTransfer *transfer, HeapTuple tuple)
{
	MemoryContext old;
	bool taken;

	heap_deform_tuple(tuple, RelationGetDescr(transfer->old), transfer->values, transfer->nulls);
	old = MemoryContextSwitchTo(transfer->row_context);
	taken = dbp_sink_put(transfer->sink, dbp_tag(&tuple->t_self));
	MemoryContextSwitchTo(old);
	return taken;
}

/*
 * Of all that is copied, or was near it: standbys must know that it is for everybody now.
 */
static void
note_newest(DbpTransfer *transfer, TransactionId xmin)
{
	if (TransactionIdIsNormal(xmin) && TransactionIdPrecedes(xmin, transfer->options.horizon) &&
		(!TransactionIdIsValid(transfer->newest_xmin) ||
		 TransactionIdFollows(xmin, transfer->newest_xmin)))
		transfer->newest_xmin = xmin;
}

static void
copy_page(DbpTransfer *transfer, Buffer buffer, Buffer vmbuffer)
{
	BlockNumber block = BufferGetBlockNumber(buffer);
	JudgedPage judged;
	int64 read = 0;

	if (transfer->options.exclusive || dbp_transfer_bit(transfer->settled, block))
	{
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		judge_page(transfer, buffer, &judged);
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	}
	else
		judge_and_settle(transfer, buffer, vmbuffer, &judged);
	note_newest(transfer, judged.newest_xmin);
	for (int i = 0; i < judged.n; i++)
	{
		HeapTuple tuple = &judged.tuples[i];
		DbpVerdict verdict = judged.verdicts[i];

		if (transfer->from_batches && dbp_tuple_is_batch(tuple))
		{
			dbp_transfer_batch(transfer, tuple, verdict);
			continue;
		}
		if (verdict == DBP_VERDICT_DEAD)
			transfer->counts.dead++;
		else if (verdict == DBP_VERDICT_ALL && copy_row(transfer, tuple))
			read++;
		else
		{
			set_bit(transfer->look, block);
			if (verdict != DBP_VERDICT_YOUNG && verdict != DBP_VERDICT_BOTH)
				dbp_tags_add(transfer, &transfer->rows, dbp_tag(&tuple->t_self));
		}
	}
	MemoryContextReset(transfer->row_context);
	dbp_progress_read(read);
}

void
dbp_transfer_copy(DbpTransfer *transfer)
{
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	Buffer vmbuffer = InvalidBuffer;
	Size bytes;

	transfer->nblocks = RelationGetNumberOfBlocks(transfer->old);
	bytes = transfer->nblocks / 8 + 1;
	transfer->settled = MemoryContextAllocZero(transfer->context, bytes);
	transfer->look = MemoryContextAllocZero(transfer->context, bytes);
	dbp_progress_phase(DBP_PHASE_COPYING);
	if (transfer->options.report_cluster)
	{
		pgstat_progress_update_param(PROGRESS_CLUSTER_PHASE, PROGRESS_CLUSTER_PHASE_SEQ_SCAN_HEAP);
		pgstat_progress_update_param(PROGRESS_CLUSTER_TOTAL_HEAP_BLKS, transfer->nblocks);
	}
	for (BlockNumber block = 0; block < transfer->nblocks; block++)
	{
		Buffer buffer;

		CHECK_FOR_INTERRUPTS();
		/* before the page is read: while the bit is set, the page is as we find it */
		if (VM_ALL_VISIBLE(transfer->old, block, &vmbuffer))
			set_bit(transfer->settled, block);
		else if (!transfer->options.exclusive)
			visibilitymap_pin(transfer->old, block, &vmbuffer);
		buffer = ReadBufferExtended(transfer->old, MAIN_FORKNUM, block, RBM_NORMAL, strategy);
		copy_page(transfer, buffer, vmbuffer);
		ReleaseBuffer(buffer);
		if (transfer->options.report_cluster)
			pgstat_progress_update_param(PROGRESS_CLUSTER_HEAP_BLKS_SCANNED, block + 1);
	}
	if (BufferIsValid(vmbuffer))
		ReleaseBuffer(vmbuffer);
	FreeAccessStrategy(strategy);
	if (transfer->options.report_cluster)
		pgstat_progress_update_param(PROGRESS_CLUSTER_PHASE, PROGRESS_CLUSTER_PHASE_WRITE_NEW_HEAP);
	dbp_sink_finish(transfer->sink);
	if (transfer->from_batches)
		dbp_transfer_young_batches(transfer);
	dbp_sink_settle(transfer->sink);
}

/*
 * Deal with a row version of a page that is looked at again.
 */
static void
row_again(DbpTransfer *transfer, HeapTuple tuple, DbpVerdict verdict)
{
	uint64 tag = dbp_tag(&tuple->t_self);
	bool young = verdict == DBP_VERDICT_YOUNG || verdict == DBP_VERDICT_BOTH;
	bool copied = !young && !dbp_tags_have(&transfer->rows, tag);

	if (verdict == DBP_VERDICT_DEAD)
	{
		if (transfer->rewrite != NULL)
			rewrite_heap_dead_tuple(transfer->rewrite, tuple);
		return;
	}
	if (copied && verdict == DBP_VERDICT_ALL)
		return;
	if (copied)
	{
		HeapTupleHeader header = tuple->t_data;

		dbp_transfer_gone(transfer, tag, HeapTupleHeaderGetUpdateXid(header),
						  (header->t_infomask2 & HEAP_KEYS_UPDATED) != 0);
		/* in a heap it is marked as deleted where it is */
		if (!dbp_sink_has_batches(transfer->sink))
			return;
	}
	if (verdict == DBP_VERDICT_OLD || verdict == DBP_VERDICT_BOTH)
		transfer->counts.recently++;
	else
		transfer->counts.carried++;
	dbp_transfer_carry(transfer, tuple);
}

/* Can the page have anything for us? */
static bool
is_of_interest(const DbpTransfer *transfer, BlockNumber block, Buffer buffer)
{
	if (block >= transfer->nblocks || dbp_transfer_bit(transfer->look, block))
		return true;
	/* nobody has written here */
	if (transfer->options.exclusive)
		return false;
	return !RelationNeedsWAL(transfer->old) || BufferGetLSNAtomic(buffer) > transfer->started;
}

static void
page_again(DbpTransfer *transfer, Buffer buffer)
{
	JudgedPage judged;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	judge_page(transfer, buffer, &judged);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	transfer->work.pages++;
	for (int i = 0; i < judged.n; i++)
		if (!transfer->from_batches || !dbp_tuple_is_batch(&judged.tuples[i]))
			row_again(transfer, &judged.tuples[i], judged.verdicts[i]);
	MemoryContextReset(transfer->row_context);
}

/*
 * Look at what may have changed, or was left.
 */
static void
look_again(DbpTransfer *transfer)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(transfer->old);
	Buffer vmbuffer = InvalidBuffer;

	memset(&transfer->work, 0, sizeof(DbpTransferWork));
	transfer->counts.carried = transfer->counts.recently = 0;
	transfer->ngone = 0;
	for (BlockNumber block = 0; block < nblocks; block++)
	{
		Buffer buffer;

		CHECK_FOR_INTERRUPTS();
		if (block < transfer->nblocks && !dbp_transfer_bit(transfer->look, block) &&
			(transfer->options.exclusive ||
			 (dbp_transfer_bit(transfer->settled, block) &&
			  VM_ALL_VISIBLE(transfer->old, block, &vmbuffer))))
			continue;
		buffer = ReadBuffer(transfer->old, block);
		if (is_of_interest(transfer, block, buffer))
			page_again(transfer, buffer);
		ReleaseBuffer(buffer);
	}
	if (BufferIsValid(vmbuffer))
		ReleaseBuffer(vmbuffer);
	if (transfer->from_batches)
		dbp_transfer_batches_again(transfer);
}

void
dbp_transfer_rehearse(DbpTransfer *transfer, DbpTransferWork *work)
{
	look_again(transfer);
	*work = transfer->work;
}

static int
compare_gone(const void *a, const void *b)
{
	uint64 x = ((const DbpGone *) a)->tag;
	uint64 y = ((const DbpGone *) b)->tag;

	return x < y ? -1 : x > y;
}

void
dbp_transfer_finish(DbpTransfer *transfer, DbpTransferCounts *counts)
{
	transfer->finishing = true;
	look_again(transfer);
	if (transfer->rewrite != NULL)
		end_heap_rewrite(transfer->rewrite);
	if (transfer->ngone > 0)
	{
		qsort(transfer->gone, transfer->ngone, sizeof(DbpGone), compare_gone);
		dbp_sink_take_back(transfer->sink, transfer->gone, transfer->ngone);
	}
	transfer->counts.gone = transfer->ngone;
	*counts = transfer->counts;
}
