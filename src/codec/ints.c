/*-------------------------------------------------------------------------
 *
 * ints.c
 *		Integers of every width: which encoding, and the simple ones.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "codec/bins.h"
#include "codec/ints_nested.h"
#include "codec/vectors.h"

/* A slower kind has to save more than one in so many bytes */
#define WORTH 32

/* With so few values everything is tried */
#define FEW 64

/* What is known of the values before anything is tried */
typedef struct Profile
{
	uint64_t min;
	uint64_t max;
	int nruns;
} Profile;

/* The smallest chunk so far, at the end of the buffer */
typedef struct Trial
{
	const uint64_t *values;
	int n;
	int effort;
	DbpIntsKinds kinds;
	Profile profile;
	DbpBuffer *out;
	size_t begin;
	size_t best; /* its size, 0 for none */
} Trial;

static bool
may(const Trial *trial, DbpIntsKind kind)
{
	return (trial->kinds & DBP_INTS_BIT(kind)) != 0;
}

/* A candidate has been written after the best one: one of them stays */
static void
consider(Trial *trial, bool slower)
{
	size_t at = trial->begin + trial->best;
	size_t size = trial->out->len - at;

	if (trial->best == 0 || size + (slower ? trial->best / WORTH : 0) < trial->best)
	{
		memmove(trial->out->data + trial->begin, trial->out->data + at, size);
		trial->best = size;
	}
	trial->out->len = trial->begin + trial->best;
}

static void
make_profile(Trial *trial)
{
	const uint64_t *values = trial->values;
	int64_t min = (int64_t) values[0];
	int64_t max = (int64_t) values[0];
	int nruns = 1;

	for (int i = 1; i < trial->n; i++)
	{
		int64_t value = (int64_t) values[i];

		min = value < min ? value : min;
		max = value > max ? value : max;
		nruns += values[i] != values[i - 1];
	}
	trial->profile.min = (uint64_t) min;
	trial->profile.max = (uint64_t) max;
	trial->profile.nruns = nruns;
}

static bool
write_constant(uint64_t value, int n, DbpBuffer *out)
{
	return dbp_append_byte(out, DBP_INTS_CONSTANT) &&
		(n == 0 || dbp_append_varint(out, dbp_zigzag(value)));
}

static bool
begin(Trial *trial, DbpIntsKind kind)
{
	return dbp_append_byte(trial->out, kind);
}

/* What may lie within a chunk of this kind */
static DbpIntsKinds
within(DbpIntsKinds kinds, DbpIntsKind kind)
{
	return kinds & ~DBP_INTS_BIT(kind);
}

static bool
try_vectors(Trial *trial, bool slower)
{
	if (!begin(trial, DBP_INTS_VECTORS) || !dbp_vectors_encode(trial->values, trial->n, trial->out))
		return false;
	consider(trial, slower);
	return true;
}

static bool
try_bins(Trial *trial, int order)
{
	bool done;

	if (trial->n <= order)
		return true;
	if (!begin(trial, DBP_INTS_BINS) ||
		!dbp_bins_encode(trial->values, trial->n, order, trial->best == 0 ? SIZE_MAX : trial->best,
						 trial->out, &done))
		return false;
	if (done)
		consider(trial, true);
	else
		trial->out->len = trial->begin + trial->best;
	return true;
}

/* Bins of the order that seems best, and vectors where they seem no larger */
static bool
try_numbers(Trial *trial)
{
	DbpBinsEstimate estimates[DBP_BINS_MAX_ORDER + 1];
	int order = 0;
	float packed;

	dbp_bins_estimate(trial->values, trial->n, estimates);
	packed = estimates[0].packed;
	for (int i = 1; i <= DBP_BINS_MAX_ORDER; i++)
	{
		if (estimates[i].bins < estimates[order].bins)
			order = i;
		if (estimates[i].packed < packed)
			packed = estimates[i].packed;
	}
	for (int i = 0; i <= DBP_BINS_MAX_ORDER; i++)
	{
		if ((i == order || trial->effort >= DBP_EFFORT_BEST) && !try_bins(trial, i))
			return false;
	}
	/* Vectors restart every so often, so they can be better than all of the sample */
	if (trial->n <= FEW || trial->effort >= DBP_EFFORT_BEST ||
		packed * 0.95f * (float) trial->n < (float) trial->best * 8)
		return try_vectors(trial, false);
	return true;
}

static bool
try_scaled(Trial *trial, uint64_t divisor)
{
	if (!begin(trial, DBP_INTS_SCALED) ||
		!dbp_scaled_write(trial->values, trial->n, trial->profile.min, divisor, trial->effort,
						  within(trial->kinds, DBP_INTS_SCALED), trial->out))
		return false;
	consider(trial, false);
	return true;
}

static bool
try_runs(Trial *trial)
{
	if (!begin(trial, DBP_INTS_RUNS) ||
		!dbp_runs_write(trial->values, trial->n, trial->profile.nruns, trial->effort,
						within(trial->kinds, DBP_INTS_RUNS), trial->out))
		return false;
	consider(trial, true);
	return true;
}

static bool
try_general(Trial *trial, bool planes)
{
	if (!begin(trial, DBP_INTS_GENERAL) ||
		!dbp_ints_general_write(trial->values, trial->n, trial->profile.min, trial->profile.max,
								planes, trial->effort, trial->out))
		return false;
	consider(trial, true);
	return true;
}

static bool
try_tens(Trial *trial)
{
	if (!begin(trial, DBP_INTS_TENS) ||
		!dbp_tens_write(trial->values, trial->n, trial->effort, within(trial->kinds, DBP_INTS_TENS),
						trial->out))
		return false;
	consider(trial, true);
	return true;
}

static bool
try_split(Trial *trial, uint64_t divisor)
{
	if (!begin(trial, DBP_INTS_SPLIT) ||
		!dbp_split_write(trial->values, trial->n, divisor, trial->effort,
						 within(trial->kinds, DBP_INTS_SPLIT), trial->out))
		return false;
	consider(trial, true);
	return true;
}

/* What a value takes so far, in bits */
static float
bits_so_far(const Trial *trial)
{
	return (float) trial->best * 8 / (float) trial->n;
}

/* repeated: whole sequences come again, so that codes may be worth it anyway */
static bool
try_dictionary(Trial *trial, bool repeated)
{
	DbpDictionary dictionary;
	bool found;
	bool done = true;

	if (!dbp_dictionary_make(trial->values, trial->n, trial->n / 2, &dictionary, &found))
		return false;
	/* at least a byte for each of the different values */
	if (found &&
		(repeated || (dictionary.bits / 8 + (float) dictionary.nvalues) < (float) trial->best))
	{
		done = begin(trial, DBP_INTS_DICTIONARY) &&
			dbp_dictionary_write(&dictionary, trial->n, trial->effort,
								 within(trial->kinds, DBP_INTS_DICTIONARY), trial->out);
		if (done)
			consider(trial, true);
	}
	dbp_dictionary_free(&dictionary);
	return done;
}

/*
 * What it would take, in bits a value, if sequences that come again were
 * replaced by references, nearly: every value otherwise takes what it takes so
 * far.
 */
#define REPEAT_BITS 12
#define REPEAT_SAMPLE 4096
#define REFERENCE_BITS 20

static float
repeats_cost(const Trial *trial)
{
	uint16_t last[1 << REPEAT_BITS] = {0};
	const uint64_t *values = trial->values;
	int n = trial->n < REPEAT_SAMPLE ? trial->n : REPEAT_SAMPLE;
	float literal = bits_so_far(trial);
	float cost = 0;
	int i = 0;

	while (i < n)
	{
		uint64_t mixed = values[i] * 5 + (i + 1 < n ? values[i + 1] : 0);
		uint32_t hash =
			(uint32_t) ((mixed ^ mixed >> 32) * UINT64_C(0x9E3779B97F4A7C15) >> (64 - REPEAT_BITS));
		int at = last[hash];
		int length = 0;

		/* positions are one too high in the table */
		if (at > 0)
		{
			while (i + length < n && values[at - 1 + length] == values[i + length])
				length++;
		}
		last[hash] = (uint16_t) (i + 1);
		if ((float) length * literal > REFERENCE_BITS)
		{
			cost += REFERENCE_BITS;
			i += length;
		}
		else
		{
			cost += literal;
			i++;
		}
	}
	return cost / (float) n;
}

/* The ones that need more than one pass over the values, so only where it looks well */
static bool
try_others(Trial *trial)
{
	bool best = trial->effort >= DBP_EFFORT_BEST;
	bool general = trial->effort > DBP_EFFORT_FAST && may(trial, DBP_INTS_GENERAL);
	uint64_t divisor;
	bool repeated;

	if (may(trial, DBP_INTS_TENS) && dbp_tens_worth(trial->values, trial->n, bits_so_far(trial)) &&
		!try_tens(trial))
		return false;
	if (may(trial, DBP_INTS_SPLIT))
	{
		divisor = dbp_split_divisor(trial->values, trial->n);
		if (divisor > 0 && !try_split(trial, divisor))
			return false;
	}
	repeated = general && (best || repeats_cost(trial) < bits_so_far(trial) * 0.9f);
	if (may(trial, DBP_INTS_DICTIONARY) && !try_dictionary(trial, repeated))
		return false;
	if (general && repeated && !try_general(trial, false))
		return false;
	return !best || !general || try_general(trial, true);
}

static bool
try_all(Trial *trial)
{
	if (may(trial, DBP_INTS_SCALED))
	{
		uint64_t divisor = dbp_scaled_divisor(trial->values, trial->n, trial->profile.min);

		if (divisor > 1 && !try_scaled(trial, divisor))
			return false;
		if (divisor > 1 && trial->n > FEW)
			return true;
	}
	if (!try_numbers(trial))
		return false;
	if (may(trial, DBP_INTS_RUNS) && trial->profile.nruns <= trial->n / 3 && !try_runs(trial))
		return false;
	return trial->n <= FEW || try_others(trial);
}

bool
dbp_ints_write(const uint64_t *values, int n, int effort, DbpIntsKinds kinds, DbpBuffer *out)
{
	Trial trial = {
		.values = values, .n = n, .effort = effort, .kinds = kinds, .out = out, .begin = out->len};

	if (n > 0)
		make_profile(&trial);
	if (trial.profile.min == trial.profile.max)
		return write_constant(trial.profile.min, n, out);
	if (try_all(&trial))
		return true;
	out->len = trial.begin;
	return false;
}

bool
dbp_ints_write_part(const uint64_t *values, int n, int effort, DbpIntsKinds kinds, DbpBuffer *out)
{
	size_t begin = out->len;
	uint8_t length[DBP_VARINT_MAX];
	size_t size;
	size_t used;

	if (!dbp_ints_write(values, n, effort, kinds, out))
		return false;
	size = out->len - begin;
	used = (size_t) dbp_varint_put(length, size);
	if (!dbp_buffer_append(out, length, used))
		return false;
	memmove(out->data + begin + used, out->data + begin, size);
	memcpy(out->data + begin, length, used);
	return true;
}

bool
dbp_ints_read_part(DbpReader *in, int n, DbpIntsKinds kinds, uint64_t *values)
{
	size_t size;
	const uint8_t *chunk;

	if (!dbp_read_count(in, in->left, &size))
		return false;
	chunk = dbp_read_bytes(in, size);
	return chunk != NULL && dbp_ints_read(chunk, size, n, kinds, values);
}

static bool
read_constant(DbpReader *in, int n, uint64_t *values)
{
	uint64_t value = 0;

	if (n > 0 && !dbp_read_varint(in, &value))
		return false;
	value = dbp_unzigzag(value);
	for (int i = 0; i < n; i++)
		values[i] = value;
	return in->left == 0;
}

bool
dbp_ints_read(const uint8_t *chunk, size_t len, int n, DbpIntsKinds kinds, uint64_t *values)
{
	DbpReader in = {chunk, len};
	int kind;

	if (!dbp_read_byte(&in, &kind) || kind >= DBP_INTS_NKINDS || (kinds & DBP_INTS_BIT(kind)) == 0)
		return false;
	switch ((DbpIntsKind) kind)
	{
		case DBP_INTS_CONSTANT:
			return read_constant(&in, n, values);
		case DBP_INTS_VECTORS:
			return dbp_vectors_decode(in.at, in.left, n, values);
		case DBP_INTS_BINS:
			return dbp_bins_decode(in.at, in.left, n, values);
		case DBP_INTS_SCALED:
			return dbp_scaled_read(in, n, within(kinds, DBP_INTS_SCALED), values);
		case DBP_INTS_RUNS:
			return dbp_runs_read(in, n, within(kinds, DBP_INTS_RUNS), values);
		case DBP_INTS_DICTIONARY:
			return dbp_dictionary_read(in, n, within(kinds, DBP_INTS_DICTIONARY), values);
		case DBP_INTS_GENERAL:
			return dbp_ints_general_read(in, n, values);
		case DBP_INTS_TENS:
			return dbp_tens_read(in, n, within(kinds, DBP_INTS_TENS), values);
		case DBP_INTS_SPLIT:
			return dbp_split_read(in, n, within(kinds, DBP_INTS_SPLIT), values);
		default:
			return false;
	}
}

/* int64_t and uint64_t may alias each other */
bool
dbp_ints_encode(const int64_t *values, int n, int effort, DbpBuffer *out)
{
	return dbp_ints_write((const uint64_t *) values, n, effort, DBP_INTS_ALL, out);
}

bool
dbp_ints_decode(const uint8_t *chunk, size_t len, int n, int64_t *values)
{
	return dbp_ints_read(chunk, len, n, DBP_INTS_ALL, (uint64_t *) values);
}
