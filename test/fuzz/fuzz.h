/*-------------------------------------------------------------------------
 *
 * fuzz.h
 *		What the fuzz targets share.
 *
 * The first byte of an input says what is done with the rest: see FUZZ_DECODE.
 * A target ends the process where something is wrong.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_FUZZ_H
#define DBP_FUZZ_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"

/*
 * The first byte.  0 in the lowest bit: the rest is decoded as a chunk; 1: it is
 * values, which are encoded and decoded.  Then a bit for the effort, whose
 * highest tries little of the code and takes long; the others tell how
 * values come of bytes.
 */
#define FUZZ_DECODE(mode) (((mode) &1) == 0)
#define FUZZ_EFFORT(mode) ((mode) == 0xff ? 3 : 1 + ((mode) >> 1 & 1))
#define FUZZ_STYLE(mode) ((mode) >> 2)

#define FUZZ_CHECK(condition) fuzz_check((condition), #condition, __FILE__, __LINE__)

static inline void
fuzz_check(bool holds, const char *condition, const char *file, int line)
{
	if (holds)
		return;
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, condition);
	abort();
}

/* What is left of an input */
typedef struct FuzzInput
{
	const uint8_t *at;
	size_t left;
} FuzzInput;

/* 0 where nothing is left */
static inline uint8_t
fuzz_byte(FuzzInput *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->at++;
}

/* So many bytes, the lowest first, with the sign of the highest one */
static inline int64_t
fuzz_number(FuzzInput *in, int width)
{
	uint64_t number = 0;

	for (int i = 0; i < width; i++)
		number |= (uint64_t) fuzz_byte(in) << (8 * i);
	return (int64_t) (number << (64 - 8 * width)) >> (64 - 8 * width);
}

/* The number of values of a chunk: no more than a batch has rows, or about that, for speed */
static inline int
fuzz_count(FuzzInput *in)
{
	return (int) (fuzz_number(in, 2) & 0x1fff);
}

/* Never NULL, and with its end where the checker knows it */
static inline void *
fuzz_alloc(size_t size, int fill)
{
	void *memory = malloc(size == 0 ? 1 : size);

	FUZZ_CHECK(memory != NULL);
	memset(memory, fill, size);
	return memory;
}

/* A text of any size is a text */
static inline void
fuzz_describe(DbpFamily family, FuzzInput in, int n)
{
	for (size_t size = 1; size < 200; size = size * 3 + 1)
	{
		char *text = fuzz_alloc(size, 'x');

		dbp_chunk_describe(family, in.at, in.left, n, text, size);
		FUZZ_CHECK(memchr(text, '\0', size) != NULL);
		free(text);
	}
}

/* Appending leaves what is there as it is, and all of what is appended is the chunk. */
static inline void
fuzz_begin(DbpBuffer *out)
{
	memset(out, 0, sizeof(*out));
	FUZZ_CHECK(dbp_buffer_append(out, "before", 6));
}

/* A copy with its end where the checker knows it */
static inline uint8_t *
fuzz_end(DbpBuffer *out, size_t *len)
{
	uint8_t *chunk;

	FUZZ_CHECK(out->len >= 6 && memcmp(out->data, "before", 6) == 0);
	*len = out->len - 6;
	chunk = fuzz_alloc(*len, 0);
	memcpy(chunk, out->data + 6, *len);
	dbp_buffer_free(out);
	return chunk;
}

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif /* DBP_FUZZ_H */
