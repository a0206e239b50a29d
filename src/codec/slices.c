/*-------------------------------------------------------------------------
 *
 * slices.c
 *		Values of any length: constant, plain, with shared prefixes; and which
 *		encoding to take.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "codec/slices.h"

/* Values that share that part of their bytes with the one before are worth a try */
#define SHARED_WORTH 8

/* A dictionary whose values are used so many times on average has no rival */
#define CLEAR_REPEATS 16

/* Nor has what takes no more than that part of the bytes: general compression rarely reaches it */
#define CLEAR_RATIO 12

static uint32_t
shared_prefix(const uint8_t *a, const uint8_t *b, uint32_t max)
{
	uint32_t len = 0;

	while (max - len >= 8 && dbp_load64(a + len) == dbp_load64(b + len))
		len += 8;
	while (len < max && a[len] == b[len])
		len++;
	return len;
}

static uint32_t
shared_with_last(const DbpSlice *values, int i)
{
	uint32_t max = values[i].len;

	if (i == 0)
		return 0;
	if (max > values[i - 1].len)
		max = values[i - 1].len;
	return shared_prefix(values[i].data, values[i - 1].data, max);
}

static void
make_profile(const DbpSlice *values, int n, DbpSliceProfile *profile)
{
	memset(profile, 0, sizeof(*profile));
	profile->same_length = true;
	profile->equal = true;
	for (int i = 0; i < n; i++)
	{
		uint32_t shared = shared_with_last(values, i);

		profile->total += values[i].len;
		profile->shared += shared;
		profile->same_length &= values[i].len == values[0].len;
		profile->equal &= i == 0 || (shared == values[i].len && shared == values[i - 1].len);
	}
}

static bool
encode_constant(const DbpSlice *values, int n, int effort, const DbpSliceProfile *profile,
				DbpBuffer *out)
{
	size_t head = out->len;

	return dbp_head_write(out, DBP_SLICES_CONSTANT, 0, profile->total) &&
		(n == 0 || dbp_payload_write(out, head, values[0].data, values[0].len, effort, SIZE_MAX));
}

static bool
decode_constant(DbpReader in, uint8_t flags, DbpSliceSink *sink)
{
	size_t len = sink->n == 0 ? 0 : sink->size / sink->n;

	if (len * sink->n != sink->size)
		return false;
	if (sink->n == 0)
		return in.left == 0;
	if (!dbp_payload_read(&in, flags, sink->arena, len))
		return false;
	for (int i = 0; i < sink->n; i++)
	{
		if (i > 0 && len > 0)
			memcpy(sink->arena + i * len, sink->arena, len);
		sink->ends[i] = (uint32_t) ((i + 1) * len);
	}
	return true;
}

/*
 * Plain values: their lengths, then their bytes.  With shared prefixes: how many
 * bytes are those of the value before, the lengths, then all other bytes.
 */
static bool
write_values(DbpBuffer *out, const DbpSlice *values, int n, const DbpTrial *trial, bool prefixes,
			 const DbpSliceProfile *profile, int64_t *numbers, uint8_t *bytes)
{
	size_t head = out->len;
	size_t len = 0;

	if (!dbp_head_write(out, prefixes ? DBP_SLICES_PREFIX : DBP_SLICES_PLAIN,
						profile->same_length ? DBP_SLICES_SAME_LENGTH : 0, profile->total))
		return false;
	if (!profile->same_length)
	{
		for (int i = 0; i < n; i++)
			numbers[i] = values[i].len;
		if (!dbp_numbers_write(out, numbers, n, trial->effort))
			return false;
	}
	for (int i = 0; i < n; i++)
	{
		uint32_t shared = prefixes ? shared_with_last(values, i) : 0;

		numbers[i] = shared;
		if (values[i].len > shared)
			memcpy(bytes + len, values[i].data + shared, values[i].len - shared);
		len += values[i].len - shared;
	}
	if (prefixes && !dbp_numbers_write(out, numbers, n, trial->effort))
		return false;
	return dbp_payload_write(out, head, bytes, len, trial->effort,
							 trial->found ? trial->best.len : SIZE_MAX);
}

static bool
try_values(const DbpSlice *values, int n, DbpTrial *trial, bool prefixes,
		   const DbpSliceProfile *profile)
{
	int64_t *numbers = malloc((size_t) n * sizeof(int64_t));
	uint8_t *bytes = malloc(profile->total + 1);
	bool done = numbers != NULL && bytes != NULL &&
		write_values(&trial->work, values, n, trial, prefixes, profile, numbers, bytes);

	if (done)
		dbp_trial_consider(trial, prefixes ? "shared prefixes" : "plain");
	free(numbers);
	free(bytes);
	return done;
}

/* Sets where each value ends.  All of them together must be as long as the chunk says. */
static bool
read_lengths(DbpReader *in, uint8_t flags, DbpSliceSink *sink, int64_t *numbers)
{
	uint64_t end = 0;

	if ((flags & DBP_SLICES_SAME_LENGTH) != 0)
	{
		for (int i = 0; i < sink->n; i++)
			numbers[i] = (int64_t) (sink->size / sink->n);
	}
	else if (!dbp_numbers_read(in, sink->n, (int64_t) sink->size, numbers))
		return false;
	for (int i = 0; i < sink->n; i++)
	{
		end += (uint64_t) numbers[i];
		if (end > sink->size)
			return false;
		sink->ends[i] = (uint32_t) end;
	}
	return end == sink->size;
}

static bool
decode_plain(DbpReader in, uint8_t flags, DbpSliceSink *sink)
{
	int64_t *numbers = malloc((size_t) sink->n * sizeof(int64_t));
	bool done = numbers != NULL && read_lengths(&in, flags, sink, numbers) &&
		dbp_payload_read(&in, flags, sink->arena, sink->size);

	free(numbers);
	return done;
}

/* shared: how much each value has from the one before; bytes: room for the rest */
static bool
join_prefixes(DbpReader in, uint8_t flags, DbpSliceSink *sink, const int64_t *shared,
			  uint8_t *bytes)
{
	const uint8_t *from = bytes;
	uint32_t begin = 0;
	uint32_t last_len = 0;
	uint64_t left = sink->size;

	for (int i = 0; i < sink->n; i++)
	{
		uint32_t len = sink->ends[i] - begin;

		if (shared[i] > len || shared[i] > last_len)
			return false;
		left -= (uint64_t) shared[i];
		last_len = len;
		begin = sink->ends[i];
	}
	if (!dbp_payload_read(&in, flags, bytes, left))
		return false;
	begin = 0;
	last_len = 0;
	for (int i = 0; i < sink->n; i++)
	{
		uint32_t len = sink->ends[i] - begin;
		uint32_t rest = len - (uint32_t) shared[i];

		memcpy(sink->arena + begin, sink->arena + begin - last_len, (size_t) shared[i]);
		memcpy(sink->arena + begin + shared[i], from, rest);
		from += rest;
		last_len = len;
		begin = sink->ends[i];
	}
	return true;
}

static bool
decode_prefixes(DbpReader in, uint8_t flags, DbpSliceSink *sink)
{
	int64_t *numbers = malloc((size_t) sink->n * sizeof(int64_t));
	uint8_t *bytes = malloc(sink->size + 1);
	bool done = numbers != NULL && bytes != NULL && read_lengths(&in, flags, sink, numbers) &&
		dbp_numbers_read(&in, sink->n, (int64_t) sink->size, numbers) &&
		join_prefixes(in, flags, sink, numbers, bytes);

	free(numbers);
	free(bytes);
	return done;
}

static bool
may_try(const DbpTrial *trial, DbpSliceKind kind)
{
	return (trial->kinds & DBP_SLICES_BIT(kind)) != 0;
}

/* Is what has been found so good that the rest is not worth its time? */
static bool
is_clear(const DbpTrial *trial, const DbpSliceProfile *profile)
{
	return trial->found && trial->effort < DBP_EFFORT_BEST &&
		trial->best.len < profile->total / CLEAR_RATIO;
}

/* Tries the kinds that are asked for, as far as they can be of use.  false: no memory. */
bool
dbp_slices_try(const DbpSlice *values, int n, DbpTrial *trial)
{
	DbpSliceProfile profile;
	int distinct = n;

	make_profile(values, n, &profile);
	if (profile.equal)
	{
		if (!encode_constant(values, n, trial->effort, &profile, &trial->work))
			return false;
		dbp_trial_consider(trial, "constant");
		return true;
	}
	if (may_try(trial, DBP_SLICES_DICTIONARY) &&
		!dbp_dictionary_try(values, n, &profile, trial, &distinct))
		return false;
	if (trial->found && distinct <= n / CLEAR_REPEATS && trial->effort < DBP_EFFORT_BEST)
		return true;
	if (may_try(trial, DBP_SLICES_TOKENS) && !dbp_tokens_try(values, n, &profile, trial))
		return false;
	if (profile.same_length && !is_clear(trial, &profile) && !dbp_columns_try(values, n, trial))
		return false;
	if (may_try(trial, DBP_SLICES_GROUPS) && !profile.same_length && !is_clear(trial, &profile) &&
		!dbp_groups_try(values, n, &profile, trial))
		return false;
	if (is_clear(trial, &profile))
		return true;
	return try_values(values, n, trial, false, &profile) &&
		(profile.shared <= profile.total / SHARED_WORTH ||
		 try_values(values, n, trial, true, &profile));
}

/* As a part of another chunk: with its length */
bool
dbp_slices_write(DbpBuffer *out, const DbpSlice *values, int n, int effort, DbpSliceKinds kinds)
{
	DbpTrial trial = {.effort = effort, .kinds = kinds};
	bool tried = dbp_slices_try(values, n, &trial);
	size_t begin = out->len;

	return dbp_trial_end(&trial, tried ? out : NULL) && tried && dbp_part_close(out, begin);
}

static bool
decode(DbpReader in, const DbpSliceHead *head, DbpSliceKinds kinds, DbpSliceSink *sink)
{
	kinds &= ~DBP_SLICES_BIT(head->kind);
	switch (head->kind)
	{
		case DBP_SLICES_CONSTANT:
			return decode_constant(in, head->flags, sink);
		case DBP_SLICES_PLAIN:
			return decode_plain(in, head->flags, sink);
		case DBP_SLICES_PREFIX:
			return decode_prefixes(in, head->flags, sink);
		case DBP_SLICES_DICTIONARY:
			return dbp_dictionary_decode(in, kinds, sink);
		case DBP_SLICES_COLUMNS:
			return dbp_columns_decode(in, sink);
		case DBP_SLICES_TOKENS:
			return dbp_tokens_decode(in, kinds, sink);
		case DBP_SLICES_GROUPS:
			return dbp_groups_decode(in, kinds, sink);
		case DBP_SLICES_NUMERIC:
			return dbp_numerics_decode(in, head->flags, kinds, sink);
	}
	return false;
}

/* A part of another chunk, of at most so many bytes: makes the sink, unless it fails */
bool
dbp_slices_read(DbpReader *in, int n, DbpSliceKinds kinds, uint64_t limit, DbpSliceSink *sink)
{
	DbpReader part;
	DbpSliceHead head;

	if (!dbp_part_read(in, &part) || !dbp_head_read(&part, n, kinds, limit, &head) ||
		!dbp_sink_make(sink, n, head.total))
		return false;
	if (decode(part, &head, kinds, sink))
		return true;
	dbp_sink_free(sink);
	return false;
}

bool
dbp_slices_encode(const DbpSlice *values, int n, int effort, DbpBuffer *out)
{
	DbpTrial trial = {.effort = effort, .kinds = DBP_SLICES_ALL};
	bool tried = dbp_slices_try(values, n, &trial);

	return dbp_trial_end(&trial, tried ? out : NULL) && tried;
}

int64_t
dbp_slices_size(const uint8_t *chunk, size_t len, int n, int64_t limit)
{
	DbpReader in = {chunk, len};
	DbpSliceHead head;

	if (limit < 0 || !dbp_head_read(&in, n, DBP_SLICES_ALL, (uint64_t) limit, &head))
		return -1;
	return (int64_t) head.total;
}

bool
dbp_slices_decode(const uint8_t *chunk, size_t len, int n, uint8_t *arena, size_t size,
				  uint32_t *ends)
{
	DbpReader in = {chunk, len};
	DbpSliceSink sink = {n, arena, size, ends};
	DbpSliceHead head;

	return dbp_head_read(&in, n, DBP_SLICES_ALL, size, &head) && head.total == size &&
		decode(in, &head, DBP_SLICES_ALL, &sink);
}

int
dbp_slices_candidates(const DbpSlice *values, int n, int effort, DbpCandidate *candidates, int max)
{
	DbpTrial trial = {.effort = effort,
					  .kinds = DBP_SLICES_ALL,
					  .candidates = candidates,
					  .max = max};

	dbp_slices_try(values, n, &trial);
	dbp_trial_end(&trial, NULL);
	return trial.ncandidates;
}
