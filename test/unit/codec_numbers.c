/*-------------------------------------------------------------------------
 *
 * codec_numbers.c
 *		Tests the codecs of numbers and bitmaps, without a server; prints TAP.
 *
 * codec_numbers [seed [rounds]]: the same numbers for the same seed.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"

#define MAX DBP_CODEC_MAX_VALUES

static int tests = 0;
static int failed = 0;

static void
ok(bool passed, const char *name)
{
	printf("%sok %d - %s\n", passed ? "" : "not ", ++tests, name);
	failed += !passed;
}

/* xorshift64* */
static uint64_t state;

static uint64_t
draw(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * UINT64_C(2685821657736338717);
}

static uint64_t
below(uint64_t limit)
{
	return (draw() >> 16) % limit;
}

static uint64_t
as_bits(double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

static uint32_t
as_float_bits(float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

/* A copy that ends where the allocation does, so that checkers see what is read beyond it */
static uint8_t *
copy_of(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len == 0 ? 1 : len);

	if (len > 0)
		memcpy(copy, data, len);
	return copy;
}

/* One family of values as bytes; values of "width" bytes each, 0 for a bitmap */
typedef struct Family
{
	const char *name;
	size_t width;
	DbpFamily family;
} Family;

static const Family ints = {"integers", 8, DBP_FAMILY_INT};
static const Family doubles = {"doubles", 8, DBP_FAMILY_DOUBLE};
static const Family floats = {"floats", 4, DBP_FAMILY_FLOAT};
static const Family bitmaps = {"bitmaps", 0, DBP_FAMILY_INT};

static size_t
size_of(const Family *family, int n)
{
	return family->width == 0 ? ((size_t) n + 7) / 8 : family->width * (size_t) n;
}

static bool
encode(const Family *family, const void *values, int n, int effort, DbpBuffer *out)
{
	if (family == &ints)
		return dbp_ints_encode(values, n, effort, out);
	if (family == &doubles)
		return dbp_doubles_encode(values, n, effort, out);
	if (family == &floats)
		return dbp_floats_encode(values, n, effort, out);
	return dbp_bitmap_encode(values, n, out);
}

static bool
decode(const Family *family, const uint8_t *chunk, size_t len, int n, void *values)
{
	if (family == &ints)
		return dbp_ints_decode(chunk, len, n, values);
	if (family == &doubles)
		return dbp_doubles_decode(chunk, len, n, values);
	if (family == &floats)
		return dbp_floats_decode(chunk, len, n, values);
	return dbp_bitmap_decode(chunk, len, n, values);
}

/* Is the chunk, in memory of its own, these values? */
static bool
decodes_to(const Family *family, const DbpBuffer *chunk, const void *values, int n)
{
	size_t size = size_of(family, n);
	uint8_t *copy = copy_of(chunk->data, chunk->len);
	uint8_t *decoded = malloc(size + (size == 0));
	bool same;

	memset(decoded, 0xa5, size);
	same = decode(family, copy, chunk->len, n, decoded) &&
		(size == 0 || memcmp(decoded, values, size) == 0);
	free(copy);
	free(decoded);
	return same;
}

static bool
is_described(const Family *family, const DbpBuffer *chunk, int n)
{
	char text[300];
	char little[8] = "#######";

	if (family == &bitmaps)
		return true;
	dbp_chunk_describe(family->family, chunk->data, chunk->len, n, text, sizeof(text));
	dbp_chunk_describe(family->family, chunk->data, chunk->len, n, little, 5);
	return strcmp(text, "damaged") != 0 && strlen(text) > 3 && strlen(little) == 4 &&
		little[5] == '#';
}

/* Whatever comes of a damaged chunk, it must end well: checkers see the rest */
static void
damage(const Family *family, const DbpBuffer *chunk, int n, int rounds)
{
	size_t size = size_of(family, n);
	char text[100];

	for (int i = 0; i < rounds; i++)
	{
		size_t len = i % 3 == 0 ? (size_t) below(chunk->len) : chunk->len;
		uint8_t *copy = copy_of(chunk->data, len);
		uint8_t *decoded = malloc(size + (size == 0));
		/* most of what is worth damaging is at the beginning */
		uint64_t reach = i % 2 == 0 && len > 24 ? 24 : len;

		for (uint64_t flips = i % 3 == 0 ? below(2) : 1 + below(3); len > 0 && flips > 0; flips--)
			copy[below(reach)] ^= (uint8_t) (i % 4 == 0 ? draw() : UINT64_C(1) << below(8));
		decode(family, copy, len, n, decoded);
		if (family != &bitmaps)
			dbp_chunk_describe(family->family, copy, len, n, text, sizeof(text));
		free(copy);
		free(decoded);
	}
}

/* Another number of values than was encoded */
static void
miscount(const Family *family, const DbpBuffer *chunk, int n)
{
	int counts[] = {0, 1, n / 2, n - 1, n + 1, n + 1024};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
	{
		size_t size;
		uint8_t *decoded;

		if (counts[i] < 0 || counts[i] > MAX)
			continue;
		size = size_of(family, counts[i]);
		decoded = malloc(size + (size == 0));
		decode(family, chunk->data, chunk->len, counts[i], decoded);
		free(decoded);
	}
}

/* 0, or the line where something was wrong */
static int
check(const Family *family, const void *values, int n, int effort, int rounds)
{
	DbpBuffer chunk = {0};
	int line = 0;

	/* encoders append */
	if (!dbp_buffer_append(&chunk, "abc", 3) || !encode(family, values, n, effort, &chunk) ||
		memcmp(chunk.data, "abc", 3) != 0)
		line = __LINE__;
	else
	{
		chunk.len -= 3;
		memmove(chunk.data, chunk.data + 3, chunk.len);
		if (!decodes_to(family, &chunk, values, n))
			line = __LINE__;
		else if (!is_described(family, &chunk, n))
			line = __LINE__;
		else if (chunk.len > size_of(family, n) + size_of(family, n) / 100 + 16)
			line = __LINE__;
		damage(family, &chunk, n, rounds);
		miscount(family, &chunk, n);
	}
	dbp_buffer_free(&chunk);
	return line;
}

/* Numbers of values at which something changes, and others */
static int
draw_count(void)
{
	static const int edges[] = {0,	 1,	  2,	3,	  4,	5,	  16,	63,	  64,	65,	 66,
								512, 513, 1023, 1024, 1025, 1026, 2047, 2048, 4095, 4096};

	switch (below(8))
	{
		case 0:
		case 1:
			return edges[below(sizeof(edges) / sizeof(edges[0]))];
		case 2:
			return (int) below(MAX + 1);
		case 3:
		case 4:
			return (int) below(100);
		default:
			return (int) below(5000);
	}
}

#define INT_STYLES 18

/* Values of one style, with a few others in between for some of them */
static void
draw_ints(int style, uint64_t *values, int n)
{
	int bits = (int) below(65);
	uint64_t mask = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
	uint64_t step = draw() & mask;
	uint64_t value = below(2) == 0 ? draw() : 0;
	uint64_t period = 1 + below(300);
	uint64_t odd = below(3) == 0 ? 2 + below(300) : 0;

	for (int i = 0; i < n; i++)
	{
		switch (style)
		{
			case 0: /* random in so many bits */
				value = draw() & mask;
				break;
			case 1: /* the same, of either sign */
				value = (draw() & mask) - (mask >> 1);
				break;
			case 2: /* ascending */
				value += draw() & mask >> 40;
				break;
			case 3: /* a walk */
				value += (draw() & mask) - (mask >> 1);
				break;
			case 4: /* regular, nearly */
				value += step + below(3);
				break;
			case 5: /* a constant */
				break;
			case 6: /* long runs */
				value = below(50) == 0 ? draw() & mask : value;
				break;
			case 7: /* a few different values */
				value = (below(20) * 2654435761u) & mask;
				break;
			case 8: /* multiples */
				value = below(100000) * step + 7;
				break;
			case 9: /* mostly small */
				value = draw() >> (64 - below(bits + 1) / 2) % 64;
				break;
			case 10: /* a sequence that comes again */
				value = i >= (int) period ? values[i - (int) period] : draw() & mask;
				break;
			case 11: /* extremes */
				value = below(2) == 0 ? UINT64_C(1) << 63 : INT64_MAX;
				break;
			case 12: /* near the extremes, so that differences overflow */
				value = (below(2) << 63) - below(5);
				break;
			case 13: /* trailing zeros in decimal notation */
				value = below(1000) * (uint64_t) pow(10, (double) below(14));
				break;
			case 14: /* few remainders */
				value = below(100000) * 1000000 + 17 * below(4);
				break;
			case 15: /* accelerating */
				value = (uint64_t) i * (uint64_t) i * (step & 0xffff) + below(4);
				break;
			case 16: /* geometric */
				value = (uint64_t) __builtin_ctzll(draw() | UINT64_C(1) << 63);
				break;
			default: /* anything */
				value = draw() >> below(64);
				break;
		}
		values[i] = odd > 0 && below(odd) == 0 ? draw() >> below(64) : value;
	}
}

#define DOUBLE_STYLES 12

static void
draw_doubles(int style, uint64_t *values, int n)
{
	static const uint64_t special[] = {
		0,
		UINT64_C(0x8000000000000000), /* negative zero */
		UINT64_C(0x7ff0000000000000), /* infinities */
		UINT64_C(0xfff0000000000000),
		UINT64_C(0x7ff8000000000000), /* NaN, quiet and signalling, with payloads */
		UINT64_C(0xfff8000000000000),
		UINT64_C(0x7ff8000000001234),
		UINT64_C(0x7ff0000000000001),
		UINT64_C(0xfff0000000abcdef),
		UINT64_C(0x7fffffffffffffff),
		1, /* denormal */
		UINT64_C(0x800fffffffffffff),
		UINT64_C(0x7fefffffffffffff), /* the largest */
		UINT64_C(0x4340000000000000), /* 2^53 */
		UINT64_C(0x4320000000000001), /* 2^51 and a bit */
	};
	double power = pow(10, (double) below(18));
	double value = 0;
	uint64_t odd = below(2) == 0 ? 2 + below(200) : 0;

	for (int i = 0; i < n; i++)
	{
		switch (style)
		{
			case 0: /* decimal fractions */
				value = (double) (int64_t) (below(2000000) - 1000000) / power;
				break;
			case 1: /* a walk of them */
				value = (round(value * power) + (double) below(11) - 5) / power;
				break;
			case 2: /* of all lengths */
				value = (double) below(100000) / pow(10, (double) below(12));
				break;
			case 3: /* sums */
				value = (double) below(1000) / 100 + (double) below(1000) / 100;
				break;
			case 4: /* real numbers */
				value = (double) draw() / (double) draw();
				break;
			case 5:
				value = (double) (draw() >> 11) * 0x1p-53 - 0.5;
				break;
			case 6: /* single precision */
				value = (double) ((float) below(1000000) / 7.0f);
				break;
			case 7: /* integers, also large ones */
				value = (double) (int64_t) (draw() >> below(64)) * (below(2) == 0 ? 1 : -1);
				break;
			case 8: /* the same again and again */
				value = below(30) == 0 ? (double) below(1000) / 8 : value;
				break;
			case 9: /* a smooth curve */
				value = sin((double) i / 100) * 1000;
				break;
			case 10: /* halves, up to where they end */
				value = (double) (draw() >> (below(16) + 10)) / 2;
				break;
			default:
				break;
		}
		values[i] = as_bits(value);
		if (style == 11)
			values[i] = draw();
		if (odd > 0 && below(odd) == 0)
			values[i] = special[below(sizeof(special) / sizeof(special[0]))];
	}
}

#define FLOAT_STYLES 8

static void
draw_floats(int style, uint32_t *values, int n)
{
	static const uint32_t special[] = {0,		   0x80000000, 0x7f800000, 0xff800000,
									   0x7fc00000, 0xffc01234, 0x7f800001, 0xffbfffff,
									   1,		   0x7f7fffff, 0x4b800000, 0x5effffff};
	double power = pow(10, (double) below(8));
	float value = 0;
	uint64_t odd = below(2) == 0 ? 2 + below(200) : 0;

	for (int i = 0; i < n; i++)
	{
		switch (style)
		{
			case 0: /* decimal fractions */
				value = (float) ((double) (int64_t) (below(200000) - 100000) / power);
				break;
			case 1: /* a walk of them */
				value = (float) ((round((double) value * power) + (double) below(11) - 5) / power);
				break;
			case 2: /* of all lengths */
				value = (float) ((double) below(10000) / pow(10, (double) below(7)));
				break;
			case 3:
				value = (float) draw() / (float) draw();
				break;
			case 4: /* integers, also large ones */
				value = (float) (int64_t) (draw() >> below(64)) * (below(2) == 0 ? 1 : -1);
				break;
			case 5: /* the same again and again */
				value = below(30) == 0 ? (float) below(1000) / 8 : value;
				break;
			case 6:
				value = sinf((float) i / 100) * 1000;
				break;
			default:
				break;
		}
		values[i] = as_float_bits(value);
		if (style == 7)
			values[i] = (uint32_t) draw();
		if (odd > 0 && below(odd) == 0)
			values[i] = special[below(sizeof(special) / sizeof(special[0]))];
	}
}

static void
draw_bitmap(uint8_t *bitmap, int n)
{
	uint64_t rarely = 1 + below(200);
	uint64_t invert = below(2);
	bool run = false;

	memset(bitmap, 0, ((size_t) n + 7) / 8);
	for (int i = 0; i < n; i++)
	{
		run = below(rarely) == 0 ? !run : run;
		if ((rarely % 2 == 0 ? (uint64_t) run : (uint64_t) (below(rarely) == 0)) != invert)
			bitmap[i / 8] |= (uint8_t) (1 << i % 8);
	}
}

static void
test_family(const Family *family, int styles, int rounds, uint64_t seed)
{
	static uint64_t values[MAX];
	char name[100];
	int line = 0;
	int round = 0;

	for (; line == 0 && round < rounds; round++)
	{
		int style = round % styles;
		int n = draw_count();
		int effort = n > 10000 || below(4) != 0 ? DBP_EFFORT_DEFAULT : 1 + (int) below(3);

		if (family == &ints)
			draw_ints(style, values, n);
		else if (family == &doubles)
			draw_doubles(style, values, n);
		else if (family == &floats)
			draw_floats(style, (uint32_t *) values, n);
		else
			draw_bitmap((uint8_t *) values, n);
		line = check(family, values, n, effort, n > 10000 ? 6 : 20);
		if (line != 0)
			printf("# line %d: style %d, %d values, effort %d; seed %llu, round %d\n", line, style,
				   n, effort, (unsigned long long) seed, round);
	}
	snprintf(name, sizeof(name), "%d chunks of random %s", rounds, family->name);
	ok(line == 0, name);
}

/* The size of the chunk, or SIZE_MAX if it does not come back */
static size_t
chunk_size(const Family *family, const void *values, int n)
{
	DbpBuffer chunk = {0};
	size_t size = SIZE_MAX;

	if (encode(family, values, n, DBP_EFFORT_DEFAULT, &chunk) &&
		decodes_to(family, &chunk, values, n))
		size = chunk.len;
	dbp_buffer_free(&chunk);
	return size;
}

static void
test_small(void)
{
	static uint64_t values[MAX];
	uint8_t none[1] = {0};
	bool fine = true;

	ok(chunk_size(&ints, values, 0) <= 2 && chunk_size(&doubles, values, 0) <= 3 &&
		   chunk_size(&floats, values, 0) <= 3 && chunk_size(&bitmaps, none, 0) <= 2,
	   "no values");
	ok(chunk_size(&ints, values, MAX) <= 2 && chunk_size(&doubles, values, MAX) <= 4 &&
		   chunk_size(&floats, values, MAX) <= 4 && chunk_size(&bitmaps, values, MAX) <= 2,
	   "zeros");
	for (int i = 0; i < 64; i++)
	{
		values[0] = UINT64_C(0) - (UINT64_C(1) << i);
		fine &= chunk_size(&ints, values, 1) <= 2 + (size_t) i / 7;
		values[0] = as_bits(ldexp(1, i - 30));
		fine &= chunk_size(&doubles, values, 1) <= 14;
	}
	ok(fine, "one value");
	for (int i = 0; i < 1000; i++)
		values[i] = as_bits(1234.5);
	ok(chunk_size(&doubles, values, 1000) <= 6, "a constant");
	memset(values, 0xff, sizeof(values));
	values[MAX / 64] &= ~(UINT64_C(1) << 63);
	ok(chunk_size(&bitmaps, values, MAX / 64 * 64) <= 10, "all bits");
}

/* What is known of the data must be found again, nearly: bits a value */
static void
test_ratio(void)
{
	static uint64_t values[MAX];
	int n = 8000;
	double price = 100000;

	for (int i = 0; i < n; i++)
		values[i] = 1000000 + (uint64_t) i;
	ok(chunk_size(&ints, values, n) <= 20, "a sequence");
	for (int i = 0; i < n; i++)
		values[i] = below(50) * 100 + 100;
	ok(chunk_size(&ints, values, n) * 8 <= (size_t) (5.75 * n), "entropy of 5.64 bits");
	for (int i = 0; i < n; i++)
		values[i] = below(33) == 0;
	ok(chunk_size(&ints, values, n) * 8 <= (size_t) (0.26 * n), "entropy of 0.2 bits");
	for (int i = 0; i < n; i++)
	{
		int move = __builtin_ctzll(draw() | UINT64_C(1) << 63);

		price += (draw() & 1) != 0 ? move : -move;
		values[i] = as_bits(price / 100);
	}
	ok(chunk_size(&doubles, values, n) * 8 <= (size_t) (2.7 * n), "a price on a grid");
	for (int i = 0; i < n; i++)
		values[i] = as_bits((double) (draw() >> 11) * 0x1p-53);
	ok(chunk_size(&doubles, values, n) * 8 <= (size_t) (55.9 * n), "53 random bits");
	for (int i = 0; i < n; i++)
		values[i] = (i == 0 ? 0 : values[i - 1]) +
			(uint64_t) (-log(((double) below(1 << 30) + 1) / (1 << 30)) * 1e6);
	ok(chunk_size(&ints, values, n) * 8 <= (size_t) (21.7 * n), "exponential gaps, 21.4 bits");
}

static void
test_candidates(void)
{
	static uint64_t values[MAX];
	DbpCandidate list[40];
	int n;
	bool sorted = true;
	bool named = true;

	draw_doubles(1, values, 3000);
	n = dbp_chunk_candidates(DBP_FAMILY_DOUBLE, values, 3000, DBP_EFFORT_DEFAULT, list, 40);
	for (int i = 0; i < n; i++)
	{
		sorted &= i == 0 || list[i - 1].bytes <= list[i].bytes;
		named &= strlen(list[i].name) > 3;
	}
	ok(n > 3 && sorted && named, "candidates");
	ok(n > 0 && list[0].bytes <= chunk_size(&doubles, values, 3000), "the best was chosen");
	ok(dbp_chunk_candidates(DBP_FAMILY_INT, values, 3000, DBP_EFFORT_FAST, list, 2) == 2 &&
		   dbp_chunk_candidates(DBP_FAMILY_INT, values, 0, DBP_EFFORT_FAST, list, 2) == 1 &&
		   dbp_chunk_candidates(DBP_FAMILY_FLOAT, values, 100, DBP_EFFORT_FAST, list, 0) == 0,
	   "as many candidates as there is room for");
}

/* Kinds that nobody has made yet, and bytes that are not a chunk at all */
static void
test_garbage(void)
{
	static const Family *const families[] = {&ints, &doubles, &floats, &bitmaps};
	static uint64_t values[100];
	bool refused = true;

	for (int family = 0; family < 4; family++)
	{
		refused &= !decode(families[family], NULL, 0, 10, values);
		for (int kind = 9; kind < 256; kind++)
		{
			uint8_t bytes[40] = {(uint8_t) kind};

			refused &= !decode(families[family], bytes, sizeof(bytes), 10, values);
		}
	}
	ok(refused, "unknown kinds are refused");
	for (int i = 0; i < 20000; i++)
	{
		size_t len = (size_t) below(60);
		uint8_t *bytes = malloc(len + (len == 0));

		for (size_t j = 0; j < len; j++)
			bytes[j] = (uint8_t) draw();
		if (len > 0)
			bytes[0] = (uint8_t) below(9);
		decode(families[i % 4], bytes, len, (int) below(100), values);
		free(bytes);
	}
	ok(true, "garbage does no harm");
}

int
main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	int rounds = argc > 2 ? atoi(argv[2]) : 400;

	printf("# seed %llu\n", (unsigned long long) seed);
	state = seed * UINT64_C(0x9E3779B97F4A7C15) | 1;
	test_family(&ints, INT_STYLES, rounds, seed);
	test_family(&doubles, DOUBLE_STYLES, rounds, seed);
	test_family(&floats, FLOAT_STYLES, rounds, seed);
	test_family(&bitmaps, 1, rounds, seed);
	test_small();
	test_ratio();
	test_candidates();
	test_garbage();
	printf("1..%d\n", tests);
	return failed != 0;
}
