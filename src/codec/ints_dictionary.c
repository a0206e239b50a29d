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
#include "codec/scratch.h"

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

/* Do values come again within a sample? If half of all do, it is sure to see some. */
#define PROBE_SAMPLE 512
#define PROBE_BITS 11
#define PROBE_FOUND 12

bool
dbp_ints_has_duplicates(const uint64_t *values, int n)
{
	uint64_t seen[1 << PROBE_BITS];
	int step = n / PROBE_SAMPLE + 1;
	int duplicates = 0;

	/* the first value would take itself for one that was seen */
	for (int i = 0; i < 1 << PROBE_BITS; i++)
		seen[i] = ~values[0];
	for (int i = 0; i < n; i += step)
	{
		uint64_t *at = &seen[hash_of(values[i], PROBE_BITS)];

		duplicates += *at == values[i];
		*at = values[i];
	}
	return duplicates >= PROBE_FOUND || n < PROBE_SAMPLE / 2;
}

/* codes: of each value, in the order in which they come first; counts of each */
static void
collect(const uint64_t *values, int n, int limit, Table *table, DbpIntsDictionary *dictionary,
		uint32_t *counts)
{
	memset(table->index, 0, sizeof(*table->index) << table->bits);
	dictionary->nvalues = 0;
	for (int i = 0; i < n; i++)
	{
		uint32_t at = hash_of(values[i], table->bits);

		while (table->index[at] != 0 && dictionary->values[table->index[at] - 1] != values[i])
			at = (at + 1) & ((UINT32_C(1) << table->bits) - 1);
		if (table->index[at] == 0)
		{
			if (dictionary->nvalues == limit)
			{
				dictionary->nvalues++;
				break;
			}
			dictionary->values[dictionary->nvalues] = values[i];
			counts[dictionary->nvalues] = 0;
			table->index[at] = (uint32_t) ++dictionary->nvalues;
		}
		dictionary->codes[i] = table->index[at] - 1;
		counts[dictionary->codes[i]]++;
	}
}

bool
dbp_ints_dictionary_make(const uint64_t *values, int n, int limit, DbpIntsDictionary *dictionary,
						 bool *found)
{
	Table table = {.bits = dbp_bit_width((uint64_t) limit) + 1};
	uint32_t *counts;

	*found = false;
	table.index = dbp_scratch_take((size_t) 1 << table.bits, sizeof(*table.index));
	counts = dbp_scratch_take((size_t) limit + 1, sizeof(*counts));
	dictionary->values = dbp_scratch_take((size_t) limit + 1, sizeof(*dictionary->values));
	dictionary->codes = dbp_scratch_take((size_t) n, sizeof(*dictionary->codes));
	if (table.index == NULL || counts == NULL || dictionary->values == NULL ||
		dictionary->codes == NULL)
		return false;
	collect(values, n, limit, &table, dictionary, counts);
	*found = dictionary->nvalues <= limit;
	dictionary->bits = 0;
	for (int i = 0; *found && i < dictionary->nvalues; i++)
		dictionary->bits +=
			(float) counts[i] * (dbp_rough_log2((uint32_t) n) - dbp_rough_log2(counts[i]));
	return true;
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
sort_dictionary(const DbpIntsDictionary *dictionary, int n)
{
	size_t nvalues = (size_t) dictionary->nvalues;
	Entry *entries = dbp_scratch_take(nvalues, sizeof(*entries));
	uint64_t *ranks = dbp_scratch_take(nvalues, sizeof(*ranks));

	if (entries == NULL || ranks == NULL)
		return false;
	for (size_t i = 0; i < nvalues; i++)
	{
		entries[i].value = (int64_t) dictionary->values[i];
		entries[i].code = i;
	}
	qsort(entries, nvalues, sizeof(*entries), compare_entries);
	for (size_t i = 0; i < nvalues; i++)
	{
		dictionary->values[i] = (uint64_t) entries[i].value;
		ranks[entries[i].code] = i;
	}
	for (int i = 0; i < n; i++)
		dictionary->codes[i] = ranks[dictionary->codes[i]];
	return true;
}

bool
dbp_ints_dictionary_write(const DbpIntsDictionary *dictionary, int n, DbpIntsHow how,
						  DbpBuffer *out)
{
	return sort_dictionary(dictionary, n) &&
		dbp_append_varint(out, (uint64_t) dictionary->nvalues) &&
		dbp_ints_write_part(dictionary->values, dictionary->nvalues,
							dbp_ints_within(how, DBP_INTS_DICTIONARY,
											DBP_INTS_PLAIN | DBP_INTS_BIT(DBP_INTS_SCALED) |
												DBP_INTS_BIT(DBP_INTS_TENS) |
												DBP_INTS_BIT(DBP_INTS_SPLIT)),
							out) &&
		dbp_ints_write(dictionary->codes, n,
					   dbp_ints_within(how, DBP_INTS_DICTIONARY,
									   DBP_INTS_PLAIN | DBP_INTS_BIT(DBP_INTS_RUNS)),
					   out);
}

static bool
look_up(const uint64_t *dictionary, size_t nvalues, uint64_t *values, int n)
{
	uint64_t largest = 0;

	for (int i = 0; i < n; i++)
		largest = values[i] > largest ? values[i] : largest;
	if (largest >= nvalues)
		return false;
	for (int i = 0; i < n; i++)
		values[i] = dictionary[values[i]];
	return true;
}

bool
dbp_ints_dictionary_read(DbpReader in, int n, DbpIntsKinds kinds, uint64_t *values)
{
	DbpScratch scratch = dbp_scratch_begin();
	size_t nvalues;
	bool good = false;

	if (dbp_read_count(&in, (uint64_t) n, &nvalues) && nvalues > 0)
	{
		uint64_t *dictionary = dbp_scratch_take(nvalues, sizeof(*dictionary));

		good = dictionary != NULL && dbp_ints_read_part(&in, (int) nvalues, kinds, dictionary) &&
			dbp_ints_read(in.at, in.left, n, kinds, values) &&
			look_up(dictionary, nvalues, values, n);
	}
	dbp_scratch_end(scratch);
	return good;
}
