/*-------------------------------------------------------------------------
 *
 * codec_bytes.c
 *		Tests the codecs of values of any length, without a server; prints TAP.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/general.h"
#include "codec/codec.h"

#define ROOM (4 * 1024 * 1024)

static int tests = 0;
static int failed = 0;

static void
ok(int passed, const char *name)
{
	printf("%sok %d - %s\n", passed ? "" : "not ", ++tests, name);
	failed += !passed;
}

/* The same numbers in every run (xorshift64*) */
static uint64_t state = UINT64_C(88172645463325252);

static uint64_t
draw(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * UINT64_C(2685821657736338717);
}

static uint32_t
below(uint32_t limit)
{
	return (uint32_t) ((draw() >> 32) % limit);
}

/* The values of one test: those that are being made end where the room used does */
static uint8_t room[ROOM];
static size_t used;
static DbpSlice values[DBP_CODEC_MAX_VALUES];
static int nvalues;

static void
begin(void)
{
	used = 0;
	nvalues = 0;
}

static void
add(const void *data, size_t len)
{
	if (len > 0)
		memcpy(room + used, data, len);
	values[nvalues].data = len == 0 && nvalues % 2 == 0 ? NULL : room + used;
	values[nvalues++].len = (uint32_t) len;
	used += len;
}

static void
add_text(const char *text)
{
	add(text, strlen(text));
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

static int
decodes_to_values(const uint8_t *chunk, size_t len)
{
	int64_t size = dbp_slices_size(chunk, len, nvalues, ROOM);
	uint8_t *arena;
	uint32_t *ends;
	size_t at = 0;
	int same;

	if (size != (int64_t) used)
		return 0;
	arena = malloc((size_t) size + (size == 0));
	ends = malloc(((size_t) nvalues + (nvalues == 0)) * sizeof(uint32_t));
	same = dbp_slices_decode(chunk, len, nvalues, arena, (size_t) size, ends);
	for (int i = 0; same && i < nvalues; i++)
	{
		same = ends[i] == at + values[i].len &&
			(values[i].len == 0 || memcmp(arena + at, values[i].data, values[i].len) == 0);
		at += values[i].len;
	}
	free(arena);
	free(ends);
	return same;
}

/* Whatever comes of damaged chunks, it must end well: under a checker this sees the rest */
static int
survives_damage(const DbpBuffer *chunk)
{
	static uint8_t arena[ROOM];
	static uint32_t ends[DBP_CODEC_MAX_VALUES];
	char text[200];
	int fine = 1;

	for (int i = 0; i < 40; i++)
	{
		size_t len = i % 2 == 0 ? below((uint32_t) chunk->len) : chunk->len;
		uint8_t *damaged = copy_of(chunk->data, len);
		int64_t size;

		for (int flips = i % 2 + (int) below(3); len > 0 && flips > 0; flips--)
			damaged[below(below(2)		 ? (uint32_t) len
							  : len < 20 ? (uint32_t) len
										 : 20)] ^= (uint8_t) (1 << below(8));
		size = dbp_slices_size(damaged, len, nvalues, ROOM);
		fine &= size <= ROOM;
		if (size >= 0 && dbp_slices_decode(damaged, len, nvalues, arena, (size_t) size, ends))
			fine &= nvalues == 0 || ends[nvalues - 1] == (uint32_t) size;
		dbp_chunk_describe(DBP_FAMILY_SLICE, damaged, len, nvalues, text, below(sizeof(text)) + 1);
		free(damaged);
	}
	return fine;
}

/* All efforts, and what the values are encoded as; at most so many bytes by default */
static void
round_trip(const char *name, DbpFamily family, size_t most)
{
	static const char before[] = "before";
	DbpBuffer out = {0};
	DbpCandidate candidates[16];
	size_t default_len = 0;
	char described[200] = "";
	char message[200];
	int passed = 1;
	int ncandidates;

	for (int effort = DBP_EFFORT_FAST; effort <= DBP_EFFORT_BEST; effort++)
	{
		DbpBuffer chunk;
		uint8_t *copy;

		out.len = 0;
		passed &= dbp_buffer_append(&out, before, sizeof(before));
		passed &= family == DBP_FAMILY_NUMERIC ? dbp_numerics_encode(values, nvalues, effort, &out)
											   : dbp_slices_encode(values, nvalues, effort, &out);
		passed &= memcmp(out.data, before, sizeof(before)) == 0;
		chunk.data = out.data + sizeof(before);
		chunk.len = out.len - sizeof(before);
		copy = copy_of(chunk.data, chunk.len);
		passed &= decodes_to_values(copy, chunk.len);
		passed &= !decodes_to_values(copy, chunk.len - 1);
		passed &= dbp_slices_size(copy, chunk.len, nvalues, (int64_t) used - 1) == -1;
		free(copy);
		passed &= survives_damage(&chunk);
		if (effort == DBP_EFFORT_DEFAULT)
		{
			default_len = chunk.len;
			dbp_chunk_describe(family, chunk.data, chunk.len, nvalues, described,
							   sizeof(described));
		}
	}
	passed &= strcmp(described, "damaged") != 0 && described[0] != '\0';
	ncandidates = dbp_chunk_candidates(family, values, nvalues, DBP_EFFORT_DEFAULT, candidates, 16);
	passed &= ncandidates > 0 && candidates[0].bytes == default_len;
	for (int i = 1; i < ncandidates; i++)
		passed &= candidates[i - 1].bytes <= candidates[i].bytes;
	if (most > 0 && default_len > most)
	{
		printf("# %zu bytes, not %zu\n", default_len, most);
		passed = 0;
	}
	snprintf(message, sizeof(message), "%s", name);
	ok(passed, message);
	printf("# %d values, %zu bytes: %zu, %s\n", nvalues, used, default_len, described);
	dbp_buffer_free(&out);
}

static void
test_few(void)
{
	static const uint8_t zeros[3] = {0};

	begin();
	round_trip("no value", DBP_FAMILY_SLICE, 2);
	add("", 0);
	round_trip("one empty value", DBP_FAMILY_SLICE, 2);
	add("", 0);
	round_trip("two empty values", DBP_FAMILY_SLICE, 2);
	add_text("x");
	round_trip("two empty values and one that is not", DBP_FAMILY_SLICE, 0);
	begin();
	add_text("hello");
	round_trip("one value", DBP_FAMILY_SLICE, 7);
	add_text("hello!");
	round_trip("two values, one of which begins with the other", DBP_FAMILY_SLICE, 0);
	add(zeros, 3);
	add(zeros, 2);
	add(zeros, 0);
	add(zeros, 1);
	round_trip("zeros of several lengths", DBP_FAMILY_SLICE, 0);
}

static void
test_constant(void)
{
	begin();
	for (int i = 0; i < DBP_CODEC_MAX_VALUES; i++)
		add_text("the same");
	round_trip("as many equal values as there may be", DBP_FAMILY_SLICE, 14);
	begin();
	for (int i = 0; i < DBP_CODEC_MAX_VALUES; i++)
		add("", 0);
	round_trip("as many empty values", DBP_FAMILY_SLICE, 2);
}

static void
test_repeated(void)
{
	static const char *const symbols[] = {"EURUSD", "XAUUSD", "SPY", "AAPL", "", "BTC-PERP"};
	char text[64];

	begin();
	for (int i = 0; i < 8000; i++)
		add_text(symbols[below(6)]);
	round_trip("symbols", DBP_FAMILY_SLICE, 8000 * 3 / 8 + 100);
	begin();
	for (int i = 0; i < 8000; i++)
		add_text(symbols[i / 1400]);
	round_trip("sorted symbols", DBP_FAMILY_SLICE, 200);
	begin();
	for (int i = 0; i < 8000; i++)
	{
		snprintf(text, sizeof(text), "Counterparty %u Ltd.", below(500) * 7919);
		add_text(text);
	}
	round_trip("some hundred names", DBP_FAMILY_SLICE, 12000);
	begin();
	for (int i = 0; i < 8000; i++)
		add_text(below(1000) == 0 ? "rejected" : "filled");
	round_trip("two words, one of them rare", DBP_FAMILY_SLICE, 300);
}

static void
test_text(void)
{
	char text[200];
	uint32_t at = 1400000000;

	begin();
	for (int i = 0; i < 8000; i++)
	{
		snprintf(text, sizeof(text), "ORD-%08d", 1000 + i);
		add_text(text);
	}
	round_trip("order numbers, padded", DBP_FAMILY_SLICE, 100);
	begin();
	for (int i = 0; i < 8000; i++)
	{
		snprintf(text, sizeof(text), "ORD-%d/%d", 1000 + i, i % 3);
		add_text(text);
	}
	round_trip("order numbers", DBP_FAMILY_SLICE, 2200);
	begin();
	for (int i = 0; i < 4000; i++)
	{
		at += below(3);
		snprintf(text, sizeof(text), "%u.%03u %s client=10.0.%u.%u took %u ms%s", at, below(1000),
				 below(2) ? "filled" : "cancelled", below(4), below(256), below(100),
				 below(10) == 0 ? ", slow" : "");
		add_text(text);
	}
	round_trip("messages", DBP_FAMILY_SLICE, 4000 * 6);
	begin();
	for (int i = 0; i < 4000; i++)
	{
		snprintf(text, sizeof(text), "%0*d", 1 + (int) below(40), (int) below(5));
		add_text(text);
	}
	round_trip("zeros before digits", DBP_FAMILY_SLICE, 0);
	begin();
	for (int i = 0; i < 3000; i++)
	{
		size_t len = below(30);

		for (size_t j = 0; j < len; j++)
			text[j] = (char) ('0' + below(12));
		add(text, len);
	}
	round_trip("digits and what is next to them", DBP_FAMILY_SLICE, 0);
	begin();
	for (int i = 0; i < 3000; i++)
	{
		snprintf(text, sizeof(text), "/srv/archive/%c%c/%c", 'a' + i / 600, 'a' + i / 30 % 20,
				 'a' + i % 30);
		add_text(text);
	}
	round_trip("sorted paths", DBP_FAMILY_SLICE, 0);
}

static void
test_fixed(void)
{
	uint8_t bytes[64];
	uint64_t milliseconds = UINT64_C(1400000000000);

	begin();
	for (int i = 0; i < 8000 * 2; i++)
	{
		uint64_t word = draw();

		memcpy(bytes + i % 2 * 8, &word, 8);
		bytes[6] = (uint8_t) ((bytes[6] & 0x0f) | 0x40);
		bytes[8] = (uint8_t) ((bytes[8] & 0x3f) | 0x80);
		if (i % 2 == 1)
			add(bytes, 16);
	}
	round_trip("uuids of version 4", DBP_FAMILY_SLICE, 8000 * 16);
	begin();
	for (int i = 0; i < 8000; i++)
	{
		uint64_t word;

		milliseconds += below(4);
		for (int j = 0; j < 6; j++)
			bytes[j] = (uint8_t) (milliseconds >> (40 - 8 * j));
		word = draw();
		memcpy(bytes + 6, &word, 8);
		word = draw();
		memcpy(bytes + 9, &word, 7);
		bytes[6] = (uint8_t) ((bytes[6] & 0x0f) | 0x70);
		bytes[8] = (uint8_t) ((bytes[8] & 0x3f) | 0x80);
		add(bytes, 16);
	}
	round_trip("uuids of version 7", DBP_FAMILY_SLICE, 8000 * 10);
	begin();
	for (int i = 0; i < 8000; i++)
	{
		int64_t time = (int64_t) below(86400) * 1000000;
		int32_t day = (int32_t) below(3) - 1;

		memcpy(bytes, &time, 8);
		memcpy(bytes + 8, &day, 4);
		memset(bytes + 12, 0, 4);
		add(bytes, 16);
	}
	round_trip("intervals", DBP_FAMILY_SLICE, 8000 * 20 / 8);
	begin();
	for (int i = 0; i < 4000; i++)
	{
		double x = 0.01 * below(100000);

		memset(bytes, 1, 20);
		memcpy(bytes + 20, &x, 8);
		x += 0.01 * below(10);
		memcpy(bytes + 28, &x, 8);
		add(bytes, 36);
	}
	round_trip("arrays of two doubles", DBP_FAMILY_SLICE, 4000 * 7);
	begin();
	for (int i = 0; i < 4000; i++)
	{
		snprintf((char *) bytes, sizeof(bytes), "%08x-%04x-7%03x-%c%03X-%08x%04x",
				 0x68000000 + i / 7, below(65536), below(4096), 'a' + below(2), below(4096),
				 (unsigned) (draw() >> 32), below(65536));
		add(bytes, 36);
	}
	round_trip("uuids as text", DBP_FAMILY_SLICE, 4000 * 13);
	begin();
	for (int i = 0; i < 4000; i++)
	{
		size_t count = 2 + below(4);

		memset(bytes, 0, 20);
		bytes[16] = (uint8_t) count;
		for (size_t j = 0; j < count; j++)
		{
			double x = below(10000) / 100.0;

			memcpy(bytes + 20 + 8 * j, &x, 8);
		}
		add(bytes, 20 + 8 * count);
	}
	round_trip("arrays of a few lengths", DBP_FAMILY_SLICE, 4000 * 10);
	begin();
	for (int i = 0; i < 100; i++)
	{
		for (int j = 0; j < 64; j++)
			bytes[j] = (uint8_t) draw();
		add(bytes, 64);
	}
	round_trip("noise of one length", DBP_FAMILY_SLICE, 6500);
}

/* Values of one byte and up, of every length, random and not */
static void
test_random(void)
{
	static uint8_t bytes[70000];
	char name[100];

	for (int i = 0; i < 60; i++)
	{
		int n = 1 + (int) below(i % 10 == 0 ? 3000 : 200);
		uint32_t longest = i % 7 == 0 ? 1 + below(70) : 1 + below(9);
		uint32_t alphabet = 1 + below(i % 3 == 0 ? 256 : 4);
		int same_length = (int) below(2);

		begin();
		for (int j = 0; j < n; j++)
		{
			uint32_t len = same_length ? longest : below(longest + 1);

			for (uint32_t k = 0; k < len; k++)
				bytes[k] = (uint8_t) ('0' + below(alphabet));
			add(bytes, len);
			if (below(4) == 0)
				add(bytes, len);
		}
		snprintf(name, sizeof(name), "random values, number %d", i);
		round_trip(name, DBP_FAMILY_SLICE, 0);
		snprintf(name, sizeof(name), "random values, number %d, as numerics", i);
		round_trip(name, DBP_FAMILY_NUMERIC, 0);
	}
	begin();
	for (int i = 0; i < 40; i++)
	{
		uint32_t len = i % 4 == 0 ? 70000 : below(100);

		for (uint32_t k = 0; k < len; k++)
			bytes[k] = (uint8_t) ('a' + below(7));
		add(bytes, len);
	}
	round_trip("a few long values", DBP_FAMILY_SLICE, 0);
}

/*
 * The bytes of a numeric from its text, written without the code that is tested:
 * to the base 10000, with the point between two digits, without zeros at both ends.
 */
static size_t
make_numeric(const char *text, int force_long, uint8_t *bytes)
{
	const char *point = strchr(text, '.');
	int negative = text[0] == '-';
	int before;
	int scale = point == NULL ? 0 : (int) strlen(point + 1);
	int weight;
	int digits[600] = {0};
	int ndigits;
	int first = 0;
	uint16_t words[604];
	int nwords = 0;

	text += negative;
	before = point == NULL ? (int) strlen(text) : (int) (point - text);
	weight = (before + 3) / 4 - 1;
	ndigits = (before + 3) / 4 + (scale + 3) / 4;
	for (int i = 0; i < before; i++)
		digits[(i + 4 - before % 4) / 4 - (before % 4 == 0)] =
			digits[(i + 4 - before % 4) / 4 - (before % 4 == 0)] * 10 + text[i] - '0';
	for (int i = 0; i < (scale + 3) / 4 * 4; i++)
		digits[weight + 1 + i / 4] =
			digits[weight + 1 + i / 4] * 10 + (i < scale ? point[1 + i] - '0' : 0);
	while (first < ndigits && digits[first] == 0)
	{
		first++;
		weight--;
	}
	while (ndigits > first && digits[ndigits - 1] == 0)
		ndigits--;
	if (ndigits == first)
		negative = weight = 0;
	if (!force_long && scale <= 63 && weight >= -64 && weight <= 63)
		words[nwords++] = (uint16_t) (0x8000 | (negative ? 0x2000 : 0) | scale << 7 |
									  (weight < 0 ? 0x40 : 0) | (weight & 0x3f));
	else
	{
		words[nwords++] = (uint16_t) ((negative ? 0x4000 : 0) | scale);
		words[nwords++] = (uint16_t) weight;
	}
	for (int i = first; i < ndigits; i++)
		words[nwords++] = (uint16_t) digits[i];
	memcpy(bytes, words, (size_t) nwords * 2);
	return (size_t) nwords * 2;
}

static void
add_numeric(const char *text)
{
	uint8_t bytes[1300];

	add(bytes, make_numeric(text, 0, bytes));
}

static void
add_special(int which)
{
	static const uint16_t specials[] = {0xc000, 0xd000, 0xf000};

	add(&specials[which], 2);
}

static void
test_numerics(void)
{
	char text[400];
	uint8_t bytes[1300];
	int price = 129167;

	begin();
	for (int i = 0; i < 8000; i++)
	{
		price += (int) below(11) - 5;
		snprintf(text, sizeof(text), "%d.%02d", price / 100, price % 100);
		add_numeric(text);
	}
	round_trip("prices", DBP_FAMILY_NUMERIC, 8000 * 5 / 8);
	for (int i = 0; i < 50; i++)
		add_special((int) below(3));
	round_trip("prices, NaN and infinities", DBP_FAMILY_NUMERIC, 8000 * 5 / 8);

	begin();
	for (int i = 0; i < 4000; i++)
	{
		int number = (int) below(2000000) - 1000000;
		int scale = (int) below(6);

		snprintf(text, sizeof(text), "%.*f", scale, number / 100000.0);
		add_numeric(strtod(text, NULL) == 0 && text[0] == '-' ? text + 1 : text);
	}
	round_trip("several display scales", DBP_FAMILY_NUMERIC, 0);

	begin();
	for (int i = 0; i < 4000; i++)
	{
		snprintf(text, sizeof(text), "%.7g", (int) below(2000000) / 10000.0);
		add_numeric(text);
	}
	round_trip("no zeros at the end", DBP_FAMILY_NUMERIC, 4000 * 23 / 8);

	begin();
	for (int i = 0; i < 4000; i++)
	{
		snprintf(text, sizeof(text), "%s%u.%09u%09u", below(2) ? "-" : "", below(1000000),
				 below(1000000000), below(1000000000));
		add_numeric(text);
	}
	round_trip("eighteen decimals", DBP_FAMILY_NUMERIC, 4000 * 11);

	begin();
	add_numeric("0");
	add_numeric("0.00");
	add_numeric("0.000000000000000000000000000000000000000000000000000000000000000000001");
	add_numeric("9223372036854775807");
	add_numeric("-9223372036854775808");
	add_numeric("999999999999999999");
	add_numeric("-1000000000000000000");
	add_numeric("1000000000000000000000000000000000000000000000");
	add_numeric("99999999999999999999999999999999999.9");
	add_numeric("10000");
	add_numeric("0.0001");
	add_numeric("0.00010000");
	add_numeric("12345678.90123400");
	round_trip("numbers at the limits", DBP_FAMILY_NUMERIC, 0);

	begin();
	for (int i = 0; i < 1000; i++)
	{
		/* what an old server has written, or nobody */
		snprintf(text, sizeof(text), "%u.%02u", below(1000), below(100));
		add(bytes, make_numeric(text, i % 5 == 0, bytes));
	}
	round_trip("long forms among short ones", DBP_FAMILY_NUMERIC, 0);
}

/* Numbers of any size and scale; and noise that looks like numbers */
static void
test_random_numerics(void)
{
	char name[100];

	for (int i = 0; i < 60; i++)
	{
		int n = 1 + (int) below(300);
		uint32_t most_digits = 1 + below(i % 2 == 0 ? 12 : 60);
		uint32_t most_decimals = below(i % 2 == 0 ? 6 : 80);
		int strange = i % 3 == 0;

		begin();
		for (int j = 0; j < n; j++)
		{
			char text[400];
			int len = 0;
			uint32_t ndigits = 1 + below(most_digits);
			uint32_t ndecimals = below(3) != 0 ? most_decimals : below(most_decimals + 1);
			int zero = below(10) == 0;

			if (below(3) == 0)
				text[len++] = '-';
			for (uint32_t k = 0; k < ndigits; k++)
				text[len++] = (char) ('0' + (zero ? 0 : below(10)));
			if (ndecimals > 0)
				text[len++] = '.';
			for (uint32_t k = 0; k < ndecimals; k++)
				text[len++] = (char) ('0' + (zero ? 0 : below(10)));
			text[len] = '\0';
			add_numeric(text);
			if (strange && below(10) == 0 && values[nvalues - 1].len > 0)
				room[used - 1 - below(values[nvalues - 1].len)] ^= (uint8_t) (1 << below(8));
			if (strange && below(20) == 0)
				add_special((int) below(3));
		}
		snprintf(name, sizeof(name), "random numerics, number %d", i);
		round_trip(name, DBP_FAMILY_NUMERIC, 0);
	}
}

static void
test_general(void)
{
	static uint8_t in[20000];
	static uint8_t out[20001];
	DbpBuffer frame = {0};
	int passed = 1;

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t) (i % 7 * (i % 3));
	for (int effort = DBP_EFFORT_FAST; effort <= DBP_EFFORT_BEST; effort++)
	{
		for (size_t len = 0; len <= sizeof(in); len = len * 2 + 1)
		{
			frame.len = 0;
			passed &= dbp_general_compress(in, len, effort, &frame);
			passed &= dbp_general_decompress(frame.data, frame.len, out, len);
			passed &= memcmp(in, out, len) == 0;
			passed &= !dbp_general_decompress(frame.data, frame.len, out, len + 1);
			passed &= len == 0 || !dbp_general_decompress(frame.data, frame.len, out, len - 1);
			passed &= !dbp_general_decompress(frame.data, frame.len - 1, out, len);
		}
	}
	ok(passed, "general compression gives just what went in");
	dbp_buffer_free(&frame);
}

static void
test_buffer(void)
{
	DbpBuffer buffer = {0};
	int passed = dbp_buffer_append(&buffer, NULL, 0);

	for (int i = 0; i < 10000; i++)
		passed &= dbp_buffer_append(&buffer, &i, sizeof(i));
	passed &= buffer.len == 10000 * sizeof(int);
	for (int i = 0; i < 10000; i++)
		passed &= memcmp(buffer.data + i * sizeof(int), &i, sizeof(i)) == 0;
	passed &= !dbp_buffer_reserve(&buffer, SIZE_MAX) && !dbp_buffer_reserve(&buffer, SIZE_MAX / 2);
	passed &= buffer.len == 10000 * sizeof(int);
	dbp_buffer_free(&buffer);
	passed &= buffer.data == NULL && buffer.len == 0 && buffer.size == 0;
	ok(passed, "a buffer grows");
}

/* A few bytes that claim to be very many */
static void
test_claims(void)
{
	static const uint8_t huge[] = {0x00, 0xff, 0xff, 0xff, 0xff, 0x07};
	static const uint8_t beyond[] = {0x00, 0x80, 0x80, 0x80, 0x80, 0x08};
	static const uint8_t unknown[] = {0x0f, 0x00};

	ok(dbp_slices_size(huge, sizeof(huge), 1, 1000) == -1, "a claim beyond the limit is damage");
	ok(dbp_slices_size(huge, sizeof(huge), 1, INT64_MAX) == INT32_MAX, "and one within it is not");
	ok(dbp_slices_size(beyond, sizeof(beyond), 1, INT64_MAX) == -1, "nothing is beyond 2^31");
	ok(dbp_slices_size(unknown, sizeof(unknown), 1, 1000) == -1, "an unknown kind is damage");
	ok(dbp_slices_size(huge, 0, 1, 1000) == -1, "so is no chunk at all");
	ok(dbp_slices_size(huge, sizeof(huge), -1, INT64_MAX) == -1, "so are fewer values than none");
	ok(dbp_slices_size(huge, sizeof(huge), DBP_CODEC_MAX_VALUES + 1, INT64_MAX) == -1,
	   "or more than there may be");
}

int
main(void)
{
	test_buffer();
	test_general();
	test_few();
	test_constant();
	test_repeated();
	test_text();
	test_fixed();
	test_random();
	test_numerics();
	test_random_numerics();
	test_claims();
	printf("1..%d\n", tests);
	return failed > 0;
}
