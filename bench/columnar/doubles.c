/*
 * doubles: what the encoder of double precision makes of samples, and how fast it is.
 *
 *	doubles FILE.csv…		one number a line; at most DBP_CODEC_MAX_VALUES
 *
 * For each file a line, separated by tabs: its name without .csv, values, bits a value at the default
 * and at the best effort, bits a value of zstd -19 of the raw doubles, millions of values a second
 * encoded and decoded at the default effort (median of some turns, by processor time), and how the
 * values were encoded.  Fails where values do not come back bit for bit.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zstd.h>

#include "codec/codec.h"

#define TURNS 9
#define TURN_SECONDS 0.02

static uint64_t values[DBP_CODEC_MAX_VALUES];
static uint64_t decoded[DBP_CODEC_MAX_VALUES];

static void
fail(const char *file, const char *why)
{
	fprintf(stderr, "doubles: %s: %s\n", file, why);
	exit(1);
}

static int
read_values(const char *file)
{
	FILE *in = fopen(file, "r");
	char line[128];
	int n = 0;

	if (in == NULL)
		fail(file, strerror(errno));
	while (fgets(line, sizeof(line), in) != NULL)
	{
		char *end;
		double value = strtod(line, &end);

		if (end == line || (*end != '\n' && *end != '\r' && *end != '\0'))
			fail(file, "a line is no number");
		if (n == DBP_CODEC_MAX_VALUES)
			fail(file, "too many values");
		memcpy(&values[n++], &value, sizeof(value));
	}
	fclose(in);
	if (n == 0)
		fail(file, "no values");
	return n;
}

static void
encode(const char *file, int n, int effort, DbpBuffer *out)
{
	out->len = 0;
	if (!dbp_doubles_encode(values, n, effort, out))
		fail(file, "no memory");
}

static void
decode(const char *file, int n, const DbpBuffer *chunk)
{
	if (!dbp_doubles_decode(chunk->data, chunk->len, n, decoded))
		fail(file, "the chunk does not decode");
}

static double
encoded_bits(const char *file, int n, int effort, DbpBuffer *out)
{
	encode(file, n, effort, out);
	memset(decoded, 0xA5, sizeof(decoded));
	decode(file, n, out);
	if (memcmp(values, decoded, (size_t) n * sizeof(uint64_t)) != 0)
		fail(file, "the values came back as others");
	return 8.0 * (double) out->len / n;
}

static double
zstd_bits(const char *file, int n)
{
	size_t size = (size_t) n * sizeof(uint64_t);
	size_t bound = ZSTD_compressBound(size);
	void *out = malloc(bound);
	size_t len;

	if (out == NULL)
		fail(file, "no memory");
	len = ZSTD_compress(out, bound, values, size, 19);
	if (ZSTD_isError(len))
		fail(file, ZSTD_getErrorName(len));
	free(out);
	return 8.0 * (double) len / n;
}

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static int
compare_doubles(const void *a, const void *b)
{
	double x = *(const double *) a;
	double y = *(const double *) b;

	return (x > y) - (x < y);
}

/* Millions of values a second */
static double
measure(const char *file, int n, DbpBuffer *chunk, int encoding)
{
	double rates[TURNS];

	for (int turn = 0; turn < TURNS; turn++)
	{
		double start = seconds();
		double spent;
		int64_t calls = 0;

		do
		{
			if (encoding)
				encode(file, n, DBP_EFFORT_DEFAULT, chunk);
			else
				decode(file, n, chunk);
			calls++;
			spent = seconds() - start;
		} while (spent < TURN_SECONDS);
		rates[turn] = (double) calls * n / spent / 1e6;
	}
	qsort(rates, TURNS, sizeof(double), compare_doubles);
	return rates[TURNS / 2];
}

int
main(int argc, char **argv)
{
	DbpBuffer chunk = {NULL, 0, 0};

	if (argc < 2)
	{
		fprintf(stderr, "usage: doubles FILE.csv…\n");
		return 2;
	}
	for (int i = 1; i < argc; i++)
	{
		const char *file = argv[i];
		const char *slash = strrchr(file, '/');
		const char *name = slash != NULL ? slash + 1 : file;
		int n = read_values(file);
		double best = encoded_bits(file, n, DBP_EFFORT_BEST, &chunk);
		double bits = encoded_bits(file, n, DBP_EFFORT_DEFAULT, &chunk);
		char how[256];

		dbp_chunk_describe(DBP_FAMILY_DOUBLE, chunk.data, chunk.len, n, how, sizeof(how));
		printf("%.*s\t%d\t%.4f\t%.4f\t%.4f\t%.2f\t%.2f\t%s\n", (int) strcspn(name, "."), name, n,
			   bits, best, zstd_bits(file, n), measure(file, n, &chunk, 1),
			   measure(file, n, &chunk, 0), how);
	}
	dbp_buffer_free(&chunk);
	return 0;
}
