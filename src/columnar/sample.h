/*-------------------------------------------------------------------------
 *
 * sample.h
 *		ANALYZE and TABLESAMPLE: callbacks.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_COLUMNAR_SAMPLE_H
#define DBP_COLUMNAR_SAMPLE_H

#include "postgres.h"

#include "access/tableam.h"
#include "nodes/execnodes.h"

#include "compat.h"
#include "scan.h"

extern bool dbp_analyze_next_block(TableScanDesc scan, DBP_ANALYZE_BLOCK_ARGS);
extern bool dbp_analyze_next_tuple(TableScanDesc scan, TransactionId oldest_xmin, double *liverows,
								   double *deadrows, TupleTableSlot *slot);
extern bool dbp_sample_next_block(TableScanDesc scan, struct SampleScanState *state);
extern bool dbp_sample_next_tuple(TableScanDesc scan, struct SampleScanState *state,
								  TupleTableSlot *slot);
extern void dbp_sample_end(DbpScan *scan);

#endif /* DBP_COLUMNAR_SAMPLE_H */
