/*-------------------------------------------------------------------------
 *
 * numeric_form.c
 *		The bytes of PostgreSQL's numeric, and the integers that they stand for.
 *
 * A numeric is digits to the base 10000, a weight, which is the exponent of
 * the first digit, a sign and a display scale, which is how many decimals are
 * shown.  The first two bytes have the form, sign, display scale and weight, or,
 * where those are large, four bytes have them; infinities and NaN are two bytes.
 * All is in the machine's byte order.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "codec/numeric_form.h"

#define BASE DBP_NUMERIC_BASE
#define BASE_DIGITS DBP_NUMERIC_BASE_DIGITS

/* The first two bytes of a value */
#define FORM_MASK 0xc000
#define FORM_POSITIVE 0x0000
#define FORM_NEGATIVE 0x4000
#define FORM_SHORT 0x8000
#define SHORT_NEGATIVE 0x2000
#define SHORT_SCALE_SHIFT 7
#define SHORT_SCALE_MAX 0x3f
#define SHORT_WEIGHT_MIN (-64)
#define SHORT_WEIGHT_MAX 63
#define SHORT_WEIGHT_SIGN 0x40

static const int64_t powers[] = {1, 10, 100, 1000, 10000};

int
dbp_numeric_digit(const uint8_t *at)
{
	uint16_t digit;

	memcpy(&digit, at, sizeof(digit));
	return digit;
}

static uint8_t *
store_digit(uint8_t *at, int digit)
{
	uint16_t value = (uint16_t) digit;

	memcpy(at, &value, sizeof(value));
	return at + sizeof(value);
}

/* false: it is none, or a special one, or not in the form that the server gives it */
bool
dbp_numeric_take_apart(const DbpSlice *value, DbpNumeric *numeric)
{
	uint32_t header = 2;
	int word;

	if (value->len < header || value->len % 2 != 0)
		return false;
	word = dbp_numeric_digit(value->data);
	switch (word & FORM_MASK)
	{
		case FORM_SHORT:
			numeric->negative = (word & SHORT_NEGATIVE) != 0;
			numeric->scale = (word >> SHORT_SCALE_SHIFT) & SHORT_SCALE_MAX;
			numeric->weight = (word & SHORT_WEIGHT_MAX) - (word & SHORT_WEIGHT_SIGN);
			break;
		case FORM_POSITIVE:
		case FORM_NEGATIVE:
			header = 4;
			if (value->len < header)
				return false;
			numeric->negative = (word & FORM_MASK) == FORM_NEGATIVE;
			numeric->scale = word & DBP_NUMERIC_SCALE_MASK;
			numeric->weight = (int16_t) dbp_numeric_digit(value->data + 2);
			break;
		default:
			return false;
	}
	numeric->digits = value->data + header;
	numeric->ndigits = (int) (value->len - header) / 2;
	return true;
}

/*
 * The bytes of the number / 10^scale, shown with so many decimals: how many,
 * at most DBP_NUMERIC_MAX_BYTES.
 */
uint32_t
dbp_numeric_put_together(DbpWide number, int scale, int shown, uint8_t *out)
{
	bool negative = number < 0;
	unsigned __int128 rest = negative ? -(unsigned __int128) number : (unsigned __int128) number;
	int digits[DBP_NUMERIC_MAX_BYTES / 2];
	int ndigits = 0;
	int begin = 0;
	int after_point = (scale + BASE_DIGITS - 1) / BASE_DIGITS;
	int cut = after_point * BASE_DIGITS - scale;
	uint64_t small;
	int weight;
	uint8_t *at = out;

	if (rest != 0 && cut > 0)
	{
		/* the last digit is not a whole one */
		int64_t power = powers[BASE_DIGITS - cut];

		digits[ndigits++] = (int) (rest % power * powers[cut]);
		rest /= power;
	}
	for (; rest > UINT64_MAX; rest /= BASE)
		digits[ndigits++] = (int) (rest % BASE);
	for (small = (uint64_t) rest; small > 0; small /= BASE)
		digits[ndigits++] = (int) (small % BASE);
	while (begin < ndigits && digits[begin] == 0)
		begin++;
	weight = ndigits == 0 ? 0 : ndigits - 1 - after_point;

	if (shown <= SHORT_SCALE_MAX && weight >= SHORT_WEIGHT_MIN && weight <= SHORT_WEIGHT_MAX)
		at = store_digit(at,
						 FORM_SHORT | (negative ? SHORT_NEGATIVE : 0) |
							 (shown << SHORT_SCALE_SHIFT) |
							 (weight & (SHORT_WEIGHT_MAX | SHORT_WEIGHT_SIGN)));
	else
	{
		at = store_digit(at, (negative ? FORM_NEGATIVE : FORM_POSITIVE) | shown);
		at = store_digit(at, weight);
	}
	while (ndigits > begin)
		at = store_digit(at, digits[--ndigits]);
	return (uint32_t) (at - out);
}

/* The number * 10^scale, which must be an integer of at most 36 digits */
DbpWide
dbp_numeric_to_integer(const DbpNumeric *numeric, int scale)
{
	DbpWide number = 0;
	int exponent = numeric->weight * BASE_DIGITS + scale; /* of the digit, in an integer */

	for (int i = 0; i < numeric->ndigits; i++, exponent -= BASE_DIGITS)
	{
		int digit = dbp_numeric_digit(numeric->digits + 2 * i);

		if (exponent >= 0)
			number = number * BASE + digit;
		else
			number = number * powers[BASE_DIGITS + exponent] + digit / powers[-exponent];
	}
	for (exponent += BASE_DIGITS; exponent > 0 && number != 0; exponent--)
		number *= 10;
	return numeric->negative ? -number : number;
}

/* The decimals that the number / 10^scale needs */
int
dbp_numeric_needed_scale(DbpWide number, int scale)
{
	if (number == 0)
		return 0;
	if (number >= INT64_MIN && number <= INT64_MAX)
	{
		int64_t small = (int64_t) number;

		for (; scale > 0 && small % 10 == 0; small /= 10)
			scale--;
		return scale;
	}
	for (; scale > 0 && number % 10 == 0; number /= 10)
		scale--;
	return scale;
}
