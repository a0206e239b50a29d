/*-------------------------------------------------------------------------
 *
 * groups.c
 *		Values of a few lengths, those of each length by themselves.
 *
 *		part: lengths; for each length, in the order in which they come up, a
 *		part with the values that have it
 *
 * Arrays, composites and ranges are made of the same fields if only their
 * lengths are the same, and columns are found in each group.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "codec/slices.h"

#define MAX_GROUPS 64

/* A group has so many values at least, on average, and these so many bytes */
#define MIN_GROUP 64
#define MIN_LENGTH 12

/* Lengths in the order in which they come up, and how many values have them */
typedef struct Groups
{
	int count;
	uint32_t lengths[MAX_GROUPS];
	int values[MAX_GROUPS];
} Groups;

/* The group of values of that length, which may be new; -1: too many */
static int
find_group(Groups *groups, uint32_t len)
{
	int at = 0;

	while (at < groups->count && groups->lengths[at] != len)
		at++;
	if (at == groups->count)
	{
		if (at == MAX_GROUPS)
			return -1;
		groups->lengths[at] = len;
		groups->values[at] = 0;
		groups->count++;
	}
	return at;
}

/* Text never has a zero in it, and anything that is made of fields nearly always has one. */
static bool
has_zero(const DbpSlice *value)
{
	return value->len > 0 && memchr(value->data, 0, value->len) != NULL;
}

static bool
is_worth_it(const DbpSlice *values, int n, const DbpSliceProfile *profile, Groups *groups)
{
	if (profile->total < (uint64_t) n * MIN_LENGTH || !has_zero(&values[0]) ||
		!has_zero(&values[n / 2]) || !has_zero(&values[n - 1]))
		return false;
	groups->count = 0;
	for (int i = 0; i < n; i++)
	{
		int group = find_group(groups, values[i].len);

		if (group < 0)
			return false;
		groups->values[group]++;
	}
	return n >= groups->count * MIN_GROUP;
}

static bool
write_groups(DbpBuffer *out, const DbpSlice *values, int n, const Groups *groups,
			 const DbpTrial *trial, int64_t *lengths, DbpSlice *members)
{
	DbpSliceKinds kinds = trial->kinds & ~DBP_SLICES_BIT(DBP_SLICES_GROUPS);

	for (int i = 0; i < n; i++)
		lengths[i] = values[i].len;
	if (!dbp_numbers_write(out, lengths, n, trial->effort))
		return false;
	for (int group = 0; group < groups->count; group++)
	{
		int count = 0;

		for (int i = 0; i < n; i++)
			if (values[i].len == groups->lengths[group])
				members[count++] = values[i];
		if (!dbp_slices_write(out, members, count, trial->effort, kinds))
			return false;
	}
	return true;
}

/* false: no memory */
bool
dbp_groups_try(const DbpSlice *values, int n, const DbpSliceProfile *profile, DbpTrial *trial)
{
	Groups groups;
	int64_t *lengths;
	DbpSlice *members;
	bool done;

	if (!is_worth_it(values, n, profile, &groups))
		return true;
	lengths = malloc((size_t) n * sizeof(int64_t));
	members = malloc((size_t) n * sizeof(DbpSlice));
	done = lengths != NULL && members != NULL &&
		dbp_head_write(&trial->work, DBP_SLICES_GROUPS, 0, profile->total) &&
		write_groups(&trial->work, values, n, &groups, trial, lengths, members);
	if (done)
		dbp_trial_consider(trial, "by length");
	free(lengths);
	free(members);
	return done;
}

/* Reads the values of one length, and puts them where they belong. */
static bool
put_group(DbpReader *in, DbpSliceKinds kinds, const Groups *groups, int group, DbpSliceSink *sink)
{
	uint32_t len = groups->lengths[group];
	uint64_t total = (uint64_t) len * (uint64_t) groups->values[group];
	DbpSliceSink members;
	int member = 0;
	uint32_t begin = 0;
	bool good;

	if (total > sink->size || !dbp_slices_read(in, groups->values[group], kinds, total, &members))
		return false;
	good = members.size == total;
	for (int i = 0; good && i < sink->n; begin = sink->ends[i++])
	{
		DbpSlice value;

		if (sink->ends[i] - begin != len)
			continue;
		value = dbp_sink_value(&members, member++);
		good = value.len == len;
		if (good)
			memcpy(sink->arena + begin, value.data, len);
	}
	dbp_sink_free(&members);
	return good;
}

static bool
read_lengths(DbpReader *in, DbpSliceSink *sink, Groups *groups)
{
	int64_t *lengths = malloc((size_t) sink->n * sizeof(int64_t));
	uint64_t end = 0;
	bool good = lengths != NULL && dbp_numbers_read(in, sink->n, (int64_t) sink->size, lengths);

	groups->count = 0;
	for (int i = 0; good && i < sink->n; i++)
	{
		int group = find_group(groups, (uint32_t) lengths[i]);

		end += (uint64_t) lengths[i];
		good = group >= 0 && end <= sink->size;
		if (good)
		{
			groups->values[group]++;
			sink->ends[i] = (uint32_t) end;
		}
	}
	free(lengths);
	return good && end == sink->size;
}

bool
dbp_groups_decode(DbpReader in, DbpSliceKinds kinds, DbpSliceSink *sink)
{
	Groups groups;

	if (!read_lengths(&in, sink, &groups))
		return false;
	for (int group = 0; group < groups.count; group++)
		if (!put_group(&in, kinds, &groups, group, sink))
			return false;
	return in.left == 0;
}

bool
dbp_groups_describe(DbpReader in, int n, DbpSliceKinds kinds, DbpText *text)
{
	int64_t *lengths = malloc(((size_t) n + 1) * sizeof(int64_t));
	Groups groups = {0};
	DbpReader part;
	bool good = lengths != NULL && dbp_numbers_read(&in, n, INT32_MAX, lengths);

	for (int i = 0; good && i < n; i++)
	{
		int group = find_group(&groups, (uint32_t) lengths[i]);

		good = group >= 0;
		if (good)
			groups.values[group]++;
	}
	free(lengths);
	dbp_text_append(text, "by length");
	for (int group = 0; good && group < groups.count; group++)
	{
		dbp_text_append(text, "; %d of %u bytes: ", groups.values[group], groups.lengths[group]);
		good = dbp_part_read(&in, &part) &&
			dbp_text_append_slices(text, part, groups.values[group], kinds);
	}
	return good;
}
