/*-------------------------------------------------------------------------
 *
 * column_layout.c
 *		How to take values of one length apart into columns.
 *
 * Nothing here knows types.  Bytes that are the same in all values are told
 * apart, the others are cut into numbers so that the sum of what they would take
 * is the least, which is guessed from a sample.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "codec/columns.h"

/* With more bytes that vary, finding a layout takes long, and there rarely is one */
#define MAX_VARYING 128

/* With more than that, a layout must be good: such a part of the bits that vary */
#define MANY_VARYING 32
#define GOOD_LAYOUT 0.6

/* Fewer values tell nothing */
#define MIN_VALUES 16

/* A sample: runs of values that follow one another */
#define SAMPLE_RUN 32
#define SAMPLE_RUNS 4
#define SAMPLE (SAMPLE_RUN * SAMPLE_RUNS)

/* So few different numbers are for a dictionary */
#define FEW 32

/* A field takes so many bits by itself, a constant one somewhat fewer and those of its bytes */
#define FIELD_BITS 80
#define CONSTANT_BITS 24

/* Doubles are looked for where integers would take more bits than that */
#define DOUBLE_BITS 16

/* Doubles but 0 have exponents near one another and in the middle; anything else rarely has */
#define EXPONENT_RANGE 64

/* What all values have in common at some place */
#define VARIES 0x01
#define LOWER_HEX 0x02
#define CAPITAL_HEX 0x04
#define HEX (LOWER_HEX | CAPITAL_HEX)

typedef struct Sample
{
	int n;
	int all; /* values that it stands for */
	int len;
	uint8_t *bytes; /* of all values in the sample */
	int varying;	/* bytes */
	uint8_t classes[DBP_COLUMNS_MAX_LENGTH];
} Sample;

/* The cheapest way to cut what ends at some place, and its last field */
typedef struct Step
{
	double bits; /* of all fields until there, for each value; negative: none yet */
	DbpField last;
} Step;

static uint64_t
common_divisor(uint64_t a, uint64_t b)
{
	while (b != 0)
	{
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* Numbers of a sample, in short */
typedef struct Summary
{
	int64_t min;
	int64_t max;
	uint64_t divisor;
	int nfew; /* different numbers, up to FEW */
	int64_t delta_bits;
	int ndeltas;
} Summary;

static void
summarise(const int64_t *numbers, int n, Summary *summary)
{
	int64_t few[FEW];

	memset(summary, 0, sizeof(*summary));
	summary->min = summary->max = numbers[0];
	for (int i = 0; i < n; i++)
	{
		uint64_t distance = numbers[i] >= numbers[0]
			? (uint64_t) numbers[i] - (uint64_t) numbers[0]
			: (uint64_t) numbers[0] - (uint64_t) numbers[i];
		int at = 0;

		summary->min = numbers[i] < summary->min ? numbers[i] : summary->min;
		summary->max = numbers[i] > summary->max ? numbers[i] : summary->max;
		if (summary->divisor != 1)
			summary->divisor = common_divisor(distance, summary->divisor);
		if (i % SAMPLE_RUN != 0)
		{
			uint64_t delta = (uint64_t) numbers[i] - (uint64_t) numbers[i - 1];

			summary->delta_bits += dbp_bit_width(dbp_zigzag(delta));
			summary->ndeltas++;
		}
		while (at < summary->nfew && summary->nfew < FEW && few[at] != numbers[i])
			at++;
		if (at == summary->nfew && summary->nfew < FEW)
			few[summary->nfew++] = numbers[i];
	}
}

/* Bits a number that a sample of numbers takes, about */
static double
guess_bits(const int64_t *numbers, int n)
{
	Summary summary;
	int saved;
	double bits;
	double delta_bits;

	summarise(numbers, n, &summary);
	if (summary.divisor == 0)
		return 0;
	saved = dbp_bit_width(summary.divisor) - 1;
	bits = dbp_bit_width((uint64_t) summary.max - (uint64_t) summary.min) - saved;
	if (summary.ndeltas > 0)
	{
		/* exceptions are patched, and what is not takes a bit more than the mean */
		delta_bits = (double) summary.delta_bits / summary.ndeltas + 1 - saved;
		if (delta_bits < bits)
			bits = delta_bits < 1 ? 1 : delta_bits;
	}
	if (summary.nfew < FEW && bits > dbp_bit_width((uint64_t) summary.nfew - 1))
		bits = dbp_bit_width((uint64_t) summary.nfew - 1);
	return bits;
}

static void
get_numbers(const Sample *sample, int at, int what, int64_t *numbers)
{
	for (int i = 0; i < sample->n; i++)
		numbers[i] = dbp_field_get(sample->bytes + (size_t) i * sample->len + at, what);
}

static void
offer(Step *step, double bits, int what, int width)
{
	if (step->bits >= 0 && step->bits <= bits)
		return;
	step->bits = bits;
	step->last.what = (uint8_t) what;
	step->last.width = width;
}

/* begin: the bits of what is before the field */
static void
try_integer(const Sample *sample, int at, int bytes, double begin, Step *step)
{
	int64_t numbers[SAMPLE];

	for (int order = 0; order <= DBP_FIELD_BIG_ENDIAN; order += DBP_FIELD_BIG_ENDIAN)
	{
		int64_t differ = 0;
		int what = order | (bytes - 1);

		get_numbers(sample, at, what, numbers);
		offer(step, begin + guess_bits(numbers, sample->n), what, bytes);
		for (int i = 1; i < sample->n; i++)
			differ |= numbers[i] ^ numbers[0];
		if (bytes < 8 && (differ >> (8 * bytes - 1)) != 0)
		{
			/* some of them would be negative, were they signed */
			for (int i = 0; i < sample->n; i++)
				numbers[i] = dbp_field_extend_sign(numbers[i], bytes);
			offer(step, begin + guess_bits(numbers, sample->n), what | DBP_FIELD_SIGNED, bytes);
		}
		if (bytes == 1)
			break; /* has no order */
	}
}

static bool
may_be_doubles(const int64_t *patterns, int n)
{
	int min = 0x7ff;
	int max = 0;

	for (int i = 0; i < n; i++)
	{
		int exponent = (int) (patterns[i] >> 52) & 0x7ff;

		if (patterns[i] == 0)
			continue;
		min = exponent < min ? exponent : min;
		max = exponent > max ? exponent : max;
	}
	return min > EXPONENT_RANGE && max - min <= EXPONENT_RANGE;
}

static bool
try_double(const Sample *sample, int at, double begin, Step *step)
{
	int what = DBP_FIELD_DOUBLE | DBP_FIELD_NATIVE | 7;
	int64_t numbers[SAMPLE];
	DbpBuffer chunk = {0};
	bool done;

	get_numbers(sample, at, what, numbers);
	if (!may_be_doubles(numbers, sample->n) || guess_bits(numbers, sample->n) <= DOUBLE_BITS)
		return true;
	done = dbp_doubles_encode((const uint64_t *) numbers, sample->n, DBP_EFFORT_FAST, &chunk);
	if (done)
		offer(step, begin + 8.0 * (double) chunk.len / sample->n, what, 8);
	dbp_buffer_free(&chunk);
	return done;
}

/* So many digits, an even number, all of which are hexadecimal */
static void
try_hex(const Sample *sample, int at, int digits, int letters, double begin, Step *step)
{
	int what = DBP_FIELD_HEX | (letters == CAPITAL_HEX ? DBP_FIELD_CAPITAL : 0) | (digits / 2 - 1);
	int64_t numbers[SAMPLE];

	get_numbers(sample, at, what, numbers);
	offer(step, begin + guess_bits(numbers, sample->n), what, digits);
}

/* All fields that end at some place */
static bool
try_fields(const Sample *sample, int end, Step *steps)
{
	const double field_bits = (double) FIELD_BITS / sample->all;
	int all_hex = sample->classes[end - 1] & HEX;
	int all_constant = (sample->classes[end - 1] & VARIES) ^ VARIES;

	for (int width = 1; width <= end && width <= 16; width++)
	{
		int at = end - width;
		int class = sample->classes[at];
		int varies = class & sample->classes[end - 1] & VARIES;

		/* a dash, say, is constant, and no hexadecimal digit */
		all_hex &= class;
		if (all_hex != 0 && width % 2 == 0)
			try_hex(sample, at, width, (all_hex & LOWER_HEX) != 0 ? LOWER_HEX : CAPITAL_HEX,
					steps[at].bits + field_bits, &steps[end]);
		/* of digits, binary numbers are of no use */
		if (varies != 0 && width <= 8 && (width == 1 || (class & HEX) == 0))
			try_integer(sample, at, width, steps[at].bits + field_bits, &steps[end]);
		if (width == 8 && (class & HEX) == 0 &&
			!try_double(sample, at, steps[at].bits + field_bits, &steps[end]))
			return false;
	}
	for (int width = 1; width <= end && all_constant != 0; width++)
	{
		int at = end - width;

		all_constant &= ~sample->classes[at];
		if (all_constant != 0)
			offer(&steps[end], steps[at].bits + (double) (CONSTANT_BITS + 8 * width) / sample->all,
				  DBP_FIELD_CONSTANT, width);
	}
	return true;
}

/* false: no memory */
static bool
cut(const Sample *sample, DbpLayout *layout)
{
	Step steps[DBP_COLUMNS_MAX_LENGTH + 1];
	int nfields = 0;

	steps[0].bits = 0;
	for (int end = 1; end <= sample->len; end++)
	{
		steps[end].bits = -1;
		if (!try_fields(sample, end, steps))
			return false;
	}
	if (sample->varying > MANY_VARYING &&
		steps[sample->len].bits > GOOD_LAYOUT * 8 * sample->varying)
		return true;
	for (int end = sample->len; end > 0; end -= steps[end].last.width)
		nfields++;
	layout->nfields = nfields;
	for (int end = sample->len; end > 0; end -= steps[end].last.width)
		layout->fields[--nfields] = steps[end].last;
	return true;
}

static int
class_of(uint8_t byte)
{
	if (byte >= '0' && byte <= '9')
		return HEX;
	if (byte >= 'a' && byte <= 'f')
		return LOWER_HEX;
	return byte >= 'A' && byte <= 'F' ? CAPITAL_HEX : 0;
}

/* Looks at so many values.  false: too many bytes vary. */
static bool
find_classes(const DbpSlice *values, int n, Sample *sample)
{
	uint8_t hex[256];
	uint8_t differ[DBP_COLUMNS_MAX_LENGTH] = {0};

	sample->varying = 0;
	for (int byte = 0; byte < 256; byte++)
		hex[byte] = (uint8_t) class_of((uint8_t) byte);
	memset(sample->classes, HEX, sizeof(sample->classes));
	for (int i = 0; i < n; i++)
	{
		for (int at = 0; at < sample->len; at++)
		{
			differ[at] |= values[i].data[at] ^ values[0].data[at];
			sample->classes[at] &= hex[values[i].data[at]];
		}
	}
	for (int at = 0; at < sample->len; at++)
	{
		if (differ[at] != 0)
		{
			sample->classes[at] |= VARIES;
			sample->varying++;
		}
	}
	return sample->varying <= MAX_VARYING;
}

static bool
make_sample(const DbpSlice *values, int n, Sample *sample)
{
	size_t len = (size_t) sample->len;

	sample->n = n < SAMPLE ? n : SAMPLE;
	sample->bytes = malloc(len * (size_t) sample->n);
	if (sample->bytes == NULL)
		return false;
	for (int i = 0; i < sample->n; i++)
	{
		int run = i / SAMPLE_RUN;
		int from = n <= SAMPLE ? i : (n - SAMPLE_RUN) / (SAMPLE_RUNS - 1) * run + i % SAMPLE_RUN;

		memcpy(sample->bytes + (size_t) i * len, values[from].data, len);
	}
	return true;
}

bool
dbp_layout_choose(const DbpSlice *values, int n, DbpLayout *layout)
{
	Sample sample = {.all = n, .len = (int) values[0].len};
	bool done;

	/* mostly a few values show that it is too much */
	layout->nfields = 0;
	if (n < MIN_VALUES || values[0].len > DBP_COLUMNS_MAX_LENGTH ||
		!find_classes(values, MIN_VALUES, &sample) || !find_classes(values, n, &sample))
		return true;
	done = make_sample(values, n, &sample) && cut(&sample, layout);
	free(sample.bytes);
	return done;
}
