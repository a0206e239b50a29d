/*-------------------------------------------------------------------------
 *
 * count.c
 *		How many rows a columnar relation has.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/snapmgr.h"

#include "columnar.h"
#include "index.h"

/* Tuples of the main fork that the latest snapshot sees */
static double
count_tuples(Relation rel)
{
	DbpRowScan scan = {.rel = rel, .snapshot = RegisterSnapshot(GetLatestSnapshot())};
	double count = 0;

	dbp_row_scan_begin(&scan, NULL, SO_ALLOW_STRAT);
	while (dbp_row_scan_next(&scan))
		count += 1;
	dbp_row_scan_end(&scan);
	UnregisterSnapshot(scan.snapshot);
	return count;
}

double
dbp_count_rows(Relation rel, double physical)
{
	DbpBatch **list;
	int nbatches = dbp_batch_list(rel, &list);
	bool tombstones = nbatches > 0 && dbp_tombstone_any(rel);
	double count = physical < 0 ? count_tuples(rel) : physical;

	count = Max(count - nbatches, 0);
	for (int i = 0; i < nbatches; i++)
	{
		int nrows = dbp_batch_nrows(list[i]);
		int gone = 0;
		uint8 *bitmap = NULL;

		CHECK_FOR_INTERRUPTS();
		if (tombstones)
			bitmap = dbp_tombstone_bitmap(rel, dbp_batch_id(list[i]), nrows, SnapshotSelf, &gone);
		if (bitmap != NULL)
			pfree(bitmap);
		count += nrows - gone;
	}
	return count;
}
