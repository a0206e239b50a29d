/*-------------------------------------------------------------------------
 *
 * vectors.h
 *		Integers bit-packed, each vector of 1,024 in the way that suits it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_CODEC_VECTORS_H
#define DBP_CODEC_VECTORS_H

#include "codec/codec.h"

/* Appends; false: no memory */
extern bool dbp_vectors_encode(const uint64_t *values, int n, DbpBuffer *out);

/* All of the bytes must be needed, else it is damaged */
extern bool dbp_vectors_decode(const uint8_t *bytes, size_t len, int n, uint64_t *values);

/* "delta, 9 bits, patched" of the first vector, and how many others there are */
extern void dbp_vectors_describe(const uint8_t *bytes, size_t len, int n, char *out, size_t size);

#endif /* DBP_CODEC_VECTORS_H */
