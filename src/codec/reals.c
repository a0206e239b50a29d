/*-------------------------------------------------------------------------
 *
 * reals.c
 *		What double precision and single precision numbers have in common.
 *
 * Decimal fractions become integers (decimal.c).  Others are integers by their
 * bits, which is good for numbers that are close to those before, or come
 * again; or else they are split in two: high bits, of which there are few
 * different ones, and low bits that are as good as random.  The latter is
 * ALP-RD of the paper that decimal.c cites, but that any encoding of integers
 * may be used for the high bits, not only a dictionary of eight.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>

#include "codec/bits.h"
#include "codec/decimal.h"
#include "codec/reals.h"
#include "codec/scratch.h"

/* Where to split is decided by so many values */
#define SAMPLE 256

/* Random bits: nothing but packing them is tried, unless all end in zeros */
#define LOW_KINDS \
	(DBP_INTS_BIT(DBP_INTS_CONSTANT) | DBP_INTS_BIT(DBP_INTS_VECTORS) | \
	 DBP_INTS_BIT(DBP_INTS_SCALED))

static int
compare_unsigned(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *) a;
	uint64_t right = *(const uint64_t *) b;

	return (left > right) - (left < right);
}

/*
 * The bits that what remains of the sorted values without their low bits takes,
 * or -1 where too many are different for a sample to tell.
 */
static float
high_cost(const uint64_t *sorted, int nsorted, int low, int n)
{
	float cost = 0;
	int run = 1;
	int nruns = 0;

	for (int i = 1; i <= nsorted; i++)
	{
		if (i < nsorted && sorted[i] >> low == sorted[i - 1] >> low)
		{
			run++;
			continue;
		}
		cost += (float) run * (dbp_rough_log2((uint32_t) nsorted) - dbp_rough_log2((uint32_t) run));
		/* that is too little for values that are seen once, and each has to be described */
		cost += 0.7f + 12.0f * (float) nsorted / (float) n;
		run = 1;
		nruns++;
	}
	return nruns > nsorted / 4 + 1 ? -1 : cost / (float) nsorted;
}

int
dbp_reals_split_bits(const uint64_t *ordered, int n, float *bits)
{
	uint64_t sorted[SAMPLE];
	int nsorted = 0;
	int step = n / SAMPLE + 1;
	int best = 0;
	float best_cost = 0;

	for (int i = 0; i < n; i += step)
		sorted[nsorted++] = ordered[i] ^ UINT64_C(1) << 63;
	qsort(sorted, (size_t) nsorted, sizeof(*sorted), compare_unsigned);
	for (int low = 60; low > 0; low--)
	{
		float cost = high_cost(sorted, nsorted, low, n);

		/* with less taken off there are even more */
		if (cost < 0 && best > 0)
			break;
		cost = cost < 0 ? 64 : cost + (float) low;
		if (best == 0 || cost < best_cost)
		{
			best = low;
			best_cost = cost;
		}
	}
	*bits = best_cost;
	return best;
}

/* The sign is flipped, so that shifting is the same for all */
static bool
split_write(const uint64_t *ordered, int n, int low, int effort, DbpBuffer *out)
{
	DbpScratch scratch = dbp_scratch_begin();
	uint64_t *part = dbp_scratch_take((size_t) n, sizeof(*part));
	bool done = part != NULL && dbp_append_byte(out, low);

	for (int i = 0; done && i < n; i++)
		part[i] = (ordered[i] ^ UINT64_C(1) << 63) >> low;
	done = done && dbp_ints_write_part(part, n, dbp_ints_how(effort, DBP_INTS_ALL), out);
	for (int i = 0; done && i < n; i++)
		part[i] = ordered[i] & dbp_low_bits(low);
	done = done && dbp_ints_write(part, n, dbp_ints_how(effort, LOW_KINDS), out);
	dbp_scratch_end(scratch);
	return done;
}

static bool
split_read(DbpReader in, int n, uint64_t *ordered)
{
	DbpScratch scratch = dbp_scratch_begin();
	uint64_t *part = dbp_scratch_take((size_t) n, sizeof(*part));
	int low;
	bool good = part != NULL && dbp_read_byte(&in, &low) && low >= 1 && low < 64 &&
		dbp_ints_read_part(&in, n, DBP_INTS_ALL, ordered) &&
		dbp_ints_read(in.at, in.left, n, LOW_KINDS, part);

	for (int i = 0; good && i < n; i++)
		ordered[i] = (ordered[i] << low | part[i]) ^ UINT64_C(1) << 63;
	dbp_scratch_end(scratch);
	return good;
}

/* Nothing is gained by splitting what is far below what random bits take */
#define SPLIT_MIN_BITS 16

/* Of two chunks one after the other, the smaller one stays */
void
dbp_reals_keep_smaller(DbpBuffer *out, size_t begin, size_t middle)
{
	size_t first = middle - begin;
	size_t second = out->len - middle;

	if (second < first)
		memmove(out->data + begin, out->data + middle, second);
	out->len = begin + (second < first ? second : first);
}

bool
dbp_reals_bits_write(const uint64_t *ordered, int n, int effort, DbpBuffer *out)
{
	size_t begin = out->len;
	size_t middle;
	float bits;
	int low;

	if (!dbp_append_byte(out, DBP_REALS_BITS) ||
		!dbp_ints_write(ordered, n, dbp_ints_how(effort, DBP_INTS_ALL), out))
		return false;
	middle = out->len;
	if ((middle - begin) * 8 <= (size_t) n * SPLIT_MIN_BITS)
		return true;
	low = dbp_reals_split_bits(ordered, n, &bits);
	if (effort < DBP_EFFORT_BEST && bits * (float) n > (float) (middle - begin) * 8)
		return true;
	if (!dbp_append_byte(out, DBP_REALS_SPLIT) || !split_write(ordered, n, low, effort, out))
		return false;
	dbp_reals_keep_smaller(out, begin, middle);
	return true;
}

bool
dbp_reals_bits_read(DbpReader in, int n, uint64_t *ordered)
{
	int kind;

	if (!dbp_read_byte(&in, &kind))
		return false;
	if (kind == DBP_REALS_SPLIT)
		return split_read(in, n, ordered);
	return kind == DBP_REALS_BITS && dbp_ints_read(in.at, in.left, n, DBP_INTS_ALL, ordered);
}

/*
 * The number of digits; if there are exceptions, how many, their positions and
 * bits, each a chunk of its own; the integers.
 */
bool
dbp_reals_decimal_write(const DbpRealsDecimal *decimal, int n, int effort, DbpBuffer *out)
{
	DbpIntsHow how = dbp_ints_how(effort, DBP_INTS_ALL);
	int nexceptions = decimal->nexceptions;

	if (!dbp_append_byte(out, DBP_REALS_DECIMAL) ||
		!dbp_append_byte(out, decimal->digits | (nexceptions > 0 ? DBP_REALS_EXCEPTIONS : 0)))
		return false;
	if (nexceptions > 0)
	{
		DbpBuffer bits = {0};
		bool done = dbp_append_varint(out, (uint64_t) nexceptions) &&
			dbp_ints_write_part(decimal->positions, nexceptions, how, out) &&
			dbp_reals_bits_write(decimal->exceptions, nexceptions, effort, &bits) &&
			dbp_append_varint(out, bits.len) && dbp_buffer_append(out, bits.data, bits.len);

		dbp_buffer_free(&bits);
		if (!done)
			return false;
	}
	return dbp_ints_write(decimal->integers, n, how, out);
}

static bool
read_exceptions(DbpReader *in, DbpRealsDecimal *decimal, int n)
{
	size_t count;
	size_t size;
	const uint8_t *chunk;

	if (!dbp_read_count(in, (uint64_t) n, &count) || count == 0)
		return false;
	decimal->nexceptions = (int) count;
	decimal->positions = dbp_scratch_take(count, sizeof(*decimal->positions));
	decimal->exceptions = dbp_scratch_take(count, sizeof(*decimal->exceptions));
	if (decimal->positions == NULL || decimal->exceptions == NULL ||
		!dbp_ints_read_part(in, decimal->nexceptions, DBP_INTS_ALL, decimal->positions) ||
		!dbp_read_count(in, in->left, &size))
		return false;
	chunk = dbp_read_bytes(in, size);
	if (chunk == NULL ||
		!dbp_reals_bits_read((DbpReader){chunk, size}, decimal->nexceptions, decimal->exceptions))
		return false;
	for (int i = 0; i < decimal->nexceptions; i++)
	{
		if (decimal->positions[i] >= (uint64_t) n)
			return false;
	}
	return true;
}

bool
dbp_reals_decimal_read(DbpReader in, int n, DbpRealsDecimal *decimal)
{
	int flags;

	if (!dbp_read_byte(&in, &flags))
		return false;
	decimal->digits = flags & ~DBP_REALS_EXCEPTIONS;
	decimal->nexceptions = 0;
	if (decimal->digits > DBP_DECIMAL_MAX_DIGITS)
		return false;
	if ((flags & DBP_REALS_EXCEPTIONS) != 0 && !read_exceptions(&in, decimal, n))
		return false;
	return dbp_ints_read(in.at, in.left, n, DBP_INTS_ALL, decimal->integers);
}

bool
dbp_reals_report(const uint64_t *ordered, int n, int effort, DbpCandidates *candidates)
{
	DbpBuffer out = {0};
	float bits;
	int low;
	bool done;

	candidates->extra = 1;
	candidates->prefix = "bits: ";
	done = dbp_ints_report(ordered, n, effort, candidates);
	candidates->extra = 0;
	candidates->prefix = "";
	if (done && n > 0)
	{
		low = dbp_reals_split_bits(ordered, n, &bits);
		done = dbp_append_byte(&out, DBP_REALS_SPLIT) && split_write(ordered, n, low, effort, &out);
		if (done)
			dbp_candidates_add(candidates, DBP_FAMILY_DOUBLE, out.data, out.len, n);
	}
	dbp_buffer_free(&out);
	return done;
}

/* The candidates for the integers are of more interest than that there are integers */
bool
dbp_reals_decimal_report(const DbpRealsDecimal *decimal, int n, int effort,
						 DbpCandidates *candidates)
{
	DbpBuffer out = {0};
	char prefix[32];
	bool done;

	/* without its integers */
	done = dbp_reals_decimal_write(decimal, 0, effort, &out);
	if (done)
	{
		snprintf(prefix, sizeof(prefix), "%d decimals: ", decimal->digits);
		candidates->extra = out.len - 2;
		candidates->prefix = prefix;
		done = dbp_ints_report(decimal->integers, n, effort, candidates);
		candidates->extra = 0;
		candidates->prefix = "";
	}
	dbp_buffer_free(&out);
	return done;
}
