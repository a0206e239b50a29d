/*-------------------------------------------------------------------------
 *
 * codec.h
 *		Encodings of columns: values to bytes and back.
 *
 * No PostgreSQL headers here or in any file of this directory, so that the
 * codecs are fuzzed, timed and read alone.  See README.md for the formats.
 *
 * A chunk is what one encoder call makes of the values of one column that are
 * not null, in order: at most DBP_CODEC_MAX_VALUES of them.  It says itself how
 * it is encoded, but not how many values it has; the caller keeps that.
 *
 * Encoders try several encodings and keep the smallest.  They never fail but
 * for want of memory.  Decoders trust nothing: they read no byte beyond the
 * length given, write no more than the values asked for, and return false for
 * any input that no encoder could have made in a way that matters; they end in
 * time proportional to n and len.  What they have written until then means
 * nothing.  All values come back bit for bit.
 *
 * Memory is from malloc(): no function leaves by a longjmp.  Nothing here is
 * safe for threads.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_CODEC_H
#define DBP_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DBP_CODEC_MAX_VALUES 65535

/* A growing array of bytes. Zeroed is empty. */
typedef struct DbpBuffer
{
	uint8_t *data;
	size_t len;
	size_t size;
} DbpBuffer;

extern bool dbp_buffer_reserve(DbpBuffer *buffer, size_t more);
extern bool dbp_buffer_append(DbpBuffer *buffer, const void *data, size_t len);
extern void dbp_buffer_free(DbpBuffer *buffer);

/* A value of any length; data may be NULL where len is 0 */
typedef struct DbpSlice
{
	const uint8_t *data;
	uint32_t len;
} DbpSlice;

/*
 * How hard to try: 1 leaves out general compression, 2 is the default, 3 takes
 * whatever time general compression can use.
 */
#define DBP_EFFORT_FAST 1
#define DBP_EFFORT_DEFAULT 2
#define DBP_EFFORT_BEST 3

/*
 * Encoders append a chunk to the buffer.  false: no memory; then the buffer is
 * as long as it was.  n may be 0.
 */

/* Integers of every width, sign-extended: ints, dates, timestamps, bool, oid, enum */
extern bool dbp_ints_encode(const int64_t *values, int n, int effort, DbpBuffer *out);
extern bool dbp_ints_decode(const uint8_t *chunk, size_t len, int n, int64_t *values);

/* double precision and real, as their bit patterns */
extern bool dbp_doubles_encode(const uint64_t *values, int n, int effort, DbpBuffer *out);
extern bool dbp_doubles_decode(const uint8_t *chunk, size_t len, int n, uint64_t *values);
extern bool dbp_floats_encode(const uint32_t *values, int n, int effort, DbpBuffer *out);
extern bool dbp_floats_decode(const uint8_t *chunk, size_t len, int n, uint32_t *values);

/* Anything else: text, jsonb, uuid, arrays. The sum of the lengths is below 2^31. */
extern bool dbp_slices_encode(const DbpSlice *values, int n, int effort, DbpBuffer *out);

/*
 * PostgreSQL's numeric, as the bytes after a value's varlena header in this
 * machine's byte order (utils/adt/numeric.c has the format).  Whatever does
 * not look like one is encoded as other slices are.
 */
extern bool dbp_numerics_encode(const DbpSlice *values, int n, int effort, DbpBuffer *out);

/*
 * The number of bytes that all values of a chunk of slices or numerics have
 * together when decoded, or -1 for a damaged chunk.  At most limit; a chunk
 * that claims more is damaged.
 */
extern int64_t dbp_slices_size(const uint8_t *chunk, size_t len, int n, int64_t limit);

/*
 * Decodes either kind.  The bytes of the values are written to arena, which has
 * room for size bytes (what dbp_slices_size() returned), one after the other;
 * ends[i] is where value i ends.
 */
extern bool dbp_slices_decode(const uint8_t *chunk, size_t len, int n, uint8_t *arena, size_t size,
							  uint32_t *ends);

/* A set of positions out of n: bit i of the bitmap, (n + 7) / 8 bytes; spare bits are 0 */
extern bool dbp_bitmap_encode(const uint8_t *bitmap, int n, DbpBuffer *out);
extern bool dbp_bitmap_decode(const uint8_t *chunk, size_t len, int n, uint8_t *bitmap);

/*
 * What the chunk is encoded as, for people: "delta, 9 bits, patched; zstd".  At
 * most size bytes with the NUL; never fails ("damaged").
 */
typedef enum DbpFamily
{
	DBP_FAMILY_INT,
	DBP_FAMILY_DOUBLE,
	DBP_FAMILY_FLOAT,
	DBP_FAMILY_SLICE,
	DBP_FAMILY_NUMERIC
} DbpFamily;

extern void dbp_chunk_describe(DbpFamily family, const uint8_t *chunk, size_t len, int n, char *out,
							   size_t size);

/*
 * Why: what each encoding that was in question would have taken.  values is
 * what the family's encoder takes.  Returns how many candidates were written,
 * smallest first.
 */
typedef struct DbpCandidate
{
	char name[64];
	size_t bytes;
} DbpCandidate;

extern int dbp_chunk_candidates(DbpFamily family, const void *values, int n, int effort,
								DbpCandidate *candidates, int max);

#endif /* DBP_CODEC_H */
