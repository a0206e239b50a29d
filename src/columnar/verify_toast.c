/*-------------------------------------------------------------------------
 *
 * verify_toast.c
 *		The TOAST table of a columnar table: what is in it belongs to something.
 *
 * The heap is read page by page.  What batches need of it has been found
 * through the index before; here is looked for what is too much, and at
 * tombstones and runs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"

#include "columnar/batch.h"
#include "columnar/inspect.h"

typedef struct ToastWalk
{
	DbpVerify *verify;
	Relation toast;
	DbpVerifyPage *page;
	bool any_tombstone;
	bool any_mark;
	int nruns;
	int max_runs;
	BlockNumber *runs;
} ToastWalk;

static void
add_run(ToastWalk *walk, BlockNumber block)
{
	if (walk->nruns == walk->max_runs)
	{
		walk->max_runs = Max(64, 2 * walk->max_runs);
		walk->runs = walk->runs == NULL
			? palloc(sizeof(BlockNumber) * walk->max_runs)
			: repalloc_huge(walk->runs, sizeof(BlockNumber) * walk->max_runs);
	}
	walk->runs[walk->nruns++] = block;
}

static void
look_at_tombstone(ToastWalk *walk, DbpVerifyBatch *batch, int row, const uint8 *data, uint32 length)
{
	const char *problem = NULL;

	walk->any_tombstone = true;
	if (row >= batch->nrows)
		problem = "there is a tombstone of a row that the batch does not have";
	else if (!dbp_tombstone_sound(batch->id, row, data, length))
		problem = "its tombstone is not whole";
	else if (batch->tombstones != NULL && (batch->tombstones[row / 8] & 1 << row % 8) != 0)
		problem = "it has two tombstones";
	if (problem != NULL)
	{
		dbp_verify_report(walk->verify, batch, &batch->tid, 0, row, problem);
		return;
	}
	if (batch->tombstones == NULL)
		batch->tombstones = MemoryContextAllocZero(walk->verify->context, (batch->nrows + 7) / 8);
	batch->tombstones[row / 8] |= 1 << row % 8;
}

static void
look_at_piece(ToastWalk *walk, DbpVerifyBatch *batch, uint32 seq, uint32 length)
{
	if (seq > batch->stream_length || length > batch->stream_length - seq)
		dbp_verify_report(walk->verify, batch, &batch->tid, 0, -1,
						  psprintf("a piece at offset %u reaches behind its end", seq));
	batch->piece_bytes += length;
}

static void
look_at_tuple(ToastWalk *walk, const HeapTupleData *tuple)
{
	DbpVerify *verify = walk->verify;
	Oid id;
	int32 seq;
	const uint8 *data;
	uint32 length;
	DbpVerifyId *known;

	if (!dbp_toast_parse(tuple, &id, &seq, &data, &length))
	{
		dbp_verify_report(
			verify, NULL, &tuple->t_self, 0, -1,
			psprintf("a tuple of \"%s\" is damaged: it is not as the toaster writes them",
					 RelationGetRelationName(walk->toast)));
		return;
	}
	if (id == DBP_TOAST_RUNS)
		add_run(walk, (BlockNumber) seq);
	else if (id == DBP_TOAST_TOMBSTONES)
		walk->any_mark = true;
	else if (id == DBP_TOAST_SORT_KEY)
		return; /* dbp_sort_key_stored() reads it, and trusts nothing */
	else if ((known = hash_search(verify->ids, &id, HASH_FIND, NULL)) == NULL)
	{
		dbp_verify_report(verify, NULL, &tuple->t_self, 0, -1,
						  psprintf("value %u of \"%s\" belongs to no batch and no row", id,
								   RelationGetRelationName(walk->toast)));
		dbp_verify_know(verify, id, -1);
	}
	else if (known->batch >= 0 && verify->batches[known->batch].opened)
	{
		if (seq >= DBP_SEQ_TOMBSTONE)
			look_at_tombstone(walk, &verify->batches[known->batch], seq - DBP_SEQ_TOMBSTONE, data,
							  length);
		else
			look_at_piece(walk, &verify->batches[known->batch], (uint32) seq, length);
	}
}

static int
compare_blocks(const void *a, const void *b)
{
	BlockNumber left = *(const BlockNumber *) a;
	BlockNumber right = *(const BlockNumber *) b;

	return left < right ? -1 : left > right;
}

/* Who looks for all batches goes through the runs */
static void
look_at_runs(ToastWalk *walk)
{
	DbpVerify *verify = walk->verify;
	BlockNumber block = InvalidBlockNumber;
	int run = 0;
	bool inside = false;

	qsort(walk->runs, walk->nruns, sizeof(BlockNumber), compare_blocks);
	for (int i = 0; i < verify->nbatches; i++)
	{
		DbpVerifyBatch *batch = &verify->batches[i];
		BlockNumber at = ItemPointerGetBlockNumber(&batch->tid);

		if (at != block)
		{
			if (block == InvalidBlockNumber || at != block + 1)
				inside = false;
			block = at;
			while (run < walk->nruns && walk->runs[run] < at)
				run++;
			if (run < walk->nruns && walk->runs[run] == at)
				inside = true;
		}
		if (!inside)
			dbp_verify_report(verify, batch, &batch->tid, 0, -1, "no run of batches has it");
	}
}

static void
look_at_totals(ToastWalk *walk)
{
	DbpVerify *verify = walk->verify;

	for (int i = 0; i < verify->nbatches; i++)
	{
		DbpVerifyBatch *batch = &verify->batches[i];

		if (batch->opened && batch->piece_bytes != batch->stream_length)
			dbp_verify_report(verify, batch, &batch->tid, 0, -1,
							  psprintf("its pieces have " UINT64_FORMAT " bytes instead of %u",
									   batch->piece_bytes, batch->stream_length));
	}
	if (walk->any_tombstone && !walk->any_mark)
		dbp_verify_report(verify, NULL, NULL, 0, -1,
						  "there are tombstones, but no mark that there are any");
}

void
dbp_verify_toast(DbpVerify *verify)
{
	Oid relid = verify->rel->rd_rel->reltoastrelid;
	ToastWalk walk = {.verify = verify};
	BlockNumber nblocks;

	if (!OidIsValid(relid))
		return;
	walk.toast = table_open(relid, AccessShareLock);
	walk.page = palloc(sizeof(DbpVerifyPage));
	nblocks = RelationGetNumberOfBlocks(walk.toast);
	for (BlockNumber block = 0; block < nblocks; block++)
	{
		dbp_verify_page(verify, walk.toast, block, true, walk.page);
		for (int i = 0; i < walk.page->n; i++)
			if (walk.page->tuples[i].visible)
				look_at_tuple(&walk, &walk.page->tuples[i].tuple);
	}
	look_at_totals(&walk);
	look_at_runs(&walk);
	table_close(walk.toast, AccessShareLock);
}
