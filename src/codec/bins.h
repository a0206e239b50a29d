/*-------------------------------------------------------------------------
 *
 * bins.h
 *		Integers as bins and offsets within them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_CODEC_BINS_H
#define DBP_CODEC_BINS_H

#include "codec/codec.h"

#define DBP_BINS_MAX_ORDER 2

/* Bits a value, as a sample of the values tells: as bins, and bit-packed */
typedef struct DbpBinsEstimate
{
	float bins;
	float packed;
} DbpBinsEstimate;

/* One for each order */
extern void dbp_bins_estimate(const uint64_t *values, int n, DbpBinsEstimate *estimates);

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
