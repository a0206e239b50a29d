/*-------------------------------------------------------------------------
 *
 * slice_parts.c
 *		What chunks of values of any length are made of.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/general.h"
#include "codec/slices.h"

/* General compression has to save that part of the bytes to be worth its time */
#define WORTH 32

/*
 * A part is a chunk of its own with its length before it.  It is written first:
 * begin is where; then this puts the length there.
 */
bool
dbp_part_close(DbpBuffer *out, size_t begin)
{
	uint8_t length[DBP_VARINT_MAX];
	size_t len = out->len - begin;
	size_t more = (size_t) dbp_varint_put(length, len);

	if (!dbp_buffer_reserve(out, more))
		return false;
	memmove(out->data + begin + more, out->data + begin, len);
	memcpy(out->data + begin, length, more);
	out->len += more;
	return true;
}

bool
dbp_part_read(DbpReader *in, DbpReader *part)
{
	if (!dbp_read_count(in, in->left, &part->left))
		return false;
	part->at = dbp_read_bytes(in, part->left);
	return part->at != NULL;
}

/* Integers as a part */
bool
dbp_numbers_write(DbpBuffer *out, const int64_t *numbers, int n, int effort)
{
	size_t begin = out->len;

	return dbp_ints_encode(numbers, n, effort, out) && dbp_part_close(out, begin);
}

static bool
numbers_within(const int64_t *numbers, int n, int64_t max)
{
	uint64_t outside = 0;

	for (int i = 0; i < n; i++)
		outside |= (uint64_t) numbers[i] > (uint64_t) max;
	return outside == 0;
}

/* All of them from 0 to max */
bool
dbp_numbers_read(DbpReader *in, int n, int64_t max, int64_t *numbers)
{
	DbpReader part;

	return dbp_part_read(in, &part) && dbp_ints_decode(part.at, part.left, n, numbers) &&
		numbers_within(numbers, n, max);
}

/*
 * The bytes that end a chunk, compressed where that pays: the flag is set in
 * the head at that place.  Their number is known from what comes before.
 */
bool
dbp_payload_write(DbpBuffer *out, size_t head, const uint8_t *data, size_t len, int effort,
				  size_t goal)
{
	size_t begin = out->len;

	if (effort >= DBP_EFFORT_DEFAULT && len > WORTH)
	{
		if (!dbp_general_compress_towards(data, len, effort, goal, out))
			return false;
		if (out->len - begin < len - len / WORTH)
		{
			out->data[head] |= DBP_SLICES_COMPRESSED;
			return true;
		}
		out->len = begin;
	}
	return dbp_buffer_append(out, data, len);
}

bool
dbp_payload_read(const DbpReader *in, uint8_t flags, uint8_t *data, size_t len)
{
	if ((flags & DBP_SLICES_COMPRESSED) != 0)
		return dbp_general_decompress(in->at, in->left, data, len);
	if (in->left != len)
		return false;
	if (len > 0)
		memcpy(data, in->at, len);
	return true;
}

bool
dbp_head_write(DbpBuffer *out, DbpSliceKind kind, uint8_t flags, uint64_t total)
{
	return dbp_append_byte(out, (int) kind | flags) && dbp_append_varint(out, total);
}

/* Only a kind out of those, and no larger total than the limit */
bool
dbp_head_read(DbpReader *in, int n, DbpSliceKinds kinds, uint64_t limit, DbpSliceHead *head)
{
	int byte;

	if (n < 0 || n > DBP_CODEC_MAX_VALUES || !dbp_read_byte(in, &byte))
		return false;
	head->kind = (DbpSliceKind) (byte & DBP_SLICES_KIND_MASK);
	head->flags = (uint8_t) (byte & ~DBP_SLICES_KIND_MASK);
	if (limit > DBP_SLICES_MAX_TOTAL)
		limit = DBP_SLICES_MAX_TOTAL;
	return (kinds & DBP_SLICES_BIT(head->kind)) != 0 && dbp_read_count(in, limit, &head->total) &&
		(n > 0 || (head->kind == DBP_SLICES_CONSTANT && head->total == 0));
}

/* Takes what is in trial->work as a candidate. */
void
dbp_trial_consider(DbpTrial *trial, const char *name)
{
	DbpBuffer swap = trial->work;

	if (trial->ncandidates < trial->max)
	{
		DbpCandidate *candidate = &trial->candidates[trial->ncandidates++];

		snprintf(candidate->name, sizeof(candidate->name), "%s", name);
		candidate->bytes = trial->work.len;
	}
	if (!trial->found || trial->work.len < trial->best.len)
	{
		trial->work = trial->best;
		trial->best = swap;
		trial->found = true;
	}
	trial->work.len = 0;
}

static int
compare_candidates(const void *a, const void *b)
{
	const DbpCandidate *x = a;
	const DbpCandidate *y = b;

	return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* Sorts the candidates; appends the best to out, where that is not NULL.  false: no memory. */
bool
dbp_trial_end(DbpTrial *trial, DbpBuffer *out)
{
	bool done = out == NULL || dbp_buffer_append(out, trial->best.data, trial->best.len);

	if (trial->ncandidates > 0)
		qsort(trial->candidates, (size_t) trial->ncandidates, sizeof(DbpCandidate),
			  compare_candidates);
	dbp_buffer_free(&trial->best);
	dbp_buffer_free(&trial->work);
	return done;
}

/* Room for the values of a chunk within another */
bool
dbp_sink_make(DbpSliceSink *sink, int n, size_t size)
{
	sink->n = n;
	sink->size = size;
	sink->arena = malloc(size + 1);
	sink->ends = malloc(((size_t) n + 1) * sizeof(uint32_t));
	if (sink->arena != NULL && sink->ends != NULL)
		return true;
	dbp_sink_free(sink);
	return false;
}

void
dbp_sink_free(DbpSliceSink *sink)
{
	free(sink->arena);
	free(sink->ends);
	memset(sink, 0, sizeof(*sink));
}

/* A value of a sink that is full */
DbpSlice
dbp_sink_value(const DbpSliceSink *sink, int i)
{
	uint32_t begin = i == 0 ? 0 : sink->ends[i - 1];
	DbpSlice value = {sink->arena + begin, sink->ends[i] - begin};

	return value;
}
