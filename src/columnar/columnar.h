/*-------------------------------------------------------------------------
 *
 * columnar.h
 *		Table access method dbperf_columnar: batches inside a heap.
 *
 * One relation holds two kinds of heap tuples: row tuples, which are ordinary,
 * and batch tuples, which have no attributes (natts = 0) but a body: they name
 * a batch of up to DBP_BATCH_ROWS rows.  Everything else of a batch lies in
 * the relation's own TOAST table, under the batch's id.  README.md tells the
 * rest: formats, locks, visibility.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_COLUMNAR_H
#define DBP_COLUMNAR_H

#include "postgres.h"

#include "access/htup_details.h"
#include "access/tableam.h"
#include "executor/tuptable.h"
#include "storage/itemptr.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

#define DBP_COLUMNAR_AM "dbperf_columnar"

/* Rows of a batch: what an offset number leaves room for, see dbp_row_tid() */
#define DBP_BATCH_ROWS 8000

/* A batch is closed before its values, as they were in memory, exceed this; see DBP_ROW_BYTES */
#define DBP_BATCH_BYTES (32 * 1024 * 1024)

/* A row that is larger than this stays a row tuple, whatever happens */
#define DBP_ROW_BYTES (16 * 1024 * 1024)

/*
 * TIDs of rows in batches.  The high bit of the block number tells them from
 * those of row tuples.  Below it come 25 bits for the block of the batch tuple and
 * 6 for the higher bits of its line pointer's number; the lower three are
 * (offset - 1) / DBP_BATCH_ROWS, and (offset - 1) % DBP_BATCH_ROWS is the row.  So
 * offsets that other parts of the server take for something else (0, and from
 * 0xfffd on) never occur, and TIDs are in the order of the rows.
 */
#define DBP_TID_BATCH_FLAG ((BlockNumber) 0x80000000)

extern bool dbp_tid_is_batch_row(const ItemPointerData *tid);
/* batch: TID of the batch tuple; row: 0 to DBP_BATCH_ROWS - 1 */
extern void dbp_tid_make(ItemPointer tid, const ItemPointerData *batch, int row);
extern int dbp_tid_split(const ItemPointerData *tid, ItemPointer batch);

extern TableAmRoutine dbp_columnar_routine;

/* Does the relation have this access method? */
static inline bool
dbp_is_columnar(Relation rel)
{
	return rel->rd_tableam == &dbp_columnar_routine;
}

/* A heap tuple of such a relation: is it a batch?  (A row of no columns has no body.) */
static inline bool
dbp_tuple_is_batch(HeapTuple tuple)
{
	return HeapTupleHeaderGetNatts(tuple->t_data) == 0 && tuple->t_len > tuple->t_data->t_hoff;
}

/*
 * batch.c, store.c: writing.  Columns are those of the tuple descriptor, by attnum - 1;
 * dropped ones are left out and may be NULL here.  By-reference values must not
 * be toasted externally, compressed or expanded.  nulls[i] may be NULL: none.
 */
typedef struct DbpRows
{
	TupleDesc tupdesc;
	int nrows;
	Datum **values;
	bool **nulls;
} DbpRows;

typedef struct DbpStoreWriter DbpStoreWriter;

/*
 * rel is locked by the caller, has a TOAST table.  options: HEAP_INSERT_FROZEN,
 * HEAP_INSERT_SKIP_FSM, as for heap_insert(); never decoded logically.  other_toast: a TOAST table whose
 * value ids must not be taken either, since its values will move to rel under the ids that
 * they have; or InvalidOid.
 */
extern DbpStoreWriter *dbp_store_begin(Relation rel, Oid other_toast, CommandId cid, int options);
/* Writes a batch; *tid: of its batch tuple. Checks that every chunk decodes to what went in. */
extern void dbp_store_batch(DbpStoreWriter *writer, const DbpRows *rows, ItemPointer tid);
/* After a batch: its id; bytes written so far, and what the values took in memory */
extern Oid dbp_store_last_id(const DbpStoreWriter *writer);
extern uint64 dbp_store_bytes(const DbpStoreWriter *writer);
extern void dbp_store_end(DbpStoreWriter *writer);

/*
 * Reading.  A DbpBatch is what is known of one batch in this backend: reference
 * counted, with memory of its own, found again in a small cache of batches last
 * used.  Columns are decoded when they are asked for, and stay as long as the batch does.
 */
typedef enum DbpZoneKind
{
	DBP_ZONE_NONE,
	DBP_ZONE_INT,	 /* min_int, max_int: values widened to int64 (oid: without sign) */
	DBP_ZONE_DOUBLE, /* min_double, max_double: NaN is the largest, as btree has it */
	DBP_ZONE_BYTES /* text, varchar, bytea, uuid: memcmp() order of the first bytes; prefixes only */
} DbpZoneKind;

#define DBP_ZONE_PREFIX 16

typedef struct DbpZone
{
	DbpZoneKind kind; /* NONE also when all are null */
	union
	{
		struct
		{
			int64 min;
			int64 max;
		} i;
		struct
		{
			double min;
			double max;
		} d;
		struct
		{
			uint8 min[DBP_ZONE_PREFIX]; /* shorter values are filled up with zeros */
			uint8 max[DBP_ZONE_PREFIX];
		} b;
	} u;
} DbpZone;

typedef struct DbpBatch DbpBatch;

/*
 * tuple: a batch tuple of rel (or a copy of it) with t_self set.  Raises data_corrupted for anything that
 * is not a whole batch tuple or directory.  The batch outlives rel's being closed. To be released
 * with dbp_batch_release(), or with the transaction at the latest (resource owners are not needed:
 * the cache lives in a memory context of the top transaction).
 */
extern DbpBatch *dbp_batch_open(Relation rel, HeapTuple tuple);
/* The same by the TID of the batch tuple, whatever its visibility; NULL: there is none */
extern DbpBatch *dbp_batch_fetch(Relation rel, const ItemPointerData *tid);
extern DbpBatch *dbp_batch_retain(DbpBatch *batch);
extern void dbp_batch_release(DbpBatch *batch);

extern int dbp_batch_nrows(const DbpBatch *batch);
extern Oid dbp_batch_id(const DbpBatch *batch);
extern const ItemPointerData *dbp_batch_tid(const DbpBatch *batch);

/*
 * All values of a column: *values has nrows entries, by-reference ones stay with the batch; *nulls may be
 * NULL: none is null.  A column that the batch does not have (ADD COLUMN) comes from the tuple
 * descriptor's missing values, a dropped one is all null.  Raises data_corrupted.
 */
extern void dbp_batch_column(DbpBatch *batch, TupleDesc tupdesc, AttrNumber attnum, Datum **values,
							 bool **nulls);
/* Without decoding; zone->kind is DBP_ZONE_NONE where nothing is known */
extern void dbp_batch_zone(DbpBatch *batch, TupleDesc tupdesc, AttrNumber attnum, DbpZone *zone,
						   int *null_count);

/*
 * The batches of a relation, in the order of their TIDs; those that this transaction can be sure are there: for
 * who needs all of them whatever the snapshot is (uniqueness).  Kept from call to call in this
 * backend: batches never come or go without a new relfilenode, except by this very backend (SET ACCESS METHOD,
 * CREATE TABLE AS) before anybody else can see them.  The array belongs to the cache and holds until the next call
 * for any relation.  Zones may be asked for as it is; whose columns are to be used must be retained meanwhile.
 */
extern int dbp_batch_list(Relation rel, DbpBatch ***batches);

/*
 * tombstone.c: rows of batches that were deleted or updated.  A tombstone is a tuple of
 * the TOAST table (batch id, DBP_SEQ_TOMBSTONE + row, what became of it); its own xmin and
 * cmin say who did it and when.
 */
#define DBP_SEQ_TOMBSTONE 0x40000000

typedef enum DbpTombstoneKind
{
	DBP_TOMBSTONE_DELETED,
	DBP_TOMBSTONE_UPDATED, /* successor is the TID of the new version */
	DBP_TOMBSTONE_MOVED	   /* UPDATE moved the row to another partition */
} DbpTombstoneKind;

typedef struct DbpTombstone
{
	DbpTombstoneKind kind;
	ItemPointerData successor;
	/* when found: */
	TransactionId xmin; /* FrozenTransactionId where it is long ago */
	CommandId cmin;		/* of this transaction's own tombstones only */
	bool in_progress;	/* xmin is another transaction that still runs */
} DbpTombstone;

/* options: as of heap_insert(), HEAP_INSERT_FROZEN for one that is to hold for everybody */
extern void dbp_tombstone_add(Relation rel, Oid batch_id, int row, const DbpTombstone *tombstone,
							  CommandId cid, int options);
/* The row's tombstone that is not of an aborted transaction, committed or not (dirty); false: none */
extern bool dbp_tombstone_find(Relation rel, Oid batch_id, int row, DbpTombstone *found);
/* Does the snapshot (any kind) see the row as gone? */
extern bool dbp_tombstone_visible(Relation rel, Oid batch_id, int row, Snapshot snapshot);
/*
 * The rows that are gone in that snapshot (SnapshotAny: all that ever had a tombstone that is not
 * aborted), as a palloc'd bitmap; NULL: none.  count may be NULL.
 */
extern uint8 *dbp_tombstone_bitmap(Relation rel, Oid batch_id, int nrows, Snapshot snapshot,
								   int *count);
/* All of a batch that are not aborted, with xmin: calls back in the order of rows */
typedef void (*DbpTombstoneVisit)(int row, const DbpTombstone *tombstone, void *arg);
extern void dbp_tombstone_visit(Relation rel, Oid batch_id, DbpTombstoneVisit visit, void *arg);
/* Does the TOAST table hold any for the relation?  Cheap; may err towards true */
extern bool dbp_tombstone_any(Relation rel);

/*
 * slot.c: the relation's slots hold either a row tuple (with a buffer) or a row of a
 * batch, whose columns are decoded when they are asked for.
 */
extern const TupleTableSlotOps dbp_columnar_slot_ops;
/* A slot of TTSOpsBufferHeapTuple inside of it, to have heapam's functions fill; then take it over */
extern TupleTableSlot *dbp_slot_inner(TupleTableSlot *slot);
extern void dbp_slot_take_inner(TupleTableSlot *slot);
/* Stores row `row` of the batch, of which the slot keeps a reference; sets tts_tid and tts_tableOid */
extern void dbp_slot_store_row(TupleTableSlot *slot, DbpBatch *batch, int row, Oid relid);

/*
 * unique.c: keys of rows in batches.  Indexes have entries for row tuples, and for rows of batches
 * only where somebody has looked for their key ("on demand"), or for all of them (dbp_index_is_full()).
 */
extern bool dbp_index_is_full(Relation index);
/* Called before rows are inserted into rel, or given new values: see that index entries are there for whatever rows of batches
 * they could collide with */
extern void dbp_unique_prepare(Relation rel, TupleTableSlot **slots, int nslots);
/* Makes the entries of one row in all indexes of rel without any check */
extern void dbp_index_insert_row(Relation rel, TupleTableSlot *slot, const ItemPointerData *tid);
/* Called from table_index_fetch_begin(): has scans of rel's indexes find rows of batches */
extern void dbp_index_scan_prepare(Relation rel);
/* Callbacks of the access method; index_build.c, unique.c */
extern double dbp_index_build_range_scan(Relation table, Relation index, struct IndexInfo *info,
										 bool allow_sync, bool anyvisible, bool progress,
										 BlockNumber start, BlockNumber numblocks,
										 IndexBuildCallback callback, void *callback_state,
										 TableScanDesc scan);
extern void dbp_index_validate_scan(Relation table, Relation index, struct IndexInfo *info,
									Snapshot snapshot, struct ValidateIndexState *state);
extern TransactionId dbp_index_delete_tuples(Relation rel, TM_IndexDeleteOp *delstate);

/* planner.c: get_relation_info_hook and size estimates */
extern void dbp_columnar_planner_init(void);
extern void dbp_relation_estimate_size(Relation rel, int32 *attr_widths, BlockNumber *pages,
									   double *tuples, double *allvisfrac);

/* guard.c: DROP EXTENSION ... CASCADE */
extern void dbp_columnar_guard_init(void);

/* rewrite.c and its kin: the callbacks for VACUUM FULL and CLUSTER, and rows that come one by one into a new table */
extern void dbp_copy_for_cluster(Relation old, Relation new, Relation index, bool use_sort,
								 TransactionId oldest_xmin, TransactionId *xid_cutoff,
								 MultiXactId *multi_cutoff, double *num_tuples,
								 double *tups_vacuumed, double *tups_recently_dead);
/* true: the row was taken, to be written as part of a batch by dbp_pending_flush() */
extern bool dbp_pending_insert(Relation rel, TupleTableSlot *slot, CommandId cid, int options,
							   struct BulkInsertStateData *bistate);
/* Writes what is pending for rel; called by finish_bulk_insert, and before any scan of rel */
extern void dbp_pending_flush(Relation rel);
/* Makes the TOAST table of a new file that has none */
extern void dbp_pending_need_toast_table(Relation rel);

/* count.c: rows that SELECT count(*) would find, roughly: of batches less tombstones, plus row tuples (physical: tuples of the main fork, batches included; -1: count them) */
extern double dbp_count_rows(Relation rel, double physical);

extern void dbp_columnar_init(void);

#endif /* DBP_COLUMNAR_H */
