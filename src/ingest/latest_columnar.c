/*-------------------------------------------------------------------------
 *
 * latest_columnar.c
 *		Reading a compressed partition for the last row of each key.
 *
 * Its indexes lack the rows of batches.  But batches have zone maps: those
 * that end last are read first, and those that have none of the keys, or
 * nothing later than what was found already, are not decoded.  Rows outside
 * batches are looked at as they come; there are few of them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/lsyscache.h"

#include "columnar/columnar.h"
#include "ingest/latest_columnar.h"

/* What its zone maps say of a batch */
typedef struct ZonedBatch
{
	DbpBatch *batch;
	bool by_known;
	bool time_known;
	Datum least_by;
	Datum greatest_by;
	Datum latest;
	int64 order; /* of the latest time */
} ZonedBatch;

/* A value as zone maps of integers have it; false: they cannot tell of this type */
static bool
from_zone(Oid type, int64 value, Datum *datum)
{
	switch (getBaseType(type))
	{
		case INT2OID:
			*datum = Int16GetDatum((int16) value);
			return true;
		case INT4OID:
		case DATEOID:
			*datum = Int32GetDatum((int32) value);
			return true;
		case INT8OID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			*datum = Int64GetDatum(value);
			return true;
		default:
			return false;
	}
}

static ZonedBatch *
look_at_zones(Relation rel, DbpBatch *batch, const DbpColumnarVisitor *visitor)
{
	TupleDesc desc = RelationGetDescr(rel);
	Oid by_type = TupleDescAttr(desc, visitor->by - 1)->atttypid;
	Oid time_type = TupleDescAttr(desc, visitor->time - 1)->atttypid;
	ZonedBatch *zoned = palloc0(sizeof(ZonedBatch));
	DbpZone zone;
	int nulls;

	zoned->batch = batch;
	zoned->order = PG_INT64_MAX;
	dbp_batch_zone(batch, desc, visitor->by, &zone, &nulls);
	zoned->by_known = zone.kind == DBP_ZONE_INT &&
		from_zone(by_type, zone.u.i.min, &zoned->least_by) &&
		from_zone(by_type, zone.u.i.max, &zoned->greatest_by);
	dbp_batch_zone(batch, desc, visitor->time, &zone, &nulls);
	zoned->time_known =
		zone.kind == DBP_ZONE_INT && from_zone(time_type, zone.u.i.max, &zoned->latest);
	if (zoned->time_known)
		zoned->order = zone.u.i.max;
	return zoned;
}

static int
latest_first(const ListCell *a, const ListCell *b)
{
	const ZonedBatch *x = lfirst(a);
	const ZonedBatch *y = lfirst(b);

	return (x->order < y->order) - (x->order > y->order);
}

/* From the end: batches are sorted, and so are mostly the rows of a key in one */
static void
read_batch(Relation rel, Snapshot snapshot, DbpBatch *batch, TupleTableSlot *slot,
		   const DbpColumnarVisitor *visitor)
{
	TupleDesc desc = RelationGetDescr(rel);
	int nrows = dbp_batch_nrows(batch);
	uint8 *gone = dbp_tombstone_bitmap(rel, dbp_batch_id(batch), nrows, snapshot, NULL);
	Datum *by;
	bool *by_nulls;
	Datum *time;
	bool *time_nulls;

	dbp_batch_column(batch, desc, visitor->by, &by, &by_nulls);
	dbp_batch_column(batch, desc, visitor->time, &time, &time_nulls);
	for (int row = nrows - 1; row >= 0; row--)
	{
		if ((by_nulls != NULL && by_nulls[row]) || (time_nulls != NULL && time_nulls[row]) ||
			(gone != NULL && (gone[row / 8] & (1 << (row % 8))) != 0) ||
			!visitor->wants(visitor->arg, by[row], time[row]))
			continue;
		dbp_slot_store_row(slot, batch, row, RelationGetRelid(rel));
		visitor->take(visitor->arg);
	}
	ExecClearTuple(slot);
	if (gone != NULL)
		pfree(gone);
}

/* A row that is none of a batch, in the slot */
static void
visit_row(TupleTableSlot *slot, const DbpColumnarVisitor *visitor)
{
	bool by_null;
	bool time_null;
	Datum by = slot_getattr(slot, visitor->by, &by_null);
	Datum time = slot_getattr(slot, visitor->time, &time_null);

	if (!by_null && !time_null && visitor->wants(visitor->arg, by, time))
		visitor->take(visitor->arg);
}

/* Rows outside batches are visited; the batches there are are returned, as ZonedBatch */
static List *
read_main_fork(Relation rel, Snapshot snapshot, TupleTableSlot *slot,
			   const DbpColumnarVisitor *visitor)
{
	TableScanDesc scan =
		heap_beginscan(rel, snapshot, 0, NULL, NULL,
					   SO_TYPE_SEQSCAN | SO_ALLOW_STRAT | SO_ALLOW_SYNC | SO_ALLOW_PAGEMODE);
	TupleTableSlot *inner = dbp_slot_inner(slot);
	List *batches = NIL;

	while (heap_getnextslot(scan, ForwardScanDirection, inner))
	{
		HeapTuple tuple = ((HeapTupleTableSlot *) inner)->tuple;

		CHECK_FOR_INTERRUPTS();
		if (dbp_tuple_is_batch(tuple))
			batches = lappend(batches, look_at_zones(rel, dbp_batch_open(rel, tuple), visitor));
		else
		{
			dbp_slot_take_inner(slot);
			visit_row(slot, visitor);
			inner = dbp_slot_inner(slot);
		}
	}
	heap_endscan(scan);
	ExecClearTuple(slot);
	return batches;
}

void
dbp_latest_read_columnar(Relation rel, Snapshot snapshot, TupleTableSlot *slot,
						 const DbpColumnarVisitor *visitor)
{
	List *batches;
	ListCell *cell;

	/* what this transaction has written itself */
	dbp_pending_flush(rel);
	batches = read_main_fork(rel, snapshot, slot, visitor);
	list_sort(batches, latest_first);
	foreach(cell, batches)
	{
		ZonedBatch *zoned = lfirst(cell);

		CHECK_FOR_INTERRUPTS();
		if (visitor->may_want(visitor->arg, zoned->by_known ? &zoned->least_by : NULL,
							  zoned->by_known ? &zoned->greatest_by : NULL,
							  zoned->time_known ? &zoned->latest : NULL))
			read_batch(rel, snapshot, zoned->batch, slot, visitor);
		dbp_batch_release(zoned->batch);
	}
	list_free_deep(batches);
}
