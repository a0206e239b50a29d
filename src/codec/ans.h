/*-------------------------------------------------------------------------
 *
 * ans.h
 *		Symbols in as many bits as their probability says.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_CODEC_ANS_H
#define DBP_CODEC_ANS_H

#include "codec/bits.h"

/* Frequencies add up to 2 to the power of this */
#define DBP_ANS_MIN_LOG 4
#define DBP_ANS_MAX_LOG 13
#define DBP_ANS_MAX_SYMBOLS 2048

/* A symbol of a decoder's table, which has one for each possible remainder */
typedef struct DbpAnsSlot
{
	uint16_t freq;
	uint16_t bias;
	uint16_t symbol;
	uint16_t unused;
} DbpAnsSlot;

/* The precision that suits so many symbols out of so many different ones */
extern int dbp_ans_log(int n, int nsymbols);

/* counts (none 0, n in all) to frequencies that dbp_ans_put_freqs() can write */
extern void dbp_ans_normalize(const uint32_t *counts, int nsymbols, int n, int log,
							  uint16_t *freqs);
extern void dbp_ans_put_freqs(const uint16_t *freqs, int nsymbols, int log, DbpBitWriter *out);
extern bool dbp_ans_get_freqs(DbpBitReader *in, int nsymbols, int log, uint16_t *freqs);

/*
 * Of two symbols at least.  Ends at the end of "room" bytes that begin at out,
 * and returns how many it took; 2 n + 16 are enough.
 */
extern size_t dbp_ans_encode(const uint16_t *symbols, int n, const uint16_t *freqs, int nsymbols,
							 int log, uint8_t *out, size_t room);

/* slots: as many as the frequencies add up to */
extern void dbp_ans_slots(const uint16_t *freqs, int nsymbols, DbpAnsSlot *slots);

#define DBP_ANS_STATES 4

typedef struct DbpAnsDecoder
{
	const DbpAnsSlot *slots;
	int log;
	int nstates;
	uint32_t states[DBP_ANS_STATES];
	const uint8_t *at;
	const uint8_t *end;
} DbpAnsDecoder;

/* n: of all symbols that were encoded */
extern bool dbp_ans_begin(DbpAnsDecoder *decoder, const DbpAnsSlot *slots, int log, int n,
						  const uint8_t *bytes, size_t len);
/* The next n; but for the last time a multiple of DBP_ANS_STATES */
extern bool dbp_ans_next(DbpAnsDecoder *decoder, int n, uint16_t *symbols);
/* Is everything read, and nothing wrong? */
extern bool dbp_ans_finished(const DbpAnsDecoder *decoder);

#endif /* DBP_CODEC_ANS_H */
