/*-------------------------------------------------------------------------
 *
 * toast.c
 *		Tuples of TOAST tables, written and read by the key (id, seq).
 *
 * The tuples look as the toaster's own do, so that all that handles TOAST tables
 * handles ours.  Nothing of them is ever decoded logically: the decoder would
 * take them for parts of the next row's values.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/toast_internals.h"
#include "catalog/catalog.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "columnar/batch.h"

/* Columns of a TOAST table */
#define TOAST_ID 1
#define TOAST_SEQ 2
#define TOAST_DATA 3

/* Where the third one begins in a tuple without nulls */
#define DATA_OFFSET (MAXALIGN(SizeofHeapTupleHeader) + sizeof(Oid) + sizeof(int32))

void
dbp_toast_open(DbpToast *toast, Oid relid, LOCKMODE lock)
{
	int valid;

	if (!OidIsValid(relid))
		elog(ERROR, "a columnar table has no TOAST table");
	toast->lock = lock;
	toast->rel = table_open(relid, lock);
	if (toast->rel->rd_rel->relkind != RELKIND_TOASTVALUE ||
		toast->rel->rd_rel->relam != HEAP_TABLE_AM_OID)
		elog(ERROR, "\"%s\" is not a TOAST table", RelationGetRelationName(toast->rel));
	valid = toast_open_indexes(toast->rel, lock, &toast->indexes, &toast->nindexes);
	toast->index = toast->indexes[valid];
}

/* As with the toaster, locks for writing are kept until the end of the transaction */
void
dbp_toast_close(DbpToast *toast)
{
	LOCKMODE lock = toast->lock == AccessShareLock ? AccessShareLock : NoLock;

	toast_close_indexes(toast->indexes, toast->nindexes, lock);
	table_close(toast->rel, lock);
}

void
dbp_toast_insert(DbpToast *toast, Oid id, int32 seq, const void *data, uint32 length, CommandId cid,
				 int options, BulkInsertState bistate)
{
	union
	{
		struct varlena header;
		char bytes[VARHDRSZ + BLCKSZ];
		int32 align;
	} chunk;
	Datum values[3];
	bool isnull[3] = {false, false, false};
	HeapTuple tuple;

	Assert(length <= BLCKSZ);
	SET_VARSIZE(&chunk, length + VARHDRSZ);
	memcpy(VARDATA(&chunk), data, length);
	values[TOAST_ID - 1] = ObjectIdGetDatum(id);
	values[TOAST_SEQ - 1] = Int32GetDatum(seq);
	values[TOAST_DATA - 1] = PointerGetDatum(&chunk);
	tuple = heap_form_tuple(RelationGetDescr(toast->rel), values, isnull);
	heap_insert(toast->rel, tuple, cid, options | HEAP_INSERT_NO_LOGICAL, bistate);
	for (int i = 0; i < toast->nindexes; i++)
	{
		Relation index = toast->indexes[i];

		if (index->rd_index->indisready)
			index_insert(index, values, isnull, &tuple->t_self, toast->rel,
						 index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false,
						 NULL);
	}
	heap_freetuple(tuple);
}

static bool
has_id(DbpToast *toast, Oid id)
{
	DbpToastScan scan;
	bool found;

	dbp_toast_scan_begin(&scan, toast, id, PG_INT32_MIN, (int64) PG_INT32_MAX + 1, SnapshotAny);
	found = dbp_toast_scan_next(&scan);
	dbp_toast_scan_end(&scan);
	return found;
}

Oid
dbp_toast_new_id(DbpToast *toast, DbpToast *other)
{
	Oid id;

	do
		id = GetNewOidWithIndex(toast->rel, RelationGetRelid(toast->index), TOAST_ID);
	while (other != NULL && has_id(other, id));
	return id;
}

void
dbp_toast_scan_begin(DbpToastScan *scan, DbpToast *toast, Oid id, int32 from, int64 to,
					 Snapshot snapshot)
{
	ScanKeyData keys[3];

	ScanKeyInit(&keys[0], TOAST_ID, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(id));
	ScanKeyInit(&keys[1], TOAST_SEQ, BTGreaterEqualStrategyNumber, F_INT4GE, Int32GetDatum(from));
	ScanKeyInit(&keys[2], TOAST_SEQ, BTLessEqualStrategyNumber, F_INT4LE,
				Int32GetDatum((int32) (to - 1)));
	scan->slot = MakeSingleTupleTableSlot(RelationGetDescr(toast->rel), &TTSOpsBufferHeapTuple);
	scan->scan = dbp_index_beginscan(toast->rel, toast->index, snapshot, lengthof(keys));
	index_rescan(scan->scan, keys, lengthof(keys), NULL, 0);
	scan->id = id;
	scan->tuple = NULL;
	scan->data = NULL;
}

/*
 * The header may be anything: with checksums of pages off, nobody has looked at it yet.
 */
bool
dbp_toast_parse(const HeapTupleData *tuple, Oid *id, int32 *seq, const uint8 **data, uint32 *length)
{
	const char *bytes = (const char *) tuple->t_data;
	const char *chunk = bytes + DATA_OFFSET;
	uint32 room;

	if (tuple->t_len < DATA_OFFSET + VARHDRSZ ||
		tuple->t_data->t_hoff != MAXALIGN(SizeofHeapTupleHeader) ||
		HeapTupleHeaderGetNatts(tuple->t_data) != 3 || HeapTupleHasNulls(tuple))
		return false;
	room = tuple->t_len - DATA_OFFSET;
	if (VARATT_IS_SHORT(chunk))
	{
		if (VARATT_IS_EXTERNAL(chunk) || VARSIZE_SHORT(chunk) > room)
			return false;
	}
	else if (VARATT_IS_COMPRESSED(chunk) || VARSIZE(chunk) < VARHDRSZ || VARSIZE(chunk) > room)
		return false;
	memcpy(id, bytes + DATA_OFFSET - sizeof(int32) - sizeof(Oid), sizeof(Oid));
	memcpy(seq, bytes + DATA_OFFSET - sizeof(int32), sizeof(int32));
	*data = (const uint8 *) VARDATA_ANY(chunk);
	*length = VARSIZE_ANY_EXHDR(chunk);
	return true;
}

/* Nor has anybody looked at where the tuple is said to be, and what the index says need not be so */
static bool
take_apart(DbpToastScan *scan)
{
	BufferHeapTupleTableSlot *slot = (BufferHeapTupleTableSlot *) scan->slot;
	HeapTuple tuple = slot->base.tuple;
	const char *page = BufferGetPage(slot->buffer);
	Oid id;

	scan->tuple = tuple;
	return (const char *) tuple->t_data + tuple->t_len <= page + BLCKSZ &&
		dbp_toast_parse(tuple, &id, &scan->seq, &scan->data, &scan->length) && id == scan->id;
}

bool
dbp_toast_scan_next(DbpToastScan *scan)
{
	if (!index_getnext_slot(scan->scan, ForwardScanDirection, scan->slot))
		return false;
	if (!take_apart(scan))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("tuple (%u,%u) of TOAST table \"%s\" is damaged",
						ItemPointerGetBlockNumberNoCheck(&scan->slot->tts_tid),
						ItemPointerGetOffsetNumberNoCheck(&scan->slot->tts_tid),
						RelationGetRelationName(scan->scan->heapRelation))));
	return true;
}

void
dbp_toast_scan_end(DbpToastScan *scan)
{
	index_endscan(scan->scan);
	ExecDropSingleTupleTableSlot(scan->slot);
}
