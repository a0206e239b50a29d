/*-------------------------------------------------------------------------
 *
 * bins_read.c
 *		Integers from bins and offsets within them.
 *
 * For each vector of 1,024 values the bins are decoded first, then the offsets:
 * so neither waits for the other, and the places of the offsets are sums of
 * numbers that are known already.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>

#include "codec/bins.h"
#include "codec/bitpack.h"
#include "codec/scratch.h"

typedef struct Decoder
{
	int order;
	int log;
	int nbins;
	bool narrow; /* no offset takes more bits than one load always has */
	int sides;
	uint64_t centre;
	uint64_t firsts[DBP_BINS_MAX_ORDER];
	uint64_t lowest[DBP_BINS_MAX];
	uint8_t bits[DBP_BINS_MAX];
	uint16_t freqs[DBP_BINS_MAX];
} Decoder;

static bool
get_node(Decoder *decoder, int side, uint64_t lower, int bits, DbpBitReader *in)
{
	if (dbp_bits_get(in, 1) == 0)
	{
		if (decoder->nbins == DBP_BINS_MAX || in->over)
			return false;
		decoder->lowest[decoder->nbins] = dbp_bins_lowest(lower, bits, side, decoder->centre);
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
	decoder->order = flags & DBP_BINS_ORDER_MASK;
	decoder->log = (flags >> DBP_BINS_LOG_SHIFT) + DBP_ANS_MIN_LOG;
	decoder->sides = (flags & DBP_BINS_TWO_SIDED) != 0 ? 2 : 1;
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
		int width = (int) dbp_bits_get(&bits, DBP_BINS_WIDTH_BITS);

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
		slots = dbp_scratch_take((size_t) 1 << decoder->log, sizeof(*slots));
		if (slots == NULL)
			return false;
		dbp_ans_slots(decoder->freqs, decoder->nbins, slots);
	}
	good = get_all(in, decoder, slots, n - decoder->order, values + decoder->order);
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
	DbpScratch scratch = dbp_scratch_begin();
	Decoder *decoder = dbp_scratch_take(1, sizeof(*decoder));
	bool good = decoder != NULL && decode(decoder, &in, n, values);

	dbp_scratch_end(scratch);
	return good;
}

void
dbp_bins_describe(const uint8_t *bytes, size_t len, int n, char *out, size_t size)
{
	static const char *const orders[] = {"values", "delta", "delta of delta"};
	DbpReader in = {bytes, len};
	DbpScratch scratch = dbp_scratch_begin();
	Decoder *decoder = dbp_scratch_take(1, sizeof(*decoder));

	if (decoder == NULL || !get_header(&in, n, decoder))
		snprintf(out, size, "damaged");
	else
		snprintf(out, size, "%s, %d bins", orders[decoder->order], decoder->nbins);
	dbp_scratch_end(scratch);
}
