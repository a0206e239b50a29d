/*-------------------------------------------------------------------------
 *
 * reals.h
 *		What double precision and single precision numbers have in common.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_CODEC_REALS_H
#define DBP_CODEC_REALS_H

#include "codec/describe.h"
#include "codec/ints.h"

/* The first byte of a chunk of either width; others are not known yet */
typedef enum DbpRealsKind
{
	DBP_REALS_BITS,
	DBP_REALS_DECIMAL,
	DBP_REALS_SPLIT,
	DBP_REALS_NEAR
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

/*
 * Decimal fractions: integers to be divided by a power of ten, and exceptions,
 * ordered bits that belong at positions.
 */
typedef struct DbpRealsDecimal
{
	int digits;
	int nexceptions;
	uint64_t *integers;
	uint64_t *positions;
	uint64_t *exceptions;
} DbpRealsDecimal;

/*
 * Chunks of ordered bits, or decimal fractions.  Writers say false for want of
 * memory, readers for damage; what those take is scratch memory, but that the
 * integers have to be there.
 */
extern bool dbp_reals_bits_write(const uint64_t *ordered, int n, int effort, DbpBuffer *out);
extern bool dbp_reals_bits_read(DbpReader in, int n, uint64_t *ordered);
extern bool dbp_reals_decimal_write(const DbpRealsDecimal *decimal, int n, int effort,
									DbpBuffer *out);
extern bool dbp_reals_decimal_read(DbpReader in, int n, DbpRealsDecimal *decimal);

extern void dbp_reals_keep_smaller(DbpBuffer *out, size_t begin, size_t middle);

/* How many bits to split off, those that are as good as random; what a value will take, nearly */
extern int dbp_reals_split_bits(const uint64_t *ordered, int n, float *bits);

extern bool dbp_reals_report(const uint64_t *ordered, int n, int effort, DbpCandidates *candidates);
extern bool dbp_reals_decimal_report(const DbpRealsDecimal *decimal, int n, int effort,
									 DbpCandidates *candidates);

#endif /* DBP_CODEC_REALS_H */
