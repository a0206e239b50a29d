/*-------------------------------------------------------------------------
 *
 * histogram.h
 *		Log-linear histograms of durations, and percentiles from them.
 *
 * No PostgreSQL in here, so that it can be tested and timed alone.  Counters
 * are plain 32-bit numbers here; who shares them between processes brings the
 * atomic operations (counters.c).
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_HISTOGRAM_H
#define DBP_HISTOGRAM_H

#include <stdint.h>

/* Each power of two is divided into 2^5 buckets */
#define DBP_HISTOGRAM_BITS 5
/* 2^32 microseconds are 71 minutes; what takes longer counts as that */
#define DBP_HISTOGRAM_MAX_BITS 32
#define DBP_HISTOGRAM_SIZE ((DBP_HISTOGRAM_MAX_BITS - DBP_HISTOGRAM_BITS + 1) << DBP_HISTOGRAM_BITS)

/* The bucket of a number of microseconds */
extern int dbp_histogram_bucket(uint64_t microseconds);

/* The number that stands for a bucket: at most 1.6 % off any that is in it */
extern double dbp_histogram_value(int bucket);

/*
 * The value that a fraction (0 to 1) of all counted are not above, as
 * percentile_disc() defines it.  NaN when nothing was counted.
 */
extern double dbp_histogram_percentile(const uint32_t *counts, double fraction);

#endif /* DBP_HISTOGRAM_H */
