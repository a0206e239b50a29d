/*-------------------------------------------------------------------------
 *
 * doubles.c
 *		Double precision numbers.
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
#include <stdlib.h>

#include "codec/bits.h"
#include "codec/decimal.h"
#include "codec/doubles.h"

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

/* The bits that what remains of the sorted values without their low bits takes */
static float
high_cost(const uint64_t *sorted, int nsorted, int low, int n)
{
	float cost = 0;
	int run = 1;

	for (int i = 1; i <= nsorted; i++)
	{
		if (i < nsorted && sorted[i] >> low == sorted[i - 1] >> low)
		{
			run++;
			continue;
		}
		cost += (float) run * (dbp_rough_log2((uint32_t) nsorted) - dbp_rough_log2((uint32_t) run));
		/* that much is too little for values seen once, and each has to be described */
		cost += 0.7f + 12.0f * (float) nsorted / (float) n;
		run = 1;
	}
	return cost / (float) nsorted;
}

int
dbp_reals_split_bits(const uint64_t *ordered, int n)
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
		float cost = high_cost(sorted, nsorted, low, n) + (float) low;

		if (best == 0 || cost < best_cost)
		{
			best = low;
			best_cost = cost;
		}
	}
	return best;
}

/* The sign is flipped, so that shifting is the same for all */
bool
dbp_reals_split_write(const uint64_t *ordered, int n, int low, int effort, DbpBuffer *out)
{
	uint64_t *part = malloc((size_t) n * sizeof(*part));
	bool done;

	if (part == NULL)
		return false;
	for (int i = 0; i < n; i++)
		part[i] = (ordered[i] ^ UINT64_C(1) << 63) >> low;
	done = dbp_append_byte(out, low) && dbp_ints_write_part(part, n, effort, DBP_INTS_ALL, out);
	for (int i = 0; i < n; i++)
		part[i] = ordered[i] & dbp_low_bits(low);
	done = done && dbp_ints_write(part, n, effort, LOW_KINDS, out);
	free(part);
	return done;
}

bool
dbp_reals_split_read(DbpReader in, int n, uint64_t *ordered)
{
	uint64_t *part = malloc((size_t) n * sizeof(*part));
	int low;
	bool good;

	if (part == NULL)
		return false;
	good = dbp_read_byte(&in, &low) && low >= 1 && low < 64 &&
		dbp_ints_read_part(&in, n, DBP_INTS_ALL, ordered) &&
		dbp_ints_read(in.at, in.left, n, LOW_KINDS, part);
	for (int i = 0; good && i < n; i++)
		ordered[i] = (ordered[i] << low | part[i]) ^ UINT64_C(1) << 63;
	free(part);
	return good;
}

/* As integers by their bits, or split; the smaller one stays */
static bool
write_bits(const uint64_t *values, int n, int effort, DbpBuffer *out)
{
	size_t begin = out->len;
	size_t middle;
	uint64_t *ordered = malloc(((size_t) n + 1) * sizeof(*ordered));
	bool done;

	if (ordered == NULL)
		return false;
	for (int i = 0; i < n; i++)
		ordered[i] = dbp_double_order(values[i]);
	done = dbp_append_byte(out, DBP_REALS_BITS) &&
		dbp_ints_write(ordered, n, effort, DBP_INTS_ALL, out);
	middle = out->len;
	/* nothing is gained by splitting what is far below what random bits take */
	if (done && middle - begin > (size_t) n * 2 && n > 4)
	{
		done = dbp_append_byte(out, DBP_REALS_SPLIT) &&
			dbp_reals_split_write(ordered, n, dbp_reals_split_bits(ordered, n), effort, out);
		if (done && out->len - middle < middle - begin)
		{
			memmove(out->data + begin, out->data + middle, out->len - middle);
			out->len -= middle - begin;
		}
		else
			out->len = middle;
	}
	free(ordered);
	return done;
}

/* The exceptions' positions and bits, each a chunk of their own */
static bool
write_exceptions(const uint64_t *values, uint64_t *exceptions, int nexceptions, int effort,
				 DbpBuffer *out)
{
	DbpBuffer bits = {0};
	bool done;

	if (!dbp_append_varint(out, (uint64_t) nexceptions) ||
		!dbp_ints_write_part(exceptions, nexceptions, effort, DBP_INTS_ALL, out))
		return false;
	for (int i = 0; i < nexceptions; i++)
		exceptions[i] = values[exceptions[i]];
	done = write_bits(exceptions, nexceptions, effort, &bits) && dbp_append_varint(out, bits.len) &&
		dbp_buffer_append(out, bits.data, bits.len);
	dbp_buffer_free(&bits);
	return done;
}

static bool
write_decimal(const uint64_t *values, int n, int digits, int effort, DbpBuffer *out)
{
	uint64_t *integers = malloc(((size_t) n * 2 + 1) * sizeof(*integers));
	uint64_t *exceptions = integers + n;
	int nexceptions;
	bool done;

	if (integers == NULL)
		return false;
	nexceptions = dbp_decimal_scale(values, n, digits, integers, exceptions);
	done = dbp_append_byte(out, DBP_REALS_DECIMAL) &&
		dbp_append_byte(out, digits | (nexceptions > 0 ? DBP_REALS_EXCEPTIONS : 0)) &&
		(nexceptions == 0 || write_exceptions(values, exceptions, nexceptions, effort, out)) &&
		dbp_ints_write(integers, n, effort, DBP_INTS_ALL, out);
	free(integers);
	return done;
}

bool
dbp_doubles_encode(const uint64_t *values, int n, int effort, DbpBuffer *out)
{
	size_t begin = out->len;
	int digits = dbp_decimal_digits(values, n);

	if (digits >= 0 ? write_decimal(values, n, digits, effort, out)
					: write_bits(values, n, effort, out))
		return true;
	out->len = begin;
	return false;
}

static bool
read_bits(DbpReader in, int kind, int n, uint64_t *values)
{
	if (kind == DBP_REALS_SPLIT ? !dbp_reals_split_read(in, n, values)
								: !dbp_ints_read(in.at, in.left, n, DBP_INTS_ALL, values))
		return false;
	for (int i = 0; i < n; i++)
		values[i] = dbp_double_order(values[i]);
	return true;
}

static bool
read_exceptions(DbpReader *in, size_t nexceptions, uint64_t *exceptions, int n)
{
	uint64_t *bits = exceptions + nexceptions;
	size_t size;
	const uint8_t *chunk;

	if (!dbp_ints_read_part(in, (int) nexceptions, DBP_INTS_ALL, exceptions) ||
		!dbp_read_count(in, in->left, &size))
		return false;
	chunk = dbp_read_bytes(in, size);
	if (chunk == NULL || size == 0 || chunk[0] == DBP_REALS_DECIMAL ||
		!read_bits((DbpReader){chunk + 1, size - 1}, chunk[0], (int) nexceptions, bits))
		return false;
	for (size_t i = 0; i < nexceptions; i++)
	{
		if (exceptions[i] >= (uint64_t) n)
			return false;
	}
	return true;
}

static bool
read_decimal(DbpReader in, int n, uint64_t *values)
{
	int flags;
	int digits;
	size_t nexceptions = 0;
	uint64_t *exceptions = NULL;
	bool good = true;

	if (!dbp_read_byte(&in, &flags))
		return false;
	digits = flags & ~DBP_REALS_EXCEPTIONS;
	if (digits > DBP_DECIMAL_MAX_DIGITS)
		return false;
	if ((flags & DBP_REALS_EXCEPTIONS) != 0)
	{
		if (!dbp_read_count(&in, (uint64_t) n, &nexceptions) || nexceptions == 0)
			return false;
		exceptions = malloc(nexceptions * 2 * sizeof(*exceptions));
		good = exceptions != NULL && read_exceptions(&in, nexceptions, exceptions, n);
	}
	good = good && dbp_ints_read(in.at, in.left, n, DBP_INTS_ALL, values) &&
		dbp_decimal_unscale(values, n, digits);
	for (size_t i = 0; good && i < nexceptions; i++)
		values[exceptions[i]] = exceptions[nexceptions + i];
	free(exceptions);
	return good;
}

bool
dbp_doubles_decode(const uint8_t *chunk, size_t len, int n, uint64_t *values)
{
	DbpReader in = {chunk, len};
	int kind;

	if (!dbp_read_byte(&in, &kind))
		return false;
	switch ((DbpRealsKind) kind)
	{
		case DBP_REALS_BITS:
		case DBP_REALS_SPLIT:
			return read_bits(in, kind, n, values);
		case DBP_REALS_DECIMAL:
			return read_decimal(in, n, values);
		default:
			return false;
	}
}
