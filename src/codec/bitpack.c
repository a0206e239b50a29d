/*-------------------------------------------------------------------------
 *
 * bitpack.c
 *		Numbers in as many bits as they need.
 *
 * Whole vectors of 1,024 numbers are packed in 16 lanes, as in FastLanes
 * (Afroozeh and Boncz, VLDB 2023): number 16 r + l is the r-th of lane l, each
 * lane is a string of bits of its own, and the lanes' 64-bit words take turns.
 * So the same word, shift and mask go for 16 neighbours, which a compiler turns
 * into vector instructions of any width without being told.  What is left at
 * the end is one string of bits.
 *
 *-------------------------------------------------------------------------
 */
#include "codec/bitpack.h"
#include "codec/bytes.h"

#define LANES 16
#define ROWS (DBP_VECTOR / LANES)
#define VECTOR_WORDS(width) ((size_t) (width) *LANES)

size_t
dbp_bitpack_size(int n, int width)
{
	size_t vectors = (size_t) n / DBP_VECTOR;
	size_t rest = (size_t) n % DBP_VECTOR;

	return vectors * VECTOR_WORDS(width) * 8 + (rest * (size_t) width + 7) / 8;
}

static void
store_words(const uint64_t *words, size_t n, uint8_t *out)
{
	for (size_t i = 0; i < n; i++)
		dbp_store64(out + i * 8, words[i]);
}

static void
pack_vector(const uint64_t *restrict values, int width, uint64_t *restrict words)
{
	uint64_t mask = dbp_low_bits(width);

	memset(words, 0, VECTOR_WORDS(width) * 8);
	for (int row = 0; row < ROWS; row++)
	{
		int shift = row * width % 64;
		uint64_t *word = words + (size_t) (row * width / 64) * LANES;

		for (int lane = 0; lane < LANES; lane++)
			word[lane] |= (values[row * LANES + lane] & mask) << shift;
		if (shift + width > 64)
		{
			for (int lane = 0; lane < LANES; lane++)
				word[LANES + lane] = (values[row * LANES + lane] & mask) >> (64 - shift);
		}
	}
}

static void
unpack_vector(const uint64_t *restrict words, int width, uint64_t *restrict values)
{
	uint64_t mask = dbp_low_bits(width);

	for (int row = 0; row < ROWS; row++)
	{
		int shift = row * width % 64;
		const uint64_t *word = words + (size_t) (row * width / 64) * LANES;
		uint64_t *to = values + row * LANES;

		if (shift + width > 64)
		{
			int back = 64 - shift;

			for (int lane = 0; lane < LANES; lane++)
				to[lane] = (word[lane] >> shift | word[LANES + lane] << back) & mask;
		}
		else
		{
			for (int lane = 0; lane < LANES; lane++)
				to[lane] = (word[lane] >> shift) & mask;
		}
	}
}

/* Less than a vector; the buffers are longer by a word, so that whole words do */
static void
pack_rest(const uint64_t *values, int n, int width, uint8_t *out)
{
	uint64_t words[DBP_VECTOR + 1];
	uint64_t mask = dbp_low_bits(width);
	size_t size = ((size_t) n * (size_t) width + 7) / 8;

	memset(words, 0, (size / 8 + 2) * 8);
	for (int i = 0; i < n; i++)
	{
		int bit = i * width;
		int shift = bit % 64;
		uint64_t value = values[i] & mask;

		words[bit / 64] |= value << shift;
		if (shift + width > 64)
			words[bit / 64 + 1] |= value >> (64 - shift);
	}
	for (size_t i = 0; i < size; i++)
		out[i] = (uint8_t) (words[i / 8] >> i % 8 * 8);
}

static void
unpack_rest(const uint8_t *packed, int n, int width, uint64_t *values)
{
	uint8_t bytes[(DBP_VECTOR + 2) * 8];
	uint64_t mask = dbp_low_bits(width);
	size_t size = ((size_t) n * (size_t) width + 7) / 8;

	memcpy(bytes, packed, size);
	memset(bytes + size, 0, 16);
	for (int i = 0; i < n; i++)
	{
		size_t bit = (size_t) i * (size_t) width;
		int shift = (int) (bit % 8);
		uint64_t value = dbp_load64(bytes + bit / 8) >> shift;

		if (shift + width > 64)
			value |= (uint64_t) bytes[bit / 8 + 8] << (64 - shift);
		values[i] = value & mask;
	}
}

void
dbp_bitpack(const uint64_t *values, int n, int width, uint8_t *out)
{
	uint64_t words[DBP_VECTOR];

	if (width == 0)
		return;
	for (; n >= DBP_VECTOR; n -= DBP_VECTOR)
	{
		pack_vector(values, width, words);
		store_words(words, VECTOR_WORDS(width), out);
		values += DBP_VECTOR;
		out += VECTOR_WORDS(width) * 8;
	}
	if (n > 0)
		pack_rest(values, n, width, out);
}

void
dbp_bitunpack(const uint8_t *packed, int n, int width, uint64_t *values)
{
	uint64_t words[DBP_VECTOR];

	if (width == 0)
	{
		memset(values, 0, (size_t) n * sizeof(*values));
		return;
	}
	for (; n >= DBP_VECTOR; n -= DBP_VECTOR)
	{
		for (size_t i = 0; i < VECTOR_WORDS(width); i++)
			words[i] = dbp_load64(packed + i * 8);
		unpack_vector(words, width, values);
		values += DBP_VECTOR;
		packed += VECTOR_WORDS(width) * 8;
	}
	if (n > 0)
		unpack_rest(packed, n, width, values);
}
