/*-------------------------------------------------------------------------
 *
 * columns.c
 *		Values of one length, taken apart into columns of numbers.
 *
 *		number of fields; for each a byte of what it is, then a part with the
 *		numbers, or the length of bytes that never change, and those
 *
 * A uuid of version 7 is a time and random bits, an interval three integers, a
 * point two doubles, an array of a fixed length a header that never changes
 * and its elements, a hash may be text of hexadecimal digits.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "codec/columns.h"
#include "codec/slices.h"

/* There is no other combination of flags that says something else */
#define KNOWN_FLAGS \
	(0x07 | DBP_FIELD_BIG_ENDIAN | DBP_FIELD_SIGNED | DBP_FIELD_DOUBLE | DBP_FIELD_HEX)

/* digit: hexadecimal */
static inline int
digit_value(uint8_t digit)
{
	return digit <= '9' ? digit - '0' : (digit & 0x0f) + 9;
}

static int64_t
hex_get(const uint8_t *at, int bytes)
{
	uint64_t number = 0;

	for (int i = 0; i < 2 * bytes; i++)
		number = number << 4 | (uint64_t) digit_value(at[i]);
	return (int64_t) number;
}

static void
hex_put(uint8_t *at, int bytes, const char *digits, int64_t value)
{
	uint64_t number = (uint64_t) value;

	for (int i = 2 * bytes - 1; i >= 0; i--, number >>= 4)
		at[i] = (uint8_t) digits[number & 0x0f];
}

/* The number of a field, whose bytes begin there; of a double, the pattern */
int64_t
dbp_field_get(const uint8_t *at, int what)
{
	int width = DBP_FIELD_BYTES(what);
	uint8_t bytes[8] = {0};
	uint64_t number;

	if ((what & DBP_FIELD_HEX) != 0)
		return hex_get(at, width);
	memcpy(bytes, at, (size_t) width);
	number = dbp_load64(bytes);
	if ((what & DBP_FIELD_BIG_ENDIAN) != 0)
		number = __builtin_bswap64(number) >> (64 - 8 * width);
	return (what & DBP_FIELD_SIGNED) != 0 ? dbp_field_extend_sign((int64_t) number, width)
										  : (int64_t) number;
}

static void
field_put(uint8_t *at, int what, int64_t value)
{
	int width = DBP_FIELD_BYTES(what);
	uint64_t number = (uint64_t) value;
	uint8_t bytes[8];

	if ((what & DBP_FIELD_HEX) != 0)
	{
		hex_put(at, width,
				(what & DBP_FIELD_CAPITAL) != 0 ? "0123456789ABCDEF" : "0123456789abcdef", value);
		return;
	}
	if ((what & DBP_FIELD_BIG_ENDIAN) != 0)
		number = __builtin_bswap64(number << (64 - 8 * width));
	dbp_store64(bytes, number);
	memcpy(at, bytes, (size_t) width);
}

static bool
write_field(DbpBuffer *out, const DbpSlice *values, int n, int effort, int at,
			const DbpField *field, int64_t *numbers)
{
	size_t begin;

	if (!dbp_append_byte(out, field->what))
		return false;
	if (field->what == DBP_FIELD_CONSTANT)
		return dbp_append_varint(out, (uint64_t) field->width) &&
			dbp_buffer_append(out, values[0].data + at, (size_t) field->width);
	for (int i = 0; i < n; i++)
		numbers[i] = dbp_field_get(values[i].data + at, field->what);
	if ((field->what & DBP_FIELD_DOUBLE) == 0)
		return dbp_numbers_write(out, numbers, n, effort);
	begin = out->len;
	return dbp_doubles_encode((const uint64_t *) numbers, n, effort, out) &&
		dbp_part_close(out, begin);
}

static bool
write_columns(DbpBuffer *out, const DbpSlice *values, int n, int effort, const DbpLayout *layout)
{
	int64_t *numbers = malloc((size_t) n * sizeof(int64_t));
	bool done = numbers != NULL &&
		dbp_head_write(out, DBP_SLICES_COLUMNS, 0, (uint64_t) values[0].len * n) &&
		dbp_append_varint(out, (uint64_t) layout->nfields);

	for (int i = 0, at = 0; done && i < layout->nfields; at += layout->fields[i++].width)
		done = write_field(out, values, n, effort, at, &layout->fields[i], numbers);
	free(numbers);
	return done;
}

/* For values of one length only.  false: no memory. */
bool
dbp_columns_try(const DbpSlice *values, int n, DbpTrial *trial)
{
	DbpLayout layout;

	if (!dbp_layout_choose(values, n, &layout))
		return false;
	if (layout.nfields == 0)
		return true;
	if (!write_columns(&trial->work, values, n, trial->effort, &layout))
		return false;
	dbp_trial_consider(trial, "columns");
	return true;
}

/* What a field is, and how many bytes of the value, of which there are no more than left */
static bool
read_field(DbpReader *in, size_t left, int *what, size_t *width, DbpReader *part)
{
	if (!dbp_read_byte(in, what))
		return false;
	if (*what == DBP_FIELD_CONSTANT)
	{
		part->at = NULL;
		if (dbp_read_count(in, left, width))
			part->at = dbp_read_bytes(in, *width);
		part->left = *width;
		return part->at != NULL && *width > 0;
	}
	*width = (size_t) DBP_FIELD_BYTES(*what) * ((*what & DBP_FIELD_HEX) != 0 ? 2 : 1);
	if ((*what & ~KNOWN_FLAGS) != 0 || *width > left ||
		((*what & DBP_FIELD_DOUBLE) != 0 && *width != 8))
		return false;
	return dbp_part_read(in, part);
}

/* Puts a field to its place in all values, which are len bytes each. */
static bool
put_field(DbpReader part, int what, DbpSliceSink *sink, size_t at, size_t len, int64_t *numbers)
{
	bool decoded;

	if (what == DBP_FIELD_CONSTANT)
	{
		for (int i = 0; i < sink->n; i++)
			memcpy(sink->arena + i * len + at, part.at, part.left);
		return true;
	}
	if ((what & DBP_FIELD_DOUBLE) != 0)
		decoded = dbp_doubles_decode(part.at, part.left, sink->n, (uint64_t *) numbers);
	else
		decoded = dbp_ints_decode(part.at, part.left, sink->n, numbers);
	for (int i = 0; decoded && i < sink->n; i++)
		field_put(sink->arena + i * len + at, what, numbers[i]);
	return decoded;
}

bool
dbp_columns_decode(DbpReader in, DbpSliceSink *sink)
{
	size_t len = sink->size / sink->n;
	int64_t *numbers;
	size_t nfields;
	size_t at = 0;
	bool done;

	if (len * sink->n != sink->size || len > DBP_COLUMNS_MAX_LENGTH ||
		!dbp_read_count(&in, len, &nfields))
		return false;
	numbers = malloc((size_t) sink->n * sizeof(int64_t));
	done = numbers != NULL;
	for (size_t i = 0; done && i < nfields; i++)
	{
		DbpReader part;
		size_t width;
		int what;

		done = read_field(&in, len - at, &what, &width, &part) &&
			put_field(part, what, sink, at, len, numbers);
		at += width;
	}
	free(numbers);
	for (int i = 0; i < sink->n; i++)
		sink->ends[i] = (uint32_t) ((i + 1) * len);
	return done && at == len && in.left == 0;
}

bool
dbp_columns_describe(DbpReader in, int n, DbpText *text)
{
	size_t nfields;

	if (!dbp_read_count(&in, DBP_COLUMNS_MAX_LENGTH, &nfields))
		return false;
	dbp_text_append(text, "%zu columns", nfields);
	for (size_t i = 0; i < nfields; i++)
	{
		DbpReader part;
		size_t width;
		int what;
		char numbers[100];

		if (!read_field(&in, DBP_COLUMNS_MAX_LENGTH, &what, &width, &part))
			return false;
		if (what == DBP_FIELD_CONSTANT)
		{
			dbp_text_append(text, "; %zu constant", width);
			continue;
		}
		dbp_chunk_describe((what & DBP_FIELD_DOUBLE) != 0 ? DBP_FAMILY_DOUBLE : DBP_FAMILY_INT,
						   part.at, part.left, n, numbers, sizeof(numbers));
		dbp_text_append(text, "; %zu %s: %s", width,
						(what & DBP_FIELD_DOUBLE) != 0	  ? "double"
							: (what & DBP_FIELD_HEX) != 0 ? "hex"
														  : "bytes",
						numbers);
	}
	return true;
}
