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
#include "codec/bins.h"
#include "codec/scratch.h"

/* flags, centre and first values */
#define MAX_HEADER (1 + (DBP_BINS_MAX_ORDER + 1) * DBP_VARINT_MAX)

/*
 * Distances are counted in cells first, as floating-point numbers with so many
 * bits after the first; when all are small, each has a cell of its own.
 */
#define CELL_BITS 6
#define EXACT_BITS 12

/* What a bin takes besides the bits of its frequency, at first */
#define BIN_COST 2.0f

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
	const uint64_t *residuals;
	uint16_t *symbols; /* first the cells, then the bins */
	int cell_bits;
	int ncells;
	uint32_t *below;	/* values in cells before this one */
	uint16_t *cell_bin; /* the bin of each cell */
	Side sides[2];
	Bin bins[DBP_BINS_MAX];
	uint64_t lowest[DBP_BINS_MAX]; /* the bins' lowest values, not distances */
	int nbins;
	int log;
	uint16_t freqs[DBP_BINS_MAX];
	float log2_n;
	float bin_cost;
} Encoder;

/* Without a branch: numbers with fewer bits have the same cell as if there were more */
static inline int
cell_of(uint64_t distance, int cell_bits)
{
	int shift = dbp_bit_width(distance | dbp_low_bits(cell_bits + 1)) - cell_bits - 1;

	return (int) (((uint64_t) shift << cell_bits) + (distance >> shift));
}

/* residuals; false: no memory */
static bool
take_differences(Encoder *encoder, const uint64_t *values)
{
	int n = encoder->n;
	uint64_t *to;

	encoder->residuals = values;
	if (encoder->order == 0)
		return true;
	encoder->residuals = to = dbp_scratch_take((size_t) n, sizeof(*to));
	if (to == NULL)
		return false;
	encoder->firsts[0] = values[0];
	if (encoder->order == 1)
	{
		for (int i = 0; i < n; i++)
			to[i] = values[i + 1] - values[i];
		return true;
	}
	encoder->firsts[1] = values[1] - values[0];
	for (int i = 0; i < n; i++)
		to[i] = values[i + 2] - 2 * values[i + 1] + values[i];
	return true;
}

static void
choose_centre(Encoder *encoder)
{
	int64_t min = INT64_MAX;
	int64_t max = INT64_MIN;
	uint64_t range;
	uint64_t median;

	for (int i = 0; i < encoder->n; i++)
	{
		int64_t value = (int64_t) encoder->residuals[i];

		min = value < min ? value : min;
		max = value > max ? value : max;
	}
	range = (uint64_t) max - (uint64_t) min;
	encoder->two_sided =
		dbp_bins_two_sided(encoder->residuals, encoder->n, (uint64_t) min, &median);
	/* distances are signed, and wrap around where they do not fit */
	if (range > INT64_MAX)
	{
		encoder->two_sided = true;
		encoder->centre = median;
		encoder->sides[0].max = encoder->sides[1].max = INT64_MAX;
		return;
	}
	encoder->centre = encoder->two_sided ? median : (uint64_t) min;
	encoder->sides[0].max = (uint64_t) max - encoder->centre;
	encoder->sides[1].max = ~((uint64_t) min - encoder->centre);
}

/* Two tables, so that a cell that comes again does not wait for its count to be stored */
static void
count_values(Encoder *encoder, uint32_t *even, uint32_t *odd)
{
	uint64_t centre = encoder->centre;
	uint64_t first = (uint64_t) encoder->sides[1].first;
	int n = encoder->n;

	for (int i = 0; i < n; i++)
	{
		uint64_t distance = encoder->residuals[i] - centre;
		uint64_t side = UINT64_C(0) - (distance >> 63);
		int cell = (int) (first & side);

		/* a constant that the compiler knows */
		if (encoder->cell_bits == EXACT_BITS)
			cell += cell_of(distance ^ side, EXACT_BITS);
		else
			cell += cell_of(distance ^ side, CELL_BITS);
		encoder->symbols[i] = (uint16_t) cell;
		(i % 2 == 0 ? even : odd)[cell]++;
	}
}

/* symbols and below; false: no memory */
static bool
count_cells(Encoder *encoder)
{
	uint64_t widest = encoder->sides[0].max;
	uint32_t sum = 0;
	uint32_t *odd;

	if (encoder->two_sided && encoder->sides[1].max > widest)
		widest = encoder->sides[1].max;
	encoder->cell_bits = widest < DBP_BINS_EXACT ? EXACT_BITS : CELL_BITS;
	encoder->ncells = 0;
	for (int i = 0; i <= encoder->two_sided; i++)
	{
		encoder->sides[i].first = encoder->ncells;
		encoder->ncells += cell_of(encoder->sides[i].max, encoder->cell_bits) + 1;
	}
	encoder->symbols = dbp_scratch_take((size_t) encoder->n, sizeof(*encoder->symbols));
	encoder->cell_bin = dbp_scratch_take((size_t) encoder->ncells, sizeof(*encoder->cell_bin));
	encoder->below = dbp_scratch_take((size_t) encoder->ncells * 2 + 1, sizeof(*encoder->below));
	if (encoder->symbols == NULL || encoder->cell_bin == NULL || encoder->below == NULL)
		return false;
	memset(encoder->below, 0, ((size_t) encoder->ncells * 2 + 1) * sizeof(*encoder->below));
	odd = encoder->below + encoder->ncells;
	count_values(encoder, encoder->below, odd);
	for (int i = 0; i < encoder->ncells; i++)
	{
		uint32_t count = encoder->below[i] + odd[i];

		encoder->below[i] = sum;
		sum += count;
	}
	encoder->below[encoder->ncells] = sum;
	return true;
}

/* Below that the cells do not tell values apart */
static int
floor_bits(uint64_t lower, int cell_bits)
{
	int width = dbp_bit_width(lower);

	return width > cell_bits + 1 ? width - 1 - cell_bits : 0;
}

static void
make_bin(Encoder *encoder, uint64_t lower, int bits, int from, int to)
{
	if (encoder->nbins < DBP_BINS_MAX)
	{
		Bin *bin = &encoder->bins[encoder->nbins];

		bin->lower = lower;
		bin->bits = (uint8_t) bits;
		bin->count = encoder->below[to] - encoder->below[from];
		for (int i = from; i < to; i++)
			encoder->cell_bin[i] = (uint16_t) encoder->nbins;
	}
	encoder->nbins++;
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
		if (two < one)
			return two;
	}
	encoder->nbins = before;
	make_bin(encoder, lower, bits, from, to);
	return one;
}

static void
choose_bins(Encoder *encoder)
{
	encoder->log2_n = dbp_rough_log2((uint32_t) encoder->n);
	encoder->bin_cost = BIN_COST;
	/* too many of them: make each more expensive */
	do
	{
		encoder->nbins = 0;
		for (int i = 0; i <= encoder->two_sided; i++)
		{
			Side *side = &encoder->sides[i];
			int to = i < encoder->two_sided ? encoder->sides[1].first : encoder->ncells;

			side->begin = encoder->nbins;
			make_bins(encoder, i, 0, dbp_bit_width(side->max), side->first, to);
			side->end = encoder->nbins;
		}
		encoder->bin_cost *= 2;
	} while (encoder->nbins > DBP_BINS_MAX);
	for (int i = 0; i <= encoder->two_sided; i++)
	{
		for (int j = encoder->sides[i].begin; j < encoder->sides[i].end; j++)
			encoder->lowest[j] =
				dbp_bins_lowest(encoder->bins[j].lower, encoder->bins[j].bits, i, encoder->centre);
	}
}

static void
choose_freqs(Encoder *encoder)
{
	uint32_t counts[DBP_BINS_MAX];

	for (int i = 0; i < encoder->nbins; i++)
		counts[i] = encoder->bins[i].count;
	encoder->log = dbp_ans_log(encoder->n, encoder->nbins);
	dbp_ans_normalize(counts, encoder->nbins, encoder->n, encoder->log, encoder->freqs);
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

/* A node of the trie as bits; *next: the first bin that is not written yet */
static void
put_node(const Encoder *encoder, int end, uint64_t lower, int bits, int *next, DbpBitWriter *out)
{
	const Bin *bin = &encoder->bins[*next];

	if (*next == end || (bits < 64 && bin->lower - lower >= UINT64_C(1) << bits))
		dbp_bits_put(out, bits > 0 ? DBP_BINS_EMPTY : 1, bits > 0 ? 2 : 1);
	else if (bin->lower == lower && bin->bits == bits)
	{
		dbp_bits_put(out, DBP_BINS_LEAF, 1);
		(*next)++;
	}
	else
	{
		dbp_bits_put(out, DBP_BINS_SPLIT, 2);
		put_node(encoder, end, lower, bits - 1, next, out);
		put_node(encoder, end, lower + (UINT64_C(1) << (bits - 1)), bits - 1, next, out);
	}
}

/* All nodes are ancestors of bins, or their other children: at most four bits a level */
static size_t
header_room(const Encoder *encoder)
{
	return MAX_HEADER + ((size_t) encoder->nbins + 2) * (64 * 4 + 32) / 8 + 16;
}

static uint8_t *
put_header(const Encoder *encoder, uint8_t *at)
{
	DbpBitWriter out = {0};

	*at++ = (uint8_t) (encoder->order | (encoder->two_sided ? DBP_BINS_TWO_SIDED : 0) |
					   (encoder->log - DBP_ANS_MIN_LOG) << DBP_BINS_LOG_SHIFT);
	at += dbp_varint_put(at, dbp_zigzag(encoder->centre));
	for (int i = 0; i < encoder->order; i++)
		at += dbp_varint_put(at, dbp_zigzag(encoder->firsts[i]));
	out.at = at;
	for (int i = 0; i <= encoder->two_sided; i++)
	{
		int next = encoder->sides[i].begin;
		int width = dbp_bit_width(encoder->sides[i].max);

		dbp_bits_put(&out, (uint64_t) width, DBP_BINS_WIDTH_BITS);
		put_node(encoder, encoder->sides[i].end, 0, width, &next, &out);
	}
	dbp_ans_put_freqs(encoder->freqs, encoder->nbins, encoder->log, &out);
	return dbp_bits_end(&out);
}

/* The offsets of all values */
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

static bool
has_offsets(const Encoder *encoder)
{
	int bits = 0;

	for (int i = 0; i < encoder->nbins; i++)
		bits |= encoder->bins[i].bits;
	return bits != 0;
}

static bool
write_bins(const Encoder *encoder, DbpBuffer *out)
{
	size_t header = header_room(encoder);
	size_t coded_room = 2 * (size_t) encoder->n + 16;
	size_t coded = 0;
	uint8_t *at;

	/* the coded bins grow downwards, behind the room for the offsets */
	if (!dbp_buffer_reserve(out, header + (size_t) encoder->n * 8 + 16 + coded_room))
		return false;
	at = put_header(encoder, out->data + out->len);
	for (int i = 0; i < encoder->n; i++)
		encoder->symbols[i] = encoder->cell_bin[encoder->symbols[i]];
	if (encoder->nbins > 1)
	{
		coded = dbp_ans_encode(encoder->symbols, encoder->n, encoder->freqs, encoder->nbins,
							   encoder->log, out->data + out->size - coded_room, coded_room);
		at += dbp_varint_put(at, coded);
		memmove(at, out->data + out->size - coded, coded);
		at += coded;
	}
	if (has_offsets(encoder))
		at = put_offsets(encoder, at);
	out->len = (size_t) (at - out->data);
	return true;
}

bool
dbp_bins_encode(const uint64_t *values, int n, int order, size_t limit, DbpBuffer *out, bool *done)
{
	DbpScratch scratch = dbp_scratch_begin();
	Encoder *encoder = dbp_scratch_take(1, sizeof(*encoder));
	bool good = false;

	*done = false;
	if (encoder != NULL)
	{
		encoder->n = n - order;
		encoder->order = order;
		encoder->sides[1].first = 0;
		if (take_differences(encoder, values))
		{
			choose_centre(encoder);
			good = count_cells(encoder);
		}
	}
	if (good)
	{
		choose_bins(encoder);
		choose_freqs(encoder);
		*done = payload_size(encoder) < limit;
		if (*done)
			good = write_bins(encoder, out);
	}
	dbp_scratch_end(scratch);
	return good;
}
