/*-------------------------------------------------------------------------
 *
 * ints_nested.h
 *		Encodings of integers that are made of other chunks of integers.
 *
 * Writers append what follows the byte that says the kind.  They say false for
 * want of memory, readers for damage.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_CODEC_INTS_NESTED_H
#define DBP_CODEC_INTS_NESTED_H

#include "codec/ints.h"

/* The greatest common divisor of the distances from the smallest value: 1 is none */
extern uint64_t dbp_ints_scaled_divisor(const uint64_t *values, int n, uint64_t min);
extern bool dbp_ints_scaled_write(const uint64_t *values, int n, uint64_t min, uint64_t divisor,
								  DbpIntsHow how, DbpBuffer *out);
extern bool dbp_ints_scaled_read(DbpReader in, int n, DbpIntsKinds kinds, uint64_t *values);

extern bool dbp_ints_runs_write(const uint64_t *values, int n, int nruns, DbpIntsHow how,
								DbpBuffer *out);
extern bool dbp_ints_runs_read(DbpReader in, int n, DbpIntsKinds kinds, uint64_t *values);

/* Each is a number without zeros at the end, and how many follow in decimal notation */
extern bool dbp_ints_tens_worth(const uint64_t *values, int n, float bits);
extern bool dbp_ints_tens_write(const uint64_t *values, int n, DbpIntsHow how, DbpBuffer *out);
extern bool dbp_ints_tens_read(DbpReader in, int n, DbpIntsKinds kinds, uint64_t *values);

/* Quotients and remainders; the divisor with few different remainders, or 0 for none */
extern uint64_t dbp_ints_split_divisor(const uint64_t *values, int n);
extern bool dbp_ints_split_write(const uint64_t *values, int n, uint64_t divisor, DbpIntsHow how,
								 DbpBuffer *out);
extern bool dbp_ints_split_read(DbpReader in, int n, DbpIntsKinds kinds, uint64_t *values);

/* The different values in order, and which of them each one is */
typedef struct DbpIntsDictionary
{
	int nvalues;
	uint64_t *values;
	uint64_t *codes;
	float bits; /* that the codes take, each coded for itself */
} DbpIntsDictionary;

/* Do some values come more than once, as far as a sample tells? */
extern bool dbp_ints_has_duplicates(const uint64_t *values, int n);

/* In scratch memory; *found: whether there are at most limit different ones */
extern bool dbp_ints_dictionary_make(const uint64_t *values, int n, int limit,
									 DbpIntsDictionary *dictionary, bool *found);
extern bool dbp_ints_dictionary_write(const DbpIntsDictionary *dictionary, int n, DbpIntsHow how,
									  DbpBuffer *out);
extern bool dbp_ints_dictionary_read(DbpReader in, int n, DbpIntsKinds kinds, uint64_t *values);

/* General compression of as many bytes of each as they need; there is a chunk of that goal */
extern bool dbp_ints_general_write(const uint64_t *values, int n, uint64_t min, uint64_t max,
								   bool planes, int effort, size_t goal, DbpBuffer *out);
extern bool dbp_ints_general_read(DbpReader in, int n, uint64_t *values);

#endif /* DBP_CODEC_INTS_NESTED_H */
