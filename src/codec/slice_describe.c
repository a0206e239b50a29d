/*-------------------------------------------------------------------------
 *
 * slice_describe.c
 *		Chunks of values of any length, told to people.
 *
 *-------------------------------------------------------------------------
 */
#include <stdarg.h>
#include <stdio.h>

#include "codec/slices.h"

/* What does not fit is cut off. */
void
dbp_text_append(DbpText *text, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text->at, text->left, format, args);
	va_end(args);
	if (len < 0 || text->left == 0)
		return;
	if ((size_t) len >= text->left)
		len = (int) text->left - 1;
	text->at += len;
	text->left -= (size_t) len;
}

void
dbp_text_append_numbers(DbpText *text, DbpReader part, int n)
{
	char numbers[128];

	dbp_chunk_describe(DBP_FAMILY_INT, part.at, part.left, n, numbers, sizeof(numbers));
	dbp_text_append(text, "%s", numbers);
}

static bool
describe_values(DbpReader in, const DbpSliceHead *head, int n, DbpText *text)
{
	DbpReader part;

	dbp_text_append(text, head->kind == DBP_SLICES_PREFIX ? "shared prefixes" : "plain");
	if ((head->flags & DBP_SLICES_SAME_LENGTH) == 0)
	{
		if (!dbp_part_read(&in, &part))
			return false;
		dbp_text_append(text, ", lengths: ");
		dbp_text_append_numbers(text, part, n);
	}
	else
		dbp_text_append(text, ", %llu bytes each", (unsigned long long) head->total / n);
	if ((head->flags & DBP_SLICES_COMPRESSED) != 0)
		dbp_text_append(text, "; zstd");
	return true;
}

/* false: damaged, as far as one can tell without decoding it */
bool
dbp_text_append_slices(DbpText *text, DbpReader in, int n, DbpSliceKinds kinds)
{
	DbpSliceHead head;

	if (!dbp_head_read(&in, n, kinds, DBP_SLICES_MAX_TOTAL, &head))
		return false;
	kinds &= ~DBP_SLICES_BIT(head.kind);
	switch (head.kind)
	{
		case DBP_SLICES_CONSTANT:
			dbp_text_append(text, "constant");
			return true;
		case DBP_SLICES_PLAIN:
		case DBP_SLICES_PREFIX:
			return describe_values(in, &head, n, text);
		case DBP_SLICES_DICTIONARY:
			return dbp_dictionary_describe(in, n, kinds, text);
		case DBP_SLICES_COLUMNS:
			return dbp_columns_describe(in, n, text);
		case DBP_SLICES_TOKENS:
			return dbp_tokens_describe(in, n, kinds, text);
		case DBP_SLICES_GROUPS:
			return dbp_groups_describe(in, n, kinds, text);
		case DBP_SLICES_NUMERIC:
			return dbp_numerics_describe_kind(in, n, head.flags, kinds, text);
	}
	return false;
}

void
dbp_slices_describe(const uint8_t *chunk, size_t len, int n, char *out, size_t size)
{
	DbpText text = {out, size};

	if (!dbp_text_append_slices(&text, (DbpReader){chunk, len}, n, DBP_SLICES_ALL))
		snprintf(out, size, "damaged");
}

void
dbp_numerics_describe(const uint8_t *chunk, size_t len, int n, char *out, size_t size)
{
	dbp_slices_describe(chunk, len, n, out, size);
}
