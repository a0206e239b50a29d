/*-------------------------------------------------------------------------
 *
 * numerics.c
 *		PostgreSQL's numeric as integers and scales.
 *
 *		scale of the integers; perhaps the exceptions: how many, part: bitmap
 *		of where, part: chunk of them; display scale of all values, or part:
 *		those of each, or nothing; part: integers, perhaps part: higher ones
 *
 * Of a value whose digits begin and end with one that is not zero, nothing
 * else is needed than the integer that it is when multiplied by a power of ten, and
 * its display scale.  Values are put together again from those when they are
 * encoded, and where that does not give the same bytes, or takes too large an
 * integer, the value is an exception and kept as the bytes that it is.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "codec/numeric_form.h"
#include "codec/slices.h"

/* Flags of a chunk of this kind */
#define HAS_EXCEPTIONS 0x80
#define SAME_SCALE 0x40	  /* the display scale is the same in all values */
#define NEEDED_SCALE 0x20 /* it is just what a value needs */
#define WIDE 0x10		  /* the integer is high * WIDE_UNIT + low */

#define NARROW_DIGITS 18
#define WIDE_DIGITS 36
#define WIDE_UNIT INT64_C(1000000000000000000)

/* No larger scale is tried */
#define MAX_SCALE 255

/*
 * What to choose a scale by, in bits: what an exception takes, what one more
 * decimal adds to each of the others, and what a second integer does.
 */
#define EXCEPTION_BITS 120
#define DECIMAL_BITS 3.32
#define WIDE_BITS 8

/* Exceptions are at most that part of the values */
#define MAX_EXCEPTIONS 4

/* Where exceptions are fewer than that part, and the bytes too, other kinds are hardly smaller */
#define FEW_EXCEPTIONS 16
#define CLEAR_BYTES(total) ((total) / 4 * 3)

/* What other kinds to try: of digits, the rest finds nothing */
#define OTHER_KINDS \
	(DBP_SLICES_BIT(DBP_SLICES_CONSTANT) | DBP_SLICES_BIT(DBP_SLICES_PLAIN) | \
	 DBP_SLICES_BIT(DBP_SLICES_PREFIX) | DBP_SLICES_BIT(DBP_SLICES_DICTIONARY) | \
	 DBP_SLICES_BIT(DBP_SLICES_COLUMNS))

/* What a value needs to be an integer: so many decimals; it has that many digits before them */
typedef struct Need
{
	int16_t decimals; /* -1: cannot be one */
	int16_t top;
} Need;

typedef struct Plan
{
	int scale;
	bool wide;
	double bits;
} Plan;

/* All that a chunk is made of; integers and scales only of values that are not exceptions */
typedef struct Parts
{
	Plan plan;
	int n;
	int nintegers;
	uint64_t total;
	bool same_scale;
	bool needed_scale;
	Need *needs;
	uint8_t *bitmap; /* of exceptions */
	DbpSlice *exceptions;
	int64_t *low;
	int64_t *high;
	int64_t *scales;
} Parts;

static Need
find_need(const DbpSlice *value)
{
	Need need = {-1, 0};
	DbpNumeric numeric;
	int first;
	int last;
	int decimals;

	if (!dbp_numeric_take_apart(value, &numeric) || numeric.ndigits > DBP_NUMERIC_MAX_BYTES / 2 ||
		numeric.weight < -MAX_SCALE || numeric.weight > WIDE_DIGITS)
		return need;
	if (numeric.ndigits == 0)
		return (Need){0, -MAX_SCALE};
	for (int i = 0; i < numeric.ndigits; i++)
		if (dbp_numeric_digit(numeric.digits + 2 * i) >= DBP_NUMERIC_BASE)
			return need;
	first = dbp_numeric_digit(numeric.digits);
	last = dbp_numeric_digit(numeric.digits + 2 * (numeric.ndigits - 1));
	if (first == 0 || last == 0)
		return need;
	decimals = (numeric.ndigits - 1 - numeric.weight) * DBP_NUMERIC_BASE_DIGITS;
	for (; last % 10 == 0; last /= 10)
		decimals--;
	need.decimals = (int16_t) (decimals < 0 ? 0 : decimals);
	need.top = (int16_t) (numeric.weight * DBP_NUMERIC_BASE_DIGITS + 1);
	for (; first >= 10; first /= 10)
		need.top++;
	return need;
}

/* For integers of so many digits the scale that takes the fewest bits */
static Plan
choose_scale(const Need *needs, int n, int digits)
{
	int changes[MAX_SCALE + 2] = {0};
	int fit = 0;
	Plan best = {.scale = -1};

	for (int i = 0; i < n; i++)
	{
		int to = digits - needs[i].top;

		if (needs[i].decimals >= 0 && needs[i].decimals <= MAX_SCALE && to >= needs[i].decimals)
		{
			changes[needs[i].decimals]++;
			changes[to < MAX_SCALE ? to + 1 : MAX_SCALE + 1]--;
		}
	}
	for (int scale = 0; scale <= MAX_SCALE; scale++)
	{
		double bits;

		fit += changes[scale];
		bits = fit * DECIMAL_BITS * scale + (double) (n - fit) * EXCEPTION_BITS;
		if (fit >= n - n / MAX_EXCEPTIONS && (best.scale < 0 || bits < best.bits))
		{
			best.scale = scale;
			best.bits = bits;
		}
	}
	return best;
}

/* scale -1: they cannot be encoded as integers */
static Plan
make_plan(const Need *needs, int n)
{
	Plan narrow = choose_scale(needs, n, NARROW_DIGITS);
	Plan wide = choose_scale(needs, n, WIDE_DIGITS);

	wide.wide = true;
	wide.bits += (double) n * WIDE_BITS;
	return narrow.scale < 0 || (wide.scale >= 0 && wide.bits < narrow.bits) ? wide : narrow;
}

static bool
fits(const Need *need, const Plan *plan)
{
	return need->decimals >= 0 && need->decimals <= plan->scale &&
		need->top + plan->scale <= (plan->wide ? WIDE_DIGITS : NARROW_DIGITS);
}

/* Takes the value as an integer, where the same bytes come of it. */
static bool
add_integer(const DbpSlice *value, Parts *parts)
{
	uint8_t bytes[DBP_NUMERIC_MAX_BYTES];
	DbpNumeric numeric;
	DbpWide number;
	int at = parts->nintegers;

	if (!dbp_numeric_take_apart(value, &numeric))
		return false;
	number = dbp_numeric_to_integer(&numeric, parts->plan.scale);
	if (dbp_numeric_put_together(number, parts->plan.scale, numeric.scale, bytes) != value->len ||
		memcmp(bytes, value->data, value->len) != 0)
		return false;
	parts->low[at] = (int64_t) (parts->plan.wide ? number % WIDE_UNIT : number);
	parts->high[at] = (int64_t) (number / WIDE_UNIT);
	parts->scales[at] = numeric.scale;
	parts->same_scale &= numeric.scale == parts->scales[0];
	parts->needed_scale &= numeric.scale == dbp_numeric_needed_scale(number, parts->plan.scale);
	parts->nintegers++;
	return true;
}

static void
fill_parts(const DbpSlice *values, Parts *parts)
{
	int nexceptions = 0;

	parts->same_scale = true;
	parts->needed_scale = true;
	for (int i = 0; i < parts->n; i++)
	{
		parts->total += values[i].len;
		if (fits(&parts->needs[i], &parts->plan) && add_integer(&values[i], parts))
			continue;
		parts->bitmap[i / 8] |= (uint8_t) (1 << i % 8);
		parts->exceptions[nexceptions++] = values[i];
	}
}

static bool
make_parts(const DbpSlice *values, int n, Parts *parts)
{
	parts->n = n;
	parts->needs = malloc((size_t) n * sizeof(Need));
	parts->bitmap = calloc(1, (size_t) n / 8 + 1);
	parts->exceptions = malloc((size_t) n * sizeof(DbpSlice));
	parts->low = malloc((size_t) n * sizeof(int64_t));
	parts->high = malloc((size_t) n * sizeof(int64_t));
	parts->scales = malloc((size_t) n * sizeof(int64_t));
	if (parts->needs == NULL || parts->bitmap == NULL || parts->exceptions == NULL ||
		parts->low == NULL || parts->high == NULL || parts->scales == NULL)
		return false;
	for (int i = 0; i < n; i++)
		parts->needs[i] = find_need(&values[i]);
	parts->plan = make_plan(parts->needs, n);
	if (parts->plan.scale >= 0)
		fill_parts(values, parts);
	return true;
}

static void
free_parts(Parts *parts)
{
	free(parts->needs);
	free(parts->bitmap);
	free(parts->exceptions);
	free(parts->low);
	free(parts->high);
	free(parts->scales);
}

static bool
write_exceptions(DbpBuffer *out, const Parts *parts, const DbpTrial *trial)
{
	int count = parts->n - parts->nintegers;
	size_t begin;

	if (count == 0)
		return true;
	if (!dbp_append_varint(out, (uint64_t) count))
		return false;
	begin = out->len;
	return dbp_bitmap_encode(parts->bitmap, parts->n, out) && dbp_part_close(out, begin) &&
		dbp_slices_write(out, parts->exceptions, count, trial->effort, trial->kinds);
}

static bool
write_scales(DbpBuffer *out, const Parts *parts, int effort)
{
	if (parts->same_scale)
		return dbp_append_varint(out, (uint64_t) parts->scales[0]);
	return parts->needed_scale || dbp_numbers_write(out, parts->scales, parts->nintegers, effort);
}

static bool
write_parts(DbpBuffer *out, const Parts *parts, const DbpTrial *trial)
{
	uint8_t flags = (parts->nintegers < parts->n ? HAS_EXCEPTIONS : 0) |
		(parts->same_scale		   ? SAME_SCALE
			 : parts->needed_scale ? NEEDED_SCALE
								   : 0) |
		(parts->plan.wide ? WIDE : 0);

	return dbp_head_write(out, DBP_SLICES_NUMERIC, flags, parts->total) &&
		dbp_append_byte(out, parts->plan.scale) && write_exceptions(out, parts, trial) &&
		write_scales(out, parts, trial->effort) &&
		dbp_numbers_write(out, parts->low, parts->nintegers, trial->effort) &&
		(!parts->plan.wide || dbp_numbers_write(out, parts->high, parts->nintegers, trial->effort));
}

/* Of few different values, numbers of one kind take less than those of two or three. */
static bool
try_dictionary(const DbpSlice *values, int n, uint64_t total, DbpTrial *trial)
{
	DbpSliceProfile profile = {.total = total};
	int distinct;

	return dbp_dictionary_try(values, n, &profile, trial, &distinct);
}

/* As integers where they can be, as other slices where not, or where that may be smaller */
static bool
try_numerics(const DbpSlice *values, int n, DbpTrial *trial)
{
	Parts parts = {0};
	bool done = make_parts(values, n, &parts);
	bool clear;

	if (done && parts.nintegers > 0)
	{
		done = write_parts(&trial->work, &parts, trial);
		if (done)
			dbp_trial_consider(trial, "integers");
	}
	clear = done && parts.nintegers >= n - n / FEW_EXCEPTIONS &&
		trial->best.len < CLEAR_BYTES(parts.total);
	if (done && !clear)
		done = dbp_slices_try(values, n, trial);
	else if (done && (parts.plan.wide || !parts.same_scale))
		done = try_dictionary(values, n, parts.total, trial);
	free_parts(&parts);
	return done;
}

bool
dbp_numerics_encode(const DbpSlice *values, int n, int effort, DbpBuffer *out)
{
	DbpTrial trial = {.effort = effort, .kinds = OTHER_KINDS};
	bool tried = n > 0 ? try_numerics(values, n, &trial) : dbp_slices_try(values, n, &trial);

	return dbp_trial_end(&trial, tried ? out : NULL) && tried;
}

int
dbp_numerics_candidates(const DbpSlice *values, int n, int effort, DbpCandidate *candidates,
						int max)
{
	DbpTrial trial = {.effort = effort, .kinds = OTHER_KINDS, .candidates = candidates, .max = max};

	if (n > 0)
		try_numerics(values, n, &trial);
	else
		dbp_slices_try(values, n, &trial);
	dbp_trial_end(&trial, NULL);
	return trial.ncandidates;
}

/* What is read of a chunk before its values are put together */
typedef struct Decoded
{
	int scale;
	int nintegers;
	uint8_t *bitmap; /* of exceptions, or NULL */
	DbpSliceSink exceptions;
	int same_scale;
	int64_t *scales; /* or NULL */
	int64_t *low;
	int64_t *high; /* or NULL */
} Decoded;

static bool
read_exceptions(DbpReader *in, DbpSliceKinds kinds, const DbpSliceSink *sink, Decoded *decoded)
{
	DbpReader part;
	size_t count;
	int ones = 0;

	if (!dbp_read_count(in, (uint64_t) sink->n, &count) || count == 0 || !dbp_part_read(in, &part))
		return false;
	decoded->bitmap = malloc((size_t) sink->n / 8 + 1);
	if (decoded->bitmap == NULL || !dbp_bitmap_decode(part.at, part.left, sink->n, decoded->bitmap))
		return false;
	for (int i = 0; i < (sink->n + 7) / 8; i++)
		ones += __builtin_popcount(decoded->bitmap[i]);
	decoded->nintegers = sink->n - (int) count;
	return ones == (int) count &&
		dbp_slices_read(in, (int) count, kinds, sink->size, &decoded->exceptions);
}

static bool
read_integers(DbpReader *in, int n, int64_t min, int64_t max, int64_t **integers)
{
	DbpReader part;
	bool outside = false;

	*integers = malloc((size_t) n * sizeof(int64_t) + 1);
	if (*integers == NULL || !dbp_part_read(in, &part) ||
		!dbp_ints_decode(part.at, part.left, n, *integers))
		return false;
	for (int i = 0; i < n; i++)
		outside |= (*integers)[i] < min || (*integers)[i] > max;
	return !outside;
}

static bool
read_parts(DbpReader *in, uint8_t flags, DbpSliceKinds kinds, const DbpSliceSink *sink,
		   Decoded *decoded)
{
	bool wide = (flags & WIDE) != 0;
	size_t same_scale;
	int n;

	decoded->nintegers = sink->n;
	decoded->same_scale = -1;
	if (!dbp_read_byte(in, &decoded->scale) ||
		((flags & HAS_EXCEPTIONS) != 0 && !read_exceptions(in, kinds, sink, decoded)))
		return false;
	n = decoded->nintegers;
	if ((flags & SAME_SCALE) != 0)
	{
		if (!dbp_read_count(in, DBP_NUMERIC_SCALE_MASK, &same_scale))
			return false;
		decoded->same_scale = (int) same_scale;
	}
	else if ((flags & NEEDED_SCALE) == 0 &&
			 !read_integers(in, n, 0, DBP_NUMERIC_SCALE_MASK, &decoded->scales))
		return false;
	if (!read_integers(in, n, wide ? -WIDE_UNIT + 1 : INT64_MIN, wide ? WIDE_UNIT - 1 : INT64_MAX,
					   &decoded->low))
		return false;
	return (!wide || read_integers(in, n, -WIDE_UNIT + 1, WIDE_UNIT - 1, &decoded->high)) &&
		in->left == 0;
}

static uint32_t
put_integer(const Decoded *decoded, int at, uint8_t *bytes)
{
	DbpWide number = decoded->low[at];
	int shown = decoded->same_scale;

	if (decoded->high != NULL)
		number += (DbpWide) decoded->high[at] * WIDE_UNIT;
	if (decoded->scales != NULL)
		shown = (int) decoded->scales[at];
	else if (shown < 0)
		shown = dbp_numeric_needed_scale(number, decoded->scale);
	return dbp_numeric_put_together(number, decoded->scale, shown, bytes);
}

static bool
join_values(const Decoded *decoded, DbpSliceSink *sink)
{
	uint8_t bytes[DBP_NUMERIC_MAX_BYTES];
	int exceptions = 0;
	size_t end = 0;

	for (int i = 0; i < sink->n; i++)
	{
		DbpSlice value = {.data = bytes};

		if (decoded->bitmap != NULL && (decoded->bitmap[i / 8] >> i % 8 & 1) != 0)
			value = dbp_sink_value(&decoded->exceptions, exceptions++);
		else
			value.len = put_integer(decoded, i - exceptions, bytes);
		if (value.len > sink->size - end)
			return false;
		memcpy(sink->arena + end, value.data, value.len);
		end += value.len;
		sink->ends[i] = (uint32_t) end;
	}
	return end == sink->size;
}

bool
dbp_numerics_decode(DbpReader in, uint8_t flags, DbpSliceKinds kinds, DbpSliceSink *sink)
{
	Decoded decoded = {0};
	bool done = read_parts(&in, flags, kinds, sink, &decoded) && join_values(&decoded, sink);

	free(decoded.bitmap);
	dbp_sink_free(&decoded.exceptions);
	free(decoded.scales);
	free(decoded.low);
	free(decoded.high);
	return done;
}

bool
dbp_numerics_describe_kind(DbpReader in, int n, uint8_t flags, DbpSliceKinds kinds, DbpText *text)
{
	DbpReader part;
	size_t count = 0;
	size_t shown;
	int scale;

	if (!dbp_read_byte(&in, &scale))
		return false;
	dbp_text_append(text, "scale %d", scale);
	if ((flags & HAS_EXCEPTIONS) != 0)
	{
		if (!dbp_read_count(&in, (uint64_t) n, &count) || !dbp_part_read(&in, &part) ||
			!dbp_part_read(&in, &part))
			return false;
		dbp_text_append(text, ", %zu exceptions (", count);
		if (!dbp_text_append_slices(text, part, (int) count, kinds))
			return false;
		dbp_text_append(text, ")");
	}
	if ((flags & SAME_SCALE) != 0 ? !dbp_read_count(&in, DBP_NUMERIC_SCALE_MASK, &shown)
								  : (flags & NEEDED_SCALE) == 0 && !dbp_part_read(&in, &part))
		return false;
	for (int i = 0; i <= ((flags & WIDE) != 0); i++)
	{
		if (!dbp_part_read(&in, &part))
			return false;
		dbp_text_append(text, i == 0 ? "; " : "; high: ");
		dbp_text_append_numbers(text, part, n - (int) count);
	}
	return true;
}
