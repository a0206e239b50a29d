/*-------------------------------------------------------------------------
 *
 * seeds.c
 *		Writes the inputs that the corpora begin with: chunks of data of many
 *		kinds, and bytes that values come of.  See seeds.sh.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "codec/general.h"

/* Values of most seeds; some encodings need more before they pay */
#define FEW 150
#define MANY 1500

/* Larger chunks find nothing that smaller ones do not */
#define MAX_SEED 1600

static const char *directory;

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

static void
write_seed(const char *target, const char *name, int mode, int n, const uint8_t *data, size_t len)
{
	char path[1000];
	FILE *file;

	if (len > MAX_SEED)
		return;
	snprintf(path, sizeof(path), "%s/%s/%s-%d", directory, target, name, mode);
	file = fopen(path, "wb");
	FUZZ_CHECK(file != NULL);
	fputc(mode, file);
	if (FUZZ_DECODE(mode))
	{
		fputc(n & 0xff, file);
		fputc(n >> 8, file);
	}
	fwrite(data, 1, len, file);
	FUZZ_CHECK(fclose(file) == 0);
}

/* Chunks of either size at each effort; those that are the same again are dropped by seeds.sh. */
static void
write_ints(const char *name, const int64_t *values, int n)
{
	for (int effort = 1; effort <= 3; effort++)
	{
		DbpBuffer out = {0};

		FUZZ_CHECK(dbp_ints_encode(values, n, effort, &out));
		write_seed("ints", name, (effort - 1) * 2, n, out.data, out.len);
		dbp_buffer_free(&out);
	}
}

static void
write_doubles(const char *name, const double *values, int n)
{
	uint64_t patterns[MANY];
	uint32_t floats[MANY];

	for (int i = 0; i < n; i++)
	{
		float value = (float) values[i];

		memcpy(&patterns[i], &values[i], 8);
		memcpy(&floats[i], &value, 4);
	}
	for (int effort = 1; effort <= 3; effort++)
	{
		DbpBuffer out = {0};

		FUZZ_CHECK(dbp_doubles_encode(patterns, n, effort, &out));
		write_seed("doubles", name, (effort - 1) * 2, n, out.data, out.len);
		out.len = 0;
		FUZZ_CHECK(dbp_floats_encode(floats, n, effort, &out));
		write_seed("floats", name, (effort - 1) * 2, n, out.data, out.len);
		dbp_buffer_free(&out);
	}
}

static void
make_ints(int n, const char *size)
{
	static const char *const names[] = {"constant", "walk",	 "times",  "random", "sparse",
										"runs",		"few",	 "wide",   "same",	 "skewed",
										"steps",	"signs", "period", "limits", "spikes"};
	int64_t values[MANY];

	for (int kind = 0; kind < (int) (sizeof(names) / sizeof(names[0])); kind++)
	{
		int64_t last = 1000;
		char name[100];

		for (int i = 0; i < n; i++)
		{
			switch (kind)
			{
				case 0:
					last = -7;
					break;
				case 1:
					last += below(11) - 5;
					break;
				case 2:
					last += INT64_C(1000000) * (1 + below(3));
					break;
				case 3:
					last = below(1000);
					break;
				case 4:
					last = below(40) == 0 ? (int64_t) (draw() >> 20) : 0;
					break;
				case 5:
					last = below(20) == 0 ? below(1000000) : last;
					break;
				case 6:
					last = INT64_C(1) << (7 * below(9));
					break;
				case 7:
					last = (int64_t) draw();
					break;
				case 8:
					last = i;
					break;
				case 9:
					last = below(1 << below(20));
					break;
				case 10:
					last += 60000 + (below(50) == 0);
					break;
				case 11:
					last = below(2) ? -(int64_t) below(100) : (int64_t) below(100);
					break;
				case 12:
					last = i % 7 * 1000 + below(3);
					break;
				case 13:
					last = i % 3 == 0 ? INT64_MIN : i % 3 == 1 ? INT64_MAX : -1;
					break;
				default:
					last = 5000 + below(9) + (below(30) == 0 ? (int64_t) below(1u << 30) : 0);
					break;
			}
			values[i] = last;
		}
		snprintf(name, sizeof(name), "%s-%s", names[kind], size);
		write_ints(name, values, n);
	}
}

static void
make_doubles(int n, const char *size)
{
	static const char *const names[] = {"constant", "price", "decimals", "random", "special",
										"sparse",	"real",	 "integers", "few"};
	double values[MANY];

	for (int kind = 0; kind < (int) (sizeof(names) / sizeof(names[0])); kind++)
	{
		static const double specials[] = {0.0, -0.0, 1.0 / 0.0, -1.0 / 0.0, 0.0 / 0.0, 5e-324};
		int64_t price = 129167;
		double real = 0.1;
		char name[100];

		for (int i = 0; i < n; i++)
		{
			uint64_t pattern = draw();

			price += below(11) - 5;
			real = real * 3.7 * (1 - real);
			switch (kind)
			{
				case 0:
					values[i] = 0.29;
					break;
				case 1:
					values[i] = (double) price / 100;
					break;
				case 2:
					values[i] = (double) below(1000000) / (i % 2 == 0 ? 10 : 1000);
					break;
				case 3:
					memcpy(&values[i], &pattern, 8);
					break;
				case 4:
					values[i] = below(4) == 0 ? specials[below(6)] : (double) price / 100;
					break;
				case 5:
					values[i] = below(20) == 0 ? real : 0;
					break;
				case 6:
					values[i] = 20 + real;
					break;
				case 7:
					values[i] = (double) price;
					break;
				default:
					values[i] = specials[below(2)] + below(5) / 3.0;
					break;
			}
		}
		snprintf(name, sizeof(name), "%s-%s", names[kind], size);
		write_doubles(name, values, n);
	}
}

/* Values of any length, one after the other */
static uint8_t room[MANY * 64];
static size_t used;
static DbpSlice slices[MANY];
static int nslices;

static void
add(const void *data, size_t len)
{
	memcpy(room + used, data, len);
	slices[nslices].data = room + used;
	slices[nslices++].len = (uint32_t) len;
	used += len;
}

static void
add_numeric(int form, int scale, int weight, int ndigits, const int *digits)
{
	uint16_t words[20];

	words[0] = (uint16_t) (form | scale << 7 | (weight < 0 ? 0x40 : 0) | (weight & 0x3f));
	for (int i = 0; i < ndigits; i++)
		words[1 + i] = (uint16_t) digits[i];
	add(words, 2 * ((size_t) ndigits + 1));
}

static void
write_slices(const char *name, bool numeric)
{
	for (int effort = 1; effort <= 3; effort++)
	{
		DbpBuffer out = {0};

		FUZZ_CHECK(numeric ? dbp_numerics_encode(slices, nslices, effort, &out)
						   : dbp_slices_encode(slices, nslices, effort, &out));
		write_seed(numeric ? "numerics" : "slices", name, (effort - 1) * 2, nslices, out.data,
				   out.len);
		dbp_buffer_free(&out);
	}
}

static void
make_slice(int kind, int i)
{
	static const char *const symbols[] = {"EURUSD", "XAUUSD", "SPY", "AAPL", "", "BTC-PERP"};
	char text[64];
	uint64_t words[2] = {draw(), draw()};

	switch (kind)
	{
		case 0:
			snprintf(text, sizeof(text), "the same");
			break;
		case 1:
			snprintf(text, sizeof(text), "%s", symbols[below(6)]);
			break;
		case 2:
			snprintf(text, sizeof(text), "%s", symbols[i * 6 / MANY]);
			break;
		case 3:
			snprintf(text, sizeof(text), "ORD-%08d", i);
			break;
		case 4:
			snprintf(text, sizeof(text), "10.0.%u.%u%s", below(4), below(256),
					 below(9) ? "" : ":8080");
			break;
		case 5:
			snprintf(text, sizeof(text), "/archive/%c%c/%c", 'a' + i / 600, 'a' + i / 30 % 20,
					 'a' + i % 30);
			break;
		case 6:
			add(words, 16);
			return;
		case 7:
			words[0] = below(86400) * UINT64_C(1000000);
			words[1] = below(3);
			add(words, 16);
			return;
		case 8:
			snprintf(text, sizeof(text), "Counterparty %c%c Ltd.", 'a' + below(20), 'a' + below(5));
			break;
		case 9:
			add(words, below(17));
			return;
		case 10:
			memset(text, 0, 24);
			for (int at = 0; at < 3; at++)
				text[8 * at] = (char) below(1 << 6);
			add(text, 16 + 8 * below(2));
			return;
		default:
			for (int at = 0; at <= 20; at++)
				text[at] = at == 20 ? '\0' : (char) ('a' + below(3));
			break;
	}
	add(text, strlen(text));
}

static void
make_slices(int n, const char *size)
{
	static const char *const names[] = {"constant", "symbols", "sorted", "orders",
										"hosts",	"paths",   "uuids",	 "intervals",
										"names",	"noise",   "arrays", "alphabet"};

	for (int kind = 0; kind < (int) (sizeof(names) / sizeof(names[0])); kind++)
	{
		char name[100];

		used = 0;
		nslices = 0;
		for (int i = 0; i < n; i++)
			make_slice(kind, i);
		snprintf(name, sizeof(name), "%s-%s", names[kind], size);
		write_slices(name, false);
	}
}

static void
make_numeric(int kind, int price)
{
	int digits[9];

	for (int i = 0; i < 9; i++)
		digits[i] = 1 + (int) below(9999);
	switch (kind)
	{
		case 0:
			digits[0] = price / 100;
			digits[1] = (price % 100 + 1) * 100;
			add_numeric(0x8000, 2, 0, price % 100 == 99 ? 1 : 2, digits);
			break;
		case 1:
			digits[1] = digits[1] / 100 * 100 + 100;
			if (below(20) == 0)
				add_numeric(0xc000 + (int) below(2) * 0x1000, 0, 0, 0, digits);
			else
				add_numeric(below(2) ? 0x8000 : 0xa000, 2, 0, 1, digits);
			break;
		case 2:
			add_numeric(0x8000, 18, 1, 6, digits);
			break;
		case 3:
			add_numeric(0x8000, (int) below(60), (int) below(9) - 4, (int) below(9), digits);
			break;
		default:
			digits[0] = 1 + (int) below(9);
			digits[1] = (int) below(9) * 1000 + 1000;
			add_numeric(0x8000, 1, 0, 2, digits);
			break;
	}
}

static void
make_numerics(int n, const char *size)
{
	static const char *const names[] = {"prices", "special", "decimals", "mixed", "one"};

	for (int kind = 0; kind < (int) (sizeof(names) / sizeof(names[0])); kind++)
	{
		int price = 129167;
		char name[100];

		used = 0;
		nslices = 0;
		for (int i = 0; i < n; i++)
		{
			price += (int) below(11) - 5;
			make_numeric(kind, price);
		}
		snprintf(name, sizeof(name), "%s-%s", names[kind], size);
		write_slices(name, true);
	}
}

static void
make_bitmaps(void)
{
	uint8_t bitmap[MANY / 8];

	for (int kind = 0; kind < 4; kind++)
	{
		DbpBuffer out = {0};
		char name[100];

		for (size_t i = 0; i < sizeof(bitmap); i++)
			bitmap[i] = kind == 0 ? 0
				: kind == 1		  ? 0xff
				: kind == 2		  ? (uint8_t) (below(10) == 0)
								  : (uint8_t) draw();
		FUZZ_CHECK(dbp_bitmap_encode(bitmap, (int) sizeof(bitmap) * 8, &out));
		snprintf(name, sizeof(name), "bits%d", kind);
		write_seed("bitmap", name, 0, (int) sizeof(bitmap) * 8, out.data, out.len);
		dbp_buffer_free(&out);
	}
}

static void
make_frames(void)
{
	uint8_t bytes[MANY];

	for (int kind = 0; kind < 3; kind++)
	{
		for (int i = 0; i < MANY; i++)
			bytes[i] = (uint8_t) (kind == 0 ? 'x' : kind == 1 ? "abcd, "[below(6)] : i * i / 7);
		for (int effort = 1; effort <= 3; effort++)
		{
			DbpBuffer out = {0};
			char name[100];

			FUZZ_CHECK(dbp_general_compress(bytes, MANY, effort, &out));
			snprintf(name, sizeof(name), "bytes%d", kind);
			write_seed("general", name, (effort - 1) * 2, MANY, out.data, out.len);
			dbp_buffer_free(&out);
		}
	}
}

/* Bytes to make values of, in each of the styles */
static void
make_values(void)
{
	static const char *const targets[] = {"ints",	  "doubles", "floats", "slices",
										  "numerics", "bitmap",	 "general"};
	uint8_t bytes[400];

	for (int target = 0; target < (int) (sizeof(targets) / sizeof(targets[0])); target++)
	{
		for (int style = 0; style < (target < 5 ? 16 : 2); style++)
		{
			for (size_t i = 0; i < sizeof(bytes); i++)
				bytes[i] = (uint8_t) (style % 2 == 0 ? draw() : below(6) == 0 ? 0 : below(9));
			write_seed(targets[target], "values", style << 2 | (style % 3 % 2) << 1 | 1, 0, bytes,
					   sizeof(bytes));
		}
	}
}

int
main(int argc, char **argv)
{
	FUZZ_CHECK(argc == 2);
	directory = argv[1];
	make_ints(FEW, "few");
	make_ints(MANY, "many");
	make_doubles(FEW, "few");
	make_doubles(MANY, "many");
	make_slices(FEW, "few");
	make_slices(MANY, "many");
	make_numerics(FEW, "few");
	make_numerics(MANY, "many");
	make_bitmaps();
	make_frames();
	make_values();
	return 0;
}
