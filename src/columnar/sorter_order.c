/*-------------------------------------------------------------------------
 *
 * sorter_order.c
 *		The order of the rows in memory.
 *
 * Every key is turned into numbers: those of numeric types directly, those of
 * other types into the rank of the value among all that are there, for which
 * only distinct values are compared.  Then numbers of rows are sorted by one
 * key after the other, the last one first, each time keeping the order of
 * equals (LSD radix sort); a key by which they are in order already, as
 * times often are, costs one look.  At last the columns are put in that order.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "columnar/sorter_run.h"

#define DIGIT_BITS 11
#define SIGN_BIT (UINT64CONST(1) << 63)

/* Doubles as btree orders them: -0 equals 0, NaN is the largest */
static uint64
double_number(double value)
{
	union
	{
		double number;
		uint64 bits;
	} u;

	if (isnan(value))
		return PG_UINT64_MAX;
	u.number = value == 0 ? 0 : value;
	return (u.bits & SIGN_BIT) ? ~u.bits : u.bits | SIGN_BIT;
}

/*
 * A number that compares as the value does.
 */
uint64
dbp_sorter_number(DbpSortNumber number, Datum value)
{
	switch (number)
	{
		case DBP_SORT_BYTE:
			return DatumGetUInt8(value);
		case DBP_SORT_INT2:
			return (uint64) (int64) DatumGetInt16(value) ^ SIGN_BIT;
		case DBP_SORT_INT4:
			return (uint64) (int64) DatumGetInt32(value) ^ SIGN_BIT;
		case DBP_SORT_INT8:
			return (uint64) DatumGetInt64(value) ^ SIGN_BIT;
		case DBP_SORT_OID:
			return DatumGetObjectId(value);
		case DBP_SORT_FLOAT4:
			return double_number(DatumGetFloat4(value));
		case DBP_SORT_FLOAT8:
			return double_number(DatumGetFloat8(value));
		case DBP_SORT_GENERIC:
			break;
	}
	elog(ERROR, "values of this type are not numbers");
	return 0;
}

/* A column of the rows in memory, as numbers in the order in which the rows came */
typedef struct Numbers
{
	uint64 *number;
	bool *null; /* NULL: none is */
	uint64 min;
	uint64 max;
	bool any; /* that is not null */
} Numbers;

static bool
is_null(const DbpSorter *sorter, int column, uint32 row)
{
	const bool *nulls = dbp_sorter_segment(sorter, row)->nulls[column];

	return nulls != NULL && nulls[dbp_sorter_place(sorter, row)];
}

static Datum
value_of(const DbpSorter *sorter, int column, uint32 row)
{
	const DbpSortColumn *c = &sorter->columns[column];
	char *entry = dbp_sorter_segment(sorter, row)->values[column] +
		(Size) dbp_sorter_place(sorter, row) * c->width;

	if (!c->byval)
		return PointerGetDatum(*(char **) entry);
	return fetch_att(entry, true, c->len);
}

static void
note_number(Numbers *numbers, uint64 number)
{
	if (!numbers->any)
		numbers->min = numbers->max = number;
	numbers->any = true;
	numbers->min = Min(numbers->min, number);
	numbers->max = Max(numbers->max, number);
}

static void
read_numbers(const DbpSorter *sorter, const DbpSortKey *key, Numbers *numbers)
{
	for (uint32 row = 0; row < sorter->nrows; row++)
	{
		if (numbers->null != NULL && (numbers->null[row] = is_null(sorter, key->column, row)))
			continue;
		numbers->number[row] = dbp_sorter_number(key->number, value_of(sorter, key->column, row));
		note_number(numbers, numbers->number[row]);
	}
}

/* The distinct values of a column */
typedef struct Distinct
{
	Datum value;
	uint32 hash;
	uint32 rank;
} Distinct;

typedef struct Dictionary
{
	DbpSortColumn *column;
	SortSupport support;
	Distinct *distinct;
	uint32 n;
	uint32 room;
	uint32 *slots; /* of a hash table: number of the value + 1 */
	uint32 mask;
} Dictionary;

static const unsigned char *
bytes_of(const DbpSortColumn *column, const Datum *value, Size *len)
{
	const char *pointer;

	if (column->byval)
	{
		*len = sizeof(Datum);
		return (const unsigned char *) value;
	}
	pointer = DatumGetPointer(*value);
	if (column->len == -1)
	{
		/* the same with a short header and with a long one */
		*len = VARSIZE_ANY_EXHDR(pointer);
		return (const unsigned char *) VARDATA_ANY(pointer);
	}
	*len = dbp_sorter_value_bytes(column, pointer);
	return (const unsigned char *) pointer;
}

static void
grow_dictionary(Dictionary *dictionary)
{
	uint32 size = dictionary->slots == NULL ? 1024 : (dictionary->mask + 1) * 2;

	if (dictionary->slots != NULL)
		pfree(dictionary->slots);
	dictionary->slots =
		MemoryContextAllocExtended(CurrentMemoryContext, sizeof(uint32) * (Size) size,
								   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	dictionary->mask = size - 1;
	dictionary->room = size / 2;
	dictionary->distinct = dictionary->distinct == NULL
		? palloc(sizeof(Distinct) * dictionary->room)
		: repalloc_huge(dictionary->distinct, sizeof(Distinct) * (Size) dictionary->room);
	for (uint32 i = 0; i < dictionary->n; i++)
	{
		uint32 slot = dictionary->distinct[i].hash & dictionary->mask;

		while (dictionary->slots[slot] != 0)
			slot = (slot + 1) & dictionary->mask;
		dictionary->slots[slot] = i + 1;
	}
}

static uint32
look_up(Dictionary *dictionary, Datum value)
{
	Size len;
	const unsigned char *bytes = bytes_of(dictionary->column, &value, &len);
	uint32 hash = hash_bytes(bytes, (int) len);
	uint32 slot = hash & dictionary->mask;
	uint32 number;

	while ((number = dictionary->slots[slot]) != 0)
	{
		const Distinct *distinct = &dictionary->distinct[number - 1];

		if (distinct->hash == hash)
		{
			Size other_len;
			const unsigned char *other = bytes_of(dictionary->column, &distinct->value, &other_len);

			if (len == other_len && memcmp(bytes, other, len) == 0)
				return number - 1;
		}
		slot = (slot + 1) & dictionary->mask;
	}
	if (dictionary->n == dictionary->room)
	{
		grow_dictionary(dictionary);
		return look_up(dictionary, value);
	}
	dictionary->slots[slot] = ++dictionary->n;
	dictionary->distinct[dictionary->n - 1].value = value;
	dictionary->distinct[dictionary->n - 1].hash = hash;
	return dictionary->n - 1;
}

static int
compare_distinct(const void *a, const void *b, void *arg)
{
	Dictionary *dictionary = arg;

	CHECK_FOR_INTERRUPTS();
	return ApplySortComparator(dictionary->distinct[*(const uint32 *) a].value, false,
							   dictionary->distinct[*(const uint32 *) b].value, false,
							   dictionary->support);
}

static void
rank(Dictionary *dictionary)
{
	uint32 *order =
		MemoryContextAllocHuge(CurrentMemoryContext, sizeof(uint32) * (Size) Max(dictionary->n, 1));
	uint32 rank = 0;

	for (uint32 i = 0; i < dictionary->n; i++)
		order[i] = i;
	qsort_arg(order, dictionary->n, sizeof(uint32), compare_distinct, dictionary);
	for (uint32 i = 0; i < dictionary->n; i++)
	{
		/* values may be equal without being the same */
		if (i > 0 && compare_distinct(&order[i - 1], &order[i], dictionary) != 0)
			rank++;
		dictionary->distinct[order[i]].rank = rank;
	}
}

/*
 * The same where values have to be compared.
 */
static void
rank_numbers(const DbpSorter *sorter, DbpSortKey *key, Numbers *numbers)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "dbperf sorter ranks", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Dictionary dictionary = {0};

	dictionary.column = &sorter->columns[key->column];
	dictionary.support = &key->support;
	grow_dictionary(&dictionary);
	for (uint32 row = 0; row < sorter->nrows; row++)
	{
		if (numbers->null != NULL && (numbers->null[row] = is_null(sorter, key->column, row)))
			continue;
		numbers->number[row] = look_up(&dictionary, value_of(sorter, key->column, row));
	}
	rank(&dictionary);
	for (uint32 row = 0; row < sorter->nrows; row++)
	{
		if (numbers->null != NULL && numbers->null[row])
			continue;
		numbers->number[row] = dictionary.distinct[numbers->number[row]].rank;
		note_number(numbers, numbers->number[row]);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* Keys and numbers of rows, and room for as many */
typedef struct Pairs
{
	uint64 *key;
	uint32 *row;
	uint64 *other_key;
	uint32 *other_row;
	uint32 n;
} Pairs;

/*
 * One pass: sort by some bits of the keys, keeping the order of equals.
 */
static void
radix_pass(Pairs *pairs, int shift, int bits)
{
	uint32 counts[1 << DIGIT_BITS] = {0};
	uint64 mask = (UINT64CONST(1) << bits) - 1;
	uint32 sum = 0;
	uint64 *key;
	uint32 *row;

	for (uint32 i = 0; i < pairs->n; i++)
		counts[(pairs->key[i] >> shift) & mask]++;
	for (uint32 digit = 0; digit <= mask; digit++)
	{
		uint32 count = counts[digit];

		counts[digit] = sum;
		sum += count;
	}
	for (uint32 i = 0; i < pairs->n; i++)
	{
		uint32 place = counts[(pairs->key[i] >> shift) & mask]++;

		pairs->other_key[place] = pairs->key[i];
		pairs->other_row[place] = pairs->row[i];
	}
	key = pairs->key;
	row = pairs->row;
	pairs->key = pairs->other_key;
	pairs->row = pairs->other_row;
	pairs->other_key = key;
	pairs->other_row = row;
}

static void
radix_sort(Pairs *pairs, uint64 max)
{
	int bits = pg_leftmost_one_pos64(max | 1) + 1;
	int passes = (bits + DIGIT_BITS - 1) / DIGIT_BITS;
	int digit = (bits + passes - 1) / passes;

	for (int pass = 0; pass < passes; pass++)
	{
		CHECK_FOR_INTERRUPTS();
		radix_pass(pairs, pass * digit, digit);
	}
}

/* Nulls behind all others, where no number is left for them */
static void
partition_nulls(Pairs *pairs, const bool *null)
{
	uint32 n = 0;
	uint32 *row;

	for (int pass = 0; pass < 2; pass++)
		for (uint32 i = 0; i < pairs->n; i++)
			if (null[pairs->row[i]] == (pass == 1))
				pairs->other_row[n++] = pairs->row[i];
	row = pairs->row;
	pairs->row = pairs->other_row;
	pairs->other_row = row;
}

/*
 * Sort by one key.  The numbers are in other_key.
 */
static void
sort_by_key(Pairs *pairs, const Numbers *numbers)
{
	uint64 range = numbers->any ? numbers->max - numbers->min : 0;
	bool apart = numbers->null != NULL && range == PG_UINT64_MAX;
	uint64 after = numbers->null != NULL && !apart ? range + 1 : range;
	bool sorted = true;

	for (uint32 i = 0; i < pairs->n; i++)
	{
		uint32 row = pairs->row[i];

		if (numbers->null != NULL && numbers->null[row])
			pairs->key[i] = after;
		else
			pairs->key[i] = numbers->number[row] - numbers->min;
		sorted &= i == 0 || pairs->key[i - 1] <= pairs->key[i];
	}
	if (!sorted)
		radix_sort(pairs, after);
	if (apart)
		partition_nulls(pairs, numbers->null);
}

static bool
has_nulls(const DbpSorter *sorter, int column)
{
	for (int s = 0; s < sorter->nsegments; s++)
		if (sorter->segments[s].nulls[column] != NULL)
			return true;
	return false;
}

/* Rows ahead whose values are asked for while others are being moved */
#define AHEAD 16

/*
 * Put the entries of one column in order.  One column at a time, since that may stay
 * in the processor's cache, unlike all of them.
 */
static void
move_entries(const DbpSorter *sorter, const uint32 *order, char **parts, int width, char *room)
{
	int shift = sorter->segment_shift;
	uint32 mask = (1U << shift) - 1;
	uint32 n = sorter->nrows;

#define MOVE(ctype) \
	for (uint32 i = 0; i < n; i++) \
	{ \
		uint32 ahead = order[Min(i + AHEAD, n - 1)]; \
		__builtin_prefetch((ctype *) parts[ahead >> shift] + (ahead & mask)); \
		((ctype *) room)[i] = ((ctype *) parts[order[i] >> shift])[order[i] & mask]; \
	}

	switch (width)
	{
		case 8:
			MOVE(uint64);
			break;
		case 4:
			MOVE(uint32);
			break;
		case 2:
			MOVE(uint16);
			break;
		default:
			MOVE(uint8);
			break;
	}
	for (uint32 i = 0; i < n; i += mask + 1)
		memcpy(parts[i >> shift], room + (Size) i * width, (Size) Min(mask + 1, n - i) * width);
}

/*
 * Where some rows of a column can be null, all segments have to say which.
 */
static void
complete_nulls(DbpSorter *sorter, int column)
{
	for (int s = 0; s < sorter->nsegments; s++)
		if (sorter->segments[s].nulls[column] == NULL)
			sorter->segments[s].nulls[column] =
				MemoryContextAllocZero(sorter->run_context, (Size) 1 << sorter->segment_shift);
}

static void
move_rows(DbpSorter *sorter, const uint32 *order)
{
	char *room =
		MemoryContextAllocHuge(CurrentMemoryContext, sizeof(uint64) * (Size) sorter->nrows);
	char **parts = palloc(sizeof(char *) * sorter->nsegments);

	for (int c = -1; c < sorter->ncolumns; c++)
	{
		CHECK_FOR_INTERRUPTS();
		if (c >= 0 && sorter->columns[c].dropped)
			continue;
		for (int s = 0; s < sorter->nsegments; s++)
			parts[s] = c < 0 ? (char *) sorter->segments[s].tags : sorter->segments[s].values[c];
		move_entries(sorter, order, parts, c < 0 ? (int) sizeof(uint64) : sorter->columns[c].width,
					 room);
		if (c < 0 || !has_nulls(sorter, c))
			continue;
		complete_nulls(sorter, c);
		for (int s = 0; s < sorter->nsegments; s++)
			parts[s] = (char *) sorter->segments[s].nulls[c];
		move_entries(sorter, order, parts, sizeof(bool), room);
	}
}

/*
 * Sort the run in memory.
 */
void
dbp_sorter_order(DbpSorter *sorter)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "dbperf sorter order", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Size n = Max(sorter->nrows, 1);
	Pairs pairs;

	pairs.n = sorter->nrows;
	pairs.key = MemoryContextAllocHuge(context, sizeof(uint64) * n);
	pairs.row = MemoryContextAllocHuge(context, sizeof(uint32) * n);
	pairs.other_key = MemoryContextAllocHuge(context, sizeof(uint64) * n);
	pairs.other_row = MemoryContextAllocHuge(context, sizeof(uint32) * n);
	for (uint32 i = 0; i < pairs.n; i++)
		pairs.row[i] = i;
	for (int k = sorter->nkeys - 1; k >= 0; k--)
	{
		DbpSortKey *key = &sorter->keys[k];
		Numbers numbers = {0};

		CHECK_FOR_INTERRUPTS();
		numbers.number = pairs.other_key;
		if (has_nulls(sorter, key->column))
			numbers.null = MemoryContextAllocHuge(context, n);
		if (key->number == DBP_SORT_GENERIC)
			rank_numbers(sorter, key, &numbers);
		else
			read_numbers(sorter, key, &numbers);
		sort_by_key(&pairs, &numbers);
		if (numbers.null != NULL)
			pfree(numbers.null);
	}
	pfree(pairs.key);
	pfree(pairs.other_key);
	pfree(pairs.other_row);
	if (sorter->nrows > 0)
		move_rows(sorter, pairs.row);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}
