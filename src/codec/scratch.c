/*-------------------------------------------------------------------------
 *
 * scratch.c
 *		Memory for the duration of a call.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "codec/scratch.h"

/* The first block does for a batch of the usual size; each further one doubles it */
#define FIRST_SIZE ((size_t) 1024 * 1024)

/* What stays when nothing is in use */
#define KEEP_SIZE ((size_t) 8 * 1024 * 1024)

#define ALIGNMENT 64

/* With AddressSanitizer each piece is a block of its own, so that it sees its ends */
#if defined(__SANITIZE_ADDRESS__)
#define ALONE true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ALONE true
#endif
#endif
#ifndef ALONE
#define ALONE false
#endif

typedef struct DbpScratchBlock
{
	struct DbpScratchBlock *next;
	uint8_t *bytes;
	size_t size;
	size_t used;
} DbpScratchBlock;

/* Of the bytes' place behind the block, some may be left out so that they are aligned */
#define BLOCK_HEAD (sizeof(DbpScratchBlock) + ALIGNMENT)

/* All up to the current one are in use; none are where that is NULL */
static DbpScratchBlock *first = NULL;
static DbpScratchBlock *current = NULL;
static size_t total = 0;

DbpScratch
dbp_scratch_begin(void)
{
	return (DbpScratch){current, current == NULL ? 0 : current->used};
}

static void
free_blocks(DbpScratchBlock **from)
{
	while (*from != NULL)
	{
		DbpScratchBlock *block = *from;

		*from = block->next;
		total -= block->size;
		free(block);
	}
}

void
dbp_scratch_end(DbpScratch begin)
{
	current = begin.block;
	if (current != NULL)
		current->used = begin.used;
	else if (total > KEEP_SIZE)
		free_blocks(&first);
	if (ALONE)
		free_blocks(current == NULL ? &first : &current->next);
}

/* The block and its bytes are one allocation */
static DbpScratchBlock *
make_block(size_t needed)
{
	size_t size = current == NULL ? FIRST_SIZE : current->size * 2;
	DbpScratchBlock *block;

	if (size < needed || ALONE)
		size = needed;
	block = malloc(BLOCK_HEAD + size);
	if (block == NULL)
		return NULL;
	block->next = NULL;
	block->bytes = (uint8_t *) block + BLOCK_HEAD;
	block->bytes -= ALONE ? 0 : (uintptr_t) block->bytes % ALIGNMENT;
	block->size = size;
	block->used = 0;
	total += size;
	return block;
}

void *
dbp_scratch_take(size_t n, size_t size)
{
	size_t needed = ALONE ? n * size : (n * size / ALIGNMENT + 1) * ALIGNMENT;
	DbpScratchBlock **next = current == NULL ? &first : &current->next;
	uint8_t *bytes;

	if (current == NULL || needed > current->size - current->used || ALONE)
	{
		/* those that are there already are empty; one that is too small goes */
		if (*next != NULL && ((*next)->size < needed || ALONE))
			free_blocks(next);
		if (*next == NULL)
			*next = make_block(needed);
		if (*next == NULL)
			return NULL;
		current = *next;
		current->used = 0;
	}
	bytes = current->bytes + current->used;
	current->used += needed;
	return bytes;
}
