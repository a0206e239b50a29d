/*-------------------------------------------------------------------------
 *
 * decimal.h
 *		Doubles that were decimal fractions once, as integers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_CODEC_DECIMAL_H
#define DBP_CODEC_DECIMAL_H

#include "codec/codec.h"

/* All powers of ten up to this one are exact in a double */
#define DBP_DECIMAL_MAX_DIGITS 22

/*
 * How many digits after the point the values have, or -1 where too few of them
 * are decimal fractions to make it worth it.
 */
extern int dbp_decimal_digits(const uint64_t *values, int n);
extern int dbp_decimal_float_digits(const uint32_t *values, int n);

/*
 * integers[i] / 10^digits is the number with the bits values[i], unless i is
 * among the exceptions, in ascending order; those integers are made up so that
 * they are cheap.  exceptions: room for n + 1.  Returns how many there are.
 */
extern int dbp_decimal_scale(const uint64_t *values, int n, int digits, uint64_t *integers,
							 uint64_t *exceptions);
extern int dbp_decimal_float_scale(const uint32_t *values, int n, int digits, uint64_t *integers,
								   uint64_t *exceptions);

/*
 * Results of calculations with decimal fractions are often near one, but not
 * it: how many digits that has, or -1; and integers so that what is left is
 * little.
 */
extern int dbp_decimal_near_digits(const uint64_t *values, int n);
extern void dbp_decimal_near_scale(const uint64_t *values, int n, int digits, uint64_t *integers);

/* The other way; false: some integers cannot have come from there */
extern bool dbp_decimal_unscale(uint64_t *values, int n, int digits);
extern bool dbp_decimal_float_unscale(const uint64_t *integers, int n, int digits,
									  uint32_t *values);

#endif /* DBP_CODEC_DECIMAL_H */
