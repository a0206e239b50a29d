/*-------------------------------------------------------------------------
 *
 * tombstone.c
 *		Rows of batches that were deleted or updated.
 *
 * A tombstone is an ordinary tuple of the TOAST table: who sees it does not see
 * the row.  Nobody ever deletes one; they go when the table is written anew.
 * Readers of serializable transactions take predicate locks on the part of the
 * TOAST table's index that they look at, as with any other index scan, and so
 * conflict with whoever adds a tombstone there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "columnar/batch.h"

/* Of one batch, in the order of their rows */
typedef struct Tombstones
{
	DbpToast toast;
	DbpToastScan scan;
	Oid relid;
	Oid batch_id;
} Tombstones;

static pg_crc32c
checksum(Oid batch_id, int row, const DbpTombstoneBody *body)
{
	uint32 place[2] = {batch_id, (uint32) row};
	pg_crc32c crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, place, sizeof(place));
	COMP_CRC32C(crc, body, offsetof(DbpTombstoneBody, crc));
	FIN_CRC32C(crc);
	return crc;
}

/* Rows from <= row < to.  A relation without a TOAST table has none: false. */
static bool
begin_scan(Tombstones *self, Relation rel, Oid batch_id, int from, int to, Snapshot snapshot)
{
	self->relid = RelationGetRelid(rel);
	self->batch_id = batch_id;
	if (!OidIsValid(rel->rd_rel->reltoastrelid))
		return false;
	dbp_toast_open(&self->toast, rel->rd_rel->reltoastrelid, AccessShareLock);
	dbp_toast_scan_begin(&self->scan, &self->toast, batch_id, DBP_SEQ_TOMBSTONE + from,
						 (int64) DBP_SEQ_TOMBSTONE + to, snapshot);
	return true;
}

static void
end_scan(Tombstones *self)
{
	dbp_toast_scan_end(&self->scan);
	dbp_toast_close(&self->toast);
}

static int
row_of(const Tombstones *self)
{
	return self->scan.seq - DBP_SEQ_TOMBSTONE;
}

bool
dbp_tombstone_sound(Oid batch_id, int row, const uint8 *data, uint32 length)
{
	DbpTombstoneBody body;

	if (length != sizeof(body))
		return false;
	memcpy(&body, data, sizeof(body));
	return body.crc == checksum(batch_id, row, &body) && body.kind <= DBP_TOMBSTONE_MOVED;
}

static void
read_body(const Tombstones *self, DbpTombstoneBody *body)
{
	if (!dbp_tombstone_sound(self->batch_id, row_of(self), self->scan.data, self->scan.length))
		dbp_batch_damaged(self->relid, self->batch_id, 0,
						  psprintf("the tombstone of row %d is not whole", row_of(self)));
	memcpy(body, self->scan.data, sizeof(DbpTombstoneBody));
}

/* The next one that the snapshot sees; *row: its row */
static bool
next_tombstone(Tombstones *self, int nrows, int *row)
{
	DbpTombstoneBody body;

	if (!dbp_toast_scan_next(&self->scan))
		return false;
	*row = row_of(self);
	if (*row < 0 || *row >= nrows)
		dbp_batch_damaged(self->relid, self->batch_id, 0,
						  psprintf("there is a tombstone of row %d", *row));
	read_body(self, &body);
	return true;
}

static void
describe(const Tombstones *self, const SnapshotData *dirty, DbpTombstone *tombstone)
{
	HeapTupleHeader header = self->scan.tuple->t_data;
	DbpTombstoneBody body;

	read_body(self, &body);
	tombstone->kind = body.kind;
	ItemPointerSet(&tombstone->successor, body.successor_block, body.successor_offset);
	tombstone->xmin = HeapTupleHeaderGetXmin(header);
	tombstone->in_progress = TransactionIdIsValid(dirty->xmin);
	tombstone->cmin = InvalidCommandId;
	if (TransactionIdIsCurrentTransactionId(tombstone->xmin))
		tombstone->cmin = HeapTupleHeaderGetCmin(header);
}

bool
dbp_tombstone_find(Relation rel, Oid batch_id, int row, DbpTombstone *found)
{
	Tombstones self;
	SnapshotData dirty;
	bool any;
	int there;

	InitDirtySnapshot(dirty);
	if (!begin_scan(&self, rel, batch_id, row, row + 1, &dirty))
		return false;
	any = next_tombstone(&self, DBP_BATCH_ROWS, &there);
	if (any)
		describe(&self, &dirty, found);
	end_scan(&self);
	return any;
}

/*
 * Tells dbp_tombstone_any() that there are tombstones.  One that is committed, or
 * this transaction's own, does; otherwise this transaction makes its own, lest
 * it had to wait for another's.
 */
static void
mark_any(DbpToast *toast, CommandId cid, int options)
{
	DbpToastScan scan;
	bool found;

	dbp_toast_scan_begin(&scan, toast, DBP_TOAST_TOMBSTONES, PG_INT32_MIN, (int64) PG_INT32_MAX + 1,
						 SnapshotSelf);
	found = dbp_toast_scan_next(&scan);
	dbp_toast_scan_end(&scan);
	if (!found)
		dbp_toast_insert(toast, DBP_TOAST_TOMBSTONES, (int32) GetCurrentTransactionId(), "", 0, cid,
						 options, NULL);
}

void
dbp_tombstone_add(Relation rel, Oid batch_id, int row, const DbpTombstone *tombstone, CommandId cid,
				  int options)
{
	DbpTombstoneBody body = {.kind = (uint16) tombstone->kind};
	DbpTombstone other;
	DbpToast toast;

	if (row < 0 || row >= DBP_BATCH_ROWS)
		elog(ERROR, "there is no row %d in a batch", row);
	if (dbp_tombstone_find(rel, batch_id, row, &other))
		elog(ERROR, "row %d of batch %u of table \"%s\" has a tombstone already", row, batch_id,
			 RelationGetRelationName(rel));
	body.successor_block = ItemPointerGetBlockNumberNoCheck(&tombstone->successor);
	body.successor_offset = ItemPointerGetOffsetNumberNoCheck(&tombstone->successor);
	body.crc = checksum(batch_id, row, &body);
	dbp_toast_open(&toast, rel->rd_rel->reltoastrelid, RowExclusiveLock);
	mark_any(&toast, cid, options);
	dbp_toast_insert(&toast, batch_id, DBP_SEQ_TOMBSTONE + row, &body, sizeof(body), cid, options,
					 NULL);
	dbp_toast_close(&toast);
}

bool
dbp_tombstone_visible(Relation rel, Oid batch_id, int row, Snapshot snapshot)
{
	Tombstones self;
	SnapshotData dirty;
	bool any;
	int there;

	InitDirtySnapshot(dirty);
	if (!begin_scan(&self, rel, batch_id, row, row + 1,
					snapshot->snapshot_type == SNAPSHOT_ANY ? &dirty : snapshot))
		return false;
	any = next_tombstone(&self, DBP_BATCH_ROWS, &there);
	end_scan(&self);
	return any;
}

uint8 *
dbp_tombstone_bitmap(Relation rel, Oid batch_id, int nrows, Snapshot snapshot, int *count)
{
	Tombstones self;
	SnapshotData dirty;
	uint8 *bitmap = NULL;
	int n = 0;
	int row;

	InitDirtySnapshot(dirty);
	if (begin_scan(&self, rel, batch_id, 0, DBP_SEQ_TOMBSTONE - 1,
				   snapshot->snapshot_type == SNAPSHOT_ANY ? &dirty : snapshot))
	{
		while (next_tombstone(&self, nrows, &row))
		{
			if (bitmap == NULL)
				bitmap = palloc0((nrows + 7) / 8);
			if ((bitmap[row / 8] & 1 << (row % 8)) == 0)
				n++;
			bitmap[row / 8] |= 1 << (row % 8);
		}
		end_scan(&self);
	}
	if (count != NULL)
		*count = n;
	return bitmap;
}

void
dbp_tombstone_visit(Relation rel, Oid batch_id, DbpTombstoneVisit visit, void *arg)
{
	Tombstones self;
	SnapshotData dirty;
	int row;

	InitDirtySnapshot(dirty);
	if (!begin_scan(&self, rel, batch_id, 0, DBP_SEQ_TOMBSTONE - 1, &dirty))
		return;
	while (next_tombstone(&self, DBP_BATCH_ROWS, &row))
	{
		DbpTombstone tombstone;

		describe(&self, &dirty, &tombstone);
		visit(row, &tombstone, arg);
	}
	end_scan(&self);
}

bool
dbp_tombstone_any(Relation rel)
{
	DbpToast toast;
	DbpToastScan scan;
	bool found;

	if (!OidIsValid(rel->rd_rel->reltoastrelid))
		return false;
	dbp_toast_open(&toast, rel->rd_rel->reltoastrelid, AccessShareLock);
	dbp_toast_scan_begin(&scan, &toast, DBP_TOAST_TOMBSTONES, PG_INT32_MIN,
						 (int64) PG_INT32_MAX + 1, SnapshotAny);
	found = dbp_toast_scan_next(&scan);
	dbp_toast_scan_end(&scan);
	dbp_toast_close(&toast);
	return found;
}
