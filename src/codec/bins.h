/*-------------------------------------------------------------------------
 *
 * bins.h
 *		Integers as bins and offsets within them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_CODEC_BINS_H
#define DBP_CODEC_BINS_H

#include "codec/ans.h"

#define DBP_BINS_MAX DBP_ANS_MAX_SYMBOLS
#define DBP_BINS_MAX_ORDER 2

/* The first byte has the order, whether there are two sides, and the precision of frequencies */
#define DBP_BINS_ORDER_MASK 0x03
#define DBP_BINS_TWO_SIDED 0x04
#define DBP_BINS_LOG_SHIFT 3

/* The width of a trie, which is at most 64 */
#define DBP_BINS_WIDTH_BITS 7

/*
 * What the nodes of a trie are, the lowest bit first: a leaf 0, split 10, empty
 * 11; a node for a single value is a leaf 0 or empty 1.
 */
#define DBP_BINS_LEAF 0
#define DBP_BINS_SPLIT 1
#define DBP_BINS_EMPTY 3

/* Values from a range of fewer than that can have a bin each */
#define DBP_BINS_EXACT (UINT64_C(1) << 13)

/* The lowest value of a bin that begins at this distance from the centre on this side */
static inline uint64_t
dbp_bins_lowest(uint64_t lower, int bits, int side, uint64_t centre)
{
	return centre + (side == 0 ? lower : ~(lower + dbp_low_bits(bits)));
}

/* Bits a value, as a sample of the values tells: as bins, and bit-packed */
typedef struct DbpBinsEstimate
{
	float bins;
	float packed;
} DbpBinsEstimate;

/* One for each order */
extern void dbp_bins_estimate(const uint64_t *values, int n, DbpBinsEstimate *estimates);

/* Where to count distances from: the smallest value, or one in the midst, both ways */
extern bool dbp_bins_two_sided(const uint64_t *values, int n, uint64_t min, uint64_t *median);

/*
 * Appends the values, or their differences of some order, unless it foresees
 * that they take "limit" bytes or more; then *done is false and the buffer as
 * it was.  n: more than the order.  false: no memory.
 */
extern bool dbp_bins_encode(const uint64_t *values, int n, int order, size_t limit, DbpBuffer *out,
							bool *done);

/* All of the bytes must be needed, else it is damaged */
extern bool dbp_bins_decode(const uint8_t *bytes, size_t len, int n, uint64_t *values);

/* "delta, 37 bins" */
extern void dbp_bins_describe(const uint8_t *bytes, size_t len, int n, char *out, size_t size);

#endif /* DBP_CODEC_BINS_H */
