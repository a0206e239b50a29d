/*-------------------------------------------------------------------------
 *
 * histogram.c
 *		Tests src/metrics/histogram.c, without a server; prints TAP.
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/histogram.h"

#define MAX_ERROR 0.03
#define NVALUES 20000

static int tests = 0;
static int failed = 0;

static void
ok(int passed, const char *name)
{
	printf("%sok %d - %s\n", passed ? "" : "not ", ++tests, name);
	failed += !passed;
}

/* The same numbers in every run (xorshift64*) */
static uint64_t state = UINT64_C(88172645463325252);

static double
uniform(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (state * UINT64_C(2685821657736338717) >> 11) * 0x1.0p-53;
}

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *) a;
	uint64_t y = *(const uint64_t *) b;

	return (x > y) - (x < y);
}

/* How far off the value of a bucket is from a value that falls into it */
static double
error_of(double estimate, double value)
{
	return value == estimate ? 0 : fabs(estimate - value) / value;
}

/*
 * Every bucket at both ends: buckets follow one another without a gap, and no
 * value is farther off than allowed.
 */
static void
test_buckets(void)
{
	double worst = 0;
	int in_order = 1;
	int last = 0;

	for (uint64_t value = 0; value < UINT64_C(1) << DBP_HISTOGRAM_MAX_BITS;
		 value += value < 100000 ? 1 : value / 1000)
	{
		int bucket = dbp_histogram_bucket(value);
		double error = error_of(dbp_histogram_value(bucket), value);

		in_order &= bucket == last || bucket == last + 1;
		last = bucket;
		if (error > worst)
			worst = error;
	}
	ok(in_order, "buckets follow one another");
	ok(last == DBP_HISTOGRAM_SIZE - 1, "and all are used");
	ok(worst <= MAX_ERROR, "no value is farther off than 3 %");
	printf("# worst %.4f %%\n", 100 * worst);
	ok(dbp_histogram_bucket(0) == 0 && dbp_histogram_value(0) == 0, "nothing is nothing");
	ok(dbp_histogram_bucket(UINT64_MAX) == DBP_HISTOGRAM_SIZE - 1,
	   "the last bucket takes all that is longer");
	ok(dbp_histogram_value(DBP_HISTOGRAM_SIZE - 1) > 3600e6, "which is more than an hour");
	for (int bucket = 0; bucket < DBP_HISTOGRAM_SIZE; bucket++)
		in_order &= dbp_histogram_bucket((uint64_t) dbp_histogram_value(bucket)) == bucket;
	ok(in_order, "the value of each bucket lies in it");
}

static double
draw_uniform(void)
{
	return 5e6 * uniform();
}

static double
draw_exponential(void)
{
	return -800 * log(1 - uniform());
}

static double
draw_lognormal(void)
{
	return exp(8 + 3 * sqrt(-2 * log(1 - uniform())) * cos(2 * M_PI * uniform()));
}

/* Most of them the same, a few very long */
static double
draw_two(void)
{
	return uniform() < 0.97 ? 120 : 2e9 * uniform();
}

static double
draw_short(void)
{
	return 70 * uniform();
}

static void
test_percentiles(const char *name, double (*draw)(void))
{
	static const double fractions[] = {0, 0.001, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1};
	static uint64_t values[NVALUES];
	static uint32_t counts[DBP_HISTOGRAM_SIZE];
	double worst = 0;

	for (int n = 1; n <= NVALUES; n = n * 5 + 2)
	{
		memset(counts, 0, sizeof(counts));
		for (int i = 0; i < n; i++)
		{
			values[i] = (uint64_t) fmin(draw(), 4e9);
			counts[dbp_histogram_bucket(values[i])]++;
		}
		qsort(values, n, sizeof(uint64_t), compare);
		for (size_t i = 0; i < sizeof(fractions) / sizeof(fractions[0]); i++)
		{
			/* percentile_disc() */
			int rank = (int) fmax(ceil(fractions[i] * n), 1);
			double error =
				error_of(dbp_histogram_percentile(counts, fractions[i]), values[rank - 1]);

			if (!(error <= worst))
				worst = error;
		}
	}
	ok(worst <= MAX_ERROR, name);
	printf("# worst %.4f %%\n", 100 * worst);
}

static void
test_edges(void)
{
	static uint32_t counts[DBP_HISTOGRAM_SIZE];

	ok(isnan(dbp_histogram_percentile(counts, 0.5)), "nothing has no percentile");
	counts[dbp_histogram_bucket(7)] = UINT32_MAX;
	counts[dbp_histogram_bucket(9)] = UINT32_MAX;
	ok(dbp_histogram_percentile(counts, 0.5) == 7 && dbp_histogram_percentile(counts, 0.51) == 9,
	   "full counters do not overflow");
}

int
main(void)
{
	test_buckets();
	test_percentiles("uniform", draw_uniform);
	test_percentiles("exponential", draw_exponential);
	test_percentiles("lognormal", draw_lognormal);
	test_percentiles("two kinds", draw_two);
	test_percentiles("a few microseconds", draw_short);
	test_edges();
	printf("1..%d\n", tests);
	return failed > 0;
}
