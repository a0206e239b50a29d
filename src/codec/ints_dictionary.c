/*-------------------------------------------------------------------------
 *
 * ints_dictionary.c
 *		Integers as codes of the different ones among them.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "codec/bits.h"
#include "codec/ints_nested.h"

/* A table of the values seen, by their hash; index is one more than that of the value */
typedef struct Table
{
	int bits;
	uint32_t *index;
} Table;

static inline uint32_t
hash_of(uint64_t value, int bits)
{
	return (uint32_t) ((value ^ value >> 32) * UINT64_C(0x9E3779B97F4A7C15) >> (64 - bits));
}

/* codes: of each value, in the order in which they come first; counts of each */
static bool
collect(const uint64_t *values, int n, int limit, DbpDictionary *dictionary, uint32_t *counts)
{
	Table table;

	table.bits = dbp_bit_width((uint64_t) limit) + 1;
	table.index = calloc((size_t) 1 << table.bits, sizeof(*table.index));
	dictionary->nvalues = 0;
	if (table.index == NULL)
		return false;
	for (int i = 0; i < n; i++)
	{
		uint32_t at = hash_of(values[i], table.bits);

		while (table.index[at] != 0 && dictionary->values[table.index[at] - 1] != values[i])
			at = (at + 1) & ((UINT32_C(1) << table.bits) - 1);
		if (table.index[at] == 0)
		{
			if (dictionary->nvalues == limit)
			{
				dictionary->nvalues++;
				break;
			}
			dictionary->values[dictionary->nvalues] = values[i];
			counts[dictionary->nvalues] = 0;
			table.index[at] = (uint32_t) ++dictionary->nvalues;
		}
		dictionary->codes[i] = table.index[at] - 1;
		counts[dictionary->codes[i]]++;
	}
	free(table.index);
	return true;
}

bool
dbp_dictionary_make(const uint64_t *values, int n, int limit, DbpDictionary *dictionary,
					bool *found)
{
	uint32_t *counts = malloc(((size_t) limit + 1) * sizeof(*counts));

	*found = false;
	dictionary->values = malloc(((size_t) limit + 1) * sizeof(*dictionary->values));
	dictionary->codes = malloc((size_t) n * sizeof(*dictionary->codes));
	if (counts == NULL || dictionary->values == NULL || dictionary->codes == NULL ||
		!collect(values, n, limit, dictionary, counts))
	{
		dbp_dictionary_free(dictionary);
		free(counts);
		return false;
	}
	*found = dictionary->nvalues <= limit;
	dictionary->bits = 0;
	for (int i = 0; *found && i < dictionary->nvalues; i++)
		dictionary->bits +=
			(float) counts[i] * (dbp_rough_log2((uint32_t) n) - dbp_rough_log2(counts[i]));
	free(counts);
	return true;
}

void
dbp_dictionary_free(DbpDictionary *dictionary)
{
	free(dictionary->values);
	free(dictionary->codes);
	dictionary->values = NULL;
	dictionary->codes = NULL;
}

typedef struct Entry
{
	int64_t value;
	uint64_t code;
} Entry;

static int
compare_entries(const void *a, const void *b)
{
	int64_t left = ((const Entry *) a)->value;
	int64_t right = ((const Entry *) b)->value;

	return (left > right) - (left < right);
}

/* Values in ascending order, codes to match; false: no memory */
static bool
sort_dictionary(const DbpDictionary *dictionary, int n)
{
	size_t nvalues = (size_t) dictionary->nvalues;
	Entry *entries = malloc(nvalues * sizeof(*entries));
	uint64_t *ranks = malloc(nvalues * sizeof(*ranks));
	bool done = entries != NULL && ranks != NULL;

	for (size_t i = 0; done && i < nvalues; i++)
	{
		entries[i].value = (int64_t) dictionary->values[i];
		entries[i].code = i;
	}
	if (done)
		qsort(entries, nvalues, sizeof(*entries), compare_entries);
	for (size_t i = 0; done && i < nvalues; i++)
	{
		dictionary->values[i] = (uint64_t) entries[i].value;
		ranks[entries[i].code] = i;
	}
	for (int i = 0; done && i < n; i++)
		dictionary->codes[i] = ranks[dictionary->codes[i]];
	free(entries);
	free(ranks);
	return done;
}

bool
dbp_dictionary_write(const DbpDictionary *dictionary, int n, int effort, DbpIntsKinds kinds,
					 DbpBuffer *out)
{
	return sort_dictionary(dictionary, n) &&
		dbp_append_varint(out, (uint64_t) dictionary->nvalues) &&
		dbp_ints_write_part(dictionary->values, dictionary->nvalues, effort, kinds, out) &&
		dbp_ints_write(dictionary->codes, n, effort, kinds, out);
}

bool
dbp_dictionary_read(DbpReader in, int n, DbpIntsKinds kinds, uint64_t *values)
{
	size_t nvalues;
	uint64_t *dictionary;
	uint64_t over = 0;
	bool good;

	if (!dbp_read_count(&in, (uint64_t) n, &nvalues) || nvalues == 0)
		return false;
	dictionary = malloc(nvalues * sizeof(*dictionary));
	if (dictionary == NULL)
		return false;
	good = dbp_ints_read_part(&in, (int) nvalues, kinds, dictionary) &&
		dbp_ints_read(in.at, in.left, n, kinds, values);
	for (int i = 0; good && i < n; i++)
		over |= values[i] >= nvalues;
	good &= over == 0;
	for (int i = 0; good && i < n; i++)
		values[i] = dictionary[values[i]];
	free(dictionary);
	return good;
}
