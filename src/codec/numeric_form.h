/*-------------------------------------------------------------------------
 *
 * numeric_form.h
 *		The bytes of PostgreSQL's numeric, and the integers that they stand for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_CODEC_NUMERIC_FORM_H
#define DBP_CODEC_NUMERIC_FORM_H

#include "codec/codec.h"

#define DBP_NUMERIC_BASE 10000
#define DBP_NUMERIC_BASE_DIGITS 4

/* Display scales are not larger */
#define DBP_NUMERIC_SCALE_MASK 0x3fff

/* Of a DbpWide of 39 decimal digits: at most 11 to the base 10000, since these are aligned */
#define DBP_NUMERIC_MAX_BYTES 32

typedef __int128 DbpWide;

/* A value taken apart.  Digits are not copied. */
typedef struct DbpNumeric
{
	bool negative;
	int scale;
	int weight;
	int ndigits;
	const uint8_t *digits;
} DbpNumeric;

/* Of the base 10000 */
extern int dbp_numeric_digit(const uint8_t *at);

/* false: it is no number, or not one in either of the two forms */
extern bool dbp_numeric_take_apart(const DbpSlice *value, DbpNumeric *numeric);

/* The number * 10^scale, which must be an integer of at most 36 digits */
extern DbpWide dbp_numeric_to_integer(const DbpNumeric *numeric, int scale);

/* The bytes of the number / 10^scale, shown with so many decimals; how many bytes */
extern uint32_t dbp_numeric_put_together(DbpWide number, int scale, int shown, uint8_t *out);

/* The decimals that the number / 10^scale needs */
extern int dbp_numeric_needed_scale(DbpWide number, int scale);

#endif /* DBP_CODEC_NUMERIC_FORM_H */
