/*-------------------------------------------------------------------------
 *
 * doubles.c
 *		Double precision numbers, as their bit patterns.
 *
 *-------------------------------------------------------------------------
 */
#include "codec/decimal.h"
#include "codec/reals.h"
#include "codec/scratch.h"

/* In scratch memory; false: no memory */
static bool
order(const uint64_t *values, int n, uint64_t **ordered)
{
	*ordered = dbp_scratch_take((size_t) n, sizeof(**ordered));
	for (int i = 0; *ordered != NULL && i < n; i++)
		(*ordered)[i] = dbp_double_order(values[i]);
	return *ordered != NULL;
}

static bool
scale(const uint64_t *values, int n, int digits, DbpRealsDecimal *decimal)
{
	decimal->digits = digits;
	decimal->integers = dbp_scratch_take((size_t) n, sizeof(*decimal->integers));
	decimal->positions = dbp_scratch_take((size_t) n + 1, sizeof(*decimal->positions));
	if (decimal->integers == NULL || decimal->positions == NULL)
		return false;
	decimal->nexceptions =
		dbp_decimal_scale(values, n, digits, decimal->integers, decimal->positions);
	decimal->exceptions =
		dbp_scratch_take((size_t) decimal->nexceptions, sizeof(*decimal->exceptions));
	if (decimal->exceptions == NULL)
		return false;
	for (int i = 0; i < decimal->nexceptions; i++)
		decimal->exceptions[i] = dbp_double_order(values[decimal->positions[i]]);
	return true;
}

/* Calculated numbers: decimal fractions, and by how many steps each is off */
static bool
write_near(const uint64_t *values, int n, int digits, int effort, DbpBuffer *out)
{
	DbpIntsHow how = dbp_ints_how(effort, DBP_INTS_ALL);
	uint64_t *integers = dbp_scratch_take((size_t) n, sizeof(*integers));
	uint64_t *off = dbp_scratch_take((size_t) n, sizeof(*off));

	if (integers == NULL || off == NULL)
		return false;
	dbp_decimal_near_scale(values, n, digits, integers);
	memcpy(off, integers, (size_t) n * sizeof(*off));
	dbp_decimal_unscale(off, n, digits);
	for (int i = 0; i < n; i++)
		off[i] = dbp_double_order(values[i]) - dbp_double_order(off[i]);
	return dbp_append_byte(out, DBP_REALS_NEAR) && dbp_append_byte(out, digits) &&
		dbp_ints_write_part(off, n, how, out) && dbp_ints_write(integers, n, how, out);
}

/* So many exceptions are looked at more closely: one in so many values */
#define EXCEPTIONS 32

/* Fractions that take more bits each may as well be none */
#define DECIMAL_MAX_BITS 40

/* Are half of a sample, at least, values that come again in it? */
#define REPEAT_SAMPLE 64

static bool
has_few_values(const uint64_t *values, int n)
{
	uint64_t seen[REPEAT_SAMPLE / 2];
	int nseen = 0;
	int step = n / REPEAT_SAMPLE + 1;

	for (int i = 0; i < n; i += step)
	{
		int at = 0;

		while (at < nseen && seen[at] != values[i])
			at++;
		if (at < nseen)
			continue;
		if (nseen == REPEAT_SAMPLE / 2)
			return false;
		seen[nseen++] = values[i];
	}
	return true;
}

/* Decimal fractions, or what is near them; *good: whether that was worth it */
static bool
encode_decimal(const uint64_t *values, int n, int effort, DbpBuffer *out, bool *good)
{
	int digits = dbp_decimal_digits(values, n);
	int near = -1;
	DbpRealsDecimal decimal;
	size_t begin = out->len;

	if (digits >= 0 && !scale(values, n, digits, &decimal))
		return false;
	if (digits < 0 || decimal.nexceptions > n / EXCEPTIONS)
		near = dbp_decimal_near_digits(values, n);
	if (near >= 0 ? !write_near(values, n, near, effort, out)
				  : digits >= 0 && !dbp_reals_decimal_write(&decimal, n, effort, out))
		return false;
	*good = out->len > begin && (out->len - begin) * 8 <= (size_t) n * DECIMAL_MAX_BITS &&
		(near < 0 || !has_few_values(values, n));
	return true;
}

static bool
encode(const uint64_t *values, int n, int effort, DbpBuffer *out)
{
	size_t begin = out->len;
	size_t middle;
	uint64_t *ordered;
	bool good;

	if (!encode_decimal(values, n, effort, out, &good))
		return false;
	if (good)
		return true;
	middle = out->len;
	if (!order(values, n, &ordered) || !dbp_reals_bits_write(ordered, n, effort, out))
		return false;
	if (middle > begin)
		dbp_reals_keep_smaller(out, begin, middle);
	return true;
}

bool
dbp_doubles_encode(const uint64_t *values, int n, int effort, DbpBuffer *out)
{
	DbpScratch scratch = dbp_scratch_begin();
	size_t begin = out->len;
	bool done = encode(values, n, effort, out);

	dbp_scratch_end(scratch);
	if (!done)
		out->len = begin;
	return done;
}

static bool
read_decimal(DbpReader in, int n, uint64_t *values)
{
	DbpRealsDecimal decimal = {.integers = values};

	if (!dbp_reals_decimal_read(in, n, &decimal) || !dbp_decimal_unscale(values, n, decimal.digits))
		return false;
	for (int i = 0; i < decimal.nexceptions; i++)
		values[decimal.positions[i]] = dbp_double_order(decimal.exceptions[i]);
	return true;
}

static bool
read_near(DbpReader in, int n, uint64_t *values)
{
	uint64_t *off = dbp_scratch_take((size_t) n, sizeof(*off));
	int digits;

	if (off == NULL || !dbp_read_byte(&in, &digits) || digits > DBP_DECIMAL_MAX_DIGITS ||
		!dbp_ints_read_part(&in, n, DBP_INTS_ALL, off) ||
		!dbp_ints_read(in.at, in.left, n, DBP_INTS_ALL, values) ||
		!dbp_decimal_unscale(values, n, digits))
		return false;
	for (int i = 0; i < n; i++)
		values[i] = dbp_double_order(dbp_double_order(values[i]) + off[i]);
	return true;
}

bool
dbp_doubles_decode(const uint8_t *chunk, size_t len, int n, uint64_t *values)
{
	DbpScratch scratch = dbp_scratch_begin();
	bool good;

	if (len > 0 && chunk[0] == DBP_REALS_DECIMAL)
		good = read_decimal((DbpReader){chunk + 1, len - 1}, n, values);
	else if (len > 0 && chunk[0] == DBP_REALS_NEAR)
		good = read_near((DbpReader){chunk + 1, len - 1}, n, values);
	else
	{
		good = dbp_reals_bits_read((DbpReader){chunk, len}, n, values);
		for (int i = 0; good && i < n; i++)
			values[i] = dbp_double_order(values[i]);
	}
	dbp_scratch_end(scratch);
	return good;
}

bool
dbp_doubles_report(const uint64_t *values, int n, int effort, DbpCandidates *candidates)
{
	DbpScratch scratch = dbp_scratch_begin();
	int digits = dbp_decimal_digits(values, n);
	int near = dbp_decimal_near_digits(values, n);
	DbpRealsDecimal decimal;
	DbpBuffer out = {0};
	uint64_t *ordered;
	bool done = true;

	if (digits >= 0)
		done = scale(values, n, digits, &decimal) &&
			dbp_reals_decimal_report(&decimal, n, effort, candidates);
	if (near >= 0 && done)
	{
		done = write_near(values, n, near, effort, &out);
		if (done)
			dbp_candidates_add(candidates, DBP_FAMILY_DOUBLE, out.data, out.len, n);
		dbp_buffer_free(&out);
	}
	done = done && order(values, n, &ordered) && dbp_reals_report(ordered, n, effort, candidates);
	dbp_scratch_end(scratch);
	return done;
}
