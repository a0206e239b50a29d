/*-------------------------------------------------------------------------
 *
 * windows.h
 *		Counts and durations over the last 1, 5 and 15 minutes.
 *
 * In shared memory; written by any process with atomic operations alone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_METRICS_WINDOWS_H
#define DBP_METRICS_WINDOWS_H

#include "postgres.h"

#include "port/atomics.h"

#include "metrics/histogram.h"

/* Slots of 10 s for the last minute, slots of a minute for what is longer; and the one being filled */
#define DBP_FINE_SLOTS 7
#define DBP_COARSE_SLOTS 16

typedef struct DbpSharedCounts
{
	pg_atomic_uint64 calls;
	pg_atomic_uint64 rows;
	pg_atomic_uint64 errors;
	pg_atomic_uint64 microseconds;
	pg_atomic_uint64 max_microseconds;
	pg_atomic_uint32 histogram[DBP_HISTOGRAM_SIZE];
} DbpSharedCounts;

typedef struct DbpWindowSlot
{
	pg_atomic_uint64 number; /* of the time that it is for; see windows.c */
	DbpSharedCounts counts;
} DbpWindowSlot;

typedef struct DbpWindows
{
	DbpSharedCounts total;
	DbpWindowSlot fine[DBP_FINE_SLOTS];
	DbpWindowSlot coarse[DBP_COARSE_SLOTS];
} DbpWindows;

/* A copy */
typedef struct DbpCounts
{
	uint64 calls;
	uint64 rows;
	uint64 errors;
	uint64 microseconds;
	uint64 max_microseconds;
	uint32 histogram[DBP_HISTOGRAM_SIZE];
} DbpCounts;

/* Nobody else may see it yet */
extern void dbp_windows_init(DbpWindows *windows);

/* One event; an error's duration counts like any other.  Does not throw. */
extern void dbp_windows_add(DbpWindows *windows, uint64 rows, uint64 microseconds, bool error);

/* Adds what was counted in the last minutes (1, 5 or 15), or since the start (0), to a copy */
extern void dbp_windows_read(const DbpWindows *windows, int minutes, DbpCounts *counts);

/* Microseconds of a clock that is never set; or of dbperf.now_override, for tests */
extern uint64 dbp_windows_clock(void);

#endif /* DBP_METRICS_WINDOWS_H */
