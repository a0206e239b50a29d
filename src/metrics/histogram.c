/*-------------------------------------------------------------------------
 *
 * histogram.c
 *		Log-linear histograms of durations, and percentiles from them.
 *
 * The layout is that of Gil Tene's HdrHistogram (hdrhistogram.org): buckets
 * double in width with each power of two, and each power of two has the same
 * number S = 2^5 of them.  Numbers below 2S have a bucket each.  For others,
 * with 2^e the highest power of two in v,
 *
 *		bucket = (e - 4) * S + floor(v / 2^(e-5)) mod S
 *
 * A bucket holds the integers from lo to hi with hi < lo * (1 + 1/S).  The
 * harmonic mean of lo and hi stands for it, because its relative error is the
 * same at both ends, (hi - lo) / (hi + lo) < 1 / (2S + 1) = 1.54 %.
 *
 *-------------------------------------------------------------------------
 */
#include "metrics/histogram.h"

#include <math.h>

#define SUB_BUCKETS (UINT64_C(1) << DBP_HISTOGRAM_BITS)

/* Of a number that is not 0 */
static int
highest_bit(uint64_t value)
{
	int bit = 0;

	for (int step = 32; step > 0; step /= 2)
	{
		if (value >> step != 0)
		{
			value >>= step;
			bit += step;
		}
	}
	return bit;
}

int
dbp_histogram_bucket(uint64_t microseconds)
{
	int shift;

	if (microseconds < 2 * SUB_BUCKETS)
		return (int) microseconds;
	if (microseconds >> DBP_HISTOGRAM_MAX_BITS != 0)
		return DBP_HISTOGRAM_SIZE - 1;
	shift = highest_bit(microseconds) - DBP_HISTOGRAM_BITS;
	return (int) (shift * SUB_BUCKETS + (microseconds >> shift));
}

double
dbp_histogram_value(int bucket)
{
	int shift = bucket / (int) SUB_BUCKETS - 1;
	uint64_t lo;
	uint64_t hi;

	if (bucket < (int) (2 * SUB_BUCKETS))
		return bucket;
	lo = (SUB_BUCKETS + bucket % SUB_BUCKETS) << shift;
	hi = lo + (UINT64_C(1) << shift) - 1;
	return 2.0 * lo * hi / (lo + hi);
}

double
dbp_histogram_percentile(const uint32_t *counts, double fraction)
{
	uint64_t total = 0;
	uint64_t rank;
	uint64_t seen = 0;

	for (int i = 0; i < DBP_HISTOGRAM_SIZE; i++)
		total += counts[i];
	if (total == 0)
		return NAN;

	rank = (uint64_t) ceil(fraction * total);
	if (rank < 1)
		rank = 1;
	if (rank > total)
		rank = total;
	for (int i = 0; i < DBP_HISTOGRAM_SIZE; i++)
	{
		seen += counts[i];
		if (seen >= rank)
			return dbp_histogram_value(i);
	}
	return NAN; /* not reached */
}
