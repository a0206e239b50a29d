/*-------------------------------------------------------------------------
 *
 * index_build.c
 *		Builds an index of a columnar relation.
 *
 * An index gets entries of row tuples, and a full one (dbp_index_is_full())
 * of all rows in batches as well.  The number of rows that is returned is that
 * of both, whatever the index has: it becomes the table's reltuples.
 *
 * A caller may bring a scan: a parallel build does, and amcheck.  It is one of
 * scan.c's, and taken for what it says of snapshot and blocks only.  Parallel
 * builds work, but are not asked for (planner.c sees to that): most of what makes a
 * columnar table large is not read here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/parallel.h"
#include "access/relscan.h"
#include "access/transam.h"
#include "commands/progress.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/procarray.h"
#include "utils/snapmgr.h"

#include "columnar.h"
#include "index.h"

typedef struct Build
{
	DbpRowScan rows;
	DbpEntryMaker maker;
	bool full;
	bool whole; /* not a range of blocks */
	IndexBuildCallback callback;
	void *callback_state;
	double count;
} Build;

/* Collects the rows that nobody sees any more */
typedef struct DeadRows
{
	TransactionId oldest_xmin;
	int nrows;
	uint8 *bitmap;
} DeadRows;

static void
note_dead(int row, const DbpTombstone *tombstone, void *arg)
{
	DeadRows *dead = arg;

	if (row >= 0 && row < dead->nrows && !tombstone->in_progress &&
		TransactionIdPrecedes(tombstone->xmin, dead->oldest_xmin))
		dead->bitmap[row / 8] |= 1 << row % 8;
}

static inline bool
in_bitmap(const uint8 *bitmap, int row)
{
	return bitmap != NULL && (bitmap[row / 8] & 1 << row % 8) != 0;
}

static void
index_batch_rows(Build *build, DbpBatch *batch, const uint8 *gone)
{
	int nrows = dbp_batch_nrows(batch);
	bool any = build->rows.snapshot->snapshot_type == SNAPSHOT_ANY;
	const uint8 *skip = gone;
	DeadRows dead = {.oldest_xmin = build->rows.oldest_xmin, .nrows = nrows};

	/* Older snapshots may still look for what has gone, unless it was before all of them */
	if (any && gone != NULL)
	{
		dead.bitmap = palloc0((nrows + 7) / 8);
		dbp_tombstone_visit(build->rows.rel, dbp_batch_id(batch), note_dead, &dead);
		skip = dead.bitmap;
	}
	for (int row = 0; row < nrows; row++)
	{
		ItemPointerData tid;

		CHECK_FOR_INTERRUPTS();
		if (in_bitmap(skip, row) || !dbp_entry_form_row(&build->maker, batch, row))
			continue;
		dbp_tid_make(&tid, dbp_batch_tid(batch), row);
		build->callback(build->maker.index, &tid, build->maker.values, build->maker.isnull,
						!in_bitmap(gone, row), build->callback_state);
	}
	if (dead.bitmap != NULL)
		pfree(dead.bitmap);
}

static void
index_batch(Build *build)
{
	Snapshot snapshot = build->rows.snapshot;
	DbpBatch *batch;
	uint8 *gone;
	int ngone = 0;

	if (!build->full && !build->whole)
		return;
	batch = dbp_batch_open(build->rows.rel, build->rows.tuple);
	gone = dbp_tombstone_bitmap(build->rows.rel, dbp_batch_id(batch), dbp_batch_nrows(batch),
								snapshot->snapshot_type == SNAPSHOT_ANY ? SnapshotSelf : snapshot,
								&ngone);
	if (build->rows.live)
		build->count += dbp_batch_nrows(batch) - ngone;
	if (build->full)
		index_batch_rows(build, batch, gone);
	if (gone != NULL)
		pfree(gone);
	dbp_batch_release(batch);
}

static void
index_row(Build *build)
{
	ItemPointerData tid;

	if (build->rows.live)
		build->count += 1;
	if (!dbp_entry_form(&build->maker, build->rows.slot))
		return;
	dbp_row_scan_root(&build->rows, &tid);
	build->callback(build->maker.index, &tid, build->maker.values, build->maker.isnull,
					build->rows.alive, build->callback_state);
}

static void
index_all(Build *build, bool progress)
{
	BlockNumber reported = InvalidBlockNumber;

	if (progress)
		pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_TOTAL, dbp_row_scan_blocks(&build->rows));
	while (dbp_row_scan_next(&build->rows))
	{
		if (progress && dbp_row_scan_blocks_done(&build->rows) != reported)
		{
			reported = dbp_row_scan_blocks_done(&build->rows);
			pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE, reported);
		}
		if (build->rows.batch)
			index_batch(build);
		else
			index_row(build);
	}
	if (progress)
		pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE, dbp_row_scan_blocks(&build->rows));
}

/*
 * A plain build indexes what anybody may see; a concurrent one, and amcheck's,
 * what a snapshot does.
 */
static bool
choose_snapshot(DbpRowScan *rows, const IndexInfo *info, TableScanDesc scan)
{
	rows->oldest_xmin =
		info->ii_Concurrent ? InvalidTransactionId : GetOldestNonRemovableTransactionId(rows->rel);
	if (scan != NULL)
		rows->snapshot = scan->rs_snapshot;
	else if (!info->ii_Concurrent)
		rows->snapshot = SnapshotAny;
	else
	{
		rows->snapshot = RegisterSnapshot(GetTransactionSnapshot());
		return true;
	}
	return false;
}

/* In a parallel build, the leader may leave all to the workers, of which the first is always there */
static bool
is_prover(TableScanDesc scan)
{
	if (scan == NULL || scan->rs_parallel == NULL)
		return true;
	return IsParallelWorker() && ParallelWorkerNumber == 0;
}

double
dbp_index_build_range_scan(Relation table, Relation index, IndexInfo *info, bool allow_sync,
						   bool anyvisible, bool progress, BlockNumber start, BlockNumber numblocks,
						   IndexBuildCallback callback, void *callback_state, TableScanDesc scan)
{
	Build build = {.callback = callback, .callback_state = callback_state};
	DbpRowScan *rows = &build.rows;
	bool checking = info->ii_Unique || info->ii_ExclusionOps != NULL;
	bool registered;

	dbp_pending_flush(table);
	build.full = dbp_index_is_full(index);
	build.whole = start == 0 && numblocks == InvalidBlockNumber;
	rows->rel = table;
	rows->anyvisible = anyvisible;
	rows->conclusive = checking;
	registered = choose_snapshot(rows, info, scan);

	if (info->ii_Unique && !build.full && build.whole && is_prover(scan))
		dbp_index_prove_unique(table, index, info, rows->snapshot, rows->oldest_xmin);

	dbp_row_scan_begin(rows, scan == NULL ? NULL : scan->rs_parallel,
					   SO_ALLOW_STRAT | (allow_sync ? SO_ALLOW_SYNC : 0));
	if (!build.whole)
		heap_setscanlimits(rows->scan, start, numblocks);
	dbp_entry_begin(&build.maker, table, index, info);
	index_all(&build, progress);
	if (rows->broken_hot_chain)
		info->ii_BrokenHotChain = true;
	dbp_entry_end(&build.maker);
	dbp_row_scan_end(rows);

	if (scan != NULL)
		table_endscan(scan);
	if (registered)
		UnregisterSnapshot(rows->snapshot);
	return build.count;
}
