/*-------------------------------------------------------------------------
 *
 * slices.h
 *		What the encodings of values of any length share.
 *
 * A chunk begins with a byte that has its kind and flags, and the number of
 * bytes that all values have together.  README.md tells what follows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_CODEC_SLICES_H
#define DBP_CODEC_SLICES_H

#include "codec/bytes.h"

typedef enum DbpSliceKind
{
	DBP_SLICES_CONSTANT,
	DBP_SLICES_PLAIN,
	DBP_SLICES_PREFIX,
	DBP_SLICES_DICTIONARY,
	DBP_SLICES_COLUMNS,
	DBP_SLICES_TOKENS,
	DBP_SLICES_GROUPS,
	DBP_SLICES_NUMERIC
} DbpSliceKind;

#define DBP_SLICES_KIND_MASK 0x0f

/* The bytes at the end of the chunk are compressed */
#define DBP_SLICES_COMPRESSED 0x80
/* All values have the same length, so no lengths are stored */
#define DBP_SLICES_SAME_LENGTH 0x40

/*
 * Chunks lie within chunks: a dictionary is one, for instance.  Which kinds may
 * be used there is a set, and each kind takes itself out of it, so that nothing
 * is nested without end.
 */
typedef unsigned DbpSliceKinds;

#define DBP_SLICES_BIT(kind) (1u << (kind))
#define DBP_SLICES_ALL (DBP_SLICES_BIT(DBP_SLICES_NUMERIC + 1) - 1)

/* All values together are not longer, see codec.h */
#define DBP_SLICES_MAX_TOTAL ((uint64_t) INT32_MAX)

/* The beginning of every chunk */
typedef struct DbpSliceHead
{
	DbpSliceKind kind;
	uint8_t flags;
	uint64_t total;
} DbpSliceHead;

/* Where decoded values go: value i ends at ends[i], the last one at size */
typedef struct DbpSliceSink
{
	int n;
	uint8_t *arena;
	size_t size;
	uint32_t *ends;
} DbpSliceSink;

/*
 * An encoder's candidates: each is written to "work" and looked at; the
 * smallest stays in "best".
 */
typedef struct DbpTrial
{
	int effort;
	DbpSliceKinds kinds; /* that may be tried */
	bool found;
	DbpBuffer best;
	DbpBuffer work;
	DbpCandidate *candidates; /* room for max of them */
	int ncandidates;
	int max;
} DbpTrial;

/* What is known of all values before anything is tried */
typedef struct DbpSliceProfile
{
	uint64_t total;
	uint64_t shared; /* bytes at the beginning that are those of the value before */
	bool same_length;
	bool equal;
} DbpSliceProfile;

/*
 * slice_parts.c.  Writers say false for want of memory, readers for damage;
 * numbers are checked to lie between 0 and max.
 */
extern bool dbp_part_close(DbpBuffer *out, size_t begin);
extern bool dbp_part_read(DbpReader *in, DbpReader *part);
extern bool dbp_numbers_write(DbpBuffer *out, const int64_t *numbers, int n, int effort);
extern bool dbp_numbers_read(DbpReader *in, int n, int64_t max, int64_t *numbers);
extern bool dbp_payload_write(DbpBuffer *out, size_t head, const uint8_t *data, size_t len,
							  int effort, size_t goal);
extern bool dbp_payload_read(const DbpReader *in, uint8_t flags, uint8_t *data, size_t len);
extern bool dbp_head_write(DbpBuffer *out, DbpSliceKind kind, uint8_t flags, uint64_t total);
extern bool dbp_head_read(DbpReader *in, int n, DbpSliceKinds kinds, uint64_t limit,
						  DbpSliceHead *head);
extern void dbp_trial_consider(DbpTrial *trial, const char *name);
extern bool dbp_trial_end(DbpTrial *trial, DbpBuffer *out);
extern bool dbp_sink_make(DbpSliceSink *sink, int n, size_t size);
extern void dbp_sink_free(DbpSliceSink *sink);
extern DbpSlice dbp_sink_value(const DbpSliceSink *sink, int i);

/* slices.c: any kind out of those; also a chunk within another */
extern bool dbp_slices_try(const DbpSlice *values, int n, DbpTrial *trial);
extern bool dbp_slices_write(DbpBuffer *out, const DbpSlice *values, int n, int effort,
							 DbpSliceKinds kinds);
extern bool dbp_slices_read(DbpReader *in, int n, DbpSliceKinds kinds, uint64_t limit,
							DbpSliceSink *sink);

/* The kinds with files of their own; decoders get what follows the head */
extern bool dbp_dictionary_try(const DbpSlice *values, int n, const DbpSliceProfile *profile,
							   DbpTrial *trial, int *ndistinct);
extern bool dbp_dictionary_decode(DbpReader in, DbpSliceKinds kinds, DbpSliceSink *sink);
extern bool dbp_columns_try(const DbpSlice *values, int n, DbpTrial *trial);
extern bool dbp_columns_decode(DbpReader in, DbpSliceSink *sink);
extern bool dbp_tokens_try(const DbpSlice *values, int n, const DbpSliceProfile *profile,
						   DbpTrial *trial);
extern bool dbp_tokens_decode(DbpReader in, DbpSliceKinds kinds, DbpSliceSink *sink);
extern bool dbp_groups_try(const DbpSlice *values, int n, const DbpSliceProfile *profile,
						   DbpTrial *trial);
extern bool dbp_groups_decode(DbpReader in, DbpSliceKinds kinds, DbpSliceSink *sink);
extern bool dbp_numerics_decode(DbpReader in, uint8_t flags, DbpSliceKinds kinds,
								DbpSliceSink *sink);

/* Text that grows by printf(), as far as there is room */
typedef struct DbpText
{
	char *at;
	size_t left;
} DbpText;

/* slice_describe.c */
extern void dbp_text_append(DbpText *text, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
extern void dbp_text_append_numbers(DbpText *text, DbpReader part, int n);
extern bool dbp_text_append_slices(DbpText *text, DbpReader in, int n, DbpSliceKinds kinds);

/* What each of these kinds says of a chunk after its head; false: damaged */
extern bool dbp_dictionary_describe(DbpReader in, int n, DbpSliceKinds kinds, DbpText *text);
extern bool dbp_columns_describe(DbpReader in, int n, DbpText *text);
extern bool dbp_tokens_describe(DbpReader in, int n, DbpSliceKinds kinds, DbpText *text);
extern bool dbp_groups_describe(DbpReader in, int n, DbpSliceKinds kinds, DbpText *text);
extern bool dbp_numerics_describe_kind(DbpReader in, int n, uint8_t flags, DbpSliceKinds kinds,
									   DbpText *text);

/* As dbp_chunk_describe() and dbp_chunk_candidates(), which call them */
extern void dbp_slices_describe(const uint8_t *chunk, size_t len, int n, char *out, size_t size);
extern void dbp_numerics_describe(const uint8_t *chunk, size_t len, int n, char *out, size_t size);
extern int dbp_slices_candidates(const DbpSlice *values, int n, int effort,
								 DbpCandidate *candidates, int max);
extern int dbp_numerics_candidates(const DbpSlice *values, int n, int effort,
								   DbpCandidate *candidates, int max);

#endif /* DBP_CODEC_SLICES_H */
