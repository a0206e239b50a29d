/*-------------------------------------------------------------------------
 *
 * ints_nested.c
 *		Encodings of integers that are made of other chunks of integers.
 *
 *-------------------------------------------------------------------------
 */
#include "codec/general.h"
#include "codec/ints_nested.h"
#include "codec/scratch.h"

static uint64_t
greatest_common_divisor(uint64_t a, uint64_t b)
{
	while (b != 0)
	{
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/*
 * To divide by multiplying: the odd part of the divisor has an inverse modulo
 * 2^64, and a number that it divides times that is the quotient; another number
 * becomes one that is larger than any quotient.
 */
typedef struct Division
{
	uint64_t inverse;
	uint64_t largest;
	int twos;
} Division;

static Division
prepare_division(uint64_t divisor)
{
	Division division;
	uint64_t odd;

	division.twos = __builtin_ctzll(divisor);
	division.largest = UINT64_MAX / divisor;
	odd = divisor >> division.twos;
	/* right in three bits; each step of Newton's doubles them */
	division.inverse = odd;
	for (int bits = 3; bits < 64; bits *= 2)
		division.inverse *= 2 - odd * division.inverse;
	return division;
}

static inline uint64_t
divide(uint64_t value, const Division *division)
{
	uint64_t quotient = value * division->inverse;

	return division->twos == 0 ? quotient
							   : quotient >> division->twos | quotient << (64 - division->twos);
}

uint64_t
dbp_ints_scaled_divisor(const uint64_t *values, int n, uint64_t min)
{
	uint64_t divisor = 0;
	int i = 0;

	while (i < n && divisor != 1)
	{
		Division division;

		divisor = greatest_common_divisor(values[i] - min, divisor);
		i++;
		if (divisor < 2)
			continue;
		division = prepare_division(divisor);
		while (i < n && divide(values[i] - min, &division) <= division.largest)
			i++;
	}
	return divisor;
}

/* value = base + divisor * quotient; the base is the smallest value's remainder */
bool
dbp_ints_scaled_write(const uint64_t *values, int n, uint64_t min, uint64_t divisor, DbpIntsHow how,
					  DbpBuffer *out)
{
	DbpScratch scratch = dbp_scratch_begin();
	uint64_t *quotients = dbp_scratch_take((size_t) n, sizeof(*quotients));
	Division division = prepare_division(divisor);
	bool small = divisor <= INT64_MAX;
	uint64_t base = small ? (uint64_t) ((int64_t) min % (int64_t) divisor) : min;
	uint64_t first = small ? (uint64_t) ((int64_t) min / (int64_t) divisor) : 0;
	bool done = false;

	if (quotients != NULL)
	{
		for (int i = 0; i < n; i++)
			quotients[i] = first + divide(values[i] - min, &division);
		done = dbp_append_varint(out, dbp_zigzag(base)) && dbp_append_varint(out, divisor) &&
			dbp_ints_write(quotients, n, dbp_ints_within(how, DBP_INTS_SCALED, DBP_INTS_ALL), out);
	}
	dbp_scratch_end(scratch);
	return done;
}

bool
dbp_ints_scaled_read(DbpReader in, int n, DbpIntsKinds kinds, uint64_t *values)
{
	uint64_t base;
	uint64_t divisor;

	if (!dbp_read_varint(&in, &base) || !dbp_read_varint(&in, &divisor) ||
		!dbp_ints_read(in.at, in.left, n, kinds, values))
		return false;
	base = dbp_unzigzag(base);
	for (int i = 0; i < n; i++)
		values[i] = base + divisor * values[i];
	return true;
}

/* The value of each run, and how much longer than 1 it is */
bool
dbp_ints_runs_write(const uint64_t *values, int n, int nruns, DbpIntsHow how, DbpBuffer *out)
{
	DbpScratch scratch = dbp_scratch_begin();
	uint64_t *run_values = dbp_scratch_take((size_t) nruns, sizeof(*run_values));
	uint64_t *lengths = dbp_scratch_take((size_t) nruns, sizeof(*lengths));
	int run = -1;
	bool done = false;

	if (run_values != NULL && lengths != NULL)
	{
		for (int i = 0; i < n; i++)
		{
			if (i == 0 || values[i] != values[i - 1])
			{
				run_values[++run] = values[i];
				lengths[run] = 0;
			}
			else
				lengths[run]++;
		}
		done = dbp_append_varint(out, (uint64_t) nruns) &&
			dbp_ints_write_part(lengths, nruns, dbp_ints_within(how, DBP_INTS_RUNS, DBP_INTS_PLAIN),
								out) &&
			dbp_ints_write(run_values, nruns, dbp_ints_within(how, DBP_INTS_RUNS, DBP_INTS_ALL),
						   out);
	}
	dbp_scratch_end(scratch);
	return done;
}

static bool
fill_runs(const uint64_t *run_values, const uint64_t *lengths, size_t nruns, int n,
		  uint64_t *values)
{
	int at = 0;

	for (size_t run = 0; run < nruns; run++)
	{
		int end;

		if (lengths[run] >= (uint64_t) (n - at))
			return false;
		end = at + (int) lengths[run] + 1;
		while (at < end)
			values[at++] = run_values[run];
	}
	return at == n;
}

bool
dbp_ints_runs_read(DbpReader in, int n, DbpIntsKinds kinds, uint64_t *values)
{
	DbpScratch scratch = dbp_scratch_begin();
	size_t nruns;
	bool good = false;

	if (dbp_read_count(&in, (uint64_t) n, &nruns) && nruns > 0)
	{
		uint64_t *run_values = dbp_scratch_take(nruns, sizeof(*run_values));
		uint64_t *lengths = dbp_scratch_take(nruns, sizeof(*lengths));

		good = run_values != NULL && lengths != NULL &&
			dbp_ints_read_part(&in, (int) nruns, kinds, lengths) &&
			dbp_ints_read(in.at, in.left, (int) nruns, kinds, run_values) &&
			fill_runs(run_values, lengths, nruns, n, values);
	}
	dbp_scratch_end(scratch);
	return good;
}

/*
 * Each value's lowest bytes one after the other, or the lowest bytes of all
 * values, then the second lowest of all, and so on: planes.
 */
#define PLANES 0x10
#define BYTES_MASK 0x0f

bool
dbp_ints_general_write(const uint64_t *values, int n, uint64_t min, uint64_t max, bool planes,
					   int effort, size_t goal, DbpBuffer *out)
{
	int width = (dbp_bit_width(max - min) + 7) / 8;
	size_t size = (size_t) width * (size_t) n;
	DbpScratch scratch = dbp_scratch_begin();
	uint8_t *bytes = dbp_scratch_take(size + 8, 1);
	bool done;

	if (bytes == NULL)
		return false;
	for (int i = 0; i < n; i++)
	{
		uint64_t value = values[i] - min;

		if (!planes)
			dbp_store64(bytes + (size_t) width * (size_t) i, value);
		else
		{
			for (int byte = 0; byte < width; byte++)
				bytes[(size_t) byte * (size_t) n + (size_t) i] = (uint8_t) (value >> byte * 8);
		}
	}
	done = dbp_append_byte(out, width | (planes ? PLANES : 0)) &&
		dbp_append_varint(out, dbp_zigzag(min)) &&
		dbp_general_compress_towards(bytes, size, effort, goal, out);
	dbp_scratch_end(scratch);
	return done;
}

static void
join_bytes(const uint8_t *bytes, size_t n, size_t width, uint64_t min, uint64_t *values)
{
	uint64_t mask = dbp_low_bits((int) width * 8);

	for (size_t i = 0; i < n; i++)
		values[i] = min + (dbp_load64(bytes + width * i) & mask);
}

static void
join_planes(const uint8_t *bytes, size_t n, size_t width, uint64_t min, uint64_t *values)
{
	for (size_t i = 0; i < n; i++)
		values[i] = min + bytes[i];
	for (size_t byte = 1; byte < width; byte++)
	{
		for (size_t i = 0; i < n; i++)
			values[i] += (uint64_t) bytes[byte * n + i] << byte * 8;
	}
}

bool
dbp_ints_general_read(DbpReader in, int n, uint64_t *values)
{
	DbpScratch scratch = dbp_scratch_begin();
	int flags;
	uint64_t min;
	size_t width;
	size_t size;
	uint8_t *bytes;
	bool good;

	if (!dbp_read_byte(&in, &flags) || !dbp_read_varint(&in, &min) ||
		(flags & ~(PLANES | BYTES_MASK)) != 0 || (flags & BYTES_MASK) < 1 ||
		(flags & BYTES_MASK) > 8)
		return false;
	width = (size_t) (flags & BYTES_MASK);
	size = width * (size_t) n;
	/* the last value is loaded with bytes that are not its own */
	bytes = dbp_scratch_take(size + 8, 1);
	if (bytes == NULL)
		return false;
	memset(bytes + size, 0, 8);
	good = dbp_general_decompress(in.at, in.left, bytes, size);
	if (good && (flags & PLANES) == 0)
		join_bytes(bytes, (size_t) n, width, dbp_unzigzag(min), values);
	else if (good)
		join_planes(bytes, (size_t) n, width, dbp_unzigzag(min), values);
	dbp_scratch_end(scratch);
	return good;
}
