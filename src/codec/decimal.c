/*-------------------------------------------------------------------------
 *
 * decimal.c
 *		Doubles that were decimal fractions once, as integers.
 *
 * This is ALP (Afroozeh, Kuffo and Boncz: ALP: Adaptive Lossless floating-Point
 * Compression, SIGMOD 2024) but for one thing.  ALP multiplies by 10^-e, which
 * is not exact, and so needs some more digits than the values have to come out
 * right.  Here the integer is divided by 10^e: IEEE 754 says that the result is
 * the double nearest to the decimal fraction, which is what every parser makes
 * of it, as long as both are exact: integers below 2^53, powers up to 10^22.
 * Processors divide two to eight doubles at once these days.
 *
 * Never compile this with -ffast-math: it multiplies by the inverse.
 *
 *-------------------------------------------------------------------------
 */
#include "codec/bytes.h"
#include "codec/decimal.h"

/* So many values of the chunk tell how many digits there are */
#define SAMPLE 96

/* More digits are not exact in any double but by accident */
#define MAX_DIGITS 17

/* What an exception takes, and a digit more of all the others, in bits */
#define EXCEPTION_COST 75.0f
#define DIGIT_COST 1.7f

static const double powers[DBP_DECIMAL_MAX_DIGITS + 1] = {1e0,	1e1,  1e2,	1e3,  1e4,	1e5,
														  1e6,	1e7,  1e8,	1e9,  1e10, 1e11,
														  1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
														  1e18, 1e19, 1e20, 1e21, 1e22};

/*
 * Added to a double below 2^51 and subtracted again, it rounds it to an integer,
 * to the nearest; in between, the integer are the lowest bits.
 */
#define ROUNDER 0x1.8p52
#define ROUNDER_BITS UINT64_C(0x4338000000000000)

static inline double
as_double(uint64_t bits)
{
	double value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static inline uint64_t
as_bits(double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

static inline float
as_float(uint32_t bits)
{
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static inline uint32_t
as_float_bits(float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

/* Those that ROUNDER works for; NaN and infinities become others */
static inline bool
in_range(uint64_t integer)
{
	return integer + (UINT64_C(1) << 51) < UINT64_C(1) << 52;
}

/* Makes some integer of any value, and says whether that becomes the value again */
static inline bool
scale_one(uint64_t value, double power, uint64_t *integer)
{
	double rounded = as_double(value) * power + ROUNDER;

	*integer = as_bits(rounded) - ROUNDER_BITS;
	return (int) (as_bits((rounded - ROUNDER) / power) == value) & (int) in_range(*integer);
}

static inline bool
scale_float(uint32_t value, double power, uint64_t *integer)
{
	double rounded = (double) as_float(value) * power + ROUNDER;

	*integer = as_bits(rounded) - ROUNDER_BITS;
	if (!in_range(*integer))
		return false;
	return as_float_bits((float) ((rounded - ROUNDER) / power)) == value;
}

typedef struct Sample
{
	const uint64_t *doubles; /* one of them */
	const uint32_t *floats;
	int n;
} Sample;

static bool
is_exact(const Sample *sample, int i, int digits)
{
	uint64_t integer;

	return sample->doubles != NULL ? scale_one(sample->doubles[i], powers[digits], &integer)
								   : scale_float(sample->floats[i], powers[digits], &integer);
}

/* The fewest digits that will do, or -1; near the guess it is found soon */
static int
count_digits(const Sample *sample, int i, int guess)
{
	int digits = guess;

	while (digits <= MAX_DIGITS && !is_exact(sample, i, digits))
		digits++;
	if (digits > MAX_DIGITS)
		return -1;
	while (digits == guess && guess > 0 && is_exact(sample, i, guess - 1))
		digits = --guess;
	return digits;
}

static int
choose_digits(const Sample *sample)
{
	int counts[MAX_DIGITS + 1] = {0};
	int step = sample->n / SAMPLE + 1;
	int counted = 0;
	int none = 0;
	int guess = 0;
	int best = -1;
	float best_cost = 0;

	for (int i = 0; i < sample->n; i += step)
	{
		int digits = count_digits(sample, i, guess);

		counted++;
		if (digits < 0)
			none++;
		else
		{
			counts[digits]++;
			guess = digits;
		}
		/* the other values would have to be tried with all numbers of digits as well */
		if (none >= 16 && none * 2 > counted)
			return -1;
	}
	if (none * 2 > counted)
		return -1;
	for (int digits = MAX_DIGITS, more = none; digits >= 0; digits--)
	{
		float cost =
			(float) more * EXCEPTION_COST + (float) (digits * (counted - more)) * DIGIT_COST;

		if (best < 0 || cost < best_cost)
		{
			best = digits;
			best_cost = cost;
		}
		more += counts[digits];
	}
	return best;
}

int
dbp_decimal_digits(const uint64_t *values, int n)
{
	Sample sample = {.doubles = values, .n = n};

	return choose_digits(&sample);
}

int
dbp_decimal_float_digits(const uint32_t *values, int n)
{
	Sample sample = {.floats = values, .n = n};

	return choose_digits(&sample);
}

/* Exceptions become what is before them, or, at the beginning, after them */
static void
fill_exceptions(uint64_t *integers, int n, const uint64_t *exceptions, int nexceptions)
{
	int first = 0;

	while (first < nexceptions && exceptions[first] == (uint64_t) first)
		first++;
	for (int i = 0; i < nexceptions; i++)
	{
		uint64_t at = exceptions[i];

		integers[at] = i < first ? (first < n ? integers[first] : 0) : integers[at - 1];
	}
}

int
dbp_decimal_scale(const uint64_t *values, int n, int digits, uint64_t *integers,
				  uint64_t *exceptions)
{
	double power = powers[digits];
	int nexceptions = 0;

	for (int i = 0; i < n; i++)
	{
		bool exact = scale_one(values[i], power, &integers[i]);

		exceptions[nexceptions] = (uint64_t) i;
		nexceptions += !exact;
	}
	fill_exceptions(integers, n, exceptions, nexceptions);
	return nexceptions;
}

int
dbp_decimal_float_scale(const uint32_t *values, int n, int digits, uint64_t *integers,
						uint64_t *exceptions)
{
	double power = powers[digits];
	int nexceptions = 0;

	for (int i = 0; i < n; i++)
	{
		bool exact = scale_float(values[i], power, &integers[i]);

		exceptions[nexceptions] = (uint64_t) i;
		nexceptions += !exact;
	}
	fill_exceptions(integers, n, exceptions, nexceptions);
	return nexceptions;
}

/*
 * Near is what is so near to an integer, after scaling, that it would be by
 * chance for one value in 512 only; integers up to the limit keep enough bits
 * after the point to see it.  All but one in so many have to be.
 */
#define NEAR 0x1p-10
#define NEAR_MAX 0x1p40
#define NEAR_SAMPLE 64
#define NEAR_MAX_DIGITS 12
#define FAR_ONES 8

int
dbp_decimal_near_digits(const uint64_t *values, int n)
{
	int step = n / NEAR_SAMPLE + 1;

	for (int digits = 0; digits <= NEAR_MAX_DIGITS; digits++)
	{
		int counted = 0;
		int far = 0;

		for (int i = 0; i < n; i += step)
		{
			double scaled = as_double(values[i]) * powers[digits];
			double rounded = (scaled + ROUNDER) - ROUNDER;
			double distance = scaled - rounded;

			counted++;
			/* a NaN is not near to anything, and next to nothing is not near to 0 */
			if (!(distance > -NEAR && distance < NEAR && scaled > -NEAR_MAX && scaled < NEAR_MAX &&
				  (rounded != 0 || scaled == 0)))
				far++;
		}
		if (far * FAR_ONES <= counted)
			return digits;
	}
	return -1;
}

void
dbp_decimal_near_scale(const uint64_t *values, int n, int digits, uint64_t *integers)
{
	double power = powers[digits];

	for (int i = 0; i < n; i++)
	{
		uint64_t integer = as_bits(as_double(values[i]) * power + ROUNDER) - ROUNDER_BITS;

		integers[i] = in_range(integer) ? integer : 0;
	}
}

static bool
all_in_range(const uint64_t *integers, int n)
{
	uint64_t over = 0;

	for (int i = 0; i < n; i++)
		over |= integers[i] + (UINT64_C(1) << 51);
	return over >> 52 == 0;
}

bool
dbp_decimal_unscale(uint64_t *values, int n, int digits)
{
	double power = powers[digits];

	if (!all_in_range(values, n))
		return false;
	for (int i = 0; i < n; i++)
		values[i] = as_bits((as_double(values[i] + ROUNDER_BITS) - ROUNDER) / power);
	return true;
}

bool
dbp_decimal_float_unscale(const uint64_t *integers, int n, int digits, uint32_t *values)
{
	double power = powers[digits];

	if (!all_in_range(integers, n))
		return false;
	for (int i = 0; i < n; i++)
		values[i] =
			as_float_bits((float) ((as_double(integers[i] + ROUNDER_BITS) - ROUNDER) / power));
	return true;
}
