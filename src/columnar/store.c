/*-------------------------------------------------------------------------
 *
 * store.c
 *		Batches from and to their relation: batch tuples, streams, runs.
 *
 * A batch's stream is written before its batch tuple, so whoever sees the
 * latter finds the former.  Neither is found by half after a crash: both belong to
 * the same transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/hio.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "columnar/batch.h"

/* What a piece's tuple takes beside its data */
#define PIECE_OVERHEAD (MAXALIGN(SizeofHeapTupleHeader) + sizeof(Oid) + sizeof(int32) + VARHDRSZ)
#define PIECE_MAX (MaxHeapTupleSize - PIECE_OVERHEAD)

/* A page with less room than this is left as it is */
#define PIECE_MIN 512

struct DbpStoreWriter
{
	Relation rel;
	DbpToast toast;
	DbpToast other;
	bool has_other;
	CommandId cid;
	int options;
	BulkInsertState bistate;
	BulkInsertState toast_bistate;
	DbpEncoder *encoder;
	MemoryContext context; /* of one batch */

	/* Of the batch that is being written */
	uint32 written;
	uint32 *pieces; /* their offsets */
	int npieces;
	int max_pieces;

	BlockNumber last_block; /* that a batch tuple was written to */
	SubTransactionId last_subxact;
	Oid last_id;
	uint64 bytes;
};

DbpStoreWriter *
dbp_store_begin(Relation rel, Oid other_toast, CommandId cid, int options)
{
	DbpStoreWriter *writer = palloc0(sizeof(DbpStoreWriter));

	writer->rel = rel;
	writer->cid = cid;
	writer->options = options;
	writer->last_block = InvalidBlockNumber;
	dbp_toast_open(&writer->toast, rel->rd_rel->reltoastrelid, RowExclusiveLock);
	writer->has_other = OidIsValid(other_toast) && other_toast != rel->rd_rel->reltoastrelid;
	if (writer->has_other)
		dbp_toast_open(&writer->other, other_toast, AccessShareLock);
	writer->bistate = GetBulkInsertState();
	writer->toast_bistate = GetBulkInsertState();
	writer->encoder = dbp_encoder_create(CurrentMemoryContext);
	writer->context = AllocSetContextCreate(CurrentMemoryContext, "dbperf columnar writer",
											ALLOCSET_DEFAULT_SIZES);
	return writer;
}

/* How much the next piece may have so that it fills the page that is being filled */
static uint32
next_piece_length(DbpStoreWriter *writer)
{
	Buffer buffer = writer->toast_bistate->current_buf;
	Size room;

	if (!BufferIsValid(buffer))
		return PIECE_MAX;
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	room = PageGetHeapFreeSpace(BufferGetPage(buffer));
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	room = MAXALIGN_DOWN(room);
	if (room < PIECE_MIN + PIECE_OVERHEAD)
		return PIECE_MAX;
	return Min(room - PIECE_OVERHEAD, PIECE_MAX);
}

/* Writes what has been added to the stream since the last time */
static void
write_pieces(DbpStoreWriter *writer)
{
	const DbpBuffer *stream = dbp_encoder_stream(writer->encoder);

	if (stream->len >= DBP_SEQ_TOMBSTONE)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a batch of table \"%s\" would be too large",
						RelationGetRelationName(writer->rel))));
	while (writer->written < stream->len)
	{
		uint32 length = next_piece_length(writer);

		CHECK_FOR_INTERRUPTS();
		length = Min(length, stream->len - writer->written);
		if (writer->npieces == writer->max_pieces)
		{
			writer->max_pieces = Max(64, 2 * writer->max_pieces);
			writer->pieces = writer->pieces == NULL
				? palloc(sizeof(uint32) * writer->max_pieces)
				: repalloc(writer->pieces, sizeof(uint32) * writer->max_pieces);
		}
		writer->pieces[writer->npieces++] = writer->written;
		dbp_bulk_insert_page_by_page(writer->toast_bistate);
		dbp_toast_insert(&writer->toast, writer->last_id, writer->written,
						 stream->data + writer->written, length, writer->cid, writer->options,
						 writer->toast_bistate);
		writer->written += length;
		writer->bytes += length + PIECE_OVERHEAD + sizeof(ItemIdData);
	}
}

/* From the start of the piece that has that offset */
static uint32
back_to_piece(const DbpStoreWriter *writer, uint32 offset)
{
	int low = 0;
	int high = writer->npieces;

	while (high - low > 1)
	{
		int middle = (low + high) / 2;

		if (writer->pieces[middle] <= offset)
			low = middle;
		else
			high = middle;
	}
	return writer->npieces == 0 ? 0 : offset - writer->pieces[low];
}

static HeapTuple
form_batch_tuple(DbpBatchHead *head, const uint8 *directory)
{
	uint32 hoff = MAXALIGN(SizeofHeapTupleHeader);
	uint32 inline_length = directory == NULL ? 0 : head->directory_length;
	uint32 length = hoff + sizeof(DbpBatchHead) + inline_length;
	HeapTuple tuple = palloc0(HEAPTUPLESIZE + length);
	uint8 *body;

	tuple->t_len = length;
	ItemPointerSetInvalid(&tuple->t_self);
	tuple->t_data = (HeapTupleHeader) ((char *) tuple + HEAPTUPLESIZE);
	tuple->t_data->t_hoff = (uint8) hoff;
	HeapTupleHeaderSetNatts(tuple->t_data, 0);
	body = (uint8 *) tuple->t_data + hoff;
	memcpy(body, head, sizeof(DbpBatchHead));
	if (inline_length > 0)
		memcpy(body + sizeof(DbpBatchHead), directory, inline_length);
	head->crc = dbp_crc(body + offsetof(DbpBatchHead, version),
						sizeof(DbpBatchHead) + inline_length - offsetof(DbpBatchHead, version));
	memcpy(body + offsetof(DbpBatchHead, crc), &head->crc, sizeof(head->crc));
	return tuple;
}

static uint8 *
form_directory(DbpStoreWriter *writer, DbpEntry *entries, int nentries, uint32 *length)
{
	uint8 *directory = palloc((Size) DBP_ENTRY_MAX * (nentries + 1));
	AttrNumber previous = 0;

	*length = 0;
	for (int i = 0; i < nentries; i++)
	{
		if (DBP_ENTRY_LENGTH(&entries[i]) > 0)
			entries[i].back = back_to_piece(writer, entries[i].offset);
		*length += dbp_entry_write(&entries[i], previous, directory + *length);
		previous = entries[i].attnum;
	}
	return directory;
}

/* Puts it into the tuple, or behind the stream */
static HeapTuple
place_directory(DbpStoreWriter *writer, DbpBatchHead *head, const uint8 *directory)
{
	DbpBuffer *stream = dbp_encoder_stream(writer->encoder);

	if (MAXALIGN(SizeofHeapTupleHeader) + sizeof(DbpBatchHead) + head->directory_length <=
		DBP_BATCH_TUPLE_MAX)
	{
		head->directory_offset = DBP_DIRECTORY_INLINE;
		head->stream_length = writer->written;
		return form_batch_tuple(head, directory);
	}
	head->directory_offset = writer->written;
	if (!dbp_buffer_append(stream, directory, head->directory_length))
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	write_pieces(writer);
	head->directory_back = (uint16) back_to_piece(writer, head->directory_offset);
	head->stream_length = writer->written;
	return form_batch_tuple(head, NULL);
}

/* One marker serves all that have that key, from this transaction on */
static void
mark_run(DbpStoreWriter *writer, BlockNumber block)
{
	SnapshotData dirty;
	DbpToastScan scan;
	bool found;

	InitDirtySnapshot(dirty);
	dbp_toast_scan_begin(&scan, &writer->toast, DBP_TOAST_RUNS, block, (int64) block + 1, &dirty);
	found = dbp_toast_scan_next(&scan);
	dbp_toast_scan_end(&scan);
	if (!found)
		dbp_toast_insert(&writer->toast, DBP_TOAST_RUNS, block, "", 0, writer->cid, writer->options,
						 writer->toast_bistate);
}

static void
insert_batch_tuple(DbpStoreWriter *writer, HeapTuple tuple)
{
	BlockNumber block;

	dbp_bulk_insert_page_by_page(writer->bistate);
	heap_insert(writer->rel, tuple, writer->cid, writer->options | HEAP_INSERT_NO_LOGICAL,
				writer->bistate);
	block = ItemPointerGetBlockNumber(&tuple->t_self);
	if (block > DBP_BATCH_MAX_BLOCK ||
		ItemPointerGetOffsetNumber(&tuple->t_self) > DBP_BATCH_MAX_OFFSET)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("table \"%s\" has too many pages for further batches",
						RelationGetRelationName(writer->rel))));
	/* A run never goes on from batches that may be rolled back without these */
	if (writer->last_block == InvalidBlockNumber ||
		writer->last_subxact != GetCurrentSubTransactionId() ||
		(block != writer->last_block && block != writer->last_block + 1))
		mark_run(writer, block);
	writer->last_block = block;
	writer->last_subxact = GetCurrentSubTransactionId();
	writer->bytes += MAXALIGN(tuple->t_len) + sizeof(ItemIdData);
}

void
dbp_store_batch(DbpStoreWriter *writer, const DbpRows *rows, ItemPointer tid)
{
	MemoryContext old = MemoryContextSwitchTo(writer->context);
	DbpEntry *entries = palloc0(sizeof(DbpEntry) * (rows->tupdesc->natts + 1));
	DbpBatchHead head = {.magic = DBP_BATCH_MAGIC, .version = DBP_BATCH_VERSION};
	uint8 *directory;
	HeapTuple tuple;

	if (rows->nrows <= 0 || rows->nrows > DBP_BATCH_ROWS)
		elog(ERROR, "a batch cannot have %d rows", rows->nrows);
	head.nrows = (uint16) rows->nrows;
	dbp_encoder_reset(writer->encoder);
	for (int i = 0; i < rows->tupdesc->natts; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!TupleDescAttr(rows->tupdesc, i)->attisdropped)
			dbp_encoder_column(writer->encoder, rows, i + 1, &entries[head.ncolumns++]);
	}

	head.id = dbp_toast_new_id(&writer->toast, writer->has_other ? &writer->other : NULL);
	writer->last_id = head.id;
	writer->written = 0;
	writer->npieces = writer->max_pieces = 0;
	writer->pieces = NULL;
	write_pieces(writer);
	directory = form_directory(writer, entries, head.ncolumns, &head.directory_length);
	head.directory_crc = dbp_crc(directory, head.directory_length);
	tuple = place_directory(writer, &head, directory);
	insert_batch_tuple(writer, tuple);
	*tid = tuple->t_self;
	dbp_batch_list_forget(writer->rel);
	MemoryContextSwitchTo(old);
	MemoryContextReset(writer->context);
}

Oid
dbp_store_last_id(const DbpStoreWriter *writer)
{
	return writer->last_id;
}

uint64
dbp_store_bytes(const DbpStoreWriter *writer)
{
	return writer->bytes;
}

void
dbp_store_end(DbpStoreWriter *writer)
{
	FreeBulkInsertState(writer->bistate);
	FreeBulkInsertState(writer->toast_bistate);
	dbp_encoder_free(writer->encoder);
	dbp_toast_close(&writer->toast);
	if (writer->has_other)
		dbp_toast_close(&writer->other);
	MemoryContextDelete(writer->context);
	pfree(writer);
}

void
dbp_stream_read(const DbpBatch *batch, AttrNumber attnum, uint32 seq, uint32 offset, uint32 length,
				uint8 *out)
{
	uint32 end = offset + length;
	uint32 at = seq;
	DbpToast toast;
	DbpToastScan scan;

	if (length == 0)
		return;
	dbp_toast_open(&toast, batch->toast, AccessShareLock);
	dbp_toast_scan_begin(&scan, &toast, batch->head.id, (int32) seq, end, SnapshotAny);
	while (at < end && dbp_toast_scan_next(&scan))
	{
		uint32 from = Max(at, offset);
		uint32 to = Min(at + scan.length, end);

		CHECK_FOR_INTERRUPTS();
		if ((uint32) scan.seq != at || scan.length == 0)
			break;
		if (to > from)
			memcpy(out + (from - offset), scan.data + (from - at), to - from);
		at += scan.length;
	}
	dbp_toast_scan_end(&scan);
	dbp_toast_close(&toast);
	if (at < end)
		dbp_batch_damaged(batch->relid, batch->head.id, attnum,
						  psprintf("the piece at offset %u is missing", at));
}
