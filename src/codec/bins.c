/*-------------------------------------------------------------------------
 *
 * bins.c
 *		Integers as bins and offsets within them.
 *
 * The values, or their differences, are sorted into bins: ranges whose size is
 * a power of two.  Which bin is coded in as many bits as its frequency says
 * (ans.c), and the offset in the bin in plain bits.  That takes about as many
 * bits as the values have entropy, be they a few different ones or spread over
 * any smooth distribution.  Compare pcodec, by M. Loncaric, which chooses its
 * bins in another way.
 *
 * Distances from a centre, the smallest value or one in the midst, make one or
 * two binary tries whose leaves are the bins: a range [0, 2^k) is a leaf, or
 * has no values, or is split in two halves of which the same can be said.
 * Where to stop is decided from below: two halves become one bin if that takes
 * no more bits, with the description of the bins counted in.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>

#include "codec/ans.h"
#include "codec/bins.h"
#include "codec/bitpack.h"

#define MAX_BINS DBP_ANS_MAX_SYMBOLS

/* flags, centre and first values */
#define ORDER_MASK 0x03
#define TWO_SIDED 0x04
#define LOG_SHIFT 3
#define MAX_HEADER (1 + (DBP_BINS_MAX_ORDER + 1) * DBP_VARINT_MAX)

/*
 * Distances are counted in cells first, as floating-point numbers with so many
 * bits after the first; when all are small, each has a cell of its own.
 */
#define CELL_BITS 6
#define EXACT_BITS 12

/* Width of a trie, at most 64 */
#define WIDTH_BITS 7

/* What the nodes of a trie are: 0 a leaf, 10 split, 11 empty; single values: 0 there, 1 not */
#define NODE_LEAF 0
#define NODE_SPLIT 1
#define NODE_EMPTY 3

typedef struct Bin
{
	uint64_t lower;
	uint32_t count;
	uint8_t bits;
} Bin;

/* One of the two directions from the centre */
typedef struct Side
{
	uint64_t max;
	int first; /* its first cell */
	int begin; /* its first bin */
	int end;
} Side;

typedef struct Encoder
{
	int n;
	int order;
	bool two_sided;
	uint64_t centre;
	uint64_t firsts[DBP_BINS_MAX_ORDER];
	uint64_t *residuals;
	uint16_t *symbols; /* first the cells, then the bins */
	int cell_bits;
	int ncells;
	uint32_t *below;	/* values in cells before this one */
	uint16_t *cell_bin; /* the bin of each cell */
	Side sides[2];
	Bin bins[MAX_BINS];
	uint64_t lowest[MAX_BINS]; /* the bins' lowest values, not distances */
	int nbins;
	int log;
	uint16_t freqs[MAX_BINS];
	float log2_n;
	float bin_cost;
} Encoder;

static inline int
cell_of(uint64_t distance, int cell_bits)
{
	int width = dbp_bit_width(distance);
	int shift = width > cell_bits + 1 ? width - 1 - cell_bits : 0;

	return (int) (((uint64_t) shift << cell_bits) + (distance >> shift));
}

static inline uint64_t
distance_of(uint64_t residual, uint64_t centre, int *side)
{
	uint64_t distance = residual - centre;

	*side = (int64_t) distance < 0;
	return *side ? ~distance : distance;
}

static void
take_differences(const uint64_t *values, Encoder *encoder)
{
	uint64_t *to = encoder->residuals;
	int n = encoder->n;

	switch (encoder->order)
	{
		case 0:
			memcpy(to, values, (size_t) n * sizeof(*to));
			break;
		case 1:
			encoder->firsts[0] = values[0];
			for (int i = 0; i < n; i++)
				to[i] = values[i + 1] - values[i];
			break;
		default:
			encoder->firsts[0] = values[0];
			encoder->firsts[1] = values[1] - values[0];
			for (int i = 0; i < n; i++)
				to[i] = values[i + 2] - 2 * values[i + 1] + values[i];
			break;
	}
}

/* The bits that values with such widths take, with what it takes to say which width */
static float
widths_cost(const uint32_t *widths, int n, uint32_t total)
{
	float cost = 0;

	for (int i = 0; i < n; i++)
	{
		int width = i % 65;

		if (widths[i] > 0)
			cost += (float) widths[i] *
				((float) (width > 0 ? width - 1 : 0) + dbp_rough_log2(total) -
				 dbp_rough_log2(widths[i]));
	}
	return cost;
}

/* The same for packing them in one width, with patches */
static float
packed_cost(const uint32_t *widths, uint32_t total)
{
	int widest = 64;
	uint32_t more = 0;
	float best;

	while (widest > 0 && widths[widest] == 0)
		widest--;
	best = (float) widest * (float) total;
	for (int width = widest - 1; width >= 0; width--)
	{
		float cost;

		more += widths[width + 1];
		cost = (float) width * (float) total + (float) more * (float) (10 + widest - width);
		best = cost < best ? cost : best;
	}
	return best;
}

#define MEDIAN_OF 31

/* Nearly: of every so-many-th value */
static uint64_t
find_median(const uint64_t *values, int n)
{
	int64_t sorted[MEDIAN_OF] = {0};
	int nsorted = 0;
	int step = n / MEDIAN_OF + 1;

	for (int i = 0; i < n; i += step)
	{
		int64_t value = (int64_t) values[i];
		int at = nsorted++;

		for (; at > 0 && sorted[at - 1] > value; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = value;
	}
	return (uint64_t) sorted[nsorted / 2];
}

/* From the smallest value up, or from the median both ways? Every so-many-th value tells. */
static bool
is_two_sided(const uint64_t *values, int n, int step, uint64_t min, uint64_t median,
			 DbpBinsEstimate *estimate)
{
	uint32_t one[65] = {0};
	uint32_t two[130] = {0};
	uint32_t counted = 0;
	float from_min;
	float from_median;
	float packed;

	for (int i = 0; i < n; i += step)
	{
		int side;
		uint64_t distance = distance_of(values[i], median, &side);

		one[dbp_bit_width(values[i] - min)]++;
		two[dbp_bit_width(distance) + 65 * side]++;
		counted++;
	}
	from_min = widths_cost(one, 65, counted);
	from_median = widths_cost(two, 130, counted);
	if (estimate != NULL)
	{
		estimate->bins = (from_median < from_min ? from_median : from_min) / (float) counted;
		estimate->packed = packed_cost(one, counted) / (float) counted;
		/* a sign more */
		for (int i = 0; i < 65; i++)
			two[i] += two[i + 65];
		packed = packed_cost(two, counted) / (float) counted + 1;
		estimate->packed = packed < estimate->packed ? packed : estimate->packed;
	}
	return from_median < from_min;
}

/* Whether the values, or which differences of them, suits best is estimated from blocks of them */
#define BLOCKS 8
#define BLOCK 130

void
dbp_bins_estimate(const uint64_t *values, int n, DbpBinsEstimate *estimates)
{
	uint64_t sample[DBP_BINS_MAX_ORDER + 1][BLOCKS * BLOCK];
	int block = n < BLOCKS * BLOCK ? n : BLOCK;
	int nblocks = n < BLOCKS * BLOCK ? 1 : BLOCKS;
	int nsample = 0;

	for (int i = 0; i < nblocks; i++)
	{
		const uint64_t *from = values + (size_t) i * (size_t) (n / nblocks);

		for (int j = DBP_BINS_MAX_ORDER; j < block; j++)
		{
			sample[0][nsample] = from[j];
			sample[1][nsample] = from[j] - from[j - 1];
			sample[2][nsample] = from[j] - 2 * from[j - 1] + from[j - 2];
			nsample++;
		}
	}
	for (int order = 0; order <= DBP_BINS_MAX_ORDER; order++)
	{
		int64_t min = INT64_MAX;

		for (int i = 0; i < nsample; i++)
			min = (int64_t) sample[order][i] < min ? (int64_t) sample[order][i] : min;
		estimates[order].bins = estimates[order].packed = 64;
		if (nsample > 0)
			is_two_sided(sample[order], nsample, 1, (uint64_t) min,
						 find_median(sample[order], nsample), &estimates[order]);
	}
}

static void
choose_centre(Encoder *encoder)
{
	int64_t min = INT64_MAX;
	int64_t max = INT64_MIN;
	uint64_t median;
	bool wraps;

	for (int i = 0; i < encoder->n; i++)
	{
		int64_t value = (int64_t) encoder->residuals[i];

		min = value < min ? value : min;
		max = value > max ? value : max;
	}
	median = find_median(encoder->residuals, encoder->n);
	wraps = (uint64_t) max - (uint64_t) min > INT64_MAX;
	encoder->two_sided = wraps ||
		is_two_sided(encoder->residuals, encoder->n, encoder->n / 256 + 1, (uint64_t) min, median,
					 NULL);
	encoder->two_sided &= wraps || median != (uint64_t) min;
	encoder->centre = encoder->two_sided ? median : (uint64_t) min;
	encoder->sides[0].max = wraps ? INT64_MAX : (uint64_t) max - encoder->centre;
	encoder->sides[1].max = wraps ? INT64_MAX : ~((uint64_t) min - encoder->centre);
}

/* symbols[] and below[]; false: no memory */
static bool
count_cells(Encoder *encoder)
{
	int nsides = encoder->two_sided ? 2 : 1;
	uint64_t widest = encoder->sides[0].max;
	uint32_t sum = 0;

	if (nsides == 2 && encoder->sides[1].max > widest)
		widest = encoder->sides[1].max;
	encoder->cell_bits = widest >> (EXACT_BITS + 1) == 0 ? EXACT_BITS : CELL_BITS;
	encoder->ncells = 0;
	for (int i = 0; i < nsides; i++)
	{
		encoder->sides[i].first = encoder->ncells;
		encoder->ncells += cell_of(encoder->sides[i].max, encoder->cell_bits) + 1;
	}
	encoder->below = calloc((size_t) encoder->ncells + 1, sizeof(*encoder->below));
	encoder->cell_bin = malloc((size_t) encoder->ncells * sizeof(*encoder->cell_bin));
	if (encoder->below == NULL || encoder->cell_bin == NULL)
		return false;
	for (int i = 0; i < encoder->n; i++)
	{
		int side;
		uint64_t distance = distance_of(encoder->residuals[i], encoder->centre, &side);
		int cell = cell_of(distance, encoder->cell_bits) + encoder->sides[side].first;

		encoder->symbols[i] = (uint16_t) cell;
		encoder->below[cell + 1]++;
	}
	for (int i = 0; i <= encoder->ncells; i++)
		encoder->below[i] = sum += encoder->below[i];
	return true;
}

/* Below that the cells do not tell values apart */
static int
floor_bits(uint64_t lower, int cell_bits)
{
	int width = dbp_bit_width(lower);

	return width > cell_bits + 1 ? width - 1 - cell_bits : 0;
}

/*
 * The bins of the distances [lower, lower + 2^bits) that lie in the cells
 * [from, to): appends them, and returns how many bits all that takes.
 */
static float
make_bins(Encoder *encoder, int side, uint64_t lower, int bits, int from, int to)
{
	uint32_t count = encoder->below[to] - encoder->below[from];
	int before = encoder->nbins;
	float one = 1;
	float two = 2;

	if (count == 0)
		return bits > 0 ? 2 : 1;
	/* the bin's frequency takes some bits, too */
	one += (float) count * (encoder->log2_n - dbp_rough_log2(count) + (float) bits) +
		encoder->bin_cost + (float) (count >= 32 ? 4 : dbp_bit_width(count) - 1);
	if (count > 1 && bits > floor_bits(lower, encoder->cell_bits))
	{
		uint64_t middle = lower + (UINT64_C(1) << (bits - 1));
		int cell = encoder->sides[side].first + cell_of(middle, encoder->cell_bits);

		/* the cells end with the largest distance, the trie perhaps later */
		if (cell > to)
			cell = to;
		two += make_bins(encoder, side, lower, bits - 1, from, cell);
		two += make_bins(encoder, side, middle, bits - 1, cell, to);
		if (two < one && encoder->nbins <= MAX_BINS)
			return two;
	}
	encoder->nbins = before;
	if (encoder->nbins < MAX_BINS)
	{
		Bin *bin = &encoder->bins[encoder->nbins];

		bin->lower = lower;
		bin->bits = (uint8_t) bits;
		bin->count = count;
		for (int i = from; i < to; i++)
			encoder->cell_bin[i] = (uint16_t) encoder->nbins;
	}
	encoder->nbins++;
	return one;
}

static void
choose_bins(Encoder *encoder)
{
	encoder->log2_n = dbp_rough_log2((uint32_t) encoder->n);
	encoder->bin_cost = 2;
	do
	{
		encoder->nbins = 0;
		for (int i = 0; i <= encoder->two_sided; i++)
		{
			Side *side = &encoder->sides[i];

			side->begin = encoder->nbins;
			make_bins(encoder, i, 0, dbp_bit_width(side->max), side->first,
					  i == 0 && encoder->two_sided ? encoder->sides[1].first : encoder->ncells);
			side->end = encoder->nbins;
		}
		encoder->bin_cost *= 2;
	} while (encoder->nbins > MAX_BINS);
}

/* A node of the trie as bits; *next: the first bin that is not written yet */
static void
put_node(const Encoder *encoder, int end, uint64_t lower, int bits, int *next, DbpBitWriter *out)
{
	const Bin *bin = &encoder->bins[*next];

	if (*next == end || (bits < 64 && bin->lower - lower >= UINT64_C(1) << bits))
		dbp_bits_put(out, bits > 0 ? NODE_EMPTY : 1, bits > 0 ? 2 : 1);
	else if (bin->lower == lower && bin->bits == bits)
	{
		dbp_bits_put(out, NODE_LEAF, 1);
		(*next)++;
	}
	else
	{
		dbp_bits_put(out, NODE_SPLIT, 2);
		put_node(encoder, end, lower, bits - 1, next, out);
		put_node(encoder, end, lower + (UINT64_C(1) << (bits - 1)), bits - 1, next, out);
	}
}

/* As distances on their side, to the lowest values of the bins */
static uint64_t
lowest_value(uint64_t lower, int bits, int side, uint64_t centre)
{
	return centre + (side == 0 ? lower : ~(lower + dbp_low_bits(bits)));
}

/* The bits of the node's description are at most this: all nodes are ancestors of bins */
static size_t
header_room(const Encoder *encoder)
{
	return MAX_HEADER + ((size_t) encoder->nbins + 2) * (64 * 4 + 32) / 8 + 16;
}

static uint8_t *
put_header(Encoder *encoder, uint8_t *at)
{
	DbpBitWriter out = {0};

	*at++ = (uint8_t) (encoder->order | (encoder->two_sided ? TWO_SIDED : 0) |
					   (encoder->log - DBP_ANS_MIN_LOG) << LOG_SHIFT);
	at += dbp_varint_put(at, dbp_zigzag(encoder->centre));
	for (int i = 0; i < encoder->order; i++)
		at += dbp_varint_put(at, dbp_zigzag(encoder->firsts[i]));
	out.at = at;
	for (int i = 0; i <= encoder->two_sided; i++)
	{
		int next = encoder->sides[i].begin;
		int width = dbp_bit_width(encoder->sides[i].max);

		dbp_bits_put(&out, (uint64_t) width, WIDTH_BITS);
		put_node(encoder, encoder->sides[i].end, 0, width, &next, &out);
	}
	dbp_ans_put_freqs(encoder->freqs, encoder->nbins, encoder->log, &out);
	return dbp_bits_end(&out);
}

/* The offsets of all values, as the bins' lower ends and widths tell */
static uint8_t *
put_offsets(const Encoder *encoder, uint8_t *at)
{
	DbpBitWriter out = {.at = at};

	for (int i = 0; i < encoder->n; i++)
	{
		int bin = encoder->symbols[i];
		uint64_t offset = encoder->residuals[i] - encoder->lowest[bin];
		int bits = encoder->bins[bin].bits;

		if (bits > 56)
		{
			dbp_bits_put(&out, offset & 0xffffffff, 32);
			offset >>= 32;
			bits -= 32;
		}
		dbp_bits_put(&out, offset, bits);
	}
	return dbp_bits_end(&out);
}

/* How many bytes everything but the header takes, nearly */
static size_t
payload_size(const Encoder *encoder)
{
	float bits = 0;

	for (int i = 0; i < encoder->nbins; i++)
		bits += (float) encoder->bins[i].count *
			((float) (encoder->bins[i].bits + encoder->log) - dbp_rough_log2(encoder->freqs[i]));
	return (size_t) (bits / 8);
}

static bool
write_bins(Encoder *encoder, DbpBuffer *out)
{
	size_t header = header_room(encoder);
	size_t coded_room = 2 * (size_t) encoder->n + 16;
	size_t coded = 0;
	uint8_t *at;

	/* the coded bins grow downwards, and wait behind the room for offsets */
	if (!dbp_buffer_reserve(out, header + (size_t) encoder->n * 8 + 16 + coded_room))
		return false;
	at = put_header(encoder, out->data + out->len);
	if (encoder->nbins > 1)
	{
		coded = dbp_ans_encode(encoder->symbols, encoder->n, encoder->freqs, encoder->nbins,
							   encoder->log, out->data + out->size - coded_room, coded_room);
		at += dbp_varint_put(at, coded);
		memmove(at, out->data + out->size - coded, coded);
		at += coded;
	}
	at = put_offsets(encoder, at);
	out->len = (size_t) (at - out->data);
	return true;
}

static bool
encode(Encoder *encoder, const uint64_t *values, size_t limit, DbpBuffer *out, bool *done)
{
	uint32_t counts[MAX_BINS];

	take_differences(values, encoder);
	choose_centre(encoder);
	if (!count_cells(encoder))
		return false;
	choose_bins(encoder);
	for (int i = 0; i < encoder->nbins; i++)
		counts[i] = encoder->bins[i].count;
	encoder->log = dbp_ans_log(encoder->n, encoder->nbins);
	dbp_ans_normalize(counts, encoder->nbins, encoder->n, encoder->log, encoder->freqs);
	*done = payload_size(encoder) < limit;
	if (!*done)
		return true;
	for (int i = 0; i < encoder->n; i++)
		encoder->symbols[i] = encoder->cell_bin[encoder->symbols[i]];
	for (int side = 0; side <= encoder->two_sided; side++)
	{
		for (int i = encoder->sides[side].begin; i < encoder->sides[side].end; i++)
			encoder->lowest[i] =
				lowest_value(encoder->bins[i].lower, encoder->bins[i].bits, side, encoder->centre);
	}
	return write_bins(encoder, out);
}

bool
dbp_bins_encode(const uint64_t *values, int n, int order, size_t limit, DbpBuffer *out, bool *done)
{
	Encoder *encoder = malloc(sizeof(*encoder));
	bool good = false;

	*done = false;
	if (encoder == NULL)
		return false;
	encoder->n = n - order;
	encoder->order = order;
	encoder->below = NULL;
	encoder->cell_bin = NULL;
	encoder->residuals = malloc((size_t) encoder->n * sizeof(*encoder->residuals));
	encoder->symbols = malloc((size_t) encoder->n * sizeof(*encoder->symbols));
	if (encoder->residuals != NULL && encoder->symbols != NULL)
		good = encode(encoder, values, limit, out, done);
	free(encoder->residuals);
	free(encoder->symbols);
	free(encoder->below);
	free(encoder->cell_bin);
	free(encoder);
	return good;
}

typedef struct Decoder
{
	int order;
	int log;
	int nbins;
	bool narrow; /* no offset takes more bits than one load always has */
	int sides;
	uint64_t centre;
	uint64_t firsts[DBP_BINS_MAX_ORDER];
	uint64_t lowest[MAX_BINS];
	uint8_t bits[MAX_BINS];
	uint16_t freqs[MAX_BINS];
} Decoder;

static bool
get_node(Decoder *decoder, int side, uint64_t lower, int bits, DbpBitReader *in)
{
	if (dbp_bits_get(in, 1) == 0)
	{
		if (decoder->nbins == MAX_BINS || in->over)
			return false;
		decoder->lowest[decoder->nbins] = lowest_value(lower, bits, side, decoder->centre);
		decoder->bits[decoder->nbins++] = (uint8_t) bits;
		if (bits > 56)
			decoder->narrow = false;
		return true;
	}
	if (bits == 0 || dbp_bits_get(in, 1) != 0)
		return true;
	return get_node(decoder, side, lower, bits - 1, in) &&
		get_node(decoder, side, lower + (UINT64_C(1) << (bits - 1)), bits - 1, in);
}

static bool
get_header(DbpReader *in, int n, Decoder *decoder)
{
	int flags;
	DbpBitReader bits = {0};

	if (!dbp_read_byte(in, &flags) || !dbp_read_varint(in, &decoder->centre))
		return false;
	decoder->order = flags & ORDER_MASK;
	decoder->log = (flags >> LOG_SHIFT) + DBP_ANS_MIN_LOG;
	decoder->sides = (flags & TWO_SIDED) != 0 ? 2 : 1;
	decoder->nbins = 0;
	decoder->narrow = true;
	decoder->centre = dbp_unzigzag(decoder->centre);
	if (decoder->order > DBP_BINS_MAX_ORDER || decoder->order >= n ||
		decoder->log > DBP_ANS_MAX_LOG)
		return false;
	for (int i = 0; i < decoder->order; i++)
	{
		if (!dbp_read_varint(in, &decoder->firsts[i]))
			return false;
		decoder->firsts[i] = dbp_unzigzag(decoder->firsts[i]);
	}
	bits.at = in->at;
	bits.end = in->at + in->left;
	for (int i = 0; i < decoder->sides; i++)
	{
		int width = (int) dbp_bits_get(&bits, WIDTH_BITS);

		if (width > 64 || !get_node(decoder, i, 0, width, &bits))
			return false;
	}
	if (decoder->nbins == 0 ||
		!dbp_ans_get_freqs(&bits, decoder->nbins, decoder->log, decoder->freqs))
		return false;
	return dbp_read_bytes(in, (size_t) (bits.at - in->at)) != NULL;
}

/* What is left of the input to be read as offsets, from this bit on */
typedef struct Offsets
{
	const uint8_t *bytes;
	size_t len;
	size_t bit;
} Offsets;

static uint64_t
get_wide(const uint8_t *bytes, size_t bit, int width)
{
	uint64_t value = dbp_load64(bytes + bit / 8) >> bit % 8;

	if (bit % 8 + (size_t) width > 64)
		value |= (uint64_t) bytes[bit / 8 + 8] << (64 - bit % 8);
	return value & dbp_low_bits(width);
}

/* Up to a vector of values, of which the bins are known */
static bool
get_values(const Decoder *decoder, const uint16_t *symbols, int n, Offsets *offsets,
		   uint64_t *values)
{
	uint8_t copy[DBP_VECTOR * 8 + 32];
	const uint8_t *bytes = offsets->bytes + offsets->bit / 8;
	size_t bit = offsets->bit % 8;
	size_t end = bit;
	size_t left = offsets->len - offsets->bit / 8;

	for (int i = 0; i < n; i++)
		end += decoder->bits[symbols[i]];
	if ((end + 7) / 8 > left)
		return false;
	/* loads reach up to nine bytes beyond */
	if (end / 8 + 9 > left)
	{
		memcpy(copy, bytes, left);
		memset(copy + left, 0, 16);
		bytes = copy;
	}
	offsets->bit += end - bit;
	if (decoder->narrow)
	{
		for (int i = 0; i < n; i++)
		{
			int bits = decoder->bits[symbols[i]];
			uint64_t offset = dbp_load64(bytes + bit / 8) >> bit % 8;

			values[i] = decoder->lowest[symbols[i]] + (offset & ((UINT64_C(1) << bits) - 1));
			bit += (size_t) bits;
		}
		return true;
	}
	for (int i = 0; i < n; i++)
	{
		int bits = decoder->bits[symbols[i]];

		values[i] = decoder->lowest[symbols[i]] + get_wide(bytes, bit, bits);
		bit += (size_t) bits;
	}
	return true;
}

static bool
get_all(DbpReader *in, const Decoder *decoder, const DbpAnsSlot *slots, int n, uint64_t *values)
{
	uint16_t symbols[DBP_VECTOR] = {0};
	DbpAnsDecoder ans;
	Offsets offsets = {0};

	if (slots != NULL)
	{
		size_t coded;
		const uint8_t *bytes;

		if (!dbp_read_count(in, in->left, &coded))
			return false;
		bytes = dbp_read_bytes(in, coded);
		if (bytes == NULL || !dbp_ans_begin(&ans, slots, decoder->log, n, bytes, coded))
			return false;
	}
	offsets.bytes = in->at;
	offsets.len = in->left;
	for (int from = 0; from < n; from += DBP_VECTOR)
	{
		int count = n - from < DBP_VECTOR ? n - from : DBP_VECTOR;

		if ((slots != NULL && !dbp_ans_next(&ans, count, symbols)) ||
			!get_values(decoder, symbols, count, &offsets, values + from))
			return false;
	}
	return (slots == NULL || dbp_ans_finished(&ans)) && (offsets.bit + 7) / 8 == offsets.len;
}

static void
sum_up(uint64_t *values, int from, int n)
{
	uint64_t sum = values[from - 1];

	for (int i = from; i < n; i++)
		values[i] = sum += values[i];
}

static bool
decode(Decoder *decoder, DbpReader *in, int n, uint64_t *values)
{
	DbpAnsSlot *slots = NULL;
	bool good;

	if (!get_header(in, n, decoder))
		return false;
	if (decoder->nbins > 1)
	{
		slots = malloc(sizeof(*slots) << decoder->log);
		if (slots == NULL)
			return false;
		dbp_ans_slots(decoder->freqs, decoder->nbins, decoder->log, slots);
	}
	good = get_all(in, decoder, slots, n - decoder->order, values + decoder->order);
	free(slots);
	if (!good)
		return false;
	for (int i = 0; i < decoder->order; i++)
		values[i] = decoder->firsts[i];
	for (int order = decoder->order; order > 0; order--)
		sum_up(values, order, n);
	return true;
}

bool
dbp_bins_decode(const uint8_t *bytes, size_t len, int n, uint64_t *values)
{
	DbpReader in = {bytes, len};
	Decoder *decoder = malloc(sizeof(*decoder));
	bool good;

	if (decoder == NULL)
		return false;
	good = decode(decoder, &in, n, values);
	free(decoder);
	return good;
}

void
dbp_bins_describe(const uint8_t *bytes, size_t len, int n, char *out, size_t size)
{
	static const char *const orders[] = {"values", "delta", "delta of delta"};
	DbpReader in = {bytes, len};
	Decoder *decoder = malloc(sizeof(*decoder));

	if (decoder == NULL || !get_header(&in, n, decoder))
		snprintf(out, size, "damaged");
	else
		snprintf(out, size, "%s, %d bins", orders[decoder->order], decoder->nbins);
	free(decoder);
}
