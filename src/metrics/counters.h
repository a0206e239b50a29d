/*-------------------------------------------------------------------------
 *
 * counters.h
 *		Between the files of metrics/: pending counts and shared counters.
 *
 * hooks.c and the callers of dbp_count() bring events; pending.c keeps them
 * until the transaction commits; counters.c adds them to what is in shared
 * memory; stats.c shows that.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_METRICS_COUNTERS_H
#define DBP_METRICS_COUNTERS_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "metrics/histogram.h"
#include "metrics/metrics.h"
#include "metrics/statements.h"

/* Rates are measured in buckets of this length, for up to 15 minutes */
#define DBP_RATE_BUCKET_SECONDS 10
#define DBP_RATE_BUCKETS (15 * 60 / DBP_RATE_BUCKET_SECONDS + 1) /* and the one being filled */

/* What a transaction did with a table, at one level of subtransactions */
typedef struct DbpPendingOperation
{
	uint64 calls;
	uint64 rows;
	uint64 microseconds;
	int only_bucket;   /* of the first call, while there is no histogram */
	uint32 *histogram; /* NULL: one call, or there was no memory for more */
} DbpPendingOperation;

typedef struct DbpPending
{
	struct DbpPending *next;
	int level; /* GetCurrentTransactionNestLevel() */
	bool flushed;
	Oid relid;
	uint64 rejected;
	uint64 late;
	uint64 cache_hits;
	uint64 cache_misses;
	DbpPendingOperation operations[DBP_OP_COUNT];
} DbpPending;

/* A copy of what is counted for a table */
typedef struct DbpOperationCounts
{
	uint64 calls;
	uint64 rows;
	uint64 microseconds;
	uint32 histogram[DBP_HISTOGRAM_SIZE];
} DbpOperationCounts;

typedef struct DbpTableCounts
{
	Oid relid;
	TimestampTz since;
	uint64 rejected;
	uint64 late;
	uint64 cache_hits;
	uint64 cache_misses;
	/* rows/s over 1, 5, 15 minutes of what INSERT, COPY and bulk_insert() brought */
	double rates[3];
	DbpOperationCounts operations[DBP_OP_COUNT];
} DbpTableCounts;

typedef struct DbpCountersState
{
	int tables;		  /* of all databases */
	uint64 evictions; /* tables forgotten to make room for others */
	/* a table without counters has had nothing to count since then */
	TimestampTz since;
} DbpCountersState;

/* counters.c */
extern void dbp_counters_init(void);
extern bool dbp_counters_present(void);
extern void dbp_counters_add(DbpPending *list);
extern bool dbp_counters_next(int *position, DbpTableCounts *counts);
extern void dbp_counters_add_statement(Oid relid, DbpStatementKind kind, uint64 clock, uint64 rows,
									   uint64 microseconds, bool failed);
extern bool dbp_counters_next_statements(int *position, int minutes, DbpTableCopy *copy);
extern void dbp_counters_state(DbpCountersState *state);
extern void dbp_counters_reset(void);

/* pending.c */
extern void dbp_pending_init(void);
extern bool dbp_count_is_suspended(void);

/* root.c */
extern Oid dbp_root_of(Oid relid);

/* hooks.c */
extern void dbp_metrics_hooks_init(void);

#endif /* DBP_METRICS_COUNTERS_H */
