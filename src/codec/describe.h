/*-------------------------------------------------------------------------
 *
 * describe.h
 *		Chunks of numbers, told to people.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_CODEC_DESCRIBE_H
#define DBP_CODEC_DESCRIBE_H

#include "codec/slices.h"

/* Candidates as they come; they are sorted in the end */
typedef struct DbpCandidates
{
	DbpCandidate *list;
	int n;
	int max;
	const char *prefix; /* goes before each name */
	size_t extra;		/* bytes that come on top of each */
} DbpCandidates;

/* The chunk's description is its name */
extern void dbp_candidates_add(DbpCandidates *candidates, DbpFamily family, const uint8_t *chunk,
							   size_t len, int n);

/* Each in its own file: adds what an encoder considers. false: no memory */
extern bool dbp_ints_report(const uint64_t *values, int n, int effort, DbpCandidates *candidates);
extern bool dbp_doubles_report(const uint64_t *values, int n, int effort,
							   DbpCandidates *candidates);
extern bool dbp_floats_report(const uint32_t *values, int n, int effort, DbpCandidates *candidates);

#endif /* DBP_CODEC_DESCRIBE_H */
