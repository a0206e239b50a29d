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

/* Begins with a line of the cache, so that an event writes to two of them at most */
typedef struct pg_attribute_aligned(64) DbpWindowSlot
{
	pg_atomic_uint64 number; /* of the time that it is for; see windows.c */
	DbpSharedCounts counts;
}
DbpWindowSlot;

/* What is in a fine slot is not yet in the others: it is moved when the slot is to be used again */
typedef struct DbpWindows
{
	DbpWindowSlot fine[DBP_FINE_SLOTS];
	DbpWindowSlot coarse[DBP_COARSE_SLOTS];
	DbpSharedCounts total;
	pg_atomic_uint32 moves; /* odd: one is under way */
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

/* The same by who has just read the clock: now is what dbp_windows_clock() would say */
extern void dbp_windows_add_at(DbpWindows *windows, uint64 now, uint64 rows, uint64 microseconds,
							   bool error);

/* Adds what was counted in the last minutes (1, 5 or 15), or since the start (0), to a copy */
extern void dbp_windows_read(const DbpWindows *windows, int minutes, DbpCounts *counts);

/* How many seconds dbp_windows_read() has looked back; since the start: seconds since then */
extern double dbp_windows_seconds(int minutes, uint64 since);

/* Forgets everything; others may be adding */
extern void dbp_windows_reset(DbpWindows *windows);

/* Microseconds of a clock that is never set; or of dbperf.now_override, for tests */
extern uint64 dbp_windows_clock(void);

/* Counts alone, without windows */
extern void dbp_counts_init(DbpSharedCounts *counts);
extern void dbp_counts_add(DbpSharedCounts *counts, uint64 rows, uint64 microseconds, bool error);
extern void dbp_counts_read(const DbpSharedCounts *counts, DbpCounts *copy);

extern void dbp_counts_merge(DbpCounts *to, const DbpCounts *from);

/* Adds to a counter of a histogram; halves them all before one overflows */
extern void dbp_histogram_add(pg_atomic_uint32 *histogram, int bucket, uint32 calls);

#endif /* DBP_METRICS_WINDOWS_H */
