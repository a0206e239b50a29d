/*-------------------------------------------------------------------------
 *
 * bitpack.h
 *		Numbers in as many bits as they need.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_CODEC_BITPACK_H
#define DBP_CODEC_BITPACK_H

#include "codec/codec.h"

#define DBP_VECTOR 1024

/* The bytes that n numbers of so many bits (0 to 64) take */
extern size_t dbp_bitpack_size(int n, int width);

/* Bits above the width are left out. out: as many bytes as dbp_bitpack_size() says */
extern void dbp_bitpack(const uint64_t *values, int n, int width, uint8_t *out);

/* packed: as many bytes as dbp_bitpack_size() says */
extern void dbp_bitunpack(const uint8_t *packed, int n, int width, uint64_t *values);

#endif /* DBP_CODEC_BITPACK_H */
