/*-------------------------------------------------------------------------
 *
 * bytes.h
 *		Reading and writing the bytes of chunks of numbers.
 *
 * All is little-endian.  Numbers of unknown size are varints: seven bits a
 * byte, the lowest first, the high bit set in all but the last.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_CODEC_BYTES_H
#define DBP_CODEC_BYTES_H

#include <string.h>

#include "codec/codec.h"

#define DBP_VARINT_MAX 10

/* Bytes that are still to be read */
typedef struct DbpReader
{
	const uint8_t *at;
	size_t left;
} DbpReader;

static inline uint64_t
dbp_load64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	value = __builtin_bswap64(value);
#endif
	return value;
}

static inline void
dbp_store64(uint8_t *at, uint64_t value)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	value = __builtin_bswap64(value);
#endif
	memcpy(at, &value, sizeof(value));
}

/* Small numbers of either sign to small unsigned ones: 0, -1, 1, -2, 2, … */
static inline uint64_t
dbp_zigzag(uint64_t value)
{
	return (value << 1) ^ (UINT64_C(0) - (value >> 63));
}

static inline uint64_t
dbp_unzigzag(uint64_t value)
{
	return (value >> 1) ^ (UINT64_C(0) - (value & 1));
}

/* The number of bits that a value takes: 0 for 0 */
static inline int
dbp_bit_width(uint64_t value)
{
	return value == 0 ? 0 : 64 - __builtin_clzll(value);
}

static inline uint64_t
dbp_low_bits(int bits)
{
	return bits >= 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
}

static inline int
dbp_varint_size(uint64_t value)
{
	return (dbp_bit_width(value | 1) + 6) / 7;
}

/* at has room for DBP_VARINT_MAX bytes; returns how many it took */
static inline int
dbp_varint_put(uint8_t *at, uint64_t value)
{
	int len = 0;

	for (; value >= 0x80; value >>= 7)
		at[len++] = (uint8_t) (value | 0x80);
	at[len++] = (uint8_t) value;
	return len;
}

static inline bool
dbp_append_byte(DbpBuffer *out, int byte)
{
	uint8_t value = (uint8_t) byte;

	return dbp_buffer_append(out, &value, 1);
}

static inline bool
dbp_append_varint(DbpBuffer *out, uint64_t value)
{
	uint8_t bytes[DBP_VARINT_MAX];

	return dbp_buffer_append(out, bytes, (size_t) dbp_varint_put(bytes, value));
}

static inline bool
dbp_read_byte(DbpReader *in, int *byte)
{
	if (in->left == 0)
		return false;
	*byte = *in->at++;
	in->left--;
	return true;
}

static inline bool
dbp_read_varint(DbpReader *in, uint64_t *value)
{
	*value = 0;
	for (int shift = 0; shift < 64 && in->left > 0; shift += 7)
	{
		uint64_t byte = *in->at++;

		in->left--;
		*value |= (byte & 0x7f) << shift;
		if (byte < 0x80)
			return shift < 63 || byte <= 1;
	}
	return false;
}

/* A number up to a limit, for lengths and counts */
static inline bool
dbp_read_count(DbpReader *in, uint64_t limit, size_t *count)
{
	uint64_t value;

	if (!dbp_read_varint(in, &value) || value > limit)
		return false;
	*count = (size_t) value;
	return true;
}

/* The next so many bytes: their start, or NULL where there are not as many */
static inline const uint8_t *
dbp_read_bytes(DbpReader *in, size_t len)
{
	const uint8_t *bytes = in->at;

	if (len > in->left)
		return NULL;
	in->at += len;
	in->left -= len;
	return bytes;
}

#endif /* DBP_CODEC_BYTES_H */
