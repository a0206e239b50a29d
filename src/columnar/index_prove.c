/*-------------------------------------------------------------------------
 *
 * index_prove.c
 *		Proves the keys of all rows unique before an index is built.
 *
 * A unique index of a columnar relation has no entries of rows in batches, so
 * its own build finds only rows outside of them to be equal.  This sorts the keys of
 * all rows, just as that build would; the sort raises the very same error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/nbtree.h"
#include "access/relscan.h"
#include "access/tableam.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"
#include "utils/tuplesort.h"

#include "columnar.h"
#include "compat.h"
#include "index.h"

static void
add_row(DbpEntryMaker *maker, Tuplesortstate *sort, ItemPointer tid)
{
	tuplesort_putindextuplevalues(sort, maker->index, tid, maker->values, maker->isnull);
}

static void
add_batch(DbpEntryMaker *maker, Tuplesortstate *sort, DbpBatch *batch, Snapshot snapshot)
{
	int nrows = dbp_batch_nrows(batch);
	uint8 *gone = dbp_tombstone_bitmap(maker->rel, dbp_batch_id(batch), nrows, snapshot, NULL);

	for (int row = 0; row < nrows; row++)
	{
		ItemPointerData tid;

		CHECK_FOR_INTERRUPTS();
		if ((gone != NULL && (gone[row / 8] & 1 << row % 8) != 0) ||
			!dbp_entry_form_row(maker, batch, row))
			continue;
		dbp_tid_make(&tid, dbp_batch_tid(batch), row);
		add_row(maker, sort, &tid);
	}
	if (gone != NULL)
		pfree(gone);
}

/*
 * Looks at everything once more: the last merge of a large sort is done, and equal
 * keys found, while it is read.  An entry that would not fit is refused now, rather
 * than when somebody inserts a row of the same key.
 */
static void
read_sorted(Relation rel, Relation index, Tuplesortstate *sort)
{
	IndexTuple tuple;

	while ((tuple = tuplesort_getindextuple(sort, true)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (IndexTupleSize(tuple) > DBP_BTREE_MAX_ITEM)
			ereport(ERROR, errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					errmsg("index row size %zu exceeds btree version %u maximum %zu for index "
						   "\"%s\"",
						   IndexTupleSize(tuple), BTREE_VERSION, (Size) DBP_BTREE_MAX_ITEM,
						   RelationGetRelationName(index)),
					errhint("Values larger than 1/3 of a buffer page cannot be indexed.\n"
							"Consider a function index of an MD5 hash of the value, "
							"or use full text indexing."),
					errtableconstraint(rel, RelationGetRelationName(index)));
	}
}

void
dbp_index_prove_unique(Relation rel, Relation index, IndexInfo *info, Snapshot snapshot,
					   TransactionId oldest_xmin)
{
	DbpRowScan rows = {.rel = rel,
					   .snapshot = snapshot,
					   .oldest_xmin = oldest_xmin,
					   .conclusive = true};
	bool any = snapshot->snapshot_type == SNAPSHOT_ANY;
	DbpEntryMaker maker;
	Tuplesortstate *sort;
	DbpBatch **batches;

	if (dbp_batch_list(rel, &batches) == 0)
		return;
	sort = tuplesort_begin_index_btree(rel, index, true, info->ii_NullsNotDistinct,
									   maintenance_work_mem, NULL, TUPLESORT_NONE);
	dbp_entry_begin(&maker, rel, index, info);
	dbp_row_scan_begin(&rows, NULL, SO_ALLOW_STRAT);
	while (dbp_row_scan_next(&rows))
	{
		if (rows.batch)
		{
			DbpBatch *batch = dbp_batch_open(rel, rows.tuple);

			add_batch(&maker, sort, batch, any ? SnapshotSelf : snapshot);
			dbp_batch_release(batch);
		}
		else if (rows.alive && dbp_entry_form(&maker, rows.slot))
			add_row(&maker, sort, &rows.tuple->t_self);
	}
	dbp_row_scan_end(&rows);
	dbp_entry_end(&maker);

	tuplesort_performsort(sort);
	read_sorted(rel, index, sort);
	tuplesort_end(sort);
}
