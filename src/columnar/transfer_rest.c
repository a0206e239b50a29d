/*-------------------------------------------------------------------------
 *
 * transfer_rest.c
 *		Moves all rows of a table into a new file: row versions as they are.
 *
 * Row versions that only some snapshots see go into the new table with the
 * transactions that made and deleted them, as in CLUSTER.  A row of a batch of which
 * that is true goes as a row tuple.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/rewriteheap.h"
#include "access/xact.h"
#include "utils/memutils.h"

#include "columnar/transfer_parts.h"

/*
 * That ends with the file on disk, so it is not begun for nothing.
 */
static RewriteState
rewrite_state(DbpTransfer *transfer)
{
	const DbpTransferOptions *options = &transfer->options;
	MemoryContext caller;

	if (transfer->rewrite != NULL)
		return transfer->rewrite;
	caller = MemoryContextSwitchTo(transfer->context);
	transfer->rewrite = begin_heap_rewrite(transfer->old, transfer->new, options->horizon,
										   options->freeze_limit, options->multi_cutoff);
	MemoryContextSwitchTo(caller);
	return transfer->rewrite;
}

/*
 * Write the row that is in transfer->values, with the header of a tuple of the old table.
 */
static void
rewrite_values(DbpTransfer *transfer, HeapTuple old)
{
	TupleDesc desc = RelationGetDescr(transfer->new);
	HeapTuple new;

	for (int i = 0; i < desc->natts; i++)
		if (TupleDescAttr(desc, i)->attisdropped)
			transfer->nulls[i] = true;
	new = heap_form_tuple(desc, transfer->values, transfer->nulls);
	rewrite_heap_tuple(rewrite_state(transfer), old, new);
	heap_freetuple(new);
}

/*
 * Take a row tuple along.
 */
void
dbp_transfer_carry(DbpTransfer *transfer, HeapTuple old)
{
	MemoryContext context;

	transfer->work.carried++;
	if (!transfer->finishing)
		return;
	context = MemoryContextSwitchTo(transfer->row_context);
	heap_deform_tuple(old, RelationGetDescr(transfer->old), transfer->values, transfer->nulls);
	rewrite_values(transfer, old);
	MemoryContextSwitchTo(context);
}

void
dbp_transfer_set_xids(HeapTupleHeader header, TransactionId xmin, CommandId cmin,
					  TransactionId xmax, CommandId cmax)
{
	bool is_combo = false;

	header->t_infomask &= ~HEAP_XACT_MASK;
	header->t_infomask2 &= ~HEAP2_XACT_MASK;
	if (TransactionIdIsValid(xmin))
		HeapTupleHeaderSetXmin(header, xmin);
	else
	{
		HeapTupleHeaderSetXmin(header, FrozenTransactionId);
		header->t_infomask |= HEAP_XMIN_FROZEN;
	}
	HeapTupleHeaderSetCmin(header, cmin);
	HeapTupleHeaderSetXmax(header, xmax);
	if (!TransactionIdIsValid(xmax))
	{
		header->t_infomask |= HEAP_XMAX_INVALID;
		return;
	}
	header->t_infomask2 |= HEAP_KEYS_UPDATED;
	if (TransactionIdIsCurrentTransactionId(xmax))
	{
		HeapTupleHeaderAdjustCmax(header, &cmax, &is_combo);
		HeapTupleHeaderSetCmax(header, cmax, is_combo);
	}
}

/*
 * Take a row of a batch along, which is in transfer->values.  xmin:
 * InvalidTransactionId for one that is old; xmax: for one that is alive.
 */
void
dbp_transfer_carry_row(DbpTransfer *transfer, const ItemPointerData *tid, TransactionId xmin,
					   CommandId cmin, TransactionId xmax, CommandId cmax)
{
	MemoryContext context;
	HeapTuple old;
	HeapTupleHeader header;

	transfer->work.carried++;
	if (!transfer->finishing)
		return;
	context = MemoryContextSwitchTo(transfer->row_context);
	old = palloc0(HEAPTUPLESIZE + MAXALIGN(SizeofHeapTupleHeader));
	old->t_len = MAXALIGN(SizeofHeapTupleHeader);
	old->t_data = (HeapTupleHeader) ((char *) old + HEAPTUPLESIZE);
	old->t_self = *tid;
	old->t_tableOid = RelationGetRelid(transfer->old);
	header = old->t_data;
	header->t_ctid = *tid;
	dbp_transfer_set_xids(header, xmin, cmin, xmax, cmax);
	rewrite_values(transfer, old);
	MemoryContextSwitchTo(context);
}

/*
 * Note that a row has been deleted since it was copied.
 */
void
dbp_transfer_gone(DbpTransfer *transfer, uint64 tag, TransactionId xmax, bool keys_updated)
{
	DbpGone *gone;

	transfer->work.gone++;
	if (!transfer->finishing)
		return;
	if (transfer->ngone == transfer->gone_room)
	{
		transfer->gone_room = Max(256, transfer->gone_room * 2);
		transfer->gone = transfer->gone == NULL
			? MemoryContextAlloc(transfer->context, sizeof(DbpGone) * transfer->gone_room)
			: repalloc_huge(transfer->gone, sizeof(DbpGone) * transfer->gone_room);
	}
	gone = &transfer->gone[transfer->ngone++];
	gone->tag = tag;
	gone->xmax = xmax;
	gone->keys_updated = keys_updated;
}
