/*-------------------------------------------------------------------------
 *
 * ans.c
 *		Symbols in as many bits as their probability says.
 *
 * Range asymmetric numeral systems (Duda, arXiv 1311.2540; interleaved as in
 * Giesen, arXiv 1402.3392): states of 32 bits, words of 16, and four states
 * that take turns where there are enough symbols, so that a processor works on
 * all four at once.
 *
 *-------------------------------------------------------------------------
 */
#include "codec/ans.h"

/* A state lies between this and its square */
#define LOWEST (UINT32_C(1) << 16)

/* Fewer symbols than that have one state: each takes up four bytes */
#define MIN_INTERLEAVED 2048

/* The precision of frequencies: bits after the first one */
#define FREQ_BITS 4

static int
count_states(int n)
{
	return n < MIN_INTERLEAVED ? 1 : DBP_ANS_STATES;
}

int
dbp_ans_log(int n, int nsymbols)
{
	int log = dbp_bit_width((uint64_t) n);
	int least = dbp_bit_width((uint64_t) nsymbols) + 1;

	if (log > 12)
		log = 12;
	if (log < least)
		log = least;
	if (log < DBP_ANS_MIN_LOG)
		log = DBP_ANS_MIN_LOG;
	return log > DBP_ANS_MAX_LOG ? DBP_ANS_MAX_LOG : log;
}

/* The bits of a frequency that are not kept */
static int
dropped_bits(uint32_t freq)
{
	int width = dbp_bit_width(freq);

	return width > FREQ_BITS + 1 ? width - FREQ_BITS - 1 : 0;
}

static int
find_largest(const uint16_t *freqs, int nsymbols)
{
	int largest = 0;

	for (int i = 1; i < nsymbols; i++)
	{
		if (freqs[i] > freqs[largest])
			largest = i;
	}
	return largest;
}

/*
 * Frequencies are rounded to few bits; what one of them gets too much, the next
 * one gets less.  The commonest takes what is left.
 */
void
dbp_ans_normalize(const uint32_t *counts, int nsymbols, int n, int log, uint16_t *freqs)
{
	int64_t total = INT64_C(1) << log;
	int64_t left = total;
	int64_t owed = 0; /* in parts of 1/n */
	int largest = 0;

	for (int i = 1; i < nsymbols; i++)
	{
		if (counts[i] > counts[largest])
			largest = i;
	}
	for (int i = 0; i < nsymbols; i++)
	{
		int64_t exact = (int64_t) counts[i] * total;
		int64_t wanted = exact + owed;
		int64_t freq = wanted <= n ? 1 : (wanted + n / 2) / n;
		int drop;

		if (i == largest)
			continue;
		drop = dropped_bits((uint32_t) freq);
		if (drop > 0)
			freq = (freq + (INT64_C(1) << drop) / 2) >> drop << drop;
		freqs[i] = (uint16_t) freq;
		left -= freq;
		/* rare symbols that get more than their share are not made up for */
		if (freq > 1)
			owed = wanted - freq * n;
	}

	/* Take from the others until there is as much left for the commonest as for any */
	for (;;)
	{
		int most = largest == 0 ? 1 : 0;
		int drop;

		freqs[largest] = (uint16_t) (left > 0 ? left : 0);
		if (nsymbols < 2)
			break;
		for (int i = 0; i < nsymbols; i++)
		{
			if (i != largest && freqs[i] > freqs[most])
				most = i;
		}
		if (left >= freqs[most])
			break;
		drop = dropped_bits(freqs[most] - 1u);
		left += freqs[most] - ((freqs[most] - 1u) >> drop << drop);
		freqs[most] = (uint16_t) ((freqs[most] - 1u) >> drop << drop);
	}
}

/*
 * Written are the number of the largest one, which is what the others leave,
 * and of each other one how much longer in bits it is than the one before, in
 * unary with a sign, and its bits after the first.
 */
void
dbp_ans_put_freqs(const uint16_t *freqs, int nsymbols, int log, DbpBitWriter *out)
{
	int largest = find_largest(freqs, nsymbols);
	int before = log / 2;

	dbp_bits_put(out, (uint64_t) largest, dbp_bit_width((uint64_t) nsymbols - 1));
	for (int i = 0; i < nsymbols; i++)
	{
		int width = dbp_bit_width(freqs[i]);
		int drop = dropped_bits(freqs[i]);
		int step = width - before;

		if (i == largest)
			continue;
		dbp_bits_put(out, dbp_low_bits(step < 0 ? -step : step), (step < 0 ? -step : step) + 1);
		if (step != 0)
			dbp_bits_put(out, step < 0, 1);
		dbp_bits_put(out, (uint64_t) (freqs[i] >> drop) & dbp_low_bits(width - 1 - drop),
					 width - 1 - drop);
		before = width;
	}
}

bool
dbp_ans_get_freqs(DbpBitReader *in, int nsymbols, int log, uint16_t *freqs)
{
	int64_t left = INT64_C(1) << log;
	int largest = (int) dbp_bits_get(in, dbp_bit_width((uint64_t) nsymbols - 1));
	int width = log / 2;

	if (largest >= nsymbols)
		return false;
	for (int i = 0; i < nsymbols; i++)
	{
		int step = 0;
		int drop;

		if (i == largest)
			continue;
		while (step <= log && dbp_bits_get(in, 1) != 0)
			step++;
		if (step != 0 && dbp_bits_get(in, 1) != 0)
			step = -step;
		width += step;
		if (width < 1 || width > log)
			return false;
		drop = width > FREQ_BITS + 1 ? width - FREQ_BITS - 1 : 0;
		freqs[i] = (uint16_t) ((UINT32_C(1) << (width - 1)) |
							   (uint32_t) dbp_bits_get(in, width - 1 - drop) << drop);
		left -= freqs[i];
	}
	if (in->over || left <= 0)
		return false;
	freqs[largest] = (uint16_t) left;
	return true;
}

/* How to encode a symbol without dividing */
typedef struct Coder
{
	uint64_t reciprocal;
	uint32_t freq;
	uint32_t start;
	uint64_t limit; /* a state from this on gives up a word first */
} Coder;

/*
 * floor(x / freq) is (x * reciprocal) >> (32 + log) for all x below the limit,
 * freq * 2^(32 - log): the reciprocal is too large by less than 1, so the
 * product by less than x, which is less than 2^(32 + log) / freq as long as
 * freq^2 < 2^(2 log); for the same reason the product is below 2^64.
 */
static void
make_coders(const uint16_t *freqs, int nsymbols, int log, Coder *coders)
{
	uint32_t start = 0;

	for (int i = 0; i < nsymbols; i++)
	{
		coders[i].freq = freqs[i];
		coders[i].start = start;
		coders[i].reciprocal = (UINT64_C(1) << (32 + log)) / freqs[i] + 1;
		coders[i].limit = (uint64_t) freqs[i] << (32 - log);
		start += freqs[i];
	}
}

static inline uint32_t
put_symbol(uint32_t state, const Coder *coder, int log, uint8_t **at)
{
	uint32_t quotient;

	/* the word is written either way, and counts only where it has to go */
	bool full = state >= coder->limit;

	(*at)[-2] = (uint8_t) state;
	(*at)[-1] = (uint8_t) (state >> 8);
	*at -= full ? 2 : 0;
	state = full ? state >> 16 : state;
	quotient = (uint32_t) (state * coder->reciprocal >> (32 + log));
	return (quotient << log) + (state - quotient * coder->freq) + coder->start;
}

size_t
dbp_ans_encode(const uint16_t *symbols, int n, const uint16_t *freqs, int nsymbols, int log,
			   uint8_t *out, size_t room)
{
	Coder coders[DBP_ANS_MAX_SYMBOLS];
	uint32_t states[DBP_ANS_STATES] = {LOWEST, LOWEST, LOWEST, LOWEST};
	int nstates = count_states(n);
	uint8_t *at = out + room;
	int i = n;

	make_coders(freqs, nsymbols, log, coders);
	for (; i > 0 && (nstates == 1 || i % DBP_ANS_STATES != 0); i--)
	{
		uint32_t *state = &states[(i - 1) & (nstates - 1)];

		*state = put_symbol(*state, &coders[symbols[i - 1]], log, &at);
	}
	for (; i > 0; i -= DBP_ANS_STATES)
	{
		for (int j = DBP_ANS_STATES - 1; j >= 0; j--)
			states[j] = put_symbol(states[j], &coders[symbols[i - DBP_ANS_STATES + j]], log, &at);
	}
	for (i = nstates - 1; i >= 0; i--)
	{
		for (int shift = 24; shift >= 0; shift -= 8)
			*--at = (uint8_t) (states[i] >> shift);
	}
	return (size_t) (out + room - at);
}

void
dbp_ans_slots(const uint16_t *freqs, int nsymbols, DbpAnsSlot *slots)
{
	int slot = 0;

	for (int i = 0; i < nsymbols; i++)
	{
		for (int bias = 0; bias < freqs[i]; bias++, slot++)
		{
			slots[slot].freq = freqs[i];
			slots[slot].bias = (uint16_t) bias;
			slots[slot].symbol = (uint16_t) i;
			slots[slot].unused = 0;
		}
	}
}

bool
dbp_ans_begin(DbpAnsDecoder *decoder, const DbpAnsSlot *slots, int log, int n, const uint8_t *bytes,
			  size_t len)
{
	decoder->slots = slots;
	decoder->log = log;
	decoder->nstates = count_states(n);
	if (len < (size_t) decoder->nstates * 4)
		return false;
	for (int i = 0; i < decoder->nstates; i++)
	{
		decoder->states[i] = (uint32_t) bytes[0] | (uint32_t) bytes[1] << 8 |
			(uint32_t) bytes[2] << 16 | (uint32_t) bytes[3] << 24;
		bytes += 4;
	}
	decoder->at = bytes;
	decoder->end = bytes + (len - (size_t) decoder->nstates * 4);
	return true;
}

static inline uint32_t
next_symbol(const DbpAnsSlot *slots, int log, uint32_t state, uint16_t *symbol)
{
	const DbpAnsSlot *slot = &slots[state & ((UINT32_C(1) << log) - 1)];

	*symbol = slot->symbol;
	return slot->freq * (state >> log) + slot->bias;
}

static inline uint32_t
next_word(uint32_t state, const uint8_t **at)
{
	uint32_t word = (uint32_t) (*at)[0] | (uint32_t) (*at)[1] << 8;
	bool needed = state < LOWEST;

	*at += needed ? 2 : 0;
	return needed ? state << 16 | word : state;
}

bool
dbp_ans_next(DbpAnsDecoder *decoder, int n, uint16_t *symbols)
{
	const DbpAnsSlot *slots = decoder->slots;
	int log = decoder->log;
	int i = 0;

	if (decoder->nstates == DBP_ANS_STATES)
	{
		uint32_t a = decoder->states[0];
		uint32_t b = decoder->states[1];
		uint32_t c = decoder->states[2];
		uint32_t d = decoder->states[3];
		const uint8_t *at = decoder->at;

		for (; i + 4 <= n && decoder->end - at >= 8; i += 4)
		{
			a = next_symbol(slots, log, a, &symbols[i]);
			b = next_symbol(slots, log, b, &symbols[i + 1]);
			c = next_symbol(slots, log, c, &symbols[i + 2]);
			d = next_symbol(slots, log, d, &symbols[i + 3]);
			a = next_word(a, &at);
			b = next_word(b, &at);
			c = next_word(c, &at);
			d = next_word(d, &at);
		}
		decoder->states[0] = a;
		decoder->states[1] = b;
		decoder->states[2] = c;
		decoder->states[3] = d;
		decoder->at = at;
	}
	for (; i < n; i++)
	{
		uint32_t *state = &decoder->states[i & (decoder->nstates - 1)];

		*state = next_symbol(slots, log, *state, &symbols[i]);
		if (*state < LOWEST)
		{
			if (decoder->end - decoder->at < 2)
				return false;
			*state = next_word(*state, &decoder->at);
		}
	}
	return true;
}

bool
dbp_ans_finished(const DbpAnsDecoder *decoder)
{
	bool finished = decoder->at == decoder->end;

	for (int i = 0; i < decoder->nstates; i++)
		finished &= decoder->states[i] == LOWEST;
	return finished;
}
