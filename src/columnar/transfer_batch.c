/*-------------------------------------------------------------------------
 *
 * transfer_batch.c
 *		Moves all rows of a table into a new file: rows of its batches.
 *
 * A batch is there for everybody, as nearly all are, or it is young: then some
 * snapshots do not see it yet.  In a columnar table a young batch becomes a batch of
 * its own, with the transaction that made it; in a heap its rows are taken
 * along as row tuples.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "columnar/progress.h"
#include "columnar/transfer_parts.h"

/* What has become of a row: nothing if there is no tombstone */
typedef struct Fate
{
	bool deleted;
	bool for_all; /* nobody sees it any more */
	TransactionId xmax;
	CommandId cmax;
} Fate;

/* A batch with its rows */
typedef struct Rows
{
	DbpTransfer *transfer;
	DbpBatch *batch;
	int nrows;
	Fate *fates; /* NULL: no row is deleted */
	Datum **values;
	bool **nulls;
} Rows;

static void
note_fate(int row, const DbpTombstone *tombstone, void *arg)
{
	Rows *rows = arg;
	Fate *fate;

	if (row < 0 || row >= rows->nrows)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("table \"%s\" has a tombstone of row %d in batch %u of %d rows",
						RelationGetRelationName(rows->transfer->old), row,
						dbp_batch_id(rows->batch), rows->nrows)));
	if (rows->fates == NULL)
		rows->fates = palloc0(sizeof(Fate) * rows->nrows);
	fate = &rows->fates[row];
	fate->deleted = true;
	fate->xmax = tombstone->xmin;
	fate->cmax = tombstone->cmin;
	fate->for_all = !tombstone->in_progress &&
		(!TransactionIdIsNormal(tombstone->xmin) ||
		 TransactionIdPrecedes(tombstone->xmin, rows->transfer->options.horizon));
}

static const Fate *
fate_of(const Rows *rows, int row)
{
	static const Fate alive = {0};

	return rows->fates != NULL ? &rows->fates[row] : &alive;
}

static void
open_rows(Rows *rows, DbpTransfer *transfer, DbpBatch *batch)
{
	memset(rows, 0, sizeof(Rows));
	rows->transfer = transfer;
	rows->batch = batch;
	rows->nrows = dbp_batch_nrows(batch);
	dbp_tombstone_visit(transfer->old, dbp_batch_id(batch), note_fate, rows);
}

/* Decode all columns, when the first row is wanted */
static void
decode(Rows *rows)
{
	TupleDesc desc = RelationGetDescr(rows->transfer->old);

	if (rows->values != NULL)
		return;
	rows->values = palloc0(sizeof(Datum *) * Max(desc->natts, 1));
	rows->nulls = palloc0(sizeof(bool *) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!TupleDescAttr(desc, i)->attisdropped)
			dbp_batch_column(rows->batch, desc, i + 1, &rows->values[i], &rows->nulls[i]);
	}
}

/* Into transfer->values */
static void
fetch(Rows *rows, int row)
{
	DbpTransfer *transfer = rows->transfer;

	decode(rows);
	for (int i = 0; i < RelationGetDescr(transfer->old)->natts; i++)
	{
		transfer->nulls[i] =
			rows->values[i] == NULL || (rows->nulls[i] != NULL && rows->nulls[i][row]);
		transfer->values[i] = transfer->nulls[i] ? (Datum) 0 : rows->values[i][row];
	}
}

static uint64
tag_of(const Rows *rows, int row)
{
	ItemPointerData tid;

	dbp_tid_make(&tid, dbp_batch_tid(rows->batch), row);
	return dbp_tag(&tid);
}

static void
copy_old_batch(DbpTransfer *transfer, DbpBatch *batch)
{
	Rows rows;

	open_rows(&rows, transfer, batch);
	for (int row = 0; row < rows.nrows; row++)
	{
		const Fate *fate = fate_of(&rows, row);

		if (fate->deleted && fate->for_all)
		{
			transfer->counts.dead++;
			continue;
		}
		if (!fate->deleted)
		{
			fetch(&rows, row);
			if (dbp_sink_put(transfer->sink, tag_of(&rows, row)))
				continue;
		}
		dbp_tags_add(transfer, &transfer->batch_rows, tag_of(&rows, row));
	}
	dbp_progress_read(rows.nrows);
}

/*
 * A batch tuple has been found.
 */
void
dbp_transfer_batch(DbpTransfer *transfer, HeapTuple tuple, DbpVerdict verdict)
{
	MemoryContext caller;
	DbpOldBatch *old;
	DbpBatch *batch;

	if (verdict == DBP_VERDICT_DEAD)
		return;
	if (verdict == DBP_VERDICT_OLD || verdict == DBP_VERDICT_BOTH)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("batch (%u,%u) of table \"%s\" is marked as deleted",
						ItemPointerGetBlockNumber(&tuple->t_self),
						ItemPointerGetOffsetNumber(&tuple->t_self),
						RelationGetRelationName(transfer->old))));
	if (transfer->nbatches == transfer->batches_room)
	{
		transfer->batches_room = Max(64, transfer->batches_room * 2);
		transfer->batches = transfer->batches == NULL
			? MemoryContextAlloc(transfer->context, sizeof(DbpOldBatch) * transfer->batches_room)
			: repalloc_huge(transfer->batches, sizeof(DbpOldBatch) * transfer->batches_room);
	}
	old = &transfer->batches[transfer->nbatches++];
	old->tid = tuple->t_self;
	old->xmin = InvalidTransactionId;
	old->cmin = FirstCommandId;
	if (verdict == DBP_VERDICT_YOUNG)
	{
		old->xmin = HeapTupleHeaderGetXmin(tuple->t_data);
		if (TransactionIdIsCurrentTransactionId(old->xmin))
			old->cmin = HeapTupleHeaderGetCmin(tuple->t_data);
		return;
	}
	caller = MemoryContextSwitchTo(transfer->row_context);
	batch = dbp_batch_open(transfer->old, tuple);
	copy_old_batch(transfer, batch);
	dbp_batch_release(batch);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(transfer->row_context);
}

static DbpBatch *
reopen(DbpTransfer *transfer, const DbpOldBatch *old)
{
	DbpBatch *batch = dbp_batch_fetch(transfer->old, &old->tid);

	if (batch == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("batch (%u,%u) of table \"%s\" has vanished",
						ItemPointerGetBlockNumber(&old->tid), ItemPointerGetOffsetNumber(&old->tid),
						RelationGetRelationName(transfer->old))));
	return batch;
}

/* Those rows of a column, in arrays of their own: what the batch has belongs to it */
static void
pick(const Rows *rows, int column, const int *picked, int n, DbpRows *out)
{
	if (rows->values[column] == NULL)
		return;
	out->values[column] = palloc(sizeof(Datum) * n);
	for (int i = 0; i < n; i++)
		out->values[column][i] = rows->values[column][picked[i]];
	if (rows->nulls[column] == NULL)
		return;
	out->nulls[column] = palloc(sizeof(bool) * n);
	for (int i = 0; i < n; i++)
		out->nulls[column][i] = rows->nulls[column][picked[i]];
}

/*
 * A young batch without its deleted rows.
 */
static void
copy_young_batch(DbpTransfer *transfer, const DbpOldBatch *old, DbpBatch *batch)
{
	int natts = RelationGetDescr(transfer->old)->natts;
	uint64 *tags;
	int *picked;
	Rows rows;
	DbpRows out;
	int n = 0;

	open_rows(&rows, transfer, batch);
	decode(&rows);
	tags = palloc(sizeof(uint64) * rows.nrows);
	picked = palloc(sizeof(int) * rows.nrows);
	for (int row = 0; row < rows.nrows; row++)
	{
		if (fate_of(&rows, row)->deleted)
		{
			dbp_tags_add(transfer, &transfer->young_rows, tag_of(&rows, row));
			continue;
		}
		picked[n] = row;
		tags[n++] = tag_of(&rows, row);
	}
	if (n == 0)
		return;
	out.tupdesc = RelationGetDescr(transfer->new);
	out.nrows = n;
	out.values = palloc0(sizeof(Datum *) * Max(natts, 1));
	out.nulls = palloc0(sizeof(bool *) * Max(natts, 1));
	for (int i = 0; i < natts; i++)
		pick(&rows, i, picked, n, &out);
	dbp_sink_put_batch(transfer->sink, &out, tags, old->xmin, old->cmin);
	dbp_progress_read(n);
}

void
dbp_transfer_young_batches(DbpTransfer *transfer)
{
	if (!dbp_sink_has_batches(transfer->sink))
		return;
	for (int i = 0; i < transfer->nbatches; i++)
	{
		const DbpOldBatch *old = &transfer->batches[i];
		MemoryContext caller;
		DbpBatch *batch;

		if (!TransactionIdIsValid(old->xmin))
			continue;
		caller = MemoryContextSwitchTo(transfer->row_context);
		batch = reopen(transfer, old);
		copy_young_batch(transfer, old, batch);
		dbp_batch_release(batch);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(transfer->row_context);
	}
}

static void
carry(Rows *rows, const DbpOldBatch *old, int row)
{
	const Fate *fate = fate_of(rows, row);
	ItemPointerData tid;

	if (rows->transfer->finishing)
		fetch(rows, row);
	dbp_tid_make(&tid, &old->tid, row);
	if (fate->deleted)
		rows->transfer->counts.recently++;
	else
		rows->transfer->counts.carried++;
	dbp_transfer_carry_row(rows->transfer, &tid, old->xmin, old->cmin,
						   fate->deleted ? fate->xmax : InvalidTransactionId, fate->cmax);
}

/*
 * A batch that was copied, and the tags of its rows that were not.
 */
static void
copied_batch_again(DbpTransfer *transfer, const DbpOldBatch *old, const DbpTags *left,
				   DbpBatch *batch)
{
	Rows rows;

	open_rows(&rows, transfer, batch);
	for (int row = 0; (rows.fates != NULL || left->n > 0) && row < rows.nrows; row++)
	{
		const Fate *fate = fate_of(&rows, row);
		uint64 tag;
		bool copied;

		if ((fate->deleted && fate->for_all) || (!fate->deleted && left->n == 0))
			continue;
		tag = tag_of(&rows, row);
		copied = !dbp_tags_have(left, tag);
		if (copied && fate->deleted)
			dbp_transfer_gone(transfer, tag, fate->xmax, true);
		if (copied ? fate->deleted && dbp_sink_has_batches(transfer->sink) : true)
			carry(&rows, old, row);
	}
}

static void
young_batch_again(DbpTransfer *transfer, const DbpOldBatch *old, DbpBatch *batch)
{
	Rows rows;

	open_rows(&rows, transfer, batch);
	for (int row = 0; row < rows.nrows; row++)
		carry(&rows, old, row);
}

/*
 * Look at all batches again.
 */
void
dbp_transfer_batches_again(DbpTransfer *transfer)
{
	bool to_batches = dbp_sink_has_batches(transfer->sink);
	bool none = !dbp_tombstone_any(transfer->old);

	for (int i = 0; i < transfer->nbatches; i++)
	{
		const DbpOldBatch *old = &transfer->batches[i];
		bool young = TransactionIdIsValid(old->xmin);
		const DbpTags *left = young ? &transfer->young_rows : &transfer->batch_rows;
		MemoryContext caller;
		DbpBatch *batch;

		CHECK_FOR_INTERRUPTS();
		if (none && left->n == 0 && (!young || to_batches))
			continue;
		caller = MemoryContextSwitchTo(transfer->row_context);
		batch = reopen(transfer, old);
		if (young && !to_batches)
			young_batch_again(transfer, old, batch);
		else
			copied_batch_again(transfer, old, left, batch);
		dbp_batch_release(batch);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(transfer->row_context);
	}
}
