/*-------------------------------------------------------------------------
 *
 * scratch.h
 *		Memory for the duration of a call.
 *
 * Chunks are made and read one after the other, each with some arrays as long
 * as the chunk: taking them from malloc() and giving them back makes the kernel
 * clear the same pages over and over.  So they are taken from blocks that stay.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_CODEC_SCRATCH_H
#define DBP_CODEC_SCRATCH_H

#include "codec/codec.h"

/* A point in time: all that is taken later goes at once */
typedef struct DbpScratch
{
	struct DbpScratchBlock *block;
	size_t used;
} DbpScratch;

extern DbpScratch dbp_scratch_begin(void);
extern void dbp_scratch_end(DbpScratch begin);

/* So many things of some size each, not cleared; NULL: no memory */
extern void *dbp_scratch_take(size_t n, size_t size);

#endif /* DBP_CODEC_SCRATCH_H */
