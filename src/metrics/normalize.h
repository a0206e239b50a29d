/*-------------------------------------------------------------------------
 *
 * normalize.h
 *		The text of a statement without its constants.
 *
 * No PostgreSQL in here: nothing is allocated and nothing throws, so that it
 * can also be done while a transaction is being aborted.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_NORMALIZE_H
#define DBP_NORMALIZE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Writes the text with "?" for every constant, one blank for every stretch of
 * white space and comments, cut off before the token that would not fit, with
 * a NUL.  False, and an empty text: there is something in it that may be a
 * constant or not.
 */
extern bool dbp_normalize(const char *text, size_t length, char *result, size_t size);

#endif /* DBP_NORMALIZE_H */
