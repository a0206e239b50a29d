/*-------------------------------------------------------------------------
 *
 * scan.h
 *		Scans of a columnar relation, and fetching rows by TID: callbacks.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_COLUMNAR_SCAN_H
#define DBP_COLUMNAR_SCAN_H

#include "postgres.h"

#include "access/tableam.h"

#include "columnar.h"

/* A scan of the heap that both kinds of tuples are in, and a place in a batch of it */
typedef struct DbpScan
{
	TableScanDescData base;
	TableScanDesc heap;
	MemoryContext context; /* of the scan; the caller's may be that of one row */
	DbpBatch *batch;	   /* NULL: not in one */
	int row;			   /* of it: the one given out last */
	uint8 *gone;		   /* rows of it that the snapshot does not see; NULL: none */
	bool by_range;
	ItemPointerData mintid;
	ItemPointerData maxtid;
	struct DbpSample *sample; /* ANALYZE and TABLESAMPLE */
} DbpScan;

extern TableScanDesc dbp_scan_begin(Relation rel, Snapshot snapshot, int nkeys,
									struct ScanKeyData *key, ParallelTableScanDesc parallel,
									uint32 flags);
extern void dbp_scan_end(TableScanDesc scan);
extern void dbp_scan_rescan(TableScanDesc scan, struct ScanKeyData *key, bool set_params,
							bool allow_strat, bool allow_sync, bool allow_pagemode);
extern bool dbp_scan_next(TableScanDesc scan, ScanDirection direction, TupleTableSlot *slot);
extern void dbp_scan_set_range(TableScanDesc scan, ItemPointer mintid, ItemPointer maxtid);
extern bool dbp_scan_next_in_range(TableScanDesc scan, ScanDirection direction,
								   TupleTableSlot *slot);
extern bool dbp_fetch_row(Relation rel, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot);
extern bool dbp_index_fetch(struct IndexFetchTableData *scan, ItemPointer tid, Snapshot snapshot,
							TupleTableSlot *slot, bool *call_again, bool *all_dead);
extern bool dbp_tid_valid(TableScanDesc scan, ItemPointer tid);
extern void dbp_latest_tid(TableScanDesc scan, ItemPointer tid);
extern bool dbp_row_satisfies(Relation rel, TupleTableSlot *slot, Snapshot snapshot);

#endif /* DBP_COLUMNAR_SCAN_H */
