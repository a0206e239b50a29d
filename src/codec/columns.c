/*-------------------------------------------------------------------------
 *
 * columns.c
 *		Values of one length, taken apart into columns of numbers.
 *
 *		number of fields; for each field a byte of what it is, and a part
 *
 * A uuid of version 7 is a time and random bits, an interval three integers, a
 * point two doubles, an array of a fixed length a header that never changes
 * and its elements: nothing here knows so.  Bytes that are the same in all
 * values are told apart first.  What is between is cut into integers of one
 * to eight bytes, of either byte order, and doubles, so that the sum of what they
 * would take is the least; that is guessed from a sample.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "codec/slices.h"

/* Longer values, or of more that varies, are rarely made of columns, and to find those takes long */
#define MAX_LENGTH 256
#define MAX_VARYING 64

/* What a field is: its width - 1 in the lowest bits, and flags */
#define FIELD_WIDTH(field) (((field) &0x07) + 1)
#define FIELD_BIG_ENDIAN 0x08
#define FIELD_SIGNED 0x10
#define FIELD_DOUBLE 0x20
/* the same bytes in all values; how many they are follows, and they themselves */
#define FIELD_CONSTANT 0x40
#define FIELD_KNOWN 0x3f

/* A sample: runs of values that follow one another */
#define SAMPLE_RUN 32
#define SAMPLE_RUNS 4
#define SAMPLE (SAMPLE_RUN * SAMPLE_RUNS)

/* Fewer values tell nothing */
#define MIN_VALUES 16

/* So few different numbers are for a dictionary */
#define FEW 32

/* A field takes so many bits by itself */
#define FIELD_BITS 80

/* Doubles are looked for where integers would take more than that */
#define DOUBLE_BITS 16

/* Doubles have exponents near one another; anything else rarely has */
#define EXPONENT_RANGE 64

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define FIELD_NATIVE FIELD_BIG_ENDIAN
#else
#define FIELD_NATIVE 0
#endif

/* Field number i begins where the one before ends */
typedef struct Field
{
	uint8_t what;
	int width;
} Field;

typedef struct Layout
{
	int nfields;
	Field fields[MAX_LENGTH];
} Layout;

typedef struct Sample
{
	int n;
	int all; /* values that it stands for */
	int stride;
	uint8_t *bytes;
} Sample;

/* The cheapest way to cut what ends at some place, and its last field */
typedef struct Step
{
	double bits; /* of all fields until there, for each value */
	Field last;
} Step;

static inline int64_t
extend_sign(int64_t number, int width)
{
	return (int64_t) ((uint64_t) number << (64 - 8 * width)) >> (64 - 8 * width);
}

static inline int64_t
field_get(const uint8_t *at, int width, int what)
{
	uint8_t bytes[8] = {0};
	uint64_t number;

	memcpy(bytes, at, (size_t) width);
	number = dbp_load64(bytes);
	if ((what & FIELD_BIG_ENDIAN) != 0)
		number = __builtin_bswap64(number) >> (64 - 8 * width);
	return (what & FIELD_SIGNED) != 0 ? extend_sign((int64_t) number, width) : (int64_t) number;
}

static inline void
field_put(uint8_t *at, int width, int what, int64_t value)
{
	uint64_t number = (uint64_t) value;
	uint8_t bytes[8];

	if ((what & FIELD_BIG_ENDIAN) != 0)
		number = __builtin_bswap64(number << (64 - 8 * width));
	dbp_store64(bytes, number);
	memcpy(at, bytes, (size_t) width);
}

/* Bits a number that a sample of numbers takes, about */
static double
guess_bits(const int64_t *numbers, int n)
{
	int64_t min = numbers[0];
	int64_t max = numbers[0];
	int64_t few[FEW];
	int nfew = 0;
	int64_t delta_bits = 0;
	int ndeltas = 0;
	double bits;

	for (int i = 0; i < n; i++)
	{
		int at = 0;

		min = numbers[i] < min ? numbers[i] : min;
		max = numbers[i] > max ? numbers[i] : max;
		if (i % SAMPLE_RUN != 0)
		{
			uint64_t delta = (uint64_t) numbers[i] - (uint64_t) numbers[i - 1];

			delta_bits += dbp_bit_width(dbp_zigzag(delta));
			ndeltas++;
		}
		while (at < nfew && nfew < FEW && few[at] != numbers[i])
			at++;
		if (at == nfew && nfew < FEW)
			few[nfew++] = numbers[i];
	}
	bits = dbp_bit_width((uint64_t) max - (uint64_t) min);
	/* exceptions are patched, and deltas need some more than the mean to be few */
	if (ndeltas > 0 && bits > (double) delta_bits / ndeltas + 1)
		bits = (double) delta_bits / ndeltas + 1;
	if (nfew < FEW && bits > dbp_bit_width((uint64_t) nfew - 1))
		bits = dbp_bit_width((uint64_t) nfew - 1);
	return bits;
}

static bool
may_be_doubles(const uint64_t *patterns, int n)
{
	int min = 0x7ff;
	int max = 0;

	for (int i = 0; i < n; i++)
	{
		int exponent = (int) (patterns[i] >> 52) & 0x7ff;

		if (exponent == 0)
			continue;
		min = exponent < min ? exponent : min;
		max = exponent > max ? exponent : max;
	}
	return max - min <= EXPONENT_RANGE;
}

static double
guess_double_bits(const uint64_t *patterns, int n)
{
	DbpBuffer chunk = {0};
	double bits = 64;

	if (may_be_doubles(patterns, n) && dbp_doubles_encode(patterns, n, DBP_EFFORT_FAST, &chunk))
		bits = 8.0 * (double) chunk.len / n;
	dbp_buffer_free(&chunk);
	return bits;
}

static void
take_if_cheaper(double bits, int what, int width, double *best, Field *field)
{
	if (bits >= *best)
		return;
	*best = bits;
	field->what = (uint8_t) (what | (width - 1));
	field->width = width;
}

/* Of all fields of that width from there on the cheapest one */
static double
guess_field(const Sample *sample, int at, int width, Field *field)
{
	int64_t numbers[SAMPLE];
	double best = 65;

	for (int order = 0; order <= FIELD_BIG_ENDIAN; order += FIELD_BIG_ENDIAN)
	{
		int64_t differ = 0;

		for (int i = 0; i < sample->n; i++)
		{
			numbers[i] = field_get(sample->bytes + (size_t) i * sample->stride + at, width, order);
			differ |= numbers[i] ^ numbers[0];
		}
		take_if_cheaper(guess_bits(numbers, sample->n), order, width, &best, field);
		if (width == 8 && order == FIELD_NATIVE && best > DOUBLE_BITS)
			take_if_cheaper(guess_double_bits((const uint64_t *) numbers, sample->n),
							order | FIELD_DOUBLE, width, &best, field);
		if (width < 8 && (differ >> (8 * width - 1)) != 0)
		{
			/* one of them would be negative, were they signed */
			for (int i = 0; i < sample->n; i++)
				numbers[i] = extend_sign(numbers[i], width);
			take_if_cheaper(guess_bits(numbers, sample->n), order | FIELD_SIGNED, width, &best,
							field);
		}
		if (width == 1)
			break; /* has no order */
	}
	return best + (double) FIELD_BITS / sample->all;
}

/* Cuts the bytes from begin to end, none of which is constant. */
static void
cut(const Sample *sample, int begin, int end, Layout *layout)
{
	Step steps[MAX_LENGTH + 1];
	int nfields = 0;
	int at;

	steps[begin].bits = 0;
	for (at = begin + 1; at <= end; at++)
	{
		steps[at].bits = -1;
		for (int width = 1; width <= 8 && width <= at - begin; width++)
		{
			Field field;
			double bits = steps[at - width].bits + guess_field(sample, at - width, width, &field);

			if (steps[at].bits < 0 || bits < steps[at].bits)
			{
				steps[at].bits = bits;
				steps[at].last = field;
			}
		}
	}
	for (at = end; at > begin; at -= steps[at].last.width)
		nfields++;
	layout->nfields += nfields;
	for (at = end, nfields = layout->nfields; at > begin; at -= steps[at].last.width)
		layout->fields[--nfields] = steps[at].last;
}

static bool
make_sample(const DbpSlice *values, int n, Sample *sample)
{
	size_t len = values[0].len;

	sample->all = n;
	sample->n = n < SAMPLE ? n : SAMPLE;
	sample->stride = (int) len;
	sample->bytes = malloc(len * sample->n);
	if (sample->bytes == NULL)
		return false;
	for (int i = 0; i < sample->n; i++)
	{
		int run = i / SAMPLE_RUN;
		int from = n <= SAMPLE ? i : (n - SAMPLE_RUN) / (SAMPLE_RUNS - 1) * run + i % SAMPLE_RUN;

		memcpy(sample->bytes + i * len, values[from].data, len);
	}
	return true;
}

/* varying: which bytes are not the same in all values; returns how many */
static int
find_varying(const DbpSlice *values, int n, uint8_t *varying)
{
	int len = (int) values[0].len;
	int count = 0;

	memset(varying, 0, (size_t) len);
	for (int i = 1; i < n; i++)
		for (int at = 0; at < len; at++)
			varying[at] |= values[i].data[at] ^ values[0].data[at];
	for (int at = 0; at < len; at++)
		count += varying[at] != 0;
	return count;
}

static void
make_layout(const Sample *sample, const uint8_t *varying, Layout *layout)
{
	int len = sample->stride;
	int end;

	layout->nfields = 0;
	for (int begin = 0; begin < len; begin = end)
	{
		for (end = begin + 1; end < len && (varying[end] != 0) == (varying[begin] != 0);)
			end++;
		if (varying[begin] != 0)
			cut(sample, begin, end, layout);
		else
		{
			layout->fields[layout->nfields].what = FIELD_CONSTANT;
			layout->fields[layout->nfields++].width = end - begin;
		}
	}
}

static bool
write_field(DbpBuffer *out, const DbpSlice *values, int n, int effort, int at, const Field *field,
			int64_t *numbers)
{
	size_t begin;

	if (!dbp_append_byte(out, field->what))
		return false;
	if (field->what == FIELD_CONSTANT)
		return dbp_append_varint(out, (uint64_t) field->width) &&
			dbp_buffer_append(out, values[0].data + at, (size_t) field->width);
	for (int i = 0; i < n; i++)
		numbers[i] = field_get(values[i].data + at, field->width, field->what);
	if ((field->what & FIELD_DOUBLE) == 0)
		return dbp_numbers_write(out, numbers, n, effort);
	begin = out->len;
	return dbp_doubles_encode((const uint64_t *) numbers, n, effort, out) &&
		dbp_part_close(out, begin);
}

static bool
write_columns(DbpBuffer *out, const DbpSlice *values, int n, int effort, const Layout *layout)
{
	int64_t *numbers = malloc((size_t) n * sizeof(int64_t));
	bool done = numbers != NULL &&
		dbp_head_write(out, DBP_SLICES_COLUMNS, 0, (uint64_t) values[0].len * n) &&
		dbp_append_varint(out, (uint64_t) layout->nfields);

	for (int i = 0, at = 0; done && i < layout->nfields; at += layout->fields[i++].width)
		done = write_field(out, values, n, effort, at, &layout->fields[i], numbers);
	free(numbers);
	return done;
}

/* For values of one length only.  false: no memory. */
bool
dbp_columns_try(const DbpSlice *values, int n, DbpTrial *trial)
{
	uint8_t varying[MAX_LENGTH];
	Sample sample;
	Layout layout;

	if (n < MIN_VALUES || values[0].len > MAX_LENGTH ||
		find_varying(values, n, varying) > MAX_VARYING)
		return true;
	if (!make_sample(values, n, &sample))
		return false;
	make_layout(&sample, varying, &layout);
	free(sample.bytes);
	if (!write_columns(&trial->work, values, n, trial->effort, &layout))
		return false;
	dbp_trial_consider(trial, "columns");
	return true;
}

/* Decodes one field to its place in all values, which are len bytes each. */
static bool
read_field(DbpReader *in, DbpSliceSink *sink, size_t at, size_t len, int64_t *numbers,
		   size_t *width)
{
	const uint8_t *constant;
	DbpReader part;
	int what;

	if (!dbp_read_byte(in, &what))
		return false;
	if (what == FIELD_CONSTANT)
	{
		if (!dbp_read_count(in, len - at, width) || (constant = dbp_read_bytes(in, *width)) == NULL)
			return false;
		for (int i = 0; i < sink->n; i++)
			memcpy(sink->arena + i * len + at, constant, *width);
		return *width > 0;
	}
	*width = FIELD_WIDTH(what);
	if ((what & ~FIELD_KNOWN) != 0 || *width > len - at || !dbp_part_read(in, &part))
		return false;
	if ((what & FIELD_DOUBLE) != 0
			? *width != 8 || !dbp_doubles_decode(part.at, part.left, sink->n, (uint64_t *) numbers)
			: !dbp_ints_decode(part.at, part.left, sink->n, numbers))
		return false;
	for (int i = 0; i < sink->n; i++)
		field_put(sink->arena + i * len + at, (int) *width, what, numbers[i]);
	return true;
}

bool
dbp_columns_decode(DbpReader in, DbpSliceSink *sink)
{
	size_t len = sink->size / sink->n;
	int64_t *numbers;
	size_t nfields;
	size_t at = 0;
	bool done;

	if (len * sink->n != sink->size || len > MAX_LENGTH || !dbp_read_count(&in, len, &nfields))
		return false;
	numbers = malloc((size_t) sink->n * sizeof(int64_t));
	done = numbers != NULL;
	for (size_t i = 0, width = 0; done && i < nfields; i++, at += width)
		done = read_field(&in, sink, at, len, numbers, &width);
	free(numbers);
	for (int i = 0; i < sink->n; i++)
		sink->ends[i] = (uint32_t) ((i + 1) * len);
	return done && at == len && in.left == 0;
}

bool
dbp_columns_describe(DbpReader in, int n, DbpText *text)
{
	size_t nfields;
	size_t width;
	DbpReader part;
	int what;
	char numbers[64];

	if (!dbp_read_count(&in, MAX_LENGTH, &nfields))
		return false;
	dbp_text_append(text, "%zu columns", nfields);
	for (size_t i = 0; i < nfields; i++)
	{
		if (!dbp_read_byte(&in, &what))
			return false;
		if (what == FIELD_CONSTANT)
		{
			if (!dbp_read_count(&in, MAX_LENGTH, &width) || dbp_read_bytes(&in, width) == NULL)
				return false;
			dbp_text_append(text, "; %zu constant", width);
			continue;
		}
		if (!dbp_part_read(&in, &part))
			return false;
		dbp_chunk_describe((what & FIELD_DOUBLE) != 0 ? DBP_FAMILY_DOUBLE : DBP_FAMILY_INT, part.at,
						   part.left, n, numbers, sizeof(numbers));
		dbp_text_append(text, "; %d %s: %s", FIELD_WIDTH(what),
						(what & FIELD_DOUBLE) != 0 ? "double" : "bytes", numbers);
	}
	return true;
}
