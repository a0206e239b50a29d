/*-------------------------------------------------------------------------
 *
 * pools.h
 *		Between the files of metrics/: connections, and what clients say of
 *		the pools that they take them from.
 *
 * connections.c notes each connection as it is authenticated; pools.c keeps
 * what clients report in shared memory; pool_report.c takes it in and shows
 * it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_METRICS_POOLS_H
#define DBP_METRICS_POOLS_H

#include "postgres.h"

#include "metrics/windows.h"

/* Acquire times are shown over so many minutes; what was reported before is no longer true */
#define DBP_POOL_MINUTES 5

/* Clients with a last report, of all pools and databases */
#define DBP_POOL_SAMPLES 256

/* In the order of figure_names in pool_report.c */
typedef enum DbpPoolFigure
{
	DBP_POOL_SIZE,
	DBP_POOL_CHECKED_OUT,
	DBP_POOL_OVERFLOW,
	DBP_POOL_WAITING,
	DBP_POOL_TIMEOUTS, /* since the client began */
	DBP_POOL_FIGURES
} DbpPoolFigure;

/* What a client said last of its part of a pool */
typedef struct DbpPoolSample
{
	char pool[NAMEDATALEN];
	char instance[NAMEDATALEN];
	int64 figures[DBP_POOL_FIGURES]; /* -1: it did not say */
} DbpPoolSample;

/* A copy of what is counted for a pool, over DBP_POOL_MINUTES */
typedef struct DbpPoolCounts
{
	char pool[NAMEDATALEN];
	uint64 timeouts; /* reported in samples; others are counts.errors */
	DbpCounts counts;
} DbpPoolCounts;

/* connections.c */
extern void dbp_connections_init(void);

/* pools.c */
extern void dbp_pools_init(void);
extern bool dbp_pools_present(void);
extern void dbp_pools_add_acquires(const char *pool, const uint64 *microseconds, int count,
								   uint64 timeout);
extern void dbp_pools_put_sample(const DbpPoolSample *sample);
extern bool dbp_pools_next(int *position, DbpPoolCounts *counts);
extern bool dbp_pools_next_sample(int *position, DbpPoolSample *sample, double *age_seconds);
extern void dbp_pools_state(int *used, uint64 *evictions);
extern void dbp_pools_reset(void);

#endif /* DBP_METRICS_POOLS_H */
