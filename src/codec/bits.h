/*-------------------------------------------------------------------------
 *
 * bits.h
 *		Strings of bits, the lowest bit of each byte first.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_CODEC_BITS_H
#define DBP_CODEC_BITS_H

#include "codec/bytes.h"

/* The logarithm to base 2, good to a hundredth, for estimates; of 0, 0 */
static inline float
dbp_rough_log2(uint32_t x)
{
	int width = dbp_bit_width(x | 1);
	float m = (float) (x | (x == 0)) / (float) (UINT32_C(1) << (width - 1));

	return (float) (width - 1) + (-m / 3 + 2) * m - 5.0f / 3;
}

/*
 * Writes to memory that has room for what is written, in whole bytes, and seven
 * more.
 */
typedef struct DbpBitWriter
{
	uint8_t *at;
	uint64_t bits; /* not written yet */
	int count;	   /* how many, at most 7 between two calls */
} DbpBitWriter;

/* value: no bits above the width; width: at most 56 */
static inline void
dbp_bits_put(DbpBitWriter *writer, uint64_t value, int width)
{
	writer->bits |= value << writer->count;
	writer->count += width;
	dbp_store64(writer->at, writer->bits);
	writer->at += writer->count / 8;
	writer->bits >>= writer->count / 8 * 8;
	writer->count %= 8;
}

/* Where the next byte goes after the bits are filled up with zeros */
static inline uint8_t *
dbp_bits_end(DbpBitWriter *writer)
{
	if (writer->count > 0)
		*writer->at++ = (uint8_t) writer->bits;
	writer->bits = 0;
	writer->count = 0;
	return writer->at;
}

/* Beyond the end there are zeros, and "over" tells that some have been read */
typedef struct DbpBitReader
{
	const uint8_t *at;
	const uint8_t *end;
	uint64_t bits;
	int count;
	bool over;
} DbpBitReader;

/* width: at most 56 */
static inline uint64_t
dbp_bits_get(DbpBitReader *reader, int width)
{
	uint64_t value;

	while (reader->count < width)
	{
		if (reader->at == reader->end)
		{
			reader->over = true;
			return 0;
		}
		reader->bits |= (uint64_t) *reader->at++ << reader->count;
		reader->count += 8;
	}
	value = reader->bits & dbp_low_bits(width);
	reader->bits >>= width;
	reader->count -= width;
	return value;
}

#endif /* DBP_CODEC_BITS_H */
