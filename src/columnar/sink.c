/*-------------------------------------------------------------------------
 *
 * sink.c
 *		What a transfer writes to the new table for everybody to see: batches, or
 *		row tuples of a heap.
 *
 * Where each row went is kept in a temporary file, unless nobody can delete
 * any meanwhile.  It is read only if somebody has.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/generic_xlog.h"
#include "access/heapam.h"
#include "access/visibilitymap.h"
#include "access/xloginsert.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/buffile.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"

#include "columnar/progress.h"
#include "columnar/transfer_parts.h"
#include "columnar/writer.h"
#include "partition/partition.h"

/* Row tuples are inserted so many at a time, or of so many bytes */
#define SLOTS 1000
#define SLOT_BYTES (256 * 1024)

/* A filter for tags: most are told from those looked for at first sight */
#define FILTER_BITS 16

/* Where a batch of the map went, and before its tags */
typedef struct MapBatch
{
	Oid id;
	int32 nrows;
} MapBatch;

/* Where a row went */
typedef struct MapRow
{
	uint64 tag;
	uint64 tid;
} MapRow;

struct DbpSink
{
	DbpTransfer *transfer;
	DbpWriter *writer; /* NULL: a heap */
	BufFile *map;	   /* NULL: none is needed */
	int64 mapped;	   /* batches or rows in it */

	/* of a heap */
	BulkInsertState bistate;
	MemoryContext context; /* of the tuples */
	TupleTableSlot **slots;
	MapRow *rows;
	int nslots;
	Size bytes;
	int64 inserted;
	uint64 inserted_bytes;
};

#define HEAP_OPTIONS (HEAP_INSERT_FROZEN | HEAP_INSERT_SKIP_FSM)

static void
map_batch(Oid id, const ItemPointerData *tid, int nrows, const uint64 *tags, void *arg)
{
	DbpSink *sink = arg;
	MapBatch header = {.id = id, .nrows = nrows};

	BufFileWrite(sink->map, &header, sizeof(header));
	BufFileWrite(sink->map, (void *) tags, sizeof(uint64) * nrows);
	sink->mapped++;
}

static void
begin_batches(DbpSink *sink)
{
	DbpTransfer *transfer = sink->transfer;
	DbpWriterOptions options = {0};

	options.sort_by = transfer->options.sort_by;
	/* where they are swapped by content, values that are carried along keep their ids */
	options.other_toast = transfer->old->rd_rel->reltoastrelid;
	options.cid = transfer->cid;
	options.options = HEAP_OPTIONS;
	options.pause_ms = transfer->options.pause_ms;
	if (sink->map != NULL)
	{
		options.call = map_batch;
		options.arg = sink;
	}
	sink->writer = dbp_writer_begin(transfer->new, &options);
}

static void
begin_heap(DbpSink *sink)
{
	sink->bistate = GetBulkInsertState();
	sink->context = AllocSetContextCreate(CurrentMemoryContext, "dbperf decompressed rows",
										  ALLOCSET_DEFAULT_SIZES);
	sink->slots = palloc0(sizeof(TupleTableSlot *) * SLOTS);
	sink->rows = palloc(sizeof(MapRow) * SLOTS);
}

DbpSink *
dbp_sink_begin(DbpTransfer *transfer)
{
	DbpSink *sink = palloc0(sizeof(DbpSink));

	sink->transfer = transfer;
	if (!transfer->options.exclusive)
		sink->map = BufFileCreateTemp(false);
	if (dbp_is_columnar(transfer->new))
		begin_batches(sink);
	else
		begin_heap(sink);
	return sink;
}

bool
dbp_sink_has_batches(const DbpSink *sink)
{
	return sink->writer != NULL;
}

static void
insert_slots(DbpSink *sink)
{
	MemoryContext old;

	if (sink->nslots == 0)
		return;
	CHECK_FOR_INTERRUPTS();
	old = MemoryContextSwitchTo(sink->context);
	heap_multi_insert(sink->transfer->new, sink->slots, sink->nslots, sink->transfer->cid,
					  HEAP_OPTIONS, sink->bistate);
	MemoryContextSwitchTo(old);
	for (int i = 0; i < sink->nslots; i++)
	{
		sink->rows[i].tid = dbp_tag(&sink->slots[i]->tts_tid);
		ExecClearTuple(sink->slots[i]);
	}
	if (sink->map != NULL)
	{
		BufFileWrite(sink->map, sink->rows, sizeof(MapRow) * sink->nslots);
		sink->mapped += sink->nslots;
	}
	sink->inserted += sink->nslots;
	sink->inserted_bytes += sink->bytes;
	dbp_progress_written(sink->nslots, 0, sink->inserted_bytes);
	if (sink->transfer->options.pause_ms > 0 &&
		sink->inserted / DBP_BATCH_ROWS != (sink->inserted - sink->nslots) / DBP_BATCH_ROWS)
		dbp_pause_ms(sink->transfer->options.pause_ms);
	sink->nslots = 0;
	sink->bytes = 0;
	MemoryContextReset(sink->context);
}

static void
put_in_heap(DbpSink *sink, uint64 tag)
{
	DbpTransfer *transfer = sink->transfer;
	TupleDesc desc = RelationGetDescr(transfer->new);
	TupleTableSlot **slot = &sink->slots[sink->nslots];
	MemoryContext old;
	HeapTuple tuple;

	if (*slot == NULL)
	{
		old = MemoryContextSwitchTo(transfer->context);
		*slot = MakeSingleTupleTableSlot(desc, &TTSOpsHeapTuple);
		MemoryContextSwitchTo(old);
	}
	for (int i = 0; i < desc->natts; i++)
		if (TupleDescAttr(desc, i)->attisdropped)
			transfer->nulls[i] = true;
	old = MemoryContextSwitchTo(sink->context);
	tuple = heap_form_tuple(desc, transfer->values, transfer->nulls);
	MemoryContextSwitchTo(old);
	ExecStoreHeapTuple(tuple, *slot, false);
	sink->rows[sink->nslots].tag = tag;
	sink->bytes += tuple->t_len;
	sink->nslots++;
	if (sink->nslots == SLOTS || sink->bytes > SLOT_BYTES)
		insert_slots(sink);
}

bool
dbp_sink_put(DbpSink *sink, uint64 tag)
{
	if (sink->writer != NULL)
		return dbp_writer_put(sink->writer, sink->transfer->values, sink->transfer->nulls, tag);
	put_in_heap(sink, tag);
	return true;
}

/*
 * After the last row.
 */
void
dbp_sink_finish(DbpSink *sink)
{
	if (sink->writer != NULL)
	{
		dbp_writer_finish(sink->writer);
		sink->transfer->counts.rows = dbp_writer_rows(sink->writer);
		sink->transfer->counts.batches = dbp_writer_batches(sink->writer);
		return;
	}
	insert_slots(sink);
	sink->transfer->counts.rows = sink->inserted;
}

/* Is there nothing on the page but what everybody sees for ever? */
static bool
is_frozen(Page page)
{
	for (OffsetNumber offset = FirstOffsetNumber; offset <= PageGetMaxOffsetNumber(page); offset++)
	{
		ItemId item = PageGetItemId(page, offset);
		HeapTupleHeader header;

		if (!ItemIdIsNormal(item))
			return false;
		header = (HeapTupleHeader) PageGetItem(page, item);
		if (!HeapTupleHeaderXminFrozen(header) || !(header->t_infomask & HEAP_XMAX_INVALID))
			return false;
	}
	return !PageIsNew(page) && !PageIsEmpty(page);
}

static void
settle_page(Relation rel, BlockNumber block, TransactionId newest_xmin, Buffer *vmbuffer)
{
	Buffer buffer = ReadBuffer(rel, block);
	Page page = BufferGetPage(buffer);

	visibilitymap_pin(rel, block, vmbuffer);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (is_frozen(page))
	{
		/* what is set already is not logged again */
		visibilitymap_clear(rel, block, *vmbuffer, VISIBILITYMAP_VALID_BITS);
		PageSetAllVisible(page);
		MarkBufferDirty(buffer);
		visibilitymap_set(rel, block, buffer, InvalidXLogRecPtr, *vmbuffer, newest_xmin,
						  VISIBILITYMAP_ALL_VISIBLE | VISIBILITYMAP_ALL_FROZEN);
	}
	UnlockReleaseBuffer(buffer);
}

/*
 * Rows that were not frozen yet are now: on a standby, whoever has a snapshot that does
 * not see them must not find them.  The record of the map tells it so.
 */
void
dbp_sink_settle(DbpSink *sink)
{
	Relation rel = sink->transfer->new;
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
	Buffer vmbuffer = InvalidBuffer;

	/* pages of a heap are settled as they are written */
	if (sink->writer == NULL)
		nblocks = Min(nblocks, 1);
	for (BlockNumber block = 0; block < nblocks; block++)
	{
		CHECK_FOR_INTERRUPTS();
		settle_page(rel, block, sink->transfer->newest_xmin, &vmbuffer);
	}
	if (BufferIsValid(vmbuffer))
		ReleaseBuffer(vmbuffer);
}

/* What is done to a tuple of the new table */
typedef void (*Change)(HeapTupleHeader header, void *arg);

/* When it is replayed, the change of a tuple itself will say nothing about the map */
static void
log_map(Relation rel, Buffer vmbuffer)
{
	if (!RelationNeedsWAL(rel))
		return;
	LockBuffer(vmbuffer, BUFFER_LOCK_EXCLUSIVE);
	START_CRIT_SECTION();
	MarkBufferDirty(vmbuffer);
	log_newpage_buffer(vmbuffer, false);
	END_CRIT_SECTION();
	LockBuffer(vmbuffer, BUFFER_LOCK_UNLOCK);
}

/*
 * Change the header of a tuple that this transaction has written to the new
 * table, where nobody else can see it.
 */
static void
change_tuple(Relation rel, const ItemPointerData *tid, Change change, void *arg)
{
	BlockNumber block = ItemPointerGetBlockNumber(tid);
	Buffer buffer = ReadBuffer(rel, block);
	Buffer vmbuffer = InvalidBuffer;
	GenericXLogState *state;
	Page page;

	visibilitymap_pin(rel, block, &vmbuffer);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (PageIsAllVisible(BufferGetPage(buffer)))
	{
		visibilitymap_clear(rel, block, vmbuffer, VISIBILITYMAP_VALID_BITS);
		log_map(rel, vmbuffer);
	}
	state = GenericXLogStart(rel);
	page = GenericXLogRegisterBuffer(state, buffer, 0);
	PageClearAllVisible(page);
	change((HeapTupleHeader) PageGetItem(page,
										 PageGetItemId(page, ItemPointerGetOffsetNumber(tid))),
		   arg);
	GenericXLogFinish(state);
	UnlockReleaseBuffer(buffer);
	ReleaseBuffer(vmbuffer);
}

typedef struct Made
{
	TransactionId xmin;
	CommandId cmin;
} Made;

static void
change_xmin(HeapTupleHeader header, void *arg)
{
	Made *made = arg;

	dbp_transfer_set_xids(header, made->xmin, made->cmin, InvalidTransactionId, FirstCommandId);
}

void
dbp_sink_put_batch(DbpSink *sink, const DbpRows *rows, const uint64 *tags, TransactionId xmin,
				   CommandId cmin)
{
	ItemPointerData tid;
	Made made = {.xmin = xmin, .cmin = cmin};

	dbp_writer_store(sink->writer, rows, tags, &tid);
	change_tuple(sink->transfer->new, &tid, change_xmin, &made);
	sink->transfer->counts.rows = dbp_writer_rows(sink->writer);
	sink->transfer->counts.batches = dbp_writer_batches(sink->writer);
}

/* Rows that are looked for */
typedef struct Search
{
	const DbpGone *gone;
	int64 n;
	int64 found;
	uint8 filter[(1 << FILTER_BITS) / 8];
} Search;

static uint32
filter_bit(uint64 tag)
{
	return (uint32) ((tag * UINT64CONST(0x9e3779b97f4a7c15)) >> (64 - FILTER_BITS));
}

static void
begin_search(Search *search, const DbpGone *gone, int64 n)
{
	memset(search, 0, sizeof(Search));
	search->gone = gone;
	search->n = n;
	for (int64 i = 0; i < n; i++)
	{
		uint32 bit = filter_bit(gone[i].tag);

		search->filter[bit / 8] |= 1 << (bit % 8);
	}
}

static const DbpGone *
find_gone(Search *search, uint64 tag)
{
	uint32 bit = filter_bit(tag);
	int64 low = 0;
	int64 high = search->n;

	if (((search->filter[bit / 8] >> (bit % 8)) & 1) == 0)
		return NULL;
	while (low < high)
	{
		int64 middle = low + (high - low) / 2;

		if (search->gone[middle].tag == tag)
		{
			search->found++;
			return &search->gone[middle];
		}
		if (search->gone[middle].tag < tag)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static void
read_map(DbpSink *sink, void *data, Size size)
{
	if (BufFileRead(sink->map, data, size) != size)
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not read from temporary file: %m")));
}

static void
take_back_batches(DbpSink *sink, Search *search)
{
	uint64 *tags = palloc(sizeof(uint64) * DBP_BATCH_ROWS);
	DbpTombstone tombstone = {.kind = DBP_TOMBSTONE_DELETED};

	ItemPointerSetInvalid(&tombstone.successor);
	for (int64 i = 0; i < sink->mapped && search->found < search->n; i++)
	{
		MapBatch header;

		CHECK_FOR_INTERRUPTS();
		read_map(sink, &header, sizeof(header));
		read_map(sink, tags, sizeof(uint64) * header.nrows);
		for (int row = 0; row < header.nrows; row++)
			if (find_gone(search, tags[row]) != NULL)
				dbp_tombstone_add(sink->transfer->new, header.id, row, &tombstone,
								  sink->transfer->cid, HEAP_OPTIONS);
	}
}

static void
change_xmax(HeapTupleHeader header, void *arg)
{
	const DbpGone *gone = arg;

	dbp_transfer_set_xids(header, InvalidTransactionId, FirstCommandId, gone->xmax, FirstCommandId);
	if (!gone->keys_updated)
		header->t_infomask2 &= ~HEAP_KEYS_UPDATED;
}

static void
take_back_rows(DbpSink *sink, Search *search)
{
	for (int64 done = 0; done < sink->mapped && search->found < search->n;)
	{
		int count = Min(SLOTS, sink->mapped - done);

		CHECK_FOR_INTERRUPTS();
		read_map(sink, sink->rows, sizeof(MapRow) * count);
		for (int i = 0; i < count; i++)
		{
			const DbpGone *gone = find_gone(search, sink->rows[i].tag);
			ItemPointerData tid;

			if (gone == NULL)
				continue;
			dbp_tag_tid(sink->rows[i].tid, &tid);
			change_tuple(sink->transfer->new, &tid, change_xmax, (void *) gone);
		}
		done += count;
	}
}

void
dbp_sink_take_back(DbpSink *sink, const DbpGone *gone, int64 ngone)
{
	Search *search = palloc(sizeof(Search));

	if (sink->map == NULL)
		elog(ERROR, "rows of a locked table have changed");
	begin_search(search, gone, ngone);
	if (BufFileSeek(sink->map, 0, 0, SEEK_SET) != 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not seek in temporary file: %m")));
	if (sink->writer != NULL)
		take_back_batches(sink, search);
	else
		take_back_rows(sink, search);
	if (search->found != search->n)
		elog(ERROR, "lost " INT64_FORMAT " rows that were deleted", search->n - search->found);
	pfree(search);
}

void
dbp_sink_end(DbpSink *sink)
{
	if (sink->writer != NULL)
		dbp_writer_end(sink->writer);
	else
	{
		for (int i = 0; i < SLOTS; i++)
			if (sink->slots[i] != NULL)
				ExecDropSingleTupleTableSlot(sink->slots[i]);
		FreeBulkInsertState(sink->bistate);
	}
	if (sink->map != NULL)
		BufFileClose(sink->map);
}
