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
 * takes itself out of it, so that nothing is nested without end.  Readers let
 * all others in; writers try less, unless they have all the time.
 */
typedef unsigned DbpIntsKinds;

#define DBP_INTS_BIT(kind) (1u << (kind))
#define DBP_INTS_ALL (DBP_INTS_BIT(DBP_INTS_NKINDS) - 1)

/* Those that have no chunks within */
#define DBP_INTS_PLAIN \
	(DBP_INTS_BIT(DBP_INTS_CONSTANT) | DBP_INTS_BIT(DBP_INTS_VECTORS) | \
	 DBP_INTS_BIT(DBP_INTS_BINS) | DBP_INTS_BIT(DBP_INTS_GENERAL))

typedef struct DbpIntsHow
{
	int effort;
	DbpIntsKinds kinds; /* that may be tried */
	bool all;			/* try them without looking whether it seems worth it */
} DbpIntsHow;

static inline DbpIntsHow
dbp_ints_how(int effort, DbpIntsKinds kinds)
{
	return (DbpIntsHow){effort, kinds, effort >= DBP_EFFORT_BEST};
}

/* Within a chunk of this kind, where these kinds are most promising */
static inline DbpIntsHow
dbp_ints_within(DbpIntsHow how, DbpIntsKind kind, DbpIntsKinds promising)
{
	how.kinds &= ~DBP_INTS_BIT(kind);
	if (how.effort < DBP_EFFORT_BEST)
		how.kinds &= promising;
	how.all &= kind == DBP_INTS_SCALED || kind == DBP_INTS_RUNS;
	return how;
}

/* false: no memory, or damaged */
extern bool dbp_ints_write(const uint64_t *values, int n, DbpIntsHow how, DbpBuffer *out);
extern bool dbp_ints_read(const uint8_t *chunk, size_t len, int n, DbpIntsKinds kinds,
						  uint64_t *values);

/* Nested chunks but for the last: their length first, as a varint */
extern bool dbp_ints_write_part(const uint64_t *values, int n, DbpIntsHow how, DbpBuffer *out);
extern bool dbp_ints_read_part(DbpReader *in, int n, DbpIntsKinds kinds, uint64_t *values);

#endif /* DBP_CODEC_INTS_H */
