/*-------------------------------------------------------------------------
 *
 * describe.c
 *		Chunks told to people, and what else they could have been.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>

#include "codec/bins.h"
#include "codec/describe.h"
#include "codec/ints.h"
#include "codec/reals.h"
#include "codec/vectors.h"

#define PLAIN_TEXT 64

static bool describe_ints(DbpText *text, DbpReader in, int n, DbpIntsKinds kinds);

/* A nested chunk with its length before it */
static bool
describe_part(DbpText *text, DbpReader *in, int n, DbpIntsKinds kinds)
{
	DbpReader part;
	size_t size;

	if (!dbp_read_count(in, in->left, &size))
		return false;
	part.left = size;
	part.at = dbp_read_bytes(in, size);
	return part.at != NULL && describe_ints(text, part, n, kinds);
}

static bool
describe_two(DbpText *text, DbpReader in, int n, DbpIntsKinds kinds, const char *second)
{
	if (!describe_part(text, &in, n, kinds))
		return false;
	dbp_text_append(text, "; %s", second);
	return describe_ints(text, in, n, kinds);
}

static bool
describe_scaled(DbpText *text, DbpReader in, int n, DbpIntsKinds kinds)
{
	uint64_t base;
	uint64_t divisor;

	if (!dbp_read_varint(&in, &base) || !dbp_read_varint(&in, &divisor))
		return false;
	dbp_text_append(text, "multiples of %llu: ", (unsigned long long) divisor);
	return describe_ints(text, in, n, kinds);
}

static bool
describe_runs(DbpText *text, DbpReader in, int n, DbpIntsKinds kinds)
{
	size_t nruns;

	if (!dbp_read_count(&in, (uint64_t) n, &nruns))
		return false;
	dbp_text_append(text, "%zu runs, lengths: ", nruns);
	return describe_two(text, in, (int) nruns, kinds, "values: ");
}

static bool
describe_dictionary(DbpText *text, DbpReader in, int n, DbpIntsKinds kinds)
{
	size_t nvalues;

	if (!dbp_read_count(&in, (uint64_t) n, &nvalues))
		return false;
	dbp_text_append(text, "dictionary of %zu, values: ", nvalues);
	if (!describe_part(text, &in, (int) nvalues, kinds))
		return false;
	dbp_text_append(text, "; codes: ");
	return describe_ints(text, in, n, kinds);
}

static bool
describe_split(DbpText *text, DbpReader in, int n, DbpIntsKinds kinds)
{
	uint64_t divisor;

	if (!dbp_read_varint(&in, &divisor))
		return false;
	dbp_text_append(text, "divided by %llu, remainders: ", (unsigned long long) divisor);
	return describe_two(text, in, n, kinds, "quotients: ");
}

/* false: damaged, as far as one can tell without decoding it */
static bool
describe_ints(DbpText *text, DbpReader in, int n, DbpIntsKinds kinds)
{
	char plain[PLAIN_TEXT];
	int kind;

	if (!dbp_read_byte(&in, &kind) || kind >= DBP_INTS_NKINDS || (kinds & DBP_INTS_BIT(kind)) == 0)
		return false;
	kinds &= ~DBP_INTS_BIT(kind);
	switch ((DbpIntsKind) kind)
	{
		case DBP_INTS_CONSTANT:
			dbp_text_append(text, "constant");
			return true;
		case DBP_INTS_VECTORS:
			dbp_vectors_describe(in.at, in.left, n, plain, sizeof(plain));
			dbp_text_append(text, "%s", plain);
			return true;
		case DBP_INTS_BINS:
			dbp_bins_describe(in.at, in.left, n, plain, sizeof(plain));
			dbp_text_append(text, "%s", plain);
			return true;
		case DBP_INTS_GENERAL:
			dbp_text_append(text, "zstd");
			return true;
		case DBP_INTS_SCALED:
			return describe_scaled(text, in, n, kinds);
		case DBP_INTS_RUNS:
			return describe_runs(text, in, n, kinds);
		case DBP_INTS_DICTIONARY:
			return describe_dictionary(text, in, n, kinds);
		case DBP_INTS_TENS:
			dbp_text_append(text, "trailing zeros: ");
			return describe_two(text, in, n, kinds, "digits: ");
		case DBP_INTS_SPLIT:
			return describe_split(text, in, n, kinds);
		default:
			return false;
	}
}

static bool
describe_decimal(DbpText *text, DbpReader in, int n)
{
	int flags;
	size_t count;
	size_t size;

	if (!dbp_read_byte(&in, &flags))
		return false;
	dbp_text_append(text, "%d decimals", flags & ~DBP_REALS_EXCEPTIONS);
	if ((flags & DBP_REALS_EXCEPTIONS) != 0)
	{
		if (!dbp_read_count(&in, (uint64_t) n, &count))
			return false;
		dbp_text_append(text, ", %zu exceptions", count);
		for (int i = 0; i < 2; i++)
		{
			if (!dbp_read_count(&in, in.left, &size) || dbp_read_bytes(&in, size) == NULL)
				return false;
		}
	}
	dbp_text_append(text, ": ");
	return describe_ints(text, in, n, DBP_INTS_ALL);
}

static bool
describe_reals(DbpText *text, DbpReader in, int n)
{
	int kind;
	int low;
	int digits;

	if (!dbp_read_byte(&in, &kind))
		return false;
	switch ((DbpRealsKind) kind)
	{
		case DBP_REALS_BITS:
			dbp_text_append(text, "bits: ");
			return describe_ints(text, in, n, DBP_INTS_ALL);
		case DBP_REALS_DECIMAL:
			return describe_decimal(text, in, n);
		case DBP_REALS_SPLIT:
			if (!dbp_read_byte(&in, &low))
				return false;
			dbp_text_append(text, "%d random bits; others: ", low);
			return describe_part(text, &in, n, DBP_INTS_ALL);
		case DBP_REALS_NEAR:
			if (!dbp_read_byte(&in, &digits))
				return false;
			dbp_text_append(text, "near %d decimals, off by: ", digits);
			return describe_two(text, in, n, DBP_INTS_ALL, "fractions: ");
		default:
			return false;
	}
}

void
dbp_chunk_describe(DbpFamily family, const uint8_t *chunk, size_t len, int n, char *out,
				   size_t size)
{
	DbpText text = {out, size};
	DbpReader in = {chunk, len};
	bool good;

	if (family == DBP_FAMILY_SLICE || family == DBP_FAMILY_NUMERIC)
	{
		dbp_slices_describe(chunk, len, n, out, size);
		return;
	}
	if (size > 0)
		out[0] = '\0';
	good = family == DBP_FAMILY_INT ? describe_ints(&text, in, n, DBP_INTS_ALL)
									: describe_reals(&text, in, n);
	if (!good)
		snprintf(out, size, "damaged");
}

void
dbp_candidates_add(DbpCandidates *candidates, DbpFamily family, const uint8_t *chunk, size_t len,
				   int n)
{
	DbpCandidate *candidate = &candidates->list[candidates->n];
	DbpText text = {candidate->name, sizeof(candidate->name)};
	char name[sizeof(candidate->name)];

	if (candidates->n == candidates->max)
		return;
	dbp_chunk_describe(family, chunk, len, n, name, sizeof(name));
	dbp_text_append(&text, "%s%s", candidates->prefix, name);
	candidate->bytes = len + candidates->extra;
	candidates->n++;
}

static int
compare_candidates(const void *a, const void *b)
{
	const DbpCandidate *left = a;
	const DbpCandidate *right = b;

	return (left->bytes > right->bytes) - (left->bytes < right->bytes);
}

int
dbp_chunk_candidates(DbpFamily family, const void *values, int n, int effort,
					 DbpCandidate *candidates, int max)
{
	DbpCandidates found = {.list = candidates, .max = max, .prefix = ""};

	switch (family)
	{
		case DBP_FAMILY_INT:
			dbp_ints_report(values, n, effort, &found);
			break;
		case DBP_FAMILY_DOUBLE:
			dbp_doubles_report(values, n, effort, &found);
			break;
		case DBP_FAMILY_FLOAT:
			dbp_floats_report(values, n, effort, &found);
			break;
		case DBP_FAMILY_SLICE:
			return dbp_slices_candidates(values, n, effort, candidates, max);
		case DBP_FAMILY_NUMERIC:
			return dbp_numerics_candidates(values, n, effort, candidates, max);
	}
	qsort(candidates, (size_t) found.n, sizeof(*candidates), compare_candidates);
	return found.n;
}
