/*-------------------------------------------------------------------------
 *
 * tokens.c
 *		Text as the numbers in it and what is between them.
 *
 *		number of runs of digits; for each of them a part with what is before
 *		it, how its width is told, perhaps a part with the widths, and a part
 *		with the numbers; a part with what is after the last one
 *
 * Order numbers, addresses, times and messages that programs write differ in
 * their numbers, which as numbers take few bits.  Values may have fewer runs
 * than others: those that lack are of no digits, with nothing before them.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "codec/slices.h"

/* Of a value with more of them, what follows is not looked at any more */
#define MAX_RUNS 16

/* What fits an int64 whatever the digits are; a longer run is two */
#define MAX_DIGITS 18

/*
 * How wide the numbers of one run are: as wide as they need without leading
 * zeros; all of the same width, which then stands here; or as stored.
 */
#define WIDTH_NEEDED 0
#define WIDTH_STORED (MAX_DIGITS + 1)

/* Digits that are a smaller part of the bytes are not worth a try */
#define DIGITS_WORTH 8

/* Tried on so many values first, unless there are hardly more */
#define SAMPLE 512
#define MIN_VALUES 16

/* Long values are not cut up */
#define MAX_TOTAL (4 * 1024 * 1024)

/* Run r of value i has the index i * nruns + r */
typedef struct Runs
{
	const DbpSlice *values;
	int n;
	int nruns;
	uint32_t *begins;
	uint8_t *widths; /* 0: the value has no such run */
} Runs;

static bool
is_digit(uint8_t byte)
{
	return byte >= '0' && byte <= '9';
}

/* The next run from there on; its width, 0 if there is none */
static uint32_t
next_run(const DbpSlice *value, uint32_t at, uint32_t *begin)
{
	uint32_t end;

	while (at < value->len && !is_digit(value->data[at]))
		at++;
	for (end = at; end < value->len && end - at < MAX_DIGITS && is_digit(value->data[end]);)
		end++;
	*begin = at;
	return end - at;
}

/*
 * Runs of the value that has the most; 0: not worth a try.  It is where there
 * are digits enough, and most values have the same number of runs: those of
 * random letters and digits have not.
 */
static int
count_runs(const DbpSlice *values, int n, uint64_t total)
{
	int counts[MAX_RUNS + 1] = {0};
	uint64_t digits = 0;
	int most = 0;
	int common = 0;

	for (int i = 0; i < n; i++)
	{
		uint32_t begin = 0;
		uint32_t width = 0;
		int count = 0;

		while (count < MAX_RUNS && (width = next_run(&values[i], begin + width, &begin)) > 0)
		{
			digits += width;
			count++;
		}
		counts[count]++;
	}
	for (int count = 0; count <= MAX_RUNS; count++)
	{
		most = counts[count] > 0 ? count : most;
		common = counts[count] > common ? counts[count] : common;
	}
	return digits > total / DIGITS_WORTH && common >= n / 2 ? most : 0;
}

static bool
find_runs(Runs *runs)
{
	size_t all = (size_t) runs->n * (size_t) runs->nruns;

	runs->begins = malloc(all * sizeof(uint32_t));
	runs->widths = malloc(all);
	if (runs->begins == NULL || runs->widths == NULL)
		return false;
	for (int i = 0; i < runs->n; i++)
	{
		uint32_t begin = 0;
		uint32_t width = 0;

		for (int r = 0; r < runs->nruns; r++)
		{
			uint32_t end = begin + width;

			width = next_run(&runs->values[i], end, &begin);
			if (width == 0)
				begin = end;
			runs->begins[(size_t) i * runs->nruns + r] = begin;
			runs->widths[(size_t) i * runs->nruns + r] = (uint8_t) width;
		}
	}
	return true;
}

/* What is between run r - 1 and run r of all values, or after the last one */
static bool
write_between(DbpBuffer *out, const Runs *runs, int r, int effort, DbpSliceKinds kinds,
			  DbpSlice *between)
{
	for (int i = 0; i < runs->n; i++)
	{
		const DbpSlice *value = &runs->values[i];
		const uint32_t *begins = &runs->begins[(size_t) i * runs->nruns];
		const uint8_t *widths = &runs->widths[(size_t) i * runs->nruns];
		uint32_t begin = r == 0 ? 0 : begins[r - 1] + widths[r - 1];

		between[i].data = value->data == NULL ? NULL : value->data + begin;
		between[i].len = (r == runs->nruns ? value->len : begins[r]) - begin;
	}
	return dbp_slices_write(out, between, runs->n, effort, kinds);
}

static int
common_width(const Runs *runs, int r)
{
	bool needed = true;
	bool same = true;
	int first = runs->widths[r];

	for (int i = 0; i < runs->n; i++)
	{
		size_t at = (size_t) i * runs->nruns + r;
		int width = runs->widths[at];

		same &= width == first;
		needed &= width == 1 || (width > 1 && runs->values[i].data[runs->begins[at]] != '0');
	}
	return needed ? WIDTH_NEEDED : same && first > 0 ? first : WIDTH_STORED;
}

static bool
write_run(DbpBuffer *out, const Runs *runs, int r, int effort, int64_t *numbers)
{
	int width = common_width(runs, r);

	if (!dbp_append_byte(out, width))
		return false;
	if (width == WIDTH_STORED)
	{
		for (int i = 0; i < runs->n; i++)
			numbers[i] = runs->widths[(size_t) i * runs->nruns + r];
		if (!dbp_numbers_write(out, numbers, runs->n, effort))
			return false;
	}
	for (int i = 0; i < runs->n; i++)
	{
		size_t at = (size_t) i * runs->nruns + r;

		numbers[i] = 0;
		for (int digit = 0; digit < runs->widths[at]; digit++)
			numbers[i] = numbers[i] * 10 + (runs->values[i].data[runs->begins[at] + digit] - '0');
	}
	return dbp_numbers_write(out, numbers, runs->n, effort);
}

static bool
write_tokens(DbpBuffer *out, const Runs *runs, uint64_t total, const DbpTrial *trial)
{
	DbpSliceKinds kinds = trial->kinds & ~DBP_SLICES_BIT(DBP_SLICES_TOKENS);
	int64_t *numbers = malloc((size_t) runs->n * sizeof(int64_t));
	DbpSlice *between = malloc((size_t) runs->n * sizeof(DbpSlice));
	bool done = numbers != NULL && between != NULL &&
		dbp_head_write(out, DBP_SLICES_TOKENS, 0, total) &&
		dbp_append_varint(out, (uint64_t) runs->nruns);

	for (int r = 0; done && r <= runs->nruns; r++)
		done = write_between(out, runs, r, trial->effort, kinds, between) &&
			(r == runs->nruns || write_run(out, runs, r, trial->effort, numbers));
	free(numbers);
	free(between);
	return done;
}

static bool
encode(DbpBuffer *out, const DbpSlice *values, int n, int nruns, uint64_t total,
	   const DbpTrial *trial)
{
	Runs runs = {.values = values, .n = n, .nruns = nruns};
	bool done = find_runs(&runs) && write_tokens(out, &runs, total, trial);

	free(runs.begins);
	free(runs.widths);
	return done;
}

/* Is a sample smaller so than otherwise?  false: no memory. */
static bool
try_sample(const DbpSlice *values, int n, int nruns, const DbpTrial *trial, bool *smaller)
{
	DbpTrial other = {.effort = trial->effort,
					  .kinds = trial->kinds & ~DBP_SLICES_BIT(DBP_SLICES_TOKENS)};
	DbpBuffer out = {0};
	bool done;

	*smaller = n <= 2 * SAMPLE;
	if (*smaller)
		return true;
	values += (n - SAMPLE) / 2;
	done = encode(&out, values, SAMPLE, nruns, 0, trial) && dbp_slices_try(values, SAMPLE, &other);
	if (done)
		*smaller = out.len < other.best.len;
	dbp_buffer_free(&out);
	return dbp_trial_end(&other, NULL) && done;
}

/* false: no memory */
bool
dbp_tokens_try(const DbpSlice *values, int n, const DbpSliceProfile *profile, DbpTrial *trial)
{
	bool smaller;
	int nruns;

	if (n < MIN_VALUES || profile->total > MAX_TOTAL)
		return true;
	nruns = count_runs(values, n, profile->total);
	if (nruns == 0)
		return true;
	if (!try_sample(values, n, nruns, trial, &smaller))
		return false;
	if (!smaller)
		return true;
	if (!encode(&trial->work, values, n, nruns, profile->total, trial))
		return false;
	dbp_trial_consider(trial, "text and numbers");
	return true;
}

/* The tokens of a chunk that is decoded */
typedef struct Tokens
{
	int nruns;
	DbpSliceSink between[MAX_RUNS + 1];
	int64_t *numbers[MAX_RUNS];
	int64_t *widths[MAX_RUNS]; /* NULL: not stored */
	int width[MAX_RUNS];
} Tokens;

static bool
read_run(DbpReader *in, int n, Tokens *tokens, int r)
{
	static const int64_t max_number = INT64_C(999999999999999999);

	if (!dbp_read_byte(in, &tokens->width[r]) || tokens->width[r] > WIDTH_STORED)
		return false;
	if (tokens->width[r] == WIDTH_STORED)
	{
		tokens->widths[r] = malloc((size_t) n * sizeof(int64_t));
		if (tokens->widths[r] == NULL || !dbp_numbers_read(in, n, MAX_DIGITS, tokens->widths[r]))
			return false;
	}
	tokens->numbers[r] = malloc((size_t) n * sizeof(int64_t));
	return tokens->numbers[r] != NULL && dbp_numbers_read(in, n, max_number, tokens->numbers[r]);
}

/* What is between the numbers is all used once, so it is not more than what comes of it. */
static bool
read_tokens(DbpReader *in, DbpSliceKinds kinds, const DbpSliceSink *sink, Tokens *tokens)
{
	size_t left = sink->size;
	size_t count;

	if (!dbp_read_count(in, MAX_RUNS, &count) || count == 0)
		return false;
	tokens->nruns = (int) count;
	for (int r = 0; r <= tokens->nruns; r++)
	{
		if (!dbp_slices_read(in, sink->n, kinds, left, &tokens->between[r]))
			return false;
		left -= tokens->between[r].size;
		if (r < tokens->nruns && !read_run(in, sink->n, tokens, r))
			return false;
	}
	return in->left == 0;
}

/* The digits of a number, the last one before end; where the first one is */
static uint8_t *
put_digits(uint8_t *end, int64_t number, int width)
{
	uint8_t *begin = end;

	while (number > 0 || (width == WIDTH_NEEDED && begin == end))
	{
		*--begin = (uint8_t) ('0' + number % 10);
		number /= 10;
	}
	while (end - begin < width)
		*--begin = '0';
	return begin;
}

static bool
sink_append(DbpSliceSink *sink, size_t *end, const uint8_t *data, size_t len)
{
	if (len > sink->size - *end)
		return false;
	memcpy(sink->arena + *end, data, len);
	*end += len;
	return true;
}

static bool
append_number(DbpSliceSink *sink, size_t *end, const Tokens *tokens, int r, int i)
{
	uint8_t digits[MAX_DIGITS];
	uint8_t *begin;
	int width = tokens->width[r];

	if (width == WIDTH_STORED)
	{
		width = (int) tokens->widths[r][i];
		if (width == 0)
			return tokens->numbers[r][i] == 0;
	}
	begin = put_digits(digits + MAX_DIGITS, tokens->numbers[r][i], width);
	if (width != WIDTH_NEEDED && digits + MAX_DIGITS - begin > width)
		return false;
	return sink_append(sink, end, begin, (size_t) (digits + MAX_DIGITS - begin));
}

static bool
join_tokens(const Tokens *tokens, DbpSliceSink *sink)
{
	size_t end = 0;

	for (int i = 0; i < sink->n; i++)
	{
		for (int r = 0; r <= tokens->nruns; r++)
		{
			DbpSlice between = dbp_sink_value(&tokens->between[r], i);

			if (!sink_append(sink, &end, between.data, between.len) ||
				(r < tokens->nruns && !append_number(sink, &end, tokens, r, i)))
				return false;
		}
		sink->ends[i] = (uint32_t) end;
	}
	return end == sink->size;
}

bool
dbp_tokens_decode(DbpReader in, DbpSliceKinds kinds, DbpSliceSink *sink)
{
	Tokens tokens = {0};
	bool done = read_tokens(&in, kinds, sink, &tokens) && join_tokens(&tokens, sink);

	for (int r = 0; r < MAX_RUNS; r++)
	{
		dbp_sink_free(&tokens.between[r]);
		free(tokens.numbers[r]);
		free(tokens.widths[r]);
	}
	dbp_sink_free(&tokens.between[MAX_RUNS]);
	return done;
}

bool
dbp_tokens_describe(DbpReader in, int n, DbpSliceKinds kinds, DbpText *text)
{
	DbpReader part;
	size_t count;
	int width;

	if (!dbp_read_count(&in, MAX_RUNS, &count))
		return false;
	dbp_text_append(text, "text and %zu numbers", count);
	for (size_t r = 0; r <= count; r++)
	{
		if (!dbp_part_read(&in, &part))
			return false;
		dbp_text_append(text, "; ");
		if (!dbp_text_append_slices(text, part, n, kinds))
			return false;
		if (r == count)
			break;
		if (!dbp_read_byte(&in, &width) || (width == WIDTH_STORED && !dbp_part_read(&in, &part)) ||
			!dbp_part_read(&in, &part))
			return false;
		dbp_text_append(text, "; number: ");
		dbp_text_append_numbers(text, part, n);
	}
	return true;
}
