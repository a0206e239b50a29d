/*-------------------------------------------------------------------------
 *
 * ints_choose.c
 *		Which encoding of integers is the smallest.
 *
 * Those that may be are written one after the other, and the smallest one
 * stays.  Most are out of the question for most data, which samples tell.
 *
 *-------------------------------------------------------------------------
 */
#include "codec/bins.h"
#include "codec/describe.h"
#include "codec/ints_nested.h"
#include "codec/scratch.h"
#include "codec/vectors.h"

/* With so few values everything simple is tried */
#define FEW 64

/* What is slower to decode has to save more than one byte in so many; zstd twice that */
#define WORTH 64

typedef enum Speed
{
	SAME = 0, /* as what has been tried before */
	SLOWER = 1,
	SLOWEST = 2
} Speed;

/* The smallest chunk so far lies at the end of the buffer */
typedef struct Trial
{
	const uint64_t *values;
	int n;
	DbpIntsHow how;
	bool all; /* leave nothing out that may be of interest */
	uint64_t min;
	uint64_t max;
	int nruns;
	DbpBuffer *out;
	size_t begin;
	size_t best; /* its size, 0 for none */
	bool bins;	 /* is it one of bins? */
	bool runs;	 /* or of runs? */
	DbpCandidates *report;
} Trial;

static bool
may(const Trial *trial, DbpIntsKind kind)
{
	return (trial->how.kinds & DBP_INTS_BIT(kind)) != 0;
}

static bool
begin(Trial *trial, DbpIntsKind kind)
{
	return dbp_append_byte(trial->out, kind);
}

static void
forget(Trial *trial)
{
	trial->out->len = trial->begin + trial->best;
}

/* A candidate has been written after the best one: one of them stays */
static bool
consider(Trial *trial, Speed speed)
{
	uint8_t *best = trial->out->data + trial->begin;
	const uint8_t *candidate = best + trial->best;
	size_t size = trial->out->len - trial->begin - trial->best;
	size_t limit = trial->best - trial->best / WORTH * (size_t) speed;
	bool better;

	if (trial->report != NULL)
		dbp_candidates_add(trial->report, DBP_FAMILY_INT, candidate, size, trial->n);
	better = trial->best == 0 || size < limit;
	if (better)
	{
		memmove(best, candidate, size);
		trial->best = size;
	}
	forget(trial);
	return better;
}

/* What a value takes so far, in bits */
static float
bits_so_far(const Trial *trial)
{
	return (float) trial->best * 8 / (float) trial->n;
}

static void
look_at_values(Trial *trial)
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
	trial->min = (uint64_t) min;
	trial->max = (uint64_t) max;
	trial->nruns = nruns;
}

static bool
try_constant(Trial *trial)
{
	if (!begin(trial, DBP_INTS_CONSTANT) ||
		(trial->n > 0 && !dbp_append_varint(trial->out, dbp_zigzag(trial->min))))
		return false;
	consider(trial, SAME);
	return true;
}

static bool
try_vectors(Trial *trial)
{
	if (!begin(trial, DBP_INTS_VECTORS) || !dbp_vectors_encode(trial->values, trial->n, trial->out))
		return false;
	consider(trial, SAME);
	return true;
}

static bool
try_bins(Trial *trial, int order)
{
	size_t limit = trial->best - trial->best / WORTH;
	bool done;

	if (trial->best == 0 || trial->report != NULL)
		limit = SIZE_MAX;
	if (trial->n <= order)
		return true;
	if (!begin(trial, DBP_INTS_BINS) ||
		!dbp_bins_encode(trial->values, trial->n, order, limit, trial->out, &done))
		return false;
	if (!done)
		forget(trial);
	else if (consider(trial, trial->bins ? SAME : SLOWER))
		trial->bins = true;
	return true;
}

/*
 * Bins of the order that seems best, and vectors where they seem hardly larger.
 * The second of both need not be written if it is foreseen to be larger.
 */
static bool
try_numbers(Trial *trial)
{
	DbpBinsEstimate estimates[DBP_BINS_MAX_ORDER + 1];
	int order = 0;
	float packed;

	if (!may(trial, DBP_INTS_BINS))
		return try_vectors(trial);
	dbp_bins_estimate(trial->values, trial->n, estimates);
	packed = estimates[0].packed;
	for (int i = 1; i <= DBP_BINS_MAX_ORDER; i++)
	{
		if (estimates[i].bins < estimates[order].bins)
			order = i;
		if (estimates[i].packed < packed)
			packed = estimates[i].packed;
	}
	if ((trial->n <= FEW || trial->all || packed < estimates[order].bins * (1 + 2.0f / WORTH)) &&
		!try_vectors(trial))
		return false;
	for (int i = 0; i <= DBP_BINS_MAX_ORDER; i++)
	{
		if ((i == order || trial->all) && !try_bins(trial, i))
			return false;
	}
	return true;
}

static bool
try_runs(Trial *trial)
{
	if (!begin(trial, DBP_INTS_RUNS) ||
		!dbp_ints_runs_write(trial->values, trial->n, trial->nruns, trial->how, trial->out))
		return false;
	trial->runs = consider(trial, SLOWER);
	return true;
}

/* The multiples are reported, if anything, not what is made of them */
static bool
try_scaled(Trial *trial, uint64_t divisor)
{
	if (!begin(trial, DBP_INTS_SCALED) ||
		!dbp_ints_scaled_write(trial->values, trial->n, trial->min, divisor, trial->how,
							   trial->out))
		return false;
	consider(trial, SAME);
	return true;
}

static bool
try_general(Trial *trial, bool planes)
{
	if (!begin(trial, DBP_INTS_GENERAL) ||
		!dbp_ints_general_write(trial->values, trial->n, trial->min, trial->max, planes,
								trial->how.effort, trial->best, trial->out))
		return false;
	consider(trial, SLOWEST);
	return true;
}

static bool
try_tens(Trial *trial)
{
	if (!begin(trial, DBP_INTS_TENS) ||
		!dbp_ints_tens_write(trial->values, trial->n, trial->how, trial->out))
		return false;
	consider(trial, SLOWER);
	return true;
}

static bool
try_split(Trial *trial)
{
	uint64_t divisor = dbp_ints_split_divisor(trial->values, trial->n);

	if (divisor == 0)
		return true;
	if (!begin(trial, DBP_INTS_SPLIT) ||
		!dbp_ints_split_write(trial->values, trial->n, divisor, trial->how, trial->out))
		return false;
	consider(trial, SLOWER);
	return true;
}

/* Codes, if it seems so that they take less than what there is so far, or anyway */
static bool
try_dictionary(Trial *trial, bool anyway, bool *tried)
{
	DbpIntsDictionary dictionary;
	bool found;
	float bytes;

	*tried = false;
	if (!dbp_ints_dictionary_make(trial->values, trial->n, trial->n / 2, &dictionary, &found))
		return false;
	if (!found)
		return true;
	/* two bytes are little for one of the different values and its frequency */
	bytes = dictionary.bits / 8 + (float) dictionary.nvalues * 2;
	if (!anyway && bytes > (float) (trial->best - trial->best / WORTH))
		return true;
	*tried = true;
	if (!begin(trial, DBP_INTS_DICTIONARY) ||
		!dbp_ints_dictionary_write(&dictionary, trial->n, trial->how, trial->out))
		return false;
	consider(trial, SLOWER);
	return true;
}

/*
 * What it would take, in bits a value, if sequences that come again were
 * replaced by references, nearly: any other value takes what it takes so far.
 */
#define REPEAT_BITS 12
#define REPEAT_SAMPLE 3072
#define REFERENCE_BITS 20

static float
repeats_cost(const Trial *trial)
{
	uint16_t last[1 << REPEAT_BITS] = {0};
	const uint64_t *values = trial->values;
	float literal = bits_so_far(trial);
	/* shorter ones are not worth it */
	int shortest = literal > REFERENCE_BITS ? 1 : literal > REFERENCE_BITS / 2 ? 2 : 4;
	int n = (trial->n < REPEAT_SAMPLE ? trial->n : REPEAT_SAMPLE) - shortest + 1;
	float cost = 0;
	int i = 0;

	while (i < n)
	{
		uint64_t mixed = values[i];
		int length = 0;
		int at;

		for (int j = 1; j < shortest; j++)
			mixed = mixed * 5 + values[i + j];
		mixed = (mixed ^ mixed >> 32) * UINT64_C(0x9E3779B97F4A7C15) >> (64 - REPEAT_BITS);
		/* positions are one too high in the table */
		at = last[mixed] - 1;
		last[mixed] = (uint16_t) (i + 1);
		while (at >= 0 && i + length < n && values[at + length] == values[i + length])
			length++;
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

/* Are there sequences that come again? Then they can be compressed, or codes of their values. */
static bool
try_repeats(Trial *trial, bool codes)
{
	bool tried;

	if (trial->how.effort <= DBP_EFFORT_FAST || !may(trial, DBP_INTS_GENERAL) ||
		(!trial->all && repeats_cost(trial) > bits_so_far(trial) * 0.9f))
		return true;
	if (codes && !try_dictionary(trial, true, &tried))
		return false;
	return try_general(trial, false) && (!trial->all || try_general(trial, true));
}

/* The ones that need more than a pass over the values, so only where it looks well */
static bool
try_others(Trial *trial)
{
	bool fast = trial->how.effort <= DBP_EFFORT_FAST;
	/* bins can be as good as anything else where the order of the values does not matter */
	bool exact = trial->max - trial->min < DBP_BINS_EXACT && !trial->all;
	bool codes = false;
	bool duplicates;

	if (may(trial, DBP_INTS_TENS) && !exact && !fast &&
		dbp_ints_tens_worth(trial->values, trial->n, bits_so_far(trial)) && !try_tens(trial))
		return false;
	if (may(trial, DBP_INTS_SPLIT) && !exact && !fast && !try_split(trial))
		return false;
	/* a range that small is sure to have some */
	duplicates = exact || dbp_ints_has_duplicates(trial->values, trial->n);
	if (!duplicates)
		return true;
	if (may(trial, DBP_INTS_DICTIONARY) && !exact && !try_dictionary(trial, trial->all, &codes))
		return false;
	return try_repeats(trial, may(trial, DBP_INTS_DICTIONARY) && !codes);
}

static bool
try_all(Trial *trial)
{
	if (trial->n == 0 || trial->min == trial->max)
		return try_constant(trial);
	if (may(trial, DBP_INTS_SCALED))
	{
		uint64_t divisor = dbp_ints_scaled_divisor(trial->values, trial->n, trial->min);

		if (divisor > 1 && !try_scaled(trial, divisor))
			return false;
		if (divisor > 1 && trial->n > FEW && trial->report == NULL)
			return true;
	}
	/* so few of them that there is no question */
	if (may(trial, DBP_INTS_RUNS) && trial->nruns <= trial->n / 64 && trial->report == NULL)
		return try_runs(trial);
	if (!try_numbers(trial))
		return false;
	if (may(trial, DBP_INTS_RUNS) && trial->nruns <= trial->n / 3 && !try_runs(trial))
		return false;
	/* whatever may be gained from the values of runs is gained within */
	return (trial->n <= FEW && !trial->all) || trial->runs || try_others(trial);
}

/* report: where to put the candidates, or NULL */
static bool
choose(const uint64_t *values, int n, DbpIntsHow how, DbpCandidates *report, DbpBuffer *out)
{
	Trial trial = {.values = values,
				   .n = n,
				   .how = how,
				   .all = how.all || report != NULL,
				   .out = out,
				   .begin = out->len,
				   .report = report};
	DbpScratch scratch = dbp_scratch_begin();
	bool done;

	if (n > 0)
		look_at_values(&trial);
	done = try_all(&trial);
	dbp_scratch_end(scratch);
	if (!done)
		out->len = trial.begin;
	return done;
}

bool
dbp_ints_write(const uint64_t *values, int n, DbpIntsHow how, DbpBuffer *out)
{
	return choose(values, n, how, NULL, out);
}

bool
dbp_ints_report(const uint64_t *values, int n, int effort, DbpCandidates *candidates)
{
	DbpBuffer out = {0};
	bool done = choose(values, n, dbp_ints_how(effort, DBP_INTS_ALL), candidates, &out);

	dbp_buffer_free(&out);
	return done;
}
