/*-------------------------------------------------------------------------
 *
 * ints.h
 *		Integers within other chunks.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_CODEC_INTS_H
#define DBP_CODEC_INTS_H

#include "codec/bytes.h"

/* The first byte of a chunk of integers; others are not known yet */
typedef enum DbpIntsKind
{
	DBP_INTS_CONSTANT,
	DBP_INTS_VECTORS,
	DBP_INTS_BINS,
	DBP_INTS_SCALED,
	DBP_INTS_RUNS,
	DBP_INTS_DICTIONARY,
	DBP_INTS_GENERAL,
	DBP_INTS_TENS,
	DBP_INTS_SPLIT,
	DBP_INTS_NKINDS
} DbpIntsKind;

/*
 * Chunks lie within chunks.  Which kinds may be used there is a set, and a kind
 * takes itself out of it, so that nothing is nested without end.
 */
typedef unsigned DbpIntsKinds;

#define DBP_INTS_BIT(kind) (1u << (kind))
#define DBP_INTS_ALL (DBP_INTS_BIT(DBP_INTS_NKINDS) - 1)

extern bool dbp_ints_write(const uint64_t *values, int n, int effort, DbpIntsKinds kinds,
						   DbpBuffer *out);
extern bool dbp_ints_read(const uint8_t *chunk, size_t len, int n, DbpIntsKinds kinds,
						  uint64_t *values);

/* Nested chunks: their length first, as a varint */
extern bool dbp_ints_write_part(const uint64_t *values, int n, int effort, DbpIntsKinds kinds,
								DbpBuffer *out);
extern bool dbp_ints_read_part(DbpReader *in, int n, DbpIntsKinds kinds, uint64_t *values);

#endif /* DBP_CODEC_INTS_H */
