/*-------------------------------------------------------------------------
 *
 * floats.c
 *		Single precision numbers, as their bit patterns.
 *
 *-------------------------------------------------------------------------
 */
#include "codec/decimal.h"
#include "codec/reals.h"
#include "codec/scratch.h"

/* In scratch memory; false: no memory */
static bool
order(const uint32_t *values, int n, uint64_t **ordered)
{
	*ordered = dbp_scratch_take((size_t) n, sizeof(**ordered));
	for (int i = 0; *ordered != NULL && i < n; i++)
		(*ordered)[i] = dbp_float_order(values[i]);
	return *ordered != NULL;
}

static bool
scale(const uint32_t *values, int n, int digits, DbpRealsDecimal *decimal)
{
	decimal->digits = digits;
	decimal->integers = dbp_scratch_take((size_t) n, sizeof(*decimal->integers));
	decimal->positions = dbp_scratch_take((size_t) n + 1, sizeof(*decimal->positions));
	if (decimal->integers == NULL || decimal->positions == NULL)
		return false;
	decimal->nexceptions =
		dbp_decimal_float_scale(values, n, digits, decimal->integers, decimal->positions);
	decimal->exceptions =
		dbp_scratch_take((size_t) decimal->nexceptions, sizeof(*decimal->exceptions));
	if (decimal->exceptions == NULL)
		return false;
	for (int i = 0; i < decimal->nexceptions; i++)
		decimal->exceptions[i] = dbp_float_order(values[decimal->positions[i]]);
	return true;
}

/* Fractions that take more bits each may as well be none */
#define DECIMAL_MAX_BITS 18

static bool
encode(const uint32_t *values, int n, int effort, DbpBuffer *out)
{
	int digits = dbp_decimal_float_digits(values, n);
	size_t begin = out->len;
	size_t middle;
	DbpRealsDecimal decimal;
	uint64_t *ordered;

	if (digits >= 0 &&
		(!scale(values, n, digits, &decimal) || !dbp_reals_decimal_write(&decimal, n, effort, out)))
		return false;
	middle = out->len;
	if (digits >= 0 && (middle - begin) * 8 <= (size_t) n * DECIMAL_MAX_BITS)
		return true;
	if (!order(values, n, &ordered) || !dbp_reals_bits_write(ordered, n, effort, out))
		return false;
	if (digits >= 0)
		dbp_reals_keep_smaller(out, begin, middle);
	return true;
}

bool
dbp_floats_encode(const uint32_t *values, int n, int effort, DbpBuffer *out)
{
	DbpScratch scratch = dbp_scratch_begin();
	size_t begin = out->len;
	bool done = encode(values, n, effort, out);

	dbp_scratch_end(scratch);
	if (!done)
		out->len = begin;
	return done;
}

/* Back from ordered bits, if they are those of a single precision number */
static bool
disorder(uint64_t ordered, uint32_t *value)
{
	uint32_t bits = (uint32_t) ordered;

	*value = bits ^ ((UINT32_C(0) - (bits >> 31)) >> 1);
	return dbp_float_order(*value) == ordered;
}

static bool
read_decimal(DbpReader in, int n, uint64_t *integers, uint32_t *values)
{
	DbpRealsDecimal decimal = {.integers = integers};

	if (!dbp_reals_decimal_read(in, n, &decimal) ||
		!dbp_decimal_float_unscale(integers, n, decimal.digits, values))
		return false;
	for (int i = 0; i < decimal.nexceptions; i++)
	{
		if (!disorder(decimal.exceptions[i], &values[decimal.positions[i]]))
			return false;
	}
	return true;
}

bool
dbp_floats_decode(const uint8_t *chunk, size_t len, int n, uint32_t *values)
{
	DbpScratch scratch = dbp_scratch_begin();
	uint64_t *wide = dbp_scratch_take((size_t) n, sizeof(*wide));
	bool good = wide != NULL;

	if (good && len > 0 && chunk[0] == DBP_REALS_DECIMAL)
		good = read_decimal((DbpReader){chunk + 1, len - 1}, n, wide, values);
	else if (good)
	{
		good = dbp_reals_bits_read((DbpReader){chunk, len}, n, wide);
		for (int i = 0; good && i < n; i++)
			good = disorder(wide[i], &values[i]);
	}
	dbp_scratch_end(scratch);
	return good;
}

bool
dbp_floats_report(const uint32_t *values, int n, int effort, DbpCandidates *candidates)
{
	DbpScratch scratch = dbp_scratch_begin();
	int digits = dbp_decimal_float_digits(values, n);
	DbpRealsDecimal decimal;
	uint64_t *ordered;
	bool done = true;

	if (digits >= 0)
		done = scale(values, n, digits, &decimal) &&
			dbp_reals_decimal_report(&decimal, n, effort, candidates);
	done = done && order(values, n, &ordered) && dbp_reals_report(ordered, n, effort, candidates);
	dbp_scratch_end(scratch);
	return done;
}
