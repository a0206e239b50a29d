/*-------------------------------------------------------------------------
 *
 * doubles.h
 *		The kinds of chunks of floating-point numbers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_CODEC_DOUBLES_H
#define DBP_CODEC_DOUBLES_H

#include "codec/ints.h"

/* The first byte of a chunk of either width; others are not known yet */
typedef enum DbpRealsKind
{
	DBP_REALS_BITS,
	DBP_REALS_DECIMAL,
	DBP_REALS_SPLIT
} DbpRealsKind;

/* With the number of digits: some values are no such fractions, and are patched in */
#define DBP_REALS_EXCEPTIONS 0x80

/*
 * Bit patterns to integers in the order of the numbers, and back; negative
 * zero comes before zero, NaN at both ends.
 */
static inline uint64_t
dbp_double_order(uint64_t bits)
{
	return bits ^ ((UINT64_C(0) - (bits >> 63)) >> 1);
}

static inline uint64_t
dbp_float_order(uint32_t bits)
{
	uint32_t ordered = bits ^ ((UINT32_C(0) - (bits >> 31)) >> 1);

	/* the sign is extended */
	return (uint64_t) ordered - ((uint64_t) (ordered >> 31) << 32);
}

/* doubles.c: for floats as well, of which these are the ordered bits */
extern int dbp_reals_split_bits(const uint64_t *ordered, int n);
extern bool dbp_reals_split_write(const uint64_t *ordered, int n, int low, int effort,
								  DbpBuffer *out);
extern bool dbp_reals_split_read(DbpReader in, int n, uint64_t *ordered);

#endif /* DBP_CODEC_DOUBLES_H */
