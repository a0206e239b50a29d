/*-------------------------------------------------------------------------
 *
 * ints_parts.c
 *		Integers in two parts: factors, quotients and remainders.
 *
 *-------------------------------------------------------------------------
 */
#include "codec/bits.h"
#include "codec/ints_nested.h"
#include "codec/scratch.h"

/* Whether it is worth it is seen by so many values */
#define SAMPLE 128

#define MAX_ZEROS 18

static const int64_t powers[MAX_ZEROS + 1] = {1,
											  10,
											  100,
											  1000,
											  10000,
											  100000,
											  1000000,
											  10000000,
											  100000000,
											  1000000000,
											  INT64_C(10000000000),
											  INT64_C(100000000000),
											  INT64_C(1000000000000),
											  INT64_C(10000000000000),
											  INT64_C(100000000000000),
											  INT64_C(1000000000000000),
											  INT64_C(10000000000000000),
											  INT64_C(100000000000000000),
											  INT64_C(1000000000000000000)};

/* How many zeros the number ends in; 0 has none here */
static int
count_zeros(int64_t *value)
{
	int zeros = 0;

	if (*value == 0)
		return 0;
	while (zeros < MAX_ZEROS && *value % 10 == 0)
	{
		*value /= 10;
		zeros++;
	}
	return zeros;
}

static float
entropy_of(const uint32_t *counts, int n, uint32_t total)
{
	float entropy = 0;

	for (int i = 0; i < n; i++)
		entropy += (float) counts[i] * (dbp_rough_log2(total) - dbp_rough_log2(counts[i]));
	return entropy / (float) total;
}

/* bits: what a value takes otherwise */
bool
dbp_ints_tens_worth(const uint64_t *values, int n, float bits)
{
	uint32_t counts[MAX_ZEROS + 1] = {0};
	uint32_t widths[65] = {0};
	int step = n / SAMPLE + 1;
	uint32_t counted = 0;
	float cost = 0;

	for (int i = 0; i < n; i += step)
	{
		int64_t value = (int64_t) values[i];
		int width;

		counts[count_zeros(&value)]++;
		counted++;
		width = dbp_bit_width((uint64_t) (value < 0 ? ~value : value));
		widths[width]++;
		cost += (float) (width > 0 ? width - 1 : 0);
	}
	if (counts[0] > counted - counted / 10)
		return false;
	cost = cost / (float) counted + entropy_of(counts, MAX_ZEROS + 1, counted) +
		entropy_of(widths, 65, counted);
	return cost < bits * 0.97f;
}

bool
dbp_ints_tens_write(const uint64_t *values, int n, DbpIntsHow how, DbpBuffer *out)
{
	DbpScratch scratch = dbp_scratch_begin();
	uint64_t *zeros = dbp_scratch_take((size_t) n, sizeof(*zeros));
	uint64_t *rests = dbp_scratch_take((size_t) n, sizeof(*rests));
	bool done = false;

	how = dbp_ints_within(how, DBP_INTS_TENS,
						  DBP_INTS_PLAIN | DBP_INTS_BIT(DBP_INTS_RUNS) |
							  DBP_INTS_BIT(DBP_INTS_DICTIONARY));
	if (zeros != NULL && rests != NULL)
	{
		for (int i = 0; i < n; i++)
		{
			int64_t value = (int64_t) values[i];

			zeros[i] = (uint64_t) count_zeros(&value);
			rests[i] = (uint64_t) value;
		}
		done = dbp_ints_write_part(zeros, n, how, out) && dbp_ints_write(rests, n, how, out);
	}
	dbp_scratch_end(scratch);
	return done;
}

bool
dbp_ints_tens_read(DbpReader in, int n, DbpIntsKinds kinds, uint64_t *values)
{
	DbpScratch scratch = dbp_scratch_begin();
	uint64_t *zeros = dbp_scratch_take((size_t) n, sizeof(*zeros));
	bool good = zeros != NULL && dbp_ints_read_part(&in, n, kinds, zeros) &&
		dbp_ints_read(in.at, in.left, n, kinds, values);

	for (int i = 0; good && i < n; i++)
	{
		good = zeros[i] <= MAX_ZEROS;
		if (good)
			values[i] *= (uint64_t) powers[zeros[i]];
	}
	dbp_scratch_end(scratch);
	return good;
}

/* Towards negative infinity, so that the remainder is never negative */
static int64_t
divide_down(int64_t value, int64_t divisor)
{
	int64_t quotient = value / divisor;

	return quotient - (value % divisor < 0);
}

/* So many different remainders, of so many values, are few */
#define FEW_REMAINDERS 16
#define SPLIT_SAMPLE 64

static bool
has_few_remainders(const uint64_t *values, int n, int64_t divisor)
{
	uint64_t remainders[FEW_REMAINDERS];
	int found = 0;
	int step = n / SPLIT_SAMPLE + 1;

	for (int i = 0; i < n; i += step)
	{
		int64_t value = (int64_t) values[i];
		uint64_t remainder =
			values[i] - (uint64_t) divisor * (uint64_t) divide_down(value, divisor);
		int at = 0;

		while (at < found && remainders[at] != remainder)
			at++;
		if (at < found)
			continue;
		if (found == FEW_REMAINDERS)
			return false;
		remainders[found++] = remainder;
	}
	return true;
}

uint64_t
dbp_ints_split_divisor(const uint64_t *values, int n)
{
	int64_t max = 0;
	int step = n / SPLIT_SAMPLE + 1;

	for (int i = 0; i < n; i += step)
	{
		int64_t value = (int64_t) values[i];

		max |= value < 0 ? ~value : value;
	}
	/* without many different values there is no point */
	if (has_few_remainders(values, n, INT64_MAX))
		return 0;
	for (int i = MAX_ZEROS; i > 1; i--)
	{
		if (powers[i] < max && has_few_remainders(values, n, powers[i]))
			return (uint64_t) powers[i];
	}
	for (int bits = 56; bits > 7; bits -= 4)
	{
		if (max >> bits > 0 && has_few_remainders(values, n, INT64_C(1) << bits))
			return UINT64_C(1) << bits;
	}
	return 0;
}

bool
dbp_ints_split_write(const uint64_t *values, int n, uint64_t divisor, DbpIntsHow how,
					 DbpBuffer *out)
{
	DbpScratch scratch = dbp_scratch_begin();
	uint64_t *quotients = dbp_scratch_take((size_t) n, sizeof(*quotients));
	uint64_t *remainders = dbp_scratch_take((size_t) n, sizeof(*remainders));
	bool done = false;

	how = dbp_ints_within(how, DBP_INTS_SPLIT,
						  DBP_INTS_PLAIN | DBP_INTS_BIT(DBP_INTS_SCALED) |
							  DBP_INTS_BIT(DBP_INTS_RUNS) | DBP_INTS_BIT(DBP_INTS_DICTIONARY));
	if (quotients != NULL && remainders != NULL)
	{
		for (int i = 0; i < n; i++)
		{
			quotients[i] = (uint64_t) divide_down((int64_t) values[i], (int64_t) divisor);
			remainders[i] = values[i] - quotients[i] * divisor;
		}
		done = dbp_append_varint(out, divisor) && dbp_ints_write_part(remainders, n, how, out) &&
			dbp_ints_write(quotients, n, how, out);
	}
	dbp_scratch_end(scratch);
	return done;
}

bool
dbp_ints_split_read(DbpReader in, int n, DbpIntsKinds kinds, uint64_t *values)
{
	DbpScratch scratch = dbp_scratch_begin();
	uint64_t *remainders = dbp_scratch_take((size_t) n, sizeof(*remainders));
	uint64_t divisor;
	bool good = remainders != NULL && dbp_read_varint(&in, &divisor) &&
		dbp_ints_read_part(&in, n, kinds, remainders) &&
		dbp_ints_read(in.at, in.left, n, kinds, values);

	for (int i = 0; good && i < n; i++)
		values[i] = values[i] * divisor + remainders[i];
	dbp_scratch_end(scratch);
	return good;
}
