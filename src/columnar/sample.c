/*-------------------------------------------------------------------------
 *
 * sample.c
 *		ANALYZE and TABLESAMPLE.
 *
 * Both think in blocks, and a block of a columnar relation may stand for a
 * hundred thousand rows.  ANALYZE gets a random part of all rows of each block,
 * about as many in all as it needs, and the count of all of them.  TABLESAMPLE
 * is given blocks that do not exist: behind those of the main fork, where only
 * row tuples count, each run of SAMPLE_BLOCK_ROWS rows of a batch is one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/tsmapi.h"
#include "commands/vacuum.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "columnar.h"
#include "sample.h"

/* About as many as a block of a heap has */
#define SAMPLE_BLOCK_ROWS 128

/* Statistics targets up to this one are served with all the rows that they ask for */
#define SAMPLE_TARGET 1000
#define SAMPLE_ROWS_PER_TARGET 300

typedef struct DbpSample
{
	MemoryContext context;

	/* ANALYZE: the block to look at, and what it has */
	BlockNumber block;
	bool collected;
	List *tuples; /* copies: of row tuples to be given out, and of batch tuples */
	int next;
	double fraction; /* of rows to be given out; < 0: not known yet */

	/* TABLESAMPLE */
	DbpBatch **batches;
	int nbatches;
	BlockNumber *first; /* of each batch, one more than there are */
	BlockNumber nblocks;
	BlockNumber current;
	MemoryContext block_context;
	HeapTuple *lines; /* of a block of the main fork; NULL: not to be seen */
	int nlines;
	MemoryContext batch_context;
	bool batch_visible;
	int first_row; /* of the block, in the batch */
} DbpSample;

static DbpSample *
get_sample(DbpScan *scan)
{
	if (scan->sample == NULL)
	{
		scan->sample = MemoryContextAllocZero(scan->context, sizeof(DbpSample));
		scan->sample->context =
			AllocSetContextCreate(scan->context, "dbperf sample", ALLOCSET_DEFAULT_SIZES);
		scan->sample->fraction = -1;
		scan->sample->current = InvalidBlockNumber;
	}
	return scan->sample;
}

static void
leave_batch(DbpScan *scan)
{
	if (scan->batch != NULL)
		dbp_batch_release(scan->batch);
	scan->batch = NULL;
	scan->gone = NULL;
}

void
dbp_sample_end(DbpScan *scan)
{
	if (scan->sample == NULL)
		return;
	leave_batch(scan);
	for (int i = 0; i < scan->sample->nbatches; i++)
		dbp_batch_release(scan->sample->batches[i]);
	MemoryContextDelete(scan->sample->context);
	pfree(scan->sample);
	scan->sample = NULL;
}

/*
 * ANALYZE
 */

bool
dbp_analyze_next_block(TableScanDesc scan, DBP_ANALYZE_BLOCK_ARGS)
{
	DbpSample *sample = get_sample((DbpScan *) scan);

	if (!dbp_analyze_block(&sample->block))
		return false;
	sample->collected = false;
	return true;
}

static double
choose_fraction(Relation rel)
{
	double wanted = (double) SAMPLE_ROWS_PER_TARGET * Max(default_statistics_target, SAMPLE_TARGET);
	double rows = dbp_count_rows(rel, -1);

	return rows <= wanted ? 1.0 : wanted / rows;
}

static bool
is_chosen(const DbpSample *sample)
{
	return sample->fraction >= 1.0 || pg_prng_double(&pg_global_prng_state) < sample->fraction;
}

/* Is the tuple a row that counts?  As heapam's ANALYZE has it. */
static bool
is_live(HeapTuple tuple, TransactionId oldest_xmin, Buffer buffer)
{
	switch (HeapTupleSatisfiesVacuum(tuple, oldest_xmin, buffer))
	{
		case HEAPTUPLE_LIVE:
			return true;
		case HEAPTUPLE_INSERT_IN_PROGRESS:
			return TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data));
		case HEAPTUPLE_DELETE_IN_PROGRESS:
			return !TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(tuple->t_data));
		default:
			return false;
	}
}

static void
collect(DbpScan *scan, TransactionId oldest_xmin, double *liverows, double *deadrows)
{
	DbpSample *sample = scan->sample;
	Relation rel = scan->base.rs_rd;
	MemoryContext old;
	Buffer buffer;
	Page page;

	MemoryContextReset(sample->context);
	sample->tuples = NIL;
	sample->next = 0;
	if (sample->fraction < 0)
		sample->fraction = choose_fraction(rel);
	old = MemoryContextSwitchTo(sample->context);
	buffer = ReadBuffer(rel, sample->block);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	for (OffsetNumber line = FirstOffsetNumber; line <= PageGetMaxOffsetNumber(page); line++)
	{
		ItemId item = PageGetItemId(page, line);
		HeapTupleData tuple;

		if (!ItemIdIsNormal(item))
		{
			*deadrows += ItemIdIsDead(item) ? 1 : 0;
			continue;
		}
		tuple.t_tableOid = RelationGetRelid(rel);
		tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
		tuple.t_len = ItemIdGetLength(item);
		ItemPointerSet(&tuple.t_self, sample->block, line);
		if (!is_live(&tuple, oldest_xmin, buffer))
			*deadrows += 1;
		else if (dbp_tuple_is_batch(&tuple))
			sample->tuples = lappend(sample->tuples, heap_copytuple(&tuple));
		else
		{
			*liverows += 1;
			if (is_chosen(sample))
				sample->tuples = lappend(sample->tuples, heap_copytuple(&tuple));
		}
	}
	UnlockReleaseBuffer(buffer);
	MemoryContextSwitchTo(old);
	sample->collected = true;
}

static void
enter_batch(DbpScan *scan, HeapTuple tuple, double *liverows, double *deadrows)
{
	MemoryContext old = MemoryContextSwitchTo(scan->sample->context);
	int gone = 0;

	scan->batch = dbp_batch_open(scan->base.rs_rd, tuple);
	scan->gone = dbp_tombstone_bitmap(scan->base.rs_rd, dbp_batch_id(scan->batch),
									  dbp_batch_nrows(scan->batch), SnapshotSelf, &gone);
	scan->row = -1;
	*liverows += dbp_batch_nrows(scan->batch) - gone;
	*deadrows += gone;
	MemoryContextSwitchTo(old);
}

static void
store_copy(TupleTableSlot *slot, HeapTuple tuple, Oid relid)
{
	ExecForceStoreHeapTuple(tuple, slot, false);
	slot->tts_tid = tuple->t_self;
	slot->tts_tableOid = relid;
}

bool
dbp_analyze_next_tuple(TableScanDesc base, TransactionId oldest_xmin, double *liverows,
					   double *deadrows, TupleTableSlot *slot)
{
	DbpScan *scan = (DbpScan *) base;
	DbpSample *sample = scan->sample;

	if (!sample->collected)
		collect(scan, oldest_xmin, liverows, deadrows);
	for (;;)
	{
		HeapTuple tuple;

		while (scan->batch != NULL && ++scan->row < dbp_batch_nrows(scan->batch))
		{
			if ((scan->gone != NULL && (scan->gone[scan->row / 8] & 1 << scan->row % 8) != 0) ||
				!is_chosen(sample))
				continue;
			dbp_slot_store_row(slot, scan->batch, scan->row, RelationGetRelid(base->rs_rd));
			return true;
		}
		leave_batch(scan);
		CHECK_FOR_INTERRUPTS();
		if (sample->next >= list_length(sample->tuples))
			break;
		tuple = list_nth(sample->tuples, sample->next++);
		if (dbp_tuple_is_batch(tuple))
			enter_batch(scan, tuple, liverows, deadrows);
		else
		{
			store_copy(slot, tuple, RelationGetRelid(base->rs_rd));
			return true;
		}
	}
	ExecClearTuple(slot);
	return false;
}

/*
 * TABLESAMPLE
 */

static void
lay_out(DbpScan *scan)
{
	DbpSample *sample = scan->sample;
	DbpBatch **batches;
	MemoryContext old = MemoryContextSwitchTo(sample->context);

	sample->nbatches = dbp_batch_list(scan->base.rs_rd, &batches);
	sample->batches = palloc(sizeof(DbpBatch *) * Max(sample->nbatches, 1));
	sample->first = palloc(sizeof(BlockNumber) * (sample->nbatches + 1));
	sample->nblocks = RelationGetNumberOfBlocks(scan->base.rs_rd);
	for (int i = 0; i < sample->nbatches; i++)
	{
		sample->batches[i] = dbp_batch_retain(batches[i]);
		sample->first[i] = sample->nblocks;
		sample->nblocks +=
			(dbp_batch_nrows(batches[i]) + SAMPLE_BLOCK_ROWS - 1) / SAMPLE_BLOCK_ROWS;
	}
	sample->first[sample->nbatches] = sample->nblocks;
	sample->block_context =
		AllocSetContextCreate(sample->context, "dbperf sampled block", ALLOCSET_DEFAULT_SIZES);
	sample->batch_context =
		AllocSetContextCreate(sample->context, "dbperf sampled batch", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(old);
}

/* Row tuples of a block of the main fork that the snapshot sees, by their line pointers */
static void
collect_visible(DbpScan *scan, BlockNumber block)
{
	DbpSample *sample = scan->sample;
	Relation rel = scan->base.rs_rd;
	Snapshot snapshot = scan->base.rs_snapshot;
	MemoryContext old = MemoryContextSwitchTo(sample->block_context);
	Buffer buffer = ReadBuffer(rel, block);
	Page page;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	sample->nlines = PageGetMaxOffsetNumber(page);
	sample->lines = palloc0(sizeof(HeapTuple) * (sample->nlines + 1));
	for (OffsetNumber line = FirstOffsetNumber; line <= sample->nlines; line++)
	{
		ItemId item = PageGetItemId(page, line);
		HeapTupleData tuple;
		bool visible;

		if (!ItemIdIsNormal(item))
			continue;
		tuple.t_tableOid = RelationGetRelid(rel);
		tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
		tuple.t_len = ItemIdGetLength(item);
		ItemPointerSet(&tuple.t_self, block, line);
		visible = HeapTupleSatisfiesVisibility(&tuple, snapshot, buffer);
		HeapCheckForSerializableConflictOut(visible, rel, &tuple, buffer, snapshot);
		if (visible && !dbp_tuple_is_batch(&tuple))
			sample->lines[line] = heap_copytuple(&tuple);
	}
	UnlockReleaseBuffer(buffer);
	MemoryContextSwitchTo(old);
}

static bool
batch_is_visible(DbpScan *scan, DbpBatch *batch)
{
	HeapTupleData tuple;
	Buffer buffer;

	tuple.t_self = *dbp_batch_tid(batch);
	if (!heap_fetch(scan->base.rs_rd, scan->base.rs_snapshot, &tuple, &buffer, false))
		return false;
	ReleaseBuffer(buffer);
	return true;
}

/* The batch that has that block, which is none of the main fork's */
static void
enter_sampled_batch(DbpScan *scan, BlockNumber block)
{
	DbpSample *sample = scan->sample;
	int low = 0;
	int high = sample->nbatches - 1;
	MemoryContext old;

	while (low < high)
	{
		int middle = (low + high + 1) / 2;

		if (sample->first[middle] <= block)
			low = middle;
		else
			high = middle - 1;
	}
	sample->first_row = (block - sample->first[low]) * SAMPLE_BLOCK_ROWS;
	if (scan->batch == sample->batches[low])
		return;
	leave_batch(scan);
	MemoryContextReset(sample->batch_context);
	scan->batch = dbp_batch_retain(sample->batches[low]);
	old = MemoryContextSwitchTo(sample->batch_context);
	sample->batch_visible = batch_is_visible(scan, scan->batch);
	scan->gone = dbp_tombstone_bitmap(scan->base.rs_rd, dbp_batch_id(scan->batch),
									  dbp_batch_nrows(scan->batch), scan->base.rs_snapshot, NULL);
	MemoryContextSwitchTo(old);
}

bool
dbp_sample_next_block(TableScanDesc base, struct SampleScanState *state)
{
	DbpScan *scan = (DbpScan *) base;
	DbpSample *sample = get_sample(scan);
	TsmRoutine *method = state->tsmroutine;

	if (sample->first == NULL)
		lay_out(scan);
	if (method->NextSampleBlock != NULL)
		sample->current = method->NextSampleBlock(state, sample->nblocks);
	else if (sample->current == InvalidBlockNumber)
		sample->current = sample->nblocks > 0 ? 0 : InvalidBlockNumber;
	else if (++sample->current >= sample->nblocks)
		sample->current = InvalidBlockNumber;
	if (sample->current == InvalidBlockNumber)
		return false;
	if (sample->current >= sample->first[0])
		enter_sampled_batch(scan, sample->current);
	else
	{
		leave_batch(scan);
		MemoryContextReset(sample->block_context);
		collect_visible(scan, sample->current);
	}
	return true;
}

bool
dbp_sample_next_tuple(TableScanDesc base, struct SampleScanState *state, TupleTableSlot *slot)
{
	DbpScan *scan = (DbpScan *) base;
	DbpSample *sample = scan->sample;
	Oid relid = RelationGetRelid(base->rs_rd);
	int nlines = sample->nlines;

	if (scan->batch != NULL)
		nlines = Min(dbp_batch_nrows(scan->batch) - sample->first_row, SAMPLE_BLOCK_ROWS);
	for (;;)
	{
		OffsetNumber line;
		int row;

		CHECK_FOR_INTERRUPTS();
		line = state->tsmroutine->NextSampleTuple(state, sample->current, nlines);
		if (!OffsetNumberIsValid(line) || line > nlines)
			break;
		if (scan->batch == NULL)
		{
			if (sample->lines[line] == NULL)
				continue;
			store_copy(slot, sample->lines[line], relid);
			return true;
		}
		row = sample->first_row + line - 1;
		if (!sample->batch_visible ||
			(scan->gone != NULL && (scan->gone[row / 8] & 1 << row % 8) != 0))
			continue;
		dbp_slot_store_row(slot, scan->batch, row, relid);
		return true;
	}
	ExecClearTuple(slot);
	return false;
}
