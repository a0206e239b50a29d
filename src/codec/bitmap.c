/*-------------------------------------------------------------------------
 *
 * bitmap.c
 *		Sets of positions: which values of a column are null.
 *
 * The bits as they are, or the lengths of the runs of equal bits as integers,
 * whichever is smaller.  The first run is one of zeros and may be empty.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "codec/bytes.h"

#define PLAIN 0
#define RUNS 1

static bool
bit_at(const uint8_t *bitmap, int i)
{
	return (bitmap[i / 8] >> i % 8 & 1) != 0;
}

/* runs: room for n + 1; returns how many there are, the last up to the end left out */
static int
find_runs(const uint8_t *bitmap, int n, int64_t *runs)
{
	bool current = false;
	int begin = 0;
	int nruns = 0;

	for (int i = 0; i < n; i++)
	{
		if (bit_at(bitmap, i) != current)
		{
			runs[nruns++] = i - begin;
			begin = i;
			current = !current;
		}
	}
	return nruns;
}

static bool
encode_runs(const int64_t *runs, int nruns, DbpBuffer *out)
{
	return dbp_append_byte(out, RUNS) && dbp_append_varint(out, (uint64_t) nruns) &&
		(nruns == 0 || dbp_ints_encode(runs, nruns, DBP_EFFORT_FAST, out));
}

bool
dbp_bitmap_encode(const uint8_t *bitmap, int n, DbpBuffer *out)
{
	size_t before = out->len;
	size_t plain = ((size_t) n + 7) / 8;
	int64_t *runs = malloc(((size_t) n + 1) * sizeof(*runs));
	bool done;

	if (runs == NULL)
		return false;
	done = encode_runs(runs, find_runs(bitmap, n, runs), out);
	free(runs);
	if (done && out->len - before > plain + 1)
	{
		out->len = before;
		done = dbp_append_byte(out, PLAIN) && dbp_buffer_append(out, bitmap, plain);
	}
	if (!done)
		out->len = before;
	return done;
}

static bool
decode_runs(DbpReader *in, int n, uint8_t *bitmap)
{
	size_t nruns;
	int64_t *runs;
	bool good;
	int at = 0;

	if (!dbp_read_count(in, (uint64_t) n, &nruns))
		return false;
	memset(bitmap, 0, ((size_t) n + 7) / 8);
	if (nruns == 0)
		return in->left == 0;
	runs = malloc(nruns * sizeof(*runs));
	if (runs == NULL)
		return false;
	good = dbp_ints_decode(in->at, in->left, (int) nruns, runs);
	for (size_t run = 0; good && run < nruns; run++)
	{
		int end;

		/* only the first may be empty, and something must be left after the last */
		good = runs[run] >= (run > 0) && runs[run] < n - at;
		if (!good)
			break;
		at += (int) runs[run];
		if (run % 2 != 0)
			continue;
		end = run + 1 < nruns && runs[run + 1] < n - at ? at + (int) runs[run + 1] : n;
		for (int i = at; i < end; i++)
			bitmap[i / 8] |= (uint8_t) (1 << i % 8);
	}
	free(runs);
	return good;
}

bool
dbp_bitmap_decode(const uint8_t *chunk, size_t len, int n, uint8_t *bitmap)
{
	DbpReader in = {chunk, len};
	int kind;
	size_t plain = ((size_t) n + 7) / 8;

	if (!dbp_read_byte(&in, &kind))
		return false;
	switch (kind)
	{
		case PLAIN:
			if (in.left != plain)
				return false;
			memcpy(bitmap, in.at, plain);
			return n % 8 == 0 || bitmap[plain - 1] >> n % 8 == 0;
		case RUNS:
			return decode_runs(&in, n, bitmap);
		default:
			return false;
	}
}
