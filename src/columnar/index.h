/*-------------------------------------------------------------------------
 *
 * index.h
 *		What the files about indexes of columnar relations share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_COLUMNAR_INDEX_H
#define DBP_COLUMNAR_INDEX_H

#include "postgres.h"

#include "access/genam.h"
#include "access/skey.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "nodes/execnodes.h"

#include "columnar.h"

/*
 * index_entry.c: rows of batches (or any rows) as an index sees them.
 */
typedef struct DbpEntryMaker
{
	Relation rel;
	Relation index;
	IndexInfo *info;
	EState *estate;
	ExprState *predicate; /* NULL: none */
	TupleTableSlot *slot; /* for rows of batches */
	uint8 *present;		  /* of the batch at hand: rows that have an entry */
	Datum values[INDEX_MAX_KEYS];
	bool isnull[INDEX_MAX_KEYS];
} DbpEntryMaker;

/* info: NULL, to have it built; it must outlive the maker */
extern void dbp_entry_begin(DbpEntryMaker *maker, Relation rel, Relation index, IndexInfo *info);
extern void dbp_entry_end(DbpEntryMaker *maker);
/* Puts values and nulls of the slot's row into the maker; false: the row is not in the (partial) index */
extern bool dbp_entry_form(DbpEntryMaker *maker, TupleTableSlot *slot);
/* The same of a row of a batch */
extern bool dbp_entry_form_row(DbpEntryMaker *maker, DbpBatch *batch, int row);
/*
 * Sees that these rows of a batch have entries, as far as the predicate wants them.  Nobody makes an
 * entry twice.  keys: what all these rows match, and those of other batches perhaps; may be NULL for a B-tree.
 */
extern void dbp_entry_make(DbpEntryMaker *maker, DbpBatch *batch, const int *rows, int nrows,
						   ScanKey keys, int nkeys);

/*
 * index_key.c: how values of a column that an index has are compared, and found in zone maps.
 */
typedef enum DbpKeyForm
{
	DBP_KEY_INT,	/* by value, equal if the same; its order is that of DBP_ZONE_INT */
	DBP_KEY_DOUBLE, /* float4, float8 */
	DBP_KEY_BYTES,	/* varlena, equal if the same bytes */
	DBP_KEY_UUID,
	DBP_KEY_OTHER /* only functions know */
} DbpKeyForm;

typedef struct DbpKeyColumn
{
	AttrNumber attnum; /* of the table */
	Oid type;
	int16 length;
	DbpKeyForm form;
	Oid collation;
	FmgrInfo equal;
	bool hashable;
	FmgrInfo hash; /* of DBP_KEY_OTHER */
} DbpKeyColumn;

/* For column `number` (from 1) of a B-tree; false: it is an expression, or there is no equality */
extern bool dbp_key_column(DbpKeyColumn *column, Relation rel, Relation index, int number,
						   MemoryContext context);
/* The same for a column that an equality function is known of */
extern void dbp_key_column_init(DbpKeyColumn *column, AttrNumber attnum, Oid type, Oid collation,
								Oid equal, MemoryContext context);

/*
 * Places of values and of zones in one order.  A value is in no row of a batch
 * unless low <= place <= high; for DBP_KEY_INT and DBP_KEY_DOUBLE, values are
 * equal if, and only if, their places are.
 */
extern int64 dbp_key_place(const DbpKeyColumn *column, Datum value);
extern void dbp_key_range(const DbpKeyColumn *column, const DbpZone *zone, int64 *low, int64 *high);
/* With all that the zone knows */
extern bool dbp_key_in_zone(const DbpKeyColumn *column, const DbpZone *zone, Datum value);
extern bool dbp_key_equal(DbpKeyColumn *column, Datum a, Datum b);
extern uint64 dbp_key_hash(DbpKeyColumn *column, Datum value);

/*
 * index_rows.c: what an index is built over, as the main fork has it
 */
typedef struct DbpRowScan
{
	Relation rel;
	Snapshot snapshot;		   /* SnapshotAny, or an MVCC snapshot */
	TransactionId oldest_xmin; /* of SnapshotAny */
	bool anyvisible;		   /* what is in progress counts as done: SnapshotAny */
	bool conclusive;		   /* wait for who is about to insert or delete: SnapshotAny */
	bool broken_hot_chain;	   /* result: old snapshots would miss rows */
	TableScanDesc scan;
	TupleTableSlot *slot; /* the tuple; its TID may not be the one to index */
	HeapTuple tuple;
	bool batch; /* the tuple is one: the slot is not to be read from */
	bool alive; /* for checks of uniqueness */
	bool live;	/* for counting */
	BlockNumber root_block;
	OffsetNumber roots[MaxHeapTuplesPerPage];
} DbpRowScan;

/* The fields above the result are to be set; flags: SO_ALLOW_STRAT, SO_ALLOW_SYNC; parallel: or NULL */
extern void dbp_row_scan_begin(DbpRowScan *self, ParallelTableScanDesc parallel, uint32 flags);
extern bool dbp_row_scan_next(DbpRowScan *self);
/* TID of the tuple's HOT chain */
extern void dbp_row_scan_root(DbpRowScan *self, ItemPointer tid);
extern BlockNumber dbp_row_scan_blocks(const DbpRowScan *self);
extern BlockNumber dbp_row_scan_blocks_done(const DbpRowScan *self);
extern void dbp_row_scan_end(DbpRowScan *self);

/*
 * index_prove.c: uniqueness of what an index is about to be built over
 */
extern void dbp_index_prove_unique(Relation rel, Relation index, IndexInfo *info, Snapshot snapshot,
								   TransactionId oldest_xmin);

/* unique.c: entries for rows of batches that have these values in a unique index which is not full */
extern void dbp_unique_find(Relation rel, Relation index, const Datum *values, const bool *isnull);

#endif /* DBP_COLUMNAR_INDEX_H */
