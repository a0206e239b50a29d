/*-------------------------------------------------------------------------
 *
 * general.h
 *		General compression: what is left after the encodings.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_CODEC_GENERAL_H
#define DBP_CODEC_GENERAL_H

#include "codec/codec.h"

/*
 * Appends the bytes compressed, without their length.  DBP_EFFORT_FAST is
 * DBP_EFFORT_DEFAULT here: whether to compress at all is for the caller to
 * decide, and so is whether it was worth it.  false: no memory; then the
 * buffer is as long as it was.
 */
extern bool dbp_general_compress(const uint8_t *in, size_t len, int effort, DbpBuffer *out);

/*
 * The same, but does not take long over what will be far larger than the goal,
 * because something else is as small as that already.
 */
extern bool dbp_general_compress_towards(const uint8_t *in, size_t len, int effort, size_t goal,
										 DbpBuffer *out);

/* true only where exactly outlen bytes came of all of the input */
extern bool dbp_general_decompress(const uint8_t *in, size_t len, uint8_t *out, size_t outlen);

#endif /* DBP_CODEC_GENERAL_H */
