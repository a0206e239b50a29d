/*-------------------------------------------------------------------------
 *
 * dictionary.c
 *		Values of any length by their numbers in a dictionary.
 *
 *		number of distinct values, part: chunk of them, chunk of the numbers
 *
 * Runs of equal values are for the encoding of the numbers to find.  The
 * dictionary is sorted, so that its values share prefixes, or in the order in
 * which values come up, so that numbers grow or repeat: whichever is smaller.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "codec/slices.h"

/*
 * So many steps for each value are far more than any hash table needs that is
 * at most half full, unless somebody chose the values for it.
 */
#define MAX_STEPS 16

/* With fewer values than that, the dictionary is small in any order */
#define SORT_WORTH 64

#define NO_VALUE UINT32_MAX

typedef struct Distinct
{
	int count;
	uint64_t bytes; /* of all distinct values */
	int64_t *codes; /* for each value the number of its distinct value */
	DbpSlice *values;
} Distinct;

static uint64_t
mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128) a * b;

	return (uint64_t) product ^ (uint64_t) (product >> 64);
}

static uint64_t
hash(const uint8_t *data, size_t len)
{
	const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
	uint64_t state = len + odd;
	uint64_t last = 0;

	for (; len >= 8; data += 8, len -= 8)
		state = mix(state ^ dbp_load64(data), odd) + odd;
	if (len > 0)
		memcpy(&last, data, len);
	return mix(state ^ last, UINT64_C(0xd6e8feb86659fd93));
}

static bool
equal(const DbpSlice *a, const DbpSlice *b)
{
	return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

/* slots: a power of two of them, at least twice as many as values, all NO_VALUE */
static bool
number_values(const DbpSlice *values, int n, uint32_t *slots, uint32_t mask, Distinct *distinct)
{
	int64_t steps = 0;

	for (int i = 0; i < n; i++)
	{
		uint32_t at = (uint32_t) hash(values[i].data, values[i].len) & mask;

		while (slots[at] != NO_VALUE && !equal(&values[i], &distinct->values[slots[at]]))
		{
			at = (at + 1) & mask;
			if (++steps > (int64_t) MAX_STEPS * n)
				return false;
		}
		if (slots[at] == NO_VALUE)
		{
			slots[at] = (uint32_t) distinct->count;
			distinct->values[distinct->count++] = values[i];
			distinct->bytes += values[i].len;
		}
		distinct->codes[i] = slots[at];
	}
	return true;
}

/* false: no memory.  Where it takes too long, all values are taken for distinct. */
static bool
find_distinct(const DbpSlice *values, int n, Distinct *distinct)
{
	uint32_t size = 16;
	uint32_t *slots;

	while (size < 2 * (uint32_t) n)
		size *= 2;
	slots = malloc(size * sizeof(uint32_t));
	distinct->codes = malloc((size_t) n * sizeof(int64_t));
	distinct->values = malloc((size_t) n * sizeof(DbpSlice));
	if (slots == NULL || distinct->codes == NULL || distinct->values == NULL)
	{
		free(slots);
		return false;
	}
	memset(slots, 0xff, size * sizeof(uint32_t));
	if (!number_values(values, n, slots, size - 1, distinct))
		distinct->count = n;
	free(slots);
	return true;
}

static bool
write_dictionary(DbpBuffer *out, const Distinct *distinct, int n, const DbpTrial *trial,
				 uint64_t total)
{
	return dbp_head_write(out, DBP_SLICES_DICTIONARY, 0, total) &&
		dbp_append_varint(out, (uint64_t) distinct->count) &&
		dbp_slices_write(out, distinct->values, distinct->count, trial->effort,
						 trial->kinds & ~DBP_SLICES_BIT(DBP_SLICES_DICTIONARY)) &&
		dbp_ints_encode(distinct->codes, n, trial->effort, out);
}

/* A distinct value and the number that it has had */
typedef struct Entry
{
	DbpSlice value;
	int code;
} Entry;

static int
compare_entries(const void *a, const void *b)
{
	const DbpSlice *x = &((const Entry *) a)->value;
	const DbpSlice *y = &((const Entry *) b)->value;
	uint32_t min = x->len < y->len ? x->len : y->len;
	int result = min == 0 ? 0 : memcmp(x->data, y->data, min);

	return result != 0 ? result : (x->len > y->len) - (x->len < y->len);
}

/* Numbers the distinct values in their order.  false: they are already. */
static bool
sort_values(Distinct *distinct, int n, Entry *entries, int64_t *renumbered)
{
	bool moved = false;

	for (int i = 0; i < distinct->count; i++)
	{
		entries[i].value = distinct->values[i];
		entries[i].code = i;
	}
	qsort(entries, (size_t) distinct->count, sizeof(Entry), compare_entries);
	for (int i = 0; i < distinct->count; i++)
	{
		moved |= entries[i].code != i;
		renumbered[entries[i].code] = i;
		distinct->values[i] = entries[i].value;
	}
	for (int i = 0; i < n; i++)
		distinct->codes[i] = renumbered[distinct->codes[i]];
	return moved;
}

static bool
try_sorted(Distinct *distinct, int n, DbpTrial *trial, uint64_t total)
{
	Entry *entries = malloc((size_t) distinct->count * sizeof(Entry));
	int64_t *renumbered = malloc((size_t) distinct->count * sizeof(int64_t));
	bool done = entries != NULL && renumbered != NULL;

	if (done && sort_values(distinct, n, entries, renumbered))
	{
		done = write_dictionary(&trial->work, distinct, n, trial, total);
		if (done)
			dbp_trial_consider(trial, "dictionary, sorted");
	}
	free(entries);
	free(renumbered);
	return done;
}

static bool
try_both(Distinct *distinct, int n, const DbpSliceProfile *profile, DbpTrial *trial)
{
	uint64_t codes = (uint64_t) n * (uint64_t) dbp_bit_width((uint64_t) distinct->count - 1) / 8;

	/* a value on its own has a length, which takes some bits, too */
	if (distinct->count == n || distinct->bytes + codes >= profile->total + (uint64_t) n / 2)
		return true;
	if (!write_dictionary(&trial->work, distinct, n, trial, profile->total))
		return false;
	dbp_trial_consider(trial, "dictionary");
	return trial->effort < DBP_EFFORT_DEFAULT || distinct->count < SORT_WORTH ||
		try_sorted(distinct, n, trial, profile->total);
}

/* Also says how many distinct values there are.  false: no memory. */
bool
dbp_dictionary_try(const DbpSlice *values, int n, const DbpSliceProfile *profile, DbpTrial *trial,
				   int *ndistinct)
{
	Distinct distinct = {0};
	bool done = find_distinct(values, n, &distinct) && try_both(&distinct, n, profile, trial);

	*ndistinct = distinct.count;
	free(distinct.codes);
	free(distinct.values);
	return done;
}

static bool
look_up(const DbpSliceSink *distinct, const int64_t *codes, DbpSliceSink *sink)
{
	size_t end = 0;

	for (int i = 0; i < sink->n; i++)
	{
		DbpSlice value;

		if ((uint64_t) codes[i] >= (uint64_t) distinct->n)
			return false;
		value = dbp_sink_value(distinct, (int) codes[i]);
		if (value.len > sink->size - end)
			return false;
		memcpy(sink->arena + end, value.data, value.len);
		end += value.len;
		sink->ends[i] = (uint32_t) end;
	}
	return end == sink->size;
}

/* Every value of the dictionary is used, so it is not larger than what comes of it. */
bool
dbp_dictionary_decode(DbpReader in, DbpSliceKinds kinds, DbpSliceSink *sink)
{
	DbpSliceSink distinct;
	size_t count;
	int64_t *codes;
	bool done;

	if (!dbp_read_count(&in, (uint64_t) sink->n, &count) || count == 0 ||
		!dbp_slices_read(&in, (int) count, kinds, sink->size, &distinct))
		return false;
	codes = malloc((size_t) sink->n * sizeof(int64_t));
	done = codes != NULL && dbp_ints_decode(in.at, in.left, sink->n, codes) &&
		look_up(&distinct, codes, sink);
	free(codes);
	dbp_sink_free(&distinct);
	return done;
}

bool
dbp_dictionary_describe(DbpReader in, int n, DbpSliceKinds kinds, DbpText *text)
{
	size_t count;
	DbpReader part;

	if (!dbp_read_count(&in, (uint64_t) n, &count) || !dbp_part_read(&in, &part))
		return false;
	dbp_text_append(text, "dictionary of %zu (", count);
	if (!dbp_text_append_slices(text, part, (int) count, kinds))
		return false;
	dbp_text_append(text, "), codes: ");
	dbp_text_append_numbers(text, in, n);
	return true;
}
