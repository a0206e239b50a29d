/*-------------------------------------------------------------------------
 *
 * bins_estimate.c
 *		What integers will take as bins or bit-packed, from a sample of them.
 *
 * Counted is only how many bits the numbers have: with that as a symbol and the
 * bits below the first one in plain it is an upper bound of what the bins take.
 *
 *-------------------------------------------------------------------------
 */
#include "codec/bins.h"

/* The bits that values with such widths take, with what it takes to say which width */
static float
widths_cost(const uint32_t *widths, int n, uint32_t total)
{
	float cost = 0;

	for (int i = 0; i < n; i++)
	{
		int width = i % 65;

		if (widths[i] > 0)
			cost += (float) widths[i] *
				((float) (width > 0 ? width - 1 : 0) + dbp_rough_log2(total) -
				 dbp_rough_log2(widths[i]));
	}
	return cost;
}

/* The same for packing them in one width, with patches */
static float
packed_cost(const uint32_t *widths, uint32_t total)
{
	int widest = 64;
	uint32_t more = 0;
	float best;

	while (widest > 0 && widths[widest] == 0)
		widest--;
	best = (float) widest * (float) total;
	for (int width = widest - 1; width >= 0; width--)
	{
		float cost;

		more += widths[width + 1];
		cost = (float) width * (float) total + (float) more * (float) (10 + widest - width);
		best = cost < best ? cost : best;
	}
	return best;
}

#define MEDIAN_OF 31

/* Nearly: of every so-many-th value */
static uint64_t
find_median(const uint64_t *values, int n)
{
	int64_t sorted[MEDIAN_OF] = {0};
	int nsorted = 0;
	int step = n / MEDIAN_OF + 1;

	for (int i = 0; i < n; i += step)
	{
		int64_t value = (int64_t) values[i];
		int at = nsorted++;

		for (; at > 0 && sorted[at - 1] > value; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = value;
	}
	return (uint64_t) sorted[nsorted / 2];
}

static inline uint64_t
distance_of(uint64_t value, uint64_t centre, int *side)
{
	uint64_t distance = value - centre;

	*side = (int) (distance >> 63);
	return distance ^ (UINT64_C(0) - (distance >> 63));
}

/* From the smallest value up, or from the median both ways? Every so-many-th value tells. */
static bool
is_two_sided(const uint64_t *values, int n, int step, uint64_t min, uint64_t median,
			 DbpBinsEstimate *estimate)
{
	uint32_t one[65] = {0};
	uint32_t two[130] = {0};
	uint32_t counted = 0;
	float from_min;
	float from_median;
	float packed;

	for (int i = 0; i < n; i += step)
	{
		int side;
		uint64_t distance = distance_of(values[i], median, &side);

		one[dbp_bit_width(values[i] - min)]++;
		two[dbp_bit_width(distance) + 65 * side]++;
		counted++;
	}
	from_min = widths_cost(one, 65, counted);
	from_median = widths_cost(two, 130, counted);
	if (estimate != NULL)
	{
		estimate->bins = (from_median < from_min ? from_median : from_min) / (float) counted;
		estimate->packed = packed_cost(one, counted) / (float) counted;
		/* a sign more */
		for (int i = 0; i < 65; i++)
			two[i] += two[i + 65];
		packed = packed_cost(two, counted) / (float) counted + 1;
		estimate->packed = packed < estimate->packed ? packed : estimate->packed;
	}
	return from_median < from_min;
}

/* Whether the values, or which differences of them, suits best is estimated from blocks of them */
#define BLOCKS 8
#define BLOCK 66

void
dbp_bins_estimate(const uint64_t *values, int n, DbpBinsEstimate *estimates)
{
	uint64_t sample[DBP_BINS_MAX_ORDER + 1][BLOCKS * BLOCK];
	int block = n < BLOCKS * BLOCK ? n : BLOCK;
	int nblocks = n < BLOCKS * BLOCK ? 1 : BLOCKS;
	int nsample = 0;

	for (int i = 0; i < nblocks; i++)
	{
		const uint64_t *from = values + (size_t) i * (size_t) (n / nblocks);

		for (int j = DBP_BINS_MAX_ORDER; j < block; j++)
		{
			sample[0][nsample] = from[j];
			sample[1][nsample] = from[j] - from[j - 1];
			sample[2][nsample] = from[j] - 2 * from[j - 1] + from[j - 2];
			nsample++;
		}
	}
	for (int order = 0; order <= DBP_BINS_MAX_ORDER; order++)
	{
		int64_t min = INT64_MAX;

		for (int i = 0; i < nsample; i++)
			min = (int64_t) sample[order][i] < min ? (int64_t) sample[order][i] : min;
		estimates[order].bins = estimates[order].packed = 64;
		if (nsample > 0)
			is_two_sided(sample[order], nsample, 1, (uint64_t) min,
						 find_median(sample[order], nsample), &estimates[order]);
	}
}

#define CENTRE_SAMPLE 256

bool
dbp_bins_two_sided(const uint64_t *values, int n, uint64_t min, uint64_t *median)
{
	*median = find_median(values, n);
	return is_two_sided(values, n, n / CENTRE_SAMPLE + 1, min, *median, NULL) && *median != min;
}
