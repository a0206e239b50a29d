/*-------------------------------------------------------------------------
 *
 * metrics.h
 *		Counters in shared memory: what is done with each table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_METRICS_H
#define DBP_METRICS_H

#include "postgres.h"

/* What is counted; names in metrics/stats.c are those of the SQL interface */
typedef enum DbpOperation
{
	DBP_OP_INSERT,		/* INSERT statements into partitioned tables */
	DBP_OP_COPY,		/* COPY FROM */
	DBP_OP_BULK_INSERT, /* a batch of bulk_insert() */
	DBP_OP_SOFT_DELETE, /* a batch */
	DBP_OP_RESTORE,		/* a batch */
	DBP_OP_PURGE,		/* a batch */
	DBP_OP_GET_ACTIVE,	/* a call */
	DBP_OP_GET_LATEST,	/* a call */
	DBP_OP_COUNT
} DbpOperation;

/* Called by _PG_init: shared memory, hooks.  Nothing where the library is not preloaded. */
extern void dbp_metrics_init(void);

/*
 * Counts one batch (or call) of an operation on a table; on a partition, it
 * counts for the topmost table that it is a partition of.  Becomes visible
 * when the transaction commits or is prepared; forgotten with the
 * subtransaction that rolls back.  Cheap, and nothing without shared memory or
 * in a parallel worker.
 */
extern void dbp_count(Oid relid, DbpOperation operation, uint64 rows, uint64 microseconds);

/* Rows that bulk_insert() left out; rows for a partition older than the current one */
extern void dbp_count_rejected(Oid relid, uint64 rows);
extern void dbp_count_late(Oid relid, uint64 rows);

/* Keys that get_latest() found in its cache, and those that it had to look for */
extern void dbp_count_cache(Oid relid, uint64 hits, uint64 misses);

/*
 * While a bulk insert runs its own INSERT statements, the hooks must not count
 * them again.  Pairs may be nested.  A subtransaction that rolls back undoes
 * what was suspended inside it, and so does the end of the transaction: no
 * PG_TRY is needed for the sake of errors.
 */
extern void dbp_count_suspend(void);
extern void dbp_count_resume(void);

#endif /* DBP_METRICS_H */
