/*-------------------------------------------------------------------------
 *
 * cache.c
 *		What this backend knows of batches.
 *
 * A batch is known by its place: file, block, offset.  Within one file a place
 * may only be taken by another batch in the transaction that made the file (after
 * ROLLBACK TO SAVEPOINT); therefore the batch tuple, which is always at hand, is
 * compared with what is known.
 *
 * Batches that nobody holds stay until others are used that take their place, or until the
 * end of the transaction: then all are gone, and with them those that an error
 * kept from being released.  Those of lists (batch_list.c) stay longer, but not what
 * was read of them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "columnar/batch.h"

/* Batches that nobody holds: no more than so many, of so many bytes, but the last one */
#define IDLE_BATCHES 8
#define IDLE_BYTES (64 * 1024 * 1024)

typedef struct KnownBatch
{
	DbpBatchKey key;
	DbpBatch *batch;
} KnownBatch;

static MemoryContext cache_context = NULL;
static HTAB *known_batches;

/* What the end of the transaction has to look at: all but batches of lists that were not touched */
static dlist_head live_batches = DLIST_STATIC_INIT(live_batches);

static dlist_head idle_batches = DLIST_STATIC_INIT(idle_batches); /* last used first */
static int nidle = 0;

void
dbp_batch_key(DbpBatchKey *key, Relation rel, const ItemPointerData *tid)
{
	memset(key, 0, sizeof(DbpBatchKey));
	key->file = dbp_relation_file(rel);
	key->backend = rel->rd_backend;
	if (tid != NULL)
	{
		key->block = ItemPointerGetBlockNumberNoCheck(tid);
		key->offset = ItemPointerGetOffsetNumberNoCheck(tid);
	}
}

static void
make_live(DbpBatch *batch)
{
	if (!batch->is_live)
		dlist_push_tail(&live_batches, &batch->live);
	batch->is_live = true;
}

static void
make_dead(DbpBatch *batch)
{
	if (batch->is_live)
		dlist_delete(&batch->live);
	batch->is_live = false;
}

/* Nobody holds it, but it has memory */
static void
make_idle(DbpBatch *batch)
{
	Assert(!batch->is_idle && batch->references == 0);
	dlist_push_head(&idle_batches, &batch->idle);
	batch->is_idle = true;
	nidle++;
}

static void
make_busy(DbpBatch *batch)
{
	if (!batch->is_idle)
		return;
	dlist_delete(&batch->idle);
	batch->is_idle = false;
	nidle--;
}

static void
drop_memory(DbpBatch *batch)
{
	if (batch->context != NULL)
		MemoryContextDelete(batch->context);
	batch->context = NULL;
	batch->read_directory = NULL;
	batch->entries = NULL;
	batch->columns = NULL;
	batch->ncolumns = 0;
	batch->bytes = 0;
}

static void
forget_place(DbpBatch *batch)
{
	if (batch->known)
		hash_search(known_batches, &batch->key, HASH_REMOVE, NULL);
	batch->known = false;
}

/* One of a list loses only what was read of it */
static void
drop_batch(DbpBatch *batch)
{
	make_busy(batch);
	drop_memory(batch);
	if (batch->list != NULL)
		return;
	forget_place(batch);
	make_dead(batch);
	MemoryContextDelete(batch->own);
}

static Size
idle_bytes(void)
{
	Size bytes = 0;
	dlist_iter iter;

	dlist_foreach(iter, &idle_batches)
		bytes += dlist_container(DbpBatch, idle, iter.cur)->bytes;
	return bytes;
}

/* The last one used stays, however large it is */
static void
limit_idle(void)
{
	while (nidle > IDLE_BATCHES || (nidle > 1 && idle_bytes() > IDLE_BYTES))
		drop_batch(dlist_container(DbpBatch, idle, dlist_tail_node(&idle_batches)));
}

/* At the end of a transaction nobody holds a batch any more, whoever forgot to release it */
static void
end_of_transaction(XactEvent event, void *arg)
{
	dlist_mutable_iter iter;

	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PARALLEL_PRE_COMMIT ||
		event == XACT_EVENT_PRE_PREPARE)
		return;
	dlist_foreach_modify(iter, &live_batches)
	{
		DbpBatch *batch = dlist_container(DbpBatch, live, iter.cur);

		batch->references = 0;
		make_dead(batch);
		drop_batch(batch);
	}
	dbp_batch_lists_end(event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT);
}

static void
end_of_subtransaction(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		dbp_batch_lists_doubt();
}

MemoryContext
dbp_batch_cache(void)
{
	HASHCTL ctl = {.keysize = sizeof(DbpBatchKey), .entrysize = sizeof(KnownBatch)};

	if (cache_context != NULL)
		return cache_context;
	ctl.hcxt = AllocSetContextCreate(TopMemoryContext, "dbperf columnar", ALLOCSET_DEFAULT_SIZES);
	known_batches =
		hash_create("dbperf columnar batches", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	RegisterXactCallback(end_of_transaction, NULL);
	RegisterSubXactCallback(end_of_subtransaction, NULL);
	cache_context = ctl.hcxt;
	return cache_context;
}

/* Takes the place of whatever batch is known there; that one stays with those who hold it */
static void
make_known(DbpBatch *batch)
{
	bool found;
	KnownBatch *known = hash_search(known_batches, &batch->key, HASH_ENTER, &found);
	DbpBatch *old = found ? known->batch : NULL;

	known->batch = batch;
	batch->known = true;
	if (old == NULL)
		return;
	old->known = false;
	if (old->list != NULL)
		old->list->known = false;
	else if (old->references == 0)
		drop_batch(old);
}

DbpBatch *
dbp_batch_create(Relation rel, const ItemPointerData *tid, const DbpBatchHead *head,
				 const uint8 *directory, struct DbpBatchList *list)
{
	MemoryContext own = NULL;
	DbpBatch *batch;

	if (list == NULL)
		own = AllocSetContextCreate(cache_context, "dbperf columnar batch", ALLOCSET_SMALL_SIZES);
	batch = MemoryContextAllocZero(list == NULL ? own : list->context, sizeof(DbpBatch));
	batch->own = own;
	batch->list = list;
	dbp_batch_key(&batch->key, rel, tid);
	batch->tid = *tid;
	batch->relid = RelationGetRelid(rel);
	batch->toast = rel->rd_rel->reltoastrelid;
	batch->head = *head;
	if (directory != NULL)
	{
		batch->directory =
			MemoryContextAlloc(list == NULL ? own : list->context, Max(head->directory_length, 1));
		memcpy(batch->directory, directory, head->directory_length);
	}
	make_known(batch);
	if (list == NULL)
		make_live(batch);
	return batch;
}

/* For a list that goes; nobody holds the batch */
void
dbp_batch_leave_list(DbpBatch *batch)
{
	make_busy(batch);
	drop_memory(batch);
	forget_place(batch);
	make_dead(batch);
}

DbpBatch *
dbp_batch_open(Relation rel, HeapTuple tuple)
{
	DbpBatchHead head;
	const uint8 *directory;
	DbpBatchKey key;
	KnownBatch *known;
	DbpBatch *batch;

	dbp_batch_cache();
	dbp_batch_parse_head(rel, tuple, &head, &directory);
	dbp_batch_key(&key, rel, &tuple->t_self);
	known = hash_search(known_batches, &key, HASH_FIND, NULL);
	if (known != NULL && memcmp(&known->batch->head, &head, sizeof(head)) == 0)
	{
		batch = known->batch;
		batch->relid = RelationGetRelid(rel);
		batch->toast = rel->rd_rel->reltoastrelid;
		return dbp_batch_retain(batch);
	}
	batch = dbp_batch_create(rel, &tuple->t_self, &head, directory, NULL);
	batch->references = 1;
	return batch;
}

HeapTuple
dbp_batch_copy_tuple(Relation rel, Buffer buffer, OffsetNumber offset)
{
	Page page = BufferGetPage(buffer);
	ItemId item = PageGetItemId(page, offset);
	HeapTupleData tuple;

	/* Checksums of pages may be off, so this may be anything */
	if (!ItemIdIsNormal(item) || ItemIdGetLength(item) < SizeofHeapTupleHeader ||
		ItemIdGetOffset(item) + ItemIdGetLength(item) > BLCKSZ)
		return NULL;
	tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
	tuple.t_len = ItemIdGetLength(item);
	tuple.t_tableOid = RelationGetRelid(rel);
	ItemPointerSet(&tuple.t_self, BufferGetBlockNumber(buffer), offset);
	return dbp_tuple_is_batch(&tuple) ? heap_copytuple(&tuple) : NULL;
}

HeapTuple
dbp_batch_tuple(Relation rel, const ItemPointerData *tid)
{
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(tid);
	OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(tid);
	HeapTuple copy = NULL;
	Buffer buffer;
	Page page;

	if (block >= RelationGetNumberOfBlocks(rel))
		return NULL;
	buffer = ReadBuffer(rel, block);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	if (offset >= FirstOffsetNumber && offset <= PageGetMaxOffsetNumber(page))
		copy = dbp_batch_copy_tuple(rel, buffer, offset);
	UnlockReleaseBuffer(buffer);
	return copy;
}

DbpBatch *
dbp_batch_fetch(Relation rel, const ItemPointerData *tid)
{
	HeapTuple tuple = dbp_batch_tuple(rel, tid);
	DbpBatch *batch;

	if (tuple == NULL)
		return NULL;
	batch = dbp_batch_open(rel, tuple);
	heap_freetuple(tuple);
	return batch;
}

DbpBatch *
dbp_batch_retain(DbpBatch *batch)
{
	make_busy(batch);
	make_live(batch);
	batch->references++;
	return batch;
}

void
dbp_batch_release(DbpBatch *batch)
{
	if (batch->references <= 0)
		elog(ERROR, "batch %u is not held by anybody", batch->head.id);
	if (--batch->references > 0)
		return;
	if (batch->list == NULL && !batch->known)
		drop_batch(batch);
	else if (batch->list == NULL || batch->context != NULL)
		make_idle(batch);
	limit_idle();
}

int
dbp_batch_nrows(const DbpBatch *batch)
{
	return batch->head.nrows;
}

Oid
dbp_batch_id(const DbpBatch *batch)
{
	return batch->head.id;
}

const ItemPointerData *
dbp_batch_tid(const DbpBatch *batch)
{
	return &batch->tid;
}

static MemoryContext
memory_of(DbpBatch *batch)
{
	if (batch->context == NULL)
	{
		batch->context =
			AllocSetContextCreate(cache_context, "dbperf columnar values", ALLOCSET_SMALL_SIZES);
		make_live(batch);
		if (batch->references == 0 && !batch->is_idle)
			make_idle(batch);
	}
	return batch->context;
}

void *
dbp_batch_keep(DbpBatch *batch, const void *data, size_t length)
{
	void *copy = MemoryContextAlloc(memory_of(batch), Max(length, 1));

	memcpy(copy, data, length);
	return copy;
}

/* The places for columns grow with the descriptor that is asked for */
static DbpBatchColumn *
place_of_column(DbpBatch *batch, AttrNumber attnum)
{
	if (attnum > batch->ncolumns)
	{
		int n = Max(attnum, Min(2 * attnum, MaxHeapAttributeNumber));
		DbpBatchColumn *columns =
			MemoryContextAllocZero(memory_of(batch), sizeof(DbpBatchColumn) * n);

		if (batch->ncolumns > 0)
		{
			memcpy(columns, batch->columns, sizeof(DbpBatchColumn) * batch->ncolumns);
			pfree(batch->columns);
		}
		batch->columns = columns;
		batch->ncolumns = n;
	}
	return &batch->columns[attnum - 1];
}

/* A context that becomes part of the batch's once it is filled */
static MemoryContext
begin_column(void)
{
	return AllocSetContextCreate(CurrentMemoryContext, "dbperf columnar column",
								 ALLOCSET_SMALL_SIZES);
}

static void
end_column(DbpBatch *batch, MemoryContext context)
{
	MemoryContextSetParent(context, memory_of(batch));
	batch->bytes += MemoryContextMemAllocated(context, true);
}

/*
 * A column that was added later than the rows, or dropped.  Its value may even
 * change: after ADD COLUMN was rolled back, and another was added.
 */
static void
fill_missing(DbpBatch *batch, TupleDesc tupdesc, AttrNumber attnum, DbpBatchColumn *column)
{
	Form_pg_attribute att = TupleDescAttr(tupdesc, attnum - 1);
	int nrows = batch->head.nrows;
	bool isnull = true;
	Datum missing = att->attisdropped ? (Datum) 0 : getmissingattr(tupdesc, attnum, &isnull);
	MemoryContext context;
	MemoryContext old;

	if (column->state == DBP_COLUMN_MISSING && column->missing_null == isnull &&
		(isnull || datumIsEqual(column->missing, missing, att->attbyval, att->attlen)))
		return;
	context = begin_column();
	old = MemoryContextSwitchTo(context);
	if (!isnull)
		missing = datumCopy(missing, att->attbyval, att->attlen);
	column->state = DBP_COLUMN_UNKNOWN;
	column->values = palloc0(sizeof(Datum) * nrows);
	column->nulls = isnull ? palloc(nrows) : NULL;
	if (isnull)
		memset(column->nulls, true, nrows);
	else
		for (int i = 0; i < nrows; i++)
			column->values[i] = missing;
	column->missing = missing;
	column->missing_null = isnull;
	MemoryContextSwitchTo(old);
	end_column(batch, context);
	column->state = DBP_COLUMN_MISSING;
}

static void
fill_decoded(DbpBatch *batch, const DbpEntry *entry, DbpBatchColumn *column)
{
	MemoryContext context = begin_column();

	column->state = DBP_COLUMN_UNKNOWN;
	dbp_column_decode(batch, entry, context, &column->values, &column->nulls);
	end_column(batch, context);
	column->state = DBP_COLUMN_DECODED;
}

static void
check_descriptor(const DbpBatch *batch, const DbpEntry *entry, Form_pg_attribute att)
{
	if (entry->attlen == att->attlen && entry->attbyval == att->attbyval &&
		entry->attalign == att->attalign)
		return;
	dbp_batch_damaged(
		batch->relid, batch->head.id, entry->attnum,
		psprintf("it was stored with length %d and alignment \"%c\", but has %d and \"%c\"",
				 entry->attlen, entry->attalign, att->attlen, att->attalign));
}

void
dbp_batch_column(DbpBatch *batch, TupleDesc tupdesc, AttrNumber attnum, Datum **values,
				 bool **nulls)
{
	Form_pg_attribute att = TupleDescAttr(tupdesc, attnum - 1);
	const DbpEntry *entry = NULL;
	DbpBatchColumn *column;

	/* Who goes through a list without holding its batches must not fill the memory either */
	if (batch->is_idle)
	{
		make_busy(batch);
		make_idle(batch);
		limit_idle();
	}
	if (!att->attisdropped)
	{
		dbp_batch_entries(batch);
		entry = dbp_batch_entry(batch, attnum, NULL);
	}
	column = place_of_column(batch, attnum);
	if (entry == NULL)
		fill_missing(batch, tupdesc, attnum, column);
	else
	{
		check_descriptor(batch, entry, att);
		if (column->state != DBP_COLUMN_DECODED)
			fill_decoded(batch, entry, column);
	}
	*values = column->values;
	*nulls = column->nulls;
}
