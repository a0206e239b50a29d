/*-------------------------------------------------------------------------
 *
 * slot.c
 *		Slots that hold a row tuple or a row of a batch.
 *
 * A slot is in one of four states: empty; virtual (whoever filled it in set
 * its values); "inner", where the slot of a buffer heap tuple inside of it has
 * the row; or a row of a batch, whose columns are decoded no earlier than they
 * are asked for.  To be materialized, or to give a heap tuple, the latter and
 * virtual ones become inner.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "executor/executor.h"

#include "columnar.h"
#include "compat.h"

typedef struct DbpColumnarSlot
{
	TupleTableSlot base;
	TupleTableSlot *inner; /* NULL: not needed yet */
	bool in_inner;
	bool in_batch;
	DbpBatch *batch; /* kept beyond in_batch, since the next row is probably of it, too */
	int row;
	int ncolumns; /* of the arrays below, which are of that batch */
	Datum **values;
	bool **nulls;
} DbpColumnarSlot;

/* Where the descriptor is known, at once: so both hold it for the same resource owner */
static void
slot_init(TupleTableSlot *slot)
{
	DbpColumnarSlot *self = (DbpColumnarSlot *) slot;

	if (slot->tts_tupleDescriptor != NULL)
		self->inner = MakeSingleTupleTableSlot(slot->tts_tupleDescriptor, &TTSOpsBufferHeapTuple);
}

static void
forget_batch(DbpColumnarSlot *self)
{
	if (self->batch != NULL)
		dbp_batch_release(self->batch);
	self->batch = NULL;
	self->ncolumns = 0;
}

static void
slot_release(TupleTableSlot *slot)
{
	DbpColumnarSlot *self = (DbpColumnarSlot *) slot;

	forget_batch(self);
	if (self->inner != NULL)
		ExecDropSingleTupleTableSlot(self->inner);
	self->inner = NULL;
}

static void
slot_clear(TupleTableSlot *slot)
{
	DbpColumnarSlot *self = (DbpColumnarSlot *) slot;

	if (self->in_inner)
		ExecClearTuple(self->inner);
	self->in_inner = self->in_batch = false;
	slot->tts_nvalid = 0;
	slot->tts_flags |= TTS_FLAG_EMPTY;
	ItemPointerSetInvalid(&slot->tts_tid);
}

TupleTableSlot *
dbp_slot_inner(TupleTableSlot *slot)
{
	DbpColumnarSlot *self = (DbpColumnarSlot *) slot;

	Assert(slot->tts_ops == &dbp_columnar_slot_ops);
	ExecClearTuple(slot);
	if (self->inner != NULL && self->inner->tts_tupleDescriptor != slot->tts_tupleDescriptor)
	{
		ExecDropSingleTupleTableSlot(self->inner);
		self->inner = NULL;
		self->values = NULL;
	}
	if (self->inner == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(slot->tts_mcxt);

		self->inner = MakeSingleTupleTableSlot(slot->tts_tupleDescriptor, &TTSOpsBufferHeapTuple);
		MemoryContextSwitchTo(old);
	}
	return self->inner;
}

void
dbp_slot_take_inner(TupleTableSlot *slot)
{
	DbpColumnarSlot *self = (DbpColumnarSlot *) slot;

	Assert(TTS_EMPTY(slot) && !TTS_EMPTY(self->inner));
	self->in_inner = true;
	slot->tts_nvalid = 0;
	slot->tts_flags &= ~TTS_FLAG_EMPTY;
	slot->tts_tid = self->inner->tts_tid;
	slot->tts_tableOid = self->inner->tts_tableOid;
}

void
dbp_slot_store_row(TupleTableSlot *slot, DbpBatch *batch, int row, Oid relid)
{
	DbpColumnarSlot *self = (DbpColumnarSlot *) slot;

	Assert(slot->tts_ops == &dbp_columnar_slot_ops);
	ExecClearTuple(slot);
	if (self->batch != batch)
	{
		dbp_batch_retain(batch);
		forget_batch(self);
		self->batch = batch;
	}
	self->row = row;
	self->in_batch = true;
	slot->tts_flags &= ~TTS_FLAG_EMPTY;
	dbp_tid_make(&slot->tts_tid, dbp_batch_tid(batch), row);
	slot->tts_tableOid = relid;
}

/* Has the columns up to that number at hand */
static void
decode_columns(DbpColumnarSlot *self, int ncolumns)
{
	TupleTableSlot *slot = &self->base;
	MemoryContext old;

	if (self->values == NULL)
	{
		int natts = Max(slot->tts_tupleDescriptor->natts, 1);

		self->values = MemoryContextAlloc(slot->tts_mcxt, natts * sizeof(Datum *));
		self->nulls = MemoryContextAlloc(slot->tts_mcxt, natts * sizeof(bool *));
	}
	/* A sort asks for columns in a memory context of a kind that nothing can be freed in */
	old = MemoryContextSwitchTo(slot->tts_mcxt);
	for (; self->ncolumns < ncolumns; self->ncolumns++)
		dbp_batch_column(self->batch, slot->tts_tupleDescriptor, self->ncolumns + 1,
						 &self->values[self->ncolumns], &self->nulls[self->ncolumns]);
	MemoryContextSwitchTo(old);
}

static void
get_attributes(TupleTableSlot *slot, int natts)
{
	DbpColumnarSlot *self = (DbpColumnarSlot *) slot;

	if (self->in_inner)
	{
		TupleTableSlot *inner = self->inner;

		slot_getsomeattrs(inner, natts);
		memcpy(slot->tts_values + slot->tts_nvalid, inner->tts_values + slot->tts_nvalid,
			   (natts - slot->tts_nvalid) * sizeof(Datum));
		memcpy(slot->tts_isnull + slot->tts_nvalid, inner->tts_isnull + slot->tts_nvalid,
			   (natts - slot->tts_nvalid) * sizeof(bool));
	}
	else if (self->in_batch)
	{
		if (self->ncolumns < natts)
			decode_columns(self, natts);
		for (int i = slot->tts_nvalid; i < natts; i++)
		{
			slot->tts_values[i] = self->values[i][self->row];
			slot->tts_isnull[i] = self->nulls[i] != NULL && self->nulls[i][self->row];
		}
	}
	else
		elog(ERROR, "getsomeattrs is not required to be called on a virtual tuple");
	slot->tts_nvalid = natts;
}

/* Rows of batches are there for everybody, like frozen ones */
static Datum
get_system_attribute(TupleTableSlot *slot, int attnum, bool *isnull)
{
	DbpColumnarSlot *self = (DbpColumnarSlot *) slot;

	*isnull = false;
	if (self->in_inner)
		return self->inner->tts_ops->getsysattr(self->inner, attnum, isnull);
	if (!self->in_batch)
		ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("cannot retrieve a system column in this context"));
	switch (attnum)
	{
		case MinTransactionIdAttributeNumber:
			return TransactionIdGetDatum(FrozenTransactionId);
		case MaxTransactionIdAttributeNumber:
			return TransactionIdGetDatum(InvalidTransactionId);
		case MinCommandIdAttributeNumber:
		case MaxCommandIdAttributeNumber:
			return CommandIdGetDatum(FirstCommandId);
	}
	elog(ERROR, "invalid system attribute number: %d", attnum);
	return (Datum) 0;
}

#ifdef DBP_HAS_SLOT_IS_CURRENT_XACT
static bool
is_current_xact_tuple(TupleTableSlot *slot)
{
	DbpColumnarSlot *self = (DbpColumnarSlot *) slot;

	if (self->in_inner)
		return self->inner->tts_ops->is_current_xact_tuple(self->inner);
	return false;
}
#endif

/* Moves what the slot has into its inner slot, as a heap tuple of its own */
static void
materialize(TupleTableSlot *slot)
{
	DbpColumnarSlot *self = (DbpColumnarSlot *) slot;
	bool in_batch = self->in_batch;
	ItemPointerData tid = slot->tts_tid;
	Oid relid = slot->tts_tableOid;
	TupleTableSlot *inner;

	Assert(!TTS_EMPTY(slot));
	if (!self->in_inner)
	{
		int natts = slot->tts_tupleDescriptor->natts;
		HeapTuple tuple;

		slot_getallattrs(slot);
		inner = dbp_slot_inner(slot);
		memcpy(inner->tts_values, slot->tts_values, natts * sizeof(Datum));
		memcpy(inner->tts_isnull, slot->tts_isnull, natts * sizeof(bool));
		ExecStoreVirtualTuple(inner);
		ExecMaterializeSlot(inner);
		inner->tts_tid = tid;
		inner->tts_tableOid = relid;
		dbp_slot_take_inner(slot);
		tuple = inner->tts_ops->get_heap_tuple(inner);
		tuple->t_self = tid;
		tuple->t_tableOid = relid;
		if (in_batch)
		{
			HeapTupleHeaderSetXmin(tuple->t_data, FrozenTransactionId);
			HeapTupleHeaderSetXmax(tuple->t_data, InvalidTransactionId);
			HeapTupleHeaderSetCmin(tuple->t_data, FirstCommandId);
			tuple->t_data->t_infomask |= HEAP_XMIN_FROZEN | HEAP_XMAX_INVALID;
			tuple->t_data->t_ctid = tid; /* not a composite datum */
		}
		return;
	}
	ExecMaterializeSlot(self->inner);
	slot->tts_nvalid = 0;
}

static HeapTuple
get_heap_tuple(TupleTableSlot *slot)
{
	DbpColumnarSlot *self = (DbpColumnarSlot *) slot;

	if (!self->in_inner)
		materialize(slot);
	return self->inner->tts_ops->get_heap_tuple(self->inner);
}

static HeapTuple
copy_heap_tuple(TupleTableSlot *slot)
{
	DbpColumnarSlot *self = (DbpColumnarSlot *) slot;
	HeapTuple tuple;

	if (self->in_inner)
		tuple = ExecCopySlotHeapTuple(self->inner);
	else
	{
		slot_getallattrs(slot);
		tuple = heap_form_tuple(slot->tts_tupleDescriptor, slot->tts_values, slot->tts_isnull);
	}
	tuple->t_self = slot->tts_tid;
	tuple->t_tableOid = slot->tts_tableOid;
	return tuple;
}

static MinimalTuple
copy_minimal_tuple(DBP_MINIMAL_TUPLE_ARGS)
{
	DbpColumnarSlot *self = (DbpColumnarSlot *) slot;

	if (self->in_inner)
		return dbp_copy_minimal_tuple(self->inner);
	slot_getallattrs(slot);
	return dbp_form_minimal_tuple(slot->tts_tupleDescriptor, slot->tts_values, slot->tts_isnull);
}

static void
copy_slot(TupleTableSlot *dst, TupleTableSlot *src)
{
	DbpColumnarSlot *from = (DbpColumnarSlot *) src;

	if (src->tts_ops == &dbp_columnar_slot_ops && from->in_batch)
	{
		dbp_slot_store_row(dst, from->batch, from->row, src->tts_tableOid);
		return;
	}
	if (src->tts_ops == &dbp_columnar_slot_ops && from->in_inner)
		src = from->inner;
	ExecCopySlot(dbp_slot_inner(dst), src);
	dbp_slot_take_inner(dst);
}

const TupleTableSlotOps dbp_columnar_slot_ops = {
	.base_slot_size = sizeof(DbpColumnarSlot),
	.init = slot_init,
	.release = slot_release,
	.clear = slot_clear,
	.getsomeattrs = get_attributes,
	.getsysattr = get_system_attribute,
#ifdef DBP_HAS_SLOT_IS_CURRENT_XACT
	.is_current_xact_tuple = is_current_xact_tuple,
#endif
	.materialize = materialize,
	.copyslot = copy_slot,
	.get_heap_tuple = get_heap_tuple,
	.get_minimal_tuple = NULL,
	.copy_heap_tuple = copy_heap_tuple,
	.copy_minimal_tuple = copy_minimal_tuple,
};
