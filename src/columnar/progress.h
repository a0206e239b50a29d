/*-------------------------------------------------------------------------
 *
 * progress.h
 *		How far a rewrite has got, for dbperf.compression_progress.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_COLUMNAR_PROGRESS_H
#define DBP_COLUMNAR_PROGRESS_H

#include "postgres.h"

#include "columnar/rewrite.h"

typedef enum DbpPhase
{
	DBP_PHASE_WAITING, /* for the first lock */
	DBP_PHASE_COPYING,
	DBP_PHASE_SORTING,
	DBP_PHASE_WRITING,
	DBP_PHASE_LOCKING, /* waiting for the lock of the swap */
	DBP_PHASE_SWAPPING,
	DBP_PHASE_ANALYZING
} DbpPhase;

/* This process has begun; rows_total may be an estimate, -1: unknown */
extern void dbp_progress_begin(DbpRewriteKind kind, Oid relid, int64 rows_total);
/* Each of these does nothing before */
extern void dbp_progress_phase(DbpPhase phase);
extern void dbp_progress_total(int64 rows_total);
extern void dbp_progress_read(int64 rows);
extern void dbp_progress_written(int64 rows, int batches, uint64 bytes_in_all);
/* Whether it went well or not */
extern void dbp_progress_end(void);

#endif /* DBP_COLUMNAR_PROGRESS_H */
