/*-------------------------------------------------------------------------
 *
 * codec_memory.c
 *		Tests what encoders and decoders do for want of memory, without a server;
 *		prints TAP.
 *
 * To be linked with --wrap=malloc, --wrap=calloc and --wrap=realloc: then the
 * codecs' allocations, though not those of libraries, are made to fail here,
 * one after the other.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/general.h"

#define NVALUES 2000

extern void *__real_malloc(size_t size);
extern void *__real_calloc(size_t count, size_t size);
extern void *__real_realloc(void *old, size_t size);
extern void *__wrap_malloc(size_t size);
extern void *__wrap_calloc(size_t count, size_t size);
extern void *__wrap_realloc(void *old, size_t size);

static int tests = 0;
static int failed = 0;

/* Allocations until one fails; negative: none does */
static long until_failure = -1;

static int
fails_now(void)
{
	return until_failure >= 0 && until_failure-- == 0;
}

void *
__wrap_malloc(size_t size)
{
	return fails_now() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
	return fails_now() ? NULL : __real_calloc(count, size);
}

void *
__wrap_realloc(void *old, size_t size)
{
	return fails_now() ? NULL : __real_realloc(old, size);
}

static void
ok(int passed, const char *name)
{
	printf("%sok %d - %s\n", passed ? "" : "not ", ++tests, name);
	failed += !passed;
}

/* The same numbers in every run (xorshift64*) */
static uint64_t state = UINT64_C(88172645463325252);

static uint32_t
below(uint32_t limit)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32_t) (state * UINT64_C(2685821657736338717) >> 32) % limit;
}

/* The values of one test, in the form that its family takes */
static int64_t ints[NVALUES];
static uint64_t doubles[NVALUES];
static uint32_t floats[NVALUES];
static uint8_t room[NVALUES * 64];
static DbpSlice slices[NVALUES];
static size_t total;

typedef enum Family
{
	INTS,
	DOUBLES,
	FLOATS,
	SLICES,
	NUMERICS,
	BITMAP,
	GENERAL
} Family;

static bool
encode(Family family, int effort, DbpBuffer *out)
{
	switch (family)
	{
		case INTS:
			return dbp_ints_encode(ints, NVALUES, effort, out);
		case DOUBLES:
			return dbp_doubles_encode(doubles, NVALUES, effort, out);
		case FLOATS:
			return dbp_floats_encode(floats, NVALUES, effort, out);
		case SLICES:
			return dbp_slices_encode(slices, NVALUES, effort, out);
		case NUMERICS:
			return dbp_numerics_encode(slices, NVALUES, effort, out);
		case BITMAP:
			return dbp_bitmap_encode(room, NVALUES * 8, out);
		case GENERAL:
			return dbp_general_compress(room, total, effort, out);
	}
	return false;
}

static bool
decode(Family family, const DbpBuffer *chunk)
{
	static uint64_t numbers[NVALUES];
	static uint8_t bytes[sizeof(room)];
	static uint32_t ends[NVALUES];

	switch (family)
	{
		case INTS:
			return dbp_ints_decode(chunk->data, chunk->len, NVALUES, (int64_t *) numbers) &&
				memcmp(numbers, ints, sizeof(ints)) == 0;
		case DOUBLES:
			return dbp_doubles_decode(chunk->data, chunk->len, NVALUES, numbers) &&
				memcmp(numbers, doubles, sizeof(doubles)) == 0;
		case FLOATS:
			return dbp_floats_decode(chunk->data, chunk->len, NVALUES, (uint32_t *) numbers) &&
				memcmp(numbers, floats, sizeof(floats)) == 0;
		case SLICES:
		case NUMERICS:
			return dbp_slices_decode(chunk->data, chunk->len, NVALUES, bytes, total, ends) &&
				memcmp(bytes, room, total) == 0;
		case BITMAP:
			return dbp_bitmap_decode(chunk->data, chunk->len, NVALUES * 8, bytes) &&
				memcmp(bytes, room, NVALUES) == 0;
		case GENERAL:
			return dbp_general_decompress(chunk->data, chunk->len, bytes, total) &&
				memcmp(bytes, room, total) == 0;
	}
	return false;
}

/*
 * Lets every allocation fail in turn, until all succeed.  A call that fails must
 * leave the buffer as long as it was; one that succeeds though an allocation
 * failed must have done what it is for.
 */
static void
without_memory(const char *name, Family family, int effort)
{
	DbpBuffer out = {0};
	DbpBuffer chunk;
	int passed = dbp_buffer_append(&out, "before", 6);
	int refused = 0;
	char message[100];
	bool done;

	for (long allowed = 0;; allowed++)
	{
		DbpBuffer small = {0};
		bool failed_once;

		passed &= dbp_buffer_append(&small, "before", 6);
		until_failure = allowed;
		done = encode(family, effort, &small);
		failed_once = until_failure < 0;
		until_failure = -1;
		passed &= done || (failed_once && small.len == 6);
		passed &= memcmp(small.data, "before", 6) == 0;
		refused += !done;
		if (done)
		{
			chunk.data = small.data + 6;
			chunk.len = small.len - 6;
			passed &= decode(family, &chunk);
		}
		dbp_buffer_free(&small);
		if (!failed_once)
			break;
	}
	passed &= encode(family, effort, &out);
	chunk.data = out.data + 6;
	chunk.len = out.len - 6;
	for (long allowed = 0;; allowed++)
	{
		bool failed_once;

		until_failure = allowed;
		done = decode(family, &chunk);
		failed_once = until_failure < 0;
		until_failure = -1;
		passed &= done || failed_once;
		if (!failed_once)
			break;
	}
	snprintf(message, sizeof(message), "%s, effort %d", name, effort);
	ok(passed && done, message);
	printf("# refused %d times\n", refused);
	dbp_buffer_free(&out);
}

static void
add(int i, const void *data, size_t len)
{
	memcpy(room + total, data, len);
	slices[i].data = room + total;
	slices[i].len = (uint32_t) len;
	total += len;
}

static void
make_slices(int kind)
{
	total = 0;
	for (int i = 0; i < NVALUES; i++)
	{
		char text[64];

		switch (kind)
		{
			case 0:
				snprintf(text, sizeof(text), "%s", below(2) ? "filled" : "cancelled");
				break;
			case 1:
				snprintf(text, sizeof(text), "ORD-%d/%u", 1000 + i, below(100));
				break;
			case 2:
				snprintf(text, sizeof(text), "%08x%c%08x", below(UINT32_MAX), 'p' + below(2),
						 below(100000));
				break;
			case 3:
				snprintf(text, sizeof(text), "/%c%c/%c%.*s", 'g' + i / 600, 'g' + i / 30 % 20,
						 'g' + i % 30, (int) below(9), "archived");
				break;
			default:
				snprintf(text, sizeof(text), "Name%c%c", 'g' + below(20), 'g' + below(20));
				break;
		}
		add(i, text, strlen(text));
	}
}

/* 12.34, now and then NaN; display scales differ where mixed */
static void
make_numerics(bool mixed)
{
	total = 0;
	for (int i = 0; i < NVALUES; i++)
	{
		int scale = 2 + (mixed ? (int) below(2) : 0);
		uint16_t words[3] = {(uint16_t) (0x8000 | scale << 7), (uint16_t) (1 + below(9000)),
							 (uint16_t) (100 + below(99) * 100)};

		if (below(50) == 0)
			add(i, &(uint16_t){0xc000}, 2);
		else
			add(i, words, sizeof(words));
	}
}

static void
make_numbers(int kind)
{
	int64_t last = 129167;

	for (int i = 0; i < NVALUES; i++)
	{
		double value;
		float single;

		last += (int64_t) below(11) - 5;
		if (kind == 0)
			ints[i] = last;
		else if (kind == 1)
			ints[i] = below(30) == 0 ? INT64_C(1) << below(62) : below(4);
		else
			ints[i] = (int64_t) below(20) * 1000000 + below(2);
		value = kind == 1 ? 0.1 * (double) below(UINT32_MAX) / 7 : (double) ints[i] / 100;
		if (kind == 2 && below(30) == 0)
			value = (double) below(UINT32_MAX) / 3;
		single = (float) value;
		memcpy(&doubles[i], &value, sizeof(value));
		memcpy(&floats[i], &single, sizeof(single));
	}
}

int
main(void)
{
	static const char *const slice_names[] = {"words", "order numbers", "hexadecimal", "paths",
											  "names"};
	static const char *const number_names[] = {"a walk", "spikes", "steps"};
	char name[100];

	for (int effort = DBP_EFFORT_FAST; effort <= DBP_EFFORT_DEFAULT; effort++)
	{
		for (int kind = 0; kind < 3; kind++)
		{
			make_numbers(kind);
			snprintf(name, sizeof(name), "integers, %s", number_names[kind]);
			without_memory(name, INTS, effort);
			snprintf(name, sizeof(name), "double precision, %s", number_names[kind]);
			without_memory(name, DOUBLES, effort);
			snprintf(name, sizeof(name), "real, %s", number_names[kind]);
			without_memory(name, FLOATS, effort);
		}
		for (int kind = 0; kind < 5; kind++)
		{
			make_slices(kind);
			snprintf(name, sizeof(name), "text, %s", slice_names[kind]);
			without_memory(name, SLICES, effort);
		}
		make_numerics(false);
		without_memory("numeric", NUMERICS, effort);
		make_numerics(true);
		without_memory("numeric of two display scales", NUMERICS, effort);
		without_memory("general compression", GENERAL, effort);
	}
	for (size_t i = 0; i < NVALUES; i++)
		room[i] = (uint8_t) (i / 100 % 2 == 0 ? 0xff : below(256));
	without_memory("a bitmap", BITMAP, DBP_EFFORT_DEFAULT);
	printf("1..%d\n", tests);
	return failed > 0;
}
