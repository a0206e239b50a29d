/*-------------------------------------------------------------------------
 *
 * ints_nested.h
 *		Encodings of integers that are made of other chunks of integers.
 *
 * Writers append what follows the byte that says the kind; "kinds" are those
 * that may be used within.  Writers say false for want of memory, readers for
 * damage.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_CODEC_INTS_NESTED_H
#define DBP_CODEC_INTS_NESTED_H

#include "codec/ints.h"

/* The greatest common divisor of the distances from the smallest value: 1 is none */
extern uint64_t dbp_scaled_divisor(const uint64_t *values, int n, uint64_t min);
extern bool dbp_scaled_write(const uint64_t *values, int n, uint64_t min, uint64_t divisor,
							 int effort, DbpIntsKinds kinds, DbpBuffer *out);
extern bool dbp_scaled_read(DbpReader in, int n, DbpIntsKinds kinds, uint64_t *values);

extern bool dbp_runs_write(const uint64_t *values, int n, int nruns, int effort, DbpIntsKinds kinds,
						   DbpBuffer *out);
extern bool dbp_runs_read(DbpReader in, int n, DbpIntsKinds kinds, uint64_t *values);

/* Each is a number without zeros at the end, and how many follow in decimal notation */
extern bool dbp_tens_worth(const uint64_t *values, int n, float bits);
extern bool dbp_tens_write(const uint64_t *values, int n, int effort, DbpIntsKinds kinds,
						   DbpBuffer *out);
extern bool dbp_tens_read(DbpReader in, int n, DbpIntsKinds kinds, uint64_t *values);

/* Quotients and remainders; the divisor with few different remainders, or 0 for none */
extern uint64_t dbp_split_divisor(const uint64_t *values, int n);
extern bool dbp_split_write(const uint64_t *values, int n, uint64_t divisor, int effort,
							DbpIntsKinds kinds, DbpBuffer *out);
extern bool dbp_split_read(DbpReader in, int n, DbpIntsKinds kinds, uint64_t *values);

/* The different values in order, and which of them each one is */
typedef struct DbpDictionary
{
	int nvalues;
	uint64_t *values;
	uint64_t *codes;
	float bits; /* that the codes take, each coded for itself */
} DbpDictionary;

/* *found: whether there are at most limit different ones */
extern bool dbp_dictionary_make(const uint64_t *values, int n, int limit, DbpDictionary *dictionary,
								bool *found);
extern void dbp_dictionary_free(DbpDictionary *dictionary);
extern bool dbp_dictionary_write(const DbpDictionary *dictionary, int n, int effort,
								 DbpIntsKinds kinds, DbpBuffer *out);
extern bool dbp_dictionary_read(DbpReader in, int n, DbpIntsKinds kinds, uint64_t *values);

/* General compression of as many bytes of each as they need */
extern bool dbp_ints_general_write(const uint64_t *values, int n, uint64_t min, uint64_t max,
								   bool planes, int effort, DbpBuffer *out);
extern bool dbp_ints_general_read(DbpReader in, int n, uint64_t *values);

#endif /* DBP_CODEC_INTS_NESTED_H */
